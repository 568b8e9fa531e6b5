//! The texts of a table: what stands in each, and how operations change it.

mod sequence;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use self::sequence::View;
use self::sequence::{Id, Sequence};
use super::{Cell, Live, ObjectIndex, ObjectKind, RegisterIndex, Role, Standing, Table};
use crate::proto::base::Stretch;
use crate::proto::change::{Action, Change, Key, ObjectId, OpId, Operation};
use crate::proto::model::path::Path;
use crate::proto::model::value::Value;
use crate::proto::wire::message::Actor;

/// A piece of a text to be taken out, and what comes in its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Where, in Unicode scalars.
    pub at: usize,
    /// How many scalars go.
    pub delete: usize,
    /// What comes.
    pub insert: String,
}

impl Piece {
    /// Whether another goes on where this one ended: behind what came, or with what stands there now
    /// that something went.
    fn continues(&self, next: &Self) -> bool {
        let came = self.insert.chars().count();
        next.at == self.at + came && (next.delete == 0 || came == 0)
    }

    fn extend(&mut self, next: Self) {
        self.delete += next.delete;
        self.insert.push_str(&next.insert);
    }
}

/// Every text of a table.
#[derive(Clone, Default, Debug)]
pub(super) struct Texts {
    /// By their numbers.
    actors: Vec<Actor>,
    numbers: BTreeMap<Actor, u32>,
    sequences: BTreeMap<ObjectIndex, Sequence>,
}

impl Texts {
    fn number(&mut self, actor: Actor) -> u32 {
        let next = u32::try_from(self.actors.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry(actor).or_insert(next);
        if number == next {
            self.actors.push(actor);
        }
        number
    }

    fn id(&self, id: OpId) -> Option<Id> {
        let counter = u32::try_from(id.counter).ok()?;
        Some(Id { counter, actor: *self.numbers.get(&id.actor)? })
    }

    fn operation(&self, id: Id) -> OpId {
        let actor = self.actors.get(id.actor as usize).copied().unwrap_or_default();
        OpId { counter: u64::from(id.counter), actor }
    }

    /// Does in a text what an operation does that was found to be allowed there.
    fn write(&mut self, text: ObjectIndex, id: OpId, operation: &Operation, views: &[View]) {
        let element = match &operation.key {
            Key::Element(element) => self.id(*element),
            Key::Head | Key::Map(_) => None,
        };
        match character(operation) {
            Some(character) => {
                self.number(id.actor);
                let Some(id) = self.id(id) else { return };
                let sequence = self.sequences.entry(text).or_default();
                let actors = &self.actors;
                let rank = |id: Id| (id.counter, actors.get(id.actor as usize));
                let later = |one, other| rank(one) > rank(other);
                sequence.insert(element, (id, character), views, later);
            }
            None => {
                if let (Some(sequence), Some(element)) = (self.sequences.get_mut(&text), element) {
                    sequence.erase(element, views);
                }
            }
        }
    }

    /// What an operation that nobody confirmed does to what a text has confirmed, which from now on
    /// it is itself.
    fn place(&mut self, text: ObjectIndex, id: OpId, operation: &Operation) -> Option<Piece> {
        let element = self.touched(id, operation)?;
        let (at, before) = self.sequences.get(&text)?.rank(View::Confirmed, element)?;
        self.mark(text, id, operation, View::Confirmed);
        let (_, now) = self.sequences.get(&text)?.rank(View::Confirmed, element)?;
        let insert = character(operation).filter(|_| now).map(String::from).unwrap_or_default();
        (before != now).then(|| Piece { at, delete: usize::from(before), insert })
    }

    /// The character that an operation inserts or takes out.
    fn touched(&self, id: OpId, operation: &Operation) -> Option<Id> {
        match &operation.key {
            Key::Element(element) if !operation.insert => self.id(*element),
            Key::Element(_) | Key::Head | Key::Map(_) => self.id(id),
        }
    }

    /// Marks what an operation did that was applied before as something that a view has too.
    fn mark(&mut self, text: ObjectIndex, id: OpId, operation: &Operation, view: View) {
        let element = self.touched(id, operation);
        if let (Some(sequence), Some(element)) = (self.sequences.get_mut(&text), element) {
            if operation.insert {
                sequence.reveal(element, view);
            } else {
                sequence.erase(element, &[view]);
            }
        }
    }
}

/// What an operation inserts into a text.
fn character(operation: &Operation) -> Option<char> {
    let Action::Put(Value::Text(text)) = &operation.action else {
        return None;
    };
    text.chars().next().filter(|_| operation.insert)
}

impl Table {
    /// The text that shows under a key of the root.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<ObjectIndex> {
        let object = self.below(ObjectIndex::ROOT, key)?;
        (self.kind(object) == ObjectKind::Text).then_some(object)
    }

    /// The path of the property that a text is: its key in the root.
    #[must_use]
    pub fn property(&self, text: ObjectIndex) -> Path {
        let register = self.at(text).at;
        register.map_or_else(Path::root, |register| Path::parse(self.place(register).1))
    }

    /// What a text says in a view. Costs its length, with what was taken out since history was cut.
    #[must_use]
    pub fn read(&self, text: ObjectIndex, view: View) -> String {
        self.texts.sequences.get(&text).map_or_else(String::new, |sequence| sequence.read(view))
    }

    /// How many characters a text shows in a view.
    #[must_use]
    pub fn showing(&self, text: ObjectIndex, view: View) -> usize {
        self.texts.sequences.get(&text).map_or(0, |sequence| sequence.showing(view))
    }

    /// The operation that inserted the character at a place of what a text shows in a view.
    #[must_use]
    pub fn element(&self, text: ObjectIndex, view: View, place: usize) -> Option<OpId> {
        let sequence = self.texts.sequences.get(&text)?;
        sequence.nth(view, place).map(|id| self.texts.operation(id))
    }

    /// How many keys and characters there are at most of which a base could have rows.
    #[must_use]
    pub fn size(&self) -> usize {
        let showing = self.texts.sequences.values().map(|text| text.showing(View::Confirmed));
        self.registers.len() + showing.sum::<usize>()
    }

    /// What makes of what one view shows of a text what another shows, ascending; places count in the
    /// first.
    #[must_use]
    pub fn pieces(&self, text: ObjectIndex, from: View, to: View) -> Vec<Piece> {
        let sequence = self.texts.sequences.get(&text);
        sequence.map(|sequence| sequence.difference(from, to)).unwrap_or_default()
    }

    /// What a change of texts that nobody confirmed does to what is confirmed: each piece counts in
    /// what those before it leave. From now on it is confirmed.
    pub fn place_pieces(&mut self, change: &Change) -> Vec<(ObjectIndex, Piece)> {
        let mut pieces: Vec<(ObjectIndex, Piece)> = Vec::new();
        for (at, operation) in change.operations.iter().enumerate() {
            let id = change.id(at);
            if let Some(Role::Element(text) | Role::Erasure(text)) = self.role(id)
                && let Some(piece) = self.texts.place(text, id, operation)
            {
                match pieces.last_mut().filter(|(before, _)| *before == text) {
                    Some((_, before)) if before.continues(&piece) => before.extend(piece),
                    _ => pieces.push((text, piece)),
                }
            }
        }
        pieces
    }

    /// What some changes that nobody confirmed do to what is confirmed, of each text that they touch,
    /// with what that was. From now on they are confirmed, and what was is what is shown.
    pub fn pieces_of(&mut self, changes: &[Change]) -> Vec<(ObjectIndex, String, Vec<Piece>)> {
        for sequence in self.texts.sequences.values_mut() {
            sequence.copy(View::Confirmed, View::Shown);
        }
        changes.iter().for_each(|change| self.mark(change, View::Confirmed));
        let texts = self.texts.sequences.keys();
        let pieces = texts.map(|&text| {
            let pieces = self.pieces(text, View::Shown, View::Confirmed);
            (text, self.read(text, View::Shown), pieces)
        });
        pieces.filter(|(.., pieces)| !pieces.is_empty()).collect()
    }

    /// Shows what a change of texts did that another peer wrote.
    pub fn show(&mut self, change: &Change) {
        self.mark(change, View::Shown);
    }

    pub(super) fn mark(&mut self, change: &Change, view: View) {
        for (at, operation) in change.operations.iter().enumerate() {
            let id = change.id(at);
            if let Some(Role::Element(text) | Role::Erasure(text)) = self.role(id) {
                self.texts.mark(text, id, operation, view);
            }
        }
    }

    pub(super) fn type_at(
        &mut self,
        id: OpId,
        operation: &Operation,
        text: ObjectIndex,
        standing: Standing,
    ) -> (Role, Option<RegisterIndex>) {
        // A relay shows nothing to anybody; a peer shows others' changes when its frame is over.
        let views: [View; 2] =
            if standing.pending { [View::All, View::Shown] } else { [View::All, View::Confirmed] };
        self.texts.write(text, id, operation, &views);
        let role = if operation.insert { Role::Element(text) } else { Role::Erasure(text) };
        (role, self.at(text).at)
    }

    /// Takes what the texts of another table of the same document show for what is confirmed here.
    pub(super) fn shadow_texts(&mut self, confirmed: &Self) {
        let Texts { actors, sequences, .. } = &mut self.texts;
        for (text, sequence) in sequences {
            let there = confirmed.object(&self.objects[text.0 as usize].id);
            let there = there.and_then(|there| confirmed.texts.sequences.get(&there));
            sequence.restate(View::Confirmed, |id| {
                let actor = actors.get(id.actor as usize).copied().unwrap_or_default();
                let id = OpId { counter: u64::from(id.counter), actor };
                let known = there.zip(confirmed.texts.id(id));
                known.map_or((false, false), |(there, id)| there.state(View::All, id))
            });
        }
    }

    /// Lays the next stretches of a base of texts, which `actor` writes in one operation each from
    /// `start` on.
    pub fn lay_texts(&mut self, actor: Actor, start: u64, stretches: &[Stretch<'_>]) {
        let number = self.texts.number(actor);
        let mut roles = Vec::new();
        let mut counter = start;
        for stretch in stretches {
            match stretch {
                Stretch::Make(row) => {
                    let register = self.reserve(ObjectIndex::ROOT, &row.key);
                    let id = OpId { counter, actor };
                    let made = self.make(id, ObjectKind::Text, register);
                    let there = &mut self.registers[register.0 as usize];
                    there.fixed = row.fixed;
                    there.live.push(Live { id, cell: Cell::Object(made) });
                    roles.push(if row.fixed { Role::Fixed } else { Role::Object }(register));
                    counter += 1;
                }
                Stretch::Insert { made, characters } => {
                    let made = ObjectId::Made(OpId { counter: *made, actor });
                    let Some(text) = self.object(&made) else { continue };
                    let first = u32::try_from(counter).unwrap_or(u32::MAX);
                    let ids = (first..).map(|counter| Id { counter, actor: number });
                    let sequence = self.texts.sequences.entry(text).or_default();
                    let laid = sequence.lay(ids.zip(characters.chars()));
                    roles.extend(std::iter::repeat_n(Role::Element(text), laid));
                    counter += laid as u64;
                }
            }
        }
        self.notes.add(actor, start, &roles);
        self.laid = u32::try_from(self.objects.len() - 1).unwrap_or(u32::MAX);
    }
}
