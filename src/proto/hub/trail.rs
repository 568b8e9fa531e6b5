//! What of an open room is kept, and so what has come to it since.

use std::collections::BTreeSet;

use super::image::{Came, Clock, missing};
use super::record::RecordImage;
use super::room::Room;
use crate::proto::config::KeepingConfig;
use crate::proto::event::kept::Keeping;
use crate::proto::id::{DocumentId, PeerId, RoomKey};
use crate::proto::image::Mark;

/// How far what is kept of a room goes, or what was handed over to be kept.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// What it was then; nothing, if nothing is kept that more could come to.
    known: Option<Known>,
    /// Who has come in since that was not known to have been there.
    newcomers: BTreeSet<PeerId>,
    /// Records behind the last that is whole, and their bytes.
    records: u32,
    bytes: usize,
    /// The last commit that has something of it.
    number: u64,
    /// Whether whoever keeps rooms does not keep it.
    given_up: bool,
}

impl Trail {
    /// It is kept whole the next time: what is kept cannot be added to.
    pub(super) fn lose(&mut self) {
        self.known = None;
    }

    /// Nothing of it is kept any more.
    pub(super) const fn give_up(&mut self) {
        self.given_up = true;
    }

    pub(super) const fn is_given_up(&self) -> bool {
        self.given_up
    }

    /// Somebody came in for the first time.
    pub(super) fn meet(&mut self, peer: PeerId) {
        self.newcomers.insert(peer);
    }

    /// The last commit that has something of it.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// Whether so many records are behind the last that is whole that a room which closes is kept whole.
    pub(super) const fn is_long(&self, config: &KeepingConfig) -> bool {
        self.records > config.closing
    }

    const fn has_room(&self, config: &KeepingConfig) -> bool {
        self.records < config.records && self.bytes < config.bytes
    }
}

/// What tells one state of a room from a later one.
#[derive(Debug)]
struct Known {
    documents: [Mark; 2],
    clients: u32,
    /// How many other lineages.
    absorbed: usize,
    record: RecordImage,
}

impl Room {
    /// Whether it is as much as it will be for now, and not to be forgotten: of one that is being brought
    /// back not all is here, one that nobody came into is kept as it was, and of one of which nothing was
    /// said and in which nothing was written nothing is kept, nor of one of a group if nothing was written:
    /// nobody would find it again.
    pub(super) fn is_worth_keeping(&self) -> bool {
        let unsaid = self.record().is_blank() || self.record().group().is_some();
        // Of one that is kept and was emptied, that is to be kept.
        let is_nothing = self.is_blank() && unsaid && self.trail().known.is_none();
        let is_elsewhere = self.is_untouched() || self.is_restored();
        !(is_nothing || is_elsewhere || self.trail().is_given_up())
    }

    /// Whether it can be kept whole without making anybody wait.
    pub(super) fn has_columns(&self) -> bool {
        self.columns_due().is_none()
    }

    /// What is to be kept of it, in a commit, if anything is new: the whole, or what came. Costs its
    /// authors, and what is new.
    pub(super) fn news(
        &mut self,
        key: &RoomKey,
        (config, number): (&KeepingConfig, u64),
        clock: Clock,
    ) -> Option<Keeping> {
        let now = self.known(clock);
        let before = self.trail_mut().known.take();
        let before = before.filter(|before| {
            let pairs = before.documents.iter().zip(&now.documents);
            let same = pairs.into_iter().all(|(before, now)| before.continues(now));
            same && self.trail().has_room(config)
        });
        let room = key.clone();
        let keeping = match before {
            Some(before) => self.came(&before, &now).map(|came| {
                let record = came.seal();
                let trail = self.trail_mut();
                trail.records += 1;
                trail.bytes += record.0.len();
                Keeping::More { room, record }
            }),
            None => {
                let image = self.image(clock);
                let trail = self.trail_mut();
                (trail.records, trail.bytes) = (0, 0);
                trail.newcomers.clear();
                Some(Keeping::Whole { room, image })
            }
        };
        let trail = self.trail_mut();
        trail.known = Some(now);
        if keeping.is_some() {
            trail.number = number;
        }
        keeping
    }

    fn known(&self, clock: Clock) -> Known {
        Known {
            documents: DocumentId::ALL.map(|document| Mark::of(self.log(document))),
            clients: self.clients_ever(),
            absorbed: self.absorbed().len(),
            record: self.record().image(clock),
        }
    }

    /// What came between two states of it.
    fn came(&mut self, before: &Known, now: &Known) -> Option<Came> {
        let newcomers = std::mem::take(&mut self.trail_mut().newcomers);
        let documents = DocumentId::ALL;
        let entries = documents
            .map(|document| missing(&before.documents[document.place()], self.log(document)));
        let record = (before.record != now.record).then(|| now.record.clone());
        let absorbed = (before.absorbed != now.absorbed).then(|| self.absorbed().clone());
        let nothing = entries.iter().all(Vec::is_empty)
            && newcomers.is_empty()
            && (record.is_none() && absorbed.is_none())
            && before.clients == now.clients;
        (!nothing).then_some(Came { clients: now.clients, newcomers, absorbed, record, entries })
    }

    /// It is as it is kept, with records of these sizes.
    pub(super) fn follow(&mut self, records: impl Iterator<Item = usize>, clock: Clock) {
        let known = Some(self.known(clock));
        let mut trail = Trail { known, ..Trail::default() };
        for bytes in records {
            trail.records += 1;
            trail.bytes += bytes;
        }
        *self.trail_mut() = trail;
    }
}
