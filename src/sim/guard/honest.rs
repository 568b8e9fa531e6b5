//! What honest peers write: datastores that edit at the same time, hear from each other late and in
//! pieces, leave and come back.

use arbitrary::{Arbitrary, Unstructured};

use super::dice::Dice;
use crate::proto::authorship::Scope;
use crate::proto::config::Limits;
use crate::proto::datastore::Datastore;
use crate::proto::id::{AppKey, DocumentId, PeerId, RoomName};
use crate::proto::log::ChangeLog;
use crate::proto::model::Model;
use crate::proto::wire::message::{EntryRecord, Introduction};
use crate::sim::action::Edit;
use crate::sim::playground::Playground;

/// Events that wait for nobody.
const EVENTS: usize = 16;

/// What every identifier in these rooms is derived from.
///
/// # Panics
///
/// Never: the app key and the room's name are constants.
#[must_use]
pub fn scope() -> Scope {
    let app = AppKey::new("guarded").expect("not empty").app();
    Scope::first(app, RoomName::new("guarded").expect("not empty"))
}

/// The peer of a number.
pub(super) const fn introduction(peer: u8, incarnation: u64) -> Introduction {
    Introduction { peer: PeerId::new([peer; 32]), incarnation }
}

/// Peers that write to a room, and what each has heard of each.
#[derive(Debug)]
pub(super) struct Company {
    scope: Scope,
    peers: Vec<Member>,
    incarnations: u64,
}

#[derive(Debug)]
struct Member {
    author: Introduction,
    store: Datastore,
    /// How much of each other's logs has come.
    heard: Vec<[usize; 2]>,
}

impl Member {
    fn new(scope: &Scope, author: Introduction, peers: usize) -> Self {
        let store = Datastore::new(scope, author, Playground::shape(), Limits::default(), EVENTS);
        Self { author, store, heard: vec![[0; 2]; peers] }
    }
}

impl Company {
    /// An empty room of `peers`.
    pub(super) fn new(peers: u8) -> Self {
        let scope = scope();
        let members = (0..peers)
            .map(|peer| Member::new(&scope, introduction(peer, 1), usize::from(peers)))
            .collect();
        Self { scope, peers: members, incarnations: 1 }
    }

    /// One thing happens: an edit, the end of a frame, something heard, or somebody new.
    pub(super) fn step(&mut self, dice: &mut Dice) -> Result<(), String> {
        let at = dice.below(self.peers.len());
        match dice.below(32) {
            0..20 => self.edit(at, dice),
            20..25 => self.peers[at].store.flush(),
            25..31 => {
                let from = dice.below(self.peers.len());
                let most = if dice.once_in(2) { usize::MAX } else { dice.below(4) };
                for document in DocumentId::ALL {
                    self.hear(at, from, document, most)?;
                }
            }
            _ if dice.once_in(4) => self.resume(at),
            _ => {}
        }
        Ok(())
    }

    fn edit(&mut self, at: usize, dice: &mut Dice) {
        let mut bytes = [0; 16];
        bytes.iter_mut().for_each(|byte| *byte = dice.byte());
        let store = &mut self.peers[at].store;
        if let Ok(edit) = Edit::arbitrary(&mut Unstructured::new(&bytes))
            && let Err(error) = edit.apply(store)
        {
            tracing::debug!(%error, "edit not made");
        }
        if !dice.once_in(3) {
            store.flush();
        }
    }

    /// A peer hears the next of what another has in its log.
    fn hear(
        &mut self,
        at: usize,
        from: usize,
        document: DocumentId,
        most: usize,
    ) -> Result<(), String> {
        let place = usize::from(document == DocumentId::TEXTS);
        let heard = self.peers[at].heard[from][place];
        let (here, there) =
            (self.peers[at].store.log(document), self.peers[from].store.log(document));
        let end = there.len().min(heard.saturating_add(most));
        let news = (heard..end).filter(|index| {
            there.entry(*index).is_some_and(|entry| here.position(&entry.hash).is_none())
        });
        let records: Vec<EntryRecord> = news.filter_map(|index| there.record(index)).collect();
        let member = &mut self.peers[at];
        member.heard[from][place] = end;
        let received = member.store.receive(document, &records);
        received.map(drop).map_err(|fault| format!("{fault}, of an honest change"))
    }

    /// A peer loses its memory and comes back as its next incarnation.
    fn resume(&mut self, at: usize) {
        self.incarnations += 1;
        let author = Introduction { incarnation: self.incarnations, ..self.peers[at].author };
        let count = self.peers.len();
        self.peers[at] = Member::new(&self.scope, author, count);
        self.peers.iter_mut().for_each(|peer| peer.heard[at] = [0; 2]);
    }

    /// Everybody writes what is pending and hears everything.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        self.peers.iter_mut().for_each(|peer| peer.store.flush());
        let count = self.peers.len();
        for (at, from) in (0..2 * count * count).map(|pair| (pair % count, pair / count % count)) {
            for document in DocumentId::ALL {
                self.hear(at, from, document, usize::MAX)?;
            }
        }
        self.peers.iter_mut().for_each(|peer| peer.store.flush());
        Ok(())
    }

    /// The log of a document, as one peer has it.
    pub(super) fn log(&self, at: usize, document: DocumentId) -> &ChangeLog {
        self.peers[at % self.peers.len()].store.log(document)
    }

    /// Whether everybody has the same, and so does somebody who hears it all in another order.
    fn agree(&self, dice: &mut Dice) -> Result<(), String> {
        let author = introduction(u8::MAX, 1);
        let mut late = Member::new(&self.scope, author, 0).store;
        for document in DocumentId::ALL {
            let digest = self.log(0, document).digest();
            if self.peers.iter().any(|peer| peer.store.log(document).digest() != digest) {
                return Err("settled peers differ".to_owned());
            }
            let records = reordered(self.log(0, document), dice);
            let received = late.receive(document, &records);
            received.map_err(|fault| format!("{fault}, of an honest change in another order"))?;
        }
        late.flush();
        let first = &self.peers[0].store;
        if late.state_hash() != first.state_hash() {
            return Err("another order made another state".to_owned());
        }
        late.difference().map_or(Ok(()), Err)
    }
}

/// The entries of a log in an order by chance in which each follows what it depends on.
fn reordered(log: &ChangeLog, dice: &mut Dice) -> Vec<EntryRecord> {
    let mut followers = vec![Vec::new(); log.len()];
    let mut wanted = vec![0; log.len()];
    for (index, wanted) in wanted.iter_mut().enumerate() {
        let deps = log.change(index).map(|change| change.deps).unwrap_or_default();
        for dep in deps.iter().filter_map(|dep| log.position(dep)) {
            followers[dep].push(index);
            *wanted += 1;
        }
    }
    let mut ready: Vec<usize> = (0..log.len()).filter(|&index| wanted[index] == 0).collect();
    let mut records = Vec::with_capacity(log.len());
    while !ready.is_empty() {
        let index = ready.swap_remove(dice.below(ready.len()));
        records.extend(log.record(index));
        for &follower in &followers[index] {
            wanted[follower] -= 1;
            if wanted[follower] == 0 {
                ready.push(follower);
            }
        }
    }
    records
}

/// Lets honest peers write a room together, and lets somebody hear it all in another order. Returns
/// how many changes were written, each of which everybody's guard has seen.
///
/// # Errors
///
/// When the guard refuses one of them, or peers differ at the end.
pub fn honest(seed: u64, round: u64) -> Result<u64, String> {
    let mut dice = Dice::new(seed, round, "parlor guard honest");
    let mut company = Company::new([2, 3, 4, 6][dice.below(4)]);
    let told = |why| format!("seed {seed}, round {round}: {why}");
    for _ in 0..100 + dice.below(300) {
        company.step(&mut dice).map_err(told)?;
    }
    company.settle().map_err(told)?;
    company.agree(&mut dice).map_err(told)?;
    let written = DocumentId::ALL.map(|document| company.log(0, document).len() as u64);
    Ok(written.iter().sum())
}
