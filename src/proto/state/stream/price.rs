//! How many bytes things take, before they are written.

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
    pub(super) fn of(self, cost: usize) -> usize {
        (cost * self.0).div_ceil(PRICE)
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

/// As estimated.
const PRICE: usize = 256;

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

/// The same of what is new.
pub(super) fn introduction(current: &Current) -> usize {
    current.entry.name.len() + 16
}
