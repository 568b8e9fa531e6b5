//! What the relay writes because its operator's program says so: models, values, and who owns them,
//! whoever does.

use smol_str::ToSmolStr;

use super::asked::Asked;
use super::grants::{Decree, UNASKED, cleared, is_exclusive, seal};
use super::{Grantor, Holdings};
use crate::proto::change::OpId;
use crate::proto::config::OwnershipConfig;
use crate::proto::datastore::intent::{Intent, Splice};
use crate::proto::datastore::{Script, perform};
use crate::proto::delta::Token;
use crate::proto::draft::{Draft, Target};
use crate::proto::hub::act::ActError;
use crate::proto::hub::motion::Motion;
use crate::proto::log::ChangeLog;
use crate::proto::model::path::Path;
use crate::proto::ownership::{Claim, Grant, META, Mode, Session, Terms};
use crate::proto::reason::ChangeFault;
use crate::proto::table::{Cell, ObjectIndex, View};
use crate::proto::time::Time;
use crate::proto::wire::message::{Introduction, Made};

/// How much of the limit of a change one may take, as an estimate from above.
const SHARE: usize = 2;
/// The most bytes of a text's path.
const MAX_TEXT: usize = 512;

/// As whom a relay acts, by which rules, and when.
pub(super) type Office<'a> = (&'a mut Grantor, &'a OwnershipConfig, Time);

impl Holdings {
    /// Writes what is intended: edits as one change, then what is claimed, as the relay decrees it.
    /// Adds what is new in the log.
    ///
    /// # Errors
    ///
    /// When something of it cannot be done; then nothing is.
    pub(in crate::proto::hub) fn dictate(
        &mut self,
        (log, motion): (&mut ChangeLog, &mut Motion),
        intents: &[Intent],
        (grantor, config, now): Office<'_>,
        tokens: &mut Vec<Token>,
    ) -> Result<(), ActError> {
        check(log, intents)?;
        self.check_claims(log, intents, config)?;
        write(log, intents, grantor, tokens)?;
        let mut decree = Decree::default();
        for intent in intents {
            match intent {
                Intent::Claim { model, claim } => {
                    self.govern(log, (model, *claim), (&mut *grantor, config, now), &mut decree);
                }
                // What is gone is granted to nobody, and nothing below it.
                Intent::Remove { model } => {
                    let below = log.ledger().granted_below(model);
                    below.for_each(|(gone, _)| decree.set(gone, None));
                }
                Intent::Put { .. }
                | Intent::Count { .. }
                | Intent::Create { .. }
                | Intent::Move { .. }
                | Intent::Redeem { .. } => {}
            }
        }
        if !decree.is_empty() {
            let folds = motion.hand_over(decree.owners());
            decree.fold(folds);
            tokens.extend(self.write(log, decree, grantor));
        }
        Ok(())
    }

    /// Whether there is somebody to give models to, and room for more that are owned.
    fn check_claims(
        &self,
        log: &ChangeLog,
        intents: &[Intent],
        config: &OwnershipConfig,
    ) -> Result<(), ActError> {
        let mut owned = self.owned.values().sum::<usize>();
        for intent in intents {
            let Intent::Claim { model, claim } = intent else { continue };
            if let Claim::Give(peer) = *claim
                && self.session_of(peer).is_none()
            {
                return Err(ActError::Absent { peer });
            }
            owned += usize::from(log.ledger().grant(model.as_str()).is_none());
            let limit = config.models;
            if *claim != Claim::Release && owned > limit as usize {
                return Err(ActError::TooMany { limit });
            }
        }
        Ok(())
    }

    /// Decrees what is claimed, whoever owns the model and on whatever terms.
    fn govern(
        &mut self,
        log: &ChangeLog,
        (model, claim): (&Path, Claim),
        office: Office<'_>,
        decree: &mut Decree,
    ) {
        // What was decreed before and has not come about is decreed no more.
        let waited = self.queue.withdraw_decree(model);
        let before = decree.of(model).unwrap_or_else(|| log.ledger().grant(model.as_str()));
        match claim {
            Claim::Take(terms) => {
                let by = office.0.introduction();
                self.assign(log, (model, before), (by, terms, claim), office, decree);
            }
            Claim::Give(to) => {
                let terms = waited.or_else(|| before.map(|before| before.terms));
                let terms = terms.filter(|terms| terms.mode != Mode::Reserved).unwrap_or_default();
                if let Some(session) = self.session_of(to) {
                    let by = Introduction { peer: to, incarnation: session.first() };
                    self.assign(log, (model, before), (by, terms, claim), office, decree);
                }
            }
            Claim::Release => {
                if let Some(before) = before.filter(|before| before.held) {
                    self.unseat(log, (model, before), office, decree);
                }
            }
            // It was checked that there is none.
            Claim::Redeem => {}
        }
    }

    /// Has somebody own a model: at once, unless another may believe that it is its own alone. Then that
    /// loses it at once, and it is granted as soon as nobody can believe that any more.
    fn assign(
        &mut self,
        log: &ChangeLog,
        (model, before): (&Path, Option<Grant>),
        (by, terms, claim): (Introduction, Terms, Claim),
        (grantor, config, now): Office<'_>,
        decree: &mut Decree,
    ) {
        let session = Session::of(by.incarnation);
        let held = before.filter(|before| before.held);
        let again = held.is_some_and(|it| (it.holder, it.session) == (by.peer, session));
        let other = held.filter(|it| !again && it.holder != grantor.introduction().peer);
        if let Some(other) = other.filter(is_exclusive) {
            self.unseat(log, (model, other), (&mut *grantor, config, now), decree);
        }
        let exclusive = terms.mode == Mode::Exclusive || before.as_ref().is_some_and(is_exclusive);
        let ready = self.queue.not_before(model).max(grantor.ready_at(config));
        if exclusive && !again && now < ready {
            let id = OpId { counter: 0, actor: UNASKED.0 };
            let asked = Asked { by, model: model.clone(), id, sequence: UNASKED.1, claim };
            self.queue.push_first(asked, terms, now);
            return;
        }
        let token = grantor.next();
        let since = held.filter(|_| again).map_or(token, |before| before.since());
        self.answered.insert(model.clone(), UNASKED);
        let kept = token.0.saturating_sub(since.0);
        let holder = by.peer;
        let grant = Grant { token, kept, holder, session, held: true, terms, claim: 0 };
        decree.set(model.clone(), Some(grant));
    }

    /// Takes a model from its owner.
    fn unseat(
        &mut self,
        log: &ChangeLog,
        (model, before): (&Path, Grant),
        (grantor, config, now): Office<'_>,
        decree: &mut Decree,
    ) {
        if is_exclusive(&before) && before.holder != grantor.introduction().peer {
            self.queue.fence(model.clone(), now + config.lease);
        }
        self.answered.remove(model);
        decree.set(model.clone(), cleared(&before, grantor.next()));
        self.wake_below(log.ledger(), model, grantor, decree);
    }
}

/// Whether intents are ones that a relay can have.
fn check(log: &ChangeLog, intents: &[Intent]) -> Result<(), ActError> {
    let size: usize = intents.iter().map(Intent::size).sum();
    let limit = log.limits().change / SHARE;
    if size > limit {
        return Err(ActError::TooLarge { limit, size });
    }
    let made = |model: &Path| {
        let makes = |other: &Intent| matches!(other, Intent::Create { model: at, .. } if at.contains(model));
        intents.iter().any(makes)
    };
    for intent in intents {
        let model = intent.model();
        if is_value(log, model) {
            return Err(ActError::NoEdit);
        }
        let claims = match intent {
            Intent::Redeem { .. } => return Err(ActError::NoEdit),
            Intent::Claim { claim, .. } if claim.reserves() => return Err(ActError::NoEdit),
            Intent::Claim { claim: Claim::Redeem, .. } => return Err(ActError::NoEdit),
            Intent::Claim { claim: Claim::Take(_) | Claim::Give(_), .. } => true,
            Intent::Claim { claim: Claim::Release, .. }
            | Intent::Put { .. }
            | Intent::Count { .. }
            | Intent::Create { .. }
            | Intent::Remove { .. }
            | Intent::Move { .. } => false,
        };
        if Path::parse(META).contains(model) {
            return Err(ActError::NoEdit);
        }
        // What always stands below the root is made.
        let stands = model.keys().nth(1).is_none() || log.table().find(model).is_some();
        if claims && !stands && !made(model) {
            return Err(ActError::NoModel { model: model.clone() });
        }
    }
    Ok(())
}

/// Whether a value stands at a path right below the root, where a map would be made otherwise.
fn is_value(log: &ChangeLog, model: &Path) -> bool {
    let mut keys = model.keys();
    let (Some(key), None) = (keys.next(), keys.next()) else { return false };
    match log.table().get(ObjectIndex::ROOT, &key) {
        Some(Cell::Value(_) | Cell::Counter(_)) => true,
        Some(Cell::Object(_)) | None => false,
    }
}

/// Writes what edits there are as one change.
fn write(
    log: &mut ChangeLog,
    intents: &[Intent],
    grantor: &Grantor,
    tokens: &mut Vec<Token>,
) -> Result<(), ActError> {
    let before = log.len();
    let ready = intents.iter().try_for_each(|intent| prepare(log, intent));
    let actor = log.scope().actor(&grantor.introduction());
    let mut draft = Draft::new(log.table(), actor, log.next(&actor), intents.len());
    let drafted = ready.map_err(ActError::from).and_then(|()| {
        let mut edits = intents.iter().filter(|intent| !matches!(intent, Intent::Claim { .. }));
        edits.try_for_each(|intent| draw(&mut draft, intent))
    });
    let change = drafted.map(|()| draft.finish());
    let (change, outcome) = match change {
        Ok(change) => (change, Ok(())),
        // What is well known was made all the same, and others are to have it.
        Err(error) => (None, Err(error)),
    };
    tokens.extend(seal(log, change, before, grantor)?);
    outcome
}

/// Makes what is well known on the way to what is intended, as far as a relay can tell: what always
/// stands below the root, and counters.
fn prepare(log: &mut ChangeLog, intent: &Intent) -> Result<(), ChangeFault> {
    let collection = |model: &Path| model.split().map(|(above, _)| above);
    let way = match intent {
        Intent::Put { model, .. } | Intent::Count { model, .. } | Intent::Claim { model, .. } => {
            Some(model.clone())
        }
        Intent::Create { model, .. } => collection(model),
        Intent::Remove { .. } | Intent::Move { .. } | Intent::Redeem { .. } => None,
    };
    let mut keys = way.iter().flat_map(Path::keys);
    if let (Some(key), None) = (keys.next(), keys.next()) {
        log.ensure(ObjectIndex::ROOT, &key, Made::Map, false)?;
    }
    if let Intent::Count { model, property, .. } = intent
        && let Some(object) = log.table().find(model)
    {
        log.ensure(object, &property.to_smolstr(), Made::Counter, false)?;
    }
    Ok(())
}

/// Drafts one edit, but never a value over a model: whether a property has values or models a relay does
/// not know.
fn draw(draft: &mut Draft<'_>, intent: &Intent) -> Result<(), ActError> {
    let no_model = || ActError::NoModel { model: intent.model().clone() };
    if let Intent::Put { model, property, .. } = intent {
        let root = draft.target(ObjectIndex::ROOT);
        let below = |at: Target, key: &str| draft.below(at, key);
        let target = model.keys().try_fold(root, |at, key| below(at, &key)).ok_or_else(no_model)?;
        if draft.below(target, &property.to_smolstr()).is_some() {
            return Err(ActError::NoEdit);
        }
    }
    perform(draft, intent, None).ok_or_else(no_model)
}

/// Edits texts as one change. Places beyond the end of one are its end. Adds what is new in the log.
///
/// # Errors
///
/// When it is too large, or the texts take no more.
pub(in crate::proto::hub) fn type_in(
    log: &mut ChangeLog,
    splices: &[Splice],
    grantor: &Grantor,
    tokens: &mut Vec<Token>,
) -> Result<(), ActError> {
    let size: usize = splices.iter().map(Splice::size).sum();
    let limit = log.limits().change / SHARE;
    let longest = splices.iter().map(|splice| splice.text.as_str().len()).max().unwrap_or(0);
    if size > limit || longest > MAX_TEXT {
        let (limit, size) = if size > limit { (limit, size) } else { (MAX_TEXT, longest) };
        return Err(ActError::TooLarge { limit, size });
    }
    let before = log.len();
    let ready = splices
        .iter()
        .try_for_each(|it| log.ensure(ObjectIndex::ROOT, it.text.as_str(), Made::Text, false));
    let actor = log.scope().actor(&grantor.introduction());
    let mut script = Script::new((log.table(), View::All), actor, log.next(&actor));
    for splice in splices.iter().filter(|_| ready.is_ok()) {
        if let Some(text) = log.table().text(splice.text.as_str()) {
            script.splice(text, splice);
        }
    }
    let change = script.finish();
    tokens.extend(seal(log, change, before, grantor)?);
    Ok(ready?)
}
