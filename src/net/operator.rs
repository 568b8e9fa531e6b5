//! Operators: what is done to closed rooms while a relay runs.

use std::fmt;

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::proto::id::{RoomKey, RoomName};

/// Requests that may wait for the relay. Who has one more waits with it.
const WAITING: usize = 16;

/// Why something was not done while a room is closed. The text is for who operates the relay.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// Somebody is in the room, comes into it, or has just left it.
    #[error(
        "the room {room:?} is open: have everybody leave it and try again once the relay has closed it, \
         by default half a minute later, or end the relay"
    )]
    Open {
        /// Which room.
        room: RoomName,
    },
    /// The relay keeps no rooms.
    #[error("this relay keeps no rooms: begin it with a store")]
    NoStore,
    /// Its store has more to do than may wait.
    #[error("too much waits for the relay's store: try again")]
    Busy,
    /// The relay has ended, or its store has while this was done.
    #[error("the relay or its store has ended: see its log for why")]
    Ended,
}

/// Who operates a relay while it runs. [`Relay::operator`](super::Relay::operator) gives it out, and all
/// clones are the same.
#[derive(Clone, Debug)]
pub struct Operator(mpsc::Sender<Request>);

impl Operator {
    /// An operator, and what it asks for.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Request>) {
        let (requests, asked) = mpsc::channel(WAITING);
        (Self(requests), asked)
    }

    /// Does `task` while `room` is closed, on the thread on which the relay's store works: behind all that
    /// was to be kept of the room when this was asked, and before it is looked for what is kept for
    /// anybody who comes into it later. So the task may put something else in its place. It is handed
    /// no store: whoever gave the relay its store keeps a share of it
    /// ([`RoomStore`](crate::store::RoomStore) is implemented for `Arc<Mutex<_>>`).
    ///
    /// Commits of all rooms wait meanwhile, and so does who comes into a closed one. A task that panics
    /// counts as a panic of the store: nothing is kept any more. If this is dropped, what it has asked for
    /// is done nevertheless. It waits as long as the relay does not [run](super::Relay::run).
    ///
    /// # Errors
    ///
    /// When the task is not done; and [`OperatorError::Ended`] also when it is not known to be.
    pub async fn while_closed<T: Send + 'static>(
        &self,
        room: RoomKey,
        task: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, OperatorError> {
        let (told, outcome) = oneshot::channel();
        let task = Box::new(move |allowed: Result<(), OperatorError>| {
            // An error means that nobody is interested any more.
            told.send(allowed.map(|()| task())).ok();
        });
        self.0.send(Request { room, task }).await.map_err(|_| OperatorError::Ended)?;
        outcome.await.unwrap_or(Err(OperatorError::Ended))
    }
}

/// Something that is to be done while a room is closed. Who drops it has ended.
pub(crate) struct Request {
    room: RoomKey,
    task: Box<dyn FnOnce(Result<(), OperatorError>) + Send>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("room", &self.room).finish_non_exhaustive()
    }
}

impl Request {
    /// Which room.
    pub(crate) const fn room(&self) -> &RoomKey {
        &self.room
    }

    /// Does it.
    pub(crate) fn allow(self) {
        (self.task)(Ok(()));
    }

    /// Says that it is not done.
    pub(crate) fn refuse(self, why: OperatorError) {
        (self.task)(Err(why));
    }
}
