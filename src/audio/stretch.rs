//! Fewer or more samples of the same sound, by whole periods of its pitch: overlap and add, where
//! the sound is most like itself a period away (WSOLA, Verhelst and Roelands 1993).

/// The shortest and longest period, in samples: 2.5 and 15 ms.
const PERIODS: (usize, usize) = (120, 720);

/// The longest period.
pub(crate) const LONGEST: usize = PERIODS.1;

/// How many samples are compared, 10 ms.
const COMPARED: usize = 480;

/// The first look is at every so many samples only.
const STRIDE: usize = 4;

/// Power below which a sound is as good as silence, -50 dBov.
const QUIET: f32 = 1e-5;

/// How much of a sound is to be like another so that one goes over into the other unheard.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Care {
    /// Nothing but silence is stretched.
    Silence,
    /// And what repeats itself.
    Alike,
    /// Everything.
    None,
}

impl Care {
    /// The least correlation.
    const fn least(self) -> f32 {
        match self {
            Self::Silence => 2.0,
            Self::Alike => 0.9,
            Self::None => -2.0,
        }
    }
}

/// Takes a period of at most `most` samples out of what begins at `at`. Returns how many samples
/// were taken out, none if no period is like the next.
pub(crate) fn shorten(sound: &mut Vec<f32>, at: usize, most: usize, care: Care) -> usize {
    let ahead = sound.len().saturating_sub(at);
    let most = most.min(ahead / 2).min(PERIODS.1);
    let pair = |period: usize| (at, at + period);
    let Some(period) = period(sound, most, care, pair, |period| ahead - period) else { return 0 };
    for place in 0..period {
        let weight = (place + 1) as f32 / (period + 1) as f32;
        let (old, new) = (sound[at + place], sound[at + period + place]);
        sound[at + place] = between(old, new, weight);
    }
    sound.copy_within(at + 2 * period.., at + period);
    sound.truncate(sound.len() - period);
    period
}

/// Puts a period of at most `most` samples in before `at`, of what is on both sides. Returns how many
/// samples were put in, none if no period is like the next, or `sound` has no capacity for it.
pub(crate) fn lengthen(sound: &mut Vec<f32>, at: usize, most: usize, care: Care) -> usize {
    let ahead = sound.len().saturating_sub(at);
    let room = sound.capacity() - sound.len();
    let most = most.min(ahead).min(at).min(room).min(PERIODS.1);
    let pair = |period: usize| (at, at - period);
    let Some(period) = period(sound, most, care, pair, |_| ahead) else { return 0 };
    let length = sound.len();
    sound.resize(length + period, 0.0);
    sound.copy_within(at..length, at + period);
    for place in 0..period {
        let weight = (place + 1) as f32 / (period + 1) as f32;
        let (new, old) = (sound[at + period + place], sound[at - period + place]);
        sound[at + place] = between(new, old, weight);
    }
    period
}

/// What is between two samples; not beyond either, be it by the last bit.
fn between(one: f32, other: f32, weight: f32) -> f32 {
    (one * (1.0 - weight) + other * weight).clamp(one.min(other), one.max(other))
}

/// Where in `new`, at most `most` samples from its beginning, it is most like the beginning of `old`.
pub(crate) fn alike(old: &[f32], new: &[f32], most: usize) -> usize {
    let most = most.min(new.len().saturating_sub(old.len()));
    let score = |&at: &usize| correlation(old, &new[at..], STRIDE);
    let places = (0..=most).step_by(STRIDE);
    best(places, |at| score(&at)).map_or(0, |(at, _)| at)
}

/// The period, at most `most`, at which a sound is most like itself. `pair` gives the places that are
/// compared, `ahead` how many samples there are from the later one.
fn period(
    sound: &[f32],
    most: usize,
    care: Care,
    pair: impl Fn(usize) -> (usize, usize),
    ahead: impl Fn(usize) -> usize,
) -> Option<usize> {
    if most < PERIODS.0 {
        return None;
    }
    let compared = |period: usize, stride: usize| {
        let (one, other) = pair(period);
        let length = COMPARED.min(ahead(period));
        correlation(&sound[one..one + length], &sound[other..other + length], stride)
    };
    let (one, _) = pair(most);
    let heard = &sound[one..one + most.min(ahead(0))];
    if power(heard) < QUIET {
        return Some(most);
    }
    let coarse = best((PERIODS.0..=most).step_by(STRIDE), |at| compared(at, STRIDE))?.0;
    let near = coarse.saturating_sub(STRIDE - 1).max(PERIODS.0)..=(coarse + STRIDE - 1).min(most);
    let (period, likeness) = best(near, |at| compared(at, 1))?;
    (likeness >= care.least()).then_some(period)
}

/// The first place that scores highest, and its score.
fn best(places: impl Iterator<Item = usize>, score: impl Fn(usize) -> f32) -> Option<(usize, f32)> {
    places.map(|at| (at, score(at))).reduce(|best, next| if next.1 > best.1 { next } else { best })
}

/// Normalised: 1 of what is the same but for its loudness, 0 of silence.
fn correlation(one: &[f32], other: &[f32], stride: usize) -> f32 {
    let (mut both, mut first, mut second) = (0.0, 0.0, 0.0);
    for (a, b) in one.iter().zip(other).step_by(stride) {
        both += a * b;
        first += a * a;
        second += b * b;
    }
    let powers: f32 = first * second;
    if powers > 0.0 { both / powers.sqrt() } else { 0.0 }
}

/// The mean square.
pub(crate) fn power(sound: &[f32]) -> f32 {
    sound.iter().map(|sample| sample * sample).sum::<f32>() / sound.len().max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tone of a period, with room for another.
    fn tone(period: usize, length: usize) -> Vec<f32> {
        let mut sound = Vec::with_capacity(length + LONGEST);
        sound.extend((0..length).map(|at| (at % period) as f32 / period as f32 - 0.5));
        sound
    }

    fn noise(length: usize) -> Vec<f32> {
        let mut state = 1_u32;
        let mut sound = Vec::with_capacity(length + LONGEST);
        sound.extend((0..length).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state as f32 / u32::MAX as f32 - 0.5
        }));
        sound
    }

    /// Whether a sound is a tone of a period all the way.
    fn goes_on(sound: &[f32], period: usize) -> bool {
        sound.iter().zip(&sound[period..]).all(|(now, then)| (now - then).abs() < 1e-3)
    }

    #[test]
    fn a_tone_is_stretched_by_whole_periods() {
        for period in [123, 200, 313, 480, 719] {
            let mut sound = tone(period, 3_000);
            let out = shorten(&mut sound, 720, LONGEST, Care::Alike);
            assert!(out > 0 && out.is_multiple_of(period), "{out} of {period}");
            assert_eq!(sound.len(), 3_000 - out);
            assert!(goes_on(&sound, period), "{period}");

            let mut sound = tone(period, 3_000);
            let put = lengthen(&mut sound, 720, LONGEST, Care::Alike);
            assert!(put > 0 && put.is_multiple_of(period), "{put} of {period}");
            assert_eq!(sound.len(), 3_000 + put);
            assert!(goes_on(&sound, period), "{period}");
        }
    }

    #[test]
    fn no_more_is_changed_than_may_be() {
        let mut sound = tone(200, 3_000);
        assert_eq!(shorten(&mut sound, 720, 250, Care::Alike), 200);
        assert_eq!(lengthen(&mut sound, 720, 399, Care::Alike), 200);
        assert_eq!(shorten(&mut sound, 720, 150, Care::Alike), 0);
        assert_eq!(shorten(&mut sound, 2_700, LONGEST, Care::Alike), 0);
        assert_eq!(lengthen(&mut sound, 100, LONGEST, Care::Alike), 0);
        let mut full = tone(200, 3_000);
        full.shrink_to_fit();
        assert_eq!(lengthen(&mut full, 720, LONGEST, Care::Alike), 0);
        assert_eq!(full.len(), 3_000);
    }

    #[test]
    fn what_does_not_repeat_itself_is_left_alone_unless_it_must_not_be() {
        let whole = noise(3_000);
        let mut sound = whole.clone();
        sound.reserve(LONGEST);
        assert_eq!(shorten(&mut sound, 720, LONGEST, Care::Alike), 0);
        assert_eq!(lengthen(&mut sound, 720, LONGEST, Care::Alike), 0);
        assert_eq!(sound, whole);
        assert!(shorten(&mut sound, 720, LONGEST, Care::None) >= PERIODS.0);
    }

    #[test]
    fn silence_is_stretched_as_far_as_it_may_be() {
        let mut sound = noise(3_000);
        sound.iter_mut().for_each(|sample| *sample *= 0.001);
        assert_eq!(shorten(&mut sound, 720, 500, Care::Silence), 500);
        assert_eq!(lengthen(&mut sound, 720, 600, Care::Silence), 600);
        let mut loud = tone(200, 3_000);
        assert_eq!(shorten(&mut loud, 720, 500, Care::Silence), 0);
    }

    #[test]
    fn a_sound_is_found_where_it_is_alike() {
        let sound = noise(2_000);
        assert_eq!(alike(&sound[400..640], &sound[..1_000], 480), 400);
        assert_eq!(alike(&sound[400..640], &sound[..1_000], 100) / 100, 0);
        assert_eq!(alike(&[0.0; 240], &[0.0; 960], 480), 0);
    }
}
