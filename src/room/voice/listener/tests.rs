//! A listener without a room: what is handed over, heard, and given back.

use std::f32::consts::TAU;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use allocation_counter::measure;
use tokio::sync::mpsc;

use super::super::AudioOutput;
use super::super::part::{Kept, part};
use super::*;
use crate::audio::FRAME;
#[cfg(feature = "dsp")]
use crate::audio::acoustics::{Acoustics, AcousticsConfig};
use crate::audio::codec::{Codec, CodecError, Decoder};
use crate::audio::input::{TalkConfig, Talker};
use crate::audio::opus::Opus;
use crate::audio::playout::config::PlayoutConfig;
use crate::net::{Ear, VoiceDesk};
use crate::proto::audio::stream::Topic;
use crate::proto::id::{ClientNumber, PeerId};

/// What decoders allocated, and what is left of that.
#[derive(Debug, Default)]
struct Made {
    total: AtomicU64,
    left: AtomicI64,
}

impl Made {
    /// What it was since this was asked last.
    fn take(&self) -> (u64, i64) {
        (self.total.swap(0, Ordering::Relaxed), self.left.swap(0, Ordering::Relaxed))
    }
}

/// A decoder that is counted.
struct Counted {
    decoder: Box<dyn Decoder>,
    made: Arc<Made>,
}

impl Counted {
    fn count(
        &mut self,
        call: impl FnOnce(&mut dyn Decoder) -> Result<usize, CodecError>,
    ) -> Result<usize, CodecError> {
        let mut samples = Ok(0);
        let made = measure(|| samples = call(&mut *self.decoder));
        self.made.total.fetch_add(made.count_total, Ordering::Relaxed);
        self.made.left.fetch_add(made.count_current, Ordering::Relaxed);
        samples
    }
}

impl Decoder for Counted {
    fn decode(&mut self, frame: &[u8], out: &mut [f32]) -> Result<usize, CodecError> {
        self.count(|decoder| decoder.decode(frame, out))
    }

    fn recover(&mut self, next: &[u8], out: &mut [f32]) -> Result<usize, CodecError> {
        self.count(|decoder| decoder.recover(next, out))
    }

    fn conceal(&mut self, out: &mut [f32]) -> Result<usize, CodecError> {
        self.count(|decoder| decoder.conceal(out))
    }

    fn reset(&mut self) {
        self.decoder.reset();
    }
}

/// Somebody who hums at a pitch, without a pause.
struct Speaker {
    name: StreamName,
    pitch: f32,
    talker: Talker,
    kept: Kept,
    said: usize,
}

impl Speaker {
    fn topic(&self) -> Topic {
        Topic::new([self.name.number; 5])
    }

    fn say(&mut self, stage: &Stage) {
        let frame: [f32; FRAME] = std::array::from_fn(|i| {
            let time = (self.said + i) as f32 / 48_000.0;
            (1..8_u8)
                .map(|k| (TAU * time * self.pitch * f32::from(k)).sin() / f32::from(k))
                .sum::<f32>()
                * 0.1
        });
        let at = 960_000 + self.said as u64;
        self.said += FRAME;
        if let Some(packet) = self.talker.push(at, &frame).unwrap() {
            stage.desk.deliver(self.topic(), &packet.write(), stage.now);
        }
    }
}

/// A listener, on a clock of the test's own.
struct Stage {
    desk: VoiceDesk,
    listener: Listener,
    listening: Listening,
    made: Arc<Made>,
    /// Of those that fade out.
    ears: Vec<Ear>,
    clock: Clock,
    now: Time,
    /// Allocations and what is left of them while it was read, but for the decoders'.
    allocated: u64,
    left: i64,
    /// Allocations of the decoders.
    decoders: u64,
}

impl Stage {
    fn new(most: usize) -> Self {
        let (listener, listening) = Listening::new((48_000, 1), most).unwrap();
        let desk = VoiceDesk::new(mpsc::channel(1).0);
        let (made, clock, now) = (Arc::default(), Clock::new(), Time::from_micros(1_000_000));
        Self {
            desk,
            listener,
            listening,
            made,
            ears: Vec::new(),
            clock,
            now,
            allocated: 0,
            left: 0,
            decoders: 0,
        }
    }

    fn open(&mut self, number: u8, pitch: f32) -> Speaker {
        let (part, speaker) = self.begin(number, pitch);
        self.listening.add(part);
        speaker
    }

    fn begin(&self, number: u8, pitch: f32) -> (Part, Speaker) {
        let name = StreamName { client: ClientNumber(7), number };
        let decoder = Counted { decoder: Opus.decoder().unwrap(), made: Arc::clone(&self.made) };
        let playout = (PlayoutConfig::default(), Box::new(decoder) as Box<dyn Decoder>);
        let (part, mut kept) = part(name, PeerId::new([number; 32]), playout, 256, self.clock);
        let talk = TalkConfig { discontinuous: false, ..TalkConfig::default() };
        let talker = Talker::new(talk, &Opus, u32::from(number)).unwrap();
        kept.follow(Some(Topic::new([number; 5])), &self.desk);
        (part, Speaker { name, pitch, talker, kept, said: 0 })
    }

    fn close(&mut self, speaker: Speaker) {
        self.listening.remove(speaker.name);
        self.ears.extend(speaker.kept.end(&self.desk));
    }

    /// 10 ms are heard.
    fn read(&mut self) -> [f32; BLOCK] {
        let (now, mut out) = (self.now, [0.0_f32; BLOCK]);
        let made = measure(|| self.listener.play(&mut out, |_| now).unwrap());
        let (by_decoders, of_it_left) = self.made.take();
        self.allocated += made.count_total - by_decoders;
        self.left += made.count_current - of_it_left;
        self.decoders += by_decoders;
        self.now += Duration::from_millis(10);
        out
    }

    /// So many frames are said and heard.
    fn run(&mut self, speakers: &mut [&mut Speaker], frames: usize) -> Vec<f32> {
        let mut heard = Vec::new();
        for _ in 0..frames {
            speakers.iter_mut().for_each(|speaker| speaker.say(self));
            for _ in 0..2 {
                heard.extend(self.read());
            }
            if !self.listening.tidy().is_empty() {
                self.ears.clear();
            }
            speakers.iter_mut().for_each(|speaker| speaker.kept.refresh());
        }
        heard
    }
}

/// How much of something is of a pitch.
fn tone(pcm: &[f32], pitch: f32) -> f32 {
    let part = |turn: fn(f32) -> f32| {
        let of = |(i, sample): (usize, &f32)| sample * turn(TAU * pitch * i as f32 / 48_000.0);
        pcm.iter().enumerate().map(of).sum::<f32>() / pcm.len() as f32
    };
    part(f32::sin).hypot(part(f32::cos))
}

#[test]
fn all_are_heard_in_one_and_each_goes_with_its_stream() {
    let mut stage = Stage::new(4);
    let (mut low, mut high) = (stage.open(1, 200.0), stage.open(2, 310.0));
    let heard = stage.run(&mut [&mut low, &mut high], 50);
    let late = &heard[heard.len() / 2..];
    assert!(tone(late, 200.0) > 0.02 && tone(late, 310.0) > 0.02);
    assert!(tone(late, 250.0) < 0.005);
    assert_eq!(stage.listener.voices(), 2);
    let lost = low.kept.loss();
    assert_eq!(lost, Some(0), "{:?}", low.kept.statistics());
    assert_eq!(low.kept.loss(), None, "nothing since");
    stage.close(high);
    let heard = stage.run(&mut [&mut low], 25);
    let late = &heard[heard.len() / 2..];
    assert!(tone(late, 200.0) > 0.02 && tone(late, 310.0) < 0.005);
    assert_eq!(stage.listener.voices(), 1);
}

#[test]
fn each_has_its_gain_and_all_have_one() {
    let mut stage = Stage::new(4);
    let (mut low, mut high) = (stage.open(1, 200.0), stage.open(2, 310.0));
    stage.run(&mut [&mut low, &mut high], 25);
    let loud = |heard: &[f32]| {
        let late = &heard[heard.len() / 2..];
        (tone(late, 200.0), tone(late, 310.0))
    };
    let before = loud(&stage.run(&mut [&mut low, &mut high], 25));
    low.kept.set_gain(0.0);
    high.kept.set_gain(2.0);
    let after = loud(&stage.run(&mut [&mut low, &mut high], 25));
    assert!(after.0 < before.0 / 20.0 && after.1 > before.1 * 1.6, "{before:?} {after:?}");
    stage.listener.set_gain(0.25);
    let all = loud(&stage.run(&mut [&mut low, &mut high], 25));
    assert!(all.1 < after.1 * 0.35 && all.1 > after.1 * 0.15, "{after:?} {all:?}");
}

#[test]
fn no_more_are_listened_to_than_there_is_room_for_until_one_is_given_back() {
    let mut stage = Stage::new(2);
    let (mut one, two) = (stage.open(1, 200.0), stage.open(2, 310.0));
    assert!(!stage.listening.has_room());
    stage.close(two);
    assert!(!stage.listening.has_room(), "it is still there");
    stage.run(&mut [&mut one], 1);
    assert!(stage.listening.has_room());
    drop(stage.listener);
    assert!(stage.listening.is_over());
}

#[test]
fn nothing_is_allocated_or_freed_whoever_comes_and_goes() {
    let mut stage = Stage::new(8);
    let mut lasting = stage.open(1, 200.0);
    stage.run(&mut [&mut lasting], 400);
    for round in 0..20_u8 {
        let mut guest = stage.open(2 + round, 310.0);
        stage.run(&mut [&mut lasting, &mut guest], 10);
        // In the middle of a frame or between two.
        for _ in 0..round % 2 {
            stage.read();
        }
        stage.close(guest);
        stage.run(&mut [&mut lasting], 5);
    }
    let statistics = lasting.kept.statistics();
    assert!(statistics.voice > 20 * 15 * FRAME as u64 / 2, "{statistics:?}");
    assert_eq!(stage.listener.voices(), 1);
    assert_eq!((stage.allocated, stage.left), (0, 0));
    // What is said breaks off: something is made up, and that a decoder allocates.
    stage.decoders = 0;
    stage.run(&mut [], 20);
    assert!(stage.decoders > 0, "it is counted");
    assert_eq!((stage.allocated, stage.left), (0, 0));
}

#[test]
fn an_output_of_its_own_allocates_nothing_either() {
    let mut stage = Stage::new(1);
    let (part, mut speaker) = stage.begin(1, 200.0);
    let mut output = AudioOutput::new(part, (48_000, 1)).unwrap();
    let (mut allocated, mut left) = (0, 0);
    for _ in 0..200 {
        stage.now = stage.clock.now();
        speaker.say(&stage);
        let mut out = [0.0_f32; FRAME];
        let made = measure(|| output.read(&mut out).unwrap());
        let (by_decoder, of_it_left) = stage.made.take();
        allocated += made.count_total - by_decoder;
        left += made.count_current - of_it_left;
    }
    assert!(output.statistics().voice > 0);
    assert_eq!((allocated, left), (0, 0));
}

#[cfg(feature = "dsp")]
#[test]
fn what_is_played_is_told_to_the_microphone_beside_it() {
    // What a microphone gives that hears nothing but the loudspeaker.
    let left = |tells: bool| {
        let mut stage = Stage::new(1);
        let mut speaker = stage.open(1, 200.0);
        let config = AcousticsConfig { noise: None, gain: false, ..AcousticsConfig::default() };
        let (mut acoustics, played) = Acoustics::new(&config);
        if tells {
            stage.listener.set_played(played);
        }
        let mut captured = Vec::new();
        for _ in 0..250 {
            let heard = stage.run(&mut [&mut speaker], 1);
            for block in heard.as_chunks::<BLOCK>().0 {
                let mut block = block.map(|sample| sample * 0.3);
                acoustics.captured(&mut block);
                captured.extend(block);
            }
        }
        tone(&captured[captured.len() - 48_000..], 200.0)
    };
    let (told, untold) = (left(true), left(false));
    assert!(told < untold / 8.0, "{told} of {untold}");
}
