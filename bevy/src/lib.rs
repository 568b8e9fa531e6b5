//! Rooms of [`parlor`] in Bevy: entities of prefabs that all peers have, whose transforms and components
//! follow who owns them.
//!
//! ```
//! use bevy_app::{App, Startup, Update};
//! use bevy_ecs::prelude::*;
//! use bevy_parlor::{Owner, Parlor, ParlorApp, ParlorPlugin, Scene};
//! use bevy_transform::components::Transform;
//! use parlor::realtime::scene::Instantiate;
//! use parlor::realtime::view::{Actor, View};
//! use parlor::realtime::transform::Transform as Place;
//! use parlor::{Child, ConfirmedDictionary, ConnectOptions, Model, RealtimeSet, Room};
//!
//! #[derive(Model, Clone, Debug, Default)]
//! struct Lobby {
//!     #[property(1)]
//!     things: RealtimeSet<Thing>,
//!     #[property(2)]
//!     fixtures: ConfirmedDictionary<String, Thing>,
//! }
//!
//! #[derive(Model, Clone, Debug, Default)]
//! struct Thing {
//!     #[property(1)]
//!     view: Child<View>,
//!     #[property(2)]
//!     place: Child<Place>,
//!     #[property(3)]
//!     health: Child<Health>,
//! }
//!
//! #[derive(Model, Component, Clone, Debug, Default)]
//! struct Health {
//!     #[property(1)]
//!     points: i64,
//! }
//!
//! impl Actor for Thing {
//!     fn view(&self) -> &Child<View> {
//!         &self.view
//!     }
//!
//!     fn transform(&self) -> Option<&Child<Place>> {
//!         Some(&self.place)
//!     }
//! }
//!
//! impl Scene for Lobby {
//!     type Actor = Thing;
//!
//!     fn actors(&self) -> &RealtimeSet<Thing> {
//!         &self.things
//!     }
//!
//!     fn fixtures(&self) -> &ConfirmedDictionary<String, Thing> {
//!         &self.fixtures
//!     }
//! }
//!
//! #[derive(Component)]
//! struct Ship;
//!
//! fn launch(mut parlor: ResMut<Parlor<Lobby>>, mut commands: Commands) -> Result {
//!     parlor.instantiate(&mut commands, "ship", Instantiate::default())?;
//!     Ok(())
//! }
//!
//! fn fly(mut ships: Query<(&Owner, &mut Transform, &mut Health), With<Ship>>) {
//!     for (owner, mut transform, mut health) in &mut ships {
//!         if owner.mine {
//!             transform.translation.x += 0.1;
//!             health.points += 1;
//!         }
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let room = Room::<Lobby>::connect(ConnectOptions::new("lobby", "our secret", &[]))?;
//! App::new()
//!     .add_plugins(ParlorPlugin::new(room))
//!     .prefab::<Lobby>("ship", |entity, _| {
//!         entity.insert(Ship);
//!     })
//!     .replicate::<Lobby, Health>(|thing| &thing.health)
//!     .add_systems(Startup, launch)
//!     .add_systems(Update, fly)
//!     .run();
//! # Ok(())
//! # }
//! ```
//!
//! An entity with a [`View`] stands for a model of the room, and an [`Owner`] says whose it is. What has a
//! place there has a [`Placement`], which shows in `PreUpdate` what others move, late and without jumps, and
//! writes in `PostUpdate` what this app has moved. Everything else that happens comes as a [`RoomEvent`].
//!
//! What is this crate's alone is how Bevy sees a room: the rules are [`parlor::realtime`]'s. An app has one
//! room for each root model; [`RoomEvent`]s of two would not be told apart.

mod cue;
mod derived;
mod placement;
mod plugin;
mod room;
mod scene;
mod view;

pub use placement::{Placement, to_bevy, to_room};
pub use plugin::{ParlorApp, ParlorPlugin, ParlorSystems, RoomEvent};
pub use room::Parlor;
pub use scene::Scene;
pub use view::{Owner, View};
