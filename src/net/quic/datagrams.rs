//! The datagrams of a connection.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

/// What a datagram carries: its first byte. Numbers stand in
/// `datastore-spec/wire.md`. A datagram with another is passed over, so that more may be added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Tag {
    /// A frame of [`Lane::State`](crate::proto::id::Lane::State).
    State = 3,
    /// Packets of voice.
    Voices = 4,
    /// One packet of voice.
    Voice = 5,
}

impl Tag {
    const fn read(byte: u8) -> Option<Self> {
        match byte {
            3 => Some(Self::State),
            4 => Some(Self::Voices),
            5 => Some(Self::Voice),
            _ => None,
        }
    }
}

/// Sends and receives datagrams beside a connection's streams. Both ends agreed to it.
#[derive(Clone, Debug)]
pub(crate) struct Datagrams {
    pub(super) connection: quinn::Connection,
}

impl Datagrams {
    /// Those of `connection`, if the other end takes any.
    pub(super) fn of(connection: &quinn::Connection) -> Option<Self> {
        connection.max_datagram_size().map(|_| Self { connection: connection.clone() })
    }

    /// Whether a frame of `length` bytes goes into one datagram at present: that depends on the path.
    pub(crate) fn fits(&self, length: usize) -> bool {
        self.connection.max_datagram_size().is_some_and(|most| length < most)
    }

    /// Hands a frame over to be sent next. What was handed over before and is not sent yet may make
    /// room for it. False if it does not fit; a connection that has ended swallows it.
    pub(crate) fn send(&self, tag: Tag, frame: &[u8]) -> bool {
        let mut datagram = BytesMut::with_capacity(1 + frame.len());
        datagram.put_u8(tag as u8);
        datagram.put_slice(frame);
        match self.connection.send_datagram(datagram.freeze()) {
            Ok(()) | Err(quinn::SendDatagramError::ConnectionLost(_)) => true,
            Err(_) => false,
        }
    }

    /// The most bytes of a frame that goes into one datagram at present.
    pub(crate) fn room(&self) -> usize {
        self.connection.max_datagram_size().map_or(0, |most| most.saturating_sub(1))
    }

    /// The next frame and what it is; nothing, once the connection has ended. For one reader. Can be
    /// cancelled without losing any.
    pub(crate) async fn next(&self) -> Option<(Tag, Bytes)> {
        loop {
            let datagram = self.connection.read_datagram().await.ok()?;
            if let Some(tag) = datagram.first().copied().and_then(Tag::read) {
                // A copy: what came would keep the packets that came with it.
                return Some((tag, Bytes::copy_from_slice(&datagram[1..])));
            }
            tracing::debug!(tag = datagram.first(), "passed over a datagram of another kind");
        }
    }

    /// What the connection's congestion control takes the path to hold at once, in bytes, and how
    /// long it takes there and back.
    pub(crate) fn path(&self) -> (u64, Duration) {
        let path = self.connection.stats().path;
        (path.cwnd, path.rtt)
    }
}
