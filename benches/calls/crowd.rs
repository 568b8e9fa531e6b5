//! A room in which every peer tells all others so many signals a second.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parlor::proto::id::PeerId;
use parlor::room::Room;
use parlor::{Audience, SignalError};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Failure;
use crate::stage::{Hall, Stage, heard, subject};

/// How often a peer gives what is due.
const TICK: Duration = Duration::from_millis(5);
/// How long what was given may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many peers, how many signals a second of all of them, for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) peers: usize,
    pub(crate) rate: u32,
    pub(crate) length: Duration,
}

/// What came of it.
#[derive(Clone, Default, Debug)]
pub(crate) struct Outcome {
    pub(crate) peers: usize,
    /// Given, of all peers; and of all, how many were to be heard.
    pub(crate) given: u64,
    pub(crate) due: u64,
    pub(crate) heard: u64,
    pub(crate) twice: u64,
    pub(crate) disordered: u64,
    /// How often a peer was told to wait, because too many waited for the relay.
    pub(crate) full: u64,
    /// From the first to the last that was given.
    pub(crate) length: Duration,
    pub(crate) ages: Vec<Duration>,
}

/// One peer's view.
struct Seen {
    last: BTreeMap<PeerId, u64>,
    outcome: Outcome,
}

impl Seen {
    fn look(&mut self, room: &mut Room<Hall>, beginning: Instant) {
        while let Some(signal) = heard(room) {
            let number = |at: usize| {
                let bytes = signal.payload.get(at..at + 8)?;
                Some(u64::from_le_bytes(bytes.try_into().ok()?))
            };
            let (Some(number), Some(given)) = (number(0), number(8)) else { continue };
            let last = self.last.entry(signal.by).or_default();
            if number == *last + 1 {
                *last = number;
            } else if number > *last {
                // Some before it are missing, or come later.
                self.outcome.disordered += 1;
                *last = number;
            } else {
                self.outcome.twice += 1;
                continue;
            }
            self.outcome.heard += 1;
            let age = beginning.elapsed().saturating_sub(Duration::from_micros(given));
            self.outcome.ages.push(age);
        }
    }
}

pub(crate) async fn measure(plan: Plan) -> Result<Outcome, Failure> {
    let mut stage = Stage::new(plan.peers).await?;
    let each = u64::from(plan.rate) * plan.length.as_secs() / plan.peers as u64;
    let all = each * (plan.peers as u64 - 1);
    let beginning = Instant::now();
    // Nobody leaves before everybody has heard everything, or the time is up.
    let (done, wait) = watch::channel(0);
    let mut peers = JoinSet::new();
    for room in stage.rooms.drain(..) {
        let (done, wait) = (done.clone(), wait.clone());
        peers.spawn(take_part(room, plan, (each, all), beginning, (done, wait)));
    }
    let mut outcome = Outcome { peers: plan.peers, ..Outcome::default() };
    while let Some(one) = peers.join_next().await {
        let one = one??;
        outcome.given += one.given;
        outcome.due += all;
        outcome.heard += one.heard;
        outcome.twice += one.twice;
        outcome.disordered += one.disordered;
        outcome.full += one.full;
        outcome.length = outcome.length.max(one.length);
        outcome.ages.extend(one.ages);
    }
    Ok(outcome)
}

async fn take_part(
    mut room: Room<Hall>,
    plan: Plan,
    (each, all): (u64, u64),
    beginning: Instant,
    (done, mut wait): (watch::Sender<usize>, watch::Receiver<usize>),
) -> Result<Outcome, Failure> {
    let mut seen = Seen { last: BTreeMap::new(), outcome: Outcome::default() };
    let mut next = beginning;
    while seen.outcome.given < each {
        let share = beginning.elapsed().as_secs_f64() / plan.length.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "far below what a float counts")]
        #[expect(clippy::cast_possible_truncation, reason = "far below what an integer counts")]
        #[expect(clippy::cast_sign_loss, reason = "time goes on")]
        let due = ((each as f64 * share) as u64).min(each);
        while seen.outcome.given < due {
            let mut payload = Vec::with_capacity(32);
            payload.extend((seen.outcome.given + 1).to_le_bytes());
            payload.extend(u64::try_from(beginning.elapsed().as_micros())?.to_le_bytes());
            payload.resize(32, 0);
            match room.signal(Audience::Others, subject(), Bytes::from(payload)) {
                Ok(_) => seen.outcome.given += 1,
                Err(SignalError::Full { .. }) => {
                    seen.outcome.full += 1;
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        seen.outcome.length = beginning.elapsed();
        room.tick();
        next += TICK;
        while Instant::now() < next {
            room.wait(next.saturating_duration_since(Instant::now())).await;
            seen.look(&mut room, beginning);
        }
    }
    let rest = async {
        let mut counted = false;
        while *wait.borrow_and_update() < plan.peers {
            room.wait(TICK).await;
            seen.look(&mut room, beginning);
            if !counted && seen.outcome.heard >= all {
                counted = true;
                done.send_modify(|count| *count += 1);
            }
        }
    };
    // The time is up: what did not come by then is lost.
    timeout(PATIENCE, rest).await.unwrap_or(());
    Ok(seen.outcome)
}
