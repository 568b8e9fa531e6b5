//! Many things that move at once: what shows is what was written at the time of which it is said to be.

use std::time::Duration;

use parlor::proto::config::{PeerConfig, StateConfig};
use parlor::proto::model::handle::{Handle, ModelRef};
use parlor::proto::model::property::vector::Quaternion;
use parlor::proto::time::Time;
use parlor::sim::network::Network;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::stage::{Pose, Stage, seeds};

/// How often is written and said, in a second.
const RATE: u32 = 30;

/// The property that is looked at.
const PLACE: u16 = 2;

/// Microseconds that the time of a frame may be beside when it was said.
const SLACK: u64 = 1_000_000 / RATE as u64 / 256 + 1;

/// A peer that moves many things, and one that looks on, each 10 ms from the relay.
struct Crowd {
    stage: Stage,
    rng: ChaCha12Rng,
    dancers: Vec<ModelRef<Pose>>,
    places: Vec<[f32; 3]>,
    speeds: Vec<[f32; 3]>,
    /// What was written, and what its writer took for the room's time then.
    written: Vec<(u64, Vec<[f32; 3]>)>,
}

impl Crowd {
    fn new(seed: u64, count: usize) -> Self {
        let mut network = Network::LAN;
        network.delay = Duration::from_millis(10);
        let mut stage = Stage::new(seed, Network::LAN, 0);
        let state = StateConfig { rate: RATE, ..StateConfig::default() };
        let config = PeerConfig { state, ..PeerConfig::default() };
        let peers = [config.clone(), config].map(|config| stage.join_as(config));
        assert_eq!(peers, [0, 1]);
        stage.world.run(Duration::from_secs(2));
        let dancers = stage.world.edit(0, |store| {
            let all = store.root::<super::Scene>().unwrap().dancers.clone();
            (0..count).map(|_| all.add(store, Pose::default()).unwrap()).collect::<Vec<_>>()
        });
        let dancers = dancers.unwrap();
        stage.world.set_network(network);
        stage.world.run(Duration::from_secs(2));
        let rng = ChaCha12Rng::seed_from_u64(seed ^ 0x71e5);
        let mut crowd = Self {
            stage,
            rng,
            dancers,
            places: Vec::new(),
            speeds: Vec::new(),
            written: Vec::new(),
        };
        for _ in 0..count {
            let place = [0; 3].map(|_| crowd.between(30.0));
            let speed = [0; 3].map(|_| crowd.between(0.15));
            crowd.places.push(place);
            crowd.speeds.push(speed);
        }
        crowd
    }

    /// A number as far from zero at most.
    fn between(&mut self, most: f32) -> f32 {
        let share = f32::from(u16::try_from(self.rng.next_u32() >> 16).unwrap()) / 65_535.0;
        (share * 2.0 - 1.0) * most
    }

    /// Everything moves on; of so many, one bumps into something.
    fn write(&mut self, bumps: u32) {
        for at in 0..self.dancers.len() {
            if self.rng.next_u32().is_multiple_of(bumps) {
                self.speeds[at] = [0; 3].map(|_| self.between(0.15));
            }
            let speed = self.speeds[at];
            self.places[at].iter_mut().zip(speed).for_each(|(place, speed)| *place += speed);
        }
        let at = self.stage.world.room_time(0).unwrap();
        self.written.push((at, self.places.clone()));
        let all = self.dancers.iter().zip(&self.places);
        let step = f32::from(u16::try_from(self.written.len()).unwrap());
        self.stage.world.edit(0, |store| {
            for (dancer, place) in all {
                // Each turns at a speed of its own, about an axis of its own.
                let half = step * place[0] / 1_500.0;
                let turn = [half.sin(), 0.0, 0.0, half.cos()];
                store
                    .update(dancer, |pose| (pose.at, pose.turn) = (*place, Quaternion(turn)))
                    .unwrap();
            }
        });
    }

    /// How far off anything is that shows, in metres along an axis, from what was written last when it
    /// was said; and how many things are more than two hops' half steps off.
    fn off(&self) -> (f32, usize) {
        let store = self.stage.world.peer(1).store();
        let off = self.dancers.iter().enumerate().map(|(number, dancer)| {
            let Some(moved) = store.moved(dancer.path().unwrap(), PLACE) else { return 0.0 };
            let by = |at: u64| self.written.partition_point(|(written, _)| *written <= at);
            let said = by(moved.at - SLACK).saturating_sub(1)..by(moved.at + SLACK);
            let shown = store.get(dancer).unwrap().at;
            let off = self.written[said].iter().map(|(_, places)| {
                let pairs = shown.iter().zip(places[number]);
                pairs.map(|(shown, meant)| (shown - meant).abs()).fold(0.0, f32::max)
            });
            off.fold(f32::INFINITY, f32::min)
        });
        off.fold((0.0, 0), |(worst, wrong), off| {
            (f32::max(worst, off), wrong + usize::from(off > 0.0101))
        })
    }

    /// Lets time pass, and looks at what shows every millisecond. Returns what was off, by how much at
    /// worst, and how many.
    fn run(&mut self, millis: u64) -> (f32, usize) {
        (0..millis).fold((0.0, 0), |(worst, wrong), _| {
            self.stage.world.run(Duration::from_millis(1));
            let (off, count) = self.off();
            (f32::max(worst, off), wrong.max(count))
        })
    }
}

#[test]
fn what_shows_is_what_was_written_at_its_time() {
    for seed in seeds(4, 100) {
        let mut crowd = Crowd::new(seed, 40);
        for step in 0..150 {
            crowd.write(20);
            // A game's frames are of about that length.
            let millis = 32 + u64::from(crowd.rng.next_u32() % 4);
            let (off, wrong) = crowd.run(millis);
            assert_eq!(wrong, 0, "seed {seed}, step {step}: up to {off} m off");
        }
    }
}

#[test]
fn what_is_too_much_for_a_packet_is_right_soon_and_never_far_off() {
    for seed in seeds(4, 40) {
        let mut crowd = Crowd::new(seed, 250);
        let mut last = 0;
        let mut worst = 0.0;
        for step in 0..60 {
            // Everything moves off at once, up to 15 cm a tick, and nobody could guess how.
            crowd.write(u32::MAX);
            let (off, wrong) = crowd.run(33);
            last = if wrong > 0 { step } else { last };
            worst = f32::max(worst, off);
        }
        assert!(last <= 12 && worst <= 0.3, "seed {seed}: {worst} m off, and some in step {last}");
    }
}

/// How many write 60 times a second, each at moments of its own.
const WRITERS: usize = 8;

/// Microseconds from one write to the next, and how much later each may be.
const PERIOD: u64 = 16_667;
const WAVERING: u64 = 1_500;

/// A peer's writes: where it is, they are numbered.
struct Writer {
    dancer: ModelRef<Pose>,
    begin: Time,
    written: Vec<Time>,
    due: Time,
    /// The last that each shows.
    shown: [usize; WRITERS],
}

fn level(number: usize) -> f32 {
    f32::from(u16::try_from(number).unwrap())
}

impl Writer {
    fn write(&mut self, stage: &mut Stage, peer: usize, late: Duration) {
        let now = stage.world.now();
        if self.due <= now {
            let number = self.written.len();
            stage.dance(peer, &self.dancer, |pose| pose.level = level(number));
            self.written.push(now);
            let periods = Duration::from_micros(PERIOD) * u32::try_from(number).unwrap();
            self.due = self.begin + periods + late;
        }
    }

    /// How old what is new is that others show, at most.
    fn look(&mut self, stage: &Stage, peer: usize) -> Duration {
        let now = stage.world.now();
        let others = (0..WRITERS).filter(|other| *other != peer);
        let ages = others.map(|other| {
            let seen = stage.see(other, &self.dancer).unwrap().level.round();
            let number = (0..self.written.len()).rev().find(|number| seen >= level(*number));
            let before = std::mem::replace(&mut self.shown[other], number.unwrap());
            let new = number.filter(|number| before < *number);
            new.map_or(Duration::ZERO, |number| now - self.written[number])
        });
        ages.max().unwrap()
    }
}

#[test]
fn what_a_crowd_writes_shows_within_a_tick_and_the_way() {
    // A tick of the relay's, an eighth of one's own, the way there and back, and how often is looked here.
    const LATE: Duration = Duration::from_micros(PERIOD + PERIOD / 8 + 2_000 + 500);
    for seed in seeds(4, 40) {
        let mut rng = ChaCha12Rng::seed_from_u64(seed ^ 0xa6e5);
        let mut draw = |most: u64| Duration::from_micros(rng.next_u64() % most);
        let mut stage = Stage::new(seed, Network::LAN, 0);
        let state = StateConfig { rate: 60, ..StateConfig::default() };
        let config = PeerConfig { state, ..PeerConfig::default() };
        for peer in 0..WRITERS {
            assert_eq!(stage.join_as(config.clone()), peer);
        }
        stage.world.run(Duration::from_secs(2));
        let dancers: Vec<_> = (0..WRITERS).map(|peer| stage.add(peer, "dancer")).collect();
        let now = stage.world.now();
        let writers = dancers.into_iter().map(|dancer| {
            let begin = now + draw(100_000);
            Writer { dancer, begin, written: vec![now], due: begin, shown: [0; WRITERS] }
        });
        let mut writers: Vec<_> = writers.collect();
        let heard = |stage: &Stage| {
            stage.world.peer(0).statistics(stage.world.now()).state.received.messages
        };
        // All are on their way in the first second; two are measured.
        let (mut worst, mut before) = (Duration::ZERO, 0);
        for step in 0..12_000 {
            before = if step == 4_000 { heard(&stage) } else { before };
            for (peer, writer) in writers.iter_mut().enumerate() {
                // Now and then an application is late, and goes on in time.
                let late = if writer.written.len() % 40 == 25 { 14_000 } else { WAVERING };
                writer.write(&mut stage, peer, draw(late));
            }
            stage.world.run(Duration::from_micros(250));
            let ages = writers.iter_mut().enumerate().map(|(peer, it)| it.look(&stage, peer));
            let age = ages.max().unwrap();
            worst = if step > 4_000 { worst.max(age) } else { worst };
        }
        assert!(worst <= LATE, "seed {seed}: {worst:?}");
        let packets = heard(&stage) - before;
        assert!(packets <= 2 * 60 + 2, "seed {seed}: {packets} packets");
    }
}
