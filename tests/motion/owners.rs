//! Whose values count: those of the owner, and the last one goes with the model.

use std::time::Duration;

use parlor::proto::event::Event;
use parlor::proto::ownership::{Ownership, Terms};
use parlor::sim::network::Network;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::stage::{Stage, seeds};

#[test]
fn the_last_pose_is_there_with_the_model() {
    for seed in seeds(20, 1_000) {
        let mut stage = Stage::new(seed, Network::LAN, 3);
        let dancer = stage.add(0, "ada");
        stage.world.edit(0, |store| store.claim(&dancer, Terms::default()).unwrap()).unwrap();
        stage.world.run(Duration::from_millis(300));
        let mut x = 0.0;
        for _ in 0..10 {
            x += 1.0;
            stage.dance(0, &dancer, |pose| pose.level = x);
            stage.world.run(Duration::from_millis(50));
        }
        // The first owner has come to rest, and all that it said has arrived.
        stage.world.run(Duration::from_millis(300 + seed % 40));
        stage.world.set_network(Network::BURSTS);
        stage.world.edit(1, |store| store.claim(&dancer, Terms::default()).unwrap()).unwrap();
        let owns = |stage: &Stage| {
            matches!(stage.world.ownership(1, &dancer), Ownership::Confirmed { .. })
        };
        let mut waited = 0;
        while !owns(&stage) {
            stage.world.run(Duration::from_millis(5));
            let level = stage.see(1, &dancer).unwrap().level;
            assert!((level - x).abs() <= 0.1, "seed {seed}: {level} while waiting");
            waited += 1;
            assert!(waited < 2_000, "seed {seed}: never granted");
        }
        let level = stage.see(1, &dancer).unwrap().level;
        assert!((level - x).abs() <= 0.1, "seed {seed}: {level}, not {x}, with the grant");
    }
}

#[test]
fn what_is_another_s_is_not_said_and_no_value_goes_back() {
    for seed in seeds(20, 1_000) {
        let mut rng = ChaCha12Rng::seed_from_u64(seed ^ 0x0a7e);
        let mut stage = Stage::new(seed, Network::LAN, 3);
        let dancer = stage.add(0, "ada");
        stage
            .world
            .set_network([Network::LAN, Network::BURSTS][usize::try_from(seed % 2).unwrap()]);
        let (mut level, mut owner) = (0.0, None::<usize>);
        let mut shown = [f32::NEG_INFINITY; 3];
        for _ in 0..300 {
            // Whoever owns it goes on from what it sees.
            let owns = (0..3).find(|peer| {
                matches!(stage.world.ownership(*peer, &dancer), Ownership::Confirmed { .. })
            });
            if let Some(peer) = owns {
                if owner != Some(peer) {
                    owner = Some(peer);
                    level = stage.see(peer, &dancer).unwrap().level;
                }
                level += 0.5;
                stage.dance(peer, &dancer, |pose| pose.level = level);
            }
            if rng.next_u32() % 40 == 0 {
                let taker = usize::try_from(rng.next_u32() % 3).unwrap();
                stage
                    .world
                    .edit(taker, |store| store.claim(&dancer, Terms::default()))
                    .unwrap()
                    .ok();
            }
            stage.world.run(Duration::from_millis(25));
            // Who does not own it sees it rise. What an owner wrote last may never have counted.
            for (peer, before) in shown.iter_mut().enumerate() {
                let seen = stage.see(peer, &dancer).unwrap().level;
                let ownership = stage.world.ownership(peer, &dancer);
                if !matches!(ownership, Ownership::Free | Ownership::Remote { .. }) {
                    *before = f32::NEG_INFINITY;
                } else {
                    assert!(seen >= *before - 0.11, "seed {seed}: {seen} after {before}");
                    *before = seen;
                }
            }
        }
        stage.world.run(Duration::from_secs(4));
        let levels: Vec<_> = (0..3).map(|peer| stage.see(peer, &dancer).unwrap().level).collect();
        let agrees = |other: &f32| (other - levels[0]).abs() <= 0.2;
        assert!(levels.iter().all(agrees), "seed {seed}: {levels:?}");
    }
}

#[test]
fn a_peer_that_does_not_own_a_model_changes_it_nowhere() {
    let mut stage = Stage::new(3, Network::LAN, 2);
    let dancer = stage.add(0, "ada");
    stage.world.edit(0, |store| store.claim(&dancer, Terms::default()).unwrap()).unwrap();
    stage.world.run(Duration::from_millis(500));
    let outcome = stage.world.edit(1, |store| store.update(&dancer, |pose| pose.level = 9.0));
    assert!(outcome.unwrap().is_err());
    // What it wrote before it knew is taken back.
    let other = stage.add(1, "bob");
    stage.world.set_network(Network::LOSSY);
    stage.world.edit(0, |store| store.claim(&other, Terms::default()).unwrap()).unwrap();
    for _ in 0..40 {
        stage.world.edit(1, |store| store.update(&other, |pose| pose.level = 5.0)).unwrap().ok();
        stage.dance(0, &other, |pose| pose.level = 2.0);
        stage.world.run(Duration::from_millis(50));
    }
    stage.world.run(Duration::from_secs(3));
    for peer in 0..2 {
        let level = stage.see(peer, &other).unwrap().level;
        assert!((level - 2.0).abs() <= 0.1, "{peer}: {level}");
    }
}

#[test]
fn what_a_lost_peer_moved_stays_where_it_was_last_seen() {
    let mut stage = Stage::new(5, Network::LAN, 2);
    let dancer = stage.add(0, "ada");
    stage.world.edit(0, |store| store.claim(&dancer, Terms::default()).unwrap()).unwrap();
    for step in 0..20_u8 {
        stage.dance(0, &dancer, |pose| pose.level = f32::from(step));
        stage.world.run(Duration::from_millis(50));
    }
    stage.world.run(Duration::from_millis(100));
    stage.world.cut(0);
    stage.world.run(Duration::from_secs(7));
    let level = stage.see(1, &dancer).unwrap().level;
    assert!((level - 19.0).abs() <= 0.1, "{level}");
    // Whoever comes now finds it too, though nobody says it any more.
    let late = stage.join();
    stage.world.run(Duration::from_secs(2));
    let level = stage.see(late, &dancer).unwrap().level;
    assert!((level - 19.0).abs() <= 0.1, "{level}");
    let lost = |(peer, event): &(usize, Event)| {
        *peer == 1 && matches!(event, Event::Owner { owner: None, confirmed: true, .. })
    };
    assert!(stage.events().iter().any(lost));
}

#[test]
fn a_grant_of_something_else_makes_nobody_talk() {
    let mut stage = Stage::new(5, Network::LAN, 2);
    let (ada, bob) = (stage.add(0, "ada"), stage.add(1, "bob"));
    stage.world.edit(0, |store| store.claim(&ada, Terms::default()).unwrap()).unwrap();
    stage.world.run(Duration::from_secs(1));
    stage.dance(0, &ada, |pose| pose.level = 1.0);
    stage.world.run(Duration::from_secs(3));
    let before = stage.state_bytes(0);
    for _ in 0..5 {
        stage.world.edit(1, |store| store.claim(&bob, Terms::default()).unwrap()).unwrap();
        stage.world.run(Duration::from_secs(1));
        stage.world.edit(1, |store| store.release(&bob).unwrap()).unwrap();
        stage.world.run(Duration::from_secs(1));
    }
    assert_eq!(stage.state_bytes(0), before);
    // What is above what it says is its business.
    stage.world.edit(0, |store| store.release(&ada).unwrap()).unwrap();
    stage.world.run(Duration::from_secs(1));
    assert!(stage.state_bytes(0) > before);
}
