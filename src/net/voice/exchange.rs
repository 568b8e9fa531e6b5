//! A relay's side of voice.

use std::collections::{BTreeSet, HashSet};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::net::clock::Clock;
use crate::net::link::Happening;
use crate::net::voice::config::VoiceNetConfig;
use crate::net::voice::gossip::{Claim, Gossip, Source};
use crate::net::voice::held::{Held, Passed};
use crate::net::voice::tunings::Tunings;
use crate::proto::audio::stream::Topic;
use crate::proto::time::Time;

/// Brings the packets that come by gossip before the machine.
#[derive(Debug)]
pub(crate) struct Exchange {
    tunings: Tunings,
    happenings: mpsc::Sender<Happening>,
    packet: usize,
    topics: usize,
    /// Topics whose packets come by gossip.
    subscribed: HashSet<Topic>,
    /// Topics that there is no room for. The next that is tuned tries again.
    waiting: BTreeSet<Topic>,
    held: Held,
    clock: Clock,
}

impl Exchange {
    pub(crate) fn new(
        tunings: Tunings,
        happenings: mpsc::Sender<Happening>,
        config: &VoiceNetConfig,
        clock: Clock,
    ) -> Self {
        let VoiceNetConfig { packet, topics, .. } = *config;
        let (subscribed, waiting) = (HashSet::new(), BTreeSet::new());
        let held = Held::new(config);
        Self { tunings, happenings, packet, topics, subscribed, waiting, held, clock }
    }

    /// When to call [`Self::look`] next.
    pub(crate) const fn next_look(&self) -> Option<Time> {
        self.held.due()
    }

    /// Lets go on what has waited long enough.
    pub(crate) fn look(&mut self, gossip: &mut Gossip) {
        if self.held.due().is_some_and(|due| due <= self.clock.now()) {
            self.held.release(gossip);
        }
    }

    /// A packet that came otherwise is to go to all who have the topic by gossip.
    pub(crate) fn say(&mut self, gossip: &mut Gossip, topic: Topic, packet: Bytes) {
        self.pass(gossip, topic, Passed::Publish(topic, packet));
    }

    /// One that came by gossip is to go on.
    pub(crate) fn forward(&mut self, gossip: &mut Gossip, topic: Topic, claim: Claim) {
        self.pass(gossip, topic, Passed::Forward(claim));
    }

    fn pass(&mut self, gossip: &mut Gossip, topic: Topic, passed: Passed) {
        if self.held.push(topic, passed, self.clock.now()) {
            self.held.release(gossip);
        }
    }

    /// Subscribes to topics whose speakers have no datagrams, and to no others: everybody who is
    /// connected is told of each.
    pub(crate) fn tune(&mut self, gossip: &mut Gossip) {
        for connection in self.tunings.take_ended() {
            gossip.part(connection);
        }
        let waiting = std::mem::take(&mut self.waiting);
        for topic in self.tunings.take_changed().into_iter().chain(waiting) {
            let by_gossip = matches!(self.tunings.speaker(topic), Some((_, None)));
            if !by_gossip {
                if self.subscribed.remove(&topic) {
                    gossip.unsubscribe(topic);
                }
            } else if self.subscribed.contains(&topic) {
                // It is heard.
            } else if self.subscribed.len() < self.topics {
                self.subscribed.insert(topic);
                gossip.subscribe(topic);
            } else if self.waiting.insert(topic) {
                tracing::warn!(%topic, limit = self.topics, "no room for another topic of gossip");
            }
        }
    }

    /// A packet came by gossip: to be judged by the machine if it is its source's to publish, else
    /// rejected.
    pub(crate) fn on_packet(
        &self,
        gossip: &mut Gossip,
        (from, topic): (Source, Topic),
        packet: Bytes,
        claim: Claim,
    ) {
        let fits = packet.len() <= self.packet;
        let link = self.tunings.link(from.connection).filter(|link| {
            let speaker = self.tunings.speaker(topic);
            fits && speaker.is_some_and(|(speaker, _)| speaker == *link)
        });
        let Some(link) = link else { return gossip.reject(&claim) };
        let spoken = Happening::Spoken { link, topic, packet, claim: Some(claim.clone()) };
        if self.happenings.try_send(spoken).is_err() {
            // The machine has no time for it.
            gossip.judge(&claim, false);
        }
    }
}
