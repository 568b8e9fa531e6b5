//! Everybody who is heard, in one output.
//!
//! The room and a device's thread hand parts to each other by rings that never fill: so many parts
//! are out at most, each comes once, goes once and is given back once.

use std::fmt;

use rtrb::{Consumer, Producer, PushError, RingBuffer};

use super::AudioError;
use super::part::Part;
use crate::audio::BLOCK;
#[cfg(feature = "dsp")]
use crate::audio::acoustics::Played;
use crate::audio::mixer::Mixer;
use crate::audio::pcm::Sample;
use crate::audio::resample::OutputResampler;
use crate::net::Clock;
use crate::proto::audio::stream::StreamName;
use crate::proto::model::Model;
use crate::proto::time::Time;
use crate::room::Room;

/// What a room hands over.
#[derive(Debug)]
enum Hand {
    /// Play this, too.
    Add(Box<Part>),
    /// Give that one back.
    Remove(StreamName),
}

/// All voices that this peer hears, mixed. Read it at a loudspeaker's pace.
///
/// Streams come and go by themselves, at the room's next tick. One that was closed is heard for
/// [`VoiceOptions::linger`](super::VoiceOptions::linger) more, and one that is not to be heard any more
/// fades out within 10 ms.
pub struct Listener {
    hands: Consumer<Hand>,
    back: Producer<Box<Part>>,
    #[expect(
        clippy::vec_box,
        reason = "a part is given back in its box, so that nothing is freed"
    )]
    parts: Vec<Box<Part>>,
    resampler: OutputResampler,
    mixer: Mixer,
    #[cfg(feature = "dsp")]
    played: Option<Played>,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("parts", &self.parts).finish_non_exhaustive()
    }
}

impl Listener {
    /// Fills `out` with what is heard next, its channels interleaved and the same. Made for an audio
    /// callback: it never waits, locks or frees, and allocates nothing but what the decoders do, at
    /// first and to make something up.
    ///
    /// # Errors
    ///
    /// When `out` has more room for one channel than for another: nothing is played.
    pub fn read<S: Sample>(&mut self, out: &mut [S]) -> Result<(), AudioError> {
        self.play(out, Clock::now)
    }

    /// [`Self::read`], as of the time that a clock shows.
    fn play<S: Sample>(
        &mut self,
        out: &mut [S],
        time: impl Fn(&Clock) -> Time,
    ) -> Result<(), AudioError> {
        self.take();
        let Self { back, parts, mixer, .. } = self;
        #[cfg(feature = "dsp")]
        let played = &mut self.played;
        self.resampler.pull(out, |block: &mut [f32; BLOCK]| {
            parts.iter_mut().for_each(|part| part.play(mixer, &time));
            give_back(parts, back);
            mixer.mix(block);
            #[cfg(feature = "dsp")]
            if let Some(played) = played {
                // Of what there is no room for the echo stays.
                played.push(block);
            }
        })?;
        Ok(())
    }

    /// How loud everything is played beside what [`Room::set_gain`] says of each member: 1 as it was
    /// said, 0 not at all, at most 4. Changes within 10 ms.
    pub const fn set_gain(&mut self, gain: f32) {
        self.mixer.set_gain(gain);
    }

    /// From now on says what it plays to the acoustics of a microphone that hears the loudspeaker: see
    /// [`AudioInput::set_acoustics`](super::AudioInput::set_acoustics).
    #[cfg(feature = "dsp")]
    pub fn set_played(&mut self, played: Played) {
        self.played = Some(played);
    }

    /// How many streams are mixed, silent ones too.
    #[must_use]
    pub const fn voices(&self) -> usize {
        self.parts.len()
    }

    /// Takes what the room has handed over.
    fn take(&mut self) {
        while let Ok(hand) = self.hands.pop() {
            match hand {
                Hand::Add(part) => self.parts.push(part),
                Hand::Remove(name) => {
                    let part = self.parts.iter_mut().find(|it| it.name == name && !it.ends);
                    if let Some(part) = part {
                        part.ends = true;
                    }
                }
            }
        }
    }
}

/// Gives back what has played its last block.
#[expect(clippy::vec_box, reason = "a part is given back in its box, so that nothing is freed")]
fn give_back(parts: &mut Vec<Box<Part>>, back: &mut Producer<Box<Part>>) {
    while let Some(at) = parts.iter().position(|part| part.over) {
        let part = parts.swap_remove(at);
        if let Err(PushError::Full(part)) = back.push(part) {
            parts.push(part);
            return;
        }
    }
}

/// The room's end of a listener.
#[derive(Debug)]
pub(super) struct Listening {
    hands: Producer<Hand>,
    back: Consumer<Box<Part>>,
    /// How many parts are not here.
    out: usize,
    most: usize,
}

impl Listening {
    /// Both ends, for a device of a rate and so many channels, and at most so many streams.
    pub(super) fn new(
        (rate, channels): (u32, usize),
        most: usize,
    ) -> Result<(Listener, Self), AudioError> {
        let resampler = OutputResampler::new(rate, channels)?;
        let (hands, taken) = RingBuffer::new(most * 2);
        let (given, back) = RingBuffer::new(most);
        let parts = Vec::with_capacity(most);
        let mixer = Mixer::default();
        let listener = Listener {
            hands: taken,
            back: given,
            parts,
            resampler,
            mixer,
            #[cfg(feature = "dsp")]
            played: None,
        };
        Ok((listener, Self { hands, back, out: 0, most }))
    }

    /// Whether nobody listens any more.
    pub(super) fn is_over(&self) -> bool {
        self.hands.is_abandoned()
    }

    /// Whether another stream can be listened to.
    pub(super) const fn has_room(&self) -> bool {
        self.out < self.most
    }

    pub(super) fn add(&mut self, part: Part) {
        if self.hands.push(Hand::Add(Box::new(part))).is_ok() {
            self.out += 1;
        }
    }

    pub(super) fn remove(&mut self, name: StreamName) {
        // It has room: of each part that is out this is said once.
        self.hands.push(Hand::Remove(name)).ok();
    }

    /// Drops what was given back. Returns what that was.
    pub(super) fn tidy(&mut self) -> Vec<StreamName> {
        let back: Vec<_> =
            std::iter::from_fn(|| self.back.pop().ok()).map(|part| part.name).collect();
        self.out -= back.len();
        back
    }
}

impl<M: Model> Room<M> {
    /// All that this peer hears, mixed, for a device of a rate and so many channels: who is heard is
    /// said by [`Self::join_voice`] or [`Self::set_hearing`]. A stream that has an
    /// [`AudioOutput`](super::AudioOutput) is not in it while that lives. Works before the room is
    /// online, and again whenever it is. At most
    /// [`VoiceOptions::voices`](super::VoiceOptions::voices) streams are in it; of one more, the newest is
    /// not heard until another goes. Of two listeners the last that was asked for hears.
    ///
    /// # Errors
    ///
    /// When the device's samples cannot be used.
    pub fn listen(&mut self, device: (u32, usize)) -> Result<Listener, AudioError> {
        let (listener, listening) = Listening::new(device, self.voices.options.voices)?;
        self.voices.begin_listening(listening, self.carrier.as_ref());
        self.follow_voices(true);
        Ok(listener)
    }
}

#[cfg(test)]
mod tests;
