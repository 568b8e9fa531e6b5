//! What an epoch of texts begins with, as operations: each text is made, and its characters are
//! inserted, each behind the one before.

use super::{Base, Content, ROWS_EACH, Row};
use crate::proto::change::{Action, Key, ObjectId, OpId, Operation, Predecessors};
use crate::proto::model::value::Value;
use crate::proto::wire::message::Actor;

/// Where a change of a base begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Start {
    /// The place of a row.
    row: u32,
    /// The first byte of its text; nothing if the text itself is still to be made.
    byte: Option<u32>,
    /// The counter of the operation that makes the text.
    made: u32,
}

/// Operations of a base that belong together.
#[derive(Clone, PartialEq, Debug)]
pub enum Stretch<'a> {
    /// A row's text is made.
    Make(&'a Row),
    /// Characters are inserted into the text that was made with this counter, each behind the
    /// operation before it.
    Insert {
        /// The counter of the operation that made the text.
        made: u64,
        /// The characters, at least one.
        characters: &'a str,
    },
}

impl Stretch<'_> {
    /// How many operations it is: at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        match self {
            Self::Make(_) => 1,
            Self::Insert { characters, .. } => characters.chars().count(),
        }
    }

    /// How many bytes the value of each operation has.
    pub fn weights(&self) -> impl Iterator<Item = usize> + '_ {
        let (made, characters) = match self {
            Self::Make(_) => (Some(0), ""),
            Self::Insert { characters, .. } => (None, *characters),
        };
        made.into_iter().chain(characters.chars().map(char::len_utf8))
    }
}

/// Where the changes begin that a base of texts makes; no places for a base without texts. Nothing if
/// there are other things beside texts, or more operations than can be counted.
pub(super) fn starts(rows: &[Row]) -> Option<Vec<Start>> {
    let texts = rows.iter().filter(|row| matches!(row.content, Content::Text(_))).count();
    if texts == 0 {
        return Some(Vec::new());
    }
    let mut starts = Vec::new();
    let mut counter: u32 = 0;
    for (place, row) in rows.iter().enumerate() {
        let Content::Text(text) = &row.content else {
            return None;
        };
        let row = u32::try_from(place).ok()?;
        let made = counter.checked_add(1)?;
        let bytes = text.char_indices().map(|(byte, _)| u32::try_from(byte).ok());
        for byte in std::iter::once(None).chain(bytes.map(Some)) {
            if (counter as usize).is_multiple_of(ROWS_EACH) {
                let byte = match byte {
                    Some(byte) => Some(byte?),
                    None => None,
                };
                starts.push(Start { row, byte, made });
            }
            counter = counter.checked_add(1)?;
        }
    }
    Some(starts)
}

impl Base {
    /// The operations of one of the changes that make a base of texts, by its place from 0.
    #[must_use]
    pub fn stretches(&self, change: usize) -> Vec<Stretch<'_>> {
        let mut stretches = Vec::new();
        let Some(start) = self.starts.get(change) else {
            return stretches;
        };
        let (mut left, mut made, mut byte) = (ROWS_EACH, u64::from(start.made), start.byte);
        for row in self.rows.get(start.row as usize..).unwrap_or_default() {
            let Content::Text(text) = &row.content else { continue };
            if left == 0 {
                break;
            }
            if byte.is_none() {
                made = ((change + 1) * ROWS_EACH - left) as u64 + 1;
                stretches.push(Stretch::Make(row));
                left -= 1;
            }
            let rest = text.get(byte.take().unwrap_or_default() as usize..).unwrap_or_default();
            let mut ends = rest.char_indices().map(|(at, character)| at + character.len_utf8());
            let mut end = 0;
            while left > 0
                && let Some(next) = ends.next()
            {
                end = next;
                left -= 1;
            }
            if end > 0 {
                stretches.push(Stretch::Insert { made, characters: &rest[..end] });
            }
        }
        stretches
    }

    pub(super) fn text_operations(&self, actor: Actor, change: usize) -> Vec<Operation> {
        let first = Self::start_of(change);
        let mut operations = Vec::with_capacity(ROWS_EACH);
        for stretch in self.stretches(change) {
            let (made, characters) = match stretch {
                Stretch::Make(row) => {
                    operations.push(Operation {
                        object: ObjectId::Root,
                        key: Key::Map(row.key.clone()),
                        insert: false,
                        action: Action::MakeText,
                        predecessors: Predecessors::new(),
                    });
                    continue;
                }
                Stretch::Insert { made, characters } => (made, characters),
            };
            for character in characters.chars() {
                let before = first + operations.len() as u64 - 1;
                let head = before == made;
                operations.push(Operation {
                    object: ObjectId::Made(OpId { counter: made, actor }),
                    key: if head {
                        Key::Head
                    } else {
                        Key::Element(OpId { counter: before, actor })
                    },
                    insert: true,
                    action: Action::Put(Value::Text(character.to_string())),
                    predecessors: Predecessors::new(),
                });
            }
        }
        operations
    }
}
