//! Three apps of Bevy in one process, each with a room of its own on a relay: one lets a ship fly round,
//! the second follows it and takes it over, the third comes late. It measures, checks itself and needs
//! nothing: `cargo run -p bevy_parlor --example orbit`.

mod fleet;
mod lobby;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use bevy_ecs::prelude::{Commands, Entity, ResMut};
use bevy_ecs::system::RunSystemOnce;
use bevy_parlor::{Parlor, View, to_room};
use parlor::realtime::scene::Instantiate;
use parlor::{State, Terms};

use self::fleet::{Fleet, Outcome, Sight};
use self::lobby::{Engines, Health, Lobby, RADIUS, TURN, Thing, angle, at};

/// How far two may be apart that say the same, in units: places lie on a grid of a thousandth.
const TOLERANCE: f32 = 0.005;
/// How far from the orbit something may be shown that is between two places that were said.
const STRAY: f32 = 0.25;

fn main() -> ExitCode {
    let outcome = fly();
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    // Where not even this can be said, the code says it.
    writeln!(io::stderr(), "orbit: {error}").ok();
    ExitCode::FAILURE
}

fn fly() -> Outcome<()> {
    let mut fleet = Fleet::new()?;
    let (first, second) = (fleet.join()?, fleet.join()?);
    let ready = |fleet: &mut Fleet, app| *fleet.room(app).state() == State::Ready;
    let joined = fleet
        .until("two apps are in the room", |fleet| ready(fleet, first) && ready(fleet, second))?;
    say("join", joined, "two apps, each in a room of its own on one relay")?;
    launch(&mut fleet, (first, second))?;
    follow(&mut fleet, (first, second))?;
    take_over(&mut fleet, (first, second))?;
    let third = fleet.join()?;
    let seen = fleet.until("the late app sees the ship", |fleet| fleet.sight(third).is_some())?;
    say("late", seen, "a third app joins, and has the ship")?;
    rest(&mut fleet, second)?;
    land(&mut fleet, second)
}

/// The first puts a ship into the scene, and the second sees it.
fn launch(fleet: &mut Fleet, (first, second): (usize, usize)) -> Outcome<()> {
    let ship = act(fleet, first, |parlor, commands| {
        let transform = Some(to_room(&at(0.0)));
        parlor.instantiate(commands, "ship", Instantiate { transform, ..Instantiate::default() })
    })??;
    set_health(fleet, first, ship, 100)?;
    let seen = fleet.until("the ship comes to the second app, with 100 points", |fleet| {
        fleet.sight(second).is_some_and(|sight| sight.health.points == 100)
    })?;
    say("spawn", seen, "the ship is there too, with its health")
}

/// The second follows what the first moves.
fn follow(fleet: &mut Fleet, (first, second): (usize, usize)) -> Outcome<()> {
    let begins = fleet.until("the ship moves at the second app", |fleet| {
        fleet.sight(second).is_some_and(|sight| angle(&sight.transform) > 0.05)
    })?;
    say("move", begins, "it flies round, and is seen to")?;
    let span = Duration::from_millis(1_500);
    let (mut lags, mut stray) = (Vec::new(), 0.0_f32);
    fleet.watch(span, |fleet| {
        if let (Some(flown), Some(seen)) = (fleet.sight(first), fleet.sight(second)) {
            lags.push(apart(&flown, &seen).1 / TURN);
            stray = stray.max((seen.transform.translation.length() - RADIUS).abs());
        }
    });
    if stray > STRAY {
        return Err(format!("the ship is shown {stray:.3} units beside its orbit").into());
    }
    lags.sort_by(f32::total_cmp);
    let lag = lags.get(lags.len() / 2).ok_or("nothing was seen")? * 1_000.0;
    say("follow", span, &format!("{lag:.0} ms behind, {stray:.3} units beside the orbit at most"))
}

/// The second claims the ship and flies it on from where it saw it.
fn take_over(fleet: &mut Fleet, (first, second): (usize, usize)) -> Outcome<()> {
    let ship = fleet.ship(second).ok_or("the ship is gone")?;
    let view =
        fleet.world(second).get::<View<Thing>>(ship).ok_or("it has no view")?.model().clone();
    let before = fleet.sight(second).ok_or("the ship is gone")?;
    let (mut last, mut jump) = (before, 0.0_f32);
    let mut look = |fleet: &mut Fleet| {
        let Some(sight) = fleet.sight(second) else { return false };
        jump = jump.max(apart(&last, &sight).0);
        last = sight;
        sight.owner.mine
    };
    act(fleet, second, move |parlor, _| parlor.claim(&view, Terms::default()))??;
    set_health(fleet, second, ship, 70)?;
    let taken = fleet.until("both say that the ship is the second app's", |fleet| {
        let told =
            fleet.sight(first).is_some_and(|one| !one.owner.mine && one.owner.peer.is_some());
        look(fleet) && told
    })?;
    say("claim", taken, "the second owns it, and the first says so")?;
    let span = Duration::from_millis(500);
    fleet.watch(span, |fleet| {
        look(fleet);
    });
    let moved = apart(&before, &last).1.abs();
    if moved < 0.1 {
        return Err(format!("who took it over moved it by {moved:.3} radians only").into());
    }
    say("fly on", span, &format!("{moved:.2} radians further, {jump:.2} units a frame at most"))?;
    let hurt = fleet.until("the first app has its health", |fleet| {
        fleet.sight(first).is_some_and(|sight| sight.health.points == 70)
    })?;
    say("health", hurt, "what the new owner wrote is at the old one")
}

/// The ship comes to rest, and all three say where.
fn rest(fleet: &mut Fleet, pilot: usize) -> Outcome<()> {
    fleet.world(pilot).insert_resource(Engines(false));
    let agree = |fleet: &mut Fleet| {
        let own = fleet.sight(pilot)?;
        let seen: Vec<Sight> = (0..3).map(|app| fleet.sight(app)).collect::<Option<_>>()?;
        Some(seen.iter().map(|sight| apart(&own, sight).0).fold(0.0, f32::max))
    };
    let rested = fleet.until("all three show the ship at one place", |fleet| {
        agree(fleet).is_some_and(|far| far < TOLERANCE)
    })?;
    let far = agree(fleet).ok_or("the ship is gone")?;
    say("rest", rested, &format!("all three show it at one place, within {far:.4} units"))?;
    let healths: Vec<Option<i64>> =
        (0..3).map(|app| fleet.sight(app).map(|sight| sight.health.points)).collect();
    if healths != [Some(70); 3] {
        return Err(format!("the ship has 70 points, and the apps say {healths:?}").into());
    }
    let owners: Vec<bool> =
        (0..3).filter_map(|app| fleet.sight(app)).map(|sight| sight.owner.mine).collect();
    if owners != [false, true, false] {
        return Err(format!("the second app owns the ship, and they say {owners:?}").into());
    }
    Ok(())
}

/// The second despawns the entity, and so the ship is gone.
fn land(fleet: &mut Fleet, pilot: usize) -> Outcome<()> {
    let ship = fleet.ship(pilot).ok_or("the ship is gone")?;
    fleet.world(pilot).despawn(ship);
    let gone = fleet.until("the ship is gone from all three", |fleet| {
        (0..3).all(|app| fleet.ship(app).is_none())
    })?;
    say("despawn", gone, "gone from all three")
}

/// How far apart two apps show a ship: in units, and round the orbit.
fn apart(one: &Sight, other: &Sight) -> (f32, f32) {
    let far = one.transform.translation.distance(other.transform.translation);
    let behind = angle(&one.transform) - angle(&other.transform);
    (far, behind.sin().atan2(behind.cos()))
}

fn set_health(fleet: &mut Fleet, app: usize, ship: Entity, points: i64) -> Outcome<()> {
    let mut health = fleet.world(app).get_mut::<Health>(ship).ok_or("the ship has no health")?;
    health.points = points;
    Ok(())
}

/// Lets an app do something, as a system of its does.
fn act<R: 'static>(
    fleet: &mut Fleet,
    app: usize,
    act: impl FnOnce(&mut Parlor<Lobby>, &mut Commands<'_, '_>) -> R + Send + Sync + 'static,
) -> Outcome<R> {
    let mut act = Some(act);
    let system = move |mut parlor: ResMut<'_, Parlor<Lobby>>, mut commands: Commands<'_, '_>| {
        act.take().map(|act| act(&mut parlor, &mut commands))
    };
    let done = fleet.world(app).run_system_once(system).map_err(|error| error.to_string())?;
    done.ok_or_else(|| "the system did not run".into())
}

fn say(what: &str, took: Duration, how: &str) -> Outcome<()> {
    writeln!(io::stdout(), "{what:<8} {:>6} ms  {how}", took.as_millis())?;
    Ok(())
}
