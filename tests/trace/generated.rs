//! A trace made by agents that edit at random and hear of each other now and then. What it ends in
//! is told by automerge alone, with the texts of the agents as they were.

use automerge::transaction::Transactable;
use automerge::{ActorId, AutoCommit, ObjId, ObjType, ROOT, ReadDoc, TextEncoding};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::recorded::{Patch, Trace, Transaction};
use super::replay::actors;

/// One who writes a trace.
struct Agent {
    document: AutoCommit,
    text: ObjId,
    /// The last transactions that it has seen.
    heads: Vec<usize>,
    /// Of each agent, how many it has seen.
    seen: Vec<usize>,
}

/// A trace of `count` transactions of some agents, in which something is taken out or not.
pub(crate) fn trace(seed: u64, agents: usize, count: usize, erases: bool) -> Trace {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let mut writers = writers(seed, agents);
    let mut trace = Trace { agents, ..Trace::default() };
    let mut below = move |end: usize| usize::try_from(rng.next_u32()).unwrap() % end.max(1);
    while trace.transactions.len() < count {
        let at = below(agents);
        if below(6) == 0 {
            hear(&mut writers, below(agents), at);
        }
        let number = trace.transactions.len();
        let writer = &mut writers[at];
        let len = writer.document.length(&writer.text);
        let place = below(len + 1);
        let patch = Patch {
            at: place,
            delete: if below(3) == 0 && erases { below(4).min(len - place) } else { 0 },
            insert: ["a", "b\u{e9}", "\u{1F980}", " x", "def"][below(5)].to_owned(),
        };
        let delete = isize::try_from(patch.delete).unwrap();
        writer.document.splice_text(&writer.text, patch.at, delete, &patch.insert).unwrap();
        writer.seen[at] += 1;
        let parents = std::mem::replace(&mut writer.heads, vec![number]);
        trace.transactions.push(Transaction { agent: at, parents, patches: vec![patch] });
    }
    for from in 1..agents {
        hear(&mut writers, from, 0);
    }
    trace.end = writers[0].document.text(&writers[0].text).unwrap();
    trace
}

/// Agents that begin with the same empty text. Their actors are those of the peers that replay:
/// they decide where the letters of two who wrote in one place stand.
fn writers(seed: u64, agents: usize) -> Vec<Agent> {
    let mut first = AutoCommit::new_with_encoding(TextEncoding::UnicodeCodePoint);
    first.set_actor(ActorId::from([0; 16]));
    let text = first.put_object(ROOT, "text", ObjType::Text).unwrap();
    first.commit();
    actors(seed, agents)
        .into_iter()
        .map(|actor| {
            let mut document = first.fork();
            document.set_actor(ActorId::from(actor));
            Agent { document, text: text.clone(), heads: Vec::new(), seen: vec![0; agents] }
        })
        .collect()
}

/// One agent learns all that another knows.
fn hear(writers: &mut [Agent], from: usize, to: usize) {
    let Ok([from, to]) = writers.get_disjoint_mut([from, to]) else {
        return;
    };
    to.document.merge(&mut from.document).unwrap();
    let covers = |one: &[usize], other: &[usize]| one.iter().zip(other).all(|(a, b)| a >= b);
    if covers(&to.seen, &from.seen) {
        return;
    }
    let mut heads = if covers(&from.seen, &to.seen) { Vec::new() } else { to.heads.clone() };
    heads.extend(from.heads.iter().filter(|head| !to.heads.contains(head)));
    heads.sort_unstable();
    heads.dedup();
    to.heads = heads;
    for (ours, theirs) in to.seen.iter_mut().zip(&from.seen) {
        *ours = (*theirs).max(*ours);
    }
}
