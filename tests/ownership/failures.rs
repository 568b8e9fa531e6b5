//! What becomes of owners when something fails: each failure by itself, and what everybody has, is
//! told and keeps afterwards.

use std::time::Duration;

use parlor::proto::config::PeerConfig;
use parlor::proto::event::State;
use parlor::proto::ownership::Fence;
use parlor::sim::network::{Network, Way};
use parlor::sim::ownership::{Watch, audit, owner_at_relay};
use parlor::sim::playground::{Figure, Playground};
use parlor::sim::{World, oracle};
use parlor::{ClaimError, Denial, EditError, Mode, Model, ModelRef, Ownership, Reason, Terms};

use super::{claim, figure, id, is_confirmed, name, rename, world};

/// The lease of a relay, and how much earlier it is over at the owner.
pub(crate) const LEASE: Duration = Duration::from_secs(3);
pub(crate) const MARGIN: Duration = Duration::from_millis(200);
/// How long an owner may be away.
const GRACE: Duration = Duration::from_secs(5);
/// How long a frame may be on its way, and what waits for the next network frame.
pub(crate) const SOON: Duration = Duration::from_millis(300);

pub(crate) fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub(crate) fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Runs until `done`, at most `span`, and looks at every step whether two believe that they own what
/// only one may. Returns whether it was done.
pub(crate) fn watched(
    world: &mut World,
    span: Duration,
    mut done: impl FnMut(&World) -> bool,
) -> bool {
    world.run_until(span, |world| {
        Watch::default().look(world).unwrap();
        done(world)
    })
}

/// A world of three in which the first has a model.
fn owned(seed: u64, mode: Mode) -> (World, ModelRef<Figure>) {
    let mut world = world(seed, Network::LAN, 3);
    let model = figure(&mut world, 0);
    claim(&mut world, 0, &model, mode).unwrap();
    rename(&mut world, 0, &model, "of 0").unwrap();
    assert!(watched(&mut world, secs(5), |world| is_confirmed(world, 0, &model)));
    world.run(secs(1));
    (world, model)
}

fn token(world: &World, peer: usize, model: &ModelRef<Figure>) -> Fence {
    match world.ownership(peer, model) {
        Ownership::Confirmed { token, .. } | Ownership::Stale { token } => token,
        other => panic!("peer {peer} has {other:?}"),
    }
}

fn is_stale(world: &World, peer: usize, model: &ModelRef<Figure>) -> bool {
    matches!(world.ownership(peer, model), Ownership::Stale { .. })
}

pub(crate) fn entitle(world: &mut World, peer: usize, title: &str) {
    world.edit(peer, |store| store.update_root(|root: &mut Playground| root.title = title.into()));
}

pub(crate) fn title(world: &World, peer: usize) -> String {
    world.peer(peer).store().root::<Playground>().unwrap().title.clone()
}

/// At rest everybody has a model with one name, and sees one owner, which the relay sees too.
pub(crate) fn all_see(
    world: &mut World,
    model: &ModelRef<Figure>,
    owner: Option<usize>,
    called: &str,
) {
    oracle::at_rest(world).unwrap();
    let owner_id = owner.map(|owner| id(world, owner));
    assert_eq!(owner_at_relay(world, model), owner_id);
    for peer in 0..world.len() {
        let seen = world.ownership(peer, model);
        match owner {
            None => assert_eq!(seen, Ownership::Free, "peer {peer}"),
            Some(owner) if owner == peer => assert!(is_confirmed(world, peer, model), "{seen:?}"),
            Some(owner) => {
                let remote = Ownership::Remote { peer: id(world, owner), confirmed: true };
                assert_eq!(seen, remote, "peer {peer}");
            }
        }
        assert_eq!(name(world, peer, model), called, "peer {peer}");
    }
}

#[test]
fn an_owner_that_is_cut_off_stops_believing_before_another_is_granted_its_model() {
    let (mut world, model) = owned(1, Mode::Exclusive);
    world.cut(0);
    let cut = world.now();
    claim(&mut world, 1, &model, Mode::Exclusive).unwrap();
    assert!(watched(&mut world, LEASE, |world| is_stale(world, 0, &model)));
    let stale = world.now() - cut;
    assert!(stale <= LEASE - MARGIN, "{stale:?}");
    // What it writes meanwhile it is shown, and loses; what is nobody's it keeps.
    rename(&mut world, 0, &model, "of 0, alone").unwrap();
    entitle(&mut world, 0, "written apart");
    assert!(watched(&mut world, secs(2), |world| is_confirmed(world, 1, &model)));
    let granted = world.now() - cut;
    assert!(granted + secs(1) >= LEASE, "{granted:?}");
    rename(&mut world, 1, &model, "of 1").unwrap();
    world.run(secs(4));
    assert!(is_stale(&world, 0, &model), "nobody has told it");
    assert!(!world.sightings().contains("edit refused"));
    all_see(&mut world, &model, Some(1), "of 1");
    assert!(world.sightings().contains("edit refused"), "it was not told");
    assert_eq!(title(&world, 2), "written apart");
    audit(&world).unwrap();
}

#[test]
fn an_owner_that_is_cut_off_for_longer_than_the_grace_comes_back_to_what_is_nobodys() {
    let (mut world, model) = owned(2, Mode::Instant);
    world.cut(0);
    world.run(GRACE - secs(1) - SOON);
    assert_eq!(owner_at_relay(&world, &model), Some(id(&world, 0)));
    world.run(secs(1) + SOON * 2);
    assert_eq!(owner_at_relay(&world, &model), None);
    assert_eq!(world.ownership(1, &model), Ownership::Free);
    // Nobody has taken it, so what its last owner wrote takes nothing from anybody.
    rename(&mut world, 0, &model, "alone").unwrap();
    all_see(&mut world, &model, None, "alone");
    assert!(!world.sightings().contains("edit refused"));
}

#[test]
fn an_owner_that_hears_nothing_any_more_stops_believing_though_the_relay_hears_it() {
    let (mut world, model) = owned(3, Mode::Exclusive);
    world.half_open(0, Way::Down);
    let broken = world.now();
    rename(&mut world, 0, &model, "still of 0").unwrap();
    claim(&mut world, 1, &model, Mode::Exclusive).unwrap();
    world.run(SOON);
    assert_eq!(name(&world, 1, &model), "still of 0");
    assert!(watched(&mut world, LEASE, |world| is_stale(world, 0, &model)));
    // As long as the relay hears it, its model is its own.
    assert!(!watched(&mut world, secs(6), |world| is_confirmed(world, 1, &model)));
    assert_eq!(owner_at_relay(&world, &model), Some(id(&world, 0)));
    // Then it hangs up, for nothing was heard for so long.
    assert!(watched(&mut world, secs(6), |world| is_confirmed(world, 1, &model)));
    assert!(world.now() - broken >= secs(9) + LEASE, "{:?}", world.now() - broken);
    assert!(matches!(world.peer(0).state(), State::Reconnecting { .. }));
    rename(&mut world, 1, &model, "of 1").unwrap();
    world.run(secs(2));
    all_see(&mut world, &model, Some(1), "of 1");
}

#[test]
fn what_an_owner_that_hears_nothing_writes_to_a_model_that_was_taken_over_is_taken_back() {
    let (mut world, model) = owned(4, Mode::Instant);
    world.half_open(0, Way::Down);
    claim(&mut world, 1, &model, Mode::Instant).unwrap();
    rename(&mut world, 1, &model, "of 1").unwrap();
    world.run(SOON);
    assert!(is_confirmed(&world, 1, &model), "it is taken over at once");
    rename(&mut world, 0, &model, "unheard of").unwrap();
    entitle(&mut world, 0, "written apart");
    world.run(secs(1));
    assert_eq!(
        (name(&world, 1, &model), name(&world, 0, &model)),
        ("of 1".into(), "unheard of".into())
    );
    assert!(!world.sightings().contains("edit refused"), "nobody could tell it");
    all_see(&mut world, &model, Some(1), "of 1");
    assert!(world.sightings().contains("edit refused"), "it was not told");
    assert_eq!(title(&world, 2), "written apart");
    audit(&world).unwrap();
}

#[test]
fn an_owner_that_nobody_hears_any_more_loses_its_model_and_sees_who_has_it() {
    let (mut world, model) = owned(5, Mode::Exclusive);
    world.half_open(0, Way::Up);
    let broken = world.now();
    rename(&mut world, 0, &model, "unheard").unwrap();
    entitle(&mut world, 0, "written apart");
    claim(&mut world, 1, &model, Mode::Exclusive).unwrap();
    // It lets go as soon as it is asked, and cannot say so: the lease must end.
    world.run(SOON);
    assert!(!is_confirmed(&world, 0, &model), "{:?}", world.ownership(0, &model));
    assert!(!is_confirmed(&world, 1, &model), "{:?}", world.ownership(1, &model));
    assert!(watched(&mut world, LEASE + SOON, |world| is_confirmed(world, 1, &model)));
    assert!(world.now() - broken + secs(1) >= LEASE, "{:?}", world.now() - broken);
    rename(&mut world, 1, &model, "of 1").unwrap();
    world.run(SOON);
    let remote = Ownership::Remote { peer: id(&world, 1), confirmed: true };
    assert_eq!(world.ownership(0, &model), remote);
    world.run(secs(12));
    all_see(&mut world, &model, Some(1), "of 1");
    assert!(world.sightings().contains("edit refused"), "it was not told");
    assert_eq!(title(&world, 2), "written apart");
    audit(&world).unwrap();
}

#[test]
fn an_owner_that_crashes_and_is_back_within_the_grace_keeps_what_it_has() {
    for mode in [Mode::Instant, Mode::Exclusive, Mode::Fixed] {
        let (mut world, model) = owned(6, mode);
        let before = token(&world, 0, &model);
        // Written and not sent, when it stops.
        rename(&mut world, 0, &model, "before the crash").unwrap();
        world.sleep(0);
        let others = |world: &World| {
            let remote = Ownership::Remote { peer: id(world, 0), confirmed: true };
            (1..3).any(|peer| world.ownership(peer, &model) != remote)
        };
        assert!(!watched(&mut world, GRACE - secs(2), others), "{mode:?}: others saw it lose it");
        assert!(is_stale(&world, 0, &model), "{mode:?}: {:?}", world.ownership(0, &model));
        world.resume(0);
        assert!(watched(&mut world, secs(2), |world| is_confirmed(world, 0, &model)), "{mode:?}");
        assert_eq!(token(&world, 0, &model), before, "{mode:?}: it was granted anew");
        world.run(GRACE + secs(1));
        all_see(&mut world, &model, Some(0), "before the crash");
        assert!(!world.sightings().contains("edit refused"), "{mode:?}");
        audit(&world).unwrap();
    }
}

#[test]
fn an_owner_keeps_its_model_when_the_relay_crashes() {
    for mode in [Mode::Instant, Mode::Exclusive, Mode::Fixed] {
        let (mut world, model) = owned(7, mode);
        let before = token(&world, 0, &model);
        world.crash_relay();
        rename(&mut world, 0, &model, "without a relay").unwrap();
        let refused = rename(&mut world, 1, &model, "mine");
        assert!(matches!(refused, Err(EditError::Owned { by, .. }) if by == id(&world, 0)));
        world.run(secs(4));
        assert!(is_stale(&world, 0, &model), "{mode:?}: {:?}", world.ownership(0, &model));
        world.start_relay();
        let back = |world: &World| is_confirmed(world, 0, &model);
        assert!(watched(&mut world, secs(30), back), "{mode:?}: {:?}", world.ownership(0, &model));
        let after = token(&world, 0, &model);
        assert_eq!((before.boot(), after.boot()), (1, 2), "{mode:?}");
        all_see(&mut world, &model, Some(0), "without a relay");
        assert!(!world.sightings().contains("edit refused"), "{mode:?}");
        assert!(!world.sightings().contains("claim denied"), "{mode:?}");
    }
}

#[test]
fn what_a_gone_owner_had_when_the_relay_crashed_is_nobodys_after_the_grace() {
    for mode in [Mode::Instant, Mode::Exclusive, Mode::Fixed] {
        let (mut world, model) = owned(8, mode);
        let terms = Terms { mode, destroy_with_owner: true, ..Terms::default() };
        let gone = figure(&mut world, 0);
        world.edit(0, |store| store.claim(&gone, terms)).unwrap().unwrap();
        world.run(secs(2));
        world.sleep(0);
        world.crash_relay();
        world.run(secs(1));
        world.start_relay();
        let here = |world: &World| (1..3).all(|peer| *world.peer(peer).state() == State::Ready);
        assert!(watched(&mut world, secs(30), here));
        world.run(secs(2));
        assert_eq!(owner_at_relay(&world, &model), Some(id(&world, 0)), "{mode:?}: too early");
        world.run(GRACE);
        assert_eq!(owner_at_relay(&world, &model), None, "{mode:?}");
        assert!(world.peer(1).store().get(&gone).is_none(), "{mode:?}: it goes with its owner");
        let fixed = claim(&mut world, 1, &model, mode);
        let by = id(&world, 0);
        assert_eq!(fixed.is_err(), mode == Mode::Fixed, "{mode:?}: {fixed:?}");
        if mode == Mode::Fixed {
            assert_eq!(fixed, Err(ClaimError::Denied(Denial::Fixed { by })));
            all_see(&mut world, &model, None, "of 0");
            continue;
        }
        rename(&mut world, 1, &model, "of 1").unwrap();
        assert!(watched(&mut world, LEASE + secs(1), |world| is_confirmed(world, 1, &model)));
        all_see(&mut world, &model, Some(1), "of 1");
    }
}

#[test]
fn clocks_that_run_fast_or_slow_never_let_two_believe_that_they_own_one_model() {
    for rates in [[10_000, 0], [0, 10_000], [-10_000, 10_000], [10_000, -10_000]] {
        let mut world = World::new(12, Network::LAN, Playground::shape);
        for rate in rates {
            let peer = world.add_peer(PeerConfig::default());
            world.set_rate(peer, rate);
            world.connect(peer);
        }
        world.run(secs(3));
        let model = figure(&mut world, 0);
        for round in 0..12 {
            let (owner, next) = (round % 2, (round + 1) % 2);
            claim(&mut world, owner, &model, Mode::Exclusive).unwrap();
            assert!(watched(&mut world, secs(30), |world| is_confirmed(world, owner, &model)));
            // At another point of its pings each time.
            world.run(millis(137 * u64::try_from(round).unwrap()));
            // A claim in ignorance of the other's grant would be denied.
            let remote = Ownership::Remote { peer: id(&world, owner), confirmed: true };
            let knows = |world: &World| world.ownership(next, &model) == remote;
            assert!(watched(&mut world, secs(30), knows), "{rates:?}, round {round}");
            if round % 3 != 0 {
                world.cut(owner);
            }
            claim(&mut world, next, &model, Mode::Exclusive).unwrap();
            let granted = |world: &World| is_confirmed(world, next, &model);
            assert!(watched(&mut world, secs(30), granted), "{rates:?}, round {round}");
            world.mend(owner);
        }
        oracle::at_rest(&mut world).unwrap_or_else(|why| panic!("{rates:?}: {why}"));
        audit(&world).unwrap();
    }
}

#[test]
fn an_owner_whose_clock_leaps_does_not_believe_with_an_old_lease() {
    let (mut world, model) = owned(13, Mode::Exclusive);
    let before = token(&world, 0, &model);
    world.leap(0, secs(10));
    // Before it has heard or done anything.
    assert!(is_stale(&world, 0, &model), "{:?}", world.ownership(0, &model));
    let answers = |world: &World| is_confirmed(world, 0, &model);
    assert!(watched(&mut world, secs(10), answers), "{:?}", world.ownership(0, &model));
    assert_eq!(token(&world, 0, &model), before, "the relay had not forgotten it");
    rename(&mut world, 0, &model, "behind the leap").unwrap();
    all_see(&mut world, &model, Some(0), "behind the leap");
    assert!(!world.sightings().contains("edit refused"));
}

#[test]
fn an_owner_that_slept_for_ten_seconds_wakes_without_the_model_that_another_has_by_then() {
    let (mut world, model) = owned(14, Mode::Exclusive);
    rename(&mut world, 0, &model, "before it slept").unwrap();
    world.sleep(0);
    claim(&mut world, 1, &model, Mode::Exclusive).unwrap();
    assert!(watched(&mut world, secs(10), |world| is_confirmed(world, 1, &model)));
    rename(&mut world, 1, &model, "of 1").unwrap();
    world.run(secs(6));
    world.wake(0);
    assert!(is_stale(&world, 0, &model), "{:?}", world.ownership(0, &model));
    let late = |world: &World| is_confirmed(world, 0, &model);
    assert!(!watched(&mut world, secs(5), late), "{:?}", world.ownership(0, &model));
    all_see(&mut world, &model, Some(1), "of 1");
    assert!(world.sightings().contains("edit refused"), "it was not told");
    audit(&world).unwrap();
}

#[test]
fn a_claim_that_comes_after_its_author_had_left_claims_nothing_until_the_author_is_back() {
    let mut world = world(15, Network::LAN, 3);
    let model = figure(&mut world, 0);
    // What is said last arrives first.
    let mut slow = Network::LAN;
    slow.delay = millis(400);
    world.set_network(slow);
    claim(&mut world, 0, &model, Mode::Instant).unwrap();
    rename(&mut world, 0, &model, "of who left").unwrap();
    world.flush(0);
    world.set_network(Network::LAN);
    world.leave(0);
    let owned = |world: &World| owner_at_relay(world, &model).is_some();
    assert!(!world.run_until(secs(3), owned), "who is not there was granted something");
    assert_eq!(*world.peer(0).state(), State::Closed(Reason::Left));
    for peer in 1..3 {
        assert_eq!(world.ownership(peer, &model), Ownership::Free);
        assert_eq!(name(&world, peer, &model), "one");
    }
    world.connect(0);
    assert!(world.run_until(secs(5), |world| is_confirmed(world, 0, &model)));
    all_see(&mut world, &model, Some(0), "of who left");
}

#[test]
fn a_claim_that_comes_after_its_author_was_counted_as_gone_is_decided_by_what_holds_then() {
    for taken in [false, true] {
        let (mut world, model) = owned(16, Mode::Instant);
        let other = figure(&mut world, 1);
        world.half_open(0, Way::Up);
        claim(&mut world, 0, &other, Mode::Instant).unwrap();
        rename(&mut world, 0, &other, "of 0, late").unwrap();
        world.flush(0);
        // It hears still, and so learns that what it had is nobody's.
        world.run(GRACE + secs(1));
        assert_eq!(owner_at_relay(&world, &model), None);
        assert_eq!(world.ownership(0, &model), Ownership::Free);
        if taken {
            claim(&mut world, 2, &other, Mode::Instant).unwrap();
            rename(&mut world, 2, &other, "of 2").unwrap();
            world.run(SOON);
            assert!(is_confirmed(&world, 2, &other));
        }
        // On the same link, which is not yet given up.
        world.mend(0);
        world.run(secs(2));
        assert_eq!(*world.peer(0).state(), State::Ready);
        let (owner, called) = if taken { (2, "of 2") } else { (0, "of 0, late") };
        assert_eq!(world.sightings().contains("claim denied"), taken, "told that it is denied");
        all_see(&mut world, &other, Some(owner), called);
        assert_eq!(owner_at_relay(&world, &model), None, "nobody asked for it again");
        audit(&world).unwrap();
    }
}
