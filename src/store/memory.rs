//! A store that forgets when its process ends.

use std::collections::{BTreeMap, VecDeque};

use super::{RoomStore, StoreError};
use crate::proto::event::kept::{Keeping, KeptRoom};
use crate::proto::id::RoomKey;

/// What a [`MemoryStore`] holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryStoreConfig {
    /// The most rooms. Of more, the one that has been kept for longest goes. 10,000.
    pub rooms: usize,
    /// The most bytes of all of them. Of more, those go that have been kept for longest. 64 MiB.
    pub bytes: usize,
}

impl Default for MemoryStoreConfig {
    fn default() -> Self {
        Self { rooms: 10_000, bytes: 64 << 20 }
    }
}

/// Keeps rooms in memory, the newest of them, whatever applications they are of. Nothing of it outlives
/// its process.
#[derive(Debug)]
pub struct MemoryStore {
    config: MemoryStoreConfig,
    rooms: BTreeMap<RoomKey, KeptRoom>,
    /// In the order in which they were last kept whole.
    ages: VecDeque<RoomKey>,
    bytes: usize,
}

impl MemoryStore {
    /// A store that keeps nothing yet.
    #[must_use]
    pub const fn new(config: MemoryStoreConfig) -> Self {
        Self { config, rooms: BTreeMap::new(), ages: VecDeque::new(), bytes: 0 }
    }

    /// How many rooms it keeps.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rooms.len()
    }

    /// Whether it keeps none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    /// How many bytes it keeps.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether all of `keepings` can be kept: what would be refused is said before any is.
    fn check(&self, keepings: &[Keeping]) -> Result<(), StoreError> {
        let mut sizes = BTreeMap::new();
        for keeping in keepings {
            let room = keeping.room();
            let before =
                sizes.get(room).copied().or_else(|| self.rooms.get(room).map(KeptRoom::bytes));
            let size = match (keeping, before) {
                (Keeping::Whole { image, .. }, _) => image.0.len(),
                (Keeping::More { record, .. }, Some(before)) => before + record.0.len(),
                (Keeping::More { .. }, None) => {
                    return Err(StoreError::Absent { room: room.clone() });
                }
            };
            let limit = self.config.bytes;
            if size > limit {
                return Err(StoreError::TooLarge { room: room.clone(), limit, size });
            }
            sizes.insert(room, size);
        }
        Ok(())
    }

    fn keep(&mut self, keeping: Keeping) {
        match keeping {
            Keeping::Whole { room, image } => {
                self.forget(&room);
                self.bytes += image.0.len();
                self.ages.push_back(room.clone());
                self.rooms.insert(room, KeptRoom { image, records: Vec::new() });
            }
            Keeping::More { room, record } => {
                if let Some(kept) = self.rooms.get_mut(&room) {
                    self.bytes += record.0.len();
                    kept.records.push(record);
                }
            }
        }
    }

    fn forget(&mut self, room: &RoomKey) -> bool {
        let kept = self.rooms.remove(room);
        if let Some(kept) = &kept {
            self.bytes -= kept.bytes();
            self.ages.retain(|other| other != room);
        }
        kept.is_some()
    }
}

impl RoomStore for MemoryStore {
    /// Costs the number of rooms for each that is kept whole. Rooms that have to make room are forgotten
    /// when all of the commit is there, and among them may be one of it.
    fn commit(&mut self, keepings: Vec<Keeping>) -> Result<(), StoreError> {
        self.check(&keepings)?;
        for keeping in keepings {
            self.keep(keeping);
        }
        while (self.rooms.len() > self.config.rooms || self.bytes > self.config.bytes)
            && let Some(oldest) = self.ages.front().cloned()
        {
            tracing::warn!(room = %oldest.1, "a room is forgotten: the store is full");
            self.forget(&oldest);
        }
        Ok(())
    }

    fn fetch(&mut self, room: &RoomKey) -> Result<Option<KeptRoom>, StoreError> {
        Ok(self.rooms.get(room).cloned())
    }

    fn remove(&mut self, room: &RoomKey) -> Result<bool, StoreError> {
        Ok(self.forget(room))
    }

    fn is_durable(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::event::kept::{RoomImage, RoomRecord};
    use crate::proto::id::{AppId, RoomName};

    fn key(name: &str) -> RoomKey {
        (AppId([1; 8]), RoomName::new(name).unwrap())
    }

    fn whole(name: &str, bytes: usize) -> Keeping {
        Keeping::Whole { room: key(name), image: RoomImage(vec![7; bytes].into()) }
    }

    fn more(name: &str, bytes: usize) -> Keeping {
        Keeping::More { room: key(name), record: RoomRecord(vec![8; bytes].into()) }
    }

    fn store(rooms: usize, bytes: usize) -> MemoryStore {
        MemoryStore::new(MemoryStoreConfig { rooms, bytes })
    }

    #[test]
    fn those_that_have_been_kept_for_longest_make_room() {
        let mut store = store(3, 100);
        store.commit(["a", "b", "c"].map(|name| whole(name, 10)).into()).unwrap();
        store.commit(vec![whole("a", 10), whole("d", 10)]).unwrap();
        let kept = |store: &mut MemoryStore| {
            let names = ["a", "b", "c", "d", "e"];
            names.map(|name| store.fetch(&key(name)).unwrap().is_some())
        };
        assert_eq!(kept(&mut store), [true, false, true, true, false]);
        store.commit(vec![whole("e", 85)]).unwrap();
        assert_eq!(kept(&mut store), [false, false, false, true, true]);
        assert_eq!((store.len(), store.bytes()), (2, 95));
        store.commit(vec![more("e", 10)]).unwrap();
        assert_eq!(kept(&mut store), [false, false, false, false, true]);
        assert_eq!((store.len(), store.bytes()), (1, 95));
        let refused = store.commit(vec![whole("d", 1), more("e", 6)]);
        let room = key("e");
        assert_eq!(refused, Err(StoreError::TooLarge { room, limit: 100, size: 101 }));
        assert_eq!(kept(&mut store), [false, false, false, false, true], "nothing of it was kept");
        assert!(store.remove(&key("e")).unwrap());
        assert!(store.is_empty() && store.bytes() == 0);
    }
}
