//! A recorded match: where players are and where they look, twenty times a second.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use flate2::read::GzDecoder;

/// Centimetres along and across the field, and half degrees.
pub(crate) type Pose = [f64; 3];

/// What stands in a tick, by player.
pub(crate) type Tick = BTreeMap<u32, Pose>;

/// What stands in each tick in which anybody was seen, by its number.
pub(crate) type Match = BTreeMap<u64, Tick>;

/// How long a tick is.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// A whole turn in half degrees.
pub(crate) const ROUND: f64 = 720.0;

/// Reads a recording, comma-separated and compressed: `t_ms,id,x_m,y_m,heading_rad,...`, in the order
/// of time.
pub(crate) fn read(path: &Path) -> io::Result<Match> {
    let lines = BufReader::new(GzDecoder::new(File::open(path)?)).lines();
    let mut ticks = Match::new();
    for line in lines.skip(1) {
        let line = line?;
        let bad = || io::Error::new(io::ErrorKind::InvalidData, format!("no sample: {line}"));
        let numbers: Vec<f64> =
            line.split(',').map(str::parse).collect::<Result<_, _>>().map_err(|_| bad())?;
        let [time, id, x, y, heading, ..] = numbers[..] else { return Err(bad()) };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "times and numbers of players are small and positive"
        )]
        let (tick, player) = ((time / TICK.as_secs_f64() / 1e3) as u64, id as u32);
        let half_degrees = (heading.to_degrees() * 2.0).rem_euclid(ROUND);
        ticks.entry(tick).or_default().insert(player, [x * 100.0, y * 100.0, half_degrees]);
    }
    Ok(ticks)
}
