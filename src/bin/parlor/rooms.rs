//! `parlor rooms`: what a relay keeps, while it does not run.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parlor::proto::id::RoomKey;
use parlor::store::disk::{BackupError, ExportError, OpenError, Progress, StoredRoom, read_export};
use parlor::store::{DiskStore, DiskStoreConfig, RoomStore};
use serde_json::{Value as Json, json};

use crate::arguments::rooms::{RoomArguments, RoomsCommand, StoreArguments};
use crate::data::store_path;
use crate::failure::Failure;
use crate::output::{BAD, Output, paint};

/// Does what is asked of a relay's rooms.
pub(crate) fn run(command: &RoomsCommand) -> Result<(), Failure> {
    match command {
        RoomsCommand::List(arguments) => list(arguments),
        RoomsCommand::Show(arguments) => show(arguments),
        RoomsCommand::Export { room, file } => export(room, file),
        RoomsCommand::Import { store, file } => import(store, file),
        RoomsCommand::Delete(arguments) => delete(arguments),
        RoomsCommand::Verify(arguments) => verify(arguments),
        RoomsCommand::Backup { store, file } => back_up(store, file),
    }
}

/// The store of a relay that has ended; none is made.
fn open(arguments: &StoreArguments) -> Result<DiskStore, Failure> {
    let path = store_path(&arguments.data);
    if !path.exists() {
        let data = arguments.data.display();
        return Err(Failure::usage(format_args!("{data} has no rooms: pass a relay's --data")));
    }
    DiskStore::open(&path, DiskStoreConfig::default()).map_err(|error| match error {
        OpenError::InUse { .. } => Failure::failed(format_args!(
            "a relay that runs has {}: end it first",
            arguments.data.display()
        )),
        error => Failure::failed(error),
    })
}

fn list(arguments: &StoreArguments) -> Result<(), Failure> {
    let output = Output { json: arguments.json };
    let rooms = open(arguments)?.rooms().map_err(Failure::failed)?;
    if output.json {
        rooms.iter().try_for_each(|room| output.object(&object(room)))
    } else {
        output.line(table(&rooms))
    }
}

fn show(arguments: &RoomArguments) -> Result<(), Failure> {
    let mut store = open(&arguments.store)?;
    let room = find(&mut store, arguments)?;
    let output = Output { json: arguments.store.json };
    output.tell(&object(&room), table(std::slice::from_ref(&room)))
}

fn export(arguments: &RoomArguments, file: &Path) -> Result<(), Failure> {
    let mut store = open(&arguments.store)?;
    let room = find(&mut store, arguments)?.room;
    let bytes = store.export(&room).map_err(Failure::failed)?.unwrap_or_default();
    let mut out = OpenOptions::new().write(true).create_new(true).open(file).map_err(|error| {
        let file = file.display();
        match error.kind() {
            ErrorKind::AlreadyExists => {
                Failure::usage(format_args!("{file} is there already, and is not written over"))
            }
            _ => Failure::failed(format_args!("cannot write {file}: {error}")),
        }
    })?;
    out.write_all(&bytes)?;
    out.sync_all()?;
    let output = Output { json: arguments.store.json };
    let words = format!("{} is in {}", room.1, file.display());
    output.tell(&json!({ "room": room.1.as_str(), "bytes": bytes.len() }), words)
}

fn import(arguments: &StoreArguments, file: &Path) -> Result<(), Failure> {
    let shown = file.display();
    let bytes = fs::read(file)
        .map_err(|error| Failure::usage(format_args!("cannot read {shown}: {error}")))?;
    let wrong = |error: ExportError| match error {
        ExportError::Store(error) => Failure::failed(error),
        error => Failure::usage(format_args!("{shown}: {error}")),
    };
    let (room, _) = read_export(&bytes).map_err(wrong)?;
    open(arguments)?.import(&room, &bytes).map_err(wrong)?;
    let words = format!("{} is kept as {shown} has it", room.1);
    Output { json: arguments.json }.tell(&json!({ "room": room.1.as_str() }), words)
}

fn delete(arguments: &RoomArguments) -> Result<(), Failure> {
    let mut store = open(&arguments.store)?;
    let room = find(&mut store, arguments)?.room;
    store.remove(&room).map_err(Failure::failed)?;
    let words = format!("nothing is kept of {} any more", room.1);
    Output { json: arguments.store.json }.tell(&json!({ "deleted": room.1.as_str() }), words)
}

fn verify(arguments: &StoreArguments) -> Result<(), Failure> {
    let bar = bar(arguments, "verifying");
    let damaged = open(arguments)?.verify(|progress| advance(&bar, progress));
    bar.finish_and_clear();
    tell_damaged(arguments, &damaged.map_err(Failure::failed)?, "every room is well")
}

fn back_up(arguments: &StoreArguments, file: &Path) -> Result<(), Failure> {
    let bar = bar(arguments, "copying");
    let mut store = open(arguments)?;
    let snapshot = store.snapshot().map_err(Failure::failed)?;
    let damaged = snapshot.back_up(file, |progress| advance(&bar, progress));
    bar.finish_and_clear();
    let damaged = damaged.map_err(|error| match error {
        BackupError::Exists => Failure::usage(format_args!("{}: {error}", file.display())),
        error => Failure::failed(error),
    })?;
    tell_damaged(arguments, &damaged, "every room is in the backup")
}

/// Names what is damaged; or says that nothing is.
fn tell_damaged(
    arguments: &StoreArguments,
    damaged: &[(RoomKey, String)],
    well: &str,
) -> Result<(), Failure> {
    let output = Output { json: arguments.json };
    for ((app, name), why) in damaged {
        let object = json!({ "app": format!("{app:?}"), "room": name.as_str(), "damaged": why });
        let words = format!("{} {name} of {app:?}: {why}", paint(BAD, "damaged:"));
        output.tell(&object, words)?;
    }
    if damaged.is_empty() {
        output.tell(&json!({ "damaged": Json::Null }), well)
    } else {
        Err(Failure::Told)
    }
}

/// The room that is meant.
fn find(store: &mut DiskStore, arguments: &RoomArguments) -> Result<StoredRoom, Failure> {
    let rooms = store.rooms().map_err(Failure::failed)?;
    let is_meant = |stored: &StoredRoom| {
        let (app, name) = &stored.room;
        let app = format!("{app:?}");
        name.as_str() == arguments.room && arguments.app.as_ref().is_none_or(|meant| *meant == app)
    };
    let mut meant = rooms.into_iter().filter(is_meant);
    let name = &arguments.room;
    match (meant.next(), meant.next()) {
        (Some(room), None) => Ok(room),
        (None, _) => Err(Failure::usage(format_args!("nothing is kept of a room {name:?}"))),
        (Some(_), Some(_)) => Err(Failure::usage(format_args!(
            "several applications have a room {name:?}: say which with --app"
        ))),
    }
}

fn object(stored: &StoredRoom) -> Json {
    json!({
        "app": format!("{:?}", stored.room.0),
        "room": stored.room.1.as_str(),
        "bytes": stored.bytes,
        "records": stored.records,
        "damaged": stored.damaged,
    })
}

fn table(rooms: &[StoredRoom]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["application", "bytes", "records", "room", ""]);
    for stored in rooms {
        let damaged = stored.damaged.as_ref().map(|why| format!("damaged: {why}"));
        table.add_row([
            format!("{:?}", stored.room.0),
            stored.bytes.to_string(),
            stored.records.to_string(),
            stored.room.1.to_string(),
            damaged.unwrap_or_default(),
        ]);
    }
    table
}

/// Shows people at a terminal how far it is.
fn bar(arguments: &StoreArguments, doing: &'static str) -> ProgressBar {
    let target =
        if arguments.json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let style = ProgressStyle::with_template("{msg} [{bar:30}] {bytes}/{total_bytes}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(None, target).with_style(style).with_message(doing)
}

fn advance(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.of_bytes);
    bar.set_position(progress.bytes);
}
