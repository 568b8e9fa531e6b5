//! Voice over the datagrams of one link.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::net::clock::Clock;
use crate::net::config::NetConfig;
use crate::net::fresh::Fresh;
use crate::net::link::Happening;
use crate::net::quic::{Credit, Datagrams, Tag};
use crate::net::voice::company::Company;
use crate::net::voice::desk::VoiceDesk;
use crate::net::voice::pack::{alone, split, unpack, unpack_lone};
use crate::net::voice::tunings::Tunings;
use crate::proto::audio::stream::Topic;
use crate::proto::id::Link;

/// Takes packets for a link, as they stand in datagrams. What waits before them may never go.
#[derive(Clone, Debug)]
pub(crate) struct VoiceOutbox(Arc<Fresh>);

impl VoiceOutbox {
    /// Takes a packet that was [packed](super::pack::pack).
    pub(crate) fn push(&self, packed: Bytes) {
        self.0.push(packed);
    }
}

/// Who is told of what comes.
#[derive(Clone, Debug)]
pub(crate) enum Listener {
    /// A relay's machine.
    Machine(mpsc::Sender<Happening>),
    /// A peer's application.
    Desk(VoiceDesk),
}

/// The link's end.
#[derive(Debug)]
pub(crate) struct VoiceLane {
    link: Link,
    young: Arc<Fresh>,
    datagrams: Datagrams,
    merge: Duration,
    packet: usize,
    tunings: Tunings,
    listener: Listener,
    clock: Clock,
}

impl VoiceLane {
    /// Both ends of the lane of a connection with `datagrams`.
    pub(crate) fn new(
        link: Link,
        datagrams: Datagrams,
        config: &NetConfig,
        (tunings, listener): (Tunings, Listener),
        clock: Clock,
    ) -> (VoiceOutbox, Self) {
        let config = &config.voice;
        let young = Arc::new(Fresh::new(config.bytes, config.age, clock));
        let outbox = VoiceOutbox(Arc::clone(&young));
        // What a peer says itself is one stream, mostly: nothing else will come in a moment.
        let merge = match listener {
            Listener::Machine(_) => config.merge,
            Listener::Desk(_) => Duration::ZERO,
        };
        let packet = config.packet;
        (outbox, Self { link, young, datagrams, merge, packet, tunings, listener, clock })
    }

    /// Sends what was pushed, for as long as the link is up, while it is new: what comes within a moment
    /// in one datagram. That moment is over once there is a packet of each who speaks.
    pub(crate) async fn send(&self) {
        let mut credit = Credit::new(self.clock.now());
        let mut company = Company::new();
        while self.young.wait().await {
            let speak = company.size(self.clock.now());
            if speak > 1 && !self.merge.is_zero() {
                // An error means that the moment is over.
                timeout(self.merge, self.young.fill(speak)).await.ok();
            }
            let (window, round_trip) = self.datagrams.path();
            while let Some(wait) = credit.wait(self.clock.now(), window, round_trip) {
                sleep(wait).await;
            }
            if let Some(packed) = self.send_one() {
                credit.spend(packed.len());
                let now = self.clock.now();
                split(packed).for_each(|(topic, _)| company.goes(topic, now));
            }
        }
    }

    /// Sends one datagram, and returns what is in it.
    fn send_one(&self) -> Option<Bytes> {
        let room = self.datagrams.room();
        let Some(first) = self.young.pop_within(room) else {
            // Too long for the path.
            self.young.pop();
            return None;
        };
        let mut merged = BytesMut::from(&first[..]);
        while let Some(next) = self.young.pop_within(room.saturating_sub(merged.len())) {
            merged.extend_from_slice(&next);
        }
        let is_one = merged.len() == first.len();
        let packed = merged.freeze();
        let (tag, body) = match alone(&first).filter(|_| is_one) {
            Some((prefix, alone)) if self.tunings.is_lone(prefix) => (Tag::Voice, alone),
            _ => (Tag::Voices, packed.clone()),
        };
        // What does not fit any more, because the path has changed, is lost.
        self.datagrams.send(tag, &body);
        Some(packed)
    }

    /// A datagram came.
    pub(crate) fn came(&self, tag: Tag, datagram: &Bytes) {
        match tag {
            Tag::Voices => unpack(datagram.clone()).for_each(|(topic, packet)| {
                self.hear(topic, packet);
            }),
            Tag::Voice => {
                if let Some((prefix, packet)) = unpack_lone(datagram)
                    && let Some(topic) = self.tunings.begins_with(self.link, prefix)
                {
                    self.hear(topic, packet);
                }
            }
            Tag::State => {}
        }
    }

    fn hear(&self, topic: Topic, packet: Bytes) {
        if packet.len() > self.packet {
            return;
        }
        let (link, now) = (self.link, self.clock.now());
        match &self.listener {
            Listener::Machine(happenings) => {
                let speaker = self.tunings.speaker(topic);
                if speaker.is_some_and(|(speaker, ..)| speaker == link) {
                    let spoken = Happening::Spoken { link, topic, packet, claim: None };
                    // What the machine has no time for is lost, as packets are.
                    happenings.try_send(spoken).ok();
                }
            }
            Listener::Desk(desk) => {
                if self.tunings.hear_datagram(link, topic, now) {
                    desk.deliver(topic, &packet, now);
                }
            }
        }
    }
}
