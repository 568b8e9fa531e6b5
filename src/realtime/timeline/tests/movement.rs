//! How well it does behind networks: numbers that were measured, with some room above them.

use super::world::{Arrivals, Dice, Report, SECOND, START, report, walk, watch, written};

/// As it is watched from the tenth second on.
fn walked(rate: u64, delay: impl FnMut(u64) -> Option<u64>) -> Report {
    report(&watch(&written(walk, (rate, 60), delay), (10, 60)), walk)
}

/// 50 ms, 20 more or less.
fn even(dice: &mut Dice) -> u64 {
    30_000 + dice.below(40_000)
}

/// The quantiles of delays that were measured of a stream over a link of 50 ms, 20 more or less,
/// that loses one packet in twenty: what is lost holds up what follows.
fn stalled(dice: &mut Dice) -> u64 {
    const QUANTILES: [(f64, f64); 6] =
        [(0.0, 30.0), (0.5, 57.3), (0.9, 75.0), (0.95, 170.0), (0.99, 206.0), (1.0, 310.0)];
    let share = dice.share();
    let pair = QUANTILES.windows(2).find(|pair| share < pair[1].0).unwrap();
    let ((from, least), (to, most)) = (pair[0], pair[1]);
    let millis = least + (most - least) * (share - from) / (to - from);
    std::time::Duration::from_secs_f64(millis / 1e3).as_micros().try_into().unwrap()
}

fn recorded(text: &str) -> Vec<u64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(str::split_ascii_whitespace).map(|number| number.parse().unwrap()).collect()
}

/// Runs of a minute each, by seeds.
fn runs(rate: u64, mut delay: impl FnMut(&mut Dice) -> Option<u64>) -> Vec<Report> {
    let run = |seed| {
        let mut dice = Dice::new(seed);
        walked(rate, |_| delay(&mut dice))
    };
    (0..8).map(run).collect()
}

/// The most of what each of some reports says.
fn most(reports: &[Report], of: impl Fn(&Report) -> f64) -> f64 {
    reports.iter().map(of).fold(0.0, f64::max)
}

#[test]
fn without_jitter_nothing_is_guessed_and_the_delay_is_one_interval() {
    for (rate, lag, error) in [(20, 90.1, 0.003), (60, 56.8, 0.000_3)] {
        let report = walked(rate, |_| Some(40_000));
        assert!(report.guessed == 0.0 && report.lag < lag, "{report:?}");
        assert!(report.error < error && report.pace == (1.0, 1.0), "{report:?}");
    }
}

/// The bounds are of guesses, delay, error, what is off against the latest sample, and steps.
fn assert_smooth(reports: &[Report], bounds: [f64; 5]) {
    let measured = [
        most(reports, |report| report.guessed),
        most(reports, |report| report.lag),
        most(reports, |report| report.error),
        most(reports, |report| report.off / report.latest_off),
        most(reports, |report| report.step / report.true_step),
    ];
    let within = measured.iter().zip(&bounds).all(|(measured, bound)| measured <= bound);
    assert!(within, "{measured:?} of {bounds:?}");
    for report in reports {
        let (least, most) = report.pace;
        assert!(least > 0.749 && most < 1.051, "{report:?}");
        assert!(report.latest_step > 2.0 * report.true_step, "{report:?}");
    }
}

#[test]
fn behind_jitter_it_moves_as_it_was() {
    let even = |rate| runs(rate, |dice| Some(even(dice)));
    assert_smooth(&even(20), [0.001, 125.0, 0.003, 0.08, 1.02]);
    assert_smooth(&even(60), [0.001, 90.0, 0.000_5, 0.15, 1.03]);
    let stalled = |rate| runs(rate, |dice| Some(stalled(dice)));
    assert_smooth(&stalled(20), [0.002, 260.0, 0.02, 0.6, 1.06]);
    assert_smooth(&stalled(60), [0.001, 225.0, 0.003, 0.9, 1.06]);
}

#[test]
fn behind_recorded_jitter_it_moves_as_it_was() {
    let recorded = |rate, text: &str| {
        let delays = recorded(text);
        walked(rate, |tick| delays.get(usize::try_from(tick).unwrap()).copied())
    };
    let slow = recorded(20, include_str!("../../../../tests/data/jitter-20hz.txt"));
    assert_smooth(&[slow], [0.001, 57.0, 0.003, 0.25, 1.02]);
    // A sixtieth of a second is most of the jitter here, and no jump for the latest sample either.
    let quick = recorded(60, include_str!("../../../../tests/data/jitter-60hz.txt"));
    assert_smooth(&[quick], [0.002, 22.0, 0.02, 2.0, 1.03]);
}

#[test]
fn where_one_in_ten_is_lost_in_bursts_guesses_are_near() {
    let bursts = |rate| {
        let mut left = 0;
        runs(rate, move |dice| {
            if left == 0 && dice.share() < 0.055 {
                left = 1 + dice.below(3);
            }
            if left > 0 {
                left -= 1;
                return None;
            }
            Some(even(dice))
        })
    };
    // At up to 3.2 m/s.
    assert_smooth(&bursts(20), [0.10, 125.0, 0.55, 0.62, 2.0]);
    assert_smooth(&bursts(60), [0.06, 90.0, 0.15, 0.32, 1.3]);
}

#[test]
fn two_that_take_turns_in_other_places_are_led_to() {
    for seed in 0..50 {
        let mut dice = Dice::new(seed);
        let apart = 1.0 + dice.share() * 4.0;
        // Each has it for two seconds, and the other's network is slower.
        let turn = |at: u64| (at - START) / (2 * SECOND) % 2;
        let delays = (dice.below(100_000), dice.below(100_000));
        let mut arrivals: Arrivals = written(walk, (20, 30), |tick| {
            let slower = if tick / 40 % 2 == 1 { delays.0 } else { delays.1 };
            Some(slower + dice.below(50_000)).filter(|_| dice.share() > 0.05)
        });
        for (_, sample) in &mut arrivals {
            sample.writer = 1 + turn(sample.at);
            sample.value += apart * f64::from(turn(sample.at) == 1);
        }
        let report = report(&watch(&arrivals, (1, 30)), walk);
        // A ninth of the way in each frame, and what somebody walks meanwhile.
        assert!(report.step < apart / 9.0 + 0.12, "{seed}: {apart} {report:?}");
        assert!(report.latest_step > apart * 0.9, "{seed}: {apart} {report:?}");
    }
}
