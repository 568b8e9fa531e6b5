//! A change that is being written: operations on top of a table, without touching it.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use hashbrown::HashTable;
use smol_str::SmolStr;

use crate::proto::change::{Action, Change, Key, ObjectId, OpId, Operation, Predecessors};
use crate::proto::log::Next;
use crate::proto::model::value::Value;
use crate::proto::table::{Cell, Live, ObjectIndex, Role, Table};
use crate::proto::wire::message::Actor;

/// An object that can be written to.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    id: ObjectId,
    /// Where it is in the table; nothing if the draft makes it.
    object: Option<ObjectIndex>,
}

/// A change that is being written.
#[derive(Debug)]
pub struct Draft<'a> {
    table: &'a Table,
    change: Change,
    /// The last operation under each key that wrote something or took it away, by its place.
    shown: HashTable<u32>,
}

impl<'a> Draft<'a> {
    /// An empty change of `actor` that follows everything in the log of `table`.
    #[must_use]
    pub fn new(table: &'a Table, actor: Actor, next: Next, capacity: usize) -> Self {
        let Next { sequence, start, deps } = next;
        let operations = Vec::with_capacity(capacity);
        let change = Change { actor, sequence, start, deps, operations };
        Self { table, change, shown: HashTable::new() }
    }

    /// The change, if there is anything in it.
    #[must_use]
    pub fn finish(self) -> Option<Change> {
        (!self.change.operations.is_empty()).then_some(self.change)
    }

    /// An object of the table.
    #[must_use]
    pub fn target(&self, object: ObjectIndex) -> Target {
        Target { id: self.table.id(object), object: Some(object) }
    }

    /// The object that shows under a key.
    #[must_use]
    pub fn below(&self, target: Target, key: &str) -> Option<Target> {
        if let Some((id, action)) = self.shown(target, key) {
            let made = matches!(action, Action::MakeMap);
            return made.then_some(Target { id: ObjectId::Made(id), object: None });
        }
        Some(self.target(self.table.below(target.object?, key)?))
    }

    /// Whether anything shows under a key.
    #[must_use]
    pub fn has(&self, target: Target, key: &str) -> bool {
        match self.shown(target, key) {
            Some((_, action)) => !matches!(action, Action::Delete),
            None => !self.there(target, key).is_empty(),
        }
    }

    /// Writes a value, unless it is there. Returns whether it may stand there.
    pub fn put(&mut self, target: Target, key: SmolStr, value: &Value) -> bool {
        if let [live] = self.there(target, &key)
            && matches!(&live.cell, Cell::Value(now) if now.same(value))
            && self.shown(target, &key).is_none()
        {
            return true;
        }
        self.write(target, key, Action::Put(value.clone())).is_some()
    }

    /// Writes a value, whatever is there. Returns whether it may stand there.
    pub fn set(&mut self, target: Target, key: SmolStr, value: Value) -> bool {
        self.write(target, key, Action::Put(value)).is_some()
    }

    /// Makes a map. Returns it, if it may stand there.
    pub fn make(&mut self, target: Target, key: SmolStr) -> Option<Target> {
        let made = self.write(target, key, Action::MakeMap)?;
        Some(Target { id: ObjectId::Made(made), object: None })
    }

    /// Writes a counter at zero. Returns whether it may stand there.
    pub fn begin_count(&mut self, target: Target, key: SmolStr) -> bool {
        self.write(target, key, Action::Counter(0)).is_some()
    }

    /// Adds to the counters under a key. Returns whether there are any.
    pub fn count(&mut self, target: Target, key: SmolStr, by: i64) -> bool {
        let counters: Predecessors = match self.shown(target, &key) {
            Some((id, Action::Counter(_))) => [id].into_iter().collect(),
            Some(_) => Predecessors::new(),
            None => {
                let there = self.there(target, &key).iter();
                let counters = there.filter(|live| matches!(live.cell, Cell::Counter(_)));
                counters.map(|live| live.id).collect()
            }
        };
        if counters.is_empty() {
            return false;
        }
        self.push(target, key, Action::Increment(by), counters);
        true
    }

    /// What the counter that shows under a key has come to, without what this draft adds.
    #[must_use]
    pub fn total(&self, target: Target, key: &str) -> i64 {
        match target.object.and_then(|object| self.table.get(object, key)) {
            Some(Cell::Counter(total)) => *total,
            Some(Cell::Value(_) | Cell::Object(_)) | None => 0,
        }
    }

    /// Takes away what is under a key. Returns whether it may go.
    pub fn delete(&mut self, target: Target, key: SmolStr) -> bool {
        self.write(target, key, Action::Delete).is_some()
    }

    /// What the table has under a key.
    fn there(&self, target: Target, key: &str) -> &'a [Live] {
        target.object.map_or(&[], |object| self.table.all(object, key))
    }

    /// What the draft itself left under a key.
    fn shown(&self, target: Target, key: &str) -> Option<(OpId, &Action)> {
        if self.shown.is_empty() {
            return None;
        }
        let place = *self
            .shown
            .find(hash(&target.id, key), |&place| self.stands(place, &target.id, key))?;
        let operation = self.change.operations.get(place as usize)?;
        Some((self.change.id(place as usize), &operation.action))
    }

    /// Whether an operation stands under a key.
    fn stands(&self, place: u32, object: &ObjectId, key: &str) -> bool {
        let operation = self.change.operations.get(place as usize);
        operation.is_some_and(|operation| {
            operation.object == *object
                && matches!(&operation.key, Key::Map(name) if name.as_str() == key)
        })
    }

    fn predecessors(&self, target: Target, key: &str) -> Predecessors {
        match self.shown(target, key) {
            Some((_, Action::Delete)) => Predecessors::new(),
            Some((id, _)) => [id].into_iter().collect(),
            None => self.there(target, key).iter().map(|live| live.id).collect(),
        }
    }

    /// Writes in the place of all that is there. Nothing if that is well known.
    fn write(&mut self, target: Target, key: SmolStr, action: Action) -> Option<OpId> {
        let predecessors = self.predecessors(target, &key);
        let register = target.object.and_then(|object| self.table.register(object, &key));
        let fixed = |id: &OpId| {
            let role = register.and_then(|register| self.table.role_in(register, *id));
            matches!(role, Some(Role::Fixed(_) | Role::FixedCounter(_)))
        };
        if predecessors.iter().any(fixed) {
            return None;
        }
        let code = hash(&target.id, &key);
        let place = u32::try_from(self.change.operations.len()).ok()?;
        let id = self.push(target, key, action, predecessors);
        self.show(code, place);
        Some(id)
    }

    /// Notes that an operation is the last one where it stands.
    fn show(&mut self, code: u64, place: u32) {
        let operations = &self.change.operations;
        let key = |place: u32| {
            operations.get(place as usize).map(|operation| (operation.object, &operation.key))
        };
        let coded = |place: &u32| match key(*place) {
            Some((object, Key::Map(name))) => hash(&object, name),
            Some(_) | None => 0,
        };
        match self.shown.find_mut(code, |earlier| key(*earlier) == key(place)) {
            Some(earlier) => *earlier = place,
            None => {
                self.shown.insert_unique(code, place, coded);
            }
        }
    }

    fn push(
        &mut self,
        target: Target,
        key: SmolStr,
        action: Action,
        predecessors: Predecessors,
    ) -> OpId {
        let id = self.change.id(self.change.operations.len());
        let (object, key) = (target.id, Key::Map(key));
        let operation = Operation { object, key, insert: false, action, predecessors };
        self.change.operations.push(operation);
        id
    }
}

fn hash(object: &ObjectId, key: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one((object, key))
}
