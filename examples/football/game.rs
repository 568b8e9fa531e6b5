//! A match: where every player is and looks, twenty times a second.

use std::collections::BTreeMap;
use std::f32::consts::TAU;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde::Deserialize;

/// How long a tick is, in milliseconds.
const TICK: f64 = 50.0;

/// The field, in metres.
pub(crate) const FIELD: [f32; 2] = [90.0, 75.0];

/// A place in metres, and where a player looks, in radians.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pose {
    pub(crate) place: [f32; 2],
    pub(crate) heading: f32,
}

/// A line of a recording.
#[derive(Deserialize)]
struct Row {
    t_ms: f64,
    id: u32,
    x_m: f32,
    y_m: f32,
    heading_rad: f32,
}

/// Who was seen, and where.
pub(crate) type Tick = BTreeMap<u32, Pose>;

/// All ticks of a match.
pub(crate) struct Game(Vec<Tick>);

impl Game {
    /// A recorded one. Ticks in which nobody was seen are left out.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let mut bytes = Vec::new();
        File::open(path)?.read_to_end(&mut bytes)?;
        let text: Box<dyn Read> = if bytes.starts_with(&[0x1f, 0x8b]) {
            Box::new(MultiGzDecoder::new(&bytes[..]))
        } else {
            Box::new(&bytes[..])
        };
        let mut ticks: BTreeMap<u64, Tick> = BTreeMap::new();
        for row in csv::Reader::from_reader(BufReader::new(text)).deserialize() {
            let Row { t_ms, id, x_m, y_m, heading_rad } = row.map_err(io::Error::other)?;
            let pose = Pose { place: [x_m, y_m], heading: heading_rad };
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a time that is no tick is one of the ends"
            )]
            ticks.entry((t_ms / TICK) as u64).or_default().insert(id, pose);
        }
        if ticks.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "nobody is in this match"));
        }
        Ok(Self(ticks.into_values().collect()))
    }

    /// A minute in which eleven players run along curves of their own.
    pub(crate) fn made(seed: u64) -> Self {
        let player = |number: u32, seconds: f32| {
            #[expect(clippy::cast_precision_loss, reason = "only to tell matches apart")]
            let own = number as f32 + (seed % 1_000) as f32 * 0.37;
            let (pace, reach) = (0.3 + (own * 0.618) % 0.4, 4.0 + (own * 2.3) % 12.0);
            let angle = own + seconds * pace;
            // A figure of eight, around a place of one's own.
            let place = [
                45.0 + 30.0 * (own * 1.7).cos() + reach * angle.sin(),
                37.0 + 22.0 * (own * 2.9).sin() + reach * (angle * 2.0).sin() / 2.0,
            ];
            let heading = (angle * 2.0).cos().atan2(angle.cos()).rem_euclid(TAU);
            Pose { place, heading }
        };
        let tick = |number: u16| {
            let seconds = f32::from(number) / 20.0;
            (1..=11).map(|number| (number, player(number, seconds))).collect()
        };
        Self((0..1_200).map(tick).collect())
    }

    pub(crate) fn ticks(&self) -> impl Iterator<Item = &Tick> {
        self.0.iter()
    }
}
