//! `session.json`: what happens between a relay and its peers.

use automerge::Change;
use bytes::Bytes;
use parlor::proto::change::{Action, Change as Written, ObjectId, OpId, Operation, chunk};
use parlor::proto::config::{HubConfig, Limits};
use parlor::proto::datastore::Datastore;
use parlor::proto::delta::record::{self, Follows, Kind, Record};
use parlor::proto::event::State;
use parlor::proto::id::{AppId, DocumentId, Lane, Link};
use parlor::proto::model::Model;
use parlor::proto::model::value::Value as Held;
use parlor::proto::proof::{Side, prove};
use parlor::proto::reason::{Reason, Version};
use parlor::proto::wire::bounded::{Blob, Line, List};
use parlor::proto::wire::encode;
use parlor::proto::wire::message::{
    EntryRecord, Hello, Introduction, Join, Made, Message, ParentRecord, WellKnownRecord,
};
use serde::Serialize;
use serde_json::Value;

use crate::epochs::at;
use crate::owners::owners;
use crate::passages;
use crate::rooms;
use crate::session::Rig;
use crate::signals::signals;
use crate::stage::{APP_KEY, RELAY, ROOM, app_key, author, identity, peer, room, scope};
use crate::vectors::check;
use crate::world::{Item, Lobby};

#[derive(Serialize)]
pub(crate) struct Case {
    name: &'static str,
    why: &'static str,
    setup: Setup,
    steps: Vec<Value>,
}

/// What holds of every case.
#[derive(Serialize)]
struct Setup {
    app_key: &'static str,
    room: &'static str,
    relay_seed: String,
    peer_1_seed: String,
    peer_2_seed: String,
    script_seed: String,
    latency_us: u64,
    left_out: &'static str,
}

pub(crate) fn case(name: &'static str, why: &'static str, rig: Rig) -> Case {
    let [first, second] = match name {
        "replaced" => [1, 1],
        // There the script is the peer of the first seed.
        "refused-change" | "forged-grant" | "signals-early" | "signals-large" | "signals-again"
        | "room-old-peer" | "visit-list" | "visit-wrong-proof" | "signals-forged"
        | "signals-older" | "cast-again" | "cast-large" | "cast-forged" => [2, 1],
        _ => [1, 2],
    };
    let setup = Setup {
        app_key: APP_KEY,
        room: ROOM,
        relay_seed: hex::encode(identity(RELAY).to_seed()),
        peer_1_seed: hex::encode([first; 32]),
        peer_2_seed: hex::encode([second; 32]),
        script_seed: hex::encode([1; 32]),
        latency_us: 1_000,
        left_out: "every ping and pong of a link but the first",
    };
    Case { name, why, setup, steps: rig.steps }
}

#[test]
fn sessions() {
    let cases = [
        meetings(),
        passages::epochs(),
        refusals(),
        strangers(),
        members(),
        owners(),
        signals(),
        rooms::sessions(),
    ];
    check("session.json", &cases.into_iter().flatten().collect::<Vec<_>>());
}

fn rig() -> Rig {
    Rig::new(HubConfig::default(), APP_KEY)
}

pub(crate) fn add_lamp(rig: &mut Rig, place: usize) {
    rig.act(place, "adds the item lamp, 3", |peer, now| {
        let items = peer.store().root::<Lobby>().unwrap().items.clone();
        let lamp = Item { label: "lamp".to_owned(), count: 3 };
        items.add(peer.store_mut(), lamp).unwrap();
        peer.tick(now);
    });
}

fn meetings() -> Vec<Case> {
    vec![
        case(
            "join",
            "one peer: hello, join, welcome, a first change, its signature, goodbye",
            alone(),
        ),
        case(
            "late-joiner",
            "a second peer gets a snapshot, edits, and sees the first one leave",
            late(),
        ),
        case("offline-edits", "a peer that edited before it came brings it along", offline()),
    ]
}

fn alone() -> Rig {
    let mut rig = rig();
    let peer = rig.add(1, 1);
    rig.connect(peer);
    rig.run(100);
    add_lamp(&mut rig, peer);
    rig.run(2_200);
    rig.act(peer, "leaves", |peer, now| peer.leave(now));
    rig.run(2_210);
    rig
}

fn late() -> Rig {
    let mut rig = rig();
    let first = rig.add(1, 1);
    rig.connect(first);
    rig.run(100);
    add_lamp(&mut rig, first);
    rig.run(1_100);
    let second = rig.add(2, 1);
    rig.connect(second);
    rig.run(1_200);
    rig.act(second, "writes h\u{e9} into the notes", |peer, now| {
        let notes = peer.store().root::<Lobby>().unwrap().notes.clone();
        notes.insert(peer.store_mut(), 0, "h\u{e9}").unwrap();
        peer.tick(now);
    });
    rig.run(2_300);
    assert_eq!(rig.peers[0].store().state_hash(), rig.peers[1].store().state_hash());
    rig.act(first, "leaves", |peer, now| peer.leave(now));
    rig.run(2_310);
    rig
}

fn offline() -> Rig {
    let mut rig = rig();
    let peer = rig.add(1, 1);
    add_lamp(&mut rig, peer);
    rig.run(10);
    rig.connect(peer);
    rig.run(200);
    rig
}

/// A peer that connects to a relay with a configuration that serves a key.
fn one(config: HubConfig, key: &str) -> Rig {
    let mut rig = Rig::new(config, key);
    let peer = rig.add(1, 1);
    rig.connect(peer);
    rig.run(20);
    rig
}

/// The same, and then another peer with the identity of a seed.
fn two(config: HubConfig, seed: u8) -> Rig {
    let mut rig = one(config, APP_KEY);
    rig.run(50);
    let second = rig.add(seed, 2);
    rig.connect(second);
    rig.run(60);
    rig
}

fn refusals() -> Vec<Case> {
    let config = HubConfig::default;
    let unknown = one(config(), "another key");
    let full = two(HubConfig { members: 1, ..config() }, 2);
    let relay_full = one(HubConfig { rooms: 0, ..config() }, APP_KEY);
    let limited = one(HubConfig { joins_per_minute: 0, ..config() }, APP_KEY);
    let mut ending = one(config(), APP_KEY);
    let now = ending.now;
    ending.hub.shut_down(now);
    ending.run(22);
    let wait = "nobody may join this minute; the peer waits as long as it is told";
    vec![
        case("unknown-app", "the relay serves another application", unknown),
        case("room-full", "a room of one; the peer tries again", full),
        case("relay-full", "a relay of no rooms; the peer tries again", relay_full),
        case("replaced", "the second has the identity of the first", two(config(), 1)),
        case("rate-limited", wait, limited),
        case("wrong-relay-version", "a relay's frame of another major version", newer_relay()),
        case("shutting-down", "the relay ends; the peer tries again at once", ending),
    ]
}

/// A peer whose relay says something in another major version.
fn newer_relay() -> Rig {
    let mut rig = one(HubConfig::default(), APP_KEY);
    rig.hears(0, Lane::Control, Bytes::from_static(&[3, 0]));
    rig.run(25);
    rig
}

/// A frame that nobody sends.
fn nobodys() -> Bytes {
    let entries = List::of([]);
    encode(&Message::Changes { document: DocumentId::MODELS, first: 0, entries })
}

/// A peer whose relay says something that nobody sends.
fn misled() -> Rig {
    let mut rig = one(HubConfig::default(), APP_KEY);
    rig.hears(0, Lane::Document, nobodys());
    rig.run(25);
    assert!(matches!(rig.peers[0].state(), State::Closed(Reason::RelayFault { .. })));
    rig
}

pub(crate) fn hello() -> Hello {
    Hello { version: Version::CURRENT, nonce: [7; 16], app: app_key().app(), schema: [0; 8] }
}

/// The join of the script that was greeted with a nonce.
fn join(greeting: &Hello) -> Join {
    let nonces = (&[7; 16], &greeting.nonce);
    Join {
        room: Line::new(ROOM).unwrap(),
        proof: prove(&app_key(), Side::Peer, (peer(1), peer(RELAY)), nonces, room().as_str()),
        metadata: Blob::default(),
        incarnation: 1,
        known: List::of([]),
    }
}

/// A script that greets with `hello`, joins with what `join` makes of a good join, then says `more`.
fn scripted(hello: &Hello, join: Option<fn(Join) -> Join>, more: &[(Lane, Bytes)]) -> Rig {
    let mut rig = rig();
    let link = rig.script(1);
    rig.says(link, Lane::Control, encode(&Message::Hello(hello.clone())));
    rig.run(5);
    if let Some(join) = join {
        let message = join(self::join(rig.greeting.as_ref().unwrap()));
        rig.says(link, Lane::Control, encode(&Message::Join(message)));
        rig.run(10);
    }
    for (lane, frame) in more {
        rig.says(link, *lane, frame.clone());
        let soon = rig.now.as_micros() / 1_000 + 5;
        rig.run(soon);
    }
    rig
}

/// A script greets and joins, as time passes.
pub(crate) fn greet(rig: &mut Rig) -> Link {
    greet_as(rig, hello())
}

/// The same with another hello.
pub(crate) fn greet_as(rig: &mut Rig, hello: Hello) -> Link {
    let (link, _) = shake(rig, hello);
    let join = join(rig.greeting.as_ref().unwrap());
    rig.says(link, Lane::Control, encode(&Message::Join(join)));
    link
}

/// A script greets. Returns its nonce and the relay's.
pub(crate) fn shake(rig: &mut Rig, hello: Hello) -> (Link, ([u8; 16], [u8; 16])) {
    let link = rig.script(1);
    rig.says(link, Lane::Control, encode(&Message::Hello(hello.clone())));
    let soon = rig.now.as_micros() / 1_000 + 5;
    rig.run(soon);
    (link, (hello.nonce, rig.greeting.as_ref().unwrap().nonce))
}

/// A frame of entries of document 0 from a position on.
pub(crate) fn entries(first: u16, entries: &[EntryRecord]) -> (Lane, Bytes) {
    let record = |entry| {
        let body = postcard::to_allocvec(entry).unwrap();
        Record::new(Kind::Entry, Follows::Previous, 0, body)
    };
    let records = record::join(&entries.iter().map(record).collect::<Vec<_>>());
    let records = Blob::new(records).unwrap();
    let message = Message::Deltas { document: DocumentId::MODELS, position: first, records };
    (Lane::Document, encode(&message))
}

/// What the peer of a seed writes to give the lobby a title, and its word for that.
fn titled(seed: u8, title: &str) -> Vec<EntryRecord> {
    let shape = Lobby::shape();
    let mut store = Datastore::new(&scope(), author(seed), shape, Limits::default(), 16);
    store.update_root(|lobby: &mut Lobby| title.clone_into(&mut lobby.title)).unwrap();
    store.flush();
    let log = store.log(DocumentId::MODELS);
    let last = log.entry(log.len() - 1).unwrap();
    let word = (last.actor, last.sequence, last.hash);
    let signature = scope().sign(&identity(seed), DocumentId::MODELS, word);
    let records = (0..log.len()).filter_map(|place| log.record(place));
    records.chain([EntryRecord::Signed(signature)]).collect()
}

/// The position behind entries.
fn behind(entries: &[EntryRecord]) -> u16 {
    entries.len().try_into().unwrap()
}

/// The same entries, with another introduction of their author.
fn introduced(entries: &[EntryRecord], introduction: Option<Introduction>) -> Vec<EntryRecord> {
    let entry = |entry: &EntryRecord| match entry {
        EntryRecord::Authored { bytes, .. } => {
            EntryRecord::Authored { introduction, bytes: bytes.clone() }
        }
        other => other.clone(),
    };
    entries.iter().map(entry).collect()
}

/// A well-known map in the title that was written: its parent is no map.
fn within(entries: &[EntryRecord]) -> (Lane, Bytes) {
    let bytes = entries.iter().find_map(|entry| match entry {
        EntryRecord::Authored { bytes, .. } => Some(bytes),
        _ => None,
    });
    let change = Change::try_from(&bytes.unwrap()[..]).unwrap();
    let parent = ParentRecord {
        actor: change.actor_id().to_bytes().try_into().unwrap(),
        counter: change.start_op().get(),
        change: change.hash().0,
    };
    let key = Line::new("1").unwrap();
    let record = WellKnownRecord { parent: Some(parent), key, made: Made::Map };
    self::entries(behind(entries), &[EntryRecord::WellKnown(record)])
}

/// A change that puts a value, and then does what no peer does.
fn crafted(operation: fn(OpId) -> Operation) -> Vec<EntryRecord> {
    let introduction = author(1);
    let actor = scope().actor(&introduction);
    let first = OpId { counter: 1, actor };
    let value = || Action::Put(Held::Null);
    let put = at(ObjectId::Root, "1", value(), &[]);
    let operations = vec![put, operation(first)];
    let change =
        chunk::encode(Written { actor, sequence: 1, start: 1, deps: Vec::new(), operations });
    let bytes = Blob::new(change.bytes).unwrap();
    vec![EntryRecord::Authored { introduction: Some(introduction), bytes }]
}

fn text(_: OpId) -> Operation {
    at(ObjectId::Root, "2", Action::MakeText, &[])
}

fn nowhere(first: OpId) -> Operation {
    at(ObjectId::Made(first), "2", Action::Put(Held::Null), &[])
}

fn elsewhere(first: OpId) -> Operation {
    at(ObjectId::Root, "2", Action::Put(Held::Null), &[first])
}

/// Links that do not get in.
fn strangers() -> Vec<Case> {
    let newer = Hello { version: Version { major: 3, minor: 0 }, ..hello() };
    let stranger = Hello { app: AppId([0; 8]), ..hello() };
    let joined = |join| scripted(&hello(), Some(join), &[]);
    let wrong = joined(|join| Join { proof: [0; 32], ..join });
    let spelled = joined(|join| Join { room: Line::new("cafe\u{301}").unwrap(), ..join });
    let long = joined(|join| Join { metadata: Blob::new(vec![0; 4_097].into()).unwrap(), ..join });
    let frame = [(Lane::Control, Bytes::from_static(&[3, 4]))];
    let mut silent = rig();
    silent.script(1);
    silent.run(5_001);
    let early_why = "is passed over: the hello will be said again";
    vec![
        case("wrong-major", "a hello of another major version", scripted(&newer, None, &[])),
        case("wrong-frame-version", "a frame of another", scripted(&hello(), None, &frame)),
        case("no-app", "an application that nobody has", scripted(&stranger, None, &[])),
        case("wrong-proof", "the app key was not known", wrong),
        case("name-not-normal", "a room's name that is not in normal form C", spelled),
        case("metadata-too-long", "4,097 bytes where 4,096 are allowed", long),
        case("handshake-timeout", "a link on which nothing is said for 5 s", silent),
        case("join-before-hello", early_why, early()),
    ]
}

/// What members may and may not say.
fn members() -> Vec<Case> {
    let good = |more: &[(Lane, Bytes)]| scripted(&hello(), Some(|join| join), more);
    let control = |message: &[u8]| (Lane::Control, Bytes::copy_from_slice(message));
    let pong = encode(&Message::Pong { sent: 0, room_time: 0 });
    let nobodys = (Lane::Document, nobodys());
    let leave = (Lane::Control, encode(&Message::Leave));
    let garbage = Blob::new(Bytes::from_static(b"no change")).unwrap();
    let garbage = [EntryRecord::Authored { introduction: None, bytes: garbage }];
    let (one, other) = (titled(1, "one"), titled(1, "other"));
    let twice_written = [entries(0, &one), entries(behind(&one), &other)];
    let unknown = introduced(&one, None);
    let foreign = introduced(&one, Some(Introduction { incarnation: 2, ..author(1) }));
    let parent_why = "a well-known map in what a change put as a value; it only stands in maps";
    let gap_why = "entries from position 5 on when 0 was expected: none is used";
    vec![
        case("not-a-message", "a variant that does not exist", good(&[control(&[2, 99])])),
        case("wrong-lane", "a leave on the control lane", good(&[leave])),
        case("relays-message", "a message that only relays send", good(&[control(&pong)])),
        case("nobodys-message", "a message that nobody sends", good(&[nobodys])),
        case("nobodys-message-heard", "the same from a relay", misled()),
        case("join-again", "the answer is said again", twice()),
        case("no-change", "bytes that are no change", good(&[entries(0, &garbage)])),
        case("no-introduction", "the first change of nobody", good(&[entries(0, &unknown)])),
        case("false-introduction", "another's incarnation", good(&[entries(0, &foreign)])),
        case("wrong-parent", parent_why, good(&[entries(0, &one), within(&one)])),
        case("wrong-operation", "a text in the models", good(&[entries(0, &crafted(text))])),
        case(
            "wrong-place",
            "a value in what no change made",
            good(&[entries(0, &crafted(nowhere))]),
        ),
        case(
            "wrong-predecessor",
            "it replaces a value of another key",
            good(&[entries(0, &crafted(elsewhere))]),
        ),
        case("gap", gap_why, good(&[entries(5, &garbage)])),
        case("equivocation", "two first changes of one actor", good(&twice_written)),
        case("refill", "another's change waits until its author's word comes", refill()),
    ]
}

/// The digests in the relay's comparisons show what it let in.
fn refill() -> Rig {
    let others = titled(2, "two");
    let (signature, written) = others.split_last().unwrap();
    let mut rig = scripted(&hello(), Some(|join| join), &[entries(0, written)]);
    rig.run(1_010);
    let (lane, frame) = entries(behind(written), std::slice::from_ref(signature));
    rig.says(Link(1), lane, frame);
    rig.run(2_010);
    rig
}

fn early() -> Rig {
    let mut rig = rig();
    let link = rig.script(1);
    let message = join(rig.greeting.as_ref().unwrap());
    rig.says(link, Lane::Control, encode(&Message::Join(message)));
    rig.run(5);
    rig
}

fn twice() -> Rig {
    let mut rig = scripted(&hello(), Some(|join| join), &[]);
    let message = join(rig.greeting.as_ref().unwrap());
    rig.says(Link(1), Lane::Control, encode(&Message::Join(message)));
    rig.run(15);
    rig
}
