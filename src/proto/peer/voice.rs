//! The voices of a room at a peer: its own streams, those of others, and whom it hears. What is said
//! goes past this to who records and plays it.

mod openings;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand_core::Rng;

use self::openings::Openings;
use super::Peer;
use super::connection::Connection;
use crate::proto::audio::stream::{
    Hearing, Stream, StreamEnd, StreamError, StreamName, Topic, Tune,
};
use crate::proto::event::voice::VoiceEvent;
use crate::proto::event::{Effect, Event};
use crate::proto::id::{ClientNumber, PeerId};
use crate::proto::reason::VOICE_SINCE;
use crate::proto::time::Time;
use crate::proto::wire::bounded::List;
use crate::proto::wire::message::{
    Asked, HearingRecord, ReceptionRecord, StreamRecord, VoiceAsked, VoiceTold,
};

/// The most streams of one report, by the specification.
const MOST_REPORTED: usize = 64;

/// What a peer knows of the voices in its room.
#[derive(Debug, Default)]
pub(super) struct Voice {
    own: BTreeMap<u8, Own>,
    /// What the relay of this link was told of each stream of this peer.
    said: BTreeMap<u8, Own>,
    /// How many openings of each the relay was told of, and has not answered: it answers in order.
    unanswered: Openings,
    /// Of which of its streams the relay is to be told.
    fresh: BTreeSet<u8>,
    /// Whom it hears, if it takes part; and whether the relay is to be told.
    hearing: Option<Hearing>,
    hearing_is_fresh: bool,
    /// How many of a hundred packets of others' streams it misses, where the relay is to be told; and
    /// what it was told.
    reports: BTreeMap<StreamName, u8>,
    reported: BTreeMap<StreamName, u8>,
    /// How this peer's streams are heard, where nobody has asked since it was told.
    receptions: BTreeMap<u8, u8>,
    /// All that are open, its own too.
    streams: BTreeMap<StreamName, Stream>,
    silenced: BTreeSet<PeerId>,
}

/// A stream of this peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Own {
    epoch: u32,
    muted: bool,
}

impl Voice {
    pub(super) fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.streams.values()
    }

    /// The streams of one member.
    pub(super) fn streams_of(&self, client: ClientNumber) -> impl Iterator<Item = &Stream> {
        let range = StreamName { client, number: 0 }..=StreamName { client, number: u8::MAX };
        self.streams.range(range).map(|(_, stream)| stream)
    }

    pub(super) fn stream(&self, name: StreamName) -> Option<&Stream> {
        self.streams.get(&name)
    }

    /// A stream that went on without a relay is over.
    pub(super) fn remove(&mut self, name: StreamName) {
        self.forget_report(name);
        self.streams.remove(&name);
    }

    pub(super) const fn hearing(&self) -> Option<&Hearing> {
        self.hearing.as_ref()
    }

    /// Whether nothing is said on a stream of this peer.
    pub(super) fn is_muted(&self, number: u8) -> bool {
        self.own.get(&number).is_some_and(|own| own.muted)
    }

    pub(super) fn take_silenced(&mut self) -> BTreeSet<PeerId> {
        std::mem::take(&mut self.silenced)
    }

    /// A relay has let this peer in: everything is said anew.
    fn begin(&mut self) {
        self.said.clear();
        self.unanswered.clear();
        self.reports.clear();
        self.reported.clear();
        self.fresh = self.own.keys().copied().collect();
        self.hearing_is_fresh = self.hearing.is_some();
    }

    /// The next thing that the relay is to be told.
    fn next(&mut self) -> Option<VoiceAsked> {
        if std::mem::take(&mut self.hearing_is_fresh)
            && let Some(Hearing { deaf, all, but }) = &self.hearing
        {
            let but = List::of(but.iter().copied());
            return Some(VoiceAsked::Hear(HearingRecord { deaf: *deaf, all: *all, but }));
        }
        while let Some(number) = self.fresh.pop_first() {
            let asked = self.next_of(number);
            if asked.is_some() {
                return asked;
            }
        }
        let mut reports = Vec::new();
        while reports.len() < MOST_REPORTED
            && let Some((name, lost)) = self.reports.pop_first()
        {
            self.reported.insert(name, lost);
            reports.push(ReceptionRecord { name, lost });
        }
        (!reports.is_empty()).then(|| VoiceAsked::Report(List::of(reports)))
    }

    fn forget_report(&mut self, name: StreamName) {
        self.reports.remove(&name);
        self.reported.remove(&name);
    }

    fn next_of(&mut self, number: u8) -> Option<VoiceAsked> {
        let (own, said) = (self.own.get(&number).copied(), self.said.get(&number).copied());
        match own {
            Some(own) => self.said.insert(number, own),
            None => self.said.remove(&number),
        };
        match (own, said) {
            (Some(own), Some(said)) if own == said => None,
            (Some(Own { epoch, muted }), Some(said)) if said.epoch == epoch => {
                Some(VoiceAsked::Mute { number, muted })
            }
            (Some(Own { epoch, muted }), _) => {
                self.unanswered.ask(number);
                Some(VoiceAsked::Open { number, epoch, muted })
            }
            (None, Some(_)) => Some(VoiceAsked::Close { number }),
            (None, None) => None,
        }
    }
}

impl Peer {
    /// Opens a stream of this peer's voice, now or as soon as it is in the room, and again whenever it
    /// comes back. [`VoiceEvent::Live`] says when it is heard, [`VoiceEvent::Refused`] that it is not
    /// opened: at once, if the relay carries no voice. Returns its number.
    ///
    /// # Errors
    ///
    /// When it has as many as it may have.
    pub fn open_stream(&mut self, muted: bool, now: Time) -> Result<u8, StreamError> {
        let limit = self.config.streams;
        let own = &self.voice.own;
        let number = (0..limit).find(|number| !own.contains_key(number));
        let number = number.ok_or(StreamError::TooMany { limit })?;
        let epoch = self.rng.next_u32();
        self.voice.own.insert(number, Own { epoch, muted });
        self.voice.fresh.insert(number);
        self.refuse_unsupported();
        self.drive(now);
        Ok(number)
    }

    /// Closes a stream of this peer. Nothing, if it has none of that number.
    pub fn close_stream(&mut self, number: u8, now: Time) {
        if self.voice.own.remove(&number).is_some() {
            self.voice.receptions.remove(&number);
            self.voice.fresh.insert(number);
            let me = self.peer();
            self.drop_held(|stream| stream.peer == me && stream.name.number == number);
            self.drive(now);
        }
    }

    /// Tells everybody that nothing is said on a stream of this peer, or something again; and the relay
    /// passes nothing on meanwhile. Nothing, if it has none of that number.
    pub fn mute_stream(&mut self, number: u8, muted: bool, now: Time) {
        if let Some(own) = self.voice.own.get_mut(&number).filter(|own| own.muted != muted) {
            own.muted = muted;
            self.voice.fresh.insert(number);
            self.mute_held(number, muted);
            self.share();
            self.drive(now);
        }
    }

    /// What tells the present opening of a stream of this peer from others: it is in every packet.
    #[must_use]
    pub fn stream_epoch(&self, number: u8) -> Option<u32> {
        self.voice.own.get(&number).map(|own| own.epoch)
    }

    /// Says whom this peer wants to hear. Until this was said, it hears nobody, and nothing is sent to
    /// it.
    pub fn set_hearing(&mut self, hearing: Hearing, now: Time) {
        if self.voice.hearing.as_ref() == Some(&hearing) {
            return;
        }
        let before = self.voice.hearing.replace(hearing.clone());
        self.voice.hearing_is_fresh = true;
        let me = self.client;
        let others = self
            .voice
            .streams
            .values()
            .filter(|stream| Some(stream.name.client) != me && !self.direct.holds(stream.name));
        let turned = others.filter_map(|Stream { name, peer, topic, .. }| {
            Hearing::turn(before.as_ref(), &hearing, *peer).map(|tune| (*name, *topic, tune))
        });
        for (name, topic, tune) in turned.collect::<Vec<_>>() {
            self.tune(topic, tune);
            // A relay forgets what was reported of whom this peer does not hear.
            self.voice.forget_report(name);
        }
        self.share();
        self.drive(now);
    }

    /// Whom this peer wants to hear, if it has said so.
    #[must_use]
    pub const fn hearing(&self) -> Option<&Hearing> {
        self.voice.hearing.as_ref()
    }

    /// Says how many of a hundred packets of others' streams do not arrive here, so that who speaks can
    /// add to them: of those that this peer hears, and as often as it likes, for the relay is told of
    /// what changes only. What is not told yet is replaced by what is said later.
    pub fn report_reception(
        &mut self,
        lost: impl IntoIterator<Item = (StreamName, u8)>,
        now: Time,
    ) {
        for (name, lost) in lost {
            let Voice { streams, hearing, .. } = &*self.voice;
            let hears = |stream: &Stream| hearing.as_ref().is_some_and(|it| it.hears(stream.peer));
            if !streams.get(&name).is_some_and(hears) {
                continue;
            }
            let lost = lost.min(100);
            if self.voice.reported.get(&name) == Some(&lost) {
                self.voice.reports.remove(&name);
            } else {
                self.voice.reports.insert(name, lost);
            }
        }
        self.drive(now);
    }

    /// How the worst hears this peer's streams ([`VoiceEvent::Reception`]), of each that was told of since
    /// this was asked last. It does not depend on anybody reading events.
    pub fn take_receptions(&mut self) -> BTreeMap<u8, u8> {
        std::mem::take(&mut self.voice.receptions)
    }

    /// The streams that are open in the room, this peer's too, by their names. While there is no relay,
    /// those that go on by direct links ([`PeerConfig::alone`](crate::PeerConfig::alone)).
    pub fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.voice.streams.values()
    }

    /// A stream that is open in the room.
    #[must_use]
    pub fn stream(&self, name: StreamName) -> Option<&Stream> {
        self.voice.streams.get(&name)
    }

    /// A stream of this peer that is open: where what it says is published to.
    #[must_use]
    pub fn live_stream(&self, number: u8) -> Option<&Stream> {
        let at_relay = self.client.and_then(|client| self.stream(StreamName { client, number }));
        let held = self.voice.streams().filter(|stream| self.direct.holds(stream.name));
        let mut open = at_relay.into_iter().chain(held);
        open.find(|stream| stream.name.number == number && self.is_current(stream))
    }

    /// Whether nobody hears a peer, because a moderator says so.
    #[must_use]
    pub fn is_silenced(&self, peer: PeerId) -> bool {
        self.voice.silenced.contains(&peer) || self.direct.is_silenced(peer)
    }

    /// Whether this peer is in a room whose relay carries voices: one that is older than protocol 2.5
    /// does not, and opens no stream.
    #[must_use]
    pub fn carries_voice(&self) -> bool {
        self.connection.as_ref().is_some_and(|open| open.is_in() && carries(open))
    }

    /// A relay has let this peer in.
    pub(super) fn begin_voice(&mut self, now: Time) {
        self.voice.begin();
        self.hand_over(now);
        self.refuse_unsupported();
    }

    /// A relay that knows no voices is asked for no streams: what it would say of them is said here.
    fn refuse_unsupported(&mut self) {
        if self.connection.as_ref().is_some_and(|open| open.is_in() && !carries(open)) {
            let numbers: Vec<u8> = self.voice.own.keys().copied().collect();
            numbers.into_iter().for_each(|number| self.refuse(number, StreamError::Unsupported));
        }
    }

    /// A stream of this peer is none any more.
    fn refuse(&mut self, number: u8, why: StreamError) {
        self.voice.own.remove(&number);
        self.voice.said.remove(&number);
        self.voice.receptions.remove(&number);
        let me = self.peer();
        self.drop_held(|stream| stream.peer == me && stream.name.number == number);
        self.tell(Event::Voice(VoiceEvent::Refused { number, why }));
    }

    /// Without a relay, what it would say of a muted stream is so at once.
    fn mute_held(&mut self, number: u8, muted: bool) {
        let me = self.peer();
        let streams = self.voice.streams.values_mut();
        let mine = |it: &&mut Stream| it.peer == me && it.name.number == number;
        if let Some(stream) = streams.filter(mine).find(|stream| self.direct.holds(stream.name)) {
            stream.muted = muted;
            let name = stream.name;
            self.tell(Event::Voice(VoiceEvent::Muted { name, muted }));
        }
    }

    pub(super) fn on_voice(&mut self, told: VoiceTold) {
        match told {
            VoiceTold::Opened(record) => self.on_opened(record),
            // Of what goes on without it, a relay knows nothing.
            VoiceTold::Closed { name, .. } | VoiceTold::Muted { name, .. }
                if self.direct.holds(name) => {}
            VoiceTold::Closed { name, why } => {
                self.voice.forget_report(name);
                if why == StreamEnd::Left && self.goes_on(name) {
                    let topic = self.voice.stream(name).map(|stream| stream.topic);
                    topic.into_iter().for_each(|topic| self.tune(topic, Tune::Off));
                } else if let Some(stream) = self.voice.streams.remove(&name) {
                    self.share();
                    self.tune(stream.topic, Tune::Off);
                    if Some(name.client) != self.client {
                        self.tell(closed(&stream, Some(why)));
                    }
                }
            }
            VoiceTold::Muted { name, muted } => {
                if let Some(stream) = self.voice.streams.get_mut(&name) {
                    stream.muted = muted;
                    self.tell(Event::Voice(VoiceEvent::Muted { name, muted }));
                }
            }
            VoiceTold::Silenced { peer, silenced } => {
                let (silences, limit) = (&mut self.voice.silenced, self.config.limits.streams);
                let has_room = silences.len() < limit;
                if silenced && !has_room && !silences.contains(&peer) {
                    tracing::debug!(%peer, limit, "not known to be silenced: too many are");
                }
                let news = match silenced {
                    true => has_room && silences.insert(peer),
                    false => silences.remove(&peer),
                };
                if news {
                    self.share();
                    self.tell(Event::Voice(VoiceEvent::Silenced { peer, silenced }));
                }
            }
            VoiceTold::Refused { number, why } => {
                let refused = self.refused(number);
                // Unless it was opened anew meanwhile.
                if refused.is_some() && refused == self.stream_epoch(number) {
                    self.refuse(number, why);
                }
            }
            VoiceTold::Reception { number, lost } => {
                if self.voice.own.contains_key(&number) {
                    let lost = lost.min(100);
                    self.voice.receptions.insert(number, lost);
                    self.tell(Event::Voice(VoiceEvent::Reception { number, lost }));
                }
            }
            VoiceTold::Expires { seconds } => {
                let after = Duration::from_secs(u64::from(seconds));
                self.tell(Event::Voice(VoiceEvent::Expires { after }));
            }
        }
    }

    /// Which opening of a stream of this peer the relay refuses: the one that is open there, or else the
    /// oldest that it has not answered. Only the last of those is of interest still.
    fn refused(&mut self, number: u8) -> Option<u32> {
        let name = self.client.map(|client| StreamName { client, number });
        let name = name.filter(|name| !self.direct.holds(*name));
        if let Some(open) = name.and_then(|name| self.voice.streams.get(&name)) {
            return Some(open.epoch);
        }
        let is_last = self.voice.unanswered.answer(number);
        self.voice.said.get(&number).filter(|_| is_last).map(|said| said.epoch)
    }

    fn on_opened(&mut self, record: StreamRecord) {
        let StreamRecord { name, peer, topic, epoch, muted } = record;
        if Some(name.client) == self.client {
            self.voice.unanswered.answer(name.number);
        }
        let stream = Stream { name, peer, epoch, muted, topic };
        let goes_over = self.reopened(&stream);
        // A relay that tells of more than a room can hold is not believed.
        let known = self.voice.streams.contains_key(&name);
        let limit = self.config.limits.streams;
        if !known && self.voice.streams.len() >= limit {
            tracing::debug!(?name, limit, "a stream is not known: too many are open");
            return;
        }
        self.voice.forget_report(name);
        if let Some(before) = self.voice.streams.insert(name, stream)
            && goes_over.is_none()
        {
            self.tune(before.topic, Tune::Off);
        }
        if Some(name.client) == self.client {
            let mine = self.voice.own.get(&name.number).is_some_and(|own| own.epoch == epoch);
            if mine {
                self.tune(topic, Tune::Speak);
                self.share();
                self.tell(Event::Voice(VoiceEvent::Live { number: name.number }));
            }
            return;
        }
        if self.voice.hearing.as_ref().is_some_and(|hearing| hearing.hears(peer)) {
            self.tune(topic, Tune::Hear);
        }
        self.share();
        match goes_over {
            None => self.tell(Event::Voice(VoiceEvent::Opened(stream))),
            Some(before) if before.muted != muted => {
                self.tell(Event::Voice(VoiceEvent::Muted { name, muted }));
            }
            Some(_) => {}
        }
    }

    fn tune(&mut self, topic: Topic, tune: Tune) {
        if let Some(open) = &self.connection {
            self.effects.push_back(Effect::Tune { link: open.link, topic, tune });
        }
    }

    /// The link is gone, and with it every stream but those that go on without it until a time.
    pub(super) fn hang_up_voice(&mut self, was_in: bool, until: Option<Time>) {
        self.hold_voice(was_in, until);
        self.voice.silenced.clear();
        self.voice.said.clear();
        self.voice.unanswered.clear();
        self.voice.reports.clear();
        self.voice.reported.clear();
        let me = self.client;
        let streams = std::mem::take(&mut self.voice.streams);
        let (held, over): (BTreeMap<_, _>, BTreeMap<_, _>) =
            streams.into_iter().partition(|(name, _)| self.direct.holds(*name));
        self.voice.streams = held;
        // What is over is not said directly either.
        self.share();
        for stream in over.into_values() {
            if Some(stream.name.client) != me {
                self.tell(closed(&stream, None));
            }
        }
    }

    /// Moves what the relay is to be told to what is on its way there, as long as little is.
    pub(super) fn next_voice(&mut self) -> Option<Asked> {
        let open = self.connection.as_ref().is_some_and(carries);
        open.then(|| self.voice.next()).flatten().map(Asked::Voice)
    }
}

pub(super) const fn closed(stream: &Stream, why: Option<StreamEnd>) -> Event {
    Event::Voice(VoiceEvent::Closed { name: stream.name, peer: stream.peer, why })
}

/// Whether the relay of a link carries voices.
fn carries(open: &Connection) -> bool {
    open.theirs.as_ref().is_some_and(|hello| hello.version.minor >= VOICE_SINCE)
}
