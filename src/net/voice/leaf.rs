//! A peer's side of voice.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use libp2p::swarm::ConnectionId;

use crate::net::clock::Clock;
use crate::net::voice::config::VoiceNetConfig;
use crate::net::voice::desk::VoiceDesk;
use crate::net::voice::gossip::Gossip;
use crate::net::voice::pack::pack;
use crate::net::voice::reception::{Act, Reception};
use crate::net::voice::tunings::Tunings;
use crate::proto::audio::stream::Topic;
use crate::proto::time::Time;

/// How often it is looked after topics of which nothing comes.
const LOOK: Duration = Duration::from_millis(100);

/// How many subscriptions are changed in one look. A relay takes only so many messages.
const CHANGES: usize = 16;

/// Has the topics that its machine is tuned to, by the way that brings them, and says what is handed
/// over at its desk.
#[derive(Debug)]
pub(crate) struct Leaf {
    tunings: Tunings,
    desk: VoiceDesk,
    config: VoiceNetConfig,
    receptions: BTreeMap<Topic, Reception>,
    look: Time,
    /// The last topic whose subscription was changed in a look: who comes after it is next.
    turn: Option<Topic>,
    clock: Clock,
}

impl Leaf {
    pub(crate) fn new(
        tunings: Tunings,
        desk: VoiceDesk,
        config: VoiceNetConfig,
        clock: Clock,
    ) -> Self {
        Self {
            tunings,
            desk,
            config,
            receptions: BTreeMap::new(),
            look: Time::ZERO,
            turn: None,
            clock,
        }
    }

    /// Where its packets come and go.
    pub(crate) const fn desk(&self) -> &VoiceDesk {
        &self.desk
    }

    /// Does at once what was tuned.
    pub(crate) fn tune(&mut self, gossip: &mut Gossip) {
        let now = self.clock.now();
        for connection in self.tunings.take_ended() {
            gossip.part(connection);
        }
        for topic in self.tunings.take_changed() {
            match self.tunings.heard(topic) {
                Some(heard) if !self.receptions.contains_key(&topic) => {
                    let has_datagrams = heard.datagram.is_some();
                    let (reception, act) = Reception::new(now, has_datagrams, &self.config);
                    self.receptions.insert(topic, reception);
                    act.into_iter().for_each(|act| perform(gossip, topic, act));
                }
                Some(_) => {}
                None => {
                    self.receptions.remove(&topic);
                    gossip.unsubscribe(topic);
                }
            }
        }
    }

    /// When to call [`Self::look`] next, if ever.
    pub(crate) fn next_look(&self) -> Option<Time> {
        (!self.receptions.is_empty()).then_some(self.look)
    }

    /// Looks after topics of which nothing comes.
    pub(crate) fn look(&mut self, gossip: &mut Gossip) {
        let now = self.clock.now();
        if now < self.look {
            return;
        }
        self.look = now + LOOK;
        let turn = self.turn.take();
        let had_its_turn = |topic: &Topic| turn.is_some_and(|turn| *topic <= turn);
        let (had, others): (Vec<_>, Vec<_>) =
            self.receptions.keys().copied().partition(|t| had_its_turn(t));
        let mut changes = 0;
        for topic in others.into_iter().chain(had) {
            let reception = self.receptions.get_mut(&topic);
            let Some((reception, heard)) = reception.zip(self.tunings.heard(topic)) else {
                continue;
            };
            if let Some(act) = reception.look(now, heard, &self.config) {
                perform(gossip, topic, act);
                self.turn = Some(topic);
                changes += 1;
            }
            if changes == CHANGES {
                break;
            }
        }
    }

    /// A packet came by gossip.
    pub(crate) fn on_packet(&self, connection: ConnectionId, topic: Topic, packet: &[u8]) {
        let now = self.clock.now();
        let fits = packet.len() <= self.config.packet;
        if fits && self.tunings.hear_gossip(connection, topic, now) {
            self.desk.deliver(topic, packet, now);
        }
    }

    /// Says a packet of this peer's own, if the topic is its own.
    pub(crate) fn say(&self, gossip: &mut Gossip, topic: Topic, packet: &Bytes) {
        if packet.len() > self.config.packet {
            tracing::debug!(%topic, bytes = packet.len(), "a packet is too long");
            return;
        }
        match self.tunings.speaker(topic) {
            Some((_, Some(outbox))) => {
                pack(topic, packet).into_iter().for_each(|packed| outbox.push(packed));
            }
            Some((_, None)) => gossip.publish(topic, packet),
            None => {}
        }
    }
}

fn perform(gossip: &mut Gossip, topic: Topic, act: Act) {
    match act {
        Act::Subscribe => gossip.subscribe(topic),
        Act::Unsubscribe => gossip.unsubscribe(topic),
        Act::Renew => {
            gossip.unsubscribe(topic);
            gossip.subscribe(topic);
        }
    }
}
