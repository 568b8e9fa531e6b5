//! Where entities are: shown as others move them, written as this app does.

use bevy_ecs::prelude::{
    Changed, Component, DetectChangesMut, EntityWorldMut, Mut, Query, ResMut, With,
};
use bevy_ecs::system::EntityCommands;
use bevy_transform::components::Transform;
use parlor::proto::datastore::Datastore;
use parlor::realtime::transform::{RealtimeTransform, Transform as Said, TransformConfig};
use parlor::{EditError, ModelRef, Quaternion};

use crate::room::Parlor;
use crate::scene::Scene;
use crate::view::{Owner, View};

/// A transform as a room has it. It does not move by itself.
#[must_use]
pub fn to_room(transform: &Transform) -> Said {
    let mut said = Said::default();
    pose(&mut said, transform);
    said
}

/// A transform of a room as Bevy has it. Its rotation is one, whatever a peer has said.
#[must_use]
pub fn to_bevy(said: &Said) -> Transform {
    let mut rotation = Transform::IDENTITY.rotation;
    [rotation.x, rotation.y, rotation.z, rotation.w] = said.rotation.0;
    let length = rotation.length();
    let sound = length.is_finite() && length > f32::EPSILON;
    Transform {
        translation: said.position.into(),
        rotation: if sound { rotation / length } else { Transform::IDENTITY.rotation },
        scale: said.scale.into(),
    }
}

fn pose(said: &mut Said, transform: &Transform) {
    said.position = transform.translation.into();
    said.rotation = Quaternion(transform.rotation.to_array());
    said.scale = transform.scale.into();
}

/// Ties an entity's `Transform` to that of its view.
///
/// What others move is shown here a little late and without jumps, before `Update`; what this app has
/// changed by the end of the frame is written, where this peer may: what is its own, and what is
/// nobody's. What it may not write is put back. What stays where it is costs nothing.
#[derive(Component, Clone, Debug)]
#[require(Transform)]
pub struct Placement {
    place: RealtimeTransform,
    /// What the room said last, as it was shown.
    heard: Option<Transform>,
    /// What needs not be written: it was shown by the room, or is written.
    settled: Option<Transform>,
    /// An object of the scene stays where the scene has it until somebody moves it.
    unsaid: bool,
    leaps: bool,
}

impl Placement {
    pub(crate) fn new(model: ModelRef<Said>, config: TransformConfig) -> Self {
        let place = RealtimeTransform::new(model, config);
        Self { place, heard: None, settled: None, unsaid: false, leaps: false }
    }

    /// Puts an entity where the room says.
    pub(crate) fn put(mut self, entity: &mut EntityCommands<'_>, said: Transform) {
        self.settled = Some(said);
        entity.try_insert((self, said));
    }

    /// Leaves an entity where it is, until the room says something of it.
    pub(crate) fn stay(mut self, entity: &mut EntityCommands<'_>) {
        self.unsaid = true;
        entity.queue_silenced(move |mut entity: EntityWorldMut<'_>| {
            self.settled = entity.get::<Transform>().copied();
            entity.insert(self);
        });
    }

    /// What this app changes of the `Transform` next is no movement: others see it there at once.
    pub const fn leap(&mut self) {
        self.leaps = true;
    }

    /// Whether it has not moved for [`TransformConfig::sleep`] at a time of the room.
    #[must_use]
    pub fn sleeps(&self, now: u64) -> bool {
        self.place.sleeps(now)
    }

    /// Takes where to show it from the room.
    fn show(
        &mut self,
        store: &Datastore,
        now: u64,
        owner: Owner,
        mut transform: Mut<'_, Transform>,
    ) {
        let Some(placed) = self.place.show(store, now) else { return };
        if placed.own {
            (self.heard, self.unsaid) = (None, false);
            return;
        }
        let said = to_bevy(&placed.transform);
        if self.unsaid && placed.transform == Said::default() {
            return;
        }
        self.unsaid = false;
        // What may be written here stays as this app has it, also where that is too little to be said,
        // until the room says something else.
        if owner.may_write() && self.heard == Some(said) {
            return;
        }
        (self.heard, self.settled) = (Some(said), Some(said));
        transform.set_if_neq(said);
    }

    /// Writes where this app has put it.
    fn write(&mut self, store: &mut Datastore, transform: &Transform) -> Result<(), EditError> {
        if self.settled.as_ref() == Some(transform) {
            return Ok(());
        }
        let leaps = std::mem::take(&mut self.leaps);
        let edit = |said: &mut Said| pose(said, transform);
        let written =
            if leaps { self.place.teleport(store, edit)? } else { self.place.set(store, edit)? };
        if written {
            self.settled = Some(*transform);
        }
        Ok(())
    }
}

/// What it takes to show an entity where it is.
type Placed = (&'static mut Placement, &'static mut Transform, &'static Owner);

/// Of views, those that are somewhere else, whoever has put them there.
type Touched<A> = (With<View<A>>, Changed<Transform>);

/// Shows what others move.
pub(crate) fn show<M: Scene>(
    mut parlor: ResMut<'_, Parlor<M>>,
    mut placed: Query<'_, '_, Placed, With<View<M::Actor>>>,
) {
    let room = parlor.room();
    let now = room.room_time();
    for (mut placement, transform, owner) in &mut placed {
        placement.bypass_change_detection().show(room, now, *owner, transform);
    }
}

/// Writes what this app has moved.
pub(crate) fn write<M: Scene>(
    mut parlor: ResMut<'_, Parlor<M>>,
    mut placed: Query<'_, '_, (&mut Placement, &Transform), Touched<M::Actor>>,
) {
    let room = parlor.room();
    for (mut placement, transform) in &mut placed {
        if let Err(error) = placement.bypass_change_detection().write(room, transform) {
            tracing::debug!(%error, "not moved");
        }
    }
}
