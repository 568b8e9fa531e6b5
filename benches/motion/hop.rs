//! Transforms over a hop that loses frames, or over two with a relay between that shows what it has
//! and says that on: how many bytes, how far off, how long.

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::Duration;

use clap::Args;
use cpu_time::ThreadTime;
use parlor::proto::state::grid::{Kind, Truth, number, parts};
use parlor::proto::state::rotation::Turn;
use parlor::proto::state::stream::{Entry, Id, Incoming, Outgoing};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use crate::asteroids::{COUNT, Tick, Transform};
use crate::lanes::Outcome;

const PLACE: Kind = Kind::Vector { components: 3 };

/// The most bytes of a frame, about: enough that everything is told in the first one, and never any
/// that counts later.
const BUDGET: usize = 16_384;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Whether a relay stands between.
    pub(crate) relayed: bool,
    /// Whether every value is said in every frame, also what would be guessed.
    pub(crate) everything: bool,
    /// How many of 100 frames are lost on each hop, and acknowledgements on their way back.
    pub(crate) loss: u32,
    /// How many in a row, on average, where they are lost in a row; else each by itself.
    pub(crate) burst: Option<f64>,
    /// How many ticks later the writer knows what arrived.
    pub(crate) delay: u32,
    pub(crate) grid: Grid,
}

/// What a step is.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Grid {
    /// A step of an asteroid's place, in metres.
    #[arg(long = "step", default_value_t = 0.009_9)]
    pub(crate) place: f64,
    /// How many steps a component of 1 of an asteroid's quaternion has.
    #[arg(long = "steps", default_value_t = 3_000)]
    pub(crate) turn: u32,
}

/// What came out, of the last hop.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Outcomes {
    pub(crate) bytes: usize,
    /// How many transforms there were to tell, and how many of those were in frames that arrived.
    pub(crate) told: usize,
    pub(crate) arrived: usize,
    /// The largest frame behind the first second, in bytes.
    pub(crate) largest: usize,
    pub(crate) encoding: Duration,
    pub(crate) decoding: Duration,
    /// Metres along an axis.
    pub(crate) place: Errors,
    /// Parts of one of a quaternion's components.
    pub(crate) turn: Errors,
    /// How many transforms were not known when a frame had arrived.
    pub(crate) unknown: usize,
}

/// How far values are off.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Errors {
    pub(crate) worst: f64,
    pub(crate) sum: f64,
    pub(crate) count: usize,
}

impl Errors {
    fn add(&mut self, off: f64) {
        self.worst = self.worst.max(off);
        self.sum += off;
        self.count += 1;
    }

    pub(crate) fn mean(&self) -> f64 {
        self.sum / per(self.count)
    }

    fn join(&mut self, other: Self) {
        self.worst = self.worst.max(other.worst);
        self.sum += other.sum;
        self.count += other.count;
    }
}

/// A count to divide by.
#[expect(clippy::cast_precision_loss, reason = "far below what a float counts")]
fn per(count: usize) -> f64 {
    count.max(1) as f64
}

impl Outcomes {
    /// Bytes for a transform.
    pub(crate) fn each(&self) -> f64 {
        per(self.bytes) / per(self.told)
    }

    /// Nanoseconds for a transform, to encode it and to decode one that arrived.
    pub(crate) fn times(&self) -> [f64; 2] {
        let each = |time: Duration, count| time.as_secs_f64() * 1e9 / per(count);
        [each(self.encoding, self.told), each(self.decoding, self.arrived)]
    }

    /// The same of both together.
    pub(crate) fn join(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.told += other.told;
        self.arrived += other.arrived;
        self.largest = self.largest.max(other.largest);
        self.encoding += other.encoding;
        self.decoding += other.decoding;
        self.place.join(other.place);
        self.turn.join(other.turn);
        self.unknown += other.unknown;
    }

    /// What the receiver shows at a tick, against what was meant.
    fn check(&mut self, incoming: &Incoming, tick: u32, meant: &[Transform], grid: Grid) {
        let mut known = 0;
        for (entry, shown) in incoming.values(tick) {
            let Some(meant) = index(entry).and_then(|at| meant.get(at)) else { continue };
            known += 1;
            match shown {
                Truth::Numbers(shown) => {
                    for (shown, meant) in shown.iter().zip(meant.place) {
                        self.place.add((number(*shown, grid.place) - f64::from(meant)).abs());
                    }
                }
                Truth::Rotation(turn) => {
                    let parts = || turn.0.iter().zip(meant.turn).map(|(a, b)| (unit(*a), b.into()));
                    let dot: f64 = parts().map(|(shown, meant): (f64, f64)| shown * meant).sum();
                    for (shown, meant) in parts() {
                        self.turn.add((shown * dot.signum() - meant).abs());
                    }
                }
            }
        }
        // Each has a place and a turn.
        self.unknown += (2 * meant.len()).saturating_sub(known) / 2;
    }
}

/// A quaternion's component.
fn unit(part: i32) -> f64 {
    f64::from(part) / f64::from(1 << 30)
}

/// Whose value it is.
fn index(entry: &Entry) -> Option<usize> {
    let (index, _) = entry.name.split_once('/')?;
    index.parse().ok()
}

/// Tells a scene. Loss depends on the seed.
pub(crate) fn tell(plan: Plan, ticks: &[Tick], seed: u64) -> Outcome<Outcomes> {
    let mut first = Hop::new(plan, seed);
    let mut second = plan.relayed.then(|| Hop::new(plan, !seed));
    let mut all = Outcomes::default();
    let turn = Kind::Rotation { steps: plan.grid.turn };
    let mut values = Vec::new();
    for (tick, transforms) in (1..).zip(ticks) {
        values.clear();
        for (at, transform) in transforms.iter().enumerate() {
            let [x, y, z] = transform.place.map(|part| parts(part.into(), plan.grid.place));
            let (Some(x), Some(y), Some(z)) = (x, y, z) else { return Err("too far".into()) };
            values.push((2 * at, PLACE, Truth::Numbers([x, y, z, 0])));
            let turned = Turn::new(transform.turn).ok_or("no rotation")?;
            values.push((2 * at + 1, turn, Truth::Rotation(turned)));
        }
        let mut came = first.tick(tick, &values)?;
        if let Some(second) = second.as_mut().filter(|_| came) {
            // What did not come is not said on; the next hop goes on guessing.
            values.clear();
            let shown = first.incoming.values(tick);
            values.extend(shown.filter_map(|(entry, truth)| {
                let part = usize::from(entry.kind == turn);
                Some((2 * index(entry)? + part, entry.kind, truth))
            }));
            came = second.tick(tick, &values)?;
        }
        if came {
            let incoming = &second.as_ref().unwrap_or(&first).incoming;
            all.check(incoming, tick, transforms, plan.grid);
        }
    }
    let last = second.unwrap_or(first);
    Ok(Outcomes { told: ticks.len() * COUNT, arrived: last.frames * COUNT, ..last.finish(all) })
}

/// One hop, one way.
struct Hop {
    outgoing: Outgoing,
    ids: Vec<Option<Id>>,
    incoming: Incoming,
    delay: u32,
    /// Of frames, and of acknowledgements.
    loss: [Loss; 2],
    /// At which tick the writer hears of which frame.
    acknowledged: VecDeque<(u32, u32)>,
    bytes: usize,
    largest: usize,
    frames: usize,
    encoding: Duration,
    decoding: Duration,
}

impl Hop {
    fn new(plan: Plan, seed: u64) -> Self {
        Self {
            outgoing: if plan.everything { Outgoing::of_everything() } else { Outgoing::default() },
            ids: vec![None; 2 * COUNT],
            incoming: Incoming::new(2 * COUNT),
            delay: plan.delay,
            loss: [seed, seed ^ 1 << 32].map(|seed| Loss::new(plan, seed)),
            acknowledged: VecDeque::new(),
            bytes: 0,
            largest: 0,
            frames: 0,
            encoding: Duration::ZERO,
            decoding: Duration::ZERO,
        }
    }

    /// Tells a tick. Returns whether it arrived.
    fn tick(&mut self, tick: u32, values: &[(usize, Kind, Truth)]) -> Outcome<bool> {
        let clock = ThreadTime::now();
        for (at, kind, truth) in values {
            if let Some(id) = self.ids[*at] {
                self.outgoing.set_at(id, *truth)?;
            } else {
                let name = format!("{}/{}", at / 2, at % 2 + 1);
                self.ids[*at] = Some(self.outgoing.set(&name, *kind, *truth)?);
            }
        }
        let frame = self.outgoing.frame(tick, BUDGET, false);
        self.encoding += clock.elapsed();
        let [lost, silenced] = self.loss.each_mut().map(Loss::next);
        let mut came = false;
        if let Some(frame) = frame {
            self.bytes += frame.len();
            if tick > 30 {
                self.largest = self.largest.max(frame.len());
            }
            if !lost {
                let clock = ThreadTime::now();
                let update = self.incoming.receive(&frame)?;
                for change in self.incoming.changes() {
                    black_box(change);
                }
                self.decoding += clock.elapsed();
                self.frames += 1;
                came = true;
                if !silenced {
                    self.acknowledged.push_back((tick + self.delay, update.number));
                }
            }
        }
        let clock = ThreadTime::now();
        while let Some((_, number)) = self.acknowledged.front().filter(|(at, _)| *at <= tick) {
            self.outgoing.acknowledge(*number);
            self.acknowledged.pop_front();
        }
        self.encoding += clock.elapsed();
        Ok(came)
    }

    fn finish(self, all: Outcomes) -> Outcomes {
        Outcomes {
            bytes: self.bytes,
            largest: self.largest,
            encoding: self.encoding,
            decoding: self.decoding,
            ..all
        }
    }
}

/// A link that loses: each by itself, or (Gilbert's) in bursts.
struct Loss {
    rng: ChaCha12Rng,
    /// How likely one is lost behind one that was, and behind one that was not.
    again: f64,
    anew: f64,
    lost: bool,
}

impl Loss {
    fn new(plan: Plan, seed: u64) -> Self {
        let share = f64::from(plan.loss) / 100.0;
        let (again, anew) = plan.burst.map_or((share, share), |length| {
            (1.0 - 1.0 / length, share / (length * (1.0 - share)))
        });
        Self { rng: ChaCha12Rng::seed_from_u64(seed), again, anew, lost: false }
    }

    fn next(&mut self) -> bool {
        let likely = if self.lost { self.again } else { self.anew };
        self.lost = f64::from(self.rng.next_u32()) < likely * f64::from(u32::MAX);
        self.lost
    }
}
