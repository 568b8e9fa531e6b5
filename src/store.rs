//! Who keeps rooms: while they are open what came to them, and all of them while they are closed.

#[cfg(feature = "disk")]
pub mod disk;
#[cfg(all(feature = "disk", feature = "sim"))]
pub mod fuzz;
mod memory;

use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;

#[cfg(feature = "disk")]
pub use self::disk::{DiskStore, DiskStoreConfig};
pub use self::memory::{MemoryStore, MemoryStoreConfig};
use crate::proto::event::kept::{Keeping, KeptRoom, Unfetched};
use crate::proto::id::RoomKey;

/// Why a store did not do what was asked of it. The text is for who operates the relay.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It has no place for a room of this size. Nothing of the commit was kept, and what was kept before
    /// is kept on.
    #[error(
        "{} has {size} bytes, over the store's limit of {limit}: nothing of this commit was kept; \
         raise the limit",
        Named(room)
    )]
    TooLarge {
        /// Which room.
        room: RoomKey,
        /// The most bytes.
        limit: usize,
        /// How many it would have.
        size: usize,
    },
    /// More came to a room of which nothing is kept. Nothing of the commit was kept, and what was kept
    /// before is kept on.
    #[error(
        "nothing is kept of {}, so that nothing can come to it: nothing of this commit was kept",
        Named(room)
    )]
    Absent {
        /// Which room.
        room: RoomKey,
    },
    /// What is kept of this room is not what it was. It stays as it is, for whoever can make something
    /// of it: nothing is kept over it, and nothing of a commit that would was kept. Other rooms are what
    /// they were. If a part of it cannot be read, that may pass: then it is what it was.
    #[error(
        "{} is damaged ({why}) and stays closed; nothing is kept over it, and other rooms are well: \
         import a copy of it, or delete it",
        Named(room)
    )]
    Damaged {
        /// Which room.
        room: RoomKey,
        /// What is wrong with it.
        why: String,
    },
    /// What the store stands on failed. Nothing of this commit counts, though some of it may be found
    /// later. All that was committed before is there. Whatever is asked of this store from now on is
    /// answered with this: whether its disk has what it was told last cannot be known until it is opened
    /// anew.
    #[error(
        "the store failed and says nothing any more ({why}): what was committed before is kept, \
         and what was not is not; put its disk right and begin the relay again"
    )]
    Failed {
        /// What that says.
        why: String,
    },
}

impl StoreError {
    /// The room without which the rest can be committed, if it is only that.
    #[must_use]
    pub const fn room(&self) -> Option<&RoomKey> {
        match self {
            Self::TooLarge { room, .. } | Self::Absent { room } | Self::Damaged { room, .. } => {
                Some(room)
            }
            Self::Failed { .. } => None,
        }
    }

    /// What this says of a room that was asked for.
    #[must_use]
    pub fn unfetched(&self) -> Unfetched {
        match self {
            Self::Damaged { why, .. } => Unfetched::Damaged { why: why.clone() },
            Self::Failed { why } => Unfetched::Failed { why: why.clone() },
            Self::TooLarge { .. } | Self::Absent { .. } => {
                Unfetched::Failed { why: self.to_string() }
            }
        }
    }
}

/// A room as operators know it.
struct Named<'a>(&'a RoomKey);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the room {:?} of {:?}", self.0.1, self.0.0)
    }
}

/// Keeps the rooms of one relay.
///
/// A relay is told of one by [`Relay::with_store`](crate::net::Relay::with_store). Whoever calls waits,
/// for a disk if it has one.
pub trait RoomStore: Debug + Send {
    /// Keeps what became of rooms, in this order, all of it or nothing: whoever looks later, whatever
    /// happened meanwhile, finds all of it or none. Once this has returned well, it is kept as
    /// [`is_durable`](Self::is_durable) says. A room may be in it more than once. Of nothing, nothing is
    /// done.
    ///
    /// # Errors
    ///
    /// When it is not kept; then none of it is. After every error but [`StoreError::Failed`] the rest can
    /// be committed without the room that is named.
    fn commit(&mut self, keepings: Vec<Keeping>) -> Result<(), StoreError>;

    /// What is kept of a room; nothing, if nothing is. It is kept on.
    ///
    /// # Errors
    ///
    /// When that cannot be said: [`StoreError::Damaged`], of this room, for good or until its disk reads
    /// it again, or [`StoreError::Failed`]. Such a room must not be opened.
    fn fetch(&mut self, room: &RoomKey) -> Result<Option<KeptRoom>, StoreError>;

    /// Keeps nothing of a room any more, be it damaged. Returns whether there was anything.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`], when it cannot be removed.
    fn remove(&mut self, room: &RoomKey) -> Result<bool, StoreError>;

    /// Whether what it has kept outlives the process and a loss of power.
    fn is_durable(&self) -> bool;
}

/// A store that others see too: an operator, or the next relay of the same process.
impl<S: RoomStore + ?Sized> RoomStore for Arc<Mutex<S>> {
    fn commit(&mut self, keepings: Vec<Keeping>) -> Result<(), StoreError> {
        held(self).commit(keepings)
    }

    fn fetch(&mut self, room: &RoomKey) -> Result<Option<KeptRoom>, StoreError> {
        held(self).fetch(room)
    }

    fn remove(&mut self, room: &RoomKey) -> Result<bool, StoreError> {
        held(self).remove(room)
    }

    fn is_durable(&self) -> bool {
        held(self).is_durable()
    }
}

fn held<S: ?Sized>(store: &Mutex<S>) -> MutexGuard<'_, S> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}
