//! With libp2p's own QUIC at the other end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Swarm, SwarmBuilder};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::net::behaviour::{Lanes, LanesEvent};
use crate::net::config::{NetConfig, RelayNetConfig};
use crate::net::handler::Outcome;
use crate::net::identity::keypair;
use crate::net::link::{Happening, LinkTask, Outbox};
use crate::net::protocol::Streams;
use crate::net::relay::{Machine, Relay};
use crate::net::{Carrier, RelayAddress};
use crate::proto::event::{Effect, Input};
use crate::proto::id::{Identity, Lane, Link};
use crate::proto::time::Time;

const ANY: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

const PATIENCE: Duration = Duration::from_secs(20);

fn stock(seed: u8) -> Swarm<Lanes> {
    SwarmBuilder::with_existing_identity(keypair(&Identity::from_seed([seed; 32])))
        .with_tokio()
        .with_quic()
        .with_behaviour(|_| Lanes::new(PATIENCE))
        .unwrap()
        .build()
}

/// Runs a stock swarm until its lanes are open, and goes on with it in a task.
async fn up(mut swarm: Swarm<Lanes>, tasks: &mut JoinSet<()>) -> (LanesEvent, Mailbox) {
    let event = timeout(PATIENCE, async {
        loop {
            if let SwarmEvent::Behaviour(event) = swarm.select_next_some().await {
                return event;
            }
        }
    });
    let event = event.await.expect("the lanes open");
    tasks.spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    let (sender, mailbox) = mpsc::channel(64);
    (event, Mailbox { sender, mailbox })
}

/// What a stock end hears.
struct Mailbox {
    sender: mpsc::Sender<Happening>,
    mailbox: mpsc::Receiver<Happening>,
}

impl Mailbox {
    fn serve(&self, event: LanesEvent, tasks: &mut JoinSet<()>) {
        let Outcome::Up(streams) = event.outcome else {
            panic!("no lanes: {:?}", event.outcome);
        };
        let streams: Streams = *streams;
        let task = LinkTask {
            link: Link(0),
            peer: event.peer,
            happenings: self.sender.clone(),
            config: Arc::new(NetConfig::default()),
        };
        tasks.spawn(async move {
            task.run(streams).await;
        });
    }

    async fn outbox(&mut self) -> Outbox {
        match timeout(PATIENCE, self.mailbox.recv()).await {
            Ok(Some(Happening::Up { outbox, .. })) => outbox,
            other => panic!("not up but {other:?}"),
        }
    }

    async fn frame(&mut self) -> (Lane, Bytes) {
        loop {
            match timeout(PATIENCE, self.mailbox.recv()).await {
                Ok(Some(Happening::Input(Input::Received { lane, frame, .. }))) => {
                    return (lane, frame);
                }
                Ok(Some(Happening::Input(Input::Written { .. }))) => {}
                other => panic!("no frame but {other:?}"),
            }
        }
    }
}

/// Sends back what it gets.
#[derive(Debug, Default)]
struct Echo(Mutex<Vec<Effect>>);

impl Machine for Echo {
    fn handle(&mut self, _: Time, input: Input) {
        if let Input::Received { link, lane, frame } = input {
            self.0.lock().unwrap().push(Effect::Send { link, lane, frame });
        }
    }

    fn tick(&mut self, _: Time) {}

    fn poll_effect(&mut self) -> Option<Effect> {
        self.0.lock().unwrap().pop()
    }

    fn poll_timeout(&self) -> Option<Time> {
        None
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_peer_dials_us() {
    let config = RelayNetConfig { exempt_loopback: true, ..RelayNetConfig::default() };
    let identity = Identity::from_seed([1; 32]);
    let relay = Relay::bind(&identity, &[ANY], config, Echo::default()).await.unwrap();
    let address: Multiaddr = relay.addresses()[0].parse().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        relay.run(std::future::pending()).await;
    });
    let mut swarm = stock(2);
    swarm.dial(address).unwrap();
    let (event, mut heard) = up(swarm, &mut tasks).await;
    assert_eq!(event.peer, identity.peer());
    heard.serve(event, &mut tasks);
    let outbox = heard.outbox().await;
    for lane in Lane::ALL {
        let frame = Bytes::from(vec![7; 100_000]);
        outbox.push(lane, frame.clone()).unwrap();
        assert_eq!(heard.frame().await, (lane, frame));
    }
}

/// The next frame that a carrier gets.
async fn received(carrier: &mut Carrier) -> (Lane, Bytes) {
    loop {
        match timeout(PATIENCE, carrier.wait_input()).await {
            Ok(Input::Received { lane, frame, .. }) => return (lane, frame),
            Ok(Input::Written { .. }) => {}
            other => panic!("no frame but {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn we_dial_a_stock_peer() {
    let identity = Identity::from_seed([1; 32]);
    let mut swarm = stock(1);
    swarm.listen_on(ANY.parse().unwrap()).unwrap();
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break address.with_p2p(*swarm.local_peer_id()).unwrap();
        }
    };
    let address: RelayAddress = address.to_string().parse().unwrap();
    let me = Identity::from_seed([2; 32]);
    let config = NetConfig::default();
    let mut carrier = Carrier::on(&Handle::current(), &me, vec![address], config).unwrap();
    carrier.perform(Effect::Dial);
    let mut tasks = JoinSet::new();
    let (event, mut heard) = up(swarm, &mut tasks).await;
    assert_eq!(event.peer, me.peer());
    heard.serve(event, &mut tasks);
    let outbox = heard.outbox().await;
    let link = match carrier.wait_input().await {
        Input::Connected { link, peer } if peer == identity.peer() => link,
        other => panic!("not connected but {other:?}"),
    };
    for lane in Lane::ALL {
        let frame = Bytes::from(vec![7; 100_000]);
        carrier.perform(Effect::Send { link, lane, frame: frame.clone() });
        assert_eq!(heard.frame().await, (lane, frame.clone()));
        outbox.push(lane, frame.clone()).unwrap();
        assert_eq!(received(&mut carrier).await, (lane, frame));
    }
}
