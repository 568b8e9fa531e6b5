//! Rooms of a relay as they are found: in lists, by name or id, and by the seats that they have.

use rand_core::Rng;

use super::record::{Asker, Caller, Record};
use super::room::Room;
use super::{Hub, HubEvent};
use crate::proto::id::{AppId, PeerId, RoomKey};
use crate::proto::reason::{Refusal, ServiceError};
use crate::proto::service::{Code, Group};
use crate::proto::time::Time;
use crate::proto::wire::bounded::{Line, List};
use crate::proto::wire::message::{AnswerRecord, CardRecord, Cards};

/// How often a code is drawn that no room has, before the relay counts as full.
const DRAWS: usize = 32;

impl Hub {
    /// A page of the rooms that somebody may know of.
    pub(super) fn list(
        &self,
        (app, peer): (AppId, PeerId),
        (page, size): (u32, u32),
        now: Time,
    ) -> Result<AnswerRecord, ServiceError> {
        // No frame has more.
        let most = u32::try_from(Cards::MAX).unwrap_or(u32::MAX);
        let limit = self.config.service.page.min(most);
        if !(1..=limit).contains(&size) {
            return Err(ServiceError::OutOfRange { limit, number: size });
        }
        let known: Vec<&Room> =
            self.rooms_of(app).filter(|room| room.record().is_known_to(peer)).collect();
        let total = u32::try_from(known.len()).unwrap_or(u32::MAX);
        let first = page.saturating_mul(size);
        let shown = known.iter().skip(first as usize).take(size as usize);
        let rooms = List::of(shown.map(|room| card(room, peer, now)));
        Ok(AnswerRecord::Page { page, total, more: first.saturating_add(size) < total, rooms })
    }

    /// A room, if there is one and somebody may know of it: the two are one answer.
    pub(super) fn show(
        &self,
        (app, peer): (AppId, PeerId),
        is_it: impl Fn(&Room) -> bool,
    ) -> Result<AnswerRecord, ServiceError> {
        let room = self.rooms_of(app).find(|room| is_it(room));
        let shown = room.filter(|room| room.record().is_shown_to(peer, room.knows(peer)));
        let room = shown.ok_or(ServiceError::NoSuchRoom)?;
        Ok(AnswerRecord::Room(room.record().record(room.name(), room.len())))
    }

    /// A seat in a room of a group, held for a while.
    pub(super) fn find_seat(
        &mut self,
        (app, peer): (AppId, PeerId),
        (group, capacity): (&str, u32),
        now: Time,
    ) -> Result<AnswerRecord, ServiceError> {
        let group = Group::new(group).map_err(|_| ServiceError::NoGroup)?;
        let limit = self.config.members;
        if !(1..=limit).contains(&capacity) {
            return Err(ServiceError::OutOfRange { limit, number: capacity });
        }
        let held = self.seat_of(app, peer, &group, now);
        if held.is_none()
            && let Err(Refusal::RateLimited { retry_after_ms }) = self.count_join(peer, now)
        {
            return Err(ServiceError::RateLimited { retry_after_ms });
        }
        let found = held.or_else(|| self.fullest(app, peer, &group, now));
        let fresh = found.is_none();
        let key = match found {
            Some(key) => key,
            None => self.open_of_group(app, group.clone(), capacity, now)?,
        };
        let hold = self.config.service.seat;
        let room = self.rooms.get_mut(&key).ok_or(ServiceError::NoSuchRoom)?;
        let record = room.record_mut();
        let (_, code) = record.group().cloned().ok_or(ServiceError::NoSuchRoom)?;
        let until = record.seats.held_until(peer).filter(|until| *until > now);
        let until = until.unwrap_or(now + hold);
        if record.seats.held_until(peer) != Some(until) {
            record.seats.hold(peer, until);
        }
        let held = until - now;
        Ok(AnswerRecord::Seat {
            group: Line::new(group.as_str()).unwrap_or_default(),
            code,
            capacity: record.capacity(),
            fresh,
            held_ms: u32::try_from(held.as_millis()).unwrap_or(u32::MAX),
        })
    }

    fn rooms_of(&self, app: AppId) -> impl Iterator<Item = &Room> {
        self.rooms.iter().filter(move |((of, _), _)| *of == app).map(|(_, room)| room)
    }

    /// The room of a group in which a seat is held for a peer.
    fn seat_of(&self, app: AppId, peer: PeerId, group: &Group, now: Time) -> Option<RoomKey> {
        let mut rooms = self.rooms_of(app).filter(|room| is_of(room, group));
        let room = rooms.find(|room| {
            let (record, caller) = (room.record(), caller(room, peer));
            record.seats.held_until(peer).is_some()
                && record.lets_in(&caller, |_| false, now).is_ok()
        })?;
        Some((app, room.name().clone()))
    }

    /// The fullest room of a group in which there is a place for a peer that is not inside; the one that
    /// was opened last, of equally full ones.
    fn fullest(&self, app: AppId, peer: PeerId, group: &Group, now: Time) -> Option<RoomKey> {
        let open = self.rooms_of(app).filter(|room| {
            let (record, caller) = (room.record(), caller(room, peer));
            is_of(room, group)
                && !record.seats.is_there(peer)
                && record.seats.has_place(peer, record.capacity())
                && record.lets_in(&caller, |_| false, now).is_ok()
        });
        let room = open.max_by_key(|room| (room.record().seats.count(), room.number()))?;
        Some((app, room.name().clone()))
    }

    fn open_of_group(
        &mut self,
        app: AppId,
        group: Group,
        capacity: u32,
        now: Time,
    ) -> Result<RoomKey, ServiceError> {
        let limit = self.config.rooms;
        let full = ServiceError::RelayFull { limit };
        for _ in 0..DRAWS {
            let code = Code::of(self.rng.next_u32());
            let key = (app, group.room(code));
            if !self.rooms.contains_key(&key) {
                let record = Record::of_group(group, code, capacity);
                self.open_room(&key, record, now).map_err(|_| full)?;
                return Ok(key);
            }
        }
        Err(full)
    }

    /// Opens a room, if there may be another.
    pub(super) fn open_room(
        &mut self,
        key: &RoomKey,
        record: Record,
        now: Time,
    ) -> Result<(), Refusal> {
        if self.rooms.len() >= self.config.rooms as usize {
            return Err(Refusal::RelayFull { limit: self.config.rooms });
        }
        let (mut lineage, mut life) = ([0; 8], [0; 8]);
        self.rng.fill_bytes(&mut lineage);
        self.rng.fill_bytes(&mut life);
        self.opened += 1;
        let drawn = (self.me, lineage, life);
        let room = Room::new(key, (record, self.opened), &self.config, drawn, now);
        self.rooms.insert(key.clone(), room);
        self.report(HubEvent::Opened { room: key.clone() });
        Ok(())
    }
}

fn is_of(room: &Room, group: &Group) -> bool {
    room.record().group().is_some_and(|(of, _)| of == group)
}

/// Somebody who would come in with nothing but a name.
fn caller(room: &Room, peer: PeerId) -> Caller {
    let who = Asker { peer, moderates: false };
    Caller { who, familiar: room.knows(peer), creates: false, invite: None }
}

fn card(room: &Room, peer: PeerId, now: Time) -> CardRecord {
    let door = room.record().door(&caller(room, peer), now);
    room.record().card(room.name(), room.len(), door)
}
