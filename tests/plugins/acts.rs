//! What the relay does in its rooms.

use std::time::Duration;

use bytes::Bytes;
use parlor::proto::config::PeerConfig;
use parlor::proto::datastore::intent::{Intent, Splice};
use parlor::proto::event::State;
use parlor::proto::hub::{Act, ActError, GiveError, HubEvent};
use parlor::proto::id::RoomName;
use parlor::proto::model::handle::Handle as _;
use parlor::proto::model::list::Position;
use parlor::proto::model::path::Path;
use parlor::proto::model::value::Value;
use parlor::proto::ownership::Claim;
use parlor::sim::network::Network;
use parlor::sim::playground::{Figure, Mood, Playground, Thing};
use parlor::{Audience, Event, ModelRef, Origin, Reason, Refusal, Request, ServiceError, Subject};

use crate::SECOND;
use crate::court::{Court, accepts, passes, path, seeds};

fn put(model: Path, property: u16, value: Value) -> Intent {
    Intent::Put { model, property, value }
}

fn title(text: &str) -> Intent {
    put(Path::root(), 1, Value::Text(text.to_owned()))
}

/// Something of everything that the relay can write to models, with a figure at a place.
fn one_of_everything(court: &Court, place: &Path) -> Vec<Intent> {
    let before = court.view().root::<Playground>();
    let after = Playground { title: "by the relay".into(), score: 7, ..before.clone() };
    let figure = Figure { name: "ghost".into(), mood: Mood::Grim, ..Figure::default() };
    let mut intents = Intent::between(&Path::root(), &before, &after);
    intents.push(Intent::Count { model: Path::root(), property: 3, by: 4 });
    intents.extend(Intent::creation(place, figure, None));
    intents.extend(Intent::creation(&place.property(7).join("x"), Thing { count: 2 }, None));
    let first = Position::between(None, None, "r");
    let queued = Path::root().property(6).join("queued");
    let waits = Figure { name: "waits".into(), ..Figure::default() };
    intents.extend(Intent::creation(&queued, waits, Some(first)));
    intents.push(put(Path::root().property(8), 1, Value::Text("captain".into())));
    intents
}

#[test]
fn everybody_sees_what_the_relay_writes_as_anothers_edit() {
    for seed in seeds(10, 100) {
        let mut court = Court::new(seed, Network::MOBILE, 3, accepts);
        let place = Path::root().property(4).join("spawned");
        court.act(Act::Write(one_of_everything(&court, &place))).unwrap();
        let text = Path::root().property(7);
        let splice = |at, insert: &str| Splice {
            text: text.clone(),
            at,
            delete: 0,
            insert: insert.to_owned(),
        };
        court.act(Act::Type(vec![splice(0, "world"), splice(0, "hello ")])).unwrap();
        court.calm();
        let events = court.world.take_events();
        for peer in 0..3 {
            let (root, store) = (court.root(peer), court.world.peer(peer).store());
            assert_eq!((root.title.as_str(), root.score), ("by the relay", 7), "seed {seed}");
            assert_eq!(root.votes.get(), 4);
            let ghost: ModelRef<Figure> = ModelRef::at(place.clone());
            assert_eq!(court.get(peer, &ghost).mood, Mood::Grim);
            assert_eq!(court.get(peer, &ghost).items.len(store), 1);
            let first = root.queue.get(store, 0).unwrap();
            assert_eq!(court.get(peer, &first).name, "waits");
            assert_eq!(store.get(&root.captain.as_ref()).unwrap().name, "captain");
            assert_eq!(root.notes.read(store), "hello world");
            let added = Event::Added { model: place.clone(), origin: Origin::Remote };
            assert_eq!(events.iter().filter(|it| **it == (peer, added.clone())).count(), 1);
            assert!(!events.iter().any(|(of, it)| *of == peer
                && matches!(it, Event::Changed(it) if it.origin != Origin::Remote)));
        }
        let ghost = court.view().get_at::<Figure>(&place).unwrap();
        assert_eq!((ghost.name.as_str(), ghost.mood), ("ghost", Mood::Grim));
        assert_eq!(court.view().members(&place.property(7)).count(), 1);
        assert_eq!(court.view().text(&text), "hello world");
        // Members go on with what it made, and it with what they make.
        let ghost: ModelRef<Figure> = ModelRef::at(place.clone());
        court.rename(2, &ghost, "spirit").unwrap();
        court.type_in(1, 11, "!");
        court.calm();
        let edits = vec![
            Intent::Remove { model: place.clone() },
            Intent::Count { model: Path::root().property(8), property: 6, by: 2 },
        ];
        court.act(Act::Write(edits)).unwrap();
        court.calm();
        for peer in 0..3 {
            let store = court.world.peer(peer).store();
            assert!(court.root(peer).players.is_empty(store), "seed {seed}");
            let captain = court.root(peer).captain.as_ref();
            assert_eq!(store.get(&captain).unwrap().hits.get(), 2, "seed {seed}");
            assert_eq!(court.notes(peer), "hello world!", "seed {seed}");
        }
        assert!(court.take_asked().writes.iter().all(|(by, _)| *by != court.id(0)));
        court.at_rest(seed);
    }
}

#[test]
fn what_cannot_be_done_is_an_error_and_does_nothing() {
    let mut court = Court::new(1, Network::LAN, 2, accepts);
    let gone = Path::root().property(4).join("gone");
    let stranger = parlor::Identity::from_seed([200; 32]).peer();
    let claim = |model: &Path, claim| Intent::Claim { model: model.clone(), claim };
    let root = Path::root();
    let meta = Path::parse("0");
    for (intent, why) in [
        (put(gone.clone(), 1, Value::Null), ActError::NoModel { model: gone.clone() }),
        (
            claim(&gone, Claim::Take(parlor::Terms::default())),
            ActError::NoModel { model: gone.clone() },
        ),
        (claim(&root, Claim::Give(stranger)), ActError::Absent { peer: stranger }),
        (claim(&root, Claim::Redeem), ActError::NoEdit),
        (Intent::Redeem { model: gone.clone() }, ActError::NoEdit),
        (put(meta.clone(), 1, Value::Null), ActError::NoEdit),
        (Intent::Remove { model: meta.join("@claims") }, ActError::NoEdit),
        (put(root.clone(), 4, Value::Null), ActError::NoEdit),
    ] {
        court.figure(0);
        let before = court.view().root::<Playground>();
        let outcome = court.act(Act::Write(vec![title("half done"), intent.clone()]));
        assert_eq!(outcome, Err(why), "{intent:?}");
        assert_eq!(court.view().root::<Playground>().title, before.title, "{intent:?}");
    }
    let large = court.act(Act::Write(vec![title(&"x".repeat(60_000))]));
    assert!(matches!(large, Err(ActError::TooLarge { .. })), "{large:?}");
    let insert = "x".repeat(60_000);
    let splice = Splice { text: Path::root().property(7), at: 0, delete: 0, insert };
    let large = court.act(Act::Type(vec![splice]));
    assert!(matches!(large, Err(ActError::TooLarge { .. })), "{large:?}");
    let to = Audience::Peer(stranger);
    let signal = Act::Signal { to, name: "x".into(), payload: Bytes::new() };
    let absent = ActError::Signal(GiveError::Absent { peer: stranger });
    assert_eq!(court.act(signal), Err(absent));
    let listing = Act::Change(Request::List { page: 0, size: 1 });
    assert_eq!(court.act(listing), Err(ActError::NoChange));
    let nobody = Act::Change(Request::HandOver(stranger));
    let why = ServiceError::NotMember { peer: stranger };
    assert_eq!(court.act(nobody), Err(ActError::Service(why)));
    let (app, _) = court.world.room_key();
    let elsewhere = (app, RoomName::new("elsewhere").unwrap());
    for act in [
        Act::Write(vec![title("x")]),
        Act::Type(Vec::new()),
        Act::Change(Request::Lock(true)),
        Act::Signal { to: Audience::All, name: "x".into(), payload: Bytes::new() },
    ] {
        let outcome = court.world.with_relay(|hub, now| hub.act(now, &elsewhere, act)).unwrap();
        let none = matches!(outcome, Err(ActError::NoRoom | ActError::Signal(GiveError::NoRoom)));
        assert!(none, "{outcome:?}");
    }
    court.at_rest(1);
}

#[test]
fn the_relay_needs_no_place_and_no_key_to_a_room_that_is_full_and_locked() {
    let mut court = Court::new(2, Network::LAN, 2, accepts);
    for request in [
        Request::SetCapacity(2),
        Request::Lock(true),
        Request::SetPassword(Some("secret".into())),
        Request::Put { key: "map".into(), value: Some("desert".into()) },
    ] {
        court.act(Act::Change(request)).unwrap();
    }
    let owner = court.world.peer(0).record().unwrap().owner;
    let other = [0, 1].map(|peer| court.id(peer)).into_iter().find(|peer| Some(*peer) != owner);
    court.act(Act::Change(Request::HandOver(other.unwrap()))).unwrap();
    court.world.run(SECOND);
    for peer in 0..2 {
        let record = court.world.peer(peer).record().unwrap();
        assert_eq!((record.capacity, record.locked, record.password), (2, true, true));
        assert_eq!(record.data["map"], "desert");
        assert_eq!(record.owner, other);
        assert_eq!(court.world.peer(peer).members().count(), 2, "nobody sees the relay");
    }
    let late = court.world.add_peer(PeerConfig::default());
    court.world.connect(late);
    court.world.run(SECOND);
    let refused = State::Closed(Reason::Refused(Refusal::Locked));
    assert_eq!(*court.world.peer(late).state(), refused);
    court.act(Act::Write(vec![title("inside all the same")])).unwrap();
    let call = Act::Signal { to: Audience::All, name: "hi".into(), payload: Bytes::new() };
    court.act(call).unwrap();
    court.world.take_events();
    court.world.run(SECOND);
    assert_eq!(court.root(0).title, "inside all the same");
    let heard = court.events(1).into_iter().filter(|event| match event {
        Event::Signal(signal) => signal.subject == Subject::Name("hi".into()),
        _ => false,
    });
    assert_eq!(heard.count(), 1);
    let kick = Request::Kick { peer: court.id(0), ban: Duration::from_secs(60) };
    court.world.take_relay_events();
    court.act(Act::Change(kick)).unwrap();
    court.world.run(SECOND);
    let put_out = matches!(
        court.world.peer(0).state(),
        State::Closed(Reason::Refused(Refusal::Kicked { .. }))
    );
    assert!(put_out, "{:?}", court.world.peer(0).state());
    let told = court.world.take_relay_events();
    let kicked = told.iter().any(|it| {
        matches!(it, HubEvent::Kicked { by, .. }
        if *by == parlor::Identity::from_seed([255; 32]).peer())
    });
    assert!(kicked, "{told:?}");
}

#[test]
fn a_plugin_acts_when_it_says_that_it_is_due_and_hears_what_is_not_done() {
    let mut court = Court::new(3, Network::LAN, 2, accepts);
    court.take_asked();
    court.order(Act::Write(vec![title("ordered")]));
    let gone = Path::root().property(4).join("gone");
    court.order(Act::Write(vec![put(gone.clone(), 1, Value::Null)]));
    court.world.run(SECOND);
    assert_eq!(
        (court.root(0).title.as_str(), court.root(1).title.as_str()),
        ("ordered", "ordered")
    );
    let room = court.world.room_key();
    let undone = HubEvent::Undone { room, why: ActError::NoModel { model: gone } };
    assert!(court.world.take_relay_events().contains(&undone), "the operator, too");
    assert_eq!(court.take_asked().told, [undone]);
    let late = court.world.add_peer(PeerConfig::default());
    court.world.connect(late);
    court.world.run(SECOND);
    let told = court.take_asked().told;
    let joined = |event: &HubEvent| matches!(event, HubEvent::Joined { .. });
    assert_eq!(told.iter().filter(|event| joined(event)).count(), 1, "{told:?}");
    court.at_rest(3);
}

#[test]
fn nothing_is_written_to_a_room_that_is_being_brought_back() {
    let mut court = Court::new(4, Network::LAN, 2, accepts);
    court.world.cut_history();
    court.world.run(SECOND);
    court.act(Act::Write(vec![title("before")])).unwrap();
    court.world.run(5 * SECOND);
    court.world.crash_relay();
    court.world.start_relay();
    court.set_rules((accepts, passes));
    court.take_asked();
    let room = court.world.room_key();
    let (mut waited, mut done) = (0, false);
    for _ in 0..20_000 {
        court.world.run(Duration::from_micros(500));
        let write = Act::Write(vec![title("after")]);
        match court.world.with_relay(|hub, now| hub.act(now, &room, write)).unwrap() {
            Err(ActError::Restoring) => waited += 1,
            Err(ActError::NoRoom) => {}
            Ok(()) => {
                done = true;
                break;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(done && waited > 0, "{waited}");
    let told = court.take_asked().told;
    assert!(told.contains(&HubEvent::Restored { room }), "{told:?}");
    court.calm();
    assert_eq!((court.root(0).title.as_str(), court.root(1).title.as_str()), ("after", "after"));
    court.at_rest(4);
}

#[test]
fn a_value_of_the_state_lane_stands_over_what_the_relay_writes_until_its_model_is_taken() {
    let mut court = Court::new(5, Network::LAN, 2, accepts);
    let figure = court.figure(0);
    let at = path(&figure);
    let pose = |court: &mut Court, x: f32| {
        let edit = |figure: &mut Figure| figure.pose = [x, 0.0, 0.0];
        court.world.edit(0, |store| store.update(&figure, edit)).unwrap()
    };
    let here = Value::Bytes([9.0_f32, 0.0, 0.0].iter().flat_map(|it| it.to_le_bytes()).collect());
    for step in 0..20_u8 {
        pose(&mut court, f32::from(step) / 10.0).unwrap();
        if step == 10 {
            court.act(Act::Write(vec![put(at.clone(), 9, here.clone())])).unwrap();
        }
        court.world.run(Duration::from_millis(50));
    }
    assert!(court.get(1, &figure).pose[0] < 2.0, "who moves it says where it is");
    let take = Intent::Claim { model: at.clone(), claim: Claim::Take(parlor::Terms::default()) };
    court.act(Act::Write(vec![take])).unwrap();
    court.act(Act::Write(vec![put(at.clone(), 9, here)])).unwrap();
    court.world.run(SECOND);
    for peer in 0..2 {
        assert_eq!(court.get(peer, &figure).pose, [9.0, 0.0, 0.0], "at {peer}");
    }
    assert!(pose(&mut court, 1.0).is_err());
    court.world.run(SECOND);
    assert_eq!(court.get(1, &figure).pose, [9.0, 0.0, 0.0]);
    court.at_rest(5);
}
