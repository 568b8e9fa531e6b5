//! Columns: one kind of detail of all operations of a change, one row behind the other.
//!
//! The format is that of the Automerge Binary Document Format, "Run Length Encoding", "Delta
//! Encoding" and "Boolean Encoding". Writing gives what automerge 0.12 writes (hexane
//! 1.0.0-alpha.5, `rle/state.rs`, `delta/mod.rs` and `encoder.rs`): equal rows that follow each
//! other are always one run, and a column of absent rows alone is not there at all. Reading takes
//! one row at a time out of borrowed bytes, and whatever a run claims, it is not expanded.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::expect_used)]

use std::cmp::Ordering;

use super::leb128::{Reader, write_signed, write_unsigned};
use crate::proto::reason::ChangeFault;

/// Appends rows in runs: a length and the row that is repeated, a negative length and as many rows
/// that are not, or zero and how often a row is absent.
pub(super) fn write_runs<T: Copy + PartialEq>(
    out: &mut Vec<u8>,
    mut rows: impl Iterator<Item = Option<T>>,
    write: impl Fn(&mut Vec<u8>, T),
) {
    let start = out.len();
    let mut empty = true;
    let mut literals = None;
    let mut next = rows.next();
    while let Some(row) = next {
        let mut length = 1_i64;
        next = rows.next();
        while next == Some(row) {
            length = length.saturating_add(1);
            next = rows.next();
        }
        match row {
            Some(value) if length == 1 => {
                let (_, count) = literals.get_or_insert_with(|| {
                    out.push(0);
                    (out.len().saturating_sub(1), 0_i64)
                });
                *count = count.saturating_add(1);
                write(out, value);
            }
            row => {
                end_literals(out, literals.take());
                write_signed(out, if row.is_some() { length } else { 0 });
                match row {
                    Some(value) => write(out, value),
                    None => write_unsigned(out, length.unsigned_abs()),
                }
            }
        }
        empty = empty && row.is_none();
    }
    end_literals(out, literals);
    if empty {
        out.truncate(start);
    }
}

/// Puts in front of rows that are not repeated how many they are, where one byte was left for it.
fn end_literals(out: &mut Vec<u8>, literals: Option<(usize, i64)>) {
    let Some((place, count)) = literals else { return };
    let mut head = Vec::new();
    match (out.get_mut(place), i8::try_from(count)) {
        (Some(byte), Ok(count @ 1..=64)) => {
            let [low] = count.wrapping_neg().to_le_bytes();
            *byte = low & 0x7f;
        }
        _ => {
            write_signed(&mut head, count.wrapping_neg());
            out.splice(place..=place, head);
        }
    }
}

/// Appends numbers in runs of their differences.
pub(super) fn write_deltas(out: &mut Vec<u8>, rows: impl Iterator<Item = Option<u64>>) {
    let mut last = 0;
    let differences = rows.map(|row| {
        row.map(|number| {
            let number = number.cast_signed();
            number.wrapping_sub(std::mem::replace(&mut last, number))
        })
    });
    write_runs(out, differences, write_signed);
}

/// Appends how many rows are false, then true, then false again.
pub(super) fn write_booleans(out: &mut Vec<u8>, rows: impl Iterator<Item = bool>) {
    let (mut now, mut count) = (false, 0_u64);
    for row in rows {
        if row != now {
            write_unsigned(out, count);
            (now, count) = (row, 0);
        }
        count = count.saturating_add(1);
    }
    if count > 0 {
        write_unsigned(out, count);
    }
}

/// Reads one row that is there.
type Read<'a, T> = fn(&mut Reader<'a>) -> Result<T, ChangeFault>;

/// What the rows of a run are.
#[derive(Clone, Debug)]
enum Run<T> {
    Absent,
    Repeated(T),
    Literal,
}

/// The rows of a column of runs.
#[derive(Clone, Debug)]
pub(super) struct Runs<'a, T> {
    data: Reader<'a>,
    read: Read<'a, T>,
    left: u64,
    run: Run<T>,
}

impl<'a, T: Clone> Runs<'a, T> {
    pub(super) fn new(data: &'a [u8], read: Read<'a, T>) -> Self {
        Self { data: Reader(data), read, left: 0, run: Run::Absent }
    }

    /// The next row. Behind the last, rows are absent.
    pub(super) fn row(&mut self) -> Result<Option<T>, ChangeFault> {
        while self.left == 0 {
            if self.data.is_empty() {
                return Ok(None);
            }
            self.run()?;
        }
        self.left = self.left.saturating_sub(1);
        match &self.run {
            Run::Absent => Ok(None),
            Run::Repeated(value) => Ok(Some(value.clone())),
            Run::Literal => (self.read)(&mut self.data).map(Some),
        }
    }

    /// The next row, of a column in which none is absent.
    pub(super) fn present(&mut self) -> Result<T, ChangeFault> {
        self.row()?.ok_or(ChangeFault::Malformed)
    }

    /// How many rows are left, if there are not more than `most`. Costs the length of the column,
    /// whatever it claims.
    pub(super) fn count(mut self, most: u64) -> Result<u64, ChangeFault> {
        let mut rows = 0_u64;
        while !self.data.is_empty() {
            self.run()?;
            rows = rows.saturating_add(self.left);
            if rows > most {
                return Err(ChangeFault::TooLarge);
            }
            if matches!(self.run, Run::Literal) {
                // Each has at least one byte: this ends with the column.
                for _ in 0..self.left {
                    (self.read)(&mut self.data)?;
                }
            }
        }
        Ok(rows)
    }

    /// Begins the next run.
    fn run(&mut self) -> Result<(), ChangeFault> {
        let head = self.data.signed()?;
        self.left = head.unsigned_abs();
        self.run = match head.cmp(&0) {
            Ordering::Equal => {
                self.left = self.data.unsigned()?;
                Run::Absent
            }
            Ordering::Greater => Run::Repeated((self.read)(&mut self.data)?),
            Ordering::Less => Run::Literal,
        };
        Ok(())
    }
}

/// The rows of a column of differences.
#[derive(Clone, Debug)]
pub(super) struct Deltas<'a> {
    differences: Runs<'a, i64>,
    last: i64,
}

impl<'a> Deltas<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { differences: Runs::new(data, Reader::signed), last: 0 }
    }

    /// The next row. Behind the last, rows are absent.
    pub(super) fn row(&mut self) -> Result<Option<u64>, ChangeFault> {
        let Some(difference) = self.differences.row()? else { return Ok(None) };
        self.last = self.last.checked_add(difference).ok_or(ChangeFault::Malformed)?;
        u64::try_from(self.last).map(Some).map_err(|_| ChangeFault::Malformed)
    }
}

/// The rows of a column of booleans.
#[derive(Clone, Debug)]
pub(super) struct Booleans<'a> {
    data: Reader<'a>,
    left: u64,
    now: bool,
}

impl<'a> Booleans<'a> {
    pub(super) const fn new(data: &'a [u8]) -> Self {
        // The first run is of rows that are false.
        Self { data: Reader(data), left: 0, now: true }
    }

    pub(super) fn row(&mut self) -> Result<bool, ChangeFault> {
        while self.left == 0 {
            self.left = self.data.unsigned()?;
            self.now = !self.now;
        }
        self.left = self.left.saturating_sub(1);
        Ok(self.now)
    }
}
