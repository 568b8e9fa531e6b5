//! State properties in whole rooms, by seeds. `SIM_SEED=7 cargo test --features portable --test motion` runs
//! one; `PARLOR_FULL=1` runs more of them.
#![cfg(feature = "sim")]
#![expect(clippy::unwrap_used, reason = "a failing test is a panic")]

#[path = "motion/folding.rs"]
mod folding;
#[path = "motion/loss.rs"]
mod loss;
#[path = "motion/owners.rs"]
mod owners;
#[path = "motion/stage.rs"]
mod stage;
#[path = "motion/times.rs"]
mod times;
#[path = "motion/yields.rs"]
mod yields;

use std::time::Duration;

use parlor::proto::config::{PeerConfig, StateConfig};
use parlor::proto::datastore::EditError;
use parlor::proto::event::{Event, Origin, State};
use parlor::proto::model::property::vector::Quaternion;
use parlor::sim::network::Network;

use self::stage::{Scene, Stage};

#[test]
fn what_one_writes_another_sees_within_a_frame_and_half_a_step() {
    let mut stage = Stage::new(1, Network::LAN, 2);
    let dancer = stage.add(0, "ada");
    for step in 1..100_u16 {
        let x = f32::from(step) * 0.037;
        stage.dance(0, &dancer, |pose| pose.at = [x, 0.0, -x]);
        // A tick, a tick of the relay's, and the way.
        stage.world.run(Duration::from_millis(50 + 17 + 4));
        let seen = stage.see(1, &dancer).unwrap();
        for (shown, written) in seen.at.into_iter().zip([x, 0.0, -x]) {
            assert!((shown - written).abs() <= 0.01, "step {step}: {shown}, not {written}");
        }
    }
    assert_eq!(stage.see(0, &dancer).unwrap().at, [99.0 * 0.037, 0.0, -99.0 * 0.037]);
}

#[test]
fn a_turn_is_seen_as_it_was_written() {
    let mut stage = Stage::new(2, Network::LAN, 2);
    let dancer = stage.add(0, "ada");
    for step in 1..60_u8 {
        let half = f32::from(step) * 0.05;
        let turn = [0.0, half.sin(), 0.0, half.cos()];
        stage.dance(0, &dancer, |pose| pose.turn = Quaternion(turn));
        stage.world.run(Duration::from_millis(75));
        let seen = stage.see(1, &dancer).unwrap().turn.0;
        let along: f32 = seen.iter().zip(turn).map(|(seen, written)| seen * written).sum();
        assert!(along.abs() > 0.999_99, "step {step}: {seen:?}, not {turn:?}");
    }
}

#[test]
fn equal_values_and_values_that_rest_cost_nothing() {
    let mut stage = Stage::new(3, Network::LAN, 2);
    let dancer = stage.add(0, "ada");
    stage.dance(0, &dancer, |pose| pose.at = [1.0, 2.0, 3.0]);
    stage.world.run(Duration::from_secs(5));
    let before = stage.state_bytes(0);
    for _ in 0..100 {
        stage.dance(0, &dancer, |pose| pose.at = [1.0, 2.0, 3.0]);
        stage.world.run(Duration::from_millis(50));
    }
    assert_eq!(stage.state_bytes(0), before);
}

#[test]
fn a_late_joiner_is_exact_at_once_and_is_told_once() {
    // Frames keep their order, as on a stream.
    let mut stage = Stage::new(4, Network::LOCKSTEP, 2);
    let dancer = stage.add(0, "ada");
    stage.dance(0, &dancer, |pose| pose.level = 7.5);
    stage.world.run(Duration::from_millis(300));
    stage.dance(0, &dancer, |pose| pose.at = [4.0, 5.0, 6.0]);
    stage.world.run(Duration::from_millis(200));
    let late = stage.join();
    assert!(
        stage.world.run_until(Duration::from_secs(2), |world| {
            *world.peer(late).state() == State::Ready
        })
    );
    // What is said right behind the welcome.
    stage.world.run(Duration::from_millis(20));
    let seen = stage.see(late, &dancer).unwrap();
    assert!((seen.level - 7.5).abs() <= 0.1, "{seen:?}");
    assert!(
        seen.at.into_iter().zip([4.0, 5.0, 6.0]).all(|(a, b)| (a - b).abs() <= 0.01),
        "{seen:?}"
    );
}

#[test]
fn what_passes_is_gone_for_everybody_and_never_in_a_document() {
    let mut stage = Stage::new(5, Network::LAN, 2);
    let dancer = stage.add(0, "ada");
    stage.dance(0, &dancer, |pose| pose.typing = true);
    stage.world.run(Duration::from_millis(300));
    assert!(stage.see(1, &dancer).unwrap().typing);
    stage.world.run(Duration::from_millis(1_500));
    // Written again: it lasts for as long again.
    stage.dance(0, &dancer, |pose| pose.typing = true);
    stage.world.run(Duration::from_millis(1_500));
    assert!(stage.see(1, &dancer).unwrap().typing);
    assert!(stage.see(0, &dancer).unwrap().typing);
    stage.world.run(Duration::from_millis(1_000));
    assert!(!stage.see(0, &dancer).unwrap().typing);
    assert!(!stage.see(1, &dancer).unwrap().typing);
    assert_eq!(stage.stored(1, &dancer, "4"), None);
}

#[test]
fn what_passes_goes_with_a_peer_that_is_lost() {
    let mut stage = Stage::new(6, Network::LAN, 2);
    let dancer = stage.add(0, "ada");
    stage.dance(0, &dancer, |pose| pose.typing = true);
    stage.world.run(Duration::from_millis(300));
    assert!(stage.see(1, &dancer).unwrap().typing);
    stage.world.cut(0);
    stage.world.run(Duration::from_millis(6_000));
    assert!(!stage.see(1, &dancer).unwrap().typing);
}

#[test]
fn a_value_that_is_no_number_is_an_error_and_changes_nothing() {
    let mut stage = Stage::new(7, Network::LAN, 1);
    let dancer = stage.add(0, "ada");
    let outcome = stage.world.edit(0, |store| {
        store.update(&dancer, |pose| {
            pose.level = f32::NAN;
            pose.name = "eve".to_owned();
        })
    });
    assert!(matches!(outcome, Some(Err(EditError::OffGrid { property: 5, .. }))), "{outcome:?}");
    assert_eq!(stage.see(0, &dancer).unwrap().name, "ada");
    let outcome = stage
        .world
        .edit(0, |store| store.update_root(|scene: &mut Scene| scene.cursor = [1e30, 0.0]));
    assert!(matches!(outcome, Some(Err(EditError::OffGrid { property: 2, .. }))), "{outcome:?}");
}

#[test]
fn changes_are_told_with_their_properties_and_origin() {
    let mut stage = Stage::new(8, Network::LAN, 2);
    let dancer = stage.add(0, "ada");
    stage.world.run(Duration::from_secs(1));
    stage.events();
    stage.dance(0, &dancer, |pose| pose.level = 3.0);
    stage.world.run(Duration::from_millis(200));
    let told = |events: &[(usize, Event)], peer: usize, from: Origin| {
        events.iter().any(|(at, event)| {
            *at == peer
                && matches!(event, Event::Changed(changed) if changed.origin == from
                    && changed.properties.contains(&5))
        })
    };
    let events = stage.events();
    assert!(told(&events, 0, Origin::Local) && told(&events, 1, Origin::Remote), "{events:?}");
}

#[test]
fn one_that_reads_nothing_holds_up_nobody() {
    let mut stage = Stage::new(9, Network::LAN, 3);
    let dancer = stage.add(0, "ada");
    stage.world.run(Duration::from_secs(1));
    stage.world.deafen(2, true);
    for step in 0..100_u16 {
        stage.dance(0, &dancer, |pose| pose.level = f32::from(step));
        stage.world.run(Duration::from_millis(75));
        let seen = stage.see(1, &dancer).unwrap().level;
        assert!((seen - f32::from(step)).abs() <= 0.1, "step {step}: {seen}");
    }
    stage.world.deafen(2, false);
    stage.world.run(Duration::from_millis(500));
    assert!((stage.see(2, &dancer).unwrap().level - 99.0).abs() <= 0.1);
}

#[test]
fn a_budget_is_kept_and_everything_comes_in_the_end() {
    let mut stage = Stage::new(10, Network::LAN, 0);
    stage.budget(4_000);
    for _ in 0..2 {
        stage.join();
    }
    let dancers: Vec<_> = (0..60).map(|at| stage.add(0, &format!("dancer {at}"))).collect();
    stage.world.run(Duration::from_secs(2));
    let before = stage.received(1);
    for step in 0..100_u32 {
        for (at, dancer) in (0_u32..).zip(&dancers) {
            // Nothing that could be guessed.
            let x = f32::from(u16::try_from((step * 7_919 + at * 104) % 1_000).unwrap());
            stage.dance(0, dancer, |pose| pose.at = [x, -x, x / 2.0]);
        }
        stage.world.run(Duration::from_millis(50));
    }
    let bytes = stage.received(1) - before;
    assert!(bytes <= 5 * 4_000 + 1_000 + 4_000, "{bytes} bytes in 5 s");
    stage.world.run(Duration::from_secs(3));
    for dancer in &dancers {
        let (sent, seen) = (stage.see(0, dancer).unwrap().at, stage.see(1, dancer).unwrap().at);
        assert!(
            sent.into_iter().zip(seen).all(|(a, b)| (a - b).abs() <= 0.011),
            "{sent:?} {seen:?}"
        );
    }
}

#[test]
fn a_faster_sender_is_seen_sooner() {
    let mut stage = Stage::new(11, Network::LAN, 0);
    let state = StateConfig { rate: 60, ..StateConfig::default() };
    stage.join_as(PeerConfig { state, ..PeerConfig::default() });
    stage.join();
    let dancer = stage.add(0, "ada");
    for step in 0..100_u16 {
        stage.dance(0, &dancer, |pose| pose.level = f32::from(step));
        stage.world.run(Duration::from_millis(17 + 17 + 3));
        let seen = stage.see(1, &dancer).unwrap().level;
        assert!((seen - f32::from(step)).abs() <= 0.1, "step {step}: {seen}");
    }
}
