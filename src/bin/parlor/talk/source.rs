//! What is said: read ahead by a thread that may wait for it, or captured.

use std::path::{Path, PathBuf};
use std::thread;

use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::sound::device::{self, Device};
use crate::sound::wav::Recording;

/// Pieces of a second.
const PIECES: u32 = 100;

/// Pieces that are read ahead: a fifth of a second. What comes through a pipe waits there if there are
/// more; of what a microphone captures the newest is lost then.
const AHEAD: usize = 20;

/// A recording, or what a microphone captures, piece by piece.
pub(super) struct Source {
    pieces: mpsc::Receiver<Result<Vec<f32>, Failure>>,
    /// Samples a second, and channels.
    pub(super) format: (u32, usize),
    /// The microphone, if it is one: then pieces come at its pace.
    pub(super) device: Option<Device>,
}

impl Source {
    /// Begins to read. What comes through standard input (`-`) is only said once.
    pub(super) fn open(path: &Path, again: bool) -> Result<Self, Failure> {
        let piped = path.as_os_str() == "-";
        if piped && again {
            return Err(Failure::usage(
                "standard input cannot be said again: pass --loop with a file",
            ));
        }
        let recording = Recording::open(path)?;
        let format = recording.format();
        let (sender, pieces) = mpsc::channel(AHEAD);
        let path = again.then(|| path.to_owned());
        thread::Builder::new()
            .name("parlor-recording".to_owned())
            .spawn(move || read(recording, path, &sender))?;
        Ok(Self { pieces, format, device: None })
    }

    /// Begins to capture.
    pub(super) fn capture(name: Option<&str>) -> Result<Self, Failure> {
        let (sender, pieces) = mpsc::channel(AHEAD);
        let device = device::capture(name, sender)?;
        Ok(Self { pieces, format: device.format, device: Some(device) })
    }

    /// Fails if nothing can come any more, though the end is not there.
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.device.as_ref().and_then(Device::lost).map_or(Ok(()), Err)
    }

    /// Throws away what was captured so far. A recording waits for whoever says it.
    pub(super) fn forget_captured(&mut self) {
        while self.device.is_some() && self.pieces.try_recv().is_ok() {}
    }

    /// The next piece, about 10 ms of all channels; nothing at the end. Can be cancelled.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<f32>>, Failure> {
        self.pieces.recv().await.transpose()
    }
}

/// Reads until the end, or nobody wants more; if there is a path, again and again.
fn read(
    mut recording: Recording,
    again: Option<PathBuf>,
    pieces: &mpsc::Sender<Result<Vec<f32>, Failure>>,
) {
    let most = usize::try_from(recording.format().0 / PIECES).unwrap_or(1);
    loop {
        let mut piece = recording.read(most);
        if let (Ok([]), Some(path)) = (piece.as_deref(), &again) {
            piece = reopen(path, recording.format()).and_then(|reopened| {
                recording = reopened;
                recording.read(most)
            });
        }
        let over = matches!(piece.as_deref(), Ok([]));
        let failed = piece.is_err();
        if over || pieces.blocking_send(piece).is_err() || failed {
            return;
        }
    }
}

/// The recording from its beginning. It must be what it was.
fn reopen(path: &Path, format: (u32, usize)) -> Result<Recording, Failure> {
    let recording = Recording::open(path)?;
    if recording.format() == format {
        return Ok(recording);
    }
    let path = path.display();
    Err(Failure::failed(format_args!("{path} has another rate or other channels than before")))
}
