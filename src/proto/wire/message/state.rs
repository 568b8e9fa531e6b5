//! What is said on the state lane.

use serde::{Deserialize, Serialize};

use crate::proto::id::ClientNumber;
use crate::proto::wire::bounded::{Blob, Line, List};

/// Frames of one tick, and which packets came the other way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StatePacket {
    /// Counts the packets that this side sent on the link, from 1 on; what follows 65,535 is 1.
    pub number: [u8; 2],
    /// Which of the other side's came.
    pub answer: StateAnswer,
    /// From a peer: the counter of the last grant of the relay's present boot that it knows of. From a
    /// relay: 0.
    pub known: u32,
    /// One for each writer of whom there is something to say. From a peer: one at most, its own.
    pub sections: List<StateSection, 128>,
}

/// Which packets came.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct StateAnswer {
    /// The last one; 0 if there was none.
    pub received: [u8; 2],
    /// Of the 16 before it those that did not come: the lowest bit is the one next to it.
    pub missing: u16,
}

/// What one writer's values are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StateSection {
    /// The writer. From a peer: its own number.
    pub client: ClientNumber,
    /// How far beside its tick it is of, in 256ths of one.
    pub beside: i8,
    /// When ticks are, with a frame that builds on none.
    pub pace: Option<StatePace>,
    /// The frame of a stream.
    pub frame: Blob<{ 96 << 10 }>,
}

/// When the ticks of a stream are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StatePace {
    /// When tick 0 is: room time in microseconds since the Unix epoch.
    pub origin: u64,
    /// How long a tick is, in microseconds: 1,000 to 10,000,000.
    pub period: u32,
}

/// What a peer wants to be told of on the lane: models that any of these names, or all if none names
/// any.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct StateInterest {
    /// Models, each with all that is below it, by their paths.
    pub models: List<Line<512>, 256>,
    /// Models that have one of these texts in the document.
    pub tags: List<StateTag, 64>,
    /// Models that are in one of these areas.
    pub areas: List<StateArea, 16>,
}

/// A text that a property of a model has.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StateTag {
    /// The property.
    pub property: u16,
    /// The text.
    pub value: Line<256>,
}

/// A ball, or a disc if places have two numbers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StateArea {
    /// The property that says where a model is.
    pub property: u16,
    /// Its centre, in thousandths.
    pub center: [i64; 3],
    /// Its radius, in thousandths.
    pub radius: u64,
}
