//! What is played.

use std::fmt;
use std::sync::Arc;

use cpal::traits::DeviceTrait;
use cpal::{Device, ErrorKind, FromSample, I24, SampleFormat, SizedSample, Stream, U24};

use super::format::{Format, Wanted, choose};
use super::running::{Running, Watch};
use super::{DeviceError, DeviceKind, DeviceOptions, look_up, unusable};
use crate::audio::BLOCK;

const KIND: DeviceKind = DeviceKind::Loudspeaker;

/// A loudspeaker that was found, and does not play yet.
pub struct Loudspeaker {
    device: Device,
    name: String,
    format: Format,
}

impl fmt::Debug for Loudspeaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loudspeaker").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Loudspeaker {
    /// Finds the one that the options name. Of its samples it takes those that need the least to be made
    /// of 48 kHz.
    ///
    /// # Errors
    ///
    /// When there is none, none of that name, or none whose samples can be used.
    pub fn find(options: &DeviceOptions) -> Result<Self, DeviceError> {
        let (name, device) = look_up(KIND, options)?;
        let offered = device.supported_output_configs();
        let offered = offered.map_err(|error| unusable(KIND, options, &name, &error))?;
        let channels = options.channels;
        let wanted = Wanted { channels, usual: 2, buffer: options.buffer };
        let Some(format) = choose(offered, wanted) else {
            return Err(DeviceError::Format { kind: KIND, name, channels });
        };
        Ok(Self { device, name, format })
    }

    /// Its id.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Samples a second, and channels.
    #[must_use]
    pub const fn format(&self) -> (u32, usize) {
        self.format.pair()
    }

    /// Plays from now on: `fill` writes what is played next, its channels interleaved, whenever the
    /// device asks for it, on the device's own thread. There it must not wait, lock or allocate; what is
    /// done around it does not. Where it returns an error, silence is played, and counted.
    ///
    /// # Errors
    ///
    /// When the device cannot be had.
    pub fn start<E>(
        self,
        fill: impl FnMut(&mut [f32]) -> Result<(), E> + Send + 'static,
    ) -> Result<Running, DeviceError> {
        let watch = Watch::new(KIND, &self.name);
        let block = vec![0.0; BLOCK * self.format.pair().1];
        let built = self.build(Filling { fill, block }, &watch);
        let stream = built.map_err(|error| DeviceError::new(KIND, &self.name, &error))?;
        Running::begin(stream, None, watch)
    }

    fn build<E, F>(&self, filling: Filling<F>, watch: &Arc<Watch>) -> Result<Stream, cpal::Error>
    where
        F: FnMut(&mut [f32]) -> Result<(), E> + Send + 'static,
    {
        match self.format.sample {
            SampleFormat::F32 => self.build_of::<f32, E, F>(filling, watch),
            SampleFormat::F64 => self.build_of::<f64, E, F>(filling, watch),
            SampleFormat::I32 => self.build_of::<i32, E, F>(filling, watch),
            SampleFormat::I24 => self.build_of::<I24, E, F>(filling, watch),
            SampleFormat::I16 => self.build_of::<i16, E, F>(filling, watch),
            SampleFormat::I8 => self.build_of::<i8, E, F>(filling, watch),
            SampleFormat::U32 => self.build_of::<u32, E, F>(filling, watch),
            SampleFormat::U24 => self.build_of::<U24, E, F>(filling, watch),
            SampleFormat::U16 => self.build_of::<u16, E, F>(filling, watch),
            SampleFormat::U8 => self.build_of::<u8, E, F>(filling, watch),
            _ => Err(cpal::Error::new(ErrorKind::UnsupportedConfig)),
        }
    }

    fn build_of<T, E, F>(
        &self,
        mut filling: Filling<F>,
        watch: &Arc<Watch>,
    ) -> Result<Stream, cpal::Error>
    where
        T: SizedSample + FromSample<f32>,
        F: FnMut(&mut [f32]) -> Result<(), E> + Send + 'static,
    {
        let (here, there) = (Arc::clone(watch), Arc::clone(watch));
        self.device.build_output_stream::<T, _, _>(
            self.format.config,
            move |out, _| {
                here.on_piece();
                (0..filling.play(out)).for_each(|_| here.on_failed());
            },
            move |error| there.on_error(&error),
            None,
        )
    }
}

/// Who says what is played, and where.
struct Filling<F> {
    fill: F,
    block: Vec<f32>,
}

impl<F> Filling<F> {
    /// Plays what is next, of a device's samples. Allocates nothing. Returns how many blocks are silent
    /// for an error.
    fn play<T: FromSample<f32>, E>(&mut self, out: &mut [T]) -> usize
    where
        F: FnMut(&mut [f32]) -> Result<(), E>,
    {
        let mut failed = 0;
        for out in out.chunks_mut(self.block.len()) {
            let block = &mut self.block[..out.len()];
            if (self.fill)(block).is_err() {
                block.fill(0.0);
                failed += 1;
            }
            for (out, sample) in out.iter_mut().zip(block) {
                *out = T::from_sample_(*sample);
            }
        }
        failed
    }
}

#[cfg(test)]
mod tests {
    use allocation_counter::measure;

    use super::*;

    #[test]
    fn whatever_a_device_asks_for_is_filled_in_order() {
        let mut next = 0_u16;
        let fill = |out: &mut [f32]| {
            for sample in out {
                *sample = f32::from(next) / 32_768.0;
                next += 1;
            }
            Ok::<(), ()>(())
        };
        let mut filling = Filling { fill, block: vec![0.0; 2 * BLOCK] };
        let mut played = Vec::new();
        for length in [2, 0, 2_000, 960, 38] {
            let mut out = vec![-1_i16; length];
            let allocated = measure(|| assert_eq!(filling.play(&mut out), 0));
            assert_eq!(allocated.count_total, 0);
            played.extend(out);
        }
        assert_eq!(played, (0..3_000).collect::<Vec<i16>>());
    }

    #[test]
    fn an_error_is_silence_and_is_counted() {
        let fill = |out: &mut [f32]| {
            out.fill(0.5);
            Err(())
        };
        let mut filling = Filling { fill, block: vec![0.0; 4] };
        let mut out = [1_u8; 10];
        assert_eq!(filling.play(&mut out), 3);
        assert_eq!(out, [128; 10], "the middle of what has no sign");
    }
}
