//! Objects that wander about in a box, and turn.

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

/// Ticks a second.
const RATE: f32 = 20.0;
/// How far from the middle they get, in metres, along each axis.
const BOX: f32 = 25.0;
/// Metres a second, and in a second, along each axis at most.
const SPEED: f32 = 3.0;
const ACCELERATION: f32 = 6.0;
/// Radians a second, and in a second, about each axis at most.
const SPIN: f32 = 1.5;
const TWIST: f32 = 3.0;

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanderer {
    pub(crate) place: [f32; 3],
    /// A quaternion: x, y, z, w.
    pub(crate) turn: [f32; 4],
    velocity: [f32; 3],
    spin: [f32; 3],
}

/// All of them.
pub(crate) struct Wanderers {
    pub(crate) all: Vec<Wanderer>,
    rng: ChaCha12Rng,
}

impl Wanderers {
    /// So many, anywhere, at rest.
    pub(crate) fn new(seed: u64, count: usize) -> Self {
        let mut all = Self { all: Vec::new(), rng: ChaCha12Rng::seed_from_u64(seed) };
        for _ in 0..count {
            let place = [BOX; 3].map(|most| most * all.part());
            let turn = [0.0, 0.0, 0.0, 1.0];
            all.all.push(Wanderer { place, turn, velocity: [0.0; 3], spin: [0.0; 3] });
        }
        all
    }

    /// A tick passes.
    pub(crate) fn step(&mut self) {
        for number in 0..self.all.len() {
            let push: [f32; 3] = std::array::from_fn(|_| self.part() * ACCELERATION / RATE);
            let twist: [f32; 3] = std::array::from_fn(|_| self.part() * TWIST / RATE);
            self.all[number].step(push, twist);
        }
    }

    /// From -1 on and below 1.
    fn part(&mut self) -> f32 {
        #[expect(clippy::cast_precision_loss, reason = "24 bits are what it has")]
        let bits = (self.rng.next_u32() >> 8) as f32;
        bits / (1 << 23) as f32 - 1.0
    }
}

impl Wanderer {
    fn step(&mut self, push: [f32; 3], twist: [f32; 3]) {
        for axis in 0..3 {
            let speed = (self.velocity[axis] + push[axis]).clamp(-SPEED, SPEED);
            let place = self.place[axis] + speed / RATE;
            let inside = place.abs() <= BOX;
            self.velocity[axis] = if inside { speed } else { -speed };
            self.place[axis] = place.clamp(-BOX, BOX);
            self.spin[axis] = (self.spin[axis] + twist[axis]).clamp(-SPIN, SPIN);
        }
        let [x, y, z, w] = self.turn;
        let [a, b, c] = self.spin.map(|spin| spin / RATE / 2.0);
        let turn = [
            x + a * w + b * z - c * y,
            y + b * w + c * x - a * z,
            z + c * w + a * y - b * x,
            w - a * x - b * y - c * z,
        ];
        let length = turn.iter().map(|part| part * part).sum::<f32>().sqrt();
        self.turn = turn.map(|part| part / length);
    }
}
