//! Groups of rooms in which seats are found, and the short codes of their rooms.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::proto::id::RoomName;

/// A group of rooms among which a relay chooses: 1 to 32 characters, a letter first, then letters,
/// digits, `-` and `_`, a letter or digit last (all of ASCII).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Group(String);

impl Group {
    /// The most characters.
    pub const MAX: usize = 32;

    /// The group of a name.
    ///
    /// # Errors
    ///
    /// When the name is too long, or has characters that it may not have, where it has them.
    pub fn new(name: &str) -> Result<Self, GroupError> {
        let chars = name.chars().count();
        if chars == 0 || chars > Self::MAX {
            return Err(GroupError::Length { chars });
        }
        let first = name.starts_with(|first: char| first.is_ascii_alphabetic());
        let last = name.ends_with(|last: char| last.is_ascii_alphanumeric());
        let rest = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
        if !first || !last || !name.chars().all(rest) {
            return Err(GroupError::Form { name: name.to_owned() });
        }
        Ok(Self(name.to_owned()))
    }

    /// The name of the group.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The room of this group with a code: who knows both comes in by this name.
    ///
    /// # Panics
    ///
    /// Never: a group and a code make a name.
    #[must_use]
    pub fn room(&self, code: Code) -> RoomName {
        RoomName::new(&format!("match/{}/{code}", self.0)).expect("of 45 characters at most")
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Group {
    type Err = GroupError;

    fn from_str(name: &str) -> Result<Self, GroupError> {
        Self::new(name)
    }
}

/// Why a name is no group's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GroupError {
    /// It is empty or too long.
    #[error("a group's name has 1 to {} characters, and this has {chars}", Group::MAX)]
    Length {
        /// How many it has.
        chars: usize,
    },
    /// It has characters that it may not have, or where it may not.
    #[error(
        "`{name}` is no group's name: a letter, then letters, digits, `-` and `_`, and a letter or \
         digit at the end"
    )]
    Form {
        /// The name.
        name: String,
    },
}

/// A room of a group, in six characters that can be told by voice: Crockford's base 32, which has no
/// I, L, O and U.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Code([u8; 6]);

/// Douglas Crockford, "Base 32".
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl Code {
    /// The code of the lowest 30 bits of a number.
    #[must_use]
    pub fn of(number: u32) -> Self {
        let digit = |place: usize| ALPHABET[(number >> (5 * (5 - place))) as usize & 31];
        Self(std::array::from_fn(digit))
    }

    /// The six characters.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 6] {
        &self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|digit| write!(f, "{}", char::from(*digit)))
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// As people write it: small letters are as good, O is a zero, I and L are ones.
impl FromStr for Code {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        let digits: Option<Vec<u8>> = text.bytes().map(digit).collect();
        let digits = digits.and_then(|digits| <[u8; 6]>::try_from(digits).ok());
        digits.map(Self).ok_or_else(|| CodeError { text: text.to_owned() })
    }
}

fn digit(byte: u8) -> Option<u8> {
    let digit = match byte.to_ascii_uppercase() {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        other => other,
    };
    ALPHABET.contains(&digit).then_some(digit)
}

/// Why a text is no [`Code`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is no room's code: it has six letters and digits, without U")]
pub struct CodeError {
    /// The text.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_named_as_the_rule_says() {
        for good in ["a", "Deathmatch", "ranked-2_eu", "x9"] {
            assert_eq!(Group::new(good).unwrap().as_str(), good);
        }
        for bad in ["9x", "a-", "a_", "-a", "a b", "\u{e9}", "a/b"] {
            assert!(matches!(Group::new(bad), Err(GroupError::Form { .. })), "{bad}");
        }
        assert_eq!(Group::new(""), Err(GroupError::Length { chars: 0 }));
        assert_eq!(Group::new(&"a".repeat(33)), Err(GroupError::Length { chars: 33 }));
        assert!(Group::new(&"a".repeat(32)).is_ok());
    }

    #[test]
    fn a_code_is_read_as_it_is_written_and_as_it_is_misread() {
        for number in [0, 1, 31, 32, 123_456_789, (1 << 30) - 1] {
            let code = Code::of(number);
            assert_eq!(code.to_string().parse(), Ok(code));
            assert_eq!(code.to_string().to_lowercase().parse(), Ok(code));
        }
        assert_eq!(Code::of(1 << 30), Code::of(0));
        assert_eq!("oOiIlL".parse::<Code>().unwrap().to_string(), "001111");
        for bad in ["", "12345", "1234567", "12345U", "12345\u{e9}", "12 456"] {
            assert!(bad.parse::<Code>().is_err(), "{bad}");
        }
        assert_eq!(Group::new("g").unwrap().room(Code::of(0)).as_str(), "match/g/000000");
    }
}
