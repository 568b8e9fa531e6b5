//! How loud everybody is, and who speaks: by what packets say of themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use super::heard::is_heard;
use super::input::Own;
use super::service::VoiceOptions;
use crate::audio::level::{MIN_REPORT, under_overload};
use crate::audio::speakers::{Change, Speakers};
use crate::net::{Carrier, Clock, VoiceDesk, Watch};
use crate::proto::audio::packet::Level;
use crate::proto::audio::stream::{Stream, StreamName, Topic};
use crate::proto::event::voice::{StreamLevel, VoiceEvent};
use crate::proto::id::PeerId;
use crate::proto::peer::Peer;
use crate::proto::time::Time;

/// The meters of one network.
#[derive(Debug)]
pub(super) struct Meters {
    watch: Watch,
    clock: Clock,
    /// Whose the topics of this network are.
    topics: BTreeMap<Topic, StreamName>,
    speakers: Speakers<StreamName>,
    /// Who was said to speak.
    speaking: BTreeMap<StreamName, PeerId>,
    sums: BTreeMap<StreamName, Sum>,
    every: Duration,
    due: Time,
}

/// What was heard of a stream since the last report.
#[derive(Clone, Copy, Debug)]
struct Sum {
    peer: PeerId,
    /// Of mean powers; 1 is the loudest square wave.
    power: f32,
    packets: u16,
    voice: bool,
}

impl Sum {
    fn add(&mut self, level: Level) {
        self.power += 10.0_f32.powf(-f32::from(level.dbov) / 10.0);
        self.packets = self.packets.saturating_add(1);
        self.voice |= level.voice;
    }

    fn level(self) -> Level {
        let mean = self.power / f32::from(self.packets);
        Level { voice: self.voice, dbov: under_overload(10.0 * mean.log10()) }
    }
}

impl Meters {
    pub(super) fn new(carrier: &Carrier, options: &VoiceOptions) -> Self {
        Self::at(&carrier.voice(), carrier.clock(), options)
    }

    /// Those of a desk, by a clock.
    fn at(desk: &VoiceDesk, clock: Clock, options: &VoiceOptions) -> Self {
        let every = options.levels;
        Self {
            watch: desk.watch(options.watched),
            clock,
            topics: BTreeMap::new(),
            speakers: Speakers::new(options.speakers.clone()),
            speaking: BTreeMap::new(),
            sums: BTreeMap::new(),
            every: if every.is_zero() { every } else { every.max(MIN_REPORT) },
            due: Time::ZERO,
        }
    }

    /// They are over: whoever was said to speak does not any more.
    pub(super) fn end(self) -> impl Iterator<Item = VoiceEvent> {
        let speaking = false;
        let stopped = self.speaking.into_iter();
        stopped.map(move |(name, peer)| VoiceEvent::Speaking { name, peer, speaking })
    }

    /// Streams may have been opened or closed.
    pub(super) fn sync(&mut self, peer: &Peer) {
        let own = |stream: &Stream| stream.peer == peer.peer();
        let counts = peer.streams().filter(|stream| own(stream) || is_heard(peer, stream));
        self.topics = counts.map(|stream| (stream.topic, stream.name)).collect();
    }

    /// In how long there may be something to tell: of who speaks also if levels are not told of.
    pub(super) fn due(&self) -> Option<Duration> {
        (!self.topics.is_empty()).then(|| self.due - self.clock.now())
    }

    /// Takes what came, and says what there is to tell.
    pub(super) fn tick(&mut self, peer: &Peer, inputs: &mut BTreeMap<u8, Own>) -> Vec<VoiceEvent> {
        let now = self.clock.now();
        while let Some(loud) = self.watch.pop() {
            if let Some(name) = self.topics.get(&loud.topic).copied() {
                self.hear(peer, inputs, name, (loud.at, loud.level));
            }
        }
        let numbers: Vec<u8> = inputs.keys().copied().collect();
        for number in numbers {
            let Some(name) = peer.live_stream(number).map(|stream| stream.name) else { continue };
            while let Some(level) = inputs.get_mut(&number).and_then(Own::pop_level) {
                self.hear(peer, inputs, name, (now, level));
            }
        }
        let gone: Vec<_> =
            self.speaking.keys().filter(|name| owner(peer, inputs, **name).is_none()).collect();
        for name in gone {
            self.speakers.remove(name);
        }
        self.sums.retain(|name, _| owner(peer, inputs, *name).is_some());
        let mut told = Vec::new();
        for change in self.speakers.tick(now) {
            told.extend(self.change(peer, inputs, change));
        }
        told.extend(self.report(now));
        told
    }

    /// Something of a stream came.
    fn hear(
        &mut self,
        peer: &Peer,
        inputs: &BTreeMap<u8, Own>,
        name: StreamName,
        (at, level): (Time, Level),
    ) {
        let Some(whose) = owner(peer, inputs, name) else { return };
        self.speakers.observe(at, &name, level);
        if !self.every.is_zero() {
            let none = Sum { peer: whose, power: 0.0, packets: 0, voice: false };
            self.sums.entry(name).or_insert(none).add(level);
        }
    }

    fn change(
        &mut self,
        peer: &Peer,
        inputs: &BTreeMap<u8, Own>,
        change: Change<StreamName>,
    ) -> Option<VoiceEvent> {
        let (name, peer, speaking) = match change {
            Change::Started(name) => {
                let whose = owner(peer, inputs, name)?;
                self.speaking.insert(name, whose);
                (name, whose, true)
            }
            Change::Stopped(name) => (name, self.speaking.remove(&name)?, false),
        };
        Some(VoiceEvent::Speaking { name, peer, speaking })
    }

    fn report(&mut self, now: Time) -> Option<VoiceEvent> {
        if now < self.due {
            return None;
        }
        self.due = now + self.every.max(MIN_REPORT);
        let sums = std::mem::take(&mut self.sums);
        let levels: Vec<_> = sums
            .into_iter()
            .map(|(name, sum)| StreamLevel { name, peer: sum.peer, level: sum.level() })
            .collect();
        (!levels.is_empty()).then_some(VoiceEvent::Levels(levels))
    }
}

/// Whose a stream is, if it counts: it is open and nobody has muted or silenced it, and it is this
/// peer's own or heard.
fn owner(peer: &Peer, inputs: &BTreeMap<u8, Own>, name: StreamName) -> Option<PeerId> {
    let stream = peer.stream(name)?;
    let counts = if stream.peer == peer.peer() {
        inputs.get(&name.number).is_some_and(|own| !own.is_muted())
    } else {
        is_heard(peer, stream)
    };
    (counts && !stream.muted && !peer.is_silenced(stream.peer)).then_some(stream.peer)
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::proto::id::ClientNumber;

    #[test]
    fn levels_are_told_of_ten_times_a_second_at_most() {
        for (asked, told) in [(0, 10), (1, 10), (99, 10), (100, 10), (125, 8), (250, 4)] {
            let (outgoing, _taken) = mpsc::channel(1);
            let levels = Duration::from_millis(asked);
            let options = VoiceOptions { levels, ..VoiceOptions::default() };
            let mut meters = Meters::at(&VoiceDesk::new(outgoing), Clock::new(), &options);
            assert_eq!(meters.every.is_zero(), asked == 0, "nothing is summed for 0");
            let name = StreamName { client: ClientNumber(1), number: 0 };
            let sum = Sum { peer: PeerId::new([1; 32]), power: 0.1, packets: 1, voice: true };
            let reports = (1_000..2_000).filter(|ms| {
                meters.sums.insert(name, sum);
                meters.report(Time::from_micros(ms * 1_000)).is_some()
            });
            assert_eq!(reports.count(), told, "{asked} ms");
        }
    }
}
