//! gossipsub over libp2p's own QUIC, in the shape of a star: everybody knows the relay alone.

use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use libp2p::gossipsub::{Behaviour, Event, IdentTopic};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Swarm};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use crate::hub::Hub;
use crate::mesh::{MEETING, TOPIC, swarm};
use crate::script::Script;
use crate::seen::{Measured, Seen};
use crate::{Outcome, Plan, Way, udp};

/// More than there are peers: the mesh has room for everybody.
const MANY: usize = 256;

/// A message begins with who wrote it and which one it is.
const NAME: usize = 8;

/// The relay, in another task.
pub(crate) async fn hub(runtime: &Handle) -> Outcome<String> {
    let mut hub = swarm(MANY, NAME)?;
    hub.listen_on("/ip4/127.0.0.1/udp/0/quic-v1".parse()?)?;
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = hub.select_next_some().await {
            break address.with(Protocol::P2p(*hub.local_peer_id()));
        }
    };
    runtime.spawn(async move {
        loop {
            hub.select_next_some().await;
        }
    });
    Ok(address.to_string())
}

pub(crate) async fn measure(plan: Plan) -> Outcome<Measured> {
    let mut hub = Hub::start(Way::Gossip, plan.relay)?;
    let address: Multiaddr = hub.address().parse()?;
    let mut leaves = JoinSet::new();
    for _ in 0..plan.peers {
        let mut leaf = swarm(MANY, NAME)?;
        leaf.dial(address.clone())?;
        leaves.spawn(async move {
            timeout(MEETING, subscribed(&mut leaf)).await?;
            Ok(leaf)
        });
    }
    let leaves = leaves.join_all().await.into_iter().collect::<Outcome<Vec<_>>>()?;
    let script = Arc::new(Script::new(plan));
    let mut peers = JoinSet::new();
    for (sender, leaf) in leaves.into_iter().enumerate() {
        peers.spawn(Box::pin(dance(leaf, sender, Arc::clone(&script), plan.peers)));
    }
    let usage = hub.watch(&script).await?;
    let seen = peers.join_all().await.into_iter().collect::<Outcome<_>>()?;
    Ok(Measured { seen, written: script.counted(), usage })
}

/// Waits until the relay says that it has subscribed too.
async fn subscribed(swarm: &mut Swarm<Behaviour>) {
    while !matches!(swarm.select_next_some().await, SwarmEvent::Behaviour(Event::Subscribed { .. }))
    {
    }
}

async fn dance(
    mut swarm: Swarm<Behaviour>,
    sender: usize,
    script: Arc<Script>,
    peers: usize,
) -> Outcome<Seen> {
    let mut seen = Seen::new(sender, peers);
    let topic = IdentTopic::new(TOPIC);
    let (mut due, mut number) = script.next(sender, None);
    while Instant::now() < script.end() {
        tokio::select! {
            () = sleep_until(due.into()) => {
                script.write(sender, number);
                let frame = udp::frame(sender, number)?;
                // What it does not take is lost, and counts as that.
                swarm.behaviour_mut().publish(topic.clone(), frame).ok();
                (due, number) = script.next(sender, Some(number));
            }
            event = swarm.select_next_some() => {
                if let SwarmEvent::Behaviour(Event::Message { message, .. }) = event {
                    udp::note(&mut seen, &script, &message.data);
                }
            }
        }
    }
    Ok(seen)
}
