//! By which way a peer has a topic.

use std::time::Duration;

use crate::net::voice::config::VoiceNetConfig;
use crate::net::voice::tunings::Heard;
use crate::proto::time::Time;

/// How many times longer than [`VoiceNetConfig::settle`] gossip is kept at most.
const LONGEST: u32 = 64;

/// What to do with a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Subscribe.
    Subscribe,
    /// Unsubscribe.
    Unsubscribe,
    /// Say again what may not have been taken: unsubscribe and subscribe.
    Renew,
}

/// A topic that a peer is to have. Without datagrams it comes by gossip. With them it comes by datagram,
/// and by gossip while those do not bring it; for as long as something on the same link comes by
/// datagram, a topic of which nothing comes is just silent. What comes by gossip after a silence datagrams
/// may bring as well: gossip is kept only once they did not.
#[derive(Debug)]
pub(super) struct Reception {
    way: Way,
    /// Since when, or when it was last asked for.
    since: Time,
    /// How much silence is taken until something is done about it.
    pause: Duration,
    /// How long gossip is kept, once it has brought what datagrams did not.
    stay: Duration,
    /// Whether gossip has brought something, and datagrams nothing since.
    in_doubt: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Datagrams,
    Gossip,
}

impl Reception {
    /// A topic that is tuned now, and what to do first.
    pub(super) fn new(
        now: Time,
        has_datagrams: bool,
        config: &VoiceNetConfig,
    ) -> (Self, Option<Act>) {
        let (way, pause, act) = if has_datagrams {
            (Way::Datagrams, config.silence, None)
        } else {
            (Way::Gossip, config.retry, Some(Act::Subscribe))
        };
        (Self { way, since: now, pause, stay: config.settle, in_doubt: false }, act)
    }

    /// What to do now, if anything.
    pub(super) fn look(&mut self, now: Time, heard: Heard, config: &VoiceNetConfig) -> Option<Act> {
        match (self.way, heard.datagram) {
            (Way::Datagrams, datagram) => {
                if datagram.is_some_and(|datagram| datagram > self.since) {
                    (self.stay, self.in_doubt) = (config.settle, false);
                }
                let last = heard.topic.max(datagram.unwrap_or(Time::ZERO));
                self.is_silent(now, last, config).then(|| self.turn(Way::Gossip, now))
            }
            (Way::Gossip, None) => self.is_silent(now, heard.topic, config).then(|| {
                self.since = now;
                self.double(config);
                Act::Renew
            }),
            (Way::Gossip, Some(_)) if heard.topic > self.since && !self.in_doubt => {
                (self.in_doubt, self.pause) = (true, config.silence);
                Some(self.turn(Way::Datagrams, now))
            }
            (Way::Gossip, Some(_)) if heard.topic > self.since => {
                let is_over = now >= self.since + self.stay;
                is_over.then(|| {
                    self.stay = (self.stay * 2).min(config.settle * LONGEST);
                    self.turn(Way::Datagrams, now)
                })
            }
            // Nothing by either: nobody says anything.
            (Way::Gossip, Some(_)) => (now >= self.since + config.silence).then(|| {
                self.in_doubt = false;
                self.double(config);
                self.turn(Way::Datagrams, now)
            }),
        }
    }

    fn is_silent(&mut self, now: Time, last: Time, config: &VoiceNetConfig) -> bool {
        if last > self.since {
            self.pause = config.silence;
        }
        now >= last.max(self.since) + self.pause
    }

    fn double(&mut self, config: &VoiceNetConfig) {
        self.pause = (self.pause * 2).min(config.settle);
    }

    fn turn(&mut self, way: Way, now: Time) -> Act {
        (self.way, self.since) = (way, now);
        match way {
            Way::Datagrams => Act::Unsubscribe,
            Way::Gossip => Act::Subscribe,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is done within a minute, in seconds, if packets come as `heard` says.
    fn acts(has_datagrams: bool, heard: impl Fn(Way, Time) -> Heard) -> Vec<(f32, Act)> {
        let config = VoiceNetConfig::default();
        let (mut reception, first) = Reception::new(Time::ZERO, has_datagrams, &config);
        let mut acts: Vec<_> = first.map(|act| (0.0, act)).into_iter().collect();
        for tenths in 0..600 {
            let now = Time::ZERO + Duration::from_millis(100) * tenths;
            let heard = heard(reception.way, now);
            acts.extend(reception.look(now, heard, &config).map(|act| (tenths as f32 / 10.0, act)));
        }
        acts
    }

    #[test]
    fn without_datagrams_it_is_asked_for_at_once_and_again_while_nothing_comes() {
        let silent = |_, _| Heard { topic: Time::ZERO, datagram: None };
        let acts = acts(false, silent);
        assert_eq!(
            acts[..4],
            [(0.0, Act::Subscribe), (0.1, Act::Renew), (0.3, Act::Renew), (0.7, Act::Renew),]
        );
        assert!(acts.len() < 14, "{acts:?}");
    }

    #[test]
    fn nothing_is_done_while_packets_come() {
        for has_datagrams in [false, true] {
            let comes = |_, now| Heard { topic: now, datagram: has_datagrams.then_some(now) };
            let acts = acts(has_datagrams, comes);
            assert_eq!(acts.len(), usize::from(!has_datagrams), "{acts:?}");
        }
    }

    #[test]
    fn who_is_silent_beside_others_that_come_by_datagram_is_just_silent() {
        let acts = acts(true, |_, now| Heard { topic: Time::ZERO, datagram: Some(now) });
        assert_eq!(acts, []);
    }

    #[test]
    fn what_datagrams_do_not_bring_comes_by_gossip_and_seldom_less() {
        let last = std::cell::Cell::new(Time::ZERO);
        let acts = acts(true, |way, now| {
            if way == Way::Gossip {
                last.set(now);
            }
            Heard { topic: last.get(), datagram: Some(Time::ZERO) }
        });
        assert_eq!(
            acts,
            [
                (1.0, Act::Subscribe),
                (1.1, Act::Unsubscribe),
                (2.1, Act::Subscribe),
                (12.1, Act::Unsubscribe),
                (13.1, Act::Subscribe),
                (33.1, Act::Unsubscribe),
                (34.1, Act::Subscribe),
            ]
        );
    }

    #[test]
    fn who_speaks_after_a_silence_is_heard_by_datagram_again_at_once() {
        let last = std::cell::Cell::new([Time::ZERO; 2]);
        let speaks = Time::ZERO + Duration::from_millis(4_450);
        let acts = acts(true, |way, now| {
            let [mut topic, mut datagram] = last.get();
            if now >= speaks {
                topic = now;
                datagram = if way == Way::Datagrams { now } else { datagram };
            }
            last.set([topic, datagram]);
            Heard { topic, datagram: Some(datagram) }
        });
        let while_spoken: Vec<_> = acts.into_iter().filter(|(at, _)| *at > 4.4).collect();
        assert_eq!(while_spoken, [(4.5, Act::Unsubscribe)]);
    }

    #[test]
    fn of_one_who_says_nothing_at_all_it_is_tried_less_and_less() {
        let acts = acts(true, |_, _| Heard { topic: Time::ZERO, datagram: Some(Time::ZERO) });
        let subscribed = acts.iter().filter(|(_, act)| *act == Act::Subscribe).count();
        assert!((4..=8).contains(&subscribed), "{acts:?}");
    }
}
