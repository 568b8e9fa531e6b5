//! Signals: what is told once and kept nowhere. Who is in the room hears each one once; who comes later
//! hears nothing of it.

use std::fmt;

use bytes::Bytes;

use super::Origin;
use crate::proto::id::PeerId;
use crate::proto::model::path::Path;

/// Which of an application's signals: they count from 1, and go out in that order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SignalId(pub u64);

/// Who is to hear a signal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Audience {
    /// Everybody in the room. This application hears it at once.
    All,
    /// Everybody else.
    Others,
    /// One peer, which may be this one.
    Peer(PeerId),
    /// The relay: the program that it is part of hears it
    /// ([`HubEvent::Signal`](crate::proto::hub::HubEvent::Signal)).
    Relay,
}

impl Audience {
    /// Whether it is one hearer: of a signal to that, what became of it is told.
    #[must_use]
    pub const fn is_one(&self) -> bool {
        match self {
            Self::All | Self::Others => false,
            Self::Peer(_) | Self::Relay => true,
        }
    }
}

/// What became of a signal to one hearer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Delivery {
    /// It has arrived there, or the relay took it that it was for. One of a model that does not arrive in time is dropped all the same.
    Heard,
    /// The peer did not get it, and will not: it is not in the room, left, or did not come back in
    /// time ([`SignalConfig::kept_for`](crate::proto::config::SignalConfig::kept_for)); or the relay is
    /// of before 2.4, and takes none.
    Absent,
}

/// What a signal is of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Subject {
    /// A property of a model: a [`Signal`](crate::proto::model::handle::Signal) field.
    Property {
        /// The model.
        model: Path,
        /// The property.
        property: u16,
    },
    /// A name that the application gives to signals of no model.
    Name(String),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Property { model, property } => write!(f, "property {property} of {model}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A signal as it is heard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signalled {
    /// What it is of.
    pub subject: Subject,
    /// What it says: postcard, if it is of a property.
    pub payload: Bytes,
    /// Whose it is, a peer's or the relay's; the relay has seen to that.
    pub by: PeerId,
    /// Whether this application gave it, or another.
    pub origin: Origin,
    /// Whether nothing was lost before it; else it was
    /// [cast](crate::proto::datastore::Datastore::cast).
    pub reliable: bool,
}
