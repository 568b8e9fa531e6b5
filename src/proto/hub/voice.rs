//! Voices at a relay: which streams are open, who may speak, and who hears whom. What is said is
//! passed on as it comes, or not at all.

pub(super) mod allowance;

use std::collections::{BTreeMap, BTreeSet};

use rand_core::Rng;

use super::Hub;
use super::guest::Guest;
use crate::proto::audio::packet::{Kind, Packet};
use crate::proto::audio::stream::{Hearing, StreamEnd, StreamError, StreamName, Topic, Tune};
use crate::proto::event::Effect;
use crate::proto::id::{ClientNumber, Link, PeerId, RoomKey};
use crate::proto::reason::{ServiceError, VOICE_SINCE};
use crate::proto::time::Time;
use crate::proto::wire::message::{
    HearingRecord, ReceptionRecord, StreamRecord, Told, VoiceAsked, VoiceTold,
};

use bytes::Bytes;

/// The voices of a room.
#[derive(Debug, Default)]
pub(super) struct Voices {
    streams: BTreeMap<StreamName, Open>,
    /// Whom nobody hears, because a moderator says so.
    silenced: BTreeSet<PeerId>,
}

/// A stream that is open.
#[derive(Debug)]
struct Open {
    record: StreamRecord,
    /// By which link its owner is here.
    link: Link,
    /// Until then ends are passed on, though it is muted.
    ends_until: Time,
    /// How many packets of a hundred each hearer misses that said so.
    lost: BTreeMap<ClientNumber, u8>,
    /// The most of them that its owner was told.
    told: Option<u8>,
}

impl Open {
    /// How many packets of a hundred the worst hearer misses, if that is not what its owner was told.
    fn news(&mut self) -> Option<u8> {
        // When nobody is left who said something, nobody misses anything.
        let worst = self.lost.values().max().copied().or_else(|| self.told.map(|_| 0));
        let news = worst.filter(|_| worst != self.told);
        self.told = worst.or(self.told);
        news
    }
}

impl Voices {
    /// How many streams a member has.
    fn count(&self, client: ClientNumber) -> usize {
        self.streams_of(client).count()
    }

    fn streams_of(&self, client: ClientNumber) -> impl Iterator<Item = StreamName> {
        let range = StreamName { client, number: 0 }..=StreamName { client, number: u8::MAX };
        self.streams.range(range).map(|(name, _)| *name)
    }

    /// What who comes in is told of.
    pub(super) fn all(&self) -> impl Iterator<Item = VoiceTold> {
        let open = self.streams.values().map(|open| VoiceTold::Opened(open.record));
        let silenced = self.silenced.iter();
        open.chain(silenced.map(|peer| VoiceTold::Silenced { peer: *peer, silenced: true }))
    }
}

impl Hub {
    /// A member says something of its voice, or of what it hears.
    pub(super) fn on_voice(&mut self, now: Time, link: Link, asked: VoiceAsked) {
        let Some((key, client)) = self.speaker(link) else { return };
        match asked {
            VoiceAsked::Open { number, epoch, muted } => {
                let name = StreamName { client, number };
                if let Err(why) = self.open_stream(now, (link, &key), name, (epoch, muted)) {
                    let told = VoiceTold::Refused { number, why };
                    self.tell_one(link, Told::Voice(told), now);
                }
            }
            VoiceAsked::Close { number } => {
                let name = StreamName { client, number };
                self.close_stream(now, &key, name, StreamEnd::Closed);
            }
            VoiceAsked::Mute { number, muted } => {
                let (name, ends) = (StreamName { client, number }, self.config.voice.ends);
                let room = self.rooms.get_mut(&key);
                let open = room.and_then(|room| room.voices_mut().streams.get_mut(&name));
                if let Some(open) = open.filter(|open| open.record.muted != muted) {
                    open.record.muted = muted;
                    open.ends_until = now + ends;
                    self.tell_voices(&key, &VoiceTold::Muted { name, muted }, now);
                }
            }
            VoiceAsked::Hear(hearing) => self.on_hearing(now, (link, client), &key, hearing),
            VoiceAsked::Report(reports) => self.on_report(now, (link, client), &key, &reports),
        }
    }

    /// A member that takes part in voices.
    pub(super) fn speaker(&self, link: Link) -> Option<(RoomKey, ClientNumber)> {
        self.guests.get(&link).filter(|guest| guest.minor >= VOICE_SINCE)?.place()
    }

    fn open_stream(
        &mut self,
        now: Time,
        (link, key): (Link, &RoomKey),
        name: StreamName,
        (epoch, muted): (u32, bool),
    ) -> Result<(), StreamError> {
        let limit = self.config.voice.streams;
        let guest = self.guests.get(&link).ok_or(StreamError::Unsupported)?;
        let (peer, speaks) = (guest.peer, guest.pass.speaks(now));
        if limit == 0 {
            return Err(StreamError::Unsupported);
        }
        // Whatever comes of it: so its owner knows that a refusal while none is open is of this one.
        self.close_stream(now, key, name, StreamEnd::Replaced);
        if !speaks {
            return Err(StreamError::Forbidden);
        }
        let topic = self.draw_topic();
        let room = self.rooms.get_mut(key).ok_or(StreamError::Unsupported)?;
        if room.voices().count(name.client) >= usize::from(limit) {
            return Err(StreamError::TooMany { limit });
        }
        let record = StreamRecord { name, peer, topic, epoch, muted };
        let open = Open { record, link, ends_until: now, lost: BTreeMap::new(), told: None };
        let streams = &mut room.voices_mut().streams;
        streams.insert(name, open);
        if let Some(guest) = self.guests.get_mut(&link) {
            let is_open = |number| streams.contains_key(&StreamName { number, ..name });
            guest.allowances.open(name.number, is_open, &self.config.voice, now);
        }
        let links: Vec<Link> = room.links().filter(|other| *other != link).collect();
        self.topics.insert(topic, (key.clone(), name));
        self.effects.push_back(Effect::Tune { link, topic, tune: Tune::Speak });
        for other in links {
            if self.guests.get(&other).is_some_and(|guest| guest.hears(peer)) {
                self.effects.push_back(Effect::Tune { link: other, topic, tune: Tune::Hear });
            }
        }
        self.tell_voices(key, &VoiceTold::Opened(record), now);
        Ok(())
    }

    /// A topic that stands for nothing yet.
    fn draw_topic(&mut self) -> Topic {
        loop {
            let mut drawn = [0; 5];
            self.rng.fill_bytes(&mut drawn);
            let topic = Topic::new(drawn);
            if !self.topics.contains_key(&topic) {
                return topic;
            }
        }
    }

    fn close_stream(&mut self, now: Time, key: &RoomKey, name: StreamName, why: StreamEnd) {
        let Some(room) = self.rooms.get_mut(key) else { return };
        let Some(open) = room.voices_mut().streams.remove(&name) else { return };
        let links: Vec<Link> = room.links().collect();
        let (topic, peer) = (open.record.topic, open.record.peer);
        self.topics.remove(&topic);
        for link in links {
            let hears = self.guests.get(&link).is_some_and(|guest| guest.hears(peer));
            if hears && link != open.link {
                self.effects.push_back(Effect::Tune { link, topic, tune: Tune::Off });
            }
        }
        // Last, so that nobody hears a topic without a speaker.
        self.effects.push_back(Effect::Tune { link: open.link, topic, tune: Tune::Off });
        self.tell_voices(key, &VoiceTold::Closed { name, why }, now);
    }

    /// A member says whom it wants to hear.
    fn on_hearing(
        &mut self,
        now: Time,
        (link, client): (Link, ClientNumber),
        key: &RoomKey,
        hearing: HearingRecord,
    ) {
        let HearingRecord { deaf, all, but } = hearing;
        let hearing = Hearing { deaf, all, but: but.into_vec().into_iter().collect() };
        let (Some(guest), Some(room)) = (self.guests.get_mut(&link), self.rooms.get_mut(key))
        else {
            return;
        };
        let before = guest.hearing.replace(hearing.clone());
        for open in room.voices_mut().streams.values_mut().filter(|open| open.link != link) {
            let StreamRecord { peer, topic, .. } = open.record;
            let Some(tune) = Hearing::turn(before.as_ref(), &hearing, peer) else { continue };
            if tune == Tune::Off {
                open.lost.remove(&client);
            }
            self.effects.push_back(Effect::Tune { link, topic, tune });
        }
        self.tell_reception(now, key);
    }

    /// A member says how well it hears those whom it hears. Who speaks is told of the worst, when that
    /// changes.
    fn on_report(
        &mut self,
        now: Time,
        (link, client): (Link, ClientNumber),
        key: &RoomKey,
        reports: &[ReceptionRecord],
    ) {
        let Some(guest) = self.guests.get(&link) else { return };
        let Some(room) = self.rooms.get_mut(key) else { return };
        for ReceptionRecord { name, lost } in reports {
            let open = room.voices_mut().streams.get_mut(name);
            let hears = |open: &&mut Open| open.link != link && guest.hears(open.record.peer);
            if let Some(open) = open.filter(hears) {
                open.lost.insert(client, (*lost).min(100));
            }
        }
        self.tell_reception(now, key);
    }

    /// Tells those who speak in a room how well they are heard, where that is news.
    fn tell_reception(&mut self, now: Time, key: &RoomKey) {
        let Some(room) = self.rooms.get_mut(key) else { return };
        let told: Vec<_> = room
            .voices_mut()
            .streams
            .iter_mut()
            .filter_map(|(name, open)| open.news().map(|lost| (open.link, name.number, lost)))
            .collect();
        for (link, number, lost) in told {
            self.tell_one(link, Told::Voice(VoiceTold::Reception { number, lost }), now);
            self.pump_service(link, now);
        }
    }

    /// A packet came. It is passed on if who sent it speaks on that topic, and may.
    pub(super) fn on_spoken(&mut self, now: Time, link: Link, topic: Topic, packet: Bytes) {
        let config = &self.config.voice;
        let Some((key, name)) = self.topics.get(&topic) else { return };
        let Some(guest) = self.guests.get_mut(&link).filter(|guest| guest.pass.speaks(now)) else {
            return;
        };
        let Some(room) = self.rooms.get(key) else { return };
        let voices = room.voices();
        let Some(open) = voices.streams.get(name) else { return };
        let record = &open.record;
        let heard = !voices.silenced.contains(&record.peer);
        let theirs = open.link == link && packet.len() <= config.packet;
        let says = |read: Packet| {
            let ends = read.kind == Kind::End && now < open.ends_until;
            read.epoch == record.epoch && (!record.muted || ends)
        };
        let says = theirs && heard && Packet::read(packet.clone()).is_ok_and(says);
        if says && guest.allowances.takes(name.number, packet.len(), config, now) {
            self.effects.push_back(Effect::Pass { link, topic, packet });
        }
    }

    /// Lets nobody hear a peer, or lets others hear it again.
    ///
    /// # Errors
    ///
    /// When as many are silenced as may be.
    pub(super) fn silence(
        &mut self,
        now: Time,
        key: &RoomKey,
        peer: PeerId,
        silenced: bool,
    ) -> Result<(), ServiceError> {
        let most = self.config.voice.silenced;
        let Some(room) = self.rooms.get_mut(key) else { return Ok(()) };
        let voices = room.voices_mut();
        if silenced && voices.silenced.len() >= most && !voices.silenced.contains(&peer) {
            return Err(ServiceError::TooMany { limit: u32::try_from(most).unwrap_or(u32::MAX) });
        }
        let news = match silenced {
            true => voices.silenced.insert(peer),
            false => voices.silenced.remove(&peer),
        };
        if news {
            self.tell_voices(key, &VoiceTold::Silenced { peer, silenced }, now);
        }
        Ok(())
    }

    /// A member is gone, and its streams with it.
    pub(super) fn part_voices(&mut self, now: Time, key: &RoomKey, client: ClientNumber) {
        let Some(room) = self.rooms.get_mut(key) else { return };
        let names: Vec<StreamName> = room.voices().streams_of(client).collect();
        for open in room.voices_mut().streams.values_mut() {
            open.lost.remove(&client);
        }
        names.into_iter().for_each(|name| self.close_stream(now, key, name, StreamEnd::Left));
        self.tell_reception(now, key);
    }

    /// Warns a member that may not speak any more soon, and closes the streams of one that may not.
    pub(super) fn check_voice(&mut self, now: Time, link: Link) {
        // Of whoever it is, or it would be due for ever.
        let left = self.guests.get_mut(&link).and_then(|guest| guest.pass.take_warning(now));
        let Some((key, client)) = self.speaker(link) else { return };
        if let Some(left) = left {
            let seconds = u32::try_from(left.as_secs()).unwrap_or(u32::MAX);
            self.tell_one(link, Told::Voice(VoiceTold::Expires { seconds }), now);
        }
        let speaks = self.guests.get(&link).is_some_and(|guest| guest.pass.speaks(now));
        let room = self.rooms.get(&key).filter(|_| !speaks);
        let names: Vec<StreamName> =
            room.map(|room| room.voices().streams_of(client).collect()).unwrap_or_default();
        for name in names {
            let refused = VoiceTold::Refused { number: name.number, why: StreamError::Forbidden };
            self.tell_one(link, Told::Voice(refused), now);
            self.close_stream(now, &key, name, StreamEnd::Forbidden);
        }
    }

    fn tell_voices(&mut self, key: &RoomKey, told: &VoiceTold, now: Time) {
        let Some(room) = self.rooms.get(key) else { return };
        let links: Vec<Link> = room.links().collect();
        for link in links {
            if self.speaker(link).is_some() {
                self.tell_one(link, Told::Voice(told.clone()), now);
                self.pump_service(link, now);
            }
        }
    }
}

impl Guest {
    /// Whether the peer wants to hear another, as far as it said.
    fn hears(&self, peer: PeerId) -> bool {
        self.hearing.as_ref().is_some_and(|hearing| hearing.hears(peer))
    }
}
