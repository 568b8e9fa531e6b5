//! Peers that say what no honest one says.

use bytes::Bytes;
use parlor::proto::config::{HubConfig, Limits};
use parlor::proto::event::{Effect, Input};
use parlor::proto::hub::Hub;
use parlor::proto::id::{Identity, Lane, Link, PeerId, RoomId};
use parlor::proto::proof::{self, Side};
use parlor::proto::reason::{Refusal, Version};
use parlor::proto::time::Time;
use parlor::proto::wire::bounded::{Blob, Line, List};
use parlor::proto::wire::message::{
    Asked, Enter, Hello, Join, Message, RequestRecord, ServiceMessage, Told,
};
use parlor::proto::wire::{MAX_FRAME, decode, encode};

use super::stage::{identity, key};

struct Raw {
    hub: Hub,
    relay: PeerId,
    link: Link,
}

impl Raw {
    fn new(config: HubConfig) -> Self {
        let relay = Identity::from_seed([9; 32]);
        let id = relay.peer();
        Self { hub: Hub::new(relay, [key()], config, 0, [1; 32], 1), relay: id, link: Link(0) }
    }

    /// What the relay says to somebody new that has greeted it.
    fn meet(&mut self, who: usize) -> [u8; 16] {
        self.link = Link(self.link.0 + 1);
        let (link, peer) = (self.link, identity(who).peer());
        self.hub.handle(Time::ZERO, Input::Connected { link, peer });
        let app = key().app();
        let hello = Hello { version: Version::CURRENT, nonce: [7; 16], app, schema: [0; 8] };
        let said = self.say(&Message::Hello(hello));
        let nonce = said.iter().find_map(|message| match message {
            Message::Hello(hello) => Some(hello.nonce),
            _ => None,
        });
        nonce.unwrap()
    }

    /// Says something on the newest link. Returns what the relay says there, and never reads it.
    fn say(&mut self, message: &Message) -> Vec<Message> {
        let (link, frame) = (self.link, encode(message));
        self.hub.handle(Time::ZERO, Input::Received { link, lane: Lane::Control, frame });
        let mut said = Vec::new();
        while let Some(effect) = self.hub.poll_effect() {
            if let Effect::Send { link: to, frame, .. } = effect
                && to == link
            {
                said.push(decode(&frame, MAX_FRAME).unwrap());
            }
        }
        said
    }

    fn enter(&mut self, who: usize) -> Vec<Message> {
        let nonce = self.meet(who);
        let pair = (identity(who).peer(), self.relay);
        let proof = proof::prove(&key(), Side::Peer, pair, (&[7; 16], &nonce), "room");
        let join = Join {
            room: Line::new("room").unwrap(),
            proof,
            metadata: Blob::new(Bytes::from_static(&[0; 2_000])).unwrap(),
            incarnation: 1,
            known: List::of([]),
        };
        self.say(&Message::Enter(Enter::from(join)))
    }

    fn members(&self) -> usize {
        self.hub.rooms().map(|(_, members)| members).sum()
    }
}

#[test]
fn who_is_sent_away_while_it_comes_in_has_no_place() {
    // So little may wait that a welcome is too much.
    let limits = Limits { outbox: 1_000, ..Limits::default() };
    let mut raw = Raw::new(HubConfig { limits, members: 2, ..HubConfig::default() });
    for who in 1..6 {
        let said = raw.enter(who);
        assert_eq!(said.last(), Some(&Message::Refused(Refusal::SlowConsumer)), "{who}");
        assert_eq!(raw.members(), 0);
    }
}

#[test]
fn who_does_not_read_what_it_asked_is_not_answered_more() {
    let mut raw = Raw::new(HubConfig::default());
    let nonce = raw.meet(1);
    let pair = (identity(1).peer(), raw.relay);
    let proof = proof::prove(&key(), Side::Visitor, pair, (&[7; 16], &nonce), "");
    raw.say(&Message::Service(ServiceMessage::Visit { proof, token: None }));
    let mut answers = 0;
    for turn in 0..200 {
        let request = RequestRecord::Find(RoomId([0; 8]));
        let items = List::of([Asked::Request { number: turn + 1, request }]);
        let asked = ServiceMessage::Asked { position: turn, items };
        for message in raw.say(&Message::Service(asked)) {
            if let Message::Service(ServiceMessage::Told { items, .. }) = message {
                answers += items.iter().filter(|it| matches!(it, Told::Answer { .. })).count();
            }
        }
    }
    assert_eq!(answers, 60, "of one second");
}

#[test]
fn what_only_a_relay_says_ends_the_link() {
    let mut raw = Raw::new(HubConfig::default());
    raw.enter(1);
    let told = ServiceMessage::Told { position: 0, items: List::of([Told::Here]) };
    let said = raw.say(&Message::Service(told));
    assert_eq!(said.last(), Some(&Message::Refused(Refusal::BadMessage)));
    assert_eq!(raw.members(), 0);
}
