//! The order of one document on one link: the changes of the relay's log as it sends them to a
//! member, by their positions. Both ends have the same one, the member as far as it has received.
//!
//! It says in a byte or two what a change follows: "everything before this position, and my own".

use std::collections::VecDeque;

use crate::proto::log::{ChangeLog, Index};
use crate::proto::wire::message::{Actor, Hash};

/// What stands at a position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Placed {
    /// The change, in this side's log; nothing for what is no change.
    index: Option<Index>,
    /// The first position of a change that depends on it.
    followed: u64,
}

/// The last positions of the order.
#[derive(Clone, Debug)]
pub struct Order {
    /// The position of the first that is remembered.
    first: u64,
    placed: VecDeque<Placed>,
    window: usize,
}

impl Order {
    /// An empty order, whose last `window` positions are remembered.
    #[must_use]
    pub const fn new(window: usize) -> Self {
        Self { first: 0, placed: VecDeque::new(), window }
    }

    /// The next position.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.first.saturating_add(self.placed.len() as u64)
    }

    /// Whether a prediction from this position on is one that both ends can make: that it is among
    /// the last of the window.
    #[must_use]
    pub fn is_near(&self, from: u64) -> bool {
        from.saturating_add(self.window as u64) >= self.end()
    }

    /// Puts something at the next position: a change with what it depends on, or what is no change.
    pub fn place(&mut self, index: Option<Index>, deps: impl IntoIterator<Item = Index>) {
        let end = self.end();
        for dep in deps {
            let placed = self.placed.iter_mut().rev().find(|placed| placed.index == Some(dep));
            if let Some(placed) = placed {
                placed.followed = placed.followed.min(end);
            }
        }
        self.placed.push_back(Placed { index, followed: u64::MAX });
    }

    /// Another epoch begins: what was placed is of another log.
    pub fn renew(&mut self) {
        self.placed.iter_mut().for_each(|placed| placed.index = None);
    }

    /// Forgets what neither end will need: what is out of the window of the other end, which has
    /// come as far as `reached`.
    pub fn forget(&mut self, reached: u64) {
        // Twice the window: what the other end says now may still be on its way then.
        let keep = reached.saturating_sub((self.window as u64).saturating_mul(2));
        while self.first < keep && self.placed.pop_front().is_some() {
            self.first = self.first.saturating_add(1);
        }
    }

    /// The position of a change, if it is remembered.
    #[must_use]
    pub fn position(&self, index: Index) -> Option<u64> {
        let at = self.placed.iter().rposition(|placed| placed.index == Some(index))?;
        Some(self.first.saturating_add(at as u64))
    }

    /// What the change of an author depends on that has seen the positions before `to`, and whose
    /// previous change had seen those before `from`: the changes in between that no other of them
    /// follows, and its previous one, which stands last if another follows it. Nothing if these
    /// positions are not remembered.
    #[must_use]
    pub fn predict(
        &self,
        log: &ChangeLog,
        (author, previous): (&Actor, Option<Index>),
        (from, to): (u64, u64),
    ) -> Option<Vec<(Hash, Index)>> {
        let start = usize::try_from(from.checked_sub(self.first)?).ok()?;
        let end = usize::try_from(to.checked_sub(self.first)?).ok()?;
        if start > end || end > self.placed.len() {
            return None;
        }
        let mut deps = Vec::new();
        let mut covered = false;
        for placed in self.placed.range(start..end) {
            let Some(entry) = placed.index.and_then(|index| log.entry(index)) else {
                continue;
            };
            let open = placed.followed >= to;
            if placed.index == previous {
                covered = !open;
            } else if open && entry.actor != *author {
                deps.extend(placed.index.map(|index| (entry.hash, index)));
            }
        }
        let last = match previous {
            Some(index) => Some((log.entry(index)?.hash, index)),
            None => None,
        };
        deps.extend(last.filter(|_| !covered));
        deps.sort_unstable();
        deps.extend(last.filter(|_| covered));
        Some(deps)
    }
}
