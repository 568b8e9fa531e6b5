//! What is asked of what a relay keeps, and what comes of it: the same whoever has the store.

use std::path::PathBuf;

use bytes::Bytes;
use parlor::proto::id::RoomKey;
use parlor::store::disk::StoredRoom;
use serde::{Deserialize, Serialize};

/// What is to be done.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Say of which rooms something is kept.
    List,
    /// Say what is kept of one.
    Show(Wanted),
    /// Hand out one as a file.
    Export(Wanted),
    /// Keep what is in such a file, in place of what is kept of its room.
    Import {
        /// What the file is called.
        name: String,
        bytes: Bytes,
    },
    /// Keep nothing of one any more.
    Delete(Wanted),
    /// Read every room.
    Verify,
    /// Make a store with all rooms that are well.
    BackUp {
        /// Where, from the root on: who does it may have another folder.
        file: PathBuf,
    },
}

/// Which room is meant.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Wanted {
    pub(crate) room: String,
    /// The application's id, if it was said.
    pub(crate) app: Option<String>,
}

impl Wanted {
    pub(crate) fn is(&self, (app, name): &RoomKey) -> bool {
        let of_app = |meant: &String| *meant == format!("{app:?}");
        name.as_str() == self.room && self.app.as_ref().is_none_or(of_app)
    }
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// Those that were asked for.
    Rooms(Vec<Listed>),
    /// A room as a file.
    Exported { room: String, bytes: Bytes },
    /// A file's room is kept.
    Imported { room: String, name: String },
    /// Nothing is kept of a room.
    Deleted { room: String },
    /// Every room was read; these are damaged.
    Verified(Vec<Damaged>),
    /// There is a store with all rooms but these.
    BackedUp(Vec<Damaged>),
}

/// A room of which something is kept, as programs are told of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Listed {
    pub(crate) app: String,
    pub(crate) room: String,
    pub(crate) bytes: u64,
    pub(crate) records: u64,
    /// What is wrong with it, if that was found.
    pub(crate) damaged: Option<String>,
}

impl From<StoredRoom> for Listed {
    fn from(stored: StoredRoom) -> Self {
        let StoredRoom { room: (app, name), bytes, records, damaged } = stored;
        Self { app: format!("{app:?}"), room: name.to_string(), bytes, records, damaged }
    }
}

/// A room that is not what it was, as programs are told of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Damaged {
    pub(crate) app: String,
    pub(crate) room: String,
    /// What is wrong with it.
    pub(crate) damaged: String,
}

impl From<(RoomKey, String)> for Damaged {
    fn from(((app, name), damaged): (RoomKey, String)) -> Self {
        Self { app: format!("{app:?}"), room: name.to_string(), damaged }
    }
}
