//! `deltas.json`: records between a relay and a member, and the changes that they make.

use bytes::Bytes;
use parlor::proto::change::{Action, Change, Key, ObjectId, OpId, Operation, Predecessors, chunk};
use parlor::proto::config::Limits;
use parlor::proto::cut::Cut;
use parlor::proto::delta::order::Order;
use parlor::proto::delta::pack::Packer;
use parlor::proto::delta::record::{join, split};
use parlor::proto::delta::unpack::Unpacker;
use parlor::proto::delta::{Member, Token};
use parlor::proto::document::admit;
use parlor::proto::id::DocumentId;
use parlor::proto::log::ChangeLog;
use parlor::proto::model::value::Value;
use parlor::proto::wire::bounded::{Blob, Line};
use parlor::proto::wire::message::{EntryRecord, Hash, Introduction, Made, WellKnownRecord};
use serde::Serialize;

use crate::stage::{author, scope};
use crate::vectors::check;

#[derive(Serialize)]
struct Case {
    name: &'static str,
    why: &'static str,
    steps: Vec<Step>,
}

/// What happens, in order. Both logs are empty at first.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Step {
    /// An entry comes into the relay's log from elsewhere.
    Elsewhere { entry: String },
    /// The relay sends a record, alone in its frame.
    Down { position: u64, record: String, change: Option<String> },
    /// The member does.
    Up { position: u64, record: String, change: Option<String> },
    /// A record from the relay that is not to be understood.
    Wrong { record: String, error: String },
    /// The log of one of them is of another epoch from here on.
    Over { who: &'static str, epoch: String },
}

#[test]
fn records_and_changes() {
    let cases =
        [integer(), seen(), listed(), values(), keys(), text(), full(), entry(), cut(), wrong()];
    check("deltas.json", &cases);
}

/// One direction.
struct Way {
    packer: Packer,
    unpacker: Unpacker,
    position: u64,
}

struct Link {
    relay: ChangeLog,
    member: ChangeLog,
    ways: [Way; 2],
    orders: [Order; 2],
    steps: Vec<Step>,
}

impl Link {
    fn new() -> Self {
        Self::of(DocumentId::MODELS)
    }

    fn of(document: DocumentId) -> Self {
        let member = Member { introduction: author(1), actor: scope().actor(&author(1)) };
        let log = || ChangeLog::new(scope(), document, Limits::default());
        let way = |leads| {
            let (mut packer, mut unpacker) =
                (Packer::new(leads), Unpacker::new(&Limits::default()));
            packer.set_member(member);
            unpacker.set_member(member);
            Way { packer, unpacker, position: 0 }
        };
        Self {
            relay: log(),
            member: log(),
            ways: [way(true), way(false)],
            orders: [Order::new(1_024), Order::new(1_024)],
            steps: Vec::new(),
        }
    }

    /// The member writes a change, and sends it. Returns the id of its first operation.
    fn up(&mut self, operations: Vec<Operation>) -> OpId {
        let entry = written(&self.member, author(1), operations);
        let index = let_in(&mut self.member, &entry);
        let way = &mut self.ways[1];
        let [relay, member] = &mut self.orders;
        let token = Token::Change(index);
        let record = way.packer.pack(&self.member, member, way.position, token).unwrap();
        let unpacked = way.unpacker.next(&self.relay, relay, &record).unwrap();
        assert_eq!(unpacked.entry, Some(entry));
        let change = bytes(unpacked.entry.as_ref());
        let place = let_in(&mut self.relay, &unpacked.entry.unwrap());
        let (position, record) = (way.position, hex::encode(join(&[record])));
        self.steps.push(Step::Up { position, record, change });
        way.position += 1;
        self.down(Token::Placed(place));
        self.member.change(index).unwrap().id(0)
    }

    /// Somebody else writes a change on all that the relay has, and it is sent.
    fn elsewhere(&mut self, operations: Vec<Operation>) -> OpId {
        let entry = written(&self.relay, author(2), operations);
        let index = self.take(&entry);
        self.down(Token::Change(index));
        self.relay.change(index).unwrap().id(0)
    }

    fn take(&mut self, entry: &EntryRecord) -> usize {
        let index = let_in(&mut self.relay, entry);
        let entry = hex::encode(postcard::to_allocvec(entry).unwrap());
        self.steps.push(Step::Elsewhere { entry });
        index
    }

    fn down(&mut self, token: Token) {
        let way = &mut self.ways[0];
        let [relay, member] = &mut self.orders;
        let record = way.packer.pack(&self.relay, relay, way.position, token).unwrap();
        let unpacked = way.unpacker.next(&self.member, member, &record).unwrap();
        let change = bytes(unpacked.entry.as_ref());
        if let Some(entry) = &unpacked.entry {
            admit(&mut self.member, entry).unwrap();
        }
        unpacked.place(&self.member, member);
        let (position, record) = (way.position, hex::encode(join(&[record])));
        self.steps.push(Step::Down { position, record, change });
        way.position += 1;
    }

    /// A record from the relay that makes nothing.
    fn wrong(&mut self, record: &'static [u8]) {
        let records = split(&Bytes::from_static(record)).unwrap();
        let error = self.ways[0].unpacker.clone().next(&self.member, &self.orders[1], &records[0]);
        let record = hex::encode(record);
        self.steps.push(Step::Wrong { record, error: error.unwrap_err().to_string() });
    }

    /// The log of the relay, or of the member, is cut at what it has.
    fn cut(&mut self, who: &'static str) {
        let log = if who == "relay" { &mut self.relay } else { &mut self.member };
        let heads: Vec<Hash> = log.heads().collect();
        let mut cut = Cut::into(log.scope().next(log.document(), &heads, 0));
        *log = loop {
            if let Some(next) = cut.step(log, usize::MAX) {
                break next;
            }
        };
        let epoch = hex::encode(log.scope().epoch().0);
        self.steps.push(Step::Over { who, epoch });
    }

    /// The member says that what comes next is of the epoch that it is in.
    fn follow(&mut self) {
        let scope = self.relay.scope();
        let member = Member { introduction: author(1), actor: scope.actor(&author(1)) };
        for way in &mut self.ways {
            way.packer.set_member(member);
            way.unpacker.set_member(member);
        }
        let way = &mut self.ways[1];
        let [relay, order] = &mut self.orders;
        let record = way.packer.pack(&self.member, order, way.position, Token::Cut).unwrap();
        let unpacked = way.unpacker.next(&self.relay, relay, &record).unwrap();
        assert_eq!(unpacked.entry, Some(EntryRecord::Cut(self.relay.cut_record())));
        let (position, record) = (way.position, hex::encode(join(&[record])));
        self.steps.push(Step::Up { position, record, change: None });
        way.position += 1;
    }

    fn case(self, name: &'static str, why: &'static str) -> Case {
        Case { name, why, steps: self.steps }
    }
}

fn bytes(entry: Option<&EntryRecord>) -> Option<String> {
    match entry {
        Some(EntryRecord::Authored { bytes, .. }) => Some(hex::encode(&bytes[..])),
        Some(_) | None => None,
    }
}

fn let_in(log: &mut ChangeLog, entry: &EntryRecord) -> usize {
    admit(log, entry).unwrap().unwrap().index
}

/// A change on everything that a log has.
fn written(log: &ChangeLog, author: Introduction, operations: Vec<Operation>) -> EntryRecord {
    let actor = log.scope().actor(&author);
    let own = log.author(&actor).map(|author| author.changes.clone()).unwrap_or_default();
    let mut deps: Vec<Hash> = log.heads().collect();
    let last = own.last().map(|&index| log.entry(index).unwrap().hash);
    deps.extend(last.filter(|hash| !deps.contains(hash)));
    let end = |hash: &Hash| log.entry(log.position(hash).unwrap()).unwrap().end;
    let start = deps.iter().map(end).max().unwrap_or(0) + 1;
    let change = Change { actor, sequence: own.len() as u64 + 1, start, deps, operations };
    let introduction = own.is_empty().then_some(author);
    EntryRecord::Authored { introduction, bytes: Blob::new(chunk::encode(change).bytes).unwrap() }
}

fn at(object: ObjectId, key: &str, action: Action, replaces: Option<OpId>) -> Operation {
    let predecessors = replaces.into_iter().collect();
    Operation { object, key: Key::Map(key.into()), insert: false, action, predecessors }
}

fn set(key: &str, value: i64, replaces: Option<OpId>) -> Operation {
    at(ObjectId::Root, key, Action::Put(Value::Int(value)), replaces)
}

fn integer() -> Case {
    let mut link = Link::new();
    let first = link.up(vec![set("7", 1, None)]);
    let second = link.up(vec![set("7", 2, Some(first))]);
    link.up(vec![set("7", 1_000, Some(second))]);
    let other = link.elsewhere(vec![set("8", -1, None)]);
    let other = link.elsewhere(vec![set("8", -2, Some(other))]);
    link.up(vec![set("8", 3, Some(other))]);
    link.case("integer", "a property is written again and again, then somebody else's")
}

fn seen() -> Case {
    let mut link = Link::new();
    link.up(vec![set("1", 1, None)]);
    let (mut other, mut own) = (None, None);
    for value in 0..3 {
        other = Some(link.elsewhere(vec![set("2", value, other)]));
        own = Some(link.up(vec![set("3", value, own)]));
    }
    // Both at once: the relay's order has the member's before what it had not seen.
    let entry = written(&link.relay, author(3), vec![set("4", 9, None)]);
    let third = link.take(&entry);
    let five = link.up(vec![set("5", 9, None)]);
    link.down(Token::Change(third));
    link.elsewhere(vec![set("6", 1, None)]);
    link.up(vec![set("5", 10, Some(five))]);
    link.case("seen", "what was seen before is stated by a position of the order")
}

fn listed() -> Case {
    let mut link = Link::new();
    let entry = written(&link.relay, author(2), vec![set("1", 1, None)]);
    let index = link.take(&entry);
    // The member knows it already, so that it has no place in the order.
    admit(&mut link.member, &entry).unwrap();
    link.down(Token::Repair(index));
    link.up(vec![set("2", 1, None)]);
    link.case("listed", "what has no place in the order is named")
}

fn values() -> Case {
    let mut link = Link::new();
    let values = [
        Value::Null,
        Value::Bool(true),
        Value::Bool(false),
        Value::Int(-65),
        Value::Uint(128),
        Value::Float(-3.0),
        Value::Float(0.5),
        Value::Float(0.1),
        Value::Float(-0.0),
        Value::Text("h\u{e9}".into()),
        Value::Bytes(vec![0, 255]),
    ];
    let mut operations: Vec<Operation> = (1..)
        .zip(values)
        .map(|(key, value)| at(ObjectId::Root, &key.to_string(), Action::Put(value), None))
        .collect();
    operations.push(at(ObjectId::Root, "20", Action::Counter(5), None));
    operations.push(at(ObjectId::Root, "21", Action::MakeMap, None));
    let first = link.up(operations);
    let counter = OpId { counter: first.counter + 11, ..first };
    link.up(vec![at(ObjectId::Root, "20", Action::Increment(3), Some(counter))]);
    link.up(vec![at(ObjectId::Root, "20", Action::Increment(-3), Some(counter))]);
    link.up(vec![at(ObjectId::Root, "1", Action::Delete, Some(first))]);
    link.case("values", "every kind of value")
}

fn keys() -> Case {
    let mut link = Link::new();
    let element = |sequence: u8, count: u8| {
        let actor = scope().actor(&author(1));
        let id = [&actor[..8], &[sequence, count]].concat();
        data_encoding::BASE64URL_NOPAD.encode(&id)
    };
    let keys = ["4", "239", "240", "-5", "@", "name", "007"].map(str::to_owned);
    let keys = keys.into_iter().chain([element(1, 7), element(3, 7)]);
    let mut operations: Vec<Operation> = keys.map(|key| set(&key, 0, None)).collect();
    let made = ObjectId::Made(OpId { counter: 10, actor: scope().actor(&author(1)) });
    operations.push(at(ObjectId::Root, "9", Action::MakeMap, None));
    operations.push(at(made, "1", Action::Put(Value::Null), None));
    operations.push(at(made, "2", Action::Put(Value::Null), None));
    operations.push(set("10", 0, None));
    operations.push(at(made, "3", Action::Put(Value::Null), None));
    let first = link.up(operations);
    let other = link.elsewhere(vec![set("4", 1, Some(first))]);
    let mut conflict = set("4", 2, None);
    conflict.predecessors = [first, other].into_iter().collect();
    link.up(vec![conflict]);
    link.case("keys", "every kind of key and object, and two predecessors")
}

fn text() -> Case {
    let mut link = Link::of(DocumentId::TEXTS);
    let record = WellKnownRecord { parent: None, key: Line::new("a").unwrap(), made: Made::Text };
    let text = OpId { counter: 1, actor: scope().well_known_actor(&record) };
    let index = link.take(&EntryRecord::WellKnown(record));
    link.down(Token::Change(index));
    let object = ObjectId::Made(text);
    let typed = |behind: Key, text: &str| Operation {
        object,
        key: behind,
        insert: true,
        action: Action::Put(Value::Text(text.into())),
        predecessors: Predecessors::new(),
    };
    let element = |counter| OpId { counter, actor: scope().actor(&author(1)) };
    let behind = |counter| Key::Element(element(counter));
    link.up(vec![typed(Key::Head, "h"), typed(behind(2), "\u{e9}"), typed(behind(3), "y")]);
    link.up(vec![typed(behind(4), "!")]);
    link.up(vec![typed(behind(2), "a"), typed(Key::Head, "b")]);
    let taken = |counter| Operation {
        object,
        key: behind(counter),
        insert: false,
        action: Action::Delete,
        predecessors: [element(counter)].into_iter().collect(),
    };
    link.up(vec![taken(2), taken(3), taken(4)]);
    link.up(vec![taken(7), taken(6)]);
    link.up(vec![taken(5)]);
    link.case("text", "typed and taken away")
}

fn full() -> Case {
    let mut link = Link::new();
    let first = link.elsewhere(vec![set("1", 1, None)]);
    let position = link.ways[0].position;
    assert!(link.ways[0].packer.say_in_full(position, position));
    let mut last = link.elsewhere(vec![set("1", 2, Some(first))]);
    // Sixteen positions are in full.
    for value in 3..20 {
        last = link.elsewhere(vec![set("1", value, Some(last))]);
    }
    link.case("full", "what was asked for in full, and what comes after")
}

fn entry() -> Case {
    let mut link = Link::new();
    let key = Line::new("12").unwrap();
    let record = WellKnownRecord { parent: None, key, made: Made::Map };
    let index = link.take(&EntryRecord::WellKnown(record));
    link.down(Token::Change(index));
    link.elsewhere(vec![set("1", 1, None)]);
    link.up(vec![set("2", 1, None)]);
    link.case("entry", "a well-known object has a place in the order")
}

fn cut() -> Case {
    let mut link = Link::new();
    let first = link.up(vec![set("7", 1, None)]);
    link.elsewhere(vec![set("7", 2, Some(first)), set("8", 1, None)]);
    // The relay's word is of the epoch that it begins.
    link.cut("relay");
    link.down(Token::Cut);
    link.cut("member");
    link.follow();
    let base = |counter| OpId { counter, actor: link.relay.scope().base_actor() };
    let [seven, eight] = [base(1), base(2)];
    link.up(vec![set("7", 2, Some(seven))]);
    link.elsewhere(vec![set("8", 2, Some(eight))]);
    link.up(vec![set("8", 3, None)]);
    link.case("cut", "positions, slots and numbers go on; sequences and the order begin anew")
}

fn wrong() -> Case {
    let mut link = Link::new();
    let first = link.up(vec![set("7", 1, None)]);
    link.elsewhere(vec![set("7", 2, Some(first))]);
    for record in [
        // No body; a slot without an actor; its author's next without a byte of the hash.
        &[0x04][..],
        &[0x04, 0x09, 0x00],
        &[0x04, 0x01],
        // Another byte of the hash than the change has; a tag that there is not.
        &[0x04, 0x01, 0x00, 0x28, 0x01, 0x02],
        &[0x44, 0x01, 0x00, 0x0f],
        // A form of dependencies that there is not; a position that is yet to come.
        &[0x34, 0x01, 0x00],
        &[0x14, 0x01, 0x7f, 0x00],
        // A million elements taken away; an operation that there is not.
        &[0x04, 0x01, 0x00, 0x1f, 0x03, 0xc0, 0x84, 0x3d],
        &[0x04, 0x01, 0x00, 0x08, 0x7f, 0x02],
        // A change of the member's that it never wrote.
        &[0x8f, 0x05],
    ] {
        link.wrong(record);
    }
    link.case("wrong", "records that make nothing")
}
