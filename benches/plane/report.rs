//! What came out: a table for people, a JSON object a line for machines.

use std::io::{self, Write};

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde_json::json;

use crate::Plan;
use crate::ages::Ages;
use crate::frame::Arrivals;

/// One way at one loss.
pub(crate) struct Row {
    way: &'static str,
    loss: u32,
    /// Of 100.
    delivered: f64,
    ages: Ages,
}

impl Row {
    #[expect(clippy::cast_precision_loss, reason = "far below what a float counts")]
    pub(crate) fn new(way: &'static str, plan: Plan, arrivals: Arrivals) -> Self {
        let ages = arrivals.ages;
        let sent = plan.receivers as f64 * f64::from(plan.frames);
        Self {
            way,
            loss: plan.loss,
            delivered: 100.0 * ages.len() as f64 / sent,
            ages: Ages::of(ages),
        }
    }
}

/// All of them.
#[derive(Default)]
pub(crate) struct Report(Vec<Row>);

impl Report {
    pub(crate) fn add(&mut self, row: Row) {
        self.0.push(row);
    }

    pub(crate) fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        for row in &self.0 {
            let line = json!({
                "way": row.way,
                "loss_percent": row.loss,
                "delivered_percent": row.delivered,
                "age_p50_ms": row.ages.middle,
                "age_p99_ms": row.ages.slow,
                "age_max_ms": row.ages.slowest,
            });
            writeln!(out, "{line}")?;
        }
        Ok(())
    }

    /// In brackets, how many times the first way's it is.
    pub(crate) fn write_table(&self, out: &mut impl Write) -> io::Result<()> {
        let mut table = Table::new();
        table.load_preset(ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(["lost", "way", "delivered", "age, p50 ms", "p99 ms", "max ms"]);
        for row in &self.0 {
            let first = self.0.iter().find(|first| first.loss == row.loss).unwrap_or(row);
            let compared = |figure: f64, with: f64| format!("{figure:.1} ({:.1})", figure / with);
            table.add_row([
                format!("{} %", row.loss),
                row.way.to_owned(),
                format!("{:.1} %", row.delivered),
                compared(row.ages.middle, first.ages.middle),
                compared(row.ages.slow, first.ages.slow),
                compared(row.ages.slowest, first.ages.slowest),
            ]);
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(out, "{table}")
    }
}
