//! A log and a document that honest peers made, to be attacked and put back.

use automerge::{ActorId, Automerge, PatchLog, TextEncoding};

use super::dice::Dice;
use super::facts::{Facts, Mark};
use super::honest::{Company, introduction, scope};
use crate::proto::change::{Change, Sealed};
use crate::proto::config::Limits;
use crate::proto::document;
use crate::proto::id::DocumentId;
use crate::proto::log::{ChangeLog, Origin};
use crate::proto::wire::message::{Actor, EntryRecord, Introduction};

/// What is prepared once, for many inputs.
#[derive(Debug)]
pub(super) struct Prepared {
    log: ChangeLog,
    automerge: Automerge,
    facts: Facts,
    /// What the other document has, which is nothing here.
    pub(super) elsewhere: Facts,
    /// What honest peers wrote next.
    pub(super) held: Vec<Held>,
    /// Every peer that wrote, here or later.
    pub(super) authors: Vec<Introduction>,
    /// What is in the log, for a report.
    pub(super) history: Vec<EntryRecord>,
}

/// An honest change.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) change: Change,
    pub(super) bytes: Vec<u8>,
}

impl Prepared {
    /// A document of honest peers, some of whose changes are held back.
    pub(super) fn new(dice: &mut Dice) -> Result<Self, String> {
        let mut company = Company::new(2 + u8::try_from(dice.below(3)).unwrap_or(0));
        for _ in 0..20 + dice.below(80) {
            company.step(dice)?;
        }
        if dice.once_in(2) {
            company.settle()?;
        }
        let texts = dice.once_in(3);
        let [mut document, mut other] = DocumentId::ALL;
        if texts {
            std::mem::swap(&mut document, &mut other);
        }
        let at = dice.below(8);
        let whole = company.log(at, document);
        // Smaller ones are likelier, for they are faster.
        let kept = if dice.once_in(16) { 0 } else { 5 + dice.below(56).min(dice.below(56)) };
        let kept = kept.min(whole.len().saturating_sub(dice.below(4)));
        let limits = limits(dice, whole, kept);
        let mut prepared = Self {
            log: ChangeLog::new(scope(), document, limits),
            automerge: empty(),
            facts: Facts::new(),
            elsewhere: facts_of(company.log(at, other)),
            held: Vec::new(),
            authors: Vec::new(),
            history: Vec::new(),
        };
        prepared.fill(whole, kept)?;
        Ok(prepared)
    }

    fn fill(&mut self, whole: &ChangeLog, kept: usize) -> Result<(), String> {
        let mut full = false;
        for index in 0..whole.len().min(kept + 24) {
            let Some(entry) = whole.entry(index) else { continue };
            let (Some(record), Some(change)) = (whole.record(index), whole.change(index)) else {
                continue;
            };
            full = full || index >= kept || document::admit(&mut self.log, &record).is_err();
            if full {
                self.held.push(Held { change, bytes: entry.bytes.to_vec() });
                continue;
            }
            let fixed = matches!(record, EntryRecord::WellKnown(_));
            self.facts.add(&change, entry.hash, fixed);
            apply(&mut self.automerge, self.log.document(), &[entry.bytes.to_vec()])?;
            self.history.push(record);
        }
        let origins = whole.authors().map(|(_, author)| &author.origin);
        self.authors = origins
            .filter_map(|origin| match origin {
                Origin::Peer(author) => Some(*author),
                Origin::WellKnown(_) | Origin::Base => None,
            })
            .chain([introduction(200, 1)])
            .collect();
        Ok(())
    }

    /// The prepared state, to be attacked.
    pub(super) fn arena(&self) -> Arena<'_> {
        Arena {
            prepared: self,
            log: self.log.clone(),
            automerge: self.automerge.clone(),
            facts: self.facts.clone(),
            mark: self.facts.mark(),
            let_in: Vec::new(),
        }
    }
}

/// Mostly those that everybody has; sometimes some that are about to be reached.
fn limits(dice: &mut Dice, whole: &ChangeLog, kept: usize) -> Limits {
    let usual = Limits::default();
    match dice.below(16) {
        0 => Limits { history: kept + dice.below(4), ..usual },
        1 => Limits { authors: 1 + dice.below(2), ..usual },
        2 => Limits { well_known: whole.authors().count().saturating_sub(dice.below(4)), ..usual },
        3 => Limits { operations: 24, key: 24, ..usual },
        4 => Limits { change: 1_024, depth: 6, ..usual },
        _ => usual,
    }
}

fn facts_of(log: &ChangeLog) -> Facts {
    let mut facts = Facts::new();
    for index in 0..log.len() {
        if let (Some(change), Some(entry)) = (log.change(index), log.entry(index)) {
            facts.add(&change, entry.hash, log.writer(index).is_none());
        }
    }
    facts
}

pub(super) fn empty() -> Automerge {
    Automerge::new_with_encoding(TextEncoding::UnicodeCodePoint).with_actor(ActorId::from([0; 16]))
}

/// Applies changes as a peer does: texts with patches, models without.
pub(super) fn apply(
    automerge: &mut Automerge,
    document: DocumentId,
    changes: &[Vec<u8>],
) -> Result<(), String> {
    let read = changes.iter().map(|bytes| automerge::Change::try_from(&bytes[..]));
    let changes: Vec<_> = read.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    if document == DocumentId::MODELS {
        return automerge.apply_changes(changes).map_err(|error| error.to_string());
    }
    let mut patches = PatchLog::active();
    automerge
        .apply_changes_log_patches(changes, &mut patches)
        .map_err(|error| error.to_string())?;
    automerge.make_patches(&mut patches);
    Ok(())
}

/// A log and its document, under attack.
#[derive(Debug)]
pub(super) struct Arena<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) log: ChangeLog,
    pub(super) automerge: Automerge,
    pub(super) facts: Facts,
    mark: Mark,
    /// What came in since.
    pub(super) let_in: Vec<EntryRecord>,
}

impl Arena<'_> {
    /// As it was prepared.
    pub(super) fn reset(&mut self) {
        if !self.let_in.is_empty() {
            self.log.clone_from(&self.prepared.log);
            self.automerge.clone_from(&self.prepared.automerge);
            self.facts.rewind(self.mark);
            self.let_in.clear();
        }
    }

    pub(super) fn learn(&mut self, sealed: &Sealed, record: EntryRecord) {
        let fixed = matches!(record, EntryRecord::WellKnown(_));
        self.facts.add(&sealed.change, sealed.hash, fixed);
        self.let_in.push(record);
    }

    pub(super) fn actor(&self, author: &Introduction) -> Actor {
        self.log.scope().actor(author)
    }

    pub(super) fn texts(&self) -> bool {
        self.log.document() == DocumentId::TEXTS
    }

    /// Everything in the log, in order.
    pub(super) fn history(&self) -> Vec<EntryRecord> {
        self.prepared.history.iter().chain(&self.let_in).cloned().collect()
    }
}
