//! Rooms that people share in real time.
//!
//! Peers that join a room by name hold one tree of typed models, each of them whole. Edits show at
//! once, go out as one change a network frame, and merge with what others did meanwhile, whether
//! the network was there or not.
//!
//! [`proto`] has every rule, and neither clock nor entropy nor sockets; `sim` runs whole rooms from a
//! seed. The names that an application needs are here at the root.

// Lets the derives name this crate in the crate itself.
extern crate self as parlor;

pub mod proto;
pub use proto::config::{HubConfig, Limits, PeerConfig};
pub use proto::datastore::{Datastore, EditError};
pub use proto::event::{Changed, Event, LeaveReason, Member, Origin, State};
pub use proto::id::{AppKey, ClientNumber, Identity, PeerId, RoomName};
pub use proto::model::Model;
pub use proto::model::handle::{
    Child, ModelRef, Presence, RealtimeDictionary, RealtimeList, RealtimeSet, Text,
};
pub use proto::model::property::Counter;
pub use proto::model::property::vector::{Colour, Quaternion};
pub use proto::reason::{Class, Reason, Refusal};
pub use proto::statistics::Statistics;

#[cfg(feature = "sim")]
pub mod sim;

pub use parlor_derive::{Choice, Model};
