//! A store that forgets when its process ends.

use std::collections::{BTreeMap, VecDeque};

use super::{RoomStore, StoreError};
use crate::proto::event::RoomImage;
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

/// Keeps rooms in memory, the newest of them, whatever applications they are of.
#[derive(Debug)]
pub struct MemoryStore {
    config: MemoryStoreConfig,
    rooms: BTreeMap<RoomKey, RoomImage>,
    /// In the order in which they were kept.
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

    fn forget(&mut self, room: &RoomKey) -> bool {
        let image = self.rooms.remove(room);
        if let Some(image) = &image {
            self.bytes -= image.0.len();
            self.ages.retain(|other| other != room);
        }
        image.is_some()
    }
}

impl RoomStore for MemoryStore {
    /// Costs the number of rooms.
    fn keep(&mut self, room: &RoomKey, image: RoomImage) -> Result<(), StoreError> {
        let (limit, size) = (self.config.bytes, image.0.len());
        self.forget(room);
        if size > limit {
            return Err(StoreError::TooLarge { limit, size });
        }
        while (self.rooms.len() >= self.config.rooms || self.bytes + size > limit)
            && let Some(oldest) = self.ages.front().cloned()
        {
            tracing::warn!(room = %oldest.1, "a closed room is forgotten: the store is full");
            self.forget(&oldest);
        }
        self.bytes += size;
        self.ages.push_back(room.clone());
        self.rooms.insert(room.clone(), image);
        Ok(())
    }

    fn fetch(&mut self, room: &RoomKey) -> Result<Option<RoomImage>, StoreError> {
        Ok(self.rooms.get(room).cloned())
    }

    fn remove(&mut self, room: &RoomKey) -> Result<bool, StoreError> {
        Ok(self.forget(room))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::id::{AppId, RoomName};

    fn key(name: &str) -> RoomKey {
        (AppId([1; 8]), RoomName::new(name).unwrap())
    }

    fn image(bytes: usize) -> RoomImage {
        RoomImage(vec![7; bytes].into())
    }

    fn store(rooms: usize, bytes: usize) -> MemoryStore {
        MemoryStore::new(MemoryStoreConfig { rooms, bytes })
    }

    #[test]
    fn a_room_is_kept_until_it_is_removed_or_kept_anew() {
        let mut store = store(10, 100);
        assert_eq!(store.fetch(&key("a")).unwrap(), None);
        store.keep(&key("a"), image(10)).unwrap();
        let other = (AppId([2; 8]), key("a").1);
        assert_eq!(store.fetch(&other).unwrap(), None, "it is another application's");
        assert_eq!(store.fetch(&key("a")).unwrap(), Some(image(10)));
        store.keep(&key("a"), image(20)).unwrap();
        assert_eq!(store.fetch(&key("a")).unwrap(), Some(image(20)));
        assert_eq!((store.len(), store.bytes()), (1, 20));
        assert!(store.remove(&key("a")).unwrap());
        assert!(!store.remove(&key("a")).unwrap());
        assert!(store.is_empty() && store.bytes() == 0);
    }

    #[test]
    fn those_that_have_been_kept_for_longest_make_room() {
        let mut store = store(3, 100);
        for name in ["a", "b", "c"] {
            store.keep(&key(name), image(10)).unwrap();
        }
        store.keep(&key("a"), image(10)).unwrap();
        store.keep(&key("d"), image(10)).unwrap();
        let kept = |store: &mut MemoryStore| {
            let names = ["a", "b", "c", "d", "e"];
            names.map(|name| store.fetch(&key(name)).unwrap().is_some())
        };
        assert_eq!(kept(&mut store), [true, false, true, true, false]);
        store.keep(&key("e"), image(85)).unwrap();
        assert_eq!(kept(&mut store), [false, false, false, true, true]);
        assert_eq!((store.len(), store.bytes()), (2, 95));
        let refused = store.keep(&key("e"), image(101));
        assert!(matches!(refused, Err(StoreError::TooLarge { limit: 100, size: 101 })));
        assert_eq!(kept(&mut store), [false, false, false, true, false]);
    }
}
