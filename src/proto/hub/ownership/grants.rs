//! Grants as changes of the relay's own: one for everything that is decided at one moment.

use std::collections::BTreeMap;

use super::asked::Asked;
use super::folds::Fold;
use super::gate::Verdict;
use super::{Grantor, Holdings};
use crate::proto::change::{Change, chunk};
use crate::proto::delta::Token;
use crate::proto::draft::{Draft, Target};
use crate::proto::id::PeerId;
use crate::proto::log::{Candidate, ChangeLog};
use crate::proto::model::path::Path;
use crate::proto::ownership::{
    Authority, Claim, Fence, Grant, Ledger, META, Mode, Session, Terms, to_value,
};
use crate::proto::reason::{ChangeFault, Denial};
use crate::proto::table::ObjectIndex;
use crate::proto::time::Time;
use crate::proto::wire::bounded::Line;
use crate::proto::wire::message::{Actor, Denied, DeniedRecord, Made};

/// What one change of a relay takes at most, of the limit of a change: a half, as an estimate from
/// above, so that it is one change for all but the largest of rooms.
const SHARE: usize = 2;

/// What a grant and a removal may take of a change beside the model's path.
const GRANT_COST: usize = 128;
const REMOVAL_COST: usize = 64;

/// What answers no claim.
pub(super) const UNASKED: (Actor, u64) = ([0; 16], 0);

/// What a relay is about to write.
#[derive(Debug, Default)]
pub(in crate::proto::hub) struct Decree {
    /// Grants by model; nothing where all that was granted is taken back, the model being gone.
    grants: BTreeMap<Path, Option<Grant>>,
    /// Models that are removed.
    removals: Vec<Path>,
    /// Values that are written down.
    folds: Vec<Fold>,
}

impl Decree {
    pub(super) fn set(&mut self, model: Path, grant: Option<Grant>) {
        self.grants.insert(model, grant);
    }

    /// Whether something is decreed of the model at a path.
    pub(super) fn names(&self, path: &str) -> bool {
        self.grants.contains_key(&Path::parse(path))
    }

    /// What is decreed of a model, if anything is.
    pub(super) fn of(&self, model: &Path) -> Option<Option<Grant>> {
        self.grants.get(model).copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.grants.is_empty() && self.removals.is_empty() && self.folds.is_empty()
    }

    /// Values go into the document, before anything else of it counts.
    pub(in crate::proto::hub) fn fold(&mut self, folds: Vec<Fold>) {
        self.folds.extend(folds);
    }

    /// What changes hands, and whose it is then.
    pub(super) fn owners(&self) -> impl Iterator<Item = (&Path, PeerId, Session)> {
        let held = self.grants.iter().filter_map(|(model, grant)| Some((model, (*grant)?)));
        held.filter(|(_, grant)| grant.held)
            .map(|(model, grant)| (model, grant.holder, grant.session))
    }

    pub(super) fn remove(&mut self, model: Path) {
        self.removals.push(model);
    }
}

/// What becomes of claims beside grants: who is told that its claim is not granted.
pub(in crate::proto::hub) type Told = Vec<(PeerId, DeniedRecord)>;

impl Holdings {
    /// Notes what was decided of claims. Returns what is to be written, and who is to be told.
    pub(super) fn carry_out(
        &mut self,
        log: &ChangeLog,
        (decided, gone): (Vec<(Asked, Verdict)>, Vec<Path>),
        grantor: &mut Grantor,
        now: Time,
    ) -> (Decree, Told) {
        let (mut decree, mut told) = (Decree::default(), Vec::new());
        for (asked, verdict) in decided {
            let before = log.ledger().grant(asked.model.as_str());
            match verdict {
                Verdict::Denied(why)
                    if asked.claim == Claim::Release
                        && self.queue.withdraw(&asked.model, asked.by.peer) =>
                {
                    // It let go of what it only waited for.
                    tracing::debug!(model = %asked.model, %why, "a claim withdrawn");
                }
                Verdict::Denied(why) => told.extend(denied(&asked, why)),
                Verdict::Waits(terms) => self.queue.push(asked, terms, now),
                Verdict::Granted { terms, kept } => {
                    let grant = self.grant(&asked, before, (terms, kept), (grantor.next(), now));
                    decree.set(asked.model, Some(grant));
                }
                Verdict::Released => {
                    let cleared = before.and_then(|before| cleared(&before, grantor.next()));
                    let grant = cleared.map(|grant| Grant { claim: asked.id.counter, ..grant });
                    self.answered.remove(&asked.model);
                    self.wake_below(log.ledger(), &asked.model, grantor, &mut decree);
                    decree.set(asked.model, grant);
                }
                Verdict::Given { to, session } => {
                    let token = grantor.next();
                    let grant = before.map(|before| Grant {
                        token,
                        kept: 0,
                        holder: to,
                        session,
                        held: true,
                        claim: 0,
                        ..before
                    });
                    self.answered.insert(asked.model.clone(), UNASKED);
                    decree.set(asked.model, grant);
                }
            }
        }
        for removed in gone {
            // What is gone is granted to nobody, and nothing below it.
            decree.grants.retain(|model, _| !removed.contains(model));
            for (model, _) in log.ledger().granted_below(&removed) {
                decree.set(model, None);
            }
        }
        (decree, told)
    }

    /// What is granted for a claim, `kept` if its owner only asked again.
    fn grant(
        &mut self,
        asked: &Asked,
        before: Option<Grant>,
        (terms, kept): (Terms, bool),
        (token, now): (Fence, Time),
    ) -> Grant {
        let since = before.filter(|_| kept).map_or(token, |before| before.since());
        if before.is_some_and(|before| before.held && !kept) {
            self.taken.insert(asked.model.clone(), now);
        }
        self.answered.insert(asked.model.clone(), (asked.id.actor, asked.sequence));
        Grant {
            token,
            kept: token.0.saturating_sub(since.0),
            holder: asked.by.peer,
            session: Session::of(asked.by.incarnation),
            held: true,
            terms,
            claim: asked.id.counter,
        }
    }

    /// Nobody owns a model any more that fenced the owners of what is below it: they own that again,
    /// each under a new token, so that what they wrote before they were fenced is nothing.
    pub(super) fn wake_below(
        &mut self,
        ledger: Ledger<'_>,
        model: &Path,
        grantor: &mut Grantor,
        decree: &mut Decree,
    ) {
        for (below, grant) in ledger.granted_below(model) {
            if below != *model && grant.held && !decree.grants.contains_key(&below) {
                self.answered.insert(below.clone(), UNASKED);
                let token = grantor.next();
                decree.set(below, Some(Grant { token, kept: 0, claim: 0, ..grant }));
            }
        }
    }

    /// Writes what is decreed, and gives the relay's word for it at once: were it to vanish, nobody
    /// else could bring back what others build on. Returns what is new in the log.
    pub(super) fn write(
        &mut self,
        log: &mut ChangeLog,
        decree: Decree,
        grantor: &Grantor,
    ) -> Vec<Token> {
        let Decree { grants, removals, folds } = decree;
        // What is handed over comes behind its values.
        let mut tokens = write_folds(log, folds, grantor);
        let mut grants = grants.into_iter().peekable();
        let mut removals = removals.into_iter().peekable();
        while grants.peek().is_some() || removals.peek().is_some() {
            let mut fits = room(log);
            // One at least, or it would never end.
            let mut gone: Vec<Path> = removals.next().into_iter().collect();
            gone.extend(std::iter::from_fn(|| removals.next_if(|model| fits(model, REMOVAL_COST))));
            let mut part: Vec<_> = grants.next().into_iter().collect();
            part.extend(std::iter::from_fn(|| {
                grants.next_if(|(model, _)| fits(model, GRANT_COST))
            }));
            for (model, grant) in &part {
                self.count_owner(log, model, grant.as_ref());
            }
            match write_part(log, &part, &gone, grantor) {
                Ok(written) => tokens.extend(written),
                Err(fault) => tracing::warn!(%fault, "grants not written: the room is full"),
            }
        }
        tokens
    }

    /// Counts how many models peers own, as a grant changes that.
    fn count_owner(&mut self, log: &ChangeLog, model: &Path, grant: Option<&Grant>) {
        let before = log.ledger().grant(model.as_str()).and_then(|before| before.owner());
        if let Some(count) = before.and_then(|before| self.owned.get_mut(&before)) {
            *count = count.saturating_sub(1);
        }
        if let Some(owner) = grant.and_then(Grant::owner) {
            *self.owned.entry(owner).or_default() += 1;
        }
        self.owned.retain(|_, count| *count > 0);
        if grant.is_none() {
            self.answered.remove(model);
            self.taken.remove(model);
            self.queue.drop_model(model);
        }
    }

    /// Counts anew how many models peers own.
    pub(super) fn count_owners(&mut self, log: &ChangeLog) {
        self.owned.clear();
        for owner in log.ledger().granted_from("").filter_map(|(_, grant)| grant.owner()) {
            *self.owned.entry(owner).or_default() += 1;
        }
    }
}

/// A grant that says that nobody owns what it is of; nothing for a place that was only reserved.
pub(super) fn cleared(before: &Grant, token: Fence) -> Option<Grant> {
    let kept = before.terms.mode != Mode::Reserved;
    kept.then_some(Grant { token, kept: 0, held: false, claim: 0, ..*before })
}

fn denied(asked: &Asked, why: Denial) -> Option<(PeerId, DeniedRecord)> {
    let what = Denied::Claim { actor: asked.id.actor, counter: asked.id.counter };
    let model = Line::new(asked.model.as_str())?;
    Some((asked.by.peer, DeniedRecord { what, model, why }))
}

fn write_part(
    log: &mut ChangeLog,
    grants: &[(Path, Option<Grant>)],
    removals: &[Path],
    grantor: &Grantor,
) -> Result<Vec<Token>, ChangeFault> {
    let before = log.len();
    let map = grants_map(log, grantor.identity.peer())?;
    let actor = log.scope().actor(&grantor.introduction());
    let mut draft = Draft::new(log.table(), actor, log.next(&actor), grants.len());
    let map = draft.target(map);
    for model in removals {
        remove(&mut draft, model);
    }
    for (model, grant) in grants {
        match grant {
            Some(grant) => {
                draft.put(map, model.as_str().into(), &to_value(grant));
            }
            None => {
                if draft.has(map, model.as_str()) {
                    draft.delete(map, model.as_str().into());
                }
            }
        }
    }
    let change = draft.finish();
    seal(log, change, before, grantor)
}

/// Lets in what the relay has drafted, and gives its word for it. Returns what is new in the log since
/// it had `before` entries. What was to be written may stand there already.
pub(super) fn seal(
    log: &mut ChangeLog,
    change: Option<Change>,
    before: usize,
    grantor: &Grantor,
) -> Result<Vec<Token>, ChangeFault> {
    let mut signature = None;
    if let Some(change) = change {
        let sealed = chunk::encode(change);
        let signed = (sealed.change.actor, sealed.change.sequence, sealed.hash);
        let introduction = Some(grantor.introduction());
        log.admit(Candidate { introduction, change: sealed, pending: false })?;
        let record = log.scope().sign(&grantor.identity, log.document(), signed);
        log.admit_signature(&record)?;
        signature = Some(Token::Signature(signed.0));
    }
    let changes = (before..log.len()).map(Token::Change);
    Ok(changes.chain(signature).collect())
}

/// Writes values down. Grants do not wait for them: what cannot be written is left out. Returns what is
/// new in the log.
fn write_folds(log: &mut ChangeLog, folds: Vec<Fold>, grantor: &Grantor) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut folds = folds.into_iter().peekable();
    while let Some(first) = folds.next() {
        let mut fits = room(log);
        let mut part = vec![first];
        part.extend(std::iter::from_fn(|| folds.next_if(|fold| fits(&fold.model, fold.cost()))));
        let before = log.len();
        part.retain(|fold| {
            let prepared = fold.prepare(log);
            prepared.inspect_err(|fault| tracing::debug!(%fault, "a value left out")).is_ok()
        });
        let actor = log.scope().actor(&grantor.introduction());
        let mut draft = Draft::new(log.table(), actor, log.next(&actor), part.len());
        part.iter().for_each(|fold| fold.write(&mut draft));
        let change = draft.finish();
        match seal(log, change, before, grantor) {
            Ok(written) => tokens.extend(written),
            Err(fault) => tracing::warn!(%fault, "values not written: the room is full"),
        }
    }
    tokens
}

/// Whether something of a model, that costs so much beside its path, has room in a change of the relay's
/// beside what had before.
fn room(log: &ChangeLog) -> impl FnMut(&Path, usize) -> bool + use<> {
    let mut left = log.limits().change / SHARE;
    move |model, cost| {
        let cost = cost + model.as_str().len();
        let fits = cost <= left;
        left = left.saturating_sub(cost);
        fits
    }
}

/// Takes a model out of its collection, if it is in one.
fn remove(draft: &mut Draft<'_>, model: &Path) -> Option<()> {
    let (collection, key) = model.split()?;
    let root = draft.target(ObjectIndex::ROOT);
    let found = |target: Target, key: &str| draft.below(target, key);
    let collection = collection.keys().try_fold(root, |target, key| found(target, &key))?;
    draft.has(collection, &key).then(|| draft.delete(collection, key.into()))?;
    Some(())
}

/// The map of a relay's grants, made if it is not there.
fn grants_map(log: &mut ChangeLog, relay: PeerId) -> Result<ObjectIndex, ChangeFault> {
    log.ensure(ObjectIndex::ROOT, META, Made::Map, false)?;
    let meta = log.table().below(ObjectIndex::ROOT, META).ok_or(ChangeFault::WrongPlace)?;
    let key = Authority::of(relay).key().clone();
    log.ensure(meta, &key, Made::Map, false)?;
    log.table().below(meta, &key).ok_or(ChangeFault::WrongPlace)
}

/// Whether a grant is one whose owner lets go only by itself.
pub(super) const fn is_exclusive(grant: &Grant) -> bool {
    matches!(grant.terms.mode, Mode::Exclusive)
}
