//! What an application is told of voices.

use std::time::Duration;

use crate::proto::audio::packet::Level;
use crate::proto::audio::stream::{Stream, StreamEnd, StreamError, StreamName};
use crate::proto::id::PeerId;
use crate::proto::reason::Reason;

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
        /// Why; nothing, if this peer has lost its link, or the direct one by which the stream went on.
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
    /// This peer takes part in voice, as it asked to: it hears whom it wants to hear, and its streams are
    /// opened.
    Joined {
        /// Whether it had to come back.
        how: VoiceJoin,
    },
    /// This peer does not take part in voice any more, or not for now.
    Left {
        /// Why.
        why: VoiceLeave,
    },
    /// How loud every stream was of which something came since the last time, this peer's own too: at
    /// most one each. Of these, only the last that was not read is kept.
    Levels(Vec<StreamLevel>),
    /// Somebody begins to speak, or does not speak any more. It may be this peer.
    Speaking {
        /// On which stream.
        name: StreamName,
        /// Whose that is.
        peer: PeerId,
        /// Whether something is said.
        speaking: bool,
    },
}

/// How loud a stream was for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamLevel {
    /// Which.
    pub name: StreamName,
    /// Whose it is.
    pub peer: PeerId,
    /// The mean power of its frames, in dBov, and whether any was taken for voice.
    pub level: Level,
}

/// How a peer came to take part in voice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VoiceJoin {
    /// It asked to.
    First,
    /// It is back after a link was lost, with all that it said before: its streams, whether they are
    /// muted, and whom it hears.
    Again,
}

/// Why a peer does not take part in voice any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum VoiceLeave {
    /// It asked to leave, or never got in before it did.
    Asked,
    /// Its link was lost. Another is tried, and [`VoiceEvent::Joined`] says when it is back. Meanwhile it
    /// hears those, and is heard by those, who have direct links with it.
    Disconnected {
        /// Why the link ended.
        reason: Reason,
    },
    /// The relay carries no voice: it is older than protocol 2.5. This peer is in the room all the same,
    /// and [`VoiceEvent::Joined`] says so if it comes to a relay that does.
    Unsupported,
    /// The room is over for this peer: it comes back only if the room goes online anew.
    RoomOver {
        /// Why.
        reason: Reason,
    },
}
