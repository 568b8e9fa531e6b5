//! Who is who in the vectors.

use parlor::proto::authorship::Scope;
use parlor::proto::id::{AppKey, Identity, PeerId, RoomName};
use parlor::proto::wire::message::Introduction;

/// The application's key.
pub(crate) const APP_KEY: &str = "parlor test key";
/// The room.
pub(crate) const ROOM: &str = "lobby";
/// The seed of the relay's identity.
pub(crate) const RELAY: u8 = 9;

pub(crate) fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

pub(crate) fn peer(seed: u8) -> PeerId {
    identity(seed).peer()
}

pub(crate) fn app_key() -> AppKey {
    AppKey::new(APP_KEY).unwrap()
}

pub(crate) fn room() -> RoomName {
    RoomName::new(ROOM).unwrap()
}

pub(crate) fn scope() -> Scope {
    Scope::first(app_key().app(), room())
}

/// The first incarnation of the peer of a seed.
pub(crate) fn author(seed: u8) -> Introduction {
    Introduction { peer: peer(seed), incarnation: 1 }
}
