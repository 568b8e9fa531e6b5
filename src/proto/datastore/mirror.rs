//! The models as the application sees them: typed, borrowed by readers, refreshed from the document
//! for whatever changed there, and ahead of it by the edits of the frame that is not over yet.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use automerge::ObjId;

use crate::proto::model::list::Position;
use crate::proto::model::path::Path;
use crate::proto::model::{AnyModel, Field, Kind, Shape};

use super::intent::MAX_NESTING;

/// Something that stands at a path.
#[derive(Debug)]
pub enum Node {
    /// A model.
    Model(ModelNode),
    /// A set or a dictionary: the keys of its models.
    Collection {
        /// What its models look like.
        shape: fn() -> Shape,
        /// Their keys.
        keys: BTreeSet<String>,
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

/// A model.
pub struct ModelNode {
    /// What it looks like.
    pub shape: Shape,
    /// Its values.
    pub data: Box<dyn AnyModel>,
    /// For models in collections that are in the document: the object there, by which another model
    /// under the same key is told apart.
    pub object: Option<ObjId>,
}

impl ModelNode {
    fn same(&self, other: &Self) -> bool {
        let value = |model: &Self, id| model.data.field(id).and_then(Field::to_value);
        self.shape.name == other.shape.name
            && self.shape.properties.iter().all(|property| {
                match (value(self, property.id), value(other, property.id)) {
                    (Some(ours), Some(theirs)) => ours.same(&theirs),
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

/// A list: the keys of its models by position. Equal positions are ordered by key.
#[derive(Debug)]
pub struct ListNode {
    /// What its models look like.
    pub shape: fn() -> Shape,
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
    nodes: BTreeMap<Path, Node>,
}

impl Mirror {
    /// The mirror of an empty room.
    #[must_use]
    pub fn new(root: &Shape) -> Self {
        let mut mirror = Self::default();
        mirror.attach(&Path::root(), root);
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

    /// Every node, in the order of paths.
    pub fn nodes(&self) -> impl Iterator<Item = (&Path, &Node)> {
        self.nodes.iter()
    }

    /// Puts a model with its defaults at a path, and whatever always stands below one of its shape.
    pub fn attach(&mut self, path: &Path, shape: &Shape) {
        self.attach_nested(path, shape, MAX_NESTING);
    }

    fn attach_nested(&mut self, path: &Path, shape: &Shape, depth: usize) {
        let mut data = (shape.blank)();
        for property in &shape.properties {
            let at = path.property(property.id);
            if let Some(field) = data.field_mut(property.id) {
                field.bind(&at);
            }
            let node = match property.kind {
                Kind::Value(_) | Kind::Counter => continue,
                Kind::Child(shape) => {
                    if depth > 0 {
                        self.attach_nested(&at, &shape(), depth - 1);
                    }
                    continue;
                }
                Kind::Set(shape) | Kind::Dictionary(_, shape) => {
                    Node::Collection { shape, keys: BTreeSet::new() }
                }
                Kind::List(shape) => Node::List(ListNode {
                    shape,
                    order: BTreeSet::new(),
                    positions: BTreeMap::new(),
                }),
                Kind::Text => Node::Text(String::new()),
            };
            self.nodes.insert(at, node);
        }
        self.nodes.insert(
            path.clone(),
            Node::Model(ModelNode { shape: shape.clone(), data, object: None }),
        );
    }

    /// Takes out a model and everything below it. Returns whether there was one.
    pub fn detach(&mut self, path: &Path) -> bool {
        if let Some((parent, key)) = path.split() {
            match self.nodes.get_mut(&parent) {
                Some(Node::Collection { keys, .. }) => {
                    keys.remove(&key);
                }
                Some(Node::List(list)) => list.take(&key),
                Some(Node::Model(_) | Node::Text(_)) | None => {}
            }
        }
        let below: Vec<Path> = self
            .nodes
            .range(path.clone()..)
            .map(|(at, _)| at)
            // Sorted as strings, "a" is followed by "a.b" before "a/b": go on past neighbours.
            .take_while(|at| at.as_str().starts_with(path.as_str()))
            .filter(|at| path.contains(at))
            .cloned()
            .collect();
        for at in &below {
            self.nodes.remove(at);
        }
        !below.is_empty()
    }

    /// The first path at which two mirrors differ, if they do.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<Path> {
        let ours = self
            .nodes
            .iter()
            .find(|(path, node)| other.nodes.get(*path).is_none_or(|theirs| !node.same(theirs)));
        let theirs = other.nodes.keys().find(|path| !self.nodes.contains_key(*path));
        ours.map(|(path, _)| path).or(theirs).cloned()
    }

    /// The texts of a model and of those below it.
    pub fn texts_below(&self, model: &Path) -> impl Iterator<Item = &Path> {
        let texts = self.nodes.iter().filter(|(_, node)| matches!(node, Node::Text(_)));
        texts.map(|(path, _)| path).filter(|path| model.contains(path))
    }

    /// Puts a new model into a collection. Returns whether there was none of that key.
    pub fn enter(&mut self, path: &Path, position: Option<&Position>) -> bool {
        let Some((parent, key)) = path.split() else {
            return false;
        };
        let (shape, fresh) = match self.nodes.get_mut(&parent) {
            Some(Node::Collection { shape, keys }) => (*shape, keys.insert(key)),
            Some(Node::List(list)) => {
                let fresh = !list.positions.contains_key(&key);
                list.place(&key, position.cloned().unwrap_or_else(|| Position::parse("")));
                (list.shape, fresh)
            }
            Some(Node::Model(_) | Node::Text(_)) | None => return false,
        };
        self.attach(path, &shape());
        fresh
    }
}
