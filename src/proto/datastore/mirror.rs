//! The models as the application sees them: typed, borrowed by readers, refreshed from the document
//! for whatever changed there, and ahead of it by the edits of the frame that is not over yet.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use hashbrown::HashMap;
use smol_str::SmolStr;

use crate::proto::model::list::Position;
use crate::proto::model::path::Path;
use crate::proto::model::{AnyModel, Field, Kind, Shape};
use crate::proto::table::ObjectIndex;

use super::intent::MAX_NESTING;

/// Something that stands at a path.
#[derive(Debug)]
pub enum Node {
    /// A model.
    Model(ModelNode),
    /// A set or a dictionary: the keys of its models.
    Collection {
        /// What its models look like.
        shape: Members,
        /// Their keys.
        keys: BTreeSet<SmolStr>,
    },
    /// A list.
    List(ListNode),
    /// A text.
    Text(String),
}

impl Node {
    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Model(ours), Self::Model(theirs)) => ours.same(theirs),
            (Self::Collection { keys: ours, .. }, Self::Collection { keys: theirs, .. }) => {
                ours == theirs
            }
            (Self::List(ours), Self::List(theirs)) => ours.order == theirs.order,
            (Self::Text(ours), Self::Text(theirs)) => ours == theirs,
            _ => false,
        }
    }
}

/// An object of the models' table, as it was last seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// Where it was in the table of its epoch.
    pub object: ObjectIndex,
    /// How often history had been cut: a cut gives every object another place.
    pub cuts: u32,
}

/// A model.
pub struct ModelNode {
    /// What it looks like.
    pub shape: Arc<Shape>,
    /// Its values.
    pub data: Box<dyn AnyModel>,
    /// For models in collections whose table has them: the object there, by which another model
    /// under the same key is told apart.
    pub object: Option<Known>,
}

impl ModelNode {
    fn same(&self, other: &Self) -> bool {
        let value = |model: &Self, id| model.data.field(id).and_then(Field::to_value);
        self.shape.name == other.shape.name
            && self.shape.properties.iter().all(|property| {
                match (value(self, property.id), value(other, property.id)) {
                    (Some(ours), Some(theirs)) => {
                        let near = property.state.is_some_and(|it| it.grid.is_near(&ours, &theirs));
                        near || ours.same(&theirs)
                    }
                    (ours, theirs) => ours == theirs,
                }
            })
    }
}

impl fmt::Debug for ModelNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.data.fmt(f)
    }
}

/// What the models of a collection look like: one shape for all of them, made when the first comes.
#[derive(Debug)]
pub struct Members {
    make: fn() -> Shape,
    made: Option<Arc<Shape>>,
}

impl Members {
    const fn new(make: fn() -> Shape) -> Self {
        Self { make, made: None }
    }

    /// What one looks like.
    pub fn shape(&mut self) -> Arc<Shape> {
        Arc::clone(self.made.get_or_insert_with(|| Arc::new((self.make)())))
    }
}

/// A list: the keys of its models by position. Equal positions are ordered by key.
#[derive(Debug)]
pub struct ListNode {
    /// What its models look like.
    pub shape: Members,
    /// In order.
    pub order: BTreeSet<(Position, String)>,
    /// By key.
    pub positions: BTreeMap<String, Position>,
}

impl ListNode {
    /// Puts a model in a place, out of the one where it was. Returns whether it is another.
    pub fn place(&mut self, key: &str, position: Position) -> bool {
        let before = self.positions.insert(key.to_owned(), position.clone());
        if before.as_ref() == Some(&position) {
            return false;
        }
        if let Some(before) = before {
            self.order.remove(&(before, key.to_owned()));
        }
        self.order.insert((position, key.to_owned()))
    }

    /// Takes a model out.
    pub fn take(&mut self, key: &str) {
        if let Some(position) = self.positions.remove(key) {
            self.order.remove(&(position, key.to_owned()));
        }
    }
}

/// Every node of a room, by path.
#[derive(Debug, Default)]
pub struct Mirror {
    nodes: HashMap<Path, Node, BuildHasherDefault<DefaultHasher>>,
}

impl Mirror {
    /// The mirror of an empty room.
    #[must_use]
    pub fn new(root: &Shape) -> Self {
        let mut mirror = Self::default();
        mirror.attach(&Path::root(), &Arc::new(root.clone()));
        mirror
    }

    /// What stands at a path.
    #[must_use]
    pub fn node(&self, path: &Path) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// What stands at a path, to be changed.
    pub fn node_mut(&mut self, path: &Path) -> Option<&mut Node> {
        self.nodes.get_mut(path)
    }

    /// The keys of what is in a collection or list.
    #[must_use]
    pub fn keys(&self, path: &Path) -> Vec<SmolStr> {
        match self.nodes.get(path) {
            Some(Node::Collection { keys, .. }) => keys.iter().cloned().collect(),
            Some(Node::List(list)) => list.positions.keys().map(SmolStr::from).collect(),
            Some(Node::Model(_) | Node::Text(_)) | None => Vec::new(),
        }
    }

    /// The objects of models are elsewhere now, where `place` says; those that it does not know are
    /// gone. `cuts` is how often history was cut.
    pub fn relocate(&mut self, cuts: u32, place: impl Fn(ObjectIndex) -> Option<ObjectIndex>) {
        let moved = |known: Known| Some(Known { object: place(known.object)?, ..known });
        for node in self.nodes.values_mut() {
            if let Node::Model(ModelNode { object, .. }) = node {
                *object = object.filter(|known| known.cuts == cuts).and_then(moved);
            }
        }
    }

    /// Makes room for at least so many nodes, those that are there among them.
    pub fn reserve(&mut self, nodes: usize) {
        self.nodes.reserve(nodes.saturating_sub(self.nodes.len()));
    }

    /// Every node, in the order of paths. Costs sorting them all: for tools and oracles.
    pub fn nodes(&self) -> impl Iterator<Item = (&Path, &Node)> {
        let mut nodes: Vec<_> = self.nodes.iter().collect();
        nodes.sort_unstable_by_key(|(path, _)| *path);
        nodes.into_iter()
    }

    /// Where something is at a path and below it.
    fn below(&self, path: &Path) -> Vec<Path> {
        let mut found = Vec::new();
        let mut rest = vec![path.clone()];
        while let Some(at) = rest.pop() {
            match self.nodes.get(&at) {
                Some(Node::Model(model)) => {
                    rest.extend(model.shape.handles().map(|property| at.property(property.id)));
                }
                Some(Node::Collection { keys, .. }) => {
                    rest.extend(keys.iter().map(|key| at.join(key)));
                }
                Some(Node::List(list)) => {
                    rest.extend(list.positions.keys().map(|key| at.join(key)));
                }
                Some(Node::Text(_)) => {}
                // Children lie only so deep.
                None => continue,
            }
            found.push(at);
        }
        found
    }

    /// Puts a model with its defaults at a path, and whatever always stands below one of its shape.
    /// Returns it. If it is in a collection, its key must be there: see [`Self::enter`].
    pub fn attach(&mut self, path: &Path, shape: &Arc<Shape>) -> &mut Node {
        self.attach_nested(path, shape, MAX_NESTING)
    }

    fn attach_nested(&mut self, path: &Path, shape: &Arc<Shape>, depth: usize) -> &mut Node {
        let mut data = (shape.blank)();
        for property in shape.handles() {
            let at = path.property(property.id);
            if let Some(field) = data.field_mut(property.id) {
                field.bind(&at);
            }
            let node = match property.kind {
                Kind::Value(_) | Kind::Counter | Kind::Signal => continue,
                Kind::Child(shape) => {
                    if depth > 0 {
                        self.attach_nested(&at, &Arc::new(shape()), depth - 1);
                    }
                    continue;
                }
                Kind::Set(shape) | Kind::Dictionary(_, shape) | Kind::Confirmed(_, shape) => {
                    Node::Collection { shape: Members::new(shape), keys: BTreeSet::new() }
                }
                Kind::List(shape) => Node::List(ListNode {
                    shape: Members::new(shape),
                    order: BTreeSet::new(),
                    positions: BTreeMap::new(),
                }),
                Kind::Text => Node::Text(String::new()),
            };
            self.nodes.insert(at, node);
        }
        let model = ModelNode { shape: Arc::clone(shape), data, object: None };
        self.nodes.entry(path.clone()).insert(Node::Model(model)).into_mut()
    }

    /// Takes out a model and everything below it. Returns whether there was one.
    pub fn detach(&mut self, path: &Path) -> bool {
        if let Some((parent, key)) = path.split() {
            match self.nodes.get_mut(&parent) {
                Some(Node::Collection { keys, .. }) => {
                    keys.remove(key.as_str());
                }
                Some(Node::List(list)) => list.take(&key),
                Some(Node::Model(_) | Node::Text(_)) | None => {}
            }
        }
        let below = self.below(path);
        for at in &below {
            self.nodes.remove(at);
        }
        !below.is_empty()
    }

    /// The first path at which two mirrors differ, if they do.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<Path> {
        let ours = self
            .nodes()
            .find(|(path, node)| other.node(path).is_none_or(|theirs| !node.same(theirs)));
        let theirs = other.nodes().find(|(path, _)| !self.nodes.contains_key(*path));
        ours.or(theirs).map(|(path, _)| path.clone())
    }

    /// The texts of a model and of those below it.
    pub fn texts_below(&self, model: &Path) -> impl Iterator<Item = Path> {
        let below = self.below(model).into_iter();
        below.filter(|path| matches!(self.node(path), Some(Node::Text(_))))
    }

    /// Every model of every collection, by the collection's path and the model's key.
    #[must_use]
    pub fn members(&self) -> Vec<(Path, String)> {
        let mut members = Vec::new();
        for (path, node) in &self.nodes {
            match node {
                Node::Collection { keys, .. } => {
                    members.extend(keys.iter().map(|key| (path.clone(), key.to_string())));
                }
                Node::List(list) => {
                    members.extend(list.positions.keys().map(|key| (path.clone(), key.clone())));
                }
                Node::Model(_) | Node::Text(_) => {}
            }
        }
        members
    }

    /// Puts a key into the collection at a path. Returns what its models look like; nothing if there
    /// is no collection.
    pub fn enter(
        &mut self,
        collection: &Path,
        key: &SmolStr,
        position: impl FnOnce() -> Option<Position>,
    ) -> Option<Arc<Shape>> {
        match self.nodes.get_mut(collection)? {
            Node::Collection { shape, keys } => {
                keys.insert(key.clone());
                Some(shape.shape())
            }
            Node::List(list) => {
                list.place(key, position().unwrap_or_else(|| Position::parse("")));
                Some(list.shape.shape())
            }
            Node::Model(_) | Node::Text(_) => None,
        }
    }
}
