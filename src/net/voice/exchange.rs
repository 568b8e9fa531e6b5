//! A relay's side of voice.

use std::collections::HashSet;

use bytes::Bytes;
use libp2p::gossipsub::{Message, MessageId};
use tokio::sync::mpsc;

use crate::net::identity::peer_from_libp2p;
use crate::net::link::Happening;
use crate::net::voice::config::VoiceNetConfig;
use crate::net::voice::gossip::{Claim, Gossip};
use crate::net::voice::tunings::Tunings;
use crate::proto::audio::stream::Topic;

/// Brings the packets that come by gossip before the machine.
#[derive(Debug)]
pub(crate) struct Exchange {
    tunings: Tunings,
    happenings: mpsc::Sender<Happening>,
    packet: usize,
    topics: usize,
    /// Topics whose packets come by gossip.
    subscribed: HashSet<Topic>,
}

impl Exchange {
    pub(crate) fn new(
        tunings: Tunings,
        happenings: mpsc::Sender<Happening>,
        config: &VoiceNetConfig,
    ) -> Self {
        let VoiceNetConfig { packet, topics, .. } = *config;
        Self { tunings, happenings, packet, topics, subscribed: HashSet::new() }
    }

    /// Subscribes to topics whose speakers have no datagrams, and to no others: everybody who is
    /// connected is told of each.
    pub(crate) fn tune(&mut self, gossip: &mut Gossip) {
        for topic in self.tunings.take_changed() {
            let by_gossip = matches!(self.tunings.speaker(topic), Some((_, _, None)));
            if !by_gossip {
                if self.subscribed.remove(&topic) {
                    gossip.unsubscribe(topic);
                }
            } else if self.subscribed.len() >= self.topics {
                tracing::warn!(%topic, limit = self.topics, "no room for another topic of gossip");
            } else if self.subscribed.insert(topic) {
                gossip.subscribe(topic);
            }
        }
    }

    /// A message came by gossip: to be judged by the machine if it is its source's to publish, else
    /// rejected.
    pub(crate) fn on_message(
        &self,
        gossip: &mut Gossip,
        source: libp2p::PeerId,
        id: MessageId,
        message: Message,
    ) {
        let claim = Claim::new(id, source);
        let topic = Topic::read(message.topic.as_str().as_bytes());
        let said = peer_from_libp2p(&source).zip(topic).and_then(|(peer, topic)| {
            let (link, speaker, _) = self.tunings.speaker(topic)?;
            (speaker == peer && message.data.len() <= self.packet).then_some((link, topic))
        });
        let Some((link, topic)) = said else { return gossip.reject(&claim) };
        let packet = Bytes::from(message.data);
        let spoken = Happening::Spoken { link, topic, packet, claim: Some(claim.clone()) };
        if self.happenings.try_send(spoken).is_err() {
            // The machine has no time for it.
            gossip.judge(&claim, false);
        }
    }
}
