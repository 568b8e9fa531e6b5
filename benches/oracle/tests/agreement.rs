//! Whether Parlor's codec and libopus understand each other: what either encodes both decode to the same,
//! also where frames were lost, and both encode alike.
//!
//! `PARLOR_SPEECH=FILE`, a WAV of 48 kHz, one channel and 16 bits, says what is said; by default it is
//! something like a voice. `--nocapture` shows the figures.

use std::env;
use std::f32::consts::TAU;

use parlor::audio::FRAME;
use parlor::audio::codec::{Codec, Encoded, EncoderSettings};
use parlor::audio::opus::Opus;
use parlor::proto::audio::packet::MAX_PAYLOAD;
use parlor_oracle::{Libopus, version};

/// One step of 16 bits.
const STEP: f32 = 1.0 / 32_768.0;

/// Samples by which a voice comes out later than it went in: 6.5 ms.
const LATE: usize = 312;

/// What is said: syllables, pauses in which there is a little noise, and a hiss now and then.
fn speech() -> Vec<f32> {
    if let Ok(file) = env::var("PARLOR_SPEECH") {
        let mut reader = hound::WavReader::open(file).unwrap();
        return reader.samples::<i16>().map(|it| f32::from(it.unwrap()) * STEP).collect();
    }
    let mut seed = 1_u32;
    let mut noise = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as f32 / 8_388_608.0 - 1.0
    };
    let mut phase = 0.0_f32;
    let sample = (0..10 * 48_000).map(|at| {
        let time = at as f32 / 48_000.0;
        phase = (phase + (130.0 + 35.0 * (time * 1.9).sin()) / 48_000.0).fract();
        let voice: f32 = (1..20).map(|k| (TAU * phase * k as f32).sin() / k as f32).sum();
        let syllable = (TAU * time * 2.0).sin().max(0.0);
        let hiss = if (TAU * time * 0.7).sin() > 0.9 { 0.05 } else { 0.0005 };
        let pause = if time % 3.0 > 2.0 { 0.0 } else { 0.2 };
        voice * syllable * pause + noise() * hiss
    });
    sample.collect()
}

/// Every frame; none is silence that goes on.
fn encode(codec: &dyn Codec, settings: &EncoderSettings, pcm: &[f32]) -> Vec<Option<Vec<u8>>> {
    let mut encoder = codec.encoder(settings).unwrap();
    let frame = |pcm: &[f32]| {
        let mut out = [0; MAX_PAYLOAD];
        match encoder.encode(pcm, &mut out).unwrap() {
            Encoded::Frame(length) => Some(out[..length].to_vec()),
            Encoded::Silence => None,
        }
    };
    pcm.chunks_exact(FRAME).map(frame).collect()
}

/// What is made of a frame.
#[derive(Clone, Copy, PartialEq)]
enum Made {
    Decoded,
    Recovered,
    Concealed,
}

/// What both decode of the same frames, of which every so many-th is lost, frame by frame.
fn decode(frames: &[Option<Vec<u8>>], lost: Option<usize>) -> Vec<(Made, [Vec<f32>; 2])> {
    let mut ours = Opus.decoder().unwrap();
    let mut theirs = Libopus.decoder().unwrap();
    let mut decoded = Vec::new();
    let arrived = |at: usize| {
        let is_lost = lost.is_some_and(|every| at % every == every - 1);
        frames.get(at).and_then(|frame| frame.as_ref().filter(|_| !is_lost))
    };
    for at in 0..frames.len() {
        let mut out = [vec![0.0; FRAME], vec![0.0; FRAME]];
        let [mine, other] = &mut out;
        let made = match (arrived(at), arrived(at + 1)) {
            (Some(frame), _) => {
                assert_eq!(ours.decode(frame, mine).unwrap(), FRAME);
                assert_eq!(theirs.decode(frame, other).unwrap(), FRAME);
                Made::Decoded
            }
            (None, Some(next)) if ours.recover(next, mine).unwrap() == FRAME => {
                assert_eq!(theirs.recover(next, other).unwrap(), FRAME);
                Made::Recovered
            }
            (None, _) => {
                assert_eq!(ours.conceal(mine).unwrap(), FRAME);
                assert_eq!(theirs.conceal(other).unwrap(), FRAME);
                Made::Concealed
            }
        };
        decoded.push((made, out));
    }
    decoded
}

/// The largest difference, in steps of 16 bits, and the ratio of what was decoded to what differs, in
/// decibels.
fn differ<'a>(pairs: impl Iterator<Item = &'a [Vec<f32>; 2]>) -> (f32, f64) {
    let (mut most, mut said, mut off) = (0.0_f32, 0.0_f64, 1e-30_f64);
    for [mine, other] in pairs {
        for (mine, other) in mine.iter().zip(other) {
            most = most.max((mine - other).abs() / STEP);
            said += f64::from(*other) * f64::from(*other);
            off += f64::from(mine - other) * f64::from(mine - other);
        }
    }
    (most, 10.0 * (said / off).log10())
}

fn settings() -> Vec<(&'static str, EncoderSettings)> {
    let usual = EncoderSettings::default();
    vec![
        ("32 kb/s", usual),
        ("32 kb/s, 10 % lost", EncoderSettings { loss: 10, ..usual }),
        ("24 kb/s", EncoderSettings { bitrate: 24_000, ..usual }),
        ("12 kb/s, 25 % lost", EncoderSettings { bitrate: 12_000, loss: 25, ..usual }),
        ("64 kb/s, always", EncoderSettings { bitrate: 64_000, discontinuous: false, ..usual }),
        ("32 kb/s, little work", EncoderSettings { complexity: 3, ..usual }),
    ]
}

#[test]
fn what_either_encodes_both_decode_to_the_same() {
    let pcm = speech();
    println!("{}", version());
    for (name, settings) in settings() {
        for (by, codec) in [("ours", &Opus as &dyn Codec), ("libopus", &Libopus)] {
            let frames = encode(codec, &settings, &pcm);
            for lost in [None, Some(20), Some(7), Some(3)] {
                let decoded = decode(&frames, lost);
                let of = |made| {
                    let pairs = decoded.iter().filter(move |(it, _)| *it == made);
                    (pairs.clone().count(), differ(pairs.map(|(_, pair)| pair)))
                };
                let (_, (most, ratio)) = of(Made::Decoded);
                let (recovered, (most_recovered, ratio_recovered)) = of(Made::Recovered);
                let (concealed, (most_concealed, ratio_concealed)) = of(Made::Concealed);
                println!(
                    "{name}, encoded by {by}, lost {lost:?}: decoded {most:.3} steps, {ratio:.0} dB; \
                     {recovered} recovered {most_recovered:.3}; \
                     {concealed} concealed {most_concealed:.3}, {ratio_concealed:.0} dB"
                );
                // What is made up follows from sums whose order is nobody's promise.
                let same = [(most, ratio), (most_recovered, ratio_recovered)].into_iter();
                let mut same = same.chain([(most_concealed, ratio_concealed)]);
                let near = |(most, ratio)| most <= 2.0 || lost.is_some() && ratio >= 60.0;
                assert!(same.all(near), "{name}, encoded by {by}, lost {lost:?}");
            }
        }
    }
}

/// The ratio of what was said to what is different of what is heard, in decibels.
fn fidelity(pcm: &[f32], frames: &[Option<Vec<u8>>]) -> f64 {
    let heard: Vec<f32> = decode(frames, None).into_iter().flat_map(|(_, [_, it])| it).collect();
    let pairs = pcm.iter().zip(heard.iter().skip(LATE));
    let (mut said, mut off) = (0.0_f64, 1e-30_f64);
    for (said_now, heard) in pairs {
        said += f64::from(said_now * said_now);
        off += f64::from(said_now - heard).powi(2);
    }
    10.0 * (said / off).log10()
}

#[test]
fn both_encode_alike() {
    let pcm = speech();
    // With less work ours does not tell the noise of a pause from a voice, where libopus does.
    let full = settings().into_iter().filter(|(_, settings)| settings.complexity == 10);
    for (name, settings) in full {
        let [ours, theirs] =
            [&Opus as &dyn Codec, &Libopus].map(|codec| encode(codec, &settings, &pcm));
        let same = ours.iter().zip(&theirs).filter(|(one, other)| one == other).count();
        let bytes = |frames: &[Option<Vec<u8>>]| {
            frames.iter().flatten().map(Vec::len).sum::<usize>() as f64
        };
        let (bytes, ratios) =
            ([bytes(&ours), bytes(&theirs)], [fidelity(&pcm, &ours), fidelity(&pcm, &theirs)]);
        println!(
            "{name}: {same} of {} frames the same; {:.0} and {:.0} bytes; {:.2} and {:.2} dB",
            ours.len(),
            bytes[0],
            bytes[1],
            ratios[0],
            ratios[1]
        );
        assert!((bytes[0] / bytes[1] - 1.0).abs() < 0.1, "{name}: {bytes:?} bytes");
        assert!(ratios[0] > ratios[1] - 0.5, "{name}: {ratios:?} dB");
    }
}
