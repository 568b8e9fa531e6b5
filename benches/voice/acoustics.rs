//! What processing what a microphone captures takes, and what it takes away.

use std::hint::black_box;

use parlor::audio::acoustics::{Acoustics, AcousticsConfig};
use parlor::audio::{BLOCK, RATE};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::Outcome;
use crate::codec::fastest;
use crate::report::{Cell, Report};
use crate::stage::talk;

/// How long is talked, in seconds: the half of it is to learn.
const SECONDS: usize = 20;

/// Samples after which an echo comes, and how loud: by two ways, the longer of 51 ms.
const ECHOES: [(usize, f32); 2] = [(960, 0.3), (2_448, 0.1)];

const NOTHING: AcousticsConfig =
    AcousticsConfig { echo: false, noise: None, gain: false, most_gain: 30.0, played: 32 };

pub(crate) fn measure(report: &mut Report, seed: u64) -> Outcome<()> {
    let all = AcousticsConfig::default();
    let voice = talk(SECONDS);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let hiss: Vec<f32> =
        (0..voice.len()).map(|_| 0.01 * (rng.next_u32() as f32 / 2_147_483_648.0 - 1.0)).collect();
    let echo: Vec<f32> = (0..voice.len())
        .map(|at| {
            let of = |(late, loud): &(usize, f32)| {
                at.checked_sub(*late).map_or(0.0, |at| loud * voice[at])
            };
            ECHOES.iter().map(of).sum()
        })
        .collect();
    let quiet: Vec<f32> = voice.iter().map(|sample| sample / 20.0).collect();
    for (name, config, captured) in [
        ("echo", AcousticsConfig { echo: true, ..NOTHING }, &echo),
        ("noise", AcousticsConfig { noise: all.noise, ..NOTHING }, &hiss),
        ("gain, of a quiet voice", AcousticsConfig { gain: true, ..NOTHING }, &quiet),
        ("all, of an echo", all, &echo),
        ("all, of noise", all, &hiss),
    ] {
        let mut left = Vec::new();
        let took = fastest(captured.len() / BLOCK, || {
            left = processed(&config, captured, &voice);
            Ok(())
        })?;
        let end = SECONDS * RATE as usize / 2..;
        let less = power(&captured[end.clone()]) - power(&left[end]);
        report.row(
            "acoustics: what each takes of 10 ms, and takes away",
            vec![
                ("what", Cell::text(name)),
                ("us", Cell::number(took, 1)),
                ("% of a core", Cell::number(took / 100.0, 2)),
                ("dB less", Cell::number(less.into(), 1)),
            ],
        );
    }
    Ok(())
}

/// What becomes of what is captured while something is played.
fn processed(config: &AcousticsConfig, captured: &[f32], played: &[f32]) -> Vec<f32> {
    let (mut acoustics, mut speaker) = Acoustics::new(config);
    let (captured, _) = captured.as_chunks::<BLOCK>();
    let (played, _) = played.as_chunks::<BLOCK>();
    let mut out = Vec::with_capacity(captured.len() * BLOCK);
    for (captured, played) in captured.iter().zip(played) {
        if config.echo {
            black_box(speaker.push(played));
        }
        let mut block = *captured;
        acoustics.captured(&mut block);
        out.extend(block);
    }
    out
}

/// In decibels of full scale.
fn power(samples: &[f32]) -> f32 {
    let mean = samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32;
    10.0 * (mean + 1e-12).log10()
}
