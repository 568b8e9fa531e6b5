//! What is proposed for the keys of a confirmed dictionary: it happens when the relay has reserved
//! the place for this peer, and whoever proposed it is told what became of it.
//!
//! An insertion reserves its key, which the relay grants only where nothing stands; a removal claims
//! the model, and emptying the dictionary claims that. What is granted is done and let go of in one
//! change.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use super::edit::absent;
use super::intent::Intent;
use super::refresh::members;
use super::seed::Seed;
use super::{ClaimError, Datastore, EditError};
use crate::proto::change::{ObjectId, OpId};
use crate::proto::event::{Event, Origin, Outcome, Ticket};
use crate::proto::model::path::Path;
use crate::proto::ownership::{Fence, Terms};
use crate::proto::reason::{ChangeFault, Denial};

/// What is to happen at a place.
#[derive(Debug)]
enum Wish {
    /// A model is to be put there.
    Insert {
        /// The model; nothing once it was put there.
        seed: Option<Seed>,
        /// Whether one that is there will do.
        found: bool,
    },
    /// The model there is to go.
    Remove,
    /// Everything in the dictionary is to go, if it is still this.
    Clear { entries: Vec<(SmolStr, ObjectId)>, cuts: u32 },
}

#[derive(Debug)]
enum Stage {
    /// The place was asked for.
    Asked,
    /// Another has the place: what it puts there is waited for.
    Sought,
    /// It was done here at these places, and the relay may not have it yet: it has, when it has the
    /// operation that redeemed the place.
    Written { places: Vec<Path>, redeemed: Option<OpId> },
    /// The relay has it.
    Confirmed,
}

#[derive(Debug)]
struct Proposal {
    ticket: Ticket,
    wish: Wish,
    stage: Stage,
    /// Whether what stands at the place was this peer's before.
    own: bool,
    /// Why it was refused, or what was written for it taken back.
    why: Option<Denial>,
}

/// The proposals of a peer of which it was not told what became, one for each place.
#[derive(Debug, Default)]
pub(super) struct Proposals {
    open: BTreeMap<Path, Proposal>,
    last: u64,
}

impl Proposals {
    fn next(&mut self) -> Ticket {
        self.last += 1;
        Ticket(self.last)
    }

    /// The relay does not grant the place. Returns whether that is a proposal's.
    pub(super) fn deny(&mut self, place: &Path, why: Denial) -> bool {
        let denied = self.open.get_mut(place).filter(|proposal| proposal.is_asked());
        denied.map(|proposal| proposal.why = Some(why)).is_some()
    }

    /// Whether something is proposed for a place.
    pub(super) fn wants(&self, place: &Path) -> bool {
        self.open.contains_key(place)
    }

    /// Whether something is proposed for a place, or for the dictionary that it is in.
    pub(super) fn touches(&self, place: &Path) -> bool {
        self.wants(place) || place.split().is_some_and(|(dictionary, _)| self.wants(&dictionary))
    }

    /// Whether something is proposed for a dictionary or a place in it.
    fn touches_in(&self, dictionary: &Path) -> bool {
        self.open.keys().any(|place| dictionary.contains(place))
    }

    /// Edits of a model were taken back.
    pub(super) fn note_lost(&mut self, model: &Path, why: Denial) {
        for (place, proposal) in &mut self.open {
            let written = matches!(proposal.stage, Stage::Written { .. });
            if written && (place.contains(model) || model.contains(place)) {
                proposal.why = Some(why);
            }
        }
    }
}

impl Proposal {
    const fn is_asked(&self) -> bool {
        matches!(self.stage, Stage::Asked)
    }
}

impl Datastore {
    /// Proposes to put a model under a key of a confirmed dictionary. With `found` one that is there
    /// will do.
    pub(super) fn propose_insert(
        &mut self,
        place: Path,
        seed: Seed,
        found: bool,
    ) -> Result<Ticket, EditError> {
        if let Some(open) = self.proposals.open.get(&place)
            && found
            && matches!(open.wish, Wish::Insert { found: true, .. })
        {
            return Ok(open.ticket);
        }
        if self.proposals.touches(&place) {
            return Err(EditError::Open { path: place });
        }
        let ticket = self.proposals.next();
        if self.stands_in_document(&place) {
            if !found {
                return Err(EditError::Occupied { path: place });
            }
            self.tell(Event::Settled { ticket, place, outcome: Outcome::Found });
            return Ok(ticket);
        }
        self.fits_change(&place, &seed)?;
        self.ask_for(&place, Terms::RESERVED)?;
        self.open(place, ticket, (Wish::Insert { seed: Some(seed), found }, false));
        Ok(ticket)
    }

    /// Proposes without types, for tools: a new model with its values, as intents of which the first
    /// makes it and the others are within it.
    ///
    /// # Errors
    ///
    /// When the intents are others, or it is known already that it cannot be.
    pub fn propose(&mut self, place: Path, intents: Vec<Intent>) -> Result<Ticket, EditError> {
        let makes =
            matches!(intents.first(), Some(Intent::Create { model, .. }) if *model == place);
        if !makes || intents.iter().any(|intent| !place.contains(intent.model())) {
            return Err(absent(&place));
        }
        self.propose_insert(place, Seed::untyped(intents), false)
    }

    /// Proposes without types to remove the model at a place, for tools.
    ///
    /// # Errors
    ///
    /// When it is known already that it cannot be.
    pub fn propose_removal(&mut self, place: Path) -> Result<Ticket, EditError> {
        if self.proposals.touches(&place) {
            return Err(EditError::Open { path: place });
        }
        if !self.stands_in_document(&place) {
            return Err(absent(&place));
        }
        self.may_touch(&place)?;
        let own = self.is_granted(&place);
        if !own {
            self.ask_for(&place, self.protected(&place))?;
        }
        let ticket = self.proposals.next();
        self.open(place, ticket, (Wish::Remove, own));
        Ok(ticket)
    }

    /// Proposes without types to remove everything in a dictionary, for tools.
    ///
    /// # Errors
    ///
    /// When it is known already that it cannot be.
    pub fn propose_clearing(&mut self, dictionary: Path) -> Result<Ticket, EditError> {
        if self.proposals.touches_in(&dictionary) {
            return Err(EditError::Open { path: dictionary });
        }
        let entries = self.entries_of(&dictionary);
        if entries.is_empty() {
            let ticket = self.proposals.next();
            self.tell(Event::Settled { ticket, place: dictionary, outcome: Outcome::Done });
            return Ok(ticket);
        }
        let places: Vec<Path> = entries.iter().map(|(key, _)| dictionary.join(key)).collect();
        for place in &places {
            self.may_touch(place)?;
            if self.asks_for(place) {
                return Err(EditError::Open { path: place.clone() });
            }
        }
        self.fits_removal(&places)?;
        self.ask_for(&dictionary, self.protected(&dictionary))?;
        let ticket = self.proposals.next();
        let cuts = self.cuts;
        self.open(dictionary, ticket, (Wish::Clear { entries, cuts }, false));
        Ok(ticket)
    }

    fn open(&mut self, place: Path, ticket: Ticket, (wish, own): (Wish, bool)) {
        let proposal = Proposal { ticket, wish, stage: Stage::Asked, own, why: None };
        self.proposals.open.insert(place, proposal);
    }

    /// Asks for a place that something is proposed for.
    fn ask_for(&mut self, place: &Path, terms: Terms) -> Result<(), EditError> {
        self.request(place.clone(), terms).map_err(|error| match error {
            ClaimError::Edit(error) => error,
            ClaimError::Denied(why) => EditError::Denied { path: place.clone(), why },
            ClaimError::Nowhere | ClaimError::Absent { .. } => absent(place),
        })
    }

    /// The terms that a place was last owned on, with nobody who may take it meanwhile.
    fn protected(&self, place: &Path) -> Terms {
        let grant = self.models.ledger().grant(place.as_str());
        let terms = grant.map_or_else(Terms::default, |grant| grant.terms);
        Terms { prevent_takeover: true, ..terms }
    }

    /// Whether a model stands at a place, and is not about to go.
    fn stands_in_document(&self, place: &Path) -> bool {
        self.models.table().find(place).is_some() && !self.pending.reshapes(place)
    }

    fn entries_of(&self, dictionary: &Path) -> Vec<(SmolStr, ObjectId)> {
        let table = self.models.table();
        let found = table.find(dictionary).into_iter();
        let entries = found.flat_map(|object| members(table, object));
        entries.map(|(key, object)| (key.clone(), table.id(object))).collect()
    }

    /// The place that a peer redeems with what it does at another, if it does that for a proposal.
    pub(super) fn redeemed_by(&self, place: &Path) -> Option<Path> {
        let mut open = self.proposals.open.iter();
        let written = open.find(|(_, open)| {
            matches!(&open.stage, Stage::Written { places, .. } if places.contains(place))
        });
        written.map(|(place, _)| place.clone())
    }

    /// A place was redeemed: the change that did it is in the log.
    pub(super) fn note_redeemed(&mut self, place: &Path) {
        let id = self.own_claim(place);
        if let Some(Proposal { stage: Stage::Written { redeemed, .. }, .. }) =
            self.proposals.open.get_mut(place)
        {
            *redeemed = id;
        }
    }

    /// Another log comes in the place of the one of the models: what the relay has by this one it has.
    pub(super) fn keep_confirmed(&mut self) {
        let mut open = std::mem::take(&mut self.proposals.open);
        for proposal in open.values_mut() {
            if let Stage::Written { redeemed: Some(id), .. } = proposal.stage
                && self.is_placed(id) == Some(true)
            {
                proposal.stage = Stage::Confirmed;
            }
        }
        self.proposals.open = open;
    }

    /// Whether an operation has its place in the room's order; nothing if it is not in the log.
    fn is_placed(&self, id: OpId) -> Option<bool> {
        let index = self.models.containing(id)?;
        Some(!self.models.pending().any(|pending| pending == index))
    }

    /// Whether anything can be done about a proposal.
    pub(super) fn has_proposals_due(&self) -> bool {
        self.proposals.open.iter().any(|(place, proposal)| self.is_due(place, proposal))
    }

    /// Whether this peer was not told yet what became of something that it proposed.
    #[must_use]
    pub fn has_proposals(&self) -> bool {
        !self.proposals.open.is_empty()
    }

    fn is_due(&self, place: &Path, proposal: &Proposal) -> bool {
        match &proposal.stage {
            Stage::Asked => self.is_granted(place) || !self.asks_for(place),
            Stage::Sought => self.stands_in_document(place) || self.may_touch(place).is_ok(),
            Stage::Written { redeemed: Some(id), .. } => self.is_placed(*id) != Some(false),
            // It was taken back before it was written.
            Stage::Written { redeemed: None, .. } => !self.pending.redeems(place),
            Stage::Confirmed => true,
        }
    }

    /// Does what can be done about proposals, and tells what became of them.
    pub(super) fn advance(&mut self) {
        let due = self.proposals.open.iter().filter(|(place, of)| self.is_due(place, of));
        let due: Vec<Path> = due.map(|(place, _)| place.clone()).collect();
        for place in due {
            let Some(mut proposal) = self.proposals.open.remove(&place) else { continue };
            match self.step(&place, &mut proposal) {
                Some(outcome) => {
                    self.tell(Event::Settled { ticket: proposal.ticket, place, outcome });
                }
                None => {
                    self.proposals.open.insert(place, proposal);
                }
            }
        }
    }

    fn step(&mut self, place: &Path, proposal: &mut Proposal) -> Option<Outcome> {
        match &proposal.stage {
            Stage::Asked if self.is_granted(place) => {
                let outcome = self.carry_out(place, proposal);
                if outcome.is_some() {
                    self.give_back_unless(proposal.own, place);
                    return outcome;
                }
                let grant = self.models.ledger().grant(place.as_str());
                self.let_go(place, grant.map_or(Fence::NONE, |grant| grant.token));
                self.pending.push(Intent::Redeem { model: place.clone() });
                None
            }
            Stage::Asked => self.after_loss(place, proposal),
            Stage::Sought => self.seek(place, proposal),
            Stage::Written { redeemed, .. } => {
                let placed = redeemed.is_some_and(|id| self.is_placed(id) == Some(true));
                if placed {
                    return Some(Outcome::Done);
                }
                // It was not let go of after all.
                self.regain(place);
                self.give_back_unless(proposal.own, place);
                let found = matches!(proposal.wish, Wish::Insert { found: true, .. });
                let lost = Outcome::Lost(proposal.why.unwrap_or(Denial::Outdated));
                Some(if found && self.stands_in_document(place) { Outcome::Found } else { lost })
            }
            Stage::Confirmed => Some(Outcome::Done),
        }
    }

    fn give_back_unless(&mut self, own: bool, place: &Path) {
        if !own && self.is_granted(place) {
            self.give_back(place);
        }
    }

    /// The place is this peer's: does what it is for.
    fn carry_out(&mut self, place: &Path, proposal: &mut Proposal) -> Option<Outcome> {
        let places = match &mut proposal.wish {
            Wish::Insert { seed, found } => {
                let (seed, found) = (seed.take(), *found);
                if self.stands_in_document(place) {
                    let lost = Outcome::Lost(Denial::Occupied);
                    return Some(if found { Outcome::Found } else { lost });
                }
                let dictionary =
                    place.split().and_then(|(above, _)| self.models.table().find(&above));
                if dictionary.is_none() || self.pending.reshapes_above(place) {
                    return Some(Outcome::Lost(Denial::NoModel));
                }
                let planted = seed.map_or(Ok(()), |seed| self.plant(place, seed, None));
                if let Err(error) = planted {
                    return Some(failed(&error));
                }
                vec![place.clone()]
            }
            Wish::Remove => {
                if !self.stands_in_document(place) {
                    return Some(Outcome::Lost(Denial::NoModel));
                }
                vec![place.clone()]
            }
            Wish::Clear { entries, cuts } => {
                let now = self.entries_of(place);
                let keys = |entries: &[(SmolStr, ObjectId)]| -> Vec<SmolStr> {
                    entries.iter().map(|(key, _)| key.clone()).collect()
                };
                // A cut gives everything other names, and leaves the keys.
                let same =
                    if *cuts == self.cuts { now == *entries } else { keys(&now) == keys(entries) };
                if !same {
                    return Some(Outcome::Lost(Denial::Outdated));
                }
                if let Some(by) = self.other_owner_below(place) {
                    return Some(Outcome::Lost(Denial::Owned { by }));
                }
                now.iter().map(|(key, _)| place.join(key)).collect()
            }
        };
        if !matches!(proposal.wish, Wish::Insert { .. })
            && let Err(error) = self.discard(&places)
        {
            return Some(failed(&error));
        }
        proposal.stage = Stage::Written { places, redeemed: None };
        None
    }

    /// Takes models out, all in one change.
    fn discard(&mut self, places: &[Path]) -> Result<(), EditError> {
        self.make_room();
        self.fits_removal(places)?;
        for place in places {
            self.may_touch(place)?;
        }
        for place in places {
            self.pending.push(Intent::Remove { model: place.clone() });
            // Tools show nothing of types that they do not know.
            if self.mirror.detach(place) {
                self.tell(Event::Removed { model: place.clone(), origin: Origin::Local });
            }
        }
        Ok(())
    }

    /// Whether everything at places may go in one change.
    fn fits_removal(&self, places: &[Path]) -> Result<(), EditError> {
        let sizes = places.iter().map(|place| Intent::Remove { model: place.clone() }.size());
        self.allow_bytes(sizes.sum())
    }

    /// The place cannot be had.
    fn after_loss(&mut self, place: &Path, proposal: &mut Proposal) -> Option<Outcome> {
        // What was asked is forgotten when what it was of is gone.
        let why = proposal.why.take().unwrap_or(Denial::NoModel);
        match (&proposal.wish, why) {
            (
                Wish::Insert { found: true, .. },
                Denial::Occupied
                | Denial::Raced { .. }
                | Denial::Owned { .. }
                | Denial::Protected { .. }
                | Denial::Outdated,
            ) => self.seek(place, proposal),
            _ => Some(Outcome::Lost(why)),
        }
    }

    /// Takes what another has put there, waits for it, or asks again if nobody is about to.
    fn seek(&mut self, place: &Path, proposal: &mut Proposal) -> Option<Outcome> {
        if self.stands_in_document(place) {
            return Some(Outcome::Found);
        }
        proposal.stage = Stage::Sought;
        if self.may_touch(place).is_ok() {
            match self.ask_for(place, Terms::RESERVED) {
                Ok(()) => proposal.stage = Stage::Asked,
                Err(error) => return Some(failed(&error)),
            }
        }
        None
    }
}

/// What became of what was this peer's to do, and could not be done.
const fn failed(error: &EditError) -> Outcome {
    match error {
        EditError::Owned { by, .. } => Outcome::Lost(Denial::Owned { by: *by }),
        EditError::Denied { why, .. } => Outcome::Lost(*why),
        EditError::Occupied { .. } => Outcome::Lost(Denial::Occupied),
        EditError::Nowhere
        | EditError::Absent { .. }
        | EditError::OutOfRange { .. }
        | EditError::OffGrid { .. }
        | EditError::Open { .. } => Outcome::Lost(Denial::NoModel),
        EditError::TooLarge { .. } => Outcome::Failed(ChangeFault::TooLarge),
        EditError::Full(fault) => Outcome::Failed(*fault),
    }
}
