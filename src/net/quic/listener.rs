//! A socket that connections come in by, and the addresses that it can be reached at.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, stream};
use if_watch::IfEvent;
use if_watch::tokio::IfWatcher;
use libp2p::core::transport::{ListenerId, TransportEvent};
use quinn::{Endpoint, Incoming, VarInt};

use crate::net::quic::connection::Connection;
use crate::net::quic::shelf::Shelf;
use crate::net::quic::{Event, QuicError, multiaddr};

pub(super) struct Listener {
    id: ListenerId,
    endpoint: Endpoint,
    local: SocketAddr,
    incoming: BoxStream<'static, Incoming>,
    /// Of this computer, when it listens at all of its addresses.
    interfaces: Option<IfWatcher>,
    /// What is to be told first: the one address, or that it was closed.
    events: VecDeque<Event>,
    closed: bool,
    patience: Duration,
    shelf: Shelf,
}

impl Listener {
    pub(super) fn new(
        id: ListenerId,
        endpoint: Endpoint,
        patience: Duration,
        shelf: Shelf,
    ) -> Result<Self, QuicError> {
        let local = endpoint.local_addr()?;
        let mut events = VecDeque::new();
        let interfaces = if local.ip().is_unspecified() {
            Some(IfWatcher::new()?)
        } else {
            let listen_addr = multiaddr(local);
            events.push_back(TransportEvent::NewAddress { listener_id: id, listen_addr });
            None
        };
        let incoming = stream::unfold(endpoint.clone(), |endpoint| async move {
            let incoming = endpoint.accept().await?;
            Some((incoming, endpoint))
        });
        let incoming = incoming.boxed();
        Ok(Self {
            id,
            endpoint,
            local,
            incoming,
            interfaces,
            events,
            closed: false,
            patience,
            shelf,
        })
    }

    pub(super) const fn id(&self) -> ListenerId {
        self.id
    }

    /// Ends every connection that came in by it. False if that was done before.
    pub(super) fn close(&mut self) -> bool {
        if self.closed {
            return false;
        }
        self.closed = true;
        self.endpoint.close(VarInt::from_u32(0), b"");
        self.events
            .push_back(TransportEvent::ListenerClosed { listener_id: self.id, reason: Ok(()) });
        true
    }

    /// Whether it was closed, and has said so.
    pub(super) fn is_over(&self) -> bool {
        self.closed && self.events.is_empty()
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(event);
            }
            if self.closed {
                return Poll::Pending;
            }
            if let Poll::Ready(event) = self.poll_interfaces(cx) {
                return Poll::Ready(event);
            }
            match self.incoming.poll_next_unpin(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(incoming)) => return Poll::Ready(self.accept(incoming)),
                // The endpoint has ended by itself.
                Poll::Ready(None) => {
                    self.close();
                }
            }
        }
    }

    fn accept(&self, incoming: Incoming) -> Event {
        let listener_id = self.id;
        let send_back_addr = multiaddr(incoming.remote_address());
        match incoming.accept() {
            Ok(connecting) => TransportEvent::Incoming {
                listener_id,
                upgrade: Connection::established(connecting, self.patience, self.shelf.clone())
                    .boxed(),
                local_addr: multiaddr(self.local),
                send_back_addr,
            },
            Err(error) => TransportEvent::ListenerError { listener_id, error: error.into() },
        }
    }

    fn poll_interfaces(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let listener_id = self.id;
        let local = self.local;
        let Some(interfaces) = &mut self.interfaces else {
            return Poll::Pending;
        };
        let address = |ip: IpAddr| {
            let is_ours = ip.is_ipv4() == local.is_ipv4();
            is_ours.then(|| multiaddr(SocketAddr::new(ip, local.port())))
        };
        while let Poll::Ready(event) = interfaces.poll_if_event(cx) {
            let event = match event {
                Ok(IfEvent::Up(network)) => address(network.addr())
                    .map(|listen_addr| TransportEvent::NewAddress { listener_id, listen_addr }),
                Ok(IfEvent::Down(network)) => address(network.addr())
                    .map(|listen_addr| TransportEvent::AddressExpired { listener_id, listen_addr }),
                Err(error) => Some(broken(listener_id, error)),
            };
            if let Some(event) = event {
                return Poll::Ready(event);
            }
        }
        Poll::Pending
    }
}

fn broken(listener_id: ListenerId, error: io::Error) -> Event {
    TransportEvent::ListenerError { listener_id, error: error.into() }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("local", &self.local).finish_non_exhaustive()
    }
}
