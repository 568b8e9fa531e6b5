//! `parlor rooms`: what a relay keeps, while it runs and while it does not.

mod clerk;
#[cfg(unix)]
mod frame;
#[cfg(unix)]
mod hatch;
#[cfg(not(unix))]
#[path = "rooms/elsewhere.rs"]
mod hatch;
mod order;
mod show;

use std::fs;
use std::path::{self, Path};

use parlor::store::disk::{OpenError, Progress};
use parlor::store::{DiskStore, DiskStoreConfig};

pub(crate) use self::clerk::Clerk;
pub(crate) use self::hatch::Hatch;
use self::order::{Order, Outcome, Wanted};
use self::show::Doing;
use crate::arguments::rooms::{RoomArguments, RoomsCommand, StoreArguments};
use crate::data::{socket_path, store_path};
use crate::failure::Failure;
use crate::output::Output;

/// Does what is asked of a relay's rooms.
pub(crate) fn run(command: &RoomsCommand) -> Result<(), Failure> {
    let Errand { store, order, file, doing } = Errand::of(command)?;
    let output = Output { json: store.json };
    let outcome = match doing {
        Some(doing) => {
            let bar = show::bar(output, doing);
            let outcome = ask(store, order, |progress| show::advance(&bar, progress));
            bar.finish_and_clear();
            outcome
        }
        None => ask(store, order, |_| {}),
    };
    show::tell(output, outcome?, file)
}

/// What is asked, of whom, and what the command does itself.
struct Errand<'a> {
    store: &'a StoreArguments,
    order: Order,
    /// Where a room goes that is handed out.
    file: Option<&'a Path>,
    /// What it is called if it takes its time.
    doing: Option<Doing>,
}

impl<'a> Errand<'a> {
    fn of(command: &'a RoomsCommand) -> Result<Self, Failure> {
        Ok(match command {
            RoomsCommand::List(store) => Self::brief(store, Order::List),
            RoomsCommand::Show(room) => Self::brief(&room.store, Order::Show(wanted(room))),
            RoomsCommand::Export { room, file } => {
                let file = Some(file.as_path());
                let doing = Some(Doing::One("exporting"));
                Self { file, doing, ..Self::brief(&room.store, Order::Export(wanted(room))) }
            }
            RoomsCommand::Import { store, file } => {
                let name = file.display().to_string();
                let bytes = fs::read(file)
                    .map_err(|error| Failure::usage(format_args!("cannot read {name}: {error}")))?;
                let order = Order::Import { name, bytes: bytes.into() };
                Self { doing: Some(Doing::One("importing")), ..Self::brief(store, order) }
            }
            RoomsCommand::Delete(room) => Self::brief(&room.store, Order::Delete(wanted(room))),
            RoomsCommand::Verify(store) => {
                Self { doing: Some(Doing::Rooms("verifying")), ..Self::brief(store, Order::Verify) }
            }
            RoomsCommand::Backup { store, file } => {
                let file = path::absolute(file).map_err(|error| {
                    Failure::usage(format_args!("{} is no path: {error}", file.display()))
                })?;
                Self {
                    doing: Some(Doing::Rooms("copying")),
                    ..Self::brief(store, Order::BackUp { file })
                }
            }
        })
    }

    const fn brief(store: &'a StoreArguments, order: Order) -> Self {
        Self { store, order, file: None, doing: None }
    }
}

fn wanted(arguments: &RoomArguments) -> Wanted {
    Wanted { room: arguments.room.clone(), app: arguments.app.clone() }
}

/// Has an order carried out: here, if nobody has the store, else by the relay that has it.
fn ask(
    arguments: &StoreArguments,
    order: Order,
    tell: impl FnMut(Progress),
) -> Result<Outcome, Failure> {
    let (path, data) = (store_path(&arguments.data), arguments.data.display());
    if !path.exists() {
        return Err(Failure::usage(format_args!("{data} has no rooms: pass a relay's --data")));
    }
    match DiskStore::open(&path, DiskStoreConfig::default()) {
        Ok(store) => Clerk::alone(store).carry_out(order, tell),
        Err(OpenError::InUse { .. }) => {
            let in_use = |why: &str| {
                Failure::failed(format_args!(
                    "a relay that runs has {data}, or another `parlor rooms`, and takes no orders \
                     ({why}): try again, or end it first"
                ))
            };
            hatch::ask(&socket_path(&arguments.data), &order, in_use, tell)
        }
        Err(error) => Err(Failure::failed(error)),
    }
}
