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

/// Seals a change: its bytes, as automerge writes them, and its hash. Predecessors are given in
/// ascending order.
#[must_use]
pub fn encode(change: Change) -> Sealed {
    let others = others(&change);
    let mut bytes = write(&change, &others);
    let hash = hash(&bytes);
    let checksum = bytes.iter_mut().skip(MAGIC.len()).take(HASHED.saturating_sub(MAGIC.len()));
    for (byte, hashed) in checksum.zip(hash) {
        *byte = hashed;
    }
    Sealed { change, bytes: Bytes::from(bytes), hash }
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
fn write(change: &Change, others: &[Actor]) -> Vec<u8> {
    // The columns stand first here, so that their lengths are known, and the rest behind them.
    let mut scratch = Vec::with_capacity(change.deps.len().saturating_mul(32).saturating_add(256));
    let lengths = write_columns(&mut scratch, change, others);
    let columns = scratch.len();
    write_head(&mut scratch, change, others);
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

fn write_head(out: &mut Vec<u8>, change: &Change, others: &[Actor]) {
    write_unsigned(out, change.deps.len() as u64);
    out.extend_from_slice(change.deps.as_flattened());
    write_unsigned(out, change.actor.len() as u64);
    out.extend_from_slice(&change.actor);
    write_unsigned(out, change.sequence);
    write_unsigned(out, change.start);
    write_signed(out, 0); // time
    write_unsigned(out, 0); // message
    write_unsigned(out, others.len() as u64);
    for actor in others {
        write_unsigned(out, actor.len() as u64);
        out.extend_from_slice(actor);
    }
}

/// Appends all columns, in order; returns which they are and how long.
fn write_columns(
    out: &mut Vec<u8>,
    change: &Change,
    others: &[Actor],
) -> [(u64, usize); columns::COUNT] {
    let operations = &change.operations;
    let index = |actor: &Actor| index(change, others, actor);
    let objects = || operations.iter().map(object);
    let elements = || operations.iter().map(element);
    let predecessors = || operations.iter().flat_map(|operation| &operation.predecessors);
    let column = |id, out: &mut Vec<u8>, write: &dyn Fn(&mut Vec<u8>)| {
        let start = out.len();
        write(out);
        (id, out.len().saturating_sub(start))
    };
    [
        column(columns::OBJECT_ACTOR, out, &|out| {
            write_runs(out, objects().map(|id| id.map(|id| index(&id.actor))), write_unsigned);
        }),
        column(columns::OBJECT_COUNTER, out, &|out| {
            write_runs(out, objects().map(|id| id.map(|id| id.counter)), write_unsigned);
        }),
        column(columns::KEY_ACTOR, out, &|out| {
            let actors = elements().map(|id| id.flatten().map(|id| index(&id.actor)));
            write_runs(out, actors, write_unsigned);
        }),
        column(columns::KEY_COUNTER, out, &|out| {
            write_deltas(out, elements().map(|id| id.map(|id| id.map_or(0, |id| id.counter))));
        }),
        column(columns::KEY_NAME, out, &|out| {
            write_runs(out, operations.iter().map(name), |out, name| {
                write_unsigned(out, name.len() as u64);
                out.extend_from_slice(name.as_bytes());
            });
        }),
        column(columns::INSERT, out, &|out| {
            write_booleans(out, operations.iter().map(|operation| operation.insert));
        }),
        column(columns::ACTION, out, &|out| {
            let actions = operations.iter().map(|operation| Some(action(&operation.action)));
            write_runs(out, actions, write_unsigned);
        }),
        column(columns::KIND, out, &|out| {
            let kinds = operations.iter().map(|operation| Some(kind(&operation.action)));
            write_runs(out, kinds, write_unsigned);
        }),
        column(columns::VALUE, out, &|out| {
            operations.iter().for_each(|operation| write_value(out, &operation.action));
        }),
        column(columns::PREDECESSORS, out, &|out| {
            let counts = operations.iter().map(|operation| operation.predecessors.len() as u64);
            write_runs(out, counts.map(Some), write_unsigned);
        }),
        column(columns::PREDECESSOR_ACTOR, out, &|out| {
            write_runs(out, predecessors().map(|id| Some(index(&id.actor))), write_unsigned);
        }),
        column(columns::PREDECESSOR_COUNTER, out, &|out| {
            write_deltas(out, predecessors().map(|id| Some(id.counter)));
        }),
    ]
}

/// An actor's number in a change: its own is 0, and the others follow.
fn index(change: &Change, others: &[Actor], actor: &Actor) -> u64 {
    if *actor == change.actor {
        return 0;
    }
    let (Ok(place) | Err(place)) = others.binary_search(actor);
    (place as u64).saturating_add(1)
}

const fn object(operation: &Operation) -> Option<OpId> {
    match operation.object {
        ObjectId::Root => None,
        ObjectId::Made(id) => Some(id),
    }
}

/// The key of an operation on a text; the inner option is of its beginning.
const fn element(operation: &Operation) -> Option<Option<OpId>> {
    match operation.key {
        Key::Map(_) => None,
        Key::Head => Some(None),
        Key::Element(id) => Some(Some(id)),
    }
}

fn name(operation: &Operation) -> Option<&SmolStr> {
    match &operation.key {
        Key::Map(name) => Some(name),
        Key::Head | Key::Element(_) => None,
    }
}

const fn action(action: &Action) -> u64 {
    match action {
        Action::MakeMap => actions::MAKE_MAP,
        Action::MakeText => actions::MAKE_TEXT,
        Action::Put(_) | Action::Counter(_) => actions::PUT,
        Action::Increment(_) => actions::INCREMENT,
        Action::Delete => actions::DELETE,
    }
}

/// What an action's value is, and in front of that how many bytes it has.
fn kind(action: &Action) -> u64 {
    let (length, kind) = match action {
        Action::MakeMap | Action::MakeText | Action::Delete | Action::Put(Value::Null) => {
            (0, kinds::NULL)
        }
        Action::Put(Value::Bool(false)) => (0, kinds::FALSE),
        Action::Put(Value::Bool(true)) => (0, kinds::TRUE),
        Action::Put(Value::Uint(number)) => (unsigned_length(*number), kinds::UINT),
        Action::Put(Value::Int(number)) | Action::Increment(number) => {
            (signed_length(*number), kinds::INT)
        }
        Action::Put(Value::Float(_)) => (size_of::<f64>() as u64, kinds::FLOAT),
        Action::Put(Value::Text(text)) => (text.len() as u64, kinds::TEXT),
        Action::Put(Value::Bytes(bytes)) => (bytes.len() as u64, kinds::BYTES),
        Action::Counter(number) => (signed_length(*number), kinds::COUNTER),
    };
    (length << 4) | kind
}

fn write_value(out: &mut Vec<u8>, action: &Action) {
    match action {
        Action::MakeMap
        | Action::MakeText
        | Action::Delete
        | Action::Put(Value::Null | Value::Bool(_)) => {}
        Action::Put(Value::Uint(number)) => write_unsigned(out, *number),
        Action::Put(Value::Int(number)) | Action::Increment(number) | Action::Counter(number) => {
            write_signed(out, *number);
        }
        Action::Put(Value::Float(number)) => out.extend_from_slice(&number.to_le_bytes()),
        Action::Put(Value::Text(text)) => out.extend_from_slice(text.as_bytes()),
        Action::Put(Value::Bytes(bytes)) => out.extend_from_slice(bytes),
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
