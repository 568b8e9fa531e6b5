//! A network of our own between one peer and the relay: every packet takes its time, some do not
//! arrive, and those towards the peer are counted.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use tokio::net::UdpSocket;
use tokio::time::sleep_until;

/// The longest packet there is.
const PACKET: usize = 65_536;

/// Bytes of the headers of a packet: of IP version 4, and of UDP.
const HEADERS: u64 = 28;

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

    /// How many packets, and how many bytes.
    pub(crate) fn get(&self) -> [u64; 2] {
        [&self.packets, &self.bytes].map(|count| count.load(Ordering::Relaxed))
    }
}

/// What one may know of a proxy that runs.
#[derive(Default)]
pub(crate) struct Gauge {
    /// Packets are lost once this is set: handshakes are not what is measured.
    pub(crate) lossy: AtomicBool,
    /// Towards the peer: what the relay sent, and what of it arrived.
    pub(crate) sent: Count,
    pub(crate) arrived: Count,
}

/// Between one peer and the relay.
pub(crate) struct Proxy {
    near: UdpSocket,
    far: UdpSocket,
    gauge: Arc<Gauge>,
    loss: u32,
    delay: Duration,
    rng: ChaCha8Rng,
    on_way: VecDeque<(Instant, Way, Vec<u8>)>,
    peer: Option<SocketAddr>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

impl Proxy {
    /// On the way to an address. Of 100 packets so many are lost, each way.
    pub(crate) async fn to(
        to: SocketAddr,
        (loss, delay): (u32, Duration),
        seed: u64,
    ) -> io::Result<Self> {
        let near = UdpSocket::bind(("127.0.0.1", 0)).await?;
        let far = UdpSocket::bind(("127.0.0.1", 0)).await?;
        far.connect(to).await?;
        let (gauge, rng) = (Arc::default(), ChaCha8Rng::seed_from_u64(seed));
        Ok(Self { near, far, gauge, loss, delay, rng, on_way: VecDeque::new(), peer: None })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.near.local_addr()
    }

    pub(crate) fn gauge(&self) -> Arc<Gauge> {
        Arc::clone(&self.gauge)
    }

    /// Passes packets on until it is dropped.
    pub(crate) async fn run(mut self) {
        let (mut there, mut back) = (vec![0; PACKET], vec![0; PACKET]);
        loop {
            let due = self.on_way.front().map(|(due, ..)| *due);
            let wait = async {
                match due {
                    Some(due) => sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wait => self.deliver().await,
                // A socket that complains has nothing for anybody.
                got = self.near.recv_from(&mut there) => if let Ok((length, from)) = got {
                    self.peer = Some(from);
                    self.take(Way::There, &there[..length]);
                },
                got = self.far.recv(&mut back) => if let Ok(length) = got {
                    self.take(Way::Back, &back[..length]);
                },
            }
        }
    }

    fn take(&mut self, way: Way, packet: &[u8]) {
        if way == Way::Back {
            self.gauge.sent.add(packet);
        }
        if self.gauge.lossy.load(Ordering::Relaxed) && self.rng.next_u32() % 100 < self.loss {
            return;
        }
        self.on_way.push_back((Instant::now() + self.delay, way, packet.to_vec()));
    }

    async fn deliver(&mut self) {
        let Some((_, way, packet)) = self.on_way.pop_front() else { return };
        // What a socket does not take is lost.
        match (way, self.peer) {
            (Way::There, _) => self.far.send(&packet).await.ok(),
            (Way::Back, Some(peer)) => {
                self.gauge.arrived.add(&packet);
                self.near.send_to(&packet, peer).await.ok()
            }
            (Way::Back, None) => None,
        };
    }
}
