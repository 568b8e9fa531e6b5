//! What is committed, read and checked: rows of rooms, and what they say is kept.

use std::borrow::Cow;

use bytes::Bytes;
use redb::{ReadTransaction, ReadableTable};

use super::value::{
    DAMAGED, IMAGES, META, Place, RECORDS, RETIRED, ROOMS, Row, Sum, chained, number, room,
};
use super::{Pages, broken};
use crate::proto::event::kept::{KeptRoom, RoomImage, RoomRecord};
use crate::proto::id::RoomKey;
use crate::store::StoreError;

/// Why something is not read.
#[derive(Debug)]
pub(super) enum Unread {
    /// It is not what was written.
    Damaged(String),
    /// It may be what was written: the medium does not read all of it now.
    Unreadable(String),
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
            Self::Damaged(why) | Self::Unreadable(why) => {
                StoreError::Damaged { room: room.clone(), why }
            }
            Self::Failed(error) => error,
        }
    }
}

/// What a row is for, and what it says.
pub(super) type Said = (RoomKey, Result<Row, String>);

/// A generation that is not kept any more, and the key of its room, if that is not damaged.
pub(super) type Retired = (u64, Option<Vec<u8>>);

/// The store as it was at one moment. What is committed later does not show.
pub(super) struct View {
    transaction: ReadTransaction,
    pages: Pages,
}

impl View {
    pub(super) const fn new(transaction: ReadTransaction, pages: Pages) -> Self {
        Self { transaction, pages }
    }

    /// The number of the next generation.
    pub(super) fn next(&self) -> Result<u64, Unread> {
        let table = self.transaction.open_table(META).map_err(broken)?;
        let value = table.get("next").map_err(broken)?;
        let value =
            value.ok_or_else(|| Unread::Damaged("no number of the next generation".into()))?;
        let (bytes, _) = Place::Next.open(value.value()).map_err(wrong("the next generation"))?;
        number(bytes).ok_or_else(|| Unread::Damaged("the next generation is no number".into()))
    }

    /// What is said to be kept of a room.
    pub(super) fn row(&self, key: &[u8]) -> Result<Option<Row>, Unread> {
        let table = self.transaction.open_table(ROOMS).map_err(broken)?;
        let value = table.get(key).map_err(broken)?;
        value.map(|value| row(key, value.value()).map_err(Unread::Damaged)).transpose()
    }

    /// Why a room was found damaged, if it was.
    pub(super) fn damage(&self, key: &[u8]) -> Result<Option<String>, StoreError> {
        let table = self.transaction.open_table(DAMAGED).map_err(broken)?;
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
        let images = self.transaction.open_table(IMAGES).map_err(broken)?;
        let image = images.get(generation).map_err(broken)?;
        let image = image.ok_or_else(|| Unread::Damaged("its image is missing".into()))?;
        let place = Place::Image(key, generation);
        let mut doubt = None;
        let (bytes, mut chain) =
            self.part(place, image.value(), &mut doubt, || "its image".into())?;
        take(&bytes);
        let records = self.transaction.open_table(RECORDS).map_err(broken)?;
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
            let name = || format!("its record {count} of {}", row.records);
            let (bytes, sum) = self.part(place, value.value(), &mut doubt, name)?;
            take(&bytes);
            chain = chained(chain, sum);
            count += 1;
            total += bytes.len() as u64;
        }
        if count != row.records {
            return Err(Unread::Damaged(format!("it has {count} records of {}", row.records)));
        }
        if chain != row.chain || total != row.record_bytes || bytes.len() as u64 != row.image {
            let other = || Unread::Damaged("it is not what its row says".into());
            return Err(doubt.map_or_else(other, Unread::Unreadable));
        }
        Ok(())
    }

    /// An image or a record, and its sum. If only the sum that it says cannot be read, that is left in
    /// `doubt`: whether it is good is for the chain to say.
    fn part<'v>(
        &self,
        place: Place<'_>,
        value: &'v [u8],
        doubt: &mut Option<String>,
        name: impl Fn() -> String,
    ) -> Result<(Cow<'v, [u8]>, Sum), Unread> {
        let what = match place.open(value) {
            Ok((bytes, sum)) => return Ok((Cow::Borrowed(bytes), sum)),
            Err(what) => what,
        };
        let unreadable = match self.pages.mended(value) {
            None => return Err(Unread::Damaged(format!("{} {what}", name()))),
            Some(Ok(mended)) => {
                if let Ok((bytes, sum)) = place.open(&mended) {
                    return Ok((Cow::Owned(bytes.to_vec()), sum));
                }
                // What could not be read may be moved since, or too short to be known.
                format!("{} {what}, and a part of the store cannot be read", name())
            }
            Some(Err(error)) => format!("a part of it cannot be read: {error}"),
        };
        match place.parse(value) {
            Ok((bytes, sum, _)) => {
                doubt.get_or_insert(unreadable);
                Ok((Cow::Borrowed(bytes), sum))
            }
            Err(_) => Err(Unread::Unreadable(unreadable)),
        }
    }

    /// Every room of which something is kept, in order, with its row.
    pub(super) fn rows(&self) -> Result<Vec<Said>, StoreError> {
        let table = self.transaction.open_table(ROOMS).map_err(broken)?;
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

    /// Generations that are not kept any more.
    pub(super) fn retired(&self) -> Result<Vec<Retired>, StoreError> {
        let table = self.transaction.open_table(RETIRED).map_err(broken)?;
        let mut retired = Vec::new();
        for entry in table.iter().map_err(broken)? {
            let (generation, value) = entry.map_err(broken)?;
            let generation = generation.value();
            let key = Place::Retired(generation).open(value.value());
            retired.push((generation, key.ok().map(|(key, _)| key.to_vec())));
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
