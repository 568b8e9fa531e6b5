//! What can be asked of `parlor rooms`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum RoomsCommand {
    /// Every room of which something is kept.
    List(StoreArguments),
    /// One of them.
    Show(RoomArguments),
    /// Write a room into a file, to be imported here or elsewhere.
    Export {
        #[command(flatten)]
        room: RoomArguments,
        /// The file. It must be new.
        file: PathBuf,
    },
    /// Keep a room that was exported, in place of all that is kept of it, be it damaged. Nobody may be in
    /// it.
    Import {
        #[command(flatten)]
        store: StoreArguments,
        /// The file.
        file: PathBuf,
    },
    /// Keep nothing of a room any more, be it damaged. Nobody may be in it.
    Delete(RoomArguments),
    /// Read every room. What is damaged is named and stays closed from then on. Ends with 1 if something
    /// is.
    Verify(StoreArguments),
    /// Make a store with all rooms that are well, as they are at one moment. Ends with 1 if some are not.
    /// A relay that runs makes it itself, as its own user.
    Backup {
        #[command(flatten)]
        store: StoreArguments,
        /// The store to make. It must be new.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct StoreArguments {
    /// The folder that a relay was given with --data. The relay may run; where that cannot be, this says
    /// so.
    pub(crate) data: PathBuf,
    /// Write for programs: one JSON object per line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RoomArguments {
    #[command(flatten)]
    pub(crate) store: StoreArguments,
    /// The room's name.
    pub(crate) room: String,
    /// The application's id of 16 digits, as `list` shows it. Needed where several have a room of this
    /// name.
    #[arg(long, value_name = "ID")]
    pub(crate) app: Option<String>,
}
