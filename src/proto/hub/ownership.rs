//! Who owns what in a room, as its relay decides it: in the order in which changes arrive.
//!
//! Grants stand in the document of the models; what is here is what a relay needs beside them, and
//! forgets with the room.

mod asked;
mod edicts;
mod folds;
pub(super) mod gate;
mod grants;
mod lapse;
mod places;
mod queue;
mod recovery;
mod rule;

use std::collections::BTreeMap;

pub(super) use self::edicts::type_in;
pub(super) use self::folds::Fold;
pub(super) use self::grants::{Decree, Told};
pub(super) use self::places::{Place, Places};
use self::queue::Queue;
use self::recovery::Recovery;
use crate::proto::config::OwnershipConfig;
use crate::proto::id::{Identity, Link, PeerId};
use crate::proto::model::path::Path;
use crate::proto::ownership::{Fence, Session};
use crate::proto::time::Time;
use crate::proto::wire::message::{Actor, Introduction};

/// A relay as the author of grants.
#[derive(Debug)]
pub(super) struct Grantor {
    pub(super) identity: Identity,
    /// How often the relay has started: above every earlier one.
    pub(super) boot: u32,
    counter: u32,
}

impl Grantor {
    pub(super) const fn new(identity: Identity, boot: u32) -> Self {
        Self { identity, boot, counter: 0 }
    }

    /// As whom it writes.
    fn introduction(&self) -> Introduction {
        Introduction { peer: self.identity.peer(), incarnation: u64::from(self.boot) }
    }

    /// The next token. They are the hub's and not a room's: a room that was forgotten may come back.
    const fn next(&mut self) -> Fence {
        self.counter = self.counter.saturating_add(1);
        Fence::new(self.boot, self.counter)
    }

    /// Until when nothing exclusive is granted: who owned it before this boot may believe it yet.
    fn ready_at(&self, config: &OwnershipConfig) -> Time {
        if self.boot > 1 { Time::ZERO + config.lease } else { Time::ZERO }
    }
}

/// A peer that is in the room, or was a moment ago.
#[derive(Clone, Copy, Debug)]
struct Presence {
    session: Session,
    /// By which link; nothing if that is gone.
    link: Option<Link>,
    /// When its link was last heard, once that is gone.
    heard: Time,
}

/// What a relay knows of a room's ownership beside the grants in its document.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    /// The claim that each grant answers, by the actor and the sequence of its change: what its holder
    /// wrote behind it, before it knew of the grant, counts too.
    answered: BTreeMap<Path, (Actor, u64)>,
    /// When models were last taken over.
    taken: BTreeMap<Path, Time>,
    /// Claims of exclusive models that wait.
    queue: Queue,
    presences: BTreeMap<PeerId, Presence>,
    /// How many models each peer owns.
    owned: BTreeMap<PeerId, usize>,
    /// When each peer claimed, within the last second.
    claimed: BTreeMap<PeerId, Vec<Time>>,
    recovery: Recovery,
}

impl Holdings {
    /// Whether members still bring back what an earlier boot granted.
    pub(super) const fn is_recovering(&self) -> bool {
        self.recovery.is_open()
    }

    /// The room was closed, and who owned something in it may come back until a time.
    pub(super) fn await_owners(&mut self, until: Time) {
        self.recovery.remember(until);
    }

    /// Somebody has come who knows something of the room.
    pub(super) const fn go_on(&mut self) {
        self.recovery.go_on();
    }

    /// A peer came in.
    pub(super) fn enter(&mut self, peer: PeerId, session: Session, link: Link) {
        let presence = Presence { session, link: Some(link), heard: Time::ZERO };
        self.presences.insert(peer, presence);
    }

    /// The session of a peer that was here under another, if there is one: it will not come back.
    pub(super) fn other_session(&self, peer: PeerId, session: Session) -> bool {
        self.presences.get(&peer).is_some_and(|before| before.session != session)
    }

    /// A peer's link is gone, which was last heard at a time.
    pub(super) fn part(&mut self, peer: PeerId, link: Link, heard: Time) {
        if let Some(presence) = self.presences.get_mut(&peer)
            && presence.link == Some(link)
        {
            (presence.link, presence.heard) = (None, heard);
        }
    }

    /// When a peer was last heard whose link is gone, or may be: now would be too early for one whose
    /// link was just replaced.
    fn last_heard(&self, peer: PeerId) -> Option<Time> {
        self.presences.get(&peer).map(|presence| presence.heard)
    }

    /// The session in which a peer is in the room now.
    fn session_of(&self, peer: PeerId) -> Option<Session> {
        let presence = self.presences.get(&peer)?;
        presence.link.is_some().then_some(presence.session)
    }
}
