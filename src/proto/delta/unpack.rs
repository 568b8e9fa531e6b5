//! One direction of one document on one link, at its receiver: records to entries.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::cursor::Cursor;
use super::operation::{self, Eye, Terms};
use super::order::Order;
use super::record::{APART, Follows, Kind, OWN, REPEATED, Record, STATED};
use super::slots::Slots;
use super::{DeltaError, Member, Spoken, follows_of, previous_of};
use crate::proto::change::{Change, chunk};
use crate::proto::config::Limits;
use crate::proto::id::PeerId;
use crate::proto::log::{ChangeLog, Index};
use crate::proto::wire::bounded::Blob;
use crate::proto::wire::message::{Actor, EntryRecord, Hash, Introduction};

/// The receiver.
#[derive(Clone, Debug)]
pub struct Unpacker {
    member: Option<Member>,
    slots: Slots,
    spoken: BTreeMap<Actor, Spoken>,
    /// The sequence of the last own change that has its place.
    placed: u64,
    limits: Limits,
}

/// What a record is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unpacked {
    /// To be let in; nothing for what has only got its place.
    pub entry: Option<EntryRecord>,
    stands: Stands,
}

/// What stands at a record's position in the order, once it is let in.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Stands {
    Nothing,
    Change(Hash),
    WellKnown(Actor),
}

/// What a stripped change follows: hashes for its bytes, places for what they say.
struct Deps {
    deps: Vec<(Hash, Index)>,
    seen: u64,
}

/// Whose a stripped change is.
struct Author {
    actor: Actor,
    sequence: u64,
    introduction: Option<Introduction>,
}

impl Unpacker {
    /// A receiver at position 0.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            member: None,
            slots: Slots::new(limits.authors.saturating_add(limits.well_known)),
            spoken: BTreeMap::new(),
            placed: 0,
            limits: limits.clone(),
        }
    }

    /// Says who the link's member is: before anything is read.
    pub const fn set_member(&mut self, member: Member) {
        self.member = Some(member);
    }

    /// Reads a record, whose position is the next. What it makes is to be let in before the next is
    /// read.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or makes another change than it was made of.
    pub fn next(
        &mut self,
        log: &ChangeLog,
        order: &Order,
        record: &Record,
    ) -> Result<Unpacked, DeltaError> {
        match record.kind() {
            Kind::Stripped => self.stripped(log, order, record),
            Kind::Entry => {
                let entry = postcard(&record.body)?;
                let apart = record.has(APART);
                let stands = if apart { Stands::Nothing } else { stands(log, &entry) };
                Ok(Unpacked { entry: Some(entry), stands })
            }
            Kind::Full => {
                let mut cursor = Cursor::new(&record.body);
                let seen = cursor.number()?;
                let entry = postcard(cursor.rest())?;
                if let EntryRecord::Authored { bytes, .. } = &entry
                    && let Ok(sealed) = chunk::decode(bytes, &self.limits)
                {
                    let (actor, sequence) = (sealed.change.actor, sealed.change.sequence);
                    self.spoken.insert(actor, Spoken { sequence, seen });
                }
                let stands = stands(log, &entry);
                Ok(Unpacked { entry: Some(entry), stands })
            }
            Kind::Placed => {
                let member = self.member.ok_or(DeltaError::Absent)?;
                let mut cursor = Cursor::new(&record.body);
                let sequence = if record.has(STATED) {
                    cursor.number()?
                } else {
                    self.placed.saturating_add(1)
                };
                if !cursor.is_empty() {
                    return Err(DeltaError::Malformed);
                }
                let index = change_of(log, &member.actor, sequence)?;
                self.placed = sequence;
                let hash = log.entry(index).ok_or(DeltaError::Absent)?.hash;
                Ok(Unpacked { entry: None, stands: Stands::Change(hash) })
            }
        }
    }

    fn stripped(
        &mut self,
        log: &ChangeLog,
        order: &Order,
        record: &Record,
    ) -> Result<Unpacked, DeltaError> {
        let mut eye = Eye { record: Cursor::new(&record.body), slots: &mut self.slots };
        let author = author(&mut eye, &self.spoken, self.member, log, record)?;
        let Author { actor, sequence, introduction } = author;
        let previous = match sequence {
            1 => None,
            _ => Some(previous_of(log, &actor, sequence).ok_or(DeltaError::Absent)?),
        };
        let before = self.spoken.get(&actor);
        let before = before.filter(|spoken| spoken.sequence.checked_add(1) == Some(sequence));
        let from = before.map_or(0, |spoken| spoken.seen);
        let follows = record.follows()?;
        let Deps { deps, seen } =
            read_deps(&mut eye, (log, order), (&actor, previous), (follows, from))?;
        let check = eye.record.byte()?;
        let last = deps.iter().filter_map(|(_, index)| log.entry(*index)).map(|entry| entry.end);
        let start = last.max().unwrap_or(0).checked_add(1).ok_or(DeltaError::Malformed)?;
        let earlier = previous.and_then(|previous| log.change(previous));
        let operations = if record.has(REPEATED) {
            let earlier = earlier.as_ref().ok_or(DeltaError::Absent)?;
            operation::read_repeated(&mut eye.record, earlier)?
        } else {
            let terms = Terms { log, author: actor, sequence, start, previous: earlier.as_ref() };
            operation::read(&mut eye, &terms, self.limits.operations)?
        };
        let deps = deps.into_iter().map(|(hash, _)| hash).collect();
        let sealed = chunk::encode(Change { actor, sequence, start, deps, operations });
        if sealed.hash.first() != Some(&check) {
            return Err(DeltaError::Hash);
        }
        if sealed.bytes.len() > self.limits.change {
            return Err(DeltaError::TooLarge);
        }
        self.spoken.insert(actor, Spoken { sequence, seen });
        let bytes = Blob::new(sealed.bytes).ok_or(DeltaError::TooLarge)?;
        let entry = Some(EntryRecord::Authored { introduction, bytes });
        Ok(Unpacked { entry, stands: Stands::Change(sealed.hash) })
    }
}

impl Unpacked {
    /// The change of the member's that has its place now, if this says that of one.
    #[must_use]
    pub fn placed(&self, log: &ChangeLog) -> Option<Index> {
        match (&self.entry, &self.stands) {
            (None, Stands::Change(hash)) => log.position(hash),
            _ => None,
        }
    }

    /// A record of which nothing but the entry counts.
    #[must_use]
    pub const fn apart(entry: EntryRecord) -> Self {
        Self { entry: Some(entry), stands: Stands::Nothing }
    }

    /// Puts it at the next position of the order, once it is let in.
    pub fn place(self, log: &ChangeLog, order: &mut Order) {
        let index = match self.stands {
            Stands::Nothing => None,
            Stands::Change(hash) => log.position(&hash),
            Stands::WellKnown(actor) => {
                log.author(&actor).and_then(|author| author.changes.first().copied())
            }
        };
        order.place(index, index.map(|index| follows_of(log, index)).unwrap_or_default());
        if matches!(self.entry, Some(EntryRecord::Cut(_))) {
            order.renew();
        }
    }
}

pub(crate) fn postcard(bytes: &[u8]) -> Result<EntryRecord, DeltaError> {
    match postcard::take_from_bytes(bytes) {
        Ok((entry, [])) => Ok(entry),
        Ok(_) | Err(_) => Err(DeltaError::Malformed),
    }
}

fn stands(log: &ChangeLog, entry: &EntryRecord) -> Stands {
    match entry {
        EntryRecord::Authored { bytes, .. } => {
            // From the chunk's type on: the magic bytes and the checksum are not hashed.
            let hashed = bytes.get(8..).unwrap_or_default();
            Stands::Change(Sha256::digest(hashed).into())
        }
        EntryRecord::WellKnown(record) => Stands::WellKnown(log.scope().well_known_actor(record)),
        EntryRecord::Signed(_)
        | EntryRecord::Cut(_)
        | EntryRecord::Base(_)
        | EntryRecord::Denied(_)
        | EntryRecord::Resumed(_) => Stands::Nothing,
    }
}

fn author(
    eye: &mut Eye<'_, '_>,
    spoken: &BTreeMap<Actor, Spoken>,
    member: Option<Member>,
    log: &ChangeLog,
    record: &Record,
) -> Result<Author, DeltaError> {
    let own = if record.has(OWN) { Some(member.ok_or(DeltaError::Absent)?) } else { None };
    let sequence = if record.has(STATED) { Some(eye.record.number()?) } else { None };
    if sequence == Some(0) {
        return Err(DeltaError::Malformed);
    }
    let (actor, introduction) = match own {
        Some(member) => (member.actor, Some(member.introduction)),
        None if sequence == Some(1) => {
            let slot = eye.record.number()?;
            let peer = PeerId::new(eye.record.array()?);
            let introduction = Introduction { peer, incarnation: eye.record.number()? };
            let actor = log.scope().actor(&introduction);
            eye.slots.learn(slot, actor)?;
            (actor, Some(introduction))
        }
        None => (eye.slots.mention(&mut eye.record)?, None),
    };
    let sequence = match sequence {
        Some(sequence) => sequence,
        None => {
            let spoken = spoken.get(&actor).ok_or(DeltaError::Absent)?;
            spoken.sequence.checked_add(1).ok_or(DeltaError::Malformed)?
        }
    };
    Ok(Author { actor, sequence, introduction: introduction.filter(|_| sequence == 1) })
}

fn read_deps(
    eye: &mut Eye<'_, '_>,
    (log, order): (&ChangeLog, &Order),
    (actor, previous): (&Actor, Option<Index>),
    (follows, from): (Follows, u64),
) -> Result<Deps, DeltaError> {
    let with_hash = |index: Index| log.entry(index).map(|entry| (entry.hash, index));
    if follows == Follows::Previous {
        return Ok(Deps { deps: previous.and_then(with_hash).into_iter().collect(), seen: from });
    }
    let seen = from.checked_add(eye.record.number()?).ok_or(DeltaError::Malformed)?;
    if seen > order.end() {
        return Err(DeltaError::Absent);
    }
    if follows == Follows::Seen {
        let deps = order.predict(log, (actor, previous), (from, seen));
        return Ok(Deps { deps: deps.ok_or(DeltaError::Forgotten)?, seen });
    }
    let count = eye.record.number()?;
    // Each takes two bytes at least.
    if count > eye.record.rest().len() as u64 {
        return Err(DeltaError::Malformed);
    }
    let mut deps = Vec::new();
    for _ in 0..count {
        let dep = eye.slots.mention(&mut eye.record)?;
        let index = change_of(log, &dep, eye.record.number()?)?;
        deps.push(with_hash(index).ok_or(DeltaError::Absent)?);
    }
    Ok(Deps { deps, seen })
}

/// The change of an author with a sequence.
fn change_of(log: &ChangeLog, actor: &Actor, sequence: u64) -> Result<Index, DeltaError> {
    let next = sequence.checked_add(1).ok_or(DeltaError::Malformed)?;
    previous_of(log, actor, next).ok_or(DeltaError::Absent)
}
