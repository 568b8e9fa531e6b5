//! How long, large and many.

use std::time::Duration;

/// What is taken of tokens. Times count in whole seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenConfig {
    /// How long a token may be good for, from its `not_before` to its `expires`. A longer one is
    /// refused ([`TokenFault::TooLongLived`](super::TokenFault::TooLongLived)): revoked ones have to
    /// be remembered for as long.
    pub lifetime: Duration,
    /// How far the clocks of who issues and who verifies may be apart: so much earlier than
    /// `not_before` and so much later than `expires` a token is still good.
    pub leeway: Duration,
    /// Bytes of a token's text. A longer one is not read
    /// ([`TokenFault::TooLong`](super::TokenFault::TooLong)).
    pub bytes: usize,
    /// How long before its token ends a peer is to be warned, so that it brings another.
    pub warning: Duration,
    /// How many revoked tokens are remembered at once, and how many revoked peers. One more is an
    /// error ([`RingError::Full`](super::RingError::Full)) and not revoked.
    pub revoked: usize,
}

impl Default for TokenConfig {
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(24 * 60 * 60),
            leeway: Duration::from_secs(10),
            bytes: 2 << 10,
            warning: Duration::from_secs(60),
            revoked: 4_096,
        }
    }
}

impl TokenConfig {
    /// When a token with this `expires` is no longer good, in Unix seconds: who came in with it is
    /// sent away then.
    #[must_use]
    pub const fn ends(&self, expires: u64) -> u64 {
        expires.saturating_add(self.leeway.as_secs())
    }

    /// When who came in with such a token is to be warned, in Unix seconds.
    #[must_use]
    pub const fn warns(&self, expires: u64) -> u64 {
        self.ends(expires).saturating_sub(self.warning.as_secs())
    }
}
