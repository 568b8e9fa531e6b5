//! What is confirmed and what is not: beside what shows, what would show without the changes that
//! nobody confirmed. And how an epoch's base is laid, which everybody makes of what is confirmed.

use super::{
    Cell, Live, ObjectIndex, ObjectKind, Place, Places, Register, RegisterIndex, Role, Standing,
    Table, Values, View, replace,
};
use crate::proto::base::{Content, Row};
use crate::proto::change::{Action, Change, Key, ObjectId, OpId};
use crate::proto::wire::message::Actor;

impl Table {
    /// The values of a register without what this peer wrote and nobody confirmed, ascending.
    #[must_use]
    pub fn confirmed(&self, register: RegisterIndex) -> &[Live] {
        match self.shadows.get(&register) {
            Some(shadow) => shadow,
            None => self.values(register),
        }
    }

    /// The registers that this peer wrote and nobody confirmed, ascending.
    pub fn unconfirmed(&self) -> impl Iterator<Item = RegisterIndex> {
        self.shadows.keys().copied()
    }

    /// Whether an object shows without what nobody confirmed: it and every object that it is in.
    #[must_use]
    pub fn is_confirmed(&self, object: ObjectIndex) -> bool {
        self.stands(object, Self::confirmed)
    }

    /// Applies a change that was let in before, and of which everything that it follows is here.
    pub fn replay(&mut self, change: &Change, fixed: bool) {
        let mut places = Places::new();
        for operation in &change.operations {
            let own = match &operation.object {
                ObjectId::Made(id) if id.actor == change.actor && id.counter >= change.start => {
                    // An object that the change itself made, by how many it had made before.
                    let before = usize::try_from(id.counter - change.start).unwrap_or(usize::MAX);
                    let makes = change.operations.iter().take(before).filter(|of| of.makes());
                    Some(self.next_object(makes.count()))
                }
                ObjectId::Root | ObjectId::Made(_) => self.object(&operation.object),
            };
            let object = own.unwrap_or(ObjectIndex::ROOT);
            let register = match &operation.key {
                Key::Map(key) => self.register(object, key),
                Key::Head | Key::Element(_) => None,
            };
            places.push(Place { object, register });
        }
        self.apply(change, &places, Standing { fixed, pending: false });
    }

    /// Takes what another table of the same document holds, which lacks some changes, for what is
    /// confirmed.
    pub fn shadow(&mut self, confirmed: &Self, unconfirmed: &[Change]) {
        self.shadows.clear();
        for change in unconfirmed {
            for at in 0..change.operations.len() {
                let Some(register) = self.role(change.id(at)).and_then(Role::register) else {
                    continue;
                };
                let (object, key) = self.place(register);
                let there = confirmed.object(&self.id(object));
                let there = there.map_or(&[][..], |object| confirmed.all(object, key));
                let values = there.iter().filter_map(|live| {
                    let cell = match &live.cell {
                        Cell::Object(of) => Cell::Object(self.object(&confirmed.id(*of))?),
                        Cell::Value(_) | Cell::Counter(_) => live.cell.clone(),
                    };
                    Some(Live { id: live.id, cell })
                });
                let values: Values = values.collect();
                self.shadows.insert(register, values);
            }
        }
        self.shadow_texts(confirmed);
    }

    /// A change that was applied as pending has its place in the room's order now; `last` is whether
    /// no other is pending.
    pub fn confirm(&mut self, change: &Change, last: bool) {
        self.mark(change, View::Confirmed);
        if last {
            self.shadows.clear();
            return;
        }
        for (at, operation) in change.operations.iter().enumerate() {
            let id = change.id(at);
            let Some(register) = self.role(id).and_then(Role::register) else {
                continue;
            };
            let cell = match &operation.action {
                Action::Put(value) => Some(Cell::Value(value.clone())),
                Action::Counter(from) => Some(Cell::Counter(*from)),
                Action::MakeMap | Action::MakeText => {
                    self.object(&ObjectId::Made(id)).map(Cell::Object)
                }
                Action::Increment(_) | Action::Delete => None,
            };
            if let Some(shadow) = self.shadows.get_mut(&register) {
                replace(shadow, id, operation, cell);
            }
        }
    }

    /// Gives back about as much memory as `budget` values take, of a table that nobody reads any more.
    /// Returns whether anything is left.
    pub fn wither(&mut self, budget: usize) -> bool {
        let left = self.registers.len().saturating_sub(budget);
        self.registers.truncate(left);
        self.objects.truncate(left.max(1));
        left > 0
    }

    /// Lays the next rows of a base, which `actor` writes in one operation each. The registers and
    /// objects of the base are the first of the table, in their order: everything is laid before
    /// anything is applied.
    pub fn lay(&mut self, actor: Actor, rows: &[Row]) {
        for row in rows {
            let id = OpId { counter: self.registers.len() as u64 + 1, actor };
            let place = self.registers.len();
            let register = RegisterIndex(u32::try_from(place).unwrap_or(u32::MAX));
            let (cell, role) = match &row.content {
                Content::Value(value) => (Cell::Value(value.clone()), Role::Value(register)),
                Content::Counter(total) if row.fixed => {
                    (Cell::Counter(*total), Role::FixedCounter(register))
                }
                Content::Counter(total) => (Cell::Counter(*total), Role::Counter(register)),
                Content::Map => (Cell::Object(self.next_object(0)), Role::Object(register)),
                // Of texts, a base has nothing else: see [`Self::lay_texts`].
                Content::Text(_) => continue,
            };
            let object = ObjectIndex(row.object);
            let live = Values::from_buf([Live { id, cell }]);
            self.registers.push(Register { object, key: row.key.clone(), live, fixed: row.fixed });
            self.objects[row.object as usize].keys.lay(place);
            let made = matches!(row.content, Content::Map);
            let made = made.then(|| self.stand(id, ObjectKind::Map, register));
            let fixed = row.fixed && !matches!(role, Role::FixedCounter(_));
            self.base.add(actor, if fixed { Role::Fixed(register) } else { role }, made);
        }
        self.laid = u32::try_from(self.objects.len() - 1).unwrap_or(u32::MAX);
    }
}
