//! The words behind `unreliable`, and what comes of them.

use std::fmt;
use std::time::Duration;

use super::grid::{Grid, Quantised};
use super::value::Value;
use crate::proto::state::grid::Truth;

/// What `#[property(ID, unreliable, ..)]` says.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Words {
    /// `quantize`.
    pub quantize: Option<Quantize>,
    /// `round = 360.0`.
    pub round: Option<f64>,
    /// `redundant`.
    pub redundant: bool,
    /// `ephemeral = 2.0`.
    pub ephemeral: Option<Duration>,
    /// `interpolate`.
    pub interpolate: bool,
}

/// How fine a grid is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Quantize {
    /// `quantize = 0.01`.
    Step(f64),
    /// `quantize(bits = 10, range = -1.0..=1.0)`.
    Bits {
        /// How many bits tell the grid points apart: 1 to 24.
        bits: u8,
        /// The first of them.
        low: f64,
        /// The last.
        high: f64,
    },
}

/// How a property travels on the state lane.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct StateTerms {
    /// Where its values lie.
    pub grid: Grid,
    /// Values are kept within, if given.
    pub range: Option<(f64, f64)>,
    /// Said twice more, whether it arrived or not.
    pub redundant: bool,
    /// How long after the last write it is back at its default.
    pub ephemeral: Option<Duration>,
    /// Whether receivers show it between the values that came.
    pub interpolate: bool,
}

impl StateTerms {
    /// The terms of a property whose field is a `T`. The derive has them made while it compiles.
    ///
    /// # Panics
    ///
    /// If there is no such grid, or nothing would end what is optional.
    #[must_use]
    #[track_caller]
    pub const fn of<T: Quantised>(words: Words) -> Self {
        let Words { quantize, round, redundant, ephemeral, interpolate } = words;
        assert!(
            !T::OPTIONAL || ephemeral.is_some(),
            "an optional property that is `unreliable` is `ephemeral` too: `None` is on no grid, so \
             only time can bring it back"
        );
        let (step, origin, range) = match quantize {
            None => (T::STEP, 0.0, None),
            Some(Quantize::Step(step)) => (step, 0.0, None),
            Some(Quantize::Bits { bits, low, high }) => {
                let last = (1_u32 << bits) - 1;
                ((high - low) / last as f64, low, Some((low, high)))
            }
        };
        let grid = Grid { form: T::FORM, step, origin, round };
        assert!(grid.is_valid(), "{}", T::FORM.rule());
        Self { grid, range, redundant, ephemeral, interpolate }
    }

    /// Where a value is on the grid, kept within the range. Nothing if it is of another kind, not
    /// finite, or too far out.
    #[must_use]
    pub fn quantised(&self, value: &Value) -> Option<Truth> {
        self.grid.truth_within(value, self.range)
    }
}

/// As the lane of a schema record.
impl fmt::Display for StateTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "state {}", self.grid)?;
        if let Some((low, high)) = self.range {
            write!(f, " within {low} {high}")?;
        }
        if self.redundant {
            f.write_str(" redundant")?;
        }
        if let Some(after) = self.ephemeral {
            write!(f, " ephemeral {}", after.as_secs_f64())?;
        }
        if self.interpolate {
            f.write_str(" interpolate")?;
        }
        Ok(())
    }
}
