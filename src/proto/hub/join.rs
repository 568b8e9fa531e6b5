//! How a peer comes into a room of a relay.

use super::door::RESTORING_MS;
use super::guest::{Guest, Outgoing, Stage};
use super::room::Room;
use super::signals::Ear;
use super::{Hub, HubEvent};
use crate::proto::delta::Member;
use crate::proto::feed::Feed;
use crate::proto::id::{DocumentId, EpochId, Link, RoomKey};
use crate::proto::ownership::Session;
use crate::proto::reason::Refusal;
use crate::proto::time::Time;
use crate::proto::wire::bounded::List;
use crate::proto::wire::message::{
    Hash, Introduction, Join, MemberRecord, Message, Offer, Partial, SnapshotOffer, Welcome,
};

impl Hub {
    /// Lets a peer in: says so to it and to everybody else.
    pub(super) fn enter(
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
        if let Some(room) = self.rooms.get_mut(&key).filter(|_| knows_anything(join)) {
            room.logs_and_holdings().1.go_on();
        }
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
