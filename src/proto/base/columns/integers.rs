//! Columns of integers: what is left of them once the ones before are known, byte by byte.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::expect_used)]

use super::block::{Block, Source, Writer};
use crate::proto::reason::ChangeFault;

/// How many values of a column are looked at to choose how it is written.
pub(super) const SAMPLE: usize = 1_024;

/// What a value is compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// Nothing: values stand for themselves.
    Plain,
    /// The one before.
    Difference,
    /// The one before plus the last difference.
    Second,
    /// The one before, bit by bit.
    Bits,
}

impl Step {
    const ALL: [Self; 4] = [Self::Plain, Self::Difference, Self::Second, Self::Bits];

    const fn code(self) -> u8 {
        match self {
            Self::Plain => 0,
            Self::Difference => 1,
            Self::Second => 2,
            Self::Bits => 3,
        }
    }

    /// How many values stand in front of the rest.
    const fn firsts(self) -> usize {
        match self {
            Self::Plain => 0,
            Self::Difference | Self::Bits => 1,
            Self::Second => 2,
        }
    }

    fn rest(self, values: &[i64]) -> Vec<i64> {
        let pairs = values.iter().zip(values.iter().skip(1));
        match self {
            Self::Plain => values.to_vec(),
            Self::Difference => pairs.map(|(a, b)| b.wrapping_sub(*a)).collect(),
            Self::Bits => pairs.map(|(a, b)| a ^ b).collect(),
            Self::Second => {
                let triples = pairs.zip(values.iter().skip(2));
                let rest =
                    triples.map(|((a, b), c)| c.wrapping_sub(*b).wrapping_sub(b.wrapping_sub(*a)));
                rest.collect()
            }
        }
    }

    /// Makes values of what is left of them; the first ones are values already.
    fn undo(self, values: &mut [i64]) {
        let mut values = values.iter_mut();
        let Some(mut last) = values.next().map(|first| *first) else { return };
        match self {
            Self::Plain => {}
            Self::Difference => {
                for value in values {
                    last = last.wrapping_add(*value);
                    *value = last;
                }
            }
            Self::Bits => {
                for value in values {
                    last ^= *value;
                    *value = last;
                }
            }
            Self::Second => {
                let Some(second) = values.next() else { return };
                let mut step = second.wrapping_sub(last);
                last = *second;
                for value in values {
                    step = step.wrapping_add(*value);
                    last = last.wrapping_add(step);
                    *value = last;
                }
            }
        }
    }
}

/// Appends a column.
pub(super) fn write(out: &mut Writer, values: &[i64]) {
    if values.is_empty() {
        return;
    }
    let sample = values.get(..SAMPLE).unwrap_or(values);
    let steps = Step::ALL.into_iter().filter(|step| step.firsts() <= values.len());
    let best = steps.min_by_key(|step| {
        let mut measured = Writer::measuring();
        write_as(&mut measured, sample, *step);
        measured.size()
    });
    write_as(out, values, best.unwrap_or(Step::Plain));
}

/// How long the beginning of a column becomes, about.
pub(super) fn about(values: &[i64]) -> usize {
    let mut measured = Writer::measuring();
    write(&mut measured, values.get(..SAMPLE).unwrap_or(values));
    measured.size()
}

fn write_as(out: &mut Writer, values: &[i64], step: Step) {
    let rest = step.rest(values);
    let lowest = if step == Step::Bits { 0 } else { rest.iter().min().copied().unwrap_or(0) };
    let above: Vec<[u8; 8]> =
        rest.iter().map(|value| value.wrapping_sub(lowest).to_le_bytes()).collect();
    let used = above.iter().fold(0, |used, bytes| used | u64::from_le_bytes(*bytes));
    let width = u64::BITS.saturating_sub(used.leading_zeros()).div_ceil(8);
    let [width, ..] = width.to_le_bytes();
    out.byte(step.code() << 4 | width);
    for first in values.iter().take(step.firsts()) {
        out.signed(*first);
    }
    if step != Step::Bits {
        out.signed(lowest);
    }
    for place in 0..usize::from(width) {
        let plane: Vec<u8> = above.iter().filter_map(|bytes| bytes.get(place).copied()).collect();
        out.block(&plane);
    }
}

/// The next column, of `count` values.
pub(super) fn read(source: &mut Source<'_>, count: usize) -> Result<Vec<i64>, ChangeFault> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let head = source.byte()?;
    let (code, width) = (head >> 4, head & 0xf);
    let step = Step::ALL.into_iter().find(|step| step.code() == code);
    let step = step.ok_or(ChangeFault::Malformed)?;
    let length = count.checked_sub(step.firsts()).ok_or(ChangeFault::Malformed)?;
    if width > 8 {
        return Err(ChangeFault::Malformed);
    }
    let mut values = Vec::with_capacity(count);
    for _ in 0..step.firsts() {
        values.push(source.signed()?);
    }
    let lowest = if step == Step::Bits { 0 } else { source.signed()? };
    values.resize(count, 0);
    let rest = values.get_mut(step.firsts()..).unwrap_or_default();
    for place in 0..u32::from(width) {
        let shift = place.saturating_mul(8);
        match source.block(length)? {
            Block::Same(byte) => {
                let part = u64::from(byte).wrapping_shl(shift).cast_signed();
                rest.iter_mut().for_each(|value| *value |= part);
            }
            Block::Bytes(bytes) => {
                for (value, byte) in rest.iter_mut().zip(bytes.iter()) {
                    *value |= u64::from(*byte).wrapping_shl(shift).cast_signed();
                }
            }
        }
    }
    if lowest != 0 {
        rest.iter_mut().for_each(|value| *value = value.wrapping_add(lowest));
    }
    step.undo(&mut values);
    Ok(values)
}
