//! The folder of a relay.

use std::fs::DirBuilder;
use std::path::{Path, PathBuf};

use parlor::store::{DiskStore, DiskStoreConfig};

use crate::failure::Failure;

/// Who the relay is and how often it has begun, in its folder.
const STATE: &str = "relay";
/// Its rooms.
const ROOMS: &str = "rooms.parlor";
/// Where it takes orders while it runs.
const SOCKET: &str = "rooms.socket";

/// Where its rooms are, in a relay's folder.
pub(crate) fn store_path(data: &Path) -> PathBuf {
    data.join(ROOMS)
}

/// Where a relay that runs takes orders, in its folder.
pub(crate) fn socket_path(data: &Path) -> PathBuf {
    data.join(SOCKET)
}

/// A folder with all that a relay keeps.
#[derive(Debug)]
pub(crate) struct DataFolder(PathBuf);

impl DataFolder {
    /// The folder at `path`, which is made if it is not there, for its owner alone.
    pub(crate) fn make(path: &Path) -> Result<Self, Failure> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::DirBuilderExt;
            builder.mode(0o700);
        }
        builder.create(path).map_err(|why| {
            Failure::failed(format!(
                "cannot make the folder {} ({why}): name one that can be made",
                path.display()
            ))
        })?;
        Ok(Self(path.to_owned()))
    }

    /// The file that says who the relay is.
    pub(crate) fn state(&self) -> PathBuf {
        self.0.join(STATE)
    }

    /// Where it takes orders.
    pub(crate) fn socket(&self) -> PathBuf {
        socket_path(&self.0)
    }

    /// Its rooms.
    pub(crate) fn open(&self) -> Result<DiskStore, Failure> {
        DiskStore::open(&store_path(&self.0), DiskStoreConfig::default()).map_err(Failure::failed)
    }
}
