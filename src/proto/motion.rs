//! What both ends of a link make of its state lane: names of values, the time of ticks, and packets
//! that are answered. `datastore-spec/state.md` has the rules.

pub mod interest;
pub mod name;
pub mod pace;
pub mod packets;
