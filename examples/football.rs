//! A football match in a room: two peers move half of the players each and show all of them.
//!
//! ```sh
//! cargo run --release --features cli --example football -- MATCH.csv.gz
//! ```
//!
//! draws both sides in the terminal, with what each is told in bytes; `q` ends it. A recording is
//! comma-separated, and may be compressed: `t_ms,id,x_m,y_m,heading_rad` and whatever follows, in the
//! order of time. Without one the players run about by themselves. `--headless` draws nothing, prints a
//! table at the end, and fails if the two sides did not come to show the same.

#[path = "football/draw.rs"]
mod draw;
#[path = "football/game.rs"]
mod game;
#[path = "football/side.rs"]
mod side;

use std::error::Error;
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use comfy_table::Table;
use parlor::net::{Clock, Relay, RelayNetConfig};
use parlor::proto::hub::Hub;
use parlor::{AppKey, HubConfig, Identity};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, timeout};

use self::draw::Screen;
use self::game::{Game, Tick};
use self::side::Side;

/// How often a side draws, and one whole tick of the match.
const PICTURE: Duration = Duration::from_millis(25);
const PICTURES: u32 = 2;

/// How long both sides may take to be in the room, and to agree at the end.
const PATIENCE: Duration = Duration::from_secs(20);

/// How far apart both may show a player at rest, in metres.
const AGREE: f32 = 0.03;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A match that two peers share.
#[derive(Parser)]
struct Options {
    /// A recorded match, as a table of `t_ms,id,x_m,y_m,heading_rad`; a made one if there is none.
    recording: Option<PathBuf>,
    /// Draw nothing, print what was measured, and fail if the sides differ in the end.
    #[arg(long)]
    headless: bool,
    /// How long to play, in seconds; to the end of the match if that is sooner.
    #[arg(long)]
    seconds: Option<u32>,
    /// Another made match.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let options = Options::parse();
    let game = match &options.recording {
        Some(file) => Game::read(file).map_err(|error| format!("{}: {error}", file.display()))?,
        None => Game::made(options.seed),
    };
    let (identity, keys) =
        (Identity::from_seed([7; 32]), vec![AppKey::new("football".to_owned())?]);
    let epoch = Clock::unix_micros();
    let hub = Hub::new(identity.clone(), keys, HubConfig::default(), epoch, [7; 32], 1);
    let net = RelayNetConfig { exempt_loopback: true, ..RelayNetConfig::default() };
    let relay =
        Box::pin(Relay::bind(&identity, &["/ip4/127.0.0.1/udp/0/quic-v1"], net, hub)).await?;
    let address = relay.addresses().first().ok_or("the relay has no address")?.clone();
    let (end, ended) = oneshot::channel::<()>();
    let relay = relay.run(async move {
        ended.await.ok();
    });
    let match_ = async {
        let played = Box::pin(play(&game, &options, &address)).await;
        end.send(()).ok();
        played
    };
    let (_, played) = tokio::join!(Box::pin(relay), Box::pin(match_));
    played
}

/// Plays a match on two sides.
async fn play(game: &Game, options: &Options, address: &str) -> Outcome<()> {
    let mut sides = [Side::new("even", address)?, Side::new("odd", address)?];
    timeout(PATIENCE, async {
        for side in &mut sides {
            side.ready().await?;
        }
        Ok::<(), Box<dyn Error>>(())
    })
    .await
    .map_err(|_| "the sides did not get into the room")??;
    let most = options.seconds.map_or(usize::MAX, |seconds| seconds as usize * 20);
    let mut screen = if options.headless { None } else { Some(Screen::open()?) };
    let mut pictures = interval(PICTURE);
    pictures.set_missed_tick_behavior(MissedTickBehavior::Skip);
    'match_: for tick in game.ticks().take(most) {
        move_players(&mut sides, tick)?;
        for _ in 0..PICTURES {
            pictures.tick().await;
            sides.iter_mut().for_each(Side::show);
            if let Some(screen) = &mut screen
                && screen.draw(&sides)?
            {
                break 'match_;
            }
        }
    }
    drop(screen);
    let agreed = agree(&mut sides).await;
    report(&sides)?;
    agreed
}

/// Each side moves its half.
fn move_players(sides: &mut [Side; 2], tick: &Tick) -> Outcome<()> {
    for (&player, pose) in tick {
        let side = &mut sides[usize::from(player % 2 == 1)];
        side.put(player, *pose)?;
    }
    Ok(())
}

/// Waits until both sides show every player in the same place.
async fn agree(sides: &mut [Side; 2]) -> Outcome<()> {
    let mut pictures = interval(PICTURE);
    let mut apart = Some("nothing was shown".to_owned());
    let waited = timeout(PATIENCE, async {
        while apart.is_some() {
            pictures.tick().await;
            sides.iter_mut().for_each(Side::show);
            apart = difference(sides);
        }
    });
    if waited.await.is_err() {
        return Err(format!("the sides differ: {}", apart.unwrap_or_default()).into());
    }
    Ok(())
}

/// What the sides show otherwise, if anything.
fn difference([even, odd]: &[Side; 2]) -> Option<String> {
    let (one, other) = (even.shown(), odd.shown());
    if one.is_empty() || one.keys().ne(other.keys()) {
        return Some(format!("{} players and {}", one.len(), other.len()));
    }
    one.iter().zip(other.values()).find_map(|((number, here), there)| {
        let off = (0..2).map(|axis| (here[axis] - there[axis]).abs()).fold(0.0, f32::max);
        (off > AGREE).then(|| format!("player {number} is at {here:?} and at {there:?}"))
    })
}

fn report(sides: &[Side; 2]) -> Outcome<()> {
    let mut table = Table::new();
    table.set_header(["side", "moves", "sees", "bytes an update seen", "bytes a second", "behind"]);
    for side in sides {
        let figures = side.figures();
        table.add_row([
            side.name().to_owned(),
            figures.own.to_string(),
            figures.others.to_string(),
            format!("{:.2}", figures.per_update),
            format!("{:.0}", figures.per_second),
            format!("{} ms", figures.behind.as_millis()),
        ]);
    }
    writeln!(stdout(), "{table}")?;
    Ok(())
}
