//! The sums of pages, of which there are two copies in the file.

use std::collections::BTreeMap;
use std::io;

use super::{GROUP, HEADS, MediumStatistics, PAGE, SECTOR, SPAN, Sum};
use crate::store::disk::medium::Medium;

/// The most groups whose sums are remembered: 4 MiB of them, for 512 MiB of pages. Of more, those are
/// forgotten that are written.
const GROUPS: usize = 4096;

/// The sums of a group, as either copy has them.
#[derive(Clone, Debug)]
struct Group {
    copies: [[u8; SECTOR]; 2],
    is_new: bool,
}

#[derive(Default, Debug)]
pub(super) struct Sums(BTreeMap<u64, Group>);

/// Where in the file the sums of a group are.
const fn places(group: u64) -> [u64; 2] {
    let first = HEADS + group * SPAN;
    [first * PAGE as u64, (first + SPAN - 1) * PAGE as u64]
}

fn at(page: u64) -> usize {
    (page % GROUP) as usize * 16
}

impl Sums {
    /// What either copy says of a page.
    pub(super) fn of(
        &mut self,
        page: u64,
        medium: &mut dyn Medium,
        statistics: &mut MediumStatistics,
    ) -> io::Result<[Sum; 2]> {
        let group = self.group(page / GROUP, medium, statistics)?;
        Ok([0, 1].map(|copy: usize| {
            let mut sum = [0; 16];
            sum.copy_from_slice(&group.copies[copy][at(page)..at(page) + 16]);
            sum
        }))
    }

    /// What both copies say of a page from the next sync on. Its group was read before.
    pub(super) fn set(&mut self, page: u64, sum: Sum) {
        if let Some(group) = self.0.get_mut(&(page / GROUP)) {
            for copy in &mut group.copies {
                copy[at(page)..at(page) + 16].copy_from_slice(&sum);
            }
            group.is_new = true;
        }
    }

    /// There are no pages from `page` on.
    pub(super) fn forget_from(
        &mut self,
        page: u64,
        medium: &mut dyn Medium,
        statistics: &mut MediumStatistics,
    ) -> io::Result<()> {
        drop(self.0.split_off(&page.div_ceil(GROUP)));
        if !page.is_multiple_of(GROUP) {
            let group = self.group(page / GROUP, medium, statistics)?;
            for copy in &mut group.copies {
                copy[at(page)..].fill(0);
            }
            group.is_new = true;
        }
        Ok(())
    }

    /// What is to be written, and where. It is remembered as written.
    pub(super) fn unwritten(&mut self) -> Vec<(u64, [u8; SECTOR])> {
        let mut sectors = Vec::new();
        for (number, group) in self.0.iter_mut().filter(|(_, group)| group.is_new) {
            group.is_new = false;
            sectors.extend(places(*number).into_iter().zip(group.copies));
        }
        sectors
    }

    /// The sums of a group. If one copy cannot be read, the other stands for it, and is written over it.
    fn group(
        &mut self,
        number: u64,
        medium: &mut dyn Medium,
        statistics: &mut MediumStatistics,
    ) -> io::Result<&mut Group> {
        if !self.0.contains_key(&number) {
            if self.0.len() >= GROUPS {
                self.0.retain(|_, group| group.is_new);
            }
            let mut copies = [[0; SECTOR]; 2];
            let [first, second] = places(number);
            let read =
                [medium.read_at(first, &mut copies[0]), medium.read_at(second, &mut copies[1])];
            let unreadable = read.iter().filter(|read| read.is_err()).count() as u64;
            statistics.read += (2 - unreadable) * SECTOR as u64;
            statistics.unreadable += unreadable;
            match read {
                [Ok(()), Ok(())] => {}
                [Err(_), Ok(())] => copies[0] = copies[1],
                [Ok(()), Err(_)] => copies[1] = copies[0],
                [Err(error), Err(_)] => return Err(error),
            }
            statistics.healed += unreadable;
            self.0.insert(number, Group { copies, is_new: unreadable > 0 });
        }
        self.0.get_mut(&number).ok_or_else(|| io::Error::other("no such group"))
    }
}
