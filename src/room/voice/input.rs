//! A stream of this peer's voice.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rtrb::{Consumer, Producer, RingBuffer};

use super::AudioError;
use crate::audio::RATE;
#[cfg(feature = "dsp")]
use crate::audio::acoustics::Acoustics;
use crate::audio::grid::media_time;
use crate::audio::input::{TalkConfig, Talker};
use crate::audio::opus::Opus;
use crate::audio::pcm::Sample;
use crate::audio::resample::InputResampler;
use crate::net::{Clock, VoiceDesk};
use crate::proto::audio::packet::Level;
use crate::proto::audio::stream::Topic;
use crate::proto::model::Model;
use crate::room::Room;

/// Levels of an input that wait for the room, 2.5 s of them. Of more the newest are not known of.
const LEVELS: usize = 128;

/// No report of losses waits.
const NO_REPORT: u8 = u8::MAX;

/// What an application captures.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct AudioInputOptions {
    /// Samples a second of each channel, 8,000 to 192,000.
    pub rate: u32,
    /// How many channels, 1 to 8: their mean is what is said.
    pub channels: usize,
    /// Whether it begins muted.
    pub muted: bool,
    /// How it is spoken.
    pub talk: TalkConfig,
}

impl Default for AudioInputOptions {
    fn default() -> Self {
        Self { rate: RATE, channels: 1, muted: false, talk: TalkConfig::default() }
    }
}

/// What a room and one of its inputs know of each other.
#[derive(Debug, Default)]
struct Line {
    /// What the stream's packets are published to, and where, while it is open.
    way: Mutex<Option<(Topic, VoiceDesk)>>,
    muted: AtomicBool,
    /// How far the room's time is ahead of the clock, in microseconds.
    ahead: AtomicI64,
    /// How many of a hundred packets the worst hearer misses, by the last report, if there is one that
    /// was not seen to.
    lost: AtomicU8,
}

impl Line {
    fn way(&self) -> MutexGuard<'_, Option<(Topic, VoiceDesk)>> {
        // Nothing that can panic is done while it is locked.
        self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The room's end of an input.
#[derive(Debug)]
pub(super) struct Own {
    line: Arc<Line>,
    levels: Consumer<Level>,
}

impl Own {
    /// The stream is open at a topic, or is not.
    pub(super) fn follow(&self, topic: Option<Topic>, desk: &VoiceDesk) {
        *self.line.way() = topic.map(|topic| (topic, desk.clone()));
    }

    pub(super) fn set_ahead(&self, ahead: i64) {
        self.line.ahead.store(ahead, Ordering::Relaxed);
    }

    pub(super) fn set_lost(&self, lost: u8) {
        self.line.lost.store(lost, Ordering::Relaxed);
    }

    pub(super) fn is_muted(&self) -> bool {
        self.line.muted.load(Ordering::Relaxed)
    }

    /// How loud the next frame was that went out.
    pub(super) fn pop_level(&mut self) -> Option<Level> {
        self.levels.pop().ok()
    }
}

/// A stream of this peer's voice. Push what is captured, as it comes.
pub struct AudioInput {
    number: u8,
    line: Arc<Line>,
    resampler: InputResampler,
    #[cfg(feature = "dsp")]
    acoustics: Option<Acoustics>,
    talker: Talker,
    levels: Producer<Level>,
    clock: Clock,
    rate: u32,
    channels: usize,
}

impl fmt::Debug for AudioInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AudioInput").field("number", &self.number).finish_non_exhaustive()
    }
}

impl AudioInput {
    /// Which of this peer's streams it is.
    #[must_use]
    pub const fn number(&self) -> u8 {
        self.number
    }

    /// Says what was captured, its channels interleaved, of which the last sample was captured just
    /// now. Any number of samples may be given; about every 20 ms a packet goes out, while the stream
    /// is open. Costs about 0.3 ms a packet, and does not wait.
    ///
    /// It is to be called also while muted, and for 60 ms after that even without a device: then with
    /// silence, or hearers wait for what was being said to go on, and make it up.
    ///
    /// # Errors
    ///
    /// When a channel has more samples than another: nothing is taken. Or when the codec fails: then a
    /// frame is lost.
    pub fn push<S: Sample>(&mut self, pcm: &[S]) -> Result<(), AudioError> {
        let lost = self.line.lost.swap(NO_REPORT, Ordering::Relaxed);
        if lost != NO_REPORT {
            self.talker.on_report(lost);
        }
        let muted = self.line.muted.load(Ordering::Relaxed);
        if muted != self.talker.is_muted() {
            self.talker.set_muted(muted);
        }
        let way = self.line.way().clone();
        let length = (pcm.len() / self.channels.max(1)) as u64 * 1_000_000 / u64::from(self.rate);
        let now = self.clock.now().as_micros().saturating_sub(length);
        let room_time = now.saturating_add_signed(self.line.ahead.load(Ordering::Relaxed));
        let (talker, levels) = (&mut self.talker, &mut self.levels);
        #[cfg(feature = "dsp")]
        let acoustics = &mut self.acoustics;
        let mut outcome = Ok(());
        let mut say = |at: u64, pcm: &[f32]| {
            let before = talker.frames();
            let packet = talker.push(at, pcm);
            let Some((topic, desk)) = &way else {
                outcome = packet.map(drop);
                return;
            };
            if !muted && talker.frames() != before {
                // What there is no room for is not known of.
                levels.push(talker.level()).ok();
            }
            match packet {
                // What there is no room for is counted at the desk.
                Ok(Some(packet)) => drop(desk.speak(*topic, packet.write())),
                Ok(None) => {}
                Err(error) => outcome = Err(error),
            }
        };
        self.resampler.push(media_time(room_time), pcm, |at, piece| {
            #[cfg(feature = "dsp")]
            if let Some(acoustics) = acoustics {
                if let Some((at, block)) = acoustics.collect(at, piece) {
                    say(at, &block);
                }
                return;
            }
            say(at, piece);
        })?;
        Ok(outcome?)
    }

    /// From now on frees what is captured of echo and noise before it is said. What is played in the
    /// same room is for [`Listener::set_played`](super::Listener::set_played) to say.
    #[cfg(feature = "dsp")]
    pub fn set_acoustics(&mut self, acoustics: Acoustics) {
        self.acoustics = Some(acoustics);
    }

    /// How loud the last frame was.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.talker.level()
    }

    /// Whether what is said goes out: the stream is open at the relay.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.line.way().is_some()
    }
}

impl<M: Model> Room<M> {
    /// Opens a stream of this peer's voice, at once or as soon as the room is there, and again whenever
    /// it comes back. [`VoiceEvent::Live`] says that it is heard, [`VoiceEvent::Refused`] that it is
    /// not opened. It is closed by [`Self::close_audio_input`] and by [`Self::leave_voice`].
    ///
    /// [`VoiceEvent::Live`]: crate::proto::event::voice::VoiceEvent::Live
    /// [`VoiceEvent::Refused`]: crate::proto::event::voice::VoiceEvent::Refused
    ///
    /// # Errors
    ///
    /// When the room has no network, this peer has as many streams as it may have, or the samples or the
    /// bitrate are none that can be used.
    pub fn create_audio_input(
        &mut self,
        options: AudioInputOptions,
    ) -> Result<AudioInput, AudioError> {
        if self.carrier.is_none() {
            return Err(AudioError::Offline);
        }
        let AudioInputOptions { rate, channels, muted, talk } = options;
        let resampler = InputResampler::new(rate, channels)?;
        let number = self.peer.open_stream(muted, self.clock.now())?;
        let epoch = self.peer.stream_epoch(number).unwrap_or_default();
        let talker = match Talker::new(talk, &Opus, epoch) {
            Ok(talker) => talker,
            Err(error) => {
                self.peer.close_stream(number, self.clock.now());
                return Err(error.into());
            }
        };
        let line = Arc::new(Line { lost: AtomicU8::new(NO_REPORT), ..Line::default() });
        line.muted.store(muted, Ordering::Relaxed);
        let (levels, heard) = RingBuffer::new(LEVELS);
        let own = Own { line: Arc::clone(&line), levels: heard };
        if let Some(refused) = self.voices.inputs.insert(number, own) {
            *refused.line.way() = None;
        }
        self.perform();
        let clock = self.clock;
        Ok(AudioInput {
            number,
            line,
            resampler,
            #[cfg(feature = "dsp")]
            acoustics: None,
            talker,
            levels,
            clock,
            rate,
            channels,
        })
    }

    /// Closes a stream of this peer's voice. Nothing, if it has none of that number.
    pub fn close_audio_input(&mut self, number: u8) {
        self.peer.close_stream(number, self.clock.now());
        if let Some(own) = self.voices.inputs.remove(&number) {
            *own.line.way() = None;
        }
        self.perform();
    }

    /// Says nothing on a stream of this peer's voice, or something again: everybody is told, and
    /// nothing goes out meanwhile, whatever is pushed, but the end of what was being said, by the next
    /// 60 ms that are ([`AudioInput::push`]).
    pub fn mute_audio_input(&mut self, number: u8, muted: bool) {
        if let Some(own) = self.voices.inputs.get(&number) {
            own.line.muted.store(muted, Ordering::Relaxed);
        }
        self.peer.mute_stream(number, muted, self.clock.now());
        self.perform();
    }
}
