//! Frames that are only worth something while they are new.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::net::clock::Clock;
use crate::proto::time::Time;

/// What a frame costs beside its bytes, so that empty ones are bounded too.
const OVERHEAD: usize = 32;

/// A queue that never makes anybody wait: the oldest frames make room for new ones, and those that
/// have waited too long are thrown away. Holds at most its bytes, or else one frame. For one reader.
pub(crate) struct Fresh {
    queue: Mutex<Queue>,
    changed: Notify,
    clock: Clock,
    bytes: usize,
    age: Duration,
}

#[derive(Debug, Default)]
struct Queue {
    /// Oldest first, with when they came.
    frames: VecDeque<(Time, Bytes)>,
    bytes: usize,
    closed: bool,
}

impl Queue {
    fn pop(&mut self) -> Option<Bytes> {
        let (_, frame) = self.frames.pop_front()?;
        self.bytes -= frame.len() + OVERHEAD;
        Some(frame)
    }

    fn forget(&mut self, now: Time, age: Duration) {
        while self.frames.front().is_some_and(|(came, _)| now.since(*came) > age) {
            self.pop();
        }
    }
}

impl Fresh {
    /// A queue for at most `bytes`, each frame at most `age` old.
    pub(crate) fn new(bytes: usize, age: Duration, clock: Clock) -> Self {
        Self { queue: Mutex::default(), changed: Notify::new(), clock, bytes, age }
    }

    /// Adds the newest frame.
    pub(crate) fn push(&self, frame: Bytes) {
        let now = self.clock.now();
        let mut queue = self.lock();
        queue.bytes += frame.len() + OVERHEAD;
        queue.frames.push_back((now, frame));
        while queue.bytes > self.bytes && queue.frames.len() > 1 {
            queue.pop();
        }
        drop(queue);
        self.changed.notify_one();
    }

    /// The oldest frame that is new enough.
    pub(crate) fn pop(&self) -> Option<Bytes> {
        let now = self.clock.now();
        let mut queue = self.lock();
        queue.forget(now, self.age);
        queue.pop()
    }

    /// The oldest frame that is new enough, if it has at most `most` bytes.
    pub(crate) fn pop_within(&self, most: usize) -> Option<Bytes> {
        let now = self.clock.now();
        let mut queue = self.lock();
        queue.forget(now, self.age);
        let fits = queue.frames.front().is_some_and(|(_, frame)| frame.len() <= most);
        fits.then(|| queue.pop()).flatten()
    }

    /// Waits until there is something to [pop](Self::pop), which may have become too old by then.
    /// False once nothing is left and nothing more will come.
    pub(crate) async fn wait(&self) -> bool {
        loop {
            {
                let now = self.clock.now();
                let mut queue = self.lock();
                queue.forget(now, self.age);
                if !queue.frames.is_empty() {
                    return true;
                }
                if queue.closed {
                    return false;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Waits until so many are there as well, or nothing more will come.
    pub(crate) async fn fill(&self, frames: usize) {
        let is_full = || {
            let queue = self.lock();
            queue.closed || queue.frames.len() >= frames
        };
        while !is_full() {
            self.changed.notified().await;
        }
    }

    /// Whether nothing more will come.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Nothing more will come.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing that can panic is done while it is locked.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Fresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fresh").field("bytes", &self.lock().bytes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn frame(byte: u8, length: usize) -> Bytes {
        vec![byte; length].into()
    }

    #[test]
    fn the_oldest_make_room() {
        let queue = Fresh::new(3 * (10 + OVERHEAD), LONG, Clock::new());
        for byte in 0..5 {
            queue.push(frame(byte, 10));
        }
        let left: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(left, [frame(2, 10), frame(3, 10), frame(4, 10)]);
    }

    #[test]
    fn one_frame_always_has_room() {
        let queue = Fresh::new(10, LONG, Clock::new());
        queue.push(frame(1, 5));
        queue.push(frame(2, 100));
        assert_eq!(queue.pop(), Some(frame(2, 100)));
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn what_is_too_long_stays() {
        let queue = Fresh::new(1_000, LONG, Clock::new());
        queue.push(frame(1, 5));
        queue.push(frame(2, 6));
        assert_eq!(queue.pop_within(5), Some(frame(1, 5)));
        assert_eq!(queue.pop_within(5), None);
        assert_eq!(queue.pop_within(6), Some(frame(2, 6)));
        assert_eq!(queue.pop_within(6), None);
    }

    #[test]
    fn empty_frames_are_bounded_too() {
        let queue = Fresh::new(10 * OVERHEAD, LONG, Clock::new());
        for _ in 0..1_000 {
            queue.push(Bytes::new());
        }
        assert_eq!(std::iter::from_fn(|| queue.pop()).count(), 10);
    }

    #[tokio::test]
    async fn it_is_full_once_enough_are_there_or_no_more_will_come() {
        let queue = Fresh::new(1_000, LONG, Clock::new());
        queue.push(frame(1, 10));
        let soon = Duration::from_millis(10);
        assert!(tokio::time::timeout(soon, queue.fill(2)).await.is_err());
        let later = async {
            tokio::time::sleep(soon).await;
            queue.push(frame(2, 10));
        };
        tokio::join!(queue.fill(2), later);
        queue.close();
        queue.fill(3).await;
    }

    #[tokio::test]
    async fn what_has_waited_too_long_is_thrown_away() {
        let queue = Fresh::new(1_000, Duration::from_millis(20), Clock::new());
        queue.push(frame(1, 10));
        tokio::time::sleep(Duration::from_millis(30)).await;
        queue.push(frame(2, 10));
        assert!(queue.wait().await);
        assert_eq!(queue.pop(), Some(frame(2, 10)));
        queue.close();
        assert!(!queue.wait().await);
    }
}
