//! How much of a path datagrams may take.

use std::time::Duration;

use crate::proto::time::Time;

/// Allows at most half of what a path holds in each of its round trips. QUIC puts datagrams before
/// everything else: without this, whoever has enough of them starves the streams.
#[derive(Debug)]
pub(crate) struct Credit {
    /// Bytes; below zero once the last frame was more than what was left.
    left: i64,
    at: Time,
}

impl Credit {
    /// For a path on which nothing is yet.
    pub(crate) const fn new(now: Time) -> Self {
        Self { left: i64::MAX, at: now }
    }

    /// How long to wait before the next frame, on a path that holds `window` bytes at once; nothing,
    /// if it may go now.
    pub(crate) fn wait(
        &mut self,
        now: Time,
        window: u64,
        round_trip: Duration,
    ) -> Option<Duration> {
        let share = i64::try_from(window / 2).unwrap_or(i64::MAX).max(1);
        let trip = i64::try_from(round_trip.as_micros()).unwrap_or(i64::MAX).max(1);
        let passed = i64::try_from(now.since(self.at).as_micros()).unwrap_or(i64::MAX);
        let earned = share.saturating_mul(passed) / trip;
        // What is too little to count goes on to the next time.
        if earned > 0 {
            self.at = now;
            self.left = self.left.saturating_add(earned);
        }
        self.left = self.left.min(share);
        if self.left > 0 {
            return None;
        }
        let missing = 1_i64.saturating_sub(self.left);
        let micros = missing.saturating_mul(trip) / share;
        Some(Duration::from_micros(micros.unsigned_abs() + 1))
    }

    /// A frame went.
    pub(crate) fn spend(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIP: Duration = Duration::from_millis(20);
    const WINDOW: u64 = 10_000;

    #[test]
    fn half_of_a_path_is_allowed_in_each_round_trip() {
        let mut now = Time::ZERO;
        let mut credit = Credit::new(now);
        let mut sent: u64 = 0;
        while now < Time::ZERO + TRIP * 100 {
            match credit.wait(now, WINDOW, TRIP) {
                None => {
                    credit.spend(100);
                    sent += 100;
                }
                Some(wait) => now += wait,
            }
        }
        // The first half is there from the beginning.
        let expected = 101 * WINDOW / 2;
        assert!(sent.abs_diff(expected) <= expected / 20, "{sent} instead of {expected}");
    }

    #[test]
    fn a_frame_that_is_too_much_is_paid_for_afterwards() {
        let mut credit = Credit::new(Time::ZERO);
        assert_eq!(credit.wait(Time::ZERO, 1_000, TRIP), None);
        credit.spend(1_500);
        let wait = credit.wait(Time::ZERO, 1_000, TRIP);
        assert!(wait.is_some_and(|wait| wait.abs_diff(TRIP * 2) < TRIP / 10), "{wait:?}");
        assert_eq!(credit.wait(Time::ZERO + TRIP * 3, 1_000, TRIP), None);
    }

    #[test]
    fn what_is_not_used_is_not_saved() {
        let mut credit = Credit::new(Time::ZERO);
        let late = Time::ZERO + TRIP * 1_000;
        assert_eq!(credit.wait(late, 1_000, TRIP), None);
        credit.spend(500);
        assert!(credit.wait(late, 1_000, TRIP).is_some());
    }
}
