//! What is in the tables: keys, and values with a version, a length and a sum.

use redb::TableDefinition;

use crate::proto::id::{AppId, RoomKey, RoomName, digest};

/// What the store is in: `next` is the number of the next generation.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// What is kept of each room, by its key.
pub(super) const ROOMS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rooms");
/// Rooms as they were, by generation.
pub(super) const IMAGES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("images");
/// What came to them, by generation and in order.
pub(super) const RECORDS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("records");
/// Generations that are not kept any more, and of which room they are; they go with a later commit.
pub(super) const RETIRED: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("retired");
/// Rooms that are damaged, and why.
pub(super) const DAMAGED: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("damaged");

/// What every value begins with, and nothing else that redb writes does. By it pages are known that only
/// go on a value.
pub(super) const MAGIC: [u8; 7] = *b"parlor\0";
/// The version of values.
const VERSION: u8 = 1;
/// What a value has beside what it is of: magic, version, length, sum.
const FRAME: usize = MAGIC.len() + 1 + 4 + 16;

/// The sum of a value; it says where it belongs.
pub(super) type Sum = [u8; 16];

/// Where a value belongs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    Next,
    Row(&'a [u8]),
    Image(&'a [u8], u64),
    Record(&'a [u8], u64, u64),
    Retired(u64),
    Damage(&'a [u8]),
}

impl Place<'_> {
    fn sum(self, bytes: &[u8]) -> Sum {
        let (table, room, generation, number) = match self {
            Self::Next => ("meta", &[][..], 0, 0),
            Self::Row(room) => ("rooms", room, 0, 0),
            Self::Image(room, generation) => ("images", room, generation, 0),
            Self::Record(room, generation, number) => ("records", room, generation, number),
            Self::Retired(generation) => ("retired", &[][..], generation, 0),
            Self::Damage(room) => ("damaged", room, 0, 0),
        };
        let (generation, number) = (generation.to_le_bytes(), number.to_le_bytes());
        let parts = [table.as_bytes(), room, &generation[..], &number[..], bytes];
        short(digest("parlor store value", &parts))
    }

    /// `bytes` as a value, and its sum.
    pub(super) fn seal(self, bytes: &[u8]) -> (Vec<u8>, Sum) {
        let sum = self.sum(bytes);
        let mut value = Vec::with_capacity(bytes.len() + FRAME);
        value.extend(MAGIC);
        value.push(VERSION);
        value.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        value.extend(bytes);
        value.extend(sum);
        (value, sum)
    }

    /// What a value is of, and its sum; or what is wrong with it.
    pub(super) fn open(self, value: &[u8]) -> Result<(&[u8], Sum), &'static str> {
        let (bytes, is, said) = self.parse(value)?;
        if is == said { Ok((bytes, is)) } else { Err("has another sum") }
    }

    /// What a value is of, if its sum is right; the sum that it then has, and the one that it says.
    pub(super) fn parse(self, value: &[u8]) -> Result<(&[u8], Sum, Sum), &'static str> {
        let value = value.strip_prefix(&MAGIC).ok_or("is no value")?;
        let [version, a, b, c, d, rest @ ..] = value else { return Err("has no length") };
        let Some((bytes, sum)) = rest.split_last_chunk::<16>() else { return Err("has no sum") };
        if *version != VERSION {
            return Err("has another version");
        }
        if usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])) != Ok(bytes.len()) {
            return Err("has another length");
        }
        Ok((bytes, self.sum(bytes), *sum))
    }
}

fn short(digest: [u8; 32]) -> Sum {
    let mut sum = [0; 16];
    sum.copy_from_slice(&digest[..16]);
    sum
}

/// A room's key as bytes.
pub(super) fn key(room: &RoomKey) -> Vec<u8> {
    let mut key = room.0.0.to_vec();
    key.extend(room.1.as_str().as_bytes());
    key
}

/// The room that has this key.
pub(super) fn room(key: &[u8]) -> Option<RoomKey> {
    let (app, name) = key.split_first_chunk::<8>()?;
    let text = std::str::from_utf8(name).ok()?;
    let name = RoomName::new(text).ok()?;
    (name.as_str() == text).then_some((AppId(*app), name))
}

/// What is kept of a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Row {
    /// Under which number; no other room has it, and none ever had.
    pub(super) generation: u64,
    /// Bytes of its image.
    pub(super) image: u64,
    /// How many records it has.
    pub(super) records: u64,
    /// Bytes of them.
    pub(super) record_bytes: u64,
    /// Of the sums of the image and of all records, in order.
    pub(super) chain: Sum,
}

impl Row {
    const SIZE: usize = 48;

    /// A room that has just been kept whole.
    pub(super) fn new(generation: u64, image: usize, sum: Sum) -> Self {
        Self { generation, image: image as u64, records: 0, record_bytes: 0, chain: sum }
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.image.saturating_add(self.record_bytes)
    }

    /// With one record more.
    pub(super) fn with(&self, bytes: usize, sum: Sum) -> Self {
        Self {
            records: self.records + 1,
            record_bytes: self.record_bytes + bytes as u64,
            chain: chained(self.chain, sum),
            ..*self
        }
    }

    pub(super) fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        let numbers = [self.generation, self.image, self.records, self.record_bytes];
        for (place, number) in bytes.chunks_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes[32..].copy_from_slice(&self.chain);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (numbers, chain) = bytes.split_last_chunk::<16>()?;
        let mut numbers = numbers.chunks(8).map(number);
        let mut next = || numbers.next().flatten();
        let row = Self {
            generation: next()?,
            image: next()?,
            records: next()?,
            record_bytes: next()?,
            chain: *chain,
        };
        (bytes.len() == Self::SIZE).then_some(row)
    }
}

pub(super) fn chained(chain: Sum, sum: Sum) -> Sum {
    short(digest("parlor store chain", &[&chain, &sum]))
}

/// Eight bytes as a number.
pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_only_at_its_place_and_to_the_last_bit() {
        let place = Place::Record(b"12345678a", 3, 4);
        let (value, sum) = place.seal(b"what came");
        assert_eq!(place.open(&value), Ok((&b"what came"[..], sum)));
        for elsewhere in [
            Place::Next,
            Place::Row(b"12345678a"),
            Place::Image(b"12345678a", 3),
            Place::Record(b"12345678b", 3, 4),
            Place::Record(b"12345678a", 4, 4),
            Place::Record(b"12345678a", 3, 5),
            Place::Retired(3),
            Place::Damage(b"12345678a"),
        ] {
            assert!(elsewhere.open(&value).is_err(), "{elsewhere:?}");
        }
        for bit in 0..value.len() * 8 {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(place.open(&flipped).is_err(), "bit {bit}");
        }
        for len in 0..value.len() {
            assert!(place.open(&value[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn rows_and_keys_are_read_as_they_were_written() {
        let row = Row { generation: 1, image: 2, records: 3, record_bytes: 4, chain: [5; 16] };
        assert_eq!(Row::from_bytes(&row.to_bytes()), Some(row));
        assert_eq!(Row::from_bytes(&row.to_bytes()[1..]), None);
        assert_eq!(Row::from_bytes(&[0; 56]), None);
        let table = (AppId([7; 8]), RoomName::new("table/\u{e9}").unwrap());
        assert_eq!(room(&key(&table)), Some(table));
        assert_eq!(room(b"1234567"), None);
        assert_eq!(room(b"12345678"), None, "no name");
        assert_eq!(room(b"12345678e\xcc\x81"), None, "a name has one form");
    }
}
