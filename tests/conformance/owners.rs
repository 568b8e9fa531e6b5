//! The cases of `session.json` in which models have owners.

use bytes::Bytes;
use parlor::Model;
use parlor::proto::change::chunk;
use parlor::proto::config::HubConfig;
use parlor::proto::datastore::intent::{Blueprint, Intent};
use parlor::proto::draft::Draft;
use parlor::proto::id::{DocumentId, Lane, Link};
use parlor::proto::log::ChangeLog;
use parlor::proto::model::handle::{Handle, ModelRef};
use parlor::proto::model::path::Path;
use parlor::proto::model::value::Value;
use parlor::proto::ownership::{
    Authority, CLAIMS, Claim, Fence, Grant, META, Mode, Ownership, Session, Terms, to_value,
};
use parlor::proto::wire::bounded::Blob;
use parlor::proto::wire::message::{EntryRecord, Introduction, ResumedRecord};

use crate::scripts::{Case, add_lamp, case, entries, greet};
use crate::session::Rig;
use crate::stage::{APP_KEY, RELAY, app_key, author, peer, room};
use crate::world::{Item, Lobby};

const MODELS: DocumentId = DocumentId::MODELS;

pub(crate) fn owners() -> Vec<Case> {
    let refused = "a member writes to another's model, is told, and goes on as another incarnation";
    let over = "an exclusive model: its owner is asked to let go, does, and the next is granted it";
    let placed =
        "both propose for one key: the first is granted the place, fills it and redeems it";
    let leaves = "one model of an owner that says goodbye is nobody's then, and one is removed";
    vec![
        case("claim", "the second peer claims a model, and the first sees the grant", claim()),
        case("claim-race", "both claim at once: the second is denied", race()),
        case("hand-over", over, hand_over()),
        case("refused-change", refused, refused_change()),
        case("insert-race", placed, insert_race()),
        case("not-redeemed", "a change redeems a place that is not its author's", not_redeemed()),
        case("forged-grant", "a member writes into the relay's map", forged()),
        case("owner-leaves", leaves, leaves_all()),
    ]
}

/// Two peers are in, and the first has added the lamp.
fn two() -> Rig {
    let mut rig = Rig::new(HubConfig::default(), APP_KEY);
    let first = rig.add(1, 1);
    rig.connect(first);
    rig.run(100);
    add_lamp(&mut rig, first);
    rig.run(200);
    let second = rig.add(2, 1);
    rig.connect(second);
    rig.run(300);
    rig
}

fn item(rig: &Rig, place: usize, label: &str) -> ModelRef<Item> {
    let store = rig.peers[place].store();
    let items = store.root::<Lobby>().unwrap().items.clone();
    let found = items.iter(store).find(|(_, item)| item.label == label);
    found.unwrap().0
}

fn claims(rig: &mut Rig, place: usize, (label, terms): (&str, Terms)) {
    let model = item(rig, place, label);
    rig.act(place, &format!("claims the item {label}"), |peer, now| {
        peer.store_mut().claim(&model, terms).unwrap();
        peer.flush(now);
    });
}

fn state(rig: &Rig, place: usize, label: &str) -> Ownership {
    rig.peers[place].ownership_state(&item(rig, place, label), rig.now)
}

fn claim() -> Rig {
    let mut rig = two();
    claims(&mut rig, 1, ("lamp", Terms::default()));
    rig.run(400);
    assert!(matches!(state(&rig, 1, "lamp"), Ownership::Confirmed { .. }));
    let by = Ownership::Remote { peer: peer(2), confirmed: true };
    assert_eq!(state(&rig, 0, "lamp"), by);
    rig
}

fn race() -> Rig {
    let mut rig = two();
    claims(&mut rig, 0, ("lamp", Terms::default()));
    claims(&mut rig, 1, ("lamp", Terms::default()));
    rig.run(400);
    assert!(matches!(state(&rig, 0, "lamp"), Ownership::Confirmed { .. }));
    let by = Ownership::Remote { peer: peer(1), confirmed: true };
    assert_eq!(state(&rig, 1, "lamp"), by);
    rig
}

fn hand_over() -> Rig {
    let mut rig = two();
    let terms = Terms { mode: Mode::Exclusive, ..Terms::default() };
    claims(&mut rig, 0, ("lamp", terms));
    rig.run(400);
    claims(&mut rig, 1, ("lamp", terms));
    rig.run(500);
    assert!(matches!(state(&rig, 1, "lamp"), Ownership::Confirmed { .. }));
    rig
}

/// Proposes a door, as a dictionary is filled that is confirmed.
fn proposes(rig: &mut Rig, place: usize, label: &str) {
    rig.act(place, &format!("proposes the door front, {label}"), |peer, now| {
        let doors = peer.store().root::<Lobby>().unwrap().doors.clone();
        let model = doors.path().unwrap().join("front");
        let create = Intent::Create {
            model: model.clone(),
            blueprint: Blueprint::of(&Item::shape()),
            position: None,
        };
        let value = Value::Text(label.to_owned());
        let put = Intent::Put { model: model.clone(), property: 1, value };
        peer.store_mut().propose(model, vec![create, put]).unwrap();
        peer.flush(now);
    });
}

fn insert_race() -> Rig {
    let mut rig = two();
    proposes(&mut rig, 0, "of the first");
    proposes(&mut rig, 1, "of the second");
    rig.run(600);
    let store = rig.peers[1].store();
    let doors = &store.root::<Lobby>().unwrap().doors;
    let labels: Vec<_> = doors.iter(store).map(|(_, _, door)| door.label.clone()).collect();
    assert_eq!(labels, ["of the first"]);
    assert_eq!(rig.peers[0].store().state_hash(), store.state_hash());
    assert_eq!(log(&rig).ledger().granted_from("").count(), 0);
    rig
}

fn not_redeemed() -> Rig {
    let (mut rig, link) = owned();
    let map = Path::parse(META).join(CLAIMS);
    let redeemed = writes(&rig, author(1), (&map, "16/front", &to_value(&Claim::Redeem)));
    let before = log(&rig).len();
    says(&mut rig, link, entries(0, &[redeemed]));
    assert_eq!(log(&rig).len(), before);
    rig
}

fn leaves_all() -> Rig {
    let mut rig = two();
    rig.act(0, "adds the item chair, 1", |peer, now| {
        let items = peer.store().root::<Lobby>().unwrap().items.clone();
        let chair = Item { label: "chair".to_owned(), count: 1 };
        items.add(peer.store_mut(), chair).unwrap();
        peer.flush(now);
    });
    rig.run(300);
    claims(&mut rig, 0, ("lamp", Terms::default()));
    claims(&mut rig, 0, ("chair", Terms { destroy_with_owner: true, ..Terms::default() }));
    rig.run(400);
    rig.act(0, "leaves", |peer, now| peer.leave(now));
    rig.run(500);
    assert_eq!(state(&rig, 1, "lamp"), Ownership::Free);
    let store = rig.peers[1].store();
    let items = &store.root::<Lobby>().unwrap().items;
    assert_eq!(items.iter(store).count(), 1);
    rig
}

/// The second peer has added the lamp and owns it; then a script comes in as the first.
fn owned() -> (Rig, Link) {
    let mut rig = Rig::new(HubConfig::default(), APP_KEY);
    let owner = rig.add(2, 1);
    rig.connect(owner);
    rig.run(100);
    add_lamp(&mut rig, owner);
    rig.run(200);
    claims(&mut rig, owner, ("lamp", Terms::default()));
    rig.run(300);
    let link = greet(&mut rig);
    rig.run(400);
    (rig, link)
}

fn log(rig: &Rig) -> &ChangeLog {
    rig.hub.log(&(app_key().app(), room()), MODELS).unwrap()
}

/// What the script's peer writes as an incarnation, on top of all that the relay has.
fn writes(
    rig: &Rig,
    introduction: Introduction,
    (at, key, value): (&Path, &str, &Value),
) -> EntryRecord {
    let log = log(rig);
    let actor = log.scope().actor(&introduction);
    let mut draft = Draft::new(log.table(), actor, log.next(&actor), 1);
    let target = draft.target(log.table().find(at).unwrap());
    assert!(draft.put(target, key.into(), value));
    let change = chunk::encode(draft.finish().unwrap());
    let bytes = Blob::new(change.bytes).unwrap();
    EntryRecord::Authored { introduction: Some(introduction), bytes }
}

fn says(rig: &mut Rig, link: Link, (lane, frame): (Lane, Bytes)) {
    rig.says(link, lane, frame);
    let soon = rig.now.as_micros() / 1_000 + 60;
    rig.run(soon);
}

fn refused_change() -> Rig {
    let (mut rig, link) = owned();
    let lamp = item(&rig, 0, "lamp").path().unwrap().clone();
    let mine = Value::Text("mine".into());
    let written = writes(&rig, author(1), (&lamp, "1", &mine));
    says(&mut rig, link, entries(0, &[written]));
    // Nothing of it is wrong, but it is of who has not said yet that it goes on.
    let early = writes(&rig, author(1), (&Path::root(), "1", &Value::Text("early".into())));
    says(&mut rig, link, entries(1, &[early]));
    let next = Introduction { incarnation: 2, ..author(1) };
    let resumed = EntryRecord::Resumed(ResumedRecord { incarnation: next.incarnation });
    let again = writes(&rig, next, (&Path::root(), "1", &Value::Text("again".into())));
    says(&mut rig, link, entries(2, &[resumed, again]));
    let lobby = rig.peers[0].store().root::<Lobby>().unwrap();
    assert_eq!(lobby.title, "again");
    assert_eq!(rig.peers[0].store().get(&item(&rig, 0, "lamp")).unwrap().label, "lamp");
    rig
}

fn forged() -> Rig {
    let (mut rig, link) = owned();
    let lamp = item(&rig, 0, "lamp").path().unwrap().clone();
    let grant = Grant {
        token: Fence::new(1, 100),
        kept: 0,
        holder: peer(1),
        session: Session(0),
        held: true,
        terms: Terms::default(),
        claim: 0,
    };
    let map = Path::parse(META).join(Authority::of(peer(RELAY)).key());
    let forged = writes(&rig, author(1), (&map, lamp.as_str(), &to_value(&grant)));
    says(&mut rig, link, entries(0, &[forged]));
    rig
}
