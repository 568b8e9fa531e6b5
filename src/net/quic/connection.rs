//! A connection and its streams, as libp2p wants them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{AsyncRead, AsyncWrite, FutureExt, StreamExt, stream};
use libp2p::PeerId;
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use libp2p::tls::certificate;
use quinn::rustls::pki_types::CertificateDer;
use quinn::{ConnectionError, RecvStream, SendStream, VarInt};
use tokio::time::timeout;

use crate::net::quic::QuicError;
use crate::net::quic::datagrams::Datagrams;
use crate::net::quic::shelf::{Place, Shelf};

/// What the other end is told when a connection is closed: nothing in particular, as libp2p does.
const NO_CODE: VarInt = VarInt::from_u32(0);

type Streams = BoxStream<'static, Result<(SendStream, RecvStream), ConnectionError>>;

/// A connection. Dropped, it is closed at once, whoever still has its datagrams.
pub(crate) struct Connection {
    inner: quinn::Connection,
    inbound: Streams,
    outbound: Streams,
    closing: Option<BoxFuture<'static, ConnectionError>>,
    /// Where this connection's datagrams are to be put, until it first runs.
    shelf: Option<Shelf>,
    /// Where they were put, if there are any.
    place: Option<Place>,
}

impl Connection {
    /// Waits until the handshake is over, and says whom it is with.
    pub(super) async fn established(
        connecting: quinn::Connecting,
        limit: Duration,
        shelf: Shelf,
    ) -> Result<(PeerId, Self), QuicError> {
        let inner = timeout(limit, connecting).await.map_err(|_| QuicError::Slow { limit })??;
        let peer = peer_of(&inner)?;
        let inbound = stream::unfold(inner.clone(), |connection| async move {
            Some((connection.accept_bi().await, connection))
        });
        let outbound = stream::unfold(inner.clone(), |connection| async move {
            Some((connection.open_bi().await, connection))
        });
        let connection = Self {
            inbound: inbound.boxed(),
            outbound: outbound.boxed(),
            closing: None,
            shelf: Some(shelf),
            place: None,
            inner,
        };
        Ok((peer, connection))
    }
}

/// The peer whose key signed the certificate of the other end. The handshake has checked it.
fn peer_of(connection: &quinn::Connection) -> Result<PeerId, QuicError> {
    let shown = connection.peer_identity().ok_or(QuicError::Nameless)?;
    let chain: Box<Vec<CertificateDer<'_>>> = shown.downcast().map_err(|_| QuicError::Nameless)?;
    let first = chain.first().ok_or(QuicError::Nameless)?;
    Ok(certificate::parse(first)?.peer_id())
}

fn next(streams: &mut Streams, cx: &mut Context<'_>) -> Poll<Result<Stream, QuicError>> {
    match ready!(streams.poll_next_unpin(cx)) {
        Some(Ok((send, receive))) => Poll::Ready(Ok(Stream { send, receive, closed: false })),
        Some(Err(error)) => Poll::Ready(Err(error.into())),
        None => Poll::Pending,
    }
}

impl StreamMuxer for Connection {
    type Substream = Stream;
    type Error = QuicError;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Stream, QuicError>> {
        next(&mut self.inbound, cx)
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Stream, QuicError>> {
        next(&mut self.outbound, cx)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, QuicError>> {
        let this = &mut *self;
        if let Some(shelf) = this.shelf.take() {
            this.place = Datagrams::of(&this.inner).and_then(|datagrams| shelf.put(datagrams));
        }
        // Who moves comes in anew: what is let in is counted by addresses.
        Poll::Pending
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), QuicError>> {
        let this = &mut *self;
        let closing = this.closing.get_or_insert_with(|| {
            this.inner.close(NO_CODE, b"");
            let connection = this.inner.clone();
            async move { connection.closed().await }.boxed()
        });
        match ready!(closing.poll_unpin(cx)) {
            ConnectionError::LocallyClosed => Poll::Ready(Ok(())),
            error => Poll::Ready(Err(error.into())),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.inner.close(NO_CODE, b"");
    }
}

/// A stream both ways.
pub(crate) struct Stream {
    send: SendStream,
    receive: RecvStream,
    closed: bool,
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        AsyncRead::poll_read(Pin::new(&mut self.receive), cx, into)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.send), cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.send), cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // libp2p may close twice, which quinn calls an error.
        if !self.closed {
            ready!(AsyncWrite::poll_close(Pin::new(&mut self.send), cx))?;
            self.closed = true;
        }
        Poll::Ready(Ok(()))
    }
}
