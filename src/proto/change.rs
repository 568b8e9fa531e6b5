//! A change as Parlor reads and writes it: the operations that its schema emits, and nothing else.
//!
//! automerge's own bytes of a change follow from this form and only from it: [`chunk`] writes them,
//! and reads no others.

pub mod chunk;
mod column;
pub(in crate::proto) mod leb128;

use bytes::Bytes;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::proto::model::value::Value;
use crate::proto::wire::message::{Actor, Hash};

/// The id of an operation. Ordered as automerge orders them: of two values that were written at the
/// same time, the one with the higher id shows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OpId {
    /// A Lamport counter, from 1.
    pub counter: u64,
    /// Whose it is.
    pub actor: Actor,
}

/// An object of a document.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ObjectId {
    /// The map that every document begins with.
    Root,
    /// What an operation made.
    Made(OpId),
}

/// Where in an object an operation stands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Key {
    /// A key of a map.
    Map(SmolStr),
    /// The beginning of a text.
    Head,
    /// An element of a text, by the operation that inserted it.
    Element(OpId),
}

/// What an operation does.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// Makes a map.
    MakeMap,
    /// Makes a text.
    MakeText,
    /// Writes a value.
    Put(Value),
    /// Writes a counter that begins here.
    Counter(i64),
    /// Adds to the counters that it names as predecessors.
    Increment(i64),
    /// Takes away what it names as predecessors.
    Delete,
}

/// What an operation replaces: hardly ever more than one.
pub type Predecessors = SmallVec<[OpId; 1]>;

/// One operation. Its id is its change's actor, and its change's start plus its place there.
#[derive(Clone, PartialEq, Debug)]
pub struct Operation {
    /// The object that it changes.
    pub object: ObjectId,
    /// Where in it.
    pub key: Key,
    /// Whether it inserts a new element of a text behind [`Self::key`].
    pub insert: bool,
    /// What it does there.
    pub action: Action,
    /// What it replaces, in ascending order.
    pub predecessors: Predecessors,
}

impl Operation {
    /// Whether it makes an object.
    #[must_use]
    pub const fn makes(&self) -> bool {
        matches!(self.action, Action::MakeMap | Action::MakeText)
    }
}

/// A change. Its time is 0, and it has neither a message nor anything behind its operations.
#[derive(Clone, PartialEq, Debug)]
pub struct Change {
    /// Whose it is.
    pub actor: Actor,
    /// Its place among its actor's changes, from 1.
    pub sequence: u64,
    /// The counter of its first operation.
    pub start: u64,
    /// What it follows: in ascending order, but that its author's previous change stands last if
    /// another of them depends on it.
    pub deps: Vec<Hash>,
    /// What it does, in order.
    pub operations: Vec<Operation>,
}

impl Change {
    /// The id of the operation at a place.
    #[must_use]
    pub const fn id(&self, place: usize) -> OpId {
        OpId { counter: self.start + place as u64, actor: self.actor }
    }

    /// The counter of its last operation; one below its start if it has none.
    #[must_use]
    pub const fn end(&self) -> u64 {
        (self.start + self.operations.len() as u64).saturating_sub(1)
    }
}

/// A change with its bytes, which are the only ones that it can have.
#[derive(Clone, PartialEq, Debug)]
pub struct Sealed {
    /// What it says.
    pub change: Change,
    /// As automerge encodes it, not compressed.
    pub bytes: Bytes,
    /// SHA-256 over them, from the chunk's type on.
    pub hash: Hash,
}
