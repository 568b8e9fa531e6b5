//! When something is due, of many things of which each has its time.

use std::collections::{BTreeMap, BTreeSet};

use crate::proto::time::Time;

/// The times of keys, to be found by key and by time.
#[derive(Debug)]
pub(super) struct Agenda<K> {
    times: BTreeMap<K, Time>,
    /// The same, the earliest first.
    order: BTreeSet<(Time, K)>,
}

impl<K: Ord + Clone> Agenda<K> {
    pub(super) const fn new() -> Self {
        Self { times: BTreeMap::new(), order: BTreeSet::new() }
    }

    /// A key is due at a time from now on, or never.
    pub(super) fn set(&mut self, key: &K, at: Option<Time>) {
        let before = self.get(key);
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.order.remove(&(before, key.clone()));
        }
        if let Some(at) = at {
            self.order.insert((at, key.clone()));
            self.times.insert(key.clone(), at);
        } else {
            self.times.remove(key);
        }
    }

    /// When a key is due.
    pub(super) fn get(&self, key: &K) -> Option<Time> {
        self.times.get(key).copied()
    }

    /// How many keys have a time.
    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    /// When the first is due.
    pub(super) fn first(&self) -> Option<Time> {
        self.order.first().map(|(at, _)| *at)
    }

    /// What is due by now, in the order of the keys.
    pub(super) fn due(&self, now: Time) -> Vec<K> {
        let due = self.order.iter().take_while(|(at, _)| *at <= now);
        let mut due: Vec<K> = due.map(|(_, key)| key.clone()).collect();
        due.sort_unstable();
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_is_found_in_the_order_of_the_keys() {
        let at = Time::from_micros;
        let mut agenda = Agenda::new();
        for (key, time) in [(3, 10), (1, 20), (2, 20), (4, 30)] {
            agenda.set(&key, Some(at(time)));
        }
        assert_eq!((agenda.first(), agenda.len()), (Some(at(10)), 4));
        assert!(agenda.due(at(9)).is_empty());
        assert_eq!(agenda.due(at(20)), [1, 2, 3]);
        agenda.set(&3, Some(at(40)));
        agenda.set(&1, None);
        agenda.set(&5, None);
        assert_eq!((agenda.first(), agenda.len()), (Some(at(20)), 3));
        assert_eq!((agenda.get(&3), agenda.get(&1)), (Some(at(40)), None));
        assert_eq!(agenda.due(at(100)), [2, 3, 4]);
    }
}
