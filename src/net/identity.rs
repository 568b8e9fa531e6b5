//! Identities in files, and as libp2p has them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER_PERMISSIVE;
use libp2p::identity::Keypair;
use thiserror::Error;

use crate::net::clock::Clock;
use crate::proto::id::{Identity, PeerId};

/// The most bytes of an identity file that are read; a good one has 65.
const MAX_FILE: u64 = 256;

/// What libp2p puts before an ed25519 key in a peer id (libp2p specs, `peer-ids`).
const MULTIHASH: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// Why there is no identity. The text names the file and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The file is there and cannot be read.
    #[error("cannot read the identity in {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is not there and cannot be made.
    #[error("cannot create an identity in {path}: {source}; its folder must exist and be writable")]
    Create {
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
    /// The file is not an identity.
    #[error(
        "{path} is not an identity (64 hexadecimal digits and a line end): \
         move it away and a new one is made"
    )]
    Malformed {
        /// Which file.
        path: PathBuf,
    },
}

/// The identity in the file at `path`: an ed25519 seed of 32 bytes in hexadecimal and a line end.
///
/// If there is no such file, one is made with fresh randomness from the operating system, readable
/// only by its owner. It appears whole or not at all, and when several processes do this at once,
/// all return the identity of the one that was first.
///
/// # Errors
///
/// When the file cannot be read or made, is not an identity, or can be read by others.
pub fn load_or_create(path: &Path) -> Result<Identity, IdentityError> {
    match File::open(path) {
        Ok(file) => load(path, file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let seed = fresh_seed();
            match create(path, seed) {
                Ok(()) => Ok(Identity::from_seed(seed)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    load(path, File::open(path).map_err(|source| read(path, source))?)
                }
                Err(source) => Err(IdentityError::Create { path: path.to_owned(), source }),
            }
        }
        Err(source) => Err(read(path, source)),
    }
}

/// The key pair that libp2p authenticates connections with.
pub(crate) fn keypair(identity: &Identity) -> Keypair {
    Keypair::ed25519_from_bytes(identity.to_seed()).expect("any 32 bytes are an ed25519 seed")
}

/// The peer that libp2p calls `peer`, if it is the id of an ed25519 key.
pub(crate) fn peer_from_libp2p(peer: &libp2p::PeerId) -> Option<PeerId> {
    let bytes = peer.to_bytes();
    let key = bytes.strip_prefix(&MULTIHASH)?;
    Some(PeerId::new(key.try_into().ok()?))
}

/// What libp2p calls a peer.
///
/// # Panics
///
/// Never: the bytes are an identity multihash.
pub(crate) fn peer_to_libp2p(peer: PeerId) -> libp2p::PeerId {
    let bytes = [&MULTIHASH[..], peer.as_bytes()].concat();
    libp2p::PeerId::from_bytes(&bytes).expect("it is the id of an ed25519 key")
}

/// The mode of a file with a secret, if others than its owner can use it.
#[cfg(unix)]
pub(crate) fn exposed(file: &File) -> io::Result<Option<u32>> {
    use std::os::unix::fs::PermissionsExt;

    let mode = file.metadata()?.permissions().mode() & 0o777;
    Ok((mode & 0o077 != 0).then_some(mode))
}

/// The mode of a file with a secret, if others than its owner can use it.
#[cfg(not(unix))]
pub(crate) fn exposed(_: &File) -> io::Result<Option<u32>> {
    Ok(None)
}

/// The first `most` bytes of `file`; nothing, which is no secret either, if they are not text.
pub(crate) fn read_text(file: File, most: u64) -> io::Result<String> {
    let mut text = String::new();
    match file.take(most).read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// A new file that only its owner can use. Fails if there is one.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)
}

/// 32 bytes from the operating system, by way of a key that libp2p draws.
pub(crate) fn fresh_seed() -> [u8; 32] {
    let key = Keypair::generate_ed25519()
        .try_into_ed25519()
        .expect("a pair that was just made as ed25519 is ed25519");
    let mut seed = [0; 32];
    seed.copy_from_slice(&key.secret().as_ref()[..32]);
    seed
}

fn load(path: &Path, file: File) -> Result<Identity, IdentityError> {
    if let Some(mode) = exposed(&file).map_err(|source| read(path, source))? {
        return Err(IdentityError::Exposed { path: path.to_owned(), mode });
    }
    let text = read_text(file, MAX_FILE).map_err(|source| read(path, source))?;
    HEXLOWER_PERMISSIVE
        .decode(text.trim_end().as_bytes())
        .ok()
        .and_then(|seed| seed.try_into().ok())
        .map(Identity::from_seed)
        .ok_or_else(|| IdentityError::Malformed { path: path.to_owned() })
}

/// Writes the file beside its place and then links it there, which fails if one is there already.
fn create(path: &Path, seed: [u8; 32]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.{}", std::process::id(), Clock::unix_micros()));
    let temporary = PathBuf::from(temporary);
    let mut file = create_private(&temporary)?;
    let written = file
        .write_all(format!("{}\n", HEXLOWER_PERMISSIVE.encode(&seed)).as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::hard_link(&temporary, path));
    let removed = fs::remove_file(&temporary);
    written.and(removed)
}

fn read(path: &Path, source: io::Error) -> IdentityError {
    IdentityError::Read { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_made_once_and_then_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity");
        let made = load_or_create(&path).unwrap();
        let read = load_or_create(&path).unwrap();
        assert_eq!(made.to_seed(), read.to_seed());
        assert_eq!(fs::read_to_string(&path).unwrap().len(), 65);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn an_identity_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity");
        load_or_create(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = load_or_create(&path).unwrap_err();
        assert!(matches!(error, IdentityError::Exposed { mode: 0o644, .. }));
        let fix = format!("chmod 600 {}", path.display());
        assert!(error.to_string().contains(&fix), "{error}");
    }

    #[test]
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity");
        let missing = folder.path().join("none").join("identity");
        let error = load_or_create(&missing).unwrap_err();
        assert!(error.to_string().contains("none"), "{error}");

        load_or_create(&path).unwrap();
        fs::write(&path, "secret\n").unwrap();
        let error = load_or_create(&path).unwrap_err();
        assert!(matches!(error, IdentityError::Malformed { .. }));
    }

    #[test]
    fn a_peer_has_the_same_name_in_libp2p() {
        let identity = Identity::from_seed([7; 32]);
        let peer = keypair(&identity).public().to_peer_id();
        assert_eq!(peer.to_string(), identity.peer().to_string());
        assert_eq!(peer_from_libp2p(&peer), Some(identity.peer()));
        assert_eq!(peer_from_libp2p(&libp2p::PeerId::random()), None);
    }
}
