//! One link: its queues, and the task that moves frames between them and its streams.

use std::convert::Infallible;
use std::future::{self, Future};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::FuturesUnordered;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, FutureExt, StreamExt};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::net::clock::Clock;
use crate::net::config::NetConfig;
use crate::net::frames::{self, FrameError, FrameReader};
use crate::net::protocol::index;
use crate::net::quic::{Datagrams, Tag};
use crate::net::state::{StateLane, StateOutbox};
use crate::net::voice::{Claim, VoiceLane};
use crate::proto::audio::stream::Topic;
use crate::proto::event::Input;
use crate::proto::id::{Lane, Link, PeerId};

/// Bytes of frames that are written at once, if so many wait.
const BATCH: usize = 64 << 10;

const LANES: usize = Lane::ALL.len();

const RELIABLE: usize = Lane::RELIABLE.len();

/// What a link's task tells the driver, in order: `Up`, inputs, and `Input::Disconnected` last.
#[derive(Debug)]
pub(crate) enum Happening {
    /// The link is up; frames for it go into `outbox`.
    Up { link: Link, peer: PeerId, outbox: Outbox },
    /// A packet of voice came, by gossip if it has a claim.
    Spoken { link: Link, topic: Topic, packet: Bytes, claim: Option<Claim> },
    /// Something else that is for the machine as it is.
    Input(Input),
}

/// Why a frame was not taken. The link is to be [aborted](Outbox::abort).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Overflow {
    #[error("too much waits to be written: the other end reads too slowly")]
    Full,
    #[error("a frame to be sent is over the limit")]
    TooLarge,
}

/// The queues of one link, bounded in frames and in bytes. Those of reliable lanes end the link when
/// they are full; that of the state lane is never full. Dropped, it ends the link once what was taken
/// before is out.
#[derive(Debug)]
pub(crate) struct Outbox {
    lanes: [mpsc::Sender<Bytes>; RELIABLE],
    waiting: [Arc<AtomicUsize>; RELIABLE],
    state: StateOutbox,
    max_waiting: usize,
    max_frame: usize,
    abort: oneshot::Sender<Overflow>,
}

impl Outbox {
    /// Takes a frame to be sent, or refuses it.
    pub(crate) fn push(&self, lane: Lane, frame: Bytes) -> Result<(), Overflow> {
        if frame.len() > self.max_frame {
            return Err(Overflow::TooLarge);
        }
        if lane == Lane::State {
            self.state.push(frame);
            return Ok(());
        }
        let length = frame.len();
        let waiting = &self.waiting[index(lane)];
        // Only the driver adds, so what is there cannot grow between the two.
        if waiting.load(Ordering::Relaxed) + length > self.max_waiting {
            return Err(Overflow::Full);
        }
        waiting.fetch_add(length, Ordering::Relaxed);
        match self.lanes[index(lane)].try_send(frame) {
            // A link that has ended says so itself.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Overflow::Full),
        }
    }

    /// Ends the link at once.
    pub(crate) fn abort(self, why: Overflow) {
        // An error means that it has ended already.
        self.abort.send(why).ok();
    }
}

/// The other end of an [`Outbox`].
struct Queues {
    lanes: [Queue; RELIABLE],
    state: StateLane,
    abort: oneshot::Receiver<Overflow>,
}

struct Queue {
    frames: mpsc::Receiver<Bytes>,
    waiting: Arc<AtomicUsize>,
}

fn outbox(config: &NetConfig, clock: Clock, datagrams: Option<Datagrams>) -> (Outbox, Queues) {
    let channel = || {
        let (sender, frames) = mpsc::channel(config.outbox_frames.max(1));
        let waiting = Arc::new(AtomicUsize::new(0));
        let queue = Queue { frames, waiting: Arc::clone(&waiting) };
        ((sender, waiting), queue)
    };
    let [(control, a), (document, b), (snapshot, c)] = [channel(), channel(), channel()];
    let (state, state_lane) = StateLane::new(datagrams, config, clock);
    let (abort, aborted) = oneshot::channel();
    let outbox = Outbox {
        lanes: [control.0, document.0, snapshot.0],
        waiting: [control.1, document.1, snapshot.1],
        state,
        max_waiting: config.outbox_bytes,
        max_frame: config.frame,
        abort,
    };
    let queues = Queues { lanes: [a, b, c], state: state_lane, abort: aborted };
    (outbox, queues)
}

/// A link that is about to be run.
pub(crate) struct LinkTask {
    pub(crate) link: Link,
    pub(crate) peer: PeerId,
    pub(crate) happenings: mpsc::Sender<Happening>,
    pub(crate) config: Arc<NetConfig>,
    pub(crate) clock: Clock,
    /// Voice by datagram, if it has datagrams.
    pub(crate) voice: Option<VoiceLane>,
}

impl LinkTask {
    /// Carries frames until the link ends, and says so. Its streams are closed on return. Returns
    /// whether the other end ended it in good order and will close the connection.
    pub(crate) async fn run<S>(self, streams: [S; LANES], datagrams: Option<Datagrams>) -> bool
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { link, peer, .. } = self;
        let (outbox, queues) = outbox(&self.config, self.clock, datagrams.clone());
        let up = Happening::Up { link, peer, outbox };
        if self.happenings.send(up).await.is_err() {
            return false;
        }
        let ended = self.carry(streams, datagrams, queues).await;
        let why = ended.as_ref().err();
        tracing::debug!(?link, ?peer, why, "link ended");
        let down = Happening::Input(Input::Disconnected { link });
        // An error means that there is no driver left to be told.
        self.happenings.send(down).await.ok();
        ended.is_ok()
    }

    /// Carries frames until the other end ends the link in good order, or else returns why it ended.
    async fn carry<S>(
        &self,
        streams: [S; LANES],
        datagrams: Option<Datagrams>,
        queues: Queues,
    ) -> Result<(), String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let linger = self.config.linger;
        let Queues { lanes: queues, state: state_lane, abort } = queues;
        let [control, document, snapshot, state] = streams;
        let lanes = Lane::RELIABLE.into_iter().zip([control, document, snapshot]);
        let readers = FuturesUnordered::new();
        let writers = FuturesUnordered::new();
        for ((lane, stream), queue) in lanes.zip(queues) {
            let (reader, writer) = stream.split();
            let reader = FrameReader::new(reader, self.config.frame);
            readers.push(self.read_lane(lane, reader).boxed());
            writers.push(self.write_lane(lane, writer, queue).boxed());
        }
        let (reader, writer) = state.split();
        let reader = FrameReader::new(reader, self.config.frame);
        readers.push(state_lane.read(reader).map(|read| self.judged(Lane::State, read)).boxed());
        writers.push(state_lane.write(writer).boxed());
        let mut both = pin!(async {
            tokio::select! {
                never = state_lane.run(self.link, &self.happenings) => match never {},
                never = self.carry_datagrams(datagrams, &state_lane) => match never {},
                read = read_all(readers, linger) => read,
                // Once everything is written, the other end ends the link by closing its streams.
                Err(error) = write_all(writers) => Err(format!("cannot write: {error}")),
            }
        });
        tokio::select! {
            biased;
            end = abort => match end {
                Ok(overflow) => {
                    tracing::warn!(link = ?self.link, peer = ?self.peer, %overflow, "link aborted");
                    Err(overflow.to_string())
                }
                // The outbox was dropped: the writers close when they have written what is left.
                Err(_) => match tokio::time::timeout(linger, both).await {
                    Ok(_) => Err("ended by this end".to_owned()),
                    Err(_) => Err("ended by this end, without an answer in time".to_owned()),
                },
            },
            ended = &mut both => ended,
        }
    }

    /// Sends voice by datagram, and gives every datagram to whom it is for, for as long as the link is
    /// up.
    async fn carry_datagrams(
        &self,
        datagrams: Option<Datagrams>,
        state_lane: &StateLane,
    ) -> Infallible {
        let voice = self.voice.as_ref();
        let receive = async {
            let Some(datagrams) = datagrams else { return };
            while let Some((tag, frame)) = datagrams.next().await {
                match (tag, voice) {
                    (Tag::State, _) => state_lane.came(frame),
                    (Tag::Voices | Tag::Voice, Some(voice)) => voice.came(tag, &frame),
                    (Tag::Voices | Tag::Voice, None) => {}
                }
                tokio::task::consume_budget().await;
            }
        };
        let send = async {
            if let Some(voice) = voice {
                voice.send().await;
            }
        };
        tokio::join!(receive, send);
        future::pending().await
    }

    async fn read_lane<R: AsyncRead + Unpin>(
        &self,
        lane: Lane,
        mut reader: FrameReader<R>,
    ) -> Result<(), FrameError> {
        loop {
            let frame = match reader.next().await {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(()),
                Err(error) => return self.judged(lane, Err(error)),
            };
            let link = self.link;
            let received = Happening::Input(Input::Received { link, lane, frame });
            // Waits while the machine has enough to do, which slows down the other end. Without a
            // driver, frames are thrown away until the stream ends.
            self.happenings.send(received).await.ok();
        }
    }

    /// What became of reading a lane; in the log, if the other end broke the protocol.
    fn judged(&self, lane: Lane, read: Result<(), FrameError>) -> Result<(), FrameError> {
        if let Err(error) = &read
            && error.is_misbehaviour()
        {
            tracing::warn!(link = ?self.link, peer = ?self.peer, ?lane, %error, "bad frame");
        }
        read
    }

    /// Writes what comes out of `queue`; when that ends, closes the stream.
    async fn write_lane<W: AsyncWrite + Unpin>(
        &self,
        lane: Lane,
        mut writer: W,
        mut queue: Queue,
    ) -> io::Result<()> {
        let link = self.link;
        let mut encoded = Vec::new();
        while let Some(first) = queue.frames.recv().await {
            let mut bytes = first.len();
            frames::encode(&mut encoded, &first);
            while encoded.len() < BATCH
                && let Ok(next) = queue.frames.try_recv()
            {
                bytes += next.len();
                frames::encode(&mut encoded, &next);
            }
            frames::write(&mut writer, &encoded).await?;
            queue.waiting.fetch_sub(bytes, Ordering::Relaxed);
            encoded.clear();
            encoded.shrink_to(2 * BATCH);
            let written = Happening::Input(Input::Written { link, lane, bytes });
            self.happenings.send(written).await.ok();
        }
        writer.close().await
    }
}

/// Waits for the first error, or for the end of every stream, which has `linger` from the first: the
/// last words may still be on another lane.
async fn read_all<F>(mut readers: FuturesUnordered<F>, linger: Duration) -> Result<(), String>
where
    F: Future<Output = Result<(), FrameError>>,
{
    if let Some(Err(error)) = readers.next().await {
        return Err(format!("cannot read: {error}"));
    }
    let others = async {
        while let Some(ended) = readers.next().await {
            ended?;
        }
        Ok::<_, FrameError>(())
    };
    match tokio::time::timeout(linger, others).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("ended by the other end: {error}")),
        Err(_) => Err("the other end closed a lane and kept another".to_owned()),
    }
}

/// Waits for the first error, or until all is written and closed.
async fn write_all<F>(mut writers: FuturesUnordered<F>) -> io::Result<()>
where
    F: Future<Output = io::Result<()>>,
{
    while let Some(written) = writers.next().await {
        written?;
    }
    Ok(())
}
