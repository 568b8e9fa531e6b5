//! What an epoch begins with: the values of a document, without their history.
//!
//! Rows stand in one order that follows from the values alone, so that everybody who has the same
//! values makes the same changes of them, byte for byte: objects in the order in which they are
//! named, from the root on, and the keys of each in ascending order.

pub mod columns;
mod texts;
mod walk;

use std::sync::Arc;

use bytes::Bytes;
use smol_str::SmolStr;

use self::texts::Start;
pub use self::texts::Stretch;
pub use self::walk::Walk;
use crate::proto::change::chunk::{self, Deed, Head, Written};
use crate::proto::change::{Change, OpId};
use crate::proto::id::DocumentId;
use crate::proto::model::value::Value;
use crate::proto::wire::message::{Actor, Hash};

/// How many operations one change of a base has at most.
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
    /// A text.
    Text(String),
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
    /// Where each change begins; nothing if it has no texts: then each row is one operation.
    starts: Arc<[Start]>,
}

impl Base {
    /// A base of rows in their order. Nothing if they are not in that order: objects ascending, each
    /// begun by a row before, and the keys of each ascending, none twice; or if there are texts among
    /// other things.
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
        let holds = |row: &Row| matches!(row.content, Content::Map | Content::Text(_));
        let nameless = |row: &Row| row.object == 0 && row.key.is_empty() && holds(row);
        if rows.first().is_some_and(nameless) {
            return None;
        }
        let starts = texts::starts(&rows)?;
        Some(Self { rows: Arc::new(rows), maps: maps.into(), starts: starts.into() })
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
        if self.has_texts() { self.starts.len() } else { self.rows.len().div_ceil(ROWS_EACH) }
    }

    /// Whether it is of texts, and nothing else.
    #[must_use]
    pub fn has_texts(&self) -> bool {
        !self.starts.is_empty()
    }

    /// Whether it can be of a document: nothing else than texts is in that of texts, and none in that
    /// of models.
    #[must_use]
    pub fn suits(&self, document: DocumentId) -> bool {
        self.is_empty() || self.has_texts() == (document == DocumentId::TEXTS)
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

    /// The counter of the first operation of one of the changes that make the base, by its place
    /// from 0.
    #[must_use]
    pub const fn start_of(change: usize) -> u64 {
        (change * ROWS_EACH) as u64 + 1
    }

    /// One of the changes that make the base, by its place from 0, as bytes and their hash: by
    /// `actor`, at most [`ROWS_EACH`] operations, every change after the one before, whose hash is
    /// `previous`.
    #[must_use]
    pub fn encode(
        &self,
        actor: Actor,
        place: usize,
        previous: Option<Hash>,
    ) -> Option<(Bytes, Hash)> {
        if place >= self.len() {
            return None;
        }
        let (sequence, start) = (place as u64 + 1, Self::start_of(place));
        if self.has_texts() {
            let (deps, operations) =
                (previous.into_iter().collect(), self.text_operations(actor, place));
            let sealed = chunk::encode(Change { actor, sequence, start, deps, operations });
            return Some((sealed.bytes, sealed.hash));
        }
        let rows = self.rows_of(place);
        let deps = previous.as_slice();
        let operations = rows.iter().map(|row| self.operation(actor, row));
        Some(chunk::encode_own(Head { actor, sequence, start, deps }, operations))
    }

    fn operation<'a>(&self, actor: Actor, row: &'a Row) -> Written<'a> {
        let map = (row.object as usize).checked_sub(1);
        let object = map.map(|map| OpId { counter: u64::from(self.maps[map]) + 1, actor });
        let deed = match &row.content {
            Content::Value(value) => Deed::Put(value),
            Content::Counter(total) => Deed::Counter(*total),
            Content::Map => Deed::MakeMap,
            Content::Text(_) => Deed::MakeText,
        };
        Written::first(object, &row.key, deed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::change::{
        Action, Change, Key, ObjectId, Operation, Predecessors, Sealed, chunk,
    };

    const ACTOR: Actor = [7; 16];

    fn content() -> impl Strategy<Value = Content> {
        prop_oneof![
            Just(Content::Map),
            any::<i64>().prop_map(Content::Counter),
            Just(Content::Value(Value::Null)),
            any::<bool>().prop_map(|flag| Content::Value(Value::Bool(flag))),
            any::<i64>().prop_map(|number| Content::Value(Value::Int(number))),
            any::<u64>().prop_map(|number| Content::Value(Value::Uint(number))),
            any::<f64>().prop_map(|number| Content::Value(Value::Float(number))),
            any::<String>().prop_map(|text| Content::Value(Value::Text(text))),
            any::<Vec<u8>>().prop_map(|bytes| Content::Value(Value::Bytes(bytes))),
        ]
    }

    /// Rows of objects that each hold as many keys as there are, as long as there are objects.
    fn base(each: usize, contents: Vec<(Content, bool)>) -> Base {
        let mut maps = 0;
        let mut rows = Vec::new();
        for (place, (content, fixed)) in contents.into_iter().enumerate() {
            let object = (place / each).min(maps);
            maps += usize::from(content == Content::Map);
            let key = SmolStr::from(format!("{place:05}"));
            rows.push(Row { object: u32::try_from(object).unwrap(), key, content, fixed });
        }
        Base::new(rows).unwrap()
    }

    fn operation(base: &Base, row: &Row) -> Operation {
        let object = (row.object as usize).checked_sub(1);
        Operation {
            object: object.map_or(ObjectId::Root, |map| {
                ObjectId::Made(OpId { counter: u64::from(base.maps()[map]) + 1, actor: ACTOR })
            }),
            key: Key::Map(row.key.clone()),
            insert: false,
            action: match &row.content {
                Content::Value(value) => Action::Put(value.clone()),
                Content::Counter(total) => Action::Counter(*total),
                Content::Map => Action::MakeMap,
                Content::Text(_) => Action::MakeText,
            },
            predecessors: Predecessors::new(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_base_is_encoded_as_the_changes_that_write_its_rows(
            each in 1..50_usize,
            times in 1..80_usize,
            some in prop::collection::vec((content(), any::<bool>()), 1..30),
        ) {
            let count = some.len() * times;
            let base = base(each, some.into_iter().cycle().take(count).collect());
            let mut previous = None;
            for place in 0..base.len() {
                let operations: Vec<_> =
                    base.rows_of(place).iter().map(|row| operation(&base, row)).collect();
                let Sealed { bytes, hash, .. } = chunk::encode(Change {
                    actor: ACTOR,
                    sequence: place as u64 + 1,
                    start: Base::start_of(place),
                    deps: previous.into_iter().collect(),
                    operations,
                });
                prop_assert_eq!(base.encode(ACTOR, place, previous), Some((bytes, hash)));
                previous = Some(hash);
            }
            prop_assert_eq!(base.encode(ACTOR, base.len(), previous), None);
        }
    }
}
