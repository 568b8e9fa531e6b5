//! What a scene says that its entities are to do.

use std::collections::VecDeque;

use bevy_ecs::entity::Entity;
use parlor::realtime::scene::Stage;
use parlor::realtime::view::Actor;
use parlor::{ModelRef, Origin, Outcome};

/// One thing to do.
#[derive(Debug)]
pub(crate) enum Cue<A> {
    /// A view is there, and nothing stands for it but perhaps an empty entity.
    Enter(ModelRef<A>, Origin),
    /// An object of the scene has its model.
    Bound(ModelRef<A>),
    /// A view is gone.
    Exit(Entity),
}

/// The cues that were not followed yet. A scene cannot hold commands, which live for one system only, so
/// it writes down what is to be done with them.
#[derive(Debug)]
pub(crate) struct Cues<A> {
    cues: VecDeque<Cue<A>>,
    /// The entity of the view that is being made here.
    reserved: Option<Entity>,
}

impl<A> Cues<A> {
    pub(crate) const fn new() -> Self {
        Self { cues: VecDeque::new(), reserved: None }
    }

    pub(crate) fn next(&mut self) -> Option<Cue<A>> {
        self.cues.pop_front()
    }

    /// Keeps an entity for the view that is made next, or none any more.
    pub(crate) const fn reserve(&mut self, entity: Option<Entity>) {
        self.reserved = entity;
    }

    /// A view is to be built. Returns the entity that is kept for it, if one is.
    pub(crate) fn enter(&mut self, view: ModelRef<A>, origin: Origin) -> Option<Entity> {
        self.cues.push_back(Cue::Enter(view, origin));
        self.reserved.take()
    }
}

impl<A: Actor> Stage<A> for Cues<A> {
    /// None while the view has no entity yet, and after this app has despawned it for itself.
    type Object = Option<Entity>;

    fn despawn(&mut self, _: &ModelRef<A>, entity: Option<Entity>) {
        self.cues.extend(entity.map(Cue::Exit));
    }

    fn bound(&mut self, uuid: &str, view: &ModelRef<A>) {
        tracing::debug!(uuid, ?view, "bound");
        self.cues.push_back(Cue::Bound(view.clone()));
    }

    fn unbound(&mut self, uuid: &str, entity: Option<Entity>, outcome: Outcome) {
        tracing::warn!(uuid, ?entity, ?outcome, "not bound");
    }
}
