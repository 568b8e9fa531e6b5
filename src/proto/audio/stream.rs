//! Streams of voice: how they are named, who hears which, and why one is over.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::proto::id::{ClientNumber, PeerId, digest};

/// A stream in a room: one of a member's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct StreamName {
    /// Whose it is.
    pub client: ClientNumber,
    /// Which of its own, from 0.
    pub number: u8,
}

/// What a stream's packets are published to: it stands for the stream while that is open, and says
/// nothing of it to strangers. Eight letters and digits of base32 (RFC 4648), small.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "[u8; 8]")]
pub struct Topic([u8; 8]);

/// Why bytes are no [`Topic`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("this is no topic: it has 8 small letters and digits of base32")]
pub struct TopicError;

impl TryFrom<[u8; 8]> for Topic {
    type Error = TopicError;

    fn try_from(letters: [u8; 8]) -> Result<Self, TopicError> {
        Self::read(&letters).ok_or(TopicError)
    }
}

impl Topic {
    /// The topic that five bytes, drawn by chance, stand for.
    #[must_use]
    pub fn new(drawn: [u8; 5]) -> Self {
        let mut letters = [0; 8];
        data_encoding::BASE32_NOPAD.encode_mut(&drawn, &mut letters);
        letters.make_ascii_lowercase();
        Self(letters)
    }

    /// What packets of a stream are published to on direct links: the same at whatever relay its owner
    /// has it open, for as long as it is the same opening.
    #[must_use]
    pub fn direct(peer: PeerId, number: u8, epoch: u32) -> Self {
        let parts: [&[u8]; 3] = [peer.as_bytes(), &[number], &epoch.to_le_bytes()];
        let [a, b, c, d, e, ..] = digest("parlor direct topic", &parts);
        Self::new([a, b, c, d, e])
    }

    /// The topic that is written like this; nothing if none is.
    #[must_use]
    pub fn read(text: &[u8]) -> Option<Self> {
        let letters: [u8; 8] = text.try_into().ok()?;
        letters
            .iter()
            .all(|letter| matches!(letter, b'a'..=b'z' | b'2'..=b'7'))
            .then_some(Self(letters))
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topic({self})")
    }
}

/// What one end of a link does with a topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tune {
    /// At a peer: its packets are to be had. At a relay: the peer at the other end is to have them.
    Hear,
    /// At a peer: packets of its own go there. At a relay: only the peer at the other end publishes
    /// there.
    Speak,
    /// Neither, any more.
    Off,
}

/// What becomes of a stream on direct links.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Share {
    /// It is another's, and to be had from that other itself.
    Hear,
    /// It is this peer's own: who is near may have it.
    Speak,
    /// It is this peer's own, and nothing is to be said on it for now: who is near may ask for it.
    Hold,
    /// Nothing any more.
    Off,
}

/// A stream that goes on by direct links.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shared {
    /// Its topic at the relay, by which those know it who say and hear it at this peer.
    pub topic: Topic,
    /// Its topic on direct links: [`Topic::direct`].
    pub direct: Topic,
    /// Whose it is: of nobody else is anything taken for it.
    pub peer: PeerId,
    /// What becomes of it.
    pub share: Share,
}

/// Whom a peer wants to hear. Everybody, at first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hearing {
    /// Whether it hears nobody for now, whatever else is said: who is silenced stays so.
    pub deaf: bool,
    /// Whether it hears everybody but those of [`Self::but`], or nobody but those.
    pub all: bool,
    /// The exceptions; of more than 2,048 only the first count.
    pub but: BTreeSet<PeerId>,
}

impl Default for Hearing {
    fn default() -> Self {
        Self { deaf: false, all: true, but: BTreeSet::new() }
    }
}

impl Hearing {
    /// Whether it hears somebody.
    #[must_use]
    pub fn hears(&self, peer: PeerId) -> bool {
        !self.deaf && self.all != self.but.contains(&peer)
    }

    /// What follows for another's streams from hearing like `after`, where it was like `before` until
    /// then, or nobody: nothing, if they are as they were.
    #[must_use]
    pub fn turn(before: Option<&Self>, after: &Self, peer: PeerId) -> Option<Tune> {
        match (before.is_some_and(|before| before.hears(peer)), after.hears(peer)) {
            (false, true) => Some(Tune::Hear),
            (true, false) => Some(Tune::Off),
            (true, true) | (false, false) => None,
        }
    }
}

/// A stream that is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stream {
    /// Its name in the room.
    pub name: StreamName,
    /// Whose it is, across connections.
    pub peer: PeerId,
    /// What tells this opening of it from others: it is in every packet.
    pub epoch: u32,
    /// Whether its owner says that nothing is said.
    pub muted: bool,
    /// What its packets are published to.
    pub topic: Topic,
}

/// Why a stream is no longer open. Travels on the wire: variants are only added at the end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StreamEnd {
    /// Its owner closed it.
    Closed,
    /// Its owner is gone.
    Left,
    /// Its owner may not speak any more.
    Forbidden,
    /// Its owner opened it anew.
    Replaced,
}

/// Why a stream is not opened. Travels on the wire: variants are only added at the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StreamError {
    /// This peer may not speak.
    #[error("this peer may not speak: its token does not say that it may, or not any more")]
    Forbidden,
    /// It has as many streams as it may have.
    #[error("a member has {limit} streams at most: close one first")]
    TooMany {
        /// How many it may have.
        limit: u8,
    },
    /// The relay carries no voice.
    #[error(
        "the relay carries no voice: it is older than protocol 2.5, or its operator wants none"
    )]
    Unsupported,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_read_as_it_is_written_and_nothing_else_is() {
        let topic = Topic::new([0, 1, 2, 254, 255]);
        assert_eq!(topic.as_str().len(), 8);
        assert_eq!(Topic::read(topic.as_str().as_bytes()), Some(topic));
        for text in ["", "aaaaaaa", "aaaaaaaaa", "AAAAAAAA", "aaaaaaa1", "aaaa aaa"] {
            assert_eq!(Topic::read(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn each_opening_of_a_stream_has_a_topic_of_its_own_on_direct_links() {
        let (one, other) = (PeerId::new([1; 32]), PeerId::new([2; 32]));
        let topics = [
            Topic::direct(one, 0, 7),
            Topic::direct(one, 1, 7),
            Topic::direct(one, 0, 8),
            Topic::direct(other, 0, 7),
        ];
        assert_eq!(
            topics.map(|topic| topic.to_string()).into_iter().collect::<BTreeSet<_>>().len(),
            4
        );
        assert_eq!(Topic::direct(one, 0, 7), topics[0]);
    }

    #[test]
    fn who_is_deaf_hears_nobody_and_keeps_whom_it_silenced() {
        let (one, other) = (PeerId::new([1; 32]), PeerId::new([2; 32]));
        let mut hearing = Hearing { but: BTreeSet::from([one]), ..Hearing::default() };
        assert_eq!((hearing.hears(one), hearing.hears(other)), (false, true));
        hearing.deaf = true;
        assert_eq!((hearing.hears(one), hearing.hears(other)), (false, false));
        (hearing.deaf, hearing.all) = (false, false);
        assert_eq!((hearing.hears(one), hearing.hears(other)), (true, false));
    }
}
