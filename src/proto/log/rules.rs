//! Whether a change may come into a log.

use super::{Author, ChangeLog, Deps, Index, Origin};
use crate::proto::change::Change;
use crate::proto::guard;
use crate::proto::reason::ChangeFault;
use crate::proto::table::Places;
use crate::proto::wire::message::{Actor, Introduction};

impl ChangeLog {
    /// Whether a change that is not here could come in. Costs as much as that.
    ///
    /// # Errors
    ///
    /// Which rule it breaks.
    pub fn may_admit(&self, author: Introduction, change: &Change) -> Result<(), ChangeFault> {
        self.check(Some(author), change).map(|_| ())
    }

    /// Whether a change may come in: whose it is, what it depends on, and where it stands.
    pub(super) fn check(
        &self,
        introduction: Option<Introduction>,
        change: &Change,
    ) -> Result<(Introduction, Deps, Places), ChangeFault> {
        let actor = change.actor;
        let known = self.authors.get(&actor);
        let author = match (known, introduction) {
            (Some(Author { origin: Origin::Peer(author), .. }), _) => *author,
            (None, Some(author)) if self.scope.actor(&author) == actor => author,
            _ => return Err(ChangeFault::WrongActor),
        };
        self.may_write(&actor)?;
        let written = known.map_or(&[][..], |author| &author.changes);
        self.check_sequence(change, written)?;
        let deps = self.check_start(change)?;
        let places = guard::check(&self.table, self.document, &self.limits, change)?;
        guard::check_claims(&self.table, change, &places, author.peer)?;
        Ok((author, deps, places))
    }

    /// Whether a peer may write with `actor`.
    ///
    /// # Errors
    ///
    /// When the log is full.
    pub fn may_write(&self, actor: &Actor) -> Result<(), ChangeFault> {
        if self.entries.len() >= self.limits.history {
            return Err(ChangeFault::HistoryFull);
        }
        let peers = self.authors.len() - self.well_known;
        if !self.authors.contains_key(actor) && peers >= self.limits.authors {
            return Err(ChangeFault::TooManyAuthors);
        }
        Ok(())
    }

    fn check_sequence(&self, change: &Change, written: &[Index]) -> Result<(), ChangeFault> {
        let next = written.len() as u64 + 1;
        if change.sequence < next {
            // Not the same change, or it would have been known: its author wrote two.
            return Err(ChangeFault::Equivocation);
        }
        if change.sequence > next {
            return Err(ChangeFault::WrongSequence);
        }
        let previous = written.last().map(|&index| self.entries[index].hash);
        if previous.is_some_and(|previous| !change.deps.contains(&previous)) {
            return Err(ChangeFault::WrongSequence);
        }
        // Ascending, but that the author's previous change may stand last.
        let ascending = match change.deps.split_last() {
            Some((last, others)) if Some(*last) == previous && !others.contains(last) => others,
            _ => &change.deps,
        };
        let ordered = ascending.is_sorted_by(|one, next| one < next);
        if ordered { Ok(()) } else { Err(ChangeFault::Malformed) }
    }

    /// Whether a change begins where what it depends on ends. Returns what it depends on.
    pub(super) fn check_start(&self, change: &Change) -> Result<Deps, ChangeFault> {
        let place = |dep| self.position(dep).and_then(|place| u32::try_from(place).ok());
        let deps: Option<Deps> = change.deps.iter().map(place).collect();
        let deps = deps.ok_or(ChangeFault::UnknownDependency)?;
        let ends = deps.iter().map(|&dep| self.entries[dep as usize].end);
        let before = ends.max().unwrap_or(0);
        if change.start == before + 1 { Ok(deps) } else { Err(ChangeFault::WrongStart) }
    }
}
