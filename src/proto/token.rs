//! Admission tokens: what an application's own server lets a peer do in its rooms, signed.
//!
//! A token is a PASETO of version 4 for public use, so that any library for those can issue one:
//! `datastore-spec/admission.md` has its claims. Nothing here reads a clock; who verifies says what
//! time it is.

mod claims;
mod config;
mod fault;
mod key;
pub mod moment;
mod pattern;
mod ring;
mod role;

#[cfg(test)]
mod tests;

pub use self::claims::{Claims, IssueError, TokenLimits};
pub use self::config::TokenConfig;
pub use self::fault::TokenFault;
pub use self::key::{KeyId, TokenKey, TokenKeyError, TokenSecret};
pub use self::pattern::{RoomPattern, RoomPatternError};
pub use self::ring::{RingError, TokenRing};
pub use self::role::{Role, RoleError, Roles};

/// What every signature covers beside the token itself (PASETO's implicit assertion): a key that
/// signs other tokens too cannot be brought to sign one of these.
const PURPOSE: &[u8] = b"parlor admission";
