//! A room with one of everything, for tests of what all models have in common.

use crate::proto::model::handle::{
    Child, ConfirmedDictionary, ModelRef, RealtimeDictionary, RealtimeList, RealtimeSet, Text,
};
use crate::proto::model::property::Counter;
use crate::proto::model::property::vector::Colour;
use parlor_derive::{Choice, Model};

/// The root.
#[derive(Clone, Debug, Default, Model)]
pub struct Playground {
    /// A string.
    #[property(1)]
    pub title: String,
    /// An integer that everybody overwrites.
    #[property(2)]
    pub score: i64,
    /// A counter that everybody adds to.
    #[property(3)]
    pub votes: Counter,
    /// A set.
    #[property(4)]
    pub players: RealtimeSet<Figure>,
    /// A dictionary.
    #[property(5)]
    pub seats: RealtimeDictionary<String, Figure>,
    /// A list.
    #[property(6)]
    pub queue: RealtimeList<Figure>,
    /// A text.
    #[property(7)]
    pub notes: Text,
    /// A child.
    #[property(8)]
    pub captain: Child<Figure>,
    /// A reference.
    #[property(9)]
    pub leader: ModelRef<Figure>,
    /// A dictionary whose keys are given out by the relay.
    #[property(10)]
    pub desks: ConfirmedDictionary<String, Figure>,
    /// Where everybody points, which goes beside the document.
    #[property(11, unreliable, quantize = 0.01)]
    pub pointer: [f32; 2],
}

/// A model with values, a counter, and a collection and a text of its own.
#[derive(Clone, Debug, Default, Model)]
pub struct Figure {
    /// A string.
    #[property(1)]
    pub name: String,
    /// A vector.
    #[property(2)]
    pub place: [f32; 3],
    /// A colour.
    #[property(3)]
    pub colour: Colour,
    /// Something that may be absent.
    #[property(4)]
    pub level: Option<u32>,
    /// One of a few.
    #[property(5)]
    pub mood: Mood,
    /// A counter.
    #[property(6)]
    pub hits: Counter,
    /// A set within a model.
    #[property(7)]
    pub items: RealtimeSet<Thing>,
    /// A text within a model.
    #[property(8)]
    pub memo: Text,
    /// Where it is, which goes beside the document.
    #[property(9, unreliable, redundant, quantize = 0.01)]
    pub pose: [f32; 3],
    /// Something that passes.
    #[property(10, unreliable, ephemeral = 1.0)]
    pub busy: bool,
}

/// A model with nothing below it.
#[derive(Clone, Debug, Default, Model)]
pub struct Thing {
    /// An integer.
    #[property(1)]
    pub count: u64,
}

/// One of a few.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Choice)]
pub enum Mood {
    /// As usual.
    #[default]
    Calm,
    /// Better.
    Merry,
    /// Worse.
    Grim,
}
