//! Every value of a document, live: what automerge would read from it, kept up to date change by
//! change, at a cost that does not grow with history.
//!
//! A property is a register: the operations that wrote it and that no other replaced. The highest of
//! them shows, as in automerge. Every operation that was ever applied is noted with where it stands,
//! so that a change that replaces something is known to replace what was there.

mod keys;
mod note;
mod oracle;
mod shadow;
mod texts;

use std::collections::BTreeMap;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::ops::Bound;

use hashbrown::HashMap;
use smallvec::SmallVec;
use smol_str::SmolStr;

use self::keys::Keys;
pub use self::note::Role;
use self::note::{Laid, Notes};
use self::texts::Texts;
pub use self::texts::{Piece, View};
use crate::proto::change::{Action, Change, Key, ObjectId, OpId, Operation};
use crate::proto::model::path::Path;
use crate::proto::model::value::Value;

/// An object of a table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ObjectIndex(u32);

impl ObjectIndex {
    /// The map that every document begins with.
    pub const ROOT: Self = Self(0);
}

/// A key of an object of a table: the place of its values.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RegisterIndex(u32);

/// What an object is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ObjectKind {
    /// A map.
    Map,
    /// A text.
    Text,
}

/// What an operation wrote.
#[derive(Clone, PartialEq, Debug)]
pub enum Cell {
    /// A value.
    Value(Value),
    /// A counter, with what was added to it.
    Counter(i64),
    /// An object.
    Object(ObjectIndex),
}

/// A value that nothing replaced.
#[derive(Clone, PartialEq, Debug)]
pub struct Live {
    /// The operation that wrote it.
    pub id: OpId,
    /// What it wrote.
    pub cell: Cell,
}

#[derive(Clone, Debug)]
struct Register {
    object: ObjectIndex,
    key: SmolStr,
    /// By id, ascending: the last one shows.
    live: Values,
    /// Whether anything well known was ever written here.
    fixed: bool,
}

#[derive(Clone, Debug)]
struct Object {
    id: ObjectId,
    kind: ObjectKind,
    keys: Keys,
    /// Where it was made; nothing for the root.
    at: Option<RegisterIndex>,
    depth: usize,
    path: Path,
}

/// Where the operations of a change stand, as [`crate::proto::guard`] found.
pub type Places = SmallVec<[Place; 4]>;

/// Where one operation stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The object; one that the change itself makes has the index that it is about to get.
    pub object: ObjectIndex,
    /// The register, if something was ever written there.
    pub register: Option<RegisterIndex>,
}

/// How a change stands.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Standing {
    /// Whether it makes something well known.
    pub fixed: bool,
    /// Whether it is this peer's and nobody confirmed yet that it has its place in the room's order.
    pub pending: bool,
}

/// The values of a register.
type Values = SmallVec<[Live; 1]>;

/// The registers that a change touched.
pub type Touched = SmallVec<[RegisterIndex; 4]>;

/// Every value of a document.
#[derive(Clone, Debug)]
pub struct Table {
    objects: Vec<Object>,
    /// Those that did not stand there when the epoch began.
    made: HashMap<OpId, ObjectIndex, BuildHasherDefault<DefaultHasher>>,
    registers: Vec<Register>,
    base: Laid,
    notes: Notes,
    /// What registers would hold without the changes that nobody confirmed, where those touched them.
    shadows: BTreeMap<RegisterIndex, Values>,
    texts: Texts,
    /// How many objects beside the root were laid.
    laid: u32,
}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

impl Table {
    /// The table of an empty document.
    #[must_use]
    pub fn new() -> Self {
        let root = Object {
            id: ObjectId::Root,
            kind: ObjectKind::Map,
            keys: Keys::default(),
            at: None,
            depth: 0,
            path: Path::root(),
        };
        Self {
            objects: vec![root],
            made: HashMap::default(),
            registers: Vec::new(),
            base: Laid::default(),
            notes: Notes::default(),
            shadows: BTreeMap::new(),
            texts: Texts::default(),
            laid: 0,
        }
    }

    /// An object by its id.
    #[must_use]
    pub fn object(&self, id: &ObjectId) -> Option<ObjectIndex> {
        match id {
            ObjectId::Root => Some(ObjectIndex::ROOT),
            ObjectId::Made(id) => self.base.object(*id).or_else(|| self.made.get(id).copied()),
        }
    }

    /// The index that the next object will get, counted on by `after`.
    #[must_use]
    pub fn next_object(&self, after: usize) -> ObjectIndex {
        ObjectIndex(u32::try_from(self.objects.len() + after).unwrap_or(u32::MAX))
    }

    /// The id of an object.
    #[must_use]
    pub fn id(&self, object: ObjectIndex) -> ObjectId {
        self.at(object).id
    }

    /// What an object is.
    #[must_use]
    pub fn kind(&self, object: ObjectIndex) -> ObjectKind {
        self.at(object).kind
    }

    /// How many objects an object is in.
    #[must_use]
    pub fn depth(&self, object: ObjectIndex) -> usize {
        self.at(object).depth
    }

    /// The keys that lead to an object.
    #[must_use]
    pub fn path(&self, object: ObjectIndex) -> &Path {
        &self.at(object).path
    }

    /// Where the values under a key of an object are, if there ever were any.
    #[must_use]
    pub fn register(&self, object: ObjectIndex, key: &str) -> Option<RegisterIndex> {
        self.objects.get(object.0 as usize)?.keys.get(&self.registers, key)
    }

    /// The object and the key of a register.
    #[must_use]
    pub fn place(&self, register: RegisterIndex) -> (ObjectIndex, &SmolStr) {
        let register = &self.registers[register.0 as usize];
        (register.object, &register.key)
    }

    /// The values of a register that nothing replaced, ascending: the last one shows.
    #[must_use]
    pub fn values(&self, register: RegisterIndex) -> &[Live] {
        &self.registers[register.0 as usize].live
    }

    /// The values under a key of an object, ascending: the last one shows.
    #[must_use]
    pub fn all(&self, object: ObjectIndex, key: &str) -> &[Live] {
        self.register(object, key).map_or(&[], |register| self.values(register))
    }

    /// The value that shows under a key of an object.
    #[must_use]
    pub fn get(&self, object: ObjectIndex, key: &str) -> Option<&Cell> {
        self.all(object, key).last().map(|live| &live.cell)
    }

    /// The object that shows under a key of another.
    #[must_use]
    pub fn below(&self, object: ObjectIndex, key: &str) -> Option<ObjectIndex> {
        match self.get(object, key) {
            Some(Cell::Object(below)) => Some(*below),
            Some(Cell::Value(_) | Cell::Counter(_)) | None => None,
        }
    }

    /// The object that shows at a path.
    #[must_use]
    pub fn find(&self, path: &Path) -> Option<ObjectIndex> {
        path.keys().try_fold(ObjectIndex::ROOT, |object, key| self.below(object, &key))
    }

    /// Whether the epoch began with an object.
    #[must_use]
    pub const fn is_laid(&self, object: ObjectIndex) -> bool {
        object.0 <= self.laid
    }

    /// Whether an object shows: it and every object that it is in.
    #[must_use]
    pub fn is_shown(&self, object: ObjectIndex) -> bool {
        self.stands(object, Self::values)
    }

    fn stands(&self, object: ObjectIndex, values: fn(&Self, RegisterIndex) -> &[Live]) -> bool {
        let mut object = object;
        while let Some(register) = self.at(object).at {
            let shows = values(self, register).last().map(|live| &live.cell);
            if shows != Some(&Cell::Object(object)) {
                return false;
            }
            object = self.registers[register.0 as usize].object;
        }
        true
    }

    /// How many keys an object has, whether they have a value or not.
    #[must_use]
    pub fn len(&self, object: ObjectIndex) -> usize {
        self.at(object).keys.len()
    }

    /// The keys of an object behind one, whether they have a value or not, in order.
    pub fn registers(
        &self,
        object: ObjectIndex,
        after: Option<&SmolStr>,
    ) -> impl Iterator<Item = (&SmolStr, RegisterIndex)> {
        let from = after.map_or(Bound::Unbounded, |key| Bound::Excluded(key.as_str()));
        self.at(object).keys.from(&self.registers, from)
    }

    /// The keys of an object that have a value, in order.
    pub fn keys(&self, object: ObjectIndex) -> impl Iterator<Item = &SmolStr> {
        self.with_value(object, Bound::Unbounded)
    }

    /// The keys of an object from one on that have a value, in order.
    pub fn keys_from(&self, object: ObjectIndex, from: &str) -> impl Iterator<Item = &SmolStr> {
        self.with_value(object, Bound::Included(from))
    }

    fn with_value(
        &self,
        object: ObjectIndex,
        from: Bound<&str>,
    ) -> impl Iterator<Item = &SmolStr> + use<'_> {
        let keys = self.at(object).keys.from(&self.registers, from);
        keys.filter(|(_, register)| !self.values(*register).is_empty()).map(|(key, _)| key)
    }

    /// Where an operation stands, and what it was there; nothing for one that was never applied.
    #[must_use]
    pub fn role(&self, id: OpId) -> Option<Role> {
        self.base.role(id).or_else(|| self.notes.role(id))
    }

    /// What an operation was that may stand in a register. For what stands there, it costs less than
    /// [`Self::role`].
    #[must_use]
    pub fn role_in(&self, register: RegisterIndex, id: OpId) -> Option<Role> {
        let there = &self.registers[register.0 as usize];
        match there.live.iter().find(|live| live.id == id) {
            Some(live) if !there.fixed => Some(match live.cell {
                Cell::Value(_) => Role::Value(register),
                Cell::Counter(_) => Role::Counter(register),
                Cell::Object(_) => Role::Object(register),
            }),
            _ => self.role(id),
        }
    }

    /// Where an operation stands: its object and its key there. For one that inserted an element of
    /// a text, the text and that element; nothing for one that took an element away.
    #[must_use]
    pub fn place_of(&self, id: OpId) -> Option<(ObjectId, Key)> {
        match self.role(id)? {
            Role::Value(register)
            | Role::Counter(register)
            | Role::Object(register)
            | Role::Fixed(register)
            | Role::FixedCounter(register)
            | Role::Nothing(register) => {
                let (object, key) = self.place(register);
                Some((self.id(object), Key::Map(key.clone())))
            }
            Role::Element(text) => Some((self.id(text), Key::Element(id))),
            Role::Erasure(_) => None,
        }
    }

    /// Applies a change of which every operation was found to stand at a place. Returns what it
    /// touched; of texts, where they stand.
    pub fn apply(&mut self, change: &Change, places: &Places, standing: Standing) -> Touched {
        let mut touched = Touched::new();
        let mut roles = SmallVec::<[Role; 4]>::new();
        for (at, (operation, place)) in change.operations.iter().zip(places).enumerate() {
            let id = change.id(at);
            let (role, register) = match &operation.key {
                Key::Map(key) => self.write(id, operation, (*place, key), standing),
                Key::Head | Key::Element(_) => self.type_at(id, operation, place.object, standing),
            };
            roles.push(role);
            if let Some(register) = register
                && touched.last() != Some(&register)
            {
                touched.push(register);
            }
        }
        self.notes.add(change.actor, change.start, &roles);
        touched
    }

    fn write(
        &mut self,
        id: OpId,
        operation: &Operation,
        (place, key): (Place, &SmolStr),
        standing: Standing,
    ) -> (Role, Option<RegisterIndex>) {
        let index = place.register.unwrap_or_else(|| self.reserve(place.object, key));
        let cell = self.cell(id, operation, index);
        let role = match &cell {
            Some(Cell::Counter(_)) if standing.fixed => Role::FixedCounter(index),
            Some(_) if standing.fixed => Role::Fixed(index),
            Some(Cell::Value(_)) => Role::Value(index),
            Some(Cell::Counter(_)) => Role::Counter(index),
            Some(Cell::Object(_)) => Role::Object(index),
            None => Role::Nothing(index),
        };
        let Register { live, fixed, .. } = &mut self.registers[index.0 as usize];
        *fixed |= standing.fixed;
        if standing.pending {
            self.shadows.entry(index).or_insert_with(|| live.clone());
        } else if let Some(shadow) = self.shadows.get_mut(&index) {
            replace(shadow, id, operation, cell.clone());
        }
        replace(live, id, operation, cell);
        (role, Some(index))
    }

    fn cell(&mut self, id: OpId, operation: &Operation, at: RegisterIndex) -> Option<Cell> {
        match &operation.action {
            Action::Put(value) => Some(Cell::Value(value.clone())),
            Action::Counter(from) => Some(Cell::Counter(*from)),
            Action::MakeMap => Some(Cell::Object(self.make(id, ObjectKind::Map, at))),
            Action::MakeText => Some(Cell::Object(self.make(id, ObjectKind::Text, at))),
            Action::Increment(_) | Action::Delete => None,
        }
    }

    fn make(&mut self, id: OpId, kind: ObjectKind, at: RegisterIndex) -> ObjectIndex {
        let index = self.stand(id, kind, at);
        self.made.insert(id, index);
        index
    }

    /// Adds an object that an operation made in a register.
    fn stand(&mut self, id: OpId, kind: ObjectKind, at: RegisterIndex) -> ObjectIndex {
        let index = self.next_object(0);
        let Register { object, key, .. } = &self.registers[at.0 as usize];
        let above = self.at(*object);
        let object = Object {
            id: ObjectId::Made(id),
            kind,
            keys: Keys::default(),
            at: Some(at),
            depth: above.depth + 1,
            path: above.path.join(key),
        };
        self.objects.push(object);
        index
    }

    /// The register of a key, made if nothing was ever written there.
    fn reserve(&mut self, object: ObjectIndex, key: &SmolStr) -> RegisterIndex {
        let next = RegisterIndex(u32::try_from(self.registers.len()).unwrap_or(u32::MAX));
        let keys = &mut self.objects[object.0 as usize].keys;
        if let Some(register) = keys.get(&self.registers, key) {
            return register;
        }
        keys.insert(key.clone(), next);
        let (key, live) = (key.clone(), SmallVec::new());
        self.registers.push(Register { object, key, live, fixed: false });
        next
    }

    fn at(&self, object: ObjectIndex) -> &Object {
        &self.objects[object.0 as usize]
    }
}

/// Does in a register what an operation does that writes `cell`.
fn replace(values: &mut Values, id: OpId, operation: &Operation, cell: Option<Cell>) {
    if let Action::Increment(by) = operation.action {
        let counted = values.iter_mut();
        for live in counted.filter(|live| operation.predecessors.contains(&live.id)) {
            if let Cell::Counter(total) = &mut live.cell {
                *total = total.wrapping_add(by);
            }
        }
    } else {
        values.retain(|live| !operation.predecessors.contains(&live.id));
    }
    if let Some(cell) = cell {
        let after = values.partition_point(|live| live.id < id);
        values.insert(after, Live { id, cell });
    }
}
