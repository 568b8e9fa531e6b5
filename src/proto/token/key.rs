//! The keys that sign tokens and verify them.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use ed25519_dalek::{SigningKey, VerifyingKey};
use pasetors::keys::{AsymmetricPublicKey, AsymmetricSecretKey};
use pasetors::paserk::FormatAsPaserk;
use pasetors::version4::{PublicToken, V4};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::PURPOSE;
use crate::proto::id::Hex;

/// The beginning of a secret whose seed is nothing but zeros, which the library would panic at.
const ZEROS: &str = "k4.secret.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The name of a key in a token: the first 8 bytes of SHA-256 of the public key. In text, 16
/// hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What is written behind a token: which key has signed it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Footer {
    kid: String,
}

impl KeyId {
    fn footer(self) -> String {
        serde_json::to_string(&Footer { kid: self.to_string() }).expect("text becomes JSON")
    }

    /// The key that a footer names.
    pub(super) fn from_footer(footer: &[u8]) -> Option<Self> {
        let Footer { kid } = serde_json::from_slice(footer).ok()?;
        HEXLOWER.decode(kid.as_bytes()).ok()?.try_into().ok().map(Self)
    }
}

/// The public half of a key that signs tokens: what a relay is given. In text it is a PASERK,
/// `k4.public.` and 43 characters.
#[derive(Clone, PartialEq)]
pub struct TokenKey(AsymmetricPublicKey<V4>);

impl TokenKey {
    /// The key of these bytes.
    ///
    /// # Errors
    ///
    /// When they are no ed25519 key, or one with which anything can be signed.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, TokenKeyError> {
        VerifyingKey::from_bytes(bytes)
            .ok()
            .filter(|key| !key.is_weak())
            .and_then(|_| AsymmetricPublicKey::from(bytes).ok())
            .map(Self)
            .ok_or(TokenKeyError::Public)
    }

    /// How tokens name it.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let mut id = [0; 8];
        id.copy_from_slice(&Sha256::digest(self.0.as_bytes())[..8]);
        KeyId(id)
    }

    pub(super) const fn as_paseto(&self) -> &AsymmetricPublicKey<V4> {
        &self.0
    }
}

impl Eq for TokenKey {}

impl FromStr for TokenKey {
    type Err = TokenKeyError;

    fn from_str(text: &str) -> Result<Self, TokenKeyError> {
        let key: AsymmetricPublicKey<V4> = text.try_into().map_err(|_| TokenKeyError::Public)?;
        let bytes = key.as_bytes().try_into().map_err(|_| TokenKeyError::Public)?;
        Self::from_bytes(bytes)
    }
}

impl fmt::Display for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({})", self.id())
    }
}

/// The secret half of a [`TokenKey`]: it belongs to the application's server, and to nobody else.
/// It is overwritten in memory when it is dropped.
#[derive(Clone)]
pub struct TokenSecret {
    secret: AsymmetricSecretKey<V4>,
    public: TokenKey,
}

impl TokenSecret {
    /// The key of an ed25519 seed.
    ///
    /// # Errors
    ///
    /// When the seed is nothing but zeros.
    pub fn from_seed(seed: [u8; 32]) -> Result<Self, TokenKeyError> {
        if seed[..31].iter().all(|byte| *byte == 0) {
            return Err(TokenKeyError::Secret);
        }
        AsymmetricSecretKey::from(&SigningKey::from_bytes(&seed).to_keypair_bytes())
            .ok()
            .and_then(Self::whole)
            .ok_or(TokenKeyError::Secret)
    }

    fn whole(secret: AsymmetricSecretKey<V4>) -> Option<Self> {
        let public = AsymmetricPublicKey::try_from(&secret).ok()?;
        Some(Self { secret, public: TokenKey(public) })
    }

    /// What a relay is given, to know what this key has signed.
    #[must_use]
    pub const fn public(&self) -> &TokenKey {
        &self.public
    }

    /// The secret as a PASERK, `k4.secret.` and 86 characters: to be kept where only the
    /// application's server reads.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a string takes any text")]
    pub fn reveal(&self) -> String {
        let mut text = String::new();
        self.secret.fmt(&mut text).expect("a string takes any text");
        text
    }

    /// The token of a payload that is not empty, whatever it says.
    pub(crate) fn sign(&self, payload: &[u8]) -> String {
        let footer = self.public.id().footer();
        PublicToken::sign(&self.secret, payload, Some(footer.as_bytes()), Some(PURPOSE))
            .expect("the key is one, and the payload is not empty")
    }
}

impl FromStr for TokenSecret {
    type Err = TokenKeyError;

    fn from_str(text: &str) -> Result<Self, TokenKeyError> {
        if text.starts_with(ZEROS) {
            return Err(TokenKeyError::Secret);
        }
        text.try_into().ok().and_then(Self::whole).ok_or(TokenKeyError::Secret)
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenSecret({})", self.public.id())
    }
}

/// Why a text is no key. It never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TokenKeyError {
    /// It is no public key.
    #[error("this is no public token key: it is written `k4.public.` and 43 characters")]
    Public,
    /// It is no secret key.
    #[error("this is no secret token key: it is written `k4.secret.` and 86 characters")]
    Secret,
}
