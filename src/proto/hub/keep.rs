//! Closed rooms: they are given to whoever keeps them, and fetched again when somebody comes.

use rand_core::Rng;

use super::door::{Awaited, Knock};
use super::guest::Stage;
use super::room::Room;
use super::{Hub, HubEvent, is_blank};
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

    /// A room closes. Nothing is kept of one in which nothing ever was.
    pub(super) fn keep(&mut self, now: Time, key: &RoomKey) {
        let clock = (now, self.epoch);
        let Some(room) = self.rooms.get_mut(key).filter(|_| self.keeps) else { return };
        // Of one that is being brought back, not all is here.
        if is_blank(room) || room.is_restored() {
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

    /// What is kept of a room is here, if anything: who waited for it comes in.
    pub(super) fn on_fetched(
        &mut self,
        now: Time,
        key: &RoomKey,
        image: Result<Option<RoomImage>, String>,
    ) {
        // What was not asked for would take the place of what is here.
        if !self.fetching.remove(key) || self.rooms.contains_key(key) {
            return;
        }
        let opened = match image {
            Ok(None) => Ok(()),
            Ok(Some(image)) => self.reopen(now, key, &image),
            Err(why) => Err(why),
        };
        let waits = |stage: &Stage| match stage {
            Stage::Waiting(Awaited::Room, knock) => knock.room() == key,
            Stage::Greeting
            | Stage::Greeted(_)
            | Stage::Waiting(Awaited::Verdict, _)
            | Stage::Visitor { .. }
            | Stage::Member { .. } => false,
        };
        let guests = self.guests.iter().filter(|(_, guest)| waits(&guest.stage));
        let links: Vec<Link> = guests.map(|(link, _)| *link).collect();
        if let Err(why) = &opened {
            self.report(HubEvent::Unreadable { room: key.clone(), why: why.clone() });
        }
        for link in links {
            let outcome = match self.take_knock(link, Awaited::Room) {
                Some(_) if opened.is_err() => Err(Refusal::Unreadable),
                Some(knock) => self.let_in(now, link, knock),
                None => continue,
            };
            if let Err(refusal) = outcome {
                self.refuse(link, refusal, now);
            }
        }
    }

    fn reopen(&mut self, now: Time, key: &RoomKey, image: &RoomImage) -> Result<(), String> {
        if self.rooms.len() >= self.config.rooms as usize {
            // Those who wait are told so, one by one.
            return Ok(());
        }
        let mut life = [0; 8];
        self.rng.fill_bytes(&mut life);
        self.opened += 1;
        let drawn = (self.me, self.opened, life);
        let room = Room::load(key, image, &self.config, drawn, (now, self.epoch));
        let mut room = room.map_err(|why| why.to_string())?;
        room.logs_and_holdings().1.await_owners(now + self.config.ownership.grace);
        self.rooms.insert(key.clone(), room);
        self.report(HubEvent::Opened { room: key.clone() });
        Ok(())
    }
}
