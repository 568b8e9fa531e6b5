//! Connections of members with each other, as the swarm sees them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::task::{Context, Poll};

use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::DeniedUpgrade;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::handler::ConnectionEvent;
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
    NetworkBehaviour, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use thiserror::Error;

use crate::net::direct::circle::Circle;
use crate::net::identity::peer_from_libp2p;
use crate::proto::id::PeerId;

/// What became of the connections with a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// The first direct one is there.
    Near(PeerId),
    /// The last direct one is gone.
    Gone(PeerId),
    /// There is a circuit to it.
    Circuit(PeerId),
}

/// Lets members connect, and nobody else, and keeps their connections while they are idle.
#[derive(Debug)]
pub(crate) struct Neighbours {
    circle: Circle,
    most: usize,
    links: BTreeMap<PeerId, Connections>,
    /// What is to be told: at most a few for each connection and each address that is listened at.
    events: VecDeque<ToSwarm<Met, Infallible>>,
}

#[derive(Debug, Default)]
struct Connections {
    direct: BTreeSet<ConnectionId>,
    circuits: BTreeSet<ConnectionId>,
}

#[derive(Clone, Copy, Debug, Error)]
enum NotTaken {
    #[error("it is no member of the room")]
    Stranger,
    #[error("there are as many direct links as may be")]
    TooMany,
}

impl Neighbours {
    /// Of a peer that has direct links with `most` others.
    pub(crate) fn new(circle: Circle, most: usize) -> Self {
        Self { circle, most, links: BTreeMap::new(), events: VecDeque::new() }
    }

    /// Who has connections with this peer, whether they may or not.
    pub(crate) fn peers(&self) -> impl Iterator<Item = PeerId> {
        self.links.keys().copied()
    }

    /// The circuits to a peer.
    pub(crate) fn circuits(&self, peer: PeerId) -> BTreeSet<ConnectionId> {
        self.links.get(&peer).map(|links| links.circuits.clone()).unwrap_or_default()
    }

    /// All connections with a peer.
    pub(crate) fn connections(&self, peer: PeerId) -> BTreeSet<ConnectionId> {
        let links = self.links.get(&peer);
        links.map(|links| &links.direct | &links.circuits).unwrap_or_default()
    }

    /// The direct connections with a peer beyond the first.
    pub(crate) fn spare(&self, peer: PeerId) -> BTreeSet<ConnectionId> {
        let links = self.links.get(&peer);
        links.map(|links| links.direct.iter().skip(1).copied().collect()).unwrap_or_default()
    }

    fn take(&self, peer: libp2p::PeerId) -> Result<(), NotTaken> {
        let peer = peer_from_libp2p(&peer).filter(|peer| self.circle.is_member(*peer));
        let peer = peer.ok_or(NotTaken::Stranger)?;
        if self.links.len() >= self.most && !self.links.contains_key(&peer) {
            return Err(NotTaken::TooMany);
        }
        Ok(())
    }

    fn on_established(&mut self, peer: PeerId, connection: ConnectionId, is_relayed: bool) {
        let links = self.links.entry(peer).or_default();
        if is_relayed {
            links.circuits.insert(connection);
            self.events.push_back(ToSwarm::GenerateEvent(Met::Circuit(peer)));
            return;
        }
        links.direct.insert(connection);
        // Of a second one, too: what is spare is closed then.
        self.events.push_back(ToSwarm::GenerateEvent(Met::Near(peer)));
    }

    fn on_closed(&mut self, peer: PeerId, connection: ConnectionId) {
        let Some(links) = self.links.get_mut(&peer) else { return };
        links.circuits.remove(&connection);
        let was_direct = links.direct.remove(&connection);
        if was_direct && links.direct.is_empty() {
            self.events.push_back(ToSwarm::GenerateEvent(Met::Gone(peer)));
        }
        if links.direct.is_empty() && links.circuits.is_empty() {
            self.links.remove(&peer);
        }
    }
}

/// Whether an address is that of a circuit.
pub(crate) fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}

impl NetworkBehaviour for Neighbours {
    type ConnectionHandler = Keep;
    type ToSwarm = Met;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: libp2p::PeerId,
        local: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.take(peer).map_err(ConnectionDenied::new)?;
        Ok(Keep(!is_relayed(local)))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: libp2p::PeerId,
        address: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        match self.take(peer) {
            Ok(()) => Ok(Keep(!is_relayed(address))),
            // It is the relay's; or a member's who has just left, and then soon idle.
            Err(NotTaken::Stranger) => Ok(Keep(false)),
            Err(why @ NotTaken::TooMany) => Err(ConnectionDenied::new(why)),
        }
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(up) => {
                let peer = peer_from_libp2p(&up.peer_id);
                if let Some(peer) = peer.filter(|peer| self.circle.is_member(*peer)) {
                    self.on_established(peer, up.connection_id, up.endpoint.is_relayed());
                }
            }
            FromSwarm::ConnectionClosed(down) => {
                if let Some(peer) = peer_from_libp2p(&down.peer_id) {
                    self.on_closed(peer, down.connection_id);
                }
            }
            FromSwarm::NewListenAddr(new) if !is_relayed(new.addr) => {
                // Who is in the same network finds this peer there.
                let candidate = new.addr.clone();
                self.events.push_back(ToSwarm::NewExternalAddrCandidate(candidate));
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: libp2p::PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Met, THandlerInEvent<Self>>> {
        match self.events.pop_front() {
            Some(event) => Poll::Ready(event),
            None => Poll::Pending,
        }
    }
}

/// Keeps a connection while nothing else does, or does not.
#[derive(Debug)]
pub(crate) struct Keep(bool);

impl ConnectionHandler for Keep {
    type FromBehaviour = Infallible;
    type ToBehaviour = Infallible;
    type InboundProtocol = DeniedUpgrade;
    type OutboundProtocol = DeniedUpgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<DeniedUpgrade> {
        SubstreamProtocol::new(DeniedUpgrade, ())
    }

    fn connection_keep_alive(&self) -> bool {
        self.0
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<DeniedUpgrade, (), Infallible>> {
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(&mut self, _: ConnectionEvent<'_, DeniedUpgrade, DeniedUpgrade>) {}
}
