//! A map that knows which of its entries may have changed, so that nothing has to be asked of the others.

use std::collections::BTreeMap;
use std::mem;

/// Entries by their keys, in order. Whoever can change an entry has touched it, whether it does or not:
/// nobody can forget to say so.
#[derive(Debug)]
pub(super) struct Touched<K, V> {
    entries: BTreeMap<K, Entry<V>>,
    /// The keys of what was touched since it was last asked. There are at most as many as things were put
    /// in and taken out since.
    touched: Vec<K>,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    is_touched: bool,
}

impl<K: Ord + Clone, V> Touched<K, V> {
    pub(super) const fn new() -> Self {
        Self { entries: BTreeMap::new(), touched: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn contains_key(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// An entry, which counts as touched.
    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let entry = self.entries.get_mut(key)?;
        if !mem::replace(&mut entry.is_touched, true) {
            self.touched.push(key.clone());
        }
        Some(&mut entry.value)
    }

    /// An entry counts as touched, if it is there.
    pub(super) fn touch(&mut self, key: &K) {
        self.get_mut(key);
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        self.touched.push(key.clone());
        self.entries.insert(key, Entry { value, is_touched: true });
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let (key, entry) = self.entries.remove_entry(key)?;
        if !entry.is_touched {
            self.touched.push(key);
        }
        Some(entry.value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, entry)| (key, &entry.value))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.entries.keys()
    }

    /// The keys of the entries that were touched, put in or taken out since this was asked last, in no
    /// order, and some of them more than once.
    pub(super) fn take_touched(&mut self) -> Vec<K> {
        let touched = mem::take(&mut self.touched);
        for key in &touched {
            if let Some(entry) = self.entries.get_mut(key) {
                entry.is_touched = false;
            }
        }
        touched
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_changed_was_touched() {
        let mut map = Touched::new();
        map.insert(1, "one");
        map.insert(2, "two");
        assert_eq!(map.take_touched(), [1, 2]);
        assert!(map.take_touched().is_empty());
        assert_eq!((map.get(&1), map.len(), map.contains_key(&3)), (Some(&"one"), 2, false));
        assert_eq!(map.iter().map(|(key, _)| *key).collect::<Vec<i32>>(), [1, 2]);
        assert!(map.take_touched().is_empty(), "it was only looked at");
        *map.get_mut(&2).unwrap() = "deux";
        map.touch(&2);
        map.touch(&3);
        assert_eq!(map.get_mut(&3), None);
        assert_eq!(map.take_touched(), [2]);
        assert_eq!(map.get(&2), Some(&"deux"));
    }

    #[test]
    fn what_went_was_touched_and_so_was_what_came_in_its_place() {
        let mut map = Touched::new();
        map.insert(1, "one");
        map.take_touched();
        assert_eq!(map.remove(&1), Some("one"));
        assert_eq!(map.remove(&1), None);
        assert_eq!(map.take_touched(), [1]);
        map.insert(1, "one");
        map.take_touched();
        map.remove(&1);
        map.insert(1, "uno");
        let touched = map.take_touched();
        assert!(!touched.is_empty() && touched.iter().all(|key| *key == 1));
        map.touch(&1);
        assert_eq!(map.take_touched(), [1], "it is seen again once it was asked for");
    }
}
