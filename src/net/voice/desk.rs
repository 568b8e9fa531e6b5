//! Where a peer's packets of voice come and go, past its machine.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rtrb::{Consumer, Producer, RingBuffer};
use tokio::sync::mpsc;

use crate::net::voice::Outgoing;
use crate::proto::audio::packet::{Level, Packet};
use crate::proto::audio::stream::Topic;
use crate::proto::time::Time;

/// A packet that came, and when.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When it came, by the clock of its [`Carrier`](crate::net::Carrier::clock).
    pub at: Time,
    packet: Bytes,
}

impl Arrival {
    /// Bytes of the longest packet that is delivered.
    pub const LONGEST: usize = 1012;

    /// The packet: undecoded bytes from a stranger.
    #[must_use]
    pub const fn packet(&self) -> &Bytes {
        &self.packet
    }
}

/// How many packets an ear remembers beside those of its ring: as many as may wait in a
/// playout and be dropped there.
const REMEMBERED: usize = 256;

/// What puts packets of one topic into a ring, from which its [`Arrivals`] take them.
#[derive(Debug)]
pub struct Ear {
    ring: Producer<Arrival>,
    missed: Arc<AtomicU64>,
    /// The last packets: as long as they are here, nobody else frees one.
    last: VecDeque<Bytes>,
    most: usize,
}

/// Packets of one topic, in the order in which they came. Made for an audio callback: nothing here
/// waits, locks, allocates or frees, as long as what is taken is dropped before 256 others are.
#[derive(Debug)]
pub struct Arrivals {
    ring: Consumer<Arrival>,
    missed: Arc<AtomicU64>,
}

impl Ear {
    /// Both ends of a ring of `packets`, of 1 KiB each.
    #[must_use]
    pub fn ring(packets: usize) -> (Self, Arrivals) {
        let (producer, consumer) = RingBuffer::new(packets);
        let missed = Arc::new(AtomicU64::new(0));
        let (last, most) = (VecDeque::new(), packets.saturating_add(REMEMBERED));
        let ear = Self { ring: producer, missed: Arc::clone(&missed), last, most };
        (ear, Arrivals { ring: consumer, missed })
    }

    fn hear(&mut self, packet: &[u8], at: Time) {
        let arrival = Arrival { at, packet: Bytes::copy_from_slice(packet) };
        let kept = arrival.packet.clone();
        if packet.len() > Arrival::LONGEST || self.ring.push(arrival).is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if self.last.len() >= self.most {
            self.last.pop_front();
        }
        self.last.push_back(kept);
    }
}

impl Arrivals {
    /// The next packet, if there is one.
    pub fn pop(&mut self) -> Option<Arrival> {
        self.ring.pop().ok()
    }

    /// How many packets were thrown away because the ring was full, or they were too long.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }
}

/// How loud a packet was that came, whether anybody listens to it or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loudness {
    /// When it came, by the clock of its [`Carrier`](crate::net::Carrier::clock).
    pub at: Time,
    /// Of which topic it is.
    pub topic: Topic,
    /// What its header says; nothing was decoded.
    pub level: Level,
}

/// How loud the packets of all topics are, in the order in which they came.
#[derive(Debug)]
pub struct Watch(Consumer<Loudness>);

impl Watch {
    /// The next, if there is one.
    pub fn pop(&mut self) -> Option<Loudness> {
        self.0.pop().ok()
    }
}

/// Who listens.
#[derive(Debug, Default)]
struct Ears {
    open: HashMap<Topic, Ear>,
    /// Who watches how loud it is.
    watch: Option<Producer<Loudness>>,
}

impl Ears {
    /// Forgets who does not listen any more.
    fn tidy(&mut self) {
        self.open.retain(|_, ear| !ear.ring.is_abandoned());
    }

    fn note(&mut self, topic: Topic, packet: &[u8], at: Time) {
        let Some(watch) = self.watch.as_mut().filter(|watch| !watch.is_full()) else { return };
        if let Ok(Packet { level, .. }) = Packet::read(Bytes::copy_from_slice(packet)) {
            // It has room: only this end fills it.
            watch.push(Loudness { at, topic, level }).ok();
        }
    }
}

/// Where the packets of a peer's streams are handed over and those of others are had. They do not wait
/// for the application to drive its room. Copies are the same desk.
///
/// Which topics are heard, and which are spoken on, is for the machine to say
/// ([`Effect::Tune`](crate::proto::event::Effect::Tune)): what comes of others or goes to others is
/// thrown away.
#[derive(Clone, Debug)]
pub struct VoiceDesk {
    ears: Arc<Mutex<Ears>>,
    outgoing: mpsc::Sender<Outgoing>,
    unsaid: Arc<AtomicU64>,
}

impl VoiceDesk {
    pub(crate) fn new(outgoing: mpsc::Sender<Outgoing>) -> Self {
        Self { ears: Arc::default(), outgoing, unsaid: Arc::default() }
    }

    /// From now on packets of a topic go to `ear`, and no more to one that was given before. Ends when
    /// the ear's [`Arrivals`] are dropped.
    pub fn listen(&self, topic: Topic, ear: Ear) {
        let mut ears = self.ears();
        ears.tidy();
        ears.open.insert(topic, ear);
    }

    /// The ear of a topic, which hears nothing of it any more.
    #[must_use]
    pub fn stop(&self, topic: Topic) -> Option<Ear> {
        self.ears().open.remove(&topic)
    }

    /// How loud what comes is, from now on. At most `waiting` packets wait to be looked at: of more the
    /// newest are not known of. Who asked before is told nothing any more.
    #[must_use]
    pub fn watch(&self, waiting: usize) -> Watch {
        let (producer, consumer) = RingBuffer::new(waiting);
        self.ears().watch = Some(producer);
        Watch(consumer)
    }

    /// Hands over a packet for a topic of this peer's own; false, if too many wait already: it is thrown
    /// away and counted. That it was taken does not mean that it will be heard. Never waits.
    #[must_use]
    pub fn speak(&self, topic: Topic, packet: Bytes) -> bool {
        let is_taken = self.outgoing.try_send(Outgoing::Publish { topic, packet }).is_ok();
        if !is_taken {
            self.unsaid.fetch_add(1, Ordering::Relaxed);
        }
        is_taken
    }

    /// How many packets were not taken.
    #[must_use]
    pub fn unsaid(&self) -> u64 {
        self.unsaid.load(Ordering::Relaxed)
    }

    /// A packet came that is to be had.
    pub(crate) fn deliver(&self, topic: Topic, packet: &[u8], at: Time) {
        let mut ears = self.ears();
        ears.note(topic, packet, at);
        if let Some(ear) = ears.open.get_mut(&topic) {
            ear.hear(packet, at);
        }
    }

    fn ears(&self) -> MutexGuard<'_, Ears> {
        // Nothing that can panic is done while it is locked.
        self.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::audio::packet::Kind;

    fn topic(byte: u8) -> Topic {
        Topic::new([byte; 5])
    }

    fn desk(room: usize) -> (VoiceDesk, mpsc::Receiver<Outgoing>) {
        let (outgoing, taken) = mpsc::channel(room);
        (VoiceDesk::new(outgoing), taken)
    }

    #[test]
    fn what_a_full_ring_has_no_room_for_is_counted_and_what_is_in_it_stays() {
        let (desk, _taken) = desk(1);
        let (ear, mut arrivals) = Ear::ring(2);
        desk.listen(topic(1), ear);
        let at = Time::from_micros(7);
        desk.deliver(topic(1), &[1], at);
        desk.deliver(topic(2), &[2], at);
        desk.deliver(topic(1), &[0; Arrival::LONGEST + 1], at);
        desk.deliver(topic(1), &[3; Arrival::LONGEST], at);
        desk.deliver(topic(1), &[4], at);
        assert_eq!(arrivals.missed(), 2);
        let first = arrivals.pop().unwrap();
        assert_eq!((&first.packet()[..], first.at), (&[1][..], at));
        assert_eq!(arrivals.pop().unwrap().packet()[..], [3; Arrival::LONGEST]);
        assert!(arrivals.pop().is_none());
    }

    #[test]
    fn who_does_not_listen_any_more_is_forgotten() {
        let (desk, _taken) = desk(1);
        let (ear, arrivals) = Ear::ring(1);
        desk.listen(topic(1), ear);
        drop(arrivals);
        let (ear, _arrivals) = Ear::ring(1);
        desk.listen(topic(2), ear);
        assert_eq!(desk.ears().open.len(), 1);
    }

    #[test]
    fn who_stops_hears_a_topic_no_more_and_may_hear_another() {
        let (desk, _taken) = desk(1);
        let (ear, mut arrivals) = Ear::ring(4);
        desk.listen(topic(1), ear);
        let ear = desk.stop(topic(1)).unwrap();
        assert!(desk.stop(topic(1)).is_none());
        desk.deliver(topic(1), &[1], Time::ZERO);
        desk.listen(topic(2), ear);
        desk.deliver(topic(2), &[2], Time::ZERO);
        assert_eq!(arrivals.pop().unwrap().packet()[..], [2]);
        assert!(arrivals.pop().is_none());
    }

    #[test]
    fn how_loud_it_is_is_known_whether_anybody_listens_or_not() {
        let (desk, _taken) = desk(1);
        let packet = |dbov| {
            let level = Level { voice: true, dbov };
            let (frame, previous) = (Bytes::from_static(b"frame"), None);
            let (first, sequence, time, epoch) = (true, 1, 2, 3);
            Packet { kind: Kind::Audio, first, level, sequence, time, epoch, previous, frame }
        };
        desk.deliver(topic(1), &packet(9).write(), Time::ZERO);
        let mut watch = desk.watch(2);
        let at = Time::from_micros(7);
        for dbov in [20, 30, 40] {
            desk.deliver(topic(1), &packet(dbov).write(), at);
            desk.deliver(topic(1), b"no packet", at);
        }
        let known: Vec<_> = std::iter::from_fn(|| watch.pop()).collect();
        let loud = |dbov| Loudness { at, topic: topic(1), level: Level { voice: true, dbov } };
        assert_eq!(known, [loud(20), loud(30)], "the newest had no room");
    }

    #[test]
    fn what_the_network_has_no_room_for_is_not_taken() {
        let (desk, mut taken) = desk(1);
        assert!(desk.speak(topic(1), Bytes::from_static(b"one")));
        assert!(!desk.speak(topic(1), Bytes::from_static(b"two")));
        assert_eq!(desk.unsaid(), 1);
        assert!(matches!(
            taken.try_recv(),
            Ok(Outgoing::Publish { packet, .. }) if &packet[..] == b"one"
        ));
    }
}
