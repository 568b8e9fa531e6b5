//! Files of this version of the format: they are read for ever. `UPDATE=1` writes those that are missing;
//! one that is there is never written again.

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use parlor::proto::event::kept::{Keeping, RoomImage, RoomRecord};
use parlor::proto::id::{AppId, RoomName};
use parlor::store::disk::{FrailMedium, read_export};
use parlor::store::{DiskStore, RoomStore};

use super::stage::{self, Kept, more, room, whole};

fn path(file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "datastore-spec", "vectors", file].iter().collect()
}

/// Bytes that can be told again.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at * at % 251).unwrap()).collect()
}

/// What the files have: rooms of every kind, one that was kept whole again, and one that is gone.
fn commits() -> Vec<Vec<Keeping>> {
    vec![
        vec![whole("a", "the first"), more("a", "lost with it"), whole("h", "gone")],
        vec![whole("b", ""), whole("c", pattern(9_000)), more("b", ""), more("b", "something")],
        vec![more("c", pattern(100)), more("c", pattern(5_000)), more("b", pattern(300))],
        vec![whole("d", pattern(200_000))],
        vec![whole("a", "the second"), more("a", "kept")],
    ]
}

fn kept() -> Kept {
    let mut kept = Kept::new();
    for keepings in commits() {
        stage::keep(&mut kept, &keepings);
    }
    kept.remove(&room("h"));
    kept
}

/// A store as its end left it, one as it was when its process was killed, and a room.
fn files() -> [(&'static str, Vec<u8>); 3] {
    let medium = stage::fresh();
    let mut store = stage::open(&medium).unwrap();
    for (number, keepings) in commits().into_iter().enumerate() {
        store.commit(keepings).unwrap();
        if number == 2 {
            assert!(store.remove(&room("h")).unwrap());
        }
    }
    let killed = medium.bytes();
    let exported = store.export(&room("c")).unwrap().unwrap();
    drop(store);
    [("store-1.gz", medium.bytes()), ("store-1-killed.gz", killed), ("room-1.gz", exported)]
}

fn read(file: &str) -> Vec<u8> {
    let packed = fs::read(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut bytes = Vec::new();
    GzDecoder::new(packed.as_slice()).read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn files_of_version_1_are_read() {
    if env::var_os("UPDATE").is_some() {
        for (file, bytes) in files().into_iter().filter(|(file, _)| !path(file).exists()) {
            let mut packed = GzEncoder::new(Vec::new(), Compression::best());
            packed.write_all(&bytes).unwrap();
            fs::write(path(file), packed.finish().unwrap()).unwrap();
        }
    }
    for file in ["store-1.gz", "store-1-killed.gz"] {
        let medium = FrailMedium::new(read(file));
        let mut store = stage::open(&medium).unwrap();
        assert_eq!(stage::kept(&mut store), kept(), "{file}");
        assert_eq!(store.verify(|_| {}).unwrap(), [], "{file}");
        store.commit(vec![more("a", "on"), whole("h", "again")]).unwrap();
        drop(store);
        let mut store = stage::open(&medium).unwrap();
        assert_eq!(store.fetch(&room("a")).unwrap().unwrap().records.len(), 2, "{file}");
    }
    let (of, exported) = read_export(&read("room-1.gz")).unwrap();
    assert_eq!((of, &exported), (room("c"), &kept()[&room("c")]));
}

/// What the file of an exported room is, written out by hand.
#[test]
fn an_exported_room_is_what_the_specification_says() {
    let mut store: DiskStore = stage::open(&stage::fresh()).unwrap();
    let of = (AppId(*b"fixed-id"), RoomName::new("caf\u{e9}").unwrap());
    store
        .commit(vec![
            Keeping::Whole { room: of.clone(), image: RoomImage(b"image".to_vec().into()) },
            Keeping::More { room: of.clone(), record: RoomRecord(b"r".to_vec().into()) },
        ])
        .unwrap();
    let bytes = store.export(&of).unwrap().unwrap();
    let said = [
        &b"parlor room\x1a\n\0"[..],
        &[1, 0],
        &[13, 0, 0, 0, 0, 0, 0, 0],
        b"fixed-idcaf\xc3\xa9",
        &[5, 0, 0, 0, 0, 0, 0, 0],
        b"image",
        &[1, 0, 0, 0, 0, 0, 0, 0],
        &[1, 0, 0, 0, 0, 0, 0, 0],
        b"r",
    ]
    .concat();
    assert_eq!(bytes[..said.len()], said);
    assert_eq!(bytes.len(), said.len() + 32);
}
