//! `token.json`: keys, tokens and what becomes of them.

use parlor::proto::id::{AppId, PeerId, RoomName};
use parlor::proto::token::{
    Claims, KeyId, Role, RoomPattern, TokenConfig, TokenFault, TokenLimits, TokenRing, TokenSecret,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::stage::{app_key, peer};
use crate::vectors::check;

const NOW: u64 = 1_800_000_000;

#[derive(Serialize)]
struct Case {
    name: &'static str,
    why: &'static str,
    given: Value,
    gives: Value,
}

fn secret(seed: u8) -> TokenSecret {
    TokenSecret::from_seed([seed; 32]).unwrap()
}

fn claims() -> Claims {
    Claims {
        app: app_key().app(),
        peer: peer(1),
        rooms: RoomPattern::new("match-*").unwrap(),
        roles: [Role::Join, Role::Write].into_iter().collect(),
        limits: TokenLimits::default(),
        not_before: NOW,
        expires: NOW + 3_600,
        id: "8f14e45f".to_owned(),
    }
}

/// Who comes, where and when.
#[derive(Clone)]
struct Visit {
    token: String,
    app: AppId,
    peer: PeerId,
    room: &'static str,
    now: u64,
}

fn visit(claims: &Claims) -> Visit {
    let token = secret(1).issue(claims, &lenient()).unwrap();
    Visit { token, app: app_key().app(), peer: peer(1), room: "match-7", now: NOW + 60 }
}

/// Issues what a relay refuses.
fn lenient() -> TokenConfig {
    TokenConfig { lifetime: TokenConfig::default().lifetime * 2, ..TokenConfig::default() }
}

impl Visit {
    fn case(&self, name: &'static str, why: &'static str) -> Case {
        let mut ring = TokenRing::new(TokenConfig::default());
        ring.insert(secret(1).public().clone()).unwrap();
        ring.revoke_id("revoked", u64::MAX, NOW).unwrap();
        ring.revoke_peer(peer(3), u64::MAX, NOW).unwrap();
        let room = RoomName::new(self.room).unwrap();
        let verdict = ring.verify(&self.token, self.app, self.peer, Some(&room), self.now);
        let gives = match verdict {
            Ok(claims) => json!({ "claims": describe(&claims) }),
            Err(fault) => json!({ "refused": fault }),
        };
        let given = json!({
            "keys": [secret(1).public().to_string()],
            "token": self.token,
            "app": hex::encode(self.app.0),
            "peer": self.peer.to_string(),
            "room": self.room,
            "now": self.now,
        });
        Case { name, why, given, gives }
    }
}

fn describe(claims: &Claims) -> Value {
    json!({
        "app": hex::encode(claims.app.0),
        "peer": claims.peer.to_string(),
        "rooms": claims.rooms.to_string(),
        "roles": claims.roles,
        "limits": claims.limits,
        "not_before": claims.not_before,
        "expires": claims.expires,
        "id": claims.id,
    })
}

#[test]
fn tokens() {
    let cases = [keys(), good(), refused(), broken()];
    check("token.json", &cases.into_iter().flatten().collect::<Vec<_>>());
}

fn keys() -> Vec<Case> {
    let key = |name, seed: u8| {
        let secret = secret(seed);
        let KeyId(id) = secret.public().id();
        let gives = json!({
            "secret": secret.reveal(),
            "public": secret.public().to_string(),
            "kid": hex::encode(id),
        });
        let why = "an ed25519 key as PASERK writes it, and as tokens name it";
        Case { name, why, given: json!({ "seed": hex::encode([seed; 32]) }), gives }
    };
    vec![key("key-1", 1), key("key-2", 2)]
}

fn good() -> Vec<Case> {
    let limits = TokenLimits {
        speak_until: Some(NOW + 600),
        signals_per_second: Some(10),
        bytes_per_second: Some(65_536),
    };
    let roles = Role::ALL.into_iter().collect();
    let rooms = RoomPattern::new("cafe\u{301}*").unwrap();
    let everything = Claims { roles, rooms, limits, ..claims() };
    let all = Claims { rooms: RoomPattern::all(), ..claims() };
    let exact = Claims { rooms: RoomPattern::new("match-7").unwrap(), ..claims() };
    let early = Visit { now: NOW - 10, ..visit(&claims()) };
    let late = Visit { now: NOW + 3_609, ..visit(&claims()) };
    vec![
        visit(&claims()).case("good", "rooms by the beginning of their names"),
        visit(&all).case("good-all-rooms", "all rooms"),
        visit(&exact).case("good-one-room", "one room"),
        Visit { room: "caf\u{e9}s", ..visit(&everything) }
            .case("good-everything", "every claim; names are in normal form C"),
        early.case("good-early", "the clocks may be 10 s apart"),
        late.case("good-late", "the same at the end"),
    ]
}

fn refused() -> Vec<Case> {
    let good = || visit(&claims());
    let named = |id: &str| visit(&Claims { id: id.to_owned(), ..claims() });
    let third = Claims { peer: peer(3), ..claims() };
    let long = Claims { expires: NOW + 86_401, ..claims() };
    let only_write = Claims { roles: [Role::Write].into_iter().collect(), ..claims() };
    let other_key = secret(2).issue(&claims(), &lenient()).unwrap();
    let cases = vec![
        Visit { token: String::new(), ..good() }.case("missing", "no token"),
        Visit { token: "x".repeat(2_049), ..good() }.case("too-long", "over 2,048 bytes"),
        Visit { token: other_key, ..good() }.case("unknown-key", "another key, or one retired"),
        Visit { app: AppId([0; 8]), ..good() }.case("other-app", "another application"),
        Visit { peer: peer(2), ..good() }.case("other-peer", "a stolen token"),
        Visit { room: "match", ..good() }.case("other-room", "another room"),
        visit(&long).case("too-long-lived", "good for more than a day"),
        Visit { now: NOW - 11, ..good() }.case("not-yet", "before its time"),
        Visit { now: NOW + 3_610, ..good() }.case("expired", "after its time"),
        named("revoked").case("revoked-id", "this one is revoked"),
        Visit { peer: peer(3), ..visit(&third) }.case("revoked-peer", "its bearer is revoked"),
        visit(&only_write).case("lacks-role", "without the role `join`"),
    ];
    assert!(cases.iter().all(|case| case.gives.get("refused").is_some()));
    cases
}

fn broken() -> Vec<Case> {
    let Visit { token, .. } = visit(&claims());
    let changed =
        |change: &dyn Fn(&str) -> String| Visit { token: change(&token), ..visit(&claims()) };
    let swapped = |token: &str| {
        let other = secret(2).issue(&claims(), &lenient()).unwrap();
        let (body, footer) = (other.rsplit_once('.').unwrap().0, token.rsplit_once('.').unwrap().1);
        format!("{body}.{footer}")
    };
    let cases = vec![
        changed(&|token| token.replace("v4.", "v3.")).case("wrong-version", "another PASETO"),
        changed(&|token| token.rsplit_once('.').unwrap().0.to_owned())
            .case("no-footer", "it names no key"),
        changed(&|token| token.replacen("eyJ", "eyK", 1)).case("changed", "a claim was changed"),
        changed(&swapped).case("swapped", "it names a key that has not signed it"),
    ];
    let is_broken = |case: &Case| {
        let broken = [TokenFault::Malformed, TokenFault::BadSignature];
        broken.iter().any(|fault| case.gives["refused"] == json!(fault))
    };
    assert!(cases.iter().all(is_broken));
    cases
}
