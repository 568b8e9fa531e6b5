//! What may be subscribed to.

use std::sync::{Arc, Mutex, PoisonError};

use libp2p::gossipsub::{TopicHash, TopicSubscriptionFilter};
use libp2p::swarm::ConnectionId;

use crate::net::voice::gate::Gate;
use crate::proto::audio::stream::Topic;

/// Whose message is being handled. gossipsub does not say it to a filter.
#[derive(Clone, Debug, Default)]
pub(super) struct Asking(Arc<Mutex<Option<ConnectionId>>>);

impl Asking {
    pub(super) fn set(&self, connection: Option<ConnectionId>) {
        // Nothing that can panic is done while it is locked.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = connection;
    }

    fn get(&self) -> Option<ConnectionId> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets peers subscribe to topics.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(super) asking: Asking,
    pub(super) gate: Gate,
}

impl TopicSubscriptionFilter for Filter {
    fn can_subscribe(&mut self, topic: &TopicHash) -> bool {
        let Some(topic) = Topic::read(topic.as_str().as_bytes()) else { return false };
        // Nobody else is asking: this end itself.
        self.asking.get().is_none_or(|connection| self.gate.admits(connection, topic))
    }
}
