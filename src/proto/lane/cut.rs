//! Cuts and denials on a document lane: what is said before the other side knows of one is nothing.

use bytes::Bytes;

use super::{DocumentLane, Incoming};
use crate::proto::delta::record::{Kind, Record};
use crate::proto::delta::unpack::postcard;
use crate::proto::delta::{Member, Token};
use crate::proto::id::DocumentId;
use crate::proto::time::Time;
use crate::proto::wire::message::{Denied, DeniedRecord, EntryRecord};

impl DocumentLane {
    /// At a relay: what the member says from now on is nothing, until it follows the cut that is
    /// about to be made.
    pub const fn begin_cut(&mut self, document: DocumentId) {
        self.stream_mut(document).stale = true;
    }

    /// Whether the member has not followed the last cut.
    #[must_use]
    pub const fn is_stale(&self, document: DocumentId) -> bool {
        self.streams[document.place()].stale
    }

    /// Whether what the member says is nothing, until it says that it knows.
    pub(super) const fn is_behind(&self, document: DocumentId) -> bool {
        let stream = &self.streams[document.place()];
        stream.stale || stream.denied
    }

    /// At a relay: says that something of the member's is not let in. If it is a change, whatever it
    /// says from now on is nothing, until it goes on as another.
    pub fn deny(&mut self, document: DocumentId, denied: DeniedRecord) {
        let stream = self.stream_mut(document);
        stream.denied |= matches!(denied.what, Denied::Change { .. });
        stream.packer.set_denied(stream.feed.pushed(), denied);
        stream.feed.push(Token::Denied);
    }

    /// At a relay: the member goes on as another, if it was told to. Returns whether it was.
    pub const fn end_denial(&mut self, document: DocumentId, member: Member) -> bool {
        let stream = self.stream_mut(document);
        if !std::mem::replace(&mut stream.denied, false) {
            return false;
        }
        self.set_member(document, member);
        true
    }

    /// At a member: goes on as another. What was to be said as the one before is void.
    pub fn resume(&mut self, document: DocumentId, member: Member) {
        self.turn(document, member, Token::Resumed);
    }

    fn turn(&mut self, document: DocumentId, member: Member, turn: Token) {
        self.set_member(document, member);
        let stream = self.stream_mut(document);
        stream.feed.void(Token::Void);
        if !stream.turns.contains(&turn) {
            stream.turns.push(turn);
        }
        // A relay that waits for one passes over the other, whichever is first.
        stream.turns.iter().for_each(|turn| stream.feed.push(*turn));
    }

    /// At a relay: says that history is cut here.
    pub fn push_cut(&mut self, document: DocumentId) {
        let stream = self.stream_mut(document);
        stream.cut_at = stream.feed.pushed();
        stream.feed.push(Token::Cut);
    }

    /// At a relay: the member has followed the cut, so that everything up to it has arrived, whatever it
    /// acknowledged: nothing of the epoch before is said again, of which no log may be left.
    pub fn end_cut(&mut self, document: DocumentId, member: Member, now: Time) {
        let stream = self.stream_mut(document);
        stream.stale = false;
        let arrived = stream.cut_at.saturating_add(1);
        self.acknowledge(document, arrived, false, now);
        self.set_member(document, member);
    }

    /// At a member: follows a cut. What was to be said of the epoch before is void.
    pub fn follow(&mut self, document: DocumentId, member: Member) {
        self.turn(document, member, Token::Cut);
    }

    /// Sends what the epoch began with, because the relay wanted it.
    pub fn push_columns(&mut self, document: DocumentId, columns: Bytes) {
        let stream = self.stream_mut(document);
        for from in stream.packer.set_columns(columns) {
            stream.feed.push(Token::Base(from));
        }
    }
}

impl Incoming {
    /// How many bytes the records have.
    #[must_use]
    pub fn size(&self) -> usize {
        self.records.as_slice().iter().map(Record::size).sum()
    }

    /// Passes over records of what is over, up to the word that a cut is followed or that another
    /// goes on.
    pub(super) fn follows(&mut self) -> Option<EntryRecord> {
        loop {
            let record = self.records.next()?;
            self.position += 1;
            if record.kind() == Kind::Entry
                && let Ok(entry @ (EntryRecord::Cut(_) | EntryRecord::Resumed(_))) =
                    postcard(&record.body)
            {
                return Some(entry);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::authorship::Scope;
    use crate::proto::config::Limits;
    use crate::proto::id::{AppKey, Identity, RoomName};
    use crate::proto::lane::Side;
    use crate::proto::log::ChangeLog;
    use crate::proto::reason::Denial;
    use crate::proto::wire::bounded::Line;
    use crate::proto::wire::message::Introduction;

    #[test]
    fn what_stands_before_a_cut_that_is_followed_is_not_said_again() {
        let (document, now) = (DocumentId::MODELS, Time::ZERO);
        let app = AppKey::new("key").unwrap().app();
        let scope = Scope::first(app, RoomName::new("room").unwrap());
        let peer = Identity::from_seed([1; 32]).peer();
        let introduction = Introduction { peer, incarnation: 1 };
        let member = Member { introduction, actor: scope.actor(&introduction) };
        let log = ChangeLog::new(scope, document, Limits::default());
        let mut lane = DocumentLane::new(&Limits::default(), Side::Relay);
        lane.set_member(document, member);
        let what = Denied::Claim { actor: member.actor, counter: 1 };
        let denied = DeniedRecord { what, model: Line::default(), why: Denial::NoModel };
        lane.deny(document, denied.clone());
        lane.begin_cut(document);
        lane.push_cut(document);
        lane.deny(document, denied);
        assert!(lane.next_frame(&log, Some(&log), now).is_some());
        // No acknowledgement comes: it was lost.
        lane.end_cut(document, member, now);
        assert!(!lane.is_stale(document));
        assert!(!lane.is_idle(), "what is behind the cut may be lost");
        assert_eq!(lane.streams[document.place()].feed.base(), 2);
    }
}
