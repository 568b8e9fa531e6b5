//! `parlor join`: a peer that knows no types but what the room says of itself.

mod command;
mod input;
mod owner;
mod place;
mod room;
mod say;
mod session;
mod show;
mod value;
pub(crate) mod watch;

use std::time::Duration;

use bytes::Bytes;
use parlor::Model;
use parlor::proto::event::State;
use parlor::proto::model::{Field, PropertyShape};
use parlor::room::Room;
use tokio::time::timeout;

use self::input::Input;
use self::session::Session;
use crate::arguments::JoinArguments;
use crate::failure::Failure;
use crate::output::{Output, is_watched};

/// How long the way into the room may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// The root of a room whose types are not known here: nothing is described, so nothing is said of
/// them to others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Untyped;

impl Model for Untyped {
    const NAME: &'static str = "";
    const RETIRED: &'static [u16] = &[];

    fn describe(_: &mut Vec<PropertyShape>) {}

    fn field(&self, _: u16) -> Option<&dyn Field> {
        None
    }

    fn field_mut(&mut self, _: u16) -> Option<&mut dyn Field> {
        None
    }
}

/// Joins a room, and does what is typed or piped in.
pub(crate) async fn run(arguments: &JoinArguments) -> Result<(), Failure> {
    let output = Output { json: arguments.peer.common.json };
    let room = Box::pin(enter(arguments)).await?;
    let watched = is_watched() && !output.json;
    let input = Input::open(watched)?;
    Box::pin(Session::new(room, output, watched).run(input)).await
}

/// Goes on the way into a room, and waits until it is there. A link that is lost later is tried again
/// for ever.
pub(crate) async fn enter(arguments: &JoinArguments) -> Result<Room<Untyped>, Failure> {
    let mut room = arguments.peer.connect::<Untyped>(&arguments.room, Bytes::new(), |options| {
        options.entrance = arguments.entrance.entrance();
        options.config.attempts = 0;
        options.config.backoff_cap = Duration::from_secs(2);
    })?;
    match timeout(PATIENCE, room.ready()).await {
        Ok(outcome) => outcome.map_err(Failure::failed)?,
        Err(_) => return Err(unreached(room.state())),
    }
    Ok(room)
}

fn unreached(state: &State) -> Failure {
    let waited = PATIENCE.as_secs();
    match state {
        State::Reconnecting { reason, .. } => {
            Failure::failed(format_args!("gave up after {waited} s: {reason}"))
        }
        _ => Failure::failed(format_args!(
            "gave up after {waited} s: the relay did not answer; check its address"
        )),
    }
}
