//! Where changes are in a log, by their hashes.

use hashbrown::HashTable;

use super::{Entry, Index};
use crate::proto::wire::message::Hash;

/// The places of changes. Holds four bytes of each hash, the rest of which is in the entries.
#[derive(Clone, Debug, Default)]
pub(super) struct Hashes(HashTable<(u32, u32)>);

impl Hashes {
    pub(super) fn get(&self, entries: &[Entry], hash: &Hash) -> Option<Index> {
        let code = code(hash);
        let is = |place: &(u32, u32)| {
            place.0 == code
                && entries.get(place.1 as usize).is_some_and(|entry| entry.hash == *hash)
        };
        self.0.find(spread(code), is).map(|place| place.1 as usize)
    }

    /// Adds the change at a place that is about to be filled.
    pub(super) fn insert(&mut self, hash: &Hash, index: Index) {
        let code = code(hash);
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        self.0.insert_unique(spread(code), (code, index), |place| spread(place.0));
    }
}

const fn code(hash: &Hash) -> u32 {
    let [first, second, third, fourth, ..] = *hash;
    u32::from_le_bytes([first, second, third, fourth])
}

/// Four bytes over eight, since a table goes by the first bits and by the last.
const fn spread(code: u32) -> u64 {
    (code as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
