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
        of_numbers(self.form, places.map(|place| self.number(place)))
    }

    /// Whether two values are within two steps of each other, each number or component for itself: as
    /// near as two peers show what a third wrote, over two hops and a rounding.
    #[must_use]
    pub fn is_near(&self, one: &Value, other: &Value) -> bool {
        // The component of a rotation that is left out is reckoned from the others.
        let steps = if self.form == Form::Rotation { 4.0 } else { 2.0 };
        self.is_within(steps, one, other)
    }

    /// Whether two values are within so many steps of each other, each number or component for itself.
    /// Not if either cannot be on the grid.
    #[must_use]
    pub fn is_within(&self, steps: f64, one: &Value, other: &Value) -> bool {
        let round = self.circle().map(|(_, steps)| i64::from(steps) * PARTS);
        match self.truth(one).zip(self.truth(other)) {
            Some((Truth::Numbers(one), Truth::Numbers(other))) => {
                one.iter().zip(&other).all(|(one, other)| {
                    let off = (one - other).abs();
                    number(off.min(round.map_or(off, |round| round - off)), 1.0) <= steps
                })
            }
            Some((Truth::Rotation(one), Truth::Rotation(other))) => {
                let (one, other) = (one.quaternion(), other.quaternion());
                let along: f32 = one.iter().zip(&other).map(|(one, other)| one * other).sum();
                // Of a rotation and its opposite either.
                let off = one.iter().zip(&other).map(|(one, other)| one - other * along.signum());
                off.into_iter().all(|off| f64::from(off.abs()) <= steps * self.step)
            }
            _ => false,
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

/// The value that has some numbers. Integers are rounded, and unsigned ones not below 0; a rotation is
/// not of these.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded to an f32, as every vector; integers end where their type does"
)]
pub(crate) fn of_numbers(form: Form, numbers: [f64; COMPONENTS]) -> Option<Value> {
    let [first, ..] = numbers;
    match form {
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

/// The numbers of a value that has the form, and how many there are.
pub(crate) fn numbers(form: Form, value: &Value) -> Option<([f64; COMPONENTS], usize)> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::model::property::Property;

    /// A grid of numbers, of a scale that people use.
    fn line(form: Form) -> impl Strategy<Value = Grid> {
        let step = prop_oneof![Just(form.step()), 1e-3..1e3_f64, 1.0..1e9_f64];
        let origin = prop_oneof![Just(0.0), -1e3..1e3_f64];
        (step, origin).prop_map(move |(step, origin)| Grid { form, step, origin, round: None })
    }

    /// A grid of numbers that go round, and in how many steps.
    fn circle() -> impl Strategy<Value = (Grid, u32)> {
        let form = prop_oneof![Just(Form::Float), Just(Form::Signed), Just(Form::Unsigned)];
        (form.prop_flat_map(line), 2..=1_u32 << 24).prop_map(|(grid, steps)| {
            let round = Some(grid.step * f64::from(steps));
            (Grid { round, ..grid }, steps)
        })
    }

    fn grid() -> impl Strategy<Value = Grid> {
        let numbers = [Form::Signed, Form::Unsigned, Form::Float];
        let lines = numbers.into_iter().chain((2..=4).map(Form::Vector));
        let lines = prop::sample::select(Vec::from_iter(lines)).prop_flat_map(line);
        let plain = |form: Form, step| Grid { form, step, origin: 0.0, round: None };
        prop_oneof![
            lines,
            circle().prop_map(|(grid, _)| grid),
            Just(plain(Form::Flag, 1.0)),
            (16..=1_u32 << 15).prop_map(move |steps| plain(Form::Rotation, 1.0 / f64::from(steps))),
        ]
    }

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<u64>().prop_map(Value::Uint),
            any::<u64>().prop_map(|bits| Value::Float(f64::from_bits(bits))),
            prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::Bytes),
        ]
    }

    /// Some steps from the origin.
    fn at(steps: i32) -> Truth {
        Truth::Numbers([i64::from(steps) * PARTS, 0, 0, 0])
    }

    proptest! {
        #[test]
        fn grids_are_written_in_one_way(grid in grid()) {
            prop_assert!(grid.is_valid(), "{grid}");
            prop_assert!(grid.kind().is_valid());
            prop_assert_eq!(grid.to_string().parse(), Ok(grid));
        }

        #[test]
        fn what_is_read_would_be_written_so(text in "[iubfvq][234]?(:[0-9.e-]{1,4})?([+-][0-9.]{1,4})?(o[0-9.]{1,4})?") {
            if let Ok(grid) = text.parse::<Grid>() {
                prop_assert!(grid.is_valid());
                prop_assert_eq!(grid.to_string(), text);
            }
        }

        #[test]
        fn any_text_is_borne(text: String) {
            prop_assert!(text.parse::<Grid>().is_err() || text.is_ascii());
        }

        #[test]
        fn numbers_on_the_grid_stay(grid in line(Form::Float), steps in -(1 << 29)..=1_i32 << 29) {
            let value = grid.value(at(steps)).unwrap();
            let truth = grid.truth(&value);
            prop_assume!(truth.is_some() || steps.abs() == 1 << 29);
            prop_assert!(truth.is_none_or(|truth| truth == at(steps)));
        }

        #[test]
        fn numbers_on_a_circle_stay((grid, steps) in circle(), step: u32, rounds in -3..=3_i32) {
            prop_assert_eq!(grid.kind(), Kind::Circle { steps });
            let grid = Grid { form: Form::Float, ..grid };
            let step = i32::try_from(step % steps).unwrap();
            let Some(Value::Float(number)) = grid.value(at(step)) else {
                panic!("a float");
            };
            let again = number + f64::from(rounds) * grid.round.unwrap();
            let Some(Truth::Numbers([place, ..])) = grid.truth(&Value::Float(again)) else {
                panic!("a place");
            };
            prop_assert!((0..i64::from(steps) * PARTS).contains(&place));
            // Rounds of such numbers are rounded too.
            let [all, off] = [i64::from(steps) * PARTS, place - i64::from(step) * PARTS];
            prop_assert!(off.rem_euclid(all).min((-off).rem_euclid(all)) <= 1);
        }

        #[test]
        fn integers_stay(signed in -(1_i64 << 29)..=1 << 29, unsigned in 0..=1_u64 << 29, flag: bool) {
            let on = |form: Form, value: Value| {
                let grid = Grid { form, step: form.step(), origin: 0.0, round: None };
                grid.value(grid.truth(&value).unwrap()) == Some(value)
            };
            prop_assert!(on(Form::Signed, Value::Int(signed)));
            prop_assert!(on(Form::Unsigned, Value::Uint(unsigned)));
            prop_assert!(on(Form::Flag, Value::Bool(flag)));
        }

        #[test]
        fn vectors_are_as_near_as_parts_are(four in prop::array::uniform4(-1e3..1e3_f32), step in 1e-2..1e2_f64) {
            let grid = Grid { form: Form::Vector(4), step, origin: 0.5, round: None };
            let truth = grid.truth(&four.to_value()).unwrap();
            prop_assert!(truth.is_of(grid.kind()) && truth.too_far().is_none());
            let back = <[f32; 4]>::from_value(&grid.value(truth).unwrap()).unwrap();
            for (before, after) in four.iter().zip(&back) {
                let off = f64::from((before - after).abs());
                prop_assert!(off <= step / 512.0 + 1e-4, "{before} {after}");
            }
            // Once on the grid of parts, it stays.
            prop_assert_eq!(grid.truth(&back.to_value()), Some(truth));
        }

        #[test]
        fn rotations_come_back(four in prop::array::uniform4(-1.0..1.0_f32)) {
            let grid = Grid { form: Form::Rotation, step: 1.0 / 1024.0, origin: 0.0, round: None };
            let length = four.iter().map(|part| part * part).sum::<f32>().sqrt();
            prop_assume!(length > 0.1);
            let truth = grid.truth(&Quaternion(four).to_value()).unwrap();
            let back = Quaternion::from_value(&grid.value(truth).unwrap()).unwrap();
            for (before, after) in four.iter().zip(&back.0) {
                prop_assert!((before / length - after).abs() < 1e-6);
            }
        }

        #[test]
        fn any_value_has_a_place_or_none(grid in grid(), value in any_value()) {
            if let Some(truth) = grid.truth(&value) {
                prop_assert!(truth.is_of(grid.kind()) && truth.too_far().is_none());
                prop_assert!(grid.value(truth).is_some());
            }
        }
    }

    #[test]
    fn grids_read_as_they_are_written() {
        let form = Form::Float;
        let half = Grid { form, step: 0.5, origin: 0.0, round: None };
        assert_eq!("f:0.5".parse(), Ok(half));
        assert_eq!("f:0.5+10".parse(), Ok(Grid { origin: 10.0, ..half }));
        assert_eq!("f:0.5-1o360".parse(), Ok(Grid { origin: -1.0, round: Some(360.0), ..half }));
        assert_eq!("v3".parse(), Ok(Grid { form: Form::Vector(3), step: 0.001, ..half }));
        for text in [
            "", "x", "v", "v3 ", "v30.01", "f:0.50", "f:5e-1", "f:.5", "f:0.001", "f+0", "f+-1",
            "f1", "fo+360", "f:", "f+", "fo", "f:0.5 ", "u:1", "qo", "vv", "f:inf2", "i:+2",
        ] {
            assert_eq!(text.parse::<Grid>(), Err(GridError::Malformed), "{text}");
        }
        for (text, form) in [
            ("v1", Form::Vector(1)),
            ("v5", Form::Vector(5)),
            ("f:0", Form::Float),
            ("f:inf", Form::Float),
            ("f:NaN", Form::Float),
            ("b:2", Form::Flag),
            ("bo2", Form::Flag),
            ("q:0.1", Form::Rotation),
            ("q:0.00001", Form::Rotation),
            ("q+1", Form::Rotation),
            ("v2o360", Form::Vector(2)),
            ("io1", Form::Signed),
            ("io16777217", Form::Signed),
            ("foinf", Form::Float),
        ] {
            assert_eq!(text.parse::<Grid>(), Err(GridError::Invalid(form)), "{text}");
        }
    }

    #[test]
    fn what_is_on_no_grid_has_no_place() {
        let grid = |text: &str| text.parse::<Grid>().unwrap();
        let place = |text: &str, value: Value| grid(text).truth(&value);
        assert_eq!(place("f", Value::Null), None);
        assert_eq!(place("f", Value::Int(1)), None);
        assert_eq!(place("f", Value::Float(f64::NAN)), None);
        assert_eq!(place("fo360", Value::Float(f64::NEG_INFINITY)), None);
        assert_eq!(place("f", Value::Float(1e9)), None);
        assert_eq!(place("u", Value::Uint(u64::MAX)), None);
        assert_eq!(place("i", Value::Int(-(1 << 30))), None);
        assert_eq!(place("v3", [0.0, 1.0].to_value()), None);
        assert_eq!(place("v2", [0.0, f32::NAN].to_value()), None);
        assert_eq!(place("q", [0.0_f32; 4].to_value()), None);
        assert_eq!(place("q", Quaternion([f32::INFINITY, 0.0, 0.0, 1.0]).to_value()), None);
        assert_eq!(place("q", [0.0_f32; 3].to_value()), None);
        assert_eq!(grid("q").value(at(1)), None);
        assert_eq!(grid("f").value(Truth::Rotation(Turn::NONE)), None);
    }

    #[test]
    fn what_is_predicted_is_shown_as_the_type_can() {
        let half = Truth::Numbers([-PARTS / 2 - 1, 0, 0, 0]);
        let shown = |text: &str| text.parse::<Grid>().unwrap().value(half);
        assert_eq!(shown("i"), Some(Value::Int(-1)));
        assert_eq!(shown("u"), Some(Value::Uint(0)));
        assert_eq!(shown("b"), Some(Value::Bool(false)));
        assert_eq!(shown("f:256"), Some(Value::Float(-129.0)));
        assert_eq!(shown("f:256o2560"), Some(Value::Float(2431.0)));
    }

    #[test]
    fn what_is_next_to_once_round_is_where_it_begins() {
        let heading: Grid = "f:0.5o360".parse().unwrap();
        assert_eq!(heading.kind(), Kind::Circle { steps: 720 });
        for number in [0.0, 359.9999, 360.0, -360.0, -1e-20] {
            assert_eq!(heading.truth(&Value::Float(number)), Some(at(0)), "{number}");
        }
        assert_eq!(heading.truth(&Value::Float(-0.5)), Some(at(719)));
        // Steps that do not go into it are drawn until they do.
        let third: Grid = "f:100o360".parse().unwrap();
        assert_eq!(third.kind(), Kind::Circle { steps: 4 });
        assert_eq!(third.value(at(5)), Some(Value::Float(90.0)));
    }

    #[test]
    fn types_have_the_forms_of_their_values() {
        fn on<T: Quantised + Property>(value: &T) {
            let grid = Grid { form: T::FORM, step: T::STEP, origin: 0.0, round: None };
            let there = grid.truth(&value.to_value()).and_then(|truth| grid.value(truth));
            assert!(there.is_some_and(|there| T::from_value(&there).is_some()), "{}", T::NAME);
        }
        on(&1_i8);
        on(&1_i64);
        on(&1_u8);
        on(&1_u64);
        on(&true);
        on(&1.0_f32);
        on(&1.0_f64);
        on(&[1.0_f32; 2]);
        on(&[1.0_f32; 3]);
        on(&[1.0_f32; 4]);
        on(&Quaternion::default());
        on(&Colour::default());
        #[cfg(feature = "glam")]
        {
            on(&glam::Vec2::ONE);
            on(&glam::Vec3::ONE);
            on(&glam::Vec4::ONE);
            on(&glam::Quat::IDENTITY);
        }
        #[cfg(feature = "mint")]
        {
            on(&mint::Point3::from([1.0_f32; 3]));
            on(&mint::Vector4::from([1.0_f32; 4]));
            on(&mint::Quaternion::from([0.0_f32, 0.0, 0.0, 1.0]));
        }
    }
}
