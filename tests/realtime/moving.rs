//! Transforms that one peer moves and others show.

use std::time::Duration;

use parlor::proto::config::PeerConfig;
use parlor::proto::datastore::EditError;
use parlor::proto::model::handle::{Handle, ModelRef};
use parlor::proto::model::property::vector::Quaternion;
use parlor::proto::ownership::Terms;
use parlor::realtime::scene::Instantiate;
use parlor::realtime::smooth::Smooth;
use parlor::realtime::timeline::Motion;
use parlor::realtime::timeline::config::TimelineConfig;
use parlor::realtime::transform::Transform;
use parlor::sim::network::Network;

use super::theatre::{Light, Theatre, Thing};

/// A picture.
const FRAME: Duration = Duration::from_millis(10);

fn ship(theatre: &mut Theatre, terms: Option<Terms>) -> ModelRef<Thing> {
    let options =
        Instantiate { transform: Some(Transform::default()), terms, ..Instantiate::default() };
    let ship = theatre.instantiate(0, "ship", options).unwrap();
    theatre.run(Duration::from_secs(1));
    ship
}

/// Moves a view evenly along x for so many pictures, from `x` at `speed`; every 50 ms is written.
/// Returns where another shows it in each.
fn fly(
    theatre: &mut Theatre,
    (mover, watcher): (usize, usize),
    view: &ModelRef<Thing>,
    (x, speed): (f32, f32),
    pictures: u16,
) -> Vec<f32> {
    let mut shown = Vec::new();
    for picture in 0..pictures {
        if picture % 5 == 0 {
            let at = x + speed * f32::from(picture) * 0.01;
            theatre.shift(mover, view, |transform| transform.position[0] = at).unwrap();
        }
        theatre.run(FRAME);
        let _ = theatre.show(mover, view);
        shown.extend(theatre.show(watcher, view).map(|placed| placed.transform.position[0]));
    }
    shown
}

/// The largest step from one picture to the next.
fn largest(shown: &[f32]) -> f32 {
    shown.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
}

#[test]
fn what_one_moves_others_see_moving_evenly() {
    // Where the network is away for a while it coasts, and is led back to where it was last known.
    let networks = [(Network::LAN, 0.06, 0.0, 0.7), (Network::MOBILE, 0.1, 0.03, 1.6)];
    for (network, most, least, late) in networks {
        let mut theatre = Theatre::new(11, network, 2);
        let ship = ship(&mut theatre, Some(Terms::default()));
        // 4 m/s: 0.04 m a picture, and 0.2 m each time that it is written.
        let shown = fly(&mut theatre, (0, 1), &ship, (0.0, 4.0), 400);
        // Its first movement is led to.
        let steady = &shown[150..];
        assert!(largest(steady) <= most, "{}", largest(steady));
        let back = steady.windows(2).map(|pair| pair[0] - pair[1]).fold(0.0, f32::max);
        assert!(back <= least + 0.001, "it goes back by {back}: {steady:?}");
        let behind = 4.0 * 4.0 - shown.last().unwrap();
        assert!((0.0..late).contains(&behind), "{behind} m behind");
    }
}

#[test]
fn what_this_peer_moves_shows_at_once() {
    let mut theatre = Theatre::new(12, Network::LAN, 2);
    let ship = ship(&mut theatre, Some(Terms::default()));
    for step in 1..20_u8 {
        theatre.shift(0, &ship, |it| it.position[1] = f32::from(step)).unwrap();
        let placed = theatre.show(0, &ship).unwrap();
        assert_eq!(
            (placed.transform.position[1], placed.motion),
            (f32::from(step), Motion::Resting)
        );
        theatre.run(FRAME);
    }
}

#[test]
fn only_who_may_write_it_moves_it() {
    let mut theatre = Theatre::new(13, Network::LAN, 2);
    let ship = ship(&mut theatre, Some(Terms::default()));
    let by = theatre.world.peer(0).peer();
    let error = theatre.shift(1, &ship, |it| it.position[0] = 5.0).unwrap_err();
    assert_eq!(error, EditError::Owned { model: ship.path().unwrap().clone(), by });
    assert_eq!(theatre.show(1, &ship).unwrap().transform.position, [0.0; 3]);
}

#[test]
fn what_is_still_sleeps_and_costs_nothing() {
    let mut theatre = Theatre::new(14, Network::LAN, 2);
    let ship = ship(&mut theatre, Some(Terms::default()));
    fly(&mut theatre, (0, 1), &ship, (0.0, 4.0), 100);
    assert!(!theatre.sleeps(1, &ship));
    theatre.run(Duration::from_secs(3));
    let before = theatre.said(0);
    let mut written = 0;
    for picture in 0..300_u16 {
        // A tremble of a tenth of the grid.
        let tremble = if picture % 2 == 0 { 0.0001 } else { 0.0 };
        let still = theatre.shift(0, &ship, |it| it.position[2] = tremble).unwrap();
        written += u32::from(still);
        theatre.run(FRAME);
        let _ = (theatre.show(0, &ship), theatre.show(1, &ship));
    }
    assert_eq!(written, 0);
    assert_eq!(theatre.said(0), before);
    assert!(theatre.sleeps(0, &ship) && theatre.sleeps(1, &ship));
}

#[test]
fn a_teleport_is_no_movement() {
    let mut theatre = Theatre::new(15, Network::LAN, 2);
    let ship = ship(&mut theatre, Some(Terms::default()));
    fly(&mut theatre, (0, 1), &ship, (0.0, 4.0), 200);
    theatre.teleport(0, &ship, |it| it.position[0] = 1_000.0).unwrap();
    let shown = fly(&mut theatre, (0, 1), &ship, (1_000.0, 4.0), 100);
    let between = shown.iter().filter(|x| (20.0..990.0).contains(*x)).count();
    assert_eq!(between, 0, "{shown:?}");
    assert!(*shown.last().unwrap() > 1_000.0);
}

#[test]
fn a_hand_over_is_no_jump() {
    for seed in 0..10 {
        let mut theatre = Theatre::new(seed, Network::LAN, 3);
        let ship = ship(&mut theatre, Some(Terms::default()));
        // 4 m/s; then peer 1 takes it where it sees it, and goes on as fast.
        let (mut all, first) = (vec![Vec::new(); 3], 200_u16);
        let mut taken = None;
        for picture in 0..500_u16 {
            if picture == first {
                let claimed =
                    theatre.world.edit(1, |store| store.claim(&ship, Terms::default())).unwrap();
                claimed.unwrap();
            }
            let mover = usize::from(picture >= first);
            let seen = theatre.show(1, &ship).unwrap().transform.position[0];
            let (x, since) = match mover {
                0 => (0.0, 0),
                _ => *taken.get_or_insert((seen, picture)),
            };
            let x = x + 0.04 * f32::from(picture - since);
            // Whose it is may not be known yet.
            theatre.shift(mover, &ship, |it| it.position[0] = x).ok();
            theatre.run(FRAME);
            for (peer, shown) in all.iter_mut().enumerate() {
                let x = theatre.show(peer, &ship).unwrap().transform.position[0];
                shown.push(x);
            }
        }
        for (peer, shown) in all.iter().enumerate() {
            let around = &shown[150..450];
            // 0.04 m a picture; more while what is behind is caught up with.
            assert!(largest(around) <= 0.1, "seed {seed}, peer {peer}: {}", largest(around));
        }
        let last: Vec<f32> = all.iter().map(|shown| *shown.last().unwrap()).collect();
        assert!((last[0] - last[1]).abs() < 1.0 && (last[2] - last[1]).abs() < 1.0, "{last:?}");
    }
}

#[test]
fn nobody_needs_to_own_it() {
    let mut theatre = Theatre::new(16, Network::LAN, 2);
    let ship = ship(&mut theatre, None);
    fly(&mut theatre, (0, 1), &ship, (0.0, 4.0), 100);
    let shown = fly(&mut theatre, (1, 0), &ship, (4.0, -4.0), 200);
    assert!((shown.last().unwrap() - -4.0).abs() < 1.0, "{shown:?}");
    assert!(largest(&shown) <= 0.28, "{}", largest(&shown));
}

#[test]
fn a_late_joiner_shows_what_rests_where_it_is() {
    let mut theatre = Theatre::new(17, Network::LAN, 2);
    let ship = ship(&mut theatre, Some(Terms::default()));
    fly(&mut theatre, (0, 1), &ship, (0.0, 4.0), 100);
    theatre.run(Duration::from_secs(4));
    let late = theatre.join(PeerConfig::default());
    theatre.run(Duration::from_secs(2));
    let placed = theatre.show(late, &ship).unwrap();
    assert!((placed.transform.position[0] - 3.8).abs() < 0.002, "{placed:?}");
    assert_eq!(placed.transform.scale, [1.0; 3]);
}

/// What one peer writes to a thing's dials every 50 ms, as another shows it every 10 ms.
fn dial(
    theatre: &mut Theatre,
    (writer, watcher): (usize, usize),
    (thing, smooth): (&ModelRef<Thing>, &mut Smooth<Thing>),
    steps: u16,
    edit: impl Fn(&mut Thing, f32),
) -> Vec<Thing> {
    let mut shown = Vec::new();
    for step in 0..steps {
        let edit = |thing: &mut Thing| edit(thing, f32::from(step));
        theatre.world.edit(writer, |store| store.update(thing, edit).unwrap()).unwrap();
        for _ in 0..5 {
            theatre.run(FRAME);
            let now = theatre.world.room_time(watcher).unwrap();
            shown.extend(smooth.show(theatre.store(watcher), now));
        }
    }
    shown
}

#[test]
fn any_number_shows_smoothly_whoever_writes_it() {
    let mut theatre = Theatre::new(18, Network::LAN, 3);
    let thing = ship(&mut theatre, None);
    let mut smooth = Smooth::new(thing.clone(), TimelineConfig::default());
    for writer in [0, 1] {
        let shown = dial(&mut theatre, (writer, 2), (&thing, &mut smooth), 100, |thing, step| {
            thing.level = step;
            thing.heading = (step * 7.0) % 360.0;
            thing.lit = step > 50.0;
            thing.gear = step / 10.0;
        });
        let shown = &shown[100..];
        let steps = |of: fn(&Thing) -> f32| {
            let pairs = shown.windows(2);
            pairs.map(move |pair| (of(&pair[1]) - of(&pair[0])).abs()).fold(0.0, f32::max)
        };
        // A fifth of what is written at once.
        assert!(steps(|thing| thing.level) < 0.3, "{}", steps(|thing| thing.level));
        // Round the shorter way: 7 degrees, not 353.
        let around = shown.windows(2).map(|pair| (pair[1].heading - pair[0].heading).abs());
        let around = around.map(|way| way.min(360.0 - way)).fold(0.0, f32::max);
        assert!(around < 2.1, "{around}");
        // What has nothing between is late as the rest is.
        let on = shown.iter().find(|thing| thing.lit).unwrap();
        assert!((50.0..52.0).contains(&on.level), "{}", on.level);
        // What is not asked to be smooth is not.
        assert!(steps(|thing| thing.gear) > 0.09);
    }
}

#[test]
fn what_this_peer_dials_shows_at_once() {
    let mut theatre = Theatre::new(19, Network::LAN, 2);
    let thing = ship(&mut theatre, None);
    let mut smooth = Smooth::new(thing.clone(), TimelineConfig::default());
    let shown = dial(&mut theatre, (0, 0), (&thing, &mut smooth), 20, |it, step| it.level = step);
    let levels: Vec<f32> = shown.iter().step_by(5).map(|thing| thing.level).collect();
    assert_eq!(levels, (0..20_u8).map(f32::from).collect::<Vec<_>>());
}

/// Shows a view for so long, and how far that is in the end from what the store says.
fn off(theatre: &mut Theatre, peer: usize, view: &ModelRef<Thing>, seconds: u16) -> f32 {
    for _ in 0..seconds * 100 {
        theatre.run(FRAME);
        theatre.show(peer, view);
    }
    let shown = theatre.show(peer, view).unwrap().transform.position[0];
    let child = theatre.store(peer).get(view).unwrap().transform.as_ref();
    (shown - theatre.store(peer).get(&child).unwrap().position[0]).abs()
}

#[test]
fn what_rests_shows_where_it_is_however_it_came_there() {
    for seed in 0..30 {
        let network = [Network::LAN, Network::MOBILE][usize::from(seed % 2 == 1)];
        let mut theatre = Theatre::new(seed, network, 2);
        let ship = ship(&mut theatre, None);
        // The way into the room may have been a bad one.
        let is_here = (0..1_000).any(|_| {
            theatre.run(FRAME);
            theatre.has(1, &ship)
        });
        assert!(is_here, "seed {seed}");
        // Faster than it is told, ending at any time within a tick.
        for step in 0..100 + u16::try_from(seed).unwrap() {
            theatre.shift(0, &ship, |it| it.position[0] = f32::from(step) * 0.04).unwrap();
            theatre.run(FRAME);
            theatre.show(1, &ship);
        }
        let late = theatre.join(PeerConfig::default());
        theatre.run(Duration::from_millis(500));
        assert!(off(&mut theatre, 1, &ship, 3) < 0.002, "seed {seed}");
        if theatre.has(late, &ship) {
            assert!(off(&mut theatre, late, &ship, 5) < 0.002, "seed {seed}, late");
        }
        // Another places it once.
        theatre.shift(1, &ship, |it| it.position[0] = -50.0).unwrap();
        for peer in [0, 1] {
            assert!(off(&mut theatre, peer, &ship, 3) < 0.002, "seed {seed}, placed, {peer}");
        }
    }
}

#[test]
fn what_moves_by_less_than_a_step_at_a_time_moves() {
    let mut theatre = Theatre::new(24, Network::LAN, 2);
    let ship = ship(&mut theatre, Some(Terms::default()));
    for picture in 0..1_000_u16 {
        let half = f32::from(picture) * 0.000_5;
        theatre
            .shift(0, &ship, |it| {
                it.position[0] += 0.000_4;
                it.rotation = Quaternion([0.0, half.sin(), 0.0, half.cos()]);
            })
            .unwrap();
        theatre.run(FRAME);
    }
    theatre.run(Duration::from_secs(1));
    assert!(off(&mut theatre, 1, &ship, 1) < 0.002);
    let placed = theatre.show(1, &ship).unwrap().transform;
    assert!((placed.position[0] - 0.4).abs() < 0.002, "{placed:?}");
    assert!((placed.rotation.0[1] - 0.4995_f32.sin()).abs() < 0.002, "{placed:?}");
}

#[test]
fn who_writes_one_part_does_not_own_the_others() {
    let mut theatre = Theatre::new(25, Network::LAN, 2);
    let ship = ship(&mut theatre, None);
    theatre.shift(1, &ship, |it| it.scale = [2.0; 3]).unwrap();
    theatre.run(Duration::from_secs(1));
    let shown = fly(&mut theatre, (0, 1), &ship, (0.0, 4.0), 200);
    assert!(largest(&shown[100..]) <= 0.06, "{}", largest(&shown[100..]));
    assert_eq!(theatre.show(1, &ship).unwrap().transform.scale, [2.0; 3]);
    assert_eq!(theatre.show(0, &ship).unwrap().transform.scale, [2.0; 3]);
}

#[test]
fn what_is_nobodys_shows_where_another_has_moved_it_though_parts_are_ones_own() {
    let mut theatre = Theatre::new(41, Network::LAN, 2);
    let view = ship(&mut theatre, None);
    let turned = Quaternion([0.0, 1.0, 0.0, 0.0]);
    theatre.shift(1, &view, |it| (it.position, it.rotation) = ([1.0, 0.0, 0.0], turned)).unwrap();
    theatre.run(Duration::from_secs(1));
    assert!(theatre.show(1, &view).unwrap().own);
    let shown = fly(&mut theatre, (0, 1), &view, (2.0, 1.0), 200);
    let placed = theatre.show(1, &view).unwrap();
    assert!(!placed.own, "the rotation is, and the place is another's");
    assert_eq!(placed.transform.rotation, turned);
    assert!(largest(&shown[50..]) < 0.05, "{shown:?}");
    assert!((3.5..4.0).contains(shown.last().unwrap()), "{shown:?}");
}

#[test]
fn between_two_choices_there_is_none() {
    let mut theatre = Theatre::new(26, Network::LAN, 2);
    let thing = ship(&mut theatre, None);
    let mut smooth = Smooth::new(thing.clone(), TimelineConfig::default());
    let shown = dial(&mut theatre, (0, 1), (&thing, &mut smooth), 100, |thing, step| {
        thing.light = if step % 4.0 < 2.0 { Light::Red } else { Light::Green };
    });
    for light in [Light::Red, Light::Green] {
        assert!(shown.iter().any(|thing| thing.light == light), "{light:?}");
    }
    assert!(shown.iter().all(|thing| thing.light != Light::Amber));
}
