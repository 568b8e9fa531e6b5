//! What an application says in its room, and hears.
//!
//! Samples do not pass through the room: an [`AudioInput`] and an [`AudioOutput`] are the
//! application's own, on whatever threads its devices call, and meet the network past the room. The
//! room opens and closes streams, and tells who speaks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;

use super::Room;
use crate::audio::codec::Codec;
use crate::audio::codec::CodecError;
use crate::audio::grid::media_time;
use crate::audio::input::{TalkConfig, Talker};
use crate::audio::mixer::{Gain, Mixer};
use crate::audio::opus::Opus;
use crate::audio::pcm::Sample;
use crate::audio::playout::Playout;
use crate::audio::playout::config::PlayoutConfig;
use crate::audio::playout::statistics::PlayoutStatistics;
use crate::audio::resample::{InputResampler, OutputResampler, ResampleError};
use crate::audio::{BLOCK, RATE};
use crate::net::{Arrivals, Carrier, Clock, Ear, VoiceDesk};
use crate::proto::audio::packet::{Level, Packet};
use crate::proto::audio::stream::{Hearing, Stream, StreamError, StreamName, Topic};
use crate::proto::event::voice::VoiceEvent;
use crate::proto::id::{ClientNumber, PeerId};
use crate::proto::model::Model;
use crate::proto::peer::Peer;

/// Packets that wait for an output to be read: 5 s of them. Of more the newest are thrown away.
const WAITING: usize = 256;

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

/// Why an input or output of sound could not be made, or what was captured was not taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AudioError {
    /// The stream is not opened.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// No such stream is open in the room.
    #[error("client {} has no stream {} open: wait for the event that it is", name.client.0, name.number)]
    Closed {
        /// Which.
        name: StreamName,
    },
    /// A room without a network hears and says nothing.
    #[error("the room has no network: connect it to a relay first")]
    Offline,
    /// The device's samples cannot be used.
    #[error(transparent)]
    Resample(#[from] ResampleError),
    /// The codec failed.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// What a room and one of its inputs or outputs know of each other.
#[derive(Debug, Default)]
struct Line {
    /// What the stream's packets are published to, while it is open.
    topic: Mutex<Option<Topic>>,
    muted: AtomicBool,
    /// How far the room's time is ahead of the clock, in microseconds.
    ahead: AtomicI64,
    /// How many of a hundred packets the worst hearer misses, by the last report, if there is one that
    /// was not seen to: [`NO_REPORT`] is none.
    lost: AtomicU8,
}

const NO_REPORT: u8 = u8::MAX;

impl Line {
    fn topic(&self) -> MutexGuard<'_, Option<Topic>> {
        // Nothing that can panic is done while it is locked.
        self.topic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream of this peer's voice. Push what is captured, as it comes.
pub struct AudioInput {
    number: u8,
    line: Arc<Line>,
    resampler: InputResampler,
    talker: Talker,
    desk: VoiceDesk,
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
        let topic = *self.line.topic();
        let length = (pcm.len() / self.channels.max(1)) as u64 * 1_000_000 / u64::from(self.rate);
        let now = self.clock.now().as_micros().saturating_sub(length);
        let room_time = now.saturating_add_signed(self.line.ahead.load(Ordering::Relaxed));
        let (talker, desk) = (&mut self.talker, &self.desk);
        let mut outcome = Ok(());
        self.resampler.push(media_time(room_time), pcm, |at, frame| {
            match talker.push(at, frame) {
                Ok(Some(packet)) => {
                    if let Some(topic) = topic {
                        // What there is no room for is counted at the desk.
                        let _taken = desk.speak(topic, packet.write());
                    }
                }
                Ok(None) => {}
                Err(error) => outcome = Err(error),
            }
        })?;
        Ok(outcome?)
    }

    /// How loud the last frame was.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.talker.level()
    }

    /// Whether what is said goes out: the stream is open at the relay.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.line.topic().is_some()
    }
}

/// Another's stream of voice. Read it at a loudspeaker's pace.
pub struct AudioOutput {
    name: StreamName,
    line: Arc<Line>,
    arrivals: Arrivals,
    playout: Playout,
    resampler: OutputResampler,
    mixer: Mixer,
    gain: Gain,
    clock: Clock,
    level: Option<Level>,
}

impl fmt::Debug for AudioOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AudioOutput").field("name", &self.name).finish_non_exhaustive()
    }
}

impl AudioOutput {
    /// Which stream it is.
    #[must_use]
    pub const fn name(&self) -> StreamName {
        self.name
    }

    /// Fills `out` with what is heard next, its channels interleaved and the same. Made for an audio
    /// callback: it never waits for anybody. Silence while nothing is said, and while the stream is
    /// closed.
    ///
    /// # Errors
    ///
    /// When `out` has more room for one channel than for another: nothing is played.
    pub fn read<S: Sample>(&mut self, out: &mut [S]) -> Result<(), AudioError> {
        let Self { arrivals, playout, mixer, gain, clock, level, .. } = self;
        self.resampler.pull(out, |block: &mut [f32; BLOCK]| {
            while let Some(arrival) = arrivals.pop() {
                if let Ok(packet) = Packet::read(arrival.packet().clone()) {
                    *level = Some(packet.level);
                    playout.on_packet(arrival.at, packet);
                }
            }
            playout.pull(clock.now(), block);
            mixer.add(block, gain);
            mixer.mix(block);
        })?;
        Ok(())
    }

    /// How loud it is played: 1 as it was said, 0 not at all, at most 4. Changes within 10 ms.
    pub const fn set_gain(&mut self, gain: f32) {
        self.gain.set(gain);
    }

    /// How loud the last packet was; nothing before the first.
    #[must_use]
    pub const fn level(&self) -> Option<Level> {
        self.level
    }

    /// How it is heard: delays, and what was lost.
    #[must_use]
    pub fn statistics(&self) -> PlayoutStatistics {
        self.playout.statistics()
    }

    /// Packets that were thrown away because it was not read for too long.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.arrivals.missed()
    }

    /// Whether the stream is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.line.topic().is_some()
    }
}

/// The inputs and outputs of a room.
#[derive(Debug, Default)]
pub(super) struct Voices {
    inputs: BTreeMap<u8, Arc<Line>>,
    outputs: BTreeMap<StreamName, Arc<Line>>,
}

impl Voices {
    /// Streams may have been opened or closed.
    pub(super) fn sync(&self, peer: &Peer, desk: &VoiceDesk) {
        for (number, line) in &self.inputs {
            let name = peer.client().map(|client| StreamName { client, number: *number });
            let stream = name.and_then(|name| peer.stream(name));
            let mine = stream.filter(|stream| Some(stream.epoch) == peer.stream_epoch(*number));
            *line.topic() = mine.map(|stream| stream.topic);
        }
        for (name, line) in &self.outputs {
            let topic = peer.stream(*name).map(|stream| stream.topic);
            let mut known = line.topic();
            if *known != topic {
                desk.follow(*known, topic, *name);
                *known = topic;
            }
        }
    }
}

impl<M: Model> Room<M> {
    /// Opens a stream of this peer's voice, at once or as soon as the room is there, and again whenever
    /// it comes back. [`VoiceEvent::Live`] says that it is heard, [`VoiceEvent::Refused`] that it is
    /// not opened. It is closed by [`Self::close_audio_input`].
    ///
    /// # Errors
    ///
    /// When the room has no network, this peer has as many streams as it may have, or the samples or the
    /// bitrate are none that can be used.
    pub fn create_audio_input(
        &mut self,
        options: AudioInputOptions,
    ) -> Result<AudioInput, AudioError> {
        let desk = self.carrier.as_ref().map(Carrier::voice).ok_or(AudioError::Offline)?;
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
        self.voices.inputs.insert(number, Arc::clone(&line));
        self.perform();
        let clock = self.clock;
        Ok(AudioInput { number, line, resampler, talker, desk, clock, rate, channels })
    }

    /// Closes a stream of this peer's voice. Nothing, if it has none of that number.
    pub fn close_audio_input(&mut self, number: u8) {
        self.peer.close_stream(number, self.clock.now());
        if let Some(line) = self.voices.inputs.remove(&number) {
            *line.topic() = None;
        }
        self.perform();
    }

    /// Says nothing on a stream of this peer's voice, or something again: everybody is told, and
    /// nothing goes out meanwhile, whatever is pushed.
    pub fn mute_audio_input(&mut self, number: u8, muted: bool) {
        if let Some(line) = self.voices.inputs.get(&number) {
            line.muted.store(muted, Ordering::Relaxed);
        }
        self.peer.mute_stream(number, muted, self.clock.now());
        self.perform();
    }

    /// What another says on one of its streams, for a device of a rate and so many channels. It goes on
    /// when the stream is closed and opened again. Of one stream the last output that was asked for
    /// hears.
    ///
    /// # Errors
    ///
    /// When no such stream is open, or the device's samples cannot be used.
    pub fn audio_output(
        &mut self,
        client: ClientNumber,
        number: u8,
        (rate, channels): (u32, usize),
    ) -> Result<AudioOutput, AudioError> {
        let carrier = self.carrier.as_ref().ok_or(AudioError::Offline)?;
        let (desk, clock) = (carrier.voice(), carrier.clock());
        let name = StreamName { client, number };
        let topic = self.peer.stream(name).ok_or(AudioError::Closed { name })?.topic;
        let resampler = OutputResampler::new(rate, channels)?;
        let playout = Playout::new(PlayoutConfig::default(), Opus.decoder()?);
        let (ear, arrivals) = Ear::ring(WAITING);
        desk.listen(topic, ear);
        let line = Arc::new(Line { topic: Mutex::new(Some(topic)), ..Line::default() });
        self.voices.outputs.insert(name, Arc::clone(&line));
        Ok(AudioOutput {
            name,
            line,
            arrivals,
            playout,
            resampler,
            mixer: Mixer::default(),
            gain: Gain::new(1.0),
            clock,
            level: None,
        })
    }

    /// Says whom this peer hears. It hears nobody before, and nothing comes.
    pub fn set_hearing(&mut self, hearing: Hearing) {
        self.peer.set_hearing(hearing, self.clock.now());
        self.perform();
    }

    /// The streams of voice that are open in the room, this peer's too.
    pub fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.peer.streams()
    }

    /// Whether nobody hears a peer, because a moderator says so:
    /// [`Request::Silence`](crate::Request::Silence).
    #[must_use]
    pub fn is_silenced(&self, peer: PeerId) -> bool {
        self.peer.is_silenced(peer)
    }

    /// Tells inputs what they need to know of the room.
    pub(super) fn keep_voices(&mut self) {
        let now = self.clock.now();
        let Some(room_time) = self.peer.room_time(now) else { return };
        let ahead = room_time.cast_signed().wrapping_sub(now.as_micros().cast_signed());
        self.voices.inputs.values().for_each(|line| line.ahead.store(ahead, Ordering::Relaxed));
    }

    pub(super) fn note_voice(&self, event: &VoiceEvent) {
        if let VoiceEvent::Reception { number, lost } = event
            && let Some(line) = self.voices.inputs.get(number)
        {
            line.lost.store(*lost, Ordering::Relaxed);
        }
    }
}
