//! Runs of operations in a text: characters typed one behind another, and characters taken away one
//! beside another.

use smallvec::smallvec;

use super::DeltaError;
use super::operation::{Before, Eye, Pen, Terms};
use crate::proto::change::{Action, Key, ObjectId, OpId, Operation, Predecessors};
use crate::proto::model::value::Value;
use crate::proto::wire::message::Actor;

const TYPED: u8 = 0;
const TAKEN: u8 = 1;
const TAKEN_BACKWARD: u8 = 2;

/// Several operations in one text.
pub(super) enum Run {
    /// Each character stands behind the one before.
    Typed { behind: Key, text: String, count: usize },
    /// One after another, from the first on.
    Taken { first: OpId, backward: bool, count: usize },
}

impl Run {
    pub(super) const fn code(&self) -> u8 {
        match self {
            Self::Typed { .. } => TYPED,
            Self::Taken { backward: false, .. } => TAKEN,
            Self::Taken { backward: true, .. } => TAKEN_BACKWARD,
        }
    }

    /// How many operations it is.
    pub(super) const fn count(&self) -> usize {
        match self {
            Self::Typed { count, .. } | Self::Taken { count, .. } => *count,
        }
    }

    /// The operations, the first of which has this counter.
    pub(super) fn operations(
        &self,
        author: &Actor,
        counter: u64,
        object: ObjectId,
        operations: &mut Vec<Operation>,
    ) {
        match self {
            Self::Typed { behind, text, .. } => {
                let mut key = behind.clone();
                for (counter, character) in (counter..).zip(text.chars()) {
                    let next = Key::Element(OpId { counter, actor: *author });
                    let key = std::mem::replace(&mut key, next);
                    let action = Action::Put(Value::Text(character.into()));
                    let predecessors = Predecessors::new();
                    operations.push(Operation { object, key, insert: true, action, predecessors });
                }
            }
            Self::Taken { first, backward, count } => {
                operations.extend((0..*count as u64).map(|place| {
                    let id = beside(*first, *backward, place);
                    Operation {
                        object,
                        key: Key::Element(id),
                        insert: false,
                        action: Action::Delete,
                        predecessors: smallvec![id],
                    }
                }));
            }
        }
    }
}

/// The run that operations begin with, if they do.
pub(super) fn find(operations: &[Operation], author: &Actor, counter: u64) -> Option<Run> {
    let first = operations.first()?;
    if let Some(character) = typed(first) {
        let mut text = String::from(character);
        let mut count = 1_usize;
        let counters = counter..;
        for (operation, counter) in operations.iter().skip(1).zip(counters) {
            let behind = Key::Element(OpId { counter, actor: *author });
            match typed(operation) {
                Some(character) if operation.key == behind && operation.object == first.object => {
                    text.push(character);
                }
                _ => break,
            }
            count = count.saturating_add(1);
        }
        return Some(Run::Typed { behind: first.key.clone(), text, count });
    }
    let id = taken(first)?;
    let second = operations.get(1).and_then(taken)?;
    let backward = second.counter < id.counter;
    let places = (0..).zip(operations);
    let count = places.take_while(|(place, operation)| {
        operation.object == first.object && taken(operation) == Some(beside(id, backward, *place))
    });
    let count = count.count();
    (count > 1).then_some(Run::Taken { first: id, backward, count })
}

/// The character that an operation types.
fn typed(operation: &Operation) -> Option<char> {
    let in_text = match operation.key {
        Key::Head | Key::Element(_) => operation.insert,
        Key::Map(_) => false,
    };
    let Action::Put(Value::Text(text)) = &operation.action else {
        return None;
    };
    let mut characters = text.chars();
    let character = characters.next()?;
    let one = characters.next().is_none() && operation.predecessors.is_empty();
    (in_text && one).then_some(character)
}

/// The element that an operation takes away.
fn taken(operation: &Operation) -> Option<OpId> {
    match (&operation.key, &operation.action, &operation.predecessors[..]) {
        (Key::Element(id), Action::Delete, [replaced]) => {
            (id == replaced && !operation.insert).then_some(*id)
        }
        _ => None,
    }
}

/// The element that was made as many operations after another, or before it.
const fn beside(id: OpId, backward: bool, places: u64) -> OpId {
    let counter = if backward {
        id.counter.saturating_sub(places)
    } else {
        id.counter.saturating_add(places)
    };
    OpId { counter, actor: id.actor }
}

/// Writes a run.
pub(super) fn put(
    pen: &mut Pen<'_>,
    terms: &Terms<'_>,
    counter: u64,
    run: &Run,
    before: Option<Before>,
) -> Option<()> {
    match run {
        Run::Typed { behind, text, .. } => {
            match behind {
                Key::Element(id) if before.is_some_and(|before| before.id == *id) => pen.number(1),
                Key::Element(id) => pen.id(&terms.author, counter, *id)?,
                Key::Head | Key::Map(_) => pen.number(0),
            }
            super::cursor::put_text(&mut pen.out, text);
        }
        Run::Taken { first, count, .. } => {
            pen.id(&terms.author, counter, *first)?;
            pen.number(*count as u64);
        }
    }
    Some(())
}

/// Reads a run.
pub(super) fn read(
    eye: &mut Eye<'_, '_>,
    terms: &Terms<'_>,
    counter: u64,
    code: u8,
    before: Option<Before>,
) -> Result<Run, DeltaError> {
    match code {
        TYPED => {
            let behind = match (eye.record.number()?, before) {
                (0, _) => Key::Head,
                (1, Some(before)) => Key::Element(before.id),
                (number, _) => Key::Element(eye.id_of(number, &terms.author, counter)?),
            };
            let text = eye.record.text()?.to_owned();
            let count = text.chars().count();
            Ok(Run::Typed { behind, text, count })
        }
        TAKEN | TAKEN_BACKWARD => {
            let first = eye.id(&terms.author, counter)?;
            let count = usize::try_from(eye.record.number()?).map_err(|_| DeltaError::TooLarge)?;
            Ok(Run::Taken { first, backward: code == TAKEN_BACKWARD, count })
        }
        _ => Err(DeltaError::Malformed),
    }
}
