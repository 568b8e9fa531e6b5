//! Documents of automerge, fed from logs: the truth that other tools read.
//!
//! Nothing gets here that a log did not let in. The models' document follows its log in batches
//! ([`Image`]): values are read from the log's table. The texts' document ([`Texts`]) is what texts
//! are read from and edited in.

use std::collections::BTreeSet;

use automerge::transaction::Transaction;
use automerge::{ActorId, Automerge, Change, ObjId, PatchLog, Prop, ReadDoc, TextEncoding, Value};
use bytes::Bytes;
use thiserror::Error;

use crate::proto::authorship::Scope;
use crate::proto::config::Limits;
use crate::proto::id::DocumentId;
use crate::proto::log::{Admission, Candidate, ChangeLog, Index};
use crate::proto::model::path::Path;
use crate::proto::reason::ChangeFault;
use crate::proto::table::Touched;
use crate::proto::wire::bounded::Line;
use crate::proto::wire::message::{Actor, EntryRecord, Introduction, Made, WellKnownRecord};

/// The document of texts and its log.
pub struct Texts {
    log: ChangeLog,
    automerge: Automerge,
}

impl Texts {
    /// A document without texts, written to by `author`.
    #[must_use]
    pub fn new(scope: Scope, author: &Introduction, limits: Limits) -> Self {
        let actor = scope.actor(author);
        Self { log: ChangeLog::new(scope, DocumentId::TEXTS, limits), automerge: empty(actor) }
    }

    /// The log.
    #[must_use]
    pub const fn log(&self) -> &ChangeLog {
        &self.log
    }

    /// The log, to let entries in that are applied later.
    pub const fn log_mut(&mut self) -> &mut ChangeLog {
        &mut self.log
    }

    /// What the changes make, as far as they were applied.
    #[must_use]
    pub const fn automerge(&self) -> &Automerge {
        &self.automerge
    }

    /// Applies changes that the log has let in, all at once. Returns the texts that they touched.
    ///
    /// # Errors
    ///
    /// When automerge refuses them, which the log's rules exclude.
    pub fn apply(&mut self, places: &[Index]) -> Result<BTreeSet<Path>, ChangeFault> {
        let entries = places.iter().filter_map(|place| self.log.entry(*place));
        let changes = changes(entries.map(|entry| &entry.bytes))?;
        let mut patches = PatchLog::active();
        self.automerge
            .apply_changes_log_patches(changes, &mut patches)
            .map_err(|_| ChangeFault::Malformed)?;
        let patches = self.automerge.make_patches(&mut patches);
        let texts = patches.iter().filter_map(|patch| match (patch.path.first(), &patch.action) {
            (Some((_, Prop::Map(key))), _) | (None, automerge::PatchAction::PutMap { key, .. }) => {
                Some(Path::parse(key))
            }
            _ => None,
        });
        Ok(texts.collect())
    }

    /// Writes what `write` does as one change of this peer, if it does anything.
    ///
    /// # Errors
    ///
    /// When `write` fails, or the log is full; the document is as it was. Not when the log refuses
    /// the change that came of it, which its rules exclude for what automerge writes.
    pub fn commit<E: From<ChangeFault>>(
        &mut self,
        author: &Introduction,
        write: impl FnOnce(&mut Transaction<'_>) -> Result<(), E>,
    ) -> Result<Option<Index>, E> {
        self.log.may_write(&self.log.scope().actor(author))?;
        let mut transaction = self.automerge.transaction();
        if let Err(error) = write(&mut transaction) {
            transaction.rollback();
            return Err(error);
        }
        let (Some(hash), _) = transaction.commit() else {
            return Ok(None);
        };
        let change = self.automerge.get_change_by_hash(&hash).ok_or(ChangeFault::Malformed)?;
        let change = self.log.read(change.raw_bytes())?;
        match self.log.admit(Candidate { introduction: Some(*author), change, pending: true })? {
            Admission::New(index, _) => Ok(Some(index)),
            Admission::Known => Ok(None),
        }
    }

    /// Writes with another actor from now on.
    pub fn set_actor(&mut self, actor: Actor) {
        self.automerge.set_actor(ActorId::from(actor));
    }

    /// A text, by the path that is its key.
    #[must_use]
    pub fn text(&self, path: &Path) -> Option<String> {
        match self.automerge.get(ObjId::Root, path.as_str()) {
            Ok(Some((Value::Object(_), text))) => self.automerge.text(&text).ok(),
            _ => None,
        }
    }

    /// Makes sure that a text exists: what is there stays, whoever made it.
    ///
    /// # Errors
    ///
    /// When the log does not take the change.
    pub fn ensure(&mut self, path: &Path) -> Result<(), ChangeFault> {
        let there = self.automerge.get(ObjId::Root, path.as_str());
        if matches!(there, Ok(Some(_))) {
            return Ok(());
        }
        let key = Line::new(path.as_str()).ok_or(ChangeFault::TooLarge)?;
        let record = WellKnownRecord { parent: None, key, made: Made::Text };
        // It may be in the log and not applied yet: another peer's, among texts that wait.
        let index = match self.log.admit_well_known(&record, true)? {
            Admission::New(index, _) => Some(index),
            Admission::Known => {
                let actor = self.log.scope().well_known_actor(&record);
                self.log.author(&actor).and_then(|author| author.changes.first().copied())
            }
        };
        self.apply(&[index.ok_or(ChangeFault::Malformed)?])?;
        Ok(())
    }
}

impl std::fmt::Debug for Texts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Texts").field("changes", &self.log.len()).finish_non_exhaustive()
    }
}

/// A document without content. automerge draws an actor for it, which is replaced at once.
fn empty(actor: Actor) -> Automerge {
    Automerge::new_with_encoding(TextEncoding::UnicodeCodePoint).with_actor(ActorId::from(actor))
}

/// Changes that a log let in, for automerge.
fn changes<'a>(bytes: impl Iterator<Item = &'a Bytes>) -> Result<Vec<Change>, ChangeFault> {
    let changes: Result<Vec<Change>, _> = bytes.map(|bytes| Change::try_from(&bytes[..])).collect();
    changes.map_err(|_| ChangeFault::Malformed)
}

/// What became of an entry that is news.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// Its place in the log.
    pub index: Index,
    /// What it touched.
    pub touched: Touched,
}

/// Lets an entry into a log. Returns where it is, if it is news; signatures have no place.
///
/// # Errors
///
/// When it breaks a rule of [`ChangeLog`].
pub fn admit(log: &mut ChangeLog, record: &EntryRecord) -> Result<Option<Admitted>, ChangeFault> {
    let admission = match record {
        EntryRecord::Authored { introduction, bytes } => {
            let change = log.read(bytes)?;
            log.admit(Candidate { introduction: *introduction, change, pending: false })?
        }
        EntryRecord::WellKnown(record) => log.admit_well_known(record, false)?,
        EntryRecord::Signed(record) => {
            // A newer word than the changes that have come: it is sent again after them.
            return match log.admit_signature(record) {
                Ok(_) | Err(ChangeFault::UnknownDependency) => Ok(None),
                Err(fault) => Err(fault),
            };
        }
        // What these say is for who keeps the log.
        EntryRecord::Cut(_) | EntryRecord::Base(_) => return Ok(None),
    };
    Ok(match admission {
        Admission::New(index, touched) => Some(Admitted { index, touched }),
        Admission::Known => None,
    })
}

/// The document that a log makes, brought up to date in batches.
pub struct Image {
    automerge: Automerge,
    applied: Index,
}

impl Image {
    /// The image of an empty log.
    #[must_use]
    pub fn new() -> Self {
        Self { automerge: empty([0; 16]), applied: 0 }
    }

    /// The document of `log`, which must be the same at every call. Costs what came since the last.
    ///
    /// # Errors
    ///
    /// When automerge refuses a change that the log let in.
    pub fn of(&mut self, log: &ChangeLog) -> Result<&Automerge, ImageError> {
        let entries = (self.applied..log.len()).filter_map(|index| log.entry(index));
        let changes =
            changes(entries.map(|entry| &entry.bytes)).map_err(|_| ImageError::Refused)?;
        self.automerge.apply_changes(changes).map_err(|_| ImageError::Refused)?;
        self.applied = log.len();
        Ok(&self.automerge)
    }

    /// How many changes of the log it lacks.
    #[must_use]
    pub fn behind(&self, log: &ChangeLog) -> usize {
        log.len().saturating_sub(self.applied)
    }
}

impl Default for Image {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Image").field("applied", &self.applied).finish_non_exhaustive()
    }
}

/// Why a document does not follow its log.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ImageError {
    /// automerge does not take what the log let in.
    #[error("automerge refuses what the room let in: report this with the version")]
    Refused,
}
