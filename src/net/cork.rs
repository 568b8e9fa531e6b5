//! Streams of one connection, whose bytes leave together what is written together.
//!
//! yamux flushes after every frame, of which each is a record of Noise and a packet of TCP then. Behind a
//! cork a flush is only noted, and done when the connection is read from: yamux does that once it has
//! nothing more to write, before it waits for anything.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::Ready;
use futures::{AsyncRead, AsyncWrite};
use libp2p::core::UpgradeInfo;
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade};
use libp2p::yamux;

/// yamux over a [`Cork`].
#[derive(Clone, Debug)]
pub(crate) struct Corked(yamux::Config);

impl Corked {
    /// With at most so many streams of a connection.
    pub(crate) fn new(streams: usize) -> Self {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(streams);
        Self(config)
    }
}

impl UpgradeInfo for Corked {
    type Info = <yamux::Config as UpgradeInfo>::Info;
    type InfoIter = <yamux::Config as UpgradeInfo>::InfoIter;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.protocol_info()
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> InboundConnectionUpgrade<C> for Corked {
    type Output = yamux::Muxer<Cork<C>>;
    type Error = io::Error;
    type Future = Ready<Result<Self::Output, io::Error>>;

    fn upgrade_inbound(self, io: C, info: Self::Info) -> Self::Future {
        self.0.upgrade_inbound(Cork::new(io), info)
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> OutboundConnectionUpgrade<C> for Corked {
    type Output = yamux::Muxer<Cork<C>>;
    type Error = io::Error;
    type Future = Ready<Result<Self::Output, io::Error>>;

    fn upgrade_outbound(self, io: C, info: Self::Info) -> Self::Future {
        self.0.upgrade_outbound(Cork::new(io), info)
    }
}

/// A connection that is flushed when it is read from.
#[derive(Debug)]
pub(crate) struct Cork<C> {
    io: C,
    /// Whether something was written that is to be flushed.
    is_due: bool,
}

impl<C> Cork<C> {
    const fn new(io: C) -> Self {
        Self { io, is_due: false }
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncRead for Cork<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_due {
            // While it is not out, whoever waits is woken for that too.
            self.is_due = Pin::new(&mut self.io).poll_flush(cx)?.is_pending();
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Cork<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_due = true;
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Where flushes are counted, of which the first takes two tries.
    #[derive(Default)]
    struct Line {
        written: usize,
        tries: usize,
        is_closed: bool,
    }

    impl AsyncRead for Line {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Line {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.written += buf.len();
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.tries += 1;
            if self.tries == 1 { Poll::Pending } else { Poll::Ready(Ok(())) }
        }

        fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.is_closed = true;
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn what_is_written_is_flushed_once_when_it_is_read_from_until_it_is_out() {
        let mut cork = Cork::new(Line::default());
        let mut cx = Context::from_waker(Waker::noop());
        let mut read = |cork: &mut Cork<Line>| {
            assert!(Pin::new(&mut *cork).poll_read(&mut cx, &mut [0]).is_pending());
            cork.io.tries
        };
        assert_eq!(read(&mut cork), 0);
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            assert!(Pin::new(&mut cork).poll_write(&mut cx, b"four").is_ready());
            assert!(Pin::new(&mut cork).poll_flush(&mut cx).is_ready());
        }
        assert_eq!((cork.io.written, cork.io.tries), (12, 0));
        assert_eq!([read(&mut cork), read(&mut cork), read(&mut cork)], [1, 2, 2]);
        assert!(Pin::new(&mut cork).poll_close(&mut cx).is_ready());
        assert!(cork.io.is_closed);
    }
}
