//! A disk of the system that is full: a small one in memory, which a process mounts for itself alone. That
//! needs no rights, but a kernel that gives user namespaces; where it does not, this is skipped, and says
//! so.
#![cfg(target_os = "linux")]

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use parlor::proto::event::kept::Keeping;
use parlor::store::disk::{BackupError, OpenError};
use parlor::store::{DiskStore, DiskStoreConfig, RoomStore, StoreError};

use super::stage::{self, Dice, Kept, more, room, whole};

const FOLDER: &str = "PARLOR_FULL_DISK";
const DONE: &str = "the disk was full, and is not";

/// Runs something in namespaces of its own, in which it may mount.
fn apart(command: &[&str], folder: &Path) -> Result<Output, String> {
    let mut apart = Command::new("unshare");
    apart.args(["--user", "--map-root-user", "--mount", "--"]).args(command);
    apart.env(FOLDER, folder).output().map_err(|error| error.to_string())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn a_full_file_system_costs_nothing_of_what_was_committed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let tried = apart(&["mount", "-t", "tmpfs", "-o", "size=2m", "none", path], folder.path());
    let refused = match tried {
        Ok(tried) if tried.status.success() => None,
        Ok(tried) => Some(said(&tried)),
        Err(error) => Some(error),
    };
    if let Some(why) = refused {
        eprintln!("SKIPPED: no disk can be mounted here, so that none is full: {}", why.trim());
        return;
    }
    let program = env::current_exe().unwrap();
    let program = program.to_str().unwrap();
    let child = [program, "--exact", "full::fills_a_disk", "--nocapture", "--test-threads=1"];
    let played = apart(&child, folder.path()).unwrap();
    let said = said(&played);
    assert!(played.status.success() && said.contains(DONE), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "it was another disk");
}

fn mount(options: &str, folder: &Path) {
    let mount = ["-t", "tmpfs", "-o", options, "none"];
    let mounted = Command::new("mount").args(mount).arg(folder).status().unwrap();
    assert!(mounted.success());
}

/// Takes all but so many bytes of what is left.
fn fill(folder: &Path, rest: usize) -> PathBuf {
    let path = folder.join("filler");
    let mut filler = File::create(&path).unwrap();
    while filler.write_all(&[7; 4096]).is_ok() {}
    let len = filler.metadata().unwrap().len();
    filler.set_len(len.saturating_sub(rest as u64)).unwrap();
    path
}

fn config() -> DiskStoreConfig {
    DiskStoreConfig { room_bytes: 64 << 20, ..stage::config() }
}

/// Mostly something that comes, so that rooms grow; at times one is small again.
fn growth(kept: &Kept, dice: &mut Dice) -> Vec<Keeping> {
    let name = ["a", "b", "c", "d", "e", "f", "g", "h"][dice.below(8)];
    if !kept.contains_key(&room(name)) || dice.below(60) == 0 {
        let len = dice.below(20_000);
        return vec![whole(name, dice.bytes(len)), more(name, "on")];
    }
    let len = dice.below(60_000);
    vec![more(name, dice.bytes(len)), more(name, "on")]
}

/// Commits until that fails, and returns what may be found of what failed.
fn commit(store: &mut DiskStore, kept: &mut Kept, dice: &mut Dice) -> Kept {
    for _ in 0..1000 {
        let keepings = growth(kept, dice);
        let mut then = kept.clone();
        stage::keep(&mut then, &keepings);
        match store.commit(keepings) {
            Ok(()) => *kept = then,
            Err(error) => {
                is_failed(&error);
                is_failed(&store.commit(vec![whole("a", "more")]).unwrap_err());
                is_failed(&store.fetch(&room("a")).unwrap_err());
                is_failed(&store.rooms().unwrap_err());
                return then;
            }
        }
    }
    panic!("the disk is not full");
}

fn is_failed(error: &StoreError) {
    let StoreError::Failed { why } = error else { panic!("{error}") };
    assert!(why.contains("No space") || why.contains("no storage space"), "{why}");
}

/// What is kept now is what was acknowledged, or that and what failed, whole.
fn check(path: &Path, kept: &mut Kept, or: Kept) -> Result<DiskStore, OpenError> {
    let mut store = DiskStore::open(path, config())?;
    let found = stage::kept(&mut store);
    assert!(found == *kept || found == or, "{} rooms of {}", found.len(), kept.len());
    assert_eq!(store.verify(|_| {}).unwrap(), []);
    *kept = found;
    Ok(store)
}

/// The process that has the small disk: this test, with a folder to mount it on.
#[test]
fn fills_a_disk() {
    let Some(folder) = env::var_os(FOLDER).map(PathBuf::from) else { return };
    mount("size=2m", &folder);
    let path = folder.join("rooms");

    // There is no place for a store at all, and nothing is left of it.
    let filler = fill(&folder, 0);
    let told = DiskStore::open(&path, config());
    assert!(matches!(told, Err(OpenError::NoSpace { .. })), "{told:?}");
    assert!(!path.exists());
    fs::remove_file(filler).unwrap();

    // It fills up, and is made larger.
    let (mut kept, mut dice) = (Kept::new(), Dice::new(stage::seed()));
    let mut store = DiskStore::open(&path, config()).unwrap();
    let mut size = 2;
    for _ in 0..3 {
        let before = kept.clone();
        let or = commit(&mut store, &mut kept, &mut dice);
        assert_ne!(kept, before);
        drop(store);
        // As long as it is full, it is opened or that is said.
        match check(&path, &mut kept, or.clone()) {
            Ok(store) => drop(store),
            Err(error) => assert!(matches!(error, OpenError::NoSpace { .. }), "{error}"),
        }
        size += 2;
        mount(&format!("remount,size={size}m"), &folder);
        store = check(&path, &mut kept, or).unwrap();
    }

    // Something else fills it up, down to any page of what a commit needs.
    for rest in (0..40).step_by(3) {
        let filler = fill(&folder, rest * 4096);
        let or = commit(&mut store, &mut kept, &mut dice);
        drop(store);
        fs::remove_file(filler).unwrap();
        store = check(&path, &mut kept, or).unwrap();
        let keepings = vec![whole("a", "there is place again"), more("a", "on")];
        stage::keep(&mut kept, &keepings);
        store.commit(keepings).unwrap();
    }

    // A backup does not fit: there is none, and what it took is free again.
    let copy = folder.join("copy");
    let filler = fill(&folder, 40 * 4096);
    let told = store.snapshot().unwrap().back_up(&copy, |_| {});
    assert!(matches!(told, Err(BackupError::Open(_) | BackupError::Store(_))), "{told:?}");
    let mut names: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["filler", "rooms"]);
    fs::remove_file(filler).unwrap();
    mount("remount,size=64m", &folder);
    assert_eq!(store.snapshot().unwrap().back_up(&copy, |_| {}).unwrap(), []);
    assert_eq!(stage::kept(&mut DiskStore::open(&copy, config()).unwrap()), kept);
    println!("{DONE}");
}
