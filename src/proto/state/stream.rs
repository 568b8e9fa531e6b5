//! Frames of one hop: everything that is different at one tick, against what the receiver has.
//!
//! A frame names the frame that it builds on, which the receiver has acknowledged. So nothing that is
//! lost holds up what comes later: whatever was in it is different still, and in the next frame. What
//! both ends know of every entry behind a frame is a snapshot; each end keeps the last few.

mod incoming;
mod outgoing;
mod price;
mod values;

use std::collections::VecDeque;
use std::mem::take;
use std::sync::Arc;

use smol_str::SmolStr;
use thiserror::Error;

pub use self::incoming::{Incoming, Update};
pub use self::outgoing::Outgoing;
pub use self::values::{Id, SetError};
use super::coder::Chance;
use super::grid::{Kind, Truth};
use super::residual::Spread;
use super::track::Track;

/// The most bytes of an entry's name.
pub const MAX_NAME: usize = 512;

/// The most frames that one may lie behind the frame that builds on it.
const MOST_BEHIND: u32 = 255;

/// How far the ticks from one frame to another are from the number of frames: as it is at first.
const PACE: Spread = Spread::new(1 << 5);

/// How many snapshots are kept at most, and how many tracks in all of them; of four each at least.
const SNAPSHOTS: usize = 32;
const TRACKS: usize = 8_192;
const LEAST: usize = 4;

/// After so many ticks in which nothing was acknowledged a writer begins anew, on nothing.
const PATIENCE: u32 = 64;

/// After so many frames without a word an entry that is still is not asked about any more.
const ASLEEP: u8 = 16;

/// How likely it is at first that a frame says something of an entry.
const BUSY: Chance = Chance::new(1 << 14);
/// How fast that is learned, as a shift.
const BUSY_RATE: u32 = 4;
/// How likely anything that sleeps wakes in a frame.
const WAKES: Chance = Chance::new(1 << 12);
/// How likely a frame has anything new.
const NEWS: Chance = Chance::new(1 << 12);
/// How likely a frame names all that there is, where that is said.
const COMPLETE: Chance = Chance::new(1 << 15);
/// How likely what is said of an entry is that it is gone.
const GONE: Chance = Chance::new(1 << 6);

/// Why a frame was not taken. Nothing of it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum StateFault {
    /// It builds on a frame that is not here: it came too late, or what it builds on did not come.
    #[error("it builds on a frame that is not here")]
    Unfounded,
    /// It is not newer than what is here.
    #[error("it is not newer than what is here")]
    Stale,
    /// It is none.
    #[error("malformed")]
    Malformed,
    /// It names more than may be.
    #[error("more than {limit} entries")]
    TooMany {
        /// How many there may be.
        limit: usize,
    },
}

/// What is the same of a value for as long as it is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// What it is called: at most [`MAX_NAME`] bytes.
    pub name: SmolStr,
    /// What it is made of.
    pub kind: Kind,
}

/// Whose a slot is.
#[derive(Clone, Debug)]
struct Seat {
    entry: Arc<Entry>,
    /// Where the writing end has its value.
    at: usize,
}

/// What is known of an entry behind a frame.
#[derive(Clone, Copy, Debug)]
struct Known {
    track: Track,
    /// How likely the next frame says something of it.
    busy: Chance,
    /// How many frames said nothing.
    quiet: u8,
}

impl Known {
    const fn new(track: Track) -> Self {
        Self { track, busy: BUSY, quiet: 0 }
    }

    fn is_asleep(&self) -> bool {
        self.quiet >= ASLEEP && self.track.is_still()
    }

    /// Behind a frame that said nothing of it, at which it was to be *ahead*.
    fn passed(mut self, ahead: Truth) -> Self {
        if !self.is_asleep() {
            self.busy = self.busy.learned(false, BUSY_RATE);
        }
        self.quiet = self.quiet.saturating_add(1);
        self.track = self.track.passed(ahead);
        self
    }

    /// Behind a frame that said where it is.
    const fn moved(self, track: Track) -> Self {
        Self { track, busy: self.busy.learned(true, BUSY_RATE), quiet: 0 }
    }
}

/// What both ends know behind a frame.
#[derive(Clone, Debug, Default)]
struct Snapshot {
    /// The number of its frame.
    number: u32,
    /// The tick that it is of.
    tick: u32,
    /// By slot; nothing where what was there is gone.
    slots: Vec<Option<Known>>,
    /// By slot, and the same for as long as nothing is new: whose it is, or was last.
    seats: Arc<Vec<Seat>>,
    /// Whether its frame, or one that it builds on, said that nothing is left out: what is not here is
    /// not there.
    complete: bool,
}

impl Snapshot {
    /// Every slot that has an entry.
    fn entries(&self) -> impl Iterator<Item = (&Seat, &Known)> {
        let slots = self.seats.iter().zip(&self.slots);
        slots.filter_map(|(seat, known)| Some((seat, known.as_ref()?)))
    }

    fn at(&self, slot: usize) -> Option<(&Arc<Entry>, &Known)> {
        let known = self.slots.get(slot)?.as_ref()?;
        Some((&self.seats.get(slot)?.entry, known))
    }

    fn sleepers(&self) -> Vec<usize> {
        let slots = self.slots.iter().enumerate();
        let asleep = slots.filter(|(_, known)| known.as_ref().is_some_and(Known::is_asleep));
        asleep.map(|(slot, _)| slot).collect()
    }

    /// The first slots that are free, in order; behind the last one there is always another.
    fn free(&self) -> impl Iterator<Item = usize> {
        let slots = self.slots.iter().enumerate();
        let free: Vec<usize> =
            slots.filter(|(_, known)| known.is_none()).map(|(slot, _)| slot).collect();
        free.into_iter().chain(self.slots.len()..)
    }

    /// Puts an entry into a free slot, or behind the last one.
    fn put(&mut self, slot: usize, seat: Seat, known: Known) {
        let seats = Arc::make_mut(&mut self.seats);
        if slot < self.slots.len() {
            (seats[slot], self.slots[slot]) = (seat, Some(known));
        } else {
            seats.push(seat);
            self.slots.push(Some(known));
        }
    }
}

/// How many snapshots of so many slots are kept.
fn most(slots: usize) -> usize {
    (TRACKS / slots.max(1)).clamp(LEAST, SNAPSHOTS)
}

/// How many bits tell one of `count` apart.
const fn width(count: usize) -> u32 {
    usize::BITS - count.saturating_sub(1).leading_zeros()
}

/// The last snapshots, the oldest first.
#[derive(Clone, Debug, Default)]
struct History {
    snapshots: VecDeque<Snapshot>,
    /// Room for the slots of another one, left from one that was forgotten.
    room: Vec<Option<Known>>,
}

impl History {
    fn push(&mut self, snapshot: Snapshot) {
        let most = most(snapshot.slots.len());
        self.snapshots.push_back(snapshot);
        while self.snapshots.len() > most {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some(Snapshot { mut slots, .. }) = self.snapshots.pop_front() {
            slots.clear();
            self.room = slots;
        }
    }

    /// Room for slots.
    fn room(&mut self) -> Vec<Option<Known>> {
        take(&mut self.room)
    }

    /// Whether another snapshot would push the oldest one out.
    fn is_full(&self) -> bool {
        self.last().is_some_and(|last| self.snapshots.len() >= most(last.slots.len()))
    }

    fn find(&self, number: u32) -> Option<&Snapshot> {
        self.snapshots.iter().rev().find(|snapshot| snapshot.number == number)
    }

    fn last(&self) -> Option<&Snapshot> {
        self.snapshots.back()
    }

    /// The one before the last.
    fn before(&self) -> Option<&Snapshot> {
        self.snapshots.iter().nth_back(1)
    }

    /// Forgets what is older than a frame.
    fn forget_before(&mut self, number: u32) {
        while self.snapshots.front().is_some_and(|snapshot| snapshot.number < number) {
            self.pop();
        }
    }
}
