//! `documents.json`: how models stand in documents.

use parlor::proto::config::Limits;
use parlor::proto::datastore::tree::{self, Records};
use parlor::proto::datastore::{Datastore, ElementId};
use parlor::proto::document::Image;
use parlor::proto::id::DocumentId;
use parlor::proto::model::handle::{Handle, ModelRef};
use parlor::proto::model::list::Position;
use parlor::proto::model::path::Path;
use parlor::proto::model::{Model, Shape};
use serde::Serialize;
use serde_json::{Value, json};

use crate::stage::{author, scope};
use crate::vectors::check;
use crate::world::{Colour, Item, Lobby, Seat, later};

#[derive(Serialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) why: &'static str,
    pub(crate) given: Value,
    pub(crate) gives: Value,
}

#[test]
fn documents() {
    let cases = [elements(), paths(), positions(), schemas(), written(), versions()];
    check("documents.json", &cases.into_iter().flatten().collect::<Vec<_>>());
}

fn elements() -> Vec<Case> {
    let ids = [(1, 1), (1, 127), (128, 300), (1 << 40, 5)];
    let cases = ids.into_iter().map(|(sequence, count)| {
        let id = ElementId { actor: [1, 2, 3, 4, 250, 251, 252, 253], sequence, count };
        assert_eq!(ElementId::parse(&id.to_key()), Some(id));
        Case {
            name: format!("element-{sequence}-{count}"),
            why: "half an actor and two LEB128 numbers, in URL-safe base64",
            given: json!({ "actor": hex::encode(id.actor), "sequence": sequence, "count": count }),
            gives: json!(id.to_key()),
        }
    });
    cases.collect()
}

fn paths() -> Vec<Case> {
    let keys: [(&str, &[&str]); 6] = [
        ("path-root", &[]),
        ("path-property", &["3"]),
        ("path-element", &["3", "AQIDBPr7_P0BAQ", "2"]),
        ("path-escaped", &["4", "a/b%2F", "1"]),
        ("path-empty-key", &["4", "", "1"]),
        ("path-unicode", &["4", "caf\u{e9}"]),
    ];
    let cases = keys.into_iter().map(|(name, keys)| {
        let path = keys.iter().fold(Path::root(), |path, key| path.join(key));
        assert!(path.keys().eq(keys.iter().copied()));
        Case {
            name: name.to_owned(),
            why: "keys joined by /; a / or % within a key is escaped",
            given: json!(keys),
            gives: json!(path.as_str()),
        }
    });
    cases.collect()
}

fn positions() -> Vec<Case> {
    let between: [(&str, Option<&str>, Option<&str>, &str); 16] = [
        ("first", None, None, "x7k"),
        ("after", Some("a0x7k"), None, "p2q"),
        ("before", None, Some("a0x7k"), "p2q"),
        ("before-zero", None, Some("Zzx7k"), "p2q"),
        ("last-digit", Some("azx7k"), None, "p2q"),
        ("longer", Some("bzzx7k"), None, "p2q"),
        ("shorter", None, Some("b00x7k"), "p2q"),
        ("gap", Some("a0x7k"), Some("a5x7k"), "p2q"),
        ("neighbours", Some("a0x7k"), Some("a1x7k"), "p2q"),
        ("below", Some("a0x7k"), Some("a0x7k.a0aaa"), "p2q"),
        ("after-below", Some("a0x7k.a0aaa"), Some("a1x7k"), "p2q"),
        ("equal", Some("a0x7k"), Some("a0x7k"), "p2q"),
        ("crossed", Some("a1x7k"), Some("a0x7k"), "p2q"),
        ("malformed", Some("!"), None, "p2q"),
        ("no-room", None, Some("0"), "p2q"),
        ("tag-letters", None, None, "a-b_c.d"),
    ];
    let cases = between.into_iter().map(|(name, before, after, tag)| {
        let (low, high) = (before.map(Position::parse), after.map(Position::parse));
        let position = Position::between(low.as_ref(), high.as_ref(), tag);
        Case {
            name: format!("position-{name}"),
            why: "a key between two others, for an element with a tag",
            given: json!({ "before": before, "after": after, "tag": tag }),
            gives: json!(position.as_str()),
        }
    });
    cases.collect()
}

fn schemas() -> Vec<Case> {
    let shape = Lobby::shape();
    let records = shape.family().into_iter().map(|shape| Case {
        name: format!("schema-{}", shape.name),
        why: "a record of a type: property ids in the order of their digits",
        given: json!(shape.name),
        gives: json!(shape.record()),
    });
    let family: Vec<&str> = shape.family().iter().map(|shape| shape.name).collect();
    let digest = Case {
        name: "schema-digest".to_owned(),
        why: "over the records of all types below the root, each with a line feed after it",
        given: json!(family),
        gives: json!(hex::encode(shape.digest())),
    };
    records.chain([digest]).collect()
}

pub(crate) fn store(seed: u8, shape: Shape) -> Datastore {
    Datastore::new(&scope(), author(seed), shape, Limits::default(), 1_024)
}

/// A second peer has another version of the root's type.
fn versions() -> Vec<Case> {
    let mut first = store(1, Item::shape());
    first.update_root(|item: &mut Item| item.count = 1).unwrap();
    let before = flush(&mut first);
    let log = first.log(DocumentId::MODELS);
    let entries: Vec<_> = (0..log.len()).filter_map(|place| log.record(place)).collect();
    let mut second = store(2, later::Item::shape());
    second.receive(DocumentId::MODELS, &entries).unwrap();
    second.update_root(|item: &mut later::Item| item.weight = 1.0).unwrap();
    let written = flush(&mut second);
    let records = Records::read(second.table());
    let union = records.properties("Item").into_iter();
    let union: Vec<_> =
        union.map(|property| json!([property.id, property.name, property.kind])).collect();
    vec![Case {
        name: "schema-versions".to_owned(),
        why: "a peer with another version of a type writes its record beside the one that is there",
        given: json!({ "before": before, "record": later::Item::shape().record() }),
        gives: json!({ "written": written, "union": union }),
    }]
}

/// One room, written in three frames.
fn written() -> Vec<Case> {
    let mut store = store(1, Lobby::shape());
    let lobby: Lobby = store.root::<Lobby>().unwrap().clone();
    fill(&mut store);
    let values = Case {
        name: "frame-values".to_owned(),
        why: "a value of each type, a counter, a child model",
        given: json!("title and every other value of the root, visits + 2, place.label"),
        gives: flush(&mut store),
    };
    let item = collect(&mut store, &lobby);
    let collections = Case {
        name: "frame-collections".to_owned(),
        why: "an element of a set, two of a list, an entry of a dictionary",
        given: json!(
            "items.add(lamp, 3); seats.push(two); seats.insert(0, one); doors[\"a/b\"] = (door, 1)"
        ),
        gives: flush(&mut store),
    };
    edit(&mut store, &lobby, &item);
    let edits = Case {
        name: "frame-edits".to_owned(),
        why: "texts by path, a move, a removal, a negative increment",
        given: json!(
            "notes: insert, then delete one scalar; the note of seat one; seats.move(two, 0); items.remove; visits - 5"
        ),
        gives: flush(&mut store),
    };
    sit(&mut store, &lobby, "old");
    let text = Case {
        name: "frame-text-below".to_owned(),
        why: "a text of a dictionary's element is a key of document 1",
        given: json!("desks[\"a\"] = (old); its note: insert old"),
        gives: flush(&mut store),
    };
    sit(&mut store, &lobby, "new");
    let again = Case {
        name: "frame-used-key".to_owned(),
        why: "what the earlier model of a key left in its text goes with the same frame",
        given: json!("desks[\"a\"] = (new); its note: insert new"),
        gives: flush(&mut store),
    };
    assert_eq!(store.mirror().difference(&store.rebuilt()), None);
    assert_eq!(store.difference(), None);
    let whole = Case {
        name: "whole".to_owned(),
        why: "the documents after all of it: every line of the state, its hash, and their heads",
        given: json!(null),
        gives: whole(&store),
    };
    vec![values, collections, edits, text, again, whole]
}

/// Puts something into every collection.
fn collect(store: &mut Datastore, lobby: &Lobby) -> ModelRef<Item> {
    let item = |label: &str, count| Item { label: label.to_owned(), count };
    let seat = |label: &str| Seat { label: label.to_owned(), ..Seat::default() };
    let lamp = lobby.items.add(store, item("lamp", 3)).unwrap();
    lobby.seats.push(store, seat("two")).unwrap();
    lobby.seats.insert(store, 0, seat("one")).unwrap();
    lobby.doors.insert(store, &"a/b".to_owned(), item("door", 1)).unwrap();
    lamp
}

/// Puts a model with a text under a key of a dictionary.
fn sit(store: &mut Datastore, lobby: &Lobby, label: &str) {
    let seat = Seat { label: label.to_owned(), ..Seat::default() };
    let seat = lobby.desks.insert(store, &"a".to_owned(), seat).unwrap();
    store.get(&seat).unwrap().note.clone().insert(store, 0, label).unwrap();
}

/// Edits what is there.
fn edit(store: &mut Datastore, lobby: &Lobby, lamp: &ModelRef<Item>) {
    let [one, two] = [0, 1].map(|at| lobby.seats.get(store, at).unwrap());
    lobby.notes.insert(store, 0, "h\u{e9}llo \u{1f30d}").unwrap();
    lobby.notes.delete(store, 0, 1).unwrap();
    store.get(&one).unwrap().note.clone().insert(store, 0, "x").unwrap();
    lobby.seats.move_to(store, &two, 0).unwrap();
    lobby.items.remove(store, lamp).unwrap();
    store.update_root(|lobby: &mut Lobby| lobby.visits -= 5).unwrap();
}

fn fill(store: &mut Datastore) {
    store
        .update_root(|lobby: &mut Lobby| {
            lobby.title = "caf\u{e9}".to_owned();
            lobby.open = true;
            lobby.floor = -3;
            lobby.capacity = u64::MAX;
            lobby.volume = 0.1;
            lobby.speed = 2.5;
            lobby.icon = vec![0, 1, 255];
            lobby.spawn = [1.0, -2.0, 0.5];
            lobby.limit = Some(7);
            lobby.theme = Colour::Green;
            lobby.host = Handle::at(Path::root().property(14));
            lobby.visits += 2;
        })
        .unwrap();
    let place = store.root::<Lobby>().unwrap().place.as_ref();
    store.update(&place, |place| place.label = "here".to_owned()).unwrap();
}

/// What a frame adds to the logs: well-known records and changes.
pub(crate) fn flush(store: &mut Datastore) -> Value {
    let before = DocumentId::ALL.map(|document| store.log(document).len());
    store.flush();
    let documents = DocumentId::ALL.into_iter().zip(before).map(|(document, before)| {
        let log = store.log(document);
        let changes = (before..log.len()).map(|place| {
            let entry = log.entry(place).unwrap();
            json!({
                "by": if log.writer(place).is_some() { "author" } else { "well-known" },
                "actor": hex::encode(entry.actor),
                "sequence": entry.sequence,
                "hash": hex::encode(entry.hash),
                "change": hex::encode(&entry.bytes),
            })
        });
        json!({ "document": document.0, "changes": changes.collect::<Vec<_>>() })
    });
    documents.collect()
}

fn whole(store: &Datastore) -> Value {
    let (models, texts) = (store.table(), store.text_table());
    let lines = tree::lines(models, texts);
    let lines: Vec<_> = lines.iter().map(|(path, line)| json!([path.as_str(), line])).collect();
    let documents = DocumentId::ALL.map(|document| {
        let log = store.log(document);
        json!({
            "document": document.0,
            "heads": log.heads().map(hex::encode).collect::<Vec<_>>(),
            "digest": hex::encode(log.digest()),
            "saved": hex::encode(Image::new().of(log).unwrap().save()),
        })
    });
    json!({
        "lines": lines,
        "state_hash": hex::encode(store.state_hash()),
        "json": tree::to_json(models, texts),
        "documents": documents,
    })
}
