//! The room service over sockets: each thing that can be asked, and each way in which clients of other
//! room services are known to go wrong.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use parlor::net::Clock;
use parlor::proto::config::{HubConfig, PeerConfig, ServiceConfig};
use parlor::proto::event::{Event, State};
use parlor::proto::hub::Hub;
use parlor::proto::id::{AppKey, Identity, RoomName};
use parlor::proto::reason::{Reason, Refusal};
use parlor::proto::token::{
    Claims, Role, TokenConfig, TokenFault, TokenLimits, TokenRing, TokenSecret,
};
use parlor::room::{ConnectError, ConnectOptions, Room};
use parlor::{
    Answer, Door, Entrance, Fact, Group, Invite, LeaveReason, Lobby, LobbyOptions, Opening, PeerId,
    Policy, Request, RequestError, RoomId, ServiceError,
};

use super::{Host, LISTEN, Table, equal, until, within};

impl Host {
    fn options(&self, name: &str, who: u8) -> ConnectOptions {
        let addresses: Vec<&str> = self.addresses.iter().map(String::as_str).collect();
        let mut options = ConnectOptions::new(name, "end to end", &addresses);
        options.identity = Some(identity(who));
        options
    }

    fn enter(&self, name: &str, who: u8, entrance: Entrance) -> Room<Table> {
        Room::connect(ConnectOptions { entrance, ..self.options(name, who) }).unwrap()
    }

    /// Boxed, as the other helpers are, because rooms are large.
    fn opened(&self, name: &str, who: u8, opening: Opening) -> Boxed<Room<Table>> {
        let mut room = self.enter(name, who, Entrance { opening, ..Entrance::default() });
        Box::pin(async move {
            within(room.ready()).await.unwrap();
            room
        })
    }

    fn inside(&self, name: &str, who: u8) -> Boxed<Room<Table>> {
        self.opened(name, who, Opening::default())
    }

    /// Why somebody is not let in.
    fn refusal(&self, name: &str, who: u8, entrance: Entrance) -> Boxed<Refusal> {
        let mut room = self.enter(name, who, entrance);
        Box::pin(async move { refusal(&mut room).await })
    }

    fn lobby(&self, who: u8) -> Lobby {
        let addresses: Vec<&str> = self.addresses.iter().map(String::as_str).collect();
        let mut options = LobbyOptions::new("end to end", &addresses);
        options.identity = Some(identity(who));
        Lobby::new(options).unwrap()
    }

    /// Ends the relay, and returns how many are in its rooms.
    async fn members(mut self) -> Vec<(String, usize)> {
        drop(self.stop.take());
        let hub: Hub = self.tasks.join_next().await.unwrap().unwrap();
        hub.rooms().map(|((_, name), members)| (name.to_string(), members)).collect()
    }
}

type Boxed<T> = Pin<Box<dyn Future<Output = T>>>;

async fn start(config: HubConfig) -> Host {
    Box::pin(Host::start(&Identity::from_seed([1; 32]), &LISTEN, config)).await
}

fn identity(who: u8) -> Identity {
    Identity::from_seed([who; 32])
}

fn peer(who: u8) -> PeerId {
    identity(who).peer()
}

async fn refusal(room: &mut Room<Table>) -> Refusal {
    match within(room.ready()).await {
        Err(Reason::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

async fn done(room: &mut Room<Table>, request: Request) {
    assert_eq!(within(room.request(&request)).await, Ok(Answer::Done), "{request:?}");
}

fn refused(error: ServiceError) -> Result<Answer, RequestError> {
    Err(RequestError::Refused(error))
}

fn events(room: &mut Room<Table>) -> Vec<Event> {
    std::iter::from_fn(|| room.poll_event()).collect()
}

/// Lets a room run until it is told something.
async fn told(room: &mut Room<Table>, is_it: impl Fn(&Event) -> bool) {
    within(async {
        loop {
            if events(room).iter().any(&is_it) {
                break;
            }
            room.wait(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_says_what_its_room_is_and_everybody_is_told() {
    let host = start(HubConfig::default()).await;
    let opening = Opening { description: "ours".to_owned(), ..Opening::default() };
    let mut owner = host.opened("room", 2, opening).await;
    let mut guest = host.inside("room", 3).await;
    assert_eq!(guest.record().unwrap().owner, Some(peer(2)));
    assert_eq!(guest.record().unwrap().description, "ours");
    let put = |value: Option<&str>| Request::Put {
        key: "map".to_owned(),
        value: value.map(ToOwned::to_owned),
    };
    done(&mut owner, Request::Describe("still ours".to_owned())).await;
    done(&mut owner, put(Some("island"))).await;
    done(&mut owner, Request::SetCapacity(9)).await;
    done(&mut owner, Request::SetListed(true)).await;
    told(&mut guest, |event| *event == Event::Room(Fact::Listed)).await;
    let record = guest.record().unwrap();
    assert_eq!((record.description.as_str(), record.capacity), ("still ours", 9));
    assert_eq!(record.data["map"], "island");
    done(&mut owner, put(None)).await;
    let fact = Event::Room(Fact::Data { key: "map".to_owned() });
    told(&mut guest, |event| *event == fact).await;
    assert!(guest.record().unwrap().data.is_empty());
    let who = parlor::Right::Moderator;
    let denied = within(guest.request(&put(Some("mine")))).await;
    assert_eq!(denied, refused(ServiceError::NotAllowed { who }));
    done(&mut owner, Request::HandOver(peer(3))).await;
    told(&mut guest, |event| *event == Event::Room(Fact::Owner)).await;
    done(&mut guest, put(Some("mine"))).await;
    drop(owner);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_says_why_it_stays_shut() {
    let host = start(HubConfig::default()).await;
    let plain = Entrance::default;
    let only = || Entrance { create: false, ..Entrance::default() };
    assert_eq!(host.refusal("absent", 3, only()).await, Refusal::NoSuchRoom);
    let secret = Opening { password: Some("open".to_owned()), ..Opening::default() };
    let _owner = host.opened("secret", 2, secret).await;
    let with = |password: &str| Entrance { password: Some(password.to_owned()), ..plain() };
    assert_eq!(host.refusal("secret", 3, plain()).await, Refusal::WrongPassword);
    assert_eq!(host.refusal("secret", 3, with("shut")).await, Refusal::WrongPassword);
    within(host.enter("secret", 3, with("open")).ready()).await.unwrap();
    let small = Opening { capacity: Some(1), ..Opening::default() };
    let _other = host.opened("small", 12, small).await;
    let mut options = host.options("small", 3);
    options.config = PeerConfig { attempts: 1, ..PeerConfig::default() };
    let full = within(Room::<Table>::connect(options).unwrap().ready()).await.unwrap_err();
    assert!(full.to_string().contains("full (1 members)"), "{full}");
    let mut locked = host.inside("locked", 13).await;
    done(&mut locked, Request::Lock(true)).await;
    assert_eq!(host.refusal("locked", 3, plain()).await, Refusal::Locked);
    let nobody = Opening { policy: Policy::Nobody, ..Opening::default() };
    let _closed = host.opened("closed", 14, nobody).await;
    assert_eq!(host.refusal("closed", 3, plain()).await, Refusal::Locked);
    // What it may not know of, and does not mean to open, is not there for it.
    assert_eq!(host.refusal("closed", 3, only()).await, Refusal::NoSuchRoom);
    let opening = Opening { capacity: Some(10_000), ..Opening::default() };
    let why = ServiceError::OutOfRange { limit: 128, number: 10_000 };
    let bad = host.refusal("bad", 3, Entrance { opening, ..plain() }).await;
    assert_eq!(bad, Refusal::BadOpening { why });
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_lets_one_in() {
    let host = start(HubConfig::default()).await;
    let invited = Opening { policy: Policy::Invited, ..Opening::default() };
    let mut owner = host.opened("room", 2, invited).await;
    assert_eq!(host.refusal("room", 3, Entrance::default()).await, Refusal::NotInvited);
    let valid = Duration::from_secs(60);
    let make = Request::Invite { peer: Some(peer(3)), uses: 1, valid };
    let Ok(Answer::Invite(invite)) = within(owner.request(&make)).await else {
        panic!("no invite")
    };
    let with = |invite: Invite| Entrance { invite: Some(invite), ..Entrance::default() };
    // As it is told by one person to another.
    let invite: Invite = invite.to_string().parse().unwrap();
    assert_eq!(host.refusal("room", 4, with(invite)).await, Refusal::NotInvited);
    within(host.enter("room", 3, with(invite)).ready()).await.unwrap();
    let Ok(Answer::Invite(other)) = within(owner.request(&make)).await else { panic!("no invite") };
    done(&mut owner, Request::Withdraw(other)).await;
    let again = within(owner.request(&Request::Withdraw(other))).await;
    assert_eq!(again, refused(ServiceError::NoSuchInvite));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_put_out_is_told_and_stays_out() {
    let host = start(HubConfig::default()).await;
    let mut owner = host.inside("room", 2).await;
    let mut guest = host.inside("room", 3).await;
    let ban = Duration::from_secs(60);
    let oneself = within(owner.request(&Request::Kick { peer: peer(2), ban })).await;
    assert_eq!(oneself, refused(ServiceError::Oneself));
    let absent = within(owner.request(&Request::Kick { peer: peer(9), ban })).await;
    assert_eq!(absent, refused(ServiceError::NotMember { peer: peer(9) }));
    done(&mut owner, Request::Kick { peer: peer(3), ban }).await;
    told(&mut guest, |event| matches!(event, Event::State(State::Closed(_)))).await;
    let why = State::Closed(Reason::Refused(Refusal::Kicked { ban_s: 60 }));
    assert_eq!(*guest.state(), why);
    told(&mut owner, |event| {
        matches!(event, Event::Left { reason: LeaveReason::Kicked, member } if member.peer == peer(3))
    })
    .await;
    match host.refusal("room", 3, Entrance::default()).await {
        Refusal::Banned { retry_after_s } => assert!((50..=60).contains(&retry_after_s)),
        other => panic!("{other:?}"),
    }
    done(&mut owner, Request::Pardon(peer(3))).await;
    let again = within(owner.request(&Request::Pardon(peer(3)))).await;
    assert_eq!(again, refused(ServiceError::NotBanned { peer: peer(3) }));
    host.inside("room", 3).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_are_listed_and_found_by_who_is_in_none() {
    let host = start(HubConfig::default()).await;
    let of = |description: &str| Opening {
        listed: true,
        description: description.to_owned(),
        ..Opening::default()
    };
    let mut rooms = Vec::new();
    for (who, name) in (2..).zip(["a", "b", "c"]) {
        rooms.push(host.opened(name, who, of(name)).await);
    }
    rooms.push(host.inside("hidden", 9).await);
    let mut lobby = host.lobby(3);
    let first = within(lobby.list(0, 2)).await.unwrap();
    assert_eq!((first.total, first.more, first.rooms.len()), (3, true, 2));
    assert_eq!(first.rooms[1].door, Door::Inside, "this identity is in it");
    assert_eq!(first.rooms[0].door, Door::Open);
    let last = within(lobby.list(1, 2)).await.unwrap();
    assert_eq!((last.more, last.rooms[0].description.as_str()), (false, "c"));
    let limit = RequestError::Refused(ServiceError::OutOfRange { limit: 20, number: 21 });
    assert_eq!(within(lobby.list(0, 21)).await, Err(limit));
    let id = rooms[0].record().unwrap().id;
    let found = within(lobby.find(id)).await.unwrap();
    assert_eq!((found.name.as_str(), found.owner), ("a", Some(peer(2))));
    let none = RequestError::Refused(ServiceError::NoSuchRoom);
    assert_eq!(within(lobby.find(RoomId([0; 8]))).await, Err(none.clone()));
    assert_eq!(within(lobby.peek(&RoomName::new("absent").unwrap())).await, Err(none));
    // By its id into it.
    host.inside(found.name.as_str(), 7).await;
    // Somebody who is in a room asks as well.
    let page = within(rooms[3].request(&Request::List { page: 0, size: 20 })).await;
    assert!(matches!(page, Ok(Answer::Page(page)) if page.total == 4));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_fill_a_room_and_then_another() {
    let host = start(HubConfig::default()).await;
    let group: Group = "duel".parse().unwrap();
    let mut rooms: Vec<Room<Table>> = Vec::new();
    for who in 2..7 {
        let seat = within(host.lobby(who).seat(&group, 2)).await.unwrap();
        assert_eq!(seat.fresh, who % 2 == 0);
        let entrance = Entrance { create: false, ..Entrance::default() };
        let mut room = host.enter(seat.room.as_str(), who, entrance);
        within(room.ready()).await.unwrap();
        let record = room.record().unwrap();
        assert_eq!((record.capacity, record.group.clone()), (2, Some((group.clone(), seat.code))));
        rooms.push(room);
    }
    // Another comes in by group and code, if there is a place.
    let (_, code) = rooms[4].record().unwrap().group.clone().unwrap();
    host.inside(group.room(code).as_str(), 20).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_members_say_of_themselves_is_there_when_one_is_ready() {
    let host = start(HubConfig::default()).await;
    let mut owner = host.inside("room", 2).await;
    owner.set_presence("place", Some("hall".into()), None).unwrap();
    owner.set_presence("typing", Some("yes".into()), Some(Duration::from_secs(2))).unwrap();
    let mut guest = host.inside("room", 3).await;
    let client = owner.client().unwrap();
    let said: Vec<String> = guest.presence(client).map(|(key, _)| key.to_owned()).collect();
    assert_eq!(said, ["place", "typing"]);
    told(
        &mut guest,
        |event| matches!(event, Event::Presence { key, value: None, .. } if key == "typing"),
    )
    .await;
    assert_eq!(guest.presence(client).count(), 1);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_before_it_is_in_is_never_in() {
    let host = start(HubConfig::default()).await;
    let mut witness = host.inside("room", 2).await;
    for wait in [0, 1, 3, 10, 30, 100] {
        let mut room = host.enter("room", 3, Entrance::default());
        room.wait(Duration::from_millis(wait)).await;
        room.leave();
        assert_eq!(*room.state(), State::Closed(Reason::Left));
        // Leaving twice, or what comes late, changes nothing.
        room.leave();
        room.wait(Duration::from_millis(200)).await;
        assert_eq!(*room.state(), State::Closed(Reason::Left));
        let back = events(&mut room);
        assert!(!back.contains(&Event::State(State::Ready)) || wait > 0, "{back:?}");
    }
    until(std::slice::from_mut(&mut witness), |rooms| rooms[0].members().count() == 1).await;
    witness.leave();
    drop(witness);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let members: usize = host.members().await.into_iter().map(|(_, members)| members).sum();
    assert_eq!(members, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_from_room_to_room_is_in_the_last_alone() {
    let host = start(HubConfig::default()).await;
    for _ in 0..5 {
        let mut first = host.enter("first", 2, Entrance::default());
        first.wait(Duration::from_millis(5)).await;
        first.leave();
    }
    let mut second = host.inside("second", 2).await;
    // What is told of one room is of that room.
    let mut other = host.inside("third", 3).await;
    done(&mut other, Request::Describe("third".to_owned())).await;
    second.wait(Duration::from_millis(100)).await;
    assert_eq!(second.record().unwrap().name.as_str(), "second");
    assert_eq!(second.record().unwrap().description, "");
    let left = events(&mut second).into_iter().any(|event| matches!(event, Event::Left { .. }));
    assert!(!left, "nobody is said to have left who was not there");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let in_first = host.members().await.into_iter().find(|(name, _)| name == "first");
    assert_eq!(in_first.map_or(0, |(_, members)| members), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_that_fails_ends_and_can_be_tried_again() {
    let host = start(HubConfig::default()).await;
    let mut owner = host.inside("room", 2).await;
    done(&mut owner, Request::Lock(true)).await;
    let mut room = host.enter("room", 3, Entrance::default());
    assert_eq!(refusal(&mut room).await, Refusal::Locked);
    assert_eq!(room.members().count(), 0);
    assert_eq!(room.ask(&Request::Lock(false)), Err(RequestError::Offline));
    // What is edited stays, and the same room comes in when it may.
    room.update_root(|table: &mut Table| table.title = "kept".to_owned()).unwrap();
    done(&mut owner, Request::Lock(false)).await;
    let addresses = host.addresses.clone();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    room.go_online(&addresses).unwrap();
    assert!(matches!(room.go_online(&addresses), Err(ConnectError::Online)));
    within(room.ready()).await.unwrap();
    let mut rooms = [owner, room];
    until(&mut rooms, |rooms| equal(rooms) && rooms[0].root().title == "kept").await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tries_end_and_begin_again_when_asked() {
    let host = start(HubConfig::default()).await;
    let address = host.addresses[0].clone();
    let mut options = host.options("room", 2);
    options.config =
        PeerConfig { attempts: 2, backoff: Duration::from_millis(20), ..PeerConfig::default() };
    // Nobody is there.
    options.relay = vec![address.replace("127.0.0.1", "127.0.0.3").replace("/udp/", "/tcp/")];
    options.relay = vec![options.relay[0].replace("/quic-v1", "")];
    let mut room = Room::<Table>::connect(options).unwrap();
    let reason = within(room.ready()).await.unwrap_err();
    assert!(matches!(reason, Reason::GaveUp { attempts: 2, .. }), "{reason}");
    for _ in 0..2 {
        room.go_online(&[&address]).unwrap();
        within(room.ready()).await.unwrap();
        room.leave();
        room.wait(Duration::from_millis(50)).await;
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_link_is_no_exit() {
    let identity = Identity::from_seed([1; 32]);
    let service = ServiceConfig { seat: Duration::from_secs(5), ..ServiceConfig::default() };
    let host = start(HubConfig { service: service.clone(), ..HubConfig::default() }).await;
    let mut room = host.opened("room", 2, Opening::default()).await;
    room.set_presence("place", Some("hall".into()), None).unwrap();
    let listen: Vec<String> = host.addresses.clone();
    host.stop().await;
    told(&mut room, |event| matches!(event, Event::State(State::Reconnecting { .. }))).await;
    let state = room.state().clone();
    assert!(matches!(state, State::Reconnecting { .. }), "it is known from the end: {state:?}");
    assert!(room.record().is_some(), "what the room was is not forgotten");
    assert_eq!(room.ask(&Request::Lock(true)), Err(RequestError::Offline));
    // The relay comes back at the same addresses, with nothing.
    let listen: Vec<String> = listen.iter().map(|address| local(address)).collect();
    let listen: Vec<&str> = listen.iter().map(String::as_str).collect();
    let host = Host::start(&identity, &listen, HubConfig { service, ..HubConfig::default() }).await;
    within(room.ready()).await.unwrap();
    assert_eq!(room.record().unwrap().owner, Some(peer(2)));
    let guest = host.inside("room", 3).await;
    let said: Vec<&str> = guest.presence(room.client().unwrap()).map(|(key, _)| key).collect();
    assert_eq!(said, ["place"]);
    host.stop().await;
}

/// An address without who is there.
fn local(address: &str) -> String {
    address.split("/p2p/").next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_answers_and_it_is_said() {
    let mut options = LobbyOptions::new(
        "end to end",
        &["/ip4/127.0.0.3/tcp/9/p2p/12D3KooWSCufgHzV4fCwRijfH2k3abrpAJxTKxEvN1FDuRXA2U9x"],
    );
    options.identity = Some(identity(2));
    let mut lobby = Lobby::new(options).unwrap();
    let error = within(lobby.list(0, 1)).await.unwrap_err();
    assert!(matches!(error, RequestError::NoLink(_)), "{error}");
    let host = start(HubConfig::default()).await;
    let addresses: Vec<&str> = host.addresses.iter().map(String::as_str).collect();
    let mut stranger = Lobby::new(LobbyOptions::new("another key", &addresses)).unwrap();
    let error = within(stranger.list(0, 1)).await.unwrap_err();
    let unknown = Reason::Refused(Refusal::UnknownApp);
    assert_eq!(error, RequestError::NoLink(Box::new(unknown)));
    host.stop().await;
}

/// What peer 2 may do for so many seconds from now on.
fn token(seconds: u64) -> String {
    let now = Clock::unix_micros() / 1_000_000;
    let claims = Claims {
        app: AppKey::new("end to end").unwrap().app(),
        peer: peer(2),
        rooms: "room".parse().unwrap(),
        roles: [Role::Join, Role::Write].into_iter().collect(),
        limits: TokenLimits::default(),
        not_before: now - 5,
        expires: now + seconds,
        id: format!("until {}", now + seconds),
    };
    secret().issue(&claims, &TokenConfig::default()).unwrap()
}

fn secret() -> TokenSecret {
    TokenSecret::from_seed([8; 32]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_renewed_and_never_said_again() {
    let (leeway, warning) = (Duration::ZERO, Duration::from_secs(3));
    let config = TokenConfig { leeway, warning, ..TokenConfig::default() };
    let mut ring = TokenRing::new(config);
    ring.insert(secret().public().clone()).unwrap();
    let ask = move |hub: &mut Hub| {
        hub.require_tokens(AppKey::new("end to end").unwrap().app(), ring.clone());
    };
    let id = Identity::from_seed([1; 32]);
    let host = Box::pin(Host::start_with(&id, &LISTEN, HubConfig::default(), ask)).await;
    let with = |token: String| Entrance { token: Some(token), ..Entrance::default() };
    let missing = Refusal::Token { why: TokenFault::Missing };
    assert_eq!(host.refusal("room", 2, Entrance::default()).await, missing);
    let stolen = Refusal::Token { why: TokenFault::OtherPeer };
    assert_eq!(host.refusal("room", 3, with(token(60))).await, stolen);
    let elsewhere = Refusal::Token { why: TokenFault::OtherRoom };
    assert_eq!(host.refusal("other", 2, with(token(60))).await, elsewhere);
    let mut room = host.enter("room", 2, with(token(4)));
    within(room.ready()).await.unwrap();
    told(&mut room, |event| matches!(event, Event::TokenEnds { .. })).await;
    done(&mut room, Request::Renew(token(60))).await;
    let renewed = Clock::unix_micros();
    while Clock::unix_micros() < renewed + 5_000_000 {
        room.wait(Duration::from_millis(100)).await;
        assert_eq!(*room.state(), State::Ready);
    }
    // The first one is over: it comes back with the second.
    room.leave();
    let addresses: Vec<&str> = host.addresses.iter().map(String::as_str).collect();
    room.go_online(&addresses).unwrap();
    within(room.ready()).await.unwrap();
    host.stop().await;
}
