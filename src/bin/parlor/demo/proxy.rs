//! A wire that can be cut: bytes between peers and the relay go through here.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::failure::Failure;

/// A wire to one address.
#[derive(Debug)]
pub(super) struct Proxy {
    address: SocketAddr,
    whole: watch::Sender<bool>,
    /// Ends when this is dropped.
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// A wire to `target` on this computer.
    pub(super) async fn open(target: u16) -> Result<Self, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (whole, is_whole) = watch::channel(true);
        let mut tasks = JoinSet::new();
        tasks.spawn(carry(listener, target, is_whole));
        Ok(Self { address, whole, _tasks: tasks })
    }

    /// Where it begins.
    pub(super) const fn port(&self) -> u16 {
        self.address.port()
    }

    /// Cuts it, or mends it.
    pub(super) fn set_whole(&self, whole: bool) {
        self.whole.send_replace(whole);
    }
}

async fn carry(listener: TcpListener, target: u16, mut whole: watch::Receiver<bool>) {
    let mut links = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted
                    && *whole.borrow()
                {
                    links.spawn(forward(stream, target));
                }
            }
            changed = whole.changed() => {
                if changed.is_err() {
                    return;
                }
                if !*whole.borrow_and_update() {
                    links.shutdown().await;
                }
            }
            Some(_) = links.join_next() => {}
        }
    }
}

async fn forward(mut from: TcpStream, target: u16) {
    if let Ok(mut to) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await {
        // However it ends, both ends see that it did.
        copy_bidirectional(&mut from, &mut to).await.ok();
    }
}
