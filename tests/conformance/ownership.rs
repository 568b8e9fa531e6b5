//! `ownership.json`: claims and grants, as the values that they are in the document.

use parlor::proto::model::value::Value as Held;
use parlor::proto::ownership::{
    Authority, CLAIMS, Claim, Fence, Grant, META, Mode, RESERVED, Session, Terms, from_value,
    to_value,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::stage::{RELAY, peer};
use crate::vectors::{check, readable};

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Case {
    /// Both ways.
    Claim { name: &'static str, why: &'static str, claim: Value, bytes: String },
    /// Both ways.
    Grant { name: &'static str, why: &'static str, grant: Value, since: u64, bytes: String },
    /// Bytes that are neither where they stand.
    Refused { name: &'static str, why: &'static str, as_what: &'static str, bytes: String },
    /// Where they stand.
    Place { name: &'static str, why: &'static str, map: &'static str, key: String },
    /// Numbers that are made of others.
    Number { name: &'static str, why: &'static str, given: Value, gives: u64 },
}

#[test]
fn claims_and_grants() {
    let cases = [places(), numbers(), claims(), grants(), refused()];
    check("ownership.json", &cases.into_iter().flatten().collect::<Vec<_>>());
}

fn places() -> Vec<Case> {
    let relay = peer(RELAY);
    let key = Authority::of(relay).key().to_string();
    assert_eq!(key, format!("{RESERVED}{relay}"));
    vec![
        Case::Place {
            name: "claims-map",
            why: "what all peers ask for, by model",
            map: META,
            key: CLAIMS.into(),
        },
        Case::Place {
            name: "grants-map",
            why: "what the relay whose seed is 09... grants, by model",
            map: META,
            key,
        },
    ]
}

fn numbers() -> Vec<Case> {
    vec![
        Case::Number {
            name: "token",
            why: "the fifth grant of the relay's third boot",
            given: json!({ "boot": 3, "counter": 5 }),
            gives: Fence::new(3, 5).0,
        },
        Case::Number {
            name: "incarnation",
            why: "the first of a session; the last 16 bits count those that are used up",
            given: json!({ "session": 1_700_000_000_000_u64 }),
            gives: Session(1_700_000_000_000).first(),
        },
    ]
}

fn claims() -> Vec<Case> {
    let terms = Terms { mode: Mode::Exclusive, destroy_with_owner: true, ..Terms::default() };
    let all = Terms {
        mode: Mode::Fixed,
        prevent_takeover: true,
        destroy_with_owner: true,
        destroy_with_last: true,
    };
    vec![
        claim("take", "a model, on terms that are all zero", Claim::Take(Terms::default())),
        claim("take-exclusive", "handed over only; gone with its owner", Claim::Take(terms)),
        claim("take-fixed", "every term", Claim::Take(all)),
        claim("take-reserved", "a place where nothing stands yet", Claim::Take(Terms::RESERVED)),
        claim("release", "no fields", Claim::Release),
        claim("redeem", "no fields; a condition of its change", Claim::Redeem),
        claim(
            "give",
            "to the peer whose seed is 02...: its key, with no length",
            Claim::Give(peer(2)),
        ),
    ]
}

fn claim(name: &'static str, why: &'static str, claim: Claim) -> Case {
    Case::Claim { name, why, claim: said(&claim), bytes: both_ways(&claim) }
}

fn grants() -> Vec<Case> {
    let first = Grant {
        token: Fence::new(1, 1),
        kept: 0,
        holder: peer(2),
        session: Session(1),
        held: true,
        terms: Terms::default(),
        claim: 7,
    };
    let later = Grant {
        token: Fence::new(2, 1),
        kept: Fence::new(2, 1).0 - Fence::new(1, 1).0,
        session: Session(1_700_000_000_000),
        terms: Terms { mode: Mode::Exclusive, prevent_takeover: true, ..Terms::default() },
        ..first
    };
    let cleared = Grant { token: Fence::new(1, 2), held: false, claim: 0, ..first };
    let released = Grant { token: Fence::new(1, 3), held: false, claim: 300, ..first };
    vec![
        grant("granted", "the answer to the claim of operation 7", first),
        grant("kept", "confirmed anew by a later boot: held since the first grant", later),
        grant("cleared", "its owner is gone", cleared),
        grant("released", "let go of by operation 300", released),
    ]
}

fn grant(name: &'static str, why: &'static str, grant: Grant) -> Case {
    Case::Grant { name, why, grant: said(&grant), since: grant.since().0, bytes: both_ways(&grant) }
}

fn refused() -> Vec<Case> {
    let release = || vec![1];
    let behind = [release(), vec![0]].concat();
    let short = bytes(&Claim::Take(Terms::default()))[..4].to_vec();
    vec![
        no::<Claim>("claim-trailing", "a byte behind it", ("claim", behind)),
        no::<Claim>("claim-short", "a term is missing", ("claim", short)),
        no::<Claim>("claim-unknown", "a variant that does not exist", ("claim", vec![4])),
        no::<Claim>("mode-unknown", "a mode that does not exist", ("claim", vec![0, 4, 0, 0, 0])),
        no::<Claim>("flag-unknown", "a flag that is neither", ("claim", vec![0, 0, 2, 0, 0])),
        no::<Grant>("grant-short", "a claim where a grant stands", ("grant", release())),
    ]
}

fn no<T: DeserializeOwned>(
    name: &'static str,
    why: &'static str,
    (as_what, bytes): (&'static str, Vec<u8>),
) -> Case {
    let hex = hex::encode(&bytes);
    assert!(from_value::<T>(&Held::Bytes(bytes)).is_none(), "{name}");
    Case::Refused { name, why, as_what, bytes: hex }
}

fn said<T: Serialize>(said: &T) -> Value {
    readable(serde_json::to_value(said).unwrap(), "")
}

fn bytes<T: Serialize>(said: &T) -> Vec<u8> {
    match to_value(said) {
        Held::Bytes(bytes) => bytes,
        _ => panic!("claims and grants are bytes"),
    }
}

fn both_ways<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(said: &T) -> String {
    let bytes = bytes(said);
    assert_eq!(from_value::<T>(&Held::Bytes(bytes.clone())).as_ref(), Some(said));
    hex::encode(bytes)
}
