//! Changes made wrong, or strange: one field at a time, and then sealed, so that they decode.

use smol_str::SmolStr;

use super::arena::Arena;
use super::craft;
use super::dice::Dice;
use super::facts::{Fact, Kind};
use crate::proto::change::{Action, Change, Key, ObjectId, OpId, Operation, Predecessors};
use crate::proto::model::value::Value;

/// What is done to a change.
type Mutate = fn(&mut Dice, &Arena<'_>, &mut Change) -> Option<()>;

/// What can be done to a change, how often, and its name.
const MUTATIONS: &[(usize, &str, Mutate)] = &[
    (4, "sequence", sequence),
    (5, "start", start),
    (6, "dependencies", super::header::deps),
    (4, "actor", super::header::actor),
    (3, "operation removed", removed),
    (3, "operation repeated", repeated),
    (3, "operations swapped", swapped),
    (5, "operation of another change", taken),
    (5, "operation added", added),
    (6, "object: any", object),
    (5, "object: of this change", own_object),
    (5, "object: no object", value_as_object),
    (4, "object: of the other document", object_elsewhere),
    (6, "key: any", key),
    (6, "key: an element", element),
    (4, "insert", insert),
    (6, "action", action),
    (10, "value", value),
    (4, "action of the other document", text_action),
    (3, "predecessors: none", no_predecessors),
    (6, "predecessors: one more", more_predecessors),
    (4, "predecessors: one less", fewer_predecessors),
    (3, "predecessors: repeated", repeated_predecessor),
    (4, "predecessors: of the future", future_predecessor),
    (5, "predecessors: nearly", near_predecessor),
    (4, "predecessors: of the other document", predecessor_elsewhere),
    (5, "predecessors: what was replaced", old_predecessors),
    (3, "predecessors: many", many_predecessors),
    (5, "well-known replaced", fixed_replaced),
    (6, "two on one key", twice),
    (4, "maps within maps", nested),
    (4, "increment of no counter", increment_value),
    (4, "increments", increments),
    (1, "many operations", many),
];

/// Does one thing to a change, if it can be done. Returns its name.
pub(super) fn mutate(dice: &mut Dice, arena: &Arena<'_>, change: &mut Change) -> &'static str {
    (0..8).find_map(|_| try_mutate(dice, arena, change)).unwrap_or("nothing")
}

fn try_mutate(dice: &mut Dice, arena: &Arena<'_>, change: &mut Change) -> Option<&'static str> {
    let total = MUTATIONS.iter().map(|(weight, ..)| weight).sum();
    let mut at = dice.below(total);
    for (weight, name, mutate) in MUTATIONS {
        if at < *weight {
            return mutate(dice, arena, change).map(|()| *name);
        }
        at -= weight;
    }
    None
}

/// Predecessors in the order in which they are written, as almost every change needs them to decode.
pub(super) fn sort(change: &mut Change) {
    for operation in &mut change.operations {
        operation.predecessors.sort_unstable();
        operation.predecessors.dedup();
    }
}

fn sequence(dice: &mut Dice, _: &Arena<'_>, change: &mut Change) -> Option<()> {
    let sequence = change.sequence;
    let wrong =
        [sequence.wrapping_add(1), sequence.saturating_sub(1), 0, 1, u64::MAX, u64::from(u32::MAX)];
    change.sequence = *dice.pick(&wrong)?;
    Some(())
}

fn start(dice: &mut Dice, _: &Arena<'_>, change: &mut Change) -> Option<()> {
    let (start, most) = (change.start, u64::from(u32::MAX));
    let wrong =
        [start + 1, start.saturating_sub(1), start % most * 2, 0, 1, most - 2, most - 1, most];
    change.start = *dice.pick(&wrong)?;
    Some(())
}

fn removed(dice: &mut Dice, _: &Arena<'_>, change: &mut Change) -> Option<()> {
    let at = dice.below(change.operations.len());
    (at < change.operations.len()).then(|| drop(change.operations.remove(at)))
}

fn repeated(dice: &mut Dice, _: &Arena<'_>, change: &mut Change) -> Option<()> {
    let operation = dice.pick(&change.operations)?.clone();
    let at = dice.below(change.operations.len() + 1);
    change.operations.insert(at, operation);
    Some(())
}

fn swapped(dice: &mut Dice, _: &Arena<'_>, change: &mut Change) -> Option<()> {
    let (one, other) = (dice.below(change.operations.len()), dice.below(change.operations.len()));
    (one != other).then(|| change.operations.swap(one, other))
}

fn taken(dice: &mut Dice, arena: &Arena<'_>, change: &mut Change) -> Option<()> {
    let other = &dice.pick(&arena.prepared.held)?.change;
    let operation = dice.pick(&other.operations)?.clone();
    let at = dice.below(change.operations.len() + 1);
    change.operations.insert(at, operation);
    Some(())
}

fn added(dice: &mut Dice, arena: &Arena<'_>, change: &mut Change) -> Option<()> {
    change.operations.push(craft::operation(dice, arena, change)?);
    Some(())
}

/// One of a change's operations, later ones likelier.
fn one<'c>(dice: &mut Dice, change: &'c mut Change) -> Option<&'c mut Operation> {
    let count = change.operations.len();
    let at = dice.below(count).max(dice.below(count));
    change.operations.get_mut(at)
}

fn object(dice: &mut Dice, arena: &Arena<'_>, change: &mut Change) -> Option<()> {
    let objects = if dice.once_in(3) { &arena.facts.texts } else { &arena.facts.maps };
    let object = *dice.pick(objects)?;
    one(dice, change)?.object = object;
    Some(())
}

fn own_object(dice: &mut Dice, _: &Arena<'_>, change: &mut Change) -> Option<()> {
    let own = change.id(dice.below(change.operations.len() + 2));
    one(dice, change)?.object = ObjectId::Made(own);
    Some(())
}

fn value_as_object(dice: &mut Dice, arena: &Arena<'_>, change: &mut Change) -> Option<()> {
    let id = dice.pick(&arena.facts.all)?.id;
    let id = if dice.once_in(3) { near(dice, arena, id) } else { id };
    one(dice, change)?.object = ObjectId::Made(id);
    Some(())
}

fn object_elsewhere(dice: &mut Dice, arena: &Arena<'_>, change: &mut Change) -> Option<()> {
    let elsewhere = &arena.prepared.elsewhere;
    let fact = dice.pick(&elsewhere.all)?;
    let operation = one(dice, change)?;
    operation.object = fact.object;
    if dice.once_in(2) {
        operation.key = fact.key.clone();
    }
    Some(())
}

fn key(dice: &mut Dice, _: &Arena<'_>, change: &mut Change) -> Option<()> {
    let key = match dice.below(8) {
        0 => Key::Head,
        1 => Key::Map(SmolStr::new("k".repeat(500 + dice.below(24)))),
        2 => Key::Map(SmolStr::default()),
        3 => dice.pick(&change.operations)?.key.clone(),
        _ => Key::Map(craft::name(dice)),
    };
    one(dice, change)?.key = key;
    Some(())
}

fn element(dice: &mut Dice, arena: &Arena<'_>, change: &mut Change) -> Option<()> {
    let id = match dice.below(4) {
        0 => dice.pick(&arena.facts.all)?.id,
        1 => change.id(dice.below(change.operations.len() + 2)),
        _ => dice.pick(&arena.facts.elements)?.1,
    };
    let id = if dice.once_in(4) { near(dice, arena, id) } else { id };
    let operation = one(dice, change)?;
    operation.key = Key::Element(id);
    if !operation.insert && dice.once_in(2) {
        operation.predecessors = [id].into_iter().collect();
    }
    Some(())
}

fn insert(dice: &mut Dice, _: &Arena<'_>, change: &mut Change) -> Option<()> {
    let operation = one(dice, change)?;
    operation.insert = !operation.insert;
    Some(())
}

fn action(dice: &mut Dice, _: &Arena<'_>, change: &mut Change) -> Option<()> {
    let action = if dice.once_in(6) { Action::MakeText } else { craft::action(dice) };
    one(dice, change)?.action = action;
    Some(())
}

fn value(dice: &mut Dice, _: &Arena<'_>, change: &mut Change) -> Option<()> {
    let value = craft::value(dice);
    let operation = one(dice, change)?;
    let written = matches!(operation.action, Action::Put(_));
    written.then(|| operation.action = Action::Put(value))
}

fn text_action(dice: &mut Dice, _: &Arena<'_>, change: &mut Change) -> Option<()> {
    let text = ["", "ab", "a", "\u{1F980}\u{301}"][dice.below(4)].to_owned();
    let operation = one(dice, change)?;
    operation.action = match dice.below(4) {
        0 => Action::MakeText,
        1 => Action::Delete,
        _ => Action::Put(Value::Text(text)),
    };
    operation.insert |= dice.once_in(2);
    Some(())
}

fn no_predecessors(dice: &mut Dice, _: &Arena<'_>, change: &mut Change) -> Option<()> {
    one(dice, change)?.predecessors.clear();
    Some(())
}

fn more_predecessors(dice: &mut Dice, arena: &Arena<'_>, change: &mut Change) -> Option<()> {
    let id = dice.pick_late(&arena.facts.all)?.id;
    one(dice, change)?.predecessors.push(id);
    Some(())
}

fn fewer_predecessors(dice: &mut Dice, _: &Arena<'_>, change: &mut Change) -> Option<()> {
    let operation = one(dice, change)?;
    let at = dice.below(operation.predecessors.len());
    let there = at < operation.predecessors.len();
    if there {
        operation.predecessors.remove(at);
    }
    there.then_some(())
}

fn repeated_predecessor(dice: &mut Dice, _: &Arena<'_>, change: &mut Change) -> Option<()> {
    let operation = one(dice, change)?;
    let id = *operation.predecessors.last()?;
    operation.predecessors.push(id);
    Some(())
}

fn future_predecessor(dice: &mut Dice, _: &Arena<'_>, change: &mut Change) -> Option<()> {
    let at = dice.below(change.operations.len());
    let future = change.id(at + dice.below(3));
    let operation = change.operations.get_mut(at)?;
    if dice.once_in(2) {
        operation.predecessors.clear();
    }
    operation.predecessors.push(future);
    Some(())
}

fn near_predecessor(dice: &mut Dice, arena: &Arena<'_>, change: &mut Change) -> Option<()> {
    let operation = one(dice, change)?;
    let at = dice.below(operation.predecessors.len());
    let id = *operation.predecessors.get(at)?;
    operation.predecessors[at] = near(dice, arena, id);
    Some(())
}

fn predecessor_elsewhere(dice: &mut Dice, arena: &Arena<'_>, change: &mut Change) -> Option<()> {
    let id = dice.pick(&arena.prepared.elsewhere.all)?.id;
    one(dice, change)?.predecessors.push(id);
    Some(())
}

/// Names what was replaced long ago: allowed, and nothing that anybody would write.
fn old_predecessors(dice: &mut Dice, arena: &Arena<'_>, change: &mut Change) -> Option<()> {
    let start = change.start;
    let operation = one(dice, change)?;
    let old = arena.facts.at(operation.object, &operation.key);
    let old = old.filter(|fact| !fact.fixed && fact.kind != Kind::Nothing);
    let counts = matches!(operation.action, Action::Increment(_));
    let old = old.filter(|fact| !counts || fact.kind == Kind::Counter);
    let ids: Predecessors = old.map(|fact| fact.id).filter(|id| id.counter < start).collect();
    let there = !ids.is_empty();
    there.then(|| operation.predecessors = ids)
}

fn many_predecessors(dice: &mut Dice, arena: &Arena<'_>, change: &mut Change) -> Option<()> {
    let ids = (0..dice.below(20)).filter_map(|_| Some(dice.pick(&arena.facts.all)?.id)).collect();
    one(dice, change)?.predecessors = ids;
    Some(())
}

fn fixed_replaced(dice: &mut Dice, arena: &Arena<'_>, change: &mut Change) -> Option<()> {
    let fixed = |_| dice.pick(&arena.facts.all).filter(|fact| fact.fixed);
    let Fact { id, object, key, .. } = (0..8).find_map(fixed)?.clone();
    let operation = one(dice, change)?;
    (operation.object, operation.key, operation.insert) = (object, key, false);
    operation.predecessors = [id].into_iter().collect();
    operation.action = match dice.below(4) {
        0 => Action::Increment(1),
        1 => craft::action(dice),
        _ => Action::Delete,
    };
    Some(())
}

/// Another operation on the same key, which replaces the same or the other.
fn twice(dice: &mut Dice, _: &Arena<'_>, change: &mut Change) -> Option<()> {
    let at = dice.below(change.operations.len());
    let mut again = change.operations.get(at)?.clone();
    again.action = craft::action(dice);
    if dice.once_in(2) {
        again.predecessors = [change.id(at)].into_iter().collect();
    }
    if matches!(again.key, Key::Element(_)) && dice.once_in(2) {
        again.action = Action::Delete;
    }
    change.operations.push(again);
    Some(())
}

fn nested(dice: &mut Dice, arena: &Arena<'_>, change: &mut Change) -> Option<()> {
    let mut object = *dice.pick_late(&arena.facts.maps)?;
    let depth = if dice.once_in(4) { 50 + dice.below(20) } else { 1 + dice.below(8) };
    for _ in 0..depth {
        let made = change.id(change.operations.len());
        let mut map = Operation {
            object,
            key: Key::Map(craft::name(dice)),
            insert: false,
            action: Action::MakeMap,
            predecessors: Predecessors::new(),
        };
        craft::replace_own(arena, change, &mut map);
        change.operations.push(map);
        object = ObjectId::Made(made);
    }
    Some(())
}

fn increment_value(dice: &mut Dice, arena: &Arena<'_>, change: &mut Change) -> Option<()> {
    let kind = [Kind::Value, Kind::Object, Kind::Nothing][dice.below(3)];
    let id = craft::any_of(dice, arena, kind)?;
    let fact = arena.facts.all.iter().find(|fact| fact.id == id)?;
    let operation = one(dice, change)?;
    (operation.object, operation.key) = (fact.object, fact.key.clone());
    operation.action = Action::Increment(7);
    operation.predecessors = [id].into_iter().collect();
    Some(())
}

/// Several additions to one counter, large ones among them.
fn increments(dice: &mut Dice, arena: &Arena<'_>, change: &mut Change) -> Option<()> {
    let id = craft::any_of(dice, arena, Kind::Counter)?;
    let fact = arena.facts.all.iter().find(|fact| fact.id == id)?;
    for _ in 0..1 + dice.below(4) {
        change.operations.push(Operation {
            object: fact.object,
            key: fact.key.clone(),
            insert: false,
            action: Action::Increment([1, -1, i64::MAX, i64::MIN][dice.below(4)]),
            predecessors: [id].into_iter().collect(),
        });
    }
    Some(())
}

/// More operations than are taken, or nearly; not often, since that takes time. Each in the place of
/// the one before, or all in the same one's.
fn many(dice: &mut Dice, arena: &Arena<'_>, change: &mut Change) -> Option<()> {
    let operation = dice.pick(&change.operations)?.clone();
    if dice.once_in(2_000) {
        change.operations.extend(std::iter::repeat_n(operation, 20_001));
        return Some(());
    }
    let replaces = !dice.once_in(3);
    for _ in 0..10 + dice.below(30) {
        let mut again = operation.clone();
        if replaces {
            craft::replace_own(arena, change, &mut again);
        }
        change.operations.push(again);
    }
    Some(())
}

/// An id that is nearly another.
fn near(dice: &mut Dice, arena: &Arena<'_>, id: OpId) -> OpId {
    let counter = match dice.below(4) {
        0 => id.counter.saturating_add(1),
        1 => id.counter.saturating_sub(1),
        2 => id.counter.saturating_add(dice.word() % 1_000),
        _ => id.counter,
    };
    let actor = match dice.below(3) {
        0 => dice.pick(&arena.facts.all).map_or([1; 16], |fact| fact.id.actor),
        1 => [7; 16],
        _ => id.actor,
    };
    OpId { counter, actor }
}
