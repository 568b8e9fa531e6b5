//! A relay that lies changes nothing at a peer, as far as a peer checks what it is told: who wrote a
//! change, whose grants are whose, and that an author writes one change in one place.

use std::time::Duration;

use bytes::Bytes;
use parlor::proto::change::{Change, Sealed, chunk};
use parlor::proto::config::Limits;
use parlor::proto::event::{Effect, Input, State};
use parlor::proto::id::{AppId, ClientNumber, DocumentId, Lane, Link};
use parlor::proto::log::ChangeLog;
use parlor::proto::model::handle::Handle;
use parlor::proto::ownership::{Authority, CLAIMS, META, Ownership, Session};
use parlor::proto::peer::Peer;
use parlor::proto::proof::{Side, prove};
use parlor::proto::reason::{ChangeFault, Version};
use parlor::proto::table::ObjectIndex;
use parlor::proto::time::Time;
use parlor::proto::wire::bounded::{Blob, List};
use parlor::proto::wire::message::{
    EntryRecord, Hello, Introduction, Join, Made, MemberRecord, Message, Offer, Welcome,
};
use parlor::proto::wire::{MAX_FRAME, decode, encode};
use parlor::sim::playground::{Figure, Playground};
use parlor::{Datastore, Model, ModelRef, Reason};

use super::craft::{
    self, MODELS, RELAY, app_key, author, change, grant_to, grants_of, peer, renames, room, said,
    scope, signed,
};
use super::stage::honest;

const LINK: Link = Link(1);
/// The seeds of the peer that is lied to, of a member that wrote something, of one that did not, and
/// of another relay.
const ME: u8 = 2;
const MEMBER: u8 = 3;
const OTHER: u8 = 4;
const OTHER_RELAY: u8 = 8;

/// A peer, and what it takes for its relay.
struct Rig {
    now: Time,
    peer: Peer,
    /// What the peer said to it.
    heard: Vec<Message>,
    /// How often the peer has dialled, and whether it has hung up.
    dialled: u32,
    hung_up: bool,
    /// How many entries were said.
    position: u16,
    /// What a member wrote, which is all that there is.
    room: ChangeLog,
    figure: ModelRef<Figure>,
}

impl Rig {
    /// A peer in a room in which a member has added a figure, and in which relays have granted.
    fn new() -> Self {
        let (room, figure) = written();
        let mut rig = Self {
            now: Time::ZERO,
            peer: honest(ME),
            heard: Vec::new(),
            dialled: 0,
            hung_up: false,
            position: 0,
            room,
            figure,
        };
        rig.peer.connect(rig.now);
        rig.peer.tick(rig.now);
        rig.drain();
        rig.peer.handle(rig.now, Input::Connected { link: LINK, peer: peer(RELAY) });
        rig.drain();
        rig.let_in();
        assert_eq!(*rig.peer.state(), State::Ready);
        let records = (0..rig.room.len()).filter_map(|place| rig.room.record(place));
        rig.says(&records.collect::<Vec<_>>());
        assert_eq!(rig.peer.store().get(&rig.figure).unwrap().name, "true");
        assert_eq!(rig.peer.store().log(MODELS).digest(), rig.room.digest());
        rig
    }

    /// Hello, welcome and roster, as an honest relay of an empty room says them.
    fn let_in(&mut self) {
        let nonce = self.heard.iter().find_map(|message| match message {
            Message::Hello(hello) => Some(hello.nonce),
            _ => None,
        });
        // Of a relay that says nothing of rooms.
        let version = Version { minor: 3, ..Version::CURRENT };
        let hello = Hello { version, nonce: [3; 16], app: AppId([0; 8]), schema: [0; 8] };
        self.hears(Lane::Control, encode(&Message::Hello(hello)));
        let join = self.heard.iter().find_map(|message| match message {
            Message::Join(join) => Some(join.clone()),
            _ => None,
        });
        let Join { known, .. } = join.unwrap();
        let offers = known.into_vec().into_iter().map(|known| Offer {
            document: known.document,
            epoch: known.epoch,
            lineage: [1; 8],
            heads: List::of([]),
            snapshot: None,
            wanted: false,
            included: None,
            behind: 0,
            kin: false,
            since: known.epoch,
        });
        let (pair, nonces) = ((peer(ME), peer(RELAY)), (&nonce.unwrap(), &[3; 16]));
        let welcome = Welcome {
            proof: prove(&app_key(), Side::Relay, pair, nonces, room().as_str()),
            client: ClientNumber(1),
            room_time: 1,
            roster: 1,
            documents: List::of(offers),
        };
        let member = MemberRecord {
            client: ClientNumber(1),
            peer: peer(ME),
            metadata: Blob::default(),
            schema: [0; 8],
            rejoined: false,
        };
        let members = List::of([member]);
        self.hears(Lane::Control, encode(&Message::Welcome(welcome)));
        let roster = Message::Roster { revision: 1, page: 0, pages: 1, members };
        self.hears(Lane::Control, encode(&roster));
    }

    fn hears(&mut self, lane: Lane, frame: Bytes) {
        self.peer.handle(self.now, Input::Received { link: LINK, lane, frame });
        self.drain();
    }

    fn says(&mut self, entries: &[EntryRecord]) {
        let records: Vec<_> = entries.iter().map(craft::record).collect();
        let (lane, frame) = craft::frame(self.position, &records);
        self.position += u16::try_from(entries.len()).unwrap();
        self.hears(lane, frame);
    }

    /// Lets time pass.
    fn run(&mut self, millis: u64) {
        for _ in 0..millis / 10 {
            self.now += Duration::from_millis(10);
            self.peer.tick(self.now);
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(effect) = self.peer.poll_effect() {
            match effect {
                Effect::Dial => self.dialled += 1,
                Effect::Send { link, lane, frame } => {
                    let bytes = frame.len();
                    self.heard.push(decode(&frame, MAX_FRAME).unwrap());
                    self.peer.handle(self.now, Input::Written { link, lane, bytes });
                }
                Effect::Acquaint { .. } | Effect::Share(_) => {}
                Effect::Tune { .. }
                | Effect::Pass { .. }
                | Effect::Authorise { .. }
                | Effect::Commit { .. }
                | Effect::Fetch { .. } => {
                    panic!("nobody is asked, and nothing kept");
                }
                Effect::Disconnect { link } => {
                    self.hung_up = true;
                    self.peer.handle(self.now, Input::Disconnected { link });
                }
            }
        }
    }

    fn state(&self) -> ([u8; 32], [[u8; 8]; 2]) {
        let store = self.peer.store();
        (store.state_hash(), DocumentId::ALL.map(|document| store.log(document).digest()))
    }

    /// The peer hangs up for good, and has what it had before the lie.
    fn is_not_fooled(&mut self, lie: &[EntryRecord], fault: ChangeFault) {
        let before = self.state();
        self.says(lie);
        let State::Closed(Reason::RelayFault { what }) = self.peer.state() else {
            panic!("it believed {lie:?}: {:?}", self.peer.state());
        };
        assert!(what.ends_with(&format!(": {fault}")), "{what}");
        assert!(self.hung_up);
        assert_eq!(self.state(), before);
        self.run(20_000);
        assert_eq!((self.dialled, self.state()), (1, before), "it does not come back");
        // Its application goes on with what is true.
        let figure = self.figure.clone();
        self.peer.store_mut().update(&figure, |figure| figure.name = "mine".into()).unwrap();
        assert_eq!(self.peer.store().get(&figure).unwrap().name, "mine");
    }
}

/// A member's room: a figure, and the maps of claims and of two relays' grants.
fn written() -> (ChangeLog, ModelRef<Figure>) {
    let shape = Playground::shape();
    let mut store = Datastore::new(&scope(), author(MEMBER), shape, Limits::default(), 16);
    let players = store.root::<Playground>().unwrap().players.clone();
    let figure = Figure { name: "true".into(), ..Figure::default() };
    let figure = players.add(&mut store, figure).unwrap();
    store.flush();
    let mut log = store.log(MODELS).clone();
    log.ensure(ObjectIndex::ROOT, META, Made::Map, false).unwrap();
    let meta = log.table().below(ObjectIndex::ROOT, META).unwrap();
    let [mine, other, member] =
        [RELAY, OTHER_RELAY, MEMBER].map(|seed| Authority::of(peer(seed)).key().clone());
    for key in [CLAIMS, &mine, &other, &member] {
        log.ensure(meta, key, Made::Map, false).unwrap();
    }
    (log, figure)
}

/// The member's last change.
fn last(rig: &Rig) -> Sealed {
    let actor = rig.room.scope().actor(&author(MEMBER));
    let place = *rig.room.author(&actor).unwrap().changes.last().unwrap();
    chunk::encode(rig.room.change(place).unwrap())
}

/// Another change in the place of the member's last.
fn instead(rig: &Rig) -> Sealed {
    let last = last(rig).change;
    let renamed = renames(&rig.room, &author(MEMBER), (&rig.figure, "other")).change;
    chunk::encode(Change { sequence: last.sequence, ..renamed })
}

#[test]
fn a_change_of_another_author_than_the_relay_says_ends_the_link() {
    let unknown = Introduction { incarnation: Session(7).first(), ..author(MEMBER) };
    for introduction in [None, Some(author(MEMBER)), Some(author(RELAY)), Some(unknown)] {
        let mut rig = Rig::new();
        let forged = renames(&rig.room, &author(OTHER), (&rig.figure, "forged"));
        rig.is_not_fooled(&[said(introduction, &forged)], ChangeFault::WrongActor);
    }
}

#[test]
fn a_signature_that_is_not_the_authors_ends_the_link() {
    for seed in [RELAY, OTHER] {
        let mut rig = Rig::new();
        let forged = signed(seed, &last(&rig));
        rig.is_not_fooled(&[forged], ChangeFault::BadSignature);
    }
}

#[test]
fn a_grant_of_the_relay_that_another_wrote_ends_the_link() {
    let mut rig = Rig::new();
    let figure = rig.figure.path().unwrap().clone();
    let grant = grant_to(&author(MEMBER));
    let at = (&grants_of(peer(RELAY)), figure.as_str(), &grant);
    let forged = change(&rig.room, &author(MEMBER), at);
    rig.is_not_fooled(&[said(None, &forged)], ChangeFault::Forged);
}

#[test]
fn a_relay_that_writes_another_relays_grants_is_left() {
    let mut rig = Rig::new();
    let figure = rig.figure.path().unwrap().clone();
    let grant = grant_to(&author(MEMBER));
    let at = (&grants_of(peer(OTHER_RELAY)), figure.as_str(), &grant);
    let forged = change(&rig.room, &author(RELAY), at);
    rig.is_not_fooled(&[said(Some(author(RELAY)), &forged)], ChangeFault::Forged);
}

#[test]
fn what_a_member_or_another_relay_grants_in_a_map_of_its_own_gives_nothing_to_anybody() {
    for seed in [MEMBER, OTHER_RELAY] {
        let mut rig = Rig::new();
        let figure = rig.figure.path().unwrap().clone();
        let grant = grant_to(&author(MEMBER));
        let at = (&grants_of(peer(seed)), figure.as_str(), &grant);
        let void = change(&rig.room, &author(seed), at);
        rig.says(&[said(Some(author(seed)), &void)]);
        assert_eq!(*rig.peer.state(), State::Ready);
        assert!(rig.peer.store().log(MODELS).position(&void.hash).is_some());
        let figure = rig.figure.clone();
        assert_eq!(rig.peer.ownership_state(&figure, rig.now), Ownership::Free);
        rig.peer.store_mut().update(&figure, |figure| figure.name = "mine".into()).unwrap();
    }
}

#[test]
fn two_changes_of_a_member_in_one_place_end_the_link() {
    let mut rig = Rig::new();
    let other = instead(&rig);
    rig.is_not_fooled(&[said(None, &other)], ChangeFault::Equivocation);
    // With the word of the author, who has lied to others then.
    let mut rig = Rig::new();
    let other = instead(&rig);
    rig.is_not_fooled(&[said(None, &other), signed(MEMBER, &other)], ChangeFault::Equivocation);
}

#[test]
fn a_members_word_for_another_change_than_the_one_that_is_here_ends_the_link() {
    let mut rig = Rig::new();
    let other = signed(MEMBER, &instead(&rig));
    rig.is_not_fooled(&[other], ChangeFault::Equivocation);
}

#[test]
fn a_relay_that_writes_as_the_peer_itself_is_left() {
    let mut rig = Rig::new();
    let forged = renames(&rig.room, &author(ME), (&rig.figure, "forged"));
    rig.peer.store_mut().update_root(|root: &mut Playground| root.title = "mine".into()).unwrap();
    rig.peer.flush(rig.now);
    rig.drain();
    rig.is_not_fooled(&[said(Some(author(ME)), &forged)], ChangeFault::Equivocation);
    assert_eq!(rig.peer.store().root::<Playground>().unwrap().title, "mine");
}
