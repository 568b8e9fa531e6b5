//! Relays that lose their memory after cuts: what comes back, comes back once.

use std::time::Duration;

use parlor::Model;
use parlor::proto::config::PeerConfig;
use parlor::proto::id::DocumentId;
use parlor::sim::action::Edit;
use parlor::sim::network::Network;
use parlor::sim::playground::Playground;
use parlor::sim::{World, oracle};

/// Two peers in a room that is cut when it is told to.
fn two() -> World {
    let mut world = World::new(1, Network::LAN, Playground::shape);
    world.keep_history();
    for _ in 0..2 {
        world.add_peer(PeerConfig::default());
    }
    (0..2).for_each(|peer| world.connect(peer));
    world
}

fn types(world: &mut World, peer: usize, at: usize, what: &str) {
    let typed = world.edit(peer, |store| {
        let notes = store.root::<Playground>().unwrap().notes.clone();
        notes.insert(store, at, what).unwrap();
    });
    assert!(typed.is_some());
}

fn votes(world: &mut World, peer: usize, by: i8) {
    world.edit(peer, |store| Edit::Vote(by).apply(store)).unwrap().unwrap();
}

/// What a peer has: the text, and how many votes there are.
fn has(world: &World, peer: usize) -> (String, i64) {
    let store = world.peer(peer).store();
    let root = store.root::<Playground>().unwrap();
    (root.notes.read(store).to_owned(), root.votes.get())
}

fn passes(world: &mut World, seconds: u64) {
    world.run(Duration::from_secs(seconds));
}

/// The relay forgets everything, and one peer is not there when it comes back.
fn forgets_without(world: &mut World, peer: usize) {
    world.crash_relay();
    world.cut(peer);
    world.start_relay();
}

#[test]
fn what_one_who_slept_brings_back_is_not_typed_or_counted_twice() {
    for early in [false, true] {
        let mut world = two();
        types(&mut world, 0, 0, "hello");
        passes(&mut world, 3);
        if early {
            world.cut_history();
            passes(&mut world, 3);
        }
        types(&mut world, 0, 5, " world");
        votes(&mut world, 0, 3);
        passes(&mut world, 3);
        world.sleep(1);
        world.cut_history();
        passes(&mut world, 3);
        forgets_without(&mut world, 0);
        world.wake(1);
        passes(&mut world, 8);
        world.mend(0);
        oracle::at_rest(&mut world).unwrap();
        assert_eq!(has(&world, 0), ("hello world".to_owned(), 3));
    }
}

#[test]
fn what_was_confirmed_comes_back_after_a_relay_that_forgot_it_has_cut_again() {
    let mut world = two();
    types(&mut world, 0, 0, "hello");
    passes(&mut world, 3);
    world.sleep(1);
    types(&mut world, 0, 5, "!");
    votes(&mut world, 0, 3);
    passes(&mut world, 3);
    world.cut_history();
    passes(&mut world, 3);
    forgets_without(&mut world, 0);
    world.wake(1);
    passes(&mut world, 8);
    types(&mut world, 1, 0, "oh ");
    passes(&mut world, 3);
    world.cut_history();
    passes(&mut world, 3);
    world.mend(0);
    oracle::at_rest(&mut world).unwrap();
    assert_eq!(has(&world, 0), ("oh hello!".to_owned(), 3));
}

#[test]
fn what_an_earlier_incarnation_typed_is_not_typed_again() {
    let mut world = two();
    votes(&mut world, 0, 3);
    types(&mut world, 0, 0, "hello");
    passes(&mut world, 3);
    world.sleep(1);
    let room = world.room_key();
    let now = world.now();
    assert!(world.hub_mut().unwrap().cut(&room, DocumentId::MODELS, now));
    passes(&mut world, 3);
    forgets_without(&mut world, 0);
    world.wake(1);
    passes(&mut world, 8);
    types(&mut world, 0, 5, "!");
    world.flush(0);
    world.mend(0);
    // The relay has it, and nobody has said so.
    let there =
        |world: &World| world.hub().unwrap().log(&room, DocumentId::TEXTS).unwrap().len() == 3;
    assert!(world.run_until(Duration::from_secs(30), there));
    world.cut(0);
    let now = world.now();
    assert!(world.hub_mut().unwrap().cut(&room, DocumentId::TEXTS, now));
    passes(&mut world, 3);
    world.mend(0);
    oracle::at_rest(&mut world).unwrap();
    assert_eq!(has(&world, 0), ("hello!".to_owned(), 3));
}

#[test]
fn what_another_typed_and_did_not_sign_is_that_others_to_bring() {
    for writes in [false, true] {
        let mut world = two();
        types(&mut world, 1, 0, "hello");
        passes(&mut world, 12);
        types(&mut world, 0, 5, "!");
        world.flush(0);
        world.run_until(Duration::from_secs(1), |world| has(world, 1).0.contains('!'));
        forgets_without(&mut world, 0);
        if writes {
            types(&mut world, 1, 0, "oh ");
        }
        passes(&mut world, 60);
        world.mend(0);
        oracle::at_rest(&mut world).unwrap();
        let text = if writes { "oh hello!" } else { "hello!" };
        assert_eq!(has(&world, 0).0, text);
    }
}

#[test]
fn who_comes_into_a_room_of_another_lineage_is_of_that_from_then_on() {
    let mut world = two();
    let fresh = world.add_peer(PeerConfig::default());
    types(&mut world, 0, 0, "ab");
    votes(&mut world, 0, 3);
    passes(&mut world, 3);
    world.cut_history();
    passes(&mut world, 3);
    world.cut(0);
    forgets_without(&mut world, 1);
    world.connect(fresh);
    types(&mut world, fresh, 0, "c");
    votes(&mut world, fresh, 1);
    passes(&mut world, 5);
    world.cut_history();
    passes(&mut world, 3);
    for peer in [0, 1] {
        world.mend(peer);
        passes(&mut world, 10);
    }
    assert_eq!(has(&world, 0), has(&world, fresh));
    world.cut(0);
    passes(&mut world, 1);
    types(&mut world, 1, 0, "d");
    passes(&mut world, 3);
    world.cut_history();
    passes(&mut world, 5);
    forgets_without(&mut world, fresh);
    passes(&mut world, 10);
    world.mend(0);
    oracle::at_rest(&mut world).unwrap();
    let (text, votes) = has(&world, 0);
    let mut letters: Vec<char> = text.chars().collect();
    letters.sort_unstable();
    assert_eq!((letters, votes), (vec!['a', 'b', 'c', 'd'], 4));
}
