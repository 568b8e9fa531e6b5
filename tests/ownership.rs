//! Who may write what, in rooms on a simulated network.
#![cfg(feature = "sim")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test is a panic")]

#[path = "ownership/confirmed.rs"]
mod confirmed;
#[path = "ownership/craft.rs"]
mod craft;
#[path = "ownership/failures.rs"]
mod failures;
#[path = "ownership/false_relay.rs"]
mod false_relay;
#[path = "ownership/lies.rs"]
mod lies;
#[path = "ownership/moved.rs"]
mod moved;
#[path = "ownership/raw.rs"]
mod raw;
#[path = "ownership/rivals.rs"]
mod rivals;
#[path = "ownership/stage.rs"]
mod stage;

use std::collections::BTreeSet;
use std::env;
use std::time::Duration;

use parlor::proto::config::PeerConfig;
use parlor::sim::network::Network;
use parlor::sim::ownership::{Move, Watch, audit};
use parlor::sim::playground::{Figure, Playground};
use parlor::sim::{World, oracle};
use parlor::{ClaimError, Denial, EditError, Mode, Model, ModelRef, Ownership, PeerId, Terms};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

/// A world in which `count` peers are in the room.
fn world(seed: u64, network: Network, count: usize) -> World {
    let mut world = World::new(seed, network, Playground::shape);
    for _ in 0..count {
        let peer = world.add_peer(PeerConfig::default());
        world.connect(peer);
    }
    world.run(Duration::from_secs(2));
    world
}

/// Adds a figure and lets everybody have it.
fn figure(world: &mut World, peer: usize) -> ModelRef<Figure> {
    let figure = world.edit(peer, |store| {
        let players = store.root::<Playground>().unwrap().players.clone();
        players.add(store, Figure { name: "one".into(), ..Figure::default() }).unwrap()
    });
    world.run(Duration::from_secs(1));
    figure.unwrap()
}

fn claim(
    world: &mut World,
    peer: usize,
    model: &ModelRef<Figure>,
    mode: Mode,
) -> Result<(), ClaimError> {
    let terms = Terms { mode, ..Terms::default() };
    world.edit(peer, |store| store.claim(model, terms)).unwrap()
}

fn rename(
    world: &mut World,
    peer: usize,
    model: &ModelRef<Figure>,
    name: &str,
) -> Result<(), EditError> {
    world.edit(peer, |store| store.update(model, |figure| figure.name = name.into())).unwrap()
}

fn name(world: &World, peer: usize, model: &ModelRef<Figure>) -> String {
    world.peer(peer).store().get(model).unwrap().name.clone()
}

fn id(world: &World, peer: usize) -> PeerId {
    world.peer(peer).peer()
}

fn is_confirmed(world: &World, peer: usize, model: &ModelRef<Figure>) -> bool {
    matches!(world.ownership(peer, model), Ownership::Confirmed { .. })
}

#[test]
fn who_claims_first_owns_and_everybody_knows() {
    let mut world = world(1, Network::LAN, 3);
    let model = figure(&mut world, 0);
    claim(&mut world, 1, &model, Mode::Instant).unwrap();
    assert_eq!(world.ownership(1, &model), Ownership::Claimed);
    world.run(Duration::from_secs(1));
    assert!(is_confirmed(&world, 1, &model), "{:?}", world.ownership(1, &model));
    for peer in [0, 2] {
        let remote = Ownership::Remote { peer: id(&world, 1), confirmed: true };
        assert_eq!(world.ownership(peer, &model), remote);
        let refused = rename(&mut world, peer, &model, "mine");
        assert!(matches!(refused, Err(EditError::Owned { by, .. }) if by == id(&world, 1)));
    }
    rename(&mut world, 1, &model, "two").unwrap();
    world.run(Duration::from_secs(1));
    assert_eq!(name(&world, 2, &model), "two");
    oracle::at_rest(&mut world).unwrap();
}

#[test]
fn of_two_that_claim_at_once_one_gets_it_and_the_other_is_told() {
    for seed in 0..50 {
        let mut world = world(seed, Network::LAN, 3);
        let model = figure(&mut world, 0);
        for peer in [1, 2] {
            claim(&mut world, peer, &model, Mode::Instant).unwrap();
            rename(&mut world, peer, &model, &format!("of {peer}")).unwrap();
            world.flush(peer);
        }
        world.run(Duration::from_secs(1));
        let winners: Vec<usize> =
            (0..3).filter(|peer| is_confirmed(&world, *peer, &model)).collect();
        assert_eq!(winners.len(), 1, "seed {seed}");
        for peer in 0..3 {
            assert_eq!(name(&world, peer, &model), format!("of {}", winners[0]), "seed {seed}");
        }
        assert!(world.sightings().contains("claim denied"), "seed {seed}");
        oracle::at_rest(&mut world).unwrap();
    }
}

#[test]
fn a_claim_that_is_written_after_another_was_granted_takes_nothing_from_it() {
    for seed in 0..50 {
        let mut world = world(seed, Network::LAN, 2);
        let slow = world.add_peer(PeerConfig { frame_rate: 2, ..PeerConfig::default() });
        world.connect(slow);
        world.run(Duration::from_secs(2));
        let model = figure(&mut world, 0);
        rename(&mut world, slow, &model, "before").unwrap();
        world.run(Duration::from_millis(100));
        claim(&mut world, slow, &model, Mode::Instant).unwrap();
        rename(&mut world, slow, &model, "slow").unwrap();
        claim(&mut world, 1, &model, Mode::Instant).unwrap();
        rename(&mut world, 1, &model, "quick").unwrap();
        world.flush(1);
        world.run(Duration::from_secs(2));
        assert!(is_confirmed(&world, 1, &model), "seed {seed}: {:?}", world.ownership(1, &model));
        assert!(world.sightings().contains("claim denied"), "seed {seed}");
        for peer in 0..3 {
            assert_eq!(name(&world, peer, &model), "quick", "seed {seed}");
        }
        oracle::at_rest(&mut world).unwrap();
    }
}

#[test]
fn what_was_written_before_a_model_was_taken_over_is_taken_back() {
    for seed in 0..50 {
        let mut world = world(seed, Network::LAN, 3);
        let model = figure(&mut world, 0);
        claim(&mut world, 1, &model, Mode::Instant).unwrap();
        world.run(Duration::from_secs(1));
        claim(&mut world, 2, &model, Mode::Instant).unwrap();
        world.flush(2);
        // On their way at once: the old owner does not know yet.
        for n in 0..10 {
            world.run(Duration::from_micros(300));
            let written = rename(&mut world, 1, &model, &format!("late {n}"));
            world.edit(1, |store| {
                store.update_root(|root: &mut Playground| root.title = format!("title {n}"))
            });
            world.flush(1);
            if written.is_err() {
                break;
            }
        }
        world.run(Duration::from_secs(2));
        assert!(is_confirmed(&world, 2, &model), "seed {seed}");
        oracle::at_rest(&mut world).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        let title = world.peer(0).store().root::<Playground>().unwrap().title.clone();
        assert!(title.starts_with("title"), "seed {seed}: other edits of the loser stay");
    }
}

#[test]
fn a_protected_model_is_let_go_before_another_has_it() {
    let mut world = world(3, Network::LAN, 2);
    let model = figure(&mut world, 0);
    let terms = Terms { prevent_takeover: true, ..Terms::default() };
    world.edit(0, |store| store.claim(&model, terms)).unwrap().unwrap();
    world.run(Duration::from_secs(1));
    let denied = claim(&mut world, 1, &model, Mode::Instant);
    assert_eq!(denied, Err(ClaimError::Denied(Denial::Protected { by: id(&world, 0) })));
    world.edit(0, |store| store.release(&model)).unwrap().unwrap();
    world.run(Duration::from_secs(1));
    assert_eq!(world.ownership(0, &model), Ownership::Free);
    claim(&mut world, 1, &model, Mode::Instant).unwrap();
    world.run(Duration::from_secs(1));
    assert!(is_confirmed(&world, 1, &model));
    oracle::at_rest(&mut world).unwrap();
}

#[test]
fn an_owner_gives_its_model_to_another() {
    let mut world = world(4, Network::LAN, 3);
    let model = figure(&mut world, 0);
    claim(&mut world, 0, &model, Mode::Instant).unwrap();
    world.run(Duration::from_secs(1));
    let to = id(&world, 2);
    assert!(world.edit(1, |store| store.transfer(&model, to)).unwrap().is_err());
    world.edit(0, |store| store.transfer(&model, to)).unwrap().unwrap();
    world.run(Duration::from_secs(1));
    assert!(is_confirmed(&world, 2, &model));
    let remote = Ownership::Remote { peer: to, confirmed: true };
    assert_eq!(world.ownership(0, &model), remote);
    oracle::at_rest(&mut world).unwrap();
}

#[test]
fn an_exclusive_model_is_handed_over_when_its_owner_has_let_go() {
    let mut world = world(5, Network::LAN, 2);
    let model = figure(&mut world, 0);
    claim(&mut world, 0, &model, Mode::Exclusive).unwrap();
    world.run(Duration::from_secs(4));
    assert!(is_confirmed(&world, 0, &model), "{:?}", world.ownership(0, &model));
    rename(&mut world, 0, &model, "of 0").unwrap();
    claim(&mut world, 1, &model, Mode::Exclusive).unwrap();
    world.run_until(Duration::from_secs(2), |world| {
        let both = (0..2).all(|peer| is_confirmed(world, peer, &model));
        assert!(!both);
        is_confirmed(world, 1, &model)
    });
    assert!(is_confirmed(&world, 1, &model), "{:?}", world.ownership(1, &model));
    world.run(Duration::from_secs(1));
    assert_eq!(name(&world, 1, &model), "of 0");
    oracle::at_rest(&mut world).unwrap();
}

#[test]
fn what_an_owner_had_is_gone_with_it() {
    let mut world = world(6, Network::LAN, 3);
    let players = world.peer(0).store().root::<Playground>().unwrap().players.clone();
    let terms = Terms { destroy_with_owner: true, ..Terms::default() };
    for _ in 0..100 {
        world
            .edit(0, |store| {
                let model = players.add(store, Figure::default()).unwrap();
                store.claim(&model, terms).unwrap();
            })
            .unwrap();
    }
    world.flush(0);
    world.run(Duration::from_secs(2));
    assert_eq!(players.len(world.peer(1).store()), 100);
    world.sleep(0);
    world.run(Duration::from_secs(4));
    assert_eq!(players.len(world.peer(1).store()), 100);
    world.run(Duration::from_millis(1_300));
    assert_eq!(players.len(world.peer(1).store()), 0);
    assert_eq!(players.len(world.peer(2).store()), 0);
    oracle::at_rest(&mut world).unwrap();
}

#[test]
fn a_removed_model_takes_its_claim_along_and_no_other_edit() {
    let mut world = world(7, Network::LAN, 2);
    let (one, other) = (figure(&mut world, 0), figure(&mut world, 0));
    claim(&mut world, 1, &one, Mode::Instant).unwrap();
    rename(&mut world, 1, &other, "first").unwrap();
    world.edit(0, |store| store.remove(&one)).unwrap().unwrap();
    world.flush(0);
    world.run_until(Duration::from_millis(40), |world| world.peer(1).store().get(&one).is_none());
    rename(&mut world, 1, &other, "second").unwrap();
    world.run(Duration::from_secs(1));
    assert_eq!(name(&world, 0, &other), "second");
    oracle::at_rest(&mut world).unwrap();
}

/// Lets a seed's moves happen and checks everything.
fn play(seed: u64) -> BTreeSet<&'static str> {
    let mut rng = ChaCha12Rng::seed_from_u64(seed ^ 0x000e_1337);
    let network = [Network::LOCKSTEP, Network::LAN, Network::LOSSY, Network::MOBILE]
        [usize::try_from(seed % 4).unwrap()];
    let mut world = World::new(seed, network, Playground::shape);
    // With relays that forget every other seed.
    let crashes = seed % 8 >= 4;
    for number in 0..3 + usize::try_from(rng.next_u32() % 2).unwrap() {
        let frame_rate = [20, 5, 60][number % 3];
        let peer = world.add_peer(PeerConfig { frame_rate, ..PeerConfig::default() });
        world.set_rate(peer, [0, 10_000, -10_000, 3_000][number % 4]);
        world.connect(peer);
    }
    let mut watch = Watch::default();
    for number in 0..60 + rng.next_u32() % 60 {
        let happens = Move::draw(&mut rng, crashes);
        happens.apply(&mut world);
        let held = oracle::always(&world)
            .and_then(|()| watch.look(&world))
            .and_then(|()| if crashes { Ok(()) } else { audit(&world) });
        if let Err(why) = held {
            panic!("seed {seed}, move {number} ({happens:?}): {why}");
        }
        // At times much passes, so that graces and leases end.
        if rng.next_u32() % 24 == 0 {
            let until = world.now() + Duration::from_secs(8);
            while world.now() < until {
                world.run(Duration::from_millis(250));
                if let Err(why) = watch.look(&world) {
                    panic!("seed {seed}, behind move {number}: {why}");
                }
            }
        }
    }
    // Leases, graces and what waits for them end first.
    oracle::heal(&mut world);
    world.run(Duration::from_secs(15));
    if let Err(why) = oracle::at_rest(&mut world) {
        panic!("seed {seed}, at rest: {why}");
    }
    world.sightings().clone()
}

#[test]
fn whatever_happens_there_is_one_owner_whose_writes_count() {
    let mut seen = BTreeSet::new();
    let seeds = seeds(200, 2_000);
    for &seed in &seeds {
        seen.extend(play(seed));
    }
    if seeds.len() > 1 {
        let must = ["claimed", "owned", "claim denied", "edit refused", "relay crashed"];
        let never: Vec<_> = must.iter().filter(|what| !seen.contains(*what)).collect();
        assert!(never.is_empty(), "never happened in {} seeds: {never:?}", seeds.len());
    }
}

fn seeds(small: u64, large: u64) -> Vec<u64> {
    match env::var("SIM_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..if env::var_os("PARLOR_FULL").is_some() { large } else { small }).collect(),
    }
}

/// Seeds that failed once, and what they found.
#[test]
fn seeds_that_failed_once_stay() {
    for line in include_str!("ownership/seeds.txt").lines() {
        if let Some(seed) = line.split_whitespace().next() {
            play(seed.parse().unwrap());
        }
    }
}

/// The relay is cut off for half a minute while three peers edit what is owned and what is not, on
/// both sides.
fn part(seed: u64) {
    let mut rng = ChaCha12Rng::seed_from_u64(seed ^ 0x00c0_ffee);
    let network =
        [Network::LAN, Network::LOSSY, Network::MOBILE][usize::try_from(seed % 3).unwrap()];
    let mut world = world(seed, Network::LAN, 3);
    let contested = figure(&mut world, 0);
    let free = figure(&mut world, 1);
    let own: Vec<ModelRef<Figure>> = (0..3).map(|peer| figure(&mut world, peer)).collect();
    for (peer, model) in own.iter().enumerate() {
        claim(&mut world, peer, model, Mode::Instant).unwrap();
    }
    let confirmed = world.run_until(Duration::from_secs(30), |world| {
        (0..3).all(|peer| is_confirmed(world, peer, &own[peer]))
    });
    let states: Vec<_> = (0..3).map(|peer| world.ownership(peer, &own[peer])).collect();
    assert!(confirmed, "seed {seed}: {states:?}");
    world.set_network(network);
    // Cut off for longer than the grace: what the one has is nobody's meanwhile.
    let away = usize::try_from(rng.next_u32() % 3).unwrap();
    world.cut(away);
    world.run(Duration::from_millis(u64::from(rng.next_u32() % 2_000)));
    let added = |world: &mut World, peer: usize| {
        world.edit(peer, |store| {
            let players = store.root::<Playground>().unwrap().players.clone();
            players.add(store, Figure { name: format!("by {peer}"), ..Figure::default() }).unwrap();
            store.update_root(|root: &mut Playground| root.votes += 1).unwrap();
        });
    };
    for (peer, model) in own.iter().enumerate() {
        // Both sides claim one model, and write to it; one side only where it can.
        if peer == away || peer == (away + 1) % 3 {
            claim(&mut world, peer, &contested, Mode::Instant).unwrap();
            rename(&mut world, peer, &contested, &format!("side of {peer}")).unwrap();
        }
        rename(&mut world, peer, model, &format!("still {peer}")).unwrap();
        for _ in 0..4 {
            added(&mut world, peer);
            world.run(Duration::from_millis(u64::from(rng.next_u32() % 1_000)));
        }
    }
    rename(&mut world, away, &free, "written apart").unwrap();
    world.run(Duration::from_secs(30));
    world.mend(away);
    oracle::at_rest(&mut world).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    // One order: the side that the relay heard first has it, and the other was told.
    let online = (away + 1) % 3;
    assert_eq!(name(&world, 0, &contested), format!("side of {online}"), "seed {seed}");
    assert!(world.sightings().contains("edit refused"), "seed {seed}: the loser was not told");
    assert!(world.sightings().contains("claim denied"), "seed {seed}: the loser was not told");
    // Nobody else's change is lost, and nothing of the loser's that was its own to write.
    let store = world.peer(0).store();
    let root = store.root::<Playground>().unwrap();
    assert_eq!(root.votes.get(), 12, "seed {seed}");
    for peer in 0..3 {
        let by = format!("by {peer}");
        let count = root.players.iter(store).filter(|(_, figure)| figure.name == by).count();
        assert_eq!(count, 4, "seed {seed}, of peer {peer}");
    }
    for peer in (0..3).filter(|peer| *peer != away) {
        assert_eq!(name(&world, away, &own[peer]), format!("still {peer}"), "seed {seed}");
    }
    assert_eq!(name(&world, online, &free), "written apart", "seed {seed}");
    audit(&world).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
}

#[test]
fn what_was_owned_on_both_sides_of_a_cut_has_one_order_afterwards() {
    let seeds = match env::var("SIM_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => seeds(30, 1_000),
    };
    seeds.into_iter().for_each(part);
}
