//! The epoch of a log: what it began with, what has its place in the room's order, and what it weighs.

use std::collections::BTreeSet;

use super::{ChangeLog, Entry, Index, Origin};
use crate::proto::authorship::Scope;
use crate::proto::base::{Base, Content, Row, Stretch};
use crate::proto::change::{Action, Change, Key, ObjectId};
use crate::proto::id::PeerId;
use crate::proto::model::path::Path;
use crate::proto::model::value::Value;
use crate::proto::ownership::Fence;
use crate::proto::table::{Piece, Table};
use crate::proto::wire::message::{Actor, CutRecord, Hash};

impl ChangeLog {
    /// The log of the same document in another epoch, which begins with a base that is still to be
    /// laid: nothing may be admitted before.
    #[must_use]
    pub fn successor(&self, scope: Scope, base: Base) -> Self {
        let authority = self.authority.clone();
        Self { base, authority, ..Self::new(scope, self.document, self.limits.clone()) }
    }

    /// Gives back about as much memory as `budget` values take, of a log that nobody reads any more.
    /// Returns whether anything is left.
    pub fn wither(&mut self, budget: usize) -> bool {
        let left = self.entries.len().saturating_sub(budget);
        self.entries.truncate(left);
        self.table.wither(budget) || left > 0
    }

    /// What the epoch began with.
    #[must_use]
    pub const fn base(&self) -> &Base {
        &self.base
    }

    /// Lays the next change of the base. Returns whether there was one left.
    pub fn lay(&mut self) -> bool {
        let base = self.base.clone();
        let (actor, place) = (self.scope.base_actor(), self.laid);
        let previous = place.checked_sub(1).map(|last| self.entries[last].hash);
        let Some((bytes, hash)) = base.encode(actor, place, previous) else {
            self.granted = self.highest_grant();
            return false;
        };
        let (operations, weight) = lay(&mut self.table, &base, place, actor);
        self.base_weight += weight;
        let last = place.checked_sub(1).and_then(|last| u32::try_from(last).ok());
        let start = Base::start_of(place);
        self.append(
            Origin::Base,
            Entry {
                hash,
                actor,
                sequence: place as u64 + 1,
                start,
                end: start + operations as u64 - 1,
                bytes,
                seen: Fence::NONE,
                deps: last.into_iter().collect(),
                followed: false,
                burnt: false,
            },
        );
        self.laid += 1;
        true
    }

    /// How many of the first entries are what the epoch begins with.
    #[must_use]
    pub const fn laid(&self) -> usize {
        self.laid
    }

    /// About how many bytes the history takes since the epoch began.
    #[must_use]
    pub const fn weight(&self) -> usize {
        self.weight
    }

    /// The change at a place has its place in the room's order now, and so has what it follows: nothing
    /// may be said again of what somebody else had brought there before.
    pub fn confirm(&mut self, index: Index) {
        let (mut due, mut placed) = (vec![index], BTreeSet::new());
        while let Some(index) = due.pop() {
            if self.pending.contains(&index) && placed.insert(index) {
                due.extend(self.entries[index].deps());
            }
        }
        for index in placed {
            self.pending.remove(&index);
            if let Some(change) = self.change(index) {
                self.table.confirm(&change, self.pending.is_empty());
            }
        }
    }

    /// What a change did to texts is shown from now on. Returns which texts.
    pub fn show(&mut self, index: Index) -> BTreeSet<Path> {
        let Some(change) = self.change(index) else {
            return BTreeSet::new();
        };
        self.table.show(&change);
        let objects = change.operations.iter().map(|operation| operation.object);
        let texts: BTreeSet<ObjectId> = objects.collect();
        let objects = texts.iter().filter_map(|text| self.table.object(text));
        objects.map(|object| self.table.property(object)).collect()
    }

    /// What a pending change does to the texts that are confirmed: each piece counts in what those
    /// before it leave. From now on it counts among what is confirmed.
    pub fn place_pieces(&mut self, index: Index) -> Vec<(Path, Piece)> {
        let Some(change) = self.change(index) else {
            return Vec::new();
        };
        let pieces = self.table.place_pieces(&change).into_iter();
        pieces.map(|(text, piece)| (self.table.property(text), piece)).collect()
    }

    /// What some pending changes do to the texts that are confirmed, of each that they touch, with what
    /// that was: of a log that is about to be left.
    pub fn pieces_of(&mut self, places: &[Index]) -> Vec<(Path, String, Vec<Piece>)> {
        let changes: Vec<Change> = places.iter().filter_map(|place| self.change(*place)).collect();
        let pieces = self.table.pieces_of(&changes).into_iter();
        pieces.map(|(text, was, pieces)| (self.table.property(text), was, pieces)).collect()
    }

    /// Everything has its place in the room's order that `heads` and what they depend on cover.
    pub fn confirm_covered(&mut self, heads: &[Hash]) {
        if self.pending.is_empty() {
            return;
        }
        let missing: BTreeSet<Index> = self.missing(heads).into_iter().collect();
        let covered: Vec<Index> = self.pending.difference(&missing).copied().collect();
        covered.into_iter().for_each(|index| self.confirm(index));
    }

    /// Nothing has its place in the room's order that `heads` do not cover: a relay that has lost its
    /// memory confirms anew. Costs the history if it has.
    pub fn confirm_only(&mut self, heads: &[Hash]) {
        self.confirm_covered(heads);
        let missing: BTreeSet<Index> = self.missing(heads).into_iter().collect();
        self.unconfirm(missing);
    }

    /// Of the changes of an actor, all but the first `count` have no place in the room's order, and
    /// so nothing that follows them: a relay that had let them in has lost its memory. Costs the
    /// history if there are any.
    pub fn confirm_first(&mut self, actor: &Actor, count: usize) {
        let written = self.authors.get(actor).map_or(&[][..], |author| &author.changes);
        let beyond = written.get(count..).unwrap_or_default().iter().copied();
        let mut missing: BTreeSet<Index> = self.pending.iter().copied().chain(beyond).collect();
        for index in missing.first().copied().unwrap_or(self.entries.len())..self.entries.len() {
            if self.entries[index].deps().any(|dep| missing.contains(&dep)) {
                missing.insert(index);
            }
        }
        self.unconfirm(missing);
    }

    pub(super) fn unconfirm(&mut self, missing: BTreeSet<Index>) {
        if missing.is_subset(&self.pending) {
            return;
        }
        let mut table = Table::new();
        for (index, entry) in self.entries.iter().enumerate() {
            if index < self.laid {
                lay(&mut table, &self.base, index, entry.actor);
            } else if !missing.contains(&index)
                && let Some(change) = self.change(index)
            {
                let fixed = matches!(self.origin(&entry.actor), Some(Origin::WellKnown(_)));
                table.replay(&change, fixed);
            }
        }
        let unconfirmed: Vec<Change> =
            missing.iter().filter_map(|&index| self.change(index)).collect();
        self.table.shadow(&table, &unconfirmed);
        self.pending = missing;
    }

    fn origin(&self, actor: &Actor) -> Option<&Origin> {
        self.authors.get(actor).map(|author| &author.origin)
    }

    /// The changes that nobody confirmed, in order: this peer's, and others' that a relay has forgotten.
    pub fn pending(&self) -> impl Iterator<Item = Index> + '_ {
        self.pending.iter().copied()
    }

    /// Those that a peer wrote, in order.
    pub fn pending_of(&self, peer: PeerId) -> impl Iterator<Item = Index> + '_ {
        self.pending().filter(move |place| self.writer(*place) == Some(peer))
    }

    /// What says that the epoch of this log begins.
    #[must_use]
    pub fn cut_record(&self) -> CutRecord {
        let last = self.laid.checked_sub(1).map(|last| self.entries[last].hash);
        CutRecord { epoch: self.scope.epoch(), base: last.unwrap_or_default() }
    }

    /// About how many bytes the base takes.
    #[must_use]
    pub const fn base_weight(&self) -> usize {
        self.base_weight
    }
}

/// Lays what one change of a base makes, which `actor` writes. Returns how many operations it has,
/// and what it weighs.
fn lay(table: &mut Table, base: &Base, change: usize, actor: Actor) -> (usize, usize) {
    if base.has_texts() {
        let stretches = base.stretches(change);
        let lengths = stretches.iter().map(Stretch::len);
        let operations = lengths.sum();
        table.lay_texts(actor, Base::start_of(change), &stretches);
        return (operations, weighed(stretches.iter().flat_map(Stretch::weights)));
    }
    let rows = base.rows_of(change);
    table.lay(actor, rows);
    (rows.len(), weight_of_rows(rows))
}

/// About what a change takes stripped, from above: an estimate that everybody makes the same.
pub(super) fn weight(change: &Change) -> usize {
    let values =
        change.operations.iter().map(|operation| match (&operation.action, &operation.key) {
            (Action::Put(value), _) => weight_of_value(value),
            (Action::MakeMap, Key::Map(key)) => key.len(),
            (
                Action::MakeMap
                | Action::Counter(_)
                | Action::MakeText
                | Action::Increment(_)
                | Action::Delete,
                _,
            ) => 0,
        });
    weighed(values)
}

/// The same of the change that lays rows.
fn weight_of_rows(rows: &[Row]) -> usize {
    weighed(rows.iter().map(|row| match &row.content {
        Content::Value(value) => weight_of_value(value),
        Content::Map => row.key.len(),
        Content::Counter(_) | Content::Text(_) => 0,
    }))
}

fn weight_of_value(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Float(_) => 0,
    }
}

fn weighed(values: impl Iterator<Item = usize>) -> usize {
    4 + values.map(|value| 6 + value).sum::<usize>()
}
