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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::proto::audio::packet::Level;

    fn packet(sequence: u16, time: u32) -> Packet {
        Packet {
            kind: Kind::Audio,
            first: false,
            level: Level { voice: true, dbov: 20 },
            sequence,
            time,
            epoch: 1,
            previous: None,
            frame: Bytes::from_static(b"frame"),
        }
    }

    fn offer(buffer: &mut JitterBuffer, sequence: u16, time: u32) -> Arrival {
        let packet = packet(sequence, time);
        let arrival = buffer.note(&packet);
        if let Arrival::Fresh { time, .. } = arrival {
            buffer.keep(time, packet);
        }
        arrival
    }

    const fn fresh(time: i64, newest: bool, behind_gap: bool) -> Arrival {
        Arrival::Fresh { time, newest, behind_gap }
    }

    #[test]
    fn numbers_wrap_and_packets_have_an_order() {
        let mut buffer = JitterBuffer::new();
        let (sequence, time) = (u16::MAX - 1, u32::MAX - 1_000);
        for (step, expected) in [
            (0, fresh(0, true, false)),
            (1, fresh(960, true, false)),
            (3, fresh(2_880, true, true)),
            (2, fresh(1_920, false, false)),
            (4, fresh(3_840, true, false)),
        ] {
            let time = time.wrapping_add(u32::from(step) * 960);
            assert_eq!(offer(&mut buffer, sequence.wrapping_add(step), time), expected);
        }
        assert_eq!(buffer.sent_time(3_840), time.wrapping_add(3_840));
        let times: Vec<_> = std::iter::from_fn(|| buffer.take()).map(|entry| entry.time).collect();
        assert_eq!(times, [0, 960, 1_920, 2_880, 3_840]);
    }

    #[test]
    fn a_packet_counts_once_and_not_when_it_is_too_old() {
        let mut buffer = JitterBuffer::new();
        offer(&mut buffer, 100, 960_000);
        offer(&mut buffer, 200, 960_000 + 100 * 960);
        assert_eq!(offer(&mut buffer, 200, 960_000 + 100 * 960), Arrival::Duplicate);
        assert_eq!(offer(&mut buffer, 137, 960_000 + 37 * 960), fresh(37 * 960, false, false));
        assert_eq!(offer(&mut buffer, 137, 960_000 + 37 * 960), Arrival::Duplicate);
        assert_eq!(offer(&mut buffer, 136, 960_000 + 36 * 960), Arrival::Old);
    }

    #[test]
    fn time_that_contradicts_the_order_begins_anew_or_does_not_count() {
        let mut buffer = JitterBuffer::new();
        offer(&mut buffer, 100, 960_000);
        assert_eq!(offer(&mut buffer, 99, 961_000), Arrival::Old);
        assert_eq!(offer(&mut buffer, 101, 959_000), Arrival::Restart);
        // So many were lost that the sequence seems to go back.
        assert_eq!(offer(&mut buffer, 40_000, 960_000 + 40_000 * 960), Arrival::Restart);
    }

    #[test]
    fn what_is_full_drops_the_oldest() {
        let mut buffer = JitterBuffer::new();
        for at in 0..200_u16 {
            offer(&mut buffer, at, u32::from(at) * 960);
        }
        assert_eq!(buffer.waiting(), CAPACITY);
        assert_eq!(buffer.first().map(|entry| entry.time), Some(72 * 960));
    }

    #[test]
    fn a_stream_that_is_over_begins_nothing() {
        let mut buffer = JitterBuffer::new();
        offer(&mut buffer, 1, 960);
        let next = Packet { epoch: 2, ..packet(900, 7) };
        assert_eq!(buffer.note(&next), Arrival::Restart);
        buffer.clear(2);
        assert_eq!(buffer.note(&next), fresh(0, true, false));
        assert_eq!(offer(&mut buffer, 2, 1_920), Arrival::Old);
    }
}
