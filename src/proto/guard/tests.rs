//! What a change may do that nobody should, and what it may do that looks so.

use std::time::Duration;

use super::*;
use crate::proto::authorship::Scope;
use crate::proto::change::{Predecessors, Sealed, chunk};
use crate::proto::id::{AppKey, PeerId, RoomName};
use crate::proto::log::{Admission, Candidate, ChangeLog, Next};
use crate::proto::wire::bounded::Line;
use crate::proto::wire::message::{Introduction, Made, WellKnownRecord};

/// A log, and somebody who writes to it.
struct Desk {
    log: ChangeLog,
    author: Introduction,
}

impl Desk {
    fn new(document: DocumentId, limits: Limits) -> Self {
        let app = AppKey::new("key").unwrap().app();
        let scope = Scope::first(app, RoomName::new("room").unwrap());
        let author = Introduction { peer: PeerId::new([1; 32]), incarnation: 1 };
        Self { log: ChangeLog::new(scope, document, limits), author }
    }

    /// Models: a value under `1` (operation 1), another in its place (2), a counter under `2`
    /// (3), a map under `3` (4), and a well-known counter under `4`.
    fn models() -> Self {
        let mut desk = Self::new(DocumentId::MODELS, Limits::default());
        let operations = vec![
            desk.map("1", Action::Put(Value::Int(1)), &[]),
            desk.map("1", Action::Put(Value::Int(2)), &[1]),
            desk.map("2", Action::Counter(0), &[]),
            desk.map("3", Action::MakeMap, &[]),
        ];
        assert_eq!(desk.offer(operations), Ok(()));
        let key = Line::new("4").unwrap();
        let record = WellKnownRecord { parent: None, key, made: Made::Counter };
        desk.log.admit_well_known(&record, false).unwrap();
        desk
    }

    /// Texts: two of them, and a character (operation 2) in the first.
    fn texts() -> (Self, [ObjectId; 2]) {
        let mut desk = Self::new(DocumentId::TEXTS, Limits::default());
        let texts = ["a", "b"].map(|key| {
            let key = Line::new(key).unwrap();
            let record = WellKnownRecord { parent: None, key, made: Made::Text };
            desk.log.admit_well_known(&record, false).unwrap();
            ObjectId::Made(OpId { counter: 1, actor: desk.log.scope().well_known_actor(&record) })
        });
        assert_eq!(desk.offer(vec![typed(texts[0], Key::Head, "x")]), Ok(()));
        (desk, texts)
    }

    fn id(&self, counter: u64) -> OpId {
        OpId { counter, actor: self.log.scope().actor(&self.author) }
    }

    fn map(&self, key: &str, action: Action, predecessors: &[u64]) -> Operation {
        let predecessors = predecessors.iter().map(|counter| self.id(*counter)).collect();
        let (object, key) = (ObjectId::Root, Key::Map(key.into()));
        Operation { object, key, insert: false, action, predecessors }
    }

    fn change(&self, operations: Vec<Operation>) -> Change {
        let actor = self.log.scope().actor(&self.author);
        let Next { sequence, start, deps } = self.log.next(&actor);
        Change { actor, sequence, start, deps, operations }
    }

    fn send(&mut self, change: Change) -> Result<(), ChangeFault> {
        let Sealed { bytes, .. } = chunk::encode(change);
        let change = self.log.read(&bytes)?;
        let introduction = Some(self.author);
        match self.log.admit(Candidate { introduction, change, pending: false })? {
            Admission::New(..) => Ok(()),
            Admission::Known => panic!("a change that was there"),
        }
    }

    fn offer(&mut self, operations: Vec<Operation>) -> Result<(), ChangeFault> {
        let change = self.change(operations);
        self.send(change)
    }

    fn offer_one(&mut self, operation: Operation) -> Result<(), ChangeFault> {
        self.offer(vec![operation])
    }
}

fn typed(object: ObjectId, key: Key, text: &str) -> Operation {
    let action = Action::Put(Value::Text(text.to_owned()));
    Operation { object, key, insert: true, action, predecessors: Predecessors::new() }
}

#[test]
fn g1_only_plain_changes_are_read() {
    let desk = Desk::models();
    let put = desk.map("5", Action::Put(Value::Null), &[]);
    let mut bytes = chunk::encode(desk.change(vec![put])).bytes.to_vec();
    assert!(desk.log.read(&bytes).is_ok());
    bytes[8] = 2;
    assert_eq!(desk.log.read(&bytes).err(), Some(ChangeFault::Malformed));
}

#[test]
fn g2_what_is_larger_than_a_limit_is_refused() {
    let mut desk = Desk::models();
    let long = desk.map(&"k".repeat(513), Action::MakeMap, &[]);
    assert_eq!(desk.offer_one(long), Err(ChangeFault::TooLarge));
    let mut nested = vec![desk.map("5", Action::MakeMap, &[])];
    let start = desk.change(Vec::new()).start;
    for counter in start..start + 64 {
        let object = ObjectId::Made(desk.id(counter));
        nested.push(Operation { object, ..nested[0].clone() });
    }
    assert_eq!(desk.offer(nested.clone()), Err(ChangeFault::TooLarge));
    nested.pop();
    assert_eq!(desk.offer(nested), Ok(()));
    let many = vec![desk.map("6", Action::Put(Value::Null), &[]); 20_001];
    assert_eq!(desk.offer(many), Err(ChangeFault::TooLarge));
}

#[test]
fn g3_an_actor_is_its_authors() {
    let mut desk = Desk::models();
    let put = desk.map("5", Action::Put(Value::Null), &[]);
    let change = Change { actor: [7; 16], sequence: 1, ..desk.change(vec![put]) };
    assert_eq!(desk.send(change), Err(ChangeFault::WrongActor));
}

#[test]
fn g4_a_change_is_its_actors_next_and_follows_what_is_here() {
    let mut desk = Desk::models();
    let change = desk.change(vec![desk.map("5", Action::Put(Value::Null), &[])]);
    let wrong = |sequence, deps: Vec<[u8; 32]>| Change { sequence, deps, ..change.clone() };
    let deps = change.deps.clone();
    let [first, second] = deps[..] else { panic!("two heads") };
    for (change, fault) in [
        (wrong(1, deps.clone()), ChangeFault::Equivocation),
        (wrong(3, deps.clone()), ChangeFault::WrongSequence),
        (wrong(2, Vec::new()), ChangeFault::WrongSequence),
        (wrong(2, vec![first, second, [255; 32]]), ChangeFault::UnknownDependency),
        (wrong(2, vec![first, first, second]), ChangeFault::Malformed),
    ] {
        assert_eq!(desk.send(change), Err(fault));
    }
    assert_eq!(desk.send(change), Ok(()));
}

#[test]
fn g5_a_change_begins_where_what_it_follows_ends() {
    let mut desk = Desk::models();
    let change = desk.change(vec![desk.map("5", Action::Put(Value::Null), &[])]);
    for start in [1, change.start - 1, change.start + 1, u64::from(u32::MAX) - 2] {
        let change = Change { start, ..change.clone() };
        assert_eq!(desk.send(change), Err(ChangeFault::WrongStart), "start {start}");
    }
}

#[test]
fn g6_each_document_has_its_operations() {
    let mut models = Desk::models();
    let text = models.map("5", Action::MakeText, &[]);
    assert_eq!(models.offer_one(text), Err(ChangeFault::WrongOperation));
    let (mut desk, [text, _]) = Desk::texts();
    for content in ["", "xy"] {
        let refused = desk.offer_one(typed(text, Key::Head, content));
        assert_eq!(refused, Err(ChangeFault::WrongOperation), "{content:?}");
    }
    let replaced = Operation { insert: false, ..typed(text, Key::Element(desk.id(2)), "x") };
    assert_eq!(desk.offer_one(replaced), Err(ChangeFault::WrongPredecessor));
    let map = desk.map("c", Action::MakeMap, &[]);
    assert_eq!(desk.offer_one(map), Err(ChangeFault::WrongOperation));
}

#[test]
fn g6_an_operation_stands_in_what_is_there() {
    let mut desk = Desk::models();
    let put = desk.map("5", Action::Put(Value::Null), &[]);
    // A value, a counter, and nothing; and an object of the change itself, before it is made.
    let next = desk.change(Vec::new()).start;
    for counter in [1, 3, 99, next] {
        let object = ObjectId::Made(desk.id(counter));
        let refused = desk.offer_one(Operation { object, ..put.clone() });
        assert_eq!(refused, Err(ChangeFault::WrongPlace), "{counter}");
    }
    let object = ObjectId::Made(desk.id(4));
    // An object that would have the root's path; a value has none.
    let refused = desk.offer_one(desk.map("", Action::MakeMap, &[]));
    assert_eq!(refused, Err(ChangeFault::WrongPlace));
    assert_eq!(desk.offer_one(desk.map("", Action::Put(Value::Null), &[])), Ok(()));
    let inserted = Operation { insert: true, ..put.clone() };
    assert_eq!(desk.offer_one(inserted), Err(ChangeFault::WrongPlace));
    assert_eq!(desk.offer_one(Operation { object, ..put }), Ok(()));
    // An element of another text.
    let (mut desk, [text, other]) = Desk::texts();
    let behind = |text| typed(text, Key::Element(OpId { counter: 2, ..desk.id(2) }), "y");
    let (right, wrong) = (behind(text), behind(other));
    assert_eq!(desk.offer_one(wrong), Err(ChangeFault::WrongPlace));
    assert_eq!(desk.offer_one(right), Ok(()));
}

#[test]
fn g6_an_operation_replaces_what_is_there() {
    let mut desk = Desk::models();
    let put = Action::Put(Value::Null);
    let well_known = desk.log.table().all(ObjectIndex::ROOT, "4")[0].id;
    let fixed = Operation {
        predecessors: [well_known].into_iter().collect(),
        ..desk.map("4", Action::Delete, &[])
    };
    for (what, operation) in [
        ("nothing is deleted", desk.map("5", Action::Delete, &[])),
        ("nothing is counted", desk.map("2", Action::Increment(1), &[])),
        ("what is not there", desk.map("1", put.clone(), &[99])),
        ("the value of another key", desk.map("5", put.clone(), &[2])),
        ("its own", desk.map("5", put.clone(), &[6])),
        ("a value is counted", desk.map("1", Action::Increment(1), &[2])),
        ("beside its author's own", desk.map("1", put.clone(), &[])),
        ("all but its author's own", desk.map("1", put.clone(), &[1])),
        ("a deletion of all but its author's own", desk.map("1", Action::Delete, &[1])),
        ("what is well known", fixed.clone()),
    ] {
        assert_eq!(desk.offer_one(operation), Err(ChangeFault::WrongPredecessor), "{what}");
    }
    for (what, operation) in [
        ("a value", desk.map("1", put.clone(), &[2])),
        ("what was replaced", desk.map("1", put, &[1, 5])),
        ("a counter", desk.map("2", Action::Increment(1), &[3])),
        ("a well-known counter", Operation { action: Action::Increment(1), ..fixed }),
        ("a map", desk.map("3", Action::Delete, &[4])),
    ] {
        assert_eq!(desk.offer_one(operation), Ok(()), "{what}");
    }
}

#[test]
fn g6_an_author_has_one_value_in_a_place() {
    let mut desk = Desk::models();
    let put = |desk: &Desk, key: &str, ids: &[u64]| desk.map(key, Action::Put(Value::Null), ids);
    let count = |desk: &Desk, ids: &[u64]| desk.map("2", Action::Increment(1), ids);
    let next = desk.change(Vec::new()).start;
    for (what, operations) in [
        ("one beside the other", vec![put(&desk, "5", &[]), put(&desk, "5", &[])]),
        ("both in one's place", vec![put(&desk, "1", &[2]), put(&desk, "1", &[2])]),
        (
            "not the last",
            vec![put(&desk, "5", &[]), put(&desk, "5", &[next]), put(&desk, "5", &[next])],
        ),
        ("a deletion of another", vec![put(&desk, "1", &[2]), desk.map("1", Action::Delete, &[2])]),
        ("one beside what was counted", vec![count(&desk, &[3]), put(&desk, "2", &[])]),
    ] {
        assert_eq!(desk.offer(operations), Err(ChangeFault::WrongPredecessor), "{what}");
    }
    let anew = vec![desk.map("1", Action::Delete, &[2]), put(&desk, "1", &[])];
    assert_eq!(desk.offer(anew), Ok(()));
    // Counting leaves the counter where it is.
    let next = desk.change(Vec::new()).start;
    let counted = vec![
        count(&desk, &[3]),
        desk.map("2", Action::Counter(5), &[3]),
        count(&desk, &[next + 1]),
        count(&desk, &[next + 1]),
        put(&desk, "2", &[next + 1]),
    ];
    assert_eq!(desk.offer(counted), Ok(()));
    // What others have there need not be named.
    desk.author.incarnation += 1;
    let beside = put(&desk, "1", &[]);
    assert_eq!(desk.offer_one(beside.clone()), Ok(()));
    assert_eq!(desk.offer_one(beside), Err(ChangeFault::WrongPredecessor));
    let values = |key| desk.log.table().all(ObjectIndex::ROOT, key).len();
    assert_eq!(["1", "2"].map(values), [2, 1]);
}

#[test]
#[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "a measurement")]
fn many_writes_to_one_key_take_little() {
    let mut desk = Desk::models();
    let mut took = Duration::ZERO;
    for author in 1..=8 {
        desk.author.incarnation = 1 + author;
        let start = desk.change(Vec::new()).start;
        let write = |ids: &[u64]| desk.map("5", Action::Put(Value::Null), ids);
        let beside = vec![write(&[]); 20_000];
        let after = (start..).take(19_999).map(|last| write(&[last]));
        let replacing = std::iter::once(write(&[])).chain(after).collect();
        let [beside, replacing] = [beside, replacing].map(|writes| desk.change(writes));
        let begun = std::time::Instant::now();
        assert_eq!(desk.send(beside), Err(ChangeFault::WrongPredecessor));
        assert_eq!(desk.send(replacing), Ok(()));
        took += begun.elapsed();
        let values = desk.log.table().all(ObjectIndex::ROOT, "5").len();
        assert_eq!(values as u64, author, "as many values as authors");
    }
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_change_may_stand_in_the_last_of_many_objects_that_it_makes() {
    let mut desk = Desk::models();
    let start = desk.change(Vec::new()).start;
    let map = |key: u64| desk.map(&key.to_string(), Action::MakeMap, &[]);
    let mut operations: Vec<_> = (10..9_010).map(map).collect();
    for counter in start + 8_999..start + 9_050 {
        let object = ObjectId::Made(desk.id(counter));
        operations.push(Operation { object, ..operations[0].clone() });
    }
    let end = start + operations.len() as u64;
    let object = ObjectId::Made(desk.id(end - 1));
    let put = |ids: &[u64]| Operation { object, ..desk.map("6", Action::Put(Value::Null), ids) };
    operations.push(put(&[]));
    operations.extend((end..end + 8_999).map(|last| put(&[last])));
    assert_eq!(desk.offer(operations), Ok(()));
    let table = desk.log.table();
    let [live] = table.all(table.object(&object).unwrap(), "6") else { panic!("one value") };
    assert_eq!(live.id, desk.id(end + 8_999));
}
