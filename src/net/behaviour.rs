//! The lanes of every connection, as the swarm sees them.

use std::collections::{HashSet, VecDeque};
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::transport::PortUse;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use thiserror::Error;

use crate::net::handler::{Handler, Outcome};
use crate::net::identity::peer_from_libp2p;
use crate::net::quic::Shelf;
use crate::proto::id::{Lane, PeerId};

/// What became of the lanes of one connection.
#[derive(Debug)]
pub(crate) struct LanesEvent {
    /// Who is at the other end.
    pub(crate) peer: PeerId,
    /// Which connection.
    pub(crate) connection: ConnectionId,
    /// What became of them.
    pub(crate) outcome: Outcome,
}

/// Opens the lanes of connections that were dialed and accepts those of the others.
#[derive(Debug)]
pub(crate) struct Lanes {
    timeout: Duration,
    /// What is opened to those that were dialed: every lane, but in tests.
    to_open: &'static [Lane],
    /// The connections that are being dialed for a link; at a relay everybody's are for one.
    wanted: Option<HashSet<ConnectionId>>,
    /// Where connections leave their datagrams.
    shelf: Shelf,
    /// At most one for each connection.
    events: VecDeque<LanesEvent>,
}

impl Lanes {
    /// A connection has `timeout` to open its lanes. Its datagrams are on `shelf`, if it has any.
    pub(crate) fn new(timeout: Duration, shelf: Shelf) -> Self {
        Self { timeout, to_open: &Lane::ALL, wanted: None, shelf, events: VecDeque::new() }
    }

    /// The same, where connections are not for lanes unless that is [said](Self::want).
    pub(crate) fn wanted(timeout: Duration, shelf: Shelf) -> Self {
        Self { wanted: Some(HashSet::new()), ..Self::new(timeout, shelf) }
    }

    /// A connection is being dialed for a link.
    pub(crate) fn want(&mut self, connection: ConnectionId) {
        if let Some(wanted) = &mut self.wanted {
            wanted.insert(connection);
        }
    }
}

impl NetworkBehaviour for Lanes {
    type ConnectionHandler = Handler;
    type ToSwarm = LanesEvent;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: libp2p::PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        require_ed25519(peer)?;
        Ok(match self.wanted {
            None => Handler::listener(self.timeout, self.shelf.clone()),
            Some(_) => Handler::none(self.shelf.clone()),
        })
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: libp2p::PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        require_ed25519(peer)?;
        if self.wanted.as_mut().is_some_and(|wanted| !wanted.remove(&connection)) {
            return Ok(Handler::none(self.shelf.clone()));
        }
        Ok(Handler::dialer(self.to_open, self.timeout, self.shelf.clone()))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let (FromSwarm::DialFailure(failure), Some(wanted)) = (event, &mut self.wanted) {
            wanted.remove(&failure.connection_id);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: libp2p::PeerId,
        connection: ConnectionId,
        outcome: THandlerOutEvent<Self>,
    ) {
        // Others were denied when they connected.
        if let Some(peer) = peer_from_libp2p(&peer) {
            self.events.push_back(LanesEvent { peer, connection, outcome });
        }
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<LanesEvent, THandlerInEvent<Self>>> {
        match self.events.pop_front() {
            Some(event) => Poll::Ready(ToSwarm::GenerateEvent(event)),
            None => Poll::Pending,
        }
    }
}

fn require_ed25519(peer: libp2p::PeerId) -> Result<(), ConnectionDenied> {
    match peer_from_libp2p(&peer) {
        Some(_) => Ok(()),
        None => Err(ConnectionDenied::new(NotEd25519(peer))),
    }
}

#[derive(Debug, Error)]
#[error("{0} is not the id of an ed25519 key")]
struct NotEd25519(libp2p::PeerId);

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures::StreamExt;
    use libp2p::swarm::SwarmEvent;
    use libp2p::{Swarm, SwarmBuilder, noise, tcp, yamux};
    use tokio::task::JoinSet;
    use tokio::time::timeout;

    use super::*;
    use crate::net::config::RelayNetConfig;
    use crate::net::relay::{Machine, Relay};
    use crate::proto::event::{Effect, Input};
    use crate::proto::id::Identity;
    use crate::proto::time::Time;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[derive(Debug, Default)]
    struct Listens(Arc<Mutex<Vec<Input>>>);

    impl Machine for Listens {
        fn handle(&mut self, _: Time, input: Input) {
            self.0.lock().unwrap().push(input);
        }
        fn tick(&mut self, _: Time) {}
        fn poll_effect(&mut self) -> Option<Effect> {
            None
        }
        fn poll_timeout(&mut self) -> Option<Time> {
            None
        }
    }

    /// A relay that gives a connection half a second for its lanes, and what it hears.
    async fn relay(tasks: &mut JoinSet<()>) -> (Multiaddr, Arc<Mutex<Vec<Input>>>) {
        let machine = Listens::default();
        let heard = Arc::clone(&machine.0);
        let mut config = RelayNetConfig::default();
        config.net.lanes = Duration::from_millis(500);
        let identity = Identity::from_seed([1; 32]);
        let relay =
            Relay::bind(&identity, &["/ip4/127.0.0.1/tcp/0"], config, machine).await.unwrap();
        let address = relay.addresses()[0].parse().unwrap();
        tasks.spawn(async move {
            relay.run(std::future::pending()).await;
        });
        (address, heard)
    }

    /// A stranger that opens `lanes` to `address`.
    fn stranger(lanes: &'static [Lane], address: Multiaddr) -> Swarm<Lanes> {
        let mut behaviour = Lanes::new(PATIENCE, Shelf::default());
        behaviour.to_open = lanes;
        let mut swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_behaviour(|_| behaviour)
            .unwrap()
            .build();
        swarm.dial(address).unwrap();
        swarm
    }

    async fn until<T>(
        swarm: &mut Swarm<Lanes>,
        mut pick: impl FnMut(SwarmEvent<LanesEvent>) -> Option<T>,
    ) -> T {
        loop {
            if let Some(picked) = pick(swarm.select_next_some().await) {
                return picked;
            }
        }
    }

    #[tokio::test]
    async fn a_second_stream_of_a_lane_is_refused_and_the_link_is_up_once() {
        let mut tasks = JoinSet::new();
        let (address, heard) = relay(&mut tasks).await;
        let lanes = &[
            Lane::Control,
            Lane::Control,
            Lane::Document,
            Lane::Control,
            Lane::Snapshot,
            Lane::State,
        ];
        let mut swarm = stranger(lanes, address);
        let up = until(&mut swarm, |event| match event {
            SwarmEvent::Behaviour(event) => Some(event),
            _ => None,
        });
        let event = timeout(PATIENCE, up).await.unwrap();
        assert!(matches!(event.outcome, Outcome::Up(_)), "{event:?}");
        // Long enough for the relay to find fault with it.
        let more = until(&mut swarm, |_| None::<()>);
        timeout(Duration::from_secs(1), more).await.unwrap_err();
        let heard = heard.lock().unwrap().clone();
        assert!(matches!(heard[..], [Input::Connected { .. }]), "{heard:?}");
    }

    #[tokio::test]
    async fn who_does_not_open_every_lane_is_disconnected_and_never_heard_of() {
        let mut tasks = JoinSet::new();
        let (address, heard) = relay(&mut tasks).await;
        let mut swarm = stranger(&[Lane::Control, Lane::Document], address);
        let closed = until(&mut swarm, |event| {
            matches!(event, SwarmEvent::ConnectionClosed { .. }).then_some(())
        });
        timeout(PATIENCE, closed).await.unwrap();
        assert!(heard.lock().unwrap().is_empty());
    }
}
