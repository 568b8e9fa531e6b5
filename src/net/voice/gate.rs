//! Whom gossip has to do with, and what each may subscribe to.

use libp2p::swarm::ConnectionId;

use crate::net::direct::Circle;
use crate::net::voice::tunings::Tunings;
use crate::proto::audio::stream::Topic;
use crate::proto::id::PeerId;

/// Which of the gossips of voice it is. Each has a protocol of its own and its own connections.
#[derive(Clone, Debug)]
pub(crate) enum Gate {
    /// A relay's, with everybody: who is linked has what the account says.
    Relay(Tunings),
    /// A client's with its relay: with everybody who is no member. It lets the relay subscribe to any
    /// topic, for that is how it learns what it may publish to, and takes whatever that sends.
    Client(Tunings, Circle),
    /// A client's with members that it has direct links with. They may subscribe to what is its own.
    Direct(Circle),
}

impl Gate {
    /// What the protocol is called when a stream is opened. What goes over it is gossipsub 1.1.
    pub(super) const fn protocol(&self) -> &'static str {
        match self {
            Self::Relay(_) | Self::Client(..) => "/parlor/2/voice",
            Self::Direct(_) => "/parlor/2/direct",
        }
    }

    /// Whether messages of the other end are counted, and its subscriptions looked at.
    pub(super) const fn is_strict(&self) -> bool {
        match self {
            Self::Relay(_) | Self::Direct(_) => true,
            Self::Client(..) => false,
        }
    }

    /// Whether the other end has lists of topics that were open before.
    pub(super) const fn hears_lists(&self) -> bool {
        matches!(self, Self::Client(..))
    }

    /// Whether a connection is one for it.
    pub(super) fn takes(&self, peer: PeerId, is_relayed: bool) -> bool {
        match self {
            Self::Relay(_) => true,
            Self::Client(_, circle) => !circle.is_member(peer),
            Self::Direct(circle) => !is_relayed && circle.is_member(peer),
        }
    }

    /// Whether who is at the other end of a connection may subscribe to a topic.
    pub(super) fn admits(&self, connection: ConnectionId, topic: Topic) -> bool {
        match self {
            Self::Relay(tunings) => tunings.admit(connection, topic),
            Self::Client(..) => true,
            Self::Direct(circle) => circle.admits(topic),
        }
    }

    /// Whether there is more to hear of a connection than of a stranger's.
    pub(super) fn is_linked(&self, connection: ConnectionId) -> bool {
        match self {
            Self::Relay(tunings) | Self::Client(tunings, _) => tunings.link(connection).is_some(),
            Self::Direct(_) => true,
        }
    }

    /// A connection has nothing to do with gossip any more.
    pub(super) fn gone(&self, connection: ConnectionId) {
        match self {
            Self::Relay(tunings) | Self::Client(tunings, _) => tunings.gone(connection),
            Self::Direct(_) => {}
        }
    }
}
