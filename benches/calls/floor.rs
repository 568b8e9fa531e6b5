//! The same way over TCP: a caller, a proxy that passes bytes on, and who sends them back.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Failure;
use crate::stage::{EVERY, FIRST};

/// Calls that are answered, one after the other. Returns how long each took.
pub(crate) async fn calls(count: usize, bytes: usize) -> Result<Vec<Duration>, Failure> {
    let (proxy, echo) =
        (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
    let (to, through) = (echo.local_addr()?, proxy.local_addr()?);
    let mut others = JoinSet::new();
    others.spawn(async move {
        let Ok((mut caller, _)) = echo.accept().await else { return };
        caller.set_nodelay(true).ok();
        let (mut read, mut write) = caller.split();
        tokio::io::copy(&mut read, &mut write).await.ok();
    });
    others.spawn(async move {
        let (Ok((mut caller, _)), Ok(mut answers)) =
            (proxy.accept().await, TcpStream::connect(to).await)
        else {
            return;
        };
        caller.set_nodelay(true).ok();
        answers.set_nodelay(true).ok();
        tokio::io::copy_bidirectional(&mut caller, &mut answers).await.ok();
    });
    let mut socket = TcpStream::connect(through).await?;
    socket.set_nodelay(true)?;
    let (call, mut answer) = (vec![7; bytes], vec![0; bytes]);
    let mut times = Vec::with_capacity(count);
    for number in 0..FIRST + count {
        let begun = Instant::now();
        socket.write_all(&call).await?;
        socket.read_exact(&mut answer).await?;
        times.extend((number >= FIRST).then(|| begun.elapsed()));
        sleep(EVERY.saturating_sub(begun.elapsed())).await;
    }
    Ok(times)
}
