//! Events that wait to be told to one target. Pure: it says what to send next, and when.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::config::WebhookConfig;
use super::event;
use crate::proto::id::Hex;
use crate::proto::time::Time;

/// Events in order. The first is tried until it has arrived or is too old; then the next.
#[derive(Debug)]
pub(super) struct Backlog {
    config: WebhookConfig,
    rng: ChaCha12Rng,
    /// What the ids of this run begin with.
    run: String,
    next_id: u64,
    current: Option<Kept>,
    waiting: VecDeque<Kept>,
    /// How many events are lost that the target was not told of.
    untold: u64,
    /// How often the current one was tried in vain.
    failures: u32,
    pub(super) statistics: DeliveryStatistics,
}

/// What became of the events for a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryStatistics {
    /// Events that wait, the one that is being told included.
    pub waiting: u64,
    /// Events that have arrived.
    pub delivered: u64,
    /// Events that were given up, because too many waited or because they were too old.
    pub lost: u64,
    /// Tries that failed.
    pub failed: u64,
}

#[derive(Clone, Debug)]
struct Kept {
    id: String,
    body: Bytes,
    since: Time,
    /// How many events it stands for that are lost; none, if it is an event itself.
    tells_of: u64,
}

impl Backlog {
    pub(super) fn new(config: WebhookConfig, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha12Rng::from_seed(seed);
        let mut run = [0; 12];
        rng.fill_bytes(&mut run);
        Self {
            config,
            rng,
            run: Hex(&run).to_string(),
            next_id: 0,
            current: None,
            waiting: VecDeque::new(),
            untold: 0,
            failures: 0,
            statistics: DeliveryStatistics::default(),
        }
    }

    /// Takes an event at `now`. If too many wait, the oldest that is not being told is lost.
    pub(super) fn push(&mut self, body: Bytes, now: Time) {
        let kept = self.kept(body, 0, now);
        self.waiting.push_back(kept);
        while self.waiting.len() > self.config.queue {
            self.waiting.pop_front();
            self.lose(1);
        }
        self.count();
    }

    /// What to send at `now`: the same, with the same id, until it has [arrived](Self::arrived).
    /// Events that are too old are lost. Of what was lost the target is told first, since it was
    /// older. `seconds` is the calendar's time.
    pub(super) fn next(&mut self, now: Time, seconds: u64) -> Option<(String, Bytes)> {
        let keep = self.config.keep;
        let is_old = |kept: &Kept| now.since(kept.since) >= keep;
        if let Some(old) = self.current.take_if(|kept| is_old(kept)) {
            self.give_up(&old);
        }
        while self.waiting.front().is_some_and(is_old) {
            self.waiting.pop_front();
            self.lose(1);
        }
        if self.current.is_none() {
            self.failures = 0;
            self.current = if self.untold > 0 {
                let count = std::mem::take(&mut self.untold);
                Some(self.kept(event::lost(count, seconds), count, now))
            } else {
                self.waiting.pop_front()
            };
        }
        self.count();
        self.current.as_ref().map(|kept| (kept.id.clone(), kept.body.clone()))
    }

    /// What was sent last has arrived.
    pub(super) fn arrived(&mut self) {
        if let Some(kept) = self.current.take()
            && kept.tells_of == 0
        {
            self.statistics.delivered += 1;
        }
        self.failures = 0;
        self.count();
    }

    /// What was sent last has not arrived. Returns how long to wait before the next try.
    pub(super) fn failed(&mut self) -> Duration {
        self.statistics.failed += 1;
        let longest = self
            .config
            .backoff
            .saturating_mul(1 << self.failures.min(30))
            .min(self.config.backoff_cap);
        self.failures = self.failures.saturating_add(1);
        let share = f64::from(self.rng.next_u32()) / f64::from(u32::MAX);
        longest.mul_f64(0.5 + share / 2.0)
    }

    fn kept(&mut self, body: Bytes, tells_of: u64, since: Time) -> Kept {
        let id = format!("msg_{}_{}", self.run, self.next_id);
        self.next_id += 1;
        Kept { id, body, since, tells_of }
    }

    fn give_up(&mut self, kept: &Kept) {
        // That some were lost is told another time; those were counted.
        if kept.tells_of > 0 { self.untold += kept.tells_of } else { self.lose(1) }
    }

    fn lose(&mut self, count: u64) {
        self.untold += count;
        self.statistics.lost += count;
    }

    fn count(&mut self) {
        let current = self.current.as_ref().is_some_and(|kept| kept.tells_of == 0);
        self.statistics.waiting = self.waiting.len() as u64 + u64::from(current);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog(queue: usize) -> Backlog {
        Backlog::new(WebhookConfig { queue, ..WebhookConfig::default() }, [1; 32])
    }

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn push(backlog: &mut Backlog, words: &'static str, seconds: u64) {
        backlog.push(Bytes::from_static(words.as_bytes()), at(seconds));
    }

    fn next(backlog: &mut Backlog, seconds: u64) -> Option<String> {
        let (_, body) = backlog.next(at(seconds), seconds)?;
        Some(String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn events_go_in_order_each_until_it_has_arrived() {
        let mut backlog = backlog(10);
        assert_eq!(backlog.next(at(0), 0), None);
        push(&mut backlog, "a", 0);
        push(&mut backlog, "b", 0);
        let first = backlog.next(at(1), 1).unwrap();
        backlog.failed();
        assert_eq!(backlog.next(at(2), 2), Some(first.clone()));
        backlog.arrived();
        let second = backlog.next(at(3), 3).unwrap();
        assert_eq!(&second.1[..], b"b");
        assert_ne!(second.0, first.0);
        backlog.arrived();
        assert_eq!(backlog.next(at(4), 4), None);
        let counted = DeliveryStatistics { waiting: 0, delivered: 2, lost: 0, failed: 1 };
        assert_eq!(backlog.statistics, counted);
    }

    #[test]
    fn what_was_lost_is_told_before_what_is_newer() {
        let mut backlog = backlog(2);
        push(&mut backlog, "a", 0);
        assert_eq!(next(&mut backlog, 0).unwrap(), "a");
        for words in ["b", "c", "d", "e"] {
            push(&mut backlog, words, 1);
        }
        assert_eq!(backlog.statistics.lost, 2);
        assert_eq!(backlog.statistics.waiting, 3);
        assert_eq!(next(&mut backlog, 2).unwrap(), "a");
        backlog.arrived();
        let told = next(&mut backlog, 3).unwrap();
        let expected =
            r#"{"data":{"count":2},"timestamp":"1970-01-01T00:00:03Z","type":"events.lost"}"#;
        assert_eq!(told, expected);
        push(&mut backlog, "f", 3);
        backlog.arrived();
        assert!(next(&mut backlog, 4).unwrap().contains(r#""count":1"#));
        backlog.arrived();
        assert_eq!(next(&mut backlog, 4).unwrap(), "e");
        assert_eq!((backlog.statistics.lost, backlog.statistics.delivered), (3, 1));
    }

    #[test]
    fn what_is_too_old_is_lost() {
        let (mut backlog, day) = (backlog(10), 24 * 60 * 60);
        push(&mut backlog, "a", 0);
        assert_eq!(next(&mut backlog, 0).unwrap(), "a");
        push(&mut backlog, "b", 1);
        push(&mut backlog, "c", day);
        assert!(next(&mut backlog, day + 1).unwrap().contains(r#""count":2"#));
        // The word of it too grows old, and is said anew.
        assert!(next(&mut backlog, 2 * day + 1).unwrap().contains(r#""count":3"#));
        backlog.arrived();
        assert_eq!(next(&mut backlog, 2 * day + 2), None);
        let counted = DeliveryStatistics { waiting: 0, delivered: 0, lost: 3, failed: 0 };
        assert_eq!(backlog.statistics, counted);
    }

    #[test]
    fn waits_grow_to_their_cap_and_are_not_all_the_same() {
        let mut backlog = backlog(10);
        push(&mut backlog, "a", 0);
        next(&mut backlog, 0);
        let waits: Vec<_> = (0..100).map(|_| backlog.failed()).collect();
        for (tries, wait) in waits.iter().enumerate() {
            let longest = Duration::from_secs(1 << tries.min(20)).min(Duration::from_secs(300));
            assert!((longest / 2..=longest).contains(wait), "{tries}: {wait:?}");
        }
        assert_ne!(waits[50], waits[51]);
        backlog.arrived();
        push(&mut backlog, "b", 0);
        next(&mut backlog, 0);
        assert!(backlog.failed() <= Duration::from_secs(1));
    }
}
