//! Signals that may be lost: they go out now or never.

use super::{SETTLES, is_here, minor, record};
use crate::proto::channel::Recent;
use crate::proto::event::signal::Subject;
use crate::proto::peer::Peer;
use crate::proto::peer::connection::Stage;
use crate::proto::time::Time;
use crate::proto::wire::message::{HeardRecord, Message, SignalCast};

/// One link's, both ways.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Casts {
    /// How many were said.
    said: u64,
    heard: Recent,
}

impl Peer {
    /// Says those that were given since.
    pub(super) fn pump_casts(&mut self, now: Time) {
        let casts = self.store.outbox_mut().take_casts();
        let ready = |stage| stage == Stage::Ready;
        if !self.connection.as_ref().is_some_and(|open| ready(open.stage) && minor(open) >= SETTLES)
        {
            return;
        }
        for cast in casts {
            self.signals.casts.said += 1;
            let number = self.signals.casts.said;
            if let Some(record) = record(number, cast.to, &cast.subject, &cast.payload) {
                self.say(&Message::Cast(SignalCast::Given(record)), now);
            }
        }
    }

    /// Another's came. What is of a model that is not here is not waited for.
    pub(in crate::proto::peer) fn on_cast(&mut self, cast: SignalCast) {
        let HeardRecord { number, by, subject, payload } = match cast {
            SignalCast::Heard(record) => record,
            SignalCast::Given(_) => {
                self.fault("a message that no relay sends");
                return;
            }
        };
        let subject = Subject::from(subject);
        let here = match &subject {
            Subject::Property { model, .. } => is_here(&self.store, model),
            Subject::Name(_) => true,
        };
        if here && self.signals.casts.heard.is_new(number) {
            self.store.hear_signal(by, (subject, payload.into_bytes()), false);
        }
    }
}
