//! Signals at a relay: each is taken once, gets a number, and goes to who is to hear it. Nothing of it
//! is kept but for members whose links are slow or broken, and until it is known what became of it.

mod cast;
mod dropped;
mod ear;
mod give;
mod kept;

pub use self::give::GiveError;
use self::kept::{Asker, Hearer, Rule, What};
pub(super) use self::{ear::Ear, kept::Signals};
use super::guest::Stage;
use super::plugin::{Asking, Plugged, View, Writer};
use super::room::Room;
use super::{Hub, HubEvent};
use crate::proto::channel::Channel;
use crate::proto::config::SignalConfig;
use crate::proto::event::Origin;
use crate::proto::event::signal::Signalled;
use crate::proto::id::{DocumentId, Lane, Link, PeerId, RoomKey};
use crate::proto::reason::Refusal;
use crate::proto::time::Time;
use crate::proto::wire::bounded::List;
use crate::proto::wire::message::{
    Life, Message, SignalAudience, SignalMessage, SignalOutcome, SignalRecord, SignalSubject,
};

/// The first minor version whose peers are told what became of their signals, and hear those that may be
/// lost.
const SETTLES: u16 = 4;

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
            SignalMessage::Open { .. }
            | SignalMessage::Heard { .. }
            | SignalMessage::Settled { .. } => {
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
        let who = (peer, guest.session());
        if guest.ear.open.is_none() {
            let signals = room.signals_mut();
            signals.expire((&self.config.signals, now));
            let (heard, taken) = signals.open(who, (life, heard), now);
            let mut channel = Channel::new(&self.config.limits);
            signals.behind(heard, who).into_iter().for_each(|number| channel.push(number));
            let answer = SignalMessage::Open { life: signals.life(), heard, taken };
            guest.ear.open = Some((answer, channel));
        }
        let answer = guest.ear.open.as_ref().map(|(answer, _)| answer.clone());
        if let Some(answer) = answer {
            self.say(link, &Message::Signal(answer));
        }
        self.spread(&key, now);
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
        let config = &self.config.signals;
        let per_second = guest.pass.signals(config.per_second);
        let rule = (&SignalConfig { per_second, ..config.clone() }, now);
        let may = guest.ear.may_take(rule) && room.signals().has_room(rule);
        let (asks, writes, by) = (guest.minor >= SETTLES, guest.pass.writes(), guest.writer());
        let Some(channel) = guest.ear.channel() else {
            self.refuse(link, Refusal::BadMessage, now);
            return;
        };
        // Of too many, or where some before them are missing, none: they are said again.
        let mut own = Vec::new();
        let known = may.then(|| channel.offer(position, signals.len(), now)).flatten();
        for mut signal in signals.into_iter().skip(known.unwrap_or(usize::MAX)) {
            guest.ear.took(signal.payload.len());
            let may = writes || !is_of_model(&signal);
            if room.signals_mut().takes(who, signal.number) && may {
                let asker = Asker { who, given: signal.number };
                let may = may_give(room, peer, &signal);
                let plugged = self.plugin.as_mut().zip(by);
                let may = may && hears(plugged, (&key, room, now), (&mut signal, true), limit);
                own.extend(take(room, signal, (asker, asks, may), rule));
            }
        }
        for signal in own {
            self.report(HubEvent::Signal { room: key.clone(), signal });
        }
        self.spread(&key, now);
        self.pump_signals(link, now);
    }

    fn on_signals_received(&mut self, now: Time, link: Link, received: u64, gap: bool) {
        let Some((key, peer)) = self.member(link) else { return };
        let (Some(room), Some(guest)) = (self.rooms.get_mut(&key), self.guests.get_mut(&link))
        else {
            return;
        };
        let patience = guest.lane.patience();
        if let Some(channel) = guest.ear.channel() {
            channel.acknowledge(received, gap, (now, patience));
            // All that is not on its way, nor waits, has been heard.
            let through = channel.first().map_or(u64::MAX, |first| first.saturating_sub(1));
            room.signals_mut().hear(peer, through, now);
        }
        self.spread(&key, now);
        self.pump_signals(link, now);
    }

    /// Sends new signals to the members that are to hear them.
    pub(super) fn spread(&mut self, key: &RoomKey, now: Time) {
        let Some(room) = self.rooms.get_mut(key) else { return };
        let fresh = room.signals_mut().take_fresh();
        if fresh.is_empty() {
            return;
        }
        let signals = room.signals();
        let mut told = Vec::new();
        for link in room.links() {
            let Some(guest) = self.guests.get_mut(&link) else { continue };
            let who = (guest.peer, guest.session());
            let Some(channel) = guest.ear.channel() else { continue };
            let before = channel.pushed();
            for number in &fresh {
                if signals.get(*number).is_some_and(|kept| kept.is_for(who)) {
                    channel.push(*number);
                }
            }
            told.extend((channel.pushed() > before).then_some(link));
        }
        for link in told {
            self.pump_signals(link, now);
        }
    }

    /// Lets signals go that are too old, and tells of those whose givers asked.
    pub(super) fn expire_signals(&mut self, now: Time) {
        let due = self.rooms_due(now, |hub, (_, room)| room.signals().due(&hub.config.signals));
        for key in &due {
            if let Some(room) = self.rooms.get_mut(key) {
                room.signals_mut().expire((&self.config.signals, now));
            }
        }
        for key in due {
            self.spread(&key, now);
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

    /// The next message of one sort: of signals, or of what became of some.
    fn next_signals(&mut self, link: Link, now: Time) -> Option<SignalMessage> {
        let guest = self.guests.get_mut(&link)?;
        let Stage::Member { room, .. } = &guest.stage else { return None };
        let signals = self.rooms.get_mut(room)?.signals_mut();
        let outstanding = guest.outstanding[Lane::Control as usize];
        let patience = guest.lane.patience();
        let channel = guest.ear.channel()?;
        let settles = signals.get(channel.next()?)?.settles();
        let (position, said) = channel.gather(outstanding, (now, patience), |number| {
            let same = signals.get(number)?.settles() == settles;
            same.then(|| signals.say(number)).flatten()
        })?;
        let (mut heard, mut settled) = (Vec::new(), Vec::new());
        for what in said {
            match what {
                What::Heard(record) => heard.push(record),
                What::Settled(record) => settled.push(record),
            }
        }
        Some(if settles {
            SignalMessage::Settled { position, settled: List::of(settled) }
        } else {
            SignalMessage::Heard { position, signals: List::of(heard) }
        })
    }

    /// Which room a link's peer is in, and who it is.
    fn member(&self, link: Link) -> Option<(RoomKey, PeerId)> {
        let guest = self.guests.get(&link)?;
        guest.place().map(|(room, _)| (room, guest.peer))
    }
}

/// Whether a plugin, if there is one, lets a signal of a member's be heard, which it may change.
fn hears(
    plugged: Option<(&mut Plugged, Writer)>,
    (key, room, now): (&RoomKey, &Room, Time),
    (signal, reliable): (&mut SignalRecord, bool),
    limit: usize,
) -> bool {
    plugged.is_none_or(|(plugged, by)| {
        let [models, texts] = room.logs();
        let view = View::new(models, texts);
        Asking::new(plugged, (key, by, now)).hear(signal, (view, reliable), limit)
    })
}

/// Takes a signal of a session, which wants to know its outcome or not, and may give it or not. Returns
/// it if it is for the relay itself.
fn take(
    room: &mut Room,
    signal: SignalRecord,
    (asker, asks, may): (Asker, bool, bool),
    rule: Rule<'_>,
) -> Option<Signalled> {
    let (by, now) = (asker.who.0, rule.1);
    let signals = room.signals_mut();
    let told = (signal.subject, signal.payload);
    match signal.to {
        SignalAudience::Others => {
            if may {
                signals.keep((by, Hearer::Others(by)), told, None, rule);
            }
        }
        SignalAudience::Peer(_) | SignalAudience::Relay if !may => {
            if asks {
                signals.settle(asker, SignalOutcome::Unknown, now);
            }
        }
        SignalAudience::Peer(to) if asks && !signals.expects(to, rule) => {
            signals.miss(to, asker, now);
        }
        SignalAudience::Peer(to) => {
            signals.keep((by, Hearer::Peer(to)), told, asks.then_some(asker), rule);
        }
        SignalAudience::Relay => {
            if asks {
                signals.settle(asker, SignalOutcome::Heard, now);
            }
            let (subject, payload) = (told.0.into(), told.1.into_bytes());
            let (origin, reliable) = (Origin::Remote, true);
            return Some(Signalled { subject, payload, by, origin, reliable });
        }
    }
    None
}

/// Whether a signal is of a model: who may not write gives none of these.
const fn is_of_model(signal: &SignalRecord) -> bool {
    match signal.subject {
        SignalSubject::Property { .. } => true,
        SignalSubject::Name(_) => false,
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
