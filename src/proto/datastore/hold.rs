//! Texts that wait longer than a frame: for tools that replay recorded concurrency, in which a peer
//! must not see more of the others than it had seen when it was recorded.

use std::collections::BTreeSet;

use automerge::Change;

use super::Datastore;
use crate::proto::id::{DocumentId, PeerId};
use crate::proto::log::Origin;
use crate::proto::model::path::Path;

/// Changes of texts that are in the log and wait for the frame to end: positions in this frame's
/// own edits count in the text as it was when it began.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    changes: Vec<Change>,
    held: bool,
}

impl Waiting {
    /// Whether the end of the frame lets anything in.
    const fn is_due(&self) -> bool {
        !self.held && !self.changes.is_empty()
    }

    /// What the end of the frame lets in.
    pub(super) fn take_due(&mut self) -> Vec<Change> {
        if self.held { Vec::new() } else { std::mem::take(&mut self.changes) }
    }
}

impl Datastore {
    /// Whether what others write in texts waits from now on until [`Self::let_in_texts`] or the end
    /// of the hold. It is in the log meanwhile, and goes on to others from there; what this peer
    /// writes does not follow it.
    pub fn hold_texts(&mut self, hold: bool) {
        self.waiting_texts.held = hold;
        self.wakes |= self.waiting_texts.is_due();
    }

    /// Ends the frame, and lets in those of the held changes of texts that `may` names by their
    /// author and their number among its changes, from 1. Returns how many.
    pub fn let_in_texts(&mut self, mut may: impl FnMut(PeerId, u64) -> bool) -> usize {
        self.flush();
        let log = self.texts.log();
        let (let_in, waiting) =
            std::mem::take(&mut self.waiting_texts.changes).into_iter().partition(|change| {
                let actor = change.actor_id().to_bytes().try_into();
                let author = actor.ok().and_then(|actor| log.author(&actor));
                author.is_none_or(|author| match &author.origin {
                    Origin::Peer(introduction) => may(introduction.peer, change.seq()),
                    Origin::WellKnown(_) => true,
                })
            });
        self.waiting_texts.changes = waiting;
        self.apply_texts(let_in)
    }

    /// Applies changes of texts. Returns how many.
    pub(super) fn apply_texts(&mut self, changes: Vec<Change>) -> usize {
        let count = changes.len();
        if count > 0
            && let Ok(touched) = self.texts.apply(changes)
        {
            let texts: BTreeSet<Path> = touched.iter().map(|(_, key)| Path::parse(key)).collect();
            self.refresh_texts(&texts);
        }
        count
    }

    /// Takes in changes of texts that came. A well-known text stands at once: it is empty, so it
    /// moves no place, and what this peer writes in this frame needs it.
    pub(super) fn receive_texts(&mut self, changes: Vec<Change>) {
        let log = self.log(DocumentId::TEXTS);
        let (made, written): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| {
            let actor = change.actor_id().to_bytes().try_into();
            let author = actor.ok().and_then(|actor| log.author(&actor));
            author.is_some_and(|author| matches!(author.origin, Origin::WellKnown(_)))
        });
        if !made.is_empty()
            && let Err(fault) = self.texts.apply(made)
        {
            tracing::debug!(%fault, "well-known text not made");
        }
        self.waiting_texts.changes.extend(written);
        self.wakes |= self.waiting_texts.is_due();
    }
}
