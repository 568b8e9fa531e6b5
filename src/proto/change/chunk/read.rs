//! Changes from a stranger's bytes.
//!
//! Everything is bounded before it is read, and then read leniently: at the end, what was read is
//! written, and only if that gives the same bytes are they taken. Rules that follow from it are not
//! looked at: the order of columns, the fewest bytes of a number, runs that could be longer, columns
//! that are too long or should not be there.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::expect_used)]

use bytes::Bytes;
use smol_str::SmolStr;

use super::{
    CHANGE, HASHED, Head, MAGIC, Others, actions, columns, hash, kinds, operations, write,
};
use crate::proto::change::column::{Booleans, Deltas, Runs};
use crate::proto::change::leb128::Reader;
use crate::proto::change::{Action, Change, Key, ObjectId, OpId, Operation, Predecessors, Sealed};
use crate::proto::config::Limits;
use crate::proto::model::value::Value;
use crate::proto::reason::ChangeFault;
use crate::proto::wire::message::{Actor, Hash};

/// How many predecessors there may be for each operation that a change may have.
const PREDECESSORS_EACH: u64 = 4;

/// For how many operations there is room before the first is read.
const RESERVED: usize = 64;

/// Reads a change from a stranger's bytes. What is returned has just these bytes, as automerge
/// writes them. Time and memory are bounded by their length and the limits, whatever they claim.
///
/// What its operations refer to is not looked at, nor whether they fit it.
///
/// # Errors
///
/// When they are too large, claim too much, or are not what [`super::encode`] writes; also when
/// there are no operations.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Sealed, ChangeFault> {
    if bytes.len() > limits.change {
        return Err(ChangeFault::TooLarge);
    }
    let mut reader = Reader(bytes);
    let magic: [u8; 4] = reader.array()?;
    let checksum: [u8; 4] = reader.array()?;
    if magic != MAGIC || reader.byte()? != CHANGE || reader.unsigned()? != reader.len() as u64 {
        return Err(ChangeFault::Malformed);
    }
    let hash = hash(bytes);
    if !hash.starts_with(&checksum) {
        return Err(ChangeFault::Malformed);
    }
    let (change, others) = body(reader, limits)?;
    let mut written = write(Head::of(&change), &others, operations(&change));
    if let Some(place) = written.get_mut(MAGIC.len()..HASHED) {
        place.copy_from_slice(&checksum);
    }
    if written != bytes {
        return Err(ChangeFault::Malformed);
    }
    Ok(Sealed { change, bytes: Bytes::from(written), hash })
}

/// Reads everything behind a chunk's length.
fn body(mut reader: Reader<'_>, limits: &Limits) -> Result<(Change, Others), ChangeFault> {
    let deps = deps(&mut reader)?;
    let actor = actor(&mut reader)?;
    let sequence = reader.unsigned()?;
    let start = reader.unsigned()?;
    let (time, message) = (reader.signed()?, reader.unsigned()?);
    if sequence == 0 || start == 0 || time != 0 || message != 0 {
        return Err(ChangeFault::Malformed);
    }
    let others = others(&mut reader, &actor)?;
    let columns = Columns::find(&mut reader)?;
    let most = u64::try_from(limits.operations).unwrap_or(u64::MAX);
    let count = columns.action.clone().count(most)?;
    let end = start.checked_add(count).ok_or(ChangeFault::Malformed)?;
    if count == 0 || end > u64::from(u32::MAX) {
        return Err(ChangeFault::Malformed);
    }
    let operations = Operations {
        actor,
        others: &others,
        used: vec![false; others.len()],
        predecessors: most.saturating_mul(PREDECESSORS_EACH),
        columns,
    };
    let operations = operations.read(count)?;
    Ok((Change { actor, sequence, start, deps, operations }, others))
}

fn deps(reader: &mut Reader<'_>) -> Result<Vec<Hash>, ChangeFault> {
    let count = reader.items(size_of::<Hash>())?;
    let mut deps = Vec::with_capacity(count);
    for _ in 0..count {
        deps.push(reader.array()?);
    }
    Ok(deps)
}

fn actor(reader: &mut Reader<'_>) -> Result<Actor, ChangeFault> {
    if reader.unsigned()? != size_of::<Actor>() as u64 {
        return Err(ChangeFault::Malformed);
    }
    reader.array()
}

/// Reads the other actors, which ascend and are not the change's own.
fn others(reader: &mut Reader<'_>, own: &Actor) -> Result<Others, ChangeFault> {
    let count = reader.items(size_of::<Actor>())?;
    let others = (0..count).map(|_| actor(reader)).collect::<Result<Others, _>>()?;
    if !others.is_sorted_by(|a, b| a < b) || others.binary_search(own).is_ok() {
        return Err(ChangeFault::Malformed);
    }
    Ok(others)
}

/// The columns of a change.
#[derive(Debug)]
struct Columns<'a> {
    object_actor: Runs<'a, u64>,
    object_counter: Runs<'a, u64>,
    key_actor: Runs<'a, u64>,
    key_counter: Deltas<'a>,
    key_name: Runs<'a, SmolStr>,
    insert: Booleans<'a>,
    action: Runs<'a, u64>,
    kind: Runs<'a, u64>,
    value: Reader<'a>,
    predecessors: Runs<'a, u64>,
    predecessor_actor: Runs<'a, u64>,
    predecessor_counter: Deltas<'a>,
}

impl<'a> Columns<'a> {
    /// Finds them: first all ids and lengths, then what is in them, and nothing behind it.
    fn find(reader: &mut Reader<'a>) -> Result<Self, ChangeFault> {
        let count = reader.items(2)?;
        if count > columns::COUNT {
            return Err(ChangeFault::Malformed);
        }
        let mut data = *reader;
        for _ in 0..count {
            data.unsigned()?;
            data.unsigned()?;
        }
        let runs = || Runs::new(&[], Reader::unsigned);
        let mut found = Self {
            object_actor: runs(),
            object_counter: runs(),
            key_actor: runs(),
            key_counter: Deltas::new(&[]),
            key_name: Runs::new(&[], string),
            insert: Booleans::new(&[]),
            action: runs(),
            kind: runs(),
            value: Reader(&[]),
            predecessors: runs(),
            predecessor_actor: runs(),
            predecessor_counter: Deltas::new(&[]),
        };
        for _ in 0..count {
            let column = reader.unsigned()?;
            let data = data.take(reader.unsigned()?)?;
            let runs = || Runs::new(data, Reader::unsigned);
            match column {
                columns::OBJECT_ACTOR => found.object_actor = runs(),
                columns::OBJECT_COUNTER => found.object_counter = runs(),
                columns::KEY_ACTOR => found.key_actor = runs(),
                columns::KEY_COUNTER => found.key_counter = Deltas::new(data),
                columns::KEY_NAME => found.key_name = Runs::new(data, string),
                columns::INSERT => found.insert = Booleans::new(data),
                columns::ACTION => found.action = runs(),
                columns::KIND => found.kind = runs(),
                columns::VALUE => found.value = Reader(data),
                columns::PREDECESSORS => found.predecessors = runs(),
                columns::PREDECESSOR_ACTOR => found.predecessor_actor = runs(),
                columns::PREDECESSOR_COUNTER => found.predecessor_counter = Deltas::new(data),
                // Marks', compressed, or nobody's.
                _ => return Err(ChangeFault::Malformed),
            }
        }
        if data.is_empty() { Ok(found) } else { Err(ChangeFault::Malformed) }
    }
}

/// A key of a map. Long ones that are repeated share their memory.
fn string(reader: &mut Reader<'_>) -> Result<SmolStr, ChangeFault> {
    text(reader.prefixed()?).map(SmolStr::new)
}

fn text(bytes: &[u8]) -> Result<&str, ChangeFault> {
    str::from_utf8(bytes).map_err(|_| ChangeFault::Malformed)
}

/// Reads operations out of columns.
#[derive(Debug)]
struct Operations<'o, 'a> {
    actor: Actor,
    others: &'o [Actor],
    /// Which of them was named.
    used: Vec<bool>,
    /// How many predecessors there may still be.
    predecessors: u64,
    columns: Columns<'a>,
}

impl Operations<'_, '_> {
    fn read(mut self, count: u64) -> Result<Vec<Operation>, ChangeFault> {
        let count = usize::try_from(count).map_err(|_| ChangeFault::TooLarge)?;
        let mut operations = Vec::with_capacity(count.min(RESERVED));
        for _ in 0..count {
            operations.push(self.operation()?);
        }
        if self.used.contains(&false) {
            return Err(ChangeFault::Malformed);
        }
        Ok(operations)
    }

    fn operation(&mut self) -> Result<Operation, ChangeFault> {
        Ok(Operation {
            object: self.object()?,
            key: self.key()?,
            insert: self.columns.insert.row()?,
            action: self.action()?,
            predecessors: self.predecessors()?,
        })
    }

    fn object(&mut self) -> Result<ObjectId, ChangeFault> {
        match (self.columns.object_actor.row()?, self.columns.object_counter.row()?) {
            (None, None) => Ok(ObjectId::Root),
            (Some(actor), Some(counter)) => self.id(actor, counter).map(ObjectId::Made),
            _ => Err(ChangeFault::Malformed),
        }
    }

    fn key(&mut self) -> Result<Key, ChangeFault> {
        let columns = &mut self.columns;
        let element = (columns.key_actor.row()?, columns.key_counter.row()?);
        match (columns.key_name.row()?, element) {
            (Some(name), (None, None)) => Ok(Key::Map(name)),
            (None, (None, Some(0))) => Ok(Key::Head),
            (None, (Some(actor), Some(counter))) => self.id(actor, counter).map(Key::Element),
            _ => Err(ChangeFault::Malformed),
        }
    }

    fn action(&mut self) -> Result<Action, ChangeFault> {
        let columns = &mut self.columns;
        let (action, kind) = (columns.action.present()?, columns.kind.present()?);
        let mut value = Reader(columns.value.take(kind >> 4)?);
        match (action, kind & 0xf) {
            (actions::MAKE_MAP, kinds::NULL) => Ok(Action::MakeMap),
            (actions::MAKE_TEXT, kinds::NULL) => Ok(Action::MakeText),
            (actions::DELETE, kinds::NULL) => Ok(Action::Delete),
            (actions::INCREMENT, kinds::INT) => Ok(Action::Increment(value.signed()?)),
            (actions::PUT, kinds::COUNTER) => Ok(Action::Counter(value.signed()?)),
            (actions::PUT, kind) => put(kind, value).map(Action::Put),
            _ => Err(ChangeFault::Malformed),
        }
    }

    fn predecessors(&mut self) -> Result<Predecessors, ChangeFault> {
        let count = self.columns.predecessors.present()?;
        self.predecessors = self.predecessors.checked_sub(count).ok_or(ChangeFault::TooLarge)?;
        let mut predecessors = Predecessors::new();
        for _ in 0..count {
            let actor = self.columns.predecessor_actor.present()?;
            let counter = self.columns.predecessor_counter.row()?;
            let id = self.id(actor, counter.ok_or(ChangeFault::Malformed)?)?;
            if predecessors.last().is_some_and(|last| *last >= id) {
                return Err(ChangeFault::Malformed);
            }
            predecessors.push(id);
        }
        Ok(predecessors)
    }

    /// An id by its actor's number: the change's own is 0, and the others follow.
    fn id(&mut self, actor: u64, counter: u64) -> Result<OpId, ChangeFault> {
        if counter == 0 || counter > u64::from(u32::MAX) {
            return Err(ChangeFault::Malformed);
        }
        let Some(place) = actor.checked_sub(1) else {
            return Ok(OpId { counter, actor: self.actor });
        };
        let place = usize::try_from(place).map_err(|_| ChangeFault::Malformed)?;
        let (Some(&actor), Some(used)) = (self.others.get(place), self.used.get_mut(place)) else {
            return Err(ChangeFault::Malformed);
        };
        *used = true;
        Ok(OpId { counter, actor })
    }
}

/// A value of a kind; that it is as long as it should be shows later.
fn put(kind: u64, mut bytes: Reader<'_>) -> Result<Value, ChangeFault> {
    match kind {
        kinds::NULL => Ok(Value::Null),
        kinds::FALSE => Ok(Value::Bool(false)),
        kinds::TRUE => Ok(Value::Bool(true)),
        kinds::UINT => bytes.unsigned().map(Value::Uint),
        kinds::INT => bytes.signed().map(Value::Int),
        kinds::FLOAT => bytes.array().map(f64::from_le_bytes).map(Value::Float),
        kinds::TEXT => text(bytes.0).map(|text| Value::Text(text.to_owned())),
        kinds::BYTES => Ok(Value::Bytes(bytes.0.to_owned())),
        // Timestamps', and those that nobody knows.
        _ => Err(ChangeFault::Malformed),
    }
}
