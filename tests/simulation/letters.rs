//! Letters that were typed are there, once, whatever is cut and whoever sleeps; and none is lost by a
//! relay that loses its memory.

use std::env;
use std::ops::Range;
use std::time::Duration;

use parlor::Model;
use parlor::proto::config::PeerConfig;
use parlor::sim::network::Network;
use parlor::sim::playground::Playground;
use parlor::sim::{World, oracle};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

const PEERS: usize = 3;

/// What may happen: everything, or everything but that the relay loses its memory.
#[derive(Clone, Copy)]
enum Faults {
    All = 20,
    RelayStays = 18,
}

/// One thing that happens. `typed` is how many letters were typed.
fn happen(
    world: &mut World,
    mut below: impl FnMut(usize) -> usize,
    faults: Faults,
    typed: &mut usize,
) {
    let peer = below(PEERS);
    match below(faults as usize) {
        0..=7 => {
            // No letter twice: texts are compared by letters.
            let letters = (*typed..).take(1 + below(3)).filter_map(letter);
            *typed += types(world, peer, below(1_000), &letters.collect::<String>());
        }
        8..=11 => world.run(Duration::from_millis([20, 100, 700, 2_500][below(4)])),
        12 | 13 => world.cut_history(),
        14 => world.sleep(peer),
        15 => world.wake(peer),
        16 => world.cut(peer),
        17 => world.mend(peer),
        18 => world.crash_relay(),
        _ => world.start_relay(),
    }
}

fn letter(number: usize) -> Option<char> {
    char::from_u32(0x4e00 + u32::try_from(number).ok()?)
}

fn types(world: &mut World, peer: usize, at: usize, what: &str) -> usize {
    let typed = world.edit(peer, |store| {
        let notes = store.root::<Playground>().unwrap().notes.clone();
        let len = notes.read(store).chars().count();
        notes.insert(store, at % (len + 1), what).unwrap();
    });
    if typed.is_some() { what.chars().count() } else { 0 }
}

/// How many letters were typed, and how many are there in the end.
fn play(seed: u64, faults: Faults) -> (usize, usize) {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let mut below = |end: usize| usize::try_from(rng.next_u32()).unwrap() % end;
    let mut world = World::new(seed, Network::LAN, Playground::shape);
    world.keep_history();
    for peer in 0..PEERS {
        world.add_peer(PeerConfig::default());
        world.connect(peer);
    }
    let mut typed = 0;
    for _ in 0..40 {
        happen(&mut world, &mut below, faults, &mut typed);
    }
    world.start_relay();
    for peer in 0..PEERS {
        world.wake(peer);
        world.mend(peer);
    }
    oracle::at_rest(&mut world).unwrap();
    let store = world.peer(0).store();
    let notes = &store.root::<Playground>().unwrap().notes;
    (typed, notes.read(store).chars().count())
}

#[test]
fn every_letter_is_there_once() {
    for seed in seeds() {
        let (typed, there) = play(seed, Faults::RelayStays);
        assert_eq!(there, typed, "seed {seed}");
    }
}

#[test]
fn no_letter_is_lost_by_a_relay_that_loses_its_memory() {
    let mut twice = 0;
    for seed in seeds() {
        let (typed, there) = play(seed, Faults::All);
        assert!(there >= typed, "seed {seed}: {there} letters of {typed}");
        twice += usize::from(there > typed);
    }
    // Two who bring back what the relay forgot may both bring what neither knows of the other.
    println!("in {twice} of {} something is there twice", seeds().count());
    assert!(twice * 50 <= seeds().count(), "something is there twice in {twice}");
}

fn seeds() -> Range<u64> {
    0..if env::var_os("PARLOR_FULL").is_some() { 1_000 } else { 60 }
}
