//! What is told once, and kept nowhere.

use parlor::proto::event::Event;
use parlor::proto::event::State;
use parlor::{Audience, Delivery, SignalId, Subject};
use serde_json::json;
use tokio::time::timeout;

use super::owner::member;
use super::session::{PATIENCE, Session};
use crate::failure::Failure;

/// What became of a signal to one hearer; nothing if that is not known.
pub(super) type Told = (SignalId, Option<Delivery>);

/// What an event says of that.
pub(super) const fn told(event: &Event) -> Option<Told> {
    match event {
        Event::SignalSettled { id, delivery } => Some((*id, Some(*delivery))),
        Event::SignalLost { id } => Some((*id, None)),
        _ => None,
    }
}

impl Session {
    /// Tells everybody else.
    pub(super) fn say(&mut self, name: String, text: String) -> Result<(), String> {
        let said = self.room.signal(Audience::Others, Subject::Name(name), text.into());
        said.map(drop).map_err(|error| error.to_string())
    }

    /// The same, but it may be lost.
    pub(super) fn shout(&mut self, name: String, text: String) -> Result<(), String> {
        let cast = self.room.cast(Audience::Others, Subject::Name(name), text.into());
        cast.map_err(|error| error.to_string())
    }

    /// Tells one member, or the relay, and waits until it is known what became of it.
    pub(super) async fn tell(
        &mut self,
        to: &str,
        name: String,
        text: String,
    ) -> Result<Result<(), String>, Failure> {
        let audience = match to {
            "relay" => Ok(Audience::Relay),
            peer => member(&self.room, peer).map(Audience::Peer),
        };
        let given = audience.and_then(|to| {
            let given = self.room.signal(to, Subject::Name(name), text.into());
            given.map_err(|error| error.to_string())
        });
        let id = match given {
            Ok(id) => id,
            Err(why) => return Ok(Err(why)),
        };
        self.room.flush();
        let outcome = timeout(PATIENCE, async {
            loop {
                self.report(None)?;
                let told = self.told.filter(|(of, _)| *of == id);
                if told.is_some() || matches!(self.room.state(), State::Closed(_)) {
                    return Ok::<_, Failure>(told.and_then(|(_, delivery)| delivery));
                }
                self.room.wait(PATIENCE).await;
            }
        });
        match outcome.await.ok().transpose()?.flatten() {
            Some(Delivery::Heard) => {
                self.output.tell(&json!({ "told": to, "outcome": "heard" }), "heard").map(Ok)
            }
            Some(Delivery::Absent) => Ok(Err(format!("{to} was not there, and did not hear it"))),
            None => Ok(Err(format!("it is not known whether {to} heard it"))),
        }
    }
}
