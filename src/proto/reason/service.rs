//! Why what was asked of the room service is not done.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Reason, Version};
use crate::proto::id::PeerId;
use crate::proto::token::TokenFault;

/// Why a relay does not do what it was asked. Travels on the wire: variants are only added at the end.
#[derive(Clone, PartialEq, Eq, Debug, Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ServiceError {
    /// There is no such room, or who asks may not know of it: the two are one answer.
    #[error("no such room is open, or this peer may not know of it: check its name or id")]
    NoSuchRoom,
    /// Only some may do this.
    #[error("only {who} may do this: ask {who}")]
    NotAllowed {
        /// Who may.
        who: Right,
    },
    /// It is of a room, and who asks is in none.
    #[error("this peer is in no room: come into it first")]
    NotInRoom,
    /// It is of a member, and that one is not in the room.
    #[error("{peer} is not in the room")]
    NotMember {
        /// Who was meant.
        peer: PeerId,
    },
    /// That one is the owner already.
    #[error("{peer} is the owner already")]
    AlreadyOwner {
        /// The owner.
        peer: PeerId,
    },
    /// One does not do this to oneself.
    #[error("this peer cannot put itself out: let it leave")]
    Oneself,
    /// That one is not kept out.
    #[error("{peer} is not kept out")]
    NotBanned {
        /// Who was meant.
        peer: PeerId,
    },
    /// The invite is none, or is not good any more.
    #[error("this invite is not good, or not any more: ask for another")]
    NoSuchInvite,
    /// A text is too long.
    #[error("a text of {size} bytes is over the relay's limit of {limit}: shorten it")]
    TooLong {
        /// The most bytes.
        limit: u32,
        /// How many it has.
        size: u32,
    },
    /// There are as many as may be.
    #[error("there are {limit} already, and no more are kept: remove some first")]
    TooMany {
        /// How many may be.
        limit: u32,
    },
    /// No number that may be asked for.
    #[error("{number} is out of range: choose 1 to {limit}")]
    OutOfRange {
        /// The highest.
        limit: u32,
        /// What was asked for.
        number: u32,
    },
    /// It was asked too often.
    #[error("too many requests: wait {retry_after_ms} ms before the next")]
    RateLimited {
        /// How long to wait.
        retry_after_ms: u32,
    },
    /// The relay has as many rooms as it may have.
    #[error("the relay is full ({limit} rooms): try again later or use another")]
    RelayFull {
        /// How many it may have.
        limit: u32,
    },
    /// A text is longer than the protocol can say.
    #[error("a text is longer than can be said: shorten it")]
    Unsayable,
    /// A token is not good.
    #[error(transparent)]
    Token {
        /// Why.
        why: TokenFault,
    },
    /// A group's name is none.
    #[error("this is no group's name: a letter, then letters, digits, `-` and `_`, 32 at most")]
    NoGroup,
}

/// Who may do something.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Error, Serialize, Deserialize,
)]
pub enum Right {
    /// The room's owner.
    #[error("the room's owner")]
    Owner,
    /// The owner, or a member whose token says that it moderates.
    #[error("the room's owner or a moderator")]
    Moderator,
}

/// Why a request has no good answer.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The relay said no.
    #[error(transparent)]
    Refused(#[from] ServiceError),
    /// The link ended before the answer came: it may be done or not.
    #[error("the link ended before the relay answered: it may have been done; look, and ask again")]
    Unanswered,
    /// There is no link any more, or none came about.
    #[error(transparent)]
    NoLink(Box<Reason>),
    /// There is no link.
    #[error("the relay is out of reach: ask when the room is ready")]
    Offline,
    /// The relay does not know the room service.
    #[error("the relay speaks protocol {relay}, which is too old for this request: update it")]
    Unsupported {
        /// What it speaks.
        relay: Version,
    },
    /// A text is longer than can be said.
    #[error("a text of {size} bytes is over the limit of {limit}: shorten it")]
    TooLong {
        /// The most bytes.
        limit: usize,
        /// How many it has.
        size: usize,
    },
    /// The relay answered something else than was asked.
    #[error("the relay answered something else than was asked: report this with both versions")]
    Odd,
    /// Too many requests are not answered yet.
    #[error("{limit} requests are not answered yet: wait for some")]
    Busy {
        /// How many may be.
        limit: usize,
    },
}
