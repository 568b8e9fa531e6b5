//! What is said, and what is heard.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use parlor::PeerId;
use parlor::proto::id::ClientNumber;

use super::JoinArguments;

#[derive(Debug, Args)]
pub(crate) struct TalkArguments {
    #[command(flatten)]
    pub(crate) join: JoinArguments,
    /// The recording: a WAV of 1 to 8 channels and 8,000 to 192,000 samples a second; their mean is
    /// said. `-` is one through standard input, which may go on for ever. Needed where standard input is
    /// a terminal; there `m` mutes and unmutes, and `q` ends.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Say what a microphone captures, until `q` is typed or ctrl-C: the one that `parlor devices` lists
    /// by this name, or without a name the system's own.
    #[arg(long, value_name = "NAME", num_args = 0..=1, conflicts_with_all = ["file", "again"])]
    pub(crate) device: Option<Option<String>>,
    /// Say the recording again and again.
    #[arg(long = "loop", requires = "file")]
    pub(crate) again: bool,
    /// Begin muted.
    #[arg(long)]
    pub(crate) muted: bool,
    /// Take keys from standard input though it is no terminal, and end when it does.
    #[arg(long, hide = true)]
    pub(crate) until_eof: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DevicesArguments {
    /// Write for programs: one JSON object per line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ListenArguments {
    #[command(flatten)]
    pub(crate) join: JoinArguments,
    /// Write what is heard, all voices in one, as a WAV of 48,000 samples a second of 16 bits. What was
    /// heard until a second ago is there however this ends. What the file held before is lost.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Play what is heard by a loudspeaker: the one that `parlor devices` lists by this name, or without
    /// a name the system's own.
    #[arg(long, value_name = "NAME", num_args = 0..=1, conflicts_with = "out")]
    pub(crate) device: Option<Option<String>>,
    /// Hear only this member, by its client number or its peer id; may be given several times. By
    /// default everybody.
    #[arg(long, value_name = "CLIENT")]
    pub(crate) who: Vec<Whom>,
    /// End after so long. By default when `q` is typed, or with ctrl-C.
    #[arg(long, value_name = "N", value_parser = seconds)]
    pub(crate) seconds: Option<f64>,
    /// Take keys from standard input though it is no terminal, and end when it does.
    #[arg(long, hide = true)]
    pub(crate) until_eof: bool,
}

/// Who is heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Whom {
    /// Who has this number in the room, as long as it is there.
    Client(ClientNumber),
    /// Whoever has this key, also when it comes again.
    Peer(PeerId),
}

impl FromStr for Whom {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(number) = text.parse() {
            return Ok(Self::Client(ClientNumber(number)));
        }
        text.parse().map(Self::Peer).map_err(|_| {
            "neither a client number nor a peer id: `parlor join` lists both".to_owned()
        })
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct VoiceDemoArguments {
    /// Let one peer speak through a relay to two others, and compare what they hear with what it says.
    #[arg(long)]
    pub(crate) voice: bool,
    /// How long it speaks, without a recording.
    #[arg(long, value_name = "N", requires = "voice", default_value = "6", value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Say this recording, a WAV of at most two minutes, and not a voice that is made up.
    #[arg(long, value_name = "FILE", requires = "voice", conflicts_with = "seconds")]
    pub(crate) file: Option<PathBuf>,
    /// Where what was said and heard is written, with a report. By default it is not kept.
    #[arg(long, value_name = "DIR", requires = "voice")]
    pub(crate) out: Option<PathBuf>,
}

/// A length that somebody has the patience for.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "no number of seconds".to_owned())?;
    let most = 1e6;
    if (1.0..=most).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(format!("not within 1 and {most}"))
    }
}
