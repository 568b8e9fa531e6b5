//! State properties: values that go beside the documents, over what stands in those.
//!
//! What this peer writes to them is taken by its [`Peer`](crate::proto::peer::Peer) once a tick, and
//! what others wrote is shown as it comes. From time to time a value is folded into the document, where
//! those find it who come when nobody says it any more.

use std::collections::{BTreeMap, BTreeSet};

use super::element::ElementId;
use super::intent::Intent;
use super::mirror::{Mirror, Node};
use super::refresh::Spot;
use super::{Datastore, EditError};
use crate::proto::event::{Changed, Event, Origin};
use crate::proto::id::{ClientNumber, PeerId};
use crate::proto::model::path::Path;
use crate::proto::model::value::Value;
use crate::proto::model::words::StateTerms;
use crate::proto::model::{AnyModel, PropertyShape, Shape};

/// Who wrote the value of a state property that shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mover {
    /// This peer.
    Me,
    /// Another member.
    Member {
        /// By which of its connections.
        client: ClientNumber,
        /// Who it is, if that is known.
        peer: Option<PeerId>,
    },
}

/// The value of a state property, as it was last said.
#[derive(Clone, PartialEq, Debug)]
pub struct Moved {
    /// The value.
    pub value: Value,
    /// Who wrote it.
    pub by: Mover,
    /// When, in microseconds of room time; 0 for this peer's own.
    pub at: u64,
    /// Whether the document has been written since, or may have been, and does not show.
    folded: bool,
    /// Nobody says it any more: it stays until the document says something.
    over: bool,
}

/// A value that this peer has written.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) model: Path,
    pub(crate) property: u16,
    pub(crate) terms: StateTerms,
    pub(crate) value: Value,
}

/// What shows of state properties, and what of it this peer wrote.
#[derive(Debug, Default)]
pub(super) struct Moving {
    shown: BTreeMap<Path, BTreeMap<u16, Moved>>,
    written: BTreeSet<(Path, u16)>,
    /// Models of which it was heard whose they are, since that was last asked.
    owned: BTreeSet<Path>,
}

impl Moving {
    fn get(&self, model: &Path, property: u16) -> Option<&Moved> {
        self.shown.get(model)?.get(&property)
    }

    fn get_mut(&mut self, model: &Path, property: u16) -> Option<&mut Moved> {
        self.shown.get_mut(model)?.get_mut(&property)
    }

    fn put(&mut self, model: &Path, property: u16, moved: Moved) {
        self.shown.entry(model.clone()).or_default().insert(property, moved);
    }

    fn take(&mut self, model: &Path, property: u16) {
        if let Some(properties) = self.shown.get_mut(model) {
            properties.remove(&property);
            if properties.is_empty() {
                self.shown.remove(model);
            }
        }
    }

    /// What shows of a model and of those below it.
    fn below<'a>(
        &'a self,
        model: &'a Path,
    ) -> impl Iterator<Item = (&'a Path, &'a BTreeMap<u16, Moved>)> {
        let from = self.shown.range(model..);
        from.take_while(|(path, _)| path.as_str().starts_with(model.as_str()))
            .filter(|(path, _)| model.contains(path))
    }

    /// The document says something of a property. Returns whether it shows.
    pub(super) fn yields(&mut self, model: &Path, property: &PropertyShape) -> bool {
        let Some(terms) = property.state else {
            return true;
        };
        if terms.ephemeral.is_some() {
            return false;
        }
        match self.get_mut(model, property.id) {
            Some(moved) if moved.over => {
                self.take(model, property.id);
                true
            }
            Some(moved) => {
                moved.folded = true;
                false
            }
            None => true,
        }
    }

    /// A model is gone, or another may stand under its key: only an element is the same one when it
    /// comes back, and what is said of it goes on until its writer stops.
    pub(super) fn leave(&mut self, model: &Path) {
        let element = model.split().is_some_and(|(_, key)| ElementId::parse(&key).is_some());
        if !element {
            self.forget(model);
            return;
        }
        let below: Vec<Path> = self.below(model).map(|(path, _)| path.clone()).collect();
        for path in below {
            if let Some(properties) = self.shown.get_mut(&path) {
                properties.retain(|_, moved| !moved.over);
            }
        }
        self.shown.retain(|_, properties| !properties.is_empty());
    }

    /// A model is gone, with all that is below it.
    pub(super) fn forget(&mut self, model: &Path) {
        let gone: Vec<Path> = self.below(model).map(|(path, _)| path.clone()).collect();
        for path in gone {
            self.shown.remove(&path);
        }
        self.written.retain(|(path, _)| !model.contains(path));
    }

    /// Shows in models what was said of them and of those below.
    pub(super) fn apply(&self, mirror: &mut Mirror, model: &Path) {
        for (path, properties) in self.below(model) {
            let Some(Node::Model(node)) = mirror.node_mut(path) else { continue };
            for (id, moved) in properties {
                if let Some(field) = node.data.field_mut(*id) {
                    field.take_value(&moved.value);
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }
}

/// The state properties of a model that an edit changes, with what they are then.
pub(super) fn moved(
    shape: &Shape,
    (before, after): (&dyn AnyModel, &dyn AnyModel),
) -> Vec<(PropertyShape, Value)> {
    let value = |model: &dyn AnyModel, id| model.field(id).and_then(|field| field.to_value());
    let properties = shape.properties.iter().filter(|property| property.state.is_some());
    properties
        .filter_map(|property| {
            let after = value(after, property.id)?;
            let equal = value(before, property.id).is_some_and(|before| before.same(&after));
            // Whatever is written of what passes is written anew, but what it is without.
            let stays = passes(property)
                && !default_of(shape, property.id).is_some_and(|it| it.same(&after));
            (!equal || stays).then_some((*property, after))
        })
        .collect()
}

/// Whether a property is one that is never in a document.
pub(super) fn passes(property: &PropertyShape) -> bool {
    property.state.is_some_and(|terms| terms.ephemeral.is_some())
}

/// What a property is before anything was written.
fn default_of(shape: &Shape, id: u16) -> Option<Value> {
    (shape.blank)().field(id).and_then(|field| field.to_value())
}

/// Whether every value can be said, on the grid of its property.
///
/// # Errors
///
/// Which cannot.
pub(super) fn fits(model: &Path, moved: &[(PropertyShape, Value)]) -> Result<(), EditError> {
    let off = moved.iter().find(|(property, value)| {
        let said = property.state.and_then(|terms| terms.quantised(value));
        said.is_none() && *value != Value::Null
    });
    off.map_or(Ok(()), |(property, _)| {
        Err(EditError::OffGrid { model: model.clone(), property: property.id })
    })
}

impl Datastore {
    /// The value of a state property that shows, with who wrote it and when; nothing if it is as the
    /// document says.
    #[must_use]
    pub fn moved(&self, model: &Path, property: u16) -> Option<&Moved> {
        self.moving.get(model, property)
    }

    /// The values of a model's state properties that show, by property, as [`Self::moved`] has them.
    pub fn moved_of(&self, model: &Path) -> impl Iterator<Item = (u16, &Moved)> {
        let properties = self.moving.shown.get(model).into_iter().flatten();
        properties.map(|(property, moved)| (*property, moved))
    }

    /// This peer has written state properties of a model.
    pub(super) fn write_moved(&mut self, model: &Path, moved: Vec<(PropertyShape, Value)>) {
        for (PropertyShape { id, .. }, value) in moved {
            let moved = Moved { value, by: Mover::Me, at: 0, folded: false, over: false };
            self.moving.put(model, id, moved);
            self.moving.written.insert((model.clone(), id));
        }
    }

    /// Whether this peer has written state properties since it was last asked what, or heard whose a
    /// model is.
    pub(crate) fn has_written(&self) -> bool {
        !self.moving.written.is_empty() || !self.moving.owned.is_empty()
    }

    /// Of which models it was heard whose they are, since that was last asked: what counts of them may
    /// be another's value.
    pub(crate) fn take_owned(&mut self) -> BTreeSet<Path> {
        std::mem::take(&mut self.moving.owned)
    }

    /// Whether a property is one of these.
    pub(crate) fn is_written(&self, model: &Path, property: u16) -> bool {
        self.moving.written.contains(&(model.clone(), property))
    }

    /// What this peer has written to state properties since it was last asked.
    pub(crate) fn take_moved(&mut self) -> Vec<Written> {
        let written = std::mem::take(&mut self.moving.written);
        let own = written.into_iter().filter_map(|(model, property)| {
            let moved = self.moving.get(&model, property).filter(|it| it.by == Mover::Me)?;
            let terms = self.state_property(&model, property)?.state?;
            Some(Written { value: moved.value.clone(), model, property, terms })
        });
        own.collect()
    }

    fn state_property(&self, model: &Path, property: u16) -> Option<PropertyShape> {
        match self.mirror.node(model)? {
            Node::Model(node) => node.shape.property(property).copied(),
            Node::Collection { .. } | Node::List(_) | Node::Text(_) => None,
        }
    }

    /// Whether this peer says a state property: its value is what shows, and its model is nobody
    /// else's.
    pub(crate) fn moves(&self, model: &Path, property: u16) -> bool {
        let own = |moved: &Moved| moved.by == Mover::Me && !moved.over;
        self.moving.get(model, property).is_some_and(own) && self.may_touch(model).is_ok()
    }

    /// Whether there is a model at a path.
    pub(crate) fn has_model(&self, model: &Path) -> bool {
        matches!(self.mirror.node(model), Some(Node::Model(_)))
    }

    /// Another member says where something is, but of what is not its to say, and of what this peer
    /// says itself. What it said `before`, and shows only now, the document may have been written since.
    pub(crate) fn show_moved(
        &mut self,
        (by, at): (Mover, u64),
        values: impl IntoIterator<Item = (Path, u16, Value)>,
        before: bool,
    ) {
        let mut changed = BTreeMap::<Path, BTreeSet<u16>>::new();
        for (model, property, value) in values {
            if self.owner_bars(&model, by) {
                continue;
            }
            let own = |moved: &Moved| moved.by == Mover::Me && !moved.over;
            if self.moving.get(&model, property).is_some_and(own) {
                continue;
            }
            let known = self.state_property(&model, property);
            if known.is_some_and(|known| known.state.is_none()) {
                continue;
            }
            if self.show(&model, property, &value) {
                changed.entry(model.clone()).or_default().insert(property);
            }
            let moved = Moved { value, by, at, folded: before, over: false };
            self.moving.put(&model, property, moved);
        }
        self.tell_moved(changed, Origin::Remote);
    }

    /// Whether a member is not the one to say a model, as far as that is known here.
    fn owner_bars(&self, model: &Path, by: Mover) -> bool {
        let Mover::Member { peer: Some(peer), .. } = by else {
            return false;
        };
        let owned = self.models.ledger().outermost(model.as_str());
        owned.is_some_and(|(_, grant)| grant.holder != peer)
    }

    fn show(&mut self, model: &Path, property: u16, value: &Value) -> bool {
        match self.mirror.node_mut(model) {
            Some(Node::Model(node)) => {
                node.data.field_mut(property).is_some_and(|field| field.take_value(value))
            }
            Some(Node::Collection { .. } | Node::List(_) | Node::Text(_)) | None => false,
        }
    }

    fn tell_moved(&mut self, changed: BTreeMap<Path, BTreeSet<u16>>, origin: Origin) {
        if self.quiet {
            return;
        }
        for (model, properties) in changed {
            self.tell(Event::Changed(Changed { model, properties, origin, fresh: false }));
        }
    }

    /// Who said something says it no more: what passes is over, and all else is as the document says
    /// from when it says something newer.
    pub(crate) fn end_moved(&mut self, by: Mover, ended: impl IntoIterator<Item = (Path, u16)>) {
        let mut spots = Vec::<Spot>::new();
        for (model, property) in ended {
            if self.moving.get(&model, property).is_some_and(|moved| same_link(moved.by, by)) {
                spots.extend(self.end(&model, property));
            }
        }
        self.read_moved(&spots, Origin::Remote);
    }

    /// Nobody is heard any more.
    pub(crate) fn end_all_moved(&mut self) {
        let all = self.moving.shown.iter().flat_map(|(model, properties)| {
            let others = properties.iter().filter(|(_, moved)| moved.by != Mover::Me);
            others.map(|(id, _)| (model.clone(), *id))
        });
        let all: Vec<_> = all.collect();
        let spots: Vec<Spot> =
            all.iter().filter_map(|(model, property)| self.end(model, *property)).collect();
        self.read_moved(&spots, Origin::Remote);
    }

    /// Ends one value. Returns where it stands in the document, if that shows now. What does not show
    /// is forgotten: it stands in nothing's place.
    fn end(&mut self, model: &Path, property: u16) -> Option<Spot> {
        let known = self.state_property(model, property);
        let moved = self.moving.get_mut(model, property)?;
        moved.over = true;
        if !moved.folded && known.is_some_and(|known| !passes(&known)) {
            return None;
        }
        self.moving.take(model, property);
        known.map(|_| (model.clone(), property.to_string()))
    }

    /// Shows what the document says.
    fn read_moved(&mut self, spots: &[Spot], origin: Origin) {
        if spots.is_empty() {
            return;
        }
        let mut changed = BTreeMap::<Path, BTreeSet<u16>>::new();
        let mut rest = Vec::new();
        for (model, key) in spots {
            let property = key.parse().ok().and_then(|id| self.state_property(model, id));
            match property {
                Some(PropertyShape {
                    id,
                    state: Some(StateTerms { ephemeral: Some(_), .. }),
                    ..
                }) => {
                    let value = match self.mirror.node(model) {
                        Some(Node::Model(node)) => default_of(&node.shape, id),
                        Some(Node::Collection { .. } | Node::List(_) | Node::Text(_)) | None => {
                            None
                        }
                    };
                    if value.is_some_and(|value| self.show(model, id, &value)) {
                        changed.entry(model.clone()).or_default().insert(id);
                    }
                }
                Some(_) | None => rest.push((model.clone(), key.clone())),
            }
        }
        self.tell_moved(changed, origin);
        let before = std::mem::replace(&mut self.origin, origin);
        self.refresh(&[], &rest);
        self.origin = before;
    }

    /// This peer does not say something any more: another's counts, or it is over. Until another's is
    /// shown it is as the document says: what did not count must not stay.
    pub(crate) fn stop_moved(&mut self, model: &Path, property: u16, origin: Origin) {
        self.moving.written.remove(&(model.clone(), property));
        if self.moving.get(model, property).is_some_and(|moved| moved.by == Mover::Me) {
            self.moving.take(model, property);
            self.read_moved(&[(model.clone(), property.to_string())], origin);
        }
    }

    /// A model has another owner: what others said of it is as the document says, into which the relay
    /// wrote it with the grant.
    pub(super) fn hand_over(&mut self, model: &Path) {
        self.moving.owned.insert(model.clone());
        let Some(grant) = self.models.ledger().grant(model.as_str()).filter(|grant| grant.held)
        else {
            return;
        };
        let mut ended = Vec::new();
        for (path, properties) in self.moving.below(model) {
            let others = properties.iter().filter(|(_, moved)| match moved.by {
                Mover::Me => self.may_touch(path).is_err(),
                Mover::Member { peer, .. } => peer != Some(grant.holder),
            });
            ended.extend(others.map(|(id, _)| (path.clone(), *id)));
        }
        let mut spots = Vec::<Spot>::new();
        for (model, property) in ended {
            self.moving.take(&model, property);
            spots.push((model, property.to_string()));
        }
        self.read_moved(&spots, Origin::Remote);
    }

    /// Writes the value of a state property into the document, at the end of the frame.
    ///
    /// # Errors
    ///
    /// When the document takes no more.
    pub(crate) fn fold(
        &mut self,
        (model, property): (Path, u16),
        value: Value,
    ) -> Result<(), EditError> {
        self.make_room();
        let intent = Intent::Put { model, property, value };
        self.allow_bytes(intent.size())?;
        self.pending.push(intent);
        Ok(())
    }
}

fn same_link(one: Mover, other: Mover) -> bool {
    match (one, other) {
        (Mover::Member { client: one, .. }, Mover::Member { client: other, .. }) => one == other,
        (Mover::Me, Mover::Me) => true,
        (Mover::Me, Mover::Member { .. }) | (Mover::Member { .. }, Mover::Me) => false,
    }
}
