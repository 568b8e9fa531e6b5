//! What an application says in its room, and hears.
//!
//! Samples do not pass through the room: an [`AudioInput`], an [`AudioOutput`] and a [`Listener`] are
//! the application's own, on whatever threads its devices call, and meet the network past the room. The
//! room opens and closes streams, and tells who speaks.

mod heard;
mod hearing;
mod input;
mod listener;
mod meters;
mod output;
mod part;
mod service;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use thiserror::Error;

use self::heard::Heard;
pub use self::hearing::MembersFull;
use self::hearing::Wishes;
use self::input::Own;
pub use self::input::{AudioInput, AudioInputOptions};
pub use self::listener::Listener;
use self::listener::Listening;
use self::meters::Meters;
pub use self::output::AudioOutput;
use self::part::{Kept, Part};
use self::service::Service;
pub use self::service::VoiceOptions;
use super::Room;
use crate::audio::codec::CodecError;
use crate::audio::resample::ResampleError;
use crate::net::{Carrier, VoiceDesk};
use crate::proto::audio::stream::{Hearing, Stream, StreamError, StreamName};
use crate::proto::event::voice::VoiceEvent;
use crate::proto::event::{Event, State, overrun, wait};
use crate::proto::id::PeerId;
use crate::proto::model::Model;
use crate::proto::peer::Peer;
use crate::proto::time::Time;

/// How often the relay is told how well streams are heard.
const REPORT_EVERY: Duration = Duration::from_secs(1);

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

/// What a room has of voice.
#[derive(Debug, Default)]
pub(super) struct Voices {
    options: VoiceOptions,
    service: Service,
    wishes: Wishes,
    inputs: BTreeMap<u8, Own>,
    heard: Heard,
    meters: Option<Meters>,
    /// When the relay is told how well streams are heard.
    report: Time,
    /// Events that wait for the application.
    told: VecDeque<Event>,
}

impl Voices {
    /// Of a room that takes part in voice from the beginning, or does not.
    pub(super) fn new(options: Option<VoiceOptions>) -> Self {
        let mut voices = Self::default();
        if let Some(options) = options {
            voices.wishes = Wishes::new(options.hearing.clone());
            voices.options = options;
            voices.service.want();
        }
        voices
    }

    fn base(&mut self, hearing: Hearing) -> Result<(), MembersFull> {
        self.wishes.set_base(Some(hearing))
    }

    fn forget_base(&mut self) {
        // Nobody is no exception.
        self.wishes.set_base(None).ok();
    }

    /// Both ends of a stream that is open.
    fn begin(&self, stream: &Stream, carrier: &Carrier) -> Result<(Part, Kept), AudioError> {
        heard::begin(stream, &self.options, carrier)
    }

    fn begin_listening(&mut self, listening: Listening, carrier: Option<&Carrier>) {
        self.heard.listen(listening, carrier);
    }

    /// Levels and speakers are told of by other options, or of another network.
    fn change_meters(&mut self, carrier: &Carrier) {
        let meters = Meters::new(carrier, &self.options);
        let before = self.meters.replace(meters);
        before.into_iter().flat_map(Meters::end).for_each(|event| self.tell(event));
    }

    /// Streams may have been opened or closed.
    fn sync(&mut self, peer: &Peer, carrier: &Carrier, now: Time) {
        let desk = carrier.voice();
        for (number, own) in &self.inputs {
            own.follow(peer.live_stream(*number).map(|stream| stream.topic), &desk);
        }
        self.heard.sync(peer, carrier, &self.options, now);
        if let Some(meters) = &mut self.meters {
            meters.sync(peer);
        }
    }

    /// The room may be in another state, at a relay that carries voices or not. Returns whether the application is told of that.
    fn observe(&mut self, state: &State, is_carried: bool) -> bool {
        let news = self.service.observe(state, is_carried);
        let changed = news.is_some();
        news.into_iter().for_each(|event| self.tell(event));
        changed
    }

    /// Tells the application. Of levels that it did not read only the last are kept.
    fn tell(&mut self, event: VoiceEvent) {
        wait(&mut self.told, Event::Voice(event));
    }
}

impl<M: Model> Room<M> {
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

    /// The room is about to go online on another network than before, which had a desk if there was one.
    pub(super) fn change_network(&mut self, before: Option<VoiceDesk>) {
        self.voices.heard.begin_network(before.as_ref());
        if let Some(carrier) = &self.carrier {
            self.voices.change_meters(carrier);
        }
        self.tell_hearing();
    }

    /// Does what follows for voice from what the machine has done.
    pub(super) fn follow_voices(&mut self, tuned: bool) {
        let changed = self.voices.observe(self.peer.state(), self.peer.carries_voice());
        if let Some(carrier) = self.carrier.as_ref().filter(|_| tuned || changed) {
            self.voices.sync(&self.peer, carrier, self.clock.now());
        }
    }

    /// Lets happen of voice what is due.
    pub(super) fn keep_voices(&mut self) {
        let now = self.clock.now();
        // Not the room's time, which may stand still: what is captured goes on.
        if let Some(ahead) = self.peer.clock_ahead() {
            self.voices.inputs.values().for_each(|own| own.set_ahead(ahead));
        }
        for (number, lost) in self.peer.take_receptions() {
            if let Some(own) = self.voices.inputs.get(&number) {
                own.set_lost(lost);
            }
        }
        if self.voices.heard.tick(self.carrier.as_ref(), now) {
            self.follow_voices(true);
        }
        let Voices { meters, inputs, .. } = &mut self.voices;
        let told = meters.as_mut().map(|meters| meters.tick(&self.peer, inputs));
        told.into_iter().flatten().for_each(|event| self.voices.tell(event));
        if now >= self.voices.report {
            self.voices.report = now + REPORT_EVERY;
            self.peer.report_reception(self.voices.heard.losses(), now);
            self.perform();
        }
        let capacity = self.peer.config().event_capacity;
        if self.voices.told.len() > capacity {
            overrun(&mut self.voices.told, capacity);
        }
    }

    /// When to call [`Self::keep_voices`] next, if ever.
    pub(super) fn voices_due(&self, now: Time) -> Option<Time> {
        let voices = &self.voices;
        let levels = voices.meters.as_ref().and_then(Meters::due).map(|wait| now + wait);
        let report = voices.heard.is_any().then_some(voices.report);
        [levels, report, voices.heard.due()].into_iter().flatten().min()
    }

    /// What is told next: what the machine tells, or what there is of voice.
    pub(super) fn next_voice(&mut self, event: Option<Event>) -> Option<Event> {
        event.or_else(|| self.voices.told.pop_front())
    }
}
