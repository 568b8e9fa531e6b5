//! gossipsub, as voice wants it: a star, in which the relay says what goes on; and between members who
//! have direct links, where nothing goes on.

use std::collections::HashMap;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint, Multiaddr};
use libp2p::gossipsub::{
    Behaviour, Config, ConfigBuilder, Event, IdentTopic, IdentityTransform,
    MaxCountSubscriptionFilter, MessageAcceptance, MessageAuthenticity, MessageId, PublishError,
    TopicHash, ValidationMode, Version,
};
use libp2p::swarm::derive_prelude::Either;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm, behaviour, dummy,
};
use thiserror::Error;

use crate::net::clock::Clock;
use crate::net::direct::is_relayed;
use crate::net::identity::{peer_from_libp2p, peer_to_libp2p};
use crate::net::voice::config::VoiceNetConfig;
use crate::net::voice::filter::{Asking, Filter};
use crate::net::voice::gate::Gate;
use crate::net::voice::toll::Toll;
use crate::proto::audio::stream::Topic;
use crate::proto::id::PeerId;

/// What a message may be longer than what is in it. gossipsub measures what it has read so far, which
/// may be 8 KiB more than one message, and closes the stream of one that is too long.
const MARGIN: usize = 16 << 10;

/// The most bytes that a subscription takes in a message.
const SUBSCRIPTION: usize = 20;

/// The most packets in a message. gossipsub sends each in a message of its own.
const PACKETS: usize = 8;

/// How many bytes of a packet tell it from others of its topic: its header.
const HEADER: usize = 12;

/// What gossipsub takes for one peer: a connection. To it, a peer with two connections would be one with
/// one queue, from which both take what either is to have.
type End = libp2p::PeerId;

/// What a message that came is called, so that it can be judged later.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    id: MessageId,
    end: End,
}

/// Where something came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Source {
    /// Who is at the other end.
    pub(crate) peer: PeerId,
    /// By which connection.
    pub(crate) connection: ConnectionId,
}

/// What came by gossip.
#[derive(Debug)]
pub(crate) struct GossipEvent {
    /// From where.
    pub(crate) from: Source,
    /// On which topic.
    pub(crate) topic: Topic,
    /// What came.
    pub(crate) came: Came,
}

/// What may come of a topic.
#[derive(Debug)]
pub(crate) enum Came {
    /// A packet, which is to be judged.
    Packet(Bytes, Claim),
    /// The other end is subscribed.
    Subscribed,
    /// It is not any more.
    Unsubscribed,
}

/// Why gossipsub cannot be set up.
#[derive(Debug, Error)]
#[error("the gossip of voice cannot be set up: {0}")]
pub(crate) struct GossipError(String);

type Gossipsub = Behaviour<IdentityTransform, MaxCountSubscriptionFilter<Filter>>;

/// gossipsub behind a gate: it takes only so many messages of a connection, and lets it subscribe only to
/// what it is to have. Every one is an explicit peer, to which no mesh applies and no back-off.
pub(crate) struct Gossip {
    gossipsub: Gossipsub,
    asking: Asking,
    /// A client takes whatever its relay sends.
    toll: Option<Toll>,
    gate: Gate,
    /// The connections that it has to do with, from when they are about to be there, and what gossipsub
    /// takes each for.
    taken: HashMap<ConnectionId, End>,
    ends: HashMap<End, Taken>,
    clock: Clock,
}

/// One of the connections.
struct Taken {
    source: Source,
    /// Once it is there.
    at: Option<ConnectedPoint>,
}

impl Gossip {
    /// The gossip of one end.
    ///
    /// # Errors
    ///
    /// When gossipsub does not take what is configured.
    pub(crate) fn new(
        config: &VoiceNetConfig,
        gate: Gate,
        clock: Clock,
    ) -> Result<Self, GossipError> {
        let asking = Asking::default();
        let filter = MaxCountSubscriptionFilter {
            filter: Filter { asking: asking.clone(), gate: gate.clone() },
            max_subscribed_topics: config.topics,
            max_subscriptions_per_request: config.topics,
        };
        let settings = settings(config, &gate)?;
        let gossipsub = Behaviour::new_with_subscription_filter(
            MessageAuthenticity::Anonymous,
            settings,
            filter,
        )
        .map_err(|why| GossipError(why.to_owned()))?;
        let toll = gate.is_strict().then(|| Toll::new(config));
        let (taken, ends) = (HashMap::new(), HashMap::new());
        Ok(Self { gossipsub, asking, toll, gate, taken, ends, clock })
    }

    /// Has packets of a topic from now on.
    pub(crate) fn subscribe(&mut self, topic: Topic) {
        if let Err(error) = self.gossipsub.subscribe(&IdentTopic::new(topic.as_str())) {
            tracing::warn!(%topic, %error, "no subscription");
        }
    }

    /// Has no packets of a topic from now on.
    pub(crate) fn unsubscribe(&mut self, topic: Topic) {
        self.gossipsub.unsubscribe(&IdentTopic::new(topic.as_str()));
    }

    /// Says a packet to everybody who is subscribed to its topic.
    pub(crate) fn publish(&mut self, topic: Topic, packet: &[u8]) {
        let topic_hash = TopicHash::from_raw(topic.as_str());
        match self.gossipsub.publish(topic_hash, packet) {
            // Nobody is left who wants it, or it was said before.
            Ok(_) | Err(PublishError::NoPeersSubscribedToTopic | PublishError::Duplicate) => {}
            Err(error) => tracing::debug!(%topic, %error, "a packet is lost"),
        }
    }

    /// Forwards a message to everybody who is subscribed to its topic, or forgets it. Its source is
    /// not to blame.
    pub(crate) fn judge(&mut self, claim: &Claim, is_accepted: bool) {
        let acceptance =
            if is_accepted { MessageAcceptance::Accept } else { MessageAcceptance::Ignore };
        self.report(claim, acceptance);
    }

    /// Forgets a message that its source should not have sent.
    pub(crate) fn reject(&mut self, claim: &Claim) {
        self.report(claim, MessageAcceptance::Reject);
    }

    fn report(&mut self, Claim { id, end }: &Claim, acceptance: MessageAcceptance) {
        self.gossipsub.report_message_validation_result(id, end, acceptance);
    }

    /// Has nothing to do with a connection any more: neither takes anything from it nor sends it anything
    /// that is not on its way.
    pub(crate) fn part(&mut self, connection: ConnectionId) {
        let Some(end) = self.taken.remove(&connection) else { return };
        if let Some(Taken { at: Some(at), .. }) = self.ends.remove(&end) {
            self.gossipsub.remove_explicit_peer(&end);
            self.leave(connection, end, &at);
        }
    }

    /// Tells gossipsub that the last connection of an end is closed.
    fn leave(&mut self, connection_id: ConnectionId, peer_id: End, endpoint: &ConnectedPoint) {
        let (cause, remaining_established) = (None, 0);
        let closed = behaviour::ConnectionClosed {
            peer_id,
            connection_id,
            endpoint,
            cause,
            remaining_established,
        };
        self.gossipsub.on_swarm_event(FromSwarm::ConnectionClosed(closed));
        if let Some(toll) = &mut self.toll {
            toll.forget(connection_id);
        }
        self.gate.gone(connection_id);
    }

    /// What gossipsub says, as it is of a connection and a topic of voice; nothing, if it is of none.
    fn translate(&mut self, event: Event) -> Option<GossipEvent> {
        let (end, topic, came) = match event {
            Event::Message { propagation_source: end, message_id: id, message } => {
                let claim = Claim { id, end };
                let topic = Topic::read(message.topic.as_str().as_bytes());
                if topic.is_none() || !self.ends.contains_key(&end) {
                    self.reject(&claim);
                }
                (end, topic, Came::Packet(message.data.into(), claim))
            }
            Event::Subscribed { peer_id, topic } => {
                (peer_id, Topic::read(topic.as_str().as_bytes()), Came::Subscribed)
            }
            Event::Unsubscribed { peer_id, topic } => {
                (peer_id, Topic::read(topic.as_str().as_bytes()), Came::Unsubscribed)
            }
            Event::GossipsubNotSupported { peer_id: end } => {
                // Else what it is to be told of subscriptions would wait for it for good.
                let connection = self.ends.get(&end)?.source.connection;
                self.part(connection);
                return None;
            }
            Event::SlowPeer { .. } => return None,
        };
        let from = self.ends.get(&end)?.source;
        Some(GossipEvent { from, topic: topic?, came })
    }
}

fn settings(config: &VoiceNetConfig, gate: &Gate) -> Result<Config, GossipError> {
    let topics = SUBSCRIPTION.saturating_mul(config.topics);
    let list = if gate.hears_lists() { topics } else { 0 };
    let mut builder = ConfigBuilder::default();
    builder
        .protocol_id(gate.protocol(), Version::V1_1)
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(|message| message_id(message.topic.as_str(), &message.data))
        .flood_publish(true)
        // What is gossiped about is too old to be asked for.
        .history_gossip(0)
        .history_length(5)
        .gossip_lazy(0)
        .gossip_factor(0.0)
        .idontwant_message_size_threshold(usize::MAX)
        .mesh_outbound_min(0)
        .heartbeat_initial_delay(config.heartbeat)
        .heartbeat_interval(config.heartbeat)
        .prune_backoff(config.heartbeat)
        .duplicate_cache_time(config.seen)
        .publish_queue_duration(config.publish_wait)
        .forward_queue_duration(config.forward_wait)
        .connection_handler_queue_len(config.stream_queue)
        .max_publish_messages(PACKETS)
        .max_control_message_size(MARGIN.max(list))
        .max_transmit_size(config.packet.saturating_add(MARGIN).saturating_add(list));
    builder.build().map_err(|error| GossipError(error.to_string()))
}

/// Two packets of a topic with the same header are one message.
fn message_id(topic: &str, packet: &[u8]) -> MessageId {
    let header = &packet[..packet.len().min(HEADER)];
    MessageId::from([topic.as_bytes(), header].concat())
}

impl Gossip {
    /// What gossipsub is to take a connection for that is about to be there, if it is one for it.
    fn take(
        &mut self,
        connection: ConnectionId,
        peer: &libp2p::PeerId,
        at: &Multiaddr,
    ) -> Option<End> {
        let peer = peer_from_libp2p(peer).filter(|peer| self.gate.takes(*peer, is_relayed(at)))?;
        let end = End::random();
        self.taken.insert(connection, end);
        self.ends.insert(end, Taken { source: Source { peer, connection }, at: None });
        Some(end)
    }

    fn on_established(&mut self, up: behaviour::ConnectionEstablished<'_>) {
        let Some(end) = self.taken.get(&up.connection_id).copied() else { return };
        if let Some(taken) = self.ends.get_mut(&end) {
            taken.at = Some(up.endpoint.clone());
        }
        let up = behaviour::ConnectionEstablished { peer_id: end, other_established: 0, ..up };
        self.gossipsub.on_swarm_event(FromSwarm::ConnectionEstablished(up));
        self.gossipsub.add_explicit_peer(&end);
    }

    /// A connection that was about to be there is not.
    fn on_failed(&mut self, connection: ConnectionId, at: &ConnectedPoint) {
        if let Some(end) = self.taken.remove(&connection) {
            self.ends.remove(&end);
            self.leave(connection, end, at);
        }
    }
}

type GossipHandler = <Gossipsub as NetworkBehaviour>::ConnectionHandler;

impl NetworkBehaviour for Gossip {
    type ConnectionHandler = Either<GossipHandler, dummy::ConnectionHandler>;
    type ToSwarm = GossipEvent;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: libp2p::PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let Some(end) = self.take(connection, &peer, local) else {
            return Ok(Either::Right(dummy::ConnectionHandler));
        };
        let (gossipsub, at) = (&mut self.gossipsub, (local, remote));
        let handler =
            gossipsub.handle_established_inbound_connection(connection, end, at.0, at.1)?;
        Ok(Either::Left(handler))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: libp2p::PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let Some(end) = self.take(connection, &peer, address) else {
            return Ok(Either::Right(dummy::ConnectionHandler));
        };
        let gossipsub = &mut self.gossipsub;
        let handler = gossipsub
            .handle_established_outbound_connection(connection, end, address, role, port)?;
        Ok(Either::Left(handler))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(up) => self.on_established(up),
            FromSwarm::ConnectionClosed(down) => self.part(down.connection_id),
            // Another had refused it.
            FromSwarm::DialFailure(failure) => {
                let (address, port_use) = (Multiaddr::empty(), PortUse::New);
                let role_override = Endpoint::Dialer;
                let at = ConnectedPoint::Dialer { address, role_override, port_use };
                self.on_failed(failure.connection_id, &at);
            }
            FromSwarm::ListenFailure(failure) => {
                let local_addr = failure.local_addr.clone();
                let send_back_addr = failure.send_back_addr.clone();
                let at = ConnectedPoint::Listener { local_addr, send_back_addr };
                self.on_failed(failure.connection_id, &at);
            }
            // Of a peer, which gossipsub does not know.
            FromSwarm::AddressChange(_) => {}
            other => self.gossipsub.on_swarm_event(other),
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: libp2p::PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        let event = match event {
            Either::Left(event) => event,
            Either::Right(event) => match event {},
        };
        // It may be over, for gossip.
        let Some(end) = self.taken.get(&connection).copied() else { return };
        if let Some(toll) = &mut self.toll
            && !toll.takes(connection, self.gate.is_linked(connection), self.clock.now())
        {
            tracing::debug!(?connection, "a message of gossip too many");
            return;
        }
        self.asking.set(Some(connection));
        self.gossipsub.on_connection_handler_event(end, connection, event);
        self.asking.set(None);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<GossipEvent, THandlerInEvent<Self>>> {
        loop {
            match ready!(self.gossipsub.poll(cx)) {
                ToSwarm::GenerateEvent(event) => {
                    if let Some(event) = self.translate(event) {
                        return Poll::Ready(ToSwarm::GenerateEvent(event));
                    }
                }
                ToSwarm::NotifyHandler { peer_id: end, event, .. } => {
                    let Some(Taken { source, .. }) = self.ends.get(&end) else { continue };
                    let peer_id = peer_to_libp2p(source.peer);
                    let handler = NotifyHandler::One(source.connection);
                    let event = Either::Left(event);
                    return Poll::Ready(ToSwarm::NotifyHandler { peer_id, handler, event });
                }
                // Whom to dial is not for gossip to say, and nothing else comes of it.
                other => tracing::debug!(?other, "not done"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::voice::tunings::Tunings;
    use crate::proto::id::Identity;

    #[test]
    fn who_has_no_gossip_is_told_of_no_topics_any_more() {
        let (config, clock) = (VoiceNetConfig::default(), Clock::new());
        let gate = Gate::Relay(Tunings::new(config.lapse, clock));
        let mut gossip = Gossip::new(&config, gate, clock).unwrap();
        let connection = ConnectionId::new_unchecked(1);
        let peer = peer_to_libp2p(Identity::from_seed([1; 32]).peer());
        let end = gossip.take(connection, &peer, &Multiaddr::empty()).unwrap();
        assert!(gossip.translate(Event::GossipsubNotSupported { peer_id: end }).is_none());
        assert!(gossip.taken.is_empty() && gossip.ends.is_empty());
    }
}
