//! What an application is told of voices.

use std::time::Duration;

use crate::proto::audio::stream::{Stream, StreamEnd, StreamError, StreamName};
use crate::proto::id::PeerId;

/// What is another of the voices in a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum VoiceEvent {
    /// A member opened a stream, or had one open when this peer came in.
    Opened(Stream),
    /// A stream is not open any more.
    Closed {
        /// Which.
        name: StreamName,
        /// Whose it was.
        peer: PeerId,
        /// Why; nothing, if this peer has lost its link.
        why: Option<StreamEnd>,
    },
    /// A member says nothing on a stream any more, or something again.
    Muted {
        /// Which.
        name: StreamName,
        /// Whether nothing is said.
        muted: bool,
    },
    /// Nobody hears a peer any more, because a moderator says so; or may again.
    Silenced {
        /// Whom. It may be this peer.
        peer: PeerId,
        /// Whether nobody hears it.
        silenced: bool,
    },
    /// A stream of this peer is open at the relay: what it says is heard.
    Live {
        /// Which.
        number: u8,
    },
    /// A stream of this peer is not open at the relay any more, or was not opened.
    Refused {
        /// Which.
        number: u8,
        /// Why.
        why: StreamError,
    },
    /// How the worst of those hears a stream of this peer who say so: how many of a hundred packets do
    /// not arrive.
    Reception {
        /// Which.
        number: u8,
        /// How many.
        lost: u8,
    },
    /// This peer may not speak any more, soon: its application should bring it another token.
    Expires {
        /// In so long.
        after: Duration,
    },
}
