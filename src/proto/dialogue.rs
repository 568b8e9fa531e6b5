//! What two sides of a link say about rooms: each item once and in order, whatever the link does.

use std::time::Duration;

use super::feed::{Feed, Intake};
use super::time::Time;

/// Bytes of items behind which no more go into one message.
const ENOUGH: usize = 16 << 10;

/// One link's items, both ways: those of `T` go out, and others come in.
#[derive(Clone, Debug)]
pub struct Dialogue<T> {
    feed: Feed<T>,
    intake: Intake,
    /// When what came is acknowledged.
    answer_at: Option<Time>,
    answer_after: Duration,
}

impl<T: Clone> Dialogue<T> {
    /// Nothing was said yet. `window` items may be on their way; what came is acknowledged
    /// `answer_after` later at most.
    #[must_use]
    pub fn new(window: usize, answer_after: Duration) -> Self {
        Self { feed: Feed::new(window), intake: Intake::default(), answer_at: None, answer_after }
    }

    /// One more is to go out.
    pub fn push(&mut self, item: T) {
        self.feed.push(item);
    }

    /// How many are not known to have arrived.
    #[must_use]
    pub fn waiting(&self) -> usize {
        usize::try_from(self.feed.pushed() - self.feed.base()).unwrap_or(usize::MAX)
    }

    /// The next ones to go out in one message, at most `most`, with the position of the first; nothing
    /// if there are none.
    pub fn gather(
        &mut self,
        most: usize,
        (now, patience): (Time, Duration),
        size: impl Fn(&T) -> usize,
    ) -> Option<(u64, Vec<T>)> {
        let (position, mut items, mut bytes) = (self.feed.next(), Vec::new(), 0);
        while items.len() < most
            && bytes < ENOUGH
            && let Some((_, item)) = self.feed.take()
        {
            bytes += size(&item);
            items.push(item);
        }
        self.feed.arm(now, patience);
        (!items.is_empty()).then_some((position, items))
    }

    /// The other side has what was before a position.
    pub fn acknowledge(&mut self, received: u64, gap: bool, when: (Time, Duration)) {
        self.feed.acknowledge(received, gap, when.0, when.1);
    }

    /// So many came, from a position on. Returns how many of them came before; nothing if none may be
    /// used, because some before them are missing.
    pub fn offer(&mut self, position: u64, count: usize, now: Time) -> Option<usize> {
        let known = self.intake.offer(position, count);
        self.answer_at.get_or_insert(now + self.answer_after);
        known
    }

    /// How far what came is whole, and whether there is a gap, if it is time to say so.
    pub fn answer(&mut self, now: Time) -> Option<(u64, bool)> {
        if self.answer_at.is_none_or(|at| now < at) {
            return None;
        }
        self.answer_at = None;
        self.intake.take_acknowledgement()
    }

    /// Goes back to what was not acknowledged in time.
    pub fn tick(&mut self, now: Time) {
        self.feed.tick(now);
    }

    /// When there is something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        [self.answer_at, self.feed.deadline()].into_iter().flatten().min()
    }
}
