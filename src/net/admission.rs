//! How many connections, and how many new ones, an address may have.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::transport::PortUse;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use thiserror::Error;

use crate::net::clock::Clock;
use crate::net::config::RelayNetConfig;
use crate::proto::time::Time;

/// The least time between two searches for addresses that can be forgotten.
const SWEEP: Duration = Duration::from_secs(1);

/// Why a connection was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum NotAdmitted {
    /// The address has as many connections as it may.
    #[error("the address has too many connections")]
    TooMany,
    /// The address made too many in a short time.
    #[error("the address connects too often")]
    TooOften,
    /// Too many addresses are connected.
    #[error("too many addresses are connected")]
    TableFull,
}

/// An IPv4 address, or the 64 bits of an IPv6 address that a household has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Network(IpAddr);

impl Network {
    fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (!0 << 64)).into(),
        })
    }
}

#[derive(Debug)]
struct Entry {
    connections: u32,
    /// How many millionths of a new connection may be made at `since`.
    credit: u64,
    since: Time,
}

/// The counts for each address. Pure: the caller says what time it is.
#[derive(Debug)]
pub(crate) struct Limiter {
    per_address: u32,
    new_per_second: u32,
    new_burst: u32,
    addresses: usize,
    exempt_loopback: bool,
    entries: BTreeMap<Network, Entry>,
    swept: Option<Time>,
}

const MICRO: u64 = 1_000_000;

impl Limiter {
    pub(crate) fn new(config: &RelayNetConfig) -> Self {
        Self {
            per_address: config.per_address,
            new_per_second: config.new_per_second,
            new_burst: config.new_burst,
            addresses: config.addresses,
            exempt_loopback: config.exempt_loopback,
            entries: BTreeMap::new(),
            swept: None,
        }
    }

    /// Counts a new connection from `address`, which is to be [released](Self::release) in the end,
    /// or refuses it.
    pub(crate) fn admit(&mut self, now: Time, address: IpAddr) -> Result<(), NotAdmitted> {
        if self.is_exempt(address) {
            return Ok(());
        }
        let network = Network::of(address);
        if !self.entries.contains_key(&network) && !self.has_room(now) {
            return Err(NotAdmitted::TableFull);
        }
        let full = u64::from(self.new_burst) * MICRO;
        let rate = u64::from(self.new_per_second);
        let entry = self.entries.entry(network).or_insert(Entry {
            connections: 0,
            credit: full,
            since: now,
        });
        entry.refill(now, rate, full);
        if entry.connections >= self.per_address {
            return Err(NotAdmitted::TooMany);
        }
        if entry.credit < MICRO {
            return Err(NotAdmitted::TooOften);
        }
        entry.credit -= MICRO;
        entry.connections += 1;
        Ok(())
    }

    /// A connection that was admitted from `address` is over.
    pub(crate) fn release(&mut self, address: IpAddr) {
        if let Some(entry) = self.entries.get_mut(&Network::of(address)) {
            entry.connections = entry.connections.saturating_sub(1);
        }
    }

    fn is_exempt(&self, address: IpAddr) -> bool {
        self.exempt_loopback && address.to_canonical().is_loopback()
    }

    /// Whether one more address can be remembered, after forgetting those that look like new ones.
    fn has_room(&mut self, now: Time) -> bool {
        if self.entries.len() < self.addresses {
            return true;
        }
        // A search looks at every address, so an attacker with many of them gets one a second.
        if self.swept.is_none_or(|swept| now.since(swept) >= SWEEP) {
            self.swept = Some(now);
            let full = u64::from(self.new_burst) * MICRO;
            let rate = u64::from(self.new_per_second);
            self.entries.retain(|_, entry| {
                entry.refill(now, rate, full);
                entry.connections > 0 || entry.credit < full
            });
        }
        self.entries.len() < self.addresses
    }
}

impl Entry {
    fn refill(&mut self, now: Time, rate: u64, full: u64) {
        let micros = u64::try_from(now.since(self.since).as_micros()).unwrap_or(u64::MAX);
        let earned = micros.saturating_mul(rate);
        self.credit = self.credit.saturating_add(earned).min(full);
        self.since = now;
    }
}

/// The limiter at the door of a swarm: refuses before any handshake.
#[derive(Debug)]
pub(crate) struct Admission {
    clock: Clock,
    limiter: Limiter,
    /// Where each connection came from that the limiter has counted.
    admitted: BTreeMap<ConnectionId, IpAddr>,
}

impl Admission {
    pub(crate) fn new(clock: Clock, config: &RelayNetConfig) -> Self {
        Self { clock, limiter: Limiter::new(config), admitted: BTreeMap::new() }
    }

    fn release(&mut self, connection: ConnectionId) {
        if let Some(address) = self.admitted.remove(&connection) {
            self.limiter.release(address);
        }
    }
}

impl NetworkBehaviour for Admission {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let Some(address) = ip(remote) else {
            return Ok(());
        };
        if self.limiter.is_exempt(address) {
            return Ok(());
        }
        match self.limiter.admit(self.clock.now(), address) {
            Ok(()) => {
                self.admitted.insert(connection, address);
                Ok(())
            }
            Err(why) => {
                tracing::warn!(%address, %why, "refused a connection");
                Err(ConnectionDenied::new(why))
            }
        }
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: libp2p::PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: libp2p::PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ListenFailure(failure) => self.release(failure.connection_id),
            FromSwarm::ConnectionClosed(closed) => self.release(closed.connection_id),
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

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

/// The IP address in front of `address`.
fn ip(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(address) => Some(address.into()),
        Protocol::Ip6(address) => Some(address.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(change: impl FnOnce(&mut RelayNetConfig)) -> Limiter {
        let mut config = RelayNetConfig::default();
        change(&mut config);
        Limiter::new(&config)
    }

    fn at(micros: u64) -> Time {
        Time::from_micros(micros)
    }

    #[test]
    fn an_address_has_a_burst_and_then_a_rate() {
        let mut limiter = limiter(|config| config.per_address = 1_000);
        let address = IpAddr::from([192, 0, 2, 1]);
        for _ in 0..20 {
            assert_eq!(limiter.admit(at(0), address), Ok(()));
        }
        assert_eq!(limiter.admit(at(0), address), Err(NotAdmitted::TooOften));
        assert_eq!(limiter.admit(at(99_999), address), Err(NotAdmitted::TooOften));
        assert_eq!(limiter.admit(at(100_000), address), Ok(()));
        assert_eq!(limiter.admit(at(100_000), address), Err(NotAdmitted::TooOften));
        let other = IpAddr::from([192, 0, 2, 2]);
        assert_eq!(limiter.admit(at(100_000), other), Ok(()));
    }

    #[test]
    fn an_address_has_so_many_connections_at_once() {
        let mut limiter = limiter(|config| config.per_address = 2);
        let address = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(limiter.admit(at(0), address), Ok(()));
        assert_eq!(limiter.admit(at(0), address), Ok(()));
        assert_eq!(limiter.admit(at(0), address), Err(NotAdmitted::TooMany));
        limiter.release(address);
        assert_eq!(limiter.admit(at(0), address), Ok(()));
    }

    #[test]
    fn a_network_of_64_bits_is_one_address_and_mapped_ones_are_ipv4() {
        let mut limiter = limiter(|config| config.per_address = 1);
        assert_eq!(limiter.admit(at(0), "2001:db8::1".parse().unwrap()), Ok(()));
        assert_eq!(
            limiter.admit(at(0), "2001:db8::ffff:1".parse().unwrap()),
            Err(NotAdmitted::TooMany)
        );
        assert_eq!(limiter.admit(at(0), "2001:db8:0:1::1".parse().unwrap()), Ok(()));
        assert_eq!(limiter.admit(at(0), "192.0.2.1".parse().unwrap()), Ok(()));
        assert_eq!(
            limiter.admit(at(0), "::ffff:192.0.2.1".parse().unwrap()),
            Err(NotAdmitted::TooMany)
        );
    }

    #[test]
    fn loopback_is_exempt_only_when_asked_for() {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let mut strict = limiter(|config| config.per_address = 0);
        assert_eq!(strict.admit(at(0), loopback), Err(NotAdmitted::TooMany));
        let mut lenient = limiter(|config| {
            config.per_address = 0;
            config.exempt_loopback = true;
        });
        assert_eq!(lenient.admit(at(0), loopback), Ok(()));
    }

    #[test]
    fn the_table_forgets_who_is_quiet_and_is_bounded() {
        let mut limiter = limiter(|config| config.addresses = 2);
        let address = |last| IpAddr::from([192, 0, 2, last]);
        assert_eq!(limiter.admit(at(0), address(1)), Ok(()));
        assert_eq!(limiter.admit(at(0), address(2)), Ok(()));
        assert_eq!(limiter.admit(at(0), address(3)), Err(NotAdmitted::TableFull));
        limiter.release(address(1));
        // The search of a moment ago is not repeated yet.
        assert_eq!(limiter.admit(at(500_000), address(3)), Err(NotAdmitted::TableFull));
        assert_eq!(limiter.admit(at(1_000_000), address(3)), Ok(()));
    }
}
