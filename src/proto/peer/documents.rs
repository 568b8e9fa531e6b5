//! What comes of documents: what is offered, snapshots, entries, and cuts.

use std::collections::VecDeque;

use sha2::{Digest, Sha256};

use super::Peer;
use super::connection::{Connection, Incoming, Stage};
use crate::proto::base::{Base, columns};
use crate::proto::datastore::Kept;
use crate::proto::delta::Member;
use crate::proto::event::Event;
use crate::proto::id::{DocumentId, EpochId};
use crate::proto::lane::{self, tag};
use crate::proto::reason::Reason;
use crate::proto::time::Time;
use crate::proto::wire::message::{CutRecord, EntryRecord, Lineage, Message, Offer, RecordBytes};

/// How a document is being brought to where the relay is.
#[derive(Clone, Debug, Default)]
pub(super) struct Passage {
    /// What the relay had when this peer came in: what it covers has its place.
    offered: Option<Vec<[u8; 32]>>,
    /// The epoch to go over to, with what to keep, once what it began with is here.
    over: Option<(EpochId, Kept)>,
    /// A cut on its way, and what came after it.
    cut: Option<CutRecord>,
    held: VecDeque<lane::Incoming>,
}

impl Passage {
    /// Whether nothing may be said of the document in its present epoch.
    pub(super) const fn is_between(&self) -> bool {
        self.over.is_some() || self.cut.is_some()
    }
}

impl Peer {
    pub(super) fn on_offer(&mut self, now: Time, offer: &Offer, before: Lineage) {
        let document = offer.document;
        if !DocumentId::ALL.contains(&document) {
            return;
        }
        let limit = self.config.limits.snapshot;
        let Some(open) = &mut self.connection else {
            return;
        };
        let place = document.place();
        let begun = self.begun[place].take();
        open.behind[place] = offer.behind;
        if let Some(snapshot) = &offer.snapshot {
            if snapshot.bytes > limit {
                let size = snapshot.bytes;
                self.close(Reason::SnapshotTooLarge { limit, size });
                return;
            }
            let Some(incoming) = Incoming::new(snapshot.clone(), begun) else {
                self.fault("a snapshot that begins where nobody asked for");
                return;
            };
            open.snapshots[place] = Some(incoming);
        }
        let passage = &mut open.passages[place];
        let mut epoch = self.store.log(document).scope().epoch();
        let estranged = std::mem::take(&mut self.estranged[place]);
        if estranged {
            epoch = EpochId([0; 32]);
        }
        passage.offered = (offer.epoch == epoch).then(|| offer.heads.to_vec());
        if offer.epoch == epoch {
            if *self.store.author_of(document) != self.author {
                self.store.set_author(self.author);
            }
            self.store.confirm_only(document, &offer.heads);
            let log = self.store.log(document);
            if offer.wanted {
                open.lane.push_columns(document, columns::encode(log.base()).into());
            }
            open.lane.push_missing(log, &offer.heads);
            self.settle_offer(document);
            return;
        }
        self.pass_over(now, offer, (before, estranged));
    }

    /// The relay is in another epoch.
    fn pass_over(&mut self, now: Time, offer: &Offer, (before, estranged): (Lineage, bool)) {
        let (document, place) = (offer.document, offer.document.place());
        // Of another lineage, it knows nothing of what is confirmed here.
        let kin = offer.kin || before == offer.lineage || before == Lineage::default();
        let behind = !estranged && self.left[place].contains(&offer.epoch);
        if behind && self.returning[place] != Some(offer.epoch) {
            // In that epoch this peer's actor has written already, and not the same.
            self.returning[place] = Some(offer.epoch);
            self.renew();
            self.retry(Reason::EpochMismatch, now);
            return;
        }
        // The relay went on from an epoch that this peer has left, and knows nothing of the one in
        // which it is: that relay had lost its memory.
        let forked =
            !estranged && offer.included.is_none() && self.left[place].contains(&offer.since);
        let Some(open) = &mut self.connection else {
            return;
        };
        let passage = &mut open.passages[place];
        let kept = match kin {
            // A relay that was brought back by somebody who had slept, and may have cut again.
            true if behind || forked => Kept::Ahead,
            true => Kept::Unconfirmed,
            false => Kept::Everything,
        };
        passage.over = Some((offer.epoch, kept));
        if offer.snapshot.is_none() {
            self.go_over(now, document, Base::default());
        }
    }

    /// Once everything has come that the relay had, what that covers has its place.
    fn settle_offer(&mut self, document: DocumentId) {
        let place = document.place();
        if let Some(open) = &mut self.connection {
            let passage = &mut open.passages[place];
            // What was received may still wait behind a cut.
            let used = passage.held.is_empty();
            let loaded = used && open.lane.received(document) >= open.behind[place];
            if let Some(heads) = passage.offered.take_if(|_| loaded) {
                self.store.confirm_covered(document, &heads);
            }
        }
    }

    /// Goes over to the relay's epoch, now that what it began with is here.
    fn go_over(&mut self, now: Time, document: DocumentId, base: Base) {
        let passage = self.connection.as_mut().map(|open| &mut open.passages[document.place()]);
        let Some((epoch, kept)) = passage.and_then(|passage| passage.over.take()) else {
            return;
        };
        self.store.take_written(document);
        self.leave_epoch(document);
        let log = self.store.log(document);
        let mut next = log.successor(log.scope().of(epoch), base);
        while next.lay() {}
        self.store.set_author(self.author);
        self.store.go_over(next, kept);
        let member = self.member(document);
        if let Some(open) = &mut self.connection {
            open.lane.set_member(document, member);
        }
        self.drive(now);
    }

    pub(super) fn member(&self, document: DocumentId) -> Member {
        let introduction = *self.store.author_of(document);
        let actor = self.store.log(document).scope().actor(&introduction);
        Member { introduction, actor }
    }

    pub(super) fn is_in_epoch(&self, document: DocumentId, epoch: [u8; 4]) -> bool {
        let between = self.connection.as_ref().is_some_and(|open| {
            open.passages.get(document.place()).is_some_and(Passage::is_between)
        });
        !between && tag(self.store.log(document)) == epoch
    }

    /// The link, if entries of a document may come: nothing may before its snapshot.
    fn loaded_document(&mut self, document: DocumentId) -> Option<&mut Connection> {
        self.known_document(document).filter(|open| {
            let place = document.place();
            open.snapshots[place].is_none() && open.passages[place].over.is_none()
        })
    }

    pub(super) fn on_records(
        &mut self,
        now: Time,
        document: DocumentId,
        records: (u16, &RecordBytes),
        deflated: bool,
    ) {
        let bound = self.config.limits.outbox;
        let Some(open) = self.loaded_document(document) else {
            return;
        };
        let incoming = match open.lane.open(document, records, deflated, now) {
            Ok(incoming) => incoming,
            Err(error) => {
                self.fault(&format!("a frame without records: {error}"));
                return;
            }
        };
        let passage = &mut open.passages[document.place()];
        passage.held.push_back(incoming);
        let held: usize = passage.held.iter().map(lane::Incoming::size).sum();
        if held > bound {
            // More than may wait: the cut is finished at once.
            self.step_cut(now, document, usize::MAX);
        }
        self.take_in(now, document);
    }

    /// Uses what has come of a document, as long as no cut stands before it.
    fn take_in(&mut self, now: Time, document: DocumentId) {
        let place = document.place();
        loop {
            let Some(open) = &mut self.connection else {
                return;
            };
            let passage = &mut open.passages[place];
            let Some(incoming) = passage.held.front_mut().filter(|_| passage.cut.is_none()) else {
                break;
            };
            // What one record makes, the next may build on.
            let Some(unpacked) = open.lane.unpack(self.store.log(document), incoming, now) else {
                passage.held.pop_front();
                continue;
            };
            if let Err(fault) = self.store.receive(document, &unpacked.entry) {
                self.fault(&format!("a change of the room is refused: {fault}"));
                return;
            }
            self.signals.look();
            if let Some(index) = unpacked.placed(self.store.log(document)) {
                self.store.confirm(document, index);
            }
            let cut = match &unpacked.entry {
                Some(EntryRecord::Cut(cut)) => Some(*cut),
                _ => None,
            };
            let denied = match &unpacked.entry {
                Some(EntryRecord::Denied(denied)) => Some(denied.clone()),
                _ => None,
            };
            open.lane.settle(self.store.log(document), unpacked);
            if let Some(cut) = cut {
                self.begin_cut(now, document, cut);
            }
            if let Some(denied) = denied {
                self.on_denied(now, document, &denied);
            }
        }
        self.settle_offer(document);
        self.finish_loading(now);
    }

    fn begin_cut(&mut self, now: Time, document: DocumentId, cut: CutRecord) {
        let pause = self.config.cut_pause;
        if let Some(open) = &mut self.connection {
            let passage = &mut open.passages[document.place()];
            // Everything that the relay had has come.
            if let Some(heads) = passage.offered.take() {
                self.store.confirm_covered(document, &heads);
            }
            passage.cut = Some(cut);
            open.cut_at[document.place()] = Some(now + pause);
        }
        self.leave_epoch(document);
        let scope = self.store.log(document).scope().of(cut.epoch);
        self.store.begin_cut(document, scope);
    }

    /// What is here does not fit what the relay has: comes in again, and takes that instead. Another
    /// incarnation writes anew what nobody confirmed.
    fn estrange(&mut self, now: Time, document: DocumentId) {
        self.estranged[document.place()] = true;
        self.renew();
        self.retry(Reason::EpochMismatch, now);
    }

    /// Goes on as another incarnation of this session.
    pub(super) const fn renew(&mut self) {
        self.author.incarnation = self.author.incarnation.wrapping_add(1);
    }

    /// Looks whether the relay has what it needs and yet does not take what was written here: it
    /// follows what only its author could bring back, and who has moved on.
    pub(super) fn look_for_stuck(&mut self, now: Time, document: DocumentId) {
        let patience = self.config.unconfirmed;
        let waits = self.waits(document);
        let Some(open) = &mut self.connection else {
            return;
        };
        let stuck = waits
            && open.stage == Stage::Ready
            && open.lane.is_idle()
            && !open.passages[document.place()].is_between();
        let since = &mut open.stuck_since[document.place()];
        if !stuck {
            *since = None;
        } else if now >= *since.get_or_insert(now) + patience {
            tracing::warn!(?document, "the relay does not take what was written here");
            self.estrange(now, document);
        }
    }

    /// Whether something waits for its place that this peer wrote, or another that is here: what one
    /// wrote that is away waits for that one.
    fn waits(&self, document: DocumentId) -> bool {
        let log = self.store.log(document);
        let waits = |peer| log.pending_of(peer).next().is_some();
        log.pending().next().is_some()
            && (waits(self.author.peer) || self.roster.members().any(|member| waits(member.peer)))
    }

    /// Remembers the present epoch as one that is over.
    fn leave_epoch(&mut self, document: DocumentId) {
        let epoch = self.store.log(document).scope().epoch();
        let left = &mut self.left[document.place()];
        left.retain(|before| *before != epoch);
        left.push_back(epoch);
        if left.len() > self.config.remembered_epochs {
            left.pop_front();
        }
    }

    /// Goes on with a cut, through about `budget` values.
    pub(super) fn step_cut(&mut self, now: Time, document: DocumentId, budget: usize) {
        let place = document.place();
        let pause = self.config.cut_pause;
        let Some(open) = self.connection.as_mut().filter(|open| open.passages[place].cut.is_some())
        else {
            return;
        };
        open.cut_at[place] = Some(now + pause);
        let mut done = self.store.step_cut(document, budget);
        while !done && budget == usize::MAX {
            done = self.store.step_cut(document, budget);
        }
        let Some(cut) = open.passages[place].cut.take_if(|_| done) else {
            return;
        };
        open.cut_at[place] = None;
        if self.store.log(document).cut_record() != cut {
            tracing::warn!(?document, "an epoch began with something else here than at the relay");
            self.estrange(now, document);
            return;
        }
        let member = self.member(document);
        if let Some(open) = &mut self.connection {
            open.lane.follow(document, member);
        }
        self.drive(now);
        self.take_in(now, document);
    }

    pub(super) fn on_piece(&mut self, now: Time, document: DocumentId, index: u32, bytes: &[u8]) {
        let Some(open) = self.known_document(document) else {
            return;
        };
        let place = document.place();
        let Some(incoming) = &mut open.snapshots[place] else {
            // Already whole: the last acknowledgement was lost.
            let received = u32::MAX;
            self.say(&Message::AcknowledgePieces { document, received, gap: false }, now);
            return;
        };
        if incoming.intake.offer(u64::from(index), 1) == Some(0) {
            incoming.bytes.extend_from_slice(bytes);
        }
        let (total, received) = (incoming.offer.bytes, incoming.bytes.len() as u64);
        let whole = incoming.intake.next() >= u64::from(incoming.offer.pieces);
        let acknowledgement = incoming.intake.take_acknowledgement();
        if received > total {
            self.fault("a snapshot larger than it said");
            return;
        }
        if let Some((received, gap)) = acknowledgement {
            let received = u32::try_from(received).unwrap_or(u32::MAX);
            self.say(&Message::AcknowledgePieces { document, received, gap }, now);
        }
        self.tell(Event::Progress { document, received, total });
        if whole {
            self.on_snapshot(now, document);
        }
    }

    fn on_snapshot(&mut self, now: Time, document: DocumentId) {
        let slot = self.connection.as_mut().map(|open| &mut open.snapshots[document.place()]);
        let Some(incoming) = slot.and_then(Option::take) else {
            return;
        };
        if Sha256::digest(&incoming.bytes)[..] != incoming.offer.digest {
            self.fault("a snapshot that is not the one it offered");
            return;
        }
        match columns::decode(&incoming.bytes, &self.config.limits) {
            Ok(base) if !base.suits(document) => self.fault("a snapshot of another document"),
            Ok(base) => {
                self.go_over(now, document, base);
                self.finish_loading(now);
            }
            Err(fault) => self.fault(&format!("its snapshot is refused: {fault}")),
        }
    }
}
