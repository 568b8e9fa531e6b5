//! One agent of an editing trace, as a peer of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use parlor::Model;
use parlor::net::Clock;
use parlor::proto::event::State;
use parlor::proto::id::{DocumentId, PeerId};
use parlor::proto::model::handle::Text;
use parlor::room::Room;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::plan::{Frame, Plan};
use super::traffic;
use crate::failure::Failure;

/// How long an agent waits for others without anything happening.
const PATIENCE: Duration = Duration::from_secs(60);

/// A room with a text that is played into it.
#[derive(Model, Clone, Debug, Default)]
pub(crate) struct Recording {
    #[property(1)]
    pub(crate) text: Text,
}

/// What an agent shows to others of itself.
pub(crate) fn metadata(agent: usize) -> String {
    json!({ "agent": agent }).to_string()
}

/// How an agent ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) text: String,
    pub(crate) heads: Vec<String>,
    pub(crate) report: Json,
}

/// An agent in its room.
pub(crate) struct Agent<'a> {
    room: Room<Recording>,
    me: usize,
    plan: &'a Plan,
    /// The agents' peers.
    peers: BTreeMap<PeerId, usize>,
    /// How many changes of each agent are let in.
    seen: Vec<u64>,
}

impl<'a> Agent<'a> {
    pub(crate) fn new(room: Room<Recording>, me: usize, plan: &'a Plan) -> Self {
        let seen = vec![0; plan.agents.len()];
        Self { room, me, plan, peers: BTreeMap::new(), seen }
    }

    /// Plays what this agent did, and waits until all have played.
    pub(crate) async fn play(mut self) -> Result<Outcome, Failure> {
        self.gather().await?;
        let clock = Clock::new();
        let plan = self.plan;
        for frame in &plan.agents[self.me] {
            self.see(&frame.seen).await?;
            self.edit(frame)?;
        }
        self.see(&plan.totals()).await?;
        let seconds = clock.now().as_micros() as f64 / 1e6;
        if !self.room.settled(PATIENCE).await {
            return Err(Failure::failed("the relay did not take everything"));
        }
        let outcome = self.outcome(seconds);
        self.room.leave();
        Ok(outcome)
    }

    /// Waits until every agent is in the room.
    async fn gather(&mut self) -> Result<(), Failure> {
        self.room.hold_texts(true);
        self.room.ready().await.map_err(Failure::failed)?;
        let clock = Clock::new();
        while self.peers_here() < self.plan.agents.len() {
            if clock.now().as_micros() > PATIENCE.as_micros() as u64 {
                return Err(Failure::failed(format_args!(
                    "only {} of {} agents came: start the others with --as",
                    self.peers.len(),
                    self.plan.agents.len()
                )));
            }
            self.wait().await?;
        }
        let log = self.room.log(DocumentId::TEXTS);
        let mut writers = (0..log.len()).filter_map(|index| log.writer(index));
        if writers.any(|writer| !self.peers.contains_key(&writer)) {
            return Err(Failure::usage("the room has a text already: choose another with --room"));
        }
        Ok(())
    }

    fn peers_here(&mut self) -> usize {
        let agents = self.room.members().filter_map(|member| {
            let about: Json = serde_json::from_slice(&member.metadata).ok()?;
            let agent = usize::try_from(about["agent"].as_u64()?).ok()?;
            Some((member.peer, agent))
        });
        self.peers.extend(agents);
        self.peers.len()
    }

    /// Lets in what the others wrote up to here, and nothing more; waits for it to come.
    async fn see(&mut self, until: &[u64]) -> Result<(), Failure> {
        let missing = |seen: &[u64], me| {
            let mut counts = seen.iter().zip(until).enumerate();
            counts.any(|(agent, (seen, until))| agent != me && seen < until)
        };
        let mut clock = Clock::new();
        while missing(&self.seen, self.me) {
            let (peers, seen) = (&self.peers, &mut self.seen);
            let let_in = self.room.let_in_texts(|peer, sequence| {
                let agent = peers.get(&peer).filter(|&&agent| sequence <= until[agent]);
                agent.is_some_and(|&agent| {
                    seen[agent] = seen[agent].max(sequence);
                    true
                })
            });
            if let_in > 0 {
                clock = Clock::new();
            } else {
                if clock.now().as_micros() > PATIENCE.as_micros() as u64 {
                    return Err(Failure::failed(format_args!(
                        "agent {} waited in vain: saw {:?}, needs {until:?}",
                        self.me, self.seen
                    )));
                }
                self.wait().await?;
            }
        }
        Ok(())
    }

    fn edit(&mut self, frame: &Frame) -> Result<(), Failure> {
        let text = self.room.root().text.clone();
        for patch in &frame.patches {
            text.splice(&mut self.room, patch.at, patch.delete, &patch.insert)
                .map_err(Failure::failed)?;
        }
        self.room.flush();
        self.room.tick();
        self.drain();
        Ok(())
    }

    async fn wait(&mut self) -> Result<(), Failure> {
        self.room.wait(Duration::from_millis(100)).await;
        self.drain();
        match self.room.state() {
            State::Closed(reason) => Err(Failure::failed(reason)),
            _ => Ok(()),
        }
    }

    /// Nobody here wants to know what happened.
    fn drain(&mut self) {
        while self.room.poll_event().is_some() {}
    }

    fn outcome(&self, seconds: f64) -> Outcome {
        let text = self.room.root().text.read(&self.room).to_owned();
        let statistics = self.room.statistics();
        let own = self.plan.agents[self.me].len();
        let heads: Vec<String> =
            DocumentId::ALL.map(|document| hex::encode(self.room.log(document).digest())).to_vec();
        let sent = statistics.document.sent.bytes;
        let report = json!({
            "agent": self.me,
            "peer": self.room.peer().to_string(),
            "sha256": hex::encode(Sha256::digest(&text)),
            "chars": text.chars().count(),
            "changes": own,
            "delta_bytes_mean": sent as f64 / own.max(1) as f64,
            "bytes": traffic(&statistics),
            "seconds": seconds,
            "heads": heads,
        });
        Outcome { text, heads, report }
    }
}
