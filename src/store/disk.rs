//! Rooms in one file, which outlives the process, a loss of power, and bits that flip.

mod commit;
mod export;
mod medium;
mod opening;
mod pages;
mod upkeep;
mod value;
mod view;

#[cfg(any(test, feature = "sim"))]
mod frail;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::{Database, ReadableDatabase};

pub use self::export::{ExportError, read as read_export};
#[cfg(any(test, feature = "sim"))]
pub use self::frail::{Crash, FrailMedium, Operation, Spoiled};
pub use self::medium::Medium;
pub use self::opening::OpenError;
pub use self::pages::MediumStatistics;
use self::pages::Pages;
pub use self::upkeep::{BackupError, Progress, Snapshot, StoredRoom};
use self::value::key;
use self::view::{Unread, View};
use super::{RoomStore, StoreError};
use crate::proto::event::kept::{Keeping, KeptRoom};
use crate::proto::id::RoomKey;

/// What a [`DiskStore`] may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskStoreConfig {
    /// The most bytes of pages that are kept in memory. Half of it holds what a commit writes; of more,
    /// pages go to the disk while it is made. 16 MiB.
    pub cache_bytes: usize,
    /// The most bytes that are kept of one room, what it was and what came since. While a room is kept or
    /// fetched, all of it is in memory, up to three times. 256 MiB; more than 1 GiB does not work.
    pub room_bytes: usize,
}

impl Default for DiskStoreConfig {
    fn default() -> Self {
        Self { cache_bytes: 16 << 20, room_bytes: 256 << 20 }
    }
}

/// What a store did since it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DiskStatistics {
    /// How often something was kept or removed at once.
    pub commits: u64,
    /// What that took.
    pub medium: MediumStatistics,
}

/// Keeps rooms in a file.
///
/// What [`commit`](RoomStore::commit) or [`remove`](RoomStore::remove) said is there whatever happens to
/// the process, and after a loss of power, if the disk does what it says when it is asked to sync; each
/// costs two or three syncs. When a sync fails, the store says nothing any more until it is opened anew.
///
/// Everything in the file is checked when it is read. What holds the store together is there twice, and
/// read from its copy if it is damaged; a room whose own bytes are damaged is named, and no other room is
/// affected. A damaged copy is written anew when it is read. What the medium does not read (EIO) is like
/// what is damaged, but nothing in the file says so of a room: it is closed until it reads again. When
/// nothing can be read any more, the store fails.
///
/// One process has the file, from [`open`](Self::open) until the store is dropped.
pub struct DiskStore {
    database: Database,
    pages: Pages,
    config: DiskStoreConfig,
    commits: u64,
    /// Why nothing is said any more.
    failed: Option<String>,
    /// Whether what an earlier run retired was looked at.
    has_checked: bool,
    /// Generations that stay, since what came in their place is damaged or cannot be read.
    spared: BTreeSet<u64>,
    /// Rooms that could not be read when they were last asked for, and why. Of these the file says
    /// nothing: the medium may read them another time.
    unread: BTreeMap<RoomKey, String>,
}

impl fmt::Debug for DiskStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, failed, .. } = self;
        f.debug_struct("DiskStore")
            .field("config", config)
            .field("failed", failed)
            .finish_non_exhaustive()
    }
}

impl DiskStore {
    /// What it did since it was opened.
    #[must_use]
    pub fn statistics(&self) -> DiskStatistics {
        DiskStatistics { commits: self.commits, medium: self.pages.statistics() }
    }

    /// Does something, unless the store has failed; and if that fails, it has.
    fn ask<T>(
        &mut self,
        ask: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Some(why) = &self.failed {
            return Err(StoreError::Failed { why: why.clone() });
        }
        // It sees no damaged page; should it panic nevertheless, that is not to end a relay.
        let asked = catch_unwind(AssertUnwindSafe(|| ask(self)));
        let mut asked = asked.unwrap_or_else(|_| Err(broken("the database panicked")));
        if let Err(StoreError::Failed { why }) = &mut asked {
            // The database may say only that something failed before.
            let fault = self.pages.fault().map(|fault| fault.to_string());
            if let Some(fault) = fault.filter(|fault| !why.contains(fault)) {
                *why = format!("{fault}; {why}");
            }
            tracing::error!("the store failed: {why}");
            self.failed = Some(why.clone());
        }
        asked
    }

    fn view(&self) -> Result<View, StoreError> {
        let transaction = self.database.begin_read().map_err(broken)?;
        Ok(View::new(transaction, self.pages.clone()))
    }

    fn read(&mut self, room: &RoomKey) -> Result<Option<KeptRoom>, StoreError> {
        let key = key(room);
        let view = self.view()?;
        if let Some(why) = view.damage(&key)? {
            return Err(StoreError::Damaged { room: room.clone(), why });
        }
        let read = view.room(&key);
        drop(view);
        self.unread.remove(room);
        match &read {
            Ok(_) | Err(Unread::Failed(_)) => {}
            Err(Unread::Damaged(why)) => {
                tracing::error!(room = %room.1, "a room is damaged and stays closed: {why}");
                self.quarantine(&[(key, why.clone())])?;
            }
            Err(Unread::Unreadable(why)) => {
                tracing::error!(room = %room.1, "a room cannot be read now: {why}");
                let generations = self.generations(&key)?;
                self.spared.extend(generations);
                self.unread.insert(room.clone(), why.clone());
            }
        }
        read.map_err(|unread| unread.of(room))
    }

    /// Which generations of a room are retired.
    fn generations(&self, key: &[u8]) -> Result<Vec<u64>, StoreError> {
        let retired = self.view()?.retired()?;
        let retired = retired.into_iter().filter(|(_, of)| of.as_deref() == Some(key));
        Ok(retired.map(|(generation, _)| generation).collect())
    }

    fn erase(&mut self, room: &RoomKey) -> Result<bool, StoreError> {
        let key = key(room);
        let generations = self.generations(&key)?;
        let was = self.transact(|pen| pen.remove(&key, &generations))?;
        self.unread.remove(room);
        Ok(was)
    }
}

impl RoomStore for DiskStore {
    /// Costs two or three syncs, a copy of what is kept, and for a room that is kept whole reading it
    /// back.
    fn commit(&mut self, keepings: Vec<Keeping>) -> Result<(), StoreError> {
        self.ask(|store| if keepings.is_empty() { Ok(()) } else { store.keep(keepings) })
    }

    /// Costs reading it, and two or three syncs when it is found damaged.
    fn fetch(&mut self, room: &RoomKey) -> Result<Option<KeptRoom>, StoreError> {
        self.ask(|store| store.read(room))
    }

    /// Its bytes are not overwritten at once.
    fn remove(&mut self, room: &RoomKey) -> Result<bool, StoreError> {
        self.ask(|store| store.erase(room))
    }

    fn is_durable(&self) -> bool {
        true
    }
}

fn broken(why: impl fmt::Display) -> StoreError {
    StoreError::Failed { why: why.to_string() }
}
