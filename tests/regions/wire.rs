//! A wire to a relay: of some length, and it can be cut.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Pieces that may be on their way in one direction.
const ON_THEIR_WAY: usize = 4_096;

pub(crate) struct Wire {
    address: SocketAddr,
    target: u16,
    round_trip: Duration,
    tasks: JoinSet<()>,
}

impl Wire {
    /// A wire to a TCP port of this computer.
    pub(crate) async fn open(target: u16, round_trip: Duration) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(carry(listener, target, round_trip));
        Self { address, target, round_trip, tasks }
    }

    /// Where it begins.
    pub(crate) const fn port(&self) -> u16 {
        self.address.port()
    }

    /// Breaks what goes over it, and refuses more.
    pub(crate) async fn cut(&mut self) {
        self.tasks.shutdown().await;
    }

    /// Takes connections again.
    pub(crate) fn mend(&mut self) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        self.tasks.spawn(carry(socket.listen(64).unwrap(), self.target, self.round_trip));
    }
}

async fn carry(listener: TcpListener, target: u16, round_trip: Duration) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        connections.spawn(async move {
            let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else { return };
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            // Whichever end is closed first, both are.
            tokio::select! {
                () = delay(near_in, far_out, round_trip / 2) => {}
                () = delay(far_in, near_out, round_trip / 2) => {}
            }
        });
    }
}

async fn delay(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, by: Duration) {
    let (pieces, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THEIR_WAY);
    let read = async move {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let piece = (now() + by, buffer[..length].to_vec());
            if pieces.send(piece).await.is_err() {
                return;
            }
        }
    };
    let write = async {
        while let Some((at, piece)) = due.recv().await {
            sleep_until(at).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(read, write);
}

#[expect(clippy::disallowed_methods, reason = "a wire is no part of what has one clock")]
fn now() -> Instant {
    Instant::now()
}
