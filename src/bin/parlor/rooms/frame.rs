//! What goes over a relay's socket: a greeting of both sides, one order, and answers until it is done.
//! Each is a length of four bytes, little-endian, and as many bytes.

use std::io::{self, ErrorKind, Read, Write};

use parlor::store::DiskStoreConfig;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::order::Outcome;
use crate::failure::Failure;

/// What each side says first. The number goes up whenever an order or an answer changes.
const GREETING: [u8; 16] = *b"parlor rooms 1\n\0";
/// What a frame may have beside a room of the most bytes that a store takes: the room's name, and the
/// length of each of its records. 8 MiB.
const BESIDE: usize = 8 << 20;

/// What an order is answered.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// How far it is.
    Progress { bytes: u64, of_bytes: u64 },
    /// What came of it. Nothing follows.
    Done(Result<Outcome, Failure>),
}

/// Greets the other side.
///
/// # Errors
///
/// [`ErrorKind::Unsupported`], if it is of another version or something else.
pub(super) fn greet(stream: &mut (impl Read + Write)) -> io::Result<()> {
    stream.write_all(&GREETING)?;
    let mut greeting = [0; GREETING.len()];
    stream.read_exact(&mut greeting)?;
    if greeting == GREETING { Ok(()) } else { Err(ErrorKind::Unsupported.into()) }
}

/// Writes an order or an answer.
///
/// # Errors
///
/// [`ErrorKind::InvalidInput`], if it is larger than the other side takes.
pub(super) fn write<T: Serialize>(to: &mut impl Write, said: &T) -> io::Result<()> {
    let bytes = postcard::to_allocvec(said).map_err(|_| ErrorKind::InvalidInput)?;
    let len = u32::try_from(bytes.len()).ok().filter(|len| *len <= limit());
    to.write_all(&len.ok_or(ErrorKind::InvalidInput)?.to_le_bytes())?;
    to.write_all(&bytes)?;
    to.flush()
}

/// Reads an order or an answer. It takes the memory of what has come, whatever was announced.
///
/// # Errors
///
/// [`ErrorKind::InvalidData`], if it is larger than any that is written, or none.
pub(super) fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<T> {
    let mut len = [0; 4];
    from.read_exact(&mut len)?;
    let len = u32::from_le_bytes(len);
    if len > limit() {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::new();
    if from.take(len.into()).read_to_end(&mut bytes)? < len as usize {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    postcard::from_bytes(&bytes).map_err(|_| ErrorKind::InvalidData.into())
}

/// The most bytes.
fn limit() -> u32 {
    u32::try_from(DiskStoreConfig::default().room_bytes + BESIDE).unwrap_or(u32::MAX)
}
