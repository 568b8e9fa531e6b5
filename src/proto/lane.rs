//! The document lane of one link: entries of both documents, both ways.

use std::time::Duration;

use crate::proto::config::Limits;
use crate::proto::feed::{Feed, Intake};
use crate::proto::id::{DocumentId, Lane};
use crate::proto::log::{ChangeLog, Index};
use crate::proto::time::Time;
use crate::proto::wire::bounded::List;
use crate::proto::wire::message::{Actor, EntryRecord, Hash, Heads, Made, Message};

/// What a feed holds instead of the entry itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Token {
    /// The change at a place in the log.
    Change(Index),
    /// The latest signature of an author.
    Signature(Actor),
}

/// One document on one link.
#[derive(Clone, Debug)]
struct Stream {
    feed: Feed<Token>,
    intake: Intake,
    acknowledged: u64,
    acknowledge_by: Option<Time>,
}

/// The document lane of one link.
#[derive(Clone, Debug)]
pub struct DocumentLane {
    streams: [Stream; 2],
    patience: Duration,
    frame: usize,
    acknowledge_after: Duration,
    acknowledge_at: u64,
}

impl DocumentLane {
    /// A lane on which nothing was said yet.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let stream = || Stream {
            feed: Feed::new(limits.in_flight),
            intake: Intake::default(),
            acknowledged: 0,
            acknowledge_by: None,
        };
        Self {
            streams: [stream(), stream()],
            patience: Duration::from_millis(500),
            // What a frame holds beside its entries is small; half a kilobyte is ample.
            frame: limits.frame.saturating_sub(512),
            acknowledge_after: limits.acknowledge_after,
            acknowledge_at: limits.acknowledge_at,
        }
    }

    /// Silence means loss after four round trips and the wait for an acknowledgement.
    pub fn set_round_trip(&mut self, round_trip: Duration) {
        self.patience =
            (round_trip * 4 + self.acknowledge_after * 2).max(Duration::from_millis(250));
    }

    /// How long silence may last before what was sent counts as lost.
    #[must_use]
    pub const fn patience(&self) -> Duration {
        self.patience
    }

    /// Sends an entry, when its turn comes.
    pub fn push(&mut self, document: DocumentId, token: Token) {
        self.stream_mut(document).feed.push(token);
    }

    /// Sends every entry of a log that `heads` do not cover, and every author's word. Returns how
    /// many entries that makes.
    pub fn push_missing(&mut self, log: &ChangeLog, heads: &[Hash]) -> u64 {
        let missing = log.missing(heads).into_iter().map(Token::Change);
        let signed = log.authors().filter(|(_, author)| author.signature.is_some());
        let signatures = signed.map(|(actor, _)| Token::Signature(*actor));
        let tokens: Vec<Token> = missing.chain(signatures).collect();
        tokens.iter().for_each(|token| self.push(log.document(), *token));
        tokens.len() as u64
    }

    /// The next frame of a document, if there is anything to send.
    pub fn next_frame(&mut self, log: &ChangeLog, now: Time) -> Option<Message> {
        let (limit, patience) = (self.frame, self.patience);
        let document = log.document();
        let stream = self.stream_mut(document);
        let mut entries = Vec::new();
        let (mut first, mut size) = (None, 0);
        while entries.len() < List::<EntryRecord, 1_024>::MAX {
            let Some(record) = stream.feed.peek().and_then(|token| record(log, *token)) else {
                break;
            };
            size += size_of(&record);
            if size > limit && !entries.is_empty() {
                break;
            }
            let (position, _) = stream.feed.take()?;
            first.get_or_insert(position);
            entries.push(record);
        }
        stream.feed.arm(now, patience);
        Some(Message::Changes { document, first: first?, entries: List::of(entries) })
    }

    /// Entries came. Returns those to use: none after a gap, and not those that came before.
    pub fn receive<'a>(
        &mut self,
        document: DocumentId,
        first: u64,
        entries: &'a [EntryRecord],
        now: Time,
    ) -> &'a [EntryRecord] {
        let (after, at) = (self.acknowledge_after, self.acknowledge_at);
        let stream = self.stream_mut(document);
        let known = stream.intake.offer(first, entries.len());
        let due = known.is_none() || stream.intake.next() - stream.acknowledged >= at;
        let by = if due { now } else { now + after };
        stream.acknowledge_by = Some(stream.acknowledge_by.map_or(by, |before| before.min(by)));
        known.and_then(|known| entries.get(known..)).unwrap_or_default()
    }

    /// The other side says how far it has come.
    pub fn acknowledge(&mut self, document: DocumentId, received: u64, gap: bool, now: Time) {
        let patience = self.patience;
        self.stream_mut(document).feed.acknowledge(received, gap, now, patience);
    }

    /// Acknowledgements that are due.
    pub fn acknowledgements(&mut self, now: Time) -> Vec<Message> {
        let due = DocumentId::ALL.into_iter().filter_map(|document| {
            let stream = &mut self.streams[place(document)];
            stream.acknowledge_by.filter(|by| *by <= now)?;
            stream.acknowledge_by = None;
            let (received, gap) = stream.intake.take_acknowledgement()?;
            stream.acknowledged = received;
            Some(Message::Acknowledge { document, received, gap })
        });
        due.collect()
    }

    /// What to say once a second of a document, if all that was sent has arrived.
    #[must_use]
    pub fn comparison(&self, log: &ChangeLog, roster: u32) -> Message {
        let document = log.document();
        let sent = self.streams[place(document)].feed.end();
        Message::Compare { document, sent, digest: log.digest(), roster }
    }

    /// The other side said what its document looks like. Returns what to say if the two differ and
    /// nothing on its way explains it.
    pub fn compare(
        &mut self,
        log: &ChangeLog,
        sent: u64,
        digest: [u8; 8],
        now: Time,
    ) -> Option<Message> {
        let document = log.document();
        let stream = self.stream_mut(document);
        stream.intake.compare(sent);
        if sent > stream.intake.next() {
            stream.acknowledge_by = Some(now);
            return None;
        }
        let differs = stream.feed.is_idle() && digest != log.digest();
        differs.then(|| heads_message(log, true))
    }

    /// The other side said its heads: what they do not cover is sent, unless more is on its way.
    pub fn reconcile(&mut self, log: &ChangeLog, heads: &[Hash]) {
        let equal = log.heads().eq(heads.iter().copied());
        if !equal && self.streams[place(log.document())].feed.is_idle() {
            self.push_missing(log, heads);
        }
    }

    /// How many entries of a document have come.
    #[must_use]
    pub fn received(&self, document: DocumentId) -> u64 {
        self.streams[place(document)].intake.next()
    }

    /// Whether all that was to be sent has arrived.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.streams.iter().all(|stream| stream.feed.is_idle())
    }

    /// Whether frames can be made of a document.
    #[must_use]
    pub fn has_frames(&self, document: DocumentId) -> bool {
        self.streams[place(document)].feed.peek().is_some()
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Time) {
        for stream in &mut self.streams {
            if stream.feed.tick(now) {
                tracing::debug!("entries not acknowledged in time, sent again");
            }
        }
    }

    /// When time matters next.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let streams = self.streams.iter();
        streams.flat_map(|stream| [stream.feed.deadline(), stream.acknowledge_by]).flatten().min()
    }

    const fn stream_mut(&mut self, document: DocumentId) -> &mut Stream {
        &mut self.streams[place(document)]
    }
}

/// The heads of a log, to be compared.
#[must_use]
pub fn heads_message(log: &ChangeLog, answer: bool) -> Message {
    Message::HeadsAre { document: log.document(), heads: Heads::of(log.heads()), answer }
}

/// The lane that a message travels on.
#[must_use]
pub const fn lane_of(message: &Message) -> Lane {
    match message {
        // A goodbye must not overtake what was written before it.
        Message::Changes { .. } | Message::Leave => Lane::Document,
        Message::Piece { .. } => Lane::Snapshot,
        Message::Hello(_)
        | Message::Join(_)
        | Message::Welcome(_)
        | Message::Refused(_)
        | Message::Joined { .. }
        | Message::Left { .. }
        | Message::RosterWanted
        | Message::Roster { .. }
        | Message::Ping { .. }
        | Message::Pong { .. }
        | Message::Acknowledge { .. }
        | Message::AcknowledgePieces { .. }
        | Message::Compare { .. }
        | Message::HeadsAre { .. } => Lane::Control,
    }
}

const fn place(document: DocumentId) -> usize {
    (document.0 == DocumentId::TEXTS.0) as usize
}

fn record(log: &ChangeLog, token: Token) -> Option<EntryRecord> {
    match token {
        Token::Change(index) => log.record(index),
        Token::Signature(actor) => log.author(&actor)?.signature.clone().map(EntryRecord::Signed),
    }
}

fn size_of(record: &EntryRecord) -> usize {
    match record {
        EntryRecord::Authored { bytes, .. } => bytes.len() + 64,
        EntryRecord::WellKnown(record) => {
            let text = match &record.made {
                Made::Record(text) => text.len(),
                Made::Map | Made::Text | Made::Counter => 0,
            };
            record.key.len() + text + 96
        }
        EntryRecord::Signed(_) => 160,
    }
}
