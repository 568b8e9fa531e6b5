//! What the workloads write: objects of ten properties, and chance from a seed.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// How many properties an object has.
pub(crate) const PROPERTIES: usize = 10;
/// The first integer among them: the property that single updates write.
pub(crate) const FIRST_INTEGER: usize = 3;
/// The one property of an object that moves.
pub(crate) const TRANSFORM: usize = 10;
/// The names of the properties, for engines that go by names.
pub(crate) const KEYS: [&str; 11] =
    ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "transform"];

/// The property of a name.
pub(crate) fn property_of(key: &str) -> Option<usize> {
    match key.as_bytes() {
        [b'p', digit @ b'0'..=b'9'] => Some(usize::from(digit - b'0')),
        b"transform" => Some(TRANSFORM),
        _ => None,
    }
}

/// What a property holds.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Value {
    /// Properties 0 to 2.
    Float(f64),
    /// Properties 3 to 5.
    Integer(i64),
    /// Properties 6 and 7.
    Flag(bool),
    /// Properties 8 and 9: eight characters.
    Text(String),
    /// Property 10, of objects that move: ten `f32` as bytes.
    Transform([u8; 40]),
}

/// Chance from a seed.
#[derive(Debug)]
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    /// The chance of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.0.next_u64() % limit as u64) as usize
    }

    /// An integer of up to 20 bits.
    pub(crate) fn integer(&mut self) -> i64 {
        (self.0.next_u32() >> 12).into()
    }

    /// A float as a game has them: within 500 m, and exactly an `f32`.
    pub(crate) fn float(&mut self) -> f64 {
        let part = self.0.next_u32() >> 8;
        f64::from((part as f32 / (1 << 24) as f32 - 0.5) * 1000.0)
    }

    /// Eight characters.
    pub(crate) fn text(&mut self) -> String {
        let letters = self.0.next_u64().to_le_bytes();
        letters.iter().map(|byte| char::from(b'a' + byte % 26)).collect()
    }
}

/// An object.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Object {
    /// Properties 0 to 2.
    pub(crate) floats: [f64; 3],
    /// Properties 3 to 5.
    pub(crate) integers: [i64; 3],
    /// Properties 6 and 7.
    pub(crate) flags: [bool; 2],
    /// Properties 8 and 9.
    pub(crate) texts: [String; 2],
}

impl Object {
    /// The `number`th of a row of objects that are much alike, which columns compress well.
    pub(crate) fn regular(number: usize) -> Self {
        let (whole, part) = (number as f64, number as i64);
        Self {
            floats: [whole, whole * 0.5 + 0.25, whole * 2.0],
            integers: [part, part % 100, part * 3 + 1],
            flags: [number.is_multiple_of(2), number.is_multiple_of(5)],
            texts: [format!("name{:04}", number % 10_000), format!("kind{:04}", number % 20)],
        }
    }

    /// An object unlike all others.
    pub(crate) fn random(dice: &mut Dice) -> Self {
        Self {
            floats: [dice.float(), dice.float(), dice.float()],
            integers: [dice.integer(), dice.integer(), dice.integer()],
            flags: [dice.below(2) == 0, dice.below(2) == 0],
            texts: [dice.text(), dice.text()],
        }
    }

    /// A property's value.
    pub(crate) fn value(&self, property: usize) -> Value {
        match property {
            0..=2 => Value::Float(self.floats[property]),
            3..=5 => Value::Integer(self.integers[property - 3]),
            6 | 7 => Value::Flag(self.flags[property - 6]),
            _ => Value::Text(self.texts[property - 8].clone()),
        }
    }

    /// Every property's value, in order.
    pub(crate) fn values(&self) -> impl Iterator<Item = (usize, Value)> {
        (0..PROPERTIES).map(|property| (property, self.value(property)))
    }

    /// Gives a property another value than it has. Returns that.
    pub(crate) fn change(&mut self, property: usize, dice: &mut Dice) -> Value {
        let before = self.value(property);
        loop {
            match property {
                0..=2 => self.floats[property] = dice.float(),
                3..=5 => self.integers[property - 3] = dice.integer(),
                6 | 7 => self.flags[property - 6] = !self.flags[property - 6],
                _ => self.texts[property - 8] = dice.text(),
            }
            let after = self.value(property);
            if after != before {
                return after;
            }
        }
    }
}

/// What reading a whole room comes to: equal rooms, equal tallies, in whatever order they are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tally {
    /// How many properties there are.
    pub(crate) properties: u64,
    digest: u64,
}

impl Tally {
    /// Counts a number, whichever type an engine reads it as.
    pub(crate) fn number(&mut self, property: usize, value: f64) {
        self.bits(property, value.to_bits());
    }

    /// Counts an integer.
    pub(crate) fn integer(&mut self, property: usize, value: i64) {
        self.number(property, value as f64);
    }

    /// Counts a flag.
    pub(crate) fn flag(&mut self, property: usize, value: bool) {
        self.bits(property, value.into());
    }

    /// Counts a text, or bytes.
    pub(crate) fn bytes(&mut self, property: usize, value: &[u8]) {
        let folded = value.chunks(8).fold(0_u64, |folded, chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            folded.rotate_left(5) ^ u64::from_le_bytes(word)
        });
        self.bits(property, folded);
    }

    /// Counts every property of an object.
    pub(crate) fn object(&mut self, object: &Object) {
        for (property, float) in object.floats.iter().enumerate() {
            self.number(property, *float);
        }
        for (place, integer) in object.integers.iter().enumerate() {
            self.integer(place + 3, *integer);
        }
        for (place, flag) in object.flags.iter().enumerate() {
            self.flag(place + 6, *flag);
        }
        for (place, text) in object.texts.iter().enumerate() {
            self.bytes(place + 8, text.as_bytes());
        }
    }

    fn bits(&mut self, property: usize, bits: u64) {
        let salted = bits ^ (property as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (salted ^ (salted >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        self.properties += 1;
        self.digest = self.digest.wrapping_add(mixed ^ (mixed >> 32));
    }
}
