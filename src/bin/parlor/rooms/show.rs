//! What people and programs are told of what came of it.

#[cfg(unix)]
use std::fs::File;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
#[cfg(unix)]
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parlor::store::disk::Progress;
use serde_json::{Value as Json, json};

use super::order::{Damaged, Listed, Outcome};
use crate::failure::Failure;
use crate::output::{BAD, Output, paint};

/// How often what shows that something goes on turns.
const TICK: Duration = Duration::from_millis(100);

/// Tells what came of it. A room that is handed out goes into `file`.
pub(super) fn tell(output: Output, outcome: Outcome, file: Option<&Path>) -> Result<(), Failure> {
    match outcome {
        Outcome::Rooms(rooms) if output.json => {
            rooms.iter().try_for_each(|room| output.object(&json!(room)))
        }
        Outcome::Rooms(rooms) => output.line(table(rooms)),
        Outcome::Exported { room, bytes } => {
            let file = file.ok_or_else(|| Failure::failed("a room was handed out unasked"))?;
            write(file, &bytes)?;
            let words = format!("{room} is in {}", file.display());
            output.tell(&json!({ "room": room, "bytes": bytes.len() }), words)
        }
        Outcome::Imported { room, name } => {
            output.tell(&json!({ "room": room }), format!("{room} is kept as {name} has it"))
        }
        Outcome::Deleted { room } => {
            let words = format!("nothing is kept of {room} any more");
            output.tell(&json!({ "deleted": room }), words)
        }
        Outcome::Verified(damaged) => name(output, &damaged, "every room is well"),
        Outcome::BackedUp(damaged) => name(output, &damaged, "every room is in the backup"),
    }
}

/// Names what is damaged; or says that nothing is.
fn name(output: Output, damaged: &[Damaged], well: &str) -> Result<(), Failure> {
    for room in damaged {
        let Damaged { app, room: name, damaged: why } = room;
        let words = format!("{} {name} of {app}: {why}", paint(BAD, "damaged:"));
        output.tell(&json!(room), words)?;
    }
    if damaged.is_empty() {
        output.tell(&json!({ "damaged": Json::Null }), well)
    } else {
        Err(Failure::Told)
    }
}

fn table(rooms: Vec<Listed>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["application", "bytes", "records", "room", ""]);
    for Listed { app, room, bytes, records, damaged } in rooms {
        let damaged = damaged.map(|why| format!("damaged: {why}")).unwrap_or_default();
        table.add_row([app, bytes.to_string(), records.to_string(), room, damaged]);
    }
    table
}

/// Makes a file that only its owner can read, as a store is, and that outlives a loss of power.
fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let shown = file.display();
    let failed = |error: io::Error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Failure::usage(format_args!("{shown} is there already, and is not written over"))
        }
        _ => Failure::failed(format_args!("cannot write {shown}: {error}")),
    };
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    options.mode(0o600);
    let mut out = options.write(true).create_new(true).open(file).map_err(failed)?;
    let written = out.write_all(bytes).and_then(|()| out.sync_all());
    written.and_then(|()| sync_folder(file)).map_err(|error| {
        // Half of a room is none.
        fs::remove_file(file).ok();
        failed(error)
    })
}

#[cfg(unix)]
fn sync_folder(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// What takes its time, in a word.
#[derive(Clone, Copy)]
pub(super) enum Doing {
    /// With all rooms, of which it is said how many are done.
    Rooms(&'static str),
    /// With one, which is done or not.
    One(&'static str),
}

/// Shows people at a terminal how far it is.
pub(super) fn bar(output: Output, doing: Doing) -> ProgressBar {
    let target =
        if output.json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let (words, template) = match doing {
        Doing::Rooms(words) => (words, "{msg} [{bar:30}] {bytes}/{total_bytes}"),
        Doing::One(words) => (words, "{spinner} {msg} {elapsed}"),
    };
    let style = ProgressStyle::with_template(template);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(None, target).with_style(style).with_message(words);
    if matches!(doing, Doing::One(_)) {
        bar.enable_steady_tick(TICK);
    }
    bar
}

pub(super) fn advance(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.of_bytes);
    bar.set_position(progress.bytes);
}
