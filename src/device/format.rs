//! Which of the samples that a device has are used.

use std::time::Duration;

use cpal::{
    BufferSize, SampleFormat, StreamConfig, SupportedBufferSize, SupportedStreamConfigRange,
};

use crate::audio::RATE;
use crate::audio::resample::{MAX_CHANNELS, MAX_RATE, MIN_RATE};

/// What a device is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Format {
    pub(super) config: StreamConfig,
    pub(super) sample: SampleFormat,
}

impl Format {
    /// Samples a second, and channels.
    pub(super) const fn pair(&self) -> (u32, usize) {
        (self.config.sample_rate, self.config.channels as usize)
    }
}

/// What is wanted of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Wanted {
    /// So many, and no others.
    pub(super) channels: Option<usize>,
    /// Else as near as can be to so many.
    pub(super) usual: usize,
    pub(super) buffer: Duration,
}

/// The best of what a device has: with the channels that are wanted, at 48 kHz or the next rate above or
/// else below it, and of the samples that lose least.
pub(super) fn choose(
    offered: impl IntoIterator<Item = SupportedStreamConfigRange>,
    wanted: Wanted,
) -> Option<Format> {
    let usable = offered.into_iter().filter_map(|range| {
        let channels = usize::from(range.channels());
        let fits = match wanted.channels {
            Some(wanted) => channels == wanted,
            None => true,
        };
        let usable = fits && (1..=MAX_CHANNELS).contains(&channels);
        let rate = usable.then(|| rate(&range)).flatten()?;
        let quality = quality(range.sample_format())?;
        let order = (channels.abs_diff(wanted.usual), distance(rate), quality);
        Some((order, range, rate))
    });
    let (_, range, rate) = usable.min_by_key(|(order, ..)| *order)?;
    let buffer_size = buffer(range.buffer_size(), rate, wanted.buffer);
    let config = StreamConfig { channels: range.channels(), sample_rate: rate, buffer_size };
    Some(Format { config, sample: range.sample_format() })
}

/// The rate of a range that is nearest to ours.
fn rate(range: &SupportedStreamConfigRange) -> Option<u32> {
    let least = range.min_sample_rate().max(MIN_RATE);
    let most = range.max_sample_rate().min(MAX_RATE);
    (least <= most).then(|| RATE.clamp(least, most))
}

/// How far a rate is from ours: above nothing is lost.
const fn distance(rate: u32) -> (bool, u32) {
    (rate < RATE, rate.abs_diff(RATE))
}

/// Samples by what is lost when they are made, the least first; none of those that are no samples of a
/// wave.
const fn quality(sample: SampleFormat) -> Option<u8> {
    match sample {
        SampleFormat::F32 => Some(0),
        SampleFormat::I32 => Some(1),
        SampleFormat::I24 => Some(2),
        SampleFormat::I16 => Some(3),
        SampleFormat::F64 => Some(4),
        SampleFormat::U32 => Some(5),
        SampleFormat::U24 => Some(6),
        SampleFormat::U16 => Some(7),
        SampleFormat::I8 => Some(8),
        SampleFormat::U8 => Some(9),
        _ => None,
    }
}

/// The size of a device's pieces that is nearest to what is wanted; its own, if it does not say which it
/// has.
fn buffer(offered: &SupportedBufferSize, rate: u32, wanted: Duration) -> BufferSize {
    let frames = u128::from(rate) * wanted.as_micros() / 1_000_000;
    let frames = u32::try_from(frames).unwrap_or(u32::MAX).max(1);
    match *offered {
        // Two of them have to fit.
        SupportedBufferSize::Range { min, max } if min <= max / 2 => {
            BufferSize::Fixed(frames.clamp(min.max(1), (max / 2).max(1)))
        }
        SupportedBufferSize::Range { .. } | SupportedBufferSize::Unknown => BufferSize::Default,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: SupportedBufferSize = SupportedBufferSize::Range { min: 16, max: 65_536 };

    fn offered(channels: u16, rates: [u32; 2], sample: SampleFormat) -> SupportedStreamConfigRange {
        SupportedStreamConfigRange::new(channels, rates[0], rates[1], ANY, sample)
    }

    fn wanted(channels: Option<usize>) -> Wanted {
        Wanted { channels, usual: 1, buffer: Duration::from_millis(10) }
    }

    fn chosen(offers: &[SupportedStreamConfigRange], channels: Option<usize>) -> Option<Format> {
        choose(offers.iter().copied(), wanted(channels))
    }

    #[test]
    fn channels_come_before_the_rate_and_the_rate_before_the_samples() {
        let offers = [
            offered(2, [48_000; 2], SampleFormat::F32),
            offered(1, [44_100; 2], SampleFormat::F32),
            offered(1, [8_000, 96_000], SampleFormat::U8),
            offered(1, [8_000, 96_000], SampleFormat::I16),
            offered(64, [48_000; 2], SampleFormat::F32),
        ];
        let one = chosen(&offers, None).unwrap();
        assert_eq!((one.pair(), one.sample), ((48_000, 1), SampleFormat::I16));
        assert_eq!(one.config.buffer_size, BufferSize::Fixed(480));
        let two = chosen(&offers, Some(2)).unwrap();
        assert_eq!((two.pair(), two.sample), ((48_000, 2), SampleFormat::F32));
        assert_eq!(chosen(&offers, Some(3)), None);
        assert_eq!(chosen(&offers, Some(64)), None, "more than can be had");
    }

    #[test]
    fn a_rate_above_is_better_than_one_below() {
        let rates = |rates: &[[u32; 2]]| {
            let offers: Vec<_> =
                rates.iter().map(|rates| offered(1, *rates, SampleFormat::I16)).collect();
            chosen(&offers, None).map(|format| format.pair().0)
        };
        assert_eq!(rates(&[[44_100; 2], [96_000; 2]]), Some(96_000));
        assert_eq!(rates(&[[16_000; 2], [44_100; 2]]), Some(44_100));
        assert_eq!(rates(&[[88_200, 384_000]]), Some(88_200));
        assert_eq!(rates(&[[384_000; 2], [4_000; 2]]), None);
    }

    #[test]
    fn a_device_is_asked_for_pieces_that_it_has() {
        let wanted = Duration::from_millis(10);
        let of = |min, max| SupportedBufferSize::Range { min, max };
        assert_eq!(buffer(&of(1_024, 8_192), 48_000, wanted), BufferSize::Fixed(1_024));
        assert_eq!(buffer(&of(16, 512), 48_000, wanted), BufferSize::Fixed(256));
        assert_eq!(buffer(&of(512, 512), 48_000, wanted), BufferSize::Default);
        assert_eq!(buffer(&SupportedBufferSize::Unknown, 48_000, wanted), BufferSize::Default);
        assert_eq!(buffer(&of(0, u32::MAX), 48_000, Duration::ZERO), BufferSize::Fixed(1));
        assert_eq!(
            buffer(&of(0, u32::MAX), 48_000, Duration::MAX),
            BufferSize::Fixed(u32::MAX / 2)
        );
    }

    #[test]
    fn what_is_no_wave_is_not_used() {
        assert_eq!(chosen(&[offered(1, [48_000; 2], SampleFormat::DsdU8)], None), None);
    }
}
