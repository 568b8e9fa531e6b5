//! What the room is made of, and the app of each peer.

use std::error::Error;

use bevy_app::{App, Update};
use bevy_ecs::prelude::{Component, Local, Query, Res, ResMut, Resource, With};
use bevy_parlor::{Owner, Parlor, ParlorApp, ParlorPlugin, Scene};
use bevy_transform::TransformPlugin;
use bevy_transform::components::Transform;
use parlor::realtime::transform::Transform as Place;
use parlor::realtime::view::{Actor, View};
use parlor::{Child, ConfirmedDictionary, ConnectOptions, Model, RealtimeSet, Room};

pub(crate) const APP_KEY: &str = "orbit";
/// How far from the origin ships fly, in units.
pub(crate) const RADIUS: f32 = 10.0;
/// How fast they go round, in radians a second.
pub(crate) const TURN: f32 = 0.8;

/// The root.
#[derive(Model, Clone, Debug, Default)]
pub(crate) struct Lobby {
    #[property(1)]
    things: RealtimeSet<Thing>,
    #[property(2)]
    fixtures: ConfirmedDictionary<String, Thing>,
}

/// Everything that stands in it.
#[derive(Model, Clone, Debug, Default)]
pub(crate) struct Thing {
    #[property(1)]
    view: Child<View>,
    #[property(2)]
    transform: Child<Place>,
    #[property(3)]
    health: Child<Health>,
}

/// A part of the model that is a component too.
#[derive(Model, Component, Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Health {
    #[property(1)]
    pub(crate) points: i64,
}

impl Actor for Thing {
    fn view(&self) -> &Child<View> {
        &self.view
    }

    fn transform(&self) -> Option<&Child<Place>> {
        Some(&self.transform)
    }
}

impl Scene for Lobby {
    type Actor = Thing;

    fn actors(&self) -> &RealtimeSet<Thing> {
        &self.things
    }

    fn fixtures(&self) -> &ConfirmedDictionary<String, Thing> {
        &self.fixtures
    }
}

/// What the app itself knows of a ship.
#[derive(Component)]
pub(crate) struct Ship;

/// Whether this app's ships fly.
#[derive(Resource)]
pub(crate) struct Engines(pub(crate) bool);

/// An app with a room of its own on a relay.
pub(crate) fn app(relay: &str) -> Result<App, Box<dyn Error>> {
    let room = Room::<Lobby>::connect(ConnectOptions::new("orbit", APP_KEY, &[relay]))?;
    let mut app = App::new();
    app.add_plugins((TransformPlugin, ParlorPlugin::new(room)))
        .insert_resource(Engines(true))
        .prefab::<Lobby>("ship", |entity, _| {
            entity.insert(Ship);
        })
        .replicate::<Lobby, Health>(|thing| &thing.health)
        .add_systems(Update, orbit);
    Ok(app)
}

/// Lets the ships that are this app's go round, from where they are.
fn orbit(
    mut parlor: ResMut<'_, Parlor<Lobby>>,
    engines: Res<'_, Engines>,
    mut ships: Query<'_, '_, (&Owner, &mut Transform), With<Ship>>,
    mut before: Local<'_, Option<u64>>,
) {
    let now = parlor.room().room_time();
    let passed = now.saturating_sub(before.replace(now).unwrap_or(now));
    if !engines.0 {
        return;
    }
    for (owner, mut transform) in &mut ships {
        if owner.mine {
            let ahead =
                angle(&transform) + TURN * std::time::Duration::from_micros(passed).as_secs_f32();
            *transform = at(ahead);
        }
    }
}

/// The place on the orbit.
pub(crate) fn at(angle: f32) -> Transform {
    Transform::from_xyz(RADIUS * angle.cos(), 0.0, RADIUS * angle.sin())
}

/// Where on the orbit.
pub(crate) fn angle(transform: &Transform) -> f32 {
    transform.translation.z.atan2(transform.translation.x)
}
