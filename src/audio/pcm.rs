//! Samples as devices give them.

/// The largest sample that counts: 18 dB over full scale. What a decoder makes of the loudest voice is
/// far below, and sums of what is at most this are finite.
pub const LARGEST: f32 = 8.0;

/// A sample of a device: full scale is 1.0, or 32,768 as an integer.
pub trait Sample: Copy {
    /// The sample as the engine has it.
    fn to_f32(self) -> f32;

    /// A sample of the engine: what is beyond full scale counts as full scale, if there is any.
    fn from_f32(sample: f32) -> Self;
}

impl Sample for f32 {
    fn to_f32(self) -> f32 {
        self
    }

    fn from_f32(sample: f32) -> Self {
        sample
    }
}

impl Sample for i16 {
    fn to_f32(self) -> f32 {
        f32::from(self) / 32_768.0
    }

    fn from_f32(sample: f32) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a cast that saturates")]
        let sample = (sample * 32_768.0).round() as Self;
        sample
    }
}

/// The sample, if it is a number of at most [`LARGEST`] either way: else the nearest such number, and
/// 0 for what is none. Filters and codecs remember what they are given: one that is no number would
/// silence them for good.
#[must_use]
pub const fn sound(sample: f32) -> f32 {
    if sample.is_nan() { 0.0 } else { sample.clamp(-LARGEST, LARGEST) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "these are exact")]
    fn only_what_is_sound_is_left_as_it_is() {
        for sample in [0.0, -0.25, 1.0, LARGEST, -LARGEST, f32::MIN_POSITIVE] {
            assert_eq!(sound(sample).to_bits(), sample.to_bits());
        }
        assert_eq!(sound(f32::NAN), 0.0);
        assert_eq!(sound(f32::INFINITY), LARGEST);
        assert_eq!(sound(f32::MIN), -LARGEST);
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "these are exact")]
    fn integers_have_the_same_scale() {
        assert_eq!(i16::MIN.to_f32(), -1.0);
        assert_eq!(16_384_i16.to_f32(), 0.5);
        assert_eq!(0_i16.to_f32(), 0.0);
        assert!((i16::MIN..=i16::MAX).all(|sample| i16::from_f32(sample.to_f32()) == sample));
        assert_eq!([1.0, -7.0, f32::NAN].map(i16::from_f32), [i16::MAX, i16::MIN, 0]);
    }
}
