//! How much of something is taken in a time.

use std::time::Duration;

use crate::proto::time::Time;

/// A leaky bucket: it takes what costs time, as long as no more than its depth is owed (GCRA, ITU-T
/// I.371). So a burst is taken that costs its depth, and then as much as time passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bucket {
    /// When all that was taken is paid for.
    paid: Time,
}

impl Bucket {
    /// Nothing is owed.
    #[must_use]
    pub const fn new(now: Time) -> Self {
        Self { paid: now }
    }

    /// How much is owed.
    #[must_use]
    pub fn owed(&self, now: Time) -> Duration {
        self.paid - now
    }

    /// Takes what has a price, whatever is owed.
    pub fn pay(&mut self, price: Duration, now: Time) {
        self.paid = self.paid.max(now) + price;
    }

    /// Takes what has a price if no more than `depth` is owed then, and says whether it did.
    #[must_use]
    pub fn takes(&mut self, price: Duration, depth: Duration, now: Time) -> bool {
        let takes = self.owed(now) + price <= depth;
        if takes {
            self.pay(price, now);
        }
        takes
    }

    /// Forgets what is owed, but for so much.
    pub fn forgive(&mut self, most: Duration, now: Time) {
        self.paid = self.paid.min(now + most);
    }

    /// The price of so many, where so many are taken in a second; 0 a second count as 1.
    #[must_use]
    pub fn price(count: u64, per_second: u32) -> Duration {
        Duration::from_micros(count.saturating_mul(1_000_000) / u64::from(per_second.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_and_then_as_much_as_time_passes() {
        let (price, depth) = (Bucket::price(1, 100), Duration::from_millis(640));
        let mut bucket = Bucket::new(Time::ZERO);
        let mut count = |now| (0..1_000).filter(|_| bucket.takes(price, depth, now)).count();
        assert_eq!(count(Time::ZERO), 64);
        assert_eq!(count(Time::ZERO + Duration::from_millis(100)), 10);
        assert_eq!(count(Time::ZERO + Duration::from_secs(60)), 64);
    }

    #[test]
    fn what_is_owed_can_be_forgiven() {
        let mut bucket = Bucket::new(Time::ZERO);
        bucket.pay(Bucket::price(10_000, 1_000), Time::ZERO);
        assert_eq!(bucket.owed(Time::ZERO), Duration::from_secs(10));
        bucket.forgive(Duration::from_secs(1), Time::ZERO);
        assert_eq!(bucket.owed(Time::ZERO), Duration::from_secs(1));
        assert_eq!(bucket.owed(Time::from_micros(2_000_000)), Duration::ZERO);
    }
}
