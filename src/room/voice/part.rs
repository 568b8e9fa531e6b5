//! One stream as it is heard: what a device's thread plays of it, and what the room keeps of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rtrb::{Consumer, Producer, RingBuffer};

use crate::audio::codec::Decoder;
use crate::audio::mixer::{Gain, Mixer};
use crate::audio::playout::Playout;
use crate::audio::playout::config::PlayoutConfig;
use crate::audio::playout::statistics::PlayoutStatistics;
use crate::audio::{BLOCK, FRAME};
use crate::net::{Arrivals, Clock, Ear, VoiceDesk};
use crate::proto::audio::packet::{Level, Packet};
use crate::proto::audio::stream::{StreamName, Topic};
use crate::proto::id::PeerId;
use crate::proto::time::Time;

/// Blocks between two words of a stream's statistics to the room, 100 ms of sound.
const TOLD_EVERY: u8 = 10;

/// Words of statistics that wait for the room, 1.6 s of them. Of more the newest are thrown away.
const TOLD: usize = 16;

/// What both ends know.
#[derive(Debug)]
struct Line {
    /// Whether the stream is open.
    open: AtomicBool,
    /// How loud its member is to be, the bits of an `f32`.
    gain: AtomicU32,
}

/// The end on a device's thread.
pub(super) struct Part {
    pub(super) name: StreamName,
    line: Arc<Line>,
    arrivals: Arrivals,
    playout: Playout,
    clock: Clock,
    gain: Gain,
    /// How loud it is beside what the room says of its member.
    own: Gain,
    level: Option<Level>,
    told: Producer<PlayoutStatistics>,
    blocks: u8,
    /// Whether the next block is its last, and fades out.
    pub(super) ends: bool,
    /// Whether it has played its last block.
    pub(super) over: bool,
}

/// The end at the room.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) peer: PeerId,
    line: Arc<Line>,
    told: Consumer<PlayoutStatistics>,
    latest: PlayoutStatistics,
    /// As of the last report of losses.
    reported: PlayoutStatistics,
    ear: Place,
}

/// Where the ear of a stream is.
#[derive(Debug)]
enum Place {
    /// At the desk, while the stream is open.
    Desk(Topic),
    /// Here, until it is opened again. Nothing, while it changes places.
    Here(Option<Ear>),
}

/// Both ends of a stream, of whose packets at most `waiting` wait to be played.
pub(super) fn part(
    name: StreamName,
    peer: PeerId,
    (config, decoder): (PlayoutConfig, Box<dyn Decoder>),
    waiting: usize,
    clock: Clock,
) -> (Part, Kept) {
    let line = Line { open: AtomicBool::new(false), gain: AtomicU32::new(1.0_f32.to_bits()) };
    let line = Arc::new(line);
    let (ear, arrivals) = Ear::ring(waiting);
    let (told, words) = RingBuffer::new(TOLD);
    let kept = Kept {
        peer,
        line: Arc::clone(&line),
        told: words,
        latest: PlayoutStatistics::default(),
        reported: PlayoutStatistics::default(),
        ear: Place::Here(Some(ear)),
    };
    let playout = Playout::new(config, decoder);
    let part = Part {
        name,
        line,
        arrivals,
        playout,
        clock,
        gain: Gain::default(),
        own: Gain::default(),
        level: None,
        told,
        blocks: 0,
        ends: false,
        over: false,
    };
    (part, kept)
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Part {
    /// Adds the next block to what is mixed, as of the time that a clock shows. Never waits, locks,
    /// allocates or frees, but for what the decoder does.
    pub(super) fn play(&mut self, mixer: &mut Mixer, time: impl Fn(&Clock) -> Time) {
        while let Some(arrival) = self.arrivals.pop() {
            if let Ok(packet) = Packet::read(arrival.packet().clone()) {
                self.level = Some(packet.level);
                self.playout.on_packet(arrival.at, packet);
            }
        }
        let mut block = [0.0; BLOCK];
        self.playout.pull(time(&self.clock), &mut block);
        let member = f32::from_bits(self.line.gain.load(Ordering::Relaxed));
        self.gain.set(if self.ends { 0.0 } else { member * self.own.get() });
        mixer.add(&block, &mut self.gain);
        self.over = self.ends;
        self.blocks += 1;
        if self.blocks == TOLD_EVERY {
            self.blocks = 0;
            // While the room stands still it is told nothing.
            self.told.push(self.playout.statistics()).ok();
        }
    }

    pub(super) const fn set_gain(&mut self, gain: f32) {
        self.own.set(gain);
    }

    pub(super) const fn level(&self) -> Option<Level> {
        self.level
    }

    pub(super) fn statistics(&self) -> PlayoutStatistics {
        self.playout.statistics()
    }

    pub(super) fn missed(&self) -> u64 {
        self.arrivals.missed()
    }

    pub(super) fn is_open(&self) -> bool {
        self.line.open.load(Ordering::Relaxed)
    }
}

impl Kept {
    /// Whether nobody plays it any more.
    pub(super) fn is_over(&self) -> bool {
        self.told.is_abandoned()
    }

    /// The stream's packets go to a topic from now on, or nowhere.
    pub(super) fn follow(&mut self, topic: Option<Topic>, desk: &VoiceDesk) {
        let before = match &mut self.ear {
            Place::Desk(before) if Some(*before) == topic => return,
            Place::Desk(before) => desk.stop(*before),
            Place::Here(ear) => ear.take(),
        };
        self.line.open.store(topic.is_some(), Ordering::Relaxed);
        self.ear = match (before, topic) {
            (Some(ear), Some(topic)) => {
                desk.listen(topic, ear);
                Place::Desk(topic)
            }
            (ear, _) => Place::Here(ear),
        };
    }

    /// Takes the ear away: another is to hear the stream, or nobody.
    pub(super) fn end(mut self, desk: &VoiceDesk) -> Option<Ear> {
        self.follow(None, desk);
        match self.ear {
            Place::Here(ear) => ear,
            Place::Desk(_) => None,
        }
    }

    /// How loud the stream's member is to be.
    pub(super) fn set_gain(&self, gain: f32) {
        self.line.gain.store(gain.to_bits(), Ordering::Relaxed);
    }

    /// Takes what the other end has told.
    pub(super) fn refresh(&mut self) {
        while let Ok(latest) = self.told.pop() {
            self.latest = latest;
        }
    }

    pub(super) const fn statistics(&self) -> PlayoutStatistics {
        self.latest
    }

    /// How many of a hundred frames did not come in time since this was asked last, rounded up;
    /// nothing, if none was to come.
    pub(super) fn loss(&mut self) -> Option<u8> {
        let played = self.latest.voice.saturating_sub(self.reported.voice) / FRAME as u64;
        let lost = self.latest.lost.saturating_sub(self.reported.lost);
        if played > 0 {
            self.reported = self.latest;
        }
        let share = (lost * 100).div_ceil(played.max(1)).min(100);
        (played > 0).then_some(u8::try_from(share).unwrap_or(100))
    }
}
