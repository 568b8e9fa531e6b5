//! Names of elements that nobody else will ever make.

use data_encoding::BASE64URL_NOPAD;

/// The id of an element of a set or list: the first 8 bytes of its creator's actor, the sequence of
/// the change that created it, and a count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ElementId {
    /// The first half of the actor.
    pub actor: [u8; 8],
    /// The sequence of the creating change, from 1.
    pub sequence: u64,
    /// The count among its creator's elements.
    pub count: u64,
}

impl ElementId {
    /// The key in the document: the actor's bytes and both numbers as LEB128, in URL-safe base64.
    #[must_use]
    pub fn to_key(&self) -> String {
        let mut bytes = self.actor.to_vec();
        for mut number in [self.sequence, self.count] {
            while number >= 0x80 {
                bytes.push((number & 0x7f) as u8 | 0x80);
                number >>= 7;
            }
            bytes.push((number & 0x7f) as u8);
        }
        BASE64URL_NOPAD.encode(&bytes)
    }

    /// The id of a key, if it is one.
    #[must_use]
    pub fn parse(key: &str) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(key.as_bytes()).ok()?;
        let (actor, numbers) = bytes.split_first_chunk::<8>()?;
        let mut numbers = numbers.iter();
        let mut number = || {
            let mut value = 0_u64;
            for shift in (0..63).step_by(7) {
                let byte = *numbers.next()?;
                value |= u64::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    return Some(value);
                }
            }
            None
        };
        Some(Self { actor: *actor, sequence: number()?, count: number()? })
    }
}
