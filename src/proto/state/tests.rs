//! Streams over links that lose, against what their writers meant.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use proptest::prelude::*;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::grid::{COMPONENTS, FARTHEST, Kind, PARTS, Truth};
use super::rotation::Turn;
use super::stream::{Incoming, MAX_NAME, Outgoing, SetError, StateFault};

const VECTOR: Kind = Kind::Vector { components: 3 };
const ANGLE: Kind = Kind::Circle { steps: 720 };
const ROTATION: Kind = Kind::Rotation { steps: 1_000 };

/// Both ends of a hop, and what is on its way.
struct Hop {
    outgoing: Outgoing,
    incoming: Incoming,
    frames: VecDeque<(u32, Bytes)>,
    acknowledgements: VecDeque<(u32, u32)>,
    shown: BTreeMap<String, Truth>,
    delay: u32,
    bytes: usize,
}

impl Hop {
    fn new(delay: u32) -> Self {
        Self {
            outgoing: Outgoing::default(),
            incoming: Incoming::new(10_000),
            frames: VecDeque::new(),
            acknowledgements: VecDeque::new(),
            shown: BTreeMap::new(),
            delay,
            bytes: 0,
        }
    }

    /// Lets a tick pass, in which a frame may be lost.
    fn tick(&mut self, number: u32, budget: usize, lost: bool) {
        if let Some(frame) = self.outgoing.frame(number, budget, false) {
            self.bytes += frame.len();
            if !lost {
                self.frames.push_back((number + self.delay, frame));
            }
        }
        while self.frames.front().is_some_and(|(at, _)| *at <= number) {
            let (_, frame) = self.frames.pop_front().unwrap();
            match self.incoming.receive(&frame) {
                Ok(update) => {
                    for (entry, truth) in self.incoming.changes() {
                        match truth {
                            Some(truth) => self.shown.insert(entry.name.to_string(), truth),
                            None => self.shown.remove(entry.name.as_str()),
                        };
                    }
                    self.acknowledgements.push_back((number + self.delay, update.number));
                }
                Err(StateFault::Stale | StateFault::Unfounded) => {}
                Err(fault) => panic!("tick {number}: {fault}"),
            }
        }
        while self.acknowledgements.front().is_some_and(|(at, _)| *at <= number) {
            let (_, acknowledged) = self.acknowledgements.pop_front().unwrap();
            self.outgoing.acknowledge(acknowledged);
        }
    }

    /// What is shown at a tick.
    fn at(&self, number: u32) -> BTreeMap<String, Truth> {
        let values = self.incoming.values(number);
        values.map(|(entry, truth)| (entry.name.to_string(), truth)).collect()
    }
}

fn numbers(first: i64) -> Truth {
    let mut numbers = [0; COMPONENTS];
    numbers[0] = first;
    numbers[1] = -first / 2;
    numbers[2] = first / 3;
    Truth::Numbers(numbers)
}

/// How far two values are apart, in steps.
fn apart(a: Truth, b: Truth, kind: Kind) -> f64 {
    match (a, b, kind) {
        (Truth::Numbers(a), Truth::Numbers(b), _) => {
            let round = match kind {
                Kind::Circle { steps } => Some(i64::from(steps) * PARTS),
                Kind::Vector { .. } | Kind::Rotation { .. } => None,
            };
            let off = |(a, b): (&i64, &i64)| {
                let off = (a - b).abs();
                round.map_or(off, |round| off.rem_euclid(round).min((-off).rem_euclid(round)))
            };
            let count = if let Kind::Vector { components } = kind { components.into() } else { 1 };
            let most = a.iter().zip(&b).take(count).map(off).max().unwrap();
            most as f64 / PARTS as f64
        }
        (Truth::Rotation(a), Truth::Rotation(b), Kind::Rotation { steps }) => {
            a.distance(b) as f64 * f64::from(steps) / f64::from(1 << 30)
        }
        _ => f64::INFINITY,
    }
}

/// Something of each kind that moves as a body does: on, faster, round a bend, to a stop.
fn body(
    rng: &mut ChaCha12Rng,
    state: &mut (i64, i64, Turn, Turn),
) -> [(&'static str, Kind, Truth); 3] {
    match rng.next_u32() % 40 {
        0 => state.1 = 0,
        1 => state.1 = i64::from(rng.next_u32() % 4_000) - 2_000,
        2 => state.1 += i64::from(rng.next_u32() % 600) - 300,
        3 => state.3 = Turn::NONE,
        4 => {
            let mut spin = || (rng.next_u32() % 200) as f32 / 4_000.0 - 0.025;
            state.3 = Turn::new([spin(), spin(), spin(), 1.0]).unwrap();
        }
        _ => {}
    }
    state.0 += state.1;
    state.2 = state.2.times(state.3);
    [
        ("place", VECTOR, numbers(state.0)),
        ("heading", ANGLE, Truth::Numbers([state.0 / 3, 0, 0, 0])),
        ("turn", ROTATION, Truth::Rotation(state.2)),
    ]
}

#[test]
fn everything_shows_within_a_step_whatever_moves() {
    for seed in 0..20 {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let mut hop = Hop::new(0);
        let mut state = (0, 0, Turn::NONE, Turn::NONE);
        for number in 1..1_000 {
            let values = body(&mut rng, &mut state);
            for (name, kind, truth) in values {
                hop.outgoing.set(name, kind, truth).unwrap();
            }
            hop.tick(number, 1_000, false);
            let shown = hop.at(number);
            for (name, kind, truth) in values {
                let off = apart(shown[name], truth, kind);
                assert!(off <= 1.0, "seed {seed}, tick {number}: {name} is {off} steps off");
            }
        }
    }
}

/// Bodies that drift and spin, and are pushed at times: what a body's place and turn take, both.
#[test]
fn a_body_that_drifts_takes_a_byte_an_update() {
    let mut rng = ChaCha12Rng::seed_from_u64(9);
    let mut hop = Hop::new(0);
    let mut bodies = vec![([0_i64; COMPONENTS], [0_i64; COMPONENTS], Turn::NONE, Turn::NONE); 100];
    for number in 1..=300 {
        for (body, (place, rate, turn, spin)) in bodies.iter_mut().enumerate() {
            if number == 1 || rng.next_u32() % 100 == 0 {
                *rate = rate.map(|_| i64::from(rng.next_u32() % 4_000) - 2_000);
                let mut part = || i64::from(rng.next_u32() % 20_000_000);
                *spin = Turn::small([part(), part(), part()]);
            }
            place.iter_mut().zip(*rate).for_each(|(place, rate)| *place += rate);
            *turn = turn.times(*spin);
            hop.outgoing.set(&format!("{body}/1"), VECTOR, Truth::Numbers(*place)).unwrap();
            hop.outgoing.set(&format!("{body}/2"), ROTATION, Truth::Rotation(*turn)).unwrap();
        }
        hop.tick(number, 10_000, false);
    }
    let each = hop.bytes as f64 / (100.0 * 300.0);
    assert!((0.4..1.2).contains(&each), "{each}");
}

#[test]
fn what_is_lost_is_mended_with_the_next_frame_that_arrives() {
    for seed in 0..50 {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let mut hop = Hop::new(u32::try_from(seed % 4).unwrap());
        let mut state = (0, 0, Turn::NONE, Turn::NONE);
        let mut burst = 0;
        let mut values = body(&mut rng, &mut state);
        for number in 1..600 {
            // Everything stands still at the end, and is right as soon as a few frames arrived.
            if number < 500 {
                values = body(&mut rng, &mut state);
            }
            for (name, kind, truth) in values {
                hop.outgoing.set(name, kind, truth).unwrap();
            }
            burst = match rng.next_u32() % 30 {
                0 => 3,
                _ => u32::saturating_sub(burst, 1),
            };
            hop.tick(number, 1_000, burst > 0);
        }
        let shown = hop.at(600);
        for (name, kind, truth) in values {
            let off = apart(shown[name], truth, kind);
            assert!(off <= 1.0, "seed {seed}: {name} is {off} steps off");
        }
    }
}

#[test]
fn what_rests_costs_nothing_and_what_is_gone_goes() {
    let mut hop = Hop::new(1);
    for body in 0..200 {
        hop.outgoing.set(&format!("body {body}"), VECTOR, numbers(body * 1_000)).unwrap();
    }
    for number in 1..100 {
        hop.tick(number, 1_200, false);
    }
    assert_eq!(hop.at(100).len(), 200);
    let before = hop.bytes;
    for number in 100..1_000 {
        hop.tick(number, 1_200, false);
    }
    assert_eq!(hop.bytes, before);
    // One of them moves: the others are not asked about.
    for number in 1_000..1_100 {
        hop.outgoing.set("body 7", VECTOR, numbers(i64::from(number) * 5_000)).unwrap();
        hop.tick(number, 1_200, false);
    }
    let each = (hop.bytes - before) as f64 / 100.0;
    assert!(each < 8.0, "{each}");
    assert!(hop.outgoing.remove("body 8"));
    for number in 1_100..1_110 {
        hop.tick(number, 1_200, false);
    }
    assert!(!hop.at(1_110).contains_key("body 8"));
    assert!(!hop.shown.contains_key("body 8"));
    // What comes anew under its name is another.
    hop.outgoing.set("body 8", ANGLE, Truth::Numbers([9 * PARTS, 0, 0, 0])).unwrap();
    for number in 1_110..1_120 {
        hop.tick(number, 1_200, false);
    }
    assert_eq!(hop.shown["body 8"], Truth::Numbers([9 * PARTS, 0, 0, 0]));
}

#[test]
fn a_budget_is_shared_by_who_waited_longest() {
    let mut hop = Hop::new(1);
    let mut rng = ChaCha12Rng::seed_from_u64(5);
    let mut places = vec![0_i64; 300];
    // A frame is on its way for a tick.
    let mut before_that = places.clone();
    let mut most = 0;
    let mut wrong = vec![0_u32; 300];
    for number in 1..400 {
        for (body, place) in places.iter_mut().enumerate() {
            // Nothing that could be guessed.
            *place += i64::from(rng.next_u32() % 20_000) - 10_000;
            hop.outgoing.set(&format!("{body}"), VECTOR, numbers(*place)).unwrap();
        }
        let before = hop.bytes;
        hop.tick(number, 600, false);
        most = most.max(hop.bytes - before);
        let shown = hop.shown.clone();
        for (body, place) in before_that.iter().enumerate() {
            let near = shown
                .get(&body.to_string())
                .is_some_and(|shown| apart(*shown, numbers(*place), VECTOR) < 1.0);
            wrong[body] = if near { 0 } else { wrong[body] + 1 };
        }
        before_that.clone_from(&places);
    }
    assert!(most < 1_000, "{most}");
    // 300 bodies, some 100 a tick: everybody's turn comes every few ticks.
    let longest = wrong.iter().max().unwrap();
    assert!(*longest < 30, "{longest}");
}

#[test]
fn who_had_no_room_to_say_it_again_has_something_to_say() {
    let (mut outgoing, mut incoming) = (Outgoing::default(), Incoming::new(100));
    for step in [1_000, 7_000] {
        for body in 1..=60 {
            outgoing.set(&format!("{body}"), VECTOR, numbers(body * step)).unwrap();
        }
        let all = outgoing.frame(1, 10_000, true).unwrap();
        // The second one is lost.
        if step == 1_000 {
            outgoing.acknowledge(incoming.receive(&all).unwrap().number);
            assert!(outgoing.is_settled());
        }
    }
    for _ in 0..100 {
        assert!(!outgoing.is_settled());
        let some = outgoing.frame(1, 60, true).unwrap();
        outgoing.acknowledge(incoming.receive(&some).unwrap().number);
        if outgoing.is_settled() {
            break;
        }
    }
    assert!(outgoing.is_settled());
    let near = incoming.values(1).filter(|(entry, shown)| {
        let body: i64 = entry.name.parse().unwrap();
        apart(*shown, numbers(body * 7_000), VECTOR) < 1.0
    });
    assert_eq!(near.count(), 60);
}

#[test]
fn a_long_way_slows_a_full_stream_and_never_stops_it() {
    let mut hop = Hop::new(8);
    for body in 0..1_500 {
        hop.outgoing.set(&format!("body {body}"), VECTOR, numbers(body * 1_000)).unwrap();
    }
    for number in 1..2_000 {
        hop.outgoing.set("body 7", VECTOR, numbers(i64::from(number) * 5_000)).unwrap();
        hop.tick(number, 1_200, false);
    }
    let shown = hop.at(2_000);
    assert_eq!(shown.len(), 1_500);
    let off = apart(shown["body 7"], numbers(1_999 * 5_000), VECTOR);
    // A few frames for each round trip: it is known of it where it goes.
    assert!(off < 200.0, "{off}");
}

#[test]
fn what_comes_and_goes_within_a_round_trip_is_gone() {
    let mut hop = Hop::new(3);
    hop.outgoing.set("first", VECTOR, numbers(1_000)).unwrap();
    for number in 1..10 {
        hop.tick(number, 1_200, false);
    }
    hop.outgoing.set("second", VECTOR, numbers(2_000)).unwrap();
    hop.tick(10, 1_200, false);
    assert!(hop.outgoing.remove("second"));
    for number in 11..30 {
        hop.tick(number, 1_200, false);
    }
    assert_eq!(hop.shown.keys().collect::<Vec<_>>(), ["first"]);
}

#[test]
fn what_cannot_be_carried_is_refused_and_changes_nothing() {
    let mut outgoing = Outgoing::default();
    let id = outgoing.set("one", VECTOR, numbers(7_000)).unwrap();
    let far = FARTHEST + 1;
    let long = "n".repeat(MAX_NAME + 1);
    let rotation = Truth::Rotation(Turn::NONE);
    let none = Kind::Vector { components: 5 };
    let refused = [
        (outgoing.set("one", ANGLE, numbers(1)), SetError::AnotherKind { before: VECTOR }),
        (outgoing.set("one", VECTOR, rotation), SetError::NotOfKind { kind: VECTOR }),
        (
            outgoing.set("two", VECTOR, Truth::Numbers([0, far, 0, 0])),
            SetError::TooFar { parts: far, limit: FARTHEST },
        ),
        (outgoing.set("two", none, numbers(1)), SetError::NoKind { kind: none }),
        (
            outgoing.set(&long, VECTOR, numbers(1)),
            SetError::LongName { size: MAX_NAME + 1, limit: MAX_NAME },
        ),
    ];
    for (outcome, error) in refused {
        assert_eq!(outcome, Err(error));
    }
    outgoing.set_at(id, numbers(8_000)).unwrap();
    assert!(outgoing.remove("one"));
    let again = outgoing.set("one", VECTOR, numbers(9_000)).unwrap();
    assert_eq!(outgoing.set_at(id, numbers(1)), Err(SetError::Gone));
    assert_ne!(id, again);
    let mut incoming = Incoming::new(10);
    incoming.receive(&outgoing.frame(1, 1_200, false).unwrap()).unwrap();
    let shown: Vec<_> = incoming.changes().map(|(entry, truth)| (&*entry.name, truth)).collect();
    assert_eq!(shown, [("one", incoming.values(1).next().map(|(_, truth)| truth))]);
}

/// What a frame says is gone.
fn gone(incoming: &mut Incoming, frame: &[u8]) -> Vec<String> {
    incoming.receive(frame).unwrap();
    let gone = incoming.changes().filter(|(_, truth)| truth.is_none());
    gone.map(|(entry, _)| entry.name.to_string()).collect()
}

#[test]
fn what_is_removed_while_a_stream_begins_anew_is_gone_once_all_else_is_told() {
    let (mut outgoing, mut incoming) = (Outgoing::default(), Incoming::new(100));
    for at in 0..20 {
        outgoing.set(&format!("entry {at}"), VECTOR, numbers(at * 1_000)).unwrap();
    }
    assert_eq!(gone(&mut incoming, &outgoing.frame(1, 10_000, true).unwrap()), [""; 0]);
    outgoing.acknowledge(1);
    outgoing.remove("entry 7");
    outgoing.restart();
    // It has room for some of the others.
    assert_eq!(gone(&mut incoming, &outgoing.frame(2, 200, true).unwrap()), [""; 0]);
    outgoing.acknowledge(2);
    assert!(outgoing.lacks() && !outgoing.is_settled());
    let mut number = 2;
    let mut told = Vec::new();
    while outgoing.lacks() {
        number += 1;
        told.extend(gone(&mut incoming, &outgoing.frame(number, 200, true).unwrap()));
        outgoing.acknowledge(number);
    }
    assert_eq!(told, ["entry 7"]);
    assert_eq!(incoming.values(number).count(), 19);
    // From then on what is not there any more is gone at once.
    outgoing.remove("entry 3");
    let frame = outgoing.frame(number + 1, 10_000, true).unwrap();
    assert_eq!(gone(&mut incoming, &frame), ["entry 3"]);
}

#[test]
fn a_frame_that_lacks_something_behind_one_that_told_all_is_not_the_last_word() {
    let (mut outgoing, mut incoming) = (Outgoing::default(), Incoming::new(100));
    let set = |outgoing: &mut Outgoing, first: i64| {
        for at in 0..20 {
            outgoing.set(&format!("entry {at}"), VECTOR, numbers(first + at * 9_999_000)).unwrap();
        }
    };
    for (tick, first) in [(1, 0), (2, 70_000_000)] {
        set(&mut outgoing, first);
        incoming.receive(&outgoing.frame(tick, 10_000, true).unwrap()).unwrap();
        outgoing.acknowledge(tick);
    }
    set(&mut outgoing, -30_000_000);
    let whole = outgoing.frame(3, 10_000, true).unwrap();
    assert!(!outgoing.lacks());
    // Said again before it was answered, with less room.
    let part = outgoing.frame(3, 60, true).unwrap();
    incoming.receive(&whole).unwrap();
    outgoing.acknowledge(incoming.receive(&part).unwrap().number);
    assert!(outgoing.lacks() && !outgoing.is_settled());
    let last = outgoing.frame(3, 10_000, false).unwrap();
    outgoing.acknowledge(incoming.receive(&last).unwrap().number);
    assert!(outgoing.is_settled());
    for (at, (_, shown)) in (0..).zip(incoming.values(3)) {
        let off = apart(shown, numbers(-30_000_000 + at * 9_999_000), VECTOR);
        assert!(off <= 0.501, "entry {at} is {off} steps off");
    }
}

#[test]
fn a_frame_of_an_earlier_tick_is_malformed() {
    let (mut outgoing, mut incoming) = (Outgoing::default(), Incoming::new(100));
    outgoing.set("one", VECTOR, numbers(5)).unwrap();
    incoming.receive(&outgoing.frame(100, 1_000, true).unwrap()).unwrap();
    outgoing.restart();
    let frame = outgoing.frame(99, 1_000, true).unwrap();
    assert_eq!(incoming.receive(&frame), Err(StateFault::Malformed));
}

#[test]
fn what_would_be_guessed_is_said_where_everything_is() {
    let (mut outgoing, mut incoming) = (Outgoing::of_everything(), Incoming::new(10));
    for number in 1..100 {
        outgoing.set("one", VECTOR, numbers(i64::from(number) * 25_600 + 100)).unwrap();
        let frame = outgoing.frame(number, 1_200, false).unwrap();
        outgoing.acknowledge(incoming.receive(&frame).unwrap().number);
        let (_, Truth::Numbers([shown, ..])) = incoming.values(number).next().unwrap() else {
            panic!("not a vector");
        };
        // It lies on the grid, and not only near the truth.
        assert_eq!(shown, i64::from(number) * 25_600);
    }
}

proptest! {
    #[test]
    fn any_frame_is_borne(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20)) {
        let mut hop = Hop::new(0);
        hop.outgoing.set("one", VECTOR, numbers(7_000)).unwrap();
        hop.outgoing.set("two", ROTATION, Truth::Rotation(Turn::NONE)).unwrap();
        hop.tick(1, 1_000, false);
        for frame in frames {
            if let Ok(update) = hop.incoming.receive(&frame) {
                prop_assert!(hop.incoming.changes().count() <= 10_000);
                prop_assert_eq!(hop.incoming.last(), Some(update.number));
            }
        }
    }

    #[test]
    fn a_frame_that_is_cut_short_or_changed_never_takes_much(at in 0..40_usize, with: u8) {
        let mut outgoing = Outgoing::default();
        outgoing.set("one", VECTOR, numbers(7_000)).unwrap();
        let frame = outgoing.frame(1, 1_000, false).unwrap();
        let mut changed = frame.to_vec();
        let at = at % changed.len();
        changed[at] = with;
        Incoming::new(10).receive(&changed).ok();
        Incoming::new(10).receive(&frame[..at]).ok();
    }
}
