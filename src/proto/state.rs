//! The state lane's codec: values that change all the time, in about a byte each.
//!
//! A stream goes one way over one hop. Its values are whole numbers of steps of a grid; both ends
//! predict them from what the receiver is known to have, and a frame says what the prediction lacks.
//! Everything that a decoder computes is integer arithmetic, so that both ends agree to the bit on
//! every platform. `datastore-spec/state.md` has the format.

pub mod coder;
pub mod grid;
pub mod residual;
pub mod rotation;
pub mod stream;
pub mod track;

#[cfg(test)]
mod tests;
