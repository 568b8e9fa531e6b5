//! A relay with a rule of its own: nobody scores more than 10 at once, and the board is the referee's
//! alone. Two players come in and try: `cargo run --example referee`.

use std::error::Error;
use std::io::{Write as _, stdout};
use std::time::Duration;

use parlor::net::{Clock, Relay, RelayNetConfig};
use parlor::proto::datastore::intent::Intent;
use parlor::proto::hub::{Act, Hub, HubEvent, Order, Plugin, Ruling, Update};
use parlor::proto::model::handle::Handle;
use parlor::proto::model::path::Path;
use parlor::proto::ownership::Claim;
use parlor::proto::time::Time;
use parlor::{
    AppKey, Child, ConnectOptions, Denial, EditError, Event, HubConfig, Identity, Model, Room,
    Terms,
};

const APP_KEY: &str = "our secret";
const MOST: i64 = 10;
const TOO_MUCH: u32 = 1;
const PATIENCE: Duration = Duration::from_secs(10);
const FRAME: Duration = Duration::from_millis(5);

#[derive(Model, Clone, Debug, Default)]
struct Match {
    #[property(1)]
    score: i64,
    #[property(2)]
    board: Child<Board>,
}

#[derive(Model, Clone, Debug, Default)]
struct Board {
    #[property(1)]
    says: String,
}

/// The board of a room.
fn board() -> Path {
    Path::root().property(2)
}

#[derive(Debug)]
struct Referee;

impl Plugin for Referee {
    /// Whoever scores too much at once gets as much as may be.
    fn judge(&mut self, update: &Update<'_>) -> Ruling {
        let Some((before, after)) = update.of::<Match>(&Path::root()) else {
            return Ruling::Accept;
        };
        if after.score.saturating_sub(before.score) <= MOST {
            return Ruling::Accept;
        }
        let fair = Match { score: before.score + MOST, ..before.clone() };
        let with = Intent::between(&Path::root(), &before, &fair);
        Ruling::Replace { place: Path::root().property(1), code: TOO_MUCH, with }
    }

    /// Takes the board when a room opens.
    fn told(&mut self, _: &Hub, event: &HubEvent, _: Time) -> Vec<Order> {
        let HubEvent::Opened { room } = event else { return Vec::new() };
        let terms = Terms { prevent_takeover: true, ..Terms::default() };
        let mut intents = vec![Intent::Claim { model: board(), claim: Claim::Take(terms) }];
        let says = Board { says: "at most 10 at once".to_owned() };
        intents.extend(Intent::between(&board(), &Board::default(), &says));
        vec![(room.clone(), Act::Write(intents))]
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // A relay that others are to find again keeps its key and its boot: see `RelayState`.
    let (identity, keys) = (Identity::from_seed([9; 32]), [AppKey::new(APP_KEY)?]);
    let (config, now) = (HubConfig::default(), Clock::unix_micros());
    let mut hub = Hub::new(identity.clone(), keys, config, now, [9; 32], 1);
    hub.set_plugin(Box::new(Referee));
    let listen = ["/ip4/127.0.0.1/udp/0/quic-v1"];
    let relay = Relay::bind(&identity, &listen, RelayNetConfig::default(), hub).await?;
    let address = relay.addresses()[0].clone();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let game = async {
        let outcome = Box::pin(play(&address)).await;
        drop(stop);
        outcome
    };
    let stopped = async {
        stopped.await.ok();
    };
    let (outcome, _) = tokio::join!(game, Box::pin(relay.run(stopped)));
    outcome
}

/// Two players, of whom the first tries to score too much and to write on the board.
async fn play(address: &str) -> Result<(), Box<dyn Error>> {
    let enter = || Room::<Match>::connect(ConnectOptions::new("final", APP_KEY, &[address]));
    let (mut ada, mut bob) = (enter()?, enter()?);
    ada.ready().await?;
    bob.ready().await?;
    ada.update_root(|game: &mut Match| game.score = 1_000)?;
    let mut told = None;
    tokio::time::timeout(PATIENCE, async {
        while told.is_none() || ada.root().score != MOST || bob.root().score != MOST {
            ada.wait(FRAME).await;
            bob.wait(FRAME).await;
            while let Some(event) = ada.poll_event() {
                if let Event::Refused { why: why @ Denial::Ruled { code: TOO_MUCH }, .. } = event {
                    told = Some(why);
                }
            }
            while bob.poll_event().is_some() {}
        }
    })
    .await?;
    let theirs = bob.root().board.as_ref();
    let says = bob.get(&theirs).map(|board| board.says.clone()).unwrap_or_default();
    let mut out = stdout();
    writeln!(out, "the board says: {says}")?;
    if let Some(why) = told {
        writeln!(out, "Ada wanted 1000 and has {}: {why}", bob.root().score)?;
    }
    let board = ada.root().board.as_ref();
    match ada.update(&board, |board| "Ada wins".clone_into(&mut board.says)) {
        Err(EditError::Owned { model, .. }) if Some(&model) == board.path() => {
            writeln!(out, "and may not write on the board")?;
            Ok(())
        }
        other => Err(format!("the board is not the referee's: {other:?}").into()),
    }
}
