//! Who writes what when, and what was written.

use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::Plan;

/// How long everybody moves before it is measured, and how long is waited for what is late.
const WARM: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(1);

/// How far what shows may be from what was written, in metres: one step and a half of the grid. Of what
/// follows each other in a script, nothing is as near as twice that.
const NEAR: f32 = 0.015;

/// Where somebody is, and where it looks: x, y, z and w.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pose {
    pub(crate) at: [f32; 3],
    pub(crate) turn: [f32; 4],
}

impl Pose {
    /// Somebody who walks, now faster, now slower, always on along x.
    #[expect(clippy::cast_possible_truncation, reason = "a stage is no larger than that")]
    fn of(sender: usize, seconds: f64) -> Self {
        let phase = f64::from(u16::try_from(sender).unwrap_or(u16::MAX));
        let swing = 0.9 * seconds + phase;
        let x = 3.0 * seconds - 1.5 / 0.9 * (swing.cos() - phase.cos());
        let y = 0.05 * (9.0 * seconds + 2.0 * phase).sin().abs();
        let z = 4.0 * (0.5 * seconds + phase).sin();
        let (along, aside) = (3.0 + 1.5 * swing.sin(), 2.0 * (0.5 * seconds + phase).cos());
        let half = (aside.atan2(along) + 0.1 * (2.3 * seconds + phase).sin()) / 2.0;
        let at = [x, y, z].map(|part| part as f32);
        Self { at, turn: [0.0, half.sin() as f32, 0.0, half.cos() as f32] }
    }
}

/// What was written when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    pub(crate) number: u32,
    x: f32,
    pub(crate) at: Instant,
}

/// What everybody does.
pub(crate) struct Script {
    beginning: Instant,
    length: Duration,
    period: Duration,
    /// How long after the beginning each writes first.
    offsets: Vec<Duration>,
    written: Vec<RwLock<Vec<Written>>>,
}

impl Script {
    /// It begins now. When in a period each writes depends on the seed.
    pub(crate) fn new(plan: Plan) -> Self {
        let period = Duration::from_secs(1) / plan.rate;
        let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
        let offsets = (0..plan.peers).map(|_| period / 256 * (rng.next_u32() % 256)).collect();
        let written = (0..plan.peers).map(|_| RwLock::default()).collect();
        Self { beginning: Instant::now(), length: plan.length, period, offsets, written }
    }

    /// What is written from here on counts.
    pub(crate) fn from(&self) -> Instant {
        self.beginning + WARM
    }

    /// What is written from here on does not count any more.
    pub(crate) fn to(&self) -> Instant {
        self.from() + self.length
    }

    /// Nobody has to move any more.
    pub(crate) fn end(&self) -> Instant {
        self.to() + PATIENCE
    }

    /// Whether something counts that is of a time.
    pub(crate) fn counts(&self, at: Instant) -> bool {
        (self.from()..self.to()).contains(&at)
    }

    /// When somebody writes the next time, and what number that is, behind a number.
    pub(crate) fn next(&self, sender: usize, behind: Option<u32>) -> (Instant, u32) {
        let first = self.beginning + self.offsets[sender];
        let past = first.elapsed().as_nanos() / self.period.as_nanos();
        // What was missed is not made up for.
        let number = u32::try_from(past).unwrap_or(u32::MAX);
        let number = behind.map_or(number, |behind| number.max(behind + 1));
        (first + self.period * number, number)
    }

    /// Somebody writes.
    pub(crate) fn write(&self, sender: usize, number: u32) -> Pose {
        let pose = Pose::of(sender, (self.period * number).as_secs_f64());
        let written = Written { number, x: pose.at[0], at: Instant::now() };
        self.written[sender].write().unwrap_or_else(PoisonError::into_inner).push(written);
        pose
    }

    fn look<T>(&self, sender: usize, look: impl FnOnce(&[Written]) -> T) -> T {
        look(&self.written[sender].read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What somebody wrote with a number.
    pub(crate) fn numbered(&self, sender: usize, number: u32) -> Option<Written> {
        self.look(sender, |written| {
            let place = written.binary_search_by_key(&number, |written| written.number).ok()?;
            Some(written[place])
        })
    }

    /// What somebody wrote who is shown at a place; nothing, if nobody ever wrote that.
    pub(crate) fn shown(&self, sender: usize, at: [f32; 3]) -> Option<Written> {
        self.look(sender, |written| {
            let behind = written.partition_point(|written| written.x < at[0]);
            let off = |written: &&Written| (written.x - at[0]).abs();
            let around = written[behind.saturating_sub(1)..].iter().take(2);
            let nearest = around.min_by(|one, other| off(one).total_cmp(&off(other)))?;
            (off(&nearest) <= NEAR).then_some(*nearest)
        })
    }

    /// How much was written that counts, by everybody.
    pub(crate) fn counted(&self) -> usize {
        let senders = 0..self.written.len();
        let counted = senders.map(|sender| {
            self.look(sender, |all| all.iter().filter(|it| self.counts(it.at)).count())
        });
        counted.sum()
    }
}
