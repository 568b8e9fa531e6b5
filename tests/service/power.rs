//! A relay whose store is on a disk that loses power: at any write of a commit, with any of the sectors
//! written that were not synced.

use std::path::Path;

use parlor::proto::event::kept::{Keeping, KeptRoom};
use parlor::proto::id::RoomKey;
use parlor::store::disk::FrailMedium;
use parlor::store::{DiskStore, DiskStoreConfig, RoomStore};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::durable::lose_power_often;
use super::stage::{Disk, seeds};

struct Plate {
    medium: FrailMedium,
    store: DiskStore,
    rng: ChaCha12Rng,
}

fn open(medium: &FrailMedium) -> DiskStore {
    let medium = Box::new(medium.clone());
    DiskStore::open_on(medium, Path::new("plate"), DiskStoreConfig::default()).unwrap()
}

impl Plate {
    fn new(seed: u64) -> Self {
        let medium = FrailMedium::new(Vec::new());
        let store = open(&medium);
        Self { medium, store, rng: ChaCha12Rng::seed_from_u64(seed) }
    }
}

impl Disk for Plate {
    fn commit(&mut self, keepings: Vec<Keeping>) {
        self.store.commit(keepings).unwrap();
    }

    fn fetch(&mut self, room: &RoomKey) -> Option<KeptRoom> {
        self.store.fetch(room).unwrap()
    }

    fn lose_power(&mut self, begun: Option<Vec<Keeping>>) {
        // What the last commit did behind its last sync may be lost as well.
        let mut crash = self.medium.crash();
        if let Some(keepings) = begun {
            self.medium.record();
            self.store.commit(keepings).unwrap();
            let history = self.medium.history();
            let done = self.rng.next_u32() as usize % (history.len() + 1);
            history.into_iter().take(done).for_each(|operation| crash.push(operation));
        }
        let image = crash.image(|_, _| self.rng.next_u32().is_multiple_of(2));
        self.medium = FrailMedium::new(image);
        self.store = open(&self.medium);
    }
}

#[test]
fn nothing_is_lost_that_a_store_on_a_disk_was_said_to_keep() {
    let mut forgotten = 0;
    for seed in seeds(12, 1_000) {
        let [_, was_lost] = lose_power_often(seed, Some(Box::new(Plate::new(seed))));
        forgotten += u32::from(was_lost);
    }
    if std::env::var_os("SIM_SEED").is_none() {
        assert!(forgotten > 0, "nothing was tried");
    }
}
