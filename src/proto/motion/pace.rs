//! When the ticks of a stream are.

use std::time::Duration;

use crate::proto::wire::message::StatePace;

/// The parts of a tick in which a frame says how far beside its tick it is.
const PARTS: i64 = 256;

/// The shortest and the longest tick, in microseconds.
const SHORTEST: u32 = 1_000;
const LONGEST: u32 = 10_000_000;

/// The ticks of a stream: evenly spaced in room time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// When tick 0 is, in microseconds of room time.
    origin: u64,
    /// How long a tick is, in microseconds.
    period: u32,
}

impl Pace {
    /// Ticks of a length, of which number 1 is at a room time.
    #[must_use]
    pub fn beginning(first: u64, period: Duration) -> Self {
        let period = u32::try_from(period.as_micros()).unwrap_or(LONGEST);
        let period = period.clamp(SHORTEST, LONGEST);
        Self { origin: first.saturating_sub(u64::from(period)), period }
    }

    /// What a peer says of its ticks; nothing if they are shorter or longer than any may be.
    #[must_use]
    pub fn read(record: StatePace) -> Option<Self> {
        let StatePace { origin, period } = record;
        (SHORTEST..=LONGEST).contains(&period).then_some(Self { origin, period })
    }

    /// How long one is.
    #[must_use]
    pub fn period(self) -> Duration {
        Duration::from_micros(u64::from(self.period))
    }

    /// What is said of them.
    #[must_use]
    pub const fn record(self) -> StatePace {
        StatePace { origin: self.origin, period: self.period }
    }

    /// The tick nearest to a room time, above `last`, and how far beside it that is, in 256ths.
    #[must_use]
    pub fn tick(self, at: u64, last: u32) -> (u32, i8) {
        let period = u64::from(self.period);
        let since = at.saturating_sub(self.origin);
        let nearest = u32::try_from((since + period / 2) / period).unwrap_or(u32::MAX);
        let tick = nearest.max(last.saturating_add(1));
        let beside = since.cast_signed() - (u64::from(tick) * period).cast_signed();
        let parts =
            (beside * PARTS / i64::from(self.period)).clamp(i64::from(i8::MIN), i64::from(i8::MAX));
        (tick, i8::try_from(parts).unwrap_or(0))
    }

    /// The room time of a frame.
    #[must_use]
    pub fn at(self, tick: u32, beside: i8) -> u64 {
        let period = u64::from(self.period);
        let time = self.origin.saturating_add(u64::from(tick).saturating_mul(period));
        time.saturating_add_signed(i64::from(beside) * i64::from(self.period) / PARTS)
    }

    /// How long it is from a room time to the next tick behind `last`.
    #[must_use]
    pub fn until_next(self, at: u64, last: u32) -> Duration {
        let period = u64::from(self.period);
        let since = at.saturating_sub(self.origin);
        let next = (since / period + 1).max(u64::from(last) + 1) * period;
        // A clock that was set back does not hold anything up.
        Duration::from_micros((next - since).min(2 * period))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_says_when_it_was_within_a_256th_of_a_tick() {
        let pace = Pace::beginning(1_700_000_000_000_000, Duration::from_millis(50));
        let mut last = 0;
        for step in 1..100_u64 {
            let at = 1_700_000_000_000_000 + step * 50_000 + step * 7_919 % 20_000;
            let (tick, beside) = pace.tick(at, last);
            assert!(tick > last);
            assert!(pace.at(tick, beside).abs_diff(at) <= 50_000 / 256 + 1, "{step}");
            last = tick;
        }
    }

    #[test]
    fn a_clock_that_went_back_makes_ticks_rise_all_the_same() {
        let pace = Pace::beginning(1_000_000, Duration::from_millis(10));
        assert_eq!(pace.tick(1_000_000, 8), (9, i8::MIN));
        assert_eq!(pace.tick(0, 8), (9, i8::MIN));
        assert!(pace.until_next(0, 4_000_000_000) <= Duration::from_millis(20));
    }

    #[test]
    fn ticks_are_neither_endless_nor_nothing() {
        assert_eq!(Pace::read(StatePace { origin: 0, period: 0 }), None);
        assert_eq!(Pace::read(StatePace { origin: 0, period: u32::MAX }), None);
        let pace = Pace::read(StatePace { origin: u64::MAX, period: 1_000 }).unwrap();
        assert_eq!(pace.at(u32::MAX, i8::MAX), u64::MAX);
    }
}
