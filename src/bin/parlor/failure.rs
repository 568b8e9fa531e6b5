//! Why a command ended without doing what it was asked.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use parlor::room::{ConnectError, RoomGone};
use serde::{Deserialize, Serialize};

/// Why, in words that say what to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Failure {
    /// It was asked wrongly: status 2.
    Usage(String),
    /// It could not be done: status 1.
    Failed(String),
    /// It was done, found wrong and said so already: status 1.
    Told,
}

impl Failure {
    pub(crate) fn usage(why: impl Display) -> Self {
        Self::Usage(why.to_string())
    }

    pub(crate) fn failed(why: impl Display) -> Self {
        Self::Failed(why.to_string())
    }

    /// What is left to say.
    pub(crate) const fn words(&self) -> Option<&str> {
        match self {
            Self::Usage(why) | Self::Failed(why) => Some(why.as_str()),
            Self::Told => None,
        }
    }

    pub(crate) fn status(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Failed(_) | Self::Told => ExitCode::FAILURE,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            // Nobody reads any more: there is nobody to tell.
            Self::Told
        } else {
            Self::failed(error)
        }
    }
}

impl From<RoomGone> for Failure {
    fn from(gone: RoomGone) -> Self {
        Self::failed(gone)
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Name(_)
            | ConnectError::Key(_)
            | ConnectError::Address(_)
            | ConnectError::Opening(_)
            | ConnectError::Metadata { .. } => Self::usage(error),
            _ => Self::failed(error),
        }
    }
}
