//! Changes that the guard should let in, though hardly anybody honest would write them: anything in
//! any place that the rules allow.

use smol_str::SmolStr;

use super::arena::Arena;
use super::dice::Dice;
use super::facts::Kind;
use crate::proto::change::{Action, Change, Key, ObjectId, OpId, Operation, Predecessors};
use crate::proto::log::Next;
use crate::proto::model::value::Value;
use crate::proto::table::Role;
use crate::proto::wire::message::{Actor, Hash, Introduction};

/// A change by one of the authors, with the word of who that is.
pub(super) fn change(dice: &mut Dice, arena: &Arena<'_>) -> (Introduction, Change) {
    let author = author(dice, arena);
    let actor = arena.actor(&author);
    let Next { sequence, start, deps } = next(dice, arena, &actor);
    let mut change = Change { actor, sequence, start, deps, operations: Vec::new() };
    let count = match dice.below(64) {
        0 => 30 + dice.below(100),
        1..24 => 2 + dice.below(9),
        _ => 1,
    };
    for _ in 0..count {
        if let Some(operation) = operation(dice, arena, &change) {
            change.operations.push(operation);
        }
    }
    (author, change)
}

/// Somebody who wrote before, or somebody new.
pub(super) fn author(dice: &mut Dice, arena: &Arena<'_>) -> Introduction {
    let authors = &arena.prepared.authors;
    let known = dice.pick(authors).copied().unwrap_or(super::honest::introduction(200, 1));
    if dice.once_in(12) {
        return Introduction { incarnation: 1_000 + dice.word() % 4, ..known };
    }
    known
}

/// What the next change of an actor begins with: behind everything, or behind some of it.
pub(super) fn next(dice: &mut Dice, arena: &Arena<'_>, actor: &Actor) -> Next {
    let next = arena.log.next(actor);
    if !dice.once_in(3) {
        return next;
    }
    let written = arena.log.author(actor).and_then(|author| author.changes.last());
    let own = written.and_then(|index| Some(arena.log.entry(*index)?.hash));
    let some = (0..dice.below(4)).filter_map(|_| dice.pick_late(&arena.facts.hashes).copied());
    let mut deps: Vec<Hash> = some.chain(own).collect();
    deps.sort_unstable();
    deps.dedup();
    let ends = deps.iter().filter_map(|dep| arena.log.entry(arena.log.position(dep)?));
    let start = ends.map(|entry| entry.end).max().unwrap_or(0) + 1;
    Next { start, deps, ..next }
}

/// The next operation of a change.
pub(super) fn operation(dice: &mut Dice, arena: &Arena<'_>, change: &Change) -> Option<Operation> {
    if arena.texts() { typing(dice, arena, change) } else { Some(write(dice, arena, change)) }
}

/// One character more or less in a text.
fn typing(dice: &mut Dice, arena: &Arena<'_>, change: &Change) -> Option<Operation> {
    let last = change.operations.last().filter(|operation| operation.insert);
    if let Some(last) = last.filter(|_| !dice.once_in(4)) {
        let element = change.id(change.operations.len() - 1);
        return Some(insertion(dice, last.object, Key::Element(element)));
    }
    let earlier =
        |(object, id): &&(ObjectId, OpId)| id.counter < change.start && *object != ObjectId::Root;
    let element = dice.pick_late(&arena.facts.elements).filter(earlier);
    if let Some((text, element)) = element.copied().filter(|_| !dice.once_in(6)) {
        if dice.once_in(2) {
            return Some(insertion(dice, text, Key::Element(element)));
        }
        return Some(erasure(text, element));
    }
    let own = change.operations.iter().rposition(|operation| operation.insert);
    if let Some(own) = own.filter(|_| dice.once_in(2)) {
        return Some(erasure(change.operations[own].object, change.id(own)));
    }
    let text = *dice.pick(&arena.facts.texts)?;
    Some(insertion(dice, text, Key::Head))
}

fn insertion(dice: &mut Dice, object: ObjectId, key: Key) -> Operation {
    let characters =
        ["a", " ", "\n", "\0", "\u{e9}", "\u{301}", "\u{fffc}", "\u{1F980}", "\u{10ffff}"];
    let character = dice.pick(&characters).map_or("a", |character| character);
    Operation {
        object,
        key,
        insert: true,
        action: Action::Put(Value::Text(character.to_owned())),
        predecessors: Predecessors::new(),
    }
}

fn erasure(object: ObjectId, element: OpId) -> Operation {
    Operation {
        object,
        key: Key::Element(element),
        insert: false,
        action: Action::Delete,
        predecessors: [element].into_iter().collect(),
    }
}

/// Something in a map.
fn write(dice: &mut Dice, arena: &Arena<'_>, change: &Change) -> Operation {
    let (object, name) = place(dice, arena, change);
    let key = Key::Map(name);
    let replaced = replaced(dice, arena, change, object, &key);
    let action = action(dice);
    let fits = |id: &OpId| fits(arena, change, *id, &action);
    let predecessors: Predecessors = replaced.into_iter().filter(fits).collect();
    let needs = matches!(action, Action::Increment(_) | Action::Delete);
    // Nothing may be here that it could be done to.
    let fits = !needs || !predecessors.is_empty();
    let action = if fits { action } else { Action::Put(value(dice)) };
    let mut operation = Operation { object, key, insert: false, action, predecessors };
    if !dice.once_in(24) {
        replace_own(arena, change, &mut operation);
    }
    operation
}

/// Makes an operation at the end of a change replace what its author has in the same place too.
pub(super) fn replace_own(arena: &Arena<'_>, change: &Change, operation: &mut Operation) {
    let Key::Map(name) = &operation.key else {
        return;
    };
    if matches!(operation.action, Action::Increment(_)) {
        return;
    }
    let table = arena.log.table();
    match last_own(change, operation.object, &operation.key) {
        Some(own) if matches!(change.operations[own].action, Action::Delete) => {}
        Some(own) => operation.predecessors.push(change.id(own)),
        None => {
            let live = table.object(&operation.object).map_or(&[][..], |at| table.all(at, name));
            let own = live.iter().map(|live| live.id).filter(|id| id.actor == change.actor);
            operation.predecessors.extend(own);
        }
    }
    operation.predecessors.sort_unstable();
    operation.predecessors.dedup();
}

/// The last operation of a change that wrote something in a place or took it away.
fn last_own(change: &Change, object: ObjectId, key: &Key) -> Option<usize> {
    change.operations.iter().rposition(|operation| {
        operation.object == object
            && operation.key == *key
            && !matches!(operation.action, Action::Increment(_))
    })
}

fn place(dice: &mut Dice, arena: &Arena<'_>, change: &Change) -> (ObjectId, SmolStr) {
    let made = |operation: &Operation| matches!(operation.action, Action::MakeMap);
    if dice.once_in(3)
        && let Some(own) = change.operations.iter().rposition(made)
    {
        return (ObjectId::Made(change.id(own)), name(dice));
    }
    if dice.once_in(4)
        && let Some(own) = dice.pick(&change.operations)
        && let Key::Map(name) = &own.key
    {
        return (own.object, name.clone());
    }
    if !dice.once_in(4)
        && let Some((object, name)) = dice.pick_late(&arena.facts.places)
    {
        return (*object, name.clone());
    }
    (dice.pick(&arena.facts.maps).copied().unwrap_or(ObjectId::Root), name(dice))
}

/// A key, of the few that meet often or of those that nobody would take.
pub(super) fn name(dice: &mut Dice) -> SmolStr {
    match dice.below(24) {
        0 => SmolStr::new(""),
        1 => SmolStr::new("long".repeat(1 + dice.below(128))),
        2 => SmolStr::new("\u{0}\u{1F980}/%"),
        number => SmolStr::new(number.to_string()),
    }
}

/// What an operation at a place may replace.
fn replaced(
    dice: &mut Dice,
    arena: &Arena<'_>,
    change: &Change,
    object: ObjectId,
    key: &Key,
) -> Predecessors {
    if let Some(own) = last_own(change, object, key)
        && !dice.once_in(6)
    {
        return [change.id(own)].into_iter().collect();
    }
    let table = arena.log.table();
    let Key::Map(name) = key else {
        return Predecessors::new();
    };
    let live = table.object(&object).map_or(&[][..], |object| table.all(object, name));
    let mut ids: Predecessors = match dice.below(10) {
        0 => Predecessors::new(),
        1 => arena.facts.at(object, key).map(|fact| fact.id).collect(),
        2 | 3 => live.iter().filter(|_| dice.once_in(2)).map(|live| live.id).collect(),
        _ => live.iter().map(|live| live.id).collect(),
    };
    ids.sort_unstable();
    ids
}

/// Whether an action may name an operation as replaced.
fn fits(arena: &Arena<'_>, change: &Change, id: OpId, action: &Action) -> bool {
    let counts = matches!(action, Action::Increment(_));
    if id.actor == change.actor && id.counter >= change.start {
        let own = usize::try_from(id.counter - change.start).unwrap_or(usize::MAX);
        return match change.operations.get(own).map(|operation| &operation.action) {
            Some(Action::Counter(_)) => true,
            Some(Action::Put(_) | Action::MakeMap) => !counts,
            Some(Action::Increment(_) | Action::Delete | Action::MakeText) | None => false,
        };
    }
    id.counter < change.start
        && match arena.log.table().role(id) {
            Some(Role::Counter(_)) => true,
            Some(Role::FixedCounter(_)) => counts,
            Some(Role::Value(_) | Role::Object(_)) => !counts,
            _ => false,
        }
}

/// An action in a map.
pub(super) fn action(dice: &mut Dice) -> Action {
    match dice.below(20) {
        0..8 => Action::Put(value(dice)),
        8..11 => Action::MakeMap,
        11 | 12 => Action::Counter(integer(dice)),
        13..17 => Action::Increment(integer(dice)),
        _ => Action::Delete,
    }
}

/// Any value, of those that are likely to be special.
pub(super) fn value(dice: &mut Dice) -> Value {
    match dice.below(9) {
        0 => Value::Null,
        1 => Value::Bool(dice.once_in(2)),
        2 => Value::Int(integer(dice)),
        3 => Value::Uint(integer(dice).cast_unsigned()),
        4 => Value::Float(
            [0.0, -0.0, 1.5, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE][dice.below(6)],
        ),
        5 => Value::Float(f64::from_bits(dice.word())),
        6 => Value::Text(["", "a", "\u{1F980}", "\0"][dice.below(4)].to_owned()),
        7 if dice.once_in(8) => Value::Text("text".repeat(dice.below(200))),
        7 => Value::Text(dice.below(1_000).to_string()),
        _ => Value::Bytes((0..dice.below(20)).map(|_| dice.byte()).collect()),
    }
}

fn integer(dice: &mut Dice) -> i64 {
    match dice.below(12) {
        0 => i64::MIN,
        1 => i64::MAX,
        2 => dice.word().cast_signed(),
        3 => i64::from(u32::MAX),
        _ => i64::try_from(dice.below(200)).unwrap_or(0) - 100,
    }
}

/// Something of a kind, if there is anything.
pub(super) fn any_of(dice: &mut Dice, arena: &Arena<'_>, kind: Kind) -> Option<OpId> {
    (0..8).find_map(|_| {
        let fact = dice.pick(&arena.facts.all)?;
        (fact.kind == kind).then_some(fact.id)
    })
}

/// Makes an operation replace what shows, as whoever is honest does.
pub(super) fn make_usual(arena: &Arena<'_>, change: &Change, operation: &mut Operation) {
    let Key::Map(name) = &operation.key else {
        return;
    };
    let table = arena.log.table();
    let same = |one: &Operation| one.object == operation.object && one.key == operation.key;
    let live = table.object(&operation.object).map_or(&[][..], |at| table.all(at, name));
    let fixed = |id: OpId| matches!(table.role(id), Some(Role::Fixed(_) | Role::FixedCounter(_)));
    if live.iter().any(|live| fixed(live.id)) {
        operation.key = Key::Map(SmolStr::new_static("honest"));
        return make_usual(arena, change, operation);
    }
    operation.predecessors = match change.operations.iter().rposition(same) {
        Some(own) => [change.id(own)].into_iter().collect(),
        None => live.iter().map(|live| live.id).collect(),
    };
    operation.action = Action::Put(Value::Uint(change.start));
}
