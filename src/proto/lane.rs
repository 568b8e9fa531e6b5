//! The document lane of one link: entries of both documents, both ways.

mod cut;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::proto::config::Limits;
use crate::proto::delta::order::Order;
use crate::proto::delta::pack::Packer;
use crate::proto::delta::record::{self, Kind, MAX_RECORDS, Record};
use crate::proto::delta::unpack::{Unpacked, Unpacker};
use crate::proto::delta::{DeltaError, Member, Token};
use crate::proto::feed::{Feed, Intake};
use crate::proto::id::{DocumentId, Lane};
use crate::proto::log::ChangeLog;
use crate::proto::time::Time;
use crate::proto::wire::bounded::Blob;
use crate::proto::wire::message::{Hash, Heads, Message, POSITIONS, RecordBytes};

/// Which end of a link this is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// A relay's: what it sends is the order.
    Relay,
    /// A member's.
    Member,
}

/// The records of a frame that are still to be used.
#[derive(Clone, Debug)]
pub struct Incoming {
    records: std::vec::IntoIter<Record>,
    /// The position of the next.
    position: u64,
}

/// One document on one link.
#[derive(Clone, Debug)]
struct Stream {
    feed: Feed<Token>,
    intake: Intake,
    packer: Packer,
    unpacker: Unpacker,
    order: Order,
    /// Whether the next entry is to come in full: its record made no sense.
    wants_full: bool,
    /// At a relay: positions before this are of the epoch before the present one.
    cut_at: u64,
    /// At a relay: the member has not followed the last cut, so what it says is of another epoch.
    stale: bool,
    /// At a relay: the member does not know yet that a change of its was not let in, so what it says
    /// follows that.
    denied: bool,
    /// At a member: what says that it has gone on as another, or followed a cut, on this link. It is
    /// said again with whatever makes void what was on its way.
    turns: Vec<Token>,
    acknowledged: u64,
    acknowledge_by: Option<Time>,
    /// When what is held is said by itself.
    held_by: Option<Time>,
}

/// How many of the receiver's own changes may have their places without its being told: it needs to
/// know them only before what comes behind them.
const MOST_HELD: usize = 64;

impl Stream {
    /// Whether all that is to be sent says only that changes of the receiver's have their places,
    /// and can wait for something else.
    fn is_held(&self) -> bool {
        self.feed.fresh().is_some_and(|fresh| {
            let places = fresh.take_while(|token| matches!(token, Token::Placed(_)));
            let count = places.take(MOST_HELD).count();
            count > 0 && count < MOST_HELD && count == self.feed.waiting()
        })
    }

    /// Whether the receiver has everything, as far as it does not know it itself.
    fn is_quiet(&self) -> bool {
        self.feed.is_idle() || (self.feed.len() == self.feed.waiting() && self.is_held())
    }
}

/// The document lane of one link.
#[derive(Clone, Debug)]
pub struct DocumentLane {
    side: Side,
    streams: [Stream; 2],
    patience: Duration,
    frame: usize,
    inflated: usize,
    acknowledge_after: Duration,
    acknowledge_at: u64,
}

impl DocumentLane {
    /// A lane on which nothing was said yet.
    #[must_use]
    pub fn new(limits: &Limits, side: Side) -> Self {
        let stream = || Stream {
            feed: Feed::new(limits.in_flight),
            intake: Intake::default(),
            packer: Packer::new(side == Side::Relay),
            unpacker: Unpacker::new(limits),
            order: Order::new(limits.order),
            wants_full: false,
            cut_at: 0,
            stale: false,
            denied: false,
            turns: Vec::new(),
            acknowledged: 0,
            acknowledge_by: None,
            held_by: None,
        };
        Self {
            side,
            streams: [stream(), stream()],
            patience: Duration::from_millis(500),
            // What a frame holds beside its entries is small; half a kilobyte is ample.
            frame: limits.frame.saturating_sub(512),
            inflated: limits.inflated,
            acknowledge_after: limits.acknowledge_after,
            acknowledge_at: limits.acknowledge_at,
        }
    }

    /// Says who the member of the link is in a document's epoch: before anything of that is sent or
    /// received.
    pub const fn set_member(&mut self, document: DocumentId, member: Member) {
        let stream = self.stream_mut(document);
        stream.packer.set_member(member);
        stream.unpacker.set_member(member);
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
        let missing = log.missing(heads);
        missing.iter().for_each(|index| self.push(log.document(), Token::Change(*index)));
        missing.len() as u64 + self.push_signatures(log)
    }

    fn push_signatures(&mut self, log: &ChangeLog) -> u64 {
        let signed = log.authors().filter(|(_, author)| author.signature.is_some());
        let mut count = 0;
        for (actor, _) in signed {
            self.push(log.document(), Token::Signature(*actor));
            count += 1;
        }
        count
    }

    /// The next frame of a document, if there is anything to send; `before` is the log of the epoch
    /// before, for what is still to be said of that.
    pub fn next_frame(
        &mut self,
        log: &ChangeLog,
        before: Option<&ChangeLog>,
        now: Time,
    ) -> Option<Message> {
        let (limit, patience) = (self.frame, self.patience);
        let after = self.acknowledge_after;
        let document = log.document();
        let stream = self.stream_mut(document);
        // Alone, it waits as long as an acknowledgement does.
        if stream.is_held() && now < *stream.held_by.get_or_insert(now + after) {
            return None;
        }
        stream.held_by = None;
        let first = stream.feed.next();
        let (mut records, mut size) = (Vec::new(), 0);
        while records.len() < MAX_RECORDS
            && let Some(&token) = stream.feed.peek()
        {
            let position = stream.feed.next();
            let of = if position < stream.cut_at { before.unwrap_or(log) } else { log };
            let Some(record) = stream.packer.pack(of, &mut stream.order, position, token) else {
                break;
            };
            size += record.size();
            if size > limit && !records.is_empty() {
                stream.packer.go_back(position);
                break;
            }
            stream.feed.take();
            records.push(record);
        }
        stream.feed.arm(now, patience);
        frame(document, first, &records)
    }

    /// Records came: gives those to use, each to be read by [`Self::unpack`].
    ///
    /// # Errors
    ///
    /// When they are no records.
    pub fn open(
        &mut self,
        document: DocumentId,
        (position, records): (u16, &RecordBytes),
        deflated: bool,
        now: Time,
    ) -> Result<Incoming, DeltaError> {
        let mut bytes = records.clone().into_bytes();
        if deflated {
            bytes = record::inflate(&bytes, self.inflated)?;
        }
        let records = record::split(&bytes)?;
        let first = nearest(self.received(document), position);
        let known = self.offer(document, first, records.len(), now);
        let skip = known.unwrap_or(records.len());
        let mut records = records.into_iter();
        records.by_ref().take(skip).for_each(drop);
        Ok(Incoming { records, position: first + skip as u64 })
    }

    /// The next record's entry, to be let in and given to [`Self::settle`] before this is called
    /// again. Nothing when none is left, or when one cannot be read: it is asked for in full then.
    pub fn unpack(
        &mut self,
        log: &ChangeLog,
        incoming: &mut Incoming,
        now: Time,
    ) -> Option<Unpacked> {
        if self.is_behind(log.document()) {
            // What was wanted in full is nothing any more.
            self.stream_mut(log.document()).wants_full = false;
            return incoming.follows().map(Unpacked::apart);
        }
        let record = incoming.records.next()?;
        let stream = self.stream_mut(log.document());
        let unpacked = if stream.wants_full && record.kind() == Kind::Stripped {
            Err(DeltaError::Absent)
        } else {
            stream.unpacker.next(log, &stream.order, &record)
        };
        match unpacked {
            Ok(unpacked) => {
                stream.wants_full = false;
                incoming.position += 1;
                Some(unpacked)
            }
            Err(error) => {
                tracing::debug!(%error, position = incoming.position, "wanted in full");
                stream.wants_full = true;
                stream.intake.refuse(incoming.position);
                stream.acknowledge_by = Some(now);
                incoming.records.by_ref().for_each(drop);
                None
            }
        }
    }

    /// What [`Self::unpack`] gave is in the log.
    pub fn settle(&mut self, log: &ChangeLog, unpacked: Unpacked) {
        if self.side == Side::Member {
            let order = &mut self.stream_mut(log.document()).order;
            unpacked.place(log, order);
            order.forget(order.end());
        }
    }

    /// Takes entries as come. Returns how many came before; nothing if there is a gap.
    fn offer(
        &mut self,
        document: DocumentId,
        first: u64,
        count: usize,
        now: Time,
    ) -> Option<usize> {
        let (after, at) = (self.acknowledge_after, self.acknowledge_at);
        let stream = self.stream_mut(document);
        let known = stream.intake.offer(first, count);
        let due = known.is_none() || stream.intake.next() - stream.acknowledged >= at;
        let by = if due { now } else { now + after };
        stream.acknowledge_by = Some(stream.acknowledge_by.map_or(by, |before| before.min(by)));
        known
    }

    /// The other side says how far it has come.
    pub fn acknowledge(&mut self, document: DocumentId, received: u64, gap: bool, now: Time) {
        let patience = self.patience;
        let leads = self.side == Side::Relay;
        let stream = self.stream_mut(document);
        if !stream.feed.acknowledge(received, gap, now, patience) {
            return;
        }
        let base = stream.feed.base();
        stream.packer.acknowledge(base);
        if gap {
            stream.packer.go_back(base);
        }
        if leads {
            stream.order.forget(base);
        }
    }

    /// The other side cannot use the entry at a position without all of it.
    pub fn say_in_full(&mut self, document: DocumentId, received: u64, now: Time) {
        let stream = self.stream_mut(document);
        if (stream.feed.base()..stream.feed.end()).contains(&received) {
            let end = stream.feed.base() + stream.feed.len() as u64;
            if stream.packer.say_in_full(received, end) {
                stream.feed.renew();
            }
            self.acknowledge(document, received, true, now);
        }
    }

    /// Acknowledgements that are due.
    pub fn acknowledgements(&mut self, now: Time) -> Vec<Message> {
        let due = DocumentId::ALL.into_iter().filter_map(|document| {
            let stream = &mut self.streams[document.place()];
            stream.acknowledge_by.filter(|by| *by <= now)?;
            stream.acknowledge_by = None;
            let (received, gap) = stream.intake.take_acknowledgement()?;
            stream.acknowledged = received;
            Some(if stream.wants_full {
                Message::InFull { document, received }
            } else {
                Message::Acknowledge { document, received, gap }
            })
        });
        due.collect()
    }

    /// What to say once a second of a document, if all that was sent has arrived.
    #[must_use]
    pub fn comparison(&self, log: &ChangeLog, roster: u32) -> Message {
        let document = log.document();
        let sent = self.streams[document.place()].feed.end();
        Message::Compare { document, epoch: tag(log), sent, digest: log.digest(), roster }
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
        let differs = stream.is_quiet() && digest != log.digest();
        differs.then(|| heads_message(log, true))
    }

    /// The other side said its heads: what they do not cover is sent, unless more is on its way.
    pub fn reconcile(&mut self, log: &ChangeLog, heads: &[Hash]) {
        let equal = log.heads().eq(heads.iter().copied());
        if !equal && self.streams[log.document().place()].is_quiet() {
            // What is known here to be known there is not: nothing is left out that could be.
            for index in log.missing(heads) {
                self.push(log.document(), Token::Repair(index));
            }
            self.push_signatures(log);
        }
    }

    /// How many entries of a document have come.
    #[must_use]
    pub fn received(&self, document: DocumentId) -> u64 {
        self.streams[document.place()].intake.next()
    }

    /// Whether all that was to be sent has arrived.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.streams.iter().all(|stream| stream.feed.is_idle())
    }

    /// Whether frames can be made of a document.
    #[must_use]
    pub fn has_frames(&self, document: DocumentId) -> bool {
        self.streams[document.place()].feed.peek().is_some()
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Time) {
        for stream in &mut self.streams {
            if stream.feed.tick(now) {
                stream.packer.go_back(stream.feed.base());
                tracing::debug!("entries not acknowledged in time, sent again");
            }
        }
    }

    /// When time matters next.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let streams = self.streams.iter();
        let due = |stream: &Stream| [stream.feed.deadline(), stream.acknowledge_by, stream.held_by];
        streams.flat_map(due).flatten().min()
    }

    const fn stream_mut(&mut self, document: DocumentId) -> &mut Stream {
        &mut self.streams[document.place()]
    }
}

/// The heads of a log, to be compared.
#[must_use]
pub fn heads_message(log: &ChangeLog, answer: bool) -> Message {
    let (document, heads) = (log.document(), Heads::of(log.heads()));
    Message::HeadsAre { document, epoch: tag(log), heads, answer }
}

/// The first bytes of a log's epoch.
#[must_use]
pub fn tag(log: &ChangeLog) -> [u8; 4] {
    let mut tag = [0; 4];
    tag.copy_from_slice(&log.scope().epoch().0[..4]);
    tag
}

/// The lane that a message travels on.
#[must_use]
pub const fn lane_of(message: &Message) -> Lane {
    match message {
        // A goodbye must not overtake what was written before it.
        Message::Changes { .. }
        | Message::Deltas { .. }
        | Message::Bundle { .. }
        | Message::Leave => Lane::Document,
        Message::Piece { .. } => Lane::Snapshot,
        Message::State(_) | Message::Cast(_) => Lane::State,
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
        | Message::HeadsAre { .. }
        | Message::InFull { .. }
        | Message::Beat { .. }
        | Message::Revoke { .. }
        | Message::StateWhole(_)
        | Message::StateYield { .. }
        | Message::StateInterest(_)
        | Message::Signal(_)
        | Message::Enter(_)
        | Message::Service(_) => Lane::Control,
    }
}

/// The message of records from a position on.
fn frame(document: DocumentId, first: u64, records: &[Record]) -> Option<Message> {
    if records.is_empty() {
        return None;
    }
    let bytes = record::join(records);
    let position = u16::try_from(first % u64::from(POSITIONS)).unwrap_or_default();
    Some(match record::deflate(&bytes) {
        Some(deflated) => Message::Bundle { document, position, records: Blob::new(deflated)? },
        None => Message::Deltas { document, position, records: Blob::new(bytes)? },
    })
}

/// The position nearest to the one that is expected that a frame may mean.
fn nearest(expected: u64, position: u16) -> u64 {
    let turn = u64::from(POSITIONS);
    let ahead = (u64::from(position) + turn - expected % turn) % turn;
    match expected.checked_sub(turn - ahead) {
        Some(behind) if ahead >= turn / 2 => behind,
        _ => expected + ahead,
    }
}
