//! What a peer begins with.

use bytes::Bytes;

use crate::proto::id::{AppKey, Identity, RoomName};
use crate::proto::model::Shape;
use crate::proto::service::Entrance;

/// What makes a peer this one, in this room.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The peer's key.
    pub identity: Identity,
    /// The application's key.
    pub app_key: AppKey,
    /// The room.
    pub room: RoomName,
    /// What others are told of this peer, at most [`crate::proto::config::Limits::metadata`] bytes.
    pub metadata: Bytes,
    /// A number that is higher in every later life of this peer in this room, across processes: Unix
    /// time in milliseconds, where nothing is kept. Its lowest 48 bits count.
    pub incarnation: u64,
    /// What the room's root model looks like.
    pub shape: Shape,
    /// How this peer comes in.
    pub entrance: Entrance,
}
