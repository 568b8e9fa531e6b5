//! What an application wants written, until its frame is over: the typed edits of one frame, in
//! order, with only the last value of each property.

use std::hash::{BuildHasherDefault, DefaultHasher};

use hashbrown::HashMap;

use super::edit::differences;
use super::seed::Seed;
use crate::proto::model::list::Position;
use crate::proto::model::path::Path;
use crate::proto::model::value::Value;
use crate::proto::model::{Kind, Model, Shape};
use crate::proto::ownership::Claim;

/// One thing to be written.
#[derive(Clone, Debug, PartialEq)]
pub enum Intent {
    /// Give a property another value.
    Put {
        /// The model.
        model: Path,
        /// Its property.
        property: u16,
        /// The value.
        value: Value,
    },
    /// Add to a counter.
    Count {
        /// The model.
        model: Path,
        /// Its counter.
        property: u16,
        /// How much; may be negative.
        by: i64,
    },
    /// Put a new model into a collection.
    Create {
        /// The collection's path and the model's key.
        model: Path,
        /// What it is made of.
        blueprint: Blueprint,
        /// Its place, in a list.
        position: Option<Position>,
    },
    /// Take a model out of its collection.
    Remove {
        /// The model.
        model: Path,
    },
    /// Give a model another place in its list.
    Move {
        /// The model.
        model: Path,
        /// The place.
        position: Position,
    },
    /// Let go of a place, and do whatever is done with it only if it is this peer's till then.
    Redeem {
        /// The place.
        model: Path,
    },
    /// Ask for a model, or let go of it.
    Claim {
        /// The model.
        model: Path,
        /// What is asked for.
        claim: Claim,
    },
}

impl Intent {
    /// What makes one model of a type into another, at a path: for tools, and relays.
    #[must_use]
    pub fn between<T: Model>(model: &Path, before: &T, after: &T) -> Vec<Self> {
        differences(model, &T::shape(), before, after)
    }

    /// What puts a new model at a place: its collection's path and its key. In a list it needs a
    /// `position`; in a set, a key that nothing ever had there.
    #[must_use]
    pub fn creation<T: Model>(place: &Path, model: T, position: Option<Position>) -> Vec<Self> {
        Seed::of(place, model, position).into_intents()
    }

    /// The model that it is about.
    #[must_use]
    pub const fn model(&self) -> &Path {
        match self {
            Self::Put { model, .. }
            | Self::Count { model, .. }
            | Self::Create { model, .. }
            | Self::Remove { model }
            | Self::Move { model, .. }
            | Self::Redeem { model }
            | Self::Claim { model, .. } => model,
        }
    }

    /// Whether it creates or removes a model.
    #[must_use]
    pub const fn reshapes(&self) -> bool {
        matches!(self, Self::Create { .. } | Self::Remove { .. })
    }

    /// How many bytes it may add to a change at most, as an estimate from above.
    #[must_use]
    pub fn size(&self) -> usize {
        // An operation's columns take under 64 bytes beside its key and value.
        let own = match self {
            Self::Put { value: Value::Text(text), .. } => text.len(),
            Self::Put { value: Value::Bytes(bytes), .. } => bytes.len(),
            Self::Create { blueprint, .. } => blueprint.parts() * 64,
            Self::Put { .. }
            | Self::Count { .. }
            | Self::Remove { .. }
            | Self::Move { .. }
            | Self::Redeem { .. }
            | Self::Claim { .. } => 0,
        };
        64 + self.model().as_str().len() + own
    }
}

/// The objects that a new model is made of, besides its values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blueprint(pub Vec<(u16, Part)>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A child model, or a collection, which starts empty.
    Map(Blueprint),
    /// A counter at zero.
    Counter,
}

/// How deep models may lie within models by `Child` alone.
pub const MAX_NESTING: usize = 16;

impl Blueprint {
    /// The blueprint of a model type.
    #[must_use]
    pub fn of(shape: &Shape) -> Self {
        Self::nested(shape, MAX_NESTING)
    }

    fn nested(shape: &Shape, depth: usize) -> Self {
        let parts = shape.properties.iter().filter_map(|property| {
            let part = match property.kind {
                Kind::Value(_) | Kind::Text | Kind::Signal => return None,
                Kind::Counter => Part::Counter,
                Kind::Child(_) if depth == 0 => return None,
                Kind::Child(shape) => Part::Map(Self::nested(&shape(), depth - 1)),
                Kind::Set(_) | Kind::Dictionary(..) | Kind::List(_) | Kind::Confirmed(..) => {
                    Part::Map(Self::default())
                }
            };
            Some((property.id, part))
        });
        Self(parts.collect())
    }

    fn parts(&self) -> usize {
        self.0
            .iter()
            .map(|(_, part)| match part {
                Part::Map(below) => 1 + below.parts(),
                Part::Counter => 1,
            })
            .sum()
    }
}

/// A piece of a text to be taken out and another put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice {
    /// The text.
    pub text: Path,
    /// Where, in Unicode scalars.
    pub at: usize,
    /// How many scalars go.
    pub delete: usize,
    /// What comes.
    pub insert: String,
}

impl Splice {
    /// How many bytes it may add to a change at most, as an estimate from above. Each scalar is an
    /// operation, of which a change has a limit too: what goes counts so much that a change of
    /// [`Limits::change`](crate::proto::config::Limits::change) stays below
    /// [`Limits::operations`](crate::proto::config::Limits::operations).
    #[must_use]
    pub const fn size(&self) -> usize {
        let inserted = self.insert.len().saturating_mul(4);
        inserted.saturating_add(self.delete.saturating_mul(3)).saturating_add(64)
    }
}

/// The edits of the frame that is not over yet.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    intents: Vec<Intent>,
    /// Where in `intents` the value of a property is.
    places: HashMap<(Path, u16), usize, BuildHasherDefault<DefaultHasher>>,
    splices: Vec<Splice>,
    size: usize,
    /// How many intents create or remove.
    reshaping: usize,
    /// Whether anything was added since what is due was last taken.
    due: bool,
}

impl Pending {
    /// Adds an intent; a value replaces an earlier one of the same property, a removal or a
    /// creation everything that was to happen at its place.
    pub fn push(&mut self, intent: Intent) {
        let key = match &intent {
            Intent::Put { model, property, .. } | Intent::Count { model, property, .. } => {
                Some((model.clone(), *property))
            }
            Intent::Remove { model } | Intent::Create { model, .. } => {
                let model = model.clone();
                self.forget_edits(&model);
                None
            }
            Intent::Move { .. } | Intent::Redeem { .. } => None,
            Intent::Claim { model, .. } => {
                let model = model.clone();
                self.forget_claim(&model);
                None
            }
        };
        self.due = true;
        if let Some(&place) = key.as_ref().and_then(|key| self.places.get(key)) {
            let merged = merged(&self.intents[place], intent);
            self.size = (self.size + merged.size()).saturating_sub(self.intents[place].size());
            self.intents[place] = merged;
        } else {
            self.reshaping += usize::from(intent.reshapes());
            self.places.extend(key.map(|key| (key, self.intents.len())));
            self.size += intent.size();
            self.intents.push(intent);
        }
    }

    /// Adds a splice, to the one before it if it continues that.
    pub fn splice(&mut self, splice: Splice) {
        self.due = true;
        self.size += splice.size();
        if let Some(last) = self.splices.last_mut().filter(|last| last.text == splice.text) {
            let end = last.at + last.insert.chars().count();
            if splice.delete == 0 && splice.at == end {
                last.insert.push_str(&splice.insert);
                return;
            }
        }
        self.splices.push(splice);
    }

    /// Drops everything that was to happen to a model or below it. Returns whether there was
    /// anything.
    pub fn forget(&mut self, model: &Path) -> bool {
        // A place is asked for that is to be empty.
        let goes = |intent: &Intent| {
            matches!(intent, Intent::Claim { model: at, claim }
                if model.contains(at) && !(at == model && claim.reserves()))
        };
        let before = self.intents.len();
        self.intents.retain(|intent| !goes(intent));
        let asked = self.intents.len() < before;
        if asked {
            self.count();
        }
        self.forget_edits(model) || asked
    }

    /// Drops every edit of a model or below it, but not what asks for it.
    fn forget_edits(&mut self, model: &Path) -> bool {
        let asks = |intent: &Intent| matches!(intent, Intent::Claim { .. });
        let before = self.intents.len() + self.splices.len();
        self.intents.retain(|intent| asks(intent) || !model.contains(intent.model()));
        self.splices.retain(|splice| !model.contains(&splice.text));
        if self.intents.len() + self.splices.len() == before {
            return false;
        }
        self.count();
        true
    }

    /// Drops what asks for a model.
    pub fn forget_claim(&mut self, model: &Path) {
        let before = self.intents.len();
        self.intents
            .retain(|intent| !matches!(intent, Intent::Claim { model: at, .. } if at == model));
        if self.intents.len() < before {
            self.count();
        }
    }

    /// Takes out what is to happen at places, but what asks for models.
    #[must_use]
    pub fn take_out(&mut self, refused: impl Fn(&Path) -> bool) -> (Vec<Intent>, Vec<Splice>) {
        let claims = |intent: &Intent| matches!(intent, Intent::Claim { .. });
        let (gone, kept) = std::mem::take(&mut self.intents)
            .into_iter()
            .partition(|intent| !claims(intent) && refused(intent.model()));
        let (cut, left) =
            std::mem::take(&mut self.splices).into_iter().partition(|cut| refused(&cut.text));
        (self.intents, self.splices) = (kept, left);
        self.count();
        (gone, cut)
    }

    /// Counts anew what is there, after something was taken out.
    fn count(&mut self) {
        let sizes = self.intents.iter().map(Intent::size);
        self.size = sizes.chain(self.splices.iter().map(Splice::size)).sum();
        self.reshaping = self.intents.iter().filter(|intent| intent.reshapes()).count();
        self.places.clear();
        for (place, intent) in self.intents.iter().enumerate() {
            if let Intent::Put { model, property, .. } | Intent::Count { model, property, .. } =
                intent
            {
                self.places.insert((model.clone(), *property), place);
            }
        }
    }

    /// What is to happen to a property.
    #[must_use]
    pub fn of(&self, model: &Path, property: u16) -> Option<&Intent> {
        if self.places.is_empty() {
            return None;
        }
        self.places.get(&(model.clone(), property)).map(|&place| &self.intents[place])
    }

    /// Whether a model is to be created or removed.
    #[must_use]
    pub fn reshapes(&self, model: &Path) -> bool {
        self.reshaping > 0 && self.intents.iter().any(|intent| {
            matches!(intent, Intent::Create { model: at, .. } | Intent::Remove { model: at } if at == model)
        })
    }

    /// Whether a place is to be redeemed.
    #[must_use]
    pub fn redeems(&self, place: &Path) -> bool {
        let redeemed =
            |intent: &Intent| matches!(intent, Intent::Redeem { model } if model == place);
        self.intents.iter().any(redeemed)
    }

    /// Whether a model is to be created or removed, or one above it.
    #[must_use]
    pub fn reshapes_above(&self, path: &Path) -> bool {
        self.reshaping > 0 && self.intents.iter().any(|intent| {
            matches!(intent, Intent::Create { model: at, .. } | Intent::Remove { model: at } if at.contains(path))
        })
    }

    /// Whether a model is to be moved.
    #[must_use]
    pub fn moves(&self, model: &Path) -> bool {
        self.intents
            .iter()
            .any(|intent| matches!(intent, Intent::Move { model: at, .. } if at == model))
    }

    /// Whether a text is to be edited.
    #[must_use]
    pub fn splices(&self) -> bool {
        !self.splices.is_empty()
    }

    /// An estimate of the bytes of the changes that this would make, from above.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.intents.is_empty() && self.splices.is_empty()
    }

    /// Whether anything was added since what is due was last taken.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.due && !self.is_empty()
    }

    /// Takes everything but what `waits`; while `cutting`, only what is about texts.
    #[must_use]
    pub fn take_due(
        &mut self,
        cutting: bool,
        waits: Option<impl Fn(&Path) -> bool>,
    ) -> (Vec<Intent>, Vec<Splice>) {
        self.due = cutting && !self.intents.is_empty();
        if let Some(waits) = waits.filter(|_| !cutting) {
            // Places in texts count in what shows when the frame ends: they cannot wait.
            let splices = std::mem::take(&mut self.splices);
            let (held, _) = self.take_out(|place| waits(place));
            self.splices = splices;
            let due = self.take_due(cutting, None::<fn(&Path) -> bool>);
            self.intents = held;
            self.count();
            return due;
        }
        let splices = std::mem::take(&mut self.splices);
        if cutting {
            self.size = self.intents.iter().map(Intent::size).sum();
            return (Vec::new(), splices);
        }
        self.places.clear();
        (self.size, self.reshaping) = (0, 0);
        (std::mem::take(&mut self.intents), splices)
    }
}

fn merged(earlier: &Intent, later: Intent) -> Intent {
    match (earlier, later) {
        (Intent::Count { by: first, .. }, Intent::Count { model, property, by }) => {
            Intent::Count { model, property, by: first.wrapping_add(by) }
        }
        (_, later) => later,
    }
}
