//! What becomes of owners when others want what they have: another session of their own, who claims
//! what it is in, and everybody at once.

use parlor::proto::config::PeerConfig;
use parlor::proto::event::State;
use parlor::proto::ownership::Session;
use parlor::proto::time::Time;
use parlor::sim::network::Network;
use parlor::sim::ownership::{audit, owner_at_relay};
use parlor::sim::playground::{Figure, Thing};
use parlor::sim::{World, oracle};
use parlor::{EditError, Mode, ModelRef, Ownership, PeerId, Reason, Refusal, Terms};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::failures::{LEASE, MARGIN, SOON, all_see, entitle, millis, secs, title, watched};
use super::{claim, figure, id, is_confirmed, name, rename, world};

/// A world of two, and twice a third peer: two processes with one key, of which the first is there and
/// has a model.
fn twins(seed: u64, mode: Mode) -> (World, ModelRef<Figure>, [usize; 2]) {
    let mut world = world(seed, Network::LAN, 2);
    let sessions =
        [1, 2].map(|session| world.add_session(PeerConfig::default(), [77; 32], Session(session)));
    world.connect(sessions[0]);
    world.run(secs(2));
    let model = figure(&mut world, 0);
    claim(&mut world, sessions[0], &model, mode).unwrap();
    rename(&mut world, sessions[0], &model, "of the first").unwrap();
    assert!(watched(&mut world, secs(5), |world| is_confirmed(world, sessions[0], &model)));
    (world, model, sessions)
}

#[test]
fn what_one_session_of_a_peer_owns_is_not_the_other_sessions() {
    for mode in [Mode::Instant, Mode::Exclusive, Mode::Fixed] {
        let (mut world, model, [first, second]) = twins(9, mode);
        rename(&mut world, first, &model, "sent before").unwrap();
        world.flush(first);
        world.run(SOON);
        world.connect(second);
        let begun = world.now();
        let replaced = State::Closed(Reason::Refused(Refusal::Replaced));
        assert!(watched(&mut world, secs(2), |world| *world.peer(first).state() == replaced));
        world.run(SOON);
        // It is nobody's at once, and the other session must ask for it.
        assert_eq!(owner_at_relay(&world, &model), None, "{mode:?}");
        assert_eq!(world.ownership(second, &model), Ownership::Free, "{mode:?}");
        claim(&mut world, second, &model, mode).unwrap();
        rename(&mut world, second, &model, "of the second").unwrap();
        assert!(watched(&mut world, LEASE + secs(1), |world| is_confirmed(world, second, &model)));
        if mode == Mode::Exclusive {
            assert!(world.now() - begun >= LEASE - MARGIN, "the first could still believe");
        }
        world.run(LEASE);
        assert!(!is_confirmed(&world, first, &model), "{:?}", world.ownership(first, &model));
        let remote = Ownership::Remote { peer: id(&world, second), confirmed: true };
        for peer in 0..2 {
            assert_eq!(world.ownership(peer, &model), remote, "{mode:?}");
            assert_eq!(name(&world, peer, &model), "of the second", "{mode:?}");
        }
        let hash = |peer: usize| world.peer(peer).store().state_hash();
        assert_eq!((hash(0), hash(1)), (hash(second), hash(second)), "{mode:?}");
        audit(&world).unwrap();
    }
}

#[test]
fn what_a_replaced_session_wrote_to_what_the_next_one_owns_does_not_come_in_with_it() {
    let (mut world, model, [first, second]) = twins(10, Mode::Instant);
    world.cut(first);
    rename(&mut world, first, &model, "of the first, late").unwrap();
    entitle(&mut world, first, "written apart");
    world.connect(second);
    world.run(secs(1));
    claim(&mut world, second, &model, Mode::Instant).unwrap();
    rename(&mut world, second, &model, "of the second").unwrap();
    world.run(secs(1));
    assert!(is_confirmed(&world, second, &model));
    // A third peer takes it over; then the first session comes back in place of the second.
    claim(&mut world, 1, &model, Mode::Instant).unwrap();
    rename(&mut world, 1, &model, "of 1").unwrap();
    world.run(secs(1));
    world.mend(first);
    world.run(secs(20));
    assert_eq!(*world.peer(second).state(), State::Closed(Reason::Refused(Refusal::Replaced)));
    let owner = Some(id(&world, 1));
    assert_eq!(owner_at_relay(&world, &model), owner);
    for peer in [0, 1, first] {
        assert_eq!(name(&world, peer, &model), "of 1", "peer {peer}");
        assert_eq!(title(&world, peer), "written apart", "peer {peer}");
    }
    assert!(world.sightings().contains("edit refused"), "the first was not told");
    let hash = |peer: usize| world.peer(peer).store().state_hash();
    assert_eq!((hash(0), hash(1)), (hash(first), hash(first)));
    audit(&world).unwrap();
}

/// Adds a thing to a figure, and lets everybody have it.
fn thing(world: &mut World, model: &ModelRef<Figure>) -> ModelRef<Thing> {
    let thing = world.edit(0, |store| {
        let items = store.get(model).unwrap().items.clone();
        items.add(store, Thing { count: 1 }).unwrap()
    });
    world.run(secs(1));
    thing.unwrap()
}

fn count(
    world: &mut World,
    peer: usize,
    thing: &ModelRef<Thing>,
    count: u64,
) -> Result<(), EditError> {
    world.edit(peer, |store| store.update(thing, |thing| thing.count = count)).unwrap()
}

#[test]
fn who_owns_a_child_has_it_again_when_the_parent_that_another_claimed_is_let_go() {
    let mut world = world(11, Network::LAN, 3);
    let parent = figure(&mut world, 0);
    let child = thing(&mut world, &parent);
    let counted = |world: &World, peer: usize| world.peer(peer).store().get(&child).unwrap().count;
    let terms = Terms::default();
    world.edit(1, |store| store.claim(&child, terms)).unwrap().unwrap();
    world.run(secs(1));
    let Ownership::Confirmed { token: before, .. } = world.ownership(1, &child) else { panic!() };
    claim(&mut world, 2, &parent, Mode::Instant).unwrap();
    world.flush(2);
    // It is granted, and the owner of the child does not know of it yet.
    let granted = |world: &World| owner_at_relay(world, &parent) == Some(id(world, 2));
    assert!(world.run_until(millis(2), granted));
    count(&mut world, 1, &child, 10).unwrap();
    world.flush(1);
    world.run(secs(1));
    assert!(world.sightings().contains("edit refused"), "it was not told");
    assert_eq!((counted(&world, 0), counted(&world, 1)), (1, 1));
    let refused = count(&mut world, 1, &child, 11);
    assert!(matches!(refused, Err(EditError::Owned { by, .. }) if by == id(&world, 2)));
    // Its own grant sleeps, and it does not believe in it.
    let fenced = Ownership::Remote { peer: id(&world, 2), confirmed: true };
    assert_eq!((world.ownership(0, &child), world.ownership(1, &child)), (fenced, fenced));
    count(&mut world, 2, &child, 20).unwrap();
    world.run(secs(1));
    world.edit(2, |store| store.release(&parent)).unwrap().unwrap();
    world.run(secs(1));
    // What slept wakes, under another token.
    let Ownership::Confirmed { token: after, .. } = world.ownership(1, &child) else { panic!() };
    assert!(after > before);
    assert_eq!(world.ownership(2, &parent), Ownership::Free);
    let remote = Ownership::Remote { peer: id(&world, 1), confirmed: true };
    assert_eq!((world.ownership(0, &child), world.ownership(2, &child)), (remote, remote));
    count(&mut world, 1, &child, 30).unwrap();
    world.run(secs(1));
    oracle::at_rest(&mut world).unwrap();
    assert_eq!((counted(&world, 0), counted(&world, 1), counted(&world, 2)), (30, 30, 30));
    audit(&world).unwrap();
}

#[test]
fn a_storm_of_takeovers_keeps_the_cooldown_and_ends_with_one_owner() {
    for seed in 0..10 {
        let mut rng = ChaCha12Rng::seed_from_u64(seed ^ 0x0057_0124);
        let mut world = world(seed, Network::LAN, 6);
        let model = figure(&mut world, 0);
        let mut taken: Vec<(Time, Option<PeerId>)> = vec![(world.now(), None)];
        for _ in 0..400 {
            let peer = usize::try_from(rng.next_u32() % 6).unwrap();
            // Some know already that they would be too early.
            if claim(&mut world, peer, &model, Mode::Instant).is_ok() {
                drop(rename(&mut world, peer, &model, &format!("of {peer}")));
                world.flush(peer);
            }
            world.run_until(millis(u64::from(rng.next_u32() % 20)), |world| {
                let owner = owner_at_relay(world, &model);
                if owner != taken[taken.len() - 1].1 {
                    taken.push((world.now(), owner));
                }
                false
            });
        }
        let often = taken.len();
        assert!(often > 10, "seed {seed}: {often} takeovers are no storm");
        // The first was no takeover.
        for pair in taken[1..].windows(2) {
            let (before, after) = (pair[0].0, pair[1].0);
            let first = pair[0] == taken[1];
            assert!(first || after - before >= millis(100), "seed {seed}: {before:?} {after:?}");
        }
        assert!(world.sightings().contains("claim denied"), "seed {seed}");
        oracle::at_rest(&mut world).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        let owner = (0..6).find(|peer| Some(id(&world, *peer)) == owner_at_relay(&world, &model));
        let owner = owner.unwrap();
        all_see(&mut world, &model, Some(owner), &format!("of {owner}"));
        audit(&world).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    }
}

#[test]
fn what_is_given_up_before_it_was_granted_is_nobodys_belief_when_the_grant_comes() {
    let give = |world: &mut World, model: &ModelRef<Figure>, to: PeerId| {
        world.edit(0, |store| store.transfer(model, to)).unwrap().unwrap();
    };
    let release = |world: &mut World, model: &ModelRef<Figure>, _: PeerId| {
        world.edit(0, |store| store.release(model)).unwrap().unwrap();
    };
    for asked_again in [false, true] {
        for give_up in [give, release] {
            let mut world = world(12, Network::LAN, 3);
            let model = figure(&mut world, 0);
            claim(&mut world, 0, &model, Mode::Exclusive).unwrap();
            if asked_again {
                // It is asked twice: once on a link that ends before the answer, and once anew.
                world.flush(0);
                world.run_until(millis(2), |world| owner_at_relay(world, &model).is_some());
                world.cut(0);
                world.mend(0);
                assert!(world.run_until(secs(5), |world| world.is_there(0)));
            } else {
                world.edit(0, |store| store.update(&model, |figure| figure.hits += 1));
            }
            let to = id(&world, 1);
            give_up(&mut world, &model, to);
            drop(claim(&mut world, 2, &model, Mode::Exclusive));
            let settled = |world: &World| (1..3).any(|peer| is_confirmed(world, peer, &model));
            watched(&mut world, secs(8), settled);
            assert!(!is_confirmed(&world, 0, &model), "{:?}", world.ownership(0, &model));
            oracle::at_rest(&mut world).unwrap();
            audit(&world).unwrap();
        }
    }
}

#[test]
fn who_asks_anew_for_what_it_gave_up_believes_in_the_answer_to_that_alone() {
    let mut owners = [0; 2];
    let mut world = world(13, Network::MOBILE, 2);
    let model = figure(&mut world, 0);
    world.run(secs(2));
    for _ in 0..300 {
        claim(&mut world, 0, &model, Mode::Exclusive).unwrap();
        world.flush(0);
        world.run(millis(10));
        world.edit(0, |store| store.release(&model)).unwrap().unwrap();
        world.flush(0);
        drop(claim(&mut world, 1, &model, Mode::Exclusive));
        world.flush(1);
        world.run(millis(10));
        claim(&mut world, 0, &model, Mode::Exclusive).unwrap();
        world.flush(0);
        // Two that believe are found on the way.
        let owner = |world: &World| (0..2).find(|peer| is_confirmed(world, *peer, &model));
        assert!(watched(&mut world, secs(10), |world| owner(world).is_some()));
        watched(&mut world, secs(1), |_| false);
        owners[owner(&world).unwrap()] += 1;
        for peer in [0, 1] {
            drop(world.edit(peer, |store| store.release(&model)));
        }
        let free = watched(&mut world, secs(8), |world| owner_at_relay(world, &model).is_none());
        assert!(free);
        world.run(secs(1));
    }
    assert!(owners.iter().all(|times| *times > 0), "{owners:?}");
    oracle::at_rest(&mut world).unwrap();
    audit(&world).unwrap();
}

#[test]
fn who_gives_a_model_to_itself_keeps_it() {
    let mut world = world(14, Network::LAN, 2);
    let model = figure(&mut world, 0);
    claim(&mut world, 0, &model, Mode::Exclusive).unwrap();
    assert!(watched(&mut world, secs(2), |world| is_confirmed(world, 0, &model)));
    let me = id(&world, 0);
    world.edit(0, |store| store.transfer(&model, me)).unwrap().unwrap();
    assert!(is_confirmed(&world, 0, &model));
    assert!(world.edit(1, |store| store.transfer(&model, me)).unwrap().is_err());
    world.run(secs(2));
    assert!(is_confirmed(&world, 0, &model));
}
