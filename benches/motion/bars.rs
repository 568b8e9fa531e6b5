//! Figures beside what they may be at most: a table for people, a JSON object a line for machines.

use std::io::{self, Write};

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{ContentArrangement, Table};
use serde_json::json;

/// One figure.
struct Row {
    way: String,
    metric: &'static str,
    value: f64,
    /// What it may be at most.
    bar: Option<f64>,
}

/// All figures of a scene.
pub(crate) struct Bars {
    scene: &'static str,
    rows: Vec<Row>,
}

impl Row {
    /// What part of its bar it is.
    fn share(&self) -> Option<f64> {
        self.bar.map(|bar| self.value / bar)
    }

    fn mark(&self) -> Option<&'static str> {
        self.share().map(|share| if share <= 1.0 { "met" } else { "over" })
    }
}

impl Bars {
    pub(crate) const fn of(scene: &'static str) -> Self {
        Self { scene, rows: Vec::new() }
    }

    /// Notes a figure.
    pub(crate) fn put(&mut self, way: &str, metric: &'static str, value: f64) {
        self.rows.push(Row { way: way.to_owned(), metric, value, bar: None });
    }

    /// Notes a figure, and what it may be at most.
    pub(crate) fn hold(&mut self, way: &str, metric: &'static str, value: f64, bar: f64) {
        self.rows.push(Row { way: way.to_owned(), metric, value, bar: Some(bar) });
    }

    pub(crate) fn show(&self, as_json: bool) -> io::Result<()> {
        let mut out = anstream::stdout();
        if as_json {
            for row in &self.rows {
                let line = json!({
                    "scene": self.scene,
                    "way": row.way,
                    "metric": row.metric,
                    "value": row.value,
                    "bar": row.bar,
                    "of_the_bar": row.share(),
                    "met": row.share().map(|share| share <= 1.0),
                });
                writeln!(out, "{line}")?;
            }
            return Ok(());
        }
        let mut table = Table::new();
        table.load_preset(ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header([self.scene, "", "figure", "bar", "of the bar", ""]);
        for row in &self.rows {
            table.add_row([
                row.way.clone(),
                row.metric.to_owned(),
                figure(row.value),
                row.bar.map_or_else(String::new, figure),
                row.share().map_or_else(String::new, |share| format!("{share:.2}")),
                row.mark().unwrap_or_default().to_owned(),
            ]);
        }
        writeln!(out, "{table}")
    }
}

/// Two digits behind the point, where there is anything behind it.
fn figure(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value}") } else { format!("{value:.2}") }
}
