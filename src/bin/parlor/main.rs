//! The `parlor` command.

mod arguments;
mod data;
mod demo;
mod devices;
mod export;
mod failure;
mod identity;
mod join;
mod listen;
mod lobby;
mod output;
mod relay;
mod relays;
mod replay;
mod rooms;
mod sound;
mod talk;
mod token;

use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::Builder;
use tracing_subscriber::EnvFilter;

use crate::arguments::{Arguments, Command};
use crate::failure::Failure;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Whoever cannot be told cannot be told that either.
            error.print().ok();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_env("PARLOR_LOG").unwrap_or_default())
        .with_writer(std::io::stderr)
        .init();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(why) = failure.words() {
                output::complain(why);
            }
            failure.status()
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(async {
        match arguments.command {
            Command::Relay(arguments) => Box::pin(relay::run(&arguments)).await,
            Command::Join(arguments) => Box::pin(join::run(&arguments)).await,
            Command::Talk(arguments) => Box::pin(talk::run(&arguments)).await,
            Command::Listen(arguments) => Box::pin(listen::run(&arguments)).await,
            Command::Devices(arguments) => devices::run(&arguments),
            Command::Relays(arguments) => Box::pin(relays::run(&arguments)).await,
            Command::Lobby(arguments) => Box::pin(lobby::run(&arguments)).await,
            Command::Rooms(command) => rooms::run(&command),
            Command::Export(arguments) => Box::pin(export::run(&arguments)).await,
            Command::Replay(arguments) => Box::pin(replay::run(arguments)).await,
            Command::Identity(arguments) => identity::run(&arguments),
            Command::Token(command) => token::run(&command).await,
            Command::Demo(arguments) => Box::pin(demo::run(&arguments)).await,
            Command::DemoPeer(arguments) => Box::pin(demo::peer::run(&arguments)).await,
        }
    });
    // A thread may still wait for a line that nobody will type.
    runtime.shutdown_background();
    outcome
}
