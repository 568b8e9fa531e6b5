//! Whole rooms on bad networks, by seeds. `SIM_SEED=7 cargo test --features portable --test simulation`
//! runs one; `PARLOR_FULL=1` runs more of them.
#![cfg(feature = "sim")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test is a panic")]

#[path = "simulation/absence.rs"]
mod absence;
#[path = "simulation/letters.rs"]
mod letters;
#[path = "simulation/memory.rs"]
mod memory;
#[path = "simulation/resume.rs"]
mod resume;

use std::collections::BTreeSet;
use std::env;
use std::time::Duration;

use parlor::Model;
use parlor::proto::config::PeerConfig;
use parlor::proto::datastore::EditError;
use parlor::proto::id::DocumentId;
use parlor::sim::action::{Action, Edit};
use parlor::sim::network::Network;
use parlor::sim::playground::Playground;
use parlor::sim::{World, oracle};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

const NETWORKS: [Network; 4] = [Network::LOCKSTEP, Network::LAN, Network::LOSSY, Network::MOBILE];

fn full() -> bool {
    env::var_os("PARLOR_FULL").is_some()
}

fn seeds(small: u64, large: u64) -> Vec<u64> {
    match env::var("SIM_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..if full() { large } else { small }).collect(),
    }
}

/// A world in which `count` peers are on their way into the room.
fn world(seed: u64, network: Network, count: usize) -> World {
    let mut world = World::new(seed, network, Playground::shape);
    for number in 0..count {
        // Different frame rates: what one peer is about to write meets what another has written.
        let frame_rate = [20, 5, 60][number % 3];
        let peer = world.add_peer(PeerConfig { frame_rate, ..PeerConfig::default() });
        world.connect(peer);
    }
    world
}

/// Lets a seed's actions happen and checks everything. Returns what there was to see, and the trace.
fn play(seed: u64) -> (BTreeSet<&'static str>, [u8; 32]) {
    let mut rng = ChaCha12Rng::seed_from_u64(seed ^ 0x5eed);
    let network = NETWORKS[usize::try_from(seed % 4).unwrap()];
    let mut world = world(seed, network, 2 + usize::try_from(rng.next_u32() % 3).unwrap());
    let actions = 40 + rng.next_u32() % 80;
    for number in 0..actions {
        let action = Action::draw(&mut rng);
        action.apply(&mut world);
        if let Err(why) = oracle::always(&world) {
            panic!("seed {seed}, action {number} ({action:?}): {why}");
        }
    }
    if let Err(why) = oracle::at_rest(&mut world) {
        panic!("seed {seed}, at rest: {why}");
    }
    (world.sightings().clone(), world.trace())
}

#[test]
fn every_seed_ends_in_agreement() {
    let mut seen = BTreeSet::new();
    let seeds = seeds(500, 2_000);
    for &seed in &seeds {
        seen.extend(play(seed).0);
    }
    if seeds.len() > 1 {
        let must = [
            "lost",
            "lost in a burst",
            "duplicated",
            "reordered",
            "partition",
            "relay crashed",
            "crash and resume",
            "slow reader",
            "reconnected",
            "joined by snapshot",
            "history cut",
            "edit dropped",
            "replaced",
            "moved",
        ];
        let never: Vec<_> = must.iter().filter(|what| !seen.contains(*what)).collect();
        assert!(never.is_empty(), "never happened in {} seeds: {never:?}", seeds.len());
    }
}

/// Seeds that failed once, and what they found.
#[test]
fn seeds_that_failed_once_stay() {
    for line in include_str!("simulation/seeds.txt").lines() {
        if let Some(seed) = line.split_whitespace().next().filter(|word| !word.starts_with('#')) {
            play(seed.parse().unwrap());
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..20 {
        assert_eq!(play(seed).1, play(seed).1, "seed {seed}");
    }
}

#[test]
fn peers_that_start_an_empty_room_together_lose_no_creation() {
    for seed in seeds(5, 100) {
        let mut world =
            World::new(seed, NETWORKS[1 + usize::try_from(seed % 3).unwrap()], Playground::shape);
        for _ in 0..32 {
            world.add_peer(PeerConfig::default());
        }
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        for peer in 0..32 {
            world.run(Duration::from_millis(u64::from(rng.next_u32() % 30)));
            world.connect(peer);
            for n in 0..10 {
                world.edit(peer, |store| Edit::Add(n).apply(store)).unwrap().unwrap();
            }
        }
        oracle::at_rest(&mut world).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        for peer in 0..32 {
            let store = world.peer(peer).store();
            let count = store.root::<Playground>().unwrap().players.len(store);
            assert_eq!(count, 320, "seed {seed}, peer {peer}");
        }
    }
}

#[test]
fn what_was_edited_offline_merges_with_a_room_that_went_on() {
    let mut world = world(1, Network::LAN, 2);
    let late = world.add_peer(PeerConfig::default());
    for n in 0..5 {
        world.edit(late, |store| Edit::Add(n).apply(store)).unwrap().unwrap();
        world.edit(0, |store| Edit::Add(n).apply(store)).unwrap().unwrap();
        world.edit(late, |store| Edit::Vote(1).apply(store)).unwrap().unwrap();
        world.edit(1, |store| Edit::Vote(1).apply(store)).unwrap().unwrap();
        world.run(Duration::from_secs(1));
    }
    world.connect(late);
    oracle::at_rest(&mut world).unwrap();
    for peer in 0..3 {
        let store = world.peer(peer).store();
        let root = store.root::<Playground>().unwrap();
        assert_eq!((root.players.len(store), root.votes.get()), (10, 10), "peer {peer}");
    }
}

#[test]
fn one_frame_is_one_change_and_an_equal_value_is_none() {
    let mut world = world(1, Network::LAN, 1);
    world.keep_history();
    assert!(world.run_until(Duration::from_secs(5), |world| world.peer(0).is_settled()));
    world.edit(0, |store| Edit::Score(1).apply(store)).unwrap().unwrap();
    world.run(Duration::from_secs(1));
    let changes = |world: &World| {
        let peer = world.peer(0);
        peer.authors(DocumentId::MODELS).map(|(_, count)| count).sum::<usize>()
    };
    let before = changes(&world);
    for n in 2..50 {
        world.edit(0, |store| Edit::Score(n).apply(store)).unwrap().unwrap();
        world.edit(0, |store| Edit::Title(7).apply(store)).unwrap().unwrap();
    }
    world.run(Duration::from_secs(1));
    assert_eq!(changes(&world), before + 1);
    world.edit(0, |store| Edit::Score(49).apply(store)).unwrap().unwrap();
    world.edit(0, |store| Edit::Title(7).apply(store)).unwrap().unwrap();
    world.run(Duration::from_secs(1));
    assert_eq!(changes(&world), before + 1);
}

/// What is only ever added is all there in the end, whatever happened on the way.
#[test]
fn no_edit_is_lost() {
    for seed in seeds(100, 1_000) {
        add(seed, World::keep_history, |action| !matches!(action, Action::CutHistory));
    }
}

/// Nor is it when history is cut on the way, over and over, by a relay that keeps its memory.
#[test]
fn no_edit_is_lost_by_cuts() {
    for seed in seeds(100, 1_000) {
        add(seed, |_| (), |action| !matches!(action, Action::CrashRelay));
    }
}

/// Adds to everything that can be added to, while what `may` happens does, and looks for all of it.
fn add(seed: u64, begin: fn(&mut World), may: fn(&Action) -> bool) {
    let mut rng = ChaCha12Rng::seed_from_u64(seed ^ 0xadd);
    let mut world = world(seed, NETWORKS[usize::try_from(seed % 4).unwrap()], 3);
    begin(&mut world);
    let (mut votes, mut figures, mut letters) = (0, 0, Vec::new());
    for _ in 0..60 {
        let peer = usize::try_from(rng.next_u32() % 3).unwrap();
        let letter = char::from_u32(0x4e00 + u32::try_from(letters.len()).unwrap()).unwrap();
        let edited = world.edit(peer, |store| {
            let notes = store.root::<Playground>().unwrap().notes.clone();
            let at = notes.read(store).chars().count() / 2;
            notes.insert(store, at, &letter.to_string()).unwrap();
            Edit::Vote(3).apply(store).unwrap();
            Edit::Add(1).apply(store).unwrap();
        });
        if edited.is_some() {
            (votes, figures) = (votes + 3, figures + 1);
            letters.push(letter);
        }
        loop {
            let action = Action::draw(&mut rng);
            if !matches!(action, Action::Edit(..)) && may(&action) {
                action.apply(&mut world);
                break;
            }
        }
    }
    oracle::at_rest(&mut world).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    let store = world.peer(0).store();
    let root = store.root::<Playground>().unwrap();
    let text = root.notes.read(store);
    assert_eq!((root.votes.get(), root.players.len(store)), (votes, figures), "seed {seed}");
    assert!(letters.iter().all(|letter| text.contains(*letter)), "seed {seed}: {text}");
    assert_eq!(text.chars().count(), letters.len(), "seed {seed}: {text}");
}

#[test]
fn an_edit_of_a_model_that_somebody_removes_first_is_reported() {
    let mut world = world(1, Network::LAN, 2);
    world.edit(0, |store| Edit::Add(0).apply(store)).unwrap().unwrap();
    world.run(Duration::from_secs(2));
    // The first edit of a frame goes out at once; the second waits for the frame to end.
    for n in 1..3 {
        world.edit(1, |store| Edit::Change(0, n).apply(store)).unwrap().unwrap();
        world.run(Duration::from_millis(5));
    }
    world.edit(0, |store| Edit::Remove(0).apply(store)).unwrap().unwrap();
    world.flush(0);
    oracle::at_rest(&mut world).unwrap();
    assert!(world.sightings().contains("edit dropped"));
}

/// Found by a seed: values of another's model showed in one that was about to replace it.
#[test]
fn a_model_that_is_about_to_replace_another_shows_nothing_of_it() {
    let mut world = world(1, Network::LAN, 2);
    world.run(Duration::from_secs(2));
    world.edit(0, |store| Edit::Score(1).apply(store)).unwrap().unwrap();
    world.run(Duration::from_millis(5));
    // Waits for the frame of the score to end, while the other's comes.
    world.edit(0, |store| Edit::Seat(2, 27).apply(store)).unwrap().unwrap();
    world.edit(1, |store| Edit::Seat(2, 234).apply(store)).unwrap().unwrap();
    world.flush(1);
    world.run(Duration::from_millis(20));
    oracle::always(&world).unwrap();
    oracle::at_rest(&mut world).unwrap();
}

#[test]
fn room_time_is_within_5_ms_of_the_relays_under_20_ms_of_jitter() {
    let jitter = Network::LAN.with_jitter(Duration::from_millis(20));
    let mut worst = Vec::new();
    for seed in 0..50 {
        let mut world = world(seed, jitter, 2);
        world.run(Duration::from_secs(5));
        let now = world.now();
        let relay = World::EPOCH + now.as_micros();
        for peer in 0..2 {
            let ours = world.room_time(peer).unwrap();
            worst.push((ours.abs_diff(relay), seed));
        }
    }
    // It is off by half of what the two ways of the best of 32 answers differ, so that of about 170
    // one is off by more: no answer of them came within 10 ms both ways.
    worst.sort_unstable();
    let (last, first) = (worst[worst.len() - 1], worst[worst.len() - 4]);
    assert!(first.0 <= 5_000 && last.0 <= 10_000, "{worst:?}");
}

#[test]
fn an_edit_over_the_limit_is_an_error_and_changes_nothing() {
    let mut world = world(1, Network::LAN, 2);
    let title = "x".repeat(PeerConfig::default().limits.change);
    let outcome = world
        .edit(0, |store| store.update_root(|root: &mut Playground| root.title.clone_from(&title)));
    assert!(matches!(outcome, Some(Err(EditError::TooLarge { .. }))), "{outcome:?}");
    let store = world.peer(0).store();
    assert!(store.root::<Playground>().unwrap().title.is_empty() && !store.is_pending());
    oracle::at_rest(&mut world).unwrap();
}

#[test]
fn a_peer_that_missed_little_is_not_sent_the_room() {
    let mut world = world(1, Network::LAN, 2);
    for n in 0..200 {
        world.edit(0, |store| Edit::Add(n).apply(store)).unwrap().unwrap();
    }
    oracle::at_rest(&mut world).unwrap();
    let received = |world: &World| {
        let statistics = world.peer(1).statistics(world.now());
        (statistics.document.received.bytes, statistics.snapshot.received.bytes)
    };
    let before = received(&world);
    world.cut(1);
    world.edit(0, |store| Edit::Score(7).apply(store)).unwrap().unwrap();
    world.run(Duration::from_secs(2));
    oracle::at_rest(&mut world).unwrap();
    let after = received(&world);
    assert!(after.0 - before.0 < 1_000 && after.1 == before.1, "{before:?} {after:?}");
}

/// From the first byte of the frame to the last, on either link. A position over 127 and a larger
/// value take a byte more each.
#[test]
fn an_integer_takes_at_most_eleven_bytes() {
    let mut world = world(1, Network::LAN, 2);
    world.keep_history();
    world.run(Duration::from_secs(2));
    let bytes = |world: &World| {
        let (one, other) = (world.peer(0), world.peer(1));
        let sent = one.statistics(world.now()).document.sent.bytes;
        (sent, other.statistics(world.now()).document.received.bytes)
    };
    let mut write = |edit: Edit| {
        // Between two signatures.
        let before = bytes(&world);
        world.edit(0, |store| edit.apply(store)).unwrap().unwrap();
        world.flush(0);
        world.run(Duration::from_millis(40));
        let after = bytes(&world);
        (after.0 - before.0, after.1 - before.1)
    };
    let scores: Vec<_> = (1..5).map(|score| write(Edit::Score(score))).collect();
    assert_eq!(scores[1..], [(8, 9); 3], "{scores:?}");
}

/// Found by a reader: a text belongs to its path, and a dictionary's keys are used again.
#[test]
fn a_model_under_a_used_key_has_an_empty_text() {
    let mut world = world(1, Network::LAN, 2);
    for edit in [Edit::Seat(1, 0), Edit::SeatedMemo(1, 1), Edit::Seat(1, 2), Edit::SeatedMemo(1, 0)]
    {
        world.edit(0, |store| edit.apply(store)).unwrap().unwrap();
        world.run(Duration::from_millis(300));
        oracle::always(&world).unwrap();
    }
    oracle::at_rest(&mut world).unwrap();
    let store = world.peer(1).store();
    let root = store.root::<Playground>().unwrap();
    let (_, _, figure) = root.seats.iter(store).next().unwrap();
    assert_eq!(figure.memo.read(store), "a");
}

#[test]
fn what_was_edited_just_before_leaving_arrives() {
    // Where frames of one lane keep their order, as they do on streams.
    let mut world = world(1, Network::LOCKSTEP, 2);
    world.run(Duration::from_secs(2));
    world.edit(0, |store| Edit::Add(1).apply(store)).unwrap().unwrap();
    world.leave(0);
    world.run(Duration::from_secs(1));
    let store = world.peer(1).store();
    assert_eq!(store.root::<Playground>().unwrap().players.len(store), 1);
    assert_eq!(world.peer(1).members().count(), 1);
}

#[test]
fn values_that_grow_within_a_frame_are_divided_among_changes() {
    let mut world = world(1, Network::LOCKSTEP, 2);
    world.run(Duration::from_secs(2));
    let (long, titles) = ("x".repeat(30_000), 6);
    for round in ["a", &long] {
        for n in 0..titles {
            world.edit(0, |store| Edit::Seat(n, 0).apply(store)).unwrap().unwrap();
            let edited = world.edit(0, |store| {
                let seats = store.root::<Playground>().unwrap().seats.clone();
                let figure = seats.iter(store).next().map(|(_, figure, _)| figure).unwrap();
                store.update(&figure, |figure| figure.name = format!("{round}{n}"))
            });
            assert_eq!(edited, Some(Ok(())));
        }
    }
    oracle::at_rest(&mut world).unwrap();
}

#[test]
fn an_edit_that_a_full_room_does_not_take_is_told_and_taken_back() {
    let mut world = World::new(1, Network::LAN, Playground::shape);
    let mut config = PeerConfig::default();
    config.limits.well_known = 6;
    world.add_peer(config);
    for n in 0..10 {
        world.edit(0, |store| Edit::Add(n).apply(store)).unwrap().unwrap();
        world.edit(0, |store| Edit::Memo(n, n).apply(store)).unwrap().unwrap();
    }
    world.flush(0);
    oracle::always(&world).unwrap();
    assert!(world.sightings().contains("edit dropped"));
}

/// A relay that lost its memory is refilled by one peer with what another wrote and signed.
#[test]
fn a_refill_of_what_others_wrote_takes_no_longer_than_it_is_long() {
    let mut world = world(1, Network::LAN, 2);
    world.run(Duration::from_secs(2));
    for n in 0..3_000_u32 {
        let n = i8::try_from(n % 100).unwrap();
        world.edit(0, |store| Edit::Score(n).apply(store)).unwrap().unwrap();
        world.flush(0);
    }
    world.run(Duration::from_secs(3));
    world.cut(0);
    world.crash_relay();
    world.start_relay();
    assert!(world.run_until(Duration::from_secs(20), |world| {
        let changes = world.peer(1).store().log(DocumentId::MODELS).len();
        world
            .hub()
            .and_then(|hub| hub.log(&world.room_key(), DocumentId::MODELS))
            .map(|log| log.len())
            == Some(changes)
    }));
}
