//! Signals that may be lost.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use parlor::proto::config::{Limits, SignalConfig};
use parlor::proto::event::Event;
use parlor::proto::hub::HubEvent;
use parlor::proto::model::handle::Handle as _;
use parlor::sim::network::Network;
use parlor::{Audience, Mode, Origin, SignalError, Subject, Terms};

use crate::SECOND;
use crate::range::{Range, Shot};

fn cast(range: &mut Range, peer: usize, to: Audience, number: u32) -> Result<(), SignalError> {
    let payload = Bytes::copy_from_slice(&number.to_le_bytes());
    let subject = Subject::Name("step".to_owned());
    range.world.edit(peer, |store| store.cast(to, subject, payload)).unwrap()
}

/// The numbers of those that a peer heard since this was last asked.
fn steps(range: &mut Range, peer: usize) -> Vec<u32> {
    let signals = range.signals(peer).into_iter().filter(|signal| !signal.reliable);
    signals.map(|signal| u32::from_le_bytes(signal.payload[..].try_into().unwrap())).collect()
}

#[test]
fn who_is_there_hears_it_at_once_and_that_it_was_cast() {
    let mut range = Range::new(1, Network::LAN, 3);
    cast(&mut range, 1, Audience::All, 1).unwrap();
    // Two ways of a millisecond at most.
    range.world.run(Duration::from_millis(2));
    for peer in 0..3 {
        let signals = range.signals(peer);
        let [signal] = &signals[..] else { panic!("{signals:?}") };
        let origin = if peer == 1 { Origin::Local } else { Origin::Remote };
        assert_eq!((signal.by, signal.origin, signal.reliable), (range.id(1), origin, false));
    }
    range.call(1, Audience::Others, "kept", b"").unwrap();
    range.world.run(SECOND / 10);
    assert!(range.signals(0)[0].reliable);
}

#[test]
fn it_goes_to_others_to_one_or_to_the_relay() {
    let mut range = Range::new(2, Network::LAN, 3);
    range.world.take_relay_events();
    let me = Audience::Peer(range.id(0));
    let other = Audience::Peer(range.id(2));
    for (to, number) in [(Audience::Others, 1), (other, 2), (me, 3), (Audience::Relay, 4)] {
        cast(&mut range, 0, to, number).unwrap();
    }
    range.world.run(SECOND / 10);
    // In any order.
    let mut heard = [0, 1, 2].map(|peer| steps(&mut range, peer));
    heard.iter_mut().for_each(|heard| heard.sort_unstable());
    assert_eq!(heard, [vec![3], vec![1], vec![1, 2]]);
    let at_relay = range.world.take_relay_events().into_iter().filter_map(|event| match event {
        HubEvent::Signal { signal, .. } => Some((signal.by, signal.payload[0], signal.reliable)),
        _ => None,
    });
    assert_eq!(at_relay.collect::<Vec<_>>(), [(range.id(0), 4, false)]);
    assert!(range.events(0).is_empty(), "no outcome is told");
}

#[test]
fn of_a_bad_network_some_are_lost_and_none_is_heard_twice() {
    let (mut given, mut heard) = (0, 0);
    for seed in 0..100 {
        let network =
            [Network::LOSSY, Network::MOBILE, Network::BURSTS][usize::try_from(seed % 3).unwrap()];
        let mut range = Range::new(seed, Network::LAN, 3);
        range.world.set_network(network);
        for number in 0..100 {
            cast(&mut range, 0, Audience::Others, number).unwrap();
            range.world.run(Duration::from_millis(u64::from(number % 4) * 5));
        }
        range.world.run(2 * SECOND);
        for peer in [1, 2] {
            let steps = steps(&mut range, peer);
            let once: BTreeSet<u32> = steps.iter().copied().collect();
            assert_eq!(once.len(), steps.len(), "seed {seed}: {steps:?}");
            assert!(once.iter().all(|number| *number < 100), "seed {seed}");
            given += 100;
            heard += steps.len();
        }
    }
    assert!(heard < given && heard > given / 2, "{heard} of {given}");
}

#[test]
fn what_is_cast_while_the_link_is_gone_is_never_heard() {
    let mut range = Range::new(4, Network::LAN, 2);
    range.world.cut(0);
    cast(&mut range, 0, Audience::All, 1).unwrap();
    range.world.run(SECOND);
    range.world.mend(0);
    range.world.run(Duration::from_secs(16));
    assert_eq!(steps(&mut range, 0), [1]);
    assert!(steps(&mut range, 1).is_empty());
    cast(&mut range, 0, Audience::All, 2).unwrap();
    range.world.run(SECOND / 10);
    assert_eq!(steps(&mut range, 1), [2]);
}

#[test]
fn who_is_away_misses_it_and_is_not_told_so() {
    let mut range = Range::new(5, Network::LAN, 2);
    range.world.cut(1);
    range.world.run(SECOND / 10);
    cast(&mut range, 0, Audience::Others, 1).unwrap();
    range.world.run(SECOND);
    range.world.mend(1);
    range.world.run(Duration::from_secs(16));
    let told = |event: &Event| matches!(event, Event::Signal(_) | Event::SignalsMissed);
    assert!(!range.events(1).iter().any(told));
}

#[test]
fn what_is_too_large_or_too_much_to_cast_is_an_error() {
    let mut range = Range::new(6, Network::LAN, 2);
    let Limits { cast: limit, signals, .. } = Limits::default();
    let subject = || Subject::Name("big".to_owned());
    let large = Bytes::from(vec![0; limit + 1]);
    let refused = range.world.edit(0, |store| store.cast(Audience::All, subject(), large));
    assert_eq!(refused.unwrap(), Err(SignalError::TooLarge { limit, size: limit + 1 }));
    let refused = range.world.edit(0, |store| {
        (0..=signals).find_map(|_| store.cast(Audience::All, subject(), Bytes::new()).err())
    });
    let full = SignalError::Full { limit: signals, waiting: signals };
    assert_eq!(refused.unwrap(), Some(full));
    range.world.flush(0);
    cast(&mut range, 0, Audience::All, 1).unwrap();
}

#[test]
fn what_is_of_anothers_model_or_of_none_is_dropped() {
    let mut range = Range::new(7, Network::LAN, 3);
    let target = range.target(0);
    let signal = range.world.peer(0).store().get(&target).unwrap().shot.clone();
    let shot = |number| Shot { number, ..Shot::default() };
    let terms = Terms { mode: Mode::Instant, ..Terms::default() };
    range.world.edit(1, |store| store.claim(&target, terms)).unwrap().unwrap();
    range.world.flush(1);
    // Before the claim is known here, it goes out; the relay knows, or does not yet.
    range.world.edit(0, |store| signal.cast(store, Audience::Others, &shot(1))).unwrap().unwrap();
    range.world.run(SECOND);
    range.events(2);
    let refused = range.world.edit(0, |store| signal.cast(store, Audience::Others, &shot(2)));
    let model = target.path().unwrap().clone();
    assert_eq!(refused.unwrap(), Err(SignalError::Owned { model, by: range.id(1) }));
    range.world.edit(1, |store| signal.cast(store, Audience::Others, &shot(3))).unwrap().unwrap();
    range.world.run(SECOND);
    assert_eq!(range.numbers(2, &target), [3]);
    // One that comes before its model is not waited for.
    let target = range.new_target(0);
    let signal = range.world.peer(0).store().get(&target).unwrap().shot.clone();
    range.world.edit(0, |store| signal.cast(store, Audience::Others, &shot(4))).unwrap().unwrap();
    range.world.run(SECOND);
    assert!(range.signals(2).is_empty());
}

#[test]
fn who_casts_too_much_is_heard_as_far_as_it_may_and_holds_up_nothing() {
    let mut range = Range::new(8, Network::LAN, 2);
    range.configure(|signals| {
        *signals = SignalConfig { casts_per_second: 50, ..SignalConfig::default() };
    });
    for number in 0..2_000 {
        cast(&mut range, 0, Audience::Others, number).unwrap();
        range.world.run(Duration::from_millis(1));
    }
    range.call(0, Audience::Others, "kept", b"").unwrap();
    range.world.run(SECOND / 10);
    let signals = range.signals(1);
    let cast = signals.iter().filter(|signal| !signal.reliable).count();
    assert!((50..=150).contains(&cast), "{cast}");
    assert_eq!(signals.len(), cast + 1);
    assert!(!range.events(0).iter().any(|event| matches!(event, Event::State(_))));
}
