//! How long it takes: `STORE_PACE=1 cargo test --release --all-features --test store pace -- --nocapture`.
//! Otherwise nothing is measured: beside other tests it takes longer, and a build for tests checks all of a
//! store when it is opened.

use std::env;
use std::time::{Duration, Instant};

use parlor::store::{DiskStore, DiskStoreConfig, RoomStore};

use super::stage::{Dice, more, room, whole};

#[test]
#[expect(clippy::disallowed_methods, reason = "a test may read the clock")]
fn rooms_are_ready_soon() {
    if env::var_os("STORE_PACE").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rooms");
    let mut store = DiskStore::open(&path, DiskStoreConfig::default()).unwrap();
    let mut dice = Dice::new(1);
    let names: Vec<_> = (0..1000).map(|number| format!("room {number}")).collect();
    for names in names.chunks(50) {
        store.commit(names.iter().map(|name| whole(name, dice.bytes(20_000))).collect()).unwrap();
        store.commit(names.iter().map(|name| more(name, dice.bytes(100))).collect()).unwrap();
    }
    store.commit(vec![whole("large", dice.bytes(8 << 20))]).unwrap();
    for _ in 0..4 {
        let records = (0..500).map(|_| more("large", dice.bytes(1000)));
        store.commit(records.collect()).unwrap();
    }
    // As a process leaves it that is killed: a copy of what is there now.
    std::fs::copy(&path, folder.path().join("killed")).unwrap();
    drop(store);
    for path in [path, folder.path().join("killed")] {
        let start = Instant::now();
        let mut store = DiskStore::open(&path, DiskStoreConfig::default()).unwrap();
        let opened = start.elapsed();
        store.fetch(&room("room 500")).unwrap().unwrap();
        let first = start.elapsed();
        let start = Instant::now();
        let kept = store.fetch(&room("large")).unwrap().unwrap();
        let large = start.elapsed();
        println!("open {opened:?}, first room {first:?}, {} bytes {large:?}", kept.bytes());
        let start = Instant::now();
        let mut slowest = Duration::ZERO;
        for _ in 0..50 {
            let start = Instant::now();
            store.commit(names[..200].iter().map(|name| more(name, [7; 40])).collect()).unwrap();
            slowest = slowest.max(start.elapsed());
        }
        println!("commits of 200 rooms: {:?} each, at most {slowest:?}", start.elapsed() / 50);
        println!("{:?}", store.statistics());
        assert!(first <= Duration::from_millis(100), "first room {first:?}");
        assert!(large <= Duration::from_millis(300), "a large room {large:?}");
    }
}
