//! Voice in the swarm's task.

use libp2p::swarm::ConnectionId;
use tokio::sync::mpsc;

use crate::net::direct::Circle;
use crate::net::quic::Datagrams;
use crate::net::swarm::Network;
use crate::net::voice::{
    Came, Exchange, GossipEvent, Leaf, Listener, Listing, Outgoing, Tunings, VoiceLane,
};
use crate::proto::id::Link;
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
    Exchange(Box<Exchange>),
}

impl Voice {
    /// When to call [`Network::look_after_voice`] next, if ever.
    pub(super) fn next_at(&self) -> Option<Time> {
        match &self.side {
            Side::Leaf(leaf) => leaf.next_look(),
            Side::Exchange(exchange) => {
                exchange.next_look().into_iter().chain(self.tunings.next_lapse()).min()
            }
        }
    }
}

impl Network {
    /// Lists a link as up, and returns what carries its voice by datagram if it has any.
    pub(super) fn list(
        &self,
        link: Link,
        connection: ConnectionId,
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
        (tunings.up(link, connection, outbox), lane)
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
        match (outgoing, &mut self.voice.side) {
            (Outgoing::Publish { topic, packet }, Side::Leaf(leaf)) => {
                leaf.say(gossip, topic, &packet);
                self.say_directly(topic, &packet);
            }
            (Outgoing::Publish { topic, packet }, Side::Exchange(exchange)) => {
                exchange.say(gossip, topic, packet);
            }
            (Outgoing::Accept { topic, claim }, Side::Exchange(exchange)) => {
                exchange.forward(gossip, topic, claim);
            }
            (Outgoing::Accept { claim, .. }, Side::Leaf(_)) => gossip.judge(&claim, true),
            (Outgoing::Ignore(claim), _) => gossip.judge(&claim, false),
        }
    }

    pub(super) fn look_after_voice(&mut self) {
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        match &mut self.voice.side {
            Side::Leaf(leaf) => return leaf.look(gossip),
            Side::Exchange(exchange) => exchange.look(gossip),
        }
        for connection in self.voice.tunings.lapsed(self.clock.now()) {
            tracing::warn!(?connection, "stays subscribed to what it is not to have");
            self.swarm.close_connection(connection);
        }
    }

    pub(super) fn on_gossip(&mut self, event: GossipEvent) {
        let GossipEvent { from, topic, came } = event;
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        match (came, &self.voice.side) {
            (Came::Packet(packet, claim), Side::Leaf(leaf)) => {
                leaf.on_packet(from.connection, topic, &packet);
                // A star has no more hops.
                gossip.judge(&claim, false);
            }
            (Came::Packet(packet, claim), Side::Exchange(exchange)) => {
                exchange.on_packet(gossip, (from, topic), packet, claim);
            }
            (Came::Subscribed, _) => self.voice.tunings.subscribed(from.connection, topic),
            (Came::Unsubscribed, _) => self.voice.tunings.unsubscribed(from.connection, topic),
        }
    }
}
