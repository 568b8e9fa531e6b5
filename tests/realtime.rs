//! Scenes bound to rooms, in the simulator. `PARLOR_FULL=1 cargo test --features portable --test realtime`
//! plays more seeds.
#![cfg(feature = "sim")]
#![expect(clippy::unwrap_used, reason = "a failing test is a panic")]

#[path = "realtime/moving.rs"]
mod moving;
#[path = "realtime/theatre.rs"]
mod theatre;

use std::time::Duration;

use parlor::proto::config::PeerConfig;
use parlor::proto::datastore::EditError;
use parlor::proto::event::Origin;
use parlor::proto::model::handle::{Handle, ModelRef};
use parlor::proto::model::path::Path;
use parlor::proto::ownership::Terms;
use parlor::realtime::scene::{Instantiate, InstantiateError, Realtime, Reference};
use parlor::realtime::transform::Transform;
use parlor::sim::network::Network;

use self::theatre::{Hall, Log, Scene, Theatre, Thing, build};

fn at(position: [f32; 3]) -> Instantiate<Thing> {
    let transform = Some(Transform { position, ..Transform::default() });
    Instantiate { transform, about: b"red".to_vec(), ..Instantiate::default() }
}

#[test]
fn a_view_is_built_by_everybody_from_one_change() {
    let mut theatre = Theatre::new(1, Network::LAN, 3);
    let view = theatre.instantiate(0, "ship", at([1.0, 2.0, 3.0])).unwrap();
    // At once here, in one step there: with prefab, place, owner and what else it was made with.
    assert_eq!(theatre.log(0), ["spawn ship red [1.0, 2.0, 3.0] Local"]);
    theatre.run(Duration::from_secs(1));
    for peer in [1, 2] {
        assert_eq!(theatre.log(peer), ["spawn ship red [1.0, 2.0, 3.0] Remote"]);
        assert!(theatre.has(peer, &view));
        let owner = theatre.store(peer).owner(&view);
        assert_eq!(owner, Some(theatre.world.peer(0).peer()));
    }
    assert_eq!(theatre.log(0).len(), 1, "nothing is built twice");
}

#[test]
fn everything_that_makes_a_view_is_in_one_change() {
    let mut theatre = Theatre::new(2, Network::LAN, 2);
    theatre.world.keep_history();
    theatre.run(Duration::from_secs(5));
    let before = theatre.changes_of(1, 0);
    theatre.instantiate(0, "ship", at([1.0, 2.0, 3.0])).unwrap();
    theatre.run(Duration::from_secs(2));
    assert_eq!(theatre.changes_of(1, 0) - before, 1);
}

#[test]
fn a_late_joiner_builds_what_stands_and_knows_where() {
    let mut theatre = Theatre::new(3, Network::LAN, 2);
    let ship = theatre.instantiate(0, "ship", at([1.0, 0.0, 0.0])).unwrap();
    let gone = theatre.instantiate(0, "ship", at([9.0, 0.0, 0.0])).unwrap();
    theatre.run(Duration::from_secs(1));
    theatre.destroy(0, &gone).unwrap();
    theatre.run(Duration::from_secs(1));
    assert_eq!(theatre.log(1).last().unwrap(), "despawn");
    let late = theatre.join(PeerConfig::default());
    theatre.run(Duration::from_secs(3));
    assert_eq!(theatre.log(late), ["spawn ship red [1.0, 0.0, 0.0] Remote"]);
    assert!(theatre.has(late, &ship));
}

#[test]
fn what_its_owner_leaves_behind_goes_with_it_unless_it_is_to_stay() {
    let mut theatre = Theatre::new(4, Network::LAN, 2);
    let hers = theatre.instantiate(0, "ship", at([0.0; 3])).unwrap();
    let lasting = Instantiate { terms: None, ..at([0.0; 3]) };
    let everybodys = theatre.instantiate(0, "ship", lasting).unwrap();
    theatre.run(Duration::from_secs(1));
    theatre.leave(0);
    theatre.run(Duration::from_secs(12));
    assert!(!theatre.has(1, &hers));
    assert!(theatre.has(1, &everybodys));
    assert_eq!(theatre.log(1).iter().filter(|line| *line == "despawn").count(), 1);
}

#[test]
fn an_unknown_prefab_is_told_and_appears_when_it_is_registered() {
    let mut theatre = Theatre::new(5, Network::LAN, 2);
    theatre.register(0, "balloon");
    let balloon = theatre.instantiate(0, "balloon", at([0.0, 5.0, 0.0])).unwrap();
    theatre.run(Duration::from_secs(1));
    assert_eq!(theatre.log(1), ["unknown balloon"]);
    assert_eq!(theatre.unknown(1), ["balloon"]);
    assert!(!theatre.has(1, &balloon));
    theatre.register(1, "balloon");
    theatre.appear(1);
    assert_eq!(theatre.log(1).last().unwrap(), "spawn balloon red [0.0, 5.0, 0.0] Remote");
    assert!(theatre.unknown(1).is_empty());
    // Nobody makes what he could not build.
    let error = theatre.instantiate(1, "dragon", at([0.0; 3])).unwrap_err();
    assert_eq!(error, InstantiateError::Unknown { prefab: "dragon".to_owned() });
    theatre.destroy(0, &balloon).unwrap();
    theatre.run(Duration::from_secs(1));
    assert_eq!(theatre.log(1).last().unwrap(), "despawn");
}

#[test]
fn what_is_destroyed_before_it_could_be_built_is_forgotten() {
    let mut theatre = Theatre::new(6, Network::LAN, 2);
    theatre.register(0, "balloon");
    let balloon = theatre.instantiate(0, "balloon", at([0.0; 3])).unwrap();
    theatre.run(Duration::from_secs(1));
    theatre.destroy(0, &balloon).unwrap();
    theatre.run(Duration::from_secs(1));
    theatre.register(1, "balloon");
    theatre.appear(1);
    assert_eq!(theatre.log(1), ["unknown balloon"]);
}

#[test]
fn only_its_owner_destroys_a_view() {
    let mut theatre = Theatre::new(7, Network::LAN, 2);
    let ship = theatre.instantiate(0, "ship", at([0.0; 3])).unwrap();
    theatre.run(Duration::from_secs(1));
    let by = theatre.world.peer(0).peer();
    let model = ship.path().unwrap().clone();
    assert_eq!(theatre.destroy(1, &ship), Err(EditError::Owned { model, by }));
    assert!(theatre.has(1, &ship));
    assert_eq!(theatre.destroy(0, &ship), Ok(true));
    assert_eq!(theatre.destroy(0, &ship), Ok(false), "twice is once");
}

#[test]
fn a_view_that_cannot_be_written_is_not_made() {
    let mut theatre = Theatre::new(8, Network::LAN, 2);
    for wrong in [f32::NAN, 1e30] {
        let error = theatre.instantiate(0, "ship", at([0.0, wrong, 0.0])).unwrap_err();
        assert!(matches!(error, InstantiateError::Edit(EditError::OffGrid { .. })), "{error}");
    }
    let about = vec![0; 1 << 20];
    let error = theatre.instantiate(0, "ship", Instantiate { about, ..at([0.0; 3]) }).unwrap_err();
    assert!(matches!(error, InstantiateError::Edit(EditError::TooLarge { .. })), "{error}");
    theatre.run(Duration::from_secs(1));
    for peer in [0, 1] {
        assert_eq!(theatre.count(peer), 0);
        assert!(theatre.log(peer).is_empty());
    }
}

#[test]
fn where_everything_is_anothers_nobody_else_makes_a_view() {
    let mut theatre = Theatre::new(8, Network::LAN, 2);
    let root = ModelRef::<Scene>::at(Path::root());
    theatre.world.edit(0, |store| store.claim(&root, Terms::default())).unwrap().unwrap();
    theatre.run(Duration::from_secs(1));
    let by = theatre.world.peer(0).peer();
    let error = theatre.instantiate(1, "ship", at([0.0; 3])).unwrap_err();
    let owned =
        matches!(&error, InstantiateError::Edit(EditError::Owned { by: of, .. }) if *of == by);
    assert!(owned, "{error}");
    assert_eq!(theatre.count(1), 0);
}

#[test]
fn views_come_whole_however_many_are_made_at_once() {
    for about in [10, 4_000, 20_000] {
        let mut theatre = Theatre::new(20, Network::LAN, 2);
        for number in 0..100_u8 {
            let about = vec![b'a'; about];
            let options = Instantiate { about, ..at([f32::from(number) + 1.0, 0.0, 0.0]) };
            theatre.instantiate(0, "ship", options).unwrap();
        }
        theatre.run(Duration::from_secs(30));
        assert_eq!(theatre.log(1).len(), 100);
        let misplaced = theatre.log(1).iter().filter(|line| line.contains("[0.0, 0.0, 0.0]"));
        assert_eq!(misplaced.count(), 0, "{about} bytes: built before they had a place");
        // Of more changes with claims than a relay answers in a second the rest is denied, and told.
        if about < 10_000 {
            assert_eq!(theatre.unowned(1), 0, "{about} bytes");
        }
    }
}

#[test]
fn an_edit_that_is_taken_back_takes_its_view_with_it() {
    let mut theatre = Theatre::new(21, Network::LAN, 2);
    let root = ModelRef::<Scene>::at(Path::root());
    theatre.world.cut(1);
    theatre.run(Duration::from_secs(20));
    theatre.world.edit(0, |store| store.claim(&root, Terms::default())).unwrap().unwrap();
    let lasting = Instantiate { terms: None, ..at([1.0; 3]) };
    let view = theatre.instantiate(1, "ship", lasting).unwrap();
    theatre.run(Duration::from_secs(2));
    theatre.world.mend(1);
    theatre.run(Duration::from_secs(30));
    assert!(!theatre.has(1, &view), "{:?}", theatre.log(1));
    assert_eq!(theatre.count(1), 0);
    assert_eq!(theatre.log(1).last().unwrap(), "despawn");
}

#[test]
fn an_object_that_is_bound_again_replaces_the_one_before() {
    let mut theatre = Theatre::new(22, Network::LAN, 1);
    theatre.bind(0, "door", Thing::default()).unwrap();
    theatre.bind(0, "door", Thing::default()).unwrap();
    theatre.run(Duration::from_secs(2));
    assert_eq!(theatre.log(0), ["unbound door", "bound door"]);
    theatre.bind(0, "door", Thing::default()).unwrap();
    assert_eq!(theatre.log(0), ["unbound door", "bound door", "unbound door", "bound door"]);
}

#[test]
fn who_has_not_bound_an_object_is_told_that_it_stands() {
    let mut theatre = Theatre::new(23, Network::LAN, 2);
    theatre.bind(0, "door", Thing::default()).unwrap();
    theatre.run(Duration::from_secs(2));
    assert_eq!(theatre.log(1), ["stands door"]);
    theatre.bind(1, "door", Thing::default()).unwrap();
    assert_eq!(theatre.log(1), ["stands door", "bound door"]);
}

#[test]
fn two_first_joiners_bind_an_object_of_the_scene_to_one_model() {
    for seed in 0..20 {
        let mut theatre = Theatre::new(seed, Network::MOBILE, 2);
        // Both at once: neither has heard of the other's.
        for peer in [0, 1] {
            let actor = Thing { name: format!("by {peer}"), ..Thing::default() };
            theatre.bind(peer, "door-7f3a", actor).unwrap();
        }
        theatre.run(Duration::from_secs(10));
        let names: Vec<String> = [0, 1].map(|peer| theatre.fixture(peer, "door-7f3a").name).into();
        assert_eq!(names[0], names[1], "seed {seed}");
        for peer in [0, 1] {
            assert_eq!(theatre.log(peer), ["bound door-7f3a"], "seed {seed}");
        }
        let late = theatre.join(PeerConfig::default());
        theatre.run(Duration::from_secs(10));
        theatre.bind(late, "door-7f3a", Thing::default()).unwrap();
        let log = theatre.log(late);
        assert_eq!(log, ["stands door-7f3a", "bound door-7f3a"], "seed {seed}: it stands already");
        assert_eq!(theatre.fixture(late, "door-7f3a").name, names[0], "seed {seed}");
    }
}

#[test]
fn a_reference_is_nothing_or_waits_or_leads_there() {
    let mut theatre = Theatre::new(9, Network::LAN, 2);
    theatre.register(0, "balloon");
    let ship = theatre.instantiate(0, "ship", at([0.0; 3])).unwrap();
    assert_eq!(theatre.resolve(0, &ModelRef::default()), Reference::Unassigned);
    let balloon = theatre.instantiate(0, "balloon", at([0.0; 3])).unwrap();
    theatre.world.edit(0, |store| store.update(&ship, |ship| ship.target = balloon.clone()));
    theatre.run(Duration::from_secs(1));
    let target = theatre.store(1).get(&ship).unwrap().target.clone();
    // Its model is there, and nothing stands for it yet.
    assert_eq!(theatre.resolve(1, &target), Reference::Unresolved);
    theatre.register(1, "balloon");
    theatre.appear(1);
    assert!(matches!(theatre.resolve(1, &target), Reference::Resolved(_)));
    theatre.destroy(0, &balloon).unwrap();
    theatre.run(Duration::from_secs(1));
    assert_eq!(theatre.resolve(1, &target), Reference::Unresolved);
}

#[test]
fn a_peer_that_comes_back_has_every_view_once() {
    for seed in 0..10 {
        let mut theatre = Theatre::new(seed, Network::LAN, 2);
        let first = theatre.instantiate(0, "ship", at([1.0, 0.0, 0.0])).unwrap();
        theatre.run(Duration::from_secs(1));
        theatre.world.cut(1);
        let second = theatre.instantiate(0, "ship", at([2.0, 0.0, 0.0])).unwrap();
        theatre.destroy(0, &first).unwrap();
        let apart = Instantiate { terms: None, ..at([3.0, 0.0, 0.0]) };
        let third = theatre.instantiate(1, "ship", apart).unwrap();
        theatre.run(Duration::from_secs(20));
        theatre.world.mend(1);
        theatre.run(Duration::from_secs(30));
        for peer in [0, 1] {
            assert!(!theatre.has(peer, &first), "seed {seed}, peer {peer}");
            assert!(theatre.has(peer, &second), "seed {seed}, peer {peer}");
            assert!(theatre.has(peer, &third), "seed {seed}, peer {peer}");
            let spawned = theatre.log(peer).iter().filter(|line| line.starts_with("spawn")).count();
            assert_eq!(spawned, 3, "seed {seed}, peer {peer}: {:?}", theatre.log(peer));
        }
        assert_eq!(theatre.world.peer(1).store().get(&third).unwrap().name, "");
    }
}

#[test]
fn a_view_says_who_made_it_here() {
    let mut theatre = Theatre::new(10, Network::LAN, 1);
    theatre.instantiate(0, "ship", at([0.0; 3])).unwrap();
    theatre.run(Duration::from_secs(1));
    assert!(theatre.log(0)[0].ends_with(&format!("{:?}", Origin::Local)));
}

#[test]
fn what_a_scene_is_in_takes_its_views_with_it() {
    let mut theatre = Theatre::new(27, Network::LAN, 1);
    let hall = theatre.world.edit(0, |store| {
        let halls = store.root::<Scene>().unwrap().halls.clone();
        halls.add(store, Hall::default()).unwrap()
    });
    let hall = hall.unwrap();
    let Hall { things, fixtures } = theatre.store(0).get(&hall).unwrap().clone();
    let (mut scene, mut log) = (Realtime::new(things, fixtures), Log::default());
    scene.register("ship", build);
    let view = theatre
        .world
        .edit(0, |store| scene.instantiate(store, &mut log, "ship", at([1.0; 3])).unwrap());
    theatre.world.run(Duration::from_secs(1));
    theatre.world.take_events();
    theatre.world.edit(0, |store| store.remove(&hall)).unwrap().unwrap();
    theatre.world.run(Duration::from_secs(1));
    for (peer, event) in theatre.world.take_events() {
        scene.handle(theatre.world.peer(peer).store(), &event, &mut log);
    }
    assert!(scene.object(&view.unwrap()).is_none());
    assert_eq!(log.0.last().unwrap(), "despawn");
}
