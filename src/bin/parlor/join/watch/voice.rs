//! Who speaks in a room.

use parlor::PeerId;
use parlor::proto::audio::stream::{StreamEnd, StreamName};
use parlor::proto::event::voice::{VoiceEvent, VoiceJoin, VoiceLeave};
use serde_json::{Value as Json, json};

/// What an event is to programs; nothing for what only numbers say.
pub(super) fn object(event: &VoiceEvent) -> Option<Json> {
    Some(match event {
        VoiceEvent::Opened(stream) => {
            let mut object = about("opened", stream.name, Some(stream.peer));
            object["muted"] = stream.muted.into();
            object
        }
        VoiceEvent::Closed { name, peer, why } => {
            let mut object = about("closed", *name, Some(*peer));
            object["why"] = why.map_or("unlinked", end).into();
            object
        }
        VoiceEvent::Muted { name, muted } => {
            let mut object = about("muted", *name, None);
            object["muted"] = (*muted).into();
            object
        }
        VoiceEvent::Silenced { peer, silenced } => {
            json!({ "event": "silenced", "peer": peer.to_string(), "silenced": silenced })
        }
        VoiceEvent::Live { number } => json!({ "event": "live", "stream": number }),
        VoiceEvent::Refused { number, why } => {
            json!({ "event": "not live", "stream": number, "why": why.to_string() })
        }
        VoiceEvent::Expires { after } => {
            json!({ "event": "speech ends", "seconds": after.as_secs() })
        }
        VoiceEvent::Joined { how } => {
            json!({ "event": "in voice", "again": *how == VoiceJoin::Again })
        }
        VoiceEvent::Left { why } => json!({ "event": "out of voice", "why": leave(why) }),
        VoiceEvent::Speaking { name, peer, speaking } => {
            let mut object = about("speaking", *name, Some(*peer));
            object["speaking"] = (*speaking).into();
            object
        }
        VoiceEvent::Reception { .. } | VoiceEvent::Levels(_) => return None,
    })
}

fn leave(why: &VoiceLeave) -> String {
    match why {
        VoiceLeave::Asked => "asked".to_owned(),
        VoiceLeave::Disconnected { reason } => format!("for now: {reason}"),
        VoiceLeave::Unsupported => "the relay is too old to carry any".to_owned(),
        VoiceLeave::RoomOver { reason } => reason.to_string(),
    }
}

fn about(event: &str, name: StreamName, peer: Option<PeerId>) -> Json {
    json!({
        "event": event,
        "client": name.client.0,
        "stream": name.number,
        "peer": peer.map(|peer| peer.to_string()),
    })
}

const fn end(why: StreamEnd) -> &'static str {
    match why {
        StreamEnd::Closed => "closed",
        StreamEnd::Left => "left",
        StreamEnd::Forbidden => "forbidden",
        StreamEnd::Replaced => "replaced",
        _ => "gone",
    }
}

/// An object of [`object`] for a person.
pub(super) fn line(happened: &Json) -> String {
    let text = |key: &str| happened[key].as_str().unwrap_or_default();
    let is = |key: &str| happened[key] == true;
    let voice = format!("voice {}.{}", happened["client"], happened["stream"]);
    match text("event") {
        "opened" => {
            let muted = if is("muted") { ", muted" } else { "" };
            format!("{voice} is {}{muted}", text("peer"))
        }
        "closed" => format!("{voice} is closed: {}", text("why")),
        "muted" if is("muted") => format!("{voice} is muted"),
        "muted" => format!("{voice} is not muted any more"),
        "speaking" if is("speaking") => format!("{voice} speaks"),
        "speaking" => format!("{voice} stops"),
        "silenced" if is("silenced") => {
            format!("{} is not heard any more: a moderator says so", text("peer"))
        }
        "silenced" => format!("{} may be heard again", text("peer")),
        "in voice" if is("again") => "takes part in voice again".to_owned(),
        "in voice" => "takes part in voice".to_owned(),
        "out of voice" => format!("takes no part in voice, {}", text("why")),
        "live" => "what is said is heard".to_owned(),
        "not live" => format!("what is said is not heard: {}", text("why")),
        "speech ends" => {
            format!("the token lets this peer speak for {} s more", happened["seconds"])
        }
        event => event.to_owned(),
    }
}
