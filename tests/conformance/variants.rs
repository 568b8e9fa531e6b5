//! No variant of what goes over the wire is without a vector, and each is where the text has it.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::wire::cases;

#[test]
fn every_variant_has_a_vector() {
    let messages = messages();
    let message = || messages.iter().map(|case| &case["message"]);
    let entry = || {
        let entries = message().filter_map(|message| message["Changes"]["entries"].as_array());
        entries.flatten()
    };
    let refused = || message().map(|message| &message["Refused"]);
    covers("wire/message.rs", "Message", message());
    let signal = || message().map(|message| &message["Signal"]);
    covers("wire/message/signal.rs", "SignalMessage", signal());
    let cast = message().map(|message| &message["Cast"]);
    covers("wire/message/signal.rs", "SignalCast", cast);
    let settled = signal().filter_map(|signal| signal["Settled"]["settled"].as_array()).flatten();
    covers("wire/message/signal.rs", "SignalOutcome", settled.map(|record| &record["outcome"]));
    covers("reason.rs", "Refusal", refused());
    let why = refused().map(|refusal| &refusal["BadChange"]["why"]);
    covers("reason.rs", "ChangeFault", why);
    let reason = message().map(|message| &message["Left"]["reason"]);
    covers("event.rs", "LeaveReason", reason);
    covers("wire/message.rs", "EntryRecord", entry());
    covers("reason.rs", "Denial", entry().map(|entry| &entry["Denied"]["why"]));
    let made = entry().map(|entry| &entry["WellKnown"]["made"]);
    covers("wire/message.rs", "Made", made);
    let service = || message().map(|message| &message["Service"]);
    covers("wire/message/service.rs", "ServiceMessage", service());
    let items = |said| service().filter_map(move |it| it[said]["items"].as_array()).flatten();
    covers("wire/message/service.rs", "Asked", items("Asked"));
    let requests = items("Asked").map(|item| &item["Request"]["request"]);
    covers("wire/message/service.rs", "RequestRecord", requests);
    covers("wire/message/service.rs", "Told", items("Told"));
    let asked = items("Asked").map(|item| &item["Voice"]);
    covers("wire/message/voice.rs", "VoiceAsked", asked);
    let told = || items("Told").map(|item| &item["Voice"]);
    covers("wire/message/voice.rs", "VoiceTold", told());
    covers("audio/stream.rs", "StreamEnd", told().map(|told| &told["Closed"]["why"]));
    covers("audio/stream.rs", "StreamError", told().map(|told| &told["Refused"]["why"]));
    let facts = items("Told").map(|item| &item["Fact"]);
    covers("wire/message/service.rs", "FactRecord", facts);
    let answers = || items("Told").map(|item| &item["Answer"]["answer"]);
    covers("wire/message/service.rs", "AnswerRecord", answers().map(|answer| &answer["Ok"]));
    covers("reason/service.rs", "ServiceError", answers().map(|answer| &answer["Err"]));
}

#[test]
fn a_message_begins_with_its_place_in_the_enum() {
    let places = variants("wire/message.rs", "Message");
    for case in messages() {
        let tag = tag(&case["message"]).unwrap();
        let place = places.iter().position(|variant| *variant == tag).unwrap();
        let frame = hex::decode(case["frame"].as_str().unwrap()).unwrap();
        assert_eq!(frame[..2], [2, u8::try_from(place).unwrap()], "{tag}");
    }
}

/// The cases of `wire.json` that are messages, as the file has them.
fn messages() -> Vec<Value> {
    let cases = cases().into_iter();
    let cases = cases.map(|case| serde_json::to_value(case).unwrap());
    cases.filter(|case| case["kind"] == "message").collect()
}

fn covers<'a>(file: &str, name: &str, values: impl Iterator<Item = &'a Value>) {
    let seen: BTreeSet<String> = values.filter_map(tag).collect();
    let all = variants(file, name);
    let missing: Vec<_> = all.iter().filter(|variant| !seen.contains(*variant)).collect();
    assert!(missing.is_empty(), "no vector for {missing:?} of {name}");
}

/// The variant of an enum's value, as `serde_json` writes it.
fn tag(value: &Value) -> Option<String> {
    match value {
        Value::String(tag) => Some(tag.clone()),
        Value::Object(fields) => fields.keys().next().cloned(),
        _ => None,
    }
}

/// The variants of an enum, from its text: the words that begin a line one step in.
fn variants(file: &str, name: &str) -> Vec<String> {
    let path = [env!("CARGO_MANIFEST_DIR"), "/src/proto/", file].concat();
    let text = fs::read_to_string(path).unwrap();
    let (_, body) = text.split_once(&format!("pub enum {name} {{\n")).unwrap();
    let (body, _) = body.split_once("\n}").unwrap();
    let variants: Vec<String> = body
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()))
        .map(|line| line.chars().take_while(|next| next.is_alphanumeric()).collect())
        .collect();
    assert!(variants.len() > 1, "the text of {name} was not understood");
    variants
}
