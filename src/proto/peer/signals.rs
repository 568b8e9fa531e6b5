//! Signals of a peer: its own until the relay has them, and others' until their models are here.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::Peer;
use super::connection::{Connection, Stage};
use crate::proto::channel::Channel;
use crate::proto::datastore::{Datastore, Given};
use crate::proto::event::Event;
use crate::proto::event::signal::{Audience, Subject};
use crate::proto::id::{Lane, PeerId};
use crate::proto::model::path::Path;
use crate::proto::time::Time;
use crate::proto::wire::bounded::{Blob, Line, List};
use crate::proto::wire::message::{
    HeardRecord, Life, Message, SignalAudience, SignalMessage, SignalRecord, SignalSubject,
};

/// The first minor version whose relays know signals.
const SINCE: u16 = 3;
/// What this peer heard, and how it stands with the relay.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// The last one that was heard, and in which life of the room.
    life: Life,
    heard: u64,
    /// When the relay is asked again.
    ask_at: Time,
    /// Once the relay has answered, until the link is gone.
    channel: Option<Channel>,
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
        self.ask_at = Time::ZERO;
    }

    /// Who comes back after leaving is new: it hears nothing of what was told meanwhile.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
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
        let oldest = outbox.oldest().filter(|_| channel.is_none());
        let old = oldest.map(|since| {
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
            self.store.lose_signals(lost);
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
        (self.signals.life, self.signals.heard) = (life, heard);
        let outbox = self.store.outbox_mut();
        let lost = match taken.filter(|_| same) {
            Some(taken) => {
                outbox.take_while(|given| given.number <= taken);
                Vec::new()
            }
            // What went out may have been heard or not: it must not be heard twice.
            None => outbox.take_while(|given| given.sent),
        };
        let mut channel = Channel::new(&self.config.limits);
        outbox.numbered().for_each(|given| channel.push(given.number));
        (self.signals.channel, self.signals.alone_since) = (Some(channel), None);
        self.store.lose_signals(lost);
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
            let (subject, payload) = (heard(subject), payload.into_bytes());
            match &subject {
                Subject::Property { model, .. } if !self.is_heard(model) => {
                    self.wait_for(model.clone(), Waiting { until: None, by, subject, payload });
                }
                Subject::Property { .. } | Subject::Name(_) => {
                    self.store.hear_signal(by, subject, payload);
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
        self.store.outbox_mut().take_while(arrived);
    }

    /// This peer is not to be heard any more: what the relay is not known to have may be lost.
    pub(super) fn give_up_signals(&mut self) {
        let lost = self.store.outbox_mut().take(|_| true);
        self.store.lose_signals(lost);
    }

    /// Nobody is there to hear what was given.
    pub(super) fn forget_signals(&mut self) {
        self.store.outbox_mut().take(|_| true);
    }

    pub(super) fn patience(&self) -> Duration {
        self.connection.as_ref().map_or(Duration::ZERO, |open| open.lane.patience())
    }

    /// Sends what was given, as far as the lane takes it, acknowledges what came, and tells of it.
    pub(super) fn pump_signals(&mut self, now: Time) {
        self.take_given(now);
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
            Some((record(given)?, given.size()))
        })?;
        Some(SignalMessage::Given { position, signals: List::of(signals) })
    }

    /// Takes what was given since: it waits for the relay, if there is one.
    fn take_given(&mut self, now: Time) {
        if !self.online {
            self.forget_signals();
        } else if !self.store.outbox().is_empty() {
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
                self.store.hear_signal(by, subject, payload);
            }
        }
    }
}

/// Whether a model is here, if only as far as the documents tell.
fn is_here(store: &Datastore, model: &Path) -> bool {
    store.has_model(model) || store.table().find(model).is_some()
}

fn heard(subject: SignalSubject) -> Subject {
    match subject {
        SignalSubject::Property { model, property } => {
            Subject::Property { model: Path::parse(&model), property }
        }
        SignalSubject::Name(name) => Subject::Name((*name).to_owned()),
    }
}

fn record(given: &Given) -> Option<SignalRecord> {
    let to = match given.to {
        Audience::All | Audience::Others => SignalAudience::Others,
        Audience::Peer(peer) => SignalAudience::Peer(peer),
    };
    let subject = match &given.subject {
        Subject::Property { model, property } => {
            SignalSubject::Property { model: Line::new(model.as_str())?, property: *property }
        }
        Subject::Name(name) => SignalSubject::Name(Line::new(name.as_str())?),
    };
    let payload = Blob::new(given.payload.clone())?;
    Some(SignalRecord { number: given.number, to, subject, payload })
}

/// Whether the relay of a link is one that knows signals, and has let this peer in.
fn knows(open: &Connection) -> bool {
    open.is_in() && open.theirs.as_ref().is_some_and(|hello| hello.version.minor >= SINCE)
}
