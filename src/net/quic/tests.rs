//! With libp2p's own QUIC at the other end, and with ours at both.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use libp2p::swarm::{SwarmEvent, dummy};
use libp2p::{Multiaddr, Swarm, SwarmBuilder};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::net::behaviour::{Lanes, LanesEvent};
use crate::net::clock::Clock;
use crate::net::config::{NetConfig, RelayNetConfig};
use crate::net::handler::{Opened, Outcome};
use crate::net::identity::keypair;
use crate::net::link::{Happening, LinkTask, Outbox};
use crate::net::quic::{Datagrams, QuicTransport, Shelf};
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
        .with_behaviour(|_| Lanes::new(PATIENCE, Shelf::default()))
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
    /// Carries the lanes of `event`, and returns the connection's datagrams.
    fn serve(&self, event: LanesEvent, tasks: &mut JoinSet<()>) -> Option<Datagrams> {
        let Outcome::Up(opened) = event.outcome else {
            panic!("no lanes: {:?}", event.outcome);
        };
        let Opened { streams, datagrams } = *opened;
        let also = datagrams.clone();
        let task = LinkTask {
            link: Link(0),
            peer: event.peer,
            happenings: self.sender.clone(),
            config: Arc::new(NetConfig::default()),
            clock: Clock::new(),
            voice: None,
        };
        tasks.spawn(async move {
            task.run(streams, datagrams).await;
        });
        also
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

    fn poll_timeout(&mut self) -> Option<Time> {
        None
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_peer_dials_us() {
    let mut tasks = JoinSet::new();
    let address = echo(&mut tasks).await;
    let mut swarm = stock(2);
    swarm.dial(address).unwrap();
    let (event, mut heard) = up(swarm, &mut tasks).await;
    assert_eq!(event.peer, Identity::from_seed([1; 32]).peer());
    assert!(heard.serve(event, &mut tasks).is_none());
    let outbox = heard.outbox().await;
    for lane in Lane::ALL {
        let frame = Bytes::from(vec![7; 1_000]);
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
    assert!(heard.serve(event, &mut tasks).is_none());
    let outbox = heard.outbox().await;
    let link = match carrier.wait_input().await {
        Input::Connected { link, peer } if peer == identity.peer() => link,
        other => panic!("not connected but {other:?}"),
    };
    for lane in Lane::ALL {
        let frame = Bytes::from(vec![7; 1_000]);
        carrier.perform(Effect::Send { link, lane, frame: frame.clone() });
        assert_eq!(heard.frame().await, (lane, frame.clone()));
        outbox.push(lane, frame.clone()).unwrap();
        assert_eq!(received(&mut carrier).await, (lane, frame));
    }
}

/// A dialer of ours: a swarm that has nothing but lanes over our transport.
fn ours(seed: u8) -> Swarm<Lanes> {
    let keypair = keypair(&Identity::from_seed([seed; 32]));
    let shelf = Shelf::default();
    let quic = QuicTransport::new(&keypair, &NetConfig::default(), shelf.clone()).unwrap();
    SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_other_transport(|_| quic)
        .unwrap()
        .with_behaviour(|_| Lanes::new(PATIENCE, shelf))
        .unwrap()
        .build()
}

async fn echo(tasks: &mut JoinSet<()>) -> Multiaddr {
    let config = RelayNetConfig { exempt_loopback: true, ..RelayNetConfig::default() };
    let identity = Identity::from_seed([1; 32]);
    let relay = Relay::bind(&identity, &[ANY], config, Echo::default()).await.unwrap();
    let address = relay.addresses()[0].parse().unwrap();
    tasks.spawn(async move {
        relay.run(std::future::pending()).await;
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn state_goes_by_datagram_beside_the_streams_of_one_connection_or_by_stream_if_it_is_long() {
    let mut tasks = JoinSet::new();
    let address = echo(&mut tasks).await;
    let mut swarm = ours(2);
    swarm.dial(address).unwrap();
    let (event, mut heard) = up(swarm, &mut tasks).await;
    let datagrams = heard.serve(event, &mut tasks).expect("both ends are ours");
    let counted = || {
        let stats = datagrams.connection.stats();
        (stats.frame_tx.datagram, stats.frame_rx.datagram)
    };
    let outbox = heard.outbox().await;
    for (lane, length, expected) in [
        (Lane::Document, 1_000, (0, 0)),
        (Lane::State, 1_000, (1, 1)),
        (Lane::State, 1, (2, 2)),
        (Lane::State, 1_500, (2, 2)),
        (Lane::Control, 1_000, (2, 2)),
        (Lane::State, 100, (3, 3)),
    ] {
        let frame = Bytes::from(vec![7; length]);
        outbox.push(lane, frame.clone()).unwrap();
        assert_eq!(heard.frame().await, (lane, frame));
        assert_eq!(counted(), expected, "{lane:?} {length}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_takes_goes_with_its_connection() {
    let mut tasks = JoinSet::new();
    let address = echo(&mut tasks).await;
    let keypair = keypair(&Identity::from_seed([2; 32]));
    let shelf = Shelf::default();
    let quic = QuicTransport::new(&keypair, &NetConfig::default(), shelf.clone()).unwrap();
    let mut swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_other_transport(|_| quic)
        .unwrap()
        .with_behaviour(|_| dummy::Behaviour)
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(PATIENCE))
        .build();
    swarm.dial(address).unwrap();
    let mut most = 0;
    let over = async {
        while !matches!(swarm.select_next_some().await, SwarmEvent::ConnectionEstablished { .. }) {}
        while most == 0 {
            most = shelf.len();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let peer = *swarm.connected_peers().next().unwrap();
        swarm.disconnect_peer_id(peer).unwrap();
        while !matches!(swarm.select_next_some().await, SwarmEvent::ConnectionClosed { .. }) {}
        while shelf.len() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, over).await.expect("it is put there and goes");
    assert_eq!(most, 1);
}
