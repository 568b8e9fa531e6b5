//! What can be asked of `parlor token`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use parlor::PeerId;
use parlor::proto::token::{Role, RoomPattern, TokenKey, moment};

use super::KeyArguments;

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a key that signs tokens: the secret goes into a file, the public key is printed.
    Keygen(KeygenArguments),
    /// Issue a token to one peer, and print it.
    Issue(IssueArguments),
    /// Show what a token says, and whether it is good now. Ends with 1 if it is not.
    Inspect(InspectArguments),
}

#[derive(Debug, Args)]
pub(crate) struct KeygenArguments {
    /// The file for the secret. It must be new.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Write for programs: one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct IssueArguments {
    /// The file with the secret, as `keygen` makes it.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    #[command(flatten)]
    pub(crate) app: KeyArguments,
    /// Who it is for: the peer's id, as `parlor identity` prints it.
    #[arg(long, value_name = "ID")]
    pub(crate) peer: PeerId,
    /// Which rooms: a room's name, the beginning of names and `*`, or `*`.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) room: RoomPattern,
    /// What the peer may do: join, write, speak or moderate. May be given several times.
    #[arg(long, value_name = "ROLE", required = true)]
    pub(crate) role: Vec<Role>,
    /// How long the token is good, for instance 90s, 15m or 1h; at most 24h.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(crate) life: Duration,
    /// From when on it is good, for instance 2027-01-15T08:00:00Z. By default from now on.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) not_before: Option<u64>,
    /// Until when the peer may speak. By default as long as the token is good.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) speak_until: Option<u64>,
    /// The most signals of the peer in a second. By default as for everybody.
    #[arg(long, value_name = "N")]
    pub(crate) signals_per_second: Option<u32>,
    /// The most bytes of the peer in a second. By default as for everybody.
    #[arg(long, value_name = "N")]
    pub(crate) bytes_per_second: Option<u32>,
    /// The token's name, by which it can be revoked. By default a fresh one.
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Write for programs: one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArguments {
    /// The token, or `-` to read it from standard input, where other users of this computer do not
    /// see it.
    pub(crate) token: String,
    /// A public key that may have signed it. May be given twice. Without one, the signature is not
    /// checked.
    #[arg(long, value_name = "PUBLIC")]
    pub(crate) key: Vec<TokenKey>,
    /// Write for programs: one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A whole number of seconds, minutes, hours or days.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number and s, m, h or d, for instance 15m".to_owned();
    let unit = match text.as_bytes().last() {
        Some(b's') => 1,
        Some(b'm') => 60,
        Some(b'h') => 60 * 60,
        Some(b'd') => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    number.checked_mul(unit).map(Duration::from_secs).ok_or_else(wrong)
}

/// A time, in Unix seconds.
fn time(text: &str) -> Result<u64, String> {
    moment::read(text).ok_or_else(|| "write a time as 2027-01-15T08:00:00Z".to_owned())
}
