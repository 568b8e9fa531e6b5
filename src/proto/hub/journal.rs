//! How open rooms are kept: what came to each since it was last kept, of all of them in one commit, and
//! one commit at a time, so that a disk is asked a few times in a second however much is written.
//!
//! What is not kept yet is told all the same, but for where history is cut: members who had followed a
//! cut that their relay then forgot would be in an epoch that nobody else knows.

use std::collections::{BTreeMap, BTreeSet};

use super::door::Awaited;
use super::guest::Guest;
use super::room::Room;
use super::{Hub, HubEvent};
use crate::proto::config::KeepingConfig;
use crate::proto::event::Effect;
use crate::proto::event::kept::Keeping;
use crate::proto::id::{DocumentId, Link, RoomKey};
use crate::proto::reason::{KEEPING_SINCE, Refusal};
use crate::proto::time::Time;
use crate::proto::wire::message::Told;

/// Of which rooms something is kept.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Keeps {
    /// Of none.
    #[default]
    Nothing,
    /// Of those that close.
    Closed,
    /// Of all, for it outlives the relay.
    Everything,
    /// Of none any more: it could not be done. What was kept before is asked for on, and if it cannot be
    /// said nobody comes in: it would be lost otherwise.
    NoMore,
}

/// What is kept of the rooms of a relay, and what of that is under way.
#[derive(Debug, Default)]
pub(super) struct Journal {
    keeps: Keeps,
    /// The last commit that was begun, and the last that has ended.
    begun: u64,
    ended: u64,
    /// When the last was begun that had open rooms in it.
    at: Option<Time>,
    /// Rooms to which something may have come since.
    stirred: BTreeSet<RoomKey>,
    /// What is to be kept of rooms that have closed since.
    parting: Vec<Keeping>,
    /// Rooms in which a cut is told to nobody before it is kept.
    held: BTreeSet<RoomKey>,
    /// Who wants to be told that all is kept that it brought: its own mark, and in which commit that is,
    /// once it is in one.
    asked: BTreeMap<Link, (u32, Option<u64>)>,
}

impl Journal {
    /// When the next commit is to be begun, if there may be anything in it.
    pub(super) fn due(&self, config: &KeepingConfig) -> Option<Time> {
        let is_new = !(self.stirred.is_empty() && self.parting.is_empty());
        let waits = self.keeps == Keeps::Everything && is_new;
        let free = self.begun == self.ended;
        (waits && free).then(|| self.at.map_or(Time::ZERO, |at| at + config.interval))
    }

    /// Whether rooms are looked for when somebody comes.
    pub(super) fn fetches(&self) -> bool {
        self.keeps != Keeps::Nothing
    }

    /// Whether what comes is kept such that it outlives the relay.
    pub(super) fn is_durable(&self) -> bool {
        self.keeps == Keeps::Everything
    }

    /// Whether a room has closed of which something is to be kept with the next commit.
    pub(super) fn is_parting(&self, key: &RoomKey) -> bool {
        self.parting.iter().any(|keeping| keeping.room() == key)
    }

    /// Something may have come to a room.
    pub(super) fn stir(&mut self, key: &RoomKey) {
        if self.is_durable() && !self.stirred.contains(key) {
            self.stirred.insert(key.clone());
        }
    }

    /// A link is over: nobody is to be told.
    pub(super) fn forget(&mut self, link: Link) {
        self.asked.remove(&link);
    }
}

impl Hub {
    /// Keeps rooms from now on ([`Effect::Commit`]), and looks for what is kept of a room when somebody
    /// comes ([`Effect::Fetch`]): what comes to any room, soon, if what is kept outlives this relay; else
    /// rooms that close, which costs nothing while they are open. By default a room that closes is
    /// forgotten.
    pub fn keep_rooms(&mut self, is_durable: bool) {
        self.journal.keeps = if is_durable { Keeps::Everything } else { Keeps::Closed };
    }

    /// Rooms are over for this relay: what is not kept of them is.
    pub(super) fn keep(&mut self, now: Time, rooms: &[RoomKey]) {
        let (clock, number) = ((now, self.epoch), self.journal.begun + 1);
        for key in rooms {
            self.journal.stirred.remove(key);
            let Some(room) = self.rooms.get_mut(key).filter(|room| room.is_worth_keeping()) else {
                continue;
            };
            match self.journal.keeps {
                Keeps::Nothing | Keeps::NoMore => {}
                Keeps::Closed => {
                    let keeping = Keeping::Whole { room: key.clone(), image: room.image(clock) };
                    // One that there is no room for is no reason to forget another.
                    self.commit(vec![keeping]);
                }
                Keeps::Everything => {
                    // What is read again is short then.
                    if room.trail().is_long(&self.config.keeping) {
                        room.trail_mut().lose();
                    }
                    let keeping = room.news(key, (&self.config.keeping, number), clock);
                    self.journal.parting.extend(keeping);
                }
            }
        }
    }

    /// Begins a commit with what is to be kept of rooms that have closed: before one of them is fetched
    /// again, and when there is no later one.
    pub(super) fn commit_parting(&mut self) {
        let parting = std::mem::take(&mut self.journal.parting);
        self.commit(parting);
    }

    fn commit(&mut self, keepings: Vec<Keeping>) {
        if !keepings.is_empty() {
            self.journal.begun += 1;
            self.effects.push_back(Effect::Commit { number: self.journal.begun, keepings });
        }
    }

    /// Begins a commit with what came to open rooms, and what is left of those that closed, if it is time.
    pub(super) fn tick_journal(&mut self, now: Time) {
        let config = &self.config.keeping;
        if self.journal.due(config).is_none_or(|due| due > now) {
            return;
        }
        let (clock, number) = ((now, self.epoch), self.journal.begun + 1);
        let mut keepings = std::mem::take(&mut self.journal.parting);
        let mut bytes: usize = keepings.iter().map(Keeping::size).sum();
        for key in std::mem::take(&mut self.journal.stirred) {
            let Some(room) = self.rooms.get_mut(&key) else { continue };
            let is_whole = !room.is_restored() && room.has_columns();
            if is_whole && !room.is_worth_keeping() {
                // It stirs again.
                continue;
            }
            if bytes >= config.at_once || !is_whole {
                self.journal.stirred.insert(key);
                continue;
            }
            let keeping = room.news(&key, (config, number), clock);
            bytes += keeping.as_ref().map_or(0, Keeping::size);
            keepings.extend(keeping);
            for document in DocumentId::ALL {
                room.log_and_epochs(document).1.hand_over(number);
            }
        }
        self.journal.at = Some(now);
        self.commit(keepings);
        self.assign(now);
    }

    /// A commit has ended: who waited for it goes on.
    pub(super) fn on_committed(
        &mut self,
        now: Time,
        number: u64,
        outcome: Result<Vec<RoomKey>, String>,
    ) {
        self.journal.ended = self.journal.ended.max(number);
        match outcome {
            Ok(without) => {
                for key in without {
                    self.give_up(now, &key);
                    self.report(HubEvent::NotKept { room: key });
                }
            }
            Err(why) => self.keep_no_more(now, why),
        }
        let ended = self.journal.ended;
        for key in std::mem::take(&mut self.journal.held) {
            if self.release(now, &key, ended) {
                // If it has closed meanwhile, it is fetched.
                self.go_on(now, &key, &Ok(()), false);
            } else {
                self.journal.held.insert(key);
            }
        }
        self.assign(now);
    }

    /// Nothing is kept any more.
    fn keep_no_more(&mut self, now: Time, why: String) {
        let was_durable = self.journal.is_durable();
        self.journal.keeps = Keeps::NoMore;
        self.journal.parting.clear();
        self.journal.ended = self.journal.begun;
        if was_durable {
            let rooms: Vec<RoomKey> = self.rooms.keys().cloned().collect();
            rooms.iter().for_each(|key| self.give_up(now, key));
        }
        self.report(HubEvent::KeepsNoMore { why });
    }

    /// Nothing of a room is kept any more, so that nobody waits for it.
    fn give_up(&mut self, now: Time, key: &RoomKey) {
        self.journal.stirred.remove(key);
        let Some(room) = self.rooms.get_mut(key) else { return };
        room.trail_mut().give_up();
        for document in DocumentId::ALL {
            room.log_and_epochs(document).1.hand_over(0);
        }
        for link in room.links().collect::<Vec<_>>() {
            self.journal.forget(link);
            self.tell_keeping(link, Told::Keeps(false), now);
            self.pump_service(link, now);
        }
    }

    /// Tells of cuts that are kept. Returns whether nothing of a room is held back any more.
    fn release(&mut self, now: Time, key: &RoomKey, ended: u64) -> bool {
        let Some(room) = self.rooms.get_mut(key) else { return true };
        let mut free = true;
        for document in DocumentId::ALL {
            let epochs = room.log_and_epochs(document).1;
            epochs.release(ended);
            free &= !epochs.is_unkept();
        }
        for link in room.links().collect::<Vec<_>>() {
            self.pump_guest(link, now);
        }
        free
    }

    /// Whether what comes to a room is kept such that it outlives the relay.
    pub(super) fn is_kept(&self, key: &RoomKey) -> bool {
        let is_given_up = |room: &Room| room.trail().is_given_up();
        self.journal.is_durable() && !self.rooms.get(key).is_some_and(is_given_up)
    }

    /// A cut is made that is to be told to nobody before it is kept.
    pub(super) fn hold(&mut self, key: &RoomKey, document: DocumentId) {
        if self.is_kept(key)
            && let Some(room) = self.rooms.get_mut(key)
        {
            room.log_and_epochs(document).1.hold();
            self.journal.held.insert(key.clone());
            self.journal.stir(key);
        }
    }

    /// Whether who comes into a room has to wait until a cut is kept. One that is on its way is made now.
    pub(super) fn makes_wait(&mut self, now: Time, key: &RoomKey) -> bool {
        if self.journal.is_durable() {
            DocumentId::ALL.into_iter().for_each(|document| self.finish_cut(key, document, now));
        }
        let is_unkept = |room: &Room| {
            DocumentId::ALL.into_iter().any(|document| room.epochs(document).is_unkept())
        };
        self.rooms.get(key).is_some_and(is_unkept)
    }

    /// Those who wait before a room go on, or are refused; and whether what is kept of it is here.
    pub(super) fn go_on(
        &mut self,
        now: Time,
        key: &RoomKey,
        outcome: &Result<(), Refusal>,
        has_looked: bool,
    ) {
        for link in self.awaiting(key, Awaited::Room) {
            let Some(knock) = self.take_knock(link, Awaited::Room) else { continue };
            let knock = knock.looked(has_looked);
            let outcome = outcome.clone().and_then(|()| self.come(now, link, knock));
            if let Err(refusal) = outcome {
                self.refuse(link, refusal, now);
            }
        }
    }

    /// A member wants to be told when all is kept that it has brought so far.
    pub(super) fn on_keep_asked(&mut self, now: Time, link: Link, mark: u32) {
        let place = self.guests.get(&link).and_then(Guest::place);
        if place.is_some_and(|(key, _)| self.is_kept(&key)) {
            self.journal.asked.insert(link, (mark, None));
            self.assign(now);
        }
    }

    /// Tells those who asked what is kept by now.
    fn assign(&mut self, now: Time) {
        let ended = self.journal.ended;
        let mut kept = Vec::new();
        let asked: Vec<Link> = self.journal.asked.keys().copied().collect();
        for link in asked {
            let key = self.guests.get(&link).and_then(Guest::place).map(|(key, _)| key);
            let Some(room) = key.and_then(|key| self.rooms.get(&key).map(|room| (key, room)))
            else {
                continue;
            };
            let (key, room) = room;
            let Some((mark, number)) = self.journal.asked.get_mut(&link) else { continue };
            if number.is_none() && !self.journal.stirred.contains(&key) {
                *number = Some(room.trail().number());
            }
            if number.is_some_and(|number| number <= ended) {
                kept.push((link, *mark));
            }
        }
        for (link, mark) in kept {
            self.journal.asked.remove(&link);
            self.tell_keeping(link, Told::Kept { mark }, now);
            self.pump_service(link, now);
        }
    }

    /// Tells a member of what is kept, if it knows of that.
    pub(super) fn tell_keeping(&mut self, link: Link, told: Told, now: Time) {
        if self.guests.get(&link).is_some_and(|guest| guest.minor >= KEEPING_SINCE) {
            self.tell_one(link, told, now);
        }
    }
}
