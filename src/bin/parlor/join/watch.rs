//! What happens in a room whose types are not known: the difference between two looks at it.

mod voice;

use std::collections::BTreeMap;

use parlor::Fact;
use parlor::proto::datastore::{Datastore, tree};
use parlor::proto::event::signal::{Delivery, Signalled, Subject};
use parlor::proto::event::{Event, Member, Outcome, State};
use parlor::proto::id::DocumentId;
use parlor::proto::model::path::Path;
use serde_json::{Value as Json, json};

use super::place::{Finder, words};
use crate::output::word;

/// The key of a model's place in a list.
const POSITION: &str = "@";

/// What a room looked like.
#[derive(Debug, Default)]
pub(super) struct Look {
    lines: BTreeMap<Path, String>,
    changes: [usize; 2],
}

impl Look {
    /// Looks at a room now.
    pub(super) fn at(store: &Datastore) -> Self {
        Self { lines: tree::lines(store.table(), store.text_table()), changes: count(store) }
    }

    /// What is different from last time, as objects for programs.
    pub(super) fn again(&mut self, store: &Datastore) -> Vec<Json> {
        if self.changes == count(store) && !store.is_waiting() {
            return Vec::new();
        }
        let now = Self::at(store);
        let before = std::mem::replace(self, now);
        let (models, texts) = (store.table(), store.text_table());
        let finder = Finder::new(models);
        let mut happened = Vec::new();
        let mut gone = Path::parse("//");
        for path in before.lines.keys().filter(|path| is_shown(path)) {
            if !self.lines.contains_key(path) && !gone.contains(path) {
                gone = path.clone();
                happened
                    .push(json!({ "event": "removed", "path": words(&finder.name(path).steps) }));
            }
        }
        for (path, line) in self.lines.iter().filter(|(path, _)| is_shown(path)) {
            if before.lines.get(path) == Some(line) {
                continue;
            }
            let (shown, kind) = match path.split() {
                Some((element, key)) if key == POSITION => {
                    if !before.lines.contains_key(path) {
                        continue;
                    }
                    (element, "moved")
                }
                _ => (path.clone(), "changed"),
            };
            let name = words(&finder.name(&shown).steps);
            happened.push(match tree::value_at(models, texts, &shown) {
                Some(value) => json!({ "event": kind, "path": name, "value": value }),
                None if kind == "moved" => json!({ "event": kind, "path": name }),
                None => json!({ "event": "added", "path": name }),
            });
        }
        happened
    }
}

/// Whether a path is the room's, and not what it says of itself.
fn is_shown(path: &Path) -> bool {
    path.keys().next().is_some_and(|first| first != "0")
}

fn count(store: &Datastore) -> [usize; 2] {
    DocumentId::ALL.map(|document| store.log(document).len())
}

/// What an event is to programs, with what paths are called; nothing for those that a look shows.
pub(crate) fn object(event: &Event, name: impl Fn(&Path) -> String) -> Option<Json> {
    Some(match event {
        Event::Joined(member) => json!({ "event": "joined", "member": about(member) }),
        Event::Left { member, reason } => json!({
            "event": "left",
            "member": about(member),
            "reason": format!("{reason:?}").to_lowercase(),
        }),
        Event::State(state @ (State::Reconnecting { reason, .. } | State::Closed(reason))) => {
            json!({ "event": "state", "state": word(state), "why": reason.to_string() })
        }
        Event::State(state) => json!({ "event": "state", "state": word(state) }),
        Event::Dropped { model } => json!({ "event": "dropped", "path": name(model) }),
        Event::Owner { model, owner, confirmed } => json!({
            "event": "owner",
            "path": name(model),
            "owner": owner.map(|owner| owner.to_string()),
            "confirmed": confirmed,
        }),
        Event::ClaimDenied { model, why } => {
            json!({ "event": "claim denied", "path": name(model), "why": why.to_string() })
        }
        Event::Settled { place, outcome, .. } => settled(&name(place), *outcome),
        Event::Refused { model, why } => {
            json!({ "event": "refused", "path": name(model), "why": why.to_string() })
        }
        Event::Signal(signal) => heard(signal, name),
        Event::SignalSettled { delivery, .. } => json!({
            "event": "signal settled",
            "outcome": match delivery {
                Delivery::Heard => "heard",
                Delivery::Absent => "absent",
            },
        }),
        Event::Room(fact) => json!({ "event": "room", "what": part(fact) }),
        Event::Presence { client, key, value } => json!({
            "event": "presence",
            "client": client.0,
            "key": key,
            "value": value.as_ref().map(|value| {
                std::str::from_utf8(value)
                    .map_or_else(|_| hex::encode(value), ToOwned::to_owned)
            }),
        }),
        Event::Voice(event) => return voice::object(event),
        Event::Keeps(keeps) => json!({ "event": "keeps", "keeps": keeps }),
        Event::Kept => json!({ "event": "kept" }),
        Event::NotStored { why } => json!({ "event": "not stored", "why": why }),
        Event::SignalLost { .. } => json!({ "event": "signal lost" }),
        Event::SignalsMissed => json!({ "event": "signals missed" }),
        _ => return None,
    })
}

/// A signal that was heard.
fn heard(signal: &Signalled, name: impl Fn(&Path) -> String) -> Json {
    json!({
            "event": "signal",
            "path": match &signal.subject {
                Subject::Property { model, property } => name(&model.property(*property)),
                Subject::Name(subject) => subject.clone(),
            },
            "by": signal.by.to_string(),
            "says": std::str::from_utf8(&signal.payload)
                .map_or_else(|_| hex::encode(&signal.payload), ToOwned::to_owned),
            "reliable": signal.reliable,
    })
}

/// What became of a proposal.
fn settled(place: &str, outcome: Outcome) -> Json {
    json!({
        "event": "settled",
        "path": place,
        "outcome": match outcome {
            Outcome::Done => "done",
            Outcome::Found => "found",
            Outcome::Lost(_) => "lost",
            Outcome::Failed(_) => "failed",
        },
        "why": match outcome {
            Outcome::Done | Outcome::Found => None,
            Outcome::Lost(why) => Some(why.to_string()),
            Outcome::Failed(fault) => Some(fault.to_string()),
        },
    })
}

/// Which part of what the room is.
fn part(fact: &Fact) -> String {
    match fact {
        Fact::Everything => "everything".to_owned(),
        Fact::Owner => "owner".to_owned(),
        Fact::Description => "description".to_owned(),
        Fact::Data { key } => format!("data {key}"),
        Fact::Capacity => "capacity".to_owned(),
        Fact::Listed => "listed".to_owned(),
        Fact::Locked => "locked".to_owned(),
        Fact::Password => "password".to_owned(),
        Fact::Policy => "policy".to_owned(),
    }
}

/// What is known of a member.
pub(super) fn about(member: &Member) -> Json {
    let metadata = std::str::from_utf8(&member.metadata)
        .map_or_else(|_| hex::encode(&member.metadata), ToOwned::to_owned);
    json!({
        "client": member.client.0,
        "peer": member.peer.to_string(),
        "metadata": metadata,
        "schema": hex::encode(member.schema),
        "rejoined": member.rejoined,
    })
}

fn owner(happened: &Json) -> String {
    let owner = happened["owner"].as_str().unwrap_or("nobody");
    let sure = if happened["confirmed"] == true { "" } else { ", says nobody but itself" };
    format!("{owner}{sure}")
}

/// An object of [`object`] or [`Look::again`] for a person.
pub(crate) fn line(happened: &Json) -> String {
    let text = |key: &str| happened[key].as_str().unwrap_or_default();
    match (text("event"), &happened["value"]) {
        ("changed", value) => format!("{} = {value}", text("path")),
        ("added", _) => format!("+ {}", text("path")),
        ("removed", _) => format!("- {}", text("path")),
        ("joined" | "left", _) => {
            let member = happened["member"]["peer"].as_str().unwrap_or_default();
            format!("{} {member} {}", text("event"), text("reason"))
        }
        (
            "opened" | "closed" | "muted" | "speaking" | "silenced" | "live" | "not live"
            | "speech ends" | "in voice" | "out of voice",
            _,
        ) => voice::line(happened),
        ("state", _) => format!("{} {}", text("state"), text("why")),
        ("settled", _) => {
            format!("{}: {} {}", text("path"), text("outcome"), text("why")).trim_end().to_owned()
        }
        ("owner", _) => format!("{} belongs to {}", text("path"), owner(happened)),
        ("signal", _) => format!("{}: {} ({})", text("path"), text("says"), text("by")),
        ("room", _) => format!("room: {}", text("what")),
        ("presence", value) => format!("{}: {} = {value}", happened["client"], text("key")),
        ("signal settled", _) => format!("{}: {}", text("event"), text("outcome")),
        ("signal lost" | "signals missed", _) => text("event").to_owned(),
        ("claim denied" | "refused", _) => {
            format!("{}: {}: {}", text("event"), text("path"), text("why"))
        }
        (event, _) => format!("{event}: {}", text("path")),
    }
}
