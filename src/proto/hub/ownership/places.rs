//! Where the operations of a change stand, told as paths before the change is in.

use std::collections::{BTreeMap, BTreeSet};

use crate::proto::change::{Action, Change, Key, ObjectId, Operation};
use crate::proto::log::ChangeLog;
use crate::proto::model::path::Path;

/// The paths of the maps that a change makes.
pub(super) fn makes(log: &ChangeLog, change: &Change) -> BTreeSet<Path> {
    let mut places = Places::new(log, change);
    for (at, operation) in change.operations.iter().enumerate() {
        places.of(at, operation);
    }
    places.made.into_values().collect()
}

/// Where the operations of a change stand, as paths.
pub(super) struct Places<'a> {
    log: &'a ChangeLog,
    change: &'a Change,
    /// The paths of the objects that the change makes, by how many operations were before.
    made: BTreeMap<usize, Path>,
}

impl<'a> Places<'a> {
    pub(super) const fn new(log: &'a ChangeLog, change: &'a Change) -> Self {
        Self { log, change, made: BTreeMap::new() }
    }

    /// The path of what an operation writes; nothing where there is no such thing, which the guard
    /// refuses.
    pub(super) fn of(&mut self, at: usize, operation: &Operation) -> Option<Path> {
        let Key::Map(key) = &operation.key else {
            return None;
        };
        let table = self.log.table();
        let place = match table.object(&operation.object) {
            Some(object) => table.path(object).join(key),
            None => {
                let ObjectId::Made(id) = operation.object else { return None };
                let own = id.counter.checked_sub(self.change.start)?;
                self.made.get(&usize::try_from(own).ok()?)?.join(key)
            }
        };
        // Deeper than anything may stand: a change could make paths that double with each operation.
        let limits = self.log.limits();
        if matches!(operation.action, Action::MakeMap)
            && place.as_str().len() <= limits.depth * limits.key
        {
            self.made.insert(at, place.clone());
        }
        Some(place)
    }
}
