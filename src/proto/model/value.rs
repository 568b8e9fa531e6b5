//! Values as documents hold them.

use std::fmt;

/// A value of a property, of one of the kinds that every automerge tool knows.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// Nothing: `None`.
    Null,
    /// `bool`.
    Bool(bool),
    /// Signed integers.
    Int(i64),
    /// Unsigned integers and fieldless enums.
    Uint(u64),
    /// `f32` and `f64`. Two values of equal bits are equal, so that a NaN is not sent for ever.
    Float(f64),
    /// Strings and references to models.
    Text(String),
    /// Bytes, and vectors as little-endian `f32`s.
    Bytes(Vec<u8>),
}

impl Value {
    /// Whether writing `other` over this would change nothing: equal kinds and, for floats, bits.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (a, b) => a == b,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Uint(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Text(value) => write!(f, "{value:?}"),
            Self::Bytes(value) => value.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}
