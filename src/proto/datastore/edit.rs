//! Edits of models: they show at once, and are written when the frame is over.

use std::collections::BTreeSet;

use thiserror::Error;

use super::Datastore;
use super::intent::{Intent, Splice};
use super::mirror::Node;
use super::moving;
use crate::proto::event::{Changed, Event, Origin};
use crate::proto::id::{DocumentId, Hex, PeerId, digest};
use crate::proto::model::handle::{Handle, ModelRef};
use crate::proto::model::list::Position;
use crate::proto::model::path::Path;
use crate::proto::model::value::Value;
use crate::proto::model::{AnyModel, Field, Kind, Model, PropertyShape, Shape};
use crate::proto::reason::{ChangeFault, Denial};

/// The most bytes of the path of a text, which is its key among the texts.
const MAX_TEXT_PATH: usize = 512;

/// Why an edit was not made. Nothing of it was.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EditError {
    /// The handle was made by hand and never in a room.
    #[error("the handle is of no room: take it from a model that was read from the room")]
    Nowhere,
    /// What the handle names is not here.
    #[error("nothing stands at {path}: it was removed or has not arrived yet")]
    Absent {
        /// Where it would be.
        path: Path,
    },
    /// The edit is too large for one change.
    #[error("the edit takes {size} bytes, over the limit of {limit}: divide it")]
    TooLarge {
        /// The most bytes.
        limit: usize,
        /// How many it takes.
        size: usize,
    },
    /// A place beyond the end.
    #[error("place {at} is beyond the end at {len}")]
    OutOfRange {
        /// The place.
        at: usize,
        /// How many there are.
        len: usize,
    },
    /// The model, or one that it is in, is another's.
    #[error("{model} belongs to {by}: claim it first, or ask its owner to let go")]
    Owned {
        /// The model that is owned.
        model: Path,
        /// Whose it is.
        by: PeerId,
    },
    /// A model stands where one was to be put.
    #[error("something stands at {path} already: use it, or remove it first")]
    Occupied {
        /// The place.
        path: Path,
    },
    /// Something was proposed for the place, and is not settled.
    #[error("what was proposed for {path} is not settled yet: wait for the event that says so")]
    Open {
        /// The place.
        path: Path,
    },
    /// The place cannot be had.
    #[error("{path}: {why}")]
    Denied {
        /// The place.
        path: Path,
        /// Why.
        why: Denial,
    },
    /// A value of a state property is no number, or farther out than its grid reaches.
    #[error(
        "property {property} of {model} cannot be told: it is no number, or too large for its step"
    )]
    OffGrid {
        /// The model.
        model: Path,
        /// The property.
        property: u16,
    },
    /// The room takes no more changes.
    #[error("the room takes no more changes ({0}): start a new room")]
    Full(#[from] ChangeFault),
}

impl Datastore {
    /// Changes a model: what differs after `edit` is written, all of it in one change, and nothing
    /// that is equal. Handles within the model keep pointing where they did.
    ///
    /// # Errors
    ///
    /// When the model is not here, or the edit is too large; then it is as it was.
    pub fn update<T: Model, R>(
        &mut self,
        model: &ModelRef<T>,
        edit: impl FnOnce(&mut T) -> R,
    ) -> Result<R, EditError> {
        let path = model.path().ok_or(EditError::Nowhere)?.clone();
        self.update_at(&path, edit)
    }

    /// [`Self::update`] of the root model.
    ///
    /// # Errors
    ///
    /// As [`Self::update`]; also when `M` is not the room's root type.
    pub fn update_root<M: Model, R>(
        &mut self,
        edit: impl FnOnce(&mut M) -> R,
    ) -> Result<R, EditError> {
        self.update_at(&Path::root(), edit)
    }

    /// [`Self::update`] of a model that was made in this frame: what moves begins in the document too,
    /// in the change that makes the model.
    ///
    /// # Errors
    ///
    /// As [`Self::update`].
    pub(crate) fn begin<T: Model, R>(
        &mut self,
        model: &ModelRef<T>,
        edit: impl FnOnce(&mut T) -> R,
    ) -> Result<R, EditError> {
        let path = model.path().ok_or(EditError::Nowhere)?.clone();
        self.edit_at(&path, edit, |shape, id| shape.property(id).is_some_and(moving::passes))
    }

    fn update_at<T: Model, R>(
        &mut self,
        path: &Path,
        edit: impl FnOnce(&mut T) -> R,
    ) -> Result<R, EditError> {
        self.edit_at(path, edit, is_moved)
    }

    /// Edits a model. What goes beside the document is for `beside` to say.
    fn edit_at<T: Model, R>(
        &mut self,
        path: &Path,
        edit: impl FnOnce(&mut T) -> R,
        beside: impl Fn(&Shape, u16) -> bool,
    ) -> Result<R, EditError> {
        self.make_room();
        self.may_write()?;
        self.may_touch(path)?;
        let limit = self.share();
        let Some(Node::Model(node)) = self.mirror.node_mut(path) else {
            return Err(absent(path));
        };
        let before: &mut T = node.data.as_any_mut().downcast_mut().ok_or_else(|| absent(path))?;
        let mut after = before.clone();
        let outcome = edit(&mut after);
        let mut moves = moving::moved(&node.shape, (before, &after));
        moving::fits(path, &moves)?;
        moves.retain(|(property, _)| beside(&node.shape, property.id));
        let mut intents = differences(path, &node.shape, before, &after);
        intents.retain(|intent| !property_of(intent).is_some_and(|id| beside(&node.shape, id)));
        fits(intents.iter().map(Intent::size).sum(), limit)?;
        bind(path, &node.shape, &mut after);
        *before = after;
        let moved = moves.iter().map(|(property, _)| property.id);
        let properties = intents.iter().filter_map(property_of).chain(moved);
        let properties: BTreeSet<u16> = properties.collect();
        self.write_moved(path, moves);
        if !properties.is_empty() {
            self.tell(Event::Changed(Changed {
                model: path.clone(),
                properties,
                origin: Origin::Local,
                fresh: false,
            }));
        }
        intents.into_iter().for_each(|intent| self.pending.push(intent));
        Ok(outcome)
    }

    /// Takes a model out of its collection, with everything below it. Returns whether it was there:
    /// removing twice is removing once.
    ///
    /// # Errors
    ///
    /// When the handle is of no room, or the room takes no more changes.
    pub fn remove<T: Model>(&mut self, model: &ModelRef<T>) -> Result<bool, EditError> {
        let path = model.path().ok_or(EditError::Nowhere)?.clone();
        self.remove_at(path)
    }

    pub(super) fn remove_at(&mut self, path: Path) -> Result<bool, EditError> {
        self.make_room();
        if self.proposals.wants(&path) {
            return Err(EditError::Open { path });
        }
        let parent = path.split().and_then(|(parent, _)| self.mirror.node(&parent));
        if !matches!(parent, Some(Node::Collection { .. } | Node::List(_))) {
            return Ok(false);
        }
        let intent = Intent::Remove { model: path.clone() };
        self.may_touch(&path)?;
        self.allow(std::slice::from_ref(&intent))?;
        let removed = self.mirror.detach(&path);
        if removed {
            self.moving.forget(&path);
            self.pending.push(intent);
            self.tell(Event::Removed { model: path, origin: Origin::Local });
        }
        Ok(removed)
    }

    /// Moves a model of a list.
    pub(super) fn shift(&mut self, path: &Path, position: Position) -> Result<(), EditError> {
        let intent = Intent::Move { model: path.clone(), position: position.clone() };
        self.may_touch(path)?;
        self.allow(std::slice::from_ref(&intent))?;
        let (list, key) = path.split().ok_or(EditError::Nowhere)?;
        let Some(Node::List(list)) = self.mirror.node_mut(&list) else {
            return Err(absent(path));
        };
        if list.place(&key, position) {
            self.pending.push(intent);
            self.tell(Event::Moved { model: path.clone(), origin: Origin::Local });
        }
        Ok(())
    }

    /// Replaces a piece of a text.
    pub(super) fn splice(&mut self, splice: Splice) -> Result<(), EditError> {
        self.make_room();
        let (limit, size) = (MAX_TEXT_PATH, splice.text.as_str().len());
        if size > limit {
            return Err(EditError::TooLarge { limit, size });
        }
        self.allow_bytes(splice.size())?;
        self.may_type(&splice.text)?;
        let Some(Node::Text(content)) = self.mirror.node_mut(&splice.text) else {
            return Err(absent(&splice.text));
        };
        let len = content.chars().count();
        let end = splice.at.saturating_add(splice.delete);
        if end > len {
            return Err(EditError::OutOfRange { at: end, len });
        }
        if splice.delete == 0 && splice.insert.is_empty() {
            return Ok(());
        }
        let offset =
            |at| content.char_indices().nth(at).map_or(content.len(), |(offset, _)| offset);
        let range = offset(splice.at)..offset(end);
        content.replace_range(range, &splice.insert);
        self.tell(Event::Changed(Changed {
            model: splice.text.clone(),
            properties: BTreeSet::new(),
            origin: Origin::Local,
            fresh: false,
        }));
        self.pending.splice(splice);
        Ok(())
    }

    /// Writes without types, for tools: the intent is taken at its word, and dropped with an event
    /// if its model is not there when the frame is written.
    ///
    /// # Errors
    ///
    /// When it is too large, or its model is another's.
    pub fn intend(&mut self, intent: Intent) -> Result<(), EditError> {
        self.make_room();
        if !matches!(intent, Intent::Claim { .. }) {
            self.may_touch(intent.model())?;
        }
        self.allow(std::slice::from_ref(&intent))?;
        self.pending.push(intent);
        Ok(())
    }

    /// Edits a text without types, for tools; places beyond its end are taken as its end.
    ///
    /// # Errors
    ///
    /// When it is too large, or its model is another's.
    pub fn intend_splice(&mut self, splice: Splice) -> Result<(), EditError> {
        self.make_room();
        self.may_type(&splice.text)?;
        self.allow_bytes(splice.size())?;
        self.pending.splice(splice);
        Ok(())
    }

    /// A key under which nobody else will ever put a model.
    #[must_use]
    pub fn element_key(&mut self) -> String {
        self.new_key()
    }

    /// A tag that tells this peer's next position from others' at the same place.
    pub(super) fn position_tag(&mut self) -> String {
        let key = self.new_key();
        Hex(&digest("parlor position", &[key.as_bytes()])[..3]).to_string()
    }

    /// Whether intents fit one change.
    fn allow(&self, intents: &[Intent]) -> Result<(), EditError> {
        self.allow_bytes(intents.iter().map(Intent::size).sum())
    }

    pub(super) fn allow_bytes(&self, size: usize) -> Result<(), EditError> {
        fits(size, self.share())?;
        self.may_write()
    }

    /// Whether the logs take another change.
    fn may_write(&self) -> Result<(), EditError> {
        for document in DocumentId::ALL {
            self.log(document).may_write(self.actor_in(document))?;
        }
        Ok(())
    }
}

const fn fits(size: usize, limit: usize) -> Result<(), EditError> {
    if size > limit { Err(EditError::TooLarge { limit, size }) } else { Ok(()) }
}

pub(super) fn absent(path: &Path) -> EditError {
    EditError::Absent { path: path.clone() }
}

pub(super) fn property_of(intent: &Intent) -> Option<u16> {
    match intent {
        Intent::Put { property, .. } | Intent::Count { property, .. } => Some(*property),
        Intent::Create { .. }
        | Intent::Remove { .. }
        | Intent::Move { .. }
        | Intent::Redeem { .. }
        | Intent::Claim { .. } => None,
    }
}

/// Whether a property goes beside the document.
fn is_moved(shape: &Shape, id: u16) -> bool {
    shape.property(id).is_some_and(|property| property.state.is_some())
}

pub(in crate::proto) fn bind(path: &Path, shape: &Shape, model: &mut dyn AnyModel) {
    for property in shape.handles() {
        if let Some(field) = model.field_mut(property.id) {
            field.bind(&path.property(property.id));
        }
    }
}

/// What must be written to make one model of a type into another.
pub(super) fn differences<T: Model>(
    path: &Path,
    shape: &Shape,
    before: &T,
    after: &T,
) -> Vec<Intent> {
    let value = |model: &T, id| Model::field(model, id).and_then(Field::to_value);
    let properties = shape
        .properties
        .iter()
        .filter(|property| matches!(property.kind, Kind::Value(_) | Kind::Counter));
    properties
        .filter_map(|&PropertyShape { id: property, kind, .. }| {
            let (before, after) = (value(before, property)?, value(after, property)?);
            if before.same(&after) {
                return None;
            }
            let model = path.clone();
            Some(match (before, after, kind) {
                (Value::Int(before), Value::Int(after), Kind::Counter) => {
                    Intent::Count { model, property, by: after.wrapping_sub(before) }
                }
                (_, value, _) => Intent::Put { model, property, value },
            })
        })
        .collect()
}
