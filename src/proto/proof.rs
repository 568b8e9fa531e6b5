//! How both sides show that they know the app key, without saying it.

use crate::proto::id::{AppKey, PeerId, RoomName};

/// Who shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The peer, in its join.
    Peer,
    /// The relay, in its welcome.
    Relay,
}

/// HMAC-SHA256 with the app key over a domain, both peer ids, both nonces and the room; in each pair
/// the peer's comes first.
#[must_use]
pub fn prove(
    key: &AppKey,
    side: Side,
    (peer, relay): (PeerId, PeerId),
    nonces: (&[u8; 16], &[u8; 16]),
    room: &RoomName,
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
    room: &RoomName,
    proof: &[u8; 32],
) -> bool {
    key.proves(&parts(side, &peer, &relay, nonces, room), proof)
}

fn parts<'a>(
    side: Side,
    peer: &'a PeerId,
    relay: &'a PeerId,
    (ours, theirs): (&'a [u8; 16], &'a [u8; 16]),
    room: &'a RoomName,
) -> [&'a [u8]; 6] {
    let domain: &[u8] = match side {
        Side::Peer => b"parlor join",
        Side::Relay => b"parlor welcome",
    };
    [domain, peer.as_bytes(), relay.as_bytes(), ours, theirs, room.as_str().as_bytes()]
}
