//! A view of a room that is built from its events alone: if it differs from the room, an event was
//! missing.

use std::collections::BTreeMap;

use crate::proto::datastore::Datastore;
use crate::proto::datastore::mirror::Node;
use crate::proto::event::Event;
use crate::proto::model::Field;
use crate::proto::model::path::Path;
use crate::proto::model::value::Value;

/// What an application that only listens would show.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Follower {
    models: BTreeMap<Path, BTreeMap<u16, Value>>,
    texts: BTreeMap<Path, String>,
}

impl Follower {
    /// What an application that looks at everything would show.
    #[must_use]
    pub fn of(store: &Datastore) -> Self {
        let mut follower = Self::default();
        follower.look(store, &Path::root());
        follower
    }

    /// Learns from an event. Values are read when an event says that they changed, and at no other
    /// time.
    pub fn follow(&mut self, event: &Event, store: &Datastore) {
        match event {
            Event::Ready | Event::Overrun => *self = Self::of(store),
            Event::Added { model, .. } | Event::Replaced { model, .. } => {
                self.forget(model);
                self.look(store, model);
            }
            Event::Removed { model, .. } => self.forget(model),
            Event::Changed(changed) if changed.properties.is_empty() => {
                if let Some(Node::Text(content)) = store.mirror().node(&changed.model) {
                    self.texts.insert(changed.model.clone(), content.clone());
                }
            }
            Event::Changed(changed) => {
                for id in &changed.properties {
                    if let Some(value) = value(store, &changed.model, *id) {
                        self.models.entry(changed.model.clone()).or_default().insert(*id, value);
                    }
                }
            }
            Event::State(_)
            | Event::Progress { .. }
            | Event::Joined(_)
            | Event::Left { .. }
            | Event::Moved { .. }
            | Event::Dropped { .. }
            | Event::Owner { .. }
            | Event::ClaimDenied { .. }
            | Event::Settled { .. }
            | Event::Refused { .. }
            | Event::Signal(_)
            | Event::SignalSettled { .. }
            | Event::SignalLost { .. }
            | Event::SignalsMissed
            | Event::Room(_)
            | Event::Presence { .. }
            | Event::Answered { .. }
            | Event::TokenEnds { .. }
            | Event::Voice(_)
            | Event::Keeps(_)
            | Event::Kept
            | Event::NotStored { .. } => {}
        }
    }

    /// The first path at which this differs from what an application that looks would show. Values
    /// that were never said count as their defaults.
    #[must_use]
    pub fn difference(&self, store: &Datastore) -> Option<Path> {
        let truth = Self::of(store);
        let model = truth.models.iter().find(|(path, values)| {
            let ours = self.models.get(*path);
            values.iter().any(|(id, value)| {
                let known = ours.and_then(|ours| ours.get(id)).cloned();
                known.or_else(|| default(store, path, *id)).is_none_or(|known| !known.same(value))
            })
        });
        let text = truth.texts.iter().find(|(path, content)| {
            self.texts.get(*path).map_or("", String::as_str) != content.as_str()
        });
        let gone = self.models.keys().find(|path| !truth.models.contains_key(*path));
        let differs = model.map(|(path, _)| path).or_else(|| text.map(|(path, _)| path));
        differs.or(gone).cloned()
    }

    fn forget(&mut self, model: &Path) {
        self.models.retain(|path, _| !model.contains(path));
        self.texts.retain(|path, _| !model.contains(path));
    }

    fn look(&mut self, store: &Datastore, above: &Path) {
        for (path, node) in store.mirror().nodes().filter(|(path, _)| above.contains(path)) {
            match node {
                Node::Model(model) => {
                    let ids = model.shape.properties.iter().map(|property| property.id);
                    let values = ids.filter_map(|id| Some((id, value(store, path, id)?)));
                    self.models.insert(path.clone(), values.collect());
                }
                Node::Text(content) => {
                    self.texts.insert(path.clone(), content.clone());
                }
                Node::Collection { .. } | Node::List(_) => {}
            }
        }
    }
}

fn value(store: &Datastore, path: &Path, id: u16) -> Option<Value> {
    match store.mirror().node(path)? {
        Node::Model(model) => model.data.field(id).and_then(Field::to_value),
        Node::Collection { .. } | Node::List(_) | Node::Text(_) => None,
    }
}

fn default(store: &Datastore, path: &Path, id: u16) -> Option<Value> {
    match store.mirror().node(path)? {
        Node::Model(model) => (model.shape.blank)().field(id).and_then(Field::to_value),
        Node::Collection { .. } | Node::List(_) | Node::Text(_) => None,
    }
}
