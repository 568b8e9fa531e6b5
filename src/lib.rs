//! Rooms that people share in real time.
//!
//! Peers that join a room by name hold one tree of typed models, each of them whole. Edits show at
//! once, go out as one change a network frame, and merge with what others did meanwhile, whether
//! the network was there or not. A room without a relay works the same:
//!
//! ```
//! # #[cfg(feature = "net")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use parlor::{ConnectOptions, Model, RealtimeSet, Room};
//!
//! #[derive(Model, Clone, Debug, Default)]
//! struct Lobby {
//!     #[property(1)]
//!     players: RealtimeSet<Player>,
//! }
//!
//! #[derive(Model, Clone, Debug, Default)]
//! struct Player {
//!     #[property(1)]
//!     name: String,
//!     #[property(2)]
//!     score: i64,
//! }
//!
//! let mut room = Room::<Lobby>::connect(ConnectOptions::new("lobby", "our secret", &[]))?;
//! let players = room.root().players.clone();
//! let ada = players.add(&mut room, Player { name: "Ada".into(), score: 0 })?;
//! room.update(&ada, |player| player.score += 1)?;
//! assert_eq!(room.get(&ada).map(|player| player.score), Some(1));
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "net"))]
//! # fn main() {}
//! ```
//!
//! [`proto`] has every rule, and neither clock nor entropy nor sockets; `net` has the sockets;
//! `room` is what an application holds; [`realtime`] shows smoothly what moves elsewhere; `audio` is
//! what is said and heard, `device` microphones and loudspeakers; `sim` runs
//! whole rooms from a seed. The names that an application needs are here at the root.

// Lets the derives name this crate in the crate itself.
extern crate self as parlor;

pub mod proto;
pub use proto::audio::stream::{Hearing, Stream, StreamEnd, StreamError, StreamName};
pub use proto::config::{HubConfig, Limits, PeerConfig, ServiceConfig, StateConfig};
pub use proto::datastore::{ClaimError, Datastore, EditError, SignalError};
pub use proto::event::signal::{Audience, Delivery, SignalId, Signalled, Subject};
pub use proto::event::voice::{StreamLevel, VoiceEvent, VoiceJoin, VoiceLeave};
pub use proto::event::{Changed, Event, LeaveReason, Member, Origin, Outcome, State, Ticket};
pub use proto::id::{AppKey, ClientNumber, Identity, PeerId, RoomId, RoomName};
pub use proto::model::Model;
pub use proto::model::handle::{
    Child, ConfirmedDictionary, ModelRef, Presence, RealtimeDictionary, RealtimeList, RealtimeSet,
    Signal, Text,
};
pub use proto::model::property::Counter;
pub use proto::model::property::vector::{Colour, Quaternion};
pub use proto::motion::interest::{Area, Interest, InterestError};
pub use proto::ownership::{Mode, Ownership, Terms};
pub use proto::reason::{Class, Denial, Reason, Refusal, RequestError, Right, ServiceError};
pub use proto::service::{
    Answer, Card, Code, Door, Entrance, Fact, Group, Invite, Opening, Page, Policy, PresenceError,
    Record, Request, RequestId, Seat,
};
pub use proto::statistics::Statistics;

pub mod realtime;
pub mod store;

#[cfg(feature = "audio")]
pub mod audio;
#[cfg(feature = "device")]
pub mod device;

#[cfg(feature = "net")]
pub mod lobby;
#[cfg(feature = "net")]
pub mod net;
#[cfg(feature = "net")]
pub mod room;
#[cfg(feature = "net")]
pub use lobby::{Lobby, LobbyOptions};
#[cfg(feature = "net")]
#[cfg(all(feature = "audio", feature = "net"))]
pub use room::{
    AudioError, AudioInput, AudioInputOptions, AudioOutput, Listener, MembersFull, VoiceOptions,
};
#[cfg(feature = "net")]
pub use room::{
    ConnectError, ConnectOptions, NotDurable, NotStored, Room, RoomHandle, SharedStore,
};

#[cfg(feature = "sim")]
pub mod sim;

pub use parlor_derive::{Choice, Model};
