//! C11: a cut loses nothing that anybody wrote, and everybody begins the next epoch with the same.

use parlor::proto::datastore::Kept;
use parlor::proto::id::DocumentId;
use parlor::sim::action::Edit;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::replica::{Replica, cases, edit};

/// What happens.
#[derive(Clone, Debug)]
enum Step {
    /// A peer edits.
    Edit(usize, Edit),
    /// A peer ends its frame.
    Flush(usize),
    /// A peer and the relay tell each other everything.
    Sync(usize),
    /// The relay cuts a document, and those who are there follow; each looks at so many values at a
    /// time.
    Cut { texts: bool, asleep: Option<usize>, budget: usize },
}

fn step(peers: usize) -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..peers, edit()).prop_map(|(peer, edit)| Step::Edit(peer, edit)),
        4 => (0..peers).prop_map(Step::Flush),
        4 => (0..peers).prop_map(Step::Sync),
        1 => (any::<bool>(), option::of(0..peers), 1..64_usize)
            .prop_map(|(texts, asleep, budget)| Step::Cut { texts, asleep, budget }),
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
            Step::Cut { texts, asleep, budget } => {
                let document = if texts { DocumentId::TEXTS } else { DocumentId::MODELS };
                self.cut(document, asleep, budget);
            }
        }
    }

    fn epoch(replica: &Replica, document: DocumentId) -> [u8; 32] {
        replica.store.log(document).scope().epoch().0
    }

    /// A peer comes, in whatever epoch it was.
    fn sync(&mut self, peer: usize) {
        let peer = &mut self.peers[peer];
        peer.flush();
        for document in DocumentId::ALL {
            if Self::epoch(peer, document) != Self::epoch(&self.relay, document) {
                let relay = self.relay.store.log(document);
                let mut begun = relay.successor(relay.scope().clone(), relay.base().clone());
                while begun.lay() {}
                peer.store.go_over(begun, Kept::Unconfirmed);
                peer.follow();
            }
        }
        peer.pull_written(&self.relay);
        peer.flush();
        peer.store.bring();
        peer.follow();
        self.relay.pull_written(peer);
        self.relay.flush();
        for document in DocumentId::ALL {
            let heads: Vec<_> = self.relay.store.log(document).heads().collect();
            peer.store.confirm_covered(document, &heads);
        }
        peer.check();
    }

    /// A cut arrives at a peer behind everything that the relay had, and before what the relay did
    /// not have.
    fn cut(&mut self, document: DocumentId, asleep: Option<usize>, budget: usize) {
        let log = self.relay.store.log(document);
        let heads: Vec<_> = log.heads().collect();
        let next = log.scope().next(document, &heads, 0);
        let there = DocumentId::ALL.map(|document| Self::epoch(&self.relay, document));
        for (number, peer) in self.peers.iter_mut().enumerate() {
            let follows = DocumentId::ALL.map(|document| Self::epoch(peer, document)) == there;
            if Some(number) == asleep || !follows {
                continue;
            }
            peer.pull_written(&self.relay);
            peer.store.confirm_covered(document, &heads);
            peer.store.begin_cut(document, next.clone());
            while !peer.store.step_cut(document, budget) {}
            peer.follow();
            if !peer.store.is_waiting() {
                peer.check();
            }
        }
        self.relay.store.begin_cut(document, next);
        while !self.relay.store.step_cut(document, budget) {}
        self.relay.check();
        let base = |replica: &Replica| {
            let log = replica.store.log(document);
            log.entry(log.laid().wrapping_sub(1)).map(|entry| entry.hash)
        };
        for peer in &self.peers {
            if Self::epoch(peer, document) == Self::epoch(&self.relay, document) {
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

    #[test]
    fn every_letter_that_was_typed_is_there_once(
        count in 2..5_usize,
        steps in vec(step(4), 1..120),
        letters in vec(any::<(u8, u8)>(), 120),
    ) {
        let mut room = Room::new(count);
        let mut typed = 0;
        for (step, (at, letter)) in steps.into_iter().zip(letters) {
            match step {
                Step::Edit(peer, _) if peer < count => {
                    let peer = &mut room.peers[peer];
                    let before = length(peer);
                    prop_assert!(peer.edit(Edit::Type(at, letter)));
                    typed += length(peer) - before;
                }
                Step::Flush(peer) | Step::Sync(peer) if peer >= count => {}
                Step::Edit(..) => {}
                step => room.play(step),
            }
        }
        room.agree();
        prop_assert_eq!(length(&room.relay), typed);
    }
}

fn length(replica: &Replica) -> usize {
    replica.root().notes.read(&replica.store).chars().count()
}
