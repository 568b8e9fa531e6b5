//! Signals to the relay, and the relay's own.

use std::time::Duration;

use bytes::Bytes;
use parlor::proto::event::Event;
use parlor::proto::hub::{GiveError, HubEvent};
use parlor::proto::id::PeerId;
use parlor::proto::model::handle::Handle as _;
use parlor::sim::network::Network;
use parlor::{Audience, Delivery, Origin, SignalId, Subject};

use crate::SECOND;
use crate::range::{Range, Shot};

/// What the relay was told since this was last asked: who, what and how much of it.
fn at_relay(range: &mut Range) -> Vec<(PeerId, String, Bytes)> {
    let events = range.world.take_relay_events().into_iter();
    let signals = events.filter_map(|event| match event {
        HubEvent::Signal { signal, .. } => {
            Some((signal.by, signal.subject.to_string(), signal.payload))
        }
        _ => None,
    });
    signals.collect()
}

/// The relay gives a signal.
fn give(range: &mut Range, to: Audience, name: &str) -> Result<(), GiveError> {
    let room = range.world.room_key();
    let payload = Bytes::from_static(b"x");
    range.world.with_relay(|hub, now| hub.signal(now, &room, to, name, payload)).unwrap()
}

fn settled(range: &mut Range, peer: usize) -> Vec<(SignalId, Delivery)> {
    let events = range.events(peer).into_iter();
    let settled = events.filter_map(|event| match event {
        Event::SignalSettled { id, delivery } => Some((id, delivery)),
        _ => None,
    });
    settled.collect()
}

#[test]
fn the_relay_hears_what_is_said_to_it_and_nobody_else_does() {
    let mut range = Range::new(1, Network::LAN, 3);
    let id = range.call(0, Audience::Relay, "join team", b"red").unwrap();
    range.world.run(SECOND / 10);
    let said = (range.id(0), "join team".to_owned(), Bytes::from_static(b"red"));
    assert_eq!(at_relay(&mut range), [said]);
    assert_eq!(settled(&mut range, 0), [(id, Delivery::Heard)]);
    assert!((0..3).all(|peer| range.signals(peer).is_empty()));
}

#[test]
fn what_is_said_to_the_relay_is_heard_once_whatever_is_lost() {
    for seed in 0..50 {
        let mut range = Range::new(seed, Network::LAN, 2);
        range.world.set_network(Network::BURSTS);
        let mut given = Vec::new();
        for number in 0..40_u8 {
            given.push(range.call(0, Audience::Relay, "count", &[number]).unwrap());
            range.world.run(Duration::from_millis(20));
            if number % 10 == 9 {
                range.world.cut(0);
                range.world.run(SECOND / 10);
                range.world.mend(0);
            }
        }
        range.world.run(Duration::from_secs(40));
        let heard = at_relay(&mut range).into_iter().map(|(_, _, payload)| payload[0]);
        assert!(heard.eq(0..40), "seed {seed}");
        let mut settled = settled(&mut range, 0);
        settled.sort_unstable();
        assert!(settled.into_iter().eq(given.into_iter().map(|id| (id, Delivery::Heard))));
    }
}

#[test]
fn a_signal_of_a_model_may_go_to_the_relay_or_to_one_peer() {
    let mut range = Range::new(3, Network::LAN, 3);
    let target = range.target(0);
    range.world.take_relay_events();
    let signal = range.world.peer(0).store().get(&target).unwrap().shot.clone();
    let shot = Shot { number: 5, ..Shot::default() };
    for to in [Audience::Relay, Audience::Peer(range.id(2))] {
        range.world.edit(0, |store| signal.send(store, to, &shot)).unwrap().unwrap();
    }
    range.world.run(SECOND / 5);
    let (by, subject, payload) = at_relay(&mut range).remove(0);
    assert_eq!((by, subject), (range.id(0), format!("property 2 of {}", target.path().unwrap())));
    assert_eq!(payload[0], 5);
    assert_eq!(range.numbers(2, &target), [5]);
    assert!(range.numbers(1, &target).is_empty());
    assert_eq!(settled(&mut range, 0).len(), 2);
}

#[test]
fn a_relay_tells_a_room_or_one_peer() {
    let mut range = Range::new(4, Network::LAN, 3);
    give(&mut range, Audience::Relay, "note").unwrap();
    let (relay, name, payload) = at_relay(&mut range).remove(0);
    assert_eq!((name.as_str(), &payload[..]), ("note", &b"x"[..]));
    give(&mut range, Audience::All, "begin").unwrap();
    range.call(1, Audience::Others, "hello", b"").unwrap();
    let one = Audience::Peer(range.id(2));
    give(&mut range, one, "you are it").unwrap();
    range.world.run(SECOND / 10);
    let of_relay = |range: &mut Range, peer| {
        let signals = range.signals(peer).into_iter().filter(|signal| signal.by == relay);
        assert!(range.events(peer).iter().all(|event| !matches!(event, Event::SignalLost { .. })));
        let names = signals.map(|signal| {
            assert_eq!(signal.origin, Origin::Remote);
            signal.subject
        });
        names.collect::<Vec<_>>()
    };
    let name = |name: &str| Subject::Name(name.to_owned());
    assert_eq!(of_relay(&mut range, 0), [name("begin")]);
    assert_eq!(of_relay(&mut range, 1), [name("begin")]);
    assert_eq!(of_relay(&mut range, 2), [name("begin"), name("you are it")]);
}

#[test]
fn who_is_away_hears_the_relay_when_it_is_back() {
    let mut range = Range::new(5, Network::LAN, 2);
    range.world.cut(1);
    range.world.run(SECOND / 10);
    let to = Audience::Peer(range.id(1));
    give(&mut range, to, "one").unwrap();
    give(&mut range, Audience::All, "all").unwrap();
    range.world.mend(1);
    range.world.run(Duration::from_secs(16));
    assert_eq!(range.said(1), ["one x", "all x"]);
}

#[test]
fn a_relay_is_told_what_it_cannot_give() {
    let mut range = Range::new(6, Network::LAN, 1);
    let peer = PeerId::new([9; 32]);
    let refused = give(&mut range, Audience::Peer(peer), "hello?");
    assert_eq!(refused, Err(GiveError::Absent { peer }));
    let long = "n".repeat(257);
    let refused = give(&mut range, Audience::All, &long);
    assert_eq!(refused, Err(GiveError::LongName { limit: 256, size: 257 }));
    range.configure(|signals| signals.kept = 4);
    let given = (0..9).map_while(|_| give(&mut range, Audience::All, "one").ok());
    assert_eq!(given.count(), 4);
    assert_eq!(give(&mut range, Audience::All, "one"), Err(GiveError::Full));
    range.world.run(2 * SECOND);
    give(&mut range, Audience::All, "again").unwrap();
    range.world.leave(0);
    range.world.run(Duration::from_secs(60));
    assert_eq!(give(&mut range, Audience::All, "one"), Err(GiveError::NoRoom));
}
