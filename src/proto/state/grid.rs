//! The grids that values lie on, and values as a writer has them.

use super::rotation::Turn;

/// Parts of a step, in which what lies between grid points is told.
pub const PARTS: i64 = 256;

/// The most components of a vector.
pub const COMPONENTS: usize = 4;

/// What a value is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Numbers, each for itself.
    Vector {
        /// How many: 1 to 4.
        components: u8,
    },
    /// A number that goes round.
    Circle {
        /// How many steps once round: 2 to 2^24.
        steps: u32,
    },
    /// A unit quaternion.
    Rotation {
        /// How many steps a component of 1 has: 16 to 2^15.
        steps: u32,
    },
}

impl Kind {
    /// Whether it is one that a stream can carry.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        match self {
            Self::Vector { components } => 1 <= components && components as usize <= COMPONENTS,
            Self::Circle { steps } => 2 <= steps && steps <= 1 << 24,
            Self::Rotation { steps } => 16 <= steps && steps <= 1 << 15,
        }
    }
}

/// No number is farther from zero than this, in [`PARTS`] of a step.
pub const FARTHEST: i64 = 1 << 37;

/// A value, finer than the grid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Truth {
    /// The components of a vector, or a place on a circle, in [`PARTS`] of a step.
    Numbers([i64; COMPONENTS]),
    /// A rotation.
    Rotation(Turn),
}

impl Truth {
    /// Whether it is of a kind.
    #[must_use]
    pub const fn is_of(&self, kind: Kind) -> bool {
        match (kind, self) {
            (Kind::Vector { .. } | Kind::Circle { .. }, Self::Numbers(_))
            | (Kind::Rotation { .. }, Self::Rotation(_)) => true,
            (Kind::Vector { .. } | Kind::Circle { .. }, Self::Rotation(_))
            | (Kind::Rotation { .. }, Self::Numbers(_)) => false,
        }
    }

    /// A number that is farther from zero than [`FARTHEST`].
    #[must_use]
    pub fn too_far(&self) -> Option<i64> {
        match self {
            Self::Numbers(numbers) => {
                let far = |parts: &&i64| parts.unsigned_abs() > FARTHEST.unsigned_abs();
                numbers.iter().find(far).copied()
            }
            Self::Rotation(_) => None,
        }
    }
}

/// A number in parts of steps; nothing if it is not finite or too far out.
#[must_use]
pub fn parts(number: f64, step: f64) -> Option<i64> {
    #[expect(clippy::cast_precision_loss, reason = "256 is a power of two")]
    let parts = (number / step * PARTS as f64).round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "it is compared with what fits, which is a power of two"
    )]
    (parts.abs() <= FARTHEST as f64).then_some(parts as i64)
}

/// The number that parts of steps are.
#[must_use]
pub fn number(parts: i64, step: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "parts stay below 2^40")]
    let parts = parts as f64;
    #[expect(clippy::cast_precision_loss, reason = "256 is a power of two")]
    let whole = PARTS as f64;
    parts / whole * step
}
