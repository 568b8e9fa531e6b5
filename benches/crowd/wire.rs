//! Asteroids that one peer owns and moves, and another sees, through a relay, over a network that loses
//! packets: how many bytes that is on the wire.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use parlor::proto::model::handle::Handle;
use parlor::proto::model::path::Path;
use parlor::proto::statistics::LaneStatistics;
use parlor::{Child, Model, ModelRef, Ownership, Quaternion, RealtimeDictionary, Room, Terms};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::asteroids::{self, COUNT, TICKS, Tick, Transform};
use crate::hub::Hub;
use crate::proxy::{Gauge, Path as Network, Proxy};
use crate::seen::micros;
use crate::{Outcome, Tuning, Way, rooms};

/// Ticks a second.
const RATE: u32 = 30;

/// Ticks of the scene before it is measured, and behind that: three seconds and one.
const WARM: usize = 90;
const REST: usize = 30;

/// How far what shows may be off what was written: metres along an axis, and parts of one of a
/// quaternion's components.
const BARS: Off = Off { place: 0.01, turn: 0.001 };

/// The property of a place.
const PLACE: u16 = 1;

/// Microseconds that the time of a frame may be beside when it was said: it is whole 256ths of a tick.
const SLACK: u64 = 1_000_000 / RATE as u64 / 256 + 1;

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
    // A step for each of 3,000.
    #[property(2, unreliable, quantize = 0.000_333_333)]
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
    /// Of each tick that shows, microseconds from when it is written until then.
    pub(crate) ages: Vec<u32>,
    /// How many ticks were written.
    pub(crate) written: usize,
    /// How far transforms are off at worst that show, of how many, and how many are off by more than
    /// they may be.
    pub(crate) off: Off,
    pub(crate) checked: usize,
    pub(crate) wrong: usize,
    pub(crate) traffic: Traffic,
}

/// How far a transform is off: metres along an axis, and parts of one of a quaternion's components.
#[derive(Clone, Copy, Default)]
pub(crate) struct Off {
    pub(crate) place: f64,
    pub(crate) turn: f64,
}

impl Off {
    /// Of what shows from what was meant.
    fn of(shown: &Asteroid, meant: &Transform) -> Self {
        let pairs = || shown.turn.0.iter().zip(meant.turn);
        // Of a rotation and its opposite, either will do.
        let side = pairs().map(|(shown, meant)| shown * meant).sum::<f32>().signum();
        let turn = pairs().map(|(shown, meant)| f64::from(shown * side) - f64::from(meant));
        let places = shown.place.iter().zip(meant.place);
        let place = places.map(|(shown, meant)| f64::from(*shown) - f64::from(meant));
        let worst = |worst: f64, off: f64| worst.max(off.abs());
        Self { place: place.fold(0.0, worst), turn: turn.fold(0.0, worst) }
    }

    fn max(self, other: Self) -> Self {
        Self { place: self.place.max(other.place), turn: self.turn.max(other.turn) }
    }

    fn is_wrong(self) -> bool {
        self.place > BARS.place || self.turn > BARS.turn
    }
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
        let [sent, arrived] = &gauge.down;
        Self {
            sent: sent.into(),
            arrived: arrived.into(),
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
        let network = Network::even(plan.delay, plan.loss, plan.seed ^ (number as u64) << 32);
        let proxy = Proxy::to(socket(hub.address())?, network).await?;
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
    times: RwLock<Vec<Stamp>>,
    scene: Scene,
}

/// A moment, and what its writer took for the room's time then, which never goes back.
#[derive(Clone, Copy)]
struct Stamp {
    when: Instant,
    room_time: u64,
}

impl Written {
    fn note(&self, stamp: Stamp) {
        self.times.write().unwrap_or_else(PoisonError::into_inner).push(stamp);
    }

    fn count(&self) -> usize {
        self.times.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn when(&self, tick: usize) -> Option<Instant> {
        let times = self.times.read().unwrap_or_else(PoisonError::into_inner);
        times.get(tick).map(|stamp| stamp.when)
    }

    /// The tick of which a frame is: the last one that was written when it was said. So near to when
    /// one was written that a frame does not tell, it may be either.
    fn said(&self, at: u64) -> Range<usize> {
        let times = self.times.read().unwrap_or_else(PoisonError::into_inner);
        let by = |at: u64| times.partition_point(|stamp| stamp.room_time <= at);
        by(at.saturating_sub(SLACK)).saturating_sub(1)..by(at + SLACK)
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
        written.note(Stamp { when: Instant::now(), room_time: room.room_time() });
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

async fn receive(room: Room<Space>, gauge: &Gauge, written: &Written) -> Outcome<Measured> {
    let mut watch = Watch::new(room)?;
    let mut before: Option<(Instant, Traffic)> = None;
    let mut after = None;
    while written.count() < written.scene.0.len() {
        let ticks = written.count();
        if ticks >= WARM && before.is_none() {
            before = Some((Instant::now(), Traffic::of(gauge, &watch.room)));
        }
        if ticks >= written.scene.to() && after.is_none() {
            after = Some((Instant::now(), Traffic::of(gauge, &watch.room)));
        }
        watch.room.wait(Duration::from_millis(5)).await;
        watch.look(written);
    }
    let (Some((from, before)), Some((to, after))) = (before, after) else {
        return Err("it was over before it began".into());
    };
    let mut measured = watch.measured;
    measured.length = to - from;
    measured.traffic = after.since(before);
    measured.written = written.scene.to() - WARM;
    Ok(measured)
}

/// The peer that looks on.
struct Watch {
    room: Room<Space>,
    /// By their numbers.
    asteroids: Vec<(Path, ModelRef<Asteroid>)>,
    /// Of the last frame that shows: when it was said, and its tick.
    at: u64,
    tick: Option<usize>,
    measured: Measured,
}

impl Watch {
    fn new(room: Room<Space>) -> Outcome<Self> {
        let belt = asteroids_of(&room)?;
        let mut asteroids: Vec<_> = belt
            .iter(&room)
            .filter_map(|(number, asteroid, _)| Some((number, asteroid.path()?.clone(), asteroid)))
            .collect();
        asteroids.sort_by_key(|(number, ..)| *number);
        let asteroids = asteroids.into_iter().map(|(_, path, asteroid)| (path, asteroid)).collect();
        Ok(Self { room, asteroids, at: 0, tick: None, measured: Measured::default() })
    }

    /// Compares everything with what was written, if another frame came.
    fn look(&mut self, written: &Written) {
        while self.room.poll_event().is_some() {}
        let moved = self.asteroids.iter().filter_map(|(path, _)| self.room.moved(path, PLACE));
        let at = moved.map(|moved| moved.at).max().unwrap_or(0);
        if at <= self.at {
            return;
        }
        self.at = at;
        let compared = written.said(at).map(|tick| (tick, self.compare(&written.scene.0[tick])));
        let Some((tick, (off, wrong))) = compared.min_by_key(|(_, (_, wrong))| *wrong) else {
            return;
        };
        let counts = (WARM..written.scene.to()).contains(&tick);
        if counts {
            self.measured.off = self.measured.off.max(off);
            self.measured.checked += self.asteroids.len();
            self.measured.wrong += wrong;
        }
        if self.tick.is_none_or(|last| last < tick) {
            self.tick = Some(tick);
            let age = written.when(tick).map(|when| micros(when.elapsed()));
            self.measured.ages.extend(age.filter(|_| counts));
        }
    }

    /// How far asteroids are off at worst, and how many are off by more than they may be.
    fn compare(&self, meant: &Tick) -> (Off, usize) {
        let pairs = self.asteroids.iter().zip(meant);
        // What does not show at all is as far off as can be.
        let nowhere = Off { place: f64::INFINITY, turn: f64::INFINITY };
        let off = pairs.map(|((_, asteroid), meant)| {
            self.room.get(asteroid).map_or(nowhere, |shown| Off::of(shown, meant))
        });
        off.fold((Off::default(), 0), |(worst, wrong), off| {
            (worst.max(off), wrong + usize::from(off.is_wrong()))
        })
    }
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
