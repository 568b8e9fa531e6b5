//! A relay of before 2.4, which says no outcomes and takes nothing for itself.

use std::iter;

use bytes::Bytes;
use parlor::proto::config::PeerConfig;
use parlor::proto::event::{Effect, Event, Input, State};
use parlor::proto::id::{AppId, AppKey, ClientNumber, Identity, Lane, Link, PeerId, RoomName};
use parlor::proto::model::Model as _;
use parlor::proto::peer::{Peer, Setup};
use parlor::proto::proof::{Side, prove};
use parlor::proto::reason::Version;
use parlor::proto::time::Time;
use parlor::proto::wire::bounded::List;
use parlor::proto::wire::message::{Hello, Message, ServiceMessage, SignalMessage, Told, Welcome};
use parlor::proto::wire::{MAX_FRAME, decode, encode};
use parlor::{Audience, Delivery, SignalId, Subject};

use crate::range::Field;

const LINK: Link = Link(1);
const NOW: Time = Time::ZERO;

fn relay() -> PeerId {
    Identity::from_seed([1; 32]).peer()
}

/// What a peer says.
fn said(peer: &mut Peer) -> Vec<Message> {
    let effects = iter::from_fn(|| peer.poll_effect());
    let frames = effects.filter_map(|effect| match effect {
        Effect::Send { frame, .. } => Some(decode(&frame, MAX_FRAME).unwrap()),
        Effect::Dial
        | Effect::Disconnect { .. }
        | Effect::Authorise { .. }
        | Effect::Commit { .. }
        | Effect::Fetch { .. }
        | Effect::Tune { .. }
        | Effect::Pass { .. }
        | Effect::Acquaint { .. }
        | Effect::Share(_) => None,
    });
    frames.collect()
}

fn hears(peer: &mut Peer, message: &Message) {
    let frame = encode(message);
    peer.handle(NOW, Input::Received { link: LINK, lane: Lane::Control, frame });
}

/// A peer in an empty room of a relay of a minor version.
fn joined(minor: u16) -> Peer {
    let (app_key, room) = (AppKey::new("older").unwrap(), RoomName::new("older").unwrap());
    let setup = Setup {
        identity: Identity::from_seed([2; 32]),
        app_key: app_key.clone(),
        room: room.clone(),
        metadata: Bytes::new(),
        incarnation: 1,
        shape: Field::shape(),
        entrance: parlor::Entrance::default(),
    };
    let mut peer = Peer::new(setup, PeerConfig::default(), [3; 32]);
    peer.connect(NOW);
    peer.handle(NOW, Input::Connected { link: LINK, peer: relay() });
    let nonce = said(&mut peer).into_iter().find_map(|message| match message {
        Message::Hello(hello) => Some(hello.nonce),
        _ => None,
    });
    let version = Version { minor, ..Version::CURRENT };
    let hello = Hello { version, nonce: [7; 16], app: AppId([0; 8]), schema: [0; 8] };
    hears(&mut peer, &Message::Hello(hello));
    let (ids, nonces) = ((peer.peer(), relay()), (&nonce.unwrap(), &[7; 16]));
    let welcome = Welcome {
        proof: prove(&app_key, Side::Relay, ids, nonces, room.as_str()),
        client: ClientNumber(1),
        room_time: 0,
        roster: 0,
        documents: List::of([]),
    };
    hears(&mut peer, &Message::Welcome(welcome));
    if minor >= 4 {
        let items = List::of([Told::Here]);
        hears(&mut peer, &Message::Service(ServiceMessage::Told { position: 0, items }));
    }
    assert_eq!(*peer.state(), State::Ready);
    peer.tick(NOW);
    let open = SignalMessage::Open { life: [9; 8], heard: 0, taken: None };
    hears(&mut peer, &Message::Signal(open));
    said(&mut peer);
    while peer.poll_event().is_some() {}
    peer
}

/// What became of a signal to another peer and one to the relay, and how many messages of signals the
/// peer said.
fn outcomes(minor: u16) -> (Vec<(SignalId, Option<Delivery>)>, usize) {
    let mut peer = joined(minor);
    let subject = || Subject::Name("call".to_owned());
    for to in [Audience::Peer(PeerId::new([5; 32])), Audience::Relay] {
        peer.store_mut().signal(to, subject(), Bytes::new()).unwrap();
        peer.tick(NOW);
    }
    peer.store_mut().cast(Audience::Others, subject(), Bytes::new()).unwrap();
    peer.tick(NOW);
    let told = said(&mut peer).into_iter();
    let count = told.filter(|it| matches!(it, Message::Signal(_) | Message::Cast(_))).count();
    let received = SignalMessage::Received { received: if minor < 4 { 1 } else { 2 }, gap: false };
    hears(&mut peer, &Message::Signal(received));
    let events = iter::from_fn(|| peer.poll_event()).filter_map(|event| match event {
        Event::SignalSettled { id, delivery } => Some((id, Some(delivery))),
        Event::SignalLost { id } => Some((id, None)),
        _ => None,
    });
    (events.collect(), count)
}

#[test]
fn of_an_older_relay_no_outcome_is_awaited_and_nothing_new_is_said_to_it() {
    let told = vec![(SignalId(2), Some(Delivery::Absent)), (SignalId(1), None)];
    assert_eq!(outcomes(3), (told, 1));
    // Of one that knows them, they are awaited.
    assert_eq!(outcomes(4), (vec![], 3));
}
