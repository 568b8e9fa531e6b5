//! Signals that may be lost: each goes to who is there, at once, and nothing of it is kept.

use super::{SETTLES, hears, is_of_model, may_give};
use crate::proto::event::Origin;
use crate::proto::event::signal::Signalled;
use crate::proto::hub::{Hub, HubEvent};
use crate::proto::id::{Link, PeerId};
use crate::proto::reason::Refusal;
use crate::proto::time::Time;
use crate::proto::wire::message::{HeardRecord, Message, SignalAudience, SignalCast, SignalRecord};

impl Hub {
    /// A member's came. Of too many, the rest is lost.
    pub(in crate::proto::hub) fn on_cast(&mut self, now: Time, link: Link, cast: SignalCast) {
        let mut signal = match cast {
            SignalCast::Given(signal) => signal,
            SignalCast::Heard(_) => {
                self.refuse(link, Refusal::BadMessage, now);
                return;
            }
        };
        let Some((key, by)) = self.member(link) else { return };
        let (Some(room), Some(guest)) = (self.rooms.get(&key), self.guests.get_mut(&link)) else {
            return;
        };
        let (size, limit) = (signal.payload.len(), self.config.limits.cast);
        if size > limit {
            let (limit, size) = (limit as u64, size as u64);
            self.refuse(link, Refusal::TooLarge { limit, size }, now);
            return;
        }
        let rule = (&self.config.signals, now);
        let may = guest.pass.writes() || !is_of_model(&signal);
        if !guest.ear.passes(signal.number, size, rule) || !may || !may_give(room, by, &signal) {
            return;
        }
        let plugged = self.plugin.as_mut().zip(guest.writer());
        if !hears(plugged, (&key, room, now), (&mut signal, false), limit) {
            return;
        }
        let to: Vec<Link> = match signal.to {
            SignalAudience::Others => room.links().filter(|other| *other != link).collect(),
            SignalAudience::Peer(to) => room.link_of(to).into_iter().collect(),
            SignalAudience::Relay => {
                let (subject, payload) = (signal.subject.into(), signal.payload.into_bytes());
                let (origin, reliable) = (Origin::Remote, false);
                let signal = Signalled { subject, payload, by, origin, reliable };
                self.report(HubEvent::Signal { room: key, signal });
                return;
            }
        };
        for link in to {
            self.pass_on(link, by, &signal, now);
        }
    }

    fn pass_on(&mut self, link: Link, by: PeerId, signal: &SignalRecord, now: Time) {
        let rule = (&self.config.signals, now);
        let guest = self.guests.get_mut(&link).filter(|guest| guest.minor >= SETTLES);
        let number = guest.and_then(|guest| guest.ear.tell(signal.payload.len(), rule));
        if let Some(number) = number {
            let (subject, payload) = (signal.subject.clone(), signal.payload.clone());
            let record = HeardRecord { number, by, subject, payload };
            self.say(link, &Message::Cast(SignalCast::Heard(record)));
        }
    }
}
