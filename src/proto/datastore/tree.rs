//! Rooms without their types: what the documents say of themselves, for tools.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::intent::{Blueprint, MAX_NESTING, Part};
use super::refresh::POSITION;
use super::write::ROOT_TYPE;
use crate::proto::id::Hex;
use crate::proto::model::list::Position;
use crate::proto::model::path::Path;
use crate::proto::model::value::Value;
use crate::proto::ownership::META;
use crate::proto::table::{Cell, ObjectIndex, Table, View};

/// Deeper objects than this are not shown: no model reaches there.
const MAX_DEPTH: usize = 64;

/// Every value and text, by path, in the order of paths: what a state is, without its history.
#[must_use]
pub fn lines(models: &Table, texts: &Table) -> BTreeMap<Path, String> {
    let mut lines = BTreeMap::new();
    collect(models, ObjectIndex::ROOT, &Path::root(), &mut lines, 0);
    for key in texts.keys(ObjectIndex::ROOT) {
        if let Some(text) = text(texts, key)
            && !text.is_empty()
        {
            lines.insert(Path::parse(key), text);
        }
    }
    lines
}

fn collect(
    models: &Table,
    object: ObjectIndex,
    path: &Path,
    lines: &mut BTreeMap<Path, String>,
    depth: usize,
) {
    for key in models.keys(object) {
        let at = path.join(key);
        match models.get(object, key) {
            Some(Cell::Object(below)) if depth < MAX_DEPTH => {
                lines.insert(at.clone(), "map".to_owned());
                collect(models, *below, &at, lines, depth + 1);
            }
            Some(Cell::Value(value)) => {
                lines.insert(at, value_line(value));
            }
            Some(Cell::Counter(total)) => {
                lines.insert(at, format!("counter {total}"));
            }
            Some(Cell::Object(_)) | None => {}
        }
    }
}

/// A value with its kind, as it counts in a state hash.
fn value_line(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => format!("bool {value}"),
        Value::Int(value) => format!("int {value}"),
        Value::Uint(value) => format!("uint {value}"),
        Value::Float(value) => format!("float {:016x}", value.to_bits()),
        Value::Text(value) => format!("text {value}"),
        Value::Bytes(value) => format!("bytes {}", Hex(value)),
    }
}

fn text(texts: &Table, key: &str) -> Option<String> {
    Some(texts.read(texts.text(key)?, View::All))
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
        prefixed.iter().find_map(|prefix| kind.strip_prefix(prefix)).or_else(|| {
            let dictionary = kind.strip_prefix("confirmed ").unwrap_or(kind);
            dictionary.strip_prefix("dictionary from ")?.split_once(" to ").map(|(_, to)| to)
        })
    }
}

impl Records {
    /// The records in a document of models.
    #[must_use]
    pub fn read(models: &Table) -> Self {
        let mut records = Self::default();
        let Some(meta) = models.below(ObjectIndex::ROOT, META) else {
            return records;
        };
        for key in models.keys(meta) {
            // Peers with different versions of a type wrote different records: all of them count.
            for live in models.all(meta, key) {
                let Cell::Value(Value::Text(text)) = &live.cell else {
                    continue;
                };
                if key == ROOT_TYPE {
                    records.root = Some(text.clone());
                } else {
                    records.add(key, text);
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
pub fn value_at(models: &Table, texts: &Table, path: &Path) -> Option<Json> {
    let (parent, key) = path.split()?;
    let cell = models.find(&parent).and_then(|parent| models.get(parent, &key));
    match cell {
        Some(Cell::Value(value)) => Some(scalar_to_json(value)),
        Some(Cell::Counter(total)) => Some(scalar_to_json(&Value::Int(*total))),
        Some(Cell::Object(_)) | None => text(texts, path.as_str()).map(|text| json!(text)),
    }
}

/// The positions and keys of a list's models, in their order.
#[must_use]
pub fn order(models: &Table, list: &Path) -> Vec<(Position, String)> {
    let Some(list) = models.find(list) else {
        return Vec::new();
    };
    let mut order: Vec<(Position, String)> = models
        .keys(list)
        .filter_map(|key| {
            let below = models.below(list, key)?;
            Some((Position::parse(position(models, below)?), key.to_string()))
        })
        .collect();
    order.sort();
    order
}

/// The place of a model in its list, in writing.
pub(super) fn position(models: &Table, model: ObjectIndex) -> Option<&str> {
    match models.get(model, POSITION)? {
        Cell::Value(Value::Text(position)) => Some(position),
        Cell::Value(_) | Cell::Counter(_) | Cell::Object(_) => None,
    }
}

/// A room as JSON with the names of its schema records: models are objects, sets and dictionaries
/// objects by key, lists arrays. 64-bit integers that JavaScript cannot hold are strings; bytes are
/// hexadecimal.
#[must_use]
pub fn to_json(models: &Table, texts: &Table) -> Json {
    let tree = Tree { models, texts, records: Records::read(models) };
    let root = tree.records.root().map(ToOwned::to_owned);
    tree.model(ObjectIndex::ROOT, &Path::root(), root.as_deref(), 0)
}

struct Tree<'a> {
    models: &'a Table,
    texts: &'a Table,
    records: Records,
}

impl Tree<'_> {
    fn model(&self, object: ObjectIndex, path: &Path, name: Option<&str>, depth: usize) -> Json {
        let known = name.map(|name| self.records.properties(name)).unwrap_or_default();
        let mut model = Map::new();
        for key in self.models.keys(object) {
            if (path.is_root() && key == META) || key == POSITION {
                continue;
            }
            let record =
                key.parse().ok().and_then(|id: u16| known.iter().find(|known| known.id == id));
            let name = record.map_or(key.as_str(), |record| &record.name).to_owned();
            if let Some(value) = self.value(object, key, &path.join(key), record, depth) {
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
        object: ObjectIndex,
        key: &str,
        path: &Path,
        record: Option<&PropertyRecord>,
        depth: usize,
    ) -> Option<Json> {
        match self.models.get(object, key)? {
            Cell::Value(value) => Some(scalar_to_json(value)),
            Cell::Counter(total) => Some(scalar_to_json(&Value::Int(*total))),
            Cell::Object(_) if depth >= MAX_DEPTH => None,
            Cell::Object(below) => {
                let name = record.and_then(PropertyRecord::below);
                let kind = record.map_or("", |record| record.kind.as_str());
                Some(if kind.starts_with("model ") {
                    self.model(*below, path, name, depth + 1)
                } else if kind.starts_with("list of ") {
                    self.list(*below, path, name, depth + 1)
                } else {
                    self.members(*below, path, name, depth + 1)
                })
            }
        }
    }

    fn members(&self, object: ObjectIndex, path: &Path, name: Option<&str>, depth: usize) -> Json {
        let members = self.models.keys(object).filter_map(|key| {
            let below = self.models.below(object, key)?;
            Some((key.to_string(), self.model(below, &path.join(key), name, depth)))
        });
        Json::Object(members.collect())
    }

    fn list(&self, object: ObjectIndex, path: &Path, name: Option<&str>, depth: usize) -> Json {
        let mut items: Vec<(String, String, Json)> = self
            .models
            .keys(object)
            .filter_map(|key| {
                let below = self.models.below(object, key)?;
                // Without a place, first, as in a room.
                let position = position(self.models, below).unwrap_or_default().to_owned();
                let model = self.model(below, &path.join(key), name, depth);
                Some((position, key.to_string(), model))
            })
            .collect();
        items.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        Json::Array(items.into_iter().map(|(_, _, model)| model).collect())
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
