//! Why a room was disconnected: one enum, each reason with a class and words for a person.

mod service;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::service::{RequestError, Right, ServiceError};
use crate::proto::id::PeerId;
use crate::proto::token::TokenFault;

/// What a program should do about a [`Reason`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// It may work again without anything being changed.
    Retry,
    /// It will not work again as it is, and nobody made a mistake.
    DoNotRetry,
    /// The application or its configuration is wrong.
    ApplicationFault,
}

/// Why a room was disconnected, or why a try to join ended. The text says what to do.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum Reason {
    /// The application left.
    #[error("this application left the room")]
    Left,
    /// No link to the relay came about.
    #[error("the relay cannot be reached ({why}): check its address and the network")]
    Unreachable {
        /// What the transport says.
        why: String,
    },
    /// The link broke while it was in use.
    #[error("the link to the relay was lost")]
    Lost,
    /// The relay was not heard from.
    #[error("the relay was silent for {} s", silence.as_secs())]
    Silent {
        /// For how long.
        silence: Duration,
    },
    /// The relay did not let this peer in, in time.
    #[error("the relay did not answer the join within {} s", waited.as_secs())]
    JoinTimeout {
        /// For how long it was waited.
        waited: Duration,
    },
    /// The tries to reconnect are used up.
    #[error("gave up after {attempts} tries; the last one: {last}")]
    GaveUp {
        /// How many there were.
        attempts: u32,
        /// What became of the last one.
        last: Box<Self>,
    },
    /// The relay said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What the relay sent is not what the protocol allows.
    #[error("the relay broke the protocol ({what}): report this with both versions")]
    RelayFault {
        /// What was wrong.
        what: String,
    },
    /// An epoch began with something else here than at the relay. What it began with there is taken
    /// instead.
    #[error("the room's history was cut to something else at the relay than here")]
    EpochMismatch,
    /// The room's snapshot is larger than this peer accepts.
    #[error(
        "the room's snapshot has {size} bytes, over the limit of {limit}: raise `Limits::snapshot`"
    )]
    SnapshotTooLarge {
        /// The most bytes that this peer accepts.
        limit: u64,
        /// How many the relay offers.
        size: u64,
    },
}

impl Reason {
    /// What a program should do about it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Unreachable { .. }
            | Self::Lost
            | Self::EpochMismatch
            | Self::Silent { .. }
            | Self::JoinTimeout { .. } => Class::Retry,
            Self::Left | Self::GaveUp { .. } | Self::RelayFault { .. } => Class::DoNotRetry,
            Self::SnapshotTooLarge { .. } => Class::ApplicationFault,
            Self::Refused(refusal) => refusal.class(),
        }
    }
}

/// Why a relay ends a link. Travels on the wire: variants are only added at the end.
#[derive(Clone, PartialEq, Eq, Debug, Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Refusal {
    /// The two speak different major versions of the protocol.
    #[error("this peer speaks protocol {peer}, the relay {relay}: update the older one")]
    VersionMismatch {
        /// The peer's version.
        peer: Version,
        /// The relay's version.
        relay: Version,
    },
    /// No application of this key is served here, or the key was not proved.
    #[error("the relay does not know this app key: check the key and the relay's address")]
    UnknownApp,
    /// The room has as many members as it may have.
    #[error("the room is full ({limit} members): try again later or join another")]
    RoomFull {
        /// How many it may have.
        limit: u32,
    },
    /// The relay has as many rooms as it may have.
    #[error("the relay is full ({limit} rooms): try again later or use another")]
    RelayFull {
        /// How many it may have.
        limit: u32,
    },
    /// The peer asked too often.
    #[error("too many requests: wait {retry_after_ms} ms before the next")]
    RateLimited {
        /// How long to wait.
        retry_after_ms: u32,
    },
    /// The peer did not read what it was sent.
    #[error("this peer read too slowly and was disconnected: it may come back and catch up")]
    SlowConsumer,
    /// The peer came in again by a newer link.
    #[error("this peer joined the room a second time; the older link was closed")]
    Replaced,
    /// The peer did not say what it wanted, in time.
    #[error("this peer did not join within the time that the relay allows")]
    HandshakeTimeout,
    /// The peer was not heard from.
    #[error("this peer was silent for too long")]
    Idle,
    /// A frame could not be decoded or came out of turn.
    #[error("the relay could not make sense of a message from this peer: update parlor")]
    BadMessage,
    /// A change was not the author's, or does not fit the document.
    #[error("the relay refused a change from this peer ({why}): report this with both versions")]
    BadChange {
        /// Which rule it broke.
        why: ChangeFault,
    },
    /// Something was larger than the relay takes.
    #[error("a message of {size} bytes is over the relay's limit of {limit}: send less at once")]
    TooLarge {
        /// The most that is taken.
        limit: u64,
        /// How much it was.
        size: u64,
    },
    /// The relay is going down.
    #[error("the relay is shutting down: it may be back soon")]
    ShuttingDown,
    /// No such room is open, or this peer may not know of it: the two are one answer.
    #[error("no such room is open, or this peer may not know of it: check its name, or open it")]
    NoSuchRoom,
    /// The room lets only those in who were invited.
    #[error("the room lets in who was invited: ask somebody inside for an invite")]
    NotInvited,
    /// The room has a password, and the peer does not know it.
    #[error("the room's password is another: ask somebody inside")]
    WrongPassword,
    /// The room is locked, or lets nobody in.
    #[error("the room lets nobody in now: ask its owner to open it")]
    Locked,
    /// The peer was put out.
    #[error("this peer was put out of the room, for {ban_s} s")]
    Kicked {
        /// For how long.
        ban_s: u32,
    },
    /// The peer was put out before, and the time is not over.
    #[error("this peer was put out of the room: it may come back in {retry_after_s} s")]
    Banned {
        /// For how much longer.
        retry_after_s: u32,
    },
    /// The peer's token is not good, or not any more, or there is none.
    #[error(transparent)]
    Token {
        /// Why.
        why: TokenFault,
    },
    /// The room that was to be opened cannot be.
    #[error("the room cannot be opened as it is asked for: {why}")]
    BadOpening {
        /// Why.
        why: ServiceError,
    },
    /// The application's own server does not let the peer in.
    #[error("the application's server does not let this peer in{}{message}", colon(message))]
    Unauthorised {
        /// Why, for people, in the server's words. May be empty.
        message: String,
        /// Why, for the application, in a form of its own.
        context: String,
    },
    /// The application's own server was to say whether the peer may come in, and did not.
    #[error("the application's server did not say whether this peer may come in: try again later")]
    Unanswered,
    /// The relay cannot open what it keeps of the room.
    #[error("the relay cannot read what it keeps of this room: tell who operates it")]
    Unreadable,
}

/// What stands before a server's words, if there are any.
const fn colon(message: &str) -> &'static str {
    if message.is_empty() { "" } else { ": " }
}

impl Refusal {
    /// What those are told who know no room service: that there is no place for them.
    pub(crate) fn of_old(self) -> Self {
        match self {
            Self::NoSuchRoom
            | Self::NotInvited
            | Self::WrongPassword
            | Self::Locked
            | Self::Kicked { .. }
            | Self::Banned { .. }
            | Self::Token { .. }
            | Self::BadOpening { .. }
            | Self::Unauthorised { .. }
            | Self::Unanswered
            | Self::Unreadable => Self::RoomFull { limit: 0 },
            Self::VersionMismatch { .. }
            | Self::UnknownApp
            | Self::RoomFull { .. }
            | Self::RelayFull { .. }
            | Self::RateLimited { .. }
            | Self::SlowConsumer
            | Self::Replaced
            | Self::HandshakeTimeout
            | Self::Idle
            | Self::BadMessage
            | Self::BadChange { .. }
            | Self::TooLarge { .. }
            | Self::ShuttingDown => self,
        }
    }

    /// What a program should do about it.
    #[must_use]
    pub const fn class(&self) -> Class {
        match self {
            Self::RoomFull { .. }
            | Self::RelayFull { .. }
            | Self::RateLimited { .. }
            | Self::SlowConsumer
            | Self::HandshakeTimeout
            | Self::Idle
            | Self::ShuttingDown
            | Self::Unanswered => Class::Retry,
            Self::Replaced
            | Self::NoSuchRoom
            | Self::NotInvited
            | Self::WrongPassword
            | Self::Locked
            | Self::Kicked { .. }
            | Self::Banned { .. }
            | Self::Token { .. }
            | Self::Unauthorised { .. }
            | Self::Unreadable => Class::DoNotRetry,
            Self::BadOpening { .. }
            | Self::VersionMismatch { .. }
            | Self::UnknownApp
            | Self::BadMessage
            | Self::BadChange { .. }
            | Self::TooLarge { .. } => Class::ApplicationFault,
        }
    }
}

/// Which rule a change broke. Travels on the wire: variants are only added at the end.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Error, Serialize, Deserialize,
)]
#[non_exhaustive]
pub enum ChangeFault {
    /// It is no automerge change, or its checksum is wrong.
    #[error("malformed")]
    Malformed,
    /// It has more bytes or operations than allowed.
    #[error("too large")]
    TooLarge,
    /// Its actor is not one of its author's.
    #[error("wrong actor")]
    WrongActor,
    /// It does not follow its author's last change.
    #[error("wrong sequence")]
    WrongSequence,
    /// It depends on changes that nobody sent.
    #[error("unknown dependency")]
    UnknownDependency,
    /// Its operations are not numbered as its dependencies require.
    #[error("wrong operation number")]
    WrongStart,
    /// Its author signed another change in its place.
    #[error("equivocation")]
    Equivocation,
    /// It is another peer's and not covered by that peer's signature.
    #[error("unproven author")]
    Unproven,
    /// A signature does not hold.
    #[error("bad signature")]
    BadSignature,
    /// Too many authors for one room.
    #[error("too many authors")]
    TooManyAuthors,
    /// The room takes no more changes.
    #[error("history is full")]
    HistoryFull,
    /// An operation is none that belongs into this document.
    #[error("wrong operation")]
    WrongOperation,
    /// An operation stands in an object or at an element that is not there.
    #[error("wrong place")]
    WrongPlace,
    /// An operation replaces what is not there, or what cannot be replaced.
    #[error("wrong predecessor")]
    WrongPredecessor,
    /// It grants ownership, and its author is not the relay whose grants they are.
    #[error("a forged grant")]
    Forged,
}

/// Why a claim was not granted, or an edit was taken back. Travels on the wire: variants are only
/// added at the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Denial {
    /// The model, or one that it is in, is another's.
    #[error("it belongs to {by}: claim it first, or ask its owner to let go")]
    Owned {
        /// Whose.
        by: PeerId,
    },
    /// Another claimed it first, and this peer had not seen that yet.
    #[error("{by} was first: claim it again to take it over")]
    Raced {
        /// Who.
        by: PeerId,
    },
    /// It was written before this peer knew that the model had meanwhile been another's.
    #[error("it changed hands while this was on its way: edit it again")]
    Outdated,
    /// Its owner does not let others take it.
    #[error("{by} does not let others take it: wait until it is released")]
    Protected {
        /// The owner.
        by: PeerId,
    },
    /// Only its first owner may own it.
    #[error("it is fixed to {by}, its first owner")]
    Fixed {
        /// The first owner.
        by: PeerId,
    },
    /// It changed hands just now.
    #[error("it changed hands just now: try again in {wait_ms} ms")]
    Cooling {
        /// How long it rests.
        wait_ms: u32,
    },
    /// The peer claims too much.
    #[error("too many claims: those of at most {limit} frames a second are answered")]
    TooOften {
        /// Of how many frames a second claims are answered.
        limit: u32,
    },
    /// Only its owner may let go of it or give it away.
    #[error("it is not this peer's to give")]
    NotOwner,
    /// The peer that it was given to is not in the room.
    #[error("{to} is not in the room")]
    Absent {
        /// To whom it was given.
        to: PeerId,
    },
    /// The room has as many owned models as it may have.
    #[error("the room has {limit} owned models and takes no more")]
    Full {
        /// How many it may have.
        limit: u32,
    },
    /// There is nothing to be owned.
    #[error("no model stands there: it was removed")]
    NoModel,
    /// A place was to be reserved at which something stands.
    #[error("something stands there already: use it, or remove it first")]
    Occupied,
    /// The peer's token does not let it write.
    #[error("this peer may read, and not write: ask for a token with the role `write`")]
    ReadOnly,
    /// A rule of the application's at the relay does not let it in.
    #[error("a rule of the application at the relay says no (code {code})")]
    Ruled {
        /// Which rule, by the application's own numbers; 0 if the rule itself failed.
        code: u32,
    },
}

impl Denial {
    /// What those are told who know no rules of applications.
    pub(crate) const fn of_old(self) -> Self {
        match self {
            Self::Ruled { .. } => Self::NotOwner,
            Self::Owned { .. }
            | Self::Raced { .. }
            | Self::Outdated
            | Self::Protected { .. }
            | Self::Fixed { .. }
            | Self::Cooling { .. }
            | Self::TooOften { .. }
            | Self::NotOwner
            | Self::Absent { .. }
            | Self::Full { .. }
            | Self::NoModel
            | Self::Occupied
            | Self::ReadOnly => self,
        }
    }
}

/// The minor version since which relays have the room service.
pub(crate) const SERVICE_SINCE: u16 = 4;

/// The minor version since which relays carry voices.
pub(crate) const VOICE_SINCE: u16 = 5;

/// The minor version since which relays say what they keep.
pub(crate) const KEEPING_SINCE: u16 = 6;

/// A version of the protocol. Equal majors understand each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Version {
    /// Raised when older peers can no longer take part.
    pub major: u16,
    /// Raised when something was added that older peers can ignore.
    pub minor: u16,
}

impl Version {
    /// What this crate speaks.
    pub const CURRENT: Self = Self { major: 2, minor: 6 };
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}
