//! What operations do, with their values as short as they go.

use bytes::Bytes;

use super::DeltaError;
use super::cursor::{Cursor, put_number, put_signed, put_text};
use crate::proto::change::Action;
use crate::proto::model::value::Value;

const MAKE_MAP: u8 = 0;
const MAKE_TEXT: u8 = 1;
const DELETE: u8 = 2;
const COUNTER: u8 = 3;
const INCREMENT: u8 = 4;
const NULL: u8 = 5;
const FALSE: u8 = 6;
const TRUE: u8 = 7;
const INT: u8 = 8;
const UINT: u8 = 9;
/// A float that is a whole number.
const WHOLE: u8 = 10;
/// A float that is a 32-bit float.
const SINGLE: u8 = 11;
const DOUBLE: u8 = 12;
const TEXT: u8 = 13;
const BYTES: u8 = 14;
/// Not an action: several operations.
pub(super) const RUN: u8 = 15;

/// The largest whole number that is written as one: of four bytes, as a 32-bit float has.
const MAX_WHOLE: i64 = 1 << 27;

/// The tag of an action, 0 to 14.
pub(super) fn tag(action: &Action) -> u8 {
    match action {
        Action::MakeMap => MAKE_MAP,
        Action::MakeText => MAKE_TEXT,
        Action::Delete => DELETE,
        Action::Counter(_) => COUNTER,
        Action::Increment(_) => INCREMENT,
        Action::Put(Value::Null) => NULL,
        Action::Put(Value::Bool(false)) => FALSE,
        Action::Put(Value::Bool(true)) => TRUE,
        Action::Put(Value::Int(_)) => INT,
        Action::Put(Value::Uint(_)) => UINT,
        Action::Put(Value::Float(value)) if whole(*value).is_some() => WHOLE,
        Action::Put(Value::Float(value)) if single(*value).is_some() => SINGLE,
        Action::Put(Value::Float(_)) => DOUBLE,
        Action::Put(Value::Text(_)) => TEXT,
        Action::Put(Value::Bytes(_)) => BYTES,
    }
}

/// What follows the tag.
pub(super) fn put(out: &mut Vec<u8>, action: &Action) {
    match action {
        Action::MakeMap
        | Action::MakeText
        | Action::Delete
        | Action::Put(Value::Null | Value::Bool(_)) => {}
        Action::Counter(value) | Action::Increment(value) | Action::Put(Value::Int(value)) => {
            put_signed(out, *value);
        }
        Action::Put(Value::Uint(value)) => put_number(out, *value),
        Action::Put(Value::Float(value)) => match (whole(*value), single(*value)) {
            (Some(value), _) => put_signed(out, value),
            (None, Some(value)) => out.extend_from_slice(&value.to_bits().to_le_bytes()),
            (None, None) => out.extend_from_slice(&value.to_bits().to_le_bytes()),
        },
        Action::Put(Value::Text(text)) => put_text(out, text),
        Action::Put(Value::Bytes(bytes)) => {
            put_number(out, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
    }
}

/// The action of a tag.
pub(super) fn read(tag: u8, record: &mut Cursor<'_>) -> Result<Action, DeltaError> {
    Ok(match tag {
        MAKE_MAP => Action::MakeMap,
        MAKE_TEXT => Action::MakeText,
        DELETE => Action::Delete,
        COUNTER => Action::Counter(record.signed()?),
        INCREMENT => Action::Increment(record.signed()?),
        NULL => Action::Put(Value::Null),
        FALSE => Action::Put(Value::Bool(false)),
        TRUE => Action::Put(Value::Bool(true)),
        INT => Action::Put(Value::Int(record.signed()?)),
        UINT => Action::Put(Value::Uint(record.number()?)),
        WHOLE => Action::Put(Value::Float(float(record.signed()?))),
        SINGLE => {
            let bits = u32::from_le_bytes(record.array()?);
            Action::Put(Value::Float(f64::from(f32::from_bits(bits))))
        }
        DOUBLE => {
            let bits = u64::from_le_bytes(record.array()?);
            Action::Put(Value::Float(f64::from_bits(bits)))
        }
        TEXT => Action::Put(Value::Text(record.text()?.to_owned())),
        BYTES => {
            let count = record.number()?;
            let bytes = Bytes::copy_from_slice(record.bytes(count)?);
            Action::Put(Value::Bytes(bytes.into()))
        }
        _ => return Err(DeltaError::Malformed),
    })
}

#[expect(clippy::cast_precision_loss, reason = "what is written is exact")]
const fn float(value: i64) -> f64 {
    value as f64
}

/// The whole number that a float is.
#[expect(clippy::cast_possible_truncation, reason = "compared with what it was")]
fn whole(value: f64) -> Option<i64> {
    let whole = value as i64;
    let exact = float(whole).to_bits() == value.to_bits();
    (exact && (-MAX_WHOLE..MAX_WHOLE).contains(&whole)).then_some(whole)
}

/// The 32-bit float that a float is.
#[expect(clippy::cast_possible_truncation, reason = "compared with what it was")]
fn single(value: f64) -> Option<f32> {
    let single = value as f32;
    (f64::from(single).to_bits() == value.to_bits()).then_some(single)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_come_back() {
        let floats =
            [0.0, -0.0, 1.0, -3.0, 0.5, 0.1, 1e300, f64::NAN, f64::INFINITY, 134_217_728.0]
                .map(|value| Action::Put(Value::Float(value)));
        let others = [
            Action::MakeMap,
            Action::MakeText,
            Action::Delete,
            Action::Counter(-1),
            Action::Increment(i64::MAX),
            Action::Put(Value::Null),
            Action::Put(Value::Bool(true)),
            Action::Put(Value::Bool(false)),
            Action::Put(Value::Int(i64::MIN)),
            Action::Put(Value::Uint(u64::MAX)),
            Action::Put(Value::Text("words".into())),
            Action::Put(Value::Bytes(vec![1, 2])),
        ];
        for action in floats.iter().chain(&others) {
            let mut out = Vec::new();
            put(&mut out, action);
            let read = read(tag(action), &mut Cursor::new(&out)).unwrap();
            match (&read, action) {
                (Action::Put(read), Action::Put(value)) => assert!(read.same(value), "{value}"),
                _ => assert_eq!(read, *action),
            }
        }
    }
}
