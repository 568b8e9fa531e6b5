//! How far a value is from its prediction: a whole number, written by how far the ones before were.
//!
//! Residuals of one property are about geometric in both directions, and their spread changes slowly.
//! So each property keeps the mean of their sizes, and that mean says how likely each size is. It is a
//! function of what the receiver has, like everything that a frame is read by.

use super::coder::{Chance, Reader, Writer};

/// The mean size of the last residuals, in 256ths.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spread(u32);

/// After so many steps up, the rest is a number of its own.
const STEPS: u32 = 20;
/// Of one residual at most so much counts.
const MOST: u32 = 1 << 20;

impl Default for Spread {
    fn default() -> Self {
        Self(2 << 8)
    }
}

impl Spread {
    /// A spread of a mean in 256ths.
    #[must_use]
    pub const fn new(mean: u32) -> Self {
        Self(if mean > MOST << 8 { MOST << 8 } else { mean })
    }

    /// The spread behind another residual: an eighth of the way to its size, and at most about twice
    /// as much, for a leap says little of what comes.
    #[must_use]
    pub fn learned(self, residual: i32) -> Self {
        let size = (residual.unsigned_abs().min(MOST) << 8).min(self.0 * 8 + (8 << 8));
        Self(if size > self.0 {
            self.0 + ((size - self.0) >> 3)
        } else {
            self.0 - ((self.0 - size) >> 3)
        })
    }

    /// How many low bits of a size say nothing.
    const fn plain(self) -> u32 {
        let steps = self.0 >> 10;
        if steps == 0 { 0 } else { steps.ilog2() + 1 }
    }

    /// How likely a residual is zero, and how likely a size is larger than it is known to be.
    const fn chances(self, plain: u32) -> (Chance, Chance) {
        CHANCES[(self.0 >> plain) as usize % CHANCES.len()]
    }
}

/// The chances of each mean, in 256ths, of what is not plain of a size.
static CHANCES: [(Chance, Chance); 1 << 10] = {
    let mut all = [(Chance::EVEN, Chance::EVEN); 1 << 10];
    let mut mean = 0;
    while mean < all.len() {
        all[mean] = chances(mean as u64);
        mean += 1;
    }
    all
};

/// Of a two-sided geometric distribution `(1 - t) / (1 + t) * t^|e|` with mean size `m` it is
/// `t = (sqrt(1 + m^2) - 1) / m`. That is also `m / (1 + sqrt(1 + m^2))`.
#[expect(clippy::cast_possible_truncation, reason = "chances are below 2^16")]
const fn chances(mean: u64) -> (Chance, Chance) {
    let mean = if mean < 8 { 8 } else { mean };
    // In 256ths: sqrt(1 + m^2).
    let root = (65_536 + mean * mean).isqrt();
    let t = (mean << 16) / (256 + root);
    let zero = ((65_536 - t) << 16) / (65_536 + t);
    (Chance::new(zero as u32), Chance::new(t as u32))
}

/// Writes a residual.
pub fn write(writer: &mut Writer, residual: i32, spread: Spread) {
    let plain = spread.plain();
    let (zero, more) = spread.chances(plain);
    let size = residual.unsigned_abs();
    // What is nearly zero counts as zero where low bits are plain; then the sign is always written.
    let high = size >> plain;
    writer.bit(high == 0, zero);
    if high > 0 {
        for step in 1..=STEPS {
            let goes_on = high > step;
            writer.bit(goes_on, more);
            if !goes_on {
                break;
            }
        }
        if high > STEPS {
            long(writer, high - STEPS);
        }
    }
    writer.bits(size, plain);
    if size > 0 {
        writer.bit(residual < 0, Chance::EVEN);
    }
}

/// Reads a residual; nothing if there can be no such one.
pub fn read(reader: &mut Reader<'_>, spread: Spread) -> Option<i32> {
    let plain = spread.plain();
    let (zero, more) = spread.chances(plain);
    let mut high = 0;
    if !reader.bit(zero) {
        high = 1;
        while high <= STEPS && reader.bit(more) {
            high += 1;
        }
        if high > STEPS {
            high = STEPS.checked_add(read_long(reader)?)?;
        }
    }
    let size = high.checked_shl(plain).filter(|size| size >> plain == high)? | reader.bits(plain);
    let negative = size > 0 && reader.bit(Chance::EVEN);
    let size = i32::try_from(size).ok()?;
    Some(if negative { -size } else { size })
}

/// Writes a number from 1 on: how many bits it has, and these (Elias' gamma code).
pub fn long(writer: &mut Writer, number: u32) {
    let count = number.max(1).ilog2();
    for _ in 0..count {
        writer.bit(true, Chance::EVEN);
    }
    writer.bit(false, Chance::EVEN);
    writer.bits(number, count);
}

/// Reads what [`long`] wrote.
pub fn read_long(reader: &mut Reader<'_>) -> Option<u32> {
    let mut count = 0;
    while reader.bit(Chance::EVEN) {
        count += 1;
        if count > 31 {
            return None;
        }
    }
    Some(1_u32 << count | reader.bits(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn residuals_come_back(residuals in prop::collection::vec((-70_000..70_000_i32, 0..5_000_u32), 0..200)) {
            let mut writer = Writer::default();
            for (residual, mean) in &residuals {
                write(&mut writer, *residual, Spread::new(*mean));
            }
            let bytes = writer.finish();
            let mut reader = Reader::new(&bytes);
            for (residual, mean) in &residuals {
                prop_assert_eq!(read(&mut reader, Spread::new(*mean)), Some(*residual));
            }
        }

        #[test]
        fn the_largest_come_back(residual: i32, mean: u32) {
            prop_assume!(residual > i32::MIN);
            let mut writer = Writer::default();
            write(&mut writer, residual, Spread::new(mean));
            let bytes = writer.finish();
            prop_assert_eq!(read(&mut Reader::new(&bytes), Spread::new(mean)), Some(residual));
        }

        #[test]
        fn anything_can_be_read(bytes: Vec<u8>, mean: u32) {
            let mut reader = Reader::new(&bytes);
            for _ in 0..20 {
                read(&mut reader, Spread::new(mean));
            }
        }
    }

    #[test]
    fn a_run_of_zeros_is_cheap() {
        let mut writer = Writer::default();
        let mut spread = Spread::default();
        for _ in 0..1_000 {
            write(&mut writer, 0, spread);
            spread = spread.learned(0);
        }
        let size = writer.finish().len();
        assert!(size < 20, "{size}");
    }
}
