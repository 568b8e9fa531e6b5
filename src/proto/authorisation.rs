//! What a relay asks an application's own server when a peer is at the door, and what that says.

use crate::proto::id::{AppId, PeerId, RoomName};
use crate::proto::token::Roles;

/// Who wants to come in where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Which application's room.
    pub app: AppId,
    /// Which room.
    pub room: RoomName,
    /// Who, as the transport has authenticated it.
    pub peer: PeerId,
    /// What the peer says to the server, for instance a session of its own: nothing that the relay
    /// looks at. At most 4 KiB.
    pub context: String,
}

/// What the application's server says to that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may come in.
    Allowed {
        /// With these roles; none are said if it is up to the relay.
        roles: Option<Roles>,
    },
    /// It may not.
    Refused {
        /// Why, for people. At most 1 KiB.
        message: String,
        /// Why, for the application. At most 4 KiB.
        context: String,
    },
}
