//! Whether a change may come in: who owns what it writes to, and what becomes of its claims.

use std::collections::BTreeSet;
use std::time::Duration;

use super::asked::{Asked, claims, last_of};
use super::places::{Place, Places, makes};
use super::{Grantor, Holdings};
use crate::proto::change::{Action, Change};
use crate::proto::config::OwnershipConfig;
use crate::proto::datastore::intent::Intent;
use crate::proto::hub::plugin::Asking;
use crate::proto::id::{DocumentId, PeerId};
use crate::proto::log::ChangeLog;
use crate::proto::model::path::Path;
use crate::proto::ownership::{Claim, Grant, Ledger, META, Mode, Session, Terms, prefixes};
use crate::proto::reason::Denial;
use crate::proto::time::Time;
use crate::proto::wire::bounded::Line;
use crate::proto::wire::message::{Denied, DeniedRecord, Introduction};

/// What becomes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It is granted, so.
    Granted { terms: Terms, kept: bool },
    /// The model is let go of.
    Released,
    /// The model is given to another.
    Given { to: PeerId, session: Session },
    /// It waits until its owner has let go.
    Waits(Terms),
    /// It is not.
    Denied(Denial),
}

/// Why a change is not let in, and about which model.
#[derive(Clone, Debug)]
struct Turned {
    model: Path,
    why: Denial,
}

/// Stands before a room's logs.
#[derive(Debug)]
pub(in crate::proto::hub) struct Gate<'a> {
    holdings: &'a mut Holdings,
    config: &'a OwnershipConfig,
    /// The log of the models, while a change of the texts is asked about.
    models: Option<&'a ChangeLog>,
    now: Time,
    /// When exclusive models may first be granted.
    ready_at: Time,
    /// The claims of the changes that came in since this was last taken.
    decided: Vec<(Asked, Verdict)>,
    /// What they removed.
    gone: Vec<Path>,
    /// Both of the last change that was asked about, until it is in.
    asked: (Vec<(Asked, Verdict)>, Vec<Path>),
    /// The first change that stays out.
    turned: Option<DeniedRecord>,
    reads_only: bool,
    /// Who else is asked, with the log of the room's other document.
    asking: Option<(Asking<'a>, &'a ChangeLog)>,
}

/// What came through a gate.
#[derive(Debug)]
pub(in crate::proto::hub) struct Passed {
    pub(super) decided: Vec<(Asked, Verdict)>,
    /// What was removed.
    pub(super) gone: Vec<Path>,
    /// The first change that stays out.
    pub(in crate::proto::hub) turned: Option<DeniedRecord>,
    /// What is to be written besides.
    pub(in crate::proto::hub) wanted: Vec<Vec<Intent>>,
}

impl<'a> Gate<'a> {
    pub(in crate::proto::hub) fn new(
        holdings: &'a mut Holdings,
        (models, config): (Option<&'a ChangeLog>, &'a OwnershipConfig),
        (grantor, now): (&Grantor, Time),
    ) -> Self {
        let ready_at = grantor.ready_at(config);
        Self {
            holdings,
            config,
            models,
            now,
            ready_at,
            decided: Vec::new(),
            gone: Vec::new(),
            asked: <(Vec<_>, Vec<_>)>::default(),
            turned: None,
            reads_only: false,
            asking: None,
        }
    }

    /// A plugin is asked, too, about what comes in otherwise.
    pub(in crate::proto::hub) fn set_asking(&mut self, asking: Asking<'a>, other: &'a ChangeLog) {
        self.asking = Some((asking, other));
    }

    /// What comes is of a peer that may not write: nothing of its own comes in, nor of others, but while
    /// the room is brought back.
    pub(in crate::proto::hub) const fn set_reads_only(&mut self, reads_only: bool) {
        self.reads_only = reads_only;
    }

    /// Whether a change may come in, that was `brought` by another than its author or not.
    ///
    /// # Errors
    ///
    /// Why not, and about which model.
    fn may(
        &mut self,
        log: &ChangeLog,
        author: &Introduction,
        change: &Change,
        brought: bool,
    ) -> Result<(), Turned> {
        // What is said to be another's may be of a key that nobody ever let in.
        if self.reads_only && (!brought || !self.holdings.recovery.is_open()) {
            return Err(Turned { model: Path::root(), why: Denial::ReadOnly });
        }
        // The relay's own, of an earlier boot, and what a room is brought back with.
        let own = log.authority().is_some_and(|relay| relay.peer() == author.peer);
        if own {
            self.holdings.recovery.remember(self.now + self.config.grace);
            return Ok(());
        }
        if self.holdings.recovery.is_open() {
            if !brought && log.document() == DocumentId::MODELS {
                self.holdings.recovery.note(last_of(claims(log, author, change)));
            }
            return Ok(());
        }
        if log.document() == DocumentId::TEXTS {
            return self.may_type(log, author, change);
        }
        let ledger = log.ledger();
        let all = claims(log, author, change);
        for redeemed in all.iter().filter(|asked| asked.claim == Claim::Redeem) {
            self.let_go(log, ledger, redeemed, change)
                .map_err(|why| Turned { model: redeemed.model.clone(), why })?;
        }
        let asked = if brought { Vec::new() } else { last_of(all) };
        if asked.is_empty() && ledger.is_empty() {
            return Ok(());
        }
        let often = !asked.is_empty() && self.counts(author.peer);
        let made = if asked.is_empty() { BTreeSet::new() } else { makes(log, change) };
        let mut decided = Vec::new();
        for asked in asked {
            let limit = self.config.claims_per_second;
            let stands = |path: &Path| made.contains(path) || log.table().find(path).is_some();
            let (takes, here) = match asked.claim {
                // Of a place that is to be filled, what it is in must stand.
                Claim::Take(terms) if terms.mode == Mode::Reserved => {
                    (true, asked.model.split().is_some_and(|(above, _)| stands(&above)))
                }
                Claim::Take(_) => (true, stands(&asked.model)),
                Claim::Release | Claim::Give(_) | Claim::Redeem => (false, true),
            };
            let verdict = if takes && often {
                Verdict::Denied(Denial::TooOften { limit })
            } else if takes && !here {
                Verdict::Denied(Denial::NoModel)
            } else {
                self.decide(log, ledger, &asked, (change, decided.len()))
            };
            decided.push((asked, verdict));
        }
        let gone = self.may_write(log, author, change, &decided)?;
        self.asked = (decided, gone);
        Ok(())
    }

    /// Whether a change stays out. Who is at the link is to be told, its author or who has it from a
    /// relay that had let it in and forgot.
    pub(in crate::proto::hub) fn stops(
        &mut self,
        log: &ChangeLog,
        author: &Introduction,
        change: &Change,
        brought: bool,
    ) -> bool {
        self.asked = <(Vec<_>, Vec<_>)>::default();
        let outcome = self.may(log, author, change, brought);
        let outcome = outcome.and_then(|()| self.ask(log, author, change));
        let Err(turned) = outcome else {
            return false;
        };
        tracing::debug!(model = %turned.model, why = %turned.why, brought, "a change stays out");
        if self.turned.is_none() {
            let what = Denied::Change { actor: change.actor, sequence: change.sequence };
            let model = Line::new(turned.model.as_str()).unwrap_or_default();
            self.turned = Some(DeniedRecord { what, model, why: turned.why });
        }
        true
    }

    /// Whether a plugin lets a change in. It is not asked while a room is brought back.
    fn ask(
        &mut self,
        log: &ChangeLog,
        author: &Introduction,
        change: &Change,
    ) -> Result<(), Turned> {
        let asks = !self.holdings.recovery.is_open();
        let own = log.authority().is_some_and(|relay| relay.peer() == author.peer);
        let Some((asking, other)) = self.asking.as_mut().filter(|_| asks && !own) else {
            return Ok(());
        };
        let judged = asking.judge((log, other), author, change);
        judged.map_err(|(model, why)| Turned { model, why })
    }

    /// The last change that was asked about is in: what it claims counts.
    pub(in crate::proto::hub) fn admitted(&mut self) {
        let (decided, gone) = std::mem::take(&mut self.asked);
        self.decided.extend(decided);
        self.gone.extend(gone);
        if let Some((asking, _)) = &mut self.asking {
            asking.admitted();
        }
    }

    /// What was decided of claims since, and what is to be told of a change that stays out.
    pub(in crate::proto::hub) fn end(self) -> Passed {
        let wanted = self.asking.map(|(asking, _)| asking.end()).unwrap_or_default();
        Passed { decided: self.decided, gone: self.gone, turned: self.turned, wanted }
    }

    /// Answers a claim that waited until there was something to go by.
    pub(super) fn late(&mut self, log: &ChangeLog, (asked, change): (Asked, Option<Change>)) {
        let mut claims = log.ledger().claims(asked.model.as_str());
        let stands = claims.any(|(id, _)| id == asked.id);
        let verdict = match change.filter(|_| stands) {
            Some(change) => self.decide(log, log.ledger(), &asked, (&change, 0)),
            // Another has claimed it since, in the knowledge of this, or history was cut.
            None => Verdict::Denied(Denial::Outdated),
        };
        self.decided.push((asked, verdict));
    }

    /// Whether everything that a change writes is its author's, or nobody's. What it claims in the
    /// same breath is. Returns what it removes.
    fn may_write(
        &self,
        log: &ChangeLog,
        author: &Introduction,
        change: &Change,
        decided: &[(Asked, Verdict)],
    ) -> Result<Vec<Path>, Turned> {
        let ledger = log.ledger();
        let mut places = Places::new(log, change);
        let mut gone = Vec::new();
        // A claim is granted only where nobody else owns anything above.
        let granted =
            decided.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Granted { .. }));
        let granted: BTreeSet<&str> = granted.map(|(asked, _)| asked.model.as_str()).collect();
        for (at, operation) in change.operations.iter().enumerate() {
            let Some(Place { path: place, whole }) = places.of(at, operation) else {
                continue;
            };
            if Path::parse(META).contains(&place) {
                continue;
            }
            if whole && matches!(operation.action, Action::Delete) {
                gone.push(place.clone());
            }
            let claimed = !granted.is_empty()
                && prefixes(place.as_str()).any(|prefix| granted.contains(prefix));
            if claimed {
                continue;
            }
            if let Some((model, grant)) = ledger.outermost(place.as_str()) {
                let model = Path::parse(model);
                self.may_as(log, author, change, (&model, &grant))?;
            }
        }
        Ok(gone)
    }

    /// Whether a change may write to what a grant is of.
    fn may_as(
        &self,
        log: &ChangeLog,
        author: &Introduction,
        change: &Change,
        (model, grant): (&Path, &Grant),
    ) -> Result<(), Turned> {
        let session = Session::of(author.incarnation);
        if (grant.holder, grant.session) != (author.peer, session) {
            let why = Denial::Owned { by: grant.holder };
            return Err(Turned { model: model.clone(), why });
        }
        if self.knows(log, change, (model, grant)) {
            return Ok(());
        }
        Err(Turned { model: model.clone(), why: Denial::Outdated })
    }

    /// Whether a change was written in the knowledge of a grant: it follows that, or what its author
    /// had claimed to get it.
    fn knows(&self, log: &ChangeLog, change: &Change, (model, grant): (&Path, &Grant)) -> bool {
        log.known_to(change) >= grant.since()
            || self.holdings.answered.get(model).is_some_and(|(actor, sequence)| {
                *actor == change.actor && change.sequence >= *sequence
            })
    }

    /// Texts have an order of their own, so of them only the owner counts.
    fn may_type(
        &self,
        log: &ChangeLog,
        author: &Introduction,
        change: &Change,
    ) -> Result<(), Turned> {
        let Some(ledger) = self.models.map(ChangeLog::ledger).filter(|ledger| !ledger.is_empty())
        else {
            return Ok(());
        };
        let session = Session::of(author.incarnation);
        let mut last = None;
        for operation in &change.operations {
            if last.replace(operation.object) == Some(operation.object) {
                continue;
            }
            let Some(text) = log.table().object(&operation.object) else {
                continue;
            };
            let path = log.table().property(text);
            if let Some((model, grant)) = ledger.outermost(path.as_str())
                && (grant.holder, grant.session) != (author.peer, session)
            {
                let why = Denial::Owned { by: grant.holder };
                return Err(Turned { model: Path::parse(model), why });
            }
        }
        Ok(())
    }

    fn decide(
        &self,
        log: &ChangeLog,
        ledger: Ledger<'_>,
        asked: &Asked,
        (change, granted): (&Change, usize),
    ) -> Verdict {
        let outcome = match asked.claim {
            Claim::Take(terms) => self.take(log, ledger, asked, (change, terms, granted)),
            Claim::Release | Claim::Redeem => {
                self.let_go(log, ledger, asked, change).map(|_| Verdict::Released)
            }
            Claim::Give(to) => self.give(log, ledger, asked, (change, to)),
        };
        outcome.unwrap_or_else(Verdict::Denied)
    }

    fn take(
        &self,
        log: &ChangeLog,
        ledger: Ledger<'_>,
        asked: &Asked,
        (change, terms, granted): (&Change, Terms, usize),
    ) -> Result<Verdict, Denial> {
        let me = asked.by.peer;
        if terms.mode == Mode::Reserved && !is_vacant(log, &asked.model) {
            return Err(Denial::Occupied);
        }
        if let Some((model, outer)) = ledger.outermost(asked.model.as_str())
            && model != asked.model.as_str()
            && outer.holder != me
        {
            return Err(Denial::Owned { by: outer.holder });
        }
        let Some(grant) = ledger.grant(asked.model.as_str()) else {
            let limit = self.config.models;
            if self.holdings.owned.values().sum::<usize>() + granted >= limit as usize {
                return Err(Denial::Full { limit });
            }
            return Ok(self.when_ready(asked, terms, None));
        };
        let by = grant.holder;
        let again = by == me && grant.session == Session::of(asked.by.incarnation);
        if grant.held && again {
            return Ok(Verdict::Granted { terms, kept: true });
        }
        if grant.terms.mode == Mode::Fixed && by != me {
            return Err(Denial::Fixed { by });
        }
        if !grant.held {
            return Ok(self.when_ready(asked, terms, Some(&grant)));
        }
        if !self.knows(log, change, (&asked.model, &grant)) {
            return Err(Denial::Raced { by });
        }
        let terms = grant.terms;
        if terms.prevent_takeover {
            return Err(Denial::Protected { by });
        }
        if terms.mode == Mode::Exclusive {
            return Ok(Verdict::Waits(terms));
        }
        let rests =
            self.holdings.taken.get(&asked.model).map(|taken| *taken + self.config.cooldown);
        if let Some(until) = rests.filter(|until| *until > self.now) {
            let wait_ms = u32::try_from((until - self.now).as_millis()).unwrap_or(u32::MAX);
            return Err(Denial::Cooling { wait_ms: wait_ms.max(1) });
        }
        Ok(Verdict::Granted { terms, kept: false })
    }

    /// What nobody owns is granted at once, unless somebody may believe yet that it owns it alone.
    fn when_ready(&self, asked: &Asked, terms: Terms, before: Option<&Grant>) -> Verdict {
        let now = self.now;
        let queue = &self.holdings.queue;
        let fenced = queue.waits(&asked.model) || queue.not_before(&asked.model) > now;
        let exclusive =
            terms.mode == Mode::Exclusive || before.is_some_and(super::grants::is_exclusive);
        if fenced || (exclusive && self.ready_at > now) {
            return Verdict::Waits(terms);
        }
        Verdict::Granted { terms, kept: false }
    }

    /// The grant that a peer lets go of.
    fn let_go(
        &self,
        log: &ChangeLog,
        ledger: Ledger<'_>,
        asked: &Asked,
        change: &Change,
    ) -> Result<Grant, Denial> {
        let grant = ledger.grant(asked.model.as_str()).filter(|grant| {
            let session = Session::of(asked.by.incarnation);
            grant.held && (grant.holder, grant.session) == (asked.by.peer, session)
        });
        let grant = grant.ok_or(Denial::NotOwner)?;
        if self.knows(log, change, (&asked.model, &grant)) {
            return Ok(grant);
        }
        Err(Denial::Outdated)
    }

    fn give(
        &self,
        log: &ChangeLog,
        ledger: Ledger<'_>,
        asked: &Asked,
        (change, to): (&Change, PeerId),
    ) -> Result<Verdict, Denial> {
        let grant = self.let_go(log, ledger, asked, change)?;
        if grant.terms.mode == Mode::Fixed {
            return Err(Denial::Fixed { by: grant.holder });
        }
        let session = self.holdings.session_of(to).ok_or(Denial::Absent { to })?;
        Ok(Verdict::Given { to, session })
    }

    /// Counts a change with claims. Returns whether its author claims too often.
    fn counts(&mut self, peer: PeerId) -> bool {
        let now = self.now;
        let times = self.holdings.claimed.entry(peer).or_default();
        times.retain(|time| *time + Duration::from_secs(1) > now);
        let often = times.len() >= self.config.claims_per_second as usize;
        if !often {
            times.push(now);
        }
        often
    }
}

/// Whether there is nothing under a key, not even a value that no model could be.
fn is_vacant(log: &ChangeLog, place: &Path) -> bool {
    let table = log.table();
    let found = place.split().and_then(|(above, key)| Some((table.find(&above)?, key)));
    found.is_none_or(|(object, key)| table.get(object, &key).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::authorship::Scope;
    use crate::proto::config::Limits;
    use crate::proto::id::{AppKey, Identity, RoomName};

    #[test]
    fn who_may_only_read_brings_nothing_of_others_but_to_a_room_that_is_brought_back() {
        let scope = Scope::first(AppKey::new("key").unwrap().app(), RoomName::new("room").unwrap());
        let log = ChangeLog::new(scope, DocumentId::MODELS, Limits::default());
        let author = Introduction { peer: Identity::from_seed([3; 32]).peer(), incarnation: 1 };
        let actor = log.scope().actor(&author);
        let (deps, operations) = (Vec::new(), Vec::new());
        let change = Change { actor, sequence: 1, start: 1, deps, operations };
        let (config, now) = (OwnershipConfig::default(), Time::ZERO);
        let grantor = Grantor::new(Identity::from_seed([1; 32]), 1);
        let mut holdings = Holdings::default();
        for (open, reads_only, brought, stops) in [
            (false, false, true, false),
            (false, true, false, true),
            (false, true, true, true),
            (true, true, true, false),
            (true, true, false, true),
        ] {
            if open {
                holdings.recovery.begin([Vec::new(), Vec::new()], now + config.grace);
            }
            let mut gate = Gate::new(&mut holdings, (None, &config), (&grantor, now));
            gate.set_reads_only(reads_only);
            let case = (open, reads_only, brought);
            assert_eq!(gate.stops(&log, &author, &change, brought), stops, "{case:?}");
        }
    }
}
