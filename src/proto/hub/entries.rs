//! What members bring: let in, and passed on.

use super::guest::{Stage, is_known};
use super::ownership::gate::Gate;
use super::{Hub, RoomKey};
use crate::proto::delta::{DeltaError, Token};
use crate::proto::id::{DocumentId, Link};
use crate::proto::lane::Incoming;
use crate::proto::log::ChangeLog;
use crate::proto::reason::{ChangeFault, Refusal};
use crate::proto::time::Time;
use crate::proto::wire::message::{EntryRecord, Hash, RecordBytes};

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
        let limits = &self.config.limits;
        let (mut tokens, mut told) = (Vec::new(), Vec::new());
        let (mut outcome, mut turned) = (Ok(()), None);
        // What one record makes, the next may build on.
        while let Some(unpacked) = guest.lane.unpack(room.log(document), &mut incoming, now) {
            // Only a relay says that something has its place: a record of that is nothing here.
            let Some(entry) = unpacked.entry else {
                continue;
            };
            let offered = match &entry {
                EntryRecord::Cut(cut) => {
                    guest.on_follow(room.log(document), cut);
                    continue;
                }
                EntryRecord::Resumed(resumed) => {
                    guest.on_resumed(room.log(document), *resumed);
                    continue;
                }
                // Only a relay says that.
                EntryRecord::Denied(_) => continue,
                EntryRecord::Base(piece) => {
                    room.take_base(document, link, piece, limits).map(|()| Vec::new())
                }
                EntryRecord::Authored { .. }
                | EntryRecord::WellKnown(_)
                | EntryRecord::Signed(_) => {
                    let (log, models, holdings) = room.gated(document);
                    let config = (models, &self.config.ownership);
                    let mut gate = Gate::new(holdings, config, (&self.grantor, now));
                    let unproven = &mut guest.unproven[document.place()];
                    let offered = unproven.offer((log, &mut gate), guest.peer, &entry);
                    let mut passed = gate.end();
                    turned = passed.turned.take();
                    offered.map(|mut tokens| {
                        let when = (now, &mut told);
                        tokens.extend(holdings.answer(log, passed, &mut self.grantor, when));
                        tokens
                    })
                }
            };
            match offered {
                Ok(more) => tokens.extend(more),
                Err(fault) => {
                    outcome = Err(fault);
                    break;
                }
            }
            if turned.is_some() {
                break;
            }
        }
        let unproven = &mut guest.unproven[document.place()];
        if unproven.is_stirred() {
            let (log, models, holdings) = room.gated(document);
            let config = (models, &self.config.ownership);
            let mut gate = Gate::new(holdings, config, (&self.grantor, now));
            tokens.extend(unproven.settle(log, &mut gate));
            let mut passed = gate.end();
            turned = turned.or_else(|| passed.turned.take());
            tokens.extend(holdings.answer(log, passed, &mut self.grantor, (now, &mut told)));
        }
        let waiting = unproven.bytes();
        if !tokens.is_empty() {
            room.log_and_epochs(document).1.wrote(now);
        }
        self.forward(now, &key, document, Some(link), &tokens);
        self.tell_denied(now, &key, told);
        if let Some(turned) = turned {
            self.deny(now, link, document, turned);
        }
        self.settle(now, &key, document, &tokens);
        self.judge(now, link, outcome, waiting);
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
            let (log, models, holdings) = room.gated(document);
            let changes = hashes(log, &news);
            if changes.is_empty() {
                return;
            }
            let (mut settled, mut told, mut turned) = (Vec::new(), Vec::new(), Vec::new());
            for (link, guest) in &mut self.guests {
                let here = matches!(&guest.stage, Stage::Member { room, .. } if room == key);
                let unproven = &mut guest.unproven[document.place()];
                if here && unproven.wants(&changes) {
                    let config = (models, &self.config.ownership);
                    let mut gate = Gate::new(holdings, config, (&self.grantor, now));
                    let mut tokens = unproven.settle(log, &mut gate);
                    let mut passed = gate.end();
                    turned.extend(passed.turned.take().map(|turned| (*link, turned)));
                    let when = (now, &mut told);
                    tokens.extend(holdings.answer(log, passed, &mut self.grantor, when));
                    settled.push((*link, tokens));
                }
            }
            news = settled.iter().flat_map(|(_, tokens)| tokens.clone()).collect();
            for (link, tokens) in settled {
                self.forward(now, key, document, Some(link), &tokens);
            }
            self.tell_denied(now, key, told);
            for (link, turned) in turned {
                self.deny(now, link, document, turned);
            }
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
