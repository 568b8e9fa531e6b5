//! Who is speaking, by the levels that packets carry: nothing is decoded.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::proto::audio::packet::Level;
use crate::proto::time::Time;

/// When somebody counts as speaking.
///
/// Loud in 40 % of half a second is the rule and the figures of `LiveKit`'s servers.
#[derive(Clone, Debug, PartialEq)]
pub struct SpeakersConfig {
    /// A frame is loud if it is at most so many decibels under overload.
    pub loud: u8,
    /// How far back loud frames count.
    pub window: Duration,
    /// So many loud frames within the window are speech, from 1 to [`MAX_FRAMES`]: by default 40 % of
    /// the 25 that it has.
    pub frames: usize,
    /// For so long after the last loud frame that came so, somebody still speaks.
    pub hangover: Duration,
    /// How long a loudness takes to have changed by 63 %.
    pub smoothing: Duration,
    /// How many speakers are reported.
    pub reported: usize,
    /// By how many decibels somebody who is not reported must be louder to take the place of somebody
    /// who is.
    pub margin: f32,
    /// How many streams are watched. Of one more, nothing is known until another goes.
    pub streams: usize,
    /// A stream of which nothing came for so long is forgotten.
    pub forgotten: Duration,
}

/// The most loud frames that can be asked for.
pub const MAX_FRAMES: usize = 32;

impl Default for SpeakersConfig {
    fn default() -> Self {
        Self {
            loud: 30,
            window: Duration::from_millis(500),
            frames: 10,
            hangover: Duration::from_millis(300),
            smoothing: Duration::from_secs(1),
            reported: 3,
            margin: 3.0,
            streams: 256,
            forgotten: Duration::from_secs(10),
        }
    }
}

/// What became of a speaker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change<K> {
    /// This stream is reported from now on.
    Started(K),
    /// It is not any more: nothing is said, or others are louder.
    Stopped(K),
}

/// Who of many speaks: at most some few, the loudest.
///
/// The same levels at the same times give the same changes.
#[derive(Clone, Debug)]
pub struct Speakers<K> {
    config: SpeakersConfig,
    voices: BTreeMap<K, Voice>,
    /// Those reported, the loudest first.
    reported: Vec<K>,
}

/// One stream.
#[derive(Clone, Debug)]
struct Voice {
    /// When the last loud frames came, the next to be replaced at `next`.
    loud: [Option<Time>; MAX_FRAMES],
    next: usize,
    /// Smoothed, in decibels under overload.
    under: f32,
    heard: Time,
    speaking_until: Option<Time>,
}

impl<K: Ord + Clone> Speakers<K> {
    /// Nobody speaks.
    #[must_use]
    pub const fn new(config: SpeakersConfig) -> Self {
        Self { config, voices: BTreeMap::new(), reported: Vec::new() }
    }

    /// Takes the level of a stream's frame, once for each frame of 20 ms.
    pub fn observe(&mut self, now: Time, stream: &K, level: Level) {
        let frames = self.config.frames.clamp(1, MAX_FRAMES);
        let full = self.voices.len() >= self.config.streams;
        let voice = match self.voices.get_mut(stream) {
            Some(voice) => voice,
            None if full => return,
            None => self.voices.entry(stream.clone()).or_insert_with(|| Voice::new(now)),
        };
        voice.hear(now, level, self.config.smoothing);
        if level.dbov > self.config.loud {
            return;
        }
        // This takes the place of the loud frame before the last that are asked for.
        voice.loud[voice.next] = Some(now);
        voice.next = (voice.next + 1) % frames;
        let oldest = voice.loud[voice.next];
        if oldest.is_some_and(|oldest| now - oldest < self.config.window) {
            voice.speaking_until = Some(now + self.config.hangover);
        }
    }

    /// Forgets a stream that was closed. The next [`Self::tick`] tells if it was reported.
    pub fn remove(&mut self, stream: &K) {
        self.voices.remove(stream);
    }

    /// What has changed since this was asked last: first who stopped, then who started, the loudest
    /// first.
    pub fn tick(&mut self, now: Time) -> Vec<Change<K>> {
        let forgotten = self.config.forgotten;
        self.voices.retain(|_, voice| now - voice.heard < forgotten || voice.speaks(now));
        let mut speaking: Vec<_> = self
            .voices
            .iter()
            .filter(|(_, voice)| voice.speaks(now))
            .map(|(stream, voice)| {
                let held = if self.reported.contains(stream) { self.config.margin } else { 0.0 };
                (voice.under - held, voice.under, stream)
            })
            .collect();
        speaking.sort_by(|a, b| a.0.total_cmp(&b.0));
        speaking.truncate(self.config.reported);
        speaking.sort_by(|a, b| a.1.total_cmp(&b.1));
        let speaking: Vec<K> = speaking.into_iter().map(|(_, _, stream)| stream.clone()).collect();
        let before = std::mem::replace(&mut self.reported, speaking);
        let stopped = before.iter().filter(|stream| !self.reported.contains(stream));
        let started = self.reported.iter().filter(|stream| !before.contains(stream));
        stopped.cloned().map(Change::Stopped).chain(started.cloned().map(Change::Started)).collect()
    }

    /// Who is reported, as of the last [`Self::tick`], the loudest first.
    #[must_use]
    pub fn speaking(&self) -> &[K] {
        &self.reported
    }
}

impl Voice {
    fn new(now: Time) -> Self {
        Self {
            loud: [None; MAX_FRAMES],
            next: 0,
            under: f32::from(Level::SILENCE),
            heard: now,
            speaking_until: None,
        }
    }

    fn hear(&mut self, now: Time, level: Level, smoothing: Duration) {
        let under = f32::from(level.dbov.min(Level::SILENCE));
        // Who begins to speak is as loud as that.
        if !self.speaks(now) {
            self.under = under;
        }
        let share = 1.0 - (-(now - self.heard).as_secs_f32() / smoothing.as_secs_f32()).exp();
        if share.is_finite() {
            self.under += (under - self.under) * share;
        }
        self.heard = self.heard.max(now);
    }

    fn speaks(&self, now: Time) -> bool {
        self.speaking_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Plays levels, one for each stream and 20 ms, and tells what changes when, in milliseconds.
    fn play(
        speakers: &mut Speakers<&'static str>,
        from: u64,
        to: u64,
        levels: &[(&'static str, u8)],
    ) -> Vec<(u64, Change<&'static str>)> {
        let mut changes = Vec::new();
        for millis in (from..to).step_by(20) {
            let now = Time::from_micros(millis * 1_000);
            for (stream, dbov) in levels {
                speakers.observe(now, stream, Level { voice: true, dbov: *dbov });
            }
            changes.extend(speakers.tick(now).into_iter().map(|change| (millis, change)));
        }
        changes
    }

    #[test]
    fn who_is_loud_for_200_ms_speaks_until_300_ms_after() {
        let mut speakers = Speakers::new(SpeakersConfig::default());
        let changes = play(&mut speakers, 0, 1_000, &[("ada", 20), ("bob", 31)]);
        assert_eq!(changes, [(180, Change::Started("ada"))]);
        assert_eq!(speakers.speaking(), ["ada"]);
        let changes = play(&mut speakers, 1_000, 2_000, &[("ada", 60)]);
        assert_eq!(changes, [(1_280, Change::Stopped("ada"))]);
    }

    #[test]
    fn what_is_loud_now_and_then_is_not_speech() {
        let mut speakers = Speakers::new(SpeakersConfig::default());
        let mut changes = Vec::new();
        for second in 0..5 {
            changes.extend(play(&mut speakers, second * 600, second * 600 + 160, &[("ada", 5)]));
            let pause = second * 600 + 160;
            changes.extend(play(&mut speakers, pause, pause + 440, &[("ada", 70)]));
        }
        assert_eq!(changes, []);
        // Half the time is enough.
        for at in (3_000..4_000).step_by(40) {
            changes.extend(play(&mut speakers, at, at + 20, &[("ada", 5)]));
            changes.extend(play(&mut speakers, at + 20, at + 40, &[("ada", 70)]));
        }
        assert_eq!(changes, [(3_360, Change::Started("ada"))]);
    }

    #[test]
    fn the_loudest_are_reported_and_keep_their_place_against_those_hardly_louder() {
        let mut speakers = Speakers::new(SpeakersConfig::default());
        let levels = [("a", 20), ("b", 10), ("c", 15), ("d", 25)];
        let changes = play(&mut speakers, 0, 2_000, &levels);
        let started = ["b", "c", "a"].map(|stream| (180, Change::Started(stream)));
        assert_eq!(changes, started);
        assert_eq!(speakers.speaking(), ["b", "c", "a"]);
        let levels = [("a", 20), ("b", 10), ("c", 15), ("d", 18)];
        assert_eq!(play(&mut speakers, 2_000, 8_000, &levels), []);
        let levels = [("a", 20), ("b", 10), ("c", 15), ("d", 12)];
        let changes = play(&mut speakers, 8_000, 14_000, &levels);
        let changes: Vec<_> = changes.into_iter().map(|(_, change)| change).collect();
        assert_eq!(changes, [Change::Stopped("a"), Change::Started("d")]);
        assert_eq!(speakers.speaking(), ["b", "d", "c"]);
        speakers.remove(&"b");
        let changes = play(&mut speakers, 14_000, 14_020, &[]);
        assert_eq!(changes, [(14_000, Change::Stopped("b")), (14_000, Change::Started("a"))]);
    }

    #[test]
    fn no_more_streams_are_watched_than_allowed_and_silent_ones_are_forgotten() {
        let config = SpeakersConfig { streams: 1, ..SpeakersConfig::default() };
        let mut speakers = Speakers::new(config);
        assert_eq!(play(&mut speakers, 0, 100, &[("a", 90)]), []);
        assert_eq!(play(&mut speakers, 100, 1_000, &[("b", 10)]), []);
        assert_eq!(play(&mut speakers, 1_000, 11_000, &[]), []);
        let changes = play(&mut speakers, 11_000, 12_000, &[("b", 10)]);
        assert_eq!(changes, [(11_180, Change::Started("b"))]);
    }

    proptest! {
        #[test]
        fn changes_add_up_to_who_speaks(
            levels in vec((0_u64..60_000, 0_u8..8, any::<u8>()), 1..400),
            frames in any::<usize>(),
        ) {
            let config = SpeakersConfig { frames, ..SpeakersConfig::default() };
            let mut speakers = Speakers::new(config);
            let (mut now, mut heard) = (Time::ZERO, Vec::new());
            for (later, stream, dbov) in levels {
                now += Duration::from_micros(later);
                speakers.observe(now, &stream, Level { voice: false, dbov });
                for change in speakers.tick(now) {
                    match change {
                        Change::Started(stream) => heard.push(stream),
                        Change::Stopped(stream) => heard.retain(|other| *other != stream),
                    }
                }
                heard.sort_unstable();
                let mut speaking = speakers.speaking().to_vec();
                speaking.sort_unstable();
                prop_assert!(speaking.len() <= 3);
                prop_assert_eq!(&heard, &speaking);
            }
        }
    }
}
