//! QUIC as a libp2p transport that also carries datagrams. Others that speak libp2p over QUIC do not
//! notice: the handshake, the certificates and the streams are theirs.

mod connection;
mod credit;
mod datagrams;
mod endpoint;
mod listener;
mod shelf;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use libp2p::core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::core::{Endpoint, Transport};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::tls::certificate::{GenError, ParseError};
use libp2p::{Multiaddr, PeerId};
use quinn::crypto::rustls::NoInitialCipherSuite;
use thiserror::Error;

use crate::net::config::NetConfig;
use crate::net::quic::connection::Connection;
use crate::net::quic::endpoint::Settings;
use crate::net::quic::listener::Listener;

pub(crate) use crate::net::quic::credit::Credit;
pub(crate) use crate::net::quic::datagrams::{Datagrams, Tag};
pub(crate) use crate::net::quic::shelf::Shelf;

/// What rustls wants as the name of a server. libp2p's certificates have none.
const NO_NAME: &str = "l";

/// Why there is no connection, or no listener.
#[derive(Debug, Error)]
pub(crate) enum QuicError {
    /// No certificate could be made for the key.
    #[error("no certificate: {0}")]
    Certificate(#[from] GenError),
    /// TLS and QUIC do not go together.
    #[error("no cipher that QUIC can begin with")]
    Cipher(#[from] NoInitialCipherSuite),
    /// The socket failed.
    #[error(transparent)]
    Socket(#[from] io::Error),
    /// It could not even be tried.
    #[error(transparent)]
    Dial(#[from] quinn::ConnectError),
    /// The handshake failed, or the connection ended.
    #[error(transparent)]
    Connection(#[from] quinn::ConnectionError),
    /// The handshake took too long.
    #[error("no handshake within {} ms", limit.as_millis())]
    Slow {
        /// How long it may take.
        limit: Duration,
    },
    /// The other end showed no certificate.
    #[error("the other end showed no certificate")]
    Nameless,
    /// The other end's certificate is not libp2p's.
    #[error("the other end's certificate: {0}")]
    Identity(#[from] ParseError),
    /// Nobody here punches holes.
    #[error("a dial in the place of a listener")]
    NotADialer,
}

impl From<QuicError> for TransportError<QuicError> {
    fn from(error: QuicError) -> Self {
        Self::Other(error)
    }
}

/// A handshake on its way.
type Handshake = BoxFuture<'static, Result<(PeerId, Connection), QuicError>>;

type Event = TransportEvent<Handshake, QuicError>;

/// Listens and dials at addresses such as `/ip4/192.0.2.1/udp/4433/quic-v1`. Each dial has a socket
/// of its own. Must be used within a tokio runtime.
#[derive(Debug)]
pub(crate) struct QuicTransport {
    settings: Settings,
    shelf: Shelf,
    listeners: Vec<Listener>,
    waker: Option<Waker>,
}

impl QuicTransport {
    /// A transport of the peer with `keypair`, whose connections put their datagrams on `shelf`.
    ///
    /// # Errors
    ///
    /// When TLS does not take the key.
    pub(crate) fn new(
        keypair: &Keypair,
        config: &NetConfig,
        shelf: Shelf,
    ) -> Result<Self, QuicError> {
        let settings = Settings::new(keypair, config)?;
        Ok(Self { settings, shelf, listeners: Vec::new(), waker: None })
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Transport for QuicTransport {
    type Output = (PeerId, Connection);
    type Error = QuicError;
    type ListenerUpgrade = Handshake;
    type Dial = Handshake;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<QuicError>> {
        let Some(at) = socket_address(&address) else {
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        let endpoint = self.settings.listen(at)?;
        let listener = Listener::new(id, endpoint, self.settings.patience, self.shelf.clone())?;
        self.listeners.push(listener);
        self.wake();
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        let found = self.listeners.iter_mut().find(|listener| listener.id() == id);
        let is_open = found.is_some_and(Listener::close);
        self.wake();
        is_open
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Handshake, TransportError<QuicError>> {
        let to = socket_address(&address).filter(|to| to.port() > 0 && !to.ip().is_unspecified());
        let Some(to) = to else {
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        if options.role == Endpoint::Listener {
            return Err(QuicError::NotADialer.into());
        }
        let from = match to {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let endpoint = self.settings.dialer(from)?;
        let client = self.settings.client();
        let patience = self.settings.patience;
        let shelf = self.shelf.clone();
        Ok(async move {
            let connecting = endpoint.connect_with(client, to, NO_NAME).map_err(QuicError::from)?;
            Connection::established(connecting, patience, shelf).await
        }
        .boxed())
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Event> {
        let this = &mut *self;
        for listener in &mut this.listeners {
            if let Poll::Ready(event) = listener.poll(cx) {
                return Poll::Ready(event);
            }
        }
        this.listeners.retain(|listener| !listener.is_over());
        this.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// The socket that `address` stands for, if it is one of QUIC. A peer's id may be behind it.
fn socket_address(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    let Protocol::Udp(port) = parts.next()? else {
        return None;
    };
    let is_quic = matches!(parts.next()?, Protocol::QuicV1)
        && matches!(parts.next(), None | Some(Protocol::P2p(_)))
        && parts.next().is_none();
    is_quic.then(|| SocketAddr::new(ip, port))
}

/// The address of `socket`, as libp2p writes it.
fn multiaddr(socket: SocketAddr) -> Multiaddr {
    Multiaddr::empty()
        .with(socket.ip().into())
        .with(Protocol::Udp(socket.port()))
        .with(Protocol::QuicV1)
}

#[cfg(test)]
mod tests;
