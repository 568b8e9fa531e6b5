//! What every store promises, of each of them.

use std::sync::{Arc, Mutex};

use parlor::proto::event::kept::{KeptRoom, RoomImage, RoomRecord, Unfetched};
use parlor::proto::id::AppId;
use parlor::store::{MemoryStore, MemoryStoreConfig, RoomStore, StoreError};

use super::stage::{self, more, room, whole};

/// Each kind of store, empty, with place for a room of 1 MiB.
fn stores() -> Vec<Box<dyn RoomStore>> {
    let memory = MemoryStore::new(MemoryStoreConfig { rooms: 100, bytes: 1 << 20 });
    let shared = MemoryStore::new(MemoryStoreConfig { rooms: 100, bytes: 1 << 20 });
    let disk = stage::open(&stage::fresh()).unwrap();
    vec![Box::new(memory), Box::new(Arc::new(Mutex::new(shared))), Box::new(disk)]
}

fn of(image: &str, records: &[&str]) -> Option<KeptRoom> {
    let bytes = |text: &str| text.as_bytes().to_vec().into();
    let records = records.iter().map(|record| RoomRecord(bytes(record))).collect();
    Some(KeptRoom { image: RoomImage(bytes(image)), records })
}

#[test]
fn a_room_is_what_it_was_and_what_came_since_in_order() {
    for mut store in stores() {
        assert_eq!(store.fetch(&room("a")).unwrap(), None);
        store.commit(vec![whole("a", "one"), more("a", "x")]).unwrap();
        store.commit(vec![more("a", "y"), whole("b", ""), more("a", ""), more("a", "z")]).unwrap();
        assert_eq!(store.fetch(&room("a")).unwrap(), of("one", &["x", "y", "", "z"]));
        assert_eq!(store.fetch(&room("b")).unwrap(), of("", &[]));
        let others = (AppId([2; 8]), room("a").1);
        assert_eq!(store.fetch(&others).unwrap(), None, "it is another application's");
        store.commit(vec![more("a", "w"), whole("a", "two"), more("a", "v")]).unwrap();
        assert_eq!(store.fetch(&room("a")).unwrap(), of("two", &["v"]));
        assert_eq!(store.fetch(&room("b")).unwrap(), of("", &[]));
    }
}

#[test]
fn a_removed_room_is_gone_and_can_come_again() {
    for mut store in stores() {
        assert!(!store.remove(&room("a")).unwrap());
        store.commit(vec![whole("a", "one"), more("a", "x"), whole("b", "other")]).unwrap();
        assert!(store.remove(&room("a")).unwrap());
        assert!(!store.remove(&room("a")).unwrap());
        assert_eq!(store.fetch(&room("a")).unwrap(), None);
        assert_eq!(store.commit(vec![more("a", "y")]), Err(StoreError::Absent { room: room("a") }));
        store.commit(vec![whole("a", "two")]).unwrap();
        assert_eq!(store.fetch(&room("a")).unwrap(), of("two", &[]));
        assert_eq!(store.fetch(&room("b")).unwrap(), of("other", &[]));
    }
}

#[test]
fn of_a_commit_that_is_refused_nothing_is_kept() {
    for mut store in stores() {
        store.commit(vec![whole("a", "one"), more("a", "x")]).unwrap();
        let absent = vec![whole("a", "two"), more("a", "y"), whole("b", "b"), more("c", "no")];
        assert_eq!(store.commit(absent), Err(StoreError::Absent { room: room("c") }));
        let large = vec![more("a", "y"), whole("b", vec![7; (1 << 20) + 1])];
        let (limit, size) = (1 << 20, (1 << 20) + 1);
        let refused = Err(StoreError::TooLarge { room: room("b"), limit, size });
        assert_eq!(store.commit(large), refused);
        let grown = vec![whole("b", "b"), more("a", vec![7; (1 << 20) - 3])];
        let refused = Err(StoreError::TooLarge { room: room("a"), limit, size });
        assert_eq!(store.commit(grown), refused);
        assert_eq!(store.fetch(&room("a")).unwrap(), of("one", &["x"]));
        assert_eq!(store.fetch(&room("b")).unwrap(), None);
        store.commit(Vec::new()).unwrap();
        store.commit(vec![more("a", "y")]).unwrap();
        assert_eq!(store.fetch(&room("a")).unwrap(), of("one", &["x", "y"]), "it serves on");
    }
}

#[test]
fn stores_say_whether_they_outlive_the_process() {
    let durable: Vec<_> = stores().iter().map(|store| store.is_durable()).collect();
    assert_eq!(durable, [false, false, true]);
}

#[test]
fn what_went_wrong_is_told_a_relay_as_it_needs_it() {
    let why = || "why".to_string();
    let damaged = StoreError::Damaged { room: room("a"), why: why() };
    assert_eq!(damaged.unfetched(), Unfetched::Damaged { why: why() });
    let failed = StoreError::Failed { why: why() };
    assert_eq!(failed.unfetched(), Unfetched::Failed { why: why() });
    let absent = StoreError::Absent { room: room("a") };
    assert_eq!(absent.unfetched(), Unfetched::Failed { why: absent.to_string() });
}
