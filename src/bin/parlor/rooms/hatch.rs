//! Where a relay that runs takes orders: a socket in its folder, which only the relay's own user and the
//! system's can reach.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as Stream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parlor::store::disk::Progress;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::clerk::Clerk;
use super::frame::{self, Answer};
use super::order::{Order, Outcome};
use crate::failure::Failure;

/// Orders that are carried out at once. Who comes with one more waits before the socket.
const AT_ONCE: usize = 4;
/// How long who is connected may say nothing when it is its turn, or take nothing of what it is told. Then
/// it is cut off.
const SILENCE: Duration = Duration::from_secs(10);
/// How long a relay that ends waits for orders that are being carried out.
const LAST_ORDERS: Duration = Duration::from_secs(10);
/// How many times it is said how far an order is, at most.
const STEPS: u64 = 200;
/// How long after the system could not hand out a connection it is asked again.
const PAUSE: Duration = Duration::from_secs(1);
/// The system's own user, who can read and write everything anyway.
const ROOT: u32 = 0;

/// A relay's socket. It is there until this is closed.
#[derive(Debug)]
pub(crate) struct Hatch {
    path: PathBuf,
    close: oneshot::Sender<()>,
    task: JoinSet<()>,
}

impl Hatch {
    /// Takes orders at `path`. What another relay has left there goes: call this only with the lock of
    /// its store.
    pub(crate) fn open(path: &Path, clerk: Clerk) -> io::Result<Self> {
        if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        // Who was faster than this is asked who it is.
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        let owner = fs::metadata(path)?.uid();
        let (close, closed) = oneshot::channel();
        let mut task = JoinSet::new();
        task.spawn(attend(listener, owner, clerk, closed));
        Ok(Self { path: path.to_owned(), close, task })
    }

    /// Takes no more orders, and waits for a while until those are done that were taken.
    pub(crate) async fn close(mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "the socket for orders was gone already");
        }
        // An error means that nobody attends to it any more.
        self.close.send(()).ok();
        self.task.join_next().await;
    }
}

/// Has orders carried out until it is closed.
async fn attend(
    listener: UnixListener,
    owner: u32,
    clerk: Clerk,
    mut closed: oneshot::Receiver<()>,
) {
    let mut orders = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _ = &mut closed => break,
            Some(_) = orders.join_next() => {}
            accepted = listener.accept(), if orders.len() < AT_ONCE => match accepted {
                Ok((stream, _)) => {
                    let clerk = clerk.clone();
                    if let Some(stream) = admit(stream, owner) {
                        orders.spawn_blocking(move || serve(stream, &clerk));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "an order was not taken");
                    sleep(PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    let done = async { while orders.join_next().await.is_some() {} };
    if timeout(LAST_ORDERS, done).await.is_err() {
        tracing::warn!("the relay ends before an order was done");
    }
}

/// Who comes, if it is whose the socket is.
fn admit(stream: UnixStream, owner: u32) -> Option<Stream> {
    let user = stream.peer_cred().map(|peer| peer.uid());
    if user.is_ok_and(|user| user == owner || user == ROOT) {
        stream.into_std().ok()
    } else {
        tracing::warn!("another user tried to give an order");
        None
    }
}

fn serve(stream: Stream, clerk: &Clerk) {
    if let Err(error) = converse(stream, clerk) {
        tracing::debug!(%error, "a connection for orders is over");
    }
}

fn converse(mut stream: Stream, clerk: &Clerk) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    frame::greet(&mut stream)?;
    let order: Order = frame::read(&mut stream)?;
    let (mut told, mut is_heard) = (0, true);
    let outcome = clerk.carry_out(order, |Progress { bytes, of_bytes, .. }| {
        if is_heard && bytes - told > of_bytes / STEPS {
            told = bytes;
            // Who has gone is not told the rest, and what it has ordered is done.
            is_heard = frame::write(&mut stream, &Answer::Progress { bytes, of_bytes }).is_ok();
        }
    });
    frame::write(&mut stream, &Answer::Done(outcome))
}

/// Has the relay that takes orders at `path` carry one out. `in_use` is what to say if it takes none.
pub(super) fn ask(
    path: &Path,
    order: &Order,
    in_use: impl Fn(&str) -> Failure,
    mut tell: impl FnMut(Progress),
) -> Result<Outcome, Failure> {
    let mut stream = Stream::connect(path).map_err(|why| in_use(&why.to_string()))?;
    frame::greet(&mut stream).map_err(|error| match error.kind() {
        io::ErrorKind::Unsupported => in_use("it is of another version than this `parlor`"),
        _ => in_use("it is about to end"),
    })?;
    let ended = |_: io::Error| {
        Failure::failed(
            "the relay ended before it had answered: what was asked may be done, or half of a backup",
        )
    };
    frame::write(&mut stream, order).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => {
            Failure::usage("the file is larger than any room that is kept")
        }
        _ => ended(error),
    })?;
    loop {
        match frame::read(&mut stream).map_err(ended)? {
            Answer::Progress { bytes, of_bytes } => tell(Progress { rooms: 0, bytes, of_bytes }),
            Answer::Done(outcome) => return outcome,
        }
    }
}
