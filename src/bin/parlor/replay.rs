//! `parlor replay`.

pub(crate) mod agent;
pub(crate) mod plan;
pub(crate) mod trace;
mod tracks;

use std::sync::Arc;

use parlor::net::Clock;
use parlor::proto::statistics::Statistics;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use self::agent::{Agent, Outcome, metadata};
use self::plan::Plan;
use self::trace::{Recording, Trace};
use crate::arguments::ReplayArguments;
use crate::failure::Failure;
use crate::output::Output;

/// Plays a recording, and prints how it ended.
pub(crate) async fn run(arguments: ReplayArguments) -> Result<(), Failure> {
    let speed = speed(&arguments.speed)?;
    let output = Output { json: true };
    let (outcome, good) = match Recording::read(&arguments.trace, arguments.first)? {
        Recording::Text(trace) => Box::pin(play_text(arguments, trace)).await?,
        Recording::Tracks(rows) => Box::pin(tracks::play(&arguments, rows, speed)).await?,
    };
    output.object(&outcome)?;
    if good { Ok(()) } else { Err(Failure::Told) }
}

/// How much faster than recorded; nothing for as fast as can be.
fn speed(text: &str) -> Result<Option<f64>, Failure> {
    match text.parse() {
        Ok(speed) if speed > 0.0 => Ok(Some(speed)),
        _ if text == "max" => Ok(None),
        _ => Err(Failure::usage(format_args!(
            "`{text}` is no speed: pass `max` or a factor such as 2"
        ))),
    }
}

/// Bytes that went over each lane.
pub(crate) fn traffic(statistics: &Statistics) -> Json {
    let lanes = [
        ("control", &statistics.control),
        ("document", &statistics.document),
        ("snapshot", &statistics.snapshot),
        ("state", &statistics.state),
    ];
    lanes
        .into_iter()
        .map(|(name, lane)| {
            let bytes = json!({ "sent": lane.sent.bytes, "received": lane.received.bytes });
            (name.to_owned(), bytes)
        })
        .collect::<serde_json::Map<String, Json>>()
        .into()
}

async fn play_text(arguments: ReplayArguments, trace: Trace) -> Result<(Json, bool), Failure> {
    let plan = Arc::new(Plan::of(&trace)?);
    let agents: Vec<usize> = match arguments.agent {
        Some(agent) if agent < trace.num_agents => vec![agent],
        Some(agent) => {
            return Err(Failure::usage(format_args!(
                "there is no agent {agent}: the trace has {}, counted from 0",
                trace.num_agents
            )));
        }
        None => (0..trace.num_agents).collect(),
    };
    if agents.len() > 1 && arguments.peer.common.identity.is_some() {
        return Err(Failure::usage(
            "several agents cannot have one identity: pass --as AGENT with --identity FILE",
        ));
    }
    let clock = Clock::new();
    let mut tasks = JoinSet::new();
    for agent in agents {
        let plan = Arc::clone(&plan);
        let room = arguments.peer.connect(&arguments.room, metadata(agent).into(), |_| {})?;
        tasks.spawn(async move { Box::pin(Agent::new(room, agent, &plan).play()).await });
    }
    let mut outcomes = Vec::new();
    while let Some(task) = tasks.join_next().await {
        outcomes.push(task.map_err(Failure::failed)??);
    }
    outcomes.sort_by_key(|outcome| outcome.report["agent"].as_u64());
    let seconds = clock.now().as_micros() as f64 / 1e6;
    Ok(summary(&trace, &plan, &outcomes, seconds))
}

fn summary(trace: &Trace, plan: &Plan, outcomes: &[Outcome], seconds: f64) -> (Json, bool) {
    let text = outcomes.first().map_or("", |outcome| outcome.text.as_str());
    let equal = outcomes
        .windows(2)
        .all(|pair| pair[0].text == pair[1].text && pair[0].heads == pair[1].heads);
    let recorded = trace.end_content.as_ref().map(|end| end == text);
    let peers: Vec<&Json> = outcomes.iter().map(|outcome| &outcome.report).collect();
    let total = |lane: &str, way: &str| -> u64 {
        let bytes = peers.iter().map(|peer| peer["bytes"][lane][way].as_u64());
        bytes.map(Option::unwrap_or_default).sum()
    };
    let lanes: serde_json::Map<String, Json> = ["control", "document", "snapshot"]
        .into_iter()
        .map(|lane| {
            let both = json!({ "sent": total(lane, "sent"), "received": total(lane, "received") });
            (lane.to_owned(), both)
        })
        .collect();
    let changes: u64 = peers.iter().filter_map(|peer| peer["changes"].as_u64()).sum();
    let converged = equal && recorded != Some(false);
    let outcome = json!({
        "kind": "text",
        "sha256": hex::encode(Sha256::digest(text)),
        "chars": text.chars().count(),
        "cuts": plan.cuts,
        "transactions": trace.txns.len(),
        "changes": changes,
        "bytes": lanes,
        "delta_bytes_mean": total("document", "sent") as f64 / changes.max(1) as f64,
        "seconds": seconds,
        "peers": peers,
        "converged": converged,
        "matches_recording": recorded,
    });
    (outcome, converged)
}
