//! What a room holds, to be read.

use smol_str::ToSmolStr;

use crate::proto::datastore::bind;
use crate::proto::id::PeerId;
use crate::proto::log::ChangeLog;
use crate::proto::model::handle::{Handle, ModelRef};
use crate::proto::model::path::Path;
use crate::proto::model::value::Value;
use crate::proto::model::{Field, Kind, Model};
use crate::proto::table::{self, Cell, ObjectIndex, ObjectKind};

/// What a room holds at the relay: all that came in. Reading costs a few lookups.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    models: &'a ChangeLog,
    texts: &'a ChangeLog,
}

impl<'a> View<'a> {
    pub(in crate::proto::hub) const fn new(models: &'a ChangeLog, texts: &'a ChangeLog) -> Self {
        Self { models, texts }
    }

    /// The room's root model.
    #[must_use]
    pub fn root<T: Model>(&self) -> T {
        self.read(&Path::root(), ObjectIndex::ROOT)
    }

    /// A model; nothing if there is none. A [`Child`](crate::proto::model::handle::Child) of the root is
    /// there once somebody has written to it. State properties are as they were last folded.
    #[must_use]
    pub fn get<T: Model>(&self, model: &ModelRef<T>) -> Option<T> {
        self.get_at(model.path()?)
    }

    /// The model at a path, taken for a `T`.
    #[must_use]
    pub fn get_at<T: Model>(&self, model: &Path) -> Option<T> {
        Some(self.read(model, self.map(model)?))
    }

    fn read<T: Model>(&self, path: &Path, object: ObjectIndex) -> T {
        let (shape, mut model) = (T::shape(), T::default());
        for property in &shape.properties {
            let value = match (property.kind, self.cell_in(object, property.id)) {
                (Kind::Value(_), Some(Cell::Value(value))) => value.clone(),
                (Kind::Counter, Some(Cell::Counter(count))) => Value::Int(*count),
                _ => continue,
            };
            if let Some(field) = Model::field_mut(&mut model, property.id) {
                Field::take_value(field, &value);
            }
        }
        bind(path, &shape, &mut model);
        model
    }

    /// The value of a property; nothing if none was written, or it is none.
    #[must_use]
    pub fn value(&self, model: &Path, property: u16) -> Option<&'a Value> {
        match self.cell_in(self.map(model)?, property)? {
            Cell::Value(value) => Some(value),
            Cell::Counter(_) | Cell::Object(_) => None,
        }
    }

    /// What a counter has come to; 0 if nobody counted.
    #[must_use]
    pub fn count(&self, model: &Path, property: u16) -> i64 {
        match self.map(model).and_then(|model| self.cell_in(model, property)) {
            Some(Cell::Counter(count)) => *count,
            Some(Cell::Value(_) | Cell::Object(_)) | None => 0,
        }
    }

    /// What a text says; nothing if nobody ever wrote to it.
    #[must_use]
    pub fn text(&self, text: &Path) -> String {
        let table = self.texts.table();
        let found = table.text(text.as_str());
        found.map_or_else(String::new, |text| table.read(text, table::View::All))
    }

    /// Whether there is a model, or a collection that something was put into.
    #[must_use]
    pub fn has(&self, path: &Path) -> bool {
        self.map(path).is_some()
    }

    /// The models in a collection, in the order of their keys.
    pub fn members(&self, collection: &Path) -> impl Iterator<Item = Path> + use<'a> {
        let table = self.models.table();
        let object = self.map(collection);
        let keys = object
            .into_iter()
            .flat_map(move |object| table.keys(object).map(move |key| table.below(object, key)));
        keys.flatten().map(|member| table.path(member).clone())
    }

    /// Who decides about a model: the owner of the outermost model on the way to it that is owned.
    #[must_use]
    pub fn owner(&self, model: &Path) -> Option<PeerId> {
        self.models.ledger().outermost(model.as_str()).map(|(_, grant)| grant.holder)
    }

    /// The log of the models, for what is not said here.
    #[must_use]
    pub const fn models(&self) -> &'a ChangeLog {
        self.models
    }

    /// The log of the texts.
    #[must_use]
    pub const fn texts(&self) -> &'a ChangeLog {
        self.texts
    }

    fn map(&self, path: &Path) -> Option<ObjectIndex> {
        let table = self.models.table();
        table.find(path).filter(|object| table.kind(*object) == ObjectKind::Map)
    }

    fn cell_in(&self, object: ObjectIndex, property: u16) -> Option<&'a Cell> {
        self.models.table().get(object, &property.to_smolstr())
    }
}
