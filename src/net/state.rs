//! The state lane of one link: each frame by datagram if it can, else by the lane's stream.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};

use crate::net::clock::Clock;
use crate::net::config::NetConfig;
use crate::net::frames::{self, FrameError, FrameReader};
use crate::net::fresh::Fresh;
use crate::net::link::Happening;
use crate::net::quic::{Credit, Datagrams, Tag};
use crate::proto::event::Input;
use crate::proto::id::{Lane, Link};
use crate::proto::time::Time;

/// What a frame that came by the stream is answered with, by the stream: an empty frame.
const ANSWER: &[u8] = &[];

/// Bytes that are written at once, if so many wait, with the rest of a frame.
const BATCH: usize = 16 << 10;

/// The driver's end. Dropped, it ends the lane once what is still new is out.
#[derive(Debug)]
pub(crate) struct StateOutbox {
    datagrams: Option<Datagrams>,
    small: Arc<Fresh>,
    large: Arc<Fresh>,
    turn: Arc<Notify>,
}

impl StateOutbox {
    /// Takes a frame to be sent. What waits before it may never be. An empty one is none.
    pub(crate) fn push(&self, frame: Bytes) {
        if frame.is_empty() {
            return;
        }
        let fits = self.datagrams.as_ref().is_some_and(|datagrams| datagrams.fits(frame.len()));
        let queue = if fits { &self.small } else { &self.large };
        queue.push(frame);
    }
}

impl Drop for StateOutbox {
    fn drop(&mut self) {
        self.small.close();
        self.large.close();
        self.turn.notify_one();
    }
}

/// The task's end. The two ways out do not wait for each other, and no frame that comes in waits
/// for a machine that has enough to do.
#[derive(Debug)]
pub(crate) struct StateLane {
    datagrams: Option<Datagrams>,
    /// For datagrams.
    small: Arc<Fresh>,
    /// For the stream.
    large: Arc<Fresh>,
    /// For the machine.
    heard: Fresh,
    flight: Mutex<Flight>,
    /// Frames that came by the stream and are not answered.
    owed: AtomicUsize,
    /// There may be something to write by the stream, other than what comes.
    turn: Arc<Notify>,
    clock: Clock,
}

/// What went by the stream and is not answered. A transport takes far more than is good for frames
/// that age: this keeps what is on its way small and young.
#[derive(Debug)]
struct Flight {
    /// The lengths of frames, and when they went.
    frames: VecDeque<(Time, usize)>,
    bytes: usize,
    max_bytes: usize,
    max_age: Duration,
}

impl Flight {
    fn has_room(&self, now: Time) -> bool {
        let oldest = self.frames.front();
        self.bytes < self.max_bytes
            && oldest.is_none_or(|(went, _)| now.since(*went) <= self.max_age)
    }

    fn went(&mut self, now: Time, length: usize) {
        self.frames.push_back((now, length));
        self.bytes += length;
    }

    fn answered(&mut self) {
        // One answer too many is nothing to lose a link for.
        if let Some((_, length)) = self.frames.pop_front() {
            self.bytes -= length;
        }
    }
}

impl StateLane {
    /// Both ends of a lane of a connection with `datagrams`.
    pub(crate) fn new(
        datagrams: Option<Datagrams>,
        config: &NetConfig,
        clock: Clock,
    ) -> (StateOutbox, Self) {
        let queue = || Fresh::new(config.state_bytes, config.state_age, clock);
        let (small, large) = (Arc::new(queue()), Arc::new(queue()));
        let turn = Arc::new(Notify::new());
        let outbox = StateOutbox {
            datagrams: datagrams.clone(),
            small: Arc::clone(&small),
            large: Arc::clone(&large),
            turn: Arc::clone(&turn),
        };
        let flight = Flight {
            frames: VecDeque::new(),
            bytes: 0,
            max_bytes: config.state_unanswered,
            max_age: config.state_age,
        };
        let flight = Mutex::new(flight);
        let owed = AtomicUsize::new(0);
        (outbox, Self { datagrams, small, large, heard: queue(), flight, owed, turn, clock })
    }

    /// Writes answers, and what does not go by datagram; when no more will come, closes the stream.
    pub(crate) async fn write<W: AsyncWrite + Unpin>(&self, mut writer: W) -> io::Result<()> {
        let mut encoded = Vec::new();
        loop {
            self.encode(&mut encoded);
            if !encoded.is_empty() {
                // While this waits, new frames replace old ones in the queue.
                frames::write(&mut writer, &encoded).await?;
                encoded.clear();
                encoded.shrink_to(2 * BATCH);
                continue;
            }
            if self.large.is_closed() {
                break;
            }
            let has_room = self.flight().has_room(self.clock.now());
            tokio::select! {
                () = self.turn.notified() => {}
                _ = self.large.wait(), if has_room => {}
            }
        }
        writer.close().await
    }

    /// Answers to all that came, and as many frames as may be on their way.
    fn encode(&self, out: &mut Vec<u8>) {
        for _ in 0..self.owed.swap(0, Ordering::Relaxed).min(BATCH) {
            frames::encode(out, ANSWER);
        }
        let now = self.clock.now();
        let mut flight = self.flight();
        while out.len() < BATCH
            && flight.has_room(now)
            && let Some(frame) = self.large.pop()
        {
            flight.went(now, frame.len());
            frames::encode(out, &frame);
        }
    }

    /// Reads the stream to its end, whether or not the machine has time.
    pub(crate) async fn read<R: AsyncRead + Unpin>(
        &self,
        mut reader: FrameReader<R>,
    ) -> Result<(), FrameError> {
        while let Some(frame) = reader.next().await? {
            if frame == ANSWER {
                self.flight().answered();
            } else {
                self.heard.push(frame);
                self.owed.fetch_add(1, Ordering::Relaxed);
            }
            self.turn.notify_one();
            // Nothing here waits while a window is full of frames.
            tokio::task::consume_budget().await;
        }
        Ok(())
    }

    fn flight(&self) -> MutexGuard<'_, Flight> {
        // Nothing that can panic is done while it is locked.
        self.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does everything else, for as long as the link is up.
    pub(crate) async fn run(&self, link: Link, happenings: &mpsc::Sender<Happening>) -> Infallible {
        tokio::join!(self.send(), self.tell(link, happenings));
        future::pending().await
    }

    async fn send(&self) {
        let Some(datagrams) = &self.datagrams else {
            return;
        };
        let mut credit = Credit::new(self.clock.now());
        while self.small.wait().await {
            let (window, round_trip) = datagrams.path();
            if let Some(wait) = credit.wait(self.clock.now(), window, round_trip) {
                tokio::time::sleep(wait).await;
                continue;
            }
            let Some(frame) = self.small.pop() else {
                continue;
            };
            if datagrams.send(Tag::State, &frame) {
                credit.spend(frame.len());
            } else {
                // The path has changed since it was looked at.
                self.large.push(frame);
            }
        }
    }

    /// A frame came by datagram.
    pub(crate) fn came(&self, frame: Bytes) {
        if !frame.is_empty() {
            self.heard.push(frame);
        }
    }

    async fn tell(&self, link: Link, happenings: &mpsc::Sender<Happening>) {
        while self.heard.wait().await {
            // Without a driver there is nobody to be told.
            let Ok(room) = happenings.reserve().await else {
                return;
            };
            if let Some(frame) = self.heard.pop() {
                room.send(Happening::Input(Input::Received { link, lane: Lane::State, frame }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_millis(250);

    fn flight() -> Flight {
        Flight { frames: VecDeque::new(), bytes: 0, max_bytes: 1_000, max_age: AGE }
    }

    #[test]
    fn only_so_many_bytes_are_on_their_way() {
        let mut flight = flight();
        let mut went = 0;
        while flight.has_room(Time::ZERO) {
            flight.went(Time::ZERO, 300);
            went += 1;
        }
        assert_eq!(went, 4);
        flight.answered();
        assert!(flight.has_room(Time::ZERO));
    }

    #[test]
    fn nothing_follows_a_frame_that_has_been_on_its_way_for_too_long() {
        let mut flight = flight();
        flight.went(Time::ZERO, 1);
        assert!(flight.has_room(Time::ZERO + AGE));
        assert!(!flight.has_room(Time::ZERO + AGE * 2));
        flight.answered();
        assert!(flight.has_room(Time::ZERO + AGE * 2));
        flight.answered();
    }
}
