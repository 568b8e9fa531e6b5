//! Where values lie that travel on the state lane: grids, and values on and off them.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::property::vector::{Colour, Quaternion, join, split};
use super::value::Value;
use crate::proto::state::grid::{COMPONENTS, Kind, PARTS, Truth, number, parts};
use crate::proto::state::rotation::Turn;

/// What a value is in Rust and documents, as far as it can be put on a grid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// A signed integer.
    Signed,
    /// An unsigned integer, or a fieldless enum by its numbers.
    Unsigned,
    /// A `bool`.
    Flag,
    /// An `f32` or `f64`.
    Float,
    /// As many `f32`s: 2 to 4.
    Vector(u8),
    /// A unit quaternion, whose opposite is the same rotation.
    Rotation,
}

impl Form {
    /// The step of grids that say none.
    #[must_use]
    pub const fn step(self) -> f64 {
        match self {
            Self::Signed | Self::Unsigned | Self::Flag => 1.0,
            Self::Float | Self::Vector(_) => 0.001,
            Self::Rotation => 1.0 / 1024.0,
        }
    }

    /// What is asked of its grids, for a person.
    pub(super) const fn rule(self) -> &'static str {
        match self {
            Self::Signed | Self::Unsigned | Self::Float => {
                "a number has a step above 0, and from 2 to 2^24 steps once `round`"
            }
            Self::Flag => "a flag is on or off: it has no `quantize` and no `round`",
            Self::Vector(_) => "a vector has a step above 0, and does not go `round`",
            Self::Rotation => {
                "a rotation has a step from 1/32768 to 1/16 for each component, no range, and no \
                 `round`"
            }
        }
    }

    /// The form whose letter a text begins with, and what is behind.
    fn parse(text: &str) -> Option<(Self, &str)> {
        let mut letters = text.chars();
        let form = match letters.next()? {
            'i' => Self::Signed,
            'u' => Self::Unsigned,
            'b' => Self::Flag,
            'f' => Self::Float,
            'v' => Self::Vector(u8::try_from(letters.next()?.to_digit(10)?).ok()?),
            'q' => Self::Rotation,
            _ => return None,
        };
        Some((form, letters.as_str()))
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signed => f.write_str("i"),
            Self::Unsigned => f.write_str("u"),
            Self::Flag => f.write_str("b"),
            Self::Float => f.write_str("f"),
            Self::Vector(components) => write!(f, "v{components}"),
            Self::Rotation => f.write_str("q"),
        }
    }
}

/// Where the values of a property may lie, and what they are.
///
/// In writing it is the letter of its form (`i`, `u`, `b`, `f`, `v2` to `v4`, or `q`), then
/// `:STEP` unless that is [`Form::step`], `+ORIGIN` or `-ORIGIN` unless that is 0, and `oROUND` if it
/// goes round, all in decimal without exponents: `v3:0.01`, `f-10`, `f:0.5o360`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Grid {
    /// What the values are.
    pub form: Form,
    /// How far apart the points are; of what goes round, as near to it as whole steps come.
    pub step: f64,
    /// Where one of them is.
    pub origin: f64,
    /// Once round, for numbers that go round.
    pub round: Option<f64>,
}

impl Grid {
    /// Whether values of its form can be on it.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        if !(self.step.is_finite() && self.step > 0.0 && self.origin.is_finite()) {
            return false;
        }
        let plain = self.origin == 0.0 && self.round.is_none();
        match self.form {
            Form::Signed | Form::Unsigned | Form::Float => self.kind().is_valid(),
            Form::Flag => plain && self.step == 1.0,
            Form::Vector(components) => {
                self.round.is_none() && components >= 2 && self.kind().is_valid()
            }
            Form::Rotation => plain && self.kind().is_valid(),
        }
    }

    /// What the codec calls values on it.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match (self.form, self.round) {
            (Form::Rotation, _) => Kind::Rotation { steps: count(1.0 / self.step) },
            (Form::Vector(components), _) => Kind::Vector { components },
            (_, Some(round)) => Kind::Circle { steps: count(round / self.step) },
            (_, None) => Kind::Vector { components: 1 },
        }
    }

    /// Where a value is. Nothing if it is of another kind, not finite, or too far out.
    #[must_use]
    pub fn truth(&self, value: &Value) -> Option<Truth> {
        self.truth_within(value, None)
    }

    /// The same of a value whose numbers are kept within a range.
    pub(super) fn truth_within(&self, value: &Value, range: Option<(f64, f64)>) -> Option<Truth> {
        if let (Form::Rotation, Value::Bytes(bytes)) = (self.form, value) {
            return Turn::new(split(bytes)?).map(Truth::Rotation);
        }
        let mut places = [0; COMPONENTS];
        let (numbers, count) = numbers(self.form, value)?;
        for (place, &number) in places.iter_mut().zip(&numbers).take(count) {
            // Not by `clamp`, which does not bear every range.
            let within = |(low, high)| number.max(low).min(high);
            let kept = if number.is_finite() { range.map_or(number, within) } else { number };
            *place = self.place(kept)?;
        }
        Some(Truth::Numbers(places))
    }

    /// The value that is somewhere. Nothing if that is of another kind. Integers are rounded, and
    /// unsigned ones not below 0.
    #[must_use]
    pub fn value(&self, truth: Truth) -> Option<Value> {
        let places = match (self.form, truth) {
            (Form::Rotation, Truth::Rotation(turn)) => return Some(join(&turn.quaternion())),
            (Form::Rotation, Truth::Numbers(_)) | (_, Truth::Rotation(_)) => return None,
            (_, Truth::Numbers(places)) => places,
        };
        let numbers = places.map(|place| self.number(place));
        let [first, ..] = numbers;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "rounded to an f32, as every vector; integers end where their type does"
        )]
        match self.form {
            Form::Signed => Some(Value::Int(first.round() as i64)),
            Form::Unsigned => Some(Value::Uint(first.round() as u64)),
            Form::Flag => Some(Value::Bool(first >= 0.5)),
            Form::Float => Some(Value::Float(first)),
            Form::Vector(components) => {
                let narrow = numbers.map(|number| number as f32);
                narrow.get(..usize::from(components)).map(join)
            }
            Form::Rotation => None,
        }
    }

    /// The place of a number.
    fn place(&self, number: f64) -> Option<i64> {
        let off = number - self.origin;
        let Some((round, steps)) = self.circle() else {
            return parts(off, self.step);
        };
        // What is next to once round is rounded to it, and that is 0.
        let place = parts(off.rem_euclid(round), round / f64::from(steps))?;
        Some(place.rem_euclid(i64::from(steps) * PARTS))
    }

    /// The number at a place.
    fn number(&self, place: i64) -> f64 {
        let Some((round, steps)) = self.circle() else {
            return self.origin + number(place, self.step);
        };
        let place = place.rem_euclid(i64::from(steps) * PARTS);
        self.origin + number(place, round / f64::from(steps))
    }

    /// Once round, and in how many steps, of what goes round.
    fn circle(&self) -> Option<(f64, u32)> {
        match (self.round, self.kind()) {
            (Some(round), Kind::Circle { steps }) => Some((round, steps.max(1))),
            (_, Kind::Vector { .. } | Kind::Circle { .. } | Kind::Rotation { .. }) => None,
        }
    }
}

/// The nearest count.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what a `u32` does not hold becomes one that is no valid count"
)]
const fn count(number: f64) -> u32 {
    number.round() as u32
}

/// The numbers of a value that has the form, and how many there are.
fn numbers(form: Form, value: &Value) -> Option<([f64; COMPONENTS], usize)> {
    #[expect(clippy::cast_precision_loss, reason = "an integer that large is between grid points")]
    let number = match (form, value) {
        (Form::Signed, Value::Int(number)) => *number as f64,
        (Form::Unsigned, Value::Uint(number)) => *number as f64,
        (Form::Flag, Value::Bool(flag)) => f64::from(u8::from(*flag)),
        (Form::Float, Value::Float(number)) => *number,
        (Form::Vector(2), Value::Bytes(bytes)) => {
            return split(bytes).map(|[x, y]| ([x, y, 0.0, 0.0].map(f64::from), 2));
        }
        (Form::Vector(3), Value::Bytes(bytes)) => {
            return split(bytes).map(|[x, y, z]| ([x, y, z, 0.0].map(f64::from), 3));
        }
        (Form::Vector(4), Value::Bytes(bytes)) => {
            return split(bytes).map(|all: [f32; 4]| (all.map(f64::from), 4));
        }
        _ => return None,
    };
    Some(([number, 0.0, 0.0, 0.0], 1))
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { form, step, origin, round } = *self;
        write!(f, "{form}")?;
        if step != form.step() {
            write!(f, ":{step}")?;
        }
        if origin != 0.0 {
            write!(f, "{origin:+}")?;
        }
        round.map_or(Ok(()), |round| write!(f, "o{round}"))
    }
}

/// Why a text is no grid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum GridError {
    /// No grid is written so.
    #[error("not as a grid is written, such as `v3:0.01`")]
    Malformed,
    /// There is no such grid.
    #[error("{}", .0.rule())]
    Invalid(Form),
}

impl FromStr for Grid {
    type Err = GridError;

    fn from_str(text: &str) -> Result<Self, GridError> {
        let grid = parse(text).ok_or(GridError::Malformed)?;
        if !grid.is_valid() {
            return Err(GridError::Invalid(grid.form));
        }
        if grid.to_string() != text {
            return Err(GridError::Malformed);
        }
        Ok(grid)
    }
}

/// The grid that a text might be.
fn parse(text: &str) -> Option<Grid> {
    let (form, rest) = Form::parse(text)?;
    let (rest, round) = match rest.split_once('o') {
        Some((rest, round)) => (rest, Some(round.parse().ok()?)),
        None => (rest, None),
    };
    let (step, origin) = match rest.find(['+', '-']) {
        Some(at) => (&rest[..at], rest[at..].parse().ok()?),
        None => (rest, 0.0),
    };
    let step = match step.strip_prefix(':') {
        Some(step) => step.parse().ok()?,
        None if step.is_empty() => form.step(),
        None => return None,
    };
    Some(Grid { form, step, origin, round })
}

/// A type whose values can be on a grid: what can be `unreliable`.
///
/// [`derive(Choice)`](macro@crate::Choice) implements it. For another
/// [`Property`](super::property::Property) of an application's own, say the form of what its
/// `to_value` gives.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be `unreliable`",
    label = "not a number, flag, choice, vector, colour or rotation",
    note = "what is `unreliable` may be lost and is rounded to a grid; texts, counters, references \
            and collections are neither"
)]
pub trait Quantised {
    /// What its values are.
    const FORM: Form;

    /// The step of its grid, unless the property says another.
    const STEP: f64 = Self::FORM.step();

    /// Whether it may be nothing, which is on no grid.
    const OPTIONAL: bool = false;
}

#[diagnostic::do_not_recommend]
impl<T: Quantised> Quantised for Option<T> {
    const FORM: Form = T::FORM;
    const STEP: f64 = T::STEP;
    const OPTIONAL: bool = true;
}

/// Implements [`Quantised`] for types of one form. The error names the forms; a list of the types
/// would only hide that.
macro_rules! quantised {
    ($form:expr, $($type:ty),+) => {
        $(
            #[diagnostic::do_not_recommend]
            impl Quantised for $type {
                const FORM: Form = $form;
            }
        )+
    };
}

quantised!(Form::Signed, i8, i16, i32, i64);
quantised!(Form::Unsigned, u8, u16, u32, u64);
quantised!(Form::Flag, bool);
quantised!(Form::Float, f32, f64);
quantised!(Form::Vector(2), [f32; 2]);
quantised!(Form::Vector(3), [f32; 3]);
quantised!(Form::Vector(4), [f32; 4]);
quantised!(Form::Rotation, Quaternion);

#[diagnostic::do_not_recommend]
impl Quantised for Colour {
    const FORM: Form = Form::Vector(4);
    const STEP: f64 = 1.0 / 255.0;
}

#[cfg(feature = "glam")]
mod with_glam {
    use super::{Form, Quantised};

    quantised!(Form::Vector(2), glam::Vec2);
    quantised!(Form::Vector(3), glam::Vec3);
    quantised!(Form::Vector(4), glam::Vec4);
    quantised!(Form::Rotation, glam::Quat);
}

#[cfg(feature = "mint")]
mod with_mint {
    use super::{Form, Quantised};

    quantised!(Form::Vector(2), mint::Vector2<f32>, mint::Point2<f32>);
    quantised!(Form::Vector(3), mint::Vector3<f32>, mint::Point3<f32>);
    quantised!(Form::Vector(4), mint::Vector4<f32>);
    quantised!(Form::Rotation, mint::Quaternion<f32>);
}
