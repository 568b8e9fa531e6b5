//! C11: a cut loses nothing that anybody wrote, and everybody begins the next epoch with the same.

use parlor::proto::datastore::Kept;
use parlor::proto::id::DocumentId;
use parlor::sim::action::Edit;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::replica::{Replica, cases, edit};

const MODELS: DocumentId = DocumentId::MODELS;

/// What happens.
#[derive(Clone, Debug)]
enum Step {
    /// A peer edits.
    Edit(usize, Edit),
    /// A peer ends its frame.
    Flush(usize),
    /// A peer and the relay tell each other everything.
    Sync(usize),
    /// The relay cuts, and those who are there follow; each looks at so many values at a time.
    Cut { asleep: Option<usize>, budget: usize },
}

fn step(peers: usize) -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..peers, edit()).prop_map(|(peer, edit)| Step::Edit(peer, edit)),
        4 => (0..peers).prop_map(Step::Flush),
        4 => (0..peers).prop_map(Step::Sync),
        1 => (option::of(0..peers), 1..64_usize)
            .prop_map(|(asleep, budget)| Step::Cut { asleep, budget }),
    ]
}

/// A relay and its peers; the relay writes nothing.
struct Room {
    relay: Replica,
    peers: Vec<Replica>,
}

impl Room {
    fn new(count: usize) -> Self {
        Self { relay: Replica::new(100), peers: (0..count).map(Replica::new).collect() }
    }

    fn play(&mut self, step: Step) {
        match step {
            Step::Edit(peer, edit) => {
                self.peers[peer].edit(edit);
            }
            Step::Flush(peer) => self.peers[peer].flush(),
            Step::Sync(peer) => self.sync(peer),
            Step::Cut { asleep, budget } => self.cut(asleep, budget),
        }
    }

    fn epoch(replica: &Replica) -> [u8; 32] {
        replica.store.log(MODELS).scope().epoch().0
    }

    /// A peer comes, in whatever epoch it was.
    fn sync(&mut self, peer: usize) {
        let peer = &mut self.peers[peer];
        peer.flush();
        if Self::epoch(peer) != Self::epoch(&self.relay) {
            let relay = self.relay.store.log(MODELS);
            let mut begun = relay.successor(relay.scope().clone(), relay.base().clone());
            while begun.lay() {}
            peer.store.go_over(begun, Kept::Unconfirmed);
            peer.follow();
        }
        peer.pull_written(&self.relay);
        peer.flush();
        self.relay.pull_written(peer);
        self.relay.flush();
        let heads: Vec<_> = self.relay.store.log(MODELS).heads().collect();
        peer.store.confirm_covered(MODELS, &heads);
        peer.check();
    }

    /// A cut arrives at a peer behind everything that the relay had, and before what the relay did
    /// not have.
    fn cut(&mut self, asleep: Option<usize>, budget: usize) {
        let log = self.relay.store.log(MODELS);
        let heads: Vec<_> = log.heads().collect();
        let next = log.scope().next(MODELS, &heads, 0);
        let before = Self::epoch(&self.relay);
        for (number, peer) in self.peers.iter_mut().enumerate() {
            if Some(number) == asleep || Self::epoch(peer) != before {
                continue;
            }
            peer.pull_written(&self.relay);
            peer.store.confirm_covered(MODELS, &heads);
            peer.store.begin_cut(next.clone());
            while !peer.store.step_cut(budget) {}
            peer.follow();
            if !peer.store.is_pending() {
                peer.check();
            }
        }
        self.relay.store.begin_cut(next);
        while !self.relay.store.step_cut(budget) {}
        self.relay.check();
        let base = |replica: &Replica| {
            let log = replica.store.log(MODELS);
            log.entry(log.laid().wrapping_sub(1)).map(|entry| entry.hash)
        };
        for peer in &self.peers {
            if Self::epoch(peer) == Self::epoch(&self.relay) {
                assert_eq!(base(peer), base(&self.relay), "epochs begin with other values");
            }
        }
    }

    fn agree(&mut self) {
        for _ in 0..2 {
            (0..self.peers.len()).for_each(|peer| self.sync(peer));
        }
        for peer in &self.peers {
            peer.check();
            peer.check_same(&self.relay);
        }
    }
}

proptest! {
    #![proptest_config(cases(96, 2_000))]

    #[test]
    fn cuts_lose_nothing_and_everybody_agrees(
        count in 2..5_usize,
        steps in vec(step(4), 1..120),
    ) {
        let mut room = Room::new(count);
        for step in steps {
            let there = match &step {
                Step::Edit(peer, _) | Step::Flush(peer) | Step::Sync(peer) => *peer < count,
                Step::Cut { .. } => true,
            };
            if there {
                room.play(step);
            }
        }
        room.agree();
    }
}
