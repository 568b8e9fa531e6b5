//! Confirmed dictionaries: of two that want one key one gets it, and both are told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parlor::proto::change::{Action as Deed, Key};
use parlor::proto::config::PeerConfig;
use parlor::proto::id::DocumentId;
use parlor::proto::model::handle::Handle;
use parlor::proto::model::path::Path;
use parlor::proto::model::value::Value;
use parlor::sim::action::Action;
use parlor::sim::network::{Network, Way};
use parlor::sim::playground::{Figure, Playground};
use parlor::sim::{World, oracle};
use parlor::{
    ClaimError, ConfirmedDictionary, Datastore, Denial, EditError, Mode, Model, Outcome, Terms,
    Ticket,
};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::{id, seeds, world};

fn desks(world: &World, peer: usize) -> ConfirmedDictionary<String, Figure> {
    desks_of(world.peer(peer).store())
}

fn named(name: &str) -> Figure {
    Figure { name: name.to_owned(), ..Figure::default() }
}

fn desks_of(store: &Datastore) -> ConfirmedDictionary<String, Figure> {
    store.root::<Playground>().unwrap().desks.clone()
}

fn insert(world: &mut World, peer: usize, key: &str, name: &str) -> Result<Ticket, EditError> {
    let desks = desks(world, peer);
    world.edit(peer, |store| desks.insert(store, &key.to_owned(), named(name))).unwrap()
}

fn get_or_insert(world: &mut World, peer: usize, key: &str, name: &str) -> Ticket {
    let desks = desks(world, peer);
    world
        .edit(peer, |store| desks.get_or_insert(store, &key.to_owned(), named(name)))
        .unwrap()
        .unwrap()
}

/// What a key's model is called, where a peer sees one.
fn name(world: &World, peer: usize, key: &str) -> Option<String> {
    let store = world.peer(peer).store();
    let model = desks(world, peer).get(store, &key.to_owned())?;
    Some(store.get(&model)?.name.clone())
}

fn outcome(world: &World, peer: usize, ticket: Ticket) -> Option<Outcome> {
    world.outcomes(peer).get(&ticket).copied()
}

/// Lets everybody be told.
fn settle(world: &mut World) {
    world.run(Duration::from_secs(2));
    oracle::always(world).unwrap();
}

#[test]
fn what_is_inserted_shows_when_it_is_confirmed() {
    let mut world = world(1, Network::LOCKSTEP, 2);
    let ticket = insert(&mut world, 0, "door", "ours").unwrap();
    world.flush(0);
    // Nothing shows before the relay has said that the key is free.
    assert_eq!(name(&world, 0, "door"), None);
    assert_eq!(outcome(&world, 0, ticket), None);
    settle(&mut world);
    assert_eq!(outcome(&world, 0, ticket), Some(Outcome::Done));
    assert_eq!(name(&world, 0, "door").as_deref(), Some("ours"));
    assert_eq!(name(&world, 1, "door").as_deref(), Some("ours"));
    // What was reserved is forgotten, and anybody may edit what stands there.
    let model = desks(&world, 1).get(world.peer(1).store(), &"door".to_owned()).unwrap();
    assert_eq!(world.peer(1).store().owner(&model), None);
    assert_eq!(grants(&world), 0);
    super::rename(&mut world, 1, &model, "theirs").unwrap();
    settle(&mut world);
    assert_eq!(name(&world, 0, "door").as_deref(), Some("theirs"));
    let taken = insert(&mut world, 1, "door", "again").unwrap_err();
    assert!(matches!(taken, EditError::Occupied { .. }), "{taken}");
}

/// How many grants the relay's document has.
fn grants(world: &World) -> usize {
    let log = world.hub().unwrap().log(&world.room_key(), DocumentId::MODELS).unwrap();
    log.ledger().granted_from("").count()
}

#[test]
fn of_two_that_insert_at_once_one_is_told_that_it_lost() {
    for seed in 0..20 {
        let mut world = world(seed, Network::LAN, 2);
        let tickets =
            [0, 1].map(|peer| insert(&mut world, peer, "door", &format!("of {peer}")).unwrap());
        settle(&mut world);
        let outcomes = [0, 1].map(|peer| outcome(&world, peer, tickets[peer]).unwrap());
        let winner = outcomes.iter().position(|outcome| *outcome == Outcome::Done).unwrap();
        let by = id(&world, winner);
        let lost = outcomes[1 - winner];
        let reasons = [Denial::Raced { by }, Denial::Protected { by }, Denial::Occupied];
        assert!(reasons.iter().any(|why| lost == Outcome::Lost(*why)), "seed {seed}: {lost:?}");
        for peer in 0..2 {
            assert_eq!(name(&world, peer, "door"), Some(format!("of {winner}")), "seed {seed}");
        }
        // A lost race takes nothing back from anybody.
        assert!(!world.sightings().contains("edit refused"), "seed {seed}");
        oracle::at_rest(&mut world).unwrap();
    }
}

#[test]
fn everybody_gets_the_one_that_one_of_them_made() {
    for seed in 0..20 {
        let mut world = world(seed, Network::MOBILE, 5);
        let tickets: Vec<Ticket> = (0..5)
            .map(|peer| get_or_insert(&mut world, peer, "door", &format!("of {peer}")))
            .collect();
        // Asked again it is the same.
        assert_eq!(get_or_insert(&mut world, 0, "door", "again"), tickets[0]);
        world.run(Duration::from_secs(10));
        let mut done = 0;
        for (peer, ticket) in tickets.iter().enumerate() {
            match outcome(&world, peer, *ticket) {
                Some(Outcome::Done) => {
                    done += 1;
                    assert_eq!(name(&world, peer, "door"), Some(format!("of {peer}")));
                }
                other => assert_eq!(other, Some(Outcome::Found), "seed {seed}, peer {peer}"),
            }
            assert_eq!(name(&world, peer, "door"), name(&world, 0, "door"));
        }
        assert_eq!(done, 1, "seed {seed}");
        let ticket = get_or_insert(&mut world, 0, "door", "late");
        assert_eq!(outcome(&world, 0, ticket), Some(Outcome::Found));
        assert!(!world.sightings().contains("edit refused"), "seed {seed}");
        oracle::at_rest(&mut world).unwrap();
    }
}

#[test]
fn whoever_reserved_a_key_and_is_gone_does_not_keep_it() {
    let mut world = world(3, Network::LAN, 2);
    let first = get_or_insert(&mut world, 0, "door", "of 0");
    world.flush(0);
    // The relay grants it, and nobody is there to hear that.
    assert!(world.run_until(Duration::from_secs(1), |world| grants(world) == 1));
    world.sleep(0);
    let second = get_or_insert(&mut world, 1, "door", "of 1");
    world.run(Duration::from_secs(3));
    assert_eq!(outcome(&world, 1, second), None);
    world.run(Duration::from_secs(6));
    assert_eq!(outcome(&world, 1, second), Some(Outcome::Done));
    world.wake(0);
    world.connect(0);
    world.run(Duration::from_secs(10));
    assert_eq!(outcome(&world, 0, first), Some(Outcome::Found));
    assert_eq!(name(&world, 0, "door").as_deref(), Some("of 1"));
    oracle::at_rest(&mut world).unwrap();
}

#[test]
fn what_is_written_anew_fills_no_key_that_another_was_given_meanwhile() {
    let mut world = world(3, Network::LAN, 2);
    // What was claimed and redeemed stays to be seen.
    world.keep_history();
    settle(&mut world);
    let tickets = ["a", "b"].map(|key| insert(&mut world, 0, key, "of 0").unwrap());
    world.flush(0);
    // Both are granted, and what fills them is written in one change that does not arrive.
    assert!(world.run_until(Duration::from_secs(1), |world| grants(world) == 2));
    world.half_open(0, Way::Up);
    world.run(Duration::from_millis(100));
    assert_eq!(name(&world, 0, "b").as_deref(), Some("of 0"));
    world.sleep(0);
    world.run(Duration::from_secs(8));
    let other = insert(&mut world, 1, "b", "of 1").unwrap();
    settle(&mut world);
    assert_eq!(outcome(&world, 1, other), Some(Outcome::Done));
    world.mend(0);
    world.wake(0);
    world.connect(0);
    world.run(Duration::from_secs(15));
    for ticket in tickets {
        assert!(matches!(outcome(&world, 0, ticket), Some(Outcome::Lost(_))));
    }
    for peer in 0..2 {
        assert_eq!(name(&world, peer, "a"), None);
        assert_eq!(name(&world, peer, "b").as_deref(), Some("of 1"));
    }
    oracle::at_rest(&mut world).unwrap();
}

#[test]
fn a_key_is_removed_by_one() {
    for seed in 0..20 {
        let mut world = world(seed, Network::LAN, 3);
        insert(&mut world, 2, "door", "ours").unwrap();
        settle(&mut world);
        let tickets = [0, 1].map(|peer| {
            let desks = desks(&world, peer);
            world.edit(peer, |store| desks.remove(store, &"door".to_owned())).unwrap().unwrap()
        });
        assert_eq!(name(&world, 0, "door").as_deref(), Some("ours"));
        settle(&mut world);
        let outcomes = [0, 1].map(|peer| outcome(&world, peer, tickets[peer]).unwrap());
        let done = outcomes.iter().filter(|outcome| **outcome == Outcome::Done).count();
        let lost = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Lost(_))).count();
        assert_eq!((done, lost), (1, 1), "seed {seed}: {outcomes:?}");
        assert!((0..3).all(|peer| name(&world, peer, "door").is_none()), "seed {seed}");
        let again = insert(&mut world, 1, "door", "anew").unwrap();
        settle(&mut world);
        assert_eq!(outcome(&world, 1, again), Some(Outcome::Done), "seed {seed}");
        oracle::at_rest(&mut world).unwrap();
    }
}

#[test]
fn what_another_owns_is_not_removed() {
    let mut world = world(4, Network::LAN, 2);
    insert(&mut world, 0, "door", "ours").unwrap();
    settle(&mut world);
    let model = desks(&world, 0).get(world.peer(0).store(), &"door".to_owned()).unwrap();
    super::claim(&mut world, 0, &model, Mode::Instant).unwrap();
    settle(&mut world);
    let desks = desks(&world, 1);
    let key = "door".to_owned();
    let removed = world.edit(1, |store| desks.remove(store, &key)).unwrap();
    assert!(matches!(removed, Err(EditError::Owned { .. })), "{removed:?}");
    let cleared = world.edit(1, |store| desks.clear(store)).unwrap();
    assert!(matches!(cleared, Err(EditError::Owned { .. })), "{cleared:?}");
    // Its owner may.
    let ticket = world.edit(0, |store| desks.remove(store, &key)).unwrap().unwrap();
    settle(&mut world);
    assert_eq!(outcome(&world, 0, ticket), Some(Outcome::Done));
    assert_eq!(name(&world, 1, "door"), None);
}

#[test]
fn all_is_cleared_unless_a_key_came_or_went() {
    let mut world = world(5, Network::LAN, 2);
    for key in ["a", "b", "c"] {
        insert(&mut world, 0, key, key).unwrap();
    }
    settle(&mut world);
    let desks = desks(&world, 0);
    let lost = world.edit(0, |store| desks.clear(store)).unwrap().unwrap();
    let late = insert(&mut world, 1, "d", "d").unwrap();
    settle(&mut world);
    // Whichever the relay heard first; the other was told.
    let outcomes = (outcome(&world, 0, lost).unwrap(), outcome(&world, 1, late).unwrap());
    match outcomes {
        (Outcome::Done, Outcome::Lost(_)) => assert!(desks.is_empty(world.peer(1).store())),
        (Outcome::Done, Outcome::Done) => assert_eq!(desks.len(world.peer(1).store()), 1),
        (Outcome::Lost(_), Outcome::Done) => assert_eq!(desks.len(world.peer(1).store()), 4),
        _ => panic!("{outcomes:?}"),
    }
    let cleared = world.edit(1, |store| desks.clear(store)).unwrap().unwrap();
    settle(&mut world);
    assert_eq!(outcome(&world, 1, cleared), Some(Outcome::Done));
    assert!(desks.is_empty(world.peer(0).store()));
    let nothing = world.edit(0, |store| desks.clear(store)).unwrap().unwrap();
    assert_eq!(outcome(&world, 0, nothing), Some(Outcome::Done));
    oracle::at_rest(&mut world).unwrap();
}

#[test]
fn a_key_that_cannot_be_claimed_is_an_error_and_takes_nothing_along() {
    let mut world = world(7, Network::LAN, 2);
    // As a path it is three times as long.
    let long = insert(&mut world, 0, &"/".repeat(200), "long").unwrap_err();
    assert!(matches!(long, EditError::TooLarge { limit: 512, .. }), "{long}");
    let ticket = insert(&mut world, 0, "door", "ours").unwrap();
    settle(&mut world);
    assert_eq!(outcome(&world, 0, ticket), Some(Outcome::Done));
    let place = desks(&world, 0).path().unwrap().join("door");
    let open = world.edit(0, |store| desks_of(store).remove(store, &"door".to_owned())).unwrap();
    // Until that is settled, the place is nothing else's.
    let claimed = world.edit(0, |store| store.claim_at(place, Terms::default())).unwrap();
    assert!(matches!(claimed, Err(ClaimError::Edit(EditError::Open { .. }))), "{claimed:?}");
    settle(&mut world);
    assert_eq!(outcome(&world, 0, open.unwrap()), Some(Outcome::Done));
    assert_eq!(grants(&world), 0);
    oracle::at_rest(&mut world).unwrap();
}

#[test]
fn proposals_wait_for_a_relay() {
    let mut world = world(6, Network::LAN, 2);
    world.cut(0);
    world.run(Duration::from_secs(12));
    let ticket = insert(&mut world, 0, "door", "apart").unwrap();
    let same = insert(&mut world, 0, "door", "again").unwrap_err();
    assert!(matches!(same, EditError::Open { .. }), "{same}");
    let other = insert(&mut world, 1, "door", "there").unwrap();
    world.run(Duration::from_secs(10));
    assert_eq!(outcome(&world, 1, other), Some(Outcome::Done));
    assert_eq!(outcome(&world, 0, ticket), None);
    world.mend(0);
    world.run(Duration::from_secs(30));
    assert_eq!(outcome(&world, 0, ticket), Some(Outcome::Lost(Denial::Occupied)));
    assert_eq!(name(&world, 0, "door").as_deref(), Some("there"));
    oracle::at_rest(&mut world).unwrap();
}

/// What was proposed in a play.
#[derive(Debug)]
struct Proposed {
    peer: usize,
    ticket: Ticket,
    /// What the model is called, which no other is; nothing if it was to go.
    name: Option<String>,
}

/// Proposes something by chance.
fn propose(world: &mut World, rng: &mut ChaCha12Rng, number: u32) -> Option<Proposed> {
    let peer = usize::try_from(rng.next_u32()).unwrap() % world.len();
    let key = format!("key {}", rng.next_u32() % 3);
    let what = rng.next_u32() % 12;
    let called = format!("{peer} as {number}");
    let desks = desks(world, peer);
    let ticket = world.edit(peer, |store| match what {
        0..=4 => desks.insert(store, &key, named(&called)).ok(),
        5..=7 => desks.get_or_insert(store, &key, named(&called)).ok(),
        8..=10 => desks.remove(store, &key).ok(),
        _ => desks.clear(store).ok(),
    })??;
    Some(Proposed { peer, ticket, name: (what < 8).then_some(called) })
}

/// Edits or claims an entry by chance, as it is.
fn use_entry(world: &mut World, rng: &mut ChaCha12Rng) {
    let peer = usize::try_from(rng.next_u32()).unwrap() % world.len();
    let key = format!("key {}", rng.next_u32() % 3);
    let claims = rng.next_u32() % 8;
    let Some(model) = desks(world, peer).get(world.peer(peer).store(), &key) else { return };
    world.edit(peer, |store| match claims {
        0 => store.claim(&model, Terms::default()).is_ok(),
        1 => store.release(&model).is_ok(),
        _ => store.update(&model, |figure| figure.hits += 1).is_ok(),
    });
}

/// Lets a seed's proposals happen, among faults, and checks what everybody was told.
fn play(seed: u64) -> BTreeSet<&'static str> {
    let mut rng = ChaCha12Rng::seed_from_u64(seed ^ 0x0d1c_7104);
    let network = [Network::LOCKSTEP, Network::LAN, Network::LOSSY, Network::MOBILE]
        [usize::try_from(seed % 4).unwrap()];
    let mut world = World::new(seed, network, Playground::shape);
    let forgets = seed % 8 >= 4;
    if !forgets {
        // Everything stays in the log, to be read at the end.
        world.keep_history();
    }
    for _ in 0..4 {
        let peer = world.add_peer(PeerConfig::default());
        world.connect(peer);
    }
    let mut proposed = Vec::new();
    for number in 0..80 {
        match rng.next_u32() % 8 {
            0..=3 => {
                let of = propose(&mut world, &mut rng, number);
                // The same ticket again stands for what was proposed first.
                let known = |of: &Proposed| {
                    let mut known = proposed.iter();
                    known.any(|other: &Proposed| (other.peer, other.ticket) == (of.peer, of.ticket))
                };
                let fresh = of.filter(|of| !known(of));
                proposed.extend(fresh);
            }
            4 => use_entry(&mut world, &mut rng),
            _ => {
                let action = Action::draw(&mut rng);
                let forgetful = matches!(action, Action::CrashRelay | Action::CutHistory);
                if forgets || !forgetful {
                    action.apply(&mut world);
                }
            }
        }
        oracle::always(&world).unwrap_or_else(|why| panic!("seed {seed}, {number}: {why}"));
    }
    oracle::heal(&mut world);
    world.run(Duration::from_secs(15));
    oracle::at_rest(&mut world).unwrap_or_else(|why| panic!("seed {seed}, at rest: {why}"));
    let made = if forgets { None } else { Some(check_order(&world, seed)) };
    check_outcomes(&world, &proposed, made.as_ref(), seed);
    world.sightings().clone()
}

/// In the relay's order nothing is put where something stands. Returns how often each name was given.
fn check_order(world: &World, seed: u64) -> BTreeMap<String, usize> {
    let log = world.hub().unwrap().log(&world.room_key(), DocumentId::MODELS).unwrap();
    let dictionary = desks(world, 0);
    let dictionary = dictionary.path().unwrap();
    let mut standing: BTreeSet<Path> = BTreeSet::new();
    let mut made = BTreeMap::new();
    for change in (0..log.len()).filter_map(|index| log.change(index)) {
        for operation in &change.operations {
            let Some(object) = log.table().object(&operation.object) else { continue };
            let Key::Map(key) = &operation.key else { continue };
            let (at, place) = (log.table().path(object), log.table().path(object).join(key));
            match &operation.action {
                Deed::MakeMap if at == dictionary => {
                    assert!(standing.insert(place.clone()), "seed {seed}: {place} made twice");
                }
                Deed::Delete if at == dictionary => {
                    standing.remove(&place);
                }
                Deed::Put(Value::Text(name)) if dictionary.contains(&place) && key == "1" => {
                    *made.entry(name.clone()).or_default() += 1;
                }
                _ => {}
            }
        }
    }
    made
}

fn check_outcomes(
    world: &World,
    proposed: &[Proposed],
    made: Option<&BTreeMap<String, usize>>,
    seed: u64,
) {
    let shown: BTreeSet<String> = desks(world, 0)
        .iter(world.peer(0).store())
        .map(|(_, _, figure)| figure.name.clone())
        .collect();
    for of in proposed {
        let outcome = outcome(world, of.peer, of.ticket);
        let outcome = outcome.unwrap_or_else(|| panic!("seed {seed}: {of:?} was not settled"));
        let Some(name) = &of.name else { continue };
        let done = outcome == Outcome::Done;
        assert!(done || !shown.contains(name), "seed {seed}: {of:?} is there, and {outcome:?}");
        if let Some(made) = made {
            let count = made.get(name).copied().unwrap_or_default();
            assert_eq!(count, usize::from(done), "seed {seed}: {of:?}, {outcome:?}");
        }
    }
}

#[test]
fn whatever_happens_a_key_is_given_once_and_everybody_is_told() {
    let mut seen = BTreeSet::new();
    let seeds = seeds(100, 2_000);
    for &seed in &seeds {
        seen.extend(play(seed));
    }
    if seeds.len() > 1 {
        let must = ["proposal done", "proposal found", "proposal lost", "relay crashed"];
        let never: Vec<_> = must.iter().filter(|what| !seen.contains(*what)).collect();
        assert!(never.is_empty(), "never happened in {} seeds: {never:?}", seeds.len());
    }
}

/// Seeds that failed once: of 6029 one who took back an edit took what others wrote, and a relay had
/// forgotten, for placed.
#[test]
fn seeds_of_proposals_that_failed_once_stay() {
    play(6_029);
}
