//! What members write and give, as a plugin is asked about it.

use std::collections::BTreeMap;

use super::View;
use crate::proto::change::{Action, Change, Key, Operation};
use crate::proto::event::signal::{Audience, Subject};
use crate::proto::hub::ownership::{Place, Places};
use crate::proto::id::{ClientNumber, DocumentId, PeerId, RoomKey};
use crate::proto::log::ChangeLog;
use crate::proto::model::path::Path;
use crate::proto::model::value::Value;
use crate::proto::model::{Field, Model};
use crate::proto::ownership::{CLAIMS, Claim, META, from_value};
use crate::proto::table::Cell;
use crate::proto::time::Time;

/// The key of a list element's place in the element's map.
const POSITION: &str = "@";

/// A member that writes or gives something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Writer {
    /// Who.
    pub peer: PeerId,
    /// By which connection it came: its own, or that of a member that brings what it wrote.
    pub client: ClientNumber,
    /// Whether it moderates rooms, if the connection is its own.
    pub moderates: bool,
}

/// A change that is about to come in.
#[derive(Debug)]
#[non_exhaustive]
pub struct Update<'a> {
    /// The room.
    pub room: &'a RoomKey,
    /// Who wrote it.
    pub by: Writer,
    /// What time it is at the relay.
    pub now: Time,
    /// Of which document it is: one change has models only, or texts only.
    pub document: DocumentId,
    /// What it does, in the order in which it does it; of several writes to one property what they come
    /// to, in the place of the first.
    pub writes: Vec<Write>,
    /// The room without it.
    pub view: View<'a>,
}

impl Update<'_> {
    /// A model that it writes to, as the room has it and as the update would have it; nothing if the room
    /// has none there. Of another's write at the same time, what shows in the end may be that.
    #[must_use]
    pub fn of<T: Model>(&self, model: &Path) -> Option<(T, T)> {
        let before: T = if model.is_root() { self.view.root() } else { self.view.get_at(model)? };
        let mut after = before.clone();
        for write in &self.writes {
            let (at, id, value) = match write {
                Write::Set { model, property, after, .. } => (model, *property, after.clone()),
                Write::Count { model, property, after, .. } => {
                    (model, *property, Some(Value::Int(*after)))
                }
                Write::Make { .. }
                | Write::Remove { .. }
                | Write::Move { .. }
                | Write::Type { .. }
                | Write::Claim { .. }
                | Write::Other { .. } => continue,
            };
            let blank = T::default();
            let value = value.or_else(|| Model::field(&blank, id).and_then(Field::to_value));
            if at == model
                && let (Some(field), Some(value)) = (Model::field_mut(&mut after, id), value)
            {
                field.take_value(&value);
            }
        }
        Some((before, after))
    }
}

/// One thing that an update does. A relay knows no types: a number as a key may be a property's, and a
/// map a model or what models are kept in. Who knows no rules can write anything anywhere, so that a rule
/// that guards a place asks every write for [its own](Self::place).
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Write {
    /// A property has another value.
    Set {
        /// The model.
        model: Path,
        /// Its property.
        property: u16,
        /// What the room has; nothing if it is as it was at first.
        before: Option<Value>,
        /// What is written; nothing if it is to be as at first.
        after: Option<Value>,
    },
    /// A counter is counted, or begun.
    Count {
        /// The model.
        model: Path,
        /// Its counter.
        property: u16,
        /// What the room has.
        before: i64,
        /// What that comes to.
        after: i64,
    },
    /// A map is made: a model that is put into a collection, or what a new model has below it.
    Make {
        /// Where.
        place: Path,
    },
    /// A model is taken out of its collection.
    Remove {
        /// The model.
        model: Path,
    },
    /// A model gets a place in its list.
    Move {
        /// The model.
        model: Path,
    },
    /// A text is edited.
    Type {
        /// The text.
        text: Path,
        /// What is inserted, all pieces together.
        inserted: String,
        /// How many characters are taken out.
        erased: usize,
    },
    /// A model is asked for, let go of or given away.
    Claim {
        /// The model.
        model: Path,
        /// What is asked for.
        claim: Claim,
    },
    /// Something is written that is none of these.
    Other {
        /// Where, or the model that it is below if it is too deep to be told.
        place: Path,
    },
}

impl Write {
    /// Where it writes: the path of the model, with the property where there is one.
    #[must_use]
    pub fn place(&self) -> Path {
        match self {
            Self::Set { model, property, .. } | Self::Count { model, property, .. } => {
                model.property(*property)
            }
            Self::Make { place: at }
            | Self::Remove { model: at }
            | Self::Move { model: at }
            | Self::Type { text: at, .. }
            | Self::Claim { model: at, .. }
            | Self::Other { place: at } => at.clone(),
        }
    }
}

/// What a change does, whose log is that of its document. It counts as checked.
pub(super) fn writes(log: &ChangeLog, change: &Change) -> Vec<Write> {
    if log.document() == DocumentId::TEXTS {
        return typed(log, change);
    }
    let mut places = Places::new(log, change);
    let (mut writes, mut written) = (Vec::<Write>::new(), BTreeMap::<Path, usize>::new());
    for (at, operation) in change.operations.iter().enumerate() {
        let Some(place) = places.of(at, operation) else { continue };
        // Of many writes to one place one is told, or a small change would say much.
        let before = written.get(&place.path).and_then(|at| writes.get_mut(*at));
        if before.is_some_and(|before| goes_on(before, operation)) {
            continue;
        }
        written.insert(place.path.clone(), writes.len());
        writes.push(write(log, place, operation));
    }
    writes
}

/// Whether an operation only goes on with what was written to its place before.
fn goes_on(before: &mut Write, operation: &Operation) -> bool {
    match (before, &operation.action) {
        (Write::Set { after, .. }, Action::Put(value)) => *after = Some(value.clone()),
        (Write::Set { after, .. }, Action::Delete) => *after = None,
        (Write::Count { after, .. }, Action::Counter(value)) => *after = *value,
        (Write::Count { after, .. }, Action::Increment(by)) => *after = after.wrapping_add(*by),
        (Write::Move { .. }, Action::Put(_)) => {}
        (
            Write::Set { .. }
            | Write::Count { .. }
            | Write::Make { .. }
            | Write::Remove { .. }
            | Write::Move { .. }
            | Write::Type { .. }
            | Write::Claim { .. }
            | Write::Other { .. },
            _,
        ) => return false,
    }
    true
}

fn write(log: &ChangeLog, place: Place, operation: &Operation) -> Write {
    let Place { path, whole } = place;
    if let Some(claim) = claim(&path, operation) {
        return claim;
    }
    let Some((model, key)) = path.split().filter(|_| whole) else {
        return Write::Other { place: path };
    };
    let there = log.table().object(&operation.object);
    let there = there.and_then(|object| log.table().get(object, &key));
    let value = || match there {
        Some(Cell::Value(value)) => Some(value.clone()),
        Some(Cell::Counter(_) | Cell::Object(_)) | None => None,
    };
    let count = match there {
        Some(Cell::Counter(count)) => *count,
        Some(Cell::Value(_) | Cell::Object(_)) | None => 0,
    };
    let property = key.parse::<u16>().ok().filter(|id| id.to_string() == key);
    match (&operation.action, property) {
        (Action::MakeMap, _) => Write::Make { place: path },
        (Action::Delete, _) if matches!(there, Some(Cell::Object(_))) => {
            Write::Remove { model: path }
        }
        (Action::Put(after), Some(property)) => {
            Write::Set { model, property, before: value(), after: Some(after.clone()) }
        }
        (Action::Delete, Some(property)) => {
            Write::Set { model, property, before: value(), after: None }
        }
        (Action::Counter(after), Some(property)) => {
            Write::Count { model, property, before: count, after: *after }
        }
        (Action::Increment(by), Some(property)) => {
            Write::Count { model, property, before: count, after: count.wrapping_add(*by) }
        }
        (Action::Put(_), None) if key == POSITION => Write::Move { model },
        (
            Action::Put(_)
            | Action::Counter(_)
            | Action::Increment(_)
            | Action::Delete
            | Action::MakeText,
            _,
        ) => Write::Other { place: path },
    }
}

/// What is asked for, if a place is one where that is done.
fn claim(path: &Path, operation: &Operation) -> Option<Write> {
    let mut keys = path.keys();
    if keys.next()? != META || keys.next()? != CLAIMS {
        return None;
    }
    let Key::Map(key) = &operation.key else { return None };
    let Action::Put(value) = &operation.action else { return None };
    Some(Write::Claim { model: Path::parse(key), claim: from_value(value)? })
}

/// What is done to each text.
fn typed(log: &ChangeLog, change: &Change) -> Vec<Write> {
    let mut texts = BTreeMap::<Path, (String, usize)>::new();
    for operation in &change.operations {
        let Some(text) = log.table().object(&operation.object) else { continue };
        let (inserted, erased) = texts.entry(log.table().property(text)).or_default();
        match &operation.action {
            Action::Put(Value::Text(character)) => inserted.push_str(character),
            Action::Delete => *erased += 1,
            Action::Put(_)
            | Action::Counter(_)
            | Action::Increment(_)
            | Action::MakeMap
            | Action::MakeText => {}
        }
    }
    let texts = texts.into_iter();
    texts.map(|(text, (inserted, erased))| Write::Type { text, inserted, erased }).collect()
}

/// A signal that is about to be heard.
#[derive(Debug)]
#[non_exhaustive]
pub struct Given<'a> {
    /// The room.
    pub room: &'a RoomKey,
    /// Who gives it.
    pub by: Writer,
    /// What time it is at the relay.
    pub now: Time,
    /// What it is of.
    pub subject: Subject,
    /// Who is to hear it; never [`Audience::All`]: its giver has heard it.
    pub to: Audience,
    /// What it says.
    pub payload: &'a [u8],
    /// Whether it may not be lost.
    pub reliable: bool,
    /// What the room holds.
    pub view: View<'a>,
}
