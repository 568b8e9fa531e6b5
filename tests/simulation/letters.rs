//! Letters that were typed are there, once, whatever is cut and whoever sleeps.

use std::env;
use std::time::Duration;

use parlor::Model;
use parlor::proto::config::PeerConfig;
use parlor::sim::network::Network;
use parlor::sim::playground::Playground;
use parlor::sim::{World, oracle};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

const PEERS: usize = 3;

/// One thing that happens. Returns how many letters were typed.
fn happen(world: &mut World, mut below: impl FnMut(usize) -> usize) -> usize {
    let peer = below(PEERS);
    match below(18) {
        0..=7 => return types(world, peer, below(1_000), &"xyz"[..=below(3)]),
        8..=11 => world.run(Duration::from_millis([20, 100, 700, 2_500][below(4)])),
        12 | 13 => world.cut_history(),
        14 => world.sleep(peer),
        15 => world.wake(peer),
        16 => world.cut(peer),
        _ => world.mend(peer),
    }
    0
}

fn types(world: &mut World, peer: usize, at: usize, what: &str) -> usize {
    let typed = world.edit(peer, |store| {
        let notes = store.root::<Playground>().unwrap().notes.clone();
        let len = notes.read(store).chars().count();
        notes.insert(store, at % (len + 1), what).unwrap();
    });
    if typed.is_some() { what.len() } else { 0 }
}

/// How many letters were typed, and how many are there in the end.
fn play(seed: u64) -> (usize, usize) {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let mut below = |end: usize| usize::try_from(rng.next_u32()).unwrap() % end;
    let mut world = World::new(seed, Network::LAN, Playground::shape);
    world.keep_history();
    for peer in 0..PEERS {
        world.add_peer(PeerConfig::default());
        world.connect(peer);
    }
    let typed = (0..40).map(|_| happen(&mut world, &mut below)).sum();
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
    let seeds = if env::var_os("PARLOR_FULL").is_some() { 1_000 } else { 60 };
    for seed in 0..seeds {
        let (typed, there) = play(seed);
        assert_eq!(there, typed, "seed {seed}");
    }
}
