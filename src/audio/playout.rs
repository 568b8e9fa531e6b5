//! Packets of one voice stream, as they came, into samples at a loudspeaker's pace.
//!
//! What is behind the pace of the packets waits as long as the network needs lately, and no longer: in
//! pauses that costs nothing, in voice by leaving out or putting in periods of its pitch. What is lost
//! is recovered from the packet after it, or made up. `datastore-spec/audio.md` says how.

pub mod config;
pub mod statistics;

mod track;

#[cfg(test)]
mod tests;

use std::fmt;

use self::config::PlayoutConfig;
use self::statistics::{PlayoutStatistics, Tally};
use self::track::{Fence, Told, Track};
use super::codec::Decoder;
use super::comfort::Comfort;
use super::delay::Delay;
use super::jitter::{Arrival, FAR, JitterBuffer};
use super::stretch::{self, Care};
use super::{BLOCK, FRAME, instant, samples};
use crate::proto::audio::packet::{Kind, Packet};
use crate::proto::time::Time;

/// A frame's samples, as times are reckoned.
const LENGTH: i64 = FRAME as i64;

/// Frames that are made up one by one when they are missing at the end of a talk spurt. Of more, none.
const TAIL: i64 = 5 * LENGTH;

/// A media time before all others.
const NEVER: i64 = i64::MIN / 2;

/// What a block is, for the most part of what happened in it: the last that holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Sound {
    /// A pause: noise of the speaker's surroundings.
    Comfort,
    /// Voice as it was sent.
    Normal,
    /// Voice with samples put in.
    Expanded,
    /// Voice with samples left out.
    Accelerated,
    /// Voice out of what the packet behind it told.
    Recovered,
    /// Voice that is made up.
    Concealed,
}

/// A block that was played.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    /// What it is.
    pub sound: Sound,
    /// The media time of its first sample, if that was captured at all: not of a pause, and not of
    /// what is made up for packets of which nobody knows yet whether they come. It does not go back
    /// but where the stream begins anew.
    pub time: Option<u32>,
}

/// Whether something is said.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Pause,
    /// So many samples were made up for something that may still come.
    Talk {
        borrowed: i64,
    },
}

/// One voice stream as it is heard.
///
/// Whatever comes, at most 128 packets wait, what is played is finite and within 1.5 of zero, and
/// [`Self::pull`] gives a block each time. It allocates nothing there but what its decoder does: that
/// of Opus does to make something up.
pub struct Playout {
    config: PlayoutConfig,
    decoder: Box<dyn Decoder>,
    buffer: JitterBuffer,
    delay: Delay,
    track: Track,
    comfort: Comfort,
    phase: Phase,
    /// The media time behind what was decoded or given up last.
    position: i64,
    /// The media time at which a talk spurt ended, of the last that is known.
    end: i64,
    /// The media time behind the newest frame that came.
    newest: i64,
    /// The latest media time that was played.
    shown: i64,
    /// Before this the length of what is heard is not changed.
    rested: i64,
    /// Whether frames lately told something of those before them.
    telling: bool,
    tally: Tally,
}

impl fmt::Debug for Playout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Playout")
            .field("phase", &self.phase)
            .field("position", &self.position)
            .field("statistics", &self.statistics())
            .finish_non_exhaustive()
    }
}

impl Playout {
    /// A stream of which nothing has come. If the decoder panics the stream is silent from then on, and
    /// its frames count as refused ([`PlayoutStatistics::failed`]).
    #[must_use]
    pub fn new(config: PlayoutConfig, decoder: Box<dyn Decoder>) -> Self {
        Self {
            buffer: JitterBuffer::new(),
            delay: Delay::new(&config),
            track: Track::new(&config),
            comfort: Comfort::new(),
            phase: Phase::Pause,
            position: NEVER,
            end: NEVER,
            newest: NEVER,
            shown: NEVER,
            rested: 0,
            telling: true,
            tally: Tally::new(),
            config,
            decoder: Box::new(Fence::new(decoder)),
        }
    }

    /// Takes a packet that came at `now`. Costs the time of a look at the last hundred delays and
    /// at 512 buckets of them.
    pub fn on_packet(&mut self, now: Time, packet: Packet) {
        let now = instant(now);
        let mut arrival = self.buffer.note(&packet);
        if let Arrival::Fresh { time, .. } = arrival
            && self.delay.shortest().is_some_and(|shortest| now - time < shortest - FAR)
        {
            arrival = Arrival::Restart;
        }
        if arrival == Arrival::Restart {
            self.restart(packet.epoch);
            arrival = self.buffer.note(&packet);
        }
        let counts = &mut self.tally.counts;
        match arrival {
            Arrival::Fresh { time, newest, behind_gap } => {
                counts.reordered += u64::from(!newest);
                self.enter(now, packet, time, behind_gap);
            }
            Arrival::Duplicate => counts.duplicates += 1,
            Arrival::Old | Arrival::Restart => counts.late += 1,
        }
    }

    /// Plays 10 ms into `out`. Calls are to be 10 ms apart, by the loudspeaker's clock.
    pub fn pull(&mut self, now: Time, out: &mut [f32; BLOCK]) -> Block {
        let now = instant(now);
        self.track.open();
        let waited = matches!(self.phase, Phase::Talk { .. }) && self.track.waiting() > 0;
        let head = waited.then(|| self.head());
        self.catch_up(now);
        if self.fill(now) {
            self.stretch(now);
        }
        let head = head.unwrap_or_else(|| self.head());
        self.track.rest(&mut self.comfort);
        let sound = self.track.play(out);
        if sound == Sound::Comfort {
            self.tally.rested();
            return Block { sound, time: None };
        }
        let waits = matches!(self.phase, Phase::Talk { borrowed: 1.. });
        self.shown = self.shown.max(head);
        let shortest = self.delay.shortest().unwrap_or(now);
        self.tally.played((!waits).then_some(now - head - shortest + LENGTH));
        Block { sound, time: (!waits).then(|| self.buffer.sent_time(self.shown)) }
    }

    /// What was done until now.
    #[must_use]
    pub fn statistics(&self) -> PlayoutStatistics {
        self.tally.statistics(self.delay.wait())
    }

    /// The media time of the sample that is played next, as far as it was not made up.
    const fn head(&self) -> i64 {
        self.position - self.track.waiting() as i64
    }

    fn restart(&mut self, epoch: u32) {
        self.buffer.clear(epoch);
        self.delay.restart();
        self.track.restart(&mut *self.decoder, &mut self.comfort);
        self.decoder.reset();
        self.phase = Phase::Pause;
        self.position = NEVER;
        self.end = NEVER;
        self.newest = NEVER;
        self.shown = NEVER;
        self.tally.counts.resets += 1;
    }

    /// Takes a packet that counts.
    fn enter(&mut self, now: i64, packet: Packet, time: i64, behind_gap: bool) {
        match packet.kind {
            Kind::End => self.end = self.end.max(time),
            Kind::Comfort => {
                self.end = self.end.max(time);
                self.comfort.set(packet.level, self.config.comfort);
                self.delay.heard(now - time, 0, true, &self.config);
            }
            Kind::Audio => {
                // What is lost comes when it is told of.
                let tells = packet.previous.is_some() || self.telling;
                let beyond = if behind_gap && !packet.first && tells { LENGTH } else { 0 };
                self.delay.heard(now - time, beyond, packet.first, &self.config);
                self.newest = self.newest.max(time + LENGTH);
                if time + LENGTH <= self.position {
                    self.tally.counts.late += 1;
                } else if self.buffer.keep(time, packet) {
                    self.tally.counts.skipped += 1;
                }
            }
        }
    }

    /// How much longer than needed is waited for the frame behind what is decoded; negative if not
    /// long enough.
    fn excess(&self, now: i64) -> i64 {
        // A frame is decoded when less than a block is left.
        let left = self.track.waiting() % BLOCK;
        let lag = now + self.track.waiting() as i64 - self.position;
        let shortest = self.delay.shortest().unwrap_or(lag);
        lag - shortest - left as i64 - self.delay.wait()
    }

    /// Passes over what lies too far behind.
    fn catch_up(&mut self, now: i64) {
        let Some(shortest) = self.delay.shortest() else { return };
        let plays = now + self.track.waiting() as i64;
        let mut far = samples(self.config.most) + 2 * LENGTH;
        while let Some(entry) = self.buffer.first()
            && plays - entry.time - shortest > far
        {
            self.position = self.position.max(entry.time + LENGTH);
            self.buffer.take();
            self.tally.counts.skipped += 1;
            self.track.tear();
            far = self.delay.wait();
        }
    }

    /// Brings samples of voice until a block waits, or a pause begins. Returns whether it is voice.
    fn fill(&mut self, now: i64) -> bool {
        if matches!(self.phase, Phase::Pause) && !self.begin(now) {
            return false;
        }
        while self.track.waiting() < BLOCK {
            if !self.next() {
                return false;
            }
        }
        true
    }

    /// Begins a talk spurt if it is time for one.
    fn begin(&mut self, now: i64) -> bool {
        let Some(entry) = self.buffer.first() else { return false };
        let shortest = self.delay.shortest().unwrap_or(0);
        let wait = self.delay.wait();
        let due = |time: i64| now - time - shortest >= wait;
        let (time, before) = (entry.time, entry.time - LENGTH);
        let missing = !entry.packet.first && self.position <= before;
        if missing && due(before) && self.recover(FRAME) {
            self.position = time;
        } else if !due(time) {
            return false;
        }
        self.position = self.position.max(time);
        self.shown = self.shown.max(self.head());
        if self.end <= self.position {
            self.end = NEVER;
        }
        self.phase = Phase::Talk { borrowed: 0 };
        true
    }

    /// Brings the next samples. Returns whether it is still voice.
    fn next(&mut self) -> bool {
        let Phase::Talk { borrowed } = self.phase else { return false };
        let next = self.buffer.first().map(|entry| (entry.time, entry.packet.first));
        let ended = self.end >= self.position && next.is_none_or(|(time, _)| self.end <= time);
        match next {
            _ if ended => self.finish(self.end, borrowed),
            // Whoever is silenced, or away, does not say that it ends, nor what is to be heard then.
            None if borrowed >= samples(self.config.most) => {
                self.comfort.hush();
                self.rest()
            }
            None => {
                let part = BLOCK - self.track.waiting();
                self.conceal(part);
                self.phase = Phase::Talk { borrowed: borrowed + part as i64 };
                true
            }
            Some((time, true)) if time > self.position => self.finish(self.position, borrowed),
            Some((time, _)) => {
                self.follow(time, borrowed);
                true
            }
        }
    }

    /// A talk spurt is over at `end`, but for what is missing of it.
    fn finish(&mut self, end: i64, borrowed: i64) -> bool {
        let missing = end - self.position - borrowed;
        if missing > 0 && missing <= TAIL {
            let part = missing.min(LENGTH);
            self.position += borrowed + part;
            self.phase = Phase::Talk { borrowed: 0 };
            self.tally.counts.lost += 1;
            self.conceal(usize::try_from(part).unwrap_or(FRAME));
            return true;
        }
        self.position = self.position.max(end);
        self.rest()
    }

    /// Nothing is said for now.
    fn rest(&mut self) -> bool {
        self.phase = Phase::Pause;
        self.track.release(&mut *self.decoder, &mut self.comfort);
        false
    }

    /// Brings the frame at `time`, or something of what is missing before it.
    fn follow(&mut self, time: i64, borrowed: i64) {
        let gap = time - self.position;
        let paid = borrowed.min(gap).max(0);
        self.position += paid;
        let left = gap - paid;
        if borrowed > paid {
            self.track.tear();
        }
        self.phase = Phase::Talk { borrowed: 0 };
        if left <= 0 {
            self.tally.counts.lost += paid.cast_unsigned().div_ceil(FRAME as u64);
            self.play(left);
            return;
        }
        self.tally.counts.lost += paid.cast_unsigned() / FRAME as u64;
        let part = usize::try_from(left.min(LENGTH)).unwrap_or(FRAME);
        if left > LENGTH || !self.recover(part) {
            self.conceal(part);
            self.tally.counts.lost += 1;
        }
        self.position += part as i64;
    }

    /// Brings the last `part` samples of the frame before the first packet that waits, if that tells
    /// of it.
    fn recover(&mut self, part: usize) -> bool {
        let Some(entry) = self.buffer.first() else { return false };
        let told = self.track.recover(&mut *self.decoder, &entry.packet, part);
        let counts = &mut self.tally.counts;
        match told {
            Some(Told::Recovered) => counts.recovered += 1,
            Some(Told::Repeated) => counts.repeated += 1,
            None => {}
        }
        self.telling = told.is_some();
        counts.lost += u64::from(self.telling);
        self.telling
    }

    /// Makes samples up.
    fn conceal(&mut self, length: usize) {
        self.track.conceal(&mut *self.decoder, length);
        self.tally.counts.concealed += length as u64;
    }

    /// Decodes the first packet that waits, which begins as many samples before the position as
    /// `left` is below zero.
    fn play(&mut self, left: i64) {
        let Some(entry) = self.buffer.take() else { return };
        let from = usize::try_from(-left).unwrap_or(FRAME);
        if from >= FRAME {
            self.tally.counts.late += 1;
            return;
        }
        if from > 0 {
            self.track.tear();
        }
        if !self.track.decode(&mut *self.decoder, &entry.packet.frame, from) {
            self.tally.counts.failed += 1;
            self.tally.counts.concealed += (FRAME - from) as u64;
        }
        self.position = entry.time + LENGTH;
    }

    /// Leaves out or puts in a period where more or less is waited than needed.
    fn stretch(&mut self, now: i64) {
        let rest = samples(self.config.rest);
        let Phase::Talk { borrowed: 0 } = self.phase else {
            // What comes now shows how long is to be waited, but not at once.
            self.rested = now + 4 * rest;
            return;
        };
        let excess = self.excess(now);
        let slack = samples(self.config.slack);
        let short = (self.delay.wait() / 8).max(slack / 8);
        let room = self.track.waiting() < 2 * stretch::LONGEST;
        let (out, put) = if room && self.stalls(now) {
            self.ahead();
            (0, self.track.lengthen(stretch::LONGEST, Care::Alike))
        } else if now < self.rested {
            (0, 0)
        } else if excess > slack / 2 {
            let (most, care) = self.surplus(excess);
            self.ahead();
            (self.track.shorten(most, care), 0)
        } else if excess < -short {
            self.ahead();
            (0, self.track.lengthen(usize::try_from(-excess).unwrap_or(0) + BLOCK, Care::Alike))
        } else {
            (0, 0)
        };
        if out + put > 0 {
            let counts = &mut self.tally.counts;
            counts.stretches += 1;
            counts.accelerated += out as u64;
            counts.expanded += put as u64;
            self.rested = now + rest;
        }
    }

    /// Whether what has not come is late enough that more of it will be made up than a period that is
    /// put in before is worth.
    fn stalls(&self, now: i64) -> bool {
        let Some(shortest) = self.delay.shortest() else { return false };
        let next = self.newest.max(self.position);
        let waited = now + self.track.waiting() as i64 - self.position - shortest;
        self.end < next && self.delay.stalls(now - next - shortest, waited)
    }

    /// How much is to be left out at most, and with what care, so that enough is waited still wherever
    /// in a block the next frame is decoded then.
    fn surplus(&self, excess: i64) -> (usize, Care) {
        let slack = samples(self.config.slack);
        let blocks = usize::try_from(excess).unwrap_or(0) / BLOCK * BLOCK;
        if excess > slack {
            let far = excess > 4 * slack + self.delay.wait();
            return (blocks, if far { Care::None } else { Care::Alike });
        }
        // Of silence anything can be left out: what is left over of a block, too.
        let left = self.track.waiting() % BLOCK;
        let whole = left + blocks;
        (if whole > stretch::LONGEST { left } else { whole }, Care::Silence)
    }

    /// Decodes what has come, as far as it takes to compare a period with the next.
    fn ahead(&mut self) {
        while self.track.waiting() < 2 * stretch::LONGEST
            && let Some(time) = self.buffer.first().map(|entry| entry.time)
            && time <= self.position
        {
            self.follow(time, 0);
        }
    }
}
