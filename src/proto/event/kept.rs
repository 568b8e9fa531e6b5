//! What a relay keeps of rooms, in bytes: whoever keeps it need not know what is in it.

use std::fmt;

use bytes::Bytes;

use crate::proto::id::RoomKey;

/// A room, whole, as it was at one moment.
#[derive(Clone, PartialEq, Eq)]
pub struct RoomImage(pub Bytes);

impl fmt::Debug for RoomImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RoomImage({} bytes)", self.0.len())
    }
}

/// What came to a room after that, at one time.
#[derive(Clone, PartialEq, Eq)]
pub struct RoomRecord(pub Bytes);

impl fmt::Debug for RoomRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RoomRecord({} bytes)", self.0.len())
    }
}

/// All that is kept of a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeptRoom {
    /// What it was.
    pub image: RoomImage,
    /// What came since, in the order in which it came.
    pub records: Vec<RoomRecord>,
}

impl KeptRoom {
    /// How many bytes all of it has.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.image.0.len() + self.records.iter().map(|record| record.0.len()).sum::<usize>()
    }
}

/// One of the things that are kept at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Keeping {
    /// A room as it is now, in place of all that was kept of it.
    Whole {
        /// Which room.
        room: RoomKey,
        /// What it is.
        image: RoomImage,
    },
    /// What came to a room of which something is kept.
    More {
        /// Which room.
        room: RoomKey,
        /// What came.
        record: RoomRecord,
    },
}

impl Keeping {
    /// Which room it is about.
    #[must_use]
    pub const fn room(&self) -> &RoomKey {
        match self {
            Self::Whole { room, .. } | Self::More { room, .. } => room,
        }
    }

    /// How many bytes of it are to be kept.
    #[must_use]
    pub const fn size(&self) -> usize {
        match self {
            Self::Whole { image, .. } => image.0.len(),
            Self::More { record, .. } => record.0.len(),
        }
    }
}

/// Why it cannot be said what is kept of a room. The texts are for who operates the relay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unfetched {
    /// What is kept of it is not what it was. It stays as it is.
    Damaged {
        /// What is wrong with it.
        why: String,
    },
    /// Whoever keeps it cannot be asked now.
    Failed {
        /// What it says.
        why: String,
    },
}
