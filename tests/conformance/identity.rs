//! `identity.json`: names of applications, rooms, epochs, actors and peers, proofs and signatures.

use parlor::proto::id::{AppKey, DocumentId, EpochId, RoomName};
use parlor::proto::proof::{Side, prove};
use parlor::proto::wire::message::Introduction;
use serde::Serialize;
use serde_json::{Value, json};

use crate::stage::{APP_KEY, RELAY, ROOM, app_key, author, identity, peer, room, scope};
use crate::vectors::check;

#[derive(Serialize)]
struct Case {
    name: String,
    why: &'static str,
    given: Value,
    gives: Value,
}

fn case(name: &str, why: &'static str, given: Value, gives: Value) -> Case {
    Case { name: name.to_owned(), why, given, gives }
}

#[test]
fn identities() {
    let cases = [peers(), rooms(), proofs(), signatures()];
    check("identity.json", &cases.into_iter().flatten().collect::<Vec<_>>());
}

fn peers() -> Vec<Case> {
    let peer = |seed: u8| {
        let peer = identity(seed).peer();
        case(
            &format!("peer-{seed}"),
            "an ed25519 key, in bytes and as libp2p writes it",
            json!({ "seed": hex::encode([seed; 32]) }),
            json!({ "public": hex::encode(peer.as_bytes()), "text": peer.to_string() }),
        )
    };
    let app = |name, key: &str| {
        let app = AppKey::new(key).unwrap().app();
        let given = json!({ "app_key": key });
        case(name, "an application, without its key", given, json!(hex::encode(app.0)))
    };
    vec![peer(1), peer(2), peer(RELAY), app("app", APP_KEY), app("app-unicode", "s\u{e9}cret")]
}

fn rooms() -> Vec<Case> {
    let names = [
        ("room-plain", "lobby".to_owned()),
        ("room-composed", "caf\u{e9}".to_owned()),
        ("room-decomposed", "cafe\u{301}".to_owned()),
        ("room-hangul", "\u{1112}\u{1161}\u{11ab}".to_owned()),
        ("room-compatible", "\u{fb01}\u{212b}".to_owned()),
        ("room-space", " ".to_owned()),
        ("room-longest", "\u{1f30d}".repeat(512)),
        ("room-empty", String::new()),
        ("room-too-long", "x".repeat(513)),
        ("room-shrinks", "e\u{301}".repeat(512)),
    ];
    let names = names.into_iter().map(|(name, text)| {
        let room = RoomName::new(&text);
        let gives = match &room {
            Ok(room) => json!({ "room": room.as_str(), "bytes": hex::encode(room.as_str()) }),
            Err(error) => json!({ "refused": error.to_string() }),
        };
        case(name, "normal form C, then 1 to 512 scalars", json!(text), gives)
    });
    let epoch = |name, text: &str| {
        let epoch = EpochId::first(app_key().app(), &RoomName::new(text).unwrap());
        let given = json!({ "app": hex::encode(app_key().app().0), "room": text });
        case(name, "the first epoch of a room", given, json!(hex::encode(epoch.0)))
    };
    let actor = |name, seed, incarnation| {
        let introduction = Introduction { incarnation, ..author(seed) };
        let given = json!({
            "app": hex::encode(app_key().app().0),
            "room": ROOM,
            "epoch": hex::encode(EpochId::first(app_key().app(), &room()).0),
            "peer": hex::encode(peer(seed).as_bytes()),
            "incarnation": incarnation,
        });
        let actor = scope().actor(&introduction);
        case(name, "who writes", given, json!(hex::encode(actor)))
    };
    let more = [
        epoch("epoch", ROOM),
        epoch("epoch-unicode", "caf\u{e9}"),
        actor("actor", 1, 1),
        actor("actor-later", 1, 1_700_000_000_000),
        actor("actor-other", 2, 1),
    ];
    names.chain(more).collect()
}

fn proofs() -> Vec<Case> {
    let (key, nonces) = (app_key(), (&[7; 16], &[8; 16]));
    let pair = (peer(1), peer(RELAY));
    let proof = |name, why, side| {
        let proof = prove(&key, side, pair, nonces, room().as_str());
        let given = json!({
            "app_key": APP_KEY,
            "peer": hex::encode(pair.0.as_bytes()),
            "relay": hex::encode(pair.1.as_bytes()),
            "peer_nonce": hex::encode(nonces.0),
            "relay_nonce": hex::encode(nonces.1),
            "room": ROOM,
        });
        case(name, why, given, json!(hex::encode(proof)))
    };
    vec![
        proof("proof-peer", "in a join", Side::Peer),
        proof("proof-relay", "in a welcome", Side::Relay),
    ]
}

fn signatures() -> Vec<Case> {
    let signed = |name, document: DocumentId, seed, sequence, change| {
        let actor = scope().actor(&author(seed));
        let record = scope().sign(&identity(seed), document, (actor, sequence, change));
        assert!(scope().verifies(peer(seed), document, &record));
        let given = json!({
            "seed": hex::encode([seed; 32]),
            "app": hex::encode(app_key().app().0),
            "room": ROOM,
            "epoch": hex::encode(EpochId::first(app_key().app(), &room()).0),
            "document": document.0,
            "actor": hex::encode(actor),
            "sequence": sequence,
            "change": hex::encode(change),
        });
        let gives = json!(hex::encode(&*record.signature));
        case(name, "an author's word for its changes up to one", given, gives)
    };
    vec![
        signed("signature", DocumentId::MODELS, 1, 1, [0xab; 32]),
        signed("signature-text", DocumentId::TEXTS, 1, 1, [0xab; 32]),
        signed("signature-later", DocumentId::MODELS, 2, 300, [0xcd; 32]),
    ]
}
