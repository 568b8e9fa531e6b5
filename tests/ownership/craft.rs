//! Frames and changes that are made by hand.

use bytes::Bytes;
use parlor::proto::authorship::Scope;
use parlor::proto::change::{Action, Change, Key, Operation, Predecessors, Sealed, chunk};
use parlor::proto::delta::record::{self, Follows, Kind, Record};
use parlor::proto::draft::Draft;
use parlor::proto::id::{AppKey, DocumentId, Identity, Lane, PeerId, RoomName};
use parlor::proto::log::{ChangeLog, Next};
use parlor::proto::model::path::Path;
use parlor::proto::model::value::Value;
use parlor::proto::ownership::{Authority, CLAIMS, Claim, Fence, Grant, META, Session, to_value};
use parlor::proto::wire::bounded::Blob;
use parlor::proto::wire::encode;
use parlor::proto::wire::message::{EntryRecord, Introduction, Message};
use parlor::{ModelRef, Terms};

use parlor::proto::model::handle::Handle;
use parlor::sim::playground::Figure;

pub(crate) const MODELS: DocumentId = DocumentId::MODELS;
/// The seed of the relay's identity.
pub(crate) const RELAY: u8 = 9;

pub(crate) fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

pub(crate) fn peer(seed: u8) -> PeerId {
    identity(seed).peer()
}

pub(crate) fn app_key() -> AppKey {
    AppKey::new("key").unwrap()
}

pub(crate) fn room() -> RoomName {
    RoomName::new("room").unwrap()
}

pub(crate) fn scope() -> Scope {
    Scope::first(app_key().app(), room())
}

/// The first incarnation of the first session of the peer of a seed.
pub(crate) fn author(seed: u8) -> Introduction {
    Introduction { peer: peer(seed), incarnation: Session(1).first() }
}

/// The next incarnation of the same session.
pub(crate) fn next(author: Introduction) -> Introduction {
    Introduction { incarnation: author.incarnation + 1, ..author }
}

/// A change of an author, on top of all that a log has.
pub(crate) fn change(
    log: &ChangeLog,
    author: &Introduction,
    (at, key, value): (&Path, &str, &Value),
) -> Sealed {
    let actor = log.scope().actor(author);
    let mut draft = Draft::new(log.table(), actor, log.next(&actor), 1);
    let target = draft.target(log.table().find(at).unwrap());
    assert!(draft.set(target, key.into(), value.clone()));
    chunk::encode(draft.finish().unwrap())
}

/// A change that puts a value beside whatever is there, even if that cannot be replaced.
pub(crate) fn beside(
    log: &ChangeLog,
    author: &Introduction,
    (at, key, value): (&Path, &str, &Value),
) -> Sealed {
    let actor = log.scope().actor(author);
    let Next { sequence, start, deps } = log.next(&actor);
    let operation = Operation {
        object: log.table().id(log.table().find(at).unwrap()),
        key: Key::Map(key.into()),
        insert: false,
        action: Action::Put(value.clone()),
        predecessors: Predecessors::new(),
    };
    chunk::encode(Change { actor, sequence, start, deps, operations: vec![operation] })
}

/// A change that takes a value away.
pub(crate) fn deletion(log: &ChangeLog, author: &Introduction, (at, key): (&Path, &str)) -> Sealed {
    let actor = log.scope().actor(author);
    let mut draft = Draft::new(log.table(), actor, log.next(&actor), 1);
    let target = draft.target(log.table().find(at).unwrap());
    assert!(draft.delete(target, key.into()));
    chunk::encode(draft.finish().unwrap())
}

/// A change that gives a figure a name.
pub(crate) fn renames(
    log: &ChangeLog,
    author: &Introduction,
    (figure, name): (&ModelRef<Figure>, &str),
) -> Sealed {
    change(log, author, (figure.path().unwrap(), "1", &Value::Text(name.into())))
}

/// A change that claims a figure.
pub(crate) fn claims(
    log: &ChangeLog,
    author: &Introduction,
    (figure, claim): (&ModelRef<Figure>, Claim),
) -> Sealed {
    let map = Path::parse(META).join(CLAIMS);
    change(log, author, (&map, figure.path().unwrap().as_str(), &to_value(&claim)))
}

/// Where the grants of a relay stand.
pub(crate) fn grants_of(relay: PeerId) -> Path {
    Path::parse(META).join(Authority::of(relay).key())
}

/// A grant of everything to a peer, under a token that no other is over.
pub(crate) fn grant_to(author: &Introduction) -> Value {
    to_value(&Grant {
        token: Fence::new(1, 1_000_000),
        kept: 0,
        holder: author.peer,
        session: Session::of(author.incarnation),
        held: true,
        terms: Terms::default(),
        claim: 0,
    })
}

/// A change as it is said.
pub(crate) fn said(introduction: Option<Introduction>, change: &Sealed) -> EntryRecord {
    let bytes = Blob::new(change.bytes.clone()).unwrap();
    EntryRecord::Authored { introduction, bytes }
}

/// A signature for a change, with the key of a seed.
pub(crate) fn signed(seed: u8, Sealed { change, hash, .. }: &Sealed) -> EntryRecord {
    let word = (change.actor, change.sequence, *hash);
    EntryRecord::Signed(scope().sign(&identity(seed), MODELS, word))
}

/// A frame of records of document 0, the first at a position.
pub(crate) fn frame(position: u16, records: &[Record]) -> (Lane, Bytes) {
    let records = Blob::new(record::join(records)).unwrap();
    (Lane::Document, encode(&Message::Deltas { document: MODELS, position, records }))
}

pub(crate) fn record(entry: &EntryRecord) -> Record {
    let body = postcard::to_allocvec(entry).unwrap();
    Record::new(Kind::Entry, Follows::Previous, 0, body)
}
