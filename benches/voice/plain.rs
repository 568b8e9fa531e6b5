//! The same frames through plain gossipsub over libp2p's QUIC, in the shape of a star.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::gossipsub::{Behaviour, Config, Event, IdentTopic, MessageAuthenticity};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Swarm, SwarmBuilder};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout, timeout_at};

use crate::Outcome;
use crate::member::FRAME_TIME;
use crate::mesh::{self, MEETING, TOPIC};
use crate::proxy::{Path, Proxy};
use crate::wire::{Cost, Counter, WARM};

/// Bytes of a packet, and of them those that tell it from others.
const LENGTH: usize = 92;
const NAME: usize = 12;

/// More than there are peers.
const MANY: usize = 16;

/// A peer that has subscribed: as gossipsub is by default, or with nothing signed.
fn swarm(is_signed: bool) -> Outcome<Swarm<Behaviour>> {
    if !is_signed {
        return mesh::swarm(MANY, NAME);
    }
    let key = Keypair::generate_ed25519();
    let authenticity = MessageAuthenticity::Signed(key.clone());
    let mut behaviour = Behaviour::new(authenticity, Config::default())?;
    behaviour.subscribe(&IdentTopic::new(TOPIC))?;
    Ok(SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_quic()
        .with_behaviour(|_| behaviour)?
        .with_swarm_config(|config| config.with_idle_connection_timeout(MEETING))
        .build())
}

pub(crate) async fn measure(speakers: usize, is_signed: bool, length: Duration) -> Outcome<Cost> {
    let mut hub = swarm(is_signed)?;
    hub.listen_on("/ip4/127.0.0.1/udp/0/quic-v1".parse()?)?;
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = hub.select_next_some().await {
            break address.with(Protocol::P2p(*hub.local_peer_id()));
        }
    };
    let proxy = Proxy::to(socket(&address)?, Path::even(Duration::ZERO, 0, 0)).await?;
    let (gauge, front) = (proxy.gauge(), proxy.address()?);
    let by_here = Multiaddr::empty()
        .with(front.ip().into())
        .with(Protocol::Udp(front.port()))
        .with(Protocol::QuicV1)
        .with(Protocol::P2p(*hub.local_peer_id()));
    let mut others = JoinSet::new();
    others.spawn(proxy.run());
    others.spawn(async move {
        loop {
            hub.select_next_some().await;
        }
    });
    let mut listener = come(is_signed, by_here).await?;
    for who in 0..speakers {
        let speaker = come(is_signed, address.clone()).await?;
        others.spawn(talk(speaker, u8::try_from(who)?));
    }
    hear(&mut listener, WARM).await;
    let counter = Counter::new(&gauge);
    let heard = hear(&mut listener, length).await;
    let said = (length.as_millis() / FRAME_TIME.as_millis()) as usize * speakers;
    Ok(counter.cost(speakers, said, heard))
}

/// Comes, and waits until the relay says that it has subscribed too.
async fn come(is_signed: bool, address: Multiaddr) -> Outcome<Swarm<Behaviour>> {
    let mut swarm = swarm(is_signed)?;
    swarm.dial(address)?;
    let subscribed = async {
        while !matches!(
            swarm.select_next_some().await,
            SwarmEvent::Behaviour(Event::Subscribed { .. })
        ) {}
    };
    timeout(MEETING, subscribed).await?;
    Ok(swarm)
}

async fn talk(mut swarm: Swarm<Behaviour>, who: u8) {
    let (topic, mut frames, mut number) = (IdentTopic::new(TOPIC), interval(FRAME_TIME), 0_u32);
    loop {
        tokio::select! {
            _ = frames.tick() => {
                let mut frame = vec![who; LENGTH];
                frame[..4].copy_from_slice(&number.to_le_bytes());
                number += 1;
                // What it does not take is not heard.
                swarm.behaviour_mut().publish(topic.clone(), frame).ok();
            }
            _ = swarm.select_next_some() => {}
        }
    }
}

/// How many packets come in a time.
async fn hear(swarm: &mut Swarm<Behaviour>, length: Duration) -> usize {
    let (end, mut heard) = (Instant::now() + length, 0);
    while let Ok(event) = timeout_at(end.into(), swarm.select_next_some()).await {
        heard += usize::from(matches!(event, SwarmEvent::Behaviour(Event::Message { .. })));
    }
    heard
}

fn socket(address: &Multiaddr) -> Outcome<SocketAddr> {
    let mut parts = address.iter();
    match (parts.next(), parts.next()) {
        (Some(Protocol::Ip4(ip)), Some(Protocol::Udp(port))) => Ok((ip, port).into()),
        _ => Err(format!("{address} is no address of QUIC").into()),
    }
}
