//! Frames on a stream: a length (unsigned LEB128, at most 5 bytes, as short as possible), then as
//! many bytes.

use std::io;

use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use thiserror::Error;

/// Bytes that are read from a stream at once.
const CHUNK: usize = 4096;

/// The most bytes of a length.
const MAX_LENGTH: usize = 5;

/// Why no more frames can be read.
#[derive(Debug, Error)]
pub(crate) enum FrameError {
    /// The stream broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The stream ended within a frame.
    #[error("the stream ended within a frame")]
    Truncated,
    /// The next frame is longer than allowed.
    #[error("a frame has {size} bytes, over the limit of {limit}")]
    TooLarge {
        /// How long it is.
        size: u64,
        /// How long it may be.
        limit: usize,
    },
    /// The length is longer than it need be or than it may be.
    #[error("a frame's length is malformed")]
    BadLength,
}

impl FrameError {
    /// Whether the other end broke the protocol, and not the network.
    pub(crate) fn is_misbehaviour(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::BadLength)
    }
}

/// Reads frames of at most `limit` bytes. Holds at most one frame and [`CHUNK`] bytes.
#[derive(Debug)]
pub(crate) struct FrameReader<R> {
    stream: R,
    limit: usize,
    chunk: Box<[u8; CHUNK]>,
    start: usize,
    end: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(stream: R, limit: usize) -> Self {
        Self { stream, limit, chunk: Box::new([0; CHUNK]), start: 0, end: 0 }
    }

    /// The next frame, or nothing if the stream ended after the last. Not to be cancelled: what was
    /// read of a frame would be lost.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(length) = self.length().await? else {
            return Ok(None);
        };
        let mut frame = Vec::with_capacity(length.min(CHUNK));
        while frame.len() < length {
            if self.start == self.end && !self.fill().await? {
                return Err(FrameError::Truncated);
            }
            let taken = (length - frame.len()).min(self.end - self.start);
            if frame.capacity() - frame.len() < taken {
                // Doubles, so that a length alone allocates nothing, and never beyond the frame.
                frame.reserve_exact((length - frame.len()).min(frame.len().max(CHUNK)));
            }
            frame.extend_from_slice(&self.chunk[self.start..self.start + taken]);
            self.start += taken;
        }
        Ok(Some(frame.into()))
    }

    async fn length(&mut self) -> Result<Option<usize>, FrameError> {
        let mut length = 0_u64;
        for place in 0..MAX_LENGTH {
            if self.start == self.end && !self.fill().await? {
                return if place == 0 { Ok(None) } else { Err(FrameError::Truncated) };
            }
            let byte = self.chunk[self.start];
            self.start += 1;
            length |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                if byte == 0 && place > 0 {
                    return Err(FrameError::BadLength);
                }
                return match usize::try_from(length) {
                    Ok(length) if length <= self.limit => Ok(Some(length)),
                    _ => Err(FrameError::TooLarge { size: length, limit: self.limit }),
                };
            }
        }
        Err(FrameError::BadLength)
    }

    /// Reads a chunk; false if the stream ended.
    async fn fill(&mut self) -> io::Result<bool> {
        self.start = 0;
        self.end = 0;
        self.end = self.stream.read(&mut self.chunk[..]).await?;
        Ok(self.end > 0)
    }
}

/// Puts a frame with its length at the end of `out`.
pub(crate) fn encode(out: &mut Vec<u8>, frame: &[u8]) {
    let mut length = frame.len();
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(frame);
}

/// Writes everything in `encoded` and sees it to the transport.
pub(crate) async fn write<W: AsyncWrite + Unpin>(stream: &mut W, encoded: &[u8]) -> io::Result<()> {
    stream.write_all(encoded).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::io::Cursor;

    use super::*;

    fn read_all(bytes: &[u8], limit: usize) -> (Vec<Bytes>, Result<(), FrameError>) {
        block_on(async {
            let mut reader = FrameReader::new(Cursor::new(bytes), limit);
            let mut frames = Vec::new();
            loop {
                match reader.next().await {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => return (frames, Ok(())),
                    Err(error) => return (frames, Err(error)),
                }
            }
        })
    }

    #[test]
    fn frames_come_out_as_they_went_in() {
        let frames: Vec<Vec<u8>> = [0, 1, 127, 128, 4095, 4096, 4097, 65_536, 131_072]
            .iter()
            .map(|&length| (0..length).map(|at| at as u8).collect())
            .collect();
        let mut bytes = Vec::new();
        for frame in &frames {
            encode(&mut bytes, frame);
        }
        let (read, end) = read_all(&bytes, 131_072);
        assert!(end.is_ok());
        assert_eq!(read, frames);
    }

    #[test]
    fn a_frame_over_the_limit_is_not_read() {
        let mut bytes = Vec::new();
        encode(&mut bytes, &[1; 11]);
        let (read, end) = read_all(&bytes, 10);
        assert!(read.is_empty());
        assert!(matches!(end, Err(FrameError::TooLarge { size: 11, limit: 10 })));
        let (_, end) = read_all(&[0xff, 0xff, 0xff, 0xff, 0x7f], 10);
        assert!(matches!(end, Err(FrameError::TooLarge { .. })));
    }

    #[test]
    fn lengths_are_short_and_streams_end_between_frames() {
        let (_, end) = read_all(&[0x80, 0x00], 10);
        assert!(matches!(end, Err(FrameError::BadLength)));
        let (_, end) = read_all(&[0xff; 6], 10);
        assert!(matches!(end, Err(FrameError::BadLength)));
        let (_, end) = read_all(&[0x80], 10);
        assert!(matches!(end, Err(FrameError::Truncated)));
        let (_, end) = read_all(&[2, 0], 10);
        assert!(matches!(end, Err(FrameError::Truncated)));
    }
}
