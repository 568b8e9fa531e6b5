//! The samples of a playout: those that were played last, those that wait, and how they are joined.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::super::codec::{CodecError, Decoder};
use super::super::comfort::Comfort;
use super::super::stretch::{self, Care};
use super::super::{BLOCK, FRAME, samples};
use super::Sound;
use super::config::PlayoutConfig;
use crate::proto::audio::packet::Packet;

/// Samples that were played and are kept: a period before what is played next.
const HISTORY: usize = stretch::LONGEST;

/// The most samples there are: the history, two periods and a frame that wait, and a period put in.
const CAPACITY: usize = HISTORY + 3 * stretch::LONGEST + 2 * FRAME;

/// Samples over which one sound goes over into another, 5 ms.
const JOINT: usize = 240;

/// Samples in which a talk spurt gets as loud as it is, 2.5 ms.
const ENTRY: usize = 120;

/// The farthest from zero that anything is played.
const LOUDEST: f32 = 1.5;

/// Samples that a decoder makes up are a multiple of this, 2.5 ms.
const QUANTUM: usize = 120;

/// How the samples that come next follow those that wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Seam {
    /// The decoder made one of the other.
    Whole,
    /// Something is left out or came twice between them.
    Torn,
    /// There was a pause.
    Pause,
}

/// Out of what a lost frame was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Told {
    /// A copy in less detail in the next frame.
    Recovered,
    /// The frame itself, in the next packet.
    Repeated,
}

/// A decoder whose panics end here: it reads what strangers send, and who calls it is a device's thread,
/// with everybody else's voice on it. One that has panicked is asked nothing any more, so that its
/// stream is silent. Where panics abort, they do still.
pub(super) struct Fence {
    decoder: Box<dyn Decoder>,
    has_panicked: bool,
}

impl Fence {
    pub(super) fn new(decoder: Box<dyn Decoder>) -> Self {
        Self { decoder, has_panicked: false }
    }

    fn ask<T>(&mut self, ask: impl FnOnce(&mut dyn Decoder) -> T) -> Option<T> {
        if self.has_panicked {
            return None;
        }
        let decoder = &mut *self.decoder;
        // Nobody sees what a panic left half done: the decoder is not asked again, and of samples that
        // it was to write none are taken.
        let told = catch_unwind(AssertUnwindSafe(|| ask(decoder))).ok();
        self.has_panicked = told.is_none();
        if self.has_panicked {
            tracing::error!("a decoder has panicked: its stream is silent from now on");
        }
        told
    }
}

const PANICKED: CodecError = CodecError::Failed("the decoder has panicked");

impl Decoder for Fence {
    fn decode(&mut self, frame: &[u8], out: &mut [f32]) -> Result<usize, CodecError> {
        self.ask(|decoder| decoder.decode(frame, out)).unwrap_or(Err(PANICKED))
    }

    fn recover(&mut self, next: &[u8], out: &mut [f32]) -> Result<usize, CodecError> {
        self.ask(|decoder| decoder.recover(next, out)).unwrap_or(Err(PANICKED))
    }

    fn conceal(&mut self, out: &mut [f32]) -> Result<usize, CodecError> {
        self.ask(|decoder| decoder.conceal(out)).unwrap_or(Err(PANICKED))
    }

    fn reset(&mut self) {
        self.ask(|decoder| decoder.reset());
    }
}

/// The samples.
#[derive(Debug)]
pub(super) struct Track {
    sound: Vec<f32>,
    /// Where in `sound` what waits begins.
    at: usize,
    seam: Seam,
    /// How many samples were made up since the last that were not, and after how many there is silence.
    blank: usize,
    fade: usize,
    /// What this block is, and what the samples are that came last.
    block: Sound,
    last: Sound,
    frame: Box<[f32; FRAME]>,
}

impl Track {
    pub(super) fn new(config: &PlayoutConfig) -> Self {
        Self {
            sound: Vec::with_capacity(CAPACITY),
            at: 0,
            seam: Seam::Pause,
            blank: 0,
            fade: usize::try_from(samples(config.fade)).unwrap_or(0).max(1),
            block: Sound::Comfort,
            last: Sound::Comfort,
            frame: Box::new([0.0; FRAME]),
        }
    }

    /// How many samples wait.
    pub(super) const fn waiting(&self) -> usize {
        self.sound.len() - self.at
    }

    /// What comes next does not follow what waits.
    pub(super) fn tear(&mut self) {
        if self.seam == Seam::Whole {
            self.seam = Seam::Torn;
        }
    }

    /// The stream begins anew: what waits of it is played, and goes over into noise.
    pub(super) fn restart(&mut self, decoder: &mut dyn Decoder, comfort: &mut Comfort) {
        if self.last != Sound::Comfort {
            self.release(decoder, comfort);
        }
    }

    /// Begins a block.
    pub(super) const fn open(&mut self) {
        self.block = if self.waiting() > 0 { self.last } else { Sound::Comfort };
    }

    /// Plays a block, which waits. Returns what it is.
    pub(super) fn play(&mut self, out: &mut [f32; BLOCK]) -> Sound {
        for (sample, waiting) in out.iter_mut().zip(&self.sound[self.at..]) {
            *sample = *waiting;
        }
        self.at = (self.at + BLOCK).min(self.sound.len());
        if self.at > HISTORY {
            self.sound.copy_within(self.at - HISTORY.., 0);
            self.sound.truncate(self.sound.len() - (self.at - HISTORY));
            self.at = HISTORY;
        }
        self.block
    }

    /// Adds noise until a block waits.
    pub(super) fn rest(&mut self, comfort: &mut Comfort) {
        while self.waiting() < BLOCK {
            self.sound.push(comfort.sample());
            self.last = Sound::Comfort;
        }
    }

    /// Adds a frame but for its first `from` samples. Returns whether the decoder took it; if not,
    /// it is made up.
    pub(super) fn decode(&mut self, decoder: &mut dyn Decoder, frame: &[u8], from: usize) -> bool {
        let joint = self.joint(decoder);
        if decoder.decode(frame, &mut *self.frame) != Ok(FRAME) {
            self.conceal(decoder, FRAME - from);
            return false;
        }
        self.join(joint, from, Sound::Normal);
        true
    }

    /// Adds the last `part` samples of the frame before a packet, if it tells of that.
    pub(super) fn recover(
        &mut self,
        decoder: &mut dyn Decoder,
        next: &Packet,
        part: usize,
    ) -> Option<Told> {
        if part < FRAME {
            self.tear();
        }
        let joint = self.joint(decoder);
        let repeated = next.previous.as_ref().map(|frame| decoder.decode(frame, &mut *self.frame));
        let told = if repeated == Some(Ok(FRAME)) {
            Told::Repeated
        } else if decoder.recover(&next.frame, &mut *self.frame) == Ok(FRAME) {
            Told::Recovered
        } else {
            return None;
        };
        // What is missing is between what is there: it is where it belongs.
        self.join(joint.map(|(old, _)| (old, 0)), FRAME - part, Sound::Recovered);
        Some(told)
    }

    /// Adds `length` samples that are made up, at most a frame.
    pub(super) fn conceal(&mut self, decoder: &mut dyn Decoder, length: usize) {
        self.made_up(decoder, length);
        append(&mut self.sound, &self.frame[..length]);
        self.blank += length;
        self.mark(Sound::Concealed);
    }

    /// Ends a talk spurt: a block in which what was said goes over into noise.
    pub(super) fn release(&mut self, decoder: &mut dyn Decoder, comfort: &mut Comfort) {
        self.made_up(decoder, BLOCK);
        for (place, sample) in self.frame[..BLOCK].iter_mut().enumerate() {
            *sample = *sample * (1.0 - place as f32 / BLOCK as f32) + comfort.sample();
        }
        append(&mut self.sound, &self.frame[..BLOCK]);
        self.mark(Sound::Comfort);
        self.seam = Seam::Pause;
        self.blank = 0;
    }

    /// Leaves out at most `most` samples. Returns how many.
    pub(super) fn shorten(&mut self, most: usize, care: Care) -> usize {
        let out = stretch::shorten(&mut self.sound, self.at, most, care);
        if out > 0 {
            self.block = self.block.max(Sound::Accelerated);
        }
        out
    }

    /// Puts in at most `most` samples. Returns how many.
    pub(super) fn lengthen(&mut self, most: usize, care: Care) -> usize {
        let put = stretch::lengthen(&mut self.sound, self.at, most, care);
        if put > 0 {
            self.block = self.block.max(Sound::Expanded);
        }
        put
    }

    /// Makes up samples at the beginning of `frame`, the quieter the longer nothing has come.
    fn made_up(&mut self, decoder: &mut dyn Decoder, length: usize) {
        let whole = length.next_multiple_of(QUANTUM).min(FRAME);
        let out = &mut self.frame[..whole];
        if self.blank >= self.fade || decoder.conceal(out) != Ok(whole) {
            out.fill(0.0);
        }
        for (place, sample) in out.iter_mut().enumerate() {
            let gone = ((self.blank + place) as f32 / self.fade as f32).min(1.0);
            *sample *= 1.0 - gone * gone;
        }
    }

    /// What would have come next, and how far what comes may be moved to be like it, if it does not
    /// follow by itself.
    fn joint(&mut self, decoder: &mut dyn Decoder) -> Option<([f32; JOINT], usize)> {
        if self.seam != Seam::Torn {
            return None;
        }
        self.made_up(decoder, JOINT);
        let mut old = [0.0; JOINT];
        old.copy_from_slice(&self.frame[..JOINT]);
        Some((old, if self.blank < self.fade { BLOCK } else { 0 }))
    }

    /// Adds the frame that was decoded, but for its first `from` samples.
    fn join(&mut self, joint: Option<([f32; JOINT], usize)>, mut from: usize, sound: Sound) {
        if let Some((old, most)) = joint {
            from += stretch::alike(&old, &self.frame[from..], most);
            for (place, (new, old)) in self.frame[from..].iter_mut().zip(old).enumerate() {
                let weight = (place + 1) as f32 / (JOINT + 1) as f32;
                *new = *new * weight + old * (1.0 - weight);
            }
        }
        if self.seam == Seam::Pause {
            for (place, sample) in self.frame[from..].iter_mut().take(ENTRY).enumerate() {
                *sample *= place as f32 / ENTRY as f32;
            }
        }
        append(&mut self.sound, &self.frame[from..]);
        self.seam = Seam::Whole;
        self.blank = 0;
        self.mark(sound);
    }

    fn mark(&mut self, sound: Sound) {
        self.block = self.block.max(sound);
        self.last = sound;
    }
}

/// Adds samples, as far as there is room. What no loudspeaker could play is brought within bounds.
fn append(sound: &mut Vec<f32>, more: &[f32]) {
    let room = sound.capacity() - sound.len();
    let bounded = |sample: &f32| {
        if sample.is_finite() { sample.clamp(-LOUDEST, LOUDEST) } else { 0.0 }
    };
    sound.extend(more.iter().take(room).map(bounded));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use bytes::Bytes;

    use super::super::super::codec::CodecError;
    use super::super::Playout;
    use super::*;
    use crate::proto::audio::packet::{Kind, Level};
    use crate::proto::time::Time;

    /// Panics at a frame of one byte, and counts how often it is asked for anything after that.
    #[derive(Default)]
    struct Brittle {
        has_panicked: bool,
        asked: Arc<AtomicU32>,
    }

    impl Brittle {
        fn fill(&self, out: &mut [f32]) -> Result<usize, CodecError> {
            self.asked.fetch_add(u32::from(self.has_panicked), Ordering::Relaxed);
            out.fill(0.5);
            Ok(out.len())
        }
    }

    impl Decoder for Brittle {
        fn decode(&mut self, frame: &[u8], out: &mut [f32]) -> Result<usize, CodecError> {
            let samples = self.fill(out);
            self.has_panicked |= frame.len() == 1;
            assert!(frame.len() > 1, "what a stranger sent");
            samples
        }

        fn recover(&mut self, _: &[u8], out: &mut [f32]) -> Result<usize, CodecError> {
            self.fill(out).map(|_| 0)
        }

        fn conceal(&mut self, out: &mut [f32]) -> Result<usize, CodecError> {
            self.fill(out)
        }

        fn reset(&mut self) {
            self.asked.fetch_add(u32::from(self.has_panicked), Ordering::Relaxed);
        }
    }

    #[test]
    fn a_decoder_that_panics_is_silent_from_then_on_and_nobody_else_is() {
        let asked = Arc::<AtomicU32>::default();
        let decoder = Brittle { asked: Arc::clone(&asked), ..Brittle::default() };
        let mut playout = Playout::new(PlayoutConfig::default(), Box::new(decoder));
        let mut heard = Vec::new();
        for number in 0..100_u16 {
            let packet = Packet {
                kind: Kind::Audio,
                first: number == 0,
                level: Level { voice: true, dbov: 20 },
                sequence: number,
                time: u32::from(number) * 960,
                // Another stream begins, of the same decoder.
                epoch: u32::from(number >= 80),
                previous: None,
                frame: Bytes::from(vec![0; if number == 50 { 1 } else { 2 }]),
            };
            let at = u64::from(number) * 20_000;
            playout.on_packet(Time::from_micros(at), packet);
            for at in [at, at + 10_000] {
                let mut block = [0.0; BLOCK];
                playout.pull(Time::from_micros(at), &mut block);
                heard.push(block.iter().fold(0.0_f32, |most, sample| most.max(sample.abs())));
            }
        }
        assert!(heard[80..96].iter().all(|most| (0.4..0.6).contains(most)), "{heard:?}");
        assert!(heard[120..].iter().all(|most| *most == 0.0), "{heard:?}");
        let failed = playout.statistics().failed;
        assert!((40..=50).contains(&failed), "{failed}");
        assert_eq!(asked.load(Ordering::Relaxed), 0, "it is asked nothing any more");
    }
}
