//! Voice from a microphone to a loudspeaker over links that lose, while its speaker is muted, silenced
//! and cut off, and its hearer is deaf: what is heard in between, and what the speaker is told of it.

use std::time::Duration;

use parlor::audio::codec::Codec;
use parlor::audio::input::{TalkConfig, Talker};
use parlor::audio::opus::Opus;
use parlor::audio::playout::config::PlayoutConfig;
use parlor::audio::playout::statistics::PlayoutStatistics;
use parlor::audio::playout::{Playout, Sound};
use parlor::audio::{BLOCK, FRAME};
use parlor::proto::audio::packet::Packet;
use parlor::proto::audio::stream::Hearing;
use parlor::proto::config::HubConfig;
use parlor::{Opening, Request};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::doors::two;
use super::stage::{CALM, ROUGH, Stage, Weather, seeds};

const BLOCK_TIME: Duration = Duration::from_millis(10);

/// The first end speaks all the time, if it can; the other hears it, and owns the room.
struct Conversation {
    stage: Stage,
    speaker: usize,
    hearer: usize,
    talker: Talker,
    said: u64,
    playout: Playout,
    taken: usize,
    /// What was played, and the delay of what was, from its capture, in milliseconds.
    played: Vec<(Sound, Option<f64>)>,
    /// What it was when the second that is reported began.
    before: PlayoutStatistics,
    /// The most frames of a hundred that were said to be lost of a second.
    worst: u64,
}

impl Conversation {
    fn new(seed: u64, weather: Weather) -> Self {
        let mut stage = Stage::new(seed, weather, HubConfig::default());
        let (hearer, speaker) = two(&mut stage, Opening::default());
        stage.hear(hearer, Hearing::default());
        stage.open(speaker);
        stage.until("heard of", |stage| stage.topic(speaker).is_some());
        let epoch = stage.at(speaker).stream_epoch(0).unwrap();
        let talk = TalkConfig { discontinuous: false, ..TalkConfig::default() };
        let talker = Talker::new(talk, &Opus, epoch).unwrap();
        let playout = Playout::new(PlayoutConfig::default(), Opus.decoder().unwrap());
        let before = playout.statistics();
        let (played, taken, said, worst) = (Vec::new(), 0, 0, 0);
        Self { stage, speaker, hearer, talker, said, playout, taken, played, before, worst }
    }

    /// 20 ms: a frame is said, and two blocks are played.
    fn step(&mut self) {
        let hum = |i: usize| {
            let time = (self.said as usize * FRAME + i) as f32 / 48_000.0;
            (1..8_u8)
                .map(|k| (std::f32::consts::TAU * time * 150.0 * f32::from(k)).sin() / f32::from(k))
                .sum::<f32>()
                * 0.1
        };
        let frame: [f32; FRAME] = std::array::from_fn(hum);
        let packet = self.talker.push(self.said * FRAME as u64, &frame).unwrap();
        self.said += 1;
        if let (Some(packet), Some(topic)) = (packet, self.stage.topic(self.speaker)) {
            self.stage.publish(self.speaker, topic, packet.write());
        }
        for _ in 0..2 {
            self.stage.run(BLOCK_TIME);
            self.play();
        }
    }

    fn play(&mut self) {
        let now = self.stage.now;
        for (_, packet) in self.stage.ends[self.hearer].heard.drain(..) {
            self.playout.on_packet(now, Packet::read(packet).unwrap());
        }
        let block = self.playout.pull(now, &mut [0.0; BLOCK]);
        let said = self.said as f64 * 20.0;
        let delay = block.time.map(|time| said - f64::from(time) / 48.0);
        self.played.push((block.sound, delay));
        self.taken += 1;
        if self.taken.is_multiple_of(100) {
            let (now, before) = (self.playout.statistics(), self.before);
            let frames = (now.voice - before.voice) / FRAME as u64;
            // Of a second in which nothing is heard nothing is said.
            if let Some(share) = ((now.lost - before.lost) * 100).checked_div(frames) {
                self.worst = self.worst.max(share);
                self.before = now;
            }
        }
    }

    fn go_on(&mut self, steps: usize) {
        (0..steps).for_each(|_| self.step());
    }

    /// Something is in the way for a while, and then is not any more.
    fn disturb(&mut self, what: u32, steps: usize) {
        let (speaker, hearer) = (self.speaker, self.hearer);
        let peer = self.stage.id(speaker);
        match what {
            0 => {
                self.mute(true);
                self.go_on(steps);
                self.mute(false);
            }
            1 => {
                self.silence(true);
                self.go_on(steps);
                self.silence(false);
            }
            2 => {
                let deaf = Hearing { deaf: true, ..Hearing::default() };
                self.want(deaf);
                self.go_on(steps);
                self.want(Hearing::default());
            }
            3 => {
                let but = Hearing { but: [peer].into(), ..Hearing::default() };
                self.want(but);
                self.go_on(steps);
                self.want(Hearing::default());
            }
            4 => self.stage.cut(speaker),
            _ => self.stage.cut(hearer),
        }
    }

    fn mute(&mut self, muted: bool) {
        self.talker.set_muted(muted);
        let now = self.stage.now;
        self.stage.at_mut(self.speaker).mute_stream(0, muted, now);
        self.stage.settle(self.speaker);
    }

    fn silence(&mut self, silenced: bool) {
        let peer = self.stage.id(self.speaker);
        self.stage.ask(self.hearer, &Request::Silence { peer, silenced }).unwrap();
    }

    fn want(&mut self, hearing: Hearing) {
        let now = self.stage.now;
        self.stage.at_mut(self.hearer).set_hearing(hearing, now);
        self.stage.settle(self.hearer);
    }
}

#[test]
fn whatever_was_in_the_way_voice_is_heard_again_and_nobody_is_told_of_losses_that_were_none() {
    for seed in seeds(8, 60) {
        let is_calm = seed % 2 == 0;
        let weather = if is_calm { CALM } else { ROUGH };
        let mut call = Conversation::new(seed, weather);
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        call.go_on(100);
        for turn in 0..6 {
            let (what, steps) = (rng.next_u32() % 6, 5 + rng.next_u32() as usize % 250);
            call.disturb(what, steps);
            // By then who was cut off is back, and the room is as it was.
            call.go_on(200);
            let from = call.played.len();
            call.go_on(100);
            let of = format!("seed {seed}, turn {turn}: {what} for {steps}");
            let heard = &call.played[from..];
            let silent = heard.iter().filter(|(sound, _)| *sound == Sound::Comfort).count();
            let made = heard.iter().filter(|(sound, _)| *sound == Sound::Concealed).count();
            assert_eq!(silent, 0, "{of}: silent for {silent} blocks");
            assert!(!is_calm || made <= 10, "{of}: {made} blocks are made up");
            let delays = heard.iter().filter_map(|(_, delay)| *delay);
            let most = delays.fold(0.0_f64, f64::max);
            assert!(most < 400.0, "{of}: {most} ms");
        }
        // What is cut off for less than a playout waits is lost, as far as anybody can tell.
        assert!(!is_calm || call.worst <= 45, "seed {seed}: {} of a hundred", call.worst);
    }
}
