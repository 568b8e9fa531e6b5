//! The driver's side of the network: inputs out, effects in.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::net::clock::Clock;
use crate::net::config::NetConfig;
use crate::net::direct::Circle;
use crate::net::link::{Happening, Outbox};
use crate::net::voice::{Claim, Outgoing, Tunings, VoiceEnd, pack};
use crate::proto::audio::stream::Topic;
use crate::proto::event::{Effect, Input};
use crate::proto::id::Link;

/// Commands that may wait for the swarm. One more is dropped: each asks for the same.
const COMMANDS: usize = 4;

/// What the driver asks of the swarm. That the channel is closed means: end everything.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Command {
    /// Make a link.
    Dial,
}

/// The swarm's ends of the channels to a [`Links`].
#[derive(Debug)]
pub(crate) struct SwarmEnd {
    pub(crate) happenings: mpsc::Sender<Happening>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) tunings: Tunings,
    pub(crate) circle: Circle,
    pub(crate) outgoing: mpsc::Receiver<Outgoing>,
}

/// All links of one machine.
#[derive(Debug)]
pub(crate) struct Links {
    happenings: mpsc::Receiver<Happening>,
    /// Gone once everything is to end.
    commands: Option<mpsc::Sender<Command>>,
    outboxes: BTreeMap<Link, Outbox>,
    /// Inputs that arose here. At most one for each effect that was performed.
    own: VecDeque<Input>,
    voice: VoiceEnd,
    /// A packet that came by gossip, until the machine has passed it or asks for the next input.
    claim: Option<Claim>,
}

impl Links {
    pub(crate) fn new(config: &NetConfig, clock: Clock) -> (Self, SwarmEnd) {
        let (to_driver, happenings) = mpsc::channel(config.inputs.max(1));
        let (to_swarm, commands) = mpsc::channel(COMMANDS);
        let tunings = Tunings::new(config.voice.lapse, clock);
        let circle = Circle::default();
        let (to_say, outgoing) = mpsc::channel(config.voice.outgoing.max(1));
        let links = Self {
            happenings,
            commands: Some(to_swarm),
            outboxes: BTreeMap::new(),
            own: VecDeque::new(),
            voice: VoiceEnd { tunings: tunings.clone(), circle: circle.clone(), outgoing: to_say },
            claim: None,
        };
        let end = SwarmEnd { happenings: to_driver, commands, tunings, circle, outgoing };
        (links, end)
    }

    /// What voice goes by.
    pub(crate) const fn voice(&self) -> &VoiceEnd {
        &self.voice
    }

    /// The next input, if there is one.
    pub(crate) fn poll_input(&mut self) -> Option<Input> {
        self.ignore();
        if let Some(input) = self.own.pop_front() {
            return Some(traced(input));
        }
        let happening = self.happenings.try_recv().ok()?;
        Some(self.on_happening(happening))
    }

    /// The next input; nothing, once the swarm is gone. Can be cancelled without losing any.
    pub(crate) async fn next_input(&mut self) -> Option<Input> {
        self.ignore();
        if let Some(input) = self.own.pop_front() {
            return Some(traced(input));
        }
        let happening = self.happenings.recv().await?;
        Some(self.on_happening(happening))
    }

    /// Does what the machine asks for, without waiting.
    pub(crate) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Dial => {
                tracing::trace!("effect: dial");
                self.dial();
            }
            Effect::Send { link, lane, frame } => {
                tracing::trace!(?link, ?lane, bytes = frame.len(), "effect: send");
                let Some(outbox) = self.outboxes.get(&link) else {
                    tracing::debug!(?link, ?lane, "dropped a frame for a link that has ended");
                    return;
                };
                if let Err(overflow) = outbox.push(lane, frame)
                    && let Some(outbox) = self.outboxes.remove(&link)
                {
                    tracing::debug!(?link, ?lane, %overflow, "frame not taken");
                    self.voice.tunings.end(link);
                    outbox.abort(overflow);
                }
            }
            Effect::Disconnect { link } => {
                tracing::trace!(?link, "effect: disconnect");
                self.voice.tunings.end(link);
                self.outboxes.remove(&link);
            }
            Effect::Tune { link, topic, tune } => {
                tracing::trace!(?link, %topic, ?tune, "effect: tune");
                self.voice.tunings.tune(link, topic, tune);
            }
            Effect::Pass { link, topic, packet } => {
                tracing::trace!(?link, %topic, bytes = packet.len(), "effect: pass");
                self.pass(link, topic, packet);
            }
            Effect::Acquaint { peer, known } => {
                tracing::trace!(?peer, known, "effect: acquaint");
                self.voice.circle.acquaint(peer, known);
            }
            Effect::Share(shared) => {
                tracing::trace!(?shared, "effect: share");
                self.voice.circle.share(shared);
            }
            // These are the relay's to do; a peer never asks for them.
            Effect::Authorise { .. } | Effect::Commit { .. } | Effect::Fetch { .. } => {
                tracing::debug!(?effect, "nobody does this");
            }
        }
    }

    /// Passes a packet on, each hearer's way.
    fn pass(&mut self, link: Link, topic: Topic, packet: Bytes) {
        let ways = self.voice.tunings.ways(topic, link);
        if !ways.datagrams.is_empty()
            && let Some(packed) = pack(topic, &packet)
        {
            for outbox in &ways.datagrams {
                outbox.push(packed.clone());
            }
        }
        if ways.gossip {
            match self.claim.take() {
                Some(claim) => self.hand_over(Outgoing::Accept { topic, claim }),
                None => self.hand_over(Outgoing::Publish { topic, packet }),
            }
        }
    }

    /// What the machine did not pass on, it never will.
    fn ignore(&mut self) {
        if let Some(claim) = self.claim.take() {
            self.hand_over(Outgoing::Ignore(claim));
        }
    }

    fn hand_over(&self, outgoing: Outgoing) {
        if self.voice.outgoing.try_send(outgoing).is_err() {
            tracing::debug!("the swarm has enough to do: a packet is lost");
        }
    }

    /// Ends every link once what was sent before is out, and then the swarm.
    pub(crate) fn close(&mut self) {
        self.outboxes.clear();
        self.commands = None;
    }

    /// Takes no more inputs: links end without waiting for room in the queue.
    pub(crate) fn stop_listening(&mut self) {
        self.happenings.close();
        while self.happenings.try_recv().is_ok() {}
    }

    fn dial(&mut self) {
        use mpsc::error::TrySendError;

        let sent = match &self.commands {
            Some(commands) => commands.try_send(Command::Dial),
            None => Err(TrySendError::Closed(Command::Dial)),
        };
        // A full queue holds another dial, and its answer is this one's.
        if let Err(TrySendError::Closed(_)) = sent {
            self.own.push_back(Input::Unreachable {
                why: "the network of this process has ended".to_owned(),
            });
        }
    }

    fn on_happening(&mut self, happening: Happening) -> Input {
        traced(match happening {
            Happening::Up { link, peer, outbox } => {
                self.outboxes.insert(link, outbox);
                Input::Connected { link, peer }
            }
            Happening::Spoken { link, topic, packet, claim } => {
                self.claim = claim;
                Input::Spoken { link, topic, packet }
            }
            Happening::Input(input) => {
                if let Input::Disconnected { link } = &input {
                    self.outboxes.remove(link);
                }
                input
            }
        })
    }
}

fn traced(input: Input) -> Input {
    match &input {
        Input::Connected { link, peer } => tracing::trace!(?link, ?peer, "input: connected"),
        Input::Unreachable { why } => tracing::trace!(%why, "input: unreachable"),
        Input::Disconnected { link } => tracing::trace!(?link, "input: disconnected"),
        Input::Received { link, lane, frame } => {
            tracing::trace!(?link, ?lane, bytes = frame.len(), "input: received");
        }
        Input::Written { link, lane, bytes } => {
            tracing::trace!(?link, ?lane, bytes, "input: written");
        }
        Input::Authorised { link, verdict } => {
            tracing::trace!(?link, ?verdict, "input: authorised");
        }
        Input::Fetched { room, kept } => {
            tracing::trace!(room = %room.1, ?kept, "input: fetched");
        }
        Input::Committed { number, outcome } => {
            tracing::trace!(number, ?outcome, "input: committed");
        }
        Input::Spoken { link, topic, packet } => {
            tracing::trace!(?link, %topic, bytes = packet.len(), "input: spoken");
        }
        Input::Neighbour { peer, near } => tracing::trace!(?peer, near, "input: neighbour"),
    }
    input
}
