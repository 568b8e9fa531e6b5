//! Rooms in bytes, as `datastore-spec/vectors/images.json` has them for ever: what reads them now reads
//! them always.

use std::path::PathBuf;
use std::time::Duration;
use std::{env, fs};

use bytes::Bytes;
use parlor::proto::config::HubConfig;
use parlor::proto::event::kept::{Keeping, KeptRoom, RoomImage, RoomRecord};
use parlor::proto::id::{DocumentId, RoomKey};
use parlor::{Entrance, Reason, Refusal, Request};
use serde_json::{Value, json};

use super::stage::{CALM, Nothing, Stage, Thing, key, name};

fn room_key() -> RoomKey {
    (key().app(), name("room"))
}

fn stage() -> Stage {
    let mut stage = Stage::new(1, CALM, HubConfig::default());
    stage.keep_rooms(true);
    stage
}

fn open() -> Entrance {
    Entrance::default()
}

/// What is in the room, for whoever is in it.
fn shown(stage: &Stage, end: usize) -> Value {
    let store = stage.at(end).store();
    let root = store.root::<Nothing>().unwrap();
    let mut sizes: Vec<i64> = root.things.iter(store).map(|(_, thing)| thing.size).collect();
    sizes.sort_unstable();
    let digests = DocumentId::ALL.map(|document| hex::encode(store.log(document).digest()));
    json!({
        "count": root.count,
        "sizes": sizes,
        "notes": root.notes.read(store),
        "digests": digests,
    })
}

/// Each size is a thing, and a word of the notes.
fn add(stage: &mut Stage, end: usize, sizes: impl IntoIterator<Item = i64>) {
    for size in sizes {
        let now = stage.now;
        let peer = stage.at_mut(end);
        let root: Nothing = (*peer.store().root::<Nothing>().unwrap()).clone();
        root.things.add(peer.store_mut(), Thing { size }).unwrap();
        root.notes.insert(peer.store_mut(), 0, &format!("{size} ")).unwrap();
        peer.flush(now);
        stage.run(Duration::from_millis(20));
    }
}

fn durable(stage: &mut Stage, end: usize) {
    stage.until("durable", |stage| stage.at(end).is_durable());
    stage.run(Duration::from_secs(2));
}

fn case(name: &str, kept: &KeptRoom, shows: Value) -> Value {
    let records: Vec<String> = kept.records.iter().map(|record| hex::encode(&record.0)).collect();
    json!({ "name": name, "image": hex::encode(&kept.image.0), "records": records, "shows": shows })
}

/// Of a room in which somebody writes: with what came since it was kept whole, then behind a cut.
fn written() -> [Value; 2] {
    let mut stage = stage();
    let ann = stage.enter(1, "room", open());
    stage.ready(ann);
    stage.write(ann, 7);
    add(&mut stage, ann, 0..3);
    durable(&mut stage, ann);
    assert!(!stage.kept[&room_key()].records.is_empty());
    let records = case("records", &stage.kept[&room_key()], shown(&stage, ann));
    add(&mut stage, ann, 3..60);
    let now = stage.now;
    for document in DocumentId::ALL {
        stage.hub.cut(&room_key(), document, now);
        stage.run(Duration::from_secs(3));
    }
    durable(&mut stage, ann);
    add(&mut stage, ann, 60..62);
    durable(&mut stage, ann);
    [records, case("cut", &stage.kept[&room_key()], shown(&stage, ann))]
}

/// Of a room that asks for a password, of which more is said, and from which somebody was turned out.
fn terms() -> Value {
    let mut stage = stage();
    let ann = stage.enter(1, "room", open());
    stage.ready(ann);
    stage.done(ann, &Request::Put { key: "map".to_owned(), value: Some("harbour".to_owned()) });
    stage.done(ann, &Request::SetPassword(Some("sesame".to_owned())));
    stage.write(ann, 7);
    durable(&mut stage, ann);
    case("terms", &stage.kept[&room_key()], shown(&stage, ann))
}

/// Of a peer that was offline, for its next life.
fn life() -> Value {
    let mut stage = stage();
    let ann = stage.peer(1, "room", open());
    let mut kept: Option<KeptRoom> = None;
    for size in 0..3 {
        add(&mut stage, ann, [size]);
        match stage.at_mut(ann).keeping().unwrap() {
            Keeping::Whole { image, .. } => kept = Some(KeptRoom { image, records: Vec::new() }),
            Keeping::More { record, .. } => kept.as_mut().unwrap().records.push(record),
        }
    }
    case("peer", &kept.unwrap(), shown(&stage, ann))
}

fn path() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "datastore-spec", "vectors", "images.json"].iter().collect()
}

/// The cases of the file. If it is not there, `UPDATE=1` writes it; it is never written over.
fn cases() -> Vec<Value> {
    let path = path();
    if env::var_os("UPDATE").is_some() && !path.exists() {
        let [records, cut] = written();
        let cases = json!([records, cut, terms(), life()]);
        fs::write(&path, format!("{cases:#}\n")).unwrap();
    }
    serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap()
}

fn read(case: &Value) -> KeptRoom {
    let bytes = |value: &Value| Bytes::from(hex::decode(value.as_str().unwrap()).unwrap());
    let records = case["records"].as_array().unwrap();
    KeptRoom {
        image: RoomImage(bytes(&case["image"])),
        records: records.iter().map(|record| RoomRecord(bytes(record))).collect(),
    }
}

#[test]
fn rooms_in_bytes_are_read_for_ever() {
    let cases = cases();
    let names: Vec<&str> = cases.iter().map(|case| case["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["records", "cut", "terms", "peer"]);
    for case in &cases {
        let kept = read(case);
        if case["name"] == "peer" {
            let mut stage = stage();
            let ann = stage.peer(1, "room", open());
            stage.at_mut(ann).resume(&kept).unwrap();
            assert_eq!(shown(&stage, ann), case["shows"]);
            continue;
        }
        let mut stage = stage();
        stage.kept.insert(room_key(), kept);
        let mut entrance = open();
        if case["name"] == "terms" {
            let eve = stage.enter(2, "room", open());
            assert_eq!(stage.closed(eve), Reason::Refused(Refusal::WrongPassword));
            entrance.password = Some("sesame".to_owned());
        }
        let eve = stage.enter(3, "room", entrance);
        stage.ready(eve);
        assert_eq!(shown(&stage, eve), case["shows"], "{}", case["name"]);
        if case["name"] == "terms" {
            let data = &stage.record(eve).data;
            assert_eq!(data.get("map").map(String::as_str), Some("harbour"));
        }
    }
}

#[test]
fn a_room_in_bytes_of_which_one_is_wrong_is_not_opened() {
    for case in &cases() {
        let (whole, is_peer) = (read(case), case["name"] == "peer");
        let length = whole.image.0.len();
        for at in (0..length).step_by(length / 40 + 1).chain([length - 1]) {
            let mut bytes = whole.image.0.to_vec();
            bytes[at] ^= 0x10;
            let kept = KeptRoom { image: RoomImage(bytes.into()), ..whole.clone() };
            let mut stage = stage();
            if is_peer {
                let ann = stage.peer(1, "room", open());
                assert!(stage.at_mut(ann).resume(&kept).is_err(), "byte {at}");
                continue;
            }
            stage.kept.insert(room_key(), kept);
            let eve = stage.enter(3, "room", open());
            assert_eq!(stage.closed(eve), Reason::Refused(Refusal::Unreadable), "byte {at}");
        }
    }
}
