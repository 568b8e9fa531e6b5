//! What the peers of the demo share.

use parlor::Model;
use parlor::proto::datastore::EditError;
use parlor::proto::model::handle::{RealtimeDictionary, RealtimeList, RealtimeSet, Text};
use parlor::proto::model::property::Counter;
use parlor::room::Room;
use serde_json::{Value as Json, json};

/// A room before a game.
#[derive(Model, Clone, Debug, Default)]
pub(super) struct Lobby {
    #[property(1)]
    title: String,
    #[property(2)]
    pub(super) players: RealtimeDictionary<String, Player>,
    #[property(3)]
    visits: Counter,
    #[property(4)]
    chairs: RealtimeSet<Chair>,
    #[property(5)]
    turns: RealtimeList<Turn>,
    #[property(6)]
    notes: Text,
}

/// Somebody who plays.
#[derive(Model, Clone, Debug, Default)]
pub(super) struct Player {
    #[property(1)]
    name: String,
    #[property(2)]
    score: i64,
    #[property(3)]
    place: [f32; 3],
    #[property(4)]
    wins: Counter,
}

/// A thing in the room.
#[derive(Model, Clone, Debug, Default)]
struct Chair {
    #[property(1)]
    owner: String,
    #[property(2)]
    colour: u32,
}

/// Whose turn it is.
#[derive(Model, Clone, Debug, Default)]
struct Turn {
    #[property(1)]
    who: String,
    #[property(2)]
    round: u32,
}

/// One of a round's edits: something of everything that a room can hold.
pub(super) fn edit(room: &mut Room<Lobby>, name: &str, round: u32) -> Result<(), EditError> {
    let lobby = room.root().clone();
    let player = match lobby.players.get(room, &name.to_owned()) {
        Some(player) => player,
        None => {
            let player = Player { name: name.to_owned(), ..Player::default() };
            lobby.players.insert(room, &name.to_owned(), player)?
        }
    };
    room.update(&player, |player| {
        player.score += i64::from(round);
        player.place[0] += 0.5;
        player.wins += 1;
    })?;
    room.update_root(|lobby: &mut Lobby| {
        lobby.visits += 1;
        lobby.title = format!("the lobby, as {name} last called it");
    })?;
    let owner = name.to_owned();
    let colour = round.wrapping_mul(0x0001_0203);
    lobby.chairs.add(room, Chair { owner, colour })?;
    let who = name.to_owned();
    let middle = lobby.turns.len(room) / 2;
    let turn = lobby.turns.insert(room, middle, Turn { who, round })?;
    if round.is_multiple_of(3) {
        lobby.turns.move_to(room, &turn, 0)?;
    }
    let end = lobby.notes.read(room).chars().count();
    lobby.notes.insert(room, end, &format!("{name} wrote line {round}.\n"))
}

/// One small edit: a single property.
pub(super) fn nudge(room: &mut Room<Lobby>, name: &str) -> Result<(), EditError> {
    let players = room.root().players.clone();
    match players.get(room, &name.to_owned()) {
        Some(player) => room.update(&player, |player| player.score += 1),
        None => Ok(()),
    }
}

/// How much there is of everything.
pub(super) fn counts(room: &Room<Lobby>) -> Json {
    let lobby = room.root();
    json!({
        "players": lobby.players.len(room),
        "visits": lobby.visits.get(),
        "chairs": lobby.chairs.len(room),
        "turns": lobby.turns.len(room),
        "note_chars": lobby.notes.read(room).chars().count(),
    })
}
