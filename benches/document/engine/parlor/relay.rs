//! A relay between members, as far as it has to do with entries: its logs, and its end of every link.

use std::collections::BTreeMap;
use std::time::Duration;

use parlor::Limits;
use parlor::proto::delta::{Member, Token};
use parlor::proto::document::admit;
use parlor::proto::id::DocumentId;
use parlor::proto::lane::{DocumentLane, Side};
use parlor::proto::log::{ChangeLog, Index};
use parlor::proto::time::Time;
use parlor::proto::wire::message::Message;
use parlor::proto::wire::{self, MAX_FRAME};

use super::{introduction, records, scope};
use crate::engine::{Exchange, Outcome};

/// How far apart what is taken counts as, for what a lane holds back for a while.
const TICK: Duration = Duration::from_millis(50);

/// The relay of one room.
pub(crate) struct Relay {
    logs: [ChangeLog; 2],
    guests: BTreeMap<usize, Guest>,
    now: Time,
}

/// The relay's end of a link.
struct Guest {
    lane: DocumentLane,
    members: [Member; 2],
    listens: bool,
}

impl Guest {
    fn new(number: usize, logs: &[ChangeLog; 2]) -> Self {
        let mut lane = DocumentLane::new(&Limits::default(), Side::Relay);
        let introduction = introduction(number);
        let members = [0, 1].map(|document: usize| {
            let actor = logs[document].scope().actor(&introduction);
            Member { introduction, actor }
        });
        for (document, member) in DocumentId::ALL.into_iter().zip(members) {
            lane.set_member(document, member);
        }
        Self { lane, members, listens: false }
    }
}

impl Relay {
    /// Passes an entry on; to its author only that it has its place.
    fn forward(&mut self, document: DocumentId, from: usize, index: Index) {
        let place = place(document);
        let actor = self.logs[place].entry(index).map(|entry| entry.actor);
        for (number, guest) in self.guests.iter_mut().filter(|(_, guest)| guest.listens) {
            let own = *number == from && actor == Some(guest.members[place].actor);
            let token = if own { Token::Placed(index) } else { Token::Change(index) };
            guest.lane.push(document, token);
        }
    }
}

impl Exchange for Relay {
    fn new() -> Outcome<Self> {
        let scope = scope()?;
        let log = |document| ChangeLog::new(scope.clone(), document, Limits::default());
        Ok(Self { logs: DocumentId::ALL.map(log), guests: BTreeMap::new(), now: Time::ZERO })
    }

    fn listen(&mut self, number: usize) -> Outcome<()> {
        let guest = self.guests.entry(number).or_insert_with(|| Guest::new(number, &self.logs));
        guest.listens = true;
        for log in &self.logs {
            guest.lane.push_missing(log, &[]);
        }
        Ok(())
    }

    fn take(&mut self, from: usize, messages: &[Vec<u8>]) -> Outcome<()> {
        self.now += TICK;
        for message in messages {
            let message = wire::decode(message, MAX_FRAME)?;
            let (document, bytes, position, deflated) = records(&message)?;
            let guest = self.guests.entry(from).or_insert_with(|| Guest::new(from, &self.logs));
            let log = &mut self.logs[place(document)];
            let mut incoming = guest.lane.open(document, (position, bytes), deflated, self.now)?;
            let mut news = Vec::new();
            while let Some(unpacked) = guest.lane.unpack(log, &mut incoming, self.now) {
                if let Some(entry) = &unpacked.entry
                    && let Some(admitted) = admit(log, entry)?
                {
                    news.push(admitted.index);
                }
            }
            news.into_iter().for_each(|index| self.forward(document, from, index));
        }
        Ok(())
    }

    fn give(&mut self, to: usize) -> Outcome<Vec<Vec<u8>>> {
        let guest = self.guests.get_mut(&to).ok_or("nobody listens there")?;
        let mut frames = Vec::new();
        for log in &self.logs {
            // What was given before has arrived by now.
            if let Message::Compare { document, sent, .. } = guest.lane.comparison(log, 0) {
                guest.lane.acknowledge(document, sent, false, self.now);
            }
            while let Some(message) = guest.lane.next_frame(log, None, self.now) {
                frames.push(wire::encode(&message).into());
            }
        }
        Ok(frames)
    }

    fn rest(&mut self) {
        self.now += Duration::from_secs(1);
    }
}

fn place(document: DocumentId) -> usize {
    usize::from(document == DocumentId::TEXTS)
}
