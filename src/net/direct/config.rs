//! Limits and times of direct links.

use std::time::Duration;

use crate::net::address::RelayAddress;

/// Where a peer listens for others: ports that the system chooses, on all of its addresses.
const LISTEN: [&str; 4] =
    ["/ip4/0.0.0.0/udp/0/quic-v1", "/ip4/0.0.0.0/tcp/0", "/ip6/::/udp/0/quic-v1", "/ip6/::/tcp/0"];

/// Links of a peer with other members of its room, by which voices go on while there is no relay: see
/// [`PeerConfig::alone`](crate::PeerConfig::alone).
///
/// Members who have such links come to know each other's addresses, those in their own networks too.
/// Nobody else does, and nobody else may connect.
#[derive(Clone, Debug, PartialEq)]
pub struct DirectConfig {
    /// Where it listens, as `/ip4/192.0.2.1/udp/4433/quic-v1` or `/ip4/192.0.2.1/tcp/4433`. What
    /// cannot be listened at is passed over, with a warning. By default at ports that the system
    /// chooses, QUIC and TCP, on all addresses.
    pub listen: Vec<String>,
    /// Addresses of peers, which end with `/p2p/ID`; others are passed over. They are dialed when the
    /// peer is in the room, by whichever of two has the smaller id: so both have to know each other's,
    /// where there are no circuits. None.
    pub peers: Vec<RelayAddress>,
    /// Whether members find each other by their relay's circuits, as far as that has any
    /// ([`RelayNetConfig::circuits`](crate::net::RelayNetConfig::circuits)). Yes.
    pub circuits: bool,
    /// The most peers that it has direct links with. With one more it has none. 32.
    pub links: usize,
    /// How long a circuit is kept until there is a direct link in its place. Then it is closed. 10 s.
    pub attempt: Duration,
    /// How long after an attempt that failed the next one is made, at first; each in a row after twice
    /// as long, up to 64 times. 1 s.
    pub again: Duration,
}

impl Default for DirectConfig {
    fn default() -> Self {
        Self {
            listen: LISTEN.map(str::to_owned).to_vec(),
            peers: Vec::new(),
            circuits: true,
            links: 32,
            attempt: Duration::from_secs(10),
            again: Duration::from_secs(1),
        }
    }
}
