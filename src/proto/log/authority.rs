//! What each change has seen of the grants of the room's relay. See [`crate::proto::ownership`].

use super::{ChangeLog, Deps, Origin};
use crate::proto::change::{Action, Change};
use crate::proto::id::PeerId;
use crate::proto::ownership::{Authority, Fence, Grant, Ledger, from_value};

impl ChangeLog {
    /// The relay whose grants count, if there is one.
    #[must_use]
    pub const fn authority(&self) -> Option<&Authority> {
        self.authority.as_ref()
    }

    /// From now on the grants of `relay` count. Costs the epoch if another's did before.
    pub fn set_authority(&mut self, relay: PeerId) {
        if self.authority.as_ref().is_some_and(|before| before.peer() == relay) {
            return;
        }
        self.authority = Some(Authority::of(relay));
        self.granted = self.highest_grant();
        for index in self.laid..self.entries.len() {
            let entry = &self.entries[index];
            let origin = self.authors.get(&entry.actor).map(|author| &author.origin);
            let granted = match origin.filter(|origin| origin.is_of(relay).is_some()) {
                Some(origin) => {
                    let change = self.change(index);
                    change.map_or(Fence::NONE, |change| self.grants_of(origin, &change))
                }
                None => Fence::NONE,
            };
            let seen = self.seen_by(&entry.deps).max(granted);
            self.entries[index].seen = seen;
        }
    }

    /// The claims and grants of a log of models.
    #[must_use]
    pub fn ledger(&self) -> Ledger<'_> {
        Ledger::of(&self.table, self.authority.as_ref())
    }

    /// The highest grant that a change has seen whose dependencies are here.
    #[must_use]
    pub fn known_to(&self, change: &Change) -> Fence {
        let deps = change.deps.iter().filter_map(|dep| self.position(dep));
        let seen = deps.filter_map(|dep| self.entries.get(dep)).map(|entry| entry.seen);
        seen.fold(self.granted, Fence::max)
    }

    /// The highest grant that anything here has seen.
    #[must_use]
    pub fn newest_grant(&self) -> Fence {
        let seen = self.heads.values().map(|&head| self.entries[head].seen);
        seen.fold(self.granted, Fence::max)
    }

    pub(super) fn seen_by(&self, deps: &Deps) -> Fence {
        let seen = deps.iter().map(|&dep| self.entries[dep as usize].seen);
        seen.fold(self.granted, Fence::max)
    }

    /// The highest grant that a change makes.
    pub(super) fn grants_of(&self, origin: &Origin, change: &Change) -> Fence {
        let relay = self.authority.as_ref().map(Authority::peer);
        if relay.is_none_or(|relay| origin.is_of(relay).is_none()) {
            return Fence::NONE;
        }
        let grants = change.operations.iter().filter_map(|operation| match &operation.action {
            Action::Put(value) => from_value::<Grant>(value),
            Action::Counter(_)
            | Action::MakeMap
            | Action::MakeText
            | Action::Increment(_)
            | Action::Delete => None,
        });
        grants.map(|grant| grant.token).max().unwrap_or(Fence::NONE)
    }

    /// The highest grant that stands here.
    pub(super) fn highest_grant(&self) -> Fence {
        let ledger = self.ledger();
        let grants = ledger.granted_from("");
        grants.map(|(_, grant)| grant.token).max().unwrap_or(Fence::NONE)
    }
}
