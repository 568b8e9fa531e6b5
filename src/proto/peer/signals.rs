//! Signals of a peer: its own until the relay has them, and others' until their models are here.

use std::collections::VecDeque;
use std::time::Duration;

use super::Peer;
use super::connection::Connection;
use crate::proto::channel::Channel;
use crate::proto::datastore::{Datastore, Given};
use crate::proto::event::Event;
use crate::proto::event::signal::{Audience, Subject};
use crate::proto::id::Lane;
use crate::proto::model::path::Path;
use crate::proto::time::Time;
use crate::proto::wire::bounded::{Blob, Line, List};
use crate::proto::wire::message::{
    HeardRecord, Life, Message, SignalAudience, SignalMessage, SignalRecord, SignalSubject,
};

/// The first minor version whose relays know signals.
const SINCE: u16 = 3;
/// How many of others' signals may wait for their models. Of more the oldest are dropped.
const MOST_WAITING: usize = 1_024;

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
    waiting: VecDeque<Waiting>,
}

/// A signal whose model is not here.
#[derive(Debug)]
struct Waiting {
    until: Time,
    record: HeardRecord,
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
}

impl Peer {
    /// When there is something to do for signals.
    pub(super) fn signals_due(&self) -> Option<Time> {
        let Signals { ask_at, channel, waiting, .. } = &*self.signals;
        let asks = self.connection.as_ref().is_some_and(knows) && channel.is_none();
        let waits = waiting.front().map(|waiting| waiting.until);
        let age = self.config.signal_age;
        let outbox = self.store.outbox();
        let fresh = outbox.is_fresh().then_some(Time::ZERO);
        let first = outbox.iter().next().filter(|_| channel.is_none());
        let old = first.and_then(|given| given.since).map(|since| since + age);
        let due = [asks.then_some(*ask_at), waits, fresh, old];
        due.into_iter().flatten().chain(channel.as_ref().and_then(Channel::deadline)).min()
    }

    /// Lets time pass for signals.
    pub(super) fn tick_signals(&mut self, now: Time) {
        if let Some(channel) = &mut self.signals.channel {
            channel.tick(now);
        } else if self.connection.as_ref().is_some_and(knows) && self.signals.ask_at <= now {
            self.signals.ask_at = now + self.config.handshake_retry;
            let Signals { life, heard, .. } = *self.signals;
            self.say(&Message::Signal(SignalMessage::From { life, heard }), now);
        }
        if self.signals.channel.is_none() {
            let age = self.config.signal_age;
            let old = |given: &Given| given.since.is_some_and(|since| since + age <= now);
            let lost = self.store.outbox_mut().take_while(old);
            self.store.lose_signals(lost);
        }
        self.signals.waiting.retain(|waiting| now < waiting.until || is_due(&self.store, waiting));
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
        let known = self.signals.life != Life::default();
        let missed = known && (self.signals.life != life || self.signals.heard < heard);
        (self.signals.life, self.signals.heard) = (life, heard);
        let outbox = self.store.outbox_mut();
        let lost = match taken {
            Some(taken) => {
                outbox.take_while(|given| given.id.0 <= taken);
                Vec::new()
            }
            // What went out may have been heard or not: it must not be heard twice.
            None => outbox.take_while(|given| given.sent),
        };
        let mut channel = Channel::new(&self.config.limits);
        // What is fresh is taken with what is given from now on.
        let seen = outbox.iter().filter(|given| given.since.is_some());
        seen.for_each(|given| channel.push(given.id.0));
        self.signals.channel = Some(channel);
        self.store.lose_signals(lost);
        if missed {
            self.tell(Event::SignalsMissed);
        }
    }

    /// Others' signals came.
    fn on_signals_heard(&mut self, now: Time, position: u64, signals: Vec<HeardRecord>) {
        let Some(channel) = &mut self.signals.channel else { return };
        let Some(known) = channel.offer(position, signals.len(), now) else { return };
        for record in signals.into_iter().skip(known) {
            // It came by an earlier link.
            if record.number <= self.signals.heard {
                continue;
            }
            self.signals.heard = record.number;
            let until = now + self.config.signal_patience;
            if self.signals.waiting.len() >= MOST_WAITING {
                self.signals.waiting.pop_front();
            }
            self.signals.waiting.push_back(Waiting { until, record });
        }
    }

    fn on_signals_received(&mut self, now: Time, received: u64, gap: bool) {
        let patience = self.patience();
        let Some(channel) = &mut self.signals.channel else { return };
        channel.acknowledge(received, gap, (now, patience));
        let outbox = self.store.outbox_mut();
        let first = channel.first();
        outbox.take_while(|given| given.sent && first.is_none_or(|first| given.id.0 < first));
    }

    fn patience(&self) -> Duration {
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
        let outbox = self.store.outbox_mut();
        if !self.online {
            outbox.take_while(|_| true);
        }
        let channel = &mut self.signals.channel;
        for given in outbox.iter_mut().filter(|given| given.since.is_none()) {
            given.since = Some(now);
            if let Some(channel) = channel {
                channel.push(given.id.0);
            }
        }
    }

    /// Tells the application of what waited for its model and need not any more.
    fn tell_waiting(&mut self) {
        if self.signals.waiting.is_empty() {
            return;
        }
        for waiting in std::mem::take(&mut self.signals.waiting) {
            if is_due(&self.store, &waiting) {
                let HeardRecord { by, subject, payload, .. } = waiting.record;
                self.store.hear_signal(by, heard(subject), payload.into_bytes());
            } else {
                self.signals.waiting.push_back(waiting);
            }
        }
    }
}

/// Whether a signal can be told: its model is here, or it is of none.
fn is_due(store: &Datastore, waiting: &Waiting) -> bool {
    match &waiting.record.subject {
        SignalSubject::Property { model, .. } => {
            let model = Path::parse(model);
            store.has_model(&model) || store.table().find(&model).is_some()
        }
        SignalSubject::Name(_) => true,
    }
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
    Some(SignalRecord { number: given.id.0, to, subject, payload })
}

/// Whether the relay of a link is one that knows signals, and has let this peer in.
fn knows(open: &Connection) -> bool {
    open.is_in() && open.theirs.as_ref().is_some_and(|hello| hello.version.minor >= SINCE)
}
