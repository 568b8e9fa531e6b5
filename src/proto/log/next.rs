//! What the next change of an author begins with.

use std::collections::{BTreeMap, BTreeSet};

use super::{ChangeLog, Index};
use crate::proto::wire::message::{Actor, Hash};

/// What the next change of an actor begins with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Next {
    /// Its sequence.
    pub sequence: u64,
    /// The counter of its first operation.
    pub start: u64,
    /// What it follows, if that is everything.
    pub deps: Vec<Hash>,
}

impl ChangeLog {
    /// What the next change of an actor begins with that follows everything that is here: the heads,
    /// ascending, and behind them the actor's previous change if it is none of them.
    #[must_use]
    pub fn next(&self, actor: &Actor) -> Next {
        self.next_after(actor, self.heads.iter())
    }

    /// As [`Self::next`], of a change that follows everything but some that `wait`, ascending. Costs
    /// what came since the first of what those follow.
    #[must_use]
    pub fn next_without(&self, actor: &Actor, wait: &[Index]) -> Next {
        if wait.is_empty() {
            return self.next(actor);
        }
        let waits = |index: &Index| wait.binary_search(index).is_ok();
        let deps = wait.iter().flat_map(|&index| self.entries[index].deps());
        let mut ends: BTreeSet<Index> =
            self.heads.values().copied().chain(deps).filter(|index| !waits(index)).collect();
        let from = ends.first().copied().unwrap_or(self.entries.len());
        for index in (from..self.entries.len()).filter(|index| !waits(index)) {
            for dep in self.entries[index].deps() {
                ends.remove(&dep);
            }
        }
        let heads: BTreeMap<Hash, Index> =
            ends.into_iter().map(|index| (self.entries[index].hash, index)).collect();
        self.next_after(actor, heads.iter())
    }

    fn next_after<'a>(
        &self,
        actor: &Actor,
        heads: impl Iterator<Item = (&'a Hash, &'a Index)>,
    ) -> Next {
        let written = self.authors.get(actor).map_or(&[][..], |author| &author.changes);
        let mut deps: Vec<Hash> = Vec::with_capacity(self.heads.len() + 1);
        let mut end = 0;
        for (hash, &head) in heads {
            deps.push(*hash);
            // What others depend on ends before they do.
            end = end.max(self.entries[head].end);
        }
        let previous = written.last().map(|&index| &self.entries[index].hash);
        if let Some(previous) = previous
            && deps.binary_search(previous).is_err()
        {
            deps.push(*previous);
        }
        Next { sequence: written.len() as u64 + 1, start: end + 1, deps }
    }
}
