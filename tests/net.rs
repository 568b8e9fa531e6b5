//! Real sockets on loopback: a machine that echoes behind a relay, and carriers that talk to it.
#![cfg(feature = "net")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test is a panic")]

#[path = "net/cost.rs"]
mod cost;
#[path = "net/counting.rs"]
mod counting;
#[path = "net/state.rs"]
mod state;
#[path = "net/twins.rs"]
mod twins;
#[path = "net/voice.rs"]
mod voice;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use parlor::net::{
    Carrier, CircuitConfig, Machine, NetConfig, Relay, RelayAddress, RelayError, RelayNetConfig,
    measure,
};
use parlor::proto::event::{Effect, Input};
use parlor::proto::id::{Identity, Lane, Link};
use parlor::proto::time::Time;

const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";
const TCP: &str = "/ip4/127.0.0.1/tcp/0";
const WS: &str = "/ip4/127.0.0.1/tcp/0/ws";

/// Far longer than anything here takes, except on a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(20);

const LAST_WORDS: &[u8] = b"goodbye";

/// Sends back what it gets, and writes down everything.
#[derive(Debug, Default)]
struct Echo {
    effects: VecDeque<Effect>,
    links: Vec<Link>,
    heard: Arc<Mutex<Vec<Input>>>,
}

impl Machine for Echo {
    fn handle(&mut self, _: Time, input: Input) {
        match &input {
            Input::Connected { link, .. } => self.links.push(*link),
            Input::Received { link, lane, frame } => self.effects.push_back(Effect::Send {
                link: *link,
                lane: *lane,
                frame: frame.clone(),
            }),
            _ => {}
        }
        self.heard.lock().unwrap().push(input);
    }

    fn tick(&mut self, _: Time) {}

    fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        None
    }

    fn shut_down(&mut self, _: Time) {
        self.effects.extend(self.links.iter().map(|link| Effect::Send {
            link: *link,
            lane: Lane::Control,
            frame: Bytes::from_static(LAST_WORDS),
        }));
    }
}

struct Host {
    addresses: Vec<String>,
    heard: Arc<Mutex<Vec<Input>>>,
    shutdown: Option<oneshot::Sender<()>>,
    tasks: JoinSet<()>,
}

impl Host {
    async fn start(listen: &[&str], change: impl FnOnce(&mut RelayNetConfig)) -> Self {
        let mut config = RelayNetConfig { exempt_loopback: true, ..RelayNetConfig::default() };
        change(&mut config);
        let echo = Echo::default();
        let heard = Arc::clone(&echo.heard);
        let relay = Relay::bind(&Identity::from_seed([1; 32]), listen, config, echo).await.unwrap();
        let addresses = relay.addresses().to_vec();
        let (shutdown, asked) = oneshot::channel::<()>();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            relay.run(async { asked.await.unwrap_or(()) }).await;
        });
        Self { addresses, heard, shutdown: Some(shutdown), tasks }
    }

    async fn on(listen: &str) -> Self {
        Self::start(&[listen], |_| {}).await
    }

    fn address(&self) -> RelayAddress {
        self.addresses[0].parse().unwrap()
    }

    fn carrier(&self, seed: u8) -> Carrier {
        self.carrier_with(seed, NetConfig::default())
    }

    fn carrier_with(&self, seed: u8, config: NetConfig) -> Carrier {
        carrier(seed, self.address(), config)
    }

    /// The frames of the control lane that the machine got, once `enough` says so.
    async fn heard(&self, enough: impl Fn(&[Input]) -> bool) -> Vec<Input> {
        timeout(PATIENCE, async {
            loop {
                let heard = self.heard.lock().unwrap().clone();
                if enough(&heard) {
                    return heard;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("the machine hears what was sent")
    }
}

fn carrier(seed: u8, address: RelayAddress, config: NetConfig) -> Carrier {
    let identity = Identity::from_seed([seed; 32]);
    let mut carrier = Carrier::on(&Handle::current(), &identity, vec![address], config).unwrap();
    carrier.perform(Effect::Dial);
    carrier
}

async fn next(carrier: &mut Carrier) -> Input {
    timeout(PATIENCE, carrier.wait_input()).await.expect("an input comes")
}

async fn connected(carrier: &mut Carrier) -> Link {
    match next(carrier).await {
        Input::Connected { link, peer } => {
            assert_eq!(peer, Identity::from_seed([1; 32]).peer());
            link
        }
        other => panic!("not connected but {other:?}"),
    }
}

/// The next input that is no [`Input::Written`].
async fn next_other(carrier: &mut Carrier) -> Input {
    loop {
        match next(carrier).await {
            Input::Written { .. } => {}
            other => return other,
        }
    }
}

fn send(carrier: &mut Carrier, link: Link, lane: Lane, frame: &[u8]) {
    carrier.perform(Effect::Send { link, lane, frame: Bytes::copy_from_slice(frame) });
}

/// Sends some frames on each reliable lane and expects them back, in order.
async fn echoes(carrier: &mut Carrier, link: Link) {
    let frames: Vec<Vec<u8>> = [1, 65_536, 0, 20, 131_072]
        .into_iter()
        .enumerate()
        .map(|(at, length)| vec![at as u8; length])
        .collect();
    for frame in &frames {
        for lane in Lane::RELIABLE {
            send(carrier, link, lane, frame);
        }
    }
    let mut received = [const { Vec::new() }; 3];
    let mut written = 0;
    let all: usize = frames.iter().map(|frame| 3 * frame.len()).sum();
    while received.iter().map(Vec::len).sum::<usize>() < 3 * frames.len() || written < all {
        match next(carrier).await {
            Input::Received { link: from, lane, frame } => {
                assert_eq!(from, link);
                received[lane as usize].push(frame);
            }
            Input::Written { bytes, .. } => written += bytes,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(written, all);
    for lane in received {
        assert_eq!(lane, frames);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_come_back_over_quic() {
    let host = Host::on(QUIC).await;
    let mut carrier = host.carrier(2);
    let link = connected(&mut carrier).await;
    echoes(&mut carrier, link).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_come_back_over_tcp() {
    let host = Host::on(TCP).await;
    let mut carrier = host.carrier(2);
    let link = connected(&mut carrier).await;
    echoes(&mut carrier, link).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_come_back_over_websocket() {
    let host = Host::on(WS).await;
    let mut carrier = host.carrier(2);
    let link = connected(&mut carrier).await;
    echoes(&mut carrier, link).await;
}

async fn storm(listen: &str) {
    let host = Host::on(listen).await;
    let mut carriers: Vec<_> = (2..34).map(|seed| host.carrier(seed)).collect();
    for carrier in &mut carriers {
        let link = connected(carrier).await;
        for lane in Lane::RELIABLE {
            send(carrier, link, lane, b"here");
        }
    }
    for carrier in &mut carriers {
        for _ in Lane::RELIABLE {
            let input = next_other(carrier).await;
            assert!(matches!(input, Input::Received { .. }), "{input:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_two_carriers_connect_in_the_same_moment_over_quic() {
    storm(QUIC).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_two_carriers_connect_in_the_same_moment_over_tcp() {
    storm(TCP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_over_the_limit_ends_the_link_unread() {
    for listen in [QUIC, TCP] {
        let host = Host::on(listen).await;
        let lenient = NetConfig { frame: 1 << 20, ..NetConfig::default() };
        let mut carrier = host.carrier_with(2, lenient);
        let link = connected(&mut carrier).await;
        send(&mut carrier, link, Lane::Document, &[0; (128 << 10) + 1]);
        let input = next_other(&mut carrier).await;
        assert!(matches!(input, Input::Disconnected { link: gone } if gone == link), "{input:?}");
        let heard = host.heard(|heard| heard.len() >= 2).await;
        assert!(
            matches!(heard[..], [Input::Connected { .. }, Input::Disconnected { .. }]),
            "{heard:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_over_the_limit_is_not_sent() {
    let host = Host::on(QUIC).await;
    let mut carrier = host.carrier(2);
    let link = connected(&mut carrier).await;
    send(&mut carrier, link, Lane::Document, &[0; (128 << 10) + 1]);
    let input = next_other(&mut carrier).await;
    assert!(matches!(input, Input::Disconnected { .. }), "{input:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_an_outbox_holds_ends_the_link() {
    let host = Host::on(QUIC).await;
    let small = NetConfig { outbox_bytes: 10, ..NetConfig::default() };
    let mut carrier = host.carrier_with(2, small);
    let link = connected(&mut carrier).await;
    send(&mut carrier, link, Lane::Control, &[0; 11]);
    send(&mut carrier, link, Lane::Control, &[0]);
    let input = next_other(&mut carrier).await;
    assert!(matches!(input, Input::Disconnected { .. }), "{input:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_goes_down_says_so_first() {
    for listen in [QUIC, TCP, WS] {
        let mut host = Host::on(listen).await;
        let mut carrier = host.carrier(2);
        connected(&mut carrier).await;
        host.heard(|heard| !heard.is_empty()).await;
        drop(host.shutdown.take());
        let input = next_other(&mut carrier).await;
        assert!(
            matches!(&input, Input::Received { frame, .. } if frame == LAST_WORDS),
            "{input:?}"
        );
        let input = next_other(&mut carrier).await;
        assert!(matches!(input, Input::Disconnected { .. }), "{input:?}");
        timeout(PATIENCE, host.tasks.join_next()).await.expect("the relay ends");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_killed_is_missed() {
    for listen in [QUIC, TCP] {
        let mut host = Host::on(listen).await;
        let mut carrier = host.carrier(2);
        connected(&mut carrier).await;
        host.tasks.shutdown().await;
        let input = next_other(&mut carrier).await;
        assert!(matches!(input, Input::Disconnected { .. }), "{input:?}");
        carrier.perform(Effect::Dial);
        let input = next_other(&mut carrier).await;
        assert!(matches!(input, Input::Unreachable { .. }), "{input:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_link_can_be_dialed_again() {
    let host = Host::on(QUIC).await;
    let mut carrier = host.carrier(2);
    let first = connected(&mut carrier).await;
    carrier.perform(Effect::Disconnect { link: first });
    carrier.perform(Effect::Dial);
    let mut inputs = [next_other(&mut carrier).await, next_other(&mut carrier).await];
    inputs.sort_by_key(|input| matches!(input, Input::Connected { .. }));
    assert!(
        matches!(inputs, [Input::Disconnected { link }, Input::Connected { link: second, .. }]
            if link == first && second != first),
        "{inputs:?}"
    );
}

/// Whether `heard` is a link's whole life, with `frames` frames in it.
fn is_whole(heard: &[Input], frames: usize) -> bool {
    let received = heard.iter().filter(|input| matches!(input, Input::Received { .. })).count();
    received == frames && matches!(heard.last(), Some(Input::Disconnected { .. }))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_before_a_disconnect_arrives() {
    for listen in [QUIC, TCP, WS] {
        let host = Host::on(listen).await;
        let mut carrier = host.carrier(2);
        let link = connected(&mut carrier).await;
        for _ in 0..100 {
            send(&mut carrier, link, Lane::Document, &[7; 10_000]);
        }
        carrier.perform(Effect::Disconnect { link });
        host.heard(|heard| is_whole(heard, 100)).await;
        loop {
            match next_other(&mut carrier).await {
                Input::Received { .. } => {}
                Input::Disconnected { .. } => break,
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_before_a_carrier_is_dropped_arrives() {
    for listen in [QUIC, TCP] {
        let host = Host::on(listen).await;
        let identity = Identity::from_seed([2; 32]);
        let mut carrier =
            Carrier::new(&identity, vec![host.address()], NetConfig::default()).unwrap();
        carrier.perform(Effect::Dial);
        let link = connected(&mut carrier).await;
        for _ in 0..100 {
            send(&mut carrier, link, Lane::Control, &[7; 1_000]);
        }
        tokio::task::spawn_blocking(move || drop(carrier)).await.unwrap();
        host.heard(|heard| is_whole(heard, 100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_carriers_with_threads_of_their_own_live_in_one_process() {
    let host = Host::start(&[QUIC, TCP], |_| {}).await;
    let both: Vec<RelayAddress> =
        host.addresses.iter().map(|address| address.parse().unwrap()).collect();
    let mut carriers: Vec<_> = [2, 3]
        .map(|seed| {
            let identity = Identity::from_seed([seed; 32]);
            Carrier::new(&identity, both.clone(), NetConfig::default()).unwrap()
        })
        .into();
    for carrier in &mut carriers {
        carrier.perform(Effect::Dial);
        let link = connected(carrier).await;
        echoes(carrier, link).await;
    }
    for carrier in carriers {
        timeout(PATIENCE, carrier.close()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_relay_than_the_one_asked_for_is_not_taken() {
    for listen in [QUIC, TCP] {
        let host = Host::on(listen).await;
        let right = Identity::from_seed([1; 32]).peer().to_string();
        let wrong = Identity::from_seed([9; 32]).peer().to_string();
        let address = host.addresses[0].replace(&right, &wrong).parse().unwrap();
        let mut carrier = carrier(2, address, NetConfig::default());
        match next(&mut carrier).await {
            Input::Unreachable { why } => assert!(why.contains(&right), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_can_be_found_without_its_id_and_behind_a_dead_address() {
    let host = Host::on(TCP).await;
    let (address, _) = host.addresses[0].split_once("/p2p/").unwrap();
    let dead = "/ip4/127.0.0.1/udp/9/quic-v1".parse().unwrap();
    let identity = Identity::from_seed([2; 32]);
    let addresses = vec![address.parse().unwrap(), dead];
    let mut carrier =
        Carrier::on(&Handle::current(), &identity, addresses, NetConfig::default()).unwrap();
    carrier.perform(Effect::Dial);
    let link = connected(&mut carrier).await;
    echoes(&mut carrier, link).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_an_address_holds() {
    let host = Host::start(&[QUIC], |config| {
        config.exempt_loopback = false;
        config.per_address = 1;
    })
    .await;
    let mut first = host.carrier(2);
    connected(&mut first).await;
    let mut second = host.carrier(3);
    let input = next(&mut second).await;
    assert!(matches!(input, Input::Unreachable { .. }), "{input:?}");
    first.close().await;
    timeout(PATIENCE, async {
        loop {
            second.perform(Effect::Dial);
            if let Input::Connected { .. } = next(&mut second).await {
                break;
            }
        }
    })
    .await
    .expect("the place of the first is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_measures_a_relay_is_not_heard_of_and_leaves_no_connection() {
    for listen in [QUIC, TCP, WS] {
        let host = Host::start(&[listen], |config| {
            config.exempt_loopback = false;
            config.per_address = 1;
        })
        .await;
        // It ends with the last answer, long before its time is over.
        let config = NetConfig { measure: 2 * PATIENCE, ..NetConfig::default() };
        let measured = measure(vec![host.address()], &config);
        let measured = timeout(PATIENCE, measured).await.expect("every ping is answered");
        assert!(measured[0].round_trip.is_ok(), "{measured:?}");
        assert!(host.heard.lock().unwrap().is_empty());
        // Sooner than a connection that is left behind would be missed.
        let mut carrier = host.carrier(2);
        timeout(NetConfig::default().quic_idle / 2, async {
            while !matches!(next(&mut carrier).await, Input::Connected { .. }) {
                carrier.perform(Effect::Dial);
            }
        })
        .await
        .expect("its place is free");
        let heard = host.heard(|heard| !heard.is_empty()).await;
        assert!(matches!(heard[..], [Input::Connected { .. }]), "{heard:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_knows_where_it_can_be_dialed() {
    let listen = ["/ip4/0.0.0.0/udp/0/quic-v1", "/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/tcp/0/ws"];
    let host = Host::start(&listen, |_| {}).await;
    assert!(host.addresses.len() >= 3);
    for address in &host.addresses {
        assert!(!address.contains("/0.0.0.0/"), "{address}");
        let address: RelayAddress = address.parse().unwrap();
        assert_eq!(address.relay(), Some(Identity::from_seed([1; 32]).peer()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_may_also_offer_circuits() {
    let host = Host::start(&[QUIC], |config| {
        config.circuits = Some(CircuitConfig::default());
    })
    .await;
    let mut carrier = host.carrier(2);
    let link = connected(&mut carrier).await;
    echoes(&mut carrier, link).await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_said_to_be() {
    let host = Host::on(TCP).await;
    let (taken, _) = host.addresses[0].split_once("/p2p/").unwrap();
    for (listen, config) in
        [(taken, RelayNetConfig::default()), ("nonsense", RelayNetConfig::default())]
    {
        let identity = Identity::from_seed([3; 32]);
        let error = Relay::bind(&identity, &[listen], config, Echo::default()).await.unwrap_err();
        assert!(error.to_string().contains(listen), "{error}");
        assert!(matches!(error, RelayError::Listen { .. } | RelayError::Address { .. }));
    }
}

#[test]
fn a_carrier_may_be_moved_to_and_shared_with_other_threads() {
    fn is_both<T: Send + Sync>() {}
    is_both::<Carrier>();
}

/// Sends every link a frame every millisecond, whether or not it reads them.
#[derive(Debug, Default)]
struct Fountain {
    links: Vec<Link>,
    next: Time,
    effects: VecDeque<Effect>,
    lost: Arc<Mutex<Vec<Link>>>,
}

impl Machine for Fountain {
    fn handle(&mut self, _: Time, input: Input) {
        match input {
            Input::Connected { link, .. } => self.links.push(link),
            Input::Disconnected { link } => {
                self.links.retain(|other| *other != link);
                self.lost.lock().unwrap().push(link);
            }
            _ => {}
        }
    }

    fn tick(&mut self, now: Time) {
        self.next = now + Duration::from_millis(1);
        for link in &self.links {
            self.effects.push_back(Effect::Send {
                link: *link,
                lane: Lane::Control,
                frame: Bytes::from_static(&[7; 16 << 10]),
            });
        }
    }

    fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        Some(self.next)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_dropped_and_others_do_not_notice() {
    for listen in [QUIC, TCP] {
        let fountain = Fountain::default();
        let lost = Arc::clone(&fountain.lost);
        let config = RelayNetConfig { exempt_loopback: true, ..RelayNetConfig::default() };
        let relay =
            Relay::bind(&Identity::from_seed([1; 32]), &[listen], config, fountain).await.unwrap();
        let address: RelayAddress = relay.addresses()[0].parse().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            relay.run(std::future::pending()).await;
        });
        let full = NetConfig { inputs: 4, ..NetConfig::default() };
        let mut slow = carrier(2, address.clone(), full);
        let first = connected(&mut slow).await;
        let mut quick = carrier(3, address, NetConfig::default());
        connected(&mut quick).await;
        let dropped = async {
            while lost.lock().unwrap().is_empty() {
                let input = quick.wait_input().await;
                assert!(matches!(input, Input::Received { .. }), "{input:?}");
            }
        };
        timeout(PATIENCE, dropped).await.unwrap();
        assert_eq!(*lost.lock().unwrap(), [first]);
        for _ in 0..100 {
            let input = next(&mut quick).await;
            assert!(matches!(input, Input::Received { .. }), "{input:?}");
        }
    }
}
