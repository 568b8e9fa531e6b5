//! What came out: tables for people, a JSON object a line for machines.

use std::io::{self, Write};
use std::time::Duration;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde_json::json;

use crate::crowd::Outcome;

/// What was measured.
pub(crate) enum Report {
    Calls(Calls),
    Crowd(Outcome),
}

/// How long calls took.
pub(crate) struct Calls {
    way: &'static str,
    count: usize,
    times: Times,
}

/// Some times, in milliseconds.
#[derive(Clone, Copy)]
struct Times {
    middle: f64,
    slow: f64,
    slowest: f64,
}

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |hundredth: usize| {
            let place = (times.len() * hundredth / 100).min(times.len().saturating_sub(1));
            times.get(place).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
        };
        Self { middle: at(50), slow: at(99), slowest: at(100) }
    }
}

impl Calls {
    pub(crate) fn new(way: &'static str, times: Vec<Duration>) -> Self {
        Self { way, count: times.len(), times: Times::of(times) }
    }
}

pub(crate) fn write_json(reports: &[Report], out: &mut impl Write) -> io::Result<()> {
    for report in reports {
        let line = match report {
            Report::Calls(Calls { way, count, times }) => json!({
                "way": way,
                "calls": count,
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
            Report::Calls(Calls { way, count, times }) => {
                let shown = [times.middle, times.slow, times.slowest].map(|it| format!("{it:.3}"));
                calls.add_row([(*way).to_owned(), count.to_string()].into_iter().chain(shown));
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

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
