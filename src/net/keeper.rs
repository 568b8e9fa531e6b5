//! A store on a thread of its own, so that no room waits for a disk.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::operator::{OperatorError, Request};
use crate::proto::event::Input;
use crate::proto::event::kept::{Keeping, Unfetched};
use crate::proto::id::RoomKey;
use crate::store::RoomStore;

/// Why a store does nothing.
const GONE: &str = "the store has ended: see the log for why, and start the relay anew";

/// What a store is to do.
#[derive(Debug)]
pub(crate) enum Order {
    /// Keep all of this or nothing.
    Commit {
        /// Which commit.
        number: u64,
        /// What.
        keepings: Vec<Keeping>,
    },
    /// Say what is kept of a room.
    Fetch {
        /// Which.
        room: RoomKey,
    },
    /// Let an operator do something to a room that is closed.
    Allow(Request),
}

impl Order {
    /// What the machine is answered if this is not carried out. An operator is, when it is dropped.
    pub(crate) fn refused(&self) -> Option<Input> {
        let why = GONE.to_owned();
        match self {
            Self::Commit { number, .. } => {
                Some(Input::Committed { number: *number, outcome: Err(why) })
            }
            Self::Fetch { room } => {
                let kept = Err(Unfetched::Failed { why });
                Some(Input::Fetched { room: room.clone(), kept })
            }
            Self::Allow(_) => None,
        }
    }
}

/// A store at work: orders go in, and are carried out one after the other; an answer to each comes out,
/// but to what operators do, who are answered themselves.
#[derive(Debug)]
pub(crate) struct Keeper {
    orders: mpsc::Sender<Order>,
    answers: mpsc::Receiver<Input>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Puts a store to work. At most so many orders wait.
    pub(crate) fn begin(store: Box<dyn RoomStore>, waiting: usize) -> Self {
        let (orders, ordered) = mpsc::channel(waiting);
        let (answering, answers) = mpsc::channel(waiting);
        let task = tokio::task::spawn_blocking(move || work(store, ordered, &answering));
        Self { orders, answers, task }
    }

    /// Has something done; or gives it back, if too much waits or the store has ended.
    pub(crate) fn order(&self, order: Order) -> Result<(), Order> {
        self.orders.try_send(order).map_err(|error| match error {
            TrySendError::Full(order) | TrySendError::Closed(order) => order,
        })
    }

    /// Lets an operator do something behind all that was ordered; or refuses it, if too much waits or the
    /// store has ended.
    pub(crate) fn allow(&self, request: Request) {
        match self.orders.try_reserve() {
            Ok(place) => place.send(Order::Allow(request)),
            Err(TrySendError::Full(())) => request.refuse(OperatorError::Busy),
            Err(TrySendError::Closed(())) => request.refuse(OperatorError::Ended),
        }
    }

    /// The next answer, if there is a store that has ended none; never, if there is none.
    pub(crate) async fn next(keeper: &mut Option<Self>) -> Input {
        if let Some(keeper) = keeper
            && let Some(answer) = keeper.answers.recv().await
        {
            return answer;
        }
        std::future::pending().await
    }

    /// Waits until everything is done that was ordered, and hands over what came of it. Says so every
    /// `patience`, while that is not.
    pub(crate) async fn close(self, patience: Duration, mut hear: impl FnMut(Input)) {
        let Self { orders, mut answers, task } = self;
        drop(orders);
        loop {
            match timeout(patience, answers.recv()).await {
                Ok(Some(answer)) => hear(answer),
                Ok(None) => break,
                Err(_) => tracing::warn!("the store is still writing"),
            }
        }
        // It has said all, and panics do not get here.
        task.await.ok();
    }
}

/// A store, and what is known of it beside what it says.
struct Work {
    store: Box<dyn RoomStore>,
    /// Rooms of which something could not be kept: what comes to them has nothing to stand behind.
    broken: BTreeSet<RoomKey>,
}

impl Work {
    fn carry_out(&mut self, order: Order) -> Option<Input> {
        match order {
            Order::Commit { number, keepings } => {
                Some(Input::Committed { number, outcome: self.commit(keepings) })
            }
            Order::Fetch { room } => {
                let kept = self.store.fetch(&room).map_err(|why| why.unfetched());
                if kept.is_ok() {
                    // What comes to it next stands behind that.
                    self.broken.remove(&room);
                }
                Some(Input::Fetched { room, kept })
            }
            Order::Allow(request) => {
                request.allow();
                None
            }
        }
    }

    /// Keeps what can be kept. Returns the rooms that cannot.
    fn commit(&mut self, mut keepings: Vec<Keeping>) -> Result<Vec<RoomKey>, String> {
        let mut without = Vec::new();
        for keeping in &keepings {
            let is_whole = matches!(keeping, Keeping::Whole { .. });
            if is_whole {
                self.broken.remove(keeping.room());
            } else if self.broken.contains(keeping.room()) {
                without.push(keeping.room().clone());
            }
        }
        keepings.retain(|keeping| !without.contains(keeping.room()));
        while let Err(why) = self.store.commit(keepings.clone()) {
            let Some(room) = why.room() else { return Err(why.to_string()) };
            tracing::error!(%why, "a room is not kept");
            keepings.retain(|keeping| keeping.room() != room);
            self.broken.insert(room.clone());
            without.push(room.clone());
        }
        Ok(without)
    }
}

fn work(
    store: Box<dyn RoomStore>,
    mut orders: mpsc::Receiver<Order>,
    answers: &mpsc::Sender<Input>,
) {
    let mut work = Some(Work { store, broken: BTreeSet::new() });
    while let Some(order) = orders.blocking_recv() {
        let refused = order.refused();
        let answer = match work.take() {
            // What has panicked is in a state that nobody knows.
            Some(mut alive) => catch_unwind(AssertUnwindSafe(|| {
                let answer = alive.carry_out(order);
                (answer, alive)
            }))
            .map(|(answer, alive)| {
                work = Some(alive);
                answer
            })
            .unwrap_or_else(|_| {
                tracing::error!("the store panicked: nothing is kept any more");
                refused
            }),
            None => refused,
        };
        if let Some(answer) = answer {
            // An error means that nobody is interested any more.
            answers.blocking_send(answer).ok();
        }
    }
}
