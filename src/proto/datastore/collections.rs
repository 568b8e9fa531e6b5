//! What an application does with handles. Each method takes the room, or its [`Datastore`].

use smol_str::SmolStr;

use super::edit::absent;
use super::intent::Splice;
use super::mirror::{ListNode, Node};
use super::seed::Seed;
use super::{Datastore, EditError};
use crate::proto::event::Ticket;
use crate::proto::model::Model;
use crate::proto::model::handle::{
    ConfirmedDictionary, Handle, Key, ModelRef, RealtimeDictionary, RealtimeList, RealtimeSet, Text,
};
use crate::proto::model::list::Position;
use crate::proto::model::path::Path;

/// The keys of a set or dictionary; none if it is nowhere.
fn keys<'a>(
    store: &'a Datastore,
    path: Option<&Path>,
) -> impl Iterator<Item = &'a SmolStr> + use<'a> {
    let node = path.and_then(|path| store.mirror().node(path));
    let keys = match node {
        Some(Node::Collection { keys, .. }) => Some(keys),
        Some(Node::Model(_) | Node::List(_) | Node::Text(_)) | None => None,
    };
    keys.into_iter().flatten()
}

fn collection(store: &Datastore, path: Option<&Path>) -> Result<Path, EditError> {
    let path = path.ok_or(EditError::Nowhere)?;
    store.mirror().node(path).ok_or_else(|| absent(path))?;
    Ok(path.clone())
}

impl<T: Model> RealtimeSet<T> {
    /// Adds a model.
    ///
    /// # Errors
    ///
    /// When the set is not here, or the model is too large for one change.
    pub fn add(&self, store: &mut Datastore, model: T) -> Result<ModelRef<T>, EditError> {
        let set = collection(store, self.path())?;
        let key = store.new_key();
        store.create(&set.join(&key), model, None)
    }

    /// Removes a model of this set. Returns whether it was there: removing twice is removing once.
    ///
    /// # Errors
    ///
    /// When the handle is of no room.
    pub fn remove(&self, store: &mut Datastore, model: &ModelRef<T>) -> Result<bool, EditError> {
        let set = collection(store, self.path())?;
        let path = model.path().ok_or(EditError::Nowhere)?;
        match path.split() {
            Some((parent, _)) if parent == set => store.remove_at(path.clone()),
            _ => Ok(false),
        }
    }

    /// The models, in the order of their ids, which says nothing.
    pub fn iter<'a>(
        &self,
        store: &'a Datastore,
    ) -> impl Iterator<Item = (ModelRef<T>, &'a T)> + use<'a, T> {
        let set = self.path().cloned().unwrap_or_default();
        keys(store, self.path()).filter_map(move |key| {
            let model = ModelRef::at(set.join(key));
            store.get(&model).map(|data| (model, data))
        })
    }

    /// How many models there are.
    #[must_use]
    pub fn len(&self, store: &Datastore) -> usize {
        keys(store, self.path()).count()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self, store: &Datastore) -> bool {
        keys(store, self.path()).next().is_none()
    }
}

macro_rules! reading {
    ($name:ident) => {
        impl<K: Key, T: Model> $name<K, T> {
            /// The model of a key, to be read or updated; nothing if there is none.
            #[must_use]
            pub fn get(&self, store: &Datastore, key: &K) -> Option<ModelRef<T>> {
                let path = self.path()?.join(&key.to_key());
                store.mirror().node(&path).map(|_| ModelRef::at(path))
            }

            /// The keys and their models, in the order in which the keys are written. Keys of another
            /// type, which newer peers may have put there, are passed over.
            pub fn iter<'a>(
                &self,
                store: &'a Datastore,
            ) -> impl Iterator<Item = (K, ModelRef<T>, &'a T)> + use<'a, K, T> {
                let dictionary = self.path().cloned().unwrap_or_default();
                keys(store, self.path()).filter_map(move |key| {
                    let model = ModelRef::at(dictionary.join(key));
                    Some((K::from_key(key)?, model.clone(), store.get(&model)?))
                })
            }

            /// How many models there are.
            #[must_use]
            pub fn len(&self, store: &Datastore) -> usize {
                keys(store, self.path()).count()
            }

            /// Whether there are none.
            #[must_use]
            pub fn is_empty(&self, store: &Datastore) -> bool {
                keys(store, self.path()).next().is_none()
            }
        }
    };
}

reading!(RealtimeDictionary);
reading!(ConfirmedDictionary);

impl<K: Key, T: Model> RealtimeDictionary<K, T> {
    /// Puts a model under a key, in place of the one that may be there.
    ///
    /// # Errors
    ///
    /// When the dictionary is not here, or the model is too large for one change.
    pub fn insert(
        &self,
        store: &mut Datastore,
        key: &K,
        model: T,
    ) -> Result<ModelRef<T>, EditError> {
        let dictionary = collection(store, self.path())?;
        store.create(&dictionary.join(&key.to_key()), model, None)
    }

    /// Removes the model of a key. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// When the handle is of no room.
    pub fn remove(&self, store: &mut Datastore, key: &K) -> Result<bool, EditError> {
        let dictionary = collection(store, self.path())?;
        store.remove_at(dictionary.join(&key.to_key()))
    }
}

impl<K: Key, T: Model> ConfirmedDictionary<K, T> {
    /// Proposes to put a model under a key under which there is none. It costs a round trip to the
    /// relay and a frame until it shows here, and is told by
    /// [`Event::Settled`](crate::proto::event::Event::Settled) once the relay has it.
    ///
    /// # Errors
    ///
    /// When there is one already, something is proposed for the key, the model is too large for one
    /// change, or it is known already that it cannot be.
    pub fn insert(&self, store: &mut Datastore, key: &K, model: T) -> Result<Ticket, EditError> {
        self.propose(store, key, model, false)
    }

    /// Makes sure that there is a model under a key: the one that is there, this one, or the one of
    /// whoever comes first. [`Self::get`] has it when the event says
    /// [`Outcome::Done`](crate::proto::event::Outcome::Done) or
    /// [`Outcome::Found`](crate::proto::event::Outcome::Found). Asked again before, it is the same
    /// ticket.
    ///
    /// # Errors
    ///
    /// As [`Self::insert`], but for a model that is there.
    pub fn get_or_insert(
        &self,
        store: &mut Datastore,
        key: &K,
        model: T,
    ) -> Result<Ticket, EditError> {
        self.propose(store, key, model, true)
    }

    fn propose(
        &self,
        store: &mut Datastore,
        key: &K,
        model: T,
        found: bool,
    ) -> Result<Ticket, EditError> {
        let place = collection(store, self.path())?.join(&key.to_key());
        let seed = Seed::of(&place, model, None);
        store.propose_insert(place, seed, found)
    }

    /// Proposes to remove the model of a key. It is claimed for that: until the event comes others
    /// cannot edit it, whatever the outcome. [`Datastore::remove`] takes it out without asking.
    ///
    /// # Errors
    ///
    /// When there is none, something is proposed for the key, or it is another's.
    pub fn remove(&self, store: &mut Datastore, key: &K) -> Result<Ticket, EditError> {
        store.propose_removal(collection(store, self.path())?.join(&key.to_key()))
    }

    /// Proposes to remove everything that is in it now. It is lost if a key was put in or taken out
    /// before the relay heard of it. All goes in one change, which holds some 400 keys. The dictionary
    /// is claimed for that, as a model is by [`Self::remove`], and has its
    /// [`Event::Owner`](crate::proto::event::Event::Owner).
    ///
    /// # Errors
    ///
    /// When it is proposed already, is too much for one change, or a model in it is another's.
    pub fn clear(&self, store: &mut Datastore) -> Result<Ticket, EditError> {
        store.propose_clearing(collection(store, self.path())?)
    }
}

fn list<'a>(store: &'a Datastore, path: Option<&Path>) -> Result<&'a ListNode, EditError> {
    let path = path.ok_or(EditError::Nowhere)?;
    match store.mirror().node(path) {
        Some(Node::List(list)) => Ok(list),
        Some(Node::Model(_) | Node::Collection { .. } | Node::Text(_)) | None => Err(absent(path)),
    }
}

/// A position that makes its model the `at`th of those but `without`.
fn position(
    list: &ListNode,
    at: usize,
    without: Option<&str>,
    tag: &str,
) -> Result<Position, EditError> {
    let mut others = list.order.iter().filter(|(_, key)| Some(key.as_str()) != without);
    let before = at.checked_sub(1).map(|before| others.nth(before));
    let before = match before {
        Some(None) => {
            let len = list.order.len() - usize::from(without.is_some());
            return Err(EditError::OutOfRange { at, len });
        }
        Some(Some((position, _))) => Some(position),
        None => None,
    };
    let after = others.next().map(|(position, _)| position);
    Ok(Position::between(before, after, tag))
}

impl<T: Model> RealtimeList<T> {
    /// Puts a model at the end.
    ///
    /// # Errors
    ///
    /// When the list is not here, or the model is too large for one change.
    pub fn push(&self, store: &mut Datastore, model: T) -> Result<ModelRef<T>, EditError> {
        let end = list(store, self.path())?.order.len();
        self.insert(store, end, model)
    }

    /// Puts a model in a place, from 0; those from there on move up. Costs the length of the list.
    ///
    /// # Errors
    ///
    /// When the list is not here, the place is beyond its end, or the model is too large.
    pub fn insert(
        &self,
        store: &mut Datastore,
        at: usize,
        model: T,
    ) -> Result<ModelRef<T>, EditError> {
        let tag = store.position_tag();
        let position = position(list(store, self.path())?, at, None, &tag)?;
        let key = store.new_key();
        let path = self.path().ok_or(EditError::Nowhere)?.join(&key);
        store.create(&path, model, Some(position))
    }

    /// Makes a model of this list its `at`th, counted without it. Costs the length of the list.
    ///
    /// # Errors
    ///
    /// When the model is not in this list, or the place is beyond its end.
    pub fn move_to(
        &self,
        store: &mut Datastore,
        model: &ModelRef<T>,
        at: usize,
    ) -> Result<(), EditError> {
        let path = model.path().ok_or(EditError::Nowhere)?;
        let key = self.key_of(store, path).ok_or_else(|| absent(path))?;
        let tag = store.position_tag();
        let nodes = list(store, self.path())?;
        // Already there: nothing to write.
        if nodes.order.iter().nth(at).is_some_and(|(_, there)| *there == key) {
            return Ok(());
        }
        let position = position(nodes, at, Some(&key), &tag)?;
        store.shift(path, position)
    }

    /// Removes a model of this list. Returns whether it was there.
    ///
    /// # Errors
    ///
    /// When the handle is of no room.
    pub fn remove(&self, store: &mut Datastore, model: &ModelRef<T>) -> Result<bool, EditError> {
        let path = model.path().ok_or(EditError::Nowhere)?;
        if self.key_of(store, path).is_none() {
            return Ok(false);
        }
        store.remove_at(path.clone())
    }

    fn key_of(&self, store: &Datastore, path: &Path) -> Option<String> {
        let (parent, key) = path.split()?;
        let list = list(store, self.path()).ok()?;
        (Some(&parent) == self.path() && list.positions.contains_key(&key)).then_some(key)
    }

    /// The models in their order.
    pub fn iter<'a>(
        &self,
        store: &'a Datastore,
    ) -> impl Iterator<Item = (ModelRef<T>, &'a T)> + use<'a, T> {
        let path = self.path().cloned().unwrap_or_default();
        let order = list(store, self.path()).ok().map(|list| &list.order);
        order.into_iter().flatten().filter_map(move |(_, key)| {
            let model = ModelRef::at(path.join(key));
            store.get(&model).map(|data| (model, data))
        })
    }

    /// The model in a place, from 0. Costs the place.
    #[must_use]
    pub fn get(&self, store: &Datastore, at: usize) -> Option<ModelRef<T>> {
        let (_, key) = list(store, self.path()).ok()?.order.iter().nth(at)?;
        Some(ModelRef::at(self.path()?.join(key)))
    }

    /// How many models there are.
    #[must_use]
    pub fn len(&self, store: &Datastore) -> usize {
        list(store, self.path()).map_or(0, |list| list.order.len())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self, store: &Datastore) -> bool {
        self.len(store) == 0
    }
}

impl Text {
    /// The text.
    #[must_use]
    pub fn read<'a>(&self, store: &'a Datastore) -> &'a str {
        match self.path().and_then(|path| store.mirror().node(path)) {
            Some(Node::Text(content)) => content,
            Some(Node::Model(_) | Node::Collection { .. } | Node::List(_)) | None => "",
        }
    }

    /// Puts something in, before the `at`th Unicode scalar.
    ///
    /// # Errors
    ///
    /// When the text is not here, `at` is beyond its end, or the insertion is too large.
    pub fn insert(&self, store: &mut Datastore, at: usize, insert: &str) -> Result<(), EditError> {
        self.splice(store, at, 0, insert)
    }

    /// Takes `count` Unicode scalars out, from the `at`th on.
    ///
    /// # Errors
    ///
    /// When the text is not here, or has not so many.
    pub fn delete(&self, store: &mut Datastore, at: usize, count: usize) -> Result<(), EditError> {
        self.splice(store, at, count, "")
    }

    /// Takes `count` Unicode scalars out from the `at`th on, and puts something in their place.
    ///
    /// # Errors
    ///
    /// When the text is not here, has not so many, or the insertion is too large.
    pub fn splice(
        &self,
        store: &mut Datastore,
        at: usize,
        count: usize,
        insert: &str,
    ) -> Result<(), EditError> {
        let text = self.path().ok_or(EditError::Nowhere)?.clone();
        store.splice(Splice { text, at, delete: count, insert: insert.to_owned() })
    }
}
