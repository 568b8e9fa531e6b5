//! Asteroids that one peer owns and moves, and another sees, through a relay, over a network that loses
//! packets: how many bytes that is on the wire.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use parlor::proto::model::handle::Handle;
use parlor::proto::model::path::Path;
use parlor::proto::statistics::LaneStatistics;
use parlor::{
    Child, Event, Model, ModelRef, Ownership, Quaternion, RealtimeDictionary, Room, Terms,
};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::asteroids::{self, COUNT, TICKS, Tick, Transform};
use crate::hub::Hub;
use crate::proxy::{Gauge, Proxy};
use crate::seen::micros;
use crate::{Outcome, Tuning, Way, rooms};

/// Ticks a second.
const RATE: u32 = 30;

/// Ticks of the scene before it is measured, and behind that: three seconds and one.
const WARM: usize = 90;
const REST: usize = 30;

/// Metres that a place which shows may be off what was written, along each axis: a step and a half.
const NEAR: f32 = 0.015;

/// The property that is looked at.
const PLACE: u16 = 1;

#[derive(Clone, Debug, Default, Model)]
struct Space {
    #[property(1)]
    belt: Child<Belt>,
}

#[derive(Clone, Debug, Default, Model)]
struct Belt {
    #[property(1)]
    asteroids: RealtimeDictionary<u32, Asteroid>,
}

#[derive(Clone, Debug, Default, Model)]
struct Asteroid {
    #[property(1, unreliable, quantize = 0.0099)]
    place: [f32; 3],
    #[property(2, unreliable, quantize = 0.0004)]
    turn: Quaternion,
}

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) loss: u32,
    pub(crate) delay: Duration,
    pub(crate) relay: Tuning,
    pub(crate) receiver: Tuning,
    pub(crate) seed: u64,
}

/// Where all asteroids are, and when that was written.
#[derive(Clone)]
pub(crate) struct Scene(Arc<Vec<Tick>>);

impl Scene {
    pub(crate) fn new(seed: u64, seconds: u32) -> Self {
        let ticks = usize::try_from(seconds * RATE).unwrap_or(TICKS) + WARM + REST;
        Self(Arc::new(asteroids::ticks(seed, ticks.min(TICKS))))
    }

    /// The tick behind the last one that counts.
    fn to(&self) -> usize {
        self.0.len() - REST
    }
}

/// What came out, of the receiver.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) length: Duration,
    /// Microseconds from when a place is written until it shows.
    pub(crate) ages: Vec<u32>,
    /// Places that nobody wrote.
    pub(crate) strange: usize,
    pub(crate) written: usize,
    pub(crate) traffic: Traffic,
}

/// What went to the receiver.
#[derive(Clone, Copy, Default)]
pub(crate) struct Traffic {
    /// Packets and bytes, that the relay sent and of them that arrived.
    pub(crate) sent: [u64; 2],
    pub(crate) arrived: [u64; 2],
    /// Frames and bytes of the state lane, and of everything else.
    pub(crate) state: [u64; 2],
    pub(crate) rest: [u64; 2],
}

impl Traffic {
    fn of(gauge: &Gauge, room: &Room<Space>) -> Self {
        let all = room.statistics();
        let pair = |lane: LaneStatistics| [lane.received.messages, lane.received.bytes];
        let rest = [all.control, all.document, all.snapshot].map(pair);
        Self {
            sent: gauge.sent.get(),
            arrived: gauge.arrived.get(),
            state: pair(all.state),
            rest: rest.into_iter().fold([0; 2], |[a, b], [c, d]| [a + c, b + d]),
        }
    }

    fn since(self, before: Self) -> Self {
        let less = |[a, b]: [u64; 2], [c, d]: [u64; 2]| [a - c, b - d];
        Self {
            sent: less(self.sent, before.sent),
            arrived: less(self.arrived, before.arrived),
            state: less(self.state, before.state),
            rest: less(self.rest, before.rest),
        }
    }
}

pub(crate) async fn measure(plan: Plan, scene: &Scene) -> Outcome<Measured> {
    let hub = Hub::start(Way::Wire, plan.relay)?;
    let mut proxies = JoinSet::new();
    let mut entered = Vec::new();
    let sender = Tuning { rate: RATE, ..plan.relay };
    for (number, tuning) in [sender, plan.receiver].into_iter().enumerate() {
        let path = (plan.loss, plan.delay);
        let seed = plan.seed ^ (number as u64) << 32;
        let proxy = Proxy::to(socket(hub.address())?, path, seed).await?;
        let (gauge, front) = (proxy.gauge(), relay_behind(proxy.address()?, hub.address())?);
        proxies.spawn(proxy.run());
        entered.push((Box::pin(rooms::enter::<Space>(number, &front, tuning)).await?, gauge));
    }
    let (Some((receiver, gauge)), Some((sender, other))) = (entered.pop(), entered.pop()) else {
        return Err("nobody is there".into());
    };
    let (sender, receiver) = tokio::try_join!(
        timeout(rooms::MEETING, begin(sender)),
        timeout(rooms::MEETING, arrive(receiver)),
    )?;
    let ((sender, handles), receiver) = (sender?, receiver?);
    let written = Arc::new(Written { times: RwLock::default(), scene: scene.clone() });
    let switched = [gauge.clone(), other];
    let mut sending = JoinSet::new();
    sending.spawn(Box::pin(send(sender, handles, Arc::clone(&written), switched)));
    let measured = Box::pin(receive(receiver, &gauge, &written)).await?;
    sending.join_all().await.into_iter().collect::<Outcome<()>>()?;
    Ok(measured)
}

/// The owner puts all asteroids where they are.
async fn begin(mut room: Room<Space>) -> Outcome<(Room<Space>, Vec<ModelRef<Asteroid>>)> {
    let belt = room.root().belt.as_ref();
    room.claim(&belt, Terms::default())?;
    while !matches!(room.ownership_state(&belt), Ownership::Confirmed { .. }) {
        room.wait(Duration::from_millis(20)).await;
    }
    let asteroids = asteroids_of(&room)?;
    let handles = (0..u32::try_from(COUNT)?)
        .map(|number| asteroids.insert(&mut room, &number, Asteroid::default()))
        .collect::<Result<_, _>>()?;
    room.flush();
    if !room.settled(rooms::MEETING).await {
        return Err("the relay does not take the asteroids".into());
    }
    Ok((room, handles))
}

/// Waits for all asteroids.
async fn arrive(mut room: Room<Space>) -> Outcome<Room<Space>> {
    while asteroids_of(&room)?.len(&room) < COUNT {
        room.wait(Duration::from_millis(20)).await;
        while room.poll_event().is_some() {}
    }
    Ok(room)
}

fn asteroids_of(room: &Room<Space>) -> Outcome<RealtimeDictionary<u32, Asteroid>> {
    let belt = room.get(&room.root().belt.as_ref()).ok_or("there is no belt")?;
    Ok(belt.asteroids.clone())
}

/// When which tick was written.
struct Written {
    times: RwLock<Vec<Instant>>,
    scene: Scene,
}

impl Written {
    fn count(&self) -> usize {
        self.times.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The last tick in which an asteroid was where it shows, and when that was written.
    fn shown(&self, number: usize, at: [f32; 3]) -> Option<(usize, Instant)> {
        let times = self.times.read().unwrap_or_else(PoisonError::into_inner);
        let is_near = |place: [f32; 3]| place.iter().zip(at).all(|(a, b)| (a - b).abs() <= NEAR);
        let tick = (0..times.len()).rev().find(|tick| {
            let there = self.scene.0[*tick].get(number);
            there.is_some_and(|there| is_near(there.place))
        })?;
        Some((tick, times[tick]))
    }
}

async fn send(
    mut room: Room<Space>,
    handles: Vec<ModelRef<Asteroid>>,
    written: Arc<Written>,
    gauges: [Arc<Gauge>; 2],
) -> Outcome<()> {
    let beginning = Instant::now();
    for (number, tick) in (0..).zip(written.scene.0.iter()) {
        let due = beginning + Duration::from_secs(1) / RATE * number;
        while Instant::now() < due {
            room.wait(due - Instant::now()).await;
            while room.poll_event().is_some() {}
        }
        written.times.write().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        for (handle, Transform { place, turn }) in handles.iter().zip(tick) {
            room.update(handle, |asteroid| {
                (asteroid.place, asteroid.turn) = (*place, Quaternion(*turn));
            })?;
        }
        room.tick();
        // The probes for longer packets are through by then.
        if number == RATE {
            gauges.iter().for_each(|gauge| gauge.lossy.store(true, Ordering::Relaxed));
        }
    }
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end {
        room.wait(end - Instant::now()).await;
    }
    Ok(())
}

async fn receive(mut room: Room<Space>, gauge: &Gauge, written: &Written) -> Outcome<Measured> {
    let asteroids: BTreeMap<Path, (usize, ModelRef<Asteroid>)> = asteroids_of(&room)?
        .iter(&room)
        .filter_map(|(number, asteroid, _)| {
            Some((asteroid.path()?.clone(), (usize::try_from(number).ok()?, asteroid)))
        })
        .collect();
    let mut measured = Measured::default();
    let mut last = [None; COUNT];
    let mut before: Option<(Instant, Traffic)> = None;
    let mut after = None;
    while written.count() < written.scene.0.len() {
        let ticks = written.count();
        if ticks >= WARM && before.is_none() {
            before = Some((Instant::now(), Traffic::of(gauge, &room)));
        }
        if ticks >= written.scene.to() && after.is_none() {
            after = Some((Instant::now(), Traffic::of(gauge, &room)));
        }
        room.wait(Duration::from_millis(5)).await;
        while let Some(event) = room.poll_event() {
            let Event::Changed(changed) = event else { continue };
            let Some((number, asteroid)) = asteroids.get(&changed.model) else { continue };
            let Some(at) = room.get(asteroid).map(|asteroid| asteroid.place) else { continue };
            if !changed.properties.contains(&PLACE) {
                continue;
            }
            let Some((tick, when)) = written.shown(*number, at) else {
                measured.strange += 1;
                continue;
            };
            if last[*number].is_none_or(|last| last < tick) {
                last[*number] = Some(tick);
                if (WARM..written.scene.to()).contains(&tick) {
                    measured.ages.push(micros(when.elapsed()));
                }
            }
        }
    }
    let (Some((from, before)), Some((to, after))) = (before, after) else {
        return Err("it was over before it began".into());
    };
    measured.length = to - from;
    measured.traffic = after.since(before);
    measured.written = (written.scene.to() - WARM) * COUNT;
    Ok(measured)
}

/// The socket of an address such as `/ip4/127.0.0.1/udp/4433/quic-v1/p2p/...`.
fn socket(address: &str) -> Outcome<SocketAddr> {
    let parts: Vec<_> = address.split('/').collect();
    let [_, _, ip, _, port, ..] = parts[..] else {
        return Err(format!("{address} is no address of QUIC").into());
    };
    Ok(SocketAddr::new(ip.parse()?, port.parse()?))
}

/// A relay's address, by way of a proxy.
fn relay_behind(proxy: SocketAddr, address: &str) -> Outcome<String> {
    let (_, peer) = address.split_once("/p2p/").ok_or("a relay without a name")?;
    Ok(format!("/ip4/{}/udp/{}/quic-v1/p2p/{peer}", proxy.ip(), proxy.port()))
}
