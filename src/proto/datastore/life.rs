//! Another life of a peer: it goes on where it was when it was kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Datastore;
use crate::proto::document::Image;
use crate::proto::id::PeerId;
use crate::proto::log::ChangeLog;
use crate::proto::wire::message::Introduction;

/// What of epochs that are over is remembered.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Past {
    departed: BTreeMap<[u8; 8], u64>,
    typed: BTreeMap<PeerId, u64>,
}

impl Datastore {
    /// What this peer remembers of epochs that are over.
    #[must_use]
    pub fn past(&self) -> Past {
        Past { departed: self.departed.clone(), typed: self.typed.clone() }
    }

    /// Whether something that this peer wrote waits for everything that the room has to be here, and is in
    /// no log until then.
    #[must_use]
    pub fn is_bringing(&self) -> bool {
        self.brought.is_some()
    }

    /// Goes on where an earlier life of this peer was, with its logs, as another author. Nothing is told
    /// of it.
    pub(crate) fn resume(&mut self, logs: [ChangeLog; 2], past: Past, author: Introduction) {
        [self.models, self.texts] = logs;
        Past { departed: self.departed, typed: self.typed } = past;
        for place in self.texts.laid()..self.texts.len() {
            self.texts.show(place);
        }
        self.images = [Image::new(), Image::new()];
        self.described = false;
        self.set_author(author);
        self.mirror = self.rebuilt();
        self.hear_all();
        self.events.clear();
    }
}
