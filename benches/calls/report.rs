//! What came out: tables for people, a JSON object a line for machines.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::json;

use crate::crowd::Outcome;
use crate::table::{Times, table};

/// What was measured.
pub(crate) enum Report {
    Calls(Calls),
    Crowd(Outcome),
}

/// How long calls took.
pub(crate) struct Calls {
    way: &'static str,
    times: Times,
}

impl Calls {
    pub(crate) fn new(way: &'static str, times: Vec<Duration>) -> Self {
        Self { way, times: Times::of(times) }
    }
}

pub(crate) fn write_json(reports: &[Report], out: &mut impl Write) -> io::Result<()> {
    for report in reports {
        let line = match report {
            Report::Calls(Calls { way, times }) => json!({
                "way": way,
                "calls": times.count,
                "p50_ms": times.middle,
                "p99_ms": times.slow,
                "max_ms": times.slowest,
            }),
            Report::Crowd(crowd) => {
                let times = Times::of(crowd.ages.clone());
                json!({
                    "peers": crowd.peers,
                    "seconds": crowd.length.as_secs_f64(),
                    "given": crowd.given,
                    "due": crowd.due,
                    "heard": crowd.heard,
                    "twice": crowd.twice,
                    "out_of_order": crowd.disordered,
                    "full": crowd.full,
                    "age_p50_ms": times.middle,
                    "age_p99_ms": times.slow,
                    "age_max_ms": times.slowest,
                })
            }
        };
        writeln!(out, "{line}")?;
    }
    Ok(())
}

pub(crate) fn write_tables(reports: &[Report], out: &mut impl Write) -> io::Result<()> {
    let mut calls = table(&["calls", "how many", "p50 ms", "p99 ms", "max ms"]);
    let mut crowds = table(&[
        "peers",
        "s",
        "given",
        "a second",
        "due",
        "lost",
        "twice",
        "out of order",
        "p50 ms",
        "p99 ms",
        "max ms",
    ]);
    for report in reports {
        match report {
            Report::Calls(Calls { way, times }) => {
                let shown = [times.middle, times.slow, times.slowest].map(|it| format!("{it:.3}"));
                calls
                    .add_row([(*way).to_owned(), times.count.to_string()].into_iter().chain(shown));
            }
            Report::Crowd(crowd) => {
                let times = Times::of(crowd.ages.clone());
                let seconds = crowd.length.as_secs_f64();
                #[expect(clippy::cast_precision_loss, reason = "far below what a float counts")]
                let rate = crowd.given as f64 / seconds;
                let counts = [
                    crowd.due,
                    crowd.due.saturating_sub(crowd.heard),
                    crowd.twice,
                    crowd.disordered,
                ];
                let shown = [times.middle, times.slow, times.slowest].map(|it| format!("{it:.2}"));
                let first = [
                    crowd.peers.to_string(),
                    format!("{seconds:.1}"),
                    crowd.given.to_string(),
                    format!("{rate:.0}"),
                ];
                crowds
                    .add_row(first.into_iter().chain(counts.map(|it| it.to_string())).chain(shown));
            }
        }
    }
    for table in [calls, crowds] {
        if table.row_count() > 0 {
            writeln!(out, "{table}")?;
        }
    }
    Ok(())
}
