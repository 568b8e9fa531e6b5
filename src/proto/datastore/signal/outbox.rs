//! Signals that this peer gives, until a relay has them and has said what became of them.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::proto::event::signal::{Audience, SignalId, Subject};
use crate::proto::time::Time;

/// What a signal takes beside its payload and its subject, as an estimate from above.
const HEAD: usize = 64;

/// A signal that a relay is to have.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) id: SignalId,
    pub(crate) to: Audience,
    pub(crate) subject: Subject,
    pub(crate) payload: Bytes,
    /// Which of this session's it is, for the relay; 0 until it may go.
    pub(crate) number: u64,
    /// When its peer saw it first.
    pub(crate) since: Option<Time>,
    /// Whether it went out on any link.
    pub(crate) sent: bool,
    /// Whether its application was told what became of it.
    pub(crate) settled: bool,
}

impl Given {
    /// Whether its application is to be told what becomes of it, and was not yet.
    pub(crate) const fn asks(&self) -> bool {
        self.to.is_one() && !self.settled
    }

    /// What it takes on its way, as an estimate from above.
    pub(crate) fn size(&self) -> usize {
        let subject = match &self.subject {
            Subject::Property { model, .. } => model.as_str().len(),
            Subject::Name(name) => name.len(),
        };
        HEAD + subject + self.payload.len()
    }
}

/// A signal that may be lost.
#[derive(Clone, Debug)]
pub(crate) struct Cast {
    pub(crate) to: Audience,
    pub(crate) subject: Subject,
    pub(crate) payload: Bytes,
}

/// What a relay is to have.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// What may not go yet, oldest first.
    held: VecDeque<Given>,
    /// What may, in the order of its numbers.
    numbered: VecDeque<Given>,
    given: u64,
    last: u64,
    /// What goes with the next tick, or never.
    casts: Vec<Cast>,
    /// What the relay has and has not said the outcome of, by number.
    awaited: BTreeMap<u64, SignalId>,
}

impl Outbox {
    /// One more, if others are to hear it.
    pub(super) fn put(
        &mut self,
        to: Audience,
        subject: Subject,
        payload: Bytes,
        others: bool,
    ) -> SignalId {
        self.given += 1;
        let id = SignalId(self.given);
        if others {
            let (number, since) = (0, None);
            let (sent, settled) = (false, false);
            self.held.push_back(Given { id, to, subject, payload, number, since, sent, settled });
        }
        id
    }

    /// What may go.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = &Given> {
        self.numbered.iter()
    }

    /// Since when the oldest is here, that its peer saw.
    pub(crate) fn oldest(&self) -> Option<Time> {
        let first = [self.held.front(), self.numbered.front()].into_iter().flatten();
        first.filter_map(|given| given.since).min()
    }

    /// Whether there is something that its peer has not seen.
    pub(crate) fn is_fresh(&self) -> bool {
        !self.casts.is_empty() || self.held.back().is_some_and(|given| given.since.is_none())
    }

    /// One more that may be lost.
    pub(super) fn cast(&mut self, cast: Cast) {
        self.casts.push(cast);
    }

    /// How many wait that may be lost.
    pub(super) const fn casts(&self) -> usize {
        self.casts.len()
    }

    /// Takes those that may be lost.
    pub(crate) fn take_casts(&mut self) -> Vec<Cast> {
        std::mem::take(&mut self.casts)
    }

    /// One of those that may go.
    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Given> {
        let place = self.numbered.binary_search_by_key(&number, |given| given.number).ok()?;
        self.numbered.get_mut(place)
    }

    /// Lets those go that `may`, which are numbered then, and takes out those that may not at all.
    /// Returns the numbers of the first, and the others.
    pub(super) fn let_go(
        &mut self,
        now: Time,
        may: impl Fn(&Subject) -> Leave,
    ) -> (Vec<u64>, Vec<Given>) {
        let (mut numbers, mut denied) = (Vec::new(), Vec::new());
        for mut given in std::mem::take(&mut self.held) {
            given.since.get_or_insert(now);
            match may(&given.subject) {
                Leave::Given => {
                    self.last += 1;
                    given.number = self.last;
                    numbers.push(given.number);
                    self.numbered.push_back(given);
                }
                Leave::Waits => self.held.push_back(given),
                Leave::Denied => denied.push(given),
            }
        }
        (numbers, denied)
    }

    /// Takes out the first ones that may go, as long as they are such.
    pub(crate) fn take_while(&mut self, such: impl Fn(&Given) -> bool) -> Vec<Given> {
        let count = self.numbered.iter().take_while(|given| such(given)).count();
        self.numbered.drain(..count).collect()
    }

    /// Takes out all that are such.
    pub(crate) fn take(&mut self, such: impl Fn(&Given) -> bool) -> Vec<Given> {
        let mut taken = Vec::new();
        for queue in [&mut self.numbered, &mut self.held] {
            for given in std::mem::take(queue) {
                if such(&given) { taken.push(given) } else { queue.push_back(given) }
            }
        }
        taken.sort_unstable_by_key(|given| given.id);
        taken
    }

    /// The relay will say what became of one that it has. Of more than `most`, the oldest is not waited
    /// for any more.
    pub(crate) fn wait_for(&mut self, given: &Given, most: usize) -> Option<SignalId> {
        self.awaited.insert(given.number, given.id);
        let over = self.awaited.len() > most;
        over.then(|| self.awaited.pop_first()).flatten().map(|(_, id)| id)
    }

    /// The relay says what became of one. Returns which it is, if that was not known yet.
    pub(crate) fn settle(&mut self, number: u64) -> Option<SignalId> {
        // It may say so before it says that it has it.
        let given = self.get_mut(number).filter(|given| given.asks());
        match given {
            Some(given) => {
                given.settled = true;
                Some(given.id)
            }
            None => self.awaited.remove(&number),
        }
    }

    /// Nothing is waited for any more.
    pub(crate) fn take_awaited(&mut self) -> Vec<SignalId> {
        std::mem::take(&mut self.awaited).into_values().collect()
    }

    /// Whether the relay has some and has not said what became of them.
    pub(crate) fn is_waited_for(&self) -> bool {
        !self.awaited.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.held.len() + self.numbered.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Whether a signal may go.
pub(super) enum Leave {
    /// It may.
    Given,
    /// A claim of its model is not answered.
    Waits,
    /// Its model is another's by now.
    Denied,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::id::PeerId;

    /// An outbox with so many signals to one peer, which may go.
    fn outbox(count: u64) -> Outbox {
        let mut outbox = Outbox::default();
        for _ in 0..count {
            let to = Audience::Peer(PeerId::new([1; 32]));
            outbox.put(to, Subject::Name("call".to_owned()), Bytes::new(), true);
        }
        let (numbers, denied) = outbox.let_go(Time::ZERO, |_| Leave::Given);
        assert!(numbers.into_iter().eq(1..=count) && denied.is_empty());
        outbox
    }

    #[test]
    fn an_outcome_counts_once_whether_it_comes_before_or_behind_the_acknowledgement() {
        let mut outbox = outbox(2);
        assert_eq!(outbox.settle(1), Some(SignalId(1)));
        assert_eq!(outbox.settle(1), None);
        let arrived = outbox.take_while(|_| true);
        let asks: Vec<_> = arrived.iter().map(Given::asks).collect();
        assert_eq!(asks, [false, true]);
        assert_eq!(outbox.wait_for(&arrived[1], 8), None);
        assert_eq!(outbox.settle(2), Some(SignalId(2)));
        assert_eq!((outbox.settle(2), outbox.is_waited_for()), (None, false));
    }

    #[test]
    fn of_too_many_outcomes_the_oldest_is_not_waited_for() {
        let mut outbox = outbox(3);
        let arrived = outbox.take_while(|_| true);
        let over = arrived.iter().filter_map(|given| outbox.wait_for(given, 2));
        assert_eq!(over.collect::<Vec<_>>(), [SignalId(1)]);
        assert_eq!(outbox.take_awaited(), [SignalId(2), SignalId(3)]);
    }
}
