//! Trees for people.

use serde_json::Value as Json;

use super::place::Step;
use crate::output::{FAINT, NAME, VALUE, paint};

/// What is at the end of some steps.
pub(super) fn at<'a>(room: &'a Json, steps: &[Step]) -> Option<&'a Json> {
    steps.iter().try_fold(room, |json, step| match step {
        Step::Name(name) => json.get(name),
        Step::Index(index) => json.get(index),
    })
}

/// The lines of a tree, indented.
pub(super) fn lines(json: &Json) -> Vec<String> {
    let mut lines = Vec::new();
    below(json, 0, &mut lines);
    if lines.is_empty() {
        lines.push(leaf(json));
    }
    lines
}

fn below(json: &Json, depth: usize, lines: &mut Vec<String>) {
    let children: Vec<(String, &Json)> = match json {
        Json::Object(members) => members.iter().map(|(name, json)| (name.clone(), json)).collect(),
        Json::Array(items) => {
            items.iter().enumerate().map(|(index, json)| (format!("#{index}"), json)).collect()
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Vec::new(),
    };
    for (name, json) in children {
        let indent = "  ".repeat(depth);
        let name = paint(NAME, name);
        lines.push(format!("{indent}{name}  {}", leaf(json)).trim_end().to_owned());
        below(json, depth + 1, lines);
    }
}

fn leaf(json: &Json) -> String {
    match json {
        Json::Object(members) if members.is_empty() => paint(FAINT, "(empty)"),
        Json::Array(items) if items.is_empty() => paint(FAINT, "(empty)"),
        Json::Object(_) | Json::Array(_) => String::new(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => paint(VALUE, json),
    }
}
