//! What came out: tables for people, a JSON object a line for machines.

use std::io::{self, Write};

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde_json::{Map, Value, json};

/// One figure, or a name.
pub(crate) struct Cell {
    value: Value,
    shown: String,
}

impl Cell {
    pub(crate) fn text(text: &str) -> Self {
        Self { value: json!(text), shown: text.to_owned() }
    }

    /// With so many digits behind the point.
    pub(crate) fn number(number: f64, digits: usize) -> Self {
        Self { value: json!(number), shown: format!("{number:.digits$}") }
    }

    /// A figure with a bar.
    pub(crate) fn at_most(number: f64, bar: f64, digits: usize) -> Self {
        let verdict = if number <= bar { "" } else { " over" };
        let shown = format!("{number:.digits$} (<= {bar:.digits$}{verdict})");
        Self { value: json!(number), shown }
    }

    /// A figure of ours, and how many times that another's is.
    pub(crate) fn beside(ours: f64, theirs: f64, digits: usize) -> Self {
        let shown = format!("{theirs:.digits$} ({:.1} x)", theirs / ours);
        Self { value: json!(theirs), shown }
    }
}

pub(crate) type Row = Vec<(&'static str, Cell)>;

/// All of them: rows by the title of their table.
#[derive(Default)]
pub(crate) struct Report(Vec<(&'static str, Vec<Row>)>);

impl Report {
    /// Adds a row to a table, whose columns are those of its first row.
    pub(crate) fn row(&mut self, title: &'static str, row: Row) {
        match self.0.iter_mut().find(|(known, _)| *known == title) {
            Some((_, rows)) => rows.push(row),
            None => self.0.push((title, vec![row])),
        }
    }

    pub(crate) fn show(&self, as_json: bool) -> io::Result<()> {
        let mut out = anstream::stdout();
        for (title, rows) in &self.0 {
            if !as_json {
                writeln!(out, "{title}\n{}\n", table(rows))?;
                continue;
            }
            for row in rows {
                writeln!(out, "{}", line(title, row))?;
            }
        }
        Ok(())
    }
}

fn line(title: &str, row: &Row) -> Value {
    let mut line = Map::from_iter([("table".to_owned(), json!(title))]);
    line.extend(row.iter().map(|(name, cell)| ((*name).to_owned(), cell.value.clone())));
    Value::Object(line)
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
    if let Some(first) = rows.first() {
        table.set_header(first.iter().map(|(name, _)| *name));
        for row in rows {
            table.add_row(row.iter().map(|(_, cell)| &cell.shown));
        }
        let figures = first.iter().map(|(_, cell)| cell.value.is_number());
        for (column, is_figure) in table.column_iter_mut().zip(figures) {
            if is_figure {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table
}

#[expect(clippy::cast_precision_loss, reason = "far below what a float counts")]
pub(crate) fn float(count: usize) -> f64 {
    count as f64
}

/// Says what went wrong.
pub(crate) fn complain(error: &str) {
    // Nobody may be there to read it.
    writeln!(anstream::stderr(), "{error}").ok();
}
