//! Who has a place in a room: those who are there, in the order in which they came, and those for whom
//! a place is held.

use std::collections::BTreeMap;

use crate::proto::id::PeerId;
use crate::proto::time::Time;

/// The places of one room.
#[derive(Debug)]
pub(super) struct Seats {
    /// Who is there: the lower the number, the longer.
    taken: BTreeMap<PeerId, u64>,
    held: BTreeMap<PeerId, Held>,
    came: u64,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    until: Time,
    /// The number of somebody who was there, and may come back to it.
    came: Option<u64>,
}

impl Seats {
    pub(super) const fn new() -> Self {
        Self { taken: BTreeMap::new(), held: BTreeMap::new(), came: 0 }
    }

    /// How many places are not free.
    pub(super) fn count(&self) -> usize {
        self.taken.len() + self.held.len()
    }

    /// Whether there is a place for a peer among so many.
    pub(super) fn has_place(&self, peer: PeerId, capacity: u32) -> bool {
        self.has(peer) || self.count() < capacity as usize
    }

    pub(super) fn is_there(&self, peer: PeerId) -> bool {
        self.taken.contains_key(&peer)
    }

    /// Whether a place is a peer's.
    pub(super) fn has(&self, peer: PeerId) -> bool {
        self.is_there(peer) || self.held.contains_key(&peer)
    }

    /// Whether a peer is there, or was until just now.
    pub(super) fn is_back(&self, peer: PeerId) -> bool {
        self.is_there(peer) || self.held.get(&peer).is_some_and(|held| held.came.is_some())
    }

    /// Until when a place is held for a peer.
    pub(super) fn held_until(&self, peer: PeerId) -> Option<Time> {
        self.held.get(&peer).map(|held| held.until)
    }

    /// Whether anybody is awaited.
    pub(super) fn is_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// Holds a place for somebody who was not there yet.
    pub(super) fn hold(&mut self, peer: PeerId, until: Time) {
        self.held.insert(peer, Held { until, came: None });
    }

    pub(super) fn enter(&mut self, peer: PeerId) {
        let came = self.held.remove(&peer).and_then(|held| held.came);
        let next = &mut self.came;
        self.taken.entry(peer).or_insert_with(|| {
            came.unwrap_or_else(|| {
                *next += 1;
                *next
            })
        });
    }

    /// A peer is gone. Its place is held until a time, if it had one and may come back.
    pub(super) fn part(&mut self, peer: PeerId, until: Option<Time>) {
        let came = self.taken.remove(&peer);
        let Some(until) = until else {
            self.held.remove(&peer);
            return;
        };
        if came.is_some() {
            self.held.insert(peer, Held { until, came });
        }
    }

    /// Lets the places go of those who did not come in time.
    pub(super) fn expire(&mut self, now: Time) {
        self.held.retain(|_, held| held.until > now);
    }

    /// When the next place is let go.
    pub(super) fn due(&self) -> Option<Time> {
        self.held.values().map(|held| held.until).min()
    }

    /// Who is there longest.
    pub(super) fn oldest(&self) -> Option<PeerId> {
        self.taken.iter().min_by_key(|(_, came)| **came).map(|(peer, _)| *peer)
    }

    /// Everybody who has a place.
    pub(super) fn all(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.taken.keys().chain(self.held.keys()).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn peer(number: u8) -> PeerId {
        PeerId::new([number; 32])
    }

    #[test]
    fn who_comes_back_in_time_is_there_as_long_as_before() {
        let mut seats = Seats::new();
        seats.enter(peer(1));
        seats.enter(peer(2));
        let until = Time::ZERO + Duration::from_secs(1);
        seats.part(peer(1), Some(until));
        assert_eq!((seats.oldest(), seats.count()), (Some(peer(2)), 2));
        seats.enter(peer(1));
        assert_eq!(seats.oldest(), Some(peer(1)));
        seats.part(peer(1), Some(until));
        seats.expire(until);
        seats.enter(peer(1));
        assert_eq!(seats.oldest(), Some(peer(2)), "it came too late");
    }

    #[test]
    fn a_held_place_is_for_one_peer_alone() {
        let mut seats = Seats::new();
        let until = Time::ZERO + Duration::from_secs(1);
        seats.hold(peer(1), until);
        assert!(seats.has_place(peer(1), 1) && !seats.has_place(peer(2), 1));
        assert!(!seats.is_back(peer(1)), "it was never there");
        assert_eq!(seats.due(), Some(until));
        seats.expire(until);
        assert!(seats.has_place(peer(2), 1) && !seats.is_held());
        seats.enter(peer(2));
        seats.part(peer(2), None);
        assert_eq!(seats.count(), 0);
    }
}
