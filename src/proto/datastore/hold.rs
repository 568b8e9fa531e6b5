//! Texts that wait longer than a frame: for tools that replay recorded concurrency, in which a peer
//! must not see more of the others than it had seen when it was recorded.

use super::Datastore;
use crate::proto::id::{DocumentId, PeerId};
use crate::proto::log::{Index, Origin};

/// Changes of texts that are in the log and wait for the frame to end: positions in this frame's
/// own edits count in the text as it was when it began.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    changes: Vec<Index>,
    held: bool,
}

impl Waiting {
    /// Whether the end of the frame lets anything in.
    const fn is_due(&self) -> bool {
        !self.held && !self.changes.is_empty()
    }

    /// What the end of the frame lets in.
    pub(super) fn take_due(&mut self) -> Vec<Index> {
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
        let waits = std::mem::take(&mut self.waiting_texts.changes);
        let (let_in, waiting) = waits.into_iter().partition(|place| {
            let entry = log.entry(*place);
            entry.is_none_or(|entry| match log.author(&entry.actor).map(|author| &author.origin) {
                Some(Origin::Peer(introduction)) => may(introduction.peer, entry.sequence),
                Some(Origin::WellKnown(_) | Origin::Base) | None => true,
            })
        });
        self.waiting_texts.changes = waiting;
        self.apply_texts(let_in)
    }

    /// Applies changes of texts. Returns how many.
    pub(super) fn apply_texts(&mut self, places: Vec<Index>) -> usize {
        let count = places.len();
        if count > 0 {
            match self.texts.apply(&places) {
                Ok(touched) => self.refresh_texts(&touched),
                Err(fault) => tracing::warn!(%fault, "texts that the log let in were refused"),
            }
        }
        count
    }

    /// Takes in changes of texts that came. A well-known text stands at once: it is empty, so it
    /// moves no place, and what this peer writes in this frame needs it.
    pub(super) fn receive_texts(&mut self, places: Vec<Index>) {
        let log = self.log(DocumentId::TEXTS);
        let (written, made): (Vec<_>, Vec<_>) =
            places.into_iter().partition(|place| log.writer(*place).is_some());
        // Not refreshed: what this peer wrote in it shows already.
        if !made.is_empty()
            && let Err(fault) = self.texts.apply(&made)
        {
            tracing::warn!(%fault, "well-known text not made");
        }
        self.waiting_texts.changes.extend(written);
        self.wakes |= self.waiting_texts.is_due();
    }
}
