//! `parlor relays`.

use comfy_table::{Table, presets};
use parlor::net::{Measured, NetConfig, RelayAddress, measure};
use serde_json::{Value as Json, json};

use crate::arguments::RelaysArguments;
use crate::failure::Failure;
use crate::output::Output;

/// Measures relays, and tells what was found. It fails if none answered.
pub(crate) async fn run(arguments: &RelaysArguments) -> Result<(), Failure> {
    let output = Output { json: arguments.json };
    let measured = measure(arguments.addresses()?, &NetConfig::default()).await;
    if output.json {
        measured.iter().try_for_each(|relay| output.object(&object(relay)))?;
    } else {
        output.line(table(&measured))?;
    }
    if measured.iter().any(|relay| relay.round_trip.is_ok()) {
        Ok(())
    } else {
        Err(Failure::failed("no relay answered: check their addresses, and whether they run"))
    }
}

fn millis(relay: &Measured) -> Option<f64> {
    let round_trip = relay.round_trip.as_ref().ok()?;
    Some(round_trip.as_micros() as f64 / 1e3)
}

fn addresses(relay: &Measured) -> Vec<String> {
    relay.addresses.iter().map(RelayAddress::to_string).collect()
}

fn object(relay: &Measured) -> Json {
    json!({
        "relay": relay.relay.map(|relay| relay.to_string()),
        "round_trip_ms": millis(relay),
        "why": relay.round_trip.as_ref().err().map(ToString::to_string),
        "addresses": addresses(relay),
    })
}

fn table(measured: &[Measured]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["round trip", "relay", "addresses, or what is wrong with them"]);
    for relay in measured {
        let id = relay.relay.map_or_else(|| "?".to_owned(), |relay| relay.to_string());
        let round_trip = millis(relay).map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"));
        let rest = match &relay.round_trip {
            Ok(_) => addresses(relay).join("\n"),
            Err(why) => why.to_string().replace("; ", "\n"),
        };
        table.add_row([round_trip, id, rest]);
    }
    table
}
