//! How voices were heard, one row for each.

use std::time::Duration;

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, Table};
use parlor::audio::RATE;
use serde_json::{Value as Json, json};

use super::ears::Account;

/// For programs.
pub(super) fn object(account: &Account) -> Json {
    let counts = &account.counts;
    json!({
        "client": account.name.client.0,
        "stream": account.name.number,
        "peer": account.peer.to_string(),
        "voice_seconds": seconds(counts.voice),
        "mean_delay_ms": millis(counts.mean_delay),
        "p95_delay_ms": millis(counts.high_delay),
        "target_ms": millis(counts.target),
        "concealed_percent": concealed(account),
        "lost": counts.lost,
        "recovered": counts.recovered,
        "repeated": counts.repeated,
        "late": counts.late,
        "skipped": counts.skipped,
        "duplicates": counts.duplicates,
        "reordered": counts.reordered,
        "failed": counts.failed,
        "stretches": counts.stretches,
    })
}

/// For a person.
pub(super) fn of(accounts: &[Account]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY);
    table.set_header([
        "voice",
        "peer",
        "heard",
        "delay",
        "p95",
        "made up",
        "lost",
        "recovered",
        "late",
    ]);
    for account in accounts {
        let counts = &account.counts;
        let (name, peer) = (account.name, account.peer.to_string());
        table.add_row([
            format!("{}.{}", name.client, name.number),
            peer.chars().rev().take(12).collect::<Vec<_>>().into_iter().rev().collect(),
            format!("{:.1} s", seconds(counts.voice)),
            format!("{:.0} ms", millis(counts.mean_delay)),
            format!("{:.0} ms", millis(counts.high_delay)),
            format!("{:.1} %", concealed(account)),
            counts.lost.to_string(),
            (counts.recovered + counts.repeated).to_string(),
            (counts.late + counts.skipped).to_string(),
        ]);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn seconds(samples: u64) -> f64 {
    samples as f64 / f64::from(RATE)
}

fn millis(length: Duration) -> f64 {
    length.as_secs_f64() * 1e3
}

/// Which share of the voice was made up.
fn concealed(account: &Account) -> f64 {
    100.0 * account.counts.concealed as f64 / account.counts.voice.max(1) as f64
}
