//! Bytes of changes made wrong, with a length and a checksum that fit them.

use sha2::{Digest, Sha256};

use super::dice::Dice;

/// The magic bytes and the checksum.
const HASHED: usize = 8;

/// Does something to the bytes of a change. Returns its name.
pub(super) fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>, other: &[u8]) -> &'static str {
    let columns = columns(bytes);
    let at = dice.below(bytes.len());
    let name = match dice.below(10) {
        0 | 1 => {
            flip(dice, bytes, at);
            "bytes: flipped"
        }
        2 => {
            bytes.truncate(at);
            "bytes: cut off"
        }
        3 => {
            let more: Vec<u8> = (0..1 + dice.below(8)).map(|_| dice.byte()).collect();
            bytes.splice(at..at, more);
            "bytes: inserted"
        }
        4 => {
            let end = bytes.len().min(at + 1 + dice.below(8));
            bytes.drain(at..end);
            "bytes: taken out"
        }
        5 => {
            bytes.truncate(at);
            bytes.extend_from_slice(&other[dice.below(other.len())..]);
            "bytes: of two changes"
        }
        6 | 7 => {
            raise(dice, bytes, &columns);
            "bytes: run raised"
        }
        8 => {
            specify(dice, bytes, &columns);
            "bytes: column changed"
        }
        _ => {
            if let Some(kind) = bytes.get_mut(HASHED) {
                *kind = dice.byte() % 5;
            }
            "bytes: another chunk"
        }
    };
    if !dice.once_in(16) {
        repair(bytes);
    }
    name
}

/// Bytes that are nothing.
pub(super) fn noise(dice: &mut Dice) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..dice.below(200)).map(|_| dice.byte()).collect();
    if dice.once_in(2) {
        bytes.splice(0..0, [0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, 1, 0]);
        repair(&mut bytes);
    }
    bytes
}

fn flip(dice: &mut Dice, bytes: &mut [u8], at: usize) {
    for at in [at, dice.below(bytes.len())].into_iter().take(1 + dice.below(2)) {
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << dice.below(8);
        }
    }
}

/// Makes the number at the beginning of a run larger. Not by so much that whoever believes it takes
/// minutes.
fn raise(dice: &mut Dice, bytes: &mut Vec<u8>, columns: &[Column]) {
    let Some(column) = dice.pick(columns) else {
        return;
    };
    let at = column.data + dice.below(column.length);
    if at < bytes.len() {
        let more = [vec![0x7f], vec![0xff, 0x01], vec![0xa0, 0x9c, 0x01], vec![0x00, 0x40]];
        let more = dice.pick(&more).cloned().unwrap_or_default();
        if let Some(length) = bytes.get_mut(column.spec + 1)
            && dice.once_in(2)
        {
            *length = length.wrapping_add(u8::try_from(more.len()).unwrap_or(0) - 1);
        }
        bytes.splice(at..=at, more);
    }
}

/// Makes a column another: of another kind, compressed, twice, of another length.
fn specify(dice: &mut Dice, bytes: &mut [u8], columns: &[Column]) {
    let Some(column) = dice.pick(columns) else {
        return;
    };
    let at = column.spec + dice.below(2);
    if let Some(byte) = bytes.get_mut(at) {
        *byte = match dice.below(4) {
            0 => *byte | 8,
            1 => byte.wrapping_add(1),
            2 => byte.wrapping_sub(1),
            _ => dice.byte(),
        };
    }
}

/// Where a column is described, and where it is.
struct Column {
    spec: usize,
    data: usize,
    length: usize,
}

/// The columns of a change, as far as it is one.
fn columns(bytes: &[u8]) -> Vec<Column> {
    find_columns(bytes).unwrap_or_default()
}

fn find_columns(bytes: &[u8]) -> Option<Vec<Column>> {
    let mut at = HASHED + 1;
    number(bytes, &mut at)?;
    at += number(bytes, &mut at)?.checked_mul(32)?;
    at += number(bytes, &mut at)?;
    for _ in 0..4 {
        number(bytes, &mut at)?; // sequence, start, time, message
    }
    for _ in 0..number(bytes, &mut at)? {
        at += number(bytes, &mut at)?;
    }
    let mut columns = Vec::new();
    for _ in 0..number(bytes, &mut at)? {
        let spec = at;
        number(bytes, &mut at)?;
        columns.push(Column { spec, data: 0, length: number(bytes, &mut at)? });
    }
    for column in &mut columns {
        column.data = at;
        at += column.length;
    }
    Some(columns)
}

/// A number in groups of seven bits.
fn number(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let mut number = 0_usize;
    for shift in (0..28).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        number |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// Gives bytes the length and the checksum that they should have.
pub(super) fn repair(bytes: &mut Vec<u8>) {
    let mut end = HASHED + 1;
    if number(bytes, &mut end).is_none() {
        return;
    }
    let mut rest = bytes.len() - end;
    let mut length = Vec::new();
    while rest >= 0x80 {
        length.push(u8::try_from(rest & 0x7f).unwrap_or(0) | 0x80);
        rest >>= 7;
    }
    length.push(u8::try_from(rest).unwrap_or(0));
    bytes.splice(HASHED + 1..end, length);
    let hash = Sha256::digest(&bytes[HASHED..]);
    bytes[4..HASHED].copy_from_slice(&hash[..4]);
}
