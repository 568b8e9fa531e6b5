//! Records in a frame, one after another.

use bytes::Bytes;
use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_with_limit};

use super::DeltaError;
use super::cursor::{Cursor, put_number};

/// The most records of one frame.
pub const MAX_RECORDS: usize = 1_024;

/// Frames of fewer bytes are not worth the work.
const WORTH: usize = 512;

/// How much work goes into deflating: more gains a percent.
const LEVEL: u8 = 6;

/// What a record is: the two lowest bits of its header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A change without what the log says.
    Stripped,
    /// An entry as it is.
    Entry,
    /// A change with all its bytes, because it was asked for so.
    Full,
    /// A change of the receiver's has its place.
    Placed,
}

/// The last record of a frame: it has no length in front.
const LAST: u8 = 1 << 2;
/// The author is the link's member.
pub const OWN: u8 = 1 << 3;
/// Where the form of the dependencies stands.
const DEPS: u32 = 4;
/// A stripped change writes again what its author's previous one wrote.
pub const REPEATED: u8 = 1 << 6;
/// An entry has no place in the order.
pub const APART: u8 = 1 << 6;
/// The sequence is stated.
pub const STATED: u8 = 1 << 7;

/// What a change follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Follows {
    /// Its author's previous change, and nothing if there is none.
    Previous,
    /// Everything before a position, and its author's previous change.
    Seen,
    /// What is listed.
    Listed,
}

/// One record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Which kind it is, and the flags of that.
    pub header: u8,
    /// What follows.
    pub body: Bytes,
}

impl Record {
    /// A record of a kind.
    #[must_use]
    pub fn new(kind: Kind, follows: Follows, flags: u8, body: Vec<u8>) -> Self {
        let kind = match kind {
            Kind::Stripped => 0,
            Kind::Entry => 1,
            Kind::Full => 2,
            Kind::Placed => 3,
        };
        let follows = match follows {
            Follows::Previous => 0_u8,
            Follows::Seen => 1,
            Follows::Listed => 2,
        };
        Self { header: kind | follows << DEPS | flags, body: body.into() }
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self.header & 3 {
            0 => Kind::Stripped,
            1 => Kind::Entry,
            2 => Kind::Full,
            _ => Kind::Placed,
        }
    }

    /// What a stripped change follows.
    ///
    /// # Errors
    ///
    /// When it is a form that there is not.
    pub const fn follows(&self) -> Result<Follows, DeltaError> {
        match (self.header >> DEPS) & 3 {
            0 => Ok(Follows::Previous),
            1 => Ok(Follows::Seen),
            2 => Ok(Follows::Listed),
            _ => Err(DeltaError::Malformed),
        }
    }

    /// Whether a flag is set.
    #[must_use]
    pub const fn has(&self, flag: u8) -> bool {
        self.header & flag != 0
    }

    /// What it takes in a frame at most.
    #[must_use]
    pub fn size(&self) -> usize {
        self.body.len().saturating_add(6)
    }
}

/// Records as bytes.
#[must_use]
pub fn join(records: &[Record]) -> Bytes {
    let mut bytes = Vec::new();
    if let Some((last, others)) = records.split_last() {
        for record in others {
            bytes.push(record.header);
            put_number(&mut bytes, record.body.len() as u64);
            bytes.extend_from_slice(&record.body);
        }
        bytes.push(last.header | LAST);
        bytes.extend_from_slice(&last.body);
    }
    bytes.into()
}

/// Bytes as records.
///
/// # Errors
///
/// When they end early, or are more than [`MAX_RECORDS`].
pub fn split(bytes: &Bytes) -> Result<Vec<Record>, DeltaError> {
    let mut records = Vec::new();
    let mut cursor = Cursor::new(bytes);
    loop {
        if records.len() >= MAX_RECORDS {
            return Err(DeltaError::TooLarge);
        }
        let header = cursor.byte()?;
        let last = header & LAST != 0;
        let count = if last { cursor.rest().len() as u64 } else { cursor.number()? };
        let body = bytes.slice_ref(cursor.bytes(count)?);
        records.push(Record { header: header & !LAST, body });
        if last {
            return Ok(records);
        }
    }
}

/// Records deflated, if that makes them a tenth smaller.
#[must_use]
pub fn deflate(records: &[u8]) -> Option<Bytes> {
    if records.len() < WORTH {
        return None;
    }
    let deflated = compress_to_vec(records, LEVEL);
    let smaller = deflated.len().saturating_mul(10) <= records.len().saturating_mul(9);
    smaller.then(|| deflated.into())
}

/// What was deflated, if it is at most `limit` bytes.
///
/// # Errors
///
/// When it is more, or was not deflated.
pub fn inflate(deflated: &[u8], limit: usize) -> Result<Bytes, DeltaError> {
    match decompress_to_vec_with_limit(deflated, limit) {
        Ok(records) => Ok(records.into()),
        Err(error) if error.status == TINFLStatus::HasMoreOutput => Err(DeltaError::TooLarge),
        Err(_) => Err(DeltaError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(length: usize) -> Record {
        Record::new(Kind::Entry, Follows::Previous, OWN, vec![7; length])
    }

    #[test]
    fn records_come_back_and_the_last_has_no_length() {
        let records = [record(0), record(200), record(3)];
        let bytes = join(&records);
        assert_eq!(bytes.len(), 2 + 203 + 4);
        assert_eq!(split(&bytes), Ok(records.to_vec()));
        for end in [0, 1, 5, 204, 205] {
            assert!(split(&bytes.slice(..end)).is_err(), "{end}");
        }
        assert_eq!(split(&[1, 0].repeat(MAX_RECORDS).into()), Err(DeltaError::TooLarge));
    }

    #[test]
    fn what_is_inflated_is_bounded() {
        let records = vec![7; 100_000];
        let deflated = deflate(&records).unwrap();
        assert!(deflated.len() < 1_000);
        assert_eq!(inflate(&deflated, 100_000), Ok(Bytes::from(records)));
        assert_eq!(inflate(&deflated, 99_999), Err(DeltaError::TooLarge));
        assert_eq!(inflate(&[0xff; 9], 99_999), Err(DeltaError::Malformed));
        assert_eq!(deflate(&[1, 2, 3]), None);
    }
}
