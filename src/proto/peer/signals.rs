//! Signals of a peer: its own until the relay has them, and others' until their models are here.

mod cast;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use self::cast::Casts;
use super::Peer;
use super::connection::{Connection, Stage};
use crate::proto::channel::Channel;
use crate::proto::datastore::{Datastore, Given};
use crate::proto::event::Event;
use crate::proto::event::signal::{Audience, Delivery, Subject};
use crate::proto::id::{Lane, PeerId};
use crate::proto::model::path::Path;
use crate::proto::time::Time;
use crate::proto::wire::bounded::{Blob, Line, List};
use crate::proto::wire::message::{
    HeardRecord, Life, Message, SettledRecord, SignalAudience, SignalMessage, SignalOutcome,
    SignalRecord, SignalSubject,
};

/// The first minor version whose relays know signals.
const SINCE: u16 = 3;
/// The first whose relays say what became of them, and pass on those that may be lost.
const SETTLES: u16 = 4;

/// What this peer heard, and how it stands with the relay.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// The last one that was heard, and in which life of the room.
    life: Life,
    heard: u64,
    /// The same when this peer left: its goodbye may not have arrived, and what it heard is not heard
    /// again.
    left: (Life, u64),
    /// When the relay is asked again.
    ask_at: Time,
    /// Once the relay has answered, until the link is gone.
    channel: Option<Channel>,
    casts: Casts,
    /// Since when there has been none.
    alone_since: Option<Time>,
    /// Signals whose models are not here, by model; how many there are, and whether some may be by now.
    waiting: BTreeMap<Path, Vec<Waiting>>,
    count: usize,
    looks: bool,
}

/// A signal whose model is not here.
#[derive(Debug)]
struct Waiting {
    /// Until when, once all that was in the room is here.
    until: Option<Time>,
    by: PeerId,
    subject: Subject,
    payload: Bytes,
}

impl Signals {
    /// The link is gone.
    pub(super) fn hang_up(&mut self) {
        self.channel = None;
        self.casts = Casts::default();
        self.ask_at = Time::ZERO;
    }

    /// Who comes back after leaving is new: it hears nothing of what was told meanwhile.
    pub(super) fn forget(&mut self) {
        let left = if self.life == Life::default() { self.left } else { (self.life, self.heard) };
        *self = Self { left, ..Self::default() };
    }

    /// Something came of a document: what waits may not need to any more.
    pub(super) const fn look(&mut self) {
        self.looks = true;
    }

    fn until(&self) -> Option<Time> {
        self.waiting.values().flatten().filter_map(|waiting| waiting.until).min()
    }
}

impl Peer {
    /// When there is something to do for signals.
    pub(super) fn signals_due(&self) -> Option<Time> {
        let Signals { ask_at, channel, alone_since, .. } = &*self.signals;
        let asks = self.connection.as_ref().is_some_and(knows) && channel.is_none();
        let outbox = self.store.outbox();
        let fresh = outbox.is_fresh().then_some(Time::ZERO);
        let awaited = outbox.is_waited_for().then_some(Time::ZERO);
        let oldest = outbox.oldest().into_iter().chain(awaited).min();
        let old = oldest.filter(|_| channel.is_none()).map(|since| {
            alone_since.map_or(Time::ZERO, |alone| since.max(alone) + self.config.signal_age)
        });
        let due = [asks.then_some(*ask_at), self.signals.until(), fresh, old];
        due.into_iter().flatten().chain(channel.as_ref().and_then(Channel::deadline)).min()
    }

    /// Lets time pass for signals.
    pub(super) fn tick_signals(&mut self, now: Time) {
        if let Some(channel) = &mut self.signals.channel {
            channel.tick(now);
        } else {
            let alone = *self.signals.alone_since.get_or_insert(now);
            let age = self.config.signal_age;
            let old = |given: &Given| given.since.is_some_and(|at| at.max(alone) + age <= now);
            let lost = self.store.outbox_mut().take(old);
            self.lose(lost);
            if alone + age <= now {
                self.lose_awaited();
            }
        }
        let asks = self.connection.as_ref().is_some_and(knows) && self.signals.channel.is_none();
        if asks && self.signals.ask_at <= now {
            self.signals.ask_at = now + self.config.handshake_retry;
            let Signals { life, heard, .. } = *self.signals;
            self.say(&Message::Signal(SignalMessage::From { life, heard }), now);
        }
        self.drop_waiting(now);
    }

    /// Gives up waiting for models, once all is here that was in the room.
    fn drop_waiting(&mut self, now: Time) {
        if self.signals.waiting.is_empty() {
            return;
        }
        let ready = self.connection.as_ref().is_some_and(|open| open.stage == Stage::Ready);
        let patience = self.config.signal_patience;
        let Signals { waiting, count, .. } = &mut *self.signals;
        for waiting in waiting.values_mut() {
            let before = waiting.len();
            waiting.iter_mut().for_each(|waiting| {
                if ready {
                    waiting.until.get_or_insert(now + patience);
                }
            });
            waiting.retain(|waiting| waiting.until.is_none_or(|until| now < until));
            *count -= before - waiting.len();
        }
        waiting.retain(|_, waiting| !waiting.is_empty());
    }

    pub(super) fn on_signal(&mut self, now: Time, message: SignalMessage) {
        match message {
            SignalMessage::Open { life, heard, taken } => {
                self.on_signals_open((life, heard), taken);
            }
            SignalMessage::Heard { position, signals } => {
                self.on_signals_heard(now, position, signals.into_vec());
            }
            SignalMessage::Received { received, gap } => {
                self.on_signals_received(now, received, gap);
            }
            SignalMessage::Settled { position, settled } => {
                self.on_signals_settled(now, position, settled.into_vec());
            }
            SignalMessage::From { .. } | SignalMessage::Given { .. } => {
                self.fault("a message that no relay sends");
            }
        }
    }

    /// The relay knows which signals this peer has heard, and says which of this peer's it has.
    fn on_signals_open(&mut self, (life, heard): (Life, u64), taken: Option<u64>) {
        if self.signals.channel.is_some() || !self.connection.as_ref().is_some_and(knows) {
            return;
        }
        let (known, same) = (self.signals.life != Life::default(), self.signals.life == life);
        let missed = known && (!same || self.signals.heard < heard);
        let (left, last) = self.signals.left;
        let last = if left == life { last } else { 0 };
        (self.signals.life, self.signals.heard) = (life, heard.max(last));
        let taken = taken.filter(|_| same);
        if taken.is_none() || missed {
            // Among what it missed there may have been their outcomes.
            self.lose_awaited();
        }
        let outbox = self.store.outbox_mut();
        match taken {
            Some(taken) => {
                let arrived = outbox.take_while(|given| given.number <= taken);
                self.arrive(arrived, missed);
            }
            // What went out may have been heard or not: it must not be heard twice.
            None => {
                let lost = outbox.take_while(|given| given.sent);
                self.lose(lost);
            }
        }
        self.drop_unsayable();
        let mut channel = Channel::new(&self.config.limits);
        self.store.outbox().numbered().for_each(|given| channel.push(given.number));
        (self.signals.channel, self.signals.alone_since) = (Some(channel), None);
        if missed {
            self.tell(Event::SignalsMissed);
        }
    }

    /// Others' signals came.
    fn on_signals_heard(&mut self, now: Time, position: u64, signals: Vec<HeardRecord>) {
        let Some(channel) = &mut self.signals.channel else { return };
        let Some(known) = channel.offer(position, signals.len(), now) else { return };
        for HeardRecord { number, by, subject, payload } in signals.into_iter().skip(known) {
            // It came by an earlier link.
            if number <= self.signals.heard {
                continue;
            }
            self.signals.heard = number;
            let (subject, payload) = (Subject::from(subject), payload.into_bytes());
            match &subject {
                Subject::Property { model, .. } if !self.is_heard(model) => {
                    self.wait_for(model.clone(), Waiting { until: None, by, subject, payload });
                }
                Subject::Property { .. } | Subject::Name(_) => {
                    self.store.hear_signal(by, (subject, payload), true);
                }
            }
        }
    }

    /// Whether a signal of a model can be told: that is here, and none waits for it.
    fn is_heard(&self, model: &Path) -> bool {
        !self.signals.waiting.contains_key(model) && is_here(&self.store, model)
    }

    fn wait_for(&mut self, model: Path, waiting: Waiting) {
        if self.signals.count >= self.config.limits.signals_waiting {
            tracing::debug!(%model, "too many signals wait for their models: one is dropped");
            return;
        }
        self.signals.count += 1;
        self.signals.waiting.entry(model).or_default().push(waiting);
    }

    fn on_signals_received(&mut self, now: Time, received: u64, gap: bool) {
        let patience = self.patience();
        let Some(channel) = &mut self.signals.channel else { return };
        channel.acknowledge(received, gap, (now, patience));
        let first = channel.first();
        let arrived = |given: &Given| given.sent && first.is_none_or(|first| given.number < first);
        let arrived = self.store.outbox_mut().take_while(arrived);
        self.arrive(arrived, false);
    }

    /// The relay has some signals of this peer's. What becomes of those to one hearer it says, unless
    /// it has done so and that was `missed`.
    fn arrive(&mut self, arrived: Vec<Given>, missed: bool) {
        let says = self.connection.as_ref().is_some_and(|open| minor(open) >= SETTLES);
        let most = self.config.limits.signals_awaited;
        let mut lost = Vec::new();
        for given in arrived.iter().filter(|given| given.asks()) {
            let one = if says && !missed {
                self.store.outbox_mut().wait_for(given, most)
            } else {
                Some(given.id)
            };
            lost.extend(one);
        }
        self.store.lose_signals(lost);
    }

    /// The relay says what became of signals of this peer's.
    fn on_signals_settled(&mut self, now: Time, position: u64, settled: Vec<SettledRecord>) {
        let Some(channel) = &mut self.signals.channel else { return };
        let Some(known) = channel.offer(position, settled.len(), now) else { return };
        for SettledRecord { number, given, outcome } in settled.into_iter().skip(known) {
            // It came by an earlier link.
            if number <= self.signals.heard {
                continue;
            }
            self.signals.heard = number;
            let Some(id) = self.store.outbox_mut().settle(given) else { continue };
            match outcome {
                SignalOutcome::Heard => self.store.settle_signal(id, Delivery::Heard),
                SignalOutcome::Absent => self.store.settle_signal(id, Delivery::Absent),
                SignalOutcome::Unknown => self.store.lose_signals([id]),
            }
        }
    }

    /// A relay of before 2.4 takes no signals for itself.
    fn drop_unsayable(&mut self) {
        let open = self.connection.as_ref();
        if open.is_some_and(|open| knows(open) && minor(open) < SETTLES) {
            for given in self.store.outbox_mut().take(|given| given.to == Audience::Relay) {
                self.store.settle_signal(given.id, Delivery::Absent);
            }
        }
    }

    /// It is not known what became of some, where that was not told before.
    fn lose(&mut self, given: Vec<Given>) {
        let lost = given.into_iter().filter(|given| !given.settled);
        self.store.lose_signals(lost.map(|given| given.id));
    }

    /// What became of those that the relay has will not be told.
    fn lose_awaited(&mut self) {
        let lost = self.store.outbox_mut().take_awaited();
        self.store.lose_signals(lost);
    }

    /// This peer is not to be heard any more: what the relay is not known to have may be lost.
    pub(super) fn give_up_signals(&mut self) {
        self.lose_awaited();
        let lost = self.store.outbox_mut().take(|_| true);
        self.lose(lost);
    }

    /// Nobody is there to hear what was given.
    pub(super) fn forget_signals(&mut self) {
        let unheard = self.store.outbox_mut().take(|_| true);
        for given in unheard.iter().filter(|given| given.asks()) {
            self.store.settle_signal(given.id, Delivery::Absent);
        }
    }

    pub(super) fn patience(&self) -> Duration {
        self.connection.as_ref().map_or(Duration::ZERO, |open| open.lane.patience())
    }

    /// Sends what was given, as far as the lane takes it, acknowledges what came, and tells of it.
    pub(super) fn pump_signals(&mut self, now: Time) {
        self.take_given(now);
        self.pump_casts(now);
        while let Some(message) = self.next_signals(now) {
            self.say(&Message::Signal(message), now);
        }
        if let Some(answer) = self.signals.channel.as_mut().and_then(|open| open.answer(now)) {
            self.say(&Message::Signal(answer), now);
        }
        self.tell_waiting();
    }

    fn next_signals(&mut self, now: Time) -> Option<SignalMessage> {
        let patience = self.patience();
        let outstanding = self.connection.as_ref()?.outstanding[Lane::Control as usize];
        let outbox = self.store.outbox_mut();
        let channel = self.signals.channel.as_mut()?;
        let (position, signals) = channel.gather(outstanding, (now, patience), |number| {
            let given = outbox.get_mut(number)?;
            given.sent = true;
            let record = record(number, given.to, &given.subject, &given.payload)?;
            Some((record, given.size()))
        })?;
        Some(SignalMessage::Given { position, signals: List::of(signals) })
    }

    /// Takes what was given since: it waits for the relay, if there is one.
    fn take_given(&mut self, now: Time) {
        if !self.online {
            self.forget_signals();
        } else if !self.store.outbox().is_empty() {
            self.drop_unsayable();
            for number in self.store.let_signals_go(now) {
                if let Some(channel) = &mut self.signals.channel {
                    channel.push(number);
                }
            }
        }
    }

    /// Tells the application of what waited for its model and need not any more.
    fn tell_waiting(&mut self) {
        if !std::mem::take(&mut self.signals.looks) || self.signals.waiting.is_empty() {
            return;
        }
        for (model, waiting) in std::mem::take(&mut self.signals.waiting) {
            if !is_here(&self.store, &model) {
                self.signals.waiting.insert(model, waiting);
                continue;
            }
            self.signals.count -= waiting.len();
            for Waiting { by, subject, payload, .. } in waiting {
                self.store.hear_signal(by, (subject, payload), true);
            }
        }
    }
}

/// Whether a model is here, if only as far as the documents tell.
fn is_here(store: &Datastore, model: &Path) -> bool {
    store.has_model(model) || store.table().find(model).is_some()
}

fn record(number: u64, to: Audience, subject: &Subject, payload: &Bytes) -> Option<SignalRecord> {
    let to = match to {
        Audience::All | Audience::Others => SignalAudience::Others,
        Audience::Peer(peer) => SignalAudience::Peer(peer),
        Audience::Relay => SignalAudience::Relay,
    };
    let subject = match subject {
        Subject::Property { model, property } => {
            SignalSubject::Property { model: Line::new(model.as_str())?, property: *property }
        }
        Subject::Name(name) => SignalSubject::Name(Line::new(name.as_str())?),
    };
    let payload = Blob::new(payload.clone())?;
    Some(SignalRecord { number, to, subject, payload })
}

/// Whether the relay of a link is one that knows signals, and has let this peer in.
fn knows(open: &Connection) -> bool {
    open.is_in() && minor(open) >= SINCE
}

/// The minor version that the relay of a link speaks.
fn minor(open: &Connection) -> u16 {
    open.theirs.as_ref().map_or(0, |hello| hello.version.minor)
}
