//! Round trips over a connection, as the swarm sees them.
//!
//! They are libp2p's pings, each on a stream of its own. libp2p's own behaviour sends all of them over
//! one, and who answers there may overlook, over QUIC, what comes after the first until something else
//! wakes it: what is measured then is its sleep. It also answers nobody any more who does not answer it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{AsyncReadExt, AsyncWriteExt, FutureExt};
use libp2p::Stream;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::handler::ConnectionEvent;
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
    NetworkBehaviour, StreamProtocol, StreamUpgradeError, SubstreamProtocol, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm,
};

use crate::net::clock::Clock;

const PROTOCOL: StreamProtocol = StreamProtocol::new("/ipfs/ping/1.0.0");

/// Bytes of a ping, and of its answer.
const LENGTH: usize = 32;

/// How long one round trip took, or why there is none and will be no more.
pub(crate) type RoundTrip = Result<Duration, String>;

/// A round trip over a connection.
#[derive(Debug)]
pub(crate) struct Pinged {
    pub(crate) connection: ConnectionId,
    pub(crate) round_trip: RoundTrip,
}

/// Sends pings over every connection that was dialed, one after the other, and answers the other end's.
#[derive(Debug)]
pub(crate) struct Pings {
    count: u32,
    timeout: Duration,
    clock: Clock,
    /// At most `count` for each connection.
    events: VecDeque<Pinged>,
}

impl Pings {
    /// Sends `count` over each connection. A stream may take `timeout` to open.
    pub(crate) fn new(count: u32, timeout: Duration, clock: Clock) -> Self {
        Self { count, timeout, clock, events: VecDeque::new() }
    }

    fn handler(&self, count: u32) -> Handler {
        let (timeout, clock) = (self.timeout, self.clock);
        Handler {
            left: count,
            timeout,
            clock,
            asked: false,
            trip: None,
            answers: None,
            failure: None,
        }
    }
}

impl NetworkBehaviour for Pings {
    type ConnectionHandler = Handler;
    type ToSwarm = Pinged;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: libp2p::PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(0))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: libp2p::PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(self.count))
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        _: libp2p::PeerId,
        connection: ConnectionId,
        round_trip: THandlerOutEvent<Self>,
    ) {
        self.events.push_back(Pinged { connection, round_trip });
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Pinged, THandlerInEvent<Self>>> {
        match self.events.pop_front() {
            Some(event) => Poll::Ready(ToSwarm::GenerateEvent(event)),
            None => Poll::Pending,
        }
    }
}

/// The pings of one connection.
pub(crate) struct Handler {
    left: u32,
    timeout: Duration,
    clock: Clock,
    /// Whether a stream is being opened.
    asked: bool,
    trip: Option<BoxFuture<'static, io::Result<Duration>>>,
    /// What answers the other end, on its newest stream.
    answers: Option<BoxFuture<'static, io::Result<Infallible>>>,
    failure: Option<String>,
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler").field("left", &self.left).finish_non_exhaustive()
    }
}

type Happens = ConnectionHandlerEvent<ReadyUpgrade<StreamProtocol>, (), RoundTrip>;

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = RoundTrip;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<ReadyUpgrade<StreamProtocol>> {
        SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ())
    }

    fn connection_keep_alive(&self) -> bool {
        self.left > 0
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Happens> {
        if let Some(answers) = &mut self.answers
            && answers.poll_unpin(cx).is_ready()
        {
            self.answers = None;
        }
        if let Some(why) = self.failure.take() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(Err(why)));
        }
        if let Some(trip) = &mut self.trip {
            let Poll::Ready(trip) = trip.poll_unpin(cx) else { return Poll::Pending };
            self.trip = None;
            self.left = if trip.is_ok() { self.left.saturating_sub(1) } else { 0 };
            let trip = trip.map_err(|error| format!("no answer to a ping: {error}"));
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(trip));
        }
        if self.asked || self.left == 0 {
            return Poll::Pending;
        }
        self.asked = true;
        let protocol = SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ());
        Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
            protocol: protocol.with_timeout(self.timeout),
        })
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, ReadyUpgrade<StreamProtocol>, ReadyUpgrade<StreamProtocol>>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(inbound) => {
                self.answers = Some(answer(inbound.protocol).boxed());
            }
            ConnectionEvent::FullyNegotiatedOutbound(outbound) => {
                self.asked = false;
                self.trip = Some(round_trip(outbound.protocol, self.clock).boxed());
            }
            ConnectionEvent::DialUpgradeError(refused) => {
                self.left = 0;
                self.failure = Some(match refused.error {
                    StreamUpgradeError::Timeout => "no stream for a ping in time".to_owned(),
                    StreamUpgradeError::NegotiationFailed => "it answers no pings".to_owned(),
                    StreamUpgradeError::Io(error) => format!("no stream for a ping: {error}"),
                    StreamUpgradeError::Apply(never) => match never {},
                });
            }
            _ => {}
        }
    }
}

/// How long it takes until an answer is here, from when the question was handed to the transport.
async fn round_trip(mut stream: Stream, clock: Clock) -> io::Result<Duration> {
    // Who could guess it would seem nearer than it is.
    let mut ping = [0; LENGTH];
    getrandom::fill(&mut ping).map_err(io::Error::other)?;
    stream.write_all(&ping).await?;
    stream.flush().await?;
    let sent = clock.now();
    let mut pong = [0; LENGTH];
    stream.read_exact(&mut pong).await?;
    if pong != ping {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is of something else"));
    }
    Ok(clock.now().since(sent))
}

/// Sends back what comes, until the stream ends.
async fn answer(mut stream: Stream) -> io::Result<Infallible> {
    let mut ping = [0; LENGTH];
    loop {
        stream.read_exact(&mut ping).await?;
        stream.write_all(&ping).await?;
        stream.flush().await?;
    }
}
