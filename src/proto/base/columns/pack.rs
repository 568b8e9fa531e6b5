//! What was written, deflated: block by block, and each a piece at a time.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::expect_used)]

use std::collections::VecDeque;
use std::fmt;

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Status, Strategy, compress_bound};

use super::block::{DEFLATED, WHOLE, WINDOW, Writer, entropy};
use crate::proto::change::leb128::write_unsigned;

/// How many bytes deflate is given at once. Always as many, so that what it makes of them does not
/// depend on how many slices there are.
const PIECE: usize = 8_192;

/// How a block is deflated; the shortest is taken.
const WAYS: [(i32, Strategy); 3] =
    [(6, Strategy::Default), (6, Strategy::Filtered), (1, Strategy::HuffmanOnly)];

/// A fast look for repetitions, where codes alone gain nothing.
const LOOK: (i32, Strategy) = (1, Strategy::Default);

/// A part of what was written.
#[derive(Debug)]
pub(super) enum Part {
    /// For the head, as it is.
    Head(Vec<u8>),
    /// A long block, for the tail.
    Block(Vec<u8>),
}

/// The head and the tail, of blocks that are deflated one by one.
#[derive(Debug, Default)]
pub(super) struct Packer {
    head: Vec<u8>,
    tail: Vec<u8>,
    waiting: VecDeque<Part>,
    squeeze: Option<Squeeze>,
}

impl Packer {
    /// Adds what was written.
    pub(super) fn take(&mut self, written: Writer) {
        self.waiting.extend(written.into_parts());
    }

    /// Deflates about `budget` bytes. Returns how much of it is left: something, once everything that
    /// was added is done.
    pub(super) fn step(&mut self, mut budget: usize) -> usize {
        while budget > 0 {
            if let Some(squeeze) = &mut self.squeeze {
                budget = squeeze.step(budget);
                if let Some(squeeze) = self.squeeze.take_if(|squeeze| squeeze.is_done()) {
                    self.put(squeeze);
                }
                continue;
            }
            match self.waiting.pop_front() {
                Some(Part::Head(bytes)) => self.head.extend(bytes),
                Some(Part::Block(bytes)) => self.squeeze = Some(Squeeze::new(bytes)),
                None => break,
            }
        }
        budget
    }

    fn put(&mut self, squeeze: Squeeze) {
        match squeeze.finish() {
            Ok(deflated) => {
                self.head.push(DEFLATED);
                write_unsigned(&mut self.head, deflated.len() as u64);
                self.tail.extend(deflated);
            }
            Err(bytes) => {
                self.head.push(WHOLE);
                self.tail.extend(bytes);
            }
        }
    }

    /// Both, the head as it is.
    pub(super) fn into_streams(self) -> (Vec<u8>, Vec<u8>) {
        (self.head, self.tail)
    }
}

/// Bytes that are deflated in every way, for the shortest.
pub(super) struct Squeeze {
    bytes: Vec<u8>,
    ways: std::vec::IntoIter<(i32, Strategy)>,
    /// Whether the present way is only a look, without which no other is tried.
    looks: bool,
    at: Option<Deflate>,
    out: Vec<u8>,
    shortest: Option<Vec<u8>>,
}

impl Squeeze {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        let (bits, _) = entropy(&bytes);
        let length = bytes.len() as u64;
        let looks = bits / 8 >= length.saturating_sub(length / 50);
        let ways = if looks { vec![LOOK] } else { WAYS.to_vec() };
        let (at, out, shortest) = (None, Vec::new(), None);
        Self { bytes, ways: ways.into_iter(), looks, at, out, shortest }
    }

    pub(super) fn is_done(&self) -> bool {
        self.at.is_none() && self.ways.len() == 0
    }

    /// Goes on through about `budget` bytes. Returns how much of it is left.
    pub(super) fn step(&mut self, mut budget: usize) -> usize {
        while budget > 0 {
            let Some(deflate) = &mut self.at else {
                let Some((level, strategy)) = self.ways.next() else { break };
                let window_bits = i32::from(WINDOW).wrapping_neg();
                let config =
                    DeflateConfig { level, strategy, window_bits, ..DeflateConfig::default() };
                self.at = Some(Deflate::new_with_config(config));
                self.out = vec![0; compress_bound(self.bytes.len())];
                continue;
            };
            let read = usize::try_from(deflate.total_in()).unwrap_or(usize::MAX);
            let written = usize::try_from(deflate.total_out()).unwrap_or(usize::MAX);
            let rest = self.bytes.get(read..).unwrap_or_default();
            let (piece, flush) = match rest.get(..PIECE) {
                Some(piece) if rest.len() > PIECE => (piece, DeflateFlush::NoFlush),
                _ => (rest, DeflateFlush::Finish),
            };
            let out = self.out.get_mut(written..).unwrap_or_default();
            let status = deflate.compress(piece, out, flush);
            budget = budget.saturating_sub(piece.len().max(1));
            if status != Ok(Status::Ok) || flush == DeflateFlush::Finish {
                self.end_way(status == Ok(Status::StreamEnd));
            }
        }
        budget
    }

    /// One way is at its end.
    fn end_way(&mut self, whole: bool) {
        let length = self.at.take().map_or(0, |deflate| deflate.total_out());
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let shorter = whole && length < self.bytes.len();
        if std::mem::take(&mut self.looks) {
            self.ways = if shorter { WAYS.to_vec() } else { Vec::new() }.into_iter();
        } else if shorter && self.shortest.as_ref().is_none_or(|shortest| length < shortest.len()) {
            self.out.truncate(length);
            self.shortest = Some(std::mem::take(&mut self.out));
        }
    }

    /// The shortest that the bytes are deflated to, or the bytes, if that is not shorter.
    pub(super) fn finish(self) -> Result<Vec<u8>, Vec<u8>> {
        self.shortest.ok_or(self.bytes)
    }
}

impl fmt::Debug for Squeeze {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Squeeze").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}
