//! When the ticks of a stream are.

use std::time::Duration;

use crate::proto::time::Time;
use crate::proto::wire::message::StatePace;

/// The parts of a tick in which a frame says how far beside its tick it is.
const PARTS: i64 = 256;

/// What part of a tick may be missing between two, if the first was late; and what part of one a frame
/// may say that it is later than it is.
const SLACK: u32 = 8;

/// More microseconds than this are as many.
const FAR: i64 = 1 << 60;

/// The shortest and the longest tick, in microseconds.
const SHORTEST: u32 = 1_000;
const LONGEST: u32 = 10_000_000;

/// When the next tick may be, behind one that was due and came later: so that ticks do not become
/// fewer by being late, and who has something to say once a tick, always a little sooner or later,
/// hardly ever waits.
#[must_use]
pub fn next(due: Time, now: Time, period: Duration) -> Time {
    (due + period).max(now + (period - period / SLACK))
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

    /// The tick of a frame at a room time, and how far beside it that is, in 256ths, behind those of the
    /// frame before. As many ticks later as periods have passed, so that frames halfway between two ticks
    /// do not skip one now and share one then; if that is not near any more, the nearest.
    #[must_use]
    pub fn tick(self, at: u64, (last, last_beside): (u32, i8)) -> (u32, i8) {
        let (period, slack) = (i64::from(self.period), i64::from(self.period / SLACK));
        let after =
            |earlier| i64::try_from(at.saturating_sub(earlier)).map_or(FAR, |it| it.min(FAR));
        let (since, passed) = (after(self.origin), after(self.at(last, last_beside)));
        let whole = |time: i64| u32::try_from((time + period / 2) / period).unwrap_or(u32::MAX);
        let beside = |tick: u32| since - i64::from(tick) * period;
        let next = last.saturating_add(1);
        let follows = last.saturating_add(whole(passed)).max(next);
        let is_near = (-period / 2 - slack..=period / 2).contains(&beside(follows));
        let tick = if is_near { follows } else { whole(since).max(next) };
        let parts = (beside(tick).clamp(-period, period) * PARTS / period)
            .clamp(i64::from(i8::MIN), i64::from(i8::MAX));
        (tick, i8::try_from(parts).unwrap_or(0))
    }

    /// The room time of a frame.
    #[must_use]
    pub fn at(self, tick: u32, beside: i8) -> u64 {
        let period = u64::from(self.period);
        let time = self.origin.saturating_add(u64::from(tick).saturating_mul(period));
        time.saturating_add_signed(i64::from(beside) * i64::from(self.period) / PARTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_says_when_it_was_within_a_256th_of_a_tick() {
        let pace = Pace::beginning(1_700_000_000_000_000, Duration::from_millis(50));
        let mut last = (0, 0);
        for step in 1..100_u64 {
            let at = 1_700_000_000_000_000 + step * 50_000 + step * 7_919 % 20_000;
            let (tick, beside) = pace.tick(at, last);
            assert!(tick > last.0);
            assert!(pace.at(tick, beside).abs_diff(at) <= 50_000 / 256 + 1, "{step}");
            last = (tick, beside);
        }
    }

    #[test]
    fn frames_halfway_between_ticks_have_one_each() {
        let pace = Pace::beginning(1_000_000, Duration::from_millis(50));
        let mut last = (0, 0);
        for step in 1..200_u32 {
            let at = 1_020_000 + u64::from(step) * 50_000 + u64::from(step) * 7_919 % 10_000;
            let (tick, beside) = pace.tick(at, last);
            assert!(step == 1 || tick == last.0 + 1, "{step}: {tick} behind {last:?}");
            let later = pace.at(tick, beside) + 50_000 / 256 + 1;
            assert!((at..at + 50_000 / 8 + 200).contains(&later), "{step}");
            last = (tick, beside);
        }
    }

    #[test]
    fn who_speaks_once_a_tick_does_not_wait_and_who_always_would_does_not_speak_more_often() {
        let period = Duration::from_millis(16);
        let (mut due, mut waited) = (Time::ZERO, Duration::ZERO);
        for step in 1..1_000_u64 {
            let wants = Time::from_micros(7_000 + step * 16_000 + step * 7_919 % 1_500);
            let now = wants.max(due);
            waited = waited.max(now - wants);
            due = next(due, now, period);
        }
        assert!(waited <= Duration::from_micros(1_500), "{waited:?}");
        let (begin, mut now) = (due, due);
        for step in 1..1_000_u64 {
            // Late by as much as a timer is.
            now = due + Duration::from_micros(step * 7_919 % 1_500);
            due = next(due, now, period);
        }
        assert!(now - begin >= period * 998, "{:?}", now - begin);
    }

    #[test]
    fn a_clock_that_went_back_makes_ticks_rise_all_the_same() {
        let pace = Pace::beginning(1_000_000, Duration::from_millis(10));
        assert_eq!(pace.tick(1_000_000, (8, 0)), (9, i8::MIN));
        assert_eq!(pace.tick(0, (8, 0)), (9, i8::MIN));
        assert_eq!(pace.tick(u64::MAX, (u32::MAX, 0)), (u32::MAX, i8::MAX));
    }

    #[test]
    fn ticks_are_neither_endless_nor_nothing() {
        assert_eq!(Pace::read(StatePace { origin: 0, period: 0 }), None);
        assert_eq!(Pace::read(StatePace { origin: 0, period: u32::MAX }), None);
        let pace = Pace::read(StatePace { origin: u64::MAX, period: 1_000 }).unwrap();
        assert_eq!(pace.at(u32::MAX, i8::MAX), u64::MAX);
    }
}
