//! What an operator asks of a store.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parlor::store::disk::{BackupError, ExportError, FrailMedium, Medium, read_export};
use parlor::store::{DiskStore, DiskStoreConfig, RoomStore, StoreError};

use super::stage::{self, Dice, Kept, more, room, whole};

#[test]
fn a_backup_is_the_store_as_it_was_while_the_store_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = DiskStore::open(&folder.path().join("rooms"), stage::config()).unwrap();
    let mut dice = Dice::new(stage::seed());
    let mut kept = Kept::new();
    for _ in 0..10 {
        let keepings = stage::commit(&kept, &mut dice, 60_000);
        stage::keep(&mut kept, &keepings);
        store.commit(keepings).unwrap();
    }
    let snapshot = store.snapshot().unwrap();
    let gone = kept.keys().next().cloned().unwrap();
    store.remove(&gone).unwrap();
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        store.commit(vec![whole(name, "later"), more(name, "still")]).unwrap();
        store.commit(vec![whole(name, "again")]).unwrap();
    }
    let path = folder.path().join("copy");
    let mut told = Vec::new();
    assert!(snapshot.back_up(&path, |progress| told.push(progress)).unwrap().is_empty());
    let last = told.last().unwrap();
    assert_eq!((last.rooms, last.bytes), (kept.len(), last.of_bytes));
    let mut copy = DiskStore::open(&path, stage::config()).unwrap();
    assert_eq!(stage::kept(&mut copy), kept);
    assert!(matches!(snapshot.back_up(&path, |_| {}), Err(BackupError::Exists)));
    assert_eq!(store.fetch(&room("a")).unwrap().unwrap().image.0, "again");
}

#[test]
fn a_backup_that_ends_early_has_no_name() {
    let folder = tempfile::tempdir().unwrap();
    let medium = stage::fresh();
    let mut dice = Dice::new(stage::seed());
    let mut kept = Kept::new();
    let mut store = stage::open(&medium).unwrap();
    for name in ["a", "b", "c", "d", "e"] {
        let keepings = vec![whole(name, dice.bytes(300_000)), more(name, "x")];
        stage::keep(&mut kept, &keepings);
        store.commit(keepings).unwrap();
    }
    let path = folder.path().join("copy");
    let unfinished = folder.path().join("copy.unfinished");
    let snapshot = store.snapshot().unwrap();
    // It is killed, as far as that goes in one process; the next one takes its place.
    let killed = catch_unwind(AssertUnwindSafe(|| {
        snapshot.back_up(&path, |progress| assert!(progress.rooms < 3, "killed"))
    }));
    assert!(killed.is_err() && !path.exists() && unfinished.exists());
    let told = snapshot.back_up(&path, |_| assert!(!path.exists() && unfinished.exists()));
    assert!(told.unwrap().is_empty() && path.exists() && !unfinished.exists());
    assert_eq!(stage::kept(&mut DiskStore::open(&path, stage::config()).unwrap()), kept);
    // What it is made of fails.
    let path = folder.path().join("other");
    let told = snapshot.back_up(&path, |progress| {
        if progress.rooms == 3 {
            medium.pull();
        }
    });
    assert!(matches!(told, Err(BackupError::Store(StoreError::Failed { .. }))), "{told:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left of it");
}

/// A disk that writes one bit of one write wrong, and says that all is well.
#[derive(Debug)]
struct Lying {
    disk: FrailMedium,
    /// After so many writes.
    after: usize,
}

impl Medium for Lying {
    fn size(&mut self) -> io::Result<u64> {
        self.disk.size()
    }

    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.read_at(offset, out)
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut data = data.to_vec();
        if self.after == 0 {
            let at = data.len() / 3;
            data[at] ^= 1;
        }
        self.after = self.after.wrapping_sub(1);
        self.disk.write_at(offset, &data)
    }

    fn cut(&mut self, size: u64) -> io::Result<()> {
        self.disk.cut(size)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.sync()
    }
}

#[test]
fn a_backup_is_read_again_before_it_counts() {
    let mut store = stage::open(&stage::fresh()).unwrap();
    let mut dice = Dice::new(stage::seed());
    let mut kept = Kept::new();
    for (name, size) in [("a", 100), ("b", 5_000), ("c", 50_000), ("d", 100_000)] {
        let keepings = vec![whole(name, dice.bytes(size)), more(name, dice.bytes(3_000))];
        stage::keep(&mut kept, &keepings);
        store.commit(keepings).unwrap();
    }
    let snapshot = store.snapshot().unwrap();
    let name = Path::new("the copy");
    let mut found = 0;
    for after in 0..200 {
        let disk = FrailMedium::default();
        let medium = Box::new(Lying { disk: disk.clone(), after });
        match snapshot.back_up_on(medium, name, |_| {}) {
            Ok(without) => {
                assert_eq!(without, []);
                let mut copy = stage::open(&disk).unwrap();
                assert_eq!(stage::kept(&mut copy), kept, "write {after}");
                assert_eq!(copy.verify(|_| {}).unwrap(), [], "write {after}");
            }
            Err(_) => found += 1,
        }
    }
    assert!(found > 20, "{found}");
}

#[test]
fn an_exported_room_can_be_imported_anywhere_and_nothing_else_can() {
    let mut store = stage::open(&stage::fresh()).unwrap();
    store.commit(vec![whole("a", vec![7; 9_000]), more("a", "x"), more("a", "")]).unwrap();
    assert_eq!(store.export(&room("b")).unwrap(), None);
    let bytes = store.export(&room("a")).unwrap().unwrap();
    let (of, kept) = read_export(&bytes).unwrap();
    assert_eq!((&of, Some(&kept)), (&room("a"), store.fetch(&room("a")).unwrap().as_ref()));
    let mut other = stage::open(&stage::fresh()).unwrap();
    other.import(&room("c"), &bytes).unwrap();
    other.import(&room("c"), &bytes).unwrap();
    assert_eq!(other.fetch(&room("c")).unwrap(), Some(kept));
    for bit in (0..bytes.len() * 8).step_by(13) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(read_export(&flipped).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len().min(300) {
        assert!(other.import(&room("c"), &bytes[..len]).is_err(), "{len} bytes");
    }
    assert_eq!(read_export(b"PK"), Err(ExportError::Foreign));
    store.commit(vec![whole("a", vec![7; 1 << 20])]).unwrap();
    let large = store.export(&room("a")).unwrap().unwrap();
    let small = DiskStoreConfig { room_bytes: 1000, ..stage::config() };
    let medium = stage::fresh();
    let name = Path::new("small");
    let mut small = DiskStore::open_on(Box::new(medium), name, small).unwrap();
    let refused = small.import(&room("a"), &large);
    assert!(matches!(refused, Err(ExportError::Store(StoreError::TooLarge { .. }))));
    assert_eq!(small.fetch(&room("a")).unwrap(), None);
}

#[test]
fn what_is_not_kept_any_more_gives_its_place_back() {
    let medium = stage::fresh();
    let mut store = stage::open(&medium).unwrap();
    let mut dice = Dice::new(stage::seed());
    for round in 0..40 {
        store.commit(vec![whole("a", dice.bytes(100_000)), more("a", "x")]).unwrap();
        if round % 10 == 9 {
            drop(store);
            store = stage::open(&medium).unwrap();
        }
    }
    let size = medium.bytes().len();
    assert!(size < 3_000_000, "{size} bytes for 40 times 100,000 in the same place");
}

#[test]
fn what_commits_cost_is_counted() {
    let medium = stage::fresh();
    let mut store = stage::open(&medium).unwrap();
    store.commit(vec![whole("a", "one")]).unwrap();
    let before = store.statistics();
    for _ in 0..10 {
        store.commit(vec![more("a", vec![7; 100]), more("a", vec![8; 100])]).unwrap();
    }
    let after = store.statistics();
    assert_eq!(after.commits - before.commits, 10);
    let syncs = after.medium.syncs - before.medium.syncs;
    assert!((20..=22).contains(&syncs), "two for each commit, and when the file grows: {syncs}");
    assert!(after.medium.written - before.medium.written < 10 * 200_000);
    assert_eq!((after.medium.healed, after.medium.damaged), (0, 0));
}
