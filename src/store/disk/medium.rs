//! What a store stands on: a file, or what a test puts in its place.

use std::fmt::Debug;
use std::fs::File;
use std::io;
#[cfg(unix)]
use std::os::unix::fs::FileExt;
#[cfg(windows)]
use std::os::windows::fs::FileExt;

/// Bytes that outlive who wrote them, once they are synced. Whoever calls waits.
///
/// A store takes the following for granted, and nothing else: after a loss of power, what was written
/// before the last [`sync`](Self::sync) that returned well is there, and of what was written or cut off
/// since, any part may be, in units of 512 bytes, each of which is as it was before or after.
pub trait Medium: Debug + Send {
    /// How many bytes there are.
    ///
    /// # Errors
    ///
    /// When that cannot be known.
    fn size(&mut self) -> io::Result<u64>;

    /// Reads what is at `offset` until `out` is full. What lies beyond the end is zero.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Writes all of `data` at `offset`, beyond the end too.
    ///
    /// # Errors
    ///
    /// When some of it cannot be written; what is there then is not known.
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Cuts off what lies beyond `size`, if anything does.
    ///
    /// # Errors
    ///
    /// When it cannot be cut off.
    fn cut(&mut self, size: u64) -> io::Result<()>;

    /// Returns when all that was written, and cut off, outlives a loss of power.
    ///
    /// # Errors
    ///
    /// When it may not. What is there then is not known, and asking again does not help.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file that this process has alone. It says so itself when it is done: a process that was begun
/// meanwhile has the lock, too, until it runs.
#[derive(Debug)]
pub(super) struct Locked(pub(super) File);

impl Drop for Locked {
    fn drop(&mut self) {
        // If this fails, the lock goes with the last who has it.
        self.0.unlock().ok();
    }
}

impl Medium for Locked {
    fn size(&mut self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&mut self, mut offset: u64, mut out: &mut [u8]) -> io::Result<()> {
        while !out.is_empty() {
            match read_some(&self.0, out, offset) {
                Ok(0) => {
                    out.fill(0);
                    break;
                }
                Ok(read) => {
                    out = out.get_mut(read..).unwrap_or_default();
                    offset += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    #[cfg(unix)]
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }

    #[cfg(windows)]
    fn write_at(&mut self, mut offset: u64, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            match self.0.seek_write(data, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    data = data.get(written..).unwrap_or_default();
                    offset += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn cut(&mut self, size: u64) -> io::Result<()> {
        if self.size()? > size {
            self.0.set_len(size)?;
        }
        Ok(())
    }

    /// On macOS this asks the disk itself to write what it holds, as the standard library does.
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(unix)]
fn read_some(file: &File, out: &mut [u8], offset: u64) -> io::Result<usize> {
    FileExt::read_at(file, out, offset)
}

#[cfg(windows)]
fn read_some(file: &File, out: &mut [u8], offset: u64) -> io::Result<usize> {
    file.seek_read(out, offset)
}
