//! Texts that wait longer than a frame: for tools that replay recorded concurrency, in which a peer
//! must not see more of the others than it had seen when it was recorded.

use super::Datastore;
use crate::proto::id::PeerId;
use crate::proto::log::{Index, Origin};
use crate::proto::wire::message::Introduction;

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
    /// writes does not follow it. While anything waits so, history of texts is not cut here.
    pub fn hold_texts(&mut self, hold: bool) {
        self.waiting_texts.held = hold;
        self.wakes |= self.waiting_texts.is_due();
    }

    /// How many changes of texts a peer has written that came here: in this epoch, and in those
    /// before in which this peer was there when they were cut.
    #[must_use]
    pub fn typed_by(&self, peer: PeerId) -> u64 {
        let authors =
            self.texts.authors().filter(|(_, author)| author.origin.is_of(peer).is_some());
        let here: u64 = authors.map(|(_, author)| author.changes.len() as u64).sum();
        self.typed.get(&peer).copied().unwrap_or_default() + here
    }

    /// Counts what was typed in an epoch that is over. The last `kept` changes of this peer do not
    /// count: they are written again in the next one.
    pub(super) fn count_typed(&mut self, kept: usize) {
        for (_, author) in self.texts.authors() {
            if let Origin::Peer(Introduction { peer, .. }) = author.origin {
                *self.typed.entry(peer).or_default() += author.changes.len() as u64;
            }
        }
        if let Some(own) = self.typed.get_mut(&self.author.peer) {
            *own = own.saturating_sub(kept as u64);
        }
    }

    /// Ends the frame, and lets in those of the held changes of texts that `may` names by their
    /// author and their number among its changes, from 1, as [`Self::typed_by`] counts them. Returns
    /// how many.
    pub fn let_in_texts(&mut self, mut may: impl FnMut(PeerId, u64) -> bool) -> usize {
        self.flush();
        let (log, typed) = (&self.texts, &self.typed);
        let waits = std::mem::take(&mut self.waiting_texts.changes);
        let (let_in, waiting) = waits.into_iter().partition(|place| {
            let entry = log.entry(*place);
            entry.is_none_or(|entry| match log.author(&entry.actor).map(|author| &author.origin) {
                Some(Origin::Peer(Introduction { peer, .. })) => {
                    may(*peer, typed.get(peer).copied().unwrap_or_default() + entry.sequence)
                }
                Some(Origin::WellKnown(_) | Origin::Base) | None => true,
            })
        });
        self.waiting_texts.changes = waiting;
        self.apply_texts(let_in)
    }

    /// Shows changes of texts. Returns how many.
    pub(super) fn apply_texts(&mut self, places: Vec<Index>) -> usize {
        let count = places.len();
        let touched = places.into_iter().flat_map(|place| self.texts.show(place)).collect();
        self.refresh_texts(&touched);
        count
    }

    /// Takes in changes of texts that came. A well-known text stands at once: it is empty, so it
    /// moves no place, and what this peer writes in this frame needs it.
    pub(super) fn receive_texts(&mut self, places: &[Index]) {
        let written = places.iter().filter(|place| self.texts.writer(**place).is_some());
        self.waiting_texts.changes.extend(written);
        self.wakes |= self.waiting_texts.is_due();
    }

    /// The changes of texts that wait, in the order of the log.
    pub(super) fn waiting_texts(&self) -> &[Index] {
        &self.waiting_texts.changes
    }

    /// Ends the frame, and lets everything in that waits, held or not.
    pub(super) fn let_in_all(&mut self) {
        self.flush();
        let waits = std::mem::take(&mut self.waiting_texts.changes);
        self.apply_texts(waits);
    }
}
