//! A speaker, and a listener behind a network.

use std::f64::consts::TAU;

use bytes::Bytes;
use parlor::audio::codec::{Codec, Encoded, Encoder, EncoderSettings};
use parlor::audio::opus::Opus;
use parlor::audio::playout::config::PlayoutConfig;
use parlor::audio::playout::statistics::PlayoutStatistics;
use parlor::audio::playout::{Playout, Sound};
use parlor::audio::{BLOCK, FRAME};
use parlor::proto::audio::packet::{Kind, Level, MAX_PAYLOAD, Packet};
use parlor::proto::time::Time;

use crate::traces::Network;

/// Microseconds of a frame and of a block.
const FRAME_TIME: u64 = 20_000;
pub(crate) const BLOCK_TIME: u64 = 10_000;

/// When the first frame is captured.
pub(crate) const START: u64 = 1_000_000;

/// The media time of the first frame: times wrap soon.
pub(crate) const BASE: u32 = u32::MAX - 96_000;

/// Seconds of something like a voice: harmonics of a pitch that wavers, in syllables, with a pause of
/// a second after each three, and a little noise behind it.
pub(crate) fn talk(seconds: usize) -> Vec<f32> {
    let mut noise = 1_u32;
    let mut phase = 0.0_f64;
    let samples = 0..seconds * 48_000;
    let sample = samples.map(|at| {
        let time = at as f64 / 48_000.0;
        phase += (120.0 + 30.0 * (time * 1.7).sin() + 15.0 * (time * 5.3).sin()) / 48_000.0;
        let voice: f64 = (1..20).map(|k| (TAU * phase * f64::from(k)).sin() / f64::from(k)).sum();
        let syllable = 0.55 + 0.4 * (TAU * time * 4.1).sin() * (time * 9.7).sin();
        let talking = if time % 4.0 < 3.0 { 0.15 } else { 0.0 };
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let behind = (f64::from(noise) / f64::from(u32::MAX) - 0.5) * 0.002;
        (voice * syllable * talking + behind) as f32
    });
    sample.collect()
}

/// A packet, and when it is sent, in microseconds.
pub(crate) type Sent = (u64, Packet);

/// Makes packets of what is said.
struct Speaker {
    encoder: Box<dyn Encoder>,
    sequence: u16,
    /// Frames since something was said.
    silent: Option<u32>,
    packets: Vec<Sent>,
    repeats: bool,
    previous: Option<Bytes>,
}

/// Everything that is sent of what is said, frame by frame.
pub(crate) fn speak(pcm: &[f32], settings: &EncoderSettings, repeats: bool) -> Vec<Sent> {
    let encoder = Opus.encoder(settings).unwrap();
    let mut speaker = Speaker {
        encoder,
        sequence: 65_500,
        silent: Some(1_000),
        packets: Vec::new(),
        repeats,
        previous: None,
    };
    for (at, frame) in pcm.chunks_exact(FRAME).enumerate() {
        speaker.frame(at as u64, frame);
    }
    speaker.packets
}

impl Speaker {
    fn frame(&mut self, at: u64, pcm: &[f32]) {
        let mut out = [0; MAX_PAYLOAD];
        let encoded = self.encoder.encode(pcm, &mut out).unwrap();
        let level = level(pcm);
        let frame = match encoded {
            // Now and then a frame of silence is encoded to keep the listener's noise right.
            Encoded::Frame(_) if self.silent.is_some() && !level.voice => None,
            Encoded::Frame(length) => Some(Bytes::copy_from_slice(&out[..length])),
            Encoded::Silence => None,
        };
        if let Some(frame) = frame {
            let first = self.silent.take().is_some();
            let previous = self.previous.replace(frame.clone()).filter(|_| self.repeats && !first);
            self.send(at, at, Kind::Audio, level, (first, previous, frame));
            return;
        }
        let silent = self.silent.map_or(0, |silent| silent + 1);
        self.silent = Some(silent);
        let nothing = (false, None, Bytes::new());
        if silent < 3 {
            self.send(at, at - u64::from(silent), Kind::End, level, nothing);
        } else if silent.is_multiple_of(20) {
            self.send(at, at, Kind::Comfort, level, nothing);
        }
    }

    fn send(
        &mut self,
        at: u64,
        of: u64,
        kind: Kind,
        level: Level,
        (first, previous, frame): (bool, Option<Bytes>, Bytes),
    ) {
        let time = BASE.wrapping_add(of as u32 * FRAME as u32);
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        let packet = Packet { kind, first, level, sequence, time, epoch: 7, previous, frame };
        self.packets.push((START + (at + 1) * FRAME_TIME, packet));
    }
}

fn level(pcm: &[f32]) -> Level {
    let power = pcm.iter().map(|sample| sample * sample).sum::<f32>() / pcm.len() as f32;
    let dbov = (-10.0 * power.max(1e-13).log10()).clamp(0.0, 127.0) as u8;
    Level { voice: dbov < 50, dbov }
}

/// What was heard.
pub(crate) struct Heard {
    pub(crate) pcm: Vec<f32>,
    pub(crate) sounds: Vec<Sound>,
    /// Of each block of voice, from its capture, in milliseconds.
    pub(crate) delays: Vec<f64>,
    pub(crate) statistics: PlayoutStatistics,
}

impl Heard {
    pub(crate) fn mean(&self) -> f64 {
        self.delays.iter().sum::<f64>() / self.delays.len() as f64
    }

    pub(crate) fn at(&self, quantile: f64) -> f64 {
        let mut delays = self.delays.clone();
        delays.sort_by(f64::total_cmp);
        delays[((delays.len() - 1) as f64 * quantile).ceil() as usize]
    }

    /// How often what is heard was made longer or shorter, a minute of voice.
    pub(crate) fn stretches(&self) -> f64 {
        let minutes = self.statistics.voice as f64 / 48_000.0 / 60.0;
        self.statistics.stretches as f64 / minutes
    }

    /// Of all voice, in percent.
    pub(crate) fn concealed(&self) -> f64 {
        100.0 * self.statistics.concealed as f64 / self.statistics.voice as f64
    }
}

/// Plays what arrives of `sent`, with a loudspeaker whose blocks are `phase` microseconds later than the
/// speaker's frames and whose clock runs fast by `ppm` millionths.
pub(crate) fn listen(
    sent: &[Sent],
    network: &mut Network,
    config: PlayoutConfig,
    (phase, ppm): (u64, i64),
) -> Heard {
    let mut playout = Playout::new(config, Opus.decoder().unwrap());
    let arrivals =
        sent.iter().filter_map(|(at, packet)| Some((network.arrival(*at)?, packet.clone())));
    let mut arrivals = arrivals.peekable();
    let mut heard = Heard {
        pcm: Vec::new(),
        sounds: Vec::new(),
        delays: Vec::new(),

        statistics: playout.statistics(),
    };
    let end = sent.last().map_or(0, |(at, _)| *at) + 1_000_000;
    for block in 0.. {
        let elapsed = block * BLOCK_TIME;
        let now = START + phase + elapsed - (elapsed as i64 * ppm / 1_000_000) as u64;
        if now > end {
            break;
        }
        while let Some((at, packet)) = arrivals.next_if(|(at, _)| *at <= now) {
            playout.on_packet(Time::from_micros(at), packet);
        }
        let mut out = [0.0; BLOCK];
        let block = playout.pull(Time::from_micros(now), &mut out);
        heard.pcm.extend(out);
        heard.sounds.push(block.sound);
        if let Some(time) = block.time {
            let captured = START as f64 / 1e3 + f64::from(time.wrapping_sub(BASE)) / 48.0;
            heard.delays.push(now as f64 / 1e3 - captured);
        }
    }
    heard.statistics = playout.statistics();
    heard
}
