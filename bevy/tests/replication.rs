//! Apps that share a scene, over real sockets or alone.
#![expect(clippy::unwrap_used, reason = "a failing test is a panic")]

#[path = "replication/house.rs"]
mod house;

use bevy_app::Update;
use bevy_ecs::prelude::{Changed, MessageReader, Query, ResMut, Resource, With};
use bevy_parlor::{RoomEvent, View};
use bevy_transform::components::Transform;
use parlor::realtime::scene::{Instantiate, InstantiateError, Reference};
use parlor::{EditError, Event, ModelRef, Origin, Terms};

use self::house::{Health, House, Hull, Thing, act_in, app, at};

/// As near as a grid of a thousandth lets two be.
fn near(one: &Transform, other: &Transform) -> bool {
    one.translation.abs_diff_eq(other.translation, 0.002)
        && one.rotation.angle_between(other.rotation) < 0.01
}

#[test]
fn an_entity_of_a_prefab_comes_to_everybody_and_follows_who_moves_it() {
    let mut house = House::of(2);
    let mine =
        house.act(0, |parlor, commands| parlor.instantiate(commands, "ship", at(1.0))).unwrap();
    assert_eq!(house.world(0).get::<Hull>(mine).unwrap().0, b"red");
    assert!(house.owner(0, mine).mine, "at once");
    let theirs = house.only(1);
    assert_eq!(house.world(1).get::<Hull>(theirs).unwrap().0, b"red");
    let (sent, shown) = (*house.transform(0, mine), *house.transform(1, theirs));
    assert!(near(&sent, &shown), "{sent:?} {shown:?}");
    let me = house.room(0).peer();
    let owner = house.owner(1, theirs);
    assert_eq!((owner.peer, owner.mine, owner.may_write()), (Some(me), false, false));
    for _ in 0..40 {
        house.transform(0, mine).translation.x += 0.05;
        house.transform(0, mine).rotate_y(0.02);
        house.frames(1);
    }
    house.until("where it was moved", |house| {
        let (sent, shown) = (*house.transform(0, mine), *house.transform(1, theirs));
        near(&sent, &shown)
    });
    assert!((house.transform(0, mine).translation.x - 3.0).abs() < 0.001, "nobody moved it back");
    let late = house.join();
    let seen = house.only(late);
    house.until("where it rests", |house| {
        let (sent, shown) = (*house.transform(0, mine), *house.transform(late, seen));
        near(&sent, &shown)
    });
}

#[test]
fn what_is_still_costs_nothing_and_what_is_shown_is_not_said_again() {
    let mut house = House::of(2);
    let ship =
        house.act(0, |parlor, commands| parlor.instantiate(commands, "ship", at(1.0))).unwrap();
    let free = Instantiate { terms: None, ..at(2.0) };
    house.act(0, |parlor, commands| parlor.instantiate(commands, "ship", free)).unwrap();
    house.until("both", |house| house.entities(1).len() == 2);
    // Below the grid, and for as long as it is: it stays as the app has it.
    house.transform(0, ship).translation.x += 0.0001;
    house.frames(20);
    let (moves, before) = (house.transform(0, ship).translation.x, house.said(1));
    assert!((moves - 1.0001).abs() < 0.00001, "{moves}");
    house.transform(0, ship).translation.x += 1.0;
    house.world(0).get_mut::<Health>(ship).unwrap().points = 7;
    house.until("followed", |house| {
        house.entities(1).into_iter().any(|entity| {
            (house.transform(1, entity).translation.x - 2.0001).abs() < 0.002
                && house.get::<Health>(1, entity).points == 7
        })
    });
    house.frames(30);
    assert_eq!(house.said(1), before, "who looks on says nothing");
    let before = house.said(0).0;
    house.frames(20);
    assert_eq!(house.said(0).0, before, "and who owns it is done");
}

#[test]
fn what_another_owns_is_put_back_and_not_written() {
    let mut house = House::of(2);
    let mine =
        house.act(0, |parlor, commands| parlor.instantiate(commands, "ship", at(1.0))).unwrap();
    let theirs = house.only(1);
    let before = house.said(1);
    house.transform(1, theirs).translation.x = 50.0;
    house.world(1).get_mut::<Health>(theirs).unwrap().points = -1;
    house.frames(30);
    assert!((house.transform(1, theirs).translation.x - 1.0).abs() < 0.002, "put back");
    assert_eq!(house.get::<Health>(1, theirs).points, 0, "put back");
    assert!((house.transform(0, mine).translation.x - 1.0).abs() < 0.002);
    assert_eq!(house.said(1), before);
}

#[test]
fn who_takes_it_over_moves_it_on() {
    let mut house = House::of(2);
    let mine =
        house.act(0, |parlor, commands| parlor.instantiate(commands, "ship", at(1.0))).unwrap();
    let theirs = house.only(1);
    let view = house.get::<View<Thing>>(1, theirs).model().clone();
    house.act(1, move |parlor, _| parlor.claim(&view, Terms::default())).unwrap();
    house.transform(1, theirs).translation.x = 5.0;
    house.world(1).get_mut::<Health>(theirs).unwrap().points = 9;
    house.until("another's", |house| !house.owner(0, mine).mine && house.owner(1, theirs).mine);
    house.until("followed", |house| (house.transform(0, mine).translation.x - 5.0).abs() < 0.002);
    house.until("healed", |house| house.get::<Health>(0, mine).points == 9);
    let view = house.get::<View<Thing>>(1, theirs).model().clone();
    house.act(1, move |parlor, _| parlor.release(&view)).unwrap();
    house.until("nobody's", |house| house.owner(0, mine).peer.is_none());
    // What is nobody's is written by anybody.
    house.transform(0, mine).translation.x = -4.0;
    house.until("moved", |house| (house.transform(1, theirs).translation.x + 4.0).abs() < 0.002);
}

#[test]
fn a_component_follows_both_ways_property_by_property() {
    let mut house = House::of(2);
    let free = Instantiate { terms: None, ..at(1.0) };
    let one = house.act(0, |parlor, commands| parlor.instantiate(commands, "ship", free)).unwrap();
    let two = house.only(1);
    // Handles lead somewhere, also in a component that an app makes.
    let wounds = house.get::<Health>(1, two).wounds;
    house.world(0).entity_mut(one).insert(Health { points: 100, ..Health::default() });
    house.until("there", |house| house.get::<Health>(1, two).points == 100);
    assert_eq!(house.get::<Health>(0, one).wounds, wounds);
    // Both at once, each another property: neither takes back the other's.
    house.world(0).get_mut::<Health>(one).unwrap().points = 70;
    house.world(1).get_mut::<Health>(two).unwrap().shield = 0.5;
    for (app, entity) in [(0, one), (1, two)] {
        house.until("both", |house| {
            let health = house.get::<Health>(app, entity);
            health.points == 70 && health.shield.to_bits() == 0.5_f64.to_bits()
        });
    }
    let before = [house.said(0), house.said(1)];
    house.frames(30);
    assert_eq!([house.said(0), house.said(1)], before, "no echo");
}

#[test]
fn what_is_to_be_smooth_shows_between_what_was_said() {
    let mut house = House::of(2);
    let mine =
        house.act(0, |parlor, commands| parlor.instantiate(commands, "ship", at(1.0))).unwrap();
    let theirs = house.only(1);
    let mut shown = Vec::new();
    for step in 0..100_u8 {
        // Whole numbers are said.
        house.world(0).get_mut::<Health>(mine).unwrap().heat = f32::from(step / 10);
        house.frames(1);
        shown.push(house.get::<Health>(1, theirs).heat);
    }
    assert!(shown.iter().any(|heat| (heat - heat.round()).abs() > 0.1), "{shown:?}");
    house.until("as hot", |house| (house.get::<Health>(1, theirs).heat - 9.0).abs() < 0.01);
    let before = house.said(1);
    house.frames(30);
    assert_eq!(house.said(1), before, "no echo");
}

#[test]
fn despawning_what_it_owns_despawns_it_for_everybody() {
    let mut house = House::of(2);
    let mine =
        house.act(0, |parlor, commands| parlor.instantiate(commands, "ship", at(1.0))).unwrap();
    let theirs = house.only(1);
    // Who does not own it does not see it any more, and that is all.
    assert!(house.world(1).despawn(theirs));
    house.frames(30);
    assert!(house.entities(1).is_empty());
    assert_eq!(house.entities(0), [mine]);
    let late = house.join();
    house.only(late);
    assert!(house.world(0).despawn(mine));
    house.until("gone", |house| house.entities(late).is_empty());
    let left = house.room(1).root().clone();
    assert!(bevy_parlor::Scene::actors(&left).is_empty(house.room(1)));
}

#[test]
fn an_unknown_prefab_appears_when_it_is_registered() {
    let mut house = House::of(2);
    house.act(0, |parlor, _| parlor.register("balloon", |_, _| {}));
    house.act(0, |parlor, commands| parlor.instantiate(commands, "balloon", at(1.0))).unwrap();
    house.until("told", |house| {
        house.act(1, |parlor, _| parlor.unknown().any(|(_, prefab)| prefab == "balloon"))
    });
    assert!(house.entities(1).is_empty());
    let error = house.act(1, |parlor, commands| parlor.instantiate(commands, "balloon", at(2.0)));
    assert_eq!(error, Err(InstantiateError::Unknown { prefab: "balloon".to_owned() }));
    house.act(1, |parlor, _| parlor.register("balloon", |_, _| {}));
    house.frames(1);
    assert_eq!(house.entities(1).len(), 1);
}

#[test]
fn objects_of_the_scene_stay_where_they_are_until_somebody_moves_them() {
    let mut house = House::of(2);
    let doors = [0, 1].map(|app| {
        let door = house.world(app).spawn(Transform::from_xyz(8.0, 0.0, 0.0)).id();
        house
            .act(app, move |parlor, commands| {
                parlor.bind(commands, ("door", door), Thing::default())
            })
            .unwrap();
        door
    });
    for (app, door) in [0, 1].into_iter().zip(doors) {
        house.until("bound", |house| house.entities(app) == [door]);
    }
    house.frames(20);
    assert!((house.transform(1, doors[1]).translation.x - 8.0).abs() < 0.001);
    house.transform(0, doors[0]).translation.x = 9.0;
    house.until("opened", |house| (house.transform(1, doors[1]).translation.x - 9.0).abs() < 0.002);
}

#[derive(Resource, Default)]
struct Heard(Vec<RoomEvent>, usize);

#[test]
fn an_app_without_a_relay_has_it_all_and_hears_what_happens() {
    let mut app = app(&[]);
    app.init_resource::<Heard>();
    let hear = |mut heard: ResMut<'_, Heard>, mut events: MessageReader<'_, '_, RoomEvent>| {
        heard.0.extend(events.read().cloned());
    };
    let count =
        |mut heard: ResMut<'_, Heard>,
         changed: Query<'_, '_, (), (With<View<Thing>>, Changed<Transform>)>| {
            heard.1 += changed.iter().count();
        };
    app.add_systems(Update, (hear, count));
    let world = app.world_mut();
    let ship = act_in(world, |parlor, commands| parlor.instantiate(commands, "ship", at(1.0)));
    let ship = ship.unwrap();
    let view = world.get::<View<Thing>>(ship).unwrap().model().clone();
    app.update();
    app.update();
    let heard = app.world().resource::<Heard>();
    let added = |event: &RoomEvent| matches!(event.0, Event::Added { origin: Origin::Local, .. });
    assert_eq!(heard.0.iter().filter(|event| added(event)).count(), 1);
    assert_eq!(heard.1, 1, "it is new, and then still");
    let (reference, nowhere) = (view.clone(), ModelRef::default());
    act_in(app.world_mut(), move |parlor, _| {
        assert_eq!(parlor.resolve(&reference), Reference::Resolved(&ship));
        assert_eq!(parlor.resolve(&nowhere), Reference::Unassigned);
        assert_eq!(parlor.entity(&reference), Some(ship));
    });
    let gone = act_in(app.world_mut(), move |parlor, commands| {
        let once = parlor.destroy(commands, &view);
        (once, parlor.destroy(commands, &view))
    });
    assert_eq!(gone, (Ok::<_, EditError>(true), Ok(false)), "twice is once");
    assert!(app.world().get_entity(ship).is_err());
}
