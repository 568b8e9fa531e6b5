//! What came out: a table for people, a JSON object a line for machines.

use std::io::{self, Write};
use std::time::Duration;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{ContentArrangement, Table};
use serde_json::{Value, json};

use crate::hop::{Outcomes, Plan};

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

/// What came of a hop, for all seeds together.
pub(crate) struct Flight {
    pub(crate) plan: Plan,
    pub(crate) seeds: usize,
    pub(crate) all: Outcomes,
}

/// Asteroids over hops.
#[derive(Default)]
pub(crate) struct Flights(Vec<Flight>);

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
        if self.0.is_empty() {
            return Ok(());
        }
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

impl Flights {
    pub(crate) fn add(&mut self, flight: Flight) {
        self.0.push(flight);
    }

    pub(crate) fn show(&self, as_json: bool) -> io::Result<()> {
        let mut out = anstream::stdout();
        if as_json {
            return self.0.iter().try_for_each(|flight| writeln!(out, "{}", flight.line()));
        }
        if self.0.is_empty() {
            return Ok(());
        }
        let mut table = Table::new();
        table.load_preset(ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header([
            "asteroids",
            "loss %",
            "acknowledged, ticks later",
            "bytes a transform",
            "largest frame",
            "place off, worst and mean, m",
            "turn off, worst and mean",
            "encode, ns",
            "decode, ns",
        ]);
        for flight in &self.0 {
            table.add_row(flight.row());
        }
        writeln!(out, "{table}")
    }
}

impl Flight {
    const fn way(&self) -> &'static str {
        match (self.plan.relayed, self.plan.everything) {
            (false, false) => "one hop",
            (true, false) => "second of two hops",
            (false, true) => "one hop, everything said",
            (true, true) => "second of two hops, everything said",
        }
    }

    fn line(&self) -> Value {
        let Self { plan, seeds, all } = self;
        let [encode, decode] = all.times();
        json!({
            "scene": "asteroids",
            "way": self.way(),
            "seeds": seeds,
            "loss_percent": plan.loss,
            "burst_ticks": plan.burst,
            "delay_ticks": plan.delay,
            "place_step_m": plan.grid.place,
            "turn_steps": plan.grid.turn,
            "transforms": all.told,
            "unknown": all.unknown,
            "bytes_per_transform": all.each(),
            "largest_frame": all.largest,
            "place_worst_m": all.place.worst,
            "place_mean_m": all.place.mean(),
            "turn_worst": all.turn.worst,
            "turn_mean": all.turn.mean(),
            "encode_ns": encode,
            "decode_ns": decode,
        })
    }

    fn row(&self) -> [String; 9] {
        let Self { plan, all, .. } = self;
        let [encode, decode] = all.times();
        [
            self.way().to_owned(),
            plan.burst.map_or_else(
                || plan.loss.to_string(),
                |length| format!("{}, {length} in a row", plan.loss),
            ),
            plan.delay.to_string(),
            format!("{:.3}", all.each()),
            all.largest.to_string(),
            format!("{:.4}, {:.4}", all.place.worst, all.place.mean()),
            format!("{:.5}, {:.5}", all.turn.worst, all.turn.mean()),
            format!("{encode:.0}"),
            format!("{decode:.0}"),
        ]
    }
}

/// Says what is wrong.
pub(crate) fn complain(why: &str) {
    // Nobody may be listening.
    writeln!(anstream::stderr(), "error: {why}").ok();
}
