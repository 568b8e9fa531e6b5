//! `parlor identity`.

use parlor::net::load_or_create;
use serde_json::json;

use crate::arguments::IdentityArguments;
use crate::failure::Failure;
use crate::output::Output;

/// Says who an identity is to others.
pub(crate) fn run(arguments: &IdentityArguments) -> Result<(), Failure> {
    let identity = load_or_create(&arguments.file).map_err(Failure::failed)?;
    let peer = identity.peer().to_string();
    Output { json: arguments.json }.tell(&json!({ "peer": peer }), &peer)
}
