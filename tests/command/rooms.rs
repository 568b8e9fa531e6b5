//! What a relay keeps, seen to by hand.

use std::fs;
use std::path::Path;

use parlor::proto::event::kept::{Keeping, RoomImage, RoomRecord};
use parlor::proto::id::{AppId, RoomKey, RoomName};
use parlor::store::{DiskStore, DiskStoreConfig, RoomStore};
use serde_json::{Value as Json, json};

use crate::process::{object, objects, run, text};

fn room(app: u8, name: &str) -> RoomKey {
    (AppId([app; 8]), RoomName::new(name).unwrap())
}

fn open(folder: &Path) -> DiskStore {
    DiskStore::open(&folder.join("rooms.parlor"), DiskStoreConfig::default()).unwrap()
}

/// A folder of a relay's data: `a` of two applications, and `b`.
fn data() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let whole = |room, byte| Keeping::Whole { room, image: RoomImage(vec![byte; 20_000].into()) };
    let record = RoomRecord(b"came later".to_vec().into());
    let keepings = vec![
        whole(room(1, "a"), 11),
        whole(room(2, "a"), 22),
        whole(room(1, "b"), 33),
        Keeping::More { room: room(1, "b"), record },
    ];
    open(folder.path()).commit(keepings).unwrap();
    let data = folder.path().to_str().unwrap().to_owned();
    (folder, data)
}

fn names(data: &str) -> Vec<Json> {
    let listed = objects(&["rooms", "list", "--json", data], "");
    listed.into_iter().map(|room| json!([room["app"], room["room"]])).collect()
}

/// What is said against arguments, and the status.
fn refused(arguments: &[&str]) -> (String, Option<i32>) {
    let output = run(arguments, "");
    (text(&output.stderr), output.status.code())
}

#[test]
fn rooms_are_listed_shown_and_deleted() {
    let (folder, data) = data();
    let (one, two) = ("0101010101010101", "0202020202020202");
    assert_eq!(names(&data), [json!([one, "a"]), json!([one, "b"]), json!([two, "a"])]);
    let shown = object(&["rooms", "show", "--json", &data, "b"], "");
    let is = json!({ "app": one, "room": "b", "bytes": 20_010, "records": 1, "damaged": null });
    assert_eq!(shown, is);
    let table = text(&run(&["rooms", "list", &data], "").stdout);
    assert!(table.contains("20010") && table.lines().count() == 4, "{table}");

    let (why, status) = refused(&["rooms", "delete", &data, "a"]);
    assert!(why.contains("--app") && status == Some(2), "{why}");
    object(&["rooms", "delete", "--json", &data, "a", "--app", two], "");
    assert_eq!(names(&data), [json!([one, "a"]), json!([one, "b"])]);
    let (why, status) = refused(&["rooms", "delete", &data, "c"]);
    assert!(why.contains("nothing is kept") && status == Some(2), "{why}");

    let store = open(folder.path());
    let (why, status) = refused(&["rooms", "list", &data]);
    assert!(why.contains("a relay that runs") && status == Some(1), "{why}");
    drop(store);
    let nothing = folder.path().join("nothing");
    let (why, status) = refused(&["rooms", "list", nothing.to_str().unwrap()]);
    assert!(why.contains("has no rooms") && status == Some(2), "{why}");
    assert!(!nothing.exists());
}

#[test]
fn a_damaged_room_is_named_and_comes_back_from_a_backup() {
    let (folder, data) = data();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let words = text(&run(&["rooms", "backup", &data, &at("copy")], "").stdout);
    assert!(words.contains("every room is in the backup"), "{words}");
    let (why, status) = refused(&["rooms", "backup", &data, &at("copy")]);
    assert!(why.contains("is there already") && status == Some(2), "{why}");

    // A bit in the middle of a room.
    let path = folder.path().join("rooms.parlor");
    let mut bytes = fs::read(&path).unwrap();
    let place = bytes.windows(8_000).position(|window| window.iter().all(|byte| *byte == 33));
    bytes[place.unwrap() + 7_000] ^= 1;
    fs::write(&path, bytes).unwrap();
    let verified = run(&["rooms", "verify", "--json", &data], "");
    assert_eq!(verified.status.code(), Some(1));
    let named: Json = serde_json::from_str(&text(&verified.stdout)).unwrap();
    assert_eq!((&named["room"], &named["app"]), (&json!("b"), &json!("0101010101010101")));
    let listed = text(&run(&["rooms", "list", &data], "").stdout);
    assert_eq!(listed.matches("damaged").count(), 1, "{listed}");
    let (why, status) = refused(&["rooms", "export", &data, "b", &at("b.room")]);
    assert!(why.contains("is damaged") && status == Some(1), "{why}");
    assert!(!folder.path().join("b.room").exists());

    fs::create_dir(at("old")).unwrap();
    fs::rename(at("copy"), at("old/rooms.parlor")).unwrap();
    object(&["rooms", "export", "--json", &at("old"), "b", &at("b.room")], "");
    object(&["rooms", "import", "--json", &data, &at("b.room")], "");
    let verified = object(&["rooms", "verify", "--json", &data], "");
    assert_eq!(verified, json!({ "damaged": null }));
    let kept = open(folder.path()).fetch(&room(1, "b")).unwrap().unwrap();
    assert_eq!((kept.image.0.len(), kept.records.len()), (20_000, 1));
}

#[test]
fn an_export_is_imported_and_nothing_else_is() {
    let (folder, data) = data();
    let file = folder.path().join("b.room").to_str().unwrap().to_owned();
    object(&["rooms", "export", "--json", &data, "b", &file], "");
    let (why, status) = refused(&["rooms", "export", &data, "b", &file]);
    assert!(why.contains("is there already") && status == Some(2), "{why}");
    object(&["rooms", "delete", "--json", &data, "b"], "");
    let imported = object(&["rooms", "import", "--json", &data, &file], "");
    assert_eq!(imported["room"], "b");
    let kept = open(folder.path()).fetch(&room(1, "b")).unwrap().unwrap();
    assert_eq!(kept.image.0, vec![33; 20_000]);
    assert_eq!(kept.records[0].0, "came later");
    let mut bytes = fs::read(&file).unwrap();
    bytes[100] ^= 1;
    fs::write(&file, bytes).unwrap();
    let (why, status) = refused(&["rooms", "import", &data, &file]);
    assert!(why.contains("damaged or cut short") && status == Some(2), "{why}");
}
