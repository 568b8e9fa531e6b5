//! Rooms of few words, stores on disks in memory, and what was committed to them.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;

use parlor::proto::event::kept::{Keeping, KeptRoom, RoomImage, RoomRecord};
use parlor::proto::id::{AppId, RoomKey, RoomName};
use parlor::store::disk::{FrailMedium, OpenError};
use parlor::store::{DiskStore, DiskStoreConfig, RoomStore, StoreError};

/// What is kept, as it should be.
pub(crate) type Kept = BTreeMap<RoomKey, KeptRoom>;

pub(crate) fn is_full() -> bool {
    env::var_os("PARLOR_FULL").is_some()
}

pub(crate) fn seed() -> u64 {
    env::var("STORE_SEED").map_or(1, |seed| seed.parse().unwrap())
}

/// Numbers from a seed: splitmix64.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % limit as u64).unwrap()
    }

    /// So many bytes, of which no two parts are alike.
    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| u8::try_from(self.below(256)).unwrap()).collect()
    }
}

pub(crate) fn room(name: &str) -> RoomKey {
    (AppId([1; 8]), RoomName::new(name).unwrap())
}

pub(crate) fn whole(name: &str, image: impl Into<Vec<u8>>) -> Keeping {
    Keeping::Whole { room: room(name), image: RoomImage(image.into().into()) }
}

pub(crate) fn more(name: &str, record: impl Into<Vec<u8>>) -> Keeping {
    Keeping::More { room: room(name), record: RoomRecord(record.into().into()) }
}

/// Keeps it in `kept`, as a store should.
pub(crate) fn keep(kept: &mut Kept, keepings: &[Keeping]) {
    for keeping in keepings.iter().cloned() {
        match keeping {
            Keeping::Whole { room, image } => {
                kept.insert(room, KeptRoom { image, records: Vec::new() });
            }
            Keeping::More { room, record } => kept.get_mut(&room).unwrap().records.push(record),
        }
    }
}

/// All that a store keeps of rooms `a` to `h`.
pub(crate) fn kept(store: &mut dyn RoomStore) -> Kept {
    let rooms = ["a", "b", "c", "d", "e", "f", "g", "h"].map(room);
    let fetched = rooms.into_iter().map(|room| (store.fetch(&room).unwrap(), room));
    fetched.filter_map(|(kept, room)| Some((room, kept?))).collect()
}

/// A cache that does not hold what the tests write.
pub(crate) fn config() -> DiskStoreConfig {
    DiskStoreConfig { cache_bytes: 256 << 10, room_bytes: 1 << 20 }
}

pub(crate) fn open(medium: &FrailMedium) -> Result<DiskStore, OpenError> {
    DiskStore::open_on(Box::new(medium.clone()), Path::new("the disk"), config())
}

/// A disk with a store that keeps nothing.
pub(crate) fn fresh() -> FrailMedium {
    let medium = FrailMedium::default();
    drop(open(&medium).unwrap());
    medium
}

/// A commit of a few rooms, as relays make them: mostly something that came, at times a whole room.
/// Only what can be kept is in it.
pub(crate) fn commit(kept: &Kept, dice: &mut Dice, largest: usize) -> Vec<Keeping> {
    let mut after = kept.clone();
    let mut keepings = Vec::new();
    for _ in 0..1 + dice.below(4) {
        let name = ["a", "b", "c", "d", "e", "f", "g", "h"][dice.below(8)];
        let keeping = if dice.below(5) == 0 || !after.contains_key(&room(name)) {
            let len = dice.below(largest);
            whole(name, dice.bytes(len))
        } else {
            let len = dice.below(200);
            more(name, dice.bytes(len))
        };
        keep(&mut after, std::slice::from_ref(&keeping));
        keepings.push(keeping);
    }
    keepings
}

/// A store with a room of each size, and what came to each, at most so many times; and its file.
pub(crate) fn filled(dice: &mut Dice, sizes: [usize; 8], times: usize) -> (Vec<u8>, Kept) {
    let medium = fresh();
    let mut store = open(&medium).unwrap();
    let mut kept = Kept::new();
    for (name, size) in ["a", "b", "c", "d", "e", "f", "g", "h"].into_iter().zip(sizes) {
        let mut keepings = vec![whole(name, dice.bytes(size))];
        for _ in 0..dice.below(times) {
            let len = dice.below(300);
            keepings.push(more(name, dice.bytes(len)));
        }
        keepings.push(more(name, dice.bytes(6_000)));
        keep(&mut kept, &keepings);
        store.commit(keepings).unwrap();
    }
    drop(store);
    (medium.bytes(), kept)
}

/// The rooms that are damaged, and what is said of each; the others are what they were.
pub(crate) fn named(store: &mut DiskStore, kept: &Kept, what: &str) -> Vec<(RoomKey, String)> {
    let mut named = Vec::new();
    for (room, is) in kept {
        match store.fetch(room) {
            Ok(found) => assert_eq!(found.as_ref(), Some(is), "{what}: {room:?}"),
            Err(StoreError::Damaged { room: of, why }) => {
                assert_eq!(of, *room);
                named.push((of, why));
            }
            Err(error) => panic!("{what}: {error}"),
        }
    }
    named
}
