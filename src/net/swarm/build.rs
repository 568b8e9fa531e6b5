//! How a swarm is put together: transports, protocols, limits.

use std::io;
use std::net::{IpAddr, TcpListener};
use std::time::Duration;

use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::core::Transport;
use libp2p::core::transport::OptionalTransport;
use libp2p::core::upgrade;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::relay::client;
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{Multiaddr, Swarm, SwarmBuilder, dcutr, identify, noise, ping, relay, swarm, tcp};
use thiserror::Error;

use crate::net::admission::Admission;
use crate::net::behaviour::Lanes;
use crate::net::clock::Clock;
use crate::net::config::{CircuitConfig, NetConfig, RelayNetConfig};
use crate::net::cork::Corked;
use crate::net::direct::{Circle, Neighbours};
use crate::net::quic::{QuicTransport, Shelf};
use crate::net::voice::Gossip;

/// What identify calls this protocol.
const PROTOCOL: &str = "/parlor/2";

/// How long a ping may be unanswered. libp2p's default; nothing hangs on it.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// The most dials at once of a client: one for each transport and a few that are dying.
const CLIENT_DIALS: u32 = 8;

/// The most connections with a member at once.
const CONNECTIONS: u32 = 3;

/// Why a swarm could not be put together.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct BuildError(String);

/// Everything that a swarm does. Those that refuse connections come first: gossipsub does not forget
/// one that is refused after it.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    limits: connection_limits::Behaviour,
    admission: Toggle<Admission>,
    pub(super) lanes: Lanes,
    pub(super) neighbours: Toggle<Neighbours>,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    circuits: Toggle<relay::Behaviour>,
    client: Toggle<client::Behaviour>,
    upgrade: Toggle<dcutr::Behaviour>,
    pub(super) gossip: Gossip,
    pub(super) direct: Toggle<Gossip>,
}

impl Behaviour {
    pub(crate) fn client(
        keypair: &Keypair,
        config: &NetConfig,
        shelf: Shelf,
        gossip: Gossip,
        (circle, direct): (Circle, Gossip),
    ) -> (Self, Option<client::Transport>) {
        let on = config.direct.as_ref();
        // A circuit and what comes in its place, and one that is dying.
        let links = on.map_or(0, |on| u32::try_from(on.links).unwrap_or(u32::MAX));
        let links = links.saturating_mul(CONNECTIONS);
        let limits = ConnectionLimits::default()
            .with_max_pending_incoming(Some(links))
            .with_max_established_incoming(Some(links))
            .with_max_pending_outgoing(Some(CLIENT_DIALS.saturating_add(links)))
            .with_max_established_outgoing(Some(CLIENT_DIALS.saturating_add(links)));
        let me = keypair.public().to_peer_id();
        let circuits = on.filter(|on| on.circuits);
        let (transport, client) = circuits.map(|_| client::new(me)).unzip();
        let upgrade = circuits.map(|_| dcutr::Behaviour::new(me));
        let made = Self {
            limits: connection_limits::Behaviour::new(limits),
            admission: None.into(),
            lanes: Lanes::wanted(config.lanes, shelf),
            neighbours: on.map(|on| Neighbours::new(circle, on.links)).into(),
            identify: identify(keypair, true),
            ping: ping(config),
            circuits: None.into(),
            client: client.into(),
            upgrade: upgrade.into(),
            gossip,
            direct: on.map(|_| direct).into(),
        };
        (made, transport)
    }

    pub(crate) fn relay(
        keypair: &Keypair,
        config: &RelayNetConfig,
        clock: Clock,
        shelf: Shelf,
        gossip: Gossip,
    ) -> Self {
        let limits = ConnectionLimits::default()
            .with_max_pending_incoming(Some(config.pending))
            .with_max_pending_outgoing(Some(0))
            .with_max_established_incoming(Some(config.connections))
            .with_max_established_outgoing(Some(0))
            .with_max_established(Some(config.connections))
            .with_max_established_per_peer(Some(config.per_peer));
        let circuits = config.circuits.as_ref().map(|circuits| {
            relay::Behaviour::new(keypair.public().to_peer_id(), circuit_limits(circuits))
        });
        Self {
            limits: connection_limits::Behaviour::new(limits),
            admission: Some(Admission::new(clock, config)).into(),
            lanes: Lanes::new(config.net.lanes, shelf),
            neighbours: None.into(),
            identify: identify(keypair, false),
            ping: ping(&config.net),
            circuits: circuits.into(),
            client: None.into(),
            upgrade: None.into(),
            gossip,
            direct: None.into(),
        }
    }

    pub(crate) fn has_circuits(&self) -> bool {
        self.circuits.is_enabled()
    }
}

/// A swarm over QUIC, TCP and WebSocket, whose connections leave their datagrams on `shelf`; and over
/// the circuits of a relay, if it has any. Must be called within a tokio runtime.
pub(crate) async fn swarm<B: NetworkBehaviour>(
    keypair: Keypair,
    (behaviour, circuits): (B, Option<client::Transport>),
    config: &NetConfig,
    shelf: Shelf,
) -> Result<Swarm<B>, BuildError> {
    let streams = config.yamux_streams;
    let muxer = move || Corked::new(streams);
    // Who takes no datagrams may send none either: nobody looks at this one.
    let shelf = if config.datagrams_unread > 0 { shelf } else { Shelf::default() };
    let quic = QuicTransport::new(&keypair, config, shelf).map_err(build_error)?;
    let circuits = match circuits {
        Some(circuits) => OptionalTransport::some(
            circuits
                .upgrade(upgrade::Version::V1)
                .authenticate(noise::Config::new(&keypair).map_err(build_error)?)
                .multiplex(muxer()),
        ),
        None => OptionalTransport::none(),
    };
    let swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, muxer)
        .map_err(build_error)?
        .with_other_transport(|_| quic)
        .map_err(build_error)?
        .with_other_transport(|_| circuits)
        .map_err(build_error)?
        .with_dns()
        .map_err(build_error)?
        .with_websocket(noise::Config::new, muxer)
        .await
        .map_err(build_error)?
        .with_behaviour(|_| behaviour)
        .map_err(build_error)?
        .with_swarm_config(|swarm| limits(swarm, config))
        .with_connection_timeout(config.connect)
        .build();
    Ok(swarm)
}

/// Whether `address` stands for every address of this computer.
pub(crate) fn is_unspecified(address: &Multiaddr) -> bool {
    match address.iter().next() {
        Some(Protocol::Ip4(address)) => address.is_unspecified(),
        Some(Protocol::Ip6(address)) => address.is_unspecified(),
        _ => false,
    }
}

/// Fails if the TCP port of `address` is in use.
///
/// libp2p listens with `SO_REUSEPORT`, so that two relays at one port would share the connections
/// without a word. The socket that finds this out is closed at once.
pub(crate) fn refuse_taken(address: &Multiaddr) -> io::Result<()> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next() {
        Some(Protocol::Ip4(ip)) => ip.into(),
        Some(Protocol::Ip6(ip)) => ip.into(),
        _ => return Ok(()),
    };
    match parts.next() {
        Some(Protocol::Tcp(port @ 1..)) => TcpListener::bind((ip, port)).map(drop),
        _ => Ok(()),
    }
}

fn limits(swarm: swarm::Config, config: &NetConfig) -> swarm::Config {
    swarm
        .with_idle_connection_timeout(config.idle_connection)
        .with_max_negotiating_inbound_streams(config.negotiating_streams)
}

fn identify(keypair: &Keypair, hide: bool) -> identify::Behaviour {
    let config = identify::Config::new(PROTOCOL.to_owned(), keypair.public())
        .with_agent_version(format!("parlor/{}", env!("CARGO_PKG_VERSION")))
        .with_hide_listen_addrs(hide)
        .with_cache_size(0);
    identify::Behaviour::new(config)
}

fn ping(config: &NetConfig) -> ping::Behaviour {
    let ping = ping::Config::new().with_interval(config.ping).with_timeout(PING_TIMEOUT);
    ping::Behaviour::new(ping)
}

/// Every field is stated: libp2p's defaults end a circuit after 2 minutes or 128 KiB.
fn circuit_limits(config: &CircuitConfig) -> relay::Config {
    let seconds = Duration::from_secs(u64::from(u32::MAX));
    relay::Config {
        max_reservations: config.reservations,
        max_reservations_per_peer: config.reservations_per_peer,
        reservation_duration: config.reservation,
        reservation_rate_limiters: Vec::new(),
        max_circuits: config.circuits,
        max_circuits_per_peer: config.circuits_per_peer,
        max_circuit_duration: config.duration.min(seconds),
        max_circuit_bytes: config.bytes,
        circuit_src_rate_limiters: Vec::new(),
    }
    .reservation_rate_per_peer(config.per_peer, config.interval)
    .reservation_rate_per_ip(config.per_ip, config.interval)
    .circuit_src_per_peer(config.per_peer, config.interval)
    .circuit_src_per_ip(config.per_ip, config.interval)
}

pub(super) fn build_error(error: impl std::fmt::Display) -> BuildError {
    BuildError(error.to_string())
}
