//! What stands in front of a change's operations made wrong; and records of well-known objects.

use super::arena::Arena;
use super::craft;
use super::dice::Dice;
use super::facts::Kind;
use crate::proto::change::{Change, ObjectId, OpId};
use crate::proto::wire::bounded::Line;
use crate::proto::wire::message::{Hash, Made, ParentRecord, WellKnownRecord};

/// Other dependencies; half the time with the start that follows from them.
pub(super) fn deps(dice: &mut Dice, arena: &Arena<'_>, change: &mut Change) -> Option<()> {
    let hash = match dice.below(4) {
        0 => [dice.byte(); 32],
        1 => dice.pick(&arena.prepared.elsewhere.hashes).copied().unwrap_or([3; 32]),
        _ => *dice.pick(&arena.facts.hashes)?,
    };
    let at = dice.below(change.deps.len());
    match dice.below(7) {
        0 if at < change.deps.len() => drop(change.deps.remove(at)),
        1 => change.deps.push(*change.deps.get(at)?),
        2 => change.deps.reverse(),
        3 => change.deps.clear(),
        4 => change.deps.push(hash),
        _ => {
            change.deps.push(hash);
            change.deps.sort_unstable();
        }
    }
    if dice.once_in(2) {
        change.start = after(arena, &change.deps);
    }
    Some(())
}

fn after(arena: &Arena<'_>, deps: &[Hash]) -> u64 {
    let entries = deps.iter().filter_map(|dep| arena.log.entry(arena.log.position(dep)?));
    entries.map(|entry| entry.end).max().unwrap_or(0) + 1
}

/// Somebody else's actor, one of nobody, or a well-known object's; what the change says of its own
/// operations then says it of the other's.
pub(super) fn actor(dice: &mut Dice, arena: &Arena<'_>, change: &mut Change) -> Option<()> {
    change.actor = match dice.below(4) {
        0 => [dice.byte(); 16],
        1 => dice.pick(&arena.facts.all)?.id.actor,
        _ => {
            let author = *dice.pick(&arena.prepared.authors)?;
            arena.actor(&author)
        }
    };
    if dice.once_in(2) {
        let next = craft::next(dice, arena, &change.actor);
        (change.sequence, change.start, change.deps) = (next.sequence, next.start, next.deps);
    }
    Some(())
}

/// The record of a well-known object, right or wrong.
pub(super) fn record(dice: &mut Dice, arena: &Arena<'_>) -> Option<WellKnownRecord> {
    let usual = if arena.texts() { 0 } else { 4 };
    let parent = if dice.below(8) < usual { Some(parent(dice, arena)?) } else { None };
    let made = match dice.below(6) {
        _ if arena.texts() && !dice.once_in(8) => Made::Text,
        0 | 1 => Made::Map,
        2 | 3 => Made::Counter,
        4 => Made::Record(Line::new("{}".repeat(dice.below(20)))?),
        _ => Made::Text,
    };
    Some(WellKnownRecord { parent, key: Line::new(craft::name(dice).as_str())?, made })
}

fn parent(dice: &mut Dice, arena: &Arena<'_>) -> Option<ParentRecord> {
    let id = match (dice.below(4), *dice.pick_late(&arena.facts.maps)?) {
        (0, _) => craft::any_of(dice, arena, Kind::Value)?,
        (_, ObjectId::Made(id)) => id,
        (_, ObjectId::Root) => return None,
    };
    let change = arena.log.containing(id).and_then(|index| arena.log.entry(index));
    let mut parent = ParentRecord {
        actor: id.actor,
        counter: id.counter,
        change: change.map_or([5; 32], |entry| entry.hash),
    };
    match dice.below(16) {
        0 => parent.counter = [0, u64::MAX, parent.counter + 1, u64::from(u32::MAX)][dice.below(4)],
        1 => parent.change = *dice.pick(&arena.facts.hashes)?,
        2 => parent.change = [dice.byte(); 32],
        3 => parent.actor = dice.pick(&arena.facts.all)?.id.actor,
        4 => {
            let OpId { actor, counter } = dice.pick(&arena.prepared.elsewhere.all)?.id;
            (parent.actor, parent.counter) = (actor, counter);
        }
        _ => {}
    }
    Some(parent)
}
