//! Well-known objects in a log: anybody may bring the change that makes one, because anybody can
//! compute it from where the object stands.

use super::{Admission, ChangeLog, Origin};
use crate::proto::change::{ObjectId, OpId};
use crate::proto::guard;
use crate::proto::id::DocumentId;
use crate::proto::model::value::Value;
use crate::proto::reason::ChangeFault;
use crate::proto::table::{Cell, ObjectIndex, ObjectKind, Place, Places, Standing};
use crate::proto::wire::bounded::Line;
use crate::proto::wire::message::{Made, ParentRecord, WellKnownRecord};

impl ChangeLog {
    /// Whether another well-known object may be made.
    ///
    /// # Errors
    ///
    /// When the log is full.
    pub const fn may_create(&self) -> Result<(), ChangeFault> {
        if self.entries.len() >= self.limits.history {
            return Err(ChangeFault::HistoryFull);
        }
        if self.well_known >= self.limits.well_known {
            return Err(ChangeFault::TooManyAuthors);
        }
        Ok(())
    }

    /// Lets in the change that creates a well-known object.
    ///
    /// # Errors
    ///
    /// When its parent is not here, or the log is full.
    pub fn admit_well_known(
        &mut self,
        record: &WellKnownRecord,
        pending: bool,
    ) -> Result<Admission, ChangeFault> {
        let (end, place) = self.place_well_known(record)?;
        let sealed = self.scope.well_known(record, end);
        if let Some(known) = self.position(&sealed.hash) {
            if !pending {
                self.confirm(known);
            }
            return Ok(Admission::Known);
        }
        if self.authors.contains_key(&sealed.change.actor) {
            return Err(ChangeFault::Equivocation);
        }
        self.may_create()?;
        let deps = self.check_start(&sealed.change)?;
        let places = Places::from_slice(&[place]);
        let origin = Origin::WellKnown(Box::new(record.clone()));
        let standing = Standing { fixed: true, pending };
        let admission = self.insert(origin, sealed, deps, (&places, standing));
        self.well_known += 1;
        Ok(admission)
    }

    /// Makes sure that something well known exists under a key of an object: what is there stays,
    /// whoever made it. Costs nothing then.
    ///
    /// # Errors
    ///
    /// When the log is full.
    pub fn ensure(
        &mut self,
        parent: ObjectIndex,
        key: &str,
        made: Made,
        pending: bool,
    ) -> Result<(), ChangeFault> {
        let there = self.table.all(parent, key);
        let has = match &made {
            // For a record, one of the same words among those of different versions.
            Made::Record(text) => there
                .iter()
                .any(|live| matches!(&live.cell, Cell::Value(Value::Text(now)) if *now == **text)),
            Made::Map | Made::Text | Made::Counter => !there.is_empty(),
        };
        if has {
            return Ok(());
        }
        let parent = match self.table.id(parent) {
            ObjectId::Root => None,
            ObjectId::Made(id) => {
                let index = self.containing(id).ok_or(ChangeFault::UnknownDependency)?;
                let change = self.entry(index).ok_or(ChangeFault::UnknownDependency)?.hash;
                Some(ParentRecord { actor: id.actor, counter: id.counter, change })
            }
        };
        let key = Line::new(key).ok_or(ChangeFault::TooLarge)?;
        self.admit_well_known(&WellKnownRecord { parent, key, made }, pending).map(|_| ())
    }

    /// Where a well-known object stands, and the last operation of the change that made what it
    /// stands in.
    fn place_well_known(&self, record: &WellKnownRecord) -> Result<(u64, Place), ChangeFault> {
        let texts = self.document == DocumentId::TEXTS;
        if texts != matches!(record.made, Made::Text) || (texts && record.parent.is_some()) {
            return Err(ChangeFault::WrongOperation);
        }
        let (end, object) = match &record.parent {
            None => (0, ObjectIndex::ROOT),
            Some(parent) => {
                let index = self.position(&parent.change).ok_or(ChangeFault::UnknownDependency)?;
                let entry = &self.entries[index];
                let id = OpId { counter: parent.counter, actor: parent.actor };
                let made = (entry.start..=entry.end).contains(&id.counter);
                let object = self.table.object(&ObjectId::Made(id));
                // An object cannot be well known within something that its stated creation did not
                // make: automerge would not survive it.
                match object {
                    Some(object) if made && entry.actor == id.actor => (entry.end, object),
                    _ => return Err(ChangeFault::WrongActor),
                }
            }
        };
        if self.table.kind(object) != ObjectKind::Map {
            return Err(ChangeFault::WrongActor);
        }
        if self.table.depth(object) >= self.limits.depth || record.key.len() > self.limits.key {
            return Err(ChangeFault::TooLarge);
        }
        if matches!(record.made, Made::Map | Made::Text) && !guard::may_hold(object, &record.key) {
            return Err(ChangeFault::WrongPlace);
        }
        if !texts && !guard::may_be_known(&self.table, object, &record.key, &record.made) {
            return Err(ChangeFault::WrongPlace);
        }
        Ok((end, Place { object, register: self.table.register(object, &record.key) }))
    }
}
