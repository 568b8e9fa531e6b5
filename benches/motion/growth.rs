//! What a recorded match leaves in a document: of Parlor, of what a relay stores while peers move the
//! players as state properties; of others, of the document that has every tick as a change.

use std::collections::BTreeMap;
use std::time::Duration;

use parlor::{Model, ModelRef, RealtimeSet};
use parlor_bench::room::{Room, Stored};

use crate::bars::Bars;
use crate::lanes::{Automerge, Ephemeral, Lane, Loro, Outcome, Yrs};
use crate::trace::{Match, Pose, TICK, Tick};

/// How many bytes a document may grow by.
const BAR: f64 = 20_000.0;

/// How many move the players, where nothing is said: each one, or one all.
const MOVERS: [usize; 2] = [11, 1];

/// For how many ticks nobody may be seen. What is longer is left out: a minute.
const PAUSE: u64 = 1_200;

/// How long nobody moves at the end.
const REST: Duration = Duration::from_secs(60);

/// The room.
#[derive(Clone, Debug, Default, Model)]
struct Field {
    #[property(1)]
    players: RealtimeSet<Player>,
}

/// Somebody on it: metres and degrees.
#[derive(Clone, Debug, Default, Model)]
struct Player {
    #[property(1, unreliable, quantize = 0.01)]
    place: [f32; 2],
    #[property(2, unreliable, quantize = 0.5, round = 360.0)]
    heading: f32,
}

impl Player {
    fn at([x, y, half_degrees]: &Pose) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a field is no larger than that")]
        let [x, y, heading] = [x / 100.0, y / 100.0, half_degrees / 2.0].map(|part| part as f32);
        Self { place: [x, y], heading }
    }
}

/// Plays a match, moved by so many peers at a time.
pub(crate) fn measure(played: &Match, movers: &[usize]) -> Outcome<Bars> {
    let mut bars = Bars::of("growth");
    let first = beginning(played);
    let samples: usize = played.values().map(BTreeMap::len).sum();
    let all = format!("{} players, {} ticks", first.len(), played.len());
    bars.put(&all, "samples", samples as f64);
    for &movers in if movers.is_empty() { &MOVERS } else { movers } {
        relayed(played, &first, movers, &mut bars)?;
    }
    others("automerge", &mut Automerge::default(), (played, &first), &mut bars)?;
    others("loro", &mut Loro::default(), (played, &first), &mut bars)?;
    others("loro, ephemeral", &mut Ephemeral::new(), (played, &first), &mut bars)?;
    others("yrs", &mut Yrs::default(), (played, &first), &mut bars)?;
    Ok(bars)
}

/// Where everybody is seen first.
fn beginning(played: &Match) -> Tick {
    let mut first = Tick::new();
    for (player, pose) in played.values().flatten() {
        first.entry(*player).or_insert(*pose);
    }
    first
}

fn relayed(played: &Match, first: &Tick, movers: usize, bars: &mut Bars) -> Outcome<()> {
    let movers = movers.max(1);
    let mut room = Room::new(Field::shape, movers + 1)?;
    let field = room.store(0).root::<Field>().ok_or("the room is of another type")?.clone();
    let mut players: BTreeMap<u32, (usize, ModelRef<Player>)> = BTreeMap::new();
    for (number, (player, pose)) in first.iter().enumerate() {
        let made = field.players.add(room.peer(0).store_mut(), Player::at(pose))?;
        players.insert(*player, (number % movers, made));
    }
    room.go_on(Duration::from_secs(1))?;
    let (before, written) = (room.stored(), room.written());
    let (mut most, mut told) = (before, before);
    let mut ticks = played.iter().peekable();
    while let Some((tick, poses)) = ticks.next() {
        for (player, pose) in poses {
            let (mover, made) = &players[player];
            room.peer(*mover).store_mut().update(made, |player| *player = Player::at(pose))?;
        }
        let next = ticks.peek().map_or(tick + 1, |(next, _)| **next);
        for _ in 0..if next - tick > PAUSE { 1 } else { next - tick } {
            room.go_on(TICK)?;
            let stored = room.stored();
            most = if stored.kept() > most.kept() { stored } else { most };
            told = told.most(stored);
        }
    }
    let (end, cuts) = (room.stored(), room.cuts());
    check(&room, &players, played)?;
    room.go_on(REST)?;
    let way = format!("parlor, moved by {movers}");
    let grown = |stored: Stored| stored.kept() as f64 - before.kept() as f64;
    bars.put(&way, "stored before", before.kept() as f64);
    bars.hold(&way, "grown at most", grown(most), BAR);
    bars.hold(&way, "grown at the end", grown(end), BAR);
    bars.hold(&way, "grown at rest, a minute later", grown(room.stored()), BAR);
    bars.put(&way, "at most: base", most.base as f64);
    bars.put(&way, "at most: changes", most.changes as f64);
    bars.put(&way, "at most: each author's last signature", most.word as f64);
    let signed = told.all() as f64 - before.all() as f64;
    bars.hold(&way, "grown at most, were each signature kept", signed, BAR);
    let all = room.written();
    bars.put(&way, "changes", (all.changes - written.changes) as f64);
    bars.put(&way, "bytes of changes", (all.change_bytes - written.change_bytes) as f64);
    bars.put(&way, "signatures", (all.words - written.words) as f64);
    bars.put(&way, "bytes of signatures", (all.word_bytes - written.word_bytes) as f64);
    bars.put(&way, "cuts", f64::from(cuts));
    bars.put(&way, "cuts at rest", f64::from(room.cuts() - cuts));
    Ok(())
}

/// Everybody is shown where the recording left them, to three steps: both ends guess on.
fn check(
    room: &Room,
    players: &BTreeMap<u32, (usize, ModelRef<Player>)>,
    played: &Match,
) -> Outcome<()> {
    let Some(last) = played.values().last() else { return Ok(()) };
    for (player, pose) in last {
        let meant = Player::at(pose);
        let shown = room.store(room.reader()).get(&players[player].1).ok_or("a player is gone")?;
        let off = shown.place.iter().zip(meant.place).map(|(shown, meant)| (shown - meant).abs());
        let off = off.fold(0.0, f32::max);
        if off > 0.03 {
            return Err(format!("player {player} is shown {off} m off").into());
        }
    }
    Ok(())
}

fn others(
    way: &str,
    lane: &mut dyn Lane,
    (played, first): (&Match, &Tick),
    bars: &mut Bars,
) -> Outcome<()> {
    lane.tell(first)?;
    let before = lane.stored()?;
    for tick in played.values() {
        lane.tell(tick)?;
    }
    bars.put(way, "stored before", before as f64);
    bars.hold(way, "grown at the end", lane.stored()? as f64 - before as f64, BAR);
    Ok(())
}
