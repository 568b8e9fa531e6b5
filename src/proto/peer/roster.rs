//! Who is in the room, as a peer knows it: kept by differences, said whole when one was missed.

use std::collections::BTreeMap;

use crate::proto::event::{Event, LeaveReason, Member};
use crate::proto::id::ClientNumber;
use crate::proto::wire::message::MemberRecord;

#[derive(Clone, Default, Debug)]
pub(super) struct Roster {
    revision: u32,
    members: BTreeMap<ClientNumber, Member>,
    /// Pages of a whole roster that have come, of one revision.
    pages: BTreeMap<u16, Vec<Member>>,
    coming: u32,
}

impl Roster {
    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    pub(super) const fn revision(&self) -> u32 {
        self.revision
    }

    /// Somebody came in. Nothing if a difference before this one was missed.
    pub(super) fn join(&mut self, revision: u32, record: MemberRecord) -> Option<Event> {
        if revision != self.revision.wrapping_add(1) {
            return None;
        }
        self.revision = revision;
        let member = member(record);
        self.members.insert(member.client, member.clone());
        Some(Event::Joined(member))
    }

    /// Somebody went out. Nothing if a difference before this one was missed.
    pub(super) fn leave(
        &mut self,
        revision: u32,
        client: ClientNumber,
        reason: LeaveReason,
    ) -> Option<Event> {
        if revision != self.revision.wrapping_add(1) {
            return None;
        }
        self.revision = revision;
        self.members.remove(&client).map(|member| Event::Left { member, reason })
    }

    /// A page of the whole roster. Once all have come, what is different.
    pub(super) fn page(
        &mut self,
        revision: u32,
        (page, pages): (u16, u16),
        records: Vec<MemberRecord>,
    ) -> Vec<Event> {
        if revision != self.coming {
            self.pages.clear();
            self.coming = revision;
        }
        if page < pages {
            self.pages.insert(page, records.into_iter().map(member).collect());
        }
        if self.pages.len() != usize::from(pages) {
            return Vec::new();
        }
        let now: BTreeMap<ClientNumber, Member> = std::mem::take(&mut self.pages)
            .into_values()
            .flatten()
            .map(|member| (member.client, member))
            .collect();
        let before = std::mem::replace(&mut self.members, now);
        self.revision = revision;
        let left = before.iter().filter(|(client, _)| !self.members.contains_key(client));
        let left = left.map(|(_, member)| (member.clone(), LeaveReason::Lost));
        let joined = self.members.iter().filter(|(client, _)| !before.contains_key(client));
        left.map(|(member, reason)| Event::Left { member, reason })
            .chain(joined.map(|(_, member)| Event::Joined(member.clone())))
            .collect()
    }

    /// The room is out of reach: nobody is known to be there.
    pub(super) fn clear(&mut self, reason: LeaveReason) -> Vec<Event> {
        self.revision = 0;
        self.pages.clear();
        std::mem::take(&mut self.members)
            .into_values()
            .map(|member| Event::Left { member, reason })
            .collect()
    }
}

fn member(record: MemberRecord) -> Member {
    let MemberRecord { client, peer, metadata, schema, rejoined } = record;
    Member { client, peer, metadata: metadata.into_bytes(), schema, rejoined }
}
