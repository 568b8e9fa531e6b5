//! A peer that is controlled by lines.

use std::iter;
use std::time::Duration;

use parlor::proto::datastore::intent::{Intent, Splice};
use parlor::proto::datastore::tree;
use parlor::proto::event::{Event, State};
use parlor::proto::id::DocumentId;
use parlor::proto::model::list::Position;
use parlor::proto::model::path::Path;
use parlor::room::Room;
use parlor::{Denial, Outcome, Ticket};
use serde_json::{Value as Json, json};
use tokio::time::timeout;

use super::Untyped;
use super::command::{Command, HELP};
use super::input::Input;
use super::place::{Finder, Place, What, words};
use super::say::{Told, told};
use super::show;
use super::value;
use super::watch::{Look, about, line, object};
use crate::export::values;
use crate::failure::Failure;
use crate::output::{FAINT, NAME, Output, STRONG, complain, paint};
use crate::replay::traffic;

/// How long the relay has to take everything: three times as long as silence lasts until a link counts
/// as dead, so that a relay which came back meanwhile is found again.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Session {
    pub(super) room: Room<Untyped>,
    pub(super) output: Output,
    /// Whether a person types.
    watched: bool,
    /// What the room looked like, while somebody wants to know what happens in it.
    look: Option<Look>,
    mistakes: usize,
    /// The last claim that was denied.
    pub(super) denied: Option<(Path, Denial)>,
    /// What became of the last proposal.
    decided: Option<(Ticket, Outcome)>,
    /// What became of the last signal to one hearer.
    pub(super) told: Option<Told>,
}

impl Session {
    pub(super) fn new(room: Room<Untyped>, output: Output, watched: bool) -> Self {
        let look = output.json.then(|| Look::at(&room));
        Self { room, output, watched, look, mistakes: 0, denied: None, decided: None, told: None }
    }

    /// Does what the lines say until there are no more, then leaves.
    pub(super) async fn run(mut self, mut input: Input) -> Result<(), Failure> {
        let members = self.room.members().count();
        let peer = self.room.peer().to_string();
        let relay = self.room.relay().map(|relay| relay.to_string());
        let ready = json!({ "event": "ready", "peer": peer, "members": members, "relay": relay });
        if self.watched || self.output.json {
            let text = format!("ready as {peer}, one of {members}; `help` lists the commands");
            self.output.tell(&ready, paint(FAINT, text))?;
        }
        loop {
            let next = tokio::select! {
                next = input.next() => next,
                () = self.room.wait(Duration::from_secs(1)) => {
                    self.report(Some(&mut input))?;
                    self.check()?;
                    continue;
                }
            };
            let Some(next) = next else { break };
            self.report(None)?;
            if !self.output.json {
                self.look = None;
            }
            let goes_on = Box::pin(self.take(&next.text)).await?;
            // An error means that the input has ended, which the next line will say.
            next.done.send(()).ok();
            if !goes_on {
                break;
            }
        }
        Box::pin(self.leave()).await
    }

    async fn leave(mut self) -> Result<(), Failure> {
        let settled = self.room.settled(PATIENCE).await;
        self.report(None)?;
        self.room.leave();
        self.room.wait(Duration::ZERO).await;
        if !settled {
            return Err(Failure::failed("the relay does not have everything: try again"));
        }
        if self.mistakes > 0 && !self.watched {
            return Err(Failure::failed(format_args!(
                "{} of the commands were not done",
                self.mistakes
            )));
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Failure> {
        match self.room.state() {
            State::Closed(reason) => Err(Failure::failed(reason)),
            _ => Ok(()),
        }
    }

    /// Does what a line says. Returns whether to go on.
    async fn take(&mut self, line: &str) -> Result<bool, Failure> {
        let command = match Command::parse(line) {
            Ok(command) => command,
            Err(why) => return self.refuse(&why),
        };
        if command == Command::Quit {
            return Ok(false);
        }
        match Box::pin(self.perform(command)).await? {
            Ok(()) => Ok(true),
            Err(why) => self.refuse(&why),
        }
    }

    fn refuse(&mut self, why: &str) -> Result<bool, Failure> {
        self.mistakes += 1;
        if self.output.json {
            self.output.object(&json!({ "error": why }))?;
        } else {
            complain(why);
        }
        Ok(true)
    }

    /// Does a command; the inner error is a mistake of whoever gave it.
    async fn perform(&mut self, command: Command) -> Result<Result<(), String>, Failure> {
        let done = match command {
            Command::Show { path } => return self.show(&path),
            Command::Members => return self.members().map(Ok),
            Command::Statistics => return self.statistics().map(Ok),
            Command::Help => return self.output.line(HELP).map(Ok),
            Command::Nothing | Command::Quit => return Ok(Ok(())),
            Command::Watch => {
                self.look = Some(Look::at(&self.room));
                return Ok(Ok(()));
            }
            Command::Wait => {
                return Ok(if self.room.settled(PATIENCE).await {
                    Ok(())
                } else {
                    Err("the relay does not have everything yet".to_owned())
                });
            }
            Command::Claim { path, terms } => return self.claim(&path, terms).await,
            Command::Give { path, to } => return self.give(&path, &to).await,
            Command::Release { path } => self.release(&path),
            Command::Owner { path } => return self.owner(&path),
            Command::Room => return self.tell_room().map(Ok),
            Command::Ask(request) => return self.ask(&request).await,
            Command::Presence { key, value } => {
                let said = self.room.set_presence(&key, value.map(Into::into), None);
                said.map_err(|error| error.to_string())
            }
            Command::Say { name, text } => self.say(name, text),
            Command::Shout { name, text } => self.shout(name, text),
            Command::Tell { to, name, text } => return self.tell(&to, name, text).await,
            Command::Set { path, value } => self.set(&path, &value),
            Command::Add { collection, arguments } => {
                let added = match self.add(&collection, &arguments) {
                    Ok((key, Some(ticket))) => self.decided(ticket).await?.map(|()| key),
                    Ok((key, None)) => Ok(key),
                    Err(why) => Err(why),
                };
                match added {
                    Ok(key) => {
                        self.output.tell(&json!({ "added": key }), &key)?;
                        Ok(())
                    }
                    Err(why) => Err(format!("{collection}: {why}")),
                }
            }
            Command::Remove { path } => self.removed(&path).await?,
            Command::Count { path, by } => self.count(&path, by),
            Command::Insert { path, at, text } => self.splice(&path, at, 0, text),
            Command::Delete { path, at, count } => self.splice(&path, at, count, String::new()),
        };
        // What was typed shows at once, and is written before the next line counts on it.
        self.room.flush();
        self.report(None)?;
        Ok(done)
    }

    async fn removed(&mut self, path: &str) -> Result<Result<(), String>, Failure> {
        match self.remove(path) {
            Ok(Some(ticket)) => {
                let decided = self.decided(ticket).await?;
                Ok(decided.map_err(|why| format!("{path}: {why}")))
            }
            Ok(None) => Ok(Ok(())),
            Err(why) => Ok(Err(why)),
        }
    }

    pub(super) fn finder(&self) -> Finder<'_> {
        Finder::new(self.room.table())
    }

    fn show(&mut self, path: &str) -> Result<Result<(), String>, Failure> {
        let place = match self.finder().find(path) {
            Ok(place) => place,
            Err(why) => return Ok(Err(why)),
        };
        let room = values(&self.room);
        let Some(json) = show::at(&room, &place.steps) else {
            return Ok(Err(format!("nothing stands at {path}")));
        };
        if self.output.json {
            return self.output.object(json).map(Ok);
        }
        for line in show::lines(json) {
            self.output.line(line)?;
        }
        Ok(Ok(()))
    }

    fn members(&self) -> Result<(), Failure> {
        let me = self.room.client();
        let members: Vec<Json> = self.room.members().map(about).collect();
        if self.output.json {
            return self.output.object(&json!({ "members": members }));
        }
        for member in self.room.members() {
            let you = if Some(member.client) == me { " (you)" } else { "" };
            let client = paint(NAME, member.client);
            let metadata = String::from_utf8_lossy(&member.metadata);
            self.output.line(format_args!("{client} {}{you} {metadata}", member.peer))?;
        }
        Ok(())
    }

    fn statistics(&self) -> Result<(), Failure> {
        let statistics = self.room.statistics();
        let round_trip = statistics.round_trip.as_secs_f64() * 1e3;
        let jitter = statistics.jitter.as_secs_f64() * 1e3;
        let changes = DocumentId::ALL.map(|document| self.room.log(document).len());
        let bytes = traffic(&statistics);
        let all = json!({
            "round_trip_ms": round_trip,
            "jitter_ms": jitter,
            "changes": changes.iter().sum::<usize>(),
            "bytes": bytes,
        });
        if self.output.json {
            return self.output.object(&all);
        }
        self.output.line(format_args!(
            "round trip {} ms, jitter {jitter:.2} ms; {} changes",
            paint(STRONG, format_args!("{round_trip:.2}")),
            all["changes"]
        ))?;
        for lane in ["control", "document", "snapshot"] {
            let (sent, received) = (&bytes[lane]["sent"], &bytes[lane]["received"]);
            let lane = paint(NAME, lane);
            self.output.line(format_args!("{lane}: {sent} bytes sent, {received} received"))?;
        }
        Ok(())
    }

    fn intend(&mut self, intent: Intent) -> Result<(), String> {
        self.room.intend(intent).map_err(|error| error.to_string())
    }

    fn set(&mut self, path: &str, text: &str) -> Result<(), String> {
        let finder = self.finder();
        let place = finder.find(path)?;
        let (model, property) = place.property()?;
        if !finder.has_element(&model) {
            return Err(format!("there is no model at {path}: `add` makes one"));
        }
        let intent = put(&finder, &place, (model, property), text)?;
        self.intend(intent)
    }

    /// Returns the key of what was added, and the ticket if it was only proposed.
    fn add(
        &mut self,
        collection: &str,
        arguments: &[String],
    ) -> Result<(String, Option<Ticket>), String> {
        let place = self.finder().find(collection)?;
        let confirmed = matches!(place.what, What::Confirmed(_));
        let keyed = confirmed || matches!(place.what, What::Dictionary(_));
        let (key, properties) = match arguments.split_first() {
            Some((key, rest)) if keyed => (key.clone(), rest),
            None if keyed => return Err(format!("{collection} is a dictionary: name a key")),
            _ => (self.room.element_key(), arguments),
        };
        let tag: String = key.chars().rev().take(6).collect();
        let (What::Set(name) | What::Dictionary(name) | What::List(name) | What::Confirmed(name)) =
            &place.what
        else {
            return Err(format!("{collection} is no set, list or dictionary"));
        };
        let name = name.clone().unwrap_or_default();
        let finder = self.finder();
        let model = place.path.join(&key);
        let position = matches!(place.what, What::List(_)).then(|| {
            let order = tree::order(self.room.table(), &place.path);
            Position::between(order.last().map(|(last, _)| last), None, &tag)
        });
        let mut intents = vec![Intent::Create {
            model: model.clone(),
            blueprint: finder.records.blueprint(&name),
            position,
        }];
        for argument in properties {
            intents.push(assignment(&finder, &name, &model, argument)?);
        }
        if confirmed {
            let proposed = self.room.propose(model, intents).map_err(|error| error.to_string())?;
            return Ok((key, Some(proposed)));
        }
        for intent in intents {
            self.intend(intent)?;
        }
        Ok((key, None))
    }

    /// Returns the ticket if it was only proposed.
    fn remove(&mut self, path: &str) -> Result<Option<Ticket>, String> {
        let finder = self.finder();
        let place = finder.find(path)?;
        let parent = place.path.split().map(|(parent, _)| finder.name(&parent).what);
        let confirmed = matches!(parent, Some(What::Confirmed(_)));
        if !confirmed && !matches!(parent, Some(What::Set(_) | What::Dictionary(_) | What::List(_)))
        {
            return Err(format!("{path} is not in a set, list or dictionary"));
        }
        if !finder.stands(&place.path) {
            return Err(format!("nothing stands at {path}"));
        }
        if confirmed {
            let proposed = self.room.propose_removal(place.path);
            return proposed.map(Some).map_err(|error| error.to_string());
        }
        self.intend(Intent::Remove { model: place.path }).map(|()| None)
    }

    /// Waits until it is told what became of a proposal. Without the relay there is nothing to wait
    /// for.
    async fn decided(&mut self, ticket: Ticket) -> Result<Result<(), String>, Failure> {
        self.room.flush();
        let outcome = timeout(PATIENCE, async {
            loop {
                self.report(None)?;
                let decided = self.decided.filter(|(of, _)| *of == ticket);
                if decided.is_some() || *self.room.state() != State::Ready {
                    return Ok::<_, Failure>(decided.map(|(_, outcome)| outcome));
                }
                self.room.wait(PATIENCE).await;
            }
        });
        let outcome = outcome.await.ok().transpose()?.flatten();
        Ok(match outcome {
            Some(Outcome::Done | Outcome::Found) => Ok(()),
            Some(Outcome::Lost(why)) => Err(why.to_string()),
            Some(Outcome::Failed(fault)) => Err(format!("the room takes no more ({fault})")),
            None => Err("not decided yet: an event tells when it is".to_owned()),
        })
    }

    fn count(&mut self, path: &str, by: i64) -> Result<(), String> {
        let place = self.finder().find(path)?;
        if place.what != What::Counter {
            return Err(format!("{path} is no counter"));
        }
        let (model, property) = place.property()?;
        self.intend(Intent::Count { model, property, by })
    }

    fn splice(&mut self, path: &str, at: usize, delete: usize, text: String) -> Result<(), String> {
        let place = self.finder().find(path)?;
        if place.what != What::Text {
            return Err(format!("{path} is no text"));
        }
        let (models, texts) = (self.room.table(), self.room.text_table());
        let now = tree::value_at(models, texts, &place.path);
        let len = now.as_ref().and_then(Json::as_str).unwrap_or_default();
        let len = len.chars().count();
        if at.saturating_add(delete) > len {
            return Err(format!("the text has only {len} characters"));
        }
        let splice = Splice { text: place.path, at, delete, insert: text };
        self.room.intend_splice(splice).map_err(|error| error.to_string())
    }

    /// Tells what happened since the last time, if somebody wants to know.
    pub(super) fn report(&mut self, mut above: Option<&mut Input>) -> Result<(), Failure> {
        let events: Vec<Event> = iter::from_fn(|| self.room.poll_event()).collect();
        let mut happened = Vec::new();
        for event in &events {
            let lost = matches!(event, Event::Dropped { .. } | Event::Refused { .. });
            if let Event::ClaimDenied { model, why } = event {
                self.denied = Some((model.clone(), *why));
            }
            self.told = told(event).or(self.told);
            if let Event::Settled { ticket, outcome, .. } = event {
                self.decided = Some((*ticket, *outcome));
            }
            if lost || self.look.is_some() {
                happened.extend(object(event, |path| words(&self.finder().name(path).steps)));
            }
        }
        if let Some(look) = &mut self.look {
            happened.extend(look.again(&self.room));
        }
        for happened in &happened {
            let text = line(happened);
            let printed = !self.output.json
                && above.as_deref_mut().is_some_and(|input| input.print_above(&text));
            if !printed {
                self.output.tell(happened, text)?;
            }
        }
        Ok(())
    }
}

/// What gives a property the value that was typed.
fn put(
    finder: &Finder<'_>,
    place: &Place,
    (model, property): (Path, u16),
    text: &str,
) -> Result<Intent, String> {
    match &place.what {
        What::Value(kind) if kind.starts_with("reference to ") && text.contains('/') => {
            let target = finder.find(text)?.path;
            Ok(Intent::Put { model, property, value: value::parse(kind, target.as_str(), None)? })
        }
        What::Value(kind) => Ok(Intent::Put {
            model,
            property,
            value: value::parse(kind, text, finder.value(&place.path).as_ref())?,
        }),
        What::Counter => Ok(Intent::Count {
            model,
            property,
            by: text
                .parse()
                .map_err(|_| "a counter takes a whole number, which is added".to_owned())?,
        }),
        What::Text => Err("this is a text: use `text PATH insert AT \"...\"`".to_owned()),
        What::Model(_)
        | What::Set(_)
        | What::Dictionary(_)
        | What::List(_)
        | What::Confirmed(_) => Err("this is no value: name one of its properties".to_owned()),
    }
}

/// `NAME=VALUE` of a new model.
fn assignment(
    finder: &Finder<'_>,
    name: &str,
    model: &Path,
    argument: &str,
) -> Result<Intent, String> {
    let (property, text) =
        argument.split_once('=').ok_or_else(|| format!("`{argument}` is not NAME=VALUE"))?;
    let place = finder.of_type(name, model, property)?;
    let target = place.property()?;
    put(finder, &place, target, text)
}
