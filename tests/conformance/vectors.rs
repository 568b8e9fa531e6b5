//! Files of cases: read, compared by name, or written.

use std::path::PathBuf;
use std::{env, fs};

use parlor::proto::wire::message::Message;
use serde::Serialize;
use serde_json::Value;

/// Compares `cases` with a file, or writes them there.
pub(crate) fn check<T: Serialize>(file: &str, cases: &[T]) {
    let path = path(file);
    let mut text = serde_json::to_string_pretty(cases).unwrap();
    text.push('\n');
    if env::var_os("UPDATE").is_some() {
        fs::write(path, text).unwrap();
        return;
    }
    let ours: Vec<Value> = serde_json::from_str(&text).unwrap();
    let theirs = read(file);
    for case in &ours {
        let name = name(case);
        let other = theirs.iter().find(|other| self::name(other) == name);
        let other =
            other.unwrap_or_else(|| panic!("{file}: no case {name:?}; write it by UPDATE=1"));
        if let Some(place) = difference(case, other, String::new()) {
            panic!("{file}: case {name:?} differs at {place}");
        }
    }
    for case in &theirs {
        let name = name(case);
        let is_here = ours.iter().any(|other| self::name(other) == name);
        assert!(is_here, "{file}: case {name:?} is in the file only");
    }
    assert_eq!(ours.len(), theirs.len(), "{file}: two cases of one name");
}

/// The cases of a file.
fn read(file: &str) -> Vec<Value> {
    let text = fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    serde_json::from_str(&text).unwrap()
}

fn path(file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "datastore-spec", "vectors", file].iter().collect()
}

fn name(case: &Value) -> &str {
    case["name"].as_str().unwrap()
}

/// Where two values are first different: `computed, not written`.
fn difference(ours: &Value, theirs: &Value, at: String) -> Option<String> {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.iter().find_map(|(key, value)| difference(value, &b[key], format!("{at}/{key}")))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let mut pairs = a.iter().zip(b).enumerate();
            pairs.find_map(|(place, (a, b))| difference(a, b, format!("{at}/{place}")))
        }
        _ => (ours != theirs).then(|| format!("{at}: {ours}, not {theirs}")),
    }
}

/// A message as it is read by people: bytes are hexadecimal.
pub(crate) fn describe(message: &Message) -> Value {
    readable(serde_json::to_value(message).unwrap(), "")
}

/// A value in which bytes are hexadecimal.
pub(crate) fn readable(value: Value, key: &str) -> Value {
    match value {
        Value::Array(items) if is_bytes(&items, key) => {
            let byte = |item: &Value| u8::try_from(item.as_u64().unwrap()).unwrap();
            Value::String(hex::encode(items.iter().map(byte).collect::<Vec<u8>>()))
        }
        Value::Array(items) => items.into_iter().map(|item| readable(item, "")).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| {
                let value = readable(value, &key);
                (key, value)
            })
            .collect(),
        other => other,
    }
}

/// No message has a list of numbers that are not bytes.
fn is_bytes(items: &[Value], key: &str) -> bool {
    if items.is_empty() {
        ["bytes", "metadata", "signature", "records"].contains(&key)
    } else {
        items.iter().all(Value::is_u64)
    }
}
