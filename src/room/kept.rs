//! What of a room is kept: by its relay, and in a store of its own.

use std::sync::PoisonError;
use std::time::Duration;

use super::diary::{Diary, SharedStore};
use super::{ConnectError, NotDurable, NotStored, Room};
use crate::proto::event::{Event, State};
use crate::proto::model::Model;
use crate::proto::peer::Peer;

impl<M: Model> Room<M> {
    /// Writes what was edited, and waits until the relay has said that all of it is kept such that it
    /// outlives the relay and a loss of its power, at most `patience`.
    ///
    /// # Errors
    ///
    /// When that cannot be said. What was edited is here all the same, and goes on its way.
    pub async fn durable(&mut self, patience: Duration) -> Result<(), NotDurable> {
        let until = self.clock.now() + patience;
        self.flush();
        while !self.peer.is_durable() {
            match self.peer.state() {
                State::Offline => return Err(NotDurable::Offline),
                State::Closed(reason) => return Err(NotDurable::Closed(reason.clone())),
                State::Ready if !self.peer.is_kept() => return Err(NotDurable::Unkept),
                State::Ready | State::Connecting | State::Joining | State::Reconnecting { .. } => {}
            }
            if self.clock.now() >= until {
                return Err(NotDurable::Late { patience });
            }
            self.wait(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Whether the relay has said that all that was edited here is kept: see [`Peer::is_durable`].
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.peer.is_durable()
    }

    /// Writes what was edited, and waits until all of it is in the room's own store
    /// ([`ConnectOptions::store`](super::ConnectOptions::store)), at most `patience`.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub async fn stored(&mut self, patience: Duration) -> Result<(), NotStored> {
        let until = self.clock.now() + patience;
        self.flush();
        // What is on its way does not have it; what is kept after that does.
        let mut more = 2;
        while more > 0 {
            let Some(diary) = &mut self.diary else { return Err(NotStored::NoStore) };
            if diary.has_failed() {
                return Err(NotStored::Failed);
            }
            // While history is cut nothing is written, and what is brought over is in no document yet.
            let store = self.peer.store();
            let is_written = !store.is_pending() && !store.is_bringing();
            if diary.is_idle() && is_written {
                more -= 1;
                diary.hurry();
                self.keep_diary();
                continue;
            }
            if self.clock.now() >= until {
                return Err(NotStored::Late { patience });
            }
            self.wait(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    pub(super) fn keep_diary(&mut self) {
        let now = self.clock.now();
        if let Some(diary) = self.diary.as_mut().filter(|diary| !diary.has_failed())
            && let Err(why) = diary.turn(now, &mut self.peer)
        {
            tracing::error!(%why, "the room's store keeps nothing any more");
            let why = why.to_string();
            self.hold(Event::NotStored { why });
        }
    }
}

impl<M> Drop for Room<M> {
    /// Waits until what was edited is in the room's own store, if it has one, at most 10 seconds.
    fn drop(&mut self) {
        if let Some(diary) = &mut self.diary {
            self.peer.flush(self.clock.now());
            if let Err(why) = diary.end(&mut self.peer) {
                tracing::error!(%why, "the last edits of a room are not in its store");
            }
        }
    }
}

/// Goes on with what is kept of a room, and keeps it from now on.
pub(super) fn open(peer: &mut Peer, store: SharedStore) -> Result<Diary, ConnectError> {
    let kept = store.lock().unwrap_or_else(PoisonError::into_inner).fetch(&peer.key())?;
    if let Some(kept) = kept {
        peer.resume(&kept)?;
    }
    Diary::begin(store).map_err(ConnectError::StoreThread)
}
