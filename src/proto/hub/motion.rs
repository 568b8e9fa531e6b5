//! What moves in a room, as its relay passes it on: whose value counts, the last of each for who comes,
//! and for every member one packet a tick.

mod interest;
mod source;
mod watch;

use std::collections::BTreeMap;

use smol_str::SmolStr;

use self::source::{Held, Source};
use self::watch::Watcher;
use super::Hub;
use super::guest::Stage;
use super::ownership::{Decree, Fold};
use crate::proto::config::StateConfig;
use crate::proto::id::{ClientNumber, Link, PeerId, RoomKey};
use crate::proto::model::path::Path;
use crate::proto::ownership::{Fence, Session};
use crate::proto::reason::Refusal;
use crate::proto::state::stream::StateFault;
use crate::proto::time::Time;
use crate::proto::wire::bounded::{Line, List};
use crate::proto::wire::message::{Message, StateInterest, StatePacket};

/// The first minor version whose peers know the lane.
const SINCE: u16 = 2;

/// How many names one message has at most.
const NAMES: usize = 64;

/// What moves in one room.
#[derive(Debug, Default)]
pub(super) struct Motion {
    /// Who says something, or said it a moment ago.
    sources: BTreeMap<ClientNumber, Source>,
    /// By name: whose value counts, and which it is.
    held: BTreeMap<SmolStr, Held>,
    watchers: BTreeMap<ClientNumber, Watcher>,
    /// When somebody's interest is looked at again.
    review_at: Option<Time>,
    /// When there is something to do.
    due: Option<Time>,
}

impl Motion {
    /// A member is in, which speaks a minor version.
    pub(super) fn enter(&mut self, client: ClientNumber, (link, minor): (Link, u16)) {
        if minor >= SINCE {
            self.watchers.insert(client, Watcher::new(link));
            self.stir(Time::ZERO);
        }
    }

    /// A member is out. What it said stays until `until`.
    pub(super) fn part(&mut self, client: ClientNumber, until: Time) {
        self.watchers.remove(&client);
        if let Some(source) = self.sources.get_mut(&client) {
            source.ends = Some(until);
        }
        self.stir(Time::ZERO);
    }

    /// There is something to do at a time, or when the next member may be told if that is later.
    fn stir(&mut self, at: Time) {
        let next = self.watchers.values().map(Watcher::next).min();
        let at = next.map_or(at, |next| at.max(next));
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// When there is something to do.
    pub(super) const fn due(&self) -> Option<Time> {
        self.due
    }

    /// What a member says counts as one of its values from now on.
    fn hold(&mut self, client: ClientNumber, name: &SmolStr, held: Held) {
        let before = self.held.insert(name.clone(), held);
        if let Some(Held { by, .. }) = before.filter(|before| before.by != client) {
            self.unsay(by, name);
            if let Some(source) = self.sources.get_mut(&by) {
                source.yields.insert(name.clone());
            }
        }
    }

    /// Nobody is told of a value any more as one that a member says.
    fn unsay(&mut self, by: ClientNumber, name: &SmolStr) {
        for watcher in self.watchers.values_mut() {
            watcher.remove(by, name);
        }
        if let Some(source) = self.sources.get_mut(&by) {
            source.fresh.remove(name);
        }
    }

    /// A value does not count any more.
    fn release(&mut self, name: &SmolStr) -> Option<Held> {
        let held = self.held.remove(name)?;
        self.unsay(held.by, name);
        Some(held)
    }

    /// Models change hands: what others said of them goes into the document with that, and their new
    /// owners say what comes.
    pub(super) fn hand_over<'a>(
        &mut self,
        grants: impl Iterator<Item = (&'a Path, PeerId, Session)>,
    ) -> Vec<Fold> {
        let mut folds = Vec::new();
        for (model, owner, session) in grants {
            let owner = (owner, session);
            let from = self.held.range(SmolStr::from(model.as_str())..);
            let below = from.take_while(|(name, _)| name.starts_with(model.as_str()));
            let others = below.filter(|(_, held)| {
                let by = self.sources.get(&held.by).map(Source::who);
                model.contains(&held.name.model) && by != Some(owner)
            });
            let others: Vec<SmolStr> = others.map(|(name, _)| name.clone()).collect();
            for name in others {
                folds.extend(self.release(&name).and_then(|held| held.fold()));
            }
            self.look_at(|source| source.who() == owner);
        }
        folds
    }

    /// What some members say and did not count may count now.
    fn look_at(&mut self, of: impl Fn(&Source) -> bool) {
        for source in self.sources.values_mut().filter(|source| of(source)) {
            source.looks_again = true;
        }
        self.stir(Time::ZERO);
    }

    /// Ends what those said who are gone for long enough. Returns what of it goes into the document.
    fn end(&mut self, now: Time) -> Vec<Fold> {
        let over =
            self.sources.iter().filter(|(_, source)| source.ends.is_some_and(|at| at <= now));
        let over: Vec<ClientNumber> = over.map(|(client, _)| *client).collect();
        let mut folds = Vec::new();
        for client in over {
            let said = self.held.iter().filter(|(_, held)| held.by == client);
            let said: Vec<SmolStr> = said.map(|(name, _)| name.clone()).collect();
            for name in said {
                folds.extend(self.release(&name).and_then(|held| held.fold()));
            }
            if let Some(source) = self.sources.get_mut(&client) {
                (source.ends, source.over) = (None, true);
            }
            self.look_at(Source::is_here);
        }
        folds
    }
}

impl Hub {
    /// A packet of the state lane came, or one that must arrive: such a one counts however many came
    /// since it was sent, because what came builds on it.
    pub(super) fn on_state(&mut self, now: Time, link: Link, mut packet: StatePacket, must: bool) {
        let Some(guest) = self.guests.get(&link) else { return };
        if !guest.pass.writes() {
            packet.sections = List::default();
        }
        let Stage::Member { room: key, client } = guest.stage.clone() else { return };
        let by = (guest.peer, guest.session());
        let boot = self.grantor.boot;
        let Some(room) = self.rooms.get_mut(&key) else { return };
        // Who owned what is not known before all of it is brought back.
        let knows = !room.is_recovering();
        let (log, motion) = room.log_and_motion();
        if let Some(watcher) = motion.watchers.get_mut(&client) {
            watcher.answered(packet.answer);
        }
        let limit = self.config.state.entries;
        let source = motion.sources.entry(client).or_insert_with(|| Source::new(by, limit));
        let number = u16::from_le_bytes(packet.number);
        if !must && !source.arrivals.is_new(number) {
            return;
        }
        let known = Fence::new(boot, packet.known);
        source.know(known);
        let says = !packet.sections.is_empty();
        let mut sections = packet.sections.into_vec().into_iter();
        let taken = match (sections.next(), sections.next()) {
            (None, _) => Ok(Vec::new()),
            (Some(section), None) if section.client == client => source.take(section),
            (Some(_), _) => Err(StateFault::Malformed),
        };
        match taken {
            Ok(said) => {
                source.arrivals.note(number, says);
                if says {
                    source.received = packet.number;
                }
                source.looks_again |= !knows;
                if knows {
                    motion.judge(log.ledger(), client, said);
                }
                motion.stir(Time::ZERO);
            }
            Err(StateFault::Unfounded | StateFault::Stale) => {}
            Err(StateFault::Malformed) => self.refuse(link, Refusal::BadMessage, now),
            Err(StateFault::TooMany { limit }) => {
                let limit = limit as u64;
                self.refuse(link, Refusal::TooLarge { limit, size: limit + 1 }, now);
            }
        }
    }

    /// A member says what it wants to be told of.
    pub(super) fn on_interest(&mut self, link: Link, interest: StateInterest) {
        let Some(guest) = self.guests.get(&link) else { return };
        let Stage::Member { room, client } = &guest.stage else { return };
        if let Some(room) = self.rooms.get_mut(room) {
            let motion = room.motion_mut();
            if let Some(watcher) = motion.watchers.get_mut(client) {
                watcher.attend(interest, &self.config.state);
            }
            motion.stir(Time::ZERO);
        }
    }

    /// Tells members what moved since each was told last.
    pub(super) fn tick_motion(&mut self, now: Time) {
        for key in self.rooms_due(now, |_, (_, room)| room.motion().due()) {
            self.tick_room_motion(now, &key);
        }
    }

    fn tick_room_motion(&mut self, now: Time, key: &RoomKey) {
        let Some(room) = self.rooms.get_mut(key) else { return };
        let knows = !room.is_recovering();
        let (log, motion) = room.log_and_motion();
        if knows {
            motion.look_again(log.ledger());
        }
        let folds = motion.end(now);
        if !folds.is_empty() {
            let mut decree = Decree::default();
            decree.fold(folds);
            self.proclaim(now, key, decree);
        }
        let Some(room) = self.rooms.get_mut(key) else { return };
        let round_trips = |link: Link| self.guests.get(&link).map(|guest| guest.round_trip);
        let (log, motion) = room.log_and_motion();
        motion.prepare(now, &self.config.state, log.table());
        let said = motion.speak(now, &self.config.state, round_trips);
        if !knows {
            motion.stir(now + self.config.state.patience);
        }
        let yields = room.motion_mut().yields(now, &self.config.state);
        for (link, message) in said.into_iter().chain(yields) {
            self.say(link, &message);
        }
    }
}

impl Motion {
    /// Who has to be told that another's value counted before its own.
    fn yields(&mut self, now: Time, config: &StateConfig) -> Vec<(Link, Message)> {
        let mut told = Vec::new();
        let mut again: Option<Time> = None;
        for (client, source) in &mut self.sources {
            let Some(watcher) = self.watchers.get(client) else { continue };
            source.forget_yields();
            if source.yields.is_empty() {
                continue;
            }
            let at = source.yielded.map_or(now, |last| last + config.patience);
            let next = at.max(now + config.patience * u32::from(at <= now));
            again = Some(again.map_or(next, |again| again.min(next)));
            if at > now {
                continue;
            }
            source.yielded = Some(now);
            let names =
                source.yields.iter().take(NAMES).filter_map(|name| Line::new(name.as_str()));
            let message = Message::StateYield { received: source.received, names: List::of(names) };
            told.push((watcher.link(), message));
        }
        if let Some(at) = again {
            self.stir(at);
        }
        told
    }
}
