//! A base in columns: what a joiner is sent, small and quick to read.
//!
//! Objects that have the same keys with the same kinds of content share a shape; the values of a key
//! lie one behind the other in a column, and each column is written in whichever way is shortest.
//! The format is stated in `columns.md` of the specification.

mod block;
mod floats;
mod integers;
mod pack;
mod plan;
mod read;
mod shape;
mod strings;
#[cfg(test)]
mod tests;
mod write;

pub use self::read::decode;
pub use self::write::{Encoder, encode};
use super::{Content, Row};
use crate::proto::config::Limits;
use crate::proto::model::value::Value;

/// What the bytes begin with.
const VERSION: u8 = 1;

const NULL: u8 = 0;
const BOOL: u8 = 1;
const INT: u8 = 2;
const UINT: u8 = 3;
const FLOAT: u8 = 4;
const TEXT: u8 = 5;
const BYTES: u8 = 6;
const COUNTER: u8 = 7;
const MAP: u8 = 8;
const WRITING: u8 = 9;

/// Of columns whose rows are well known.
const FIXED: u8 = 16;

/// What the rows of a column have in common.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Kind {
    value: u8,
    fixed: bool,
}

impl Kind {
    const fn of(row: &Row) -> Self {
        let value = match &row.content {
            Content::Map => MAP,
            Content::Text(_) => WRITING,
            Content::Counter(_) => COUNTER,
            Content::Value(Value::Null) => NULL,
            Content::Value(Value::Bool(_)) => BOOL,
            Content::Value(Value::Int(_)) => INT,
            Content::Value(Value::Uint(_)) => UINT,
            Content::Value(Value::Float(_)) => FLOAT,
            Content::Value(Value::Text(_)) => TEXT,
            Content::Value(Value::Bytes(_)) => BYTES,
        };
        Self { value, fixed: row.fixed }
    }

    const fn code(self) -> u8 {
        if self.fixed { self.value | FIXED } else { self.value }
    }

    fn from_code(code: u8) -> Option<Self> {
        let value = code & !FIXED;
        (value <= WRITING).then_some(Self { value, fixed: code & FIXED != 0 })
    }
}
