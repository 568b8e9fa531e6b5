//! The end that writes frames.

mod ration;

use std::mem::take;
use std::sync::Arc;

use bytes::Bytes;

use super::price::{BYTE, Price, cost, introduction};
use super::values::{Current, Values};
use super::{
    COMPLETE, Entry, GONE, History, Id, Known, MOST_BEHIND, NEWS, PACE, PATIENCE, Seat, SetError,
    Snapshot, WAKES, width,
};
use crate::proto::state::coder::Writer;
use crate::proto::state::grid::{COMPONENTS, Kind, Truth};
use crate::proto::state::residual;
use crate::proto::state::rotation::Turn;
use crate::proto::state::track::Track;

/// What goes out on one hop.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    values: Values,
    sent: History,
    /// The number of the last frame.
    numbered: u32,
    acknowledged: Option<u32>,
    /// Whether something is different since the last frame, or had no room in it.
    dirty: bool,
    /// The first frame that told all that there was to tell since it was.
    telling: u32,
    /// What the last frame said, for its room.
    plan: Plan,
    everything: bool,
    price: Price,
}

/// What there is to say, what a frame builds on, and how many ticks later it is.
type Hop<'a> = (&'a Values, &'a Snapshot, u32);

/// What a frame says.
#[derive(Clone, Debug, Default)]
struct Plan {
    /// For each slot of what it builds on.
    slots: Vec<Step>,
    /// What is new.
    new: Vec<Id>,
    /// About how many 256ths of a byte it takes; if none, it says nothing.
    cost: usize,
    /// What was estimated for what moved.
    estimated: usize,
    /// Whether something had no room.
    lacks: bool,
}

/// What a frame says of a slot.
#[derive(Clone, Copy, Debug)]
struct Step {
    say: Say,
    /// Where what is there was to be.
    ahead: Truth,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Say {
    Nothing,
    Moved,
    Gone,
}

impl Outgoing {
    /// One whose frames say everything, also what the receiver would guess: for measuring what it is
    /// worth that others do not.
    #[must_use]
    pub fn of_everything() -> Self {
        Self { everything: true, ..Self::default() }
    }

    /// Gives a value, which goes with the next frame if the receiver would not guess it.
    ///
    /// # Errors
    ///
    /// When it cannot be carried.
    pub fn set(&mut self, name: &str, kind: Kind, truth: Truth) -> Result<Id, SetError> {
        let (id, differs) = self.values.set(name, kind, truth)?;
        self.dirty |= differs;
        Ok(id)
    }

    /// The same for a value that was given before.
    ///
    /// # Errors
    ///
    /// When it cannot be carried, or was removed.
    pub fn set_at(&mut self, id: Id, truth: Truth) -> Result<(), SetError> {
        self.dirty |= self.values.set_at(id, truth)?;
        Ok(())
    }

    /// A value is no more.
    pub fn remove(&mut self, name: &str) -> bool {
        let removed = self.values.remove(name);
        self.dirty |= removed;
        removed
    }

    /// The receiver has a frame.
    pub fn acknowledge(&mut self, number: u32) {
        if self.sent.find(number).is_some() && self.acknowledged.is_none_or(|last| last < number) {
            self.acknowledged = Some(number);
            self.sent.forget_before(number);
        }
    }

    /// Whether a value is one that it gives.
    #[must_use]
    pub fn says(&self, name: &str) -> bool {
        self.values.has(name)
    }

    /// The number of the last frame.
    #[must_use]
    pub const fn numbered(&self) -> u32 {
        self.numbered
    }

    /// A frame is to go out and to arrive though all is as it was: something goes beside it.
    pub fn repeat(&mut self) {
        self.dirty |= self.values.len() > 0;
    }

    /// Whether something is different since the last frame, or had no room in it.
    #[must_use]
    pub const fn lacks(&self) -> bool {
        self.dirty
    }

    /// Whether the receiver has all that there is to tell.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let told = self.acknowledged.is_some_and(|acknowledged| acknowledged >= self.telling);
        !self.dirty && (told || self.telling == 0)
    }

    /// Whether there is nothing to say, nor anything that is gone to be told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.len() == 0 && self.sent.last().is_none_or(|last| last.slots.is_empty())
    }

    /// Whether the next frame builds on nothing.
    #[must_use]
    pub const fn is_beginning(&self) -> bool {
        self.acknowledged.is_none()
    }

    /// Nothing that is on its way arrives, nor what was acknowledged: the next frame builds on nothing.
    pub fn restart(&mut self) {
        (self.sent, self.acknowledged) = (History::default(), None);
        self.dirty |= self.telling > 0;
    }

    /// The frame of a tick, of at most about `budget` bytes; nothing if the receiver will guess
    /// everything, unless it is `wanted` all the same. Ticks only rise.
    ///
    /// What does not fit comes later. What is new, or gone, goes first; then what is off the farthest,
    /// and a little what waited longest. While as many frames are on their way as are kept, there is none.
    pub fn frame(&mut self, tick: u32, budget: usize, wanted: bool) -> Option<Bytes> {
        // What the reader acknowledges next must still be here.
        if self.sent.is_full() {
            if tick.saturating_sub(self.sent.last().map_or(0, |last| last.tick)) < PATIENCE {
                return None;
            }
            self.restart();
        }
        let number = self.numbered + 1;
        let room = self.sent.room();
        let base = self.acknowledged.and_then(|base| self.sent.find(base));
        let near = |base: &&Snapshot| {
            let ticks = tick.checked_sub(base.tick);
            number - base.number <= MOST_BEHIND && ticks.is_some_and(|ticks| ticks < u32::MAX / 2)
        };
        let base = base.filter(near);
        let empty = Snapshot::default();
        let (back, ticks, base) = match base {
            Some(base) => (number - base.number, tick - base.tick, base),
            None => (0, 0, &empty),
        };
        let mut plan = take(&mut self.plan);
        plan.make(&self.values, base, ticks, (self.everything, self.price));
        if plan.cost > budget * BYTE {
            plan.ration(&self.values, base, (budget, self.price));
        }
        // Behind the last frame the same is due as behind what this one builds on, if that is it.
        if !wanted && plan.cost == 0 && (back == 1 || !self.is_due(tick)) {
            self.plan = plan;
            return None;
        }
        let mut head = Writer::default();
        head.byte(number.to_le_bytes()[0]);
        head.byte(back.to_le_bytes()[0]);
        if back == 0 {
            head.bits(number, 32);
            head.bits(tick, 32);
        } else {
            let off = i64::from(ticks) - i64::from(back);
            residual::write(&mut head, i32::try_from(off).unwrap_or(i32::MAX), PACE);
        }
        let hop = (&self.values, base, ticks);
        let (frame, mut snapshot) = plan.fit(&head, hop, (budget, self.price), room);
        (snapshot.number, snapshot.tick) = (number, tick);
        self.sent.push(snapshot);
        plan.new.iter().for_each(|id| self.values.say(*id, tick));
        // Also one that says again what is on its way may have room for less of it.
        if self.dirty || plan.lacks {
            (self.dirty, self.telling) = (plan.lacks, number);
        }
        if plan.new.is_empty() {
            self.price.learn(frame.len(), plan.estimated);
        }
        (self.numbered, self.plan) = (number, plan);
        Some(frame.into())
    }

    /// Whether the last frame, if it is the one that arrived, does not tell enough.
    fn is_due(&self, tick: u32) -> bool {
        let Some(last) = self.sent.last() else {
            return self.values.len() > 0;
        };
        let ticks = tick.saturating_sub(last.tick);
        let mut here = 0;
        for (seat, Known { track, .. }) in last.entries() {
            match self.values.of(seat) {
                Some(current) if track.misses(track.ahead(ticks), current.truth) => return true,
                Some(_) => here += 1,
                None => return true,
            }
        }
        here < self.values.len()
    }
}

impl Plan {
    /// Plans to say what differs from what a frame builds on.
    fn make(
        &mut self,
        values: &Values,
        base: &Snapshot,
        ticks: u32,
        (everything, price): (bool, Price),
    ) {
        self.slots.clear();
        self.new.clear();
        (self.cost, self.estimated, self.lacks) = (0, 0, false);
        let mut here = 0;
        for (seat, known) in base.seats.iter().zip(&base.slots) {
            let Some(Known { track, .. }) = known else {
                self.slots.push(Step { say: Say::Nothing, ahead: NOWHERE });
                continue;
            };
            let ahead = track.ahead(ticks);
            let current = values.of(seat);
            here += usize::from(current.is_some());
            let say = match current {
                None => Say::Gone,
                Some(current) if everything || track.misses(ahead, current.truth) => Say::Moved,
                Some(_) => Say::Nothing,
            };
            self.cost += say.cost(seat, price);
            self.estimated += say.estimated(seat);
            self.slots.push(Step { say, ahead });
        }
        if here < values.len() {
            self.new = values.beside(base.entries().map(|(seat, _)| seat));
            let new = self.new.iter().filter_map(|id| values.get(*id));
            self.cost += new.map(introduction).sum::<usize>();
        }
    }

    /// Writes it. Returns what both ends know then.
    fn write(
        &self,
        writer: &mut Writer,
        (values, base, ticks): Hop<'_>,
        mut slots: Vec<Option<Known>>,
    ) -> Snapshot {
        self.wake(writer, &base.sleepers());
        slots.reserve(base.slots.len());
        for ((known, seat), step) in base.slots.iter().zip(base.seats.iter()).zip(&self.slots) {
            slots.push(known.and_then(|known| {
                if !known.is_asleep() {
                    writer.bit(step.say != Say::Nothing, known.busy);
                }
                step.write(writer, known, values.of(seat), ticks)
            }));
        }
        let mut after = Snapshot { slots, seats: Arc::clone(&base.seats), ..Snapshot::default() };
        after.complete = base.complete || !self.lacks;
        writer.bit(!self.new.is_empty(), NEWS);
        if !self.new.is_empty() {
            residual::long(writer, u32::try_from(self.new.len()).unwrap_or(u32::MAX));
            let free: Vec<usize> = after.free().take(self.new.len()).collect();
            for (id, slot) in self.new.iter().zip(free) {
                if let Some(current) = values.get(*id)
                    && let Some(track) = introduce(writer, current)
                {
                    let seat = Seat { entry: Arc::clone(&current.entry), at: id.at() };
                    after.put(slot, seat, Known::new(track));
                }
            }
        }
        if !base.complete {
            writer.bit(after.complete, COMPLETE);
        }
        after
    }

    /// Writes which sleepers wake.
    fn wake(&self, writer: &mut Writer, sleepers: &[usize]) {
        if sleepers.is_empty() {
            return;
        }
        let wakes = |at: &usize| self.slots[sleepers[*at]].say != Say::Nothing;
        let woken: Vec<usize> = (0..sleepers.len()).filter(wakes).collect();
        writer.bit(!woken.is_empty(), WAKES);
        if woken.is_empty() {
            return;
        }
        residual::long(writer, u32::try_from(woken.len()).unwrap_or(u32::MAX));
        for at in woken {
            writer.bits(u32::try_from(at).unwrap_or(0), width(sleepers.len()));
        }
    }
}

impl Say {
    /// About how many 256ths of a byte it takes.
    fn cost(self, seat: &Seat, price: Price) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Moved => price.of(self.estimated(seat)),
            Self::Gone => 2 * BYTE,
        }
    }

    /// The same in bytes and from above, of what moved.
    fn estimated(self, seat: &Seat) -> usize {
        if self == Self::Moved { cost(seat.entry.kind) } else { 0 }
    }
}

impl Step {
    /// Says what there is to say of an entry. Returns what is known of it then.
    fn write(
        &self,
        writer: &mut Writer,
        known: Known,
        current: Option<&Current>,
        ticks: u32,
    ) -> Option<Known> {
        match (self.say, current) {
            (Say::Nothing, _) => Some(known.passed(self.ahead)),
            (Say::Moved, Some(current)) => {
                writer.bit(false, GONE);
                Some(known.moved(known.track.write(writer, self.ahead, current.truth, ticks)))
            }
            (Say::Gone | Say::Moved, _) => {
                writer.bit(true, GONE);
                None
            }
        }
    }
}

/// Writes everything that is to be known of a new entry.
fn introduce(writer: &mut Writer, current: &Current) -> Option<Track> {
    let Entry { name, kind } = &*current.entry;
    residual::long(writer, u32::try_from(name.len() + 1).unwrap_or(1));
    name.bytes().for_each(|byte| writer.bits(u32::from(byte), 8));
    match *kind {
        Kind::Vector { components } => {
            writer.bits(0, 2);
            writer.bits(u32::from(components) - 1, 2);
        }
        Kind::Circle { steps } => {
            writer.bits(1, 2);
            writer.bits(steps, 25);
        }
        Kind::Rotation { steps } => {
            writer.bits(2, 2);
            writer.bits(steps, 16);
        }
    }
    let origin = origin(*kind);
    let there = Track::at(*kind, origin)?.write(writer, origin, current.truth, 1);
    Track::at(*kind, there.shown())
}

/// Where what is not is.
const NOWHERE: Truth = Truth::Numbers([0; COMPONENTS]);

/// Where everything is that nothing is known of.
pub(super) const fn origin(kind: Kind) -> Truth {
    match kind {
        Kind::Vector { .. } | Kind::Circle { .. } => Truth::Numbers([0; COMPONENTS]),
        Kind::Rotation { .. } => Truth::Rotation(Turn::NONE),
    }
}
