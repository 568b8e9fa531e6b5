//! The epoch of a log: what it began with, what has its place in the room's order, and what it weighs.

use std::collections::BTreeSet;

use super::{ChangeLog, Index, Origin};
use crate::proto::authorship::Scope;
use crate::proto::base::Base;
use crate::proto::change::{Action, Change, Key};
use crate::proto::model::value::Value;
use crate::proto::table::Table;
use crate::proto::wire::message::{Actor, CutRecord, Hash};

impl ChangeLog {
    /// The log of the same document in another epoch, which begins with a base that is still to be
    /// laid: nothing may be admitted before.
    #[must_use]
    pub fn successor(&self, scope: Scope, base: Base) -> Self {
        Self { base, ..Self::new(scope, self.document, self.limits.clone()) }
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
        let Some(sealed) = base.change(actor, place, previous) else {
            return false;
        };
        self.table.lay(actor, sealed.change.start, base.rows_of(place));
        self.base_weight += weight(&sealed.change);
        let last = place.checked_sub(1).and_then(|last| u32::try_from(last).ok());
        self.append(Origin::Base, sealed, last.into_iter().collect());
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

    /// This peer's change at a place has its place in the room's order now.
    pub fn confirm(&mut self, index: Index) {
        if self.pending.remove(&index)
            && let Some(change) = self.change(index)
        {
            self.table.confirm(&change, self.pending.is_empty());
        }
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
        if missing.is_subset(&self.pending) {
            return;
        }
        let mut table = Table::new();
        for (index, entry) in self.entries.iter().enumerate() {
            if index < self.laid {
                let first = &self.entries[index];
                table.lay(first.actor, first.start, self.base.rows_of(index));
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

    /// This peer's changes that nobody confirmed, in order.
    pub fn pending(&self) -> impl Iterator<Item = Index> + '_ {
        self.pending.iter().copied()
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

/// About what a change takes stripped, from above: an estimate that everybody makes the same.
pub(super) fn weight(change: &Change) -> usize {
    let operations = change.operations.iter().map(|operation| {
        let value = match &operation.action {
            Action::Put(Value::Text(text)) => text.len(),
            Action::Put(Value::Bytes(bytes)) => bytes.len(),
            Action::MakeMap => match &operation.key {
                Key::Map(key) => key.len(),
                Key::Head | Key::Element(_) => 0,
            },
            Action::Put(_)
            | Action::Counter(_)
            | Action::MakeText
            | Action::Increment(_)
            | Action::Delete => 0,
        };
        6 + value
    });
    4 + operations.sum::<usize>()
}
