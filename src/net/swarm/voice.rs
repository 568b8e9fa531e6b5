//! Voice in the swarm's task.

use libp2p::gossipsub::Event;
use tokio::sync::mpsc;

use crate::net::direct::Circle;
use crate::net::identity::peer_from_libp2p;
use crate::net::quic::Datagrams;
use crate::net::swarm::Network;
use crate::net::voice::{Exchange, Leaf, Listener, Listing, Outgoing, Tunings, VoiceLane};
use crate::proto::audio::stream::Topic;
use crate::proto::id::{Link, PeerId};
use crate::proto::time::Time;

/// What a swarm has of voice.
#[derive(Debug)]
pub(super) struct Voice {
    pub(super) side: Side,
    pub(super) tunings: Tunings,
    pub(super) circle: Circle,
    pub(super) outgoing: mpsc::Receiver<Outgoing>,
}

/// Which end of the star this is.
#[derive(Debug)]
pub(super) enum Side {
    /// A peer's.
    Leaf(Box<Leaf>),
    /// A relay's.
    Exchange(Exchange),
}

impl Voice {
    /// When to call [`Network::look_after_voice`] next, if ever.
    pub(super) fn next_at(&self) -> Option<Time> {
        match &self.side {
            Side::Leaf(leaf) => leaf.next_look(),
            Side::Exchange(_) => self.tunings.next_lapse(),
        }
    }
}

impl Network {
    /// Lists a link as up, and returns what carries its voice by datagram if it has any.
    pub(super) fn list(
        &self,
        link: Link,
        peer: PeerId,
        datagrams: Option<Datagrams>,
    ) -> (Listing, Option<VoiceLane>) {
        let tunings = &self.voice.tunings;
        let lane = datagrams.map(|datagrams| {
            let listener = match &self.voice.side {
                Side::Leaf(leaf) => Listener::Desk(leaf.desk().clone()),
                Side::Exchange(_) => Listener::Machine(self.happenings.clone()),
            };
            let to = (tunings.clone(), listener);
            VoiceLane::new(link, datagrams, &self.config, to, self.clock)
        });
        let (outbox, lane) = lane.unzip();
        (tunings.up(link, peer, outbox), lane)
    }

    /// Does what was tuned.
    pub(super) fn on_tuned(&mut self) {
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        match &mut self.voice.side {
            Side::Leaf(leaf) => leaf.tune(gossip),
            Side::Exchange(exchange) => exchange.tune(gossip),
        }
    }

    /// Does with packets what the driver, or who speaks, asks for.
    pub(super) fn on_outgoing(&mut self, outgoing: Outgoing) {
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        match (outgoing, &self.voice.side) {
            (Outgoing::Publish { topic, packet }, Side::Leaf(leaf)) => {
                leaf.say(gossip, topic, &packet);
                self.say_directly(topic, &packet);
            }
            (Outgoing::Publish { topic, packet }, Side::Exchange(_)) => {
                gossip.publish(topic, &packet);
            }
            (Outgoing::Accept(claim), _) => gossip.judge(&claim, true),
            (Outgoing::Ignore(claim), _) => gossip.judge(&claim, false),
        }
    }

    pub(super) fn look_after_voice(&mut self) {
        if let Side::Leaf(leaf) = &mut self.voice.side {
            leaf.look(&mut self.swarm.behaviour_mut().gossip);
            return;
        }
        let lapsed = self.voice.tunings.lapsed(self.clock.now());
        let connected: Vec<_> = self.swarm.connected_peers().copied().collect();
        for peer in connected {
            if peer_from_libp2p(&peer).is_some_and(|known| lapsed.contains(&known)) {
                tracing::warn!(%peer, "stays subscribed to what it is not to have");
                // An error means that it went by itself.
                self.swarm.disconnect_peer_id(peer).ok();
            }
        }
    }

    pub(super) fn on_gossip(&mut self, event: Event) {
        match event {
            Event::Message { propagation_source, message_id, message } => {
                let gossip = &mut self.swarm.behaviour_mut().gossip;
                match &self.voice.side {
                    Side::Leaf(leaf) => {
                        leaf.on_message(&propagation_source, &message);
                        // A star has no more hops.
                        gossip.forget(message_id, propagation_source);
                    }
                    Side::Exchange(exchange) => {
                        exchange.on_message(gossip, propagation_source, message_id, message);
                    }
                }
            }
            Event::Subscribed { peer_id, topic } => {
                if let Some((peer, topic)) = named(&peer_id, topic.as_str()) {
                    self.voice.tunings.subscribed(peer, topic);
                }
            }
            Event::Unsubscribed { peer_id, topic } => {
                if let Some((peer, topic)) = named(&peer_id, topic.as_str()) {
                    self.voice.tunings.unsubscribed(peer, topic);
                }
            }
            Event::GossipsubNotSupported { .. } | Event::SlowPeer { .. } => {}
        }
    }
}

fn named(peer: &libp2p::PeerId, topic: &str) -> Option<(PeerId, Topic)> {
    peer_from_libp2p(peer).zip(Topic::read(topic.as_bytes()))
}
