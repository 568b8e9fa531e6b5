//! `wire.json`: messages and their frames, both ways.

use bytes::Bytes;
use parlor::proto::event::LeaveReason;
use parlor::proto::id::{AppId, ClientNumber, DocumentId};
use parlor::proto::lane::lane_of;
use parlor::proto::reason::{ChangeFault, Refusal, Version};
use parlor::proto::wire::bounded::{Blob, Line, List};
use parlor::proto::wire::message::{
    EntryRecord, Hello, Join, Known, Made, MemberRecord, Message, Offer, ParentRecord,
    SignatureRecord, SnapshotOffer, Welcome, WellKnownRecord,
};
use parlor::proto::wire::{MAX_FRAME, decode, encode};
use serde::Serialize;
use serde_json::Value;

use crate::refused::refused;
use crate::stage::{author, peer};
use crate::vectors::{check, describe};

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Case {
    /// Both ways.
    Message { name: String, why: String, lane: String, message: Value, frame: String },
    /// Bytes that are no message.
    Refused { name: String, why: String, limit: usize, frame: String, error: String },
}

#[test]
fn messages_and_frames() {
    check("wire.json", &cases());
}

/// All of them.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = messages()
        .into_iter()
        .map(|(name, why, message)| {
            let frame = encode(&message);
            assert_eq!(decode(&frame, MAX_FRAME), Ok(message.clone()), "{name}");
            Case::Message {
                name: name.to_owned(),
                why: why.to_owned(),
                lane: format!("{:?}", lane_of(&message)).to_lowercase(),
                message: describe(&message),
                frame: hex::encode(&frame),
            }
        })
        .collect();
    cases.extend(refused());
    cases
}

type Named = (&'static str, &'static str, Message);

fn messages() -> Vec<Named> {
    [greetings(), handshake(), refusals(), faults(), roster(), clock(), changes(), progress()]
        .concat()
}

fn blob<const MAX: usize>(bytes: &'static [u8]) -> Blob<MAX> {
    Blob::new(Bytes::from_static(bytes)).unwrap()
}

fn greetings() -> Vec<Named> {
    let hello = |minor, app, schema| {
        let version = Version { major: 1, minor };
        Message::Hello(Hello { version, nonce: [7; 16], app: AppId(app), schema })
    };
    let newer = "numbers over 127 take more than one byte; a newer minor version is fine";
    let peer = "a peer names its application and its models";
    vec![
        ("hello-peer", peer, hello(0, [1; 8], [2; 8])),
        ("hello-relay", "a relay names neither", hello(0, [0; 8], [0; 8])),
        ("hello-minor", newer, hello(300, [1; 8], [2; 8])),
    ]
}

fn handshake() -> Vec<Named> {
    let known = Known { document: DocumentId::MODELS, heads: List::of([[1; 32], [2; 32]]) };
    let join = Join {
        room: Line::new("caf\u{e9}").unwrap(),
        proof: [3; 32],
        metadata: blob(b"Ada"),
        incarnation: 1_700_000_000_000,
        known: List::of([known]),
    };
    let offer = Offer {
        document: DocumentId::TEXTS,
        heads: List::of([[1; 32]]),
        snapshot: Some(SnapshotOffer { bytes: 70_000, pieces: 2, digest: [4; 32] }),
        behind: 0,
    };
    let welcome = Welcome {
        proof: [5; 32],
        client: ClientNumber(1),
        room_time: 1_700_000_000_000_000,
        roster: 1,
        documents: List::of([
            Offer { document: DocumentId::MODELS, snapshot: None, behind: 3, ..offer.clone() },
            offer,
        ]),
    };
    vec![
        (
            "join",
            "a string is its length in bytes and UTF-8; incarnations are u64",
            Message::Join(join.clone()),
        ),
        (
            "join-empty",
            "no metadata, nothing known",
            Message::Join(Join { metadata: blob(b""), known: List::of([]), ..join }),
        ),
        (
            "welcome",
            "one document follows as entries, one as a snapshot",
            Message::Welcome(welcome),
        ),
        ("leave", "a message without fields, behind what was written", Message::Leave),
    ]
}

fn refusals() -> Vec<Named> {
    let peer = Version { major: 2, minor: 1 };
    let relay = Version { major: 1, minor: 0 };
    let refusals = [
        ("refused-version", Refusal::VersionMismatch { peer, relay }),
        ("refused-app", Refusal::UnknownApp),
        ("refused-room-full", Refusal::RoomFull { limit: 128 }),
        ("refused-relay-full", Refusal::RelayFull { limit: 1_000 }),
        ("refused-rate", Refusal::RateLimited { retry_after_ms: 59_000 }),
        ("refused-slow", Refusal::SlowConsumer),
        ("refused-replaced", Refusal::Replaced),
        ("refused-handshake", Refusal::HandshakeTimeout),
        ("refused-idle", Refusal::Idle),
        ("refused-message", Refusal::BadMessage),
        ("refused-change", Refusal::BadChange { why: ChangeFault::Malformed }),
        ("refused-size", Refusal::TooLarge { limit: 131_072, size: 1 << 40 }),
        ("refused-shutdown", Refusal::ShuttingDown),
    ];
    let named = |(name, refusal)| (name, "why a relay ends a link", Message::Refused(refusal));
    refusals.into_iter().map(named).collect()
}

fn faults() -> Vec<Named> {
    let faults = [
        ("fault-size", ChangeFault::TooLarge),
        ("fault-actor", ChangeFault::WrongActor),
        ("fault-sequence", ChangeFault::WrongSequence),
        ("fault-dependency", ChangeFault::UnknownDependency),
        ("fault-start", ChangeFault::WrongStart),
        ("fault-equivocation", ChangeFault::Equivocation),
        ("fault-unproven", ChangeFault::Unproven),
        ("fault-signature", ChangeFault::BadSignature),
        ("fault-authors", ChangeFault::TooManyAuthors),
        ("fault-history", ChangeFault::HistoryFull),
    ];
    let refused = |why| Message::Refused(Refusal::BadChange { why });
    let named = |(name, why)| (name, "which rule a change broke", refused(why));
    faults.into_iter().map(named).collect()
}

fn roster() -> Vec<Named> {
    let member = |client, rejoined| MemberRecord {
        client: ClientNumber(client),
        peer: peer(1),
        metadata: blob(b"Ada"),
        schema: [2; 8],
        rejoined,
    };
    let left = |reason| Message::Left { revision: 3, client: ClientNumber(2), reason };
    let joined = Message::Joined { revision: 2, member: member(200, false) };
    let whole = Message::Roster {
        revision: 4,
        page: 0,
        pages: 1,
        members: List::of([member(1, false), member(3, true)]),
    };
    let empty = Message::Roster { revision: 0, page: 1, pages: 2, members: List::of([]) };
    vec![
        ("joined", "a member; false is one byte of zero", joined),
        ("left", "it said goodbye", left(LeaveReason::Left)),
        ("left-lost", "its link was lost", left(LeaveReason::Lost)),
        ("left-replaced", "it came in again", left(LeaveReason::Replaced)),
        ("left-expelled", "it broke the protocol", left(LeaveReason::Expelled)),
        ("roster-wanted", "a difference was missed", Message::RosterWanted),
        ("roster", "two members, one of them back again", whole),
        ("roster-page", "a page without members", empty),
    ]
}

fn clock() -> Vec<Named> {
    let ping = |round_trip| Message::Ping { sent: 1_234_567, round_trip };
    let pong = Message::Pong { sent: 1_234_567, room_time: u64::MAX };
    vec![
        ("ping", "the peer's own time; it measured nothing yet", ping(0)),
        ("ping-measured", "and how long its last answer took", ping(45_000)),
        ("ping-longest", "more than a relay believes", ping(u32::MAX)),
        ("pong", "the highest number takes ten bytes", pong),
    ]
}

fn changes() -> Vec<Named> {
    let frame = |entries: Vec<EntryRecord>| Message::Changes {
        document: DocumentId::MODELS,
        first: 300,
        entries: List::of(entries),
    };
    let authored = |introduction| EntryRecord::Authored {
        introduction,
        bytes: blob(b"\x85\x6f\x4a\x83 and so on"),
    };
    let well_known = |key: &str, made| {
        let key = Line::new(key).unwrap();
        EntryRecord::WellKnown(WellKnownRecord { parent: None, key, made })
    };
    let parent = ParentRecord { actor: [6; 16], counter: 17, change: [8; 32] };
    let nested = EntryRecord::WellKnown(WellKnownRecord {
        parent: Some(parent),
        key: Line::new("12").unwrap(),
        made: Made::Map,
    });
    let signed = EntryRecord::Signed(SignatureRecord {
        actor: [6; 16],
        sequence: 128,
        change: [8; 32],
        signature: Blob::new(vec![9; 64].into()).unwrap(),
    });
    let record = Made::Record(Line::new("{}").unwrap());
    let made = vec![
        well_known("1/k", Made::Text),
        well_known("3", Made::Counter),
        well_known("T", record),
    ];
    vec![
        (
            "changes",
            "an author's first change introduces it",
            frame(vec![authored(Some(author(1))), authored(None)]),
        ),
        ("changes-well-known", "well-known objects at the root", frame(made)),
        ("changes-nested", "a well-known map below another object", frame(vec![nested])),
        (
            "changes-signed",
            "an author's word; the signature's length goes before it",
            frame(vec![signed]),
        ),
        ("changes-none", "a frame without entries", frame(Vec::new())),
    ]
}

fn progress() -> Vec<Named> {
    let document = DocumentId::TEXTS;
    let acknowledge = |gap| Message::Acknowledge { document, received: 16_384, gap };
    let compare = Message::Compare { document, sent: 5, digest: [1; 8], roster: 2 };
    let heads = |heads: &[[u8; 32]], answer| Message::HeadsAre {
        document,
        heads: List::of(heads.iter().copied()),
        answer,
    };
    vec![
        ("acknowledge", "everything before came", acknowledge(false)),
        ("acknowledge-gap", "send again from there", acknowledge(true)),
        (
            "piece",
            "a piece of a snapshot",
            Message::Piece { document, index: 0, bytes: blob(b"abc") },
        ),
        (
            "acknowledge-pieces",
            "the first three came",
            Message::AcknowledgePieces { document, received: 3, gap: false },
        ),
        (
            "acknowledge-pieces-whole",
            "the highest number says that the snapshot is whole",
            Message::AcknowledgePieces { document, received: u32::MAX, gap: false },
        ),
        ("compare", "what my document looks like", compare),
        ("heads-are", "and what are yours?", heads(&[[1; 32]], true)),
        ("heads-are-none", "an empty document", heads(&[], false)),
    ]
}
