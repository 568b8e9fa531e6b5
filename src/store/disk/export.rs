//! One room as a file: what is kept of it, with a digest.

use bytes::Bytes;
use thiserror::Error;

use super::DiskStore;
use super::value::{key, room};
use crate::proto::event::kept::{KeptRoom, RoomImage, RoomRecord};
use crate::proto::id::{RoomKey, digest};
use crate::store::{RoomStore, StoreError};

/// What such a file begins with.
const MAGIC: [u8; 14] = *b"parlor room\x1a\n\0";
/// The version of its format.
const VERSION: u16 = 1;

/// Why bytes are not a room. The text is for who operates a relay.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ExportError {
    /// They begin with something else.
    #[error("this is not an exported room")]
    Foreign,
    /// A later version wrote them.
    #[error(
        "this room was exported in version {found} of the format, and this program knows {VERSION}"
    )]
    Newer {
        /// Their version.
        found: u16,
    },
    /// They are not what was written.
    #[error("this exported room is damaged or cut short")]
    Damaged,
    /// The room cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// All that is kept of `room` as a file: magic, version, key, image and records, each with its length,
/// and a digest of all of that.
#[must_use]
pub(super) fn write(room: &RoomKey, kept: &KeptRoom) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_le_bytes());
    bytes.reserve(kept.bytes() + 8 * kept.records.len() + 1024);
    put(&mut bytes, &key(room));
    put(&mut bytes, &kept.image.0);
    bytes.extend((kept.records.len() as u64).to_le_bytes());
    for record in &kept.records {
        put(&mut bytes, &record.0);
    }
    let digest = digest("parlor store export", &[&bytes]);
    bytes.extend(digest);
    bytes
}

/// Which room a file is of, and what was kept of it.
///
/// # Errors
///
/// When it is not such a file, or not what was written.
pub fn read(bytes: &[u8]) -> Result<(RoomKey, KeptRoom), ExportError> {
    let rest = bytes.strip_prefix(&MAGIC).ok_or(ExportError::Foreign)?;
    let (version, _) = rest.split_first_chunk::<2>().ok_or(ExportError::Damaged)?;
    let found = u16::from_le_bytes(*version);
    let (said, sum) = bytes.split_last_chunk::<32>().ok_or(ExportError::Damaged)?;
    if digest("parlor store export", &[said]) != *sum {
        // The digest is at the end in every version, so a version that was flipped is no later one.
        return Err(ExportError::Damaged);
    }
    if found != VERSION {
        return Err(ExportError::Newer { found });
    }
    parse(said.get(MAGIC.len() + 2..).unwrap_or_default()).ok_or(ExportError::Damaged)
}

fn parse(mut rest: &[u8]) -> Option<(RoomKey, KeptRoom)> {
    let room = room(take(&mut rest)?)?;
    let image = RoomImage(Bytes::copy_from_slice(take(&mut rest)?));
    let (count, after) = rest.split_first_chunk::<8>()?;
    rest = after;
    let mut records = Vec::new();
    for _ in 0..u64::from_le_bytes(*count) {
        records.push(RoomRecord(Bytes::copy_from_slice(take(&mut rest)?)));
    }
    rest.is_empty().then_some((room, KeptRoom { image, records }))
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend((part.len() as u64).to_le_bytes());
    bytes.extend(part);
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, after) = rest.split_first_chunk::<8>()?;
    let (part, after) = after.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
    *rest = after;
    Some(part)
}

impl DiskStore {
    /// A room as a file that [`import`](Self::import) reads, with or without this store; nothing, if
    /// nothing is kept of it. Costs reading it.
    ///
    /// # Errors
    ///
    /// As [`fetch`](RoomStore::fetch).
    pub fn export(&mut self, room: &RoomKey) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.fetch(room)?.map(|kept| write(room, &kept)))
    }

    /// Keeps what is in a file that was exported as `room`, in place of all that was kept of that, be it
    /// damaged. Which room the file is of is said by [`read_export`](super::read_export); a relay opens it
    /// under the name that it is imported as, if nothing in it says otherwise.
    ///
    /// # Errors
    ///
    /// When the file is not one, or cannot be kept: it counts once it was read back. What was kept of the
    /// room is kept on then.
    pub fn import(&mut self, room: &RoomKey, bytes: &[u8]) -> Result<(), ExportError> {
        let (_, kept) = read(bytes)?;
        Ok(self.ask(|store| store.replace(room, &kept))?)
    }

    /// Keeps `kept` in place of whatever was kept of a room.
    pub(super) fn replace(&mut self, room: &RoomKey, kept: &KeptRoom) -> Result<(), StoreError> {
        let (limit, size) = (self.config.room_bytes, kept.bytes());
        if size > limit {
            return Err(StoreError::TooLarge { room: room.clone(), limit, size });
        }
        let key = key(room);
        let generations = self.generations(&key)?;
        let done = self.transact(|pen| pen.replace(&key, kept))?;
        self.settle(&done)?;
        self.spared.retain(|generation| !generations.contains(generation));
        self.unread.remove(room);
        Ok(())
    }
}
