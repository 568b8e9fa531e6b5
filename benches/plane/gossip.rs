//! gossipsub over libp2p's own QUIC, in the shape of a star: everybody knows the relay alone.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::join_all;
use libp2p::gossipsub::{Behaviour, Event, IdentTopic};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Swarm};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout, timeout_at};

use crate::frame::{self, Arrivals};
use crate::mesh::{MEETING, TOPIC, swarm};
use crate::proxy::{Path, Proxy};
use crate::{Failure, Plan};

/// A frame begins with its number and when it was sent.
const NAME: usize = 12;

pub(crate) async fn measure(plan: Plan) -> Result<Arrivals, Failure> {
    // Room for everybody.
    let many = plan.receivers + 2;
    let mut hub = swarm(many, NAME)?;
    hub.listen_on("/ip4/127.0.0.1/udp/0/quic-v1".parse()?)?;
    let at = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = hub.select_next_some().await {
            break socket(&address)?;
        }
    };
    let proxy = Proxy::to(at, Path::even(plan.delay, plan.loss, plan.seed)).await?;
    let gauge = proxy.gauge();
    let front = proxy.address()?;
    let address = Multiaddr::empty()
        .with(front.ip().into())
        .with(Protocol::Udp(front.port()))
        .with(Protocol::QuicV1)
        .with(Protocol::P2p(*hub.local_peer_id()));
    let mut others = JoinSet::new();
    others.spawn(proxy.run());
    others.spawn(run(hub));
    let mut leaves = Vec::new();
    for _ in 0..=plan.receivers {
        let mut leaf = swarm(many, NAME)?;
        leaf.dial(address.clone())?;
        timeout(MEETING, subscribed(&mut leaf)).await?;
        leaves.push(leaf);
    }
    // Two heartbeats: everybody is in the relay's mesh then.
    let settled = Instant::now() + Duration::from_secs(2);
    join_all(leaves.iter_mut().map(|leaf| run_until(leaf, settled))).await;
    gauge.lossy.store(true, Ordering::Relaxed);
    let beginning = Instant::now();
    let length = Duration::from_secs(1) / frame::RATE * plan.frames + frame::PATIENCE;
    let sender = leaves.remove(0);
    let mut receivers = JoinSet::new();
    for leaf in leaves {
        receivers.spawn(receive(leaf, beginning, length));
    }
    others.spawn(send(sender, plan.frames, beginning));
    let mut all = Arrivals::default();
    while let Some(arrivals) = receivers.join_next().await {
        all.merge(arrivals?);
    }
    Ok(all)
}

async fn run(mut swarm: Swarm<Behaviour>) {
    loop {
        swarm.select_next_some().await;
    }
}

async fn run_until(swarm: &mut Swarm<Behaviour>, end: Instant) {
    let all = async {
        loop {
            swarm.select_next_some().await;
        }
    };
    // The time is up: that is how it ends.
    timeout_at(end.into(), all).await.unwrap_or(());
}

/// Waits until the relay says that it has subscribed too.
async fn subscribed(swarm: &mut Swarm<Behaviour>) {
    while !matches!(swarm.select_next_some().await, SwarmEvent::Behaviour(Event::Subscribed { .. }))
    {
    }
}

async fn send(mut swarm: Swarm<Behaviour>, frames: u32, beginning: Instant) {
    let mut ticks = interval(Duration::from_secs(1) / frame::RATE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let topic = IdentTopic::new(TOPIC);
    let mut number = 0;
    loop {
        tokio::select! {
            _ = ticks.tick(), if number < frames => {
                let frame = frame::frame(number, beginning);
                // What it does not take is lost, and counts as that.
                swarm.behaviour_mut().publish(topic.clone(), frame).ok();
                number += 1;
            }
            _ = swarm.select_next_some() => {}
        }
    }
}

async fn receive(mut swarm: Swarm<Behaviour>, beginning: Instant, length: Duration) -> Arrivals {
    let mut arrivals = Arrivals::default();
    let all = async {
        loop {
            if let SwarmEvent::Behaviour(Event::Message { message, .. }) =
                swarm.select_next_some().await
            {
                arrivals.note(&message.data, beginning);
            }
        }
    };
    // The time is up: that is how it ends.
    timeout(length, all).await.unwrap_or(());
    arrivals
}

fn socket(address: &Multiaddr) -> Result<SocketAddr, Failure> {
    let mut parts = address.iter();
    match (parts.next(), parts.next()) {
        (Some(Protocol::Ip4(ip)), Some(Protocol::Udp(port))) => {
            Ok(SocketAddr::new(IpAddr::V4(ip), port))
        }
        _ => Err(format!("{address} is no address of QUIC").into()),
    }
}
