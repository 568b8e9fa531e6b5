//! How many bytes things take, before they are written: in 256ths of one, as most values take less.

use super::values::Current;
use crate::proto::state::grid::Kind;

/// What a byte of [`cost`] takes really, in 256ths, as frames have shown: of most things that move it is
/// far less. Were the estimate taken for it, a frame would be full long before it is, and what was left
/// out would cost more in every later one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Price(usize);

impl Default for Price {
    fn default() -> Self {
        Self(PRICE)
    }
}

impl Price {
    /// What bytes of [`cost`] take, in 256ths.
    pub(super) const fn of(self, cost: usize) -> usize {
        cost * self.0
    }

    /// The same for a frame that took some bytes where so many were to be: a little more than so much.
    pub(super) fn dearer(self, bytes: usize, budget: usize) -> Self {
        Self((self.0 * bytes / budget.max(1)).max(self.0) * 17 / 16 + 1)
    }

    /// A frame of some bytes said what was estimated at others. An eighth is left for the next one to
    /// take more; dear is believed at once, cheap by and by.
    pub(super) fn learn(&mut self, bytes: usize, estimated: usize) {
        if estimated >= ESTIMATED {
            let seen = (bytes * (PRICE + PRICE / 8) / estimated).clamp(PRICE / 8, PRICE);
            self.0 = seen.max((3 * self.0 + seen) / 4);
        }
    }
}

/// 256ths of a byte in one.
pub(super) const BYTE: usize = 256;

/// As estimated.
const PRICE: usize = BYTE;

/// Of a frame of less nothing is learned.
const ESTIMATED: usize = 64;

/// About how many bytes a word of an entry takes, from above for what moves as things do.
pub(super) fn cost(kind: Kind) -> usize {
    match kind {
        Kind::Vector { components } => 1 + usize::from(components) * 3 / 2,
        Kind::Circle { .. } => 2,
        Kind::Rotation { .. } => 6,
    }
}

/// What is new takes so many 256ths.
pub(super) fn introduction(current: &Current) -> usize {
    (current.entry.name.len() + 16) * BYTE
}
