//! `parlor token`.

mod inspect;

use parlor::net::{Clock, SecretError, create_token_secret, load_token_secret};
use parlor::proto::token::{Claims, TokenConfig, TokenLimits, moment};
use serde_json::json;

use crate::arguments::token::{IssueArguments, KeygenArguments, TokenCommand};
use crate::arguments::{app_keys, seed};
use crate::failure::Failure;
use crate::output::{FAINT, Output, paint};

/// Does what is asked of tokens.
pub(crate) async fn run(command: &TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Keygen(arguments) => keygen(arguments),
        TokenCommand::Issue(arguments) => issue(arguments),
        TokenCommand::Inspect(arguments) => inspect::run(arguments).await,
    }
}

fn keygen(arguments: &KeygenArguments) -> Result<(), Failure> {
    let output = Output { json: arguments.json };
    let secret = create_token_secret(&arguments.out).map_err(failure)?;
    let public = secret.public();
    let (key, kid) = (public.to_string(), public.id().to_string());
    output.tell(&json!({ "public": key, "kid": kid }), &key)?;
    output.line(paint(FAINT, "give this one to relays; keep the file where only its server reads"))
}

fn issue(arguments: &IssueArguments) -> Result<(), Failure> {
    let keys = app_keys(arguments.app.keys()?)?;
    let [app] = &keys[..] else {
        return Err(Failure::usage(format_args!(
            "a token is for one application, and the file has {}: pass one with --app-key",
            keys.len()
        )));
    };
    let secret = load_token_secret(&arguments.key).map_err(failure)?;
    let not_before = arguments.not_before.unwrap_or_else(now);
    let claims = Claims {
        app: app.app(),
        peer: arguments.peer,
        rooms: arguments.room.clone(),
        roles: arguments.role.iter().copied().collect(),
        limits: TokenLimits {
            speak_until: arguments.speak_until,
            signals_per_second: arguments.signals_per_second,
            bytes_per_second: arguments.bytes_per_second,
        },
        not_before,
        expires: not_before.saturating_add(arguments.life.as_secs()),
        id: match &arguments.id {
            Some(id) => id.clone(),
            None => hex::encode(&seed()?[..16]),
        },
    };
    let token = secret.issue(&claims, &TokenConfig::default()).map_err(Failure::usage)?;
    let expires = moment::write(claims.expires);
    let object = json!({
        "token": token,
        "id": claims.id,
        "kid": secret.public().id().to_string(),
        "expires": expires,
    });
    Output { json: arguments.json }.tell(&object, &token)
}

/// The computer's time, in Unix seconds.
fn now() -> u64 {
    Clock::unix_micros() / 1_000_000
}

fn failure(error: SecretError) -> Failure {
    match error {
        SecretError::Malformed { .. } | SecretError::Exists { .. } => Failure::usage(error),
        _ => Failure::failed(error),
    }
}
