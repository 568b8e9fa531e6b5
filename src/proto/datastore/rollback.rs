//! Edits that are taken back: the model that they were of is another's.

use std::collections::BTreeSet;

use super::epoch::steps;
use super::intent::{Intent, Splice};
use super::mirror::{Known, Node};
use super::refresh::Spot;
use super::write::touched_by;
use super::{Datastore, EditError};
use crate::proto::change::{ObjectId, OpId};
use crate::proto::document::Image;
use crate::proto::event::{Event, Origin};
use crate::proto::id::DocumentId;
use crate::proto::log::{ChangeLog, Index};
use crate::proto::model::path::Path;
use crate::proto::reason::Denial;
use crate::proto::table::{ObjectIndex, Role};
use crate::proto::wire::message::{Actor, Introduction};

/// Places that somebody wrote.
struct Written(BTreeSet<Path>);

impl Written {
    /// Whether a place is one of them, or below one.
    fn contains(&self, place: &Path) -> bool {
        let before = self.0.range(..=place).next_back();
        self.0.contains(place) || before.is_some_and(|before| before.contains(place))
    }
}

impl Datastore {
    /// Takes back what is pending at places, and says so.
    pub(super) fn take_back(&mut self, refused: impl Fn(&Self, &Path) -> bool, why: Denial) {
        let mut pending = std::mem::take(&mut self.pending);
        let taken = pending.take_out(|place| refused(self, place));
        self.pending = pending;
        self.tell_refused(taken, |_| why);
    }

    /// Takes out of what is due whatever another owns by now.
    pub(super) fn take_out_refused(
        &mut self,
        intents: &mut Vec<Intent>,
        splices: &mut Vec<Splice>,
    ) {
        if self.models.ledger().is_empty() {
            return;
        }
        let whose = |place: &Path| self.whose(place);
        let claims = |intent: &Intent| matches!(intent, Intent::Claim { .. });
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(intents)
            .into_iter()
            .partition(|intent| claims(intent) || whose(intent.model()).is_none());
        *intents = kept;
        let (kept, cut): (Vec<_>, Vec<_>) =
            std::mem::take(splices).into_iter().partition(|splice| whose(&splice.text).is_none());
        *splices = kept;
        let reasons = gone.iter().map(Intent::model).chain(cut.iter().map(|cut| &cut.text));
        let reasons: Vec<_> =
            reasons.filter_map(|place| Some((place.clone(), whose(place)?))).collect();
        let why = |place: &Path| {
            let reason = reasons.iter().find(|(of, _)| of == place);
            reason.map_or(Denial::Outdated, |(_, why)| *why)
        };
        self.tell_refused((gone, cut), why);
    }

    /// Edits that were not written go: what they were of shows again as it is.
    fn tell_refused(
        &mut self,
        (intents, splices): (Vec<Intent>, Vec<Splice>),
        why: impl Fn(&Path) -> Denial,
    ) {
        let spots: Vec<Spot> = intents.iter().filter_map(touched_by).collect();
        let texts: BTreeSet<Path> = splices.into_iter().map(|splice| splice.text).collect();
        let models = intents.iter().map(|intent| intent.model().clone());
        let models: BTreeSet<Path> = models.chain(texts.iter().cloned()).collect();
        for model in models {
            let why = why(&model);
            self.tell(Event::Refused { model, why });
        }
        self.origin = Origin::Rollback;
        self.refresh(&[], &spots);
        self.refresh_texts(&texts);
        self.origin = Origin::Remote;
    }

    /// The relay does not let in a change of this peer's, nor what it wrote since: all that nobody
    /// confirmed is taken back, and what is not refused is written again, by another incarnation,
    /// as the difference that it makes.
    pub(crate) fn roll_back(
        &mut self,
        document: DocumentId,
        change: (&Actor, u64),
        (model, why): (&Path, Denial),
        author: Introduction,
    ) {
        if document == DocumentId::TEXTS {
            // Places count in what shows, and that must be everything.
            self.let_in_all();
        }
        let doomed = self.log(document).doomed(change, self.author.peer);
        if document == DocumentId::TEXTS {
            self.roll_back_texts(&doomed, (model, why), author);
        } else {
            self.roll_back_models(&doomed, (model, why), author);
        }
    }

    fn roll_back_models(
        &mut self,
        doomed: &BTreeSet<Index>,
        (model, why): (&Path, Denial),
        author: Introduction,
    ) {
        // There it still waits for its place, what others wrote that a relay forgot too; but that is no
        // difference of this peer's.
        let rest = self.models.without(doomed);
        self.models.leave_pending(doomed);
        let own = |at: &Index| self.models.writer(*at) == Some(self.author.peer);
        let own = Written(
            self.places(doomed.iter().filter(|at| own(at)))
                .map(|(path, key)| path.join(&key))
                .collect(),
        );
        // What others did may be taken back with it.
        let spots: Vec<Spot> = self.places(doomed.iter()).collect();
        let unconfirmed = steps(self.models.table()).into_iter();
        let unconfirmed: Vec<_> = unconfirmed.filter(|step| own.contains(&step.place())).collect();
        self.author = author;
        let left = self.replace_models(rest);
        let lost = |id: &OpId| left.containing(*id).is_some_and(|index| doomed.contains(&index));
        let denied = self.forget_denied(&lost, (model, why));
        self.ask_again(lost);
        self.left.push(left);
        let (refused, kept): (Vec<_>, Vec<_>) = unconfirmed.into_iter().partition(|step| {
            let place = step.place();
            model.contains(&place) || self.may_touch(&place).is_err()
        });
        let made: Vec<Path> = kept.iter().filter_map(|step| step.makes()).collect();
        let dropped = self.write_steps(kept);
        made.iter().for_each(|path| self.learn_anew(path));
        let shown = refused.iter().any(|step| model.contains(&step.place()));
        let models = refused.into_iter().map(|step| step.model()).collect();
        // Who is told that a claim was denied knows already.
        self.tell_rolled_back((models, shown || !denied.is_empty()), (model, why));
        self.origin = Origin::Rollback;
        self.refresh(&[], &spots);
        self.refresh_all();
        self.origin = Origin::Remote;
        self.refuse(dropped);
        self.hear_all();
        for path in &denied {
            self.tell_denied(path, why);
            // What was to be written once it is granted.
            self.take_back_below(path, why);
        }
    }

    /// Says of what edits were taken back: of what was refused in any case, though it may not have
    /// `shown`.
    fn tell_rolled_back(
        &mut self,
        (mut models, shown): (BTreeSet<Path>, bool),
        (place, why): (&Path, Denial),
    ) {
        if !shown {
            // What is refused may be a property alone.
            let above = place.split().map(|(above, _)| above);
            let above = above.filter(|_| self.mirror.node(place).is_none());
            let model = above.filter(|it| matches!(self.mirror.node(it), Some(Node::Model(_))));
            models.insert(model.unwrap_or_else(|| place.clone()));
        }
        for model in models {
            let why = self.whose(&model).unwrap_or(why);
            self.tell(Event::Refused { model, why });
        }
    }

    /// Where changes of the models wrote something.
    fn places<'a>(&self, changes: impl Iterator<Item = &'a Index>) -> impl Iterator<Item = Spot> {
        let table = self.models.table();
        let mut places = BTreeSet::new();
        for change in changes.filter_map(|place| self.models.change(*place)) {
            for at in 0..change.operations.len() {
                let role = table.role(change.id(at)).and_then(Role::register);
                places.extend(role.map(|register| {
                    let (object, key) = table.place(register);
                    (table.path(object).clone(), key.to_string())
                }));
            }
        }
        places.into_iter()
    }

    /// Another log of the same epoch, which lacks some changes. What the mirror shows of what it has is
    /// the same.
    fn replace_models(&mut self, rest: ChangeLog) -> ChangeLog {
        self.keep_confirmed();
        self.actor = rest.scope().actor(&self.author);
        self.images[0] = Image::new();
        self.written[0].clear();
        let (before, after) = (self.models.table(), rest.table());
        self.mirror.relocate(self.cuts, |object| after.object(&before.id(object)));
        std::mem::replace(&mut self.models, rest)
    }

    /// A model that shows was made again, unless another's stands under its key: that is to be read.
    fn learn_anew(&mut self, path: &Path) {
        let (table, cuts) = (self.models.table(), self.cuts);
        let own = |object: &ObjectIndex| match table.id(*object) {
            ObjectId::Made(made) => made.actor == self.actor,
            ObjectId::Root => false,
        };
        let found = table.find(path).filter(own);
        if let Some(Node::Model(model)) = self.mirror.node_mut(path) {
            model.object = found.map(|object| Known { object, cuts });
        }
    }

    fn roll_back_texts(
        &mut self,
        doomed: &BTreeSet<Index>,
        (model, why): (&Path, Denial),
        author: Introduction,
    ) {
        let carried = self.pending_splices();
        let rest = self.texts.without(doomed);
        self.text_author = author;
        self.text_actor = rest.scope().actor(&author);
        let left = std::mem::replace(&mut self.texts, rest);
        self.left.push(left);
        self.images[1] = Image::new();
        self.written[1].clear();
        let before = self.texts.len();
        let mut refused = BTreeSet::new();
        for splices in carried {
            let (gone, kept): (Vec<_>, Vec<_>) =
                splices.into_iter().partition(|splice: &Splice| {
                    model.contains(&splice.text) || self.may_touch(&splice.text).is_err()
                });
            refused.extend(gone.into_iter().map(|splice| splice.text));
            self.write_texts(kept);
        }
        self.written[1].extend(before..self.texts.len());
        let shown = refused.iter().any(|text| model.contains(text));
        self.tell_rolled_back((refused, shown), (model, why));
        let texts = self.mirror.nodes().filter(|(_, node)| matches!(node, Node::Text(_)));
        let texts: BTreeSet<Path> = texts.map(|(path, _)| path.clone()).collect();
        self.origin = Origin::Rollback;
        self.refresh_texts(&texts);
        self.origin = Origin::Remote;
    }

    fn whose(&self, place: &Path) -> Option<Denial> {
        match self.may_touch(place) {
            Err(EditError::Owned { by, .. }) => Some(Denial::Owned { by }),
            Ok(()) | Err(_) => None,
        }
    }
}
