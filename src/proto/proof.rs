//! How both sides show that they know the app key, or a room's password, without saying it.

use unicode_normalization::UnicodeNormalization;

use crate::proto::id::{AppId, AppKey, PeerId, RoomName, digest};

/// Who shows what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The peer, in its join.
    Peer,
    /// The relay, in its welcome.
    Relay,
    /// The peer, that it knows the room's password.
    Password,
    /// The peer, when it comes into no room: its name is empty then.
    Visitor,
}

/// HMAC-SHA256 with the app key over a domain, both peer ids, both nonces and the room; in each pair
/// the peer's comes first.
#[must_use]
pub fn prove(
    key: &AppKey,
    side: Side,
    (peer, relay): (PeerId, PeerId),
    nonces: (&[u8; 16], &[u8; 16]),
    room: &str,
) -> [u8; 32] {
    key.prove(&parts(side, &peer, &relay, nonces, room))
}

/// Whether a proof is the one that [`prove`] gives, compared in constant time.
#[must_use]
pub fn proves(
    key: &AppKey,
    side: Side,
    (peer, relay): (PeerId, PeerId),
    nonces: (&[u8; 16], &[u8; 16]),
    room: &str,
    proof: &[u8; 32],
) -> bool {
    key.proves(&parts(side, &peer, &relay, nonces, room), proof)
}

fn parts<'a>(
    side: Side,
    peer: &'a PeerId,
    relay: &'a PeerId,
    (ours, theirs): (&'a [u8; 16], &'a [u8; 16]),
    room: &'a str,
) -> [&'a [u8]; 6] {
    let domain: &[u8] = match side {
        Side::Peer => b"parlor join",
        Side::Relay => b"parlor welcome",
        Side::Password => b"parlor password",
        Side::Visitor => b"parlor visit",
    };
    [domain, peer.as_bytes(), relay.as_bytes(), ours, theirs, room.as_bytes()]
}

/// What a relay has of a room's password: enough to see that somebody knows it, and, as it is no slow
/// digest, to try guesses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PasswordKey(pub [u8; 32]);

impl PasswordKey {
    /// `digest("parlor password key", app, room, password)`, of the password in normal form C.
    #[must_use]
    pub fn of(app: AppId, room: &RoomName, password: &str) -> Self {
        let password: String = password.nfc().collect();
        let parts = [&app.0, room.as_str().as_bytes(), password.as_bytes()];
        Self(digest("parlor password key", &parts))
    }

    /// The key with which it is proved: see [`prove`], with [`Side::Password`].
    ///
    /// # Panics
    ///
    /// Never: it has 32 bytes.
    #[must_use]
    pub fn secret(&self) -> AppKey {
        AppKey::new(self.0).expect("not empty")
    }
}

/// Does not say it: it is a key.
impl std::fmt::Debug for PasswordKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordKey(..)")
    }
}
