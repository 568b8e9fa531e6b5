//! How soon what is written is kept.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use parlor::room::Room;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Failure;
use crate::report::Report;
use crate::stage::{Hall, PATIENCE, Stage};
use crate::table::Times;

/// Bytes that the floor writes: about those of a commit of all rooms.
const BYTES: usize = 40_000;

/// What is to be written.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) rooms: usize,
    pub(crate) rate: u32,
    pub(crate) length: Duration,
}

/// A file to which bytes are written and synced, again and again.
pub(crate) fn floor(folder: &Path, length: Duration) -> Result<Report, Failure> {
    let mut file = File::create(folder.join("floor"))?;
    let (bytes, began) = (vec![7; BYTES], Instant::now());
    let mut times = Vec::new();
    while began.elapsed() < length {
        let at = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        times.push(at.elapsed());
    }
    Ok(Report::Floor(Times::of(times)))
}

/// Rooms of one peer each, which writes and waits until that is kept.
pub(crate) async fn measure(folder: &Path, plan: Plan) -> Result<Report, Failure> {
    let stage = Stage::begin(folder, 1).await?;
    let mut rooms = Vec::new();
    for number in 0..plan.rooms {
        rooms.push(Box::pin(stage.enter(&format!("room {number}"))).await?);
    }
    // What comes with joins is over by then.
    sleep(Duration::from_secs(2)).await;
    let (before, began) = (stage.statistics(), Instant::now());
    let mut writers = JoinSet::new();
    let every = Duration::from_secs(1) / plan.rate.max(1);
    for (number, room) in (0..).zip(rooms) {
        // Not all at the same moment.
        let first = every * number / u32::try_from(plan.rooms)?.max(1);
        writers.spawn(Box::pin(write(room, (first, every), began + plan.length)));
    }
    let mut times = Vec::new();
    while let Some(one) = writers.join_next().await {
        times.extend(one??);
    }
    let (took, after) = (began.elapsed(), stage.statistics());
    stage.end().await?;
    Ok(Report::Writers {
        rooms: plan.rooms,
        seconds: took.as_secs_f64(),
        times: Times::of(times),
        commits: after.commits - before.commits,
        syncs: after.medium.syncs - before.medium.syncs,
        bytes: after.medium.written - before.medium.written,
    })
}

async fn write(
    mut room: Room<Hall>,
    (first, every): (Duration, Duration),
    until: Instant,
) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::new();
    let mut next = Instant::now() + first;
    while next < until {
        while let Some(left) = next.checked_duration_since(Instant::now()) {
            room.wait(left).await;
        }
        let at = Instant::now();
        room.update_root(|hall: &mut Hall| hall.count += 1)?;
        room.durable(PATIENCE).await?;
        times.push(at.elapsed());
        next = (at + every).max(Instant::now());
    }
    Ok(times)
}
