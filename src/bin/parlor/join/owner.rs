//! Who owns what, for `claim`, `release`, `give` and `owner`.

use parlor::proto::id::PeerId;
use parlor::proto::model::handle::{Handle, ModelRef};
use parlor::proto::ownership::Ownership;
use parlor::room::Room;
use serde_json::{Value as Json, json};

use super::Untyped;
use super::place::{Finder, Place, What, words};

/// The model that a person means.
pub(super) fn model(finder: &Finder<'_>, path: &str) -> Result<Place, String> {
    let place = finder.find(path)?;
    if !matches!(place.what, What::Model(_)) {
        return Err(format!("{path} is no model: only models are owned, with all that is in them"));
    }
    if !finder.has_element(&place.path) {
        return Err(format!("there is no model at {path}: `add` makes one"));
    }
    Ok(place)
}

/// The member that a person means, by its id or the number of its connection.
pub(super) fn member(room: &Room<Untyped>, text: &str) -> Result<PeerId, String> {
    let is_meant = |peer: PeerId, client: String| peer.to_string() == text || client == text;
    let mut members = room.members();
    let found = members.find(|member| is_meant(member.peer, member.client.to_string()));
    let peer = found.map(|member| member.peer);
    peer.ok_or_else(|| format!("no `{text}` is in the room: `members` lists who is"))
}

/// Who owns a model, as an object for programs.
pub(super) fn said(room: &Room<Untyped>, place: &Place) -> Json {
    let model = ModelRef::<Untyped>::at(place.path.clone());
    let (state, confirmed) = match room.ownership_state(&model) {
        Ownership::Free => ("free", false),
        Ownership::Claimed => ("claimed", false),
        Ownership::Confirmed { .. } => ("confirmed", true),
        Ownership::Remote { confirmed, .. } => ("remote", confirmed),
        Ownership::Stale { .. } => ("stale", false),
    };
    let id = |peer: Option<PeerId>| peer.map(|peer| peer.to_string());
    json!({
        "path": words(&place.steps),
        "owner": id(room.owner(&model)),
        "state": state,
        "confirmed": confirmed,
        "decides": id(room.owner_in_hierarchy(&model)),
    })
}

/// [`said`] for a person.
pub(super) fn line(said: &Json) -> String {
    let owner = said["owner"].as_str().unwrap_or("nobody");
    let more = match said["state"].as_str() {
        Some("confirmed") => " (you)",
        Some("claimed") => " (you, if the relay agrees)",
        Some("stale") => " (you, when the relay was last heard)",
        Some("remote") if said["confirmed"] != true => ", says nobody but itself",
        _ => "",
    };
    match said["decides"].as_str().filter(|decides| *decides != owner) {
        Some(decides) => format!("{owner}{more}; {decides} decides, who owns what it is in"),
        None => format!("{owner}{more}"),
    }
}
