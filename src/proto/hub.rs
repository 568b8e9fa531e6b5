//! A relay's side: rooms, who is in them, and their logs. A state machine like [`super::peer`].
//!
//! The relay is a peer of every room in that it keeps the documents' logs and lets nothing in that
//! breaks a rule; it stamps nobody's work as its own.

mod act;
mod admission;
mod agenda;
mod columns;
mod dispatch;
mod door;
mod due;
mod entries;
mod epoch;
mod event;
mod guest;
mod image;
mod join;
mod journal;
mod keep;
mod lobby;
mod motion;
mod ownership;
mod plugin;
mod presence;
mod record;
mod room;
mod seats;
mod second;
mod service;
mod signals;
mod touched;
mod trail;
mod unproven;
mod voice;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

pub use self::act::{Act, ActError};
use self::due::Dues;
pub use self::event::HubEvent;
use self::guest::{Guest, Stage};
use self::journal::Journal;
use self::ownership::Grantor;
use self::plugin::Plugged;
pub use self::plugin::{Given, Hearing, Order, Plugin, Ruling, Update, View, Write, Writer};
use self::room::Room;
pub use self::signals::GiveError;
use self::touched::Touched;
use crate::proto::audio::stream::{StreamName, Topic};
use crate::proto::config::HubConfig;
use crate::proto::event::{Effect, Input, LeaveReason};
use crate::proto::id::{AppId, AppKey, DocumentId, Identity, Lane, Link, PeerId, RoomKey};
use crate::proto::lane::lane_of;
use crate::proto::log::ChangeLog;
use crate::proto::reason::{Refusal, SERVICE_SINCE};
use crate::proto::time::Time;
use crate::proto::token::TokenRing;
use crate::proto::wire;
use crate::proto::wire::message::Message;

/// The rooms of a relay.
#[derive(Debug)]
pub struct Hub {
    me: PeerId,
    /// Who grants models.
    grantor: Grantor,
    keys: BTreeMap<AppId, AppKey>,
    /// Of the applications whose peers come with tokens.
    tokens: BTreeMap<AppId, TokenRing>,
    /// The applications whose servers are asked who may come in.
    asked: BTreeSet<AppId>,
    /// What is kept of rooms, which are fetched when somebody comes.
    journal: Journal,
    /// Rooms that are being fetched.
    fetching: BTreeSet<RoomKey>,
    config: HubConfig,
    rng: ChaCha12Rng,
    /// What the room time is at [`Time::ZERO`], in microseconds since the Unix epoch.
    epoch: u64,
    rooms: Touched<RoomKey, Room>,
    /// How many rooms there ever were.
    opened: u64,
    guests: Touched<Link, Guest>,
    dues: Dues,
    /// What each topic stands for.
    topics: BTreeMap<Topic, (RoomKey, StreamName)>,
    /// When each peer tried to join, within the last minute.
    joins: BTreeMap<PeerId, VecDeque<Time>>,
    plugin: Option<Plugged>,
    effects: VecDeque<Effect>,
    events: VecDeque<HubEvent>,
}

impl Hub {
    /// A relay without rooms, which serves the applications of `keys`. `epoch` is the Unix time of
    /// [`Time::ZERO`] in microseconds; `boot` must be above that of every earlier start with the same
    /// identity, or grants of the two are mistaken for each other.
    #[must_use]
    pub fn new(
        identity: Identity,
        keys: impl IntoIterator<Item = AppKey>,
        config: HubConfig,
        epoch: u64,
        seed: [u8; 32],
        boot: u32,
    ) -> Self {
        Self {
            me: identity.peer(),
            grantor: Grantor::new(identity, boot),
            keys: keys.into_iter().map(|key| (key.app(), key)).collect(),
            tokens: BTreeMap::new(),
            asked: BTreeSet::new(),
            journal: Journal::default(),
            fetching: BTreeSet::new(),
            config,
            rng: ChaCha12Rng::from_seed(seed),
            epoch,
            rooms: Touched::new(),
            opened: 0,
            guests: Touched::new(),
            dues: Dues::new(),
            topics: BTreeMap::new(),
            joins: BTreeMap::new(),
            plugin: None,
            effects: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Something happened outside.
    pub fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Connected { link, peer } => self.on_connected(now, link, peer),
            // A relay does not dial.
            Input::Unreachable { .. } => {}
            Input::Disconnected { link } => self.part(link, LeaveReason::Lost, now),
            Input::Received { link, lane, frame } => self.on_frame(now, link, lane, &frame),
            Input::Written { link, lane, bytes } => {
                if let Some(guest) = self.guests.get_mut(&link) {
                    guest.written(lane, bytes);
                }
                self.pump_guest(link, now);
            }
            Input::Authorised { link, verdict } => self.on_authorised(now, link, verdict),
            Input::Fetched { room, kept } => self.on_fetched(now, &room, kept),
            Input::Committed { number, outcome } => self.on_committed(now, number, outcome),
            Input::Spoken { link, topic, packet } => {
                self.on_spoken(now, link, topic, packet);
                // Nothing is to be asked of a plugin.
                return;
            }
            // Only peers have direct links.
            Input::Neighbour { .. } => return,
        }
        self.consult(now);
    }

    /// Lets time pass. Call at [`Self::poll_timeout`].
    pub fn tick(&mut self, now: Time) {
        for link in self.guests_due(now) {
            self.tick_guest(link, now);
        }
        self.tick_ownership(now);
        self.tick_epochs(now);
        self.tick_columns(now);
        self.tick_motion(now);
        self.tick_service(now);
        self.expire_signals(now);
        let empty = self.rooms_due(now, |hub, (key, room)| hub.closes(key, room));
        self.close_rooms(now, &empty);
        self.tick_journal(now);
        self.consult(now);
    }

    /// Ends every link, with a reason that lets peers come back.
    pub fn shut_down(&mut self, now: Time) {
        let links: Vec<Link> = self.guests.keys().copied().collect();
        for link in links {
            self.refuse(link, Refusal::ShuttingDown, now);
        }
        let open = self.rooms.iter().filter(|(_, room)| !room.is_untouched());
        let rooms: Vec<RoomKey> = open.map(|(key, _)| key.clone()).collect();
        self.keep(now, &rooms);
        self.commit_parting();
        for room in rooms {
            self.report(HubEvent::Closed { room });
        }
    }

    /// The next thing to do outside.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The next thing to tell the operator.
    pub fn poll_event(&mut self) -> Option<HubEvent> {
        self.events.pop_front()
    }

    /// When a room is forgotten: a while after its last member left, at once if nobody ever wrote, nor
    /// gave a signal.
    fn closes(&self, key: &RoomKey, room: &Room) -> Option<Time> {
        if room.is_untouched() {
            // Nobody was let in: it is kept as it was.
            return room.empty_since().filter(|_| !self.is_awaited(key));
        }
        let linger = if is_blank(room) { Duration::ZERO } else { self.config.linger };
        let empty = room.empty_since().filter(|_| !room.record().seats.is_held());
        empty.map(|since| since + linger)
    }

    /// The rooms that are open, with the number of members of each.
    pub fn rooms(&self) -> impl Iterator<Item = (&RoomKey, usize)> {
        self.rooms.iter().map(|(key, room)| (key, room.len()))
    }

    /// Whether a room is open, or being fetched for somebody who comes, or what is left of it is not on its
    /// way to be kept yet. What is kept of any other may be replaced, behind all effects that were taken
    /// before this is asked and before any later one.
    #[must_use]
    pub fn is_open(&self, room: &RoomKey) -> bool {
        let is_here = self.rooms.contains_key(room) || self.fetching.contains(room);
        is_here || self.journal.is_parting(room)
    }

    /// The log of a document of a room.
    #[must_use]
    pub fn log(&self, room: &RoomKey, document: DocumentId) -> Option<&ChangeLog> {
        Some(self.rooms.get(room)?.log(document))
    }

    /// What a document of a room holds, as automerge saves it: for tools and tests. Costs the
    /// document.
    pub fn document(&mut self, room: &RoomKey, document: DocumentId) -> Option<Vec<u8>> {
        self.rooms.get_mut(room)?.save(document)
    }

    fn on_connected(&mut self, now: Time, link: Link, peer: PeerId) {
        let mut nonce = [0; 16];
        self.rng.fill_bytes(&mut nonce);
        self.guests.insert(link, Guest::new(peer, nonce, &self.config, now));
        self.greet(link, now);
    }

    fn room_time(&self, now: Time) -> u64 {
        self.epoch.saturating_add(now.as_micros())
    }

    fn report(&mut self, event: HubEvent) {
        if let Some(plugged) = &mut self.plugin {
            plugged.note(&event, self.config.event_capacity);
        }
        self.enter_in_log(event);
    }

    /// Tells the operator alone.
    fn enter_in_log(&mut self, event: HubEvent) {
        if self.events.len() >= self.config.event_capacity {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    fn say(&mut self, link: Link, message: &Message) {
        let Some(guest) = self.guests.get_mut(&link) else {
            return;
        };
        let (frame, lane) = (wire::encode(message), lane_of(message));
        // Of the state lane nothing waits.
        if lane != Lane::State {
            guest.outstanding[lane as usize] += frame.len();
        }
        self.effects.push_back(Effect::Send { link, lane, frame });
    }

    /// Sends a peer away, with a reason.
    fn refuse(&mut self, link: Link, refusal: Refusal, now: Time) {
        let Some((peer, minor)) = self.guests.get(&link).map(|guest| (guest.peer, guest.minor))
        else {
            return;
        };
        tracing::debug!(?peer, %refusal, "refused");
        let said = if minor < SERVICE_SINCE { refusal.clone().of_old() } else { refusal.clone() };
        self.say(link, &Message::Refused(said));
        let reason = match refusal {
            Refusal::Replaced => LeaveReason::Replaced,
            Refusal::Idle
            | Refusal::SlowConsumer
            | Refusal::ShuttingDown
            | Refusal::RateLimited { .. }
            | Refusal::HandshakeTimeout => LeaveReason::Lost,
            Refusal::Kicked { .. } => LeaveReason::Kicked,
            Refusal::VersionMismatch { .. }
            | Refusal::UnknownApp
            | Refusal::NoSuchRoom
            | Refusal::NotInvited
            | Refusal::WrongPassword
            | Refusal::Locked
            | Refusal::Banned { .. }
            | Refusal::BadOpening { .. }
            | Refusal::Token { .. }
            | Refusal::Unauthorised { .. }
            | Refusal::Unanswered
            | Refusal::Unreadable
            | Refusal::RoomFull { .. }
            | Refusal::RelayFull { .. }
            | Refusal::BadMessage
            | Refusal::BadChange { .. }
            | Refusal::TooLarge { .. } => LeaveReason::Expelled,
        };
        self.report(HubEvent::Refused { peer, refusal });
        self.part(link, reason, now);
        self.effects.push_back(Effect::Disconnect { link });
    }

    /// A link is over: its peer is no longer a member.
    fn part(&mut self, link: Link, reason: LeaveReason, now: Time) {
        let Some(guest) = self.guests.remove(&link) else {
            return;
        };
        self.journal.forget(link);
        let Stage::Member { room: key, client } = guest.stage.clone() else {
            return;
        };
        let Some(room) = self.rooms.get_mut(&key) else {
            return;
        };
        room.abandon(link);
        self.part_ownership(now, &key, (&guest, link), reason);
        let Some(room) = self.rooms.get_mut(&key) else {
            return;
        };
        let stays = match reason {
            LeaveReason::Lost | LeaveReason::Replaced => self.config.ownership.grace,
            LeaveReason::Left | LeaveReason::Expelled | LeaveReason::Kicked => Duration::ZERO,
        };
        room.motion_mut().part(client, now + stays);
        let left = reason == LeaveReason::Left;
        room.signals_mut().part((guest.peer, guest.session()), left, now);
        let revision = room.leave(client, now);
        let others: Vec<Link> = room.links().collect();
        for other in others {
            let old = self.guests.get(&other).is_some_and(|guest| guest.minor < SERVICE_SINCE);
            let reason = if old { reason.of_old() } else { reason };
            self.say(other, &Message::Left { revision, client, reason });
        }
        self.part_voices(now, &key, client);
        self.part_service(now, &key, (client, guest.peer), reason);
        self.spread(&key, now);
        self.report(HubEvent::Left { room: key, client, peer: guest.peer, reason });
    }

    /// Sends what a guest's document and snapshot lanes have, as far as the driver takes it.
    fn pump_guest(&mut self, link: Link, now: Time) {
        let limit = self.config.limits.outbox;
        let mut messages = Vec::new();
        if let Some(guest) = self.guests.get_mut(&link)
            && let Stage::Member { room, .. } = &guest.stage
            && let Some(room) = self.rooms.get(room)
        {
            messages = guest.lane.acknowledgements(now);
            guest.pump_snapshots(limit, now, &mut messages);
            for document in DocumentId::ALL {
                // A cut that the relay may yet forget is told to nobody.
                if guest.snapshots[document.place()].is_some() || room.epochs(document).is_unkept()
                {
                    continue;
                }
                let mut outstanding = guest.outstanding[Lane::Document as usize];
                while outstanding < limit
                    && let Some(message) = guest.lane.next_frame(
                        room.log(document),
                        room.epochs(document).before.as_ref(),
                        now,
                    )
                {
                    outstanding += self.config.limits.frame / 2;
                    messages.push(message);
                }
            }
        }
        for message in &messages {
            self.say(link, message);
        }
        self.pump_signals(link, now);
        self.pump_service(link, now);
        self.check_outbox(now, link);
    }

    /// Ends a link whose peer does not read what it is told. Documents and snapshots wait in their
    /// logs; the control lane has nowhere to wait.
    fn check_outbox(&mut self, now: Time, link: Link) {
        let limit = self.config.limits.outbox;
        let control = self.guests.get(&link).map(|guest| guest.outstanding[Lane::Control as usize]);
        if control.is_some_and(|control| control > limit) {
            self.refuse(link, Refusal::SlowConsumer, now);
        }
    }
}

/// Whether nobody ever wrote in a room, nor gave a signal, nor said anything of it.
fn is_blank(room: &Room) -> bool {
    room.is_blank() && room.signals().is_blank() && room.record().is_blank()
}
