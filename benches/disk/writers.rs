//! How soon what is written is kept.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use parlor::room::Room;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
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
    let (begin, begins) = watch::channel(None);
    let mut writers = JoinSet::new();
    let every = Duration::from_secs(1) / plan.rate.max(1);
    for number in 0..u32::try_from(plan.rooms)? {
        let room = Box::pin(stage.enter(&format!("room {number}"))).await?;
        // Not all at the same moment.
        let first = every * number / u32::try_from(plan.rooms)?;
        writers.spawn(Box::pin(write(room, (first, every, plan.length), begins.clone())));
    }
    // What comes with joins is over by then.
    sleep(Duration::from_secs(2)).await;
    let (before, began) = (stage.statistics(), Instant::now());
    begin.send_replace(Some(began));
    // A room that is dropped waits for its last words: the relay must go on meanwhile.
    let (mut times, mut rooms) = (Vec::new(), Vec::new());
    while let Some(one) = writers.join_next().await {
        let (room, its) = one??;
        rooms.push(room);
        times.extend(its);
    }
    let (took, after) = (began.elapsed(), stage.statistics());
    spawn_blocking(move || drop(rooms)).await?;
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

/// Writes at moments that were fixed before; one that comes while the last is not kept yet is left out.
async fn write(
    mut room: Room<Hall>,
    (first, every, length): (Duration, Duration, Duration),
    begins: watch::Receiver<Option<Instant>>,
) -> Result<(Room<Hall>, Vec<Duration>), Failure> {
    let mut times = Vec::new();
    let began = loop {
        if let Some(began) = *begins.borrow() {
            break began;
        }
        room.wait(Duration::from_millis(20)).await;
    };
    let mut next = began + first;
    while next < began + length {
        while let Some(left) = next.checked_duration_since(Instant::now()) {
            room.wait(left).await;
        }
        let at = Instant::now();
        room.update_root(|hall: &mut Hall| hall.count += 1)?;
        room.durable(PATIENCE).await?;
        times.push(at.elapsed());
        while next <= Instant::now() {
            next += every;
        }
    }
    Ok((room, times))
}
