//! yrs: updates of transactions in both encodings, with garbage collection, as it is by default.

use std::marker::PhantomData;
use std::sync::Arc;

use yrs::updates::decoder::Decode;
use yrs::{
    Any, Doc, Map, MapPrelim, MapRef, Number, Out, ReadTxn, StateVector, Transact, TransactionMut,
    Update,
};

use super::{Edit, Engine, Form, Mailboxes, New, Outcome};
use crate::content::{KEYS, TRANSFORM, Tally, Value, property_of};

/// How updates are encoded.
pub(crate) trait Encoding {
    /// What the engine is called.
    const NAME: &'static str;
    /// The update of a transaction.
    fn update(transaction: &TransactionMut<'_>) -> Vec<u8>;
    /// The update that brings others from what they have to a whole document.
    fn since(document: &Doc, known: &StateVector) -> Vec<u8>;
    /// Reads an update.
    fn read(bytes: &[u8]) -> Outcome<Update>;
}

/// The first encoding.
pub(crate) enum First {}

impl Encoding for First {
    const NAME: &'static str = "yrs v1";

    fn update(transaction: &TransactionMut<'_>) -> Vec<u8> {
        transaction.encode_update_v1()
    }

    fn since(document: &Doc, known: &StateVector) -> Vec<u8> {
        document.transact().encode_state_as_update_v1(known)
    }

    fn read(bytes: &[u8]) -> Outcome<Update> {
        Ok(Update::decode_v1(bytes)?)
    }
}

/// The second encoding, by columns.
pub(crate) enum Second {}

impl Encoding for Second {
    const NAME: &'static str = "yrs v2";

    fn update(transaction: &TransactionMut<'_>) -> Vec<u8> {
        transaction.encode_update_v2()
    }

    fn since(document: &Doc, known: &StateVector) -> Vec<u8> {
        document.transact().encode_state_as_update_v2(known)
    }

    fn read(bytes: &[u8]) -> Outcome<Update> {
        Ok(Update::decode_v2(bytes)?)
    }
}

/// A replica.
pub(crate) struct Yrs<V> {
    document: Doc,
    objects: MapRef,
    committed: Vec<Vec<u8>>,
    encoding: PhantomData<V>,
}

impl<V: Encoding> Yrs<V> {
    /// Commits what `write` does, and keeps the update of it: only a transaction knows its own.
    fn commit<T>(
        &mut self,
        write: impl FnOnce(&mut TransactionMut<'_>, &MapRef) -> Outcome<T>,
    ) -> Outcome<T> {
        let mut transaction = self.document.transact_mut();
        let outcome = write(&mut transaction, &self.objects)?;
        transaction.commit();
        self.committed.push(V::update(&transaction));
        Ok(outcome)
    }
}

impl<V: Encoding> Engine for Yrs<V> {
    const NAME: &'static str = V::NAME;
    const ENCODES: bool = false;
    const DECODES: bool = true;

    type Handle = Arc<str>;
    type Incoming = Update;
    type Relay = Mailboxes;

    fn new(number: usize) -> Outcome<Self> {
        // 53 bits, as it draws them.
        let client = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11;
        let document = Doc::with_client_id(client);
        let objects = document.get_or_insert_map("objects");
        Ok(Self { document, objects, committed: Vec::new(), encoding: PhantomData })
    }

    fn create(&mut self, objects: &[New<'_>]) -> Outcome<Vec<Arc<str>>> {
        self.commit(|transaction, all| {
            let made = objects.iter().map(|(number, object)| {
                let key: Arc<str> = format!("o{number:05}").into();
                let map = all.insert(transaction, Arc::clone(&key), MapPrelim::default());
                for (property, value) in object.values() {
                    map.insert(transaction, KEYS[property], any(&value));
                }
                Ok(key)
            });
            made.collect()
        })
    }

    fn create_moving(&mut self, number: usize, transform: [u8; 40]) -> Outcome<Arc<str>> {
        self.commit(|transaction, all| {
            let key: Arc<str> = format!("o{number:05}").into();
            let map = all.insert(transaction, Arc::clone(&key), MapPrelim::default());
            map.insert(transaction, KEYS[TRANSFORM], any(&Value::Transform(transform)));
            Ok(key)
        })
    }

    fn write(&mut self, edits: &[Edit<'_, Arc<str>>]) -> Outcome<()> {
        self.commit(|transaction, all| {
            for (key, property, value) in edits {
                let Some(Out::YMap(object)) = all.get(transaction, key) else {
                    return Err(format!("there is no {key}").into());
                };
                object.insert(transaction, KEYS[*property], any(value));
            }
            Ok(())
        })
    }

    fn remove(&mut self, handle: &Arc<str>) -> Outcome<()> {
        self.commit(|transaction, all| {
            all.remove(transaction, handle);
            Ok(())
        })
    }

    fn encode(&mut self) -> Outcome<Vec<Vec<u8>>> {
        let committed = std::mem::take(&mut self.committed);
        let [first, _, ..] = committed.as_slice() else {
            return Ok(committed);
        };
        // Of several commits one update is made, as for somebody who was away.
        let client = self.document.client_id();
        let mut known = self.document.transact().state_vector();
        known.set_min(client, V::read(first)?.state_vector_lower().get(&client));
        Ok(vec![V::since(&self.document, &known)])
    }

    fn decode(message: &[u8]) -> Outcome<Update> {
        V::read(message)
    }

    fn apply(&mut self, incoming: Update) -> Outcome<()> {
        Ok(self.document.transact_mut().apply_update(incoming)?)
    }

    fn apply_all(&mut self, incoming: Vec<Update>) -> Outcome<()> {
        let mut transaction = self.document.transact_mut();
        for update in incoming {
            transaction.apply_update(update)?;
        }
        Ok(())
    }

    fn snapshot(&mut self, form: Form) -> Outcome<Option<Vec<u8>>> {
        Ok((form == Form::Usual).then(|| V::since(&self.document, &StateVector::default())))
    }

    fn load(number: usize, snapshot: &[u8]) -> Outcome<Self> {
        let mut replica = Self::new(number)?;
        replica.apply(Self::decode(snapshot)?)?;
        Ok(replica)
    }

    fn read(&self) -> Outcome<Tally> {
        let transaction = self.document.transact();
        let mut tally = Tally::default();
        for (_, object) in self.objects.iter(&transaction) {
            let Out::YMap(object) = object else {
                return Err("an object is no map".into());
            };
            for (key, value) in object.iter(&transaction) {
                let Some(property) = property_of(key) else {
                    continue;
                };
                match value {
                    Out::Any(Any::Number(Number::Float(float))) => tally.number(property, float),
                    Out::Any(Any::Number(Number::Int(number))) => tally.integer(property, number),
                    Out::Any(Any::Bool(flag)) => tally.flag(property, flag),
                    Out::Any(Any::String(text)) => tally.bytes(property, text.as_bytes()),
                    Out::Any(Any::Buffer(bytes)) => tally.bytes(property, &bytes),
                    other => return Err(format!("{key} holds {other:?}").into()),
                }
            }
        }
        Ok(tally)
    }
}

fn any(value: &Value) -> Any {
    match value {
        Value::Float(float) => Any::from(*float),
        Value::Integer(number) => Any::from(*number),
        Value::Flag(flag) => Any::Bool(*flag),
        Value::Text(text) => Any::String(text.as_str().into()),
        Value::Transform(bytes) => Any::Buffer(bytes.as_slice().into()),
    }
}
