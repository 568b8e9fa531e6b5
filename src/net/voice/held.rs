//! What a relay passes on by gossip waits a moment, so that what is said at once goes on at once: to each
//! hearer in one record of its connection, which saves up to half of what a message costs.

use std::time::Duration;

use bytes::Bytes;

use crate::net::voice::company::Company;
use crate::net::voice::config::VoiceNetConfig;
use crate::net::voice::gossip::{Claim, Gossip};
use crate::proto::audio::stream::Topic;
use crate::proto::time::Time;

/// A packet that is to go on.
#[derive(Debug)]
pub(super) enum Passed {
    /// It came by gossip.
    Forward(Claim),
    /// It came otherwise.
    Publish(Topic, Bytes),
}

/// Packets that wait for those of others.
#[derive(Debug)]
pub(super) struct Held {
    waiting: Vec<Passed>,
    /// When they go at the latest, if there are any.
    due: Option<Time>,
    company: Company<Topic>,
    most: usize,
    merge: Duration,
}

impl Held {
    pub(super) fn new(config: &VoiceNetConfig) -> Self {
        let VoiceNetConfig { outgoing: most, merge, .. } = *config;
        Self { waiting: Vec::new(), due: None, company: Company::new(), most, merge }
    }

    /// When what waits is to go.
    pub(super) const fn due(&self) -> Option<Time> {
        self.due
    }

    /// Another packet of a topic is to go on. Returns whether there is nothing to wait for any more: there
    /// is one of each who speaks, or as many as may wait.
    pub(super) fn push(&mut self, topic: Topic, passed: Passed, now: Time) -> bool {
        self.company.goes(topic, now);
        self.waiting.push(passed);
        let due = *self.due.get_or_insert(now + self.merge);
        self.waiting.len() >= self.company.size(now).min(self.most) || due <= now
    }

    /// Lets all go.
    pub(super) fn release(&mut self, gossip: &mut Gossip) {
        self.due = None;
        for passed in self.waiting.drain(..) {
            match passed {
                Passed::Forward(claim) => gossip.judge(&claim, true),
                Passed::Publish(topic, packet) => gossip.publish(topic, &packet),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Time {
        Time::from_micros(1_000_000 + micros)
    }

    /// Whether all goes once another packet of each of some is there.
    fn pushed(held: &mut Held, topics: &[u8], now: Time) -> Vec<bool> {
        let push = |topic: &u8| {
            let topic = Topic::new([*topic; 5]);
            let goes = held.push(topic, Passed::Publish(topic, Bytes::new()), now);
            if goes {
                held.due = None;
                held.waiting.clear();
            }
            goes
        };
        topics.iter().map(push).collect()
    }

    #[test]
    fn who_speaks_alone_waits_for_nobody_and_others_for_each_other_and_not_for_long() {
        let mut held = Held::new(&VoiceNetConfig::default());
        assert_eq!(pushed(&mut held, &[1, 1], at(0)), [true, true]);
        assert_eq!(pushed(&mut held, &[2, 1], at(20_000)), [false, true]);
        assert_eq!(pushed(&mut held, &[1], at(40_000)), [false]);
        assert_eq!(held.due(), Some(at(43_000)));
        assert_eq!(pushed(&mut held, &[2], at(41_000)), [true]);
        // The second is not there any more.
        assert_eq!(pushed(&mut held, &[1, 1], at(95_000)), [true, true]);
    }

    #[test]
    fn no_more_wait_than_may() {
        let config = VoiceNetConfig { outgoing: 3, ..VoiceNetConfig::default() };
        let mut held = Held::new(&config);
        let goes = pushed(&mut held, &[1, 2, 3, 4, 5, 6, 7], at(0));
        assert_eq!(goes, [true, false, false, true, false, false, true]);
    }
}
