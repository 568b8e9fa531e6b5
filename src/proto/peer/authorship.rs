//! Who wrote what, and this peer's word for what it wrote.

use super::Peer;
use crate::proto::delta::Token;
use crate::proto::id::{DocumentId, PeerId};
use crate::proto::log::Origin;
use crate::proto::time::Time;

impl Peer {
    /// Gives this peer's word for what it wrote since the last time.
    pub(super) fn sign(&mut self, now: Time) {
        let me = self.author.peer;
        for document in DocumentId::ALL {
            let log = self.store.log(document);
            let scope = log.scope().clone();
            // As every incarnation: others bring in what an earlier one wrote.
            let own = log.authors().filter(|(_, author)| author.origin.is_of(me).is_some());
            let last = own.filter_map(|(actor, author)| {
                let signed = author.signature.as_ref().map_or(0, |signature| signature.sequence);
                let entry = log.entry(*author.changes.last()?)?;
                (entry.sequence > signed).then_some((*actor, entry.sequence, entry.hash))
            });
            let last: Vec<_> = last.collect();
            for (actor, sequence, hash) in last {
                let record = scope.sign(&self.identity, document, (actor, sequence, hash));
                if self.store.admit_own_signature(document, &record)
                    && let Some(open) = self.connection.as_mut().filter(|open| open.is_in())
                {
                    open.lane.push(document, Token::Signature(actor));
                }
            }
        }
        self.pump(now);
    }

    /// The author of every change in the room, for tools: which peers wrote how many.
    pub fn authors(&self, document: DocumentId) -> impl Iterator<Item = (PeerId, usize)> {
        self.store.log(document).authors().filter_map(|(_, author)| match &author.origin {
            Origin::Peer(introduction) => Some((introduction.peer, author.changes.len())),
            Origin::WellKnown(_) | Origin::Base => None,
        })
    }
}
