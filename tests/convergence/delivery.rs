//! C1 to C5: whatever was edited, and however it arrives.

use parlor::Model;
use parlor::proto::base::columns::{decode, encode};
use parlor::proto::config::Limits;
use parlor::proto::datastore::Kept;
use parlor::proto::id::DocumentId;
use parlor::proto::model::Shape;
use parlor::proto::wire::message::EntryRecord;
use parlor::sim::playground::Playground;
use proptest::collection::vec;
use proptest::prelude::*;
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;

use crate::orders::{self, Node};
use crate::replica::{Replica, Step, agree, cases, edit, played, pull, step};

/// Changes whose orders are all tried. Six that all are concurrent have 720.
const SMALL: usize = 6;
const ORDERS: usize = 720;

/// Delivers nodes one by one, with frames that end where `rng` says.
fn deliver(to: &mut Replica, nodes: &[Node], order: &[usize], rng: &mut ChaCha12Rng) {
    for &at in order {
        to.receive(nodes[at].document, std::slice::from_ref(&nodes[at].entry));
        if orders::below(rng, 3) == 0 {
            to.flush();
            to.check();
        }
    }
    to.flush();
}

/// A playground whose room has no schema records, which would be changes of their own.
fn bare() -> Shape {
    Shape { name: "", ..Playground::shape() }
}

proptest! {
    #![proptest_config(cases(96, 2_000))]

    /// C1, C5.
    #[test]
    fn everybody_who_has_everything_has_the_same(
        count in 3..6_usize,
        steps in vec(step(), 1..80),
    ) {
        agree(&mut played(count, &steps));
    }

    /// C2.
    #[test]
    fn any_causal_order_of_many_changes_gives_the_same(
        count in 3..6_usize,
        steps in vec(step(), 1..60),
        seed in any::<u64>(),
    ) {
        let mut replicas = played(count, &steps);
        agree(&mut replicas);
        let nodes = orders::history(&replicas[0].store);
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        for _ in 0..3 {
            let mut other = Replica::new(count);
            let order = orders::any(&nodes, &mut rng);
            deliver(&mut other, &nodes, &order, &mut rng);
            other.check();
            other.check_same(&replicas[0]);
        }
    }

    /// C3.
    #[test]
    fn what_comes_again_changes_nothing(
        count in 3..5_usize,
        steps in vec(step(), 1..60),
        again in vec(any::<prop::sample::Index>(), 1..40),
    ) {
        let mut replicas = played(count, &steps);
        agree(&mut replicas);
        let nodes = orders::history(&replicas[0].store);
        let (mut hashes, first) = (Vec::new(), &mut replicas[0]);
        for index in again.iter().filter(|_| !nodes.is_empty()) {
            let node = index.get(&nodes);
            hashes.push(first.store.state_hash());
            let news = first.store.receive(node.document, [&node.entry]).unwrap();
            prop_assert!(news.is_empty());
            prop_assert!(!first.store.is_waiting());
            first.store.flush();
            prop_assert_eq!(first.follow(), 0);
        }
        hashes.push(first.store.state_hash());
        prop_assert!(hashes.iter().all(|hash| *hash == hashes[0]));
        let (first, others) = replicas.split_first().unwrap();
        first.check_same(&others[0]);
    }

    /// C4. The second part of the room's life is also written by one who joined by the base, of
    /// which there is one if history was cut before.
    #[test]
    fn base_and_tail_and_history_and_resumption_give_the_same(
        count in 3..5_usize,
        before in vec(step(), 1..40),
        after in vec(step(), 1..40),
        kept in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut replicas = played(count, &before);
        agree(&mut replicas);
        let resumed = prefix(&replicas[0], kept.index(1_000), count + 1);
        if is_cut {
            cut(&mut replicas);
        }
        let by_base = joined(&replicas[0], count);
        by_base.check_same(&replicas[0]);

        replicas.push(by_base);
        for step in &after {
            step.apply(&mut replicas);
        }
        agree(&mut replicas);
        let late = joined(&replicas[0], count + 2);
        let history = prefix(&replicas[0], usize::MAX, count + 3);
        let mut paths = [late, history, resumed];
        for path in &mut paths {
            go_over(path, &replicas[0]);
            path.pull(&mut replicas[0]);
            path.check_same(&replicas[0]);
            path.check();
        }
    }
}

proptest! {
    #![proptest_config(cases(48, 1_000))]

    /// C2, all of it where that is possible.
    #[test]
    fn every_causal_order_of_a_few_changes_gives_the_same(
        edits in vec((0..3_usize, edit()), 2..5),
        common in edit(),
        frames in any::<u64>(),
    ) {
        let mut replicas: Vec<_> = (0..3).map(|number| Replica::of(number, bare())).collect();
        replicas[0].edit(common);
        replicas[0].flush();
        for to in 1..3 {
            pull(&mut replicas, 0, to);
        }
        for (at, edit) in edits {
            Step::Edit(at, edit).apply(&mut replicas);
            Step::Flush(at).apply(&mut replicas);
        }
        agree(&mut replicas);
        let nodes = orders::history(&replicas[0].store);
        let mut rng = ChaCha12Rng::seed_from_u64(frames);
        let limit = if nodes.len() <= SMALL { ORDERS } else { ORDERS / 10 };
        for order in orders::all(&nodes, limit) {
            let mut other = Replica::of(3, bare());
            deliver(&mut other, &nodes, &order, &mut rng);
            other.check();
            other.check_same(&replicas[0]);
        }
    }
}

/// Cuts the history of those who all have the same.
fn cut(replicas: &mut [Replica]) {
    for document in DocumentId::ALL {
        let log = replicas[0].store.log(document);
        let heads: Vec<_> = log.heads().collect();
        let next = log.scope().next(document, &heads, 0);
        for replica in &mut *replicas {
            replica.store.confirm_covered(document, &heads);
            replica.store.begin_cut(document, next.clone());
            while !replica.store.step_cut(document, 7) {}
            replica.follow();
            replica.check();
        }
    }
}

/// Takes the bases that a relay sends which has all of `source`, if it began other epochs.
fn go_over(replica: &mut Replica, source: &Replica) {
    for document in DocumentId::ALL {
        let relay = source.store.log(document);
        let log = replica.store.log(document);
        if log.scope().epoch() == relay.scope().epoch() {
            continue;
        }
        let base = decode(&encode(relay.base()), &Limits::default()).unwrap();
        let mut begun = log.successor(relay.scope().clone(), base);
        while begun.lay() {}
        replica.store.go_over(begun, Kept::Unconfirmed);
        replica.follow();
    }
}

/// What a relay sends of a document behind the base.
fn written(source: &Replica, document: DocumentId) -> Vec<EntryRecord> {
    let log = source.store.log(document);
    (log.laid()..log.len()).map(|index| log.record(index).unwrap()).collect()
}

/// One who joins by what a relay that has all of `source` sends.
fn joined(source: &Replica, number: usize) -> Replica {
    let mut joined = Replica::new(number);
    go_over(&mut joined, source);
    for document in DocumentId::ALL {
        joined.receive(document, &written(source, document));
    }
    joined.flush();
    joined
}

/// One who has the base and behind it the first `count` changes of each document, one by one.
fn prefix(source: &Replica, count: usize, number: usize) -> Replica {
    let mut prefix = Replica::new(number);
    go_over(&mut prefix, source);
    for document in DocumentId::ALL {
        let entries = written(source, document);
        let count = if count == usize::MAX { count } else { count % (entries.len() + 1) };
        for entry in entries.iter().take(count) {
            prefix.receive(document, std::slice::from_ref(entry));
        }
    }
    prefix.flush();
    prefix
}
