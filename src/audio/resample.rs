//! Between the rates and channels of devices and what is spoken here.
//!
//! A sinc at any ratio (`rubato`, asynchronous), in a Blackman window of 64 taps of the lower rate.
//! Measured from 44.1 kHz: level up to 16 kHz and 0.5 dB down at 19 kHz, and what is no part of a tone
//! of 1 kHz is 120 dB below it. From 96 kHz: 25 kHz and more is at least 80 dB down. Late by 32 samples
//! of the lower rate. Everything is allocated when a resampler is built.

use std::fmt;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, FixedAsync, Resampler, SincInterpolationParameters, SincInterpolationType,
    WindowFunction,
};
use thiserror::Error;

use super::pcm::{Sample, sound};
use super::{BLOCK, RATE};

/// The lowest rate of a device, in samples a second.
pub const MIN_RATE: u32 = 8_000;

/// The highest rate of a device, in samples a second.
pub const MAX_RATE: u32 = 192_000;

/// The most channels of a device.
pub const MAX_CHANNELS: usize = 8;

/// How many samples of 48 kHz an [`InputResampler`] gives at a time, 2.5 ms: for so long at most a sample
/// waits there for others.
pub const PIECE: usize = 120;

/// Taps of the filter at the lower rate. Half of them are its delay.
const TAPS: u32 = 64;

/// Why samples cannot be brought to another rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ResampleError {
    /// A device has another rate than can be had.
    #[error("{0} samples a second are not within {MIN_RATE} and {MAX_RATE}")]
    Rate(u32),
    /// A device has more channels than can be had, or none.
    #[error("{0} channels are not within 1 and {MAX_CHANNELS}")]
    Channels(usize),
    /// There are samples of some channels and not of all.
    #[error("{samples} samples are no multiple of {channels} channels")]
    Ragged {
        /// How many samples.
        samples: usize,
        /// How many channels.
        channels: usize,
    },
    /// The filter failed, for a reason of its own.
    #[error("the filter failed")]
    Filter,
}

/// Brings what a device captures to pieces of 48 kHz.
pub struct InputResampler {
    rate: u32,
    channels: usize,
    /// None at 48 kHz, where nothing is filtered.
    filter: Option<Async<f32>>,
    /// Mixed down, at the device's rate.
    waiting: Vec<f32>,
    piece: [f32; PIECE],
    captured: u64,
    given: u64,
}

impl InputResampler {
    /// For a device of a rate from [`MIN_RATE`] to [`MAX_RATE`] and 1 to [`MAX_CHANNELS`] channels.
    ///
    /// # Errors
    ///
    /// [`ResampleError::Rate`] or [`ResampleError::Channels`] if it has others.
    pub fn new(rate: u32, channels: usize) -> Result<Self, ResampleError> {
        let filter = filter(rate, channels, rate, RATE, FixedAsync::Output, PIECE)?;
        let most = filter.as_ref().map_or(PIECE, Resampler::input_frames_max);
        Ok(Self {
            rate,
            channels,
            filter,
            waiting: Vec::with_capacity(most),
            piece: [0.0; PIECE],
            captured: 0,
            given: 0,
        })
    }

    /// Takes what a device captured, its channels interleaved, of which the first sample is of a media
    /// time ([`grid`](super::grid)). Gives each piece that is full, and the media time of its first
    /// sample. Channels are mixed into one, of their mean. At 48 kHz and one channel samples come out
    /// as they went in.
    ///
    /// Of `n` samples a channel, `n * 48,000 / rate` come out; less than a piece and the filter's
    /// delay wait for more.
    ///
    /// # Errors
    ///
    /// [`ResampleError::Ragged`] if a channel has more samples than another: nothing is taken.
    /// [`ResampleError::Filter`] if the filter cannot.
    pub fn push<S: Sample>(
        &mut self,
        at: u64,
        pcm: &[S],
        mut each: impl FnMut(u64, &[f32; PIECE]),
    ) -> Result<(), ResampleError> {
        let (samples, channels) = (pcm.len(), self.channels);
        if !samples.is_multiple_of(channels) {
            return Err(ResampleError::Ragged { samples, channels });
        }
        let before = self.captured;
        for sample in pcm.chunks_exact(channels) {
            let sum: f32 = sample.iter().map(|sample| sound(sample.to_f32())).sum();
            self.waiting.push(sum / channels as f32);
            self.captured += 1;
            if self.waiting.len() == self.needed() {
                self.filter()?;
                let behind = self.given.cast_signed() - self.converted(before).cast_signed();
                each(at.saturating_add_signed(behind - self.delay().cast_signed()), &self.piece);
                self.given += PIECE as u64;
            }
        }
        Ok(())
    }

    /// How much later a sample comes out for having been filtered, in samples of 48 kHz.
    #[must_use]
    pub fn delay(&self) -> u64 {
        self.filter.as_ref().map_or(0, |filter| filter.output_delay() as u64)
    }

    /// Samples that a piece asks for.
    fn needed(&self) -> usize {
        self.filter.as_ref().map_or(PIECE, Resampler::input_frames_next)
    }

    fn filter(&mut self) -> Result<(), ResampleError> {
        let filtered = match &mut self.filter {
            Some(filter) => process(filter, &self.waiting, &mut self.piece).map(|_| ()),
            None => {
                self.piece.copy_from_slice(&self.waiting);
                Ok(())
            }
        };
        self.waiting.clear();
        filtered
    }

    /// As many samples of 48 kHz as so many of the device's.
    fn converted(&self, samples: u64) -> u64 {
        let (rate, target) = (u64::from(self.rate), u64::from(RATE));
        samples / rate * target + samples % rate * target / rate
    }
}

/// Brings blocks of 48 kHz to what a device plays.
pub struct OutputResampler {
    channels: usize,
    /// None at 48 kHz, where nothing is filtered.
    filter: Option<Async<f32>>,
    block: [f32; BLOCK],
    /// At the device's rate; those before `played` are gone.
    ready: Vec<f32>,
    filled: usize,
    played: usize,
}

impl OutputResampler {
    /// For a device of a rate from [`MIN_RATE`] to [`MAX_RATE`] and 1 to [`MAX_CHANNELS`] channels.
    ///
    /// # Errors
    ///
    /// [`ResampleError::Rate`] or [`ResampleError::Channels`] if it has others.
    pub fn new(rate: u32, channels: usize) -> Result<Self, ResampleError> {
        let filter = filter(rate, channels, RATE, rate, FixedAsync::Input, BLOCK)?;
        let most = filter.as_ref().map_or(BLOCK, Resampler::output_frames_max);
        Ok(Self {
            channels,
            filter,
            block: [0.0; BLOCK],
            ready: vec![0.0; most],
            filled: 0,
            played: 0,
        })
    }

    /// Fills `out` with what a device plays next, its channels interleaved, the same in each. `next`
    /// writes the next block of 48 kHz, as often as one is needed.
    ///
    /// # Errors
    ///
    /// [`ResampleError::Ragged`] if `out` has not as much room for each channel: nothing is played.
    /// [`ResampleError::Filter`] if the filter cannot.
    pub fn pull<S: Sample>(
        &mut self,
        out: &mut [S],
        mut next: impl FnMut(&mut [f32; BLOCK]),
    ) -> Result<(), ResampleError> {
        let (samples, channels) = (out.len(), self.channels);
        if !samples.is_multiple_of(channels) {
            return Err(ResampleError::Ragged { samples, channels });
        }
        for out in out.chunks_exact_mut(channels) {
            while self.played == self.filled {
                next(&mut self.block);
                self.refill()?;
            }
            out.fill(S::from_f32(self.ready[self.played]));
            self.played += 1;
        }
        Ok(())
    }

    /// How much later a sample is played for having been filtered, in samples of the device's rate.
    #[must_use]
    pub fn delay(&self) -> u64 {
        self.filter.as_ref().map_or(0, |filter| filter.output_delay() as u64)
    }

    fn refill(&mut self) -> Result<(), ResampleError> {
        self.block = self.block.map(sound);
        self.played = 0;
        self.filled = match &mut self.filter {
            Some(filter) => process(filter, &self.block, &mut self.ready)?,
            None => {
                self.ready.copy_from_slice(&self.block);
                BLOCK
            }
        };
        Ok(())
    }
}

/// A filter between two rates, if they are two, of which a device has one.
fn filter(
    rate: u32,
    channels: usize,
    from: u32,
    to: u32,
    fixed: FixedAsync,
    chunk: usize,
) -> Result<Option<Async<f32>>, ResampleError> {
    if !(MIN_RATE..=MAX_RATE).contains(&rate) {
        return Err(ResampleError::Rate(rate));
    }
    if !(1..=MAX_CHANNELS).contains(&channels) {
        return Err(ResampleError::Channels(channels));
    }
    if from == to {
        return Ok(None);
    }
    // The taps are of the rate that comes in.
    let taps = (TAPS * from / from.min(to)) as usize;
    let parameters = SincInterpolationParameters::new(taps, WindowFunction::Blackman)
        .oversampling_factor(256)
        .interpolation(SincInterpolationType::Linear);
    let ratio = f64::from(to) / f64::from(from);
    let filter = Async::new_sinc(ratio, 1.0, &parameters, chunk, 1, fixed);
    filter.map(Some).map_err(|_| ResampleError::Filter)
}

/// Filters all of `from`, as many samples as are needed. Returns how many of `to` are written.
fn process(filter: &mut Async<f32>, from: &[f32], to: &mut [f32]) -> Result<usize, ResampleError> {
    let room = to.len();
    let from = InterleavedSlice::new(from, 1, from.len()).map_err(|_| ResampleError::Filter)?;
    let mut to = InterleavedSlice::new_mut(to, 1, room).map_err(|_| ResampleError::Filter)?;
    let processed = filter.process_into_buffer(&from, &mut to, None);
    processed.map(|(_, written)| written).map_err(|_| ResampleError::Filter)
}

impl fmt::Debug for InputResampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InputResampler")
            .field("rate", &self.rate)
            .field("channels", &self.channels)
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for OutputResampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutputResampler")
            .field("channels", &self.channels)
            .field("waiting", &(self.filled - self.played))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
