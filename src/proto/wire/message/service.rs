//! What is said of rooms: how a peer comes in, what it asks, and what it is told.

use serde::{Deserialize, Serialize};

use super::Join;
use super::voice::{VoiceAsked, VoiceTold};
use crate::proto::id::{ClientNumber, PeerId, RoomId};
use crate::proto::reason::ServiceError;
use crate::proto::service::{Code, Door, Invite, Policy};
use crate::proto::wire::bounded::{Blob, Line, List};

/// A room's name, in normal form C.
type NameLine = Line<6_144>;
/// A description; a relay's limits are tighter, as for what follows.
type DescriptionLine = Line<4_096>;
/// A key of a room's data.
type KeyLine = Line<256>;
/// A value of a room's data.
type ValueLine = Line<4_096>;
/// A room's data, in the order of its keys.
pub type DataList = List<(KeyLine, ValueLine), 256>;
/// A key of what a member says of itself.
pub type PresenceKey = Line<256>;
/// What a member says under a key.
pub type PresenceValue = Blob<8_192>;

/// The rooms of one page.
pub type Cards = List<CardRecord, 64>;

/// A token's text.
pub type TokenLine = Line<8_192>;

/// What a peer says to come in, since 2.4.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Enter {
    /// As before 2.4.
    pub join: Join,
    /// Whether to open the room if it is not open.
    pub create: bool,
    /// What it is to be like then.
    pub opening: OpeningRecord,
    /// HMAC-SHA256 with the password's key over the parts of [`Join::proof`], with
    /// `"parlor password"` in front.
    pub password: Option<[u8; 32]>,
    /// From somebody in the room.
    pub invite: Option<Invite>,
    /// What the application's backend gave the peer.
    pub token: Option<TokenLine>,
    /// What the application's backend is asked with.
    pub context: Line<4_096>,
}

/// As peers say it that know no room service.
impl From<Join> for Enter {
    fn from(join: Join) -> Self {
        Self {
            join,
            create: true,
            opening: OpeningRecord::default(),
            password: None,
            invite: None,
            token: None,
            context: Line::default(),
        }
    }
}

/// What a room is to be like.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct OpeningRecord {
    /// How many members it may have; 0 for as many as the relay allows.
    pub capacity: u32,
    /// Whether it is in lists.
    pub listed: bool,
    /// For people.
    pub description: DescriptionLine,
    /// For programs.
    pub data: DataList,
    /// Who may come in.
    pub policy: Policy,
    /// The key of its password, if it has one.
    pub password: Option<[u8; 32]>,
}

/// What peers and relays say of rooms, since 2.4.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ServiceMessage {
    /// Peer to relay: I come to ask, and into no room. Said again until something comes.
    Visit {
        /// HMAC-SHA256 with the app key over `"parlor visit"`, peer, relay, the peer's nonce, the relay's
        /// nonce and nothing.
        proof: [u8; 32],
        /// What the application's backend gave the peer.
        token: Option<TokenLine>,
    },
    /// Peer to relay: what I ask, and say of myself.
    Asked {
        /// The position of the first among all that were said on this link.
        position: u64,
        /// In order.
        items: List<Asked, 64>,
    },
    /// Relay to peer: what you asked, and what is so.
    Told {
        /// The position of the first among all that were said on this link.
        position: u64,
        /// In order.
        items: List<Told, 256>,
    },
    /// Both: what was before this position has arrived.
    Received {
        /// The position of the next that is expected.
        received: u64,
        /// Whether some came that are behind it: say them again from there.
        gap: bool,
    },
}

/// What a peer says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Asked {
    /// Do this, or tell me that.
    Request {
        /// Which of this peer's, from 1 on.
        number: u64,
        /// What.
        request: RequestRecord,
    },
    /// This is so of me.
    Presence {
        /// Under which key.
        key: PresenceKey,
        /// What; nothing any more, if it is none.
        value: Option<PresenceValue>,
        /// For how long, in milliseconds; 0 for as long as I am here.
        ttl_ms: u32,
    },
    /// This is so of my voice, and of what I hear; since 2.5.
    Voice(VoiceAsked),
    /// Tell me when all is kept that I have brought so far; since 2.6.
    Keep {
        /// What to name then.
        mark: u32,
    },
}

/// What a relay says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Told {
    /// What the room is.
    Room(RoomRecord),
    /// One thing of it is another.
    Fact(FactRecord),
    /// A member says this of itself.
    Presence {
        /// Who.
        client: ClientNumber,
        /// Under which key.
        key: PresenceKey,
        /// What; nothing any more, if it is none.
        value: Option<PresenceValue>,
    },
    /// Whoever came in now knows the room as it was then.
    Here,
    /// The answer to a request.
    Answer {
        /// Its number.
        number: u64,
        /// The answer.
        answer: Result<AnswerRecord, ServiceError>,
    },
    /// The peer's token is good for so many seconds more.
    Expires {
        /// How many.
        seconds: u32,
    },
    /// This is so of voices; since 2.5.
    Voice(VoiceTold),
    /// Whether what comes is kept such that it outlives the relay; since 2.6.
    Keeps(bool),
    /// What had come when this was asked is kept; since 2.6.
    Kept {
        /// By what it was asked.
        mark: u32,
    },
}

/// What a room is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RoomRecord {
    /// Its name.
    pub name: NameLine,
    /// How many are there.
    pub members: u32,
    /// How many may be.
    pub capacity: u32,
    /// Whose it is.
    pub owner: Option<PeerId>,
    /// Whether it is in lists.
    pub listed: bool,
    /// Whether it is locked.
    pub locked: bool,
    /// Whether it has a password.
    pub password: bool,
    /// Who may come in.
    pub policy: Policy,
    /// Its group and code.
    pub group: Option<(Line<32>, Code)>,
    /// For people.
    pub description: DescriptionLine,
    /// For programs.
    pub data: DataList,
}

/// One thing of a room.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum FactRecord {
    /// Whose it is.
    Owner(Option<PeerId>),
    /// The description.
    Description(DescriptionLine),
    /// What stands under a key of the data.
    Data(KeyLine, Option<ValueLine>),
    /// How many may be there.
    Capacity(u32),
    /// Whether it is in lists.
    Listed(bool),
    /// Whether it is locked.
    Locked(bool),
    /// Whether it has a password.
    Password(bool),
    /// Who may come in.
    Policy(Policy),
}

/// What a peer asks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RequestRecord {
    /// Change a thing of the room.
    Describe(DescriptionLine),
    /// Write, or remove, a value of its data.
    Put(KeyLine, Option<ValueLine>),
    /// Change how many may be there.
    Capacity(u32),
    /// List it, or do not.
    Listed(bool),
    /// Lock it, or open it again.
    Lock(bool),
    /// Change who may come in.
    Policy(Policy),
    /// Change the key of the password.
    Password(Option<[u8; 32]>),
    /// Make another the owner.
    HandOver(PeerId),
    /// Put a member out, for so many seconds.
    Kick(PeerId, u32),
    /// Let somebody in again.
    Pardon(PeerId),
    /// Make an invite: for whom, how many times, for how many seconds.
    Invite(Option<PeerId>, u32, u32),
    /// An invite is not good any more.
    Withdraw(Invite),
    /// Rooms.
    List {
        /// Which page, from 0.
        page: u32,
        /// Of how many.
        size: u32,
    },
    /// A room by its id.
    Find(RoomId),
    /// A room by its name.
    Peek(NameLine),
    /// A seat in a room of a group, which may have so many members if it is new.
    Match(Line<32>, u32),
    /// Take this token in place of the one before.
    Renew(TokenLine),
    /// Let nobody hear a member, or let others hear it again; since 2.5.
    Silence(PeerId, bool),
}

/// What a relay answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum AnswerRecord {
    /// It is done.
    Done,
    /// An invite.
    Invite(Invite),
    /// Rooms.
    Page {
        /// Which page.
        page: u32,
        /// How many rooms there are.
        total: u32,
        /// Whether another page follows.
        more: bool,
        /// The rooms.
        rooms: Cards,
    },
    /// A room.
    Room(RoomRecord),
    /// A seat.
    Seat {
        /// The room's group.
        group: Line<32>,
        /// The room's code.
        code: Code,
        /// How many members it may have.
        capacity: u32,
        /// Whether it was opened for this.
        fresh: bool,
        /// For how long the seat is held, in milliseconds.
        held_ms: u32,
    },
}

/// A room on a page.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CardRecord {
    /// Its name.
    pub name: NameLine,
    /// How many are there.
    pub members: u32,
    /// How many may be.
    pub capacity: u32,
    /// For people.
    pub description: DescriptionLine,
    /// Whether who asked may come in.
    pub door: Door,
}
