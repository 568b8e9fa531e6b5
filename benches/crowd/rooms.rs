//! Parlor's rooms: everybody owns a pose, and moves it.

use std::collections::BTreeMap;
use std::future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parlor::net::{Clock, Relay, RelayNetConfig};
use parlor::proto::hub;
use parlor::proto::model::handle::Handle as _;
use parlor::proto::model::path::Path;
use parlor::{
    AppKey, ConnectOptions, Event, HubConfig, Identity, Model, ModelRef, Ownership, Quaternion,
    RealtimeDictionary, Room, Terms,
};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::hub::Hub;
use crate::script::{Pose, Script};
use crate::seen::{Measured, Seen, Traffic};
use crate::{Outcome, Plan, Tuning, Way};

pub(crate) const APP_KEY: &str = "a crowd";

/// How long everybody may take to be there.
pub(crate) const MEETING: Duration = Duration::from_secs(30);

/// The property that is looked at.
const PLACE: u16 = 1;

#[derive(Clone, Debug, Default, Model)]
struct Stage {
    #[property(1)]
    dancers: RealtimeDictionary<u32, Dancer>,
}

#[derive(Clone, Debug, Default, Model)]
struct Dancer {
    #[property(1, unreliable, quantize = 0.01)]
    at: [f32; 3],
    #[property(2, unreliable)]
    turn: Quaternion,
}

/// A relay of rooms, in other tasks.
pub(crate) async fn hub(runtime: &Handle, tuning: Tuning) -> Outcome<String> {
    let identity = identity(0);
    let keys = [AppKey::new(APP_KEY)?];
    let mut config = HubConfig::default();
    config.state = tuning.of(config.state);
    let hub = hub::Hub::new(identity.clone(), keys, config, Clock::unix_micros(), [9; 32], 1);
    let net = RelayNetConfig { exempt_loopback: true, ..RelayNetConfig::default() };
    let listen = ["/ip4/127.0.0.1/udp/0/quic-v1"];
    let relay = Relay::bind(&identity, &listen, net, hub).await?;
    let address = relay.addresses().first().cloned().ok_or("the relay is nowhere")?;
    runtime.spawn(async {
        Box::pin(relay.run(future::pending())).await;
    });
    Ok(address)
}

/// A peer's, or the relay's: number 0.
fn identity(number: u8) -> Identity {
    Identity::from_seed([number; 32])
}

/// A room on a relay, once it is ready.
pub(crate) async fn enter<M: Model>(
    number: usize,
    relay: &str,
    tuning: Tuning,
) -> Outcome<Room<M>> {
    let mut options = ConnectOptions::new("crowd", APP_KEY, &[relay]);
    options.identity = Some(identity(u8::try_from(number + 1)?));
    options.config.state = tuning.of(options.config.state);
    let mut room = Room::connect(options)?;
    timeout(MEETING, room.ready()).await?.map_err(|reason| reason.to_string())?;
    Ok(room)
}

pub(crate) async fn measure(plan: Plan) -> Outcome<Measured> {
    let mut hub = Hub::start(Way::Room, plan.relay)?;
    let mut meeting = JoinSet::new();
    for sender in 0..plan.peers {
        let address = hub.address().to_owned();
        let tuning = Tuning { rate: plan.rate, ..plan.relay };
        meeting.spawn(Box::pin(async move {
            let room = Box::pin(enter(sender, &address, tuning)).await?;
            timeout(MEETING, Box::pin(meet(room, sender, plan.peers))).await?
        }));
    }
    let dancers = meeting.join_all().await.into_iter().collect::<Outcome<Vec<_>>>()?;
    let script = Arc::new(Script::new(plan));
    let mut peers = JoinSet::new();
    for mut dancer in dancers {
        let script = Arc::clone(&script);
        peers.spawn(Box::pin(async move {
            dancer.dance(&script).await?;
            Ok(dancer.seen)
        }));
    }
    let usage = hub.watch(&script).await?;
    let seen = peers.join_all().await.into_iter().collect::<Outcome<_>>()?;
    Ok(Measured { seen, written: script.counted(), usage })
}

/// Waits until everybody is there, with a pose that this peer owns.
async fn meet(mut room: Room<Stage>, number: usize, peers: usize) -> Outcome<Dancing> {
    let dancers = room.root().dancers.clone();
    let own = dancers.insert(&mut room, &u32::try_from(number)?, Dancer::default())?;
    room.claim(&own, Terms::default())?;
    let is_mine =
        |room: &Room<Stage>| matches!(room.ownership_state(&own), Ownership::Confirmed { .. });
    while dancers.len(&room) < peers || !is_mine(&room) {
        room.wait(Duration::from_millis(20)).await;
        while room.poll_event().is_some() {}
    }
    let all = dancers.iter(&room).filter_map(|(number, dancer, _)| {
        Some((dancer.path()?.clone(), (usize::try_from(number).ok()?, dancer)))
    });
    let all = all.collect();
    Ok(Dancing { room, number, own, all, seen: Seen::new(number, peers) })
}

/// One peer.
struct Dancing {
    room: Room<Stage>,
    number: usize,
    own: ModelRef<Dancer>,
    /// Everybody's pose, and whose it is.
    all: BTreeMap<Path, (usize, ModelRef<Dancer>)>,
    seen: Seen,
}

impl Dancing {
    async fn dance(&mut self, script: &Script) -> Outcome<()> {
        let mut before = None;
        let (mut due, mut number) = script.next(self.number, None);
        while Instant::now() < script.end() {
            let now = Instant::now();
            if due <= now {
                let Pose { at, turn } = script.write(self.number, number);
                self.room.update(&self.own, |own| (own.at, own.turn) = (at, turn.into()))?;
                (due, number) = script.next(self.number, Some(number));
            }
            if now < script.from() {
                before = Some(received(&self.room));
            } else if now < script.to() {
                let traffic = received(&self.room);
                let before = before.unwrap_or(traffic);
                self.seen.traffic = Traffic {
                    bytes: traffic.bytes - before.bytes,
                    packets: traffic.packets - before.packets,
                };
            }
            self.room.wait(due - Instant::now()).await;
            self.look(script)?;
        }
        Ok(())
    }

    /// Sees what is different.
    fn look(&mut self, script: &Script) -> Outcome<()> {
        while let Some(event) = self.room.poll_event() {
            let changed = match event {
                Event::Changed(changed) if changed.properties.contains(&PLACE) => changed,
                Event::Overrun => return Err("events were lost".into()),
                _ => continue,
            };
            let Some((sender, dancer)) = self.all.get(&changed.model) else { continue };
            if *sender == self.number {
                continue;
            }
            let Some(at) = self.room.get(dancer).map(|dancer| dancer.at) else { continue };
            if self.seen.note(script, *sender, script.shown(*sender, at)) {
                let written = self.room.moved(&changed.model, PLACE).map(|moved| moved.at);
                let age = written.map(|at| self.room.room_time().saturating_sub(at));
                self.seen.claimed.extend(age.and_then(|age| u32::try_from(age).ok()));
            }
        }
        Ok(())
    }
}

/// What a room has received on its state lane.
fn received<M: Model>(room: &Room<M>) -> Traffic {
    let state = room.statistics().state.received;
    Traffic { bytes: state.bytes, packets: state.messages }
}
