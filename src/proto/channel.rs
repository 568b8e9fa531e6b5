//! One link's signals, both ways: what goes out has a position until it is acknowledged, as entries of
//! documents have, and what comes in is acknowledged a little later, many at a time.

mod recent;

use std::time::Duration;

pub use self::recent::Recent;

use super::config::Limits;
use super::feed::{Feed, Intake};
use super::time::Time;
use super::wire::message::SignalMessage;

/// The most signals of one message, by the specification.
const MOST: usize = 256;
/// Bytes of signals behind which no more go into one message.
const ENOUGH: usize = 16 << 10;

/// The signals of one link, which are told by their numbers.
#[derive(Clone, Debug)]
pub struct Channel {
    feed: Feed<u64>,
    intake: Intake,
    /// How many came since the last acknowledgement, and when the next goes out.
    owed: usize,
    answer_at: Option<Time>,
    answer_after: Duration,
    /// How many may come before an acknowledgement goes out at once.
    most_owed: usize,
    window: usize,
}

impl Channel {
    /// Nothing was said yet.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            feed: Feed::new(limits.signals_in_flight),
            intake: Intake::default(),
            owed: 0,
            answer_at: None,
            answer_after: limits.acknowledge_after,
            most_owed: limits.signals_in_flight / 4,
            window: limits.signal_window,
        }
    }

    /// A signal is to go out.
    pub fn push(&mut self, number: u64) {
        self.feed.push(number);
    }

    /// The first that is not known to have arrived.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.feed.first().copied()
    }

    /// How many were ever to go out.
    #[must_use]
    pub fn pushed(&self) -> u64 {
        self.feed.pushed()
    }

    /// The next ones to go out in one message, with the position of the first; nothing if there are
    /// none, or the lane has been handed so much that they wait. `write` makes a record of a number,
    /// and says how large it is.
    pub fn gather<T>(
        &mut self,
        outstanding: usize,
        (now, patience): (Time, Duration),
        mut write: impl FnMut(u64) -> Option<(T, usize)>,
    ) -> Option<(u64, Vec<T>)> {
        let (position, mut records, mut size) = (self.feed.next(), Vec::new(), 0);
        while records.len() < MOST
            && size < ENOUGH
            && outstanding < self.window
            && let Some(record) = self.feed.peek().copied().and_then(&mut write)
        {
            self.feed.take();
            records.push(record.0);
            size += record.1;
        }
        self.feed.arm(now, patience);
        (!records.is_empty()).then_some((position, records))
    }

    /// The number that the next to go out has.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        self.feed.peek().copied()
    }

    /// The other side has what was before a position.
    pub fn acknowledge(&mut self, received: u64, gap: bool, when: (Time, Duration)) {
        self.feed.acknowledge(received, gap, when.0, when.1);
    }

    /// So many came, from a position on. Returns how many of them came before; nothing if none may be
    /// used, because some before them are missing.
    pub fn offer(&mut self, position: u64, count: usize, now: Time) -> Option<usize> {
        let known = self.intake.offer(position, count);
        self.owed += known.map_or(self.most_owed, |known| count - known);
        self.answer_at.get_or_insert(now + self.answer_after);
        known
    }

    /// What came is acknowledged, if it is time.
    pub fn answer(&mut self, now: Time) -> Option<SignalMessage> {
        if self.owed < self.most_owed && self.answer_at.is_none_or(|at| now < at) {
            return None;
        }
        (self.owed, self.answer_at) = (0, None);
        let (received, gap) = self.intake.take_acknowledgement()?;
        Some(SignalMessage::Received { received, gap })
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
