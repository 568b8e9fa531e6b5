//! Where a value is and where it goes, as both ends of a stream know it.

use super::coder::{Chance, Reader, Writer};
use super::grid::{COMPONENTS, FARTHEST, Kind, PARTS, Truth};
use super::residual::{self, Spread};
use super::rotation::{Turn, UNIT, narrow, root};

/// A rate below this, in [`PARTS`] of a step for a tick, is none.
const STILL: i64 = 16;

/// More ticks than this count as so many.
const MOST_TICKS: u32 = 65_535;

/// How likely a rotation keeps the component that is not written.
const SAME: Chance = Chance::new(65_000);

/// Below this the component that is not written would be too coarse.
const FAINT: i64 = UNIT / 4;

/// A number that moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Axis {
    /// Where it is as far as can be told, in parts of steps.
    place: i64,
    /// How far it goes in a tick.
    rate: i64,
    spread: Spread,
    /// How far beside its place it is shown.
    beside: i32,
}

/// A value that moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Track(Motion);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Motion {
    /// So many numbers; after some steps they go round.
    Numbers {
        axes: [Axis; COMPONENTS],
        count: u8,
        round: Option<u32>,
    },
    Rotation {
        turn: Turn,
        rate: Turn,
        shown: Turn,
        spread: Spread,
        steps: u32,
    },
}

impl Axis {
    fn at(place: i64) -> Self {
        Self { place, rate: 0, spread: Spread::default(), beside: 0 }
    }

    fn ahead(self, ticks: u32, round: Option<u32>) -> i64 {
        let ticks = i64::from(ticks.min(MOST_TICKS));
        let place = self.place.saturating_add(self.rate.saturating_mul(ticks));
        match round {
            Some(_) => wrapped(place, round),
            None => place.clamp(-2 * FARTHEST, 2 * FARTHEST),
        }
    }

    /// Another value, `residual` steps beside the prediction. Small ones are noise of the grid in
    /// part: they count for three quarters of the place, and for a quarter of the rate.
    fn learned(self, residual: i32, ahead: i64, ticks: u32, round: Option<u32>) -> Self {
        let value = whole(ahead).saturating_add(i64::from(residual)).saturating_mul(PARTS);
        let off = value.saturating_sub(ahead);
        let noise = residual.abs() <= 1;
        let (off, turn) = if noise { (off - (off >> 2), off >> 2) } else { (off, off) };
        let rate = self.rate.saturating_add(shared(turn, ticks));
        let rate = rate.clamp(-2 * FARTHEST, 2 * FARTHEST);
        // What rests does so where it is shown.
        let (rate, place) =
            if rate.abs() < STILL { (0, value) } else { (rate, ahead.saturating_add(off)) };
        Self {
            place: wrapped(place, round),
            rate,
            spread: self.spread.learned(residual),
            // Of noise it is a quarter.
            beside: i32::try_from(value.saturating_sub(place)).unwrap_or(0),
        }
    }
}

/// A number, once it has gone round.
fn wrapped(parts: i64, round: Option<u32>) -> i64 {
    round.map_or(parts, |steps| parts.rem_euclid(i64::from(steps) * PARTS))
}

/// The nearest whole number of steps.
const fn whole(parts: i64) -> i64 {
    parts.saturating_add(PARTS / 2).div_euclid(PARTS)
}

impl Track {
    /// A value that nothing is known of but where it is, on the grid.
    #[must_use]
    pub fn at(kind: Kind, truth: Truth) -> Option<Self> {
        let on_grid = |parts: i64| whole(parts).saturating_mul(PARTS);
        Some(Self(match (kind, truth) {
            (Kind::Vector { components }, Truth::Numbers(numbers)) => {
                let axes = numbers.map(|parts| Axis::at(on_grid(parts)));
                Motion::Numbers { axes, count: components, round: None }
            }
            (Kind::Circle { steps }, Truth::Numbers(numbers)) => {
                let round = Some(steps);
                let axes = numbers.map(|parts| Axis::at(wrapped(on_grid(parts), round)));
                Motion::Numbers { axes, count: 1, round }
            }
            (Kind::Rotation { steps }, Truth::Rotation(turn)) => {
                let (rate, spread) = (Turn::NONE, Spread::default());
                Motion::Rotation { turn, rate, shown: turn, spread, steps }
            }
            (Kind::Vector { .. } | Kind::Circle { .. }, Truth::Rotation(_))
            | (Kind::Rotation { .. }, Truth::Numbers(_)) => return None,
        }))
    }

    /// What is shown of it.
    #[must_use]
    pub fn shown(&self) -> Truth {
        match self.0 {
            Motion::Numbers { axes, round, .. } => Truth::Numbers(
                axes.map(|axis| wrapped(axis.place.saturating_add(axis.beside.into()), round)),
            ),
            Motion::Rotation { shown, .. } => Truth::Rotation(shown),
        }
    }

    /// Where it will be after some ticks if nothing is heard.
    #[must_use]
    pub fn ahead(&self, ticks: u32) -> Truth {
        match self.0 {
            Motion::Numbers { axes, round, .. } => {
                Truth::Numbers(axes.map(|axis| axis.ahead(ticks, round)))
            }
            Motion::Rotation { turn, rate, .. } => Truth::Rotation(turned_on(turn, rate, ticks)),
        }
    }

    /// Whether it stays where it is.
    #[must_use]
    pub fn is_still(&self) -> bool {
        match self.0 {
            Motion::Numbers { axes, .. } => axes.iter().all(|axis| axis.rate == 0),
            Motion::Rotation { rate, .. } => rate == Turn::NONE,
        }
    }

    /// Whether a value is farther than half a step from where this will be, which is given.
    #[must_use]
    pub fn misses(&self, ahead: Truth, truth: Truth) -> bool {
        match (self.0, ahead, truth) {
            (
                Motion::Numbers { count, round, .. },
                Truth::Numbers(ahead),
                Truth::Numbers(truth),
            ) => {
                let pairs = ahead.iter().zip(&truth).take(count.into());
                pairs.map(|(a, b)| difference(*b, *a, round)).any(|off| off.abs() > PARTS / 2)
            }
            (Motion::Rotation { steps, .. }, Truth::Rotation(ahead), Truth::Rotation(truth)) => {
                truth.distance(ahead) * i64::from(steps) * 2 > UNIT
            }
            (Motion::Numbers { .. }, ..) | (Motion::Rotation { .. }, ..) => true,
        }
    }

    /// How far a value is from where this will be, which is given, in parts of a step.
    #[must_use]
    pub fn off(&self, ahead: Truth, truth: Truth) -> u64 {
        let off = match (self.0, ahead, truth) {
            (
                Motion::Numbers { count, round, .. },
                Truth::Numbers(ahead),
                Truth::Numbers(truth),
            ) => {
                let pairs = ahead.iter().zip(&truth).take(count.into());
                pairs.map(|(a, b)| difference(*b, *a, round).abs()).max().unwrap_or(0)
            }
            (Motion::Rotation { steps, .. }, Truth::Rotation(ahead), Truth::Rotation(truth)) => {
                truth.distance(ahead) * i64::from(steps) / (UNIT / PARTS)
            }
            (Motion::Numbers { .. }, ..) | (Motion::Rotation { .. }, ..) => i64::MAX,
        };
        off.unsigned_abs()
    }

    /// The same when it is where it was to be, nothing having been heard.
    #[must_use]
    pub fn passed(mut self, ahead: Truth) -> Self {
        match (&mut self.0, ahead) {
            (Motion::Numbers { axes, .. }, Truth::Numbers(places)) => {
                for (axis, place) in axes.iter_mut().zip(places) {
                    (axis.place, axis.beside) = (place, 0);
                }
            }
            (Motion::Rotation { turn, shown, .. }, Truth::Rotation(ahead)) => {
                (*turn, *shown) = (ahead, ahead);
            }
            (Motion::Numbers { .. }, Truth::Rotation(_))
            | (Motion::Rotation { .. }, Truth::Numbers(_)) => {}
        }
        self
    }

    /// Writes where it is, which must be of its kind, some ticks later, when it was to be *ahead*.
    /// Returns the track behind that.
    #[must_use]
    pub fn write(self, writer: &mut Writer, ahead: Truth, truth: Truth, ticks: u32) -> Self {
        let mut residuals = [0; COMPONENTS];
        match (self.0, ahead, truth) {
            (
                Motion::Numbers { axes, count, round },
                Truth::Numbers(ahead),
                Truth::Numbers(truth),
            ) => {
                for at in 0..usize::from(count) {
                    let off = whole(truth[at]) - whole(ahead[at]);
                    let off = round.map_or(off, |steps| centred(off, steps.into()));
                    // Neither is farther out than what fits.
                    residuals[at] = i32::try_from(off).unwrap_or(0);
                    residual::write(writer, residuals[at], axes[at].spread);
                }
                self.moved(ahead, residuals, ticks)
            }
            (
                Motion::Rotation { spread, steps, .. },
                Truth::Rotation(ahead),
                Truth::Rotation(truth),
            ) => {
                let truth = truth.beside(ahead);
                let expected = ahead.largest();
                let part = i64::from(truth.0[expected]);
                let fits = part.abs() >= FAINT && (part < 0) == (ahead.0[expected] < 0);
                let left = if fits { expected } else { truth.largest() };
                let negative = truth.0[left] < 0;
                writer.bit(fits, SAME);
                if !fits {
                    writer.bits(u32::try_from(left).unwrap_or(0), 2);
                    writer.bit(negative, Chance::EVEN);
                }
                for at in (0..COMPONENTS).filter(|at| *at != left) {
                    residuals[at] = scaled(truth.0[at], steps) - scaled(ahead.0[at], steps);
                    residual::write(writer, residuals[at], spread);
                }
                self.turned(ahead, (left, negative), residuals, ticks)
            }
            (Motion::Numbers { .. }, ..) | (Motion::Rotation { .. }, ..) => self,
        }
    }

    /// Reads what [`Self::write`] wrote.
    #[must_use]
    pub fn read(self, reader: &mut Reader<'_>, ahead: Truth, ticks: u32) -> Option<Self> {
        let mut residuals = [0; COMPONENTS];
        match (self.0, ahead) {
            (Motion::Numbers { axes, count, .. }, Truth::Numbers(ahead)) => {
                for (residual, axis) in residuals.iter_mut().zip(axes).take(count.into()) {
                    *residual = residual::read(reader, axis.spread)?;
                }
                Some(self.moved(ahead, residuals, ticks))
            }
            (Motion::Rotation { spread, .. }, Truth::Rotation(ahead)) => {
                let expected = ahead.largest();
                let (left, negative) = if reader.bit(SAME) {
                    (expected, ahead.0[expected] < 0)
                } else {
                    let left = usize::try_from(reader.bits(2)).unwrap_or(0);
                    (left, reader.bit(Chance::EVEN))
                };
                for at in (0..COMPONENTS).filter(|at| *at != left) {
                    residuals[at] = residual::read(reader, spread)?;
                }
                Some(self.turned(ahead, (left, negative), residuals, ticks))
            }
            (Motion::Numbers { .. }, Truth::Rotation(_))
            | (Motion::Rotation { .. }, Truth::Numbers(_)) => None,
        }
    }

    fn moved(mut self, ahead: [i64; COMPONENTS], residuals: [i32; COMPONENTS], ticks: u32) -> Self {
        if let Motion::Numbers { axes, count, round } = &mut self.0 {
            let steps = axes.iter_mut().zip(residuals).zip(ahead).take((*count).into());
            for ((axis, residual), ahead) in steps {
                *axis = axis.learned(residual, ahead, ticks, *round);
            }
        }
        self
    }

    fn turned(
        mut self,
        ahead: Turn,
        (left, negative): (usize, bool),
        residuals: [i32; COMPONENTS],
        ticks: u32,
    ) -> Self {
        let Motion::Rotation { turn, rate, shown, spread, steps } = &mut self.0 else {
            return self;
        };
        let steps = i64::from(*steps);
        let mut parts = [0_i64; COMPONENTS];
        let mut rest = UNIT * UNIT;
        for at in (0..COMPONENTS).filter(|at| *at != left) {
            let whole = i64::from(scaled(ahead.0[at], steps)) + i64::from(residuals[at]);
            parts[at] = (whole * UNIT).div_euclid(steps).clamp(-UNIT, UNIT);
            rest = rest.saturating_sub(parts[at] * parts[at]);
            *spread = spread.learned(residuals[at]);
        }
        parts[left] = if negative { -root(rest) } else { root(rest) };
        let value = Turn(parts.map(narrow));
        let noise = residuals.iter().all(|residual| residual.abs() <= 1);
        let off = ahead.inverse().times(value).half();
        let off = off.map(|part| if noise { part >> 2 } else { part });
        let step = off.map(|part| shared(part, ticks));
        *rate = rate.times(Turn::small(step));
        if rate.half().iter().all(|part| part.abs() * steps * 64 < UNIT) {
            (*rate, *turn) = (Turn::NONE, value);
        } else {
            *turn = ahead.times(Turn::small(off));
        }
        *shown = value;
        self
    }
}

/// What is off by the share of a tick.
const fn shared(off: i64, ticks: u32) -> i64 {
    // Mostly it is one, and a division takes long.
    if ticks <= 1 { off } else { off.div_euclid(ticks as i64) }
}

/// Where a rotation is some ticks later. What rests is not rounded anew.
fn turned_on(turn: Turn, rate: Turn, ticks: u32) -> Turn {
    if rate == Turn::NONE { turn } else { turn.times(rate.repeated(ticks.min(MOST_TICKS))) }
}

/// A component in steps, rounded.
fn scaled(part: i32, steps: impl Into<i64>) -> i32 {
    i32::try_from((i64::from(part) * steps.into() + UNIT / 2) >> 30).unwrap_or(0)
}

/// A difference on a circle, the shorter way round.
const fn centred(off: i64, round: i64) -> i64 {
    (off + round / 2).rem_euclid(round) - round / 2
}

fn difference(a: i64, b: i64, round: Option<u32>) -> i64 {
    let off = a.saturating_sub(b);
    round.map_or(off, |steps| centred(off, i64::from(steps) * PARTS))
}
