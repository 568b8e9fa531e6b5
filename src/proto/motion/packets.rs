//! Packets of the state lane: numbered, and answered in packets that go the other way.

use std::collections::VecDeque;

use crate::proto::wire::message::StateAnswer;

/// How many packets before the last one an answer tells of.
const TOLD: u16 = 16;

/// How many packets may wait for an answer; of the oldest no more is heard.
const WAITING: usize = 128;

/// Packets that went out, with what each carried, until they are known to have come.
#[derive(Clone, Debug)]
pub struct Departures<T> {
    last: u16,
    waiting: VecDeque<(u16, T)>,
}

impl<T> Default for Departures<T> {
    fn default() -> Self {
        Self { last: 0, waiting: VecDeque::new() }
    }
}

impl<T> Departures<T> {
    /// Another packet leaves. Returns its number.
    pub fn depart(&mut self, cargo: T) -> u16 {
        self.last = after(self.last);
        if self.waiting.len() >= WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back((self.last, cargo));
        self.last
    }

    /// What was in the packets that an answer says have come, in the order in which they left.
    pub fn arrived(&mut self, answer: StateAnswer) -> Vec<T> {
        let waiting = std::mem::take(&mut self.waiting);
        let (came, waiting): (VecDeque<_>, VecDeque<_>) =
            waiting.into_iter().partition(|(number, _)| tells(answer, *number));
        self.waiting = waiting;
        came.into_iter().map(|(_, cargo)| cargo).collect()
    }

    /// Whether any may still come.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}

/// Packets that came.
#[derive(Clone, Copy, Default, Debug)]
pub struct Arrivals {
    said: StateAnswer,
    /// Whether something came since the last answer went out.
    news: bool,
}

impl Arrivals {
    /// Whether a packet is one that did not come before, and not too old to tell.
    #[must_use]
    pub const fn is_new(&self, number: u16) -> bool {
        let behind = self.last().wrapping_sub(number);
        number != 0
            && (self.last() == 0
                || ahead(self.last(), number)
                || (1 <= behind && behind <= TOLD && self.said.missing >> (behind - 1) & 1 == 1))
    }

    /// A packet came and was understood. What says nothing but an answer needs none.
    pub fn note(&mut self, number: u16, says: bool) {
        let last = self.last();
        if last == 0 || ahead(last, number) {
            let by = number.wrapping_sub(last);
            // Between the two, and the last one itself has come if there was one.
            let before = if last == 0 {
                lowest(by - 1)
            } else {
                shifted(self.said.missing, by) | lowest(by - 1)
            };
            self.said = StateAnswer { received: number.to_le_bytes(), missing: before };
        } else {
            let behind = last.wrapping_sub(number);
            if (1..=TOLD).contains(&behind) {
                self.said.missing &= !(1 << (behind - 1));
            }
        }
        self.news |= says;
    }

    /// What there is to say.
    #[must_use]
    pub const fn answer(&self) -> StateAnswer {
        self.said
    }

    /// Whether something came since [`Self::told`].
    #[must_use]
    pub const fn has_news(&self) -> bool {
        self.news
    }

    /// The answer went out.
    pub const fn told(&mut self) {
        self.news = false;
    }

    const fn last(&self) -> u16 {
        u16::from_le_bytes(self.said.received)
    }
}

/// The number after one: 0 is none.
const fn after(number: u16) -> u16 {
    match number.wrapping_add(1) {
        0 => 1,
        next => next,
    }
}

/// Whether a number comes after another, of which neither is older by half of all.
#[must_use]
pub const fn ahead(last: u16, number: u16) -> bool {
    let by = number.wrapping_sub(last);
    0 < by && by < 1 << 15
}

/// The `count` lowest bits, of 16 at most.
const fn lowest(count: u16) -> u16 {
    if count >= TOLD { u16::MAX } else { (1 << count) - 1 }
}

const fn shifted(bits: u16, by: u16) -> u16 {
    if by >= TOLD { 0 } else { bits << by }
}

/// Whether an answer says that a packet came.
const fn tells(answer: StateAnswer, number: u16) -> bool {
    let last = u16::from_le_bytes(answer.received);
    let behind = last.wrapping_sub(number);
    last != 0 && (behind == 0 || (behind <= TOLD && answer.missing >> (behind - 1) & 1 == 0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_said_to_have_come_came(
            start in any::<u16>(),
            fates in prop::collection::vec((any::<bool>(), 0_usize..4), 1..200),
        ) {
            let mut out = Departures::<usize> { last: start, ..Departures::default() };
            let (mut arrivals, mut came, mut heard) = (Arrivals::default(), Vec::new(), Vec::new());
            let mut late = VecDeque::new();
            for (at, (arrives, delay)) in fates.into_iter().enumerate() {
                late.push_back((at + delay, out.depart(at), at, arrives));
                let (now, later): (Vec<_>, Vec<_>) = late.into_iter().partition(|(due, ..)| *due <= at);
                late = later.into();
                for (_, number, cargo, _) in now.into_iter().filter(|(.., arrives)| *arrives) {
                    prop_assert!(arrivals.is_new(number));
                    arrivals.note(number, true);
                    prop_assert!(!arrivals.is_new(number));
                    came.push(cargo);
                }
                heard.extend(out.arrived(arrivals.answer()));
            }
            came.sort_unstable();
            prop_assert!(heard.iter().all(|cargo| came.contains(cargo)));
            let mut sorted = heard.clone();
            sorted.sort_unstable();
            sorted.dedup();
            prop_assert_eq!(sorted.len(), heard.len());
            // All of them, as none came later than can be told.
            prop_assert_eq!(sorted, came);
        }
    }

    #[test]
    fn nothing_has_come_before_anything_has() {
        let mut out = Departures::default();
        out.depart("a");
        assert_eq!(out.arrived(Arrivals::default().answer()), Vec::<&str>::new());
        assert!(out.is_waiting());
    }
}
