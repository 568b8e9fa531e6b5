//! What a microphone captures, without what the loudspeaker beside it plays, with less noise, and as
//! loud as voices are.
//!
//! The processing is `WebRTC`'s, by `sonora`: echo canceller AEC3, its noise suppression, and gain
//! controller AGC2. Of 10 ms all three take about 0.2 ms. The crate needs Rust 1.91.

use std::fmt;

use rtrb::{Consumer, Producer, RingBuffer};
use sonora::config::{
    AdaptiveDigital, EchoCanceller, GainController2, HighPassFilter, MaxProcessingRate,
    NoiseSuppression, NoiseSuppressionLevel, Pipeline,
};
use sonora::{AudioProcessing, Config, StreamConfig};

use super::pcm::sound;
use super::resample::PIECE;
use super::{BLOCK, RATE};

/// How much of what is no voice is taken away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Suppression {
    /// About 6 dB.
    Low,
    /// About 12 dB.
    Moderate,
    /// About 18 dB.
    High,
    /// About 21 dB.
    VeryHigh,
}

/// What is done with what is captured.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct AcousticsConfig {
    /// Whether what a loudspeaker plays is taken away. On.
    pub echo: bool,
    /// How much noise is taken away, if any: [`Suppression::Moderate`].
    pub noise: Option<Suppression>,
    /// Whether a quiet voice is made louder, and a loud one quieter. On.
    pub gain: bool,
    /// The most by which a voice is made louder, in decibels: 30.
    pub most_gain: f32,
    /// Blocks of 10 ms that may have been played and wait until something is captured: 32. Of more, the
    /// newest are not heard of, and their echo stays.
    pub played: usize,
}

impl Default for AcousticsConfig {
    fn default() -> Self {
        Self {
            echo: true,
            noise: Some(Suppression::Moderate),
            gain: true,
            most_gain: 30.0,
            played: 32,
        }
    }
}

/// Where a loudspeaker says what it plays. Made for its callback: nothing here waits, locks or allocates.
#[derive(Debug)]
pub struct Played {
    blocks: Producer<[f32; BLOCK]>,
}

impl Played {
    /// Says what is about to be played. False if too much waits already: it is not heard of.
    pub fn push(&mut self, block: &[f32; BLOCK]) -> bool {
        self.blocks.push(*block).is_ok()
    }
}

/// The processing of one microphone, and of what the loudspeaker in its room plays.
///
/// Blocks of [`BLOCK`] samples, one channel. Samples may be anything: those that are no numbers count
/// as 0. What comes out is within full scale.
pub struct Acoustics {
    engine: AudioProcessing,
    played: Consumer<[f32; BLOCK]>,
    /// A block that is being filled, and how far it is.
    filling: [f32; BLOCK],
    filled: usize,
}

impl fmt::Debug for Acoustics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acoustics").finish_non_exhaustive()
    }
}

impl Acoustics {
    /// Processing that has heard nothing, and where it is told what is played.
    #[must_use]
    pub fn new(config: &AcousticsConfig) -> (Self, Played) {
        let format = StreamConfig::new(RATE, 1);
        let engine = AudioProcessing::builder()
            .config(settings(config))
            .capture_config(format)
            .render_config(format)
            .build();
        let (blocks, played) = RingBuffer::new(config.played.max(1));
        let acoustics = Self { engine, played, filling: [0.0; BLOCK], filled: 0 };
        (acoustics, Played { blocks })
    }

    /// Processes what was captured next. What was said to be played until now is taken for played before
    /// it.
    pub fn captured(&mut self, block: &mut [f32; BLOCK]) {
        while let Ok(played) = self.played.pop() {
            let mut unchanged = [0.0; BLOCK];
            // It fails only for a format that is none.
            self.engine.process_render_f32(&[&played.map(within)], &mut [&mut unchanged]).ok();
        }
        let captured = block.map(within);
        if self.engine.process_capture_f32(&[&captured], &mut [block]).is_err() {
            *block = captured;
        }
        *block = block.map(within);
    }

    /// Takes a piece of what was captured, of a media time, and gives [`Self::captured`] of each block
    /// that is full, of which there are four pieces, and when that began.
    pub fn collect(&mut self, at: u64, piece: &[f32; PIECE]) -> Option<(u64, [f32; BLOCK])> {
        self.filling[self.filled..][..PIECE].copy_from_slice(piece);
        self.filled += PIECE;
        if self.filled < BLOCK {
            return None;
        }
        self.filled = 0;
        let mut block = self.filling;
        self.captured(&mut block);
        Some((at.saturating_sub((BLOCK - PIECE) as u64), block))
    }
}

/// A sample within full scale.
fn within(sample: f32) -> f32 {
    sound(sample).clamp(-1.0, 1.0)
}

fn settings(config: &AcousticsConfig) -> Config {
    let level = |suppression| match suppression {
        Suppression::Low => NoiseSuppressionLevel::Low,
        Suppression::Moderate => NoiseSuppressionLevel::Moderate,
        Suppression::High => NoiseSuppressionLevel::High,
        Suppression::VeryHigh => NoiseSuppressionLevel::VeryHigh,
    };
    Config {
        pipeline: Pipeline {
            maximum_internal_processing_rate: MaxProcessingRate::Rate48kHz,
            ..Pipeline::default()
        },
        high_pass_filter: Some(HighPassFilter::default()),
        echo_canceller: config.echo.then(EchoCanceller::default),
        noise_suppression: config
            .noise
            .map(|noise| NoiseSuppression { level: level(noise), ..NoiseSuppression::default() }),
        gain_controller2: config.gain.then(|| GainController2 {
            adaptive_digital: Some(AdaptiveDigital {
                max_gain_db: config.most_gain,
                initial_gain_db: 0.0,
                ..AdaptiveDigital::default()
            }),
            ..GainController2::default()
        }),
        ..Config::default()
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use proptest::collection::vec;
    use proptest::num::f32::ANY;
    use proptest::prelude::*;
    use rand_chacha::ChaCha8Rng;
    use rand_core::{Rng, SeedableRng};

    use super::*;

    const NOTHING: AcousticsConfig =
        AcousticsConfig { echo: false, noise: None, gain: false, most_gain: 30.0, played: 32 };

    /// Noise of full scale.
    fn noise(rng: &mut ChaCha8Rng) -> f32 {
        rng.next_u32() as f32 / 2_147_483_648.0 - 1.0
    }

    /// Something like a voice: a buzz of 120 Hz in syllables, four a second.
    fn voice(at: usize) -> f32 {
        let time = at as f32 / RATE as f32;
        let buzz: f32 = (1..30).map(|k| (TAU * 120.0 * k as f32 * time).sin() / k as f32).sum();
        0.1 * buzz * (TAU * 2.0 * time).sin().powi(2)
    }

    fn power(samples: &[f32]) -> f32 {
        10.0 * (samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32 + 1e-12).log10()
    }

    /// What becomes of samples, and of what is played meanwhile.
    fn processed(config: AcousticsConfig, captured: &[f32], played: Option<&[f32]>) -> Vec<f32> {
        let (mut acoustics, mut speaker) = Acoustics::new(&config);
        let mut out = Vec::new();
        for (number, block) in captured.chunks_exact(BLOCK).enumerate() {
            if let Some(played) = played {
                let block = &played[number * BLOCK..][..BLOCK];
                assert!(speaker.push(block.try_into().unwrap()));
            }
            let mut block: [f32; BLOCK] = block.try_into().unwrap();
            acoustics.captured(&mut block);
            out.extend(block);
        }
        out
    }

    #[test]
    fn what_the_loudspeaker_plays_is_taken_away() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let played: Vec<f32> =
            (0..8 * 48_000).map(|at| voice(at) + 0.002 * noise(&mut rng)).collect();
        // By two ways, the longer of 51 ms.
        let echo = |at: usize, late: usize| at.checked_sub(late).map_or(0.0, |at| played[at]);
        let captured: Vec<f32> =
            (0..played.len()).map(|at| 0.3 * echo(at, 960) + 0.1 * echo(at, 2_448)).collect();
        let left = processed(AcousticsConfig { echo: true, ..NOTHING }, &captured, Some(&played));
        let end = 4 * 48_000..;
        let less = power(&captured[end.clone()]) - power(&left[end.clone()]);
        assert!(less > 18.0, "{less} dB less");
        let kept = processed(NOTHING, &captured, Some(&played));
        let less = power(&captured[end.clone()]) - power(&kept[end]);
        assert!(less.abs() < 1.0, "{less} dB less without");
    }

    #[test]
    fn noise_is_taken_away_and_voice_is_left() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let hiss: Vec<f32> = (0..6 * 48_000).map(|_| 0.01 * noise(&mut rng)).collect();
        let config = AcousticsConfig { noise: Some(Suppression::Moderate), ..NOTHING };
        let end = 3 * 48_000..;
        let less = power(&hiss[end.clone()]) - power(&processed(config, &hiss, None)[end.clone()]);
        assert!((9.0..20.0).contains(&less), "{less} dB less noise");
        let said: Vec<f32> = (0..6 * 48_000).map(|at| voice(at) + hiss[at] / 10.0).collect();
        let less = power(&said[end.clone()]) - power(&processed(config, &said, None)[end]);
        assert!(less.abs() < 5.0, "{less} dB less voice");
    }

    #[test]
    fn a_quiet_voice_is_made_louder() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let said: Vec<f32> =
            (0..15 * 48_000).map(|at| 0.05 * voice(at) + 1e-5 * noise(&mut rng)).collect();
        let end = 12 * 48_000..;
        let out = processed(AcousticsConfig { gain: true, ..NOTHING }, &said, None);
        let more = power(&out[end.clone()]) - power(&said[end]);
        assert!((6.0..=31.0).contains(&more), "{more} dB more");
    }

    #[test]
    fn a_loudspeaker_beside_no_microphone_is_not_waited_for() {
        let (_acoustics, mut played) = Acoustics::new(&AcousticsConfig { played: 2, ..NOTHING });
        let taken = [(); 3].map(|()| played.push(&[0.0; BLOCK]));
        assert_eq!(taken, [true, true, false]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn whatever_is_captured_what_comes_out_is_within_full_scale(
            blocks in vec((vec(ANY, 16), vec(ANY, 16)), 1..20),
        ) {
            let (mut acoustics, mut speaker) = Acoustics::new(&AcousticsConfig::default());
            for (played, captured) in blocks {
                speaker.push(&std::array::from_fn(|i| played[i % 16]));
                let mut block = std::array::from_fn(|i| captured[i % 16]);
                acoustics.captured(&mut block);
                prop_assert!(block.iter().all(|sample| sample.abs() <= 1.0), "{:?}", block);
            }
        }
    }
}
