//! A disk in memory that loses power, fails, fills up and cannot be read when it is told to: for tests of
//! stores and of what stands on them.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Medium;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// One thing that was done to a disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Bytes were written.
    Write {
        /// Where.
        offset: u64,
        /// Which.
        data: Vec<u8>,
    },
    /// What lay beyond was cut off.
    Cut {
        /// How much is left.
        size: u64,
    },
    /// All of it was synced.
    Sync,
}

/// What a disk may have after a loss of power: what was there at the last sync, and any of what was done
/// since.
#[derive(Clone, Debug, Default)]
pub struct Crash {
    synced: Vec<u8>,
    pending: Vec<Operation>,
}

impl Crash {
    /// A disk that had this at its last sync.
    #[must_use]
    pub const fn new(synced: Vec<u8>) -> Self {
        Self { synced, pending: Vec::new() }
    }

    /// One thing more was done.
    pub fn push(&mut self, operation: Operation) {
        if operation == Operation::Sync {
            for pending in std::mem::take(&mut self.pending) {
                apply(&mut self.synced, &pending, |_| true);
            }
        } else {
            self.pending.push(operation);
        }
    }

    /// How many things were done since the last sync.
    #[must_use]
    pub const fn pending(&self) -> usize {
        self.pending.len()
    }

    /// What is there afterwards. `has_landed` says it of each sector of what was done since the last
    /// sync: which operation, and which of its sectors.
    #[must_use]
    pub fn image(&self, mut has_landed: impl FnMut(usize, usize) -> bool) -> Vec<u8> {
        let mut image = self.synced.clone();
        for (number, operation) in self.pending.iter().enumerate() {
            apply(&mut image, operation, |sector| has_landed(number, sector));
        }
        image
    }
}

/// The sectors on which so many bytes are.
fn sectors(offset: u64, len: usize) -> Range<u64> {
    let size = SECTOR as u64;
    offset / size..(offset + len as u64).div_ceil(size)
}

fn apply(image: &mut Vec<u8>, operation: &Operation, mut has_landed: impl FnMut(usize) -> bool) {
    match operation {
        Operation::Write { offset, data } => {
            let mut at = usize::try_from(*offset).unwrap_or(usize::MAX);
            let mut rest = data.as_slice();
            let mut sector = 0;
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
                if has_landed(sector) {
                    if image.len() < at + now.len() {
                        image.resize(at + now.len(), 0);
                    }
                    image[at..at + now.len()].copy_from_slice(now);
                }
                at += now.len();
                sector += 1;
                rest = later;
            }
        }
        Operation::Cut { size } => {
            if has_landed(0) {
                image.truncate(usize::try_from(*size).unwrap_or(usize::MAX));
            }
        }
        Operation::Sync => {}
    }
}

#[derive(Debug, Default)]
struct Disk {
    now: Vec<u8>,
    crash: Crash,
    /// All that was done, if that is wanted.
    history: Option<Vec<Operation>>,
    /// After how many operations the next one fails, and how.
    failure: Option<(u64, ErrorKind)>,
    operations: u64,
    capacity: Option<u64>,
    is_lying: bool,
    /// Sectors that cannot be read, and whether they can once they are written.
    unreadable: BTreeMap<u64, Spoiled>,
    is_gone: bool,
}

/// For how long a sector cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spoiled {
    /// Until it is written: the disk then has another one in its place.
    UntilWritten,
    /// Whatever is written.
    ForGood,
}

/// A disk in memory. A clone is the same disk.
#[derive(Clone, Debug, Default)]
pub struct FrailMedium(Arc<Mutex<Disk>>);

impl FrailMedium {
    /// A disk that has `bytes`, synced.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        let disk = Disk { now: bytes.clone(), crash: Crash::new(bytes), ..Disk::default() };
        Self(Arc::new(Mutex::new(disk)))
    }

    /// What a program reads from it.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.disk().now.clone()
    }

    /// What it may have after a loss of power.
    #[must_use]
    pub fn crash(&self) -> Crash {
        self.disk().crash.clone()
    }

    /// From now on, what is done to it is remembered.
    pub fn record(&self) {
        self.disk().history = Some(Vec::new());
    }

    /// What was done to it since [`Self::record`].
    #[must_use]
    pub fn history(&self) -> Vec<Operation> {
        self.disk().history.clone().unwrap_or_default()
    }

    /// How often it was read, written, cut or synced.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.disk().operations
    }

    /// `after` operations from now, one fails; a write with half of it done. Later ones do not.
    pub fn fail(&self, after: u64, kind: ErrorKind) {
        self.disk().failure = Some((after, kind));
    }

    /// No operation fails that has not failed yet.
    pub fn heal(&self) {
        self.disk().failure = None;
    }

    /// It has place for so many bytes.
    pub fn limit(&self, capacity: u64) {
        self.disk().capacity = Some(capacity);
    }

    /// From now on it writes one bit of every write wrong, and says that all is well.
    pub fn lie(&self) {
        self.disk().is_lying = true;
    }

    /// From now on these sectors of 512 bytes cannot be read.
    pub fn spoil(&self, sectors: Range<u64>, how: Spoiled) {
        self.disk().unreadable.extend(sectors.map(|sector| (sector, how)));
    }

    /// Every sector can be read again, as it was.
    pub fn unspoil(&self) {
        self.disk().unreadable.clear();
    }

    /// Whether something was written to every sector that could not be read.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.disk().unreadable.is_empty()
    }

    /// From now on everything fails: the disk was pulled.
    pub fn pull(&self) {
        self.disk().is_gone = true;
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    fn operate(&mut self) -> io::Result<()> {
        self.operations += 1;
        if self.is_gone {
            return Err(io::Error::other("no such device"));
        }
        match &mut self.failure {
            Some((0, kind)) => {
                let kind = *kind;
                self.failure = None;
                Err(kind.into())
            }
            Some((after, _)) => {
                *after -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn apply(&mut self, operation: Operation) {
        apply(&mut self.now, &operation, |_| true);
        if let Some(history) = &mut self.history {
            history.push(operation.clone());
        }
        self.crash.push(operation);
    }
}

impl Medium for FrailMedium {
    fn size(&mut self) -> io::Result<u64> {
        Ok(self.disk().now.len() as u64)
    }

    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut disk = self.disk();
        disk.operate()?;
        if disk.unreadable.range(sectors(offset, out.len())).next().is_some() {
            return Err(io::Error::other("a sector cannot be read"));
        }
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(disk.now.len());
        let found = disk.now[from..].len().min(out.len());
        out[..found].copy_from_slice(&disk.now[from..from + found]);
        out[found..].fill(0);
        Ok(())
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut disk = self.disk();
        if disk.capacity.is_some_and(|capacity| offset + data.len() as u64 > capacity) {
            return Err(ErrorKind::StorageFull.into());
        }
        let operated = disk.operate();
        let done = if operated.is_ok() { data.len() } else { data.len() / 2 };
        let mut data = data[..done].to_vec();
        if disk.is_lying
            && let Some(byte) = data.last_mut()
        {
            *byte ^= 1;
        }
        let written = sectors(offset, done);
        disk.unreadable.retain(|sector, how| *how == Spoiled::ForGood || !written.contains(sector));
        disk.apply(Operation::Write { offset, data });
        operated
    }

    fn cut(&mut self, size: u64) -> io::Result<()> {
        let mut disk = self.disk();
        disk.operate()?;
        disk.apply(Operation::Cut { size });
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.disk();
        disk.operate()?;
        disk.apply(Operation::Sync);
        Ok(())
    }
}
