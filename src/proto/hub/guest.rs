//! One link of a relay: how far it is, who is at its other end, and what is on its way there.

use super::admission::Pass;
use super::door::{Awaited, Knock};
use super::plugin::Writer;
use super::service::Desk;
use super::signals::Ear;
use super::unproven::Unproven;
use super::voice::allowance::Allowances;
use crate::proto::audio::stream::Hearing;
use crate::proto::bucket::Bucket;
use crate::proto::config::HubConfig;
use crate::proto::delta::Member;
use crate::proto::feed::Feed;
use crate::proto::id::{AppId, ClientNumber, DocumentId, Lane, PeerId, RoomKey};
use crate::proto::lane::{DocumentLane, Side};
use crate::proto::log::{ChangeLog, Index};
use crate::proto::ownership::Session;
use crate::proto::time::Time;
use crate::proto::wire::bounded::Blob;
use crate::proto::wire::message::{
    Actor, Denied, DeniedRecord, Hello, Introduction, Message, ResumedRecord,
};
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
    /// The peer is at the door, and waits.
    Waiting(Awaited, Box<Knock>),
    /// The peer asks, and is in no room.
    Visitor { app: AppId },
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
    pub(super) began: Time,
    /// When the peer was last heard.
    pub(super) heard: Time,
    pub(super) compare_at: Time,
    /// How long an answer takes to come back, by its own word.
    pub(super) round_trip: Duration,
    /// When the peer last asked for something that costs the relay much more than the question.
    asked: [Option<Time>; 4],
    /// How the peer hears signals, and gives them.
    pub(super) ear: Ear,
    /// What it asks and is told of rooms.
    pub(super) desk: Desk,
    /// Whom it wants to hear, once it has said so.
    pub(super) hearing: Option<Hearing>,
    /// How much is taken of what it says.
    pub(super) allowances: Allowances,
    /// What it may do.
    pub(super) pass: Pass,
    /// When what was taken of it is paid for, by what its token says.
    paid: Bucket,
}

impl Guest {
    pub(super) fn new(peer: PeerId, nonce: [u8; 16], config: &HubConfig, now: Time) -> Self {
        let limits = &config.limits;
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
            desk: Desk::new(&config.service, limits),
            hearing: None,
            allowances: Allowances::default(),
            pass: Pass::of_key(),
            paid: Bucket::new(now),
        }
    }

    /// Whether a frame of so many bytes is taken, by what the peer's token says.
    pub(super) fn takes(&mut self, bytes: usize, now: Time) -> bool {
        let Some(limit) = self.pass.bytes_per_second() else { return true };
        // A frame may cost more than a second, so that it is asked before.
        let takes = self.paid.owed(now) < Duration::from_secs(1);
        if takes {
            self.paid.pay(Bucket::price(bytes as u64, limit), now);
        }
        takes
    }

    /// It has another token: what it owes by the one before is forgotten, but for a second.
    pub(super) fn forgive(&mut self, now: Time) {
        self.paid.forgive(Duration::from_secs(1), now);
    }

    /// Its number in its room.
    pub(super) const fn client(&self) -> Option<ClientNumber> {
        match &self.stage {
            Stage::Greeting | Stage::Greeted(_) | Stage::Waiting(..) | Stage::Visitor { .. } => {
                None
            }
            Stage::Member { client, .. } => Some(*client),
        }
    }

    /// What it waits for at the door, if it does.
    pub(super) const fn awaits(&self) -> Option<Awaited> {
        match &self.stage {
            Stage::Waiting(awaited, _) => Some(*awaited),
            Stage::Greeting | Stage::Greeted(_) | Stage::Visitor { .. } | Stage::Member { .. } => {
                None
            }
        }
    }

    /// The room that it is in, or before which it waits.
    pub(super) fn room(&self) -> Option<&RoomKey> {
        match &self.stage {
            Stage::Greeting | Stage::Greeted(_) | Stage::Visitor { .. } => None,
            Stage::Waiting(_, knock) => Some(knock.room()),
            Stage::Member { room, .. } => Some(room),
        }
    }

    /// The room that it is in, and its number there.
    pub(super) fn place(&self) -> Option<(RoomKey, ClientNumber)> {
        match &self.stage {
            Stage::Greeting | Stage::Greeted(_) | Stage::Waiting(..) | Stage::Visitor { .. } => {
                None
            }
            Stage::Member { room, client } => Some((room.clone(), *client)),
        }
    }

    /// The peer as a plugin knows it, while it is in a room.
    pub(super) fn writer(&self) -> Option<Writer> {
        let client = self.client()?;
        Some(Writer { peer: self.peer, client, moderates: self.pass.moderates() })
    }

    /// Of which application the peer is, once it is let in.
    pub(super) const fn app(&self) -> Option<AppId> {
        match &self.stage {
            Stage::Greeting | Stage::Greeted(_) | Stage::Waiting(..) => None,
            Stage::Visitor { app } => Some(*app),
            Stage::Member { room, .. } => Some(room.0),
        }
    }

    /// Whether a question may be answered: each at most once in an interval that honest peers keep by
    /// themselves.
    pub(super) fn may_ask(&mut self, question: Question, now: Time, interval: Duration) -> bool {
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
    pub(super) fn follow(&mut self, document: DocumentId, member: Member, now: Time) {
        self.lane.end_cut(document, member, now);
        self.actors[document.place()] = Some(member.actor);
    }

    /// Which of its lives the peer is in.
    pub(super) fn session(&self) -> Session {
        let introduction = self.introductions[0];
        introduction.map_or(Session(0), |by| Session::of(by.incarnation))
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
        let stage = match &self.stage {
            Stage::Greeting | Stage::Greeted(_) => self.began + config.handshake,
            Stage::Waiting(_, knock) => knock.until(),
            Stage::Visitor { .. } => self.heard + config.service.visit,
            Stage::Member { .. } => self.compare_at.min(self.heard + config.silence),
        };
        let pieces =
            self.snapshots.iter().flatten().filter_map(|outgoing| outgoing.feed.deadline());
        let pieces = pieces.chain(self.lane.deadline()).chain(self.ear.deadline());
        pieces.chain(self.desk.deadline()).chain(self.pass.due()).chain([stage]).min()
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
