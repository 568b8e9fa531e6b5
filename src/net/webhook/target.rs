//! Where requests go.

use std::fmt;

use hyper::Uri;
use thiserror::Error;

use super::config::WebhookConfig;
use super::secret::WebhookSecret;

/// The most bytes of a target's URL.
const MAX_URL: usize = 2 << 10;

/// Where an application's server takes webhooks, and what they are signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    pub(super) uri: Uri,
    pub(super) secret: WebhookSecret,
}

/// Why there is no such target. The text says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TargetError {
    /// It is no URL of a server.
    #[error("the webhook's URL must be as https://example.com/hooks, without a name or password")]
    Malformed,
    /// It is one without TLS.
    #[error("the webhook's URL must be https: others could read and change what goes there")]
    Plain,
}

impl Target {
    /// The target at `url`. Whether its address is one that may be connected to is looked at each
    /// time that it is.
    ///
    /// # Errors
    ///
    /// When it is no `https` URL with a host (or `http`, if `config` allows that), has a name or
    /// password in it, or is longer than 2 KiB.
    pub fn new(
        url: &str,
        secret: WebhookSecret,
        config: &WebhookConfig,
    ) -> Result<Self, TargetError> {
        if url.len() > MAX_URL {
            return Err(TargetError::Malformed);
        }
        let uri: Uri = url.parse().map_err(|_| TargetError::Malformed)?;
        let authority = uri.authority().ok_or(TargetError::Malformed)?;
        if authority.host().is_empty() || authority.as_str().contains('@') {
            return Err(TargetError::Malformed);
        }
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if config.allow_plain => {}
            Some("http") => return Err(TargetError::Plain),
            _ => return Err(TargetError::Malformed),
        }
        Ok(Self { uri, secret })
    }
}

/// Without the path, in which many put a secret.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.uri.host().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_url_with_tls() {
        let secret: WebhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        let strict = WebhookConfig::default();
        let new = |url: &str| Target::new(url, secret.clone(), &strict);
        assert!(new("https://example.com/hooks?app=1").is_ok());
        assert!(new("https://[2606:4700::1111]:8443/").is_ok());
        assert_eq!(new("http://example.com/"), Err(TargetError::Plain));
        let long = format!("https://example.com/{}", "x".repeat(2_048));
        for url in ["", "/hooks", "example.com", "ftp://example.com/", "https://", "https:///x"] {
            assert_eq!(new(url), Err(TargetError::Malformed), "{url}");
        }
        assert_eq!(new(&long), Err(TargetError::Malformed));
        assert_eq!(new("https://ann:secret@example.com/"), Err(TargetError::Malformed));
        let plain = WebhookConfig { allow_plain: true, ..strict.clone() };
        let target = Target::new("http://example.com/hidden", secret.clone(), &plain).unwrap();
        assert_eq!(format!("{target:?}"), "Target(example.com)");
    }
}
