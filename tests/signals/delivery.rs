//! What became of a signal to one peer is told once, and is true.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parlor::proto::config::{Limits, PeerConfig, SignalConfig};
use parlor::proto::event::{Event, State};
use parlor::proto::id::PeerId;
use parlor::proto::ownership::Session;
use parlor::sim::network::{Network, Way};
use parlor::sim::oracle;
use parlor::{Audience, Delivery, SignalId, Subject};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng as _, SeedableRng as _};

use crate::range::Range;
use crate::{SECOND, seeds};

/// What an application was told of a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    Heard,
    Absent,
    Lost,
}

const HEARD: &[Told] = &[Told::Heard];
const ABSENT: &[Told] = &[Told::Absent];
const LOST: &[Told] = &[Told::Lost];

/// What a peer was told of its signals since this was last asked.
fn told(range: &mut Range, peer: usize) -> Vec<Told> {
    range.events(peer).iter().filter_map(outcome).map(|(_, told)| told).collect()
}

fn outcome(event: &Event) -> Option<(SignalId, Told)> {
    match event {
        Event::SignalSettled { id, delivery: Delivery::Heard } => Some((*id, Told::Heard)),
        Event::SignalSettled { id, delivery: Delivery::Absent } => Some((*id, Told::Absent)),
        Event::SignalLost { id } => Some((*id, Told::Lost)),
        _ => None,
    }
}

fn psst(range: &mut Range, from: usize, to: usize) -> SignalId {
    let to = Audience::Peer(range.id(to));
    range.call(from, to, "psst", b"").unwrap()
}

fn nobody() -> Audience {
    Audience::Peer(PeerId::new([9; 32]))
}

#[test]
fn who_calls_one_peer_is_told_that_it_heard() {
    let mut range = Range::new(1, Network::LAN, 3);
    let id = psst(&mut range, 0, 1);
    range.call(0, Audience::Others, "others", b"").unwrap();
    range.world.run(SECOND / 5);
    let heard = Event::SignalSettled { id, delivery: Delivery::Heard };
    let events = range.events(0);
    assert_eq!(events.iter().filter(|event| **event == heard).count(), 1, "{events:?}");
    assert_eq!(range.said(1), ["psst ", "others "]);
    range.world.run(Duration::from_secs(60));
    assert!(told(&mut range, 0).is_empty());
    assert!(range.events(2).iter().all(|event| outcome(event).is_none()));
}

#[test]
fn who_calls_itself_or_nobody_is_told_at_once() {
    let mut range = Range::new(2, Network::LAN, 2);
    psst(&mut range, 0, 0);
    assert_eq!(told(&mut range, 0), HEARD);
    range.call(0, nobody(), "hello?", b"").unwrap();
    range.world.run(SECOND / 10);
    assert_eq!(told(&mut range, 0), ABSENT);
    range.world.leave(1);
    range.world.run(SECOND / 10);
    psst(&mut range, 0, 1);
    range.world.run(SECOND / 10);
    assert_eq!(told(&mut range, 0), ABSENT);
}

#[test]
fn without_a_relay_one_peer_is_absent() {
    let mut range = Range::alone(3);
    range.call(0, nobody(), "hello?", b"").unwrap();
    range.world.flush(0);
    assert_eq!(told(&mut range, 0), ABSENT);
    // What is given before the room goes online is for nobody either.
    range.call(0, nobody(), "hello?", b"").unwrap();
    range.world.connect(0);
    range.world.run(SECOND);
    assert_eq!(told(&mut range, 0), ABSENT);
}

#[test]
fn who_is_away_is_waited_for() {
    let mut range = Range::new(4, Network::LAN, 2);
    range.world.cut(1);
    range.world.run(SECOND / 10);
    psst(&mut range, 0, 1);
    range.world.run(Duration::from_secs(10));
    assert!(told(&mut range, 0).is_empty());
    range.world.mend(1);
    range.world.run(Duration::from_secs(16));
    assert_eq!(told(&mut range, 0), HEARD);
    assert_eq!(range.said(1), ["psst "]);
}

#[test]
fn who_does_not_come_back_in_time_is_absent() {
    let mut range = Range::new(5, Network::LAN, 2);
    let kept_for = 2 * SECOND;
    range.configure(|signals| *signals = SignalConfig { kept_for, ..SignalConfig::default() });
    range.world.cut(1);
    range.world.run(SECOND / 10);
    psst(&mut range, 0, 1);
    range.world.run(SECOND);
    assert!(told(&mut range, 0).is_empty());
    range.world.run(SECOND + SECOND / 10);
    assert_eq!(told(&mut range, 0), ABSENT);
    // It has been away for too long to be waited for again, and hears that it missed something.
    psst(&mut range, 0, 1);
    range.world.run(SECOND / 10);
    assert_eq!(told(&mut range, 0), ABSENT);
    range.world.mend(1);
    range.world.run(Duration::from_secs(16));
    let events = range.events(1);
    assert!(events.contains(&Event::SignalsMissed));
    assert!(!events.iter().any(|event| matches!(event, Event::Signal(_))));
    psst(&mut range, 0, 1);
    range.world.run(SECOND / 10);
    assert_eq!(told(&mut range, 0), HEARD);
}

#[test]
fn of_what_was_said_and_not_acknowledged_nothing_is_known() {
    let mut range = Range::new(6, Network::LAN, 2);
    let kept_for = 2 * SECOND;
    range.configure(|signals| *signals = SignalConfig { kept_for, ..SignalConfig::default() });
    // It hears, and nothing that it says arrives.
    range.world.half_open(1, Way::Up);
    psst(&mut range, 0, 1);
    range.world.run(2 * SECOND + SECOND / 10);
    assert_eq!(range.said(1), ["psst "]);
    assert_eq!(told(&mut range, 0), LOST);
    range.world.mend(1);
    range.world.run(Duration::from_secs(20));
    assert!(told(&mut range, 0).is_empty());
}

#[test]
fn who_heard_it_by_a_link_that_broke_says_so_by_the_next() {
    let mut range = Range::new(7, Network::LAN, 2);
    range.world.half_open(1, Way::Up);
    psst(&mut range, 0, 1);
    range.world.run(SECOND);
    range.world.cut(1);
    range.world.mend(1);
    range.world.run(Duration::from_secs(16));
    assert_eq!(told(&mut range, 0), HEARD);
    assert_eq!(range.said(1), ["psst "]);
}

#[test]
fn what_became_of_it_is_heard_by_the_next_link_too() {
    let mut range = Range::new(8, Network::LAN, 2);
    psst(&mut range, 0, 1);
    // It is at the relay by then, and its outcome is not.
    range.world.run(Duration::from_millis(3));
    range.world.cut(0);
    range.world.run(SECOND);
    assert!(told(&mut range, 0).is_empty());
    range.world.mend(0);
    range.world.run(Duration::from_secs(16));
    assert_eq!(told(&mut range, 0), HEARD);
}

#[test]
fn of_a_relay_that_forgets_no_outcome_is_awaited() {
    let mut range = Range::new(9, Network::LAN, 2);
    range.world.cut(1);
    range.world.run(SECOND / 10);
    psst(&mut range, 0, 1);
    range.world.run(SECOND);
    range.world.crash_relay();
    range.world.start_relay();
    range.world.mend(1);
    range.world.run(Duration::from_secs(20));
    assert_eq!(told(&mut range, 0), LOST);
    assert!(range.said(1).is_empty());
}

#[test]
fn a_session_that_a_relay_forgot_gives_nothing_twice() {
    let mut range = Range::new(10, Network::LAN, 2);
    range.configure(|signals| *signals = SignalConfig { senders: 2, ..SignalConfig::default() });
    range.world.half_open(0, Way::Down);
    psst(&mut range, 0, 1);
    range.call(0, Audience::Others, "others", b"").unwrap();
    range.world.run(SECOND);
    range.world.cut(0);
    range.world.run(SECOND);
    // Others come and go until it is forgotten.
    for _ in 0..4 {
        let guest = range.world.add_peer(PeerConfig::default());
        range.world.connect(guest);
        range.world.run(SECOND);
        range.world.cut(guest);
        range.world.run(SECOND);
    }
    range.world.mend(0);
    range.world.run(Duration::from_secs(16));
    assert_eq!(told(&mut range, 0), [Told::Lost, Told::Lost]);
    assert_eq!(range.said(1), ["psst ", "others "]);
}

#[test]
fn a_peer_that_begins_anew_does_not_hear_what_its_last_life_was_told() {
    let mut range = Range::new(11, Network::LAN, 1);
    let lives = [1, 2]
        .map(|session| range.world.add_session(PeerConfig::default(), [77; 32], Session(session)));
    range.world.connect(lives[0]);
    range.world.run(2 * SECOND);
    range.events(0);
    range.world.sleep(lives[0]);
    psst(&mut range, 0, lives[0]);
    range.world.run(SECOND);
    range.world.connect(lives[1]);
    range.world.run(2 * SECOND);
    psst(&mut range, 0, lives[1]);
    range.world.run(SECOND);
    assert_eq!(told(&mut range, 0), [Told::Absent, Told::Heard]);
    assert_eq!(range.said(lives[1]), ["psst "]);
}

#[test]
fn of_more_than_may_be_awaited_the_oldest_is_given_up() {
    let mut range = Range::new(12, Network::LAN, 1);
    let limits = Limits { signals_awaited: 3, ..Limits::default() };
    let config = PeerConfig { limits, ..PeerConfig::default() };
    let peer = range.world.add_peer(config);
    range.world.connect(peer);
    range.world.run(2 * SECOND);
    range.world.cut(0);
    range.events(peer);
    let ids: Vec<_> = (0..5).map(|_| psst(&mut range, peer, 0)).collect();
    range.world.run(SECOND);
    let lost: Vec<_> = range.events(peer).iter().filter_map(outcome).collect();
    assert_eq!(lost, [(ids[0], Told::Lost), (ids[1], Told::Lost)]);
    range.world.mend(0);
    range.world.run(Duration::from_secs(16));
    assert_eq!(told(&mut range, peer), [Told::Heard; 3]);
}

#[test]
fn what_is_waited_for_takes_no_more_room_than_a_relay_has() {
    let mut range = Range::new(13, Network::LAN, 3);
    let lag = SECOND;
    range.configure(|it| *it = SignalConfig { kept: 100, lag, ..SignalConfig::default() });
    range.world.cut(1);
    range.world.run(SECOND / 10);
    for _ in 0..200 {
        psst(&mut range, 0, 1);
    }
    range.world.run(Duration::from_secs(60));
    assert_eq!(told(&mut range, 0), [Told::Absent; 200]);
}

/// What was given, and what came of it.
#[derive(Default)]
struct Calls {
    /// By who gave it and its number there: to whom, and what it said.
    given: BTreeMap<(usize, SignalId), (usize, u32)>,
    told: BTreeMap<(usize, SignalId), Told>,
    /// What each heard.
    heard: BTreeMap<usize, BTreeSet<u32>>,
}

impl Calls {
    fn look(&mut self, range: &mut Range) -> Result<(), String> {
        for peer in 0..range.world.len() {
            for event in range.events(peer) {
                if let Some((id, told)) = outcome(&event)
                    && let Some(before) = self.told.insert((peer, id), told)
                {
                    return Err(format!("{id:?} of {peer} is {told:?} behind {before:?}"));
                }
                let Event::Signal(signal) = event else { continue };
                let number = u32::from_le_bytes(signal.payload[..].try_into().unwrap());
                if !self.heard.entry(peer).or_default().insert(number) {
                    return Err(format!("{number} was heard twice by {peer}"));
                }
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        for (call, (to, number)) in &self.given {
            let heard = self.heard.get(to).is_some_and(|heard| heard.contains(number));
            let told = self.told.get(call).ok_or_else(|| format!("{call:?}: nothing was told"))?;
            let wrong = match told {
                Told::Heard => !heard,
                Told::Absent => heard,
                Told::Lost => false,
            };
            if wrong {
                return Err(format!("{call:?} to {to} is {told:?}, and it heard: {heard}"));
            }
        }
        Ok(())
    }

    fn count(&self, told: Told) -> usize {
        self.told.values().filter(|other| **other == told).count()
    }
}

/// Three to five peers call each other while links break and lose, peers leave and sleep, for longer
/// than they are waited for.
fn play(seed: u64, crashes: bool, sum: &mut [usize; 3]) -> Result<(), String> {
    let mut rng = ChaCha12Rng::seed_from_u64(seed ^ 0xca11);
    let mut draw = move |below: u32| usize::try_from(rng.next_u32() % below).unwrap();
    let network = [Network::LOCKSTEP, Network::LAN, Network::LOSSY, Network::MOBILE]
        [usize::try_from(seed % 4).unwrap()];
    let peers = 3 + draw(3);
    let mut range = Range::new(seed, Network::LAN, peers);
    range.configure(|signals| signals.kept_for = 3 * SECOND);
    range.world.set_network(network);
    let mut calls = Calls::default();
    for number in 0..150_u32 {
        let peer = draw(u32::try_from(peers).unwrap());
        match draw(14) {
            0 => range.world.cut(peer),
            1 => range.world.sleep(peer),
            2 => range.world.half_open(peer, if number % 2 == 0 { Way::Up } else { Way::Down }),
            3 if crashes && draw(4) == 0 => {
                range.world.crash_relay();
                range.world.start_relay();
            }
            4 if draw(3) == 0 => range.world.leave(peer),
            5 | 6 => {
                range.world.mend(peer);
                range.world.wake(peer);
                range.world.connect(peer);
            }
            _ => {
                let to = draw(u32::try_from(peers).unwrap());
                let audience = Audience::Peer(range.id(to));
                let subject = Subject::Name("call".to_owned());
                let payload = number.to_le_bytes().to_vec().into();
                let given =
                    range.world.edit(peer, |store| store.signal(audience, subject, payload));
                if let Some(id) = given {
                    calls.given.insert((peer, id.unwrap()), (to, number));
                }
            }
        }
        range.world.run(Duration::from_millis([0, 1, 10, 100, 1_000][draw(5)]));
        calls.look(&mut range)?;
    }
    oracle::heal(&mut range.world);
    (0..peers).for_each(|peer| range.world.connect(peer));
    range.world.run(Duration::from_secs(60));
    calls.look(&mut range)?;
    for peer in 0..peers {
        if *range.world.peer(peer).state() != State::Ready {
            return Err(format!("peer {peer} is {:?}", range.world.peer(peer).state()));
        }
    }
    for (sum, told) in sum.iter_mut().zip([Told::Heard, Told::Absent, Told::Lost]) {
        *sum += calls.count(told);
    }
    calls.check()
}

#[test]
fn each_outcome_is_told_once_and_true() {
    for crashes in [false, true] {
        let mut sum = [0; 3];
        for seed in seeds(150, 1_500) {
            play(seed, crashes, &mut sum).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        }
        assert!(sum.iter().all(|count| *count > 0), "{sum:?}: heard, absent, lost");
    }
}
