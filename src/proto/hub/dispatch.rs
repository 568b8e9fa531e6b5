//! What comes on a link of a relay, and when something is due on it.

use std::time::Duration;

use bytes::Bytes;

use super::Hub;
use super::door::Awaited;
use super::guest::{Guest, Question, Stage};
use super::room::Room;
use crate::proto::event::{Effect, LeaveReason};
use crate::proto::id::{AppId, DocumentId, Lane, Link};
use crate::proto::lane::{DocumentLane, heads_message, lane_of, tag};
use crate::proto::reason::{Refusal, Version};
use crate::proto::time::Time;
use crate::proto::wire::message::{Enter, Hash, Hello, Message};
use crate::proto::wire::{self, DecodeError};

impl Hub {
    pub(super) fn greet(&mut self, link: Link, _: Time) {
        let Some(nonce) = self.guests.get(&link).map(|guest| guest.nonce) else {
            return;
        };
        let nobody = AppId([0; 8]);
        let hello = Hello { version: Version::CURRENT, nonce, app: nobody, schema: [0; 8] };
        self.say(link, &Message::Hello(hello));
    }

    pub(super) fn on_frame(&mut self, now: Time, link: Link, lane: Lane, frame: &Bytes) {
        let Some(guest) = self.guests.get_mut(&link) else {
            return;
        };
        guest.heard = now;
        if !guest.takes(frame.len(), now) {
            // As if it were lost: it comes again.
            return;
        }
        match wire::decode(frame, self.config.limits.frame) {
            Ok(message) if lane_of(&message) == lane => {
                self.on_message(now, link, message);
                self.check_outbox(now, link);
            }
            Err(DecodeError::TooLarge { limit, size }) => {
                let refusal = Refusal::TooLarge { limit: limit as u64, size: size as u64 };
                self.refuse(link, refusal, now);
            }
            Err(DecodeError::Version { major }) => {
                let peer = Version { major: u16::from(major), minor: 0 };
                let relay = Version::CURRENT;
                self.refuse(link, Refusal::VersionMismatch { peer, relay }, now);
            }
            Ok(_) | Err(DecodeError::Malformed | DecodeError::Trailing { .. }) => {
                self.refuse(link, Refusal::BadMessage, now);
            }
        }
    }

    fn on_message(&mut self, now: Time, link: Link, message: Message) {
        match message {
            Message::Hello(hello) => self.on_hello(now, link, hello),
            Message::Join(join) => self.on_enter(now, link, &Enter::from(join)),
            Message::Enter(enter) => self.on_enter(now, link, &enter),
            Message::Service(service) => self.on_service(now, link, service),
            Message::Leave => {
                self.part(link, LeaveReason::Left, now);
                self.effects.push_back(Effect::Disconnect { link });
            }
            Message::Ping { sent, round_trip } => self.on_ping(now, link, sent, round_trip),
            Message::RosterWanted => self.on_roster_wanted(now, link),
            Message::Deltas { document, position, records } => {
                self.on_records(now, link, document, (position, &records), false);
            }
            Message::Bundle { document, position, records } => {
                self.on_records(now, link, document, (position, &records), true);
            }
            Message::InFull { document, received } => {
                self.with_lane(now, link, document, |lane| {
                    lane.say_in_full(document, received, now);
                });
            }
            Message::Acknowledge { document, received, gap } => {
                self.with_lane(now, link, document, |lane| {
                    lane.acknowledge(document, received, gap, now);
                });
            }
            Message::AcknowledgePieces { document, received, gap } => {
                self.on_pieces(now, link, document, (received, gap));
            }
            Message::Compare { document, epoch, sent, digest, .. } => {
                self.on_compare(now, link, (document, epoch), (sent, digest));
            }
            Message::HeadsAre { document, epoch, heads, answer } => {
                self.on_heads(now, link, (document, epoch), (&heads, answer));
            }
            Message::State(packet) => self.on_state(now, link, packet, false),
            Message::StateWhole(packet) => self.on_state(now, link, packet, true),
            Message::StateInterest(interest) => self.on_interest(link, interest),
            Message::Signal(signal) => self.on_signal(now, link, signal),
            Message::Cast(cast) => self.on_cast(now, link, cast),
            Message::Changes { .. }
            | Message::Welcome(_)
            | Message::Refused(_)
            | Message::Joined { .. }
            | Message::Left { .. }
            | Message::Roster { .. }
            | Message::Pong { .. }
            | Message::Piece { .. }
            | Message::Beat { .. }
            | Message::Revoke { .. }
            | Message::StateYield { .. } => self.refuse(link, Refusal::BadMessage, now),
        }
    }

    fn on_compare(
        &mut self,
        now: Time,
        link: Link,
        (document, epoch): (DocumentId, [u8; 4]),
        (sent, digest): (u64, [u8; 8]),
    ) {
        self.with_log(link, document, |guest, room| {
            let log = room.log(document);
            (epoch == tag(log)).then(|| guest.lane.compare(log, sent, digest, now))?
        });
        self.pump_guest(link, now);
    }

    fn on_heads(
        &mut self,
        now: Time,
        link: Link,
        (document, epoch): (DocumentId, [u8; 4]),
        (heads, answer): (&[Hash], bool),
    ) {
        let models = document == DocumentId::MODELS;
        let question = if models { Question::Models } else { Question::Texts };
        if self.may_ask(link, question, now) {
            self.with_log(link, document, |guest, room| {
                let log = Some(room.log(document)).filter(|log| epoch == tag(log))?;
                guest.lane.reconcile(log, heads);
                answer.then(|| heads_message(log, false))
            });
            self.pump_guest(link, now);
        }
    }

    fn on_roster_wanted(&mut self, now: Time, link: Link) {
        if self.may_ask(link, Question::Roster, now) {
            let roster = self.room_of(link).map(|(_, room)| room.roster());
            roster.unwrap_or_default().iter().for_each(|page| self.say(link, page));
        }
    }

    fn on_ping(&mut self, now: Time, link: Link, sent: u64, round_trip: u32) {
        if self.room_of(link).is_none() {
            return;
        }
        let room_time = self.room_time(now);
        let lease_ms = u32::try_from(self.config.ownership.lease.as_millis()).unwrap_or(u32::MAX);
        let boot = self.grantor.boot;
        let minor = self.guests.get(&link).map_or(0, |guest| guest.minor);
        let granted = self.room_of(link).map(|(_, room)| room.log(DocumentId::MODELS));
        let granted = granted.map_or(0, |log| log.newest_grant().0);
        self.say(
            link,
            &match minor {
                0 => Message::Pong { sent, room_time },
                _ => Message::Beat { sent, room_time, boot, lease_ms, granted },
            },
        );
        if let Some(guest) = self.guests.get_mut(&link) {
            // A peer's own word: it can only make the relay more patient with itself.
            let round_trip =
                Duration::from_micros(u64::from(round_trip)).min(self.config.round_trip);
            guest.lane.set_round_trip(round_trip);
            guest.round_trip = round_trip;
        }
    }

    /// Whether a question of a guest may be answered now.
    pub(super) fn may_ask(&mut self, link: Link, question: Question, now: Time) -> bool {
        let interval = self.config.question_interval;
        self.guests.get_mut(&link).is_some_and(|guest| guest.may_ask(question, now, interval))
    }

    fn room_of(&self, link: Link) -> Option<(&Guest, &Room)> {
        let guest = self.guests.get(&link)?;
        match &guest.stage {
            Stage::Member { room, .. } => Some((guest, self.rooms.get(room)?)),
            Stage::Greeting | Stage::Greeted(_) | Stage::Waiting(..) | Stage::Visitor { .. } => {
                None
            }
        }
    }

    /// Answers a member about one of its room's documents.
    fn with_log(
        &mut self,
        link: Link,
        document: DocumentId,
        answer: impl FnOnce(&mut Guest, &Room) -> Option<Message>,
    ) {
        let message = match self.guests.get_mut(&link) {
            Some(guest) if is_known(document) => match &guest.stage {
                Stage::Member { room, .. } => {
                    self.rooms.get(room).and_then(|room| answer(guest, room))
                }
                Stage::Greeting
                | Stage::Greeted(_)
                | Stage::Waiting(..)
                | Stage::Visitor { .. } => None,
            },
            _ => None,
        };
        if let Some(message) = message {
            self.say(link, &message);
        }
    }

    /// Tells a link's lane how far its peer has come.
    fn with_lane(
        &mut self,
        now: Time,
        link: Link,
        document: DocumentId,
        tell: impl FnOnce(&mut DocumentLane),
    ) {
        if let Some(guest) = self.guests.get_mut(&link).filter(|_| is_known(document)) {
            tell(&mut guest.lane);
        }
        self.pump_guest(link, now);
    }

    fn on_pieces(
        &mut self,
        now: Time,
        link: Link,
        document: DocumentId,
        (received, gap): (u32, bool),
    ) {
        let Some(guest) = self.guests.get_mut(&link).filter(|_| is_known(document)) else {
            return;
        };
        let patience = guest.lane.patience();
        let slot = &mut guest.snapshots[document.place()];
        if let Some(outgoing) = slot {
            let whole = received == u32::MAX;
            let arrived = if whole { outgoing.feed.end() } else { u64::from(received) };
            outgoing.feed.acknowledge(arrived, gap, now, patience);
            if outgoing.feed.is_idle() {
                *slot = None;
            }
        }
        self.pump_guest(link, now);
    }

    /// Whether a guest may stay, and closes its streams if it may not speak any more.
    fn check_rights(&mut self, now: Time, link: Link) -> bool {
        let stays = self.check_pass(now, link);
        if stays {
            self.check_voice(now, link);
        }
        stays
    }

    pub(super) fn tick_guest(&mut self, link: Link, now: Time) {
        let Some(guest) = self.guests.get_mut(&link) else {
            return;
        };
        if guest.pass.due().is_some_and(|due| due <= now) && !self.check_rights(now, link) {
            return;
        }
        let Some(guest) = self.guests.get_mut(&link) else {
            return;
        };
        match &guest.stage {
            Stage::Greeting | Stage::Greeted(_) => {
                if now >= guest.began + self.config.handshake {
                    self.refuse(link, Refusal::HandshakeTimeout, now);
                }
                return;
            }
            Stage::Waiting(awaited, knock) => {
                if now >= knock.until() {
                    let refusal = match awaited {
                        Awaited::Verdict => Refusal::Unanswered,
                        Awaited::Room => Refusal::HandshakeTimeout,
                    };
                    self.refuse(link, refusal, now);
                }
                return;
            }
            Stage::Visitor { .. } => {
                let over = now >= guest.heard + self.config.service.visit;
                guest.desk.tick(now);
                if over {
                    self.refuse(link, Refusal::Idle, now);
                }
                self.pump_service(link, now);
                return;
            }
            Stage::Member { .. } => {}
        }
        if now >= guest.heard + self.config.silence {
            self.refuse(link, Refusal::Idle, now);
            return;
        }
        guest.desk.tick(now);
        guest.lane.tick(now);
        guest.ear.tick(now);
        for outgoing in guest.snapshots.iter_mut().flatten() {
            outgoing.feed.tick(now);
        }
        if now >= guest.compare_at {
            guest.compare_at = now + self.config.compare_interval;
            if !self.check_pass(now, link) {
                return;
            }
            for document in DocumentId::ALL {
                self.with_log(link, document, |guest, room| {
                    Some(guest.lane.comparison(room.log(document), room.revision()))
                });
            }
        }
        self.pump_guest(link, now);
    }
}

pub(super) fn is_known(document: DocumentId) -> bool {
    DocumentId::ALL.contains(&document)
}
