//! What `#[derive(Model)]` implements: how a plain struct becomes properties of a document.
//!
//! The derive emits one `impl Model` whose bodies only list the fields; everything else is here, in
//! functions that a debugger can enter.

pub mod grid;
pub mod handle;
pub mod list;
pub mod path;
pub mod property;
pub mod value;
pub mod words;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::{self, Debug};

use serde::Serialize;
use sha2::{Digest, Sha256};

use self::handle::Handle;
use self::path::Path;
use self::value::Value;
use self::words::StateTerms;

/// A plain struct that lives in a room. Derive it.
///
/// Every field carries `#[property(id)]`, an integer from 1 to 65,535 that is never used for
/// anything else; ids of fields that are gone are declared with `#[model(retired(3, 4))]`.
/// `#[property(id, unreliable)]` puts a value that changes all the time on the state lane; how, is
/// said by more words ([`derive(Model)`](macro@crate::Model)).
/// Defaults are what [`Default`] says; they are read and never written.
pub trait Model: Any + Clone + Default + Debug + Send {
    /// The name of the type in documents.
    const NAME: &'static str;

    /// Lists the properties, in the order of the fields.
    fn describe(properties: &mut Vec<PropertyShape>);

    /// Ids that were properties of an earlier version.
    const RETIRED: &'static [u16];

    /// The field of a property.
    fn field(&self, id: u16) -> Option<&dyn Field>;

    /// The field of a property, to be written.
    fn field_mut(&mut self, id: u16) -> Option<&mut dyn Field>;

    /// The shape of the type: built once per call; the crate keeps it.
    #[must_use]
    fn shape() -> Shape {
        let mut properties = Vec::new();
        Self::describe(&mut properties);
        Shape {
            name: Self::NAME,
            properties,
            retired: Self::RETIRED,
            blank: || Box::new(Self::default()),
        }
    }
}

/// A field of a model: a value, or a handle to what lies below the model.
pub trait Field: Any + Send {
    /// What stands in the document for this field; nothing for handles.
    fn to_value(&self) -> Option<Value>;

    /// Takes what stands in the document. Returns whether the field is different now. A value of
    /// another kind (a newer or older peer's) leaves the field as it is.
    fn take_value(&mut self, value: &Value) -> bool;

    /// For handles: learn where in the room the model is. Values ignore it.
    fn bind(&mut self, at: &Path);
}

/// A type that can be a field: says what kind of property it is.
pub trait FieldType: Field + Default {
    /// What kind of property it is.
    fn kind() -> Kind;
}

/// What kind of property a field is.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A value, last writer wins; with the name of its encoding in schema records.
    Value(&'static str),
    /// A sum of increments.
    Counter,
    /// A text, in the room's second document.
    Text,
    /// A model of its own at a fixed place.
    Child(fn() -> Shape),
    /// Models by element id.
    Set(fn() -> Shape),
    /// Models by key, with the name of the key's type.
    Dictionary(&'static str, fn() -> Shape),
    /// Models in an order.
    List(fn() -> Shape),
    /// Models by key, each put there by one peer alone, with the name of the key's type.
    Confirmed(&'static str, fn() -> Shape),
    /// Something that is told once and stands in no document.
    Signal,
}

impl Kind {
    /// The shape of the models below, if there are any.
    #[must_use]
    pub fn below(&self) -> Option<fn() -> Shape> {
        match *self {
            Self::Value(_) | Self::Counter | Self::Text | Self::Signal => None,
            Self::Child(shape)
            | Self::Set(shape)
            | Self::Dictionary(_, shape)
            | Self::List(shape)
            | Self::Confirmed(_, shape) => Some(shape),
        }
    }

    /// Whether fields of it are handles, which learn where their model is.
    #[must_use]
    pub const fn is_handle(&self) -> bool {
        !matches!(self, Self::Value(_) | Self::Counter)
    }

    /// How schema records name it, for instance `set of Player`.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Value(name) => (*name).to_owned(),
            Self::Counter => "counter".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Signal => "signal".to_owned(),
            Self::Child(shape) => format!("model {}", shape().name),
            Self::Set(shape) => format!("set of {}", shape().name),
            Self::Dictionary(key, shape) => format!("dictionary from {key} to {}", shape().name),
            Self::List(shape) => format!("list of {}", shape().name),
            Self::Confirmed(key, shape) => {
                format!("confirmed dictionary from {key} to {}", shape().name)
            }
        }
    }
}

impl Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

/// One property of a model type.
#[derive(Clone, Copy, Debug)]
pub struct PropertyShape {
    /// Its id, unique in the model.
    pub id: u16,
    /// Its name, for people and tools.
    pub name: &'static str,
    /// What kind it is.
    pub kind: Kind,
    /// How it travels on the state lane; `None` if it stands in a document.
    pub state: Option<StateTerms>,
}

impl PropertyShape {
    /// The property `id` called `name` whose field is a `T`.
    #[must_use]
    pub fn of<T: FieldType>(id: u16, name: &'static str) -> Self {
        Self { id, name, kind: T::kind(), state: None }
    }

    /// The same of a property on the state lane. Its terms are of a
    /// [`Quantised`](grid::Quantised) type.
    #[must_use]
    pub fn state<T: FieldType>(id: u16, name: &'static str, terms: StateTerms) -> Self {
        Self { state: Some(terms), ..Self::of::<T>(id, name) }
    }

    /// How schema records name what it travels on.
    fn lane(&self) -> String {
        match (self.state, self.kind) {
            (Some(terms), _) => terms.to_string(),
            (None, Kind::Signal) => "signal".to_owned(),
            (None, _) => "document".to_owned(),
        }
    }
}

/// What a model type looks like, without its type.
#[derive(Clone)]
pub struct Shape {
    /// Its name in documents.
    pub name: &'static str,
    /// Its properties, in the order of the fields.
    pub properties: Vec<PropertyShape>,
    /// Ids that must not be used again.
    pub retired: &'static [u16],
    /// A model with every property at its default.
    pub blank: fn() -> Box<dyn AnyModel>,
}

impl Shape {
    /// The property of an id.
    #[must_use]
    pub fn property(&self, id: u16) -> Option<&PropertyShape> {
        self.properties.iter().find(|property| property.id == id)
    }

    /// The properties whose fields are handles, which learn where their model is.
    pub(in crate::proto) fn handles(&self) -> impl Iterator<Item = &PropertyShape> {
        self.properties.iter().filter(|property| property.kind.is_handle())
    }

    /// A digest of the names, ids and kinds of this type and all below it; equal for equal versions
    /// of an application's models. The first 8 bytes of SHA-256 over the lines of [`Shape::record`]
    /// of each type, in the order of their first appearance, depth first.
    #[must_use]
    pub fn digest(&self) -> [u8; 8] {
        let mut hash = Sha256::new();
        for shape in self.family() {
            hash.update(shape.record().as_bytes());
            hash.update(b"\n");
        }
        let mut digest = [0; 8];
        digest.copy_from_slice(&hash.finalize()[..8]);
        digest
    }

    /// This type and every type below it, each once, depth first.
    #[must_use]
    pub fn family(&self) -> Vec<Self> {
        let mut family: Vec<Self> = Vec::new();
        let mut pending = vec![self.clone()];
        while let Some(shape) = pending.pop() {
            if family.iter().any(|known| known.name == shape.name) {
                continue;
            }
            let below = shape.properties.iter().rev().filter_map(|property| property.kind.below());
            pending.extend(below.map(|shape| shape()));
            family.push(shape);
        }
        family
    }

    /// The schema record of this type: JSON from property id to `[name, kind, lane]`.
    #[must_use]
    pub fn record(&self) -> String {
        let properties = self.properties.iter().map(|property| {
            let about = [property.name.to_owned(), property.kind.describe(), property.lane()];
            (property.id.to_string(), about)
        });
        let record = Record { name: self.name, properties: properties.collect() };
        // Strings in maps and lists: JSON takes them all.
        serde_json::to_string(&record).unwrap_or_default()
    }
}

/// A schema record, in the order in which it is written.
#[derive(Serialize)]
struct Record<'a> {
    name: &'a str,
    /// By id in decimal, ascending as text: the same with any features of the JSON crate.
    properties: BTreeMap<String, [String; 3]>,
}

impl Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(self.name).field("properties", &self.properties).finish_non_exhaustive()
    }
}

/// A [`Model`] whose type is known only to the application.
pub trait AnyModel: Debug + Send {
    /// The field of a property.
    fn field(&self, id: u16) -> Option<&dyn Field>;
    /// The field of a property, to be written.
    fn field_mut(&mut self, id: u16) -> Option<&mut dyn Field>;
    /// The model, to be downcast.
    fn as_any(&self) -> &dyn Any;
    /// The model, to be downcast and written.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl<T: Model> AnyModel for T {
    fn field(&self, id: u16) -> Option<&dyn Field> {
        Model::field(self, id)
    }

    fn field_mut(&mut self, id: u16) -> Option<&mut dyn Field> {
        Model::field_mut(self, id)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// Implements [`Field`] for a handle type.
macro_rules! handle_field {
    ($name:ident $(<$($parameter:ident: $bound:path),*>)?, $kind:expr) => {
        impl$(<$($parameter: $bound),*>)? Field for $name$(<$($parameter),*>)? {
            fn to_value(&self) -> Option<Value> {
                None
            }
            fn take_value(&mut self, _: &Value) -> bool {
                false
            }
            fn bind(&mut self, at: &Path) {
                *self = Self::at(at.clone());
            }
        }
        impl$(<$($parameter: $bound),*>)? FieldType for $name$(<$($parameter),*>)? {
            fn kind() -> Kind {
                $kind
            }
        }
    };
}

use self::handle::{
    Child, ConfirmedDictionary, Key, Payload, RealtimeDictionary, RealtimeList, RealtimeSet,
    Signal, Text,
};

handle_field!(Child<T: Model>, Kind::Child(T::shape));
handle_field!(RealtimeSet<T: Model>, Kind::Set(T::shape));
handle_field!(RealtimeDictionary<K: Key, T: Model>, Kind::Dictionary(K::NAME, T::shape));
handle_field!(RealtimeList<T: Model>, Kind::List(T::shape));
handle_field!(ConfirmedDictionary<K: Key, T: Model>, Kind::Confirmed(K::NAME, T::shape));
handle_field!(Text, Kind::Text);
handle_field!(Signal<T: Payload>, Kind::Signal);
