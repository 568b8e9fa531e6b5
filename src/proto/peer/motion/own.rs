//! Values that this peer says.

use std::collections::BTreeSet;
use std::time::Duration;

use smol_str::{SmolStr, ToSmolStr};

use super::{Motion, Peer};
use crate::proto::config::PeerConfig;
use crate::proto::event::Origin;
use crate::proto::model::value::Value;
use crate::proto::model::words::StateTerms;
use crate::proto::motion::name::Name;
use crate::proto::motion::packets;
use crate::proto::state::grid::Truth;
use crate::proto::state::stream::Outgoing;
use crate::proto::time::Time;

/// How many more times what is redundant is said.
const RESENDS: u8 = 2;

/// A value that this peer says.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) name: Name,
    terms: StateTerms,
    value: Value,
    truth: Truth,
    written: Time,
    /// What the document got last, and when.
    folded: Option<Value>,
    folded_at: Time,
    /// Whether the link's stream has it as it is.
    said: bool,
    /// The first packet that had it as it is.
    sent: Option<u16>,
    /// Since when its model has not been here: it may come back.
    missing: Option<Time>,
}

impl Own {
    /// Gives it to the link's stream, if that does not have it as it is.
    pub(super) fn say(&mut self, name: &str, outgoing: &mut Outgoing) {
        if std::mem::replace(&mut self.said, true) {
            return;
        }
        if let Err(error) = outgoing.set(name, self.name.grid.kind(), self.truth) {
            tracing::debug!(%name, %error, "not said");
        }
    }

    /// Another link: its stream has nothing yet, and packets count from 1.
    pub(super) const fn begin(&mut self) {
        (self.said, self.sent) = (false, None);
    }

    /// A packet went out with what the stream has.
    pub(super) const fn sent(&mut self, number: u16) {
        if self.said && self.sent.is_none() {
            self.sent = Some(number);
        }
    }

    /// Whether it was written since a packet went out.
    pub(super) fn is_newer_than(&self, packet: u16) -> bool {
        self.sent.is_none_or(|sent| packets::ahead(packet, sent))
    }

    /// When it passes, if it does.
    fn passes(&self) -> Option<Time> {
        Some(self.written + self.terms.ephemeral?)
    }

    /// When it goes into the document, if nothing is written before.
    fn folds(&self, rest: Duration, fold: Duration) -> Option<Time> {
        let lacks = self.folded.as_ref() != Some(&self.value);
        let folds = self.terms.ephemeral.is_none() && self.missing.is_none();
        (lacks && folds).then(|| (self.written + rest).min(self.folded_at + fold))
    }
}

impl Peer {
    /// Takes what was written since this was last done.
    pub(super) fn take_own(&mut self, now: Time) {
        let Motion { own, lane, written: last, .. } = &mut *self.motion;
        for written in self.store.take_moved() {
            *last = now;
            let grid = written.terms.grid;
            let ephemeral = written.terms.ephemeral.is_some();
            let (model, property) = (written.model, written.property);
            let name = Name { model, property, grid, ephemeral };
            let text = name.to_smolstr();
            let Some(truth) = written.terms.quantised(&written.value) else {
                // It is nothing any more.
                lane.outgoing.remove(&text);
                own.remove(&text);
                lane.stirred = true;
                continue;
            };
            if own.len() >= self.config.state.entries && !own.contains_key(&text) {
                tracing::debug!(name = %text, "too many values: not said");
                continue;
            }
            let before = own.get(&text);
            let now_own = Own {
                terms: written.terms,
                value: written.value,
                truth,
                written: now,
                folded: before.and_then(|own| own.folded.clone()),
                folded_at: before.map_or(now, |own| own.folded_at),
                said: false,
                sent: None,
                missing: None,
                name,
            };
            lane.stirred = true;
            if written.terms.redundant {
                lane.again = RESENDS + 1;
            }
            own.insert(text, now_own);
        }
    }

    /// Lets go of what is not this peer's any more or has passed, and folds what is due.
    pub(super) fn check_own(&mut self, now: Time) {
        let PeerConfig { rest, fold, .. } = self.config;
        let mut lost = Vec::<SmolStr>::new();
        for (text, own) in &mut self.motion.own {
            let missing = !self.store.has_model(&own.name.model);
            own.missing = own.missing.or(Some(now)).filter(|_| missing);
            let over = own.passes().is_some_and(|at| at <= now)
                || own.missing.is_some_and(|since| since + fold <= now)
                || !self.store.moves(&own.name.model, own.name.property);
            lost.extend(over.then(|| text.clone()));
        }
        self.stop_all(lost, None);
        self.fold_own(now, |own| own.folds(rest, fold).is_some_and(|at| at <= now));
        let due = self.motion.own.values().flat_map(|own| {
            [own.passes(), own.folds(rest, fold), own.missing.map(|since| since + fold)]
        });
        self.motion.changes = due.flatten().min();
    }

    /// Writes values into the document that it lacks: all that `due` says, and what moves with them.
    fn fold_own(&mut self, now: Time, due: impl Fn(&Own) -> bool) {
        let PeerConfig { rest, fold, .. } = self.config;
        if !self.motion.own.values().any(&due) {
            return;
        }
        // Those that are due are written together with those that soon will be: one change.
        let soon = now + fold / 4;
        for own in self.motion.own.values_mut() {
            let moving = own.folded_at + fold <= soon;
            let wanted = due(own) || (moving && own.folds(rest, fold).is_some());
            if !wanted {
                continue;
            }
            let place = (own.name.model.clone(), own.name.property);
            own.folded_at = now;
            match self.store.fold(place, own.value.clone()) {
                Ok(()) => own.folded = Some(own.value.clone()),
                // It is tried again, no sooner than what moves.
                Err(error) => {
                    tracing::debug!(%error, name = %own.name, "not folded");
                    own.written = now + fold;
                }
            }
        }
    }

    /// Writes everything into the document that it lacks: this peer is about to leave.
    pub(in crate::proto::peer) fn fold_all(&mut self, now: Time) {
        self.take_own(now);
        self.fold_own(now, |own| own.folds(Duration::ZERO, Duration::ZERO).is_some());
    }

    /// This peer does not say some values any more, but for those that it wrote since a packet went out.
    pub(super) fn stop_all(
        &mut self,
        names: impl IntoIterator<Item = SmolStr>,
        yielded: Option<u16>,
    ) {
        let names: BTreeSet<SmolStr> =
            names.into_iter().filter(|name| self.stop_own(name, yielded)).collect();
        if !names.is_empty() {
            self.show_again(|name| names.contains(name));
        }
    }

    fn stop_own(&mut self, text: &str, yielded: Option<u16>) -> bool {
        let Motion { own, lane, .. } = &mut *self.motion;
        let stays = |own: &Own| {
            let written = self.store.is_written(&own.name.model, own.name.property);
            yielded.is_some_and(|at| written || own.is_newer_than(at))
        };
        if own.get(text).is_none_or(stays) {
            return false;
        }
        let Some(own) = own.remove(text) else { return false };
        lane.outgoing.remove(text);
        lane.stirred = true;
        let Name { model, property, ephemeral, .. } = &own.name;
        let origin = if *ephemeral && yielded.is_none() { Origin::Local } else { Origin::Remote };
        self.store.stop_moved(model, *property, origin);
        true
    }
}
