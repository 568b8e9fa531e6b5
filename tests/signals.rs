//! Signals in whole rooms, by seeds. `SIM_SEED=7 cargo test --features portable --test signals` runs one;
//! `PARLOR_FULL=1` runs more of them.
#![cfg(feature = "sim")]
#![expect(clippy::unwrap_used, reason = "a failing test is a panic")]

#[path = "signals/cast.rs"]
mod cast;
#[path = "signals/delivery.rs"]
mod delivery;
#[path = "signals/older.rs"]
mod older;
#[path = "signals/range.rs"]
mod range;
#[path = "signals/relay.rs"]
mod relay;

use std::env;
use std::time::Duration;

use parlor::proto::config::{Limits, PeerConfig, SignalConfig};
use parlor::proto::event::Event;
use parlor::proto::model::handle::Handle as _;
use parlor::sim::network::{Network, Way};
use parlor::{Audience, Mode, Origin, Ownership, SignalError, Subject, Terms};

use self::range::{Range, Shot};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn everybody_hears_a_signal_once_and_its_sender_at_once() {
    let mut range = Range::new(1, Network::LAN, 3);
    let target = range.target(0);
    range.fire(1, &target, Shot { number: 7, at: [1.0, 2.0] }).unwrap();
    assert_eq!(range.heard(1, &target), [(range.id(1), 7, Origin::Local)]);
    range.world.run(SECOND);
    for peer in [0, 2] {
        assert_eq!(range.heard(peer, &target), [(range.id(1), 7, Origin::Remote)]);
    }
    assert!(range.heard(1, &target).is_empty());
}

#[test]
fn a_signal_comes_within_one_way_there_and_one_back() {
    let mut range = Range::new(2, Network::LAN, 2);
    let target = range.target(0);
    range.fire(0, &target, Shot::default()).unwrap();
    // Two ways of a millisecond at most.
    range.world.run(Duration::from_millis(2));
    assert_eq!(range.heard(1, &target).len(), 1);
}

#[test]
fn who_comes_later_hears_nothing_of_what_was() {
    let mut range = Range::new(3, Network::LAN, 2);
    let target = range.target(0);
    for number in 0..10 {
        range.fire(0, &target, Shot { number, ..Shot::default() }).unwrap();
    }
    range.world.run(SECOND);
    let late = range.world.add_peer(PeerConfig::default());
    range.world.connect(late);
    range.world.run(SECOND);
    assert!(range.heard(late, &target).is_empty());
    range.fire(0, &target, Shot { number: 10, ..Shot::default() }).unwrap();
    range.world.run(SECOND);
    assert_eq!(range.numbers(late, &target), [10]);
}

#[test]
fn who_left_and_comes_back_is_new() {
    let mut range = Range::new(4, Network::LAN, 2);
    let target = range.target(0);
    range.world.leave(1);
    range.world.run(SECOND);
    range.fire(0, &target, Shot { number: 1, ..Shot::default() }).unwrap();
    range.world.run(SECOND);
    range.world.connect(1);
    range.world.run(SECOND);
    assert!(range.heard(1, &target).is_empty());
}

#[test]
fn a_signal_of_a_new_model_is_heard_behind_the_model() {
    for seed in 0..50 {
        let mut range = Range::new(seed, Network::LOSSY, 2);
        let target = range.new_target(0);
        range.fire(0, &target, Shot { number: 3, ..Shot::default() }).unwrap();
        let mut known = false;
        range.world.run(2 * SECOND);
        for event in range.events(1) {
            match event {
                Event::Added { model, .. } if Some(&model) == target.path() => known = true,
                Event::Signal(signal) => {
                    assert!(known, "seed {seed}: before its model");
                    assert_eq!(range.read(1, &target, &signal).unwrap().number, 3, "seed {seed}");
                    known = false;
                }
                _ => {}
            }
        }
        assert!(!known, "seed {seed}: never");
    }
}

#[test]
fn a_signal_of_a_model_that_never_comes_is_dropped_and_no_other_waits_for_it() {
    let mut range = Range::new(6, Network::LAN, 2);
    let target = range.new_target(0);
    range.fire(0, &target, Shot { number: 1, ..Shot::default() }).unwrap();
    range.world.edit(0, |store| store.remove(&target)).unwrap().unwrap();
    range.call(0, Audience::Others, "hello", b"x").unwrap();
    range.world.run(SECOND);
    let heard: Vec<_> = range.signals(1).into_iter().map(|signal| signal.subject).collect();
    assert_eq!(heard, [Subject::Name("hello".to_owned())]);
    range.world.run(3 * SECOND);
    assert!(range.signals(1).is_empty());
}

#[test]
fn signals_by_name_go_to_all_to_others_or_to_one() {
    let mut range = Range::new(7, Network::LAN, 3);
    range.world.run(SECOND);
    range.call(0, Audience::All, "all", b"1").unwrap();
    range.call(0, Audience::Others, "others", b"2").unwrap();
    range.call(0, Audience::Peer(range.id(2)), "one", b"3").unwrap();
    range.call(0, Audience::Peer(range.id(0)), "myself", b"4").unwrap();
    range.world.run(SECOND);
    assert_eq!(range.said(0), ["all 1", "myself 4"]);
    assert_eq!(range.said(1), ["all 1", "others 2"]);
    assert_eq!(range.said(2), ["all 1", "others 2", "one 3"]);
}

#[test]
fn only_who_may_write_a_model_may_fire_it() {
    let mut range = Range::new(8, Network::LAN, 3);
    let target = range.target(0);
    let terms = Terms { mode: Mode::Instant, ..Terms::default() };
    range.world.edit(1, |store| store.claim(&target, terms)).unwrap().unwrap();
    // Before the claim is known here, the signal goes out; the relay knows.
    let early = range.fire(0, &target, Shot { number: 1, ..Shot::default() });
    assert!(early.is_ok());
    range.world.run(SECOND);
    let refused = range.fire(0, &target, Shot::default());
    let model = target.path().unwrap().clone();
    assert_eq!(refused, Err(SignalError::Owned { model, by: range.id(1) }));
    range.fire(1, &target, Shot { number: 2, ..Shot::default() }).unwrap();
    range.world.run(SECOND);
    assert_eq!(range.numbers(2, &target).last(), Some(&2));
}

#[test]
fn what_is_fired_behind_a_claim_goes_behind_the_answer() {
    let mut range = Range::new(15, Network::LAN, 3);
    let target = range.target(0);
    let terms = Terms { mode: Mode::Instant, ..Terms::default() };
    for peer in [1, 0] {
        range.world.edit(peer, |store| store.claim(&target, terms)).unwrap().unwrap();
        // Of two at once, and of one that takes over.
        range.fire(peer, &target, Shot { number: 1, ..Shot::default() }).unwrap();
        range.call(peer, Audience::Others, "at once", b"").unwrap();
        range.world.run(SECOND);
        assert_eq!(range.numbers_and_gaps(peer, &target), (vec![1], 0));
        let heard = range.signals(2);
        assert_eq!(heard.len(), 2, "of peer {peer}: {heard:?}");
        assert!(heard.iter().all(|signal| signal.by == range.id(peer)));
        range.events(1 - peer);
    }
    // Of two that claim it in the same moment one loses, and is told so of its signal too.
    for peer in [1, 2] {
        range.world.edit(peer, |store| store.claim(&target, terms)).unwrap().unwrap();
        range.fire(peer, &target, Shot { number: 7, ..Shot::default() }).unwrap();
        range.world.flush(peer);
    }
    range.world.run(SECOND);
    let told = [1, 2].map(|peer| {
        let events = range.events(peer);
        let lost = events.iter().any(|event| matches!(event, Event::SignalLost { .. }));
        let owns = range.world.ownership(peer, &target);
        (lost, matches!(owns, Ownership::Confirmed { .. }))
    });
    assert!(told.contains(&(true, false)) && told.contains(&(false, true)), "{told:?}");
    assert_eq!(range.numbers(0, &target), [7]);
}

#[test]
fn what_was_given_when_a_peer_leaves_is_heard_or_said_to_be_lost() {
    for seed in 0..50 {
        let mut range = Range::new(seed, Network::LAN, 2);
        range.call(0, Audience::Others, "goodbye", b"").unwrap();
        range.world.leave(0);
        range.world.run(SECOND);
        let heard = range.signals(1).len();
        let lost = range.events(0).iter().any(|it| matches!(it, Event::SignalLost { .. }));
        assert!(heard == 1 || lost, "seed {seed}");
    }
}

#[test]
fn a_link_that_dies_in_silence_loses_no_signal() {
    for (seed, way) in [(0, Way::Up), (1, Way::Down), (2, Way::Up), (3, Way::Down)] {
        let mut range = Range::new(seed, Network::LAN, 2);
        let target = range.target(0);
        range.world.half_open(0, way);
        range.fire(0, &target, Shot { number: 4, ..Shot::default() }).unwrap();
        range.world.run(Duration::from_secs(15));
        range.world.mend(0);
        range.world.run(Duration::from_secs(15));
        assert_eq!(range.numbers(1, &target), [4], "{way:?}");
        let lost = range.events(0).iter().any(|it| matches!(it, Event::SignalLost { .. }));
        assert!(!lost, "{way:?}");
    }
}

#[test]
fn who_was_to_hear_nothing_missed_nothing() {
    let mut range = Range::new(16, Network::LAN, 3);
    let target = range.target(0);
    range.fire(0, &target, Shot::default()).unwrap();
    range.call(0, Audience::Peer(range.id(1)), "psst", b"").unwrap();
    range.world.run(SECOND);
    range.call(1, Audience::Peer(range.id(0)), "what?", b"").unwrap();
    range.world.run(Duration::from_secs(40));
    for peer in 0..3 {
        range.events(peer);
        range.world.cut(peer);
        range.world.run(SECOND / 10);
        range.world.mend(peer);
        range.world.run(Duration::from_secs(5));
        let missed = range.events(peer).contains(&Event::SignalsMissed);
        assert!(!missed, "peer {peer}");
    }
}

#[test]
fn a_room_with_nothing_but_signals_lives_on_while_nobody_is_there() {
    let mut range = Range::new(17, Network::LAN, 2);
    range.call(0, Audience::Others, "one", b"").unwrap();
    range.world.run(SECOND);
    range.world.cut(1);
    range.call(0, Audience::Others, "two", b"").unwrap();
    range.world.run(SECOND / 10);
    range.world.cut(0);
    range.world.run(SECOND / 10);
    range.world.mend(0);
    range.world.mend(1);
    range.world.run(Duration::from_secs(10));
    assert_eq!(range.said(1), ["one ", "two "]);
}

#[test]
fn much_at_once_is_taken_as_fast_as_it_can_be_heard() {
    for network in [Network::LAN, Network::LOSSY, Network::BURSTS] {
        let mut range = Range::new(18, Network::LAN, 3);
        range.world.set_network(network);
        let large = vec![7; Limits::default().signal];
        // Twice of what a second may have, and more than a megabyte.
        for _ in 0..100 {
            range.call(0, Audience::Others, "large", &large).unwrap();
        }
        range.world.run(Duration::from_secs(120));
        for peer in [1, 2] {
            let events = range.events(peer);
            let heard = events.iter().filter(|event| matches!(event, Event::Signal(_))).count();
            assert_eq!(heard, 100, "{network:?}");
            assert!(!events.contains(&Event::SignalsMissed), "{network:?}");
        }
    }
}

#[test]
fn what_is_too_large_or_too_much_is_an_error() {
    let mut range = Range::new(9, Network::LAN, 2);
    let Limits { signal, signals, .. } = Limits::default();
    let big = vec![0; signal + 1];
    let large = range.call(0, Audience::All, "big", &big);
    assert_eq!(large, Err(SignalError::TooLarge { limit: signal, size: signal + 1 }));
    let long = "n".repeat(257);
    let refused = range.call(0, Audience::All, &long, b"");
    assert_eq!(refused, Err(SignalError::LongName { limit: 256, size: 257 }));
    range.world.cut(0);
    let full = (0..=signals).find_map(|_| range.call(0, Audience::All, "one", b"").err());
    assert_eq!(full, Some(SignalError::Full { limit: signals, waiting: signals }));
    range.world.run(Duration::from_secs(31));
    let lost = range.events(0).into_iter().filter(|it| matches!(it, Event::SignalLost { .. }));
    assert_eq!(lost.count(), signals);
    range.call(0, Audience::All, "again", b"").unwrap();
}

#[test]
fn without_a_relay_nobody_else_hears_and_nothing_fills_up() {
    let mut range = Range::alone(10);
    for _ in 0..3 * Limits::default().signals {
        range.call(0, Audience::All, "hello", b"").unwrap();
        range.world.flush(0);
    }
    assert_eq!(range.signals(0).len(), 3 * Limits::default().signals);
    range.world.connect(0);
    range.world.run(SECOND);
    assert!(!range.events(0).iter().any(|event| matches!(event, Event::SignalLost { .. })));
}

#[test]
fn a_signal_given_while_the_link_is_gone_is_heard_when_it_is_back() {
    let mut range = Range::new(11, Network::LAN, 2);
    let target = range.target(0);
    range.world.cut(0);
    range.world.run(SECOND);
    range.fire(0, &target, Shot { number: 5, ..Shot::default() }).unwrap();
    range.world.run(SECOND);
    range.world.mend(0);
    range.world.run(10 * SECOND);
    assert_eq!(range.numbers(1, &target), [5]);
}

#[test]
fn who_was_away_too_long_is_told_so() {
    let mut range = Range::new(12, Network::LAN, 2);
    let kept_for = 2 * SECOND;
    range.configure(|signals| *signals = SignalConfig { kept_for, ..SignalConfig::default() });
    let target = range.target(0);
    range.world.cut(1);
    range.fire(0, &target, Shot { number: 1, ..Shot::default() }).unwrap();
    range.world.run(4 * SECOND);
    range.world.mend(1);
    range.world.run(10 * SECOND);
    assert!(range.numbers_and_gaps(1, &target) == (vec![], 1));
}

#[test]
fn who_does_not_read_loses_its_link_and_not_the_others_their_signals() {
    let mut range = Range::new(13, Network::LAN, 3);
    let lag = Duration::from_millis(20);
    range.configure(|it| *it = SignalConfig { kept: 100, lag, ..SignalConfig::default() });
    let target = range.target(0);
    range.world.deafen(2, true);
    for number in 0..2_000 {
        range.fire(0, &target, Shot { number, ..Shot::default() }).unwrap();
        range.world.run(Duration::from_millis(1));
    }
    range.world.run(SECOND);
    assert!(range.numbers(1, &target).into_iter().eq(0..2_000));
    range.world.deafen(2, false);
    range.world.run(20 * SECOND);
    let (heard, gaps) = range.numbers_and_gaps(2, &target);
    assert!(heard.is_sorted_by(|one, next| one < next), "{heard:?}");
    assert!(gaps > 0 && heard.len() < 2_000, "{} heard, {gaps} gaps", heard.len());
}

#[test]
fn a_member_that_says_too_much_is_slowed_down_and_loses_nothing() {
    let mut range = Range::new(14, Network::LAN, 2);
    range
        .configure(|signals| *signals = SignalConfig { per_second: 50, ..SignalConfig::default() });
    let target = range.target(0);
    let start = range.world.now();
    for number in 0..600 {
        range.fire(0, &target, Shot { number, ..Shot::default() }).unwrap();
    }
    let mut heard = Vec::new();
    while heard.len() < 600 {
        range.world.run(SECOND / 10);
        heard.extend(range.numbers(1, &target));
        assert!(range.world.now() < start + Duration::from_secs(60), "{} heard", heard.len());
    }
    assert_eq!(heard, Vec::from_iter(0..600));
    // A frame has at most 256, and one may begin in each second.
    assert!(range.world.now() >= start + Duration::from_secs(2));
}

#[test]
fn while_the_relay_lives_everybody_hears_everything_once_and_in_order() {
    for seed in seeds(300, 3_000) {
        range::play(seed, false).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    }
}

#[test]
fn across_a_relay_that_forgets_nothing_is_heard_twice() {
    for seed in seeds(300, 3_000) {
        range::play(seed, true).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    }
}

fn seeds(small: u64, large: u64) -> Vec<u64> {
    match env::var("SIM_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..if env::var_os("PARLOR_FULL").is_some() { large } else { small }).collect(),
    }
}
