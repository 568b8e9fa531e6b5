//! One side: a peer that moves some of the players and shows all.

use std::collections::BTreeMap;
use std::time::Duration;

use parlor::net::Clock;
use parlor::proto::model::handle::{Handle, ModelRef};
use parlor::proto::time::Time;
use parlor::realtime::smooth::Smooth;
use parlor::realtime::timeline::config::TimelineConfig;
use parlor::{ConnectError, ConnectOptions, Model, RealtimeSet, Reason, Room, Terms};

use crate::Outcome;
use crate::game::Pose;

/// The room.
#[derive(Model, Clone, Debug, Default)]
struct Match {
    #[property(1)]
    players: RealtimeSet<Player>,
}

/// A player: a centimetre along and across, and half a degree.
#[derive(Model, Clone, Debug, Default)]
struct Player {
    #[property(1)]
    number: u32,
    #[property(2, unreliable, quantize = 0.01, interpolate)]
    place: [f32; 2],
    /// In degrees.
    #[property(3, unreliable, quantize = 0.5, round = 360.0, interpolate)]
    heading: f32,
}

/// A player as one side has it.
struct Seen {
    smooth: Smooth<Player>,
    shown: Player,
    own: bool,
}

/// What was measured.
pub(crate) struct Figures {
    pub(crate) own: usize,
    pub(crate) others: usize,
    /// Bytes of the state lane that came, heads of packets and answers too, for each update of each
    /// player that the other side moves.
    pub(crate) per_update: f64,
    pub(crate) per_second: f64,
    /// Bytes of the last second.
    pub(crate) now: f64,
    /// How long ago the last that came was written.
    pub(crate) behind: Duration,
}

/// A peer and what it shows.
pub(crate) struct Side {
    name: &'static str,
    room: Room<Match>,
    own: BTreeMap<u32, ModelRef<Player>>,
    seen: BTreeMap<u32, Seen>,
    /// Values of others that came, and the last of their times.
    updates: u64,
    heard: BTreeMap<u32, u64>,
    behind: Duration,
    clock: Clock,
    since: Time,
    before: u64,
}

impl Side {
    pub(crate) fn new(name: &'static str, relay: &str) -> Result<Self, ConnectError> {
        let room = Room::connect(ConnectOptions::new("match", "football", &[relay]))?;
        let clock = Clock::new();
        Ok(Self {
            name,
            room,
            own: BTreeMap::new(),
            seen: BTreeMap::new(),
            updates: 0,
            heard: BTreeMap::new(),
            behind: Duration::ZERO,
            clock,
            since: clock.now(),
            before: 0,
        })
    }

    /// Waits until it is in the room.
    pub(crate) async fn ready(&mut self) -> Result<(), Reason> {
        self.room.ready().await?;
        self.since = self.clock.now();
        self.before = self.room.statistics().state.received.bytes;
        Ok(())
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    /// Moves one of its players, which comes into the room with that if it was not there.
    pub(crate) fn put(&mut self, number: u32, pose: Pose) -> Outcome<()> {
        let (place, heading) = (pose.place, pose.heading.to_degrees().rem_euclid(360.0));
        if let Some(player) = self.own.get(&number) {
            self.room.update(player, |player| {
                (player.place, player.heading) = (place, heading);
            })?;
            return Ok(());
        }
        let players = self.room.root().players.clone();
        let player = players.add(&mut self.room, Player { number, place, heading })?;
        self.room.claim(&player, Terms::default())?;
        self.own.insert(number, player);
        Ok(())
    }

    /// Hears what there is, and shows everybody where they are to be shown.
    pub(crate) fn show(&mut self) {
        self.room.tick();
        while self.room.poll_event().is_some() {}
        let now = self.room.room_time();
        let players: Vec<(ModelRef<Player>, u32)> =
            self.room.root().players.iter(&self.room).map(|(at, it)| (at, it.number)).collect();
        for (player, number) in players {
            let own = self.own.contains_key(&number);
            if !own {
                self.count(&player, number, now);
            }
            let seen = self.seen.entry(number).or_insert_with(|| Seen {
                smooth: Smooth::new(player, TimelineConfig::default()),
                shown: Player::default(),
                own,
            });
            if let Some(shown) = seen.smooth.show(&self.room, now) {
                seen.shown = shown;
            }
        }
    }

    /// Counts what came of another side's player.
    fn count(&mut self, player: &ModelRef<Player>, number: u32, now: u64) {
        let Some(path) = player.path() else { return };
        let newest = self.room.moved_of(path).map(|(_, moved)| moved.at).max().unwrap_or(0);
        let heard = self.heard.entry(number).or_insert(0);
        if newest > *heard {
            *heard = newest;
            self.updates += 1;
            self.behind = Duration::from_micros(now.saturating_sub(newest));
        }
    }

    /// Where it shows everybody.
    pub(crate) fn shown(&self) -> BTreeMap<u32, [f32; 2]> {
        self.seen.iter().map(|(number, seen)| (*number, seen.shown.place)).collect()
    }

    /// Everybody with where they look, and whether this side moves them.
    pub(crate) fn players(&self) -> impl Iterator<Item = (u32, [f32; 2], f32, bool)> {
        let players = self.seen.iter();
        players.map(|(number, it)| (*number, it.shown.place, it.shown.heading.to_radians(), it.own))
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of a match")]
    pub(crate) fn figures(&self) -> Figures {
        let others = self.seen.values().filter(|seen| !seen.own).count();
        let received = self.room.statistics().state.received;
        let bytes = (received.bytes - self.before) as f64;
        Figures {
            own: self.own.len(),
            others,
            per_update: bytes / self.updates.max(1) as f64,
            per_second: bytes / (self.clock.now() - self.since).as_secs_f64().max(0.001),
            now: received.byte_rate as f64,
            behind: self.behind,
        }
    }
}
