//! The room service: what a room is beside its documents, who may come in, and what can be asked of a
//! relay about rooms.

mod group;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::group::{Code, CodeError, Group, GroupError};
use crate::proto::id::{PeerId, RoomId, RoomName};

/// Who may come into a room, of those who know its name.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub enum Policy {
    /// Everybody.
    #[default]
    Everyone,
    /// Who has an [`Invite`], and who was there before.
    Invited,
    /// Only who was there before.
    Nobody,
}

/// What a room is to be like, said by who opens it. Who comes later says it in vain.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Opening {
    /// How many members it may have; as many as the relay allows, if nothing is said.
    pub capacity: Option<u32>,
    /// Whether it is in lists. By default a room is found by its name alone.
    pub listed: bool,
    /// What it is, for people.
    pub description: String,
    /// What it is, for programs.
    pub data: BTreeMap<String, String>,
    /// Who may come in.
    pub policy: Policy,
    /// What who comes in must know. It never travels, nor does the relay have it: but the relay's
    /// operator can try guesses.
    pub password: Option<String>,
}

/// How a peer comes into a room.
#[derive(Clone, PartialEq, Eq)]
pub struct Entrance {
    /// Whether the room is opened if there is none. If not, a room that is neither open nor kept is
    /// [`Refusal::NoSuchRoom`](crate::proto::reason::Refusal::NoSuchRoom).
    pub create: bool,
    /// What the room is to be like, if this peer opens it.
    pub opening: Opening,
    /// The room's password.
    pub password: Option<String>,
    /// What somebody in the room has given this peer.
    pub invite: Option<Invite>,
    /// What the application's server has given it, where that is asked for: see
    /// [`token`](crate::proto::token). A token that [`Request::Renew`] has brought takes its place.
    pub token: Option<String>,
    /// What the application's server is asked with, where it is.
    pub context: String,
}

impl Default for Entrance {
    fn default() -> Self {
        Self {
            create: true,
            opening: Opening::default(),
            password: None,
            invite: None,
            token: None,
            context: String::new(),
        }
    }
}

impl fmt::Debug for Entrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entrance").field("create", &self.create).finish_non_exhaustive()
    }
}

/// What a room is, beside its documents and members.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The room, in short.
    pub id: RoomId,
    /// Its name.
    pub name: RoomName,
    /// How many members it has; of the room that this peer is in, count
    /// [`Peer::members`](crate::proto::peer::Peer::members) instead.
    pub members: u32,
    /// How many it may have.
    pub capacity: u32,
    /// Whose it is, for what only an owner may do. Nobody's while nobody is there. When its owner
    /// leaves, or is away for too long, it is that of who is there longest.
    pub owner: Option<PeerId>,
    /// Whether it is in lists.
    pub listed: bool,
    /// Whether only those come in who were inside when it was locked.
    pub locked: bool,
    /// Whether who comes in must know a password.
    pub password: bool,
    /// Who may come in.
    pub policy: Policy,
    /// The group and code of a room that [`Request::Match`] has opened.
    pub group: Option<(Group, Code)>,
    /// What it is, for people.
    pub description: String,
    /// What it is, for programs.
    pub data: BTreeMap<String, String>,
}

/// Which part of a [`Record`] is another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fact {
    /// All of it may be: this peer came in, or came back.
    Everything,
    /// The owner.
    Owner,
    /// The description.
    Description,
    /// What stands under a key of the data.
    Data {
        /// The key.
        key: String,
    },
    /// The capacity.
    Capacity,
    /// Whether it is listed.
    Listed,
    /// Whether it is locked.
    Locked,
    /// Whether it has a password.
    Password,
    /// Who may come in.
    Policy,
}

/// Which of this peer's requests: they count from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub u64);

/// What can be asked of a relay. Each is answered, by the relay or because the link ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// Owner, moderator: describe the room.
    Describe(String),
    /// Owner, moderator: write a value of the room's data, or remove it. Of two at once the last one
    /// that the relay gets counts.
    Put {
        /// Its key.
        key: String,
        /// The value; nothing removes it.
        value: Option<String>,
    },
    /// Owner, moderator: say how many members the room may have. Nobody is put out.
    SetCapacity(u32),
    /// Owner, moderator: put the room into lists, or take it out.
    SetListed(bool),
    /// Owner, moderator: let only those in who are inside now and come back; or let others in again.
    Lock(bool),
    /// Owner, moderator: say who may come in.
    SetPolicy(Policy),
    /// Owner, moderator: have who comes in know a password from now on, or none.
    SetPassword(Option<String>),
    /// Owner: make another member the owner.
    HandOver(PeerId),
    /// Owner, moderator: put a member out, and keep it out for a while.
    Kick {
        /// Who; not oneself.
        peer: PeerId,
        /// For how long it stays out; in whole seconds, rounded up.
        ban: Duration,
    },
    /// Owner, moderator: let somebody in again before its time.
    Pardon(PeerId),
    /// Owner, moderator: make an [`Invite`].
    Invite {
        /// Who may use it; anybody, if nothing is said.
        peer: Option<PeerId>,
        /// How many may come in by it, at least 1.
        uses: u32,
        /// For how long it is good; in whole seconds, rounded up.
        valid: Duration,
    },
    /// Owner, moderator: an invite is good for nobody any more.
    Withdraw(Invite),
    /// Owner, moderator: let nobody in the room hear a member, whatever it says, or let others hear it
    /// again. It stays so when the member comes back, for as long as the room is open.
    Silence {
        /// Whom.
        peer: PeerId,
        /// Whether nobody is to hear it.
        silenced: bool,
    },
    /// Anybody who came with a token: take this one in its place, before that one ends.
    Renew(String),
    /// Anybody: the rooms of this application that are listed, or that this peer is in, by name.
    List {
        /// Which page, from 0.
        page: u32,
        /// How many on a page.
        size: u32,
    },
    /// Anybody: a room by its id.
    Find(RoomId),
    /// Anybody: a room by its name.
    Peek(RoomName),
    /// Anybody: a seat in a room of a group: in the fullest that has one, the newest of equally full
    /// ones, or else in a new one. It is held for a while, for this peer alone, which comes in by the
    /// room's name. Asked again meanwhile, it is the same seat.
    Match {
        /// The group.
        group: Group,
        /// How many members a new room may have.
        capacity: u32,
    },
}

/// What a relay answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It is done.
    Done,
    /// The invite that was asked for.
    Invite(Invite),
    /// Rooms.
    Page(Page),
    /// A room.
    Room(Box<Record>),
    /// A seat.
    Seat(Seat),
}

/// Some of the rooms that a peer may know of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// Which page, from 0.
    pub page: u32,
    /// How many rooms there are on all pages.
    pub total: u32,
    /// Whether another page follows.
    pub more: bool,
    /// The rooms, in the order of their names.
    pub rooms: Vec<Card>,
}

/// A room on a [`Page`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Card {
    /// Its name.
    pub name: RoomName,
    /// How many members it has.
    pub members: u32,
    /// How many it may have.
    pub capacity: u32,
    /// What it is, for people.
    pub description: String,
    /// Whether who asked may come in.
    pub door: Door,
}

/// Whether a peer may come into a room, as it was when it asked: whether it may when it comes is told
/// then.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Door {
    /// It may.
    Open,
    /// It is inside.
    Inside,
    /// It may, if it knows the password.
    Password,
    /// It may with an invite.
    Invited,
    /// The room is full.
    Full,
    /// The room is locked, or lets nobody in.
    Closed,
    /// It was put out, and the time is not over.
    Banned,
}

/// A seat that is held for a peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seat {
    /// The room to come into.
    pub room: RoomName,
    /// The room's code in its group, short enough to be told.
    pub code: Code,
    /// How many members the room may have.
    pub capacity: u32,
    /// Whether the room was opened for this seat.
    pub fresh: bool,
    /// For how long the seat is held.
    pub held: Duration,
}

/// What lets somebody into a room that is [`Policy::Invited`]: drawn by the relay, good until its time
/// is over, it is used up, it is withdrawn, or the relay forgets the room. Whoever has it may use it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Invite(pub [u8; 16]);

impl fmt::Display for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

/// Does not say it: it is a key.
impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invite(..)")
    }
}

impl FromStr for Invite {
    type Err = InviteError;

    fn from_str(text: &str) -> Result<Self, InviteError> {
        let bytes = data_encoding::BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes());
        let bytes = bytes.ok().and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        bytes.map(Self).ok_or(InviteError)
    }
}

/// Why a text is no [`Invite`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("this is no invite: it has 26 letters and digits, as whoever invited was given it")]
pub struct InviteError;

/// Why something cannot be said of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PresenceError {
    /// All of it is too long.
    #[error("{size} bytes are more than a member may say of itself ({limit}): say less")]
    TooLong {
        /// The most bytes of keys and values.
        limit: usize,
        /// How many there would be.
        size: usize,
    },
    /// It is under too many keys.
    #[error("a member says something of itself under {limit} keys at most: remove one first")]
    TooMany {
        /// How many there may be.
        limit: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_is_read_as_it_is_written_and_is_not_in_logs() {
        let invite = Invite([7; 16]);
        assert_eq!(invite.to_string().parse(), Ok(invite));
        assert_eq!(invite.to_string().to_ascii_uppercase().parse(), Ok(invite));
        assert_eq!("guest".parse::<Invite>(), Err(InviteError));
        assert_eq!(format!("{invite:?}"), "Invite(..)");
    }

    #[test]
    fn a_room_id_is_read_as_it_is_written() {
        let id = RoomId([0xab; 8]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("ab".parse::<RoomId>().is_err());
    }
}
