//! How much there was within a second.

use std::time::Duration;

use crate::proto::time::Time;

/// What there was in the second that began at a time: how many, and how many bytes.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Second {
    since: Time,
    count: u32,
    bytes: usize,
}

impl Second {
    /// Whether there may be more, of at most so many and so many bytes.
    pub(super) fn has_room(&mut self, count: u32, bytes: usize, now: Time) -> bool {
        if now >= self.since + Duration::from_secs(1) {
            *self = Self { since: now, ..Self::default() };
        }
        self.count < count && self.bytes < bytes
    }

    pub(super) const fn add(&mut self, bytes: usize) {
        self.count = self.count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}
