//! A room's own store, on a thread of its own, so that no frame of a game waits for a disk.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::proto::event::kept::Keeping;
use crate::proto::peer::Peer;
use crate::proto::time::Time;
use crate::store::{RoomStore, StoreError};

/// A store that an application shares with its rooms.
pub type SharedStore = Arc<Mutex<dyn RoomStore>>;

/// How long a room that is dropped waits for its disk.
const PATIENCE: Duration = Duration::from_secs(5);

/// What of a room is kept, and what is on its way there: one commit at a time.
#[derive(Debug)]
pub(super) struct Diary {
    /// Nothing, once it has failed.
    orders: Option<SyncSender<Keeping>>,
    /// The mutex is only for the room to be `Sync`.
    answers: Mutex<Receiver<Result<(), StoreError>>>,
    is_busy: bool,
    next: Time,
    /// It has the store for as long as it runs.
    thread: Option<JoinHandle<()>>,
}

impl Diary {
    /// Begins to keep a room in a store.
    pub(super) fn begin(store: SharedStore) -> std::io::Result<Self> {
        let (orders, ordered) = sync_channel::<Keeping>(1);
        let (answering, answers) = sync_channel(1);
        let thread = thread::Builder::new().name("parlor-store".to_owned()).spawn(move || {
            while let Ok(keeping) = ordered.recv() {
                let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
                let outcome = store.commit(vec![keeping]);
                drop(store);
                if answering.send(outcome).is_err() {
                    return;
                }
            }
        })?;
        let (orders, answers) = (Some(orders), Mutex::new(answers));
        let thread = Some(thread);
        Ok(Self { orders, answers, is_busy: false, next: Time::ZERO, thread })
    }

    /// Whether nothing is on its way.
    pub(super) const fn is_idle(&self) -> bool {
        !self.is_busy
    }

    /// What is new is kept at the next turn.
    pub(super) const fn hurry(&mut self) {
        self.next = Time::ZERO;
    }

    /// Whether nothing is kept any more.
    pub(super) const fn has_failed(&self) -> bool {
        self.orders.is_none()
    }

    /// Keeps what is new, if it is time and nothing is on its way. Returns why nothing is kept any more.
    pub(super) fn turn(&mut self, now: Time, peer: &mut Peer) -> Result<(), StoreError> {
        if self.is_busy {
            match self.answer().try_recv() {
                Ok(outcome) => self.settle(outcome)?,
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return self.settle(Err(gone())),
            }
        }
        if now >= self.next {
            self.next = now + peer.config().diary.interval;
            self.keep(peer);
        }
        Ok(())
    }

    /// When [`Self::turn`] has something to do, if anything is written until then.
    pub(super) const fn due(&self) -> Option<Time> {
        // An answer is looked for whenever anything else happens.
        if self.has_failed() || self.is_busy { None } else { Some(self.next) }
    }

    /// Keeps what is new, and waits for it; then the store is only whose it was before.
    pub(super) fn end(&mut self, peer: &mut Peer) -> Result<(), StoreError> {
        for _ in 0..2 {
            if self.is_busy {
                let answer = self.answer().recv_timeout(PATIENCE);
                self.settle(match answer {
                    Ok(outcome) => outcome,
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(gone()),
                })?;
            }
            self.keep(peer);
        }
        self.orders = None;
        if let Some(thread) = self.thread.take().filter(|_| !self.is_busy) {
            // It has nothing to do any more; and that it panicked was an answer.
            thread.join().ok();
        }
        Ok(())
    }

    fn keep(&mut self, peer: &mut Peer) {
        let Some(orders) = &self.orders else { return };
        if let Some(keeping) = peer.keeping() {
            // It has room: nothing is on its way.
            self.is_busy = orders.try_send(keeping).is_ok();
        }
    }

    fn settle(&mut self, outcome: Result<(), StoreError>) -> Result<(), StoreError> {
        self.is_busy = false;
        if outcome.is_err() {
            self.orders = None;
        }
        outcome
    }

    fn answer(&mut self) -> &mut Receiver<Result<(), StoreError>> {
        self.answers.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gone() -> StoreError {
    StoreError::Failed { why: "it does not answer".to_owned() }
}
