//! Operations: where they stand, what they replace, what they do.

use smallvec::{SmallVec, smallvec};

use super::DeltaError;
use super::cursor::{Cursor, put_number};
use super::slots::{Numbers, Slots};
use super::{key, runs, value};
use crate::proto::change::{Action, Change, Key, ObjectId, OpId, Operation, Predecessors};
use crate::proto::log::ChangeLog;
use crate::proto::wire::message::Actor;

/// Where an operation stands: bits 4 and 5.
const OVERWRITES_OWN: u8 = 0;
const OVERWRITES: u8 = 1;
const AT_KEY: u8 = 2;
const IN_FULL: u8 = 3;

/// In which object: bits 6 and 7.
const SAME: u8 = 0;
const MADE_BEFORE: u8 = 1;
const STATED: u8 = 2;
const ROOT: u8 = 3;

/// What both ends know of a change before they come to its operations.
pub(super) struct Terms<'a> {
    pub(super) log: &'a ChangeLog,
    pub(super) author: Actor,
    pub(super) sequence: u64,
    pub(super) start: u64,
    /// The author's previous change.
    pub(super) previous: Option<&'a Change>,
}

/// The operation before: its object, and what it may have made or inserted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Before {
    pub(super) object: ObjectId,
    pub(super) id: OpId,
}

impl Terms<'_> {
    /// The operation before the first: the last of the author's previous change.
    fn before(&self) -> Option<Before> {
        let previous = self.previous?;
        let object = previous.operations.last()?.object;
        Some(Before { object, id: OpId { counter: previous.end(), actor: previous.actor } })
    }

    /// The counter of the operation at a place.
    fn counter(&self, place: usize) -> u64 {
        self.start.saturating_add(place as u64)
    }
}

/// What a record is written with.
pub(super) struct Pen<'a> {
    pub(super) out: Vec<u8>,
    pub(super) numbers: &'a mut Numbers,
    pub(super) position: u64,
}

impl Pen<'_> {
    pub(super) fn number(&mut self, value: u64) {
        put_number(&mut self.out, value);
    }

    pub(super) fn mention(&mut self, actor: &Actor) {
        self.numbers.mention(&mut self.out, self.position, actor);
    }

    /// Writes the id of an operation before the one with this counter: at least 2 as a number.
    pub(super) fn id(&mut self, author: &Actor, counter: u64, id: OpId) -> Option<()> {
        let distance = counter.checked_sub(id.counter).filter(|&distance| distance > 0)?;
        let own = id.actor == *author;
        self.number(distance.checked_mul(2)? | u64::from(own));
        if !own {
            self.mention(&id.actor);
        }
        Some(())
    }
}

/// What a record is read with.
pub(super) struct Eye<'a, 'b> {
    pub(super) record: Cursor<'a>,
    pub(super) slots: &'b mut Slots,
}

impl Eye<'_, '_> {
    pub(super) fn id(&mut self, author: &Actor, counter: u64) -> Result<OpId, DeltaError> {
        let number = self.record.number()?;
        self.id_of(number, author, counter)
    }

    /// The id that begins with a number.
    pub(super) fn id_of(
        &mut self,
        number: u64,
        author: &Actor,
        counter: u64,
    ) -> Result<OpId, DeltaError> {
        let counter = counter.checked_sub(number >> 1).filter(|&before| before > 0);
        let actor = if number & 1 == 1 { *author } else { self.slots.mention(&mut self.record)? };
        match counter {
            Some(counter) if number > 1 => Ok(OpId { counter, actor }),
            _ => Err(DeltaError::Malformed),
        }
    }
}

/// Writes operations. Nothing if they cannot be written so.
pub(super) fn put(pen: &mut Pen<'_>, terms: &Terms<'_>, operations: &[Operation]) -> Option<()> {
    let mut before = terms.before();
    let mut place = 0_usize;
    while let Some(rest) = operations.get(place..)
        && let Some(first) = rest.first()
    {
        let counter = terms.counter(place);
        let object = object_code(before, &first.object);
        let done = match runs::find(rest, &terms.author, counter) {
            Some(run) => {
                pen.out.push(value::RUN | run.code() << 4 | object << 6);
                put_object(pen, terms, counter, (object, &first.object))?;
                runs::put(pen, terms, counter, &run, before)?;
                run.count()
            }
            None => {
                put_one(pen, terms, counter, first, object)?;
                1
            }
        };
        place = place.checked_add(done)?;
        let id = OpId { counter: terms.counter(place).checked_sub(1)?, actor: terms.author };
        before = Some(Before { object: first.object, id });
    }
    Some(())
}

fn put_one(
    pen: &mut Pen<'_>,
    terms: &Terms<'_>,
    counter: u64,
    operation: &Operation,
    object: u8,
) -> Option<()> {
    let tag = value::tag(&operation.action);
    if let Some((distance, id)) = overwritten(terms, operation) {
        let own = id.actor == terms.author;
        pen.out.push(tag | if own { OVERWRITES_OWN } else { OVERWRITES } << 4);
        pen.number(distance);
        if !own {
            pen.mention(&id.actor);
        }
    } else {
        let full = !operation.predecessors.is_empty();
        pen.out.push(tag | if full { IN_FULL } else { AT_KEY } << 4 | object << 6);
        put_object(pen, terms, counter, (object, &operation.object))?;
        put_key(pen, terms, counter, operation)?;
        if full {
            pen.number(operation.predecessors.len() as u64);
            for id in &operation.predecessors {
                pen.id(&terms.author, counter, *id)?;
            }
        }
    }
    value::put(&mut pen.out, &operation.action);
    Some(())
}

/// The one operation that another replaces, if its place follows from that, and how far before the
/// change it is.
fn overwritten(terms: &Terms<'_>, operation: &Operation) -> Option<(u64, OpId)> {
    let [id] = operation.predecessors[..] else {
        return None;
    };
    let distance = terms.start.checked_sub(id.counter).filter(|&distance| distance > 0)?;
    let (object, key) = terms.log.place(id)?;
    let follows = !operation.insert && object == operation.object && key == operation.key;
    follows.then_some((distance, id))
}

fn object_code(before: Option<Before>, object: &ObjectId) -> u8 {
    match before {
        Some(before) if before.object == *object => SAME,
        Some(before) if ObjectId::Made(before.id) == *object => MADE_BEFORE,
        _ if *object == ObjectId::Root => ROOT,
        _ => STATED,
    }
}

fn put_object(
    pen: &mut Pen<'_>,
    terms: &Terms<'_>,
    counter: u64,
    object: (u8, &ObjectId),
) -> Option<()> {
    match object {
        (STATED, ObjectId::Made(id)) => pen.id(&terms.author, counter, *id),
        _ => Some(()),
    }
}

fn put_key(
    pen: &mut Pen<'_>,
    terms: &Terms<'_>,
    counter: u64,
    operation: &Operation,
) -> Option<()> {
    let inserts = if operation.insert { key::INSERTS } else { 0 };
    match &operation.key {
        Key::Map(_) if operation.insert => return None,
        Key::Map(text) => key::put(&mut pen.out, (&terms.author, terms.sequence), text),
        Key::Head => pen.out.push(key::HEAD.saturating_add(inserts)),
        Key::Element(id) => {
            pen.out.push(key::ELEMENT.saturating_add(inserts));
            pen.id(&terms.author, counter, *id)?;
        }
    }
    Some(())
}

/// Reads operations up to the end of the record, at most `limit` of them.
pub(super) fn read(
    eye: &mut Eye<'_, '_>,
    terms: &Terms<'_>,
    limit: usize,
) -> Result<Vec<Operation>, DeltaError> {
    let mut operations = Vec::new();
    let mut before = terms.before();
    while !eye.record.is_empty() {
        let header = eye.record.byte()?;
        let counter = terms.counter(operations.len());
        let room = limit.saturating_sub(operations.len());
        if header & 0x0f == value::RUN {
            let object = read_object(eye, terms, counter, (header >> 6, before))?;
            let run = runs::read(eye, terms, counter, (header >> 4) & 3, before)?;
            if run.count() > room {
                return Err(DeltaError::TooLarge);
            }
            run.operations(&terms.author, counter, object, &mut operations);
        } else if room == 0 {
            return Err(DeltaError::TooLarge);
        } else {
            operations.push(read_one(eye, terms, counter, (header, before))?);
        }
        let last = operations.last().ok_or(DeltaError::Malformed)?;
        let counter = terms.counter(operations.len()).saturating_sub(1);
        before = Some(Before { object: last.object, id: OpId { counter, actor: terms.author } });
    }
    Ok(operations)
}

fn read_one(
    eye: &mut Eye<'_, '_>,
    terms: &Terms<'_>,
    counter: u64,
    (header, before): (u8, Option<Before>),
) -> Result<Operation, DeltaError> {
    let (form, object) = ((header >> 4) & 3, header >> 6);
    let (object, key, insert, predecessors) = match form {
        OVERWRITES_OWN | OVERWRITES if object == 0 => {
            let distance = eye.record.number()?;
            let actor = match form {
                OVERWRITES_OWN => terms.author,
                _ => eye.slots.mention(&mut eye.record)?,
            };
            let counter = terms.start.checked_sub(distance).filter(|_| distance > 0);
            let id = OpId { counter: counter.ok_or(DeltaError::Malformed)?, actor };
            let (object, key) = terms.log.place(id).ok_or(DeltaError::Absent)?;
            (object, key, false, smallvec![id])
        }
        AT_KEY | IN_FULL => {
            let object = read_object(eye, terms, counter, (object, before))?;
            let (key, insert) = read_key(eye, terms, counter)?;
            let predecessors = match form {
                IN_FULL => read_predecessors(eye, terms, counter)?,
                _ => Predecessors::new(),
            };
            (object, key, insert, predecessors)
        }
        _ => return Err(DeltaError::Malformed),
    };
    let action = value::read(header & 0x0f, &mut eye.record)?;
    Ok(Operation { object, key, insert, action, predecessors })
}

fn read_object(
    eye: &mut Eye<'_, '_>,
    terms: &Terms<'_>,
    counter: u64,
    (code, before): (u8, Option<Before>),
) -> Result<ObjectId, DeltaError> {
    match (code, before) {
        (SAME, Some(before)) => Ok(before.object),
        (MADE_BEFORE, Some(before)) => Ok(ObjectId::Made(before.id)),
        (STATED, _) => Ok(ObjectId::Made(eye.id(&terms.author, counter)?)),
        (ROOT, _) => Ok(ObjectId::Root),
        _ => Err(DeltaError::Malformed),
    }
}

fn read_key(
    eye: &mut Eye<'_, '_>,
    terms: &Terms<'_>,
    counter: u64,
) -> Result<(Key, bool), DeltaError> {
    const INSERT_HEAD: u8 = key::HEAD.saturating_add(key::INSERTS);
    const INSERT_ELEMENT: u8 = key::ELEMENT.saturating_add(key::INSERTS);
    let code = eye.record.byte()?;
    Ok(match code {
        key::HEAD | INSERT_HEAD => (Key::Head, code == INSERT_HEAD),
        key::ELEMENT | INSERT_ELEMENT => {
            (Key::Element(eye.id(&terms.author, counter)?), code == INSERT_ELEMENT)
        }
        _ => {
            let key = key::read(code, (&terms.author, terms.sequence), &mut eye.record)?;
            (key.ok_or(DeltaError::Malformed)?, false)
        }
    })
}

fn read_predecessors(
    eye: &mut Eye<'_, '_>,
    terms: &Terms<'_>,
    counter: u64,
) -> Result<Predecessors, DeltaError> {
    let count = eye.record.number()?;
    // Each takes a byte at least.
    if count > eye.record.rest().len() as u64 {
        return Err(DeltaError::Malformed);
    }
    (0..count).map(|_| eye.id(&terms.author, counter)).collect::<Result<SmallVec<_>, _>>()
}

/// Writes the actions of a change whose every operation writes again what the one at its place in
/// the author's previous change wrote. Nothing if it does not.
pub(super) fn put_repeated(pen: &mut Pen<'_>, previous: &Change, operations: &[Operation]) -> bool {
    if previous.operations.len() != operations.len() {
        return false;
    }
    let repeats = operations.iter().enumerate().zip(&previous.operations).all(
        |((place, operation), earlier)| {
            let (object, key) = (&operation.object, &operation.key);
            (object, key, operation.insert) == (&earlier.object, &earlier.key, false)
                && !earlier.insert
                && operation.predecessors == replaced(previous, place, earlier, &operation.action)
        },
    );
    if repeats {
        for operation in operations {
            pen.out.push(value::tag(&operation.action));
            value::put(&mut pen.out, &operation.action);
        }
    }
    repeats
}

/// Reads what [`put_repeated`] writes.
pub(super) fn read_repeated(
    record: &mut Cursor<'_>,
    previous: &Change,
) -> Result<Vec<Operation>, DeltaError> {
    let earlier = previous.operations.iter().enumerate();
    let operations = earlier.map(|(place, earlier)| {
        let tag = record.byte()?;
        let action = value::read(tag, record)?;
        let predecessors = replaced(previous, place, earlier, &action);
        let (object, key) = (earlier.object, earlier.key.clone());
        Ok(Operation { object, key, insert: false, action, predecessors })
    });
    let operations = operations.collect::<Result<_, DeltaError>>()?;
    if record.is_empty() { Ok(operations) } else { Err(DeltaError::Malformed) }
}

/// What an operation replaces that repeats another: that other; increments of one counter all name
/// what made it.
fn replaced(previous: &Change, place: usize, earlier: &Operation, action: &Action) -> Predecessors {
    match (&earlier.action, action) {
        (Action::Increment(_), Action::Increment(_)) => earlier.predecessors.clone(),
        _ => {
            let counter = previous.start.saturating_add(place as u64);
            smallvec![OpId { counter, actor: previous.actor }]
        }
    }
}
