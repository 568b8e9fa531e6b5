//! What may be subscribed to.

use std::sync::{Arc, Mutex, PoisonError};

use libp2p::gossipsub::{TopicHash, TopicSubscriptionFilter};

use crate::net::voice::tunings::Tunings;
use crate::proto::audio::stream::Topic;
use crate::proto::id::PeerId;

/// Whose message is being handled. gossipsub does not say it to a filter.
#[derive(Clone, Debug, Default)]
pub(super) struct Asking(Arc<Mutex<Option<PeerId>>>);

impl Asking {
    pub(super) fn set(&self, peer: Option<PeerId>) {
        // Nothing that can panic is done while it is locked.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = peer;
    }

    fn get(&self) -> Option<PeerId> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets peers subscribe to topics.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(super) asking: Asking,
    /// At a relay: whom to let subscribe to what. A client lets its relay subscribe to any topic: that
    /// is how it learns what it may publish to.
    pub(super) tunings: Option<Tunings>,
}

impl TopicSubscriptionFilter for Filter {
    fn can_subscribe(&mut self, topic: &TopicHash) -> bool {
        let Some(topic) = Topic::read(topic.as_str().as_bytes()) else { return false };
        match (self.asking.get(), &self.tunings) {
            // This end itself, or a client's relay.
            (None, _) | (Some(_), None) => true,
            (Some(peer), Some(tunings)) => tunings.admit(peer, topic),
        }
    }
}
