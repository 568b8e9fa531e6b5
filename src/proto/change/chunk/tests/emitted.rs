//! What automerge emits, as the module says.

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, AutoCommit, ObjType, ROOT, ScalarValue};

use super::{check, id, operation};
use crate::proto::change::{Action, Key, ObjectId, OpId, Operation};
use crate::proto::model::value::Value;

/// The operations of the change that an edit makes.
fn made(document: &mut AutoCommit, edit: impl FnOnce(&mut AutoCommit)) -> Vec<Operation> {
    document.commit_with(CommitOptions::default().with_time(0));
    let before = document.get_heads();
    edit(document);
    document.commit_with(CommitOptions::default().with_time(0));
    let changes = document.get_changes(&before);
    changes.iter().flat_map(|change| check(change.raw_bytes()).change.operations).collect()
}

fn in_root(action: Action, predecessors: &[OpId]) -> Operation {
    let predecessors = predecessors.iter().copied().collect();
    Operation { predecessors, ..operation("k", action) }
}

fn in_text(key: Key, insert: bool, action: Action, predecessors: &[OpId]) -> Operation {
    Operation { object: ObjectId::Made(id(1, 1)), key, insert, ..in_root(action, predecessors) }
}

/// Two who made one edit each, not knowing of the other's, in the eyes of the first.
fn conflict(values: [ScalarValue; 2]) -> AutoCommit {
    let [first, second] = values;
    let mut document = AutoCommit::new().with_actor(ActorId::from([2; 16]));
    let mut other = AutoCommit::new().with_actor(ActorId::from([3; 16]));
    document.put(ROOT, "k", first).unwrap();
    other.put(ROOT, "k", second).unwrap();
    document.merge(&mut other).unwrap();
    document
}

#[test]
fn what_automerge_emits_for_maps() {
    let both = [id(1, 2), id(1, 3)];
    let put = |number| Action::Put(Value::Int(number));
    let values = || conflict([1.into(), 2.into()]);
    let over = |number: i64| move |d: &mut AutoCommit| d.put(ROOT, "k", number).unwrap();
    let add = |d: &mut AutoCommit| d.increment(ROOT, "k", 9).unwrap();
    let delete = |d: &mut AutoCommit| d.delete(ROOT, "k").unwrap();
    assert_eq!(made(&mut values(), over(3)), [in_root(put(3), &both)]);
    assert_eq!(made(&mut values(), over(1)), [in_root(put(1), &both)]);
    assert_eq!(made(&mut values(), over(2)), [in_root(Action::Delete, &both[..1])]);
    assert_eq!(made(&mut values(), delete), [in_root(Action::Delete, &both)]);
    let mut document = values();
    assert_eq!(made(&mut document, over(3)), [in_root(put(3), &both)]);
    assert_eq!(made(&mut document, over(3)), []);
    assert_eq!(made(&mut document, delete), [in_root(Action::Delete, &[id(2, 2)])]);
    assert_eq!(made(&mut document, delete), []);
    assert_eq!(made(&mut document, over(4)), [in_root(put(4), &[])]);

    let counters = conflict([ScalarValue::counter(1), ScalarValue::counter(2)]);
    let mixed = conflict([ScalarValue::counter(1), 2.into()]);
    for (mut document, left) in [(counters, &both[..]), (mixed, &both[..1])] {
        let increment = |predecessors| in_root(Action::Increment(9), predecessors);
        let twice = made(&mut document, |document| (0..2).for_each(|_| add(document)));
        assert_eq!(twice, [increment(&both), increment(left)]);
        assert_eq!(made(&mut document, add), [increment(left)]);
        assert_eq!(made(&mut document, over(0)), [in_root(put(0), left)]);
    }
}

#[test]
fn what_automerge_emits_for_texts() {
    let mut document = AutoCommit::new().with_actor(ActorId::from([1; 16]));
    let text = document.put_object(ROOT, "text", ObjType::Text).unwrap();
    let element = |counter| Key::Element(id(counter, 1));
    let insert = |key, words: &str| in_text(key, true, Action::Put(Value::Text(words.into())), &[]);
    let delete = |counter| in_text(element(counter), false, Action::Delete, &[id(counter, 1)]);
    let mut splice = |at, length, words| {
        made(&mut document, |document| document.splice_text(&text, at, length, words).unwrap())
    };
    let (first, rest) = (insert(Key::Head, "e"), insert(element(2), "\u{301}"));
    assert_eq!(splice(0, 0, "e\u{301}\u{1f44d}"), [first, rest, insert(element(3), "\u{1f44d}")]);
    assert_eq!(splice(1, 1, "xy"), [insert(element(2), "x"), insert(element(5), "y"), delete(3)]);
    assert_eq!(splice(2, 9, ""), [delete(6), delete(4)]);
    assert_eq!(splice(2, 0, "z"), [insert(element(5), "z")]);
}
