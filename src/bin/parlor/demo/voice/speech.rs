//! A voice for who has no recording: not words, but what a codec and a playout take for speech.
//!
//! As D. H. Klatt, "Software for a cascade/parallel formant synthesizer", J. Acoust. Soc. Am. 67 (1980):
//! pulses of a glottis through resonators one behind the other, and noise for consonants. Vowels are the
//! means of 33 men in G. E. Peterson and H. L. Barney, "Control methods used in a study of the vowels",
//! J. Acoust. Soc. Am. 24 (1952).

use std::f64::consts::TAU;

use parlor::audio::RATE;

/// The first three formants of ten vowels, in Hz.
const VOWELS: [[f64; 3]; 10] = [
    [270.0, 2_290.0, 3_010.0],
    [390.0, 1_990.0, 2_550.0],
    [530.0, 1_840.0, 2_480.0],
    [660.0, 1_720.0, 2_410.0],
    [730.0, 1_090.0, 2_440.0],
    [570.0, 840.0, 2_410.0],
    [440.0, 1_020.0, 2_240.0],
    [300.0, 870.0, 2_240.0],
    [640.0, 1_190.0, 2_390.0],
    [490.0, 1_350.0, 1_690.0],
];

/// The formants above, which hardly move, and how wide all five are, in Hz.
const HIGHER: [f64; 2] = [3_500.0, 4_500.0];
const WIDTHS: [f64; 5] = [60.0, 90.0, 150.0, 200.0, 200.0];

/// What a glottis leaves of its pulses: a resonator at 0 Hz so wide.
const GLOTTIS: f64 = 100.0;

/// How loud the pulses are: what a glottis and a mouth leave of them is so little.
const PULSE: f64 = 2_000.0;

/// How loud the noise of consonants is: a tenth of a vowel.
const NOISE: f64 = 0.02;

/// Where that is, and how wide, in Hz.
const HISS: (f64, f64) = (5_000.0, 1_500.0);

/// The highest peak: under what a listener's limiter leaves alone.
const PEAK: f64 = 0.4;

/// Silence before it begins, in seconds.
const BEFORE: f64 = 0.5;

/// So many seconds of a voice, always the same.
pub(super) fn speech(seconds: f64) -> Vec<f32> {
    let length = count(seconds);
    let mut voice = Voice::new();
    voice.rest(BEFORE);
    while voice.said.len() < length {
        voice.phrase();
    }
    voice.said.truncate(length);
    let peak = voice.said.iter().fold(1e-9_f64, |peak, sample| peak.max(sample.abs()));
    voice.said.iter().map(|sample| (sample / peak * PEAK) as f32).collect()
}

fn count(seconds: f64) -> usize {
    (seconds * f64::from(RATE)) as usize
}

/// Klatt's resonator: a gain of 1 at 0 Hz.
#[derive(Clone, Copy, Default)]
struct Resonator([f64; 2]);

impl Resonator {
    fn next(&mut self, input: f64, at: f64, width: f64) -> f64 {
        let rate = f64::from(RATE);
        let c = -(-TAU * width / rate).exp();
        let b = 2.0 * (-TAU / 2.0 * width / rate).exp() * (TAU * at / rate).cos();
        let output = (1.0 - b - c) * input + b * self.0[0] + c * self.0[1];
        self.0 = [output, self.0[0]];
        output
    }
}

struct Voice {
    said: Vec<f64>,
    drawn: u32,
    /// How far the glottis is in its period, from 0 to 1.
    phase: f64,
    glottis: Resonator,
    formants: [Resonator; 5],
    hiss: Resonator,
    before: f64,
}

impl Voice {
    fn new() -> Self {
        Self {
            said: Vec::new(),
            drawn: 1_980,
            phase: 0.0,
            glottis: Resonator::default(),
            formants: [Resonator::default(); 5],
            hiss: Resonator::default(),
            before: 0.0,
        }
    }

    /// A number from 0 to 1, by chance, but always the same.
    fn draw(&mut self) -> f64 {
        self.drawn = self.drawn.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(self.drawn) / f64::from(u32::MAX)
    }

    /// One of so many, alike.
    fn pick(&mut self, of: usize) -> usize {
        ((self.draw() * of as f64) as usize).min(of - 1)
    }

    fn vowel(&mut self) -> [f64; 3] {
        VOWELS[self.pick(VOWELS.len())]
    }

    fn rest(&mut self, seconds: f64) {
        self.said.resize(self.said.len() + count(seconds), 0.0);
    }

    /// Some syllables while the pitch falls, and a pause: now and then one that ends a talk spurt.
    fn phrase(&mut self) {
        let syllables = 4 + self.pick(4);
        for syllable in 0..syllables {
            let fall = syllable as f64 / syllables as f64;
            let pitch = 150.0 - 45.0 * fall + 20.0 * (self.draw() - 0.5);
            if self.draw() < 0.6 {
                let length = 0.05 + 0.05 * self.draw();
                self.consonant(length);
            }
            let (from, to) = (self.vowel(), self.vowel());
            let length = 0.16 + 0.12 * self.draw();
            self.syllable(length, (from, to), pitch);
        }
        let pause = 0.25 + 0.5 * self.draw();
        self.rest(pause);
    }

    fn consonant(&mut self, seconds: f64) {
        let length = count(seconds);
        for at in 0..length {
            let shape = (TAU / 2.0 * at as f64 / length as f64).sin();
            let noise = self.draw() - 0.5;
            let sample = self.hiss.next(noise, HISS.0, HISS.1);
            self.said.push(NOISE * shape * sample);
        }
    }

    fn syllable(&mut self, seconds: f64, (from, to): ([f64; 3], [f64; 3]), pitch: f64) {
        let length = count(seconds);
        let loud = 0.6 + 0.4 * self.draw();
        for at in 0..length {
            let way = at as f64 / length as f64;
            let (rise, fall) = ((way / 0.15).min(1.0), ((1.0 - way) / 0.25).min(1.0));
            let pitch = pitch * (1.0 + 0.08 * (TAU * way * 0.7).sin());
            self.phase += pitch / f64::from(RATE);
            let pulse = f64::from(u8::from(self.phase >= 1.0));
            self.phase -= pulse;
            let mut sample = self.glottis.next(PULSE * pulse, 0.0, GLOTTIS);
            for (formant, resonator) in self.formants.iter_mut().enumerate() {
                let frequency = match formant {
                    0..3 => from[formant] + (to[formant] - from[formant]) * way,
                    _ => HIGHER[formant - 3],
                };
                sample = resonator.next(sample, frequency, WIDTHS[formant]);
            }
            // What leaves a mouth is how the stream of air changes.
            self.said.push(loud * rise * fall * (sample - self.before));
            self.before = sample;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_always_the_same_and_as_loud_as_speech() {
        let voice = speech(4.0);
        assert_eq!(voice.len(), 192_000);
        assert!(voice == speech(4.0));
        let peak = voice.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
        assert!((peak - 0.4).abs() < 1e-6, "{peak}");
        let loud = voice.chunks(960).filter(|frame| {
            let power: f32 = frame.iter().map(|sample| sample * sample).sum();
            power / 960.0 > 1e-4
        });
        let loud = loud.count();
        assert!((80..170).contains(&loud), "{loud} of 200 frames");
    }
}
