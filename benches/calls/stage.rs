//! A relay, and rooms on it; and calls from one of them to another.

use std::iter;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use parlor::net::{Relay, RelayNetConfig};
use parlor::proto::config::HubConfig;
use parlor::proto::event::Event;
use parlor::proto::hub::Hub;
use parlor::proto::id::{AppKey, Identity, PeerId};
use parlor::room::{ConnectOptions, Room};
use parlor::{Audience, Model, Origin, Signalled, Subject};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Failure;

const KEY: &str = "bench-calls-key";

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// After how long a cast call counts as lost.
const LOST: Duration = Duration::from_secs(1);

/// How often there is a call: a relay takes 4,000 a second of one member, and says those that are too
/// many again only after a while.
pub(crate) const EVERY: Duration = Duration::from_millis(1);

/// Calls that are not measured, before those that are.
pub(crate) const FIRST: usize = 200;

/// What the room holds: nothing that matters here.
#[derive(Clone, Debug, Default, Model)]
pub(crate) struct Hall {
    #[property(1)]
    name: String,
}

/// A relay and the rooms on it. The relay ends with it.
pub(crate) struct Stage {
    pub(crate) rooms: Vec<Room<Hall>>,
    pub(crate) others: JoinSet<()>,
    _end: oneshot::Sender<()>,
}

impl Stage {
    /// So many peers in one room, all of which know each other.
    pub(crate) async fn new(peers: usize) -> Result<Self, Failure> {
        let identity = Identity::from_seed([1; 32]);
        let epoch = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?;
        let keys = [AppKey::new(KEY)?];
        let hub = Hub::new(identity.clone(), keys, HubConfig::default(), epoch, [1; 32], 1);
        let config = RelayNetConfig { exempt_loopback: true, ..RelayNetConfig::default() };
        let listen = ["/ip4/127.0.0.1/udp/0/quic-v1"];
        let relay = Relay::bind(&identity, &listen, config, hub).await?;
        let address = relay.addresses()[0].clone();
        let (end, ended) = oneshot::channel();
        let mut others = JoinSet::new();
        others.spawn(async move {
            relay.run(async { ended.await.unwrap_or(()) }).await;
        });
        let options = || ConnectOptions::new("calls", KEY, &[&address]);
        let rooms = (0..peers).map(|_| Room::connect(options()));
        let mut stage = Self { rooms: rooms.collect::<Result<_, _>>()?, others, _end: end };
        timeout(PATIENCE, stage.meet(peers)).await?;
        Ok(stage)
    }

    async fn meet(&mut self, peers: usize) {
        while self.rooms.iter().any(|room| room.members().count() < peers) {
            for room in &mut self.rooms {
                room.wait(Duration::from_millis(5)).await;
            }
        }
        // What comes with a join is over by then.
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until {
            for room in &mut self.rooms {
                room.wait(Duration::from_millis(5)).await;
                while room.poll_event().is_some() {}
            }
        }
    }
}

/// How a signal is given.
pub(crate) fn subject() -> Subject {
    Subject::Name("call".to_owned())
}

/// The next signal of another.
pub(crate) fn heard(room: &mut Room<Hall>) -> Option<Signalled> {
    iter::from_fn(|| room.poll_event()).find_map(|event| match event {
        Event::Signal(signal) if signal.origin == Origin::Remote => Some(signal),
        _ => None,
    })
}

/// Calls that are answered, one behind the other's answer and at most every millisecond, by reliable signals or by cast ones. Returns how long
/// each took. Of cast ones that are lost, the next goes out after [`LOST`], and they are not in it.
pub(crate) async fn calls(
    count: usize,
    bytes: usize,
    reliable: bool,
) -> Result<Vec<Duration>, Failure> {
    let mut stage = Stage::new(2).await?;
    let (Some(mut answers), Some(mut calls)) = (stage.rooms.pop(), stage.rooms.pop()) else {
        return Err("two rooms were asked for".into());
    };
    let to = answers.peer();
    stage.others.spawn(async move {
        loop {
            answers.wait(PATIENCE).await;
            while let Some(signal) = heard(&mut answers) {
                if give(&mut answers, signal.by, signal.payload, reliable).is_err() {
                    return;
                }
            }
        }
    });
    let mut times = Vec::with_capacity(count);
    for number in 0..FIRST + count {
        let mut payload = vec![0; bytes.max(8)];
        payload[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let payload = Bytes::from(payload);
        let begun = Instant::now();
        give(&mut calls, to, payload.clone(), reliable)?;
        let answered = timeout(if reliable { PATIENCE } else { LOST }, async {
            while heard(&mut calls).is_none_or(|signal| signal.payload != payload) {
                calls.wait(PATIENCE).await;
            }
        });
        let answered = answered.await;
        if answered.is_err() && reliable {
            return Err("a call was not answered".into());
        }
        times.extend((number >= FIRST && answered.is_ok()).then(|| begun.elapsed()));
        while begun.elapsed() < EVERY {
            calls.wait(EVERY.saturating_sub(begun.elapsed())).await;
        }
    }
    Ok(times)
}

fn give(room: &mut Room<Hall>, to: PeerId, payload: Bytes, reliable: bool) -> Result<(), Failure> {
    if reliable {
        room.signal(Audience::Peer(to), subject(), payload)?;
    } else {
        room.cast(Audience::Peer(to), subject(), payload)?;
    }
    // It goes with the next turn, which is now.
    room.tick();
    Ok(())
}
