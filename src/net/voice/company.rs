//! Whose packets go one way at present, so that a packet waits for those of others, and not in vain.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::proto::time::Time;

/// For how long who was heard counts as one who speaks: two frames and a half.
const LASTS: Duration = Duration::from_millis(50);

/// The topics of which something went a short while ago.
#[derive(Debug)]
pub(super) struct Company<T>(BTreeMap<T, Time>);

impl<T: Ord> Company<T> {
    pub(super) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// How many speak: as many packets are worth waiting for, one of each.
    pub(super) fn size(&mut self, now: Time) -> usize {
        self.0.retain(|_, last| now.since(*last) < LASTS);
        self.0.len()
    }

    /// Something of a topic goes.
    pub(super) fn goes(&mut self, topic: T, now: Time) {
        self.0.insert(topic, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn who_speaks_is_in_it_once_and_for_a_while() {
        let mut company = Company::new();
        assert_eq!(company.size(at(0)), 0);
        company.goes(1, at(0));
        company.goes(2, at(0));
        company.goes(1, at(20));
        assert_eq!(company.size(at(49)), 2);
        assert_eq!(company.size(at(50)), 1);
        assert_eq!(company.size(at(70)), 0);
    }
}
