//! What a speaker sends: talk spurts, and how loud it is between them.
//!
//! `datastore-spec/speaking.md` says when which packet is sent.
//!
//! ```
//! use parlor::audio::grid::media_time;
//! use parlor::audio::input::{TalkConfig, Talker};
//! use parlor::audio::opus::Opus;
//! use parlor::audio::resample::InputResampler;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut microphone = InputResampler::new(44_100, 2)?;
//! let mut talker = Talker::new(TalkConfig::default(), &Opus, 0x7a1c)?;
//! let mut packets = Vec::new();
//! // A second, captured at this room time.
//! let (captured, room_time) = (vec![0_i16; 88_200], 1_700_000_000_000_000);
//! microphone.push(media_time(room_time), &captured, |at, piece| {
//!     packets.extend(talker.push(at, piece).ok().flatten());
//! })?;
//! // Nothing was said: this is how loud that was, every 400 ms.
//! assert_eq!(packets.len(), 2);
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::activity::{Activity, ActivityConfig, Detector};
use super::adaptation::{Adaptation, AdaptationConfig, Advice, Redundancy};
use super::codec::{Codec, CodecError, Encoded, Encoder, EncoderSettings};
use super::grid::Grid;
use super::level::{dbov, under_overload};
use super::pcm::sound;
use super::{FRAME, FRAME_TIME};
use crate::proto::audio::packet::{Kind, Level, MAX_PAYLOAD, Packet};
use crate::proto::time::Time;

/// How a stream is spoken.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct TalkConfig {
    /// Bits a second while something is said, on average, headers not counted: what
    /// [`EncoderSettings::bitrate`] allows.
    pub bitrate: u32,
    /// How much work the encoder does: see [`EncoderSettings::complexity`].
    pub complexity: u8,
    /// Whether silence ends a talk spurt. Without it all is sent but what is muted, as for music.
    pub discontinuous: bool,
    /// Whether losses that listeners report are met with redundancy. On a path that loses nothing that
    /// only costs bytes.
    pub redundant: bool,
    /// How long is between two packets that tell how loud the silence is; none are sent for 0.
    pub comfort_every: Duration,
    /// How often the end of a talk spurt is said, once each frame. At 0 it is not.
    pub ends: u8,
    /// When somebody counts as speaking.
    pub activity: ActivityConfig,
    /// How losses are met.
    pub adaptation: AdaptationConfig,
}

impl Default for TalkConfig {
    fn default() -> Self {
        Self {
            bitrate: 32_000,
            complexity: 10,
            discontinuous: true,
            redundant: true,
            comfort_every: Duration::from_millis(400),
            ends: 3,
            activity: ActivityConfig::default(),
            adaptation: AdaptationConfig::default(),
        }
    }
}

/// The speaking end of one stream: frames in, packets out, at most one for each.
///
/// A talk spurt begins with the first frame that is voice, and ends with the first that is silence, by
/// the detector or by the codec. Its end is said [`TalkConfig::ends`] times, a frame apart, unless
/// another begins meanwhile; then it is said how loud the silence is, now and then. Nothing at all is
/// sent while muted, but the end of what was being said.
pub struct Talker {
    config: TalkConfig,
    encoder: Box<dyn Encoder>,
    detector: Detector,
    adaptation: Adaptation,
    /// The loss that was reported since the last frame.
    reported: Option<u8>,
    /// What the encoder was last told.
    told: Option<Advice>,
    grid: Grid,
    epoch: u32,
    sequence: u16,
    frames: u64,
    muted: bool,
    level: Level,
    spurt: Spurt,
    encoded: Box<[u8]>,
}

/// Where a stream is.
#[derive(Clone, Debug)]
enum Spurt {
    /// Nothing is said, and nothing was sent for so many frames.
    Silent { frames: u32 },
    /// A talk spurt, whose next frame begins at `next`, and the frame before that.
    Talking { next: u64, last: Bytes },
    /// A talk spurt was over at `at`, and it is to be said so often.
    Ending { left: u8, at: u64 },
}

const SILENT: Level = Level { voice: false, dbov: Level::SILENCE };

impl Talker {
    /// The speaking end of a new stream. Its epoch is drawn by the caller, anew for each stream.
    ///
    /// # Errors
    ///
    /// As [`Codec::encoder`].
    pub fn new(config: TalkConfig, codec: &dyn Codec, epoch: u32) -> Result<Self, CodecError> {
        let settings = EncoderSettings {
            bitrate: config.bitrate,
            complexity: config.complexity,
            loss: 0,
            discontinuous: config.discontinuous,
        };
        Ok(Self {
            config,
            encoder: codec.encoder(&settings)?,
            detector: Detector::new(config.activity),
            adaptation: Adaptation::new(config.adaptation, config.bitrate),
            reported: None,
            told: None,
            grid: Grid::default(),
            epoch,
            sequence: 0,
            frames: 0,
            muted: false,
            level: SILENT,
            spurt: Spurt::Silent { frames: 0 },
            encoded: vec![0; MAX_PAYLOAD].into(),
        })
    }

    /// Takes what was captured next, at most 20 ms, of which the first sample is of a media time
    /// ([`grid`](super::grid)), and returns the packet that is to be sent now, if there is one. Samples
    /// may be anything; those that are no numbers count as 0. What is beyond 20 ms is left out.
    ///
    /// It is to be called also while muted, and for 60 ms after that even without a device: then with
    /// silence.
    ///
    /// # Errors
    ///
    /// As [`Encoder::encode`]. The frame is lost, and the next may be given.
    pub fn push(&mut self, at: u64, pcm: &[f32]) -> Result<Option<Packet>, CodecError> {
        let quiet = !matches!(self.spurt, Spurt::Talking { .. });
        let mut sounds = [0.0; FRAME];
        for (to, from) in sounds.iter_mut().zip(pcm) {
            *to = sound(*from);
        }
        let sounds = &sounds[..pcm.len().min(FRAME)];
        let Some((at, frame)) = self.grid.push(at, sounds, quiet) else {
            return Ok(None);
        };
        let frame = *frame;
        self.frames += 1;
        self.adapt(at);
        if self.muted {
            return Ok(self.rest(at));
        }
        let activity = self.detector.observe(&frame);
        let voice = activity == Activity::Voice;
        self.level = Level { voice, dbov: under_overload(dbov(&frame)) };
        let speaks = match activity {
            Activity::Voice => true,
            Activity::Pause => !quiet,
            Activity::Silence => false,
        };
        if !speaks && self.config.discontinuous {
            return Ok(self.rest(at));
        }
        match self.encoder.encode(&frame, &mut self.encoded)? {
            Encoded::Frame(length) => {
                let frame = Bytes::copy_from_slice(&self.encoded[..length]);
                Ok(Some(self.talk(at, frame)))
            }
            Encoded::Silence => {
                self.detector.correct();
                self.level.voice = false;
                Ok(self.rest(at))
            }
        }
    }

    /// Stops or goes on sending what is said.
    pub const fn set_muted(&mut self, muted: bool) {
        self.muted = muted;
        self.level = SILENT;
    }

    /// Whether nothing is sent of what is said.
    #[must_use]
    pub const fn is_muted(&self) -> bool {
        self.muted
    }

    /// How many frames were full until now, of each of which the level was known then.
    #[must_use]
    pub const fn frames(&self) -> u64 {
        self.frames
    }

    /// How loud the last frame was; silence while muted.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.level
    }

    /// Takes the share of this stream's packets that the worst listener reports to lose, in percent. It
    /// holds until the next.
    pub const fn on_report(&mut self, loss: u8) {
        self.reported = Some(loss);
    }

    /// Tells the encoder what follows from the losses, if that is news.
    fn adapt(&mut self, at: u64) {
        let now = Time::from_micros(at.saturating_mul(125) / 6);
        if let Some(loss) = self.reported.take() {
            self.adaptation.report(now, loss);
        }
        let advice = match self.config.redundant {
            true => self.adaptation.advise(now),
            false => Advice { redundancy: Redundancy::Corrected(0), bitrate: self.config.bitrate },
        };
        if self.told == Some(advice) {
            return;
        }
        self.told = Some(advice);
        let loss = match advice.redundancy {
            Redundancy::Corrected(loss) => loss,
            Redundancy::Repeated => 0,
        };
        self.encoder.set_bitrate(advice.bitrate);
        self.encoder.set_loss(loss);
    }

    /// Something is said.
    fn talk(&mut self, at: u64, frame: Bytes) -> Packet {
        let next = at.saturating_add(FRAME as u64);
        let talking = Spurt::Talking { next, last: frame.clone() };
        let repeats = self.told.is_some_and(|advice| advice.redundancy == Redundancy::Repeated);
        let (first, previous) = match std::mem::replace(&mut self.spurt, talking) {
            Spurt::Talking { next, last } => (false, Some(last).filter(|_| repeats && next == at)),
            Spurt::Silent { .. } | Spurt::Ending { .. } => (true, None),
        };
        Packet { first, previous, frame, ..self.packet(Kind::Audio, at) }
    }

    /// Nothing is said.
    fn rest(&mut self, at: u64) -> Option<Packet> {
        if matches!(self.spurt, Spurt::Talking { .. }) {
            self.spurt = Spurt::Ending { left: self.config.ends, at };
        }
        match &mut self.spurt {
            Spurt::Ending { left: left @ 1.., at } => {
                *left -= 1;
                let at = *at;
                Some(self.packet(Kind::End, at))
            }
            Spurt::Ending { left: 0, .. } | Spurt::Talking { .. } => {
                self.spurt = Spurt::Silent { frames: 1 };
                None
            }
            Spurt::Silent { frames } => {
                *frames = frames.saturating_add(1);
                let every = self.config.comfort_every;
                if self.muted || every.is_zero() || FRAME_TIME * *frames < every {
                    return None;
                }
                *frames = 0;
                Some(self.packet(Kind::Comfort, at))
            }
        }
    }

    fn packet(&mut self, kind: Kind, at: u64) -> Packet {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        #[expect(clippy::cast_possible_truncation, reason = "a packet has the low 32 bits")]
        let time = at as u32;
        Packet {
            kind,
            first: false,
            level: self.level,
            sequence,
            time,
            epoch: self.epoch,
            previous: None,
            frame: Bytes::new(),
        }
    }
}

impl fmt::Debug for Talker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Talker")
            .field("epoch", &self.epoch)
            .field("sequence", &self.sequence)
            .field("muted", &self.muted)
            .field("spurt", &self.spurt)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
