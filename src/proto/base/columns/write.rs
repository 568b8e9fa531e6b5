//! From a base to its columns, a piece at a time.

use super::block::Writer;
use super::integers::SAMPLE;
use super::pack::{Packer, Squeeze};
use super::plan::Plan;
use super::{Kind, VERSION, floats, integers, shape, strings};
use crate::proto::base::{Base, Content};
use crate::proto::change::leb128::write_unsigned;
use crate::proto::model::value::Value;

/// What stands before the columns of values, as often as one of them is written: shapes, and the
/// objects' shapes.
const BEFORE: usize = 2;

/// The bytes of a base, as `columns.md` of the specification has them. Costs about as much as
/// deflating all of its values four times.
#[must_use]
pub fn encode(base: &Base) -> Vec<u8> {
    let mut encoder = Encoder::new(base.clone());
    loop {
        if let Some(bytes) = encoder.step(usize::MAX) {
            return bytes;
        }
    }
}

/// A base on its way to its bytes. They do not depend on how many steps there are.
#[derive(Debug)]
pub struct Encoder {
    base: Base,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Finding which columns there are.
    Planning(Box<Plan>),
    /// Writing one after the other, and deflating each before the next is written.
    Writing {
        plan: Box<Plan>,
        next: usize,
        packer: Packer,
    },
    /// Deflating the head.
    Ending {
        length: usize,
        head: Squeeze,
        tail: Vec<u8>,
    },
    Done,
}

impl Encoder {
    /// The encoder of a base.
    #[must_use]
    pub fn new(base: Base) -> Self {
        Self { base, stage: Stage::Planning(Box::default()) }
    }

    /// Goes on through about `budget` values, or as many bytes that are deflated; at least one column
    /// is written or all keys of a collection put in order, if that is what comes next. Returns the
    /// bytes once they are whole.
    pub fn step(&mut self, budget: usize) -> Option<Vec<u8>> {
        let mut left = budget.max(1);
        while left > 0 {
            match std::mem::replace(&mut self.stage, Stage::Done) {
                Stage::Planning(mut plan) => {
                    left = plan.step(&self.base, left);
                    self.stage = if left > 0 {
                        Stage::Writing { plan, next: 0, packer: Packer::default() }
                    } else {
                        Stage::Planning(plan)
                    };
                }
                Stage::Writing { plan, mut next, mut packer } => {
                    left = packer.step(left);
                    if left > 0 && next == BEFORE + plan.columns.len() {
                        let (head, tail) = packer.into_streams();
                        let (length, head) = (head.len(), Squeeze::new(head));
                        self.stage = Stage::Ending { length, head, tail };
                        continue;
                    }
                    if left > 0 {
                        left = left.saturating_sub(self.write(&plan, next, &mut packer));
                        next += 1;
                    }
                    self.stage = Stage::Writing { plan, next, packer };
                }
                Stage::Ending { length, mut head, tail } => {
                    left = head.step(left);
                    if head.is_done() {
                        return Some(ended(length, head.finish(), &tail));
                    }
                    self.stage = Stage::Ending { length, head, tail };
                }
                Stage::Done => return None,
            }
        }
        None
    }

    /// Writes what comes next. Returns about what that cost.
    fn write(&self, plan: &Plan, next: usize, packer: &mut Packer) -> usize {
        let mut out = Writer::default();
        let count = match next.checked_sub(BEFORE) {
            Some(column) => {
                let (kind, places) = &plan.columns[column];
                let rows = self.base.rows();
                let values = places.iter().filter_map(|place| rows.get(*place as usize));
                let values: Vec<_> = values.map(|row| &row.content).collect();
                write_values(&mut out, *kind, &values);
                values.len()
            }
            None if next == 0 => {
                out.unsigned(plan.columns.len());
                plan.columns.iter().for_each(|(kind, _)| out.byte(kind.code()));
                shape::write(&mut out, &plan.shapes);
                plan.shapes.iter().map(|keys| keys.columns.len()).sum()
            }
            None => {
                out.unsigned(plan.objects.len());
                integers::write(&mut out, &plan.objects);
                plan.objects.len()
            }
        };
        packer.take(out);
        // Every way is tried with a sample.
        count.saturating_add(count.min(SAMPLE)).max(1)
    }
}

/// Everything behind each other: the head's length, what it is deflated to (0 if it is not), the
/// head, and the tail.
pub(super) fn ended(length: usize, head: Result<Vec<u8>, Vec<u8>>, tail: &[u8]) -> Vec<u8> {
    let mut out = vec![VERSION];
    write_unsigned(&mut out, length as u64);
    match head {
        Ok(deflated) => {
            write_unsigned(&mut out, deflated.len() as u64);
            out.extend(deflated);
        }
        Err(head) => {
            write_unsigned(&mut out, 0);
            out.extend(head);
        }
    }
    out.extend_from_slice(tail);
    out
}

fn write_values(out: &mut Writer, kind: Kind, values: &[&Content]) {
    match kind.value {
        super::MAP | super::NULL => {}
        super::BOOL => {
            let bits = values.chunks(8).map(|values| {
                let ones = values.iter().enumerate().map(|(bit, value)| {
                    u8::from(matches!(value, Content::Value(Value::Bool(true)))) << bit
                });
                ones.sum()
            });
            out.block(&bits.collect::<Vec<u8>>());
        }
        super::FLOAT => {
            let bits = values.iter().filter_map(|value| {
                let Content::Value(Value::Float(float)) = value else { return None };
                Some(float.to_bits())
            });
            floats::write(out, &bits.collect::<Vec<_>>());
        }
        super::TEXT | super::BYTES | super::WRITING => {
            let strings = values.iter().filter_map(|value| bytes(value));
            strings::write(out, &strings.collect::<Vec<_>>(), kind.value == super::BYTES);
        }
        _ => {
            let numbers = values.iter().filter_map(|value| integer(value));
            integers::write(out, &numbers.collect::<Vec<_>>());
        }
    }
}

const fn bytes(content: &Content) -> Option<&[u8]> {
    let value = match content {
        Content::Value(value) => value,
        Content::Text(text) => return Some(text.as_bytes()),
        Content::Counter(_) | Content::Map => return None,
    };
    match value {
        Value::Text(text) => Some(text.as_bytes()),
        Value::Bytes(bytes) => Some(bytes.as_slice()),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Float(_) => None,
    }
}

const fn integer(content: &Content) -> Option<i64> {
    match content {
        Content::Counter(number) | Content::Value(Value::Int(number)) => Some(*number),
        Content::Value(Value::Uint(number)) => Some(number.cast_signed()),
        Content::Value(_) | Content::Map | Content::Text(_) => None,
    }
}

/// The bytes of a base with a head that is not deflated, so that a test can spoil what it says.
#[cfg(test)]
pub(super) fn loose(base: &Base) -> Vec<u8> {
    let (mut plan, mut packer) = (Plan::default(), Packer::default());
    plan.step(base, usize::MAX);
    let encoder = Encoder::new(base.clone());
    for next in 0..BEFORE + plan.columns.len() {
        encoder.write(&plan, next, &mut packer);
        packer.step(usize::MAX);
    }
    let (head, tail) = packer.into_streams();
    ended(head.len(), Err(head), &tail)
}
