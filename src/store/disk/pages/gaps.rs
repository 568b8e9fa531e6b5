//! What stands where a part of a value could not be read: which page that is, over and over. redb keeps what
//! it has read, so that whoever finds that a value is not good has to know what to read again.

use std::collections::BTreeSet;

use super::PAGE;

/// What every cell begins with.
const MAGIC: [u8; 8] = *b"unread\x1a\n";
/// A cell: magic, and the number of the cell in all pages.
const CELL: usize = 16;
const CELLS: u64 = (PAGE / CELL) as u64;

/// A page that could not be read, and where in some bytes it begins: before them, if it is less than 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Gap {
    pub(super) page: u64,
    begin: i64,
}

/// Fills a page that could not be read.
pub(super) fn fill(page: u64, out: &mut [u8]) {
    for (cell, number) in out.chunks_exact_mut(CELL).zip(page * CELLS..) {
        cell[..MAGIC.len()].copy_from_slice(&MAGIC);
        cell[MAGIC.len()..].copy_from_slice(&number.to_le_bytes());
    }
}

/// The pages that are missing in `bytes`. One of which less than a cell is in it is not found; and what
/// looks like one need not be.
pub(super) fn find(bytes: &[u8]) -> BTreeSet<Gap> {
    let cells = bytes.windows(CELL).enumerate().filter(|(_, cell)| cell.starts_with(&MAGIC));
    let gap = |(at, cell): (usize, &[u8])| {
        let number = u64::from_le_bytes(cell.get(MAGIC.len()..)?.try_into().ok()?);
        let before = i64::try_from(number % CELLS).ok()? * CELL as i64;
        Some(Gap { page: number / CELLS, begin: i64::try_from(at).ok()? - before })
    };
    cells.filter_map(gap).collect()
}

impl Gap {
    /// Puts what was read of the page where it was missing.
    pub(super) fn close(&self, bytes: &mut [u8], page: &[u8]) {
        let skipped = usize::try_from(-self.begin).unwrap_or(0);
        let begin = usize::try_from(self.begin).unwrap_or(0);
        for (byte, read) in bytes.iter_mut().skip(begin).zip(page.iter().skip(skipped)) {
            *byte = *read;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_found_and_closed_wherever_a_value_begins_and_ends() {
        let was: Vec<u8> = (0..3 * PAGE).map(|at| (at % 249) as u8).collect();
        let mut is = was.clone();
        fill(7, &mut is[PAGE..2 * PAGE]);
        for (from, to) in [
            (0, 3 * PAGE),
            (PAGE - 5, 2 * PAGE + 5),
            (PAGE, 2 * PAGE),
            (PAGE + 100, 2 * PAGE - 100),
            (2 * PAGE - CELL, 3 * PAGE),
            (10, PAGE + CELL),
        ] {
            let mut value = is[from..to].to_vec();
            let gaps = find(&value);
            assert_eq!(gaps.iter().map(|gap| gap.page).collect::<Vec<_>>(), [7], "{from} to {to}");
            gaps.first().unwrap().close(&mut value, &was[PAGE..2 * PAGE]);
            assert_eq!(value, was[from..to], "{from} to {to}");
        }
        assert!(find(&is[..PAGE + CELL - 1]).is_empty());
        assert!(find(&was).is_empty());
    }
}
