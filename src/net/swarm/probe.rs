//! Measures relays: a swarm of its own, which only pings.

use futures::StreamExt;
use libp2p::Swarm;
use libp2p::identity::Keypair;
use libp2p::swarm::SwarmEvent;
use tokio::time::timeout;

use crate::net::address::RelayAddress;
use crate::net::clock::Clock;
use crate::net::config::NetConfig;
use crate::net::dial::explain;
use crate::net::identity::peer_from_libp2p;
use crate::net::pings::{Pinged, Pings};
use crate::net::quic::Shelf;
use crate::net::survey::{Measured, Move, Survey, unreachable};
use crate::net::swarm::{build, options};

/// How far relays are: the nearest first, then those that were not measured, in the order in which
/// they were given. Enters no room, and takes at most [`NetConfig::measure`] and
/// [`NetConfig::linger`].
///
/// Addresses that end with the same `/p2p/ID` are of one relay, and those without an id together are
/// one more. All relays are dialed at once, each as for a link. Over the first connection that is up
/// go [`NetConfig::round_trips`] pings of libp2p, one after the other, each on a stream of its own: 32
/// bytes there and back, timed from when they were handed to the transport. The least counts. It has
/// in it what both computers take to answer, and none of the handshakes. A relay sees a connection of somebody new that opens no
/// lanes, and counts it as any other.
///
/// A group that wants a fair relay measures the same list on each computer, and brings the answers
/// together: a relay's cost is the sum of all round trips to it, infinite if somebody has none, and
/// the least cost is the best.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::time::Duration;
///
/// use parlor::PeerId;
///
/// /// What everybody has measured: a round trip to each relay that answered.
/// fn fairest(all: &[BTreeMap<PeerId, Duration>]) -> Option<PeerId> {
///     let candidates = all.first()?.keys();
///     let cost = |relay: &PeerId| -> Option<Duration> {
///         all.iter().map(|one| one.get(relay).copied()).sum()
///     };
///     candidates.filter_map(|relay| Some((cost(relay)?, *relay))).min().map(|(_, relay)| relay)
/// }
///
/// let [near, far, dead] = [1, 2, 3].map(|id| PeerId::new([id; 32]));
/// let millis = Duration::from_millis;
/// let ada = BTreeMap::from([(near, millis(10)), (far, millis(60)), (dead, millis(1))]);
/// let ben = BTreeMap::from([(near, millis(90)), (far, millis(50))]);
/// assert_eq!(fairest(&[ada, ben]), Some(near));
/// ```
///
/// The group then passes that one relay's addresses to [`ConnectOptions`](crate::ConnectOptions),
/// and no others. Of two equal costs everybody must pick the same one, as the id does here.
///
/// Must be awaited within a tokio runtime with timers, input and output.
pub async fn measure(addresses: Vec<RelayAddress>, config: &NetConfig) -> Vec<Measured> {
    let clock = Clock::new();
    let keypair = Keypair::generate_ed25519();
    let pings = Pings::new(config.round_trips.max(1), config.measure, clock);
    let mut swarm = match build::swarm(keypair, (pings, None), config, Shelf::default()).await {
        Ok(swarm) => swarm,
        Err(error) => {
            return unreachable(addresses, &format!("the network cannot be started: {error}"));
        }
    };
    let mut survey = Survey::new(addresses, config, clock.now());
    while advance(&mut survey, &mut swarm, clock) {
        tokio::select! {
            event = swarm.select_next_some() => on_event(&mut survey, event),
            () = clock.sleep_until(Some(survey.next_at())) => {}
        }
    }
    // What is not closed by then is missed at the other end.
    timeout(config.linger, close(&mut swarm)).await.ok();
    survey.into_measured()
}

/// Does what is to be done now. Returns whether more will be.
fn advance(survey: &mut Survey, swarm: &mut Swarm<Pings>, clock: Clock) -> bool {
    loop {
        match survey.step(clock.now()) {
            Move::Start(at, address) => {
                tracing::debug!(%address, "measuring");
                let options = options(&address);
                let connection = options.connection_id();
                match swarm.dial(options) {
                    Ok(()) => survey.started(at, connection, address),
                    Err(error) => survey.not_started(at, &address, &explain(&error)),
                }
            }
            Move::Close(connection) => {
                swarm.close_connection(connection);
            }
            Move::Wait => return true,
            Move::Done => return false,
        }
    }
}

fn on_event(survey: &mut Survey, event: SwarmEvent<Pinged>) {
    match event {
        SwarmEvent::ConnectionEstablished { connection_id, peer_id, .. } => {
            survey.up(connection_id, peer_from_libp2p(&peer_id));
        }
        SwarmEvent::Behaviour(Pinged { connection, round_trip }) => match round_trip {
            Ok(round_trip) => survey.answered(connection, round_trip),
            Err(why) => survey.failed(connection, &why),
        },
        SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
            survey.failed(connection_id, &explain(&error));
        }
        SwarmEvent::ConnectionClosed { connection_id, .. } => {
            survey.failed(
                connection_id,
                "the relay closed the connection: it may allow no more of them",
            );
        }
        _ => {}
    }
}

/// Closes every connection, so that relays need not wait for them.
async fn close(swarm: &mut Swarm<Pings>) {
    let peers: Vec<_> = swarm.connected_peers().copied().collect();
    for peer in peers {
        // An error means that it went by itself.
        swarm.disconnect_peer_id(peer).ok();
    }
    while swarm.network_info().num_peers() > 0 {
        swarm.select_next_some().await;
    }
}
