//! Numbers in LEB128, and whatever else is read from a stranger's bytes.
//!
//! The format is that of the Automerge Binary Document Format, "LEB128": 64 bits, little-endian in
//! groups of seven, of a sign's two's complement where there is one. What is written has the fewest
//! bytes; what is read may have more, since a chunk is compared with what would have been written.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::expect_used)]

use crate::proto::reason::ChangeFault;

/// Appends a number without a sign.
pub(in crate::proto) fn write_unsigned(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return out.push(low & 0x7f);
        }
        out.push(low | 0x80);
    }
}

/// Appends a number with a sign.
pub(in crate::proto) fn write_signed(out: &mut Vec<u8>, mut number: i64) {
    while !(-64..64).contains(&number) {
        let [low, ..] = number.to_le_bytes();
        out.push(low | 0x80);
        number >>= 7;
    }
    let [low, ..] = number.to_le_bytes();
    out.push(low & 0x7f);
}

/// The bytes that are not read yet. Nothing is read that is not there.
#[derive(Clone, Copy, Debug)]
pub(in crate::proto) struct Reader<'a>(pub(in crate::proto) &'a [u8]);

impl<'a> Reader<'a> {
    pub(in crate::proto) const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(in crate::proto) const fn len(self) -> usize {
        self.0.len()
    }

    pub(in crate::proto) fn byte(&mut self) -> Result<u8, ChangeFault> {
        let (&byte, rest) = self.0.split_first().ok_or(ChangeFault::Malformed)?;
        self.0 = rest;
        Ok(byte)
    }

    /// As many bytes as the array has.
    pub(in crate::proto) fn array<const N: usize>(&mut self) -> Result<[u8; N], ChangeFault> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(ChangeFault::Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(in crate::proto) fn take(&mut self, length: u64) -> Result<&'a [u8], ChangeFault> {
        let length = usize::try_from(length).map_err(|_| ChangeFault::Malformed)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(ChangeFault::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    /// As many bytes as a number in front of them says.
    pub(in crate::proto) fn prefixed(&mut self) -> Result<&'a [u8], ChangeFault> {
        let length = self.unsigned()?;
        self.take(length)
    }

    /// How many items follow, each of at least `size` bytes: never more than there is room for.
    pub(in crate::proto) fn items(&mut self, size: usize) -> Result<usize, ChangeFault> {
        let items = usize::try_from(self.unsigned()?).map_err(|_| ChangeFault::Malformed)?;
        match items.checked_mul(size) {
            Some(bytes) if bytes <= self.len() => Ok(items),
            _ => Err(ChangeFault::Malformed),
        }
    }

    /// A number without a sign.
    pub(in crate::proto) fn unsigned(&mut self) -> Result<u64, ChangeFault> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f).wrapping_shl(shift);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(ChangeFault::Malformed)
    }

    /// A number with a sign: the last byte's highest bit of seven, extended.
    pub(in crate::proto) fn signed(&mut self) -> Result<i64, ChangeFault> {
        let mut number = 0;
        for shift in (0..i64::BITS).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte != 0 && byte != 0x7f {
                break;
            }
            number |= i64::from(byte & 0x7f).wrapping_shl(shift);
            if byte & 0x80 == 0 {
                let sign = if byte & 0x40 == 0 { 0 } else { -1_i64 };
                return Ok(number | sign.checked_shl(shift.saturating_add(7)).unwrap_or(0));
            }
        }
        Err(ChangeFault::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_are_read_back(plain: u64, with_sign: i64, shift in 0..64_u32) {
            let (plain, with_sign) = (plain >> shift, with_sign >> shift);
            let mut bytes = Vec::new();
            write_unsigned(&mut bytes, plain);
            write_signed(&mut bytes, with_sign);
            let mut reader = Reader(&bytes);
            prop_assert_eq!(reader.unsigned(), Ok(plain));
            prop_assert_eq!(reader.signed(), Ok(with_sign));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let _number = Reader(&bytes).unsigned();
            let _number = Reader(&bytes).signed();
            let _bytes = Reader(&bytes).prefixed();
            let _items = Reader(&bytes).items(3);
        }
    }

    #[test]
    fn the_ends_of_the_range_are_numbers_like_others() {
        for number in [i64::MIN, i64::MAX, -1, 0, 63, 64, -64, -65] {
            let mut bytes = Vec::new();
            write_signed(&mut bytes, number);
            assert_eq!(Reader(&bytes).signed(), Ok(number));
        }
        let mut bytes = Vec::new();
        write_unsigned(&mut bytes, u64::MAX);
        assert_eq!(Reader(&bytes).unsigned(), Ok(u64::MAX));
    }
}
