//! Where chance comes from: a seed, or the bytes of a fuzzer.

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use crate::proto::id::digest;

/// A source of choices.
#[derive(Debug)]
pub(super) enum Dice {
    /// Without end.
    Seed(Box<ChaCha12Rng>),
    /// Backwards from the last byte; zeros once there are none.
    Tape(Vec<u8>),
}

impl Dice {
    /// The choices of one place in one round of a seed.
    pub(super) fn new(seed: u64, round: u64, domain: &str) -> Self {
        let seed = digest(domain, &[&seed.to_le_bytes(), &round.to_le_bytes()]);
        Self::Seed(Box::new(ChaCha12Rng::from_seed(seed)))
    }

    pub(super) fn word(&mut self) -> u64 {
        match self {
            Self::Seed(rng) => rng.next_u64(),
            Self::Tape(bytes) => {
                let word = [bytes.pop().unwrap_or(0), bytes.pop().unwrap_or(0)];
                u64::from(u16::from_le_bytes(word))
            }
        }
    }

    /// A number below `end`, which counts as 1 if it is 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.word() % end).unwrap_or(0)
    }

    /// Whether something happens that happens one time in `times`.
    pub(super) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of some things; nothing if there are none.
    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }

    /// One of some things, of which later ones are likelier.
    pub(super) fn pick_late<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let (one, other) = (self.below(of.len()), self.below(of.len()));
        of.get(one.max(other))
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.word().to_le_bytes()[0]
    }
}
