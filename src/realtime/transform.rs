//! Where things are: written by who moves them, shown smoothly to all others.

use std::sync::LazyLock;
use std::time::Duration;

use crate::proto::datastore::{Datastore, EditError};
use crate::proto::model::handle::{Handle, ModelRef};
use crate::proto::model::property::vector::Quaternion;
use crate::proto::model::{Model, Shape};
use crate::realtime::line::{Line, Said};
use crate::realtime::timeline::blend::Blend;
use crate::realtime::timeline::config::TimelineConfig;
use crate::realtime::timeline::{Motion, Shown};
use parlor_derive::Model;

/// Where something is and how it moves, in units and axes that the application chooses. All of it goes
/// by the state lane, on grids of a thousandth of a unit and of 1/1024 for each component of the
/// rotation; velocities on one of a hundredth.
#[derive(Model, Clone, Debug, PartialEq)]
#[model(name = "parlor.Transform")]
pub struct Transform {
    /// The place.
    #[property(1, unreliable, interpolate)]
    pub position: [f32; 3],
    /// How it is turned.
    #[property(2, unreliable, interpolate)]
    pub rotation: Quaternion,
    /// How much larger it is than its prefab, along each axis; 1 by default.
    #[property(3, unreliable, interpolate)]
    pub scale: [f32; 3],
    /// How fast it goes, per second. Nothing here reckons with it: it is for who takes over.
    #[property(4, unreliable, quantize = 0.01)]
    pub velocity: [f32; 3],
    /// How fast it turns, in radians a second about each axis. Nothing here reckons with it.
    #[property(5, unreliable, quantize = 0.01)]
    pub spin: [f32; 3],
    /// How often it has gone somewhere without moving there, up to 65,535 and then from 0.
    #[property(6, unreliable)]
    pub leaps: u32,
}

impl Default for Transform {
    /// At the origin, as its prefab, at rest.
    fn default() -> Self {
        Self {
            position: [0.0; 3],
            rotation: Quaternion::default(),
            scale: [1.0; 3],
            velocity: [0.0; 3],
            spin: [0.0; 3],
            leaps: 0,
        }
    }
}

/// How transforms are written and shown.
#[derive(Clone, Debug, PartialEq)]
pub struct TransformConfig {
    /// How others' movement is shown.
    pub timeline: TimelineConfig,
    /// How long something has not moved until it sleeps.
    pub sleep: Duration,
}

impl Default for TransformConfig {
    fn default() -> Self {
        Self { timeline: TimelineConfig::default(), sleep: Duration::from_millis(500) }
    }
}

/// Where something is to be shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// Where, with the velocities and leaps that were said last.
    pub transform: Transform,
    /// The room time that is shown, in microseconds.
    pub at: u64,
    /// How that came about; [`Motion::Resting`] where this peer moves it.
    pub motion: Motion,
    /// Whether this peer has said all that anybody says of its place, rotation and scale: others move
    /// nothing of it.
    pub own: bool,
}

/// One [`Transform`] of a room, as this peer moves it or sees it move.
///
/// Whoever may write it may move it: its owner, or anybody while it has none. What this peer moves
/// shows as it was written; what others move shows a little late and without jumps, also when it changes
/// hands. Times are the room's, in microseconds.
#[derive(Clone, Debug)]
pub struct RealtimeTransform {
    model: ModelRef<Transform>,
    sleep: Duration,
    position: Line<[f32; 3]>,
    rotation: Line<Quaternion>,
    scale: Line<[f32; 3]>,
    /// How often it had leapt when it was last looked at.
    leaps: Option<u32>,
    /// What it is to be, where that differs by too little to be written, and what is there instead.
    wanted: Option<(Transform, Transform)>,
    /// When it was last seen somewhere else than before.
    moved_at: Option<u64>,
    shown: Option<Transform>,
}

impl RealtimeTransform {
    /// Of a transform that is in a room, or will be.
    #[must_use]
    pub fn new(model: ModelRef<Transform>, config: TransformConfig) -> Self {
        let TransformConfig { timeline, sleep } = config;
        Self {
            model,
            sleep,
            position: Line::new(timeline.clone()),
            rotation: Line::new(timeline.clone()),
            scale: Line::new(timeline),
            leaps: None,
            wanted: None,
            moved_at: None,
            shown: None,
        }
    }

    /// The model.
    #[must_use]
    pub const fn model(&self) -> &ModelRef<Transform> {
        &self.model
    }

    /// Moves it: `edit` goes on from where it was left, to the last bit. What is less than half a step
    /// of its grid away is not written, so that what is still costs nothing. Returns whether anything
    /// was.
    ///
    /// # Errors
    ///
    /// When the transform is not here or another's, or a number is none or beyond its grid.
    pub fn set(
        &mut self,
        store: &mut Datastore,
        edit: impl FnOnce(&mut Transform),
    ) -> Result<bool, EditError> {
        let Some(there) = store.get(&self.model) else {
            let path = self.model.path().cloned().ok_or(EditError::Nowhere)?;
            return Err(EditError::Absent { path });
        };
        let left = self.wanted.take().filter(|(_, instead)| instead == there);
        let mut after = left.map_or_else(|| there.clone(), |(wanted, _)| wanted);
        edit(&mut after);
        if same_on_grid(there, &after) {
            self.wanted = Some((after, there.clone()));
            return Ok(false);
        }
        store.update(&self.model, |transform| *transform = after)?;
        Ok(true)
    }

    /// The same, to where it did not move: others see it there at once.
    ///
    /// # Errors
    ///
    /// As [`Self::set`].
    pub fn teleport(
        &mut self,
        store: &mut Datastore,
        edit: impl FnOnce(&mut Transform),
    ) -> Result<bool, EditError> {
        self.set(store, |transform| {
            edit(transform);
            transform.leaps = (transform.leaps + 1) % LEAPS;
        })
    }

    /// Where to show it at a room time that is not before that of the last call; nothing while it is not
    /// here. Call it once for each picture.
    pub fn show(&mut self, store: &Datastore, now: u64) -> Option<Placed> {
        let path = self.model.path()?;
        let Some(model) = store.get(&self.model) else {
            self.forget();
            return None;
        };
        let teleport = self.leaps.replace(model.leaps).is_some_and(|leaps| leaps != model.leaps);
        let said = [1, 2, 3].map(|property| Said::of(store, path, property));
        let position = show(&mut self.position, (model.position, said[0]), teleport, now)?;
        let rotation = show(&mut self.rotation, (model.rotation, said[1]), teleport, now)?;
        let scale = show(&mut self.scale, (model.scale, said[2]), teleport, now)?;
        let (at, motion) = (position.at, position.motion);
        let own =
            said.iter().any(|said| said.is_own()) && !said.iter().any(|said| said.is_others());
        let transform = Transform {
            position: position.value,
            rotation: rotation.value,
            scale: scale.value,
            ..model.clone()
        };
        let moved = |shown: &Transform| {
            (shown.position, shown.rotation, shown.scale)
                != (transform.position, transform.rotation, transform.scale)
        };
        if self.shown.as_ref().is_none_or(moved) {
            self.moved_at = Some(now);
        }
        self.shown = Some(transform.clone());
        Some(Placed { transform, at, motion, own })
    }

    /// Whether it has not moved for [`TransformConfig::sleep`], as it is shown.
    #[must_use]
    pub fn sleeps(&self, now: u64) -> bool {
        let sleep = u64::try_from(self.sleep.as_micros()).unwrap_or(u64::MAX);
        self.moved_at.is_some_and(|moved| moved.saturating_add(sleep) <= now)
    }

    /// Another may stand in its place.
    fn forget(&mut self) {
        self.position.forget();
        self.rotation.forget();
        self.scale.forget();
        (self.leaps, self.wanted, self.shown, self.moved_at) = (None, None, None, None);
    }
}

/// Leaps are counted up to this, and from 0 again.
const LEAPS: u32 = 1 << 16;

/// One part of a transform: at once where this peer says it, else as its line shows it.
fn show<V: Blend>(
    line: &mut Line<V>,
    (value, said): (V, Said),
    teleport: bool,
    now: u64,
) -> Option<Shown<V>> {
    line.hear(value.clone(), said, teleport, now);
    let shown = line.show(now)?;
    // What this peer says is on the line too, which so begins where it is when it changes hands.
    Some(if said.is_own() { Shown { value, at: now, motion: Motion::Resting } } else { shown })
}

/// Whether two transforms are the same for others: less than half a step of its grid apart in
/// everything.
fn same_on_grid(one: &Transform, other: &Transform) -> bool {
    static SHAPE: LazyLock<Shape> = LazyLock::new(Transform::shape);
    SHAPE.properties.iter().all(|property| {
        let value = |of: &Transform| Model::field(of, property.id).and_then(|it| it.to_value());
        let (Some(one), Some(other)) = (value(one), value(other)) else { return true };
        one == other || property.state.is_some_and(|it| it.grid.is_within(0.499, &one, &other))
    })
}
