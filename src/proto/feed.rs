//! One direction of one document on one link: what is still to be sent, what is on its way, and
//! what has arrived.
//!
//! The transport below is a reliable stream in production and anything at all in the simulator, so
//! reliability is kept here: every entry has a position, the receiver says how far it has come, and
//! the sender goes back to there after a gap or a silence (go-back-n; a stream never loses, so what
//! is repeated there is nothing).

use std::collections::VecDeque;
use std::time::Duration;

use crate::proto::time::Time;

/// The sending side: entries, bounded on their way, waiting without a copy of what they stand for.
#[derive(Clone, Debug)]
pub struct Feed<T> {
    waiting: VecDeque<T>,
    in_flight: VecDeque<T>,
    /// The position of the first entry in flight.
    base: u64,
    /// How many entries in flight were sent since the feed last went back.
    sent: usize,
    /// The position that a gap made the feed go back to last, since it last lost patience: more that
    /// came behind the same gap says nothing new.
    back: Option<u64>,
    window: usize,
    deadline: Option<Time>,
}

impl<T: Clone> Feed<T> {
    /// An empty feed that has at most `window` entries on their way.
    #[must_use]
    pub const fn new(window: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            in_flight: VecDeque::new(),
            base: 0,
            sent: 0,
            back: None,
            window,
            deadline: None,
        }
    }

    /// Adds an entry to be sent.
    pub fn push(&mut self, entry: T) {
        self.waiting.push_back(entry);
    }

    /// The next entry to send, with its position, if the window allows one.
    pub fn take(&mut self) -> Option<(u64, T)> {
        let entry = self.peek()?.clone();
        if self.sent == self.in_flight.len() {
            self.waiting.pop_front();
            self.in_flight.push_back(entry.clone());
        }
        let position = self.base + self.sent as u64;
        self.sent += 1;
        Some((position, entry))
    }

    /// The entry that [`Self::take`] would give.
    #[must_use]
    pub fn peek(&self) -> Option<&T> {
        self.in_flight.get(self.sent).or_else(|| {
            (self.in_flight.len() < self.window).then(|| self.waiting.front()).flatten()
        })
    }

    /// Starts the clock after which silence means loss, unless it runs already: what is sent later
    /// must not put off what was sent before.
    pub fn arm(&mut self, now: Time, patience: Duration) {
        if self.sent > 0 {
            self.deadline.get_or_insert(now + patience);
        }
    }

    /// Entries before `received` have arrived; those after it only if there was no `gap`. Returns
    /// whether that is news.
    pub fn acknowledge(&mut self, received: u64, gap: bool, now: Time, patience: Duration) -> bool {
        let Some(arrived) = received.checked_sub(self.base) else {
            return false;
        };
        let arrived = usize::try_from(arrived).unwrap_or(usize::MAX);
        let known = arrived == 0 && (!gap || self.back == Some(received));
        if known || arrived > self.in_flight.len() {
            return false;
        }
        self.in_flight.drain(..arrived);
        self.base = received;
        self.back = gap.then_some(received);
        self.sent = if gap { 0 } else { self.sent.saturating_sub(arrived) };
        self.deadline = (self.sent > 0).then(|| now + patience);
        true
    }

    /// The position that the next entry to be pushed will have.
    #[must_use]
    pub fn pushed(&self) -> u64 {
        self.base + self.len() as u64
    }

    /// Nothing of what was pushed is to be sent any more: what is on its way becomes `void`, what
    /// waits is forgotten.
    pub fn void(&mut self, void: T) {
        self.waiting.clear();
        self.in_flight.iter_mut().for_each(|entry| *entry = void.clone());
    }

    /// Another way of sending was asked for: a gap at the same position is news again.
    pub const fn renew(&mut self) {
        self.back = None;
    }

    /// Goes back to what was not acknowledged once the deadline has passed. Returns whether it did.
    pub fn tick(&mut self, now: Time) -> bool {
        let late = self.deadline.is_some_and(|deadline| deadline <= now);
        if late {
            self.sent = 0;
            self.back = None;
            self.deadline = None;
        }
        late
    }

    /// When silence will mean loss.
    #[must_use]
    pub const fn deadline(&self) -> Option<Time> {
        self.deadline
    }

    /// The position of the first entry that is not known to have arrived.
    #[must_use]
    pub const fn base(&self) -> u64 {
        self.base
    }

    /// The first entry that is not known to have arrived.
    #[must_use]
    pub fn first(&self) -> Option<&T> {
        self.in_flight.front().or_else(|| self.waiting.front())
    }

    /// The position of the entry that [`Self::take`] would give.
    #[must_use]
    pub const fn next(&self) -> u64 {
        self.base + self.sent as u64
    }

    /// How many entries were ever sent.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.base + self.in_flight.len() as u64
    }

    /// The entries that were never sent, if everything else that is to be sent is on its way.
    #[must_use]
    pub fn fresh(&self) -> Option<impl Iterator<Item = &T>> {
        (self.sent == self.in_flight.len()).then(|| self.waiting.iter())
    }

    /// How many entries were never sent.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether everything has arrived.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty()
    }

    /// How many entries have not arrived.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len() + self.in_flight.len()
    }

    /// Whether nothing is waiting or on its way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The receiving side: how far entries have come.
#[derive(Clone, Copy, Default, Debug)]
pub struct Intake {
    next: u64,
    gap: bool,
    owed: bool,
}

impl Intake {
    /// `count` entries from position `first` came. Returns how many of them to skip because they
    /// came before, or nothing if some before them are missing: then none may be used.
    pub fn offer(&mut self, first: u64, count: usize) -> Option<usize> {
        self.owed = true;
        if first > self.next {
            self.gap = true;
            return None;
        }
        let known = usize::try_from(self.next - first).unwrap_or(usize::MAX);
        if known < count {
            self.next = first + count as u64;
            self.gap = false;
        }
        Some(known.min(count))
    }

    /// What to acknowledge, if anything came since this was asked.
    pub fn take_acknowledgement(&mut self) -> Option<(u64, bool)> {
        std::mem::take(&mut self.owed).then(|| (self.next, std::mem::take(&mut self.gap)))
    }

    /// The other side says how many entries it has sent: a shortfall means that the last were lost.
    pub fn compare(&mut self, sent: u64) {
        if sent > self.next {
            self.owed = true;
            self.gap = true;
        }
    }

    /// An entry that came cannot be used: it and those after it are expected again.
    pub const fn refuse(&mut self, position: u64) {
        self.next = position;
        self.gap = true;
        self.owed = true;
    }

    /// The position of the next entry that is expected.
    #[must_use]
    pub const fn next(&self) -> u64 {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(100);

    fn sent(feed: &mut Feed<u32>) -> Vec<(u64, u32)> {
        std::iter::from_fn(|| feed.take()).collect()
    }

    #[test]
    fn a_feed_sends_no_more_than_its_window() {
        let mut feed = Feed::new(2);
        (10..15).for_each(|entry| feed.push(entry));
        assert_eq!(sent(&mut feed), [(0, 10), (1, 11)]);
        feed.acknowledge(1, false, Time::ZERO, PATIENCE);
        assert_eq!(sent(&mut feed), [(2, 12)]);
        assert_eq!((feed.end(), feed.len()), (3, 4));
    }

    #[test]
    fn a_gap_or_a_silence_sends_again_from_there() {
        let mut feed = Feed::new(8);
        (10..13).for_each(|entry| feed.push(entry));
        assert_eq!(sent(&mut feed).len(), 3);
        feed.acknowledge(1, true, Time::ZERO, PATIENCE);
        assert_eq!(sent(&mut feed), [(1, 11), (2, 12)]);
        feed.arm(Time::ZERO, PATIENCE);
        assert!(!feed.tick(Time::ZERO));
        assert!(feed.tick(Time::ZERO + PATIENCE));
        assert_eq!(sent(&mut feed), [(1, 11), (2, 12)]);
        feed.acknowledge(3, false, Time::ZERO, PATIENCE);
        assert!(feed.is_idle() && feed.deadline().is_none());
    }

    #[test]
    fn a_gap_sends_again_once_until_patience_is_lost() {
        let mut feed = Feed::new(8);
        (10..13).for_each(|entry| feed.push(entry));
        assert_eq!(sent(&mut feed).len(), 3);
        for again in [true, false, false] {
            assert_eq!(feed.acknowledge(1, true, Time::ZERO, PATIENCE), again);
            assert_eq!(sent(&mut feed).len(), if again { 2 } else { 0 });
        }
        feed.arm(Time::ZERO, PATIENCE);
        assert!(feed.tick(Time::ZERO + PATIENCE));
        assert_eq!(sent(&mut feed).len(), 2);
        assert!(feed.acknowledge(1, true, Time::ZERO, PATIENCE));
    }

    #[test]
    fn an_acknowledgement_of_what_was_never_sent_changes_nothing() {
        let mut feed = Feed::new(8);
        feed.push(1);
        assert_eq!(sent(&mut feed), [(0, 1)]);
        feed.acknowledge(9, false, Time::ZERO, PATIENCE);
        assert_eq!(feed.len(), 1);
    }

    #[test]
    fn an_intake_uses_each_entry_once_and_in_order() {
        let mut intake = Intake::default();
        assert_eq!(intake.offer(0, 2), Some(0));
        assert_eq!(intake.offer(3, 1), None);
        assert_eq!(intake.take_acknowledgement(), Some((2, true)));
        assert_eq!(intake.take_acknowledgement(), None);
        assert_eq!(intake.offer(1, 3), Some(1));
        assert_eq!(intake.offer(0, 2), Some(2));
        assert_eq!(intake.take_acknowledgement(), Some((4, false)));
        intake.compare(5);
        assert_eq!(intake.take_acknowledgement(), Some((4, true)));
    }
}
