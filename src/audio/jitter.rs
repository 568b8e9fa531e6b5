//! Packets in the order in which they were sent, whatever the order in which they came.

use crate::proto::audio::packet::{Kind, Packet};

/// How many packets are kept, 2.56 s of voice. One more drops the oldest.
pub(crate) const CAPACITY: usize = 128;

/// How far behind the newest sequence a packet may be.
const REPLAYS: i64 = 64;

/// Media times that are farther apart than this, against all that their sequences say, are of another
/// beginning: 2 s.
pub(crate) const FAR: i64 = 96_000;

/// What is to be made of a packet that came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arrival {
    /// It counts.
    Fresh {
        /// Its media time, counted on where 32 bits are not enough.
        time: i64,
        /// Whether it is newer than all before.
        newest: bool,
        /// Whether the packet before it has not come.
        behind_gap: bool,
    },
    /// It came before.
    Duplicate,
    /// It is too far behind, or of a stream that is over.
    Old,
    /// Another stream begins with it, or this one anew.
    Restart,
}

/// A packet that waits.
#[derive(Debug)]
pub(crate) struct Entry {
    sequence: i64,
    pub(crate) time: i64,
    pub(crate) packet: Packet,
}

/// The newest packet that came.
#[derive(Clone, Copy, Debug)]
struct Newest {
    sequence: i64,
    time: i64,
    /// As it stood in the packet.
    sent: (u16, u32),
}

/// Packets of one stream that wait to be played.
#[derive(Debug)]
pub(crate) struct JitterBuffer {
    epoch: Option<u32>,
    /// The epoch before this one: what comes of it late begins nothing.
    former: Option<u32>,
    newest: Option<Newest>,
    /// Which of the last sequences came; the lowest bit is the newest.
    seen: u64,
    entries: Box<[Option<Entry>]>,
}

impl JitterBuffer {
    pub(crate) fn new() -> Self {
        let entries = (0..CAPACITY).map(|_| None).collect();
        Self { epoch: None, former: None, newest: None, seen: 0, entries }
    }

    /// Takes note of a packet.
    pub(crate) fn note(&mut self, packet: &Packet) -> Arrival {
        let sent = (packet.sequence, packet.time);
        if self.epoch != Some(packet.epoch) && self.former == Some(packet.epoch) {
            return Arrival::Old;
        }
        let Some(newest) = self.newest.filter(|_| self.epoch == Some(packet.epoch)) else {
            if self.newest.is_some() {
                return Arrival::Restart;
            }
            self.epoch = Some(packet.epoch);
            self.newest = Some(Newest { sequence: 0, time: 0, sent });
            self.seen = 1;
            return Arrival::Fresh { time: 0, newest: true, behind_gap: false };
        };
        let step = i64::from(sent.0.wrapping_sub(newest.sent.0).cast_signed());
        let later = i64::from(sent.1.wrapping_sub(newest.sent.1).cast_signed());
        let time = newest.time + later;
        if step > 0 {
            if later < 0 {
                return Arrival::Restart;
            }
            self.seen =
                u32::try_from(step).ok().and_then(|step| self.seen.checked_shl(step)).unwrap_or(0)
                    | 1;
            self.newest = Some(Newest { sequence: newest.sequence + step, time, sent });
        } else if step <= -REPLAYS || later > 0 {
            // Nothing can have been sent before another and be of a later time.
            return if later > FAR { Arrival::Restart } else { Arrival::Old };
        } else {
            let bit = 1 << -step;
            if self.seen & bit != 0 {
                return Arrival::Duplicate;
            }
            self.seen |= bit;
        }
        let before = 1 - step.min(0);
        let behind_gap = before < REPLAYS && self.seen & 1 << before == 0;
        Arrival::Fresh { time, newest: step > 0, behind_gap }
    }

    /// Keeps a packet that was noted just now. Returns whether another had to go.
    pub(crate) fn keep(&mut self, time: i64, packet: Packet) -> bool {
        let Some(newest) = self.newest.filter(|_| packet.kind == Kind::Audio) else { return false };
        let step = i64::from(packet.sequence.wrapping_sub(newest.sent.0).cast_signed());
        let sequence = newest.sequence + step;
        let place = sequence.rem_euclid(CAPACITY as i64);
        let place = usize::try_from(place).unwrap_or(0);
        let entry = Entry { sequence, time, packet };
        self.entries[place].replace(entry).is_some()
    }

    /// A media time as it stands in packets.
    pub(crate) fn sent_time(&self, time: i64) -> u32 {
        let later = self.newest.map_or(0, |newest| time - newest.time).rem_euclid(1 << 32);
        let sent = self.newest.map_or(0, |newest| newest.sent.1);
        sent.wrapping_add(u32::try_from(later).unwrap_or(0))
    }

    /// The packet that was sent first of those that wait.
    pub(crate) fn first(&self) -> Option<&Entry> {
        self.entries.iter().flatten().min_by_key(|entry| entry.sequence)
    }

    /// Takes that packet out.
    pub(crate) fn take(&mut self) -> Option<Entry> {
        let waiting = self.entries.iter_mut().filter(|entry| entry.is_some());
        waiting.min_by_key(|entry| entry.as_ref().map(|entry| entry.sequence))?.take()
    }

    /// Forgets everything but which stream this was.
    pub(crate) fn clear(&mut self, epoch: u32) {
        if self.epoch != Some(epoch) {
            self.former = self.epoch;
        }
        self.epoch = None;
        self.newest = None;
        self.seen = 0;
        self.entries.fill_with(|| None);
    }

    /// How many packets wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.entries.iter().flatten().count()
    }
}
