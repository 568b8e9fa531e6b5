//! `wellknown.json`: the changes that create well-known objects.

use parlor::proto::id::EpochId;
use parlor::proto::wire::bounded::Line;
use parlor::proto::wire::message::{Made, ParentRecord, WellKnownRecord};
use serde::Serialize;
use serde_json::{Value, json};

use crate::stage::{ROOM, app_key, author, room, scope};
use crate::vectors::check;

#[derive(Serialize)]
struct Case {
    name: &'static str,
    why: &'static str,
    epoch: String,
    record: Value,
    /// The last operation of the change that made the parent; 0 at the root.
    parent_end: u64,
    actor: String,
    change: String,
    hash: String,
}

#[test]
fn well_known_changes() {
    let map = record(None, "3", Made::Map);
    let made = scope().well_known(&map, 0);
    let child = |key: &str, made_as| {
        let parent =
            ParentRecord { actor: scope().well_known_actor(&map), counter: 1, change: made.hash };
        record(Some(parent), key, made_as)
    };
    let element = |key: &str, made_as| {
        let parent =
            ParentRecord { actor: scope().actor(&author(1)), counter: 40, change: [0x5a; 32] };
        record(Some(parent), key, made_as)
    };
    let schema = Made::Record(Line::new(r#"{"name":"T","properties":{}}"#).unwrap());
    let cases = [
        case("root-map", "a child model or a collection of the root", &map, 0),
        case(
            "root-text",
            "a text, by its path, in the document of texts",
            &record(None, "1/k/2", Made::Text),
            0,
        ),
        case("root-counter", "a counter of the root", &record(None, "4", Made::Counter), 0),
        case(
            "root-record",
            "a record straight below the root",
            &record(None, "T", schema.clone()),
            0,
        ),
        case(
            "nested-map",
            "a map in the well-known map of the first case",
            &child("1", Made::Map),
            1,
        ),
        case(
            "nested-text",
            "no peer writes one: texts are at the root",
            &child("2", Made::Text),
            1,
        ),
        case("nested-counter", "a counter of a child model", &child("5", Made::Counter), 1),
        case("nested-record", "a schema record is in the map under 0", &child("T", schema), 1),
        case(
            "element-map",
            "below a model that a peer made: operation 40 of a change that ends at 45",
            &element("6", Made::Map),
            45,
        ),
        case(
            "element-counter",
            "start op is the one after the parent's change",
            &element("7", Made::Counter),
            45,
        ),
    ];
    check("wellknown.json", &cases);
}

fn record(parent: Option<ParentRecord>, key: &str, made: Made) -> WellKnownRecord {
    let key = Line::new(key).unwrap();
    WellKnownRecord { parent, key, made }
}

fn case(name: &'static str, why: &'static str, record: &WellKnownRecord, end: u64) -> Case {
    let change = scope().well_known(record, end);
    let bytes = change.bytes.to_vec();
    let parent = record.parent.as_ref().map(|parent| {
        json!({
            "actor": hex::encode(parent.actor),
            "counter": parent.counter,
            "change": hex::encode(parent.change),
        })
    });
    let made = serde_json::to_value(&record.made).unwrap();
    let epoch = EpochId::first(app_key().app(), &room());
    assert_eq!(scope().room().as_str(), ROOM);
    Case {
        name,
        why,
        epoch: hex::encode(epoch.0),
        record: json!({ "parent": parent, "key": &*record.key, "made": made }),
        parent_end: end,
        actor: hex::encode(scope().well_known_actor(record)),
        change: hex::encode(bytes),
        hash: hex::encode(change.hash),
    }
}
