//! Changes as automerge chunks: bytes to changes and back.
//!
//! A chunk is what the Automerge Binary Document Format calls a change chunk: the magic bytes, the
//! first four bytes of the hash, the type 1, a length, and then what the change follows, whose it
//! is, its numbers, the other actors that its operations name, and its operations column by column.
//! What is written is what automerge 0.12 writes, byte for byte (`op_set2/change.rs`,
//! `build_change_inner` and `write_change_ops`; `storage/change/change_op_columns.rs`,
//! `raw_columns`): it writes a change anew whenever it loads a document, and compares the hashes.
//!
//! # What automerge emits
//!
//! Tried with automerge 0.12, and checked in this module's tests. "What shows" are the operations on
//! a key or element that nothing has replaced or deleted; an increment never counts among them, and
//! a counter stays among them however often it is incremented.
//!
//! - **A put, a counter, an object** in a map: the predecessors are all that shows there, and none
//!   after a delete. A put of what shows already, alone, is no operation (of a counter: of the value
//!   that it has come to). A put of the highest of several values is a *delete* of all the others.
//! - **An increment** in a map: the predecessors are all that shows, counters or not, and never
//!   other increments: two in one change both name the counter. What shows and is no counter does
//!   not show afterwards.
//! - **A delete** in a map: the predecessors are all that shows, at least one.
//! - **Inserted text**: one insert for each Unicode scalar value, with it as a string; no
//!   predecessors. The first one's key is the element in front of it that shows, or the beginning;
//!   each other's is the one before it, so the counter of the same change's previous operation.
//! - **Deleted text**: behind the inserts of the same splice, one delete for each element, from left
//!   to right. Its key is the element and its predecessors are all that shows there: the insert,
//!   unless something was put over it, which a splice never does.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::expect_used)]

mod read;
#[cfg(test)]
mod tests;

use bytes::Bytes;
pub use read::decode;
use sha2::{Digest, Sha256};
use smallvec::SmallVec;
use smol_str::SmolStr;

use super::column::{write_booleans, write_deltas, write_runs};
use super::leb128::{write_signed, write_unsigned};
use super::{Action, Change, Key, ObjectId, OpId, Operation, Sealed};
use crate::proto::model::value::Value;
use crate::proto::wire::message::{Actor, Hash};

/// What every chunk begins with.
const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];

/// Where the hashed bytes begin: behind the magic bytes and the checksum.
const HASHED: usize = 8;

/// The type of a chunk that is a change and not compressed.
const CHANGE: u8 = 1;

/// Columns: an id and, in the last four bits, what they are made of.
mod columns {
    pub(super) const OBJECT_ACTOR: u64 = 1;
    pub(super) const OBJECT_COUNTER: u64 = 2;
    pub(super) const KEY_ACTOR: u64 = (1 << 4) | 1;
    pub(super) const KEY_COUNTER: u64 = (1 << 4) | 3;
    pub(super) const KEY_NAME: u64 = (1 << 4) | 5;
    pub(super) const INSERT: u64 = (3 << 4) | 4;
    pub(super) const ACTION: u64 = (4 << 4) | 2;
    pub(super) const KIND: u64 = (5 << 4) | 6;
    pub(super) const VALUE: u64 = (5 << 4) | 7;
    pub(super) const PREDECESSORS: u64 = 7 << 4;
    pub(super) const PREDECESSOR_ACTOR: u64 = (7 << 4) | 1;
    pub(super) const PREDECESSOR_COUNTER: u64 = (7 << 4) | 3;
    /// How many there are.
    pub(super) const COUNT: usize = 12;
}

/// Actions as numbers.
mod actions {
    pub(super) const MAKE_MAP: u64 = 0;
    pub(super) const PUT: u64 = 1;
    pub(super) const DELETE: u64 = 3;
    pub(super) const MAKE_TEXT: u64 = 4;
    pub(super) const INCREMENT: u64 = 5;
}

/// The kinds of values; a value's length stands in front of these four bits.
mod kinds {
    pub(super) const NULL: u64 = 0;
    pub(super) const FALSE: u64 = 1;
    pub(super) const TRUE: u64 = 2;
    pub(super) const UINT: u64 = 3;
    pub(super) const INT: u64 = 4;
    pub(super) const FLOAT: u64 = 5;
    pub(super) const TEXT: u64 = 6;
    pub(super) const BYTES: u64 = 7;
    pub(super) const COUNTER: u64 = 8;
}

/// The actors that a change's operations name beside its own, ascending.
type Others = SmallVec<[Actor; 4]>;

/// What a change says beside its operations.
#[derive(Clone, Copy, Debug)]
pub(in crate::proto) struct Head<'a> {
    pub(in crate::proto) actor: Actor,
    pub(in crate::proto) sequence: u64,
    pub(in crate::proto) start: u64,
    pub(in crate::proto) deps: &'a [Hash],
}

impl<'a> Head<'a> {
    fn of(change: &'a Change) -> Self {
        let Change { actor, sequence, start, ref deps, .. } = *change;
        Self { actor, sequence, start, deps }
    }
}

/// An operation as it is written, borrowed from whatever holds it.
#[derive(Clone, Copy, Debug)]
pub(in crate::proto) struct Written<'a> {
    object: Option<OpId>,
    name: Option<&'a SmolStr>,
    /// The key in a text; the inner option is of its beginning.
    element: Option<Option<OpId>>,
    insert: bool,
    deed: Deed<'a>,
    predecessors: &'a [OpId],
}

/// What an operation does, borrowed.
#[derive(Clone, Copy, Debug)]
pub(in crate::proto) enum Deed<'a> {
    /// It makes a map.
    MakeMap,
    /// It makes a text.
    MakeText,
    /// It writes a value.
    Put(&'a Value),
    /// It writes a counter.
    Counter(i64),
    /// It adds to counters.
    Increment(i64),
    /// It takes values away.
    Delete,
}

impl<'a> Written<'a> {
    /// An operation on a key of a map, the root's or another's, that replaces nothing.
    pub(in crate::proto) const fn first(
        object: Option<OpId>,
        key: &'a SmolStr,
        deed: Deed<'a>,
    ) -> Self {
        Self { object, name: Some(key), element: None, insert: false, deed, predecessors: &[] }
    }

    fn of(operation: &'a Operation) -> Self {
        Self {
            object: match operation.object {
                ObjectId::Root => None,
                ObjectId::Made(id) => Some(id),
            },
            name: match &operation.key {
                Key::Map(name) => Some(name),
                Key::Head | Key::Element(_) => None,
            },
            element: match operation.key {
                Key::Map(_) => None,
                Key::Head => Some(None),
                Key::Element(id) => Some(Some(id)),
            },
            insert: operation.insert,
            deed: match &operation.action {
                Action::MakeMap => Deed::MakeMap,
                Action::MakeText => Deed::MakeText,
                Action::Put(value) => Deed::Put(value),
                Action::Counter(from) => Deed::Counter(*from),
                Action::Increment(by) => Deed::Increment(*by),
                Action::Delete => Deed::Delete,
            },
            predecessors: &operation.predecessors,
        }
    }
}

/// Seals a change: its bytes, as automerge writes them, and its hash. Predecessors are given in
/// ascending order.
#[must_use]
pub fn encode(change: Change) -> Sealed {
    let bytes = write(Head::of(&change), &others(&change), operations(&change));
    let (bytes, hash) = seal(bytes);
    Sealed { change, bytes, hash }
}

/// The bytes of a change whose operations name no other actor than its own, and its hash.
pub(in crate::proto) fn encode_own<'a>(
    head: Head<'_>,
    operations: impl Iterator<Item = Written<'a>> + Clone,
) -> (Bytes, Hash) {
    seal(write(head, &[], operations))
}

fn operations(change: &Change) -> impl Iterator<Item = Written<'_>> + Clone {
    change.operations.iter().map(Written::of)
}

/// Puts its checksum into a chunk.
fn seal(mut bytes: Vec<u8>) -> (Bytes, Hash) {
    let hash = hash(&bytes);
    let checksum = bytes.iter_mut().skip(MAGIC.len()).take(HASHED.saturating_sub(MAGIC.len()));
    for (byte, hashed) in checksum.zip(hash) {
        *byte = hashed;
    }
    (Bytes::from(bytes), hash)
}

/// The hash of a chunk.
fn hash(chunk: &[u8]) -> Hash {
    Sha256::digest(chunk.get(HASHED..).unwrap_or_default()).into()
}

/// The ids that an operation names.
fn named(operation: &Operation) -> impl Iterator<Item = &OpId> {
    let object = match &operation.object {
        ObjectId::Root => None,
        ObjectId::Made(id) => Some(id),
    };
    let key = match &operation.key {
        Key::Map(_) | Key::Head => None,
        Key::Element(id) => Some(id),
    };
    object.into_iter().chain(key).chain(&operation.predecessors)
}

fn others(change: &Change) -> Others {
    let mut others = Others::new();
    let mut last = change.actor;
    for id in change.operations.iter().flat_map(named) {
        if id.actor != last && id.actor != change.actor {
            last = id.actor;
            if let Err(place) = others.binary_search(&last) {
                others.insert(place, last);
            }
        }
    }
    others
}

/// Writes a chunk, with zeros for its checksum.
fn write<'a>(
    head: Head<'_>,
    others: &[Actor],
    operations: impl Iterator<Item = Written<'a>> + Clone,
) -> Vec<u8> {
    // The columns stand first here, so that their lengths are known, and the rest behind them.
    let mut scratch = Vec::with_capacity(head.deps.len().saturating_mul(32).saturating_add(256));
    let lengths = write_columns(&mut scratch, head.actor, others, operations);
    let columns = scratch.len();
    write_head(&mut scratch, head, others);
    write_unsigned(&mut scratch, lengths.iter().filter(|(_, length)| *length > 0).count() as u64);
    for (column, length) in lengths {
        if length > 0 {
            write_unsigned(&mut scratch, column);
            write_unsigned(&mut scratch, length as u64);
        }
    }
    // Of just the length that it has, since it is kept for long.
    let length = usize::try_from(unsigned_length(scratch.len() as u64)).unwrap_or_default();
    let length = scratch.len().saturating_add(length).saturating_add(HASHED).saturating_add(1);
    let mut chunk = Vec::with_capacity(length);
    chunk.extend_from_slice(&MAGIC);
    chunk.resize(HASHED, 0);
    chunk.push(CHANGE);
    write_unsigned(&mut chunk, scratch.len() as u64);
    let (columns, head) = scratch.split_at_checked(columns).unwrap_or_default();
    chunk.extend_from_slice(head);
    chunk.extend_from_slice(columns);
    chunk
}

fn write_head(out: &mut Vec<u8>, head: Head<'_>, others: &[Actor]) {
    write_unsigned(out, head.deps.len() as u64);
    out.extend_from_slice(head.deps.as_flattened());
    write_unsigned(out, head.actor.len() as u64);
    out.extend_from_slice(&head.actor);
    write_unsigned(out, head.sequence);
    write_unsigned(out, head.start);
    write_signed(out, 0); // time
    write_unsigned(out, 0); // message
    write_unsigned(out, others.len() as u64);
    for actor in others {
        write_unsigned(out, actor.len() as u64);
        out.extend_from_slice(actor);
    }
}

/// Appends all columns, in order; returns which they are and how long.
fn write_columns<'a>(
    out: &mut Vec<u8>,
    own: Actor,
    others: &[Actor],
    operations: impl Iterator<Item = Written<'a>> + Clone,
) -> [(u64, usize); columns::COUNT] {
    let rows = || operations.clone();
    let index = |id: OpId| index(&own, others, &id.actor);
    // Mostly nothing is replaced: then no row is asked for what it replaces.
    let replaces = rows().any(|row| !row.predecessors.is_empty());
    let replacing = || rows().take_while(|_| replaces);
    let predecessors = || replacing().flat_map(|row| row.predecessors.iter().copied());
    let column = |id, out: &mut Vec<u8>, write: &dyn Fn(&mut Vec<u8>)| {
        let start = out.len();
        write(out);
        (id, out.len().saturating_sub(start))
    };
    [
        column(columns::OBJECT_ACTOR, out, &|out| {
            write_runs(out, rows().map(|row| row.object.map(index)), write_unsigned);
        }),
        column(columns::OBJECT_COUNTER, out, &|out| {
            write_runs(out, rows().map(|row| row.object.map(|id| id.counter)), write_unsigned);
        }),
        column(columns::KEY_ACTOR, out, &|out| {
            write_runs(out, rows().map(|row| row.element.flatten().map(index)), write_unsigned);
        }),
        column(columns::KEY_COUNTER, out, &|out| {
            let counter = |id: Option<OpId>| id.map_or(0, |id| id.counter);
            write_deltas(out, rows().map(|row| row.element.map(counter)));
        }),
        column(columns::KEY_NAME, out, &|out| {
            write_runs(out, rows().map(|row| row.name), |out, name| {
                write_unsigned(out, name.len() as u64);
                out.extend_from_slice(name.as_bytes());
            });
        }),
        column(columns::INSERT, out, &|out| write_booleans(out, rows().map(|row| row.insert))),
        column(columns::ACTION, out, &|out| {
            write_runs(out, rows().map(|row| Some(action(row.deed))), write_unsigned);
        }),
        column(columns::KIND, out, &|out| {
            write_runs(out, rows().map(|row| Some(kind(row.deed))), write_unsigned);
        }),
        column(columns::VALUE, out, &|out| rows().for_each(|row| write_value(out, row.deed))),
        column(columns::PREDECESSORS, out, &|out| {
            let counts = rows().map(|row| Some(row.predecessors.len() as u64));
            write_runs(out, counts, write_unsigned);
        }),
        column(columns::PREDECESSOR_ACTOR, out, &|out| {
            write_runs(out, predecessors().map(|id| Some(index(id))), write_unsigned);
        }),
        column(columns::PREDECESSOR_COUNTER, out, &|out| {
            write_deltas(out, predecessors().map(|id| Some(id.counter)));
        }),
    ]
}

/// An actor's number in a change: its own is 0, and the others follow.
fn index(own: &Actor, others: &[Actor], actor: &Actor) -> u64 {
    if actor == own {
        return 0;
    }
    let (Ok(place) | Err(place)) = others.binary_search(actor);
    (place as u64).saturating_add(1)
}

const fn action(deed: Deed<'_>) -> u64 {
    match deed {
        Deed::MakeMap => actions::MAKE_MAP,
        Deed::MakeText => actions::MAKE_TEXT,
        Deed::Put(_) | Deed::Counter(_) => actions::PUT,
        Deed::Increment(_) => actions::INCREMENT,
        Deed::Delete => actions::DELETE,
    }
}

/// What an action's value is, and in front of that how many bytes it has.
fn kind(deed: Deed<'_>) -> u64 {
    let (length, kind) = match deed {
        Deed::MakeMap | Deed::MakeText | Deed::Delete | Deed::Put(Value::Null) => (0, kinds::NULL),
        Deed::Put(Value::Bool(false)) => (0, kinds::FALSE),
        Deed::Put(Value::Bool(true)) => (0, kinds::TRUE),
        Deed::Put(&Value::Uint(number)) => (unsigned_length(number), kinds::UINT),
        Deed::Put(&Value::Int(number)) | Deed::Increment(number) => {
            (signed_length(number), kinds::INT)
        }
        Deed::Put(Value::Float(_)) => (size_of::<f64>() as u64, kinds::FLOAT),
        Deed::Put(Value::Text(text)) => (text.len() as u64, kinds::TEXT),
        Deed::Put(Value::Bytes(bytes)) => (bytes.len() as u64, kinds::BYTES),
        Deed::Counter(number) => (signed_length(number), kinds::COUNTER),
    };
    (length << 4) | kind
}

fn write_value(out: &mut Vec<u8>, deed: Deed<'_>) {
    match deed {
        Deed::MakeMap | Deed::MakeText | Deed::Delete | Deed::Put(Value::Null | Value::Bool(_)) => {
        }
        Deed::Put(&Value::Uint(number)) => write_unsigned(out, number),
        Deed::Put(&Value::Int(number)) | Deed::Increment(number) | Deed::Counter(number) => {
            write_signed(out, number);
        }
        Deed::Put(Value::Float(number)) => out.extend_from_slice(&number.to_le_bytes()),
        Deed::Put(Value::Text(text)) => out.extend_from_slice(text.as_bytes()),
        Deed::Put(Value::Bytes(bytes)) => out.extend_from_slice(bytes),
    }
}

/// How many bytes a number without a sign takes: one for each seven bits.
const fn unsigned_length(number: u64) -> u64 {
    let bits = u64::BITS.saturating_sub((number | 1).leading_zeros());
    bits.div_ceil(7) as u64
}

/// The same with a sign, which takes a bit more.
const fn signed_length(number: i64) -> u64 {
    let magnitude = (number ^ (number >> 63)).cast_unsigned();
    let bits = u64::BITS.saturating_sub(magnitude.leading_zeros()).saturating_add(1);
    bits.div_ceil(7) as u64
}
