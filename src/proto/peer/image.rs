//! A peer's room as it keeps it for another life: its documents with what nobody confirmed, and which
//! epochs it knows. What of an edit is not written yet is not in it, nor what is told once, proposed, or
//! moves.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Peer;
use crate::proto::base::columns;
use crate::proto::datastore::Past;
use crate::proto::event::State;
use crate::proto::event::kept::{Keeping, KeptRoom, RoomImage, RoomRecord};
use crate::proto::id::{DocumentId, EpochId, RoomKey};
use crate::proto::image::{ImageError, Mark, read, restore, seal};
use crate::proto::log::ChangeLog;
use crate::proto::ownership::Session;
use crate::proto::wire::message::{EntryRecord, Hash, Lineage};

/// A room, whole.
#[derive(Serialize, Deserialize)]
struct Kept {
    life: Life,
    left: [VecDeque<EpochId>; 2],
    past: Past,
    documents: [Document; 2],
}

/// What of a room is short, and said anew each time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Life {
    /// The highest incarnation that was used.
    incarnation: u64,
    lineage: Lineage,
    estranged: [bool; 2],
}

#[derive(Serialize, Deserialize)]
struct Document {
    epoch: EpochId,
    /// What the epoch began with, in columns; empty for nothing.
    base: Bytes,
    entries: Entries,
    /// What of them was confirmed later.
    confirmed: Vec<Hash>,
}

/// What came to a log, in order, and what of it nobody has confirmed.
type Entries = Vec<(EntryRecord, bool)>;

/// What came to a room since it was last kept.
#[derive(Serialize, Deserialize)]
struct Came {
    life: Life,
    entries: [Entries; 2],
    /// What was pending before, and is confirmed by now.
    confirmed: [Vec<Hash>; 2],
}

/// How far what is kept goes, or what was handed over to be kept.
#[derive(Debug, Default)]
pub(super) struct Diary {
    known: Option<Known>,
    records: u32,
    bytes: usize,
}

#[derive(Debug)]
struct Known {
    life: Life,
    marks: [Mark; 2],
    pending: [BTreeSet<Hash>; 2],
}

impl Diary {
    /// It is kept whole the next time: what is kept cannot be added to.
    pub(super) fn lose(&mut self) {
        self.known = None;
    }
}

impl Peer {
    /// What is to be kept of the room for another life of this peer, if anything is new since this was
    /// last asked: all of it or what came, for a [`RoomStore`](crate::store::RoomStore), in this order.
    /// Costs the authors, what waits for its confirmation, and what is new; now and then all.
    pub fn keeping(&mut self) -> Option<Keeping> {
        if self.store.is_bringing() {
            // What is kept has it; what is here has not all of it yet.
            return None;
        }
        let now = self.known();
        let room = self.key();
        let terms = &self.config.diary;
        let before = self.diary.known.take().filter(|before| {
            let same = before.marks.iter().zip(&now.marks).all(|(it, now)| it.continues(now));
            let has_room = self.diary.records < terms.records && self.diary.bytes < terms.bytes;
            same && has_room && !self.is_unconfirmed(before, &now)
        });
        let keeping = match before {
            Some(before) => self.came(&before, &now).map(|came| {
                let record = RoomRecord(seal(&came));
                self.diary.records += 1;
                self.diary.bytes += record.0.len();
                Keeping::More { room, record }
            }),
            None if self.is_nothing() => return None,
            None => {
                (self.diary.records, self.diary.bytes) = (0, 0);
                let documents = DocumentId::ALL.map(|document| {
                    let log = self.store.log(document);
                    let base = log.base();
                    let columns = if base.is_empty() { Vec::new() } else { columns::encode(base) };
                    let entries = entries(&Mark::beginning(log), log);
                    let (epoch, base) = (log.scope().epoch(), columns.into());
                    Document { epoch, base, entries, confirmed: Vec::new() }
                });
                let past = self.store.past();
                let kept =
                    Kept { life: now.life.clone(), left: self.left.clone(), past, documents };
                Some(Keeping::Whole { room, image: RoomImage(seal(&kept)) })
            }
        };
        self.diary.known = Some(now);
        keeping
    }

    /// Which room this is.
    #[must_use]
    pub fn key(&self) -> RoomKey {
        (self.app_key.app(), self.room.clone())
    }

    /// Goes on with what an earlier life of this peer has kept, as another incarnation: what that wrote
    /// and nobody confirmed is here, and is said when the room is joined. Only for a peer that is new.
    ///
    /// # Errors
    ///
    /// When what was kept cannot be read: then this peer is as it was.
    pub fn resume(&mut self, kept: &KeptRoom) -> Result<(), ImageError> {
        debug_assert!(self.state == State::Offline && self.is_nothing(), "it is not new");
        let mut whole: Kept = read(&kept.image.0)?;
        for record in &kept.records {
            whole.bring(read(&record.0)?);
        }
        let Kept { life, left, past, documents } = whole;
        let [models, texts] = documents;
        let log = |document, kept: Document| {
            let Document { epoch, base, entries, confirmed } = kept;
            let mut log = restore(self.store.log(document), (epoch, &base), entries)?;
            let places: Vec<_> = confirmed.iter().filter_map(|hash| log.position(hash)).collect();
            places.into_iter().for_each(|place| log.confirm(place));
            Ok::<ChangeLog, ImageError>(log)
        };
        let logs = [log(DocumentId::MODELS, models)?, log(DocumentId::TEXTS, texts)?];
        let session =
            Session::of(self.author.incarnation).max(Session::of(life.incarnation).next());
        self.author.incarnation = session.first();
        (self.lineage, self.estranged, self.left) = (life.lineage, life.estranged, left);
        self.store.resume(logs, past, self.author);
        let records = u32::try_from(kept.records.len()).unwrap_or(u32::MAX);
        let bytes = kept.records.iter().map(|record| record.0.len()).sum();
        self.diary = Diary { known: Some(self.known()), records, bytes };
        Ok(())
    }

    /// Whether something counts as pending again that was confirmed, because a relay has forgotten it.
    fn is_unconfirmed(&self, before: &Known, now: &Known) -> bool {
        DocumentId::ALL.into_iter().any(|document| {
            let (place, log) = (document.place(), self.store.log(document));
            let mut more = now.pending[place].difference(&before.pending[place]);
            more.any(|hash| log.position(hash).is_some_and(|it| before.marks[place].has(it)))
        })
    }

    fn is_nothing(&self) -> bool {
        DocumentId::ALL.into_iter().all(|document| self.store.log(document).is_empty())
    }

    fn known(&self) -> Known {
        let Self { lineage, estranged, .. } = *self;
        let life = Life { incarnation: self.author.incarnation, lineage, estranged };
        let logs = DocumentId::ALL.map(|document| self.store.log(document));
        let pending = logs.map(|log| {
            log.pending().filter_map(|place| log.entry(place)).map(|entry| entry.hash).collect()
        });
        Known { life, marks: logs.map(Mark::of), pending }
    }

    fn came(&self, before: &Known, now: &Known) -> Option<Came> {
        let entries = DocumentId::ALL
            .map(|document| entries(&before.marks[document.place()], self.store.log(document)));
        let confirmed = [0, 1].map(|place| {
            before.pending[place].difference(&now.pending[place]).copied().collect::<Vec<Hash>>()
        });
        let nothing = before.life == now.life
            && entries.iter().all(Vec::is_empty)
            && confirmed.iter().all(Vec::is_empty);
        (!nothing).then(|| Came { life: now.life.clone(), entries, confirmed })
    }
}

impl Kept {
    fn bring(&mut self, came: Came) {
        self.life = came.life;
        for ((document, entries), confirmed) in
            self.documents.iter_mut().zip(came.entries).zip(came.confirmed)
        {
            document.confirmed.extend(confirmed);
            document.entries.extend(entries);
        }
    }
}

/// What a log has beside what is kept of it.
fn entries(mark: &Mark, log: &ChangeLog) -> Entries {
    let pending: BTreeSet<_> = log.pending().collect();
    let changes =
        mark.changes(log).filter_map(|place| Some((log.record(place)?, pending.contains(&place))));
    changes.chain(mark.words(log).map(|word| (word, false))).collect()
}
