//! What is said of voice: which streams are open, and who wants to hear whom. What is said itself is
//! in packets, which are no messages.

use serde::{Deserialize, Serialize};

use crate::proto::audio::stream::{StreamEnd, StreamError, StreamName, Topic};
use crate::proto::id::PeerId;
use crate::proto::wire::bounded::List;

/// What a peer says of its voice and of what it hears, since 2.5.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum VoiceAsked {
    /// A stream of mine is open; or open anew, if it was.
    Open {
        /// Which, from 0.
        number: u8,
        /// What tells this opening from others.
        epoch: u32,
        /// Whether I say nothing on it.
        muted: bool,
    },
    /// A stream of mine is closed.
    Close {
        /// Which.
        number: u8,
    },
    /// I say nothing on a stream of mine from now on, or something again.
    Mute {
        /// Which.
        number: u8,
        /// Whether I say nothing.
        muted: bool,
    },
    /// Whom I want to hear, whatever I said before.
    Hear(HearingRecord),
    /// How well I hear streams of others.
    Report(List<ReceptionRecord, 64>),
}

/// Whom a peer wants to hear.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HearingRecord {
    /// Nobody, for now.
    pub deaf: bool,
    /// Everybody but these, or nobody but these.
    pub all: bool,
    /// The exceptions, ascending.
    pub but: List<PeerId, 2_048>,
}

/// How well a peer hears a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReceptionRecord {
    /// Which.
    pub name: StreamName,
    /// How many of a hundred packets did not come, 0 to 100.
    pub lost: u8,
}

/// What a relay says of voice, since 2.5.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum VoiceTold {
    /// A stream is open.
    Opened(StreamRecord),
    /// A stream is not open any more.
    Closed {
        /// Which.
        name: StreamName,
        /// Why.
        why: StreamEnd,
    },
    /// The owner of a stream says nothing on it, or something again.
    Muted {
        /// Which.
        name: StreamName,
        /// Whether nothing is said.
        muted: bool,
    },
    /// Nobody hears a peer any more, because a moderator says so; or may again.
    Silenced {
        /// Whom.
        peer: PeerId,
        /// Whether nobody hears it.
        silenced: bool,
    },
    /// A stream of yours is not opened.
    Refused {
        /// Which.
        number: u8,
        /// Why.
        why: StreamError,
    },
    /// How the worst of those hears a stream of yours who say so.
    Reception {
        /// Which.
        number: u8,
        /// How many of a hundred packets did not come.
        lost: u8,
    },
    /// You may speak for so many seconds more.
    Expires {
        /// How many.
        seconds: u32,
    },
}

/// A stream that is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StreamRecord {
    /// Its name.
    pub name: StreamName,
    /// Whose it is.
    pub peer: PeerId,
    /// What its packets are published to.
    pub topic: Topic,
    /// What tells this opening from others.
    pub epoch: u32,
    /// Whether its owner says nothing on it.
    pub muted: bool,
}
