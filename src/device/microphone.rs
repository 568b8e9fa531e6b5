//! What is captured.

use std::fmt;
use std::sync::Arc;
use std::thread::{self, Thread};

use cpal::traits::DeviceTrait;
use cpal::{Device, ErrorKind, FromSample, I24, SampleFormat, SizedSample, Stream, U24};
use rtrb::{Consumer, Producer, RingBuffer};

use super::format::{Format, Wanted, choose};
use super::running::{Running, Watch};
use super::{DeviceError, DeviceKind, DeviceOptions, look_up, unusable};

const KIND: DeviceKind = DeviceKind::Microphone;

/// A microphone that was found, and does not capture yet.
pub struct Microphone {
    device: Device,
    name: String,
    format: Format,
    /// Samples of all channels that may wait.
    waiting: usize,
}

impl fmt::Debug for Microphone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Microphone").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Microphone {
    /// Finds the one that the options name. Of its samples it takes those that need the least to be
    /// brought to 48 kHz and one channel.
    ///
    /// # Errors
    ///
    /// When there is none, none of that name, or none whose samples can be used.
    pub fn find(options: &DeviceOptions) -> Result<Self, DeviceError> {
        let (name, device) = look_up(KIND, options)?;
        let offered = device.supported_input_configs();
        let offered = offered.map_err(|error| unusable(KIND, options, &name, &error))?;
        let channels = options.channels;
        let wanted = Wanted { channels, usual: 1, buffer: options.buffer };
        let Some(format) = choose(offered, wanted) else {
            return Err(DeviceError::Format { kind: KIND, name, channels });
        };
        let (rate, channels) = format.pair();
        let waiting = u128::from(rate) * options.waiting.as_micros() / 1_000_000;
        let waiting = usize::try_from(waiting).unwrap_or(usize::MAX).clamp(1, rate as usize * 60);
        // A multiple of the channels: so none is ever parted from the others.
        Ok(Self { device, name, format, waiting: waiting * channels })
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

    /// Captures from now on: `take` gets what was captured, its channels interleaved, as soon as the
    /// device has it, on a thread of its own, where it may allocate and lock, but should not take
    /// longer than what it was given lasts. Whatever it returns as an error is counted.
    ///
    /// # Errors
    ///
    /// When the device cannot be had.
    pub fn start<E>(
        self,
        take: impl FnMut(&[f32]) -> Result<(), E> + Send + 'static,
    ) -> Result<Running, DeviceError> {
        let (producer, consumer) = RingBuffer::new(self.waiting);
        let watch = Watch::new(KIND, &self.name);
        let (channels, watching) = (self.format.pair().1, Arc::clone(&watch));
        let taker = thread::Builder::new()
            .name("parlor-microphone".to_owned())
            .spawn(move || hand_on(consumer, channels, &watching, take))
            .map_err(|error| DeviceError::Failed {
                kind: KIND,
                name: self.name.clone(),
                why: error.to_string(),
            })?;
        let capture = Capture { producer, channels, taker: taker.thread().clone() };
        let built = self.build(capture, &watch);
        match built {
            Ok(stream) => Running::begin(stream, Some(taker), watch),
            // Who takes ends by itself: nothing can come any more.
            Err(error) => {
                taker.thread().unpark();
                Err(DeviceError::new(KIND, &self.name, &error))
            }
        }
    }

    fn build(&self, capture: Capture, watch: &Arc<Watch>) -> Result<Stream, cpal::Error> {
        match self.format.sample {
            SampleFormat::F32 => self.build_of::<f32>(capture, watch),
            SampleFormat::F64 => self.build_of::<f64>(capture, watch),
            SampleFormat::I32 => self.build_of::<i32>(capture, watch),
            SampleFormat::I24 => self.build_of::<I24>(capture, watch),
            SampleFormat::I16 => self.build_of::<i16>(capture, watch),
            SampleFormat::I8 => self.build_of::<i8>(capture, watch),
            SampleFormat::U32 => self.build_of::<u32>(capture, watch),
            SampleFormat::U24 => self.build_of::<U24>(capture, watch),
            SampleFormat::U16 => self.build_of::<u16>(capture, watch),
            SampleFormat::U8 => self.build_of::<u8>(capture, watch),
            _ => Err(cpal::Error::new(ErrorKind::UnsupportedConfig)),
        }
    }

    fn build_of<T: SizedSample>(
        &self,
        mut capture: Capture,
        watch: &Arc<Watch>,
    ) -> Result<Stream, cpal::Error>
    where
        f32: FromSample<T>,
    {
        let (here, there) = (Arc::clone(watch), Arc::clone(watch));
        self.device.build_input_stream::<T, _, _>(
            self.format.config,
            move |pcm, _| {
                here.on_piece();
                here.on_missed(capture.push(pcm.iter().map(|sample| f32::from_sample_(*sample))));
            },
            move |error| there.on_error(&error),
            None,
        )
    }
}

/// The device's end of what waits.
struct Capture {
    producer: Producer<f32>,
    channels: usize,
    taker: Thread,
}

impl Capture {
    /// Lets samples wait, and wakes who takes them; it neither waits nor allocates. Returns how many of
    /// each channel there was no room for.
    fn push(&mut self, pcm: impl ExactSizeIterator<Item = f32>) -> usize {
        let length = pcm.len();
        let free = self.producer.slots().min(length) / self.channels * self.channels;
        if let Ok(chunk) = self.producer.write_chunk_uninit(free) {
            chunk.fill_from_iter(pcm);
        }
        self.taker.unpark();
        (length - free) / self.channels
    }
}

/// Gives `take` what waits, until nothing can come any more.
fn hand_on<E>(
    mut waiting: Consumer<f32>,
    channels: usize,
    watch: &Watch,
    mut take: impl FnMut(&[f32]) -> Result<(), E>,
) {
    loop {
        // Asked first: what was captured before the end is there then.
        let over = waiting.is_abandoned();
        let ready = waiting.slots() / channels * channels;
        if ready == 0 && over {
            return;
        }
        if ready == 0 {
            thread::park();
            continue;
        }
        let Ok(chunk) = waiting.read_chunk(ready) else { return };
        let (first, second) = chunk.as_slices();
        for pcm in [first, second].into_iter().filter(|pcm| !pcm.is_empty()) {
            if take(pcm).is_err() {
                watch.on_failed();
            }
        }
        chunk.commit_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, sync_channel};
    use std::thread::JoinHandle;

    use allocation_counter::measure;

    use super::*;

    /// Both ends of what waits, of two channels and at most so many samples of each, and what is taken.
    fn stage(most: usize) -> (Capture, JoinHandle<()>, Receiver<Vec<f32>>) {
        let (producer, consumer) = RingBuffer::new(most * 2);
        let (sender, taken) = sync_channel(1_000);
        let taker = thread::spawn(move || {
            hand_on(consumer, 2, &Watch::new(KIND, "it"), |pcm| sender.send(pcm.to_vec()));
        });
        (Capture { producer, channels: 2, taker: taker.thread().clone() }, taker, taken)
    }

    #[test]
    fn what_is_captured_is_taken_in_order_and_to_the_end() {
        let (mut capture, taker, taken) = stage(1_000);
        let said: Vec<f32> = (0..6_000_u16).map(f32::from).collect();
        let mut heard = Vec::new();
        for piece in said.chunks(14) {
            assert_eq!(capture.push(piece.iter().copied()), 0);
            while heard.len() + 1_400 < 6_000 && capture.producer.slots() < 1_000 {
                heard.extend(taken.recv().unwrap());
            }
        }
        drop(capture);
        taker.thread().unpark();
        taker.join().unwrap();
        heard.extend(taken.iter().flatten());
        assert_eq!(heard, said);
    }

    #[test]
    fn of_what_nobody_takes_the_newest_is_lost_and_no_channel_is_parted() {
        let (producer, mut waiting) = RingBuffer::new(2 * 4);
        let mut capture = Capture { producer, channels: 2, taker: thread::current() };
        let pcm = |from: u8| (from..from + 6).map(f32::from);
        let pieces = [pcm(0), pcm(6)].map(Iterator::collect::<Vec<_>>);
        let mut lost = [9; 2];
        let allocated = measure(|| {
            for (lost, piece) in lost.iter_mut().zip(&pieces) {
                *lost = capture.push(piece.iter().copied());
            }
        });
        assert_eq!((lost, allocated.count_total), ([0, 2], 0));
        let chunk = waiting.read_chunk(waiting.slots()).unwrap();
        assert_eq!(chunk.into_iter().collect::<Vec<_>>(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    }
}
