//! What every engine can do, so that all do the same work.

pub(crate) mod automerge;
pub(crate) mod loro;
pub(crate) mod parlor;
pub(crate) mod yrs;

use std::collections::BTreeMap;
use std::error::Error;

use crate::content::{Object, Tally, Value};

/// A result, or what went wrong.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// An object of a room that is to be made, and its number, which no other object of the room has.
pub(crate) type New<'a> = (usize, &'a Object);

/// One property of an object, and its new value.
pub(crate) type Edit<'a, H> = (&'a H, usize, Value);

/// What a snapshot has of the past.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// What is usually sent to those who join late.
    Usual,
    /// As little as the engine can do with, where that is another form.
    Shallow,
}

/// A replica of a room: a set of objects that have ten properties each.
pub(crate) trait Engine: Sized {
    /// What it is called in the output.
    const NAME: &'static str;
    /// Whether encoding is a step of its own; otherwise committing includes it.
    const ENCODES: bool;
    /// Whether decoding is a step of its own; otherwise applying includes it.
    const DECODES: bool;
    /// Whether a relay makes other messages of what it takes than it took.
    const RELAYS: bool = false;
    /// Whether there is a document that follows the values in batches ([`Self::follow`]).
    const FOLLOWS: bool = false;

    /// An object, on any replica of its room.
    type Handle;
    /// A message that was decoded and not yet applied.
    type Incoming;
    /// What stands between replicas.
    type Relay: Exchange;

    /// An empty room, written to by its `number`th author.
    fn new(number: usize) -> Outcome<Self>;

    /// Makes objects, all in one commit.
    fn create(&mut self, objects: &[New<'_>]) -> Outcome<Vec<Self::Handle>>;

    /// Makes an object with a transform and nothing else, in one commit.
    fn create_moving(&mut self, number: usize, transform: [u8; 40]) -> Outcome<Self::Handle>;

    /// Writes properties, all in one commit.
    fn write(&mut self, edits: &[Edit<'_, Self::Handle>]) -> Outcome<()>;

    /// Removes an object, in one commit.
    fn remove(&mut self, handle: &Self::Handle) -> Outcome<()>;

    /// Writes as another author from here on, if one replica can; its own changes were encoded.
    fn write_as(&mut self, number: usize) -> Outcome<bool> {
        let _ = number;
        Ok(false)
    }

    /// What was committed here since this was asked, as messages to everybody else.
    fn encode(&mut self) -> Outcome<Vec<Vec<u8>>>;

    /// How many of a message's bytes are the changes themselves.
    fn contents(message: &[u8]) -> Outcome<usize> {
        Ok(message.len())
    }

    /// Brings the document up to date that follows the values in batches.
    fn follow(&mut self) -> Outcome<()> {
        Ok(())
    }

    /// Reads a message.
    fn decode(message: &[u8]) -> Outcome<Self::Incoming>;

    /// Applies a message, so that its values can be read.
    fn apply(&mut self, incoming: Self::Incoming) -> Outcome<()>;

    /// Applies messages in the way that suits many of them.
    fn apply_all(&mut self, incoming: Vec<Self::Incoming>) -> Outcome<()> {
        incoming.into_iter().try_for_each(|incoming| self.apply(incoming))
    }

    /// The whole room for those who join late, if the engine has that form.
    fn snapshot(&mut self, form: Form) -> Outcome<Option<Vec<u8>>>;

    /// A replica made of a snapshot, written to by the room's `number`th author.
    fn load(number: usize, snapshot: &[u8]) -> Outcome<Self>;

    /// Reads every property of every object.
    fn read(&self) -> Outcome<Tally>;
}

/// Decodes messages and applies all of them.
pub(crate) fn deliver<'a, E: Engine>(
    to: &mut E,
    messages: impl IntoIterator<Item = &'a Vec<u8>>,
) -> Outcome<()> {
    let incoming = messages.into_iter().map(|message| E::decode(message));
    let incoming = incoming.collect::<Outcome<Vec<_>>>()?;
    to.apply_all(incoming)
}

/// What stands between replicas, and has for each what the others wrote.
pub(crate) trait Exchange: Sized {
    /// Nobody is there.
    fn new() -> Outcome<Self>;

    /// From here on there is something for the `number`th author.
    fn listen(&mut self, number: usize) -> Outcome<()>;

    /// Takes what an author wrote.
    fn take(&mut self, from: usize, messages: &[Vec<u8>]) -> Outcome<()>;

    /// What has come for somebody since this was asked, as messages to it alone.
    fn give(&mut self, to: usize) -> Outcome<Vec<Vec<u8>>>;

    /// Lets a second pass in which nobody writes.
    fn rest(&mut self) {}
}

/// Hands messages to everybody else as they are.
#[derive(Debug)]
pub(crate) struct Mailboxes(BTreeMap<usize, Vec<Vec<u8>>>);

impl Exchange for Mailboxes {
    fn new() -> Outcome<Self> {
        Ok(Self(BTreeMap::new()))
    }

    fn listen(&mut self, number: usize) -> Outcome<()> {
        self.0.entry(number).or_default();
        Ok(())
    }

    fn take(&mut self, from: usize, messages: &[Vec<u8>]) -> Outcome<()> {
        let others = self.0.iter_mut().filter(|(number, _)| **number != from);
        others.for_each(|(_, mailbox)| mailbox.extend_from_slice(messages));
        Ok(())
    }

    fn give(&mut self, to: usize) -> Outcome<Vec<Vec<u8>>> {
        Ok(self.0.get_mut(&to).map(std::mem::take).unwrap_or_default())
    }
}
