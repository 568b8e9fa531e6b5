//! What a relay keeps of what this peer wrote: whether it has told that it would outlive the relay.

use super::Peer;
use super::connection::Connection;
use crate::proto::event::Event;
use crate::proto::reason::KEEPING_SINCE;
use crate::proto::wire::message::Asked;

/// What a peer knows of what is kept.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    /// Whether the relay of this link keeps what comes such that it outlives it.
    keeps: bool,
    /// Whether something was written since it was last asked whether all is kept.
    written: bool,
    /// By which mark it was asked, until it answers.
    asked: Option<u32>,
    marks: u32,
}

impl Keeping {
    /// Something was written.
    pub(super) const fn write(&mut self) {
        self.written = true;
    }

    /// A relay has let this peer in, which may know nothing of what the one before was asked; and what
    /// that kept for sure, this one may not.
    pub(super) const fn begin(&mut self, has_anything: bool) {
        self.keeps = false;
        self.asked = None;
        self.written = has_anything;
    }
}

impl Peer {
    /// Whether the relay keeps what is written such that it outlives it.
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        self.keeping.keeps && self.connection.is_some()
    }

    /// Whether the relay has said that all is kept that was edited here, such that it outlives the relay
    /// and a loss of its power. [`Event::Kept`] says when it is so.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        let Keeping { written, asked, .. } = &self.keeping;
        self.is_kept() && !written && asked.is_none() && self.is_settled()
    }

    pub(super) fn on_keeps(&mut self, keeps: bool) {
        if !keeps && self.keeping.keeps {
            // Nothing that is waited for will come.
            self.keeping.written |= self.keeping.asked.take().is_some();
        }
        if self.keeping.keeps != keeps {
            self.keeping.keeps = keeps;
            self.tell(Event::Keeps(keeps));
        }
    }

    pub(super) fn on_kept(&mut self, mark: u32) {
        if self.keeping.asked.take_if(|asked| *asked == mark).is_some() && self.is_durable() {
            self.tell(Event::Kept);
        }
    }

    /// Asks whether all is kept, if the relay has everything and was not asked about that.
    pub(super) fn next_keeping(&mut self) -> Option<Asked> {
        let knows = self.connection.as_ref().is_some_and(knows);
        let Keeping { keeps, written, asked, .. } = &self.keeping;
        let is_new = knows && *keeps && *written && asked.is_none();
        if !(is_new && self.is_settled()) {
            return None;
        }
        let keeping = &mut self.keeping;
        keeping.written = false;
        keeping.marks = keeping.marks.wrapping_add(1);
        keeping.asked = Some(keeping.marks);
        Some(Asked::Keep { mark: keeping.marks })
    }
}

/// Whether the relay of a link can be asked.
fn knows(open: &Connection) -> bool {
    open.theirs.as_ref().is_some_and(|hello| hello.version.minor >= KEEPING_SINCE)
}
