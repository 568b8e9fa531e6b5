//! What a fuzz target calls: any bytes as a life of a store on disk, with failures, losses of power and
//! sectors that cannot be read.
#![expect(clippy::panic, reason = "a fuzz target reports by panicking")]

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::mem;
use std::path::Path;

use arbitrary::{Arbitrary, Unstructured};

use super::disk::{FrailMedium, Spoiled};
use super::{DiskStore, DiskStoreConfig, RoomStore, StoreError};
use crate::proto::event::kept::{Keeping, KeptRoom, RoomImage, RoomRecord};
use crate::proto::id::{AppId, RoomKey, RoomName};

/// The most that is done with one store.
const MOST_STEPS: usize = 64;

#[derive(Arbitrary, Debug)]
enum Step {
    /// Rooms by number; with a size, they are whole.
    Commit(Vec<(u8, Option<u16>)>),
    Remove(u8),
    Open,
    /// The power goes, with any of what was written since the last sync.
    PowerLoss(u64),
    /// So many operations later, one fails.
    Fail(u8, bool),
    Verify,
    /// A sector that cannot be read, for a while.
    Spoil(u16),
}

/// A store, its disk, and what it should keep.
struct Life {
    medium: FrailMedium,
    store: Option<DiskStore>,
    kept: BTreeMap<RoomKey, KeptRoom>,
    /// What it may keep instead: of what failed it is not known whether it was done.
    or: Option<BTreeMap<RoomKey, KeptRoom>>,
    is_failing: bool,
}

/// Bytes as a life of a store: what it said is kept is there in the end, whatever failed.
///
/// # Panics
///
/// When it is not.
pub fn store_ops(data: &[u8]) {
    let mut data = Unstructured::new(data);
    let mut life = Life {
        medium: FrailMedium::default(),
        store: None,
        kept: BTreeMap::new(),
        or: None,
        is_failing: false,
    };
    life.open();
    for number in 0..MOST_STEPS {
        if data.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut data) else { break };
        life.step(step, number);
    }
    life.check();
}

impl Life {
    fn open(&mut self) {
        self.store = None;
        let name = Path::new("the disk");
        let config = DiskStoreConfig { cache_bytes: 64 << 10, room_bytes: 1 << 20 };
        let opened = DiskStore::open_on(Box::new(self.medium.clone()), name, config.clone());
        self.store = Some(opened.unwrap_or_else(|error| {
            assert!(self.is_failing, "{error}");
            self.medium.heal();
            self.is_failing = false;
            let opened = DiskStore::open_on(Box::new(self.medium.clone()), name, config);
            opened.unwrap_or_else(|error| panic!("opened after a failure: {error}"))
        }));
    }

    fn step(&mut self, step: Step, number: usize) {
        match step {
            Step::Commit(keepings) => {
                let keepings = keepings.into_iter().take(8);
                self.commit(keepings.map(|(name, size)| keeping(name, size, number)).collect());
            }
            Step::Remove(name) => {
                let mut after = self.kept.clone();
                after.remove(&room(name));
                self.ask(after, |store| store.remove(&room(name)).map(drop));
            }
            Step::Open => self.open(),
            Step::PowerLoss(mut choice) => {
                let image = self.medium.crash().image(|_, _| {
                    choice = choice.rotate_left(7).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    choice & 1 == 0
                });
                // What ends cleanly ends elsewhere.
                drop(self.store.take());
                self.medium = FrailMedium::new(image);
                self.is_failing = false;
                self.open();
            }
            Step::Fail(after, is_full) => {
                let kind = if is_full { ErrorKind::StorageFull } else { ErrorKind::Other };
                self.medium.fail(after.into(), kind);
                self.is_failing = true;
            }
            Step::Verify => {
                let verify = |store: &mut DiskStore| {
                    store.verify(|_| {}).map(|damaged| assert_eq!(damaged, []))
                };
                self.ask(self.kept.clone(), verify);
            }
            Step::Spoil(sector) => self.spoil(sector.into()),
        }
    }

    fn commit(&mut self, keepings: Vec<Keeping>) {
        let mut after = self.kept.clone();
        for keeping in keepings.iter().cloned() {
            match keeping {
                Keeping::Whole { room, image } => {
                    after.insert(room, KeptRoom { image, records: Vec::new() });
                }
                Keeping::More { room, record } => match after.get_mut(&room) {
                    Some(kept) => kept.records.push(record),
                    None => {
                        let refused = self.store.as_mut().map(|store| store.commit(keepings));
                        let absent = matches!(refused, Some(Err(StoreError::Absent { .. })));
                        return self.refused(absent);
                    }
                },
            }
        }
        self.ask(after, |store| store.commit(keepings));
    }

    /// While a sector cannot be read, rooms are what they were, or are named; and then all are.
    fn spoil(&mut self, sector: u64) {
        if self.is_failing {
            return;
        }
        let sectors = self.medium.bytes().len() as u64 / 512;
        let sector = sector % sectors.max(1);
        self.medium.spoil(sector..sector + 1, Spoiled::ForGood);
        self.open();
        for (room, kept) in &self.kept {
            match self.store.as_mut().map(|store| store.fetch(room)) {
                Some(Ok(found)) => assert_eq!(found.as_ref(), Some(kept)),
                Some(Err(StoreError::Damaged { .. })) => {}
                told => panic!("sector {sector}: {told:?}"),
            }
        }
        self.medium.unspoil();
        self.check();
    }

    /// Asks for something after which `after` is kept.
    fn ask(
        &mut self,
        after: BTreeMap<RoomKey, KeptRoom>,
        ask: impl FnOnce(&mut DiskStore) -> Result<(), StoreError>,
    ) {
        match self.store.as_mut().map(ask) {
            Some(Ok(())) => self.kept = after,
            Some(Err(StoreError::Failed { why })) => {
                assert!(self.is_failing, "{why}");
                self.or = Some(after);
                self.refused(false);
            }
            refused => panic!("{refused:?}"),
        }
    }

    /// Something was not done: a store that has failed says so whatever it is asked, until it is opened.
    fn refused(&mut self, is_well: bool) {
        if is_well {
            return;
        }
        assert!(self.is_failing);
        let again = self.store.as_mut().map(|store| store.fetch(&room(0)));
        assert!(matches!(again, Some(Err(StoreError::Failed { .. }))), "{again:?}");
        self.medium.heal();
        self.is_failing = false;
        self.open();
        self.check();
    }

    /// Whether it keeps what it should.
    fn check(&mut self) {
        if mem::take(&mut self.is_failing) {
            self.medium.heal();
            self.open();
        }
        let store = self.store.as_mut();
        let found: BTreeMap<_, _> = store
            .into_iter()
            .flat_map(|store| {
                (0..8).map(|name| (room(name), store.fetch(&room(name)))).collect::<Vec<_>>()
            })
            .filter_map(|(room, kept)| match kept {
                Ok(kept) => Some((room, kept?)),
                Err(error) => panic!("{error}"),
            })
            .collect();
        assert!(found == self.kept || self.or.as_ref() == Some(&found), "not what was kept");
        self.kept = found;
        self.or = None;
    }
}

fn room(name: u8) -> RoomKey {
    let name = RoomName::new(&format!("room {}", name % 8));
    (AppId([1; 8]), name.unwrap_or_else(|error| panic!("{error}")))
}

fn keeping(name: u8, size: Option<u16>, number: usize) -> Keeping {
    let byte = u8::try_from(number % 251).unwrap_or_default();
    match size {
        Some(size) => Keeping::Whole {
            room: room(name),
            image: RoomImage(vec![byte; usize::from(size)].into()),
        },
        None => Keeping::More {
            room: room(name),
            record: RoomRecord(vec![byte; number + usize::from(name)].into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::id::digest;

    #[test]
    fn lives_of_a_store_keep_what_it_said_is_kept() {
        for life in 0..60_u32 {
            let parts =
                (0..40_u32).map(|part| digest("life", &[&life.to_le_bytes(), &part.to_le_bytes()]));
            store_ops(&parts.flatten().collect::<Vec<u8>>());
        }
    }
}
