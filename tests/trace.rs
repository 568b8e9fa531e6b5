//! Recorded concurrent editing, replayed by two or three peers in the simulator at 80 ms and 5 % of
//! loss: what was concurrent when it was recorded is concurrent here. By default a trace made here,
//! and the beginning of a recorded one that lies beside the project (`PARLOR_DATA` says where); all
//! of that with `PARLOR_FULL=1`.
#![cfg(feature = "sim")]
#![expect(clippy::unwrap_used, reason = "a failing test is a panic")]

#[path = "trace/generated.rs"]
mod generated;
#[path = "trace/recorded.rs"]
mod recorded;
#[path = "trace/replay.rs"]
mod replay;

use std::env;

use self::recorded::Trace;
use self::replay::Replay;

/// Transactions of the recorded trace that are replayed by default.
const BEGINNING: usize = 1_500;

/// After how many changes history is cut of a recording.
const CUT_EVERY: usize = 500;

/// What the recording says of itself: transactions that the other agent names as parent.
const NAMED: usize = 2_446;

#[test]
fn a_trace_made_here_ends_in_one_text() {
    for (seed, agents) in [(1, 2), (2, 3), (3, 3)] {
        let trace = generated::trace(seed, agents, 300, true);
        assert!(trace.concurrent() > 50, "hardly anything is concurrent");
        let mut replay = Replay::new(seed, &trace);
        replay.run();
        assert_eq!(replay.finish(), trace.end, "seed {seed}");
    }
}

#[test]
fn a_trace_made_here_keeps_every_letter_while_its_history_is_cut() {
    // Not always in the same order: what is written again in another epoch has another place beside
    // what somebody else wrote just there.
    for (seed, agents) in [(1, 2), (4, 2), (5, 2)] {
        let trace = generated::trace(seed, agents, 900, false);
        let mut replay = Replay::new(seed, &trace);
        replay.cut_every(4);
        replay.run();
        assert_eq!(letters(&replay.finish()), letters(&trace.end), "seed {seed}");
        assert!(replay.cuts() > 2, "{} cuts", replay.cuts());
    }
}

fn letters(text: &str) -> Vec<char> {
    let mut letters: Vec<char> = text.chars().collect();
    letters.sort_unstable();
    letters
}

#[test]
fn the_beginning_of_a_recording_ends_in_one_text() {
    let Some(mut trace) = recorded() else {
        return;
    };
    trace.transactions.truncate(BEGINNING);
    let mut replay = Replay::new(1, &trace);
    replay.run();
    replay.finish();
}

#[test]
fn a_recording_ends_in_the_recorded_text() {
    if env::var_os("PARLOR_FULL").is_none() {
        println!("skipped: PARLOR_FULL is not set");
        return;
    }
    let Some(trace) = recorded() else {
        return;
    };
    assert_eq!(trace.named().len(), NAMED);
    // Whichever of the agents has the higher actor: the recording has no letters of two agents
    // after the same one at once, whose order that would decide.
    let ascends = |seed: &u64| replay::actors(*seed, trace.agents).is_sorted();
    let seeds = [(0..).find(ascends).unwrap(), (0..).find(|seed| !ascends(seed)).unwrap()];
    for seed in seeds {
        let mut replay = Replay::new(seed, &trace);
        replay.run();
        assert_eq!(replay.named_frames(), NAMED);
        assert_eq!(replay.finish(), trace.end, "seed {seed}");

        let mut replay = Replay::new(seed, &trace);
        replay.cut_every(CUT_EVERY);
        replay.run();
        assert_eq!(replay.finish(), trace.end, "seed {seed}, with its history cut");
        assert!(replay.cuts() >= NAMED / CUT_EVERY, "{} cuts", replay.cuts());
    }
}

#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn recorded() -> Option<Trace> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data");
    let folder = env::var("PARLOR_DATA").unwrap_or_else(|_| beside.to_owned());
    let trace = Trace::read(&format!("{folder}/friendsforever.json.gz"));
    if trace.is_none() {
        println!("skipped: no friendsforever.json.gz in {folder}; PARLOR_DATA says where it is");
    }
    trace
}
