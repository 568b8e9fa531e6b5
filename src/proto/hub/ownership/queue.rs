//! Claims of exclusive models, which wait until the owner has let go or cannot believe any more that
//! it owns.

use std::collections::{BTreeMap, VecDeque};

use super::asked::Asked;
use super::gate::Verdict;
use super::grants::UNASKED;
use super::{Grantor, Holdings};
use crate::proto::config::OwnershipConfig;
use crate::proto::id::{Link, PeerId};
use crate::proto::log::ChangeLog;
use crate::proto::model::path::Path;
use crate::proto::ownership::{Session, Terms};
use crate::proto::time::Time;

/// Who waits for what. A peer waits once for each model.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: BTreeMap<Path, VecDeque<(Asked, Terms)>>,
    /// Until when nobody may be granted a model whose owner went without a word.
    fenced: BTreeMap<Path, Time>,
    /// When owners are asked to let go again.
    ask_at: Option<Time>,
}

impl Queue {
    /// Whether anybody waits for a model.
    pub(super) fn waits(&self, model: &Path) -> bool {
        self.waiting.contains_key(model)
    }

    /// When a model may be granted to another than its last owner.
    pub(super) fn not_before(&self, model: &Path) -> Time {
        self.fenced.get(model).copied().unwrap_or(Time::ZERO)
    }

    pub(super) fn fence(&mut self, model: Path, until: Time) {
        self.fenced.insert(model, until);
    }

    pub(super) fn push(&mut self, asked: Asked, terms: Terms, now: Time) {
        let waiting = self.waiting.entry(asked.model.clone()).or_default();
        waiting.retain(|(before, _)| before.by.peer != asked.by.peer);
        waiting.push_back((asked, terms));
        self.ask_at = Some(now);
    }

    /// Lets somebody wait before all others.
    pub(super) fn push_first(&mut self, asked: Asked, terms: Terms, now: Time) {
        let waiting = self.waiting.entry(asked.model.clone()).or_default();
        waiting.retain(|(before, _)| before.by.peer != asked.by.peer);
        waiting.push_front((asked, terms));
        self.ask_at = Some(now);
    }

    /// Nobody waits for a model any more because a relay has decreed it. Returns on which terms somebody
    /// did.
    pub(super) fn withdraw_decree(&mut self, model: &Path) -> Option<Terms> {
        let waiting = self.waiting.get_mut(model)?;
        let decreed = |asked: &Asked| asked.id.actor == UNASKED.0;
        let terms = waiting.iter().find(|(asked, _)| decreed(asked)).map(|(_, terms)| *terms);
        waiting.retain(|(asked, _)| !decreed(asked));
        if waiting.is_empty() {
            self.waiting.remove(model);
        }
        terms
    }

    /// A peer does not wait for a model any more.
    pub(super) fn withdraw(&mut self, model: &Path, peer: PeerId) -> bool {
        let Some(waiting) = self.waiting.get_mut(model) else {
            return false;
        };
        let before = waiting.len();
        waiting.retain(|(asked, _)| asked.by.peer != peer);
        let withdrawn = waiting.len() < before;
        if waiting.is_empty() {
            self.waiting.remove(model);
        }
        withdrawn
    }

    /// A peer does not wait for anything any more.
    pub(super) fn forget(&mut self, peer: PeerId) {
        for waiting in self.waiting.values_mut() {
            waiting.retain(|(asked, _)| asked.by.peer != peer);
        }
        self.waiting.retain(|_, waiting| !waiting.is_empty());
    }

    /// A model is gone, and nothing is to be had of it.
    pub(super) fn drop_model(&mut self, model: &Path) {
        self.waiting.remove(model);
        self.fenced.remove(model);
    }

    pub(super) fn models(&self) -> impl Iterator<Item = &Path> {
        self.waiting.keys()
    }

    /// The next who waits for a model.
    pub(super) fn pop(&mut self, model: &Path) -> Option<(Asked, Terms)> {
        let waiting = self.waiting.get_mut(model)?;
        let next = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(model);
        }
        next
    }

    /// Whether it is time to ask owners to let go.
    pub(super) fn take_ask(&mut self, now: Time, config: &OwnershipConfig) -> bool {
        if self.waiting.is_empty() {
            self.ask_at = None;
            self.fenced.retain(|_, until| *until > now);
            return false;
        }
        let due = self.ask_at.is_some_and(|at| at <= now);
        if due {
            self.ask_at = Some(now + config.revoke_interval);
        }
        due
    }

    pub(super) const fn due(&self) -> Option<Time> {
        self.ask_at
    }
}

impl Holdings {
    /// What is due to those who wait: of each model that can be had now, the claim that comes next.
    pub(super) fn ready(
        &mut self,
        log: &ChangeLog,
        (grantor, config): (&Grantor, &OwnershipConfig),
        heard: impl Fn(Link) -> Option<Time>,
        now: Time,
    ) -> Vec<(Asked, Verdict)> {
        let ledger = log.ledger();
        let ready_at = grantor.ready_at(config);
        let relay = grantor.introduction();
        let can_be_had = |model: &Path| {
            let grant = ledger.grant(model.as_str());
            let Some(grant) = grant.filter(|grant| grant.held) else {
                return now >= self.queue.not_before(model).max(ready_at);
            };
            if grant.holder == relay.peer && grant.session == Session::of(relay.incarnation) {
                return false;
            }
            // An owner that is heard renews its lease with everything that it says.
            let presence = self.presences.get(&grant.holder);
            let last = presence.map(|presence| {
                presence.link.and_then(&heard).unwrap_or(presence.heard) + config.lease
            });
            now >= last.unwrap_or(Time::ZERO).max(ready_at)
        };
        let models: Vec<Path> =
            self.queue.models().filter(|model| can_be_had(model)).cloned().collect();
        let mut ready = Vec::new();
        for model in models {
            while let Some((asked, terms)) = self.queue.pop(&model) {
                if asked.by == relay || self.session_of(asked.by.peer).is_some() {
                    ready.push((asked, Verdict::Granted { terms, kept: false }));
                    break;
                }
            }
        }
        ready
    }

    /// The owners that are to let go, each with its link and the grant that is to end.
    pub(super) fn to_revoke(&self, log: &ChangeLog) -> Vec<(Link, Path, u64)> {
        let ledger = log.ledger();
        let owners = self.queue.models().filter_map(|model| {
            let grant = ledger.grant(model.as_str()).filter(|grant| grant.held)?;
            let link = self.presences.get(&grant.holder)?.link?;
            Some((link, model.clone(), grant.token.0))
        });
        owners.collect()
    }
}
