//! How long to wait: what the delays of a writer's samples say, and a clock that follows it.

use std::collections::VecDeque;

use super::config::TimelineConfig;
use super::micros;

/// The last numbers of a sort, in two orders.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    recent: VecDeque<i64>,
    sorted: Vec<i64>,
}

impl Window {
    /// Adds a number, and drops the oldest ones beyond `capacity`, which is at least one.
    pub(super) fn add(&mut self, number: i64, capacity: usize) {
        while self.recent.len() >= capacity.max(1) {
            let Some(oldest) = self.recent.pop_front() else { break };
            if let Ok(place) = self.sorted.binary_search(&oldest) {
                self.sorted.remove(place);
            }
        }
        self.recent.push_back(number);
        let place = self.sorted.partition_point(|other| *other < number);
        self.sorted.insert(place, number);
    }

    pub(super) fn clear(&mut self) {
        self.recent.clear();
        self.sorted.clear();
    }

    /// The least number that `thousandths` of all are not above.
    pub(super) fn quantile(&self, thousandths: u32) -> Option<i64> {
        let share = usize::try_from(thousandths.min(1_000)).unwrap_or(1_000);
        let count = (self.sorted.len() * share).div_ceil(1_000);
        self.sorted.get(count.saturating_sub(1)).copied()
    }
}

/// What is known of a writer's samples: how they are delayed, and how far they are apart.
#[derive(Clone, Debug, Default)]
pub(super) struct Delay {
    delays: Window,
    distances: Window,
    /// How far what is shown should lie behind, once a delay counted.
    pub(super) target: Option<i64>,
}

impl Delay {
    /// Another writer's delays are others. What they made of the target stays until one counts.
    pub(super) fn forget(&mut self) {
        self.delays.clear();
    }

    pub(super) fn distance(&mut self, distance: i64, config: &TimelineConfig) {
        self.distances.add(distance, config.pairs);
    }

    pub(super) fn delay(&mut self, delay: i64, config: &TimelineConfig) {
        self.delays.add(delay, config.window);
        let least = self.delays.quantile(0);
        let late = self.delays.quantile(config.quantile);
        if let (Some(least), Some(late)) = (least, late) {
            let wait = late - least + self.interval(config);
            let wait = wait.max(micros(config.min_wait)).min(micros(config.max_wait));
            self.target = Some(least + wait);
        }
    }

    /// How far a writer's samples are apart.
    pub(super) fn interval(&self, config: &TimelineConfig) -> i64 {
        self.distances.quantile(500).unwrap_or_else(|| micros(config.interval)).max(1)
    }
}

/// The clock of what is shown. It never goes back.
#[derive(Clone, Debug, Default)]
pub(super) struct Playout {
    /// How far it is behind, once that was known.
    pub(super) lag: Option<i64>,
    /// When it was looked at last.
    pub(super) now: i64,
    /// What it said then.
    pub(super) at: Option<i64>,
}

impl Playout {
    /// Starts the clock when a target is known first, from what it says or ahead.
    pub(super) fn begin(&mut self, target: Option<i64>) {
        if let (None, Some(lag)) = (self.lag, target) {
            self.lag = Some(lag);
            self.at = self.at.map(|at| at.max(self.now - lag));
        }
    }

    /// What it says `now`. It keeps its pace on the way to `target`, unless what is shown stands
    /// still, as it does from `settled` on. Without a target it says what is `newest`.
    pub(super) fn advance(
        &mut self,
        now: i64,
        target: Option<i64>,
        (newest, settled): (i64, i64),
        config: &TimelineConfig,
    ) -> i64 {
        let now = now.max(self.now);
        // No more than 2^40, which is twelve days, so that it can be multiplied.
        let elapsed = (now - self.now).min(1 << 40);
        let mut at = newest;
        if let (Some(lag), Some(target)) = (self.lag, target) {
            let rests = self.at.is_some_and(|at| at >= settled);
            let slower = elapsed * i64::from(config.slower.min(1_000)) / 1_000;
            let faster = elapsed * i64::from(config.faster) / 1_000;
            let lag = if rests { target } else { target.clamp(lag - faster, lag + slower) };
            self.lag = Some(lag);
            at = now - lag;
        }
        let at = self.at.map_or(at, |before| before.max(at));
        self.now = now;
        self.at = Some(at);
        at
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_window_knows_its_quantiles(
            numbers in prop::collection::vec(-50_i64..50, 1..80),
            capacity in 1_usize..20,
            thousandths in 0_u32..1_200,
        ) {
            let mut window = Window::default();
            numbers.iter().for_each(|number| window.add(*number, capacity));
            let mut last: Vec<_> = numbers.iter().rev().take(capacity).copied().collect();
            last.sort_unstable();
            let found = window.quantile(thousandths).unwrap();
            let below = last.iter().filter(|number| **number <= found).count();
            let share = usize::try_from(thousandths.min(1_000)).unwrap();
            prop_assert!(below * 1_000 >= last.len() * share);
            let fewer = last.iter().filter(|number| **number < found).count();
            prop_assert!(fewer == 0 || fewer * 1_000 < last.len() * share);
        }
    }
}
