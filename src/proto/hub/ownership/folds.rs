//! Values of the state lane that the relay writes into the document: their writer is gone, or does not own
//! them any more.

use smol_str::ToSmolStr;

use crate::proto::draft::{Draft, Target};
use crate::proto::log::ChangeLog;
use crate::proto::model::path::Path;
use crate::proto::model::value::Value;
use crate::proto::reason::ChangeFault;
use crate::proto::table::ObjectIndex;
use crate::proto::wire::message::Made;

/// A value that goes into the document.
#[derive(Clone, PartialEq, Debug)]
pub(in crate::proto::hub) struct Fold {
    /// The model.
    pub(in crate::proto::hub) model: Path,
    /// Its property.
    pub(in crate::proto::hub) property: u16,
    /// The value.
    pub(in crate::proto::hub) value: Value,
}

impl Fold {
    /// How many bytes it may add to a change at most.
    pub(super) fn cost(&self) -> usize {
        let bytes = if let Value::Bytes(bytes) = &self.value { bytes.len() } else { 0 };
        64 + bytes
    }

    /// Makes the model's map, if that always stands below the root. Others come with what they are in:
    /// whether the last key of a longer way is a model's that was removed, a relay cannot tell.
    pub(super) fn prepare(&self, log: &mut ChangeLog) -> Result<(), ChangeFault> {
        let mut keys = self.model.keys();
        match (keys.next(), keys.next()) {
            (Some(key), None) => log.ensure(ObjectIndex::ROOT, &key, Made::Map, false),
            (Some(_), Some(_)) | (None, _) => Ok(()),
        }
    }

    /// Writes it, if its model is there, but never over another model: whether a property has values
    /// or models a relay does not know.
    pub(super) fn write(&self, draft: &mut Draft<'_>) {
        let root = draft.target(ObjectIndex::ROOT);
        let below = |target: Target, key: &str| draft.below(target, key);
        let key = self.property.to_smolstr();
        if let Some(model) = self.model.keys().try_fold(root, |at, key| below(at, &key))
            && draft.below(model, &key).is_none()
        {
            draft.put(model, key, &self.value);
        }
    }
}
