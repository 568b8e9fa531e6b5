//! What lets in, what does not, and that nothing tells a secret.

use proptest::prelude::*;
use proptest::{collection, option};

use super::*;
use crate::proto::id::{AppId, Identity, PeerId, RoomName};

const NOW: u64 = 1_800_000_000;
const APP: AppId = AppId([7; 8]);

fn secret(seed: u8) -> TokenSecret {
    TokenSecret::from_seed([seed; 32]).unwrap()
}

fn peer(seed: u8) -> PeerId {
    Identity::from_seed([seed; 32]).peer()
}

fn room(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}

fn claims() -> Claims {
    Claims {
        app: APP,
        peer: peer(1),
        rooms: RoomPattern::new("match-*").unwrap(),
        roles: [Role::Join, Role::Write].into_iter().collect(),
        limits: TokenLimits::default(),
        not_before: NOW,
        expires: NOW + 3_600,
        id: "t1".to_owned(),
    }
}

fn issue(claims: &Claims) -> String {
    secret(1).issue(claims, &TokenConfig::default()).unwrap()
}

fn ring() -> TokenRing {
    let mut ring = TokenRing::new(TokenConfig::default());
    ring.insert(secret(1).public().clone()).unwrap();
    ring
}

fn at(ring: &TokenRing, token: &str, now: u64) -> Result<Claims, TokenFault> {
    ring.verify(token, APP, peer(1), Some(&room("match-7")), now)
}

/// The token of a payload that is not what [`TokenSecret::issue`] writes.
fn forged(payload: &str) -> String {
    secret(1).sign(payload.as_bytes())
}

fn payload(change: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>)) -> String {
    let token = issue(&claims());
    let body = token.split('.').nth(2).unwrap();
    let body = data_encoding::BASE64URL_NOPAD.decode(body.as_bytes()).unwrap();
    let mut object = serde_json::from_slice(&body[..body.len() - 64]).unwrap();
    change(&mut object);
    serde_json::to_string(&object).unwrap()
}

#[test]
fn a_token_lets_its_bearer_in() {
    let token = issue(&claims());
    assert!(token.starts_with("v4.public."));
    assert_eq!(at(&ring(), &token, NOW), Ok(claims()));
    assert_eq!(issue(&claims()), token, "the same claims are the same text");
    let (seen, key) = Claims::unverified(&token, &TokenConfig::default()).unwrap();
    assert_eq!((seen, key), (claims(), secret(1).public().id()));
}

#[test]
fn a_token_lets_nobody_else_in_and_nowhere_else() {
    let (ring, token) = (ring(), issue(&claims()));
    let verify =
        |app, peer, name| ring.verify(&token, app, peer, Some(&room(name)), NOW).unwrap_err();
    assert_eq!(verify(AppId([8; 8]), peer(1), "match-7"), TokenFault::OtherApp);
    assert_eq!(verify(APP, peer(2), "match-7"), TokenFault::OtherPeer);
    assert_eq!(verify(APP, peer(1), "lobby"), TokenFault::OtherRoom);
    assert_eq!(verify(APP, peer(1), "match"), TokenFault::OtherRoom);
}

#[test]
fn a_token_is_good_for_its_time() {
    let (ring, token) = (ring(), issue(&claims()));
    let leeway = ring.config().leeway.as_secs();
    let early = Err(TokenFault::NotYet { starts: NOW });
    let late = Err(TokenFault::Expired { since: NOW + 3_600 });
    assert_eq!(at(&ring, &token, 0), early);
    assert_eq!(at(&ring, &token, NOW - leeway - 1), early);
    assert!(at(&ring, &token, NOW - leeway).is_ok());
    assert!(at(&ring, &token, NOW + 3_600 + leeway - 1).is_ok());
    assert_eq!(at(&ring, &token, NOW + 3_600 + leeway), late);
    assert_eq!(at(&ring, &token, u64::MAX), late);
    assert_eq!(ring.config().ends(NOW), NOW + 10);
    assert_eq!(ring.config().warns(NOW), NOW - 50);
}

#[test]
fn no_token_is_good_for_longer_than_a_day() {
    let day = 24 * 60 * 60;
    let generous =
        TokenConfig { lifetime: TokenConfig::default().lifetime * 2, ..Default::default() };
    let mut long = Claims { expires: NOW + day, ..claims() };
    assert!(at(&ring(), &issue(&long), NOW).is_ok());
    long.expires += 1;
    let (limit, asked) = (day, day + 1);
    let refused = secret(1).issue(&long, &TokenConfig::default());
    assert_eq!(refused, Err(IssueError::TooLongLived { limit, asked }));
    let token = secret(1).issue(&long, &generous).unwrap();
    assert_eq!(at(&ring(), &token, NOW), Err(TokenFault::TooLongLived { limit }));
}

#[test]
fn a_role_that_was_not_given_is_missing() {
    let cannot = Claims { roles: Roles::NONE.with(Role::Write), ..claims() };
    let lacks = Err(TokenFault::LacksRole { role: Role::Join });
    assert_eq!(at(&ring(), &issue(&cannot), NOW), lacks);
    let can = at(&ring(), &issue(&claims()), NOW).unwrap();
    assert_eq!(can.require(Role::Write), Ok(()));
    assert_eq!(can.require(Role::Moderate), Err(TokenFault::LacksRole { role: Role::Moderate }));
}

#[test]
fn two_keys_follow_each_other() {
    let mut ring = ring();
    let old = issue(&claims());
    ring.insert(secret(2).public().clone()).unwrap();
    ring.insert(secret(2).public().clone()).unwrap();
    assert_eq!(ring.insert(secret(3).public().clone()), Err(RingError::Keys));
    let new = secret(2).issue(&claims(), ring.config()).unwrap();
    assert!(at(&ring, &old, NOW).is_ok() && at(&ring, &new, NOW).is_ok());
    assert!(ring.retire(secret(1).public().id()));
    assert!(!ring.retire(secret(1).public().id()));
    assert_eq!(at(&ring, &old, NOW), Err(TokenFault::UnknownKey));
    assert!(at(&ring, &new, NOW).is_ok());
    ring.insert(secret(3).public().clone()).unwrap();
    assert_eq!(ring.keys().len(), 2);
}

#[test]
fn a_key_that_is_named_and_has_not_signed_is_found_out() {
    let (own, other) = (issue(&claims()), secret(2).issue(&claims(), ring().config()).unwrap());
    let footer = own.rsplit_once('.').unwrap().1;
    let mixed = format!("{}.{footer}", other.rsplit_once('.').unwrap().0);
    assert_eq!(at(&ring(), &mixed, NOW), Err(TokenFault::BadSignature));
}

#[test]
fn a_token_for_another_purpose_is_none() {
    use pasetors::keys::AsymmetricSecretKey;
    use pasetors::version4::PublicToken;

    let token = issue(&claims());
    let text = secret(1).reveal();
    let key = AsymmetricSecretKey::try_from(text.as_str()).unwrap();
    let footer = token.rsplit_once('.').unwrap().1;
    let footer = data_encoding::BASE64URL_NOPAD.decode(footer.as_bytes()).unwrap();
    for purpose in [None, Some(&b"parlor admissioN"[..])] {
        let other = PublicToken::sign(&key, payload(|_| {}).as_bytes(), Some(&footer), purpose);
        assert_eq!(at(&ring(), &other.unwrap(), NOW), Err(TokenFault::BadSignature));
    }
}

#[test]
fn what_was_revoked_is_refused_until_it_would_have_expired() {
    let (mut ring, token) = (ring(), issue(&claims()));
    let other = issue(&Claims { id: "t2".to_owned(), ..claims() });
    ring.revoke_id("t1", NOW + 100, NOW).unwrap();
    assert_eq!(at(&ring, &token, NOW), Err(TokenFault::Revoked));
    assert!(at(&ring, &other, NOW).is_ok());
    ring.revoke_id("t1", NOW, NOW).unwrap();
    assert_eq!(at(&ring, &token, NOW + 109), Err(TokenFault::Revoked));
    assert!(at(&ring, &token, NOW + 110).is_ok());
    ring.revoke_peer(peer(1), u64::MAX, NOW).unwrap();
    assert_eq!(at(&ring, &other, NOW + 110), Err(TokenFault::Revoked));
    assert_eq!(ring.check(&claims(), NOW + 110), Err(TokenFault::Revoked));
}

#[test]
fn as_many_are_revoked_as_are_remembered() {
    let mut ring = TokenRing::new(TokenConfig { revoked: 2, ..TokenConfig::default() });
    ring.revoke_id("a", NOW + 10, NOW).unwrap();
    ring.revoke_id("b", NOW + 50, NOW).unwrap();
    ring.revoke_id("b", NOW + 60, NOW).unwrap();
    assert_eq!(ring.revoke_id("c", NOW, NOW), Err(RingError::Full { limit: 2 }));
    ring.revoke_peer(peer(1), NOW, NOW).unwrap();
    ring.revoke_id("c", NOW + 99, NOW + 20).unwrap();
    assert_eq!(ring.revoke_id("d", NOW, NOW + 20), Err(RingError::Full { limit: 2 }));
}

#[test]
fn what_is_no_token_is_none() {
    let ring = ring();
    let long = format!("v4.public.{}", "A".repeat(3_000));
    let (limit, size) = (2_048, 3_010);
    assert_eq!(at(&ring, "", NOW), Err(TokenFault::Missing));
    assert_eq!(at(&ring, &long, NOW), Err(TokenFault::TooLong { limit, size }));
    let token = issue(&claims());
    let mut cut: Vec<String> = (1..token.len()).map(|end| token[..end].to_owned()).collect();
    cut.extend([
        "v4.public".to_owned(),
        "v4.public.".to_owned(),
        "v4.public..".to_owned(),
        "v4.public.AAAA".to_owned(),
        token.replace("v4.", "v2."),
        token.replace("public", "local"),
        format!("{token}.AAAA"),
        format!("{token}="),
        format!(" {token}"),
        format!("{token}\n"),
    ]);
    for text in cut {
        let fault = at(&ring, &text, NOW).unwrap_err();
        let is_fit = matches!(fault, TokenFault::Malformed | TokenFault::BadSignature);
        assert!(is_fit, "{fault:?} of {text}");
    }
}

#[test]
fn claims_are_read_strictly() {
    let ring = ring();
    let good = payload(|_| {});
    assert_eq!(at(&ring, &forged(&good), NOW), Ok(claims()));
    type Change = fn(&mut serde_json::Map<String, serde_json::Value>);
    let wrong: &[(&str, Change)] = &[
        ("a later version", |c| c["v"] = 2.into()),
        ("a number for a time", |c| c["exp"] = NOW.into()),
        ("no end", |c| drop(c.remove("exp"))),
        ("no beginning", |c| drop(c.remove("nbf"))),
        ("no name", |c| drop(c.remove("jti"))),
        ("an empty name", |c| c["jti"] = "".into()),
        ("a long name", |c| c["jti"] = "x".repeat(65).into()),
        ("no bearer", |c| drop(c.remove("cnf"))),
        ("a bearer that is none", |c| c["cnf"] = serde_json::json!({ "kid": "12D3" })),
        ("a short app", |c| c["app"] = "0707".into()),
        ("capitals", |c| c["app"] = "ABABABABABABABAB".into()),
        ("no rooms", |c| c["room"] = "".into()),
        ("a role with a slip", |c| c["roles"] = serde_json::json!(["join", "wirte"])),
        ("a claim with a slip", |c| drop(c.insert("limit".to_owned(), serde_json::json!({})))),
        ("an unknown limit", |c| {
            c.insert("limits".to_owned(), serde_json::json!({ "bytes": 1 }));
        }),
        ("a limit below zero", |c| {
            c.insert("limits".to_owned(), serde_json::json!({ "bytes_per_second": -1 }));
        }),
        ("an end before its beginning", |c| c["exp"] = "2027-01-15T07:59:59Z".into()),
    ];
    for (what, change) in wrong {
        let token = forged(&payload(change));
        assert_eq!(at(&ring, &token, NOW), Err(TokenFault::Malformed), "{what}");
    }
    for text in ["null", "[]", "{}", "\u{1}", &"[".repeat(1_000), &good.replace('}', "},")] {
        assert_eq!(at(&ring, &forged(text), NOW), Err(TokenFault::Malformed), "{text}");
    }
    let twice = good.replacen('{', "{\"v\":1,", 1);
    assert_eq!(at(&ring, &forged(&twice), NOW), Err(TokenFault::Malformed));
}

#[test]
fn what_other_libraries_add_says_nothing() {
    let token = forged(&payload(|claims| {
        for name in ["iss", "sub", "aud", "iat"] {
            claims.insert(name.to_owned(), serde_json::json!(["anything", 1]));
        }
        claims["exp"] = "2027-01-15T10:00:00.5+01:00".into();
        claims.insert("limits".to_owned(), serde_json::json!({ "speak_until": null }));
    }));
    assert_eq!(at(&ring(), &token, NOW), Ok(claims()));
}

#[test]
fn what_no_relay_would_take_is_not_issued() {
    let config = TokenConfig::default();
    let refused = |claims: Claims| secret(1).issue(&claims, &config).unwrap_err();
    assert_eq!(refused(Claims { expires: NOW, ..claims() }), IssueError::NeverGood);
    assert_eq!(refused(Claims { id: String::new(), ..claims() }), IssueError::BadId);
    assert_eq!(refused(Claims { id: "x".repeat(65), ..claims() }), IssueError::BadId);
    let far = Claims { not_before: u64::MAX - 9, expires: u64::MAX, ..claims() };
    assert_eq!(refused(far), IssueError::BadTime);
    let rooms = RoomPattern::new(&"\u{1F30D}".repeat(512)).unwrap();
    assert!(matches!(refused(Claims { rooms, ..claims() }), IssueError::TooLong { .. }));
}

#[test]
fn patterns_are_names_or_beginnings_of_names() {
    let matches = |pattern: &str, name: &str| {
        let pattern = RoomPattern::new(pattern).unwrap();
        assert_eq!(pattern.to_string().parse(), Ok(pattern.clone()));
        pattern.matches(&room(name))
    };
    assert!(matches("lobby", "lobby") && !matches("lobby", "lobby2") && !matches("lobby", "Lobby"));
    assert!(
        matches("lobby*", "lobby") && matches("lobby*", "lobby2") && !matches("lobby*", "lobb")
    );
    assert!(matches("*", "lobby") && matches("*", "*"));
    assert!(matches("**", "*x") && !matches("**", "x"));
    assert!(matches("a*b", "a*b") && !matches("a*b", "axb"));
    assert!(matches("cafe\u{301}", "caf\u{e9}") && matches("cafe\u{301}*", "caf\u{e9}s"));
    assert!(RoomPattern::new("").is_err());
    assert!(RoomPattern::new(&"x".repeat(513)).is_err());
    assert!(RoomPattern::new(&("x".repeat(512) + "*")).is_ok());
}

#[test]
fn keys_have_one_text() {
    let secret = secret(1);
    let public = secret.public();
    assert!(secret.reveal().starts_with("k4.secret."));
    assert!(public.to_string().starts_with("k4.public."));
    let again: TokenSecret = secret.reveal().parse().unwrap();
    assert_eq!(again.public(), public);
    assert_eq!(public.to_string().parse().as_ref(), Ok(public));
    let zeros = format!("k4.secret.{}", "A".repeat(86));
    for text in ["", "k4.secret.", &zeros, &public.to_string(), &secret.reveal()[..95]] {
        assert_eq!(text.parse::<TokenSecret>().unwrap_err(), TokenKeyError::Secret);
    }
    let zeros = format!("k4.public.{}", "A".repeat(43));
    for text in ["", "k4.public.", &zeros, &secret.reveal(), &public.to_string()[..52]] {
        assert_eq!(text.parse::<TokenKey>(), Err(TokenKeyError::Public));
    }
    assert_eq!(TokenSecret::from_seed([0; 32]).unwrap_err(), TokenKeyError::Secret);
}

#[test]
fn nothing_tells_a_secret_or_a_token() {
    let secret = secret(1);
    let shown = format!("{secret:?} {:?} {:?}", secret.public(), ring());
    assert!(shown.starts_with(&format!("TokenSecret({})", secret.public().id())), "{shown}");
    assert!(!shown.contains(&secret.reveal()[10..30]), "{shown}");
    let wrong = secret.reveal().replace("k4.", "k5.");
    let words = wrong.parse::<TokenSecret>().unwrap_err().to_string();
    assert!(!words.contains(&wrong[10..30]), "{words}");
}

#[test]
fn a_fault_goes_over_the_wire() {
    let faults = [TokenFault::Missing, TokenFault::LacksRole { role: Role::Speak }];
    let bytes = postcard::to_allocvec(&(faults, claims().roles, claims().limits)).unwrap();
    let back: ([TokenFault; 2], Roles, TokenLimits) = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(back, (faults, claims().roles, claims().limits));
}

prop_compose! {
    fn any_claims()(
        app in any::<[u8; 8]>(),
        bearer in any::<[u8; 32]>(),
        rooms in "[a-z\u{e9}\u{301}*]{1,20}",
        roles in collection::vec(0_usize..4, 0..5),
        limits in any::<(Option<u32>, Option<u32>)>(),
        speak_until in option::of(0_u64..253_402_300_800),
        not_before in 0_u64..253_402_200_000,
        life in 1_u64..=86_400,
        id in "[ -~]{1,32}",
    ) -> Claims {
        Claims {
            app: AppId(app),
            peer: PeerId::new(bearer),
            rooms: RoomPattern::new(&rooms).unwrap(),
            roles: roles.into_iter().map(|role| Role::ALL[role]).collect(),
            limits: TokenLimits {
                speak_until,
                signals_per_second: limits.0,
                bytes_per_second: limits.1,
            },
            not_before,
            expires: not_before + life,
            id,
        }
    }
}

proptest! {
    #[test]
    fn what_is_issued_is_what_is_read(claims in any_claims()) {
        let token = secret(1).issue(&claims, &TokenConfig::default()).unwrap();
        prop_assert_eq!(ring().open(&token), Ok(claims));
    }

    #[test]
    fn no_byte_of_a_token_can_be_another(at in any::<prop::sample::Index>(), byte in 0_u8..128) {
        let token = issue(&claims());
        let mut bytes = token.clone().into_bytes();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        let changed = String::from_utf8(bytes).unwrap();
        prop_assert!(ring().open(&changed).is_err(), "{} is {}", token, changed);
    }

    #[test]
    fn text_is_no_token(text in "(v4\\.public\\.)?[A-Za-z0-9_.-]{0,200}") {
        prop_assert!(ring().open(&text).is_err());
    }
}
