//! What a relay does not let in of what a peer wrote.

use serde::{Deserialize, Serialize};

use super::Actor;
use crate::proto::reason::Denial;
use crate::proto::wire::bounded::Line;

/// What a relay does not let in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeniedRecord {
    /// What it is.
    pub what: Denied,
    /// The path of the model that it is about.
    pub model: Line<512>,
    /// Why.
    pub why: Denial,
}

/// Something that a peer wrote and a relay does not let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Denied {
    /// A change, and with it everything that its author wrote after it in this document.
    Change {
        /// The change's actor, which is never used again.
        actor: Actor,
        /// Its place among its actor's changes.
        sequence: u64,
    },
    /// A claim. Its change is let in, and means nothing.
    Claim {
        /// The actor of its operation.
        actor: Actor,
        /// The counter of its operation.
        counter: u64,
    },
}
