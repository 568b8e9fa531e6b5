//! Signals at a relay: each is taken once, gets a number, and goes to who is to hear it. Nothing of it
//! is kept but for members whose links are slow or broken.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::guest::Stage;
use super::room::Room;
use super::{Hub, RoomKey};
use crate::proto::channel::Channel;
use crate::proto::config::SignalConfig;
use crate::proto::id::{DocumentId, Lane, Link, PeerId};
use crate::proto::ownership::Session;
use crate::proto::reason::Refusal;
use crate::proto::time::Time;
use crate::proto::wire::bounded::List;
use crate::proto::wire::message::{
    HeardRecord, Life, Message, SignalAudience, SignalMessage, SignalRecord, SignalSubject,
};

/// What one takes in memory beside what it says and is of, as an estimate from above.
const HEAD: usize = 160;

/// The signals of one room.
#[derive(Debug)]
pub(super) struct Signals {
    life: Life,
    kept: VecDeque<Kept>,
    bytes: usize,
    newest: u64,
    /// The last one that was taken of each session.
    taken: BTreeMap<(PeerId, Session), u64>,
}

#[derive(Debug)]
struct Kept {
    record: HeardRecord,
    to: SignalAudience,
    at: Time,
}

impl Kept {
    fn size(&self) -> usize {
        HEAD + length(&self.record.subject) + self.record.payload.len()
    }

    /// Whether a peer is to hear it.
    fn is_for(&self, peer: PeerId) -> bool {
        match self.to {
            SignalAudience::Others => self.record.by != peer,
            SignalAudience::Peer(to) => to == peer,
        }
    }
}

impl Signals {
    pub(super) const fn new(life: Life) -> Self {
        Self { life, kept: VecDeque::new(), bytes: 0, newest: 0, taken: BTreeMap::new() }
    }

    /// The number of the last one.
    pub(super) const fn newest(&self) -> u64 {
        self.newest
    }

    /// A signal of a member, which goes to `to`. Returns its number.
    fn keep(
        &mut self,
        by: PeerId,
        signal: SignalRecord,
        (config, now): (&SignalConfig, Time),
    ) -> u64 {
        self.newest += 1;
        let SignalRecord { to, subject, payload, .. } = signal;
        let record = HeardRecord { number: self.newest, by, subject, payload };
        let kept = Kept { record, to, at: now };
        self.bytes += kept.size();
        self.kept.push_back(kept);
        while self.kept.len() > config.kept || self.bytes > config.kept_bytes {
            self.drop_first();
        }
        self.newest
    }

    fn drop_first(&mut self) {
        self.bytes -= self.kept.pop_front().map_or(0, |kept| kept.size());
    }

    /// Lets those go that are too old for who comes back.
    fn expire(&mut self, config: &SignalConfig, now: Time) {
        while self.kept.front().is_some_and(|kept| kept.at + config.kept_for <= now) {
            self.drop_first();
        }
    }

    fn get(&self, number: u64) -> Option<&Kept> {
        let first = self.kept.front()?.record.number;
        self.kept.get(usize::try_from(number.checked_sub(first)?).ok()?)
    }

    /// The last number that is not here any more.
    fn gone(&self) -> u64 {
        self.kept.front().map_or(self.newest, |kept| kept.record.number - 1)
    }

    /// The numbers of those behind one that a peer is to hear.
    fn behind(&self, heard: u64, peer: PeerId) -> Vec<u64> {
        let behind = self.kept.iter().filter(|kept| kept.record.number > heard);
        behind.filter(|kept| kept.is_for(peer)).map(|kept| kept.record.number).collect()
    }

    /// A session begins in this life of the room: of its signals none was taken.
    fn begin(
        &mut self,
        sender: (PeerId, Session),
        senders: usize,
        is_here: impl Fn(PeerId) -> bool,
    ) {
        if self.taken.len() >= senders {
            self.taken.retain(|(peer, _), _| is_here(*peer));
        }
        self.taken.entry(sender).or_insert(0);
    }

    /// Whether a signal of a session is one that was not taken yet. It counts as taken from now on.
    fn takes(&mut self, sender: (PeerId, Session), number: u64) -> bool {
        let taken = self.taken.entry(sender).or_default();
        let new = number > *taken;
        *taken = number.max(*taken);
        new
    }
}

/// How one member hears signals, and gives them.
#[derive(Clone, Debug)]
pub(super) struct Ear {
    /// The number of the last one before it came in.
    since: u64,
    /// Once it has asked: what was answered.
    open: Option<(SignalMessage, Channel)>,
    /// How many were taken in the second that began then.
    second: (Time, u32),
}

impl Ear {
    pub(super) const fn new(since: u64) -> Self {
        Self { since, open: None, second: (Time::ZERO, 0) }
    }

    fn channel(&mut self) -> Option<&mut Channel> {
        self.open.as_mut().map(|(_, channel)| channel)
    }

    pub(super) fn tick(&mut self, now: Time) {
        if let Some(channel) = self.channel() {
            channel.tick(now);
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.open.as_ref().and_then(|(_, channel)| channel.deadline())
    }

    /// Whether more may be taken in this second: so many are.
    fn may_take(&mut self, count: usize, per_second: u32, now: Time) -> bool {
        if now >= self.second.0 + Duration::from_secs(1) {
            self.second = (now, 0);
        }
        let may = self.second.1 < per_second;
        let count = if may { u32::try_from(count).unwrap_or(u32::MAX) } else { 0 };
        self.second.1 = self.second.1.saturating_add(count);
        may
    }
}

impl Hub {
    pub(super) fn on_signal(&mut self, now: Time, link: Link, message: SignalMessage) {
        match message {
            SignalMessage::From { life, heard } => self.on_signals_from(now, link, life, heard),
            SignalMessage::Given { position, signals } => {
                self.on_signals_given(now, link, position, signals.into_vec());
            }
            SignalMessage::Received { received, gap } => {
                self.on_signals_received(now, link, received, gap);
            }
            SignalMessage::Open { .. } | SignalMessage::Heard { .. } => {
                self.refuse(link, Refusal::BadMessage, now);
            }
        }
    }

    /// A member says which signal it heard last.
    fn on_signals_from(&mut self, now: Time, link: Link, life: Life, heard: u64) {
        let Some((key, peer)) = self.member(link) else { return };
        let (Some(room), Some(guest)) = (self.rooms.get_mut(&key), self.guests.get_mut(&link))
        else {
            return;
        };
        if guest.ear.open.is_none() {
            let config = &self.config.signals;
            let here: Vec<PeerId> = room.peers().collect();
            let signals = room.signals_mut();
            signals.expire(config, now);
            let sender = (peer, guest.session());
            // One that says a life was told it: if it is not known, it was forgotten.
            let goes_on = life == signals.life;
            if !goes_on {
                signals.begin(sender, config.senders, |peer| here.contains(&peer));
            }
            let taken = signals.taken.get(&sender).copied().filter(|_| goes_on);
            let heard = if goes_on { heard } else { guest.ear.since };
            let heard = heard.max(signals.gone()).min(signals.newest);
            let mut channel = Channel::new(&self.config.limits);
            signals.behind(heard, peer).into_iter().for_each(|number| channel.push(number));
            let answer = SignalMessage::Open { life: signals.life, heard, taken };
            guest.ear.open = Some((answer, channel));
        }
        let answer = guest.ear.open.as_ref().map(|(answer, _)| answer.clone());
        if let Some(answer) = answer {
            self.say(link, &Message::Signal(answer));
        }
        self.pump_signals(link, now);
    }

    /// A member gives signals.
    fn on_signals_given(
        &mut self,
        now: Time,
        link: Link,
        position: u64,
        signals: Vec<SignalRecord>,
    ) {
        let Some((key, peer)) = self.member(link) else { return };
        let (Some(room), Some(guest)) = (self.rooms.get_mut(&key), self.guests.get_mut(&link))
        else {
            return;
        };
        let limit = self.config.limits.signal;
        if let Some(size) = signals.iter().map(|signal| signal.payload.len()).find(|it| *it > limit)
        {
            let (limit, size) = (limit as u64, size as u64);
            self.refuse(link, Refusal::TooLarge { limit, size }, now);
            return;
        }
        let sender = (peer, guest.session());
        let may = guest.ear.may_take(signals.len(), self.config.signals.per_second, now);
        let Some(channel) = guest.ear.channel() else {
            self.refuse(link, Refusal::BadMessage, now);
            return;
        };
        let Some(known) = may.then(|| channel.offer(position, signals.len(), now)).flatten() else {
            // Too many, or some before them are missing: they are said again.
            return;
        };
        let mut numbers = Vec::new();
        for signal in signals.into_iter().skip(known) {
            if room.signals_mut().takes(sender, signal.number) && may_give(room, peer, &signal) {
                numbers.push(room.signals_mut().keep(peer, signal, (&self.config.signals, now)));
            }
        }
        self.spread(&key, &numbers, now);
        self.pump_signals(link, now);
    }

    fn on_signals_received(&mut self, now: Time, link: Link, received: u64, gap: bool) {
        if let Some(guest) = self.guests.get_mut(&link) {
            let patience = guest.lane.patience();
            if let Some(channel) = guest.ear.channel() {
                channel.acknowledge(received, gap, (now, patience));
            }
        }
        self.pump_signals(link, now);
    }

    /// Sends new signals to the members that are to hear them.
    fn spread(&mut self, key: &RoomKey, numbers: &[u64], now: Time) {
        let Some(room) = self.rooms.get(key) else { return };
        let signals = room.signals();
        let mut told = Vec::new();
        for link in room.links() {
            let Some(guest) = self.guests.get_mut(&link) else { continue };
            let peer = guest.peer;
            let Some(channel) = guest.ear.channel() else { continue };
            let before = channel.pushed();
            for number in numbers {
                // One that is gone already ends the link of who was to hear it.
                if signals.get(*number).is_none_or(|kept| kept.is_for(peer)) {
                    channel.push(*number);
                }
            }
            told.extend((channel.pushed() > before).then_some(link));
        }
        for link in told {
            self.pump_signals(link, now);
        }
    }

    /// Sends a member the signals that it is to hear, as far as the driver takes them, and acknowledges
    /// its own.
    pub(super) fn pump_signals(&mut self, link: Link, now: Time) {
        while let Some(message) = self.next_signals(link, now) {
            self.say(link, &Message::Signal(message));
        }
        let channel = self.guests.get_mut(&link).and_then(|guest| guest.ear.channel());
        if let Some(answer) = channel.and_then(|channel| channel.answer(now)) {
            self.say(link, &Message::Signal(answer));
        }
        if self.lags(link) {
            self.refuse(link, Refusal::SlowConsumer, now);
        }
    }

    /// Whether a member is to hear something that is not kept any more.
    fn lags(&self, link: Link) -> bool {
        let Some(guest) = self.guests.get(&link) else { return false };
        let Stage::Member { room, .. } = &guest.stage else { return false };
        let next = guest.ear.open.as_ref().and_then(|(_, channel)| channel.next());
        let room = self.rooms.get(room);
        room.zip(next).is_some_and(|(room, next)| room.signals().get(next).is_none())
    }

    fn next_signals(&mut self, link: Link, now: Time) -> Option<SignalMessage> {
        let guest = self.guests.get_mut(&link)?;
        let Stage::Member { room, .. } = &guest.stage else { return None };
        let signals = self.rooms.get(room)?.signals();
        let outstanding = guest.outstanding[Lane::Control as usize];
        let patience = guest.lane.patience();
        let (position, signals) =
            guest.ear.channel()?.gather(outstanding, (now, patience), |number| {
                let kept = signals.get(number)?;
                Some((kept.record.clone(), kept.size()))
            })?;
        Some(SignalMessage::Heard { position, signals: List::of(signals) })
    }

    /// Which room a link's peer is in, and who it is.
    fn member(&self, link: Link) -> Option<(RoomKey, PeerId)> {
        let guest = self.guests.get(&link)?;
        match &guest.stage {
            Stage::Member { room, .. } => Some((room.clone(), guest.peer)),
            Stage::Greeting | Stage::Greeted(_) => None,
        }
    }
}

/// Whether a signal is one that a peer may give: of a model that is another's it may not, once it is
/// known whose models are.
fn may_give(room: &Room, peer: PeerId, signal: &SignalRecord) -> bool {
    let SignalSubject::Property { model, .. } = &signal.subject else { return true };
    let ledger = room.log(DocumentId::MODELS).ledger();
    let other = ledger.outermost(model).is_some_and(|(_, grant)| grant.holder != peer);
    if other && !room.is_recovering() {
        tracing::debug!(model = %&**model, ?peer, "a signal stays out: the model is another's");
        return false;
    }
    true
}

fn length(subject: &SignalSubject) -> usize {
    match subject {
        SignalSubject::Property { model, .. } => model.len(),
        SignalSubject::Name(name) => name.len(),
    }
}
