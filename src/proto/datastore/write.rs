//! From edits to documents: what a frame holds, as one change of each document.

use automerge::transaction::{Transactable, Transaction};
use automerge::{AutomergeError, ObjId, ObjType, ReadDoc, ScalarValue};
use smol_str::SmolStr;

use super::Datastore;
use super::intent::{Blueprint, Intent, Part, Splice};
use super::mirror::Node;
use super::refresh::POSITION;
use crate::proto::document::Touched;
use crate::proto::event::Event;
use crate::proto::model::path::Path;
use crate::proto::model::value::Value;
use crate::proto::model::{Kind, Model};
use crate::proto::reason::ChangeFault;
use crate::proto::wire::bounded::Line;
use crate::proto::wire::message::Made;

/// The key of the root's meta model, which holds the schema records.
pub(super) const META: &str = "0";
/// The key of the record that names the root's type. No type's name is empty.
pub(super) const ROOT_TYPE: &str = "";

impl Datastore {
    /// Writes what is pending. What cannot be written any more is reported as dropped.
    pub(super) fn write(&mut self) {
        let (intents, splices) = self.pending.take();
        self.describe();
        if !intents.is_empty() {
            for intent in &intents {
                self.prepare(intent);
            }
            let dropped = self.write_models(&intents);
            self.settle(&intents, dropped);
        }
        self.write_texts(splices);
    }

    /// Writes intents as one change. Returns the models of those that could not be written: all of
    /// them, if the document does not take the change.
    fn write_models(&mut self, intents: &[Intent]) -> Vec<Path> {
        let mut dropped = Vec::new();
        let author = self.author;
        let outcome = self.models.commit(&author, |transaction| {
            for intent in intents {
                if !perform(transaction, intent)? {
                    dropped.push(intent.model().clone());
                }
            }
            Ok::<(), WriteError>(())
        });
        if outcome.is_err() {
            dropped = intents.iter().map(|intent| intent.model().clone()).collect();
        }
        dropped
    }

    /// Learns the objects of new models, and tells what was dropped.
    fn settle(&mut self, intents: &[Intent], dropped: Vec<Path>) {
        for intent in intents {
            if let Intent::Create { model: path, .. } = intent {
                let object = self.models.object(path);
                if let Some(Node::Model(model)) = self.mirror.node_mut(path) {
                    model.object = object;
                }
            }
        }
        let lost = intents.iter().filter(|intent| dropped.contains(intent.model()));
        let touched: Touched = lost.filter_map(touched_by).collect();
        for model in dropped {
            self.tell(Event::Dropped { model });
        }
        // What the documents did not take must not go on showing.
        self.refresh(&touched);
    }

    fn write_texts(&mut self, splices: Vec<Splice>) {
        if splices.is_empty() {
            return;
        }
        for splice in &splices {
            // The same for everybody who edits this text first, so that no edit is lost to a
            // conflict of two creations. If the log is full, the text is not there below.
            if let Err(fault) = self.texts.ensure(&ObjId::Root, splice.text.as_str(), Made::Text) {
                tracing::debug!(text = %splice.text, %fault, "text not created");
            }
        }
        let author = self.author;
        let mut dropped = Vec::new();
        let outcome = self.texts.commit(&author, |transaction| {
            for splice in &splices {
                match transaction.get(ObjId::Root, splice.text.as_str())? {
                    Some((automerge::Value::Object(ObjType::Text), text)) => {
                        let len = transaction.length(&text);
                        let at = splice.at.min(len);
                        let delete = splice.delete.min(len - at).cast_signed();
                        transaction.splice_text(&text, at, delete, &splice.insert)?;
                    }
                    _ => dropped.push(splice.text.clone()),
                }
            }
            Ok::<(), WriteError>(())
        });
        if outcome.is_err() {
            dropped = splices.into_iter().map(|splice| splice.text).collect();
        }
        let lost = dropped.iter().cloned().collect();
        for model in dropped {
            self.tell(Event::Dropped { model });
        }
        self.refresh_texts(&lost);
    }

    /// Keeps a record of every type of this room in the document, for tools that show names.
    fn describe(&mut self) {
        if std::mem::replace(&mut self.described, true) || self.shape.name.is_empty() {
            return;
        }
        if let Err(fault) = self.write_records() {
            tracing::debug!(%fault, "schema records not written");
        }
    }

    fn write_records(&mut self) -> Result<(), ChangeFault> {
        self.models.ensure(&ObjId::Root, META, Made::Map)?;
        let Some(meta) = self.models.object_at(&ObjId::Root, META) else {
            return Ok(());
        };
        let root = (ROOT_TYPE.to_owned(), self.shape.name.to_owned());
        let types = self.shape.family();
        let records = types.iter().map(|shape| (shape.name.to_owned(), shape.record()));
        for (key, text) in std::iter::once(root).chain(records) {
            let text = Line::new(text).ok_or(ChangeFault::TooLarge)?;
            self.models.ensure(&meta, &key, Made::Record(text))?;
        }
        Ok(())
    }

    /// Makes sure that the well-known objects exist that an intent needs: those on the way to its
    /// model, and its counter.
    fn prepare(&mut self, intent: &Intent) {
        let way = match intent {
            Intent::Create { model, .. } => model.split().map(|(collection, _)| collection),
            Intent::Put { model, .. } | Intent::Count { model, .. } => Some(model.clone()),
            Intent::Remove { .. } | Intent::Move { .. } => None,
        };
        let Some(way) = way else { return };
        let made = self.ensure_way(&way).and_then(|object| match (intent, object) {
            (Intent::Count { property, .. }, Some(object)) => {
                self.models.ensure(&object, &property.to_string(), Made::Counter).map(|_| ())
            }
            _ => Ok(()),
        });
        if let Err(fault) = made {
            tracing::debug!(%fault, path = %way, "well-known object not written");
        }
    }

    /// Walks down a path and makes what always stands there. Stops at an element of a collection
    /// that is not in the document: it is made in this frame, with all that stands below it, or was
    /// removed.
    fn ensure_way(&mut self, path: &Path) -> Result<Option<ObjId>, ChangeFault> {
        let mut object = ObjId::Root;
        let mut at = Path::root();
        for key in path.keys() {
            let fixed = matches!(self.mirror.node(&at), Some(Node::Model(_)));
            if fixed && self.models.object_at(&object, &key).is_none() {
                self.models.ensure(&object, &key, Made::Map)?;
            }
            let Some(next) = self.models.object_at(&object, &key) else {
                return Ok(None);
            };
            object = next;
            at = at.join(&key);
        }
        Ok(Some(object))
    }

    /// Whether a property of a model type is a counter.
    pub(super) fn is_counter<T: Model>(id: u16) -> bool {
        T::shape().property(id).is_some_and(|property| matches!(property.kind, Kind::Counter))
    }
}

/// Where in the mirror an intent shows.
fn touched_by(intent: &Intent) -> Option<(Path, String)> {
    match intent {
        Intent::Put { model, property, .. } | Intent::Count { model, property, .. } => {
            Some((model.clone(), property.to_string()))
        }
        Intent::Create { model, .. } | Intent::Remove { model } => model.split(),
        Intent::Move { model, .. } => Some((model.clone(), POSITION.to_owned())),
    }
}

/// Why a frame could not be written.
enum WriteError {
    Automerge,
    Refused,
}

impl From<AutomergeError> for WriteError {
    fn from(error: AutomergeError) -> Self {
        tracing::debug!(%error, "frame not written");
        Self::Automerge
    }
}

impl From<ChangeFault> for WriteError {
    fn from(fault: ChangeFault) -> Self {
        tracing::debug!(%fault, "frame not written");
        Self::Refused
    }
}

/// Writes one intent. Returns whether its model was there.
fn perform(transaction: &mut Transaction<'_>, intent: &Intent) -> Result<bool, WriteError> {
    match intent {
        Intent::Put { model, property, value } => {
            let Some(object) = object(transaction, model)? else {
                return Ok(false);
            };
            transaction.put(&object, property.to_string(), value_to_scalar(value))?;
        }
        Intent::Count { model, property, by } => {
            let Some(object) = object(transaction, model)? else {
                return Ok(false);
            };
            transaction.increment(&object, property.to_string(), *by)?;
        }
        Intent::Create { model, blueprint, position } => {
            let Some((collection, key)) = model.split() else {
                return Ok(false);
            };
            let Some(collection) = object(transaction, &collection)? else {
                return Ok(false);
            };
            let made = transaction.put_object(&collection, key, ObjType::Map)?;
            if let Some(position) = position {
                transaction.put(&made, POSITION, position.as_str())?;
            }
            build(transaction, &made, blueprint)?;
        }
        Intent::Remove { model } => {
            let Some((collection, key)) = model.split() else {
                return Ok(false);
            };
            // Removing what is gone is no edit and no error.
            if let Some(collection) = object(transaction, &collection)?
                && transaction.get(&collection, key.as_str())?.is_some()
            {
                transaction.delete(&collection, key.as_str())?;
            }
        }
        Intent::Move { model, position } => {
            let Some(object) = object(transaction, model)? else {
                return Ok(false);
            };
            transaction.put(&object, POSITION, position.as_str())?;
        }
    }
    Ok(true)
}

fn build(
    transaction: &mut Transaction<'_>,
    object: &ObjId,
    blueprint: &Blueprint,
) -> Result<(), WriteError> {
    for (property, part) in &blueprint.0 {
        match part {
            Part::Map(below) => {
                let made = transaction.put_object(object, property.to_string(), ObjType::Map)?;
                build(transaction, &made, below)?;
            }
            Part::Counter => {
                transaction.put(object, property.to_string(), ScalarValue::counter(0))?;
            }
        }
    }
    Ok(())
}

fn object(transaction: &Transaction<'_>, path: &Path) -> Result<Option<ObjId>, WriteError> {
    let mut object = ObjId::Root;
    for key in path.keys() {
        match transaction.get(&object, key)? {
            Some((automerge::Value::Object(_), next)) => object = next,
            _ => return Ok(None),
        }
    }
    Ok(Some(object))
}

/// A value as automerge has it.
pub(super) fn value_to_scalar(value: &Value) -> ScalarValue {
    match value {
        Value::Null => ScalarValue::Null,
        Value::Bool(value) => ScalarValue::Boolean(*value),
        Value::Int(value) => ScalarValue::Int(*value),
        Value::Uint(value) => ScalarValue::Uint(*value),
        Value::Float(value) => ScalarValue::F64(*value),
        Value::Text(value) => ScalarValue::Str(SmolStr::new(value)),
        Value::Bytes(value) => ScalarValue::Bytes(value.clone()),
    }
}
