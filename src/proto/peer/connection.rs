//! The open link of a peer.

use super::documents::Passage;
use crate::proto::config::{Limits, PeerConfig};
use crate::proto::feed::Intake;
use crate::proto::id::{DocumentId, Lane, Link, PeerId};
use crate::proto::lane::{DocumentLane, Side};
use crate::proto::time::Time;
use crate::proto::wire::message::{Hello, Message, Partial, SnapshotOffer};

/// How far a link is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Our hello is out, the relay's is awaited.
    Greeting,
    /// Our join is out, the answer is awaited.
    Asking,
    /// We are in, the documents are coming.
    Loading,
    /// Everything is here.
    Ready,
}

/// A snapshot on its way.
#[derive(Clone, Debug)]
pub(super) struct Incoming {
    pub(super) offer: SnapshotOffer,
    pub(super) bytes: Vec<u8>,
    pub(super) intake: Intake,
}

impl Incoming {
    /// A snapshot that is offered: what `begun` has of it, and what comes. Nothing if it is to go on
    /// where nobody asked for.
    pub(super) fn new(offer: SnapshotOffer, begun: Option<Self>) -> Option<Self> {
        let begun = begun.map(|begun| (begun.partial(), begun.bytes));
        let asked = Partial { digest: offer.digest, bytes: offer.from };
        let bytes = match begun {
            _ if offer.from == 0 => Vec::new(),
            Some((partial, bytes)) if partial == asked && offer.from < offer.bytes => bytes,
            _ => return None,
        };
        Some(Self { offer, bytes, intake: Intake::default() })
    }

    /// How much has come.
    pub(super) const fn partial(&self) -> Partial {
        Partial { digest: self.offer.digest, bytes: self.bytes.len() as u64 }
    }
}

/// One link to the relay.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) link: Link,
    pub(super) relay: PeerId,
    pub(super) stage: Stage,
    pub(super) nonce: [u8; 16],
    pub(super) theirs: Option<Hello>,
    /// The join that was said, to be said again.
    pub(super) join: Option<Message>,
    pub(super) lane: DocumentLane,
    pub(super) snapshots: [Option<Incoming>; 2],
    /// How many entries come before the relay's word that we are up to date is true.
    pub(super) behind: [u64; 2],
    /// Bytes handed to the driver and not yet written, by lane.
    pub(super) outstanding: [usize; Lane::ALL.len()],
    pub(super) began: Time,
    pub(super) heard: Time,
    pub(super) repeat_at: Time,
    pub(super) ping_at: Time,
    pub(super) compare_at: Time,
    pub(super) roster_asked: Option<Time>,
    pub(super) passages: [Passage; 2],
    /// Since when the relay has everything and does not take it.
    pub(super) stuck_since: [Option<Time>; 2],
    /// When a cut goes on.
    pub(super) cut_at: [Option<Time>; 2],
}

impl Connection {
    pub(super) fn new(
        link: Link,
        relay: PeerId,
        nonce: [u8; 16],
        limits: &Limits,
        now: Time,
    ) -> Self {
        Self {
            link,
            relay,
            stage: Stage::Greeting,
            nonce,
            theirs: None,
            join: None,
            lane: DocumentLane::new(limits, Side::Member),
            snapshots: [None, None],
            behind: [0; 2],
            outstanding: [0; Lane::ALL.len()],
            began: now,
            heard: now,
            repeat_at: now,
            ping_at: now,
            compare_at: now,
            roster_asked: None,
            passages: [Passage::default(), Passage::default()],
            stuck_since: [None; 2],
            cut_at: [None; 2],
        }
    }

    /// Whether the relay has let us in.
    pub(super) fn is_in(&self) -> bool {
        matches!(self.stage, Stage::Loading | Stage::Ready)
    }

    /// Whether every document is as far as the relay said.
    pub(super) fn is_loaded(&self) -> bool {
        self.snapshots.iter().all(Option::is_none)
            && !self.passages.iter().any(Passage::is_between)
            && DocumentId::ALL
                .into_iter()
                .zip(self.behind)
                .all(|(document, behind)| self.lane.received(document) >= behind)
    }

    pub(super) fn written(&mut self, lane: Lane, bytes: usize) {
        let outstanding = &mut self.outstanding[lane as usize];
        *outstanding = outstanding.saturating_sub(bytes);
    }

    /// When the link needs attention.
    pub(super) fn deadline(&self, config: &PeerConfig) -> Option<Time> {
        let silence = self.heard + config.silence;
        let stage = match self.stage {
            Stage::Greeting | Stage::Asking => self.repeat_at.min(self.began + config.join_timeout),
            Stage::Loading | Stage::Ready => self.ping_at.min(self.compare_at),
        };
        let due = [Some(silence), Some(stage), self.lane.deadline()].into_iter();
        due.chain(self.cut_at).flatten().min()
    }
}
