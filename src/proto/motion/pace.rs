//! When the ticks of a stream are.

use std::time::Duration;

use crate::proto::time::Time;
use crate::proto::wire::message::StatePace;

/// The parts of a tick in which a frame says how far beside its tick it is.
const PARTS: i64 = 256;

/// The shortest and the longest tick, in microseconds.
const SHORTEST: u32 = 1_000;
const LONGEST: u32 = 10_000_000;

/// When one of so many, by its place among them, may be told something again that could have been at
/// `due` and is told now: as often as if nothing had been late. Behind a rest all are told at once, and
/// from then on one after the other within each period.
#[must_use]
pub fn next(due: Time, now: Time, (period, place, of): (Duration, usize, usize)) -> Time {
    let next = due + period;
    if next > now {
        return next;
    }
    let part = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).max(1);
    now + period / part(of) * part(place + 1)
}

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

    /// How long it is from a room time until a frame may be of the tick behind `last`: from half a tick
    /// before it on. So whoever writes once a tick, always a little sooner or later, hardly ever waits,
    /// wherever between ticks that is; and nobody says more frames than there are ticks.
    #[must_use]
    pub fn until_next(self, at: u64, last: u32) -> Duration {
        let period = u64::from(self.period);
        let since = at.saturating_sub(self.origin);
        let opens = (u64::from(last) + 1) * period - period / 2;
        // A clock that was set back does not hold anything up.
        Duration::from_micros(opens.saturating_sub(since).min(2 * period))
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
    fn who_speaks_once_a_tick_hardly_waits_and_who_always_would_has_one_frame_a_tick() {
        let pace = Pace::beginning(1_000_000, Duration::from_millis(16));
        for phase in (0..16_000).step_by(500) {
            let (mut last, mut may, mut wrong) = (0, 0, 0);
            for step in 1..1_000_u64 {
                let wants = 1_000_000 + phase + step * 16_000 + step * 7_919 % 1_500;
                let at = wants.max(may);
                assert!(at - wants <= 1_500, "{phase}: {}", at - wants);
                let (tick, beside) = pace.tick(at, last);
                wrong += u32::from(step > 1 && tick != last + 1);
                assert!(pace.at(tick, beside).abs_diff(at) <= 16_000 / 256 + 1, "{phase}");
                (last, may) = (tick, at + micros(pace.until_next(at, tick)));
            }
            assert!(wrong <= 1, "{phase}: {wrong} ticks were skipped");
        }
        let (mut last, mut at) = (1, 1_000_000);
        for step in 1..1_000 {
            // Late by as much as a timer is.
            at += micros(pace.until_next(at, last)) + step * 7_919 % 1_500;
            (last, _) = pace.tick(at, last);
            assert_eq!(u64::from(last), step + 1);
        }
    }

    fn micros(time: Duration) -> u64 {
        u64::try_from(time.as_micros()).unwrap()
    }

    #[test]
    fn everybody_is_told_once_a_period_and_not_all_at_once() {
        let period = Duration::from_millis(16);
        let begin = Time::from_micros(1_000_000);
        let mut due = [0, 1, 2, 3].map(|place| next(Time::ZERO, begin, (period, place, 4)));
        assert_eq!(due.map(|due| due - begin), [1, 2, 3, 4].map(|part| period / 4 * part));
        for step in 0..1_000_u64 {
            for (place, due) in due.iter_mut().enumerate() {
                let now = *due + Duration::from_micros(step * 7_919 % 15_000);
                *due = next(*due, now, (period, place, 4));
            }
        }
        assert_eq!(due[0], begin + period / 4 + period * 1_000);
        assert_eq!(due[3], begin + period * 1_001);
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
