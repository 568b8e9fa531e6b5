//! Why a token does not let its bearer in.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::role::Role;

/// Why a token does not let its bearer in. The text says what to do. Travels on the wire: variants
/// are only added at the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TokenFault {
    /// There is none.
    #[error("this application admits by token only: ask its server for one and pass it")]
    Missing,
    /// It is no token, or its claims are not what they have to be.
    #[error("this is no admission token: pass it whole, and issue it as admission.md says")]
    Malformed,
    /// It has too many bytes.
    #[error("the token has {size} bytes, over the limit of {limit}: give it shorter claims")]
    TooLong {
        /// The most bytes that are read.
        limit: u64,
        /// How many it has.
        size: u64,
    },
    /// No key of this application has signed it, or one that is retired.
    #[error("the token is signed by a key that the relay does not know any more, or not yet")]
    UnknownKey,
    /// The signature is not of this token.
    #[error("the token's signature does not hold: ask the application's server for another")]
    BadSignature,
    /// It is not good yet.
    #[error("the token is good from {starts} on (Unix time): wait, or set the clock")]
    NotYet {
        /// From when on it is good, in Unix seconds.
        starts: u64,
    },
    /// It is not good any more.
    #[error("the token expired at {since} (Unix time): ask the application's server for another")]
    Expired {
        /// Since when it is not good, in Unix seconds.
        since: u64,
    },
    /// It is for another application.
    #[error("the token is for another application: ask the server of this one")]
    OtherApp,
    /// It was issued to another peer.
    #[error("the token was issued to another peer: ask for one with this peer's own id")]
    OtherPeer,
    /// It is not for this room.
    #[error("the token is for other rooms: ask for one for this room")]
    OtherRoom,
    /// It does not give the role that is needed.
    #[error("the token does not give the role `{role}`: ask for one that does")]
    LacksRole {
        /// Which role.
        role: Role,
    },
    /// It is good for longer than any may be.
    #[error("the token is good for longer than {limit} s: issue it for less, and again in time")]
    TooLongLived {
        /// The most seconds that a token may be good for.
        limit: u64,
    },
    /// It was taken back, or everything of its bearer's.
    #[error("the token was revoked: ask the application's server whether there is another")]
    Revoked,
}
