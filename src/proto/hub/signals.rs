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
    dropped: Dropped,
    sessions: BTreeMap<(PeerId, Session), Sender>,
}

#[derive(Debug)]
struct Kept {
    record: HeardRecord,
    to: SignalAudience,
    at: Time,
}

/// One session of a peer that is here, or was.
#[derive(Clone, Copy, Debug)]
struct Sender {
    /// The last of its signals that was taken.
    taken: u64,
    /// The last signal before it came in; nothing if it has left and is new when it comes back.
    since: Option<u64>,
    /// When it went out; nothing while it is here.
    gone_at: Option<Time>,
}

/// The newest signals that are not kept any more, by who was to hear them.
#[derive(Debug, Default)]
struct Dropped {
    /// The newest that all but its giver were to hear, and the newest of another giver.
    public: [Option<(PeerId, u64)>; 2],
    /// Those that one peer was to hear.
    private: BTreeMap<PeerId, u64>,
}

impl Dropped {
    /// How many peers may be told apart of those to whom something was said alone.
    const PRIVATE: usize = 1_024;

    fn note(&mut self, kept: &Kept) {
        let number = kept.record.number;
        match kept.to {
            SignalAudience::Others => {
                let by = kept.record.by;
                let [newest, other] = &mut self.public;
                if newest.is_none_or(|(giver, _)| giver != by) {
                    *other = *newest;
                }
                *newest = Some((by, number));
            }
            SignalAudience::Peer(to) => {
                if self.private.len() >= Self::PRIVATE && !self.private.contains_key(&to) {
                    // Of all of them together, anybody may have missed the newest.
                    self.private.clear();
                    self.public = [Some((to, number)); 2];
                }
                self.private.insert(to, number);
            }
        }
    }

    /// The newest one that a peer was to hear; 0 if there is none.
    fn newest_for(&self, peer: PeerId) -> u64 {
        let public = self.public.iter().flatten().filter(|(giver, _)| *giver != peer);
        let private = self.private.get(&peer).copied();
        public.map(|(_, number)| *number).chain(private).max().unwrap_or(0)
    }
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
        Self {
            life,
            kept: VecDeque::new(),
            bytes: 0,
            newest: 0,
            dropped: Dropped { public: [None; 2], private: BTreeMap::new() },
            sessions: BTreeMap::new(),
        }
    }

    /// Whether there was ever one.
    pub(super) const fn is_blank(&self) -> bool {
        self.newest == 0
    }

    /// A session of a peer is here, or here again.
    pub(super) fn enter(&mut self, who: (PeerId, Session), senders: usize) {
        if self.sessions.len() >= senders && !self.sessions.contains_key(&who) {
            let gone = |(who, sender): (&_, &Sender)| Some((sender.gone_at?, *who));
            let mut gone: Vec<_> = self.sessions.iter().filter_map(gone).collect();
            gone.sort_unstable();
            for (_, who) in gone.into_iter().take(senders / 2 + 1) {
                self.sessions.remove(&who);
            }
        }
        let new = Sender { taken: 0, since: None, gone_at: None };
        let sender = self.sessions.entry(who).or_insert(new);
        sender.since.get_or_insert(self.newest);
        sender.gone_at = None;
    }

    /// A session is gone, for good as far as it knows or not.
    pub(super) fn part(&mut self, who: (PeerId, Session), left: bool, now: Time) {
        if let Some(sender) = self.sessions.get_mut(&who) {
            sender.gone_at = Some(now);
            sender.since = sender.since.filter(|_| !left);
        }
    }

    /// What a session is answered that heard the signal `heard` last in a life.
    fn open(&self, who: (PeerId, Session), (life, heard): (Life, u64)) -> (u64, Option<u64>) {
        let sender = self.sessions.get(&who);
        let since = sender.and_then(|sender| sender.since).unwrap_or(self.newest);
        let same = life == self.life;
        let heard = if same { heard.max(since) } else { since };
        let taken = sender.filter(|_| same).map(|sender| sender.taken);
        (heard.max(self.dropped.newest_for(who.0)).min(self.newest), taken)
    }

    /// Whether there is room for more, without any that a member may not have heard yet.
    fn has_room(&self, (config, now): (&SignalConfig, Time)) -> bool {
        let full = self.kept.len() >= config.kept || self.bytes >= config.kept_bytes;
        !full || self.kept.front().is_none_or(|kept| kept.at + config.lag <= now)
    }

    /// A signal of a member. Returns its number.
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
        while (self.kept.len() > config.kept || self.bytes > config.kept_bytes)
            && self.kept.front().is_some_and(|kept| kept.at + config.lag <= now)
        {
            self.drop_first();
        }
        self.newest
    }

    fn drop_first(&mut self) {
        if let Some(kept) = self.kept.pop_front() {
            self.bytes -= kept.size();
            self.dropped.note(&kept);
        }
    }

    /// Lets those go that are too old for who comes back.
    pub(super) fn expire(&mut self, config: &SignalConfig, now: Time) {
        while self.kept.front().is_some_and(|kept| kept.at + config.kept_for <= now) {
            self.drop_first();
        }
    }

    fn get(&self, number: u64) -> Option<&Kept> {
        let first = self.kept.front()?.record.number;
        self.kept.get(usize::try_from(number.checked_sub(first)?).ok()?)
    }

    /// The numbers of those behind one that a peer is to hear.
    fn behind(&self, heard: u64, peer: PeerId) -> Vec<u64> {
        let behind = self.kept.iter().filter(|kept| kept.record.number > heard);
        behind.filter(|kept| kept.is_for(peer)).map(|kept| kept.record.number).collect()
    }

    /// Whether a signal of a session is one that was not taken yet. It counts as taken from now on.
    fn takes(&mut self, who: (PeerId, Session), number: u64) -> bool {
        let Some(sender) = self.sessions.get_mut(&who) else { return false };
        let new = number > sender.taken;
        sender.taken = number.max(sender.taken);
        new
    }
}

/// How one member hears signals, and gives them.
#[derive(Clone, Debug, Default)]
pub(super) struct Ear {
    /// Once it has asked: what was answered.
    open: Option<(SignalMessage, Channel)>,
    /// How many were taken in the second that began then, and how many bytes.
    second: (Time, u32, usize),
}

impl Ear {
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

    /// Whether more may be taken in this second.
    fn may_take(&mut self, config: &SignalConfig, now: Time) -> bool {
        if now >= self.second.0 + Duration::from_secs(1) {
            self.second = (now, 0, 0);
        }
        self.second.1 < config.per_second && self.second.2 < config.bytes_per_second
    }

    fn took(&mut self, signal: &SignalRecord) {
        self.second.1 = self.second.1.saturating_add(1);
        self.second.2 += signal.payload.len();
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
            let signals = room.signals_mut();
            signals.expire(&self.config.signals, now);
            let (heard, taken) = signals.open((peer, guest.session()), (life, heard));
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
        let who = (peer, guest.session());
        let config = (&self.config.signals, now);
        let may = guest.ear.may_take(config.0, now) && room.signals().has_room(config);
        let Some(channel) = guest.ear.channel() else {
            self.refuse(link, Refusal::BadMessage, now);
            return;
        };
        // Of too many, or where some before them are missing, none: they are said again.
        let known = may.then(|| channel.offer(position, signals.len(), now)).flatten();
        let mut numbers = Vec::new();
        for signal in signals.into_iter().skip(known.unwrap_or(usize::MAX)) {
            guest.ear.took(&signal);
            if room.signals_mut().takes(who, signal.number) && may_give(room, peer, &signal) {
                numbers.push(room.signals_mut().keep(peer, signal, config));
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
                if signals.get(*number).is_some_and(|kept| kept.is_for(peer)) {
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
            Stage::Greeting | Stage::Greeted(_) | Stage::Visitor { .. } => None,
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
