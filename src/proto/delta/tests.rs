//! A relay and its members, with nothing between them but records.
#![expect(clippy::cast_sign_loss, reason = "numbers that a test draws are small")]

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use smallvec::smallvec;

use super::order::Order;
use super::pack::Packer;
use super::record::{self, Record};
use super::unpack::Unpacker;
use super::{DeltaError, Member, Token};
use crate::proto::authorship::Scope;
use crate::proto::change::{Action, Change, Key, ObjectId, OpId, Operation, Predecessors, chunk};
use crate::proto::config::Limits;
use crate::proto::document::admit;
use crate::proto::id::{AppKey, DocumentId, Identity, RoomName};
use crate::proto::log::{ChangeLog, Index};
use crate::proto::model::value::Value;
use crate::proto::wire::bounded::{Blob, Line};
use crate::proto::wire::message::{Actor, EntryRecord, Hash, Introduction, Made, WellKnownRecord};

/// Version, variant, document and position: a position takes two bytes, but for the first 128.
const FRAME: usize = 5;

/// One direction of a link.
struct Way {
    packer: Packer,
    unpacker: Unpacker,
    position: u64,
}

impl Way {
    fn new(leads: bool, member: Member) -> Self {
        let (mut packer, mut unpacker) = (Packer::new(leads), Unpacker::new(&Limits::default()));
        packer.set_member(member);
        unpacker.set_member(member);
        Self { packer, unpacker, position: 0 }
    }
}

struct Peer {
    log: ChangeLog,
    member: Member,
    /// What was written and not sent.
    written: Vec<Index>,
    up: Way,
    down: Way,
    /// The order at the relay and here.
    order: [Order; 2],
    /// What the relay has not sent.
    waiting: Vec<Token>,
}

struct Room {
    log: ChangeLog,
    peers: Vec<Peer>,
}

fn new_log(document: DocumentId) -> ChangeLog {
    let app = AppKey::new("key").unwrap().app();
    let scope = Scope::first(app, RoomName::new("room").unwrap());
    ChangeLog::new(scope, document, Limits::default())
}

fn put(object: ObjectId, key: &str, value: i64, predecessors: Predecessors) -> Operation {
    let action = Action::Put(Value::Int(value));
    Operation { object, key: Key::Map(key.into()), insert: false, action, predecessors }
}

/// The value of a key of the root, with what it replaces.
fn set(key: &str, value: i64, replaces: Option<OpId>) -> Operation {
    put(ObjectId::Root, key, value, replaces.into_iter().collect())
}

impl Room {
    fn new(peers: u8) -> Self {
        Self::of(DocumentId::MODELS, peers)
    }

    fn of(document: DocumentId, peers: u8) -> Self {
        let log = new_log(document);
        let peer = |seed: u8| {
            let peer = Identity::from_seed([seed; 32]).peer();
            let introduction = Introduction { peer, incarnation: 1_700_000_000_000 };
            let member = Member { introduction, actor: log.scope().actor(&introduction) };
            Peer {
                log: new_log(document),
                member,
                written: Vec::new(),
                up: Way::new(false, member),
                down: Way::new(true, member),
                order: [Order::new(1_024), Order::new(1_024)],
                waiting: Vec::new(),
            }
        };
        Self { peers: (1..=peers).map(peer).collect(), log }
    }

    /// A change of a peer, as automerge would write it. Returns the id of its first operation.
    fn write(&mut self, peer: usize, operations: Vec<Operation>) -> OpId {
        let peer = &mut self.peers[peer];
        let actor = peer.member.actor;
        let own = peer.log.author(&actor).map(|author| author.changes.clone()).unwrap_or_default();
        let mut deps: Vec<Hash> = peer.log.heads().collect();
        let own_hash = own.last().map(|&index| peer.log.entry(index).unwrap().hash);
        deps.extend(own_hash.filter(|hash| !deps.contains(hash)));
        let ends = deps.iter().map(|hash| peer.log.position(hash).unwrap());
        let start = ends.map(|index| peer.log.entry(index).unwrap().end).max().unwrap_or(0) + 1;
        let sequence = own.len() as u64 + 1;
        let sealed = chunk::encode(Change { actor, sequence, start, deps, operations });
        let entry = EntryRecord::Authored {
            introduction: Some(peer.member.introduction),
            bytes: Blob::new(sealed.bytes).unwrap(),
        };
        let index = admit(&mut peer.log, &entry).unwrap().unwrap().index;
        peer.written.push(index);
        OpId { counter: start, actor }
    }

    /// A text that is well known.
    fn make_text(&mut self, peer: usize) -> OpId {
        let peer = &mut self.peers[peer];
        let key = Line::new("text").unwrap();
        let record = WellKnownRecord { parent: None, key, made: Made::Text };
        let actor = peer.log.scope().well_known_actor(&record);
        let index = admit(&mut peer.log, &EntryRecord::WellKnown(record)).unwrap().unwrap().index;
        peer.written.push(index);
        OpId { counter: 1, actor }
    }

    /// Sends what a peer has written. Returns the records.
    fn up(&mut self, number: usize) -> Vec<Record> {
        let peer = &mut self.peers[number];
        let mut records = Vec::new();
        let mut news = Vec::new();
        let [relay, own] = &mut peer.order;
        for index in std::mem::take(&mut peer.written) {
            let token = Token::Change(index);
            let record = peer.up.packer.pack(&peer.log, own, peer.up.position, token).unwrap();
            peer.up.position += 1;
            let unpacked = peer.up.unpacker.next(&self.log, relay, &record).unwrap();
            let entry = unpacked.entry.unwrap();
            assert_eq!(entry, peer.log.record(index).unwrap());
            news.push(admit(&mut self.log, &entry).unwrap().unwrap().index);
            records.push(record);
        }
        for (other, peer) in self.peers.iter_mut().enumerate() {
            peer.waiting.extend(news.iter().map(|&index| {
                // What is well known is nobody's.
                match other == number && self.log.writer(index).is_some() {
                    true => Token::Placed(index),
                    false => Token::Change(index),
                }
            }));
        }
        records
    }

    /// Sends a peer what waits for it. Returns the records.
    fn down(&mut self, number: usize) -> Vec<Record> {
        let peer = &mut self.peers[number];
        let mut records = Vec::new();
        let [relay, own] = &mut peer.order;
        for token in std::mem::take(&mut peer.waiting) {
            let record =
                peer.down.packer.pack(&self.log, relay, peer.down.position, token).unwrap();
            peer.down.position += 1;
            let unpacked = peer.down.unpacker.next(&peer.log, own, &record).unwrap();
            if let Some(entry) = &unpacked.entry {
                admit(&mut peer.log, entry).unwrap();
            }
            unpacked.place(&peer.log, own);
            records.push(record);
        }
        records
    }

    fn sync(&mut self) {
        for peer in 0..self.peers.len() {
            self.up(peer);
        }
        for peer in 0..self.peers.len() {
            self.down(peer);
            assert_eq!(self.peers[peer].log.digest(), self.log.digest());
        }
    }
}

/// What a record takes alone in a frame.
fn frame(record: &Record) -> usize {
    FRAME + record::join(std::slice::from_ref(record)).len()
}

#[test]
fn one_integer_takes_ten_bytes() {
    let mut room = Room::new(2);
    let mut last = room.write(0, vec![set("7", 1, None)]);
    room.sync();
    for value in [2, 3, 4] {
        last = room.write(0, vec![set("7", 1_000 * value, Some(last))]);
        let (up, _) = (room.up(0), room.down(0));
        let down = room.down(1);
        // Header, check, tag, two bytes of the value; the author too on the way down.
        assert_eq!((up[0].body.len(), down[0].body.len()), (4, 5));
        assert_eq!((frame(&up[0]), frame(&down[0])), (10, 11));
    }
}

#[test]
fn a_random_property_of_a_thousand_objects_takes_fifteen_bytes() {
    let mut room = Room::new(2);
    let mut rng = ChaCha12Rng::seed_from_u64(1);
    let mut values = Vec::new();
    for object in 0..1_000_u32 {
        let key = format!("object{object}");
        let mut operations = vec![set(&key, 0, None)];
        operations[0].action = Action::MakeMap;
        let peer = &room.peers[0];
        let start =
            peer.log.heads().next().map_or(1, |head| {
                peer.log.entry(peer.log.position(&head).unwrap()).unwrap().end + 1
            });
        let made = OpId { counter: start, actor: peer.member.actor };
        operations.extend(
            (1..=5).map(|key| put(ObjectId::Made(made), &key.to_string(), 0, Predecessors::new())),
        );
        room.write(0, operations);
        values.extend((1..=5).map(|key| {
            (ObjectId::Made(made), key, OpId { counter: start + key, actor: made.actor })
        }));
    }
    room.sync();
    let (mut bytes, mut count, mut introductions) = (0, 0, 0);
    for _ in 0..300 {
        let writer = (rng.next_u32() % 2) as usize;
        let value = (rng.next_u32() as usize) % values.len();
        let (object, key, replaces) = values[value];
        let number = i64::from(rng.next_u32() % 10_000);
        let operation = put(object, &key.to_string(), number, smallvec![replaces]);
        values[value].2 = room.write(writer, vec![operation]);
        room.up(writer);
        room.down(writer);
        let records = room.down(1 - writer);
        if frame(&records[0]) <= 18 {
            (bytes, count) = (bytes + frame(&records[0]), count + 1);
        } else {
            // An author, or whose the value was.
            introductions += 1;
        }
    }
    println!("{} bytes each", bytes as f64 / count as f64);
    assert!(introductions <= 4 && bytes <= count * 15);
}

/// Everybody writes every tick, and what is sent in one tick is seen in the next.
#[test]
fn thirty_two_writers_in_a_full_mesh_take_fourteen_bytes_each() {
    const WRITERS: usize = 32;
    let mut room = Room::new(32);
    let mut rng = ChaCha12Rng::seed_from_u64(1);
    let mut last = vec![None; WRITERS];
    let (mut bytes, mut count) = (0, 0);
    for tick in 0..20_i64 {
        for (writer, last) in last.iter_mut().enumerate() {
            let operation = set(&(writer + 1).to_string(), tick * 100, *last);
            *last = Some(room.write(writer, vec![operation]));
        }
        for writer in 0..WRITERS {
            // One tick of jitter: every other change comes a tick late.
            if rng.next_u32().is_multiple_of(2) {
                room.up(writer);
            }
        }
        for peer in 0..WRITERS {
            let records = room.down(peer);
            let others = records.iter().filter(|record| record.kind() == record::Kind::Stripped);
            // Once everybody is introduced.
            for record in others.filter(|_| tick > 8) {
                assert!(frame(record) <= 22, "{record:?}");
                (bytes, count) = (bytes + frame(record), count + 1);
            }
        }
    }
    let each = bytes as f64 / f64::from(count);
    println!("{each} bytes each");
    assert!(each <= 14.0, "{each} each");
}

/// Each sees what the one before it wrote.
#[test]
fn a_chain_of_thirty_two_takes_fourteen_bytes_each() {
    let mut room = Room::new(32);
    let mut last = None;
    for value in 0..32 * 4_i64 {
        let writer = (value % 32) as usize;
        last = Some(room.write(writer, vec![set("1", value, last)]));
        let up = room.up(writer);
        for peer in 0..32 {
            let down = room.down(peer);
            if value >= 64 && peer != writer {
                assert!(frame(&up[0]) <= 14 && frame(&down[0]) <= 14, "{up:?} {down:?}");
            }
        }
    }
}

#[test]
fn a_typed_character_takes_a_byte_and_so_does_a_deleted_one() {
    let mut room = Room::of(DocumentId::TEXTS, 2);
    let text = room.make_text(0);
    room.sync();
    let object = ObjectId::Made(text);
    let typed = |behind: Key, start: u64, count: u64, actor: Actor| -> Vec<Operation> {
        (0..count)
            .map(|place| Operation {
                object,
                key: match place {
                    0 => behind.clone(),
                    _ => Key::Element(OpId { counter: start + place - 1, actor }),
                },
                insert: true,
                action: Action::Put(Value::Text("x".into())),
                predecessors: Predecessors::new(),
            })
            .collect()
    };
    let actor = room.peers[0].member.actor;
    // Whose the text is, is said once.
    let introduced = room.write(0, typed(Key::Head, 2, 1, actor));
    room.sync();
    let first = room.write(0, typed(Key::Head, introduced.counter + 1, 100, actor));
    let records = room.up(0);
    assert_eq!(frame(&records[0]), FRAME + 1 + 1 + 3 + 100, "{records:?}");
    // One more behind them.
    let end = OpId { counter: first.counter + 99, actor };
    let one = room.write(0, typed(Key::Element(end), first.counter + 100, 1, actor));
    let records = room.up(0);
    assert_eq!(frame(&records[0]), FRAME + 1 + 1 + 4, "{records:?}");
    let take = |counter: u64| Operation {
        object,
        key: Key::Element(OpId { counter, actor }),
        insert: false,
        action: Action::Delete,
        predecessors: smallvec![OpId { counter, actor }],
    };
    room.write(0, (0..50).map(|place| take(one.counter - place)).collect());
    room.write(0, (0..20).map(|place| take(first.counter + place)).collect());
    let records = room.up(0);
    assert!(records.iter().all(|record| frame(record) < 16), "{records:?}");
    room.sync();
}

#[test]
fn what_is_cut_or_changed_is_an_error_and_what_is_repeated_is_not() {
    let mut room = Room::new(2);
    let mut last = room.write(0, vec![set("7", 1, None), set("8", 1, None)]);
    room.write(1, vec![set("7", 2, None)]);
    room.sync();
    last = room.write(0, vec![set("7", 3, Some(last))]);
    room.write(0, vec![set("7", 4, Some(last)), set("name", 1, None)]);
    let peer = &mut room.peers[0];
    let [relay, own] = &mut peer.order;
    for (position, index) in (1..).zip(std::mem::take(&mut peer.written)) {
        let record = peer.up.packer.pack(&peer.log, own, position, Token::Change(index)).unwrap();
        let read = |record: &Record| {
            peer.up.unpacker.clone().next(&room.log, relay, record).map(|unpacked| unpacked.entry)
        };
        for end in 0..record.body.len() {
            let cut = Record { body: record.body.slice(..end), ..record.clone() };
            assert!(read(&cut).is_err(), "{end} of {record:?}");
        }
        let whole = read(&record).unwrap();
        for place in 0..record.body.len() * 8 {
            let mut body = record.body.to_vec();
            body[place / 8] ^= 1 << (place % 8);
            let flipped = Record { body: body.into(), ..record.clone() };
            // One byte of the hash finds all but one in 256.
            if read(&flipped).is_ok_and(|entry| entry == whole) {
                panic!("bit {place} means nothing");
            }
        }
        let unpacked = peer.up.unpacker.next(&room.log, relay, &record).unwrap();
        admit(&mut room.log, &unpacked.entry.unwrap()).unwrap();
    }
}

#[test]
fn garbage_is_an_error() {
    let mut room = Room::new(2);
    room.write(0, vec![set("7", 1, None)]);
    room.write(1, vec![set("7", 2, None)]);
    room.sync();
    let peer = &mut room.peers[0];
    let mut rng = ChaCha12Rng::seed_from_u64(1);
    let mut wrong = 0;
    for _ in 0..200_000 {
        let mut body = vec![0; (rng.next_u32() % 24) as usize];
        rng.fill_bytes(&mut body);
        let header = (rng.next_u32() & 0xfb) as u8;
        let record = Record { header, body: body.into() };
        let read = peer.down.unpacker.clone().next(&peer.log, &peer.order[1], &record);
        wrong += u32::from(read.is_err());
    }
    assert!(wrong > 190_000, "{wrong}");
}

#[test]
fn a_run_makes_no_more_operations_than_are_allowed() {
    let mut room = Room::new(1);
    room.write(0, vec![set("7", 1, None)]);
    room.sync();
    let peer = &mut room.peers[0];
    // Own, its previous change only, any check: takes away a million elements from the last.
    let body = vec![0, 0x1f, 3, 0xc0, 0x84, 0x3d];
    let record = Record { header: record::OWN, body: body.into() };
    let read = peer.up.unpacker.next(&room.log, &peer.order[0], &record);
    assert_eq!(read, Err(DeltaError::TooLarge));
}

/// How long both ways take, without what the log takes to read a change again from its bytes.
#[test]
#[ignore = "a measurement, for a release build"]
#[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "a measurement")]
fn packing_and_unpacking_in_nanoseconds() {
    const COUNT: u32 = 2_000;
    let mut room = Room::new(2);
    let mut last = None;
    for value in 0..i64::from(COUNT) {
        last = Some(room.write(0, vec![set("7", value, last)]));
    }
    let peer = &mut room.peers[0];
    let reading = |log: &ChangeLog| {
        let began = std::time::Instant::now();
        (0..log.len()).for_each(|index| drop(log.change(index)));
        began.elapsed() / COUNT
    };
    let read = reading(&peer.log);
    let [relay, own] = &mut peer.order;
    let began = std::time::Instant::now();
    let mut records = Vec::new();
    for (position, index) in (0..).zip(std::mem::take(&mut peer.written)) {
        records.extend(peer.up.packer.pack(&peer.log, own, position, Token::Change(index)));
    }
    let packed = began.elapsed() / COUNT;
    let mut unpacked = std::time::Duration::ZERO;
    for record in &records {
        let began = std::time::Instant::now();
        let entry = peer.up.unpacker.next(&room.log, relay, record).unwrap().entry;
        unpacked += began.elapsed();
        admit(&mut room.log, &entry.unwrap()).unwrap();
    }
    println!("pack {packed:?} and unpack {:?}, reading {read:?} of each change", unpacked / COUNT);
}
