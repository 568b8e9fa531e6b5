//! Addresses of relays, as people write them.

use std::fmt;
use std::str::FromStr;

use libp2p::Multiaddr;
use libp2p::multiaddr::{Error, Protocol};
use thiserror::Error;

use crate::net::identity::peer_from_libp2p;
use crate::proto::id::PeerId;

/// Where a relay is, such as `/ip4/192.0.2.1/udp/4433/quic-v1/p2p/12D3KooW...`.
///
/// It begins with `/ip4/`, `/ip6/`, `/dns/`, `/dns4/` or `/dns6/`, goes on with `/udp/PORT/quic-v1`
/// (best), `/tcp/PORT`, `/tcp/PORT/ws` or `/tcp/PORT/wss`, and may end with `/p2p/ID`: then only the
/// relay with this id is accepted there. `/dnsaddr/NAME` stands for the addresses that the name's
/// records hold.
#[derive(Clone, PartialEq, Eq)]
pub struct RelayAddress {
    address: Multiaddr,
    transport: Transport,
    relay: Option<PeerId>,
}

/// In the order in which they are tried.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Transport {
    Quic,
    Tcp,
    WebSocket,
}

/// Why a text is not a relay's address. The text says what a good one looks like.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It is no multiaddress at all.
    #[error("`{address}` is not an address ({why}): {EXAMPLE}")]
    Malformed {
        /// The text.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// It is one that relays do not have.
    #[error("`{address}` is not a relay's address: {EXAMPLE}")]
    NotARelay {
        /// The text.
        address: String,
    },
    /// The id at its end is not that of an ed25519 key.
    #[error("the id in `{address}` is not a relay's: those begin with 12D3KooW")]
    NotEd25519 {
        /// The text.
        address: String,
    },
}

const EXAMPLE: &str = "write it like /ip4/192.0.2.1/udp/4433/quic-v1/p2p/12D3KooW..., \
     or with /dns/NAME in front, or with /tcp/4433 or /tcp/4434/ws for the transport";

impl RelayAddress {
    /// The id that the relay must have, if the address says so.
    #[must_use]
    pub const fn relay(&self) -> Option<PeerId> {
        self.relay
    }

    pub(crate) const fn transport(&self) -> Transport {
        self.transport
    }

    /// The same as [`Self::relay`], as libp2p has it.
    pub(crate) fn as_libp2p_peer(&self) -> Option<libp2p::PeerId> {
        match self.address.iter().last() {
            Some(Protocol::P2p(peer)) => Some(peer),
            _ => None,
        }
    }

    pub(crate) const fn as_multiaddr(&self) -> &Multiaddr {
        &self.address
    }
}

impl FromStr for RelayAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let address: Multiaddr = text.parse().map_err(|why: Error| AddressError::Malformed {
            address: text.to_owned(),
            why: why.to_string(),
        })?;
        let mut parts: Vec<Protocol<'_>> = address.iter().collect();
        let relay = match parts.last() {
            Some(Protocol::P2p(peer)) => Some(
                peer_from_libp2p(peer)
                    .ok_or_else(|| AddressError::NotEd25519 { address: text.to_owned() })?,
            ),
            _ => None,
        };
        if relay.is_some() {
            parts.pop();
        }
        let transport = transport(&parts)
            .ok_or_else(|| AddressError::NotARelay { address: text.to_owned() })?;
        Ok(Self { address, transport, relay })
    }
}

impl fmt::Display for RelayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl fmt::Debug for RelayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

fn transport(parts: &[Protocol<'_>]) -> Option<Transport> {
    use Protocol::{Dns, Dns4, Dns6, Dnsaddr, Ip4, Ip6, QuicV1, Tcp, Tls, Udp, Ws, Wss};

    let (host, rest) = parts.split_first()?;
    match (host, rest) {
        // What it stands for is not known yet.
        (Dnsaddr(_), []) => Some(Transport::Quic),
        (Ip4(_) | Ip6(_) | Dns(_) | Dns4(_) | Dns6(_), rest) => match rest {
            [Udp(1..), QuicV1] => Some(Transport::Quic),
            [Tcp(1..)] => Some(Transport::Tcp),
            [Tcp(1..), Ws(_) | Wss(_)] | [Tcp(1..), Tls, Ws(_)] => Some(Transport::WebSocket),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::id::Identity;

    fn parse(text: &str) -> Result<RelayAddress, AddressError> {
        text.parse()
    }

    #[test]
    fn good_addresses_are_taken_with_and_without_an_id() {
        let peer = Identity::from_seed([1; 32]).peer();
        for (text, transport) in [
            ("/ip4/127.0.0.1/udp/4433/quic-v1", Transport::Quic),
            ("/ip6/::1/tcp/4433", Transport::Tcp),
            ("/dns/relay.example.org/tcp/4434/ws", Transport::WebSocket),
            ("/dns4/relay.example.org/tcp/443/wss", Transport::WebSocket),
            ("/dnsaddr/relay.example.org", Transport::Quic),
        ] {
            let address = parse(text).unwrap();
            assert_eq!(address.transport(), transport);
            assert_eq!(address.relay(), None);
            let address = parse(&format!("{text}/p2p/{peer}")).unwrap();
            assert_eq!(address.transport(), transport);
            assert_eq!(address.relay(), Some(peer));
        }
    }

    #[test]
    fn bad_addresses_say_what_a_good_one_looks_like() {
        for text in [
            "",
            "relay.example.org:4433",
            "/ip4/127.0.0.1",
            "/ip4/127.0.0.1/tcp/0",
            "/ip4/127.0.0.1/udp/4433",
            "/ip4/127.0.0.1/tcp/4433/quic-v1",
            "/ip4/127.0.0.1/tcp/4433/p2p-circuit",
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.to_string().contains("/udp/4433/quic-v1"), "{error}");
        }
        let other = "/ip4/127.0.0.1/tcp/1/p2p/QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC";
        let error = parse(other).unwrap_err();
        assert!(matches!(error, AddressError::NotEd25519 { .. }), "{error}");
    }
}
