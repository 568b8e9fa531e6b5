//! Values as the writing end has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use smol_str::SmolStr;
use thiserror::Error;

use super::{Entry, MAX_NAME, Seat};
use crate::proto::state::grid::{FARTHEST, Kind, Truth};

/// By which a value is set without its name, for as long as it is there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Id {
    /// Which one it was to come.
    born: u32,
    at: usize,
}

/// Why a value was not set. What was before stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum SetError {
    /// Its name is too long.
    #[error("a name of {size} bytes, where {limit} may be")]
    LongName {
        /// How many bytes it has.
        size: usize,
        /// How many it may have.
        limit: usize,
    },
    /// There is no such kind.
    #[error("there is no such kind: {kind:?}")]
    NoKind {
        /// The kind that was given.
        kind: Kind,
    },
    /// It had another kind before.
    #[error("it is of another kind: {before:?}")]
    AnotherKind {
        /// The kind that it has.
        before: Kind,
    },
    /// Numbers for a rotation, or a rotation for numbers.
    #[error("not a value of its kind: {kind:?}")]
    NotOfKind {
        /// The kind that it has.
        kind: Kind,
    },
    /// A number is too far from zero.
    #[error("{parts} parts of a step, where {limit} may be")]
    TooFar {
        /// The number.
        parts: i64,
        /// How far it may be.
        limit: i64,
    },
    /// It was removed.
    #[error("it was removed")]
    Gone,
}

/// A value.
#[derive(Clone, Debug)]
pub(super) struct Current {
    pub(super) entry: Arc<Entry>,
    pub(super) truth: Truth,
    /// The tick of the last frame to which it was new.
    pub(super) said: u32,
    born: u32,
}

/// All of them, each at a place of its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    places: Vec<Option<Current>>,
    free: Vec<usize>,
    ids: BTreeMap<SmolStr, Id>,
    born: u32,
}

impl Values {
    /// Sets a value. Returns its id, and whether it is different now.
    pub(super) fn set(
        &mut self,
        name: &str,
        kind: Kind,
        truth: Truth,
    ) -> Result<(Id, bool), SetError> {
        if let Some(id) = self.ids.get(name).copied() {
            let before = self.get(id).ok_or(SetError::Gone)?.entry.kind;
            if before != kind {
                return Err(SetError::AnotherKind { before });
            }
            return self.set_at(id, truth).map(|differs| (id, differs));
        }
        if name.len() > MAX_NAME {
            return Err(SetError::LongName { size: name.len(), limit: MAX_NAME });
        }
        if !kind.is_valid() {
            return Err(SetError::NoKind { kind });
        }
        check(kind, truth)?;
        self.born += 1;
        let at = self.free.pop().unwrap_or(self.places.len());
        let id = Id { born: self.born, at };
        let entry = Arc::new(Entry { name: name.into(), kind });
        self.ids.insert(entry.name.clone(), id);
        let current = Some(Current { entry, truth, said: 0, born: id.born });
        if at < self.places.len() {
            self.places[at] = current;
        } else {
            self.places.push(current);
        }
        Ok((id, true))
    }

    /// Sets a value that is there. Returns whether it is different now.
    pub(super) fn set_at(&mut self, id: Id, truth: Truth) -> Result<bool, SetError> {
        let current = self.places.get_mut(id.at).and_then(Option::as_mut);
        let current = current.filter(|current| current.born == id.born).ok_or(SetError::Gone)?;
        check(current.entry.kind, truth)?;
        let differs = current.truth != truth;
        current.truth = truth;
        Ok(differs)
    }

    pub(super) fn remove(&mut self, name: &str) -> bool {
        let Some(id) = self.ids.remove(name) else { return false };
        self.places[id.at] = None;
        self.free.push(id.at);
        true
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.ids.contains_key(name)
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn get(&self, id: Id) -> Option<&Current> {
        self.places.get(id.at)?.as_ref().filter(|current| current.born == id.born)
    }

    /// The value of whose a slot is, if it is that one still.
    pub(super) fn of(&self, seat: &Seat) -> Option<&Current> {
        let current = self.places.get(seat.at)?.as_ref();
        current.filter(|current| Arc::ptr_eq(&current.entry, &seat.entry))
    }

    /// A frame of a tick says that it is there.
    pub(super) fn say(&mut self, id: Id, tick: u32) {
        if let Some(current) = self.places.get_mut(id.at).and_then(Option::as_mut) {
            current.said = tick;
        }
    }

    /// What none of these seats has, in the order in which it came.
    pub(super) fn beside<'a>(&self, seats: impl Iterator<Item = &'a Seat>) -> Vec<Id> {
        let mut seated = vec![false; self.places.len()];
        for seat in seats.filter(|seat| self.of(seat).is_some()) {
            seated[seat.at] = true;
        }
        let places = self.places.iter().zip(seated).enumerate();
        let new = places.filter(|(_, (_, seated))| !seated);
        let mut new: Vec<Id> = new
            .filter_map(|(at, (current, _))| Some(Id { born: current.as_ref()?.born, at }))
            .collect();
        new.sort_unstable();
        new
    }
}

impl Id {
    /// Where its value is.
    pub(super) const fn at(self) -> usize {
        self.at
    }
}

fn check(kind: Kind, truth: Truth) -> Result<(), SetError> {
    if !truth.is_of(kind) {
        return Err(SetError::NotOfKind { kind });
    }
    match truth.too_far() {
        Some(parts) => Err(SetError::TooFar { parts, limit: FARTHEST }),
        None => Ok(()),
    }
}
