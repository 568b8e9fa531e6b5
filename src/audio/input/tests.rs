//! What is sent of what is said, with a codec that shows what it was told, and with Opus.
use std::f32::consts::TAU;

use proptest::collection::vec;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::*;
use crate::audio::codec::Decoder;
use crate::audio::opus::Opus;

/// Frames of two bytes: the bitrate in thousands, and the loss.
#[derive(Clone, Copy)]
struct Telltale {
    kilobits: u8,
    loss: u8,
}

/// What it calls silence, whatever the detector says.
const HUM: f32 = 0.25;

impl Codec for Telltale {
    fn encoder(&self, _: &EncoderSettings) -> Result<Box<dyn Encoder>, CodecError> {
        Ok(Box::new(*self))
    }

    fn decoder(&self) -> Result<Box<dyn Decoder>, CodecError> {
        Err(CodecError::Failed("nothing can be heard of this"))
    }
}

impl Encoder for Telltale {
    fn encode(&mut self, pcm: &[f32], out: &mut [u8]) -> Result<Encoded, CodecError> {
        if pcm[FRAME - 1].to_bits() == HUM.to_bits() {
            return Ok(Encoded::Silence);
        }
        out[..2].copy_from_slice(&[self.kilobits, self.loss]);
        Ok(Encoded::Frame(2))
    }

    fn set_bitrate(&mut self, bits_per_second: u32) {
        self.kilobits = u8::try_from(bits_per_second / 1_000).unwrap();
    }

    fn set_loss(&mut self, percent: u8) {
        self.loss = percent;
    }
}

/// A talker, and how many frames it was given.
struct Speaker {
    talker: Talker,
    frames: u64,
}

const VOICE: [f32; FRAME] = [0.1; FRAME];
const QUIET: [f32; FRAME] = [0.0; FRAME];

impl Speaker {
    fn new(config: TalkConfig) -> Self {
        let talker = Talker::new(config, &Telltale { kilobits: 0, loss: 0 }, 7).unwrap();
        Self { talker, frames: 0 }
    }

    /// What is sent of a number of frames, with the number of the frame.
    fn say(&mut self, count: u64, pcm: &[f32; FRAME]) -> Vec<(u64, Packet)> {
        let numbers = self.frames..self.frames + count;
        self.frames += count;
        let sent = numbers.filter_map(|number| {
            let packet = self.talker.push(number * FRAME as u64, pcm).unwrap();
            packet.map(|packet| (number, packet))
        });
        sent.collect()
    }
}

fn kinds(sent: &[(u64, Packet)]) -> Vec<(u64, Kind, bool)> {
    sent.iter().map(|(number, packet)| (*number, packet.kind, packet.first)).collect()
}

#[test]
fn a_talk_spurt_begins_and_ends_and_silence_is_told_now_and_then() {
    let mut speaker = Speaker::new(TalkConfig::default());
    let sent = speaker.say(50, &QUIET);
    assert_eq!(kinds(&sent), [(19, Kind::Comfort, false), (39, Kind::Comfort, false)]);
    let sent = speaker.say(10, &VOICE);
    let audio = (50..60).map(|number| (number, Kind::Audio, number == 50));
    assert_eq!(kinds(&sent), audio.collect::<Vec<_>>());
    assert!(sent.iter().all(|(_, packet)| packet.level == Level { voice: true, dbov: 20 }));
    let sent = speaker.say(70, &QUIET);
    // 400 ms may be a pause.
    let audio = (60..80).map(|number| (number, Kind::Audio, false));
    let ends = (80..83).map(|number| (number, Kind::End, false));
    let comfort = [102, 122].map(|number| (number, Kind::Comfort, false));
    assert_eq!(kinds(&sent), audio.chain(ends).chain(comfort).collect::<Vec<_>>());
    assert!(sent[20..23].iter().all(|(_, packet)| packet.time == 80 * 960));
    assert!(sent.iter().all(|(_, packet)| packet.level == SILENT && packet.epoch == 7));
}

#[test]
fn who_speaks_on_does_not_end() {
    let mut speaker = Speaker::new(TalkConfig::default());
    speaker.say(10, &VOICE);
    speaker.say(21, &QUIET);
    let sent = speaker.say(1, &VOICE);
    assert_eq!(kinds(&sent), [(31, Kind::Audio, true)]);
    assert_eq!(sent[0].1.sequence, 31);
}

#[test]
fn nothing_is_sent_while_muted_but_the_end() {
    let mut speaker = Speaker::new(TalkConfig::default());
    speaker.say(10, &VOICE);
    speaker.talker.set_muted(true);
    let sent = speaker.say(500, &VOICE);
    assert_eq!(kinds(&sent), [10, 11, 12].map(|number| (number, Kind::End, false)));
    assert!(sent.iter().all(|(_, packet)| packet.time == 9_600 && packet.level == SILENT));
    assert_eq!(speaker.talker.level(), SILENT);
    speaker.talker.set_muted(false);
    let sent = speaker.say(1, &VOICE);
    assert_eq!(kinds(&sent), [(510, Kind::Audio, true)]);
    assert_eq!((sent[0].1.sequence, sent[0].1.time), (13, 510 * 960));
}

#[test]
fn a_pause_begins_no_spurt() {
    let mut speaker = Speaker::new(TalkConfig::default());
    speaker.say(10, &VOICE);
    speaker.talker.set_muted(true);
    speaker.say(5, &QUIET);
    speaker.talker.set_muted(false);
    let sent = speaker.say(19, &QUIET);
    assert_eq!(kinds(&sent), [(32, Kind::Comfort, false)]);
}

#[test]
fn who_never_spoke_sends_nothing_while_muted() {
    let mut speaker = Speaker::new(TalkConfig::default());
    speaker.talker.set_muted(true);
    assert_eq!(speaker.say(500, &VOICE), []);
}

#[test]
fn music_has_no_silence() {
    let config = TalkConfig { discontinuous: false, ..TalkConfig::default() };
    let sent = Speaker::new(config).say(100, &QUIET);
    assert!(sent.len() == 100 && sent.iter().all(|(_, packet)| packet.kind == Kind::Audio));
}

#[test]
fn what_the_codec_calls_silence_ends_a_spurt_and_is_noise_from_then_on() {
    let mut speaker = Speaker::new(TalkConfig::default());
    speaker.say(10, &VOICE);
    let sent = speaker.say(100, &[HUM; FRAME]);
    assert_eq!(kinds(&sent)[..3], [10, 11, 12].map(|number| (number, Kind::End, false)));
    assert!(sent[3..].iter().all(|(_, packet)| packet.kind == Kind::Comfort));
    let hum = Level { voice: false, dbov: 12 };
    assert!(sent.iter().all(|(_, packet)| packet.level == hum));
    // As loud as what was noise, it is noise too.
    let sent = speaker.say(100, &[HUM * 1.1; FRAME]);
    assert!(sent.iter().all(|(_, packet)| packet.kind == Kind::Comfort));
    let sent = speaker.say(1, &[0.9; FRAME]);
    assert_eq!(kinds(&sent), [(210, Kind::Audio, true)]);
}

#[test]
fn losses_are_met_with_correction_and_then_with_repetition() {
    let mut speaker = Speaker::new(TalkConfig::default());
    let last = |sent: Vec<(u64, Packet)>| sent.last().unwrap().1.clone();
    assert_eq!(last(speaker.say(2, &VOICE)).frame[..], [32, 10]);
    speaker.talker.on_report(5);
    let packet = last(speaker.say(2, &VOICE));
    assert_eq!((&packet.frame[..], packet.previous), (&[32, 5][..], None));
    speaker.talker.on_report(255);
    let sent = speaker.say(2, &VOICE);
    assert_eq!(sent[0].1.previous.as_deref(), Some(&[32, 5][..]));
    assert_eq!(sent[1].1.previous.as_deref(), Some(&[24, 0][..]));
    assert_eq!(sent[1].1.frame[..], [24, 0]);
    speaker.say(100, &QUIET);
    let sent = speaker.say(2, &VOICE);
    assert_eq!((sent[0].1.first, &sent[0].1.previous), (true, &None));
    assert!(sent[1].1.previous.is_some());
    // What is better now counts when it was so for long, though it is said once.
    speaker.talker.on_report(0);
    let sent = speaker.say(2, &VOICE);
    assert!(sent[1].1.previous.is_some());
    speaker.say(60 * 50, &QUIET);
    let packet = last(speaker.say(2, &VOICE));
    assert_eq!((&packet.frame[..], packet.previous), (&[32, 0][..], None));
}

#[test]
fn what_is_not_redundant_takes_no_notice_of_reports() {
    let config = TalkConfig { redundant: false, ..TalkConfig::default() };
    let mut speaker = Speaker::new(config);
    speaker.talker.on_report(100);
    let sent = speaker.say(2, &VOICE);
    assert_eq!((&sent[1].1.frame[..], &sent[1].1.previous), (&[32, 0][..], &None));
}

#[test]
fn a_gap_in_what_is_captured_is_a_gap_in_time_and_repeats_nothing() {
    let mut speaker = Speaker::new(TalkConfig::default());
    speaker.talker.on_report(100);
    speaker.say(5, &VOICE);
    speaker.frames = 100;
    let sent = speaker.say(2, &VOICE);
    assert_eq!((sent[0].1.time, sent[0].1.sequence), (96_000, 5));
    assert_eq!((sent[0].1.previous.is_some(), sent[1].1.previous.is_some()), (false, true));
}

proptest! {
    #[test]
    fn packets_follow_from_each_other(
        steps in vec((0_u8..5, 1_u64..60, any::<u8>()), 1..30),
    ) {
        let mut speaker = Speaker::new(TalkConfig::default());
        let (mut sequence, mut time, mut talking) = (0_u16, None, false);
        for (step, count, loss) in steps {
            let pcm = match step {
                0 => VOICE,
                1 => QUIET,
                2 => [f32::NAN; FRAME],
                3 => [f32::MAX; FRAME],
                _ => [HUM; FRAME],
            };
            speaker.talker.set_muted(loss % 3 == 0);
            speaker.talker.on_report(loss);
            for (_, packet) in speaker.say(count, &pcm) {
                prop_assert_eq!(packet.sequence, sequence);
                prop_assert!(time.is_none_or(|time| time <= packet.time));
                prop_assert_eq!(packet.time % 960, 0);
                prop_assert_eq!(packet.first, packet.kind == Kind::Audio && !talking);
                prop_assert!(packet.kind != Kind::Comfort || !speaker.talker.is_muted());
                prop_assert_eq!(Packet::read(packet.write()), Ok(packet.clone()));
                sequence = sequence.wrapping_add(1);
                time = Some(packet.time);
                talking = packet.kind == Kind::Audio;
            }
        }
    }
}

/// Something like a voice: harmonics of a pitch that wavers under three formants, in syllables, and
/// the noise of a room.
fn voice(samples: u32, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let mut phase = 0.0_f32;
    let voiced = (0..samples).map(|at| {
        let t = at as f32 / 48_000.0;
        let pitch = 140.0 + 25.0 * (TAU * 0.7 * t).sin();
        phase = (phase + pitch / 48_000.0).fract();
        let open = 0.5 + 0.5 * (TAU * 0.9 * t).sin();
        let harmonics = (1..24_u8).map(|k| {
            let hertz = pitch * f32::from(k);
            let formant =
                |centre: f32, width: f32| (1.0 + ((hertz - centre) / width).powi(2)).recip();
            let gain = formant(400.0 + 400.0 * open, 120.0)
                + 0.5 * formant(1_100.0 + 900.0 * open, 160.0)
                + 0.2 * formant(2_600.0, 250.0);
            gain * (TAU * (phase * f32::from(k)).fract()).sin()
        });
        let syllable = (0.5 - 0.5 * (TAU * 4.0 * t).cos()).sqrt();
        let breath = 40.0 * hiss(rng) * (1.0 - open);
        (0.12 * harmonics.sum::<f32>() + breath) * syllable + hiss(rng)
    });
    voiced.collect()
}

/// Noise at -70 dBov.
fn hiss(rng: &mut ChaCha8Rng) -> f32 {
    (rng.next_u32() as f32 / u32::MAX as f32 - 0.5) * 0.001
}

/// What listeners hear of packets: each frame at its time.
fn heard(packets: &[Packet], samples: usize) -> Vec<f32> {
    let mut decoder = Opus.decoder().unwrap();
    let mut heard = vec![0.0; samples];
    for packet in packets.iter().filter(|packet| packet.kind == Kind::Audio) {
        let at = packet.time as usize;
        decoder.decode(&packet.frame, &mut heard[at..at + FRAME]).unwrap();
    }
    heard
}

/// The mean over frames that are loud enough of how far what is heard is over what differs, in
/// decibels from -10 to 35: segmental SNR as in Quackenbush, "Objective measures of speech quality",
/// 1988.
fn segmental_snr(said: &[f32], heard: &[f32]) -> f32 {
    let frames = said.chunks_exact(FRAME).zip(heard.chunks_exact(FRAME));
    let loud = frames.filter(|(said, _)| dbov(said) > -40.0);
    let snr = loud.map(|(said, heard)| {
        let noise: f32 = said.iter().zip(heard).map(|(a, b)| (a - b).powi(2)).sum();
        let signal: f32 = said.iter().map(|a| a * a).sum();
        (10.0 * (signal / noise).log10()).clamp(-10.0, 35.0)
    });
    let snr: Vec<f32> = snr.collect();
    snr.iter().sum::<f32>() / snr.len() as f32
}

/// Samples by which Opus is late.
const LOOKAHEAD: usize = 312;

#[test]
fn ten_seconds_are_heard_as_they_were_said_for_the_bytes_that_were_asked_for() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut said: Vec<f32> = (0..48_000).map(|_| hiss(&mut rng)).collect();
    said.extend(voice(192_000, &mut rng));
    said.extend((0..240_000).map(|_| hiss(&mut rng)));
    let config = TalkConfig { redundant: false, ..TalkConfig::default() };
    let mut talker = Talker::new(config, &Opus, 1).unwrap();
    let frames: Vec<&[f32; FRAME]> =
        said.chunks_exact(FRAME).map(|f| f.try_into().unwrap()).collect();
    let packets: Vec<_> = (0_u64..)
        .zip(&frames)
        .filter_map(|(number, frame)| talker.push(number * 960, &frame[..]).unwrap())
        .collect();

    let audio: Vec<_> = packets.iter().filter(|packet| packet.kind == Kind::Audio).collect();
    let (begins, ends) = (audio[0].time, audio[audio.len() - 1].time);
    assert!((48_000..50_000).contains(&begins), "begins at {begins}");
    assert!((239_000..260_000).contains(&ends), "ends at {ends}");
    assert_eq!(audio.iter().filter(|packet| packet.first).count(), 1);

    let spoken: Vec<_> = audio.iter().filter(|packet| packet.time < 240_000).collect();
    let bytes: usize = spoken.iter().map(|packet| packet.frame.len()).sum();
    let rate = bytes as f32 * 8.0 / (spoken.len() as f32 * 0.02);
    assert!((28_800.0..35_200.0).contains(&rate), "{rate} bits a second while talking");

    let silent = packets.iter().filter(|packet| packet.kind != Kind::Audio && packet.time > ends);
    let bytes: usize = silent.map(|packet| packet.write().len() + 62).sum();
    let rate = bytes as f32 * 8.0 / ((480_000 - ends) as f32 / 48_000.0);
    assert!(rate < 2_000.0, "{rate} bits a second in silence");

    let heard = heard(&packets, said.len());
    let snr = segmental_snr(&said[..240_000 - LOOKAHEAD], &heard[LOOKAHEAD..]);
    assert!(snr > 7.0, "{snr} dB");
}
