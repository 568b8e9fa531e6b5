//! Bytes of a known length, whole or deflated, and the two streams that they lie in.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::expect_used)]

use std::borrow::Cow;

use zlib_rs::{
    Deflate, DeflateConfig, DeflateFlush, Inflate, InflateFlush, Status, compress_bound,
};

use super::pack::Part;
use crate::proto::change::leb128::{Reader, write_signed, write_unsigned};
use crate::proto::reason::ChangeFault;

/// Blocks shorter than this stand in the head, which is deflated as a whole.
const SHORT: usize = 512;

/// More than deflate makes of any byte.
const MOST_EACH: usize = 1_040;

/// The window of deflate: 32 KiB.
pub(super) const WINDOW: u8 = 15;

/// All bytes are one, which follows.
const SAME: u8 = 0;
/// The bytes follow.
const HERE: u8 = 1;
/// The bytes are the next of the tail.
pub(super) const WHOLE: u8 = 2;
/// They are the next of the tail, deflated; their length there follows.
pub(super) const DEFLATED: u8 = 3;

/// The head, which says how to read, and the long blocks in it, which are the bulk. Or neither, but
/// how long they would be, about.
#[derive(Debug, Default)]
pub(super) struct Writer {
    head: Vec<u8>,
    /// The head before each long block, and the block.
    parts: Vec<Part>,
    /// Of one that only measures: how long the blocks would be.
    blocks: Option<usize>,
}

impl Writer {
    /// A writer that only measures.
    pub(super) fn measuring() -> Self {
        Self { blocks: Some(0), ..Self::default() }
    }

    /// How much was written.
    pub(super) fn size(&self) -> usize {
        self.head.len().saturating_add(self.blocks.unwrap_or_default())
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.head.push(byte);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.head.extend_from_slice(bytes);
    }

    pub(super) fn unsigned(&mut self, number: usize) {
        write_unsigned(&mut self.head, number as u64);
    }

    pub(super) fn signed(&mut self, number: i64) {
        write_signed(&mut self.head, number);
    }

    /// Bytes of which the reader will know how many they are.
    pub(super) fn block(&mut self, bytes: &[u8]) {
        let Some((&first, rest)) = bytes.split_first() else { return };
        if rest.iter().all(|byte| *byte == first) {
            self.head.extend([SAME, first]);
        } else if let Some(blocks) = &mut self.blocks {
            *blocks = blocks.saturating_add(about(bytes));
        } else if bytes.len() < SHORT {
            self.head.push(HERE);
            self.head.extend_from_slice(bytes);
        } else {
            self.parts.push(Part::Head(std::mem::take(&mut self.head)));
            self.parts.push(Part::Block(bytes.to_vec()));
        }
    }

    /// What was written, for a [`Packer`](super::pack::Packer).
    pub(super) fn into_parts(mut self) -> Vec<Part> {
        self.parts.push(Part::Head(self.head));
        self.parts
    }
}

/// How many bits an ideal code takes for all bytes, about, and how many different ones there are.
/// In integers, since it decides how bytes are written: everywhere in the same way.
pub(super) fn entropy(bytes: &[u8]) -> (u64, usize) {
    let mut counts = [0_u64; 256];
    for byte in bytes {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count = count.saturating_add(1);
        }
    }
    let all = logarithm(bytes.len() as u64);
    let there = counts.iter().filter(|count| **count > 0);
    let bits =
        there.clone().map(|count| count.saturating_mul(all.saturating_sub(logarithm(*count))));
    (bits.fold(0, u64::saturating_add) >> 8, there.count())
}

/// The binary logarithm in parts of 256, with straight lines between the powers of two.
fn logarithm(number: u64) -> u64 {
    let whole = number.checked_ilog2().unwrap_or_default();
    let part = (number << 8 >> whole).saturating_sub(256);
    (u64::from(whole) << 8).saturating_add(part)
}

/// How long a block becomes, about.
fn about(bytes: &[u8]) -> usize {
    let (bits, kinds) = entropy(bytes);
    let coded = usize::try_from(bits / 8).unwrap_or(usize::MAX);
    let coded = coded.saturating_add(kinds / 2).min(bytes.len());
    deflate(bytes).map_or(coded, |deflated| deflated.min(coded))
}

/// What a fast look makes of bytes, if that is shorter than they are.
fn deflate(bytes: &[u8]) -> Option<usize> {
    let config = DeflateConfig {
        level: 1,
        window_bits: i32::from(WINDOW).wrapping_neg(),
        ..DeflateConfig::default()
    };
    let mut out = vec![0; compress_bound(bytes.len())];
    let mut deflate = Deflate::new_with_config(config);
    let status = deflate.compress(bytes, &mut out, DeflateFlush::Finish);
    let length = usize::try_from(deflate.total_out()).ok()?;
    (status == Ok(Status::StreamEnd) && length < bytes.len()).then_some(length)
}

/// What was written, as it is read: a stranger's.
pub(super) struct Source<'a> {
    head: Reader<'a>,
    tail: Reader<'a>,
    /// How many bytes may still be made of them.
    left: u64,
    inflate: Inflate,
}

/// A block.
pub(super) enum Block<'a> {
    /// As many bytes as were asked for, all the same.
    Same(u8),
    /// The bytes.
    Bytes(Cow<'a, [u8]>),
}

impl<'a> Source<'a> {
    /// The head of `bytes`, and those that are behind it. At most `most` bytes are made of them.
    pub(super) fn head(bytes: Reader<'a>, most: u64) -> Result<(Cow<'a, [u8]>, Self), ChangeFault> {
        let inflate = Inflate::new(false, WINDOW);
        let mut source = Self { head: bytes, tail: Reader(&[]), left: most, inflate };
        let length = source.unsigned()?;
        let deflated = source.head.unsigned()?;
        let bytes = match deflated {
            0 => Cow::Borrowed(source.head.take(length as u64)?),
            deflated => {
                let deflated = source.head.take(deflated)?;
                Cow::Owned(source.inflate(deflated, length)?)
            }
        };
        source.tail = source.head;
        source.head = Reader(&[]);
        Ok((bytes, source))
    }

    /// The same with the head in place.
    pub(super) fn with_head<'b>(self, head: &'b [u8]) -> Source<'b>
    where
        'a: 'b,
    {
        Source { head: Reader(head), tail: self.tail, left: self.left, inflate: self.inflate }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.head.is_empty() && self.tail.is_empty()
    }

    pub(super) fn byte(&mut self) -> Result<u8, ChangeFault> {
        self.head.byte()
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ChangeFault> {
        self.head.array()
    }

    pub(super) fn unsigned(&mut self) -> Result<usize, ChangeFault> {
        usize::try_from(self.head.unsigned()?).map_err(|_| ChangeFault::TooLarge)
    }

    pub(super) fn signed(&mut self) -> Result<i64, ChangeFault> {
        self.head.signed()
    }

    /// A number of things that have at least `size` bytes each in the head.
    pub(super) fn items(&mut self, size: usize) -> Result<usize, ChangeFault> {
        self.head.items(size)
    }

    /// Takes note that bytes are made.
    pub(super) fn spend(&mut self, bytes: usize) -> Result<(), ChangeFault> {
        self.left = self.left.checked_sub(bytes as u64).ok_or(ChangeFault::TooLarge)?;
        Ok(())
    }

    /// A block of a known length.
    pub(super) fn block(&mut self, length: usize) -> Result<Block<'a>, ChangeFault> {
        if length == 0 {
            return Ok(Block::Bytes(Cow::Borrowed(&[])));
        }
        Ok(match self.byte()? {
            SAME => Block::Same(self.byte()?),
            HERE => Block::Bytes(self.head.take(length as u64)?.into()),
            WHOLE => Block::Bytes(self.tail.take(length as u64)?.into()),
            DEFLATED => {
                let deflated = self.head.unsigned()?;
                let deflated = self.tail.take(deflated)?;
                Block::Bytes(self.inflate(deflated, length)?.into())
            }
            _ => return Err(ChangeFault::Malformed),
        })
    }

    /// A block of a known length, spelled out.
    pub(super) fn bytes(&mut self, length: usize) -> Result<Cow<'a, [u8]>, ChangeFault> {
        match self.block(length)? {
            Block::Bytes(bytes) => Ok(bytes),
            Block::Same(byte) => {
                self.spend(length)?;
                Ok(vec![byte; length].into())
            }
        }
    }

    fn inflate(&mut self, deflated: &[u8], length: usize) -> Result<Vec<u8>, ChangeFault> {
        if length > deflated.len().saturating_mul(MOST_EACH) {
            return Err(ChangeFault::Malformed);
        }
        self.spend(length)?;
        let mut out = vec![0; length];
        self.inflate.reset(false);
        let status = self.inflate.decompress(deflated, &mut out, InflateFlush::Finish);
        let whole = self.inflate.total_in() == deflated.len() as u64
            && self.inflate.total_out() == length as u64;
        if status == Ok(Status::StreamEnd) && whole { Ok(out) } else { Err(ChangeFault::Malformed) }
    }
}
