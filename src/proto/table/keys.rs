//! The keys of an object: those that the epoch began with lie one behind the other among the
//! registers, in order, and cost nothing more; those that came later are in a tree.

use std::collections::{BTreeMap, btree_map};
use std::iter::Peekable;
use std::ops::Bound;

use smol_str::SmolStr;

use super::{Register, RegisterIndex};

/// The keys of an object, with their registers.
#[derive(Clone, Default, Debug)]
pub(super) struct Keys {
    /// The first register that was laid.
    first: usize,
    /// How many were.
    laid: usize,
    later: BTreeMap<SmolStr, RegisterIndex>,
}

impl Keys {
    /// Adds the key of a register that is laid behind the last one of this object.
    pub(super) const fn lay(&mut self, register: usize) {
        if self.laid == 0 {
            self.first = register;
        }
        self.laid += 1;
    }

    /// Adds a key that is not there.
    pub(super) fn insert(&mut self, key: SmolStr, register: RegisterIndex) {
        self.later.insert(key, register);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.laid + self.later.len()
    }

    /// The register of a key.
    pub(super) fn get(&self, registers: &[Register], key: &str) -> Option<RegisterIndex> {
        let place = self.laid(registers).binary_search_by(|of| of.key.as_str().cmp(key));
        match place {
            Ok(place) => Some(index(self.first + place)),
            Err(_) => self.later.get(key).copied(),
        }
    }

    /// The keys from a bound on, in order.
    pub(super) fn from<'a>(&'a self, registers: &'a [Register], from: Bound<&str>) -> Ordered<'a> {
        let laid = self.laid(registers);
        let before = match from {
            Bound::Included(from) => laid.partition_point(|of| of.key.as_str() < from),
            Bound::Excluded(from) => laid.partition_point(|of| of.key.as_str() <= from),
            Bound::Unbounded => 0,
        };
        let later = self.later.range::<str, _>((from, Bound::Unbounded)).peekable();
        Ordered { laid: &laid[before..], first: self.first + before, later }
    }

    fn laid<'a>(&self, registers: &'a [Register]) -> &'a [Register] {
        &registers[self.first..self.first + self.laid]
    }
}

/// Keys in order, those that were laid and those that came later.
#[derive(Debug)]
pub(super) struct Ordered<'a> {
    /// What is left of those that were laid.
    laid: &'a [Register],
    /// The register of the first of them.
    first: usize,
    later: Peekable<btree_map::Range<'a, SmolStr, RegisterIndex>>,
}

impl<'a> Iterator for Ordered<'a> {
    type Item = (&'a SmolStr, RegisterIndex);

    fn next(&mut self) -> Option<Self::Item> {
        let first = self.laid.split_first();
        let earlier = |key: &SmolStr| first.is_none_or(|(laid, _)| *key < laid.key);
        if let Some((key, register)) = self.later.next_if(|(key, _)| earlier(key)) {
            return Some((key, *register));
        }
        let (laid, rest) = first?;
        let register = index(self.first);
        (self.laid, self.first) = (rest, self.first + 1);
        Some((&laid.key, register))
    }
}

fn index(register: usize) -> RegisterIndex {
    RegisterIndex(u32::try_from(register).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use smallvec::SmallVec;

    use super::*;
    use crate::proto::table::ObjectIndex;

    fn register(key: &str) -> Register {
        let (object, key, live) = (ObjectIndex::ROOT, SmolStr::new(key), SmallVec::new());
        Register { object, key, live, fixed: false }
    }

    proptest! {
        #[test]
        fn keys_are_found_and_ordered_whenever_they_came(
            laid: BTreeSet<String>,
            later: BTreeSet<String>,
            others: usize,
            from in prop_oneof![any::<String>(), "[0-9]{0,2}"],
        ) {
            let mut keys = Keys::default();
            let mut registers: Vec<Register> = (0..others % 3).map(|_| register("1")).collect();
            for key in &laid {
                keys.lay(registers.len());
                registers.push(register(key));
            }
            for key in later.difference(&laid) {
                keys.insert(key.into(), index(registers.len()));
                registers.push(register(key));
            }
            let all: BTreeSet<&String> = laid.union(&later).collect();
            for key in &all {
                let found = keys.get(&registers, key).unwrap();
                prop_assert_eq!(registers[found.0 as usize].key.as_str(), key.as_str());
            }
            prop_assert_eq!(keys.get(&registers, &from).is_some(), all.contains(&from));
            let bounds: [Bound<&String>; 3] =
                [Bound::Unbounded, Bound::Included(&from), Bound::Excluded(&from)];
            for bound in bounds {
                let found = keys.from(&registers, bound.map(String::as_str)).map(|(key, register)| {
                    assert_eq!(registers[register.0 as usize].key, *key);
                    key.to_string()
                });
                let expected = all.range::<String, _>((bound, Bound::Unbounded));
                prop_assert!(found.eq(expected.map(|key| (*key).clone())));
            }
        }
    }
}
