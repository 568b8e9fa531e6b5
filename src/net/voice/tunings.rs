//! Who has to do with which topic.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libp2p::swarm::ConnectionId;
use tokio::sync::Notify;

use crate::net::clock::Clock;
use crate::net::voice::lane::VoiceOutbox;
use crate::net::voice::pack::{Prefix, prefix};
use crate::proto::audio::stream::{Topic, Tune};
use crate::proto::id::Link;
use crate::proto::time::Time;

/// The account of one end. The driver writes it as the machine says, before anything that the machine
/// says after; the swarm and the tasks of links read it. Holds links that are up, and topics that
/// somebody was tuned to or is subscribed to.
#[derive(Clone)]
pub(crate) struct Tunings {
    book: Arc<Mutex<Book>>,
    changed: Arc<Notify>,
    clock: Clock,
    lapse: Duration,
}

#[derive(Debug, Default)]
struct Book {
    links: HashMap<Link, Entry>,
    /// The same links, by their connections.
    connections: HashMap<ConnectionId, Link>,
    topics: HashMap<Topic, Tuned>,
    /// The same topics, by how they begin.
    prefixes: HashMap<Prefix, BTreeSet<Topic>>,
    /// What is subscribed to by gossip over which connection, as far as it is known.
    subscribed: HashMap<ConnectionId, HashSet<Topic>>,
    /// Until when it may stay subscribed to what is not to be had by it any more.
    lapsing: HashMap<(ConnectionId, Topic), Time>,
    /// Topics that were tuned since the swarm last looked.
    changed: BTreeSet<Topic>,
    /// Connections whose links have ended since the swarm last looked.
    ended: Vec<ConnectionId>,
}

#[derive(Debug)]
struct Entry {
    connection: ConnectionId,
    /// For datagrams, if it has any.
    outbox: Option<VoiceOutbox>,
    /// When the last voice came by datagram.
    heard: Time,
}

#[derive(Debug, Default)]
struct Tuned {
    speaker: Option<Link>,
    hearers: BTreeSet<Link>,
    /// When the last packet came.
    heard: Time,
}

/// How a packet goes to those who are to have it.
#[derive(Debug, Default)]
pub(crate) struct Ways {
    /// By datagram.
    pub(crate) datagrams: Vec<VoiceOutbox>,
    /// Whether anybody is to have it by gossip.
    pub(crate) gossip: bool,
}

/// When something came last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    /// Of the topic, by any way.
    pub(super) topic: Time,
    /// Of any topic, by datagram on the same link. Nothing, if it has no datagrams.
    pub(super) datagram: Option<Time>,
}

/// A link's place in the account, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Listing {
    tunings: Tunings,
    link: Link,
}

impl Drop for Listing {
    fn drop(&mut self) {
        self.tunings.end(self.link);
    }
}

impl Tunings {
    /// An empty account. What is not to be had any more may stay subscribed to for `lapse`.
    pub(crate) fn new(lapse: Duration, clock: Clock) -> Self {
        Self { book: Arc::default(), changed: Arc::default(), clock, lapse }
    }

    /// A link is up by a connection, to which datagrams go by `outbox`.
    pub(crate) fn up(
        &self,
        link: Link,
        connection: ConnectionId,
        outbox: Option<VoiceOutbox>,
    ) -> Listing {
        let entry = Entry { connection, outbox, heard: Time::ZERO };
        let mut book = self.book();
        book.links.insert(link, entry);
        book.connections.insert(connection, link);
        drop(book);
        Listing { tunings: self.clone(), link }
    }

    /// A link is over, or is not to have anything any more.
    pub(crate) fn end(&self, link: Link) {
        let mut book = self.book();
        let Some(Entry { connection, .. }) = book.links.remove(&link) else { return };
        book.connections.remove(&connection);
        book.ended.push(connection);
        let Book { topics, prefixes, changed, .. } = &mut *book;
        topics.retain(|topic, tuned| {
            if tuned.leave(link) {
                changed.insert(*topic);
            }
            if tuned.is_empty() {
                forget(prefixes, *topic);
            }
            !tuned.is_empty()
        });
        drop(book);
        self.changed.notify_one();
    }

    /// What the machine says of a link and a topic.
    pub(crate) fn tune(&self, link: Link, topic: Topic, tune: Tune) {
        let mut book = self.book();
        let Some(connection) = book.links.get(&link).map(|entry| entry.connection) else { return };
        let Book { topics, prefixes, lapsing, subscribed, changed, .. } = &mut *book;
        if let Some(prefix) = prefix(topic) {
            prefixes.entry(prefix).or_default().insert(topic);
        }
        let tuned = topics.entry(topic).or_default();
        match tune {
            Tune::Hear => {
                tuned.hearers.insert(link);
                lapsing.remove(&(connection, topic));
            }
            Tune::Speak => tuned.speaker = Some(link),
            Tune::Off => {
                tuned.leave(link);
                if tuned.is_empty() {
                    topics.remove(&topic);
                    forget(prefixes, topic);
                }
                if subscribed.get(&connection).is_some_and(|topics| topics.contains(&topic)) {
                    let until = self.clock.now() + self.lapse;
                    lapsing.insert((connection, topic), until);
                }
            }
        }
        changed.insert(topic);
        drop(book);
        self.changed.notify_one();
    }

    /// Returns once something was tuned that [`Self::take_changed`] was not told of.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The topics that were tuned since this was last asked.
    pub(super) fn take_changed(&self) -> BTreeSet<Topic> {
        std::mem::take(&mut self.book().changed)
    }

    /// The connections whose links have ended since this was last asked.
    pub(super) fn take_ended(&self) -> Vec<ConnectionId> {
        std::mem::take(&mut self.book().ended)
    }

    /// By which link packets of a topic come or go, and how they go if not by gossip.
    pub(super) fn speaker(&self, topic: Topic) -> Option<(Link, Option<VoiceOutbox>)> {
        let book = self.book();
        let link = book.topics.get(&topic)?.speaker?;
        let entry = book.links.get(&link)?;
        Some((link, entry.outbox.clone()))
    }

    /// Which link a connection has.
    pub(super) fn link(&self, connection: ConnectionId) -> Option<Link> {
        self.book().connections.get(&connection).copied()
    }

    /// Whether no more than one topic begins like this.
    pub(super) fn is_lone(&self, prefix: Prefix) -> bool {
        self.book().prefixes.get(&prefix).is_none_or(|topics| topics.len() < 2)
    }

    /// The one topic that a link has to do with and that begins like this.
    pub(super) fn begins_with(&self, link: Link, prefix: Prefix) -> Option<Topic> {
        let book = self.book();
        let has = |topic: &&Topic| {
            let tuned = book.topics.get(*topic);
            tuned.is_some_and(|tuned| tuned.speaker == Some(link) || tuned.hearers.contains(&link))
        };
        let mut topics = book.prefixes.get(&prefix)?.iter().filter(has);
        let first = topics.next().copied();
        first.filter(|_| topics.next().is_none())
    }

    /// When something of a topic came that is to be had; nothing, if it is not.
    pub(super) fn heard(&self, topic: Topic) -> Option<Heard> {
        let book = self.book();
        let tuned = book.topics.get(&topic)?;
        let entry = book.links.get(tuned.hearers.first()?)?;
        let datagram = entry.outbox.as_ref().map(|_| entry.heard);
        Some(Heard { topic: tuned.heard, datagram })
    }

    /// A packet came by gossip, at who hears. False, if it is not to be had from there.
    pub(super) fn hear_gossip(&self, connection: ConnectionId, topic: Topic, now: Time) -> bool {
        let mut book = self.book();
        let Book { connections, topics, .. } = &mut *book;
        let link = connections.get(&connection);
        let tuned = topics.get_mut(&topic);
        let tuned = tuned.filter(|tuned| link.is_some_and(|link| tuned.hearers.contains(link)));
        let Some(tuned) = tuned else { return false };
        tuned.heard = now;
        true
    }

    /// A packet came by datagram, at who hears. False, if it is not to be had from there.
    pub(super) fn hear_datagram(&self, link: Link, topic: Topic, now: Time) -> bool {
        let mut book = self.book();
        let Book { links, topics, .. } = &mut *book;
        let tuned = topics.get_mut(&topic).filter(|tuned| tuned.hearers.contains(&link));
        let (Some(tuned), Some(entry)) = (tuned, links.get_mut(&link)) else { return false };
        (tuned.heard, entry.heard) = (now, now);
        true
    }

    /// How a packet that came by `from` goes to everybody who is to have it.
    pub(crate) fn ways(&self, topic: Topic, from: Link) -> Ways {
        let book = self.book();
        let mut ways = Ways::default();
        let Some(tuned) = book.topics.get(&topic) else { return ways };
        for link in tuned.hearers.iter().filter(|link| **link != from) {
            let Some(entry) = book.links.get(link) else { continue };
            if book.subscribed.get(&entry.connection).is_some_and(|topics| topics.contains(&topic))
            {
                ways.gossip = true;
            } else if let Some(outbox) = &entry.outbox {
                ways.datagrams.push(outbox.clone());
            }
        }
        ways
    }

    /// Whether it may be subscribed to a topic over a connection: its link is to have it. Who is subscribed
    /// may say so again, so that it can say that it is not any more.
    pub(super) fn admit(&self, connection: ConnectionId, topic: Topic) -> bool {
        let mut book = self.book();
        let Book { connections, topics, subscribed, .. } = &mut *book;
        let link = connections.get(&connection);
        let tuned = topics.get(&topic).zip(link);
        let tuned = tuned.is_some_and(|(tuned, link)| tuned.hearers.contains(link));
        if tuned {
            // Known before gossipsub says so: what comes next may be that it is over.
            subscribed.entry(connection).or_default().insert(topic);
        }
        tuned || subscribed.get(&connection).is_some_and(|topics| topics.contains(&topic))
    }

    /// It is subscribed to a topic over a connection.
    pub(crate) fn subscribed(&self, connection: ConnectionId, topic: Topic) {
        self.book().subscribed.entry(connection).or_default().insert(topic);
    }

    /// It is not subscribed to a topic any more.
    pub(crate) fn unsubscribed(&self, connection: ConnectionId, topic: Topic) {
        let mut book = self.book();
        book.lapsing.remove(&(connection, topic));
        if let Some(topics) = book.subscribed.get_mut(&connection) {
            topics.remove(&topic);
            if topics.is_empty() {
                book.subscribed.remove(&connection);
            }
        }
    }

    /// A connection has nothing to do with gossip any more.
    pub(super) fn gone(&self, connection: ConnectionId) {
        let mut book = self.book();
        book.subscribed.remove(&connection);
        book.lapsing.retain(|(lapsing, _), _| *lapsing != connection);
    }

    /// When to ask for [`Self::lapsed`] next, if ever.
    pub(crate) fn next_lapse(&self) -> Option<Time> {
        self.book().lapsing.values().min().copied()
    }

    /// Connections over which it stays subscribed to what is not to be had. Said once.
    pub(crate) fn lapsed(&self, now: Time) -> Vec<ConnectionId> {
        let mut book = self.book();
        let over = book.lapsing.extract_if(|_, until| *until <= now);
        over.map(|((connection, _), _)| connection).collect()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing that can panic is done while it is locked.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget(prefixes: &mut HashMap<Prefix, BTreeSet<Topic>>, topic: Topic) {
    if let Some(prefix) = prefix(topic)
        && let Some(topics) = prefixes.get_mut(&prefix)
    {
        topics.remove(&topic);
        if topics.is_empty() {
            prefixes.remove(&prefix);
        }
    }
}

impl Tuned {
    /// Whether the link had to do with it.
    fn leave(&mut self, link: Link) -> bool {
        let spoke = self.speaker.take_if(|speaker| *speaker == link).is_some();
        self.hearers.remove(&link) || spoke
    }

    fn is_empty(&self) -> bool {
        self.speaker.is_none() && self.hearers.is_empty()
    }
}

impl fmt::Debug for Tunings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let book = self.book();
        f.debug_struct("Tunings")
            .field("links", &book.links.len())
            .field("topics", &book.topics.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAPSE: Duration = Duration::from_secs(2);
    const SPEAKER: Link = Link(1);
    const HEARER: Link = Link(2);

    fn topic() -> Topic {
        Topic::new([7; 5])
    }

    fn connection(link: Link) -> ConnectionId {
        ConnectionId::new_unchecked(link.0 as usize)
    }

    fn tunings() -> (Tunings, [Listing; 2]) {
        let tunings = Tunings::new(LAPSE, Clock::new());
        let listings = [SPEAKER, HEARER].map(|link| tunings.up(link, connection(link), None));
        tunings.tune(SPEAKER, topic(), Tune::Speak);
        (tunings, listings)
    }

    #[test]
    fn who_is_not_tuned_is_not_admitted_and_who_was_may_take_its_leave() {
        let (tunings, _listings) = tunings();
        assert!(!tunings.admit(connection(HEARER), topic()));
        assert!(!tunings.admit(connection(SPEAKER), topic()));
        tunings.tune(HEARER, topic(), Tune::Hear);
        assert!(tunings.admit(connection(HEARER), topic()));
        tunings.tune(HEARER, topic(), Tune::Off);
        assert!(tunings.admit(connection(HEARER), topic()));
        tunings.unsubscribed(connection(HEARER), topic());
        assert!(!tunings.admit(connection(HEARER), topic()));
        assert_eq!(tunings.next_lapse(), None);
    }

    #[test]
    fn who_stays_subscribed_is_found_once_after_a_while() {
        let (tunings, _listings) = tunings();
        tunings.tune(HEARER, topic(), Tune::Hear);
        tunings.subscribed(connection(HEARER), topic());
        assert!(tunings.ways(topic(), SPEAKER).gossip);
        tunings.tune(HEARER, topic(), Tune::Off);
        assert!(!tunings.ways(topic(), SPEAKER).gossip);
        let until = tunings.next_lapse().expect("it is subscribed still");
        assert_eq!(tunings.lapsed(Time::ZERO), []);
        assert_eq!(tunings.lapsed(until), [connection(HEARER)]);
        assert_eq!(tunings.lapsed(until + LAPSE), []);
    }

    #[test]
    fn a_topic_is_known_by_how_it_begins_where_no_other_of_the_link_does() {
        let (tunings, _listings) = tunings();
        let (other, prefix) = (Topic::new([7, 7, 0, 0, 0]), [7, 7]);
        assert!(tunings.is_lone(prefix));
        assert_eq!(tunings.begins_with(SPEAKER, prefix), Some(topic()));
        assert_eq!(tunings.begins_with(HEARER, prefix), None);
        tunings.tune(HEARER, other, Tune::Speak);
        assert!(!tunings.is_lone(prefix));
        assert_eq!(tunings.begins_with(SPEAKER, prefix), Some(topic()));
        assert_eq!(tunings.begins_with(HEARER, prefix), Some(other));
        tunings.tune(HEARER, topic(), Tune::Hear);
        assert_eq!(tunings.begins_with(HEARER, prefix), None);
        tunings.tune(HEARER, other, Tune::Off);
        assert!(tunings.is_lone(prefix));
        assert_eq!(tunings.begins_with(HEARER, prefix), Some(topic()));
    }

    #[test]
    fn nothing_is_left_of_a_link_that_is_over() {
        let (tunings, [speaker, hearer]) = tunings();
        tunings.tune(HEARER, topic(), Tune::Hear);
        assert!(tunings.heard(topic()).is_some());
        drop(hearer);
        assert!(tunings.heard(topic()).is_none());
        assert!(tunings.speaker(topic()).is_some());
        drop(speaker);
        assert!(tunings.speaker(topic()).is_none());
        tunings.tune(SPEAKER, topic(), Tune::Speak);
        assert!(tunings.book().topics.is_empty() && tunings.book().prefixes.is_empty());
        assert_eq!(tunings.take_changed(), BTreeSet::from([topic()]));
    }
}
