//! `wire.json`: messages and their frames, both ways.

use bytes::Bytes;
use miniz_oxide::deflate::compress_to_vec;
use parlor::proto::event::LeaveReason;
use parlor::proto::id::{AppId, ClientNumber, DocumentId, EpochId};
use parlor::proto::lane::lane_of;
use parlor::proto::reason::{ChangeFault, Denial, Refusal, Version};
use parlor::proto::wire::bounded::{Blob, Line, List};
use parlor::proto::wire::message::{
    BaseRecord, CutRecord, Denied, DeniedRecord, EntryRecord, HeardRecord, Hello, Join, Known,
    Made, MemberRecord, Message, Offer, ParentRecord, Partial, ResumedRecord, SettledRecord,
    SignalAudience, SignalCast, SignalMessage, SignalOutcome, SignalRecord, SignalSubject,
    SignatureRecord, SnapshotOffer, StateAnswer, StateArea, StateInterest, StatePace, StatePacket,
    StateSection, StateTag, Welcome, WellKnownRecord,
};
use parlor::proto::wire::{MAX_FRAME, decode, encode};
use serde::Serialize;
use serde_json::Value;

use crate::refused::refused;
use crate::rooms;
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

pub(crate) type Named = (&'static str, &'static str, Message);

fn messages() -> Vec<Named> {
    [
        greetings(),
        handshake(),
        refusals(),
        faults(),
        roster(),
        clock(),
        changes(),
        states(),
        signals(),
        rooms::messages(),
        outcomes(),
        casts(),
        deltas(),
        progress(),
        ownership(),
    ]
    .concat()
}

fn blob<const MAX: usize>(bytes: &'static [u8]) -> Blob<MAX> {
    Blob::new(Bytes::from_static(bytes)).unwrap()
}

fn greetings() -> Vec<Named> {
    let hello = |minor, app, schema| {
        let version = Version { minor, ..Version::CURRENT };
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

fn known() -> [Known; 2] {
    let known = Known {
        document: DocumentId::MODELS,
        epoch: EpochId([0x0e; 32]),
        lineage: [0x11; 8],
        incarnation: 3,
        afresh: true,
        heads: List::of([[1; 32], [2; 32]]),
        partial: Some(Partial { digest: [4; 32], bytes: 65_536 }),
    };
    let unknown = Known {
        document: DocumentId::TEXTS,
        epoch: EpochId([0; 32]),
        lineage: [0; 8],
        incarnation: 1,
        afresh: false,
        heads: List::of([]),
        partial: None,
    };
    [known, unknown]
}

fn handshake() -> Vec<Named> {
    let join = Join {
        room: Line::new("caf\u{e9}").unwrap(),
        proof: [3; 32],
        metadata: blob(b"Ada"),
        incarnation: 1_700_000_000_000,
        known: List::of(known()),
    };
    let offer = Offer {
        document: DocumentId::TEXTS,
        epoch: EpochId([0x0e; 32]),
        lineage: [0x11; 8],
        heads: List::of([[1; 32]]),
        snapshot: None,
        wanted: false,
        kin: false,
        since: EpochId([2; 32]),
        included: None,
        behind: 3,
    };
    let models = Offer { document: DocumentId::MODELS, ..offer.clone() };
    let columns = SnapshotOffer { bytes: 70_000, pieces: 2, digest: [4; 32], from: 0 };
    let rest = SnapshotOffer { pieces: 1, from: 65_536, ..columns.clone() };
    let over = Offer { snapshot: Some(columns), included: Some(300), behind: 0, ..models.clone() };
    let resumed = Offer { snapshot: Some(rest), ..over.clone() };
    let wanted = Offer { heads: List::of([]), wanted: true, behind: 0, ..models.clone() };
    let welcome = |models| {
        Message::Welcome(Welcome {
            proof: [5; 32],
            client: ClientNumber(1),
            room_time: 1_700_000_000_000_000,
            roster: 1,
            documents: List::of([models, offer.clone()]),
        })
    };
    vec![
        (
            "join",
            "a string is its length in bytes and UTF-8; texts that were never in a room",
            Message::Join(join.clone()),
        ),
        (
            "join-empty",
            "no metadata, nothing known",
            Message::Join(Join { metadata: blob(b""), known: List::of([]), ..join }),
        ),
        ("welcome", "both documents are of the peer's epoch", welcome(models)),
        ("welcome-over", "models of another epoch, with 300 of the peer's changes", welcome(over)),
        ("welcome-resumed", "the same, of which the peer has 65,536 bytes", welcome(resumed)),
        ("welcome-wanted", "the relay has nothing, and takes the peer's base", welcome(wanted)),
        ("leave", "a message without fields, behind what was written", Message::Leave),
    ]
}

fn refusals() -> Vec<Named> {
    let peer = Version { major: 3, minor: 1 };
    let relay = Version::CURRENT;
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
    refusals.into_iter().chain(rooms::refusals()).map(named).collect()
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
        ("fault-operation", ChangeFault::WrongOperation),
        ("fault-place", ChangeFault::WrongPlace),
        ("fault-predecessor", ChangeFault::WrongPredecessor),
        ("fault-forged", ChangeFault::Forged),
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
        ("left-kicked", "it was put out", left(LeaveReason::Kicked)),
        ("roster-wanted", "a difference was missed", Message::RosterWanted),
        ("roster", "two members, one of them back again", whole),
        ("roster-page", "a page without members", empty),
    ]
}

fn clock() -> Vec<Named> {
    let ping = |round_trip| Message::Ping { sent: 1_234_567, round_trip };
    let pong = Message::Pong { sent: 1_234_567, room_time: u64::MAX };
    let beat = Message::Beat {
        sent: 1_234_567,
        room_time: 1 << 50,
        boot: 7,
        lease_ms: 3_000,
        granted: 7 << 32 | 1,
    };
    vec![
        ("ping", "the peer's own time; it measured nothing yet", ping(0)),
        ("ping-measured", "and how long its last answer took", ping(45_000)),
        ("ping-longest", "more than a relay believes", ping(u32::MAX)),
        ("pong", "the highest number takes ten bytes; only relays of 2.0 say it", pong),
        ("beat", "the answer, with the relay's boot and how long it is a lease", beat),
    ]
}

/// What relays say of ownership.
fn ownership() -> Vec<Named> {
    let model = || Line::new("4/x").unwrap();
    let by = peer(2);
    let denials = [
        ("denied-owned", Denial::Owned { by }),
        ("denied-raced", Denial::Raced { by }),
        ("denied-outdated", Denial::Outdated),
        ("denied-protected", Denial::Protected { by }),
        ("denied-fixed", Denial::Fixed { by }),
        ("denied-cooling", Denial::Cooling { wait_ms: 100 }),
        ("denied-often", Denial::TooOften { limit: 20 }),
        ("denied-not-owner", Denial::NotOwner),
        ("denied-absent", Denial::Absent { to: by }),
        ("denied-full", Denial::Full { limit: 20_000 }),
        ("denied-no-model", Denial::NoModel),
        ("denied-occupied", Denial::Occupied),
        ("denied-read-only", Denial::ReadOnly),
        ("denied-ruled", Denial::Ruled { code: 300 }),
    ];
    let frame = |entry| Message::Changes {
        document: DocumentId::MODELS,
        first: 300,
        entries: List::of([entry]),
    };
    let denied = |what, why| frame(EntryRecord::Denied(DeniedRecord { what, model: model(), why }));
    let claim = Denied::Claim { actor: [6; 16], counter: 17 };
    let change = Denied::Change { actor: [6; 16], sequence: 128 };
    let resumed = EntryRecord::Resumed(ResumedRecord { incarnation: 0x0001_0001 });
    let mut cases: Vec<Named> = denials
        .into_iter()
        .map(|(name, why)| (name, "why a claim is not granted", denied(claim, why)))
        .collect();
    cases.extend([
        ("denied-change", "a change stays out", denied(change, Denial::Outdated)),
        ("resumed", "the second incarnation of session 1 goes on", frame(resumed)),
        (
            "revoke",
            "let go of the grant 5 of boot 1",
            Message::Revoke { model: model(), token: 1 << 32 | 5 },
        ),
    ]);
    cases
}

/// What goes over the state lane, and beside it.
fn states() -> Vec<Named> {
    let section = |client, beside, pace, frame: &'static [u8]| StateSection {
        client: ClientNumber(client),
        beside,
        pace,
        frame: Blob::new(Bytes::from_static(frame)).unwrap(),
    };
    let answer = StateAnswer { received: 300_u16.to_le_bytes(), missing: 0b101 };
    let packet = |number: u16, known, sections: Vec<StateSection>| StatePacket {
        number: number.to_le_bytes(),
        answer,
        known,
        sections: List::of(sections),
    };
    let pace = StatePace { origin: 1_700_000_000_000_000, period: 50_000 };
    let names = ["3/x/4 v3:0.01", "2 v2:0.01"].map(|name| Line::new(name).unwrap());
    vec![
        (
            "state",
            "what two members say, at a relay's",
            Message::State(packet(
                7,
                0,
                vec![section(1, -3, None, &[9, 1, 200]), section(300, 0, None, &[4, 2])],
            )),
        ),
        ("state-answer", "nothing but an answer", Message::State(packet(65_535, 9, Vec::new()))),
        (
            "state-whole",
            "a frame that builds on none, with its pace",
            Message::StateWhole(packet(1, 70_000, vec![section(2, 127, Some(pace), &[1, 0, 5])])),
        ),
        (
            "state-yield",
            "another's value counts of two",
            Message::StateYield { received: 513_u16.to_le_bytes(), names: List::of(names) },
        ),
        (
            "state-interest",
            "what is below one model, has a text, or lies within 12.5 of a place",
            Message::StateInterest(StateInterest {
                models: List::of(Line::new("3/x")),
                tags: List::of([StateTag { property: 7, value: Line::new("red").unwrap() }]),
                areas: List::of([StateArea {
                    property: 2,
                    center: [1_000, -64, i64::MIN],
                    radius: 12_500,
                }]),
            }),
        ),
    ]
}

/// What is said of signals.
fn signals() -> Vec<Named> {
    let by = peer(1);
    let model = || Line::new("3/x").unwrap();
    let subject = || SignalSubject::Property { model: model(), property: 300 };
    let name = || SignalSubject::Name(Line::new("kick off").unwrap());
    let payload = |bytes: &'static [u8]| Blob::new(Bytes::from_static(bytes)).unwrap();
    let given =
        |number, to, subject, bytes| SignalRecord { number, to, subject, payload: payload(bytes) };
    let heard =
        |number, subject, bytes| HeardRecord { number, by, subject, payload: payload(bytes) };
    vec![
        (
            "signals-new",
            "of no life",
            Message::Signal(SignalMessage::From { life: [0; 8], heard: 0 }),
        ),
        (
            "signals-from",
            "again",
            Message::Signal(SignalMessage::From { life: [7; 8], heard: 300 }),
        ),
        (
            "signals-open",
            "the first 5 of the peer's are here",
            Message::Signal(SignalMessage::Open { life: [7; 8], heard: 300, taken: Some(5) }),
        ),
        (
            "signals-unknown",
            "it is not known which are",
            Message::Signal(SignalMessage::Open { life: [8; 8], heard: 0, taken: None }),
        ),
        (
            "signals",
            "of a property to all others, and of a name to one",
            Message::Signal(SignalMessage::Given {
                position: 200,
                signals: List::of([
                    given(6, SignalAudience::Others, subject(), &[1, 2, 3]),
                    given(300, SignalAudience::Peer(by), name(), &[]),
                ]),
            }),
        ),
        (
            "signals-heard",
            "the same, at another",
            Message::Signal(SignalMessage::Heard {
                position: 0,
                signals: List::of([heard(301, subject(), &[1, 2, 3]), heard(999, name(), &[])]),
            }),
        ),
        (
            "signals-received",
            "a gap",
            Message::Signal(SignalMessage::Received { received: 202, gap: true }),
        ),
    ]
}

/// Signals that may be lost.
fn casts() -> Vec<Named> {
    let subject = SignalSubject::Name(Line::new("kick off").unwrap());
    let payload = Blob::new(Bytes::from_static(&[1, 2, 3])).unwrap();
    let (to, by) = (SignalAudience::Others, peer(1));
    let given = SignalRecord { number: 300, to, subject, payload };
    let SignalRecord { number, subject, payload, .. } = given.clone();
    let heard = HeardRecord { number, by, subject, payload };
    vec![
        ("cast", "it may be lost", Message::Cast(SignalCast::Given(given))),
        ("cast-heard", "the same, at another", Message::Cast(SignalCast::Heard(heard))),
    ]
}

/// What is said to the relay, and of what became of signals.
fn outcomes() -> Vec<Named> {
    let subject = SignalSubject::Name(Line::new("kick off").unwrap());
    let payload = Blob::new(Bytes::from_static(&[1])).unwrap();
    let given = SignalRecord { number: 301, to: SignalAudience::Relay, subject, payload };
    let settled = |number, given, outcome| SettledRecord { number, given, outcome };
    vec![
        (
            "signals-relay",
            "to the relay",
            Message::Signal(SignalMessage::Given { position: 0, signals: List::of([given]) }),
        ),
        (
            "signals-settled",
            "the outcomes of three that one peer was to hear",
            Message::Signal(SignalMessage::Settled {
                position: 2,
                settled: List::of([
                    settled(1_000, 300, SignalOutcome::Heard),
                    settled(1_001, 7, SignalOutcome::Absent),
                    settled(1_002, 8, SignalOutcome::Unknown),
                ]),
            }),
        ),
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
    let cut = EntryRecord::Cut(CutRecord { epoch: EpochId([0x0e; 32]), base: [8; 32] });
    let base = EntryRecord::Base(BaseRecord { left: 70_000, bytes: blob(b"abc") });
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
        (
            "changes-cut",
            "another epoch, and the last change of what it begins with",
            frame(vec![cut]),
        ),
        (
            "changes-base",
            "a piece of a base, of which 70,000 bytes are still to come",
            frame(vec![base]),
        ),
        ("changes-none", "a frame without entries", frame(Vec::new())),
    ]
}

fn deltas() -> Vec<Named> {
    let document = DocumentId::MODELS;
    // A placed change of the receiver's, and an entry that ends early: no record is looked into.
    let records = blob(&[0x0b, 0x00, 0x05, 0x02]);
    let deltas = |position| Message::Deltas { document, position, records: records.clone() };
    let deflated = compress_to_vec(&[0x0b; 600], 6);
    let records = Blob::new(deflated.into()).unwrap();
    vec![
        ("deltas", "records are the rest of the frame, without a length", deltas(5)),
        ("deltas-position", "the highest position takes two bytes", deltas(16_383)),
        ("bundle", "records, deflated", Message::Bundle { document, position: 200, records }),
        ("in-full", "the record at 300 made no sense", Message::InFull { document, received: 300 }),
    ]
}

fn progress() -> Vec<Named> {
    let document = DocumentId::TEXTS;
    let acknowledge = |gap| Message::Acknowledge { document, received: 16_384, gap };
    let compare =
        Message::Compare { document, epoch: [0x0e; 4], sent: 5, digest: [1; 8], roster: 2 };
    let heads = |heads: &[[u8; 32]], answer| Message::HeadsAre {
        document,
        epoch: [0x0e; 4],
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
