//! The room service at the wall: a relay, peers in rooms and peers that only ask, on links that lose.
#![cfg(feature = "sim")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test is a panic")]

#[path = "service/authorised.rs"]
mod authorised;
#[cfg(feature = "audio")]
#[path = "service/conversations.rs"]
mod conversations;
#[path = "service/doors.rs"]
mod doors;
#[path = "service/durable.rs"]
mod durable;
#[path = "service/images.rs"]
mod images;
#[path = "service/kept.rs"]
mod kept;
#[path = "service/lives.rs"]
mod lives;
#[path = "service/matches.rs"]
mod matches;
#[path = "service/near.rs"]
mod near;
#[path = "service/owners.rs"]
mod owners;
#[path = "service/pace.rs"]
mod pace;
#[cfg(feature = "disk")]
#[path = "service/power.rs"]
mod power;
#[path = "service/presence.rs"]
mod presence;
#[path = "service/raw.rs"]
mod raw;
#[path = "service/requests.rs"]
mod requests;
#[path = "service/stage.rs"]
mod stage;
#[path = "service/tokens.rs"]
mod tokens;
#[path = "service/voices.rs"]
mod voices;
