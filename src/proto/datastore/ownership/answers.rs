//! What comes of what this peer asked for: what the relay says, and what is told of it.

use std::collections::BTreeSet;

use super::Asked;
use crate::proto::change::OpId;
use crate::proto::datastore::Datastore;
use crate::proto::datastore::intent::Intent;
use crate::proto::event::Event;
use crate::proto::id::PeerId;
use crate::proto::model::path::Path;
use crate::proto::ownership::{Claim, Fence, Grant, Mode};
use crate::proto::reason::Denial;
use crate::proto::table::RegisterIndex;

impl Datastore {
    /// A relay is there to answer, or is not any more. What it was asked and may have forgotten is
    /// asked again.
    pub(crate) fn set_online(&mut self, online: bool) {
        if std::mem::replace(&mut self.estate.online, online) == online {
            return;
        }
        self.wakes = true;
        if online {
            self.ask_again(|_| true);
        }
        let subjects: Vec<Path> = self.estate.told.keys().cloned().collect();
        subjects.iter().for_each(|path| self.tell_owner(path));
    }

    /// Asks again for what was said, and what `lost` says is not here any more.
    pub(in crate::proto::datastore) fn ask_again(&mut self, lost: impl Fn(&OpId) -> bool) {
        for (model, asked) in &mut self.estate.asked {
            if asked.id.take_if(|id| lost(id)).is_some() {
                let (model, claim) = (model.clone(), asked.claim);
                self.pending.push(Intent::Claim { model, claim });
            }
        }
    }

    /// Forgets what was asked of a place that a rule keeps anybody from asking: it would be refused again,
    /// for ever. Returns of what models.
    pub(in crate::proto::datastore) fn forget_denied(
        &mut self,
        lost: &impl Fn(&OpId) -> bool,
        (place, why): (&Path, Denial),
    ) -> Vec<Path> {
        if !matches!(why, Denial::Ruled { .. } | Denial::ReadOnly) {
            return Vec::new();
        }
        let goes = |(model, asked): (&Path, &Asked)| {
            let denied = place.contains(model) && asked.id.as_ref().is_some_and(lost);
            denied.then(|| model.clone())
        };
        let denied: Vec<Path> = self.estate.asked.iter().filter_map(goes).collect();
        self.estate.asked.retain(|model, _| !denied.contains(model));
        denied
    }

    /// The operations by which it was asked for what was not answered.
    pub(in crate::proto::datastore) fn said(&self) -> impl Iterator<Item = OpId> + '_ {
        self.estate.asked.values().filter_map(|asked| asked.id)
    }

    /// A model is gone: nothing is asked of it any more.
    pub(in crate::proto::datastore) fn forget_asked(&mut self, model: &Path) {
        // A place is asked for that is to be empty.
        let stays = |path: &Path, asked: &Asked| path == model && asked.claim.reserves();
        self.estate.asked.retain(|path, asked| !model.contains(path) || stays(path, asked));
    }

    /// The last operation by which this peer's present actor claimed a model, if that stands.
    pub(in crate::proto::datastore) fn own_claim(&self, path: &Path) -> Option<OpId> {
        let claims = self.models.ledger().claims(path.as_str());
        claims.map(|(id, _)| id).filter(|id| id.actor == self.actor).last()
    }

    /// A claim was written.
    pub(in crate::proto::datastore) fn note_asked(&mut self, path: &Path) {
        let id = self.own_claim(path);
        if let Some(asked) = self.estate.asked.get_mut(path) {
            asked.id = id;
            if let (Some(OpId { counter, .. }), Claim::Take(_)) = (id, asked.claim) {
                // Of an epoch before, the same may have been another's.
                asked.given_up.retain(|other| *other != counter);
                asked.said.push(counter);
            }
        }
    }

    /// The models that touched places say something of.
    pub(in crate::proto::datastore) fn subjects(
        &self,
        touched: &[RegisterIndex],
    ) -> BTreeSet<Path> {
        let (ledger, table) = (self.models.ledger(), self.models.table());
        let subjects = touched.iter().filter_map(|register| {
            let (object, key) = table.place(*register);
            ledger.subject(object, key)
        });
        subjects.collect()
    }

    /// Something was said of models: sees whether it answers what this peer asked, and tells who owns
    /// them now.
    pub(in crate::proto::datastore) fn hear(&mut self, subjects: BTreeSet<Path>) {
        for path in subjects {
            let grant = self.models.ledger().grant(path.as_str());
            self.pass_by(&path, grant);
            let answered = self.estate.asked.get(&path).is_some_and(|asked| {
                let named = |grant: &Grant| asked.id.is_some_and(|id| id.counter == grant.claim);
                match (asked.claim, grant) {
                    (Claim::Take(_), Some(grant)) => {
                        named(&grant) && grant.held && self.is_mine(&grant)
                    }
                    (Claim::Take(_), None) => false,
                    (_, Some(grant)) => grant.token > asked.before,
                    // What was only reserved is forgotten.
                    (_, None) => asked.before > Fence::NONE,
                }
            });
            if answered {
                self.estate.asked.remove(&path);
                self.wakes = true;
            }
            if grant.is_none_or(|grant| !self.is_gone(&path, &grant)) {
                self.estate.let_go.remove(&path);
            }
            let reserved = grant.is_some_and(|grant| grant.terms.mode == Mode::Reserved);
            if reserved && self.is_granted(&path) && !self.proposals.wants(&path) {
                self.give_back(&path);
            }
            self.tell_owner(&path);
            self.hand_over(&path);
        }
    }

    /// A grant came that this peer asked for, and gave up before it came: it is not this peer's by that
    /// one either, which says nothing of what became of giving it up, or of asking anew.
    fn pass_by(&mut self, path: &Path, grant: Option<Grant>) {
        let Some(grant) = grant.filter(|grant| grant.held && self.is_mine(grant)) else { return };
        let Some(asked) = self.estate.asked.get_mut(path) else { return };
        if asked.given_up.contains(&grant.claim) && grant.token > asked.before {
            asked.before = grant.token;
            self.let_go(path, grant.token);
        }
    }

    /// A place was kept for this peer, and what it was for is over.
    pub(in crate::proto::datastore) fn give_back(&mut self, place: &Path) {
        let releases =
            matches!(self.estate.asked.get(place), Some(Asked { claim: Claim::Release, .. }));
        if !releases && let Err(error) = self.ask(place.clone(), Claim::Release) {
            tracing::debug!(%error, %place, "not let go of");
        }
    }

    /// Tells who owns every model of which anything is said, because all may be different.
    pub(in crate::proto::datastore) fn hear_all(&mut self) {
        let ledger = self.models.ledger();
        let granted = ledger.granted_from("");
        let granted = granted.map(|(model, _)| Path::parse(&model));
        let subjects: BTreeSet<Path> = granted.chain(self.estate.told.keys().cloned()).collect();
        self.hear(subjects);
    }

    pub(super) fn tell_owner(&mut self, path: &Path) {
        let now = self.owner_at(path);
        let before = match now {
            Some(now) => self.estate.told.insert(path.clone(), now),
            None => self.estate.told.remove(path),
        };
        if before != now && !self.quiet {
            let (model, owner) = (path.clone(), now.map(|(owner, _)| owner));
            let confirmed = now.is_none_or(|(_, confirmed)| confirmed);
            self.tell(Event::Owner { model, owner, confirmed });
        }
    }

    /// The relay does not grant what this peer asked for: what it wrote in the hope of it is taken
    /// back.
    pub(crate) fn deny_claim(&mut self, path: &Path, counter: u64, why: Denial) {
        let id = self.estate.asked.get(path).and_then(|asked| asked.id);
        if id.is_none_or(|id| id.counter != counter) {
            return;
        }
        let claim = self.estate.asked.remove(path).map(|asked| asked.claim);
        self.tell_denied(path, why);
        let grant = self.models.ledger().grant(path.as_str());
        let keeps = grant.filter(|grant| grant.held && self.is_mine(grant));
        if let (Some(Claim::Give(_)), Some(grant)) = (claim, keeps) {
            // It was let go of, and nobody took it: by another grant it is this peer's again.
            if let Err(error) = self.ask(path.clone(), Claim::Take(grant.terms)) {
                tracing::debug!(%error, %path, "not asked for again");
            }
            return;
        }
        self.take_back_below(path, why);
    }

    /// A claim is lost: what was written in the hope of it is taken back.
    fn lose(&mut self, path: &Path, why: Denial) {
        self.estate.asked.remove(path);
        self.tell_denied(path, why);
        self.take_back_below(path, why);
    }

    /// What was asked for a proposal is told with what became of that.
    pub(in crate::proto::datastore) fn tell_denied(&mut self, path: &Path, why: Denial) {
        if !self.proposals.deny(path, why) {
            self.tell(Event::ClaimDenied { model: path.clone(), why });
        }
    }

    /// Takes out of what is due the claims that another was before since they were asked for: written
    /// now they would follow its grant, and take from it what this peer did not mean to take.
    pub(in crate::proto::datastore) fn take_out_raced(&mut self, intents: &mut Vec<Intent>) {
        let mut lost = Vec::new();
        intents.retain(|intent| {
            let Intent::Claim { model, claim: Claim::Take(_) } = intent else { return true };
            let before = self.estate.asked.get(model).map(|asked| asked.before);
            let grant = self.models.ledger().grant(model.as_str()).zip(before);
            let raced = grant.filter(|(grant, before)| {
                grant.held && grant.since() > *before && !self.is_mine(grant)
            });
            lost.extend(raced.map(|(grant, _)| (model.clone(), grant.holder)));
            raced.is_none()
        });
        for (model, by) in lost {
            self.lose(&model, Denial::Raced { by });
        }
    }

    pub(in crate::proto::datastore) fn take_back_below(&mut self, path: &Path, why: Denial) {
        if self.may_touch(path).is_err() {
            self.take_back(|_, place| path.contains(place), why);
        }
        self.wakes = true;
        self.tell_owner(path);
        self.hand_over(path);
    }

    /// Lets go of an exclusive model that another waits for, if this peer has it by that grant.
    /// Returns whether it has.
    pub(crate) fn revoke(&mut self, path: &Path, token: Fence) -> bool {
        let grant = self.models.ledger().grant(path.as_str());
        let held = grant.is_some_and(|grant| grant.token <= token && self.is_mine(&grant));
        self.let_go(path, token);
        let releases = self.estate.asked.get(path).map(|asked| asked.claim) == Some(Claim::Release);
        held && !releases && self.ask(path.clone(), Claim::Release).is_ok()
    }

    /// This peer does not own a model by a grant any more, nor by an earlier one that comes late.
    pub(in crate::proto::datastore) fn let_go(&mut self, path: &Path, token: Fence) {
        let gone = self.estate.let_go.entry(path.clone()).or_default();
        *gone = (*gone).max(token);
    }

    /// What this peer let go of was not taken from it.
    pub(in crate::proto::datastore) fn regain(&mut self, path: &Path) {
        self.estate.let_go.remove(path);
    }

    /// The highest grant of the relay of which anything is known here.
    #[must_use]
    pub fn newest_grant(&self) -> Fence {
        self.models.newest_grant()
    }

    /// The last grant of what is at a path, whoever holds it.
    pub(crate) fn token(&self, path: &str) -> Fence {
        self.models.ledger().grant(path).map_or(Fence::NONE, |grant| grant.token)
    }

    /// The grants of `relay` count from now on.
    pub(crate) fn set_authority(&mut self, relay: PeerId) {
        self.models.set_authority(relay);
        self.texts.set_authority(relay);
        self.hear_all();
    }
}
