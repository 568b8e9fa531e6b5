//! What a change asks for.

use std::collections::BTreeMap;

use crate::proto::change::{Action, Change, Key, OpId};
use crate::proto::log::ChangeLog;
use crate::proto::model::path::Path;
use crate::proto::ownership::{Claim, from_value};
use crate::proto::wire::message::Introduction;

/// What a peer asks for, in a change.
#[derive(Clone, Debug)]
pub(in crate::proto::hub) struct Asked {
    pub(super) by: Introduction,
    pub(super) model: Path,
    /// The operation that asks.
    pub(super) id: OpId,
    /// The sequence of its change.
    pub(super) sequence: u64,
    pub(super) claim: Claim,
}

/// Of several claims of one model in a change the last counts.
pub(super) fn last_of(all: Vec<Asked>) -> Vec<Asked> {
    let last: BTreeMap<Path, Asked> =
        all.into_iter().map(|asked| (asked.model.clone(), asked)).collect();
    last.into_values().collect()
}

/// What a change asks for, in the order in which it does.
pub(super) fn claims(log: &ChangeLog, author: &Introduction, change: &Change) -> Vec<Asked> {
    let Some(map) = log.ledger().claims_map() else {
        return Vec::new();
    };
    let map = log.table().id(map);
    let mut asked = Vec::new();
    for (at, operation) in change.operations.iter().enumerate() {
        if let (Key::Map(key), Action::Put(value)) = (&operation.key, &operation.action)
            && operation.object == map
            && let Some(claim) = from_value(value)
        {
            let model = Path::parse(key);
            let (by, id, sequence) = (*author, change.id(at), change.sequence);
            asked.push(Asked { by, model, id, sequence, claim });
        }
    }
    asked
}
