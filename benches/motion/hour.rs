//! An hour in which everything moves: what a relay stores of it beside what the room would take if it
//! had just been made, and what somebody who comes is sent until everything shows.

use std::time::Duration;

use parlor::proto::model::handle::Handle;
use parlor::{Datastore, Model, ModelRef, Quaternion, RealtimeSet};
use parlor_bench::room::{Arrived, Room, Stored, fresh};

use crate::bars::Bars;
use crate::lanes::Outcome;
use crate::wander::{Wanderer, Wanderers};

/// How many objects move.
const OBJECTS: usize = 20;

/// Ticks in an hour, and how long one is.
pub(crate) const TICKS: usize = 72_000;
const TICK: Duration = Duration::from_millis(50);

/// How many peers move them, where nothing is said.
const MOVERS: [usize; 2] = [1, 4];

/// Every how many ticks somebody comes: about ten seconds, at other times of each fold.
const EVERY: usize = 207;
/// How much time passes until it is looked again whether everything shows.
const LOOK: u32 = 10;

/// How much may be stored: so many times what is fresh, and so many bytes more.
const TIMES: f64 = 2.0;
const MORE: f64 = 16_000.0;
/// How many times what is fresh somebody who comes may be sent.
const FIRST: f64 = 1.5;

/// How far off what shows may be, in metres; and in the sine of half an angle.
const OFF: f32 = 0.05;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) ticks: usize,
    /// Whether history is cut as somebody comes.
    pub(crate) cut_for_guests: bool,
}

/// The room.
#[derive(Clone, Debug, Default, Model)]
struct Hall {
    #[property(1)]
    movers: RealtimeSet<Mover>,
}

/// An object.
#[derive(Clone, Debug, Default, Model)]
struct Mover {
    #[property(1, unreliable, quantize = 0.01)]
    place: [f32; 3],
    #[property(2, unreliable)]
    turn: Quaternion,
}

impl Mover {
    fn at(wanderer: &Wanderer) -> Self {
        Self { place: wanderer.place, turn: Quaternion(wanderer.turn) }
    }

    /// Whether it is as good as another: a rotation and its opposite are one.
    fn is_at(&self, other: &Self) -> bool {
        let far = |here: f32, there: f32| (here - there).abs() > OFF;
        let places = self.place.iter().zip(other.place);
        let turns: f32 = self.turn.0.iter().zip(other.turn.0).map(|(a, b)| a * b).sum();
        places.into_iter().all(|(here, there)| !far(*here, there)) && 1.0 - turns.abs() < OFF * OFF
    }
}

/// What was seen.
#[derive(Default)]
struct Seen {
    /// What was stored, and what is fresh, when the former was the largest part of what it may be.
    most: (Stored, usize),
    /// The same, were each signature kept that is told.
    told: (Stored, usize),
    /// What is fresh, at least and at most.
    fresh: (usize, usize),
    /// Of what the epoch began with; all documents; that and what moves.
    tiers: [Tier; 3],
    guests: usize,
}

/// What somebody was sent who came, up to something.
#[derive(Default)]
struct Tier {
    /// When it was most times what was fresh.
    most: (Arrived, usize),
    bytes: usize,
    /// How many times what was fresh, of all who came together.
    times: f64,
}

/// How much of what somebody was sent counts.
type Part = fn(&Arrived) -> usize;

const TIERS: [(&str, &str, Part); 3] = [
    ("sent of the base, at most", "sent of the base, times fresh, mean", |arrived| arrived.bases),
    ("sent of the document, at most", "sent of the document, times fresh, mean", |arrived| {
        arrived.bases + arrived.changes
    }),
    ("sent until all shows, at most", "sent until all shows, times fresh, mean", Arrived::values),
];

/// Lets objects wander for so many ticks, moved by so many peers at a time.
pub(crate) fn measure(plan: Plan, movers: &[usize]) -> Outcome<Bars> {
    let mut bars = Bars::of("hour");
    for &movers in if movers.is_empty() { &MOVERS } else { movers } {
        pass(plan, movers.max(1), &mut bars)?;
    }
    Ok(bars)
}

fn pass(plan: Plan, movers: usize, bars: &mut Bars) -> Outcome<()> {
    let Plan { seed, ticks, cut_for_guests } = plan;
    let mut objects = Wanderers::new(seed, OBJECTS);
    let mut room = Room::new(Hall::shape, movers + 1)?;
    let hall = room.store(0).root::<Hall>().ok_or("the room is of another type")?.clone();
    let mut made = Vec::new();
    for object in &objects.all {
        made.push(hall.movers.add(room.peer(0).store_mut(), Mover::at(object))?);
    }
    room.go_on(Duration::from_secs(1))?;
    let (mut seen, mut known) = (Seen::default(), (0, 0));
    for tick in 0..ticks {
        objects.step();
        for (number, (object, made)) in objects.all.iter().zip(&made).enumerate() {
            let store = room.peer(number % movers).store_mut();
            store.update(made, |mover| *mover = Mover::at(object))?;
        }
        // Every so often, and behind every cut.
        let cut = room.cuts() != known.1;
        let comes = tick % EVERY == 0 || (cut && !cut_for_guests);
        if comes && !room.has_guest() {
            if cut_for_guests {
                room.cut()?;
            }
            room.invite()?;
        }
        let stored = (room.stored().all(), room.cuts());
        if known != stored || tick % EVERY == 0 {
            known = stored;
            seen.look(room.stored(), size(&objects)?);
        }
        for _ in 0..LOOK {
            room.go_on(TICK / LOOK)?;
            if let Some((arrived, store)) = room.guest()
                && shows(store, room.store(room.reader()), &made)
            {
                seen.came(arrived, size(&objects)?);
                room.dismiss()?;
            }
        }
    }
    if room.has_guest() {
        room.dismiss()?;
    }
    if !shows(room.store(0), room.store(room.reader()), &made) {
        return Err("the reader shows something else".into());
    }
    let cut = if cut_for_guests { ", cut as somebody comes" } else { "" };
    let way = format!("moved by {movers}, {ticks} ticks, seed {seed}{cut}");
    seen.say(&way, &room, bars);
    Ok(())
}

/// What the room would take if it had just been made.
fn size(objects: &Wanderers) -> Outcome<usize> {
    fresh(Hall::shape(), |store| {
        let hall = store.root::<Hall>().ok_or("the room is of another type")?.clone();
        for object in &objects.all {
            hall.movers.add(store, Mover::at(object))?;
        }
        Ok(())
    })
}

/// Whether everything shows in both alike.
fn shows(store: &Datastore, other: &Datastore, made: &[ModelRef<Mover>]) -> bool {
    made.iter().filter_map(|made| made.path()).all(|path| {
        let named = ModelRef::<Mover>::at(path.clone());
        match (store.get(&named), other.get(&named)) {
            (Some(mover), Some(other)) => mover.is_at(other),
            _ => false,
        }
    })
}

impl Seen {
    fn look(&mut self, stored: Stored, fresh: usize) {
        let (most, told) = (self.most, self.told);
        let now = (stored, fresh);
        if stored.kept() as f64 / may(fresh) > most.0.kept() as f64 / may(most.1) {
            self.most = now;
        }
        if stored.all() as f64 / may(fresh) > told.0.all() as f64 / may(told.1) {
            self.told = now;
        }
        let (least, most) = self.fresh;
        self.fresh = (if least == 0 { fresh } else { least.min(fresh) }, most.max(fresh));
    }

    fn came(&mut self, arrived: Arrived, fresh: usize) {
        self.guests += 1;
        for (tier, (.., part)) in self.tiers.iter_mut().zip(TIERS) {
            let bytes = part(&arrived);
            let times = bytes as f64 / fresh as f64;
            tier.times += times;
            if times > tier.bytes as f64 / tier.most.1.max(1) as f64 {
                (tier.most, tier.bytes) = ((arrived, fresh), bytes);
            }
        }
    }

    fn say(&self, way: &str, room: &Room, bars: &mut Bars) {
        let (most, fresh) = self.most;
        bars.put(way, "fresh, at least", self.fresh.0 as f64);
        bars.put(way, "fresh, at most", self.fresh.1 as f64);
        bars.hold(way, "stored at most", most.kept() as f64, may(fresh));
        bars.put(way, "of it, base", most.base as f64);
        bars.put(way, "of it, changes", most.changes as f64);
        bars.put(way, "of it, each author's last signature", most.word as f64);
        let (told, fresh) = self.told;
        bars.hold(way, "stored at most, were each signature kept", told.all() as f64, may(fresh));
        for (tier, (at_most, mean, _)) in self.tiers.iter().zip(TIERS) {
            let (_, fresh) = tier.most;
            bars.hold(way, at_most, tier.bytes as f64, FIRST * fresh as f64);
            bars.hold(way, mean, tier.times / self.guests.max(1) as f64, FIRST);
        }
        if let Some(Tier { most: (arrived, _), .. }) = self.tiers.last() {
            bars.put(way, "of the last, base", arrived.bases as f64);
            bars.put(way, "of the last, changes", arrived.changes as f64);
            bars.put(way, "of the last, what moves", arrived.moving as f64);
            bars.put(way, "beside it, to come in", arrived.control as f64);
        }
        bars.put(way, "who came", self.guests as f64);
        let all = room.written();
        bars.put(way, "changes", all.changes as f64);
        bars.put(way, "bytes of a change", all.change_bytes as f64 / all.changes.max(1) as f64);
        bars.put(way, "signatures", all.words as f64);
        bars.put(way, "bytes of signatures", all.word_bytes as f64);
        bars.put(way, "cuts", f64::from(room.cuts()));
    }
}

/// How much may be stored.
fn may(fresh: usize) -> f64 {
    TIMES * fresh as f64 + MORE
}
