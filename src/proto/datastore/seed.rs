//! Models that are put somewhere.

use smol_str::SmolStr;

use super::edit::{bind, differences, property_of};
use super::intent::{Blueprint, Intent, Splice};
use super::mirror::Node;
use super::{Datastore, EditError, moving};
use crate::proto::event::{Event, Origin};
use crate::proto::model::handle::{Handle, ModelRef};
use crate::proto::model::list::Position;
use crate::proto::model::path::Path;
use crate::proto::model::value::Value;
use crate::proto::model::{AnyModel, Model, PropertyShape};
use crate::proto::table::{ObjectIndex, View};

/// The most bytes of a dictionary's key.
const MAX_KEY: usize = 256;

/// A model that is about to stand somewhere.
#[derive(Debug)]
pub(super) struct Seed {
    /// What makes it, and gives it its values.
    intents: Vec<Intent>,
    /// Values of state properties. Those that are never in a document go beside it.
    moves: Vec<(PropertyShape, Value)>,
    /// The model as it shows here; nothing for tools, which know no types.
    model: Option<Box<dyn AnyModel>>,
}

impl Seed {
    pub(super) fn of<T: Model>(path: &Path, mut model: T, position: Option<Position>) -> Self {
        let shape = T::shape();
        let blueprint = Blueprint::of(&shape);
        let mut intents = vec![Intent::Create { model: path.clone(), blueprint, position }];
        // What moves begins in the document, but what is never there.
        let passes = |id| shape.property(id).is_some_and(moving::passes);
        let values = differences(path, &shape, &T::default(), &model).into_iter();
        intents.extend(values.filter(|intent| !property_of(intent).is_some_and(passes)));
        let moves = moving::moved(&shape, (&T::default(), &model));
        bind(path, &shape, &mut model);
        Self { intents, moves, model: Some(Box::new(model)) }
    }

    pub(super) fn into_intents(self) -> Vec<Intent> {
        self.intents
    }

    pub(super) const fn untyped(intents: Vec<Intent>) -> Self {
        Self { intents, moves: Vec::new(), model: None }
    }
}

impl Datastore {
    /// Puts a model under a key of a collection.
    pub(super) fn create<T: Model>(
        &mut self,
        path: &Path,
        model: T,
        position: Option<Position>,
    ) -> Result<ModelRef<T>, EditError> {
        self.plant(path, Seed::of(path, model, position.clone()), position)?;
        Ok(ModelRef::at(path.clone()))
    }

    /// Puts a model where it is to be.
    pub(super) fn plant(
        &mut self,
        path: &Path,
        seed: Seed,
        position: Option<Position>,
    ) -> Result<(), EditError> {
        self.make_room();
        self.fits_change(path, &seed)?;
        self.may_touch(path)?;
        let (collection, key) = path.split().ok_or(EditError::Nowhere)?;
        self.moving.forget(path);
        let beside = seed.moves.into_iter().filter(|(property, _)| moving::passes(property));
        self.write_moved(path, beside.collect());
        let splices = self.emptying(path);
        if let Some(data) = seed.model {
            let replaced = self.mirror.detach(path);
            if let Some(shape) = self.mirror.enter(&collection, &SmolStr::from(key), || position)
                && let Node::Model(node) = self.mirror.attach(path, &shape)
            {
                node.data = data;
            }
            let (model, origin) = (path.clone(), Origin::Local);
            self.tell(if replaced {
                Event::Replaced { model, origin }
            } else {
                Event::Added { model, origin }
            });
        }
        seed.intents.into_iter().for_each(|intent| self.pending.push(intent));
        splices.into_iter().for_each(|splice| self.pending.splice(splice));
        Ok(())
    }

    /// Whether a new model may be put at a place.
    pub(super) fn fits_change(&self, path: &Path, seed: &Seed) -> Result<(), EditError> {
        let (_, key) = path.split().ok_or(EditError::Nowhere)?;
        let (limit, size) = (MAX_KEY, key.len());
        if size > limit {
            return Err(EditError::TooLarge { limit, size });
        }
        moving::fits(path, &seed.moves)?;
        let splices = self.emptying(path);
        let size = seed.intents.iter().map(Intent::size).chain(splices.iter().map(Splice::size));
        self.allow_bytes(size.sum())
    }

    /// What is done next is to be in one change: a model that is made, and edits of about so many bytes
    /// more. What waits is written out before, if there is too much of it.
    ///
    /// # Errors
    ///
    /// When that is too large for one change.
    pub(crate) fn gather<T: Model>(&mut self, model: &T, more: usize) -> Result<(), EditError> {
        let seed = Seed::of(&Path::root(), model.clone(), None);
        let size = seed.intents.iter().map(Intent::size).sum::<usize>() + more;
        self.allow_bytes(size)?;
        if self.pending.size() + size > self.share() {
            self.write_now();
        }
        Ok(())
    }

    /// What takes out what earlier models under the same key of a dictionary left in their texts.
    fn emptying(&self, model: &Path) -> Vec<Splice> {
        let table = self.texts.table();
        let texts = table.keys_from(ObjectIndex::ROOT, model.as_str());
        texts
            .map(|text| Path::parse(text))
            .take_while(|text| text.as_str().starts_with(model.as_str()))
            .filter(|text| model.contains(text))
            .filter_map(|text| {
                let delete = table.showing(table.text(text.as_str())?, View::Shown);
                let splice = Splice { text, at: 0, delete, insert: String::new() };
                (delete > 0).then_some(splice)
            })
            .collect()
    }
}
