//! The end that writes frames.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use smol_str::SmolStr;

use super::{
    Entry, GONE, History, Known, MAX_NAME, MOST_BEHIND, NEWS, PACE, PATIENCE, Snapshot, WAKES,
    width,
};
use crate::proto::state::coder::Writer;
use crate::proto::state::grid::{COMPONENTS, Kind, Truth};
use crate::proto::state::residual;
use crate::proto::state::rotation::Turn;
use crate::proto::state::track::Track;

/// A value as this end has it.
#[derive(Clone, Debug)]
struct Current {
    entry: Arc<Entry>,
    truth: Truth,
    /// The tick of the last frame that said something of it.
    said: u32,
}

/// What goes out on one hop.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    current: BTreeMap<u32, Current>,
    ids: BTreeMap<SmolStr, u32>,
    last_id: u32,
    sent: History,
    /// The number of the last frame.
    numbered: u32,
    acknowledged: Option<u32>,
    /// Whether something is different since the last frame, or had no room in it.
    dirty: bool,
    /// The first frame that told all that there was to tell since it was.
    telling: u32,
}

/// Something that a frame should say.
struct Want {
    /// The tick at which something was last said of it.
    since: u32,
    /// About how many bytes it takes.
    cost: usize,
    what: What,
}

enum What {
    Moved(usize, Truth),
    Gone(usize),
    New(u32),
}

/// What a frame says.
#[derive(Default)]
struct Plan {
    /// The slots of which it says something, in order; with the truth, or that they are gone.
    said: BTreeMap<usize, Option<Truth>>,
    /// The ids of what is new.
    new: Vec<u32>,
    /// Whether something had no room.
    lacks: bool,
}

impl Outgoing {
    /// Gives a value, which goes with the next frame if the receiver would not guess it. Returns
    /// whether it can be carried: a name too long, a kind that there is not, or another kind than the
    /// name had before cannot.
    pub fn set(&mut self, name: &str, kind: Kind, truth: Truth) -> bool {
        if let Some(current) = self.ids.get(name).and_then(|id| self.current.get_mut(id)) {
            let fits = current.entry.kind == kind && truth.fits(kind);
            if fits {
                self.dirty |= current.truth != truth;
                current.truth = truth;
            }
            return fits;
        }
        if name.len() > MAX_NAME || !kind.is_valid() || !truth.fits(kind) {
            return false;
        }
        self.dirty = true;
        self.last_id += 1;
        let entry = Arc::new(Entry { name: name.into(), kind });
        self.ids.insert(entry.name.clone(), self.last_id);
        self.current.insert(self.last_id, Current { entry, truth, said: 0 });
        true
    }

    /// A value is no more.
    pub fn remove(&mut self, name: &str) -> bool {
        let id = self.ids.remove(name);
        let removed = id.is_some_and(|id| self.current.remove(&id).is_some());
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
        self.ids.contains_key(name)
    }

    /// The number of the last frame.
    #[must_use]
    pub const fn numbered(&self) -> u32 {
        self.numbered
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
        self.current.is_empty() && self.sent.last().is_none_or(|last| last.slots.is_empty())
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
    /// What does not fit comes later; what was said longest ago goes first, behind what is new and on
    /// its way. While as many frames are on their way as are kept, there is none.
    pub fn frame(&mut self, tick: u32, budget: usize, wanted: bool) -> Option<Bytes> {
        let last = self.sent.last().map(|last| last.number);
        if !wanted && last == self.acknowledged && !self.is_due(tick) {
            return None;
        }
        // What the reader acknowledges next must still be here.
        if self.sent.is_full() {
            if tick.saturating_sub(self.sent.last().map_or(0, |last| last.tick)) < PATIENCE {
                return None;
            }
            self.restart();
        }
        let number = self.numbered + 1;
        let base = self.acknowledged.and_then(|base| self.sent.find(base));
        let base = base
            .filter(|base| number - base.number <= MOST_BEHIND && tick - base.tick < u32::MAX / 2);
        let empty = Snapshot::default();
        let (back, ticks, base) = match base {
            Some(base) => (number - base.number, tick - base.tick, base),
            None => (0, 0, &empty),
        };
        let plan = self.plan(base, ticks, budget);
        if !wanted && plan.said.is_empty() && plan.new.is_empty() && !self.is_due(tick) {
            return None;
        }
        let mut writer = Writer::default();
        if back == 0 {
            writer.bits(number, 32);
            writer.bits(tick, 32);
        } else {
            let off = i64::from(ticks) - i64::from(back);
            residual::write(&mut writer, i32::try_from(off).unwrap_or(i32::MAX), PACE);
        }
        let mut snapshot = self.write(&mut writer, base, ticks, &plan);
        (snapshot.number, snapshot.tick) = (number, tick);
        for id in plan.ids(base) {
            if let Some(current) = self.current.get_mut(&id) {
                current.said = tick;
            }
        }
        self.sent.push(snapshot);
        self.numbered = number;
        if self.dirty {
            (self.dirty, self.telling) = (plan.lacks, number);
        }
        let [low, ..] = number.to_le_bytes();
        let [back, ..] = back.to_le_bytes();
        let mut frame = vec![low, back];
        frame.extend(writer.finish());
        Some(frame.into())
    }

    /// Whether the last frame, if it is the one that arrived, does not tell enough.
    fn is_due(&self, tick: u32) -> bool {
        let Some(last) = self.sent.last() else {
            return !self.current.is_empty();
        };
        let ticks = tick.saturating_sub(last.tick);
        let mut here = 0;
        for known in last.slots.iter().flatten() {
            match self.current.get(&known.id) {
                Some(current) if known.track.misses(current.truth, ticks) => return true,
                Some(_) => here += 1,
                None => return true,
            }
        }
        here < self.current.len()
    }

    fn plan(&self, base: &Snapshot, ticks: u32, budget: usize) -> Plan {
        let mut wants = Vec::new();
        let mut known: Vec<u32> = Vec::with_capacity(base.slots.len());
        for (slot, there) in base.slots.iter().enumerate() {
            let Some(there) = there else { continue };
            known.push(there.id);
            match self.current.get(&there.id) {
                Some(current) if there.track.misses(current.truth, ticks) => wants.push(Want {
                    since: current.said,
                    cost: cost(current.entry.kind),
                    what: What::Moved(slot, current.truth),
                }),
                Some(_) => {}
                None => wants.push(Want { since: 0, cost: 2, what: What::Gone(slot) }),
            }
        }
        known.sort_unstable();
        let new = self.current.iter().filter(|(id, _)| known.binary_search(id).is_err());
        wants.extend(new.map(|(id, current)| Want {
            since: current.said,
            cost: current.entry.name.len() + 16,
            what: What::New(*id),
        }));
        if wants.iter().map(|want| want.cost).sum::<usize>() > budget {
            // What is new and may have arrived must not vanish again; then what waited longest.
            let arrives = |want: &Want| matches!(want.what, What::New(_)) && want.since > base.tick;
            wants.sort_by_key(|want| (!arrives(want), want.since));
        }
        let mut plan = Plan::default();
        let mut left = budget;
        for Want { cost, what, .. } in wants {
            // One at least, or it would never go.
            if cost > left && !(plan.said.is_empty() && plan.new.is_empty()) {
                plan.lacks = true;
                continue;
            }
            left = left.saturating_sub(cost);
            match what {
                What::Moved(slot, truth) => {
                    plan.said.insert(slot, Some(truth));
                }
                What::Gone(slot) => {
                    plan.said.insert(slot, None);
                }
                What::New(id) => plan.new.push(id),
            }
        }
        plan.new.sort_unstable();
        plan
    }

    fn write(&self, writer: &mut Writer, base: &Snapshot, ticks: u32, plan: &Plan) -> Snapshot {
        let sleepers = base.sleepers();
        let woken: Vec<usize> =
            (0..sleepers.len()).filter(|at| plan.said.contains_key(&sleepers[*at])).collect();
        if !sleepers.is_empty() {
            writer.bit(!woken.is_empty(), WAKES);
            if !woken.is_empty() {
                residual::long(writer, u32::try_from(woken.len()).unwrap_or(u32::MAX));
                for at in &woken {
                    writer.bits(u32::try_from(*at).unwrap_or(0), width(sleepers.len()));
                }
            }
        }
        let mut after =
            Snapshot { slots: Vec::with_capacity(base.slots.len()), ..Snapshot::default() };
        for (slot, known) in base.slots.iter().enumerate() {
            let next = known.as_ref().and_then(|known| {
                let said = plan.said.get(&slot);
                if !known.is_asleep() {
                    writer.bit(said.is_some(), known.busy);
                }
                say(writer, known, said, ticks)
            });
            after.slots.push(next);
        }
        writer.bit(!plan.new.is_empty(), NEWS);
        if !plan.new.is_empty() {
            residual::long(writer, u32::try_from(plan.new.len()).unwrap_or(u32::MAX));
            let free: Vec<usize> = after.free().take(plan.new.len()).collect();
            for (id, slot) in plan.new.iter().zip(free) {
                if let Some(current) = self.current.get(id)
                    && let Some(track) = introduce(writer, current)
                {
                    after.put(slot, Known::new(Arc::clone(&current.entry), *id, track));
                }
            }
        }
        after
    }
}

impl Plan {
    fn ids(&self, base: &Snapshot) -> Vec<u32> {
        let said = self.said.keys().filter_map(|slot| base.slots.get(*slot)?.as_ref());
        said.map(|known| known.id).chain(self.new.iter().copied()).collect()
    }
}

/// Says what there is to say of an entry. Returns what is known of it then.
fn say(
    writer: &mut Writer,
    known: &Known,
    said: Option<&Option<Truth>>,
    ticks: u32,
) -> Option<Known> {
    match said {
        None => Some(known.passed(ticks)),
        Some(None) => {
            writer.bit(true, GONE);
            None
        }
        Some(Some(truth)) => {
            writer.bit(false, GONE);
            Some(known.moved(known.track.write(writer, *truth, ticks)))
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
    let there = Track::at(*kind, origin(*kind))?.write(writer, current.truth, 1);
    Track::at(*kind, there.shown())
}

/// Where everything is that nothing is known of.
pub(super) const fn origin(kind: Kind) -> Truth {
    match kind {
        Kind::Vector { .. } | Kind::Circle { .. } => Truth::Numbers([0; COMPONENTS]),
        Kind::Rotation { .. } => Truth::Rotation(Turn::NONE),
    }
}

/// About how many bytes a word of an entry takes, from above for what moves as things do.
fn cost(kind: Kind) -> usize {
    match kind {
        Kind::Vector { components } => 1 + usize::from(components) * 3 / 2,
        Kind::Circle { .. } => 2,
        Kind::Rotation { .. } => 6,
    }
}
