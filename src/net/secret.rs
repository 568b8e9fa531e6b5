//! The secrets that sign admission tokens and webhooks, in files.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::net::identity::{create_private, exposed, fresh_seed, read_text};
use crate::net::webhook::{WebhookSecret, WebhookSecretError};
use crate::proto::token::TokenSecret;

/// The most bytes of a secret's file that are read; a good one has at most 97.
const MAX_FILE: u64 = 256;

/// Why there is no secret. The text names the file and what to do, and never what is in it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the secret in {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file cannot be made.
    #[error(
        "cannot make a token secret in {path}: {source}; its folder must exist and be writable"
    )]
    Create {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is a file already, which may be a secret that is in use.
    #[error("{path} is there already, and is left as it is: name another file")]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// Others on this computer can read the secret.
    #[error("others can read the secret in {path} (mode {mode:03o}): run `chmod 600 {path}`")]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file is not a secret.
    #[error(
        "{path} is no token secret (`k4.secret.`, 86 characters and a line end): \
         make one with `parlor token keygen`"
    )]
    Malformed {
        /// Which file.
        path: PathBuf,
    },
    /// The file is not a webhook's secret.
    #[error("{path}: {why}")]
    NoWebhookSecret {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: WebhookSecretError,
    },
}

/// Makes a fresh secret with randomness from the operating system, in a new file at `path` that only
/// its owner can read. The file has the secret's PASERK and a line end.
///
/// # Errors
///
/// When there is a file already, or it cannot be made.
pub fn create_token_secret(path: &Path) -> Result<TokenSecret, SecretError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => SecretError::Exists { path: path.to_owned() },
        _ => SecretError::Create { path: path.to_owned(), source },
    };
    let secret = TokenSecret::from_seed(fresh_seed())
        .map_err(|_| failed(io::Error::other("the system gives only zeros")))?;
    let mut file = create_private(path).map_err(failed)?;
    let text = format!("{}\n", secret.reveal());
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if let Err(source) = written {
        // It would be half a secret; but the first error is the one to tell.
        fs::remove_file(path).ok();
        return Err(failed(source));
    }
    Ok(secret)
}

/// The secret in the file at `path`.
///
/// # Errors
///
/// When the file cannot be read, is no secret, or can be read by others.
pub fn load_token_secret(path: &Path) -> Result<TokenSecret, SecretError> {
    load(path)?.trim_end().parse().map_err(|_| SecretError::Malformed { path: path.to_owned() })
}

/// The secret that webhooks are signed with, in the file at `path`: one line.
///
/// # Errors
///
/// When the file cannot be read, is no secret, or can be read by others.
pub fn load_webhook_secret(path: &Path) -> Result<WebhookSecret, SecretError> {
    let secret = load(path)?.trim_end().parse();
    secret.map_err(|why| SecretError::NoWebhookSecret { path: path.to_owned(), why })
}

fn load(path: &Path) -> Result<String, SecretError> {
    let read = |source| SecretError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(read)?;
    if let Some(mode) = exposed(&file).map_err(read)? {
        return Err(SecretError::Exposed { path: path.to_owned(), mode });
    }
    read_text(file, MAX_FILE).map_err(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_then_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        assert!(matches!(load_token_secret(&path), Err(SecretError::Read { .. })));
        let made = create_token_secret(&path).unwrap();
        assert_eq!(load_token_secret(&path).unwrap().reveal(), made.reveal());
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.len(), 97);
        assert!(matches!(create_token_secret(&path), Err(SecretError::Exists { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        let nowhere = folder.path().join("none").join("secret");
        assert!(matches!(create_token_secret(&nowhere), Err(SecretError::Create { .. })));
    }

    #[test]
    fn what_is_no_secret_is_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        create_private(&path).unwrap().write_all(b"k4.secret.almost").unwrap();
        let error = load_token_secret(&path).unwrap_err();
        assert!(matches!(error, SecretError::Malformed { .. }), "{error}");
        assert!(!error.to_string().contains("almost"), "{error}");
    }

    #[test]
    fn a_webhook_has_a_secret_of_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let text = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n";
        create_private(&path).unwrap().write_all(text).unwrap();
        let secret: WebhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        assert!(load_webhook_secret(&path).unwrap() == secret);
        fs::write(&path, "whsec_short").unwrap();
        let error = load_webhook_secret(&path).unwrap_err();
        assert!(matches!(error, SecretError::NoWebhookSecret { .. }), "{error}");
        assert!(!error.to_string().contains("short"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        create_token_secret(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = load_token_secret(&path).unwrap_err();
        assert!(matches!(error, SecretError::Exposed { mode: 0o644, .. }), "{error}");
    }
}
