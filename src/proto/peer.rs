//! A peer's side of a room: its datastore, its link to the relay, who else is there and what time it
//! is. A state machine: what happens outside is handed in, what to do outside is taken out, and time
//! is an argument.

mod authorship;
mod backoff;
mod connection;
mod direct;
mod documents;
mod image;
mod join;
mod keeping;
mod motion;
mod ownership;
mod roster;
mod service;
mod setup;
mod signals;
mod voice;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use self::backoff::Backoff;
use self::connection::{Connection, Incoming, Stage};
use self::direct::Direct;
use self::image::Diary;
use self::keeping::Keeping;
use self::motion::Motion;
use self::ownership::Lease;
use self::roster::Roster;
use self::service::Service;
pub use self::setup::Setup;
use self::signals::Signals;
use self::voice::Voice;
use crate::proto::authorship::Scope;
use crate::proto::clock::RoomClock;
use crate::proto::config::PeerConfig;
use crate::proto::datastore::Datastore;
use crate::proto::delta::Token;
use crate::proto::event::{self, Effect, Event, Input, LeaveReason, Member, State};
use crate::proto::id::{
    AppKey, ClientNumber, DocumentId, EpochId, Identity, Lane, PeerId, RoomName,
};
use crate::proto::lane::lane_of;
use crate::proto::ownership::Session;
use crate::proto::reason::{Class, Reason, Refusal};
use crate::proto::statistics::{Direction, Meter, Statistics};
use crate::proto::time::Time;
use crate::proto::wire;
use crate::proto::wire::message::{Introduction, Lineage, Message};

/// A peer in a room.
#[derive(Debug)]
pub struct Peer {
    identity: Identity,
    app_key: AppKey,
    room: RoomName,
    metadata: Bytes,
    author: Introduction,
    schema: [u8; 8],
    config: PeerConfig,
    rng: ChaCha12Rng,
    store: Datastore,
    state: State,
    online: bool,
    client: Option<ClientNumber>,
    relay: Option<PeerId>,
    connection: Option<Connection>,
    /// What has come of snapshots whose link broke: the next one goes on from there.
    begun: [Option<Incoming>; 2],
    backoff: Backoff,
    clock: RoomClock,
    roster: Roster,
    meter: Meter,
    frame_at: Time,
    /// Of which lineage the room's documents are; zeros before it was ever in one.
    lineage: Lineage,
    /// Documents whose epoch began with something else than the relay's.
    estranged: [bool; 2],
    /// Epochs that are over, oldest first.
    left: [VecDeque<EpochId>; 2],
    /// Epochs that are gone back to, by another incarnation.
    returning: [Option<EpochId>; 2],
    lease: Lease,
    motion: Box<Motion>,
    signals: Box<Signals>,
    service: Box<Service>,
    voice: Box<Voice>,
    keeping: Keeping,
    diary: Diary,
    direct: Box<Direct>,
    effects: VecDeque<Effect>,
    events: VecDeque<Event>,
}

impl Peer {
    /// A peer that is offline: its room can be read and edited, and joined later without losing
    /// either side.
    #[must_use]
    pub fn new(setup: Setup, config: PeerConfig, seed: [u8; 32]) -> Self {
        let Setup { identity, app_key, room, mut metadata, incarnation, shape, entrance } = setup;
        metadata.truncate(config.limits.metadata);
        let incarnation = Session(incarnation).first();
        let author = Introduction { peer: identity.peer(), incarnation };
        let scope = Scope::first(app_key.app(), room.clone());
        let schema = shape.digest();
        let limits = config.limits.clone();
        let service = Box::new(Service::new(entrance, &limits));
        let store = Datastore::new(&scope, author, shape, limits, config.event_capacity);
        Self {
            identity,
            app_key,
            room,
            metadata,
            author,
            schema,
            backoff: Backoff::default(),
            config,
            rng: ChaCha12Rng::from_seed(seed),
            store,
            state: State::Offline,
            online: false,
            client: None,
            relay: None,
            connection: None,
            begun: [None, None],
            clock: RoomClock::default(),
            roster: Roster::default(),
            meter: Meter::default(),
            frame_at: Time::ZERO,
            lineage: Lineage::default(),
            estranged: [false; 2],
            left: [VecDeque::new(), VecDeque::new()],
            returning: [None; 2],
            lease: Lease::default(),
            motion: Box::default(),
            signals: Box::default(),
            service,
            voice: Box::default(),
            keeping: Keeping::default(),
            diary: Diary::default(),
            direct: Box::default(),
            effects: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Goes online: dials the relay, and again whenever the link is lost, until [`Self::leave`] or a
    /// reason not to.
    pub fn connect(&mut self, now: Time) {
        if self.online {
            return;
        }
        self.online = true;
        self.forget_signals();
        self.backoff = Backoff::default();
        self.enter(State::Connecting);
        self.backoff.start(now);
        self.drive(now);
    }

    /// Leaves the room. What was edited is sent first, as far as the link takes it at once
    /// ([`Limits::outbox`](crate::proto::config::Limits::outbox)): see [`Self::is_settled`]. A signal
    /// that the relay does not have by then may not be heard. The datastore stays.
    pub fn leave(&mut self, now: Time) {
        if !self.online {
            return;
        }
        self.fold_all(now);
        self.flush(now);
        self.sign(now);
        self.pump(now);
        self.say(&Message::Leave, now);
        // Who says goodbye owns nothing any more, whoever hears it.
        self.lease = Lease::default();
        self.close(Reason::Left);
    }

    /// Something happened outside.
    pub fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Connected { link, peer } => self.on_connected(now, link, peer),
            Input::Unreachable { why } => {
                if self.connection.is_none() && self.backoff.is_dialling() {
                    self.retry(Reason::Unreachable { why }, now);
                }
            }
            Input::Disconnected { link } => {
                if self.connection.as_ref().is_some_and(|connection| connection.link == link) {
                    self.retry(Reason::Lost, now);
                }
            }
            Input::Received { link, lane, frame } => {
                if self.connection.as_ref().is_some_and(|connection| connection.link == link) {
                    self.on_frame(now, lane, &frame);
                }
            }
            Input::Written { link, lane, bytes } => {
                if let Some(connection) = self.connection.as_mut().filter(|open| open.link == link)
                {
                    connection.written(lane, bytes);
                }
            }
            // A peer asks no server and keeps no rooms, and packets go past it.
            Input::Authorised { .. }
            | Input::Fetched { .. }
            | Input::Committed { .. }
            | Input::Spoken { .. } => {}
            Input::Neighbour { peer, near } => self.on_neighbour(peer, near),
        }
        self.drive(now);
    }

    /// Lets time pass. Call at [`Self::poll_timeout`] or more often; a game calls it every frame.
    pub fn tick(&mut self, now: Time) {
        if now >= self.frame_at && self.store.is_waiting() {
            self.flush(now);
        }
        self.tick_motion(now);
        if self.backoff.is_due(now) {
            self.effects.push_back(Effect::Dial);
        }
        self.tick_connection(now);
        self.tick_signals(now);
        self.tick_service(now);
        self.tick_direct(now);
        self.store.tidy(self.config.cut_budget);
        for document in DocumentId::ALL {
            let at = self.connection.as_ref().and_then(|open| open.cut_at[document.place()]);
            if at.is_some_and(|at| at <= now) {
                self.step_cut(now, document, self.config.cut_budget);
            }
        }
        self.drive(now);
    }

    /// Ends the network frame now: what was edited is written and sent.
    pub fn flush(&mut self, now: Time) {
        self.store.flush();
        self.frame_at = now + self.config.frame();
        self.drive(now);
    }

    /// The next thing to do outside.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The next thing to tell the application.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front().or_else(|| self.store.poll_event())
    }

    /// When [`Self::tick`] has something to do, if nothing else happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let frame = self.store.is_waiting().then_some(self.frame_at);
        let connection = self.connection.as_ref().and_then(|open| open.deadline(&self.config));
        let due = [frame, self.backoff.due(), connection, self.motion_due(), self.signals_due()];
        due.into_iter().chain([self.service_due(), self.direct_due()]).flatten().min()
    }

    /// The room's models and texts.
    #[must_use]
    pub const fn store(&self) -> &Datastore {
        &self.store
    }

    /// The room's models and texts, to be edited. Edits wait for the frame to end: see
    /// [`Self::poll_timeout`].
    pub const fn store_mut(&mut self) -> &mut Datastore {
        &mut self.store
    }

    /// How it behaves.
    #[must_use]
    pub const fn config(&self) -> &PeerConfig {
        &self.config
    }

    /// How far the room is.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Who this peer is.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.identity.peer()
    }

    /// This connection's number, while in the room.
    #[must_use]
    pub const fn client(&self) -> Option<ClientNumber> {
        self.client
    }

    /// The room's name.
    #[must_use]
    pub const fn room(&self) -> &RoomName {
        &self.room
    }

    /// Who is in the room, this peer included, as far as it knows.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.roster.members()
    }

    /// The room's time in microseconds since the Unix epoch: the relay's clock, never going back;
    /// nothing before the relay was heard.
    pub fn room_time(&mut self, now: Time) -> Option<u64> {
        self.clock.room_time(now)
    }

    /// How far the relay's clock is ahead of this peer's, in microseconds, by the last estimate; nothing
    /// before the relay was heard. After another relay's, it may be less than it was.
    #[must_use]
    pub fn clock_ahead(&self) -> Option<i64> {
        self.clock.ahead()
    }

    /// The connection in numbers.
    #[must_use]
    pub fn statistics(&self, now: Time) -> Statistics {
        Statistics {
            control: self.meter.lane(Lane::Control, now),
            document: self.meter.lane(Lane::Document, now),
            snapshot: self.meter.lane(Lane::Snapshot, now),
            state: self.meter.lane(Lane::State, now),
            round_trip: self.clock.round_trip(),
            jitter: self.clock.jitter(),
        }
    }

    /// Whether the relay has let in everything that was edited here, decided what was proposed, and has
    /// every signal.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let confirmed = |document| {
            !self.store.is_cutting(document) && self.store.log(document).pending().next().is_none()
        };
        !self.store.is_waiting()
            && !self.store.is_pending()
            && !self.store.has_proposals()
            && self.store.outbox().is_empty()
            && DocumentId::ALL.into_iter().all(confirmed)
            && self
                .connection
                .as_ref()
                .is_some_and(|open| open.stage == Stage::Ready && open.lane.is_idle())
    }

    fn enter(&mut self, state: State) {
        if self.state != state {
            tracing::debug!(room = %self.room, ?state, "state");
            self.state = state.clone();
            self.tell(Event::State(state));
        }
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() >= self.config.event_capacity {
            event::overrun(&mut self.events, self.config.event_capacity);
        }
        self.events.push_back(event);
    }

    /// Sends a message on the open link, if there is one.
    fn say(&mut self, message: &Message, now: Time) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        let frame = wire::encode(message);
        let lane = lane_of(message);
        // Of the state lane nothing waits.
        if lane != Lane::State {
            connection.outstanding[lane as usize] += frame.len();
        }
        self.meter.count(lane, Direction::Sent, frame.len(), now);
        self.effects.push_back(Effect::Send { link: connection.link, lane, frame });
    }

    /// Everything that follows from what was just handed in.
    fn drive(&mut self, now: Time) {
        for document in DocumentId::ALL {
            // It is said once the epoch is that of the relay.
            let between = self
                .connection
                .as_ref()
                .is_some_and(|open| open.is_in() && open.passages[document.place()].is_between());
            if between {
                continue;
            }
            for place in self.store.take_written(document) {
                self.keeping.write();
                if let Some(open) = self.connection.as_mut().filter(|open| open.is_in()) {
                    open.lane.push(document, Token::Change(place));
                }
            }
        }
        self.pump(now);
        self.pump_signals(now);
        self.pump_service(now);
    }

    /// Sends what the document lane has, as far as the driver takes it.
    fn pump(&mut self, now: Time) {
        for document in DocumentId::ALL {
            while let Some(open) = self.connection.as_mut().filter(|open| open.is_in())
                && open.outstanding[Lane::Document as usize] < self.config.limits.outbox
                && let Some(message) = open.lane.next_frame(self.store.log(document), None, now)
            {
                self.say(&message, now);
            }
        }
        let due = self.connection.as_mut().map(|open| open.lane.acknowledgements(now));
        for message in due.unwrap_or_default() {
            self.say(&message, now);
        }
    }

    /// The link is gone or useless: tries again, unless the reason or the count forbids it.
    fn retry(&mut self, reason: Reason, now: Time) {
        self.hang_up(LeaveReason::Lost, Some(now + self.config.alone));
        if !self.online {
            return;
        }
        if reason.class() != Class::Retry {
            self.close(reason);
            return;
        }
        let at_least = if let Reason::Refused(Refusal::RateLimited { retry_after_ms }) = &reason {
            Duration::from_millis(u64::from(*retry_after_ms))
        } else {
            Duration::ZERO
        };
        let draw = self.rng.next_u64();
        match self.backoff.next(now, (&self.config, self.direct.holds_any()), at_least, draw) {
            Some(wait) => {
                let attempt = self.backoff.attempt();
                self.enter(State::Reconnecting { attempt, wait, reason });
            }
            None => {
                let attempts = self.backoff.attempt();
                self.close(Reason::GaveUp { attempts, last: Box::new(reason) });
            }
        }
    }

    fn close(&mut self, reason: Reason) {
        let left = matches!(reason, Reason::Left);
        self.hang_up(if left { LeaveReason::Left } else { LeaveReason::Lost }, None);
        self.begun = [None, None];
        if left {
            self.signals.forget();
        }
        self.give_up_signals();
        self.online = false;
        self.backoff = Backoff::default();
        if self.store.is_quiet() {
            // What came was to be said by one `Ready`, which does not come.
            self.tell(Event::Overrun);
        }
        self.store.end_quiet();
        self.enter(State::Closed(reason));
    }

    /// The link is gone. Until a time its voices go on with who is near, if it is tried again.
    fn hang_up(&mut self, reason: LeaveReason, until: Option<Time>) {
        self.store.set_online(false);
        self.store.end_all_moved();
        self.store.abandon_cuts();
        // The rest may not come for long, and what was typed here must show.
        self.store.bring_typed();
        let was_in = self.connection.as_ref().is_some_and(Connection::is_in);
        if let Some(connection) = self.connection.take() {
            self.effects.push_back(Effect::Disconnect { link: connection.link });
            for (begun, incoming) in self.begun.iter_mut().zip(connection.snapshots) {
                // Before the offer came, it is what the last link left.
                let came = incoming.filter(|incoming| !incoming.bytes.is_empty());
                *begun = came.or_else(|| begun.take());
            }
        }
        self.hang_up_voice(was_in, until);
        self.client = None;
        self.signals.hang_up();
        self.hang_up_service();
        self.backoff.stop();
        for event in self.roster.clear(reason) {
            self.tell(event);
        }
    }
}
