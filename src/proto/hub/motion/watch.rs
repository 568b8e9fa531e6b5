//! A member that is told where things are.

use std::collections::BTreeMap;
use std::time::Duration;

use smol_str::SmolStr;

use super::Motion;
use super::interest::{Interest, View};
use super::source::Source;
use crate::proto::config::StateConfig;
use crate::proto::id::{ClientNumber, Link};
use crate::proto::model::path::Path;
use crate::proto::motion::pace;
use crate::proto::motion::packets::Departures;
use crate::proto::state::grid::{Kind, Truth};
use crate::proto::state::stream::Outgoing;
use crate::proto::table::Table;
use crate::proto::time::Time;
use crate::proto::wire::bounded::{Blob, List};
use crate::proto::wire::message::{Message, StateAnswer, StateInterest, StatePacket, StateSection};

/// What a packet takes beside its sections, and a section beside its frame, from above.
const HEAD: usize = 16;
const SECTION: usize = 12;

/// The most sections of a packet.
const SECTIONS: usize = 128;

/// In what part of a second what a member is told may come at once.
const BURST: i64 = 4;

/// What a member knows of what another says.
#[derive(Debug, Default)]
struct Stream {
    outgoing: Outgoing,
    /// Whether there is something to say that was not said.
    stirred: bool,
    said_at: Time,
    /// When something was last said that was different, and how long a tick of its writer is.
    moved_at: Time,
    tick: Duration,
    /// Since when something that went out was not answered.
    unheard_since: Option<Time>,
}

/// What the frames of a packet were.
type Cargo = Vec<(ClientNumber, u32)>;

/// A member that is told.
#[derive(Debug)]
pub(super) struct Watcher {
    link: Link,
    /// What it wants to be told of.
    interest: Interest,
    /// When that is looked at again for everything; nothing if it need not be.
    review_at: Option<Time>,
    /// When it was last.
    reviewed_at: Option<Time>,
    streams: BTreeMap<ClientNumber, Stream>,
    departures: Departures<Cargo>,
    /// When it may be told something again.
    next: Time,
    /// How many bytes it may be told, as of when; below 0 if it was told more.
    credit: (i64, Time),
}

impl Stream {
    fn set(&mut self, name: &SmolStr, (kind, truth): (Kind, Truth)) {
        if let Err(error) = self.outgoing.set(name, kind, truth) {
            tracing::debug!(%name, %error, "not passed on");
        }
    }

    /// Says a value if it is wanted, and no more if it is not.
    fn offer(
        &mut self,
        name: &SmolStr,
        value: (Kind, Truth),
        interest: &Interest,
        (model, view): (&Path, View<'_>),
    ) {
        let told = self.outgoing.says(name);
        if interest.covers(model, view, told) {
            self.set(name, value);
            self.stirred |= !told;
        } else {
            self.stirred |= self.outgoing.remove(name);
        }
    }

    /// When it is to be said again, if it was not answered.
    fn due(&self, (config, round_trip): (&StateConfig, Duration)) -> Option<Time> {
        // While things move, what comes of their writer next does that.
        let last = self.said_at.max(self.moved_at + self.tick);
        let resend = config.resend_after(round_trip);
        let again = (!self.outgoing.is_settled()).then(|| last + resend);
        let lost = self.unheard_since.map(|at| at + config.patience_of(round_trip));
        [again, lost].into_iter().flatten().min()
    }
}

impl Watcher {
    pub(super) fn new(link: Link) -> Self {
        Self {
            link,
            interest: Interest::default(),
            review_at: Some(Time::ZERO),
            reviewed_at: None,
            streams: BTreeMap::new(),
            departures: Departures::default(),
            next: Time::ZERO,
            credit: (i64::MAX, Time::ZERO),
        }
    }

    pub(super) const fn link(&self) -> Link {
        self.link
    }

    pub(super) const fn next(&self) -> Time {
        self.next
    }

    /// Whether there is something to say of anybody, if it is time.
    fn wants(&self, now: Time, about: (&StateConfig, Duration)) -> bool {
        let due = |stream: &Stream| stream.due(about).is_some_and(|at| at <= now);
        self.streams.values().any(|stream| stream.stirred || due(stream))
    }

    /// When there is something to say, if nothing else happens before.
    fn due(&self, about: (&StateConfig, Duration)) -> Option<Time> {
        let due = self
            .streams
            .values()
            .filter_map(|stream| if stream.stirred { Some(self.next) } else { stream.due(about) });
        due.min().map(|at| at.max(self.next))
    }

    /// It says which packets came.
    pub(super) fn answered(&mut self, answer: StateAnswer) {
        for (client, number) in self.departures.arrived(answer).into_iter().flatten() {
            if let Some(stream) = self.streams.get_mut(&client) {
                stream.outgoing.acknowledge(number);
                stream.unheard_since = None;
            }
        }
    }

    /// A value is not told any more.
    pub(super) fn remove(&mut self, by: ClientNumber, name: &SmolStr) {
        if let Some(stream) = self.streams.get_mut(&by) {
            stream.stirred |= stream.outgoing.remove(name);
        }
    }

    /// It wants to be told of something else.
    pub(super) fn attend(&mut self, said: StateInterest, config: &StateConfig) {
        if !self.interest.is(&said) {
            self.interest = Interest::new(said);
            // Once in that time at most, however often it wants something else.
            let next = self.reviewed_at.map_or(Time::ZERO, |last| last + config.review);
            self.review_at = Some(self.review_at.map_or(next, |at| at.min(next)));
        }
    }

    /// Gives its streams what is different, as far as it wants to be told.
    fn update(
        &mut self,
        own: ClientNumber,
        sources: &BTreeMap<ClientNumber, Source>,
        view: View<'_>,
    ) {
        for (client, source) in sources.iter().filter(|(client, _)| **client != own) {
            if !source.stirred && source.fresh.is_empty() {
                continue;
            }
            let stream = self.streams.entry(*client).or_default();
            for (name, value) in &source.fresh {
                let Some(held) = view.held.get(name) else { continue };
                stream.offer(name, *value, &self.interest, (&held.name.model, view));
            }
            stream.stirred |= source.stirred && !stream.outgoing.is_empty();
        }
    }

    /// Looks at everything: whoever is new, or wants something else, or may by now.
    fn review(&mut self, own: ClientNumber, view: View<'_>) {
        for (name, held) in view.held.iter().filter(|(_, held)| held.by != own) {
            let stream = self.streams.entry(held.by).or_default();
            let value = (held.kind, held.truth);
            stream.offer(name, value, &self.interest, (&held.name.model, view));
        }
    }

    fn refill(&mut self, now: Time, config: &StateConfig) {
        let (credit, at) = self.credit;
        let rate = i64::try_from(config.bytes_per_second).unwrap_or(i64::MAX);
        let most = rate / BURST;
        let micros = i64::try_from((now - at).as_micros()).unwrap_or(i64::MAX);
        let more = micros.saturating_mul(rate) / 1_000_000;
        self.credit = (credit.saturating_add(more).min(most), now);
    }

    /// The streams of which there is something to say, those first of which nothing was said longest.
    fn due_streams(&self, now: Time, about: (&StateConfig, Duration)) -> Vec<ClientNumber> {
        let due = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.stirred || stream.due(about).is_some_and(|at| at <= now));
        let mut due: Vec<_> = due.map(|(client, stream)| (stream.said_at, *client)).collect();
        due.sort_unstable();
        due.into_iter().map(|(_, client)| client).collect()
    }

    /// What to send at a tick.
    fn speak(
        &mut self,
        (now, answer): (Time, Option<StateAnswer>),
        sources: &BTreeMap<ClientNumber, Source>,
        (config, round_trip): (&StateConfig, Duration),
    ) -> Vec<Message> {
        self.refill(now, config);
        let mut packets = Packets { answer, ..Packets::default() };
        for client in self.due_streams(now, (config, round_trip)) {
            let Some(source) = sources.get(&client) else { continue };
            let Some(stream) = self.streams.get_mut(&client) else { continue };
            let lost = stream.unheard_since.map(|at| at + config.patience_of(round_trip));
            if lost.is_some_and(|at| at <= now) {
                stream.unheard_since = None;
                stream.outgoing.restart();
            }
            let Some(credit) =
                usize::try_from(self.credit.0).ok().filter(|left| *left > HEAD + SECTION)
            else {
                break;
            };
            let begins = stream.outgoing.is_beginning();
            let room = if begins { config.whole } else { config.packet };
            let budget = room.min(credit).saturating_sub(HEAD + SECTION);
            let Some(pace) = source.pace else { continue };
            stream.said_at = now;
            if stream.stirred {
                (stream.moved_at, stream.tick) = (now, pace.period());
            }
            let Some(frame) = stream.outgoing.frame(source.tick, budget, true) else { continue };
            stream.stirred = false;
            let number = stream.outgoing.numbered();
            if begins {
                stream.outgoing.acknowledge(number);
            }
            if begins || !stream.outgoing.is_settled() {
                stream.unheard_since.get_or_insert(now);
            }
            self.credit.0 -= i64::try_from(frame.len() + SECTION).unwrap_or(i64::MAX);
            let pace = begins.then(|| pace.record());
            let beside = source.beside;
            if let Some(frame) = Blob::new(frame) {
                let section = StateSection { client, beside, pace, frame };
                packets.add(section, number, (&mut self.departures, config.packet));
            }
        }
        packets.end(&mut self.departures)
    }
}

/// Sections on their way into packets.
#[derive(Default)]
struct Packets {
    answer: Option<StateAnswer>,
    open: Vec<StateSection>,
    cargo: Cargo,
    bytes: usize,
    ready: Vec<Message>,
}

impl Packets {
    fn add(
        &mut self,
        section: StateSection,
        number: u32,
        (departures, room): (&mut Departures<Cargo>, usize),
    ) {
        let cargo = (section.client, number);
        if section.pace.is_some() {
            let packet = self.packet(departures, (vec![section], vec![cargo]));
            self.ready.push(Message::StateWhole(packet));
            return;
        }
        let bytes = section.frame.len() + SECTION;
        if !self.open.is_empty() && (self.bytes + bytes > room || self.open.len() == SECTIONS) {
            self.close(departures);
        }
        self.bytes += bytes + if self.open.is_empty() { HEAD } else { 0 };
        self.open.push(section);
        self.cargo.push(cargo);
    }

    fn close(&mut self, departures: &mut Departures<Cargo>) {
        let sections = (std::mem::take(&mut self.open), std::mem::take(&mut self.cargo));
        let packet = self.packet(departures, sections);
        self.ready.push(Message::State(packet));
        self.bytes = 0;
    }

    fn packet(
        &mut self,
        departures: &mut Departures<Cargo>,
        (sections, cargo): (Vec<StateSection>, Cargo),
    ) -> StatePacket {
        StatePacket {
            number: departures.depart(cargo).to_le_bytes(),
            answer: self.answer.unwrap_or_default(),
            known: 0,
            sections: List::of(sections),
        }
    }

    /// All packets; one with nothing but an answer, if there is one that was not given.
    fn end(mut self, departures: &mut Departures<Cargo>) -> Vec<Message> {
        if !self.open.is_empty() || (self.ready.is_empty() && self.answer.is_some()) {
            self.close(departures);
        }
        self.ready
    }
}

impl Motion {
    /// Gives every member's streams what is different.
    pub(super) fn prepare(&mut self, now: Time, config: &StateConfig, table: &Table) {
        let view = View { held: &self.held, table };
        let mut review: Option<Time> = None;
        for (client, watcher) in &mut self.watchers {
            if watcher.review_at.is_some_and(|at| at <= now) {
                watcher.review(*client, view);
                // Of who wants everything, what is different is all there is to look at.
                let chooses = !watcher.interest.is_everything();
                watcher.review_at = chooses.then(|| now + config.review);
                watcher.reviewed_at = Some(now);
            }
            watcher.update(*client, &self.sources, view);
            let due = watcher.review_at.filter(|_| !self.held.is_empty());
            review = review.into_iter().chain(due).min();
        }
        self.review_at = review;
    }

    /// Forgets who is gone, once everybody knows.
    fn forget_gone(&mut self) {
        let watchers = &mut self.watchers;
        self.sources.retain(|client, source| {
            let known = |watcher: &Watcher| {
                let stream = watcher.streams.get(client);
                stream.is_none_or(|stream| !stream.stirred && stream.outgoing.is_settled())
            };
            let stays = !source.over || !watchers.values().all(known);
            if !stays {
                watchers.values_mut().for_each(|watcher| {
                    watcher.streams.remove(client);
                });
            }
            stays
        });
    }

    /// What members are told. Each has ticks of its own, so that not all of them are worked for at once.
    pub(super) fn speak(
        &mut self,
        now: Time,
        config: &StateConfig,
        round_trip: impl Fn(Link) -> Option<Duration>,
    ) -> Vec<(Link, Message)> {
        self.due = None;
        let mut said = Vec::new();
        let mut due: Option<Time> = None;
        let of = self.watchers.len();
        for (place, (client, watcher)) in self.watchers.iter_mut().enumerate() {
            let about = (config, round_trip(watcher.link).unwrap_or_default());
            let source = self.sources.get_mut(client);
            let news = source.as_ref().is_some_and(|source| source.arrivals.has_news());
            if watcher.next <= now && (news || watcher.wants(now, about)) {
                watcher.next = pace::next(watcher.next, now, (config.frame(), place, of));
                let answer = source.filter(|_| news).map(|source| {
                    source.arrivals.told();
                    source.arrivals.answer()
                });
                let messages = watcher.speak((now, answer), &self.sources, about);
                said.extend(messages.into_iter().map(|message| (watcher.link, message)));
                due = due.into_iter().chain(watcher.due(about)).min();
            } else {
                let answer = news.then_some(watcher.next);
                due = due.into_iter().chain(answer).chain(watcher.due(about)).min();
            }
        }
        for source in self.sources.values_mut() {
            source.fresh.clear();
            source.stirred = false;
        }
        self.forget_gone();
        let ends = self.sources.values().filter_map(|source| source.ends);
        if let Some(at) = ends.chain(due).chain(self.review_at).min() {
            self.stir(at);
        }
        said
    }
}
