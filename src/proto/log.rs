//! The log of one document: every change in an order in which each follows what it depends on, who
//! wrote it, and the rules by which a change is let in.
//!
//! Peers and relays keep the same log. A peer also keeps the document that the changes make
//! ([`crate::proto::document`]); a relay needs it only for snapshots.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::legacy::OpType;
use automerge::{Change, ChangeHash, ObjType};
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::proto::authorship::Scope;
use crate::proto::columns;
use crate::proto::config::Limits;
use crate::proto::id::{DocumentId, PeerId};
use crate::proto::reason::ChangeFault;
use crate::proto::wire::bounded::Blob;
use crate::proto::wire::message::{
    Actor, EntryRecord, Hash, Introduction, SignatureRecord, WellKnownRecord,
};

/// The place of a change in a log.
pub type Index = usize;

/// A change that was let in.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its hash.
    pub hash: Hash,
    /// Its actor.
    pub actor: Actor,
    /// Its place among its actor's changes, from 1.
    pub sequence: u64,
    /// The highest operation counter in it and in all that it depends on.
    pub end: u64,
    /// As automerge encodes it.
    pub bytes: Bytes,
    deps: Vec<Index>,
    /// Counters of the maps that it makes: what well-known objects may stand in.
    maps: Vec<u64>,
}

/// Somebody who writes to a document.
#[derive(Clone, Debug)]
pub struct Author {
    /// Whose actor it is.
    pub origin: Origin,
    /// Its changes, in order.
    pub changes: Vec<Index>,
    /// Its latest word for them.
    pub signature: Option<SignatureRecord>,
}

/// Whose an actor is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A peer's.
    Peer(Introduction),
    /// Nobody's: a well-known object's.
    WellKnown(Box<WellKnownRecord>),
}

/// What became of a change that was offered.
#[derive(Clone, Debug)]
pub enum Admission {
    /// It is in the log now, here; the change, to be applied.
    New(Index, Box<Change>),
    /// It was in the log before.
    Known,
}

/// A change read and not yet let in.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Who wrote it, if its sender said so.
    pub introduction: Option<Introduction>,
    /// The change itself; its hash is computed from its bytes.
    pub change: Change,
}

/// The log of one document.
#[derive(Clone, Debug)]
pub struct ChangeLog {
    scope: Scope,
    document: DocumentId,
    limits: Limits,
    entries: Vec<Entry>,
    index: BTreeMap<Hash, Index>,
    heads: BTreeSet<Hash>,
    authors: BTreeMap<Actor, Author>,
    /// How many of the authors are well-known objects.
    well_known: usize,
    /// Raised by everything that is let in.
    revision: u64,
}

impl ChangeLog {
    /// An empty log.
    #[must_use]
    pub fn new(scope: Scope, document: DocumentId, limits: Limits) -> Self {
        Self {
            scope,
            document,
            limits,
            entries: Vec::new(),
            index: BTreeMap::new(),
            heads: BTreeSet::new(),
            authors: BTreeMap::new(),
            well_known: 0,
            revision: 0,
        }
    }

    /// Reads a change from a stranger's bytes: size, chunk type, checksum and the number of
    /// operations come before anything that costs.
    ///
    /// # Errors
    ///
    /// When it is too large, or not a plain automerge change.
    pub fn read(&self, bytes: &[u8]) -> Result<Change, ChangeFault> {
        if bytes.len() > self.limits.change {
            return Err(ChangeFault::TooLarge);
        }
        // Magic (4 bytes), checksum (4), chunk type (1): only type 1, a change that is not
        // compressed, so that nothing inflates. automerge does not compare the checksum itself.
        let checksum = bytes.get(4..8).ok_or(ChangeFault::Malformed)?;
        if bytes.get(8) != Some(&1) || !Sha256::digest(&bytes[8..]).starts_with(checksum) {
            return Err(ChangeFault::Malformed);
        }
        columns::operations(bytes, self.limits.operations)?;
        // automerge may panic at what is crafted; nothing else is touched by that.
        let change = catch_unwind(AssertUnwindSafe(|| Change::try_from(bytes)))
            .map_err(|_| ChangeFault::Malformed)?
            .map_err(|_| ChangeFault::Malformed)?;
        if change.len() > self.limits.operations {
            return Err(ChangeFault::TooLarge);
        }
        Ok(change)
    }

    /// Lets a change in if it is its author's next one and depends on what is here.
    ///
    /// # Errors
    ///
    /// When it breaks a rule; the log is as it was.
    pub fn admit(&mut self, candidate: Candidate) -> Result<Admission, ChangeFault> {
        let Candidate { introduction, change } = candidate;
        if self.index.contains_key(&change.hash().0) {
            return Ok(Admission::Known);
        }
        let actor = actor_of(&change)?;
        let known = self.authors.get(&actor);
        let origin = match (known, introduction) {
            (Some(Author { origin: Origin::Peer(author), .. }), _) => *author,
            (None, Some(author)) if self.scope.actor(&author) == actor => author,
            _ => return Err(ChangeFault::WrongActor),
        };
        self.may_write(&actor)?;
        let written = known.map_or(&[][..], |author| &author.changes);
        self.check_sequence(&change, written)?;
        self.insert(actor, Origin::Peer(origin), change)
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

    /// Whether another well-known object may be made.
    ///
    /// # Errors
    ///
    /// When the log is full.
    pub const fn may_create(&self) -> Result<(), ChangeFault> {
        if self.entries.len() >= self.limits.history {
            return Err(ChangeFault::HistoryFull);
        }
        if self.well_known >= self.limits.well_known {
            return Err(ChangeFault::TooManyAuthors);
        }
        Ok(())
    }

    /// Lets in the change that creates a well-known object.
    ///
    /// # Errors
    ///
    /// When its parent is not here, or the log is full.
    pub fn admit_well_known(&mut self, record: &WellKnownRecord) -> Result<Admission, ChangeFault> {
        let end = match &record.parent {
            None => 0,
            Some(parent) => {
                let index = self.index.get(&parent.change).ok_or(ChangeFault::UnknownDependency)?;
                let entry = &self.entries[*index];
                // An object cannot be well known within something that its stated creation did not
                // make: automerge would not survive it.
                if entry.actor != parent.actor || !entry.maps.contains(&parent.counter) {
                    return Err(ChangeFault::WrongActor);
                }
                entry.end
            }
        };
        let change = self.scope.well_known(record, end);
        if self.index.contains_key(&change.hash().0) {
            return Ok(Admission::Known);
        }
        let actor = actor_of(&change)?;
        if self.authors.contains_key(&actor) {
            return Err(ChangeFault::Equivocation);
        }
        self.may_create()?;
        let admission = self.insert(actor, Origin::WellKnown(Box::new(record.clone())), change)?;
        self.well_known += 1;
        Ok(admission)
    }

    fn check_sequence(&self, change: &Change, written: &[Index]) -> Result<(), ChangeFault> {
        let next = written.len() as u64 + 1;
        if change.seq() < next {
            // Not the same change, or it would have been known: its author wrote two.
            return Err(ChangeFault::Equivocation);
        }
        if change.seq() > next {
            return Err(ChangeFault::WrongSequence);
        }
        let previous = written.last().map(|&index| ChangeHash(self.entries[index].hash));
        match previous {
            Some(previous) if !change.deps().contains(&previous) => Err(ChangeFault::WrongSequence),
            _ => Ok(()),
        }
    }

    fn insert(
        &mut self,
        actor: Actor,
        origin: Origin,
        change: Change,
    ) -> Result<Admission, ChangeFault> {
        let deps: Option<Vec<Index>> =
            change.deps().iter().map(|dep| self.index.get(&dep.0).copied()).collect();
        let deps = deps.ok_or(ChangeFault::UnknownDependency)?;
        let before = deps.iter().map(|&dep| self.entries[dep].end).max().unwrap_or(0);
        if change.start_op().get() != before + 1 {
            return Err(ChangeFault::WrongStart);
        }
        let maps = maps_of(&change).ok_or(ChangeFault::Malformed)?;
        self.revision += 1;
        let index = self.entries.len();
        let hash = change.hash().0;
        for dep in change.deps() {
            self.heads.remove(&dep.0);
        }
        self.heads.insert(hash);
        self.index.insert(hash, index);
        self.entries.push(Entry {
            hash,
            actor,
            sequence: change.seq(),
            end: change.max_op().max(before),
            bytes: Bytes::copy_from_slice(change.raw_bytes()),
            deps,
            maps,
        });
        let author = self.authors.entry(actor);
        let author =
            author.or_insert_with(|| Author { origin, changes: Vec::new(), signature: None });
        author.changes.push(index);
        Ok(Admission::New(index, Box::new(change)))
    }

    /// Takes an author's word. Returns whether it is news.
    ///
    /// # Errors
    ///
    /// When the author is not a peer that wrote here, when the signature is not that peer's, or when
    /// it is for another change than the one that is here: its author wrote two.
    pub fn admit_signature(&mut self, record: &SignatureRecord) -> Result<bool, ChangeFault> {
        let author = self.authors.get_mut(&record.actor).ok_or(ChangeFault::UnknownDependency)?;
        let Origin::Peer(introduction) = &author.origin else {
            return Err(ChangeFault::BadSignature);
        };
        if author.signature.as_ref().is_some_and(|known| known.sequence >= record.sequence) {
            return Ok(false);
        }
        if !self.scope.verifies(introduction.peer, self.document, record) {
            return Err(ChangeFault::BadSignature);
        }
        let place =
            usize::try_from(record.sequence).ok().and_then(|sequence| sequence.checked_sub(1));
        let index = place.and_then(|place| author.changes.get(place));
        match index.map(|&index| self.entries[index].hash) {
            None => Err(ChangeFault::UnknownDependency),
            Some(hash) if hash != record.change => Err(ChangeFault::Equivocation),
            Some(_) => {
                author.signature = Some(record.clone());
                self.revision += 1;
                Ok(true)
            }
        }
    }

    /// What goes on the wire for an entry.
    #[must_use]
    pub fn record(&self, index: Index) -> Option<EntryRecord> {
        let entry = self.entries.get(index)?;
        Some(match &self.authors.get(&entry.actor)?.origin {
            Origin::WellKnown(record) => EntryRecord::WellKnown((**record).clone()),
            Origin::Peer(author) => EntryRecord::Authored {
                introduction: (entry.sequence == 1).then_some(*author),
                bytes: Blob::new(entry.bytes.clone())?,
            },
        })
    }

    /// The places of the changes that `heads` and what they depend on do not cover, in order. Costs
    /// the length of the log.
    #[must_use]
    pub fn missing(&self, heads: &[Hash]) -> Vec<Index> {
        let mut covered = vec![false; self.entries.len()];
        let mut pending: Vec<Index> =
            heads.iter().filter_map(|head| self.index.get(head).copied()).collect();
        while let Some(index) = pending.pop() {
            if !std::mem::replace(&mut covered[index], true) {
                pending.extend(self.entries[index].deps.iter().filter(|&&dep| !covered[dep]));
            }
        }
        (0..self.entries.len()).filter(|&index| !covered[index]).collect()
    }

    /// The change at a place.
    #[must_use]
    pub fn entry(&self, index: Index) -> Option<&Entry> {
        self.entries.get(index)
    }

    /// The place of a change.
    #[must_use]
    pub fn position(&self, hash: &Hash) -> Option<Index> {
        self.index.get(hash).copied()
    }

    /// The author of an actor.
    #[must_use]
    pub fn author(&self, actor: &Actor) -> Option<&Author> {
        self.authors.get(actor)
    }

    /// Every author, in the order of actors.
    pub fn authors(&self) -> impl Iterator<Item = (&Actor, &Author)> {
        self.authors.iter()
    }

    /// The peer that wrote the change at a place; nothing for a well-known object.
    #[must_use]
    pub fn writer(&self, index: Index) -> Option<PeerId> {
        match &self.authors.get(&self.entries.get(index)?.actor)?.origin {
            Origin::Peer(author) => Some(author.peer),
            Origin::WellKnown(_) => None,
        }
    }

    /// A number that everything raises that is let in: equal numbers, equal logs.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// How many changes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The changes that no other depends on, ascending.
    pub fn heads(&self) -> impl Iterator<Item = Hash> + '_ {
        self.heads.iter().copied()
    }

    /// The first 8 bytes of SHA-256 over the heads, ascending: equal documents, equal digests.
    #[must_use]
    pub fn digest(&self) -> [u8; 8] {
        let mut hash = Sha256::new();
        for head in &self.heads {
            hash.update(head);
        }
        let mut digest = [0; 8];
        digest.copy_from_slice(&hash.finalize()[..8]);
        digest
    }

    /// What identifiers are derived from.
    #[must_use]
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Which document this is the log of.
    #[must_use]
    pub const fn document(&self) -> DocumentId {
        self.document
    }
}

/// The counters of the maps that a change makes. Nothing if automerge cannot decode its operations,
/// at which it may panic: the change itself is not harmed by that, and nothing else is touched.
fn maps_of(change: &Change) -> Option<Vec<u64>> {
    let decoded = catch_unwind(AssertUnwindSafe(|| change.decode())).ok()?;
    let counters = change.start_op().get()..;
    let made = counters.zip(&decoded.operations);
    Some(
        made.filter(|(_, operation)| matches!(operation.action, OpType::Make(ObjType::Map)))
            .map(|(counter, _)| counter)
            .collect(),
    )
}

/// The actor of a change, if it is one of ours: exactly 16 bytes.
fn actor_of(change: &Change) -> Result<Actor, ChangeFault> {
    Actor::try_from(change.actor_id().to_bytes()).map_err(|_| ChangeFault::WrongActor)
}

#[cfg(test)]
mod tests {
    use automerge::ReadDoc;
    use automerge::transaction::Transactable;
    use automerge::{ActorId, Automerge, ObjId};

    use super::*;
    use crate::proto::id::{AppKey, Identity, RoomName};
    use crate::proto::wire::bounded::Line;
    use crate::proto::wire::message::{Made, ParentRecord};

    fn scope() -> Scope {
        Scope::first(AppKey::new("key").unwrap().app(), RoomName::new("room").unwrap())
    }

    /// A log with two changes of one author: the first makes a map (operation 1) and puts a value in
    /// it (2), the second puts another (3).
    fn log() -> (ChangeLog, Actor) {
        let author = Introduction { peer: Identity::from_seed([1; 32]).peer(), incarnation: 1 };
        let mut log = ChangeLog::new(scope(), DocumentId::MODELS, Limits::default());
        let actor = log.scope().actor(&author);
        let mut document = Automerge::new().with_actor(ActorId::from(actor));
        for value in 1..3 {
            let mut transaction = document.transaction();
            let map = match transaction.get(ObjId::Root, "1").unwrap() {
                Some((_, map)) => map,
                None => transaction.put_object(ObjId::Root, "1", ObjType::Map).unwrap(),
            };
            transaction.put(&map, "2", value).unwrap();
            transaction.commit();
        }
        for change in document.get_changes(&[]) {
            let admission = log.admit(Candidate { introduction: Some(author), change });
            assert!(matches!(admission, Ok(Admission::New(..))));
        }
        (log, actor)
    }

    fn within(log: &ChangeLog, actor: Actor, counter: u64, change: Index) -> WellKnownRecord {
        let change = log.entry(change).unwrap().hash;
        WellKnownRecord {
            parent: Some(ParentRecord { actor, counter, change }),
            key: Line::new("3").unwrap(),
            made: Made::Map,
        }
    }

    #[test]
    fn a_well_known_object_stands_in_a_map_that_its_stated_creation_made() {
        let (mut log, actor) = log();
        // A value, an operation that is not there, and the map with a later change.
        for (counter, change) in [(2, 0), (9, 0), (0, 0), (1, 1)] {
            let record = within(&log, actor, counter, change);
            let refused = log.admit_well_known(&record);
            assert!(
                matches!(refused, Err(ChangeFault::WrongActor)),
                "{counter} of {change}: {refused:?}"
            );
        }
        let record = within(&log, actor, 1, 0);
        assert!(matches!(log.admit_well_known(&record), Ok(Admission::New(..))));
        assert!(matches!(log.admit_well_known(&record), Ok(Admission::Known)));
    }

    #[test]
    fn a_changed_byte_or_another_chunk_is_refused_before_it_is_read() {
        let (log, _) = log();
        let bytes = log.entry(0).unwrap().bytes.to_vec();
        assert!(log.read(&bytes).is_ok());
        for place in 4..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[place] ^= 1;
            assert_eq!(log.read(&bytes).err(), Some(ChangeFault::Malformed), "byte {place}");
        }
        assert_eq!(log.read(&[]).err(), Some(ChangeFault::Malformed));
        let tight = Limits { change: 10, ..Limits::default() };
        let log = ChangeLog::new(scope(), DocumentId::MODELS, tight);
        assert_eq!(log.read(&bytes).err(), Some(ChangeFault::TooLarge));
    }

    #[test]
    fn an_actor_that_is_not_its_authors_is_refused() {
        let (full, _) = log();
        let mut log = ChangeLog::new(scope(), DocumentId::MODELS, Limits::default());
        let change = log.read(&full.entry(0).unwrap().bytes).unwrap();
        let other = Introduction { peer: Identity::from_seed([2; 32]).peer(), incarnation: 1 };
        for introduction in [None, Some(other)] {
            let refused = log.admit(Candidate { introduction, change: change.clone() });
            assert!(matches!(refused, Err(ChangeFault::WrongActor)));
        }
        let second = log.read(&full.entry(1).unwrap().bytes).unwrap();
        let author = Introduction { peer: Identity::from_seed([1; 32]).peer(), incarnation: 1 };
        let refused = log.admit(Candidate { introduction: Some(author), change: second });
        assert!(matches!(refused, Err(ChangeFault::WrongSequence)));
        assert!(log.is_empty());
    }
}
