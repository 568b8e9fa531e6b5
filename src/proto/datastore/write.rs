//! From edits to documents: what a frame holds, as one change of each document.

use smol_str::{SmolStr, ToSmolStr};

use super::Datastore;
use super::intent::{Blueprint, Intent, Part, Splice};
use super::mirror::{Known, ModelNode, Node};
use super::refresh::{POSITION, Spot};
use super::script::Script;
use crate::proto::change::chunk;
use crate::proto::draft::{Draft, Target};
use crate::proto::event::Event;
use crate::proto::id::DocumentId;
use crate::proto::log::Candidate;
use crate::proto::model::list::Position;
use crate::proto::model::path::Path;
use crate::proto::model::value::Value;
use crate::proto::ownership::{CLAIMS, Claim, META, to_value};
use crate::proto::reason::ChangeFault;
use crate::proto::table::{ObjectIndex, View};
use crate::proto::wire::bounded::Line;
use crate::proto::wire::message::Made;

/// The key of the record that names the root's type. No type's name is empty.
pub(super) const ROOT_TYPE: &str = "";

impl Datastore {
    /// Writes what is pending. What cannot be written any more is reported as dropped.
    pub(super) fn write(&mut self) {
        let cutting = self.is_cutting(DocumentId::MODELS);
        let (mut intents, mut splices) = self.take_due(cutting);
        self.take_out_raced(&mut intents);
        self.take_out_refused(&mut intents, &mut splices);
        if !cutting {
            self.describe();
        }
        if !intents.is_empty() {
            let objects: Vec<_> = intents.iter().map(|intent| self.prepare(intent)).collect();
            let dropped = self.write_models(&intents, &objects);
            self.settle(&intents, dropped);
        }
        self.write_texts(splices);
    }

    /// What is to be written: everything but what waits for a claim to be answered.
    fn take_due(&mut self, cutting: bool) -> (Vec<Intent>, Vec<Splice>) {
        if !self.has_asked() {
            return self.pending.take_due(cutting, None::<fn(&Path) -> bool>);
        }
        let mut pending = std::mem::take(&mut self.pending);
        let due = pending.take_due(cutting, Some(|place: &Path| self.waits(place)));
        self.pending = pending;
        due
    }

    /// Writes intents as one change. Returns the models of those that could not be written: all of
    /// them, if the log does not take the change.
    fn write_models(&mut self, intents: &[Intent], objects: &[Option<ObjectIndex>]) -> Vec<Path> {
        let mut dropped = Vec::new();
        let next = self.models.next(&self.actor);
        let mut draft = Draft::new(self.models.table(), self.actor, next, intents.len());
        // Where the frame makes or removes models, the table does not say where the others are.
        let reshapes = intents.iter().any(Intent::reshapes);
        for (intent, object) in intents.iter().zip(objects) {
            // What it would guard is not there.
            if let Intent::Redeem { model } = intent
                && dropped.iter().any(|lost| model.contains(lost))
            {
                dropped.push(model.clone());
                continue;
            }
            let known = object.filter(|_| !reshapes);
            if perform(&mut draft, intent, known).is_none() {
                dropped.push(intent.model().clone());
            }
        }
        if let Some(change) = draft.finish() {
            let change = chunk::encode(change);
            let small = change.bytes.len() <= self.limits.change;
            let introduction = Some(self.author);
            let written =
                small.then(|| self.models.admit(Candidate { introduction, change, pending: true }));
            if let Some(Err(fault)) = &written {
                tracing::debug!(%fault, "frame not written");
            }
            if !matches!(written, Some(Ok(_))) {
                dropped = intents.iter().map(|intent| intent.model().clone()).collect();
            }
        }
        dropped
    }

    /// Learns the objects of new models, and tells what was dropped.
    fn settle(&mut self, intents: &[Intent], dropped: Vec<Path>) {
        for intent in intents {
            match intent {
                Intent::Claim { model, .. } if dropped.contains(model) => self.forget_asked(model),
                Intent::Claim { model, .. } => self.note_asked(model),
                Intent::Remove { model } => self.forget_asked(model),
                // What was dropped is told below, and the place was not redeemed then.
                Intent::Redeem { model } if !dropped.contains(model) => self.note_redeemed(model),
                Intent::Put { .. }
                | Intent::Count { .. }
                | Intent::Create { .. }
                | Intent::Redeem { .. }
                | Intent::Move { .. } => {}
            }
            if let Intent::Create { model: path, .. } = intent {
                let (found, cuts) = (self.models.table().find(path), self.cuts);
                let object = found.map(|object| Known { object, cuts });
                if let Some(Node::Model(model)) = self.mirror.node_mut(path) {
                    model.object = object;
                }
            }
        }
        let lost = intents.iter().filter(|intent| dropped.contains(intent.model()));
        let touched: Vec<Spot> = lost.filter_map(touched_by).collect();
        for model in dropped {
            self.tell(Event::Dropped { model });
        }
        // What the document did not take must not go on showing.
        if !touched.is_empty() {
            self.refresh(&[], &touched);
        }
    }

    /// Writes splices as one change. What cannot be written is reported as dropped.
    pub(super) fn write_texts(&mut self, splices: Vec<Splice>) {
        if splices.is_empty() {
            return;
        }
        for splice in &splices {
            // The same for everybody who edits this text first, so that no edit is lost to a
            // conflict of two creations. If the log is full, the text is not there below.
            let made = self.texts.ensure(ObjectIndex::ROOT, splice.text.as_str(), Made::Text, true);
            if let Err(fault) = made {
                tracing::debug!(text = %splice.text, %fault, "text not created");
            }
        }
        let next = self.texts.next_without(&self.text_actor, self.waiting_texts());
        let mut script = Script::new((self.texts.table(), View::Shown), self.text_actor, next);
        let mut dropped = Vec::new();
        for splice in &splices {
            match self.texts.table().text(splice.text.as_str()) {
                Some(text) => script.splice(text, splice),
                None => dropped.push(splice.text.clone()),
            }
        }
        if let Some(change) = script.finish() {
            let introduction = Some(self.text_author);
            let change = chunk::encode(change);
            let written = self.texts.admit(Candidate { introduction, change, pending: true });
            if let Err(fault) = written {
                tracing::debug!(%fault, "frame not written");
                dropped = splices.into_iter().map(|splice| splice.text).collect();
            }
        }
        let lost = dropped.iter().cloned().collect();
        for model in dropped {
            self.tell(Event::Dropped { model });
        }
        self.refresh_texts(&lost);
    }

    /// Keeps a record of every type of this room in the document, for tools that show names.
    fn describe(&mut self) {
        if std::mem::replace(&mut self.described, true) || self.shape.name.is_empty() {
            return;
        }
        if let Err(fault) = self.write_records() {
            tracing::debug!(%fault, "schema records not written");
        }
    }

    fn write_records(&mut self) -> Result<(), ChangeFault> {
        self.models.ensure(ObjectIndex::ROOT, META, Made::Map, true)?;
        let Some(meta) = self.models.table().below(ObjectIndex::ROOT, META) else {
            return Ok(());
        };
        let root = (ROOT_TYPE.to_owned(), self.shape.name.to_owned());
        let types = self.shape.family();
        let records = types.iter().map(|shape| (shape.name.to_owned(), shape.record()));
        for (key, text) in std::iter::once(root).chain(records) {
            let text = Line::new(text).ok_or(ChangeFault::TooLarge)?;
            self.models.ensure(meta, &key, Made::Record(text), true)?;
        }
        Ok(())
    }

    /// Makes sure that the well-known objects exist that an intent needs: those on the way to its
    /// model, and its counter. Returns the object of a model whose properties are to be written, if
    /// the table has it.
    fn prepare(&mut self, intent: &Intent) -> Option<ObjectIndex> {
        let outcome = match intent {
            Intent::Create { model, .. } => {
                let (collection, _) = model.split()?;
                self.ensure_way(&collection).map(|_| None)
            }
            Intent::Put { model, .. } => self.ensure_way(model),
            Intent::Count { model, property, .. } => self.ensure_way(model).and_then(|object| {
                if let Some(object) = object {
                    let key = property.to_smolstr();
                    self.models.ensure(object, &key, Made::Counter, true)?;
                }
                Ok(object)
            }),
            Intent::Remove { .. } => Ok(None),
            Intent::Redeem { .. } => self.ensure_claims().map(|()| None),
            Intent::Move { model, .. } => Ok(self.models.table().find(model)),
            Intent::Claim { model, .. } => {
                // What is to be owned must stand.
                self.ensure_way(model).and_then(|_| self.ensure_claims()).map(|()| None)
            }
        };
        outcome.unwrap_or_else(|fault| {
            let path = intent.model();
            tracing::debug!(%fault, %path, "well-known object not written");
            None
        })
    }

    /// Makes sure that there is where claims stand.
    pub(super) fn ensure_claims(&mut self) -> Result<(), ChangeFault> {
        self.models.ensure(ObjectIndex::ROOT, META, Made::Map, true)?;
        match self.models.table().below(ObjectIndex::ROOT, META) {
            Some(meta) => self.models.ensure(meta, CLAIMS, Made::Map, true),
            None => Ok(()),
        }
    }

    /// Walks down a path and makes what always stands there. Stops at an element of a collection
    /// that is not in the document: it is made in this frame, with all that stands below it, or was
    /// removed.
    fn ensure_way(&mut self, path: &Path) -> Result<Option<ObjectIndex>, ChangeFault> {
        // What shows in a collection has all on the way to it. What was known before a cut is
        // elsewhere now.
        if let Some(Node::Model(ModelNode { object: Some(known), .. })) = self.mirror.node(path)
            && known.cuts == self.cuts
            && self.models.table().is_shown(known.object)
        {
            return Ok(Some(known.object));
        }
        let mut object = ObjectIndex::ROOT;
        let mut at = Path::root();
        for key in path.keys() {
            let fixed = matches!(self.mirror.node(&at), Some(Node::Model(_)));
            if fixed && self.models.table().below(object, &key).is_none() {
                self.models.ensure(object, &key, Made::Map, true)?;
            }
            let Some(next) = self.models.table().below(object, &key) else {
                return Ok(None);
            };
            object = next;
            at = at.join(&key);
        }
        self.learn(path, object);
        Ok(Some(object))
    }

    /// Where a model is since history was cut. A cut keeps what shows, so that what it laid is the
    /// same model.
    fn learn(&mut self, path: &Path, object: ObjectIndex) {
        let now = Known { object, cuts: self.cuts };
        if self.models.table().is_laid(object)
            && let Some(Node::Model(ModelNode { object: Some(known), .. })) =
                self.mirror.node_mut(path)
            && known.cuts < now.cuts
        {
            *known = now;
        }
    }
}

/// Where in the mirror an intent shows.
pub(super) fn touched_by(intent: &Intent) -> Option<Spot> {
    match intent {
        Intent::Put { model, property, .. } | Intent::Count { model, property, .. } => {
            Some((model.clone(), property.to_string()))
        }
        Intent::Create { model, .. } | Intent::Remove { model } => model.split(),
        Intent::Move { model, .. } => Some((model.clone(), POSITION.to_owned())),
        Intent::Redeem { .. } | Intent::Claim { .. } => None,
    }
}

/// Writes one intent. Nothing if its model is not there, or cannot be written so. `known` is the
/// model's object, if the table has it and nothing in the draft moves it.
pub(in crate::proto) fn perform(
    draft: &mut Draft<'_>,
    intent: &Intent,
    known: Option<ObjectIndex>,
) -> Option<()> {
    let target = |draft: &Draft<'_>, model: &Path| match known {
        Some(object) => Some(draft.target(object)),
        None => find(draft, model),
    };
    let written = match intent {
        Intent::Put { model, property, value } => {
            let model = target(draft, model)?;
            draft.put(model, property.to_smolstr(), value)
        }
        Intent::Count { model, property, by } => {
            let model = target(draft, model)?;
            draft.count(model, property.to_smolstr(), *by)
        }
        Intent::Create { model, blueprint, position } => {
            let (collection, key) = model.split()?;
            let collection = find(draft, &collection)?;
            let made = draft.make(collection, key.into())?;
            if let Some(position) = position {
                place(draft, made, position);
            }
            build(draft, made, blueprint)?;
            true
        }
        Intent::Remove { model } => {
            let (collection, key) = model.split()?;
            // Removing what is gone is no edit and no error.
            match find(draft, &collection) {
                Some(collection) if draft.has(collection, &key) => {
                    draft.delete(collection, key.into())
                }
                _ => true,
            }
        }
        Intent::Move { model, position } => {
            let model = target(draft, model)?;
            place(draft, model, position)
        }
        Intent::Claim { model, claim } => say(draft, model, claim)?,
        Intent::Redeem { model } => say(draft, model, &Claim::Redeem)?,
    };
    written.then_some(())
}

/// Puts a claim among the claims, whatever is there.
pub(super) fn say(draft: &mut Draft<'_>, model: &Path, claim: &Claim) -> Option<bool> {
    let claims = find(draft, &Path::parse(META).join(CLAIMS))?;
    Some(draft.set(claims, model.as_str().into(), to_value(claim)))
}

fn place(draft: &mut Draft<'_>, model: Target, position: &Position) -> bool {
    let position = Value::Text(position.as_str().to_owned());
    draft.put(model, SmolStr::new_static(POSITION), &position)
}

fn build(draft: &mut Draft<'_>, target: Target, blueprint: &Blueprint) -> Option<()> {
    for (property, part) in &blueprint.0 {
        let key = property.to_smolstr();
        match part {
            Part::Map(below) => {
                let made = draft.make(target, key)?;
                build(draft, made, below)?;
            }
            Part::Counter => {
                draft.begin_count(target, key).then_some(())?;
            }
        }
    }
    Some(())
}

fn find(draft: &Draft<'_>, path: &Path) -> Option<Target> {
    let root = draft.target(ObjectIndex::ROOT);
    path.keys().try_fold(root, |target, key| draft.below(target, &key))
}
