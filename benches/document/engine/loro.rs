//! loro: updates exported from a version vector, snapshots whole and shallow.

use loro::{ContainerID, ContainerTrait, ExportMode, LoroDoc, LoroMap, LoroValue, VersionVector};

use super::{Edit, Engine, Form, Mailboxes, New, Outcome};
use crate::content::{KEYS, TRANSFORM, Tally, Value, property_of};

/// A replica.
pub(crate) struct Loro {
    document: LoroDoc,
    objects: LoroMap,
    /// How many of this author's operations were encoded.
    encoded: i32,
}

/// An object, and its key among the objects.
pub(crate) struct Handle {
    object: ContainerID,
    key: String,
}

impl Loro {
    fn of(number: usize, document: LoroDoc) -> Outcome<Self> {
        let objects = document.get_map("objects");
        let mut replica = Self { document, objects, encoded: 0 };
        replica.write_as(number)?;
        Ok(replica)
    }

    fn make(&self, number: usize) -> Outcome<(LoroMap, Handle)> {
        let key = format!("o{number:05}");
        let object = self.objects.insert_container(&key, LoroMap::new())?;
        let handle = Handle { object: object.id(), key };
        Ok((object, handle))
    }
}

impl Engine for Loro {
    const NAME: &'static str = "loro";
    const ENCODES: bool = true;
    const DECODES: bool = false;

    type Handle = Handle;
    type Incoming = Vec<u8>;
    type Relay = Mailboxes;

    fn new(number: usize) -> Outcome<Self> {
        Self::of(number, LoroDoc::new())
    }

    fn create(&mut self, objects: &[New<'_>]) -> Outcome<Vec<Handle>> {
        let made = objects.iter().map(|(number, object)| {
            let (map, handle) = self.make(*number)?;
            for (property, value) in object.values() {
                map.insert(KEYS[property], loro_value(&value))?;
            }
            Ok(handle)
        });
        let made = made.collect();
        self.document.commit();
        made
    }

    fn create_moving(&mut self, number: usize, transform: [u8; 40]) -> Outcome<Handle> {
        let (map, handle) = self.make(number)?;
        map.insert(KEYS[TRANSFORM], loro_value(&Value::Transform(transform)))?;
        self.document.commit();
        Ok(handle)
    }

    fn write(&mut self, edits: &[Edit<'_, Handle>]) -> Outcome<()> {
        for (handle, property, value) in edits {
            let object = self.document.get_map(&handle.object);
            object.insert(KEYS[*property], loro_value(value))?;
        }
        self.document.commit();
        Ok(())
    }

    fn remove(&mut self, handle: &Handle) -> Outcome<()> {
        self.objects.delete(&handle.key)?;
        self.document.commit();
        Ok(())
    }

    fn write_as(&mut self, number: usize) -> Outcome<bool> {
        // 64 bits, as it draws them.
        let peer = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.document.set_peer_id(peer)?;
        self.encoded = self.document.oplog_vv().get(&peer).copied().unwrap_or(0);
        Ok(true)
    }

    fn encode(&mut self) -> Outcome<Vec<Vec<u8>>> {
        let peer = self.document.peer_id();
        let mut from: VersionVector = self.document.oplog_vv();
        let now = from.get(&peer).copied().unwrap_or(0);
        if now == self.encoded {
            return Ok(Vec::new());
        }
        from.insert(peer, self.encoded);
        self.encoded = now;
        Ok(vec![self.document.export(ExportMode::updates_owned(from))?])
    }

    fn decode(message: &[u8]) -> Outcome<Vec<u8>> {
        Ok(message.to_vec())
    }

    fn apply(&mut self, incoming: Vec<u8>) -> Outcome<()> {
        self.document.import(&incoming)?;
        Ok(())
    }

    fn apply_all(&mut self, incoming: Vec<Vec<u8>>) -> Outcome<()> {
        if !incoming.is_empty() {
            self.document.import_batch(&incoming)?;
        }
        Ok(())
    }

    fn snapshot(&mut self, form: Form) -> Outcome<Option<Vec<u8>>> {
        let mode = match form {
            Form::Usual => ExportMode::Snapshot,
            Form::Shallow => ExportMode::shallow_snapshot_owned(self.document.oplog_frontiers()),
        };
        Ok(Some(self.document.export(mode)?))
    }

    fn load(number: usize, snapshot: &[u8]) -> Outcome<Self> {
        Self::of(number, LoroDoc::from_snapshot(snapshot)?)
    }

    fn read(&self) -> Outcome<Tally> {
        let LoroValue::Map(objects) = self.objects.get_deep_value() else {
            return Err("the objects are no map".into());
        };
        let mut tally = Tally::default();
        for object in objects.values() {
            let LoroValue::Map(object) = object else {
                return Err("an object is no map".into());
            };
            for (key, value) in object.iter() {
                let Some(property) = property_of(key) else {
                    continue;
                };
                match value {
                    LoroValue::Double(float) => tally.number(property, *float),
                    LoroValue::I64(number) => tally.integer(property, *number),
                    LoroValue::Bool(flag) => tally.flag(property, *flag),
                    LoroValue::String(text) => tally.bytes(property, text.as_bytes()),
                    LoroValue::Binary(bytes) => tally.bytes(property, bytes),
                    other => return Err(format!("{key} holds {other:?}").into()),
                }
            }
        }
        Ok(tally)
    }
}

fn loro_value(value: &Value) -> LoroValue {
    match value {
        Value::Float(float) => (*float).into(),
        Value::Integer(number) => (*number).into(),
        Value::Flag(flag) => (*flag).into(),
        Value::Text(text) => text.as_str().into(),
        Value::Transform(bytes) => bytes.to_vec().into(),
    }
}
