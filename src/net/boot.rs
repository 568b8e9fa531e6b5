//! What a relay keeps from one run to the next: its key, and how often it has begun.
//!
//! Beside the file stand `FILE.lock`, which is held while a relay runs and is never removed, and,
//! while the file is written, `FILE.unfinished`.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use thiserror::Error;

use crate::net::identity::{create_private, exposed, fresh_seed, read_text};
use crate::proto::id::Identity;

/// The most bytes of a state file that are read; a good one has at most 106.
const MAX_FILE: u64 = 256;

/// Why a relay does not begin. The text names the file and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StateError {
    /// The file is there and cannot be read.
    #[error(
        "cannot read the relay's state in {path}: {source}; \
         whoever runs the relay must be able to read it"
    )]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file cannot be made or replaced.
    #[error(
        "cannot write the relay's state in {path}: {source}; \
         its folder must exist and be writable, and its disk have room"
    )]
    Write {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others on this computer can read the secret.
    #[error("others can read the secret in {path} (mode {mode:03o}): run `chmod 600 {path}`")]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file is not a relay's state, or is one of a later version.
    #[error(
        "{path} is not a relay's state (the lines `parlor relay state 1`, `key` with 64 hexadecimal \
         digits, and `boot` with a number): put it right, with a boot no lower than it was, \
         or move it away and a relay with another key begins"
    )]
    Malformed {
        /// Which file.
        path: PathBuf,
    },
    /// A relay that runs has this file.
    #[error("another relay is using {path}: end it, or give this one a file of its own")]
    InUse {
        /// Which file.
        path: PathBuf,
    },
    /// Whether another relay has this file cannot be known.
    #[error("cannot lock {path}: {source}; keep it on a file system that has locks")]
    Lock {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is no higher boot.
    #[error(
        "the relay in {path} has begun as often as it can: \
         move the file away and a relay with another key begins"
    )]
    Exhausted {
        /// Which file.
        path: PathBuf,
    },
}

/// Who a relay is, and which of its runs this is. No other relay can have the same file until this
/// is dropped: keep it for as long as the relay runs.
pub struct RelayState {
    identity: Identity,
    boot: u32,
    _lock: File,
}

impl RelayState {
    /// Begins a run of the relay whose state is in the file at `path`. Its boot is above that of
    /// every earlier run, and is on disk when this returns. If there is no such file, it is made,
    /// readable only by its owner, with a fresh key and boot 1.
    ///
    /// The file is text, with lower-case digits and without zeros before the number:
    ///
    /// ```text
    /// parlor relay state 1
    /// key <64 hexadecimal digits, an ed25519 seed>
    /// boot <decimal, from 1 to 4294967295>
    /// ```
    ///
    /// The file must be the only one with its key. Whoever puts an older copy of it back lets boots
    /// be used twice, unless they raise the number above every one that was used. A relay that had
    /// its key in an identity file keeps it in a file that is written by hand, with the Unix time in
    /// seconds as boot: without a state, that is what its boots were.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, replaced or locked, is not a relay's state, can be read by
    /// others, is in use by another relay, or has the highest boot. The state in it is as it was
    /// then, but that after [`StateError::Write`] its boot may have been raised.
    pub fn begin(path: &Path) -> Result<Self, StateError> {
        let place = place(path)?;
        let lock = lock(path, &place)?;
        let (seed, before) = load(path, &place)?.unwrap_or_else(|| (fresh_seed(), 0));
        let boot =
            before.checked_add(1).ok_or_else(|| StateError::Exhausted { path: path.to_owned() })?;
        replace(&place, &render(&seed, boot)).map_err(|source| write(path, source))?;
        Ok(Self { identity: Identity::from_seed(seed), boot, _lock: lock })
    }

    /// Who the relay is: the same in every run.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Which run this is: above every earlier one, and not always by one.
    #[must_use]
    pub const fn boot(&self) -> u32 {
        self.boot
    }
}

impl fmt::Debug for RelayState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayState")
            .field("identity", &self.identity)
            .field("boot", &self.boot)
            .finish_non_exhaustive()
    }
}

/// Where the file is in the end: what is renamed over a link replaces the link, and a relay that
/// comes by another way would find the file behind it with an old boot.
fn place(path: &Path) -> Result<PathBuf, StateError> {
    match fs::canonicalize(path) {
        Ok(place) => Ok(place),
        // A link to nothing stays an error: what it led to may be on a disk that is not there now.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_link(path) => {
            let name = path
                .file_name()
                .ok_or_else(|| write(path, io::Error::from(io::ErrorKind::InvalidInput)))?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = fs::canonicalize(folder.unwrap_or_else(|| Path::new(".")))
                .map_err(|source| write(path, source))?;
            Ok(folder.join(name))
        }
        Err(source) => Err(read(path, source)),
    }
}

/// Whether `path` is a link itself. What is not there is none, and neither is what has just come.
fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}

/// The right to the file, until it is dropped or the process ends in whatever way.
///
/// It is on a file of its own, since the state's is another after each rename. That file stays:
/// if it were removed, one could lock the removed one and another a new one.
fn lock(path: &Path, place: &Path) -> Result<File, StateError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let file = options.open(beside(place, "lock")).map_err(|source| write(path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StateError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(StateError::Lock { path: path.to_owned(), source }),
    }
}

/// The seed and the boot in the file, if there is one.
fn load(path: &Path, place: &Path) -> Result<Option<([u8; 32], u32)>, StateError> {
    let malformed = || StateError::Malformed { path: path.to_owned() };
    let file = match File::open(place) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(read(path, source)),
    };
    // The permissions of a folder are no mistake.
    if !file.metadata().map_err(|source| read(path, source))?.is_file() {
        return Err(malformed());
    }
    if let Some(mode) = exposed(&file).map_err(|source| read(path, source))? {
        return Err(StateError::Exposed { path: path.to_owned(), mode });
    }
    let text = read_text(file, MAX_FILE).map_err(|source| read(path, source))?;
    parse(&text).map(Some).ok_or_else(malformed)
}

fn parse(text: &str) -> Option<([u8; 32], u32)> {
    let (key, boot) = text.strip_prefix("parlor relay state 1\nkey ")?.split_once("\nboot ")?;
    let seed = HEXLOWER.decode(key.as_bytes()).ok()?.try_into().ok()?;
    // Without its line end, a number may have lost digits.
    let boot = boot.strip_suffix('\n')?.parse().ok()?;
    // A state has one text: no sign, no zeros before, and nothing that was never written.
    (boot > 0 && render(&seed, boot) == text).then_some((seed, boot))
}

fn render(seed: &[u8; 32], boot: u32) -> String {
    format!("parlor relay state 1\nkey {}\nboot {boot}\n", HEXLOWER.encode(seed))
}

/// Makes `text` what is in the file at `place`. Whenever this is cut off, the file has either what
/// it had or `text`; once it has returned, it has `text` whatever happens to the computer.
fn replace(place: &Path, text: &str) -> io::Result<()> {
    let unfinished = beside(place, "unfinished");
    // A run that was cut off here left it, and never answered anybody.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = create_private(&unfinished)?;
    let replaced = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&unfinished, place));
    if replaced.is_err() {
        // It has the key in it; but the first error is the one to tell.
        fs::remove_file(&unfinished).ok();
    }
    replaced.and_then(|()| sync_folder(place))
}

/// Until the folder is on disk too, the name may still be that of the old file after a power cut.
#[cfg(unix)]
fn sync_folder(place: &Path) -> io::Result<()> {
    place.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

fn beside(place: &Path, ending: &str) -> PathBuf {
    let mut name = place.as_os_str().to_owned();
    name.push(format!(".{ending}"));
    name.into()
}

fn read(path: &Path, source: io::Error) -> StateError {
    StateError::Read { path: path.to_owned(), source }
}

fn write(path: &Path, source: io::Error) -> StateError {
    StateError::Write { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use tempfile::TempDir;

    use super::*;
    use crate::proto::id::PeerId;

    fn folder() -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay");
        (folder, path)
    }

    fn begin(path: &Path) -> (String, u32) {
        let state = RelayState::begin(path).unwrap();
        (state.identity().peer().to_string(), state.boot())
    }

    /// Waits until no other relay has the state.
    fn begin_in_turn(path: &Path) -> RelayState {
        loop {
            match RelayState::begin(path) {
                Ok(state) => return state,
                Err(StateError::InUse { .. }) => thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn keep(path: &Path, text: &str) {
        fs::remove_file(path).ok();
        create_private(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn a_relay_keeps_its_key_and_counts_its_boots() {
        let (folder, path) = folder();
        let (id, boot) = begin(&path);
        assert_eq!(boot, 1);
        assert_eq!(begin(&path), (id.clone(), 2));
        let text = fs::read_to_string(&path).unwrap();
        let (seed, _) = parse(&text).unwrap();
        assert_eq!(text, render(&seed, 2));
        assert_eq!(Identity::from_seed(seed).peer().to_string(), id);
        let mut names: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["relay", "relay.lock"]);
    }

    #[test]
    fn a_boot_is_on_disk_before_it_is_known() {
        let (_folder, path) = folder();
        for boot in 1..4 {
            let state = RelayState::begin(&path).unwrap();
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!(text, render(&state.identity().to_seed(), boot));
        }
    }

    #[test]
    fn a_state_has_one_text() {
        let key = "0a".repeat(32);
        let good = format!("parlor relay state 1\nkey {key}\nboot 7\n");
        assert_eq!(parse(&good), Some(([10; 32], 7)));
        let changed = [
            good.replace("state 1", "state 2"),
            good.replace("state 1", "state"),
            good.replace("key 0a", "key "),
            good.replace("key 0a", "key 0A"),
            good.replace("key 0a", "key 0a0a"),
            good.replace("key 0a", "key 0g"),
            good.replace("key ", "key  "),
            good.replace("boot 7\n", "boot 7"),
            good.replace("boot 7\n", "boot 7\n\n"),
            good.replace("boot 7\n", "boot 7\nboot 8\n"),
            good.replace("boot 7", "boot 07"),
            good.replace("boot 7", "boot +7"),
            good.replace("boot 7", "boot -7"),
            good.replace("boot 7", "boot 0"),
            good.replace("boot 7", "boot "),
            good.replace("boot 7", "boot 4294967296"),
            good.replace("boot 7\n", ""),
            good.replace('\n', "\r\n"),
            good.clone() + &" ".repeat(1_000),
            format!(" {good}"),
            String::new(),
        ];
        for text in changed {
            assert_eq!(parse(&text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_state_is_left_alone() {
        let (folder, path) = folder();
        let good = render(&[7; 32], 7);
        for text in ["", "secret\n", &good[..good.len() - 1], &good.repeat(100)] {
            keep(&path, text);
            let error = RelayState::begin(&path).unwrap_err();
            assert!(matches!(error, StateError::Malformed { .. }), "{error}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::write(&path, [0xff; 100]).unwrap();
        let error = RelayState::begin(&path).unwrap_err();
        assert!(matches!(error, StateError::Malformed { .. }), "{error}");
        let error = RelayState::begin(folder.path()).unwrap_err();
        assert!(matches!(error, StateError::Malformed { .. }), "{error}");
    }

    #[test]
    fn a_run_that_was_cut_off_while_writing_leaves_the_old_state() {
        let (_folder, path) = folder();
        // At the very first, there is none yet.
        keep(&beside(&path, "unfinished"), "parlor relay state 1\nkey 00");
        let (id, boot) = begin(&path);
        assert_eq!(boot, 1);
        let (seed, _) = parse(&fs::read_to_string(&path).unwrap()).unwrap();
        let next = render(&seed, 2);
        for (length, boot) in [(0, 2), (30, 3), (next.len(), 4)] {
            keep(&beside(&path, "unfinished"), &next[..length]);
            assert_eq!(begin(&path), (id.clone(), boot));
            assert!(!beside(&path, "unfinished").exists());
        }
    }

    #[test]
    fn a_state_that_cannot_be_replaced_stays() {
        let (folder, path) = folder();
        let (id, _) = begin(&path);
        fs::create_dir(beside(&path, "unfinished")).unwrap();
        let error = RelayState::begin(&path).unwrap_err();
        assert!(matches!(error, StateError::Write { .. }), "{error}");
        fs::remove_dir(beside(&path, "unfinished")).unwrap();
        assert_eq!(begin(&path), (id, 2));

        let error = RelayState::begin(&folder.path().join("none").join("relay")).unwrap_err();
        assert!(matches!(error, StateError::Write { .. }), "{error}");
        assert!(error.to_string().contains("its folder must exist"), "{error}");
        let error = RelayState::begin(Path::new("")).unwrap_err();
        assert!(matches!(error, StateError::Write { .. }), "{error}");
    }

    #[test]
    fn one_relay_at_a_time_has_a_state() {
        let (folder, path) = folder();
        let first = RelayState::begin(&path).unwrap();
        let again = folder.path().join(".").join("relay");
        for path in [&path, &again] {
            let error = RelayState::begin(path).unwrap_err();
            assert!(matches!(error, StateError::InUse { .. }), "{error}");
            let words = format!("another relay is using {}", path.display());
            assert!(error.to_string().contains(&words), "{error}");
        }
        // To have been refused is no boot.
        let id = first.identity().peer().to_string();
        drop(first);
        assert_eq!(begin(&path), (id, 2));
    }

    #[test]
    fn relays_that_begin_at_once_have_boots_of_their_own() {
        const THREADS: usize = 4;
        const EACH: usize = 2;
        let begin_often = |path: &Path, began: &mpsc::SyncSender<(u32, PeerId)>| {
            for _ in 0..EACH {
                let state = begin_in_turn(path);
                began.send((state.boot(), state.identity().peer())).unwrap();
            }
        };
        // Several times, since a state is made only once.
        for _ in 0..10 {
            let (_folder, path) = folder();
            let (sender, receiver) = mpsc::sync_channel(THREADS * EACH);
            thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| begin_often(&path, &sender));
                }
            });
            let mut began: Vec<_> = receiver.try_iter().collect();
            began.sort();
            let id = began[0].1;
            let expected: Vec<_> = (1..).map(|boot| (boot, id)).take(THREADS * EACH).collect();
            assert_eq!(began, expected);
        }
    }

    #[test]
    fn the_last_boot_is_the_last() {
        let (_folder, path) = folder();
        keep(&path, &render(&[7; 32], u32::MAX - 1));
        assert_eq!(begin(&path).1, u32::MAX);
        let error = RelayState::begin(&path).unwrap_err();
        assert!(matches!(error, StateError::Exhausted { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), render(&[7; 32], u32::MAX));
    }

    #[cfg(unix)]
    mod unix {
        use std::os::unix::fs::{PermissionsExt, symlink};

        use super::*;

        fn allow(path: &Path, mode: u32) {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }

        #[test]
        fn a_state_is_for_its_owner_alone() {
            let (_folder, path) = folder();
            let (id, _) = begin(&path);
            for file in [&path, &beside(&path, "lock")] {
                let mode = fs::metadata(file).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o600);
            }
            allow(&path, 0o640);
            let error = RelayState::begin(&path).unwrap_err();
            assert!(matches!(error, StateError::Exposed { mode: 0o640, .. }), "{error}");
            let fix = format!("chmod 600 {}", path.display());
            assert!(error.to_string().contains(&fix), "{error}");
            allow(&path, 0o600);
            assert_eq!(begin(&path), (id, 2));
        }

        #[test]
        fn a_folder_that_is_read_only_is_an_error() {
            let (folder, path) = folder();
            let (id, _) = begin(&path);
            allow(folder.path(), 0o500);
            if File::create(folder.path().join("probe")).is_ok() {
                println!("skipped: permissions do not bind who runs the tests");
                return;
            }
            let error = RelayState::begin(&path).unwrap_err();
            assert!(matches!(error, StateError::Write { .. }), "{error}");
            let error = RelayState::begin(&folder.path().join("other")).unwrap_err();
            assert!(matches!(error, StateError::Write { .. }), "{error}");
            allow(folder.path(), 0o700);
            assert_eq!(begin(&path), (id, 2));
            allow(&path, 0o000);
            let error = RelayState::begin(&path).unwrap_err();
            assert!(matches!(error, StateError::Read { .. }), "{error}");
        }

        #[test]
        fn a_link_leads_to_one_state() {
            let (folder, path) = folder();
            let link = folder.path().join("link");
            symlink(&path, &link).unwrap();
            let error = RelayState::begin(&link).unwrap_err();
            assert!(matches!(error, StateError::Read { .. }), "{error}");

            let first = RelayState::begin(&path).unwrap();
            let error = RelayState::begin(&link).unwrap_err();
            assert!(matches!(error, StateError::InUse { .. }), "{error}");
            let id = first.identity().peer().to_string();
            drop(first);
            assert_eq!(begin(&link), (id.clone(), 2));
            assert_eq!(begin(&path), (id, 3));
        }
    }
}
