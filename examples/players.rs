//! A peer that adds itself to a room and says who is there: `cargo run --example players -- ADDRESS`.

use parlor::{ConnectOptions, Model, RealtimeSet, Room};
use std::io::{Write, stdout};

#[derive(Model, Clone, Debug, Default)]
struct Lobby {
    #[property(1)]
    players: RealtimeSet<Player>,
}

#[derive(Model, Clone, Debug, Default)]
struct Player {
    #[property(1)]
    name: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let relay = std::env::args().nth(1).ok_or("name a relay")?;
    let mut room = Room::<Lobby>::connect(ConnectOptions::new("lobby", "our secret", &[&relay]))?;
    let players = room.root().players.clone();
    players.add(&mut room, Player { name: "Ada".into() })?;
    room.ready().await?;
    for (_, player) in players.iter(&room) {
        writeln!(stdout(), "{} is here", player.name)?;
    }
    Ok(())
}
