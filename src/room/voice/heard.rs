//! The streams that are played here, and how loud.

use std::collections::BTreeMap;

use super::AudioError;
use super::listener::Listening;
use super::part::{Kept, Part, part};
use super::service::VoiceOptions;
use crate::audio::codec::Codec;
use crate::audio::mixer::Gain;
use crate::audio::opus::Opus;
use crate::audio::playout::statistics::PlayoutStatistics;
use crate::net::{Carrier, Ear, VoiceDesk};
use crate::proto::audio::stream::{Stream, StreamName};
use crate::proto::id::PeerId;
use crate::proto::peer::Peer;
use crate::proto::time::Time;

/// What is played: streams that have an output of their own, and those that are mixed.
#[derive(Debug, Default)]
pub(super) struct Heard {
    outputs: BTreeMap<StreamName, Kept>,
    mixed: BTreeMap<StreamName, Mixed>,
    listening: Option<Listening>,
    fading: Fading,
    /// Listeners that another took the place of, and ears of what they play, for as long as they may be
    /// read.
    former: Vec<(Listening, Fading)>,
    /// Outputs that another took the place of, or that are of the network before this one, likewise.
    silent: Vec<Kept>,
    /// Gains other than 1.
    gains: BTreeMap<PeerId, f32>,
}

/// Ears of what fades out, where it had any: a device's thread, which still plays it, must not be the one
/// to free what they remember.
#[derive(Debug, Default)]
struct Fading(Vec<(StreamName, Option<Ear>)>);

impl Fading {
    /// Lets go what a listener has given back.
    fn release(&mut self, back: &[StreamName]) {
        for name in back {
            if let Some(first) = self.0.iter().position(|(fading, _)| fading == name) {
                self.0.remove(first);
            }
        }
    }
}

/// A stream that a listener plays.
#[derive(Debug)]
struct Mixed {
    kept: Kept,
    /// Until when it is played, once it is closed.
    until: Option<Time>,
}

/// Both ends of a stream that is open.
pub(super) fn begin(
    stream: &Stream,
    options: &VoiceOptions,
    carrier: &Carrier,
) -> Result<(Part, Kept), AudioError> {
    let (name, clock) = (stream.name, carrier.clock());
    let playout = (options.playout.clone(), Opus.decoder()?);
    Ok(part(name, stream.peer, playout, options.waiting, clock))
}

impl Heard {
    /// A stream has an output of its own from now on.
    pub(super) fn output(&mut self, stream: &Stream, mut kept: Kept, carrier: &Carrier) {
        let (name, desk) = (stream.name, carrier.voice());
        if let Some(mut before) = self.outputs.remove(&name) {
            before.follow(None, &desk);
            self.silent.push(before);
        }
        self.unmix(name, Some(&desk));
        kept.set_gain(self.gain(stream.peer));
        kept.follow(Some(stream.topic), &desk);
        self.outputs.insert(name, kept);
    }

    /// A listener takes the place of the one before.
    pub(super) fn listen(&mut self, listening: Listening, carrier: Option<&Carrier>) {
        self.deafen(carrier);
        let fading = std::mem::take(&mut self.fading);
        self.former.extend(self.listening.replace(listening).map(|before| (before, fading)));
    }

    /// The room has another network: outputs are none of its streams'. Ears come back from the desk of
    /// the one before, if there is one.
    pub(super) fn begin_network(&mut self, before: Option<&VoiceDesk>) {
        let outputs = std::mem::take(&mut self.outputs);
        for mut kept in outputs.into_values() {
            if let Some(desk) = before {
                kept.follow(None, desk);
            }
            self.silent.push(kept);
        }
        let names: Vec<_> = self.mixed.keys().copied().collect();
        names.into_iter().for_each(|name| self.unmix(name, before));
    }

    /// Streams may have been opened or closed, or are to be heard or not.
    pub(super) fn sync(
        &mut self,
        peer: &Peer,
        carrier: &Carrier,
        options: &VoiceOptions,
        now: Time,
    ) {
        let desk = carrier.voice();
        for (name, kept) in &mut self.outputs {
            let stream = peer.stream(*name).filter(|stream| stream.peer == kept.peer);
            kept.follow(stream.map(|stream| stream.topic), &desk);
        }
        let mut unheard = Vec::new();
        for (name, mixed) in &mut self.mixed {
            // Its name may be another's by now: a relay that forgot counts its members anew.
            let named = peer.stream(*name);
            let stream = named.filter(|stream| stream.peer == mixed.kept.peer);
            mixed.kept.follow(stream.map(|stream| stream.topic), &desk);
            match (named, stream) {
                (_, Some(stream)) if is_heard(peer, stream) => mixed.until = None,
                (Some(_), _) => unheard.push(*name),
                (None, _) => mixed.until = mixed.until.or(Some(now + options.linger)),
            }
        }
        unheard.into_iter().for_each(|name| self.unmix(name, Some(&desk)));
        self.mix(peer, carrier, options);
    }

    /// Takes what came from devices' threads, and lets go what is over. Returns whether there may be
    /// room for others now.
    pub(super) fn tick(&mut self, carrier: Option<&Carrier>, now: Time) -> bool {
        let back = self.listening.as_mut().map(Listening::tidy).unwrap_or_default();
        self.fading.release(&back);
        let mut news = !back.is_empty();
        self.former.retain_mut(|(listening, fading)| {
            fading.release(&listening.tidy());
            !listening.is_over()
        });
        self.silent.retain(|kept| !kept.is_over());
        if self.listening.as_ref().is_some_and(Listening::is_over) {
            self.deafen(carrier);
            self.fading = Fading::default();
            self.listening = None;
        }
        let over: Vec<_> =
            self.outputs.iter().filter(|(_, kept)| kept.is_over()).map(|(name, _)| *name).collect();
        for name in over {
            news = true;
            if let (Some(kept), Some(carrier)) = (self.outputs.remove(&name), carrier) {
                drop(kept.end(&carrier.voice()));
            }
        }
        let late = |mixed: &Mixed| mixed.until.is_some_and(|until| now >= until);
        let late: Vec<_> =
            self.mixed.iter().filter(|(_, mixed)| late(mixed)).map(|(name, _)| *name).collect();
        if let Some(carrier) = carrier {
            late.into_iter().for_each(|name| self.unmix(name, Some(&carrier.voice())));
        }
        self.kept().for_each(Kept::refresh);
        news
    }

    /// When [`Self::tick`] has something to let go, if ever.
    pub(super) fn due(&self) -> Option<Time> {
        self.mixed.values().filter_map(|mixed| mixed.until).min()
    }

    /// What was lost of each stream of which something was to come since this was asked last, of a
    /// hundred.
    pub(super) fn losses(&mut self) -> Vec<(StreamName, u8)> {
        let mixed = self.mixed.iter_mut().map(|(name, mixed)| (name, &mut mixed.kept));
        let all = self.outputs.iter_mut().chain(mixed);
        all.filter_map(|(name, kept)| Some((*name, kept.loss()?))).collect()
    }

    /// Whether anything is played.
    pub(super) fn is_any(&self) -> bool {
        !(self.outputs.is_empty() && self.mixed.is_empty())
    }

    pub(super) fn statistics(&self) -> impl Iterator<Item = (StreamName, PlayoutStatistics)> {
        let mixed = self.mixed.iter().map(|(name, mixed)| (name, &mixed.kept));
        self.outputs.iter().chain(mixed).map(|(name, kept)| (*name, kept.statistics()))
    }

    pub(super) fn gain(&self, peer: PeerId) -> f32 {
        self.gains.get(&peer).copied().unwrap_or(1.0)
    }

    /// Sets how loud a member is. False, if `most` have another gain than 1 already.
    pub(super) fn set_gain(&mut self, peer: PeerId, gain: f32, most: usize) -> bool {
        let gain = Gain::new(gain).get();
        if gain.to_bits() == 1.0_f32.to_bits() {
            self.gains.remove(&peer);
        } else if self.gains.len() >= most && !self.gains.contains_key(&peer) {
            return false;
        } else {
            self.gains.insert(peer, gain);
        }
        self.kept().filter(|kept| kept.peer == peer).for_each(|kept| kept.set_gain(gain));
        true
    }

    fn kept(&mut self) -> impl Iterator<Item = &mut Kept> {
        let mixed = self.mixed.values_mut().map(|mixed| &mut mixed.kept);
        self.outputs.values_mut().chain(mixed)
    }

    /// Whether a stream has a place already: an output that is its member's, for its name may have been
    /// another's, or one in the mix, of which [`Self::sync`] sees that it is.
    fn plays(&self, stream: &Stream) -> bool {
        let output = self.outputs.get(&stream.name);
        output.is_some_and(|kept| kept.peer == stream.peer) || self.mixed.contains_key(&stream.name)
    }

    /// Mixes what is heard and is not played yet.
    fn mix(&mut self, peer: &Peer, carrier: &Carrier, options: &VoiceOptions) {
        for stream in peer.streams().filter(|stream| is_heard(peer, stream)) {
            let name = stream.name;
            if self.plays(stream) {
                continue;
            }
            let gain = self.gain(stream.peer);
            let Some(listening) = self.listening.as_mut().filter(|it| it.has_room()) else {
                return;
            };
            match begin(stream, options, carrier) {
                Ok((part, mut kept)) => {
                    kept.set_gain(gain);
                    kept.follow(Some(stream.topic), &carrier.voice());
                    listening.add(part);
                    self.mixed.insert(name, Mixed { kept, until: None });
                }
                Err(error) => tracing::debug!(%error, ?name, "a stream cannot be played"),
            }
        }
    }

    /// Takes a stream out of the mix, and its ear from the desk.
    fn unmix(&mut self, name: StreamName, desk: Option<&VoiceDesk>) {
        let Some(Mixed { kept, .. }) = self.mixed.remove(&name) else { return };
        let ear = desk.and_then(|desk| kept.end(desk));
        if let Some(listening) = &mut self.listening {
            listening.remove(name);
            self.fading.0.push((name, ear));
        }
    }

    /// Takes everything out of the mix.
    fn deafen(&mut self, carrier: Option<&Carrier>) {
        let names: Vec<_> = self.mixed.keys().copied().collect();
        if let Some(carrier) = carrier {
            names.into_iter().for_each(|name| self.unmix(name, Some(&carrier.voice())));
        }
    }
}

/// Whether this peer wants to hear a stream of another.
pub(super) fn is_heard(peer: &Peer, stream: &Stream) -> bool {
    stream.peer != peer.peer() && peer.hearing().is_some_and(|hearing| hearing.hears(stream.peer))
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::super::listener::Listener;
    use super::super::part::part;
    use super::*;
    use crate::audio::playout::config::PlayoutConfig;
    use crate::net::Clock;
    use crate::proto::audio::stream::Topic;
    use crate::proto::id::ClientNumber;

    fn ends(name: StreamName, peer: PeerId) -> (Part, Kept) {
        let playout = (PlayoutConfig::default(), Opus.decoder().unwrap());
        part(name, peer, playout, 4, Clock::new())
    }

    /// A listener at 48 kHz, and the room's end of it, which plays one stream that fades out.
    fn listener(heard: &mut Heard) -> Listener {
        let (listener, listening) = Listening::new((48_000, 1), 4).unwrap();
        heard.listen(listening, None);
        listener
    }

    #[test]
    fn what_a_listener_plays_is_kept_until_that_cannot_be_read_any_more() {
        let mut heard = Heard::default();
        let mut first = listener(&mut heard);
        let name = StreamName { client: ClientNumber(1), number: 0 };
        let (outgoing, _taken) = mpsc::channel(1);
        let desk = VoiceDesk::new(outgoing);
        let (part, mut kept) = ends(name, PeerId::new([1; 32]));
        kept.follow(Some(Topic::new([1; 5])), &desk);
        heard.listening.as_mut().unwrap().add(part);
        heard.mixed.insert(name, Mixed { kept, until: None });
        // The network goes, and then another listener comes.
        heard.begin_network(Some(&desk));
        assert_eq!(heard.fading.0.len(), 1, "the ear is here");
        let second = listener(&mut heard);
        let ears =
            |heard: &Heard| heard.former.iter().map(|(_, fading)| fading.0.len()).sum::<usize>();
        heard.tick(None, Time::ZERO);
        assert_eq!((heard.former.len(), ears(&heard)), (1, 1));
        first.read(&mut [0.0_f32; 960]).unwrap();
        heard.tick(None, Time::ZERO);
        assert_eq!((heard.former.len(), ears(&heard)), (1, 0), "it was given back");
        drop(first);
        heard.tick(None, Time::ZERO);
        assert!(heard.former.is_empty() && heard.listening.is_some());
        drop(second);
        heard.tick(None, Time::ZERO);
        assert!(heard.listening.is_none());
    }

    #[test]
    fn an_output_of_the_network_before_is_kept_until_it_cannot_be_read_any_more() {
        let mut heard = Heard::default();
        let name = StreamName { client: ClientNumber(1), number: 0 };
        let (part, kept) = ends(name, PeerId::new([1; 32]));
        heard.outputs.insert(name, kept);
        heard.begin_network(None);
        heard.tick(None, Time::ZERO);
        assert_eq!((heard.outputs.len(), heard.silent.len()), (0, 1));
        drop(part);
        heard.tick(None, Time::ZERO);
        assert!(heard.silent.is_empty());
    }

    #[test]
    fn an_output_plays_its_member_and_nobody_who_has_the_name_later() {
        let name = StreamName { client: ClientNumber(1), number: 0 };
        let of = |byte| Stream {
            name,
            peer: PeerId::new([byte; 32]),
            epoch: 1,
            muted: false,
            topic: Topic::new([byte; 5]),
        };
        let mut heard = Heard::default();
        let (_part, kept) = ends(name, of(1).peer);
        heard.outputs.insert(name, kept);
        assert!(heard.plays(&of(1)));
        assert!(!heard.plays(&of(2)), "a listener is to mix it");
    }
}
