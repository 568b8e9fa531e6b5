//! Several voices in one: gains, a sum, and a limiter.

use super::BLOCK;
use super::pcm::sound;

/// The highest gain: 400 %, 12 dB up.
pub const MAX_GAIN: f32 = 4.0;

/// Up to here, 6.02 dB under full scale, a limiter changes nothing.
pub const KNEE: f32 = 0.5;

/// What a limiter never gets above: 1 dB under full scale, so that what a device makes of the samples
/// between them does not clip.
pub const CEILING: f32 = 0.891_250_94;

/// Peaks beyond this, 3 dB under full scale, turn the whole down to it.
const LOUD: f32 = 0.707_945_8;

/// How much of a reduction is left after a block: it falls to 1/e in 200 ms.
const RELEASE: f32 = 0.951_229_4;

/// By how much one stream is louder or quieter. A new gain is reached within a block, along a straight
/// line, so that it does not click.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Gain {
    from: f32,
    to: f32,
}

impl Default for Gain {
    fn default() -> Self {
        Self::new(1.0)
    }
}

impl Gain {
    /// A gain as [`Self::set`] has it, from the first sample on.
    #[must_use]
    pub const fn new(gain: f32) -> Self {
        let gain = bounded(gain);
        Self { from: gain, to: gain }
    }

    /// Sets the gain: 0 is silence, 1 as it was said, [`MAX_GAIN`] the most. What is more counts as
    /// that; what is less than 0 or no number, as 0.
    pub const fn set(&mut self, gain: f32) {
        self.to = bounded(gain);
    }

    /// The gain that was set.
    #[must_use]
    pub const fn get(self) -> f32 {
        self.to
    }

    /// The gain of each sample of the next block.
    fn ramp(&mut self) -> impl Iterator<Item = f32> + use<> {
        let Self { from, to } = *self;
        let step = (to - from) / BLOCK as f32;
        self.from = to;
        (1..=BLOCK).map(move |at| if at == BLOCK { to } else { from + step * at as f32 })
    }
}

const fn bounded(gain: f32) -> f32 {
    if gain.is_nan() { 0.0 } else { gain.clamp(0.0, MAX_GAIN) }
}

/// Adds blocks of [`BLOCK`] samples up, and limits the sum.
///
/// What is added are any samples: those that are no numbers count as 0, and those beyond
/// [`LARGEST`](super::pcm::LARGEST) as that. One stream at a gain of 1 whose samples are within
/// [`KNEE`] comes out bit for bit as it went in, unless something louder came within the last 1.5 s.
/// Nothing is allocated.
#[derive(Clone, Debug)]
pub struct Mixer {
    sum: [f32; BLOCK],
    empty: bool,
    gain: Gain,
    limiter: Limiter,
}

impl Default for Mixer {
    fn default() -> Self {
        let (gain, limiter) = (Gain::default(), Limiter::default());
        Self { sum: [0.0; BLOCK], empty: true, gain, limiter }
    }
}

impl Mixer {
    /// Adds a stream's next block, by the gain of that stream.
    pub fn add(&mut self, block: &[f32; BLOCK], gain: &mut Gain) {
        for ((sum, sample), gain) in self.sum.iter_mut().zip(block).zip(gain.ramp()) {
            let sample = sound(*sample) * gain;
            // 0 and -0 are -0 only if nothing is added.
            *sum = if self.empty { sample } else { *sum + sample };
        }
        self.empty = false;
    }

    /// How loud the sum is, before it is limited: as [`Gain::set`] has it.
    pub const fn set_gain(&mut self, gain: f32) {
        self.gain.set(gain);
    }

    /// The sum of what was added since this was asked last, limited, in `out`; silence if that is
    /// nothing. Each sample is at most [`CEILING`] either way.
    pub fn mix(&mut self, out: &mut [f32; BLOCK]) {
        if self.empty {
            self.sum.fill(0.0);
        }
        self.empty = true;
        for ((out, sum), gain) in out.iter_mut().zip(&self.sum).zip(self.gain.ramp()) {
            *out = sum * gain;
        }
        self.limiter.limit(out);
    }
}

/// Keeps samples under a ceiling without looking ahead.
///
/// What has peaks beyond 3 dB under full scale is turned down to that as a whole, over one block, and
/// up again with a time constant of 200 ms: that leaves its waveform alone. What still gets beyond
/// [`KNEE`], as the onset of something loud, is bent towards [`CEILING`] by a hyperbolic tangent, whose
/// slope at the knee is 1.
#[derive(Clone, Debug)]
pub struct Limiter {
    gain: f32,
}

impl Default for Limiter {
    fn default() -> Self {
        Self { gain: 1.0 }
    }
}

impl Limiter {
    /// Limits the next block of samples, which must be numbers.
    pub fn limit(&mut self, block: &mut [f32; BLOCK]) {
        let peak = block.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
        let wanted = (LOUD / peak.max(LOUD)).min(self.released());
        let step = (wanted - self.gain) / BLOCK as f32;
        for (at, sample) in block.iter_mut().enumerate() {
            let gain = self.gain + step * (at + 1) as f32;
            *sample = bend(if gain < 1.0 { *sample * gain } else { *sample });
        }
        self.gain = wanted;
    }

    /// The gain after a block in which nothing is too loud.
    fn released(&self) -> f32 {
        let released = 1.0 - (1.0 - self.gain) * RELEASE;
        if released > 0.999 { 1.0 } else { released }
    }
}

fn bend(sample: f32) -> f32 {
    let over = sample.abs() - KNEE;
    if over <= 0.0 {
        return sample;
    }
    let room = CEILING - KNEE;
    (KNEE + room * (over / room).tanh()).min(CEILING).copysign(sample)
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use proptest::collection::vec;
    use proptest::num::f32::ANY;
    use proptest::prelude::*;

    use super::*;

    fn sine(amplitude: f32, block: usize) -> [f32; BLOCK] {
        std::array::from_fn(|i| amplitude * (TAU * (block * BLOCK + i) as f32 / 96.0).sin())
    }

    fn mixed(mixer: &mut Mixer, streams: &[[f32; BLOCK]], gains: &mut [Gain]) -> [f32; BLOCK] {
        for (block, gain) in streams.iter().zip(gains) {
            mixer.add(block, gain);
        }
        let mut out = [f32::NAN; BLOCK];
        mixer.mix(&mut out);
        out
    }

    /// How much of a block that should be a sine of 500 Hz is something else, in decibels.
    fn distortion(block: &[f32; BLOCK]) -> f32 {
        let (mut sin, mut cos) = (0.0, 0.0);
        for (i, sample) in block.iter().enumerate() {
            sin += sample * (TAU * i as f32 / 96.0).sin() * 2.0 / BLOCK as f32;
            cos += sample * (TAU * i as f32 / 96.0).cos() * 2.0 / BLOCK as f32;
        }
        let power: f32 = block.iter().map(|sample| sample * sample).sum::<f32>() / BLOCK as f32;
        let tone = (sin * sin + cos * cos) / 2.0;
        10.0 * ((power - tone).max(1e-12) / tone).log10()
    }

    #[test]
    fn one_stream_under_the_knee_comes_out_as_it_went_in() {
        let mut mixer = Mixer::default();
        let mut block = sine(KNEE, 0);
        block[7] = -0.0;
        let out = mixed(&mut mixer, &[block], &mut [Gain::default()]);
        assert_eq!(out.map(f32::to_bits), block.map(f32::to_bits));
        assert_eq!(mixed(&mut mixer, &[], &mut []), [0.0; BLOCK]);
    }

    #[test]
    fn streams_add_up() {
        let mut gains = [Gain::new(0.5), Gain::new(2.0), Gain::new(0.0)];
        let out =
            mixed(&mut Mixer::default(), &[[0.1; BLOCK], [0.05; BLOCK], [1.0; BLOCK]], &mut gains);
        assert!(out.iter().all(|sample| (sample - 0.15).abs() < 1e-6));
    }

    #[test]
    fn the_sum_has_a_gain_of_its_own_and_stays_under_the_ceiling() {
        let mut mixer = Mixer::default();
        mixer.set_gain(2.0);
        let mut gains = [Gain::default(); 2];
        let mut out = mixed(&mut mixer, &[[0.1; BLOCK]; 2], &mut gains);
        assert!(out[0] < 0.21 && out[BLOCK - 1] > 0.39, "along a line");
        out = mixed(&mut mixer, &[[0.1; BLOCK]; 2], &mut gains);
        assert!(out.iter().all(|sample| (sample - 0.4).abs() < 1e-6));
        out = mixed(&mut mixer, &[[0.9; BLOCK]; 2], &mut gains);
        assert!(out.iter().all(|sample| *sample <= CEILING));
        mixer.set_gain(0.0);
        for _ in 0..2 {
            out = mixed(&mut mixer, &[[0.1; BLOCK]; 2], &mut gains);
        }
        assert_eq!(out, [0.0; BLOCK]);
    }

    #[test]
    fn a_gain_is_reached_within_a_block_without_a_step() {
        let mut mixer = Mixer::default();
        let mut gains = [Gain::default()];
        gains[0].set(4.0);
        let first = mixed(&mut mixer, &[[0.1; BLOCK]], &mut gains);
        let second = mixed(&mut mixer, &[[0.1; BLOCK]], &mut gains);
        assert!((first[0] - 0.1).abs() < 0.001 && (first[BLOCK - 1] - 0.4).abs() < 1e-6);
        assert!(first.windows(2).all(|pair| (pair[1] - pair[0]).abs() < 0.001));
        assert!(second.iter().all(|sample| (sample - 0.4).abs() < 1e-6));
        for (set, gain) in [(5.0, 4.0), (-1.0, 0.0), (f32::NAN, 0.0), (f32::INFINITY, 4.0)] {
            gains[0].set(set);
            assert!((gains[0].get() - gain).abs() < f32::EPSILON);
        }
    }

    #[test]
    fn what_is_too_loud_is_turned_down_whole_and_up_again() {
        let mut mixer = Mixer::default();
        let mut gains = [Gain::new(4.0)];
        let mut loud = [0.0; BLOCK];
        for block in 0..10 {
            loud = mixed(&mut mixer, &[sine(0.9, block)], &mut gains);
        }
        let bent = distortion(&loud);
        assert!(bent < -36.0, "{bent} dB: as much as clipping");
        let quiet = sine(0.4, 0);
        let mut out = mixed(&mut mixer, &[quiet], &mut [Gain::default()]);
        assert!(out[BLOCK / 2 + 24].abs() < quiet[BLOCK / 2 + 24].abs());
        for _ in 0..150 {
            out = mixed(&mut mixer, &[quiet], &mut [Gain::default()]);
        }
        assert_eq!(out.map(f32::to_bits), quiet.map(f32::to_bits));
    }

    proptest! {
        #[test]
        fn whatever_is_mixed_is_finite_and_under_the_ceiling(
            blocks in vec(vec((vec(ANY, 16), ANY), 0..5), 1..6),
        ) {
            let mut mixer = Mixer::default();
            let mut gains = [Gain::default(); 5];
            for streams in blocks {
                for ((samples, new), gain) in streams.iter().zip(&mut gains) {
                    gain.set(*new);
                    mixer.add(&std::array::from_fn(|i| samples[i % samples.len()]), gain);
                }
                let mut out = [0.0; BLOCK];
                mixer.mix(&mut out);
                prop_assert!(out.iter().all(|sample| sample.abs() <= CEILING), "{:?}", out);
            }
        }
    }
}
