//! Another epoch: history goes, values stay, and what this peer wrote that nobody confirmed is
//! written anew.

mod compare;
mod texts;

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

use self::texts::Typed;
use super::refresh::Spot;
use super::write::say;
use super::{Datastore, ElementId};
use crate::proto::authorship::Scope;
use crate::proto::change::{OpId, chunk};
use crate::proto::cut::Cut;
use crate::proto::document::Image;
use crate::proto::draft::Draft;
use crate::proto::event::Event;
use crate::proto::id::DocumentId;
use crate::proto::log::{Candidate, ChangeLog, Index, Origin};
use crate::proto::model::path::Path;
use crate::proto::model::value::Value;
use crate::proto::ownership::{Claim, META, RESERVED};
use crate::proto::table::{Cell, ObjectIndex, ObjectKind, RegisterIndex, Role, Table};
use crate::proto::wire::message::{Hash, Made};

/// One thing that this peer wrote and nobody confirmed: the difference that it makes.
#[derive(Clone, Debug)]
pub(super) struct Step {
    object: Path,
    key: SmolStr,
    deed: Deed,
}

#[derive(Clone, Debug)]
enum Deed {
    Make {
        fixed: bool,
    },
    Put(Value),
    /// Begin a counter at zero.
    Begin {
        fixed: bool,
    },
    Count(i64),
    /// Raise a counter to what it has come to.
    Raise(i64),
    Delete,
}

/// What a peer takes along into an epoch that began elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kept {
    /// What it wrote and nobody confirmed: the rest is there.
    Unconfirmed,
    /// Everything that shows, because it was left behind there: counters are raised to what they have
    /// come to here.
    Ahead,
    /// Everything that shows, because nobody there knows of it: counters are added.
    Everything,
}

/// What is compared with what the room has, once all of that is here: what its epoch began with is not
/// all, and what came since would be counted and typed twice.
#[derive(Debug, Default)]
pub(super) struct Brought {
    /// What counters had come to.
    raises: Vec<Step>,
    /// What this peer typed that nobody confirmed, in places of what was confirmed.
    typed: Vec<Typed>,
    texts: BTreeMap<Path, String>,
}

impl Brought {
    /// Whether there is anything.
    pub(super) fn is_some(&self) -> bool {
        !(self.raises.is_empty() && self.typed.is_empty() && self.texts.is_empty())
    }
}

impl Datastore {
    /// Brings what waits for everything that the room has to be here. Costs nothing if nothing does.
    pub fn bring(&mut self) {
        self.bring_typed();
        let Brought { raises, texts, .. } = std::mem::take(&mut self.brought);
        if !raises.is_empty() {
            let spots: Vec<Spot> =
                raises.iter().map(|step| (step.object.clone(), step.key.to_string())).collect();
            let refused = self.write_steps(raises);
            self.refresh(&[], &spots);
            self.refuse(refused);
        }
        self.bring_texts(texts);
    }

    /// Begins to cut the history of a document: what is confirmed is where the epoch of `scope`
    /// begins. Until [`Self::step_cut`] says that it is done, nothing of it may be received. Models
    /// are not written meanwhile; texts are, and again when the epoch has begun.
    pub fn begin_cut(&mut self, document: DocumentId, scope: Scope) {
        if document == DocumentId::TEXTS {
            // Places in this frame's edits count in what shows, and that must be everything.
            self.flush();
        }
        self.cut[document.place()] = Some(Cut::into(scope));
    }

    /// Forgets the cuts that are on their way: the link from which they came is gone.
    pub fn abandon_cuts(&mut self) {
        self.cut = [None, None];
    }

    /// Whether a cut of a document is on its way.
    #[must_use]
    pub const fn is_cutting(&self, document: DocumentId) -> bool {
        self.cut[document.place()].is_some()
    }

    /// Gives back a part of what an epoch that is over took: all of it at once would stall a frame.
    /// Returns whether there is more.
    pub fn tidy(&mut self, budget: usize) -> bool {
        if let Some(left) = self.left.last_mut()
            && !left.wither(budget)
        {
            self.left.pop();
        }
        !self.left.is_empty()
    }

    /// Goes on with a cut of a document, through about `budget` values. Returns whether it is done, or
    /// there was none. That of texts waits for those that are held ([`Self::hold_texts`]), unless the
    /// budget is [`usize::MAX`].
    pub fn step_cut(&mut self, document: DocumentId, budget: usize) -> bool {
        if document == DocumentId::TEXTS
            && self.is_cutting(document)
            && !self.waiting_texts().is_empty()
        {
            if budget < usize::MAX {
                return false;
            }
            self.let_in_all();
        }
        let Some(cut) = &mut self.cut[document.place()] else {
            return true;
        };
        let log = if document == DocumentId::TEXTS { &self.texts } else { &self.models };
        let Some(begun) = cut.step(log, budget) else {
            return false;
        };
        self.cut[document.place()] = None;
        if document == DocumentId::TEXTS {
            self.enter_with_texts(begun);
        } else {
            let steps = self.steps();
            self.enter(begun);
            let refused = self.write_steps(steps);
            self.refuse(refused);
            self.hear_all();
        }
        true
    }

    /// Goes over to an epoch that began elsewhere, whatever it has in common with this one. What
    /// this peer wrote and nobody confirmed is written on top of it; what has no place there is
    /// reported as dropped, one by one.
    pub fn go_over(&mut self, begun: ChangeLog, kept: Kept) {
        let document = begun.document();
        self.cut[document.place()] = None;
        if document == DocumentId::TEXTS {
            self.go_over_with_texts(begun, kept);
            return;
        }
        let steps = match kept {
            // What it asked for it asks for again when it knows what was granted meanwhile.
            Kept::Unconfirmed => steps(self.models.table()),
            Kept::Ahead => all(self.models.table(), false),
            Kept::Everything => all(self.models.table(), true),
        };
        let raises = |step: &Step| matches!(step.deed, Deed::Raise(_));
        let (raises, steps): (Vec<_>, Vec<_>) = steps.into_iter().partition(raises);
        self.brought.raises.extend(raises);
        self.enter(begun);
        let refused = self.write_steps(steps);
        self.refresh_all();
        self.refuse(refused);
        self.hear_all();
    }

    /// What this peer wrote and nobody confirmed. What it asked for so is asked for again.
    fn steps(&mut self) -> Vec<Step> {
        let pending: BTreeSet<Index> = self.models.pending().collect();
        let said: BTreeSet<OpId> = self.said().collect();
        let lost: BTreeSet<OpId> = said
            .into_iter()
            .filter(|id| self.models.containing(*id).is_some_and(|index| pending.contains(&index)))
            .collect();
        self.ask_again(|id| lost.contains(id));
        steps(self.models.table())
    }

    /// This peer's change at a place in a log has its place in the room's order now.
    pub fn confirm(&mut self, document: DocumentId, place: Index) {
        self.log_mut(document).confirm(place);
    }

    /// Everything that `heads` cover has its place in the room's order.
    pub fn confirm_covered(&mut self, document: DocumentId, heads: &[Hash]) {
        self.log_mut(document).confirm_covered(heads);
    }

    /// Nothing else has than what `heads` cover.
    pub fn confirm_only(&mut self, document: DocumentId, heads: &[Hash]) {
        self.log_mut(document).confirm_only(heads);
    }

    fn enter(&mut self, begun: ChangeLog) {
        self.keep_confirmed();
        self.actor = begun.scope().actor(&self.author);
        let left = std::mem::replace(&mut self.models, begun);
        for (actor, author) in left.authors() {
            if let (Origin::Peer(_), Some(half)) = (&author.origin, actor.first_chunk::<8>()) {
                self.departed.insert(*half, author.changes.len() as u64);
            }
        }
        self.left.push(left);
        self.images[0] = Image::new();
        self.cuts += 1;
        self.described = false;
        self.written[0].clear();
    }

    pub(super) fn refuse(&mut self, refused: Vec<Step>) {
        for step in refused {
            tracing::debug!(object = %step.object, key = %step.key, "an edit has no place any more");
            self.tell(Event::Dropped { model: step.object });
        }
    }

    /// Writes steps as changes of this peer. Returns those that have no place.
    pub(super) fn write_steps(&mut self, steps: Vec<Step>) -> Vec<Step> {
        let mut refused = Vec::new();
        let share = self.share();
        // What is proposed is redeemed with the last of what was done for it.
        let mut redeemed: BTreeMap<Path, usize> = BTreeMap::new();
        for (at, step) in steps.iter().enumerate() {
            redeemed.extend(self.redeemed_by(&step.place()).map(|place| (place, at)));
        }
        let (mut steps, mut written) = (steps.into_iter().peekable(), 0);
        // The model that was made last, with all that is below it.
        let mut whole = Path::parse(META);
        while steps.peek().is_some() {
            let mut size = 0;
            let part: Vec<Step> = std::iter::from_fn(|| {
                let next = steps.peek()?;
                size += next.size();
                let made = next.makes().filter(|path| !whole.contains(path));
                let begins = made.is_some();
                whole = made.unwrap_or_else(|| std::mem::take(&mut whole));
                // What is made comes whole, if there is room for it at all.
                let ends = size > share && (begins || size > 2 * share + share / 2);
                if ends && size > next.size() { None } else { steps.next() }
            })
            .collect();
            let range = written..written + part.len();
            written = range.end;
            let due = redeemed.iter().filter(|(_, at)| range.contains(at));
            let due: Vec<Path> = due.map(|(place, _)| place.clone()).collect();
            self.write_part(part, &due, &mut refused);
        }
        refused
    }

    fn write_part(&mut self, part: Vec<Step>, redeemed: &[Path], refused: &mut Vec<Step>) {
        if !redeemed.is_empty()
            && let Err(fault) = self.ensure_claims()
        {
            tracing::debug!(%fault, "well-known object not written");
        }
        for step in &part {
            self.prepare_step(step);
        }
        let before = self.models.len();
        let next = self.models.next(&self.actor);
        let size = part.len() + redeemed.len();
        let mut draft = Draft::new(self.models.table(), self.actor, next, size);
        let mut written = Vec::new();
        for step in part {
            if perform(&mut draft, &step).is_some() { &mut written } else { &mut *refused }
                .push(step);
        }
        // It is said even if another said the same of the place last: without it the relay would not
        // see whether the place is this peer's.
        for place in redeemed {
            if say(&mut draft, place, &Claim::Redeem) != Some(true) {
                tracing::debug!(%place, "not redeemed");
            }
        }
        if let Some(change) = draft.finish() {
            let change = chunk::encode(change);
            let candidate = Candidate { introduction: Some(self.author), change, pending: true };
            if let Err(fault) = self.models.admit(candidate) {
                tracing::debug!(%fault, "edits of an earlier epoch not written");
                refused.append(&mut written);
            }
        }
        redeemed.iter().for_each(|place| self.note_redeemed(place));
        self.written[0].extend(before..self.models.len());
    }

    /// What is well known is made well known again.
    fn prepare_step(&mut self, step: &Step) {
        let made = match step.deed {
            Deed::Make { fixed: true } => Made::Map,
            Deed::Begin { fixed: true } => Made::Counter,
            Deed::Make { .. }
            | Deed::Begin { .. }
            | Deed::Put(_)
            | Deed::Count(_)
            | Deed::Raise(_)
            | Deed::Delete => return,
        };
        if let Some(object) = self.models.table().find(&step.object)
            && let Err(fault) = self.models.ensure(object, &step.key, made, true)
        {
            tracing::debug!(%fault, "well-known object not written");
        }
    }
}

impl Step {
    /// The path of what it writes.
    pub(super) fn place(&self) -> Path {
        self.object.join(&self.key)
    }

    /// The model that it makes, if it makes one that is in a collection.
    pub(super) fn makes(&self) -> Option<Path> {
        matches!(self.deed, Deed::Make { fixed: false }).then(|| self.place())
    }

    /// The model that it is about: one that comes or goes, or the one that it gives a property.
    pub(super) fn model(&self) -> Path {
        match self.deed {
            Deed::Make { .. } | Deed::Delete => self.place(),
            Deed::Put(_) | Deed::Begin { .. } | Deed::Count(_) | Deed::Raise(_) => {
                self.object.clone()
            }
        }
    }

    /// How many bytes it may add to a change at most, as an estimate from above.
    fn size(&self) -> usize {
        let value = match &self.deed {
            Deed::Put(Value::Text(text)) => text.len(),
            Deed::Put(Value::Bytes(bytes)) => bytes.len(),
            Deed::Put(_)
            | Deed::Make { .. }
            | Deed::Begin { .. }
            | Deed::Count(_)
            | Deed::Raise(_)
            | Deed::Delete => 0,
        };
        64 + self.key.len() + value
    }
}

/// What this peer wrote and nobody confirmed, as the difference between what shows and what would
/// show without it.
pub(super) fn steps(table: &Table) -> Vec<Step> {
    let mut steps = Vec::new();
    for register in table.unconfirmed() {
        let (object, key) = table.place(register);
        if is_said(table.path(object), key) {
            continue;
        }
        // Within what this peer made itself: written with that. Within what is gone: gone.
        if table.is_confirmed(object) && table.is_shown(object) {
            difference(table, register, &mut steps);
        }
    }
    steps
}

/// Everything that shows; counters to be added, or to be raised.
fn all(table: &Table, added: bool) -> Vec<Step> {
    let mut steps = Vec::new();
    for (_, register) in table.registers(ObjectIndex::ROOT, None) {
        everything(table, register, &mut steps);
    }
    for step in steps.iter_mut().filter(|_| !added) {
        if let Deed::Count(total) = step.deed {
            step.deed = Deed::Raise(total);
        }
    }
    steps
}

/// Whether something is a claim or a grant: it is made anew where it is needed, and not written again.
fn is_said(object: &Path, key: &str) -> bool {
    let below = object.as_str().strip_prefix(META);
    match below {
        Some("") => key.starts_with(RESERVED),
        Some(below) => below.strip_prefix('/').is_some_and(|below| below.starts_with(RESERVED)),
        None => false,
    }
}

fn difference(table: &Table, register: RegisterIndex, steps: &mut Vec<Step>) {
    let (object, key) = table.place(register);
    let step = |deed| Step { object: table.path(object).clone(), key: key.clone(), deed };
    match (table.confirmed(register).last(), table.values(register).last()) {
        (None, None) => {}
        (Some(_), None) => steps.push(step(Deed::Delete)),
        (Some(before), Some(now)) if before.id == now.id => {
            if let (Cell::Counter(before), Cell::Counter(now)) = (&before.cell, &now.cell)
                && before != now
            {
                steps.push(step(Deed::Count(now.wrapping_sub(*before))));
            }
        }
        (_, Some(_)) => everything(table, register, steps),
    }
}

/// Everything that shows in a register and below it.
fn everything(table: &Table, register: RegisterIndex, steps: &mut Vec<Step>) {
    let (object, key) = table.place(register);
    let Some(live) = table.values(register).last().filter(|_| !is_said(table.path(object), key))
    else {
        return;
    };
    let fixed = matches!(table.role(live.id), Some(Role::Fixed(_) | Role::FixedCounter(_)));
    let mut step =
        |deed| steps.push(Step { object: table.path(object).clone(), key: key.clone(), deed });
    let below = match &live.cell {
        // A record of a type: whoever needs it writes it again.
        Cell::Value(_) if fixed => return,
        Cell::Value(value) => {
            step(Deed::Put(value.clone()));
            None
        }
        Cell::Counter(total) => {
            step(Deed::Begin { fixed });
            step(Deed::Count(*total));
            None
        }
        Cell::Object(below) => {
            step(Deed::Make { fixed });
            Some(*below)
        }
    };
    let below = below.filter(|below: &ObjectIndex| table.kind(*below) == ObjectKind::Map);
    for (_, register) in below.into_iter().flat_map(|below| table.registers(below, None)) {
        everything(table, register, steps);
    }
}

/// Writes one step. Nothing if it has no place.
fn perform(draft: &mut Draft<'_>, step: &Step) -> Option<()> {
    let root = draft.target(ObjectIndex::ROOT);
    let object = step.object.keys().try_fold(root, |object, key| draft.below(object, &key))?;
    let key = || step.key.clone();
    let has = |draft: &Draft<'_>| draft.has(object, &step.key);
    let done = match &step.deed {
        Deed::Make { fixed } => {
            // Nobody else makes an element under the same id: it is here already.
            let here = draft.below(object, &step.key).is_some();
            let same = here && (*fixed || ElementId::parse(&step.key).is_some());
            same || draft.make(object, key()).is_some()
        }
        Deed::Put(value) => draft.put(object, key(), value),
        Deed::Begin { .. } => has(draft) || draft.begin_count(object, key()),
        Deed::Raise(total) => {
            let by = total.saturating_sub(draft.total(object, &step.key));
            by <= 0 || draft.count(object, key(), by)
        }
        Deed::Count(by) => *by == 0 || draft.count(object, key(), *by),
        Deed::Delete => !has(draft) || draft.delete(object, key()),
    };
    done.then_some(())
}
