//! Voices without a relay, over sockets: members with direct links go on hearing each other.

use std::collections::BTreeMap;
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use libp2p::gossipsub::{
    self, IdentTopic, MessageAuthenticity, MessageId, ValidationMode, Version,
};
use libp2p::identity::Keypair;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Swarm, SwarmBuilder, noise, tcp, yamux};
use parlor::net::{DirectConfig, RelayAddress};
use parlor::proto::audio::packet::{Kind, Level, Packet};
use parlor::proto::audio::stream::Topic;
use parlor::proto::config::HubConfig;
use parlor::room::{ConnectOptions, Room};
use parlor::{AudioInputOptions, Identity, PeerConfig, PeerId, State, VoiceEvent, VoiceOptions};
use tokio::task::JoinSet;

use super::listening::{Member, hears, run, run_until, start, tone};
use super::{Host, PATIENCE, within};

/// What a member of a pitch is heard by, of 20 ms.
const WINDOW: usize = 960;

/// For how long nobody may be missed when a relay goes or comes, where the machine has time.
const AIM: Duration = Duration::from_millis(300);

fn identity(who: u8) -> Identity {
    Identity::from_seed([who; 32])
}

/// A member with direct links, as `direct` says.
fn member(host: &Host, who: u8, pitch: f32, part: &str, direct: Option<DirectConfig>) -> Member {
    let all = host.addresses.iter().map(String::as_str);
    let addresses: Vec<&str> = all.filter(|address| address.contains(part)).collect();
    let mut options = ConnectOptions::new("voices", "end to end", &addresses);
    options.identity = Some(identity(who));
    options.voice = Some(VoiceOptions::default());
    options.net.direct = direct;
    let backoff_cap = Duration::from_millis(500);
    options.config = PeerConfig { attempts: 0, backoff_cap, ..options.config };
    Member::of(Room::connect(options).unwrap(), pitch)
}

/// By circuits, on this computer.
fn circuits() -> DirectConfig {
    let listen = ["/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0"];
    DirectConfig { listen: listen.map(str::to_owned).to_vec(), ..DirectConfig::default() }
}

/// Of each of three, with the others' addresses, by QUIC and by TCP.
fn named(who: &[u8]) -> Vec<DirectConfig> {
    let here = ("127.0.0.1", 0);
    let sockets: Vec<_> = who
        .iter()
        .map(|_| (UdpSocket::bind(here).unwrap(), TcpListener::bind(here).unwrap()))
        .collect();
    let port = |(udp, tcp): &(UdpSocket, TcpListener)| {
        (udp.local_addr().unwrap().port(), tcp.local_addr().unwrap().port())
    };
    let ports: Vec<(u16, u16)> = sockets.iter().map(port).collect();
    drop(sockets);
    let at = |(udp, tcp): (u16, u16)| {
        [format!("/ip4/127.0.0.1/udp/{udp}/quic-v1"), format!("/ip4/127.0.0.1/tcp/{tcp}")]
    };
    let peers: Vec<RelayAddress> = who
        .iter()
        .zip(&ports)
        .flat_map(|(who, ports)| at(*ports).map(|at| format!("{at}/p2p/{}", identity(*who).peer())))
        .map(|address| address.parse().unwrap())
        .collect();
    ports
        .iter()
        .map(|ports| DirectConfig {
            listen: at(*ports).to_vec(),
            peers: peers.clone(),
            circuits: false,
            ..DirectConfig::default()
        })
        .collect()
}

/// How many frames of another were not there when they were to be played.
fn lost(member: &Member) -> u64 {
    member.room.hearing_statistics().map(|(_, statistics)| statistics.lost).sum()
}

/// How long the longest stretch is in which a pitch is not heard.
fn gap(heard: &[f32], pitch: f32) -> Duration {
    let mut longest = 0;
    let mut silent = 0;
    for window in heard.chunks(WINDOW) {
        silent = if tone(window, pitch) > 0.015 { 0 } else { silent + 1 };
        longest = longest.max(silent);
    }
    Duration::from_millis(20) * longest
}

fn sorted(mut peers: [PeerId; 2]) -> [PeerId; 2] {
    peers.sort_unstable();
    peers
}

/// Where a relay listens that has an address.
fn without_id(address: &str) -> String {
    address.split("/p2p/").next().unwrap().to_owned()
}

/// The first speaks; the relay goes and comes back.
async fn goes_on(part: &str, configs: Vec<DirectConfig>) {
    let mut host = start().await;
    let mut configs = configs.into_iter().map(Some).chain([None]);
    let mut members: Vec<Member> = [(2, 200.0), (3, 0.0), (4, 0.0), (5, 0.0)]
        .into_iter()
        .map(|(who, pitch)| member(&host, who, pitch, part, configs.next().unwrap()))
        .collect();
    members[0].speak();
    members.iter_mut().skip(1).for_each(Member::listen);
    // The least of a few: this thread may lose the processor meanwhile.
    let mut least = [Duration::MAX; 2];
    for _ in 0..6 {
        hears(&mut members, &[true]).await;
        run_until(&mut members, |members| {
            let near = members.iter().map(|member| member.room.neighbours().count());
            near.eq([2, 2, 2, 0])
        })
        .await;
        let listen: Vec<String> = host.addresses.iter().map(|at| without_id(at)).collect();
        let lost = lose(part, host, &mut members).await;
        host = Box::pin(find(&listen)).await;
        let found = found(part, &mut members).await;
        least = [least[0].min(lost), least[1].min(found)];
        if least.iter().all(|gap| *gap < AIM) {
            break;
        }
    }
    assert!(least.iter().all(|gap| *gap < AIM + AIM / 2), "{part}: {least:?}");
    hears(&mut members, &[true]).await;
    run_until(&mut members, |members| members.iter().all(|it| it.room.streams().count() == 1))
        .await;
    host.stop().await;
}

async fn find(listen: &[String]) -> Host {
    let at: Vec<&str> = listen.iter().map(String::as_str).collect();
    Host::start(&identity(1), &at, HubConfig::default()).await
}

/// The relay goes. Returns for how long the first was not heard by those who are near.
async fn lose(part: &str, host: Host, members: &mut [Member]) -> Duration {
    let before: Vec<u64> = members.iter().map(lost).collect();
    host.kill().await;
    let heard = run(members, Duration::from_secs(2)).await;
    let mut longest = Duration::ZERO;
    for (at, heard) in heard.iter().enumerate().take(3).skip(1) {
        let (gap, lost) = (gap(heard, 200.0), lost(&members[at]) - before[at]);
        print(&format!("{part}: {at} did not hear it for {gap:?}, of {lost} frames lost"));
        longest = longest.max(gap);
    }
    let last = &heard[3][heard[3].len() / 2..];
    assert!(tone(last, 200.0) < 0.002, "{part}: who has no direct links hears nothing");
    assert!(members.iter().all(|it| matches!(it.room.state(), State::Reconnecting { .. })));
    // Muted, it is silent, and heard again.
    let number = members[0].input.as_ref().unwrap().number();
    for muted in [true, false] {
        members[0].room.mute_audio_input(number, muted);
        until_heard(members, !muted).await;
    }
    longest
}

/// Waits until the first is heard by the second, or is not.
async fn until_heard(members: &mut [Member], is: bool) {
    within(async {
        loop {
            let heard = run(members, Duration::from_millis(200)).await.swap_remove(1);
            let tone = tone(&heard, 200.0);
            if (is && tone > 0.015) || (!is && tone < 0.002) {
                return;
            }
        }
    })
    .await;
}

/// The relay is back. Returns for how long the first was not heard by one until all were there again.
async fn found(part: &str, members: &mut [Member]) -> Duration {
    let mut heard = Vec::new();
    let is_ready = |member: &Member| *member.room.state() == State::Ready;
    within(async {
        while !members.iter().all(is_ready) {
            heard.extend(run(members, Duration::from_millis(100)).await.swap_remove(1));
        }
    })
    .await;
    heard.extend(run(members, Duration::from_millis(500)).await.swap_remove(1));
    let gap = gap(&heard, 200.0);
    print(&format!("{part}: when the relay came back it was not heard for {gap:?}"));
    gap
}

#[expect(clippy::print_stdout, reason = "what was measured is for who runs it")]
fn print(line: &str) {
    println!("{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_direct_links_is_heard_without_a_relay() {
    Box::pin(goes_on("quic", named(&[2, 3, 4]))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_find_each_other_by_their_relays_circuits() {
    Box::pin(goes_on("/tcp/", [(); 3].map(|()| circuits()).to_vec())).await;
}

/// A way to a relay by UDP, for one who uses it, which leads nowhere while it `is_cut`. Returns where it
/// begins.
async fn way(relay: &str, is_cut: Arc<AtomicBool>, tasks: &mut JoinSet<()>) -> String {
    let parts: Vec<&str> = relay.split('/').collect();
    let at = format!("{}:{}", parts[2], parts[4]);
    let (near, far) = (socket().await, socket().await);
    far.connect(at).await.unwrap();
    let begins = near.local_addr().unwrap();
    tasks.spawn(async move {
        let mut guest = None;
        let (mut there, mut back) = ([0; 2_048], [0; 2_048]);
        loop {
            // An error is the other's, who is not there any more.
            tokio::select! {
                Ok((len, from)) = near.recv_from(&mut there) => {
                    guest = Some(from);
                    if !is_cut.load(Ordering::Relaxed) {
                        far.send(&there[..len]).await.ok();
                    }
                }
                Ok(len) = far.recv(&mut back) => {
                    if let Some(guest) = guest.filter(|_| !is_cut.load(Ordering::Relaxed)) {
                        near.send_to(&back[..len], guest).await.ok();
                    }
                }
            }
        }
    });
    format!("/ip4/127.0.0.1/udp/{}/quic-v1/p2p/{}", begins.port(), parts[7])
}

async fn socket() -> tokio::net::UdpSocket {
    tokio::net::UdpSocket::bind(("127.0.0.1", 0)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_alone_loses_the_relay_hears_and_is_heard() {
    let mut host = start().await;
    let direct = host.addresses.clone();
    let is_cut = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    let quic = direct.iter().find(|at| at.contains("quic") && at.contains("127.0.0.1")).unwrap();
    let way = way(quic, Arc::clone(&is_cut), &mut tasks).await;
    let mut configs = named(&[2, 3]).into_iter().map(Some).chain([None]);
    let mut members = Vec::new();
    for (who, pitch, addresses) in
        [(2, 200.0, vec![way]), (3, 330.0, direct.clone()), (4, 0.0, direct)]
    {
        host.addresses = addresses;
        members.push(member(&host, who, pitch, "quic", configs.next().unwrap()));
    }
    members[..2].iter_mut().for_each(Member::speak);
    members.iter_mut().for_each(Member::listen);
    hears(&mut members, &[true, true]).await;
    run_until(&mut members, |members| {
        members.iter().map(|it| it.room.neighbours().count()).eq([1, 1, 0])
    })
    .await;
    is_cut.store(true, Ordering::Relaxed);
    // Both ends of its link have to find that out.
    run_until(&mut members, |members| {
        let is_lost = matches!(members[0].room.state(), State::Reconnecting { .. });
        is_lost && members[1].room.members().count() == 2
    })
    .await;
    let heard = run(&mut members, Duration::from_secs(1)).await;
    let late = |heard: &[f32], pitch| tone(&heard[heard.len() / 2..], pitch);
    assert!(late(&heard[1], 200.0) > 0.015 && late(&heard[0], 330.0) > 0.015);
    assert!(late(&heard[2], 200.0) < 0.002, "who is not near hears only whom the relay has");
    assert!(late(&heard[2], 330.0) > 0.015);
    is_cut.store(false, Ordering::Relaxed);
    run_until(&mut members, |members| {
        members.iter().all(|it| *it.room.state() == State::Ready && it.room.members().count() == 3)
    })
    .await;
    hears(&mut members, &[true, true]).await;
    run_until(&mut members, |members| members.iter().all(|it| it.room.streams().count() == 2))
        .await;
    host.stop().await;
}

/// Who speaks the gossip of direct links and nothing else, by an identity, with who listens there.
fn raw(keypair: Keypair, address: &str) -> Swarm<gossipsub::Behaviour> {
    let config = gossipsub::ConfigBuilder::default()
        .protocol_id("/parlor/2/direct", Version::V1_1)
        .validation_mode(ValidationMode::Anonymous)
        .message_id_fn(|message| MessageId::from(message.data.clone()))
        .build()
        .unwrap();
    let gossip = gossipsub::Behaviour::new(MessageAuthenticity::Anonymous, config).unwrap();
    let mut swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| gossip)
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(PATIENCE))
        .build();
    swarm.dial(address.parse::<Multiaddr>().unwrap()).unwrap();
    swarm
}

/// Publishes packets of a stream for a second. Returns whether it is said of its owner that it speaks.
async fn forge(
    swarm: &mut Swarm<gossipsub::Behaviour>,
    members: &mut [Member],
    (of, epoch): (PeerId, u32),
) -> bool {
    let topic = IdentTopic::new(Topic::direct(of, 0, epoch).as_str());
    members[1].told.clear();
    for sequence in 0..50 {
        let packet = Packet {
            kind: Kind::Audio,
            first: sequence == 0,
            level: Level { voice: true, dbov: 10 },
            sequence,
            time: u32::from(sequence) * 960,
            epoch,
            previous: None,
            frame: Bytes::from_static(&[7; 60]),
        };
        // Not before it is known who is subscribed.
        swarm.behaviour_mut().publish(topic.clone(), packet.write()).ok();
        tokio::select! {
            _ = run(members, Duration::from_millis(20)) => {}
            () = async { loop { swarm.select_next_some().await; } } => {}
        }
    }
    let speaks = |told: &VoiceEvent| matches!(told, VoiceEvent::Speaking { peer, speaking: true, .. } if *peer == of);
    members[1].told.iter().any(speaks)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_neighbour_says_on_anothers_topic_is_not_heard_and_no_stranger_is_a_neighbour() {
    let host = start().await;
    let configs = named(&[2, 3]);
    let at = configs[1].listen[1].clone();
    let mut configs = configs.into_iter().map(Some).chain([None]);
    let mut members: Vec<Member> = [2, 3, 5]
        .into_iter()
        .map(|who| member(&host, who, 0.0, "quic", configs.next().unwrap()))
        .collect();
    // They have streams open, and say nothing by them themselves.
    let mut input = |at: usize| members[at].room.create_audio_input(AudioInputOptions::default());
    let inputs = [0, 2].map(|at| input(at).unwrap());
    run_until(&mut members, |members| members.iter().all(|it| it.room.streams().count() == 2))
        .await;
    let epochs = members[1].room.streams().map(|stream| (stream.peer, stream.epoch));
    let epochs: BTreeMap<PeerId, u32> = epochs.collect();
    let [owner, forger] = [2, 5].map(|who| identity(who).peer());
    let key = Keypair::ed25519_from_bytes([5; 32]).unwrap();
    let mut swarm = raw(key, &at);
    let up = |event: &SwarmEvent<_>| matches!(event, SwarmEvent::ConnectionEstablished { .. });
    within(async { while !up(&swarm.select_next_some().await) {} }).await;
    let mut stranger = raw(Keypair::generate_ed25519(), &at);
    let down = |event: &SwarmEvent<_>| matches!(event, SwarmEvent::ConnectionClosed { .. });
    within(async { while !down(&stranger.select_next_some().await) {} }).await;
    let near = |members: &[Member]| members[1].room.neighbours().eq(sorted([owner, forger]));
    tokio::select! {
        () = run_until(&mut members, near) => {}
        () = async { loop { swarm.select_next_some().await; } } => {}
    }
    host.kill().await;
    run_until(&mut members, |members| {
        members.iter().all(|it| matches!(it.room.state(), State::Reconnecting { .. }))
    })
    .await;
    assert_eq!(members[1].room.streams().count(), 2, "both are near");
    assert!(forge(&mut swarm, &mut members, (forger, epochs[&forger])).await, "its own is heard");
    assert!(!forge(&mut swarm, &mut members, (owner, epochs[&owner])).await, "another's is not");
    drop(inputs);
}
