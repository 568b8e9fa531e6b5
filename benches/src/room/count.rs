//! Bytes of a room, by what they are.

use std::collections::BTreeMap;

use parlor::Limits;
use parlor::proto::delta::record::{self, Kind, Record};
use parlor::proto::id::{DocumentId, Lane};
use parlor::proto::log::ChangeLog;
use parlor::proto::wire::message::Message;
use parlor::proto::wire::{self, MAX_FRAME};

use super::{Outcome, columns_of};

/// What the record of a signature begins with: its place among the kinds of entries.
const SIGNED: u8 = 2;
/// And that of a cut.
const CUT: u8 = 3;
/// How long an actor is, with which a signature begins.
const ACTOR: usize = 16;

/// What is stored of a room, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stored {
    /// What the epoch began with, in columns.
    pub base: usize,
    /// Changes since then, in the frames in which they were passed on.
    pub changes: usize,
    /// Signatures since then.
    pub words: usize,
    /// The last of each author, which are what a relay keeps.
    pub word: usize,
}

impl Stored {
    /// All of it.
    #[must_use]
    pub const fn all(&self) -> usize {
        self.base + self.changes + self.words
    }

    /// All of it, if only the last signature of each author is kept.
    #[must_use]
    pub const fn kept(&self) -> usize {
        self.base + self.changes + self.word
    }

    /// Whichever is more.
    #[must_use]
    pub const fn most(self, other: Self) -> Self {
        if other.all() > self.all() { other } else { self }
    }
}

/// What was written to a room, whether its history still has it or not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    /// How many changes.
    pub changes: usize,
    /// How many bytes these took, in their frames.
    pub change_bytes: usize,
    /// How many signatures.
    pub words: usize,
    /// How many bytes these took.
    pub word_bytes: usize,
}

/// What of a room was sent to somebody who came, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrived {
    /// What the epochs began with.
    pub bases: usize,
    /// What was written since then.
    pub changes: usize,
    /// What moves.
    pub moving: usize,
    /// To come in, and of the time.
    pub control: usize,
    /// Whether the documents are there.
    pub ready: bool,
}

impl Arrived {
    /// What values are made of.
    #[must_use]
    pub const fn values(&self) -> usize {
        self.bases + self.changes + self.moving
    }

    pub(super) fn count(&mut self, lane: Lane, frame: &[u8]) -> Outcome<()> {
        let bytes = match lane {
            Lane::Snapshot => &mut self.bases,
            Lane::Document => &mut self.changes,
            Lane::State => &mut self.moving,
            Lane::Control => match wire::decode(frame, MAX_FRAME)? {
                Message::StateWhole(_) => &mut self.moving,
                _ => &mut self.control,
            },
        };
        *bytes += frame.len();
        Ok(())
    }
}

/// What the relay has of the models, as it is passed on.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) stored: Stored,
    pub(super) written: Written,
    pub(super) cuts: u32,
    /// What the last signature of each actor takes.
    last: BTreeMap<Vec<u8>, usize>,
}

impl History {
    /// Counts a frame that a peer gets as history.
    pub(super) fn count(&mut self, frame: &[u8], log: &ChangeLog) -> Outcome<()> {
        let (document, records, deflated) = match wire::decode(frame, MAX_FRAME)? {
            Message::Deltas { document, records, .. } => (document, records, false),
            Message::Bundle { document, records, .. } => (document, records, true),
            _ => return Ok(()),
        };
        if document != DocumentId::MODELS {
            return Ok(());
        }
        let mut bytes = records.into_bytes();
        if deflated {
            bytes = record::inflate(&bytes, Limits::default().inflated)?;
        }
        let records = record::split(&bytes)?;
        let is = |kind| {
            move |record: &Record| {
                record.kind() == Kind::Entry && record.body.first() == Some(&kind)
            }
        };
        let size = |records: &[Record]| records.iter().map(Record::size).sum::<usize>();
        let (behind, taken) = match records.iter().position(is(CUT)) {
            Some(cut) => {
                self.cuts += 1;
                self.last.clear();
                self.stored = Stored { base: columns_of(log), ..Stored::default() };
                let behind = &records[cut + 1..];
                (behind, size(behind))
            }
            None => (&records[..], frame.len()),
        };
        let signed: Vec<Record> =
            behind.iter().filter(|record| is(SIGNED)(record)).cloned().collect();
        let words = size(&signed).min(taken);
        self.stored.words += words;
        for record in &signed {
            let actor = record.body.get(1..=ACTOR).unwrap_or_default();
            self.last.insert(actor.to_vec(), record.size());
        }
        self.stored.word = self.last.values().sum();
        self.stored.changes += taken - words;
        self.written.words += signed.len();
        self.written.word_bytes += words;
        self.written.changes += behind.len() - signed.len();
        self.written.change_bytes += taken - words;
        Ok(())
    }
}
