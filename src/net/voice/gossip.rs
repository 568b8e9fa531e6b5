//! gossipsub, as voice wants it: a star, in which the relay says what goes on; and between members who
//! have direct links, where nothing goes on.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::convert::Infallible;
use std::task::{Context, Poll};

use libp2p::core::transport::PortUse;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::gossipsub::{
    Behaviour, Config, ConfigBuilder, Event, IdentTopic, IdentityTransform,
    MaxCountSubscriptionFilter, MessageAcceptance, MessageAuthenticity, MessageId, PublishError,
    TopicHash, ValidationMode, Version,
};
use libp2p::swarm::derive_prelude::Either;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, behaviour, dummy,
};
use thiserror::Error;

use crate::net::clock::Clock;
use crate::net::direct::is_relayed;
use crate::net::identity::peer_from_libp2p;
use crate::net::voice::config::VoiceNetConfig;
use crate::net::voice::filter::{Asking, Filter};
use crate::net::voice::gate::Gate;
use crate::net::voice::toll::Toll;
use crate::proto::audio::stream::Topic;

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
    /// A client takes whatever its relay sends.
    toll: Option<Toll>,
    gate: Gate,
    /// The connections that it has to do with: those that are up, by peer, and those that are about to
    /// be.
    taken: HashMap<libp2p::PeerId, BTreeSet<ConnectionId>>,
    coming: HashSet<ConnectionId>,
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
        let (taken, coming) = (HashMap::new(), HashSet::new());
        Ok(Self { gossipsub, asking, toll, gate, taken, coming, clock })
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
            self.gate.gone(peer);
        }
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
    /// Whether a connection that is about to be there is one for it.
    fn takes(&mut self, connection: ConnectionId, peer: &libp2p::PeerId, at: &Multiaddr) -> bool {
        let known = peer_from_libp2p(peer);
        let takes = known.is_some_and(|peer| self.gate.takes(peer, is_relayed(at)));
        if takes {
            self.coming.insert(connection);
        }
        takes
    }

    fn on_established(&mut self, up: behaviour::ConnectionEstablished<'_>) {
        if !self.coming.remove(&up.connection_id) {
            return;
        }
        let taken = self.taken.entry(up.peer_id).or_default();
        let other_established = taken.len();
        taken.insert(up.connection_id);
        let up = behaviour::ConnectionEstablished { other_established, ..up };
        self.gossipsub.on_swarm_event(FromSwarm::ConnectionEstablished(up));
        if other_established == 0 {
            self.on_first(&up.peer_id);
        }
    }

    fn on_closed(&mut self, down: behaviour::ConnectionClosed<'_>) {
        let Some(taken) = self.taken.get_mut(&down.peer_id) else { return };
        if !taken.remove(&down.connection_id) {
            return;
        }
        let remaining_established = taken.len();
        let down = behaviour::ConnectionClosed { remaining_established, ..down };
        self.gossipsub.on_swarm_event(FromSwarm::ConnectionClosed(down));
        if remaining_established == 0 {
            self.taken.remove(&down.peer_id);
            self.on_last(&down.peer_id);
        }
    }
}

type GossipHandler = <Gossipsub as NetworkBehaviour>::ConnectionHandler;

impl NetworkBehaviour for Gossip {
    type ConnectionHandler = Either<GossipHandler, dummy::ConnectionHandler>;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: libp2p::PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.takes(connection, &peer, local) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        let (gossipsub, at) = (&mut self.gossipsub, (local, remote));
        let handler =
            gossipsub.handle_established_inbound_connection(connection, peer, at.0, at.1)?;
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
        if !self.takes(connection, &peer, address) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        let gossipsub = &mut self.gossipsub;
        let handler = gossipsub
            .handle_established_outbound_connection(connection, peer, address, role, port)?;
        Ok(Either::Left(handler))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(up) => self.on_established(up),
            FromSwarm::ConnectionClosed(down) => self.on_closed(down),
            FromSwarm::DialFailure(failure) => {
                // Another had refused it.
                self.coming.remove(&failure.connection_id);
                self.gossipsub.on_swarm_event(event);
            }
            FromSwarm::ListenFailure(failure) => {
                self.coming.remove(&failure.connection_id);
                self.gossipsub.on_swarm_event(event);
            }
            other => self.gossipsub.on_swarm_event(other),
        }
    }

    fn on_connection_handler_event(
        &mut self,
        source: libp2p::PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        let event = match event {
            Either::Left(event) => event,
            Either::Right(event) => match event {},
        };
        // Others were denied when they connected.
        let Some(peer) = peer_from_libp2p(&source) else { return };
        if let Some(toll) = &mut self.toll
            && !toll.takes(source, self.gate.is_linked(peer), self.clock.now())
        {
            tracing::debug!(%peer, "a message of gossip too many");
            return;
        }
        self.asking.set(Some(peer));
        self.gossipsub.on_connection_handler_event(source, connection, event);
        self.asking.set(None);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        self.gossipsub.poll(cx).map(|event| event.map_in(Either::<_, Infallible>::Left))
    }
}
