//! Direct links with other members, and the streams of voice that go on by them while there is no
//! relay.

use std::collections::{BTreeMap, BTreeSet};

use super::Peer;
use super::voice::closed;
use crate::proto::audio::stream::{Share, Shared, Stream, StreamName, Topic};
use crate::proto::event::{Effect, Event, LeaveReason, Member};
use crate::proto::id::PeerId;
use crate::proto::time::Time;

/// What a peer knows of direct links.
#[derive(Debug, Default)]
pub(super) struct Direct {
    /// Who is to have one; and until when, of those whom the relay has lost, or whose relay is lost.
    known: BTreeMap<PeerId, Option<Time>>,
    /// Who has one.
    near: BTreeSet<PeerId>,
    /// What goes by them, by its topics there.
    shared: BTreeMap<Topic, Shared>,
    /// Streams that were open when the link to a relay was lost, this peer's or their member's, and go on
    /// without it.
    held: BTreeSet<StreamName>,
    /// Until when they do.
    until: Option<Time>,
    /// Members whom the relay had lost, and has again: until when those go on that they have not opened
    /// there.
    back: BTreeMap<PeerId, Time>,
    /// Whom nobody heard when the link was lost, until a relay has said who that is.
    silenced: BTreeSet<PeerId>,
}

impl Direct {
    /// Whether a stream goes on without the relay where it was open.
    pub(super) fn holds(&self, name: StreamName) -> bool {
        self.held.contains(&name)
    }

    /// Whether any stream does.
    pub(super) fn holds_any(&self) -> bool {
        !self.held.is_empty()
    }

    pub(super) fn is_silenced(&self, peer: PeerId) -> bool {
        self.silenced.contains(&peer)
    }

    fn is_near(&self, peer: PeerId) -> bool {
        self.near.contains(&peer) && self.known.contains_key(&peer)
    }

    /// Whether the relay has lost somebody who is near.
    fn is_only_near(&self, peer: PeerId) -> bool {
        self.is_near(peer) && self.known.get(&peer).is_some_and(Option::is_some)
    }
}

impl Peer {
    /// Members who have a direct link with this peer, in the order of their ids: with them voices go on
    /// without a relay.
    pub fn neighbours(&self) -> impl Iterator<Item = PeerId> {
        self.direct.known.keys().copied().filter(|peer| self.direct.is_near(*peer))
    }

    /// Another has a direct link with this peer, or not any more.
    pub(super) fn on_neighbour(&mut self, peer: PeerId, near: bool) {
        if !near {
            self.direct.near.remove(&peer);
            self.drop_held(|stream| stream.peer == peer);
        } else if self.direct.known.contains_key(&peer) {
            self.direct.near.insert(peer);
        }
    }

    /// Somebody came into the room or went out of it.
    pub(super) fn acquaint(&mut self, event: &Event, now: Time) {
        if let Event::Joined(Member { peer, .. }) = event {
            self.expect(*peer, now);
            let has_room = self.direct.known.len() < self.config.acquaintances;
            let is_known = self.direct.known.contains_key(peer);
            if *peer != self.peer() && (is_known || has_room) {
                self.direct.known.insert(*peer, None);
            }
            if *peer != self.peer() && !is_known && has_room {
                self.effects.push_back(Effect::Acquaint { peer: *peer, known: true });
            }
        }
        if let Event::Left { member: Member { peer, .. }, reason } = event
            && !self.roster.members().any(|member| member.peer == *peer)
        {
            match reason {
                // It may be that only the relay has lost it.
                LeaveReason::Lost | LeaveReason::Replaced => {
                    self.direct.back.remove(peer);
                    let until = now + self.config.alone;
                    self.direct.known.entry(*peer).and_modify(|known| *known = Some(until));
                }
                LeaveReason::Left | LeaveReason::Expelled | LeaveReason::Kicked => {
                    self.forget_acquaintance(*peer);
                }
            }
        }
    }

    /// Somebody is at the relay whose streams may go on without it: soon they do not.
    fn expect(&mut self, peer: PeerId, now: Time) {
        let mut held = self.direct.held.iter().filter_map(|name| self.voice.stream(*name));
        if self.direct.until.is_none() && held.any(|stream| stream.peer == peer) {
            self.direct.back.insert(peer, now + self.config.handover);
        }
    }

    /// A stream is closed at the relay because its member is gone. If only the relay has lost that one, it
    /// goes on without it. Returns whether it does.
    pub(super) fn goes_on(&mut self, name: StreamName) -> bool {
        let stream = self.voice.stream(name).filter(|_| Some(name.client) != self.client);
        let goes_on = stream.is_some_and(|stream| self.direct.is_only_near(stream.peer));
        if goes_on {
            self.direct.held.insert(name);
            self.share();
        }
        goes_on
    }

    /// The link to the relay is gone: who was known is until a time, or not any more.
    fn keep_acquaintances(&mut self, until: Option<Time>) {
        if let Some(until) = until {
            let known = self.direct.known.values_mut();
            known.for_each(|known| *known = Some(known.map_or(until, |before| before.min(until))));
            return;
        }
        let known: Vec<PeerId> = self.direct.known.keys().copied().collect();
        known.into_iter().for_each(|peer| self.forget_acquaintance(peer));
    }

    fn forget_acquaintance(&mut self, peer: PeerId) {
        if self.direct.known.remove(&peer).is_some() {
            self.effects.push_back(Effect::Acquaint { peer, known: false });
            self.on_neighbour(peer, false);
        }
    }

    /// The link to the relay is gone. Of the streams that were open there, those go on until a time
    /// whose members are near, and this peer's own if anybody is; the others are closed.
    pub(super) fn hold_voice(&mut self, was_in: bool, until: Option<Time>) {
        self.keep_acquaintances(until);
        let Some(until) = until else {
            self.let_go();
            return;
        };
        self.direct.back.clear();
        if was_in {
            let me = self.peer();
            let is_any = self.neighbours().next().is_some();
            let goes_on = |stream: &&Stream| match stream.peer == me {
                true => is_any && self.is_current(stream),
                false => self.direct.is_near(stream.peer),
            };
            self.direct.held =
                self.voice.streams().filter(goes_on).map(|stream| stream.name).collect();
            let is_any = !self.direct.held.is_empty();
            self.direct.until = is_any.then_some(until);
            let silenced = self.voice.take_silenced();
            self.direct.silenced.extend(silenced.into_iter().filter(|_| is_any));
        }
    }

    /// Nothing goes on without a relay any more.
    fn let_go(&mut self) {
        self.direct.until = None;
        self.direct.silenced.clear();
        self.direct.back.clear();
        self.drop_held(|_| true);
    }

    /// A relay is there again: only of those whom it has lost anything goes on without it.
    fn let_members_go(&mut self) {
        self.direct.until = None;
        let (me, members) = (self.peer(), self.roster.members().map(|member| member.peer));
        let members: BTreeSet<PeerId> = members.chain([me]).collect();
        self.drop_held(|stream| members.contains(&stream.peer));
    }

    /// A relay has let this peer in again: what goes on without it soon does not.
    pub(super) fn hand_over(&mut self, now: Time) {
        if self.direct.until.is_some() {
            self.direct.until = Some(now + self.config.handover);
        }
    }

    /// The relay has said all that there is of voices.
    pub(super) fn forget_silenced(&mut self) {
        self.direct.silenced.clear();
        self.share();
    }

    /// A member has opened a stream at the relay. Ends what goes on in its place: under another name
    /// it is closed. Returns the stream that it is, if it goes on under this one.
    pub(super) fn reopened(&mut self, stream: &Stream) -> Option<Stream> {
        let held = |name: &&StreamName| {
            let it = self.voice.stream(**name);
            it.is_some_and(|it| it.peer == stream.peer && it.name.number == stream.name.number)
        };
        let before = self.direct.held.iter().find(held).copied();
        let goes_over = before.and_then(|name| self.voice.stream(name)).copied();
        let goes_over = goes_over.filter(|it| it.name == stream.name && it.epoch == stream.epoch);
        if goes_over.is_some() {
            self.direct.held.remove(&stream.name);
            return goes_over;
        }
        self.drop_held(|it| Some(it.name) == before || it.name == stream.name);
        None
    }

    /// Some of what goes on without the relay does not any more.
    pub(super) fn drop_held(&mut self, is_over: impl Fn(&Stream) -> bool) {
        let me = self.peer();
        for name in self.direct.held.clone() {
            let Some(stream) = self.voice.stream(name).copied() else { continue };
            if is_over(&stream) {
                self.direct.held.remove(&name);
                self.voice.remove(name);
                if stream.peer != me {
                    self.tell(closed(&stream, None));
                }
            }
        }
        self.share();
    }

    /// Says what is to become of streams on direct links, where that is not what was said last.
    pub(super) fn share(&mut self) {
        let me = self.peer();
        let held = self.direct.held.iter().filter_map(|name| self.voice.stream(*name));
        let own = self.client.into_iter().flat_map(|client| self.voice.streams_of(client));
        let own = own.filter(|stream| stream.peer == me);
        let mut wanted = BTreeMap::new();
        // Of two that are one, that which is open at the relay counts.
        for stream in held.chain(own) {
            let share = if stream.peer != me {
                let hears = self.voice.hearing().is_some_and(|it| it.hears(stream.peer));
                let hears = hears && !self.is_silenced(stream.peer);
                hears.then_some(Share::Hear)
            } else {
                let holds = self.voice.is_muted(stream.name.number) || self.is_silenced(me);
                let share = if holds { Share::Hold } else { Share::Speak };
                self.is_current(stream).then_some(share)
            };
            if let Some(share) = share {
                let Stream { name, peer, epoch, topic, .. } = *stream;
                let direct = Topic::direct(peer, name.number, epoch);
                wanted.insert(direct, Shared { topic, direct, peer, share });
            }
        }
        let before = std::mem::replace(&mut self.direct.shared, wanted);
        let Self { direct, effects, .. } = self;
        for shared in before.values().filter(|it| !direct.shared.contains_key(&it.direct)) {
            effects.push_back(Effect::Share(Shared { share: Share::Off, ..*shared }));
        }
        for shared in direct.shared.values().filter(|it| before.get(&it.direct) != Some(*it)) {
            effects.push_back(Effect::Share(*shared));
        }
    }

    /// Whether a stream is the one that this peer has open now under its number.
    pub(super) fn is_current(&self, stream: &Stream) -> bool {
        stream.peer == self.peer() && self.stream_epoch(stream.name.number) == Some(stream.epoch)
    }

    pub(super) fn tick_direct(&mut self, now: Time) {
        let is_over = |until: Option<Time>| until.is_some_and(|until| until <= now);
        if is_over(self.direct.until) {
            if self.client.is_some() { self.let_members_go() } else { self.let_go() }
        }
        let back = self.direct.back.iter().filter(|(_, until)| **until <= now);
        for peer in back.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            self.direct.back.remove(&peer);
            self.drop_held(|stream| stream.peer == peer);
        }
        let known = self.direct.known.iter().filter(|(_, until)| is_over(**until));
        let over: Vec<PeerId> = known.map(|(peer, _)| *peer).collect();
        over.into_iter().for_each(|peer| self.forget_acquaintance(peer));
    }

    /// When [`Self::tick_direct`] has something to do.
    pub(super) fn direct_due(&self) -> Option<Time> {
        let Direct { known, back, until, .. } = &*self.direct;
        known.values().flatten().chain(back.values()).chain(until).min().copied()
    }
}
