//! Any model's numbers between the values that came: what `#[property(.., interpolate)]` asks for.

use std::collections::BTreeMap;

use crate::proto::datastore::Datastore;
use crate::proto::model::grid::{Form, Grid, numbers, of_numbers};
use crate::proto::model::handle::{Handle, ModelRef};
use crate::proto::model::property::vector::{Quaternion, join, split};
use crate::proto::model::value::Value;
use crate::proto::model::{Kind, Model, PropertyShape, Shape};
use crate::realtime::line::{Line, Said};
use crate::realtime::timeline::blend::Blend;
use crate::realtime::timeline::config::TimelineConfig;

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
    lines: BTreeMap<u16, Line<Place>>,
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
        let path = self.model.path()?;
        let Some(model) = store.get(&self.model) else {
            // Another may stand in its place.
            self.lines.clear();
            return None;
        };
        let mut shown = model.clone();
        for property in &self.shape.properties {
            let Some(form) = Smoothed::of(property) else { continue };
            let value = Model::field(model, property.id).and_then(|field| field.to_value());
            let Some(place) = value.and_then(|value| form.place(&value)) else { continue };
            let said = Said::of(store, path, property.id);
            let line =
                self.lines.entry(property.id).or_insert_with(|| Line::new(self.config.clone()));
            line.hear(place, said, false, now);
            let Some(there) = line.show(now).filter(|_| !said.is_own()) else { continue };
            if let Some(value) = form.value(there.value)
                && let Some(field) = Model::field_mut(&mut shown, property.id)
            {
                field.take_value(&value);
            }
        }
        Some(shown)
    }
}

/// How a property's values are shown smoothly.
#[derive(Clone, Copy)]
struct Smoothed {
    grid: Grid,
    /// Whether nothing is between its values.
    steps: bool,
}

impl Smoothed {
    fn of(property: &PropertyShape) -> Option<Self> {
        let grid = property.state.filter(|terms| terms.interpolate)?.grid;
        // A choice is a number, and what is between two is a third.
        let choice = matches!(property.kind, Kind::Value(name) if name.contains("choice "));
        Some(Self { grid, steps: choice || grid.form == Form::Flag })
    }

    fn place(self, value: &Value) -> Option<Place> {
        if let (Form::Rotation, Value::Bytes(bytes)) = (self.grid.form, value) {
            return split(bytes).map(|all| Place::Rotation(Quaternion(all)));
        }
        let (all, _) = numbers(self.grid.form, value)?;
        Some(match self.grid.round {
            _ if self.steps => Place::Step(value.clone()),
            Some(round) => Place::Round((all[0] - self.grid.origin).rem_euclid(round), round),
            None => Place::Numbers(all),
        })
    }

    fn value(self, place: Place) -> Option<Value> {
        match place {
            Place::Numbers(all) => of_numbers(self.grid.form, all),
            Place::Round(at, _) => {
                of_numbers(self.grid.form, [at + self.grid.origin, 0.0, 0.0, 0.0])
            }
            Place::Step(value) => Some(value),
            Place::Rotation(Quaternion(all)) => Some(join(&all)),
        }
    }
}

/// A value that can be shown between others.
#[derive(Clone, PartialEq, Debug)]
enum Place {
    Numbers([f64; 4]),
    /// A number that goes round, beyond where that begins, and what once round is.
    Round(f64, f64),
    /// What has nothing between.
    Step(Value),
    Rotation(Quaternion),
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
            Self::Step(_) => true,
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
                Self::Numbers(_) | Self::Round(..) | Self::Step(_) | Self::Rotation(_),
                Self::Numbers(_) | Self::Round(..) | Self::Step(_) | Self::Rotation(_),
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
                Self::Numbers(_) | Self::Round(..) | Self::Step(_) | Self::Rotation(_),
                Way::Numbers(_) | Way::Round(_) | Way::Rotation(_),
            ) => self.clone(),
        }
    }
}
