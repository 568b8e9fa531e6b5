//! gossipsub, as voice wants it: a star, in which the relay says what goes on.

use std::task::{Context, Poll};

use libp2p::core::transport::PortUse;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::gossipsub::{
    Behaviour, Config, ConfigBuilder, Event, IdentTopic, IdentityTransform,
    MaxCountSubscriptionFilter, MessageAcceptance, MessageAuthenticity, MessageId, PublishError,
    TopicHash, ValidationMode, Version,
};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use thiserror::Error;

use crate::net::clock::Clock;
use crate::net::identity::peer_from_libp2p;
use crate::net::voice::config::VoiceNetConfig;
use crate::net::voice::filter::{Asking, Filter};
use crate::net::voice::toll::Toll;
use crate::net::voice::tunings::Tunings;
use crate::proto::audio::stream::Topic;

/// What the protocol is called when a stream is opened. What goes over it is gossipsub 1.1.
const PROTOCOL: &str = "/parlor/2/voice";

/// What a message may be longer than what is in it. gossipsub measures what it has read so far, which
/// may be 8 KiB more than one message, and closes the stream of one that is too long.
const MARGIN: usize = 16 << 10;

/// The most bytes that a subscription takes in a message.
const SUBSCRIPTION: usize = 20;

/// The most packets in a message. gossipsub sends each in a message of its own.
const PACKETS: usize = 8;

/// How many bytes of a packet tell it from others of its topic: its header.
const HEADER: usize = 12;

/// What a message that came is called, so that it can be judged later.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    id: MessageId,
    source: libp2p::PeerId,
}

impl Claim {
    pub(crate) fn new(id: MessageId, source: libp2p::PeerId) -> Self {
        Self { id, source }
    }
}

/// Why gossipsub cannot be set up.
#[derive(Debug, Error)]
#[error("the gossip of voice cannot be set up: {0}")]
pub(crate) struct GossipError(String);

type Gossipsub = Behaviour<IdentityTransform, MaxCountSubscriptionFilter<Filter>>;

/// gossipsub behind a gate: it takes only so many messages of a peer, and lets it subscribe only to
/// what it is to have. Everybody is an explicit peer, to whom no mesh applies and no back-off.
pub(crate) struct Gossip {
    gossipsub: Gossipsub,
    asking: Asking,
    /// At a relay. A client takes whatever its relay sends.
    toll: Option<Toll>,
    tunings: Tunings,
    clock: Clock,
}

impl Gossip {
    /// The gossip of one end.
    ///
    /// # Errors
    ///
    /// When gossipsub does not take what is configured.
    pub(crate) fn new(
        config: &VoiceNetConfig,
        tunings: Tunings,
        is_relay: bool,
        clock: Clock,
    ) -> Result<Self, GossipError> {
        let asking = Asking::default();
        let admitting = is_relay.then(|| tunings.clone());
        let filter = MaxCountSubscriptionFilter {
            filter: Filter { asking: asking.clone(), tunings: admitting },
            max_subscribed_topics: config.topics,
            max_subscriptions_per_request: config.topics,
        };
        let settings = settings(config, is_relay)?;
        let gossipsub = Behaviour::new_with_subscription_filter(
            MessageAuthenticity::Anonymous,
            settings,
            filter,
        )
        .map_err(|why| GossipError(why.to_owned()))?;
        let toll = is_relay.then(|| Toll::new(config));
        Ok(Self { gossipsub, asking, toll, tunings, clock })
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

    /// Forgets a message that goes no further.
    pub(crate) fn forget(&mut self, id: MessageId, source: libp2p::PeerId) {
        self.judge(&Claim::new(id, source), false);
    }

    /// Forgets a message that its source should not have sent.
    pub(crate) fn reject(&mut self, claim: &Claim) {
        self.report(claim, MessageAcceptance::Reject);
    }

    fn report(&mut self, Claim { id, source }: &Claim, acceptance: MessageAcceptance) {
        self.gossipsub.report_message_validation_result(id, source, acceptance);
    }

    fn on_first(&mut self, peer: &libp2p::PeerId) {
        self.gossipsub.add_explicit_peer(peer);
    }

    fn on_last(&mut self, peer: &libp2p::PeerId) {
        self.gossipsub.remove_explicit_peer(peer);
        if let Some(toll) = &mut self.toll {
            toll.forget(*peer);
        }
        if let Some(peer) = peer_from_libp2p(peer) {
            self.tunings.gone(peer);
        }
    }
}

fn settings(config: &VoiceNetConfig, is_relay: bool) -> Result<Config, GossipError> {
    let topics = SUBSCRIPTION.saturating_mul(config.topics);
    // Only a relay has lists of topics that were open before.
    let list = if is_relay { 0 } else { topics };
    let mut builder = ConfigBuilder::default();
    builder
        .protocol_id(PROTOCOL, Version::V1_1)
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

impl NetworkBehaviour for Gossip {
    type ConnectionHandler = <Gossipsub as NetworkBehaviour>::ConnectionHandler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: libp2p::PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.gossipsub.handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: libp2p::PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.gossipsub.handle_established_outbound_connection(connection, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.gossipsub.on_swarm_event(event);
        match event {
            FromSwarm::ConnectionEstablished(up) if up.other_established == 0 => {
                self.on_first(&up.peer_id);
            }
            FromSwarm::ConnectionClosed(down) if down.remaining_established == 0 => {
                self.on_last(&down.peer_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        source: libp2p::PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        // Others were denied when they connected.
        let Some(peer) = peer_from_libp2p(&source) else { return };
        if let Some(toll) = &mut self.toll
            && !toll.takes(source, self.tunings.is_linked(peer), self.clock.now())
        {
            tracing::debug!(%peer, "a message of gossip too many");
            return;
        }
        self.asking.set(Some(peer));
        self.gossipsub.on_connection_handler_event(source, connection, event);
        self.asking.set(None);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        self.gossipsub.poll(cx)
    }
}
