//! A device that runs.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use cpal::traits::StreamTrait;
use cpal::{ErrorKind, Stream};

use super::{DeviceError, DeviceKind};
use crate::net::Clock;
use crate::proto::time::Time;

/// For so long errors without any sample between them, and a device is lost, though none of them said so.
/// Some sound servers need a twentieth of it to go on when this computer was too late.
const PATIENCE: Duration = Duration::from_secs(1);

/// For so long neither a sample nor an error, and a device is lost too: when their sound server is killed,
/// some wait for it for ever. The longest that one that is there was seen to take is 2 s, at its beginning.
const STALL: Duration = Duration::from_secs(6);

/// After so many errors in a row, each waits: some systems say the same again at once, as long as it lasts.
const MANY: u32 = 16;

/// For so long.
const PAUSE: Duration = Duration::from_millis(2);

/// What the system's thread of a device and the application know of each other.
#[derive(Debug)]
pub(super) struct Watch {
    kind: DeviceKind,
    name: String,
    clock: Clock,
    lost: OnceLock<DeviceError>,
    /// Errors since the last sample, and when the first was, in microseconds.
    errors: AtomicU32,
    failing: AtomicU64,
    pieces: AtomicU64,
    /// When the last one was, in microseconds.
    last: AtomicU64,
    /// When the application last asked, in microseconds.
    asked: AtomicU64,
    glitches: AtomicU64,
    missed: AtomicU64,
    failed: AtomicU64,
}

impl Watch {
    pub(super) fn new(kind: DeviceKind, name: &str) -> Arc<Self> {
        Arc::new(Self {
            kind,
            name: name.to_owned(),
            clock: Clock::new(),
            lost: OnceLock::new(),
            errors: AtomicU32::new(0),
            failing: AtomicU64::new(0),
            pieces: AtomicU64::new(0),
            last: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            glitches: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        })
    }

    /// The device gave samples, or took some. Neither waits nor allocates.
    pub(super) fn on_piece(&self) {
        self.errors.store(0, Ordering::Relaxed);
        self.pieces.fetch_add(1, Ordering::Relaxed);
        self.last.store(self.clock.now().as_micros(), Ordering::Relaxed);
    }

    /// So many samples of each channel were captured for nobody.
    pub(super) fn on_missed(&self, samples: usize) {
        self.missed.fetch_add(samples as u64, Ordering::Relaxed);
    }

    /// The application did not take a piece, or had none.
    pub(super) fn on_failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// The system says that something is wrong.
    pub(super) fn on_error(&self, error: &cpal::Error) {
        self.note(error, self.clock.now());
        if self.errors.load(Ordering::Relaxed) >= MANY {
            thread::park_timeout(PAUSE);
        }
    }

    fn note(&self, error: &cpal::Error, now: Time) {
        match error.kind() {
            ErrorKind::Xrun => {
                self.glitches.fetch_add(1, Ordering::Relaxed);
            }
            // It goes on.
            ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied => {}
            ErrorKind::DeviceNotAvailable
            | ErrorKind::HostUnavailable
            | ErrorKind::PermissionDenied
            | ErrorKind::StreamInvalidated => self.lose(error),
            _ => {
                if self.errors.fetch_add(1, Ordering::Relaxed) == 0 {
                    self.failing.store(now.as_micros(), Ordering::Relaxed);
                }
                let since = Time::from_micros(self.failing.load(Ordering::Relaxed));
                if now.since(since) >= PATIENCE {
                    self.lose(error);
                }
            }
        }
    }

    /// Why nothing comes any more, if so.
    fn lost(&self, now: Time) -> Option<&DeviceError> {
        let asked = Time::from_micros(self.asked.swap(now.as_micros(), Ordering::Relaxed));
        if now.since(asked) >= STALL {
            // The computer has slept, perhaps: the device has its time from now on.
            self.last.store(now.as_micros(), Ordering::Relaxed);
        }
        let last = Time::from_micros(self.last.load(Ordering::Relaxed));
        if now.since(last) >= STALL {
            self.lose(&cpal::Error::new(ErrorKind::DeviceNotAvailable));
        }
        self.lost.get()
    }

    fn lose(&self, error: &cpal::Error) {
        // What was wrong first counts.
        self.lost.set(DeviceError::new(self.kind, &self.name, error)).ok();
    }
}

/// A device that captures or plays, until this is dropped.
///
/// One that is lost stays so: find it again, or another, and start that.
pub struct Running {
    stream: Option<Stream>,
    /// Who takes what a microphone captured.
    taker: Option<JoinHandle<()>>,
    watch: Arc<Watch>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("watch", &self.watch).finish_non_exhaustive()
    }
}

impl Running {
    /// Lets a stream run. With it goes `taker`, who ends when the stream is dropped and it is woken.
    pub(super) fn begin(
        stream: Stream,
        taker: Option<JoinHandle<()>>,
        watch: Arc<Watch>,
    ) -> Result<Self, DeviceError> {
        let running = Self { stream: Some(stream), taker, watch };
        let begun = running.stream.as_ref().map_or(Ok(()), StreamTrait::play);
        let Watch { kind, name, .. } = &*running.watch;
        begun.map_err(|error| DeviceError::new(*kind, name, &error))?;
        Ok(running)
    }

    /// The id of the device.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.watch.name
    }

    /// Why the device does nothing any more, if so: it was taken away, or the system's sound ended. Ask
    /// every few seconds at least. Known within a second where the system says so, and else within six.
    #[must_use]
    pub fn lost(&self) -> Option<DeviceError> {
        self.watch.lost(self.watch.clock.now()).cloned()
    }

    /// Whether the device is lost: see [`Self::lost`].
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost().is_some()
    }

    /// How many pieces it gave or took. While this stands still, nothing is captured or played.
    #[must_use]
    pub fn pieces(&self) -> u64 {
        self.watch.pieces.load(Ordering::Relaxed)
    }

    /// How often something was not captured or played because this computer was too late.
    #[must_use]
    pub fn glitches(&self) -> u64 {
        self.watch.glitches.load(Ordering::Relaxed)
    }

    /// Samples of each channel that a microphone captured and that nobody took in time.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.watch.missed.load(Ordering::Relaxed)
    }

    /// How often what the application gave was an error: such a piece was not said, or silence was
    /// played.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.watch.failed.load(Ordering::Relaxed)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let stream = self.stream.take();
        if self.is_lost() {
            // What the system has of it may wait for ever, and who took its samples with it.
            thread::Builder::new().name("parlor-lost".to_owned()).spawn(move || drop(stream)).ok();
            return;
        }
        drop(stream);
        if let Some(taker) = self.taker.take() {
            taker.thread().unpark();
            // One that panicked has said so.
            taker.join().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch() -> Arc<Watch> {
        Watch::new(DeviceKind::Loudspeaker, "it")
    }

    #[test]
    fn a_device_is_lost_when_it_is_said_to_be_and_the_first_reason_counts() {
        let watch = watch();
        watch.on_error(&cpal::Error::new(ErrorKind::Xrun));
        watch.on_error(&cpal::Error::new(ErrorKind::DeviceChanged));
        assert_eq!(watch.lost.get(), None);
        assert_eq!(watch.glitches.load(Ordering::Relaxed), 1);
        watch.on_error(&cpal::Error::new(ErrorKind::DeviceNotAvailable));
        watch.on_error(&cpal::Error::new(ErrorKind::PermissionDenied));
        let gone = DeviceError::Gone { kind: DeviceKind::Loudspeaker, name: "it".to_owned() };
        assert_eq!(watch.lost.get(), Some(&gone));
    }

    #[test]
    fn a_device_that_says_nothing_at_all_is_lost_after_a_while() {
        let watch = watch();
        watch.on_piece();
        let last = Time::from_micros(watch.last.load(Ordering::Relaxed));
        for times in [1, 3, 5, 7] {
            assert_eq!(watch.lost(last + STALL * times), None, "asked too seldom to be known");
        }
        assert_eq!(watch.lost(last + STALL * 15 / 2), None);
        assert!(matches!(watch.lost(last + STALL * 8), Some(DeviceError::Gone { .. })));
    }

    #[test]
    fn errors_that_say_nothing_count_while_nothing_is_played() {
        let watch = watch();
        let error = cpal::Error::new(ErrorKind::BackendError);
        let errors = |from: u64| {
            (0..100).for_each(|i| watch.note(&error, Time::from_micros(from + i * 10_000)));
        };
        for second in 0..10 {
            errors(second * 1_000_000);
            assert_eq!(watch.lost.get(), None);
            watch.on_piece();
        }
        errors(20_000_000);
        watch.note(&error, Time::from_micros(21_000_000));
        assert!(matches!(watch.lost.get(), Some(DeviceError::Failed { .. })));
    }
}
