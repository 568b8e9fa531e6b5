//! What a relay keeps, seen to by hand while it runs.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;

use parlor::proto::event::kept::{Keeping, RoomImage};
use parlor::store::disk::read_export;
use parlor::store::{DiskStore, DiskStoreConfig, RoomStore};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::furnish;
use crate::process::{PATIENCE, Process, Relay, object, objects, parlor, run, text};

const LISTEN: &str = "/ip4/127.0.0.1/tcp/0";

/// A folder of a relay's data.
struct Data {
    folder: TempDir,
    path: String,
}

impl Data {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data").to_str().unwrap().to_owned();
        Self { folder, path }
    }

    fn relay(&self) -> Relay {
        Relay::listen(&[LISTEN], &["--data", &self.path])
    }

    fn socket(&self) -> PathBuf {
        Path::new(&self.path).join("rooms.socket")
    }

    /// A place beside it.
    fn beside(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn rooms(&self) -> Vec<Json> {
        objects(&["rooms", "list", "--json", &self.path], "")
    }

    /// Runs `parlor rooms WHAT DIR MORE` to its good end.
    fn see_to(&self, what: &str, more: &[&str]) -> Json {
        object(&[&["rooms", what, "--json", &self.path], more].concat(), "")
    }

    /// What is said against it.
    fn refused(&self, what: &str, more: &[&str], status: i32) -> String {
        let output = run(&[&["rooms", what, &self.path], more].concat(), "");
        let why = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{what}: {why}");
        why
    }
}

/// The room, as who comes into it sees it.
fn hall(relay: &Relay) -> Json {
    object(&["export", "hall", "--relay", relay.address(), "--json"], "")
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn rooms_that_are_open_are_seen_to_and_not_replaced() {
    let data = Data::new();
    let relay = data.relay();
    assert!(data.rooms().is_empty());
    furnish(&relay, "hall");
    let mut peer = Process::start(&["join", "hall", "--relay", relay.address(), "--json"]);
    peer.until(|line| line["event"] == "ready");
    let kept = || data.rooms().iter().any(|room| room["bytes"].as_u64().unwrap() > 0);
    assert!((0..1_000).any(|_| kept()), "what is open is kept");
    for round in 0..200 {
        peer.tell(&format!("add chairs owner=p{round} legs=1"));
    }
    let shown = data.see_to("show", &["hall"]);
    assert_eq!((&shown["room"], &shown["damaged"]), (&json!("hall"), &Json::Null));
    assert!(text(&run(&["rooms", "list", &data.path], "").stdout).contains("hall"));
    assert!(data.refused("show", &["lobby"], 2).contains("nothing is kept"));
    assert_eq!(data.see_to("verify", &[]), json!({ "damaged": null }));
    let (file, copy) = (data.beside("hall.room"), data.beside("copy"));
    let exported = data.see_to("export", &["hall", &file]);
    let bytes = fs::read(&file).unwrap();
    assert_eq!((&exported["bytes"], mode(&file)), (&json!(bytes.len()), 0o600));
    assert_eq!(read_export(&bytes).unwrap().0.1.as_str(), "hall");
    assert!(data.refused("export", &["hall", &file], 2).contains("is there already"));
    // Where the command runs, not the relay.
    let mut back_up = parlor(&["rooms", "backup", "--json", &data.path, "copy"]);
    let backed_up = back_up.current_dir(data.folder.path()).output().unwrap();
    assert_eq!(text(&backed_up.stdout), "{\"damaged\":null}\n", "{}", text(&backed_up.stderr));
    assert_eq!(mode(&copy), 0o600);
    let mut store = DiskStore::open(Path::new(&copy), DiskStoreConfig::default()).unwrap();
    assert_eq!(store.rooms().unwrap()[0].room.1.as_str(), "hall");
    drop(store);
    assert!(data.refused("backup", &[&copy], 2).contains("is there already"));

    assert!(data.refused("delete", &["hall"], 2).contains("is open"));
    assert!(data.refused("import", &[&file], 2).contains("is open"));
    peer.tell("show");
    let shown = peer.until(|line| line.get("title").is_some());
    assert_eq!(shown["chairs"].as_object().unwrap().len(), 202);
    assert_eq!(mode(data.socket()), 0o600);
    assert!(peer.end() && relay.process.end());
    assert!(!data.socket().exists());
}

#[test]
fn rooms_that_are_closed_are_replaced_while_their_relay_runs() {
    let data = Data::new();
    let first = data.relay();
    furnish(&first, "hall");
    let before = hall(&first);
    assert!(first.process.end());
    let second = data.relay();
    let file = data.beside("hall.room");
    data.see_to("export", &["hall", &file]);
    data.see_to("delete", &["hall"]);
    assert!(data.rooms().is_empty());
    assert!(data.refused("export", &["hall", &data.beside("none")], 2).contains("nothing is kept"));
    assert!(data.refused("import", &["Cargo.toml"], 2).contains("not an exported room"));
    assert!(data.rooms().is_empty());
    data.see_to("import", &[&file]);
    assert_eq!(data.rooms().len(), 1);
    assert_eq!(hall(&second), before);
    let why = data.refused("delete", &["hall"], 2);
    assert!(why.contains("is open"), "who has just left may come back: {why}");
    assert!(second.process.end());
    assert_eq!(data.rooms().len(), 1);
}

/// Puts something else in the place of a store's first room, and flips a bit in the middle of it.
fn damage(path: &Path) {
    let mut store = DiskStore::open(path, DiskStoreConfig::default()).unwrap();
    let room = store.rooms().unwrap().swap_remove(0).room;
    let image = RoomImage(vec![33; 20_000].into());
    store.commit(vec![Keeping::Whole { room, image }]).unwrap();
    drop(store);
    let mut bytes = fs::read(path).unwrap();
    let place = bytes.windows(8_000).position(|window| window.iter().all(|byte| *byte == 33));
    bytes[place.unwrap() + 7_000] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_room_that_is_found_damaged_is_replaced_while_its_relay_runs() {
    let data = Data::new();
    let file = data.beside("hall.room");
    let relay = data.relay();
    furnish(&relay, "hall");
    let before = hall(&relay);
    assert!(relay.process.end());
    data.see_to("export", &["hall", &file]);
    damage(&Path::new(&data.path).join("rooms.parlor"));

    let relay = data.relay();
    assert_eq!(data.rooms()[0]["damaged"], Json::Null);
    let verified = run(&["rooms", "verify", "--json", &data.path], "");
    assert_eq!(verified.status.code(), Some(1));
    let named: Json = serde_json::from_str(&text(&verified.stdout)).unwrap();
    assert_eq!(named["room"], "hall");
    assert_eq!(data.rooms()[0]["damaged"], named["damaged"], "it stays known");
    assert!(data.refused("export", &["hall", &data.beside("none")], 1).contains("is damaged"));
    let enter = ["export", "hall", "--relay", relay.address(), "--json"];
    assert_eq!(run(&enter, "").status.code(), Some(1));
    data.see_to("import", &[&file]);
    assert_eq!(hall(&relay), before);
    assert!(relay.process.end());
    assert_eq!(data.see_to("verify", &[]), json!({ "damaged": null }));
}

#[test]
fn a_relay_that_was_killed_is_in_nobodys_way() {
    let data = Data::new();
    let relay = data.relay();
    furnish(&relay, "hall");
    assert!((0..1_000).any(|_| !data.rooms().is_empty()));
    relay.process.kill();
    assert!(fs::symlink_metadata(data.socket()).unwrap().file_type().is_socket());
    assert_eq!(data.rooms().len(), 1, "of a store that nobody has");
    let relay = data.relay();
    assert_eq!(data.rooms().len(), 1, "of a relay that took the socket over");
    assert!(relay.process.end());
    // What is no socket stays.
    fs::write(data.socket(), "mine").unwrap();
    let relay = data.relay();
    relay.process.until(|line| line["ready"] == true);
    assert!(data.refused("list", &[], 1).contains("end it first"));
    assert!(relay.process.end());
    assert_eq!(fs::read_to_string(data.socket()).unwrap(), "mine");
}

#[test]
fn a_folder_whose_path_no_socket_has_serves_all_the_same() {
    let data = Data::new();
    let deep = data.beside(&"deep".repeat(30));
    let relay = Relay::listen(&[LISTEN], &["--data", &deep]);
    // The line before was the warning.
    relay.process.until(|line| line["ready"] == true);
    let output = run(&["rooms", "list", &deep], "");
    let why = text(&output.stderr);
    assert!(why.contains("end it first") && output.status.code() == Some(1), "{why}");
    assert!(relay.process.end());
    assert!(objects(&["rooms", "list", "--json", &deep], "").is_empty());
}

#[test]
fn what_is_no_order_costs_its_connection() {
    let data = Data::new();
    let relay = data.relay();
    furnish(&relay, "hall");
    let connect = || {
        let stream = UnixStream::connect(data.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    // It goes on while others say nothing.
    let silent = [connect(), connect()];
    let greeting = b"parlor rooms 1\n\0";
    let huge = [&greeting[..], &[255; 4]].concat();
    let none = [&greeting[..], &[3, 0, 0, 0, 99, 99, 99]].concat();
    for bytes in [&[b'x'; 64][..], &huge, &none] {
        let mut stream = connect();
        stream.write_all(bytes).unwrap();
        let mut said = Vec::new();
        // It may be closed before all was read, which is an error here.
        stream.read_to_end(&mut said).ok();
        assert!(greeting.starts_with(&said), "{said:?}");
    }
    // Who leaves in the middle of what it says, too.
    let cut = [&greeting[..], &[200, 0, 0, 0, 1]].concat();
    connect().write_all(&cut).unwrap();
    thread::scope(|scope| {
        let verify = || assert_eq!(data.see_to("verify", &[]), json!({ "damaged": null }));
        let several: Vec<_> = (0..4).map(|_| scope.spawn(verify)).collect();
        several.into_iter().for_each(|one| one.join().unwrap());
    });
    drop(silent);
    hall(&relay);
    assert!(relay.process.end());
}
