//! Several relays, and which of them a client is linked with: over real sockets on loopback.
#![cfg(feature = "net")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test is a panic")]

#[path = "regions/wire.rs"]
mod wire;

use std::future::Future;
use std::time::Duration;

use parlor::net::{
    Carrier, Clock, NetConfig, Relay, RelayAddress, RelayChoice, RelayNetConfig, Unmeasured,
    measure,
};
use parlor::proto::config::HubConfig;
use parlor::proto::event::{Effect, Input};
use parlor::proto::hub::Hub;
use parlor::proto::id::{AppKey, Identity, Link, PeerId};
use parlor::{
    ConnectOptions, Lobby, LobbyOptions, Model, Ownership, RealtimeSet, Room, State, Terms,
};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::wire::Wire;

const KEY: &str = "regions";
const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";
const TCP: &str = "/ip4/127.0.0.1/tcp/0";

/// Far longer than anything here takes, except on a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(20);

/// How far the far relay is, there and back: more than this machine ever takes for a ping.
const FAR: Duration = Duration::from_millis(100);

#[derive(Clone, Debug, Default, Model)]
struct Table {
    #[property(1)]
    title: String,
    #[property(2)]
    stones: RealtimeSet<Stone>,
}

#[derive(Clone, Debug, Default, Model)]
struct Stone {
    #[property(1)]
    moved: u32,
}

/// A relay that runs until it is dropped.
struct Host {
    addresses: Vec<String>,
    tasks: JoinSet<()>,
}

impl Host {
    async fn start(who: u8, listen: &[&str]) -> Self {
        let (identity, keys) = (identity(who), [AppKey::new(KEY).unwrap()]);
        let (config, epoch) = (HubConfig::default(), Clock::unix_micros());
        let hub = Hub::new(identity.clone(), keys, config, epoch, [9; 32], 1);
        let net = RelayNetConfig { exempt_loopback: true, ..RelayNetConfig::default() };
        let relay = Box::pin(Relay::bind(&identity, listen, net, hub)).await.unwrap();
        let addresses = relay.addresses().to_vec();
        let mut tasks = JoinSet::new();
        tasks.spawn(Box::pin(async {
            relay.run(std::future::pending()).await;
        }));
        Self { addresses, tasks }
    }

    async fn tcp(who: u8) -> Self {
        Self::start(who, &[TCP]).await
    }

    /// Ends it, and returns when its sockets are closed.
    async fn kill(&mut self) {
        self.tasks.shutdown().await;
    }

    fn port(&self) -> u16 {
        let address = self.addresses[0].split('/').nth(4);
        address.unwrap().parse().unwrap()
    }
}

fn identity(who: u8) -> Identity {
    Identity::from_seed([who; 32])
}

fn id(who: u8) -> PeerId {
    identity(who).peer()
}

/// Where relay `who` is by TCP.
fn at(port: u16, who: u8) -> String {
    format!("/ip4/127.0.0.1/tcp/{port}/p2p/{}", id(who))
}

/// An address at which nobody is, and is refused at once.
fn dead(who: u8) -> String {
    at(9, who)
}

/// An address at which something listens and never says a word.
async fn silent(who: u8, tasks: &mut JoinSet<()>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tasks.spawn(async move {
        let mut held = Vec::new();
        while let Ok(stream) = listener.accept().await {
            held.push(stream);
        }
    });
    at(port, who)
}

fn parsed(addresses: &[&str]) -> Vec<RelayAddress> {
    addresses.iter().map(|address| address.parse().unwrap()).collect()
}

fn nearest() -> NetConfig {
    NetConfig { relays: RelayChoice::Nearest, ..NetConfig::default() }
}

fn carrier(addresses: &[&str], config: NetConfig) -> Carrier {
    Carrier::on(&Handle::current(), &identity(77), parsed(addresses), config).unwrap()
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.unwrap()
}

/// Dials, and returns the link that comes of it, and with which relay.
async fn dial(carrier: &mut Carrier) -> (Link, PeerId) {
    carrier.perform(Effect::Dial);
    match within(carrier.wait_input()).await {
        Input::Connected { link, peer } => {
            assert_eq!(carrier.relay(), Some(peer));
            (link, peer)
        }
        other => panic!("not connected but {other:?}"),
    }
}

/// Dials, and returns why no link comes of it.
async fn refusal(carrier: &mut Carrier) -> String {
    carrier.perform(Effect::Dial);
    match within(carrier.wait_input()).await {
        Input::Unreachable { why } => why,
        other => panic!("not unreachable but {other:?}"),
    }
}

/// Waits until a link is lost.
async fn lost(carrier: &mut Carrier) {
    loop {
        match within(carrier.wait_input()).await {
            Input::Disconnected { .. } => return,
            Input::Written { .. } | Input::Received { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_relay_is_taken_though_the_second_is_nearer() {
    let (first, second) = (Host::tcp(1).await, Host::tcp(2).await);
    let far = Wire::open(first.port(), FAR).await;
    let mut carrier = carrier(&[&at(far.port(), 1), &second.addresses[0]], NetConfig::default());
    assert_eq!(carrier.relay(), None);
    assert_eq!(dial(&mut carrier).await.1, id(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_relay_is_taken_if_every_address_of_the_first_fails() {
    let second = Host::tcp(2).await;
    // Its addresses may stand anywhere.
    let (ws, tcp) = (format!("/ip4/127.0.0.1/tcp/10/ws/p2p/{}", id(1)), dead(1));
    let mut carrier = carrier(&[&tcp, &second.addresses[0], &ws], NetConfig::default());
    assert_eq!(dial(&mut carrier).await.1, id(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_with_a_wrong_id_is_passed_over_and_named() {
    let (host, other) = (Host::tcp(1).await, Host::tcp(2).await);
    let wrong = at(host.port(), 8);
    for config in [NetConfig::default(), nearest()] {
        let mut alone = carrier(&[&wrong], config.clone());
        let why = refusal(&mut alone).await;
        assert!(why.contains(&wrong) && why.contains(&id(1).to_string()), "{why}");
        let mut both = carrier(&[&wrong, &other.addresses[0]], config.clone());
        assert_eq!(dial(&mut both).await.1, id(2));
        let mut neither = carrier(&[&wrong, &dead(3)], config);
        let why = refusal(&mut neither).await;
        assert!(why.contains(&wrong) && why.contains(&dead(3)), "{why}");
        assert_eq!(neither.relay(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_link_goes_back_to_its_relay_though_an_earlier_one_is_there_again() {
    for choice in [RelayChoice::InOrder, RelayChoice::Nearest] {
        let (first, second) = (Host::tcp(1).await, Host::tcp(2).await);
        let (mut to_first, mut to_second) =
            (Wire::open(first.port(), Duration::ZERO).await, Wire::open(second.port(), FAR).await);
        to_first.cut().await;
        let config = NetConfig {
            relays: choice,
            head_start: Duration::from_millis(100),
            stay: PATIENCE,
            ..NetConfig::default()
        };
        let mut carrier = carrier(&[&at(to_first.port(), 1), &at(to_second.port(), 2)], config);
        assert_eq!(dial(&mut carrier).await.1, id(2));
        to_first.mend();
        to_second.cut().await;
        lost(&mut carrier).await;
        carrier.perform(Effect::Dial);
        // Long enough to fail there, and to find the first.
        let early = timeout(Duration::from_millis(700), carrier.wait_input()).await;
        assert!(early.is_err(), "{choice:?}: {early:?}");
        to_second.mend();
        let input = within(carrier.wait_input()).await;
        assert!(matches!(input, Input::Connected { peer, .. } if peer == id(2)), "{input:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waited_long_enough_for_its_relay_chooses_anew_and_stays_there() {
    for choice in [RelayChoice::InOrder, RelayChoice::Nearest] {
        let (first, second) = (Host::tcp(1).await, Host::tcp(2).await);
        let to_second = Wire::open(second.port(), FAR).await;
        let mut to_first = Wire::open(first.port(), Duration::ZERO).await;
        let stay = Duration::from_millis(300);
        let config =
            NetConfig { relays: choice, stay, head_start: stay / 3, ..NetConfig::default() };
        let mut carrier = carrier(&[&at(to_first.port(), 1), &at(to_second.port(), 2)], config);
        assert_eq!(dial(&mut carrier).await.1, id(1));
        to_first.cut().await;
        lost(&mut carrier).await;
        let clock = Clock::new();
        let (link, peer) = dial(&mut carrier).await;
        assert_eq!(peer, id(2));
        assert!(clock.now().as_micros() >= 300_000, "{choice:?}: {:?}", clock.now());
        to_first.mend();
        carrier.perform(Effect::Disconnect { link });
        lost(&mut carrier).await;
        assert_eq!(dial(&mut carrier).await.1, id(2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nearest_relay_is_taken_wherever_it_stands() {
    let (near, far) = (Host::tcp(1).await, Host::tcp(2).await);
    let wire = Wire::open(far.port(), FAR).await;
    let (near, far) = (near.addresses[0].as_str(), &*at(wire.port(), 2));
    for addresses in [[near, far], [far, near]] {
        let mut carrier = carrier(&addresses, nearest());
        assert_eq!(dial(&mut carrier).await.1, id(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_says_nothing_holds_up_the_nearest_no_longer_than_is_configured() {
    let mut tasks = JoinSet::new();
    let (host, silent) = (Host::tcp(1).await, silent(2, &mut tasks).await);
    let config = NetConfig {
        measure: Duration::from_secs(1),
        connect: PATIENCE,
        linger: Duration::from_millis(500),
        ..nearest()
    };
    let mut carrier = carrier(&[&silent, &host.addresses[0]], config);
    let clock = Clock::new();
    assert_eq!(dial(&mut carrier).await.1, id(1));
    let took = clock.now().as_micros();
    // With room for a busy machine, and far from the time that the silent one has to connect.
    assert!((1_000_000..10_000_000).contains(&took), "{took} us");
}

#[tokio::test(flavor = "multi_thread")]
async fn transports_of_one_relay_are_raced_as_ever_beside_other_relays() {
    let host = Host::start(1, &[QUIC, TCP]).await;
    let other = Host::tcp(2).await;
    let [quic, tcp] = [0, 1].map(|at| host.addresses[at].as_str());
    let blocked = format!("/ip4/127.0.0.1/udp/9/quic-v1/p2p/{}", id(1));
    for config in [NetConfig::default(), nearest()] {
        let config = NetConfig { head_start: Duration::from_millis(100), ..config };
        let mut whole = carrier(&[tcp, &other.addresses[0], quic], config.clone());
        let (link, peer) = dial(&mut whole).await;
        // The nearest may be either of two that are equally near.
        assert!(peer == id(1) || config.relays == RelayChoice::Nearest);
        whole.perform(Effect::Disconnect { link });
        let mut behind = carrier(&[&blocked, &dead(3), tcp], config);
        assert_eq!(dial(&mut behind).await.1, id(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_measured_is_sorted_and_what_is_not_says_why() {
    let mut tasks = JoinSet::new();
    let near = Host::start(1, &[QUIC, TCP]).await;
    let (far, silent) = (Host::tcp(2).await, silent(3, &mut tasks).await);
    let (wire, dead) = (Wire::open(far.port(), FAR).await, dead(4));
    let bare = format!("/ip4/127.0.0.1/tcp/{}", wire.port());
    let [quic, tcp] = [0, 1].map(|at| near.addresses[at].as_str());
    let config = NetConfig { measure: Duration::from_secs(3), ..NetConfig::default() };
    let addresses = parsed(&[&silent, &dead, &bare, tcp, quic]);
    let measured = within(Box::pin(measure(addresses, &config))).await;
    let order: Vec<_> = measured.iter().map(|relay| relay.relay).collect();
    assert_eq!(order, [id(1), id(2), id(3), id(4)].map(Some), "{measured:?}");
    assert_eq!(measured[0].addresses, parsed(&[quic, tcp]));
    let trips = [0, 1].map(|at| *measured[at].round_trip.as_ref().unwrap());
    assert!(trips[0] < FAR && trips[1] >= FAR, "{trips:?}");
    let why = [2, 3].map(|at| measured[at].round_trip.clone().unwrap_err());
    assert!(matches!(&why[0], Unmeasured::Late { why } if why.contains(&silent)), "{why:?}");
    assert!(matches!(&why[1], Unmeasured::Unreachable { why } if why.contains(&dead)), "{why:?}");
    assert!(within(Box::pin(measure(Vec::new(), &config))).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_is_closed_does_not_wait_for_what_it_measures() {
    let mut tasks = JoinSet::new();
    let (one, two) = (silent(1, &mut tasks).await, silent(2, &mut tasks).await);
    let config = NetConfig { measure: PATIENCE * 2, connect: PATIENCE * 2, ..nearest() };
    let mut carrier = carrier(&[&one, &two], config);
    carrier.perform(Effect::Dial);
    let early = timeout(Duration::from_millis(200), carrier.wait_input()).await;
    assert!(early.is_err(), "{early:?}");
    within(carrier.close()).await;
}

/// Lets rooms run until something holds of all of them.
async fn until(rooms: &mut [Room<Table>], holds: impl Fn(&[Room<Table>]) -> bool) {
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

fn at_home(rooms: &[Room<Table>], relay: PeerId) -> bool {
    rooms.iter().all(|room| room.relay() == Some(relay) && *room.state() == State::Ready)
}

#[tokio::test(flavor = "multi_thread")]
async fn all_move_with_all_that_is_in_the_room_and_own_it_there() {
    let (mut first, second) = (Host::tcp(1).await, Host::tcp(2).await);
    let addresses = [first.addresses[0].clone(), second.addresses[0].clone()];
    let addresses = addresses.each_ref().map(String::as_str);
    let mut rooms: Vec<Room<Table>> = (0..2)
        .map(|_| {
            let mut options = ConnectOptions::new("hall", KEY, &addresses);
            options.net.stay = Duration::from_millis(200);
            options.net.head_start = Duration::from_millis(100);
            Room::connect(options).unwrap()
        })
        .collect();
    until(&mut rooms, |rooms| at_home(rooms, id(1))).await;
    let stones = rooms[0].root().stones.clone();
    let stone = stones.add(&mut rooms[0], Stone::default()).unwrap();
    rooms[0].claim(&stone, Terms::default()).unwrap();
    rooms[0].update(&stone, |stone| stone.moved = 1).unwrap();
    let owned = |rooms: &[Room<Table>]| {
        let seen = Ownership::Remote { peer: rooms[0].peer(), confirmed: true };
        matches!(rooms[0].ownership_state(&stone), Ownership::Confirmed { .. })
            && rooms[1].ownership_state(&stone) == seen
    };
    let moved = |rooms: &[Room<Table>], times: u32| {
        rooms.iter().all(|room| room.get(&stone).is_some_and(|stone| stone.moved == times))
    };
    until(&mut rooms, |rooms| owned(rooms) && moved(rooms, 1)).await;
    first.kill().await;
    until(&mut rooms, |rooms| at_home(rooms, id(2)) && owned(rooms) && moved(rooms, 1)).await;
    rooms[0].update(&stone, |stone| stone.moved = 2).unwrap();
    until(&mut rooms, |rooms| owned(rooms) && moved(rooms, 2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_moves_with_all_that_is_in_it_and_tells_where_it_is() {
    let (mut first, second) = (Host::tcp(1).await, Host::tcp(2).await);
    let addresses = [first.addresses[0].clone(), second.addresses[0].clone()];
    let addresses = addresses.each_ref().map(String::as_str);
    let mut options = ConnectOptions::new("hall", KEY, &addresses);
    options.net.stay = Duration::from_millis(200);
    options.net.head_start = Duration::from_millis(100);
    let mut room: Room<Table> = Room::connect(options).unwrap();
    assert_eq!(room.relay(), None);
    within(room.ready()).await.unwrap();
    assert_eq!(room.relay(), Some(id(1)));
    room.update_root(|table: &mut Table| table.title = "before".to_owned()).unwrap();
    assert!(room.settled(PATIENCE).await);
    first.kill().await;
    within(async {
        while room.relay() != Some(id(2)) {
            room.wait(Duration::from_millis(20)).await;
        }
        room.ready().await.unwrap();
    })
    .await;
    // Somebody who is told comes to the same.
    let told: Vec<&str> = addresses
        .into_iter()
        .filter(|address| address.parse::<RelayAddress>().unwrap().relay() == room.relay())
        .collect();
    let mut guest: Room<Table> = Room::connect(ConnectOptions::new("hall", KEY, &told)).unwrap();
    within(async {
        while guest.root().title != "before" {
            room.wait(Duration::from_millis(5)).await;
            guest.wait(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(guest.relay(), Some(id(2)));
    let mut lobby = Lobby::new(LobbyOptions::new(KEY, &told)).unwrap();
    assert_eq!(lobby.relay(), None);
    within(lobby.list(0, 1)).await.unwrap();
    assert_eq!(lobby.relay(), Some(id(2)));
}
