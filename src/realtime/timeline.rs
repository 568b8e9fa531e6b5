//! Samples that arrive late, out of order or never, as a value that moves smoothly.
//!
//! A [`Timeline`] shows what was a little while ago, so that there is nearly always a sample behind
//! what is shown. How long ago follows from how much the delays of the samples vary.
//! `datastore-spec/timeline.md` says how everything is reckoned.

pub mod blend;
pub mod config;

mod delay;
mod track;

#[cfg(test)]
mod tests;

use std::time::Duration;

use self::blend::Blend;
use self::config::TimelineConfig;
use self::delay::{Delay, Playout};
use self::track::{Point, Track};

/// What a writer said of a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<V> {
    /// The room time for which it holds, in microseconds.
    pub at: u64,
    /// What was so.
    pub value: V,
    /// Whether it did not get there by moving: it is there from `at` on, and until then where it was.
    pub teleport: bool,
    /// Who wrote it. Of writers that are to be believed one at a time: who is, is decided elsewhere.
    pub writer: u64,
}

/// What there is to be seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown<V> {
    /// The value.
    pub value: V,
    /// The room time that is shown, in microseconds. It never goes back.
    pub at: u64,
    /// How the value came about.
    pub motion: Motion,
}

/// How a shown value came about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Motion {
    /// It is between samples, or on one, with what is left of a correction on top.
    Interpolated,
    /// It is a guess behind the last sample, or led back from one.
    Extrapolated,
    /// It is a sample's, and stays so until another is reached.
    Resting,
}

/// A value of which samples arrive from afar, shown as it moved.
///
/// Whatever is pushed, at most [`TimelineConfig::capacity`] samples are kept, what is shown never
/// leaps but where a sample says so, and shown time never goes back.
#[derive(Clone, Debug)]
pub struct Timeline<V: Blend> {
    config: TimelineConfig,
    track: Track<V>,
    delay: Delay,
    playout: Playout,
    correction: Option<Correction<V::Offset>>,
}

/// How far what is shown is from what the samples say, when that began to vanish.
#[derive(Clone, Debug)]
struct Correction<O> {
    offset: O,
    since: i64,
}

impl<V: Blend> Default for Timeline<V> {
    fn default() -> Self {
        Self::new(TimelineConfig::default())
    }
}

impl<V: Blend> Timeline<V> {
    /// A timeline of which nothing is known.
    #[must_use]
    pub fn new(config: TimelineConfig) -> Self {
        Self {
            config,
            track: Track::default(),
            delay: Delay::default(),
            playout: Playout::default(),
            correction: None,
        }
    }

    /// Takes a sample that arrived at a room time, whatever came before it. Returns whether it
    /// counts: not if its value has a number that is not finite, if there is one of the same time, or
    /// if it is older than all that are kept.
    ///
    /// Nothing that is shown changes at once. Where the sample changes what was right to be shown,
    /// what is shown is led there within [`TimelineConfig::blend`]; a teleport that comes late shows
    /// at once.
    pub fn push(&mut self, arrived_at: u64, sample: Sample<V>) -> bool {
        let Sample { at, value, teleport, writer } = sample;
        let (arrived, mut at) = (room_time(arrived_at), room_time(at));
        if !value.is_sound() {
            return false;
        }
        let newest = self.track.newest().map(|newest| (newest.at, newest.writer));
        let mut delay = Some(arrived - at).filter(|delay| *delay <= micros(self.config.credible));
        if at > arrived + micros(self.config.ahead) {
            // Of several, each is behind the one before.
            at = newest.map_or(arrived, |(newest, _)| arrived.max(newest + 1));
            delay = None;
        }
        let before = self.said();
        if !self.track.insert(Point { at, value, teleport, writer }, self.config.capacity) {
            return false;
        }
        self.learn(newest, at, writer, delay);
        self.lead_on(before, at, teleport);
        true
    }

    /// What to show at a room time, which is not before the one of the last call; nothing before the
    /// first sample. One whose delay says nothing yet, as a writer's first, shows at once.
    pub fn show(&mut self, now: u64) -> Option<Shown<V>> {
        let newest = self.track.newest()?.at;
        let (before, from) = (self.playout.now, self.playout.at);
        let times = (newest, newest + micros(self.config.coast));
        let at = self.playout.advance(room_time(now), self.delay.target, times, &self.config);
        if let Some(from) = from {
            self.hand_over(before, from, at);
        }
        let (said, motion) = self.said()?;
        let (value, led) = self.displaced(said, self.playout.now);
        if !led {
            self.correction = None;
        }
        self.track.prune(at, at - micros(self.config.gap));
        let motion = match motion {
            Motion::Resting if led => Motion::Extrapolated,
            Motion::Resting | Motion::Interpolated | Motion::Extrapolated => motion,
        };
        Some(Shown { value, at: at.max(0).cast_unsigned(), motion })
    }

    /// The time of the newest sample that is kept.
    #[must_use]
    pub fn newest(&self) -> Option<u64> {
        self.track.newest().map(|newest| newest.at.max(0).cast_unsigned())
    }

    /// How far what is shown lies behind now, as of the last call of [`Self::show`]; nothing before
    /// enough is known.
    #[must_use]
    pub fn delay(&self) -> Option<Duration> {
        let lag = self.playout.lag?;
        Some(Duration::from_micros(lag.max(0).cast_unsigned()))
    }

    /// Learns from a sample how long to wait. `newest` is the time and writer of the newest before.
    fn learn(&mut self, newest: Option<(i64, u64)>, at: i64, writer: u64, delay: Option<i64>) {
        // A writer's first sample may have waited for us: it says nothing of the network.
        let Some((newest, _)) = newest.filter(|newest| newest.1 == writer) else {
            if newest.is_none_or(|(newest, _)| at > newest) {
                self.delay.forget();
            }
            return;
        };
        let distance = at - newest;
        if distance > 0 && distance <= micros(self.config.gap) {
            self.delay.distance(distance, &self.config);
        }
        if let Some(delay) = delay {
            self.delay.delay(delay, &self.config);
            self.playout.begin(self.delay.target);
        }
    }

    /// What the samples say of what was shown last.
    fn said(&self) -> Option<(V, Motion)> {
        let at = self.playout.at?;
        if self.playout.lag.is_none() {
            // Nothing to go by: the newest, at once.
            return self.track.newest().map(|newest| (newest.value.clone(), Motion::Resting));
        }
        self.track.at(at, self.delay.interval(&self.config), &self.config)
    }

    /// Goes on from what was shown last, which a sample at `at` made differ from what the samples say.
    fn lead_on(&mut self, before: Option<(V, Motion)>, at: i64, teleport: bool) {
        let (Some((before, _)), Some((after, _))) = (before, self.said()) else { return };
        if before == after {
            return;
        }
        let shown_at = self.playout.at.unwrap_or(i64::MIN);
        let newest = self.track.newest().map_or(at, |newest| newest.at);
        let governs = match self.playout.lag {
            Some(_) => self.track.here(shown_at) == self.track.here(at),
            None => at == newest,
        };
        if teleport && governs {
            self.correction = None;
            return;
        }
        let now = self.playout.now;
        let (shown, _) = self.displaced(before, now);
        self.correct(&shown, &after, now);
    }

    /// Passes the samples in `from..=to` with which something else begins: another writer's are led
    /// to, a teleport is not.
    fn hand_over(&mut self, before: i64, from: i64, to: i64) {
        if self.playout.lag.is_none() {
            return; // as `lead_on` did
        }
        let mut passed = from;
        while let Some((place, at, leaps)) = self.track.turn(passed, to) {
            passed = at;
            let interval = self.delay.interval(&self.config);
            let old = place.checked_sub(1);
            let old =
                old.and_then(|old| self.track.coast(old, at, i64::MAX, interval, &self.config));
            let when = (self.playout.now - (to - at)).max(before);
            let new = self.track.value(place).cloned();
            match old.zip(new) {
                Some(((old, _), new)) if !leaps => {
                    let (shown, _) = self.displaced(old, when);
                    self.correct(&shown, &new, when);
                }
                _ => self.correction = None,
            }
        }
    }

    /// From now on the difference vanishes, if it is one.
    fn correct(&mut self, shown: &V, said: &V, since: i64) {
        let offset = V::offset(said, shown);
        self.correction = offset.map(|offset| Correction { offset, since });
    }

    /// What is shown where the samples say something, and whether that is something else.
    fn displaced(&self, said: V, now: i64) -> (V, bool) {
        let blend = micros(self.config.blend);
        let Some(Correction { offset, since }) = &self.correction else { return (said, false) };
        let left = blend - (now - since);
        if left <= 0 {
            return (said, false);
        }
        (said.displaced(offset, left as f64 / blend as f64), true)
    }
}

/// A room time that sums of a few of them cannot overflow.
fn room_time(at: u64) -> i64 {
    at.min(1 << 61).cast_signed()
}

/// A configured time, at most twelve days.
fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros().min(1 << 40)).unwrap_or(1 << 40)
}
