//! What was reached: every way in which the guard refuses, and every kind of operation that it lets
//! through.

use std::collections::BTreeMap;
use std::fmt;

use crate::proto::change::{Action, Change, Key};
use crate::proto::model::value::Value;
use crate::proto::reason::ChangeFault;
use crate::proto::wire::message::Made;

/// Where an input was refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Stage {
    /// Reading its bytes.
    Decode,
    /// By its author, sequence, start and dependencies.
    Log,
    /// By one of its operations.
    Operations,
    /// As a well-known object.
    WellKnown,
}

impl Stage {
    /// The stage of a change that was read: no fault is both the log's and an operation's.
    pub(super) const fn of(fault: ChangeFault) -> Self {
        match fault {
            ChangeFault::TooLarge
            | ChangeFault::WrongOperation
            | ChangeFault::WrongPlace
            | ChangeFault::WrongPredecessor
            | ChangeFault::Forged => Self::Operations,
            ChangeFault::Malformed
            | ChangeFault::WrongActor
            | ChangeFault::WrongSequence
            | ChangeFault::UnknownDependency
            | ChangeFault::WrongStart
            | ChangeFault::Equivocation
            | ChangeFault::Unproven
            | ChangeFault::BadSignature
            | ChangeFault::TooManyAuthors
            | ChangeFault::HistoryFull => Self::Log,
        }
    }

    /// The rule that an input broke.
    const fn rule(self, fault: ChangeFault) -> &'static str {
        match (self, fault) {
            (_, ChangeFault::TooLarge) => "G2",
            (Self::Decode, _) => "G1",
            (_, ChangeFault::WrongActor | ChangeFault::TooManyAuthors) => "G3",
            (_, ChangeFault::WrongStart) => "G5",
            (
                _,
                ChangeFault::WrongOperation
                | ChangeFault::WrongPlace
                | ChangeFault::WrongPredecessor,
            ) => "G6",
            _ => "G4",
        }
    }
}

/// Every way to be refused that a change or a well-known object has.
const REFUSALS: &[(Stage, ChangeFault)] = &[
    (Stage::Decode, ChangeFault::Malformed),
    (Stage::Decode, ChangeFault::TooLarge),
    (Stage::Log, ChangeFault::WrongActor),
    (Stage::Log, ChangeFault::TooManyAuthors),
    (Stage::Log, ChangeFault::WrongSequence),
    (Stage::Log, ChangeFault::Equivocation),
    (Stage::Log, ChangeFault::UnknownDependency),
    (Stage::Log, ChangeFault::Malformed),
    (Stage::Log, ChangeFault::HistoryFull),
    (Stage::Log, ChangeFault::WrongStart),
    (Stage::Operations, ChangeFault::TooLarge),
    (Stage::Operations, ChangeFault::WrongOperation),
    (Stage::Operations, ChangeFault::WrongPlace),
    (Stage::Operations, ChangeFault::WrongPredecessor),
    (Stage::WellKnown, ChangeFault::WrongActor),
    (Stage::WellKnown, ChangeFault::UnknownDependency),
    (Stage::WellKnown, ChangeFault::WrongOperation),
    (Stage::WellKnown, ChangeFault::WrongPlace),
    (Stage::WellKnown, ChangeFault::TooLarge),
    (Stage::WellKnown, ChangeFault::TooManyAuthors),
    (Stage::WellKnown, ChangeFault::HistoryFull),
];

/// Everything that an operation which is let through can be.
const KINDS: &[&str] = &[
    "put null",
    "put bool",
    "put int",
    "put uint",
    "put float",
    "put text",
    "put bytes",
    "counter",
    "increment",
    "map",
    "delete",
    "insert at the beginning",
    "insert behind",
    "erase",
    "well-known map",
    "well-known text",
    "well-known counter",
    "well-known record",
];

/// What a change which is let through can be beside.
const SHAPES: &[&str] = &[
    "first of its author",
    "beside what is there",
    "several operations",
    "several predecessors",
    "replaces its own",
    "replaces what was replaced",
    "within what it makes",
];

/// Counts of what happened to inputs.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Coverage {
    refused: BTreeMap<(Stage, ChangeFault), u64>,
    kinds: BTreeMap<&'static str, u64>,
    shapes: BTreeMap<&'static str, u64>,
    /// By what was done to an input: how many there were, and how many were let through.
    mutations: BTreeMap<&'static str, (u64, u64)>,
    inputs: u64,
    passed: u64,
    known: u64,
}

impl Coverage {
    /// How many inputs there were.
    #[must_use]
    pub const fn inputs(&self) -> u64 {
        self.inputs
    }

    /// How many were let through, applied, saved, loaded and compared.
    #[must_use]
    pub const fn passed(&self) -> u64 {
        self.passed
    }

    /// What should have been reached and never was.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let refusals = REFUSALS.iter().filter(|refusal| !self.refused.contains_key(refusal));
        let kinds = KINDS.iter().filter(|kind| !self.kinds.contains_key(*kind));
        let shapes = SHAPES.iter().filter(|shape| !self.shapes.contains_key(*shape));
        let refusals = refusals.map(|refusal| format!("{refusal:?}"));
        refusals.chain(kinds.chain(shapes).map(|&name| name.to_owned())).collect()
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        for (refusal, count) in &other.refused {
            *self.refused.entry(*refusal).or_default() += count;
        }
        for (kind, count) in &other.kinds {
            *self.kinds.entry(kind).or_default() += count;
        }
        for (shape, count) in &other.shapes {
            *self.shapes.entry(shape).or_default() += count;
        }
        for (mutation, (inputs, passed)) in &other.mutations {
            let counts = self.mutations.entry(mutation).or_default();
            *counts = (counts.0 + inputs, counts.1 + passed);
        }
        self.inputs += other.inputs;
        self.passed += other.passed;
        self.known += other.known;
    }

    pub(super) fn count(&mut self, done: &[&'static str], passed: bool) {
        self.inputs += 1;
        self.passed += u64::from(passed);
        for mutation in done {
            let counts = self.mutations.entry(mutation).or_default();
            *counts = (counts.0 + 1, counts.1 + u64::from(passed));
        }
    }

    pub(super) fn refuse(&mut self, stage: Stage, fault: ChangeFault) {
        *self.refused.entry((stage, fault)).or_default() += 1;
    }

    pub(super) const fn know(&mut self) {
        self.known += 1;
    }

    pub(super) fn pass(&mut self, change: &Change) {
        for operation in &change.operations {
            let kind = match (&operation.key, &operation.action) {
                (Key::Head, _) => "insert at the beginning",
                (Key::Element(_), _) if operation.insert => "insert behind",
                (Key::Element(_), _) => "erase",
                (Key::Map(_), action) => kind(action),
            };
            *self.kinds.entry(kind).or_default() += 1;
        }
    }

    pub(super) fn shape(&mut self, shape: &'static str) {
        *self.shapes.entry(shape).or_default() += 1;
    }

    pub(super) fn pass_well_known(&mut self, made: &Made) {
        let kind = match made {
            Made::Map => "well-known map",
            Made::Text => "well-known text",
            Made::Counter => "well-known counter",
            Made::Record(_) => "well-known record",
        };
        *self.kinds.entry(kind).or_default() += 1;
    }
}

const fn kind(action: &Action) -> &'static str {
    match action {
        Action::MakeMap => "map",
        Action::MakeText => "text",
        Action::Put(Value::Null) => "put null",
        Action::Put(Value::Bool(_)) => "put bool",
        Action::Put(Value::Int(_)) => "put int",
        Action::Put(Value::Uint(_)) => "put uint",
        Action::Put(Value::Float(_)) => "put float",
        Action::Put(Value::Text(_)) => "put text",
        Action::Put(Value::Bytes(_)) => "put bytes",
        Action::Counter(_) => "counter",
        Action::Increment(_) => "increment",
        Action::Delete => "delete",
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>12}  inputs", self.inputs)?;
        writeln!(f, "{:>12}  let through, applied, saved, loaded and compared", self.passed)?;
        writeln!(f, "{:>12}  known before", self.known)?;
        writeln!(f, "\nrefused")?;
        for ((stage, fault), count) in &self.refused {
            let stage_name = format!("{stage:?}").to_lowercase();
            writeln!(f, "{count:>12}  {}  {stage_name}: {fault}", stage.rule(*fault))?;
        }
        writeln!(f, "\noperations let through")?;
        for (kind, count) in &self.kinds {
            writeln!(f, "{count:>12}  {kind}")?;
        }
        writeln!(f, "\nchanges let through")?;
        for (shape, count) in &self.shapes {
            writeln!(f, "{count:>12}  {shape}")?;
        }
        writeln!(f, "\ninputs and, of these, let through, by what was done")?;
        for (mutation, (inputs, passed)) in &self.mutations {
            writeln!(f, "{inputs:>12} {passed:>12}  {mutation}")?;
        }
        Ok(())
    }
}
