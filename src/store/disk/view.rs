//! What is committed, read and checked: rows of rooms, and what they say is kept.

use bytes::Bytes;
use redb::{ReadTransaction, ReadableTable};

use super::broken;
use super::value::{
    DAMAGED, IMAGES, META, Place, RECORDS, RETIRED, ROOMS, Row, chained, number, room,
};
use crate::proto::event::kept::{KeptRoom, RoomImage, RoomRecord};
use crate::proto::id::RoomKey;
use crate::store::StoreError;

/// Why something is not read.
#[derive(Debug)]
pub(super) enum Unread {
    /// It is not what was written.
    Damaged(String),
    /// It cannot be known.
    Failed(StoreError),
}

impl From<StoreError> for Unread {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl Unread {
    pub(super) fn of(self, room: &RoomKey) -> StoreError {
        match self {
            Self::Damaged(why) => StoreError::Damaged { room: room.clone(), why },
            Self::Failed(error) => error,
        }
    }
}

/// What a row is for, and what it says.
pub(super) type Said = (RoomKey, Result<Row, String>);

/// The store as it was at one moment. What is committed later does not show.
pub(super) struct View(ReadTransaction);

impl View {
    pub(super) const fn new(transaction: ReadTransaction) -> Self {
        Self(transaction)
    }

    /// The number of the next generation.
    pub(super) fn next(&self) -> Result<u64, Unread> {
        let table = self.0.open_table(META).map_err(broken)?;
        let value = table.get("next").map_err(broken)?;
        let value =
            value.ok_or_else(|| Unread::Damaged("no number of the next generation".into()))?;
        let (bytes, _) = Place::Next.open(value.value()).map_err(wrong("the next generation"))?;
        number(bytes).ok_or_else(|| Unread::Damaged("the next generation is no number".into()))
    }

    /// What is said to be kept of a room.
    pub(super) fn row(&self, key: &[u8]) -> Result<Option<Row>, Unread> {
        let table = self.0.open_table(ROOMS).map_err(broken)?;
        let value = table.get(key).map_err(broken)?;
        value.map(|value| row(key, value.value()).map_err(Unread::Damaged)).transpose()
    }

    /// Why a room was found damaged, if it was.
    pub(super) fn damage(&self, key: &[u8]) -> Result<Option<String>, StoreError> {
        let table = self.0.open_table(DAMAGED).map_err(broken)?;
        let value = table.get(key).map_err(broken)?;
        Ok(value.map(|value| damage(key, value.value())))
    }

    /// All that is kept of a room, each part of it checked.
    pub(super) fn room(&self, key: &[u8]) -> Result<Option<KeptRoom>, Unread> {
        let Some(row) = self.row(key)? else { return Ok(None) };
        let mut parts = Vec::with_capacity(usize::try_from(row.records).map_or(0, |n| n.min(4096)));
        self.read(key, &row, |part| parts.push(Bytes::copy_from_slice(part)))?;
        let mut parts = parts.into_iter();
        let image = RoomImage(parts.next().unwrap_or_default());
        Ok(Some(KeptRoom { image, records: parts.map(RoomRecord).collect() }))
    }

    /// Whether all that is kept of a room is what was written; if not, what is wrong.
    pub(super) fn check(&self, key: &[u8]) -> Result<(), Unread> {
        self.row(key)?.map_or(Ok(()), |row| self.read(key, &row, |_| {}))
    }

    /// Hands out the image of a room, and then its records. What was handed out counts only if all is
    /// well in the end.
    fn read(&self, key: &[u8], row: &Row, mut take: impl FnMut(&[u8])) -> Result<(), Unread> {
        let generation = row.generation;
        let images = self.0.open_table(IMAGES).map_err(broken)?;
        let image = images.get(generation).map_err(broken)?;
        let image = image.ok_or_else(|| Unread::Damaged("its image is missing".into()))?;
        let place = Place::Image(key, generation);
        let (bytes, mut chain) = place.open(image.value()).map_err(wrong("its image"))?;
        take(bytes);
        let records = self.0.open_table(RECORDS).map_err(broken)?;
        let (mut count, mut total) = (0, 0);
        for entry in records.range((generation, 0)..=(generation, u64::MAX)).map_err(broken)? {
            let (at, value) = entry.map_err(broken)?;
            let missing = at.value().1 != count;
            if missing || count == row.records {
                return Err(Unread::Damaged(format!(
                    "its record {count} is missing, or one too many"
                )));
            }
            let place = Place::Record(key, generation, count);
            let (bytes, sum) = place.open(value.value()).map_err(|what| {
                Unread::Damaged(format!("its record {count} of {} {what}", row.records))
            })?;
            take(bytes);
            chain = chained(chain, sum);
            count += 1;
            total += bytes.len() as u64;
        }
        if count != row.records {
            return Err(Unread::Damaged(format!("it has {count} records of {}", row.records)));
        }
        if chain != row.chain || total != row.record_bytes || bytes.len() as u64 != row.image {
            return Err(Unread::Damaged("it is not what its row says".into()));
        }
        Ok(())
    }

    /// Every room of which something is kept, in order, with its row.
    pub(super) fn rows(&self) -> Result<Vec<Said>, StoreError> {
        let table = self.0.open_table(ROOMS).map_err(broken)?;
        let mut rows = Vec::new();
        for entry in table.iter().map_err(broken)? {
            let (key, value) = entry.map_err(broken)?;
            if let Some(room) = room(key.value()) {
                rows.push((room, row(key.value(), value.value())));
            } else {
                tracing::error!("the store has a room with a key that is none");
            }
        }
        Ok(rows)
    }

    /// Generations that are not kept any more, with the keys of their rooms.
    pub(super) fn retired(&self) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let table = self.0.open_table(RETIRED).map_err(broken)?;
        let mut retired = Vec::new();
        for entry in table.iter().map_err(broken)? {
            let (generation, value) = entry.map_err(broken)?;
            let generation = generation.value();
            match Place::Retired(generation).open(value.value()) {
                Ok((key, _)) => retired.push((generation, key.to_vec())),
                // It stays. That costs its room on the disk.
                Err(what) => tracing::error!(generation, "a generation that was kept {what}"),
            }
        }
        Ok(retired)
    }
}

fn wrong(of: &'static str) -> impl Fn(&'static str) -> Unread {
    move |what| Unread::Damaged(format!("{of} {what}"))
}

/// What a row says, or what is wrong with it.
pub(super) fn row(key: &[u8], value: &[u8]) -> Result<Row, String> {
    let (bytes, _) = Place::Row(key).open(value).map_err(|what| format!("its row {what}"))?;
    Row::from_bytes(bytes).ok_or_else(|| "its row is of another form".into())
}

/// What was found of a room. That something was found holds even if what it was cannot be read.
pub(super) fn damage(key: &[u8], value: &[u8]) -> String {
    let why =
        Place::Damage(key).open(value).map(|(bytes, _)| String::from_utf8_lossy(bytes).into());
    why.unwrap_or_else(|_| "it was found damaged".into())
}
