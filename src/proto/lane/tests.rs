//! One link that loses, repeats, reorders and changes what it carries.
#![expect(
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "what a test draws is small, and what it does not expect fails it"
)]

use std::collections::VecDeque;

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::*;
use crate::proto::authorship::Scope;
use crate::proto::change::{Action, Change, Key, ObjectId, OpId, Operation, Predecessors, chunk};
use crate::proto::document::{Admitted, admit};
use crate::proto::id::{AppKey, Identity, RoomName};
use crate::proto::log::Origin;
use crate::proto::model::value::Value;
use crate::proto::wire;
use crate::proto::wire::bounded::Line;
use crate::proto::wire::message::{Actor, EntryRecord, Introduction, Made, WellKnownRecord};

#[test]
fn a_position_is_the_nearest() {
    let turn = u64::from(POSITIONS);
    for expected in [0, 1, 5_000, turn - 1, turn, 3 * turn + 17] {
        for first in [expected, expected + 1, expected + 4_096, expected.saturating_sub(4_096)] {
            let position = u16::try_from(first % turn).unwrap();
            assert_eq!(nearest(expected, position), first, "{expected}");
        }
    }
}

fn scope() -> Scope {
    Scope::first(AppKey::new("key").unwrap().app(), RoomName::new("room").unwrap())
}

fn new_logs() -> [ChangeLog; 2] {
    DocumentId::ALL.map(|document| ChangeLog::new(scope(), document, Limits::default()))
}

/// Which of both logs is a document's.
fn of(document: DocumentId) -> usize {
    document.place()
}

/// One end of the link.
struct End {
    lane: DocumentLane,
    logs: [ChangeLog; 2],
    side: Side,
    /// On their way here.
    inbox: VecDeque<Message>,
    in_full: usize,
    bytes: usize,
}

impl End {
    fn new(side: Side, member: Member) -> Self {
        let mut end = Self {
            lane: DocumentLane::new(&Limits::default(), side),
            logs: new_logs(),
            side,
            inbox: VecDeque::new(),
            in_full: 0,
            bytes: 0,
        };
        for document in DocumentId::ALL {
            end.lane.set_member(document, member);
        }
        end
    }

    /// What is to be sent now.
    fn outbox(&mut self, now: Time) -> Vec<Message> {
        let mut messages = self.lane.acknowledgements(now);
        for log in &self.logs {
            while let Some(message) = self.lane.next_frame(log, None, now) {
                messages.push(message);
            }
        }
        self.bytes += messages.iter().map(|message| wire::encode(message).len()).sum::<usize>();
        messages
    }

    /// Changes a bit of a stripped change, but for one in 256 of which a byte of the hash knows
    /// nothing.
    fn flip(&self, message: &mut Message, draw: u32, now: Time) {
        let Message::Deltas { document, position, records } = message else {
            return;
        };
        let alone = records[0] & 7 == 4 && records.len() > 1;
        if !alone {
            return;
        }
        let mut bytes = records.to_vec();
        let place = 1 + (draw / 8) as usize % (bytes.len() - 1);
        bytes[place] ^= 1 << (draw % 8);
        let flipped = Blob::new(Bytes::from(bytes)).unwrap();
        let mut lane = self.lane.clone();
        let mut incoming = lane.open(*document, (*position, &flipped), false, now).unwrap();
        if lane.unpack(&self.logs[of(*document)], &mut incoming, now).is_none() {
            *records = flipped;
        }
    }

    fn handle(&mut self, message: Message, member: Member, now: Time) {
        let frame = wire::encode(&message);
        assert_eq!(wire::decode(&frame, 1 << 20).as_ref(), Ok(&message));
        let (document, position, records, deflated) = match message {
            Message::Deltas { document, position, records } => (document, position, records, false),
            Message::Bundle { document, position, records } => (document, position, records, true),
            Message::Acknowledge { document, received, gap } => {
                self.lane.acknowledge(document, received, gap, now);
                return;
            }
            Message::InFull { document, received } => {
                self.in_full += 1;
                self.lane.say_in_full(document, received, now);
                return;
            }
            other => panic!("{other:?}"),
        };
        let frame = (position, &records);
        let mut incoming = self.lane.open(document, frame, deflated, now).unwrap();
        let log = &mut self.logs[of(document)];
        while let Some(unpacked) = self.lane.unpack(log, &mut incoming, now) {
            let news = unpacked.entry.as_ref().and_then(|entry| admit(log, entry).unwrap());
            self.lane.settle(log, unpacked);
            if let Some(Admitted { index, .. }) = news.filter(|_| self.side == Side::Relay) {
                assert_eq!(log.entry(index).unwrap().actor, member.actor);
                self.lane.push(document, Token::Placed(index));
            }
        }
    }
}

struct World {
    relay: End,
    peer: End,
    member: Member,
    others: Vec<Introduction>,
    rng: ChaCha12Rng,
    now: Time,
    /// In 100: how many messages are lost, repeated, put behind the next; and changed.
    faults: u32,
    flips: u32,
}

impl World {
    fn new(seed: u64, faults: u32, flips: u32) -> Self {
        let introduction = |seed| Introduction {
            peer: Identity::from_seed([seed; 32]).peer(),
            incarnation: 1_700_000_000_000,
        };
        let introduced = introduction(1);
        let member = Member { introduction: introduced, actor: scope().actor(&introduced) };
        Self {
            relay: End::new(Side::Relay, member),
            peer: End::new(Side::Member, member),
            member,
            others: (2..6).map(introduction).collect(),
            rng: ChaCha12Rng::seed_from_u64(seed),
            now: Time::ZERO,
            faults,
            flips,
        }
    }

    fn one_in_100(&mut self, of: u32) -> bool {
        self.rng.next_u32() % 100 < of
    }

    /// The member writes, or somebody else at the relay, a model or a text.
    fn write(&mut self) {
        let other = self.rng.next_u32() as usize % 8;
        let (end, author) = match self.others.get(other) {
            Some(author) => (&mut self.relay, *author),
            None => (&mut self.peer, self.member.introduction),
        };
        let document = DocumentId::ALL[self.rng.next_u32() as usize % 2];
        let log = &mut end.logs[of(document)];
        let text = document == DocumentId::TEXTS;
        let index = if text && (log.is_empty() || self.rng.next_u32().is_multiple_of(16)) {
            if end.side == Side::Member {
                return;
            }
            make_text(log)
        } else {
            let operations = operations(&mut self.rng, log, &author);
            write(log, author, operations)
        };
        end.lane.push(document, Token::Change(index));
    }

    fn step(&mut self) {
        self.now += Duration::from_millis(10);
        self.relay.lane.tick(self.now);
        self.peer.lane.tick(self.now);
        let down = self.relay.outbox(self.now);
        let up = self.peer.outbox(self.now);
        for (messages, to_peer) in [(down, true), (up, false)] {
            for message in messages {
                let copies = match self.one_in_100(self.faults) {
                    true => 2 * (self.rng.next_u32() as usize % 2),
                    false => 1,
                };
                let behind = self.one_in_100(self.faults);
                let inbox = if to_peer { &mut self.peer.inbox } else { &mut self.relay.inbox };
                for _ in 0..copies {
                    let place = inbox.len().saturating_sub(usize::from(behind));
                    inbox.insert(place, message.clone());
                }
            }
        }
        for to_peer in [true, false] {
            let end = if to_peer { &mut self.peer } else { &mut self.relay };
            // The last may stay for a while.
            let count = end.inbox.len() - usize::from(self.faults > 0 && !end.inbox.is_empty());
            for mut message in end.inbox.drain(..count).collect::<Vec<_>>() {
                if self.rng.next_u32() % 100 < self.flips {
                    end.flip(&mut message, self.rng.next_u32(), self.now);
                }
                end.handle(message, self.member, self.now);
            }
        }
    }

    /// A new link: each says what the other lacks.
    fn reconnect(&mut self) {
        let heads = |end: &End| end.logs.each_ref().map(|log| log.heads().collect::<Vec<_>>());
        let known = [heads(&self.peer), heads(&self.relay)];
        for (end, known) in [&mut self.relay, &mut self.peer].into_iter().zip(known) {
            end.lane = DocumentLane::new(&Limits::default(), end.side);
            end.inbox.clear();
            end.bytes = 0;
            for (log, known) in end.logs.iter().zip(known) {
                end.lane.set_member(log.document(), self.member);
                end.lane.push_missing(log, &known);
            }
        }
    }

    fn rest(&mut self) {
        (self.faults, self.flips) = (0, 0);
        for _ in 0..2_000 {
            self.step();
            let idle =
                self.relay.lane.streams.iter().all(Stream::is_quiet) && self.peer.lane.is_idle();
            if idle && self.relay.inbox.is_empty() && self.peer.inbox.is_empty() {
                break;
            }
        }
        for (relay, peer) in self.relay.logs.iter().zip(&self.peer.logs) {
            assert_eq!(relay.digest(), peer.digest());
            assert_eq!(relay.len(), peer.len());
        }
    }
}

/// Everything that a schema emits, at random.
fn operations(rng: &mut ChaCha12Rng, log: &ChangeLog, author: &Introduction) -> Vec<Operation> {
    let actor = log.scope().actor(author);
    let mut draw = |below: u32| rng.next_u32() % below;
    let mut operations = Vec::new();
    let all = log.len() as u32;
    let last = log.author(&actor).and_then(|author| author.changes.last().copied());
    let picked = match draw(4) {
        0 | 1 => last,
        _ if all > 0 => Some(draw(all) as usize),
        _ => None,
    };
    let change = picked.and_then(|index| log.change(index));
    for _ in 0..=draw(3) {
        let target = change.as_ref().and_then(|change| {
            let place = draw(change.operations.len() as u32) as usize;
            Some((change.id(place), change.operations.get(place)?.clone()))
        });
        operations.push(match log.document() {
            DocumentId::TEXTS => typing(&mut draw, log, target),
            _ => replacing(log, &actor, &operations, writing(&mut draw, target)),
        });
    }
    operations
}

/// A write that also replaces what its actor has there, in the log or by the operations before.
fn replacing(
    log: &ChangeLog,
    actor: &Actor,
    before: &[Operation],
    mut operation: Operation,
) -> Operation {
    let counts = |operation: &Operation| matches!(operation.action, Action::Increment(_));
    if counts(&operation) {
        return operation;
    }
    let same = |one: &Operation| {
        one.object == operation.object && one.key == operation.key && !counts(one)
    };
    let mut ids = operation.predecessors.clone();
    match (before.iter().rposition(same), &operation.key) {
        (Some(own), _) if matches!(before[own].action, Action::Delete) => {}
        (Some(own), _) => {
            let counter = log.next(actor).start + own as u64;
            ids.push(OpId { counter, actor: *actor });
        }
        (None, Key::Map(key)) => {
            let table = log.table();
            let live = table.object(&operation.object).map_or(&[][..], |at| table.all(at, key));
            ids.extend(live.iter().map(|live| live.id).filter(|id| id.actor == *actor));
        }
        (None, _) => {}
    }
    ids.sort_unstable();
    ids.dedup();
    operation.predecessors = ids;
    operation
}

/// Something about models.
fn writing(draw: &mut impl FnMut(u32) -> u32, target: Option<(OpId, Operation)>) -> Operation {
    let value = value(draw);
    let none = Predecessors::new();
    match (draw(6), target) {
        // Overwrites what may be: not what took something away or added to it.
        (0..3, Some((id, operation)))
            if !matches!(operation.action, Action::Delete | Action::Increment(_)) =>
        {
            Operation {
                action: match draw(5) {
                    0 => Action::Delete,
                    1 if matches!(operation.action, Action::Counter(_)) => {
                        Action::Increment(i64::from(draw(9)))
                    }
                    2 => Action::MakeMap,
                    3 => Action::Counter(i64::from(draw(5))),
                    _ => Action::Put(value),
                },
                predecessors: [id].into_iter().collect(),
                ..operation
            }
        }
        // Writes into what was made.
        (3..5, Some((id, Operation { action: Action::MakeMap, .. }))) => Operation {
            object: ObjectId::Made(id),
            key: Key::Map(draw(400).to_string().into()),
            insert: false,
            action: Action::Counter(i64::from(draw(5))),
            predecessors: none,
        },
        (what, _) => Operation {
            object: ObjectId::Root,
            key: Key::Map(["1", "2", "@", "name", "-7", "70000"][draw(6) as usize].into()),
            insert: false,
            action: if what == 5 { Action::MakeMap } else { Action::Put(value) },
            predecessors: none,
        },
    }
}

/// Something about texts, of which there are some.
fn typing(
    draw: &mut impl FnMut(u32) -> u32,
    log: &ChangeLog,
    target: Option<(OpId, Operation)>,
) -> Operation {
    match (draw(6), target) {
        // Types behind what was typed.
        (0..3, Some((id, operation))) if operation.insert => {
            typed(operation.object, Key::Element(id))
        }
        // Takes away what was typed.
        (3..5, Some((id, operation))) if operation.insert => Operation {
            object: operation.object,
            key: Key::Element(id),
            insert: false,
            action: Action::Delete,
            predecessors: [id].into_iter().collect(),
        },
        // Types into what was made.
        (_, Some((id, Operation { action: Action::MakeText, .. }))) => {
            typed(ObjectId::Made(id), Key::Head)
        }
        _ => {
            let authors =
                log.authors().filter(|(_, author)| matches!(author.origin, Origin::WellKnown(_)));
            let texts: Vec<Actor> = authors.map(|(actor, _)| *actor).collect();
            let actor = texts[draw(texts.len() as u32) as usize];
            typed(ObjectId::Made(OpId { counter: 1, actor }), Key::Head)
        }
    }
}

fn value(draw: &mut impl FnMut(u32) -> u32) -> Value {
    match draw(8) {
        0 => Value::Null,
        1 => Value::Bool(true),
        2 => Value::Uint(u64::from(draw(300))),
        3 => Value::Float(f64::from(draw(100)) / 8.0),
        4 => Value::Text("words".repeat(draw(3) as usize)),
        5 => Value::Bytes(vec![7; draw(4) as usize]),
        _ => Value::Int(i64::from(draw(1_000)) - 500),
    }
}

fn typed(object: ObjectId, key: Key) -> Operation {
    let action = Action::Put(Value::Text("\u{e9}".into()));
    Operation { object, key, insert: true, action, predecessors: Predecessors::new() }
}

/// Makes another text, which is well known. Returns its place.
fn make_text(log: &mut ChangeLog) -> usize {
    let key = Line::new(format!("text{}", log.len())).unwrap();
    let record = WellKnownRecord { parent: None, key, made: Made::Text };
    admit(log, &EntryRecord::WellKnown(record)).unwrap().unwrap().index
}

/// Writes a change on everything that a log has. Returns its place.
fn write(log: &mut ChangeLog, author: Introduction, operations: Vec<Operation>) -> usize {
    let actor = log.scope().actor(&author);
    let own = log.author(&actor).map(|author| author.changes.clone()).unwrap_or_default();
    let mut deps: Vec<Hash> = log.heads().collect();
    let last = own.last().map(|&index| log.entry(index).unwrap().hash);
    deps.extend(last.filter(|hash| !deps.contains(hash)));
    let end = |hash: &Hash| log.entry(log.position(hash).unwrap()).unwrap().end;
    let start = deps.iter().map(end).max().unwrap_or(0) + 1;
    let change = Change { actor, sequence: own.len() as u64 + 1, start, deps, operations };
    let bytes = Blob::new(chunk::encode(change).bytes).unwrap();
    let entry = EntryRecord::Authored { introduction: Some(author), bytes };
    admit(log, &entry).unwrap().unwrap().index
}

#[test]
fn whatever_is_lost_repeated_or_reordered_what_arrives_is_what_was_written() {
    for seed in 0..40 {
        let mut world = World::new(seed, [0, 5, 20, 40][seed as usize % 4], 0);
        for _ in 0..3 {
            for _ in 0..100 {
                world.write();
                if world.rng.next_u32().is_multiple_of(3) {
                    world.step();
                }
            }
            if seed % 2 == 0 {
                world.rest();
            }
            world.reconnect();
        }
        world.rest();
        let in_full = world.relay.in_full + world.peer.in_full;
        assert_eq!(in_full, 0, "seed {seed}: what is only late was not understood");
    }
}

#[test]
fn a_changed_byte_is_asked_for_in_full_and_both_agree() {
    let mut in_full = 0;
    for seed in 0..40 {
        let mut world = World::new(seed, [0, 20][seed as usize % 2], 10);
        for _ in 0..200 {
            world.write();
            world.step();
        }
        world.rest();
        in_full += world.relay.in_full + world.peer.in_full;
    }
    assert!(in_full > 40, "{in_full}");
}

#[test]
fn a_peer_that_comes_back_gets_what_it_lacks_in_little_more_than_it_takes_stripped() {
    let mut world = World::new(1, 0, 0);
    let author = world.others[0];
    let set = |value: i64, replaces: Option<OpId>| Operation {
        object: ObjectId::Root,
        key: Key::Map("1".into()),
        insert: false,
        action: Action::Put(Value::Int(value)),
        predecessors: replaces.into_iter().collect(),
    };
    let mut last = None;
    for value in 0..2_000 {
        let index = write(&mut world.relay.logs[0], author, vec![set(value, last)]);
        last = Some(world.relay.logs[0].change(index).unwrap().id(0));
    }
    world.reconnect();
    world.rest();
    // Header, length, author, check, tag and value: about eight each, and then they are deflated.
    assert!(world.relay.bytes < 2_000 * 8, "{}", world.relay.bytes);
}
