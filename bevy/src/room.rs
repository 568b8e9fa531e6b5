//! The room of an app, with what stands for what is in it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use bevy_ecs::component::{Component, Mutable};
use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;
use bevy_ecs::system::{Commands, EntityCommands};
use parlor::proto::model::handle::Handle;
use parlor::proto::model::path::Path;
use parlor::realtime::scene::{Instantiate, InstantiateError, Realtime, Reference, Spawn};
use parlor::realtime::transform::TransformConfig;
use parlor::realtime::view::Actor;
use parlor::{Child, ClaimError, EditError, Event, Model, ModelRef, Origin, PeerId, Room, Terms};

use crate::cue::{Cue, Cues};
use crate::derived::{Derive, Derived};
use crate::placement::{Placement, to_bevy};
use crate::scene::Scene;
use crate::view::{Owner, View};

/// How an entity of a prefab is built.
type Builder<A> = Box<dyn FnMut(&mut EntityCommands<'_>, &Spawn<'_, A>) + Send>;

/// The room of an app and the scene in it.
///
/// Systems take it as `ResMut<Parlor<M>>`, also to read: the room is not made to be read by several
/// threads at once.
#[derive(Resource)]
pub struct Parlor<M: Scene> {
    /// The mutex is only for the room to be `Sync`.
    hall: Mutex<Hall<M>>,
}

struct Hall<M: Scene> {
    room: Room<M>,
    scene: Realtime<M::Actor, Cues<M::Actor>>,
    cues: Cues<M::Actor>,
    prefabs: BTreeMap<String, Builder<M::Actor>>,
    derived: Vec<Box<dyn Derive<M::Actor>>>,
    transforms: TransformConfig,
}

impl<M: Scene> fmt::Debug for Parlor<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parlor").finish_non_exhaustive()
    }
}

impl<M: Scene> Parlor<M> {
    pub(crate) fn new(room: Room<M>, transforms: TransformConfig) -> Self {
        let root = room.root();
        let scene = Realtime::new(root.actors().clone(), root.fixtures().clone());
        let (prefabs, derived) = (BTreeMap::new(), Vec::new());
        let hall = Hall { room, scene, cues: Cues::new(), prefabs, derived, transforms };
        Self { hall: Mutex::new(hall) }
    }

    fn hall(&mut self) -> &mut Hall<M> {
        self.hall.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// The room. It is ticked every frame, and its events come as [`RoomEvent`](crate::RoomEvent)s: an app
    /// that takes them itself loses its entities.
    pub fn room(&mut self) -> &mut Room<M> {
        &mut self.hall().room
    }

    /// Says how entities of a prefab are built, instead of what was said before. Views that wait for it
    /// appear in the next frame.
    ///
    /// A builder adds what this app needs to show a view. View, owner, place and derived components come
    /// by themselves, after the builder: what the room says of them counts.
    pub fn register(
        &mut self,
        prefab: &str,
        builder: impl FnMut(&mut EntityCommands<'_>, &Spawn<'_, M::Actor>) + Send + 'static,
    ) {
        let hall = self.hall();
        hall.prefabs.insert(prefab.to_owned(), Box::new(builder));
        hall.scene.register(prefab, |cues, spawn| cues.enter(spawn.view.clone(), spawn.origin));
    }

    /// Lets entities have a component that is a part of their models.
    pub(crate) fn derive<C: Model + Component<Mutability = Mutable>>(
        &mut self,
        part: impl Fn(&M::Actor) -> &Child<C> + Send + Sync + 'static,
    ) {
        let hall = self.hall();
        let derived = Derived::new(part, hall.transforms.timeline.clone());
        hall.derived.push(Box::new(derived));
    }

    /// Makes an entity of a prefab, for everybody. Others have it with its owner and its place from the
    /// beginning.
    ///
    /// # Errors
    ///
    /// When the prefab is not registered, or the view cannot be written.
    pub fn instantiate(
        &mut self,
        commands: &mut Commands<'_, '_>,
        prefab: &str,
        options: Instantiate<M::Actor>,
    ) -> Result<Entity, InstantiateError> {
        let entity = commands.spawn_empty().id();
        let Hall { room, scene, cues, .. } = self.hall();
        cues.reserve(Some(entity));
        let made = scene.instantiate(room, cues, prefab, options);
        cues.reserve(None);
        if let Err(error) = made {
            commands.entity(entity).despawn();
            return Err(error);
        }
        self.hall().follow(commands);
        Ok(entity)
    }

    /// Takes a view out of the scene with its entity, for everybody. Returns whether it was there.
    ///
    /// # Errors
    ///
    /// When it is another's, or of no room.
    pub fn destroy(
        &mut self,
        commands: &mut Commands<'_, '_>,
        view: &ModelRef<M::Actor>,
    ) -> Result<bool, EditError> {
        let hall = self.hall();
        let destroyed = hall.scene.destroy(&mut hall.room, &mut hall.cues, view)?;
        hall.follow(commands);
        Ok(destroyed)
    }

    /// Gives an entity that every peer's scene has by itself its model, the same for everybody who calls
    /// it by this UUID; the first makes it from `actor`. The entity gets its components when that is
    /// settled, for which there has to be a relay. It stays where it is until somebody moves it.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn bind(
        &mut self,
        commands: &mut Commands<'_, '_>,
        (uuid, entity): (&str, Entity),
        actor: M::Actor,
    ) -> Result<(), EditError> {
        let hall = self.hall();
        hall.scene.bind(&mut hall.room, &mut hall.cues, (uuid, Some(entity)), actor)?;
        hall.follow(commands);
        Ok(())
    }

    /// Asks for a view, which counts as this peer's at once, until the relay says otherwise.
    ///
    /// # Errors
    ///
    /// When it is not here, or it is known that it cannot be had.
    pub fn claim(&mut self, view: &ModelRef<M::Actor>, terms: Terms) -> Result<(), ClaimError> {
        self.room().claim(view, terms)
    }

    /// Lets go of a view.
    ///
    /// # Errors
    ///
    /// When it is not here, or not this peer's.
    pub fn release(&mut self, view: &ModelRef<M::Actor>) -> Result<(), ClaimError> {
        self.room().release(view)
    }

    /// Gives a view to another member of the room.
    ///
    /// # Errors
    ///
    /// When it is not here, or not this peer's.
    pub fn transfer(&mut self, view: &ModelRef<M::Actor>, to: PeerId) -> Result<(), ClaimError> {
        self.room().transfer(view, to)
    }

    /// The entity of a view.
    pub fn entity(&mut self, view: &ModelRef<M::Actor>) -> Option<Entity> {
        self.hall().entity(view)
    }

    /// What a reference between models leads to.
    pub fn resolve(&mut self, reference: &ModelRef<M::Actor>) -> Reference<'_, Entity> {
        match self.hall().scene.resolve(reference) {
            Reference::Unassigned => Reference::Unassigned,
            Reference::Resolved(Some(entity)) => Reference::Resolved(entity),
            Reference::Resolved(None) | Reference::Unresolved => Reference::Unresolved,
        }
    }

    /// Views that are there and have no entity, with the prefabs that they wait for.
    pub fn unknown(&mut self) -> impl Iterator<Item = (ModelRef<M::Actor>, &str)> {
        self.hall().scene.unknown()
    }

    /// Lets the room and its scene go on. Returns what happened, one by one.
    pub(crate) fn advance(
        &mut self,
        commands: &mut Commands<'_, '_>,
    ) -> impl Iterator<Item = Event> {
        let hall = self.hall();
        hall.room.tick();
        hall.scene.appear(&hall.room, &mut hall.cues);
        hall.follow(commands);
        std::iter::from_fn(move || {
            let event = hall.room.poll_event()?;
            hall.hear(commands, &event);
            Some(event)
        })
    }

    /// This app has despawned an entity.
    pub(crate) fn despawned(&mut self, commands: &mut Commands<'_, '_>, view: &ModelRef<M::Actor>) {
        let hall = self.hall();
        let Some(shown) = hall.scene.object_mut(view) else { return };
        *shown = None;
        if hall.owner(view).mine
            && hall.is_actor(view)
            && let Err(error) = self.destroy(commands, view)
        {
            tracing::warn!(%error, ?view, "despawned here only");
        }
    }
}

impl<M: Scene> Hall<M> {
    fn entity(&self, view: &ModelRef<M::Actor>) -> Option<Entity> {
        self.scene.object(view).copied().flatten()
    }

    fn owner(&self, view: &ModelRef<M::Actor>) -> Owner {
        view.path().map_or_else(Owner::default, |path| {
            Owner::of(self.room.holding(path), self.room.peer())
        })
    }

    /// Whether a view was put into the scene, and is none of its own objects.
    fn is_actor(&self, view: &ModelRef<M::Actor>) -> bool {
        let above = view.path().and_then(Path::split).map(|(above, _)| above);
        above.as_ref() == self.room.root().actors().path()
    }

    fn hear(&mut self, commands: &mut Commands<'_, '_>, event: &Event) {
        self.scene.handle(&self.room, event, &mut self.cues);
        self.follow(commands);
        match event {
            Event::Changed(changed) => self.changed(commands, &changed.model),
            Event::Owner { model, .. } => self.owned(commands, model),
            Event::Ready | Event::Overrun => self.refresh(commands),
            _ => {}
        }
    }

    /// Does what the scene says.
    fn follow(&mut self, commands: &mut Commands<'_, '_>) {
        while let Some(cue) = self.cues.next() {
            match cue {
                Cue::Enter(view, origin) => self.build(commands, &view, origin),
                Cue::Bound(view) => self.bound(commands, &view),
                Cue::Exit(entity) => commands.entity(entity).try_despawn(),
            }
        }
    }

    fn build(
        &mut self,
        commands: &mut Commands<'_, '_>,
        view: &ModelRef<M::Actor>,
        origin: Origin,
    ) {
        let Self { room: store, scene, prefabs, .. } = self;
        let Some(actor) = store.get(view) else { return };
        let Some(of) = store.get(&actor.view().as_ref()) else { return };
        let Some(shown) = scene.object_mut(view) else { return };
        let entity = *shown.get_or_insert_with(|| commands.spawn_empty().id());
        let mut entity = commands.entity(entity);
        let transform = actor.transform().and_then(|child| store.get(&child.as_ref()));
        if let Some(builder) = prefabs.get_mut(&of.prefab) {
            let (prefab, about) = (of.prefab.as_str(), of.about.as_slice());
            builder(&mut entity, &Spawn { view, actor, prefab, about, transform, store, origin });
        }
        if let Some((model, transform)) = actor.transform().zip(transform) {
            let placement = Placement::new(model.as_ref(), self.transforms.clone());
            placement.put(&mut entity, to_bevy(transform));
        }
        self.equip(&mut entity, view);
    }

    fn bound(&self, commands: &mut Commands<'_, '_>, view: &ModelRef<M::Actor>) {
        let Some(entity) = self.entity(view) else { return };
        let Some(actor) = self.room.get(view) else { return };
        let mut entity = commands.entity(entity);
        if let Some(model) = actor.transform() {
            let placement = Placement::new(model.as_ref(), self.transforms.clone());
            placement.stay(&mut entity);
        }
        self.equip(&mut entity, view);
    }

    /// Gives an entity what it has of every view.
    fn equip(&self, entity: &mut EntityCommands<'_>, view: &ModelRef<M::Actor>) {
        let Some(actor) = self.room.get(view) else { return };
        for derived in &self.derived {
            derived.take(&self.room, actor, entity);
        }
        entity.try_insert((self.owner(view), View(view.clone())));
    }

    /// A model is different: perhaps one of a component.
    fn changed(&self, commands: &mut Commands<'_, '_>, model: &Path) {
        let Some((above, _)) = model.split() else { return };
        let view = ModelRef::<M::Actor>::at(above);
        let Some(entity) = self.entity(&view) else { return };
        let Some(actor) = self.room.get(&view) else { return };
        for derived in self.derived.iter().filter(|derived| derived.is_at(actor, model)) {
            derived.take(&self.room, actor, &mut commands.entity(entity));
        }
    }

    /// A model is another's: a view, or what views are in.
    fn owned(&self, commands: &mut Commands<'_, '_>, model: &Path) {
        let view = ModelRef::<M::Actor>::at(model.clone());
        if let Some(entity) = self.entity(&view) {
            self.owner(&view).tell(&mut commands.entity(entity));
            return;
        }
        let root = self.room.root();
        let sets = [root.actors().path(), root.fixtures().path()];
        if sets.into_iter().flatten().any(|set| model.contains(set)) {
            self.refresh(commands);
        }
    }

    /// Sees everything anew.
    fn refresh(&self, commands: &mut Commands<'_, '_>) {
        for (view, entity) in self.scene.views() {
            let (Some(entity), Some(actor)) = (*entity, self.room.get(&view)) else { continue };
            let mut entity = commands.entity(entity);
            for derived in &self.derived {
                derived.take(&self.room, actor, &mut entity);
            }
            self.owner(&view).tell(&mut entity);
        }
    }
}
