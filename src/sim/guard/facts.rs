//! What there is in a document that an operation can name.

use smol_str::SmolStr;

use crate::proto::change::{Action, Change, Key, ObjectId, OpId, Operation};
use crate::proto::wire::message::Hash;

/// What an operation was, by what may be done to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A value.
    Value,
    /// A counter.
    Counter,
    /// A map or a text.
    Object,
    /// An element of a text.
    Element,
    /// An increment or a deletion.
    Nothing,
}

/// An operation that was applied.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Fact {
    pub(super) id: OpId,
    pub(super) object: ObjectId,
    pub(super) key: Key,
    pub(super) kind: Kind,
    /// Whether it is a well-known object's.
    pub(super) fixed: bool,
}

/// Everything that was applied, in order; and the parts of it that are asked for often.
#[derive(Clone, Default, Debug)]
pub(super) struct Facts {
    pub(super) all: Vec<Fact>,
    pub(super) maps: Vec<ObjectId>,
    pub(super) texts: Vec<ObjectId>,
    /// Each place in a map that was ever written, once or more.
    pub(super) places: Vec<(ObjectId, SmolStr)>,
    /// Elements of texts, by text.
    pub(super) elements: Vec<(ObjectId, OpId)>,
    pub(super) hashes: Vec<Hash>,
}

/// How long the lists of [`Facts`] were.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark([usize; 6]);

impl Facts {
    pub(super) fn new() -> Self {
        Self { maps: vec![ObjectId::Root], ..Self::default() }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark([
            self.all.len(),
            self.maps.len(),
            self.texts.len(),
            self.places.len(),
            self.elements.len(),
            self.hashes.len(),
        ])
    }

    /// Forgets what was added since.
    pub(super) fn rewind(&mut self, Mark(lengths): Mark) {
        let [all, maps, texts, places, elements, hashes] = lengths;
        self.all.truncate(all);
        self.maps.truncate(maps);
        self.texts.truncate(texts);
        self.places.truncate(places);
        self.elements.truncate(elements);
        self.hashes.truncate(hashes);
    }

    pub(super) fn add(&mut self, change: &Change, hash: Hash, fixed: bool) {
        self.hashes.push(hash);
        for (at, operation) in change.operations.iter().enumerate() {
            self.add_operation(change.id(at), operation, fixed);
        }
    }

    fn add_operation(&mut self, id: OpId, operation: &Operation, fixed: bool) {
        let object = operation.object;
        let kind = match (&operation.key, &operation.action) {
            (Key::Head | Key::Element(_), _) if operation.insert => {
                self.elements.push((object, id));
                Kind::Element
            }
            (Key::Head | Key::Element(_), _) => Kind::Nothing,
            (Key::Map(_), Action::MakeMap) => {
                self.maps.push(ObjectId::Made(id));
                Kind::Object
            }
            (Key::Map(_), Action::MakeText) => {
                self.texts.push(ObjectId::Made(id));
                Kind::Object
            }
            (Key::Map(_), Action::Put(_)) => Kind::Value,
            (Key::Map(_), Action::Counter(_)) => Kind::Counter,
            (Key::Map(_), Action::Increment(_) | Action::Delete) => Kind::Nothing,
        };
        if let Key::Map(key) = &operation.key
            && kind != Kind::Nothing
        {
            self.places.push((object, key.clone()));
        }
        self.all.push(Fact { id, object, key: operation.key.clone(), kind, fixed });
    }

    /// What was ever written at a place.
    pub(super) fn at(&self, object: ObjectId, key: &Key) -> impl Iterator<Item = &Fact> {
        self.all.iter().filter(move |fact| fact.object == object && fact.key == *key)
    }
}
