//! Microphones and loudspeakers, as far as this command was built with them (feature `device`).

use parlor::room::Listener;
use tokio::sync::mpsc;

use crate::failure::Failure;

/// A device that runs until this is dropped.
pub(crate) struct Device {
    pub(crate) name: String,
    /// Samples a second, and channels.
    pub(crate) format: (u32, usize),
    alive: Box<dyn Alive>,
}

/// What there is to know of one that runs.
trait Alive {
    /// Why it does nothing any more, if so.
    fn lost(&self) -> Option<Failure>;

    /// What went wrong, in words; nothing, if nothing did.
    fn trouble(&self) -> Option<String>;
}

impl Device {
    /// Why it does nothing any more, if so.
    pub(crate) fn lost(&self) -> Option<Failure> {
        self.alive.lost()
    }

    /// What went wrong, in words; nothing, if nothing did.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.alive.trouble()
    }
}

#[cfg(feature = "device")]
mod built {
    use parlor::device::{
        DeviceError, DeviceKind, DeviceOptions, Found, Loudspeaker, Microphone, Running, devices,
    };
    use tokio::sync::mpsc::error::TrySendError;

    use super::{Alive, Device, Failure, Listener, mpsc};

    impl Alive for Running {
        fn lost(&self) -> Option<Failure> {
            Self::lost(self).map(Failure::failed)
        }

        fn trouble(&self) -> Option<String> {
            let said = [
                (self.glitches(), "times this computer was too late"),
                (self.missed(), "samples were not taken in time"),
                (self.failed(), "pieces were not taken or not there"),
            ];
            let said = said.iter().filter(|(count, _)| *count > 0);
            let said: Vec<String> = said.map(|(count, what)| format!("{count} {what}")).collect();
            (!said.is_empty()).then(|| said.join(", "))
        }
    }

    impl From<DeviceError> for Failure {
        fn from(error: DeviceError) -> Self {
            match error {
                DeviceError::Unknown { .. } => Self::usage(error),
                _ => Self::failed(error),
            }
        }
    }

    fn options(name: Option<&str>) -> DeviceOptions {
        DeviceOptions { name: name.map(str::to_owned), ..DeviceOptions::default() }
    }

    /// What was captured is not said.
    struct NoRoom;

    /// Captures from now on. Of what `pieces` has no room for nothing is said.
    pub(crate) fn capture(
        name: Option<&str>,
        pieces: mpsc::Sender<Result<Vec<f32>, Failure>>,
    ) -> Result<Device, Failure> {
        let microphone = Microphone::find(&options(name))?;
        let (name, format) = (microphone.name().to_owned(), microphone.format());
        let running = microphone.start(move |pcm| match pieces.try_send(Ok(pcm.to_vec())) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => Err(NoRoom),
        })?;
        Ok(Device { name, format, alive: Box::new(running) })
    }

    /// Plays from now on what is heard: `listen` gives it for the samples of the device.
    pub(crate) fn play(
        name: Option<&str>,
        listen: impl FnOnce((u32, usize)) -> Result<Listener, Failure>,
    ) -> Result<Device, Failure> {
        let loudspeaker = Loudspeaker::find(&options(name))?;
        let (name, format) = (loudspeaker.name().to_owned(), loudspeaker.format());
        let mut listener = listen(format)?;
        let running = loudspeaker.start(move |out| listener.read(out))?;
        Ok(Device { name, format, alive: Box::new(running) })
    }

    /// The ids and names of the microphones, and of the loudspeakers.
    pub(crate) fn all() -> Result<[Vec<(String, String)>; 2], Failure> {
        let of = |kind| -> Result<Vec<(String, String)>, Failure> {
            let named = |found: Found| (found.id, found.name);
            Ok(devices(kind)?.into_iter().map(named).collect())
        };
        Ok([of(DeviceKind::Microphone)?, of(DeviceKind::Loudspeaker)?])
    }
}

#[cfg(feature = "device")]
pub(crate) use self::built::{all, capture, play};

#[cfg(not(feature = "device"))]
mod absent {
    use super::{Device, Failure, Listener, mpsc};

    fn absent() -> Failure {
        Failure::usage(
            "this `parlor` has no sound devices: build it with `--features cli,device` (on Linux that \
             needs the headers of ALSA, libasound2-dev), or pass recordings with --file and --out",
        )
    }

    pub(crate) fn capture(
        _: Option<&str>,
        _: mpsc::Sender<Result<Vec<f32>, Failure>>,
    ) -> Result<Device, Failure> {
        Err(absent())
    }

    pub(crate) fn play(
        _: Option<&str>,
        _: impl FnOnce((u32, usize)) -> Result<Listener, Failure>,
    ) -> Result<Device, Failure> {
        Err(absent())
    }

    pub(crate) fn all() -> Result<[Vec<(String, String)>; 2], Failure> {
        Err(absent())
    }
}

#[cfg(not(feature = "device"))]
pub(crate) use self::absent::{all, capture, play};
