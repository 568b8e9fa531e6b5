//! What a relay tells its operator.

use super::act::ActError;
use crate::proto::event::LeaveReason;
use crate::proto::event::signal::Signalled;
use crate::proto::id::{ClientNumber, PeerId, RoomKey};
use crate::proto::reason::Refusal;

/// What to tell the relay's operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HubEvent {
    /// A room came into being.
    Opened {
        /// Which.
        room: RoomKey,
    },
    /// A room without members was closed, or the relay ends.
    Closed {
        /// Which.
        room: RoomKey,
    },
    /// A peer came in.
    Joined {
        /// Where.
        room: RoomKey,
        /// Its number there.
        client: ClientNumber,
        /// Who.
        peer: PeerId,
    },
    /// A peer went out.
    Left {
        /// From where.
        room: RoomKey,
        /// Its number there.
        client: ClientNumber,
        /// Who.
        peer: PeerId,
        /// Why.
        reason: LeaveReason,
    },
    /// A member was put out by another, and is kept out for a while.
    Kicked {
        /// From where.
        room: RoomKey,
        /// Who.
        peer: PeerId,
        /// By whom.
        by: PeerId,
        /// For how many seconds.
        ban_s: u32,
    },
    /// A member gave the relay a signal, or the relay itself did. Its giver counts it as heard: of more
    /// than wait for the operator
    /// ([`HubConfig::event_capacity`](crate::proto::config::HubConfig::event_capacity)) the oldest are
    /// dropped all the same.
    Signal {
        /// Where.
        room: RoomKey,
        /// What.
        signal: Signalled,
    },
    /// What came to a room is not kept, and nothing of it is any more while it is open: what was kept
    /// before is.
    NotKept {
        /// Which.
        room: RoomKey,
    },
    /// Nothing is kept of any room any more: what was kept before is. Rooms that are open go on; if what
    /// is kept of others cannot be said either, nobody comes into them.
    KeepsNoMore {
        /// Why.
        why: String,
    },
    /// A room is kept and cannot be opened: nobody comes in.
    Unreadable {
        /// Which.
        room: RoomKey,
        /// Why.
        why: String,
    },
    /// A peer was sent away.
    Refused {
        /// Who.
        peer: PeerId,
        /// Why.
        refusal: Refusal,
    },
    /// A room that the relay had forgotten is whole again, or as whole as it will be. What came
    /// meanwhile was not judged.
    Restored {
        /// Which.
        room: RoomKey,
    },
    /// The relay's plugin panicked.
    PluginFailed {
        /// How often it has, since it was set.
        faults: u64,
    },
    /// Something is not done that the plugin wanted done.
    Undone {
        /// Where.
        room: RoomKey,
        /// Why.
        why: ActError,
    },
}
