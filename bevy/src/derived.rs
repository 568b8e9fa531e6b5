//! Components that are child models of a view.

use bevy_ecs::component::Mutable;
use bevy_ecs::prelude::{
    Changed, Component, DetectChangesMut, EntityWorldMut, Mut, Query, ResMut, With,
};
use bevy_ecs::system::EntityCommands;
use parlor::proto::datastore::Datastore;
use parlor::proto::model::handle::Handle;
use parlor::proto::model::path::Path;
use parlor::proto::model::value::Value;
use parlor::realtime::smooth::Smooth;
use parlor::realtime::timeline::config::TimelineConfig;
use parlor::{Child, EditError, Model, ModelRef};

use crate::room::Parlor;
use crate::scene::Scene;
use crate::view::View;

/// What a component is of an actor's model.
type Part<A, C> = dyn Fn(&A) -> &Child<C> + Send + Sync;

/// A kind of component that entities get from their models, whichever it is.
pub(crate) trait Derive<A>: Send + Sync {
    /// Whether the model of the component is at a path.
    fn is_at(&self, actor: &A, path: &Path) -> bool;

    /// Lets an entity have what its model says.
    fn take(&self, store: &Datastore, actor: &A, entity: &mut EntityCommands<'_>);
}

/// Entities have a component `C` as a part of their models says.
pub(crate) struct Derived<A, C> {
    part: Box<Part<A, C>>,
    /// How it is shown between what is said, if it is to be.
    timeline: Option<TimelineConfig>,
}

impl<A, C: Model> Derived<A, C> {
    pub(crate) fn new(
        part: impl Fn(&A) -> &Child<C> + Send + Sync + 'static,
        timeline: TimelineConfig,
    ) -> Self {
        Self { part: Box::new(part), timeline: is_smooth::<C>().then_some(timeline) }
    }
}

impl<A, C: Model + Component<Mutability = Mutable>> Derive<A> for Derived<A, C> {
    fn is_at(&self, actor: &A, path: &Path) -> bool {
        (self.part)(actor).path() == Some(path)
    }

    fn take(&self, store: &Datastore, actor: &A, entity: &mut EntityCommands<'_>) {
        let model = (self.part)(actor).as_ref();
        let Some(said) = store.get(&model).cloned() else { return };
        let smooth = self.timeline.clone().map(|config| Smooth::new(model.clone(), config));
        let agreed = Agreed { model, said, smooth };
        entity.queue_silenced(move |mut entity: EntityWorldMut<'_>| agreed.settle(&mut entity));
    }
}

/// Whether a model has values to be shown between those that come.
pub(crate) fn is_smooth<C: Model>() -> bool {
    C::shape().properties.iter().any(|it| it.state.is_some_and(|terms| terms.interpolate))
}

/// What the room said last of a component, as the component has it. What is different there was changed
/// by this app and is to be written.
#[derive(Component, Debug)]
pub(crate) struct Agreed<C: Model> {
    model: ModelRef<C>,
    said: C,
    /// What shows it between what is said, if it is to be.
    smooth: Option<Smooth<C>>,
}

impl<C: Model + Component<Mutability = Mutable>> Agreed<C> {
    /// Lets an entity have what is said.
    fn settle(self, entity: &mut EntityWorldMut<'_>) {
        if let Ok((mut agreed, component)) = entity.get_components_mut::<(&mut Self, &mut C)>() {
            if agreed.smooth.is_none() {
                agreed.hear(self.said, component);
            }
        } else if let Some(mut agreed) = entity.get_mut::<Self>() {
            // The app does without the component, for now.
            agreed.said = self.said;
        } else {
            let component = self.said.clone();
            entity.insert((self, component));
        }
    }
}

impl<C: Model> Agreed<C> {
    /// The room says something. What it does not say anew stays as this app has it.
    fn hear(&mut self, said: C, mut component: Mut<'_, C>) {
        for (id, value) in differences(&self.said, &said) {
            // Nothing changes where the component has it already.
            if !value_of(&*component, id).is_some_and(|it| it.same(&value)) {
                put(&mut *component, id, &value);
            }
        }
        self.said = said;
    }

    /// Writes what this app has changed, and nothing else.
    fn say(&mut self, store: &mut Datastore, component: &C) -> Result<(), EditError> {
        let changes = differences(&self.said, component);
        if changes.is_empty() {
            return Ok(());
        }
        store.update(&self.model, |model| {
            for (id, value) in &changes {
                put(model, *id, value);
            }
        })?;
        for (id, value) in &changes {
            put(&mut self.said, *id, value);
        }
        Ok(())
    }

    /// Lets handles lead where those of the model do, also in a component that the app has made.
    fn bind(&self, component: &mut C) {
        let Some(path) = self.model.path() else { return };
        for id in properties::<C>() {
            if let Some(field) = Model::field_mut(component, id) {
                field.bind(&path.property(id));
            }
        }
    }

    /// Puts back what this peer may not write.
    fn restore(&self, mut component: Mut<'_, C>) {
        for (id, value) in differences(&*component, &self.said) {
            put(&mut *component, id, &value);
        }
    }
}

/// The properties that have other values in another state of a model, and those values. Handles have
/// none, and stay as they are.
fn differences<C: Model>(before: &C, after: &C) -> Vec<(u16, Value)> {
    let changed = |id| {
        let (old, new) = (value_of(before, id)?, value_of(after, id)?);
        (!old.same(&new)).then_some((id, new))
    };
    properties::<C>().filter_map(changed).collect()
}

fn properties<C: Model>() -> impl Iterator<Item = u16> {
    let mut properties = Vec::new();
    C::describe(&mut properties);
    properties.into_iter().map(|property| property.id)
}

fn value_of<C: Model>(model: &C, id: u16) -> Option<Value> {
    Model::field(model, id)?.to_value()
}

fn put<C: Model>(model: &mut C, id: u16, value: &Value) {
    if let Some(field) = Model::field_mut(model, id) {
        field.take_value(value);
    }
}

/// A component, and what the room says of it.
type Both<C> = (&'static mut Agreed<C>, &'static mut C);

/// Shows what others write, where that is to be smooth.
pub(crate) fn show<M: Scene, C: Model + Component<Mutability = Mutable>>(
    mut parlor: ResMut<'_, Parlor<M>>,
    mut derived: Query<'_, '_, Both<C>, With<View<M::Actor>>>,
) {
    let room = parlor.room();
    let now = room.room_time();
    for (mut agreed, component) in &mut derived {
        let agreed = agreed.bypass_change_detection();
        if let Some(shown) = agreed.smooth.as_mut().and_then(|smooth| smooth.show(room, now)) {
            agreed.hear(shown, component);
        }
    }
}

/// Of views, those whose component is different, by whomever.
type Touched<A, C> = (With<View<A>>, Changed<C>);

/// Writes what this app has changed of its components.
pub(crate) fn write<M: Scene, C: Model + Component<Mutability = Mutable>>(
    mut parlor: ResMut<'_, Parlor<M>>,
    mut derived: Query<'_, '_, Both<C>, Touched<M::Actor, C>>,
) {
    let room = parlor.room();
    for (mut agreed, mut component) in &mut derived {
        match agreed.say(room, &component) {
            Ok(()) => agreed.bind(component.bypass_change_detection()),
            Err(error) => {
                tracing::debug!(%error, "not written");
                agreed.restore(component);
            }
        }
    }
}
