//! Who owns what, as this peer sees it, and what it asks for.
//!
//! What a peer writes to a model that it has claimed waits until the claim is answered, so that a
//! lost race takes nothing back from anybody; where no relay is there to answer, it does not wait.

mod answers;

use std::collections::BTreeMap;

use thiserror::Error;

use super::intent::Intent;
use super::mirror::Node;
use super::{Datastore, EditError};
use crate::proto::change::OpId;
use crate::proto::id::PeerId;
use crate::proto::log::Origin;
use crate::proto::model::handle::Handle;
use crate::proto::model::path::Path;
use crate::proto::ownership::{Claim, Fence, Grant, Mode, Session, Terms};
use crate::proto::reason::Denial;

/// Why a model was not claimed, released or given away: nothing was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// The handle was made by hand and never in a room.
    #[error("the handle is of no room: take it from a model that was read from the room")]
    Nowhere,
    /// What the handle names is no model, or not here.
    #[error("no model stands at {path}: it was removed or has not arrived yet")]
    Absent {
        /// Where it would be.
        path: Path,
    },
    /// It could not be granted.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// What asks for it cannot be written.
    #[error(transparent)]
    Edit(#[from] EditError),
}

/// Who owns a model, as far as it can be told without a clock; while another owns what it is in, that
/// one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holding {
    /// Nobody.
    Free,
    /// This peer has asked for it, and was not answered.
    Claimed,
    /// The relay has granted it to this peer, in this session.
    Granted {
        /// The grant.
        token: Fence,
    },
    /// Another has it, or this peer in another session.
    Other {
        /// Who.
        peer: PeerId,
        /// Whether the relay has said so.
        confirmed: bool,
    },
}

/// How many claims that were given up before they were answered are remembered of a model. Of more the
/// oldest are forgotten: a peer that was not answered for so long has no lease.
const MOST_GIVEN_UP: usize = 64;

/// Something that this peer asked for and was not answered.
#[derive(Clone, Debug)]
struct Asked {
    claim: Claim,
    /// The grant that stood when it was asked for.
    before: Fence,
    /// The operation that asks, once it is written.
    id: Option<OpId>,
    /// The model is made in the same frame: what is written to it goes along.
    fresh: bool,
    /// The operations that have asked for it, by their counters: it is asked again where the first may
    /// have been lost.
    said: Vec<u64>,
    /// Those that asked before for what was given up since, without an answer: the grant that one of
    /// them asked for is not this peer's any more when it comes.
    given_up: Vec<u64>,
}

/// What a peer knows of ownership beside what stands in the document.
#[derive(Debug, Default)]
pub(super) struct Estate {
    /// Whether a relay is there to answer.
    online: bool,
    asked: BTreeMap<Path, Asked>,
    /// Grants that this peer has let go of, whatever is heard of them.
    let_go: BTreeMap<Path, Fence>,
    /// What the application was told: the owner, and whether the relay has said so.
    told: BTreeMap<Path, (PeerId, bool)>,
}

impl Datastore {
    /// Asks for a model. It counts as this peer's at once, until the relay says otherwise
    /// ([`Event::ClaimDenied`](crate::proto::event::Event::ClaimDenied)); what is written to it meanwhile shows here, and for others when the
    /// claim is granted. A model that was made in this frame comes to others with its owner.
    ///
    /// The `terms` count if nobody owns the model, or this peer does; otherwise those stay that it was
    /// owned on.
    ///
    /// # Errors
    ///
    /// When the model is not here, or it is known already that it cannot be had.
    pub fn claim(&mut self, model: &impl Handle, terms: Terms) -> Result<(), ClaimError> {
        let path = self.model_path(model)?;
        self.claim_at(path, terms)
    }

    /// [`Self::claim`] without types, for tools: that a model is there is taken at its word.
    ///
    /// # Errors
    ///
    /// When it is known already that the model cannot be had.
    pub fn claim_at(&mut self, path: Path, terms: Terms) -> Result<(), ClaimError> {
        if self.proposals.touches(&path) {
            return Err(EditError::Open { path }.into());
        }
        self.request(path, terms)
    }

    /// Asks for a place.
    pub(super) fn request(&mut self, path: Path, terms: Terms) -> Result<(), ClaimError> {
        let ledger = self.models.ledger();
        if let Some((outer, grant)) = ledger.outermost(path.as_str())
            && outer != path.as_str()
            && !self.is_mine(&grant)
        {
            return Err(Denial::Owned { by: grant.holder }.into());
        }
        if let Some(grant) = ledger.grant(path.as_str()).filter(|grant| !self.is_mine(grant)) {
            let by = grant.holder;
            if grant.terms.mode == Mode::Fixed && by != self.author.peer {
                return Err(Denial::Fixed { by }.into());
            }
            if grant.held && grant.terms.prevent_takeover {
                return Err(Denial::Protected { by }.into());
            }
        }
        self.ask(path, Claim::Take(terms))
    }

    /// Lets go of a model, after what was written to it. What was claimed in this frame and nobody
    /// has heard of is simply not asked for.
    ///
    /// # Errors
    ///
    /// When the model is not here, or not this peer's.
    pub fn release(&mut self, model: &impl Handle) -> Result<(), ClaimError> {
        let path = self.model_path(model)?;
        self.release_at(path)
    }

    /// [`Self::release`] without types, for tools.
    ///
    /// # Errors
    ///
    /// When the model is not this peer's.
    pub fn release_at(&mut self, path: Path) -> Result<(), ClaimError> {
        if self.proposals.touches(&path) {
            return Err(EditError::Open { path }.into());
        }
        let unsaid = self.estate.asked.get(&path).is_some_and(|asked| asked.id.is_none());
        if unsaid && !self.is_granted(&path) {
            self.estate.asked.remove(&path);
            self.pending.forget_claim(&path);
            self.tell_owner(&path);
            return Ok(());
        }
        self.give_up(path, Claim::Release)
    }

    /// Gives a model to another member of the room; to this peer itself it stays as it is.
    ///
    /// # Errors
    ///
    /// When the model is not here, or not this peer's.
    pub fn transfer(&mut self, model: &impl Handle, to: PeerId) -> Result<(), ClaimError> {
        let path = self.model_path(model)?;
        self.transfer_at(path, to)
    }

    /// [`Self::transfer`] without types, for tools.
    ///
    /// # Errors
    ///
    /// When the model is not this peer's.
    pub fn transfer_at(&mut self, path: Path, to: PeerId) -> Result<(), ClaimError> {
        if self.proposals.touches(&path) {
            return Err(EditError::Open { path }.into());
        }
        self.give_up(path, Claim::Give(to))
    }

    fn give_up(&mut self, path: Path, claim: Claim) -> Result<(), ClaimError> {
        let owns = match self.estate.asked.get(&path).map(|asked| asked.claim) {
            Some(Claim::Take(_)) => true,
            Some(Claim::Release | Claim::Give(_) | Claim::Redeem) => false,
            None => self.is_granted(&path),
        };
        if !owns {
            return Err(Denial::NotOwner.into());
        }
        if claim == Claim::Give(self.author.peer) {
            return Ok(());
        }
        self.ask(path, claim)
    }

    fn ask(&mut self, path: Path, claim: Claim) -> Result<(), ClaimError> {
        // It stands as one key among the claims.
        let (limit, size) = (self.limits.key, path.as_str().len());
        if size > limit {
            return Err(EditError::TooLarge { limit, size }.into());
        }
        let fresh = matches!(claim, Claim::Take(_)) && self.pending.reshapes(&path);
        let intent = Intent::Claim { model: path.clone(), claim };
        self.intend(intent)?;
        let grant = self.models.ledger().grant(path.as_str());
        let before = grant.map_or(Fence::NONE, |grant| grant.token);
        if !matches!(claim, Claim::Take(_)) {
            // From here on it is not this peer's by that grant, whatever it asks for next.
            self.let_go(&path, before);
        }
        let gives = matches!(claim, Claim::Release | Claim::Give(_));
        let (mut said, mut given_up) = match self.estate.asked.remove(&path) {
            Some(asked) => (asked.said, asked.given_up),
            None => (Vec::new(), Vec::new()),
        };
        if gives {
            given_up.append(&mut said);
            given_up.drain(..given_up.len().saturating_sub(MOST_GIVEN_UP));
        }
        let asked = Asked { claim, before, id: None, fresh, said, given_up };
        self.estate.asked.insert(path.clone(), asked);
        self.tell_owner(&path);
        Ok(())
    }

    fn model_path(&self, model: &impl Handle) -> Result<Path, ClaimError> {
        let path = model.path().ok_or(ClaimError::Nowhere)?;
        match self.mirror.node(path) {
            Some(Node::Model(_)) => Ok(path.clone()),
            Some(Node::Collection { .. } | Node::List(_) | Node::Text(_)) | None => {
                Err(ClaimError::Absent { path: path.clone() })
            }
        }
    }

    /// Who owns a model: this peer too as soon as it has asked, and nobody else before the relay has
    /// said so, where there is one.
    #[must_use]
    pub fn owner(&self, model: &impl Handle) -> Option<PeerId> {
        self.owner_at(model.path()?).map(|(owner, _)| owner)
    }

    /// Who decides about a model: the owner of the outermost model on the way to it that is owned.
    #[must_use]
    pub fn owner_in_hierarchy(&self, model: &impl Handle) -> Option<PeerId> {
        let path = model.path()?;
        let mut at = Path::root();
        let mut owner = self.owner_at(&at);
        for key in path.keys() {
            if owner.is_some() {
                break;
            }
            at = at.join(&key);
            owner = self.owner_at(&at);
        }
        owner.map(|(owner, _)| owner)
    }

    /// Who owns the model at a path, as far as it can be told without a clock.
    #[must_use]
    pub fn holding(&self, path: &Path) -> Holding {
        // A grant below what another owns sleeps.
        if let Some((outer, grant)) = self.models.ledger().outermost(path.as_str())
            && outer != path.as_str()
            && !self.is_mine(&grant)
        {
            return Holding::Other { peer: grant.holder, confirmed: self.estate.online };
        }
        let asked = self.estate.asked.get(path).map(|asked| asked.claim);
        let grant = self.models.ledger().grant(path.as_str()).filter(|grant| grant.held);
        match (asked, grant) {
            (_, Some(grant)) if self.is_mine(&grant) => {
                let token = grant.token;
                match asked {
                    _ if !self.is_gone(path, &grant) => Holding::Granted { token },
                    Some(Claim::Take(_)) => Holding::Claimed,
                    _ => Holding::Free,
                }
            }
            (Some(Claim::Take(_)), _) => Holding::Claimed,
            _ => self
                .owner_at(path)
                .map_or(Holding::Free, |(peer, confirmed)| Holding::Other { peer, confirmed }),
        }
    }

    /// The owner of the model at a path, and whether the relay has said so. A place that is kept for
    /// a moment is nobody's.
    fn owner_at(&self, path: &Path) -> Option<(PeerId, bool)> {
        let ledger = self.models.ledger();
        let grant = ledger.grant(path.as_str()).filter(|grant| grant.terms.mode != Mode::Reserved);
        let me = self.author.peer;
        if let Some(Asked { claim: Claim::Take(Terms { mode, .. }), .. }) =
            self.estate.asked.get(path)
            && *mode != Mode::Reserved
        {
            let granted = grant.is_some_and(|grant| grant.held && self.is_mine(&grant));
            return Some((me, granted));
        }
        if let Some(owner) = grant.and_then(|grant| grant.owner()).filter(|_| self.estate.online) {
            return Some((owner, true));
        }
        // Of what nobody has answered, the claim that has seen most, and of those automerge's winner.
        let token = grant.map_or(Fence::NONE, |grant| grant.token);
        let standing = ledger.claims(path.as_str()).filter_map(|(id, claim)| {
            let entry = self.models.entry(self.models.containing(id)?)?;
            let Origin::Peer(author) = &self.models.author(&id.actor)?.origin else { return None };
            // With a relay there, whatever it has granted since came behind its answer to this.
            let since = if self.estate.online { token.max(self.newest_grant()) } else { token };
            let owns = matches!(claim, Claim::Take(terms) if terms.mode != Mode::Reserved);
            let takes = owns && entry.seen >= since;
            let answered = grant.is_some_and(|grant| grant.claim == id.counter);
            (takes && !answered).then_some((entry.seen, id, author.peer))
        });
        let winner = standing.max().map(|(.., peer)| (peer, false));
        winner.or_else(|| grant.and_then(|grant| grant.owner()).map(|owner| (owner, false)))
    }

    pub(super) fn is_mine(&self, grant: &Grant) -> bool {
        let session = Session::of(self.author.incarnation);
        (grant.holder, grant.session) == (self.author.peer, session)
    }

    /// Whether this peer owns the model at a path, by a grant that it has not let go of.
    pub(super) fn is_granted(&self, path: &Path) -> bool {
        let grant = self.models.ledger().grant(path.as_str());
        grant.is_some_and(|grant| grant.held && self.is_mine(&grant) && !self.is_gone(path, &grant))
    }

    fn is_gone(&self, path: &Path, grant: &Grant) -> bool {
        self.estate.let_go.get(path).is_some_and(|gone| *gone >= grant.token)
    }

    /// Whether this peer may type into a text: what was claimed is not enough, because what is typed
    /// does not wait for the answer.
    ///
    /// # Errors
    ///
    /// Whose it is.
    pub(super) fn may_type(&self, text: &Path) -> Result<(), EditError> {
        match self.models.ledger().outermost(text.as_str()) {
            Some((model, grant)) if !self.is_mine(&grant) && self.estate.online => {
                Err(EditError::Owned { model: Path::parse(model), by: grant.holder })
            }
            _ => self.may_touch(text),
        }
    }

    /// Whether this peer may write something: nobody else owns it, as far as is known here, or it has
    /// claimed it.
    ///
    /// # Errors
    ///
    /// Whose it is.
    pub(super) fn may_touch(&self, place: &Path) -> Result<(), EditError> {
        let ledger = self.models.ledger();
        let Some((model, grant)) = ledger.outermost(place.as_str()) else {
            return Ok(());
        };
        let model = Path::parse(model);
        let takes = |(claimed, asked): (&Path, &Asked)| {
            matches!(asked.claim, Claim::Take(_))
                && claimed.contains(place)
                && model.as_str() == claimed.as_str()
        };
        if self.is_mine(&grant) || self.estate.asked.iter().any(takes) {
            return Ok(());
        }
        Err(EditError::Owned { model, by: grant.holder })
    }

    /// Whether what is written to a place waits for the answer to a claim.
    pub(super) fn waits(&self, place: &Path) -> bool {
        self.estate.online
            && self.estate.asked.iter().any(|(claimed, asked)| {
                let takes = matches!(asked.claim, Claim::Take(_)) && !asked.fresh;
                takes && claimed.contains(place) && !self.is_granted(claimed)
            })
    }

    /// Whether this peer waits for the answer to what it asked of a place.
    pub(super) fn asks_for(&self, place: &Path) -> bool {
        self.estate.asked.contains_key(place)
    }

    /// Another that owns something below a place.
    pub(super) fn other_owner_below(&self, place: &Path) -> Option<PeerId> {
        let mut granted = self.models.ledger().granted_below(place);
        granted.find_map(|(_, grant)| grant.owner().filter(|_| !self.is_mine(&grant)))
    }

    /// Whether anything may wait so.
    pub(super) fn has_asked(&self) -> bool {
        !self.estate.asked.is_empty()
    }
}
