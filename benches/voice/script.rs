//! When what was sent, of everybody.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Moments, by who did something and how often it had before.
pub(crate) struct Script {
    beginning: Instant,
    /// In microseconds; 0 is never.
    done: Vec<Vec<AtomicU64>>,
}

impl Script {
    /// It begins now. Of each so many can be noted.
    pub(crate) fn new(who: usize, most: usize) -> Self {
        let of_one = || (0..most).map(|_| AtomicU64::new(0)).collect();
        Self { beginning: Instant::now(), done: (0..who).map(|_| of_one()).collect() }
    }

    /// How much of each can be noted.
    pub(crate) fn most(&self) -> usize {
        self.done.first().map_or(0, Vec::len)
    }

    pub(crate) const fn beginning(&self) -> Instant {
        self.beginning
    }

    /// Somebody does something now. What is more than can be noted is not.
    pub(crate) fn note(&self, who: usize, number: usize) {
        let micros = self.beginning.elapsed().as_micros();
        if let Some(done) = self.done.get(who).and_then(|done| done.get(number)) {
            done.store(u64::try_from(micros).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
        }
    }

    /// When it was done.
    pub(crate) fn when(&self, who: usize, number: usize) -> Option<Instant> {
        let done = self.done.get(who)?.get(number)?.load(Ordering::Relaxed);
        (done > 0).then(|| self.beginning + Duration::from_micros(done))
    }

    /// How much was done in a time.
    pub(crate) fn count(&self, who: usize, from: Instant, to: Instant) -> usize {
        let numbers = 0..self.done.get(who).map_or(0, Vec::len);
        let times = numbers.filter_map(|number| self.when(who, number));
        times.filter(|at| (from..to).contains(at)).count()
    }
}

/// How long it is from one moment to another, in microseconds.
pub(crate) fn micros(from: Instant, to: Instant) -> u32 {
    u32::try_from(to.saturating_duration_since(from).as_micros()).unwrap_or(u32::MAX)
}
