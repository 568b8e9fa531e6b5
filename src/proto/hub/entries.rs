//! What members bring: let in, and passed on.

use super::act::ActError;
use super::dispatch::is_known;
use super::guest::{Guest, Stage};
use super::ownership::gate::Gate;
use super::ownership::{Grantor, Told};
use super::plugin::{Asking, Plugged};
use super::room::Room;
use super::unproven::Unproven;
use super::{Hub, HubEvent};
use crate::proto::config::HubConfig;
use crate::proto::datastore::intent::Intent;
use crate::proto::delta::{DeltaError, Token};
use crate::proto::id::{DocumentId, Link, PeerId, RoomKey};
use crate::proto::lane::Incoming;
use crate::proto::log::ChangeLog;
use crate::proto::reason::{ChangeFault, Refusal};
use crate::proto::time::Time;
use crate::proto::wire::message::{Actor, DeniedRecord, EntryRecord, Hash, RecordBytes};

impl Hub {
    pub(super) fn on_records(
        &mut self,
        now: Time,
        link: Link,
        document: DocumentId,
        records: (u16, &RecordBytes),
        deflated: bool,
    ) {
        let Some(guest) = self.guests.get_mut(&link).filter(|_| is_known(document)) else {
            return;
        };
        if !matches!(guest.stage, Stage::Member { .. }) {
            return;
        }
        match guest.lane.open(document, records, deflated, now) {
            Ok(incoming) => self.take_in(now, link, document, incoming),
            Err(DeltaError::TooLarge) => {
                let limit = self.config.limits.inflated as u64;
                self.refuse(link, Refusal::TooLarge { limit, size: limit.saturating_add(1) }, now);
            }
            Err(_) => self.refuse(link, Refusal::BadMessage, now),
        }
    }

    /// Lets in what a member brings, and passes it on.
    fn take_in(&mut self, now: Time, link: Link, document: DocumentId, mut incoming: Incoming) {
        let Some(guest) = self.guests.get_mut(&link) else {
            return;
        };
        let Stage::Member { room: key, .. } = &guest.stage else {
            return;
        };
        let key = key.clone();
        let Some(room) = self.rooms.get_mut(&key) else {
            return;
        };
        let (config, grantor) = (&self.config, &mut self.grantor);
        let plugged = self.plugin.as_mut().map(|plugged| (plugged, &key));
        let mut desk = Desk { room, guest, config, grantor, plugged, now, link };
        let mut taken = Taken::default();
        // What one record makes, the next may build on.
        while taken.is_open()
            && let Some(unpacked) =
                desk.guest.lane.unpack(desk.room.log(document), &mut incoming, now)
        {
            // Only a relay says that something has its place: a record of that is nothing here.
            if let Some(entry) = unpacked.entry {
                desk.take(document, &entry, &mut taken);
            }
        }
        if desk.guest.unproven[document.place()].is_stirred() {
            desk.settle(document, &mut taken);
        }
        let waiting = guest.unproven[document.place()].bytes();
        let Taken { tokens, told, turned, wanted, undone, outcome } = taken;
        if !tokens.is_empty() {
            room.log_and_epochs(document).1.wrote(now);
        }
        self.forward(now, &key, document, Some(link), &tokens);
        self.tell_denied(now, &key, told);
        self.write_wanted(now, &key, (&wanted, undone));
        if let Some(turned) = turned {
            self.deny(now, link, document, turned);
        }
        self.settle(now, &key, document, &tokens);
        // A word for changes is none of the tokens.
        self.journal.stir(&key);
        self.judge(now, link, outcome.map_or(Ok(()), Err), waiting);
        self.close_recovery(now, &key);
        if document == DocumentId::MODELS {
            self.serve_queue(now, &key);
        }
    }

    /// Passes entries on to every member; to the one that brought them only that its own changes
    /// have their places now.
    pub(super) fn forward(
        &mut self,
        now: Time,
        key: &RoomKey,
        document: DocumentId,
        source: Option<Link>,
        tokens: &[Token],
    ) {
        let Some(room) = self.rooms.get(key) else {
            return;
        };
        self.journal.stir(key);
        let members: Vec<Link> = room.links().collect();
        for member in &members {
            let Some(guest) = self.guests.get_mut(member) else {
                continue;
            };
            let log = room.log(document);
            for token in tokens {
                match token {
                    _ if Some(*member) != source => guest.lane.push(document, *token),
                    Token::Change(index) if guest.is_own(log, *index) => {
                        guest.lane.push(document, Token::Placed(*index));
                    }
                    // Nobody's or another's: it has its place when it comes back.
                    Token::Change(_) => guest.lane.push(document, *token),
                    // What came of what it brought is signed by the relay: it may have to prove that.
                    Token::Signature(actor) if is_of(log, actor, self.me) => {
                        guest.lane.push(document, *token);
                    }
                    Token::Placed(_)
                    | Token::Repair(_)
                    | Token::Signature(_)
                    | Token::Cut
                    | Token::Base(_)
                    | Token::Denied
                    | Token::Resumed
                    | Token::Void => {}
                }
            }
        }
        for member in members {
            self.pump_guest(member, now);
        }
    }

    /// What one member brought may be what another's changes waited for.
    fn settle(&mut self, now: Time, key: &RoomKey, document: DocumentId, news: &[Token]) {
        let mut news = news.to_vec();
        while let Some(room) = self.rooms.get_mut(key) {
            let changes = hashes(room.log(document), &news);
            if changes.is_empty() {
                return;
            }
            let (mut settled, mut told, mut turned) = (Vec::new(), Vec::new(), Vec::new());
            let (mut wanted, mut undone) = (Vec::new(), Vec::new());
            let mut links: Vec<Link> = room.links().collect();
            // In the order in which they came up.
            links.sort_unstable();
            for link in links {
                let Some(guest) = self.guests.get_mut(&link) else { continue };
                if guest.unproven[document.place()].wants(&changes) {
                    let (config, grantor) = (&self.config, &mut self.grantor);
                    let plugged = self.plugin.as_mut().map(|plugged| (plugged, key));
                    let mut desk = Desk { room, guest, config, grantor, plugged, now, link };
                    let mut taken = Taken::default();
                    desk.settle(document, &mut taken);
                    told.extend(taken.told);
                    wanted.extend(taken.wanted);
                    undone.extend(taken.undone);
                    turned.extend(taken.turned.map(|turned| (link, turned)));
                    settled.push((link, taken.tokens));
                }
            }
            news = settled.iter().flat_map(|(_, tokens)| tokens.clone()).collect();
            for (link, tokens) in settled {
                self.forward(now, key, document, Some(link), &tokens);
            }
            self.tell_denied(now, key, told);
            self.write_wanted(now, key, (&wanted, undone));
            for (link, turned) in turned {
                self.deny(now, link, document, turned);
            }
        }
    }

    /// Writes to the models what a plugin wants written because of texts, and tells what could not be.
    fn write_wanted(
        &mut self,
        now: Time,
        key: &RoomKey,
        (wanted, undone): (&[Vec<Intent>], Vec<ActError>),
    ) {
        let written = wanted.iter().map(|intents| self.write_as_relay(now, key, intents));
        let failed: Vec<ActError> = written.filter_map(Result::err).collect();
        for why in undone.into_iter().chain(failed) {
            tracing::debug!(room = %key.1, %why, "what a plugin wanted is not written");
            self.report(HubEvent::Undone { room: key.clone(), why });
        }
    }

    /// Ends a link that broke a rule, or that asks to remember too much.
    fn judge(&mut self, now: Time, link: Link, outcome: Result<(), ChangeFault>, waiting: usize) {
        let limit = self.config.unproven;
        match outcome {
            Err(why) => self.refuse(link, Refusal::BadChange { why }, now),
            Ok(()) if waiting > limit => {
                let refusal = Refusal::TooLarge { limit: limit as u64, size: waiting as u64 };
                self.refuse(link, refusal, now);
            }
            Ok(()) => {}
        }
    }
}

/// What came of a frame.
#[derive(Default)]
struct Taken {
    /// What is new in the log.
    tokens: Vec<Token>,
    /// Who is to be told that its claim is not granted.
    told: Told,
    /// The change that stays out.
    turned: Option<DeniedRecord>,
    /// What a plugin wants written to the models, where this is about texts.
    wanted: Vec<Vec<Intent>>,
    /// What of that could not be done, where this is about models.
    undone: Vec<ActError>,
    /// The rule that was broken.
    outcome: Option<ChangeFault>,
}

impl Taken {
    /// Whether what comes next may still count.
    const fn is_open(&self) -> bool {
        self.turned.is_none() && self.outcome.is_none()
    }
}

/// Where a member's entries are taken.
struct Desk<'a> {
    room: &'a mut Room,
    guest: &'a mut Guest,
    config: &'a HubConfig,
    grantor: &'a mut Grantor,
    /// The plugin, if there is one, and where it is asked about.
    plugged: Option<(&'a mut Plugged, &'a RoomKey)>,
    now: Time,
    link: Link,
}

impl Desk<'_> {
    fn take(&mut self, document: DocumentId, entry: &EntryRecord, taken: &mut Taken) {
        match entry {
            EntryRecord::Cut(cut) => {
                // While history is cut nobody writes, and who has followed says it again in vain.
                if self.guest.lane.is_stale(document) && !self.room.epochs(document).is_cutting() {
                    self.guest.on_follow(self.room.log(document), cut, self.now);
                }
            }
            EntryRecord::Resumed(resumed) => {
                self.guest.on_resumed(self.room.log(document), *resumed);
            }
            // Only a relay says that.
            EntryRecord::Denied(_) => {}
            EntryRecord::Base(piece) => {
                let limits = &self.config.limits;
                taken.outcome = self.room.take_base(document, self.link, piece, limits).err();
            }
            EntryRecord::Authored { .. } | EntryRecord::WellKnown(_) | EntryRecord::Signed(_) => {
                let peer = self.guest.peer;
                self.pass(document, taken, |unproven, log, gate| {
                    unproven.offer((log, gate), peer, entry)
                });
            }
        }
    }

    /// Lets in what waited and may come in by now.
    fn settle(&mut self, document: DocumentId, taken: &mut Taken) {
        self.pass(document, taken, |unproven, log, gate| Ok(unproven.settle(log, gate)));
    }

    /// Lets something in by the gate, and answers what it claims.
    fn pass(
        &mut self,
        document: DocumentId,
        taken: &mut Taken,
        offer: impl FnOnce(
            &mut Unproven,
            &mut ChangeLog,
            &mut Gate<'_>,
        ) -> Result<Vec<Token>, ChangeFault>,
    ) {
        let (log, other, holdings, motion) = self.room.gated(document);
        let models = (document == DocumentId::TEXTS).then_some(other);
        let config = (models, &self.config.ownership);
        let mut gate = Gate::new(holdings, config, (&*self.grantor, self.now));
        gate.set_reads_only(!self.guest.pass.writes());
        if let (Some((plugged, key)), Some(by)) = (&mut self.plugged, self.guest.writer()) {
            gate.set_asking(Asking::new(plugged, (key, by, self.now)), other);
        }
        let offered = offer(&mut self.guest.unproven[document.place()], log, &mut gate);
        let mut passed = gate.end();
        if taken.turned.is_none() {
            taken.turned = passed.turned.take();
        }
        match offered {
            Ok(tokens) => taken.tokens.extend(tokens),
            Err(fault) => taken.outcome = Some(fault),
        }
        let wanted = std::mem::take(&mut passed.wanted);
        let when = (self.now, &mut taken.told);
        let answers = holdings.answer(log, (passed, &mut *motion), self.grantor, when);
        taken.tokens.extend(answers);
        if models.is_some() {
            taken.wanted.extend(wanted);
            return;
        }
        for intents in wanted {
            // In one go with what it is about, so that hardly anybody sees one without the other.
            let office = (&mut *self.grantor, &self.config.ownership, self.now);
            let tokens = &mut taken.tokens;
            let written = holdings.dictate((&mut *log, &mut *motion), &intents, office, tokens);
            taken.undone.extend(written.err());
        }
    }
}

/// Whether an actor is a peer's.
fn is_of(log: &ChangeLog, actor: &Actor, peer: PeerId) -> bool {
    log.author(actor).is_some_and(|author| author.origin.is_of(peer).is_some())
}

/// The changes among what is new in a log.
fn hashes(log: &ChangeLog, tokens: &[Token]) -> Vec<Hash> {
    let changes = tokens.iter().filter_map(|token| match token {
        Token::Change(index) | Token::Placed(index) | Token::Repair(index) => {
            log.entry(*index).map(|entry| entry.hash)
        }
        Token::Signature(_)
        | Token::Cut
        | Token::Base(_)
        | Token::Denied
        | Token::Resumed
        | Token::Void => None,
    });
    changes.collect()
}
