//! `speaking.json`: what a speaker sends of what is captured, and what it makes of losses and levels.

use parlor::audio::FRAME;
use parlor::audio::codec::{Codec, CodecError, Decoder, Encoded, Encoder, EncoderSettings};
use parlor::audio::grid::media_time;
use parlor::audio::input::{TalkConfig, Talker};
use parlor::audio::level::{dbov, under_overload};
use parlor::proto::audio::packet::{Kind, Packet};
use serde::Serialize;

use crate::reported::{losses, speaks, volumes};
use crate::vectors::check;

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Case {
    Time {
        name: &'static str,
        why: &'static str,
        /// Room time in microseconds, its media time, and what a packet has of that.
        times: Vec<String>,
    },
    Level {
        name: &'static str,
        why: &'static str,
        /// Samples in words, and their level as a packet has it.
        levels: Vec<String>,
    },
    Sent {
        name: &'static str,
        why: &'static str,
        music: bool,
        /// The media time at which the first piece is captured.
        begins: u64,
        steps: Vec<String>,
        /// How many packets are not written down, from the first on.
        left_out: usize,
        packets: Vec<String>,
    },
    Losses {
        name: &'static str,
        why: &'static str,
        reports: Vec<String>,
        until: u64,
        follows: Vec<String>,
    },
    Speaks {
        name: &'static str,
        why: &'static str,
        levels: Vec<String>,
        changes: Vec<String>,
    },
    Volume {
        name: &'static str,
        why: &'static str,
        levels: Vec<String>,
        until: u64,
        reports: Vec<String>,
    },
}

#[test]
fn speaking() {
    let mut cases = vec![times(), levels()];
    cases.extend(spurts().into_iter().chain(mutes()).chain(grid()).chain(redundancy()));
    cases.extend(losses().into_iter().chain(speaks()).chain(volumes()));
    check("speaking.json", &cases);
}

fn times() -> Case {
    // The last sample before 2^32, and the first behind it.
    let given =
        [0, 20, 21, 20_000, 1_000_021, 89_478_485_333, 89_478_485_334, 1_700_000_000_000_000];
    let times = given.map(|micros| {
        let media = media_time(micros);
        format!("{micros} {media} {}", media & u64::from(u32::MAX))
    });
    Case::Time { name: "media-time", why: "samples of 48 kHz, rounded down", times: times.into() }
}

/// Samples of a wave whose level is exact: each is `amplitude` or its opposite, in turn.
fn square(amplitude: u32) -> [f32; FRAME] {
    let loud = amplitude as f32 / 32_768.0;
    std::array::from_fn(|at| if at % 2 == 0 { loud } else { -loud })
}

fn levels() -> Case {
    let sine = |amplitude: f32| {
        let wave = |at: usize| (at as f32 / 48.0 * std::f32::consts::TAU).sin();
        std::array::from_fn(|at| amplitude / 32_768.0 * wave(at))
    };
    let mut half = square(8_192);
    half[..480].fill(0.0);
    let samples: [(&str, [f32; FRAME]); 8] = [
        ("square 32768", square(32_768)),
        ("square 65536", square(65_536)),
        ("sine 32768", sine(32_768.0)),
        ("square 8192", square(8_192)),
        ("square 8192 behind 480 of 0", half),
        ("sine 328", sine(328.0)),
        ("square 0", square(0)),
        ("no numbers", [f32::NAN; FRAME]),
    ];
    let levels = samples.map(|(words, pcm)| format!("{words}: {}", under_overload(dbov(&pcm))));
    Case::Level { name: "levels", why: "the loudest, and less", levels: levels.into() }
}

/// The codec of the vectors: what it was told, and which samples it was given.
struct Telltale {
    kilobits: u8,
    loss: u8,
}

/// The amplitude that it calls silence, and that from which on a frame is too long to be repeated.
const HUM: u16 = 1_024;
const LONG: u16 = 32_768;

impl Codec for Telltale {
    fn encoder(&self, _: &EncoderSettings) -> Result<Box<dyn Encoder>, CodecError> {
        Ok(Box::new(Self { kilobits: 0, loss: 0 }))
    }

    fn decoder(&self) -> Result<Box<dyn Decoder>, CodecError> {
        Err(CodecError::Failed("nobody listens"))
    }
}

impl Encoder for Telltale {
    fn encode(&mut self, pcm: &[f32], out: &mut [u8]) -> Result<Encoded, CodecError> {
        let amplitude = |sample: &f32| (sample.abs() * 32_768.0).round() as u16;
        let (first, last) = (amplitude(&pcm[0]), amplitude(&pcm[FRAME - 1]));
        if last == HUM {
            return Ok(Encoded::Silence);
        }
        let other =
            pcm.iter().position(|sample| sample.abs() != pcm[0].abs()).unwrap_or(FRAME) as u16;
        let length = if last >= LONG { 256 } else { 8 };
        out[..length].fill(0);
        out[..2].copy_from_slice(&[self.kilobits, self.loss]);
        for (at, number) in [first, last, other].into_iter().enumerate() {
            out[2 + 2 * at..][..2].copy_from_slice(&number.to_le_bytes());
        }
        Ok(Encoded::Frame(length))
    }

    fn set_bitrate(&mut self, bits_per_second: u32) {
        self.kilobits = u8::try_from(bits_per_second / 1_000).unwrap();
    }

    fn set_loss(&mut self, percent: u8) {
        self.loss = percent;
    }
}

/// What is done with one stream.
#[derive(Clone, Copy)]
enum Step {
    /// So many pieces, of each of these amplitudes in turn.
    Push(usize, &'static [u32]),
    /// The clock gains so many samples behind each piece.
    Drift(i64),
    /// The next piece is later by so many samples.
    Skip(i64),
    Mute,
    Unmute,
    Lost(u8),
}

use Step::{Drift, Lost, Mute, Push, Skip, Unmute};

const VOICE: &[u32] = &[8_192];
const QUIET: &[u32] = &[16];
const HUMS: &[u32] = &[1_024];
/// Voice, in pieces that can be told apart.
const TURNS: &[u32] = &[4_096, 8_192];

fn words(step: &Step) -> String {
    match step {
        Push(pieces, amplitudes) => amplitudes
            .iter()
            .fold(format!("push {pieces}"), |words, amplitude| format!("{words} {amplitude}")),
        Drift(samples) => format!("drift {samples}"),
        Skip(samples) => format!("skip {samples}"),
        Mute => "mute".to_owned(),
        Unmute => "unmute".to_owned(),
        Lost(percent) => format!("lost {percent}"),
    }
}

fn sent(name: &'static str, why: &'static str, begins: u64, steps: &[Step]) -> Case {
    script((name, why), (false, begins, 0), steps)
}

/// Does the steps, and writes down what is sent and of which piece.
fn script(
    (name, why): (&'static str, &'static str),
    (music, begins, left_out): (bool, u64, usize),
    steps: &[Step],
) -> Case {
    let config = TalkConfig { discontinuous: !music, ..TalkConfig::default() };
    let mut talker = Talker::new(config, &Telltale { kilobits: 0, loss: 0 }, 0x0102_0304).unwrap();
    let (mut at, mut drift, mut piece, mut packets) = (begins, 0, 0, Vec::new());
    for step in steps {
        match *step {
            Push(pieces, amplitudes) => {
                let waves: Vec<_> = amplitudes.iter().map(|amplitude| square(*amplitude)).collect();
                for wave in waves.iter().cycle().take(pieces) {
                    let packet = talker.push(at, wave).unwrap();
                    packets.extend(packet.map(|packet| (piece, packet)));
                    at = at.saturating_add_signed(960 + drift);
                    piece += 1;
                }
            }
            Drift(samples) => drift = samples,
            Skip(samples) => at = at.saturating_add_signed(samples),
            Mute => talker.set_muted(true),
            Unmute => talker.set_muted(false),
            Lost(percent) => talker.on_report(percent),
        }
    }
    Case::Sent {
        name,
        why,
        music,
        begins,
        steps: steps.iter().map(words).collect(),
        left_out,
        packets: packets.iter().skip(left_out).map(line).collect(),
    }
}

fn line((piece, packet): &(usize, Packet)) -> String {
    let kind = match packet.kind {
        Kind::Audio => "audio",
        Kind::End => "end",
        Kind::Comfort => "comfort",
    };
    let first = if packet.first { "first" } else { "-" };
    let voice = if packet.level.voice { "voice" } else { "-" };
    let Packet { sequence, time, level, .. } = packet;
    let bytes = hex::encode(packet.write());
    format!("{piece} {kind} {first} {sequence} {time} {voice} {} {bytes}", level.dbov)
}

fn spurts() -> Vec<Case> {
    vec![
        sent(
            "sent-spurt",
            "speech, a pause, three ends, and how loud silence is",
            960_000,
            &[Push(3, VOICE), Push(65, QUIET)],
        ),
        sent(
            "sent-again",
            "something is said before the third end, and a pause begins nothing",
            0,
            &[Push(2, VOICE), Push(1, HUMS), Push(2, VOICE), Push(2, HUMS), Push(1, QUIET)]
                .into_iter()
                .chain([Push(1, VOICE), Push(21, QUIET), Push(1, VOICE)])
                .collect::<Vec<_>>(),
        ),
        sent("sent-silent", "a stream begins silent", 0, &[Push(45, QUIET), Push(1, VOICE)]),
        sent(
            "sent-hum",
            "what the codec calls silence is noise, and so is what is hardly louder",
            0,
            &[Push(2, VOICE), Push(9, HUMS), Push(30, &[1_100]), Push(1, VOICE)],
        ),
        sent(
            "sent-noise",
            "noise is voice until the floor has risen, and then a pause",
            0,
            &[Push(42, &[104])],
        ),
        sent(
            "sent-floor",
            "the floor falls in silence, until what is over it is voice again",
            0,
            &[Push(2, VOICE), Push(9, HUMS), Push(6, &[16, 519])],
        ),
        sent(
            "sent-time",
            "media time passes 2^32",
            4_294_965_120,
            &[Push(4, VOICE), Push(24, HUMS), Push(1, VOICE)],
        ),
        script(
            ("sent-music", "there are no pauses in music, and it can be muted"),
            (true, 0, 0),
            &[Push(2, VOICE), Push(22, &[0]), Mute, Push(30, VOICE), Unmute, Push(2, &[0])],
        ),
        script(
            ("sent-sequence", "the sequence passes 2^16"),
            (true, 0, 65_534),
            &[Push(65_538, VOICE)],
        ),
    ]
}

fn mutes() -> Vec<Case> {
    vec![
        sent(
            "muted-speaking",
            "it ends, and goes on as another talk spurt",
            0,
            &[Push(3, VOICE), Mute, Push(30, VOICE), Unmute, Push(2, VOICE)],
        ),
        sent(
            "muted-ending",
            "the ends that are left have no level, and none is left to one that speaks",
            0,
            &[Push(2, VOICE), Push(1, HUMS), Mute, Push(1, HUMS), Unmute, Push(2, VOICE)],
        ),
        sent(
            "muted-silent",
            "nothing is sent, and then at once how loud it is",
            0,
            &[Mute, Push(50, VOICE), Unmute, Push(22, QUIET)],
        ),
        sent(
            "muted-shortly",
            "frames count as if it were silence",
            0,
            &[Push(2, VOICE), Mute, Push(10, QUIET), Unmute, Push(15, QUIET)],
        ),
    ]
}

fn grid() -> Vec<Case> {
    let moved = |name, why, samples| {
        let pieces = if samples == -9_600 { 13 } else { 3 };
        sent(name, why, 960_000, &[Push(5, QUIET), Skip(samples), Push(pieces, TURNS)])
    };
    let begun = |name, why, begins| sent(name, why, begins, &[Push(4, TURNS)]);
    vec![
        begun("grid-begins", "what is before the first beginning of a frame is left out", 1_000),
        begun("grid-begins-on", "nothing is before it", 1_920),
        begun("grid-begins-late", "all but one sample is before it", 961),
        sent(
            "grid-half",
            "a frame is voice if one of its halves is, and its level is of both",
            480,
            &[Push(3, QUIET), Push(1, VOICE), Push(2, QUIET)],
        ),
        moved("grid-later", "by more than 10 ms, while nothing is said: moved", 481),
        moved("grid-later-little", "by 10 ms: not moved", 480),
        moved("grid-earlier", "earlier by more than 10 ms: moved", -481),
        moved("grid-earlier-little", "earlier by 10 ms: not moved", -480),
        moved("grid-earlier-much", "by 200 ms: nothing is captured twice", -9_600),
        moved("grid-earlier-more", "by more than 200 ms: not moved", -9_601),
        sent(
            "grid-drift-silent",
            "a clock that gains is followed in steps",
            1_000,
            &[Drift(100), Push(12, QUIET), Drift(0), Push(3, TURNS)],
        ),
        sent(
            "grid-drift-speaking",
            "while something is said it is not, and then it is",
            1_000,
            &[Drift(100), Push(8, TURNS), Drift(0), Push(2, TURNS), Push(2, HUMS), Push(3, TURNS)],
        ),
        sent(
            "grid-leap",
            "by more than 200 ms, while something is said: samples are missing",
            0,
            &[Lost(9), Push(2, TURNS), Skip(9_601), Push(4, TURNS)],
        ),
        sent(
            "grid-leap-silent",
            "comfort comes by frames that there are",
            0,
            &[Push(10, QUIET), Skip(48_000), Push(11, QUIET)],
        ),
        sent(
            "grid-leap-little",
            "by 200 ms: not moved before nothing is said",
            0,
            &[Push(2, TURNS), Skip(9_600), Push(2, TURNS), Push(2, HUMS), Push(2, TURNS)],
        ),
    ]
}

fn redundancy() -> Vec<Case> {
    let long: &[u32] = &[32_768];
    vec![
        sent(
            "redundancy-corrected",
            "frames are for the loss that counts: assumed, reported, and more than is reported now",
            0,
            &[Push(1, VOICE), Lost(5), Push(1, VOICE), Lost(0), Push(1, VOICE)],
        ),
        sent(
            "redundancy-repeated",
            "but not by the first of a talk spurt, and not 256 bytes",
            0,
            &[
                Lost(9),
                Push(2, VOICE),
                Push(1, long),
                Push(2, VOICE),
                Push(1, HUMS),
                Push(2, VOICE),
            ],
        ),
    ]
}
