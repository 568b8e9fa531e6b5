//! The end that reads frames.

use std::collections::BTreeMap;
use std::mem::take;
use std::sync::Arc;

use smol_str::SmolStr;

use super::outgoing::origin;
use super::{
    COMPLETE, Entry, GONE, History, Known, MAX_NAME, NEWS, PACE, Seat, Snapshot, StateFault, WAKES,
    width,
};
use crate::proto::state::coder::Reader;
use crate::proto::state::grid::{Kind, Truth};
use crate::proto::state::residual;
use crate::proto::state::track::Track;

/// What comes in on one hop.
#[derive(Clone, Debug)]
pub struct Incoming {
    received: History,
    limit: usize,
    /// Whether the last frame built on none.
    anew: bool,
    /// By name, what was there before a frame that built on none, and was not named since: it may be
    /// gone.
    doubtful: BTreeMap<SmolStr, Arc<Entry>>,
    /// What of it is, as the last frame says.
    gone: Vec<Arc<Entry>>,
}

/// A frame that was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Update {
    /// Its number, to be acknowledged.
    pub number: u32,
    /// The tick that it is of.
    pub tick: u32,
}

impl Incoming {
    /// Nothing yet, of at most so many entries.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            received: History::default(),
            limit,
            anew: true,
            doubtful: BTreeMap::new(),
            gone: Vec::new(),
        }
    }

    /// The last frame that came.
    #[must_use]
    pub fn last(&self) -> Option<u32> {
        self.received.last().map(|snapshot| snapshot.number)
    }

    /// Where everything is at a tick from the last frame on, as far as it can be guessed.
    pub fn values(&self, tick: u32) -> impl Iterator<Item = (&Arc<Entry>, Truth)> {
        let last = self.received.last().into_iter();
        last.flat_map(move |snapshot| {
            let ticks = tick.saturating_sub(snapshot.tick);
            snapshot.entries().map(move |(seat, Known { track, .. })| {
                (&seat.entry, if ticks == 0 { track.shown() } else { track.ahead(ticks) })
            })
        })
    }

    /// Where entries are behind the last frame that were elsewhere behind the one before; nothing of
    /// those that are gone.
    pub fn changes(&self) -> impl Iterator<Item = (&Arc<Entry>, Option<Truth>)> {
        let (before, after) = (self.received.before(), self.received.last());
        let slots = after.map_or(0, |after| after.slots.len());
        let moved = (0..slots).filter_map(move |slot| {
            let (was, before) = before?.at(slot)?;
            let (entry, after) = after?.at(slot)?;
            let shown = after.track.shown();
            let same = Arc::ptr_eq(was, entry);
            (same && before.track.shown() != shown).then_some((entry, Some(shown)))
        });
        let moved =
            moved.chain(after.map_or_else(Vec::new, |after| moves(before, after, self.anew)));
        moved.chain(self.gone.iter().map(|entry| (entry, None)))
    }

    /// Takes a frame.
    ///
    /// # Errors
    ///
    /// When it cannot be read here; then everything is as before.
    pub fn receive(&mut self, frame: &[u8]) -> Result<Update, StateFault> {
        let [low, back, body @ ..] = frame else {
            return Err(StateFault::Malformed);
        };
        let mut reader = Reader::new(body);
        let number = match (back, self.last()) {
            (0, _) => reader.bits(32),
            (_, None) => return Err(StateFault::Unfounded),
            (_, Some(last)) => beside(last, *low),
        };
        if self.last().is_some_and(|last| number <= last) || number.to_le_bytes()[0] != *low {
            return Err(StateFault::Stale);
        }
        let room = self.received.room();
        let empty = Snapshot::default();
        let (base, ticks, tick) = if *back == 0 {
            (&empty, 0, reader.bits(32))
        } else {
            let base = number.checked_sub(u32::from(*back));
            let base = base.and_then(|base| self.received.find(base));
            let base = base.ok_or(StateFault::Unfounded)?;
            let off = residual::read(&mut reader, PACE).ok_or(StateFault::Malformed)?;
            let ticks = u32::from(*back).checked_add_signed(off).ok_or(StateFault::Malformed)?;
            let tick = base.tick.checked_add(ticks).ok_or(StateFault::Malformed)?;
            (base, ticks, tick)
        };
        if self.received.last().is_some_and(|last| tick < last.tick) {
            return Err(StateFault::Malformed);
        }
        let base_complete = base.complete;
        let mut after = known(&mut reader, base, ticks, room)?;
        (after.number, after.tick) = (number, tick);
        let new = self.introduced(&mut reader, &after)?;
        let complete = base_complete || reader.bit(COMPLETE);
        if reader.is_beyond() {
            return Err(StateFault::Malformed);
        }
        for (slot, entry, track) in new {
            after.put(slot, Seat { entry, at: slot }, Known::new(track));
        }
        after.complete = complete;
        self.doubt(&after, *back == 0)?;
        self.received.push(after);
        self.anew = *back == 0;
        Ok(Update { number, tick })
    }

    /// Sees what is gone that was there before the stream began anew.
    fn doubt(&mut self, after: &Snapshot, anew: bool) -> Result<(), StateFault> {
        self.gone.clear();
        if let Some(before) = self.received.last().filter(|_| anew) {
            let there = before.entries().map(|(seat, _)| &seat.entry);
            self.doubtful.extend(there.map(|entry| (entry.name.clone(), Arc::clone(entry))));
        }
        if self.doubtful.is_empty() {
            return Ok(());
        }
        for (seat, _) in after.entries() {
            self.doubtful.remove(&seat.entry.name);
        }
        if after.complete {
            self.gone = take(&mut self.doubtful).into_values().collect();
        } else if self.doubtful.len() > self.limit {
            return Err(StateFault::TooMany { limit: self.limit });
        }
        Ok(())
    }

    fn introduced(
        &self,
        reader: &mut Reader<'_>,
        after: &Snapshot,
    ) -> Result<Vec<(usize, Arc<Entry>, Track)>, StateFault> {
        let mut new = Vec::new();
        if !reader.bit(NEWS) {
            return Ok(new);
        }
        let count = residual::read_long(reader).ok_or(StateFault::Malformed)?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let here = after.slots.iter().flatten().count();
        if here.saturating_add(count) > self.limit {
            return Err(StateFault::TooMany { limit: self.limit });
        }
        for slot in after.free().take(count) {
            let (entry, track) = introduced(reader).ok_or(StateFault::Malformed)?;
            if reader.is_beyond() {
                return Err(StateFault::Malformed);
            }
            // Whatever frame has it, an entry is one, so that most are told apart without their names.
            let known = self.received.last().and_then(|last| last.at(slot));
            let known = known.filter(|(known, _)| ***known == entry);
            let entry = known.map_or_else(|| Arc::new(entry), |(known, _)| Arc::clone(known));
            new.push((slot, entry, track));
        }
        Ok(new)
    }
}

/// Of the slots that have not the entry that they had before, what is shown otherwise or gone; names
/// tell. What a frame does not mention that builds on none is not gone for that.
fn moves<'a>(
    before: Option<&'a Snapshot>,
    after: &'a Snapshot,
    anew: bool,
) -> Vec<(&'a Arc<Entry>, Option<Truth>)> {
    let (mut was, mut is) = (BTreeMap::new(), Vec::new());
    let slots = before.map_or(0, |before| before.slots.len());
    for slot in 0..slots.max(after.slots.len()) {
        match (before.and_then(|before| before.at(slot)), after.at(slot)) {
            (Some((before, _)), Some((after, _))) if Arc::ptr_eq(before, after) => {}
            (before, after) => {
                was.extend(before.map(|(entry, known)| (&entry.name, (entry, known))));
                is.extend(after);
            }
        }
    }
    let mut moves = Vec::new();
    for (entry, known) in is {
        let shown = known.track.shown();
        let same = was.remove(&entry.name).is_some_and(|(before, known)| {
            before.kind == entry.kind && known.track.shown() == shown
        });
        if !same {
            moves.push((entry, Some(shown)));
        }
    }
    let gone = was.into_values().filter(|_| !anew);
    moves.extend(gone.map(|(entry, _)| (entry, None)));
    moves
}

/// The number nearest to the last one that ends so.
fn beside(last: u32, low: u8) -> u32 {
    let [last_low, ..] = last.to_le_bytes();
    let ahead = low.wrapping_sub(last_low);
    if ahead < 192 {
        last.saturating_add(u32::from(ahead))
    } else {
        last.saturating_sub(u32::from(last_low.wrapping_sub(low)))
    }
}

/// Reads what a frame says of what is known.
fn known(
    reader: &mut Reader<'_>,
    base: &Snapshot,
    ticks: u32,
    mut slots: Vec<Option<Known>>,
) -> Result<Snapshot, StateFault> {
    let sleepers = base.sleepers();
    let mut woken = Vec::new();
    if !sleepers.is_empty() && reader.bit(WAKES) {
        woken.resize(base.slots.len(), false);
        let count = residual::read_long(reader).ok_or(StateFault::Malformed)?;
        for _ in 0..usize::try_from(count).unwrap_or(usize::MAX).min(sleepers.len()) {
            let at = usize::try_from(reader.bits(width(sleepers.len()))).unwrap_or(usize::MAX);
            let slot = sleepers.get(at).ok_or(StateFault::Malformed)?;
            woken[*slot] = true;
        }
    }
    slots.reserve(base.slots.len());
    for (slot, known) in base.slots.iter().enumerate() {
        let Some(known) = known else {
            slots.push(None);
            continue;
        };
        let moved = if known.is_asleep() {
            woken.get(slot).is_some_and(|woken| *woken)
        } else {
            reader.bit(known.busy)
        };
        if moved && reader.bit(GONE) {
            slots.push(None);
            continue;
        }
        let ahead = known.track.ahead(ticks);
        slots.push(Some(if moved {
            let track = known.track.read(reader, ahead, ticks);
            known.moved(track.ok_or(StateFault::Malformed)?)
        } else {
            known.passed(ahead)
        }));
    }
    Ok(Snapshot { slots, seats: Arc::clone(&base.seats), ..Snapshot::default() })
}

fn introduced(reader: &mut Reader<'_>) -> Option<(Entry, Track)> {
    let length = usize::try_from(residual::read_long(reader)?).ok()?.checked_sub(1)?;
    if length > MAX_NAME {
        return None;
    }
    let mut name = Vec::with_capacity(length);
    for _ in 0..length {
        let [byte, ..] = reader.bits(8).to_le_bytes();
        name.push(byte);
    }
    let name = SmolStr::from(String::from_utf8(name).ok()?);
    let kind = match reader.bits(2) {
        0 => {
            let [components, ..] = (reader.bits(2) + 1).to_le_bytes();
            Kind::Vector { components }
        }
        1 => Kind::Circle { steps: reader.bits(25) },
        2 => Kind::Rotation { steps: reader.bits(16) },
        _ => return None,
    };
    let nowhere = Some(kind).filter(|kind| kind.is_valid())?;
    let origin = origin(nowhere);
    let there = Track::at(nowhere, origin)?.read(reader, origin, 1)?;
    Some((Entry { name, kind }, Track::at(kind, there.shown())?))
}
