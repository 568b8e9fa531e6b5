//! Orders in which changes may arrive: any in which each follows what it depends on.

use automerge::Change;
use parlor::proto::datastore::Datastore;
use parlor::proto::id::DocumentId;
use parlor::proto::wire::message::EntryRecord;
use rand_chacha::ChaCha12Rng;
use rand_core::Rng;

/// A change of either document.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) document: DocumentId,
    pub(crate) entry: EntryRecord,
    /// The changes that must have come, as places among the nodes.
    deps: Vec<usize>,
}

/// Every change that a room has.
pub(crate) fn history(store: &Datastore) -> Vec<Node> {
    let mut nodes = Vec::new();
    for document in DocumentId::ALL {
        let (log, first) = (store.log(document), nodes.len());
        for index in 0..log.len() {
            let change = Change::try_from(&log.entry(index).unwrap().bytes[..]).unwrap();
            let deps = change.deps().iter().map(|dep| first + log.position(&dep.0).unwrap());
            let entry = log.record(index).unwrap();
            nodes.push(Node { document, entry, deps: deps.collect() });
        }
    }
    nodes
}

/// The nodes that may come next.
fn ready<'a>(nodes: &'a [Node], placed: &'a [bool]) -> impl Iterator<Item = usize> + 'a {
    let may = |&at: &usize| !placed[at] && nodes[at].deps.iter().all(|&dep| placed[dep]);
    (0..nodes.len()).filter(may)
}

/// Every causal order, as far as there are at most `limit`.
pub(crate) fn all(nodes: &[Node], limit: usize) -> Vec<Vec<usize>> {
    let mut found = Vec::new();
    extend(nodes, &mut vec![false; nodes.len()], &mut Vec::new(), limit, &mut found);
    found
}

fn extend(
    nodes: &[Node],
    placed: &mut [bool],
    order: &mut Vec<usize>,
    limit: usize,
    found: &mut Vec<Vec<usize>>,
) {
    if found.len() >= limit {
        return;
    }
    if order.len() == nodes.len() {
        found.push(order.clone());
        return;
    }
    for next in ready(nodes, placed).collect::<Vec<_>>() {
        placed[next] = true;
        order.push(next);
        extend(nodes, placed, order, limit, found);
        order.pop();
        placed[next] = false;
    }
}

/// A causal order by chance.
pub(crate) fn any(nodes: &[Node], rng: &mut ChaCha12Rng) -> Vec<usize> {
    let mut placed = vec![false; nodes.len()];
    let mut order = Vec::new();
    while order.len() < nodes.len() {
        let ready: Vec<usize> = ready(nodes, &placed).collect();
        let next = ready[below(rng, ready.len())];
        placed[next] = true;
        order.push(next);
    }
    order
}

/// A number below another, by chance.
pub(crate) fn below(rng: &mut ChaCha12Rng, end: usize) -> usize {
    usize::try_from(rng.next_u32()).unwrap() % end.max(1)
}
