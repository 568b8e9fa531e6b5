//! What a relay knows of an application's tokens.

use std::collections::BTreeMap;

use thiserror::Error;

use super::claims::{Claims, Sealed};
use super::config::TokenConfig;
use super::fault::TokenFault;
use super::key::{KeyId, TokenKey};
use super::role::Role;
use crate::proto::id::{AppId, PeerId, RoomName};

/// The keys of one application whose tokens are good, and which tokens are revoked.
///
/// There may be two keys, so that one can follow the other without anybody being locked out: insert
/// the new one, issue with it, and retire the old one when its last token has expired.
#[derive(Clone, Debug)]
pub struct TokenRing {
    config: TokenConfig,
    keys: Vec<TokenKey>,
    ids: Revoked<String>,
    peers: Revoked<PeerId>,
}

/// Why a ring stays as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RingError {
    /// It has as many keys as it may have.
    #[error("an application has at most {} token keys: retire one first", TokenRing::KEYS)]
    Keys,
    /// As many are revoked as can be remembered.
    #[error(
        "{limit} are revoked already, and no more are remembered: \
         retire the key that signed them, or raise `TokenConfig::revoked`"
    )]
    Full {
        /// How many are remembered.
        limit: usize,
    },
}

impl TokenRing {
    /// How many keys an application may have at a time.
    pub const KEYS: usize = 2;

    /// A ring without keys: no token is good.
    #[must_use]
    pub fn new(config: TokenConfig) -> Self {
        let (ids, peers) = (Revoked::new(config.revoked), Revoked::new(config.revoked));
        Self { config, keys: Vec::new(), ids, peers }
    }

    /// What was set for it.
    #[must_use]
    pub const fn config(&self) -> &TokenConfig {
        &self.config
    }

    /// Takes tokens of `key` from now on. One that is there already stays.
    ///
    /// # Errors
    ///
    /// [`RingError::Keys`], if there are [`Self::KEYS`] others.
    pub fn insert(&mut self, key: TokenKey) -> Result<(), RingError> {
        if self.keys.contains(&key) {
            return Ok(());
        }
        if self.keys.len() == Self::KEYS {
            return Err(RingError::Keys);
        }
        self.keys.push(key);
        Ok(())
    }

    /// Takes tokens of this key no longer. Returns whether there was such a key.
    pub fn retire(&mut self, key: KeyId) -> bool {
        let before = self.keys.len();
        self.keys.retain(|other| other.id() != key);
        self.keys.len() < before
    }

    /// The keys whose tokens are taken.
    #[must_use]
    pub fn keys(&self) -> &[TokenKey] {
        &self.keys
    }

    /// Refuses the token of this [`id`](Claims::id) until `until`, in Unix seconds, which is to be
    /// its `expires` or later, and `u64::MAX` for ever. What is over at `now` is forgotten.
    ///
    /// # Errors
    ///
    /// [`RingError::Full`], if as many are revoked as are remembered.
    pub fn revoke_id(&mut self, id: &str, until: u64, now: u64) -> Result<(), RingError> {
        self.ids.insert(id.to_owned(), self.config.ends(until), now)
    }

    /// Refuses every token of this peer until `until`, in Unix seconds, those included that are issued
    /// later. What is over at `now` is forgotten.
    ///
    /// # Errors
    ///
    /// [`RingError::Full`], if as many are revoked as are remembered.
    pub fn revoke_peer(&mut self, peer: PeerId, until: u64, now: u64) -> Result<(), RingError> {
        self.peers.insert(peer, self.config.ends(until), now)
    }

    /// Whether `token` lets `peer` into `room` of `app` at `now`, in Unix seconds, and with what
    /// rights. Without a room, whether it lets the peer ask about rooms: which of them it is for does
    /// not matter then. That it may join is among what is checked; all else is for the caller to
    /// [require](Claims::require).
    ///
    /// # Errors
    ///
    /// The first thing that is wrong: that it is no token, its key, its signature, the application,
    /// the peer, the room, how long it is good for, when, whether it was revoked, and its role.
    pub fn verify(
        &self,
        token: &str,
        app: AppId,
        peer: PeerId,
        room: Option<&RoomName>,
        now: u64,
    ) -> Result<Claims, TokenFault> {
        let claims = self.open(token)?;
        if claims.app != app {
            return Err(TokenFault::OtherApp);
        }
        if claims.peer != peer {
            return Err(TokenFault::OtherPeer);
        }
        if room.is_some_and(|room| !claims.rooms.matches(room)) {
            return Err(TokenFault::OtherRoom);
        }
        self.check(&claims, now)?;
        claims.require(Role::Join)?;
        Ok(claims)
    }

    /// What `token` says, if one of the keys has signed it; whether it is good for anything is not
    /// looked at.
    ///
    /// # Errors
    ///
    /// That it is no token, its key, or its signature.
    pub fn open(&self, token: &str) -> Result<Claims, TokenFault> {
        let sealed = Sealed::read(token, &self.config)?;
        let key = self.keys.iter().find(|key| key.id() == sealed.key);
        sealed.open(key.ok_or(TokenFault::UnknownKey)?.as_paseto())
    }

    /// Whether claims are still good at `now`, in Unix seconds: for who is in the room already.
    ///
    /// # Errors
    ///
    /// That it is good for too long, not yet, not any more, or revoked.
    pub fn check(&self, claims: &Claims, now: u64) -> Result<(), TokenFault> {
        let limit = self.config.lifetime.as_secs();
        if claims.expires.saturating_sub(claims.not_before) > limit {
            return Err(TokenFault::TooLongLived { limit });
        }
        if now.saturating_add(self.config.leeway.as_secs()) < claims.not_before {
            return Err(TokenFault::NotYet { starts: claims.not_before });
        }
        if now >= self.config.ends(claims.expires) {
            return Err(TokenFault::Expired { since: claims.expires });
        }
        if self.ids.has(&claims.id, now) || self.peers.has(&claims.peer, now) {
            return Err(TokenFault::Revoked);
        }
        Ok(())
    }
}

/// What is refused, and until when.
#[derive(Clone, Debug)]
struct Revoked<K> {
    limit: usize,
    until: BTreeMap<K, u64>,
}

impl<K: Ord> Revoked<K> {
    const fn new(limit: usize) -> Self {
        Self { limit, until: BTreeMap::new() }
    }

    fn has(&self, key: &K, now: u64) -> bool {
        self.until.get(key).is_some_and(|until| now < *until)
    }

    /// Refuses `key` until then, or until later if it is so already.
    fn insert(&mut self, key: K, until: u64, now: u64) -> Result<(), RingError> {
        self.until.retain(|_, until| now < *until);
        if self.until.len() >= self.limit && !self.until.contains_key(&key) {
            return Err(RingError::Full { limit: self.limit });
        }
        let kept = self.until.entry(key).or_default();
        *kept = until.max(*kept);
        Ok(())
    }
}
