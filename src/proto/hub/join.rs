//! How a peer comes into a room of a relay.

use std::time::Duration;

use super::guest::{Guest, Outgoing, Question, Stage};
use super::record::{Asker, Caller, Record};
use super::room::Room;
use super::signals::Ear;
use super::{Hub, HubEvent, RoomKey};
use crate::proto::delta::Member;
use crate::proto::feed::Feed;
use crate::proto::id::{ClientNumber, DocumentId, EpochId, Lane, Link, PeerId, RoomName};
use crate::proto::ownership::Session;
use crate::proto::proof::{self, PasswordKey, Side};
use crate::proto::reason::{Refusal, Version};
use crate::proto::time::Time;
use crate::proto::wire::bounded::List;
use crate::proto::wire::message::{
    Enter, Hash, Hello, Introduction, Join, MemberRecord, Message, Offer, OpeningRecord, Partial,
    SnapshotOffer, Welcome,
};

/// How long who joins a room waits that another is just bringing back.
const RESTORING_MS: u32 = 250;

impl Hub {
    pub(super) fn on_hello(&mut self, now: Time, link: Link, hello: Hello) {
        let (peer, relay) = (hello.version, Version::CURRENT);
        if peer.major != relay.major {
            self.refuse(link, Refusal::VersionMismatch { peer, relay }, now);
            return;
        }
        if !self.keys.contains_key(&hello.app) {
            self.refuse(link, Refusal::UnknownApp, now);
            return;
        }
        let Some(guest) = self.guests.get_mut(&link) else {
            return;
        };
        match guest.stage {
            Stage::Greeting => {
                guest.minor = hello.version.minor;
                guest.stage = Stage::Greeted(hello);
            }
            // Said again: ours was lost.
            Stage::Greeted(_) => {
                if self.may_ask(link, Question::Welcome, now) {
                    self.greet(link, now);
                }
            }
            Stage::Visitor { .. } | Stage::Member { .. } => {}
        }
    }

    pub(super) fn on_enter(&mut self, now: Time, link: Link, enter: &Enter) {
        let Some(guest) = self.guests.get(&link) else {
            return;
        };
        let hello = match &guest.stage {
            Stage::Greeted(hello) => hello.clone(),
            // Said again: the answer was lost.
            Stage::Member { .. } => {
                let welcome = guest.welcome.clone();
                let reads = guest.outstanding[Lane::Control as usize] == 0;
                if reads && self.may_ask(link, Question::Welcome, now) {
                    welcome.iter().for_each(|message| self.say(link, message));
                }
                return;
            }
            Stage::Greeting | Stage::Visitor { .. } => return,
        };
        let peer = guest.peer;
        if let Err(refusal) = self.admit(now, link, &hello, enter) {
            tracing::debug!(?peer, %refusal, "join refused");
            self.refuse(link, refusal, now);
        }
    }

    fn admit(
        &mut self,
        now: Time,
        link: Link,
        hello: &Hello,
        enter: &Enter,
    ) -> Result<(), Refusal> {
        let join = &enter.join;
        let guest = self.guests.get(&link).ok_or(Refusal::BadMessage)?;
        let (peer, nonce) = (guest.peer, guest.nonce);
        // A name that is not in normal form would be another room under the same name.
        let name = RoomName::new(&join.room).map_err(|_| Refusal::BadMessage)?;
        if name.as_str() != &*join.room {
            return Err(Refusal::BadMessage);
        }
        let key = self.keys.get(&hello.app).ok_or(Refusal::UnknownApp)?;
        let (pair, nonces) = ((peer, self.me), (&hello.nonce, &nonce));
        if !proof::proves(key, Side::Peer, pair, nonces, name.as_str(), &join.proof) {
            return Err(Refusal::UnknownApp);
        }
        let proof = proof::prove(key, Side::Relay, pair, nonces, name.as_str());
        check_metadata(join, self.config.limits.metadata)?;
        let pass = self.pass((hello.app, peer), Some(&name), enter.token.as_deref(), now);
        let pass = pass.map_err(|why| Refusal::Token { why })?;
        self.count_join(peer, now)?;
        let room_key = (hello.app, name);
        let room = self.rooms.get(&room_key);
        let restored = room.is_some_and(Room::is_restored);
        let familiar = room.is_some_and(|room| room.knows(peer));
        let who = Asker { peer, moderates: pass.moderates() };
        let caller = Caller { who, familiar, creates: enter.create, invite: enter.invite };
        let knows = |password: PasswordKey| {
            let (key, text) = (password.secret(), room_key.1.as_str());
            let good = |said| proof::proves(&key, Side::Password, pair, nonces, text, said);
            enter.password.as_ref().is_some_and(good)
        };
        match room {
            Some(room) => room.record().lets_in(&caller, knows, now)?,
            None if enter.create => {}
            None => return Err(Refusal::NoSuchRoom),
        }
        if restored {
            return Err(Refusal::RateLimited { retry_after_ms: RESTORING_MS });
        }
        self.make_room(&room_key, (peer, link), &enter.opening, now)?;
        let record = MemberRecord {
            client: ClientNumber(0),
            peer,
            metadata: join.metadata.clone(),
            schema: hello.schema,
            rejoined: false,
        };
        if let Some(guest) = self.guests.get_mut(&link) {
            guest.pass = pass;
        }
        self.enter(now, link, room_key.clone(), record, (proof, join));
        // What it was told may have been too much for it already.
        let is_in = self.guests.get(&link).is_some_and(|guest| guest.client().is_some());
        if is_in {
            self.enter_service(now, link, &room_key, &caller);
        }
        Ok(())
    }

    /// Refuses a peer that joins too often.
    pub(super) fn count_join(&mut self, peer: PeerId, now: Time) -> Result<(), Refusal> {
        let minute = Duration::from_secs(60);
        self.joins.retain(|_, times| times.back().is_some_and(|last| *last + minute > now));
        let times = self.joins.entry(peer).or_default();
        while times.front().is_some_and(|first| *first + minute <= now) {
            times.pop_front();
        }
        if times.len() >= self.config.joins_per_minute as usize {
            let wait = times.front().map_or(minute, |first| (*first + minute) - now);
            let retry_after_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
            return Err(Refusal::RateLimited { retry_after_ms });
        }
        times.push_back(now);
        Ok(())
    }

    /// Opens the room if it is not, and makes room for a peer in it: an older link of the same peer
    /// gives way.
    fn make_room(
        &mut self,
        key: &RoomKey,
        (peer, link): (PeerId, Link),
        opening: &OpeningRecord,
        now: Time,
    ) -> Result<(), Refusal> {
        if let Some(other) = self.rooms.get(key).and_then(|room| room.link_of(peer)) {
            // Links are numbered as they come up: the newest stays, whichever asks last.
            if other > link {
                return Err(Refusal::Replaced);
            }
            self.refuse(other, Refusal::Replaced, now);
        }
        if let Some(room) = self.rooms.get(key) {
            let (record, members) = (room.record(), self.config.members);
            let limit = record.capacity();
            let full = !record.seats.has_place(peer, limit) || room.len() >= members as usize;
            return if full { Err(Refusal::RoomFull { limit }) } else { Ok(()) };
        }
        let terms = (&self.config.service, self.config.members);
        let record = Record::open(opening, terms).map_err(|why| Refusal::BadOpening { why })?;
        self.open_room(key, record, now)
    }

    /// Lets a peer in: says so to it and to everybody else.
    fn enter(
        &mut self,
        now: Time,
        link: Link,
        key: RoomKey,
        record: MemberRecord,
        (proof, join): ([u8; 32], &Join),
    ) {
        let room_time = self.room_time(now);
        let session = Session::of(join.incarnation);
        let peer = record.peer;
        self.enter_ownership(now, &key, (peer, link, session));
        if self.rooms.get(&key).is_some_and(Room::is_blank) && knows_anything(join) {
            self.begin_recovery(now, &key, heads(join));
        }
        DocumentId::ALL.into_iter().for_each(|document| self.finish_cut(&key, document, now));
        let (Some(room), Some(guest)) = (self.rooms.get_mut(&key), self.guests.get_mut(&link))
        else {
            return;
        };
        let others: Vec<Link> = room.links().collect();
        let by = now + self.config.epochs.restoring;
        let introduction = Introduction { peer: guest.peer, incarnation: join.incarnation };
        let member = room.join(link, record);
        room.motion_mut().enter(member.client, (link, guest.minor));
        // A room of which nobody here knows anything is taken up from whoever remembers it.
        let remembered =
            join.known.iter().map(|known| known.lineage).find(|known| *known != [0; 8]);
        if let Some(lineage) = remembered.filter(|_| room.is_blank()) {
            room.descend(lineage);
        }
        // Of a room in which others are and something is, nothing is taken back: who comes brings it.
        let by = (room.is_blank() || others.is_empty()).then_some(by);
        let by = by.filter(|_| guest.pass.writes());
        let kin = is_kin(room, join, by.is_some());
        let answers = DocumentId::ALL
            .map(|document| answer(room, (guest, link, now, by), document, (&introduction, join)));
        let offers = answers.map(|offer| Offer { kin: kin && !knows(join, &offer), ..offer });
        let restored = room.is_restored();
        let client = member.client;
        let documents = List::of(offers);
        let roster = room.revision();
        guest.welcome =
            vec![Message::Welcome(Welcome { proof, client, room_time, roster, documents })];
        guest.welcome.extend(room.roster());
        guest.ear = Ear::default();
        room.signals_mut().enter((peer, session), self.config.signals.senders);
        guest.stage = Stage::Member { room: key.clone(), client };
        guest.compare_at = now + self.config.compare_interval;
        let welcome = guest.welcome.clone();
        for message in &welcome {
            self.say(link, message);
        }
        if restored {
            // Those who came into the empty room come in again when it is whole.
            for other in &others {
                let retry_after_ms = RESTORING_MS;
                self.refuse(*other, Refusal::RateLimited { retry_after_ms }, now);
            }
        }
        for other in others {
            self.say(other, &Message::Joined { revision: roster, member: member.clone() });
        }
        self.report(HubEvent::Joined { room: key, client, peer });
        self.pump_guest(link, now);
    }
}

fn check_metadata(join: &Join, limit: usize) -> Result<(), Refusal> {
    let (limit, size) = (limit as u64, join.metadata.len() as u64);
    if size > limit { Err(Refusal::TooLarge { limit, size }) } else { Ok(()) }
}

/// What a relay offers of a document for what a joining peer says that it knows.
fn answer(
    room: &mut Room,
    (guest, link, now, by): (&mut Guest, Link, Time, Option<Time>),
    document: DocumentId,
    (introduction, join): (&Introduction, &Join),
) -> Offer {
    let known = join.known.iter().find(|known| known.document == document);
    let (epoch, heads) = match known {
        Some(known) => (known.epoch, &known.heads[..]),
        None => (room.first().epoch(), &[][..]),
    };
    let by = by.filter(|_| room.wants(document, epoch));
    if let Some(by) = by {
        room.restore(document, epoch, (link, by));
    }
    let wanted = by.is_some();
    let actor = room.log(document).scope().actor(introduction);
    guest.set_member(document, Member { introduction: *introduction, actor });
    let incarnation = known.map_or(introduction.incarnation, |known| known.incarnation);
    let wrote = Introduction { incarnation, ..*introduction };
    let included = room.included(document, epoch, &wrote);
    let afresh = known.is_some_and(|known| known.afresh);
    let epoch = if afresh { EpochId([0; 32]) } else { epoch };
    let partial = known.and_then(|known| known.partial);
    let offer = offer(room, (guest, now), document, (epoch, heads, partial));
    Offer { wanted, included, ..offer }
}

/// Whether who joins has anything of the room.
fn knows_anything(join: &Join) -> bool {
    join.known.iter().any(|known| !known.heads.is_empty())
}

/// The heads of who joins.
fn heads(join: &Join) -> [Vec<Hash>; 2] {
    DocumentId::ALL.map(|document| {
        let known = join.known.iter().find(|known| known.document == document);
        known.map(|known| known.heads.to_vec()).unwrap_or_default()
    })
}

/// Whether who joins named the epoch that it is offered.
fn knows(join: &Join, offer: &Offer) -> bool {
    let mut known = join.known.iter().filter(|known| known.document == offer.document);
    known.next().is_none_or(|known| known.epoch == offer.epoch)
}

/// Whether somebody has brought in before what was known in the lineage that a joining peer comes
/// from.
fn is_kin(room: &mut Room, join: &Join, restores: bool) -> bool {
    let elsewhere = join.known.iter().find(|known| {
        let document = known.document;
        let there = DocumentId::ALL.contains(&document)
            && room.log(document).scope().epoch() != known.epoch
            && !(restores && room.wants(document, known.epoch));
        there && known.lineage != [0; 8]
    });
    elsewhere.is_some_and(|known| room.absorb(known.lineage))
}

/// What a joining peer gets of a document: what it lacks, behind what the epoch began with if it
/// comes from another, or behind as much of that as it has.
fn offer(
    room: &mut Room,
    (guest, now): (&mut Guest, Time),
    document: DocumentId,
    (epoch, heads, partial): (EpochId, &[Hash], Option<Partial>),
) -> Offer {
    let log = room.log(document);
    let same = log.scope().epoch() == epoch;
    let mut offer = Offer {
        document,
        epoch: log.scope().epoch(),
        lineage: room.lineage(),
        heads: List::of(log.heads()),
        snapshot: None,
        wanted: false,
        included: None,
        kin: false,
        since: room.epochs(document).oldest().unwrap_or_else(|| log.scope().epoch()),
        behind: guest.lane.push_missing(log, if same { heads } else { &[] }),
    };
    if same {
        return offer;
    }
    if let Some((bytes, digest)) = room.snapshot(document, now) {
        let total = bytes.len();
        let known = partial.filter(|partial| partial.digest == digest);
        let known = known.and_then(|partial| usize::try_from(partial.bytes).ok());
        let from = known.filter(|known| *known < total).unwrap_or(0);
        let bytes = bytes.slice(from..);
        let pieces = u32::try_from(bytes.len().div_ceil(guest.chunk)).unwrap_or(u32::MAX);
        let mut feed = Feed::new(guest.chunks_in_flight);
        (0..pieces).for_each(|piece| feed.push(piece));
        let (total, from) = (total as u64, from as u64);
        offer.snapshot = Some(SnapshotOffer { bytes: total, pieces, digest, from });
        guest.snapshots[document.place()] = Some(Outgoing { bytes, feed });
    }
    offer
}
