//! The log of one document: every change in an order in which each follows what it depends on, who
//! wrote it, and the rules by which a change is let in.
//!
//! Peers and relays keep the same log. A peer also keeps the document that the changes make
//! ([`crate::proto::document`]); a relay needs it only for snapshots.

mod authority;
mod epoch;
mod hashes;
mod next;
mod rules;
mod well_known;
mod without;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use self::epoch::weight;
use self::hashes::Hashes;
pub use self::next::Next;
use crate::proto::authorship::Scope;
use crate::proto::base::Base;
use crate::proto::change::{Change, Key, ObjectId, OpId, Sealed, chunk};
use crate::proto::config::Limits;
use crate::proto::id::{DocumentId, PeerId};
use crate::proto::ownership::{Authority, Fence};
use crate::proto::reason::ChangeFault;
use crate::proto::table::{Places, Standing, Table, Touched};
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
    /// The counter of its first operation.
    pub start: u64,
    /// The highest operation counter in it and in all that it depends on.
    pub end: u64,
    /// As automerge encodes it.
    pub bytes: Bytes,
    /// The highest grant of the log's authority in it and in all that it depends on.
    pub seen: Fence,
    deps: Deps,
    /// Whether another change depends on it.
    followed: bool,
    /// Whether it was refused, and counts as never written. Its place stays, so that no other moves.
    burnt: bool,
}

impl Entry {
    /// The places of what it depends on, in the order in which it names them.
    pub fn deps(&self) -> impl Iterator<Item = Index> + '_ {
        self.deps.iter().map(|&dep| dep as usize)
    }
}

/// The places of what a change depends on.
type Deps = SmallVec<[u32; 4]>;

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
    /// Nobody's: it wrote what the epoch begins with.
    Base,
}

impl Origin {
    /// The incarnation, if it is a peer's.
    #[must_use]
    pub fn is_of(&self, peer: PeerId) -> Option<u64> {
        match self {
            Self::Peer(introduction) if introduction.peer == peer => Some(introduction.incarnation),
            Self::Peer(_) | Self::WellKnown(_) | Self::Base => None,
        }
    }
}

/// What became of a change that was offered.
#[derive(Clone, Debug)]
pub enum Admission {
    /// It is in the log now, here; what it touched.
    New(Index, Touched),
    /// It was in the log before.
    Known,
}

/// A change read and not yet let in.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Who wrote it, if its sender said so.
    pub introduction: Option<Introduction>,
    /// The change itself.
    pub change: Sealed,
    /// Whether this peer wrote it and nobody has confirmed it.
    pub pending: bool,
}

/// The log of one document.
#[derive(Clone, Debug)]
pub struct ChangeLog {
    scope: Scope,
    document: DocumentId,
    limits: Limits,
    /// The relay whose grants count.
    authority: Option<Authority>,
    /// The highest grant that the epoch began with.
    granted: Fence,
    entries: Vec<Entry>,
    index: Hashes,
    heads: BTreeMap<Hash, Index>,
    authors: BTreeMap<Actor, Author>,
    table: Table,
    /// How many of the authors are well-known objects.
    well_known: usize,
    base: Base,
    /// How many of the first entries are the base.
    laid: usize,
    /// This peer's changes that nobody confirmed, in order.
    pending: BTreeSet<Index>,
    /// About how many bytes the history takes, without the base.
    weight: usize,
    /// About how many bytes the base takes.
    base_weight: usize,
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
            authority: None,
            granted: Fence::NONE,
            entries: Vec::new(),
            index: Hashes::default(),
            heads: BTreeMap::new(),
            authors: BTreeMap::new(),
            table: Table::new(),
            well_known: 0,
            base: Base::default(),
            laid: 0,
            pending: BTreeSet::new(),
            weight: 0,
            base_weight: 0,
            revision: 0,
        }
    }

    /// Reads a change from a stranger's bytes: nothing of it is believed that they do not hold.
    ///
    /// # Errors
    ///
    /// When it is too large, or not a change as Parlor writes it.
    pub fn read(&self, bytes: &[u8]) -> Result<Sealed, ChangeFault> {
        chunk::decode(bytes, &self.limits)
    }

    /// Lets a change in if it is its author's next one and depends on what is here.
    ///
    /// # Errors
    ///
    /// When it breaks a rule; the log is as it was.
    pub fn admit(&mut self, candidate: Candidate) -> Result<Admission, ChangeFault> {
        let Candidate { introduction, change: sealed, pending } = candidate;
        if let Some(known) = self.position(&sealed.hash) {
            if !pending {
                self.confirm(known);
            }
            return Ok(Admission::Known);
        }
        let (author, deps, places) = self.check(introduction, &sealed.change)?;
        let standing = Standing { fixed: false, pending };
        Ok(self.insert(Origin::Peer(author), sealed, deps, (&places, standing)))
    }

    fn insert(
        &mut self,
        origin: Origin,
        sealed: Sealed,
        deps: Deps,
        (places, standing): (&Places, Standing),
    ) -> Admission {
        let touched = self.table.apply(&sealed.change, places, standing);
        let seen = self.seen_by(&deps).max(self.grants_of(&origin, &sealed.change));
        self.weight += weight(&sealed.change);
        let Sealed { change, bytes, hash } = sealed;
        let index = self.append(
            origin,
            Entry {
                hash,
                actor: change.actor,
                sequence: change.sequence,
                start: change.start,
                end: change.end(),
                bytes,
                seen,
                deps,
                followed: false,
                burnt: false,
            },
        );
        if standing.pending {
            self.pending.insert(index);
        }
        Admission::New(index, touched)
    }

    fn append(&mut self, origin: Origin, entry: Entry) -> Index {
        self.revision += 1;
        let index = self.entries.len();
        for dep in entry.deps() {
            let followed = &mut self.entries[dep];
            if !std::mem::replace(&mut followed.followed, true) {
                self.heads.remove(&followed.hash);
            }
        }
        self.heads.insert(entry.hash, index);
        self.index.insert(&entry.hash, index);
        let author = self.authors.entry(entry.actor);
        let author =
            author.or_insert_with(|| Author { origin, changes: Vec::new(), signature: None });
        author.changes.push(index);
        self.entries.push(entry);
        index
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

    /// What goes on the wire for an entry; nothing for one of the base.
    #[must_use]
    pub fn record(&self, index: Index) -> Option<EntryRecord> {
        let entry = self.entry(index)?;
        Some(match &self.authors.get(&entry.actor)?.origin {
            Origin::WellKnown(record) => EntryRecord::WellKnown((**record).clone()),
            Origin::Base => return None,
            Origin::Peer(author) => EntryRecord::Authored {
                introduction: (entry.sequence == 1).then_some(*author),
                bytes: Blob::new(entry.bytes.clone())?,
            },
        })
    }

    /// The places of the changes that `heads` and what they depend on do not cover, in order, without
    /// those that the epoch begins with, which are said otherwise. Costs
    /// the length of the log.
    #[must_use]
    pub fn missing(&self, heads: &[Hash]) -> Vec<Index> {
        let mut covered = vec![false; self.entries.len()];
        let mut pending: Vec<Index> = heads.iter().filter_map(|head| self.position(head)).collect();
        while let Some(index) = pending.pop() {
            if !std::mem::replace(&mut covered[index], true) {
                pending.extend(self.entries[index].deps().filter(|&dep| !covered[dep]));
            }
        }
        let left = |index: &Index| !covered[*index] && !self.entries[*index].burnt;
        (self.laid..self.entries.len()).filter(left).collect()
    }

    /// The change at a place; nothing for one that was refused.
    #[must_use]
    pub fn entry(&self, index: Index) -> Option<&Entry> {
        self.entries.get(index).filter(|entry| !entry.burnt)
    }

    /// The place of the change that has an operation.
    #[must_use]
    pub fn containing(&self, id: OpId) -> Option<Index> {
        let changes = &self.authors.get(&id.actor)?.changes;
        let after = changes.partition_point(|&index| self.entries[index].start <= id.counter);
        let index = *changes.get(after.checked_sub(1)?)?;
        (self.entries[index].end >= id.counter).then_some(index)
    }

    /// The change at a place, read again from its bytes.
    #[must_use]
    pub fn change(&self, index: Index) -> Option<Change> {
        Some(chunk::decode(&self.entry(index)?.bytes, &self.limits).ok()?.change)
    }

    /// Where an operation stands that is in the log: see [`Table::place_of`].
    #[must_use]
    pub fn place(&self, id: OpId) -> Option<(ObjectId, Key)> {
        self.table.place_of(id)
    }

    /// Every value of the document that the log makes.
    #[must_use]
    pub const fn table(&self) -> &Table {
        &self.table
    }

    /// The place of a change.
    #[must_use]
    pub fn position(&self, hash: &Hash) -> Option<Index> {
        self.index.get(&self.entries, hash)
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
            Origin::WellKnown(_) | Origin::Base => None,
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
        self.heads.keys().copied()
    }

    /// The first 8 bytes of SHA-256 over the heads, ascending: equal documents, equal digests.
    #[must_use]
    pub fn digest(&self) -> [u8; 8] {
        let mut hash = Sha256::new();
        for head in self.heads.keys() {
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

    /// What is taken from others.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Which document this is the log of.
    #[must_use]
    pub const fn document(&self) -> DocumentId {
        self.document
    }
}

#[cfg(test)]
mod tests {
    use automerge::transaction::Transactable;
    use automerge::{ActorId, Automerge, ObjId, ObjType, ReadDoc};

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
            let change = log.read(change.raw_bytes()).unwrap();
            let admission =
                log.admit(Candidate { introduction: Some(author), change, pending: false });
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
            let refused = log.admit_well_known(&record, false);
            assert!(
                matches!(refused, Err(ChangeFault::WrongActor)),
                "{counter} of {change}: {refused:?}"
            );
        }
        let record = within(&log, actor, 1, 0);
        assert!(matches!(log.admit_well_known(&record, false), Ok(Admission::New(..))));
        assert!(matches!(log.admit_well_known(&record, false), Ok(Admission::Known)));
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
            let refused =
                log.admit(Candidate { introduction, change: change.clone(), pending: false });
            assert!(matches!(refused, Err(ChangeFault::WrongActor)));
        }
        let second = log.read(&full.entry(1).unwrap().bytes).unwrap();
        let author = Introduction { peer: Identity::from_seed([1; 32]).peer(), incarnation: 1 };
        let refused =
            log.admit(Candidate { introduction: Some(author), change: second, pending: false });
        assert!(matches!(refused, Err(ChangeFault::WrongSequence)));
        assert!(log.is_empty());
    }
}
