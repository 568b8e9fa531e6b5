//! What becomes of what a peer owns when it is gone: its models are nobody's, or are gone too. It
//! happens in one change, by the relay; no peer does it.

use super::grants::{Decree, cleared, is_exclusive};
use super::{Grantor, Holdings};
use crate::proto::config::OwnershipConfig;
use crate::proto::id::{Link, PeerId};
use crate::proto::log::ChangeLog;
use crate::proto::model::path::Path;
use crate::proto::ownership::Grant;
use crate::proto::time::Time;

impl Holdings {
    /// Whom nothing was heard of for the grace, of those who own something or are on their way back.
    pub(super) fn overdue(
        &self,
        heard: impl Fn(Link) -> Option<Time>,
        config: &OwnershipConfig,
        now: Time,
    ) -> Vec<(PeerId, Time)> {
        let overdue = self.presences.iter().filter_map(|(peer, presence)| {
            let heard = presence.link.and_then(&heard).unwrap_or(presence.heard);
            let late = presence.link.is_none() || self.owned.contains_key(peer);
            (late && heard + config.grace <= now).then_some((*peer, heard))
        });
        overdue.collect()
    }

    /// When somebody is next overdue.
    pub(super) fn overdue_at(
        &self,
        heard: impl Fn(Link) -> Option<Time>,
        config: &OwnershipConfig,
    ) -> Option<Time> {
        let due = self.presences.iter().filter_map(|(peer, presence)| {
            let late = presence.link.is_none() || self.owned.contains_key(peer);
            let heard = presence.link.and_then(&heard).unwrap_or(presence.heard);
            late.then(|| heard + config.grace)
        });
        due.min()
    }

    /// A peer that was last heard at a time owns nothing any more. If it said goodbye it cannot believe
    /// that it does.
    pub(super) fn lapse(
        &mut self,
        log: &ChangeLog,
        (peer, heard): (PeerId, Option<Time>),
        (grantor, config): (&mut Grantor, &OwnershipConfig),
    ) -> Decree {
        let mut decree = Decree::default();
        if self.session_of(peer).is_none() || heard.is_none() {
            self.queue.forget(peer);
            self.claimed.remove(&peer);
        }
        if !self.owned.contains_key(&peer) {
            return decree;
        }
        let mut ended = Vec::new();
        let ledger = log.ledger();
        let owned = ledger.granted_from("").filter(|(_, grant)| grant.owner() == Some(peer));
        for (model, grant) in owned {
            if !decree.names(&model) {
                let model = Path::parse(&model);
                if let Some(heard) = heard.filter(|_| is_exclusive(&grant)) {
                    self.queue.fence(model.clone(), heard + config.lease);
                }
                self.answered.remove(&model);
                if grant.terms.destroy_with_owner {
                    ledger.granted_below(&model).for_each(|(gone, _)| decree.set(gone, None));
                }
                ended.push(model.clone());
                end(&mut decree, (model, grant), grant.terms.destroy_with_owner, grantor);
            }
        }
        for model in ended {
            self.wake_below(ledger, &model, grantor, &mut decree);
        }
        decree
    }

    /// A peer is gone for good. Returns whether the room is without anybody now.
    pub(super) fn forget(&mut self, peer: PeerId) -> bool {
        if self.presences.get(&peer).is_some_and(|presence| presence.link.is_none()) {
            self.presences.remove(&peer);
        }
        self.presences.is_empty()
    }

    /// The last peer is gone.
    pub(super) fn close(log: &ChangeLog, grantor: &mut Grantor) -> Decree {
        let mut decree = Decree::default();
        for (model, grant) in log.ledger().granted_from("") {
            if grant.terms.destroy_with_last {
                end(&mut decree, (Path::parse(&model), grant), true, grantor);
            }
        }
        decree
    }
}

/// Nobody owns a model any more, or the model goes and with it what was said of it.
pub(super) fn end(
    decree: &mut Decree,
    (model, grant): (Path, Grant),
    destroy: bool,
    grantor: &mut Grantor,
) {
    if destroy {
        decree.remove(model.clone());
        decree.set(model, None);
    } else {
        let grant = cleared(&grant, grantor.next());
        decree.set(model, grant);
    }
}
