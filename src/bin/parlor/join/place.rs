//! Places in a room, by names or ids.

use parlor::proto::datastore::tree::{self, Records};
use parlor::proto::model::path::Path;
use parlor::proto::model::value::Value;
use parlor::proto::table::{Cell, Table};

/// What is at a place, as far as the room's records say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A model, of a type if it is known.
    Model(Option<String>),
    /// A set.
    Set(Option<String>),
    /// A dictionary.
    Dictionary(Option<String>),
    /// A dictionary whose keys the relay gives out.
    Confirmed(Option<String>),
    /// A list.
    List(Option<String>),
    /// A counter.
    Counter,
    /// A text.
    Text,
    /// A value, of a kind that may not be known.
    Value(String),
}

/// A step from above, as JSON has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Name(String),
    Index(usize),
}

/// A place.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) path: Path,
    pub(super) what: What,
    pub(super) steps: Vec<Step>,
}

impl Place {
    /// The model and the property that this is.
    pub(super) fn property(&self) -> Result<(Path, u16), String> {
        self.path
            .split()
            .and_then(|(model, key)| Some((model, key.parse().ok()?)))
            .ok_or_else(|| "the room itself is no property".to_owned())
    }
}

/// Finds places.
pub(super) struct Finder<'a> {
    models: &'a Table,
    pub(super) records: Records,
}

impl<'a> Finder<'a> {
    pub(super) fn new(models: &'a Table) -> Self {
        Self { models, records: Records::read(models) }
    }

    /// The root model.
    fn root(&self) -> Place {
        Place {
            path: Path::root(),
            what: What::Model(self.records.root().map(ToOwned::to_owned)),
            steps: Vec::new(),
        }
    }

    /// The place that a person means.
    pub(super) fn find(&self, text: &str) -> Result<Place, String> {
        let keys = Path::parse(text.trim_matches('/'));
        keys.keys().try_fold(self.root(), |place, key| self.below(place, &key))
    }

    /// What a path of the document is called, and what is there.
    pub(super) fn name(&self, path: &Path) -> Place {
        path.keys().fold(self.root(), |place, key| {
            self.below(place.clone(), &key).unwrap_or_else(|_| Place {
                path: place.path.join(&key),
                what: What::Value(String::new()),
                steps: stepped(place.steps, Step::Name(key.into_owned())),
            })
        })
    }

    fn below(&self, place: Place, key: &str) -> Result<Place, String> {
        let Place { path, what, steps } = place;
        match what {
            What::Model(name) => self.property(&path, name.as_deref(), steps, key),
            What::Set(name) | What::Dictionary(name) | What::Confirmed(name) => Ok(Place {
                path: path.join(key),
                what: What::Model(name),
                steps: stepped(steps, Step::Name(key.to_owned())),
            }),
            What::List(name) => {
                let order = tree::order(self.models, &path);
                let index = match key.strip_prefix('#') {
                    Some(index) => index.parse().ok(),
                    None => order.iter().position(|(_, there)| there == key),
                };
                let (index, (_, key)) = index
                    .and_then(|index: usize| Some((index, order.get(index)?)))
                    .ok_or_else(|| format!("there is no `{key}` in the list"))?;
                Ok(Place {
                    path: path.join(key),
                    what: What::Model(name),
                    steps: stepped(steps, Step::Index(index)),
                })
            }
            What::Counter | What::Text | What::Value(_) => {
                Err(format!("there is nothing below {path}: it is a value"))
            }
        }
    }

    fn property(
        &self,
        model: &Path,
        name: Option<&str>,
        steps: Vec<Step>,
        key: &str,
    ) -> Result<Place, String> {
        let known = name.map(|name| self.records.properties(name)).unwrap_or_default();
        let id = key.parse().ok();
        let found = known.iter().find(|record| record.name == key || Some(record.id) == id);
        let (id, name, what) = match (found, id) {
            (Some(record), _) => {
                let below = record.below().map(ToOwned::to_owned);
                let what = match record.kind.as_str() {
                    "counter" => What::Counter,
                    "text" => What::Text,
                    kind if kind.starts_with("model ") => What::Model(below),
                    kind if kind.starts_with("set of ") => What::Set(below),
                    kind if kind.starts_with("list of ") => What::List(below),
                    kind if kind.starts_with("dictionary ") => What::Dictionary(below),
                    kind if kind.starts_with("confirmed ") => What::Confirmed(below),
                    kind => What::Value(kind.to_owned()),
                };
                (record.id, record.name.clone(), what)
            }
            (None, Some(id)) if id > 0 => (id, key.to_owned(), self.unknown(&model.property(id))),
            (None, _) => {
                let names: Vec<String> = known.into_iter().map(|record| record.name).collect();
                return Err(format!(
                    "there is no property `{key}`; there are: {}",
                    names.join(", ")
                ));
            }
        };
        Ok(Place { path: model.property(id), what, steps: stepped(steps, Step::Name(name)) })
    }

    /// A property of a model of a type, which may not stand yet.
    pub(super) fn of_type(&self, name: &str, model: &Path, key: &str) -> Result<Place, String> {
        self.property(model, Some(name), Vec::new(), key)
    }

    /// What is at a path of which no record speaks.
    fn unknown(&self, path: &Path) -> What {
        match self.stored(path) {
            Some(Cell::Object(_)) => What::Set(None),
            Some(Cell::Counter(_)) => What::Counter,
            Some(Cell::Value(_)) | None => What::Value(String::new()),
        }
    }

    fn stored(&self, path: &Path) -> Option<&Cell> {
        let (above, key) = path.split()?;
        self.models.get(self.models.find(&above)?, &key)
    }

    /// The value at a path now.
    pub(super) fn value(&self, path: &Path) -> Option<Value> {
        match self.stored(path)? {
            Cell::Value(Value::Null) | Cell::Counter(_) | Cell::Object(_) => None,
            Cell::Value(value) => Some(value.clone()),
        }
    }

    /// Whether the element of a collection stands in which a model is, if it is in one. What always
    /// stands is written only when it is needed.
    pub(super) fn has_element(&self, model: &Path) -> bool {
        let mut at = Path::root();
        model.keys().all(|key| {
            let within = self.name(&at).what;
            at = at.join(&key);
            matches!(within, What::Model(_)) || self.stands(&at)
        })
    }

    /// Whether something stands in the document of models at a path.
    pub(super) fn stands(&self, path: &Path) -> bool {
        path.is_root() || self.stored(path).is_some()
    }
}

fn stepped(mut steps: Vec<Step>, step: Step) -> Vec<Step> {
    steps.push(step);
    steps
}

/// Steps as a person reads them.
pub(super) fn words(steps: &[Step]) -> String {
    let words: Vec<String> = steps
        .iter()
        .map(|step| match step {
            Step::Name(name) => name.clone(),
            Step::Index(index) => format!("#{index}"),
        })
        .collect();
    words.join("/")
}
