//! Components that say what an entity stands for, and whose that is.

use bevy_ecs::component::Component;
use bevy_ecs::system::EntityCommands;
use bevy_ecs::world::EntityWorldMut;
use parlor::proto::datastore::Holding;
use parlor::{ModelRef, PeerId};

/// The view of a room that an entity stands for.
///
/// Despawning the entity destroys the view for everybody if this peer owns it; otherwise it is out of
/// sight here alone, until this app joins anew. An app takes views from the room; it inserts none.
#[derive(Component, Clone, Debug, PartialEq, Eq)]
#[component(immutable)]
pub struct View<A: 'static>(pub(crate) ModelRef<A>);

impl<A> View<A> {
    /// Its model.
    #[must_use]
    pub const fn model(&self) -> &ModelRef<A> {
        &self.0
    }
}

/// Whose the view of an entity is, as the room has it. It is inserted anew whenever that changes, so that
/// `On<Insert, Owner>` observes it.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[component(immutable)]
pub struct Owner {
    /// Its owner, if it has one.
    pub peer: Option<PeerId>,
    /// Whether that is this peer, here: a claim counts until the relay says otherwise.
    pub mine: bool,
}

impl Owner {
    pub(crate) fn of(holding: Holding, me: PeerId) -> Self {
        match holding {
            Holding::Free => Self { peer: None, mine: false },
            Holding::Claimed | Holding::Granted { .. } => Self { peer: Some(me), mine: true },
            Holding::Other { peer, .. } => Self { peer: Some(peer), mine: false },
        }
    }

    /// Lets an entity say so, if it says something else.
    pub(crate) fn tell(self, entity: &mut EntityCommands<'_>) {
        entity.queue_silenced(move |mut entity: EntityWorldMut<'_>| {
            if entity.get::<Self>() != Some(&self) {
                entity.insert(self);
            }
        });
    }

    /// Whether this peer may write to the view: it is this peer's, or nobody's.
    #[must_use]
    pub const fn may_write(self) -> bool {
        self.mine || self.peer.is_none()
    }
}
