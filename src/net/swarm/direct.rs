//! Direct links in the swarm's task.

use std::collections::{BTreeMap, BTreeSet};

use libp2p::Multiaddr;
use libp2p::core::transport::ListenerId;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::ConnectionId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};

use crate::net::address::RelayAddress;
use crate::net::config::NetConfig;
use crate::net::direct::{Attempts, DirectConfig, Met, Step};
use crate::net::identity::{peer_from_libp2p, peer_to_libp2p};
use crate::net::link::Happening;
use crate::net::swarm::Network;
use crate::net::swarm::voice::Side;
use crate::net::voice::{Came, GossipEvent};
use crate::proto::audio::stream::Topic;
use crate::proto::event::Input;
use crate::proto::id::PeerId;
use crate::proto::time::Time;

/// What a swarm has of direct links.
#[derive(Debug)]
pub(super) struct Direct {
    attempts: Attempts,
    config: DirectConfig,
    /// The relay whose circuits there are: as part of an address, by which connection it was linked,
    /// and where others reach this peer.
    relay: Option<(Multiaddr, ConnectionId, Option<ListenerId>)>,
    /// Topics whose packets come from their owners.
    subscribed: BTreeSet<Topic>,
    /// Who is near or not any more, and the machine does not know it yet.
    news: BTreeMap<PeerId, bool>,
}

impl Direct {
    /// Of a peer, if it has direct links.
    pub(super) fn new(me: PeerId, config: &NetConfig) -> Option<Self> {
        let config = config.direct.clone()?;
        let attempts = Attempts::new(me, config.clone());
        let (subscribed, news) = (BTreeSet::new(), BTreeMap::new());
        Some(Self { attempts, config, relay: None, subscribed, news })
    }

    /// When to call [`Network::look_after_direct`] next, if ever.
    pub(super) fn next_at(&self) -> Option<Time> {
        self.attempts.next_at()
    }

    pub(super) fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// What the machine is to be told next.
    pub(super) fn take_news(&mut self) -> Option<Happening> {
        let (peer, near) = self.news.pop_first()?;
        Some(Happening::Input(Input::Neighbour { peer, near }))
    }

    /// Whether a listener is where others reach this peer by the relay. It ends with the link.
    pub(super) fn is_at_relay(&self, listener: ListenerId) -> bool {
        self.relay.as_ref().is_some_and(|(_, _, at)| *at == Some(listener))
    }

    /// Where to dial a peer for the so many-th time: what the application named and circuits take turns.
    fn addresses(&self, peer: PeerId, count: u32) -> Vec<Multiaddr> {
        let named = self.config.peers.iter().filter(|address| address.relay() == Some(peer));
        let named: Vec<_> = named.map(|address| address.as_multiaddr().clone()).collect();
        let relay = self.relay.as_ref().filter(|_| self.config.circuits);
        let circuit = relay.map(|(at, ..)| at.clone().with(Protocol::P2p(peer_to_libp2p(peer))));
        match circuit {
            Some(circuit) if named.is_empty() || count % 2 == 1 => vec![circuit],
            Some(_) | None => named,
        }
    }
}

/// The part of a circuit's address that stands for a relay at `address`.
fn circuits_at(address: &RelayAddress, relay: PeerId) -> Multiaddr {
    let is_id = |part: &Protocol<'_>| matches!(part, Protocol::P2p(_));
    let at: Multiaddr = address.as_multiaddr().iter().filter(|part| !is_id(part)).collect();
    at.with(Protocol::P2p(peer_to_libp2p(relay))).with(Protocol::P2pCircuit)
}

impl Network {
    /// Listens for other members.
    pub(super) fn listen_directly(&mut self) {
        let Some(direct) = &self.direct else { return };
        for address in direct.config.listen.clone() {
            let listener = match address.parse::<Multiaddr>() {
                Ok(address) => self.swarm.listen_on(address).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = listener {
                tracing::warn!(%address, %error, "no direct links there");
            }
        }
    }

    /// A link with a relay is up, by a connection that was dialed at `address`.
    pub(super) fn begin_circuits(
        &mut self,
        relay: PeerId,
        connection: ConnectionId,
        address: &RelayAddress,
    ) {
        let Some(direct) = self.direct.as_mut().filter(|direct| direct.config.circuits) else {
            return;
        };
        let at = circuits_at(address, relay);
        let listener = self.swarm.listen_on(at.clone());
        let listener = listener.inspect_err(|error| tracing::debug!(%error, "no circuits")).ok();
        direct.relay = Some((at, connection, listener));
        direct.attempts.hurry(self.clock.now());
        self.look_after_direct();
    }

    /// A connection is over: it may have been the relay's.
    pub(super) fn end_circuits(&mut self, connection: ConnectionId) {
        let Some(direct) = &mut self.direct else { return };
        if let Some((_, _, listener)) = direct.relay.take_if(|(_, by, _)| *by == connection) {
            listener.into_iter().for_each(|listener| {
                self.swarm.remove_listener(listener);
            });
        }
    }

    /// Does what the machine said of direct links.
    pub(super) fn on_circle_changed(&mut self) {
        let Some(direct) = &mut self.direct else { return };
        let circle = &self.voice.circle;
        let (members, heard) = (circle.members(), circle.heard());
        direct.attempts.keep(&members, self.clock.now());
        let behaviour = self.swarm.behaviour_mut();
        if let Some(gossip) = behaviour.direct.as_mut() {
            for topic in direct.subscribed.difference(&heard) {
                gossip.unsubscribe(*topic);
            }
            for topic in heard.difference(&direct.subscribed) {
                gossip.subscribe(*topic);
            }
        }
        direct.subscribed = heard;
        let neighbours = behaviour.neighbours.as_ref();
        let others = neighbours.into_iter().flat_map(|neighbours| {
            let gone = neighbours.peers().filter(|peer| !members.contains(peer));
            gone.flat_map(|peer| neighbours.connections(peer))
        });
        for connection in others.collect::<Vec<_>>() {
            self.swarm.close_connection(connection);
        }
        self.look_after_direct();
    }

    /// Dials whom it is time to dial, and closes circuits that lead to nothing.
    pub(super) fn look_after_direct(&mut self) {
        let now = self.clock.now();
        while let Some(direct) = &mut self.direct
            && let Some(step) = direct.attempts.step(now)
        {
            let (peer, count) = match step {
                Step::Dial(peer, count) => (peer, count),
                Step::Close(peer) => {
                    self.close_circuits(peer);
                    continue;
                }
            };
            let addresses = direct.addresses(peer, count);
            if addresses.is_empty() {
                direct.attempts.failed(peer, now);
                continue;
            }
            tracing::debug!(?peer, ?addresses, "dialing a member");
            let options = DialOpts::peer_id(peer_to_libp2p(peer))
                .condition(PeerCondition::Always)
                .addresses(addresses)
                .build();
            direct.attempts.dialing(peer, options.connection_id());
            if let Err(error) = self.swarm.dial(options) {
                tracing::debug!(?peer, %error, "a member cannot be dialed");
                direct.attempts.failed(peer, now);
            }
        }
    }

    /// A dial came to nothing: it may have been a member's.
    pub(super) fn on_member_lost(&mut self, connection: ConnectionId) {
        if let Some(direct) = &mut self.direct {
            direct.attempts.lost(connection, self.clock.now());
            self.look_after_direct();
        }
    }

    pub(super) fn on_met(&mut self, met: Met) {
        let now = self.clock.now();
        let Some(direct) = &mut self.direct else { return };
        tracing::debug!(?met, "direct links");
        match met {
            Met::Circuit(peer) => direct.attempts.circuit(peer, now),
            Met::Near(peer) => {
                direct.attempts.near(peer, true, now);
                direct.news.insert(peer, true);
                // Packets must not take turns between connections.
                self.close_circuits(peer);
                self.close_spare(peer);
            }
            Met::Gone(peer) => {
                direct.attempts.near(peer, false, now);
                direct.news.insert(peer, false);
            }
        }
        self.look_after_direct();
    }

    fn close_circuits(&mut self, peer: PeerId) {
        let neighbours = self.swarm.behaviour().neighbours.as_ref();
        for connection in neighbours.map(|it| it.circuits(peer)).unwrap_or_default() {
            self.swarm.close_connection(connection);
        }
    }

    /// Of several direct connections one stays, by the word of the one whose id is smaller.
    fn close_spare(&mut self, peer: PeerId) {
        let me = peer_from_libp2p(self.swarm.local_peer_id());
        if me.is_none_or(|me| me > peer) {
            return;
        }
        let neighbours = self.swarm.behaviour().neighbours.as_ref();
        for connection in neighbours.map(|it| it.spare(peer)).unwrap_or_default() {
            self.swarm.close_connection(connection);
        }
    }

    /// A packet came by a direct link. It is taken if it is its source's own, and goes no further.
    pub(super) fn on_direct(&mut self, event: GossipEvent) {
        let GossipEvent { from, topic, came: Came::Packet(packet, claim) } = event else { return };
        if let Side::Leaf(leaf) = &self.voice.side
            && packet.len() <= self.config.voice.packet
            && let Some(topic) = self.voice.circle.hear(from.peer, topic)
        {
            leaf.desk().deliver(topic, &packet, self.clock.now());
        }
        if let Some(gossip) = self.swarm.behaviour_mut().direct.as_mut() {
            gossip.judge(&claim, false);
        }
    }

    /// Says a packet of this peer's own to those who are near and want it.
    pub(super) fn say_directly(&mut self, topic: Topic, packet: &[u8]) {
        if let Some(gossip) = self.swarm.behaviour_mut().direct.as_mut()
            && packet.len() <= self.config.voice.packet
            && let Some(topic) = self.voice.circle.speak(topic)
        {
            gossip.publish(topic, packet);
        }
    }
}
