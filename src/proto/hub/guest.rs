//! What happens on one link of a relay: greeting, joining, and keeping in step.

use super::room::Room;
use super::signals::Ear;
use super::unproven::Unproven;
use super::{Hub, RoomKey};
use crate::proto::config::{HubConfig, Limits};
use crate::proto::delta::Member;
use crate::proto::event::{Effect, LeaveReason};
use crate::proto::feed::Feed;
use crate::proto::id::{AppId, ClientNumber, DocumentId, Lane, Link, PeerId};
use crate::proto::lane::{DocumentLane, Side, heads_message, lane_of, tag};
use crate::proto::log::{ChangeLog, Index};
use crate::proto::ownership::Session;
use crate::proto::reason::{Refusal, Version};
use crate::proto::time::Time;
use crate::proto::wire::bounded::Blob;
use crate::proto::wire::message::{
    Actor, Denied, DeniedRecord, Hello, Introduction, Message, ResumedRecord,
};
use crate::proto::wire::{self, DecodeError};
use std::time::Duration;

use bytes::Bytes;

/// A question whose answer is large.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Question {
    /// A join that was answered before.
    Welcome,
    /// The roster.
    Roster,
    /// What the heads of the models do not cover.
    Models,
    /// What the heads of the texts do not cover.
    Texts,
}

/// How far a link is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// The peer's hello is awaited.
    Greeting,
    /// The peer's join is awaited.
    Greeted(Hello),
    /// The peer is in a room.
    Member { room: RoomKey, client: ClientNumber },
}

/// A snapshot on its way to a member.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    /// What the member does not have of it.
    pub(super) bytes: Bytes,
    pub(super) feed: Feed<u32>,
}

/// One link.
#[derive(Clone, Debug)]
pub(super) struct Guest {
    pub(super) peer: PeerId,
    pub(super) stage: Stage,
    /// The minor version that the peer speaks.
    pub(super) minor: u16,
    /// As whom the peer writes, and with which actor, in each document's epoch.
    pub(super) introductions: [Option<Introduction>; 2],
    actors: [Option<Actor>; 2],
    pub(super) lane: DocumentLane,
    pub(super) snapshots: [Option<Outgoing>; 2],
    /// Bytes handed to the driver and not yet written, by lane.
    pub(super) outstanding: [usize; Lane::ALL.len()],
    pub(super) nonce: [u8; 16],
    pub(super) unproven: [Unproven; 2],
    /// What was answered to the join, to be said again.
    pub(super) welcome: Vec<Message>,
    pub(super) chunk: usize,
    pub(super) chunks_in_flight: usize,
    began: Time,
    heard: Time,
    pub(super) compare_at: Time,
    /// How long an answer takes to come back, by its own word.
    pub(super) round_trip: Duration,
    /// When the peer last asked for something that costs the relay much more than the question.
    asked: [Option<Time>; 4],
    /// How the peer hears signals, and gives them.
    pub(super) ear: Ear,
}

impl Guest {
    pub(super) fn new(peer: PeerId, nonce: [u8; 16], limits: &Limits, now: Time) -> Self {
        Self {
            peer,
            stage: Stage::Greeting,
            minor: 0,
            introductions: [None; 2],
            actors: [None; 2],
            lane: DocumentLane::new(limits, Side::Relay),
            snapshots: [None, None],
            outstanding: [0; Lane::ALL.len()],
            nonce,
            unproven: [Unproven::default(), Unproven::default()],
            welcome: Vec::new(),
            chunk: limits.chunk,
            chunks_in_flight: limits.chunks_in_flight,
            began: now,
            heard: now,
            compare_at: now,
            round_trip: Duration::ZERO,
            asked: [None; 4],
            ear: Ear::default(),
        }
    }

    /// Whether a question may be answered: each at most once in an interval that honest peers keep by
    /// themselves.
    fn may_ask(&mut self, question: Question, now: Time, interval: Duration) -> bool {
        let asked = &mut self.asked[question as usize];
        let may = asked.is_none_or(|asked| now >= asked + interval);
        if may {
            *asked = Some(now);
        }
        may
    }

    /// Says who the peer writes as, once it is known.
    pub(super) const fn set_member(&mut self, document: DocumentId, member: Member) {
        self.lane.set_member(document, member);
        self.introductions[document.place()] = Some(member.introduction);
        self.actors[document.place()] = Some(member.actor);
    }

    /// The peer has followed a cut.
    pub(super) const fn follow(&mut self, document: DocumentId, member: Member) {
        self.lane.end_cut(document, member);
        self.actors[document.place()] = Some(member.actor);
    }

    /// Which of its lives the peer is in.
    pub(super) fn session(&self) -> Session {
        let introduction = self.introductions[0];
        introduction.map_or(Session(0), |by| Session::of(by.incarnation))
    }

    /// When the peer was last heard.
    pub(super) const fn heard(&self) -> Time {
        self.heard
    }

    /// Something of the peer's is not let in.
    pub(super) fn deny(&mut self, document: DocumentId, denied: DeniedRecord) {
        if matches!(denied.what, Denied::Change { .. }) {
            // What waits of it follows that.
            self.unproven[document.place()] = Unproven::default();
        }
        self.lane.deny(document, denied);
    }

    /// The peer goes on as another incarnation of the same session, because a change was not let in.
    pub(super) fn on_resumed(&mut self, log: &ChangeLog, resumed: ResumedRecord) {
        let document = log.document();
        let Some(before) = self.introductions[document.place()] else {
            return;
        };
        let introduction = Introduction { incarnation: resumed.incarnation, ..before };
        let same = Session::of(introduction.incarnation) == Session::of(before.incarnation);
        let actor = log.scope().actor(&introduction);
        if same && self.lane.end_denial(document, Member { introduction, actor }) {
            self.set_member(document, Member { introduction, actor });
        }
    }

    /// Whether the change at a place in a log is one that the peer writes now.
    pub(super) fn is_own(&self, log: &ChangeLog, index: Index) -> bool {
        let actor = self.actors[log.document().0 as usize];
        log.entry(index).is_some_and(|entry| Some(entry.actor) == actor)
    }

    pub(super) fn written(&mut self, lane: Lane, bytes: usize) {
        let outstanding = &mut self.outstanding[lane as usize];
        *outstanding = outstanding.saturating_sub(bytes);
    }

    pub(super) fn deadline(&self, config: &HubConfig) -> Option<Time> {
        let stage = match self.stage {
            Stage::Greeting | Stage::Greeted(_) => self.began + config.handshake,
            Stage::Member { .. } => self.compare_at.min(self.heard + config.silence),
        };
        let pieces =
            self.snapshots.iter().flatten().filter_map(|outgoing| outgoing.feed.deadline());
        pieces.chain(self.lane.deadline()).chain(self.ear.deadline()).chain([stage]).min()
    }

    /// The next pieces of snapshots, as many as the lane takes.
    pub(super) fn pump_snapshots(&mut self, limit: usize, now: Time, messages: &mut Vec<Message>) {
        let mut outstanding = self.outstanding[Lane::Snapshot as usize];
        for document in DocumentId::ALL {
            let Some(outgoing) = &mut self.snapshots[document.place()] else {
                continue;
            };
            while outstanding < limit
                && let Some((_, index)) = outgoing.feed.take()
            {
                let start = (index as usize).saturating_mul(self.chunk).min(outgoing.bytes.len());
                let end = (start + self.chunk).min(outgoing.bytes.len());
                let bytes = Blob::new(outgoing.bytes.slice(start..end)).unwrap_or_default();
                outstanding += end - start;
                messages.push(Message::Piece { document, index, bytes });
            }
            outgoing.feed.arm(now, self.lane.patience());
        }
    }
}

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
            Message::Join(join) => self.on_join(now, link, &join),
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
                let models = document == DocumentId::MODELS;
                let question = if models { Question::Models } else { Question::Texts };
                if self.may_ask(link, question, now) {
                    self.with_log(link, document, |guest, room| {
                        let log = Some(room.log(document)).filter(|log| epoch == tag(log))?;
                        guest.lane.reconcile(log, &heads);
                        answer.then(|| heads_message(log, false))
                    });
                    self.pump_guest(link, now);
                }
            }
            Message::State(packet) => self.on_state(now, link, packet, false),
            Message::StateWhole(packet) => self.on_state(now, link, packet, true),
            Message::StateInterest(interest) => self.on_interest(link, interest),
            Message::Signal(signal) => self.on_signal(now, link, signal),
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
            Stage::Greeting | Stage::Greeted(_) => None,
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
                Stage::Greeting | Stage::Greeted(_) => None,
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

    pub(super) fn tick_guest(&mut self, link: Link, now: Time) {
        let Some(guest) = self.guests.get_mut(&link) else {
            return;
        };
        match guest.stage {
            Stage::Greeting | Stage::Greeted(_) => {
                if now >= guest.began + self.config.handshake {
                    self.refuse(link, Refusal::HandshakeTimeout, now);
                }
                return;
            }
            Stage::Member { .. } => {}
        }
        if now >= guest.heard + self.config.silence {
            self.refuse(link, Refusal::Idle, now);
            return;
        }
        guest.lane.tick(now);
        guest.ear.tick(now);
        for outgoing in guest.snapshots.iter_mut().flatten() {
            outgoing.feed.tick(now);
        }
        if now >= guest.compare_at {
            guest.compare_at = now + self.config.compare_interval;
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
