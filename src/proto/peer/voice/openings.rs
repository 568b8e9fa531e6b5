//! Which openings of a peer's streams its relay has not answered yet.

use std::collections::BTreeMap;

/// How many there are of each number: a relay answers them in order, but does not say which it means.
#[derive(Debug, Default)]
pub(super) struct Openings(BTreeMap<u8, u32>);

impl Openings {
    /// The relay is told of one.
    pub(super) fn ask(&mut self, number: u8) {
        *self.0.entry(number).or_default() += 1;
    }

    /// The relay has answered the oldest. Returns whether that was the only one.
    pub(super) fn answer(&mut self, number: u8) -> bool {
        let Some(left) = self.0.get_mut(&number) else { return false };
        *left -= 1;
        let is_last = *left == 0;
        if is_last {
            self.0.remove(&number);
        }
        is_last
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
