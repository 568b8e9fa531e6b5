//! The processor time of this thread, and the bytes that live on the heap.

use std::alloc::System;
use std::sync::OnceLock;
use std::time::Duration;

use cap::Cap;
use cpu_time::ThreadTime;

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

/// How many bytes live on the heap.
pub(crate) fn heap() -> usize {
    HEAP.allocated()
}

/// How many kilobytes live on the heap beyond `before` bytes.
pub(crate) fn grown(before: usize) -> f64 {
    (heap() as f64 - before as f64) / 1e3
}

/// How many kilobytes live in a value, by what dropping it gives back.
pub(crate) fn held<T>(value: T) -> f64 {
    let before = heap();
    drop(value);
    -grown(before)
}

/// What a step took of the processor, in microseconds, without what asking for it takes.
pub(crate) fn timed<T>(step: impl FnOnce() -> T) -> (T, f64) {
    let (outcome, taken) = raw(step);
    (outcome, (taken - overhead()).max(0.0))
}

/// What asking for the time takes, in microseconds.
pub(crate) fn overhead() -> f64 {
    const ROUNDS: u32 = 10_000;
    static OVERHEAD: OnceLock<f64> = OnceLock::new();
    *OVERHEAD.get_or_init(|| {
        let all = (0..ROUNDS).map(|_| raw(|| ()).1).sum::<f64>();
        all / f64::from(ROUNDS)
    })
}

fn raw<T>(step: impl FnOnce() -> T) -> (T, f64) {
    let start = ThreadTime::now();
    let outcome = step();
    let taken: Duration = start.elapsed();
    (outcome, taken.as_secs_f64() * 1e6)
}

/// One figure for each step of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    /// Adds a step's figure.
    pub(crate) fn push(&mut self, figure: f64) {
        self.0.push(figure);
    }

    /// All of them together.
    pub(crate) fn total(&self) -> f64 {
        self.0.iter().sum()
    }

    /// The mean of all.
    pub(crate) fn mean(&self) -> f64 {
        mean(&self.0)
    }

    /// The highest of all.
    pub(crate) fn most(&self) -> f64 {
        self.0.iter().copied().fold(0.0, f64::max)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The mean of the first so many.
    pub(crate) fn first(&self, count: usize) -> f64 {
        mean(&self.0[..count.min(self.0.len())])
    }

    /// The mean of the last so many.
    pub(crate) fn last(&self, count: usize) -> f64 {
        mean(&self.0[self.0.len() - count.min(self.0.len())..])
    }

    /// The mean of the first tenth.
    pub(crate) fn first_tenth(&self) -> f64 {
        mean(&self.0[..self.0.len().div_ceil(10)])
    }

    /// The mean of the last tenth.
    pub(crate) fn last_tenth(&self) -> f64 {
        mean(&self.0[self.0.len() - self.0.len().div_ceil(10)..])
    }

    /// The means of five equal parts.
    pub(crate) fn fifths(&self) -> [f64; 5] {
        let edge = |fifth: usize| self.0.len() * fifth / 5;
        std::array::from_fn(|fifth| mean(&self.0[edge(fifth)..edge(fifth + 1)]))
    }
}

fn mean(figures: &[f64]) -> f64 {
    if figures.is_empty() { 0.0 } else { figures.iter().sum::<f64>() / figures.len() as f64 }
}
