//! `epochs.json`: what an epoch is called, what it begins with, and the changes that make that.

use std::collections::BTreeMap;

use parlor::proto::base::{Base, Content, ROWS_EACH, Row, columns};
use parlor::proto::change::{Action, Change, Key, ObjectId, OpId, Operation, Sealed, chunk};
use parlor::proto::config::Limits;
use parlor::proto::cut::Cut;
use parlor::proto::document::admit;
use parlor::proto::id::{DocumentId, EpochId};
use parlor::proto::log::ChangeLog;
use parlor::proto::model::value::Value as Held;
use parlor::proto::table::ObjectIndex;
use parlor::proto::wire::bounded::{Blob, Line};
use parlor::proto::wire::message::{
    EntryRecord, Hash, Introduction, Made, ParentRecord, WellKnownRecord,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::columns::describe;
use crate::stage::{author, scope};
use crate::vectors::check;

#[derive(Serialize)]
struct Case {
    name: &'static str,
    why: &'static str,
    given: Value,
    gives: Value,
}

#[test]
fn epochs() {
    let cases = names().into_iter().chain(cuts());
    check("epochs.json", &cases.collect::<Vec<_>>());
}

fn names() -> Vec<Case> {
    let first = scope();
    let second = first.next(DocumentId::MODELS, &[[1; 32]], 0);
    let named = |name, why, parent: EpochId, document: DocumentId, heads: &[Hash], lease: u64| {
        let scope = first.of(parent).next(document, heads, lease);
        Case {
            name,
            why,
            given: json!({
                "parent": hex::encode(parent.0),
                "document": document.0,
                "lease": lease,
                "heads": heads.iter().map(hex::encode).collect::<Vec<_>>(),
            }),
            gives: json!({
                "epoch": hex::encode(scope.epoch().0),
                "base_actor": hex::encode(scope.base_actor()),
                "actor": hex::encode(scope.actor(&author(1))),
            }),
        }
    };
    let (models, texts) = (DocumentId::MODELS, DocumentId::TEXTS);
    let (first, second) = (first.epoch(), second.epoch());
    vec![
        named("epoch-second", "the first epoch is cut at one change", first, models, &[[1; 32]], 0),
        named("epoch-third", "and that again, at two", second, models, &[[1; 32], [2; 32]], 0),
        named("epoch-texts", "another document has other epochs", first, texts, &[[1; 32]], 0),
        named("epoch-lease", "another lease; it is 0 so far", first, models, &[[1; 32]], 1),
    ]
}

/// A log into which things are written.
struct Writer {
    log: ChangeLog,
    entries: Vec<EntryRecord>,
}

impl Writer {
    fn new() -> Self {
        Self::of(DocumentId::MODELS)
    }

    fn of(document: DocumentId) -> Self {
        let log = ChangeLog::new(scope(), document, Limits::default());
        Self { log, entries: Vec::new() }
    }

    fn take(&mut self, entry: EntryRecord) {
        admit(&mut self.log, &entry).unwrap();
        self.entries.push(entry);
    }

    /// A change on all that `base` has, or on all that is here. Returns the id of its first operation.
    fn write(&mut self, seed: u8, on: Option<&ChangeLog>, operations: Vec<Operation>) -> OpId {
        let (entry, id) = change(on.unwrap_or(&self.log), author(seed), operations);
        self.take(entry);
        id
    }

    /// Something well known. Returns the object.
    fn make(&mut self, parent: Option<OpId>, key: &str, made: Made) -> OpId {
        let parent = parent.map(|id| {
            let change = self.log.containing(id).unwrap();
            let change = self.log.entry(change).unwrap().hash;
            ParentRecord { actor: id.actor, counter: id.counter, change }
        });
        let record = WellKnownRecord { parent, key: Line::new(key).unwrap(), made };
        let actor = self.log.scope().well_known_actor(&record);
        self.take(EntryRecord::WellKnown(record));
        let counter = self.log.entry(self.log.len() - 1).unwrap().start;
        OpId { counter, actor }
    }
}

fn change(
    log: &ChangeLog,
    author: Introduction,
    operations: Vec<Operation>,
) -> (EntryRecord, OpId) {
    let actor = log.scope().actor(&author);
    let next = log.next(&actor);
    let introduction = (next.sequence == 1).then_some(author);
    let Sealed { bytes, change, .. } = chunk::encode(Change {
        actor,
        sequence: next.sequence,
        start: next.start,
        deps: next.deps,
        operations,
    });
    let bytes = Blob::new(bytes).unwrap();
    (EntryRecord::Authored { introduction, bytes }, change.id(0))
}

/// An operation on a key of a map.
pub(crate) fn at(object: ObjectId, key: &str, action: Action, replaces: &[OpId]) -> Operation {
    let predecessors = replaces.iter().copied().collect();
    Operation { object, key: Key::Map(key.into()), insert: false, action, predecessors }
}

fn put(key: &str, value: i64, replaces: &[OpId]) -> Operation {
    at(ObjectId::Root, key, Action::Put(Held::Int(value)), replaces)
}

fn cuts() -> Vec<Case> {
    vec![
        cut("cut-nothing", "everything was deleted: the epoch begins with nothing", &deleted()),
        cut("cut-values", "what is left of a property is its last value", &values()),
        cut("cut-objects", "objects are numbered as they are named, level by level", &objects()),
        cut(
            "cut-conflict",
            "what lost to something else is gone, with all that is in it",
            &conflict(),
        ),
        cut("cut-counters", "a counter is its sum", &counters()),
        cut("cut-fixed", "what is well known stays so, and what replaced it is not", &fixed()),
        cut("cut-long", "one change has 1,024 rows at most; the next follows it", &long()),
        again(),
        cut("cut-texts", "a text is what shows of it; an empty one is nothing", &texts()),
        cut(
            "cut-long-text",
            "a change has 1,024 operations, wherever a text is then",
            &long_text(),
        ),
    ]
}

fn deleted() -> Writer {
    let mut writer = Writer::new();
    let first = writer.write(1, None, vec![put("1", 1, &[])]);
    writer.write(1, None, vec![at(ObjectId::Root, "1", Action::Delete, &[first])]);
    writer
}

fn values() -> Writer {
    let mut writer = Writer::new();
    let first = writer.write(1, None, vec![put("10", 1, &[]), put("2", 1, &[])]);
    writer.write(2, None, vec![put("10", 2, &[first])]);
    let values = [
        Held::Null,
        Held::Bool(true),
        Held::Uint(u64::MAX),
        Held::Float(-0.0),
        Held::Text("caf\u{e9}".to_owned()),
        Held::Bytes(vec![0, 255]),
    ];
    let more = (3..).zip(values);
    let more = more
        .map(|(key, value): (u8, _)| at(ObjectId::Root, &key.to_string(), Action::Put(value), &[]));
    writer.write(1, None, more.collect());
    writer
}

fn objects() -> Writer {
    let mut writer = Writer::new();
    let id = |counter| OpId { counter, actor: scope().actor(&author(1)) };
    let within = |counter| ObjectId::Made(id(counter));
    let operations = vec![
        at(ObjectId::Root, "b", Action::MakeMap, &[]),
        at(ObjectId::Root, "a", Action::MakeMap, &[]),
        at(within(1), "y", Action::MakeMap, &[]),
        at(within(2), "x", Action::MakeMap, &[]),
        at(within(3), "1", Action::Put(Held::Int(3)), &[]),
        at(within(4), "1", Action::Put(Held::Int(4)), &[]),
        at(within(2), "w", Action::Put(Held::Int(2)), &[]),
    ];
    writer.write(1, None, operations);
    writer
}

fn conflict() -> Writer {
    let mut writer = Writer::new();
    writer.write(1, None, vec![put("1", 1, &[])]);
    let before = writer.log.clone();
    for seed in [1, 2] {
        let map = at(ObjectId::Root, "2", Action::MakeMap, &[]);
        let made = writer.write(seed, Some(&before), vec![map]);
        let on = writer.log.clone();
        let inside = at(ObjectId::Made(made), "1", Action::Put(Held::Int(seed.into())), &[]);
        writer.write(seed, Some(&on), vec![inside]);
    }
    writer
}

fn counters() -> Writer {
    let mut writer = Writer::new();
    let counter = at(ObjectId::Root, "1", Action::Counter(5), &[]);
    let counter = writer.write(1, None, vec![counter]);
    let before = writer.log.clone();
    for (seed, by) in [(1, 3), (2, -10)] {
        let increment = at(ObjectId::Root, "1", Action::Increment(by), &[counter]);
        writer.write(seed, Some(&before), vec![increment]);
    }
    writer
}

fn fixed() -> Writer {
    let mut writer = Writer::new();
    let map = writer.make(None, "1", Made::Map);
    let counter = writer.make(Some(map), "2", Made::Counter);
    writer.make(None, "3", Made::Map);
    let meta = writer.make(None, "0", Made::Map);
    writer.make(Some(meta), "T", Made::Record(Line::new("{}").unwrap()));
    let increment = at(ObjectId::Made(map), "2", Action::Increment(7), &[counter]);
    writer.write(1, None, vec![increment]);
    // Beside the well-known map, and higher: it shows.
    writer.write(1, None, vec![put("3", 1, &[])]);
    writer
}

fn long() -> Writer {
    let mut writer = Writer::new();
    let map = at(ObjectId::Root, "1", Action::MakeMap, &[]);
    let map = ObjectId::Made(writer.write(1, None, vec![map]));
    let keys = 0..ROWS_EACH as i64;
    let values = keys.map(|key| at(map, &format!("{key:04}"), Action::Put(Held::Int(key)), &[]));
    writer.write(1, None, values.collect());
    writer
}

/// Inserts each character behind the one before, the first at the beginning.
fn typed(log: &ChangeLog, (seed, text): (u8, OpId), typed: &str) -> Vec<Operation> {
    let actor = log.scope().actor(&author(seed));
    let start = log.next(&actor).start;
    let behind = |counter| Key::Element(OpId { counter, actor });
    let keys = std::iter::once(Key::Head).chain((start..).map(behind));
    let characters = typed.chars().zip(keys).map(|(character, key)| Operation {
        object: ObjectId::Made(text),
        key,
        insert: true,
        action: Action::Put(Held::Text(character.to_string())),
        predecessors: std::iter::empty().collect(),
    });
    characters.collect()
}

/// A text of two, of whom one took a letter out; and another that is empty again.
fn texts() -> Writer {
    let mut writer = Writer::of(DocumentId::TEXTS);
    let text = writer.make(None, "3", Made::Text);
    let other = writer.make(None, "4", Made::Text);
    let before = writer.log.clone();
    let first = writer.write(1, Some(&before), typed(&before, (1, text), "caf\u{e9}"));
    writer.write(2, Some(&before), typed(&before, (2, text), "\u{1f30d} "));
    writer.write(2, None, typed(&writer.log.clone(), (2, other), "x"));
    let last = writer.log.next(&writer.log.scope().actor(&author(2))).start - 1;
    let erase = |text, id: OpId| Operation {
        object: ObjectId::Made(text),
        key: Key::Element(id),
        insert: false,
        action: Action::Delete,
        predecessors: std::iter::once(id).collect(),
    };
    let x = OpId { counter: last, actor: writer.log.scope().actor(&author(2)) };
    writer.write(1, None, vec![erase(other, x), erase(text, first)]);
    writer
}

fn long_text() -> Writer {
    let mut writer = Writer::of(DocumentId::TEXTS);
    for (key, length) in [("1", 1_022), ("2", 3), ("3", 1)] {
        let text = writer.make(None, key, Made::Text);
        let letters: String = ('a'..='z').cycle().take(length).collect();
        writer.write(1, None, typed(&writer.log.clone(), (1, text), &letters));
    }
    writer
}

/// The log of the next epoch.
fn next(log: &ChangeLog, budget: usize) -> ChangeLog {
    let heads: Vec<Hash> = log.heads().collect();
    let mut cut = Cut::into(log.scope().next(log.document(), &heads, 0));
    loop {
        if let Some(next) = cut.step(log, budget) {
            return next;
        }
    }
}

fn cut(name: &'static str, why: &'static str, writer: &Writer) -> Case {
    let begun = next(&writer.log, usize::MAX);
    assert_eq!(next(&writer.log, 1).cut_record(), begun.cut_record(), "{name}");
    let entries = match name {
        "cut-long" => json!("0000 to 1023 in a map, each with its number"),
        "cut-long-text" => json!("texts of 1,022, 3 and 1 letters: a to z, again and again"),
        _ => entries(&writer.entries),
    };
    Case { name, why, given: given(&writer.log, entries), gives: gives(&begun) }
}

/// An epoch that is cut again: its base is what it was, and what came after.
fn again() -> Case {
    let mut writer = fixed();
    writer.log = next(&writer.log, usize::MAX);
    writer.entries.clear();
    let table = writer.log.table();
    let ObjectId::Made(map) = table.id(table.below(ObjectIndex::ROOT, "1").unwrap()) else {
        panic!("the root");
    };
    let below = writer.make(Some(map), "5", Made::Map);
    let put = at(ObjectId::Made(below), "1", Action::Put(Held::Int(1)), &[]);
    writer.write(1, None, vec![put]);
    let begun = next(&writer.log, usize::MAX);
    Case {
        name: "cut-again",
        why: "the epoch of cut-fixed, with a well-known map in one that it began with",
        given: given(&writer.log, entries(&writer.entries)),
        gives: gives(&begun),
    }
}

fn entries(entries: &[EntryRecord]) -> Value {
    entries.iter().map(|entry| hex::encode(postcard::to_allocvec(entry).unwrap())).collect()
}

fn given(log: &ChangeLog, entries: Value) -> Value {
    json!({
        "epoch": hex::encode(log.scope().epoch().0),
        "entries": entries,
        "heads": log.heads().map(hex::encode).collect::<Vec<_>>(),
    })
}

fn gives(begun: &ChangeLog) -> Value {
    let base = begun.base();
    let long = begun.laid() > 1;
    let changes: Vec<Value> = (0..begun.laid())
        .map(|place| {
            let entry = begun.entry(place).unwrap();
            let mut change = BTreeMap::from([
                ("sequence", json!(entry.sequence)),
                ("start", json!(entry.start)),
                ("operations", json!(entry.end + 1 - entry.start)),
                ("hash", json!(hex::encode(entry.hash))),
            ]);
            if !long {
                change.insert("bytes", json!(hex::encode(&entry.bytes)));
            }
            json!(change)
        })
        .collect();
    let rows = if base.rows().len() > 100 { shape(base) } else { describe(base.rows()) };
    let columns = columns::encode(base);
    assert_eq!(columns::decode(&columns, &Limits::default()).unwrap().rows(), base.rows());
    let record = begun.cut_record();
    json!({
        "epoch": hex::encode(record.epoch.0),
        "base_actor": hex::encode(begun.scope().base_actor()),
        "rows": rows,
        "changes": changes,
        "cut": hex::encode(postcard::to_allocvec(&EntryRecord::Cut(record)).unwrap()),
    })
}

/// The rows of a long base, said in short.
fn shape(base: &Base) -> Value {
    let last: Option<&Row> = base.rows().last();
    assert!(matches!(base.rows()[0].content, Content::Map));
    json!({ "count": base.rows().len(), "last": last.map(|row| describe(std::slice::from_ref(row))) })
}
