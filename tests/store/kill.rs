//! A process that is killed while it writes: whatever it had been told is kept, is.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use parlor::store::{DiskStore, RoomStore};

use super::stage::{self, Dice, more, room, whole};

const FOLDER: &str = "PARLOR_KILLED_STORE";

/// The process that is killed: this test, with a folder to write in.
#[test]
fn writes_until_it_is_killed() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let mut store = DiskStore::open(&Path::new(&folder).join("rooms"), stage::config()).unwrap();
    let fetched = store.fetch(&room("a")).unwrap();
    let mut next: u64 = fetched.map_or(0, |kept| {
        let last = kept.records.last().map_or(&kept.image.0, |record| &record.0);
        u64::from_le_bytes(last[..8].try_into().unwrap()) + 1
    });
    let mut out = std::io::stdout();
    loop {
        let mut bytes = next.to_le_bytes().to_vec();
        let keeping = if next.is_multiple_of(9) {
            bytes.resize(50_000, 7);
            whole("a", bytes)
        } else {
            more("a", bytes)
        };
        store.commit(vec![keeping, whole("b", next.to_le_bytes())]).unwrap();
        writeln!(out, "kept {next}").unwrap();
        out.flush().unwrap();
        next += 1;
    }
}

#[test]
fn what_a_killed_process_was_told_is_kept_is_kept() {
    let rounds = if stage::is_full() { 200 } else { 10 };
    let folder = tempfile::tempdir().unwrap();
    let mut dice = Dice::new(stage::seed());
    let mut last = None;
    for round in 0..rounds {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "kill::writes_until_it_is_killed", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut told = 0;
        let enough = 1 + dice.below(20);
        for line in lines.by_ref() {
            let line = line.unwrap();
            if let Some((_, number)) = line.split_once("kept ") {
                last = Some(number.parse::<u64>().unwrap());
                told += 1;
            }
            if told == enough {
                break;
            }
        }
        child.kill().unwrap();
        // What it had said before it was killed counts too.
        for line in lines.map_while(Result::ok) {
            if let Some((_, number)) = line.split_once("kept ") {
                last = number.parse().ok().or(last);
            }
        }
        child.wait().unwrap();
        assert_eq!(told, enough, "round {round}: it ended by itself");
        let mut store = DiskStore::open(&folder.path().join("rooms"), stage::config()).unwrap();
        let kept = store.fetch(&room("a")).unwrap().unwrap();
        let newest = kept.records.last().map_or(&kept.image.0, |record| &record.0);
        let newest = u64::from_le_bytes(newest[..8].try_into().unwrap());
        assert!(Some(newest) >= last, "round {round}: {newest} of {last:?}");
        let other = store.fetch(&room("b")).unwrap().unwrap();
        assert_eq!(other.image.0, newest.to_le_bytes().to_vec(), "all of a commit or nothing");
        assert_eq!(newest % 9, kept.records.len() as u64, "nothing is missing between");
    }
}
