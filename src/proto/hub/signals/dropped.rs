//! What is remembered of signals that are not kept any more.

use std::collections::BTreeMap;

use super::kept::{Hearer, Kept};
use crate::proto::id::PeerId;

/// The newest signals that are not kept any more, by who was to hear them.
#[derive(Debug)]
pub(super) struct Dropped {
    /// The newest that all but its giver were to hear, and the newest of another giver.
    public: [Option<(PeerId, u64)>; 2],
    /// Those that one peer was to hear.
    private: BTreeMap<PeerId, u64>,
}

impl Dropped {
    /// How many peers may be told apart of those to whom something was said alone.
    const PRIVATE: usize = 1_024;

    pub(super) const fn new() -> Self {
        Self { public: [None; 2], private: BTreeMap::new() }
    }

    pub(super) fn note(&mut self, kept: &Kept) {
        match kept.to {
            Hearer::Others(by) => {
                let [newest, other] = &mut self.public;
                if newest.is_none_or(|(giver, _)| giver != by) {
                    *other = *newest;
                }
                *newest = Some((by, kept.number));
            }
            Hearer::Peer(to) | Hearer::Session((to, _)) => self.note_for(to, kept.number),
        }
    }

    /// The newest that one peer was to hear.
    pub(super) fn note_for(&mut self, to: PeerId, number: u64) {
        if self.private.len() >= Self::PRIVATE && !self.private.contains_key(&to) {
            // Of all of them together, anybody may have missed the newest.
            self.private.clear();
            self.public = [Some((to, number)); 2];
        }
        let newest = self.private.entry(to).or_default();
        *newest = number.max(*newest);
    }

    /// The newest one that a peer was to hear; 0 if there is none.
    pub(super) fn newest_for(&self, peer: PeerId) -> u64 {
        let public = self.public.iter().flatten().filter(|(giver, _)| *giver != peer);
        let private = self.private.get(&peer).copied();
        public.map(|(_, number)| *number).chain(private).max().unwrap_or(0)
    }
}
