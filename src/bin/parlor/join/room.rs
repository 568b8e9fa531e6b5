//! What the room is, and what is asked of the relay about it.

use parlor::{Answer, Request};
use serde_json::{Value as Json, json};

use super::session::Session;
use crate::failure::Failure;
use crate::lobby;

impl Session {
    /// Tells what the room is.
    pub(super) fn tell_room(&self) -> Result<(), Failure> {
        let Some(record) = self.room.record() else {
            let unknown = "the relay does not say what its rooms are";
            return self.output.tell(&json!({ "room": Json::Null }), unknown);
        };
        let members = u32::try_from(self.room.members().count()).unwrap_or(u32::MAX);
        let record = parlor::Record { members, ..record.clone() };
        self.output.tell(&lobby::object(&record), lobby::lines(&record))
    }

    /// Asks the relay; the inner error is why it is not done.
    pub(super) async fn ask(&mut self, request: &Request) -> Result<Result<(), String>, Failure> {
        let answer = self.room.request(request).await;
        match answer {
            Ok(Answer::Invite(invite)) => {
                let text = invite.to_string();
                self.output.tell(&json!({ "invite": text }), &text).map(Ok)
            }
            Ok(_) => Ok(Ok(())),
            Err(error) => Ok(Err(error.to_string())),
        }
    }
}
