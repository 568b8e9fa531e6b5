//! Closed rooms: they are given to whoever keeps them, and fetched again when somebody comes.

use rand_core::Rng;

use super::door::{Awaited, Knock};
use super::guest::Stage;
use super::room::Room;
use super::{Hub, HubEvent};
use crate::proto::event::Effect;
use crate::proto::event::kept::{KeptRoom, Unfetched};
use crate::proto::id::{Link, RoomKey};
use crate::proto::reason::Refusal;
use crate::proto::time::Time;

impl Hub {
    /// Whether what is kept of a room is to be looked for before anybody comes in.
    pub(super) fn is_elsewhere(&self, key: &RoomKey) -> bool {
        self.journal.fetches() && !self.rooms.contains_key(key)
    }

    /// A peer waits until its room is there.
    pub(super) fn wait_before_room(&mut self, link: Link, knock: Knock) {
        if let Some(guest) = self.guests.get_mut(&link) {
            guest.stage = Stage::Waiting(Awaited::Room, Box::new(knock));
        }
    }

    /// Has a room fetched, for which a peer waits meanwhile.
    pub(super) fn fetch(&mut self, link: Link, knock: Knock) {
        let room = knock.room().clone();
        self.wait_before_room(link, knock);
        if self.fetching.insert(room.clone()) {
            if self.journal.is_parting(&room) {
                self.commit_parting();
            }
            self.effects.push_back(Effect::Fetch { room });
        }
    }

    /// What is kept of a room is here, if anything: who waited for it goes on.
    pub(super) fn on_fetched(
        &mut self,
        now: Time,
        key: &RoomKey,
        kept: Result<Option<KeptRoom>, Unfetched>,
    ) {
        // What was not asked for would take the place of what is here.
        if !self.fetching.remove(key) {
            return;
        }
        let opened = match kept {
            Ok(Some(kept)) if !self.rooms.contains_key(key) => self.reopen(now, key, &kept),
            Ok(_) => Ok(()),
            Err(unfetched) => {
                let (why, refusal) = match unfetched {
                    Unfetched::Damaged { why } => (why, Refusal::Unreadable),
                    // It may have recovered by the next time.
                    Unfetched::Failed { why } => (why, Refusal::HandshakeTimeout),
                };
                self.report(HubEvent::Unreadable { room: key.clone(), why });
                Err(refusal)
            }
        };
        self.go_on(now, key, &opened, true);
    }

    fn reopen(&mut self, now: Time, key: &RoomKey, kept: &KeptRoom) -> Result<(), Refusal> {
        let limit = self.config.rooms;
        if self.rooms.len() >= limit as usize {
            return Err(Refusal::RelayFull { limit });
        }
        let mut life = [0; 8];
        self.rng.fill_bytes(&mut life);
        self.opened += 1;
        let drawn = (self.me, self.opened, life);
        match Room::load(key, kept, &self.config, drawn, (now, self.epoch)) {
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

    /// Rooms close for which nobody comes any more.
    pub(super) fn close_rooms(&mut self, now: Time, rooms: &[RoomKey]) {
        self.keep(now, rooms);
        for key in rooms {
            let room = self.rooms.remove(key);
            if room.is_some_and(|room| !room.is_untouched()) {
                self.report(HubEvent::Closed { room: key.clone() });
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
