//! A network of our own: every packet takes its time, and some do not arrive.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::Plan;

/// Packets that may be on their way in one direction; more are lost.
const ON_THEIR_WAY: usize = 65_536;

/// The longest packet there is.
const PACKET: usize = 65_536;

/// Between everybody and one address.
pub(crate) struct Proxy {
    socket: Arc<UdpSocket>,
    to: SocketAddr,
    plan: Plan,
    lossy: Arc<AtomicBool>,
}

impl Proxy {
    pub(crate) async fn to(to: SocketAddr, plan: Plan) -> io::Result<Self> {
        let socket = Arc::new(UdpSocket::bind(("127.0.0.1", 0)).await?);
        Ok(Self { socket, to, plan, lossy: Arc::default() })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Begins to lose packets once it is set: the handshakes are not what is measured.
    pub(crate) fn switch(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.lossy)
    }

    /// Passes packets on until it is dropped.
    pub(crate) async fn run(self) -> io::Result<()> {
        let mut tasks = JoinSet::new();
        let mut ways: HashMap<SocketAddr, Way> = HashMap::new();
        let mut buffer = vec![0; PACKET];
        loop {
            let (length, from) = self.socket.recv_from(&mut buffer).await?;
            if !ways.contains_key(&from) {
                let number = ways.len() as u64;
                let outside = Arc::new(UdpSocket::bind(("127.0.0.1", 0)).await?);
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

    fn way(&self, number: u64, by: Arc<UdpSocket>, to: SocketAddr, tasks: &mut JoinSet<()>) -> Way {
        let (packets, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THEIR_WAY);
        tasks.spawn(async move {
            while let Some((at, packet)) = due.recv().await {
                tokio::time::sleep_until(at.into()).await;
                // A socket that does not take it is a network that loses it.
                by.send_to(&packet, to).await.ok();
            }
        });
        let mut rng = ChaCha8Rng::seed_from_u64(self.plan.seed);
        rng.set_stream(number);
        Way {
            packets,
            rng,
            loss: self.plan.loss,
            delay: self.plan.delay,
            lossy: Arc::clone(&self.lossy),
        }
    }
}

/// One direction of one client's packets.
struct Way {
    packets: mpsc::Sender<(Instant, Vec<u8>)>,
    rng: ChaCha8Rng,
    loss: u32,
    delay: Duration,
    lossy: Arc<AtomicBool>,
}

impl Way {
    fn pass(&mut self, packet: &[u8]) {
        if self.lossy.load(Ordering::Relaxed) && self.rng.next_u32() % 100 < self.loss {
            return;
        }
        // A full queue loses it.
        self.packets.try_send((Instant::now() + self.delay, packet.to_vec())).ok();
    }
}

async fn back(from: Arc<UdpSocket>, mut way: Way) {
    let mut buffer = vec![0; PACKET];
    while let Ok(length) = from.recv(&mut buffer).await {
        way.pass(&buffer[..length]);
    }
}
