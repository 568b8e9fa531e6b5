use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::super::codec::CodecError;
use super::super::jitter::CAPACITY;
use super::super::stretch::power;
use super::*;
use crate::proto::audio::packet::Level;

/// Decodes the number of a frame to a tone that goes on from frame to frame.
#[derive(Default)]
struct Tone {
    at: usize,
}

/// How many frames before it a frame tells of is said by its first byte, the number by the next two.
fn frame(tells: u8, number: u16) -> Bytes {
    let [low, high] = number.to_le_bytes();
    vec![tells, low, high].into()
}

impl Tone {
    fn write(&mut self, number: usize, out: &mut [f32]) -> usize {
        self.at = number * FRAME;
        self.go_on(out)
    }

    fn go_on(&mut self, out: &mut [f32]) -> usize {
        for sample in out.iter_mut() {
            *sample = tone(self.at);
            self.at += 1;
        }
        out.len()
    }
}

/// 200 Hz.
fn tone(at: usize) -> f32 {
    (at % 240) as f32 / 240.0 - 0.5
}

impl Decoder for Tone {
    fn decode(&mut self, frame: &[u8], out: &mut [f32]) -> Result<usize, CodecError> {
        let &[_, low, high] = frame else {
            return Err(CodecError::Frame { bytes: frame.len(), room: out.len() });
        };
        Ok(self.write(u16::from_le_bytes([low, high]).into(), out))
    }

    fn recover(&mut self, next: &[u8], out: &mut [f32]) -> Result<usize, CodecError> {
        match next {
            &[1, low, high] => {
                let before = u16::from_le_bytes([low, high]).wrapping_sub(1);
                Ok(self.write(before.into(), out))
            }
            _ => Ok(0),
        }
    }

    fn conceal(&mut self, out: &mut [f32]) -> Result<usize, CodecError> {
        Ok(self.go_on(out))
    }

    fn reset(&mut self) {
        self.at = 0;
    }
}

/// A speaker whose frames are numbered by their media time.
struct Line {
    playout: Playout,
    /// Of the next packet.
    sequence: u16,
    epoch: u32,
    tells: u8,
    /// Microseconds of the next block.
    now: u64,
    blocks: Vec<Block>,
    pcm: Vec<f32>,
}

/// The media time of frame 0, so that it wraps soon.
const ORIGIN: u32 = u32::MAX - 9_000;

impl Line {
    fn new() -> Self {
        Self::with(PlayoutConfig::default())
    }

    fn with(config: PlayoutConfig) -> Self {
        Self {
            playout: Playout::new(config, Box::new(Tone::default())),
            sequence: u16::MAX - 20,
            epoch: 1,
            tells: 0,
            now: 0,
            blocks: Vec::new(),
            pcm: Vec::new(),
        }
    }

    fn packet(&mut self, kind: Kind, number: u16, first: bool) -> Packet {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        let time = ORIGIN.wrapping_add(u32::from(number) * 960);
        Packet {
            kind,
            first,
            level: Level { voice: true, dbov: 60 },
            sequence,
            time,
            epoch: self.epoch,
            previous: None,
            frame: if kind == Kind::Audio { frame(self.tells, number) } else { Bytes::new() },
        }
    }

    /// Plays until `until` microseconds.
    fn play(&mut self, until: u64) {
        while self.now < until {
            let mut out = [0.0; BLOCK];
            let block = self.playout.pull(Time::from_micros(self.now), &mut out);
            self.blocks.push(block);
            self.pcm.extend(out);
            self.now += 10_000;
        }
    }

    fn arrive(&mut self, at: u64, packet: Packet) {
        self.play(at);
        self.playout.on_packet(Time::from_micros(at), packet);
    }

    /// Says frames, which take `way` microseconds; those of which it says nothing are lost.
    fn say(&mut self, numbers: std::ops::Range<u16>, way: impl Fn(u16) -> Option<u64>) {
        for number in numbers.clone() {
            let packet = self.packet(Kind::Audio, number, number == numbers.start);
            if let Some(way) = way(number) {
                self.arrive(sent(number) + way, packet);
            }
        }
    }

    fn heard(&self, sound: Sound) -> usize {
        self.blocks.iter().filter(|block| block.sound == sound).count()
    }

    /// The longest delay from capture to playing since a block, in microseconds.
    fn longest(&self, from: usize) -> u64 {
        let delays = self.blocks.iter().enumerate().skip(from).filter_map(|(at, block)| {
            let media = u64::from(block.time?.wrapping_sub(ORIGIN)) * 125 / 6;
            Some(at as u64 * 10_000 - media)
        });
        delays.max().unwrap()
    }

    fn counts(&self) -> PlayoutStatistics {
        self.playout.statistics()
    }
}

/// When a frame is sent: when it is whole.
fn sent(number: u16) -> u64 {
    (u64::from(number) + 1) * 20_000
}

#[test]
fn what_is_said_is_heard_as_it_was_said() {
    let mut line = Line::new();
    line.say(0..100, |_| Some(5_000));
    line.play(1_900_000);
    assert_eq!(line.heard(Sound::Concealed), 0);
    let begins = line.blocks.iter().position(|block| block.sound == Sound::Normal).unwrap();
    let heard = &line.pcm[begins * BLOCK + 240..];
    for (at, pair) in heard[..50 * FRAME].windows(2).enumerate() {
        let step = pair[1] - pair[0];
        assert!((step - 1.0 / 240.0).abs() < 1e-3 || step < -0.9, "{at}: {step}");
    }
}

#[test]
fn a_talk_spurt_begins_with_the_wait_that_is_right_by_then() {
    let mut line = Line::new();
    let jitter = |number: u16| Some(5_000 + u64::from(number * 7 % 10) * 4_000);
    line.say(0..200, jitter);
    let end = line.packet(Kind::End, 200, false);
    line.arrive(sent(200), end);
    line.play(5_000_000);
    let wait = line.counts().target;
    assert!((36_000..45_000).contains(&wait.as_micros()), "{wait:?}");
    let from = line.blocks.len();
    line.say(250..300, jitter);
    line.play(sent(290));
    let stretched = line.counts().stretches;
    let first = line.blocks[from..].iter().position(|block| block.time.is_some()).unwrap();
    let begun = (from + first) as u64 * 10_000;
    let due = sent(250) + 5_000 + u64::try_from(wait.as_micros()).unwrap();
    assert!((due..due + 10_000).contains(&begun), "{begun} for {due}");
    assert!(line.blocks[from..].iter().all(|block| block.sound != Sound::Concealed));
    assert!(stretched < 4, "{stretched}");
}

#[test]
fn a_lost_frame_is_recovered_by_what_the_next_tells() {
    for (tells, previous, recovered, repeated) in
        [(1, false, 9, 0), (0, true, 0, 9), (0, false, 0, 0)]
    {
        let mut line = Line::new();
        line.tells = tells;
        for number in 0..100_u16 {
            let mut packet = line.packet(Kind::Audio, number, number == 0);
            packet.previous = previous.then(|| frame(0, number.wrapping_sub(1)));
            if number == 0 || number % 10 != 0 {
                line.arrive(sent(number) + 1_000, packet);
            }
        }
        line.play(sent(98));
        let counts = line.counts();
        assert_eq!((counts.recovered, counts.repeated, counts.lost), (recovered, repeated, 9));
        let concealed = if recovered + repeated > 0 { 0 } else { 9 * FRAME as u64 };
        // Before it is known that losses happen, too little is waited for what the next tells.
        assert!(counts.concealed.abs_diff(concealed) <= FRAME as u64, "{}", counts.concealed);
    }
}

#[test]
fn the_first_frame_of_a_talk_spurt_is_recovered_too() {
    let mut line = Line::new();
    line.tells = 1;
    line.say(0..20, |_| Some(1_000));
    let end = line.packet(Kind::End, 20, false);
    line.arrive(sent(20), end);
    line.say(40..60, |number| (number > 40).then_some(1_000));
    line.play(sent(58));
    let counts = line.counts();
    assert_eq!((counts.recovered, counts.lost, counts.concealed), (1, 1, 0));
}

#[test]
fn the_lost_end_of_a_talk_spurt_raises_no_delay() {
    // The last frames and all that says that it is over.
    for lost in 0..4 {
        let mut line = Line::new();
        let jitter = |number: u16| 30_000 + u64::from(number * 7 % 11) * 4_000;
        line.say(0..100, |number| (number < 100 - lost).then(|| jitter(number)));
        for _ in 0..3 {
            line.packet(Kind::End, 100, false);
        }
        line.say(130..200, |number| Some(jitter(number)));
        line.play(sent(198));
        assert!(line.longest(0) < 250_000, "{lost}: {}", line.longest(0));
        let ended = line.blocks.iter().rposition(|block| block.sound == Sound::Comfort).unwrap();
        assert!(
            ended as u64 * 10_000 > sent(130),
            "{lost}: a new talk spurt begins behind a pause"
        );
        assert!(line.longest(ended) < 130_000, "{lost}: {}", line.longest(ended));
    }
}

#[test]
fn a_pause_is_comfort_and_not_concealed() {
    let mut line = Line::new();
    line.say(0..50, |_| Some(1_000));
    for again in 0..3 {
        let end = line.packet(Kind::End, 50, false);
        line.arrive(sent(50 + again), end);
    }
    let comfort = line.packet(Kind::Comfort, 70, false);
    line.arrive(sent(70), comfort);
    line.play(3_000_000);
    let counts = line.counts();
    assert_eq!((counts.concealed, counts.lost), (0, 0));
    assert!(counts.voice.abs_diff(50 * FRAME as u64) <= BLOCK as u64);
    let noise = power(&line.pcm[line.pcm.len() - 48_000..]);
    let level = -10.0 * noise.log10();
    assert!((58.0..62.0).contains(&level), "{level}");
}

#[test]
fn no_noise_is_louder_than_it_may_be() {
    let mut line = Line::new();
    let mut comfort = line.packet(Kind::Comfort, 0, false);
    comfort.level.dbov = 0;
    line.arrive(20_000, comfort);
    line.play(1_000_000);
    let level = -10.0 * power(&line.pcm[24_000..]).log10();
    assert!((48.0..52.0).contains(&level), "{level}");
}

#[test]
fn what_does_not_come_fades_within_the_time_for_that() {
    let mut line = Line::new();
    line.say(0..50, |_| Some(1_000));
    line.play(2_000_000);
    let begun = line.blocks.iter().position(|block| block.sound == Sound::Concealed).unwrap();
    let block = |at: usize| power(&line.pcm[at * BLOCK..(at + 1) * BLOCK]);
    assert!(block(begun) > 0.06);
    assert!(block(begun + 9) < 0.01);
    assert!(block(begun + 11) == 0.0);
}

#[test]
fn what_comes_late_is_played_and_what_is_lost_is_passed_over() {
    let mut late = Line::new();
    late.say(0..100, |number| {
        Some(if (50..56).contains(&number) {
            125_000 - 20_000 * u64::from(number - 50)
        } else {
            5_000
        })
    });
    late.play(sent(98));
    let counts = late.counts();
    assert_eq!((counts.lost, counts.late, counts.skipped), (0, 0, 0));
    assert!((1..=12).contains(&(counts.concealed / BLOCK as u64)), "{}", counts.concealed);

    let mut lost = Line::new();
    lost.say(0..100, |number| (!(50..54).contains(&number)).then_some(5_000));
    lost.play(sent(98));
    let counts = lost.counts();
    assert_eq!((counts.lost, counts.concealed), (4, 4 * FRAME as u64));
    assert!(lost.longest(120) <= lost.longest(0), "no delay for what never comes");
}

#[test]
fn a_long_stall_is_passed_over() {
    let mut line = Line::new();
    line.say(0..300, |number| {
        Some(if (100..250).contains(&number) { sent(250) - sent(number) + 5_000 } else { 5_000 })
    });
    line.play(sent(299));
    assert!(line.counts().skipped > 50, "{:?}", line.counts());
    let after = usize::from(255 * 2_u16);
    assert!(line.longest(after) < 500_000, "{}", line.longest(after));
}

#[test]
fn another_epoch_is_another_stream() {
    let mut line = Line::new();
    line.say(0..50, |_| Some(1_000));
    let old = line.packet(Kind::Audio, 50, false);
    line.epoch = 2;
    line.sequence = 7;
    line.say(50..100, |_| Some(1_000));
    line.arrive(sent(100), old);
    line.play(sent(102));
    let counts = line.counts();
    assert_eq!((counts.resets, counts.late, counts.lost), (1, 1, 0));
    assert!(line.heard(Sound::Normal) > 190);
}

#[test]
fn repeated_and_disordered_packets_are_heard_once_and_in_order() {
    let mut line = Line::new();
    let packets: Vec<_> =
        (0..100).map(|number| line.packet(Kind::Audio, number, number == 0)).collect();
    for number in (0..100_u16).step_by(2) {
        let at = sent(number + 1);
        for which in [number + 1, number, number] {
            line.arrive(at + 1_000, packets[usize::from(which)].clone());
        }
    }
    line.play(sent(99));
    let counts = line.counts();
    assert_eq!((counts.duplicates, counts.reordered, counts.concealed), (50, 50, 0));
}

#[test]
fn a_frame_that_is_none_is_made_up() {
    let mut line = Line::new();
    for number in 0..50 {
        let mut packet = line.packet(Kind::Audio, number, number == 0);
        if number == 25 {
            packet.frame = Bytes::from_static(b"no frame");
        }
        line.arrive(sent(number) + 1_000, packet);
    }
    line.play(sent(48));
    let counts = line.counts();
    assert_eq!((counts.failed, counts.concealed, counts.lost), (1, FRAME as u64, 0));
}

#[test]
fn clocks_that_drift_apart_cost_no_voice() {
    for ppm in [-300_i64, -50, 50, 300] {
        let mut line = Line::new();
        for number in 0..15_000_u16 {
            let packet = line.packet(Kind::Audio, number, number == 0);
            let at = sent(number).cast_signed();
            let at = at + at * ppm / 1_000_000 + i64::from(u32::from(number) * 7 % 8) * 500;
            line.arrive(at.cast_unsigned(), packet);
        }
        let counts = line.counts();
        assert_eq!((counts.concealed, counts.lost), (0, 0), "{ppm}");
        assert!(counts.high_delay < Duration::from_millis(65), "{ppm}: {:?}", counts.high_delay);
        assert!(counts.stretches < 60, "{ppm}: {}", counts.stretches);
    }
}

fn anything() -> impl Strategy<Value = (u64, Packet)> {
    let kind = prop_oneof![8 => Just(Kind::Audio), 1 => Just(Kind::End), 1 => Just(Kind::Comfort)];
    let frame = prop_oneof![
        (0..2_u8, any::<u16>()).prop_map(|(tells, number)| frame(tells, number)),
        vec(any::<u8>(), 1..6).prop_map(Bytes::from),
    ];
    let sequence = prop_oneof![4 => 0..200_u16, 1 => any::<u16>()];
    let time = prop_oneof![4 => (0..200_u32).prop_map(|n| n * 960), 2 => 0..200_000_u32, 1 => any::<u32>()];
    let epoch = prop_oneof![9 => Just(1_u32), 1 => 0..4_u32];
    let header = (0..30_000_u64, kind, any::<bool>(), 0..=127_u8);
    (header, sequence, time, epoch, option::of(frame.clone()), frame).prop_map(
        |((pause, kind, first, dbov), sequence, time, epoch, previous, frame)| {
            let level = Level { voice: first, dbov };
            (pause, Packet { kind, first, level, sequence, time, epoch, previous, frame })
        },
    )
}

/// A tone that also says what no loudspeaker can play.
struct Craft(Tone);

impl Decoder for Craft {
    fn decode(&mut self, frame: &[u8], out: &mut [f32]) -> Result<usize, CodecError> {
        let length = self.0.decode(frame, out)?;
        let wrong = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -7.0];
        out[..5].copy_from_slice(&wrong);
        Ok(if frame[1] == 3 { length / 2 } else { length })
    }

    fn recover(&mut self, next: &[u8], out: &mut [f32]) -> Result<usize, CodecError> {
        self.0.recover(next, out)
    }

    fn conceal(&mut self, out: &mut [f32]) -> Result<usize, CodecError> {
        self.0.conceal(out)?;
        out[0] = f32::NAN;
        Ok(out.len())
    }

    fn reset(&mut self) {}
}

proptest! {
    #[test]
    fn whatever_comes_a_block_is_played(packets in vec(anything(), 1..300)) {
        let mut playout = Playout::new(PlayoutConfig::default(), Box::new(Craft(Tone::default())));
        let (mut at, mut now, mut position) = (0, 0, (0, NEVER));
        for (pause, packet) in packets {
            at += pause;
            playout.on_packet(Time::from_micros(at), packet);
            while now < at + 20_000 {
                let mut out = [f32::NAN; BLOCK];
                playout.pull(Time::from_micros(now), &mut out);
                prop_assert!(out.iter().all(|sample| sample.abs() <= 1.5));
                now += 10_000;
                let resets = playout.statistics().resets;
                prop_assert!(position.0 != resets || position.1 <= playout.position);
                position = (resets, playout.position);
                prop_assert!(playout.track.waiting() <= 4 * FRAME);
            }
        }
        let played = playout.statistics().voice + playout.statistics().comfort;
        prop_assert_eq!(played, now / 10_000 * BLOCK as u64);
    }

    #[test]
    fn the_delay_is_within_what_the_network_makes_of_it(
        ways in vec(0..600_000_u64, 200),
        spread in 1..600_000_u64,
        ordered in any::<bool>(),
    ) {
        let mut line = Line::new();
        let mut last = 0;
        let mut packets = Vec::new();
        for (number, way) in (0_u16..).zip(ways) {
            let at = sent(number) + 10_000 + way % spread;
            last = if ordered { at.max(last) } else { at };
            packets.push((last, line.packet(Kind::Audio, number, number == 0)));
        }
        packets.sort_by_key(|(at, _)| *at);
        let mut shown = 0;
        for (at, packet) in packets {
            line.arrive(at, packet);
        }
        line.play(sent(200));
        // The most that is waited and two frames, behind the frame and what the fastest packet takes.
        let bound = 400_000 + 40_000 + 20_000 + 10_000 + spread;
        prop_assert!(line.longest(0) <= bound, "{} of {}", line.longest(0), bound);
        for time in line.blocks.iter().filter_map(|block| block.time) {
            let time = time.wrapping_sub(ORIGIN);
            prop_assert!(time >= shown, "{} after {}", time, shown);
            shown = time;
        }
        prop_assert!(line.playout.buffer.waiting() <= CAPACITY);
    }
}
