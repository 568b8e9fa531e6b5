//! Bytes, one after another: numbers as LEB128.

use super::DeltaError;

/// What is left of some bytes to be read.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// All of these bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What is left.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// One byte.
    ///
    /// # Errors
    ///
    /// When none is left.
    pub const fn byte(&mut self) -> Result<u8, DeltaError> {
        match self.rest.split_first() {
            Some((byte, rest)) => {
                self.rest = rest;
                Ok(*byte)
            }
            None => Err(DeltaError::Malformed),
        }
    }

    /// As many bytes.
    ///
    /// # Errors
    ///
    /// When fewer are left.
    pub fn bytes(&mut self, count: u64) -> Result<&'a [u8], DeltaError> {
        let count = usize::try_from(count).map_err(|_| DeltaError::Malformed)?;
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(DeltaError::Malformed)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// As many bytes as an array has.
    ///
    /// # Errors
    ///
    /// When fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DeltaError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(DeltaError::Malformed)?;
        self.rest = rest;
        Ok(*bytes)
    }

    /// An unsigned number, of at most ten bytes.
    ///
    /// # Errors
    ///
    /// When it ends early or does not fit 64 bits.
    pub fn number(&mut self) -> Result<u64, DeltaError> {
        let mut value = 0_u64;
        for shift in (0..70_u32).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return Err(DeltaError::Malformed);
            }
            value |= part << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DeltaError::Malformed)
    }

    /// A signed number: zigzag.
    ///
    /// # Errors
    ///
    /// As [`Self::number`].
    pub fn signed(&mut self) -> Result<i64, DeltaError> {
        let zigzag = self.number()?;
        Ok((zigzag >> 1).cast_signed() ^ (zigzag & 1).cast_signed().wrapping_neg())
    }

    /// Text with its length in bytes in front.
    ///
    /// # Errors
    ///
    /// When it ends early or is not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, DeltaError> {
        let count = self.number()?;
        str::from_utf8(self.bytes(count)?).map_err(|_| DeltaError::Malformed)
    }
}

/// Writes an unsigned number.
pub fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Writes a signed number.
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_number(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

/// Writes text with its length in front.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_number(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let mut out = Vec::new();
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            put_number(&mut out, value);
            assert_eq!(Cursor::new(&out).number(), Ok(value));
            assert_eq!(Cursor::new(&out[..out.len() - 1]).number(), Err(DeltaError::Malformed));
            out.clear();
        }
        for value in [0, -1, 1, 63, -64, 64, i64::MIN, i64::MAX] {
            put_signed(&mut out, value);
            assert_eq!(Cursor::new(&out).signed(), Ok(value));
            out.clear();
        }
        assert_eq!(Cursor::new(&[0xff; 10]).number(), Err(DeltaError::Malformed));
    }
}
