//! What it costs to come back: what was missed, in little more than it took those who stayed.

use std::time::Duration;

use parlor::Model;
use parlor::proto::config::PeerConfig;
use parlor::proto::event::State;
use parlor::sim::World;
use parlor::sim::action::Edit;
use parlor::sim::network::Network;
use parlor::sim::playground::Playground;

/// How many bytes of documents a peer has received.
fn received(world: &World, peer: usize) -> u64 {
    world.peer(peer).statistics(world.now()).document.received.bytes
}

#[test]
fn what_was_missed_takes_no_more_than_a_fifth_above_what_it_took_others() {
    for changes in [60, 400] {
        let mut world = World::new(changes, Network::LAN, Playground::shape);
        world.keep_history();
        for peer in 0..3 {
            world.add_peer(PeerConfig::default());
            world.connect(peer);
        }
        world.edit(0, |store| Edit::Vote(1).apply(store)).unwrap().unwrap();
        world.run(Duration::from_secs(3));
        world.cut(2);
        let before = received(&world, 1);
        for change in 0..changes {
            let score = i8::try_from(change % 100 + 1).unwrap();
            world.edit(0, |store| Edit::Score(score).apply(store)).unwrap().unwrap();
            world.run(Duration::from_millis(50));
        }
        world.run(Duration::from_millis(500));
        let live = received(&world, 1) - before;

        let before = received(&world, 2);
        world.mend(2);
        let ready = |world: &World| *world.peer(2).state() == State::Ready;
        assert!(world.run_until(Duration::from_secs(30), ready));
        // What came until it was ready is all that it lacked: nothing was asked for.
        let missed = received(&world, 2) - before;
        assert_eq!(world.peer(2).store().state_hash(), world.peer(1).store().state_hash());
        assert!(missed * 5 <= live * 6, "{changes} changes: {missed} bytes, {live} for who stayed");
    }
}
