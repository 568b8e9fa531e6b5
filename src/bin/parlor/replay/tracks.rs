//! Tracks: where many were at recorded times.

use std::time::Duration;

use bytes::Bytes;
use parlor::Model;
use parlor::net::Clock;
use parlor::proto::id::DocumentId;
use parlor::proto::model::handle::RealtimeDictionary;
use parlor::room::Room;
use serde_json::{Value as Json, json};

use super::trace::Row;
use super::traffic;
use crate::arguments::ReplayArguments;
use crate::export::fingerprint;
use crate::failure::Failure;

/// How long the relay has to take everything.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the rows of one network frame are, in recorded milliseconds.
const FRAME_MS: f64 = 50.0;

/// A room with tracks that are played into it.
#[derive(Model, Clone, Debug, Default)]
struct Field {
    #[property(1)]
    tracks: RealtimeDictionary<String, Track>,
}

/// Where somebody is.
#[derive(Model, Clone, Debug, Default, PartialEq)]
struct Track {
    #[property(1)]
    position: [f32; 2],
    #[property(2)]
    heading: f32,
    #[property(3)]
    speed: f32,
}

/// Plays tracks as one peer. Returns how it ended, and whether well.
pub(crate) async fn play(
    arguments: &ReplayArguments,
    rows: Vec<Row>,
    speed: Option<f64>,
) -> Result<(Json, bool), Failure> {
    if arguments.agent.is_some_and(|agent| agent > 0) {
        return Err(Failure::usage("tracks have one agent: 0"));
    }
    let mut room = arguments.peer.connect::<Field>(&arguments.room, Bytes::new(), |_| {})?;
    room.ready().await.map_err(Failure::failed)?;
    let clock = Clock::new();
    let begin = rows.first().map_or(0.0, |row| row.t_ms);
    let frames = rows.chunk_by(|a, b| frame_of(a, begin) == frame_of(b, begin));
    for frame in frames {
        if let Some(speed) = speed {
            let due = (frame[0].t_ms - begin).max(0.0) / speed / 1_000.0;
            let due = Duration::try_from_secs_f64(due).unwrap_or_default();
            while let Some(wait) = due.checked_sub(elapsed(&clock)).filter(|wait| !wait.is_zero()) {
                room.wait(wait).await;
            }
        }
        for row in frame {
            place(&mut room, row)?;
        }
        room.flush();
        room.tick();
        while room.poll_event().is_some() {}
    }
    let settled = room.settled(PATIENCE).await;
    let seconds = elapsed(&clock).as_secs_f64();
    let outcome = outcome(&room, rows.len(), settled, seconds);
    room.leave();
    Ok((outcome, settled))
}

fn elapsed(clock: &Clock) -> Duration {
    Duration::from_micros(clock.now().as_micros())
}

fn frame_of(row: &Row, begin: f64) -> i64 {
    ((row.t_ms - begin) / FRAME_MS).floor() as i64
}

fn place(room: &mut Room<Field>, row: &Row) -> Result<(), Failure> {
    let track =
        Track { position: [row.x_m, row.y_m], heading: row.heading_rad, speed: row.speed_mps };
    let tracks = room.root().tracks.clone();
    match tracks.get(room, &row.id) {
        Some(known) => room.update(&known, |now| *now = track).map(|()| known),
        None => tracks.insert(room, &row.id, track),
    }
    .map(|_| ())
    .map_err(Failure::failed)
}

fn outcome(room: &Room<Field>, rows: usize, settled: bool, seconds: f64) -> Json {
    let statistics = room.statistics();
    let models = room.log(DocumentId::MODELS);
    let changes = models.len();
    let sent = statistics.document.sent.bytes;
    let state = fingerprint(room);
    let peer = json!({
        "agent": 0,
        "peer": room.peer().to_string(),
        "state_hash": state["state_hash"],
        "changes": changes,
        "bytes": traffic(&statistics),
        "seconds": seconds,
        "heads": state["heads"],
    });
    json!({
        "kind": "tracks",
        "state_hash": state["state_hash"],
        "rows": rows,
        "tracks": room.root().tracks.len(room),
        "changes": changes,
        "bytes": traffic(&statistics),
        "delta_bytes_mean": sent as f64 / changes.max(1) as f64,
        "seconds": seconds,
        "peers": [peer],
        "converged": settled,
    })
}
