//! A scene in a room: what stands in it is a model each, and something of the host's stands for that.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

use crate::proto::datastore::{ClaimError, Datastore, EditError};
use crate::proto::event::{Event, Origin, Outcome, Ticket};
use crate::proto::model::handle::{ConfirmedDictionary, Handle, ModelRef, RealtimeSet};
use crate::proto::model::path::Path;
use crate::proto::ownership::Terms;
use crate::realtime::transform::Transform;
use crate::realtime::view::{Actor, View};

/// A host: what the models of a scene stand for, in an engine or a program.
pub trait Stage<A: Actor> {
    /// What stands for one view, such as an entity or a node.
    type Object;

    /// A view is no more, and neither is what stood for it, unless the host keeps it for another.
    fn despawn(&mut self, view: &ModelRef<A>, object: Self::Object);

    /// A view is of a prefab that is not registered. When it is, [`Realtime::appear`] builds it.
    fn unknown(&mut self, view: &ModelRef<A>, prefab: &str) {
        tracing::warn!(?view, prefab, "no such prefab is registered: the view does not appear yet");
    }

    /// An object of the scene has its model, here for the first time or as others had it.
    fn bound(&mut self, uuid: &str, view: &ModelRef<A>) {
        tracing::debug!(uuid, ?view, "bound");
    }

    /// An object of the scene has a model here, and nothing of this host's was bound to it, or is any
    /// more: [`Realtime::bind`] does that.
    fn stands(&mut self, uuid: &str, view: &ModelRef<A>) {
        tracing::debug!(uuid, ?view, "nothing is bound to it");
    }

    /// An object of the scene gets no model, and why, or another was bound in its place; it may be bound
    /// again.
    fn unbound(&mut self, uuid: &str, object: Self::Object, outcome: Outcome) {
        drop(object);
        tracing::warn!(uuid, ?outcome, "not bound");
    }
}

/// A view that is to be built.
#[derive(Debug)]
pub struct Spawn<'a, A> {
    /// The view.
    pub view: &'a ModelRef<A>,
    /// Its model as it is, with handles to its components.
    pub actor: &'a A,
    /// The prefab.
    pub prefab: &'a str,
    /// What else it was made with.
    pub about: &'a [u8],
    /// Where it is, if it is anywhere.
    pub transform: Option<&'a Transform>,
    /// Everything else there is to know.
    pub store: &'a Datastore,
    /// Whether this peer made it now.
    pub origin: Origin,
}

/// How a view is made.
#[derive(Clone, Debug)]
pub struct Instantiate<A> {
    /// The model to begin with.
    pub actor: A,
    /// What else its builders need to know; at most what fits a change.
    pub about: Vec<u8>,
    /// Where it is to begin with, if it is anywhere.
    pub transform: Option<Transform>,
    /// Whose it is to be: this peer's on these terms, or nobody's. By default this peer's, and gone with
    /// it or with the last peer.
    pub terms: Option<Terms>,
}

impl<A: Actor> Default for Instantiate<A> {
    fn default() -> Self {
        let terms = Terms { destroy_with_owner: true, destroy_with_last: true, ..Terms::default() };
        Self { actor: A::default(), about: Vec::new(), transform: None, terms: Some(terms) }
    }
}

/// Why a view was not made. Nothing of it was.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InstantiateError {
    /// Nobody could build it here.
    #[error("no prefab is called {prefab:?}: register it first")]
    Unknown {
        /// What was asked for.
        prefab: String,
    },
    /// It cannot be written.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// It cannot be this peer's.
    #[error(transparent)]
    Claim(#[from] ClaimError),
}

/// What a reference to a view leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reference<'a, O> {
    /// To nothing.
    Unassigned,
    /// To a view that has not arrived, cannot be built here yet, or is gone.
    Unresolved,
    /// To what stands for a view.
    Resolved(&'a O),
}

type Builder<A, S> = Box<dyn FnMut(&mut S, &Spawn<'_, A>) -> <S as Stage<A>>::Object + Send>;

/// The views of a scene, each with what stands for it in the host.
///
/// It is told every event of its room ([`Self::handle`]), and tells its [`Stage`]. Nothing is built
/// twice, whoever made it and however it came; what a late joiner finds is built like what comes later.
pub struct Realtime<A: Actor, S: Stage<A>> {
    actors: RealtimeSet<A>,
    fixtures: ConfirmedDictionary<String, A>,
    prefabs: BTreeMap<String, Builder<A, S>>,
    views: BTreeMap<Path, S::Object>,
    /// Objects of the scene whose models were asked for, by place.
    awaited: BTreeMap<Path, Awaited<S::Object>>,
    /// Views that were not built, with their prefabs; empty if that did not come yet.
    waiting: BTreeMap<Path, String>,
}

struct Awaited<O> {
    uuid: String,
    object: O,
    ticket: Ticket,
}

impl<A: Actor, S: Stage<A>> fmt::Debug for Realtime<A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Realtime")
            .field("prefabs", &self.prefabs.keys())
            .field("views", &self.views.keys())
            .field("awaited", &self.awaited.keys())
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}

impl<A: Actor, S: Stage<A>> Realtime<A, S> {
    /// A scene whose views are in a set, and whose own objects are in a dictionary by their UUIDs; both
    /// from the room's models.
    #[must_use]
    pub fn new(actors: RealtimeSet<A>, fixtures: ConfirmedDictionary<String, A>) -> Self {
        Self {
            actors,
            fixtures,
            prefabs: BTreeMap::new(),
            views: BTreeMap::new(),
            awaited: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// Says how views of a prefab are built, instead of what was said before. Those that wait for it are
    /// built by [`Self::appear`].
    pub fn register(
        &mut self,
        prefab: &str,
        builder: impl FnMut(&mut S, &Spawn<'_, A>) -> S::Object + Send + 'static,
    ) {
        self.prefabs.insert(prefab.to_owned(), Box::new(builder));
    }

    /// Builds the views that wait for prefabs which are registered by now.
    pub fn appear(&mut self, store: &Datastore, stage: &mut S) {
        let known: Vec<Path> = self
            .waiting
            .iter()
            .filter(|(_, prefab)| self.prefabs.contains_key(*prefab))
            .map(|(path, _)| path.clone())
            .collect();
        for path in known {
            self.waiting.remove(&path);
            self.meet(store, stage, path, Origin::Remote);
        }
    }

    /// Makes a view of a prefab, for everybody: model, prefab, owner and place in one change, so that
    /// others have all that they need to build it. What stands for it is built at once.
    ///
    /// # Errors
    ///
    /// When the prefab is not registered here, or the view cannot be written.
    pub fn instantiate(
        &mut self,
        store: &mut Datastore,
        stage: &mut S,
        prefab: &str,
        options: Instantiate<A>,
    ) -> Result<ModelRef<A>, InstantiateError> {
        if !self.prefabs.contains_key(prefab) {
            return Err(InstantiateError::Unknown { prefab: prefab.to_owned() });
        }
        let Instantiate { actor, about, transform, terms } = options;
        store.gather(&actor, prefab.len() + about.len() + BESIDES)?;
        let view = self.actors.add(store, actor)?;
        let filled = fill(store, &view, |of| (of.prefab, of.about) = (prefab.to_owned(), about))
            .map_err(InstantiateError::from)
            .and_then(|()| place(store, &view, transform).map_err(InstantiateError::from))
            .and_then(|()| {
                terms.map_or(Ok(()), |terms| store.claim(&view, terms).map_err(Into::into))
            });
        if let Err(error) = filled {
            if let Err(why) = store.remove(&view) {
                tracing::debug!(%why, ?view, "left half made");
            }
            return Err(error);
        }
        if let Some(path) = view.path() {
            self.meet(store, stage, path.clone(), Origin::Local);
        }
        Ok(view)
    }

    /// Takes a view of a prefab out of the scene, for everybody. Returns whether it was there: twice is
    /// once, and what the scene has by itself is not of these.
    ///
    /// # Errors
    ///
    /// When it is another's, or of no room.
    pub fn destroy(
        &mut self,
        store: &mut Datastore,
        stage: &mut S,
        view: &ModelRef<A>,
    ) -> Result<bool, EditError> {
        let removed = self.actors.remove(store, view)?;
        if let Some(path) = view.path().filter(|_| removed) {
            self.part(store, stage, path);
        }
        Ok(removed)
    }

    /// Gives an object that the scene has by itself its model, the same for everybody who calls it by
    /// this UUID: of two that come first at the same time one makes it, from `actor`, and both have it.
    /// [`Stage::bound`] says when; without a relay that is not before there is one.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn bind(
        &mut self,
        store: &mut Datastore,
        stage: &mut S,
        (uuid, object): (&str, S::Object),
        actor: A,
    ) -> Result<(), EditError> {
        let uuid = uuid.to_owned();
        if let Some(view) = self.fixtures.get(store, &uuid) {
            let path = view.path().cloned().ok_or(EditError::Nowhere)?;
            if let Some(before) = self.views.insert(path, object) {
                stage.unbound(&uuid, before, Outcome::Found);
            }
            stage.bound(&uuid, &view);
            return Ok(());
        }
        let place = self.fixtures.path().ok_or(EditError::Nowhere)?.join(&uuid);
        let ticket = self.fixtures.get_or_insert(store, &uuid, actor)?;
        let before = self.awaited.insert(place, Awaited { uuid, object, ticket });
        if let Some(Awaited { uuid, object, .. }) = before {
            stage.unbound(&uuid, object, Outcome::Found);
        }
        Ok(())
    }

    /// Hears what happened in the room. Call it with every event, in order.
    pub fn handle(&mut self, store: &Datastore, event: &Event, stage: &mut S) {
        match event {
            Event::Added { model, origin } => self.meet(store, stage, model.clone(), *origin),
            Event::Replaced { model, origin } => {
                self.part(store, stage, model);
                self.meet(store, stage, model.clone(), *origin);
            }
            Event::Removed { model, .. } => self.part(store, stage, model),
            Event::Changed(changed) if !self.waiting.is_empty() => {
                // Its prefab may have come now, where a view was written in two changes.
                let above = changed.model.split().map(|(above, _)| above);
                if let Some(path) = above.filter(|path| self.waiting.contains_key(path)) {
                    self.meet(store, stage, path, changed.origin);
                }
            }
            Event::Settled { ticket, place, outcome } => {
                let awaited = self.awaited.get(place).is_some_and(|it| it.ticket == *ticket);
                if awaited {
                    self.settle(store, stage, (place, *outcome));
                }
            }
            Event::Ready | Event::Overrun => self.sweep(store, stage),
            Event::State(_)
            | Event::Progress { .. }
            | Event::Joined(_)
            | Event::Left { .. }
            | Event::Changed(_)
            | Event::Moved { .. }
            | Event::Dropped { .. }
            | Event::Owner { .. }
            | Event::ClaimDenied { .. }
            | Event::Refused { .. }
            | Event::Signal(_)
            | Event::SignalSettled { .. }
            | Event::SignalLost { .. }
            | Event::SignalsMissed
            | Event::Room(_)
            | Event::Presence { .. }
            | Event::Answered { .. }
            | Event::TokenEnds { .. }
            | Event::Voice(_)
            | Event::Keeps(_)
            | Event::Kept
            | Event::NotStored { .. } => {}
        }
    }

    /// What stands for a view.
    #[must_use]
    pub fn object(&self, view: &ModelRef<A>) -> Option<&S::Object> {
        self.views.get(view.path()?)
    }

    /// The same, to be changed.
    #[must_use]
    pub fn object_mut(&mut self, view: &ModelRef<A>) -> Option<&mut S::Object> {
        self.views.get_mut(view.path()?)
    }

    /// What a reference leads to.
    #[must_use]
    pub fn resolve(&self, reference: &ModelRef<A>) -> Reference<'_, S::Object> {
        match reference.path() {
            None => Reference::Unassigned,
            Some(path) => self.views.get(path).map_or(Reference::Unresolved, Reference::Resolved),
        }
    }

    /// Every view that is built or bound, with what stands for it, in no order that means anything.
    pub fn views(&self) -> impl Iterator<Item = (ModelRef<A>, &S::Object)> {
        self.views.iter().map(|(path, object)| (ModelRef::at(path.clone()), object))
    }

    /// The same, to be changed.
    pub fn views_mut(&mut self) -> impl Iterator<Item = (ModelRef<A>, &mut S::Object)> {
        self.views.iter_mut().map(|(path, object)| (ModelRef::at(path.clone()), object))
    }

    /// Views that are there and do not appear, with the prefabs that they wait for.
    pub fn unknown(&self) -> impl Iterator<Item = (ModelRef<A>, &str)> {
        let named = self.waiting.iter().filter(|(_, prefab)| !prefab.is_empty());
        named.map(|(path, prefab)| (ModelRef::at(path.clone()), prefab.as_str()))
    }

    /// Something stands at a path: builds it, if it is a view that nothing stands for yet.
    fn meet(&mut self, store: &Datastore, stage: &mut S, path: Path, origin: Origin) {
        if self.views.contains_key(&path) {
            return;
        }
        let above = path.split().map(|(above, _)| above);
        if above.as_ref() == self.fixtures.path() {
            self.settle(store, stage, (&path, Outcome::Found));
        } else if above.as_ref() == self.actors.path() {
            self.build(store, stage, path, origin);
        }
    }

    fn build(&mut self, store: &Datastore, stage: &mut S, path: Path, origin: Origin) {
        let view = ModelRef::<A>::at(path.clone());
        let Some(actor) = store.get(&view) else { return };
        let Some(of) = store.get(&actor.view().as_ref()) else { return };
        let known = self.prefabs.get_mut(&of.prefab).filter(|_| !of.prefab.is_empty());
        let Some(builder) = known else {
            let before = self.waiting.insert(path, of.prefab.clone());
            if !of.prefab.is_empty() && before.as_ref() != Some(&of.prefab) {
                stage.unknown(&view, &of.prefab);
            }
            return;
        };
        self.waiting.remove(&path);
        let transform = actor.transform().and_then(|child| store.get(&child.as_ref()));
        let (prefab, about) = (of.prefab.as_str(), of.about.as_slice());
        let object =
            builder(stage, &Spawn { view: &view, actor, prefab, about, transform, store, origin });
        self.views.insert(path, object);
    }

    /// An object of the scene has its model, or gets none.
    fn settle(&mut self, store: &Datastore, stage: &mut S, (place, outcome): (&Path, Outcome)) {
        let view = ModelRef::<A>::at(place.clone());
        let Some(Awaited { uuid, object, .. }) = self.awaited.remove(place) else {
            if let Some((_, uuid)) = place.split().filter(|_| store.get(&view).is_some()) {
                stage.stands(&uuid, &view);
            }
            return;
        };
        if store.get(&view).is_some() {
            self.views.insert(place.clone(), object);
            stage.bound(&uuid, &view);
        } else {
            stage.unbound(&uuid, object, outcome);
        }
    }

    /// Something is gone, with all that was below it; what came back since is not.
    fn part(&mut self, store: &Datastore, stage: &mut S, gone: &Path) {
        let below = |path: &&Path| path.as_str().starts_with(gone.as_str());
        let views = self.views.range(gone..).map(|(path, _)| path).take_while(below);
        let waiting = self.waiting.range(gone..).map(|(path, _)| path).take_while(below);
        let over = |path: &&Path| {
            let view = ModelRef::<A>::at((*path).clone());
            gone.contains(path) && store.get(&view).is_none()
        };
        let over: Vec<Path> = views.chain(waiting).filter(over).cloned().collect();
        for path in over {
            self.waiting.remove(&path);
            if let Some(object) = self.views.remove(&path) {
                stage.despawn(&ModelRef::at(path), object);
            }
        }
    }

    /// Sees everything anew.
    fn sweep(&mut self, store: &Datastore, stage: &mut S) {
        self.part(store, stage, &Path::root());
        let actors = self.actors.iter(store).filter_map(|(view, _)| view.path().cloned());
        let fixtures = self.fixtures.iter(store).filter_map(|(_, view, _)| view.path().cloned());
        let here: Vec<Path> = actors.chain(fixtures).collect();
        for path in here {
            self.meet(store, stage, path, Origin::Remote);
        }
    }
}

/// What the components of a view take in a change beside what is written to them, from above.
const BESIDES: usize = 1_024;

/// Says of what a view is built.
fn fill<A: Actor>(
    store: &mut Datastore,
    view: &ModelRef<A>,
    edit: impl FnOnce(&mut View),
) -> Result<(), EditError> {
    let child = store.get(view).map(|actor| actor.view().as_ref()).ok_or(EditError::Nowhere)?;
    store.begin(&child, edit)
}

/// Says where a new view is.
fn place<A: Actor>(
    store: &mut Datastore,
    view: &ModelRef<A>,
    transform: Option<Transform>,
) -> Result<(), EditError> {
    let child = store.get(view).and_then(|actor| actor.transform()).map(|child| child.as_ref());
    match transform.zip(child) {
        Some((transform, child)) => store.begin(&child, |there| *there = transform),
        None => Ok(()),
    }
}
