//! Which numbers came a moment ago.

/// The last number that came, and which of those before it did.
#[derive(Clone, Copy, Default, Debug)]
pub struct Recent {
    last: u64,
    /// The lowest bit is the one before the last.
    before: u64,
}

impl Recent {
    /// How many numbers before the last one are told apart. What is older counts as one that came.
    const TOLD: u64 = u64::BITS as u64;

    /// Whether a number has not come yet. It counts as one that came from now on. 0 never is new.
    pub const fn is_new(&mut self, number: u64) -> bool {
        if number > self.last {
            let by = number - self.last;
            // The last one itself, if there was one, and those before it.
            let came = (self.last > 0) as u64;
            self.before = if by > Self::TOLD {
                0
            } else if by == Self::TOLD {
                came << (by - 1)
            } else {
                self.before << by | came << (by - 1)
            };
            self.last = number;
            return true;
        }
        let behind = self.last - number;
        if number == 0 || behind == 0 || behind > Self::TOLD {
            return false;
        }
        let bit = 1 << (behind - 1);
        let new = self.before & bit == 0;
        self.before |= bit;
        new
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_is_new_once_in_whatever_order_it_comes() {
        let mut recent = Recent::default();
        let came = [3, 1, 3, 2, 2, 67, 3, 4, 4, 66, 66, 67, 0, 200, 136, 136, 135];
        let new = came.map(|number| recent.is_new(number));
        let expected = [
            true, true, false, true, false, true, false, true, false, true, false, false, false,
            true, true, false, false,
        ];
        assert_eq!(new, expected);
    }

    proptest! {
        #[test]
        fn no_number_is_new_twice(came in vec(0_u64..300, 0..300)) {
            let (mut recent, mut all, mut last) = (Recent::default(), BTreeSet::new(), 0);
            for number in came {
                let new = recent.is_new(number);
                let told = number + Recent::TOLD >= last && number > 0;
                prop_assert_eq!(new, told && all.insert(number));
                last = last.max(number);
            }
        }
    }
}
