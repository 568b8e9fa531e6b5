//! What came out: tables for people, a JSON object a line for machines.

use std::io::{self, Write};

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde_json::json;

/// What a figure is of, in the order in which they are shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Section {
    /// Bytes that go to others.
    Delta,
    /// Time to edit and commit.
    Author,
    /// Time to get the bytes out.
    Encode,
    /// Time to read the bytes.
    Decode,
    /// Time to apply a change.
    Apply,
    /// Bytes that live.
    Heap,
    /// Bytes for those who join late, and to store.
    Snapshot,
    /// Time until those can read everything.
    Load,
    /// Bytes that a relay stores while time goes by.
    Store,
    /// Time for which everything stands still when history is cut.
    Epoch,
    /// What texts take of everything else.
    Text,
}

impl Section {
    const ALL: [Self; 11] = [
        Self::Delta,
        Self::Author,
        Self::Encode,
        Self::Decode,
        Self::Apply,
        Self::Heap,
        Self::Snapshot,
        Self::Load,
        Self::Store,
        Self::Epoch,
        Self::Text,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Delta => "delta",
            Self::Author => "author",
            Self::Encode => "encode",
            Self::Decode => "decode",
            Self::Apply => "apply",
            Self::Heap => "heap",
            Self::Snapshot => "snapshot",
            Self::Load => "load",
            Self::Store => "store",
            Self::Epoch => "epoch",
            Self::Text => "text",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Delta => "bytes to others",
            Self::Author => "edit and commit",
            Self::Encode => "what was committed to bytes",
            Self::Decode => "bytes to a change",
            Self::Apply => "a change to readable values",
            Self::Heap => "bytes that live",
            Self::Snapshot => "a whole room",
            Self::Load => "a snapshot to readable values",
            Self::Store => "what an epoch began with, and its history",
            Self::Epoch => "history is cut",
            Self::Text => "typing beside many writers",
        }
    }
}

/// One figure.
#[derive(Clone, Debug)]
struct Row {
    section: Section,
    bench: String,
    metric: String,
    unit: &'static str,
    engine: &'static str,
    value: f64,
}

/// All figures of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

/// Where one engine's figures of one benchmark go.
#[derive(Debug)]
pub(crate) struct Sheet<'a> {
    report: &'a mut Report,
    bench: String,
    engine: &'static str,
}

impl Sheet<'_> {
    /// Notes a figure.
    pub(crate) fn put(&mut self, section: Section, metric: &str, unit: &'static str, value: f64) {
        let (bench, metric) = (self.bench.clone(), metric.to_owned());
        self.report.rows.push(Row { section, bench, metric, unit, engine: self.engine, value });
    }
}

impl Report {
    /// Where an engine's figures of a benchmark go.
    pub(crate) fn sheet(&mut self, bench: &str, engine: &'static str) -> Sheet<'_> {
        Sheet { report: self, bench: bench.to_owned(), engine }
    }

    /// One object a line.
    pub(crate) fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        for section in Section::ALL {
            for row in self.rows.iter().filter(|row| row.section == section) {
                let line = json!({
                    "bench": row.bench,
                    "engine": row.engine,
                    "metric": format!("{}: {}", section.name(), row.metric),
                    "unit": row.unit,
                    "value": row.value,
                });
                writeln!(out, "{line}")?;
            }
        }
        Ok(())
    }

    /// A table for each section: a row for each metric, a column for each engine. Behind a figure
    /// stands how many times that of the first engine it is.
    pub(crate) fn write_tables(
        &self,
        out: &mut impl Write,
        engines: &[&'static str],
    ) -> io::Result<()> {
        for section in Section::ALL {
            let rows: Vec<&Row> = self.rows.iter().filter(|row| row.section == section).collect();
            if !rows.is_empty() {
                writeln!(
                    out,
                    "\n{}: {}\n\n{}",
                    section.name(),
                    section.title(),
                    table(&rows, engines)
                )?;
            }
        }
        Ok(())
    }
}

fn table(rows: &[&Row], engines: &[&'static str]) -> Table {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["bench", "metric", "unit"].into_iter().chain(engines.iter().copied()));
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for row in rows {
        let name = (row.bench.as_str(), row.metric.as_str());
        if seen.contains(&name) {
            continue;
        }
        seen.push(name);
        let same =
            rows.iter().filter(|other| (other.bench.as_str(), other.metric.as_str()) == name);
        let of = |engine: &&'static str| {
            same.clone().find(|other| other.engine == *engine).map(|row| row.value)
        };
        let first = engines.first().and_then(&of);
        let values = engines.iter().map(|engine| cell(of(engine), first));
        let names = [row.bench.clone(), row.metric.clone(), row.unit.to_owned()];
        table.add_row(names.into_iter().chain(values));
    }
    for column in table.column_iter_mut().skip(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A figure, and how many times the first engine's it is.
fn cell(value: Option<f64>, first: Option<f64>) -> String {
    match (value, first) {
        (None, _) => "-".to_owned(),
        (Some(value), Some(first)) if first > 0.0 && value.to_bits() != first.to_bits() => {
            format!("{} ({}x)", figure(value), figure(value / first))
        }
        (Some(value), _) => figure(value),
    }
}

/// Three digits or more.
fn figure(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}
