//! One connection's lanes until the link is up: collects a stream for each and hands them out
//! together.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::Stream;
use libp2p::swarm::handler::{ConnectionEvent, DialUpgradeError};
use libp2p::swarm::{
    ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol,
};
use tokio::time::Sleep;

use crate::net::protocol::{Offer, Protocol, Streams, index};
use crate::net::quic::{Datagrams, Shelf};
use crate::proto::id::Lane;

/// What became of a connection's lanes. Said once.
pub(crate) enum Outcome {
    /// All of them are open.
    Up(Box<Opened>),
    /// They will not be.
    Failed(String),
}

/// What a link is made of.
pub(crate) struct Opened {
    /// A stream for each lane.
    pub(crate) streams: Streams,
    /// The connection's datagrams, if it has any.
    pub(crate) datagrams: Option<Datagrams>,
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up(_) => f.write_str("Up"),
            Self::Failed(why) => write!(f, "Failed({why})"),
        }
    }
}

/// Opens or accepts each lane once.
#[derive(Debug)]
pub(crate) struct Handler {
    offer: Offer,
    timeout: Duration,
    /// The lanes that are yet to be opened, last first.
    to_open: Vec<Lane>,
    slots: [Option<Stream>; Lane::ALL.len()],
    shelf: Shelf,
    /// When to give up. Runs from the beginning at the dialer, from the first lane at the listener:
    /// others may connect for other protocols.
    deadline: Option<Pin<Box<Sleep>>>,
    failure: Option<String>,
    done: bool,
}

impl Handler {
    /// The end that opens `lanes`, all within `timeout`.
    pub(crate) fn dialer(lanes: &[Lane], timeout: Duration, shelf: Shelf) -> Self {
        Self {
            offer: Offer::NONE,
            timeout,
            to_open: lanes.iter().rev().copied().collect(),
            slots: Default::default(),
            shelf,
            deadline: Some(Box::pin(tokio::time::sleep(timeout))),
            failure: None,
            done: false,
        }
    }

    /// The end that accepts the lanes, all within `timeout` of the first.
    pub(crate) fn listener(timeout: Duration, shelf: Shelf) -> Self {
        Self {
            offer: Offer::ALL,
            timeout,
            to_open: Vec::new(),
            slots: Default::default(),
            shelf,
            deadline: None,
            failure: None,
            done: false,
        }
    }

    /// An end of a connection that is for something else.
    pub(crate) fn none(shelf: Shelf) -> Self {
        let mut none = Self::listener(Duration::ZERO, shelf);
        (none.offer, none.done) = (Offer::NONE, true);
        none
    }

    fn on_stream(&mut self, lane: Lane, stream: Stream) {
        if self.done || self.slots[index(lane)].is_some() {
            tracing::warn!(?lane, "refused a second stream of one lane");
            return;
        }
        self.slots[index(lane)] = Some(stream);
        if self.deadline.is_none() {
            self.deadline = Some(Box::pin(tokio::time::sleep(self.timeout)));
        }
    }

    fn on_refused(&mut self, refused: &DialUpgradeError<Lane, Offer>) {
        let name = Protocol(refused.info);
        let name = name.as_ref();
        self.failure = Some(match &refused.error {
            StreamUpgradeError::Timeout => format!("{name} was not answered"),
            StreamUpgradeError::NegotiationFailed => {
                format!("it does not speak {name}: is it a parlor relay of this version?")
            }
            StreamUpgradeError::Io(error) => format!("{name}: {error}"),
            StreamUpgradeError::Apply(never) => match *never {},
        });
    }

    fn outcome(&mut self, cx: &mut Context<'_>) -> Option<Outcome> {
        if let Some(why) = self.failure.take() {
            return Some(Outcome::Failed(why));
        }
        if self.slots.iter().all(Option::is_some)
            && let [Some(control), Some(document), Some(snapshot), Some(state)] =
                std::mem::take(&mut self.slots)
        {
            let streams = [control, document, snapshot, state];
            let datagrams = self.shelf.take();
            return Some(Outcome::Up(Box::new(Opened { streams, datagrams })));
        }
        let deadline = self.deadline.as_mut()?;
        match deadline.as_mut().poll(cx) {
            Poll::Pending => None,
            Poll::Ready(()) => Some(Outcome::Failed(format!(
                "its lanes were not open within {} ms",
                self.timeout.as_millis()
            ))),
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Outcome;
    type InboundProtocol = Offer;
    type OutboundProtocol = Offer;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Lane;

    fn listen_protocol(&self) -> SubstreamProtocol<Offer> {
        SubstreamProtocol::new(self.offer, ())
    }

    fn connection_keep_alive(&self) -> bool {
        // The streams of a link that is up keep the connection themselves.
        self.deadline.is_some()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Offer, Lane, Outcome>> {
        if self.done {
            return Poll::Pending;
        }
        if let Some(lane) = self.to_open.pop() {
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(Offer::one(lane), lane).with_timeout(self.timeout),
            });
        }
        match self.outcome(cx) {
            None => Poll::Pending,
            Some(outcome) => {
                self.done = true;
                self.deadline = None;
                self.slots = Default::default();
                Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(outcome))
            }
        }
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Offer, Offer, (), Lane>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(inbound) => {
                let (lane, stream) = inbound.protocol;
                self.on_stream(lane, stream);
            }
            ConnectionEvent::FullyNegotiatedOutbound(outbound) => {
                let (lane, stream) = outbound.protocol;
                self.on_stream(lane, stream);
            }
            ConnectionEvent::DialUpgradeError(refused) => self.on_refused(&refused),
            _ => {}
        }
    }
}
