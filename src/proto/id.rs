//! Who and where: newtypes that cannot be mistaken for each other.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use unicode_normalization::UnicodeNormalization;

/// A peer for as long as it keeps its key: an ed25519 public key.
///
/// Shown as libp2p shows it (base58 of the identity multihash), so that the peer in an address and
/// the peer in a room read the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerId([u8; 32]);

/// What libp2p puts before an ed25519 key in a peer id: identity multihash of 36 bytes, which are a
/// protobuf of key type 1 and 32 bytes of key (libp2p specs, `peer-ids`).
const MULTIHASH: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

impl PeerId {
    /// The peer that holds the secret half of `public`.
    #[must_use]
    pub const fn new(public: [u8; 32]) -> Self {
        Self(public)
    }

    /// The ed25519 public key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether `signature` is this peer's over `message`, by the strict rule that refuses weak keys.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        VerifyingKey::from_bytes(&self.0)
            .and_then(|key| key.verify_strict(message, &Signature::from_bytes(signature)))
            .is_ok()
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = MULTIHASH.to_vec();
        bytes.extend_from_slice(&self.0);
        f.write_str(&bs58::encode(bytes).into_string())
    }
}

impl FromStr for PeerId {
    type Err = PeerIdError;

    fn from_str(text: &str) -> Result<Self, PeerIdError> {
        let mut bytes = [0; MULTIHASH.len() + 32];
        match bs58::decode(text).onto(&mut bytes) {
            Ok(length) if length == bytes.len() && bytes.starts_with(&MULTIHASH) => {
                let mut public = [0; 32];
                public.copy_from_slice(&bytes[MULTIHASH.len()..]);
                Ok(Self(public))
            }
            _ => Err(PeerIdError::Malformed),
        }
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0[..4]))
    }
}

/// Why a text is no [`PeerId`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PeerIdError {
    /// It is not the id of an ed25519 key as libp2p writes it.
    #[error("this is no peer id: it begins with 12D3KooW and has 52 characters")]
    Malformed,
}

/// The secret half of a [`PeerId`].
#[derive(Clone)]
pub struct Identity(SigningKey);

impl Identity {
    /// The identity of an ed25519 seed.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    /// The ed25519 seed: keep it secret.
    #[must_use]
    pub fn to_seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Who this identity is to others.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        PeerId(self.0.verifying_key().to_bytes())
    }

    /// Signs `message` (RFC 8032, deterministic).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({:?})", self.peer())
    }
}

/// One connection, as its driver numbers them. Never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Link(pub u64);

/// The number of a connection in its room, given by the relay, small and never used twice there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ClientNumber(pub u32);

impl fmt::Display for ClientNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One of a room's documents.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct DocumentId(pub u32);

impl DocumentId {
    /// The document that holds models.
    pub const MODELS: Self = Self(0);
    /// The document that holds texts.
    pub const TEXTS: Self = Self(1);
    /// Every document of a room, in order.
    pub const ALL: [Self; 2] = [Self::MODELS, Self::TEXTS];

    /// Its place in [`Self::ALL`]; that of models for one that is not there.
    #[must_use]
    pub const fn place(self) -> usize {
        (self.0 == Self::TEXTS.0) as usize
    }
}

/// One of the independent streams of a link: see `datastore-spec/wire.md`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Lane {
    /// Join, members, clock, acknowledgements, signatures.
    Control,
    /// Changes of documents.
    Document,
    /// Snapshots for those who join late, apart so that they delay nothing else.
    Snapshot,
    /// What is only worth something while it is new. Frames may be lost, and come in any order.
    State,
}

impl Lane {
    /// Every lane, in order.
    pub const ALL: [Self; 4] = [Self::Control, Self::Document, Self::Snapshot, Self::State];
    /// Those whose frames all arrive, and in order.
    pub const RELIABLE: [Self; 3] = [Self::Control, Self::Document, Self::Snapshot];
}

/// Which room: those of different applications are different rooms.
pub type RoomKey = (AppId, RoomName);

/// A room's name: 1 to 512 characters of any Unicode, kept in normal form C.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RoomName(String);

impl RoomName {
    /// The most characters (Unicode scalars) that a name may have.
    pub const MAX_CHARS: usize = 512;

    /// The normal form of `name`.
    ///
    /// # Errors
    ///
    /// When it is empty or longer than [`Self::MAX_CHARS`].
    pub fn new(name: &str) -> Result<Self, RoomNameError> {
        // Four bytes a scalar, and normal form C at most triples a string: refuse before the work.
        if name.len() > Self::MAX_CHARS * 12 {
            return Err(RoomNameError::TooLong { chars: name.chars().count() });
        }
        let name: String = name.nfc().collect();
        match name.chars().count() {
            0 => Err(RoomNameError::Empty),
            chars if chars > Self::MAX_CHARS => Err(RoomNameError::TooLong { chars }),
            _ => Ok(Self(name)),
        }
    }

    /// The name in normal form C.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RoomName {
    type Err = RoomNameError;

    fn from_str(name: &str) -> Result<Self, RoomNameError> {
        Self::new(name)
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// A room in short: where its name is too long, or not to be told. It follows from the name, so whoever
/// knows that knows this; and a relay finds by it the rooms that are open.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RoomId(pub [u8; 8]);

impl RoomId {
    /// The first 8 bytes of `digest("parlor room", app, name)`.
    #[must_use]
    pub fn of(app: AppId, name: &RoomName) -> Self {
        let digest = digest("parlor room", &[&app.0, name.as_str().as_bytes()]);
        let mut id = [0; 8];
        id.copy_from_slice(&digest[..8]);
        Self(id)
    }
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

impl fmt::Debug for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RoomId {
    type Err = RoomIdError;

    fn from_str(text: &str) -> Result<Self, RoomIdError> {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes());
        let bytes = bytes.ok().and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
        bytes.map(Self).ok_or_else(|| RoomIdError { text: text.to_owned() })
    }
}

/// Why a text is no [`RoomId`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is no room's id: it has 16 hexadecimal digits")]
pub struct RoomIdError {
    /// The text.
    pub text: String,
}

/// Why a name cannot be a room's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RoomNameError {
    /// It has no characters.
    #[error("the room name is empty: give it 1 to {} characters", RoomName::MAX_CHARS)]
    Empty,
    /// It has too many.
    #[error("the room name has {chars} characters: shorten it to {}", RoomName::MAX_CHARS)]
    TooLong {
        /// How many it has.
        chars: usize,
    },
}

/// The shared secret of an application. It never travels: see [`AppKey::prove`].
#[derive(Clone, PartialEq, Eq)]
pub struct AppKey(Vec<u8>);

impl AppKey {
    /// The key that is the bytes of `secret`.
    ///
    /// # Errors
    ///
    /// When it is empty.
    pub fn new(secret: impl Into<Vec<u8>>) -> Result<Self, AppKeyError> {
        let secret = secret.into();
        if secret.is_empty() { Err(AppKeyError::Empty) } else { Ok(Self(secret)) }
    }

    /// How the application is named to a relay: the first 8 bytes of SHA-256 of the key.
    #[must_use]
    pub fn app(&self) -> AppId {
        let mut app = [0; 8];
        app.copy_from_slice(&Sha256::digest(&self.0)[..8]);
        AppId(app)
    }

    /// HMAC-SHA256 of `parts`, each preceded by its length (u32, little endian).
    #[must_use]
    pub fn prove(&self, parts: &[&[u8]]) -> [u8; 32] {
        self.mac(parts).finalize().into_bytes().into()
    }

    /// Whether `proof` is [`Self::prove`] of `parts`, compared in constant time.
    #[must_use]
    pub fn proves(&self, parts: &[&[u8]], proof: &[u8; 32]) -> bool {
        self.mac(parts).verify_slice(proof).is_ok()
    }

    fn mac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        for part in parts {
            mac.update(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
            mac.update(part);
        }
        mac
    }
}

impl fmt::Debug for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AppKey({:?})", self.app())
    }
}

/// Why bytes cannot be an application's key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AppKeyError {
    /// There are none.
    #[error("the app key is empty: pass the secret that the application and its relay share")]
    Empty,
}

/// An application, named without its key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AppId(pub [u8; 8]);

impl fmt::Debug for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

/// An epoch of a room's documents: what actors and well-known objects are derived from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EpochId(pub [u8; 32]);

impl EpochId {
    /// The first epoch of a room, the same on every peer and without any relay.
    #[must_use]
    pub fn first(app: AppId, room: &RoomName) -> Self {
        Self(digest("parlor epoch", &[&app.0, room.as_str().as_bytes()]))
    }
}

impl fmt::Debug for EpochId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0[..4]))
    }
}

/// SHA-256 of a domain and `parts`, each preceded by its length (u32, little endian): the one way
/// in which this crate derives identifiers.
#[must_use]
pub(crate) fn digest(domain: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in std::iter::once(&domain.as_bytes()).chain(parts) {
        hash.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Bytes as lower-case hexadecimal.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_name_is_kept_in_normal_form() {
        let composed = RoomName::new("caf\u{e9}").unwrap();
        assert_eq!(RoomName::new("cafe\u{301}").unwrap(), composed);
        assert_eq!(RoomName::new(""), Err(RoomNameError::Empty));
        assert!(RoomName::new(&"\u{1F30D}".repeat(512)).is_ok());
        assert_eq!(RoomName::new(&"x".repeat(513)), Err(RoomNameError::TooLong { chars: 513 }));
    }

    #[test]
    fn a_proof_depends_on_where_its_parts_end() {
        let key = AppKey::new("secret").unwrap();
        let proof = key.prove(&[b"ab", b"c"]);
        assert!(key.proves(&[b"ab", b"c"], &proof));
        assert!(!key.proves(&[b"a", b"bc"], &proof));
        assert!(!AppKey::new("other").unwrap().proves(&[b"ab", b"c"], &proof));
    }

    #[test]
    fn a_peer_is_shown_as_libp2p_shows_it() {
        let peer = Identity::from_seed([1; 32]).peer();
        assert!(peer.to_string().starts_with("12D3KooW"), "{peer}");
    }

    #[test]
    fn a_peer_is_read_as_it_is_shown_and_in_no_other_way() {
        let peer = Identity::from_seed([1; 32]).peer();
        let text = peer.to_string();
        assert_eq!(text.parse(), Ok(peer));
        let wrong = [
            String::new(),
            text[1..].to_owned(),
            format!("{text}1"),
            format!("1{text}"),
            text.replace("12D3", "12d3"),
            format!(" {text}"),
            "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N".to_owned(),
            "1".repeat(100_000),
        ];
        for text in wrong {
            assert_eq!(text.parse::<PeerId>(), Err(PeerIdError::Malformed));
        }
    }
}
