//! Bytes and messages. The only module that sees undecoded bytes from strangers; past it every
//! value is well formed and every collection within its bound.
//!
//! A frame is one byte of protocol major version and one [`Message`] in postcard. On a stream it is
//! preceded by its length, which the transport checks before it reads on. `datastore-spec/wire.md`
//! has the whole of it.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::expect_used)]

pub mod bounded;
pub mod message;
pub mod rooms;

use bytes::Bytes;
use thiserror::Error;

use self::bounded::Blob;
use self::message::{Message, POSITIONS};
use crate::proto::id::DocumentId;
use crate::proto::reason::Version;

/// The most bytes that any frame may have, whatever a configuration says.
pub const MAX_FRAME: usize = 1 << 20;

/// The variants whose records are the rest of the frame.
const DELTAS: u32 = 18;
const BUNDLE: u32 = 19;

/// The frame of a message.
#[must_use]
pub fn encode(message: &Message) -> Bytes {
    let (head, rest) = if let Message::Deltas { document, position, records } = message {
        (postcard::to_allocvec(&(DELTAS, document, position)), &records[..])
    } else if let Message::Bundle { document, position, records } = message {
        (postcard::to_allocvec(&(BUNDLE, document, position)), &records[..])
    } else {
        (postcard::to_allocvec(message), &[][..])
    };
    let mut frame = vec![major()];
    // Every type of `message` is one that postcard can write, so this fails only without memory.
    if let Ok(head) = head {
        frame.extend_from_slice(&head);
        frame.extend_from_slice(rest);
    }
    Bytes::from(frame)
}

/// The message of a frame of at most `limit` bytes.
///
/// # Errors
///
/// When the frame or one of its collections is too large, when its version is another one, when it
/// is no message, or when bytes are left over.
pub fn decode(frame: &[u8], limit: usize) -> Result<Message, DecodeError> {
    let limit = limit.min(MAX_FRAME);
    if frame.len() > limit {
        return Err(DecodeError::TooLarge { limit, size: frame.len() });
    }
    let (&version, body) = frame.split_first().ok_or(DecodeError::Malformed)?;
    if version != major() {
        return Err(DecodeError::Version { major: version });
    }
    if let Ok((variant @ (DELTAS | BUNDLE), body)) = postcard::take_from_bytes(body) {
        return records(variant, body).ok_or(DecodeError::Malformed);
    }
    bounded::forget_excess();
    match postcard::take_from_bytes(body) {
        Ok((message, [])) => Ok(message),
        Ok((_, rest)) => Err(DecodeError::Trailing { bytes: rest.len() }),
        Err(_) => Err(bounded::excess()
            .map_or(DecodeError::Malformed, |(limit, size)| DecodeError::TooLarge { limit, size })),
    }
}

/// The message of a variant whose records are the rest of the frame.
fn records(variant: u32, body: &[u8]) -> Option<Message> {
    let ((document, position), rest) = postcard::take_from_bytes::<(DocumentId, u16)>(body).ok()?;
    let records = Blob::new(Bytes::copy_from_slice(rest))?;
    Some(match variant {
        _ if position >= POSITIONS => return None,
        DELTAS => Message::Deltas { document, position, records },
        _ => Message::Bundle { document, position, records },
    })
}

fn major() -> u8 {
    u8::try_from(Version::CURRENT.major).unwrap_or(u8::MAX)
}

/// Why bytes are no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The frame, or a collection within it, is over its bound.
    #[error("{size} where at most {limit} are allowed")]
    TooLarge {
        /// The most bytes or elements that are allowed.
        limit: usize,
        /// How many there are.
        size: usize,
    },
    /// Another major version.
    #[error("protocol version {major}, not {}", Version::CURRENT.major)]
    Version {
        /// The major version of the frame.
        major: u8,
    },
    /// No message.
    #[error("not a message")]
    Malformed,
    /// A message, and something after it.
    #[error("{bytes} bytes after the message")]
    Trailing {
        /// How many bytes are left over.
        bytes: usize,
    },
}
