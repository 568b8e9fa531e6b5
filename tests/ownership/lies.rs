//! What a member may not write about ownership, whatever it claims to be: asked of the log, which
//! relays and peers share.

use parlor::proto::authorship::Scope;
use parlor::proto::change::{Action, Change, Key, ObjectId, Operation, Predecessors, chunk};
use parlor::proto::config::Limits;
use parlor::proto::id::{AppKey, DocumentId, RoomName};
use parlor::proto::log::{Candidate, ChangeLog};
use parlor::proto::model::value::Value;
use parlor::proto::ownership::{
    Authority, CLAIMS, Claim, Fence, Grant, META, Session, Terms, to_value,
};
use parlor::proto::reason::ChangeFault;
use parlor::proto::table::ObjectIndex;
use parlor::proto::wire::bounded::Line;
use parlor::proto::wire::message::{Introduction, Made, ParentRecord, WellKnownRecord};
use parlor::{Identity, PeerId};

fn relay() -> PeerId {
    Identity::from_seed([9; 32]).peer()
}

fn liar() -> Introduction {
    Introduction { peer: Identity::from_seed([1; 32]).peer(), incarnation: 1 }
}

/// A log in which claims and grants have their maps.
fn log() -> ChangeLog {
    let app = AppKey::new("key").unwrap().app();
    let scope = Scope::first(app, RoomName::new("room").unwrap());
    let mut log = ChangeLog::new(scope, DocumentId::MODELS, Limits::default());
    log.set_authority(relay());
    log.ensure(ObjectIndex::ROOT, META, Made::Map, false).unwrap();
    let meta = log.table().below(ObjectIndex::ROOT, META).unwrap();
    for key in [CLAIMS, Authority::of(relay()).key()] {
        log.ensure(meta, key, Made::Map, false).unwrap();
    }
    log
}

fn object(log: &ChangeLog, keys: &[&str]) -> ObjectId {
    let found = keys.iter().try_fold(ObjectIndex::ROOT, |at, key| log.table().below(at, key));
    log.table().id(found.unwrap())
}

/// Offers one operation of an author's, on top of all that is there.
fn offer(
    log: &mut ChangeLog,
    author: Introduction,
    (object, key, action): (ObjectId, &str, Action),
) -> Result<(), ChangeFault> {
    let actor = log.scope().actor(&author);
    let next = log.next(&actor);
    let predecessors = Predecessors::new();
    let operation =
        Operation { object, key: Key::Map(key.into()), insert: false, action, predecessors };
    let change = chunk::encode(Change {
        actor,
        sequence: next.sequence,
        start: next.start,
        deps: next.deps,
        operations: vec![operation],
    });
    log.admit(Candidate { introduction: Some(author), change, pending: false }).map(|_| ())
}

fn grant() -> Value {
    to_value(&Grant {
        token: Fence::new(9, 9),
        kept: 0,
        holder: liar().peer,
        session: Session(0),
        held: true,
        terms: Terms::default(),
        claim: 0,
    })
}

#[test]
fn only_the_relay_writes_in_the_map_that_names_it() {
    let mut log = log();
    let key = Authority::of(relay()).key().clone();
    let map = object(&log, &[META, &key]);
    let forged = (map, "4/x", Action::Put(grant()));
    assert_eq!(offer(&mut log, liar(), forged.clone()), Err(ChangeFault::Forged));
    assert!(log.ledger().grant("4/x").is_none());
    assert_eq!(log.newest_grant(), Fence::NONE);
    let itself = Introduction { peer: relay(), incarnation: 1 };
    assert_eq!(offer(&mut log, itself, forged), Ok(()));
    assert_eq!(log.ledger().grant("4/x").unwrap().owner(), Some(liar().peer));
    assert_eq!(log.newest_grant(), Fence::new(9, 9));
}

#[test]
fn a_map_of_ones_own_grants_nothing() {
    let mut log = log();
    let meta = log.table().below(ObjectIndex::ROOT, META).unwrap();
    let key = Authority::of(liar().peer).key().clone();
    log.ensure(meta, &key, Made::Map, false).unwrap();
    let map = object(&log, &[META, &key]);
    assert_eq!(offer(&mut log, liar(), (map, "4/x", Action::Put(grant()))), Ok(()));
    assert!(log.ledger().grant("4/x").is_none());
    assert_eq!(log.newest_grant(), Fence::NONE);
}

#[test]
fn nothing_stands_beside_claims_and_grants_that_could_hide_them() {
    let mut log = log();
    let key = Authority::of(relay()).key().clone();
    let (root, meta) = (ObjectId::Root, object(&log, &[META]));
    let null = || Action::Put(Value::Null);
    assert_eq!(offer(&mut log, liar(), (root, META, null())), Err(ChangeFault::WrongPlace));
    for reserved in [CLAIMS, &key] {
        for action in [null(), Action::MakeMap, Action::Counter(0)] {
            let beside = (meta, reserved, action);
            assert_eq!(offer(&mut log, liar(), beside), Err(ChangeFault::Forged));
        }
    }
    // Nor anything well known: it could not be replaced any more.
    let made = |log: &ChangeLog, keys: &[&str]| {
        let ObjectId::Made(id) = object(log, keys) else { unreachable!() };
        let change = log.entry(log.containing(id).unwrap()).unwrap().hash;
        Some(ParentRecord { actor: id.actor, counter: id.counter, change })
    };
    let (meta, grants) = (made(&log, &[META]), made(&log, &[META, &key]));
    for (parent, key) in [(None, META), (meta, CLAIMS), (grants, "4/x")] {
        let record = WellKnownRecord { parent, key: Line::new(key).unwrap(), made: Made::Counter };
        let admitted = log.admit_well_known(&record, false);
        assert_eq!(admitted.map(|_| ()), Err(ChangeFault::WrongPlace), "{key}");
    }
}

#[test]
fn what_is_no_claim_is_not_among_claims() {
    let mut log = log();
    let claims = object(&log, &[META, CLAIMS]);
    let claim = Action::Put(to_value(&Claim::Take(Terms::default())));
    for action in [
        Action::Put(Value::Null),
        Action::Put(Value::Bytes(vec![7])),
        Action::Put(grant()),
        Action::Counter(1),
        Action::MakeMap,
    ] {
        let refused = offer(&mut log, liar(), (claims, "4/x", action.clone()));
        assert_eq!(refused, Err(ChangeFault::WrongOperation), "{action:?}");
    }
    assert_eq!(offer(&mut log, liar(), (claims, "4/x", claim)), Ok(()));
    assert_eq!(log.ledger().claims("4/x").count(), 1);
}
