//! What is kept of a room in bytes, as relays and peers keep it: sealed, and a document's log in it.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::proto::base::{Base, columns};
use crate::proto::id::EpochId;
use crate::proto::log::{Candidate, ChangeLog, Index};
use crate::proto::reason::ChangeFault;
use crate::proto::wire::message::{Actor, EntryRecord};

/// The version of what an image says, and a record.
const VERSION: u8 = 1;

/// Bytes of the SHA-256 that stands behind it.
const DIGEST: usize = 32;

/// Why a room that was kept cannot be opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ImageError {
    /// Not all of it is there, or it is not what it was.
    #[error("its bytes are damaged")]
    Damaged,
    /// It was kept by a program of another version.
    #[error("it is of version {version}, and this program reads version {VERSION}")]
    Version {
        /// Its version.
        version: u8,
    },
    /// A change in it is none that may be let in.
    #[error("it has a change that cannot be let in: {0}")]
    Change(#[from] ChangeFault),
}

/// In bytes, with their version before and their digest behind them.
pub(in crate::proto) fn seal(kept: &impl Serialize) -> Bytes {
    // Into a vector it cannot fail.
    let mut bytes = postcard::to_extend(kept, vec![VERSION]).unwrap_or_default();
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&digest);
    bytes.into()
}

/// What was sealed.
pub(in crate::proto) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ImageError> {
    let split = bytes.len().checked_sub(DIGEST).ok_or(ImageError::Damaged)?;
    let (said, digest) = bytes.split_at(split);
    if Sha256::digest(said).as_slice() != digest {
        return Err(ImageError::Damaged);
    }
    let (version, said) = said.split_first().ok_or(ImageError::Damaged)?;
    if *version != VERSION {
        return Err(ImageError::Version { version: *version });
    }
    match postcard::take_from_bytes(said) {
        Ok((kept, [])) => Ok(kept),
        Ok(_) | Err(_) => Err(ImageError::Damaged),
    }
}

/// How much of a log is kept.
#[derive(Debug)]
pub(in crate::proto) struct Mark {
    epoch: EpochId,
    /// How many entries it has.
    entries: Index,
    /// Up to which change each author has signed.
    signed: BTreeMap<Actor, u64>,
}

impl Mark {
    /// All that it has. Costs its authors.
    pub(in crate::proto) fn of(log: &ChangeLog) -> Self {
        let signed = log.authors().filter_map(|(actor, author)| {
            author.signature.as_ref().map(|word| (*actor, word.sequence))
        });
        Self { epoch: log.scope().epoch(), entries: log.len(), signed: signed.collect() }
    }

    /// What it has beside what its epoch began with.
    pub(in crate::proto) fn beginning(log: &ChangeLog) -> Self {
        Self { epoch: log.scope().epoch(), entries: log.laid(), signed: BTreeMap::new() }
    }

    /// Whether both are of the same epoch.
    pub(in crate::proto) fn continues(&self, other: &Self) -> bool {
        self.epoch == other.epoch
    }

    /// Whether an entry at a place is in it.
    pub(in crate::proto) const fn has(&self, place: Index) -> bool {
        place < self.entries
    }

    /// The places of changes that a log of the same epoch has beside this, in order.
    pub(in crate::proto) fn changes(&self, log: &ChangeLog) -> Range<Index> {
        self.entries..log.len()
    }

    /// The words of authors that it has beside this, or that are newer.
    pub(in crate::proto) fn words<'a>(
        &'a self,
        log: &'a ChangeLog,
    ) -> impl Iterator<Item = EntryRecord> + 'a {
        let words = log.authors().filter_map(|(_, author)| author.signature.as_ref());
        let newer = words.filter(|word| self.signed.get(&word.actor) != Some(&word.sequence));
        newer.cloned().map(EntryRecord::Signed)
    }
}

/// A log of the same document in an epoch, with what that began with, in columns, and what came since,
/// and whether each of these is pending. Everything is checked as what others bring is.
pub(in crate::proto) fn restore(
    log: &ChangeLog,
    (epoch, base): (EpochId, &[u8]),
    entries: impl IntoIterator<Item = (EntryRecord, bool)>,
) -> Result<ChangeLog, ImageError> {
    let document = log.document();
    let base = match base {
        [] => Base::default(),
        columns => columns::decode(columns, log.limits())?,
    };
    if !base.suits(document) {
        return Err(ImageError::Change(ChangeFault::WrongOperation));
    }
    let mut log = log.successor(log.scope().of(epoch), base);
    while log.lay() {}
    for (entry, pending) in entries {
        match entry {
            EntryRecord::Authored { introduction, bytes } => {
                let change = log.read(&bytes)?;
                log.admit(Candidate { introduction, change, pending })?;
            }
            EntryRecord::WellKnown(record) => {
                log.admit_well_known(&record, pending)?;
            }
            EntryRecord::Signed(record) => {
                log.admit_signature(&record)?;
            }
            EntryRecord::Cut(_)
            | EntryRecord::Base(_)
            | EntryRecord::Denied(_)
            | EntryRecord::Resumed(_) => return Err(ImageError::Damaged),
        }
    }
    Ok(log)
}
