//! A room's two documents as one, with the history of both.

use std::collections::BTreeMap;

use automerge::legacy::{ElementId, Key, ObjectId, OpId, SortedVec};
use automerge::{ActorId, Automerge, AutomergeError, Change, ChangeHash, ExpandedChange};
use sha2::{Digest, Sha256};

/// Both documents in one. A peer writes in both with the same actor, of which a document has one, so
/// the actors of the texts become others; the texts stand at the root, by their paths.
pub(super) fn both(models: Automerge, texts: &Automerge) -> Result<Automerge, AutomergeError> {
    let mut both = models;
    let mut hashes = BTreeMap::new();
    let mut changes = Vec::new();
    for change in texts.get_changes(&[]) {
        let renamed = Change::from(rename(change.decode(), &hashes));
        hashes.insert(change.hash(), renamed.hash());
        changes.push(renamed);
    }
    both.apply_changes(changes)?;
    Ok(both)
}

fn rename(mut change: ExpandedChange, hashes: &BTreeMap<ChangeHash, ChangeHash>) -> ExpandedChange {
    change.hash = None;
    change.actor_id = other(&change.actor_id);
    for dependency in &mut change.deps {
        if let Some(renamed) = hashes.get(dependency) {
            *dependency = *renamed;
        }
    }
    change.deps.sort_unstable();
    for operation in &mut change.operations {
        if let ObjectId::Id(id) = &mut operation.obj {
            *id = other_id(id);
        }
        if let Key::Seq(ElementId::Id(id)) = &mut operation.key {
            *id = other_id(id);
        }
        let before: Vec<OpId> = operation.pred.iter().map(other_id).collect();
        operation.pred = SortedVec::from(before);
    }
    change
}

fn other_id(id: &OpId) -> OpId {
    OpId(id.0, other(&id.1))
}

/// Another actor in the place of one, the same in every export. Keeps no order among them: texts in
/// which two wrote at one place at once may be exported with the two in the other order.
fn other(actor: &ActorId) -> ActorId {
    let digest = Sha256::digest(actor.to_bytes());
    ActorId::from(&digest[..16])
}
