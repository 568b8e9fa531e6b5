//! Which rooms a token is for.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::proto::id::{RoomName, RoomNameError};

/// Which rooms a token is for: one of this name, those whose names begin so (`match-*`), or all
/// (`*`).
///
/// Names are compared in normal form C, byte by byte. A `*` before the end is an ordinary character;
/// a room whose name ends in one can only be meant by a beginning of its name.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RoomPattern {
    /// In normal form C, without the star.
    text: String,
    is_prefix: bool,
}

impl RoomPattern {
    /// The pattern that is written so.
    ///
    /// # Errors
    ///
    /// When it is empty, or has more characters before its star than a room's name may have.
    pub fn new(text: &str) -> Result<Self, RoomPatternError> {
        if text == "*" {
            return Ok(Self::all());
        }
        let (text, is_prefix) = match text.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (text, false),
        };
        Ok(Self { text: RoomName::new(text)?.as_str().to_owned(), is_prefix })
    }

    /// All rooms.
    #[must_use]
    pub const fn all() -> Self {
        Self { text: String::new(), is_prefix: true }
    }

    /// Whether `room` is one of those.
    #[must_use]
    pub fn matches(&self, room: &RoomName) -> bool {
        if self.is_prefix {
            room.as_str().starts_with(&self.text)
        } else {
            room.as_str() == self.text
        }
    }
}

impl FromStr for RoomPattern {
    type Err = RoomPatternError;

    fn from_str(text: &str) -> Result<Self, RoomPatternError> {
        Self::new(text)
    }
}

impl fmt::Display for RoomPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if self.is_prefix { f.write_str("*") } else { Ok(()) }
    }
}

impl fmt::Debug for RoomPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// Why a text does not say which rooms are meant.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("this names no rooms ({0}): write a room's name, or a beginning of names and `*`")]
pub struct RoomPatternError(#[from] RoomNameError);
