//! Traces of concurrent editing.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::Value;

/// Who wrote what, after having seen what.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) agents: usize,
    pub(crate) transactions: Vec<Transaction>,
    pub(crate) end: String,
}

/// Edits that belong together.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) agent: usize,
    /// What its author had seen last: transactions before it in the trace.
    pub(crate) parents: Vec<usize>,
    pub(crate) patches: Vec<Patch>,
}

/// A piece of the text that was replaced: where, how many scalars, by what.
#[derive(Clone, Debug)]
pub(crate) struct Patch {
    pub(crate) at: usize,
    pub(crate) delete: usize,
    pub(crate) insert: String,
}

impl Trace {
    /// A trace in a file, if there is one.
    pub(crate) fn read(path: &str) -> Option<Self> {
        let mut text = String::new();
        GzDecoder::new(File::open(path).ok()?).read_to_string(&mut text).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        let transactions = json["txns"].as_array().unwrap().iter().map(|transaction| {
            let patches = transaction["patches"].as_array().unwrap().iter().map(|patch| Patch {
                at: number(&patch[0]),
                delete: number(&patch[1]),
                insert: patch[2].as_str().unwrap().to_owned(),
            });
            Transaction {
                agent: number(&transaction["agent"]),
                parents: transaction["parents"].as_array().unwrap().iter().map(number).collect(),
                patches: patches.collect(),
            }
        });
        Some(Self {
            agents: number(&json["numAgents"]),
            transactions: transactions.collect(),
            end: json["endContent"].as_str().unwrap().to_owned(),
        })
    }

    /// The transactions that another agent than their own names as parent.
    pub(crate) fn named(&self) -> BTreeSet<usize> {
        let pairs = self.transactions.iter().flat_map(|transaction| {
            let agent = transaction.agent;
            transaction.parents.iter().map(move |&parent| (agent, parent))
        });
        pairs
            .filter(|&(agent, parent)| self.transactions[parent].agent != agent)
            .map(|(_, parent)| parent)
            .collect()
    }

    /// For each transaction: of each agent, how many transactions it follows.
    pub(crate) fn past(&self) -> Vec<Vec<usize>> {
        let mut past: Vec<Vec<usize>> = Vec::new();
        let mut written = vec![0; self.agents];
        let mut numbers: Vec<usize> = Vec::new();
        for transaction in &self.transactions {
            let mut seen = vec![0; self.agents];
            for &parent in &transaction.parents {
                for (agent, seen) in seen.iter_mut().enumerate() {
                    *seen = past[parent][agent].max(*seen);
                }
                let by = &mut seen[self.transactions[parent].agent];
                *by = numbers[parent].max(*by);
            }
            assert_eq!(seen[transaction.agent], written[transaction.agent], "own work unseen");
            written[transaction.agent] += 1;
            numbers.push(written[transaction.agent]);
            past.push(seen);
        }
        past
    }

    /// How many transactions were written without having seen something before them in the trace.
    pub(crate) fn concurrent(&self) -> usize {
        let past = self.past();
        let seen = past.iter().map(|past| past.iter().sum::<usize>());
        seen.enumerate().filter(|&(at, seen)| seen < at).count()
    }
}

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}
