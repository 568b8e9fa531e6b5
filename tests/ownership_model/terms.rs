//! What both models are made of.

use std::ops::{Index, IndexMut};

pub(crate) const ORDERED: &str = "accepted writes never go back, and a token has one writer";

/// Who claims and writes. Two are enough for every way of being in each other's way.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Client {
    Ada,
    Ben,
}

impl Client {
    pub(crate) const ALL: [Self; 2] = [Self::Ada, Self::Ben];

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Ada => Self::Ben,
            Self::Ben => Self::Ada,
        }
    }
}

/// One of something for each client.
#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq)]
pub(crate) struct Each<T>([T; 2]);

impl<T> Each<T> {
    pub(crate) const fn new(ada: T, ben: T) -> Self {
        Self([ada, ben])
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }
}

impl<T> Index<Client> for Each<T> {
    type Output = T;

    fn index(&self, client: Client) -> &T {
        &self.0[client as usize]
    }
}

impl<T> IndexMut<Client> for Each<T> {
    fn index_mut(&mut self, client: Client) -> &mut T {
        &mut self.0[client as usize]
    }
}

/// Which of its claims a client means. The default is before the first.
#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Nonce(pub(crate) u8);

impl Nonce {
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Which start of the relay. The default is before the first.
#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Boot(pub(crate) u8);

impl Boot {
    pub(crate) const FIRST: Self = Self(1);

    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What a grant is known by, ordered as the relay gives them. The default is before the first.
#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Token {
    pub(crate) boot: Boot,
    pub(crate) counter: u8,
}

impl Token {
    /// Before the first token of a `boot`.
    pub(crate) const fn before(boot: Boot) -> Self {
        Self { boot, counter: 0 }
    }

    pub(crate) fn next(self) -> Self {
        Self { counter: self.counter + 1, ..self }
    }
}

/// A write, as far as it matters here.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Write {
    pub(crate) writer: Client,
    pub(crate) token: Token,
}

/// What the relay has accepted. It decides nothing: properties ask it.
#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) last: Option<Write>,
    /// Whether a write ever counted under an older token than the one before it, or under the
    /// other client's.
    pub(crate) disordered: bool,
}

impl Accepted {
    pub(crate) fn push(&mut self, write: Write) {
        if let Some(last) = self.last {
            let intrudes = write.token == last.token && write.writer != last.writer;
            self.disordered |= write.token < last.token || intrudes;
        }
        self.last = Some(write);
    }
}
