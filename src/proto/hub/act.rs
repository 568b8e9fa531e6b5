//! What a relay does in its rooms because its operator's program says so: as a member that nobody sees,
//! that needs no place, no password and no token, and that may do everything.

use bytes::Bytes;
use thiserror::Error;

use super::ownership::type_in;
use super::record::Asker;
use super::{GiveError, Hub};
use crate::proto::datastore::intent::{Intent, Splice};
use crate::proto::event::signal::Audience;
use crate::proto::id::{DocumentId, PeerId, RoomKey};
use crate::proto::model::path::Path;
use crate::proto::reason::{ChangeFault, RequestError, ServiceError};
use crate::proto::service::Request;
use crate::proto::time::Time;
use crate::proto::wire::message::RequestRecord;
use crate::proto::wire::rooms;

/// One thing that a relay does in a room.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Edits models, and says who owns them: all edits in one change, in this order, and then the claims.
    /// Whoever owns what is edited, it comes in, and everybody sees it as another's edit, its owner too.
    /// What a member wrote to the same property without having seen it is merged with it, as of any two;
    /// on a state property, what its writer says stands over it until it says no more, or the model is
    /// taken from it.
    ///
    /// An [`Intent::Claim`] is a decree: `Take` has the relay own the model on these terms, `Release`
    /// has nobody own it, `Give` a member of the room, on the terms that it was owned on. It holds
    /// whoever owns the model, on whatever terms; below what another owns it sleeps. An exclusive model
    /// is taken from its owner at once, and goes to who is to have it when its owner cannot believe any
    /// more that it has it: a lease later
    /// ([`OwnershipConfig::lease`](crate::proto::config::OwnershipConfig::lease)), and until then it is
    /// nobody's, and anybody may write it. Who loses a model is
    /// told [`Event::Owner`](crate::proto::event::Event::Owner), and what it wrote without knowing that
    /// is taken back. What a relay owns it owns until it lets go or ends, by the terms: only what is
    /// protected, exclusive or fixed no member takes from it.
    ///
    /// A relay knows no types: [`Intent::between`] and [`Intent::creation`] make intents of models. What
    /// is edited must stand; but children and collections of the root model are made.
    Write(Vec<Intent>),
    /// Edits texts, in one change. Places beyond the end of one are its end.
    Type(Vec<Splice>),
    /// Gives a signal, as [`Hub::signal`] does.
    Signal {
        /// Who is to hear it.
        to: Audience,
        /// Its name.
        name: String,
        /// What it says.
        payload: Bytes,
    },
    /// Changes what the room is, as its owner or a moderator would ask for it. Of what the answer would
    /// say nothing is heard: an invite is better made by a member.
    Change(Request),
}

/// Why a relay did not do something in a room. Nothing of it was done, but that what is well known on the
/// way may have been made. A decree of who owns what, behind edits that came in, may find the room full
/// all the same: then nobody is told, and it does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ActError {
    /// There is no such room, or none any more.
    #[error("no such room is open")]
    NoRoom,
    /// The room is being brought back.
    #[error("the room is being brought back: wait for the event that says that it is restored")]
    Restoring,
    /// What is edited or claimed is not there.
    #[error("no model stands at {model}: it was removed, or nobody has made it")]
    NoModel {
        /// Where it would be.
        model: Path,
    },
    /// It is no edit that a relay can make: it reserves or redeems a place, writes where claims and
    /// schemas are, or would put a value where a model stands.
    #[error("a relay does not write that: give values of properties, models, or claims of models")]
    NoEdit,
    /// It asks about rooms, or brings a token, and changes no room.
    #[error("that changes no room: ask for it as a peer")]
    NoChange,
    /// The peer that a model is given to is not in the room.
    #[error("{peer} is not in the room")]
    Absent {
        /// Who.
        peer: PeerId,
    },
    /// It is too large for one change.
    #[error("that takes {size} bytes, over the limit of {limit}: do it in parts")]
    TooLarge {
        /// The most bytes.
        limit: usize,
        /// How many it takes, as an estimate from above.
        size: usize,
    },
    /// The room has as many owned models as it may have.
    #[error("the room has {limit} owned models and takes no more")]
    TooMany {
        /// How many it may have.
        limit: u32,
    },
    /// The room takes no more changes.
    #[error("the room takes no more changes ({0}): start a new room")]
    Full(#[from] ChangeFault),
    /// The signal is not given.
    #[error(transparent)]
    Signal(#[from] GiveError),
    /// A text is longer than can be said.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The room does not change so.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl Hub {
    /// Does something in a room, as the relay. Its peers see the relay as who did it.
    ///
    /// # Errors
    ///
    /// When it cannot be done.
    pub fn act(&mut self, now: Time, room: &RoomKey, act: Act) -> Result<(), ActError> {
        match act {
            Act::Write(intents) => self.write_as_relay(now, room, &intents),
            Act::Type(splices) => self.type_as_relay(now, room, &splices),
            Act::Signal { to, name, payload } => Ok(self.signal(now, room, to, &name, payload)?),
            Act::Change(request) => self.change_as_relay(now, room, &request),
        }
    }

    /// Edits models of a room, and decrees whose they are.
    pub(super) fn write_as_relay(
        &mut self,
        now: Time,
        key: &RoomKey,
        intents: &[Intent],
    ) -> Result<(), ActError> {
        self.open_to_relay(now, key, DocumentId::MODELS)?;
        let room = self.rooms.get_mut(key).ok_or(ActError::NoRoom)?;
        let (log, _, holdings, motion) = room.gated(DocumentId::MODELS);
        let mut tokens = Vec::new();
        let office = (&mut self.grantor, &self.config.ownership, now);
        let outcome = holdings.dictate((log, motion), intents, office, &mut tokens);
        room.log_and_epochs(DocumentId::MODELS).1.wrote(now);
        self.forward(now, key, DocumentId::MODELS, None, &tokens);
        self.serve_queue(now, key);
        outcome
    }

    fn type_as_relay(
        &mut self,
        now: Time,
        key: &RoomKey,
        splices: &[Splice],
    ) -> Result<(), ActError> {
        self.open_to_relay(now, key, DocumentId::TEXTS)?;
        let room = self.rooms.get_mut(key).ok_or(ActError::NoRoom)?;
        let (log, epochs) = room.log_and_epochs(DocumentId::TEXTS);
        let mut tokens = Vec::new();
        let outcome = type_in(log, splices, &self.grantor, &mut tokens);
        epochs.wrote(now);
        self.forward(now, key, DocumentId::TEXTS, None, &tokens);
        outcome
    }

    /// Makes sure that a document of a room can be written to. A log that is being cut must not change.
    fn open_to_relay(
        &mut self,
        now: Time,
        key: &RoomKey,
        document: DocumentId,
    ) -> Result<(), ActError> {
        let room = self.rooms.get(key).ok_or(ActError::NoRoom)?;
        if room.is_recovering() {
            return Err(ActError::Restoring);
        }
        self.finish_cut(key, document, now);
        Ok(())
    }

    fn change_as_relay(
        &mut self,
        now: Time,
        key: &RoomKey,
        request: &Request,
    ) -> Result<(), ActError> {
        if !self.rooms.contains_key(key) {
            return Err(ActError::NoRoom);
        }
        let record = rooms::request(request, key.0, Some(&key.1))?;
        match record {
            RequestRecord::Describe(_)
            | RequestRecord::Put(..)
            | RequestRecord::Capacity(_)
            | RequestRecord::Listed(_)
            | RequestRecord::Lock(_)
            | RequestRecord::Policy(_)
            | RequestRecord::Password(_)
            | RequestRecord::HandOver(_)
            | RequestRecord::Kick(..)
            | RequestRecord::Pardon(_)
            | RequestRecord::Invite(..)
            | RequestRecord::Withdraw(_)
            | RequestRecord::Silence(..) => {}
            RequestRecord::List { .. }
            | RequestRecord::Find(_)
            | RequestRecord::Peek(_)
            | RequestRecord::Match(..)
            | RequestRecord::Renew(_) => return Err(ActError::NoChange),
        }
        let asker = Asker { peer: self.me, moderates: true };
        self.change(now, key, asker, record)?;
        Ok(())
    }
}
