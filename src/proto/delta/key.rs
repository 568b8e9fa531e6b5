//! Keys of maps and places in texts.

use data_encoding::BASE64URL_NOPAD;
use smol_str::SmolStr;

use super::DeltaError;
use super::cursor::{Cursor, put_number, put_text};
use crate::proto::change::Key;
use crate::proto::wire::message::Actor;

/// Codes below this are decimal numbers.
const NUMBERS: u8 = 240;
/// The id of an element that its author makes in this change: the count.
const NEW_ELEMENT: u8 = 240;
/// The id of an element that its author made: the sequence and the count.
const OWN_ELEMENT: u8 = 241;
/// Anything: length and text.
const ANY: u8 = 242;
/// A larger decimal number.
const NUMBER: u8 = 243;
/// A negative decimal number, without its sign.
const NEGATIVE: u8 = 244;
/// Where a list keeps places: `@`.
const POSITION: u8 = 245;
/// The beginning of a text.
pub(super) const HEAD: u8 = 246;
/// An element of a text: its id follows.
pub(super) const ELEMENT: u8 = 247;
/// Added to the two above where something is inserted behind them.
pub(super) const INSERTS: u8 = 2;

/// Who writes the key: an author, in the change of a sequence.
pub(super) type Maker<'a> = (&'a Actor, u64);

/// Writes a key of a map.
pub(super) fn put(out: &mut Vec<u8>, (author, sequence): Maker<'_>, key: &str) {
    if key == "@" {
        out.push(POSITION);
    } else if let Some(number) = decimal(key) {
        match u8::try_from(number) {
            Ok(number) if number < NUMBERS => out.push(number),
            _ => {
                out.push(NUMBER);
                put_number(out, number);
            }
        }
    } else if let Some(number) = key.strip_prefix('-').and_then(decimal).filter(|&n| n > 0) {
        out.push(NEGATIVE);
        put_number(out, number);
    } else if let Some((made, count)) = element(author, key) {
        if made == sequence {
            out.push(NEW_ELEMENT);
        } else {
            out.push(OWN_ELEMENT);
            put_number(out, made);
        }
        put_number(out, count);
    } else {
        out.push(ANY);
        put_text(out, key);
    }
}

/// Reads the key of a map that a code begins; nothing if it is a place in a text.
pub(super) fn read(
    code: u8,
    (author, sequence): Maker<'_>,
    record: &mut Cursor<'_>,
) -> Result<Option<Key>, DeltaError> {
    let text = match code {
        0..NUMBERS => SmolStr::new(code.to_string()),
        NEW_ELEMENT => id(author, sequence, record.number()?),
        OWN_ELEMENT => {
            let made = record.number()?;
            id(author, made, record.number()?)
        }
        ANY => SmolStr::new(record.text()?),
        NUMBER => SmolStr::new(record.number()?.to_string()),
        NEGATIVE => SmolStr::new(format!("-{}", record.number()?)),
        POSITION => SmolStr::new_static("@"),
        _ => return Ok(None),
    };
    Ok(Some(Key::Map(text)))
}

/// The number that a key is, if it is written as numbers are.
fn decimal(key: &str) -> Option<u64> {
    let number: u64 = key.parse().ok()?;
    let written = match key.as_bytes() {
        [b'0'] => true,
        [first, ..] => (b'1'..=b'9').contains(first),
        [] => false,
    };
    written.then_some(number)
}

/// The id of an element.
fn id(author: &Actor, sequence: u64, count: u64) -> SmolStr {
    let mut bytes = author.iter().take(8).copied().collect();
    put_number(&mut bytes, sequence);
    put_number(&mut bytes, count);
    SmolStr::new(BASE64URL_NOPAD.encode(&bytes))
}

/// The sequence and the count of the id of an element that an author made.
fn element(author: &Actor, key: &str) -> Option<(u64, u64)> {
    // Eight bytes and two numbers: what is longer or shorter is none.
    if !(14..=38).contains(&key.len()) {
        return None;
    }
    let bytes = BASE64URL_NOPAD.decode(key.as_bytes()).ok()?;
    let (first, numbers) = bytes.split_first_chunk::<8>()?;
    let mut numbers = Cursor::new(numbers);
    let (sequence, count) = (numbers.number().ok()?, numbers.number().ok()?);
    // Numbers have longer spellings too.
    let same = author.starts_with(first) && id(author, sequence, count) == key;
    same.then_some((sequence, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_and_are_short() {
        let author = [9; 16];
        let other = [8; 16];
        let cases = [
            ("0".into(), 1),
            ("239".into(), 1),
            ("240".into(), 3),
            ("65535".into(), 4),
            ("007".into(), 5),
            ("-5".into(), 2),
            ("-0".into(), 4),
            ("+1".into(), 4),
            ("@".into(), 1),
            ("".into(), 2),
            ("name".into(), 6),
            ("18446744073709551616".into(), 22),
            (id(&author, 3, 7), 2),
            (id(&author, 300, 7), 4),
            (id(&other, 3, 7), 16),
        ];
        for (key, size) in cases {
            let mut out = Vec::new();
            put(&mut out, (&author, 3), &key);
            let mut cursor = Cursor::new(&out);
            let code = cursor.byte().unwrap();
            let read = read(code, (&author, 3), &mut cursor).unwrap();
            assert_eq!((read, out.len()), (Some(Key::Map(key.clone())), size), "{key}");
        }
    }
}
