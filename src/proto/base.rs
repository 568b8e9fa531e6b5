//! What an epoch begins with: the values of a document, without their history.
//!
//! Rows stand in one order that follows from the values alone, so that everybody who has the same
//! values makes the same changes of them, byte for byte: objects in the order in which they are
//! named, from the root on, and the keys of each in ascending order.

pub mod columns;
mod walk;

use std::sync::Arc;

use smol_str::SmolStr;

pub use self::walk::Walk;
use crate::proto::change::{
    Action, Change, Key, ObjectId, OpId, Operation, Predecessors, Sealed, chunk,
};
use crate::proto::model::value::Value;
use crate::proto::wire::message::{Actor, Hash};

/// How many rows one change of a base has at most.
pub const ROWS_EACH: usize = 1_024;

/// What a row holds.
#[derive(Clone, PartialEq, Debug)]
pub enum Content {
    /// A value.
    Value(Value),
    /// A counter, with what was added to it.
    Counter(i64),
    /// A map, whose own rows come later.
    Map,
}

/// A key of an object with what shows there. What else was written at the same time is not kept.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// Which of the base's objects it is in: 0 is the root, n the nth row that holds a map.
    pub object: u32,
    /// The key.
    pub key: SmolStr,
    /// What is there.
    pub content: Content,
    /// Whether it is well known, and so cannot be replaced.
    pub fixed: bool,
}

/// The values that an epoch begins with. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Base {
    // Not a slice: that would copy them all once more.
    rows: Arc<Vec<Row>>,
    /// The places of the rows that hold maps.
    maps: Arc<[u32]>,
}

impl Base {
    /// A base of rows in their order. Nothing if they are not in that order: objects ascending, each
    /// begun by a row before, and the keys of each ascending, none twice.
    #[must_use]
    pub fn new(rows: Vec<Row>) -> Option<Self> {
        let mut maps: Vec<u32> = Vec::new();
        let mut last: Option<&Row> = None;
        for (place, row) in rows.iter().enumerate() {
            let ordered = last.is_none_or(|last| {
                (last.object, last.key.as_str()) < (row.object, row.key.as_str())
            });
            if !ordered || row.object as usize > maps.len() {
                return None;
            }
            if row.content == Content::Map {
                maps.push(u32::try_from(place).ok()?);
            }
            last = Some(row);
        }
        Self::from_ordered(rows, maps)
    }

    /// A base of rows that are known to be in their order, and the places of those that hold maps.
    /// Nothing if an object stands under the root's empty key: it would have the root's own path.
    fn from_ordered(rows: Vec<Row>, maps: Vec<u32>) -> Option<Self> {
        let nameless =
            |row: &Row| row.object == 0 && row.key.is_empty() && row.content == Content::Map;
        let named = !rows.first().is_some_and(nameless);
        named.then(|| Self { rows: Arc::new(rows), maps: maps.into() })
    }

    /// The rows, in order.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The places of the rows that hold maps, ascending: the first is object 1.
    #[must_use]
    pub fn maps(&self) -> &[u32] {
        &self.maps
    }

    /// How many changes the base makes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len().div_ceil(ROWS_EACH)
    }

    /// Whether the epoch begins with nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows of one of the changes that make the base, by its place from 0.
    #[must_use]
    pub fn rows_of(&self, change: usize) -> &[Row] {
        let rows = self.rows.get(change * ROWS_EACH..).unwrap_or_default();
        &rows[..rows.len().min(ROWS_EACH)]
    }

    /// One of the changes that make the base, by its place from 0: by `actor`, at most [`ROWS_EACH`]
    /// operations of one row each, every change after the one before, whose hash is `previous`.
    #[must_use]
    pub fn change(&self, actor: Actor, place: usize, previous: Option<Hash>) -> Option<Sealed> {
        let rows = self.rows_of(place);
        if rows.is_empty() {
            return None;
        }
        let operations = rows.iter().map(|row| self.operation(actor, row)).collect();
        Some(chunk::encode(Change {
            actor,
            sequence: place as u64 + 1,
            start: (place * ROWS_EACH) as u64 + 1,
            deps: previous.into_iter().collect(),
            operations,
        }))
    }

    fn operation(&self, actor: Actor, row: &Row) -> Operation {
        let object = (row.object as usize).checked_sub(1);
        let object = object.map_or(ObjectId::Root, |map| {
            ObjectId::Made(OpId { counter: u64::from(self.maps[map]) + 1, actor })
        });
        Operation {
            object,
            key: Key::Map(row.key.clone()),
            insert: false,
            action: match &row.content {
                Content::Value(value) => Action::Put(value.clone()),
                Content::Counter(total) => Action::Counter(*total),
                Content::Map => Action::MakeMap,
            },
            predecessors: Predecessors::new(),
        }
    }
}
