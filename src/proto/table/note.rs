//! What every operation was, in four bytes each.

use std::collections::BTreeMap;

use super::{ObjectIndex, RegisterIndex};
use crate::proto::change::OpId;
use crate::proto::wire::message::Actor;

/// What an operation was, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// It wrote a value.
    Value(RegisterIndex),
    /// It wrote a counter.
    Counter(RegisterIndex),
    /// It made an object.
    Object(RegisterIndex),
    /// It wrote something well known, which cannot be replaced.
    Fixed(RegisterIndex),
    /// It wrote a well-known counter, which can only be added to.
    FixedCounter(RegisterIndex),
    /// It added to counters, or took values away.
    Nothing(RegisterIndex),
    /// It inserted an element of a text.
    Element(ObjectIndex),
    /// It took an element of a text away.
    Erasure(ObjectIndex),
}

impl Role {
    /// The register that it was in; nothing in a text.
    #[must_use]
    pub const fn register(self) -> Option<RegisterIndex> {
        match self {
            Self::Value(register)
            | Self::Counter(register)
            | Self::Object(register)
            | Self::Fixed(register)
            | Self::FixedCounter(register)
            | Self::Nothing(register) => Some(register),
            Self::Element(_) | Self::Erasure(_) => None,
        }
    }
}

const KINDS: u32 = 3;

/// A role in four bytes: three bits for its kind, the others for its place.
#[derive(Clone, Copy, Debug)]
struct Note(u32);

impl Note {
    const fn of(role: Role) -> Self {
        let (kind, place) = match role {
            Role::Value(register) => (0, register.0),
            Role::Counter(register) => (1, register.0),
            Role::Object(register) => (2, register.0),
            Role::Fixed(register) => (3, register.0),
            Role::FixedCounter(register) => (4, register.0),
            Role::Nothing(register) => (5, register.0),
            Role::Element(text) => (6, text.0),
            Role::Erasure(text) => (7, text.0),
        };
        Self((place << KINDS) | kind)
    }

    const fn kind(self) -> u32 {
        self.0 & ((1 << KINDS) - 1)
    }

    const fn role(self) -> Role {
        let place = self.0 >> KINDS;
        match self.kind() {
            0 => Role::Value(RegisterIndex(place)),
            1 => Role::Counter(RegisterIndex(place)),
            2 => Role::Object(RegisterIndex(place)),
            3 => Role::Fixed(RegisterIndex(place)),
            4 => Role::FixedCounter(RegisterIndex(place)),
            5 => Role::Nothing(RegisterIndex(place)),
            6 => Role::Element(ObjectIndex(place)),
            _ => Role::Erasure(ObjectIndex(place)),
        }
    }
}

/// The notes of what an epoch began with: its actor wrote one operation in each of the table's first
/// registers. So the place in each note is free for the object that the operation made, or 0.
#[derive(Clone, Default, Debug)]
pub(super) struct Laid {
    actor: Actor,
    notes: Vec<Note>,
}

impl Laid {
    /// Adds what `actor` laid, who laid all before, and the object that it made.
    pub(super) fn add(&mut self, actor: Actor, role: Role, made: Option<ObjectIndex>) {
        self.actor = actor;
        let place = made.map_or(0, |made| made.0) << KINDS;
        self.notes.push(Note(place | Note::of(role).kind()));
    }

    pub(super) fn role(&self, id: OpId) -> Option<Role> {
        let (place, note) = self.note(id)?;
        Some(Note((place << KINDS) | note.kind()).role())
    }

    /// The object that an operation made.
    pub(super) fn object(&self, id: OpId) -> Option<ObjectIndex> {
        let (_, note) = self.note(id)?;
        let made = note.0 >> KINDS;
        (made > 0).then_some(ObjectIndex(made))
    }

    fn note(&self, id: OpId) -> Option<(u32, Note)> {
        let place = u32::try_from(id.counter.checked_sub(1)?).ok()?;
        let note = self.notes.get(place as usize).filter(|_| id.actor == self.actor)?;
        Some((place, *note))
    }
}

/// The notes of every change, by actor.
#[derive(Clone, Default, Debug)]
pub(super) struct Notes(BTreeMap<Actor, Author>);

/// The notes of one actor's operations, in order, and where its changes begin in them.
#[derive(Clone, Default, Debug)]
struct Author {
    notes: Vec<Note>,
    /// The counter of each change's first operation, and how many notes come before it.
    starts: Vec<(u64, usize)>,
}

impl Author {
    /// How many changes begin at a counter or before it. Mostly it is a late one: costs by how many
    /// came since.
    fn begun(&self, counter: u64) -> usize {
        let begins = |at: usize| self.starts[at].0 <= counter;
        let mut since = 1;
        while since < self.starts.len() && !begins(self.starts.len() - since) {
            since *= 2;
        }
        let from = self.starts.len().saturating_sub(since);
        from + self.starts[from..].partition_point(|(start, _)| *start <= counter)
    }
}

impl Notes {
    pub(super) fn add(&mut self, actor: Actor, start: u64, roles: &[Role]) {
        let author = self.0.entry(actor).or_default();
        author.starts.push((start, author.notes.len()));
        author.notes.extend(roles.iter().map(|role| Note::of(*role)));
    }

    pub(super) fn role(&self, id: OpId) -> Option<Role> {
        let author = self.0.get(&id.actor)?;
        let after = author.begun(id.counter);
        let (start, before) = author.starts.get(after.checked_sub(1)?)?;
        let at = before + usize::try_from(id.counter - start).ok()?;
        let end = author.starts.get(after).map_or(author.notes.len(), |(_, before)| *before);
        (at < end).then(|| author.notes[at].role())
    }
}
