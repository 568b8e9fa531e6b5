//! Disks that fail, fill up, lie or cannot be written to.

use std::fs;
use std::io::ErrorKind;

use parlor::store::disk::{FrailMedium, OpenError};
use parlor::store::{DiskStore, RoomStore, StoreError};

use super::stage::{self, Dice, Kept, more, room, whole};

/// Plays commits on a disk whose operation `after` fails. Returns whether one did.
fn survives(image: &[u8], before: &Kept, after: u64, kind: ErrorKind) -> bool {
    let medium = FrailMedium::new(image.to_vec());
    medium.fail(after, kind);
    let mut dice = Dice::new(after);
    let mut kept = before.clone();
    let mut next = None;
    if let Ok(mut store) = stage::open(&medium) {
        for _ in 0..4 {
            let keepings = stage::commit(&kept, &mut dice, 20_000);
            let mut then = kept.clone();
            stage::keep(&mut then, &keepings);
            match store.commit(keepings) {
                Ok(()) => kept = then,
                Err(StoreError::Failed { .. }) => {
                    next = Some(then);
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
        if next.is_some() {
            for _ in 0..2 {
                let again = store.commit(vec![whole("a", "more")]);
                assert!(matches!(again, Err(StoreError::Failed { .. })), "it claims nothing");
                assert!(matches!(store.fetch(&room("a")), Err(StoreError::Failed { .. })));
                assert!(matches!(store.remove(&room("a")), Err(StoreError::Failed { .. })));
            }
        }
    }
    let found = next.is_some() || medium.operations() > after;
    // As the process would find it again, and as it is after a loss of power.
    for image in [medium.bytes(), medium.crash().image(|_, _| false)] {
        let mut store = stage::open(&FrailMedium::new(image)).unwrap();
        let is = stage::kept(&mut store);
        assert!(is == kept || Some(&is) == next.as_ref(), "operation {after}, {kind:?}");
    }
    found
}

#[test]
fn whichever_operation_fails_nothing_is_claimed_and_nothing_lost() {
    let medium = stage::fresh();
    let mut kept = Kept::new();
    let mut dice = Dice::new(stage::seed());
    let mut store = stage::open(&medium).unwrap();
    for _ in 0..6 {
        let keepings = stage::commit(&kept, &mut dice, 20_000);
        stage::keep(&mut kept, &keepings);
        store.commit(keepings).unwrap();
    }
    drop(store);
    let image = medium.bytes();
    let kinds = [ErrorKind::Other, ErrorKind::StorageFull];
    let step = if stage::is_full() { 1 } else { 3 };
    let mut after = 0;
    while survives(&image, &kept, after, kinds[usize::try_from(after % 2).unwrap()]) {
        after += step;
    }
    assert!(after > 100, "{after} operations");
}

#[test]
fn a_full_disk_costs_nothing_of_what_was_committed() {
    let medium = stage::fresh();
    medium.limit(3 << 20);
    let mut store = stage::open(&medium).unwrap();
    let mut kept = Kept::new();
    let mut dice = Dice::new(stage::seed());
    let failed = loop {
        let keepings = stage::commit(&kept, &mut dice, 100_000);
        match store.commit(keepings.clone()) {
            Ok(()) => stage::keep(&mut kept, &keepings),
            Err(error) => break error,
        }
    };
    assert!(matches!(failed, StoreError::Failed { .. }));
    drop(store);
    let mut store = stage::open(&medium).unwrap();
    assert_eq!(stage::kept(&mut store), kept);
    medium.limit(64 << 20);
    store.commit(vec![whole("a", vec![1; 200_000])]).unwrap();
}

#[test]
fn a_disk_that_writes_something_else_is_found_before_anything_goes() {
    let medium = stage::fresh();
    let mut store = stage::open(&medium).unwrap();
    store.commit(vec![whole("a", vec![1; 30_000]), more("a", "x")]).unwrap();
    let kept = stage::kept(&mut store);
    medium.lie();
    let told = store.commit(vec![whole("a", vec![2; 30_000])]);
    assert!(matches!(told, Err(StoreError::Failed { .. })), "{told:?}");
    assert!(matches!(store.fetch(&room("a")), Err(StoreError::Failed { .. })));
    drop(store);
    assert_eq!(kept.len(), 1);
}

#[test]
fn why_a_store_is_not_opened_is_said() {
    for (kind, is_it) in [
        (
            ErrorKind::ReadOnlyFilesystem,
            (|error| matches!(error, OpenError::ReadOnly { .. })) as fn(_) -> bool,
        ),
        (ErrorKind::PermissionDenied, |error| matches!(error, OpenError::ReadOnly { .. })),
        (ErrorKind::StorageFull, |error| matches!(error, OpenError::NoSpace { .. })),
        (ErrorKind::Other, |error| matches!(error, OpenError::Failed { .. })),
    ] {
        let medium = stage::fresh();
        let mut failures = 0;
        for after in 0..200 {
            medium.fail(after, kind);
            match stage::open(&medium) {
                Ok(_) => {}
                Err(error) => {
                    let text = error.to_string();
                    assert!(is_it(error), "{kind:?} after {after}: {text}");
                    failures += 1;
                }
            }
            medium.heal();
        }
        // What is read is there twice; what is written is not.
        assert!(failures > 3, "{kind:?}: {failures}");
    }
    let foreign = FrailMedium::new(b"SQLite format 3".to_vec());
    assert!(matches!(stage::open(&foreign), Err(OpenError::NotAStore { .. })));
    let mut cut = stage::fresh().bytes();
    cut.truncate(20_000);
    let cut = stage::open(&FrailMedium::new(cut));
    assert!(matches!(cut, Err(OpenError::Damaged { .. })), "{:?}", cut.err());
}

#[test]
fn one_process_has_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rooms");
    // What is left by who was killed while making one.
    fs::write(folder.path().join("rooms.unfinished"), vec![7; 10_000]).unwrap();
    let mut store = DiskStore::open(&path, stage::config()).unwrap();
    store.commit(vec![whole("a", "one")]).unwrap();
    let other = DiskStore::open(&path, stage::config());
    assert!(matches!(other, Err(OpenError::InUse { .. })));
    drop(store);
    let mut store = DiskStore::open(&path, stage::config()).unwrap();
    assert_eq!(store.fetch(&room("a")).unwrap().unwrap().image.0, "one");
    let nowhere = DiskStore::open(&folder.path().join("no/rooms"), stage::config());
    assert!(matches!(nowhere, Err(OpenError::Failed { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
}
