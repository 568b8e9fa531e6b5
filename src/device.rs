//! Sound devices: what a microphone captures, and what a loudspeaker plays (feature `device`).
//!
//! A [`Microphone`] hands on what it captures, a [`Loudspeaker`] asks for what it plays. Each is found
//! first, so that its rate and channels are known to who makes the other end, and started then:
//!
//! ```ignore
//! room.join_voice(VoiceOptions::default())?;
//!
//! let microphone = Microphone::find(&DeviceOptions::default())?;
//! let (rate, channels) = microphone.format();
//! let options = AudioInputOptions { rate, channels, ..AudioInputOptions::default() };
//! let mut input = room.create_audio_input(options)?;
//! let captures = microphone.start(move |pcm| input.push(pcm))?;
//!
//! let loudspeaker = Loudspeaker::find(&DeviceOptions::default())?;
//! let mut listener = room.listen(loudspeaker.format())?;
//! let plays = loudspeaker.start(move |out| listener.read(out))?;
//! ```
//!
//! Devices are `cpal`'s: ALSA on Linux, where its headers have to be installed to build this, Core Audio,
//! WASAPI and what else there is. Nothing of a room is known here.

mod format;
mod loudspeaker;
mod microphone;
mod running;

use std::fmt;
use std::time::Duration;

use cpal::traits::{DeviceTrait, HostTrait};
use cpal::{Device, ErrorKind, Host};
use thiserror::Error;

pub use self::loudspeaker::Loudspeaker;
pub use self::microphone::Microphone;
pub use self::running::Running;

/// Which device, and how it is used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceOptions {
    /// The [`Found::id`] of the device, or its [`Found::name`]. None, the default: the one that the
    /// system has for whom that is all the same.
    pub name: Option<String>,
    /// How many channels, 1 to 8. None, the default: one of a microphone and two of a loudspeaker, or as
    /// near to that as the device has.
    pub channels: Option<usize>,
    /// How much the device gives or takes at a time: 10 ms, or as near to it as it can. Twice of it
    /// waits in many a device, and is heard as a delay.
    pub buffer: Duration,
    /// How much of what a microphone captured may wait for who takes it: 500 ms. Of more the newest is
    /// lost, and counted: [`Running::missed`].
    pub waiting: Duration,
}

impl Default for DeviceOptions {
    fn default() -> Self {
        Self {
            name: None,
            channels: None,
            buffer: Duration::from_millis(10),
            waiting: Duration::from_millis(500),
        }
    }
}

/// What a device is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceKind {
    /// It captures.
    Microphone,
    /// It plays.
    Loudspeaker,
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Microphone => "microphone",
            Self::Loudspeaker => "loudspeaker",
        })
    }
}

/// A device that the system knows of. That does not mean that it can be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// The system's name of it, by which it can be asked for again. No two devices have the same.
    pub id: String,
    /// What a person calls it.
    pub name: String,
}

/// Why a device cannot be used, or not any more.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The system has none at all, or nothing that could have one.
    #[error("there is no {kind}: connect one, and see that the system's sound is running")]
    None {
        /// What was looked for.
        kind: DeviceKind,
    },
    /// None has the name that was asked for.
    #[error("there is no {kind} {name:?}: {}", others(there))]
    Unknown {
        /// What was looked for.
        kind: DeviceKind,
        /// By which name.
        name: String,
        /// The [`Found::id`]s of those that there are.
        there: Vec<String>,
    },
    /// Another program has it.
    #[error("the {kind} {name:?} is in use by another program: close that, or name another device")]
    Busy {
        /// What it is for.
        kind: DeviceKind,
        /// Its id.
        name: String,
    },
    /// The system does not let this program have it.
    #[error("this program may not use the {kind} {name:?}: allow it in the system's settings")]
    Forbidden {
        /// What it is for.
        kind: DeviceKind,
        /// Its id.
        name: String,
    },
    /// It has no samples that could be used.
    #[error("the {kind} {name:?} has no samples {}: name other channels, or another device", of(*channels))]
    Format {
        /// What it is for.
        kind: DeviceKind,
        /// Its id.
        name: String,
        /// The channels that were asked for, if any were.
        channels: Option<usize>,
    },
    /// It was taken away, or the system's sound ended.
    #[error("the {kind} {name:?} is gone: connect it again, or name another device")]
    Gone {
        /// What it is for.
        kind: DeviceKind,
        /// Its id.
        name: String,
    },
    /// Something else, in the system's words.
    #[error("the {kind} {name:?} cannot be used: {why}")]
    Failed {
        /// What it is for.
        kind: DeviceKind,
        /// Its id.
        name: String,
        /// Why.
        why: String,
    },
}

fn others(there: &[String]) -> String {
    if there.is_empty() {
        "there is none".to_owned()
    } else {
        format!("there are {}", there.join(", "))
    }
}

fn of(channels: Option<usize>) -> String {
    channels.map_or_else(
        || "of 8,000 to 192,000 a second".to_owned(),
        |channels| format!("of {channels} channels and 8,000 to 192,000 a second"),
    )
}

impl DeviceError {
    fn new(kind: DeviceKind, name: &str, error: &cpal::Error) -> Self {
        let name = name.to_owned();
        match error.kind() {
            ErrorKind::DeviceBusy => Self::Busy { kind, name },
            ErrorKind::PermissionDenied => Self::Forbidden { kind, name },
            ErrorKind::UnsupportedConfig | ErrorKind::UnsupportedOperation => {
                Self::Format { kind, name, channels: None }
            }
            ErrorKind::DeviceNotAvailable
            | ErrorKind::HostUnavailable
            | ErrorKind::StreamInvalidated => Self::Gone { kind, name },
            _ => Self::Failed { kind, name, why: error.to_string() },
        }
    }
}

/// The microphones or loudspeakers of this computer, by their ids. May take a second.
///
/// # Errors
///
/// [`DeviceError::None`] if there is nothing that could have one; that there is none is an empty list.
pub fn devices(kind: DeviceKind) -> Result<Vec<Found>, DeviceError> {
    let mut found: Vec<Found> =
        all(&cpal::default_host(), kind)?.into_iter().map(|(found, _)| found).collect();
    found.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(found)
}

fn all(host: &Host, kind: DeviceKind) -> Result<Vec<(Found, Device)>, DeviceError> {
    let devices = host.devices().map_err(|_| DeviceError::None { kind })?;
    let devices = devices.filter(|device| match kind {
        DeviceKind::Microphone => device.supports_input(),
        DeviceKind::Loudspeaker => device.supports_output(),
    });
    // One without an id could not be asked for.
    Ok(devices.filter_map(|device| Some((found(&device)?, device))).collect())
}

fn found(device: &Device) -> Option<Found> {
    let id = device.id().ok()?.id().to_owned();
    let name = device.description().map_or_else(|_| id.clone(), |about| about.name().to_owned());
    Some(Found { id, name })
}

/// What is wrong with a device that was looked up, and cannot be asked what it has.
fn unusable(
    kind: DeviceKind,
    options: &DeviceOptions,
    name: &str,
    error: &cpal::Error,
) -> DeviceError {
    match DeviceError::new(kind, name, error) {
        // Some systems have a default even where there is nothing.
        DeviceError::Gone { .. } if options.name.is_none() => DeviceError::None { kind },
        error => error,
    }
}

/// The device that the options name, and its id.
fn look_up(kind: DeviceKind, options: &DeviceOptions) -> Result<(String, Device), DeviceError> {
    let host = cpal::default_host();
    let Some(name) = &options.name else {
        let device = match kind {
            DeviceKind::Microphone => host.default_input_device(),
            DeviceKind::Loudspeaker => host.default_output_device(),
        };
        let device = device.ok_or(DeviceError::None { kind })?;
        let id = found(&device).map_or_else(|| "default".to_owned(), |found| found.id);
        return Ok((id, device));
    };
    let mut all = all(&host, kind)?;
    let place = all.iter().position(|(found, _)| found.id == *name);
    let place = place.or_else(|| all.iter().position(|(found, _)| found.name == *name));
    let Some(place) = place else {
        let mut there: Vec<String> = all.into_iter().map(|(found, _)| found.id).collect();
        there.sort();
        return Err(DeviceError::Unknown { kind, name: name.clone(), there });
    };
    let (found, device) = all.swap_remove(place);
    Ok((found.id, device))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_device_is_told_with_what_to_do() {
        let kind = DeviceKind::Microphone;
        let error = |of| DeviceError::new(kind, "hw:0", &cpal::Error::new(of));
        let name = "hw:0".to_owned();
        assert_eq!(error(ErrorKind::DeviceBusy), DeviceError::Busy { kind, name: name.clone() });
        assert_eq!(
            error(ErrorKind::HostUnavailable),
            DeviceError::Gone { kind, name: name.clone() }
        );
        assert_eq!(
            error(ErrorKind::PermissionDenied),
            DeviceError::Forbidden { kind, name: name.clone() }
        );
        let other = error(ErrorKind::BackendError);
        assert!(matches!(other, DeviceError::Failed { why, .. } if !why.is_empty()));
        let unknown = DeviceError::Unknown {
            kind: DeviceKind::Loudspeaker,
            name: "big".to_owned(),
            there: vec!["default".to_owned(), "hw:0".to_owned()],
        };
        let words = "there is no loudspeaker \"big\": there are default, hw:0";
        assert_eq!(unknown.to_string(), words);
        let none = DeviceError::Unknown { kind, name, there: Vec::new() };
        assert_eq!(none.to_string(), "there is no microphone \"hw:0\": there is none");
    }
}
