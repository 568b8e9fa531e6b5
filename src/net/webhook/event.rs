//! What happens in rooms, as an application's server is told.

use bytes::Bytes;
use serde_json::{Value as Json, json};

use crate::proto::id::{AppId, ClientNumber, Hex, PeerId, RoomName};
use crate::proto::token::moment;

/// What happened in a room of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lifecycle {
    /// A room came to be: its first member is coming in.
    RoomCreated,
    /// A peer came in.
    MemberJoined {
        /// Who.
        peer: PeerId,
        /// By which connection.
        client: ClientNumber,
    },
    /// A peer is out.
    MemberLeft {
        /// Who.
        peer: PeerId,
        /// By which connection it was in.
        client: ClientNumber,
        /// Why, in words.
        reason: String,
    },
    /// A room is no more: its last member had left.
    RoomClosed,
    /// A moderator did something to a member.
    MemberModerated {
        /// The moderator.
        by: PeerId,
        /// The member.
        peer: PeerId,
        /// What, in a word.
        action: String,
    },
}

impl Lifecycle {
    const fn name(&self) -> &'static str {
        match self {
            Self::RoomCreated => "room.created",
            Self::MemberJoined { .. } => "member.joined",
            Self::MemberLeft { .. } => "member.left",
            Self::RoomClosed => "room.closed",
            Self::MemberModerated { .. } => "member.moderated",
        }
    }

    /// The body that tells it.
    pub(super) fn body(&self, app: AppId, room: &RoomName, seconds: u64) -> Bytes {
        let mut data = json!({ "app": Hex(&app.0).to_string(), "room": room.as_str() });
        match self {
            Self::RoomCreated | Self::RoomClosed => {}
            Self::MemberJoined { peer, client } => {
                data["peer"] = peer.to_string().into();
                data["client"] = client.0.into();
            }
            Self::MemberLeft { peer, client, reason } => {
                data["peer"] = peer.to_string().into();
                data["client"] = client.0.into();
                data["reason"] = reason.as_str().into();
            }
            Self::MemberModerated { by, peer, action } => {
                data["by"] = by.to_string().into();
                data["peer"] = peer.to_string().into();
                data["action"] = action.as_str().into();
            }
        }
        body(self.name(), seconds, &data)
    }
}

/// The body that tells that `count` events were lost.
pub(super) fn lost(count: u64, seconds: u64) -> Bytes {
    body("events.lost", seconds, &json!({ "count": count }))
}

/// The body of a message of this type and time.
pub(super) fn body(kind: &str, seconds: u64, data: &Json) -> Bytes {
    let timestamp = moment::write(seconds).unwrap_or_default();
    json!({ "type": kind, "timestamp": timestamp, "data": data }).to_string().into()
}
