//! Every message, in the order of the specification. Postcard writes the position of a variant, so
//! variants are only added at the end, and none is ever removed.

mod denied;
mod service;
mod signal;
mod state;
mod voice;

use serde::{Deserialize, Serialize};

pub use self::denied::{Denied, DeniedRecord};
pub use self::service::{
    AnswerRecord, Asked, CardRecord, Cards, DataList, Enter, FactRecord, OpeningRecord,
    PresenceKey, PresenceValue, RequestRecord, RoomRecord, ServiceMessage, TokenLine, Told,
};
pub use self::signal::{
    HeardRecord, Life, Payload, SettledRecord, SignalAudience, SignalCast, SignalMessage,
    SignalOutcome, SignalRecord, SignalSubject,
};
pub use self::state::{
    StateAnswer, StateArea, StateInterest, StatePace, StatePacket, StateSection, StateTag,
};
pub use self::voice::{HearingRecord, ReceptionRecord, StreamRecord, VoiceAsked, VoiceTold};
use super::bounded::{Blob, Line, List};
use crate::proto::event::LeaveReason;
use crate::proto::id::{AppId, ClientNumber, DocumentId, EpochId, PeerId};
use crate::proto::reason::{Refusal, Version};

/// A change's hash, as automerge computes it.
pub type Hash = [u8; 32];
/// An actor of a document.
pub type Actor = [u8; 16];
/// Drawn by a relay for a room that it opens, and kept for as long as anybody remembers the room.
pub type Lineage = [u8; 8];
/// An ed25519 signature.
pub type SignatureBytes = Blob<64>;
/// Bytes of a change; the receiver's limits are tighter.
pub type ChangeBytes = Blob<{ 1 << 20 }>;
/// The records of a frame.
pub type RecordBytes = Blob<{ 1 << 20 }>;
/// Heads of a document: as many as it may have actors.
pub type Heads = List<Hash, 4_096>;

/// What peers and relays say to each other.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Message {
    /// Control, both: the first thing on a link, said again until the other's has come.
    Hello(Hello),
    /// Control, peer to relay: let me in. Said again until answered.
    Join(Join),
    /// Control, relay to peer: come in.
    Welcome(Welcome),
    /// Control, relay to peer: no, or no more. The last thing on a link.
    Refused(Refusal),
    /// Document, peer to relay: goodbye, after everything that was written. The last thing on a link.
    Leave,
    /// Control, relay to peer: somebody came in, making the roster this revision.
    Joined {
        /// The roster's revision with this member.
        revision: u32,
        /// Who.
        member: MemberRecord,
    },
    /// Control, relay to peer: somebody went out, making the roster this revision.
    Left {
        /// The roster's revision without this member.
        revision: u32,
        /// Who.
        client: ClientNumber,
        /// Why.
        reason: LeaveReason,
    },
    /// Control, peer to relay: my roster is another revision; say it whole.
    RosterWanted,
    /// Control, relay to peer: the whole roster, in pages.
    Roster {
        /// The roster's revision.
        revision: u32,
        /// Which page this is, from 0.
        page: u16,
        /// How many pages there are.
        pages: u16,
        /// The members on this page.
        members: List<MemberRecord, 256>,
    },
    /// Control, peer to relay: what time is it?
    Ping {
        /// The peer's own time in microseconds, given back in the answer.
        sent: u64,
        /// How long the last answer took, in microseconds; 0 before there was one.
        round_trip: u32,
    },
    /// Control, relay to peer: the answer.
    Pong {
        /// From the question.
        sent: u64,
        /// The room's time in microseconds since the Unix epoch.
        room_time: u64,
    },
    /// Document: entries as they are. Nobody says it: entries are [`Deltas`](Self::Deltas).
    Changes {
        /// Which document.
        document: DocumentId,
        /// The position of the first entry among all that were sent on this link for this document:
        /// what the frame follows.
        first: u64,
        /// The entries.
        entries: List<EntryRecord, 1_024>,
    },
    /// Control, both: entries before this position have arrived.
    Acknowledge {
        /// Which document.
        document: DocumentId,
        /// The position of the next entry that is expected.
        received: u64,
        /// Whether entries after it came without it: say them again from there.
        gap: bool,
    },
    /// Snapshot, relay to peer: a piece of the snapshot that the welcome offered.
    Piece {
        /// Which document.
        document: DocumentId,
        /// Which piece, from 0.
        index: u32,
        /// Its bytes.
        bytes: Blob<{ 256 << 10 }>,
    },
    /// Control, peer to relay: pieces before this one have arrived.
    AcknowledgePieces {
        /// Which document.
        document: DocumentId,
        /// The next piece that is expected.
        received: u32,
        /// Whether pieces after it came without it.
        gap: bool,
    },
    /// Control, both, once a second when nothing is in flight: what my document looks like.
    Compare {
        /// Which document.
        document: DocumentId,
        /// The first four bytes of its epoch.
        epoch: [u8; 4],
        /// How many entries I sent on this link.
        sent: u64,
        /// The first 8 bytes of SHA-256 over my heads in ascending order.
        digest: [u8; 8],
        /// From the relay: the roster's revision. From a peer: 0.
        roster: u32,
    },
    /// Control, both: my heads; send what they do not cover.
    HeadsAre {
        /// Which document.
        document: DocumentId,
        /// The first four bytes of its epoch: heads of another are nothing.
        epoch: [u8; 4],
        /// My heads, ascending.
        heads: Heads,
        /// Whether the other should answer with its own.
        answer: bool,
    },
    /// Control, both: entries before this position have arrived, and the one there could not be made
    /// of its record: say it, and what is behind it, in full.
    InFull {
        /// Which document.
        document: DocumentId,
        /// The position of the next entry that is expected.
        received: u64,
    },
    /// Document, both: entries of a document's log, without what the receiver's log says already.
    Deltas {
        /// Which document.
        document: DocumentId,
        /// The position of the first record, modulo [`POSITIONS`].
        position: u16,
        /// The records (`datastore-spec/deltas.md`). In a frame they have no length: they are its
        /// rest.
        records: RecordBytes,
    },
    /// Document, both: the same, deflated.
    Bundle {
        /// Which document.
        document: DocumentId,
        /// The position of the first record, modulo [`POSITIONS`].
        position: u16,
        /// The records, deflated.
        records: RecordBytes,
    },
    /// Control, relay to peer: the answer to a ping, since 2.1. It renews the peer's lease: what it
    /// owns is its for so long from when it asked.
    Beat {
        /// From the question.
        sent: u64,
        /// The room's time in microseconds since the Unix epoch.
        room_time: u64,
        /// The relay's boot: how often it has started, as far as it knows.
        boot: u32,
        /// How long the peer's grants hold without another answer, in milliseconds.
        lease_ms: u32,
        /// The highest grant of the room: the lease is of no use to whoever has not seen that.
        granted: u64,
    },
    /// Control, relay to peer, since 2.1: let go of an exclusive model, which another claims. Said
    /// again until it is done or the peer's lease is over.
    Revoke {
        /// The model's path.
        model: Line<512>,
        /// The grant that is to end.
        token: u64,
    },
    /// State, both, since 2.2: where what moves is, against what the receiver has.
    State(StatePacket),
    /// Control, both, since 2.2: the same, where something builds on nothing.
    StateWhole(StatePacket),
    /// Control, relay to peer, since 2.2: values that another member's count before, until they are
    /// written again. Said again until the peer's frames do not have them.
    StateYield {
        /// The last packet of the peer's that had a section and that the relay had taken.
        received: [u8; 2],
        /// Their names.
        names: List<Line<512>, 64>,
    },
    /// Control, peer to relay, since 2.2: what of the state lane the peer wants to be told. Said again
    /// once a second, if it is not everything.
    StateInterest(StateInterest),
    /// Control, both, since 2.3: what is told once.
    Signal(SignalMessage),
    /// Control, peer to relay, since 2.4: let me in, on these terms. Said again until answered.
    Enter(Enter),
    /// Control, both, since 2.4: what is asked and told of rooms.
    Service(ServiceMessage),
    /// State, both, since 2.4: what is told at most once.
    Cast(SignalCast),
}

/// Where the positions of frames begin anew: two bytes hold those below.
pub const POSITIONS: u16 = 1 << 14;

/// Who speaks, and which protocol.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// The version that the speaker speaks. Unequal majors end the link, with both named.
    pub version: Version,
    /// Drawn for this link, part of the proofs.
    pub nonce: [u8; 16],
    /// From a peer: its application. From a relay: zeros.
    pub app: AppId,
    /// From a peer: the digest of its models. From a relay: zeros.
    pub schema: [u8; 8],
}

/// What a peer says to come in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Join {
    /// The room's name, in normal form C.
    pub room: Line<6_144>,
    /// HMAC-SHA256 with the app key over `"parlor join"`, peer, relay, the peer's nonce, the relay's
    /// nonce and the room.
    pub proof: [u8; 32],
    /// What the peer says of itself.
    pub metadata: Blob<{ 64 << 10 }>,
    /// The incarnation whose actor the peer writes with.
    pub incarnation: u64,
    /// The heads of each document that the peer has anything of, at most 1,024 of each; those left
    /// out are compared later.
    pub known: List<Known, 16>,
}

/// The heads of one document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Known {
    /// Which document.
    pub document: DocumentId,
    /// In which epoch.
    pub epoch: EpochId,
    /// Of which lineage; zeros for a document that was never in a room.
    pub lineage: Lineage,
    /// The incarnation with which the peer wrote there.
    pub incarnation: u64,
    /// Whether the peer wants all of it again: what it has does not fit what the relay has.
    pub afresh: bool,
    /// Its heads, ascending.
    pub heads: List<Hash, 1_024>,
    /// What has come of a snapshot of it whose link broke.
    pub partial: Option<Partial>,
}

/// The beginning of a snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Partial {
    /// The SHA-256 of the whole.
    pub digest: Hash,
    /// How many bytes are there.
    pub bytes: u64,
}

/// What a relay says to let a peer in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Welcome {
    /// HMAC-SHA256 with the app key over `"parlor welcome"`, then as in [`Join::proof`].
    pub proof: [u8; 32],
    /// The peer's number in this room.
    pub client: ClientNumber,
    /// The room's time in microseconds since the Unix epoch.
    pub room_time: u64,
    /// The revision of the roster that follows.
    pub roster: u32,
    /// What comes of each document.
    pub documents: List<Offer, 16>,
}

/// What a relay sends of one document after a welcome.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Offer {
    /// Which document.
    pub document: DocumentId,
    /// In which epoch.
    pub epoch: EpochId,
    /// Of which lineage: epochs of one lineage follow from each other.
    pub lineage: Lineage,
    /// The relay's heads, ascending; the peer sends what they do not cover.
    pub heads: List<Hash, 1_024>,
    /// What the epoch began with, in columns, for a peer that comes from another.
    pub snapshot: Option<SnapshotOffer>,
    /// Whether the relay has nothing of the peer's epoch, and takes what it began with from the peer.
    pub wanted: bool,
    /// How many of the changes of the peer's incarnation in the epoch that it comes from are here or
    /// went into later ones, if the relay remembers it.
    pub included: Option<u64>,
    /// How many entries come after the snapshot before the peer has what the relay had.
    pub behind: u64,
    /// Whether another member of the lineage that the peer comes from has brought what was confirmed
    /// there.
    pub kin: bool,
    /// The oldest epoch that the relay remembers; the present one, if it remembers none.
    pub since: EpochId,
}

/// A snapshot that is about to come in pieces.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SnapshotOffer {
    /// All of its bytes.
    pub bytes: u64,
    /// The pieces of those that come.
    pub pieces: u32,
    /// The SHA-256 of all of its bytes.
    pub digest: Hash,
    /// Which byte the first piece begins with: 0, or the number that the peer has
    /// ([`Known::partial`]).
    pub from: u64,
}

/// A member, on the wire.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MemberRecord {
    /// Its number in this room.
    pub client: ClientNumber,
    /// Who it is.
    pub peer: PeerId,
    /// What it said of itself.
    pub metadata: Blob<{ 64 << 10 }>,
    /// The digest of its models.
    pub schema: [u8; 8],
    /// Whether it had been here before.
    pub rejoined: bool,
}

/// One entry of a document's log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum EntryRecord {
    /// A change that a peer wrote.
    Authored {
        /// Who the actor is; with the first change of each.
        introduction: Option<Introduction>,
        /// The change, as automerge encodes it, not compressed.
        bytes: ChangeBytes,
    },
    /// A change that creates a well-known object: its bytes follow from this.
    WellKnown(WellKnownRecord),
    /// An author's word for its changes up to one.
    Signed(SignatureRecord),
    /// From a relay: history is cut here, and what comes next is of another epoch. From a peer: what
    /// comes next is of that epoch.
    Cut(CutRecord),
    /// From a peer whose relay wanted it: a piece of what the epoch began with, in columns.
    Base(BaseRecord),
    /// From a relay, since 2.1: something that the peer wrote is not let in.
    Denied(DeniedRecord),
    /// From a peer whose change was not let in: what comes next is written by this incarnation.
    Resumed(ResumedRecord),
}

/// Another actor of the same session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ResumedRecord {
    /// The incarnation from which it derives.
    pub incarnation: u64,
}

/// Where an epoch begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CutRecord {
    /// The epoch.
    pub epoch: EpochId,
    /// The last change of what it begins with, which everybody makes from what is confirmed; zeros
    /// if it begins with nothing.
    pub base: Hash,
}

/// A piece of what an epoch began with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BaseRecord {
    /// How many bytes come after this piece.
    pub left: u64,
    /// Its bytes.
    pub bytes: Blob<{ 64 << 10 }>,
}

/// Whose an actor is: it is derived from these.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Introduction {
    /// The author.
    pub peer: PeerId,
    /// Which of its incarnations.
    pub incarnation: u64,
}

/// A well-known object: where it is and what it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WellKnownRecord {
    /// The object that it is in; nothing for the root.
    pub parent: Option<ParentRecord>,
    /// Its key there.
    pub key: Line<512>,
    /// What it is.
    pub made: Made,
}

/// An object, named by the operation and the change that made it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ParentRecord {
    /// The actor of the operation.
    pub actor: Actor,
    /// The counter of the operation.
    pub counter: u64,
    /// The change.
    pub change: Hash,
}

/// What a well-known object is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Made {
    /// A map: a child model or a collection.
    Map,
    /// A text.
    Text,
    /// A counter at zero.
    Counter,
    /// A schema record.
    Record(Line<{ 32 << 10 }>),
}

/// An author's word for its changes up to one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SignatureRecord {
    /// The author's actor.
    pub actor: Actor,
    /// The sequence number of the change.
    pub sequence: u64,
    /// The hash of the change, and so of all before it.
    pub change: Hash,
    /// The author's signature: see `datastore-spec/authorship.md`.
    pub signature: SignatureBytes,
}
