//! `parlor token inspect`.

use parlor::proto::token::{
    Claims, KeyId, TokenConfig, TokenFault, TokenKey, TokenLimits, TokenRing, moment,
};
use serde_json::{Value as Json, json};
use tokio::io::AsyncReadExt;

use super::now;
use crate::arguments::token::InspectArguments;
use crate::failure::Failure;
use crate::output::{BAD, FAINT, Output, VALUE, paint};

/// The most bytes that are read from standard input; a token has at most 2,048.
const MAX_INPUT: u64 = 64 << 10;

/// Shows what a token says. It fails if it is not good now, as far as that was checked.
pub(super) async fn run(arguments: &InspectArguments) -> Result<(), Failure> {
    let config = TokenConfig::default();
    let token = read(&arguments.token).await?;
    let (claims, kid) = Claims::unverified(&token, &config).map_err(Failure::failed)?;
    let ring = ring(&arguments.key, config)?;
    let signature = (!arguments.key.is_empty()).then(|| ring.open(&token).map(|_| ()));
    let life = ring.check(&claims, now());
    let output = Output { json: arguments.json };
    if output.json {
        output.object(&object(&claims, kid, signature, life))?;
    } else {
        show(output, &claims, kid, signature, life)?;
    }
    if matches!(signature, Some(Err(_))) || life.is_err() { Err(Failure::Told) } else { Ok(()) }
}

async fn read(token: &str) -> Result<String, Failure> {
    let mut text = String::new();
    match token {
        "-" => {
            tokio::io::stdin().take(MAX_INPUT).read_to_string(&mut text).await?;
        }
        token => text.push_str(token),
    }
    Ok(text.trim().to_owned())
}

fn ring(keys: &[TokenKey], config: TokenConfig) -> Result<TokenRing, Failure> {
    let mut ring = TokenRing::new(config);
    keys.iter().try_for_each(|key| ring.insert(key.clone())).map_err(Failure::usage)?;
    Ok(ring)
}

type Verdict = Result<(), TokenFault>;

fn object(claims: &Claims, kid: KeyId, signature: Option<Verdict>, life: Verdict) -> Json {
    let signature = signature.map(|verdict| verdict.is_ok());
    json!({
        "app": hex::encode(claims.app.0),
        "peer": claims.peer.to_string(),
        "room": claims.rooms.to_string(),
        "roles": claims.roles,
        "limits": limits(claims.limits),
        "not_before": moment::write(claims.not_before),
        "expires": moment::write(claims.expires),
        "id": claims.id,
        "kid": kid.to_string(),
        "signature": signature,
        "live": life.is_ok(),
    })
}

fn limits(limits: TokenLimits) -> Json {
    json!({
        "speak_until": limits.speak_until.and_then(moment::write),
        "signals_per_second": limits.signals_per_second,
        "bytes_per_second": limits.bytes_per_second,
    })
}

fn show(
    output: Output,
    claims: &Claims,
    kid: KeyId,
    signature: Option<Verdict>,
    life: Verdict,
) -> Result<(), Failure> {
    let time = |seconds| moment::write(seconds).unwrap_or_default();
    let line = |name: &str, value: &str| {
        // What a stranger wrote must not steer the terminal.
        let value: String = value.chars().flat_map(shown).collect();
        output.line(format_args!("{} {value}", paint(FAINT, format_args!("{name:<10}"))))
    };
    line("app", &hex::encode(claims.app.0))?;
    line("peer", &claims.peer.to_string())?;
    line("room", &claims.rooms.to_string())?;
    let roles: Vec<_> = claims.roles.iter().map(|role| role.name()).collect();
    line("roles", &roles.join(", "))?;
    line("from", &time(claims.not_before))?;
    line("until", &time(claims.expires))?;
    if let Some(until) = claims.limits.speak_until {
        line("speaks", &format!("until {}", time(until)))?;
    }
    if let Some(signals) = claims.limits.signals_per_second {
        line("signals", &format!("{signals} a second"))?;
    }
    if let Some(bytes) = claims.limits.bytes_per_second {
        line("bytes", &format!("{bytes} a second"))?;
    }
    line("id", &claims.id)?;
    line("key", &kid.to_string())?;
    let verdict = |verdict: Verdict, good: &str| match verdict {
        Ok(()) => paint(VALUE, good),
        Err(fault) => paint(BAD, fault),
    };
    output.line(match signature {
        Some(outcome) => verdict(outcome, "the signature holds"),
        None => paint(FAINT, "the signature was not checked: pass --key PUBLIC"),
    })?;
    output.line(verdict(life, "it is good now"))
}

/// A character as it is shown: those that steer a terminal as their escapes.
fn shown(character: char) -> impl Iterator<Item = char> {
    let (escaped, plain) = if character.is_control() {
        (Some(character.escape_default()), None)
    } else {
        (None, Some(character))
    };
    escaped.into_iter().flatten().chain(plain)
}
