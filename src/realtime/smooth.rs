//! Any model's numbers between the values that came: what `#[property(.., interpolate)]` asks for.

use std::collections::BTreeMap;

use crate::proto::datastore::{Datastore, Mover};
use crate::proto::model::grid::{Form, Grid, numbers, of_numbers};
use crate::proto::model::handle::{Handle, ModelRef};
use crate::proto::model::property::vector::{Quaternion, join, split};
use crate::proto::model::value::Value;
use crate::proto::model::{Model, PropertyShape, Shape};
use crate::realtime::timeline::blend::Blend;
use crate::realtime::timeline::config::TimelineConfig;
use crate::realtime::timeline::{Sample, Timeline};

/// One model of a room, whose properties that say `interpolate` show smoothly where others write them.
///
/// Each of them is shown for itself, behind who writes it, and that need not be an owner: when a value
/// was written is told with it. Numbers, vectors, colours and rotations are shown between those that
/// came, integers rounded; flags and choices are shown late, as they were. What this peer writes shows at
/// once. A [`Transform`](super::transform::Transform), whose parts belong together, has
/// [`RealtimeTransform`](super::transform::RealtimeTransform).
#[derive(Clone, Debug)]
pub struct Smooth<T> {
    model: ModelRef<T>,
    config: TimelineConfig,
    shape: Shape,
    lines: BTreeMap<u16, Line>,
}

/// One property's.
#[derive(Clone, Debug)]
struct Line {
    timeline: Timeline<Place>,
    /// What was last taken into it, and of when.
    heard: Option<(Value, u64)>,
}

impl<T: Model> Smooth<T> {
    /// Of a model that is in a room, or will be.
    #[must_use]
    pub fn new(model: ModelRef<T>, config: TimelineConfig) -> Self {
        Self { model, config, shape: T::shape(), lines: BTreeMap::new() }
    }

    /// The model as it is to be shown at a room time, in microseconds, which is not before that of the
    /// last call; nothing while it is not here. Call it once for each picture.
    pub fn show(&mut self, store: &Datastore, now: u64) -> Option<T> {
        let model = store.get(&self.model)?;
        let path = self.model.path()?;
        let mut shown = model.clone();
        for property in &self.shape.properties {
            let Some(grid) = smooth(property) else { continue };
            let Some(value) = Model::field(model, property.id).and_then(|it| it.to_value()) else {
                continue;
            };
            let moved = store.moved(path, property.id).map(|moved| (moved.by, moved.at));
            let line = self.lines.entry(property.id).or_insert_with(|| Line {
                timeline: Timeline::new(self.config.clone()),
                heard: None,
            });
            if let Some(value) = line.show(grid, (value, moved), now)
                && let Some(field) = Model::field_mut(&mut shown, property.id)
            {
                field.take_value(&value);
            }
        }
        Some(shown)
    }
}

/// The grid of a property that is to be shown smoothly.
fn smooth(property: &PropertyShape) -> Option<Grid> {
    property.state.filter(|terms| terms.interpolate).map(|terms| terms.grid)
}

impl Line {
    /// Takes what is said now, and shows what is to be shown: nothing if that is what is said.
    fn show(
        &mut self,
        grid: Grid,
        (value, moved): (Value, Option<(Mover, u64)>),
        now: u64,
    ) -> Option<Value> {
        let (at, writer) = match moved {
            Some((Mover::Member { client, .. }, at)) => (at, u64::from(client.0)),
            Some((Mover::Me, _)) => (now, u64::MAX),
            None => (now, u64::MAX - 1),
        };
        let others = matches!(moved, Some((Mover::Member { .. }, _)));
        let known =
            |(heard, heard_at): &(Value, u64)| heard.same(&value) && (*heard_at == at || !others);
        if !self.heard.as_ref().is_some_and(known) {
            let place = Place::of(grid, &value)?;
            self.timeline.push(now, Sample { at, value: place, teleport: false, writer });
            self.heard = Some((value, at));
        }
        let shown = self.timeline.show(now)?;
        let own = matches!(moved, Some((Mover::Me, _)));
        if own { None } else { shown.value.value(grid.form) }
    }
}

/// A value that can be shown between others.
#[derive(Clone, PartialEq, Debug)]
enum Place {
    Numbers([f64; 4]),
    /// A number that goes round, and what once round is.
    Round(f64, f64),
    /// What is not between anything.
    Flag(Value),
    Rotation(Quaternion),
}

impl Place {
    fn of(grid: Grid, value: &Value) -> Option<Self> {
        if let (Form::Rotation, Value::Bytes(bytes)) = (grid.form, value) {
            return split(bytes).map(|all| Self::Rotation(Quaternion(all)));
        }
        let (all, _) = numbers(grid.form, value)?;
        Some(match (grid.form, grid.round) {
            (Form::Flag, _) => Self::Flag(value.clone()),
            (_, Some(round)) => Self::Round(all[0], round),
            (_, None) => Self::Numbers(all),
        })
    }

    fn value(self, form: Form) -> Option<Value> {
        match self {
            Self::Numbers(all) => of_numbers(form, all),
            Self::Round(at, _) => of_numbers(form, [at, 0.0, 0.0, 0.0]),
            Self::Flag(value) => Some(value),
            Self::Rotation(Quaternion(all)) => Some(join(&all)),
        }
    }
}

/// What leads from one to another.
#[derive(Clone, Debug)]
enum Way {
    Numbers([f64; 4]),
    Round(f64),
    Rotation([f64; 4]),
}

/// The shorter way round.
fn shorter(from: f64, to: f64, round: f64) -> f64 {
    let way = (to - from).rem_euclid(round);
    if way > round / 2.0 { way - round } else { way }
}

impl Blend for Place {
    type Offset = Way;

    fn is_sound(&self) -> bool {
        match self {
            Self::Numbers(numbers) => numbers.iter().all(f64::is_sound),
            Self::Round(number, round) => number.is_finite() && *round > 0.0,
            Self::Flag(_) => true,
            Self::Rotation(rotation) => rotation.is_sound(),
        }
    }

    fn mix(from: &Self, to: &Self, share: f64) -> Self {
        match (from, to) {
            (Self::Numbers(from), Self::Numbers(to)) => {
                Self::Numbers(std::array::from_fn(|at| f64::mix(&from[at], &to[at], share)))
            }
            (Self::Round(at, round), Self::Round(to, _)) if share != 0.0 && share != 1.0 => {
                let at = at + shorter(*at, *to, *round) * share;
                Self::Round(at.rem_euclid(*round), *round)
            }
            (Self::Rotation(from), Self::Rotation(to)) => {
                Self::Rotation(Blend::mix(from, to, share))
            }
            // What has no way between is the former until it is the latter.
            _ => if share < 1.0 { from } else { to }.clone(),
        }
    }

    fn offset(from: &Self, to: &Self) -> Option<Way> {
        match (from, to) {
            (Self::Numbers(from), Self::Numbers(to)) => {
                let way = std::array::from_fn(|at| to[at] - from[at]);
                way.iter().all(f64::is_sound).then_some(Way::Numbers(way))
            }
            (Self::Round(from, round), Self::Round(to, _)) => {
                Some(Way::Round(shorter(*from, *to, *round)))
            }
            (Self::Rotation(from), Self::Rotation(to)) => {
                Blend::offset(from, to).map(Way::Rotation)
            }
            (
                Self::Numbers(_) | Self::Round(..) | Self::Flag(_) | Self::Rotation(_),
                Self::Numbers(_) | Self::Round(..) | Self::Flag(_) | Self::Rotation(_),
            ) => None,
        }
    }

    fn displaced(&self, offset: &Way, share: f64) -> Self {
        match (self, offset) {
            (Self::Numbers(numbers), Way::Numbers(way)) => {
                let there = |at| f64::displaced(&numbers[at], &way[at], share);
                Self::Numbers(std::array::from_fn(there))
            }
            (Self::Round(number, round), Way::Round(way)) => {
                Self::Round((number + way * share).rem_euclid(*round), *round)
            }
            (Self::Rotation(rotation), Way::Rotation(way)) => {
                Self::Rotation(rotation.displaced(way, share))
            }
            (
                Self::Numbers(_) | Self::Round(..) | Self::Flag(_) | Self::Rotation(_),
                Way::Numbers(_) | Way::Round(_) | Way::Rotation(_),
            ) => self.clone(),
        }
    }
}
