//! The file below redb: pages that are checked whenever they are read, those that hold the structure
//! twice, and the head of the file twice.
//!
//! redb trusts what it reads. A flipped bit in one of its trees may lose rooms, panic, or have it write
//! over rooms that are well. So it never sees one: of a page of the structure the other copy is read
//! instead, and if both are damaged, reading fails. Where a value of a room goes on over several pages,
//! what follows the first is there once, and is handed on as it is: whoever reads the value finds that its
//! own sum is wrong.
//!
//! What the medium does not read is like what is damaged: a copy is read instead, and written over it. A
//! part of a value that cannot be read is handed on as a gap, so that redb goes on; whoever reads the value
//! has it read again. Reading fails only if neither copy can be read.

mod gaps;
mod head;
mod sums;

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use self::head::{HEADER, SECTOR, VERSION};
pub(super) use self::head::{Head, HeadError};
use self::sums::Sums;
use super::medium::Medium;
use super::value::MAGIC;
use crate::proto::id::digest;

/// The size of a page, as redb has it.
pub(super) const PAGE: usize = 4096;
/// How many pages are in a group: their sums fill one sector.
const GROUP: u64 = 32;
/// Pages of the file that a group takes: sums, its pages, their copies, sums again.
const SPAN: u64 = 2 * GROUP + 2;
/// Pages of the file before the first group: the head and its copy.
const HEADS: u64 = 2;
/// Of so many pages of one value that cannot be read, the rest is not tried: each may take a disk seconds.
const TRIES: usize = 8;
/// The most copies of pages that wait to be written anew. Of more, none is, until it is read again.
const HEALS: usize = 1024;

/// The sum of a page: it says which page it is of.
type Sum = [u8; 16];

fn sum(page: u64, bytes: &[u8]) -> Sum {
    let mut sum = [0; 16];
    sum.copy_from_slice(&digest("parlor store page", &[&page.to_le_bytes(), bytes])[..16]);
    sum
}

/// Where in the file a page is, and where its copy.
const fn place(page: u64) -> (u64, u64) {
    let first = HEADS + page / GROUP * SPAN + 1 + page % GROUP;
    (first * PAGE as u64, (first + GROUP) * PAGE as u64)
}

/// What went over a medium since it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MediumStatistics {
    /// How often all that was written was made to outlast a loss of power (fsync).
    pub syncs: u64,
    /// Bytes that were read.
    pub read: u64,
    /// Bytes that were written.
    pub written: u64,
    /// Pages of which one of two copies was damaged or could not be read, and is, or is about to be,
    /// written anew.
    pub healed: u64,
    /// Pages of the structure of which no copy was good, or none could be read: at the first, the store
    /// fails.
    pub damaged: u64,
    /// Pages, copies of pages and sums that the medium did not read (EIO).
    pub unreadable: u64,
}

#[derive(Debug)]
struct State {
    medium: Box<dyn Medium>,
    head: Head,
    /// Whether the head is to be written at the next sync.
    is_head_new: bool,
    sums: Sums,
    /// Places that have a bad copy of good bytes.
    heals: Vec<(u64, Vec<u8>)>,
    /// Pages that were written since they were last read back, and whether they have a copy. A page may be
    /// written again as part of something else.
    fresh: BTreeMap<u64, bool>,
    /// Whether redb has been handed a gap.
    has_gaps: bool,
    statistics: MediumStatistics,
    /// How the medium first failed. From then on nothing is written: what it holds is not known.
    fault: Option<(io::ErrorKind, String)>,
}

/// How far it is with pages that redb reads at once.
struct Reading {
    first: u64,
    count: u64,
    /// How many of them are checked: one, until what that says is known.
    checked: u64,
    /// How many are handed on as gaps.
    missing: usize,
}

/// What redb writes to. A clone is the same.
#[derive(Clone, Debug)]
pub(super) struct Pages(Arc<Mutex<State>>);

impl Pages {
    /// The version of the format that is written, and the highest that is read.
    pub(super) const VERSION: u16 = VERSION;

    /// Pages on an empty medium, or those that are on it.
    pub(super) fn open(mut medium: Box<dyn Medium>) -> Result<Self, HeadError> {
        let (head, is_whole) = Head::read(medium.as_mut())?;
        Ok(Self(Arc::new(Mutex::new(State {
            medium,
            head,
            is_head_new: !is_whole,
            sums: Sums::default(),
            heals: Vec::new(),
            fresh: BTreeMap::new(),
            has_gaps: false,
            statistics: MediumStatistics {
                healed: u64::from(!is_whole),
                ..MediumStatistics::default()
            },
            fault: None,
        }))))
    }

    /// What this stands on, if nobody else has these pages.
    pub(super) fn into_medium(self) -> Option<Box<dyn Medium>> {
        let state = Arc::into_inner(self.0)?;
        Some(state.into_inner().unwrap_or_else(PoisonError::into_inner).medium)
    }

    pub(super) fn statistics(&self) -> MediumStatistics {
        self.state().statistics
    }

    /// What was written until now is not read back.
    pub(super) fn pass(&self) {
        self.state().fresh.clear();
    }

    /// Whether all that was written since this or [`Self::pass`] was last called is on the medium, as far
    /// as the system tells. Of two copies, one may not be readable. One of them after each commit: what is
    /// remembered grows with what is written.
    pub(super) fn read_back(&self) -> io::Result<bool> {
        let mut state = self.state();
        let mut is_good = true;
        let mut bytes = vec![0; PAGE];
        for (page, has_copy) in mem::take(&mut state.fresh) {
            let sums = state.sums(page)?;
            let (place, copy_place) = place(page);
            let first = state.read(place, &mut bytes);
            is_good &= first.is_err() || sums.contains(&sum(page, &bytes));
            if has_copy {
                let copy = state.read(copy_place, &mut bytes);
                is_good &= copy.is_err() || sums.contains(&sum(page, &bytes));
                first.or(copy)?;
            } else {
                first?;
            }
        }
        Ok(is_good)
    }

    /// A value that was not good when redb read it, with the parts of it that could not be read then;
    /// nothing, if everything could be read.
    pub(super) fn mended(&self, value: &[u8]) -> Option<io::Result<Vec<u8>>> {
        let mut state = self.state();
        state.has_gaps.then(|| state.close_gaps(value))
    }

    /// What the medium said when it first failed.
    pub(super) fn fault(&self) -> Option<io::Error> {
        self.state().fault()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn read(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let read = self.medium.read_at(offset, out);
        match &read {
            Ok(()) => self.statistics.read += out.len() as u64,
            Err(_) => self.statistics.unreadable += 1,
        }
        read
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.sound()?;
        self.statistics.written += data.len() as u64;
        let written = self.medium.write_at(offset, data);
        self.noted(written)
    }

    fn fault(&self) -> Option<io::Error> {
        self.fault.clone().map(|(kind, why)| io::Error::new(kind, why))
    }

    /// Whether nothing has failed.
    fn sound(&self) -> io::Result<()> {
        self.fault().map_or(Ok(()), Err)
    }

    fn noted<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            self.fault.get_or_insert_with(|| (error.kind(), error.to_string()));
        }
        result
    }

    /// What may be the sum of a page: what both copies of the sums say.
    fn sums(&mut self, page: u64) -> io::Result<[Sum; 2]> {
        let Self { medium, sums, statistics, .. } = self;
        let sums = sums.of(page, medium.as_mut(), statistics);
        self.noted(sums)
    }

    /// Checks the page that is in `out`, as it stands where it is kept first, against its sum and its
    /// copy, and puts right what can be. `read` is how reading it went.
    fn check(&mut self, page: u64, out: &mut [u8], read: io::Result<()>) -> io::Result<()> {
        let sums = self.sums(page)?;
        if sums == [[0; 16]; 2] {
            out.fill(0);
            return Ok(());
        }
        let (place, copy_place) = place(page);
        let mut copy = vec![0; PAGE];
        let copied = self.read(copy_place, &mut copy);
        let good = |read: &io::Result<()>, bytes: &[u8]| {
            read.as_ref().ok().map(|()| sum(page, bytes)).filter(|sum| sums.contains(sum))
        };
        if let Some(found) = good(&read, out) {
            self.settle(page, found, sums);
            if copied.is_err() || copy != out {
                self.heal(copy_place, out);
            }
            return Ok(());
        }
        if let Some(found) = good(&copied, &copy) {
            out.copy_from_slice(&copy);
            self.settle(page, found, sums);
            self.heal(place, out);
            return Ok(());
        }
        self.statistics.damaged += 1;
        let error = match read.and(copied) {
            Ok(()) => {
                let why = format!("page {page} is damaged, and so is its copy");
                io::Error::new(io::ErrorKind::InvalidData, why)
            }
            Err(error) => {
                let why = format!("page {page} cannot be read ({error}), nor from its copy");
                io::Error::new(error.kind(), why)
            }
        };
        self.noted(Err(error))
    }

    /// Reads pages that lie beside each other, for redb. One that goes on a value and cannot be read is
    /// handed on as a gap. The first page of the value was read just before: of a medium that is gone
    /// nothing gets there.
    fn read_beside(&mut self, page: u64, out: &mut [u8], reading: &mut Reading) -> io::Result<()> {
        let is_read = reading.missing < TRIES && self.read(place(page).0, out).is_ok();
        for (bytes, page) in out.chunks_mut(PAGE).zip(page..) {
            let is_checked = page < reading.first + reading.checked;
            let is_tried = is_checked || reading.missing < TRIES;
            let read = match (is_read, is_tried) {
                (true, _) => Ok(()),
                (false, true) => self.read(place(page).0, bytes),
                (false, false) => Err(io::Error::other("not tried, after others")),
            };
            if is_checked {
                self.check(page, bytes, read)?;
            } else if let Err(error) = read {
                if is_tried {
                    tracing::error!(page, "a page of the store cannot be read: {error}");
                }
                self.has_gaps = true;
                gaps::fill(page, bytes);
                reading.missing += 1;
            }
            if page == reading.first {
                reading.checked = structure(bytes, reading.count);
            }
        }
        Ok(())
    }

    /// `value` as it is once what is missing in it can be read.
    fn close_gaps(&mut self, value: &[u8]) -> io::Result<Vec<u8>> {
        let mut bytes = value.to_vec();
        let mut read = vec![0; PAGE];
        for gap in gaps::find(value) {
            // Whoever keeps a room may have written what looks like a gap.
            if gap.page < self.head.len / PAGE as u64 {
                self.read(place(gap.page).0, &mut read)?;
                gap.close(&mut bytes, &read);
            }
        }
        Ok(bytes)
    }

    /// Both copies of the sums shall say of a page what the page is.
    fn settle(&mut self, page: u64, found: Sum, sums: [Sum; 2]) {
        if sums != [found; 2] {
            self.statistics.healed += 1;
            self.sums.set(page, found);
        }
    }

    /// Writes `bytes` with the next sync; if there are too many to remember, they are found again.
    fn heal(&mut self, place: u64, bytes: &[u8]) {
        tracing::warn!(place, "a damaged page of the store is read from its copy");
        self.statistics.healed += 1;
        if self.heals.len() < HEALS {
            self.heals.push((place, bytes.to_vec()));
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        for (place, bytes) in mem::take(&mut self.heals) {
            self.write(place, &bytes)?;
        }
        for (place, sector) in self.sums.unwritten() {
            self.write(place, &sector)?;
        }
        if self.is_head_new {
            let sector = self.head.next();
            self.write(0, &sector)?;
            self.write(PAGE as u64, &sector)?;
            self.is_head_new = false;
        }
        self.sound()?;
        self.statistics.syncs += 1;
        let synced = self.medium.sync();
        self.noted(synced)
    }
}

/// The pages that `len` bytes at `offset` are, if they are whole pages.
fn pages(offset: u64, len: usize) -> io::Result<(u64, u64)> {
    let (size, len) = (PAGE as u64, len as u64);
    if offset.is_multiple_of(size) && len.is_multiple_of(size) && offset > 0 {
        Ok((offset / size, len / size))
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a page"))
    }
}

/// Of pages that redb writes at once, how many are of the structure: all of them, unless they are of a
/// table of rooms. There what has to be whole stands before the first value; redb's own lists of pages,
/// which grow with the file, are no such values.
fn structure(first: &[u8], count: u64) -> u64 {
    let has_value = || first.windows(MAGIC.len()).any(|window| window == MAGIC);
    if count > 1 && has_value() { 1 } else { count }
}

/// Whole pages from `page` on that lie beside each other: how many of `count`.
fn run(page: u64, count: u64) -> u64 {
    count.min(GROUP - page % GROUP)
}

impl StorageBackend for Pages {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().head.len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        if offset == 0 && out.len() <= HEADER {
            out.copy_from_slice(&state.head.header[..out.len()]);
            return Ok(());
        }
        let (first, count) = pages(offset, out.len())?;
        if (first + count) * PAGE as u64 > state.head.len {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "beyond the end"));
        }
        let mut reading = Reading { first, count, checked: 1, missing: 0 };
        let mut page = first;
        let mut rest = out;
        while page < first + count {
            let beside = run(page, first + count - page);
            let (now, later) = rest.split_at_mut(beside as usize * PAGE);
            state.read_beside(page, now, &mut reading)?;
            page += beside;
            rest = later;
        }
        Ok(())
    }

    /// New pages are zero, as those of which there is no sum are.
    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state();
        state.sound()?;
        let pages = len.div_ceil(PAGE as u64);
        if len < state.head.len {
            let end = HEADS + pages.div_ceil(GROUP) * SPAN;
            let State { medium, sums, statistics, .. } = &mut *state;
            let cut = sums.forget_from(pages, medium.as_mut(), statistics);
            let cut = cut.and_then(|()| medium.cut(end * PAGE as u64));
            state.noted(cut)?;
            drop(state.fresh.split_off(&pages));
            let kept = place(pages.max(1) - 1).1;
            state.heals.retain(|(place, _)| *place <= kept);
        }
        state.head.len = len;
        state.is_head_new = true;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.state().sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        if offset == 0 && data.len() == HEADER {
            state.head.header.copy_from_slice(data);
            state.is_head_new = true;
            return Ok(());
        }
        let (first, count) = pages(offset, data.len())?;
        let copies = structure(&data[..PAGE.min(data.len())], count);
        let mut page = first;
        let mut rest = data;
        while page < first + count {
            let beside = run(page, first + count - page);
            let (now, later) = rest.split_at(beside as usize * PAGE);
            for (bytes, page) in now.chunks(PAGE).zip(page..) {
                // For the sums of its neighbours.
                state.sums(page)?;
                state.sums.set(page, sum(page, bytes));
            }
            state.write(place(page).0, now)?;
            let copied = beside.min((first + copies).saturating_sub(page));
            if copied > 0 {
                state.write(place(page).1, &now[..copied as usize * PAGE])?;
            }
            page += beside;
            rest = later;
        }
        state.heals.retain(|(healed, _)| {
            (first..first + count).all(|page| ![place(page).0, place(page).1].contains(healed))
        });
        state.fresh.extend((first..first + count).map(|page| (page, page < first + copies)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::{FrailMedium, Spoiled};

    /// Five pages, across two groups, that redb wrote at once.
    fn written(begin: &[u8]) -> (FrailMedium, Vec<u8>) {
        let medium = FrailMedium::default();
        let pages = Pages::open(Box::new(medium.clone())).unwrap();
        let mut data: Vec<u8> = (0..5 * PAGE).map(|at| (at % 251) as u8).collect();
        data[100..100 + begin.len()].copy_from_slice(begin);
        pages.set_len(40 * PAGE as u64).unwrap();
        pages.write(30 * PAGE as u64, &data).unwrap();
        pages.write(0, &[9; HEADER]).unwrap();
        pages.sync_data().unwrap();
        assert!(pages.read_back().unwrap());
        (medium, data)
    }

    fn read(medium: &FrailMedium) -> (io::Result<Vec<u8>>, MediumStatistics) {
        let pages = Pages::open(Box::new(medium.clone())).unwrap();
        let mut out = vec![0; 5 * PAGE];
        let read = pages.read(30 * PAGE as u64, &mut out).map(|()| out);
        let mut header = [0; HEADER];
        pages.read(0, &mut header).unwrap();
        assert_eq!(header, [9; HEADER]);
        (read, pages.statistics())
    }

    fn flipped(medium: &FrailMedium, places: &[u64]) -> FrailMedium {
        let mut bytes = medium.bytes();
        for place in places {
            bytes[usize::try_from(*place).unwrap() + 77] ^= 8;
        }
        FrailMedium::new(bytes)
    }

    #[test]
    fn every_page_of_the_structure_is_read_from_either_copy() {
        let (medium, data) = written(b"");
        for page in 30..35 {
            let (first, copy) = place(page);
            for one in [first, copy] {
                let (read, statistics) = read(&flipped(&medium, &[one]));
                assert_eq!(read.unwrap(), data, "page {page}");
                assert_eq!((statistics.healed, statistics.damaged), (1, 0), "page {page}");
            }
            let (read, statistics) = read(&flipped(&medium, &[first, copy]));
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::InvalidData, "page {page}");
            assert_eq!(statistics.damaged, 1);
        }
    }

    #[test]
    fn what_goes_on_a_value_is_there_once_and_handed_on() {
        let (medium, data) = written(&MAGIC);
        let (good, _) = read(&medium);
        assert_eq!(good.unwrap(), data);
        for page in 31..35 {
            let (first, copy) = place(page);
            let end = usize::try_from(copy).unwrap();
            let at = medium.bytes().get(end..end + PAGE).is_none_or(|copy| copy == [0; PAGE]);
            assert!(at, "page {page} has no copy");
            let (read, _) = read(&flipped(&medium, &[first]));
            let differ = read.unwrap().iter().zip(&data).filter(|(is, was)| is != was).count();
            assert_eq!(differ, 1, "page {page}");
        }
        let (read, statistics) = read(&flipped(&medium, &[place(30).0]));
        assert_eq!((read.unwrap(), statistics.healed), (data, 1));
    }

    #[test]
    fn a_page_is_read_back_as_it_was_written_last() {
        let medium = FrailMedium::default();
        let pages = Pages::open(Box::new(medium.clone())).unwrap();
        pages.set_len(40 * PAGE as u64).unwrap();
        // By itself, with a copy; and then as what goes on a value, without one.
        pages.write(31 * PAGE as u64, &[1; PAGE]).unwrap();
        let value: Vec<u8> = MAGIC.into_iter().chain([2; 3 * PAGE - MAGIC.len()]).collect();
        pages.write(30 * PAGE as u64, &value).unwrap();
        assert!(pages.read_back().unwrap());
        pages.write(30 * PAGE as u64, &value).unwrap();
        medium.lie();
        pages.write(32 * PAGE as u64, &[3; PAGE]).unwrap();
        assert!(!pages.read_back().unwrap());
        assert!(pages.read_back().unwrap(), "it was told once");
    }

    #[test]
    fn what_was_written_is_read_back_from_one_copy_at_least() {
        let medium = FrailMedium::default();
        let pages = Pages::open(Box::new(medium.clone())).unwrap();
        pages.set_len(40 * PAGE as u64).unwrap();
        let value: Vec<u8> = MAGIC.into_iter().chain([2; 3 * PAGE - MAGIC.len()]).collect();
        let (first, copy) = place(20);
        for (spoiled, is_read) in [
            (vec![first], true),
            (vec![copy], true),
            (vec![first, copy], false),
            (vec![place(22).0], false),
        ] {
            for place in spoiled {
                medium.spoil(place / 512 + 3..place / 512 + 4, Spoiled::ForGood);
            }
            pages.write(20 * PAGE as u64, &value).unwrap();
            assert_eq!(pages.read_back().ok(), is_read.then_some(true));
            medium.unspoil();
        }
        assert!(pages.fault().is_none(), "it may be written again");
    }

    #[test]
    fn what_was_cut_off_is_zero_when_it_comes_again() {
        let (medium, data) = written(b"");
        let pages = Pages::open(Box::new(medium)).unwrap();
        pages.set_len(33 * PAGE as u64).unwrap();
        pages.set_len(40 * PAGE as u64).unwrap();
        for page in 30..40_usize {
            let mut out = vec![1; PAGE];
            pages.read((page * PAGE) as u64, &mut out).unwrap();
            let at = (page - 30) * PAGE;
            let is = if page < 33 { data[at..at + PAGE].to_vec() } else { vec![0; PAGE] };
            assert_eq!(out, is, "page {page}");
        }
        assert!(pages.read(40 * PAGE as u64, &mut [0; PAGE]).is_err());
    }
}
