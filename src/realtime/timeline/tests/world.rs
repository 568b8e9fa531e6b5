//! A writer that moves, a network, and somebody who looks on sixty times a second.

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::super::config::TimelineConfig;
use super::super::{Motion, Sample, Shown, Timeline};

pub(super) const SECOND: u64 = 1_000_000;

/// Room time at which every run begins.
pub(super) const START: u64 = 1_700_000_000 * SECOND;

/// Numbers from a seed.
pub(super) struct Dice(ChaCha12Rng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha12Rng::seed_from_u64(seed))
    }

    /// From 0 to 1, without 1.
    pub(super) fn share(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0.next_u64() % end
    }
}

/// What arrives of what was written, in the order in which it does.
pub(super) type Arrivals = Vec<(u64, Sample<f64>)>;

/// Samples of a motion, `rate` a second, each of which takes as long as `delay` says or is lost.
pub(super) fn written(
    motion: impl Fn(f64) -> f64,
    (rate, seconds): (u64, u64),
    mut delay: impl FnMut(u64) -> Option<u64>,
) -> Arrivals {
    let sample = |tick: u64| {
        let past = tick * SECOND / rate;
        let value = motion(past as f64 / SECOND as f64);
        let sample = Sample { at: START + past, value, teleport: false, writer: 1 };
        delay(tick).map(|delay| (START + past + delay, sample))
    };
    let mut arrivals: Arrivals = (0..rate * seconds).filter_map(sample).collect();
    arrivals.sort_by_key(|(arrived, _)| *arrived);
    arrivals
}

/// One look.
pub(super) struct Look {
    pub(super) now: u64,
    pub(super) shown: Shown<f64>,
    /// The value of the newest sample, as somebody without a timeline has it.
    pub(super) latest: f64,
}

/// Looks on from `from` to `to` seconds behind the start.
pub(super) fn watch(arrivals: &Arrivals, (from, to): (u64, u64)) -> Vec<Look> {
    watch_with(TimelineConfig::default(), arrivals, (from, to))
}

pub(super) fn watch_with(
    config: TimelineConfig,
    arrivals: &Arrivals,
    (from, to): (u64, u64),
) -> Vec<Look> {
    let mut timeline = Timeline::new(config);
    let (mut looks, mut arrivals) = (Vec::new(), arrivals.iter().peekable());
    let mut latest: Option<Sample<f64>> = None;
    for frame in 0..to * 60 {
        let now = START + frame * SECOND / 60;
        while let Some((arrived, sample)) = arrivals.next_if(|(arrived, _)| *arrived <= now) {
            timeline.push(*arrived, sample.clone());
            if latest.as_ref().is_none_or(|latest| latest.at < sample.at) {
                latest = Some(sample.clone());
            }
        }
        if let (Some(shown), Some(latest)) = (timeline.show(now), &latest)
            && frame >= from * 60
        {
            looks.push(Look { now, shown, latest: latest.value });
        }
    }
    looks
}

/// What somebody who looks on would say of it.
#[derive(Debug)]
pub(super) struct Report {
    /// The share of looks at something that no sample followed.
    pub(super) guessed: f64,
    /// How far behind it was, in milliseconds, on average.
    pub(super) lag: f64,
    /// The largest difference from what was so at the shown time.
    pub(super) error: f64,
    /// The root of the mean square of differences from what was so as long ago as is best for this.
    pub(super) off: f64,
    /// The same of the latest sample.
    pub(super) latest_off: f64,
    /// The largest difference between two looks.
    pub(super) step: f64,
    pub(super) latest_step: f64,
    /// The same of what was so.
    pub(super) true_step: f64,
    /// The least and most that shown time advanced between two looks, as parts of what time did.
    pub(super) pace: (f64, f64),
}

pub(super) fn report(looks: &[Look], motion: impl Fn(f64) -> f64) -> Report {
    let seconds = |at: u64| (at as f64 - START as f64) / SECOND as f64;
    let count = looks.len() as f64;
    let guessed = looks.iter().filter(|look| look.shown.motion == Motion::Extrapolated).count();
    let lag = looks.iter().map(|look| (look.now - look.shown.at) as f64 / 1e3).sum::<f64>();
    let most = |numbers: &mut dyn Iterator<Item = f64>| numbers.fold(0.0, f64::max);
    let step = |value: &dyn Fn(&Look) -> f64| {
        most(&mut looks.windows(2).map(|pair| (value(&pair[1]) - value(&pair[0])).abs()))
    };
    let off = |value: &dyn Fn(&Look) -> f64| {
        let of = |delay: u32| {
            let squares = looks.iter().map(|look| {
                (value(look) - motion(seconds(look.now) - f64::from(delay) / 1e3)).powi(2)
            });
            (squares.sum::<f64>() / count).sqrt()
        };
        (0..600).step_by(2).map(of).fold(f64::INFINITY, f64::min)
    };
    let paces = looks.windows(2).map(|pair| {
        (pair[1].shown.at - pair[0].shown.at) as f64 / (pair[1].now - pair[0].now) as f64
    });
    Report {
        guessed: guessed as f64 / count,
        lag: lag / count,
        error: most(
            &mut looks.iter().map(|look| (look.shown.value - motion(seconds(look.shown.at))).abs()),
        ),
        off: off(&|look| look.shown.value),
        latest_off: off(&|look| look.latest),
        step: step(&|look| look.shown.value),
        latest_step: step(&|look| look.latest),
        true_step: step(&|look| motion(seconds(look.now))),
        pace: paces
            .fold((f64::INFINITY, 0.0), |(least, most), pace| (least.min(pace), most.max(pace))),
    }
}

/// Metres of somebody who walks up and down, and sways.
pub(super) fn walk(seconds: f64) -> f64 {
    2.0 * (seconds * 1.25).sin() + 0.1 * (seconds * 7.0).sin()
}
