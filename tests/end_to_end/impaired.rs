//! Voice over sockets and a network that takes 30 to 70 ms each way and loses packets: how late it is
//! heard, and how much of it is made up.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parlor::net::NetConfig;
use parlor::proto::config::HubConfig;
use parlor::proto::id::Identity;
use tokio::task::JoinSet;

use super::proxy::{Path, Proxy};
use super::voices::Call;
use super::{Host, LISTEN};

/// What is lost: so many of a thousand behind one that arrives, and behind one that is lost.
const TWENTIETH: [u32; 2] = [50; 2];
const BURSTS: [u32; 2] = [17, 667];

/// The latest that is heard on average, beyond the fastest packet's way, and the most of it that is made
/// up.
const LATEST: Duration = Duration::from_millis(400);
const MOST: f64 = 0.15;

/// A call of which everything goes by such a network. Returns its mean delay beyond the fastest packet's
/// way, which share of its voice is made up, and which share of packets had not come in time.
async fn called(net: NetConfig, loses: [u32; 2], seed: u64) -> (Duration, f64, f64) {
    let identity = Identity::from_seed([1; 32]);
    let host = Box::pin(Host::start(&identity, &LISTEN, HubConfig::default())).await;
    let address = host.addresses.iter().find(|it| it.contains("quic")).unwrap();
    let port: u16 = address.split('/').nth(4).unwrap().parse().unwrap();
    let takes = [30, 70].map(Duration::from_millis);
    let relay = SocketAddr::from(([127, 0, 0, 1], port));
    let proxy = Proxy::to(relay, Path { takes, loses, seed }).await.unwrap();
    let front = proxy.address().unwrap().port();
    let (by, gauge) =
        (address.replacen(&format!("/{port}/"), &format!("/{front}/"), 1), proxy.gauge());
    let mut tasks = JoinSet::new();
    tasks.spawn(proxy.run());
    let mut call = Box::pin(Call::over(&[&by], &net)).await;
    gauge.lossy.store(true, Ordering::Relaxed);
    Box::pin(call.talk(Duration::from_secs(3))).await;
    let before = call.output.statistics();
    Box::pin(call.talk(Duration::from_secs(6))).await;
    let now = call.output.statistics();
    host.stop().await;
    let [sent, came] = [&gauge.down[0], &gauge.down[1]].map(<[u64; 2]>::from);
    assert!(came[0] < sent[0], "it loses nothing: {came:?} of {sent:?}");
    let voice = (now.voice - before.voice) as f64;
    assert!(voice > 48_000.0 * 4.0, "{voice} samples of voice");
    let made_up = (now.concealed - before.concealed) as f64 / voice;
    let missed = (now.lost - before.lost) as f64 * 960.0 / voice;
    (now.mean_delay, made_up, missed)
}

/// What a call should be like, in one of two tries: other tests use the machine at the same time. How late
/// and how good it is by itself, `benches/voice` measures.
async fn is_heard(net: &NetConfig, loses: [u32; 2]) {
    let mut seen = Vec::new();
    for seed in 1..=2 {
        let (delay, made_up, missed) = Box::pin(called(net.clone(), loses, seed)).await;
        if delay <= LATEST && made_up <= MOST && missed <= 2.0 * MOST {
            return;
        }
        seen.push((delay, made_up, missed));
    }
    panic!("{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn voice_by_datagrams_that_are_lost_is_heard_in_time() {
    Box::pin(is_heard(&NetConfig::default(), TWENTIETH)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn voice_by_datagrams_that_are_lost_in_bursts_is_heard_in_time() {
    Box::pin(is_heard(&NetConfig::default(), BURSTS)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn voice_by_gossip_that_is_sent_again_is_heard_in_time() {
    let net = NetConfig { datagrams_unread: 0, ..NetConfig::default() };
    Box::pin(is_heard(&net, TWENTIETH)).await;
}
