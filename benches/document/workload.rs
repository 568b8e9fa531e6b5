//! The workloads, and what they have in common.

mod epoch;
mod join;
mod room;
mod stored;
mod stream;
mod text;
mod trip;
mod update;
mod writers;

use clap::ValueEnum;

use crate::content::{Dice, Object};
use crate::engine::parlor::Parlor;
use crate::engine::{Engine, Exchange, New, Outcome, deliver};
use crate::report::Report;

/// A workload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Workload {
    /// Single updates.
    W1,
    /// One object, written 20 times a second for ten minutes.
    W2,
    /// A room of eight who edit at the same time.
    W3,
    /// Joining late.
    W4,
    /// Many writers, one property each a tick.
    W5,
    /// How long everything stands still when history is cut: Parlor's own.
    Epoch,
    /// Two who type beside the writers of W5: Parlor's own.
    Text,
}

/// How much of everything is done.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Where chance begins.
    pub(crate) seed: u64,
    /// W1 and W3: objects of the room.
    pub(crate) objects: usize,
    /// W1: updates.
    pub(crate) updates: usize,
    /// W1: updates of the same integer, for Parlor alone: others take minutes.
    pub(crate) long: usize,
    /// W2: commits.
    pub(crate) commits: usize,
    /// W3: ticks of the part in which all edit the same objects.
    pub(crate) live: usize,
    /// W4: objects of the rooms.
    pub(crate) joined: Vec<usize>,
    /// W5: writers.
    pub(crate) writers: usize,
    /// W5: ticks in which each sees all that was written before.
    pub(crate) chain: Vec<usize>,
    /// W5: ticks in which each sees all of the previous tick.
    pub(crate) mesh: Vec<usize>,
    /// Epoch: objects of the room.
    pub(crate) cut: usize,
    /// Text: characters that are there already.
    pub(crate) text: usize,
    /// Text: ticks.
    pub(crate) typed: usize,
}

impl Plan {
    /// As the figures of the documentation.
    pub(crate) fn full(seed: u64) -> Self {
        Self {
            seed,
            objects: 1_000,
            updates: 1_000,
            long: 100_000,
            commits: 12_000,
            live: 50,
            joined: vec![1_000, 10_000, 100_000],
            writers: 32,
            chain: vec![300, 2_000],
            mesh: vec![300],
            cut: 10_000,
            text: 20_000,
            typed: 200,
        }
    }

    /// A little of everything, to see that it works.
    pub(crate) fn quick(seed: u64) -> Self {
        Self {
            seed,
            objects: 40,
            updates: 40,
            long: 40,
            commits: 120,
            live: 3,
            joined: vec![80],
            writers: 4,
            chain: vec![10],
            mesh: vec![10],
            cut: 160,
            text: 200,
            typed: 20,
        }
    }
}

impl Workload {
    /// Lets an engine do it.
    pub(crate) fn run<E: Engine>(self, plan: &Plan, report: &mut Report) -> Outcome<()> {
        match self {
            Self::W1 => update::run::<E>(plan, report),
            Self::W2 => stream::run::<E>(plan, report),
            Self::W3 => room::run::<E>(plan, report),
            Self::W4 => join::run::<E>(plan, report),
            Self::W5 => writers::run::<E>(plan, report),
            Self::Epoch | Self::Text => Ok(()),
        }
    }

    /// What there is of it for Parlor alone.
    pub(crate) fn run_own(self, plan: &Plan, report: &mut Report) -> Outcome<()> {
        match self {
            Self::W1 => update::long::<Parlor>(plan, report),
            Self::W4 => join::steps(plan, report),
            Self::W3 | Self::W5 => Ok(()),
            Self::W2 => stored::run(plan, report),
            Self::Epoch => epoch::run(plan, report),
            Self::Text => text::run(plan, report),
        }
    }
}

/// How many objects are made in one commit, where that is not what is measured.
const BATCH: usize = 100;

/// Objects that somebody made, and what they should hold.
struct Made<H> {
    handles: Vec<H>,
    objects: Vec<Object>,
}

impl<H> Made<H> {
    const fn new() -> Self {
        Self { handles: Vec::new(), objects: Vec::new() }
    }

    /// Makes more objects, in one commit; the first has the number `first`.
    fn more<E: Engine<Handle = H>>(
        &mut self,
        replica: &mut E,
        first: usize,
        objects: Vec<Object>,
    ) -> Outcome<()> {
        let new: Vec<New<'_>> = (first..).zip(&objects).collect();
        self.handles.extend(replica.create(&new)?);
        self.objects.extend(objects);
        Ok(())
    }

    /// Gives a property of an object another value, in a commit of its own.
    fn change<E: Engine<Handle = H>>(
        &mut self,
        replica: &mut E,
        object: usize,
        property: usize,
        dice: &mut Dice,
    ) -> Outcome<()> {
        let value = self.objects[object].change(property, dice);
        replica.write(&[(&self.handles[object], property, value)])
    }
}

/// A relay with those who listen to it.
fn connected<E: Engine>(numbers: &[usize]) -> Outcome<E::Relay> {
    let mut relay = E::Relay::new()?;
    numbers.iter().try_for_each(|number| relay.listen(*number))?;
    Ok(relay)
}

/// Everything that one wrote goes to others, and comes back to it as far as it has to.
fn pass<E: Engine>(
    relay: &mut E::Relay,
    (from, author): (usize, &mut E),
    others: &mut [(usize, &mut E)],
) -> Outcome<()> {
    relay.take(from, &author.encode()?)?;
    for (number, other) in others {
        deliver(*other, &relay.give(*number)?)?;
    }
    deliver(author, &relay.give(from)?)
}
