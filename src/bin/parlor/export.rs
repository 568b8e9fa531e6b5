//! `parlor export`.

mod merge;

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use parlor::proto::datastore::Datastore;
use parlor::proto::datastore::tree;
use parlor::proto::id::DocumentId;
use serde_json::{Value as Json, json};

use crate::arguments::ExportArguments;
use crate::failure::Failure;
use crate::join::Untyped;
use crate::output::Output;

/// Reads a room and writes it down.
pub(crate) async fn run(arguments: &ExportArguments) -> Result<(), Failure> {
    let output = Output { json: arguments.peer.common.json };
    let mut room = arguments.peer.connect::<Untyped>(&arguments.room, Bytes::new(), |_| {})?;
    room.ready().await.map_err(Failure::failed)?;
    if let Some(path) = &arguments.out {
        let size = write(&mut room, path)?;
        output.line(format_args!("{}: {size} bytes", path.display()))?;
    }
    if output.json {
        output.object(&values(&room))?;
    }
    room.leave();
    room.wait(Duration::ZERO).await;
    Ok(())
}

/// The room's values by their names.
pub(crate) fn values(store: &Datastore) -> Json {
    tree::to_json(store.table(), store.text_table())
}

fn write(store: &mut Datastore, path: &Path) -> Result<usize, Failure> {
    let models = store.models().map_err(Failure::failed)?.clone();
    let bytes = merge::both(models, store.texts().map_err(Failure::failed)?)
        .map_err(|error| Failure::failed(format_args!("the documents cannot be merged: {error}")))?
        .save();
    fs::write(path, &bytes).map_err(|error| {
        Failure::failed(format_args!("cannot write {}: {error}", path.display()))
    })?;
    Ok(bytes.len())
}

/// What a state is known by: equal on all peers that hold the same.
pub(crate) fn fingerprint(store: &Datastore) -> Json {
    let heads: Vec<String> =
        DocumentId::ALL.map(|document| hex::encode(store.log(document).digest())).to_vec();
    json!({ "state_hash": hex::encode(store.state_hash()), "heads": heads })
}
