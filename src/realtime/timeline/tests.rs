mod movement;
mod world;

use std::time::Duration;

use proptest::prelude::*;

use self::world::{Arrivals, START};
use super::blend::Angle;
use super::config::TimelineConfig;
use super::{Motion, Sample, Timeline};

const MS: u64 = 1_000;

/// A sample of writer 1 at some milliseconds.
fn sample(at: u64, value: f64) -> Sample<f64> {
    Sample { at: START + at * MS, value, teleport: false, writer: 1 }
}

fn teleport(at: u64, value: f64) -> Sample<f64> {
    Sample { teleport: true, ..sample(at, value) }
}

fn by(writer: u64, sample: Sample<f64>) -> Sample<f64> {
    Sample { writer, ..sample }
}

impl Timeline<f64> {
    /// Pushes a sample that arrives at some milliseconds.
    fn get(&mut self, arrived: u64, sample: Sample<f64>) -> bool {
        self.push(START + arrived * MS, sample)
    }

    /// Shows at some milliseconds.
    fn see(&mut self, now: u64) -> (f64, Motion) {
        let shown = self.show(START + now * MS).unwrap();
        (shown.value, shown.motion)
    }
}

/// 20 samples a second for `count` of them, one more each, without any delay.
fn moving(count: u64) -> Timeline<f64> {
    let mut timeline = Timeline::default();
    for tick in 0..count {
        assert!(timeline.get(tick * 50, sample(tick * 50, tick as f64)));
        timeline.see(tick * 50);
    }
    timeline
}

#[test]
fn nothing_shows_before_the_first_sample_and_that_at_once() {
    let mut timeline = Timeline::default();
    assert_eq!(timeline.show(START), None);
    // It was written an hour ago, and rests since.
    assert!(timeline.push(START + 3_600_000 * MS, sample(0, 7.0)));
    assert_eq!(timeline.see(3_600_001), (7.0, Motion::Resting));
    assert_eq!(timeline.delay(), None);
}

#[test]
fn without_jitter_the_delay_is_one_interval() {
    let mut timeline = moving(10);
    assert_eq!(timeline.delay(), Some(Duration::from_millis(50)));
    assert_eq!(timeline.see(475), (8.5, Motion::Interpolated));
}

#[test]
fn what_stops_coasts_and_settles_exactly_on_the_last_sample() {
    let mut timeline = moving(10);
    assert_eq!(timeline.see(500), (9.0, Motion::Interpolated));
    let mut most: f64 = 0.0;
    for now in (501..750).step_by(8) {
        let (value, motion) = timeline.see(now);
        assert_eq!(motion, Motion::Extrapolated);
        most = most.max(value);
    }
    // 4/27 of 250 ms at one each 50 ms.
    assert!((most - 9.74).abs() < 0.01, "{most}");
    assert_eq!(timeline.see(750), (9.0, Motion::Resting));
    assert_eq!(timeline.see(1_000_000), (9.0, Motion::Resting));
}

#[test]
fn a_value_that_was_said_twice_rests() {
    let mut timeline = moving(10);
    timeline.get(500, sample(500, 9.0));
    timeline.see(550);
    assert_eq!(timeline.see(560), (9.0, Motion::Resting));
}

#[test]
fn what_rested_moves_within_one_interval() {
    let mut timeline = moving(10);
    timeline.see(2_000);
    timeline.get(3_000, sample(3_000, 10.0));
    assert_eq!(timeline.see(3_000), (9.0, Motion::Interpolated));
    assert_eq!(timeline.see(3_025), (9.5, Motion::Interpolated));
    assert_eq!(timeline.see(3_050), (10.0, Motion::Interpolated));
}

#[test]
fn a_teleport_shows_at_its_time_and_not_before() {
    let mut timeline = moving(10);
    timeline.get(500, teleport(500, 100.0));
    timeline.get(550, sample(550, 101.0));
    let (before, _) = timeline.see(549);
    assert!(before < 10.0, "{before}");
    assert_eq!(timeline.see(550), (100.0, Motion::Interpolated));
    assert_eq!(timeline.see(575), (100.5, Motion::Interpolated));
}

#[test]
fn a_teleport_that_comes_late_shows_at_once() {
    let mut timeline = moving(10);
    timeline.see(560);
    timeline.get(570, teleport(505, 100.0));
    assert_eq!(timeline.see(570), (100.0, Motion::Extrapolated));
}

#[test]
fn another_writer_is_led_to() {
    let mut timeline = moving(10);
    for tick in 10..20 {
        timeline.get(tick * 50, by(2, sample(tick * 50, 20.0)));
    }
    // From where the first would have been, in 150 ms.
    let (mut before, _) = timeline.see(550);
    assert!(before > 9.0 && before < 10.0, "{before}");
    for now in 551..700 {
        let (value, motion) = timeline.see(now);
        assert!(value > before && value - before < 0.08, "{before} {value}");
        assert!(motion != Motion::Resting);
        before = value;
    }
    assert_eq!(timeline.see(700), (20.0, Motion::Interpolated));
}

#[test]
fn being_led_does_not_depend_on_how_often_one_looks() {
    let (mut often, mut seldom) = (moving(10), moving(10));
    for tick in 10..13 {
        often.get(tick * 50, by(2, sample(tick * 50, 20.0)));
        seldom.get(tick * 50, by(2, sample(tick * 50, 20.0)));
    }
    seldom.see(540);
    for now in 540..625 {
        often.see(now);
    }
    let (often, seldom) = (often.see(625).0, seldom.see(625).0);
    assert!((often - seldom).abs() < 1e-9, "{often} {seldom}");
}

#[test]
fn what_is_led_rests_once_it_is_there() {
    let mut timeline = Timeline::default();
    timeline.get(0, sample(0, 7.0));
    timeline.see(0);
    timeline.get(10, by(2, sample(10, 8.0)));
    assert_eq!(timeline.see(75), (7.5, Motion::Extrapolated));
    assert_eq!(timeline.see(150), (8.0, Motion::Resting));
}

#[test]
fn a_teleport_that_is_still_to_come_does_not_leap_when_it_arrives() {
    let mut timeline = moving(10);
    timeline.get(530, sample(550, 11.0));
    let (before, _) = timeline.see(535);
    timeline.get(535, teleport(500, 100.0));
    assert!((timeline.see(535).0 - before).abs() < 1e-9);
}

#[test]
fn each_writer_has_its_own_delays_and_its_first_sample_none() {
    let mut timeline = Timeline::default();
    for tick in 0..200 {
        let (writer, delay) = if tick < 20 { (1, 200) } else { (2, 0) };
        // It was there for a while before anybody heard of it.
        let delay = if tick == 20 { 49 } else { delay };
        timeline.get(tick * 50 + delay, by(writer, sample(tick * 50, 0.0)));
        timeline.see(tick * 50 + delay);
        let least = if tick < 20 { 250 } else { 50 };
        let target = timeline.delay.target.map(|target| target / 1_000);
        assert!(target.is_none_or(|target| target == least || tick == 20), "{tick} {target:?}");
    }
    assert_eq!(timeline.delay(), Some(Duration::from_millis(50)));
}

#[test]
fn at_rest_the_delay_is_at_once_what_it_should_be() {
    let config = TimelineConfig { window: 4, ..TimelineConfig::default() };
    let mut timeline = Timeline::new(config);
    for tick in 0..20 {
        let delay = if tick < 10 { 200 } else { 0 };
        timeline.get(tick * 50 + delay, sample(tick * 50, tick as f64));
        timeline.see(tick * 50 + delay);
    }
    assert!(timeline.delay() > Some(Duration::from_millis(200)));
    timeline.see(1_500);
    timeline.see(1_501);
    assert_eq!(timeline.delay(), Some(Duration::from_millis(50)));
}

#[test]
fn a_rest_is_no_interval_and_ends_where_it_began() {
    let config = TimelineConfig { coast: Duration::from_secs(1), ..TimelineConfig::default() };
    let mut timeline = Timeline::new(config);
    for (at, value) in [(0, 0.0), (1_000, 1.0), (1_310, 2.0)] {
        timeline.get(at, sample(at, value));
    }
    assert_eq!(timeline.see(1_025), (0.5, Motion::Interpolated));
    assert!(timeline.see(1_100).0 > 1.1);
    let (value, _) = timeline.see(1_309);
    assert!((value - 1.0).abs() < 0.001, "{value}");
}

#[test]
fn two_samples_close_by_are_no_great_speed() {
    let mut timeline = moving(10);
    timeline.get(451, sample(451, 10.0));
    let most = (501..750).map(|now| timeline.see(now).0).fold(0.0, f64::max);
    assert!(most < 10.75, "{most}");
}

#[test]
fn late_samples_find_their_place() {
    let (mut sorted, mut shuffled) = (moving(10), moving(10));
    for (tick, late) in [(10, 11), (11, 10), (12, 12)] {
        sorted.get(600, sample(tick * 50, 10.0 - (tick * tick) as f64));
        shuffled.get(600, sample(late * 50, 10.0 - (late * late) as f64));
    }
    for now in 600..700 {
        assert_eq!(sorted.see(now), shuffled.see(now));
    }
}

#[test]
fn of_one_time_the_first_counts_and_what_is_older_than_all_does_not() {
    let mut timeline = moving(20);
    assert!(!timeline.get(951, sample(950, 1.0)));
    assert!(!timeline.get(951, sample(100, 1.0)));
    assert!(!timeline.get(1_000, sample(1_000, f64::NAN)));
    assert_eq!(timeline.see(1_000), (19.0, Motion::Interpolated));
}

#[test]
fn a_sample_from_far_in_the_future_is_taken_as_of_now() {
    let mut timeline = moving(10);
    timeline.get(470, Sample { at: u64::MAX, ..sample(0, 100.0) });
    timeline.get(470, Sample { at: u64::MAX - 1, ..sample(0, 50.0) });
    assert_eq!(timeline.see(520), (100.0, Motion::Interpolated));
    assert_eq!(timeline.see(2_000), (50.0, Motion::Resting));
    timeline.get(2_010, sample(2_010, 9.0));
    assert_eq!(timeline.see(3_000), (9.0, Motion::Resting));
    assert_eq!(timeline.delay(), Some(Duration::from_millis(50)));
}

#[test]
fn when_full_the_oldest_goes() {
    let config = TimelineConfig { capacity: 4, ..TimelineConfig::default() };
    let mut timeline = Timeline::new(config);
    for tick in 0..100 {
        assert!(timeline.get(tick * 10, sample(tick * 10, tick as f64)));
        assert!(timeline.track.len() <= 4);
    }
    assert_eq!(timeline.see(960), (96.0, Motion::Resting));
}

#[test]
fn a_worse_network_is_waited_for_at_once_and_a_better_one_slowly() {
    let delay = |tick| if (100..400).contains(&tick) { 150 * MS } else { 20 * MS };
    let arrivals = world::written(|_| 0.0, (20, 60), |tick| Some(delay(tick)));
    let looks = world::watch(&arrivals, (2, 60));
    let lag = |seconds: u64| {
        let look = &looks[usize::try_from((seconds - 2) * 60).unwrap()];
        (look.now - look.shown.at) / MS
    };
    assert_eq!([lag(4), lag(7), lag(20), lag(59)], [70, 200, 200, 70]);
    let paces = world::report(&looks, |_| 0.0).pace;
    assert!(paces.0 >= 0.74 && paces.1 <= 1.06, "{paces:?}");
}

#[test]
fn numbers_that_go_round_and_values_together_move_too() {
    let mut timeline = Timeline::default();
    let sample = |at: u64, angle: f32| {
        let value = (Angle(angle), [angle; 3], f64::from(angle));
        Sample { at: START + at * MS, value, teleport: false, writer: 1 }
    };
    for (at, angle) in [(0, 3.0), (50, 3.1), (100, -3.1)] {
        timeline.push(START + at * MS, sample(at, angle));
    }
    let shown = timeline.show(START + 125 * MS).unwrap();
    assert!(shown.value.0.0.abs() > 3.1, "{shown:?}");
    assert!(shown.value.2.abs() < 0.1, "{shown:?}");
}

/// Samples of two writers, mostly as they come, some from anywhere in time.
fn anything() -> impl Strategy<Value = Vec<(u64, Sample<f64>)>> {
    let time = prop_oneof![8 => 0_u64..400, 1 => 0_u64..10_000, 1 => Just(u64::MAX / 2)];
    let number = prop_oneof![9 => -10.0..10.0, 1 => any::<f64>()];
    let one = (0_u64..60, time, number, prop::bool::weighted(0.1), 1_u64..3);
    let list = prop::collection::vec(one, 1..80);
    list.prop_map(|list| {
        let mut arrived = 10_000;
        let place = |(wait, age, value, teleport, writer): (u64, u64, f64, bool, u64)| {
            arrived += wait;
            let at = START + arrived.saturating_sub(age) * MS;
            let at = if age > 10_000 { age } else { at };
            (START + arrived * MS, Sample { at, value, teleport, writer })
        };
        list.into_iter().map(place).collect()
    })
}

proptest! {
    #[test]
    fn whatever_comes_time_goes_on_numbers_are_finite_and_the_newest_is_settled_on(
        arrivals in anything(),
        capacity in 0_usize..20,
    ) {
        let config = TimelineConfig { capacity, window: capacity, ..TimelineConfig::default() };
        let mut timeline = Timeline::new(config);
        let mut before = 0;
        for (arrived, sample) in &arrivals {
            timeline.push(*arrived, sample.clone());
            prop_assert!(timeline.track.len() <= capacity.max(4));
            if let Some(shown) = timeline.show(*arrived) {
                prop_assert!(shown.value.is_finite());
                prop_assert!(shown.at >= before);
                before = shown.at;
            }
        }
        let (last, _) = arrivals.last().unwrap();
        if let Some(newest) = timeline.track.newest().cloned() {
            // All delays together; the second look ends what the first may have begun.
            for wait in [1_900, 2_100] {
                timeline.show(last + wait * MS);
            }
            let shown = timeline.show(last + 2_300 * MS).unwrap();
            prop_assert_eq!((shown.value, shown.motion), (newest.value, Motion::Resting));
        }
    }

    #[test]
    fn nothing_leaps_when_a_sample_comes_but_what_says_so(arrivals in anything()) {
        let mut timeline = Timeline::default();
        for (arrived, mut sample) in arrivals {
            sample.value = sample.value.clamp(-10.0, 10.0);
            let leaps = sample.teleport;
            let before = timeline.show(arrived);
            timeline.push(arrived, sample);
            let after = timeline.show(arrived);
            if let (Some(before), Some(after), false) = (before, after, leaps) {
                prop_assert!((before.value - after.value).abs() < 1e-9, "{before:?} {after:?}");
            }
        }
    }

    #[test]
    fn nothing_leaps_as_time_goes_on(
        samples in prop::collection::vec((0_u64..60, 0_u64..30, -1.0..1.0, 1_u64..3), 1..40),
    ) {
        let mut timeline = Timeline::default();
        let (mut arrived, mut before) = (10_000, None);
        for (wait, age, value, writer) in samples {
            // Samples that are 10 ms apart, or more: 0.1 in half a millisecond, and as much again
            // for a correction that began with coasting.
            for half in 0..wait * 2 {
                let shown = timeline.show(START + arrived * MS + half * 500);
                let shown = shown.map(|shown| shown.value);
                if let (Some(before), Some(shown)) = (before, shown) {
                    prop_assert!(f64::abs(shown - before) < 0.2, "{before} {shown}");
                }
                before = shown.or(before);
            }
            arrived += wait;
            let at = (arrived / 10).saturating_sub(age) * 10;
            timeline.get(arrived, by(writer, sample(at, value)));
        }
    }

    #[test]
    fn what_is_between_samples_is_between_their_values(
        steps in prop::collection::vec((1_u64..500, -10.0..10.0), 2..40),
        frames in prop::collection::vec(0_u64..60, 1..200),
    ) {
        let mut timeline = Timeline::default();
        let (mut samples, mut at) = (Vec::new(), 0);
        for (step, value) in steps {
            at += step;
            samples.push(sample(at, value));
            timeline.get(at + 20, sample(at, value));
        }
        // As if it were shown from the beginning on.
        let mut now = 0;
        for frame in frames {
            now += frame * MS;
            let shown = timeline.show(START + now).unwrap();
            let next = samples.partition_point(|sample| sample.at <= shown.at);
            let near = &samples[next.saturating_sub(1)..(next + 1).min(samples.len())];
            let within = near.iter().any(|a| a.value <= shown.value)
                && near.iter().any(|a| a.value >= shown.value);
            prop_assert!(within || shown.motion == Motion::Extrapolated, "{:?} {:?}", shown, near);
        }
    }

    #[test]
    fn what_comes_twice_changes_nothing(
        delays in prop::collection::vec((0_u64..120, 0_u64..200), 2..100),
    ) {
        let one = |(tick, (delay, again)): (usize, (u64, u64))| {
            let (at, value) = (50 * tick as u64, (tick * tick % 7) as f64);
            [(at + delay, sample(at, value)), (at + delay + again, sample(at, value))]
        };
        let mut both: Arrivals = delays.into_iter().enumerate().flat_map(one).collect();
        both.sort_by_key(|(arrived, _)| *arrived);
        let (mut once, mut twice) = (Timeline::default(), Timeline::default());
        let mut known = Vec::new();
        for (arrived, sample) in both {
            twice.get(arrived, sample.clone());
            if !known.contains(&sample) {
                known.push(sample.clone());
                once.get(arrived, sample);
            }
            prop_assert_eq!(once.see(arrived), twice.see(arrived));
        }
    }
}
