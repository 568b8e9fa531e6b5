//! How to play a trace: for each agent the changes that it makes, and what it has seen at each.

use std::collections::BTreeSet;

use super::trace::Trace;
use crate::failure::Failure;

/// How much goes into one change at most: well below what rooms allow.
const MAX_SCALARS: usize = 4_000;

/// A piece of the text to be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Patch {
    pub(crate) at: usize,
    pub(crate) delete: usize,
    pub(crate) insert: String,
}

/// What one agent does in one network frame: one change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    /// How many changes of each agent it has seen at that time.
    pub(crate) seen: Vec<u64>,
    pub(crate) patches: Vec<Patch>,
}

/// How to play a trace.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// For each agent what it does.
    pub(crate) agents: Vec<Vec<Frame>>,
    /// How many transactions another agent names as parent.
    pub(crate) cuts: usize,
}

impl Plan {
    /// How many changes each agent makes.
    pub(crate) fn totals(&self) -> Vec<u64> {
        self.agents.iter().map(|frames| frames.len() as u64).collect()
    }

    /// Plans a trace.
    pub(crate) fn of(trace: &Trace) -> Result<Self, Failure> {
        let cuts = cuts(trace)?;
        let mut clocks: Vec<Vec<usize>> = Vec::with_capacity(trace.txns.len());
        let mut agents = vec![Agent::default(); trace.num_agents];
        for (index, transaction) in trace.txns.iter().enumerate() {
            // How many transactions of each agent this one follows.
            let mut clock = vec![0; trace.num_agents];
            for &parent in &transaction.parents {
                for (ours, theirs) in clock.iter_mut().zip(&clocks[parent]) {
                    *ours = (*ours).max(*theirs);
                }
            }
            let agent = &mut agents[transaction.agent];
            if clock[transaction.agent] != agent.played {
                return Err(Failure::failed(format_args!(
                    "transaction {index} does not follow all earlier ones of its agent {}: such \
                     traces cannot be played",
                    transaction.agent
                )));
            }
            agent.see(&clock, transaction.agent);
            for (at, delete, insert) in &transaction.patches {
                agent.edit(*at, *delete, insert);
            }
            agent.played += 1;
            if cuts.contains(&index) {
                agent.end_frame();
                agent.ends.push((agent.played, agent.frames.len() as u64));
            }
            clock[transaction.agent] = agent.played;
            clocks.push(clock);
        }
        for agent in &mut agents {
            agent.end_frame();
        }
        let ends: Vec<Vec<(usize, u64)>> = agents.iter().map(|agent| agent.ends.clone()).collect();
        let agents = agents.into_iter().map(|agent| agent.frames(&ends)).collect();
        Ok(Self { agents, cuts: cuts.len() })
    }
}

/// The transactions that another agent names as parent.
fn cuts(trace: &Trace) -> Result<BTreeSet<usize>, Failure> {
    let mut cuts = BTreeSet::new();
    for (index, transaction) in trace.txns.iter().enumerate() {
        let parents = &transaction.parents;
        if transaction.agent >= trace.num_agents || parents.iter().any(|&parent| parent >= index) {
            return Err(Failure::failed(format_args!(
                "transaction {index} names an agent that is not there, or a parent that does not \
                 come before it: the file is damaged"
            )));
        }
        let foreign = parents.iter().copied();
        cuts.extend(foreign.filter(|&parent| trace.txns[parent].agent != transaction.agent));
    }
    Ok(cuts)
}

/// An agent while its changes are planned.
#[derive(Clone, Debug, Default)]
struct Agent {
    /// How many transactions it made.
    played: usize,
    /// How many transactions of each agent it has seen.
    clock: Vec<usize>,
    frames: Vec<(Vec<usize>, Vec<Patch>)>,
    patches: Vec<Patch>,
    /// Scalars that the frame inserts and deletes.
    size: usize,
    /// After how many transactions cuts are, and how many changes they come to.
    ends: Vec<(usize, u64)>,
}

impl Agent {
    /// Lets the agent see more of the others, if it does: then its frame is over, because its places
    /// are in another text from now on.
    fn see(&mut self, clock: &[usize], me: usize) {
        self.clock.resize(clock.len(), 0);
        let mut others = self.clock.iter().zip(clock).enumerate();
        if others.any(|(agent, (before, now))| agent != me && before != now) {
            self.end_frame();
        }
        self.clock = clock.to_vec();
    }

    /// Edits, in pieces that fit into changes.
    fn edit(&mut self, at: usize, delete: usize, insert: &str) {
        let mut left = delete;
        while left > 0 {
            let delete = left.min(MAX_SCALARS);
            self.push(Patch { at, delete, insert: String::new() });
            left -= delete;
        }
        let scalars: Vec<char> = insert.chars().collect();
        for (piece, scalars) in scalars.chunks(MAX_SCALARS).enumerate() {
            self.push(Patch {
                at: at + piece * MAX_SCALARS,
                delete: 0,
                insert: scalars.iter().collect(),
            });
        }
    }

    fn push(&mut self, patch: Patch) {
        // Each patch takes some bytes beside its scalars.
        let size = patch.delete + patch.insert.chars().count() + 16;
        if self.size + size > 2 * MAX_SCALARS {
            self.end_frame();
        }
        self.size += size;
        self.patches.push(patch);
    }

    fn end_frame(&mut self) {
        self.size = 0;
        if !self.patches.is_empty() {
            let patches = std::mem::take(&mut self.patches);
            self.frames.push((self.clock.clone(), patches));
        }
    }

    /// The frames, with what was seen in changes instead of transactions.
    fn frames(self, ends: &[Vec<(usize, u64)>]) -> Vec<Frame> {
        let changes = |agent: usize, transactions: usize| {
            let ends: &[(usize, u64)] = &ends[agent];
            let place = ends.partition_point(|(played, _)| *played <= transactions);
            place.checked_sub(1).map_or(0, |place| ends[place].1)
        };
        self.frames
            .into_iter()
            .map(|(clock, patches)| Frame {
                seen: clock
                    .into_iter()
                    .enumerate()
                    .map(|(agent, transactions)| changes(agent, transactions))
                    .collect(),
                patches,
            })
            .collect()
    }
}
