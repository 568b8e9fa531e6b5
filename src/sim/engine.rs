//! What makes time pass in a [`World`]: one queue of things that are due, one at a time.

use std::time::Duration;

use bytes::Bytes;

use super::host::Host;
use super::network::{Fate, Way};
use super::{World, relay_id};
use crate::proto::event::signal::Delivery;
use crate::proto::event::{Effect, Event, Input, Outcome, State};
use crate::proto::hub::Hub;
use crate::proto::id::{Lane, Link};
use crate::proto::time::Time;

/// Ticks that a machine may ask for at one moment before it counts as a busy loop.
const MAX_TICKS_AT_ONCE: u32 = 1_000;

/// One link between a peer and the relay.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) host: usize,
    /// For each direction: the latest time at which anything sent so far arrives.
    latest: [Time; 2],
    /// Which ends know that it is over.
    gone: [bool; 2],
    /// Frames that a deaf host has not read.
    pub(super) unread: Vec<(Lane, Bytes)>,
}

/// Which end of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    Hub,
    Host,
}

#[derive(Clone, Debug)]
pub(super) enum Happening {
    Dialled { host: usize },
    Deliver { link: Link, to: End, lane: Lane, frame: Bytes },
    Written { link: Link, from: End, lane: Lane, bytes: usize },
    Gone { link: Link, to: End },
}

impl World {
    /// Does the next thing that is due until `end`. Returns whether there was one.
    ///
    /// # Panics
    ///
    /// When a machine asks for one moment again and again: a busy loop.
    pub fn step(&mut self, end: Time) -> bool {
        let happening = self.due.first_key_value().map(|(&(at, _), _)| at);
        let awake = self.hosts.iter().filter(|host| !host.asleep);
        let hosts = awake.filter_map(|host| Some(host.global(host.peer.poll_timeout()?)));
        let timer = hosts.chain(self.hub.as_mut().and_then(Hub::poll_timeout)).min();
        let Some(next) = happening.into_iter().chain(timer).min().filter(|&next| next <= end)
        else {
            return false;
        };
        self.ticks_at_once = if next > self.now { 0 } else { self.ticks_at_once };
        self.now = self.now.max(next);
        if happening == Some(next) {
            if let Some((_, happening)) = self.due.pop_first() {
                self.happen(happening);
            }
        } else {
            self.ticks_at_once += 1;
            assert!(
                self.ticks_at_once < MAX_TICKS_AT_ONCE,
                "a machine ticks without end at {next:?}"
            );
            self.tick();
        }
        true
    }

    fn tick(&mut self) {
        let now = self.now;
        for host in 0..self.hosts.len() {
            let local = self.local(host);
            let due = self.hosts[host].peer.poll_timeout().is_some_and(|due| due <= local);
            if due && !self.hosts[host].asleep {
                self.hosts[host].peer.tick(local);
                self.settle_host(host);
            }
        }
        if let Some(hub) = &mut self.hub
            && hub.poll_timeout().is_some_and(|due| due <= now)
        {
            hub.tick(now);
            self.settle_hub();
        }
    }

    fn happen(&mut self, happening: Happening) {
        self.note(&happening);
        match happening {
            Happening::Dialled { host } => self.dialled(host),
            Happening::Deliver { link, to: End::Hub, lane, frame } => {
                self.tell_hub(link, Input::Received { link, lane, frame });
            }
            Happening::Deliver { link, to: End::Host, lane, frame } => {
                let deaf = self.links.get(&link).is_some_and(|wire| self.hosts[wire.host].deaf);
                match self.links.get_mut(&link) {
                    Some(wire) if deaf => wire.unread.push((lane, frame)),
                    Some(_) => self.receive(link, lane, frame),
                    None => {}
                }
            }
            Happening::Written { link, from, lane, bytes } => {
                let input = Input::Written { link, lane, bytes };
                match from {
                    End::Hub => self.tell_hub(link, input),
                    End::Host => self.tell_host(link, input),
                }
            }
            Happening::Gone { link, to } => {
                let input = Input::Disconnected { link };
                match to {
                    End::Hub => self.tell_hub(link, input),
                    End::Host => self.tell_host(link, input),
                }
                // The other end goes on until what was sent to it before has arrived.
                if let Some(wire) = self.links.get_mut(&link) {
                    wire.gone[to as usize] = true;
                    if wire.gone == [true; 2] {
                        self.links.remove(&link);
                    }
                }
            }
        }
    }

    pub(super) fn receive(&mut self, link: Link, lane: Lane, frame: Bytes) {
        let bytes = frame.len();
        self.tell_host(link, Input::Received { link, lane, frame });
        if lane == Lane::State {
            return;
        }
        // Only what was read makes room for more.
        self.plan(self.now, Happening::Written { link, from: End::Hub, lane, bytes });
    }

    fn dialled(&mut self, host: usize) {
        let now = self.now;
        if self.hosts[host].asleep {
            // Answered when it wakes.
            let at = now + Duration::from_millis(100);
            self.plan(at, Happening::Dialled { host });
            return;
        }
        let Host { cut, broken, .. } = &self.hosts[host];
        if self.hub.is_none() || *cut || broken.is_some() {
            let why = "nobody is there".to_owned();
            let local = self.local(host);
            self.hosts[host].peer.handle(local, Input::Unreachable { why });
            self.settle_host(host);
            return;
        }
        self.next_link += 1;
        let link = Link(self.next_link);
        self.links
            .insert(link, Wire { host, latest: [now; 2], gone: [false; 2], unread: Vec::new() });
        let peer = self.hosts[host].peer.peer();
        self.tell_host(link, Input::Connected { link, peer: relay_id() });
        self.tell_hub(link, Input::Connected { link, peer });
    }

    fn tell_hub(&mut self, link: Link, input: Input) {
        let now = self.now;
        let open = self.links.get(&link).is_some_and(|wire| !wire.gone[End::Hub as usize]);
        if open && let Some(hub) = &mut self.hub {
            hub.handle(now, input);
            self.settle_hub();
        }
    }

    fn tell_host(&mut self, link: Link, input: Input) {
        let open = self.links.get(&link).filter(|wire| !wire.gone[End::Host as usize]);
        if let Some(host) = open.map(|wire| wire.host)
            && !self.hosts[host].asleep
        {
            let now = self.local(host);
            self.hosts[host].peer.handle(now, input);
            self.settle_host(host);
        }
    }

    pub(super) fn settle_hub(&mut self) {
        while let Some(effect) = self.hub.as_mut().and_then(Hub::poll_effect) {
            self.perform(End::Hub, 0, effect);
        }
        while let Some(event) = self.hub.as_mut().and_then(Hub::poll_event) {
            if self.events.is_some() {
                self.relay_events.push(event);
            }
        }
    }

    pub(super) fn settle_host(&mut self, host: usize) {
        while let Some(effect) = self.hosts[host].peer.poll_effect() {
            self.perform(End::Host, host, effect);
        }
        let Host { peer, follower, outcomes, .. } = &mut self.hosts[host];
        let mut seen = Vec::new();
        while let Some(event) = peer.poll_event() {
            seen.extend(sighting(&event));
            if let Event::Settled { ticket, outcome, .. } = &event {
                outcomes.insert(*ticket, *outcome);
            }
            follower.follow(&event, peer.store());
            if let Some(events) = &mut self.events {
                events.push((host, event));
            }
        }
        seen.into_iter().for_each(|seen| self.see(seen));
    }

    fn perform(&mut self, from: End, host: usize, effect: Effect) {
        match effect {
            Effect::Dial => {
                let at = self.now + self.network.delay(&mut self.rng);
                self.plan(at, Happening::Dialled { host });
            }
            Effect::Disconnect { link } => {
                let (here, there) = ends(from);
                self.plan(self.now, Happening::Gone { link, to: here });
                if self.is_broken(link, there) {
                    return;
                }
                // What was sent before arrives first, as on a stream.
                let latest = self.links.get(&link).map(|wire| wire.latest[there as usize]);
                let at = latest.unwrap_or(self.now) + self.network.delay;
                self.plan(at, Happening::Gone { link, to: there });
            }
            Effect::Send { link, lane, frame } => self.send(from, link, lane, frame),
            // No simulated relay is told to ask anybody, or to keep anything.
            Effect::Authorise { .. } | Effect::Commit { .. } | Effect::Fetch { .. } => {}
            // Nobody speaks.
            Effect::Tune { .. }
            | Effect::Pass { .. }
            | Effect::Acquaint { .. }
            | Effect::Share(_) => {}
        }
    }

    fn send(&mut self, from: End, link: Link, lane: Lane, frame: Bytes) {
        let (_, to) = ends(from);
        let bytes = frame.len();
        if from == End::Host && lane != Lane::State {
            self.plan(self.now, Happening::Written { link, from, lane, bytes });
        }
        let fate = if self.is_broken(link, to) {
            Fate::LOST
        } else {
            self.network.fate(self.now, &mut self.rng)
        };
        fate.sighting().into_iter().for_each(|seen| self.see(seen));
        for delay in &fate.arrivals {
            let at = self.now + *delay;
            let overtakes = self.links.get(&link).is_some_and(|wire| at < wire.latest[to as usize]);
            if overtakes {
                self.see("reordered");
            }
            if let Some(wire) = self.links.get_mut(&link) {
                let latest = &mut wire.latest[to as usize];
                *latest = (*latest).max(at);
            }
            self.plan(at, Happening::Deliver { link, to, lane, frame: frame.clone() });
        }
        if fate.arrivals.is_empty() && from == End::Hub && lane != Lane::State {
            self.plan(self.now, Happening::Written { link, from, lane, bytes });
        }
    }

    /// Whether a link carries nothing to one of its ends.
    fn is_broken(&self, link: Link, to: End) -> bool {
        let way = match to {
            End::Hub => Way::Up,
            End::Host => Way::Down,
        };
        self.links.get(&link).is_some_and(|wire| self.hosts[wire.host].broken == Some(way))
    }

    pub(super) fn plan(&mut self, at: Time, happening: Happening) {
        self.next_happening += 1;
        self.due.insert((at, self.next_happening), happening);
    }

    pub(super) fn break_link(&mut self, link: Link) {
        for to in [End::Hub, End::Host] {
            let input = Input::Disconnected { link };
            match to {
                End::Hub => self.tell_hub(link, input),
                End::Host => self.tell_host(link, input),
            }
        }
        self.links.remove(&link);
    }

    pub(super) fn break_links_of(&mut self, host: usize) {
        self.links_of(host).into_iter().for_each(|link| self.break_link(link));
    }

    pub(super) fn links_of(&self, host: usize) -> Vec<Link> {
        let wires = self.links.iter().filter(|(_, wire)| wire.host == host);
        wires.map(|(link, _)| *link).collect()
    }
}

const fn ends(from: End) -> (End, End) {
    match from {
        End::Hub => (End::Hub, End::Host),
        End::Host => (End::Host, End::Hub),
    }
}

fn sighting(event: &Event) -> Option<&'static str> {
    match event {
        Event::Progress { .. } => Some("joined by snapshot"),
        Event::State(State::Reconnecting { .. }) => Some("reconnected"),
        Event::Dropped { .. } => Some("edit dropped"),
        Event::Replaced { .. } => Some("replaced"),
        Event::Moved { .. } => Some("moved"),
        Event::Owner { confirmed: true, .. } => Some("owned"),
        Event::Owner { .. } => Some("claimed"),
        Event::ClaimDenied { .. } => Some("claim denied"),
        Event::Refused { .. } => Some("edit refused"),
        Event::Settled { outcome, .. } => Some(match outcome {
            Outcome::Done => "proposal done",
            Outcome::Found => "proposal found",
            Outcome::Lost(_) => "proposal lost",
            Outcome::Failed(_) => "proposal failed",
        }),
        Event::State(_)
        | Event::Ready
        | Event::Joined(_)
        | Event::Left { .. }
        | Event::Changed(_)
        | Event::Added { .. }
        | Event::Removed { .. }
        | Event::Room(_)
        | Event::Presence { .. }
        | Event::Answered { .. }
        | Event::TokenEnds { .. }
        | Event::Voice(_)
        | Event::Keeps(_)
        | Event::Kept
        | Event::NotStored { .. }
        | Event::Overrun => None,
        Event::Signal(_) => Some("signal heard"),
        Event::SignalSettled { delivery: Delivery::Heard, .. } => Some("signal settled: heard"),
        Event::SignalSettled { delivery: Delivery::Absent, .. } => Some("signal settled: absent"),
        Event::SignalLost { .. } => Some("signal lost"),
        Event::SignalsMissed => Some("signals missed"),
    }
}
