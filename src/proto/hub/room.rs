//! One room at a relay: two logs and a roster.

use std::collections::{BTreeMap, BTreeSet};

use super::columns::Columns;
use super::epoch::Epochs;
use super::motion::Motion;
use super::ownership::Holdings;
use super::presence::Presences;
use super::record::Record;
use super::signals::Signals;
use super::trail::Trail;
use super::voice::Voices;
use crate::proto::authorship::Scope;
use crate::proto::config::HubConfig;
use crate::proto::document::Image;
use crate::proto::id::{
    ClientNumber, DocumentId, EpochId, Link, PeerId, RoomId, RoomKey, RoomName,
};
use crate::proto::log::ChangeLog;
use crate::proto::time::Time;
use crate::proto::wire::bounded::List;
use crate::proto::wire::message::{Life, Lineage, MemberRecord, Message};

/// How many bytes the members on one page of a roster take at most.
const PAGE_BYTES: usize = 48 << 10;
/// How many other lineages a room keeps apart. Members of more bring everything that they know.
const MAX_ABSORBED: usize = 256;
/// How many members one page has at most.
const PAGE_MEMBERS: usize = 256;

/// One room.
#[derive(Debug)]
pub(super) struct Room {
    id: RoomId,
    name: RoomName,
    /// Which of the relay's it is: later ones have higher numbers.
    number: u64,
    record: Record,
    presences: Presences,
    logs: [ChangeLog; 2],
    images: [(EpochId, Image); 2],
    epochs: [Epochs; 2],
    columns: [Option<Columns>; 2],
    /// What the first epoch derives from.
    first: Scope,
    lineage: Lineage,
    /// Other lineages whose members are here: the first of each has brought what it knew.
    absorbed: BTreeSet<Lineage>,
    members: BTreeMap<ClientNumber, (Link, MemberRecord)>,
    seen: BTreeSet<PeerId>,
    next_client: u32,
    revision: u32,
    empty_since: Option<Time>,
    /// Whether nobody has come in since it was kept.
    untouched: bool,
    remembered: usize,
    holdings: Holdings,
    motion: Motion,
    signals: Signals,
    voices: Voices,
    /// What of it is kept.
    trail: Trail,
}

impl Room {
    pub(super) fn new(
        (app, name): &RoomKey,
        (record, number): (Record, u64),
        config: &HubConfig,
        (relay, lineage, life): (PeerId, Lineage, Life),
        now: Time,
    ) -> Self {
        let scope = Scope::first(*app, name.clone());
        let log = |document| {
            let mut log = ChangeLog::new(scope.clone(), document, config.limits.clone());
            log.set_authority(relay);
            log
        };
        Self {
            id: RoomId::of(*app, name),
            name: name.clone(),
            number,
            record,
            presences: Presences::default(),
            logs: DocumentId::ALL.map(log),
            images: [(); 2].map(|()| (scope.epoch(), Image::new())),
            epochs: [Epochs::beginning(now), Epochs::beginning(now)],
            columns: [None, None],
            first: scope,
            lineage,
            absorbed: BTreeSet::new(),
            members: BTreeMap::new(),
            seen: BTreeSet::new(),
            next_client: 0,
            revision: 0,
            empty_since: Some(now),
            untouched: false,
            remembered: config.remembered,
            holdings: Holdings::default(),
            motion: Motion::default(),
            signals: Signals::new(life),
            voices: Voices::default(),
            trail: Trail::default(),
        }
    }

    pub(super) const fn log(&self, document: DocumentId) -> &ChangeLog {
        &self.logs[document.place()]
    }

    pub(super) const fn id(&self) -> RoomId {
        self.id
    }

    pub(super) const fn name(&self) -> &RoomName {
        &self.name
    }

    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) const fn record(&self) -> &Record {
        &self.record
    }

    pub(super) const fn record_mut(&mut self) -> &mut Record {
        &mut self.record
    }

    pub(super) const fn presences(&self) -> &Presences {
        &self.presences
    }

    pub(super) const fn presences_mut(&mut self) -> &mut Presences {
        &mut self.presences
    }

    pub(super) const fn voices(&self) -> &Voices {
        &self.voices
    }

    pub(super) const fn voices_mut(&mut self) -> &mut Voices {
        &mut self.voices
    }

    pub(super) const fn trail(&self) -> &Trail {
        &self.trail
    }

    pub(super) const fn trail_mut(&mut self) -> &mut Trail {
        &mut self.trail
    }

    /// When something of its record, or of what members say, is over.
    pub(super) fn service_due(&self) -> Option<Time> {
        [self.record.seats.due(), self.presences.due()].into_iter().flatten().min()
    }

    /// Whether a peer was here before.
    pub(super) fn knows(&self, peer: PeerId) -> bool {
        self.seen.contains(&peer)
    }

    /// A peer is new when it comes again.
    pub(super) fn forget(&mut self, peer: PeerId) {
        self.seen.remove(&peer);
        self.trail.lose();
    }

    /// Who was here before, as far as it is remembered.
    pub(super) const fn seen(&self) -> &BTreeSet<PeerId> {
        &self.seen
    }

    /// How many connections there ever were.
    pub(super) const fn clients_ever(&self) -> u32 {
        self.next_client
    }

    /// The room had so many connections before it was closed, these peers and these other lineages; and
    /// nobody has come in since.
    pub(super) fn remember(
        &mut self,
        clients: u32,
        seen: BTreeSet<PeerId>,
        absorbed: BTreeSet<Lineage>,
    ) {
        (self.next_client, self.seen, self.absorbed) = (clients, seen, absorbed);
        self.untouched = true;
    }

    /// Other lineages that were brought in.
    pub(super) const fn absorbed(&self) -> &BTreeSet<Lineage> {
        &self.absorbed
    }

    /// Whether nobody has come in since it was kept.
    pub(super) const fn is_untouched(&self) -> bool {
        self.untouched
    }

    /// Somebody comes in.
    pub(super) const fn touch(&mut self) {
        self.untouched = false;
    }

    pub(super) const fn holdings(&self) -> &Holdings {
        &self.holdings
    }

    pub(super) const fn motion(&self) -> &Motion {
        &self.motion
    }

    pub(super) const fn motion_mut(&mut self) -> &mut Motion {
        &mut self.motion
    }

    pub(super) const fn signals(&self) -> &Signals {
        &self.signals
    }

    pub(super) const fn signals_mut(&mut self) -> &mut Signals {
        &mut self.signals
    }

    /// The models' log, and what moves.
    pub(super) const fn log_and_motion(&mut self) -> (&ChangeLog, &mut Motion) {
        (&self.logs[0], &mut self.motion)
    }

    pub(super) const fn logs_and_holdings(&mut self) -> (&[ChangeLog; 2], &mut Holdings) {
        (&self.logs, &mut self.holdings)
    }

    pub(super) const fn logs(&self) -> &[ChangeLog; 2] {
        &self.logs
    }

    /// A document's log; that of the other; who owns what; and what moves.
    pub(super) const fn gated(
        &mut self,
        document: DocumentId,
    ) -> (&mut ChangeLog, &ChangeLog, &mut Holdings, &mut Motion) {
        let [models, texts] = &mut self.logs;
        if document.0 == DocumentId::TEXTS.0 {
            (texts, models, &mut self.holdings, &mut self.motion)
        } else {
            (models, texts, &mut self.holdings, &mut self.motion)
        }
    }

    pub(super) fn save(&mut self, document: DocumentId) -> Option<Vec<u8>> {
        let place = document.place();
        let epoch = self.logs[place].scope().epoch();
        if self.images[place].0 != epoch {
            self.images[place] = (epoch, Image::new());
        }
        self.images[place].1.of(&self.logs[place]).ok().map(automerge::Automerge::save)
    }

    pub(super) const fn epochs(&self, document: DocumentId) -> &Epochs {
        &self.epochs[document.place()]
    }

    pub(super) const fn log_and_epochs(
        &mut self,
        document: DocumentId,
    ) -> (&mut ChangeLog, &mut Epochs) {
        let place = document.place();
        (&mut self.logs[place], &mut self.epochs[place])
    }

    pub(super) const fn columns(&self, document: DocumentId) -> Option<&Columns> {
        self.columns[document.place()].as_ref()
    }

    pub(super) const fn log_and_columns(
        &mut self,
        document: DocumentId,
    ) -> (&ChangeLog, &mut Option<Columns>) {
        let place = document.place();
        (&self.logs[place], &mut self.columns[place])
    }

    pub(super) const fn first(&self) -> &Scope {
        &self.first
    }

    pub(super) const fn lineage(&self) -> Lineage {
        self.lineage
    }

    /// Whether a lineage is this room's, or one that somebody has brought in already. If it is not, it
    /// counts as brought in from now on.
    pub(super) fn absorb(&mut self, lineage: Lineage) -> bool {
        lineage == self.lineage
            || self.absorbed.contains(&lineage)
            || (self.absorbed.len() < MAX_ABSORBED && !self.absorbed.insert(lineage))
    }

    /// Takes up the lineage of a member that remembers the room.
    pub(super) fn descend(&mut self, lineage: Lineage) {
        self.lineage = lineage;
        self.trail.lose();
    }

    /// Whether nothing was ever written here.
    pub(super) fn is_blank(&self) -> bool {
        !self.is_restored() && self.logs.iter().all(ChangeLog::is_empty)
    }

    /// Whether a member is bringing what an epoch began with.
    pub(super) fn is_restored(&self) -> bool {
        self.epochs.iter().any(|epochs| epochs.restored_by().is_some())
    }

    /// Whether who owns what in it is still being brought back.
    pub(super) fn is_recovering(&self) -> bool {
        self.is_restored() || self.holdings.is_recovering()
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) const fn empty_since(&self) -> Option<Time> {
        self.empty_since
    }

    pub(super) const fn revision(&self) -> u32 {
        self.revision
    }

    pub(super) fn links(&self) -> impl Iterator<Item = Link> + '_ {
        self.members.values().map(|(link, _)| *link)
    }

    /// Who is in the room, by which link.
    pub(super) fn clients(&self) -> impl Iterator<Item = (ClientNumber, Link)> + '_ {
        self.members.iter().map(|(client, (link, _))| (*client, *link))
    }

    /// The link by which a peer is in the room.
    pub(super) fn link_of(&self, peer: PeerId) -> Option<Link> {
        self.members.values().find(|(_, record)| record.peer == peer).map(|(link, _)| *link)
    }

    /// Lets a member in, with the next number. `record` has everything but that.
    pub(super) fn join(&mut self, link: Link, mut record: MemberRecord) -> MemberRecord {
        self.next_client += 1;
        self.revision = self.revision.wrapping_add(1);
        record.client = ClientNumber(self.next_client);
        record.rejoined = self.seen.contains(&record.peer);
        if self.seen.len() < self.remembered && self.seen.insert(record.peer) {
            self.trail.meet(record.peer);
        }
        self.members.insert(record.client, (link, record.clone()));
        self.empty_since = None;
        record
    }

    /// Lets a member go. Returns the roster's revision without it.
    pub(super) fn leave(&mut self, client: ClientNumber, now: Time) -> u32 {
        if self.members.remove(&client).is_some() {
            self.revision = self.revision.wrapping_add(1);
        }
        if self.members.is_empty() {
            self.empty_since = Some(now);
        }
        self.revision
    }

    /// The whole roster, in pages that fit a frame.
    pub(super) fn roster(&self) -> Vec<Message> {
        let mut pages: Vec<Vec<MemberRecord>> = vec![Vec::new()];
        let mut size = 0;
        for (_, record) in self.members.values() {
            let bytes = record.metadata.len() + 64;
            let full = pages.last().is_some_and(|page| page.len() == PAGE_MEMBERS);
            if full || (size + bytes > PAGE_BYTES && size > 0) {
                pages.push(Vec::new());
                size = 0;
            }
            size += bytes;
            if let Some(page) = pages.last_mut() {
                page.push(record.clone());
            }
        }
        let count = u16::try_from(pages.len()).unwrap_or(u16::MAX);
        let numbered = (0..count).zip(pages);
        numbered
            .map(|(page, members)| Message::Roster {
                revision: self.revision,
                page,
                pages: count,
                members: List::of(members),
            })
            .collect()
    }
}
