//! What a relay does about ownership: when a change came, when time passed, when somebody went.

use super::super::guest::{Guest, Stage};
use super::super::motion::Motion;
use super::super::{Hub, HubEvent};
use super::gate::{Gate, Passed};
use super::grants::{Decree, Told};
use super::{Grantor, Holdings};
use crate::proto::config::OwnershipConfig;
use crate::proto::delta::Token;
use crate::proto::event::LeaveReason;
use crate::proto::id::{DocumentId, Link, PeerId, RoomKey};
use crate::proto::log::ChangeLog;
use crate::proto::ownership::Session;
use crate::proto::reason::{Refusal, SERVICE_SINCE, Version};
use crate::proto::time::Time;
use crate::proto::wire::bounded::Line;
use crate::proto::wire::message::{DeniedRecord, Hash, Message};

impl Holdings {
    /// Grants and tells what became of claims that came through the gate. Returns what is new in the
    /// log.
    pub(in crate::proto::hub) fn answer(
        &mut self,
        log: &mut ChangeLog,
        (passed, motion): (Passed, &mut Motion),
        grantor: &mut Grantor,
        (now, told): (Time, &mut Told),
    ) -> Vec<Token> {
        if passed.decided.is_empty() && passed.gone.is_empty() {
            return Vec::new();
        }
        let (mut decree, news) = self.carry_out(log, (passed.decided, passed.gone), grantor, now);
        told.extend(news);
        let folds = motion.hand_over(decree.owners());
        decree.fold(folds);
        self.write(log, decree, grantor)
    }

    /// When there is something to do, if nothing else happens before.
    fn due(&self, heard: impl Fn(Link) -> Option<Time>, config: &OwnershipConfig) -> Option<Time> {
        if self.recovery.is_open() {
            return self.recovery.due();
        }
        let overdue = self.overdue_at(heard, config);
        [overdue, self.queue.due(), self.recovery.due()].into_iter().flatten().min()
    }
}

impl Hub {
    /// When there is something to do about who owns what in a room.
    pub(in crate::proto::hub) fn ownership_due(&self, key: &RoomKey) -> Option<Time> {
        let room = self.rooms.get(key).filter(|room| !room.is_restored())?;
        let heard = |link| self.guests.get(&link).map(|guest| guest.heard);
        room.holdings().due(heard, &self.config.ownership)
    }

    /// Lets time pass for who owns what.
    pub(in crate::proto::hub) fn tick_ownership(&mut self, now: Time) {
        for key in self.rooms_due(now, |hub, (key, _)| hub.ownership_due(key)) {
            self.close_recovery(now, &key);
            self.recover(now, &key);
            self.lapse_overdue(now, &key);
            self.serve_queue(now, &key);
        }
    }

    /// Ends a recovery of which everything is here.
    pub(in crate::proto::hub) fn close_recovery(&mut self, now: Time, key: &RoomKey) {
        let Some(room) = self.rooms.get_mut(key).filter(|room| !room.is_restored()) else {
            return;
        };
        let (logs, holdings) = room.logs_and_holdings();
        if holdings.recovery.close(logs, now) {
            self.recover(now, key);
            self.answer_late(now, key);
            self.report(HubEvent::Restored { room: key.clone() });
        }
    }

    fn recover(&mut self, now: Time, key: &RoomKey) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        let (logs, holdings) = room.logs_and_holdings();
        let decree = holdings.recover(&logs[0], &mut self.grantor, now);
        self.proclaim(now, key, decree);
    }

    fn answer_late(&mut self, now: Time, key: &RoomKey) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        let (logs, holdings) = room.logs_and_holdings();
        let late = holdings.late_claims(&logs[0]);
        for claim in late {
            let Some(room) = self.rooms.get_mut(key) else {
                return;
            };
            let (logs, holdings) = room.logs_and_holdings();
            let config = (None, &self.config.ownership);
            let mut gate = Gate::new(holdings, config, (&self.grantor, now));
            gate.late(&logs[0], claim);
            let Passed { decided, gone, .. } = gate.end();
            let (decree, told) =
                holdings.carry_out(&logs[0], (decided, gone), &mut self.grantor, now);
            self.proclaim(now, key, decree);
            self.tell_denied(now, key, told);
        }
    }

    /// What those own who were not heard of for the grace is nobody's.
    fn lapse_overdue(&mut self, now: Time, key: &RoomKey) {
        let Some(room) = self.rooms.get(key) else {
            return;
        };
        let heard = |link| self.guests.get(&link).map(|guest| guest.heard);
        let overdue = room.holdings().overdue(heard, &self.config.ownership, now);
        for (peer, heard) in overdue {
            self.lapse(now, key, peer, Some(heard));
        }
    }

    /// What a peer owns is nobody's, or gone with it.
    fn lapse(&mut self, now: Time, key: &RoomKey, peer: PeerId, heard: Option<Time>) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        let (logs, holdings) = room.logs_and_holdings();
        let config = &self.config.ownership;
        let decree = holdings.lapse(&logs[0], (peer, heard), (&mut self.grantor, config));
        let last = holdings.forget(peer);
        self.proclaim(now, key, decree);
        if last && let Some(room) = self.rooms.get_mut(key) {
            let (logs, _) = room.logs_and_holdings();
            let decree = Holdings::close(&logs[0], &mut self.grantor);
            self.proclaim(now, key, decree);
        }
        self.serve_queue(now, key);
    }

    /// Grants what can be had now, and asks owners of what others wait for to let go.
    pub(in crate::proto::hub) fn serve_queue(&mut self, now: Time, key: &RoomKey) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        let heard = |link| self.guests.get(&link).map(|guest| guest.heard);
        let (logs, holdings) = room.logs_and_holdings();
        let config = &self.config.ownership;
        let ready = holdings.ready(&logs[0], (&self.grantor, config), heard, now);
        let (decree, _) = holdings.carry_out(&logs[0], (ready, Vec::new()), &mut self.grantor, now);
        let asks = holdings.queue.take_ask(now, config);
        let revoked = if asks { holdings.to_revoke(&logs[0]) } else { Vec::new() };
        self.proclaim(now, key, decree);
        for (link, model, token) in revoked {
            if let Some(model) = Line::new(model.as_str()) {
                self.say(link, &Message::Revoke { model, token });
            }
        }
    }

    /// Writes a decree and passes it on.
    pub(in crate::proto::hub) fn proclaim(&mut self, now: Time, key: &RoomKey, mut decree: Decree) {
        if let Some(room) = self.rooms.get_mut(key) {
            let folds = room.motion_mut().hand_over(decree.owners());
            decree.fold(folds);
        }
        if decree.is_empty() {
            return;
        }
        // A log that is being cut must not change.
        self.finish_cut(key, DocumentId::MODELS, now);
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        let (log, _, holdings, _) = room.gated(DocumentId::MODELS);
        let tokens = holdings.write(log, decree, &self.grantor);
        room.log_and_epochs(DocumentId::MODELS).1.wrote(now);
        self.forward(now, key, DocumentId::MODELS, None, &tokens);
    }

    /// Tells those whose claims are not granted.
    pub(in crate::proto::hub) fn tell_denied(&mut self, now: Time, key: &RoomKey, told: Told) {
        for (peer, denied) in told {
            let link = self.rooms.get(key).and_then(|room| room.link_of(peer));
            if let Some(link) = link {
                self.deny(now, link, DocumentId::MODELS, denied);
            }
        }
    }

    /// A peer came in: what it owned in another life is nobody's.
    pub(in crate::proto::hub) fn enter_ownership(
        &mut self,
        now: Time,
        key: &RoomKey,
        (peer, link, session): (PeerId, Link, Session),
    ) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        let heard = room
            .holdings()
            .last_heard(peer)
            .filter(|_| room.holdings().other_session(peer, session));
        let recovers = room.is_recovering();
        if let Some(heard) = heard.filter(|_| !recovers) {
            self.lapse(now, key, peer, Some(heard));
        }
        if let Some(room) = self.rooms.get_mut(key) {
            room.logs_and_holdings().1.enter(peer, session, link);
            if !room.is_restored() {
                self.recover(now, key);
            }
        }
    }

    /// A member's link is over.
    pub(in crate::proto::hub) fn part_ownership(
        &mut self,
        now: Time,
        key: &RoomKey,
        (guest, link): (&Guest, Link),
        reason: LeaveReason,
    ) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        let heard = guest.heard;
        room.logs_and_holdings().1.part(guest.peer, link, heard);
        if room.is_recovering() {
            return;
        }
        match reason {
            LeaveReason::Left => self.lapse(now, key, guest.peer, None),
            LeaveReason::Expelled | LeaveReason::Kicked => {
                self.lapse(now, key, guest.peer, Some(heard));
            }
            LeaveReason::Lost | LeaveReason::Replaced => {}
        }
    }

    /// A member brings back a room of which nothing is here.
    pub(in crate::proto::hub) fn begin_recovery(
        &mut self,
        now: Time,
        key: &RoomKey,
        heads: [Vec<Hash>; 2],
    ) {
        let until = now + self.config.ownership.grace;
        if let Some(room) = self.rooms.get_mut(key) {
            room.logs_and_holdings().1.recovery.begin(heads, until);
        }
    }

    /// Says that something of a member's is not let in.
    pub(in crate::proto::hub) fn deny(
        &mut self,
        now: Time,
        link: Link,
        document: DocumentId,
        denied: DeniedRecord,
    ) {
        let Some(guest) = self.guests.get_mut(&link) else {
            return;
        };
        if guest.minor == 0 {
            // It has no word for that.
            let relay = Version::CURRENT;
            let peer = Version { minor: 0, ..relay };
            self.refuse(link, Refusal::VersionMismatch { peer, relay }, now);
        } else if let Stage::Member { .. } = &guest.stage {
            let old = guest.minor < SERVICE_SINCE;
            let why = if old { denied.why.of_old() } else { denied.why };
            guest.deny(document, DeniedRecord { why, ..denied });
            self.pump_guest(link, now);
        }
    }
}
