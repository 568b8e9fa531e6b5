//! The driver drives: rooms and a relay on loopback, in real time.
#![cfg(feature = "net")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test is a panic")]

#[cfg(feature = "audio")]
#[path = "net/counting.rs"]
mod counting;
#[cfg(feature = "audio")]
#[path = "end_to_end/impaired.rs"]
mod impaired;
#[path = "end_to_end/kept.rs"]
mod kept;
#[cfg(feature = "audio")]
#[path = "end_to_end/listening.rs"]
mod listening;
#[cfg(feature = "audio")]
#[path = "end_to_end/microwar.rs"]
mod microwar;
#[cfg(feature = "audio")]
#[path = "end_to_end/near.rs"]
mod near;
#[cfg(feature = "audio")]
#[expect(clippy::disallowed_methods, dead_code, reason = "a network of benches too, which measure")]
#[path = "../benches/sockets/proxy.rs"]
mod proxy;
#[cfg(feature = "audio")]
#[path = "end_to_end/rights.rs"]
mod rights;
#[path = "end_to_end/rooms.rs"]
mod rooms;
#[path = "end_to_end/rules.rs"]
mod rules;
#[cfg(feature = "audio")]
#[path = "end_to_end/voices.rs"]
mod voices;

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use parlor::net::{Clock, Machine, Relay, RelayNetConfig};
use parlor::proto::config::HubConfig;
use parlor::proto::event::{Effect, Event, Input, State};
use parlor::proto::hub::{Hub, HubEvent};
use parlor::proto::id::{AppKey, DocumentId, Identity};
use parlor::proto::model::handle::{RealtimeSet, Text};
use parlor::proto::model::property::Counter;
use parlor::proto::reason::{Class, Reason, Refusal};
use parlor::proto::time::Time;
use parlor::room::{ConnectOptions, Room};
use parlor::{Audience, Delivery, Model, Origin, Signal, SignalId, Signalled, Subject};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

#[derive(Clone, Debug, Default, Model)]
struct Table {
    #[property(1)]
    title: String,
    #[property(2)]
    guests: RealtimeSet<Guest>,
    #[property(3)]
    notes: Text,
    #[property(4)]
    votes: Counter,
    #[property(5)]
    toast: Signal<String>,
}

#[derive(Clone, Debug, Default, Model)]
struct Guest {
    #[property(1)]
    name: String,
}

const PATIENCE: Duration = Duration::from_secs(20);

/// A relay on ports that the system chooses, until its sender is dropped.
struct Host {
    addresses: Vec<String>,
    stop: Option<oneshot::Sender<()>>,
    tasks: JoinSet<Hub>,
}

impl Host {
    async fn start(identity: &Identity, listen: &[&str], config: HubConfig) -> Self {
        Box::pin(Self::start_with(identity, listen, config, |_| {})).await
    }

    async fn start_with(
        identity: &Identity,
        listen: &[&str],
        config: HubConfig,
        adjust: impl Fn(&mut Hub),
    ) -> Self {
        let bind = async || {
            let keys = [AppKey::new("end to end").unwrap()];
            let (identity, config) = (identity.clone(), config.clone());
            let mut hub =
                Hub::new(identity.clone(), keys, config, Clock::unix_micros(), [9; 32], 1);
            adjust(&mut hub);
            let net = RelayNetConfig { exempt_loopback: true, ..RelayNetConfig::default() };
            Box::pin(Relay::bind(&identity, listen, net, hub)).await
        };
        // The sockets of a relay that has just ended take a moment to go.
        let relay = within(async {
            loop {
                match bind().await {
                    Ok(relay) => break relay,
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        })
        .await;
        let addresses = relay.addresses().to_vec();
        let (stop, stopped) = oneshot::channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(Box::pin(relay.run(async {
            stopped.await.ok();
        })));
        Self { addresses, stop: Some(stop), tasks }
    }

    async fn stop(mut self) {
        drop(self.stop.take());
        while self.tasks.join_next().await.is_some() {}
    }

    /// The relay is gone from one moment to the next.
    #[cfg(feature = "audio")]
    async fn kill(mut self) {
        self.tasks.shutdown().await;
    }

    fn room(&self, name: &str) -> Room<Table> {
        let addresses: Vec<&str> = self.addresses.iter().map(String::as_str).collect();
        Room::connect(ConnectOptions::new(name, "end to end", &addresses)).unwrap()
    }
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.unwrap()
}

/// Lets rooms run until something holds of all of them.
async fn until(rooms: &mut [Room<Table>], mut holds: impl FnMut(&[Room<Table>]) -> bool) {
    within(async {
        while !holds(rooms) {
            for room in &mut *rooms {
                room.tick();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

fn equal(rooms: &[Room<Table>]) -> bool {
    let digests = |room: &Room<Table>| DocumentId::ALL.map(|document| room.log(document).digest());
    rooms.iter().all(|room| digests(room) == digests(&rooms[0]) && !room.is_waiting())
}

const LISTEN: [&str; 2] = ["/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0"];

#[tokio::test(flavor = "multi_thread")]
async fn rooms_share_what_is_edited_and_a_late_one_catches_up() {
    let identity = Identity::from_seed([1; 32]);
    let host = Host::start(&identity, &LISTEN, HubConfig::default()).await;
    let mut rooms: Vec<_> = (0..3).map(|_| host.room("caf\u{e9}")).collect();
    for (number, room) in rooms.iter_mut().enumerate() {
        within(room.ready()).await.unwrap();
        let (guests, notes) = (room.root().guests.clone(), room.root().notes.clone());
        guests.add(room, Guest { name: format!("guest {number}") }).unwrap();
        notes.insert(room, 0, "hello ").unwrap();
        room.update_root(|table: &mut Table| table.votes += 1).unwrap();
    }
    let everything = |room: &Room<Table>| {
        let table = room.root();
        (table.guests.len(room), table.votes.get(), table.notes.read(room).len()) == (3, 3, 18)
    };
    until(&mut rooms, |rooms| rooms.iter().all(everything) && equal(rooms)).await;
    // The same room, though its name is spelled with a combining accent.
    let mut late = host.room("cafe\u{301}");
    within(late.ready()).await.unwrap();
    assert!(everything(&late));
    assert_eq!(late.state_hash(), rooms[0].state_hash());
    let events: Vec<Event> = std::iter::from_fn(|| late.poll_event()).collect();
    assert!(events.contains(&Event::Ready));
    assert!(!events.iter().any(|event| matches!(event, Event::Added { .. } | Event::Changed(_))));
    rooms.push(late);
    until(&mut rooms, |rooms| rooms.iter().all(|room| room.members().count() == 4)).await;
    let spread = |rooms: &mut Vec<Room<Table>>| {
        let times: Vec<u64> = rooms.iter_mut().map(Room::room_time).collect();
        times.iter().max().unwrap() - times.iter().min().unwrap()
    };
    // The least of a few: this thread may lose the processor while it asks one after the other. And
    // whoever came last may have heard but one answer, on a busy machine late.
    let mut least = u64::MAX;
    for _ in 0..100 {
        least = (0..20).map(|_| spread(&mut rooms)).min().unwrap().min(least);
        if least < 5_000 {
            break;
        }
        for room in &mut rooms {
            room.wait(Duration::from_millis(50)).await;
        }
    }
    assert!(least < 5_000, "room times differ by {least} us");
    rooms.iter_mut().for_each(Room::leave);
    drop(rooms);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_once_is_heard_once_by_everybody() {
    let identity = Identity::from_seed([12; 32]);
    let host = Host::start(&identity, &LISTEN, HubConfig::default()).await;
    let mut rooms: Vec<_> = (0..3).map(|_| host.room("toast")).collect();
    for room in &mut rooms {
        within(room.ready()).await.unwrap();
    }
    until(&mut rooms, |rooms| rooms.iter().all(|room| room.members().count() == 3)).await;
    let (toast, to) = (rooms[0].root().toast.clone(), rooms[2].peer());
    toast.fire(&mut rooms[0], &"to Ada".to_owned()).unwrap();
    let whisper = || Subject::Name("whisper".to_owned());
    rooms[0].signal(Audience::Peer(to), whisper(), "psst".into()).unwrap();
    let mut heard = vec![Vec::<Signalled>::new(); 3];
    within(async {
        while heard.iter().map(Vec::len).sum::<usize>() < 4 {
            for (room, heard) in rooms.iter_mut().zip(&mut heard) {
                room.wait(Duration::from_millis(5)).await;
                heard.extend(std::iter::from_fn(|| room.poll_event()).filter_map(signal));
            }
        }
    })
    .await;
    let by = rooms[0].peer();
    for (place, heard) in heard.iter().enumerate() {
        assert_eq!(toast.said(&heard[0]).unwrap(), "to Ada");
        let origin = if place == 0 { Origin::Local } else { Origin::Remote };
        assert_eq!((heard[0].by, heard[0].origin), (by, origin));
        assert_eq!(heard.len(), if place == 2 { 2 } else { 1 });
    }
    assert_eq!((&heard[2][1].subject, &heard[2][1].payload[..]), (&whisper(), &b"psst"[..]));
    let mut late = host.room("toast");
    within(late.ready()).await.unwrap();
    late.wait(Duration::from_millis(200)).await;
    assert!(std::iter::from_fn(|| late.poll_event()).filter_map(signal).next().is_none());
    host.stop().await;
}

/// A program that answers what its relay is asked.
struct Oracle(Hub);

impl Oracle {
    fn answer(&mut self, now: Time) {
        while let Some(event) = self.0.poll_event() {
            if let HubEvent::Signal { room, signal } = event {
                let to = Audience::Peer(signal.by);
                self.0.signal(now, &room, to, "answer", signal.payload).unwrap();
            }
        }
    }
}

impl Machine for Oracle {
    fn handle(&mut self, now: Time, input: Input) {
        self.0.handle(now, input);
        self.answer(now);
    }

    fn tick(&mut self, now: Time) {
        self.0.tick(now);
        self.answer(now);
    }

    fn poll_effect(&mut self) -> Option<Effect> {
        self.0.poll_effect()
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        self.0.poll_timeout()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_calls_is_told_what_became_of_it_and_the_relay_answers() {
    let identity = Identity::from_seed([13; 32]);
    let keys = [AppKey::new("end to end").unwrap()];
    let config = HubConfig::default();
    let hub = Hub::new(identity.clone(), keys, config, Clock::unix_micros(), [9; 32], 1);
    let net = RelayNetConfig { exempt_loopback: true, ..RelayNetConfig::default() };
    let relay = Box::pin(Relay::bind(&identity, &LISTEN, net, Oracle(hub))).await.unwrap();
    let addresses = relay.addresses().to_vec();
    let mut tasks = JoinSet::new();
    let (stop, stopped) = oneshot::channel::<()>();
    tasks.spawn(Box::pin(async {
        relay
            .run(async {
                stopped.await.ok();
            })
            .await;
    }));
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let room = || Room::<Table>::connect(ConnectOptions::new("ask", "end to end", &addresses));
    let mut rooms: Vec<_> = (0..3).map(|_| room().unwrap()).collect();
    for room in &mut rooms {
        within(room.ready()).await.unwrap();
    }
    until(&mut rooms, |rooms| rooms.iter().all(|room| room.members().count() == 3)).await;
    let name = |name: &str| Subject::Name(name.to_owned());
    let nobody = Identity::from_seed([99; 32]).peer();
    let calls = [Audience::Relay, Audience::Peer(rooms[1].peer()), Audience::Peer(nobody)];
    let asked = calls.map(|to| rooms[0].signal(to, name("ask"), "why?".into()).unwrap());
    for number in 0..50_u8 {
        rooms[0].cast(Audience::Others, name("step"), vec![number].into()).unwrap();
    }
    let (mut told, mut heard) = (Vec::new(), vec![Vec::new(); 3]);
    within(async {
        while told.len() < 3 || heard.iter().any(Vec::is_empty) || heard[1].len() < 2 {
            for (room, heard) in rooms.iter_mut().zip(&mut heard) {
                room.wait(Duration::from_millis(5)).await;
                let events: Vec<_> = std::iter::from_fn(|| room.poll_event()).collect();
                told.extend(events.iter().filter_map(settled));
                heard.extend(events.into_iter().filter_map(signal));
            }
        }
    })
    .await;
    told.sort_unstable();
    let outcomes = [Delivery::Heard, Delivery::Heard, Delivery::Absent];
    assert!(told.into_iter().eq(asked.into_iter().zip(outcomes)));
    let answer = &heard[0][0];
    assert_eq!((&answer.subject, answer.by), (&name("answer"), identity.peer()));
    for (place, heard) in heard.iter().enumerate().skip(1) {
        let (kept, cast): (Vec<_>, Vec<_>) = heard.iter().partition(|signal| signal.reliable);
        assert_eq!(kept.len(), if place == 1 { 1 } else { 0 });
        let once: BTreeSet<_> = cast.iter().map(|signal| &signal.payload).collect();
        assert!(!once.is_empty() && once.len() == cast.len(), "{cast:?}");
        assert!(heard.iter().all(|signal| signal.by == rooms[0].peer()));
    }
    drop(stop);
    while tasks.join_next().await.is_some() {}
}

fn settled(event: &Event) -> Option<(SignalId, Delivery)> {
    match event {
        Event::SignalSettled { id, delivery } => Some((*id, *delivery)),
        _ => None,
    }
}

fn signal(event: Event) -> Option<Signalled> {
    match event {
        Event::Signal(signal) => Some(signal),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_lost_its_memory_is_refilled() {
    let identity = Identity::from_seed([2; 32]);
    let host = Host::start(&identity, &LISTEN, HubConfig::default()).await;
    let mut rooms: Vec<_> = (0..3).map(|_| host.room("refill")).collect();
    for room in &mut rooms {
        within(room.ready()).await.unwrap();
        room.update_root(|table: &mut Table| table.votes += 1).unwrap();
    }
    until(&mut rooms, |rooms| rooms.iter().all(|room| room.root().votes.get() == 3)).await;
    let addresses = host.addresses.clone();
    host.stop().await;
    for room in &mut rooms {
        room.update_root(|table: &mut Table| table.votes += 1).unwrap();
    }
    let listen: Vec<&str> = addresses.iter().map(|at| at.rsplit_once("/p2p/").unwrap().0).collect();
    let host = Host::start(&identity, &listen, HubConfig::default()).await;
    until(&mut rooms, |rooms| {
        rooms.iter().all(|room| room.root().votes.get() == 6 && *room.state() == State::Ready)
            && equal(rooms)
    })
    .await;
    let mut late = host.room("refill");
    within(late.ready()).await.unwrap();
    assert_eq!(late.root().votes.get(), 6);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offline_room_joins_later_and_a_handle_serves_async_programs() {
    let identity = Identity::from_seed([3; 32]);
    let host = Host::start(&identity, &LISTEN, HubConfig::default()).await;
    let options = ConnectOptions::new("later", "end to end", &[]);
    let mut offline: Room<Table> = Room::connect(options).unwrap();
    assert_eq!(*offline.state(), State::Offline);
    offline.update_root(|table: &mut Table| table.title = "offline".to_owned()).unwrap();
    let addresses: Vec<&str> = host.addresses.iter().map(String::as_str).collect();
    offline.go_online(&addresses).unwrap();
    within(offline.ready()).await.unwrap();
    assert!(offline.settled(PATIENCE).await);
    let handle = host.room("later").spawn(&tokio::runtime::Handle::current());
    let mut handle = handle;
    within(async { while !matches!(handle.event().await, Some(Event::Ready)) {} }).await;
    let title = handle.run(|room| room.root().title.clone()).await.unwrap();
    assert_eq!(title, "offline");
    within(handle.leave()).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_what_to_do() {
    let identity = Identity::from_seed([4; 32]);
    let config = HubConfig { members: 1, ..HubConfig::default() };
    let host = Host::start(&identity, &LISTEN, config).await;
    let addresses: Vec<&str> = host.addresses.iter().map(String::as_str).collect();
    let options = ConnectOptions::new("closed", "another key", &addresses);
    let mut stranger: Room<Table> = Room::connect(options).unwrap();
    let reason = within(stranger.ready()).await.unwrap_err();
    assert_eq!(reason, Reason::Refused(Refusal::UnknownApp));
    assert_eq!(reason.class(), Class::ApplicationFault);
    let mut first = host.room("closed");
    within(first.ready()).await.unwrap();
    let mut options = ConnectOptions::new("closed", "end to end", &addresses);
    options.config.attempts = 1;
    let mut second: Room<Table> = Room::connect(options).unwrap();
    let reason = within(second.ready()).await.unwrap_err();
    assert!(
        matches!(&reason, Reason::GaveUp { last, .. } if **last == Reason::Refused(Refusal::RoomFull { limit: 1 })),
        "{reason:?}"
    );
    assert!(Room::<Table>::connect(ConnectOptions::new("", "key", &[])).is_err());
    assert!(Room::<Table>::connect(ConnectOptions::new("room", "key", &["nonsense"])).is_err());
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_two_rooms_that_start_together_lose_no_creation() {
    let runs = if std::env::var_os("PARLOR_FULL").is_some() { 3 } else { 1 };
    let identity = Identity::from_seed([5; 32]);
    for run in 0..runs {
        let host = Host::start(&identity, &LISTEN, HubConfig::default()).await;
        let mut rooms: Vec<_> = (0..32).map(|_| host.room(&format!("crowd {run}"))).collect();
        for (number, room) in rooms.iter_mut().enumerate() {
            let guests = room.root().guests.clone();
            for guest in 0..10 {
                guests.add(room, Guest { name: format!("{number}.{guest}") }).unwrap();
            }
        }
        until(&mut rooms, |rooms| {
            rooms.iter().all(|room| room.root().guests.len(room) == 320) && equal(rooms)
        })
        .await;
        drop(rooms);
        host.stop().await;
    }
}
