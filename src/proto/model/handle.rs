//! Handles: names of what lies below a model. They are small, cheap to clone, and hold no data; the
//! room that they come from resolves them.

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::path::Path;

/// A type that names something in a room.
pub trait Handle {
    /// The handle to what is at `path`.
    fn at(path: Path) -> Self;

    /// Where it points, or nothing for a handle that was never in a room.
    fn path(&self) -> Option<&Path>;
}

macro_rules! handle {
    ($(#[$about:meta])* $name:ident<$($parameter:ident),*>) => {
        $(#[$about])*
        pub struct $name<$($parameter),*> {
            path: Option<Path>,
            of: PhantomData<fn() -> ($($parameter,)*)>,
        }

        impl<$($parameter),*> Handle for $name<$($parameter),*> {
            fn at(path: Path) -> Self {
                Self { path: Some(path), of: PhantomData }
            }

            fn path(&self) -> Option<&Path> {
                self.path.as_ref()
            }
        }

        impl<$($parameter),*> Default for $name<$($parameter),*> {
            fn default() -> Self {
                Self { path: None, of: PhantomData }
            }
        }

        impl<$($parameter),*> Clone for $name<$($parameter),*> {
            fn clone(&self) -> Self {
                Self { path: self.path.clone(), of: PhantomData }
            }
        }

        impl<$($parameter),*> PartialEq for $name<$($parameter),*> {
            fn eq(&self, other: &Self) -> bool {
                self.path == other.path
            }
        }

        impl<$($parameter),*> Eq for $name<$($parameter),*> {}

        impl<$($parameter),*> fmt::Debug for $name<$($parameter),*> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match &self.path {
                    Some(path) => write!(f, "{}({path})", stringify!($name)),
                    None => write!(f, "{}(nowhere)", stringify!($name)),
                }
            }
        }
    };
}

handle! {
    /// A reference to a model anywhere in the room. As a property, it is kept as the model's path.
    ///
    /// The model may be missing (not arrived yet), present, or gone:
    /// [`Datastore::presence`](crate::proto::datastore::Datastore::presence).
    ModelRef<T>
}
handle! {
    /// A model of its own at a fixed place below another.
    Child<T>
}
handle! {
    /// Models without an order. Adding never conflicts; removing twice is removing once.
    RealtimeSet<T>
}
handle! {
    /// Models by key (`u32`, `u64`, `i64` or `String`). Of two that are put under one key at the
    /// same time one wins, the same on every peer.
    ///
    /// A text below an entry is named by the entry's key: what somebody types into it while another
    /// puts a new model under the key appears in the new one's text.
    RealtimeDictionary<K, T>
}
handle! {
    /// Models by key, of which each was put there by one peer alone: what is proposed shows when the
    /// relay has decided, and [`Event::Settled`](crate::proto::event::Event::Settled) says how.
    /// Of two that propose for one key at the same time one is told that it lost.
    ///
    /// The models in it are read and edited like any other. While there is no relay, proposals wait.
    ConfirmedDictionary<K, T>
}
handle! {
    /// Models in an order that everybody shares. Of two moves of one model at the same time one wins.
    RealtimeList<T>
}
handle! {
    /// Something that happens to a model and is told once: a shot, a goal, a knock. Everybody in the
    /// room hears it, once, and nothing of it is kept; who comes later does not hear it.
    ///
    /// Whoever may write the model may fire it. What it says is a `T`, which serde writes and reads.
    ///
    /// ```
    /// # #[cfg(feature = "net")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use parlor::{ConnectOptions, Event, Model, Room, Signal};
    ///
    /// #[derive(Model, Clone, Debug, Default)]
    /// struct Pitch {
    ///     #[property(1)]
    ///     goal: Signal<u8>,
    /// }
    ///
    /// let mut room = Room::<Pitch>::connect(ConnectOptions::new("pitch", "our secret", &[]))?;
    /// let goal = room.root().goal.clone();
    /// goal.fire(&mut room, &11)?;
    /// let Some(Event::Signal(heard)) = room.poll_event() else { panic!() };
    /// assert_eq!(goal.said(&heard), Some(11));
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "net"))]
    /// # fn main() {}
    /// ```
    Signal<T>
}
handle! {
    /// A text that many edit at once, by Unicode scalar, in the room's second document.
    Text<>
}

impl<T> Child<T> {
    /// The child as a reference, as which it is read and updated.
    #[must_use]
    pub fn as_ref(&self) -> ModelRef<T> {
        ModelRef { path: self.path.clone(), of: PhantomData }
    }
}

/// What a [`Signal`] can say: whatever serde writes and reads again. `()` says nothing more.
pub trait Payload: Serialize + DeserializeOwned + 'static {}

impl<T: Serialize + DeserializeOwned + 'static> Payload for T {}

/// Whether the model of a [`ModelRef`] is there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Presence {
    /// It never arrived here: it may yet.
    Missing,
    /// It can be read.
    Present,
    /// It was here, or in the history that is here, and was removed.
    Gone,
}

/// A type that can be the key of a [`RealtimeDictionary`].
pub trait Key: Clone + Ord + fmt::Debug + Send + 'static {
    /// How schema records name it.
    const NAME: &'static str;

    /// The key as it stands in a document.
    fn to_key(&self) -> String;

    /// The key that stands in a document, if it is one of this type.
    fn from_key(key: &str) -> Option<Self>;
}

macro_rules! integer_key {
    ($($type:ident),*) => {
        $(impl Key for $type {
            const NAME: &'static str = stringify!($type);

            fn to_key(&self) -> String {
                self.to_string()
            }

            fn from_key(key: &str) -> Option<Self> {
                // Only the one spelling that `to_key` gives: "07" is not 7.
                key.parse().ok().filter(|number: &Self| number.to_string() == key)
            }
        })*
    };
}

integer_key!(u32, u64, i64);

impl Key for String {
    const NAME: &'static str = "String";

    fn to_key(&self) -> String {
        self.clone()
    }

    fn from_key(key: &str) -> Option<Self> {
        Some(key.to_owned())
    }
}
