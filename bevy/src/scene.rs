//! Where in a room's models the scene is.

use parlor::realtime::view::Actor;
use parlor::{ConfirmedDictionary, Model, RealtimeSet};

/// A root model with a scene in it: what an app's entities stand for.
pub trait Scene: Model {
    /// The model of everything that stands in the scene.
    type Actor: Actor;

    /// What peers put there, as entities of prefabs.
    fn actors(&self) -> &RealtimeSet<Self::Actor>;

    /// What everybody's scene has by itself, by UUID.
    fn fixtures(&self) -> &ConfirmedDictionary<String, Self::Actor>;
}
