//! What this peer says on the state lane, and hears: its own values once a tick, and those of others. A
//! frame goes at once when something was written, if there was none of its tick.

mod own;
mod seen;

use std::collections::BTreeMap;
use std::time::Duration;

use smol_str::SmolStr;

use self::own::Own;
use self::seen::Source;
use super::Peer;
use super::connection::Connection;
use crate::proto::config::StateConfig;
use crate::proto::id::ClientNumber;
use crate::proto::motion::interest::{Interest, InterestError};
use crate::proto::motion::pace::Pace;
use crate::proto::motion::packets::{Arrivals, Departures};
use crate::proto::ownership::{Fence, prefixes};
use crate::proto::state::stream::Outgoing;
use crate::proto::time::Time;
use crate::proto::wire::bounded::{Blob, List};
use crate::proto::wire::message::{Message, StateInterest, StatePacket, StateSection};

/// The first minor version whose relays know the lane.
const SINCE: u16 = 2;

/// By what part of a tick what was written waits for it.
const SLACK: u32 = 8;

/// What a packet takes beside its frames, from above.
const HEAD: usize = 40;

/// What this peer moves, and what it sees move.
#[derive(Debug, Default)]
pub(super) struct Motion {
    own: BTreeMap<SmolStr, Own>,
    lane: StateLane,
    /// When a frame may be of the next tick.
    due: Time,
    /// When something was written last.
    written: Time,
    /// When something of its own comes to rest, or passes.
    changes: Option<Time>,
    /// What it wants to be told of, if that is not everything, and when that is said again.
    interest: Option<(StateInterest, Time)>,
}

/// The lane of one link.
#[derive(Debug, Default)]
struct StateLane {
    outgoing: Outgoing,
    pace: Option<Pace>,
    tick: u32,
    beside: i8,
    departures: Departures<Option<u32>>,
    arrivals: Arrivals,
    sources: BTreeMap<ClientNumber, Source>,
    /// Whether something of this peer's is to be said that was not.
    stirred: bool,
    /// How many more times a frame goes out all the same.
    again: u8,
    said_at: Time,
    /// When something was last said that was different.
    moved_at: Time,
    /// When an answer goes out by itself, if nothing else does before.
    answer_at: Time,
    /// Since when something that went out was not answered.
    unheard_since: Option<Time>,
    /// Of which grant the relay was told last that it is known here.
    known: u32,
    /// The last grant that says nothing of what this peer says.
    beside_it: u32,
}

impl StateLane {
    /// When what was not answered is said again. While things move, the next tick does that with what
    /// is new: so not before it could have.
    fn resent_at(&self, config: &StateConfig, round_trip: Duration) -> Option<Time> {
        let last = self.said_at.max(self.moved_at + config.frame());
        (!self.outgoing.is_settled()).then(|| last + config.resend_after(round_trip))
    }

    /// When what is redundant goes out once more, of its tick: not before something new could have.
    fn repeated_at(&self, config: &StateConfig) -> Option<Time> {
        (self.again > 0).then(|| self.said_at + config.frame() + config.frame() / 2)
    }

    /// When there is something to say, if nothing else happens before.
    fn due(&self, next: Time, (config, round_trip): (&StateConfig, Duration)) -> Option<Time> {
        let ticks = self.stirred.then_some(next);
        let repeated = self.repeated_at(config);
        let answer = self.arrivals.has_news().then_some(self.answer_at);
        let resent = self.resent_at(config, round_trip);
        let lost = self.unheard_since.map(|at| at + config.patience_of(round_trip));
        [ticks, repeated, answer, resent, lost].into_iter().flatten().min()
    }
}

impl Motion {
    /// When there is a frame of what was written last. What would have to wait long for its tick waits
    /// for what is written next: who writes once a tick and was late once would be late for ever.
    fn ticks_at(&self, period: Duration) -> Time {
        let slack = period / SLACK;
        let waits = self.due.since(self.written) > slack;
        if waits { self.due.max(self.written + period + slack) } else { self.due }
    }

    /// Another link: nothing that was said on the last one counts.
    pub(super) fn begin(&mut self) {
        let stirred = !self.own.is_empty();
        self.lane = StateLane { stirred, ..StateLane::default() };
        for (name, own) in &mut self.own {
            own.begin();
            own.say(name, &mut self.lane.outgoing);
        }
        if let Some((_, at)) = &mut self.interest {
            *at = Time::ZERO;
        }
    }
}

impl Peer {
    /// What to be told of what moves, from now on; all of it, to begin with. The relay is told at the
    /// next tick, and again once a second.
    ///
    /// # Errors
    ///
    /// When the interest is too large, or an area is nowhere.
    pub fn set_interest(&mut self, interest: &Interest) -> Result<(), InterestError> {
        self.motion.interest = Some((interest.record()?, Time::ZERO));
        Ok(())
    }

    /// Says what to be told of, if it is time.
    fn say_interest(&mut self, now: Time) {
        let again = now + self.config.compare_interval;
        if !self.connection.as_ref().is_some_and(speaks) {
            return;
        }
        if let Some((interest, at)) = &mut self.motion.interest
            && *at <= now
        {
            *at = again;
            let message = Message::StateInterest(interest.clone());
            self.say(&message, now);
        }
    }

    /// When there is something to do on the state lane.
    pub(super) fn motion_due(&self) -> Option<Time> {
        // When it was written is when it is taken.
        let written = self.store.has_written().then_some(Time::ZERO);
        let next = self.motion.ticks_at(self.config.state.frame());
        let round_trip = self.clock.round_trip();
        let open = self.connection.as_ref().is_some_and(speaks);
        let lane =
            if open { self.motion.lane.due(next, (&self.config.state, round_trip)) } else { None };
        let learned = (open && self.knows_more()).then_some(next);
        let interest = self.motion.interest.as_ref().filter(|_| open).map(|(_, at)| *at);
        [written, self.motion.changes, lane, learned, interest].into_iter().flatten().min()
    }

    /// Lets time pass for what moves.
    pub(super) fn tick_motion(&mut self, now: Time) {
        if self.motion_due().is_none_or(|due| now < due) {
            return;
        }
        self.say_interest(now);
        self.take_own(now);
        self.check_own(now);
        let ticks = now >= self.motion.ticks_at(self.config.state.frame());
        let owned = self.store.take_owned();
        self.show_owners(&owned);
        // A tick in which nothing was said is still to come: what is written then goes at once.
        if self.speak(now, ticks) {
            self.motion.due = now + self.until_next_tick(now);
        }
    }

    fn until_next_tick(&mut self, now: Time) -> Duration {
        let frame = self.config.state.frame();
        let lane = &self.motion.lane;
        match lane.pace.zip(self.clock.room_time(now)) {
            Some((pace, at)) => pace.until_next(at, lane.tick),
            None => frame,
        }
    }

    /// Sends what there is to send, at a tick or because what was sent was not answered. Returns
    /// whether the tick is over.
    fn speak(&mut self, now: Time, ticks: bool) -> bool {
        let round_trip = self.clock.round_trip();
        let config = &self.config.state;
        let Some(at) = self.clock.room_time(now) else { return ticks };
        let client = self.client.filter(|_| self.connection.as_ref().is_some_and(speaks));
        let Some(client) = client else { return ticks };
        let (known, learned) = (self.known_grant(), self.knows_more());
        let concerned = learned && self.is_concerned();
        let lane = &mut self.motion.lane;
        if lane.unheard_since.is_some_and(|at| at + config.patience_of(round_trip) <= now) {
            lane.unheard_since = None;
            lane.outgoing.restart();
            lane.stirred = true;
        }
        if learned && concerned {
            (lane.known, lane.stirred) = (known, true);
            lane.outgoing.repeat();
        } else if learned {
            lane.beside_it = known;
        }
        let unheard = lane.resent_at(config, round_trip).is_some_and(|at| at <= now);
        let repeats = lane.repeated_at(config).is_some_and(|at| at <= now);
        let over = ticks && lane.stirred;
        // Between ticks what was not answered is said again: of its tick, and so without what was
        // written since.
        if over {
            self.motion.own.iter_mut().for_each(|(name, own)| own.say(name, &mut lane.outgoing));
        }
        let section = if over || unheard || repeats {
            lane.section((client, at), over, (now, config))
        } else {
            None
        };
        if section.is_none() && !(lane.arrivals.has_news() && lane.answer_at <= now) {
            return over;
        }
        // Where something is said once a tick, that takes it along.
        let alone = if self.motion.own.is_empty() { Duration::ZERO } else { config.frame() / 4 };
        lane.answer_at = now + config.frame() + alone;
        let whole = section.as_ref().is_some_and(|section| section.pace.is_some());
        let cargo = section.as_ref().map(|_| lane.outgoing.numbered());
        let number = lane.departures.depart(cargo);
        lane.arrivals.told();
        // Of a frame that had not room for all, it is not known here what it has.
        if section.is_some() && !lane.outgoing.lacks() {
            self.motion.own.values_mut().for_each(|own| own.sent(number));
        }
        let packet = StatePacket {
            number: number.to_le_bytes(),
            answer: self.motion.lane.arrivals.answer(),
            known,
            sections: List::of(section),
        };
        let message = if whole { Message::StateWhole(packet) } else { Message::State(packet) };
        self.say(&message, now);
        over
    }

    /// Whether there are later grants than the relay was told of, or than say nothing of what this peer
    /// says.
    fn knows_more(&self) -> bool {
        let (known, lane) = (self.known_grant(), &self.motion.lane);
        known != lane.known && known != lane.beside_it && !self.motion.own.is_empty()
    }

    /// Whether any of them is of something above what this peer says: then more of that may count, once
    /// the relay knows.
    fn is_concerned(&self) -> bool {
        let told = Fence::new(self.lease.boot(), self.motion.lane.known);
        self.motion.own.values().any(|own| {
            let place = own.name.place();
            prefixes(place.as_str()).any(|path| self.store.token(path) > told)
        })
    }

    /// The last grant of the relay's present boot that is known here.
    fn known_grant(&self) -> u32 {
        let grant = self.store.newest_grant();
        if grant.boot() == self.lease.boot() { grant.counter() } else { 0 }
    }
}

impl StateLane {
    /// This peer's values at a time, as far as the relay does not know them.
    fn section(
        &mut self,
        (client, at): (ClientNumber, u64),
        moves: bool,
        (now, config): (Time, &StateConfig),
    ) -> Option<StateSection> {
        let pace = *self.pace.get_or_insert_with(|| Pace::beginning(at, config.frame()));
        if moves || self.tick == 0 {
            (self.tick, self.beside) = pace.tick(at, self.tick);
            self.moved_at = now;
        }
        self.said_at = now;
        self.again = self.again.saturating_sub(1);
        let begins = self.outgoing.is_beginning();
        let budget = if begins { config.whole } else { config.packet.saturating_sub(HEAD) };
        let frame = self.outgoing.frame(self.tick, budget, true)?;
        self.stirred &= !moves;
        // It goes with what must arrive, so that all else may build on it at once.
        if begins {
            self.outgoing.acknowledge(self.outgoing.numbered());
        }
        if begins || !self.outgoing.is_settled() {
            self.unheard_since.get_or_insert(now);
        }
        let pace = begins.then(|| pace.record());
        Some(StateSection { client, beside: self.beside, pace, frame: Blob::new(frame)? })
    }
}

/// Whether the state lane of a link is open.
fn speaks(open: &Connection) -> bool {
    open.is_in() && open.theirs.as_ref().is_some_and(|hello| hello.version.minor >= SINCE)
}
