//! A bare socket that passes what it gets on to everybody else.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::UdpSocket;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout_at};

use crate::hub::Hub;
use crate::script::Script;
use crate::seen::{Measured, Seen};
use crate::{Outcome, Plan, Way};

/// Bytes of a pose: whose, which, and three numbers of four bytes that nobody reads.
pub(crate) const LENGTH: usize = 20;

/// Passes datagrams on, from another task. Whoever sent something is told what others send.
pub(crate) async fn hub(runtime: &Handle) -> Outcome<String> {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await?;
    let address = socket.local_addr()?.to_string();
    runtime.spawn(async move {
        let mut peers: BTreeSet<SocketAddr> = BTreeSet::new();
        let mut buffer = [0; 2_048];
        loop {
            let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
            peers.insert(from);
            for peer in peers.iter().filter(|peer| **peer != from) {
                // What a socket does not take is lost.
                socket.send_to(&buffer[..length], *peer).await.ok();
            }
        }
    });
    Ok(address)
}

pub(crate) async fn measure(plan: Plan) -> Outcome<Measured> {
    let mut hub = Hub::start(Way::Udp, plan.relay)?;
    let script = Arc::new(Script::new(plan));
    let mut peers = JoinSet::new();
    for sender in 0..plan.peers {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await?;
        socket.connect(hub.address()).await?;
        peers.spawn(dance(socket, sender, Arc::clone(&script), plan.peers));
    }
    let usage = hub.watch(&script).await?;
    let seen = peers.join_all().await.into_iter().collect::<Outcome<_>>()?;
    Ok(Measured { seen, written: script.counted(), usage })
}

async fn dance(
    socket: UdpSocket,
    sender: usize,
    script: Arc<Script>,
    peers: usize,
) -> Outcome<Seen> {
    let mut seen = Seen::new(sender, peers);
    let mut buffer = [0; 2_048];
    let (mut due, mut number) = script.next(sender, None);
    while Instant::now() < script.end() {
        tokio::select! {
            () = sleep_until(due.into()) => {
                script.write(sender, number);
                socket.send(&frame(sender, number)?).await.ok();
                (due, number) = script.next(sender, Some(number));
            }
            got = timeout_at(script.end().into(), socket.recv(&mut buffer)) => {
                // The time is up, or the socket has something to complain of.
                let Ok(Ok(length)) = got else { continue };
                note(&mut seen, &script, &buffer[..length]);
            }
        }
    }
    Ok(seen)
}

/// A pose on its way.
pub(crate) fn frame(sender: usize, number: u32) -> Outcome<[u8; LENGTH]> {
    let mut frame = [0; LENGTH];
    frame[..4].copy_from_slice(&u32::try_from(sender)?.to_le_bytes());
    frame[4..8].copy_from_slice(&number.to_le_bytes());
    Ok(frame)
}

/// A pose has come.
pub(crate) fn note(seen: &mut Seen, script: &Script, frame: &[u8]) {
    seen.came(script, frame.len());
    let Some((head, _)) = frame.split_first_chunk::<8>() else { return };
    let ([sender, number], _) = head.as_chunks::<4>() else { return };
    let (sender, number) = (u32::from_le_bytes(*sender) as usize, u32::from_le_bytes(*number));
    seen.note(script, sender, script.numbered(sender, number));
}
