//! One input against a prepared document: what it is, whether the guard lets it in, and what
//! automerge makes of it then.

use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::transaction::Transactable;
use automerge::{Automerge, ChangeHash, ObjId, ReadDoc};
use bytes::Bytes;
use smallvec::SmallVec;

use super::arena::{Arena, apply};
use super::coverage::{Coverage, Stage};
use super::dice::Dice;
use super::honest::introduction;
use super::{craft, header, mutate, raw};
use crate::proto::change::{Change, Key, ObjectId, OpId, Sealed, chunk};
use crate::proto::log::{Admission, Candidate, ChangeLog, Next};
use crate::proto::reason::ChangeFault;
use crate::proto::table::Role;
use crate::proto::wire::bounded::Blob;
use crate::proto::wire::message::{EntryRecord, Introduction};

/// An input, and what was done to make it.
pub(super) struct Input {
    pub(super) record: EntryRecord,
    pub(super) done: SmallVec<[&'static str; 4]>,
}

/// Draws an input.
pub(super) fn draw(dice: &mut Dice, arena: &Arena<'_>) -> Input {
    let mut done = SmallVec::new();
    let kind = dice.below(100);
    if (22..27).contains(&kind)
        && let Some(record) = header::record(dice, arena)
    {
        done.push("well-known record");
        return Input { record: EntryRecord::WellKnown(record), done };
    }
    if kind == 0 {
        done.push("noise");
        return Input { record: authored(None, raw::noise(dice)), done };
    }
    let (author, mut change) = base(dice, arena, &mut done);
    if kind < 22 {
        let mut bytes = chunk::encode(change).bytes.to_vec();
        let other = dice.pick(&arena.prepared.held).map_or(&[][..], |held| &held.bytes[..]);
        done.push(raw::mutate(dice, &mut bytes, other));
        return Input { record: authored(Some(author), bytes), done };
    }
    let mutations = [0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6][dice.below(16)];
    for _ in 0..mutations {
        done.push(mutate::mutate(dice, arena, &mut change));
    }
    if !dice.once_in(24) {
        mutate::sort(&mut change);
    }
    let said = match dice.below(32) {
        0 => None,
        1 => Some(craft::author(dice, arena)),
        _ => Some(author),
    };
    Input { record: authored(said, chunk::encode(change).bytes.to_vec()), done }
}

/// Bytes as an input.
pub(super) fn as_it_is(introduction: Option<Introduction>, bytes: Vec<u8>) -> Input {
    Input { record: authored(introduction, bytes), done: SmallVec::new() }
}

/// What is made wrong then: a change that was crafted, or one that was held back.
fn base(
    dice: &mut Dice,
    arena: &Arena<'_>,
    done: &mut SmallVec<[&'static str; 4]>,
) -> (Introduction, Change) {
    let held = dice.pick(&arena.prepared.held).filter(|_| dice.once_in(3));
    let Some(held) = held else {
        done.push("crafted");
        return craft::change(dice, arena);
    };
    let mut change = held.change.clone();
    let authors = &arena.prepared.authors;
    let author = authors.iter().find(|author| arena.actor(author) == change.actor);
    let author = author.copied().unwrap_or(introduction(200, 1));
    if dice.once_in(3) {
        done.push("honest, as it was");
    } else {
        done.push("honest, as the next one");
        rebase(&mut change, arena.log.next(&held.change.actor));
    }
    (author, change)
}

/// Makes a change follow everything, with what it names of itself.
fn rebase(change: &mut Change, next: Next) {
    let (actor, before, start) = (change.actor, change.start, next.start);
    let moved = |id: &mut OpId| {
        if id.actor == actor && id.counter >= before {
            id.counter = id.counter - before + start;
        }
    };
    for operation in &mut change.operations {
        if let ObjectId::Made(id) = &mut operation.object {
            moved(id);
        }
        if let Key::Element(id) = &mut operation.key {
            moved(id);
        }
        operation.predecessors.iter_mut().for_each(moved);
    }
    (change.sequence, change.start, change.deps) = (next.sequence, start, next.deps);
}

fn authored(introduction: Option<Introduction>, bytes: Vec<u8>) -> EntryRecord {
    let bytes = Blob::new(Bytes::from(bytes)).unwrap_or_default();
    EntryRecord::Authored { introduction, bytes }
}

/// Offers an input to the guard, and what it lets in to automerge.
///
/// # Errors
///
/// What does not hold.
pub(super) fn attempt(
    dice: &mut Dice,
    arena: &mut Arena<'_>,
    input: &Input,
    coverage: &mut Coverage,
) -> Result<(), String> {
    let before = (arena.log.revision(), arena.log.len());
    let mut replaces = false;
    match offer(&mut arena.log, &input.record, |log, change| {
        replaces = names_replaced(log, change);
    }) {
        Err((stage, fault)) => {
            coverage.count(&input.done, false);
            coverage.refuse(stage, fault);
            if before != (arena.log.revision(), arena.log.len()) {
                return Err(format!("{fault}, and the log is another"));
            }
        }
        Ok(None) => {
            coverage.count(&input.done, false);
            coverage.know();
        }
        Ok(Some(sealed)) => {
            note(arena, &input.record, &sealed, coverage);
            if replaces {
                coverage.shape("replaces what was replaced");
            }
            arena.learn(&sealed, input.record.clone());
            follow(dice, arena, &[sealed.bytes.to_vec()])?;
            coverage.count(&input.done, true);
            if dice.once_in(8) {
                go_on(dice, arena)?;
            }
        }
    }
    Ok(())
}

/// What comes of a record, which is seen when it was read; nothing if it was known.
fn offer(
    log: &mut ChangeLog,
    record: &EntryRecord,
    see: impl FnOnce(&ChangeLog, &Change),
) -> Result<Option<Sealed>, (Stage, ChangeFault)> {
    let (sealed, admission) = match record {
        EntryRecord::Authored { introduction, bytes } => {
            let change = log.read(bytes).map_err(|fault| (Stage::Decode, fault))?;
            see(log, &change.change);
            let candidate =
                Candidate { introduction: *introduction, change: change.clone(), pending: false };
            let admission = log.admit(candidate).map_err(|fault| (Stage::of(fault), fault))?;
            (Some(change), admission)
        }
        EntryRecord::WellKnown(record) => {
            let admission = log.admit_well_known(record, false);
            (None, admission.map_err(|fault| (Stage::WellKnown, fault))?)
        }
        EntryRecord::Signed(_)
        | EntryRecord::Cut(_)
        | EntryRecord::Base(_)
        | EntryRecord::Denied(_)
        | EntryRecord::Resumed(_) => return Ok(None),
    };
    let Admission::New(index, _) = admission else {
        return Ok(None);
    };
    let made = || {
        let (entry, change) = (log.entry(index)?, log.change(index)?);
        Some(Sealed { change, bytes: entry.bytes.clone(), hash: entry.hash })
    };
    Ok(sealed.or_else(made))
}

/// Counts what was let in.
fn note(arena: &Arena<'_>, record: &EntryRecord, sealed: &Sealed, coverage: &mut Coverage) {
    if let EntryRecord::WellKnown(record) = record {
        return coverage.pass_well_known(&record.made);
    }
    let change = &sealed.change;
    coverage.pass(change);
    let own = |id: &OpId| id.actor == change.actor && id.counter >= change.start;
    let any = |found: fn(&[OpId]) -> bool| {
        change.operations.iter().any(|operation| found(&operation.predecessors))
    };
    let named = || change.operations.iter().flat_map(|operation| &operation.predecessors);
    let within = |object: ObjectId| matches!(object, ObjectId::Made(id) if own(&id));
    let shapes = [
        ("first of its author", change.sequence == 1),
        ("beside what is there", arena.log.heads().count() > 1),
        ("several operations", change.operations.len() > 1),
        ("several predecessors", any(|ids| ids.len() > 1)),
        ("replaces its own", named().any(own)),
        ("within what it makes", change.operations.iter().any(|one| within(one.object))),
    ];
    for (shape, _) in shapes.into_iter().filter(|(_, is)| *is) {
        coverage.shape(shape);
    }
}

/// Whether a change names something that was replaced before.
fn names_replaced(log: &ChangeLog, change: &Change) -> bool {
    let table = log.table();
    let replaced = |id: &OpId| match table.role(*id) {
        Some(Role::Value(at) | Role::Counter(at) | Role::Object(at)) => {
            table.values(at).iter().all(|live| live.id != *id)
        }
        _ => false,
    };
    change.operations.iter().flat_map(|operation| &operation.predecessors).any(replaced)
}

/// Brings the document up to the log and compares everything.
///
/// # Errors
///
/// What does not hold.
pub(super) fn follow(
    dice: &mut Dice,
    arena: &mut Arena<'_>,
    changes: &[Vec<u8>],
) -> Result<(), String> {
    let (both, writes, reloads) = (dice.once_in(4), dice.once_in(16), dice.once_in(2));
    let packs = dice.once_in(8);
    unwinding(|| {
        apply(&mut arena.automerge, arena.log.document(), changes)?;
        let loaded = compare(&arena.log, &arena.automerge, packs)?;
        if both {
            same(&arena.log, &arena.automerge)?;
        }
        if arena.texts() {
            same_texts(&arena.automerge, &loaded)?;
        }
        if writes {
            write_locally(&loaded)?;
        }
        if reloads {
            arena.automerge = loaded;
        }
        Ok(())
    })
}

/// What a document is when it was saved, packed or not, and loaded, if it is what its log says.
pub(super) fn compare(
    log: &ChangeLog,
    document: &Automerge,
    packs: bool,
) -> Result<Automerge, String> {
    same_heads(log, document)?;
    let saved = if packs { document.save() } else { document.save_nocompress() };
    let loaded = Automerge::load(&saved).map_err(|error| error.to_string())?;
    same_heads(log, &loaded)?;
    same(log, &loaded)?;
    Ok(loaded)
}

fn same(log: &ChangeLog, document: &Automerge) -> Result<(), String> {
    log.table().difference(document).map_or(Ok(()), Err)
}

fn same_heads(log: &ChangeLog, document: &Automerge) -> Result<(), String> {
    let mut heads = document.get_heads();
    heads.sort_unstable();
    let same = heads.into_iter().eq(log.heads().map(ChangeHash));
    if same { Ok(()) } else { Err("the heads differ".to_owned()) }
}

fn same_texts(one: &Automerge, other: &Automerge) -> Result<(), String> {
    for key in one.keys(ObjId::Root) {
        let text = |document: &Automerge| {
            let (_, text) = document.get(ObjId::Root, key.as_str()).ok()??;
            document.text(&text).ok()
        };
        if text(one) != text(other) {
            return Err(format!("the text {key:?} differs"));
        }
    }
    Ok(())
}

/// Whether automerge itself can still write.
fn write_locally(document: &Automerge) -> Result<(), String> {
    let mut document = document.clone();
    let mut transaction = document.transaction();
    transaction.put(ObjId::Root, "local", 1).map_err(|error| error.to_string())?;
    transaction.commit();
    Automerge::load(&document.save()).map(drop).map_err(|error| error.to_string())
}

/// Lets somebody honest write on top of what was let in.
fn go_on(dice: &mut Dice, arena: &mut Arena<'_>) -> Result<(), String> {
    let author = introduction(201, 1);
    let actor = arena.actor(&author);
    let Next { sequence, start, deps } = arena.log.next(&actor);
    let mut change = Change { actor, sequence, start, deps, operations: Vec::new() };
    for _ in 0..1 + dice.below(3) {
        let Some(mut operation) = craft::operation(dice, arena, &change) else { continue };
        craft::make_usual(arena, &change, &mut operation);
        change.operations.push(operation);
    }
    if change.operations.is_empty() || arena.log.may_write(&actor).is_err() {
        return Ok(());
    }
    let sealed = chunk::encode(change);
    let record = authored(Some(author), sealed.bytes.to_vec());
    match offer(&mut arena.log, &record, |_, _| {}) {
        Ok(_) => {}
        // Of the limits, some are drawn so that they are soon reached.
        Err((_, ChangeFault::TooLarge)) => return Ok(()),
        Err((_, fault)) => return Err(format!("{fault}, of an honest change on top")),
    }
    arena.learn(&sealed, record);
    follow(dice, arena, &[sealed.bytes.to_vec()])
}

/// Does something that may panic, which is then an error.
pub(super) fn unwinding<T>(what: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(what)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}
