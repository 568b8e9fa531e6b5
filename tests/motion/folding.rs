//! When what moves goes into the document, and what that costs.

use std::time::Duration;

use parlor::proto::id::DocumentId;
use parlor::proto::model::value::Value;
use parlor::sim::network::Network;

use super::stage::Stage;

#[test]
fn what_rests_is_in_the_document_after_a_second() {
    let mut stage = Stage::new(1, Network::LAN, 2);
    stage.world.keep_history();
    stage.world.run(Duration::from_secs(2));
    let dancer = stage.add(0, "ada");
    let changes = |stage: &Stage| stage.world.peer(0).store().log(DocumentId::MODELS).len();
    let before = changes(&stage);
    for step in 0..40_u8 {
        stage.dance(0, &dancer, |pose| pose.level = f32::from(step));
        stage.world.run(Duration::from_millis(50));
    }
    // What moves writes no history.
    assert_eq!(changes(&stage), before);
    stage.world.run(Duration::from_millis(1_300));
    assert_eq!(stage.stored(1, &dancer, "5"), Some(Value::Float(39.0)));
    assert_eq!(changes(&stage), before + 1);
    stage.world.run(Duration::from_secs(30));
    assert_eq!(changes(&stage), before + 1);
}

#[test]
fn what_moves_on_is_in_the_document_every_ten_seconds() {
    let mut stage = Stage::new(2, Network::LAN, 2);
    stage.world.keep_history();
    stage.world.run(Duration::from_secs(2));
    let dancers = [stage.add(0, "ada"), stage.add(0, "bob")];
    let changes = |stage: &Stage| stage.world.peer(0).store().log(DocumentId::MODELS).len();
    let before = changes(&stage);
    for step in 0..840_u16 {
        for dancer in &dancers {
            stage.dance(0, dancer, |pose| pose.level = f32::from(step));
        }
        stage.world.run(Duration::from_millis(50));
    }
    let folds = changes(&stage) - before;
    assert!((3..=5).contains(&folds), "{folds} changes in 42 s");
    let Some(Value::Float(level)) = stage.stored(1, &dancers[0], "5") else {
        unreachable!("nothing")
    };
    assert!(level >= 600.0, "{level}");
}

#[test]
fn who_leaves_leaves_its_values_in_the_document() {
    let mut stage = Stage::new(3, Network::LAN, 2);
    let dancer = stage.add(0, "ada");
    stage.dance(0, &dancer, |pose| (pose.level, pose.typing) = (4.5, true));
    stage.world.run(Duration::from_millis(300));
    stage.world.leave(0);
    stage.world.run(Duration::from_millis(500));
    assert_eq!(stage.stored(1, &dancer, "5"), Some(Value::Float(4.5)));
    let seen = stage.see(1, &dancer).unwrap();
    assert!((seen.level - 4.5).abs() <= 0.1 && !seen.typing, "{seen:?}");
}

#[test]
fn what_moved_offline_is_there_when_the_peer_comes_back() {
    let mut stage = Stage::new(4, Network::LAN, 2);
    let dancer = stage.add(0, "ada");
    stage.world.cut(1);
    stage.world.run(Duration::from_secs(12));
    stage.dance(1, &dancer, |pose| pose.level = 8.0);
    stage.world.run(Duration::from_secs(3));
    stage.world.mend(1);
    stage.world.run(Duration::from_secs(20));
    for peer in 0..2 {
        let level = stage.see(peer, &dancer).unwrap().level;
        assert!((level - 8.0).abs() <= 0.1, "{peer}: {level}");
    }
}

#[test]
fn a_relay_that_forgot_everything_is_told_again() {
    let mut stage = Stage::new(5, Network::LAN, 2);
    let dancer = stage.add(0, "ada");
    stage.dance(0, &dancer, |pose| (pose.level, pose.typing) = (4.5, true));
    stage.world.run(Duration::from_millis(300));
    stage.world.crash_relay();
    stage.world.run(Duration::from_millis(300));
    stage.world.start_relay();
    for _ in 0..20 {
        stage.dance(0, &dancer, |pose| pose.typing = true);
        stage.world.run(Duration::from_millis(500));
    }
    let seen = stage.see(1, &dancer).unwrap();
    assert!((seen.level - 4.5).abs() <= 0.1 && seen.typing, "{seen:?}");
}

#[test]
fn a_new_model_comes_with_where_it_is() {
    let mut stage = Stage::new(6, Network::LAN, 2);
    let dancer = stage.world.edit(0, |store| {
        let dancers = store.root::<super::Scene>().unwrap().dancers.clone();
        let pose = super::stage::Pose { at: [1.0, 2.0, 3.0], typing: true, ..Default::default() };
        dancers.add(store, pose).unwrap()
    });
    let dancer = dancer.unwrap();
    stage.world.run(Duration::from_millis(400));
    let seen = stage.see(1, &dancer).unwrap();
    assert_eq!(seen.at, [1.0, 2.0, 3.0]);
    assert!(seen.typing);
    assert_eq!(stage.stored(1, &dancer, "4"), None);
}
