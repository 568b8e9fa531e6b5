//! What a member wants to be told of.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use super::source::Held;
use crate::proto::model::grid::Form;
use crate::proto::model::path::Path;
use crate::proto::model::value::Value;
use crate::proto::state::grid::{Truth, number};
use crate::proto::table::{Cell, Table};
use crate::proto::wire::message::{StateArea, StateInterest};

/// How many thousandths a unit has, in which areas are said.
const THOUSANDTHS: f64 = 1_000.0;

/// How much farther than its radius what is told already may be from the centre of an area, so that what
/// is at its edge does not come and go.
const SLACK: f64 = 1.1;

/// What counts in a room, and its documents.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) held: &'a BTreeMap<SmolStr, Held>,
    pub(super) table: &'a Table,
}

/// What a member wants.
#[derive(Debug, Default)]
pub(super) struct Interest {
    said: StateInterest,
    models: Vec<Path>,
}

impl Interest {
    pub(super) fn new(said: StateInterest) -> Self {
        let models = said.models.iter().map(|path| Path::parse(path)).collect();
        Self { said, models }
    }

    /// Whether it is what the member said.
    pub(super) fn is(&self, said: &StateInterest) -> bool {
        self.said == *said
    }

    /// Whether it is everything.
    pub(super) fn is_everything(&self) -> bool {
        let StateInterest { models, tags, areas } = &self.said;
        models.is_empty() && tags.is_empty() && areas.is_empty()
    }

    /// Whether it is told of a model, of which it is told already or not.
    pub(super) fn covers(&self, model: &Path, view: View<'_>, told: bool) -> bool {
        let StateInterest { tags, areas, .. } = &self.said;
        self.is_everything()
            || self.models.iter().any(|path| path.contains(model))
            || tags.iter().any(|tag| view.has(model, tag.property, &tag.value))
            || areas.iter().any(|area| view.lies_in(model, area, told))
    }
}

impl View<'_> {
    /// Whether a property of a model is a text in the document.
    fn has(self, model: &Path, property: u16, text: &str) -> bool {
        let object = self.table.find(model);
        let cell = object.and_then(|object| self.table.get(object, &property.to_string()));
        matches!(cell, Some(Cell::Value(Value::Text(now))) if now == text)
    }

    /// Whether a model is in an area, or a little beside it if it was.
    fn lies_in(self, model: &Path, area: &StateArea, told: bool) -> bool {
        let Some(place) = self.place(model, area.property) else { return false };
        let slack = if told { SLACK } else { 1.0 };
        #[expect(clippy::cast_precision_loss, reason = "what is that far is told or not")]
        let (radius, center) = (
            area.radius as f64 / THOUSANDTHS * slack,
            area.center.map(|number| number as f64 / THOUSANDTHS),
        );
        let off = place.into_iter().zip(center).map(|(at, center)| (at - center).powi(2));
        off.sum::<f64>() <= radius * radius
    }

    /// Where a model is, by a property of the lane.
    fn place(self, model: &Path, property: u16) -> Option<[f64; 3]> {
        let from = SmolStr::from(format!("{} ", model.property(property).as_str()));
        let (_, held) =
            self.held.range(from.clone()..).next().filter(|(name, _)| name.starts_with(&*from))?;
        let (Form::Vector(_), Truth::Numbers(parts)) = (held.name.grid.form, held.truth) else {
            return None;
        };
        let grid = &held.name.grid;
        let [x, y, z, _] = parts.map(|parts| grid.origin + number(parts, grid.step));
        Some([x, y, z])
    }
}
