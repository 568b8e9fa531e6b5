//! What an operator asks of a store.

use std::path::Path;

use parlor::store::disk::{BackupError, ExportError, read_export};
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
