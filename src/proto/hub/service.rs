//! The room service at a relay: what peers ask, what they say of themselves, and what everybody is
//! told of a room.

use std::time::Duration;

use rand_core::Rng;

use super::guest::{Guest, Stage};
use super::record::{Asker, Caller, Done};
use super::room::Room;
use super::second::Second;
use super::{Hub, HubEvent};
use crate::proto::bucket::Bucket;
use crate::proto::config::{Limits, ServiceConfig, VoiceConfig};
use crate::proto::dialogue::Dialogue;
use crate::proto::event::LeaveReason;
use crate::proto::id::{ClientNumber, Lane, Link, PeerId, RoomKey};
use crate::proto::proof::{self, Side};
use crate::proto::reason::{Refusal, SERVICE_SINCE, ServiceError};
use crate::proto::service::Invite;
use crate::proto::time::Time;
use crate::proto::wire::bounded::List;
use crate::proto::wire::message::{
    AnswerRecord, Asked, FactRecord, Message, PresenceKey, PresenceValue, RequestRecord,
    ServiceMessage, Told, VoiceAsked,
};

/// The most items of one message, by the specification.
const MOST: usize = 256;
/// What one item takes beside its texts, as an estimate.
const HEAD: usize = 32;

/// What is said about rooms on one link.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    dialogue: Dialogue<Told>,
    /// What was taken.
    taken: Second,
    /// When the openings of streams that were taken are paid for.
    openings: Bucket,
}

impl Desk {
    pub(super) fn new(config: &ServiceConfig, limits: &Limits) -> Self {
        let dialogue = Dialogue::new(config.in_flight, limits.acknowledge_after);
        Self { dialogue, taken: Second::default(), openings: Bucket::new(Time::ZERO) }
    }

    pub(super) fn tick(&mut self, now: Time) {
        self.dialogue.tick(now);
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.dialogue.deadline()
    }

    /// Whether more may be taken in this second: not while much of what was answered is not read.
    fn may_take(&mut self, config: &ServiceConfig, now: Time) -> bool {
        let has_room = self.taken.has_room(config.per_second, usize::MAX, now);
        has_room && self.dialogue.waiting() < config.in_flight
    }

    /// Whether what opens streams is taken.
    fn may_open(&self, config: &VoiceConfig, now: Time) -> bool {
        let most = u64::from(config.openings.max(1) - 1);
        self.openings.owed(now) <= Bucket::price(most, config.openings_per_second)
    }

    /// Another item is taken.
    fn take(&mut self, item: &Asked, config: &VoiceConfig, now: Time) {
        self.taken.add(0);
        if opens(item) {
            self.openings.pay(Bucket::price(1, config.openings_per_second), now);
        }
    }
}

const fn opens(item: &Asked) -> bool {
    matches!(item, Asked::Voice(VoiceAsked::Open { .. }))
}

impl Hub {
    pub(super) fn on_service(&mut self, now: Time, link: Link, message: ServiceMessage) {
        match message {
            ServiceMessage::Visit { proof, token } => {
                self.on_visit(now, link, &proof, token.as_deref());
            }
            ServiceMessage::Asked { position, items } => {
                self.on_asked(now, link, position, items.into_vec());
            }
            ServiceMessage::Received { received, gap } => {
                if let Some(guest) = self.guests.get_mut(&link) {
                    let patience = guest.lane.patience();
                    guest.desk.dialogue.acknowledge(received, gap, (now, patience));
                }
            }
            ServiceMessage::Told { .. } => {
                self.refuse(link, Refusal::BadMessage, now);
                return;
            }
        }
        self.pump_service(link, now);
    }

    /// Somebody comes to ask, and into no room.
    fn on_visit(&mut self, now: Time, link: Link, proof: &[u8; 32], token: Option<&str>) {
        let Some(guest) = self.guests.get(&link) else { return };
        let Stage::Greeted(hello) = &guest.stage else { return };
        let (app, pair) = (hello.app, (guest.peer, self.me));
        let nonces = (&hello.nonce, &guest.nonce);
        let key = self.keys.get(&app);
        let good =
            key.is_some_and(|key| proof::proves(key, Side::Visitor, pair, nonces, "", proof));
        if !good {
            self.refuse(link, Refusal::UnknownApp, now);
            return;
        }
        let pass = self.pass((app, pair.0), None, token, now);
        let pass = pass.map_err(|why| Refusal::Token { why });
        match self.count_join(pair.0, now).and(pass) {
            Err(refusal) => self.refuse(link, refusal, now),
            Ok(pass) => {
                if let Some(guest) = self.guests.get_mut(&link) {
                    guest.stage = Stage::Visitor { app };
                    guest.pass = pass;
                }
            }
        }
    }

    fn on_asked(&mut self, now: Time, link: Link, position: u64, items: Vec<Asked>) {
        let Some(guest) = self.guests.get_mut(&link) else { return };
        // What comes before who asks is known is passed over: it comes again.
        let known = match guest.stage {
            Stage::Greeting | Stage::Greeted(_) | Stage::Waiting(..) => return,
            Stage::Member { .. } | Stage::Visitor { .. } => {
                let may = guest.desk.may_take(&self.config.service, now)
                    && (guest.desk.may_open(&self.config.voice, now) || !items.iter().any(opens));
                may.then(|| guest.desk.dialogue.offer(position, items.len(), now)).flatten()
            }
        };
        for item in items.into_iter().skip(known.unwrap_or(usize::MAX)) {
            if let Some(guest) = self.guests.get_mut(&link) {
                guest.desk.take(&item, &self.config.voice, now);
            }
            match item {
                Asked::Request { number, request } => {
                    if let Some((room, _)) = self.guests.get(&link).and_then(Guest::place) {
                        self.journal.stir(&room);
                    }
                    let answer = self.answer(now, link, request);
                    self.tell_one(link, Told::Answer { number, answer }, now);
                }
                Asked::Presence { key, value, ttl_ms } => {
                    let ttl = Duration::from_millis(u64::from(ttl_ms));
                    self.on_presence(now, link, (key, value), ttl);
                }
                Asked::Voice(voice) => self.on_voice(now, link, voice),
                Asked::Keep { mark } => self.on_keep_asked(now, link, mark),
            }
        }
    }

    fn answer(
        &mut self,
        now: Time,
        link: Link,
        request: RequestRecord,
    ) -> Result<AnswerRecord, ServiceError> {
        let guest = self.guests.get(&link).ok_or(ServiceError::NotInRoom)?;
        let peer = guest.peer;
        let app = guest.app().ok_or(ServiceError::NotInRoom)?;
        match request {
            RequestRecord::List { page, size } => self.list((app, peer), (page, size), now),
            RequestRecord::Find(id) => self.show((app, peer), |room| room.id() == id),
            RequestRecord::Peek(name) => {
                self.show((app, peer), |room| *room.name().as_str() == *name)
            }
            RequestRecord::Match(group, capacity) => {
                self.find_seat((app, peer), (&group, capacity), now)
            }
            RequestRecord::Renew(token) => self.renew(now, link, &token),
            RequestRecord::Describe(_)
            | RequestRecord::Put(..)
            | RequestRecord::Capacity(_)
            | RequestRecord::Listed(_)
            | RequestRecord::Lock(_)
            | RequestRecord::Policy(_)
            | RequestRecord::Password(_)
            | RequestRecord::HandOver(_)
            | RequestRecord::Kick(..)
            | RequestRecord::Pardon(_)
            | RequestRecord::Invite(..)
            | RequestRecord::Withdraw(_)
            | RequestRecord::Silence(..) => self.change_for(now, link, request),
        }
    }

    /// Changes a member's room, if it may.
    fn change_for(
        &mut self,
        now: Time,
        link: Link,
        request: RequestRecord,
    ) -> Result<AnswerRecord, ServiceError> {
        let guest = self.guests.get(&link).ok_or(ServiceError::NotInRoom)?;
        let asker = Asker { peer: guest.peer, moderates: guest.pass.moderates() };
        let Stage::Member { room: key, .. } = guest.stage.clone() else {
            return Err(ServiceError::NotInRoom);
        };
        self.rooms.get(&key).ok_or(ServiceError::NotInRoom)?.record().may(asker, &request)?;
        self.change(now, &key, asker, request)
    }

    /// Changes a room, as somebody asks who may.
    pub(super) fn change(
        &mut self,
        now: Time,
        key: &RoomKey,
        asker: Asker,
        request: RequestRecord,
    ) -> Result<AnswerRecord, ServiceError> {
        let kicked = if let RequestRecord::Kick(peer, ban_s) = &request {
            Some((*peer, (*ban_s).min(self.config.service.ban_s)))
        } else {
            None
        };
        let silenced = if let RequestRecord::Silence(peer, silenced) = &request {
            Some((*peer, *silenced))
        } else {
            None
        };
        let (rng, terms) = (&mut self.rng, (&self.config.service, self.config.members, now));
        let draw = || {
            let mut invite = [0; 16];
            rng.fill_bytes(&mut invite);
            Invite(invite)
        };
        let room = self.rooms.get_mut(key).ok_or(ServiceError::NotInRoom)?;
        let Done { answer, fact } = room.record_mut().change(asker, request, terms, draw)?;
        self.journal.stir(key);
        if let Some(fact) = fact {
            self.tell_room(key, &Told::Fact(fact), None, now);
        }
        if let Some((peer, ban_s)) = kicked {
            self.report(HubEvent::Kicked { room: key.clone(), peer, by: asker.peer, ban_s });
            self.kick(now, key, peer, ban_s);
        }
        if let Some((peer, silenced)) = silenced {
            self.silence(now, key, peer, silenced)?;
        }
        Ok(answer)
    }

    /// Puts a peer out that is kept out from now on.
    fn kick(&mut self, now: Time, key: &RoomKey, peer: PeerId, ban_s: u32) {
        let Some(room) = self.rooms.get_mut(key) else { return };
        room.forget(peer);
        if let Some(link) = room.link_of(peer) {
            self.refuse(link, Refusal::Kicked { ban_s }, now);
        } else if let Some(fact) = room.record_mut().part(peer, None) {
            self.tell_room(key, &Told::Fact(fact), None, now);
        }
    }

    fn on_presence(
        &mut self,
        now: Time,
        link: Link,
        (key, value): (PresenceKey, Option<PresenceValue>),
        ttl: Duration,
    ) {
        let Some(guest) = self.guests.get(&link) else { return };
        let Stage::Member { room, client } = guest.stage.clone() else { return };
        let Some(presences) = self.rooms.get_mut(&room).map(Room::presences_mut) else { return };
        let said = presences.say(client, (&key, &value), ttl, (&self.config.limits, now));
        match said {
            Ok(true) => {
                let told = Told::Presence { client, key, value };
                self.tell_room(&room, &told, Some(client), now);
            }
            Ok(false) => {}
            Err(much) => {
                let (limit, size) = (much.limit as u64, much.size as u64);
                self.refuse(link, Refusal::TooLarge { limit, size }, now);
            }
        }
    }

    /// Somebody is in: it has a place, is told what the room is, and may own it.
    pub(super) fn enter_service(&mut self, now: Time, link: Link, key: &RoomKey, caller: &Caller) {
        let Some(room) = self.rooms.get_mut(key) else { return };
        let owns = room.record_mut().enter(caller, now);
        if owns {
            let owner = Told::Fact(FactRecord::Owner(Some(caller.who.peer)));
            let client = self.guests.get(&link).and_then(|guest| guest.client());
            self.tell_room(key, &owner, client, now);
        }
        self.journal.stir(key);
        self.introduce(link, key, now);
        if self.is_kept(key) {
            self.tell_keeping(link, Told::Keeps(true), now);
        }
        self.pump_service(link, now);
    }

    fn introduce(&mut self, link: Link, key: &RoomKey, now: Time) {
        let Some(room) = self.rooms.get(key) else { return };
        let record = Told::Room(room.record().record(room.name(), room.len()));
        let speaks = self.speaker(link).is_some();
        let voices = speaks.then(|| room.voices().all().map(Told::Voice)).into_iter().flatten();
        let told: Vec<Told> = [record]
            .into_iter()
            .chain(room.presences().all())
            .chain(voices)
            .chain([Told::Here])
            .collect();
        for told in told {
            self.tell_one(link, told, now);
        }
    }

    /// Lets go of what is over: places, bans, invites, what members said for a while.
    pub(super) fn tick_service(&mut self, now: Time) {
        for key in self.rooms_due(now, |_, (_, room)| room.service_due()) {
            let Some(room) = self.rooms.get_mut(&key) else { continue };
            let owner = room.record_mut().expire(now);
            for (client, told) in room.presences_mut().expire(now) {
                self.tell_room(&key, &told, Some(client), now);
            }
            if let Some(fact) = owner {
                self.tell_room(&key, &Told::Fact(fact), None, now);
            }
        }
    }

    /// A member is gone.
    pub(super) fn part_service(
        &mut self,
        now: Time,
        key: &RoomKey,
        (client, peer): (ClientNumber, PeerId),
        reason: LeaveReason,
    ) {
        let stays = match reason {
            LeaveReason::Lost | LeaveReason::Replaced => Some(now + self.config.service.seat),
            LeaveReason::Left | LeaveReason::Expelled | LeaveReason::Kicked => None,
        };
        let Some(room) = self.rooms.get_mut(key) else { return };
        room.presences_mut().part(client);
        if let Some(fact) = room.record_mut().part(peer, stays) {
            self.tell_room(key, &Told::Fact(fact), None, now);
        }
    }

    /// Tells everybody in a room something, but one.
    pub(super) fn tell_room(
        &mut self,
        key: &RoomKey,
        told: &Told,
        but: Option<ClientNumber>,
        now: Time,
    ) {
        let Some(room) = self.rooms.get(key) else { return };
        let links: Vec<Link> = room
            .clients()
            .filter(|(client, _)| Some(*client) != but)
            .map(|(_, link)| link)
            .collect();
        for link in links {
            self.tell_one(link, told.clone(), now);
            self.pump_service(link, now);
        }
    }

    pub(super) fn tell_one(&mut self, link: Link, told: Told, now: Time) {
        let most = self.config.service.waiting;
        let Some(guest) = self.guests.get_mut(&link).filter(|it| it.minor >= SERVICE_SINCE) else {
            return;
        };
        if guest.desk.dialogue.waiting() >= most {
            self.refuse(link, Refusal::SlowConsumer, now);
            return;
        }
        guest.desk.dialogue.push(told);
    }

    /// Sends what is to be told, as far as the lane takes it, and acknowledges what came.
    pub(super) fn pump_service(&mut self, link: Link, now: Time) {
        let window = self.config.limits.signal_window;
        while let Some(guest) = self.guests.get_mut(&link)
            && guest.outstanding[Lane::Control as usize] < window
        {
            let when = (now, guest.lane.patience());
            let Some((position, items)) = guest.desk.dialogue.gather(MOST, when, size) else {
                break;
            };
            let items = List::of(items);
            self.say(link, &Message::Service(ServiceMessage::Told { position, items }));
        }
        let answer = self.guests.get_mut(&link).and_then(|guest| guest.desk.dialogue.answer(now));
        if let Some((received, gap)) = answer {
            self.say(link, &Message::Service(ServiceMessage::Received { received, gap }));
        }
    }
}

/// About how many bytes something takes.
fn size(told: &Told) -> usize {
    match told {
        Told::Room(record) | Told::Answer { answer: Ok(AnswerRecord::Room(record)), .. } => {
            let data = record.data.iter().map(|(key, value)| key.len() + value.len() + 8);
            HEAD + record.name.len() + record.description.len() + data.sum::<usize>()
        }
        Told::Presence { key, value, .. } => {
            HEAD + key.len() + value.as_ref().map_or(0, |value| value.len())
        }
        Told::Answer { answer: Ok(AnswerRecord::Page { rooms, .. }), .. } => {
            rooms.iter().map(|card| HEAD + card.name.len() + card.description.len()).sum()
        }
        Told::Fact(FactRecord::Description(description)) => HEAD + description.len(),
        Told::Fact(FactRecord::Data(key, value)) => {
            HEAD + key.len() + value.as_ref().map_or(0, |value| value.len())
        }
        Told::Voice(_) => 2 * HEAD,
        Told::Fact(_)
        | Told::Here
        | Told::Answer { .. }
        | Told::Expires { .. }
        | Told::Keeps(_)
        | Told::Kept { .. } => HEAD,
    }
}
