//! Where a connection's datagrams wait for who serves the connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task;

use crate::net::quic::datagrams::Datagrams;

/// The datagrams of connections that nobody has taken yet.
///
/// libp2p shows a connection's handler nothing of the connection but streams. It gives every
/// connection a task of its own, though, in which both are run: by that task they find each other.
/// What nobody takes goes when its connection does, so there is never more here than connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shelf(Arc<Mutex<HashMap<task::Id, Datagrams>>>);

/// Where something was put. Dropped, it is empty again.
#[derive(Debug)]
pub(super) struct Place {
    shelf: Shelf,
    task: task::Id,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shelf.places().remove(&self.task);
    }
}

impl Shelf {
    /// Called by the connection, in its task. Nothing, where there are no tasks.
    pub(super) fn put(&self, datagrams: Datagrams) -> Option<Place> {
        let task = task::try_id()?;
        self.places().insert(task, datagrams);
        Some(Place { shelf: self.clone(), task })
    }

    /// The datagrams of the connection in whose task this is called; none, if it has none or they
    /// were taken.
    pub(crate) fn take(&self) -> Option<Datagrams> {
        let task = task::try_id()?;
        self.places().remove(&task)
    }

    /// How much nobody has taken yet.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.places().len()
    }

    fn places(&self) -> MutexGuard<'_, HashMap<task::Id, Datagrams>> {
        // Nothing that can panic is done while it is locked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
