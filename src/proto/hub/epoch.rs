//! When a relay cuts history, how it says so, and what of earlier epochs it remembers.

use std::collections::{BTreeMap, VecDeque};

use super::Hub;
use super::guest::Guest;
use super::room::Room;
use crate::proto::base::{Base, columns};
use crate::proto::config::{EpochConfig, Limits};
use crate::proto::cut::Cut;
use crate::proto::delta::Member;
use crate::proto::id::{DocumentId, EpochId, Link, RoomKey};
use crate::proto::log::{ChangeLog, Origin};
use crate::proto::reason::{ChangeFault, Refusal};
use crate::proto::time::Time;
use crate::proto::wire::message::{Actor, BaseRecord, CutRecord, Introduction};

/// The epochs of one document of a room.
#[derive(Debug, Default)]
pub(super) struct Epochs {
    /// A cut on its way.
    cut: Option<Cut>,
    /// The log of the epoch before the present one: not everybody may have all of it yet.
    pub(super) before: Option<ChangeLog>,
    /// That of the epoch before that one, until its memory is given back.
    left: Option<ChangeLog>,
    /// How many changes of each author went into the next epoch, of each epoch, oldest first.
    past: VecDeque<(EpochId, BTreeMap<Actor, u64>)>,
    began: Option<Time>,
    wrote: Option<Time>,
    step_at: Option<Time>,
    not_before: Option<Time>,
    /// Who is bringing what the epoch began with, and what has come of it.
    restoring: Option<(Link, Vec<u8>)>,
    /// By when it must be whole.
    restore_by: Option<Time>,
    /// The commit by which the last cut is kept, before which it is told to nobody; the highest number
    /// while that is not known.
    unkept: Option<u64>,
}

impl Epochs {
    pub(super) const fn is_cutting(&self) -> bool {
        self.cut.is_some()
    }

    /// The last cut is told to nobody before it is kept.
    pub(super) const fn hold(&mut self) {
        self.unkept = Some(u64::MAX);
    }

    /// The last cut is kept by a commit.
    pub(super) fn hand_over(&mut self, number: u64) {
        self.unkept = self.unkept.and(Some(number));
    }

    /// Commits have ended up to one.
    pub(super) fn release(&mut self, ended: u64) {
        self.unkept.take_if(|number| *number <= ended);
    }

    /// Whether the last cut is still to be kept.
    pub(super) const fn is_unkept(&self) -> bool {
        self.unkept.is_some()
    }

    /// Epochs of which the first begins now.
    pub(super) fn beginning(now: Time) -> Self {
        Self { began: Some(now), ..Self::default() }
    }

    /// The oldest epoch that is remembered, if there is one beside that of a log.
    pub(super) fn oldest(&self) -> Option<EpochId> {
        self.past.front().map(|(epoch, _)| *epoch)
    }

    /// How many changes of an actor of an epoch went into the next one.
    pub(super) fn included(&self, epoch: EpochId, actor: &Actor) -> Option<u64> {
        let (_, authors) = self.past.iter().find(|(past, _)| *past == epoch)?;
        Some(authors.get(actor).copied().unwrap_or_default())
    }

    /// The link from which what the epoch began with is expected.
    pub(super) fn restored_by(&self) -> Option<Link> {
        self.restoring.as_ref().map(|(link, _)| *link)
    }

    /// When there is something to do: the next step of a cut, or a cut.
    fn due(&self, log: &ChangeLog, config: &EpochConfig) -> Option<Time> {
        if self.cut.is_some() {
            return self.step_at;
        }
        let weight = log.weight();
        if self.restoring.is_some() {
            return self.restore_by;
        }
        if weight == 0 {
            return None;
        }
        let (began, wrote) = (self.began.unwrap_or(Time::ZERO), self.wrote.unwrap_or(Time::ZERO));
        let heavy = weight > config.floor.max(log.base_weight().saturating_mul(config.ratio) / 100);
        let little = log.base_weight().saturating_mul(config.rest_ratio) / 100;
        let rests = weight > config.rest_floor.max(little);
        let soon = heavy.then(|| began + config.interval);
        let later = rests.then(|| (wrote + config.rest).max(began + config.rest));
        let due = soon.into_iter().chain(later).min()?;
        Some(self.not_before.map_or(due, |not_before| due.max(not_before)))
    }

    /// There is no cut before a time.
    const fn put_off(&mut self, until: Time) {
        self.not_before = Some(until);
    }

    /// Something was written.
    pub(super) const fn wrote(&mut self, now: Time) {
        self.wrote = Some(now);
    }

    /// How many changes of each author went into the next epoch, of each that is remembered.
    pub(super) fn past(&self) -> impl Iterator<Item = &(EpochId, BTreeMap<Actor, u64>)> {
        self.past.iter()
    }

    /// What is remembered of epochs before a room was closed.
    pub(super) fn set_past(&mut self, past: VecDeque<(EpochId, BTreeMap<Actor, u64>)>) {
        self.past = past;
    }

    fn remember(&mut self, log: &ChangeLog, most: usize) {
        let authors = log.authors().filter_map(|(actor, author)| match author.origin {
            Origin::Peer(_) => Some((*actor, author.changes.len() as u64)),
            Origin::WellKnown(_) | Origin::Base => None,
        });
        self.past.push_back((log.scope().epoch(), authors.collect()));
        while self.past.len() > most {
            self.past.pop_front();
        }
    }
}

impl Room {
    /// When there is something to do about the epochs of a document.
    fn due(&self, document: DocumentId, config: &EpochConfig) -> Option<Time> {
        self.epochs(document).due(self.log(document), config)
    }

    /// Goes on with a cut. Returns whether the next epoch has begun.
    fn step_cut(&mut self, document: DocumentId, config: &EpochConfig, now: Time) -> bool {
        let (log, epochs) = self.log_and_epochs(document);
        let Some(cut) = &mut epochs.cut else {
            return false;
        };
        epochs.step_at = Some(now + config.pause);
        epochs.left.take_if(|left| !left.wither(config.budget));
        let Some(next) = cut.step(log, config.budget) else {
            return false;
        };
        epochs.cut = None;
        epochs.began = Some(now);
        epochs.remember(log, config.remembered);
        epochs.before = Some(std::mem::replace(log, next));
        true
    }

    /// How many changes of an incarnation of a peer in an epoch are here, or went into later epochs.
    pub(super) fn included(
        &self,
        document: DocumentId,
        epoch: EpochId,
        wrote: &Introduction,
    ) -> Option<u64> {
        let actor = self.first().of(epoch).actor(wrote);
        let log = self.log(document);
        if log.scope().epoch() == epoch {
            return log.author(&actor).map(|author| author.changes.len() as u64);
        }
        self.epochs(document).included(epoch, &actor)
    }

    /// Whether what an epoch began with is wanted from a member that has it: nothing is here.
    pub(super) fn wants(&self, document: DocumentId, epoch: EpochId) -> bool {
        let log = self.log(document);
        self.epochs(document).restored_by().is_none()
            && log.is_empty()
            && epoch != log.scope().epoch()
            && log.scope().epoch() == self.first().epoch()
    }

    /// Takes up the epoch of a member, because nothing is here.
    pub(super) fn restore(
        &mut self,
        document: DocumentId,
        epoch: EpochId,
        (link, by): (Link, Time),
    ) {
        let (log, epochs) = self.log_and_epochs(document);
        *log = log.successor(log.scope().of(epoch), Base::default());
        epochs.restoring = Some((link, Vec::new()));
        epochs.restore_by = Some(by);
    }

    /// Whoever was restoring is gone: nothing is here again.
    pub(super) fn abandon(&mut self, link: Link) {
        for document in DocumentId::ALL {
            let first = self.first().clone();
            let (log, epochs) = self.log_and_epochs(document);
            if epochs.restored_by() == Some(link) {
                *log = log.successor(first, Base::default());
                epochs.restoring = None;
            }
        }
    }

    /// A piece of what the epoch began with.
    pub(super) fn take_base(
        &mut self,
        document: DocumentId,
        link: Link,
        piece: &BaseRecord,
        limits: &Limits,
    ) -> Result<(), ChangeFault> {
        let (log, epochs) = self.log_and_epochs(document);
        let Some((_, bytes)) = epochs.restoring.as_mut().filter(|(from, _)| *from == link) else {
            return Err(ChangeFault::Unproven);
        };
        bytes.extend_from_slice(&piece.bytes);
        if piece.left.saturating_add(bytes.len() as u64) > limits.snapshot {
            return Err(ChangeFault::TooLarge);
        }
        if piece.left == 0 {
            let base = columns::decode(bytes, limits)?;
            if !base.suits(document) {
                return Err(ChangeFault::WrongOperation);
            }
            epochs.restoring = None;
            *log = log.successor(log.scope().clone(), base);
            while log.lay() {}
        }
        Ok(())
    }
}

impl Hub {
    /// Cuts the history of a document of a room now, whatever it weighs. Returns whether there is such
    /// a room and anything to cut.
    pub fn cut(&mut self, key: &RoomKey, document: DocumentId, now: Time) -> bool {
        let weight = self.rooms.get(key).map(|room| room.log(document).weight());
        if weight.is_none_or(|weight| weight == 0) {
            return false;
        }
        let may = self.may_cut(key, document);
        if may {
            self.begin_cut(key, document, now);
            self.finish_cut(key, document, now);
        }
        may
    }

    /// Whether nothing waits for an author's word that would be left out, the last cut was told, and what
    /// would be the next base is none that nobody takes.
    fn may_cut(&self, key: &RoomKey, document: DocumentId) -> bool {
        let fits = |room: &Room| {
            let is_told = !room.epochs(document).is_unkept();
            is_told && room.log(document).table().size() <= self.config.limits.rows
        };
        if !self.rooms.get(key).is_some_and(fits) {
            return false;
        }
        let links = self.rooms.get(key).into_iter().flat_map(Room::links);
        let mut guests = links.filter_map(|link| self.guests.get(&link));
        guests.all(|guest| guest.unproven[document.place()].bytes() == 0)
    }

    /// Brings a cut that is on its way to its end.
    pub(super) fn finish_cut(&mut self, key: &RoomKey, document: DocumentId, now: Time) {
        while self.rooms.get(key).is_some_and(|room| room.epochs(document).is_cutting()) {
            self.step_cut(key, document, now);
        }
    }

    pub(super) fn tick_epochs(&mut self, now: Time) {
        let keys = self.rooms_due(now, |hub, (_, room)| hub.epochs_due(room));
        let documents = keys.iter().flat_map(|key| DocumentId::ALL.map(|document| (key, document)));
        let is_due = |(key, document): &(&RoomKey, DocumentId)| {
            let room = self.rooms.get(key);
            let due = room.and_then(|room| room.due(*document, &self.config.epochs));
            due.is_some_and(|due| due <= now)
        };
        // What is done about one may change when another is due.
        let due: Vec<(&RoomKey, DocumentId)> = documents.filter(is_due).collect();
        for (key, document) in due {
            let epochs = self.rooms.get(key).map(|room| room.epochs(document));
            if let Some(link) = epochs.and_then(Epochs::restored_by) {
                // Nobody else may come in meanwhile.
                self.refuse(link, Refusal::HandshakeTimeout, now);
            } else if epochs.is_some_and(Epochs::is_cutting) {
                self.step_cut(key, document, now);
            } else if self.may_cut(key, document) {
                self.begin_cut(key, document, now);
            } else if let Some(room) = self.rooms.get_mut(key) {
                room.log_and_epochs(document).1.put_off(now + self.config.epochs.rest);
            }
        }
    }

    pub(super) fn epochs_due(&self, room: &Room) -> Option<Time> {
        let due = DocumentId::ALL.map(|document| room.due(document, &self.config.epochs));
        due.into_iter().flatten().min()
    }

    fn begin_cut(&mut self, key: &RoomKey, document: DocumentId, now: Time) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        let members: Vec<Link> = room.links().collect();
        let lease = 0;
        let (log, epochs) = room.log_and_epochs(document);
        let heads: Vec<_> = log.heads().collect();
        epochs.cut = Some(Cut::into(log.scope().next(document, &heads, lease)));
        // Who has not followed the cut before is refused: nobody needs it any more.
        epochs.left = epochs.before.take();
        epochs.step_at = Some(now);
        for link in members {
            // Whoever has not followed the last cut would need the log before the last.
            if self.guests.get(&link).is_some_and(|guest| guest.lane.is_stale(document)) {
                self.refuse(link, Refusal::SlowConsumer, now);
            } else if let Some(guest) = self.guests.get_mut(&link) {
                guest.lane.begin_cut(document);
            }
        }
    }

    fn step_cut(&mut self, key: &RoomKey, document: DocumentId, now: Time) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        if !room.step_cut(document, &self.config.epochs, now) {
            return;
        }
        room.begin_columns(document, now);
        let epoch = room.log(document).scope().epoch();
        tracing::debug!(?document, ?epoch, "history cut");
        self.hold(key, document);
        let Some(room) = self.rooms.get(key) else {
            return;
        };
        let members: Vec<Link> = room.links().collect();
        for link in members {
            if let Some(guest) = self.guests.get_mut(&link) {
                guest.unproven[document.place()] = super::unproven::Unproven::default();
                guest.lane.push_cut(document);
            }
            self.pump_guest(link, now);
        }
    }
}

impl Guest {
    /// The peer follows a cut: what it says from now on counts again, if it is the last cut that was
    /// made.
    pub(super) fn on_follow(&mut self, log: &ChangeLog, cut: &CutRecord, now: Time) {
        if log.cut_record() == *cut
            && let Some(introduction) = self.introductions[log.document().place()]
        {
            let actor = log.scope().actor(&introduction);
            self.follow(log.document(), Member { introduction, actor }, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::config::HubConfig;
    use crate::proto::hub::record::Record;
    use crate::proto::id::{AppKey, PeerId, RoomName};
    use crate::proto::wire::bounded::Blob;

    #[test]
    fn no_more_is_brought_back_than_fits() {
        let config = HubConfig::default();
        let (app, name) = (AppKey::new("key").unwrap().app(), RoomName::new("room").unwrap());
        let mut room = Room::new(
            &(app, name),
            (Record::new(8), 1),
            &config,
            (PeerId::new([9; 32]), [1; 8], [2; 8]),
            Time::ZERO,
        );
        let other = EpochId([7; 32]);
        assert!(room.wants(DocumentId::MODELS, other));
        assert!(room.wants(DocumentId::TEXTS, other));
        assert!(!room.wants(DocumentId::MODELS, room.first().epoch()));

        let (link, by) = (Link(1), Time::ZERO + config.epochs.restoring);
        room.restore(DocumentId::MODELS, other, (link, by));
        let epochs = room.epochs(DocumentId::MODELS);
        assert_eq!(epochs.due(room.log(DocumentId::MODELS), &config.epochs), Some(by));
        let piece = |left| BaseRecord { left, bytes: Blob::new(vec![0].into()).unwrap() };
        for (from, left, why) in [
            (Link(2), 0, ChangeFault::Unproven),
            (link, config.limits.snapshot, ChangeFault::TooLarge),
            (link, u64::MAX, ChangeFault::TooLarge),
        ] {
            let taken = room.take_base(DocumentId::MODELS, from, &piece(left), &config.limits);
            assert_eq!(taken, Err(why));
        }
        room.abandon(link);
        assert_eq!(room.log(DocumentId::MODELS).scope().epoch(), room.first().epoch());
    }
}
