//! Changes as they cross a link: without what the receiver's log says already.
//!
//! The log is the dictionary. A record states what the log of its receiver cannot know, and the
//! receiver rebuilds the change from both, byte for byte, and compares a byte of its hash. What
//! both ends keep beside their logs is a function of the positions on the link and not of what was
//! lost, repeated or sent again on the way: numbers for actors that never change their meaning
//! ([`slots`]), the order in which the relay sends its log ([`order`]), and each author's last
//! record. `datastore-spec/deltas.md` has the whole of it.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::expect_used)
)]

pub mod cursor;
mod key;
mod operation;
pub mod order;
pub mod pack;
pub mod record;
mod runs;
pub mod slots;
#[cfg(test)]
mod tests;
pub mod unpack;
mod value;

use thiserror::Error;

use crate::proto::log::{ChangeLog, Index};
use crate::proto::wire::message::{Actor, Introduction};

/// What a side sends, instead of the entry itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Token {
    /// The change at a place in the log.
    Change(Index),
    /// The change at a place in the log, which the receiver wrote: only that it has its place now.
    Placed(Index),
    /// The change at a place in the log, in full and without a place in the order: a repair.
    Repair(Index),
    /// The latest signature of an author.
    Signature(Actor),
    /// From a relay, that history is cut here; from a member, that what comes next is of the epoch
    /// that the log is in.
    Cut,
    /// A piece of what the log's epoch began with, from a byte on.
    Base(usize),
    /// Nothing: in the place of what a cut or a denial made void.
    Void,
    /// From a relay, that something is not let in: see [`pack::Packer::set_denied`].
    Denied,
    /// From a member, that what comes next is written by the link's present [`Member`].
    Resumed,
}

/// The member of a link: the only one that writes stripped changes to the relay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// Who.
    pub introduction: Introduction,
    /// The actor that follows.
    pub actor: Actor,
}

/// What was last said of an author on a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Spoken {
    sequence: u64,
    /// The positions of the order that it had seen are those before this one.
    seen: u64,
}

/// Why a record is not the change that it was made of. Its receiver asks for it in full.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum DeltaError {
    /// The record ends early, or states something that nobody writes.
    #[error("the record is malformed")]
    Malformed,
    /// A slot that no actor has.
    #[error("a slot that no actor has")]
    Slot,
    /// It builds on what is not in this log.
    #[error("it builds on what is not here")]
    Absent,
    /// It builds on positions that are not remembered.
    #[error("it builds on positions that are not remembered")]
    Forgotten,
    /// It makes more than is allowed.
    #[error("it makes more than is allowed")]
    TooLarge,
    /// What it makes has another hash.
    #[error("what it makes has another hash")]
    Hash,
}

/// The change of an author before the one with a sequence.
fn previous_of(log: &ChangeLog, actor: &Actor, sequence: u64) -> Option<Index> {
    let place = usize::try_from(sequence).ok()?.checked_sub(2)?;
    log.author(actor)?.changes.get(place).copied()
}

/// What a change depends on.
fn follows_of(log: &ChangeLog, index: Index) -> Vec<Index> {
    log.entry(index).map(|entry| entry.deps().collect()).unwrap_or_default()
}
