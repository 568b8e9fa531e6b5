//! The guard: nothing that a peer sent reaches automerge unless every operation of it replaces what
//! is there, stands in an object that is there, and is one that Parlor itself would write.
//!
//! automerge panics at crafted operations, and accepts others that make a document impossible to
//! load again. The rules, by their names in the specification:
//!
//! - **G1**, **G2**: [`chunk::decode`](crate::proto::change::chunk::decode) takes plain changes only,
//!   within the limits, in the one encoding that they have.
//! - **G3**, **G4**, **G5**: [`ChangeLog`](crate::proto::log::ChangeLog) knows whose the actor is,
//!   which sequence and which first operation come next, and all that is depended on.
//! - **G6**: [`check`], here.
//! - **G9**: [`check_claims`]: nobody writes grants but their relay.
//! - **G8**: automerge gets what was let in, in batches; were it to refuse that, the room would end
//!   with a fault instead of a wrong document.

mod ownership;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use smallvec::SmallVec;

pub use self::ownership::{check_claims, may_be_known};
use crate::proto::change::{Action, Change, Key, ObjectId, OpId, Operation};
use crate::proto::config::Limits;
use crate::proto::id::DocumentId;
use crate::proto::model::value::Value;
use crate::proto::reason::ChangeFault;
use crate::proto::table::{ObjectIndex, ObjectKind, Place, Places, RegisterIndex, Role, Table};

/// Whether every operation of a change may be applied (**G6**), and where each stands. The change's
/// sequence, start and dependencies count as checked. Costs the change, not the document.
///
/// # Errors
///
/// When an operation is none that belongs into this document, stands in what is not there, or
/// replaces what is not there or cannot be replaced.
pub fn check(
    table: &Table,
    document: DocumentId,
    limits: &Limits,
    change: &Change,
) -> Result<Places, ChangeFault> {
    if change.operations.is_empty() || change.operations.len() > limits.operations {
        return Err(ChangeFault::TooLarge);
    }
    if change.end() > u64::from(u32::MAX) {
        return Err(ChangeFault::WrongStart);
    }
    let mut guard = Guard {
        table,
        document,
        limits,
        change,
        places: Places::new(),
        made: SmallVec::new(),
        wrote: BTreeMap::new(),
    };
    for (at, operation) in change.operations.iter().enumerate() {
        let (place, depth) = guard.place(at, operation)?;
        guard.operation(at, operation, place)?;
        guard.make(at, operation, depth + 1);
        guard.remember(at, operation, place);
        guard.places.push(place);
    }
    Ok(guard.places)
}

/// Whether an object may stand under a key. Not under the root's empty key: it would have the root's
/// path, and what is in it the paths of the root's properties.
#[must_use]
pub fn may_hold(object: ObjectIndex, key: &str) -> bool {
    object != ObjectIndex::ROOT || !key.is_empty()
}

struct Guard<'a> {
    table: &'a Table,
    document: DocumentId,
    limits: &'a Limits,
    change: &'a Change,
    places: Places,
    /// The objects that the change makes, in order.
    made: SmallVec<[Making; 4]>,
    /// The last operation that wrote or deleted under a key, if there are more than one.
    wrote: BTreeMap<(ObjectIndex, &'a Key), usize>,
}

/// An object that a change makes.
struct Making {
    /// The operation that makes it.
    at: usize,
    kind: ObjectKind,
    depth: usize,
}

impl<'a> Guard<'a> {
    /// The place of an earlier operation of the same change.
    fn own(&self, id: OpId, before: usize) -> Option<usize> {
        let at = usize::try_from(id.counter.checked_sub(self.change.start)?).ok()?;
        (id.actor == self.change.actor && at < before).then_some(at)
    }

    /// Whether an operation can be among what the change follows.
    const fn follows(&self, id: OpId) -> bool {
        id.counter < self.change.start
    }

    fn is_before(&self, id: &ObjectId) -> bool {
        match id {
            ObjectId::Root => true,
            ObjectId::Made(id) => self.follows(*id),
        }
    }

    /// Where an operation stands, and how deep that lies.
    fn place(&self, at: usize, operation: &Operation) -> Result<(Place, usize), ChangeFault> {
        let (object, kind, depth) = self.object(at, &operation.object)?;
        match (&operation.key, kind) {
            (Key::Map(key), ObjectKind::Map) if !operation.insert => {
                if key.len() > self.limits.key {
                    return Err(ChangeFault::TooLarge);
                }
                if depth >= self.limits.depth {
                    return Err(ChangeFault::TooLarge);
                }
                if matches!(operation.action, Action::MakeMap) && !may_hold(object, key) {
                    return Err(ChangeFault::WrongPlace);
                }
                Ok((Place { object, register: self.table.register(object, key) }, depth))
            }
            (Key::Head | Key::Element(_), ObjectKind::Text) => {
                Ok((Place { object, register: None }, depth))
            }
            _ => Err(ChangeFault::WrongPlace),
        }
    }

    /// An object, its kind, and how deep it lies.
    fn object(
        &self,
        at: usize,
        id: &ObjectId,
    ) -> Result<(ObjectIndex, ObjectKind, usize), ChangeFault> {
        if let Some(object) = self.table.object(id).filter(|_| self.is_before(id)) {
            return Ok((object, self.table.kind(object), self.table.depth(object)));
        }
        let ObjectId::Made(id) = id else {
            return Err(ChangeFault::WrongPlace);
        };
        // Neither searched for one by one nor followed upwards: a change may make thousands.
        let own = self.own(*id, at).ok_or(ChangeFault::WrongPlace)?;
        let after = self.made.binary_search_by_key(&own, |made| made.at);
        let after = after.map_err(|_| ChangeFault::WrongPlace)?;
        let Making { kind, depth, .. } = self.made[after];
        Ok((self.table.next_object(after), kind, depth))
    }

    /// Keeps what an operation makes that was found to be allowed.
    fn make(&mut self, at: usize, operation: &Operation, depth: usize) {
        let kind = match operation.action {
            Action::MakeMap => ObjectKind::Map,
            Action::MakeText => ObjectKind::Text,
            Action::Put(_) | Action::Counter(_) | Action::Increment(_) | Action::Delete => return,
        };
        self.made.push(Making { at, kind, depth });
    }

    fn operation(&self, at: usize, operation: &Operation, place: Place) -> Result<(), ChangeFault> {
        match &operation.key {
            Key::Map(_) if self.document == DocumentId::MODELS => self.write(at, operation, place),
            Key::Head if self.document == DocumentId::TEXTS => self.insertion(operation),
            Key::Element(element) if self.document == DocumentId::TEXTS => {
                self.element(at, *element, place.object)?;
                if operation.insert {
                    return self.insertion(operation);
                }
                let erased = operation.predecessors.as_slice() == [*element];
                let erases = matches!(operation.action, Action::Delete) && erased;
                if erases { Ok(()) } else { Err(ChangeFault::WrongPredecessor) }
            }
            Key::Map(_) | Key::Head | Key::Element(_) => Err(ChangeFault::WrongOperation),
        }
    }

    /// An insertion into a text: one character.
    fn insertion(&self, operation: &Operation) -> Result<(), ChangeFault> {
        let character = matches!(
            &operation.action,
            Action::Put(Value::Text(text)) if text.chars().nth(1).is_none() && !text.is_empty()
        );
        if !operation.insert || !character {
            return Err(ChangeFault::WrongOperation);
        }
        if !operation.predecessors.is_empty() {
            return Err(ChangeFault::WrongPredecessor);
        }
        Ok(())
    }

    fn element(&self, at: usize, id: OpId, text: ObjectIndex) -> Result<(), ChangeFault> {
        let there = match self.own(id, at) {
            Some(own) => self.change.operations[own].insert && self.places[own].object == text,
            None => self.follows(id) && self.table.role(id) == Some(Role::Element(text)),
        };
        if there { Ok(()) } else { Err(ChangeFault::WrongPlace) }
    }

    fn write(&self, at: usize, operation: &Operation, place: Place) -> Result<(), ChangeFault> {
        let counts = matches!(operation.action, Action::Increment(_));
        match operation.action {
            Action::Increment(_) | Action::Delete if operation.predecessors.is_empty() => {
                return Err(ChangeFault::WrongPredecessor);
            }
            Action::Put(_)
            | Action::Counter(_)
            | Action::MakeMap
            | Action::Increment(_)
            | Action::Delete => {}
            Action::MakeText => return Err(ChangeFault::WrongOperation),
        }
        if !operation.predecessors.is_sorted_by(|one, next| one < next) {
            return Err(ChangeFault::WrongPredecessor);
        }
        for id in &operation.predecessors {
            let replaced = match self.own(*id, at) {
                Some(own) => self.own_role(own, operation, place),
                None => place.register.and_then(|register| self.role(register, *id)),
            };
            let allowed = match replaced {
                Some(Replaced::Counter) => true,
                Some(Replaced::Other) => !counts,
                Some(Replaced::FixedCounter) => counts,
                None => false,
            };
            if !allowed {
                return Err(ChangeFault::WrongPredecessor);
            }
        }
        if counts || self.replaces_own(operation, place) {
            Ok(())
        } else {
            Err(ChangeFault::WrongPredecessor)
        }
    }

    /// Whether an operation replaces what its author wrote in the same place before: so that there
    /// are never more values in one than there are authors.
    fn replaces_own(&self, operation: &Operation, place: Place) -> bool {
        if let Some(&own) = self.wrote.get(&(place.object, &operation.key)) {
            let deleted = matches!(self.change.operations[own].action, Action::Delete);
            return deleted || operation.predecessors.contains(&self.change.id(own));
        }
        let values = place.register.map_or(&[][..], |register| self.table.values(register));
        let mut own = values.iter().filter(|live| live.id.actor == self.change.actor);
        own.all(|live| operation.predecessors.contains(&live.id))
    }

    fn remember(&mut self, at: usize, operation: &'a Operation, place: Place) {
        let counts = matches!(operation.action, Action::Increment(_));
        if self.change.operations.len() > 1 && self.document == DocumentId::MODELS && !counts {
            self.wrote.insert((place.object, &operation.key), at);
        }
    }

    /// What an earlier operation of the change wrote where this one stands.
    fn own_role(&self, own: usize, operation: &Operation, place: Place) -> Option<Replaced> {
        let earlier = &self.change.operations[own];
        if earlier.key != operation.key || self.places[own].object != place.object {
            return None;
        }
        match earlier.action {
            Action::Put(_) | Action::MakeMap | Action::MakeText => Some(Replaced::Other),
            Action::Counter(_) => Some(Replaced::Counter),
            Action::Increment(_) | Action::Delete => None,
        }
    }

    /// What an operation that was applied wrote in a register.
    fn role(&self, register: RegisterIndex, id: OpId) -> Option<Replaced> {
        let (at, replaced) = match self.table.role(id).filter(|_| self.follows(id))? {
            Role::Value(at) | Role::Object(at) => (at, Replaced::Other),
            Role::Counter(at) => (at, Replaced::Counter),
            Role::FixedCounter(at) => (at, Replaced::FixedCounter),
            Role::Fixed(_) | Role::Nothing(_) | Role::Element(_) | Role::Erasure(_) => return None,
        };
        (at == register).then_some(replaced)
    }
}

/// What an operation may name as replaced.
enum Replaced {
    Other,
    Counter,
    FixedCounter,
}
