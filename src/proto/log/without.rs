//! A log without some of what this peer wrote: a relay refused it.

use std::collections::BTreeSet;

use super::epoch::weight;
use super::{ChangeLog, Entry, Index, Origin};
use crate::proto::id::{DocumentId, PeerId};
use crate::proto::wire::message::Actor;

impl ChangeLog {
    /// What goes with a change that is refused, by its actor and sequence: what that actor wrote since
    /// and what `peer` did that nobody confirmed, and everything that follows any of it.
    #[must_use]
    pub fn doomed(&self, (actor, sequence): (&Actor, u64), peer: PeerId) -> BTreeSet<Index> {
        let mut doomed: BTreeSet<Index> = self.pending_of(peer).collect();
        // Another's, which a relay forgot that had let it in.
        let others = self.pending().filter(|place| {
            let entry = &self.entries[*place];
            entry.actor == *actor && entry.sequence >= sequence
        });
        doomed.extend(others);
        for place in doomed.first().copied().unwrap_or(self.entries.len())..self.entries.len() {
            let entry = &self.entries[place];
            if !entry.burnt && entry.deps().any(|dep| doomed.contains(&dep)) {
                doomed.insert(place);
            }
        }
        doomed
    }

    /// Of what nobody confirmed only `left` counts as such. Costs the epoch, if there is more.
    pub fn leave_pending(&mut self, left: &BTreeSet<Index>) {
        if self.pending != *left {
            self.pending.clear();
            self.unconfirm(left.clone());
        }
    }

    /// This log as if `refused` had never been written, which nothing else follows. Every other
    /// change stays at its place. Costs the epoch.
    #[must_use]
    pub fn without(&self, refused: &BTreeSet<Index>) -> Self {
        let mut log = self.successor(self.scope.clone(), self.base.clone());
        while log.lay() {}
        for (index, entry) in self.entries.iter().enumerate().skip(self.laid) {
            let alive = if refused.contains(&index) { None } else { self.change(index) };
            let Some((change, author)) = alive.zip(self.authors.get(&entry.actor)) else {
                log.entries.push(Entry { burnt: true, followed: false, ..entry.clone() });
                continue;
            };
            let fixed = matches!(author.origin, Origin::WellKnown(_));
            log.table.replay(&change, fixed);
            if self.document == DocumentId::TEXTS {
                log.table.show(&change);
            }
            log.weight += weight(&change);
            log.well_known += usize::from(fixed);
            log.append(author.origin.clone(), Entry { followed: false, ..entry.clone() });
        }
        for (actor, author) in &mut log.authors {
            let signature = self.authors.get(actor).and_then(|before| before.signature.clone());
            let written = author.changes.len() as u64;
            author.signature = signature.filter(|signature| signature.sequence <= written);
        }
        log.unconfirm(self.pending.difference(refused).copied().collect());
        log.revision = self.revision + 1;
        log
    }
}
