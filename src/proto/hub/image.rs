//! A room as it is kept: what its documents hold, its record, and what of earlier epochs it remembers;
//! and what came to that. What only matters to who is inside is not kept: places, presences, signals,
//! what waits to be answered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::record::RecordImage;
use super::room::Room;
use crate::proto::config::HubConfig;
use crate::proto::event::kept::{KeptRoom, RoomImage, RoomRecord};
use crate::proto::id::{DocumentId, EpochId, PeerId, RoomKey};
use crate::proto::image::{ImageError, Mark, read, restore, seal};
use crate::proto::log::ChangeLog;
use crate::proto::time::Time;
use crate::proto::wire::message::{Actor, EntryRecord, Life, Lineage};

/// What came to a room since it was last kept.
#[derive(Serialize, Deserialize)]
pub(super) struct Came {
    /// How many connections there are by now.
    pub(super) clients: u32,
    /// Who came in that had not been there.
    pub(super) newcomers: BTreeSet<PeerId>,
    /// Other lineages, if they are more.
    pub(super) absorbed: Option<BTreeSet<Lineage>>,
    /// What it is, if that is another.
    pub(super) record: Option<RecordImage>,
    /// What came to its documents, in order, and behind it the authors' newer words.
    pub(super) entries: [Vec<EntryRecord>; 2],
}

impl Came {
    /// In bytes, as they are kept.
    pub(super) fn seal(&self) -> RoomRecord {
        RoomRecord(seal(self))
    }
}

#[derive(Serialize, Deserialize)]
struct Kept {
    lineage: Lineage,
    /// How many connections there were.
    clients: u32,
    seen: BTreeSet<PeerId>,
    /// Other lineages that were brought in.
    absorbed: BTreeSet<Lineage>,
    record: RecordImage,
    documents: [Document; 2],
}

#[derive(Serialize, Deserialize)]
struct Document {
    epoch: EpochId,
    /// What the epoch began with, in columns; empty for nothing.
    base: Bytes,
    /// What came since, in order, and behind it the authors' words.
    entries: Vec<EntryRecord>,
    /// How many changes of each author went into the next epoch, oldest first.
    past: Vec<(EpochId, BTreeMap<Actor, u64>)>,
}

/// What time it is, and at which moment of Unix time in microseconds that clock began.
pub(super) type Clock = (Time, u64);

impl Room {
    /// The room as it is now. Costs the columns of the base, if they are not made yet, and a copy.
    pub(super) fn image(&mut self, (now, epoch): Clock) -> RoomImage {
        let documents = DocumentId::ALL.map(|document| self.document(document, now));
        let kept = Kept {
            lineage: self.lineage(),
            clients: self.clients_ever(),
            seen: self.seen().clone(),
            absorbed: self.absorbed().clone(),
            record: self.record().image((now, epoch)),
            documents,
        };
        RoomImage(seal(&kept))
    }

    fn document(&mut self, document: DocumentId, now: Time) -> Document {
        let base = self.snapshot(document, now).map(|(bytes, _)| bytes).unwrap_or_default();
        let log = self.log(document);
        let entries = missing(&Mark::beginning(log), log);
        let past = self.epochs(document).past().cloned().collect();
        Document { epoch: log.scope().epoch(), base, entries, past }
    }

    /// The room of which this is kept. Everything in it is checked as what members bring is.
    pub(super) fn load(
        key: &RoomKey,
        room: &KeptRoom,
        config: &HubConfig,
        (relay, number, life): (PeerId, u64, Life),
        clock: Clock,
    ) -> Result<Self, ImageError> {
        let mut kept: Kept = read(&room.image.0)?;
        for record in &room.records {
            kept.bring(read(&record.0)?);
        }
        let now = clock.0;
        let record = kept.record.record(clock).ok_or(ImageError::Damaged)?;
        let drawn = (relay, kept.lineage, life);
        let sizes = room.records.iter().map(|record| record.0.len());
        let mut room = Self::new(key, (record, number), config, drawn, now);
        room.remember(kept.clients, kept.seen, kept.absorbed);
        for (document, kept) in DocumentId::ALL.into_iter().zip(kept.documents) {
            let (log, epochs) = room.log_and_epochs(document);
            let entries = kept.entries.into_iter().map(|entry| (entry, false));
            *log = restore(log, (kept.epoch, &kept.base), entries)?;
            epochs.set_past(VecDeque::from(kept.past));
            room.begin_columns(document, now);
        }
        room.follow(sizes, clock);
        Ok(room)
    }
}

/// What a log has beside what is kept of it, in order.
pub(super) fn missing(mark: &Mark, log: &ChangeLog) -> Vec<EntryRecord> {
    let changes = mark.changes(log).filter_map(|place| log.record(place));
    changes.chain(mark.words(log)).collect()
}

impl Kept {
    /// What came since. Entries of the two kinds may stand in any order, as long as each follows what it
    /// is about.
    fn bring(&mut self, came: Came) {
        self.clients = came.clients;
        self.seen.extend(came.newcomers);
        if let Some(absorbed) = came.absorbed {
            self.absorbed = absorbed;
        }
        if let Some(record) = came.record {
            self.record = record;
        }
        for (document, entries) in self.documents.iter_mut().zip(came.entries) {
            document.entries.extend(entries);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sha2::{Digest, Sha256};

    use super::*;
    use crate::proto::hub::record::{Asker, Caller, Record};
    use crate::proto::id::{AppKey, RoomName};
    use crate::proto::reason::{ChangeFault, Refusal};
    use crate::proto::service::Invite;
    use crate::proto::wire::bounded::Blob;
    use crate::proto::wire::message::{CutRecord, RequestRecord};

    fn room() -> (RoomKey, Room) {
        let key = (AppKey::new("key").unwrap().app(), RoomName::new("room").unwrap());
        let drawn = (PeerId::new([9; 32]), [1; 8], [2; 8]);
        let config = HubConfig::default();
        let mut room = Room::new(&key, (Record::new(8), 1), &config, drawn, Time::ZERO);
        room.remember(7, [PeerId::new([3; 32])].into(), [[8; 8]].into());
        (key, room)
    }

    fn load(key: &RoomKey, image: &RoomImage, clock: Clock) -> Result<Room, ImageError> {
        let drawn = (PeerId::new([9; 32]), 2, [5; 8]);
        let kept = KeptRoom { image: image.clone(), records: Vec::new() };
        Room::load(key, &kept, &HubConfig::default(), drawn, clock)
    }

    #[test]
    fn an_image_is_of_the_room_and_the_same_again() {
        let (key, mut room) = room();
        let clock = (Time::ZERO + Duration::from_secs(5), 1_000_000);
        let image = room.image(clock);
        let mut again = load(&key, &image, clock).unwrap();
        assert_eq!((again.clients_ever(), again.lineage()), (7, [1; 8]));
        assert!(again.knows(PeerId::new([3; 32])));
        assert!(again.is_untouched() && again.absorb([8; 8]), "it was brought in before");
        assert_eq!(again.image(clock), image);
    }

    #[test]
    fn what_is_whole_and_wrong_is_not_opened() {
        let (key, mut room) = room();
        let image = room.image((Time::ZERO, 0));
        let with = |entry: EntryRecord| {
            let mut kept: Kept = read(&image.0).unwrap();
            kept.documents[0].entries.push(entry);
            load(&key, &RoomImage(seal(&kept)), (Time::ZERO, 0)).err()
        };
        let cut = CutRecord { epoch: EpochId([0; 32]), base: [0; 32] };
        assert_eq!(with(EntryRecord::Cut(cut)), Some(ImageError::Damaged));
        let bytes = Blob::new(Bytes::from_static(b"no change")).unwrap();
        let wrong = EntryRecord::Authored { introduction: None, bytes };
        assert_eq!(with(wrong), Some(ImageError::Change(ChangeFault::Malformed)));
        let mut kept: Kept = read(&image.0).unwrap();
        kept.documents[1].base = Bytes::from_static(b"no columns");
        assert!(matches!(
            load(&key, &RoomImage(seal(&kept)), (Time::ZERO, 0)).err(),
            Some(ImageError::Change(_))
        ));
    }

    #[test]
    fn an_image_of_another_version_says_so() {
        let (key, mut room) = room();
        let image = room.image((Time::ZERO, 0));
        let mut bytes = image.0[..image.0.len() - 32].to_vec();
        bytes[0] = 2;
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        let other = load(&key, &RoomImage(bytes.into()), (Time::ZERO, 0));
        assert_eq!(other.err(), Some(ImageError::Version { version: 2 }));
    }

    #[test]
    fn what_has_an_end_has_the_same_by_another_clock() {
        let (key, mut room) = room();
        let peer = PeerId::new([4; 32]);
        let owner = Asker { peer: PeerId::new([3; 32]), moderates: true };
        let invite = Invite([0; 16]);
        room.record_mut().seats.enter(peer);
        // An hour of ban from second 10 of a clock that began at second 100.
        let terms = (&HubConfig::default().service, 8, Time::ZERO + Duration::from_secs(10));
        let kick = RequestRecord::Kick(peer, 3_600);
        room.record_mut().change(owner, kick, terms, || invite).unwrap();
        let image = room.image((terms.2, 100_000_000));
        // The next clock begins 30 s later.
        let again = load(&key, &image, (Time::ZERO, 140_000_000)).unwrap();
        let who = Asker { peer, moderates: false };
        let caller = Caller { who, familiar: false, creates: true, invite: None };
        let refused = again.record().lets_in(&caller, |_| true, Time::ZERO);
        assert_eq!(refused, Err(Refusal::Banned { retry_after_s: 3_570 }));
        let later = load(&key, &image, (Time::ZERO, 3_800_000_000)).unwrap();
        assert_eq!(later.record().lets_in(&caller, |_| true, Time::ZERO), Ok(()));
    }
}
