//! What came out: a table for people, a JSON object a line for machines.

use std::io::{self, Write};
use std::time::Duration;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{ContentArrangement, Table};
use serde_json::json;

/// One way's figures.
pub(crate) struct Row {
    pub(crate) way: &'static str,
    pub(crate) bytes: usize,
    pub(crate) updates: usize,
    pub(crate) took: Duration,
    /// In steps of the grid.
    pub(crate) worst: Option<f64>,
}

/// All of them; the first is what the others are compared with.
#[derive(Default)]
pub(crate) struct Report(Vec<Row>);

impl Row {
    #[expect(clippy::cast_precision_loss, reason = "far below what a float counts")]
    fn each(&self) -> f64 {
        self.bytes as f64 / self.updates.max(1) as f64
    }

    #[expect(clippy::cast_precision_loss, reason = "far below what a float counts")]
    fn nanoseconds(&self) -> f64 {
        self.took.as_nanos() as f64 / self.updates.max(1) as f64
    }
}

impl Report {
    pub(crate) fn add(&mut self, row: Row) {
        self.0.push(row);
    }

    pub(crate) fn show(&self, as_json: bool) -> io::Result<()> {
        let mut out = anstream::stdout();
        if as_json {
            for row in &self.0 {
                let line = json!({
                    "scene": "football",
                    "way": row.way,
                    "updates": row.updates,
                    "bytes_per_update": row.each(),
                    "ns_per_update": row.nanoseconds(),
                    "worst_steps": row.worst,
                });
                writeln!(out, "{line}")?;
            }
            return Ok(());
        }
        let mut table = Table::new();
        table.load_preset(ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(["football", "bytes an update", "ratio", "ns", "worst, steps"]);
        let first = self.0.first().map_or(1.0, Row::each);
        for row in &self.0 {
            table.add_row([
                row.way.to_owned(),
                format!("{:.2}", row.each()),
                format!("{:.1}", row.each() / first),
                format!("{:.0}", row.nanoseconds()),
                row.worst.map_or_else(String::new, |worst| format!("{worst:.2}")),
            ]);
        }
        writeln!(out, "{table}")
    }
}

/// Says what is wrong.
pub(crate) fn complain(why: &str) {
    // Nobody may be listening.
    writeln!(anstream::stderr(), "error: {why}").ok();
}
