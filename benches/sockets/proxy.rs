//! A network of our own: every packet takes its time, some do not arrive, and all are counted.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

/// Packets that may be on their way in one direction; more are lost.
const ON_THEIR_WAY: usize = 65_536;

/// The longest packet there is.
const PACKET: usize = 65_536;

/// Bytes of the headers of a packet: of IP version 4, and of UDP.
const HEADERS: u64 = 28;

/// What a network does to packets, each way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    /// The shortest and the longest time that a packet takes, evenly spread. None overtakes another.
    pub(crate) takes: [Duration; 2],
    /// How many of a thousand packets are lost behind one that arrives, and behind one that is lost.
    pub(crate) loses: [u32; 2],
    pub(crate) seed: u64,
}

impl Path {
    /// All packets take as long, and each is lost by itself, so many of a hundred.
    pub(crate) const fn even(delay: Duration, loss: u32, seed: u64) -> Self {
        Self { takes: [delay; 2], loses: [10 * loss; 2], seed }
    }
}

/// Packets, with all of their bytes.
#[derive(Default)]
pub(crate) struct Count {
    packets: AtomicU64,
    bytes: AtomicU64,
}

impl Count {
    fn add(&self, packet: &[u8]) {
        self.packets.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(packet.len() as u64 + HEADERS, Ordering::Relaxed);
    }
}

impl From<&Count> for [u64; 2] {
    /// How many packets, and how many bytes.
    fn from(count: &Count) -> Self {
        [&count.packets, &count.bytes].map(|count| count.load(Ordering::Relaxed))
    }
}

/// What one may know of a proxy that runs, and whether it loses packets.
#[derive(Default)]
pub(crate) struct Gauge {
    /// Packets are lost once this is set: handshakes are not what is measured.
    pub(crate) lossy: AtomicBool,
    /// From the clients: what they sent, and what of it arrived.
    pub(crate) up: [Count; 2],
    /// Towards the clients: what was sent to them, and what of it arrived.
    pub(crate) down: [Count; 2],
}

/// Between everybody who comes and one address.
pub(crate) struct Proxy {
    socket: Arc<UdpSocket>,
    to: SocketAddr,
    path: Path,
    gauge: Arc<Gauge>,
}

impl Proxy {
    pub(crate) async fn to(to: SocketAddr, path: Path) -> io::Result<Self> {
        let socket = Arc::new(UdpSocket::bind(("127.0.0.1", 0)).await?);
        Ok(Self { socket, to, path, gauge: Arc::default() })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    pub(crate) fn gauge(&self) -> Arc<Gauge> {
        Arc::clone(&self.gauge)
    }

    /// Passes packets on until it is dropped, or has no sockets any more.
    pub(crate) async fn run(self) {
        let mut tasks = JoinSet::new();
        let mut ways: HashMap<SocketAddr, Way> = HashMap::new();
        let mut buffer = vec![0; PACKET];
        loop {
            // A socket that complains has nothing for anybody.
            let Ok((length, from)) = self.socket.recv_from(&mut buffer).await else { continue };
            if !ways.contains_key(&from) {
                let number = ways.len() as u64;
                let Ok(outside) = UdpSocket::bind(("127.0.0.1", 0)).await else { return };
                let outside = Arc::new(outside);
                let up = self.way(2 * number, Arc::clone(&outside), self.to, &mut tasks);
                let down = self.way(2 * number + 1, Arc::clone(&self.socket), from, &mut tasks);
                tasks.spawn(back(outside, down));
                ways.insert(from, up);
            }
            if let Some(way) = ways.get_mut(&from) {
                way.pass(&buffer[..length]);
            }
        }
    }

    /// One direction of one client's packets: the even numbers are up.
    fn way(&self, number: u64, by: Arc<UdpSocket>, to: SocketAddr, tasks: &mut JoinSet<()>) -> Way {
        let (packets, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THEIR_WAY);
        let gauge = Arc::clone(&self.gauge);
        let is_up = number.is_multiple_of(2);
        tasks.spawn(async move {
            let [_, arrived] = if is_up { &gauge.up } else { &gauge.down };
            while let Some((at, packet)) = due.recv().await {
                if Instant::now() < at {
                    sleep_until(at.into()).await;
                }
                arrived.add(&packet);
                // A socket that does not take it is a network that loses it.
                by.send_to(&packet, to).await.ok();
            }
        });
        let mut rng = ChaCha8Rng::seed_from_u64(self.path.seed);
        rng.set_stream(number);
        let (path, gauge) = (self.path, Arc::clone(&self.gauge));
        Way { packets, rng, path, is_up, gauge, losing: false, last: None }
    }
}

/// One direction of one client's packets.
struct Way {
    packets: mpsc::Sender<(Instant, Vec<u8>)>,
    rng: ChaCha8Rng,
    path: Path,
    is_up: bool,
    gauge: Arc<Gauge>,
    losing: bool,
    /// When the last one arrives.
    last: Option<Instant>,
}

impl Way {
    fn pass(&mut self, packet: &[u8]) {
        let [sent, _] = if self.is_up { &self.gauge.up } else { &self.gauge.down };
        sent.add(packet);
        let [first, next] = self.path.loses;
        let share = if self.losing { next } else { first };
        self.losing =
            self.gauge.lossy.load(Ordering::Relaxed) && self.rng.next_u32() % 1_000 < share;
        if self.losing {
            return;
        }
        let [least, most] = self.path.takes;
        let takes = least + (most - least) / 1_024 * (self.rng.next_u32() % 1_024);
        let arrives = Instant::now() + takes;
        let arrives = self.last.map_or(arrives, |last| last.max(arrives));
        self.last = Some(arrives);
        // A full queue loses it.
        self.packets.try_send((arrives, packet.to_vec())).ok();
    }
}

async fn back(from: Arc<UdpSocket>, mut way: Way) {
    let mut buffer = vec![0; PACKET];
    while let Ok(length) = from.recv(&mut buffer).await {
        way.pass(&buffer[..length]);
    }
}
