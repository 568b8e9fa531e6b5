//! One document on a peer: the log of its changes and, kept beside it, what they make.

use std::collections::{BTreeMap, BTreeSet};

use automerge::transaction::Transaction;
use automerge::{ActorId, Automerge, Change, ObjId, PatchLog, Prop, ReadDoc, TextEncoding, Value};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::proto::authorship::Scope;
use crate::proto::config::Limits;
use crate::proto::id::DocumentId;
use crate::proto::log::{Admission, Candidate, ChangeLog, Index, Origin};
use crate::proto::model::path::Path;
use crate::proto::reason::ChangeFault;
use crate::proto::wire::bounded::{Blob, Line, List};
use crate::proto::wire::message::{
    Actor, EntryRecord, Introduction, Made, ParentRecord, SignatureRecord, WellKnownRecord,
};

/// A key of an object that changed: the object's path and the key.
pub type Touched = BTreeSet<(Path, String)>;

/// A document and its log.
pub struct Document {
    log: ChangeLog,
    automerge: Automerge,
}

impl Document {
    /// An empty document, written to by `author`.
    #[must_use]
    pub fn new(scope: Scope, id: DocumentId, author: &Introduction, limits: Limits) -> Self {
        let actor = scope.actor(author);
        Self { log: ChangeLog::new(scope, id, limits), automerge: empty(actor) }
    }

    /// The log.
    #[must_use]
    pub const fn log(&self) -> &ChangeLog {
        &self.log
    }

    /// The log, to let signatures in.
    pub const fn log_mut(&mut self) -> &mut ChangeLog {
        &mut self.log
    }

    /// What the changes make, as far as they were applied.
    #[must_use]
    pub const fn automerge(&self) -> &Automerge {
        &self.automerge
    }

    /// Lets an entry from elsewhere into the log. Returns the change, still to be applied, if it is
    /// news; signatures are let in at once.
    ///
    /// # Errors
    ///
    /// When it breaks a rule of [`ChangeLog`].
    pub fn admit(&mut self, record: &EntryRecord) -> Result<Option<(Index, Change)>, ChangeFault> {
        admit(&mut self.log, record)
    }

    /// Applies changes that the log has let in, all at once. Returns what they touched.
    ///
    /// # Errors
    ///
    /// When automerge refuses them, which the log's rules exclude.
    pub fn apply(&mut self, changes: Vec<Change>) -> Result<Touched, ChangeFault> {
        let mut patches = PatchLog::active();
        self.automerge
            .apply_changes_log_patches(changes, &mut patches)
            .map_err(|_| ChangeFault::Malformed)?;
        let mut touched = Touched::new();
        for patch in self.automerge.make_patches(&mut patches) {
            let mut path = Path::root();
            let keys = patch.path.iter().filter_map(|(_, prop)| match prop {
                Prop::Map(key) => Some(key),
                Prop::Seq(_) => None,
            });
            for key in keys {
                path = path.join(key);
            }
            touched.extend(touched_by(path, patch.action));
        }
        Ok(touched)
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
        match self.log.admit(Candidate { introduction: Some(*author), change })? {
            Admission::New(index, _) => Ok(Some(index)),
            Admission::Known => Ok(None),
        }
    }

    /// The object at a path, found by its keys.
    #[must_use]
    pub fn object(&self, path: &Path) -> Option<ObjId> {
        let mut object = ObjId::Root;
        for key in path.keys() {
            object = self.object_at(&object, &key)?;
        }
        Some(object)
    }

    /// The object under a key.
    #[must_use]
    pub fn object_at(&self, object: &ObjId, key: &str) -> Option<ObjId> {
        match self.automerge.get(object, key) {
            Ok(Some((Value::Object(_), id))) => Some(id),
            _ => None,
        }
    }

    /// A text of this document, by the path that is its key.
    #[must_use]
    pub fn text(&self, path: &Path) -> Option<String> {
        let object = self.object_at(&ObjId::Root, path.as_str())?;
        self.automerge.text(&object).ok()
    }

    /// Makes sure that something well known exists under a key of an object: what is there stays,
    /// whoever made it. Returns the change that had to be written for it, if any.
    ///
    /// # Errors
    ///
    /// When the log does not take the change.
    pub fn ensure(
        &mut self,
        parent: &ObjId,
        key: &str,
        made: Made,
    ) -> Result<Option<Index>, ChangeFault> {
        if self.has(parent, key, &made) {
            return Ok(None);
        }
        let record = WellKnownRecord {
            parent: self.parent_record(parent)?,
            key: Line::new(key).ok_or(ChangeFault::TooLarge)?,
            made,
        };
        match self.log.admit_well_known(&record)? {
            Admission::New(index, change) => {
                self.apply(vec![*change])?;
                Ok(Some(index))
            }
            // In the log and not applied yet: another peer's, among texts that wait.
            Admission::Known => {
                let change = self.well_known(&record).ok_or(ChangeFault::Malformed)?;
                self.apply(vec![change])?;
                Ok(None)
            }
        }
    }

    /// Whether there is something under a key: for a record, one of the same words among those of
    /// different versions.
    fn has(&self, parent: &ObjId, key: &str, made: &Made) -> bool {
        let there = self.automerge.get_all(parent, key).unwrap_or_default();
        match made {
            Made::Record(text) => there.iter().any(|(value, _)| value.as_str() == Some(&**text)),
            Made::Map | Made::Text | Made::Counter => !there.is_empty(),
        }
    }

    fn well_known(&self, record: &WellKnownRecord) -> Option<Change> {
        let actor = self.log.scope().well_known_actor(record);
        let index = *self.log.author(&actor)?.changes.first()?;
        Change::try_from(&self.log.entry(index)?.bytes[..]).ok()
    }

    fn parent_record(&self, parent: &ObjId) -> Result<Option<ParentRecord>, ChangeFault> {
        let ObjId::Id(counter, actor, _) = parent else {
            return Ok(None);
        };
        let actor = Actor::try_from(actor.to_bytes()).map_err(|_| ChangeFault::WrongActor)?;
        let change = self.automerge.hash_for_opid(parent).ok_or(ChangeFault::UnknownDependency)?.0;
        Ok(Some(ParentRecord { actor, counter: *counter, change }))
    }
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Document").field("changes", &self.log.len()).finish_non_exhaustive()
    }
}

/// A document without content. automerge draws an actor for it, which is replaced at once.
fn empty(actor: Actor) -> Automerge {
    Automerge::new_with_encoding(TextEncoding::UnicodeCodePoint).with_actor(ActorId::from(actor))
}

/// Lets an entry into a log. Returns the change if it is news.
///
/// # Errors
///
/// When it breaks a rule of [`ChangeLog`].
pub fn admit(
    log: &mut ChangeLog,
    record: &EntryRecord,
) -> Result<Option<(Index, Change)>, ChangeFault> {
    let admission = match record {
        EntryRecord::Authored { introduction, bytes } => {
            let change = log.read(bytes)?;
            log.admit(Candidate { introduction: *introduction, change })?
        }
        EntryRecord::WellKnown(record) => log.admit_well_known(record)?,
        EntryRecord::Signed(record) => {
            // A newer word than the changes that have come: it is sent again after them.
            return match log.admit_signature(record) {
                Ok(_) | Err(ChangeFault::UnknownDependency) => Ok(None),
                Err(fault) => Err(fault),
            };
        }
    };
    Ok(match admission {
        Admission::New(index, change) => Some((index, *change)),
        Admission::Known => None,
    })
}

fn touched_by(path: Path, action: automerge::PatchAction) -> Option<(Path, String)> {
    use automerge::PatchAction as Action;
    match action {
        Action::PutMap { key, .. }
        | Action::DeleteMap { key }
        | Action::Increment { prop: Prop::Map(key), .. }
        | Action::Conflict { prop: Prop::Map(key) } => Some((path, key)),
        // Within a text: the text itself, as a key of what it is in.
        Action::SpliceText { .. }
        | Action::DeleteSeq { .. }
        | Action::Insert { .. }
        | Action::PutSeq { .. }
        | Action::Mark { .. }
        | Action::Increment { prop: Prop::Seq(_), .. }
        | Action::Conflict { prop: Prop::Seq(_) } => path.split(),
    }
}

/// A document whole, for those who join late: what automerge saves, and whose its actors are.
#[derive(Debug, Serialize, Deserialize)]
pub struct Snapshot {
    authors: List<Introduction, 65_536>,
    well_known: List<WellKnownRecord, 65_536>,
    signatures: List<SignatureRecord, 65_536>,
    #[serde(with = "bytes_field")]
    document: Bytes,
}

/// `Bytes` as postcard's byte array.
mod bytes_field {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        bytes: &Bytes,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Bytes, D::Error> {
        <&[u8]>::deserialize(deserializer).map(Bytes::copy_from_slice)
    }
}

/// The document that a log makes, on a relay: brought up to date only when a snapshot is wanted.
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
    pub fn of(&mut self, log: &ChangeLog) -> Result<&Automerge, SnapshotError> {
        let entries = (self.applied..log.len()).filter_map(|index| log.entry(index));
        let changes: Vec<Change> = entries
            .map(|entry| Change::try_from(&entry.bytes[..]))
            .collect::<Result<_, _>>()
            .map_err(|_| SnapshotError::Malformed)?;
        self.automerge.apply_changes(changes).map_err(|_| SnapshotError::Malformed)?;
        self.applied = log.len();
        Ok(&self.automerge)
    }

    /// The snapshot of `log`.
    ///
    /// # Errors
    ///
    /// When automerge refuses a change that the log let in.
    pub fn snapshot(&mut self, log: &ChangeLog) -> Result<Vec<u8>, SnapshotError> {
        let document = self.of(log)?.save().into();
        let origins = || log.authors().map(|(_, author)| &author.origin);
        let snapshot = Snapshot {
            authors: List::of(origins().filter_map(|origin| match origin {
                Origin::Peer(author) => Some(*author),
                Origin::WellKnown(_) => None,
            })),
            well_known: List::of(origins().filter_map(|origin| match origin {
                Origin::Peer(_) => None,
                Origin::WellKnown(record) => Some((**record).clone()),
            })),
            signatures: List::of(log.authors().filter_map(|(_, author)| author.signature.clone())),
            document,
        };
        postcard::to_allocvec(&snapshot).map_err(|_| SnapshotError::Malformed)
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

/// Why bytes are no snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// They cannot be read.
    #[error("the snapshot cannot be read")]
    Malformed,
    /// One of its changes breaks a rule.
    #[error("a change in the snapshot is refused: {0}")]
    Change(#[from] ChangeFault),
}

impl Snapshot {
    /// The entries of a snapshot, in an order in which each follows what it needs.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or an author is not named.
    pub fn entries(bytes: &[u8], scope: &Scope) -> Result<Vec<EntryRecord>, SnapshotError> {
        let (snapshot, rest): (Self, _) =
            postcard::take_from_bytes(bytes).map_err(|_| SnapshotError::Malformed)?;
        if !rest.is_empty() {
            return Err(SnapshotError::Malformed);
        }
        let automerge =
            Automerge::load(&snapshot.document).map_err(|_| SnapshotError::Malformed)?;
        let authors: BTreeMap<Actor, Introduction> =
            snapshot.authors.iter().map(|author| (scope.actor(author), *author)).collect();
        let well_known: BTreeMap<Actor, &WellKnownRecord> = snapshot
            .well_known
            .iter()
            .map(|record| (scope.well_known_actor(record), record))
            .collect();
        let mut entries = Vec::new();
        for change in automerge.get_changes(&[]) {
            let actor = Actor::try_from(change.actor_id().to_bytes())
                .map_err(|_| SnapshotError::Change(ChangeFault::WrongActor))?;
            entries.push(match well_known.get(&actor) {
                Some(&record) => EntryRecord::WellKnown(record.clone()),
                None => EntryRecord::Authored {
                    introduction: (change.seq() == 1)
                        .then(|| authors.get(&actor).copied())
                        .flatten(),
                    bytes: Blob::new(Bytes::copy_from_slice(change.raw_bytes()))
                        .ok_or(SnapshotError::Change(ChangeFault::TooLarge))?,
                },
            });
        }
        entries.extend(snapshot.signatures.into_vec().into_iter().map(EntryRecord::Signed));
        Ok(entries)
    }
}
