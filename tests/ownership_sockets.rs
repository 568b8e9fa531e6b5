//! Who owns what, over real sockets with a way that takes its time.
#![cfg(feature = "net")]
#![expect(clippy::unwrap_used, reason = "a failing test is a panic")]

use std::collections::{BTreeSet, VecDeque};
use std::env;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use parlor::net::{Clock, Relay, RelayNetConfig};
use parlor::proto::config::EpochConfig;
use parlor::proto::hub::Hub;
use parlor::proto::id::DocumentId;
use parlor::proto::model::handle::Handle;
use parlor::proto::model::value::Value;
use parlor::proto::table::Cell;
use parlor::proto::time::Time;
use parlor::{
    AppKey, ConnectOptions, Denial, Event, HubConfig, Identity, Model, ModelRef, Ownership,
    RealtimeSet, Room, Terms,
};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

#[derive(Clone, Debug, Default, Model)]
struct Board {
    #[property(1)]
    stones: RealtimeSet<Stone>,
}

#[derive(Clone, Debug, Default, Model)]
struct Stone {
    #[property(1)]
    colour: String,
}

const APP_KEY: &str = "ownership over sockets";
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a datagram is on its way.
const DELAY: Duration = Duration::from_millis(20);
/// How long a round takes at least: the relay answers the claims of 20 frames a second.
const ROUND: Duration = Duration::from_millis(60);
/// Of the rooms, those that claim; the one behind them only looks on.
const CLAIMANTS: usize = 2;
const OBSERVER: usize = 2;

/// A relay, and a wire to it for each peer.
struct Host {
    relay: String,
    target: SocketAddr,
    tasks: JoinSet<()>,
}

impl Host {
    async fn start(config: HubConfig) -> Self {
        let identity = Identity::from_seed([1; 32]);
        let keys = [AppKey::new(APP_KEY).unwrap()];
        let hub = Hub::new(identity.clone(), keys, config, Clock::unix_micros(), [9; 32], 1);
        let net = RelayNetConfig { exempt_loopback: true, ..RelayNetConfig::default() };
        let listen = ["/ip4/127.0.0.1/udp/0/quic-v1"];
        let relay = Box::pin(Relay::bind(&identity, &listen, net, hub)).await.unwrap();
        let address = relay.addresses()[0].clone();
        let (_, rest) = address.split_once("/udp/").unwrap();
        let (port, rest) = rest.split_once('/').unwrap();
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().unwrap()));
        let mut tasks = JoinSet::new();
        tasks.spawn(async {
            Box::pin(relay.run(std::future::pending())).await;
        });
        Self { relay: rest.to_owned(), target, tasks }
    }

    /// A room at the end of a new wire.
    async fn room(&mut self) -> Room<Board> {
        let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        far.connect(self.target).await.unwrap();
        let port = near.local_addr().unwrap().port();
        self.tasks.spawn(Box::pin(carry(near, far)));
        let address = format!("/ip4/127.0.0.1/udp/{port}/{}", self.relay);
        let options = ConnectOptions::new("board", APP_KEY, &[&address]);
        let mut room = Room::connect(options).unwrap();
        within(room.ready()).await.unwrap();
        room
    }
}

/// Where a datagram goes.
enum Way {
    There,
    Back,
}

/// A wire between one peer and the relay, on which every datagram is the same time on its way.
async fn carry(near: UdpSocket, far: UdpSocket) {
    let clock = Clock::new();
    let mut client = None;
    let mut on_way: VecDeque<(Time, Way, Vec<u8>)> = VecDeque::new();
    let (mut from_near, mut from_far) = ([0; 1 << 16], [0; 1 << 16]);
    loop {
        let due = on_way.front().map(|(due, ..)| *due);
        tokio::select! {
            () = clock.sleep_until(due) => {
                // What cannot be sent is lost, as datagrams are.
                match (on_way.pop_front(), client) {
                    (Some((_, Way::There, datagram)), _) => far.send(&datagram).await.ok(),
                    (Some((_, Way::Back, datagram)), Some(to)) => {
                        near.send_to(&datagram, to).await.ok()
                    }
                    (Some((_, Way::Back, _)), None) | (None, _) => None,
                };
            }
            got = near.recv_from(&mut from_near) => if let Ok((len, from)) = got {
                client = Some(from);
                on_way.push_back((clock.now() + DELAY, Way::There, from_near[..len].to_vec()));
            },
            got = far.recv(&mut from_far) => if let Ok(len) = got {
                on_way.push_back((clock.now() + DELAY, Way::Back, from_far[..len].to_vec()));
            },
        }
    }
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.unwrap()
}

/// What was seen of one stone.
#[derive(Default)]
struct Seen {
    /// What each room showed.
    shown: [BTreeSet<String>; 3],
    /// What a claimant showed after its claim was denied.
    after: [BTreeSet<String>; CLAIMANTS],
    denied: [Vec<Denial>; CLAIMANTS],
    /// Whether a claimant was told that what it wrote was taken back.
    refused: [bool; CLAIMANTS],
}

/// The peers and what they know of the stones.
struct Match {
    rooms: Vec<Room<Board>>,
}

impl Match {
    /// Lets things happen, and looks at a stone until something holds.
    async fn look(
        &mut self,
        (stone, seen): (&ModelRef<Stone>, &mut Seen),
        holds: impl Fn(&Self, &Seen) -> bool,
    ) {
        within(async {
            loop {
                for room in 0..self.rooms.len() {
                    self.rooms[room].tick();
                    self.note(room, stone, seen);
                }
                let confirmed = (0..CLAIMANTS).filter(|room| self.is_confirmed(*room, stone));
                assert!(confirmed.count() <= 1, "two own it");
                if holds(self, seen) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }

    fn note(&mut self, room: usize, stone: &ModelRef<Stone>, seen: &mut Seen) {
        while let Some(event) = self.rooms[room].poll_event() {
            match event {
                Event::ClaimDenied { model, why } if Some(&model) == stone.path() => {
                    seen.denied[room].push(why);
                }
                Event::Refused { model, .. } if Some(&model) == stone.path() => {
                    seen.refused[room] = true;
                }
                _ => {}
            }
        }
        let Some(shown) = self.colour(room, stone) else { return };
        if room < CLAIMANTS && !seen.denied[room].is_empty() {
            seen.after[room].insert(shown.clone());
        }
        seen.shown[room].insert(shown);
    }

    fn colour(&self, room: usize, stone: &ModelRef<Stone>) -> Option<String> {
        self.rooms[room].get(stone).map(|stone| stone.colour.clone())
    }

    fn is_confirmed(&self, room: usize, stone: &ModelRef<Stone>) -> bool {
        let state = self.rooms[room].ownership_state(stone);
        matches!(state, Ownership::Confirmed { .. })
    }

    /// Every value that a stone's colour has in a document, those that do not show among them.
    fn values(&self, room: usize, stone: &ModelRef<Stone>) -> Vec<Value> {
        let table = self.rooms[room].table();
        let stone = table.find(stone.path().unwrap()).unwrap();
        let values = table.all(stone, "1").iter().map(|live| match &live.cell {
            Cell::Value(value) => value.clone(),
            Cell::Counter(_) | Cell::Object(_) => Value::Null,
        });
        values.collect()
    }

    /// Both claim a new stone at the same instant, and paint it at once. Returns who won.
    async fn play(&mut self, round: usize, clock: &Clock) -> (usize, ModelRef<Stone>) {
        let stones = self.rooms[OBSERVER].root().stones.clone();
        let new = Stone { colour: "new".to_owned() };
        let stone = stones.add(&mut self.rooms[OBSERVER], new).unwrap();
        self.rooms[OBSERVER].flush();
        let mut seen = Seen::default();
        let all_have = |this: &Self, _: &Seen| {
            (0..this.rooms.len()).all(|room| this.rooms[room].get(&stone).is_some())
        };
        self.look((&stone, &mut seen), all_have).await;
        let begin = clock.now();
        // By turns, so that neither is always a few microseconds behind.
        for number in 0..CLAIMANTS {
            let claimant = (number + round) % CLAIMANTS;
            let room = &mut self.rooms[claimant];
            room.claim(&stone, Terms::default()).unwrap();
            room.update(&stone, |stone| stone.colour = format!("of {claimant}")).unwrap();
            room.flush();
            assert_eq!(room.ownership_state(&stone), Ownership::Claimed);
        }
        let over = |this: &Self, seen: &Seen| {
            let Some(winner) = (0..CLAIMANTS).find(|room| this.is_confirmed(*room, &stone)) else {
                return false;
            };
            let painted = Some(format!("of {winner}"));
            let peer = this.rooms[winner].peer();
            let remote = Ownership::Remote { peer, confirmed: true };
            let others = [1 - winner, OBSERVER];
            !seen.denied[1 - winner].is_empty()
                && (0..this.rooms.len()).all(|room| this.colour(room, &stone) == painted)
                && others.iter().all(|room| this.rooms[*room].ownership_state(&stone) == remote)
                && clock.now() >= begin + ROUND
        };
        self.look((&stone, &mut seen), over).await;
        let winner = (0..CLAIMANTS).find(|room| self.is_confirmed(*room, &stone)).unwrap();
        self.judge(round, (winner, &stone), &seen);
        (winner, stone)
    }

    /// Whether all was as it should be.
    fn judge(&self, round: usize, (winner, stone): (usize, &ModelRef<Stone>), seen: &Seen) {
        let loser = 1 - winner;
        let (won, lost) = (format!("of {winner}"), format!("of {loser}"));
        let by = self.rooms[winner].peer();
        assert!(seen.denied[winner].is_empty(), "round {round}: {:?}", seen.denied[winner]);
        assert_eq!(seen.denied[loser], [Denial::Raced { by }], "round {round}");
        assert!(!seen.refused[winner] && seen.refused[loser], "round {round}");
        assert!(!seen.after[loser].contains(&lost), "round {round}: {:?}", seen.after[loser]);
        for room in [winner, OBSERVER] {
            assert!(!seen.shown[room].contains(&lost), "round {round}: {:?}", seen.shown[room]);
        }
        // Nor is it there and does not show.
        for room in 0..self.rooms.len() {
            assert_eq!(self.values(room, stone), [Value::Text(won.clone())], "round {round}");
        }
    }
}

/// Plays some rounds, and sees that all is as it should be afterwards, to who comes late too. Returns
/// how often history was cut between rounds.
async fn play(rounds: usize, config: HubConfig) -> usize {
    let mut host = Host::start(config).await;
    let mut rooms = Vec::new();
    for _ in 0..=OBSERVER {
        rooms.push(Box::pin(host.room()).await);
    }
    let mut game = Match { rooms };
    let clock = Clock::new();
    let mut stones = Vec::new();
    let mut epochs = BTreeSet::new();
    for round in 0..rounds {
        stones.push(game.play(round, &clock).await);
        epochs.insert(game.rooms[OBSERVER].log(DocumentId::MODELS).scope().epoch());
    }
    let took = clock.now().since(Time::ZERO);
    for room in &game.rooms {
        let round_trip = room.statistics().round_trip;
        assert!(round_trip >= 2 * DELAY, "the wire is too short: {round_trip:?}");
    }
    let late = Box::pin(host.room()).await;
    game.rooms.push(late);
    for (round, (winner, stone)) in stones.iter().enumerate() {
        let painted = Some(format!("of {winner}"));
        for room in 0..game.rooms.len() {
            assert_eq!(game.colour(room, stone), painted, "round {round}, room {room}");
        }
    }
    let first = stones.iter().filter(|(winner, _)| *winner == 0).count();
    let cuts = epochs.len() - 1;
    tell((rounds, cuts), took, [first, rounds - first]);
    cuts
}

fn full() -> bool {
    env::var_os("PARLOR_FULL").is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_claim_at_once_one_owns_and_nobody_sees_what_the_other_wrote() {
    Box::pin(play(if full() { 1_000 } else { 20 }, HubConfig::default())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_no_different_while_history_is_cut() {
    let often = EpochConfig {
        floor: 256,
        ratio: 1,
        interval: Duration::from_millis(300),
        ..EpochConfig::default()
    };
    let config = HubConfig { epochs: often, ..HubConfig::default() };
    let rounds = if full() { 400 } else { 40 };
    let cuts = Box::pin(play(rounds, config)).await;
    assert!(cuts > rounds / 10, "history was cut only {cuts} times");
}

#[expect(clippy::print_stdout, reason = "what was measured is worth knowing")]
fn tell((rounds, cuts): (usize, usize), took: Duration, won: [usize; CLAIMANTS]) {
    println!("{rounds} rounds and {cuts} cuts in {took:?}: won {} to {}", won[0], won[1]);
}
