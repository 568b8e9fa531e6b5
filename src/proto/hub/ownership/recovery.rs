//! A relay that has forgotten a room is brought back what was in it. Who owns what is read from that,
//! and not decided anew: nothing that comes is judged, and no claim answered, until it is whole.

use std::collections::BTreeMap;

use super::asked::Asked;
use super::grants::Decree;
use super::lapse::end;
use super::{Grantor, Holdings};
use crate::proto::change::Change;
use crate::proto::id::PeerId;
use crate::proto::log::ChangeLog;
use crate::proto::model::path::Path;
use crate::proto::ownership::Grant;
use crate::proto::time::Time;
use crate::proto::wire::message::Hash;

/// How many claims are kept for later. More are never answered; who made them may make them again.
const MOST_CLAIMS: usize = 4_096;

/// How a room is being brought back.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// What must come before it is whole, by the heads of each document, and until when that counts.
    open: Option<([Vec<Hash>; 2], Time)>,
    /// Until when owners of before may come back.
    until: Option<Time>,
    /// Whether anybody has come who knows something of the room: by that who was here before is told from
    /// who was not.
    is_continued: bool,
    /// What was claimed while nothing was judged: the last by each peer of each model.
    claims: BTreeMap<(PeerId, Path), Asked>,
}

impl Recovery {
    /// A member is bringing what `heads` cover back, at most until a time, and so long owners may come.
    pub(super) fn begin(&mut self, heads: [Vec<Hash>; 2], until: Time) {
        self.open = Some((heads, until));
        self.until = Some(until);
    }

    /// A grant of before has come: its owner may come until a time.
    pub(super) fn remember(&mut self, until: Time) {
        self.until.get_or_insert(until);
    }

    /// Somebody has come who knows something of the room.
    pub(super) const fn go_on(&mut self) {
        self.is_continued = true;
    }

    /// Whether what comes is taken as it is.
    pub(super) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Keeps what a change asks for until it can be answered.
    pub(super) fn note(&mut self, asked: Vec<Asked>) {
        for asked in asked {
            if self.claims.len() < MOST_CLAIMS {
                self.claims.insert((asked.by.peer, asked.model.clone()), asked);
            }
        }
    }

    /// Whether everything is here, or will not come: it is over then.
    pub(super) fn close(&mut self, logs: &[ChangeLog; 2], now: Time) -> bool {
        let over = self.open.as_ref().is_some_and(|(heads, by)| {
            let here = logs
                .iter()
                .zip(heads)
                .all(|(log, heads)| heads.iter().all(|head| log.position(head).is_some()));
            here || now >= *by
        });
        if over {
            self.open = None;
        }
        over
    }

    pub(super) fn due(&self) -> Option<Time> {
        self.open.as_ref().map(|(_, by)| *by).or(self.until)
    }
}

impl Holdings {
    /// Goes on with what was granted before the relay forgot. Owners of an earlier boot that are here
    /// keep what they have, under a new token; the others have until the grace is over. What was
    /// granted in this boot was forgotten because everybody had left; and if nobody who knows
    /// anything of the room has come within the grace, the last of them had left with it.
    pub(super) fn recover(&mut self, log: &ChangeLog, grantor: &mut Grantor, now: Time) -> Decree {
        let mut decree = Decree::default();
        let Some(until) = self.recovery.until.filter(|_| !self.recovery.is_open()) else {
            return decree;
        };
        self.count_owners(log);
        let mut waits = false;
        let is_over = now >= until && !self.recovery.is_continued;
        for (model, grant) in log.ledger().granted_from("") {
            let model = Path::parse(&model);
            let ours = grant.token.boot() == grantor.boot && !self.answered.contains_key(&model);
            let earlier = grant.token.boot() < grantor.boot;
            let is_left = is_over && earlier && grant.terms.destroy_with_last;
            if is_left {
                end(&mut decree, (model, grant), true, grantor);
                continue;
            }
            waits |= earlier && now < until && grant.terms.destroy_with_last;
            if !(ours || earlier) || !grant.held {
                continue;
            }
            let here = self.session_of(grant.holder) == Some(grant.session);
            if earlier && here {
                let token = grantor.next();
                let kept = token.0.saturating_sub(grant.since().0);
                decree.set(model, Some(Grant { token, kept, ..grant }));
            } else if earlier && now < until {
                waits = true;
            } else if !here {
                let last = ours && grant.terms.destroy_with_last;
                let destroy = grant.terms.destroy_with_owner || last;
                end(&mut decree, (model, grant), destroy, grantor);
            }
        }
        if !waits {
            self.recovery.until = None;
        }
        decree
    }

    /// The claims that came while nothing was judged, but those that grants from before answer.
    /// Each with its change; nothing if that is not here any more.
    pub(super) fn late_claims(&mut self, log: &ChangeLog) -> Vec<(Asked, Option<Change>)> {
        if self.recovery.is_open() {
            return Vec::new();
        }
        let ledger = log.ledger();
        let claims = std::mem::take(&mut self.recovery.claims).into_values();
        let late = claims.filter_map(|asked| {
            let grant = ledger.grant(asked.model.as_str());
            let answered = grant.is_some_and(|grant| {
                grant.holder == asked.by.peer && grant.claim == asked.id.counter
            });
            let change = log.containing(asked.id).and_then(|index| log.change(index));
            (!answered).then_some((asked, change))
        });
        late.collect()
    }
}
