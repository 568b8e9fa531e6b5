//! `audio.json`: packets of voice, and what is played of packets as they come.

use std::fmt::Write;

use bytes::Bytes;
use parlor::audio::BLOCK;
use parlor::audio::codec::{CodecError, Decoder};
use parlor::audio::playout::config::PlayoutConfig;
use parlor::audio::playout::{Playout, Sound};
use parlor::proto::audio::packet::{Kind, Level, Packet, PacketError};
use parlor::proto::time::Time;
use serde::Serialize;

use crate::vectors::check;

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Case {
    Packet {
        name: &'static str,
        why: &'static str,
        bytes: String,
        fields: Fields,
    },
    Refused {
        name: &'static str,
        why: &'static str,
        bytes: String,
        error: String,
    },
    Played {
        name: &'static str,
        why: &'static str,
        /// When each came, in microseconds, and its bytes.
        packets: Vec<String>,
        /// A letter for each block, 50 a line, and the media times of those that have one.
        blocks: Vec<String>,
        times: Vec<String>,
    },
}

#[derive(Serialize)]
struct Fields {
    kind: &'static str,
    first: bool,
    voice: bool,
    dbov: u8,
    sequence: u16,
    time: u32,
    epoch: u32,
    previous: Option<String>,
    frame: String,
}

#[test]
fn audio() {
    let cases = [packets(), refused(), played()];
    check("audio.json", &cases.into_iter().flatten().collect::<Vec<_>>());
}

/// A packet of kind audio, said in the fewest words.
fn packet(sequence: u16, time: u32, frame: &[u8]) -> Packet {
    Packet {
        kind: Kind::Audio,
        first: false,
        level: Level { voice: true, dbov: 30 },
        sequence,
        time,
        epoch: 0x0102_0304,
        previous: None,
        frame: Bytes::copy_from_slice(frame),
    }
}

fn packets() -> Vec<Case> {
    let usual = packet(0x1234, 0x89ab_cdef, b"frame");
    let silent = |kind| Packet {
        kind,
        level: Level { voice: false, dbov: 127 },
        frame: Bytes::new(),
        ..usual.clone()
    };
    [
        ("packet-audio", "a frame amid a talk spurt", usual.clone()),
        ("packet-first", "a talk spurt begins", Packet { first: true, ..usual.clone() }),
        (
            "packet-repeats",
            "and the frame before",
            Packet { previous: Some(Bytes::from_static(b"before")), ..usual.clone() },
        ),
        ("packet-end", "a talk spurt is over", silent(Kind::End)),
        ("packet-comfort", "nothing is said", silent(Kind::Comfort)),
    ]
    .into_iter()
    .map(|(name, why, packet)| {
        let bytes = packet.write();
        assert_eq!(Packet::read(bytes.clone()).as_ref(), Ok(&packet), "{name}");
        Case::Packet { name, why, bytes: hex::encode(bytes), fields: fields(&packet) }
    })
    .collect()
}

fn fields(packet: &Packet) -> Fields {
    Fields {
        kind: match packet.kind {
            Kind::Audio => "audio",
            Kind::End => "end",
            Kind::Comfort => "comfort",
        },
        first: packet.first,
        voice: packet.level.voice,
        dbov: packet.level.dbov,
        sequence: packet.sequence,
        time: packet.time,
        epoch: packet.epoch,
        previous: packet.previous.as_ref().map(hex::encode),
        frame: hex::encode(&packet.frame),
    }
}

fn refused() -> Vec<Case> {
    let with = |first: u8, payload: &[u8]| {
        let mut bytes = vec![first];
        bytes.resize(12, 0);
        bytes.extend(payload);
        bytes
    };
    [
        ("refused-short", "no whole header", with(0, &[])[..11].to_vec()),
        ("refused-long", "more behind the header than 1,000 bytes", with(0, &[1; 1_001])),
        ("refused-version", "another version", with(0b01, &[1])),
        ("refused-kind", "a kind that is not known", with(0b1100, &[])),
        ("refused-reserved", "a bit that means nothing", with(0b0100_0000, &[1])),
        ("refused-first", "an end that begins", with(0b0001_0100, &[])),
        ("refused-payload", "an end that says something", with(0b0100, &[1])),
        ("refused-empty", "nothing is said of something", with(0, &[])),
        ("refused-repeats-nothing", "an empty frame is repeated", with(0b0010_0000, &[0, 1])),
        ("refused-repeats-more", "more is repeated than there is", with(0b0010_0000, &[2, 1])),
        ("refused-repeats-only", "and no frame of its own", with(0b0010_0000, &[1, 1])),
    ]
    .into_iter()
    .map(|(name, why, bytes)| {
        let error = match Packet::read(Bytes::copy_from_slice(&bytes)).unwrap_err() {
            PacketError::Short(bytes) => format!("short: {bytes}"),
            PacketError::Long(bytes) => format!("long: {bytes}"),
            PacketError::Version(version) => format!("version {version}"),
            PacketError::Kind(kind) => format!("kind {kind}"),
            PacketError::Flag(byte) => format!("flag in {byte}"),
            PacketError::Payload(bytes) => format!("payload: {bytes}"),
            PacketError::Previous { length, payload } => format!("previous: {length} in {payload}"),
            PacketError::Empty => "empty".to_owned(),
        };
        Case::Refused { name, why, bytes: hex::encode(bytes), error }
    })
    .collect()
}

/// What a frame is to the decoder of the vectors: whether it tells of the one before, and its number.
fn frame(tells: u8, number: u16) -> [u8; 3] {
    let [low, high] = number.to_le_bytes();
    [tells, low, high]
}

/// A tone of 200 Hz that goes on from frame to frame.
struct Tone {
    at: usize,
}

impl Tone {
    fn write(&mut self, out: &mut [f32]) -> usize {
        for sample in out.iter_mut() {
            *sample = (self.at % 240) as f32 / 240.0 - 0.5;
            self.at += 1;
        }
        out.len()
    }
}

impl Decoder for Tone {
    fn decode(&mut self, frame: &[u8], out: &mut [f32]) -> Result<usize, CodecError> {
        let &[_, low, high] = frame else {
            return Err(CodecError::Frame { bytes: frame.len(), room: out.len() });
        };
        self.at = usize::from(u16::from_le_bytes([low, high])) * 960;
        Ok(self.write(out))
    }

    fn recover(&mut self, next: &[u8], out: &mut [f32]) -> Result<usize, CodecError> {
        let &[1, low, high] = next else { return Ok(0) };
        self.at = usize::from(u16::from_le_bytes([low, high]).wrapping_sub(1)) * 960;
        Ok(self.write(out))
    }

    fn conceal(&mut self, out: &mut [f32]) -> Result<usize, CodecError> {
        Ok(self.write(out))
    }

    fn reset(&mut self) {
        self.at = 0;
    }
}

/// Numbers by chance, the same everywhere: Numerical Recipes' generator, its upper half.
struct Chance(u32);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        u64::from(self.0 >> 16) % bound
    }
}

/// Says frames from 1 to 100, from 140 to 220 and from 221 on, and hands each packet to `way`, which
/// says how many microseconds it takes, if it comes.
fn spoken(tells: u8, mut way: impl FnMut(u64) -> Option<u64>) -> Vec<(u64, Packet)> {
    let mut came = Vec::new();
    let mut sequence = 65_500_u16;
    let mut send = |kind, number: u16, sent: u16, first| {
        let time = 0xffff_0000_u32.wrapping_add(u32::from(number) * 960);
        let frame = if kind == Kind::Audio { &frame(tells, number)[..] } else { &[] };
        let packet = Packet { kind, first, ..packet(sequence, time, frame) };
        sequence = sequence.wrapping_add(1);
        let sent = (u64::from(sent) + 1) * 20_000;
        came.extend(way(sent).map(|way| (sent + way, packet)));
    };
    for number in 1..=250 {
        match number {
            101..=103 => send(Kind::End, 101, number, false),
            120 => send(Kind::Comfort, 120, number, false),
            104..=139 => {}
            _ => send(Kind::Audio, number, number, [1, 140, 221].contains(&number)),
        }
    }
    came.sort_by_key(|(at, _)| *at);
    came
}

/// How long packets took that a sender sent one after the other, in microseconds.
fn recorded() -> impl Iterator<Item = u64> {
    let lines = include_str!("../data/jitter-60hz.txt").lines();
    let numbers = lines.filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
    numbers.map(|number| number.parse().unwrap())
}

fn played() -> Vec<Case> {
    let mut chance = Chance(1);
    let loopback = spoken(0, |_| Some(200 + chance.below(3_800)));
    let mut chance = Chance(2);
    let datagrams =
        spoken(1, |_| (chance.below(100) >= 5).then_some(30_000 + chance.below(40_000)));
    let (mut chance, mut last) = (Chance(3), 0);
    let reliable = spoken(0, |sent| {
        let again = if chance.below(100) < 5 { 100_000 + chance.below(80_000) } else { 0 };
        last = (sent + 30_000 + chance.below(40_000) + again).max(last);
        Some(last - sent)
    });
    let mut ways = recorded();
    let recorded = spoken(0, |_| ways.next());
    // All that says that the first talk spurt is over, and its last frame.
    let ends = 100 * 20_000..=104 * 20_000;
    let lost_end = spoken(0, |sent| (!ends.contains(&sent)).then_some(5_000 + sent % 7_000));
    vec![
        case("played-loopback", "0.2 to 4 ms", &loopback),
        case(
            "played-datagrams",
            "30 to 70 ms, one of 20 is lost and told of by the next",
            &datagrams,
        ),
        case(
            "played-reliable",
            "30 to 70 ms, one of 20 is sent again, and all wait for it",
            &reliable,
        ),
        case(
            "played-recorded",
            "as over loopback while both cores were busy, recorded of another sender",
            &recorded,
        ),
        case("played-lost-end", "the end of a talk spurt and its last frame are lost", &lost_end),
    ]
}

fn case(name: &'static str, why: &'static str, came: &[(u64, Packet)]) -> Case {
    let mut playout = Playout::new(PlayoutConfig::default(), Box::new(Tone { at: 0 }));
    let mut waiting = came.iter().peekable();
    let (mut letters, mut times) = (String::new(), Vec::new());
    for now in (0..5_200_000).step_by(10_000) {
        while let Some((at, packet)) = waiting.next_if(|(at, _)| *at <= now) {
            playout.on_packet(Time::from_micros(*at), packet.clone());
        }
        let block = playout.pull(Time::from_micros(now), &mut [0.0; BLOCK]);
        letters.push(match block.sound {
            Sound::Comfort => '.',
            Sound::Normal => 'n',
            Sound::Expanded => 'e',
            Sound::Accelerated => 'a',
            Sound::Recovered => 'r',
            Sound::Concealed => 'c',
        });
        times.push(block.time);
    }
    let line = |times: &[Option<u32>]| {
        times.iter().flatten().fold(String::new(), |mut line, time| {
            let space = if line.is_empty() { "" } else { " " };
            write!(line, "{space}{time}").unwrap();
            line
        })
    };
    Case::Played {
        name,
        why,
        packets: came
            .iter()
            .map(|(at, packet)| format!("{at} {}", hex::encode(packet.write())))
            .collect(),
        blocks: letters
            .as_bytes()
            .chunks(50)
            .map(|line| String::from_utf8_lossy(line).into())
            .collect(),
        times: times.chunks(50).map(line).collect(),
    }
}
