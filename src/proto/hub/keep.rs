//! Closed rooms: they are given to whoever keeps them, and fetched again when somebody comes.

use rand_core::Rng;

use super::door::{Awaited, Knock};
use super::guest::Stage;
use super::room::Room;
use super::{Hub, HubEvent};
use crate::proto::event::{Effect, RoomImage};
use crate::proto::id::{Link, RoomKey};
use crate::proto::reason::Refusal;
use crate::proto::time::Time;

impl Hub {
    /// Keeps rooms that close, from now on ([`Effect::Keep`]), and looks for what is kept of a room when
    /// somebody comes ([`Effect::Fetch`]). By default a room that closes is forgotten.
    pub const fn keep_rooms(&mut self) {
        self.keeps = true;
    }

    /// A room closes. Nothing is kept of one of which nothing was said and in which nothing was written, nor
    /// of one of a group if nothing was written: nobody would find it again.
    pub(super) fn keep(&mut self, now: Time, key: &RoomKey) {
        let clock = (now, self.epoch);
        let Some(room) = self.rooms.get_mut(key).filter(|_| self.keeps) else { return };
        let unsaid = room.record().is_blank() || room.record().group().is_some();
        // Of one that is being brought back, not all is here; one that nobody came into is kept as it was.
        if (room.is_blank() && unsaid) || room.is_restored() || room.is_untouched() {
            return;
        }
        let image = room.image(clock);
        self.effects.push_back(Effect::Keep { room: key.clone(), image });
    }

    /// Whether what is kept of a room is to be looked for before anybody comes in.
    pub(super) fn is_elsewhere(&self, key: &RoomKey) -> bool {
        self.keeps && !self.rooms.contains_key(key)
    }

    /// Has a room fetched, for which a peer waits meanwhile.
    pub(super) fn fetch(&mut self, link: Link, knock: Knock) {
        let room = knock.room().clone();
        if let Some(guest) = self.guests.get_mut(&link) {
            guest.stage = Stage::Waiting(Awaited::Room, Box::new(knock));
        }
        if self.fetching.insert(room.clone()) {
            self.effects.push_back(Effect::Fetch { room });
        }
    }

    /// What is kept of a room is here, if anything: who waited for it goes on.
    pub(super) fn on_fetched(
        &mut self,
        now: Time,
        key: &RoomKey,
        image: Result<Option<RoomImage>, String>,
    ) {
        // What was not asked for would take the place of what is here.
        if !self.fetching.remove(key) {
            return;
        }
        let opened = match image {
            Ok(Some(image)) if !self.rooms.contains_key(key) => self.reopen(now, key, &image),
            Ok(_) => Ok(()),
            Err(why) => {
                self.report(HubEvent::Unreadable { room: key.clone(), why });
                // The store may have recovered by the next time.
                Err(Refusal::HandshakeTimeout)
            }
        };
        for link in self.awaiting(key, Awaited::Room) {
            let Some(knock) = self.take_knock(link, Awaited::Room) else { continue };
            let outcome = opened.clone().and_then(|()| self.come(now, link, knock.looked()));
            if let Err(refusal) = outcome {
                self.refuse(link, refusal, now);
            }
        }
    }

    /// The links of those who wait for something before a room.
    fn awaiting(&self, key: &RoomKey, awaited: Awaited) -> Vec<Link> {
        let waits = |stage: &Stage| match stage {
            Stage::Waiting(what, knock) => *what == awaited && knock.room() == key,
            Stage::Greeting | Stage::Greeted(_) | Stage::Visitor { .. } | Stage::Member { .. } => {
                false
            }
        };
        let guests = self.guests.iter().filter(|(_, guest)| waits(&guest.stage));
        guests.map(|(link, _)| *link).collect()
    }

    /// Whether somebody waits for the application's word before a room.
    pub(super) fn is_awaited(&self, key: &RoomKey) -> bool {
        !self.awaiting(key, Awaited::Verdict).is_empty()
    }

    fn reopen(&mut self, now: Time, key: &RoomKey, image: &RoomImage) -> Result<(), Refusal> {
        let limit = self.config.rooms;
        if self.rooms.len() >= limit as usize {
            return Err(Refusal::RelayFull { limit });
        }
        let mut life = [0; 8];
        self.rng.fill_bytes(&mut life);
        self.opened += 1;
        let drawn = (self.me, self.opened, life);
        match Room::load(key, image, &self.config, drawn, (now, self.epoch)) {
            Ok(room) => {
                self.rooms.insert(key.clone(), room);
                Ok(())
            }
            Err(why) => {
                let why = why.to_string();
                self.report(HubEvent::Unreadable { room: key.clone(), why });
                Err(Refusal::Unreadable)
            }
        }
    }

    /// Somebody comes into a room. If it is the first since that was kept, the room is open from now on,
    /// and who owned something in it has a while to come back.
    pub(super) fn welcome_back(&mut self, now: Time, key: &RoomKey) {
        let until = now + self.config.ownership.grace;
        let Some(room) = self.rooms.get_mut(key).filter(|room| room.is_untouched()) else { return };
        room.touch();
        room.logs_and_holdings().1.await_owners(until);
        self.report(HubEvent::Opened { room: key.clone() });
    }
}
