//! What is heard while nobody says anything: noise as loud as what is behind the speaker, so that a
//! pause does not sound like a line that went dead.

use crate::proto::audio::packet::Level;

/// How much of each sample is the one before: noise of rooms is mostly low.
const COLOUR: f32 = 0.9;

/// By which share the loudness nears what it is to be, each sample: nearly there after 10 ms.
const NEARER: f32 = 0.005;

/// Noise.
#[derive(Debug)]
pub(crate) struct Comfort {
    state: u32,
    last: f32,
    /// Root of the mean square, as it is and as it is to be.
    loudness: f32,
    wanted: f32,
}

impl Comfort {
    pub(crate) const fn new() -> Self {
        Self { state: 0x9e37_79b9, last: 0.0, loudness: 0.0, wanted: 0.0 }
    }

    /// Noise of a level from now on, but no louder than `loudest`.
    pub(crate) fn set(&mut self, level: Level, loudest: u8) {
        let quieter = level.dbov.max(loudest);
        self.wanted = if quieter >= Level::SILENCE { 0.0 } else { amplitude(quieter) };
    }

    /// No noise from now on.
    pub(crate) const fn hush(&mut self) {
        self.wanted = 0.0;
    }

    /// The next sample.
    pub(crate) fn sample(&mut self) -> f32 {
        // Xorshift, Marsaglia 2003.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        let white = self.state.cast_signed() as f32 / 2_147_483_648.0;
        self.last = self.last * COLOUR + white;
        self.loudness += (self.wanted - self.loudness) * NEARER;
        // Mean square of white noise between -1 and 1 is 1/3, of it coloured 1 / (1 - COLOUR^2) more.
        self.last * self.loudness * (3.0 * (1.0 - COLOUR * COLOUR)).sqrt()
    }
}

/// Root of the mean square of a level, by multiplication alone, so that every machine has the same.
fn amplitude(dbov: u8) -> f32 {
    (0..dbov).fold(1.0, |amplitude, _| amplitude * 0.891_250_95)
}
