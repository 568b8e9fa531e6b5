//! Rooms that outlive their members, and the relay that they were opened at.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlor::net::{Clock, Operator, OperatorError, Relay, RelayNetConfig};
use parlor::proto::config::HubConfig;
use parlor::proto::event::kept::{Keeping, KeptRoom, RoomImage};
use parlor::proto::hub::Hub;
use parlor::proto::id::{AppKey, Identity, RoomKey, RoomName};
use parlor::proto::reason::{Reason, Refusal};
use parlor::room::{ConnectOptions, NotDurable, NotStored, Room, SharedStore};
use parlor::store::{MemoryStore, MemoryStoreConfig, RoomStore, StoreError};
use parlor::{Entrance, Event};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Guest, Host, LISTEN, Table, within};

type Store = Arc<Mutex<MemoryStore>>;

async fn start(store: &Store, boot: u32) -> Host {
    Box::pin(operate(Arc::clone(store), boot, Duration::from_millis(200))).await.0
}

async fn operate(store: impl RoomStore + 'static, boot: u32, linger: Duration) -> (Host, Operator) {
    let identity = Identity::from_seed([1; 32]);
    let config = HubConfig { linger, ..HubConfig::default() };
    let key = AppKey::new("end to end").unwrap();
    let hub = Hub::new(identity.clone(), [key], config, Clock::unix_micros(), [9; 32], boot);
    let net = RelayNetConfig { exempt_loopback: true, ..RelayNetConfig::default() };
    let relay = Box::pin(Relay::bind(&identity, &LISTEN, net, hub)).await.unwrap();
    let relay = relay.with_store(Box::new(store));
    let (addresses, operator) = (relay.addresses().to_vec(), relay.operator());
    let (stop, stopped) = oneshot::channel();
    let mut tasks = JoinSet::new();
    tasks.spawn(Box::pin(relay.run(async {
        stopped.await.ok();
    })));
    (Host { addresses, stop: Some(stop), tasks }, operator)
}

fn connect(host: &Host) -> Room<Table> {
    let addresses: Vec<&str> = host.addresses.iter().map(String::as_str).collect();
    let mut options = ConnectOptions::new("kept", "end to end", &addresses);
    options.entrance = Entrance { create: true, ..Entrance::default() };
    Room::connect(options).unwrap()
}

async fn enter(host: &Host) -> Room<Table> {
    let mut room = connect(host);
    within(room.ready()).await.unwrap();
    room
}

fn key() -> RoomKey {
    (AppKey::new("end to end").unwrap().app(), RoomName::new("kept").unwrap())
}

async fn leave(mut room: Room<Table>) {
    room.leave();
    for _ in 0..20 {
        room.wait(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_there_again_after_everybody_left_and_after_another_start() {
    let store = Arc::new(Mutex::new(MemoryStore::new(MemoryStoreConfig::default())));
    let host = Box::pin(start(&store, 1)).await;
    let mut room = Box::pin(enter(&host)).await;
    let (guests, notes) = (room.root().guests.clone(), room.root().notes.clone());
    guests.add(&mut room, Guest { name: "Ada".to_owned() }).unwrap();
    notes.insert(&mut room, 0, "hello").unwrap();
    assert!(room.settled(Duration::from_secs(10)).await);
    Box::pin(leave(room)).await;
    // It closes, and is kept.
    within(async {
        while store.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let mut room = Box::pin(enter(&host)).await;
    assert_eq!(room.root().guests.len(&room), 1);
    notes.insert(&mut room, 5, ", world").unwrap();
    assert!(room.settled(Duration::from_secs(10)).await);
    // The relay ends while somebody is inside, and that one does not come back.
    host.stop().await;
    drop(room);
    let host = Box::pin(start(&store, 2)).await;
    let room = Box::pin(enter(&host)).await;
    assert_eq!(room.root().notes.read(&room), "hello, world");
    assert_eq!(room.root().guests.iter(&room).next().unwrap().1.name, "Ada");
    Box::pin(leave(room)).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_cannot_be_read_lets_nobody_in_and_others_serve() {
    let store = Arc::new(Mutex::new(MemoryStore::new(MemoryStoreConfig::default())));
    let image = RoomImage(vec![1; 100].into());
    let whole = Keeping::Whole { room: key(), image: image.clone() };
    store.lock().unwrap().commit(vec![whole]).unwrap();
    let host = Box::pin(start(&store, 1)).await;
    let addresses: Vec<&str> = host.addresses.iter().map(String::as_str).collect();
    let mut room: Room<Table> =
        Room::connect(ConnectOptions::new("kept", "end to end", &addresses)).unwrap();
    let why = within(room.ready()).await.unwrap_err();
    assert_eq!(why, Reason::Refused(Refusal::Unreadable));
    let mut other: Room<Table> =
        Room::connect(ConnectOptions::new("other", "end to end", &addresses)).unwrap();
    within(other.ready()).await.unwrap();
    let damaged = KeptRoom { image, records: Vec::new() };
    assert_eq!(store.lock().unwrap().fetch(&key()).unwrap(), Some(damaged));
    drop(other);
    host.stop().await;
}

/// Waits until the room is closed, and returns what is kept of it.
async fn closed<S: RoomStore>(operator: &Operator, store: &Mutex<S>) -> KeptRoom {
    within(async {
        while let Err(why) = operator.while_closed(key(), || ()).await {
            assert_eq!(why, OperatorError::Open { room: key().1 });
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    store.lock().unwrap().fetch(&key()).unwrap().unwrap()
}

fn put<S: RoomStore + ?Sized>(store: &Mutex<S>, KeptRoom { image, records }: KeptRoom) {
    let whole = Keeping::Whole { room: key(), image };
    let more = records.into_iter().map(|record| Keeping::More { room: key(), record });
    store.lock().unwrap().commit([whole].into_iter().chain(more).collect()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_replaces_rooms_of_a_relay_that_runs_and_nobody_meets_half_of_one() {
    let store = Arc::new(Mutex::new(MemoryStore::new(MemoryStoreConfig::default())));
    let (host, operator) =
        Box::pin(operate(Arc::clone(&store), 1, Duration::from_millis(20))).await;
    let mut kept = Vec::new();
    for (at, word) in [(0, "hello"), (5, ", world")] {
        let mut room = Box::pin(enter(&host)).await;
        let notes = room.root().notes.clone();
        notes.insert(&mut room, at, word).unwrap();
        assert!(room.settled(Duration::from_secs(10)).await);
        let refused = operator.while_closed(key(), || panic!("somebody is in")).await;
        assert_eq!(refused, Err(OperatorError::Open { room: key().1 }));
        Box::pin(leave(room)).await;
        kept.push(closed(&operator, &store).await);
    }
    // Half of it is done when somebody comes, who waits for the rest.
    let (begun, has_begun) = oneshot::channel();
    let (go, may_go) = std::sync::mpsc::sync_channel(1);
    let (shared, first) = (Arc::clone(&store), kept[0].clone());
    let task = operator.while_closed(key(), move || {
        shared.lock().unwrap().remove(&key()).unwrap();
        begun.send(()).unwrap();
        may_go.recv().unwrap();
        put(&shared, first);
    });
    let comes = async {
        has_begun.await.unwrap();
        let mut room = connect(&host);
        timeout(Duration::from_millis(300), room.ready()).await.unwrap_err();
        go.send(()).unwrap();
        within(room.ready()).await.unwrap();
        room
    };
    let (done, room) = tokio::join!(task, comes);
    done.unwrap();
    assert_eq!(room.root().notes.read(&room), "hello");
    Box::pin(leave(room)).await;
    // Who comes at the same time finds what was there, if the operator is refused, or what is.
    let words = ["hello", "hello, world"];
    let (mut shows, mut replaced) = (0, 0);
    for round in 0..12 {
        closed(&operator, &store).await;
        let (shared, other) = (Arc::clone(&store), kept[1 - shows].clone());
        let replace = async {
            tokio::time::sleep(Duration::from_millis(round)).await;
            operator.while_closed(key(), move || put(&shared, other)).await
        };
        let (outcome, room) = tokio::join!(replace, Box::pin(enter(&host)));
        if outcome.is_ok() {
            (shows, replaced) = (1 - shows, replaced + 1);
        }
        assert_eq!(room.root().notes.read(&room), words[shows], "{round}: {outcome:?}");
        Box::pin(leave(room)).await;
    }
    assert!(replaced > 0);
    host.stop().await;
    assert_eq!(operator.while_closed(key(), || ()).await, Err(OperatorError::Ended));
}

/// A disk that at times has no place for anything.
#[derive(Debug)]
struct Choosy {
    store: MemoryStore,
    refuses: bool,
}

impl RoomStore for Choosy {
    fn commit(&mut self, keepings: Vec<Keeping>) -> Result<(), StoreError> {
        match keepings.first() {
            Some(keeping) if self.refuses => {
                let room = keeping.room().clone();
                Err(StoreError::TooLarge { room, limit: 0, size: keeping.size() })
            }
            _ => self.store.commit(keepings),
        }
    }

    fn fetch(&mut self, room: &RoomKey) -> Result<Option<KeptRoom>, StoreError> {
        self.store.fetch(room)
    }

    fn remove(&mut self, room: &RoomKey) -> Result<bool, StoreError> {
        self.store.remove(room)
    }

    fn is_durable(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_could_not_be_kept_can_be_again_once_it_has_closed() {
    let store = MemoryStore::new(MemoryStoreConfig::default());
    let store = Arc::new(Mutex::new(Choosy { store, refuses: false }));
    let linger = Duration::from_millis(20);
    let (host, _) = Box::pin(operate(Arc::clone(&store), 1, linger)).await;
    let mut room = Box::pin(enter(&host)).await;
    let notes = room.root().notes.clone();
    notes.insert(&mut room, 0, "hello").unwrap();
    room.durable(Duration::from_secs(10)).await.unwrap();
    store.lock().unwrap().refuses = true;
    notes.insert(&mut room, 5, ", world").unwrap();
    assert_eq!(room.durable(Duration::from_secs(10)).await, Err(NotDurable::Unkept));
    store.lock().unwrap().refuses = false;
    Box::pin(leave(room)).await;
    // What is kept of it is what it opens with; until it has closed, what could not be is there.
    let mut room = Box::pin(enter(&host)).await;
    while room.root().notes.read(&room) != "hello" {
        Box::pin(leave(room)).await;
        room = Box::pin(enter(&host)).await;
    }
    notes.insert(&mut room, 5, ", again").unwrap();
    room.durable(Duration::from_secs(10)).await.unwrap();
    drop(room);
    host.stop().await;
}

/// How a program enters that keeps its room.
fn keeping(store: &SharedStore, relay: &[String]) -> Room<Table> {
    let relay: Vec<&str> = relay.iter().map(String::as_str).collect();
    let mut options = ConnectOptions::new("kept", "end to end", &relay);
    options.identity = Some(Identity::from_seed([5; 32]));
    options.store = Some(Arc::clone(store));
    Room::connect(options).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_edited_offline_is_there_at_the_next_start_and_merges() {
    let own: SharedStore = Arc::new(Mutex::new(MemoryStore::new(MemoryStoreConfig::default())));
    let mut room = keeping(&own, &[]);
    let notes = room.root().notes.clone();
    notes.insert(&mut room, 0, "hello").unwrap();
    room.stored(Duration::from_secs(10)).await.unwrap();
    // As if it were killed: nothing more is kept of this life.
    let kept = own.lock().unwrap().fetch(&key()).unwrap().unwrap();
    notes.insert(&mut room, 5, ", who is lost").unwrap();
    drop(room);
    put(&own, kept);
    let mut room = keeping(&own, &[]);
    assert_eq!(room.root().notes.read(&room), "hello");
    notes.insert(&mut room, 5, ", world").unwrap();
    // One that ends in good order waits for its store.
    drop(room);
    assert_eq!(Arc::strong_count(&own), 1, "another process can have it");
    let store = Arc::new(Mutex::new(MemoryStore::new(MemoryStoreConfig::default())));
    let host = Box::pin(start(&store, 1)).await;
    let mut room = keeping(&own, &host.addresses);
    assert_eq!(room.root().notes.read(&room), "hello, world", "before there is a link");
    within(room.ready()).await.unwrap();
    assert!(room.settled(Duration::from_secs(10)).await);
    let mut other = Box::pin(enter(&host)).await;
    assert_eq!(other.root().notes.read(&other), "hello, world");
    assert_eq!(other.stored(Duration::from_secs(1)).await, Err(NotStored::NoStore));
    drop((room, other));
    host.stop().await;
}

/// A disk that is full.
#[derive(Debug)]
struct Full;

impl RoomStore for Full {
    fn commit(&mut self, _: Vec<Keeping>) -> Result<(), StoreError> {
        Err(StoreError::Failed { why: "no space is left".to_owned() })
    }

    fn fetch(&mut self, _: &RoomKey) -> Result<Option<KeptRoom>, StoreError> {
        Ok(None)
    }

    fn remove(&mut self, _: &RoomKey) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn is_durable(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_whose_store_fails_says_so_and_goes_on() {
    let full: SharedStore = Arc::new(Mutex::new(Full));
    let mut room = keeping(&full, &[]);
    let notes = room.root().notes.clone();
    notes.insert(&mut room, 0, "hello").unwrap();
    assert_eq!(room.stored(Duration::from_secs(10)).await, Err(NotStored::Failed));
    let mut events = std::iter::from_fn(|| room.poll_event());
    let said = |event: Event| matches!(event, Event::NotStored { why } if why.contains("no space"));
    assert!(events.any(said));
    assert_eq!(notes.read(&room), "hello");
}
