//! How loud something is, for packets and for meters.

use std::time::Duration;

use super::pcm::sound;
use crate::proto::audio::packet::Level;
use crate::proto::time::Time;

/// The level of samples in dBov: 0 is the mean power of a square wave of full scale, the overload
/// point that RFC 6464 and RFC 6465 refer to, so that the loudest sine is at -3.01. Never above 0, and
/// -127 for whatever is quieter, and for no samples. Samples beyond full scale count as full scale.
#[must_use]
pub fn dbov(pcm: &[f32]) -> f32 {
    let power: f32 = pcm.iter().map(|sample| sound(*sample).clamp(-1.0, 1.0).powi(2)).sum();
    // A quotient of 0 is at minus infinity, and without samples it is none: both are the least.
    let mean = power / pcm.len() as f32;
    (10.0 * mean.log10()).max(-f32::from(Level::SILENCE)).min(0.0)
}

/// What a packet says of a level in dBov: so many decibels under overload, in whole ones.
#[must_use]
pub fn under_overload(dbov: f32) -> u8 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast that saturates"
    )]
    let under = (-dbov).round() as u8;
    under.min(Level::SILENCE)
}

/// How a [`Meter`] moves.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct MeterConfig {
    /// So many decibels under overload are a volume of 0; overload is 1.
    pub range: f32,
    /// How long a volume takes to fall to 1/e of itself. It rises at once.
    pub release: Duration,
    /// How long at least is between two reports: 1 to 99 ms count as 100 ms, and none at all for 0.
    pub report_every: Duration,
}

impl Default for MeterConfig {
    fn default() -> Self {
        Self {
            range: 60.0,
            release: Duration::from_millis(200),
            report_every: Duration::from_millis(100),
        }
    }
}

/// The shortest time between two reports of a meter.
pub const MIN_REPORT: Duration = Duration::from_millis(100);

/// A volume that can be looked at: it rises at once and falls smoothly, also if nothing more comes.
#[derive(Clone, Debug)]
pub struct Meter {
    config: MeterConfig,
    volume: f32,
    at: Time,
    reported: f32,
    due: Time,
}

impl Meter {
    /// A meter at 0.
    #[must_use]
    pub const fn new(config: MeterConfig) -> Self {
        Self { config, volume: 0.0, at: Time::ZERO, reported: 0.0, due: Time::ZERO }
    }

    /// Takes the level of a packet or of a frame.
    pub fn observe(&mut self, now: Time, level: Level) {
        let loud = 1.0 - f32::from(level.dbov) / self.config.range;
        // A range of 0 has no volume between none and all.
        let loud = if loud.is_nan() { 0.0 } else { loud.clamp(0.0, 1.0) };
        self.volume = loud.max(self.volume(now));
        self.at = self.at.max(now);
    }

    /// The volume, from 0 to 1.
    #[must_use]
    pub fn volume(&self, now: Time) -> f32 {
        let falling = (now - self.at).as_secs_f32() / self.config.release.as_secs_f32();
        if falling.is_nan() { self.volume } else { self.volume * (-falling).exp() }
    }

    /// The volume, if it is time to report one and it is another than was reported last. What is
    /// below a thousandth is reported as 0.
    pub fn report(&mut self, now: Time) -> Option<f32> {
        let every = self.config.report_every;
        if every.is_zero() || now < self.due {
            return None;
        }
        let volume = Some(self.volume(now)).filter(|volume| *volume >= 0.001).unwrap_or(0.0);
        if volume.to_bits() == self.reported.to_bits() {
            return None;
        }
        self.reported = volume;
        self.due = now + every.max(MIN_REPORT);
        Some(volume)
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use proptest::collection::vec;
    use proptest::num::f32::ANY;
    use proptest::prelude::*;

    use super::*;

    fn sine(amplitude: f32) -> Vec<f32> {
        (0..960).map(|i| amplitude * (TAU * i as f32 / 48.0).sin()).collect()
    }

    fn at(millis: u64) -> Time {
        Time::from_micros(millis * 1_000)
    }

    #[test]
    fn overload_is_a_square_wave_of_full_scale() {
        let square: Vec<_> = (0..960).map(|i| if i % 48 < 24 { 1.0 } else { -1.0 }).collect();
        assert!(dbov(&square).abs() < 0.001);
        assert!((dbov(&sine(1.0)) + 3.0103).abs() < 0.001);
        assert!((dbov(&sine(0.01)) + 43.0103).abs() < 0.01);
        assert_eq!(under_overload(dbov(&sine(1.0))), 3);
        assert_eq!(under_overload(dbov(&[0.0; 960])), Level::SILENCE);
        assert_eq!(under_overload(dbov(&[])), Level::SILENCE);
        assert_eq!(under_overload(dbov(&[f32::NAN; 960])), Level::SILENCE);
        assert_eq!(under_overload(dbov(&[f32::INFINITY; 960])), 0);
    }

    #[test]
    fn a_meter_rises_at_once_and_falls_smoothly() {
        let mut meter = Meter::new(MeterConfig::default());
        meter.observe(at(1_000), Level { voice: true, dbov: 30 });
        assert!((meter.volume(at(1_000)) - 0.5).abs() < 1e-6);
        meter.observe(at(1_020), Level { voice: true, dbov: 6 });
        assert!((meter.volume(at(1_020)) - 0.9).abs() < 1e-6);
        meter.observe(at(1_040), Level { voice: false, dbov: 127 });
        let after = meter.volume(at(1_220));
        assert!((after - 0.9 / 1.0_f32.exp()).abs() < 1e-3, "{after}");
        assert!(meter.volume(at(5_000)) < 1e-6);
    }

    #[test]
    fn reports_come_at_their_times_and_of_changes_only() {
        let count = |millis| {
            let report_every = Duration::from_millis(millis);
            let mut meter = Meter::new(MeterConfig { report_every, ..MeterConfig::default() });
            let reports = (0..1_000).step_by(20).filter(|now| {
                let dbov = (*now / 20 % 60) as u8;
                meter.observe(at(*now), Level { voice: true, dbov });
                meter.report(at(*now)).is_some()
            });
            reports.count()
        };
        assert_eq!(count(0), 0);
        assert_eq!(count(1), 10);
        assert_eq!(count(100), 10);
        assert_eq!(count(250), 4);

        let mut meter = Meter::new(MeterConfig::default());
        assert_eq!(meter.report(at(0)), None);
        meter.observe(at(0), Level { voice: true, dbov: 0 });
        assert_eq!(meter.report(at(0)), Some(1.0));
        assert_eq!(meter.report(at(9_000)), Some(0.0));
        assert_eq!(meter.report(at(9_500)), None);
    }

    proptest! {
        #[test]
        fn a_level_is_within_its_range(pcm in vec(ANY, 0..100)) {
            let level = dbov(&pcm);
            prop_assert!((-127.0..=0.0).contains(&level), "{}", level);
        }

        #[test]
        fn a_volume_is_within_its_range(
            range in ANY,
            release in 0_u64..1_000_000,
            levels in vec((0_u64..10_000_000, any::<u8>()), 1..20),
        ) {
            let release = Duration::from_micros(release);
            let mut meter = Meter::new(MeterConfig { range, release, ..MeterConfig::default() });
            for (now, dbov) in levels {
                let now = Time::from_micros(now);
                meter.observe(now, Level { voice: true, dbov });
                let volume = meter.volume(now);
                prop_assert!((0.0..=1.0).contains(&volume), "{}", volume);
            }
        }
    }
}
