//! `parlor demo`: the whole way once, in processes of their own, over real sockets.

mod model;
pub(crate) mod peer;
mod process;
mod proxy;
mod story;
mod table;
mod voice;

use crate::arguments::{DemoArguments, seed};
use crate::failure::Failure;
use crate::output::Output;
use crate::relay::interrupted;

/// Runs the demo, or as much of it as there is time for until ctrl-C.
pub(crate) async fn run(arguments: &DemoArguments) -> Result<(), Failure> {
    let output = Output { json: arguments.json };
    let key = hex::encode(seed()?);
    let story = async {
        if arguments.voice.voice {
            Box::pin(voice::tell(output, &key, &arguments.voice)).await
        } else {
            Box::pin(story::tell(output, &key)).await
        }
    };
    tokio::select! {
        outcome = story => outcome,
        () = interrupted() => Err(Failure::failed("interrupted")),
    }
}
