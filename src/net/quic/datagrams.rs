//! The datagrams of a connection.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

/// What a datagram carries: its first byte, which is the number of the lane. Numbers stand in
/// `datastore-spec/wire.md`. A datagram with another is passed over, so that more may be added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Tag {
    /// A frame of [`Lane::State`](crate::proto::id::Lane::State).
    State = 3,
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

    /// The next frame with `tag`; nothing, once the connection has ended. Can be cancelled without
    /// losing any.
    pub(crate) async fn next(&self, tag: Tag) -> Option<Bytes> {
        loop {
            let datagram = self.connection.read_datagram().await.ok()?;
            if datagram.first() == Some(&(tag as u8)) {
                // A copy: what came would keep the packets that came with it.
                return Some(Bytes::copy_from_slice(&datagram[1..]));
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
