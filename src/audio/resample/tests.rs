//! How well tones come through, and how many samples.
use std::f64::consts::TAU;

use proptest::collection::vec;
use proptest::num::f32::ANY;
use proptest::prelude::*;

use super::*;

/// A second of a sine of half of full scale.
fn tone(hertz: f64, rate: u32) -> Vec<f32> {
    (0..rate).map(|at| sine(hertz * f64::from(at) / f64::from(rate))).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "to the nearest")]
fn sine(periods: f64) -> f32 {
    (0.5 * (TAU * periods).sin()) as f32
}

fn captured(rate: u32, channels: usize, pcm: &[f32], chunk: usize) -> Vec<f32> {
    let mut resampler = InputResampler::new(rate, channels).unwrap();
    let mut frames = Vec::new();
    for pcm in pcm.chunks(chunk) {
        resampler.push(0, pcm, |_, frame| frames.extend_from_slice(frame)).unwrap();
    }
    frames
}

fn played(rate: u32, samples: usize, block: &mut impl FnMut() -> f32) -> Vec<f32> {
    let mut resampler = OutputResampler::new(rate, 1).unwrap();
    let mut out = vec![0.0; samples];
    for out in out.chunks_mut(441) {
        resampler.pull(out, |next| next.fill_with(&mut *block)).unwrap();
    }
    out
}

/// Power of a tone, and of all the rest, in decibels under full scale of a sine.
fn spectrum(pcm: &[f32], hertz: f64, rate: u32) -> (f64, f64) {
    let n = pcm.len() as f64;
    // A least-squares fit of the tone, which needs no whole periods.
    let (mut ss, mut cc, mut sc, mut xs, mut xc, mut xx) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for (i, x) in pcm.iter().enumerate() {
        let x = f64::from(*x);
        let (s, c) = (TAU * hertz * i as f64 / f64::from(rate)).sin_cos();
        ss += s * s;
        cc += c * c;
        sc += s * c;
        xs += x * s;
        xc += x * c;
        xx += x * x;
    }
    let determinant = ss * cc - sc * sc;
    let (a, b) = ((xs * cc - xc * sc) / determinant, (xc * ss - xs * sc) / determinant);
    let tone = (a * xs + b * xc) / n;
    let decibels = |power: f64| 10.0 * (2.0 * power.max(1e-20)).log10();
    (decibels(tone), decibels(xx / n - tone))
}

#[test]
fn tones_come_through_at_every_rate() {
    for rate in [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 44_101, 88_200, 96_000, 192_000] {
        let out = captured(rate, 1, &tone(1_000.0, rate), 441);
        let (loud, rest) = spectrum(&out[9_600..], 1_000.0, RATE);
        assert!((loud + 6.02).abs() < 0.1, "{rate}: {loud} dB");
        assert!(loud - rest > 80.0, "{rate}: {} dB", loud - rest);

        let mut at = 0;
        let mut next = || {
            at += 1;
            sine(f64::from(at) / 48.0)
        };
        let out = played(rate, rate as usize, &mut next);
        let (loud, rest) = spectrum(&out[rate as usize / 5..], 1_000.0, rate);
        assert!((loud + 6.02).abs() < 0.1, "{rate}: {loud} dB");
        assert!(loud - rest > 80.0, "{rate}: {} dB", loud - rest);
    }
}

#[test]
fn what_48_khz_cannot_hold_is_stopped() {
    for (rate, hertz) in [
        (96_000, 25_000.0),
        (96_000, 30_000.0),
        (96_000, 40_000.0),
        (192_000, 30_000.0),
        (192_000, 80_000.0),
    ] {
        let out = captured(rate, 1, &tone(hertz, rate), 500);
        let (_, all) = spectrum(&out[9_600..], 1.0, RATE);
        assert!(all < -80.0, "{hertz} Hz at {rate}: {all} dB");
    }
    // And what it can is not.
    for (rate, hertz, most) in [
        (96_000, 16_000.0, 0.1),
        (96_000, 20_000.0, 0.1),
        (44_100, 16_000.0, 0.1),
        (44_100, 19_000.0, 1.0),
    ] {
        let out = captured(rate, 1, &tone(hertz, rate), 500);
        let (loud, _) = spectrum(&out[9_600..], hertz, RATE);
        assert!((loud + 6.02).abs() < most, "{hertz} Hz at {rate}: {loud} dB");
    }
}

#[test]
fn at_48_khz_samples_come_out_as_they_went_in() {
    let pcm = tone(777.0, RATE);
    assert_eq!(captured(RATE, 1, &pcm, 77), pcm);
    let mut samples = pcm.iter();
    let out = played(RATE, pcm.len(), &mut || *samples.next().unwrap());
    assert_eq!(out, pcm);
}

#[test]
fn channels_are_mixed_to_their_mean_and_played_alike() {
    let pcm: Vec<i16> = (0..8 * PIECE).flat_map(|_| [16_384, 0, -8_192, 0]).collect();
    let mut resampler = InputResampler::new(RATE, 4).unwrap();
    let mut frames = Vec::new();
    resampler.push(0, &pcm, |at, frame| frames.push((at, *frame))).unwrap();
    let pieces = (0..8).map(|number| (number * 120, [0.0625; PIECE]));
    assert_eq!(frames, pieces.collect::<Vec<_>>());
    let mut resampler = OutputResampler::new(RATE, 2).unwrap();
    let mut out = [0_i16; 6];
    let mut sample = 0.0;
    resampler
        .pull(&mut out, |block| {
            block.fill_with(|| {
                sample += 0.25;
                sample
            });
        })
        .unwrap();
    assert_eq!(out, [8_192, 8_192, 16_384, 16_384, 24_576, 24_576]);
}

#[test]
fn a_piece_knows_when_it_was_captured() {
    // A click at 0.5 s is in the frame of that time, where it should be.
    for rate in [8_000, 44_100, 48_000, 96_000] {
        let mut pcm = vec![0.0; rate as usize];
        pcm[rate as usize / 2] = 1.0;
        let mut resampler = InputResampler::new(rate, 1).unwrap();
        let mut clicks = Vec::new();
        for (number, pcm) in (0_u64..).zip(pcm.chunks(rate as usize / 100)) {
            let each = |at: u64, frame: &[f32; PIECE]| {
                let (loudest, height) =
                    (0_u64..).zip(frame).max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
                clicks.push((*height, at + loudest));
            };
            resampler.push(1_000_000 + number * 480, pcm, each).unwrap();
        }
        let (_, at) = clicks.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        assert!(at.abs_diff(1_024_000) <= 3, "{rate}: {at}");
    }
}

#[test]
fn devices_that_cannot_be_are_refused() {
    let refused = |rate, channels| InputResampler::new(rate, channels).err();
    assert_eq!(refused(7_999, 1), Some(ResampleError::Rate(7_999)));
    assert_eq!(refused(192_001, 1), Some(ResampleError::Rate(192_001)));
    assert_eq!(refused(48_000, 0), Some(ResampleError::Channels(0)));
    assert_eq!(refused(48_000, 9), Some(ResampleError::Channels(9)));
    assert_eq!(OutputResampler::new(0, 1).err(), Some(ResampleError::Rate(0)));
    let mut resampler = InputResampler::new(44_100, 2).unwrap();
    let ragged = ResampleError::Ragged { samples: 3, channels: 2 };
    assert_eq!(resampler.push(0, &[0.0_f32; 3], |_, _| {}), Err(ragged));
    let mut resampler = OutputResampler::new(44_100, 2).unwrap();
    assert_eq!(resampler.pull(&mut [0.0_f32; 3], |_| {}), Err(ragged));
    assert_eq!(
        ResampleError::Rate(7_999).to_string(),
        "7999 samples a second are not within 8000 and 192000"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn as_many_samples_come_out_as_go_in(
        rate in MIN_RATE..=MAX_RATE,
        channels in 1..=MAX_CHANNELS,
        chunks in vec(0_usize..5_000, 1..60),
        sample in ANY,
    ) {
        let mut input = InputResampler::new(rate, channels).unwrap();
        let mut output = OutputResampler::new(rate, channels).unwrap();
        let (mut pushed, mut framed, mut blocks) = (0, 0, 0);
        for chunk in chunks {
            let mut pcm = vec![sample; chunk * channels];
            pushed += chunk as u64;
            let capacity = input.waiting.capacity();
            input.push(0, &pcm, |_, frame| {
                framed += frame.len() as u64;
                assert!(frame.iter().all(|sample| sample.is_finite()));
            }).unwrap();
            prop_assert_eq!(input.waiting.capacity(), capacity);
            output.pull(&mut pcm, |block| { blocks += 1; block.fill(sample); }).unwrap();
            prop_assert!(pcm.iter().all(|sample| sample.is_finite()));
            let whole = pushed * 48_000 / u64::from(rate);
            let least = whole.saturating_sub(PIECE as u64 + 2 * input.delay() + 8);
            prop_assert!((least..=whole + 1).contains(&framed), "{} of {}", framed, whole);
            let (least, delay) = (whole / BLOCK as u64, 48_000 * output.delay() / u64::from(rate));
            let most = (whole + 2 * delay + 8) / BLOCK as u64 + 2;
            prop_assert!((least..=most).contains(&blocks), "{} of {}..={}", blocks, least, most);
        }
    }
}
