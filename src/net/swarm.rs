//! The swarm and its task. Every libp2p type that is not in an address stops here.

mod build;
mod direct;
mod probe;
mod voice;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use libp2p::core::transport::ListenerId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, Swarm, TransportError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::net::address::RelayAddress;
use crate::net::behaviour::LanesEvent;
use crate::net::clock::Clock;
use crate::net::config::{NetConfig, RelayNetConfig};
use crate::net::dial::{Dialing, Step, explain};
use crate::net::handler::{Opened, Outcome};
use crate::net::identity::keypair;
use crate::net::link::{Happening, LinkTask};
use crate::net::links::{Command, SwarmEnd};
use crate::net::quic::Shelf;
use crate::net::relays::Relays;
use crate::net::survey::Measured;
use crate::net::swarm::build::{Behaviour, BehaviourEvent};
use crate::net::swarm::direct::Direct;
use crate::net::swarm::voice::{Side, Voice};
use crate::net::voice::{Exchange, Gate, Gossip, Leaf, VoiceDesk};
use crate::proto::event::Input;
use crate::proto::id::{Identity, Link, PeerId};

pub(crate) use crate::net::swarm::build::BuildError;
pub use crate::net::swarm::probe::measure;

/// How long more addresses are waited for when a listener stands for all of a computer's.
const MORE_ADDRESSES: Duration = Duration::from_millis(100);

/// A swarm, its links, and its ends of the channels to the driver.
pub(crate) struct Network {
    swarm: Swarm<Behaviour>,
    happenings: mpsc::Sender<Happening>,
    commands: mpsc::Receiver<Command>,
    config: Arc<NetConfig>,
    clock: Clock,
    /// Whom to dial; none on a relay, which takes links instead.
    relays: Option<Relays>,
    dialing: Option<Dialing>,
    /// What measures relays for the dialing. One at most.
    surveys: JoinSet<Vec<Measured>>,
    /// The tasks of links, which return their connection, and of answers to the driver. Bounded by
    /// the connections.
    tasks: JoinSet<Option<ConnectionId>>,
    next_link: u64,
    voice: Voice,
    direct: Option<Direct>,
}

impl Network {
    /// The network of a client, which dials `addresses`.
    pub(crate) async fn client(
        identity: &Identity,
        addresses: Vec<RelayAddress>,
        config: NetConfig,
        clock: Clock,
        (end, desk): (SwarmEnd, VoiceDesk),
    ) -> Result<Self, (BuildError, SwarmEnd)> {
        let keypair = keypair(identity);
        let shelf = Shelf::default();
        let gossip = |gate| Gossip::new(&config.voice, gate, clock);
        let star = gossip(Gate::Client(end.tunings.clone(), end.circle.clone()));
        let (star, direct) = match (star, gossip(Gate::Direct(end.circle.clone()))) {
            (Ok(star), Ok(direct)) => (star, direct),
            (Err(error), _) | (_, Err(error)) => return Err((build::build_error(error), end)),
        };
        let direct = (end.circle.clone(), direct);
        let made = Behaviour::client(&keypair, &config, shelf.clone(), star, direct);
        let (behaviour, circuits) = made;
        match Box::pin(build::swarm(keypair, (behaviour, circuits), &config, shelf)).await {
            Ok(swarm) => {
                let direct = Direct::new(identity.peer(), &config);
                let relays = Relays::new(addresses, &config);
                let leaf = Leaf::new(end.tunings.clone(), desk, config.voice.clone(), clock);
                let side = Side::Leaf(Box::new(leaf));
                let mut network = Self::new(swarm, (Some(relays), side), config, clock, end);
                network.direct = direct;
                network.listen_directly();
                Ok(network)
            }
            Err(error) => Err((error, end)),
        }
    }

    /// The network of a relay, which listens.
    pub(crate) async fn relay(
        identity: &Identity,
        config: RelayNetConfig,
        clock: Clock,
        end: SwarmEnd,
    ) -> Result<Self, BuildError> {
        let keypair = keypair(identity);
        let shelf = Shelf::default();
        let voice = &config.net.voice;
        let gossip = Gossip::new(voice, Gate::Relay(end.tunings.clone()), clock);
        let gossip = gossip.map_err(build::build_error)?;
        let exchange = Exchange::new(end.tunings.clone(), end.happenings.clone(), voice, clock);
        let behaviour = Behaviour::relay(&keypair, &config, clock, shelf.clone(), gossip);
        let swarm = build::swarm(keypair, (behaviour, None), &config.net, shelf);
        let swarm = Box::pin(swarm).await?;
        Ok(Self::new(swarm, (None, Side::Exchange(Box::new(exchange))), config.net, clock, end))
    }

    fn new(
        swarm: Swarm<Behaviour>,
        (relays, side): (Option<Relays>, Side),
        config: NetConfig,
        clock: Clock,
        end: SwarmEnd,
    ) -> Self {
        Self {
            swarm,
            happenings: end.happenings,
            commands: end.commands,
            config: Arc::new(config),
            clock,
            relays,
            dialing: None,
            surveys: JoinSet::new(),
            tasks: JoinSet::new(),
            next_link: 0,
            voice: Voice { side, tunings: end.tunings, circle: end.circle, outgoing: end.outgoing },
            direct: None,
        }
    }

    /// Listens at `address` and returns the addresses that this stands for.
    pub(crate) async fn listen(&mut self, address: Multiaddr) -> Result<Vec<Multiaddr>, String> {
        build::refuse_taken(&address).map_err(|error| error.to_string())?;
        let any = build::is_unspecified(&address);
        let listener = self.swarm.listen_on(address).map_err(|error| match error {
            TransportError::MultiaddrNotSupported(_) => "no such transport".to_owned(),
            TransportError::Other(error) => error.to_string(),
        })?;
        let mut found = vec![self.next_address(listener).await?];
        while any
            && let Ok(more) =
                tokio::time::timeout(MORE_ADDRESSES, self.next_address(listener)).await
        {
            found.push(more?);
        }
        if self.swarm.behaviour().has_circuits() {
            for address in &found {
                self.swarm.add_external_address(address.clone());
            }
        }
        Ok(found)
    }

    async fn next_address(&mut self, listener: ListenerId) -> Result<Multiaddr, String> {
        loop {
            match self.swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { listener_id, address } if listener_id == listener => {
                    return Ok(address);
                }
                SwarmEvent::ListenerClosed { listener_id, reason, .. }
                    if listener_id == listener =>
                {
                    return Err(match reason {
                        Ok(()) => "the listener was closed".to_owned(),
                        Err(error) => error.to_string(),
                    });
                }
                SwarmEvent::ListenerError { listener_id, error } if listener_id == listener => {
                    return Err(error.to_string());
                }
                event => self.on_event(event),
            }
        }
    }

    /// Runs until the driver closes the commands; then ends every link and returns within twice the
    /// time that links may linger.
    pub(crate) async fn run(mut self) {
        loop {
            let next_dial = self.dialing.as_ref().and_then(Dialing::next_at);
            let next_voice = self.voice.next_at();
            let next_direct = self.direct.as_ref().and_then(Direct::next_at);
            let has_news = self.direct.as_ref().is_some_and(Direct::has_news);
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Dial) => self.on_dial(),
                    None => break,
                },
                event = self.swarm.select_next_some() => self.on_event(event),
                Some(ended) = self.tasks.join_next() => self.on_task_ended(ended.ok().flatten()),
                Some(survey) = self.surveys.join_next() => {
                    self.on_measured(survey.ok());
                }
                Some(outgoing) = self.voice.outgoing.recv() => self.on_outgoing(outgoing),
                () = self.voice.tunings.changed() => self.on_tuned(),
                () = self.clock.sleep_until(next_voice) => self.look_after_voice(),
                () = self.clock.sleep_until(next_dial) => self.dial_next(),
                () = self.voice.circle.changed() => self.on_circle_changed(),
                () = self.clock.sleep_until(next_direct) => self.look_after_direct(),
                Ok(room) = self.happenings.clone().reserve_owned(), if has_news => {
                    let news = self.direct.as_mut().and_then(Direct::take_news);
                    if let Some(news) = news {
                        room.send(news);
                    }
                }
            }
        }
        let linger = self.config.linger;
        // The time is up, and what is not out by now is lost.
        tokio::time::timeout(linger.saturating_mul(2), self.finish()).await.ok();
    }

    /// Waits until every link has ended and every connection is closed.
    async fn finish(&mut self) {
        self.dialing = None;
        self.surveys.abort_all();
        while !self.tasks.is_empty() {
            tokio::select! {
                Some(ended) = self.tasks.join_next() => self.on_task_ended(ended.ok().flatten()),
                event = self.swarm.select_next_some() => self.on_event(event),
            }
        }
        let peers: Vec<_> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            // An error means that it went by itself.
            self.swarm.disconnect_peer_id(peer).ok();
        }
        while self.swarm.network_info().num_peers() > 0 {
            let event = self.swarm.select_next_some().await;
            self.on_event(event);
        }
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Lanes(event)) => self.on_lanes(event),
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(event)) => self.on_gossip(event),
            SwarmEvent::Behaviour(BehaviourEvent::Neighbours(met)) => self.on_met(met),
            SwarmEvent::Behaviour(BehaviourEvent::Direct(event)) => self.on_direct(event),
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                self.on_member_lost(connection_id);
                self.on_dial_failed(connection_id, &explain(&error));
            }
            SwarmEvent::ConnectionClosed { connection_id, peer_id, cause, .. } => {
                tracing::debug!(peer = %peer_id, ?cause, "connection closed");
                self.end_circuits(connection_id);
                self.on_dial_failed(
                    connection_id,
                    "the relay closed the connection: it may allow no more of them",
                );
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                tracing::debug!(from = %send_back_addr, %error, "no connection");
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "a listener had an error");
            }
            SwarmEvent::ListenerClosed { listener_id, addresses, reason }
                if self.direct.as_ref().is_some_and(|direct| direct.is_at_relay(listener_id)) =>
            {
                tracing::debug!(?addresses, ?reason, "no circuits any more");
            }
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                tracing::error!(?addresses, ?reason, "a listener was closed");
            }
            _ => {}
        }
    }

    fn on_lanes(&mut self, event: LanesEvent) {
        let LanesEvent { peer, connection, outcome } = event;
        match outcome {
            Outcome::Up(opened) if self.is_wanted(connection) => {
                self.start_link(peer, connection, *opened);
            }
            Outcome::Up(_) => {
                tracing::debug!(?peer, "closed a connection that came too late");
                self.swarm.close_connection(connection);
            }
            Outcome::Failed(why) => {
                tracing::debug!(?peer, %why, "no link");
                self.swarm.close_connection(connection);
                self.on_dial_failed(connection, &why);
            }
        }
    }

    fn is_wanted(&self, connection: ConnectionId) -> bool {
        match &self.dialing {
            Some(dialing) => dialing.is_in_flight(connection),
            None => self.relays.is_none() && !self.commands.is_closed(),
        }
    }

    fn start_link(&mut self, peer: PeerId, connection: ConnectionId, opened: Opened) {
        if let Some(dialing) = self.dialing.take() {
            if let Some((relays, address)) = self.relays.as_mut().zip(dialing.address(connection)) {
                relays.settle(address);
                let address = address.clone();
                self.begin_circuits(peer, connection, &address);
            }
            for other in dialing.in_flight().filter(|other| *other != connection) {
                self.swarm.close_connection(other);
            }
        }
        let link = Link(self.next_link);
        self.next_link += 1;
        let Opened { streams, datagrams } = opened;
        tracing::debug!(?link, ?peer, datagrams = datagrams.is_some(), "link up");
        let (listing, voice) = self.list(link, connection, datagrams.clone());
        let task = LinkTask {
            link,
            peer,
            happenings: self.happenings.clone(),
            config: Arc::clone(&self.config),
            clock: self.clock,
            voice,
        };
        let linger = self.config.linger;
        self.tasks.spawn(async move {
            let is_over = task.run(streams, datagrams).await;
            drop(listing);
            if is_over {
                // Closed from here, QUIC would drop the ends of the streams, and where the window is
                // full even the notice: the other end would wait for both.
                tokio::time::sleep(linger).await;
            }
            Some(connection)
        });
    }

    fn on_task_ended(&mut self, connection: Option<ConnectionId>) {
        if let Some(connection) = connection {
            self.swarm.close_connection(connection);
        }
    }

    fn on_dial(&mut self) {
        if self.dialing.is_none() {
            let now = self.clock.now();
            self.dialing = self.relays.as_mut().map(|relays| relays.dialing(now));
            self.dial_next();
        }
    }

    fn on_dial_failed(&mut self, connection: ConnectionId, why: &str) {
        if let Some(dialing) = &mut self.dialing
            && dialing.is_in_flight(connection)
        {
            tracing::debug!(%why, "an address failed");
            dialing.failed(connection, why);
            self.dial_next();
        }
    }

    fn on_measured(&mut self, measured: Option<Vec<Measured>>) {
        let Some(dialing) = &mut self.dialing else { return };
        let (mut nearest, mut failures) = (VecDeque::new(), Vec::new());
        if measured.is_none() {
            failures.push("the relays could not be measured".to_owned());
        }
        for Measured { relay, addresses, round_trip } in measured.into_iter().flatten() {
            tracing::debug!(?relay, ?round_trip, "measured");
            match round_trip {
                Ok(_) => nearest.push_back(addresses),
                Err(why) => failures.push(why.to_string()),
            }
        }
        dialing.measured(nearest, failures);
        self.dial_next();
    }

    fn dial_next(&mut self) {
        let now = self.clock.now();
        while let Some(dialing) = &mut self.dialing {
            match dialing.step(now) {
                Step::Wait => return,
                Step::Measure => self.measure(),
                Step::Start(address) => {
                    tracing::debug!(%address, "dialing");
                    let options = options(&address);
                    let connection = options.connection_id();
                    self.swarm.behaviour_mut().lanes.want(connection);
                    match self.swarm.dial(options) {
                        Ok(()) => dialing.started(connection, address),
                        Err(error) => dialing.not_started(&address, &explain(&error)),
                    }
                }
                Step::GiveUp(why) => {
                    self.dialing = None;
                    let happenings = self.happenings.clone();
                    // Waits for room in the queue, which this task must not.
                    self.tasks.spawn(async move {
                        let unreachable = Happening::Input(Input::Unreachable { why });
                        happenings.send(unreachable).await.ok();
                        None
                    });
                }
            }
        }
    }

    fn measure(&mut self) {
        let Some(relays) = &self.relays else { return };
        let (addresses, config) = (relays.addresses(), Arc::clone(&self.config));
        self.surveys.spawn(async move { measure(addresses, &config).await });
    }
}

/// How to dial an address, whether or not there is a connection already.
fn options(address: &RelayAddress) -> DialOpts {
    let multiaddr = address.as_multiaddr().clone();
    match address.as_libp2p_peer() {
        Some(peer) => DialOpts::peer_id(peer)
            // A new link may be wanted because the old one is dying.
            .condition(PeerCondition::Always)
            .addresses(vec![multiaddr])
            .build(),
        None => DialOpts::unknown_peer_id().address(multiaddr).build(),
    }
}
