//! What can be asked for on the command line and in the environment.

pub(crate) mod hooks;
pub(crate) mod rooms;
pub(crate) mod token;
pub(crate) mod voice;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::{Args, Parser, Subcommand, ValueEnum};
use parlor::Model;
use parlor::net::{RelayAddress, RelayChoice, load_or_create};
use parlor::proto::id::{AppKey, Identity};
use parlor::proto::token::TokenKey;
use parlor::room::{ConnectOptions, Room};
use parlor::{Entrance, Group, Invite, Lobby, LobbyOptions, Opening, Policy};

use self::hooks::HookArguments;
use self::rooms::RoomsCommand;
use self::token::TokenCommand;
use self::voice::{DevicesArguments, ListenArguments, TalkArguments, VoiceDemoArguments};
use crate::failure::Failure;

const ENVIRONMENT: &str = "Environment: PARLOR_RELAY (addresses, separated by commas), \
    PARLOR_APP_KEY, PARLOR_APP_KEY_FILE and PARLOR_TOKEN stand in for the options of the same names, PARLOR_LOG \
    says what is logged (for instance `debug`), NO_COLOR turns colour off.\n\
    Exit status: 0 when done, 1 when it failed, 2 when it was asked wrongly.";

/// Rooms that people share in real time.
#[derive(Debug, Parser)]
#[command(name = "parlor", version, about, after_help = ENVIRONMENT)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a relay until ctrl-C; it prints the addresses that peers can dial.
    Relay(RelayArguments),
    /// Join a room as a peer that is controlled by hand, or by commands from a pipe.
    Join(JoinArguments),
    /// Say a recording in a room, or what comes through a pipe or from a microphone.
    Talk(TalkArguments),
    /// Hear who speaks in a room, and write it down or play it.
    Listen(ListenArguments),
    /// Say which microphones and loudspeakers there are.
    Devices(DevicesArguments),
    /// Measure how far relays are, the nearest first, without coming into any room.
    Relays(RelaysArguments),
    /// Ask a relay about rooms, without coming into any.
    Lobby(LobbyArguments),
    /// See to the rooms that a relay keeps on its disk, while it runs or does not.
    #[command(subcommand)]
    Rooms(RoomsCommand),
    /// Write a room as an automerge file, or its values as JSON.
    Export(ExportArguments),
    /// Play recorded data into a room.
    Replay(ReplayArguments),
    /// Say who an identity is to others; its file is made at first use.
    Identity(IdentityArguments),
    /// Make, issue and inspect admission tokens, as an application's server does.
    #[command(subcommand)]
    Token(TokenCommand),
    /// A relay and four peers, each a process of its own, that share a room and end up equal; or, with
    /// --voice, one that speaks and two that hear it.
    Demo(DemoArguments),
    /// One peer of the demo, driven by lines of JSON.
    #[command(hide = true)]
    DemoPeer(DemoPeerArguments),
}

/// Which application, or for a relay, which applications.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct KeyArguments {
    /// The secret that the application's peers and its relay share.
    #[arg(long, value_name = "KEY", conflicts_with = "app_key_file")]
    pub(crate) app_key: Option<String>,
    /// A file that holds it (for a relay: one key per line, one for each application).
    #[arg(long, value_name = "FILE")]
    pub(crate) app_key_file: Option<PathBuf>,
}

/// What a relay and every peer take.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct CommonArguments {
    #[command(flatten)]
    pub(crate) app: KeyArguments,
    /// A file that holds who this is; it is made at first use. By default somebody new.
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
    /// Write for programs: one JSON object per line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where relays are.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct PlaceArguments {
    /// Where the relay is, for instance /ip4/192.0.2.1/udp/4433/quic-v1/p2p/12D3KooW...; may be
    /// given several times. Of several relays the first that can be reached is taken.
    #[arg(long, value_name = "ADDR")]
    relay: Vec<String>,
}

/// What every peer takes.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct PeerArguments {
    #[command(flatten)]
    place: PlaceArguments,
    /// Of several relays take the nearest instead. A room is on one relay: who takes another is in
    /// another room.
    #[arg(long)]
    nearest: bool,
    #[command(flatten)]
    pub(crate) common: CommonArguments,
}

#[derive(Debug, Args)]
pub(crate) struct RelaysArguments {
    #[command(flatten)]
    place: PlaceArguments,
    /// Write for programs: one JSON object per line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RelayArguments {
    /// Where to listen, for instance /ip4/0.0.0.0/udp/4433/quic-v1; port 0 is one that the system
    /// chooses. May be given several times. By default QUIC and TCP at 4433, WebSocket at 4434.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Vec<String>,
    /// A file that holds who the relay is and how often it has begun, so that ownership survives a
    /// restart; it is made at first use. One relay at a time can have it.
    #[arg(long, value_name = "FILE", conflicts_with = "identity")]
    pub(crate) state: Option<PathBuf>,
    /// A folder for all that the relay keeps, which is made at first use: who it is and how often it has
    /// begun, and its rooms, so that they survive a restart and a loss of power. One relay at a time can
    /// have it.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["identity", "state"])]
    pub(crate) data: Option<PathBuf>,
    /// Let nobody in without a token that this key has signed (`parlor token keygen` prints it). May be
    /// given twice, while one key follows another. It holds for every application of this relay.
    #[arg(long, value_name = "KEY")]
    pub(crate) token_key: Vec<TokenKey>,
    #[command(flatten)]
    pub(crate) hooks: HookArguments,
    #[command(flatten)]
    pub(crate) common: CommonArguments,
    /// Do not limit connections from this computer; for tests.
    #[arg(long)]
    pub(crate) exempt_loopback: bool,
    /// End when standard input ends, so that whoever started the relay cannot leave it behind.
    #[arg(long, hide = true)]
    pub(crate) until_eof: bool,
}

#[derive(Debug, Args)]
pub(crate) struct JoinArguments {
    /// The room's name.
    pub(crate) room: String,
    #[command(flatten)]
    pub(crate) entrance: EntranceArguments,
    #[command(flatten)]
    pub(crate) peer: PeerArguments,
}

/// On which terms a peer comes in.
#[derive(Clone, Debug, Args)]
pub(crate) struct EntranceArguments {
    /// Come in only if the room is open.
    #[arg(long, conflicts_with_all = ["listed", "capacity", "describe", "policy"])]
    existing: bool,
    /// The room's password; it becomes that of a room that this peer opens.
    #[arg(long, value_name = "TEXT")]
    password: Option<String>,
    /// What somebody inside has given you.
    #[arg(long, value_name = "INVITE")]
    invite: Option<Invite>,
    #[command(flatten)]
    token: BearerArguments,
    /// What the application's server is asked with, where the relay asks it; at most 4 KiB.
    #[arg(long, value_name = "TEXT")]
    context: Option<String>,
    /// If this peer opens the room: put it into lists.
    #[arg(long)]
    listed: bool,
    /// If this peer opens the room: how many members it may have.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    capacity: Option<u32>,
    /// If this peer opens the room: what it is.
    #[arg(long, value_name = "TEXT")]
    describe: Option<String>,
    /// If this peer opens the room: who may come in.
    #[arg(long, value_enum, default_value = "everyone")]
    policy: Who,
}

/// Who may come into a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Who {
    /// Everybody who knows its name.
    Everyone,
    /// Who has an invite, or was there before.
    Invited,
    /// Only who was there before.
    Nobody,
}

impl From<Who> for Policy {
    fn from(who: Who) -> Self {
        match who {
            Who::Everyone => Self::Everyone,
            Who::Invited => Self::Invited,
            Who::Nobody => Self::Nobody,
        }
    }
}

impl EntranceArguments {
    pub(crate) fn entrance(&self) -> Entrance {
        let opening = Opening {
            capacity: self.capacity,
            listed: self.listed,
            description: self.describe.clone().unwrap_or_default(),
            policy: self.policy.into(),
            password: self.password.clone(),
            ..Opening::default()
        };
        Entrance {
            create: !self.existing,
            opening,
            password: self.password.clone(),
            invite: self.invite,
            token: self.token.token(),
            context: self.context.clone().unwrap_or_default(),
        }
    }
}

/// What an application's server has given a peer.
#[derive(Clone, Debug, Args)]
pub(crate) struct BearerArguments {
    /// The token that the application's server has given this peer, where the relay asks for one.
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
}

impl BearerArguments {
    pub(crate) fn token(&self) -> Option<String> {
        self.token.clone().or_else(|| variable("PARLOR_TOKEN"))
    }
}

#[derive(Debug, Args)]
pub(crate) struct LobbyArguments {
    #[command(flatten)]
    pub(crate) token: BearerArguments,
    #[command(subcommand)]
    pub(crate) question: Question,
}

/// What is asked about rooms.
#[derive(Debug, Subcommand)]
pub(crate) enum Question {
    /// The rooms that are listed, by name.
    List {
        /// Which page, from 0.
        #[arg(long, default_value_t = 0)]
        page: u32,
        /// How many on a page.
        #[arg(long, default_value_t = 20)]
        size: u32,
        #[command(flatten)]
        peer: PeerArguments,
    },
    /// A room, by its name or its id of 16 digits.
    Show {
        /// The name or the id.
        room: String,
        #[command(flatten)]
        peer: PeerArguments,
    },
    /// A seat in a room of a group, which is held for this identity: join the room that it names soon.
    Match {
        /// The group.
        group: Group,
        /// How many members a new room may have.
        #[arg(long, default_value_t = 8)]
        capacity: u32,
        #[command(flatten)]
        peer: PeerArguments,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// The room's name.
    pub(crate) room: String,
    /// The file to write. Needed unless the values are asked for.
    #[arg(long, value_name = "FILE", required_unless_present = "json")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) peer: PeerArguments,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ReplayArguments {
    /// A concurrent editing trace (.json) or tracks (.csv), as it is or compressed (.gz).
    pub(crate) trace: PathBuf,
    /// The room's name. It must be new.
    #[arg(long)]
    pub(crate) room: String,
    /// Play only this agent; the others are played by other processes. By default all are played
    /// here, each by a peer of its own.
    #[arg(long = "as", value_name = "AGENT")]
    pub(crate) agent: Option<usize>,
    /// How fast: a factor of the recorded time, or `max`. Editing traces are always played at full
    /// speed: what follows what is recorded in them, and when is not.
    #[arg(long, default_value = "max", value_name = "X|max")]
    pub(crate) speed: String,
    /// Play only so many transactions (or rows) from the beginning.
    #[arg(long, value_name = "N")]
    pub(crate) first: Option<usize>,
    #[command(flatten)]
    pub(crate) peer: PeerArguments,
}

#[derive(Debug, Args)]
pub(crate) struct IdentityArguments {
    /// The file that holds who this is.
    pub(crate) file: PathBuf,
    /// Write for programs: one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DemoArguments {
    /// Write for programs: one JSON object per line, the last of which is the outcome.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) voice: VoiceDemoArguments,
}

#[derive(Debug, Args)]
pub(crate) struct DemoPeerArguments {
    #[arg(long)]
    pub(crate) room: String,
    #[arg(long)]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) peer: PeerArguments,
}

impl CommonArguments {
    pub(crate) fn identity(&self) -> Result<Identity, Failure> {
        match &self.identity {
            Some(path) => load_or_create(path).map_err(Failure::failed),
            None => Ok(Identity::from_seed(seed()?)),
        }
    }
}

impl KeyArguments {
    /// Every app key that was given, at least one.
    pub(crate) fn keys(&self) -> Result<Vec<String>, Failure> {
        if let Some(key) = &self.app_key {
            return Ok(vec![key.clone()]);
        }
        if let Some(path) = &self.app_key_file {
            return read_keys(path);
        }
        if let Some(key) = variable("PARLOR_APP_KEY") {
            return Ok(vec![key]);
        }
        if let Some(path) = variable("PARLOR_APP_KEY_FILE") {
            return read_keys(Path::new(&path));
        }
        Err(Failure::usage(
            "no app key was given: pass --app-key KEY or --app-key-file FILE, or set PARLOR_APP_KEY \
             or PARLOR_APP_KEY_FILE",
        ))
    }
}

impl PeerArguments {
    /// Makes a room and goes on the way into it.
    pub(crate) fn connect<M: Model>(
        &self,
        room: &str,
        metadata: Bytes,
        adjust: impl FnOnce(&mut ConnectOptions),
    ) -> Result<Room<M>, Failure> {
        let key = self.key()?;
        let relay = self.place.addresses()?;
        let relay: Vec<&str> = relay.iter().map(String::as_str).collect();
        let mut options = ConnectOptions::new(room, &key, &relay);
        options.net.relays = self.choice();
        options.metadata = metadata;
        options.identity = Some(self.common.identity()?);
        adjust(&mut options);
        Ok(Room::connect(options)?)
    }

    /// Somebody who asks about rooms.
    pub(crate) fn lobby(&self, token: Option<String>) -> Result<Lobby, Failure> {
        let (key, relay) = (self.key()?, self.place.addresses()?);
        let relay: Vec<&str> = relay.iter().map(String::as_str).collect();
        let mut options = LobbyOptions::new(&key, &relay);
        options.net.relays = self.choice();
        options.identity = Some(self.common.identity()?);
        options.token = token;
        Ok(Lobby::new(options)?)
    }

    fn key(&self) -> Result<String, Failure> {
        match &self.common.app.keys()?[..] {
            [key] => Ok(key.clone()),
            keys => Err(Failure::usage(format_args!(
                "a peer takes one app key, and the file has {}: pass one with --app-key",
                keys.len()
            ))),
        }
    }

    const fn choice(&self) -> RelayChoice {
        if self.nearest { RelayChoice::Nearest } else { RelayChoice::InOrder }
    }
}

impl RelaysArguments {
    /// The relays that are to be measured.
    pub(crate) fn addresses(&self) -> Result<Vec<RelayAddress>, Failure> {
        let given = self.place.addresses()?;
        given.iter().map(|address| address.parse().map_err(Failure::usage)).collect()
    }
}

impl PlaceArguments {
    fn addresses(&self) -> Result<Vec<String>, Failure> {
        let given = if self.relay.is_empty() {
            let addresses = variable("PARLOR_RELAY").unwrap_or_default();
            let addresses = addresses.split([',', ' ']).filter(|part| !part.is_empty());
            addresses.map(ToOwned::to_owned).collect()
        } else {
            self.relay.clone()
        };
        if given.is_empty() {
            return Err(Failure::usage(
                "no relay was given: pass --relay ADDR or set PARLOR_RELAY; `parlor relay` prints \
                 its addresses",
            ));
        }
        Ok(given)
    }
}

/// Fresh randomness from the system.
pub(crate) fn seed() -> Result<[u8; 32], Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|_| Failure::failed("the system gives no random bytes: try again later"))?;
    Ok(seed)
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn read_keys(path: &Path) -> Result<Vec<String>, Failure> {
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::failed(format_args!("cannot read the app key in {}: {error}", path.display()))
    })?;
    let keys: Vec<String> = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .map(ToOwned::to_owned)
        .collect();
    if keys.is_empty() {
        return Err(Failure::usage(format_args!(
            "{} holds no app key: write one into it, alone on a line",
            path.display()
        )));
    }
    Ok(keys)
}

/// The app keys of a relay.
pub(crate) fn app_keys(keys: Vec<String>) -> Result<Vec<AppKey>, Failure> {
    keys.into_iter().map(|key| AppKey::new(key).map_err(Failure::usage)).collect()
}
