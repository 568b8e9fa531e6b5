//! What came out: tables for people, a JSON object a line for machines.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::json;

use crate::table::{Times, table};

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
    /// What was edited without a relay, merged by a peer that was begun again.
    Offline {
        edits: usize,
        /// Until the peer shows it, without a relay.
        opened: Duration,
        /// Until it is in the room.
        ready: Duration,
        /// Until the relay has everything.
        told: Duration,
        /// Until another has everything.
        merged: Duration,
    },
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
            Report::Offline { edits, opened, ready, told, merged } => json!({
                "edits": edits, "opened_ms": milliseconds(*opened), "ready_ms": milliseconds(*ready),
                "told_ms": milliseconds(*told), "merged_ms": milliseconds(*merged),
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
    let mut offline = table(&["edits offline", "opened ms", "ready ms", "told ms", "merged ms"]);
    let floor = reports.iter().find_map(|report| match report {
        Report::Floor(times) => Some(*times),
        Report::Writers { .. } | Report::Again { .. } | Report::Offline { .. } => None,
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
            Report::Offline { edits, opened, ready, told, merged } => {
                let shown = [*opened, *ready, *told, *merged];
                let shown = shown.map(|it| format!("{:.1}", milliseconds(it)));
                offline.add_row([edits.to_string()].into_iter().chain(shown));
            }
        }
    }
    for table in [writers, again, offline] {
        if table.row_count() > 0 {
            writeln!(out, "{table}")?;
        }
    }
    Ok(())
}
