//! What came out: tables for people, a JSON object a line for machines.

use std::io::{self, Write};
use std::time::Duration;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde_json::json;

/// What was measured.
pub(crate) enum Report {
    /// A file, written and synced.
    Floor(Times),
    /// Rooms that are written in.
    Writers {
        rooms: usize,
        seconds: f64,
        /// From a write to the word that it is kept.
        times: Times,
        commits: u64,
        syncs: u64,
        bytes: u64,
    },
    /// What is on disk, opened again.
    Again {
        rooms: usize,
        /// Of the room that is fetched.
        bytes: usize,
        opened: Duration,
        /// With the opening.
        fetched: Duration,
        /// Until a peer has the room.
        ready: Duration,
    },
}

/// Some times, in milliseconds.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    count: usize,
    middle: f64,
    slow: f64,
    slowest: f64,
}

impl Times {
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |hundredth: usize| {
            let place = (times.len() * hundredth / 100).min(times.len().saturating_sub(1));
            times.get(place).map_or(f64::NAN, |time| milliseconds(*time))
        };
        Self { count: times.len(), middle: at(50), slow: at(99), slowest: at(100) }
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "far below what a float counts")]
fn a_second(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

pub(crate) fn write_json(reports: &[Report], out: &mut impl Write) -> io::Result<()> {
    for report in reports {
        let line = match report {
            Report::Floor(times) => json!({
                "floor": times.count, "p50_ms": times.middle, "p99_ms": times.slow,
                "max_ms": times.slowest,
            }),
            Report::Writers { rooms, seconds, times, commits, syncs, bytes } => json!({
                "rooms": rooms, "seconds": seconds, "writes": times.count, "p50_ms": times.middle,
                "p99_ms": times.slow, "max_ms": times.slowest, "commits": commits, "syncs": syncs,
                "syncs_a_second": a_second(*syncs, *seconds), "bytes": bytes,
            }),
            Report::Again { rooms, bytes, opened, fetched, ready } => json!({
                "stored": rooms, "room_bytes": bytes, "opened_ms": milliseconds(*opened),
                "fetched_ms": milliseconds(*fetched), "ready_ms": milliseconds(*ready),
            }),
        };
        writeln!(out, "{line}")?;
    }
    Ok(())
}

pub(crate) fn write_tables(reports: &[Report], out: &mut impl Write) -> io::Result<()> {
    let mut writers = table(&[
        "rooms",
        "s",
        "writes",
        "p50 ms",
        "p99 ms",
        "max ms",
        "to the floor",
        "commits/s",
        "syncs/s",
        "KB/s",
    ]);
    let mut again = table(&["rooms", "bytes of one", "opened ms", "fetched ms", "ready ms"]);
    let floor = reports.iter().find_map(|report| match report {
        Report::Floor(times) => Some(*times),
        Report::Writers { .. } | Report::Again { .. } => None,
    });
    for report in reports {
        match report {
            Report::Floor(times) => {
                let shown = [times.middle, times.slow, times.slowest].map(|it| format!("{it:.2}"));
                let first = ["a file".to_owned(), String::new(), times.count.to_string()];
                let rest = ["1".to_owned(), String::new(), String::new(), String::new()];
                writers.add_row(first.into_iter().chain(shown).chain(rest));
            }
            Report::Writers { rooms, seconds, times, commits, syncs, bytes } => {
                let shown = [times.middle, times.slow, times.slowest].map(|it| format!("{it:.1}"));
                let first = [rooms.to_string(), format!("{seconds:.1}"), times.count.to_string()];
                let ratio = floor
                    .map_or(String::new(), |floor| format!("{:.1}", times.middle / floor.middle));
                let rates = [*commits, *syncs].map(|it| format!("{:.1}", a_second(it, *seconds)));
                let volume = format!("{:.0}", a_second(*bytes, *seconds) / 1e3);
                let rest = [ratio].into_iter().chain(rates).chain([volume]);
                writers.add_row(first.into_iter().chain(shown).chain(rest));
            }
            Report::Again { rooms, bytes, opened, fetched, ready } => {
                let shown =
                    [*opened, *fetched, *ready].map(|it| format!("{:.1}", milliseconds(it)));
                let first = [rooms.to_string(), bytes.to_string()];
                again.add_row(first.into_iter().chain(shown));
            }
        }
    }
    for table in [writers, again] {
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
