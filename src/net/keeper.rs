//! A store on a thread of its own, so that no room waits for a disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinHandle;

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
}

impl Order {
    /// The answer to one that is not carried out.
    pub(crate) fn refused(self) -> Input {
        self.failed(GONE)
    }

    fn failed(self, why: &str) -> Input {
        let why = why.to_owned();
        match self {
            Self::Commit { number, .. } => Input::Committed { number, outcome: Err(why) },
            Self::Fetch { room } => Input::Fetched { room, kept: Err(Unfetched::Failed { why }) },
        }
    }

    fn carry_out(self, store: &mut dyn RoomStore) -> Input {
        match self {
            Self::Commit { number, keepings } => {
                Input::Committed { number, outcome: commit(store, keepings) }
            }
            Self::Fetch { room } => {
                let kept = store.fetch(&room).map_err(|why| why.unfetched());
                Input::Fetched { room, kept }
            }
        }
    }
}

/// A store at work: orders go in, and are carried out one after the other; an answer to each comes out.
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

    /// The next answer, if there is a store that has ended none; never, if there is none.
    pub(crate) async fn next(keeper: &mut Option<Self>) -> Input {
        if let Some(keeper) = keeper
            && let Some(answer) = keeper.answers.recv().await
        {
            return answer;
        }
        std::future::pending().await
    }

    /// Waits until everything is done that was ordered. Says so every `patience`, while that is not.
    pub(crate) async fn close(self, patience: Duration) {
        let Self { orders, mut answers, mut task } = self;
        drop(orders);
        let drain = async { while answers.recv().await.is_some() {} };
        let mut done = std::pin::pin!(async {
            drain.await;
            (&mut task).await.ok();
        });
        while tokio::time::timeout(patience, &mut done).await.is_err() {
            tracing::warn!("the store is still writing");
        }
    }
}

/// Keeps what can be kept. Returns the rooms that cannot.
fn commit(store: &mut dyn RoomStore, mut keepings: Vec<Keeping>) -> Result<Vec<RoomKey>, String> {
    let mut without = Vec::new();
    while let Err(why) = store.commit(keepings.clone()) {
        let Some(room) = why.room() else { return Err(why.to_string()) };
        tracing::error!(%why, "a room is not kept");
        keepings.retain(|keeping| keeping.room() != room);
        without.push(room.clone());
    }
    Ok(without)
}

fn work(
    mut store: Box<dyn RoomStore>,
    mut orders: mpsc::Receiver<Order>,
    answers: &mpsc::Sender<Input>,
) {
    while let Some(order) = orders.blocking_recv() {
        let refused = match &order {
            Order::Commit { number, .. } => Order::Commit { number: *number, keepings: Vec::new() },
            Order::Fetch { room } => Order::Fetch { room: room.clone() },
        };
        // What has panicked is in a state that nobody knows.
        let answer = catch_unwind(AssertUnwindSafe(|| order.carry_out(&mut *store)));
        let is_over = answer.is_err();
        let answer = answer.unwrap_or_else(|_| refused.failed("the store panicked"));
        // An error means that nobody is interested any more.
        answers.blocking_send(answer).ok();
        if is_over {
            tracing::error!("the store panicked: nothing is kept any more");
            return;
        }
    }
}
