//! What a peer does on an open link: greet, join, load, and keep in step.

use bytes::Bytes;
use rand_core::Rng;

use super::Peer;
use super::connection::{Connection, Incoming, Stage};
use super::ownership::Lease;
use crate::proto::delta::Member;
use crate::proto::event::{Effect, Event, State};
use crate::proto::id::{DocumentId, Lane, Link, PeerId};
use crate::proto::lane::{DocumentLane, heads_message, lane_of};
use crate::proto::ownership::Fence;
use crate::proto::proof::{self, Side};
use crate::proto::reason::{Reason, Refusal, Version};
use crate::proto::statistics::Direction;
use crate::proto::time::Time;
use crate::proto::wire::bounded::{Blob, Line, List};
use crate::proto::wire::message::{Enter, Hello, Join, Known, MemberRecord, Message, Welcome};
use crate::proto::wire::{self, DecodeError};

/// How many pings there are before the clocks agree.
const FIRST_PING_COUNT: usize = 32;
/// The most pages of a roster: of 256 members each, far more than a room has.
const MAX_PAGES: u16 = 64;

impl Peer {
    pub(super) fn on_connected(&mut self, now: Time, link: Link, relay: PeerId) {
        if !self.online || self.connection.is_some() {
            self.effects.push_back(Effect::Disconnect { link });
            return;
        }
        if self.relay.replace(relay).is_some_and(|before| before != relay) {
            self.clock.forget();
        }
        self.lease = Lease::default();
        self.store.set_authority(relay);
        self.backoff.stop();
        let mut nonce = [0; 16];
        self.rng.fill_bytes(&mut nonce);
        let mut connection = Connection::new(link, relay, nonce, &self.config.limits, now);
        for document in DocumentId::ALL {
            let actor = self.store.log(document).scope().actor(&self.author);
            connection.lane.set_member(document, Member { introduction: self.author, actor });
        }
        self.connection = Some(connection);
        self.motion.begin();
        if matches!(self.state, State::Connecting) {
            self.enter(State::Joining);
        }
        self.store.flush();
        for document in DocumentId::ALL {
            // Written while nobody listened: the relay's heads will tell what it lacks.
            self.store.take_written(document);
        }
        self.sign(now);
        self.greet(now);
    }

    fn greet(&mut self, now: Time) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        connection.repeat_at = now + self.config.handshake_retry;
        let hello = Message::Hello(Hello {
            version: Version::CURRENT,
            nonce: connection.nonce,
            app: self.app_key.app(),
            schema: self.schema,
        });
        self.say(&hello, now);
    }

    pub(super) fn on_frame(&mut self, now: Time, lane: Lane, frame: &Bytes) {
        self.meter.count(lane, Direction::Received, frame.len(), now);
        if let Some(connection) = &mut self.connection {
            connection.heard = now;
        }
        match wire::decode(frame, self.config.limits.frame.max(self.config.limits.chunk + 512)) {
            Ok(message) if lane_of(&message) == lane => self.on_message(now, message),
            Ok(_) => self.fault("a message on another message's lane"),
            Err(DecodeError::Version { major }) => {
                let (peer, relay) =
                    (Version::CURRENT, Version { major: u16::from(major), minor: 0 });
                self.retry(Reason::Refused(Refusal::VersionMismatch { peer, relay }), now);
            }
            Err(error) => self.fault(&error.to_string()),
        }
    }

    fn on_message(&mut self, now: Time, message: Message) {
        match message {
            Message::Hello(hello) => self.on_hello(now, hello),
            Message::Welcome(welcome) => self.on_welcome(now, welcome),
            Message::Refused(refusal) => self.retry(Reason::Refused(refusal), now),
            Message::Joined { revision, member } => {
                let event = self.roster.join(revision, member);
                self.on_roster(now, revision, event);
            }
            Message::Left { revision, client, reason } => {
                let event = self.roster.leave(revision, client, reason);
                self.on_roster(now, revision, event);
            }
            Message::Roster { revision, page, pages, members } => {
                self.on_roster_page(now, revision, (page, pages), members.into_vec());
            }
            Message::Pong { sent, room_time } => self.on_pong(now, sent, room_time),
            Message::Beat { sent, room_time, boot, lease_ms, granted } => {
                self.on_beat(now, (sent, room_time), (boot, lease_ms, Fence(granted)));
            }
            Message::Revoke { model, token } => self.on_revoke(now, &model, token),
            Message::State(packet) => self.on_state(packet, false),
            Message::StateWhole(packet) => self.on_state(packet, true),
            Message::StateYield { received, names } => self.on_yield(received, &names),
            Message::Signal(signal) => self.on_signal(now, signal),
            Message::Service(service) => self.on_service(now, service),
            Message::Cast(cast) => self.on_cast(cast),
            Message::Deltas { document, position, records } => {
                self.on_records(now, document, (position, &records), false);
            }
            Message::Bundle { document, position, records } => {
                self.on_records(now, document, (position, &records), true);
            }
            Message::InFull { document, received } => {
                self.with_lane(document, |lane| lane.say_in_full(document, received, now));
            }
            Message::Acknowledge { document, received, gap } => {
                self.with_lane(document, |lane| lane.acknowledge(document, received, gap, now));
            }
            Message::Piece { document, index, bytes } => {
                self.on_piece(now, document, index, &bytes);
            }
            Message::Compare { document, epoch, sent, digest, roster } => {
                self.on_compare(now, (document, epoch), (sent, digest), roster);
            }
            Message::HeadsAre { document, epoch, heads, answer } => {
                self.on_heads(now, (document, epoch), &heads, answer);
            }
            Message::Changes { .. }
            | Message::Join(_)
            | Message::Enter(_)
            | Message::Leave
            | Message::RosterWanted
            | Message::Ping { .. }
            | Message::AcknowledgePieces { .. }
            | Message::StateInterest(_) => {
                self.fault("a message that no relay sends");
            }
        }
    }

    pub(super) fn on_pong(&mut self, now: Time, sent: u64, room_time: u64) {
        self.clock.answer(Time::from_micros(sent), room_time, now);
        if let Some(connection) = &mut self.connection {
            connection.lane.set_round_trip(self.clock.round_trip());
        }
    }

    fn with_lane(&mut self, document: DocumentId, tell: impl FnOnce(&mut DocumentLane)) {
        if let Some(open) = self.known_document(document) {
            tell(&mut open.lane);
        }
    }

    pub(super) fn known_document(&mut self, document: DocumentId) -> Option<&mut Connection> {
        let known = DocumentId::ALL.contains(&document);
        self.connection.as_mut().filter(|open| known && open.is_in())
    }

    fn on_hello(&mut self, now: Time, hello: Hello) {
        let (peer, relay) = (Version::CURRENT, hello.version);
        if relay.major != peer.major {
            self.retry(Reason::Refused(Refusal::VersionMismatch { peer, relay }), now);
            return;
        }
        let Some(connection) =
            self.connection.as_mut().filter(|open| open.stage == Stage::Greeting)
        else {
            return;
        };
        let nonces = (&connection.nonce, &hello.nonce);
        let proof = proof::prove(
            &self.app_key,
            Side::Peer,
            (self.author.peer, connection.relay),
            nonces,
            self.room.as_str(),
        );
        let known = DocumentId::ALL.map(|document| {
            let log = self.store.log(document);
            Known {
                document,
                epoch: log.scope().epoch(),
                lineage: self.lineage,
                incarnation: self.store.wrote_as(document),
                afresh: self.estranged[document.place()],
                heads: List::of(log.heads()),
                partial: self.begun[document.place()].as_ref().map(Incoming::partial),
            }
        });
        let join = Join {
            room: Line::new(self.room.as_str()).unwrap_or_default(),
            proof,
            metadata: Blob::new(self.metadata.clone()).unwrap_or_default(),
            incarnation: self.author.incarnation,
            known: List::of(known),
        };
        let join = match self.entering(join, &hello) {
            Ok(join) => join,
            Err(refusal) => return self.retry(Reason::Refused(refusal), now),
        };
        let Some(connection) = &mut self.connection else { return };
        connection.theirs = Some(hello);
        connection.stage = Stage::Asking;
        connection.repeat_at = now + self.config.handshake_retry;
        connection.join = Some(join.clone());
        self.say(&join, now);
    }

    fn on_welcome(&mut self, now: Time, welcome: Welcome) {
        let Some(open) = self.connection.as_mut().filter(|open| open.stage == Stage::Asking) else {
            return;
        };
        let nonce = open.theirs.as_ref().map(|hello| hello.nonce).unwrap_or_default();
        let (pair, nonces) = ((self.author.peer, open.relay), (&open.nonce, &nonce));
        let room = self.room.as_str();
        if !proof::proves(&self.app_key, Side::Relay, pair, nonces, room, &welcome.proof) {
            self.fault("it does not know the app key");
            return;
        }
        open.stage = Stage::Loading;
        let known = match open.join.take() {
            Some(Message::Join(join) | Message::Enter(Enter { join, .. })) => join.known.into_vec(),
            _ => Vec::new(),
        };
        (open.ping_at, open.compare_at) = (now, now + self.config.compare_interval);
        self.client = Some(welcome.client);
        let told = self.tells_of_rooms();
        self.service.begin(&self.config.limits, told);
        self.begin_voice(now);
        let documents = DocumentId::ALL.map(|document| self.store.log(document));
        self.keeping.begin(documents.iter().any(|log| !log.is_empty()));
        self.backoff.succeed();
        if self.store.log(DocumentId::MODELS).is_empty()
            && self.store.log(DocumentId::TEXTS).is_empty()
        {
            self.store.begin_quiet();
        }
        self.clock.guess(welcome.room_time, now);
        let before = self.lineage;
        let offers = welcome.documents.into_vec();
        for offer in &offers {
            // Before anything else, which may make this peer another incarnation.
            let known = known.iter().find(|known| known.document == offer.document);
            if let (Some(known), Some(included)) = (known, offer.included) {
                self.store.confirm_included(known.document, known.incarnation, included);
            }
        }
        for offer in offers {
            self.on_offer(now, &offer, before);
            self.lineage = offer.lineage;
        }
        self.finish_loading(now);
    }

    /// Goes on once every document is here, and tells the application once all that is told of the room
    /// is here too.
    pub(super) fn finish_loading(&mut self, now: Time) {
        let loaded = self.connection.as_ref().is_some_and(Connection::is_loaded);
        if let Some(open) =
            self.connection.as_mut().filter(|open| loaded && open.stage == Stage::Loading)
        {
            open.stage = Stage::Ready;
            self.flush(now);
            self.store.bring();
            self.signals.look();
            self.drive(now);
            self.store.set_online(true);
        }
        let ready = self.connection.as_ref().is_some_and(|open| open.stage == Stage::Ready);
        if ready && self.is_introduced() && self.state != State::Ready {
            self.store.end_quiet();
            self.enter(State::Ready);
            self.tell(Event::Ready);
        }
    }

    fn on_roster_page(
        &mut self,
        now: Time,
        revision: u32,
        place: (u16, u16),
        members: Vec<MemberRecord>,
    ) {
        if place.1 > MAX_PAGES {
            self.fault("an endless roster");
            return;
        }
        let events = self.roster.page(revision, place, members);
        for event in events {
            self.acquaint(&event, now);
            self.tell(event);
        }
        self.tidy_presences();
    }

    fn on_roster(&mut self, now: Time, revision: u32, event: Option<Event>) {
        match event {
            Some(event) => {
                self.acquaint(&event, now);
                self.tell(event);
                self.tidy_presences();
            }
            None => self.want_roster(now, revision),
        }
    }

    fn want_roster(&mut self, now: Time, revision: u32) {
        if revision == self.roster.revision() {
            return;
        }
        let patience = self.config.handshake_retry;
        let Some(open) = self.connection.as_mut().filter(|open| open.is_in()) else {
            return;
        };
        if open.roster_asked.is_none_or(|asked| now >= asked + patience) {
            open.roster_asked = Some(now);
            self.say(&Message::RosterWanted, now);
        }
    }

    fn on_compare(
        &mut self,
        now: Time,
        (document, epoch): (DocumentId, [u8; 4]),
        (sent, digest): (u64, [u8; 8]),
        roster: u32,
    ) {
        let log_is_known = DocumentId::ALL.contains(&document) && self.is_in_epoch(document, epoch);
        let Some(open) =
            self.connection.as_mut().filter(|open| log_is_known && open.stage == Stage::Ready)
        else {
            return;
        };
        let answer = open.lane.compare(self.store.log(document), sent, digest, now);
        if let Some(message) = answer {
            self.say(&message, now);
        }
        self.want_roster(now, roster);
    }

    fn on_heads(
        &mut self,
        now: Time,
        (document, epoch): (DocumentId, [u8; 4]),
        heads: &[[u8; 32]],
        answer: bool,
    ) {
        let log_is_known = DocumentId::ALL.contains(&document) && self.is_in_epoch(document, epoch);
        let Some(open) =
            self.connection.as_mut().filter(|open| log_is_known && open.stage == Stage::Ready)
        else {
            return;
        };
        open.lane.reconcile(self.store.log(document), heads);
        if answer {
            let message = heads_message(self.store.log(document), false);
            self.say(&message, now);
        }
    }

    pub(super) fn tick_connection(&mut self, now: Time) {
        let Some(open) = &mut self.connection else {
            return;
        };
        let silence = now - open.heard;
        if silence >= self.config.silence {
            self.retry(Reason::Silent { silence }, now);
            return;
        }
        match open.stage {
            Stage::Greeting | Stage::Asking => self.tick_handshake(now),
            Stage::Loading | Stage::Ready => self.tick_room(now),
        }
    }

    fn tick_handshake(&mut self, now: Time) {
        let Some(open) = &mut self.connection else {
            return;
        };
        let waited = now - open.began;
        if waited >= self.config.join_timeout {
            self.retry(Reason::JoinTimeout { waited }, now);
        } else if now >= open.repeat_at {
            open.repeat_at = now + self.config.handshake_retry;
            match open.join.clone() {
                // Whichever of the two was lost.
                Some(join) => {
                    self.greet(now);
                    self.say(&join, now);
                }
                None => self.greet(now),
            }
        }
    }

    fn tick_room(&mut self, now: Time) {
        let Some(open) = &mut self.connection else {
            return;
        };
        open.lane.tick(now);
        if now >= open.ping_at {
            let settled = self.clock.samples() >= FIRST_PING_COUNT;
            let wait = if settled { self.config.ping_interval } else { self.config.first_pings };
            open.ping_at = now + wait;
            let round_trip = u32::try_from(self.clock.round_trip().as_micros()).unwrap_or(u32::MAX);
            self.say(&Message::Ping { sent: now.as_micros(), round_trip }, now);
        }
        let Some(open) = self.connection.as_mut().filter(|open| now >= open.compare_at) else {
            return;
        };
        open.compare_at = now + self.config.compare_interval;
        let comparisons =
            DocumentId::ALL.map(|document| open.lane.comparison(self.store.log(document), 0));
        self.sign(now);
        for comparison in comparisons {
            self.say(&comparison, now);
        }
        DocumentId::ALL.into_iter().for_each(|document| self.look_for_stuck(now, document));
    }

    /// The relay broke the protocol: nothing good can come of another try.
    pub(super) fn fault(&mut self, what: &str) {
        tracing::warn!(room = %self.room, what, "relay fault");
        self.close(Reason::RelayFault { what: what.to_owned() });
    }
}
