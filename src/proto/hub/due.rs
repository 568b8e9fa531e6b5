//! When a relay has something to do. It is asked behind nearly every input, so what an input did not touch
//! is not asked again: of each guest and each room it is known when it is due.

use std::collections::{BTreeMap, BTreeSet};

use super::Hub;
use super::agenda::Agenda;
use super::door::Awaited;
use super::guest::Guest;
use super::plugin::Plugged;
use super::room::Room;
use crate::proto::id::{Link, RoomKey};
use crate::proto::time::Time;

/// When each guest and each room is due, but for what was touched since it was reckoned last.
#[derive(Debug)]
pub(super) struct Dues {
    guests: Agenda<Link>,
    rooms: Agenda<RoomKey>,
    /// In which room each guest is, or before which it waits: what becomes of the guest may matter there.
    places: BTreeMap<Link, RoomKey>,
    /// The same, to be found by rooms.
    crowds: BTreeSet<(RoomKey, Link)>,
}

impl Dues {
    pub(super) const fn new() -> Self {
        Self {
            guests: Agenda::new(),
            rooms: Agenda::new(),
            places: BTreeMap::new(),
            crowds: BTreeSet::new(),
        }
    }

    /// A guest is in a room or before it, or in none. Returns where it was, if that is another.
    fn place(&mut self, link: Link, room: Option<&RoomKey>) -> Option<RoomKey> {
        if self.places.get(&link) == room {
            return None;
        }
        let before = match room {
            Some(room) => self.places.insert(link, room.clone()),
            None => self.places.remove(&link),
        };
        self.crowds.extend(room.map(|room| (room.clone(), link)));
        let before = (before?, link);
        self.crowds.remove(&before);
        Some(before.0)
    }

    /// The guests that are in a room or wait before it, in order.
    fn crowd(&self, room: &RoomKey) -> impl Iterator<Item = Link> {
        let crowd = self.crowds.range((room.clone(), Link(0))..);
        crowd.take_while(move |(place, _)| place == room).map(|(_, link)| *link)
    }
}

impl Hub {
    /// When [`Self::tick`] has something to do, if nothing else happens before. Costs what has happened
    /// since it was asked last, however many rooms and guests there are.
    #[must_use]
    pub fn poll_timeout(&mut self) -> Option<Time> {
        self.reckon();
        if cfg!(debug_assertions) {
            self.check_dues();
        }
        let plugin = self.plugin.as_ref().and_then(Plugged::due);
        let journal = self.journal.due(&self.config.keeping);
        [self.dues.guests.first(), self.dues.rooms.first(), plugin, journal]
            .into_iter()
            .flatten()
            .min()
    }

    /// Asks what was touched when it is due.
    fn reckon(&mut self) {
        for link in self.guests.take_touched() {
            let guest = self.guests.get(&link);
            self.dues.guests.set(&link, guest.and_then(|guest| guest.deadline(&self.config)));
            let room = guest.and_then(Guest::room);
            let before = self.dues.place(link, room);
            for room in before.iter().chain(room) {
                self.rooms.touch(room);
            }
        }
        for key in self.rooms.take_touched() {
            let due = self.room_due(&key);
            self.dues.rooms.set(&key, due);
        }
    }

    /// When there is something to do about a room. It follows from the room, from the guests that are in it
    /// or wait before it, and from nothing else that changes.
    fn room_due(&self, key: &RoomKey) -> Option<Time> {
        let room = self.rooms.get(key)?;
        let of_room = [
            self.epochs_due(room),
            room.columns_due(),
            self.closes(key, room),
            self.ownership_due(key),
            room.motion().due(),
            room.service_due(),
            room.signals().due(&self.config.signals),
        ];
        of_room.into_iter().flatten().min()
    }

    /// The links of those who wait for something before a room.
    pub(super) fn awaiting(&mut self, key: &RoomKey, awaited: Awaited) -> Vec<Link> {
        self.reckon();
        self.waiting(key, awaited).collect()
    }

    /// Whether somebody waits for the application's word before a room, as it was when all was reckoned.
    pub(super) fn is_awaited(&self, key: &RoomKey) -> bool {
        self.waiting(key, Awaited::Verdict).next().is_some()
    }

    fn waiting(&self, key: &RoomKey, awaited: Awaited) -> impl Iterator<Item = Link> {
        let waits = move |link: &Link| {
            let guest = self.guests.get(link);
            guest.is_some_and(|guest| guest.awaits() == Some(awaited))
        };
        self.dues.crowd(key).filter(waits)
    }

    /// The guests that are due, in order.
    pub(super) fn guests_due(&mut self, now: Time) -> Vec<Link> {
        self.reckon();
        self.dues.guests.due(now)
    }

    /// The rooms in which something of one sort is due, in order.
    pub(super) fn rooms_due(
        &mut self,
        now: Time,
        due: impl Fn(&Self, (&RoomKey, &Room)) -> Option<Time>,
    ) -> Vec<RoomKey> {
        self.reckon();
        let is_due = |key: &RoomKey| {
            let room = self.rooms.get(key);
            room.and_then(|room| due(self, (key, room))).is_some_and(|at| at <= now)
        };
        let mut keys = self.dues.rooms.due(now);
        keys.retain(is_due);
        keys
    }

    /// That what is known is what everybody would say who was asked.
    fn check_dues(&self) {
        let (mut known, mut placed) = (0, 0);
        for (link, guest) in self.guests.iter() {
            let due = guest.deadline(&self.config);
            assert_eq!(self.dues.guests.get(link), due, "{link:?} was changed and not touched");
            assert_eq!(self.dues.places.get(link), guest.room(), "{link:?} is elsewhere");
            known += usize::from(due.is_some());
            placed += usize::from(guest.room().is_some());
        }
        assert_eq!(self.dues.guests.len(), known, "guests that are gone are due");
        let places = (self.dues.places.len(), self.dues.crowds.len());
        assert_eq!(places, (placed, placed), "guests that are gone are somewhere");
        known = 0;
        for key in self.rooms.keys() {
            let due = self.room_due(key);
            assert_eq!(self.dues.rooms.get(key), due, "{key:?} was changed and not touched");
            known += usize::from(due.is_some());
        }
        assert_eq!(self.dues.rooms.len(), known, "rooms that are gone are due");
    }
}
