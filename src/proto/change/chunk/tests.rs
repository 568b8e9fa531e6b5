#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test may panic, and its numbers are small or cut on purpose"
)]

mod emitted;

use std::panic::catch_unwind;

use automerge::marks::{ExpandMark, Mark};
use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, AutoCommit, ObjType, ROOT, ReadDoc, ScalarValue};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::proto::change::Predecessors;
use crate::proto::config::Limits;
use crate::proto::reason::ChangeFault;

const OWN: Actor = [7; 16];

fn limits() -> Limits {
    Limits::default()
}

/// Everything that is said of a chunk that is taken.
fn check(bytes: &[u8]) -> Sealed {
    let sealed = decode(bytes, &limits()).unwrap();
    assert_eq!(&sealed.bytes[..], bytes);
    let written = encode(sealed.change.clone());
    assert_eq!(written.bytes, sealed.bytes);
    assert_eq!(written.hash, sealed.hash);
    let theirs = automerge::Change::try_from(bytes).unwrap();
    assert_eq!(theirs.hash().0, sealed.hash);
    assert_eq!(theirs.len(), sealed.change.operations.len());
    assert_eq!(theirs.raw_bytes(), bytes);
    sealed
}

/// The checksum of what a chunk now is, put into it.
fn repair(chunk: &mut [u8]) {
    if chunk.len() >= HASHED {
        let hash = hash(chunk);
        chunk[4..HASHED].copy_from_slice(&hash[..4]);
    }
}

/// A chunk of a body.
fn chunk(body: &[u8]) -> Vec<u8> {
    let mut bytes = [&MAGIC[..], &[0; 4], &[CHANGE]].concat();
    write_unsigned(&mut bytes, body.len() as u64);
    bytes.extend_from_slice(body);
    repair(&mut bytes);
    bytes
}

/// A body of columns, with nothing special in front of them.
fn body(columns: &[(u64, &[u8])]) -> Vec<u8> {
    let mut body = [&[0, 16][..], &OWN, &[1, 1, 0, 0, 0], &[columns.len() as u8]].concat();
    for (column, data) in columns {
        write_unsigned(&mut body, *column);
        write_unsigned(&mut body, data.len() as u64);
    }
    columns.iter().for_each(|(_, data)| body.extend_from_slice(data));
    body
}

fn run(length: i64, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_signed(&mut bytes, length);
    bytes.extend_from_slice(value);
    bytes
}

fn id(counter: u64, actor: u8) -> OpId {
    OpId { counter, actor: [actor; 16] }
}

fn operation(key: &str, action: Action) -> Operation {
    Operation {
        object: ObjectId::Root,
        key: Key::Map(key.into()),
        insert: false,
        action,
        predecessors: Predecessors::new(),
    }
}

fn change(operations: Vec<Operation>) -> Change {
    Change { actor: OWN, sequence: 1, start: 1, deps: Vec::new(), operations }
}

#[test]
fn one_operation_of_every_kind() {
    let values = [
        Value::Null,
        Value::Bool(false),
        Value::Bool(true),
        Value::Uint(0),
        Value::Uint(u64::MAX),
        Value::Int(i64::MIN),
        Value::Int(i64::MAX),
        Value::Float(-0.0),
        Value::Float(f64::from_bits(0x7ff0_dead_beef_0001)),
        Value::Text(String::new()),
        Value::Text("\u{17c}".repeat(30_000)),
        Value::Bytes(vec![9; 60_000]),
    ];
    let mut actions: Vec<_> = values.map(Action::Put).into();
    actions.extend([Action::MakeMap, Action::MakeText, Action::Delete]);
    for number in [0, 63, 64, -64, -65, i64::MIN, i64::MAX] {
        actions.extend([Action::Counter(number), Action::Increment(number)]);
    }
    for action in actions {
        for object in [ObjectId::Root, ObjectId::Made(id(3, 9)), ObjectId::Made(id(3, 7))] {
            for key in [Key::Map("key".into()), Key::Head, Key::Element(id(2, 4))] {
                let operation = Operation {
                    object,
                    key,
                    insert: false,
                    action: action.clone(),
                    predecessors: [id(1, 8), id(2, 3), id(2, 200)].into_iter().collect(),
                };
                let mut change = change(vec![operation]);
                change.start = 4;
                check(&encode(change).bytes);
            }
        }
    }
}

#[test]
fn numbers_are_as_long_as_is_said() {
    for shift in 0..64 {
        for number in [1_u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
            let mut bytes = Vec::new();
            write_unsigned(&mut bytes, number);
            assert_eq!(unsigned_length(number), bytes.len() as u64);
            for number in [number.cast_signed(), number.wrapping_neg().cast_signed()] {
                bytes.clear();
                write_signed(&mut bytes, number);
                assert_eq!(signed_length(number), bytes.len() as u64);
            }
        }
    }
}

#[test]
fn many_operations_and_many_dependencies() {
    // Literals that are counted in one byte, and in more.
    for count in [1, 63, 64, 65, 66, 5_000] {
        let put = |number| operation(&format!("{number}"), Action::Put(Value::Uint(number)));
        let mut change = change((0..count).map(put).collect());
        change.deps = (0..32).rev().map(|dep| [dep; 32]).collect();
        let sealed = check(&encode(change.clone()).bytes);
        assert_eq!(sealed.change, change);
    }
}

#[test]
fn long_keys_that_are_repeated_take_no_more_memory() {
    let key = "k".repeat(80_000);
    let operations = vec![operation(&key, Action::Put(Value::Null)); 20_000];
    let sealed = check(&encode(change(operations)).bytes);
    assert!(sealed.bytes.len() < 81_000);
    assert_eq!(sealed.change.operations.len(), 20_000);
}

#[test]
fn what_is_too_much_is_refused() {
    let sealed = encode(change(vec![operation("a", Action::MakeMap); 10]));
    let decode_with = |change, operations| {
        decode(&sealed.bytes, &Limits { change, operations, ..limits() }).map(|_| ())
    };
    let length = sealed.bytes.len();
    assert_eq!(decode_with(length, 10), Ok(()));
    assert_eq!(decode_with(length - 1, 10), Err(ChangeFault::TooLarge));
    assert_eq!(decode_with(length, 9), Err(ChangeFault::TooLarge));
    let mut late = sealed.change;
    late.start = u64::from(u32::MAX) - 10;
    check(&encode(late.clone()).bytes);
    for start in [0, u64::from(u32::MAX) - 9, u64::MAX] {
        late.start = start;
        assert_eq!(decode(&encode(late.clone()).bytes, &limits()), Err(ChangeFault::Malformed));
    }
}

#[test]
fn bombs_are_refused_at_once() {
    let most = 20_000_000;
    for actions in [run(most, &[1]), run(i64::MAX, &[1]), [0, 0xff, 0xff, 0xff, 0x7f].to_vec()] {
        let bytes = chunk(&body(&[(columns::ACTION, &actions)]));
        assert!(bytes.len() < 60);
        assert_eq!(decode(&bytes, &limits()), Err(ChangeFault::TooLarge));
    }
    // Predecessors that are not there, or there by the million.
    let (one, many) = (run(1, &[1]), run(20_000, &[1]));
    let mut count = Vec::new();
    write_unsigned(&mut count, 80_001);
    for (rows, counts) in [(&one, run(1, &count)), (&many, run(20_000, &[5]))] {
        let (zeros, keys) = (run(20_000, &[0]), run(20_000, &[1, b'k']));
        let bytes = chunk(&body(&[
            (columns::KEY_NAME, &keys),
            (columns::INSERT, &[0xa0, 0x9c, 1]),
            (columns::ACTION, rows),
            (columns::KIND, &zeros),
            (columns::PREDECESSORS, &counts),
            (columns::PREDECESSOR_ACTOR, &run(most, &[0])),
            (columns::PREDECESSOR_COUNTER, &run(most, &[1])),
        ]));
        assert_eq!(decode(&bytes, &limits()), Err(ChangeFault::TooLarge));
    }
    // Dependencies, actors and columns that are not there.
    let mut huge = Vec::new();
    write_unsigned(&mut huge, u64::MAX >> 5);
    let front = [&[0, 16][..], &OWN, &[1, 1, 0, 0]].concat();
    for body in [huge.clone(), [&front[..], &huge].concat(), [&front[..], &[0], &huge].concat()] {
        assert_eq!(decode(&chunk(&body), &limits()), Err(ChangeFault::Malformed));
    }
}

#[test]
fn what_is_not_ours_is_refused() {
    let good = encode(change(vec![operation("a", Action::MakeMap)]));
    check(&good.bytes);
    let mut empty = good.change.clone();
    empty.operations.clear();
    let mut unsorted = good.change.clone();
    unsorted.operations[0].predecessors = [id(2, 1), id(1, 1)].into_iter().collect();
    let mut twice = good.change.clone();
    twice.operations[0].predecessors = [id(1, 1), id(1, 1)].into_iter().collect();
    let mut never = good.change.clone();
    never.sequence = 0;
    for change in [empty, unsorted, twice, never] {
        assert_eq!(decode(&encode(change).bytes, &limits()), Err(ChangeFault::Malformed));
    }
    for length in 0..good.bytes.len() {
        assert_eq!(decode(&good.bytes[..length], &limits()), Err(ChangeFault::Malformed));
    }
    // Bytes behind the chunk or its columns, another type, another time, an actor nobody names.
    let front = good.bytes.len() - 10;
    let body = good.bytes[10..].to_vec();
    assert_eq!(front, body.len());
    let with = |place: usize, byte: u8| {
        let mut body = body.clone();
        body[place] = byte;
        chunk(&body)
    };
    let mut other = body.clone();
    other.splice(22..23, [&[1, 16][..], &[3; 16]].concat());
    let mut compressed = good.bytes.to_vec();
    compressed[8] = 2;
    let broken = [
        [&good.bytes[..], &[0]].concat(),
        chunk(&[&body[..], &[0]].concat()),
        compressed,
        with(20, 1),
        with(21, 1),
        chunk(&other),
        chunk(&[]),
    ];
    assert_eq!(body[20..23], [0, 0, 0]);
    for mut bytes in broken {
        repair(&mut bytes);
        assert_eq!(decode(&bytes, &limits()), Err(ChangeFault::Malformed), "{bytes:?}");
    }
}

#[test]
fn what_automerge_has_beside_is_refused() {
    let values =
        [ScalarValue::Timestamp(1), ScalarValue::Unknown { type_code: 12, bytes: vec![1, 2] }];
    for value in values {
        let mut document = AutoCommit::new().with_actor(ActorId::from(OWN));
        document.put(ROOT, "key", value).unwrap();
        refused(&mut document);
    }
    let mut document = AutoCommit::new().with_actor(ActorId::from(OWN));
    document.put_object(ROOT, "list", ObjType::List).unwrap();
    refused(&mut document);
    let mut document = AutoCommit::new().with_actor(ActorId::from([7; 15]));
    document.put(ROOT, "key", 1).unwrap();
    refused(&mut document);
    let mut document = AutoCommit::new().with_actor(ActorId::from(OWN));
    let text = document.put_object(ROOT, "text", ObjType::Text).unwrap();
    document.splice_text(&text, 0, 0, "words").unwrap();
    document.commit();
    let mark = Mark::new("bold".into(), true, 0, 3);
    document.mark(&text, mark, ExpandMark::Both).unwrap();
    refused(&mut document);
    for options in [
        CommitOptions::default().with_time(1),
        CommitOptions::default().with_time(0).with_message("why"),
    ] {
        let mut document = AutoCommit::new().with_actor(ActorId::from(OWN));
        document.put(ROOT, "key", 1).unwrap();
        document.commit_with(options);
        refused(&mut document);
    }
    let mut document = AutoCommit::new().with_actor(ActorId::from(OWN));
    document.empty_change(CommitOptions::default().with_time(0));
    refused(&mut document);
}

fn refused(document: &mut AutoCommit) {
    let change = document.get_changes(&[]).pop().unwrap();
    assert_eq!(decode(change.raw_bytes(), &limits()), Err(ChangeFault::Malformed));
}

#[derive(Clone, Debug)]
enum Edit {
    Value(usize, String, ScalarValue),
    Map(usize, String),
    Increment(usize, String, i64),
    Delete(usize, String),
    Splice(usize, isize, String),
    Many(String, u16),
    Commit,
    /// One takes in another's changes.
    Merge(usize),
}

fn value() -> impl Strategy<Value = ScalarValue> {
    prop_oneof![
        Just(ScalarValue::Null),
        any::<bool>().prop_map(ScalarValue::Boolean),
        any::<i64>().prop_map(ScalarValue::Int),
        (-2..2_i64).prop_map(ScalarValue::Int),
        any::<u64>().prop_map(ScalarValue::Uint),
        any::<u64>().prop_map(|bits| ScalarValue::F64(f64::from_bits(bits))),
        Just(ScalarValue::F64(f64::NAN)),
        any::<String>().prop_map(ScalarValue::from),
        vec(any::<u8>(), 0..300).prop_map(ScalarValue::Bytes),
        any::<i64>().prop_map(ScalarValue::counter),
        (0..9_i64).prop_map(ScalarValue::counter),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    let (map, key) = (0..9_usize, "[0-3]");
    prop_oneof![
        3 => (map.clone(), key, value()).prop_map(|(map, key, to)| Edit::Value(map, key, to)),
        1 => (map.clone(), key).prop_map(|(map, key)| Edit::Map(map, key)),
        2 => (map.clone(), key, -9..9_i64).prop_map(|(map, key, by)| Edit::Increment(map, key, by)),
        2 => (map, key).prop_map(|(map, key)| Edit::Delete(map, key)),
        3 => (0..50_usize, 0..5_isize, any::<String>())
            .prop_map(|(at, delete, text)| Edit::Splice(at, delete, text)),
        1 => (key, 1..200_u16).prop_map(|(key, count)| Edit::Many(key, count)),
        2 => Just(Edit::Commit),
        3 => (0..4_usize).prop_map(Edit::Merge),
    ]
}

/// Edits that automerge refuses are not made.
fn make(document: &mut AutoCommit, maps: &mut Vec<automerge::ObjId>, edit: &Edit) {
    let text = &maps[1].clone();
    let map = |map: &usize| match map % maps.len() {
        1 => ROOT,
        map => maps[map].clone(),
    };
    let length = document.length(text);
    let _refused = match edit {
        Edit::Value(at, key, value) => document.put(map(at), key, value.clone()),
        Edit::Map(at, key) => {
            let made = document.put_object(map(at), key, ObjType::Map);
            made.map(|made| maps.push(made))
        }
        Edit::Increment(at, key, by) => document.increment(map(at), key, *by),
        Edit::Delete(at, key) => document.delete(map(at), key),
        Edit::Splice(at, delete, words) => {
            document.splice_text(text, *at.min(&length), *delete, words)
        }
        Edit::Many(key, count) => {
            (0..*count).try_for_each(|value| document.put(ROOT, key, u64::from(value)))
        }
        Edit::Commit | Edit::Merge(_) => {
            document.commit_with(CommitOptions::default().with_time(0));
            Ok(())
        }
    };
}

/// A document that some edited together.
fn edited(edits: &[(usize, Edit)]) -> AutoCommit {
    let mut first = AutoCommit::new().with_actor(ActorId::from([0x80; 16]));
    let text = first.put_object(ROOT, "text", ObjType::Text).unwrap();
    first.commit_with(CommitOptions::default().with_time(0));
    let mut maps = vec![ROOT, text];
    // In another order than they first write.
    let actors = [9, 0xff, 3, 0x81_u8].map(|actor| ActorId::from([actor; 16]));
    let mut documents = actors.map(|actor| first.fork().with_actor(actor));
    for (who, edit) in edits {
        if let Edit::Merge(other) = edit {
            documents[*other].commit_with(CommitOptions::default().with_time(0));
            let mut other = documents[*other].clone();
            documents[*who].merge(&mut other).unwrap();
        }
        make(&mut documents[*who], &mut maps, edit);
    }
    for document in &mut documents {
        first.merge(document).unwrap();
    }
    // All conflicts at once, in one operation each.
    for key in 0..4 {
        first.put(ROOT, key.to_string(), "settled").unwrap();
    }
    first.commit_with(CommitOptions::default().with_time(0));
    first
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_automerge_writes_is_written(edits in vec((0..4_usize, edit()), 0..80)) {
        let mut document = edited(&edits);
        for change in document.get_changes(&[]) {
            let sealed = check(change.raw_bytes());
            prop_assert_eq!(sealed.hash, change.hash().0);
            prop_assert_eq!(sealed.change.end(), change.max_op());
            let deps: Vec<_> = change.deps().iter().map(|dep| dep.0).collect();
            prop_assert_eq!(sealed.change.deps, deps);
        }
        // What automerge makes anew of a document is the same.
        let mut loaded = AutoCommit::load(&document.save()).unwrap();
        prop_assert_eq!(loaded.get_heads(), document.get_heads());
        loaded.get_changes(&[]).iter().for_each(|change| drop(check(change.raw_bytes())));
    }

    #[test]
    fn no_bytes_panic_and_what_is_taken_is_written_again(
        edits in vec((0..4_usize, edit()), 0..20),
        length: Index,
        mutations in vec((any::<Index>(), any::<u8>()), 0..4),
        small in vec((any::<Index>(), 0..8_u32), 0..2),
    ) {
        let mut document = edited(&edits);
        for change in document.get_changes(&[]) {
            let mut bytes = change.raw_bytes().to_vec();
            let mut cut = bytes[..length.index(bytes.len())].to_vec();
            repair(&mut cut);
            let _cut = decode(&cut, &limits());
            for (place, byte) in &mutations {
                *place.get_mut(&mut bytes[..]) = *byte;
            }
            for (place, bit) in &small {
                *place.get_mut(&mut bytes[..]) ^= 1 << bit;
            }
            repair(&mut bytes);
            if decode(&bytes, &limits()).is_ok() {
                check(&bytes);
            } else if mutations.is_empty() && small.is_empty() {
                prop_assert!(false, "an honest change is refused");
            }
        }
    }

    #[test]
    fn random_bytes_do_not_panic(
        random in vec(any::<u8>(), 0..200),
        data in vec((any::<Index>(), vec(0..6_u8, 0..8)), 0..12),
    ) {
        let _decoded = decode(&random, &limits());
        let _decoded = decode(&chunk(&random), &limits());
        let all = [1, 2, 17, 19, 21, 52, 66, 86, 87, 112, 113, 115];
        let mut data: Vec<_> = data.iter().map(|(at, data)| (*at.get(&all), &data[..])).collect();
        data.sort_unstable();
        data.dedup_by_key(|(column, _)| *column);
        let bytes = chunk(&body(&data));
        if decode(&bytes, &limits()).is_ok() {
            // Such operations may be nonsense to automerge, but its bytes are read.
            let _read = catch_unwind(|| automerge::Change::try_from(&bytes[..])).unwrap();
        }
    }
}
