//! Rooms without their types: what the documents say of themselves, for tools.

use std::collections::BTreeMap;

use automerge::{Automerge, ObjId, ObjType, ReadDoc, ScalarValue};
use serde_json::{Map, Value as Json, json};

use super::intent::{Blueprint, MAX_NESTING, Part};
use super::refresh::{POSITION, scalar_to_value};
use super::write::{META, ROOT_TYPE};
use crate::proto::id::Hex;
use crate::proto::model::list::Position;
use crate::proto::model::path::Path;
use crate::proto::model::value::Value;

/// Deeper objects than this are not shown: no model reaches there.
const MAX_DEPTH: usize = 64;

/// Every value and text, by path, in the order of paths: what a state is, without its history.
#[must_use]
pub fn lines(models: &Automerge, texts: &Automerge) -> BTreeMap<Path, String> {
    let mut lines = BTreeMap::new();
    collect(models, &ObjId::Root, &Path::root(), &mut lines, 0);
    for key in texts.keys(&ObjId::Root) {
        if let Some(text) = text(texts, &key)
            && !text.is_empty()
        {
            lines.insert(Path::parse(&key), text);
        }
    }
    lines
}

fn collect(
    models: &Automerge,
    object: &ObjId,
    path: &Path,
    lines: &mut BTreeMap<Path, String>,
    depth: usize,
) {
    for key in models.keys(object) {
        let at = path.join(&key);
        match models.get(object, key) {
            Ok(Some((automerge::Value::Object(ObjType::Map), below))) if depth < MAX_DEPTH => {
                lines.insert(at.clone(), "map".to_owned());
                collect(models, &below, &at, lines, depth + 1);
            }
            Ok(Some((automerge::Value::Scalar(scalar), _))) => {
                lines.insert(at, scalar_line(&scalar));
            }
            _ => {}
        }
    }
}

/// A value with its kind, as it counts in a state hash.
fn scalar_line(scalar: &ScalarValue) -> String {
    match scalar {
        ScalarValue::Null => "null".to_owned(),
        ScalarValue::Boolean(value) => format!("bool {value}"),
        ScalarValue::Int(value) => format!("int {value}"),
        ScalarValue::Uint(value) => format!("uint {value}"),
        ScalarValue::F64(value) => format!("float {:016x}", value.to_bits()),
        ScalarValue::Str(value) => format!("text {value}"),
        ScalarValue::Bytes(value) => format!("bytes {}", Hex(value)),
        ScalarValue::Counter(counter) => format!("counter {}", i64::from(counter)),
        ScalarValue::Timestamp(value) => format!("timestamp {value}"),
        ScalarValue::Unknown { type_code, bytes } => format!("unknown {type_code} {}", Hex(bytes)),
    }
}

fn text(texts: &Automerge, key: &str) -> Option<String> {
    match texts.get(&ObjId::Root, key) {
        Ok(Some((automerge::Value::Object(ObjType::Text), text))) => texts.text(&text).ok(),
        _ => None,
    }
}

/// The types that the schema records of a document describe.
#[derive(Clone, Debug, Default)]
pub struct Records {
    root: Option<String>,
    types: BTreeMap<String, Json>,
}

/// What a record says of one property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyRecord {
    /// Its id.
    pub id: u16,
    /// Its name.
    pub name: String,
    /// Its kind, as [`crate::proto::model::Kind::describe`] writes it.
    pub kind: String,
}

impl PropertyRecord {
    /// The type of the models below, if its kind has any.
    #[must_use]
    pub fn below(&self) -> Option<&str> {
        let kind = &self.kind;
        let prefixed = ["model ", "set of ", "list of "];
        prefixed
            .iter()
            .find_map(|prefix| kind.strip_prefix(prefix))
            .or_else(|| kind.strip_prefix("dictionary from ")?.split_once(" to ").map(|(_, to)| to))
    }
}

impl Records {
    /// The records in a document of models.
    #[must_use]
    pub fn read(models: &Automerge) -> Self {
        let mut records = Self::default();
        let Ok(Some((automerge::Value::Object(_), meta))) = models.get(&ObjId::Root, META) else {
            return records;
        };
        for key in models.keys(&meta) {
            // Peers with different versions of a type wrote different records: all of them count.
            for (value, _) in models.get_all(&meta, key.as_str()).unwrap_or_default() {
                let Some(text) = value.as_str() else {
                    continue;
                };
                if key == ROOT_TYPE {
                    records.root = Some(text.to_owned());
                } else {
                    records.add(&key, text);
                }
            }
        }
        records
    }

    fn add(&mut self, name: &str, record: &str) {
        let Ok(Json::Object(mut record)) = serde_json::from_str(record) else {
            return;
        };
        let Some(Json::Object(properties)) = record.remove("properties") else {
            return;
        };
        let known =
            self.types.entry(name.to_owned()).or_insert_with(|| json!({ "properties": {} }));
        if let Some(known) = known["properties"].as_object_mut() {
            known.extend(properties);
        }
    }

    /// The name of the root's type.
    #[must_use]
    pub fn root(&self) -> Option<&str> {
        self.root.as_deref()
    }

    /// The properties of a type, by id.
    #[must_use]
    pub fn properties(&self, name: &str) -> Vec<PropertyRecord> {
        let properties = self.types.get(name).and_then(|record| record["properties"].as_object());
        let mut properties: Vec<PropertyRecord> = properties
            .into_iter()
            .flatten()
            .filter_map(|(id, about)| {
                Some(PropertyRecord {
                    id: id.parse().ok()?,
                    name: about[0].as_str()?.to_owned(),
                    kind: about[1].as_str()?.to_owned(),
                })
            })
            .collect();
        properties.sort_by_key(|property| property.id);
        properties
    }

    /// What a new model of a type is made of.
    #[must_use]
    pub fn blueprint(&self, name: &str) -> Blueprint {
        self.nested(name, MAX_NESTING)
    }

    fn nested(&self, name: &str, depth: usize) -> Blueprint {
        let parts = self.properties(name).into_iter().filter_map(|property| {
            let part = match (property.kind.as_str(), property.below()) {
                ("counter", _) => Part::Counter,
                (kind, Some(below)) if kind.starts_with("model ") => {
                    Part::Map(self.nested(below, depth.checked_sub(1)?))
                }
                (_, Some(_)) => Part::Map(Blueprint::default()),
                (_, None) => return None,
            };
            Some((property.id, part))
        });
        Blueprint(parts.collect())
    }
}

/// One value as [`to_json`] shows it: a property that is no model and no collection, or a text.
#[must_use]
pub fn value_at(models: &Automerge, texts: &Automerge, path: &Path) -> Option<Json> {
    let (parent, key) = path.split()?;
    if let Some(parent) = object_at(models, &parent)
        && let Ok(Some((automerge::Value::Scalar(scalar), _))) = models.get(&parent, key)
    {
        return Some(scalar_to_json(&scalar_to_value(&scalar)?));
    }
    text(texts, path.as_str()).map(|text| json!(text))
}

/// The positions and keys of a list's models, in their order.
#[must_use]
pub fn order(models: &Automerge, list: &Path) -> Vec<(Position, String)> {
    let Some(list) = object_at(models, list) else {
        return Vec::new();
    };
    let mut order: Vec<(Position, String)> = models
        .keys(&list)
        .filter_map(|key| match models.get(&list, key.as_str()) {
            Ok(Some((automerge::Value::Object(_), below))) => {
                let position = models.get(&below, POSITION).ok()??.0.into_scalar().ok()?;
                Some((Position::parse(position.as_str()?), key))
            }
            _ => None,
        })
        .collect();
    order.sort();
    order
}

fn object_at(models: &Automerge, path: &Path) -> Option<ObjId> {
    let mut object = ObjId::Root;
    for key in path.keys() {
        match models.get(&object, key) {
            Ok(Some((automerge::Value::Object(_), below))) => object = below,
            _ => return None,
        }
    }
    Some(object)
}

/// A room as JSON with the names of its schema records: models are objects, sets and dictionaries
/// objects by key, lists arrays. 64-bit integers that JavaScript cannot hold are strings; bytes are
/// hexadecimal.
#[must_use]
pub fn to_json(models: &Automerge, texts: &Automerge) -> Json {
    let tree = Tree { models, texts, records: Records::read(models) };
    let root = tree.records.root().map(ToOwned::to_owned);
    tree.model(&ObjId::Root, &Path::root(), root.as_deref(), 0)
}

struct Tree<'a> {
    models: &'a Automerge,
    texts: &'a Automerge,
    records: Records,
}

impl Tree<'_> {
    fn model(&self, object: &ObjId, path: &Path, name: Option<&str>, depth: usize) -> Json {
        let known = name.map(|name| self.records.properties(name)).unwrap_or_default();
        let mut model = Map::new();
        for key in self.models.keys(object) {
            if (path.is_root() && key == META) || key == POSITION {
                continue;
            }
            let record =
                key.parse().ok().and_then(|id: u16| known.iter().find(|known| known.id == id));
            let name = record.map_or(key.as_str(), |record| &record.name).to_owned();
            if let Some(value) = self.value(object, &key, &path.join(&key), record, depth) {
                model.insert(name, value);
            }
        }
        for record in known.iter().filter(|record| record.kind == "text") {
            let key = path.property(record.id);
            model.insert(
                record.name.clone(),
                json!(text(self.texts, key.as_str()).unwrap_or_default()),
            );
        }
        Json::Object(model)
    }

    fn value(
        &self,
        object: &ObjId,
        key: &str,
        path: &Path,
        record: Option<&PropertyRecord>,
        depth: usize,
    ) -> Option<Json> {
        match self.models.get(object, key).ok()?? {
            (automerge::Value::Scalar(scalar), _) => {
                Some(scalar_to_json(&scalar_to_value(&scalar)?))
            }
            (automerge::Value::Object(_), _) if depth >= MAX_DEPTH => None,
            (automerge::Value::Object(_), below) => {
                let name = record.and_then(PropertyRecord::below);
                let kind = record.map_or("", |record| record.kind.as_str());
                Some(if kind.starts_with("model ") {
                    self.model(&below, path, name, depth + 1)
                } else if kind.starts_with("list of ") {
                    self.list(&below, path, name, depth + 1)
                } else {
                    self.members(&below, path, name, depth + 1)
                })
            }
        }
    }

    fn members(&self, object: &ObjId, path: &Path, name: Option<&str>, depth: usize) -> Json {
        let members = self.models.keys(object).filter_map(|key| {
            let below = self.object(object, &key)?;
            let model = self.model(&below, &path.join(&key), name, depth);
            Some((key, model))
        });
        Json::Object(members.collect())
    }

    fn list(&self, object: &ObjId, path: &Path, name: Option<&str>, depth: usize) -> Json {
        let mut items: Vec<(String, String, Json)> = self
            .models
            .keys(object)
            .filter_map(|key| {
                let below = self.object(object, &key)?;
                // Without a place, first, as in a room.
                let position = match self.models.get(&below, POSITION).ok()? {
                    Some((value, _)) => value.as_str().unwrap_or_default().to_owned(),
                    None => String::new(),
                };
                let model = self.model(&below, &path.join(&key), name, depth);
                Some((position, key, model))
            })
            .collect();
        items.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        Json::Array(items.into_iter().map(|(_, _, model)| model).collect())
    }

    fn object(&self, object: &ObjId, key: &str) -> Option<ObjId> {
        match self.models.get(object, key).ok()?? {
            (automerge::Value::Object(_), below) => Some(below),
            (automerge::Value::Scalar(_), _) => None,
        }
    }
}

fn scalar_to_json(value: &Value) -> Json {
    // The integers that a double holds exactly: what JavaScript's JSON can read.
    const EXACT: u64 = 1 << 53;
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) if value.unsigned_abs() > EXACT => json!(value.to_string()),
        Value::Int(value) => json!(value),
        Value::Uint(value) if *value > EXACT => json!(value.to_string()),
        Value::Uint(value) => json!(value),
        Value::Float(value) => json!(value),
        Value::Text(value) => json!(value),
        Value::Bytes(_) => json!(value.to_string()),
    }
}
