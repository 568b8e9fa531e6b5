//! Recorded data in files.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::read::GzDecoder;
use serde::Deserialize;

use crate::failure::Failure;

/// A trace of people who edited a text at the same time.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Trace {
    pub(crate) kind: String,
    /// What the text was in the end; nothing if only a part is played.
    #[serde(default)]
    pub(crate) end_content: Option<String>,
    pub(crate) num_agents: usize,
    pub(crate) txns: Vec<Transaction>,
}

/// What one agent did at once.
#[derive(Debug, Deserialize)]
pub(crate) struct Transaction {
    /// What it followed: indices of earlier transactions.
    pub(crate) parents: Vec<usize>,
    pub(crate) agent: usize,
    /// Where, how many scalars go, and what comes; one after the other.
    pub(crate) patches: Vec<(usize, usize, String)>,
}

/// Where somebody was at a time.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Row {
    pub(crate) t_ms: f64,
    pub(crate) id: String,
    pub(crate) x_m: f32,
    pub(crate) y_m: f32,
    pub(crate) heading_rad: f32,
    pub(crate) speed_mps: f32,
}

/// What a file holds.
#[derive(Debug)]
pub(crate) enum Recording {
    Text(Trace),
    Tracks(Vec<Row>),
}

impl Recording {
    /// Reads a file, or its first transactions or rows.
    pub(crate) fn read(path: &Path, first: Option<usize>) -> Result<Self, Failure> {
        let cannot = |error: &dyn std::fmt::Display| {
            Failure::failed(format_args!("cannot read {}: {error}", path.display()))
        };
        let file = BufReader::new(File::open(path).map_err(|error| cannot(&error))?);
        let name = path.to_string_lossy();
        let (name, content): (_, Box<dyn Read>) = match name.strip_suffix(".gz") {
            Some(name) => (name, Box::new(GzDecoder::new(file))),
            None => (&*name, Box::new(file)),
        };
        if name.ends_with(".csv") {
            let rows = read_rows(content, first).map_err(|error| cannot(&error))?;
            return Ok(Self::Tracks(rows));
        }
        if !name.ends_with(".json") {
            return Err(Failure::usage(format_args!(
                "{} is neither an editing trace (.json) nor tracks (.csv), plain or .gz",
                path.display()
            )));
        }
        let mut trace: Trace =
            read_json(content).map_err(|error| cannot(&format_args!("{error}")))?;
        if let Some(first) = first.filter(|&first| first < trace.txns.len()) {
            trace.txns.truncate(first);
            trace.end_content = None;
        }
        if trace.kind != "concurrent" {
            return Err(Failure::failed(format_args!(
                "{} holds a `{}` trace: only `concurrent` ones can be played",
                path.display(),
                trace.kind
            )));
        }
        Ok(Self::Text(trace))
    }
}

fn read_json(mut content: impl Read) -> io::Result<Trace> {
    let mut bytes = Vec::new();
    content.read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

fn read_rows(content: impl Read, first: Option<usize>) -> csv::Result<Vec<Row>> {
    csv::Reader::from_reader(content).into_deserialize().take(first.unwrap_or(usize::MAX)).collect()
}
