//! Documents of automerge, fed from logs: the truth that other tools read.
//!
//! Nothing gets here that a log did not let in. A document follows its log in batches ([`Image`]):
//! values and texts are read from the log's table.

use automerge::{ActorId, Automerge, Change, TextEncoding};
use bytes::Bytes;
use thiserror::Error;

use crate::proto::log::{Admission, Candidate, ChangeLog, Index};
use crate::proto::reason::ChangeFault;
use crate::proto::table::Touched;
use crate::proto::wire::message::{Actor, EntryRecord};

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
        EntryRecord::Cut(_)
        | EntryRecord::Base(_)
        | EntryRecord::Denied(_)
        | EntryRecord::Resumed(_) => return Ok(None),
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
