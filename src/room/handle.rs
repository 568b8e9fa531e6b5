//! A room in a task of its own, for asynchronous programs.

use std::collections::VecDeque;
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::Room;
use crate::proto::event::{Event, overrun, wait};
use crate::proto::model::Model;

/// Calls that may wait for the task. One more waits before it is taken.
const CALLS: usize = 64;
/// Events that may wait for the application, and as many behind them in the task. Beyond, those go for
/// one [`Event::Overrun`], but for what is the only word of something.
const EVENTS: usize = 4_096;
/// How long the task waits, when it ends, until the relay has what was edited.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long the task sleeps at most.
const PATIENCE: Duration = Duration::from_secs(1);

type Call<M> = Box<dyn FnOnce(&mut Room<M>) + Send>;

/// The room's task has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the room's task has ended")]
pub struct RoomGone;

/// A room that lives in a task. When it is dropped the room is left, once the relay has received what
/// was edited, or after five seconds.
#[derive(Debug)]
pub struct RoomHandle<M> {
    calls: mpsc::Sender<Call<M>>,
    events: mpsc::Receiver<Event>,
    task: JoinHandle<()>,
}

impl<M: Model> RoomHandle<M> {
    /// Does something with the room, between two of its ticks.
    ///
    /// # Errors
    ///
    /// When the room's task has ended.
    pub async fn run<R: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Room<M>) -> R + Send + 'static,
    ) -> Result<R, RoomGone> {
        let (answer, answered) = oneshot::channel();
        let call: Call<M> = Box::new(move |room| {
            // Nobody waits any more if the caller was cancelled.
            answer.send(call(room)).ok();
        });
        self.calls.send(call).await.map_err(|_| RoomGone)?;
        answered.await.map_err(|_| RoomGone)
    }

    /// The next event; nothing once the room's task has ended.
    pub async fn event(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Leaves the room and waits until the task has ended.
    pub async fn leave(self) {
        drop(self.calls);
        self.task.await.ok();
    }
}

impl<M: Model> Room<M> {
    /// Moves the room into a task on `runtime`.
    #[must_use]
    pub fn spawn(self, runtime: &Handle) -> RoomHandle<M> {
        let (calls, inbox) = mpsc::channel(CALLS);
        let (outbox, events) = mpsc::channel(EVENTS);
        let task = runtime.spawn(self.serve(inbox, outbox));
        RoomHandle { calls, events, task }
    }

    async fn serve(mut self, mut calls: mpsc::Receiver<Call<M>>, events: mpsc::Sender<Event>) {
        let mut waiting = VecDeque::new();
        loop {
            tokio::select! {
                biased;
                call = calls.recv() => match call {
                    Some(call) => call(&mut self),
                    None => break,
                },
                Ok(permit) = events.reserve(), if !waiting.is_empty() => {
                    if let Some(event) = waiting.pop_front() {
                        permit.send(event);
                    }
                }
                () = self.wait(PATIENCE) => {}
            }
            self.tick();
            while let Some(event) = self.poll_event() {
                if waiting.len() >= EVENTS {
                    overrun(&mut waiting, EVENTS);
                }
                wait(&mut waiting, event);
            }
            while let Ok(permit) = events.try_reserve()
                && let Some(event) = waiting.pop_front()
            {
                permit.send(event);
            }
        }
        self.settled(LAST_WORDS).await;
        self.leave();
        if let Some(carrier) = self.carrier.take() {
            carrier.close().await;
        }
    }
}
