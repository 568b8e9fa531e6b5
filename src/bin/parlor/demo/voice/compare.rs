//! What was heard beside what was said: how long after, and how like it.

use parlor::audio::{FRAME, RATE};

/// What is looked for at a time, in samples: 200 ms.
const WINDOW: usize = 9_600;

/// The longest delay that is looked for, in samples: a second.
const FARTHEST: usize = 48_000;

/// Samples that are one where it is looked for roughly.
const ROUGH: usize = 12;

/// A window was heard, if what was heard is so like it: the cosine of the angle between them.
const LIKE: f64 = 0.6;

/// Windows, and frames, with less than this share of the mean power are not looked for: pauses.
const QUIET: f64 = 0.1;

/// What became of what was said.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Likeness {
    /// Windows with something said in them.
    pub(super) said: usize,
    /// When each of those that were heard was, in milliseconds after it was said.
    pub(super) delays: Vec<f64>,
    /// How like what was said it is, as the mean of all windows: 1 is the same, 0 is nothing of it.
    pub(super) like: f64,
    /// The mean ratio of what was said to what is different, of frames of 20 ms of what was heard, each
    /// counted as at least -10 and at most 35 dB.
    pub(super) snr: f64,
}

impl Likeness {
    /// The share of what was said that was heard.
    pub(super) fn share(&self) -> f64 {
        self.delays.len() as f64 / self.said.max(1) as f64
    }

    pub(super) fn mean_delay(&self) -> f64 {
        self.delays.iter().sum::<f64>() / self.delays.len().max(1) as f64
    }

    pub(super) fn longest_delay(&self) -> f64 {
        self.delays.iter().copied().fold(0.0, f64::max)
    }
}

/// Compares what was said with what was heard, of which the sample `ahead` is of the time at which the
/// first was said (it may be before the beginning).
pub(super) fn compare(said: &[f32], heard: &[f32], ahead: i64) -> Likeness {
    let mean = power(said);
    let mut likeness = Likeness { said: 0, delays: Vec::new(), like: 0.0, snr: 0.0 };
    let mut ratios = Vec::new();
    for (at, window) in said.chunks_exact(WINDOW).enumerate() {
        if power(window) < mean * QUIET {
            continue;
        }
        likeness.said += 1;
        let from = ahead.saturating_add_unsigned((at * WINDOW) as u64);
        let Some(heard) = usize::try_from(from).ok().and_then(|from| heard.get(from..)) else {
            continue;
        };
        let Some((delay, like)) = find(window, heard) else { continue };
        likeness.like += like.max(0.0);
        if like >= LIKE {
            likeness.delays.push(delay as f64 * 1e3 / f64::from(RATE));
            ratios.extend(differences(window, &heard[delay..], mean));
        }
    }
    likeness.like /= likeness.said.max(1) as f64;
    likeness.snr = ratios.iter().sum::<f64>() / ratios.len().max(1) as f64;
    likeness
}

/// After how many samples something like a window was heard, and how like it is. Nothing, if not enough
/// was heard.
fn find(window: &[f32], heard: &[f32]) -> Option<(usize, f64)> {
    let heard = &heard[..heard.len().min(WINDOW + FARTHEST)];
    let (rough, _) = best(&roughly(window), &roughly(heard), 0)?;
    let from = (rough * ROUGH).saturating_sub(ROUGH);
    let to = (from + WINDOW + 2 * ROUGH).min(heard.len());
    best(window, &heard[from..to], from)
}

/// At a twelfth of the rate.
fn roughly(pcm: &[f32]) -> Vec<f32> {
    pcm.chunks_exact(ROUGH).map(|samples| samples.iter().sum()).collect()
}

/// Where in `heard` something most like `window` begins, `from` added, and how like it is.
fn best(window: &[f32], heard: &[f32], from: usize) -> Option<(usize, f64)> {
    let energy = energy(window);
    let alike = heard.windows(window.len()).map(|heard| {
        let product: f32 = window.iter().zip(heard).map(|(one, other)| one * other).sum();
        // Of silence nothing is like anything.
        f64::from(product) / (energy * self::energy(heard)).sqrt().max(1e-9)
    });
    let best = alike.enumerate().max_by(|one, other| one.1.total_cmp(&other.1));
    best.map(|(at, like)| (from + at, like))
}

/// The ratio of each frame to what is different in it, in decibels.
fn differences(said: &[f32], heard: &[f32], mean: f64) -> Vec<f64> {
    let frames = said.chunks_exact(FRAME).zip(heard.chunks_exact(FRAME));
    let loud = frames.filter(|(said, _)| power(said) >= mean * QUIET);
    let ratio = loud.map(|(said, heard)| {
        let different: Vec<f32> = said.iter().zip(heard).map(|(one, other)| one - other).collect();
        (10.0 * (energy(said) / energy(&different).max(1e-12)).log10()).clamp(-10.0, 35.0)
    });
    ratio.collect()
}

fn energy(pcm: &[f32]) -> f64 {
    f64::from(pcm.iter().map(|sample| sample * sample).sum::<f32>())
}

fn power(pcm: &[f32]) -> f64 {
    energy(pcm) / pcm.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::super::speech::speech;
    use super::*;

    #[test]
    fn what_is_late_and_quieter_is_found_where_it_is() {
        let said = speech(3.0);
        for (late, ahead) in [(0, 0), (2_405, 0), (2_405, 2_000), (30_000, 5_000)] {
            let mut heard = vec![0.0; late];
            heard.extend(said.iter().map(|sample| sample * 0.5));
            heard.resize(heard.len() + FARTHEST, 0.0);
            let likeness = compare(&said, &heard, ahead);
            let expected = (late as f64 - ahead as f64) / 48.0;
            assert!(likeness.said >= 4 && likeness.delays.len() == likeness.said);
            let exact = |delay: &f64| (delay - expected).abs() < 0.01;
            assert!(likeness.delays.iter().all(exact), "{expected}: {:?}", likeness.delays);
            assert!(likeness.like > 0.999 && (likeness.snr - 6.02).abs() < 0.1, "{likeness:?}");
        }
    }

    #[test]
    fn silence_noise_and_what_was_said_otherwise_are_not_what_was_said() {
        let said = speech(3.0);
        let backwards: Vec<f32> = said.iter().rev().copied().collect();
        let noise: Vec<f32> = backwards
            .iter()
            .scan(1_u32, |drawn, _| {
                *drawn = drawn.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                Some((f64::from(*drawn) / f64::from(u32::MAX) - 0.5) as f32)
            })
            .collect();
        for heard in [vec![], vec![0.0; said.len() + FARTHEST], backwards, noise] {
            let likeness = compare(&said, &heard, 0);
            assert!(likeness.said >= 4 && likeness.share() < 0.5, "{likeness:?}");
            assert!(likeness.like < LIKE, "{likeness:?}");
        }
    }
}
