//! automerge: transactions on [`Automerge`], changes one by one, saved documents.

use automerge::transaction::{Transactable, Transaction};
use automerge::{
    ActorId, Automerge as Document, Change, ChangeHash, ObjId, ObjType, ROOT, ReadDoc, ScalarValue,
    ScalarValueRef, ValueRef,
};

use super::{Edit, Engine, Form, Mailboxes, New, Outcome};
use crate::content::{KEYS, TRANSFORM, Tally, Value, property_of};

/// A replica.
pub(crate) struct Automerge {
    document: Document,
    objects: ObjId,
    committed: Vec<ChangeHash>,
}

/// An object, and its key among the objects.
pub(crate) struct Handle {
    object: ObjId,
    key: String,
}

impl Automerge {
    /// Commits what `write` does.
    fn commit<T>(
        &mut self,
        write: impl FnOnce(&mut Transaction<'_>, &ObjId) -> Outcome<T>,
    ) -> Outcome<T> {
        let mut transaction = self.document.transaction();
        let outcome = write(&mut transaction, &self.objects)?;
        let (hash, _) = transaction.commit();
        self.committed.extend(hash);
        Ok(outcome)
    }

    fn of(number: usize, mut document: Document) -> Outcome<Self> {
        document.set_actor(actor(number));
        let (_, objects) = document.get(ROOT, "objects")?.ok_or("the room has no objects")?;
        Ok(Self { document, objects, committed: Vec::new() })
    }
}

impl Engine for Automerge {
    const NAME: &'static str = "automerge";
    const ENCODES: bool = true;
    const DECODES: bool = true;

    type Handle = Handle;
    type Incoming = Change;
    type Relay = Mailboxes;

    fn new(number: usize) -> Outcome<Self> {
        // The map of objects is everybody's, so everybody begins with the change that makes it.
        let mut document = Document::new().with_actor(ActorId::from([0; 16]));
        let mut transaction = document.transaction();
        transaction.put_object(ROOT, "objects", ObjType::Map)?;
        transaction.commit();
        Self::of(number, document)
    }

    fn create(&mut self, objects: &[New<'_>]) -> Outcome<Vec<Handle>> {
        self.commit(|transaction, all| {
            let made = objects.iter().map(|(number, object)| {
                let key = format!("o{number:05}");
                let id = transaction.put_object(all, key.as_str(), ObjType::Map)?;
                for (property, value) in object.values() {
                    transaction.put(&id, KEYS[property], scalar(&value))?;
                }
                Ok(Handle { object: id, key })
            });
            made.collect()
        })
    }

    fn create_moving(&mut self, number: usize, transform: [u8; 40]) -> Outcome<Handle> {
        self.commit(|transaction, all| {
            let key = format!("o{number:05}");
            let object = transaction.put_object(all, key.as_str(), ObjType::Map)?;
            transaction.put(&object, KEYS[TRANSFORM], scalar(&Value::Transform(transform)))?;
            Ok(Handle { object, key })
        })
    }

    fn write(&mut self, edits: &[Edit<'_, Handle>]) -> Outcome<()> {
        self.commit(|transaction, _| {
            for (handle, property, value) in edits {
                transaction.put(&handle.object, KEYS[*property], scalar(value))?;
            }
            Ok(())
        })
    }

    fn remove(&mut self, handle: &Handle) -> Outcome<()> {
        self.commit(|transaction, all| Ok(transaction.delete(all, handle.key.as_str())?))
    }

    fn write_as(&mut self, number: usize) -> Outcome<bool> {
        self.document.set_actor(actor(number));
        Ok(true)
    }

    fn encode(&mut self) -> Outcome<Vec<Vec<u8>>> {
        let changes = self.committed.drain(..).map(|hash| {
            let change = self.document.get_change_by_hash(&hash).ok_or("a change is gone")?;
            Ok(change.raw_bytes().to_vec())
        });
        changes.collect()
    }

    fn decode(message: &[u8]) -> Outcome<Change> {
        Ok(Change::try_from(message)?)
    }

    fn apply(&mut self, incoming: Change) -> Outcome<()> {
        Ok(self.document.apply_changes([incoming])?)
    }

    fn apply_all(&mut self, incoming: Vec<Change>) -> Outcome<()> {
        Ok(self.document.apply_changes(incoming)?)
    }

    fn snapshot(&mut self, form: Form) -> Outcome<Option<Vec<u8>>> {
        Ok((form == Form::Usual).then(|| self.document.save()))
    }

    fn load(number: usize, snapshot: &[u8]) -> Outcome<Self> {
        Self::of(number, Document::load(snapshot)?)
    }

    fn read(&self) -> Outcome<Tally> {
        let mut tally = Tally::default();
        for object in self.document.map_range(&self.objects, ..) {
            for item in self.document.map_range(object.id(), ..) {
                let Some(property) = property_of(&item.key) else {
                    continue;
                };
                match &item.value {
                    ValueRef::Scalar(ScalarValueRef::F64(float)) => tally.number(property, *float),
                    ValueRef::Scalar(ScalarValueRef::Int(number)) => {
                        tally.integer(property, *number);
                    }
                    ValueRef::Scalar(ScalarValueRef::Boolean(flag)) => tally.flag(property, *flag),
                    ValueRef::Scalar(ScalarValueRef::Str(text)) => {
                        tally.bytes(property, text.as_bytes());
                    }
                    ValueRef::Scalar(ScalarValueRef::Bytes(bytes)) => tally.bytes(property, bytes),
                    other => return Err(format!("{} holds {other:?}", item.key).into()),
                }
            }
        }
        Ok(tally)
    }
}

/// Sixteen bytes, as automerge draws them.
fn actor(number: usize) -> ActorId {
    let mut bytes = [0x5a; 16];
    bytes[..8]
        .copy_from_slice(&(number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    ActorId::from(bytes)
}

fn scalar(value: &Value) -> ScalarValue {
    match value {
        Value::Float(float) => ScalarValue::F64(*float),
        Value::Integer(number) => ScalarValue::Int(*number),
        Value::Flag(flag) => ScalarValue::Boolean(*flag),
        Value::Text(text) => ScalarValue::Str(text.as_str().into()),
        Value::Transform(bytes) => ScalarValue::Bytes(bytes.to_vec()),
    }
}
