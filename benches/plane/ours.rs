//! Parlor's lanes: a relay that passes frames on, and carriers on it.

use std::collections::{BTreeSet, VecDeque};
use std::future;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parlor::net::{Carrier, Machine, NetConfig, Relay, RelayAddress, RelayNetConfig};
use parlor::proto::event::{Effect, Input};
use parlor::proto::id::{Identity, Lane, Link};
use parlor::proto::time::Time;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::frame::{self, Arrivals};
use crate::proxy::{Path, Proxy};
use crate::{Failure, Plan, Way};

/// Passes what a link says on to all others.
#[derive(Default)]
struct Fan {
    links: BTreeSet<Link>,
    effects: VecDeque<Effect>,
}

impl Machine for Fan {
    fn handle(&mut self, _: Time, input: Input) {
        match input {
            Input::Connected { link, .. } => {
                self.links.insert(link);
            }
            Input::Disconnected { link } => {
                self.links.remove(&link);
            }
            Input::Received { link: from, lane, frame } => {
                let others = self.links.iter().filter(|link| **link != from);
                self.effects.extend(others.map(|link| Effect::Send {
                    link: *link,
                    lane,
                    frame: frame.clone(),
                }));
            }
            Input::Unreachable { .. }
            | Input::Written { .. }
            | Input::Authorised { .. }
            | Input::Fetched { .. }
            | Input::Committed { .. }
            | Input::Spoken { .. }
            | Input::Neighbour { .. } => {}
        }
    }

    fn tick(&mut self, _: Time) {}

    fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        None
    }
}

pub(crate) async fn measure(way: Way, plan: Plan) -> Result<Arrivals, Failure> {
    let lane = if way == Way::Stream { Lane::Document } else { Lane::State };
    let config = RelayNetConfig { exempt_loopback: true, ..RelayNetConfig::default() };
    let listen = ["/ip4/127.0.0.1/udp/0/quic-v1"];
    let relay = Relay::bind(&identity(0), &listen, config, Fan::default()).await?;
    let at = socket(&relay.addresses()[0])?;
    let proxy = Proxy::to(at, Path::even(plan.delay, plan.loss, plan.seed)).await?;
    let gauge = proxy.gauge();
    let at = proxy.address()?;
    let address: RelayAddress =
        format!("/ip4/{}/udp/{}/quic-v1/p2p/{}", at.ip(), at.port(), identity(0).peer()).parse()?;
    let mut others = JoinSet::new();
    others.spawn(async move {
        relay.run(future::pending()).await;
    });
    others.spawn(proxy.run());
    let mut carriers = Vec::new();
    for number in 0..=plan.receivers {
        let mut net = NetConfig::default();
        if way == Way::StateStream {
            net.datagrams_unread = 0;
        }
        let identity = identity(u8::try_from(number + 1)?);
        let mut carrier = Carrier::on(&Handle::current(), &identity, vec![address.clone()], net)?;
        carrier.perform(Effect::Dial);
        let link = match carrier.wait_input().await {
            Input::Connected { link, .. } => link,
            other => return Err(format!("not connected but {other:?}").into()),
        };
        carriers.push((carrier, link));
    }
    // The probes for longer packets are through by then.
    sleep(Duration::from_secs(1)).await;
    gauge.lossy.store(true, Ordering::Relaxed);
    let beginning = Instant::now();
    let (sender, link) = carriers.remove(0);
    let length = Duration::from_secs(1) / frame::RATE * plan.frames + frame::PATIENCE;
    let mut receivers = JoinSet::new();
    for (carrier, _) in carriers {
        receivers.spawn(receive(carrier, lane, beginning, length));
    }
    let sender = send(sender, link, lane, plan.frames, beginning).await;
    let mut all = Arrivals::default();
    while let Some(arrivals) = receivers.join_next().await {
        all.merge(arrivals?);
    }
    drop(sender);
    Ok(all)
}

async fn send(
    mut carrier: Carrier,
    link: Link,
    lane: Lane,
    frames: u32,
    beginning: Instant,
) -> Carrier {
    let mut ticks = interval(Duration::from_secs(1) / frame::RATE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for number in 0..frames {
        ticks.tick().await;
        let frame = Bytes::from(frame::frame(number, beginning));
        carrier.perform(Effect::Send { link, lane, frame });
        while carrier.poll_input().is_some() {}
    }
    carrier
}

async fn receive(
    mut carrier: Carrier,
    lane: Lane,
    beginning: Instant,
    length: Duration,
) -> Arrivals {
    let mut arrivals = Arrivals::default();
    let all = async {
        loop {
            if let Input::Received { lane: by, frame, .. } = carrier.wait_input().await
                && by == lane
            {
                arrivals.note(&frame, beginning);
            }
        }
    };
    // The time is up: that is how it ends.
    timeout(length, all).await.unwrap_or(());
    arrivals
}

fn identity(number: u8) -> Identity {
    Identity::from_seed([number; 32])
}

/// The socket of an address such as `/ip4/127.0.0.1/udp/4433/quic-v1/p2p/...`.
fn socket(address: &str) -> Result<SocketAddr, Failure> {
    let parts: Vec<_> = address.split('/').collect();
    let [_, _, ip, _, port, ..] = parts[..] else {
        return Err(format!("{address} is no address of QUIC").into());
    };
    Ok(SocketAddr::new(ip.parse()?, port.parse()?))
}
