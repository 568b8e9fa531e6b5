//! One stream of another's voice, for itself.

use std::fmt;

use super::AudioError;
use super::part::Part;
use crate::audio::BLOCK;
use crate::audio::mixer::Mixer;
use crate::audio::pcm::Sample;
use crate::audio::playout::statistics::PlayoutStatistics;
use crate::audio::resample::OutputResampler;
use crate::net::Clock;
use crate::proto::audio::packet::Level;
use crate::proto::audio::stream::StreamName;
use crate::proto::id::ClientNumber;
use crate::proto::model::Model;
use crate::room::Room;

/// Another's stream of voice, for who places each voice somewhere. Read it at a loudspeaker's pace.
pub struct AudioOutput {
    part: Part,
    resampler: OutputResampler,
    mixer: Mixer,
}

impl fmt::Debug for AudioOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AudioOutput").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl AudioOutput {
    pub(super) fn new(part: Part, (rate, channels): (u32, usize)) -> Result<Self, AudioError> {
        let resampler = OutputResampler::new(rate, channels)?;
        Ok(Self { part, resampler, mixer: Mixer::default() })
    }

    /// Which stream it is.
    #[must_use]
    pub const fn name(&self) -> StreamName {
        self.part.name
    }

    /// Fills `out` with what is heard next, its channels interleaved and the same. Made for an audio
    /// callback: it never waits for anybody, and allocates nothing but what the decoder does to make
    /// something up. Silence while nothing is said, and while the stream is closed.
    ///
    /// # Errors
    ///
    /// When `out` has more room for one channel than for another: nothing is played.
    pub fn read<S: Sample>(&mut self, out: &mut [S]) -> Result<(), AudioError> {
        let Self { part, mixer, .. } = self;
        self.resampler.pull(out, |block: &mut [f32; BLOCK]| {
            part.play(mixer, Clock::now);
            mixer.mix(block);
        })?;
        Ok(())
    }

    /// How loud it is played beside what [`Room::set_gain`] says of its member: 1 as that is, 0 not at
    /// all, at most 4, and both together at most 4. Changes within 10 ms.
    pub const fn set_gain(&mut self, gain: f32) {
        self.part.set_gain(gain);
    }

    /// How loud the last packet was; nothing before the first.
    #[must_use]
    pub const fn level(&self) -> Option<Level> {
        self.part.level()
    }

    /// How it is heard: delays, and what was lost.
    #[must_use]
    pub fn statistics(&self) -> PlayoutStatistics {
        self.part.statistics()
    }

    /// Packets that were thrown away because it was not read for too long.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.part.missed()
    }

    /// Whether the stream is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.part.is_open()
    }
}

impl<M: Model> Room<M> {
    /// What another says on one of its streams, for a device of a rate and so many channels. It goes on
    /// when the stream is closed and opened again under its name, until the room goes online anew. Where
    /// a relay counts members anew, as one that forgot the room does, a member may have another number
    /// than before: then it is silent, and another output is to be asked for. It never plays another
    /// member. Of one stream the last output that was asked for hears, and no
    /// [`Listener`](super::Listener) while it lives.
    ///
    /// # Errors
    ///
    /// When no such stream is open, or the device's samples cannot be used.
    pub fn audio_output(
        &mut self,
        client: ClientNumber,
        number: u8,
        device: (u32, usize),
    ) -> Result<AudioOutput, AudioError> {
        let carrier = self.carrier.as_ref().ok_or(AudioError::Offline)?;
        let name = StreamName { client, number };
        let stream = *self.peer.stream(name).ok_or(AudioError::Closed { name })?;
        let (part, kept) = self.voices.begin(&stream, carrier)?;
        let output = AudioOutput::new(part, device)?;
        self.voices.heard.output(&stream, kept, carrier);
        Ok(output)
    }
}
