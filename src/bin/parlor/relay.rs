//! `parlor relay`.

mod hooks;

use std::future;
use std::sync::{Arc, Mutex};

use parlor::net::{
    Clock, DEFAULT_LISTEN, HookedHub, Operator, Relay, RelayError, RelayNetConfig, RelayState,
};
use parlor::proto::config::HubConfig;
use parlor::proto::hub::Hub;
use parlor::proto::id::{AppId, AppKey, Identity};
use parlor::proto::token::{TokenConfig, TokenKey, TokenRing};
use parlor::store::{DiskStore, MemoryStore, MemoryStoreConfig, RoomStore};
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::arguments::{RelayArguments, app_keys, seed};
use crate::data::DataFolder;
use crate::failure::Failure;
use crate::output::{FAINT, Output, paint};
use crate::rooms::{Clerk, Hatch};

/// What the operator of a relay without a state is told.
const FORGETFUL: &str = "ownership does not survive a restart of this relay: pass --state FILE, and it does; \
     with --data DIR rooms do too";

/// Runs a relay until it is told to end.
pub(crate) async fn run(arguments: &RelayArguments) -> Result<(), Failure> {
    let output = Output { json: arguments.common.json };
    let keys = app_keys(arguments.common.app.keys()?)?;
    let applications = keys.len();
    // It goes at the very end: then another relay can have the file.
    let data = arguments.data.as_deref().map(DataFolder::make).transpose()?;
    let state = data.as_ref().map(DataFolder::state).or_else(|| arguments.state.clone());
    let state = state.as_deref().map(RelayState::begin).transpose();
    let state = state.map_err(Failure::failed)?;
    let kept = match &data {
        Some(data) => Some((data, Arc::new(Mutex::new(data.open()?)))),
        None => None,
    };
    let store: Box<dyn RoomStore> = match &kept {
        Some((_, store)) => Box::new(Arc::clone(store)),
        None => Box::new(MemoryStore::new(MemoryStoreConfig::default())),
    };
    let (identity, boot) = match &state {
        Some(state) => (state.identity().clone(), state.boot()),
        None => (arguments.common.identity()?, unix_seconds()),
    };
    let (config, epoch) = (HubConfig::default(), Clock::unix_micros());
    let ring = token_ring(&arguments.token_key)?;
    let apps: Vec<AppId> = keys.iter().map(AppKey::app).collect();
    let mut hub = Hub::new(identity.clone(), keys, config, epoch, seed()?, boot);
    if let Some(ring) = ring {
        apps.iter().for_each(|app| hub.require_tokens(*app, ring.clone()));
    }
    let (hub, couriers) = hooks::hook(hub, &apps, &arguments.hooks)?;
    let relay = bind(&identity, hub, arguments).await?;
    let relay = relay.with_store(store);
    for address in relay.addresses() {
        output.tell(&json!({ "address": address }), address)?;
    }
    let hatch = kept.map(|kept| open_hatch(kept, relay.operator(), output)).transpose()?.flatten();
    let peer = identity.peer().to_string();
    let ready = json!({ "ready": true, "relay": peer, "boot": boot, "applications": applications });
    output.tell(&ready, paint(FAINT, "ready; pass one of these to --relay; ctrl-C ends it"))?;
    if state.is_none() {
        output.tell(&json!({ "warning": FORGETFUL }), paint(FAINT, FORGETFUL))?;
    }
    let until_eof = arguments.until_eof;
    let hub = relay
        .run(async move {
            tokio::select! {
                () = interrupted() => {}
                () = input_ended(), if until_eof => {}
            }
        })
        .await;
    drop(hub);
    if let Some(hatch) = hatch {
        hatch.close().await;
    }
    couriers.finish().await;
    output.tell(&json!({ "ended": true }), paint(FAINT, "ended"))
}

/// The relay, at its addresses.
async fn bind(
    identity: &Identity,
    hub: HookedHub,
    arguments: &RelayArguments,
) -> Result<Relay<HookedHub>, Failure> {
    let config =
        RelayNetConfig { exempt_loopback: arguments.exempt_loopback, ..RelayNetConfig::default() };
    let given: Vec<&str> = arguments.listen.iter().map(String::as_str).collect();
    let listen = if given.is_empty() { &DEFAULT_LISTEN[..] } else { &given };
    Relay::bind(identity, listen, config, hub).await.map_err(|error| match error {
        RelayError::Address { .. } | RelayError::NoAddress => Failure::usage(error),
        _ => Failure::failed(error),
    })
}

/// Takes orders beside the relay, if that can be; or says that it cannot.
fn open_hatch(
    (data, store): (&DataFolder, Arc<Mutex<DiskStore>>),
    operator: Operator,
    output: Output,
) -> Result<Option<Hatch>, Failure> {
    let path = data.socket();
    match Hatch::open(&path, Clerk::beside(store, operator)) {
        Ok(hatch) => Ok(Some(hatch)),
        Err(why) => {
            let warning = format!(
                "cannot take orders at {} ({why}): `parlor rooms` will need this relay to end",
                path.display()
            );
            output.tell(&json!({ "warning": warning }), paint(FAINT, &warning))?;
            Ok(None)
        }
    }
}

/// The keys of tokens, if any are asked for.
fn token_ring(keys: &[TokenKey]) -> Result<Option<TokenRing>, Failure> {
    let mut ring = TokenRing::new(TokenConfig::default());
    for key in keys {
        ring.insert(key.clone()).map_err(Failure::usage)?;
    }
    Ok((!keys.is_empty()).then_some(ring))
}

/// The boot of a relay that keeps none: above the earlier ones for as long as the computer's clock
/// does not go back.
fn unix_seconds() -> u32 {
    u32::try_from(Clock::unix_micros() / 1_000_000).unwrap_or(u32::MAX)
}

/// Returns when the system asks this process to end.
pub(crate) async fn interrupted() {
    #[cfg(unix)]
    let terminated = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut signals) => {
                signals.recv().await;
            }
            Err(_) => future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = future::pending::<()>();
    tokio::select! {
        outcome = tokio::signal::ctrl_c() => if outcome.is_err() {
            future::pending::<()>().await;
        },
        () = terminated => {}
    }
}

async fn input_ended() {
    let mut input = tokio::io::stdin();
    let mut buffer = [0; 256];
    while matches!(input.read(&mut buffer).await, Ok(1..)) {}
}
