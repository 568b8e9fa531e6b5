//! How the demo shows what it does.

use std::time::Duration;

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, Table};
use indicatif::{ProgressBar, ProgressStyle};
use parlor::net::Clock;
use parlor::proto::time::Time;
use serde_json::{Value as Json, json};

use crate::failure::Failure;
use crate::output::{FAINT, Output, STRONG, is_watched, paint};

/// The steps of the demo, as they go.
pub(super) struct Steps {
    output: Output,
    clock: Clock,
    begun: Time,
    spinner: Option<ProgressBar>,
}

impl Steps {
    pub(super) fn new(output: Output) -> Self {
        let clock = Clock::new();
        let spinner = (is_watched() && !output.json).then(|| {
            let spinner = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                spinner.set_style(style);
            }
            spinner.enable_steady_tick(Duration::from_millis(80));
            spinner
        });
        Self { output, clock, begun: clock.now(), spinner }
    }

    /// Says what comes.
    pub(super) fn begin(&mut self, what: &'static str) {
        self.begun = self.clock.now();
        if let Some(spinner) = &self.spinner {
            spinner.set_message(what);
        }
    }

    /// Says what has been done.
    pub(super) fn end(&self, step: &str, what: &str) -> Result<(), Failure> {
        let millis = self.clock.now().since(self.begun).as_secs_f64() * 1e3;
        let object = json!({ "step": step, "what": what, "ms": millis.round() });
        let time = paint(FAINT, format_args!("{millis:>6.0} ms"));
        let name = paint(STRONG, format_args!("{step:<9}"));
        let write = || self.output.tell(&object, format_args!("{name} {time}  {what}"));
        match &self.spinner {
            Some(spinner) => spinner.suspend(write),
            None => write(),
        }
    }

    /// No more steps. Returns how long all took.
    pub(super) fn finish(&self) -> f64 {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
        self.clock.now().since(Time::ZERO).as_secs_f64()
    }
}

/// What the peers hold, one row for each.
pub(super) fn of(reports: &[Json]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY);
    table.set_header([
        "peer", "state", "models", "texts", "players", "chairs", "turns", "visits", "text", "sent",
        "received",
    ]);
    for report in reports {
        let short = |json: &Json| json.as_str().unwrap_or_default().chars().take(12).collect();
        let total = |way: &str| {
            let lanes = ["control", "document", "snapshot"];
            let bytes = lanes.map(|lane| report["bytes"][lane][way].as_u64().unwrap_or_default());
            bytes.iter().sum::<u64>().to_string()
        };
        let count = |name: &str| report["counts"][name].to_string();
        let row: Vec<String> = vec![
            report["name"].as_str().unwrap_or_default().to_owned(),
            short(&report["state_hash"]),
            short(&report["heads"][0]),
            short(&report["heads"][1]),
            count("players"),
            count("chairs"),
            count("turns"),
            count("visits"),
            count("note_chars"),
            total("sent"),
            total("received"),
        ];
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
