//! What an app adds to have a room.

use std::sync::{Mutex, PoisonError};

use bevy_app::{App, Plugin, PostUpdate, PreUpdate};
use bevy_ecs::component::{Component, Mutable};
use bevy_ecs::prelude::{
    Commands, Despawn, IntoScheduleConfigs, Message, MessageWriter, On, Query, ResMut, SystemSet,
};
use bevy_ecs::system::EntityCommands;
use bevy_transform::TransformSystems;
use parlor::realtime::scene::Spawn;
use parlor::realtime::transform::TransformConfig;
use parlor::{Child, Event, Model, Room};

use crate::derived;
use crate::placement;
use crate::room::Parlor;
use crate::scene::Scene;
use crate::view::View;

/// When this crate does what.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParlorSystems {
    /// In `PreUpdate`: takes what others did, and shows what they move.
    Receive,
    /// In `PostUpdate`, before transforms are propagated: writes what this app did. It goes out with the
    /// next frame of the network.
    Write,
}

/// Something happened in the room. Entities show it by the end of [`ParlorSystems::Receive`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct RoomEvent(pub Event);

/// A room for an app, which is a [`Parlor`] in it.
///
/// The room is made by the app, with a relay or without; the plugin ticks it once a frame.
#[derive(Debug)]
pub struct ParlorPlugin<M: Scene> {
    /// The mutex is only for the room to be `Sync`.
    room: Mutex<Option<Room<M>>>,
    transforms: TransformConfig,
}

impl<M: Scene> ParlorPlugin<M> {
    /// A plugin with a room. Nobody else is to take its events.
    #[must_use]
    pub fn new(room: Room<M>) -> Self {
        Self { room: Mutex::new(Some(room)), transforms: TransformConfig::default() }
    }

    /// How others' movement is shown, instead of [`TransformConfig::default`].
    #[must_use]
    pub fn with_transforms(self, transforms: TransformConfig) -> Self {
        Self { transforms, ..self }
    }
}

impl<M: Scene> Plugin for ParlorPlugin<M> {
    fn build(&self, app: &mut App) {
        // It is built once; the room is taken out because it cannot be copied.
        let room = self.room.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(room) = room else { return };
        let write = placement::write::<M>.before(TransformSystems::Propagate);
        app.insert_resource(Parlor::new(room, self.transforms.clone()))
            .add_message::<RoomEvent>()
            .add_systems(
                PreUpdate,
                (receive::<M>, placement::show::<M>).chain().in_set(ParlorSystems::Receive),
            )
            .add_systems(PostUpdate, write.in_set(ParlorSystems::Write))
            .add_observer(despawned::<M>);
    }
}

/// What an app says of its scene, after it has added its [`ParlorPlugin`].
pub trait ParlorApp {
    /// Says how entities of a prefab are built: see [`Parlor::register`].
    ///
    /// # Panics
    ///
    /// When the app has no `Parlor<M>`.
    fn prefab<M: Scene>(
        &mut self,
        prefab: &str,
        builder: impl FnMut(&mut EntityCommands<'_>, &Spawn<'_, M::Actor>) + Send + 'static,
    ) -> &mut Self;

    /// Lets every entity of a view have a component that is a part of its model, as
    /// `app.replicate::<Lobby, Health>(|thing| &thing.health)`.
    ///
    /// The component follows the model; properties that say `interpolate` follow smoothly. What this app
    /// changes of it is written at the end of the frame, property by property and only what is different,
    /// where this peer may; what it may not write is put back. Handles in it lead where those of the
    /// model do, and cannot be changed.
    ///
    /// # Panics
    ///
    /// When the app has no `Parlor<M>`.
    fn replicate<M: Scene, C: Model + Component<Mutability = Mutable>>(
        &mut self,
        part: impl Fn(&M::Actor) -> &Child<C> + Send + Sync + 'static,
    ) -> &mut Self;
}

impl ParlorApp for App {
    fn prefab<M: Scene>(
        &mut self,
        prefab: &str,
        builder: impl FnMut(&mut EntityCommands<'_>, &Spawn<'_, M::Actor>) + Send + 'static,
    ) -> &mut Self {
        self.world_mut().resource_mut::<Parlor<M>>().register(prefab, builder);
        self
    }

    fn replicate<M: Scene, C: Model + Component<Mutability = Mutable>>(
        &mut self,
        part: impl Fn(&M::Actor) -> &Child<C> + Send + Sync + 'static,
    ) -> &mut Self {
        self.world_mut().resource_mut::<Parlor<M>>().derive(part);
        if derived::is_smooth::<C>() {
            let show = derived::show::<M, C>.after(receive::<M>);
            self.add_systems(PreUpdate, show.in_set(ParlorSystems::Receive));
        }
        self.add_systems(PostUpdate, derived::write::<M, C>.in_set(ParlorSystems::Write))
    }
}

fn receive<M: Scene>(
    mut parlor: ResMut<'_, Parlor<M>>,
    mut commands: Commands<'_, '_>,
    mut events: MessageWriter<'_, RoomEvent>,
) {
    events.write_batch(parlor.advance(&mut commands).map(RoomEvent));
}

/// An entity with a view is despawned, by whomever.
fn despawned<M: Scene>(
    despawn: On<'_, '_, Despawn<View<M::Actor>>>,
    views: Query<'_, '_, &View<M::Actor>>,
    mut parlor: ResMut<'_, Parlor<M>>,
    mut commands: Commands<'_, '_>,
) {
    if let Ok(view) = views.get(despawn.entity) {
        parlor.despawned(&mut commands, view.model());
    }
}
