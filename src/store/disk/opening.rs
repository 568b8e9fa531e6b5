//! How a store is made, and opened again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
#[cfg(unix)]
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Builder, ReadableDatabase};
use thiserror::Error;

use super::medium::Locked;
use super::pages::HeadError;
use super::view::Unread;
use super::{DiskStore, DiskStoreConfig, Medium, Pages, broken};
use crate::store::StoreError;

/// Why a store is not opened. The text is for who operates the relay. The store is as it was.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it.
    #[error("another process is using {path}: end it, or give this one a store of its own")]
    InUse {
        /// Which file.
        path: PathBuf,
    },
    /// It cannot be written to.
    #[error(
        "{path} cannot be written to: whoever runs the relay must be able to, and its disk too"
    )]
    ReadOnly {
        /// Which file.
        path: PathBuf,
    },
    /// It is something else.
    #[error("{path} is not a store of rooms: move it away and a new one begins")]
    NotAStore {
        /// Which file.
        path: PathBuf,
    },
    /// A later version made it.
    #[error(
        "{path} has version {found} of the format, and this program knows {known}: use a later one"
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: u16,
        /// The highest that is known.
        known: u16,
    },
    /// What holds it together is damaged, twice in the same place: none of its rooms can be served.
    #[error("{path} is damaged beyond use ({why}): put a backup in its place, and keep it aside")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There is no room left on its disk.
    #[error("there is no space for {path}: make some")]
    NoSpace {
        /// Which file.
        path: PathBuf,
    },
    /// The system says so.
    #[error("cannot open {path}: {source}; its folder must exist, and its disk be well")]
    Failed {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl OpenError {
    fn of(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Self::NoSpace { path }
            }
            ErrorKind::InvalidData => Self::Damaged { path, why: source.to_string() },
            _ => Self::Failed { path, source },
        }
    }
}

impl DiskStore {
    /// Opens the store in the file at `path`; if there is none, it is made. Its folder must exist. The
    /// store has the file alone until it is dropped. Costs reading what holds it together, a few pages,
    /// however many rooms it has.
    ///
    /// A store that is made can be read by its owner alone. While it is made it stands in
    /// `PATH.unfinished`, so that there is all of it at `path` or nothing.
    ///
    /// # Errors
    ///
    /// When it cannot be opened or made.
    pub fn open(path: &Path, config: DiskStoreConfig) -> Result<Self, OpenError> {
        match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => {
                let file = lock(file, path)?;
                Self::open_on(Box::new(file), path, config)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Self::make(path, config),
            Err(error) => Err(OpenError::of(path, error)),
        }
    }

    fn make(path: &Path, config: DiskStoreConfig) -> Result<Self, OpenError> {
        let (unfinished, file) = Unfinished::begin(path)?;
        let store = Self::open_on(Box::new(file), path, config)?;
        unfinished.finish()?;
        Ok(store)
    }

    /// Opens the store that is on `medium`, which nobody else has; on an empty one it is made. Errors
    /// call it `name`. A loss of power while it is made may leave what is no store.
    ///
    /// # Errors
    ///
    /// When it cannot be opened or made.
    pub fn open_on(
        medium: Box<dyn Medium>,
        name: &Path,
        config: DiskStoreConfig,
    ) -> Result<Self, OpenError> {
        let path = || name.to_path_buf();
        let pages = Pages::open(medium).map_err(|error| match error {
            HeadError::Foreign => OpenError::NotAStore { path: path() },
            HeadError::Newer(found) => {
                OpenError::Newer { path: path(), found, known: Pages::VERSION }
            }
            HeadError::Damaged => OpenError::Damaged { path: path(), why: error.to_string() },
            HeadError::Medium(source) => OpenError::of(name, source),
        })?;
        // Whatever redb says, or panics at: if the medium failed, that is why.
        let refused = |why| match pages.fault() {
            Some(source) => OpenError::of(name, source),
            None => OpenError::Damaged { path: path(), why },
        };
        let mut builder = Builder::new();
        builder.set_cache_size(config.cache_bytes);
        let opened = catch_unwind(AssertUnwindSafe(|| builder.create_with_backend(pages.clone())));
        let database = match opened {
            Ok(opened) => opened.map_err(|error| refused(error.to_string()))?,
            Err(_) => return Err(refused("the database panicked".into())),
        };
        let pages = pages.clone();
        let mut store = Self {
            database,
            pages,
            config,
            commits: 0,
            failed: None,
            has_checked: false,
            spared: BTreeSet::new(),
            unread: BTreeMap::new(),
        };
        store.prepare().map_err(|error| refused(error.to_string()))?;
        Ok(store)
    }

    /// The same store, opened anew: what is read from it now is what is on its medium.
    pub(super) fn reopened(self, name: &Path) -> Result<Self, OpenError> {
        let Self { database, pages, config, .. } = self;
        drop(database);
        let medium = pages.into_medium().ok_or_else(|| OpenError::InUse { path: name.into() })?;
        Self::open_on(medium, name, config)
    }

    /// A store without tables gets them; that it has them all is checked.
    fn prepare(&mut self) -> Result<(), StoreError> {
        self.ask(|store| {
            let is_new = {
                let read = store.database.begin_read().map_err(broken)?;
                read.list_tables().map_err(broken)?.next().is_none()
            };
            if is_new {
                store.transact(|pen| pen.begin())?;
            }
            store.view()?.next().map(drop).map_err(|unread| match unread {
                Unread::Damaged(why) | Unread::Unreadable(why) => broken(why),
                Unread::Failed(error) => error,
            })
        })
    }
}

/// A file that has not got its name yet: while it is made it stands in `PATH.unfinished`.
pub(super) struct Unfinished<'p> {
    path: &'p Path,
    at: PathBuf,
}

impl<'p> Unfinished<'p> {
    /// An empty file, in place of what was left of one.
    pub(super) fn begin(path: &'p Path) -> Result<(Self, Locked), OpenError> {
        let failed = |error| OpenError::of(path, error);
        let mut at = path.as_os_str().to_owned();
        at.push(".unfinished");
        let at = PathBuf::from(at);
        let mut options = OpenOptions::new();
        #[cfg(unix)]
        options.mode(0o600);
        let file = options.read(true).write(true).create(true).truncate(false).open(&at);
        let file = lock(file.map_err(failed)?, path)?;
        // Whoever had the lock before may have finished it.
        if path.exists() {
            return Err(OpenError::InUse { path: path.to_path_buf() });
        }
        file.0.set_len(0).map_err(failed)?;
        Ok((Self { path, at }, file))
    }

    /// Gives it its name: what is in it is synced, and whoever made it has it still.
    pub(super) fn finish(&self) -> Result<(), OpenError> {
        let renamed = fs::rename(&self.at, self.path).and_then(|()| sync_folder(self.path));
        renamed.map_err(|error| OpenError::of(self.path, error))
    }

    /// Removes it.
    pub(super) fn abandon(&self) {
        if let Err(error) = fs::remove_file(&self.at) {
            tracing::warn!(file = %self.at.display(), "what was begun is not removed: {error}");
        }
    }
}

fn lock(file: File, path: &Path) -> Result<Locked, OpenError> {
    match file.try_lock() {
        Ok(()) => Ok(Locked(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_path_buf() }),
        Err(TryLockError::Error(error)) => Err(OpenError::of(path, error)),
    }
}

/// That a file is there outlives a loss of power only once its folder does.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
