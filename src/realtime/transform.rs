//! Where things are: written by who moves them, shown smoothly to all others.

use std::sync::LazyLock;
use std::time::Duration;

use crate::proto::datastore::{Datastore, EditError, Moved, Mover};
use crate::proto::model::handle::{Handle, ModelRef};
use crate::proto::model::path::Path;
use crate::proto::model::property::vector::Quaternion;
use crate::proto::model::{Model, Shape};
use crate::realtime::timeline::config::TimelineConfig;
use crate::realtime::timeline::{Motion, Sample, Timeline};
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
    /// How often it has gone somewhere without moving there.
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

/// What of a transform shows: place, rotation and scale.
type Pose = ([f32; 3], Quaternion, [f32; 3]);

impl Transform {
    fn pose(&self) -> Pose {
        (self.position, self.rotation, self.scale)
    }

    fn posed(&self, (position, rotation, scale): Pose) -> Self {
        Self { position, rotation, scale, ..self.clone() }
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
}

/// One [`Transform`] of a room, as this peer moves it or sees it move.
///
/// Whoever may write it may move it: its owner, or anybody while it has none. What this peer moves
/// shows as it was written; what others move shows a little late and without jumps, also when it changes
/// hands. Times are the room's, in microseconds.
#[derive(Clone, Debug)]
pub struct RealtimeTransform {
    model: ModelRef<Transform>,
    config: TransformConfig,
    timeline: Timeline<Pose>,
    /// What was last taken into the timeline, and of when.
    heard: Option<(Pose, u64)>,
    /// How often it had leapt then.
    leaps: u32,
    /// When it was last seen somewhere else than before.
    moved_at: Option<u64>,
    shown: Option<Pose>,
}

impl RealtimeTransform {
    /// Of a transform that is in a room, or will be.
    #[must_use]
    pub fn new(model: ModelRef<Transform>, config: TransformConfig) -> Self {
        Self {
            timeline: Timeline::new(config.timeline.clone()),
            model,
            config,
            heard: None,
            leaps: 0,
            moved_at: None,
            shown: None,
        }
    }

    /// The model.
    #[must_use]
    pub const fn model(&self) -> &ModelRef<Transform> {
        &self.model
    }

    /// Moves it. What stays where it was on the grid is not written, so that what is still costs
    /// nothing. Returns whether anything was.
    ///
    /// # Errors
    ///
    /// When the transform is not here or another's, or a number is none or beyond its grid.
    pub fn set(
        &mut self,
        store: &mut Datastore,
        edit: impl FnOnce(&mut Transform),
    ) -> Result<bool, EditError> {
        let Some(before) = store.get(&self.model) else {
            let path = self.model.path().cloned().ok_or(EditError::Nowhere)?;
            return Err(EditError::Absent { path });
        };
        let mut after = before.clone();
        edit(&mut after);
        if same_on_grid(before, &after) {
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
            transform.leaps = transform.leaps.wrapping_add(1);
        })
    }

    /// Where to show it at a room time that is not before that of the last call; nothing while it is not
    /// here. Call it once for each picture.
    pub fn show(&mut self, store: &Datastore, now: u64) -> Option<Placed> {
        let model = store.get(&self.model)?;
        let newest = self.model.path().and_then(|path| newest(store, path));
        let own = newest.is_some_and(|moved| moved.by == Mover::Me);
        self.hear(model, newest, now);
        let said = self.timeline.show(now)?;
        // What this peer writes goes into the timeline too, which so begins where it is when it changes
        // hands.
        let (pose, at, motion) = if own {
            (model.pose(), now, Motion::Resting)
        } else {
            (said.value, said.at, said.motion)
        };
        if self.shown.as_ref() != Some(&pose) {
            self.moved_at = Some(now);
        }
        self.shown = Some(pose);
        Some(Placed { transform: model.posed(pose), at, motion })
    }

    /// Whether it has not moved for [`TransformConfig::sleep`], as it is shown.
    #[must_use]
    pub fn sleeps(&self, now: u64) -> bool {
        let sleep = u64::try_from(self.config.sleep.as_micros()).unwrap_or(u64::MAX);
        self.moved_at.is_some_and(|moved| moved.saturating_add(sleep) <= now)
    }

    /// Takes what was said last into the timeline, if it was not there.
    fn hear(&mut self, model: &Transform, newest: Option<&Moved>, now: u64) {
        let pose = model.pose();
        let (at, writer) = match newest.map(|moved| (moved.by, moved.at)) {
            Some((Mover::Me, _)) => (now, OWN),
            Some((Mover::Member { client, .. }, at)) => (at, u64::from(client.0)),
            // The document's: there it has rested, for as long as anybody knows.
            None => (self.heard.as_ref().map_or(now, |(_, at)| *at), DOCUMENT),
        };
        let known = self.heard.as_ref().is_some_and(|(heard, heard_at)| {
            *heard == pose && (*heard_at == at || writer == OWN || writer == DOCUMENT)
        });
        if known {
            return;
        }
        let teleport = self.heard.is_some() && model.leaps != self.leaps;
        // What the document says anew was not said at any time.
        let at = if writer == DOCUMENT && self.heard.is_some() { now } else { at };
        self.timeline.push(now, Sample { at, value: pose, teleport, writer });
        (self.heard, self.leaps) = (Some((pose, at)), model.leaps);
    }
}

/// Who writes what this peer writes, and what stands in the document: no client has such a number.
const OWN: u64 = u64::MAX;
const DOCUMENT: u64 = u64::MAX - 1;

/// The value of a transform that was written last, if any shows that is not the document's.
fn newest<'a>(store: &'a Datastore, path: &Path) -> Option<&'a Moved> {
    let rank = |moved: &Moved| (moved.by == Mover::Me, moved.at);
    store.moved_of(path).map(|(_, moved)| moved).max_by_key(|moved| rank(moved))
}

/// Whether two transforms are the same for others, as far as a grid tells: less than half a step apart.
fn same_on_grid(one: &Transform, other: &Transform) -> bool {
    static SHAPE: LazyLock<Shape> = LazyLock::new(Transform::shape);
    SHAPE.properties.iter().all(|property| {
        let value = |of: &Transform| Model::field(of, property.id).and_then(|it| it.to_value());
        let (Some(one), Some(other)) = (value(one), value(other)) else { return true };
        one == other || property.state.is_some_and(|it| it.grid.is_within(0.499, &one, &other))
    })
}
