//! Who owns what, for `claim`, `release`, `give` and `owner`.

use parlor::proto::event::State;
use parlor::proto::model::handle::{Handle, ModelRef};
use parlor::proto::model::path::Path;
use parlor::room::Room;
use parlor::{Ownership, PeerId, Terms};
use serde_json::{Value as Json, json};
use tokio::time::timeout;

use super::Untyped;
use super::place::{Finder, Place, What, words};
use super::session::{PATIENCE, Session};
use crate::failure::Failure;

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

impl Session {
    /// Claims a model, and waits for the answer: what is typed next may count on it.
    pub(super) async fn claim(
        &mut self,
        path: &str,
        terms: Terms,
    ) -> Result<Result<(), String>, Failure> {
        let asked = model(&self.finder(), path).and_then(|place| {
            let claimed = self.room.claim_at(place.path.clone(), terms);
            claimed.map(|()| place.path).map_err(|error| format!("{path}: {error}"))
        });
        match asked {
            Ok(model) => self.answered(path, model, Ownership::Claimed).await,
            Err(why) => Ok(Err(why)),
        }
    }

    pub(super) async fn give(
        &mut self,
        path: &str,
        to: &str,
    ) -> Result<Result<(), String>, Failure> {
        let asked = model(&self.finder(), path).and_then(|place| {
            let to = member(&self.room, to)?;
            let given = self.room.transfer_at(place.path.clone(), to);
            given.map(|()| place.path).map_err(|error| format!("{path}: {error}"))
        });
        match asked {
            Ok(model) => self.answered(path, model, Ownership::Free).await,
            Err(why) => Ok(Err(why)),
        }
    }

    pub(super) fn release(&mut self, path: &str) -> Result<(), String> {
        let place = model(&self.finder(), path)?;
        self.room.release_at(place.path).map_err(|error| format!("{path}: {error}"))
    }

    /// Waits until a model is `asked` for no more. Without the relay there is no answer to wait for.
    async fn answered(
        &mut self,
        path: &str,
        model: Path,
        asked: Ownership,
    ) -> Result<Result<(), String>, Failure> {
        self.denied = None;
        self.room.flush();
        let newest = self.room.newest_grant();
        let handle = ModelRef::<Untyped>::at(model.clone());
        let answered = timeout(PATIENCE, async {
            while self.room.ownership_state(&handle) == asked && self.denied.is_none() {
                // What was given may be let go of again by the time that this peer looks.
                let given = asked == Ownership::Free && self.room.newest_grant() > newest;
                if given || *self.room.state() != State::Ready {
                    break;
                }
                self.room.wait(PATIENCE).await;
                self.report(None)?;
            }
            Ok::<_, Failure>(())
        });
        let answered = answered.await.ok().transpose()?;
        self.report(None)?;
        let denied = self.denied.take().filter(|(of, _)| *of == model);
        Ok(match (denied, answered) {
            (Some((_, why)), _) => Err(format!("{path}: {why}")),
            (None, None) => {
                Err(format!("{path}: no answer yet: `owner {path}` tells when there is"))
            }
            (None, Some(())) => Ok(()),
        })
    }

    pub(super) fn owner(&self, path: &str) -> Result<Result<(), String>, Failure> {
        let place = match model(&self.finder(), path) {
            Ok(place) => place,
            Err(why) => return Ok(Err(why)),
        };
        let said = said(&self.room, &place);
        self.output.tell(&said, line(&said)).map(Ok)
    }
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
