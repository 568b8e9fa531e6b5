//! What an application says when it enters a room.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use super::diary::SharedStore;
#[cfg(feature = "audio")]
use super::voice::VoiceOptions;
use crate::net::{AddressError, CarrierError, NetConfig};
use crate::proto::config::PeerConfig;
use crate::proto::id::{AppKeyError, Identity, RoomNameError};
use crate::proto::image::ImageError;
use crate::proto::reason::{Reason, RequestError};
use crate::proto::service::Entrance;
use crate::store::StoreError;

/// Which room, and as whom.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// The room's name: 1 to 512 characters of any Unicode.
    pub room: String,
    /// The secret that the application's peers and its relay share.
    pub app_key: String,
    /// Where the relay is; for instance `/ip4/127.0.0.1/udp/4433/quic-v1/p2p/12D3KooW...`, by each
    /// of its transports. May be of several relays, one of which is picked by
    /// [`NetConfig::relays`]: rooms of one name on two relays are two rooms, so see
    /// [`RelayChoice`](crate::net::RelayChoice). Empty for a room without a network.
    pub relay: Vec<String>,
    /// Who this peer is. By default a new one, which nobody will recognise another time:
    /// [`load_or_create`](crate::net::load_or_create) keeps one in a file.
    pub identity: Option<Identity>,
    /// Where the room is kept for another life of this peer: it is as it was then at once, without a
    /// network, and what nobody had is said when it is joined. The file may have other rooms in it, and
    /// one process at a time has it; of one room, only one life of one peer may be in it. Needs an
    /// [`identity`](Self::identity) that stays the same. None by default.
    pub store: Option<SharedStore>,
    /// What others are told of this peer.
    pub metadata: Bytes,
    /// A number higher than in any earlier life of this identity in this room. By default Unix time
    /// in milliseconds.
    pub incarnation: Option<u64>,
    /// On which terms this peer comes in, and what the room is like if it opens it.
    pub entrance: Entrance,
    /// How the room behaves.
    pub config: PeerConfig,
    /// How the network behaves.
    pub net: NetConfig,
    /// How this peer takes part in voice, as soon as it is in the room: see [`Room::join_voice`]. By
    /// default it does not.
    ///
    /// [`Room::join_voice`]: super::Room::join_voice
    #[cfg(feature = "audio")]
    pub voice: Option<VoiceOptions>,
}

impl ConnectOptions {
    /// A room on a relay, with everything else at its default.
    #[must_use]
    pub fn new(room: &str, app_key: &str, relay: &[&str]) -> Self {
        Self {
            room: room.to_owned(),
            app_key: app_key.to_owned(),
            relay: relay.iter().map(|&address| address.to_owned()).collect(),
            identity: None,
            store: None,
            metadata: Bytes::new(),
            incarnation: None,
            entrance: Entrance::default(),
            config: PeerConfig::default(),
            net: NetConfig::default(),
            #[cfg(feature = "audio")]
            voice: None,
        }
    }
}

/// Why a room could not be made. The text says what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The room's name cannot be one.
    #[error(transparent)]
    Name(#[from] RoomNameError),
    /// The app key cannot be one.
    #[error(transparent)]
    Key(#[from] AppKeyError),
    /// An address of a relay is malformed.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The room is on a relay already.
    #[error("the room is on a relay already: leave it first")]
    Online,
    /// The network cannot be used.
    #[error(transparent)]
    Network(#[from] CarrierError),
    /// A frame rate that no room has.
    #[error("the frame rate is {rate}: choose 1 to 120 frames a second")]
    FrameRate {
        /// What was asked for.
        rate: u32,
    },
    /// More metadata than may be shown to others.
    #[error("the metadata has {size} bytes, over the limit of {limit}: shorten it")]
    Metadata {
        /// The most bytes.
        limit: usize,
        /// How many it has.
        size: usize,
    },
    /// What the room is to be like cannot be said.
    #[error("the room cannot be opened as it is asked for: {0}")]
    Opening(#[source] RequestError),
    /// What is kept of the room cannot be fetched.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is kept of the room cannot be read. It stays as it is.
    #[error("what is kept of the room cannot be read ({0}): move it away, or enter without it")]
    Kept(#[from] ImageError),
    /// The system did not give the store a thread.
    #[error("the thread for the store cannot be started: {0}")]
    StoreThread(#[source] io::Error),
    /// The system has no entropy for a new identity.
    #[error("the system gives no random bytes: pass an identity")]
    Entropy,
}

/// Why it is not known that what was edited outlives the relay.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum NotDurable {
    /// The room has no relay.
    #[error("the room is on no relay: go online first")]
    Offline,
    /// The room is closed.
    #[error("the room is closed: {0}")]
    Closed(Reason),
    /// The relay keeps nothing that outlives it, or cannot any more.
    #[error("the relay keeps nothing that outlives it: start it with a data directory")]
    Unkept,
    /// The relay has not said so in time.
    #[error("the relay did not say within {patience:?} that all is kept")]
    Late {
        /// How long was waited.
        patience: Duration,
    },
}

/// Why what was edited is not in the room's own store.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum NotStored {
    /// It has none.
    #[error("the room has no store: pass one when it is entered")]
    NoStore,
    /// It has failed: an [`Event::NotStored`](crate::Event::NotStored) has said why.
    #[error("the room's store has failed, and keeps nothing any more")]
    Failed,
    /// It was too slow.
    #[error("the store did not keep it within {patience:?}")]
    Late {
        /// How long was waited.
        patience: Duration,
    },
}
