//! What another's value was taken for before does not come back, whatever becomes of that one: who is to
//! stop saying it may hear of that late.

use std::time::Duration;

use parlor::proto::model::handle::ModelRef;
use parlor::proto::model::value::Value;
use parlor::proto::ownership::{Ownership, Terms};
use parlor::sim::network::Network;

use super::stage::{Pose, Stage};

const FIRST: usize = 0;
const SECOND: usize = 1;
const THIRD: usize = 2;

/// A dancer that the first peer moved long ago and goes on saying, and that the second moved now. What
/// the relay says of that to the first is on its way for a tenth of a second, that it is to stop too;
/// the third has heard it, or does not hear it sooner either.
fn overtaken(third_hears: bool) -> (Stage, ModelRef<Pose>) {
    let mut stage = Stage::new(1, Network::LOCKSTEP, 3);
    let dancer = stage.add(FIRST, "ada");
    stage.dance(FIRST, &dancer, |pose| pose.level = 1.0);
    stage.world.run(Duration::from_secs(3));
    // From here on the relay tells one after the other.
    stage.point(THIRD, [1.0, 1.0]);
    stage.world.run(Duration::from_millis(2));
    stage.dance(SECOND, &dancer, |pose| pose.level = 2.0);
    stage.world.run(Duration::from_millis(1));
    let mut slow = Network::LOCKSTEP;
    slow.delay = Duration::from_millis(100);
    stage.world.set_network(slow);
    stage.world.run(Duration::from_millis(if third_hears { 5 } else { 20 }));
    stage.world.set_network(Network::LOCKSTEP);
    stage.world.run(Duration::from_millis(12));
    assert_eq!(levels(&stage, &dancer), [1.0, 2.0, if third_hears { 2.0 } else { 1.0 }]);
    (stage, dancer)
}

fn levels(stage: &Stage, dancer: &ModelRef<Pose>) -> [f32; 3] {
    [0, 1, 2].map(|peer| stage.see(peer, dancer).unwrap().level)
}

/// Everybody shows a value in the end, and the document says it.
fn agree(stage: &mut Stage, dancer: &ModelRef<Pose>, level: f32) {
    stage.world.run(Duration::from_secs(3));
    assert_eq!(levels(stage, dancer), [level; 3]);
    for peer in 0..3 {
        let stored = stage.stored(peer, dancer, "5");
        assert_eq!(stored, Some(Value::Float(level.into())), "peer {peer}");
    }
}

/// The first peer claims the dancer and is granted it, and the relay knows that it knows.
fn take_over(stage: &mut Stage, dancer: &ModelRef<Pose>) {
    stage.world.edit(FIRST, |store| store.claim(dancer, Terms::default()).unwrap()).unwrap();
    stage.world.flush(FIRST);
    stage.world.run(Duration::from_millis(60));
    assert!(matches!(stage.world.ownership(FIRST, dancer), Ownership::Confirmed { .. }));
}

#[test]
fn what_was_overtaken_does_not_count_again_when_its_writer_is_granted_the_model() {
    let (mut stage, dancer) = overtaken(true);
    take_over(&mut stage, &dancer);
    // That it is to stop saying 1 is still on its way to the first.
    assert_eq!(levels(&stage, &dancer), [1.0, 2.0, 2.0]);
    agree(&mut stage, &dancer, 2.0);
}

#[test]
fn what_was_overtaken_does_not_count_again_when_the_other_is_gone() {
    let (mut stage, dancer) = overtaken(true);
    stage.world.leave(SECOND);
    stage.world.run(Duration::from_millis(60));
    assert_eq!(levels(&stage, &dancer), [1.0, 2.0, 2.0]);
    agree(&mut stage, &dancer, 2.0);
}

#[test]
fn what_was_said_before_the_document_was_written_does_not_outlive_its_end() {
    let (mut stage, dancer) = overtaken(false);
    // To others the first is the owner now, and 1 is what they have heard of it.
    take_over(&mut stage, &dancer);
    agree(&mut stage, &dancer, 2.0);
}

#[test]
fn what_is_written_anew_counts_though_what_was_there_before_was_overtaken() {
    for third_hears in [true, false] {
        let (mut stage, dancer) = overtaken(third_hears);
        take_over(&mut stage, &dancer);
        stage.dance(FIRST, &dancer, |pose| pose.level = 3.0);
        agree(&mut stage, &dancer, 3.0);
    }
}
