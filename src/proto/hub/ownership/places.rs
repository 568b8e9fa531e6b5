//! Where the operations of a change stand, told as paths before the change is in.

use std::collections::{BTreeMap, BTreeSet};

use crate::proto::change::{Action, Change, Key, ObjectId, Operation};
use crate::proto::log::ChangeLog;
use crate::proto::model::path::Path;
use crate::proto::ownership::prefixes;

/// Where something stands. A path that is longer than what can be owned ends before that, so that no
/// change takes more memory here than its operations, however deep it goes.
#[derive(Clone)]
pub(in crate::proto::hub) struct Place {
    pub(in crate::proto::hub) path: Path,
    /// Whether that is all of it.
    pub(in crate::proto::hub) whole: bool,
}

impl Place {
    fn at(path: &Path, limit: usize) -> Self {
        if path.as_str().len() <= limit {
            return Self { path: path.clone(), whole: true };
        }
        let short = prefixes(path.as_str()).take_while(|prefix| prefix.len() <= limit).last();
        Self { path: Path::parse(short.unwrap_or_default()), whole: false }
    }

    fn below(&self, key: &str, limit: usize) -> Self {
        if !self.whole {
            return self.clone();
        }
        let path = self.path.join(key);
        if path.as_str().len() <= limit {
            return Self { path, whole: true };
        }
        Self { path: self.path.clone(), whole: false }
    }
}

/// The paths of the maps that a change makes, of those that can be owned.
pub(super) fn makes(log: &ChangeLog, change: &Change) -> BTreeSet<Path> {
    let mut places = Places::new(log, change);
    for (at, operation) in change.operations.iter().enumerate() {
        places.of(at, operation);
    }
    let made = places.made.into_values().filter(|place| place.whole);
    made.map(|place| place.path).collect()
}

/// Where the operations of a change stand.
pub(in crate::proto::hub) struct Places<'a> {
    log: &'a ChangeLog,
    change: &'a Change,
    /// The objects that the change makes, by how many operations were before.
    made: BTreeMap<usize, Place>,
}

impl<'a> Places<'a> {
    pub(in crate::proto::hub) const fn new(log: &'a ChangeLog, change: &'a Change) -> Self {
        Self { log, change, made: BTreeMap::new() }
    }

    /// Where an operation writes; nothing where there is no such thing, which the guard refuses.
    pub(in crate::proto::hub) fn of(&mut self, at: usize, operation: &Operation) -> Option<Place> {
        let Key::Map(key) = &operation.key else {
            return None;
        };
        let (table, limit) = (self.log.table(), self.log.limits().key);
        let place = match table.object(&operation.object) {
            Some(object) => Place::at(table.path(object), limit).below(key, limit),
            None => {
                let ObjectId::Made(id) = operation.object else { return None };
                let own = id.counter.checked_sub(self.change.start)?;
                self.made.get(&usize::try_from(own).ok()?)?.below(key, limit)
            }
        };
        if matches!(operation.action, Action::MakeMap) {
            self.made.insert(at, place.clone());
        }
        Some(place)
    }
}
