//! Where two texts differ (Myers, 1986), at a cost that is bounded: what is alike at both ends is left
//! out, and what is long is compared by lines.

use std::ops::Range;

use imara_diff::{Algorithm, Diff, InternedInput};

/// A stretch of one text, and the stretch of the other that stands in its place.
type Hunk = (Range<usize>, Range<usize>);

/// Where two texts differ, ascending. Beyond `most` characters on a side, lines are compared; beyond
/// as many lines, all is different.
pub(super) fn compare(before: &[char], after: &[char], most: usize) -> Vec<Hunk> {
    let start = before.iter().zip(after).take_while(|(one, other)| one == other).count();
    let (before, after) = (&before[start..], &after[start..]);
    let backwards = before.iter().rev().zip(after.iter().rev());
    let end = backwards.take_while(|(one, other)| one == other).count();
    let (before, after) = (&before[..before.len() - end], &after[..after.len() - end]);
    let hunks = if before.len().max(after.len()) <= most {
        let mut input = InternedInput::default();
        input.update_before(before.iter().copied());
        input.update_after(after.iter().copied());
        hunks(&input)
    } else {
        by_lines(before, after, most)
    };
    let moved = |range: Range<usize>| range.start + start..range.end + start;
    hunks.into_iter().map(|(gone, come)| (moved(gone), moved(come))).collect()
}

fn by_lines(before: &[char], after: &[char], most: usize) -> Vec<Hunk> {
    let lines = |text: &[char]| -> Vec<usize> {
        let ends = text.split_inclusive(|character| *character == '\n').map(<[char]>::len);
        let ends = ends.scan(0, |end, length| {
            *end += length;
            Some(*end)
        });
        std::iter::once(0).chain(ends).collect()
    };
    let (lines, others) = (lines(before), lines(after));
    if lines.len().max(others.len()) > most {
        return vec![(0..before.len(), 0..after.len())];
    }
    let mut input = InternedInput::default();
    input.update_before(lines.windows(2).map(|line| &before[line[0]..line[1]]));
    input.update_after(others.windows(2).map(|line| &after[line[0]..line[1]]));
    let within = |ends: &[usize], range: Range<usize>| ends[range.start]..ends[range.end];
    let hunks = hunks(&input).into_iter();
    hunks.map(|(gone, come)| (within(&lines, gone), within(&others, come))).collect()
}

fn hunks<T: Eq + std::hash::Hash>(input: &InternedInput<T>) -> Vec<Hunk> {
    let difference = Diff::compute(Algorithm::Myers, input);
    let whole = |range: Range<u32>| range.start as usize..range.end as usize;
    difference.hunks().map(|hunk| (whole(hunk.before), whole(hunk.after))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_differs_makes_of_one_text_the_other(
            before in "[ab\n]{0,60}",
            after in "[ab\n]{0,60}",
            most in 0..70_usize,
        ) {
            let (before, after): (Vec<char>, Vec<char>) =
                (before.chars().collect(), after.chars().collect());
            let mut made = before.clone();
            for (gone, come) in compare(&before, &after, most).into_iter().rev() {
                made.splice(gone, after[come].iter().copied());
            }
            prop_assert_eq!(made, after);
        }
    }
}
