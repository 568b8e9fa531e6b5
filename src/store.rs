//! Who keeps rooms while they are closed.

mod memory;

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;

pub use self::memory::{MemoryStore, MemoryStoreConfig};
use crate::proto::event::RoomImage;
use crate::proto::id::RoomKey;

/// Why a store did not do what was asked of it. The text is for who operates the relay.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It has no place for something of this size.
    #[error("a room of {size} bytes is over the store's limit of {limit}: raise the limit")]
    TooLarge {
        /// The most bytes.
        limit: usize,
        /// How many it has.
        size: usize,
    },
    /// What it stands on failed.
    #[error("the store failed: {why}")]
    Failed {
        /// What that says.
        why: String,
    },
}

/// Keeps the rooms of one relay while nobody is in them.
///
/// A relay is told of one by [`Relay::with_store`](crate::net::Relay::with_store). It calls from its
/// own task, so that whoever waits for a disk holds up every room; and one at a time.
pub trait RoomStore: Debug + Send {
    /// Keeps a room that has closed, in place of what was kept of it. Once this has returned, it is kept
    /// for as long as the store says.
    ///
    /// # Errors
    ///
    /// When it cannot be kept. What was kept of it before may be gone or not.
    fn keep(&mut self, room: &RoomKey, image: RoomImage) -> Result<(), StoreError>;

    /// What is kept of a room; nothing, if nothing is. It is kept on.
    ///
    /// # Errors
    ///
    /// When that cannot be said. The room is not opened then, and so not kept over what is there.
    fn fetch(&mut self, room: &RoomKey) -> Result<Option<RoomImage>, StoreError>;

    /// Keeps nothing of a room any more. Returns whether there was anything.
    ///
    /// # Errors
    ///
    /// When it cannot be removed.
    fn remove(&mut self, room: &RoomKey) -> Result<bool, StoreError>;
}

/// A store that others see too: an operator, or the next relay of the same process.
impl<S: RoomStore + ?Sized> RoomStore for Arc<Mutex<S>> {
    fn keep(&mut self, room: &RoomKey, image: RoomImage) -> Result<(), StoreError> {
        self.lock().unwrap_or_else(PoisonError::into_inner).keep(room, image)
    }

    fn fetch(&mut self, room: &RoomKey) -> Result<Option<RoomImage>, StoreError> {
        self.lock().unwrap_or_else(PoisonError::into_inner).fetch(room)
    }

    fn remove(&mut self, room: &RoomKey) -> Result<bool, StoreError> {
        self.lock().unwrap_or_else(PoisonError::into_inner).remove(room)
    }
}
