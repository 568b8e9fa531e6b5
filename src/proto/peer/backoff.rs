//! When to dial again.

use std::time::Duration;

use crate::proto::config::PeerConfig;
use crate::proto::time::Time;

/// The first try at once, then exponential backoff with full jitter: each wait is drawn evenly from
/// zero to a bound that doubles (Brooker, "Exponential Backoff And Jitter", 2015).
#[derive(Clone, Default, Debug)]
pub(super) struct Backoff {
    attempt: u32,
    due: Option<Time>,
    dialling: bool,
}

impl Backoff {
    /// The first dial of all.
    pub(super) const fn start(&mut self, now: Time) {
        self.due = Some(now);
    }

    /// Plans the next try after a failure. Returns how long it waits, or nothing if none is left, which
    /// is so only of who is not `tireless`.
    pub(super) fn next(
        &mut self,
        now: Time,
        (config, tireless): (&PeerConfig, bool),
        at_least: Duration,
        draw: u64,
    ) -> Option<Duration> {
        self.dialling = false;
        if !tireless && config.attempts != 0 && self.attempt >= config.attempts {
            return None;
        }
        self.attempt += 1;
        let bound = match self.attempt {
            1 => Duration::ZERO,
            later => {
                let doubled = config.backoff.saturating_mul(1 << (later - 2).min(20));
                doubled.min(config.backoff_cap)
            }
        };
        let span = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX - 1) + 1;
        let wait = Duration::from_micros(draw % span).max(at_least);
        self.due = Some(now + wait);
        Some(wait)
    }

    /// Whether to dial now; asked once for each dial.
    pub(super) fn is_due(&mut self, now: Time) -> bool {
        let due = self.due.is_some_and(|due| due <= now);
        if due {
            self.due = None;
            self.dialling = true;
        }
        due
    }

    /// The relay answered: the next failure is the first again.
    pub(super) const fn succeed(&mut self) {
        self.attempt = 0;
        self.dialling = false;
    }

    /// No dial is wanted any more.
    pub(super) const fn stop(&mut self) {
        self.due = None;
        self.dialling = false;
    }

    pub(super) const fn is_dialling(&self) -> bool {
        self.dialling
    }

    pub(super) const fn attempt(&self) -> u32 {
        self.attempt
    }

    pub(super) const fn due(&self) -> Option<Time> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_try_is_at_once_and_the_rest_wait_longer_and_end() {
        let (mut backoff, config) = (Backoff::default(), PeerConfig::default());
        let longest = |backoff: &mut Backoff| {
            backoff
                .next(Time::ZERO, (&config, false), Duration::ZERO, u64::MAX / 2)
                .map(|wait| wait.as_millis())
        };
        assert_eq!(longest(&mut backoff), Some(0));
        let waits: Vec<_> = std::iter::from_fn(|| longest(&mut backoff)).collect();
        assert_eq!(waits.len(), 4, "five tries in all: {waits:?}");
        let bounds = [250, 500, 1_000, 2_000];
        assert!(waits.iter().zip(bounds).all(|(wait, bound)| *wait <= bound), "{waits:?}");
        backoff.succeed();
        assert_eq!(longest(&mut backoff), Some(0));
    }

    #[test]
    fn a_relay_that_names_a_wait_is_not_dialled_before() {
        let (mut backoff, config) = (Backoff::default(), PeerConfig::default());
        let wait = backoff.next(Time::ZERO, (&config, false), Duration::from_secs(3), 0);
        assert_eq!(wait, Some(Duration::from_secs(3)));
    }
}
