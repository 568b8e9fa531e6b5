//! A way between a client and a relay on which what goes by is counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::UdpSocket;
use tokio::task::JoinSet;

/// Bytes and packets of UDP, without those of the headers below.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    up: [AtomicU64; 2],
    down: [AtomicU64; 2],
}

impl Counts {
    pub(crate) fn read(&self) -> [u64; 4] {
        let [up, down] = [&self.up, &self.down];
        [&up[0], &up[1], &down[0], &down[1]].map(|count| count.load(Ordering::Relaxed))
    }

    /// What was counted since: bytes and packets up, bytes and packets down.
    pub(crate) fn since(&self, before: [u64; 4]) -> [u64; 4] {
        let now = self.read();
        std::array::from_fn(|at| now[at] - before[at])
    }
}

/// Counts what one client and the relay at `address` send to each other, and returns where that client
/// dials.
pub(crate) async fn counted(address: &str, tasks: &mut JoinSet<()>) -> (String, Arc<Counts>) {
    let (front, back) = (bound().await, bound().await);
    let port = |address: &str| -> u16 { address.split('/').nth(4).unwrap().parse().unwrap() };
    let relay = SocketAddr::from(([127, 0, 0, 1], port(address)));
    back.connect(relay).await.unwrap();
    let by_here = address.replacen(
        &format!("/{}/", relay.port()),
        &format!("/{}/", front.local_addr().unwrap().port()),
        1,
    );
    let counts = Arc::new(Counts::default());
    let counting = Arc::clone(&counts);
    tasks.spawn(async move {
        let count = |to: &[AtomicU64; 2], bytes: usize| {
            to[0].fetch_add(bytes as u64, Ordering::Relaxed);
            to[1].fetch_add(1, Ordering::Relaxed);
        };
        let (mut client, mut up, mut down) = (None, [0; 2_000], [0; 2_000]);
        loop {
            tokio::select! {
                Ok((bytes, from)) = front.recv_from(&mut up) => {
                    client = Some(from);
                    count(&counting.up, bytes);
                    back.send(&up[..bytes]).await.ok();
                }
                Ok(bytes) = back.recv(&mut down) => {
                    count(&counting.down, bytes);
                    if let Some(client) = client {
                        front.send_to(&down[..bytes], client).await.ok();
                    }
                }
            }
        }
    });
    (by_here, counts)
}

async fn bound() -> UdpSocket {
    UdpSocket::bind(("127.0.0.1", 0)).await.unwrap()
}
