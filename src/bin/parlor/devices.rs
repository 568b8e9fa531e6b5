//! `parlor devices`.

use comfy_table::{Table, presets};
use serde_json::json;

use crate::arguments::voice::DevicesArguments;
use crate::failure::Failure;
use crate::output::Output;
use crate::sound::device;

/// Tells which microphones and loudspeakers there are.
pub(crate) fn run(arguments: &DevicesArguments) -> Result<(), Failure> {
    let output = Output { json: arguments.json };
    let [microphones, loudspeakers] = device::all()?;
    let all = [("microphone", microphones), ("loudspeaker", loudspeakers)];
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["", "--device", "what the system calls it"]);
    for (kind, found) in &all {
        for (id, name) in found {
            if output.json {
                output.object(&json!({ "device": kind, "id": id, "name": name }))?;
            }
            table.add_row([kind, id.as_str(), name.as_str()]);
        }
    }
    if all.iter().all(|(_, found)| found.is_empty()) {
        return output.line("no microphone and no loudspeaker");
    }
    output.line(table)
}
