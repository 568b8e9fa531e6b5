//! A binary arithmetic coder: bits with known probabilities, in about as many bits as they surprise.
//!
//! The scheme is G. N. N. Martin's range coder (1979) with carries, as known from LZMA; what ends a
//! message is its own: as few bytes as tell it apart, with zeros behind them understood.

/// Probabilities are in parts of this.
pub const ONE: u32 = 1 << 16;

/// Below this a byte can be shifted out.
const TOP: u32 = 1 << 24;

/// So many zeros at the end of a message are not written.
const LEFT_OUT: usize = 4;

/// How likely a bit is to be set, in parts of [`ONE`]: never 0 and never 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chance(u16);

impl Chance {
    /// As likely as not.
    pub const EVEN: Self = Self(1 << 15);

    /// A chance in parts of [`ONE`], moved away from the ends.
    #[must_use]
    pub const fn new(parts: u32) -> Self {
        let least = 32;
        let parts = if parts < least { least } else { parts };
        let most = ONE - least;
        #[expect(clippy::cast_possible_truncation, reason = "it is below 2^16")]
        Self(if parts > most { most } else { parts } as u16)
    }

    const fn of(self, range: u32) -> u32 {
        (range >> 16) * self.0 as u32
    }

    /// The chance after a bit was seen, which moves it by one part in `2^rate`.
    #[must_use]
    pub const fn learned(self, bit: bool, rate: u32) -> Self {
        let parts = self.0 as u32;
        let moved = if bit { parts + ((ONE - parts) >> rate) } else { parts - (parts >> rate) };
        Self::new(moved)
    }
}

/// Writes bits.
#[derive(Clone, Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    low: u64,
    range: u32,
    /// Bytes that a carry may still change: the last one that is not 255, and how many of those follow.
    last: Option<u8>,
    full: usize,
}

impl Default for Writer {
    fn default() -> Self {
        Self { bytes: Vec::new(), low: 0, range: u32::MAX, last: None, full: 0 }
    }
}

impl Writer {
    /// Writes a byte as it is, before the first bit.
    pub fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// Writes a bit that is set with a chance.
    pub fn bit(&mut self, bit: bool, chance: Chance) {
        let bound = chance.of(self.range);
        if bit {
            self.range = bound;
        } else {
            self.low += u64::from(bound);
            self.range -= bound;
        }
        while self.range < TOP {
            self.shift();
            self.range <<= 8;
        }
    }

    /// Writes the lowest `count` bits of a number, which say nothing of themselves.
    pub fn bits(&mut self, number: u32, count: u32) {
        for at in (0..count).rev() {
            self.bit(number >> at & 1 == 1, Chance::EVEN);
        }
    }

    /// The bytes: the fewest that a reader needs.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        // Any number from `low` on within `range` will do: the one with the most zeros at its end.
        let high = self.low + u64::from(self.range) - 1;
        let mut zeros = 32;
        while zeros > 0 {
            let rounded = (self.low + (1_u64 << zeros) - 1) >> zeros << zeros;
            if rounded <= high {
                self.low = rounded;
                break;
            }
            zeros -= 1;
        }
        for _ in 0..5 {
            self.shift();
        }
        // A reader tells a message that was cut short by how much is missing.
        let zeros = self.bytes.iter().rev().take(LEFT_OUT).take_while(|byte| **byte == 0).count();
        self.bytes.truncate(self.bytes.len() - zeros);
        self.bytes
    }

    fn shift(&mut self) {
        let carry = self.low >> 32 != 0;
        let [byte, ..] = ((self.low & 0xffff_ffff) as u32).to_be_bytes();
        if byte != 255 || carry {
            self.settle(carry);
            self.last = Some(byte);
        } else {
            self.full += 1;
        }
        self.low = (self.low & 0x00ff_ffff) << 8;
    }

    fn settle(&mut self, carry: bool) {
        let add = u8::from(carry);
        self.bytes.extend(self.last.take().map(|last| last.wrapping_add(add)));
        let full = std::mem::take(&mut self.full);
        self.bytes.extend(std::iter::repeat_n(255_u8.wrapping_add(add), full));
    }
}

/// Reads bits. Behind the end there are zeros, so that it never fails; who reads must know when to
/// stop.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: std::slice::Iter<'a, u8>,
    code: u32,
    range: u32,
    /// How many bytes were read behind the end.
    beyond: usize,
}

impl<'a> Reader<'a> {
    /// Reads what a [`Writer`] wrote.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        let mut reader = Self { bytes: bytes.iter(), code: 0, range: u32::MAX, beyond: 0 };
        for _ in 0..4 {
            reader.shift();
        }
        reader
    }

    /// The next bit, which is set with a chance.
    pub fn bit(&mut self, chance: Chance) -> bool {
        let bound = chance.of(self.range);
        let bit = self.code < bound;
        if bit {
            self.range = bound;
        } else {
            self.code -= bound;
            self.range -= bound;
        }
        while self.range < TOP {
            self.range <<= 8;
            self.shift();
        }
        bit
    }

    /// The next number of `count` bits.
    pub fn bits(&mut self, count: u32) -> u32 {
        (0..count).fold(0, |number, _| number << 1 | u32::from(self.bit(Chance::EVEN)))
    }

    /// Whether more was read than a writer can have left out: the message was cut short.
    #[must_use]
    pub const fn is_beyond(&self) -> bool {
        self.beyond > LEFT_OUT
    }

    fn shift(&mut self) {
        let next = self.bytes.next();
        self.beyond += usize::from(next.is_none());
        self.code = self.code << 8 | u32::from(next.copied().unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_come_back(bits in prop::collection::vec((any::<bool>(), 0..ONE), 0..500)) {
            let mut writer = Writer::default();
            for (bit, parts) in &bits {
                writer.bit(*bit, Chance::new(*parts));
            }
            let bytes = writer.finish();
            let mut reader = Reader::new(&bytes);
            for (bit, parts) in &bits {
                prop_assert_eq!(reader.bit(Chance::new(*parts)), *bit);
            }
            prop_assert!(!reader.is_beyond());
        }

        #[test]
        fn anything_can_be_read(bytes: Vec<u8>, parts in prop::collection::vec(any::<u32>(), 0..100)) {
            let mut reader = Reader::new(&bytes);
            for parts in parts {
                reader.bit(Chance::new(parts % ONE));
            }
        }
    }

    #[test]
    fn what_is_expected_costs_next_to_nothing() {
        let mut writer = Writer::default();
        for _ in 0..1_000 {
            writer.bit(true, Chance::new(ONE));
        }
        assert!(writer.finish().len() <= 1);
        let mut writer = Writer::default();
        writer.bits(0xabcd, 16);
        assert!(writer.finish().len() <= 3);
    }
}
