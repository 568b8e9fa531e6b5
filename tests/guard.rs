//! Inputs that nobody honest would send, and honest ones, against the guard. `GUARD_SEED=7` takes
//! other inputs. By default there are 300,000 inputs and 100,000 honest changes, so that it does not
//! take minutes; `PARLOR_FULL=1` takes 10^6 of each. The 10^8 are a benchmark's:
//! `cargo bench -p parlor-bench --bench guard -- --inputs 100000000`.
#![cfg(feature = "sim")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test is a panic")]

use std::env;
use std::thread;

use parlor::proto::id::DocumentId;
use parlor::proto::wire::bounded::Line;
use parlor::proto::wire::message::{EntryRecord, Made, ParentRecord, WellKnownRecord};
use parlor::sim::guard::{self, Coverage, ROUND};

const THREADS: u64 = 2;

fn seed() -> u64 {
    env::var("GUARD_SEED").map_or(1, |seed| seed.parse().unwrap())
}

/// How many there are of something: as many as said, or 10^6.
fn at_least(usual: u64) -> u64 {
    if env::var_os("PARLOR_FULL").is_some() { 1_000_000 } else { usual }
}

/// Plays rounds on a few threads. Returns what was reached.
fn attack(rounds: u64) -> Coverage {
    let play = |thread: u64| {
        let mut coverage = Coverage::default();
        for round in (thread..rounds).step_by(usize::try_from(THREADS).unwrap()) {
            if let Err(finding) = guard::round(seed(), round, &mut coverage) {
                panic!("{finding}");
            }
        }
        coverage
    };
    thread::scope(|scope| {
        let threads: Vec<_> =
            (0..THREADS).map(|thread| scope.spawn(move || play(thread))).collect();
        let mut all = Coverage::default();
        for thread in threads {
            all.merge(&thread.join().unwrap());
        }
        all
    })
}

#[test]
fn nothing_that_is_let_in_harms_a_document() {
    let inputs = at_least(300_000);
    let coverage = attack(inputs.div_ceil(ROUND));
    println!("{coverage}");
    assert!(coverage.inputs() >= inputs);
    assert!(coverage.passed() >= coverage.inputs() / 10, "{coverage}");
    let missing = coverage.missing();
    assert!(missing.is_empty(), "never reached: {missing:?}");
}

#[test]
fn without_the_guard_the_same_inputs_make_automerge_panic() {
    let rounds = 100_000 / ROUND;
    let panicked = (0..rounds).find_map(|round| guard::unguarded(seed(), round).unwrap());
    assert!(panicked.is_some(), "no panic in {} inputs", rounds * ROUND);
}

#[test]
fn nothing_honest_is_refused() {
    let least = at_least(100_000);
    let (mut written, mut round) = (0, 0);
    while written < least {
        written += guard::honest(seed(), round).unwrap();
        round += 1;
    }
}

/// A map under the root's empty key had the root's path, and what was put into it showed as the
/// root's properties: to those who saw it come, and not to those who came later.
#[test]
fn what_stands_under_the_roots_empty_key_is_no_property_of_the_root() {
    let map = WellKnownRecord { parent: None, key: Line::new("").unwrap(), made: Made::Map };
    let scope = guard::scope();
    let sealed = scope.well_known(&map, 0);
    let actor = scope.well_known_actor(&map);
    let leader = WellKnownRecord {
        parent: Some(ParentRecord { actor, counter: 1, change: sealed.hash }),
        key: Line::new("9").unwrap(),
        made: Made::Record(Line::new("4/nobody").unwrap()),
    };
    let entries = [map, leader].map(EntryRecord::WellKnown);
    assert_eq!(guard::replay(DocumentId::MODELS, &entries), Ok(()));
}
