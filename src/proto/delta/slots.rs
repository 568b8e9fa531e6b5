//! Numbers for actors, on one direction of one document of one link.
//!
//! An actor has one number for as long as the link lasts, and no number means two actors. So a
//! record that comes late, twice or after another try of itself means the same at any time; all
//! that going back changes is which numbers the writer explains once more.

use std::collections::BTreeMap;

use super::DeltaError;
use super::cursor::{Cursor, put_number};
use crate::proto::wire::message::Actor;

/// The writer's numbers.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    /// For each actor its number, and the position at which it was explained, unless the writer has
    /// gone back behind that.
    actors: BTreeMap<Actor, (u64, Option<u64>)>,
}

impl Numbers {
    /// Writes an actor into the record at a position.
    pub fn mention(&mut self, out: &mut Vec<u8>, position: u64, actor: &Actor) {
        let (slot, explained) = self.number(actor);
        if explained {
            put_number(out, slot.saturating_add(1));
        } else {
            self.explained(position, actor);
            put_number(out, 0);
            put_number(out, slot);
            out.extend_from_slice(actor);
        }
    }

    /// The number of an actor, and whether the receiver knows it.
    pub fn number(&mut self, actor: &Actor) -> (u64, bool) {
        let next = self.actors.len() as u64;
        let (slot, explained) = self.actors.entry(*actor).or_insert((next, None));
        (*slot, explained.is_some())
    }

    /// The number of an actor is explained in the record at a position.
    pub fn explained(&mut self, position: u64, actor: &Actor) {
        if let Some((_, explained)) = self.actors.get_mut(actor) {
            *explained = Some(position);
        }
    }

    /// The writer goes back: what it explained from a position on may not have come.
    pub fn go_back(&mut self, position: u64) {
        for (_, explained) in self.actors.values_mut() {
            *explained = explained.filter(|&at| at < position);
        }
    }
}

/// The receiver's numbers.
#[derive(Clone, Debug)]
pub struct Slots {
    actors: BTreeMap<u64, Actor>,
    limit: usize,
}

impl Slots {
    /// No actors, and at most this many ever.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { actors: BTreeMap::new(), limit }
    }

    /// Reads an actor.
    ///
    /// # Errors
    ///
    /// When its number was never explained, or is explained as another's.
    pub fn mention(&mut self, record: &mut Cursor<'_>) -> Result<Actor, DeltaError> {
        match record.number()?.checked_sub(1) {
            Some(slot) => self.actors.get(&slot).copied().ok_or(DeltaError::Slot),
            None => {
                let (slot, actor) = (record.number()?, record.array()?);
                self.learn(slot, actor)?;
                Ok(actor)
            }
        }
    }

    /// Takes the meaning of a number.
    ///
    /// # Errors
    ///
    /// When it has another, or is higher than there are actors.
    pub fn learn(&mut self, slot: u64, actor: Actor) -> Result<(), DeltaError> {
        if slot >= self.limit as u64 {
            return Err(DeltaError::TooLarge);
        }
        let known = self.actors.entry(slot).or_insert(actor);
        if *known == actor { Ok(()) } else { Err(DeltaError::Slot) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_explained_again_after_going_back_and_means_the_same() {
        let (mut numbers, mut slots) = (Numbers::default(), Slots::new(8));
        let mut say = |numbers: &mut Numbers, position, actor| {
            let mut out = Vec::new();
            numbers.mention(&mut out, position, &[actor; 16]);
            let read = slots.mention(&mut Cursor::new(&out));
            assert_eq!(read, Ok([actor; 16]));
            out.len()
        };
        assert_eq!([say(&mut numbers, 0, 1), say(&mut numbers, 1, 2)], [18, 18]);
        assert_eq!([say(&mut numbers, 2, 1), say(&mut numbers, 2, 2)], [1, 1]);
        numbers.go_back(1);
        assert_eq!([say(&mut numbers, 1, 3), say(&mut numbers, 1, 2)], [18, 18]);
        assert_eq!(say(&mut numbers, 1, 1), 1);
    }

    #[test]
    fn a_number_does_not_change_its_meaning() {
        let mut slots = Slots::new(2);
        assert_eq!(slots.mention(&mut Cursor::new(&[1])), Err(DeltaError::Slot));
        assert_eq!(slots.learn(0, [1; 16]), Ok(()));
        assert_eq!(slots.learn(0, [2; 16]), Err(DeltaError::Slot));
        assert_eq!(slots.learn(2, [2; 16]), Err(DeltaError::TooLarge));
    }
}
