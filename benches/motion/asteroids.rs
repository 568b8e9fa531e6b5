//! Asteroids that drift about a planetoid and bump into each other: the scene of `KinematicSoup`'s
//! network transform benchmark (<https://github.com/KinematicSoup/benchmarks>), rebuilt on rapier.
//!
//! Taken over as published: 250 asteroids of scale 0.25 to 1 and mass scale^3, bodies without gravity,
//! damping or bounce; `Bounds` is the radius of a ball about the origin, 50 m for 1,000 asteroids and by
//! density 31.5 m for 250; the planetoid in its middle has a radius of 5 m. Outside the ball an asteroid
//! is accelerated towards the origin, inside to a speed of its own. Velocities are corrected and steps
//! made 60 times a second, and every other one is sent. No gyroscopic forces, as in `PhysX` by default.
//!
//! Of our own are what cannot be taken over: the eight shapes (hulls of random points 0.55 to 0.85 m
//! from the middle, where theirs are meshes of about that size), the sequence of chance, and the solver.

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use rapier3d::prelude::{
    ColliderBuilder, PhysicsWorld, Pose, RigidBody, RigidBodyBuilder, RigidBodyHandle, Rotation,
    SharedShape, Vector,
};

/// How many asteroids there are.
pub(crate) const COUNT: usize = 250;

/// Ticks in two minutes.
pub(crate) const TICKS: usize = 3_600;

/// Steps of the simulation in a tick, and how long one is, in seconds.
const STEPS: usize = 2;
const STEP: f32 = 1.0 / 60.0;

/// The ball that they stay in: `50 * cbrt(250 / 1000)` metres.
const BOUNDS: f32 = 31.498_026;
/// The planetoid's radius.
const PLANETOID: f32 = 5.0;

const SCALES: (f32, f32) = (0.25, 1.0);
/// Of an asteroid's scale, this much around it is free when it appears.
const FREE: f32 = 2.0;
/// Metres a second.
const SPEEDS: (f32, f32) = (1.0, 4.0);
/// Degrees a second, for each axis.
const SPIN: f32 = 45.0;

/// Metres a second, in a second: towards its speed, and back inside.
const ACCELERATION: f32 = 5.0;
const RETURN: f32 = 10.0;

/// How many shapes there are, and of how many points each is the hull.
const SHAPES: usize = 8;
const POINTS: usize = 32;
/// How far the points are from the middle, at scale 1.
const RADII: (f32, f32) = (0.55, 0.85);
/// As of bodies for which nothing is said.
const FRICTION: f32 = 0.6;

/// Where an asteroid is, and its quaternion x, y, z, w.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transform {
    pub(crate) place: [f32; 3],
    pub(crate) turn: [f32; 4],
}

/// Where all of them are.
pub(crate) type Tick = Vec<Transform>;

/// So many ticks of the scene that a seed makes.
pub(crate) fn ticks(seed: u64, count: usize) -> Vec<Tick> {
    let mut belt = Belt::new(&mut Dice(ChaCha12Rng::seed_from_u64(seed)));
    let tick = |_| {
        for _ in 0..STEPS {
            belt.step();
        }
        belt.transforms()
    };
    (0..count).map(tick).collect()
}

struct Belt {
    world: PhysicsWorld,
    /// Each with the speed that it keeps to.
    asteroids: Vec<(RigidBodyHandle, f32)>,
}

impl Belt {
    fn new(dice: &mut Dice) -> Self {
        let mut world = PhysicsWorld { gravity: Vector::ZERO, ..PhysicsWorld::default() };
        world.integration_parameters.dt = STEP;
        let planetoid = ColliderBuilder::ball(PLANETOID).friction(FRICTION);
        world.insert(RigidBodyBuilder::fixed(), planetoid);
        let shapes: Vec<Vec<Vector>> = (0..SHAPES).map(|_| dice.shape()).collect();
        let mut belt = Self { world, asteroids: Vec::new() };
        let mut taken = vec![(Vector::ZERO, PLANETOID)];
        for _ in 0..COUNT {
            let shape = &shapes[dice.below(SHAPES)];
            let mut place = dice.inside() * BOUNDS;
            let turn = dice.turn();
            let scale = dice.between(SCALES);
            let out = place.normalize_or(Vector::X) * FREE * scale;
            let is_free = |place: Vector| {
                let near = |(other, radius): &(Vector, f32)| {
                    (place - *other).length() < FREE * scale + radius
                };
                !taken.iter().any(near)
            };
            while !is_free(place) {
                place += out;
            }
            taken.push((place, RADII.1 * scale));
            belt.add(dice, shape, scale, Pose::from_parts(place, turn));
        }
        belt
    }

    fn add(&mut self, dice: &mut Dice, shape: &[Vector], scale: f32, pose: Pose) {
        let spin = Vector::new(dice.part(), dice.part(), dice.part()) * SPIN.to_radians();
        let speed = dice.between(SPEEDS);
        let points: Vec<Vector> = shape.iter().map(|point| *point * scale).collect();
        // Points all around have a hull.
        let hull =
            SharedShape::convex_hull(&points).unwrap_or_else(|| SharedShape::ball(RADII.1 * scale));
        let body = RigidBodyBuilder::dynamic()
            .pose(pose)
            .linvel(dice.direction() * speed)
            .angvel(spin)
            .gyroscopic_forces_enabled(false)
            .can_sleep(false);
        let collider = ColliderBuilder::new(hull).mass(scale.powi(3)).friction(FRICTION);
        let (handle, _) = self.world.insert(body, collider);
        self.asteroids.push((handle, speed));
    }

    fn step(&mut self) {
        for (handle, speed) in &self.asteroids {
            if let Some(body) = self.world.bodies.get_mut(*handle) {
                steer(body, *speed);
            }
        }
        self.world.step();
    }

    fn transforms(&self) -> Tick {
        let bodies = self.asteroids.iter().filter_map(|(handle, _)| self.world.bodies.get(*handle));
        bodies
            .map(|body| Transform {
                place: body.translation().to_array(),
                turn: body.rotation().to_array(),
            })
            .collect()
    }
}

/// Brings an asteroid back, or to its speed.
fn steer(body: &mut RigidBody, wanted: f32) {
    let (place, velocity) = (body.translation(), body.linvel());
    if place.length_squared() > BOUNDS * BOUNDS {
        body.set_linvel(velocity - place.normalize_or_zero() * RETURN * STEP, true);
    } else if (velocity.length_squared() - wanted * wanted).abs() > 0.001 {
        let speed = velocity.length();
        let change = (wanted - speed).clamp(-ACCELERATION * STEP, ACCELERATION * STEP);
        body.set_linvel(velocity.normalize_or_zero() * (speed + change), true);
    }
}

/// What chance is drawn from.
struct Dice(ChaCha12Rng);

impl Dice {
    /// From 0 on and below 1.
    fn share(&mut self) -> f32 {
        #[expect(clippy::cast_precision_loss, reason = "24 bits are what it has")]
        let bits = (self.0.next_u32() >> 8) as f32;
        bits / (1 << 24) as f32
    }

    /// From -1 on and below 1.
    fn part(&mut self) -> f32 {
        self.share() * 2.0 - 1.0
    }

    fn between(&mut self, (least, most): (f32, f32)) -> f32 {
        least + (most - least) * self.share()
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.0.next_u32()).unwrap_or(0) % count
    }

    /// Anywhere in the unit ball.
    fn inside(&mut self) -> Vector {
        loop {
            let place = Vector::new(self.part(), self.part(), self.part());
            if (0.001..1.0).contains(&place.length_squared()) {
                return place;
            }
        }
    }

    fn direction(&mut self) -> Vector {
        self.inside().normalize_or(Vector::X)
    }

    fn turn(&mut self) -> Rotation {
        loop {
            let turn = Rotation::from_array([self.part(), self.part(), self.part(), self.part()]);
            if (0.001..1.0).contains(&turn.length_squared()) {
                return turn.normalize();
            }
        }
    }

    fn shape(&mut self) -> Vec<Vector> {
        (0..POINTS).map(|_| self.direction() * self.between(RADII)).collect()
    }
}
