//! The table that a document makes, compared with what automerge reads from it: what every other
//! comparison rests on.

use automerge::{Automerge, ObjId, ObjType, ReadDoc, ScalarValue};
use smol_str::SmolStr;

use super::{Cell, Live, ObjectIndex, ObjectKind, Table, View};
use crate::proto::change::OpId;
use crate::proto::model::value::Value;

impl Table {
    /// The first key at which this table and a document differ, in the values that nothing replaced:
    /// those that show and those that do not, and their order. Costs the size of the document.
    #[must_use]
    pub fn difference(&self, document: &Automerge) -> Option<String> {
        let mut path = Vec::new();
        let what = self.compare(ObjectIndex::ROOT, document, &ObjId::Root, &mut path)?;
        Some(format!("{path:?}: {what}"))
    }

    fn compare(
        &self,
        object: ObjectIndex,
        document: &Automerge,
        id: &ObjId,
        path: &mut Vec<SmolStr>,
    ) -> Option<String> {
        let mut ours = self.keys(object);
        for key in document.keys(id) {
            path.push(SmolStr::new(&key));
            let ours = ours.next();
            if ours != Some(path.last()?) {
                return Some(format!("the next key in the table is {ours:?}"));
            }
            let theirs = document.get_all(id, key.as_str()).unwrap_or_default();
            let ours = self.all(object, &key);
            if ours.len() != theirs.len() || !ours.iter().zip(&theirs).all(same) {
                return Some(format!("{ours:?} in the table, {theirs:?} in the document"));
            }
            for (live, (_, below)) in ours.iter().zip(&theirs) {
                if let Cell::Object(object) = live.cell
                    && self.kind(object) != kind(document, below)
                {
                    return Some(format!("a {:?} in the table", self.kind(object)));
                }
                if let Cell::Object(object) = live.cell
                    && self.kind(object) == ObjectKind::Text
                    && let (ours, theirs) = (self.read(object, View::All), document.text(below))
                    && theirs.as_ref() != Ok(&ours)
                {
                    return Some(format!("{ours:?} in the table, {theirs:?} in the document"));
                }
                if let Cell::Object(object) = live.cell
                    && self.kind(object) == ObjectKind::Map
                    && let Some(what) = self.compare(object, document, below, path)
                {
                    return Some(what);
                }
            }
            path.pop();
        }
        ours.next().map(|key| format!("{key:?} is in the table only"))
    }
}

fn kind(document: &Automerge, object: &ObjId) -> ObjectKind {
    let map = matches!(document.object_type(object), Ok(ObjType::Map));
    if map { ObjectKind::Map } else { ObjectKind::Text }
}

/// Whether a value is what automerge has there, by the same operation.
fn same((ours, (theirs, id)): (&Live, &(automerge::Value<'_>, ObjId))) -> bool {
    let value = match (&ours.cell, theirs) {
        (Cell::Object(_), automerge::Value::Object(_)) => true,
        (Cell::Counter(total), automerge::Value::Scalar(scalar)) => {
            matches!(&**scalar, ScalarValue::Counter(counter) if i64::from(counter) == *total)
        }
        (Cell::Value(value), automerge::Value::Scalar(scalar)) => same_value(value, scalar),
        _ => false,
    };
    value && op_id(id) == Some(ours.id)
}

fn same_value(value: &Value, scalar: &ScalarValue) -> bool {
    match (value, scalar) {
        (Value::Null, ScalarValue::Null) => true,
        (Value::Bool(ours), ScalarValue::Boolean(theirs)) => ours == theirs,
        (Value::Int(ours), ScalarValue::Int(theirs)) => ours == theirs,
        (Value::Uint(ours), ScalarValue::Uint(theirs)) => ours == theirs,
        (Value::Float(ours), ScalarValue::F64(theirs)) => ours.to_bits() == theirs.to_bits(),
        (Value::Text(ours), ScalarValue::Str(theirs)) => ours == theirs.as_str(),
        (Value::Bytes(ours), ScalarValue::Bytes(theirs)) => ours == theirs,
        _ => false,
    }
}

fn op_id(id: &ObjId) -> Option<OpId> {
    match id {
        ObjId::Root => None,
        ObjId::Id(counter, actor, _) => {
            Some(OpId { counter: *counter, actor: actor.to_bytes().try_into().ok()? })
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::proto::authorship::Scope;
    use crate::proto::config::Limits;
    use crate::proto::document::Image;
    use crate::proto::id::{AppKey, DocumentId, RoomName};
    use crate::proto::log::ChangeLog;
    use crate::proto::wire::bounded::Line;
    use crate::proto::wire::message::{Made, WellKnownRecord};

    fn log(records: &[WellKnownRecord]) -> ChangeLog {
        let app = AppKey::new("key").unwrap().app();
        let scope = Scope::first(app, RoomName::new("room").unwrap());
        let mut log = ChangeLog::new(scope, DocumentId::MODELS, Limits::default());
        for record in records {
            log.admit_well_known(record, false).unwrap();
        }
        log
    }

    #[test]
    fn a_table_without_a_change_that_the_document_has_differs_and_the_other_way_round() {
        let record =
            |key, made| WellKnownRecord { parent: None, key: Line::new(key).unwrap(), made };
        let text = |text| Made::Record(Line::new(text).unwrap());
        let records = [
            record("1", Made::Map),
            record("2", Made::Counter),
            record("3", text("one")),
            record("3", text("other")),
        ];
        let whole = log(&records);
        let mut image = Image::new();
        let document = image.of(&whole).unwrap();
        assert_eq!(whole.table().difference(document), None);
        for missing in 0..records.len() {
            let mut fewer = records.to_vec();
            fewer.remove(missing);
            let less = log(&fewer);
            assert!(less.table().difference(document).is_some(), "without {missing}");
            let mut image = Image::new();
            let document = image.of(&less).unwrap();
            assert!(whole.table().difference(document).is_some(), "{missing} too much");
        }
    }
}
