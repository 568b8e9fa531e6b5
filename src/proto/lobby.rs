//! A peer that is in no room, and asks a relay about rooms. A state machine like [`super::peer`].
//!
//! It has a link while something is not answered, and for a little longer
//! ([`PeerConfig::visit`]); nothing is tried twice: what is not answered because the link ended, or was
//! not there, says so.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::config::PeerConfig;
use super::dialogue::Dialogue;
use super::event::{Effect, Input};
use super::id::{AppKey, Link, PeerId};
use super::lane::lane_of;
use super::proof::{self, Side};
use super::reason::{Reason, Refusal, RequestError, SERVICE_SINCE, ServiceError, Version};
use super::service::{Answer, Request, RequestId};
use super::time::Time;
use super::wire;
use super::wire::bounded::{Line, List};
use super::wire::message::{
    AnswerRecord, Asked, Hello, Message, RequestRecord, ServiceMessage, Told,
};
use super::wire::rooms;

/// The most items of one message, by the specification.
const MOST: usize = 64;
/// How long silence means loss: a link of a driver loses nothing, that of a simulator may.
const PATIENCE: Duration = Duration::from_millis(500);

/// What is known of one request.
#[derive(Debug)]
enum Asking {
    /// It waits for a link.
    Waiting(RequestRecord),
    /// It was said on the link that is open.
    Said,
}

#[derive(Debug)]
struct Visit {
    link: Link,
    relay: PeerId,
    nonce: [u8; 16],
    theirs: Option<Hello>,
    /// Whether the relay has said anything to what was asked.
    heard: bool,
    dialogue: Dialogue<Asked>,
    repeat_at: Time,
    /// When the last request was made, or the last answer came.
    busy_at: Time,
}

/// A peer that asks about rooms.
#[derive(Debug)]
pub struct Lobby {
    peer: PeerId,
    app_key: AppKey,
    token: Option<String>,
    config: PeerConfig,
    rng: ChaCha12Rng,
    dialling: bool,
    visit: Option<Visit>,
    asked: u64,
    requests: BTreeMap<u64, Asking>,
    effects: VecDeque<Effect>,
    answers: VecDeque<(RequestId, Result<Answer, RequestError>)>,
}

impl Lobby {
    /// Somebody who asks about the rooms of an application. Of the configuration its requests, waits
    /// and limits count.
    #[must_use]
    pub fn new(peer: PeerId, app_key: AppKey, config: PeerConfig, seed: [u8; 32]) -> Self {
        Self {
            peer,
            app_key,
            token: None,
            config,
            rng: ChaCha12Rng::from_seed(seed),
            dialling: false,
            visit: None,
            asked: 0,
            requests: BTreeMap::new(),
            effects: VecDeque::new(),
            answers: VecDeque::new(),
        }
    }

    /// What to show the relay from the next link on, where tokens are asked for.
    pub fn set_token(&mut self, token: Option<String>) {
        self.token = token;
    }

    /// Asks the relay for something. An answer with the same number follows, whatever becomes of it.
    ///
    /// # Errors
    ///
    /// When it cannot be asked: see [`RequestError`].
    pub fn ask(&mut self, request: &Request, now: Time) -> Result<RequestId, RequestError> {
        let limit = self.config.requests;
        if self.requests.len() >= limit {
            return Err(RequestError::Busy { limit });
        }
        let request = rooms::request(request, self.app_key.app(), None)?;
        self.asked += 1;
        self.requests.insert(self.asked, Asking::Waiting(request));
        if let Some(visit) = &mut self.visit {
            visit.busy_at = now;
        } else if !self.dialling {
            self.dialling = true;
            self.effects.push_back(Effect::Dial);
        }
        self.drive(now);
        Ok(RequestId(self.asked))
    }

    /// Something happened outside.
    pub fn handle(&mut self, now: Time, input: Input) {
        let is_it = |link| self.visit.as_ref().is_some_and(|visit| visit.link == link);
        match input {
            Input::Connected { link, peer } => self.on_connected(now, link, peer),
            Input::Unreachable { why } => {
                if std::mem::take(&mut self.dialling) {
                    self.end(&Reason::Unreachable { why });
                }
            }
            Input::Disconnected { link } if is_it(link) => self.end(&Reason::Lost),
            Input::Received { link, frame, .. } if is_it(link) => self.on_frame(now, &frame),
            Input::Disconnected { .. }
            | Input::Received { .. }
            | Input::Written { .. }
            | Input::Authorised { .. }
            | Input::Fetched { .. }
            | Input::Committed { .. }
            | Input::Spoken { .. }
            | Input::Neighbour { .. } => {}
        }
        self.drive(now);
    }

    /// Lets time pass. Call at [`Self::poll_timeout`].
    pub fn tick(&mut self, now: Time) {
        let Some(visit) = &mut self.visit else { return };
        visit.dialogue.tick(now);
        let waited = now - visit.busy_at;
        if !self.requests.is_empty() && waited >= self.config.join_timeout {
            self.end(&Reason::JoinTimeout { waited });
            return;
        }
        if self.requests.is_empty() && waited >= self.config.visit {
            self.end(&Reason::Left);
            return;
        }
        if !visit.heard && now >= visit.repeat_at {
            visit.repeat_at = now + self.config.handshake_retry;
            // Either may be what was lost.
            let theirs = visit.theirs.clone();
            self.greet();
            if let Some(hello) = theirs {
                self.introduce(&hello);
            }
        }
        self.drive(now);
    }

    /// The next thing to do outside.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The next answer.
    pub fn poll_answer(&mut self) -> Option<(RequestId, Result<Answer, RequestError>)> {
        self.answers.pop_front()
    }

    /// When [`Self::tick`] has something to do, if nothing else happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let visit = self.visit.as_ref()?;
        let over = match self.requests.is_empty() {
            true => visit.busy_at + self.config.visit,
            false => visit.busy_at + self.config.join_timeout,
        };
        let again = (!visit.heard).then_some(visit.repeat_at);
        [Some(over), again, visit.dialogue.deadline()].into_iter().flatten().min()
    }

    fn on_connected(&mut self, now: Time, link: Link, relay: PeerId) {
        self.dialling = false;
        if self.visit.is_some() || self.requests.is_empty() {
            self.effects.push_back(Effect::Disconnect { link });
            return;
        }
        let mut nonce = [0; 16];
        self.rng.fill_bytes(&mut nonce);
        let dialogue = Dialogue::new(MOST, self.config.limits.acknowledge_after);
        let repeat_at = now + self.config.handshake_retry;
        let (theirs, heard, busy_at) = (None, false, now);
        self.visit =
            Some(Visit { link, relay, nonce, theirs, heard, dialogue, repeat_at, busy_at });
        self.greet();
    }

    fn greet(&mut self) {
        let Some(visit) = &self.visit else { return };
        let (nonce, app) = (visit.nonce, self.app_key.app());
        self.say(&Message::Hello(Hello { version: Version::CURRENT, nonce, app, schema: [0; 8] }));
    }

    /// Shows the relay that this peer knows the app key.
    fn introduce(&mut self, hello: &Hello) {
        let Some(visit) = &self.visit else { return };
        let (pair, nonces) = ((self.peer, visit.relay), (&visit.nonce, &hello.nonce));
        let proof = proof::prove(&self.app_key, Side::Visitor, pair, nonces, "");
        let token = self.token.as_deref().and_then(Line::new);
        self.say(&Message::Service(ServiceMessage::Visit { proof, token }));
    }

    fn on_frame(&mut self, now: Time, frame: &Bytes) {
        match wire::decode(frame, self.config.limits.frame) {
            Ok(Message::Hello(hello)) => self.on_hello(hello),
            Ok(Message::Refused(refusal)) => self.end(&Reason::Refused(refusal)),
            Ok(Message::Service(ServiceMessage::Told { position, items })) => {
                self.on_told(now, position, items.into_vec());
            }
            Ok(Message::Service(ServiceMessage::Received { received, gap })) => {
                if let Some(visit) = &mut self.visit {
                    visit.heard = true;
                    visit.dialogue.acknowledge(received, gap, (now, PATIENCE));
                }
            }
            Ok(_) => self.fault("a message for who is in a room"),
            Err(error) => self.fault(&error.to_string()),
        }
    }

    fn on_hello(&mut self, hello: Hello) {
        let (peer, relay) = (Version::CURRENT, hello.version);
        if relay.major != peer.major || relay.minor < SERVICE_SINCE {
            self.end(&Reason::Refused(Refusal::VersionMismatch { peer, relay }));
            return;
        }
        if let Some(visit) = self.visit.as_mut().filter(|visit| visit.theirs.is_none()) {
            visit.theirs = Some(hello.clone());
            self.introduce(&hello);
        }
    }

    fn on_told(&mut self, now: Time, position: u64, items: Vec<Told>) {
        let Some(visit) = self.visit.as_mut().filter(|visit| visit.theirs.is_some()) else {
            return;
        };
        visit.heard = true;
        let known = visit.dialogue.offer(position, items.len(), now);
        for told in items.into_iter().skip(known.unwrap_or(usize::MAX)) {
            match told {
                Told::Answer { number, answer } => self.on_answer(now, number, answer),
                // Who asks for so long comes again with another.
                Told::Expires { .. } => {}
                Told::Room(_)
                | Told::Fact(_)
                | Told::Presence { .. }
                | Told::Here
                | Told::Voice(_)
                | Told::Keeps(_)
                | Told::Kept { .. } => {
                    self.fault("what is told who is in a room");
                }
            }
        }
    }

    fn on_answer(&mut self, now: Time, number: u64, answer: Result<AnswerRecord, ServiceError>) {
        if self.requests.remove(&number).is_none() {
            return;
        }
        if let Some(visit) = &mut self.visit {
            visit.busy_at = now;
        }
        let answer = match answer {
            Ok(answer) => match rooms::answer(answer, self.app_key.app()) {
                Some(answer) => Ok(answer),
                None => return self.fault("an answer with a name that is none"),
            },
            Err(error) => Err(RequestError::Refused(error)),
        };
        self.answers.push_back((RequestId(number), answer));
    }

    fn drive(&mut self, now: Time) {
        let Some(visit) = self.visit.as_mut().filter(|visit| visit.theirs.is_some()) else {
            return;
        };
        for (number, asking) in &mut self.requests {
            if let Asking::Waiting(request) = std::mem::replace(asking, Asking::Said) {
                visit.dialogue.push(Asked::Request { number: *number, request });
            }
        }
        let mut messages = Vec::new();
        while let Some((position, items)) =
            visit.dialogue.gather(MOST, (now, PATIENCE), rooms::size)
        {
            messages.push(ServiceMessage::Asked { position, items: List::of(items) });
        }
        if let Some((received, gap)) = visit.dialogue.answer(now) {
            messages.push(ServiceMessage::Received { received, gap });
        }
        for message in messages {
            self.say(&Message::Service(message));
        }
    }

    fn say(&mut self, message: &Message) {
        let Some(visit) = &self.visit else { return };
        let (link, lane) = (visit.link, lane_of(message));
        self.effects.push_back(Effect::Send { link, lane, frame: wire::encode(message) });
    }

    fn fault(&mut self, what: &str) {
        self.end(&Reason::RelayFault { what: what.to_owned() });
    }

    /// The link is over: nothing is answered any more.
    fn end(&mut self, reason: &Reason) {
        if let Some(visit) = self.visit.take() {
            self.effects.push_back(Effect::Disconnect { link: visit.link });
        }
        for (number, _) in std::mem::take(&mut self.requests) {
            let error = RequestError::NoLink(Box::new(reason.clone()));
            self.answers.push_back((RequestId(number), Err(error)));
        }
    }
}
