//! Measurements, and what they share.

pub mod room;
