//! One peer of the demo: a process that is told what to do by lines of JSON, and answers each by
//! one.

use std::time::Duration;

use parlor::net::Clock;
use parlor::proto::event::State;
use parlor::proto::id::DocumentId;
use parlor::proto::statistics::Statistics;
use parlor::room::Room;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::model::{Lobby, counts, edit, nudge};
use crate::arguments::DemoPeerArguments;
use crate::export::fingerprint;
use crate::failure::Failure;
use crate::output::{Output, word};
use crate::replay::traffic;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a network frame of the demo's edits lasts.
const FRAME: Duration = Duration::from_millis(20);

/// What a peer is told to do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(crate) enum Order {
    /// Be in the room.
    Ready,
    /// Edit everything, several times.
    Edit { first: u32, rounds: u32 },
    /// Make small edits, one in each frame.
    Nudge { times: u32 },
    /// Notice that the link is gone.
    Lose,
    /// Wait until the relay has everything.
    Settle,
    /// Say what the room looks like.
    Report,
    /// Leave the room.
    Leave,
}

/// Runs a peer until its input ends.
pub(crate) async fn run(arguments: &DemoPeerArguments) -> Result<(), Failure> {
    let output = Output { json: true };
    let clock = Clock::new();
    let metadata = json!({ "name": arguments.name }).to_string();
    let room = arguments.peer.connect(&arguments.room, metadata.into(), |options| {
        // However long it is cut off, it is to come back, and soon.
        options.config.attempts = 0;
        options.config.backoff_cap = Duration::from_millis(500);
    })?;
    let mut peer = DemoPeer { room, name: arguments.name.clone(), clock };
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    loop {
        let line = tokio::select! {
            line = orders.next_line() => line?,
            () = peer.room.wait(Duration::from_secs(1)) => {
                while peer.room.poll_event().is_some() {}
                continue;
            }
        };
        let Some(line) = line else { return Ok(()) };
        let order = serde_json::from_str(&line).map_err(Failure::usage)?;
        let answer = Box::pin(peer.obey(order)).await?;
        output.object(&answer)?;
        if matches!(order, Order::Leave) {
            return Ok(());
        }
    }
}

struct DemoPeer {
    room: Room<Lobby>,
    name: String,
    clock: Clock,
}

impl DemoPeer {
    async fn obey(&mut self, order: Order) -> Result<Json, Failure> {
        match order {
            Order::Ready => {
                self.room.ready().await.map_err(Failure::failed)?;
                Ok(json!({
                    "ms": self.clock.now().as_micros() as f64 / 1e3,
                    "bytes": received(&self.room.statistics()),
                }))
            }
            Order::Edit { first, rounds } => {
                for round in first..first + rounds {
                    edit(&mut self.room, &self.name, round).map_err(Failure::failed)?;
                    self.room.flush();
                    self.pause(FRAME).await;
                }
                Ok(json!({ "rounds": rounds, "state": self.state() }))
            }
            Order::Nudge { times } => self.nudge(times).await,
            Order::Lose => {
                let begin = self.clock.now();
                while matches!(self.room.state(), State::Ready) {
                    if self.clock.now().since(begin) > PATIENCE {
                        return Err(Failure::failed("the link is still up"));
                    }
                    self.pause(FRAME).await;
                }
                Ok(json!({ "state": self.state() }))
            }
            Order::Settle => Ok(json!({ "settled": self.room.settled(PATIENCE).await })),
            Order::Report => Ok(self.report()),
            Order::Leave => {
                self.room.leave();
                self.room.wait(Duration::ZERO).await;
                Ok(json!({ "left": true }))
            }
        }
    }

    /// Lets time pass in the room.
    async fn pause(&mut self, length: Duration) {
        let until = self.clock.now() + length;
        loop {
            let left = until.since(self.clock.now());
            if left.is_zero() {
                return;
            }
            self.room.wait(left).await;
            while self.room.poll_event().is_some() {}
        }
    }

    async fn nudge(&mut self, times: u32) -> Result<Json, Failure> {
        let before = self.room.statistics().document.sent;
        for _ in 0..times {
            nudge(&mut self.room, &self.name).map_err(Failure::failed)?;
            self.room.flush();
            self.pause(Duration::from_millis(2)).await;
        }
        let after = self.room.statistics().document.sent;
        Ok(json!({
            "edits": times,
            "frames": after.messages - before.messages,
            "bytes": after.bytes - before.bytes,
        }))
    }

    const fn state(&self) -> &'static str {
        word(self.room.state())
    }

    fn report(&self) -> Json {
        let statistics = self.room.statistics();
        let state = fingerprint(&self.room);
        json!({
            "name": self.name,
            "state": self.state(),
            "state_hash": state["state_hash"],
            "heads": state["heads"],
            "changes": DocumentId::ALL.map(|document| self.room.log(document).len()),
            "counts": counts(&self.room),
            "members": self.room.members().count(),
            "bytes": traffic(&statistics),
            "round_trip_ms": statistics.round_trip.as_secs_f64() * 1e3,
        })
    }
}

/// Bytes that came, on all lanes.
fn received(statistics: &Statistics) -> u64 {
    statistics.control.received.bytes
        + statistics.document.received.bytes
        + statistics.snapshot.received.bytes
        + statistics.state.received.bytes
}
